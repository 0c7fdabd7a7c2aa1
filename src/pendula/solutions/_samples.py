"""A solution and its residual at points of its own, for bounds and for diagnoses."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from .._precision import precision
from ._blocks import with_times
from ._solution import Solution
from ._window import law_and_slopes


_PIECES = 8  # of the whole time, at least
_TIMES = 8  # Gauss points in each
_MOST = 1 << 19  # points in all
_NODES = {0: 1, 1: 256, 2: 1024}


@dataclasses.dataclass(frozen=True)
class Samples:
    """Values and residuals at Gauss points in time and quadrature points in space.

    `edges`: of the pieces of time, each within one window; `times`, `weights` `"piece
    node"`: Gauss points and weights; `space`, `shares`: points in space and weights
    whose sum is 1; `needs` `"piece node point need"`: what the law needs; `values`
    `"piece node point field"`; `rows` `"piece node point equation"`; `slopes`.
    """

    edges: np.ndarray
    times: np.ndarray
    weights: np.ndarray
    space: np.ndarray
    shares: np.ndarray
    needs: np.ndarray
    values: np.ndarray
    rows: np.ndarray
    slopes: np.ndarray

    def mean(self, of: np.ndarray) -> Float[np.ndarray, "piece node"]:
        """The mean over space of something `"piece node point"`."""
        return of @ self.shares

    def points(self) -> Float[np.ndarray, "sample coord"]:
        """All points, in the order piece, node, point."""
        flat = self.times.ravel()
        number, dim = self.space.shape
        if flat.size == 1 and not np.isfinite(flat[0]):
            return self.space
        at = np.tile(self.space, (flat.size, 1)).reshape(flat.size * number, dim)
        return np.c_[at, np.repeat(flat, number)]


def pieces(solution: Solution) -> Float[np.ndarray, "edge"]:
    """Beginnings and ends of pieces of time: windows, cut where there are few."""
    span = solution.problem.span()
    ends = solution.windows.ends()
    t1 = min(span[1], float(ends[-1]))
    edges = [span[0]]
    for end in np.minimum(ends, t1):
        length = float(end) - edges[-1]
        if length <= 0.0:
            continue
        cuts = max(1, math.ceil(_PIECES * length / (span[1] - span[0]) - 1e-9))
        edges += [edges[-1] + length * (k + 1) / cuts for k in range(cuts)]
    return np.asarray(edges)


def samples(solution: Solution) -> Samples:
    """Evaluate a solution where it was not trained.

    Of one that ran out of time, only what was reached.
    """
    problem = solution.problem
    dim = 0 if problem.domain is None else problem.domain.dim
    count = _NODES.get(dim, 4096)
    space, shares = np.zeros((1, 0)), np.ones(1)
    if problem.domain is not None:
        space, shares = problem.domain.quadrature(count)
        shares = shares / shares.sum()
    if problem.time is None:
        edges, times, weights = np.zeros(1), np.full((1, 1), np.nan), np.ones((1, 1))
        points = space
    else:
        edges = pieces(solution)
        number = max(4, min(_TIMES, _MOST // (len(space) * (len(edges) - 1))))
        roots, gauss = np.polynomial.legendre.leggauss(number)
        length = np.diff(edges)[:, None]
        times = edges[:-1, None] + 0.5 * length * (roots[None, :] + 1.0)
        weights = 0.5 * length * gauss[None, :]
        points = np.c_[
            np.tile(space, (times.size, 1)), np.repeat(times.ravel(), len(space))
        ]
    needs, values, rows, slopes = evaluate_law(solution, points)
    shape = (*times.shape, len(space))
    make = lambda a: a.reshape(*shape, *a.shape[1:])
    return Samples(
        edges, times, weights, space, shares, *map(make, (needs, values, rows, slopes))
    )


def evaluate_law(
    solution: Solution, points: Float[np.ndarray, "point coord"]
) -> tuple[
    Float[np.ndarray, "point need"],
    Float[np.ndarray, "point field"],
    Float[np.ndarray, "point equation"],
    Float[np.ndarray, "point equation need"],
]:
    """What the law needs of a solution, the values, the residual and its slopes."""
    law = solution.problem.law
    zero = (0,) * len(law.coords)
    wanted = sorted({zero, *(need.orders for need in law.needs)})
    found = solution.values(points, wanted)
    needs = np.stack([found[n.orders][:, n.field] for n in law.needs], 1)
    rows, slopes = law_and_slopes(law, needs, points, parameters(solution))
    return needs, found[zero], rows, slopes


def parameters(solution: Solution) -> dict[str, Any]:
    """All parameters as arrays, the unknown ones as found."""
    with precision(np.float64):
        found = solution.problem.values(solution.unknown)
        return jax.tree.map(np.asarray, found)


def spatial(
    solution: Solution, t: float, count: int | None = None
) -> tuple[Float[np.ndarray, "point coord"], Float[np.ndarray, "point"]]:
    """Points of quadrature at one time, and weights whose sum is 1."""
    domain = solution.problem.domain
    space, shares = np.zeros((1, 0)), np.ones(1)
    if domain is not None:
        space, shares = domain.quadrature(count or _NODES.get(domain.dim, 4096))
    return with_times(space, np.asarray([t])), shares / shares.sum()
