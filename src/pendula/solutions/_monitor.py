"""Where a solution is steep: neurons and points gather there."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ._parts import Part, Start, Windows
from ._problem import Problem


_GRID = 2048
_STEEP = 1.7  # how far the largest density has to be above the mean to matter
_NEAR = 0.25  # of all points: how far apart the two steep places of a neuron are
_STEEPER, _CALMER = 1.8, 0.25  # when the density is drawn anew
_LOOK = ((0, 0), (1, 0), (2, 0))  # value, slope, curvature


class Grading:
    r"""A density of points along one coordinate.

    $$ m = \sqrt{1 + \max(L\,|u_x| / \Delta u,\; L\,\sqrt{|u_{xx}| / \Delta u})^2},
       \quad \text{points at equal parts of } \int m\,dx $$

    averaged with an even density, so that no place is left without points.
    """

    def __init__(
        self, x: np.ndarray, density: np.ndarray, key: int, is_periodic: bool
    ) -> None:
        self.x, self.density, self.key = x, density, key
        self.is_periodic = is_periodic
        steps = 0.5 * (density[1:] + density[:-1]) * np.diff(x)
        self.total = np.concatenate([[0.0], np.cumsum(steps)])

    def at(self, shares: np.ndarray) -> np.ndarray:
        """Points below which those shares lie."""
        return np.interp(shares, self.total / self.total[-1], self.x)

    def nodes(self, count: int, seed: int | None) -> Float[np.ndarray, "p coord"]:
        """Collocation points; for checks, points in between."""
        if seed is None and not self.is_periodic:
            return self.at(np.linspace(0.0, 1.0, count))[:, None]
        shift = 0.0 if seed is None else 0.45
        return self.at((np.arange(count) + shift) / count)[:, None]

    def centres(
        self, count: int, seed: int
    ) -> tuple[Float[np.ndarray, "p coord"], Float[np.ndarray, "p"] | None]:
        """Where neurons are steep: random, of this density; and on a circle, where
        they are once more, which is near in terms of points."""
        rng = np.random.default_rng(seed)
        share = rng.uniform(size=count)
        centres = self.at(share)[:, None]
        if not self.is_periodic:
            return centres, None
        other = share + rng.uniform(-_NEAR, _NEAR, size=count)
        return centres, self.at(other % 1.0)

    def sharpness(self, centres: np.ndarray) -> Float[np.ndarray, "p"]:
        """Factors for slopes: as steep as the density is high."""
        rough = np.interp(centres[:, 0], self.x, self.density)
        return np.maximum(rough / self.density.min(), 1.0)


class Monitor:
    """Follows the solution's slope from window to window."""

    def __init__(self, problem: Problem, windows: Windows) -> None:
        self.problem, self.windows = problem, windows
        assert problem.domain is not None  # in one dimension only
        lo, hi = problem.domain.bounds[0]
        self.x = np.linspace(lo, hi, _GRID)
        self.is_periodic = problem.domain.periodic[0]
        self.start: Any = None
        self.kept: Grading | None = None
        self.count = 0

    def accept(self, part: Part) -> None:
        """A window was accepted."""
        self._begin()
        self.start = self.start.after(part, self.windows)

    def _begin(self) -> None:
        if self.start is None:
            self.start = Start.zero(self.x[:, None], _LOOK, self.windows)

    def grading(self, t: float) -> Grading:
        """The density for a window that begins at t; the one before while it fits."""
        self._begin()
        points = np.c_[self.x, np.full(_GRID, t)]
        found = self.windows.closed(points, _LOOK)
        rows, since = np.arange(_GRID), np.zeros(_GRID)
        u, slope, bend = (found[k] + self.start.at(k, rows, since) for k in _LOOK)
        length = self.x[-1] - self.x[0]
        spread = np.maximum(np.ptp(u, axis=0), 1e-12)
        steep = np.abs(slope) * length / spread
        bent = np.sqrt(np.abs(bend) * length**2 / spread)
        density = np.sqrt(1.0 + np.max(np.maximum(steep, bent), axis=1) ** 2)
        density = _smooth(density)
        density = 0.5 * density / density.mean() + 0.5
        if self.kept is not None:
            ratio = density / self.kept.density
            if ratio.max() < _STEEPER and ratio.min() > _CALMER:
                return self.kept
        if density.max() < _STEEP and (self.kept is None or self.kept.key == 0):
            self.kept = self.kept or Grading(
                self.x, np.ones(_GRID), 0, self.is_periodic
            )
            return self.kept
        self.count += 1
        self.kept = Grading(self.x, density, self.count, self.is_periodic)
        return self.kept


def _smooth(density: np.ndarray) -> np.ndarray:
    """Running means: neighbours of a steep place get points too."""
    for _ in range(2):
        padded = np.pad(density, 4, mode="edge")
        kernel = np.ones(9) / 9.0
        density = np.convolve(padded, kernel, mode="valid")
    return density
