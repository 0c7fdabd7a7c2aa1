"""Boundary values continued inwards, and whether a solution can be built on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._precision import precision
from ._conditions import Value, evaluate
from ._domain import AbstractDomain


Held: TypeAlias = Sequence[tuple[str, Value]]
"""Sides, and what a field is there."""

_POINTS, _TIMES = 64, 5  # on each side
_GAP = 1e-6  # of what is given: by how much it may be missed
_NEAR = 1e-6  # of the domain: how far apart points in its middle are


def lift(
    domain: AbstractDomain, held: Held, points: Float[Array, "point coord"]
) -> Float[Array, "point"]:
    """What is given on sides, continued inwards; a time comes last."""
    known: dict[Any, Callable[[Array], Array]] = {}
    space, rest = points[:, : domain.dim], points[:, domain.dim :]

    def on(value: Value) -> Callable[[Array], Array]:
        """What is given as a function of space, the same one for equal values."""
        at = lambda p: jnp.concatenate([p, rest], axis=1)
        function = lambda p: evaluate(value, at(p), "Dirichlet")
        return known.setdefault(value, function)

    return domain.lift([(side, on(value)) for side, value in held], space)


def misses(domain: AbstractDomain, held: Held, span: tuple[float, float] | None) -> str:
    """Why a lift is not what was given, or not smooth; "" where it is both.

    Values of two sides have to agree where these meet; and a function of the angle has
    no value in the middle of a disc.
    """
    if domain.dim == 1 or not held:
        return ""
    with precision(np.float64):
        sides = [(value, domain.on_side(side, _POINTS)[0]) for side, value in held]
        pairs = [(value, _timed(points, span)) for value, points in sides]
        given = [np.asarray(evaluate(v, at, "Dirichlet")) for v, at in pairs]
        size = max(float(np.abs(values).max()) for values in given)
        for (side, _), (_, at), values in zip(held, pairs, given, strict=True):
            gap = float(np.abs(np.asarray(lift(domain, held, at)) - values).max())
            if not gap <= _GAP * size:
                return (
                    f'the value on "{side}" differs by {gap:.3g} from that of a side '
                    "that it meets"
                )
        middle = domain.bounds.mean(1)
        away = _NEAR * np.diff(domain.bounds, axis=1)[:, 0]
        around = middle + np.concatenate([np.diag(away), -np.diag(away)])
        around = around[domain.contains(around)]
        if len(around):
            near = np.asarray(lift(domain, held, _timed(around, span)))
            spread = np.ptp(near.reshape(len(around), -1), axis=0).max()
            if not spread <= 1e3 * _NEAR * size:
                return "what is given on the boundary has no value in the middle"
    return ""


def _timed(points: np.ndarray, span: tuple[float, float] | None) -> Array:
    """The points at a few times."""
    if span is None:
        return jnp.asarray(points)
    t = np.linspace(*span, _TIMES)
    both = np.c_[np.repeat(points, len(t), axis=0), np.tile(t, len(points))]
    return jnp.asarray(both)
