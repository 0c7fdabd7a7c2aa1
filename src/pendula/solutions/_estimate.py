"""How wrong is it: the same problem once more, finer, with other neurons."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._outcome import Deadline, Method, Outcome
from ._solution import Solution


_NODES, _TIMES = 256, 33


def estimate(solution: Solution, method: Method, outcome: Outcome) -> dict[str, Any]:
    r"""Relative difference to a finer solution, over time.

    $$ \epsilon(t) = \|u(t) - u_{fine}(t)\| / \|u_{fine}(t)\| $$

    The finer one has 1.5 times the weights and points along each axis, another seed,
    and the windows of the first. L2 over space; of several fields the norm of all.

    **Returns:** `times`, `relative` (one a time), `overall`, `converged` (of the finer
    solve). Stationary problems have one time, 0.
    **Source:** the usual a posteriori estimate by refinement; Roache 1994.
    """
    problem = solution.problem
    finer = method.finer(problem, outcome)
    fine = finer.run(problem, solution.report.tol, Deadline())
    points, times, shape = grid(solution)
    domain = problem.domain
    weights = np.ones(1) if domain is None else domain.quadrature(_NODES)[1]
    zero = (0,) * len(problem.coords)
    ours = solution.values(points, [zero])[zero].reshape(*shape, -1)
    other = fine.windows.values(points, [zero])[zero].reshape(*shape, -1)
    norm = lambda a: np.sqrt(np.sum(weights[:, None, None] * a * a, axis=(0, 2)))
    gap, size = norm(ours - other), norm(other)
    overall = np.linalg.norm(gap) / max(np.linalg.norm(size), 1e-300)
    return {
        "times": times.tolist(),
        "relative": (gap / np.maximum(size, 1e-300)).tolist(),
        "overall": float(overall),
        "converged": fine.converged,
    }


def grid(
    solution: Solution, nodes: int = _NODES, times: int = _TIMES
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Points for norms: even in space, times from beginning to end; (points, times,
    (number in space, number of times))."""
    problem = solution.problem
    domain = problem.domain
    space = np.zeros((1, 0)) if domain is None else domain.quadrature(nodes)[0]
    if problem.time is None:
        return space, np.zeros(1), (len(space), 1)
    t = np.linspace(*problem.time, times)
    points = np.c_[np.repeat(space, len(t), axis=0), np.tile(t, len(space))]
    return points, t, (len(space), len(t))
