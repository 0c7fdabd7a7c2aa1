"""Part `A8` of study `pinns`: faults that were put in on purpose, and whether the
diagnosis names them; problems without a fault, and whether it keeps quiet."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .._errors import PendulaWarning
from ..solutions import (
    FirstOrder,
    Frozen,
    GaussNewton,
    Method,
    Network,
    NetworkConfig,
    Problem,
    solve,
)
from ._claim import Claim
from ._pinns import LEFT_OUT, pinns
from ._pinns_faults import Planted, clean, planted
from ._row import Row
from ._study import Run


_P = "pinns.A8"
_FAULTS = {
    "few_points": "too few collocation points",
    "kink": "a start with a kink, kept for all times by a hard condition",
    "period": "a start of another period",
    "layer": "viscosity of Burgers' equation over 100",
    "chaos": "Kuramoto and Sivashinsky's equation far into chaos",
    "boundary": "a boundary value that is not that of the start",
    "short_waves": "waves shorter than the features",
    "whole_domain": "fast convection on the whole domain by Adam in float32",
    "weights": "weights of the loss 1e6 apart",
    "float32": "Levenberg-Marquardt in float32",
}
_TRIED = "Evidence and thresholds as documented in `diagnose`, the same for every run."


def _rows() -> Iterator[Row]:
    yield Row(
        f"{_P}.named",
        "Share of the planted faults that the diagnosis names, three draws of each.",
        better="higher",
        target=0.9,
        tried=_TRIED,
    )
    yield Row(
        f"{_P}.clean",
        "Share of problems without a fault for which it gives no code.",
        better="higher",
        target=0.9,
        tried=_TRIED,
    )
    for key, words in _FAULTS.items():
        yield Row(f"{_P}.{key}", f"Share of draws that are named: {words}.")


@pinns.part(
    "A8",
    tuple(_rows()),
    full={"draws": 3, "adam": 5000, "newton": 200, "clean": 10, "only": []},
    quick={"draws": 1, "adam": 20, "newton": 2, "clean": 1, "only": ["few_points"]},
)
def diagnosis(run: Run) -> Iterator[Claim]:
    """Every fault with parameters drawn by seed; its codes are looked for among those
    that are given."""
    s, named = run.settings, {key: [] for key in _FAULTS}
    for seed in range(s["draws"]):
        for fault in planted(seed, **_methods(s, seed)):
            if s["only"] and fault.name not in s["only"]:
                continue
            found = run.keep(
                f"{fault.name}_{seed}", lambda f=fault, k=seed: _named(f, k)
            )
            named[fault.name].append(float(found["named"]))
    quiet = [
        float(run.keep(key, lambda p=problem: _quiet(p))["quiet"])
        for key, problem in clean()[: s["clean"]]
    ]
    every = [value for values in named.values() for value in values]
    yield run.row(f"{_P}.named").measured(float(np.mean(every)))
    yield run.row(f"{_P}.clean").measured(float(np.mean(quiet)))
    for key, values in named.items():
        row = run.row(f"{_P}.{key}")
        yield row.measured(float(np.mean(values))) if values else row.not_run(LEFT_OUT)


def _methods(s: dict[str, Any], seed: int) -> dict[str, Any]:
    """Those of faults that need a training."""
    single = NetworkConfig(width=20, depth=3, dtype="float32", seed=seed)
    soft = {"width": 20, "depth": 3, "hard": False, "seed": seed}

    def weighted(ratio: float) -> Method:
        own = NetworkConfig(weights=(("initial", math.sqrt(ratio)),), **soft)  # of rows
        return Network(own, FirstOrder(steps=s["adam"]))

    return {
        "adam": Network(single, FirstOrder(steps=s["adam"])),
        "weighted": weighted,
        "levenberg": Network(single, GaussNewton(steps=s["newton"])),
    }


def _named(fault: Planted, seed: int) -> dict[str, Any]:
    """Whether one of its codes is given."""
    jax.clear_caches()
    method = fault.method
    if isinstance(method, Frozen):
        method = Frozen(dataclasses.replace(method.config, seed=seed))
    with warnings.catch_warnings():
        # of what was planted, as a start with a kink; it is the diagnosis that is asked
        warnings.simplefilter("ignore", PendulaWarning)
        solution = solve(
            fault.problem, tol=fault.tol, budget=fault.budget, method=method
        )
    codes = [d.code for d in solution.report.diagnosis]
    return {
        "named": float(any(code in codes for code in fault.codes)),
        "codes": np.asarray(codes or ["none"]),
    }


def _quiet(problem: Problem) -> dict[str, Any]:
    """Whether there is no code."""
    jax.clear_caches()
    codes = [d.code for d in solve(problem, tol=1e-4).report.diagnosis]
    return {"quiet": float(not codes), "codes": np.asarray(codes or ["none"])}
