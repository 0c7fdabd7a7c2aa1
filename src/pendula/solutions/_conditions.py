"""What is known of a solution besides its equation: starts, ends, measurements."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, DataError, PendulaError, ShapeError
from ._given import is_number, numbers, told


Value: TypeAlias = float | Callable[..., Any]
"""A number, or a function of the coordinates, called with arrays of points: in plain
JAX, for compiled code calls it, too."""


def evaluate(
    value: Value, points: Float[Array, "point coord"], what: str
) -> Float[Array, "point"]:
    """A value at points; the function gets one array `"point"` a coordinate.

    **Raises:** `ShapeError` where it gives something of another shape, `ConfigError`
    where it takes other arguments, or is not plain JAX.
    """
    n = points.shape[0]
    if not callable(value):
        if np.ndim(value):
            raise ShapeError(
                f"{what} is an array of shape {np.shape(value)}. Give a number, or a "
                "function of the coordinates (jnp.interp makes one of values)."
            )
        try:
            return jnp.full((n,), value, points.dtype)
        except TypeError:  # a text, None, a complex number
            raise ConfigError(
                f"{what} is {told(value)}; give a number, or a function of the "
                "coordinates: jnp.sin."
            ) from None
    try:
        found = jnp.asarray(value(*points.T))
    except PendulaError:
        raise
    except (TypeError, ValueError) as error:  # those of JAX and of NumPy are of these
        first = next(iter(str(error).splitlines()), "").rstrip(".")
        raise ConfigError(
            f"{what} cannot be evaluated: {first}. Write it as a function of the "
            f"coordinates (an array each, {points.shape[1]} in all), with jax.numpy in "
            "place of numpy and math, and with jnp.where in place of if."
        ) from error
    if found.shape not in ((), (n,)):
        raise ShapeError(
            f"{what} gives an array of shape {found.shape} for {n} points; expected "
            f"({n},) or a scalar. Write it with operations that work point by point."
        )
    return jnp.broadcast_to(found.astype(points.dtype), (n,))


def _plain(value: Any) -> Any:
    """A number that is an array as a number: values are compared, and are static."""
    is_array = isinstance(value, np.generic | np.ndarray | jax.Array)
    is_real = is_array and value.ndim == 0 and not np.iscomplexobj(value)
    return float(value) if is_real else value


def _no_text(kind: str, value: Any) -> None:
    if isinstance(value, str):
        raise ConfigError(
            f'{kind}: value is the text "{value}"; give a number, or a function of the '
            "coordinates: jnp.sin."
        )


def _function(kind: str, name: str, given: Any) -> None:
    if not (given is None or callable(given)):
        raise ConfigError(
            f"{kind}: {name} is {told(given)}; give a function of the field, the "
            "coordinates and the parameters, or leave it out."
        )


class _Valued:
    """A condition with a value."""

    value: Any

    def __post_init__(self) -> None:
        _no_text(type(self).__name__, self.value)
        object.__setattr__(self, "value", _plain(self.value))


@dataclasses.dataclass(frozen=True)
class Initial(_Valued):
    r"""What holds at the beginning: $\partial_t^k u(x, t_0) = h(x)$.

    **Arguments:** `value`: number or function of the coordinates in space; for several
    fields at once, a sequence of them; `field`: name, the first one by default;
    `order`: k, 0 for the value, 1 for the rate of change; `hard`: built into the form
    of the solution (True), a term of the loss (False), or what the method does best
    (None); `weight`: of its rows, where it is a term.

    ```python
    >>> from pendula.solutions import Initial
    >>> Initial(lambda x: x**2).order
    0

    ```
    """

    value: Value | Sequence[Value]
    field: str | None = None
    order: int = 0
    hard: bool | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.value, Sequence):
            for one in self.value:
                _no_text("Initial", one)
            object.__setattr__(self, "value", tuple(map(_plain, self.value)))
        if self.order not in (0, 1):
            raise ConfigError(f"Initial: order is {self.order}; it is 0 or 1.")


@dataclasses.dataclass(frozen=True)
class Dirichlet(_Valued):
    """What the solution is on the boundary: u = value.

    **Arguments:** `value`: number or function of all coordinates; `on`: a side, or
    several, or None for the whole boundary; `field`, `hard`, `weight` as for
    `Initial`.
    """

    value: Value = 0.0
    on: str | Sequence[str] | None = None
    field: str | None = None
    hard: bool | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Neumann(_Valued):
    r"""The slope along the outward normal: $\partial_n u = g$; arguments as
    `Dirichlet`. It is always a term of the loss."""

    value: Value = 0.0
    on: str | Sequence[str] | None = None
    field: str | None = None
    hard: bool | None = None
    weight: float = 1.0


@dataclasses.dataclass(frozen=True)
class Robin(_Valued):
    r"""A mixture of both: $a u + b\,\partial_n u = g$; the rest as `Neumann`."""

    a: float = 1.0
    b: float = 1.0
    value: Value = 0.0
    on: str | Sequence[str] | None = None
    field: str | None = None
    hard: bool | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        known = is_number(self.a) and is_number(self.b)
        if not known or (self.a == 0.0 and self.b == 0.0):
            raise ConfigError(
                f"Robin: a is {self.a} and b is {self.b}; both have to be finite, one "
                "of them other than 0."
            )


@dataclasses.dataclass(frozen=True)
class Periodic:
    """Values and the first `order - 1` slopes agree at both ends of a coordinate, as a
    term of the loss. A coordinate that the domain calls periodic needs none.

    **Arguments:** `axis`: the coordinate's letter; `order`: how many of value, slope,
    .. agree.
    """

    axis: str = "x"
    order: int = 1
    field: str | None = None
    hard: bool | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3, 4):
            raise ConfigError(f"Periodic: order is {self.order}; it is 1 to 4.")


@dataclasses.dataclass(frozen=True)
class Observation:
    r"""Measured values: $u(x_i, t_i) = y_i \pm \sigma$.

    **Arguments:** `points` `"point coord"`, all coordinates, time last; `values`
    `"point"`; `sigma`: their uncertainty, above 0; `operator(u, *coordinates, p)`: what
    was measured, where it is not the field itself.
    **Raises:** `ShapeError`; `DataError` for values that are not finite; `ConfigError`
    for an uncertainty that is not above 0.
    """

    points: ArrayLike
    values: ArrayLike
    sigma: float = 1.0
    field: str | None = None
    operator: Callable[..., Any] | None = None
    hard: bool | None = None

    def __post_init__(self) -> None:
        _function("Observation", "operator", self.operator)
        points, values = self.arrays()
        if points.ndim != 2 or values.shape != (len(points),):
            raise ShapeError(
                f"Observation: points have shape {points.shape} and values "
                f"{values.shape}; expected (n, coordinates) and (n,)."
            )
        if not (np.isfinite(points).all() and np.isfinite(values).all()):
            raise DataError(
                "Observation: points or values hold NaN or infinity. Leave those out."
            )
        positive("Observation", sigma=self.sigma)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Points and values in float64."""
        values = numbers("Observation: values are", self.values)
        return numbers("Observation: points are", self.points), values


@dataclasses.dataclass(frozen=True)
class Integral(_Valued):
    r"""What an integral over the domain is at all times: $\int f(u)\,dx = value(t)$.

    **Arguments:** `value`: number, or a function of time;
    `density(u, *coordinates, p)`: what is integrated, the field by default.
    """

    value: Value
    density: Callable[..., Any] | None = None
    field: str | None = None
    hard: bool | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _function("Integral", "density", self.density)


Condition: TypeAlias = (
    Initial | Dirichlet | Neumann | Robin | Periodic | Observation | Integral
)
SIDED = (Dirichlet, Neumann, Robin)


def is_finite(value: Value, points: np.ndarray, what: str) -> None:
    """**Raises:** `DataError` for a value that is not finite at one of the points."""
    found = np.asarray(jax.device_get(evaluate(value, jnp.asarray(points), what)))
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise DataError(
            f"{what} is {found[bad[0]]} at {points[bad[0]].tolist()}. It has to be "
            "finite everywhere: check the function there."
        )
