"""Part `family` of study `pinns`: one problem at a hundred sets of parameters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..solutions import named_problem, solve, solve_family
from ._claim import Claim
from ._pinns import Case, left_out, pinns
from ._row import Row
from ._study import Run


_FAMILIES: dict[str, tuple[str, str, tuple[float, float], dict[str, float]]] = {
    # problem, the parameter that varies, its range, the others
    "convection": ("convection", "beta", (1.0, 30.0), {}),
    "reaction": ("reaction", "rho", (1.0, 5.0), {}),
    "rd": ("reaction_diffusion", "nu", (2.0, 6.0), {"rho": 5.0}),
}
_TRIED = "The defaults of `solve_family`."


def _rows() -> Iterator[Row]:
    for key, (name, param, (lo, hi), _) in _FAMILIES.items():
        what = f"100 sets of {name}, {param} from {lo:g} to {hi:g}, solve_family"
        yield Row(
            f"pinns.family.{key}",
            f"Relative L2 error of the worst set, {what}(tol=1e-4).",
            target=1e-4,
            tried=_TRIED,
        )
        yield Row(f"pinns.family.{key}_seconds", f"Time with compiling, {what}.", "s")
        yield Row(
            f"pinns.family.{key}_run_seconds",
            f"Time without compiling, {what}.",
            "s",
        )
        yield Row(
            f"pinns.family.{key}_alone",
            f"Sets that were solved one by one in the end, {what}.",
        )
        yield Row(
            f"pinns.family.{key}_gain",
            f"Time of 100 single solves (5 measured) over that, {what}.",
            better="higher",
            target=1.0,
            tried=_TRIED,
        )


@pinns.part(
    "family",
    tuple(_rows()),
    full={"sets": 100, "singles": 5, "only": []},
    quick={"sets": 3, "singles": 1, "only": ["convection"]},
)
def family(run: Run) -> Iterator[Claim]:
    """A hundred coefficients at once."""
    s = run.settings
    for key in _FAMILIES:
        if s["only"] and key not in s["only"]:
            yield from left_out(run, f"pinns.family.{key}")
            continue
        found = run.keep(key, lambda k=key: _one(k, s["sets"], s["singles"]))
        stem = f"pinns.family.{key}"
        yield run.row(stem).measured(float(found["error"]))
        yield run.row(f"{stem}_seconds").measured(float(found["seconds"]))
        yield run.row(f"{stem}_run_seconds").measured(float(found["run"]))
        yield run.row(f"{stem}_alone").measured(float(found["alone"]))
        yield run.row(f"{stem}_gain").measured(float(found["gain"]))


def _one(key: str, sets: int, singles: int) -> dict[str, Any]:
    name, param, (lo, hi), fixed = _FAMILIES[key]
    values = np.linspace(lo, hi, sets)
    jax.clear_caches()
    began = time.perf_counter()
    found = solve_family(  # no estimate, as for the single ones below
        named_problem(name, **{param: hi}, **fixed),
        {param: values},
        tol=1e-4,
        check=False,
    )
    seconds = time.perf_counter() - began
    cases = [Case(name, **{param: float(value)}, **fixed) for value in values]
    truths = np.stack([case.truth() for case in cases])
    gap = found(cases[0].x[None, :], cases[0].t[:, None]) - truths
    size = np.linalg.norm(truths, axis=(1, 2))
    errors = np.linalg.norm(gap, axis=(1, 2)) / size
    began = time.perf_counter()
    for value in np.linspace(lo, hi, singles):
        problem = named_problem(name, **{param: float(value)}, **fixed)
        solve(problem, tol=1e-4, check=False)
    alone = (time.perf_counter() - began) / singles * sets
    return {
        "error": errors.max(),
        "seconds": seconds,
        "run": found.seconds_run,
        "alone": len(found.alone),
        "gain": alone / seconds,
    }
