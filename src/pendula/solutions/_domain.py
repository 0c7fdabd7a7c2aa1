"""Where an equation holds: the protocol, intervals and boxes."""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest
from ._given import is_number, of_kind, yes_or_no


Given: TypeAlias = Sequence[tuple[str, Callable[[Array], Array]]]
"""Sides and what a field is there, a function of points `"point coord"`."""


class AbstractDomain(eqx.Module):
    """A piece of space. Its coordinates have a letter each; its boundary has named
    sides; points come as `"point coord"`."""

    coords: eqx.AbstractVar[tuple[str, ...]]
    """A letter for each coordinate."""

    @property
    @abc.abstractmethod
    def sides(self) -> tuple[str, ...]:
        """Names of the pieces of the boundary; periodic ends are none."""

    @property
    @abc.abstractmethod
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        """Lowest and highest value of each coordinate."""

    @property
    @abc.abstractmethod
    def periodic(self) -> tuple[bool, ...]:
        """Whether each coordinate comes back to its beginning."""

    @abc.abstractmethod
    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        """About `count` points inside, as even as the shape allows; with a seed,
        others of the same kind (for checks), moved against the first."""

    @abc.abstractmethod
    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        """About `count` points and weights whose sum is the volume."""

    @abc.abstractmethod
    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        """About `count` points on a side, and the outward normals there."""

    @abc.abstractmethod
    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        """A smooth function that is 0 on the side, with a slope there, and positive
        inside (about 1 at most)."""

    @property
    @abc.abstractmethod
    def exact_sides(self) -> tuple[str, ...]:
        """Sides with a distance that is smooth inside: values there are met exactly,
        unless a condition says otherwise."""

    @property
    @abc.abstractmethod
    def mixes(self) -> bool:
        """Whether `lift` is smooth where values on different sides differ."""

    @abc.abstractmethod
    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        """A function that is what is given on some of the sides, continued inwards."""

    @abc.abstractmethod
    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        """Whether each point lies inside or on the boundary."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.coords)


def letters(kind: str, names: str, dim: int) -> tuple[str, ...]:
    """The first letters of `names`. **Raises:** `ConfigError` for ones that will not
    do."""
    own = tuple(names[:dim])
    if len(own) < dim or len(set(own)) < dim or "t" in own or not names.isalpha():
        raise ConfigError(
            f'{kind}: names are "{names}"; {dim} different letters other than t are '
            "needed."
        )
    return own


def find_side(domain: AbstractDomain, side: str) -> str:
    """The side of that name. **Raises:** `ConfigError` with the names there are."""
    if side not in domain.sides:
        known = ", ".join(domain.sides) or "none: every coordinate is periodic"
        raise ConfigError(
            f'the domain has no side "{side}".{nearest(side, domain.sides)} '
            f"Sides are {known}."
        )
    return side


class Interval(AbstractDomain):
    r"""A piece of a line, $lo \le x \le hi$; sides `"x-"` and `"x+"`.

    **Arguments:** `lo` < `hi`; `periodic`: hi is lo again; `name`: the coordinate's
    letter.
    **Raises:** `ConfigError` for ends that are not finite or not in order.

    ```python
    >>> from pendula.solutions import Interval
    >>> Interval(0.0, 1.0).sides
    ('x-', 'x+')

    ```
    """

    lo: float = eqx.field(static=True)
    """The lower end."""
    hi: float = eqx.field(static=True)
    """The upper end."""
    is_periodic: bool = eqx.field(static=True)
    """Whether the upper end is the lower one again."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """The coordinate's letter."""

    def __init__(
        self, lo: float, hi: float, *, periodic: bool = False, name: str = "x"
    ) -> None:
        if not (is_number(lo) and is_number(hi) and lo < hi):
            raise ConfigError(
                f"Interval: from {lo} to {hi}; the ends have to be finite, the lower "
                "one first."
            )
        yes_or_no("Interval: periodic is", periodic)
        if len(name) != 1 or not name.isalpha() or name == "t":
            raise ConfigError(
                f'Interval: name "{name}"; a coordinate is one letter other than t.'
            )
        self.lo, self.hi = float(lo), float(hi)
        self.is_periodic, self.coords = periodic, (name,)

    @property
    def sides(self) -> tuple[str, ...]:
        name = self.coords[0]
        return () if self.is_periodic else (f"{name}-", f"{name}+")

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        return np.asarray([[self.lo, self.hi]])

    @property
    def periodic(self) -> tuple[bool, ...]:
        return (self.is_periodic,)

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        return self.axis(count, seed)[:, None]

    def axis(self, count: int, seed: int | None = None) -> Float[np.ndarray, "p"]:
        """Equal distances on a circle, the extrema of a Chebyshev polynomial between
        ends (with both ends: a fit must not have to extrapolate); with a seed, its
        roots, or points moved by about half a distance."""
        shift = 0.0 if seed is None else 0.5 + 0.1 * math.sin(float(seed))
        if self.is_periodic:
            unit = (np.arange(count) + shift) / count
        else:
            ends = 0.5 if seed is not None or count == 1 else 0.0
            angle = np.pi * (np.arange(count) + ends) / (count - 1.0 + 2.0 * ends)
            unit = 0.5 * (1.0 - np.cos(angle))
        return self.lo + (self.hi - self.lo) * unit

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        length = self.hi - self.lo
        if self.is_periodic:
            return self.nodes(count), np.full(count, length / count)
        roots, weights = np.polynomial.legendre.leggauss(count)
        return (self.lo + 0.5 * length * (roots + 1.0))[:, None], 0.5 * length * weights

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        end = find_side(self, side)[1]
        at, normal = (self.lo, -1.0) if end == "-" else (self.hi, 1.0)
        return np.asarray([[at]]), np.asarray([[normal]])

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        return self.from_end(find_side(self, side)[1], points[:, 0])

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return self.sides

    @property
    def mixes(self) -> bool:
        return True

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        return transfinite((self,), values, points)

    def from_end(self, end: str, x: Float[Array, "point"]) -> Float[Array, "point"]:
        """Distance from "-" or "+", in lengths of the interval."""
        away = x - self.lo if end == "-" else self.hi - x
        return away / (self.hi - self.lo)

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        x, more = points[:, 0], slack * (self.hi - self.lo)
        return (x >= self.lo - more) & (x <= self.hi + more)


