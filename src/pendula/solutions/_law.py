"""A residual as a function of derivatives at a point: what is written by the user,
what it needs, and its slopes."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest
from .._types import AnyArray
from ._derivatives import MAX_ORDER, Orders, name_of, orders_of


_SIZES = (1.0, 1e-2, 1e2, 1e4)  # of values at which a residual is tried
_MOST = 512  # points at which it is


class Need(NamedTuple):
    """A derivative of a field."""

    field: int
    orders: Orders


Look = Callable[[Need], Array]


class Field:
    r"""A field at a collocation point, as residuals see it: `u()` is its value, `u.t`,
    `u.xx`, `u.xt` or `u.d("xt")` its derivatives. It may also be called,
    `u(x, t)`, and differentiated by `jax.grad`: it is then the Taylor polynomial of
    order 4 about the point, whose derivatives there are those of the field."""

    def __init__(
        self,
        index: int,
        coords: tuple[str, ...],
        point: Sequence[Array],
        look: Look,
        whole: Callable[..., Array] | None = None,
    ) -> None:
        self._index, self._coords = index, coords
        self._point, self._look, self._whole = point, look, whole

    def __call__(self, *at: Array) -> Array:
        """The value at the point, or the function of the coordinates near it."""
        if not at:
            return self._look(Need(self._index, (0,) * len(self._coords)))
        if len(at) != len(self._coords):
            raise ConfigError(
                f"a field was called with {len(at)} coordinates; there are "
                f"{len(self._coords)}: {', '.join(self._coords)}."
            )
        if self._whole is not None:
            return self._whole(*at)
        away = [a - p for a, p in zip(at, self._point, strict=True)]
        total = 0.0
        for orders in _multi_indices(len(self._coords)):
            term = self._look(Need(self._index, orders))
            for step, k in zip(away, orders, strict=True):
                for _ in range(k):  # powers by products: slopes at 0 stay exact
                    term = term * step
            total = total + term / math.prod(math.factorial(k) for k in orders)
        return jnp.asarray(total)

    def d(self, name: str) -> Array:
        """The derivative of that name: `u.d("xx")`."""
        return self._look(Need(self._index, orders_of(name, self._coords)))

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.d(name)


class Fields(tuple):
    """Several fields: by position, or by name as `u["h"]`."""

    names: tuple[str, ...]

    def __new__(cls, fields: Sequence[Field], names: tuple[str, ...]) -> Fields:
        made = super().__new__(cls, fields)
        made.names = names
        return made

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.names:
                raise ConfigError(
                    f'there is no field "{key}".{nearest(key, self.names)} '
                    f"Fields are {', '.join(self.names)}."
                )
            key = self.names.index(key)
        return super().__getitem__(key)


class Params:
    """The coefficients, as attributes or by name."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise ConfigError(
                f'the residual uses "p.{name}", which is not in params.'
                f"{nearest(name, self._values)} Give params=dict({name}=...)."
            )
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]


