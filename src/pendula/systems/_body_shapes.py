"""Outlines of bodies in a stream: ellipse, rounded square, star; and their masks."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float

from .._checks import positive, whole
from .._errors import ConfigError


_OUTLINE = 2048  # points along an outline
_NEAR = 0.5  # D: farther from the outline's box the mask is 0 to rounding


class AbstractBody(ABC):
    """A body that every ray from its centre leaves once, of width 1 across the stream
    (the x direction): lengths are in its width D."""

    @abstractmethod
    def reach(self, theta: Float[np.ndarray, " angle"]) -> Float[np.ndarray, " angle"]:
        """Distance from the centre to the outline at these angles [rad], before the
        body is turned, in any unit."""

    @abstractmethod
    def turned(self) -> float:
        """Angle by which the body is turned, counterclockwise [rad]."""

    @abstractmethod
    def label(self) -> str:
        """A few words for tables and figures."""


@dataclasses.dataclass(frozen=True)
class EllipseBody(AbstractBody):
    r"""An ellipse; the circle by default.

    $$ r(\theta) = \left( \cos^2\theta / \rho^2 + \sin^2\theta \right)^{-1/2} $$

    **Arguments:** `ratio` rho: axis along the stream over the one across, 0.2 to 5;
    `angle`: turned counterclockwise after that [degrees].
    **Raises:** `ConfigError` for others.

    ```python
    >>> from pendula.systems import EllipseBody, outline
    >>> outline(EllipseBody(2.0)).max(axis=0).round(3).tolist()
    [1.0, 0.5]

    ```
    """

    ratio: float = 1.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        _within("ratio", self.ratio, 0.2, 5.0)
        _within("angle", self.angle, -180.0, 180.0)

    def reach(self, theta: Float[np.ndarray, " angle"]) -> Float[np.ndarray, " angle"]:
        """r(theta)."""
        return 1.0 / np.sqrt((np.cos(theta) / self.ratio) ** 2 + np.sin(theta) ** 2)

    def turned(self) -> float:
        """In radians."""
        return float(np.deg2rad(self.angle))

    def label(self) -> str:
        """`circle`, or the ellipse with its ratio and angle."""
        if self.ratio == 1.0:
            return "circle"
        return f"ellipse {self.ratio:g}" + _turned_by(self.angle)


@dataclasses.dataclass(frozen=True)
class SquareBody(AbstractBody):
    """A square with round corners.

    **Arguments:** `corner`: radius of a corner over half of the side, 0.1 to 1 (a
    circle); `angle`: turned counterclockwise [degrees].
    **Raises:** `ConfigError` for others.

    ```python
    >>> from pendula.systems import SquareBody, outline
    >>> SquareBody(0.3, 45.0).label(), outline(SquareBody(0.3)).max().round(3).item()
    ('square 0.3 at 45°', 0.5)

    ```
    """

    corner: float = 0.3
    angle: float = 0.0

    def __post_init__(self) -> None:
        _within("corner", self.corner, 0.1, 1.0)
        _within("angle", self.angle, -180.0, 180.0)

    def reach(self, theta: Float[np.ndarray, " angle"]) -> Float[np.ndarray, " angle"]:
        """The flat side, or the arc about the centre of a corner."""
        quarter = np.mod(theta, np.pi / 2)
        folded = np.minimum(quarter, np.pi / 2 - quarter)
        inner = 1.0 - self.corner
        along = inner * (np.cos(folded) + np.sin(folded))
        inside = along**2 - 2.0 * inner**2 + self.corner**2
        arc = along + np.sqrt(np.maximum(inside, 0.0))
        return np.where(np.tan(folded) <= inner, 1.0 / np.cos(folded), arc)

    def turned(self) -> float:
        """In radians."""
        return float(np.deg2rad(self.angle))

    def label(self) -> str:
        """The square with its corner and angle."""
        return f"square {self.corner:g}" + _turned_by(self.angle)


@dataclasses.dataclass(frozen=True)
class StarBody(AbstractBody):
    r"""A star with round points.

    $$ r(\theta) = 1 + a \cos n \theta $$

    **Arguments:** `points` n, 2 to 8; `amplitude` a, 0 to 0.4; `angle`: turned
    counterclockwise [degrees], 0 with a point downstream.
    **Raises:** `ConfigError` for others.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import StarBody
    >>> StarBody(5, 0.2).reach(np.array([0.0, np.pi / 5])).tolist()
    [1.2, 0.8]

    ```
    """

    points: int = 5
    amplitude: float = 0.15
    angle: float = 0.0

    def __post_init__(self) -> None:
        _within("points", self.points, 2, 8)
        whole(2, "star", points=self.points)
        _within("amplitude", self.amplitude, 0.0, 0.4)
        _within("angle", self.angle, -180.0, 180.0)

    def reach(self, theta: Float[np.ndarray, " angle"]) -> Float[np.ndarray, " angle"]:
        """r(theta)."""
        return 1.0 + self.amplitude * np.cos(self.points * theta)

    def turned(self) -> float:
        """In radians."""
        return float(np.deg2rad(self.angle))

    def label(self) -> str:
        """The star with its points, amplitude and angle."""
        return f"star {self.points}, {self.amplitude:g}" + _turned_by(self.angle)


def outline(body: AbstractBody, num: int = _OUTLINE) -> Float[np.ndarray, "point 2"]:
    """Points (x, y) along the outline, scaled so that it is 1 wide across the stream.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import StarBody, outline
    >>> round(float(np.ptp(outline(StarBody(3, 0.2, 10.0))[:, 1])), 12)
    1.0

    ```
    """
    theta = 2.0 * np.pi * np.arange(num) / num
    r = body.reach(theta - body.turned())
    points = r[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
    return points / np.ptp(points[:, 1])


def smooth_mask(
    body: AbstractBody,
    x: Float[np.ndarray, " x"],
    y: Float[np.ndarray, " y"],
    width: float,
) -> Float[np.ndarray, "x y"]:
    r"""How much of each node belongs to the body: 1 inside, 0 outside, smooth between.

    $$ \chi = \tfrac12 \left( 1 - \tanh (2 d / w) \right) $$

    with the distance d to the outline, below 0 inside.
    **Shapes and units**: coordinates in the body's width D.
    **Arguments:** `width` w > 0 [D]: about a cell.
    **Raises:** `ConfigError` for another width.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import EllipseBody, smooth_mask
    >>> x = (np.arange(64) + 0.5) / 32 - 1
    >>> mask = smooth_mask(EllipseBody(), x, x, 1 / 32)
    >>> bool(abs(mask.sum() / 32**2 - np.pi / 4) < 2e-3)
    True

    ```
    """
    positive(width=width)
    edge = outline(body)
    low, high = edge.min(axis=0) - _NEAR, edge.max(axis=0) + _NEAR
    rows = np.flatnonzero((x >= low[0]) & (x <= high[0]))
    columns = np.flatnonzero((y >= low[1]) & (y <= high[1]))
    px, py = np.meshgrid(x[rows], y[columns], indexing="ij")
    apart = np.full(px.shape, np.inf)
    for part in np.split(edge, 16):  # not every node times every point at once
        square = (px[..., None] - part[:, 0]) ** 2 + (py[..., None] - part[:, 1]) ** 2
        apart = np.minimum(apart, square.min(axis=-1))
    scale = np.hypot(*edge[0]) / body.reach(np.array([-body.turned()]))[0]
    reach = scale * body.reach(np.arctan2(py, px).ravel() - body.turned())
    inside = np.hypot(px, py) < reach.reshape(px.shape)
    distance = np.where(inside, -1.0, 1.0) * np.sqrt(apart)
    mask = np.zeros((len(x), len(y)))
    mask[np.ix_(rows, columns)] = 0.5 * (1.0 - np.tanh(2.0 * distance / width))
    return mask


def _turned_by(angle: float) -> str:
    return f" at {angle:g}°" if angle else ""


def _within(what: str, value: float, low: float, high: float) -> None:
    if not (np.isfinite(value) and low <= value <= high):
        raise ConfigError(
            f"{what} of the body is {value}; it must be {low:g} to {high:g}."
        )
