"""Parts `A3` and `A5` of study `pinns`: frozen features on problems of one dimension,
their own estimates and certificates, and the classical solver's time at equal error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..solutions import PROBLEMS, solve
from ..systems import classical_time
from ._claim import Claim
from ._pinns import Case, left_out, pinns
from ._row import Row
from ._study import Run


_SWEEP: dict[str, Case] = {
    **{
        f"convection_beta{b}": Case("convection", beta=float(b))
        for b in (1, 10, 20, 30, 40, 50, 70, 100)
    },
    **{f"reaction_rho{r}": Case("reaction", rho=float(r)) for r in range(1, 11)},
    **{
        f"rd_nu{n}": Case("reaction_diffusion", nu=float(n), rho=5.0)
        for n in range(2, 7)
    },
}
_PARTS = ("A3", "A6", "A9")
_TRIED = (
    "Frozen tanh features, windows by the residual between the points, the defaults "
    "of `solve`."
)

_ESTIMATE = "A second solve with 1.5 times the features and points, other seed."


def _least(case: Case) -> float:
    """The smallest error that a classical solver is asked for: its own truth is a
    splitting's for the equation with both terms."""
    return 2e-8 if case.name == "reaction_diffusion" else 1e-12


def _floor(case: Case) -> str:
    least = _least(case)
    return f" ({least:g} where ours is below)" if least > 1e-12 else ""


def _rows() -> Iterator[Row]:
    for key, case in _SWEEP.items():
        words = ", ".join(f"{k} = {v:g}" for k, v in case.params.items())
        what = f"{case.name.replace('_', '-')} {words}, solve(tol=1e-4)"
        yield Row(
            f"pinns.A3.{key}",
            f"Relative L2 error, {what}.",
            target=1e-4,
            goal=1e-6,
            tried=_TRIED,
        )
        yield Row(
            f"pinns.A3.{key}_seconds",
            f"Wall time with compiling, without its own estimate of the error, {what}.",
            "s",
            target=30.0,
            tried=_TRIED,
        )
        yield Row(
            f"pinns.A3.{key}_whole_seconds",
            f"Wall time of the whole call, its estimate, certificate and diagnosis "
            f"included, {what}.",
            "s",
        )
        yield Row(
            f"pinns.A6.{key}",
            f"Estimated over true error (effectivity), {what}.",
            better="within",
            target=(0.5, 2.0),
            tried=_ESTIMATE,
        )
        yield Row(
            f"pinns.A6.{key}_certificate",
            f"Certified bound over true error, {what}.",
            better="higher",
            target=1.0,
            tried="The bound by growth rate and residual, sampled.",
        )
        yield Row(
            f"pinns.A9.{key}",
            f"Time of the classical solver at the error of {what}{_floor(case)}.",
            "s",
        )


@pinns.part(
    "A3",
    tuple(_rows()),
    full={"seeds": 5, "tol": 1e-4, "only": []},
    quick={"seeds": 1, "tol": 1e-3, "only": ["convection_beta10"]},
)
def sweep(run: Run) -> Iterator[Claim]:
    """Every problem with five sets of neurons; programs are compiled anew each time."""
    s = run.settings
    for key, case in _SWEEP.items():
        if s["only"] and key not in s["only"]:
            yield from left_out(run, *(f"pinns.{part}.{key}" for part in _PARTS))
            continue
        found = [
            run.keep(f"{key}_{seed}", lambda c=case, k=seed: _one(c, s["tol"], k))
            for seed in range(s["seeds"])
        ]
        errors = np.asarray([float(one["error"]) for one in found])
        yield run.row(f"pinns.A3.{key}").measured(errors)
        seconds = [float(one["seconds"]) for one in found]
        yield run.row(f"pinns.A3.{key}_seconds").measured(seconds)
        whole = [float(one["whole"]) for one in found]
        yield run.row(f"pinns.A3.{key}_whole_seconds").measured(whole)
        estimates = np.asarray([float(one["estimate"]) for one in found])
        yield run.row(f"pinns.A6.{key}").measured(estimates / errors)
        bounds = np.asarray([float(one["bound"]) for one in found])
        yield run.row(f"pinns.A6.{key}_certificate").measured(bounds / errors)
        classical = classical_time(
            case.name, max(float(np.median(errors)), _least(case)), **case.params
        )
        yield run.row(f"pinns.A9.{key}").measured(classical.seconds)