class Law(eqx.Module):
    r"""One or more equations that hold at points.

    $$ r(\partial^{\alpha_1} u, \partial^{\alpha_2} u, \dots; x, t, p) = 0 $$

    **Shapes and units**: `values` `"need"`, the derivatives named by `needs` at one
    point; `point` `"coord"`; `data` `"data"`, what else belongs to the point (measured
    values, a normal); returns `"equation"`.
    **Arguments:** `function(u, *coordinates, p)`, with `takes_data` also `data` after
    them; it gives a scalar, or a sequence of them.
    """

    needs: tuple[Need, ...] = eqx.field(static=True)
    """The derivatives that it needs."""
    equations: int = eqx.field(static=True)
    """How many equations it holds."""
    function: Callable[..., Any] = eqx.field(static=True)
    """The residual as it was written."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """The coordinates, a letter each."""
    fields: tuple[str, ...] = eqx.field(static=True)
    """The names of the fields."""
    takes_data: bool = eqx.field(static=True)
    """Whether it takes data of each point."""

    def __call__(
        self,
        values: Float[Array, "need"],
        point: Float[Array, "coord"],
        params: dict[str, Any],
        data: Float[Array, "data"] | None = None,
    ) -> Float[Array, "equation"]:
        """The residual at one point."""
        place = {need: k for k, need in enumerate(self.needs)}
        zero = jnp.zeros((), values.dtype)
        # What was found to have no influence is not computed: it stands as 0.
        look = lambda need: values[place[need]] if need in place else zero
        return _evaluate(self, look, point, params, data)

    def names(self) -> list[str]:
        """The needs in words: "u", "u_xx"."""
        out = []
        for need in self.needs:
            ending = name_of(need.orders, self.coords)
            out.append(self.fields[need.field] + (f"_{ending}" if ending else ""))
        return out

    def order(self, coord: str, field: int | None = None) -> int:
        """The highest order along a coordinate, of one field or of all."""
        axis = self.coords.index(coord)
        own = [n.orders[axis] for n in self.needs if field in (None, n.field)]
        return max(own, default=0)


def record(
    function: Callable[..., Any],
    coords: tuple[str, ...],
    fields: tuple[str, ...],
    params: dict[str, AnyArray],
    points: Float[np.ndarray, "point coord"],
    *,
    data: Float[np.ndarray, "point data"] | None = None,
    what: str = "residual",
) -> Law:
    """The law of a residual, with the derivatives that it really uses.

    It is evaluated with random values, small and large: what it looks up is noted, and
    what changes it at no point is left out again. Where it calls a field as a function,
    the result is held against the same residual on a smooth function.

    **Raises:** `ConfigError` for one that uses no field, an unknown coordinate or
    parameter, derivatives beyond order 4, or fields away from the point, that is not
    plain JAX, takes other arguments, or gives None.
    """
    given = ("u", *coords, *(() if data is None else ("data",)), "p")
    with _plain(function, given, what):
        return _record(function, coords, fields, params, points, data, what)


@contextlib.contextmanager
def _plain(
    function: Callable[..., Any], given: tuple[str, ...], what: str
) -> Iterator[None]:
    """Says what JAX, or Python, has against a function that was written by the user."""
    takes = None
    with contextlib.suppress(TypeError, ValueError):  # some tell none
        takes = inspect.signature(function)
    try:
        if takes is not None:
            takes.bind(*given)
    except TypeError as error:
        raise ConfigError(
            f"the {what} is called with {len(given)} arguments ({', '.join(given)}), "
            f"and its own do not fit: {error}. Write it with these."
        ) from None
    try:
        yield
    except jax.errors.JAXTypeError as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise ConfigError(
            f"the {what} is not plain JAX: {first}. Write it with jax.numpy in place "
            "of numpy and math, and with jnp.where in place of if."
        ) from error


def _record(
    function: Callable[..., Any],
    coords: tuple[str, ...],
    fields: tuple[str, ...],
    params: dict[str, AnyArray],
    points: Float[np.ndarray, "point coord"],
    data: Float[np.ndarray, "point data"] | None,
    what: str,
) -> Law:
    """`record`, where nothing is wrong with the function as such."""
    seen: dict[Need, None] = {}
    called = False

    def note(need: Need) -> Array:
        nonlocal called
        called = called or sum(need.orders) == MAX_ORDER
        seen.setdefault(need)
        return jnp.asarray(0.5)

    points = np.asarray(points, np.float64)
    kept = np.unique(np.linspace(0, len(points) - 1, _MOST).astype(int))
    points, data = points[kept], None if data is None else data[kept]
    first = Law((), 0, function, coords, fields, data is not None)
    one = lambda k: None if data is None else jnp.asarray(data[k])
    found = _evaluate(first, note, jnp.asarray(points[0]), params, one(0))
    law = Law(tuple(seen), len(found), function, coords, fields, data is not None)
    if called:
        _compare(law, points, params, one)
    used = _used(law, points, params, data)
    needs = tuple(need for need, there in zip(seen, used, strict=True) if there)
    if not needs:
        raise ConfigError(
            f"the {what} does not depend on {' or '.join(fields)}. Use the field in "
            f"it: {fields[0]}() is its value, {fields[0]}.{coords[0]} a derivative."
        )
    return Law(needs, len(found), function, coords, fields, data is not None)


def _used(
    law: Law, points: np.ndarray, params: dict[str, AnyArray], data: np.ndarray | None
) -> np.ndarray:
    """Which needs have an influence anywhere: a term may act in a part of the domain
    alone, or beyond some value."""
    tiled = lambda a: jnp.asarray(np.tile(a, (len(_SIZES), 1)))
    sizes = np.repeat(_SIZES, len(points))[:, None]
    values = np.random.default_rng(0).normal(size=(len(sizes), len(law.needs)))
    told = [jnp.asarray(sizes * values), tiled(points), params]
    told += [] if data is None else [tiled(data)]
    slope = jax.vmap(jax.jacfwd(law), in_axes=(0, 0, None, 0)[: len(told)])(*told)
    rows = len(sizes) * law.equations
    each = np.asarray(slope).reshape(rows, len(law.needs))
    known = np.isfinite(each)  # 0 times infinity says nothing
    return (known & (each != 0.0)).any(0) | ~known.any(0)


def _evaluate(
    law: Law,
    look: Look,
    point: Array,
    params: dict[str, Any],
    data: Array | None,
    whole: Sequence[Callable[..., Array] | None] | None = None,
) -> Array:
    """The equations, one after the other."""
    at = [point[k] for k in range(len(law.coords))]
    functions = whole or [None] * len(law.fields)
    u = [Field(k, law.coords, at, look, f) for k, f in enumerate(functions)]
    field = u[0] if len(u) == 1 else Fields(u, law.fields)
    more = [data] if law.takes_data else []
    out = law.function(field, *at, *more, Params(params))
    rows = out if isinstance(out, tuple | list) else [out]
    if any(row is None for row in rows):
        raise ConfigError(
            "the residual gives None; give a number, or a tuple of them. Does the "
            "function return it?"
        )
    return jnp.concatenate([jnp.ravel(jnp.asarray(row)) for row in rows])


def _compare(law: Law, points: np.ndarray, params: Any, one: Any) -> None:
    """Hold the residual of Taylor polynomials against that of sines themselves."""
    # fast waves: a Taylor polynomial is wrong at a small distance already
    size = np.maximum(np.ptp(points, axis=0), 1e-12)
    wave = [20.0 / (1.0 + 0.1 * k) / size[k] for k in range(len(law.coords))]

    def sine(field: int, at: Sequence[Array], orders: Orders) -> Array:
        """A derivative of the field's sine."""
        phase = sum(w * a for w, a in zip(wave, at, strict=True)) + 0.3 * field
        factor = math.prod(w**k for w, k in zip(wave, orders, strict=True))
        return factor * jnp.sin(phase + 0.5 * math.pi * sum(orders))

    zero = (0,) * len(law.coords)
    whole = [lambda *at, f=f: sine(f, at, zero) for f in range(len(law.fields))]
    for k in range(min(2, len(points))):
        point = jnp.asarray(points[k])
        look = lambda need, at=tuple(point): sine(need.field, at, need.orders)
        direct = _evaluate(law, look, point, params, one(k), whole)
        taylor = _evaluate(law, look, point, params, one(k))
        # logarithms of waves are NaN in both
        if not np.allclose(direct, taylor, rtol=1e-9, atol=1e-9, equal_nan=True):
            raise ConfigError(
                "the residual evaluates a field away from the collocation point, or "
                f"differentiates it more than {MAX_ORDER} times. Write it with values "
                "and derivatives at the point (u(), u.xx)."
            )


def _multi_indices(d: int) -> list[Orders]:
    """All orders up to `MAX_ORDER` in total."""
    every = itertools.product(range(MAX_ORDER + 1), repeat=d)
    return [orders for orders in every if sum(orders) <= MAX_ORDER]
