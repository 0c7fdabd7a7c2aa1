"""How long a classical solver takes to an error: the baseline of learned solutions."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.integrate
import scipy.interpolate
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, DivergedError
from ._pde_forms import closed_form, initial_field
from ._pde_solvers import (
    FLOWS,
    PeriodicFlow,
    fourier_shift,
    lorenz_path,
    torus_solve,
)
from ._pde_truths import pde_truth, truth_grid


_FEWEST, _MOST = 8, 200_000
"""Steps in time that the search tries."""

_Run = Callable[[int, int], tuple[np.ndarray, int]]


@dataclasses.dataclass(frozen=True)
class ClassicalTime:
    """What a classical solver needs for an error.

    **Source:** ours.
    """

    name: str
    """The problem, as in `pde_truth`."""
    method: str
    """The solver, in words."""
    seconds: float
    """Wall time of one solve, with its way to the points and times: median of 3."""
    error: float
    """Relative L2 error that it reached there."""
    modes: int
    """Modes (nodes, components), in each direction."""
    steps: int
    """Steps in time; 1 where all times follow from the start at once."""


def classical_time(
    name: str,
    error: float,
    *,
    x: ArrayLike | None = None,
    t: ArrayLike | None = None,
    **params: Any,
) -> ClassicalTime:
    r"""The coarsest classical solve that reaches a relative L2 error, and its time.

    | problem | solver |
    |---|---|
    | convection, advection_fast | Fourier series; a factor a mode and time |
    | reaction, lorenz | DOP853 with dense output |
    | reaction_diffusion, burgers, allen_cahn, ks_regular, ks_chaotic | `etdrk4` |
    | ns_torus | `navier_stokes_torus` |

    To be an honest rival the solver may take fewer steps than there are times (a
    quintic spline leads from one to the other), and its modes and steps are searched:
    first as few modes as possible with as many steps as help, then both are lowered in
    steps of a quarter while the error is still met.

    **Arguments:**
    - `name`, `params`: as in `pde_truth`, which is the truth.
    - `error`: relative L2 error > 0 to reach over all points and times.
    - `x`, `t`: points and times; default `truth_grid`.

    **Returns:** `ClassicalTime`. Its seconds are of this machine and of interpreted
    NumPy, which a compiled integrator would beat; the search, of several solves, comes
    before and is not in them.
    **Raises:** `ConfigError` where no solve reaches the error (`truth_error` says how
    good the truth is) or where no classical solver is at hand.
    **Source:** McGreivy and Hakim, Weak baselines and reporting biases lead to
    overoptimism in machine learning for fluid-related partial differential equations,
    2024, arXiv:2407.07218: compare at equal error with a good method.

    ```python
    >>> from pendula.systems import classical_time
    >>> found = classical_time("convection", 1e-6, beta=30.0)
    >>> found.modes, found.steps, found.error < 1e-12
    (4, 1, True)

    ```
    """
    positive(error=error)
    points, times = truth_grid(name)
    points = points if x is None else np.asarray(x, np.float64)
    times = times if t is None else np.asarray(t, np.float64)
    truth = pde_truth(name, points, times, **params)
    if not np.any(truth):
        raise ConfigError(f'The truth of "{name}" is 0 here: no relative error exists.')
    method, run, ladder = _rival(name, points, times, params)

    @functools.cache
    def miss(modes: int, steps: int) -> float:
        try:
            found, _ = run(modes, steps)
        except DivergedError:
            return math.inf
        return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))

    best = _coarsest(miss, ladder, error)
    if best is None:
        raise ConfigError(
            f"No solve of {name!r} by {method} came within {error:.3g} of its truth; "
            "truth_error says how good that is: ask for a larger error."
        )
    clock = time.perf_counter
    marks = [(clock(), run(*best)[1], clock()) for _ in range(3)]
    seconds = statistics.median(end - start for start, _, end in marks)
    return ClassicalTime(name, method, seconds, miss(*best), best[0], marks[0][1])


def _coarsest(
    miss: Callable[[int, int], float], ladder: list[int], error: float
) -> tuple[int, int] | None:
    """Modes and steps that meet the error, such that neither a quarter of the one nor
    of the other can be spared."""
    first = _FEWEST
    for modes in ladder:
        last, idle = math.inf, 0
        for steps in _doubled(first):
            found = miss(modes, steps)
            if found <= error:
                return _lowered(miss, modes, steps, error, ladder[0])
            # An error of the size of the solution may end at the next doubling, one
            # that is small and stays will not: that is the modes.
            patience = 2 if found < 0.3 else 7
            idle = 0 if found < 0.7 * last else idle + 1
            last = min(last, found)
            first = max(steps // 8, _FEWEST)
            if idle >= patience and len(ladder) > 1:
                break
    return None


def _doubled(steps: int) -> Iterator[int]:
    """Twice as many steps again and again."""
    while steps <= _MOST:
        yield steps
        steps *= 2


def _lowered(
    miss: Callable[[int, int], float], modes: int, steps: int, error: float, least: int
) -> tuple[int, int]:
    """Fewer steps and fewer modes, a quarter each time, as long as the error is met."""
    while True:
        fewer = 3 * steps // 4
        if fewer >= _FEWEST and miss(modes, fewer) <= error:
            steps = fewer
            continue
        less = 3 * modes // 4
        if less >= least and less % 2 == 0 and miss(less, steps) <= error:
            modes = less
            continue
        return modes, steps


def _rival(
    name: str, x: np.ndarray, t: np.ndarray, params: dict[str, Any]
) -> tuple[str, _Run, list[int]]:
    """The solver in words, its run with so many modes and steps, and the modes that
    are worth trying."""
    if name in ("convection", "advection_fast"):
        key, default = ("beta", 30.0) if name == "convection" else ("c", 100.0)
        start = params.get("initial") or (lambda at: initial_field("convection", at))
        speed = params.get(key, default)
        shift = lambda modes, _: (fourier_shift(start, x, t, speed, modes), 1)
        return "Fourier series", shift, [2**n for n in range(2, 13)]
    if name in FLOWS:
        known = {key: params[key] for key in ("nu", "rho", "speed") if key in params}
        flow = FLOWS[name](**known)
        ladder = [2**n for n in range(4, 13)]
        return (
            "Fourier series and ETDRK4",
            functools.partial(_march, flow, x, t),
            ladder,
        )
    if name == "ns_torus" and params.get("initial", "random") == "random":
        run = functools.partial(_torus, x, t, params)
        return "Fourier series and ETDRK4", run, [16, 32, 64, 128, 256]
    if name == "reaction":
        run = functools.partial(_growth, x, t, params.get("rho", 5.0))
        return "DOP853", run, [len(x)]
    if name == "lorenz":
        run = functools.partial(_lorenz, x, t)
        return "DOP853", run, [3]
    raise ConfigError(
        f'No classical solver of "{name}" is at hand: it is a closed form.'
    )


def _march(
    flow: PeriodicFlow, x: np.ndarray, t: np.ndarray, modes: int, steps: int
) -> tuple[np.ndarray, int]:
    """By `etdrk4`; where steps are longer than the spacing of the times, a spline
    leads from the ends of the steps to the times."""
    end = float(t[-1])
    if steps < np.count_nonzero(t):
        ends = np.linspace(0.0, end, steps + 1)
        u = flow.on_nodes(ends, modes, end)
        return flow.at(scipy.interpolate.make_interp_spline(ends, u, 5)(t), x, t), steps
    return flow.solve(x, t, modes, end / steps), _landing(t, end / steps)


def _landing(t: np.ndarray, dt: float) -> int:
    """How many steps of at most `dt` land on the times."""
    return int(np.sum(np.ceil(np.diff(t, prepend=0.0) / dt * (1.0 - 1e-12))))


def _torus(
    x: np.ndarray, t: np.ndarray, params: dict[str, Any], modes: int, steps: int
) -> tuple[np.ndarray, int]:
    """By `navier_stokes_torus`."""
    field = lambda points: initial_field(
        "ns_torus",
        points,
        **{key: params[key] for key in ("seed", "largest", "speed") if key in params},
    )
    dt = float(t[-1]) / steps
    w = torus_solve(field, x, t, params.get("nu", 0.01), modes, dt)
    return w, _landing(t, dt)


def _tolerance(level: int) -> float:
    """From 0.1 down to what DOP853 accepts, as the steps of the search grow."""
    return max(0.1 * (level / _FEWEST) ** -2.5, 1e-13)


def _growth(
    x: np.ndarray, t: np.ndarray, rho: float, _: int, level: int
) -> tuple[np.ndarray, int]:
    """Logistic growth at each point."""
    found = scipy.integrate.solve_ivp(
        lambda _, u: rho * u * (1.0 - u),
        (0.0, float(t[-1])),
        closed_form("reaction", x, 0.0),
        method="DOP853",
        rtol=_tolerance(level),
        atol=_tolerance(level),
        dense_output=True,
    )
    return found.sol(t).T, len(found.t) - 1


def _lorenz(x: np.ndarray, t: np.ndarray, _: int, level: int) -> tuple[np.ndarray, int]:
    """Lorenz's path."""
    path, steps = lorenz_path(t, _tolerance(level))
    return path[:, x.astype(np.int64)], steps
