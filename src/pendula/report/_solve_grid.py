"""A solution on a grid that can be drawn."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import precision
from ..solutions import Solution


_LINE, _SIDE = 256, 64  # points of a line beside time, of each side of a plane
_ALONE = 2000  # of a line, or of times, that stands alone
_TIMES, _FEW = 201, 13


@dataclasses.dataclass
class Grid:
    """Values and residuals at the product of points and times.

    `axes`: the coordinates in space, one array each; `points` `"point space"`, their
    product, `inside` which of them belong to the domain; `values` `"field time point"`;
    `residual` `"equation time point"`; both NaN outside, and in times that the solver
    has not reached: `solved` times are.
    """

    names: tuple[str, ...]
    fields: tuple[str, ...]
    axes: list[np.ndarray]
    points: np.ndarray
    inside: np.ndarray
    times: np.ndarray
    timed: bool
    reached: float
    solved: int
    windows: np.ndarray
    values: np.ndarray
    residual: np.ndarray
    curves: dict[str, np.ndarray]

    def shaped(self, found: np.ndarray) -> np.ndarray:
        """`".. point"` with an axis for each coordinate."""
        return found.reshape(*found.shape[:-1], *map(len, self.axes))

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name, for a file."""
        out = {f"solve/axis_{n}": a for n, a in zip(self.names, self.axes, strict=True)}
        if self.timed:
            out["solve/t"] = self.times
            out["solve/windows"] = self.windows
        out["solve/u"] = self.shaped(self.values)
        out["solve/residual"] = self.shaped(self.residual)
        return {**out, **self.curves}


def grid_of(solution: Solution) -> Grid:
    """The grid that shows a solution: a line and times, a plane at a few times, or
    whatever of that there is. Of more than two coordinates in space the others are in
    their middle."""
    problem, report = solution.problem, solution.report
    names, axes = _axes(solution)
    count = math.prod(map(len, axes))
    points = np.array(list(itertools.product(*axes))).reshape(count, len(axes))
    timed = problem.time is not None
    times = _times(solution, len(axes))
    reached, slack = solution.reached, 1e-9 * (times[-1] - times[0])
    solved = int(np.sum(times <= reached + slack)) if timed else 1
    inside = np.ones(len(points), bool)
    if problem.domain is not None:
        inside = np.asarray(problem.domain.contains(points), bool)
    good = np.flatnonzero(inside)
    shape = (len(times), len(points))
    values = np.full((len(problem.fields), *shape), np.nan)
    residual = np.full((problem.law.equations, *shape), np.nan)
    at = _product(points[good], times[:solved] if timed else None)
    zero = (0,) * len(problem.coords)
    if len(at):
        back = lambda rows: rows.T.reshape(-1, solved, len(good))
        values[:, :solved, good] = back(solution.values(at, [zero])[zero])
        residual[:, :solved, good] = back(residual_at(solution, at))
    return Grid(
        names,
        tuple(problem.fields),
        axes,
        points,
        inside,
        times,
        timed,
        reached,
        solved,
        np.asarray(report.windows, np.float64),
        values,
        residual,
        _curves(solution, reached + slack),
    )


def _axes(solution: Solution) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The coordinates in space, and where they are looked at."""
    problem = solution.problem
    domain = problem.domain
    if domain is None:
        return (), []
    count = _LINE if domain.dim == 1 else _SIDE
    if problem.time is None:
        count = _ALONE if domain.dim == 1 else 2 * _SIDE
    axes = []
    for k, (low, high) in enumerate(domain.bounds):
        if k > 1:
            axes.append(np.asarray([0.5 * (low + high)]))
        else:  # the end of a circle is its beginning
            axes.append(np.linspace(low, high, count, endpoint=not domain.periodic[k]))
    return tuple(domain.coords), axes


def _times(solution: Solution, space: int) -> np.ndarray:
    """Times from beginning to end."""
    time = solution.problem.time
    if time is None:
        return np.zeros(1)
    return np.linspace(*time, {0: _ALONE, 1: _TIMES}.get(space, _FEW))


def _product(points: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """All points at the first time, at the second, ..."""
    if times is None:
        return points
    return np.c_[np.tile(points, (len(times), 1)), np.repeat(times, len(points))]


def _curves(solution: Solution, last: float) -> dict[str, np.ndarray]:
    """Estimate and certificate over time, as far as the solver came."""
    out: dict[str, np.ndarray] = {}
    report = solution.report
    given: list[tuple[str, Any, str]] = [
        ("estimate", report.estimate, "relative"),
        ("bound", report.certificate, "bound"),
    ]
    for name, found, key in given:
        if not found or found.get(key) is None:
            continue
        times, values = np.asarray(found["times"], float), np.asarray(found[key], float)
        keep = times <= last if solution.problem.time is not None else times == times
        out[f"solve/{name}_times"], out[f"solve/{name}"] = times[keep], values[keep]
    return out


@eqx.filter_jit
def _rows(law: Any, values: Any, points: Any, params: Any) -> tuple[Any, Any]:
    """The equations at points, and their slopes in what they need."""
    one = (0, 0, None)
    slopes = jax.vmap(jax.jacfwd(law), in_axes=one)(values, points, params)
    return jax.vmap(law, in_axes=one)(values, points, params), slopes


def residual_at(solution: Solution, points: np.ndarray) -> np.ndarray:
    """The equations at points `"point coord"`, each over the root mean square of its
    largest term: `"point equation"`."""
    problem = solution.problem
    law = problem.law
    found = solution.values(points, sorted({need.orders for need in law.needs}))
    values = np.stack([found[n.orders][:, n.field] for n in law.needs], axis=1)
    with precision(np.float64):
        params = problem.values(solution.unknown)
        rows, slopes = _rows(law, jnp.asarray(values), jnp.asarray(points), params)
        rows, slopes = np.asarray(rows), np.asarray(slopes)
    terms = np.sqrt(np.mean((slopes * values[:, None, :]) ** 2, axis=0)).max(axis=1)
    return rows / np.where(terms > 0.0, terms, 1.0)
