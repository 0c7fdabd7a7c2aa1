"""Polygons: distances from their edges, triangles, points."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from ._domain import AbstractDomain, Given, blended, find_side, letters
from ._given import numbers
from ._points import sobol_inside


Pair = tuple[float, float]


class Polygon(AbstractDomain):
    r"""A polygon whose edges do not cross; its sides are `"edge0"` (from the first
    vertex to the second), `"edge1"` and so on.

    The distance from an edge is that from its straight line where the polygon lies on
    one side of it, and otherwise the normalised function of the piece of line

    $$ \phi = \sqrt{f^2 + \tfrac14(\sqrt{t^2 + f^4} - t)^2}, \qquad
       t = \frac{1}{L}\Big(\frac{L^2}{4} - |x - m|^2\Big) $$

    with the distance f from the line, the edge's length L and middle m.

    **Arguments:** `vertices`: at least three pairs, in either direction around;
    `edges`: names of its sides, where others are wanted; `names`: a letter for each
    coordinate.
    **Raises:** `ConfigError` for fewer vertices, ones that are not finite, edges that
    cross, or no area.
    **Source:** Sukumar, Srivastava 2022, arXiv:2104.08438, section 4 (distances, after
    Rvachev).

    ```python
    >>> from pendula.solutions import Polygon
    >>> corner = Polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    >>> corner.area, len(corner.sides)
    (3.0, 6)

    ```
    """

    vertices: tuple[Pair, ...] = eqx.field(static=True)
    """Counter-clockwise."""
    edges: tuple[str, ...] = eqx.field(static=True)
    """The name of the edge from each vertex to the next one."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""

    def __init__(
        self,
        vertices: Sequence[Sequence[float]],
        *,
        edges: Sequence[str] | None = None,
        names: str = "xyz",
    ) -> None:
        given = numbers("Polygon: vertices are", vertices)
        if given.ndim != 2 or given.shape[1] != 2 or len(given) < 3:
            raise ConfigError(
                f"Polygon: vertices have shape {given.shape}; at least three pairs are "
                "needed."
            )
        if not np.isfinite(given).all():
            raise ConfigError("Polygon: vertices hold NaN or infinity.")
        _check_edges(given)
        sides = list(edges or (f"edge{k}" for k in range(len(given))))
        if len(set(sides)) != len(given):
            raise ConfigError(
                f"Polygon: edges are {', '.join(sides)}; {len(given)} different names "
                "are needed."
            )
        if _area(given) < 0.0:  # the last edge leads from the last vertex to the first
            given, sides = given[::-1], [*sides[-2::-1], sides[-1]]
        self.vertices = tuple((float(x), float(y)) for x, y in given)
        self.edges = tuple(sides)
        self.coords = letters("Polygon", names, 2)

    @property
    def sides(self) -> tuple[str, ...]:
        return self.edges

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        corners = np.asarray(self.vertices)
        return np.stack([corners.min(0), corners.max(0)], -1)

    @property
    def periodic(self) -> tuple[bool, ...]:
        return (False, False)

    @property
    def area(self) -> float:
        """Its area."""
        return float(_area(np.asarray(self.vertices)))

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        # as many on the boundary as a square grid has, in proportion to the edges
        edge = min(count // 3, math.ceil(4.0 * math.sqrt(count)))
        lengths = [float(np.linalg.norm(self._edge(s)[2])) for s in self.sides]
        each = [math.ceil(edge * own / sum(lengths)) for own in lengths]
        rim = [
            self.on_side(side, own, seed)[0]
            for side, own in zip(self.sides, each, strict=True)
            if own
        ]
        inner = max(count - sum(each), count // 2, 1)
        points, _ = sobol_inside(self.bounds, self.contains, inner, seed)
        return np.concatenate([*rim, points])

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        triangles = _triangles(np.asarray(self.vertices))
        each = max(1, math.ceil(math.sqrt(count / len(triangles))))
        roots, weights = np.polynomial.legendre.leggauss(each)
        u, w = 0.5 * (roots + 1.0), 0.5 * weights
        # a square folded to a triangle: (u, v) -> (u, (1 - u) v)
        first = np.repeat(u, each)
        second = np.tile(u, each) * (1.0 - first)
        share = np.outer(w * (1.0 - u), w).ravel()
        points, volumes = [], []
        for a, b, c in triangles:
            at = a + first[:, None] * (b - a) + second[:, None] * (c - a)
            points.append(at)
            volumes.append(2.0 * _area(np.stack([a, b, c])) * share)
        return np.concatenate(points), np.concatenate(volumes)

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        start, _, along, inward = self._edge(side)
        shift = 0.5 if seed is None else 0.5 + 0.2 * math.sin(1.0 + seed)
        # denser to the ends, as Chebyshev's, without the vertices: two normals there
        unit = 0.5 * (1.0 - np.cos(np.pi * (np.arange(count) + shift) / count))
        return start + unit[:, None] * along, np.tile(-inward, (count, 1))

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        start, end, _, inward = self._edge(side)
        heights = (np.asarray(self.vertices) - start) @ inward
        highest = float(heights.max())
        if self._lowest(side) >= 0.0:
            return _height(points, start, inward) / highest
        return _from_piece(points, start, end, inward) / highest

    def beyond(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        """Distance from an edge outside of the polygon."""
        start, end, _, inward = self._edge(side)
        return _from_piece(points, start, end, -inward)

    def _edge(self, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First and last point, the step between them, the normal that points in."""
        k = self.sides.index(find_side(self, side))
        start = np.asarray(self.vertices[k])
        end = np.asarray(self.vertices[(k + 1) % len(self.vertices)])
        along = end - start
        inward = np.asarray([-along[1], along[0]]) / np.linalg.norm(along)
        return start, end, along, inward

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return tuple(side for side in self.sides if self._lowest(side) >= 0.0)

    @property
    def mixes(self) -> bool:
        return False  # shares of sides jump where they meet

    def _lowest(self, side: str) -> float:
        """How far the polygon reaches beyond an edge's straight line, 0 or less."""
        start, _, _, inward = self._edge(side)
        heights = (np.asarray(self.vertices) - start) @ inward
        return float(np.where(heights > -1e-12 * heights.max(), 0.0, heights).min())

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        return blended(self, values, points)

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        corners = np.asarray(self.vertices)
        inside = np.zeros(len(points), bool)
        away = np.full(len(points), np.inf)
        x, y = points.T
        for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            # a ray to the right crosses the boundary an odd number of times
            between = (a[1] > y) != (b[1] > y)
            rise = b[1] - a[1] if b[1] != a[1] else 1.0
            inside ^= between & (x < a[0] + (b[0] - a[0]) * (y - a[1]) / rise)
            step = b - a
            share = np.clip((points - a) @ step / (step @ step), 0.0, 1.0)
            nearest = a + share[:, None] * step
            away = np.minimum(away, np.linalg.norm(points - nearest, axis=1))
        near = away <= abs(slack) * float(np.ptp(corners, axis=0).max())
        return inside | near if slack >= 0.0 else inside & ~near


def _check_edges(given: np.ndarray) -> None:
    """Refuse vertices that are the same, and edges that cross."""
    n = len(given)
    size = float(np.ptp(given, axis=0).max())
    length = np.linalg.norm(np.roll(given, -1, axis=0) - given, axis=1)
    if length.min() <= 1e-12 * size:
        raise ConfigError("Polygon: two neighbouring vertices are the same.")
    for i in range(n):
        for j in range(i + 1, n):
            apart = (j - i) % n not in (1, n - 1)
            ends = [given[i], given[(i + 1) % n], given[j], given[(j + 1) % n]]
            if apart and _cross_each_other(*ends):
                raise ConfigError(
                    f"Polygon: the edges from vertex {i} and from vertex {j} "
                    "cross. Give the vertices in order around the shape."
                )
    if abs(_area(given)) <= 1e-12 * size**2:
        raise ConfigError("Polygon: the vertices lie on a line; there is no area.")


def _height(points: Array, start: np.ndarray, normal: np.ndarray) -> Array:
    """Distance from a straight line, along its normal."""
    away = points - jnp.asarray(start, points.dtype)[None, :]
    return jnp.sum(away * jnp.asarray(normal, points.dtype)[None, :], axis=1)


def _from_piece(
    points: Array, start: np.ndarray, end: np.ndarray, normal: np.ndarray
) -> Array:
    """The normalised function of a piece of a line; smooth up to the piece itself from
    the side of the normal, where the root alone would have no slope."""
    length = float(np.linalg.norm(end - start))
    f = _height(points, start, normal) / length
    middle = jnp.asarray(0.5 * (start + end), points.dtype)[None, :]
    away = (points - middle) / length
    t = 0.25 - jnp.sum(away * away, axis=1)
    square = f * f
    inner = t * t + square * square
    root = jnp.sqrt(jnp.where(inner > 0.0, inner, 1.0))
    beside = t > 0.0
    # (root - t) / 2 = f^2 g without the difference of two near numbers
    g = square / (2.0 * jnp.where(beside, root + t, 1.0))
    near = jnp.where(f < 0.0, -f, f) * jnp.sqrt(1.0 + square * g * g)
    trim = 0.5 * (root - t)
    outer = square + trim * trim
    far = jnp.sqrt(jnp.where(beside | (outer == 0.0), 1.0, outer))
    value = jnp.where(beside, near, far)
    return length * jnp.where(inner > 0.0, value, 0.0)  # 0 at the ends of the piece


def _area(corners: np.ndarray) -> float:
    x, y = corners.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """Twice the area of a triangle, above 0 where it turns left."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _cross_each_other(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray
) -> bool:
    """Whether the pieces ab and cd share a point."""
    if max(a[0], b[0]) < min(c[0], d[0]) or max(c[0], d[0]) < min(a[0], b[0]):
        return False
    if max(a[1], b[1]) < min(c[1], d[1]) or max(c[1], d[1]) < min(a[1], b[1]):
        return False
    apart = lambda p, q, r, s: _turn(p, q, r) * _turn(p, q, s) <= 0.0
    return apart(a, b, c, d) and apart(c, d, a, b)


def _triangles(corners: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Cut off ears, one after the other (SciPy triangulates convex hulls only)."""
    left, out = list(range(len(corners))), []
    while len(left) > 3:
        for i in range(len(left)):
            a, b, c = (corners[left[(i + k) % len(left)]] for k in (-1, 0, 1))
            if _turn(a, b, c) <= 0.0:
                continue
            rest = [corners[k] for k in left]
            within = [
                min(_turn(a, b, p), _turn(b, c, p), _turn(c, a, p)) >= 0.0
                for p in rest
                if not any(p is q or np.array_equal(p, q) for q in (a, b, c))
            ]
            if not any(within):
                out.append((a, b, c))
                left.pop(i)
                break
        else:  # only flat corners are left: they have no area
            return out
    return [*out, tuple(corners[k] for k in left)]
