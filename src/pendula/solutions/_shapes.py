"""Discs and balls, and shapes drawn out along an axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import positive
from .._errors import ConfigError
from ._domain import (
    AbstractDomain,
    Given,
    Interval,
    blended,
    corrected,
    find_side,
    letters,
)
from ._given import numbers, of_kind
from ._points import ball_points, directions


class Disc(AbstractDomain):
    r"""A disc, or a ball in three coordinates: $|x - c| \le R$; its side is `"rim"`.

    **Arguments:** `centre`: two or three numbers; `radius` R > 0; `names`: a letter for
    each coordinate.
    **Raises:** `ConfigError` for a centre or radius that is not finite, or a radius
    that is not above 0.

    ```python
    >>> from pendula.solutions import Disc
    >>> disc = Disc((0.0, 0.0), 2.0)
    >>> disc.sides, disc.coords
    (('rim',), ('x', 'y'))
    >>> points, weights = disc.quadrature(100)
    >>> round(float(weights.sum() / 3.141592653589793), 12)
    4.0

    ```
    """

    centre: tuple[float, ...] = eqx.field(static=True)
    """Where it lies."""
    radius: float = eqx.field(static=True)
    """How large it is."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""

    def __init__(
        self, centre: Sequence[float], radius: float, *, names: str = "xyz"
    ) -> None:
        centre = tuple(numbers("Disc: centre is", centre).ravel().tolist())
        if len(centre) not in (2, 3) or not all(map(math.isfinite, centre)):
            raise ConfigError(
                f"Disc: centre is {centre}; it has two or three finite numbers (in one "
                "coordinate take Interval)."
            )
        positive("Disc", radius=radius)
        self.centre, self.radius = centre, float(radius)
        self.coords = letters("Disc", names, len(centre))

    @property
    def sides(self) -> tuple[str, ...]:
        return ("rim",)

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        middle = np.asarray(self.centre)
        return np.stack([middle - self.radius, middle + self.radius], -1)

    @property
    def periodic(self) -> tuple[bool, ...]:
        return (False,) * len(self.centre)

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        unit = ball_points(count, len(self.centre), seed)
        return np.asarray(self.centre) + self.radius * unit

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        dim = len(self.centre)
        # a rule of Gauss along radii, even angles: exact for polynomials
        each = max(2, math.ceil((count / 2.0 ** (dim - 1)) ** (1.0 / dim)))
        roots, weights = np.polynomial.legendre.leggauss(each)
        r, wr = 0.5 * (roots + 1.0), 0.5 * weights * (0.5 * (roots + 1.0)) ** (dim - 1)
        angles = 2.0 * np.pi * (np.arange(2 * each) + 0.5) / (2 * each)
        unit = np.stack([np.cos(angles), np.sin(angles)], -1)
        share = np.full(2 * each, np.pi / each)
        if dim == 3:
            flat = np.sqrt(1.0 - roots**2)
            around = flat[:, None, None] * unit[None]
            height = np.broadcast_to(roots[:, None, None], (*around.shape[:2], 1))
            unit = np.concatenate([around, height], -1).reshape(-1, 3)
            share = np.outer(weights, share).ravel()
        points = (r[:, None, None] * unit[None]).reshape(-1, dim)
        volume = self.radius**dim * np.outer(wr, share).ravel()
        return np.asarray(self.centre) + self.radius * points, volume

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        find_side(self, side)
        turn = 0.0 if seed is None else np.pi / count + 0.1 * math.sin(float(seed))
        normal = directions(count, len(self.centre), turn)
        return np.asarray(self.centre) + self.radius * normal, normal

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        find_side(self, side)
        return 0.5 * (1.0 - self._squared(points))

    def beyond(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        """Distance from the rim outside of it."""
        find_side(self, side)
        square = self._squared(points)
        safe = jnp.where(square > 0.0, square, 1.0)  # the slope at the centre is finite
        return self.radius * (jnp.where(square > 0.0, jnp.sqrt(safe), 0.0) - 1.0)

    def _squared(self, points: Array) -> Array:
        away = points - jnp.asarray(self.centre, points.dtype)[None, :]
        return jnp.sum(away * away, axis=1) / self.radius**2

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return self.sides

    @property
    def mixes(self) -> bool:
        return True

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        return blended(self, values, points)

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        away = np.linalg.norm(points - np.asarray(self.centre), axis=1)
        return away <= self.radius * (1.0 + slack)


class Product(AbstractDomain):
    r"""A shape times an interval: a prism, a cylinder, a ring.

    **Arguments:** `base`: any domain; `axis`: an `Interval` with another letter.
    **Raises:** `ConfigError` for a letter that stands twice.

    ```python
    >>> from pendula.solutions import Disc, Interval, Product
    >>> pipe = Product(Disc((0, 0), 1.0), Interval(0, 5, periodic=True, name="z"))
    >>> pipe.coords, pipe.sides
    (('x', 'y', 'z'), ('rim',))

    ```
    """

    base: AbstractDomain
    """The shape."""
    axis: Interval
    """Along what it is drawn out."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""

    def __init__(self, base: AbstractDomain, axis: Interval) -> None:
        of_kind("Product: base is", base, AbstractDomain, "a domain")
        of_kind("Product: axis is", axis, Interval, "an Interval")
        if axis.coords[0] in base.coords:
            raise ConfigError(
                f'Product: the letter "{axis.coords[0]}" stands twice. Give the '
                'interval another one: Interval(0, 1, name="z").'
            )
        self.base, self.axis = base, axis
        self.coords = (*base.coords, *axis.coords)

    @property
    def sides(self) -> tuple[str, ...]:
        return self.base.sides + self.axis.sides

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        return np.concatenate([self.base.bounds, self.axis.bounds])

    @property
    def periodic(self) -> tuple[bool, ...]:
        return self.base.periodic + self.axis.periodic

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        along = self._along(count)
        base = self.base.nodes(math.ceil(count / along), seed)
        return _times(base, self.axis.axis(along, seed))

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        along = self._along(count)
        base, area = self.base.quadrature(math.ceil(count / along))
        axis, length = self.axis.quadrature(along)
        return _times(base, axis[:, 0]), np.outer(area, length).ravel()

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        find_side(self, side)
        if side in self.axis.sides:
            at, normal = self.axis.on_side(side, 1)
            base = self.base.nodes(count, seed)
            flat = np.zeros_like(base)
            return _times(base, at[:, 0]), np.c_[flat, np.full(len(base), normal[0, 0])]
        along = max(2, math.ceil(count ** (1.0 / max(1, len(self.coords) - 1))))
        points, normals = self.base.on_side(side, math.ceil(count / along), seed)
        normals = np.repeat(normals, along, axis=0)
        line = self.axis.axis(along, seed)
        return _times(points, line), np.c_[normals, np.zeros(len(normals))]

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        own = find_side(self, side) in self.axis.sides
        return (
            self.axis.distance(side, points[:, -1:])
            if own
            else self.base.distance(side, points[:, :-1])
        )

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return self.base.exact_sides + self.axis.sides

    @property
    def mixes(self) -> bool:
        return self.base.mixes

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        ends = [(side, f) for side, f in values if side in self.axis.sides]
        around = [(side, f) for side, f in values if side not in self.axis.sides]

        def before(p: Array) -> Array:
            """What is given around the base, at the heights of the points."""
            if not around:
                return jnp.zeros_like(p[:, 0])
            held = {f: lambda q, f=f: f(jnp.c_[q, p[:, -1]]) for _, f in around}
            own = [(side, held[f]) for side, f in around]
            return self.base.lift(own, p[:, :-1])

        if not ends:
            return before(points)
        k = len(self.coords) - 1
        marks = [side[-1] for side, _ in ends]
        return corrected(before, self.axis, k, marks, [f for _, f in ends], points)

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        within = self.axis.contains(points[:, -1:], slack)
        return within & self.base.contains(points[:, :-1], slack)

    def _along(self, count: int) -> int:
        return max(2, math.ceil(count ** (1.0 / len(self.coords)) - 1e-9))


def _times(base: np.ndarray, line: np.ndarray) -> np.ndarray:
    """All points of the base at all heights, those fastest."""
    n, m = len(base), len(line)
    return np.c_[np.repeat(base, m, axis=0), np.tile(line, n)]
