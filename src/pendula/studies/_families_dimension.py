"""Part `dimension` of study `families`: how many numbers tell the systems apart, when
eta has as many entries, one more, two more, or none was said."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import (
    BISTABLE,
    PENDULUM,
    VAN_DER_POL,
    FamilyCase,
    families,
    fitted_family,
)
from ._families_motion import BISTABLE_CONFIG, dimensions
from ._families_relaxing import VAN_DER_POL_CONFIG
from ._row import Row
from ._study import Run


CASES: dict[str, tuple[FamilyCase, int]] = {
    "pendulum": (PENDULUM, 1),
    "bistable": (BISTABLE, 2),
    "van_der_pol": (VAN_DER_POL, 3),
}
EXCESS = (0, 1, 2)
_TRIED = (
    "Etas that start at random keep their spread in the directions that the family "
    "does not need: of pendulum and bistable oscillator every entry was counted, "
    "however many there were. They start at 0 now, where the steps of Gauss-Newton "
    "leave what is not needed."
)
_ROWS = (
    Row(
        "families.C.pca",
        "Pendulum, bistable and Van der Pol oscillator with d, d + 1 and d + 2 entries "
        "of eta: cases of 9 in which d components hold 99 % of the variance.",
        better="higher",
        target=8,
        goal=9,
        tried=_TRIED,
    ),
    Row(
        "families.C.sensitive",
        "The same, weighted by the sensitivity of the trajectories.",
        better="higher",
        target=9,
        tried="Covariance of eta times the sensitivity J'J on clips of one period.",
    ),
    Row(
        "families.C.automatic",
        "Families of 3 whose size of eta is chosen right when none is given.",
        better="higher",
        target=3,
        tried="Error on clips of held-out systems after adapting to other clips of "
        "them along the first k directions of a training with 4 entries; the smallest "
        "k within one standard error of the best and a hundredth of the error without "
        "eta. A Van der Pol law that was trained roughly (15 iterations a stage, clips "
        "of a period drawn by time alone) asked for 6 entries with a thousandth in "
        "place of a hundredth.",
    ),
    Row(
        "families.C.automatic_agrees",
        "Of these, how many agree with the principal components of the trainings.",
        better="higher",
    ),
)
_FULL: dict[str, Any] = {
    "seed": 0,
    "configs": {
        "pendulum": BISTABLE_CONFIG,
        "bistable": BISTABLE_CONFIG,
        "van_der_pol": VAN_DER_POL_CONFIG,
    },
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL)
_QUICK["configs"] = {
    "pendulum": {
        "model": {"learn": "force", "width": 4, "depth": 1},
        "head": "affine",
        "steps": 2,
        "every": 10,
    }
}


@families.part("dimension", _ROWS, full=_FULL, quick=_QUICK)
def dimension(run: Run) -> Iterator[Claim]:
    """Every family, then the rows."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, config in run.settings["configs"].items():
        work = lambda name=name, config=config: counted(
            name, config, run.settings["seed"]
        )
        found[name] = run.keep(name, work)
    right = lambda key: sum(
        int(np.sum(f[key] == CASES[name][1])) for name, f in found.items()
    )
    for key in ("pca", "sensitive", "automatic"):
        yield run.row(f"families.C.{key}").measured(right(key))
    agrees = sum(int(f["agrees"]) for f in found.values())
    yield run.row("families.C.automatic_agrees").measured(agrees)


def counted(name: str, config: dict[str, Any], seed: int) -> dict[str, Any]:
    """The counts of one family for every size of eta, and the size that is chosen."""
    case, dims = CASES[name]
    free = fitted_family(case, {**config, "size": 0}, seed)
    sizes = [dims + more for more in EXCESS]
    # the training that follows the choice is the one with that size given
    made = [
        free if s == free.size else fitted_family(case, {**config, "size": s}, seed)
        for s in sizes
    ]
    both = np.array([dimensions(family) for family in made])
    told = free.about["size"]
    return {
        "pca": both[:, 0],
        "sensitive": both[:, 1],
        "automatic": told["chosen"],
        "agrees": told["agrees"],
        "errors": told["errors"],
    }
