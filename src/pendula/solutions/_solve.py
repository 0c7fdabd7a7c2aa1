"""`solve`: from a problem to a solution that says how good it is."""

from __future__ import annotations

import math
import re
import resource
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._checks import positive, whole
from .._compile_clock import CompileClock
from .._errors import ConfigError, PendulaWarning
from ._certificate import certificate
from ._diagnose import diagnose
from ._estimate import estimate, grid
from ._faults import APART
from ._form import HardForm
from ._given import told, yes_or_no
from ._jumps import jumps, keeps_jumps
from ._lacking import lacking
from ._methods import method_of
from ._outcome import SAFETY, Deadline, Method, Outcome
from ._problem import Problem, check_problem
from ._report import SolveReport
from ._solution import Solution
from ._width import width


_BUDGET = re.compile(
    r"\s*(\d+\.?\d*|\.\d+)\s*(s|sec|seconds?|min|minutes?|h|hours?)\s*"
)
_LOOKED = (64, 9)  # points and times at which sizes are looked at
_NOTHING = 1e-12
_LOOSE = 0.1
_SPENT = "the budget ended"
_FINER = 5.0  # budgets that the second solve may take
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def solve(
    problem: Problem,
    *,
    tol: float = 1e-4,
    budget: str | float | None = None,
    method: str | Method = "frozen",
    check: bool = True,
    seed: int = 0,
    **options: Any,
) -> Solution:
    """Solve a differential equation.

    **Arguments:**
    - `problem`: see `Problem`.
    - `tol`: relative error in L2 that is asked for, above 0.
    - `budget`: time for the solution itself, "2 min" or seconds; None for no limit. A
      solve that runs out of it gives the best so far, with `converged` False. The finer
      one of its check may take five times as much.
    - `method`: a name of `METHODS` or its settings; `options` change them.
    - `check`: whether the error is estimated by a second, finer solve, certified where
      there is a bound, and diagnosed. Costs more than the solve.
    - `seed`: same seed, same problem, same machine: same bits.

    **Returns:** `Solution`.
    **Raises:** `ConfigError` for settings that cannot be used; whatever is wrong with a
    problem is said when it is made.
    **Warns:** `PendulaWarning` for a problem that has not one solution; for a start
    that jumps, or does not fit the ends, in value or slope, where the solution keeps
    it; for fewer rows than weights; for a field that is 1e4 times smaller than
    another one; for a `sigma_r` that is a tenth of the solution.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import Initial, Interval, Problem, solve
    >>> wave = Problem(
    ...     lambda u, x, t, p: u.t + p.beta * u.x,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ...     params={"beta": 10.0},
    ... )
    >>> found = solve(wave, tol=1e-4, check=False)
    >>> x = np.linspace(0.0, 6.0, 7)
    >>> bool(np.abs(found(x, 1.0) - np.sin(x - 10.0)).max() < 1e-4)
    True

    ```
    """
    check_problem("solve", problem)
    positive("solve", tol=tol)
    yes_or_no("solve: check is", check)
    whole(0, "solve", seed=seed)
    chosen = _method(method, seed, options)
    seconds = parse_budget(budget)
    began = time.perf_counter()
    with CompileClock() as clock:
        outcome = chosen.run(problem, tol, Deadline.after(seconds))
        ran = time.perf_counter() - began
        compiled = clock.seconds
    report = _report(problem, chosen, outcome, tol, compiled, ran)
    for doubt in _doubts(problem, outcome, report):
        warnings.warn(f"solve: {doubt}", PendulaWarning, stacklevel=2)
    solution = Solution(problem, outcome.windows, report, outcome.unknown)
    if check:
        limit = Deadline.after(_FINER * seconds)
        solution.report = _checked(solution, chosen, outcome, limit)
    return solution


def _doubts(problem: Problem, outcome: Outcome, report: SolveReport) -> Iterator[str]:
    """What may be wrong with a solution before its error is looked at."""
    if outcome.lacking:
        yield (
            f"{outcome.lacking}. Check the conditions: Dirichlet or Integral tells "
            "such functions apart."
        )
    given = None if outcome.lacking else report.lacking
    yield from of_problem(problem, outcome.windows.form, given)
    rows = outcome.points * problem.law.equations
    each = outcome.weights // max(1, len(outcome.windows.parts))
    if rows < each:
        yield (
            f"{rows} rows of equation and conditions do not determine {each} weights. "
            "Give more points, or fewer features."
        )
    yield from _unlike(problem, outcome)


def of_problem(problem: Problem, form: HardForm, lacking: str | None) -> Iterator[str]:
    """What is wrong with what was given, whoever solves it."""
    if lacking:
        yield (
            f"{lacking}. Give Dirichlet, Neumann, Robin or Periodic there, or "
            "periodic=True."
        )
    for jump in jumps(problem, form):
        rest = (
            "a smooth start"
            if jump.at is not None
            else ("a start that fits, or other boundary values")
        )
        yield f"{jump.text}. The solution keeps it; give {rest}."


