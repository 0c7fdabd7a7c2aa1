"""Part `gd_pendulum` of study `families`: the pendulums of gen-dynamics."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import families
from ._few_shot import FewShot, few_shot_claims, few_shot_rows
from ._row import Row
from ._study import Run


_TRIED = (
    "Energy head, odd potential, Gauss-Newton on weights and etas, growing horizon."
)
GD_PENDULUM = FewShot(
    "Pendulum",
    ("angle", "rate"),
    ("1", "1/s"),
    lambda w, g: [w[1], -g * np.sin(w[0])],
    tuple(np.linspace(2.0, 24.0, 25).tolist()),
    (0.5, 1.5, 10.25, 14.75, 25.5, 28.0),
    scored=(1, 2, 3),
)
_ROWS = [
    *few_shot_rows(
        "pendulum",
        "25 pendulums",
        {
            "ood_mse": (5e-4, None),
            "adapt_cpu": (1.0, None),
            "iterations": (5, None),
        },
        _TRIED,
    ),
    Row(
        "families.F.pendulum_ood_all_mse",
        "The same for all 6 new pendulums, 3 of them outside the training range of g; "
        "the row above is of g = 1.5, 10.25 and 14.75.",
    ),
    Row(
        "families.F.pendulum_extrapolating",
        "How many of these 6 are flagged as outside the family.",
    ),
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "config": {
        "model": {"learn": "energy", "width": 16, "depth": 2, "priors": ["odd"]},
        "head": "affine",
        "size": 1,
    },
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0]}
_QUICK["config"] |= {"steps": 1}
_QUICK["config"]["model"] |= {"width": 6, "depth": 1}


@families.part("gd_pendulum", _ROWS, full=_FULL, quick=_QUICK)
def gd_pendulum(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    yield from few_shot_claims(run, "pendulum", GD_PENDULUM)
