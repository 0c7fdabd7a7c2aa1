"""Parts `pendulum` and `bistable` of study `families`: unseen systems
from one record of each, and their parameters by the gauge."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._families import (
    BISTABLE,
    PENDULUM,
    FamilyCase,
    affine_r2,
    barrier_distance,
    e5,
    families,
    fitted_family,
)
from ._row import Row
from ._study import Run


More = Callable[..., dict[str, Any]]
LENGTHS = (2.0, 3.5, 4.0, 5.1, 6.0, 6.9, 8.0, 10.0)
_TRIED = (
    "Gauss-Newton on weights and etas, affine head, growing horizon; adaptation by "
    "Levenberg-Marquardt."
)
_ENERGY = {"learn": "energy", "width": 16, "depth": 2, "priors": ["odd"]}

PENDULUM_CONFIG: dict[str, Any] = {"model": _ENERGY, "head": "affine", "size": 1}
BISTABLE_CONFIG: dict[str, Any] = {"model": _ENERGY, "head": "affine", "size": 2}


def common(
    key: str,
    dims: int,
    gauge: float,
    goal: float,
    r2: float,
    most: int | None = None,
) -> list[Row]:
    """Rows that every one of these families has; `most` iterations where that is
    asked for."""
    return [
        Row(
            f"families.D.{key}_gauge",
            "Gauge on random systems inside the box, one 10 s record each: mean "
            "absolute relative error, the worst of the parameters.",
            target=gauge,
            goal=goal,
            tried=_TRIED,
        ),
        Row(
            f"families.D.{key}_seconds",
            "Adaptation and gauge end to end, compilation included, per system.",
            "s",
            target=2.0,
            goal=0.2,
            tried=_TRIED,
        ),
        Row(
            f"families.D.{key}_inverse",
            "Forward, then inverse gauge, on the training systems: largest error in "
            "standard deviations of eta.",
            target=1e-4,
            tried=_TRIED,
        ),
        Row(
            f"families.C.{key}_pca",
            "Components of eta that hold 99 % of its variance, d_eta = d.",
            better="equal",
            target=dims,
            tried=_TRIED,
        ),
        Row(
            f"families.C.{key}_sensitive",
            "The same, weighted by the sensitivity of the trajectories.",
            better="equal",
            target=dims,
            tried=_TRIED,
        ),
        Row(
            f"families.constellation.{key}",
            "R^2 of the affine map from eta to the parameters in which the law is "
            "affine, the worst of them.",
            better="higher",
            target=r2,
            tried=_TRIED,
        ),
        Row(
            f"families.A.{key}_iterations",
            "Levenberg-Marquardt iterations on the whole record, the largest.",
            target=most,
            tried=None if most is None else _TRIED,
        ),
        Row(f"families.A.{key}_train_seconds", "Training, wall time.", "s"),
        Row(
            f"families.A.{key}_halved",
            "What half the step of the integrator changes in E5, over a tenth of E5 or "
            "0.001, whichever is more: the largest of the systems whose E5 counts.",
            target=1.0,
            tried=_TRIED,
        ),
    ]


def measured_case(
    case: FamilyCase,
    settings: dict[str, Any],
    seed: int,
    named: list[Any],
    more: More | None = None,
) -> dict[str, Any]:
    """Train, adapt to named and random systems, predict and gauge; `more` measures
    what only one case has, and is given the family, its gauge, the systems and what
    they were adapted to."""
    from ..dynamics import fit_gauge

    began = time.perf_counter()
    family = fitted_family(case, settings["config"], seed)
    train_seconds = time.perf_counter() - began
    rng = np.random.default_rng([seed, 2])
    new = [tuple(p) for p in named] + case.unseen(settings["unseen"], rng)
    records = case.records_of(new, 1, rng)
    began = time.perf_counter()
    adapted = family.adapt_many(records)
    labels = np.array(case.params)
    log = tuple(bool((labels[:, k] > 0).all()) for k in range(labels.shape[1]))
    read_by = lambda g: np.array(
        [g.measure(a.eta, a.covariance).value for a in adapted]
    )
    plain = lambda: fit_gauge(family.etas, labels, case.param_names, log=log, seed=seed)
    if case.law is None:
        gauge = plain()
        read = read_by(gauge)
    else:
        linear = case.law.of(labels)
        gauge = fit_gauge(family.etas, linear, case.law.names, log=False, seed=seed)
        read = case.law.back(read_by(gauge))
    seconds = (time.perf_counter() - began) / len(new)
    read_log = read if case.law is None else read_by(plain())
    starts = [case.start(rng) for _ in new]
    errors, finer = (
        np.array(
            [
                e5(case, family, a.eta, p, s, refine)
                for a, p, s in zip(adapted, new, starts, strict=True)
            ]
        )
        for refine in (1, 2)
    )
    apart = lambda values: np.abs(values - np.array(new)) / np.abs(np.array(new))
    back = np.array([gauge.inverse(gauge(e)) for e in family.etas])
    sd = family.etas.std(0)
    principal, sensitive = dimensions(family)
    return {
        "errors": errors,
        "halved": np.abs(finer - errors) / np.maximum(0.1 * errors, 1e-3),
        "params": np.array(new),
        "starts": np.array(starts),
        "off": apart(read),
        "off_log": apart(read_log),
        "iterations": np.array([a.iterations for a in adapted]),
        "extrapolating": np.array([a.extrapolating for a in adapted]),
        "seconds": seconds,
        "train_seconds": train_seconds,
        "inverse": np.max(np.abs(back - family.etas) / sd),
        "etas": family.etas,
        "systems": labels,
        "principal": principal,
        "sensitive": sensitive,
        **({} if more is None else more(family, gauge, new, adapted, rng)),
    }


def dimensions(family: Any) -> tuple[int, int]:
    """Estimates of the intrinsic dimension by variance and by sensitivity."""
    from ..diagnostics import principal_dimension, sensitive_dimension

    return (
        principal_dimension(family.etas).estimate,
        sensitive_dimension(family.etas, family.fisher).estimate,
    )


def shared_rows(
    run: Run,
    key: str,
    found: list[dict[str, Any]],
    targets: Any,
    first: int,
    used: list[Any],
) -> Iterator[Claim]:
    """The rows of `common`, over the seeds; random systems come after `first`, those
    whose errors count are `used` of each seed."""
    row = lambda name: run.row(f"families.{name}")
    yield row(f"D.{key}_gauge").measured(
        [float(f["off"][first:].mean(0).max()) for f in found]
    )
    yield row(f"D.{key}_seconds").measured([float(f["seconds"]) for f in found])
    yield row(f"D.{key}_inverse").measured([float(f["inverse"]) for f in found])
    yield row(f"C.{key}_pca").measured([int(f["principal"]) for f in found])
    yield row(f"C.{key}_sensitive").measured([int(f["sensitive"]) for f in found])
    r2 = [float(affine_r2(f["etas"], targets(f["systems"])).min()) for f in found]
    yield row(f"constellation.{key}").measured(r2)
    most = [int(f["iterations"].max()) for f in found]
    yield row(f"A.{key}_iterations").measured(most)
    took = [float(f["train_seconds"]) for f in found]
    yield row(f"A.{key}_train_seconds").measured(took)
    halved = [float(f["halved"][u].max()) for f, u in zip(found, used, strict=True)]
    yield row(f"A.{key}_halved").measured(halved)


def seeds_of(
    run: Run, case: FamilyCase, named: list[Any], more: More | None = None
) -> list[dict[str, Any]]:
    """Every seed of a part, kept one by one."""
    return [
        run.keep(
            f"seed_{seed}",
            lambda seed=seed: measured_case(case, run.settings, seed, named, more),
        )
        for seed in run.settings["seeds"]
    ]


_P = "families.A.pendulum"
_PENDULUM = [
    Row(
        f"{_P}_e5_median",
        "Pendulum, energy head, 8 unseen lengths, Levenberg-Marquardt: median E5.",
        target=0.01,
        goal=0.003,
        tried=_TRIED,
    ),
    Row(
        f"{_P}_e5_max",
        "The same, the largest (l = 10 included).",
        target=0.03,
        goal=0.01,
        tried=_TRIED,
    ),
    *common("pendulum", 1, 0.01, 0.003, 0.99, 5),
    Row(
        "families.D.pendulum_gauge_log",
        "The gauge's error with the length on the default, logarithmic scale; the row "
        "above is calibrated on 1/length, in which the law is linear.",
    ),
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "unseen": 100,
    "config": PENDULUM_CONFIG,
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0], "unseen": 2}
_QUICK["config"] |= {"steps": 2, "every": 10}


@families.part("pendulum", _PENDULUM, full=_FULL, quick=_QUICK)
def pendulum(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    named = [(length,) for length in LENGTHS]
    found = seeds_of(run, PENDULUM, named)
    first = len(named)
    errors = [f["errors"][:first] for f in found]
    yield run.row(f"{_P}_e5_median").measured([float(np.median(e)) for e in errors])
    yield run.row(f"{_P}_e5_max").measured([float(e.max()) for e in errors])
    used = [slice(first)] * len(found)
    yield from shared_rows(run, "pendulum", found, lambda p: 1.0 / p, first, used)
    yield run.row("families.D.pendulum_gauge_log").measured(
        [float(f["off_log"][first:].mean()) for f in found]
    )


_B = "families.A.bistable"
NAMED_BISTABLE = [(-0.5, 3.1), (-0.7, 4.2), (-0.5, 4.7)]
_BISTABLE = [
    Row(
        f"{_B}_e5_median",
        "Bistable oscillator, 3 named and random systems, starts at least 2 % of the "
        "well's depth away from the energy of the barrier: median E5.",
        target=0.02,
        goal=0.005,
        tried=_TRIED,
    ),
    Row(
        f"{_B}_e5_p90",
        "The same, 90th percentile.",
        target=0.06,
        goal=0.02,
        tried=_TRIED,
    ),
    *common("bistable", 2, 0.02, 0.007, 0.98),
]
_FULL_B: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "unseen": 100,
    "config": BISTABLE_CONFIG,
}
_QUICK_B: dict[str, Any] = copy.deepcopy(_FULL_B) | {"seeds": [0], "unseen": 2}
_QUICK_B["config"] |= {"steps": 2, "every": 10}


@families.part("bistable", _BISTABLE, full=_FULL_B, quick=_QUICK_B)
def bistable(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    found = seeds_of(run, BISTABLE, NAMED_BISTABLE)
    far = [
        np.array(
            [
                barrier_distance(p, s) >= 0.02
                for p, s in zip(f["params"], f["starts"], strict=True)
            ]
        )
        for f in found
    ]
    errors = [f["errors"][used] for f, used in zip(found, far, strict=True)]
    yield run.row(f"{_B}_e5_median").measured([float(np.median(e)) for e in errors])
    yield run.row(f"{_B}_e5_p90").measured([float(np.quantile(e, 0.9)) for e in errors])
    named = len(NAMED_BISTABLE)
    yield from shared_rows(run, "bistable", found, lambda p: p, named, far)
