"""The numbers of the page of a solved equation: values on a grid, errors, residuals,
cost, and the verdict."""

from __future__ import annotations

import dataclasses
import math
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import ConfigError
from .._files import replacing
from .._machine import cores, revision, versions
from .._source import cite
from ..solutions import (
    PROBLEMS,
    Solution,
    TanhFeatures,
    misfit_words,
    truth_call,
    truth_of,
)
from ..systems import classical_time, truth_error
from ._numbers import listing, number
from ._run_folder import write_report
from ._solve_figures import as_typed
from ._solve_found import spans_of
from ._solve_grid import Grid, grid_of
from ._toml import to_toml
from ._write import write_numbers


CONFIG = ("problem", "params", "tol", "budget", "method", "options", "seed", "check")


def write_solution(
    folder: str | Path,
    solution: Solution,
    *,
    name: str | None = None,
    params: dict[str, Any] | None = None,
    source: tuple[str, str] | None = None,
    config: dict[str, Any] | None = None,
    command: str | None = None,
    seconds: float | None = None,
    compare: bool = True,
) -> Path:
    """Write the run folder of a solved equation: `solution.json` (its report),
    `arrays.npz` (values, errors and residuals on a grid), `config.toml`, `report.json`
    and the page `report.html`.

    **Arguments:**
    - `name`, `params`: of a problem of `pendula.solutions.PROBLEMS`; its truth is
      then compared with.
    - `source`: name and text of the file that a problem was read from.
    - `config`: what was asked for, for the page; `command`: what was typed.
    - `seconds`: wall time of the whole `solve`, its checks included.
    - `compare`: whether truth and classical solver are computed.

    **Returns:** the path of the page.
    **Raises:** `ConfigError` for a name or a parameter that is not known.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.report import write_solution
    >>> from pendula.solutions import Initial, Problem, solve
    >>> decay = Problem(
    ...     lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    ... )
    >>> found = solve(decay, check=False)
    >>> write_solution("runs/decay", found).name
    'report.html'

    ```
    """
    folder = Path(folder)
    grid = grid_of(solution)
    told: dict[str, Any] = {
        "report": dataclasses.asdict(solution.report),
        "problem": _problem_facts(solution, name, source),
        "seconds": seconds,
        "reached": grid.reached,
        "residual": _largest(grid),
        "estimated": _estimated(grid, solution.report.estimate),
    }
    arrays = grid.arrays()
    # at the start alone a solution is what it was given: that tells no error
    tells = not grid.timed or grid.solved > 1
    if name is not None and compare and tells:
        call = truth_call(name, **(params or {}))
        if call is not None:
            error, more = _against(grid, name, params or {}, call)
            told["error"], arrays = error, {**arrays, **more}
            told["classical"] = _rival(grid, call, error["overall"])
    report = {
        "format": 1,
        "kind": "solve",
        "title": solution.problem.name.replace("_", " "),
        "solve": told,
        "verdict": solve_verdict(told),
        "reproduce": _reproduce_facts(
            name, solution.report.method, config or {}, command
        ),
    }
    write_report(folder / "solution.json", told["report"])
    with replacing(folder / "config.toml") as temporary:
        temporary.write_text(to_toml(report["reproduce"]["config"]), encoding="utf-8")
    return write_numbers(folder, report, arrays)


def solve_verdict(told: dict[str, Any]) -> dict[str, Any]:
    """Whether a solution can be used, in a sentence, with the reasons; `trust` is None
    where nobody has checked.

    It can where the solver reached its tolerance, the estimated error (and the true
    one, where it is known) keeps it, and no fault was found.
    """
    report, error = told["report"], told.get("error") or {}
    tol, estimated = report["tol"], told.get("estimated")
    asked, reasons = as_typed(tol), _unfinished(told)
    allowed = tol + (error.get("truth") or 0.0)
    for what, value, most in (
        ("estimated", estimated, tol),
        ("true", error.get("overall"), allowed),
    ):
        if value is not None and not value <= most:
            reasons.append(f"The {what} error is {number(value, 2)}, above {asked}.")
    found = [str(d["code"]) for d in report.get("diagnosis") or []]
    if found:
        reasons.append(f"Diagnosis: {', '.join(found)}; see below.")
    spans, open_ = spans_of(report)
    if report.get("lacking"):
        reasons.append(f"It has not one solution: {report['lacking']}.")
    if open_:
        reasons.append(f"The measurements do not determine {listing(open_)}.")
    if reasons:
        text = f"Not solved to {asked}: do not use it unseen."
        return {"trust": False, "text": text, "reasons": reasons}
    told_of = "was not estimated"
    if estimated is not None:
        last = number(_until(told))
        told_of = f"was estimated up to t = {last} only: the time for it was up"
    if estimated is None or _until(told) < told["reached"]:
        text = f"The solver reached {asked} by its own residual. The error {told_of}."
        return {"trust": None, "text": text, "reasons": _as_found(told, spans)}
    reasons = _as_found(told, spans)
    if (report.get("estimate") or {}).get("converged") is False:
        reasons.append("The finer solve of the estimate missed the tolerance itself.")
    text = f"Solved to {asked}: the estimated error is {number(estimated, 2)}."
    return {"trust": True, "text": text, "reasons": reasons}


def _as_found(told: dict[str, Any], spans: dict[str, str]) -> list[str]:
    """What an estimated error leaves out: that parameters were fitted."""
    unknown = told["report"].get("unknown") or {}
    if not unknown or "Observation" not in told["problem"].get("conditions", ()):
        return []
    if not spans:
        return [f"How sure {listing(list(unknown))} is, this method does not say."]
    each = listing([f"{key} from {span}" for key, span in spans.items()])
    return [
        f"That is for parameters as found. With 95 % the measurements allow {each}, "
        "which changes the solution, too."
    ]


