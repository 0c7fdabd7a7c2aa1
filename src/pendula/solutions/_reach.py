"""Where a solution is known, and what becomes of points that lie elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import choice
from .._errors import DataError, ShapeError
from ._given import numbers
from ._problem import SLACK, Problem


Outside: TypeAlias = Literal["raise", "nan", "extrapolate"]
"""What becomes of points at which nothing was solved."""


def look(
    values: Callable[[Float[np.ndarray, "point coord"]], np.ndarray],
    at: Sequence[ArrayLike],
    problem: Problem,
    reached: float,
    outside: Outside,
    what: str,
) -> Any:
    """What `values` gives, `"... point field"`, at coordinates that broadcast against
    each other: an array of their shape, a dictionary by field where there are several.

    Periodic coordinates may be any number of turns away. **Arguments:** `reached`: the
    time up to which it was solved; `what`: is looked at, for messages.
    **Raises:** `ShapeError` for coordinates that do not belong together; `DataError`
    for points outside, where `outside` is "raise".
    """
    choice("outside", outside, ("raise", "nan", "extrapolate"), what)
    points, shape = as_points(at, problem.coords, what)
    points = _wrapped(problem, points)
    found = None
    if outside != "extrapolate":
        known = _known(problem, points, reached, at)
        if not known.all():
            if outside == "raise":
                raise DataError(_refusal(problem, points, known, reached, what))
            some = values(points[known])
            found = np.full((*some.shape[:-2], len(points), some.shape[-1]), np.nan)
            found[..., known, :] = some
    found = values(points) if found is None else found
    found = np.moveaxis(found, -1, 0)
    found = found.reshape(*found.shape[:-1], *shape)
    fields = problem.fields
    return found[0] if len(fields) == 1 else dict(zip(fields, found, strict=True))


def as_points(
    at: Sequence[ArrayLike], coords: Sequence[str], what: str
) -> tuple[Float[np.ndarray, "point coord"], tuple[int, ...]]:
    """Coordinates that broadcast against each other, as points, and their shape.

    **Raises:** `ShapeError` for another number of coordinates than there are, and for
    shapes that do not broadcast.
    """
    if len(at) != len(coords):
        raise ShapeError(
            f"the {what} was called with {len(at)} coordinates; there are "
            f"{len(coords)}: {', '.join(coords)}."
        )
    pairs = zip(coords, at, strict=True)
    each = [numbers(f"the {what} was called with {c} =", a) for c, a in pairs]
    try:
        arrays = np.broadcast_arrays(*each)
    except ValueError as error:
        shapes = ", ".join(f"{c} {a.shape}" for c, a in zip(coords, each, strict=True))
        raise ShapeError(
            f"the {what} was called with coordinates that do not broadcast: {shapes}. "
            "Give x[:, None] and t[None, :] for all pairs."
        ) from error
    return np.stack([a.ravel() for a in arrays], -1), arrays[0].shape


def _wrapped(problem: Problem, points: np.ndarray) -> np.ndarray:
    """Points with periodic coordinates within their first turn: the start is known
    there only."""
    if problem.domain is None:
        return points
    for k, (lo, hi) in enumerate(problem.domain.bounds):
        if problem.domain.periodic[k]:
            x = points[:, k]
            away = ((x < lo) | (x > hi)) & np.isfinite(x)
            points[away, k] = lo + (x[away] - lo) % (hi - lo)
    return points


def rounding(ends: Sequence[np.ndarray], at: Sequence[ArrayLike]) -> float:
    """What rounding may take coordinates across the ends of their axes by, in lengths
    of those: an end in float32 lies beside the same in float64."""
    kinds = [np.asarray(a).dtype for a in at]
    coarsest = max((float(np.finfo(d).eps) for d in kinds if d.kind == "f"), default=0)
    sizes = [float(np.abs(pair).max() / (pair[1] - pair[0])) for pair in ends]
    return max(SLACK, 4.0 * coarsest * max(sizes))


def _known(
    problem: Problem, points: np.ndarray, reached: float, at: Sequence[ArrayLike]
) -> np.ndarray:
    """Whether each point lies in the domain and in the time that was solved."""
    ends = [] if problem.domain is None else list(problem.domain.bounds)
    ends += [] if problem.time is None else [np.asarray(problem.time)]
    slack = rounding(ends, at)
    known = problem.contains(points, slack)
    if problem.time is not None:
        t0, t1 = problem.time
        known &= points[:, -1] <= reached + slack * (t1 - t0)
    return known


def _refusal(
    problem: Problem,
    points: np.ndarray,
    known: np.ndarray,
    reached: float,
    what: str,
) -> str:
    """What is wrong with points, of the first of them, and what to do."""
    bad = np.flatnonzero(~known)
    first = points[bad[0]]
    pairs = zip(problem.coords, first, strict=True)
    place = ", ".join(f"{c} = {x:g}" for c, x in pairs)
    some = "" if len(bad) == 1 else f" (and {len(bad) - 1} more)"
    inside = problem.contains(first[None])[0]
    if inside and problem.time is not None:
        why = (
            f"was not reached: the solve ended at t = {reached:g} of "
            f"{problem.time[1]:g}. Give it more budget, where that ran out "
            "(report.ended)"
        )
    else:
        why = f"lies outside: it is known for {_extent(problem)}. Ask there"
    return (
        f'{what}: the point {place}{some} {why}, or say outside="nan" (for plots) or '
        'outside="extrapolate".'
    )


def _extent(problem: Problem) -> str:
    """Where the problem is posed, in words."""
    out = []
    if problem.domain is not None:
        kind = type(problem.domain).__name__
        rows = zip(problem.domain.coords, problem.domain.bounds, strict=True)
        ends = ", ".join(f"{c} from {lo:g} to {hi:g}" for c, (lo, hi) in rows)
        out.append(ends if kind in ("Interval", "Box") else f"a {kind} with {ends}")
    if problem.time is not None:
        out.append("t from {:g} to {:g}".format(*problem.time))
    return ", ".join(out)
