"""Starts that do not fit what holds at the ends: hidden sources of error."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._precision import precision
from ._conditions import Dirichlet, Periodic, Value, evaluate
from ._form import HardForm
from ._problem import Problem


_SMALL = 1e-6  # of the start's size: what counts as a jump
_POINTS = 16  # on each side


@dataclasses.dataclass(frozen=True)
class Jump:
    """A misfit of a start at an end.

    `field`, `where`: a coordinate that is periodic, or a side; `order`: 0 of the value,
    1 of the slope; `size`: the largest one; `relative`: to the largest value or slope.
    """

    field: str
    where: str
    order: int
    size: float
    relative: float
    periodic: bool

    @property
    def text(self) -> str:
        """In words, with the number."""
        what = "slope" if self.order else "value"
        rest = f"({100.0 * self.relative:.2g} % of its largest one)"
        if self.periodic:
            return (
                f'the {what} of the start of "{self.field}" jumps by {self.size:.3g} '
                f"{rest} where {self.where} closes"
            )
        return (
            f'the start of "{self.field}" differs by {self.size:.3g} {rest} from its '
            f'boundary value on "{self.where}"'
        )


def jumps(problem: Problem, form: HardForm | None = None) -> list[Jump]:
    r"""Jumps of value and slope of starts where periodic coordinates close, and
    differences from boundary values at the first time.

    $$ |h(x_{hi}) - h(x_{lo})|, \quad |h'(x_{hi}) - h'(x_{lo})|, \quad
       |h(x) - u_D(x, t_0)| $$

    Smooth periodic networks keep them for all times, and so solve a problem with a
    hidden source. A start that is carried by diffusion loses its kink.

    **Arguments:** `form`: of a solution; starts that it carries are left out.
    **Returns:** one `Jump` each; its `text` says it. Nothing for stationary problems.
    """
    if problem.time is None or problem.domain is None:
        return []
    found: list[Jump] = []
    for k, start in problem.initials().items():
        if form is not None and form.fields[k].carry is not None:
            continue
        with precision(np.float64):
            found += _ends(problem, k, start.value)
            found += _sides(problem, k, start.value)
    return [jump for jump in found if jump.relative > _SMALL]


def _ends(problem: Problem, field: int, value: Value) -> list[Jump]:
    """Where periodic coordinates close."""
    domain = problem.domain
    assert domain is not None
    inside = domain.nodes(256)
    out = []
    for j, coord in enumerate(domain.coords):
        agree = _agreeing(problem, field, j)
        if agree == 0:
            continue
        lo, hi = domain.bounds[j]
        left = domain.nodes(_POINTS**domain.dim)
        left[:, j] = lo
        right = left.copy()
        right[:, j] = hi
        sizes = [np.abs(a).max() for a in _value_and_slope(value, inside, j)]
        pairs = zip(
            _value_and_slope(value, left, j),
            _value_and_slope(value, right, j),
            strict=True,
        )
        for order, (a, b) in list(enumerate(pairs))[:agree]:
            gap = float(np.abs(a - b).max())
            size = float(max(sizes[order], 1e-300))
            name = problem.fields[field]
            out.append(Jump(name, coord, order, gap, gap / size, True))
    return out


def _agreeing(problem: Problem, field: int, axis: int) -> int:
    """How many of value and slope have to agree at both ends of a coordinate."""
    domain = problem.domain
    assert domain is not None
    if domain.periodic[axis]:
        return 2
    orders = [
        c.order
        for c in problem.conditions
        if isinstance(c, Periodic)
        and c.axis == domain.coords[axis]
        and problem.field_index(c.field) == field
    ]
    return min(2, max(orders, default=0))


def start_values(
    value: Value, space: Float[np.ndarray, "point space"]
) -> Float[np.ndarray, "point"]:
    """A start at points."""
    with precision(np.float64):
        return np.asarray(evaluate(value, jnp.asarray(space), "Initial"))


def _value_and_slope(
    value: Value, points: Float[np.ndarray, "point space"], axis: int
) -> tuple[np.ndarray, np.ndarray]:
    """A start and its slope along a coordinate."""

    def f(p: Array) -> Array:
        return evaluate(value, p, "Initial")

    at = jnp.asarray(points)
    unit = jnp.zeros_like(at).at[:, axis].set(1.0)
    found, slope = jax.jvp(f, (at,), (unit,))
    return np.asarray(found), np.asarray(slope)


def _sides(problem: Problem, field: int, value: Value) -> list[Jump]:
    """Against boundary values."""
    domain = problem.domain
    assert domain is not None
    inside = np.asarray(evaluate(value, jnp.asarray(domain.nodes(256)), "Initial"))
    out = []
    for condition in _dirichlet(problem, field):
        for side in problem.on(condition):
            points, _ = domain.on_side(side, _POINTS)
            start = np.asarray(evaluate(value, jnp.asarray(points), "Initial"))
            at = np.c_[points, np.full(len(points), problem.span()[0])]
            given = np.asarray(evaluate(condition.value, jnp.asarray(at), "Dirichlet"))
            gap = float(np.abs(start - given).max())
            size = max(float(np.abs(inside).max()), float(np.abs(given).max()), 1e-300)
            out.append(Jump(problem.fields[field], side, 0, gap, gap / size, False))
    return out


def _dirichlet(problem: Problem, field: int) -> list[Any]:
    """Boundary values of a field."""
    return [
        c
        for c in problem.conditions
        if isinstance(c, Dirichlet) and problem.field_index(c.field) == field
    ]
