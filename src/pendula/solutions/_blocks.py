"""Rows of a least-squares problem: the equation and each condition at its points."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._types import AnyArray
from ._conditions import (
    Dirichlet,
    Initial,
    Integral,
    Neumann,
    Observation,
    Periodic,
    Robin,
    evaluate,
)
from ._law import Law, Need, record
from ._problem import Problem


_NEAR = 1e2  # sizes of rows, against those of u, that count as they are


class Block(eqx.Module):
    r"""Residuals of one kind at many points.

    $$ \rho = w\,C\,\big(r(u; x_i) - r(u; x'_i)\big) $$

    with x' only where both ends of something have to agree, and C only where rows are
    sums over points (integrals).
    """

    name: str = eqx.field(static=True)
    """The equation, or the condition."""
    law: Law
    points: AnyArray
    partner: AnyArray | None
    data: AnyArray | None
    combine: AnyArray | None
    weight: AnyArray

    def rows(
        self,
        values: Float[Array, "point need"],
        params: dict[str, Any],
        other: Float[Array, "point need"] | None = None,
    ) -> Float[Array, "row equation"]:
        """The residuals from values of what the law needs, `other` at the partners."""
        rows = self.at(self.points, values, params)
        if self.partner is not None:
            assert other is not None
            rows = rows - self.at(self.partner, other, params)
        if self.combine is not None:
            rows = self.combine @ rows
        return self.weight * rows

    def at(self, points: Array, values: Array, params: dict[str, Any]) -> Array:
        """The law at points, `"point equation"`."""
        if self.data is None:
            return jax.vmap(lambda v, x: self.law(v, x, params))(values, points)
        return jax.vmap(lambda v, x, d: self.law(v, x, params, d))(
            values, points, self.data
        )

    @property
    def num(self) -> int:
        """Number of residuals."""
        rows = len(self.points) if self.combine is None else len(self.combine)
        return rows * self.law.equations


def equation(problem: Problem, points: np.ndarray, weight: float = 1.0) -> Block:
    """The equation at collocation points `"point coord"`."""
    return _block("equation", problem.law, points, weight)


def value_law(problem: Problem, field: int, orders: tuple[int, ...]) -> Law:
    """A derivative of a field minus what the data say."""
    return _own_law(problem, [Need(field, orders)], Mixed(1.0, 0.0), True)


def soft_blocks(
    problem: Problem,
    space: np.ndarray,
    times: np.ndarray,
    *,
    sides: int | None = None,
    hard: bool = True,
    seed: int | None = None,
) -> list[Block]:
    """The conditions that are terms of the loss.

    **Arguments:** `space` `"p coord"`: points at which starts are compared; `times`
    `"time"`: of conditions at boundaries; `sides`: points on each side (by default
    32, or as many as a grid of that many points has); `hard`: whether
    what can be met exactly is (then starts and Dirichlet conditions are left out unless
    they say `hard=False`); `seed`: of checks at other points.
    """
    out: list[Block] = []
    sides = _on_each(problem, len(space)) if sides is None else sides
    for number, condition in enumerate(problem.conditions):
        if isinstance(condition, Initial):
            out += _initial(problem, condition, space, hard)
        elif isinstance(condition, Dirichlet):
            held = problem.held(condition) if hard else ()
            rest = tuple(s for s in problem.on(condition) if s not in held)
            own = dataclasses.replace(condition, on=rest)
            out += _sided(problem, own, times, sides, seed, 1.0, 0.0)
        elif isinstance(condition, Neumann):
            out += _sided(problem, condition, times, sides, seed, 0.0, 1.0)
        elif isinstance(condition, Robin):
            ab = (condition.a, condition.b)
            out += _sided(problem, condition, times, sides, seed, *ab)
        elif isinstance(condition, Periodic):
            out.append(periodic_block(problem, condition, times, sides, seed))
        elif isinstance(condition, Observation):
            out.append(_observed(problem, condition, number))
        elif isinstance(condition, Integral):
            out.append(_integral(problem, condition, len(space), times))
    return out


def _on_each(problem: Problem, count: int) -> int:
    """Points on each side, as dense as `count` points inside."""
    domain = problem.domain
    if domain is None or domain.dim == 1 or not domain.sides:
        return 32
    dim = domain.dim
    every = 2.0 * dim * count ** (1.0 - 1.0 / dim)
    return max(32, math.ceil(every / len(domain.sides)))


def with_times(space: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """All points of space at all times, the time as the last coordinate, fastest."""
    if times is None:
        return space
    n, m = len(space), len(times)
    return np.c_[np.repeat(space, m, axis=0), np.tile(times, n)]


def _block(
    name: str,
    law: Law,
    points: np.ndarray,
    weight: float,
    *,
    partner: np.ndarray | None = None,
    data: np.ndarray | None = None,
    combine: np.ndarray | None = None,
) -> Block:
    make = lambda x: None if x is None else np.asarray(x, np.float64)
    return Block(
        name,
        law,
        make(points),
        make(partner),
        make(data),
        make(combine),
        np.asarray(float(weight)),
    )


def _own_law(
    problem: Problem, needs: list[Need], function: Callable[..., Any], takes_data: bool
) -> Law:
    """A law whose needs are known: the function gets their values first."""
    law = Looked(tuple(needs), function)
    return Law(tuple(needs), 1, law, problem.coords, problem.fields, takes_data)


# Residuals of conditions compare by what they hold, not by where they were made: the
# same conditions in another window are the same program.


@dataclasses.dataclass(frozen=True)
class Looked:
    """A function of the values of some derivatives; without it those themselves."""

    needs: tuple[Need, ...]
    function: Callable[..., Any] | None = None

    def __call__(self, u: Any, *rest: Any) -> Any:
        """As a residual."""
        several = isinstance(u, tuple)
        values = [(u[n.field] if several else u)._look(n) for n in self.needs]
        return values if self.function is None else self.function(*values, *rest)


@dataclasses.dataclass(frozen=True)
class Mixed:
    """a u + b du/dn - value, from u (where a is not 0), slopes, and data (value,
    normal)."""

    a: float
    b: float

    def __call__(self, *given: Any) -> Array:
        """As a function of what was looked up."""
        data = given[-2]
        total = -data[0]
        if self.a:
            total, given = self.a * given[0] - data[0], given[1:]
        if self.b:
            for k in range(data.shape[0] - 1):
                total = total + self.b * given[k] * data[1 + k]
        return total


@dataclasses.dataclass(frozen=True)
class MinusData:
    """A residual minus the first of the data."""

    function: Callable[..., Any]

    def __call__(self, u: Any, *rest: Any) -> Array:
        """As a residual with data."""
        here = jnp.ravel(jnp.asarray(self.function(u, *rest[:-2], rest[-1])))
        return here[0] - rest[-2][0]


def _first(value: Array, *_: Any) -> Array:
    return value


@dataclasses.dataclass(frozen=True)
class Scaled:
    """Values, each in a unit of its own."""

    units: tuple[float, ...]

    def __call__(self, *given: Any) -> list[Array]:
        """As a function of what was looked up."""
        return [unit * one for unit, one in zip(self.units, given, strict=False)]


def _unit(size: float) -> float:
    """What brings rows that are `size` of u near to u: in micrometres or in miles
    slopes and integrals would count for all, or for nothing."""
    return float(np.clip(size, 1.0 / _NEAR, _NEAR)) / size


def _lengths(problem: Problem) -> Float[np.ndarray, "coord"]:
    """Of the axes of space."""
    assert problem.domain is not None
    return np.diff(problem.domain.bounds, axis=1)[:, 0]


def _orders(problem: Problem, **by: int) -> tuple[int, ...]:
    return tuple(by.get(c, 0) for c in problem.coords)


def _initial(
    problem: Problem, condition: Initial, space: np.ndarray, hard: bool
) -> list[Block]:
    """Rows for starts of one or of all fields, but for those that are built in."""
    several = isinstance(condition.value, Sequence)
    values: Any = condition.value if several else [condition.value]
    out = []
    for k, value in enumerate(values):
        field = k if several else problem.field_index(condition.field)
        if hard and problem.starts(condition, field):
            continue
        target = np.asarray(evaluate(value, jnp.asarray(space), "Initial"))
        law = value_law(problem, field, _orders(problem, t=condition.order))
        points = with_times(space, np.asarray([problem.span()[0]]))
        t0, t1 = problem.span()
        weight = condition.weight * _unit((t1 - t0) ** -condition.order)
        out.append(_block("initial", law, points, weight, data=target[:, None]))
    return out


def _sided(
    problem: Problem,
    condition: Any,
    times: np.ndarray,
    count: int,
    seed: int | None,
    a: float,
    b: float,
) -> list[Block]:
    """a u + b du/dn = value on each side; data are the value and the normal."""
    domain = problem.domain
    assert domain is not None
    field = problem.field_index(condition.field)
    needs = [Need(field, _orders(problem))] if a else []
    if b:
        needs += [Need(field, _orders(problem, **{c: 1})) for c in domain.coords]

    law = _own_law(problem, needs, Mixed(float(a), float(b)), True)
    out = []
    for side in problem.on(condition):
        points, normals = domain.on_side(side, count, seed)
        at = with_times(points, times if problem.time is not None else None)
        each = len(at) // len(points)
        kind = type(condition).__name__
        value = np.asarray(evaluate(condition.value, jnp.asarray(at), kind))
        data = np.c_[value, np.repeat(normals, each, axis=0)]
        name = f"{kind.lower()} {side}"
        steep = np.linalg.norm(normals / _lengths(problem), axis=1).max()
        weight = condition.weight * _unit(max(abs(a), abs(b) * float(steep)))
        out.append(_block(name, law, at, weight, data=data))
    return out


def periodic_block(
    problem: Problem,
    condition: Periodic,
    times: np.ndarray,
    count: int,
    seed: int | None,
) -> Block:
    """Both ends of a coordinate agree."""
    domain = problem.domain
    assert domain is not None
    axis = domain.coords.index(condition.axis)
    side = f"{condition.axis}-"
    if side in domain.sides:
        first, _ = domain.on_side(side, count, seed)
    else:  # a periodic coordinate that goes in as it is: any cut will do
        first = domain.nodes(count, seed)
        first[:, axis] = domain.bounds[axis, 0]
        first = np.unique(first, axis=0)
    second = first.copy()
    second[:, axis] = domain.bounds[axis, 1]
    field = problem.field_index(condition.field)
    orders = [
        Need(field, _orders(problem, **{condition.axis: k}))
        for k in range(condition.order)
    ]
    length = float(_lengths(problem)[axis])
    units = tuple(_unit(length**-k) for k in range(condition.order))
    known = all(unit == 1.0 for unit in units)
    law = Law(
        tuple(orders),
        condition.order,
        Looked(tuple(orders), None if known else Scaled(units)),
        problem.coords,
        problem.fields,
        False,
    )
    at = times if problem.time is not None else None
    return _block(
        f"periodic {condition.axis}",
        law,
        with_times(first, at),
        condition.weight,
        partner=with_times(second, at),
    )


def _observed(problem: Problem, condition: Observation, number: int) -> Block:
    """Measured values, in units of their uncertainty."""
    points, values = condition.arrays()
    sigma, name = condition.sigma, f"observation {number}"
    if condition.operator is None:
        field = problem.field_index(condition.field)
        law = value_law(problem, field, _orders(problem))
    else:
        law = record(
            MinusData(condition.operator),
            problem.coords,
            problem.fields,
            problem.tried(),
            points,
            data=values[:, None],
            what="operator of Observation",
        )
    return _block(name, law, points, 1.0 / sigma, data=values[:, None])


def _integral(
    problem: Problem, condition: Integral, count: int, times: np.ndarray
) -> Block:
    """The integral by a rule of quadrature, at each time."""
    domain = problem.domain
    assert domain is not None
    space, weights = domain.quadrature(count)
    at = times if problem.time is not None else None
    num = 1 if at is None else len(at)
    points = with_times(space, at)
    combine = np.tile(np.eye(num), len(space)) * np.repeat(weights, num)
    if condition.density is None:
        field = problem.field_index(condition.field)
        law = _own_law(problem, [Need(field, _orders(problem))], _first, False)
    else:
        law = record(
            condition.density,
            problem.coords,
            problem.fields,
            problem.tried(),
            points,
            what="density of Integral",
        )
    moments = np.zeros((1, 1)) if at is None else at[:, None]
    target = np.asarray(evaluate(condition.value, jnp.asarray(moments), "Integral"))
    # the share of the target is taken off at every point: its integral is it
    shifted = Law(law.needs, 1, MinusData(law.function), law.coords, law.fields, True)
    data = np.tile(target / weights.sum(), len(space))[:, None]
    weight = condition.weight * _unit(float(weights.sum()))
    return _block("integral", shifted, points, weight, data=data, combine=combine)
