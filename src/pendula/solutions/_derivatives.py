"""Partial derivatives of functions of a batch of points, with the fewest jets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.experimental import jet
from jaxtyping import Array, Float

from .._errors import ConfigError
from ._given import of_kind


Orders: TypeAlias = tuple[int, ...]
"""How often to differentiate along each coordinate: u_xxt in (x, t) is (2, 1)."""
Pointwise: TypeAlias = Callable[[Float[Array, "point coord"]], Float[Array, "point *w"]]
"""A function of points whose value at a point depends on that point alone."""

MAX_ORDER = 4
"""Highest total order that residuals may ask for."""

_NO_JET = (NotImplementedError, KeyError, TypeError, jax.errors.UnexpectedTracerError)
"""What JAX says of primitives without a rule for jets, or with one that fails: clip,
minimum of a number, functions with slopes of their own (sinc, relu)."""


def orders_of(name: str, coords: tuple[str, ...]) -> Orders:
    """The orders that a name stands for, letter by letter.

    **Raises:** `ConfigError` for a letter that is no coordinate, or too many letters.

    ```python
    >>> from pendula.solutions import orders_of
    >>> orders_of("xxt", ("x", "t"))
    (2, 1)

    ```
    """
    of_kind("the name of a derivative is", name, str, 'letters of coordinates: "xx"')
    strange = [letter for letter in name if letter not in coords]
    if strange:
        raise ConfigError(
            f'derivative "{name}": "{strange[0]}" is no coordinate. Coordinates are '
            f"{', '.join(coords)}; write one letter for each differentiation."
        )
    if len(name) > MAX_ORDER:
        raise ConfigError(
            f'derivative "{name}" has order {len(name)}; at most {MAX_ORDER} are '
            "taken. Write the equation as a system of lower order."
        )
    return tuple(name.count(letter) for letter in coords)


def name_of(orders: Orders, coords: tuple[str, ...]) -> str:
    """The name of a derivative: (2, 1) in (x, t) is "xxt"; "" is the value."""
    return "".join(c * k for c, k in zip(coords, orders, strict=True))


def derivatives(
    function: Pointwise, points: Float[Array, "point coord"], wanted: Iterable[Orders]
) -> dict[Orders, Float[Array, "point *w"]]:
    r"""Partial derivatives of a batched function, all points at once.

    Along one coordinate all orders up to the highest come from a single Taylor mode
    pass (a jet); mixed ones are jets of jets. So u, u_t, u_x, u_xx cost one jet of
    order 2 along x and one slope along t.

    **Arguments:**
    - `function`: `"point coord"` to `"point ..."`; row i may depend on point i alone.
    - `points`: `"point coord"`.
    - `wanted`: orders along each coordinate.

    **Returns:** orders -> derivative, shaped as the function's values.
    **Source:** Griewank, Walther 2008, Evaluating Derivatives, chapter 13 (Taylor
    mode); Bettencourt, Johnson, Duvenaud 2019.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions import derivatives
    >>> f = lambda p: p[:, 0] ** 3 * p[:, 1]
    >>> found = derivatives(f, jnp.asarray([[2.0, 5.0]]), [(2, 0), (1, 1)])
    >>> [round(float(found[orders][0]), 3) for orders in ((2, 0), (1, 1))]
    [60.0, 12.0]

    ```
    """
    return _split(function, points, sorted(set(wanted)))


def _split(
    function: Pointwise, points: Array, wanted: list[Orders]
) -> dict[Orders, Array]:
    """One coordinate after the other, the one of the highest order first."""
    if not wanted:
        return {}
    highest = [max(column) for column in zip(*wanted, strict=True)]
    axis = highest.index(max(highest))
    if highest[axis] == 0:
        return {wanted[0]: function(points)}
    out: dict[Orders, Array] = {}
    rests = sorted({_at(orders, axis, 0) for orders in wanted})
    for rest in rests:
        own = [orders for orders in wanted if _at(orders, axis, 0) == rest]
        inner = function if not any(rest) else _partial(function, rest)
        series = along(inner, points, axis, max(orders[axis] for orders in own))
        out.update({orders: series[orders[axis]] for orders in own})
    return out


def _partial(function: Pointwise, orders: Orders) -> Pointwise:
    """The function that is this derivative."""
    return lambda points: _split(function, points, [orders])[orders]


def _at(orders: Orders, axis: int, value: int) -> Orders:
    return (*orders[:axis], value, *orders[axis + 1 :])


def along(function: Pointwise, points: Array, axis: int, order: int) -> list[Array]:
    """Derivatives 0 to `order` along one coordinate."""
    if order == 0:
        return [function(points)]
    unit = jnp.zeros_like(points).at[:, axis].set(1.0)
    if order == 1:
        return list(jax.jvp(function, (points,), (unit,)))
    series = [unit, *[jnp.zeros_like(points)] * (order - 1)]
    try:
        value, terms = jet.jet(function, (points,), (series,))
    except _NO_JET:
        return _nested(function, points, unit, order)
    return [value, *terms]


def _nested(function: Pointwise, points: Array, unit: Array, order: int) -> list[Array]:
    """The same by slopes of slopes."""
    steps = [function]
    for _ in range(order):
        lower = steps[-1]
        steps.append(lambda p, lower=lower: jax.jvp(lower, (p,), (unit,))[1])
    return [step(points) for step in steps]
