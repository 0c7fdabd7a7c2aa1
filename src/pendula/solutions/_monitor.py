"""Where a solution is steep: neurons and points gather there."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ._parts import Part, Start, Windows
from ._problem import Problem


_GRID = 1024
_STEEP = 4.0  # how far the largest density has to be above the mean to matter
_CHANGED = 1.3


class Grading:
    r"""A density of points along one coordinate.

    $$ m(x) = \sqrt{1 + (L\,|u_x| / (\max u - \min u))^2}, \quad
       \text{points at equal parts of } \int m\,dx $$

    averaged with an even density, so that no place is left without points.
    """

    def __init__(self, x: np.ndarray, density: np.ndarray, key: int) -> None:
        self.x, self.density, self.key = x, density, key
        steps = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
        self.total = np.concatenate([[0.0], np.cumsum(steps)])

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Points below which those shares lie."""
        return np.interp(shares, self.total / self.total[-1], self.x)

    def nodes(self, count: int, seed: int | None) -> Float[np.ndarray, "p coord"]:
        """Collocation points; for checks, points in between."""
        shift = 0.5 if seed is None else 0.9
        return self.at((np.arange(count) + shift) / count)[:, None]

    def centres(self, count: int, seed: int) -> Float[np.ndarray, "p coord"]:
        """Where neurons are steep: random, of this density."""
        rng = np.random.default_rng(seed)
        return self.at(rng.uniform(size=count))[:, None]

    def sharpness(self, centres: np.ndarray) -> Float[np.ndarray, "p"]:
        """Factors for slopes: as steep as the density is high."""
        rough = np.interp(centres[:, 0], self.x, self.density)
        return np.maximum(rough / self.density.min(), 1.0)


class Monitor:
    """Follows the solution's slope from window to window."""

    def __init__(self, problem: Problem, windows: Windows) -> None:
        self.problem, self.windows = problem, windows
        lo, hi = problem.domain.bounds[0]  # type: ignore[union-attr]
        self.x = np.linspace(lo, hi, _GRID)
        self.start: Any = None
        self.kept: Grading | None = None
        self.count = 0

    def accept(self, part: Part) -> None:
        """A window was accepted."""
        self._begin()
        self.start = self.start.after(part, self.windows)

    def _begin(self) -> None:
        if self.start is None:
            self.start = Start.zero(self.x[:, None], [(0, 0), (1, 0)], self.windows)

    def grading(self, t: float) -> Grading:
        """The density for a window that begins at t; the one before while it fits."""
        self._begin()
        points = np.c_[self.x, np.full(_GRID, t)]
        found = self.windows.closed(points, [(0, 0), (1, 0)])
        rows, since = np.arange(_GRID), np.zeros(_GRID)
        u = found[0, 0] + self.start.at((0, 0), rows, since)
        slope = found[1, 0] + self.start.at((1, 0), rows, since)
        length = self.x[-1] - self.x[0]
        spread = np.maximum(np.ptp(u, axis=0), 1e-12)
        steep = np.max(np.abs(slope) * length / spread, axis=1)
        density = np.sqrt(1.0 + steep**2)
        density = _smooth(density)
        density = 0.5 * density / density.mean() + 0.5
        if self.kept is not None:
            ratio = density / self.kept.density
            if ratio.max() < _CHANGED and ratio.min() > 1.0 / _CHANGED:
                return self.kept
        if density.max() < _STEEP and (self.kept is None or self.kept.key == 0):
            self.kept = self.kept or Grading(self.x, np.ones(_GRID), 0)
            return self.kept
        self.count += 1
        self.kept = Grading(self.x, density, self.count)
        return self.kept


def _smooth(density: np.ndarray) -> np.ndarray:
    """Running means: neighbours of a steep place get points too."""
    for _ in range(4):
        padded = np.pad(density, 8, mode="edge")
        kernel = np.ones(17) / 17.0
        density = np.convolve(padded, kernel, mode="valid")
    return density
