"""Shapes with holes."""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from ._domain import AbstractDomain, Box, Given, blend, blended, find_side
from ._given import of_kind
from ._points import sobol_inside
from ._polygon import Polygon
from ._shapes import Disc


_VOLUME = 1 << 15  # points that a volume is found with
_FLUSH = 1e-9  # of the size of a shape


class Difference(AbstractDomain):
    r"""A shape with another one cut out of it: a without b.

    Sides of a keep their names, those of b are called `"hole-..."` (of a second hole
    `"hole2-..."`); what nothing is left of has no name. Values on the sides of b can be
    met exactly where it is a disc, a ball, a polygon or a box in the plane. Integrals
    are means over even points.

    **Arguments:** `a`, `b`: domains of the same two or three coordinates, none of them
    periodic.
    **Raises:** `ConfigError` for other coordinates, or where (almost) nothing is left.

    ```python
    >>> from pendula.solutions import Box, Difference, Disc, Interval
    >>> square = Box(Interval(-1, 1), Interval(-1, 1, name="y"))
    >>> plate = Difference(square, Disc((0.0, 0.0), 0.5))
    >>> plate.sides
    ('x-', 'x+', 'y-', 'y+', 'hole-rim')

    ```
    """

    a: AbstractDomain
    """What it is cut from."""
    b: AbstractDomain
    """What is cut out."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""
    prefix: str = eqx.field(static=True)
    """What the names of b's sides begin with."""
    left: tuple[str, ...] = eqx.field(static=True)
    """The sides of which something is left."""

    def __init__(self, a: AbstractDomain, b: AbstractDomain) -> None:
        of_kind("Difference: a is", a, AbstractDomain, "a domain")
        of_kind("Difference: b is", b, AbstractDomain, "a domain")
        if a.coords != b.coords or len(a.coords) < 2:
            raise ConfigError(
                f"Difference: coordinates are {', '.join(a.coords)} and "
                f"{', '.join(b.coords)}; both need the same, at least two."
            )
        if any(a.periodic) or any(b.periodic):
            raise ConfigError("Difference: a periodic coordinate has no inside.")
        self.a, self.coords = a, a.coords
        self.b = _outline(b) if isinstance(b, Box) and len(b.axes) == 2 else b
        holes = 1
        while isinstance(a, Difference):
            a, holes = a.a, holes + 1
        self.prefix = "hole-" if holes == 1 else f"hole{holes}-"
        sobol_inside(self.bounds, self.contains, 8, None)  # something is left
        every = self.a.sides + tuple(self.prefix + side for side in self.b.sides)
        self.left = tuple(side for side in every if len(self._left(side, 256)[0]))

    @property
    def sides(self) -> tuple[str, ...]:
        return self.left

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        return self.a.bounds

    @property
    def periodic(self) -> tuple[bool, ...]:
        return (False,) * len(self.coords)

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        dim = len(self.coords)
        # as many on the boundary as a grid has
        edge = min(count // 3, math.ceil(2 * dim * count ** (1.0 - 1.0 / dim)))
        each = math.ceil(edge / len(self.sides))
        rim = [np.zeros((0, dim))]
        rim += [self.on_side(side, each, seed)[0] for side in self.sides if each]
        around = np.unique(np.concatenate(rim), axis=0)  # corners belong to two sides
        inner = max(count - len(around), count // 2, 1)
        points, _ = sobol_inside(self.bounds, self.contains, inner, seed)
        return np.concatenate([around, points])

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        points, _ = sobol_inside(self.bounds, self.contains, count, None)
        _, share = sobol_inside(self.bounds, self.contains, _VOLUME, None)
        volume = share * float(np.prod(np.diff(self.bounds, axis=1)))
        return points, np.full(len(points), volume / len(points))

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        find_side(self, side)
        points, normals = self._left(side, count, seed)
        tried = count
        while len(points) < count and tried < 64 * count:
            tried *= 2
            points, normals = self._left(side, tried, seed)
        most = min(count, len(points))
        kept = np.linspace(0, len(points) - 1, most).round().astype(int)
        return points[kept], normals[kept]

    def _left(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is left of about `count` points on a side, with normals."""
        if side in self.a.sides:
            points, normals = self.a.on_side(side, count, seed)
            left = ~self.b.contains(points)
        else:
            name = side.removeprefix(self.prefix)
            points, normals = self.b.on_side(name, count, seed)
            # on the edge of a there is nothing between the two
            left, normals = self.a.contains(points, -_FLUSH), -normals
        return points[left], normals[left]

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        find_side(self, side)
        if side in self.a.sides:
            return self.a.distance(side, points)
        if not isinstance(self.b, Disc | Polygon):
            raise ConfigError(
                f'Difference: there is no distance from "{side}", a hole that is no '
                "disc, polygon or box in the plane. Let the condition be a term of "
                "the loss: hard=False."
            )
        size = float(np.diff(self.bounds, axis=1).max())
        return self.b.beyond(side.removeprefix(self.prefix), points) / size

    @property
    def exact_sides(self) -> tuple[str, ...]:
        exact = list(self.a.exact_sides)
        if isinstance(self.b, Disc):  # a hole with corners has no smooth distance
            exact.append(self.prefix + "rim")
        return tuple(side for side in self.sides if side in exact)

    @property
    def mixes(self) -> bool:
        return self.a.mixes

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        around = [(side, f) for side, f in values if side in self.a.sides]
        hole = [(side, f) for side, f in values if side not in self.a.sides]
        if not hole:
            return self.a.lift(values, points)
        if not around or all(f is values[0][1] for _, f in values):
            return blended(self, values, points)
        # each group as one: what is around stays as smooth as its own lift
        far = lambda own: math.prod(
            (2.0 * self.distance(side, points) for side, _ in own),
            start=jnp.ones_like(points[:, 0]),
        )
        shares = blend([far(around), far(hole)])
        outer, inner = self.a.lift(around, points), blended(self, hole, points)
        return shares[0] * outer + shares[1] * inner

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        return self.a.contains(points, slack) & ~self.b.contains(points, -slack)


def _outline(box: Box) -> Polygon:
    """A box in the plane as a polygon."""
    (x0, x1), (y0, y1) = box.bounds.tolist()
    x, y = box.coords
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    edges = (f"{y}-", f"{x}+", f"{y}+", f"{x}-")
    return Polygon(corners, edges=edges, names=x + y)
