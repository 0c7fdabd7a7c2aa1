"""Parts `selkov` and `glycolytic` of study `families`: the stiff systems of the
few-shot benchmark, by the protocol of its own papers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import families
from ._few_shot import FewShot, few_shot_claims, few_shot_rows
from ._study import Run


SELKOV = FewShot(
    "Selkov",
    ("x", "y"),
    ("1", "1"),
    lambda w, p: [
        -w[0] + 0.1 * w[1] + w[0] ** 2 * w[1],
        p[0] - 0.1 * w[1] - w[0] ** 2 * w[1],
    ],
    tuple(
        (float(b),)
        for low, high in ((-1.0, -0.25), (-0.1, 0.1), (0.25, 1.0))
        for b in np.linspace(low, high, 7)
    ),
    ((-1.25,), (-0.65,), (-0.05,), (0.02,), (0.6,), (1.2,)),
)
_SELKOV = few_shot_rows(
    "selkov",
    "Selkov",
    {
        "in_mse": (1e-4, 6e-5),
        "ood_mse": (5e-4, 1e-4),
        "train_cpu": (480.0, None),
        "adapt_cpu": (1.0, None),
        "iterations": (5, None),
    },
    "Gauss-Newton, affine head, 30 steps of RK4 between samples. 10 steps ended at "
    "1.4e-3; random subsets of the few clips that there are at 7e-4, all of them here; "
    "width 32 instead of 16 fits worse. Precision 30 of the prior instead of 1: "
    "3.3e-3 on one seed. What is left is b = -1.25, outside of the training range; "
    "error against time: rows selkov_after, figure selkov_time.svg. 80 iterations a "
    "stage would do better there on seed 0 (3e-4), but nothing is chosen on new "
    "systems; left out one by one, b = -1 and b = 1 prefer 40 (6e-5 and 4e-5, with 150 "
    "1.4e-4 and 5e-5), which comes to 1.3e-3 on the new ones.",
)
SELKOV_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "config": {
        "model": {
            "learn": "field",
            "order": "first",
            "width": 16,
            "depth": 2,
            "substeps": 30,
        },
        "head": "affine",
        "size": 1,
        "horizon": 40.0,
        "steps": 150,
        "restarts": 4,
        "exact": True,
    },
}
_SELKOV_QUICK: dict[str, Any] = copy.deepcopy(SELKOV_FULL) | {"seeds": [0]}
_SELKOV_QUICK["config"] |= {"steps": 1}
_SELKOV_QUICK["config"]["model"] |= {"width": 6, "depth": 1}


@families.part("selkov", _SELKOV, full=SELKOV_FULL, quick=_SELKOV_QUICK)
def selkov(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    yield from few_shot_claims(run, "selkov", SELKOV)


def _glycolysis(w: np.ndarray, p: Any) -> list[np.ndarray]:
    s1, s2, s3, s4, s5, s6, s7 = w
    v = p[0] * s1 * s6 / (1.0 + (s6 / p[1]) ** 4)
    return [
        2.5 - v,
        2.0 * v - 6.0 * s2 * (1.0 - s5) - 12.0 * s2 * s5,
        6.0 * s2 * (1.0 - s5) - 16.0 * s3 * (4.0 - s6),
        16.0 * s3 * (4.0 - s6) - 100.0 * s4 * s5 - 13.0 * (s4 - s7),
        6.0 * s2 * (1.0 - s5) - 100.0 * s4 * s5 - 12.0 * s2 * s5,
        -2.0 * v + 32.0 * s3 * (4.0 - s6) - 1.28 * s6,
        1.3 * (s4 - s7) - 1.8 * s7,
    ]


GLYCOLYTIC = FewShot(
    "Glycolytic",
    tuple(f"S{k}" for k in range(1, 8)),
    ("1",) * 7,
    _glycolysis,
    tuple((k, big) for k in (100.0, 90.0, 80.0) for big in (1.0, 0.75, 0.5)),
    tuple((k, big) for k in (85.0, 95.0) for big in (0.625, 0.875)),
)
_GLYCOLYTIC = few_shot_rows(
    "glycolytic",
    "Glycolytic oscillator",
    {
        "in_mse": (3.3e-4, 5e-5),
        "ood_mse": (2.8e-4, 5e-5),
        "train_cpu": (900.0, None),
        "adapt_cpu": (1.0, None),
        "iterations": (5, None),
    },
    "Gauss-Newton, eta joins the inputs (the law is not affine in K1), 3 steps of RK4 "
    "between samples, growing horizon.",
)
_GLYCOLYTIC_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "config": {
        "model": {
            "learn": "field",
            "order": "first",
            "width": 32,
            "depth": 2,
            "substeps": 3,
        },
        "head": "concat",
        "size": 2,
        "horizon": 0.95,
        "steps": 60,
        "clips": 12,
        "minutes": 30.0,
        "exact": True,
    },
}
_GLYCOLYTIC_QUICK: dict[str, Any] = copy.deepcopy(_GLYCOLYTIC_FULL) | {"seeds": [0]}
_GLYCOLYTIC_QUICK["config"] |= {"steps": 1}
_GLYCOLYTIC_QUICK["config"]["model"] |= {"width": 6, "depth": 1}


@families.part(
    "glycolytic", _GLYCOLYTIC, full=_GLYCOLYTIC_FULL, quick=_GLYCOLYTIC_QUICK
)
def glycolytic(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    yield from few_shot_claims(run, "glycolytic", GLYCOLYTIC)