class Box(AbstractDomain):
    r"""The product of intervals; sides `"x-"`, `"x+"`, `"y-"` and so on.

    **Arguments:** `axes`: intervals of different letters, each with its own ends and
    periodicity.
    **Raises:** `ConfigError` for a letter that stands twice.

    ```python
    >>> from pendula.solutions import Box, Interval
    >>> Box(Interval(0, 1), Interval(0, 2, name="y", periodic=True)).sides
    ('x-', 'x+')

    ```
    """

    axes: tuple[Interval, ...]
    """One interval a coordinate."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""

    def __init__(self, *axes: Interval) -> None:
        for axis in axes:
            of_kind("Box: an axis is", axis, Interval, "one Interval(lo, hi) for each")
        letters = tuple(axis.coords[0] for axis in axes)
        if not axes or len(set(letters)) < len(letters):
            raise ConfigError(
                f"Box: the coordinates are {', '.join(letters) or 'none'}; give each "
                'interval a letter of its own: Interval(0, 1, name="y").'
            )
        self.axes, self.coords = axes, letters

    @property
    def sides(self) -> tuple[str, ...]:
        return tuple(side for axis in self.axes for side in axis.sides)

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        return np.concatenate([axis.bounds for axis in self.axes])

    @property
    def periodic(self) -> tuple[bool, ...]:
        return tuple(axis.is_periodic for axis in self.axes)

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        each = max(2, math.ceil(count ** (1.0 / len(self.axes)) - 1e-9))
        return product([axis.axis(each, seed) for axis in self.axes])

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        each = max(2, math.ceil(count ** (1.0 / len(self.axes)) - 1e-9))
        rules = [axis.quadrature(each) for axis in self.axes]
        weights = product([w for _, w in rules])
        return product([p[:, 0] for p, _ in rules]), np.prod(weights, axis=1)

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        k, end = self._axis(side)
        others = max(1, len(self.axes) - 1)
        each = max(2, math.ceil(count ** (1.0 / others) - 1e-9))
        lines: list[Any] = [axis.axis(each, seed) for axis in self.axes]
        lines[k] = np.asarray([self.axes[k].lo if end == "-" else self.axes[k].hi])
        points = product(lines)
        normal = np.zeros_like(points)
        normal[:, k] = -1.0 if end == "-" else 1.0
        return points, normal

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        k, end = self._axis(side)
        return self.axes[k].from_end(end, points[:, k])

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return self.sides

    @property
    def mixes(self) -> bool:
        return True

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        return transfinite(self.axes, values, points)

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        each = [a.contains(points[:, [k]], slack) for k, a in enumerate(self.axes)]
        return np.all(each, axis=0)

    def _axis(self, side: str) -> tuple[int, str]:
        find_side(self, side)
        return self.coords.index(side[0]), side[1]


def product(lines: list[np.ndarray]) -> np.ndarray:
    """All combinations of values, the last coordinate fastest."""
    grid = np.meshgrid(*lines, indexing="ij")
    return np.stack([g.ravel() for g in grid], axis=-1)


def blend(weights: list[Array]) -> list[Array]:
    r"""Shares of sides at points, from the distances d_i to each: 1 on its own side and
    0 on the others; equal where sides meet.

    $$ s_i = \prod_{j \ne i} d_j \Big/ \sum_k \prod_{j \ne k} d_j $$

    **Source:** Rvachev, Sheiko, Shapiro, Tsukanov 2001, transfinite interpolation.
    """
    if len(weights) == 1:
        return [jnp.ones_like(weights[0])]
    others = lambda k: math.prod(
        (w for j, w in enumerate(weights) if j != k), start=jnp.ones_like(weights[0])
    )
    each = [others(k) for k in range(len(weights))]
    total = sum(each[1:], start=each[0])
    met = total == 0.0
    safe = jnp.where(met, 1.0, total)
    return [jnp.where(met, 1.0 / len(weights), one / safe) for one in each]


def blended(
    domain: AbstractDomain, values: Given, points: Float[Array, "point coord"]
) -> Float[Array, "point"]:
    """What is given, each in its share of `blend`. One function that is given on all
    sides is taken as it is: nothing has to be mixed, and it stays smooth."""
    functions = [value for _, value in values]
    if all(value is functions[0] for value in functions):
        return functions[0](points)
    shares = blend([domain.distance(side, points) for side, _ in values])
    mixed = [share * f(points) for share, f in zip(shares, functions, strict=True)]
    return sum(mixed[1:], start=mixed[0])


def transfinite(
    axes: Sequence[Interval], values: Given, points: Float[Array, "point coord"]
) -> Float[Array, "point"]:
    r"""What is given on sides of a box, continued inwards: linear between two ends of
    an axis, constant from one, and the axes joined as

    $$ I - \prod_k (I - P_k) $$

    It is as smooth as what is given, which is looked up on the sides only. Where sides
    meet, those of the last axis win.

    **Source:** Gordon, Hall 1973, transfinite element methods.
    """
    given = dict(values)
    total: Callable[[Array], Array] = lambda p: jnp.zeros_like(p[:, 0])
    for k, axis in enumerate(axes):
        ends = [end for end in "-+" if f"{axis.coords[0]}{end}" in given]
        if ends:
            own = [given[f"{axis.coords[0]}{end}"] for end in ends]
            total = functools.partial(corrected, total, axis, k, ends, own)
    return total(points)


def corrected(
    before: Callable[[Array], Array],
    axis: Interval,
    k: int,
    ends: list[str],
    values: list[Callable[[Array], Array]],
    points: Array,
) -> Array:
    """A function corrected along one axis, so that it is what is given at its ends."""
    total = before(points)
    for end, value in zip(ends, values, strict=True):
        at = points.at[:, k].set(axis.lo if end == "-" else axis.hi)
        other = "+" if end == "-" else "-"
        share = axis.from_end(other, points[:, k]) if len(ends) == 2 else 1.0
        total = total + share * (value(at) - before(at))
    return total
