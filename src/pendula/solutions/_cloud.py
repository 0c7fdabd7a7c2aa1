"""Shapes that are known by points in them and on their boundary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NoReturn

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from scipy.spatial import Delaunay, KDTree

from .._errors import ConfigError, DataError, ShapeError
from .._types import AnyArray
from ._domain import AbstractDomain, Given, find_side, letters
from ._given import numbers
from ._points import even_subset


_TRAIN = 0.75  # of the points at most; the others are for checks
_ANGLE = 0.05
_REACH = 3.0  # distances to the nearest neighbour that still count as inside


class PointCloud(AbstractDomain):
    r"""A shape known by points: inside, and on its boundary with outward normals.

    A point lies inside where it is behind the nearest point of the boundary, seen along
    the normal there; without a boundary, where it is near one of the points. Integrals
    are sums over simplices between the points (Delaunay) that lie inside, each with the
    mean of its corners. Collocation points are taken as evenly as they come, and a
    quarter is kept for checks.

    There is no distance from its sides: conditions there are terms of the loss.

    **Arguments:** `points` `"p coord"`, two or three coordinates; `boundary`: name of a
    side -> (points, normals), each `"p coord"`; normals are scaled to length 1;
    `names`: a letter for each coordinate.
    **Raises:** `ShapeError`, `DataError` for arrays that do not fit each other, are not
    finite, or have normals without a length.

    ```python
    >>> import numpy as np
    >>> from pendula.solutions import Disc, PointCloud
    >>> disc = Disc((0.0, 0.0), 1.0)
    >>> cloud = PointCloud(disc.nodes(400), {"rim": disc.on_side("rim", 60)})
    >>> cloud.contains(np.asarray([[0.2, 0.3], [1.2, 0.0]])).tolist()
    [True, False]

    ```
    """

    points: AnyArray
    """Points inside."""
    rim: AnyArray
    """Points of all sides."""
    normals: AnyArray
    """Outward normals there."""
    parts: tuple[tuple[str, int, int], ...] = eqx.field(static=True)
    """Name of a side, and which rows of `rim` are its own."""
    coords: tuple[str, ...] = eqx.field(static=True)
    """A letter for each coordinate."""

    def __init__(
        self,
        points: ArrayLike,
        boundary: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
        *,
        names: str = "xyz",
    ) -> None:
        inside = numbers("PointCloud: points are", points)
        if inside.ndim != 2 or inside.shape[1] not in (2, 3):
            raise ShapeError(
                f"PointCloud: points have shape {inside.shape}; expected (points, 2) "
                "or (points, 3)."
            )
        dim = inside.shape[1]
        if len(inside) < 4 * dim:
            raise DataError(
                f"PointCloud: {len(inside)} points; at least {4 * dim} are needed."
            )
        if not np.isfinite(inside).all():
            raise DataError("PointCloud: points hold NaN or infinity. Leave them out.")
        rims, normals, parts, at = [np.zeros((0, dim))], [np.zeros((0, dim))], [], 0
        for side, (own, normal) in (boundary or {}).items():
            own, normal = _checked(side, own, normal, dim)
            rims.append(own)
            normals.append(normal)
            parts.append((side, at, at + len(own)))
            at += len(own)
        self.points, self.parts = inside, tuple(parts)
        self.rim, self.normals = np.concatenate(rims), np.concatenate(normals)
        self.coords = letters("PointCloud", names, dim)

    @property
    def sides(self) -> tuple[str, ...]:
        return tuple(side for side, _, _ in self.parts)

    @property
    def bounds(self) -> Float[np.ndarray, "coord 2"]:
        every = np.concatenate([self.points, self.rim])
        return np.stack([every.min(0), every.max(0)], -1)

    @property
    def periodic(self) -> tuple[bool, ...]:
        return (False,) * len(self.coords)

    def nodes(
        self, count: int, seed: int | None = None
    ) -> Float[np.ndarray, "p coord"]:
        most = math.ceil(_TRAIN * len(self.points))
        own = even_subset(self.points, most)
        if seed is None:
            return self.points[own[:count]]
        rest = np.setdiff1d(np.arange(len(self.points)), own)
        # the kept ones first, then those that trained points are farthest from
        return self.points[np.concatenate([rest, own[::-1]])[:count]]

    def quadrature(
        self, count: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"]]:
        inner = self.points
        if count < len(inner):
            inner = inner[even_subset(inner, count)]
        every = np.concatenate([inner, self.rim])
        corners = Delaunay(every).simplices
        simplices = every[corners]
        own = (
            self._behind(simplices.mean(axis=1))
            if len(self.rim)
            else _short(every, corners)
        )
        edges = simplices[own][:, 1:] - simplices[own][:, :1]
        dim = every.shape[1]
        volumes = np.abs(np.linalg.det(edges)) / math.factorial(dim)
        weights = np.zeros(len(every))
        np.add.at(weights, corners[own], volumes[:, None] / (dim + 1.0))
        return every, weights

    def on_side(
        self, side: str, count: int, seed: int | None = None
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p coord"]]:
        find_side(self, side)
        _, first, last = next(part for part in self.parts if part[0] == side)
        points, normals = self.rim[first:last], self.normals[first:last]
        order = even_subset(points, len(points))
        chosen = order[:count] if seed is None else order[::-1][:count]
        return points[chosen], normals[chosen]

    def distance(
        self, side: str, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        self._refuse(side)

    @property
    def exact_sides(self) -> tuple[str, ...]:
        return ()

    @property
    def mixes(self) -> bool:
        return False

    def lift(
        self, values: Given, points: Float[Array, "point coord"]
    ) -> Float[Array, "point"]:
        self._refuse(values[0][0])

    def _refuse(self, side: str) -> NoReturn:
        find_side(self, side)
        raise ConfigError(
            f'PointCloud: there is no smooth distance from "{side}". Let the condition '
            "be a term of the loss: hard=False."
        )

    def contains(
        self, points: Float[np.ndarray, "point coord"], slack: float = 1e-9
    ) -> np.ndarray:
        if len(self.rim):
            return self._behind(points, slack)
        reach = _REACH * _spacing(self.points)
        return KDTree(self.points).query(points)[0] <= reach * (1.0 + slack)

    def _behind(self, points: Any, slack: float = 0.0) -> np.ndarray:
        """Whether points lie behind the nearest one of the boundary."""
        nearest = KDTree(self.rim).query(points)[1]
        away = points - self.rim[nearest]
        size = float(np.diff(self.bounds, axis=1).max())
        # what lies between points of a curved boundary is seen under a small angle
        near = _ANGLE * np.sign(slack) * np.linalg.norm(away, axis=1)
        return np.sum(away * self.normals[nearest], axis=1) <= slack * size + near


def _checked(
    side: str, points: ArrayLike, normals: ArrayLike, dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """A side's points and unit normals."""
    own = numbers(f'PointCloud: points of "{side}" are', points)
    normal = numbers(f'PointCloud: normals of "{side}" are', normals)
    if own.ndim != 2 or own.shape[1] != dim or own.shape != normal.shape:
        raise ShapeError(
            f'PointCloud: boundary "{side}" has points of shape {own.shape} and '
            f"normals of shape {normal.shape}; both need (points, {dim})."
        )
    if not len(own) or not (np.isfinite(own).all() and np.isfinite(normal).all()):
        raise DataError(
            f'PointCloud: boundary "{side}" is empty, or holds NaN or infinity.'
        )
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    if length.min() == 0.0:
        raise DataError(
            f'PointCloud: boundary "{side}" has a normal of length 0 at '
            f"{own[int(length.argmin())].tolist()}."
        )
    return own, normal / length


def _spacing(points: np.ndarray) -> float:
    """The median distance to the nearest neighbour."""
    return float(np.median(KDTree(points).query(points, k=2)[0][:, 1]))


def _short(every: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Simplices without long edges: those across gaps have some."""
    simplices = every[corners]
    edges = simplices[:, :, None, :] - simplices[:, None, :, :]
    longest = np.sqrt(np.sum(edges * edges, axis=-1)).max(axis=(1, 2))
    return longest <= 2.0 * _REACH * _spacing(every)
