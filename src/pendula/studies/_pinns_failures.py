"""Parts `A1` and `A2_...` of study `pinns`: the published network and loss,
where they fail, and a published cure: windows of time one after the other."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import numpy as np

from ..solutions import (
    LBFGS,
    Deadline,
    InWindows,
    Network,
    NetworkConfig,
    Periodic,
    Problem,
    Whole,
)
from ._claim import Claim
from ._pinns import TALK, Case, left_out, pinns
from ._row import Row
from ._study import Run


_X, _T = 256, 100  # the published test grid

_CONVECTION = {20: 7.50e-1, 30: 8.97e-1, 40: 9.61e-1}
_RD = {
    2: (5.07e-1, 2.04e-2, 1.18e-2),
    3: (7.98e-1, 1.92e-2, 1.56e-2),
    4: (8.84e-1, 2.37e-2, 1.59e-2),
    5: (9.35e-1, 2.36e-2, 2.39e-2),
    6: (9.60e-1, 2.81e-2, 2.69e-2),
}
_REACTION = {
    5: (9.79e-1, 7.06e-2, 7.09e-2),
    6: (9.88e-1, 8.25e-2, 7.78e-2),
    7: (9.92e-1, 8.16e-2, 7.56e-2),
    8: (9.94e-1, 8.19e-2, 7.44e-2),
    9: (9.95e-1, 7.02e-2, 8.63e-2),
    10: (9.96e-1, 6.88e-2, 7.47e-2),
}
_TRIED = (
    "The published network (4 layers of 50), loss and tolerances, L-BFGS in float32."
)


def cases() -> dict[str, Case]:
    """Key -> problem: the three equations of the published tables."""
    return {
        **{
            f"convection_beta{b}": Case("convection", beta=float(b))
            for b in (1, 20, 30, 40)
        },
        **{f"rd_nu{n}": Case("reaction_diffusion", nu=float(n), rho=5.0) for n in _RD},
        **{f"reaction_rho{r}": Case("reaction", rho=float(r)) for r in _REACTION},
    }


def talk_points(
    problem: Problem, t0: float, t1: float, count: int, seed: int
) -> np.ndarray:
    """Points of a grid like that of the tests, its first row and column left out,
    drawn once (always with the same seed), as published."""
    lo, hi = problem.domain.bounds[0]  # type: ignore[union-attr]  # all have one
    x = np.linspace(lo, hi, _X, endpoint=False)[1:]
    t = np.linspace(t0, t1, _T)[1:]
    inner = np.stack(np.meshgrid(x, t, indexing="ij"), -1).reshape(-1, 2)
    chosen = np.random.default_rng(0).choice(len(inner), count, replace=False)
    return inner[chosen]


def talk_network(
    s: dict[str, Any], seed: int, strategy: Any, points: int | None = None
) -> Network:
    """The published network, loss and optimiser."""
    config = NetworkConfig(
        kind="plain",
        width=s["width"],
        depth=4,
        options=(("init", "uniform"),),
        hard=False,
        harmonics=0,
        raw=True,
        points=points or s["points"],
        collocation=talk_points,
        initial_points=_X,
        boundary_times=_T,
        dtype="float32",
        seed=seed,
    )
    return Network(config, LBFGS(steps=s["steps"]), strategy)


def talk_problem(case: Case) -> Problem:
    """The problem with periodic ends in the loss, for every equation."""
    problem = case.problem()
    if any(problem.domain.periodic):  # type: ignore[union-attr]  # all have one
        return problem
    return problem.replace(conditions=[*problem.conditions, Periodic("x")])


def trained(problem: Problem, case: Case, method: Network) -> dict[str, Any]:
    """Errors (against the truth, and the reference that was published with the
    failures), residuals at the points and between them, iterations and seconds of one
    training."""
    began = time.perf_counter()
    out = method.run(problem, 1e-4, Deadline())
    seconds = time.perf_counter() - began
    points = np.c_[np.tile(case.x, len(case.t)), np.repeat(case.t, len(case.x))]
    u = out.windows.values(points, [(0, 0)])[0, 0][:, 0]
    truth = case.truth()
    gap = u.reshape(truth.shape) - truth
    found = {
        "error": np.linalg.norm(gap) / np.linalg.norm(truth),
        "absolute": np.abs(gap).mean(),
        "at_points": out.train["equation"],
        "between": out.check["equation"],
        "iterations": out.iterations,
        "seconds": seconds,
    }
    if case.name == "reaction_diffusion":
        other = case.truth(reference="krishnapriyan2021")
        gap = u.reshape(other.shape) - other
        found["error_2021"] = np.linalg.norm(gap) / np.linalg.norm(other)
    return found


def talked(case: Case, method: Network) -> dict[str, Any]:
    """`trained` on the problem as published."""
    return trained(talk_problem(case), case, method)


def words(case: Case) -> str:
    """The equation and its coefficients."""
    params = ", ".join(f"{k} = {v:g}" for k, v in case.params.items())
    return f"{case.name.replace('_', '-')} {params}"


def _published(key: str, column: int) -> float | None:
    kind, value = key.split("_")[0], int("".join(c for c in key if c.isdigit()))
    if kind == "convection":
        # of its windows no digits were published
        return None if column else _CONVECTION.get(value)
    return (_RD if kind == "rd" else _REACTION)[value][column]


def _regular_rows() -> Iterator[Row]:
    for key, case in cases().items():
        must = key in ("convection_beta30", "convection_beta40")
        yield Row(
            f"pinns.A1.{key}",
            f"Relative L2 error of the published network trained on the whole domain "
            f"at once, {words(case)}.",
            better="higher" if must else "lower",
            target=0.5 if must else None,
            source=TALK,
            published=_published(key, 0),
            tried=_TRIED if must else None,
        )
        yield Row(
            f"pinns.A1.{key}_absolute",
            f"The same, mean absolute error, {words(case)}.",
        )
        yield Row(
            f"pinns.A1.{key}_seconds",
            f"Time of that training, {words(case)}.",
            "s",
            target=180.0 if must else None,
            tried=_TRIED if must else None,
        )


@pinns.part(
    "A1",
    tuple(_regular_rows()),
    full={"seeds": 1, "must_seeds": 5, "width": 50, "points": 1000, "steps": 15000},
    quick={
        "seeds": 1,
        "must_seeds": 1,
        "width": 6,
        "points": 50,
        "steps": 50,
        "only": ["convection_beta30"],
    },
)
def regular(run: Run) -> Iterator[Claim]:
    """The failure: everything in one loss."""
    s = run.settings
    for key, case in cases().items():
        if key not in s.get("only", [key]):
            yield from left_out(run, f"pinns.A1.{key}")
            continue
        must = key in ("convection_beta30", "convection_beta40")
        found = [
            run.keep(
                f"{key}_{seed}",
                lambda c=case, k=seed: talked(c, talk_network(s, k, Whole())),
            )
            for seed in range(s["must_seeds" if must else "seeds"])
        ]
        pick = lambda name, found=found: [float(one[name]) for one in found]
        yield run.row(f"pinns.A1.{key}").measured(pick("error"))
        yield run.row(f"pinns.A1.{key}_absolute").measured(pick("absolute"))
        yield run.row(f"pinns.A1.{key}_seconds").measured(pick("seconds"))


_THRICE = ("rd_nu5_dt01", "reaction_rho5_dt01")
FURTHER = (
    "The published network (4 layers of 50) and loss, L-BFGS in float64, stopped by "
    "smaller changes than published. No other optimiser."
)
_FLOAT64: dict[str, Any] = {"dtype": "float64", "tolerance": 1e-8}
_WARM: dict[str, Any] = {"dtype": "float64", "tolerance": 1e-12, "warm": True}
_LONGER = {
    **dict.fromkeys(("rd_nu2_dt005", "rd_nu2_dt01", "rd_nu3_dt005"), _FLOAT64),
    **{f"reaction_rho{r}_dt005": {**_WARM, "weight": 0.05} for r in _REACTION},
    **{f"reaction_rho{r}_dt01": {**_WARM, "weight": 0.1} for r in _REACTION},
}
"""Cells in which the published optimiser stopped short of the published digits, and how
they are trained instead. What does not travel gains by weights of the window before. A
residual r over a window of length dt makes an error of dt r in the solution, so that
the term of the equation is weighted by L = dt^2 there: with the published L = 1 short
windows hardly see their start, whose errors grow by exp(rho t)."""


def _windows(group: str) -> Iterator[tuple[str, Case, float, float | None]]:
    """(key, problem, length, target) of every cell of a part."""
    for key, case in cases().items():
        if key != "convection_beta1" and key.startswith(f"{group}_"):
            for column, dt in ((1, 0.05), (2, 0.1)):
                name = f"{key}_dt{dt:g}".replace(".", "")
                yield name, case, dt, _published(key, column)


def _window_rows(group: str) -> Iterator[Row]:
    for key, case, dt, target in _windows(group):
        longer = key in _LONGER
        tried = FURTHER if longer else _TRIED
        what = f"windows, dt={dt:g}" + (", in float64" if longer else "")
        if _LONGER.get(key, {}).get("warm"):
            what += ", each from the weights of the one before, L = dt^2"
        yield Row(
            f"pinns.A2.{key}",
            f"Relative L2 error of the published network with {what}, {words(case)}.",
            target=target,
            source=TALK,
            published=target,
            tried=tried if target is not None else None,
        )
        if case.name == "reaction_diffusion":
            yield Row(
                f"pinns.A2.{key}_2021",
                f"The same against the published reference, which itself is off by "
                f"more than half a percent, {words(case)}, {what}.",
                source=TALK,
                published=target,
            )
        yield Row(
            f"pinns.A2.{key}_seconds",
            f"Time of all its trainings, {words(case)}, {what}.",
            "s",
            target=600.0,
            tried=tried,
        )


def _cell(key: str, dt: float, s: dict[str, Any], seed: int) -> Network:
    if key in _LONGER:
        return further(s, seed, InWindows(dt), _LONGER[key])
    return talk_network(s, seed, InWindows(dt))


def further(
    s: dict[str, Any], seed: int, strategy: Any, how: dict[str, Any]
) -> Network:
    """The published network and loss, trained further."""
    network, tol = talk_network(s, seed, strategy), how["tolerance"]
    return dataclasses.replace(
        network,
        config=dataclasses.replace(
            network.config,
            dtype=how["dtype"],
            warm=how.get("warm", False),
            weights=(("equation", how.get("weight", 1.0)),),
        ),
        optimiser=LBFGS(s["steps"], tolerance_grad=tol, tolerance_change=tol),
    )


def cell(
    run: Run, key: str, case: Case, method: Callable[[int], Network], count: int = 1
) -> Generator[Claim, None, list[dict[str, Any]]]:
    """The rows of a cell of `A2`, of as many trainings as are asked for; returns the
    trainings, none where the rows stand already."""
    if not run.wants(f"pinns.A2.{key}"):
        return []
    found = [
        run.keep(f"{key}_{seed}", lambda k=seed: talked(case, method(k)))
        for seed in range(count)
    ]
    pick = lambda name: [float(one[name]) for one in found]
    yield run.row(f"pinns.A2.{key}").measured(pick("error"))
    if case.name == "reaction_diffusion":
        yield run.row(f"pinns.A2.{key}_2021").measured(pick("error_2021"))
    yield run.row(f"pinns.A2.{key}_seconds").measured(pick("seconds"))
    return found


FULL = {"width": 50, "points": 1000, "steps": 15000, "more": 3}
QUICK = {"width": 6, "points": 50, "steps": 30, "more": 1}
_ONLY = {"convection": [], "rd": [], "reaction": ["reaction_rho5_dt01"]}
for _group, _quick in _ONLY.items():

    @pinns.part(
        f"A2_{_group}",
        tuple(_window_rows(_group)),
        full=FULL,
        quick={**QUICK, "only": _quick},
    )
    def windows(run: Run, group: str = _group) -> Iterator[Claim]:
        """Windows of time: every cell once, a few of them three times."""
        s = run.settings
        for key, case, dt, _ in _windows(group):
            if key not in s.get("only", [key]):
                yield from left_out(run, f"pinns.A2.{key}")
                continue
            count = s["more"] if key in _THRICE else 1
            method = lambda seed, i=key, h=dt: _cell(i, h, s, seed)
            yield from cell(run, key, case, method, count)