def _estimated(grid: Grid, estimate: dict[str, Any] | None) -> float | None:
    """The estimated error; of what was solved, where the end was not reached."""
    if estimate is None:
        return None
    if grid.solved == len(grid.times):
        return float(estimate["overall"])
    return float(max(grid.curves["solve/estimate"], default=math.nan))


def _until(told: dict[str, Any]) -> float:
    """The last time whose error was estimated."""
    estimate = told["report"].get("estimate") or {}
    return float(estimate.get("until", told["reached"]))


def _unfinished(told: dict[str, Any]) -> list[str]:
    """Why the solver itself says that it did not arrive."""
    report, time = told["report"], told["problem"].get("time")
    if report["converged"]:
        return []
    if report.get("missed") is not None:
        words = misfit_words(report["missed"])
        return [f"{words[0].upper()}{words[1:]}."]
    if time is not None and told["reached"] < time[1]:
        why = str(report.get("ended") or "the budget ended")
        return [
            f"{why[0].upper()}{why[1:]} at t = {number(told['reached'])} of "
            f"{number(time[1])}; nothing is shown beyond."
        ]
    if report.get("lacking"):
        return []  # that is the reason
    estimated = told.get("estimated")
    above = estimated is not None and not estimated <= report["tol"]
    if above or report.get("diagnosis"):
        return []  # those are told beside
    return ["The residual between the points stayed above what the tolerance allows."]


def _problem_facts(
    solution: Solution, name: str | None, source: tuple[str, str] | None
) -> dict[str, Any]:
    """The problem in words and numbers."""
    problem = solution.problem
    domain = problem.domain
    space = []
    if domain is not None:
        rows = zip(domain.coords, domain.bounds, domain.periodic, strict=True)
        space = [[c, *map(float, ends), bool(round_)] for c, ends, round_ in rows]
    kinds = [type(c).__name__ for c in problem.conditions]
    return {
        "name": problem.name,
        "text": PROBLEMS[name].help if name else None,
        "origin": PROBLEMS[name].origin if name else None,
        "terms": problem.law.names(),
        "fields": list(problem.fields),
        "space": space,
        "time": None if problem.time is None else list(map(float, problem.time)),
        "conditions": kinds,
        "params": {
            key: np.asarray(value).tolist() for key, value in solution.params.items()
        },
        "unknown": dict(solution.unknown),
        "source": None if source is None else list(source),
    }


def _against(
    grid: Grid, name: str, params: dict[str, Any], call: tuple[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The error against the truth, over time and in all; how good the truth is."""
    truth = truth_of(name, grid.points, grid.times, **params)
    assert truth is not None  # it has a call
    ours = grid.values[:, : grid.solved]
    known = np.asarray([bool(np.isfinite(one).all()) for one in truth])
    gap = ours[known] - truth[known, : grid.solved]
    size = truth[known, : grid.solved]
    each = np.linalg.norm(gap, axis=(0, 2)) / np.linalg.norm(size, axis=(0, 2))
    line = _line(grid, call[0])
    told = {
        "overall": float(np.linalg.norm(gap) / np.linalg.norm(size)),
        "absolute": float(np.mean(np.abs(gap))),
        "truth": float(truth_error(call[0], line, grid.times, **call[1]).max()),
        "fields": [f for k, f in enumerate(grid.fields) if known[k]],
    }
    return told, {"solve/truth": grid.shaped(truth), "solve/error": each}


def _line(grid: Grid, truth: str) -> np.ndarray:
    """Points as `pde_truth` wants them."""
    if truth == "lorenz":
        return np.arange(3.0)
    return grid.points[:, 0] if grid.points.shape[1] == 1 else grid.points


def _rival(
    grid: Grid, call: tuple[str, dict[str, Any]], error: float
) -> dict[str, Any] | None:
    """A classical solver at the same error, or why there is none to compare with."""
    if grid.solved < len(grid.times) or not (math.isfinite(error) and error > 0.0):
        return None
    try:
        found = classical_time(
            call[0], error, x=_line(grid, call[0]), t=grid.times, **call[1]
        )
    except ConfigError as why:
        return {"why": str(why)}
    return dataclasses.asdict(found)


def _largest(grid: Grid) -> dict[str, Any] | None:
    """RMS and place of the largest residual, relative to the equation's largest
    term."""
    size = np.abs(grid.residual[:, : grid.solved])
    if not np.isfinite(size).any():
        return None
    _, when, where = np.unravel_index(int(np.nanargmax(size)), size.shape)
    at = dict(zip(grid.names, map(float, grid.points[where]), strict=True))
    if grid.timed:
        at["t"] = float(grid.times[when])
    return {
        "rms": float(np.sqrt(np.nanmean(size**2))),
        "largest": float(np.nanmax(size)),
        "at": at,
    }


def _reproduce_facts(
    name: str | None, method: str, config: dict[str, Any], command: str | None
) -> dict[str, Any]:
    """What is needed to do it again."""
    cited = [PROBLEMS[name].origin] if name else []
    if method == "frozen":
        cited.append(cite(TanhFeatures.source))
    return {
        "command": command,
        "config": {
            k: v for k, v in config.items() if k in CONFIG and v not in (None, {})
        },
        "versions": versions(),
        "seed": config.get("seed"),
        "platform": platform.platform(),
        "device": str(jax.devices()[0]),
        "cpus": cores(),
        "revision": revision(),
        "citations": cited,
    }