def _unlike(problem: Problem, outcome: Outcome) -> Iterator[str]:
    """Numbers that are too small to count beside others."""
    fitted = bool(problem.unknowns) and problem.at_once
    sigma = getattr(outcome.used, "sigma_r", 0.0) if fitted else 0.0
    if len(problem.fields) == 1 and not sigma:
        return
    points, _, _ = grid(problem, *_LOOKED, until=outcome.windows.reached())
    zero = (0,) * len(problem.coords)
    values = outcome.windows.values(points, [zero])[zero]
    with np.errstate(over="ignore", invalid="ignore"):  # of one that has run away
        sizes = np.sqrt(np.mean(values**2, axis=0))
    least, most = int(sizes.argmin()), int(sizes.argmax())
    # what is no more than rounding is meant to be 0
    if _NOTHING * sizes[most] < sizes[least] < sizes[most] / APART:
        yield (
            f'the field "{problem.fields[least]}" is {sizes[least] / sizes[most]:.1g} '
            f'of "{problem.fields[most]}" in size, and tol is of all together, so that '
            "its own error may be large. Give it a unit in which they are alike."
        )
    if sigma > _LOOSE * sizes[most]:
        yield (
            f"sigma_r is {sigma:g}, and the solution {sizes[most]:.1g} in size: the "
            "equation says little about what is looked for. Give a smaller one, or "
            "another unit."
        )


def parse_budget(budget: str | float | None) -> float:
    """Seconds from "2 min", "30 s", "1 h" or a number. **Raises:** `ConfigError`."""
    if budget is None:
        return math.inf
    if isinstance(budget, str):
        match = _BUDGET.fullmatch(budget)
        if match is None:
            raise ConfigError(f'budget "{budget}": write it as "30 s", "2 min", "1 h".')
        budget = float(match[1]) * _UNITS[match[2][0]]
    try:
        known = not isinstance(budget, bool) and budget > 0.0
    except (TypeError, ValueError):
        known = False
    if not known:
        raise ConfigError(
            f"budget is {told(budget)}; it has to be above 0 seconds, or a text: "
            '"30 s", "2 min", "1 h".'
        )
    return float(budget)


def _method(method: str | Method, seed: int, options: dict[str, Any]) -> Method:
    """The settings of a method, with the options given."""
    if not isinstance(method, str):
        if options:
            raise ConfigError(
                f"solve: {next(iter(options))} was given beside the settings of a "
                "method. Put it into them."
            )
        if isinstance(method, type) or not isinstance(method, Method):
            raise ConfigError(
                f"solve: method is {method!r}; give a name of METHODS, or the settings "
                "of a method: Frozen(), Network()."
            )
        return method
    return method_of(method, {"seed": seed, **options})


def _report(
    problem: Problem,
    method: Method,
    outcome: Outcome,
    tol: float,
    compiled: float,
    ran: float,
) -> SolveReport:
    """The numbers of the solve itself."""
    edges = [problem.span()[0], *outcome.windows.ends().tolist()]
    whole = outcome.windows.reached() >= problem.span()[1]
    apart = keeps_jumps(problem, outcome.windows.form, tol)
    return SolveReport(
        problem=problem.name,
        method=method.name,
        converged=outcome.converged and not apart,
        tol=tol,
        windows=edges if problem.time is not None else [],
        weights=outcome.weights,
        points=outcome.points,
        iterations=outcome.iterations,
        seconds_compile=compiled,
        seconds_run=max(ran - compiled, 0.0),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        train=outcome.train,
        check=outcome.check,
        condition=outcome.condition,
        notes=outcome.notes,
        unknown=outcome.unknown,
        unknown_sd=outcome.unknown_sd,
        unknown_interval=outcome.unknown_interval,
        missed=outcome.missed,
        lacking=lacking(problem, outcome.windows, outcome.unknown) or outcome.lacking,
        ended="" if whole else outcome.ended or _SPENT,
    )


def _checked(
    solution: Solution, method: Method, outcome: Outcome, limit: Deadline
) -> SolveReport:
    """The report with estimate, certificate and diagnosis."""
    report = solution.report.replace(
        estimate=estimate(solution, method, outcome, limit),
        certificate=certificate(solution),
        width=width(solution),
    )
    report = report.replace(
        converged=report.converged or _made_up(report, solution, outcome)
    )
    found = diagnose(solution, report, outcome)
    # a residual may keep the tolerance while what it leaves grows beyond it
    kept = report.lacking or report.estimate["overall"] <= report.tol  # type: ignore[index]  # set above
    return report.replace(diagnosis=found, converged=report.converged and bool(kept))


def _made_up(report: SolveReport, solution: Solution, outcome: Outcome) -> bool:
    """Whether the estimated error makes up for a residual that keeps the tolerance, and
    not the room that errors are given to grow: it is as small as that residual should
    have been, and so the errors have not grown."""
    found = report.estimate
    if not (outcome.near and found and found["converged"]):
        return False
    if found["until"] < solution.reached or found["overall"] > SAFETY * report.tol:
        return False
    return not keeps_jumps(solution.problem, outcome.windows.form, report.tol)
