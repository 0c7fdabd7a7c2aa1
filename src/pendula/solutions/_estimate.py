"""How wrong is it: the same problem once more, finer, with other neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ._blocks import with_times
from ._outcome import Deadline, Method, Outcome
from ._problem import SLACK, Problem
from ._solution import Solution


_NODES, _TIMES = 256, 33


def estimate(
    solution: Solution, method: Method, outcome: Outcome, limit: Deadline
) -> dict[str, Any]:
    r"""Relative difference to a finer solution, over time.

    $$ \epsilon(t) = \|u(t) - u_{fine}(t)\| / \|u_{fine}(t)\| $$

    The finer one has 1.5 times the weights and points along each axis, another seed,
    and the windows of the first. L2 over space; of several fields the norm of all; of a
    solve that ran out of time, the first or the finer one, as far as it came.

    **Returns:** `times`, `relative` (one a time), `overall`, `converged` (of the finer
    solve), `until`, the last time. Stationary problems have one time, 0.
    **Source:** the usual a posteriori estimate by refinement; Roache 1994.
    """
    problem = solution.problem
    finer = method.finer(problem, outcome)
    fine = finer.run(problem, solution.report.tol, limit)
    until, seen = solution.reached, fine.windows.reached()
    if seen < until - SLACK * (until - problem.span()[0]):
        until = seen
    points, times, weights = grid(problem, until=until)
    shape = (len(weights), len(times))
    zero = (0,) * len(problem.coords)
    ours = solution.values(points, [zero])[zero].reshape(*shape, -1)
    other = fine.windows.values(points, [zero])[zero].reshape(*shape, -1)
    gap, size = norms(ours - other, weights), norms(other, weights)
    overall = np.linalg.norm(gap) / max(np.linalg.norm(size), 1e-300)
    return {
        "times": times.tolist(),
        "relative": (gap / np.maximum(size, 1e-300)).tolist(),
        "overall": float(overall),
        "converged": fine.converged,
        "until": until,
    }


def grid(
    problem: Problem, nodes: int = _NODES, times: int = _TIMES, *, until: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points for norms, those of space with all times one after the other; the times,
    from beginning to what was reached; the weights of the points in space."""
    domain = problem.domain
    space, weights = np.zeros((1, 0)), np.ones(1)
    if domain is not None:
        space, weights = domain.quadrature(nodes)
    if problem.time is None:
        return space, np.zeros(1), weights
    t = np.linspace(problem.time[0], until, times)
    return with_times(space, t), t, weights


def norms(
    values: Float[np.ndarray, "point time field"], weights: Float[np.ndarray, "point"]
) -> Float[np.ndarray, "time"]:
    """L2 norms over space, of all fields together."""
    return np.sqrt(np.sum(weights[:, None, None] * values * values, axis=(0, 2)))