def _one(case: Case, tol: float, seed: int) -> dict[str, Any]:
    """One solve from nothing, with its own opinion of itself."""
    jax.clear_caches()
    began = time.perf_counter()
    solution = solve(case.problem(), tol=tol, seed=seed)
    whole = time.perf_counter() - began
    report = solution.report
    estimate, certificate = report.estimate, report.certificate
    return {
        "error": case.error(solution),
        "seconds": report.seconds_compile + report.seconds_run,
        "whole": whole,
        "estimate": np.nan if estimate is None else estimate["overall"],
        "bound": np.nan if certificate is None else certificate["overall"],
        "converged": report.converged,
    }


def _suited(name: str) -> dict[str, Any]:
    """Options of solve that suit a named problem."""
    return {"tol": 1e-4, **PROBLEMS[name].options}


_HARD: dict[str, tuple[Case, dict[str, Any], float, float | None, float]] = {
    # problem, options of solve, target, goal, seconds
    "burgers": (Case("burgers"), _suited("burgers"), 1e-4, 1e-6, 300.0),
    "allen_cahn": (Case("allen_cahn"), _suited("allen_cahn"), 2e-4, 2e-5, 600.0),
    "ks_regular": (Case("ks_regular"), _suited("ks_regular"), 1e-3, None, 600.0),
    "lorenz": (Case("lorenz").until(10.0), _suited("lorenz"), 1e-4, None, 180.0),
    "ks_chaotic": (
        Case("ks_chaotic").until(0.4),
        _suited("ks_chaotic"),
        1e-2,
        None,
        600.0,
    ),
}
_PUBLISHED = {
    "burgers": 4.0e-5,
    "allen_cahn": 2.24e-5,
    "ks_regular": 3.5e-4,
    "ks_chaotic": 2.3e-2,
}


def _hard_rows() -> Iterator[Row]:
    for key, (case, options, target, goal, seconds) in _HARD.items():
        own = ", and settings of its own" if len(options) > 1 else ""
        what = f"{key}, solve(tol={options['tol']:g}{own})"
        worst = " (the worst component)" if case.name == "lorenz" else ""
        yield Row(
            f"pinns.A5.{key}",
            f"Relative L2 error{worst}, {what}.",
            target=target,
            goal=goal,
            published=_PUBLISHED.get(key),
            tried=_TRIED,
        )
        yield Row(
            f"pinns.A5.{key}_seconds",
            f"Wall time with compiling, {what}.",
            "s",
            target=seconds,
            tried=_TRIED,
        )
        yield Row(
            f"pinns.A9.{key}",
            f"Time of the classical solver at the error of {what}.",
            "s",
        )


@pinns.part(
    "A5",
    tuple(_hard_rows()),
    full={"seeds": 3, "only": []},
    quick={"seeds": 1, "only": ["lorenz"]},
)
def hard(run: Run) -> Iterator[Claim]:
    """Sharp fronts, fourth derivatives, chaos."""
    s = run.settings
    for key, (case, options, _, _, seconds) in _HARD.items():
        if s["only"] and key not in s["only"]:
            yield from left_out(run, f"pinns.A5.{key}", f"pinns.A9.{key}")
            continue
        found = [
            run.keep(
                f"{key}_{seed}",
                lambda c=case, o=options, b=seconds, k=seed: _hard_one(c, o, b, k),
            )
            for seed in range(s["seeds"])
        ]
        errors = np.asarray([float(one["error"]) for one in found])
        yield run.row(f"pinns.A5.{key}").measured(errors)
        times = [float(one["seconds"]) for one in found]
        yield run.row(f"pinns.A5.{key}_seconds").measured(times)
        classical = classical_time(
            case.name,
            max(float(np.median(errors)), 1e-9),
            x=case.x,
            t=case.t,
            **case.params,
        )
        yield run.row(f"pinns.A9.{key}").measured(classical.seconds)


def _hard_one(
    case: Case, options: dict[str, Any], budget: float, seed: int
) -> dict[str, Any]:
    jax.clear_caches()
    began = time.perf_counter()
    solution = solve(
        case.problem(), seed=seed, budget=0.95 * budget, check=False, **options
    )
    seconds = time.perf_counter() - began
    if case.name != "lorenz":
        return {"error": case.error(solution), "seconds": seconds}
    truth, ours = case.truth(), case.values(solution)
    each = np.linalg.norm(ours - truth, axis=0) / np.linalg.norm(truth, axis=0)
    return {"error": each.max(), "seconds": seconds}
