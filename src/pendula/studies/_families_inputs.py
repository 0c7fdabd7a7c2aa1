"""Part `inputs` of study `families`: other ways for a system to enter the network. The
true parameters as its input are the upper bound; eta may join the state (`concat`)."""

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
    affine_r2,
    barrier_distance,
    e5,
    families,
    fitted_family,
)
from ._families_motion import BISTABLE_CONFIG, LENGTHS, NAMED_BISTABLE, PENDULUM_CONFIG
from ._families_relaxing import VAN_DER_POL_CONFIG
from ._row import Row
from ._study import Run


_CASES: dict[str, tuple[FamilyCase, Any]] = {
    "pendulum": (PENDULUM, lambda p: 1.0 / p),  # the law is affine in these
    "bistable": (BISTABLE, lambda p: p),
    "van_der_pol": (
        VAN_DER_POL,
        lambda p: np.stack([p[..., 0], p[..., 0] * p[..., 1], p[..., 2] ** 2], axis=-1),
    ),
}
_TRIED = (
    "Gauss-Newton on weights and etas with the same network and steps as the affine "
    "head."
)
_ROWS = (
    *(
        Row(
            f"families.upper.{name}",
            "Upper bound: the true parameters, in which the law is affine, in the "
            "place of eta, same network and steps: median E5 on unseen systems, "
            "nothing is adapted.",
        )
        for name in _CASES
    ),
    Row(
        "families.constellation.pendulum_concat",
        "R^2 of the affine map from eta to 1/length, concat head.",
        better="higher",
        target=0.99,
        tried=_TRIED,
    ),
    Row(
        "families.constellation.bistable_concat",
        "R^2 of the affine map from eta to (k1, k3), the worse of them, concat head.",
        better="higher",
        target=0.98,
        tried=_TRIED,
    ),
    Row(
        "families.constellation.van_der_pol_concat",
        "R^2 of the affine map from eta to (eps, eps delta, omega^2), the worst of "
        "them, concat head; one seed, as its upper bound.",
        better="higher",
        target=0.95,
        tried=_TRIED,
    ),
)
_FULL: dict[str, Any] = {
    "seeds": {"pendulum": [0, 1, 2], "bistable": [0, 1, 2], "van_der_pol": [0]},
    "unseen": 50,
    "pendulum": PENDULUM_CONFIG,
    "bistable": BISTABLE_CONFIG,
    "van_der_pol": VAN_DER_POL_CONFIG,
    "concat": {"head": "concat"},
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"unseen": 2}
for _name in _CASES:
    _QUICK["seeds"][_name] = [0]
    _QUICK[_name] |= {"steps": 1, "every": 20}


@families.part("inputs", _ROWS, full=_FULL, quick=_QUICK)
def inputs(run: Run) -> Iterator[Claim]:
    """Every family and seed, then the rows."""
    found = {
        name: [
            run.keep(
                f"{name}_{seed}",
                lambda name=name, seed=seed: measured(name, run.settings, seed),
            )
            for seed in run.settings["seeds"][name]
        ]
        for name in _CASES
    }
    for row in _ROWS:
        name = row.id.rsplit(".", 1)[1].removesuffix("_concat")
        key = "concat" if row.id.endswith("_concat") else "upper"
        yield run.row(row.id).measured([float(f[key]) for f in found[name]])


def measured(name: str, settings: dict[str, Any], seed: int) -> dict[str, float]:
    """One family with its true parameters as input, and one with a concat head."""
    case, affine_in = _CASES[name]
    config = settings[name]
    known = affine_in(np.array(case.params))
    middle, spread = known.mean(0), known.std(0)
    family = fitted_family(case, config, seed, etas=(known - middle) / spread)
    concat = fitted_family(case, config | settings["concat"], seed)
    return {
        "upper": upper_error(case, family, settings["unseen"], seed, affine_in, known),
        "concat": float(affine_r2(concat.etas, known).min()),
    }


def upper_error(
    case: FamilyCase, family: Any, count: int, seed: int, affine_in: Any, known: Any
) -> float:
    """Median E5 on unseen systems, the input computed from their parameters."""
    rng = np.random.default_rng([seed, 6])
    if case is PENDULUM:
        new: list[Any] = [(length,) for length in LENGTHS]
    else:
        named = NAMED_BISTABLE if case is BISTABLE else []
        new = [*named, *case.unseen(count, rng)]
    errors = []
    for params in new:
        start = case.start(rng)
        while case is BISTABLE and barrier_distance(params, start) < 0.02:
            start = case.start(rng)
        eta = (affine_in(np.array(params)) - known.mean(0)) / known.std(0)
        errors.append(e5(case, family, eta, params, start))
    return float(np.median(errors))
