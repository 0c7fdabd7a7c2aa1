"""How many numbers tell the systems of a family apart: three counts side by side."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from .._source import Source
from ._components import (
    FEW,
    SHARE,
    PrincipalDimension,
    SensitiveDimension,
    balanced,
    checked_etas,
    checked_fisher,
    finite,
    principal_dimension,
    sensitive_dimension,
)
from ._words import number


POINTS = 50  # fewer: the estimate scatters by more than a fifth of itself
KEPT = 0.9  # of the ratios; the largest ones reach beyond the neighbourhood
SCATTER = 1.35  # d / sqrt(N), measured: N = 50 to 1000, d = 1 to 3
SAME = 1e-9  # of the extent: points that are closer are one point
MISFIT = 1.36  # over the root of N: Kolmogorov and Smirnov's limit of 5 %


@dataclasses.dataclass(frozen=True)
class NeighbourDimension:
    """The dimension of the set on which points lie, from each one's two neighbours.

    **Shapes and units:** `estimate`, not rounded; `deviation`: its standard
    deviation; `points` N, those that repeat (to 1e-9 of the extent) counted once;
    `coordinates` of each; `misfit`: largest distance between the distribution of the
    ratios and the law that the estimate rests on.
    """

    source: ClassVar[Source] = Source("Facco2017", "the two-neighbour estimate")

    estimate: float
    deviation: float
    points: int
    coordinates: int
    misfit: float

    @property
    def is_reliable(self) -> bool:
        """Whether the ratios follow the law and the estimate is no more than the
        points have coordinates. Those of a grid fail in one or the other."""
        fits = self.misfit <= MISFIT / np.sqrt(self.points)
        return bool(fits and self.estimate - 2 * self.deviation <= self.coordinates)

    def is_near(self, dimension: int) -> bool:
        """Whether a whole number agrees with the estimate, to rounding or to two
        standard deviations. None agrees with an infinite one."""
        return bool(np.isfinite(self.estimate)) and abs(
            self.estimate - dimension
        ) <= max(0.5, 2 * self.deviation)

    @property
    def text(self) -> str:
        """The estimate in one sentence."""
        if not self.is_reliable:
            return (
                f"The two nearest of {self.points} points say nothing: their distances "
                "are not those of points scattered at random (a grid?)."
            )
        return (
            f"The two nearest of {self.points} points: dimension "
            f"{number(self.estimate)}, standard deviation {number(self.deviation)}."
        )


def neighbour_dimension(points: ArrayLike) -> NeighbourDimension | None:
    r"""Estimate a set's dimension from the two nearest neighbours of each point.

    $$ \mu_i = r_{i,2} / r_{i,1}, \quad P(\mu < x) = 1 - x^{-d}, \quad
       -\log(1 - i/N) = d \log \mu_{(i)} $$

    with the ratios in increasing order; d is the slope of the line through 0 that fits
    the lower nine tenths of them best. Curved sets count with their own dimension,
    as long as they are flat between neighbours.

    **Shapes and units**: `points` `"system coordinate"`, in coordinates of one scale.
    **Returns:** `NeighbourDimension`; None with fewer than 50 different points, since
    the estimate would scatter by more than a fifth of itself.
    **Raises:** `ShapeError`; `DataError` for values that are not finite.
    **Behaviour:** noise counts where it is as large as the distance between
    neighbours. Points on a grid, even a rough one, have nearly equal distances and
    count too high: `is_reliable` is False where that shows. High dimensions count too
    low (3 as 2.9, 10 as 8.2 from 200 points).
    **Source:** Facco, d'Errico, Rodriguez, Laio 2017, Scientific Reports 7, 12140:
    the law of the ratios and the fit without their upper tenth. The deviation is
    $1.35\, d / \sqrt{N}$, measured on points scattered in cubes.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import neighbour_dimension
    >>> angle = np.random.default_rng(0).uniform(0, np.pi, 200)
    >>> arc = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> print(neighbour_dimension(arc).text)
    The two nearest of 200 points: dimension 0.902, standard deviation 0.0861.
    >>> print(neighbour_dimension(arc[:49]))
    None

    ```
    """
    distinct = _distinct(finite("points", points, "system coordinate"))
    count = len(distinct)
    if count < POINTS:
        return None
    distance, _ = KDTree(distinct).query(distinct, k=3)
    log_ratio = np.sort(np.log(distance[:, 2] / distance[:, 1]))
    below = np.arange(count) / count
    above = below + 1 / count
    kept = int(KEPT * count)
    x, y = log_ratio[:kept], -np.log1p(-above[:kept])
    if x[-1] <= SAME:  # equal but for rounding
        return NeighbourDimension(np.inf, np.inf, count, distinct.shape[1], 1.0)
    slope = float(x @ y / (x @ x))
    law = -np.expm1(-slope * log_ratio)
    misfit = float(np.max(np.maximum(above - law, law - below)))
    deviation = SCATTER * slope / float(np.sqrt(count))
    return NeighbourDimension(slope, deviation, count, distinct.shape[1], misfit)


def _distinct(points: np.ndarray) -> np.ndarray:
    """The points, once each, in units of about their extent."""
    extent = np.max(np.ptp(points, axis=0), initial=0.0) if len(points) else 0.0
    if not extent > 0:
        return points[:1]
    scaled = points / 2.0 ** np.floor(np.log2(extent))  # a power of 2 rounds nothing
    _, first = np.unique(np.round(scaled / SAME), axis=0, return_index=True)
    found = scaled[first]
    # two that are the same may still be rounded to either side
    pairs = KDTree(found).query_pairs(SAME, output_type="ndarray")
    return np.delete(found, pairs[:, 1], axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class IntrinsicDimension:
    """The counts of `intrinsic_dimension` and what they say together.

    **Shapes and units:** `principal`; `sensitive`, None without a `fisher`;
    `neighbour`, None below 50 systems; `notes`: sentences on what limits the counts.
    """

    principal: PrincipalDimension
    sensitive: SensitiveDimension | None
    neighbour: NeighbourDimension | None
    notes: tuple[str, ...]

    @property
    def estimate(self) -> int:
        """How many directions of eta are needed: those that move the trajectory where
        that is known, else the principal components."""
        return (self.sensitive or self.principal).estimate

    @property
    def agree(self) -> bool:
        """Whether every count that there is names the same dimension: components,
        elbow, sensitive directions, neighbours."""
        counts = {self.principal.estimate, self.principal.elbow, self.estimate}
        if self.sensitive is not None:
            counts.add(self.sensitive.elbow)
        counts.discard(None)
        near = self._neighbour is None or self._neighbour.is_near(self.estimate)
        return len(counts) == 1 and near

    @property
    def curvature(self) -> str:
        """One sentence on what straight directions cannot tell: a curved set."""
        count, near = self.estimate, self._neighbour
        if count == 1:
            return "One direction suffices: there is no curvature that could mislead."
        if near is None:
            return (
                "A curved line fills 2 directions, too: whether the set is curved "
                f"takes {POINTS} systems or more at scattered parameters to tell."
            )
        if near.estimate < count and not near.is_near(count):
            return (
                f"The set is curved: its dimension is about "
                f"{max(1, round(near.estimate))}, and it bends through {count} "
                "directions."
            )
        return "Neighbours count no fewer directions: the set does not look curved."

    @property
    def text(self) -> str:
        """All counts, whether they agree, curvature and notes, a line each."""
        parts = (self.principal, self.sensitive, self.neighbour)
        verdict = "The counts agree." if self.agree else "The counts do not agree."
        counts = [part.text for part in parts if part is not None]
        return "\n".join([*counts, verdict, self.curvature, *self.notes])

    @property
    def _neighbour(self) -> NeighbourDimension | None:
        """The neighbours' estimate where it can be relied on."""
        near = self.neighbour
        return near if near is not None and near.is_reliable else None


def intrinsic_dimension(
    etas: ArrayLike, fisher: ArrayLike | None = None, *, share: float = SHARE
) -> IntrinsicDimension:
    r"""Count in three ways how many numbers tell the systems of a family apart.

    $$ \hat d_{principal}, \quad \hat d_{sensitive}, \quad \hat d_{neighbour}
       \text{ of } x^i = F^{1/2} \eta^i $$

    Principal components count what varies, sensitive directions what also moves the
    trajectory, neighbours the dimension of the set, straight or curved.

    **Shapes and units**: `etas` `"system eta"`; `fisher` as in `sensitive_dimension`.
    **Arguments:**
    - `etas`: the adapted vector of each system.
    - `fisher`: None leaves out the sensitive count, and F = 1 for the neighbours.
    - `share`: between 0 and 1, of `principal_dimension` and `sensitive_dimension`.

    **Returns:** `IntrinsicDimension`.
    **Raises:** `ShapeError`, `ConfigError`; `DataError` as in `principal_dimension`
    and `sensitive_dimension`, so for fewer than 3 systems.
    **Behaviour:** with 3 or 4 systems a note says how little that is. The set of a
    family in eta is as curved as its training left it: a curved line shows as 2
    directions, and only neighbours, 50 or more, see that it is a line.
    **Source:** `principal_dimension`, `sensitive_dimension`, `neighbour_dimension`.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import intrinsic_dimension
    >>> angle = np.random.default_rng(0).uniform(0, np.pi, 200)
    >>> arc = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> print(intrinsic_dimension(arc).text)
    2 of 2 directions hold 99 % of the variance of eta over 200 systems; no elbow.
    The two nearest of 200 points: dimension 0.902, standard deviation 0.0861.
    The counts do not agree.
    The set is curved: its dimension is about 1, and it bends through 2 directions.

    ```
    """
    principal = principal_dimension(etas, share=share)
    points = checked_etas(etas)
    sensitive = None
    if fisher is not None:
        sensitive = sensitive_dimension(etas, fisher, share=share)
        points, matrix, _ = balanced(points, checked_fisher(fisher, points))
        eigen, vectors = np.linalg.eigh(matrix)
        # the root of a rounded 0 is no longer small
        zero = len(eigen) * np.finfo(float).eps * eigen[-1]
        points = points @ (vectors * np.sqrt(np.where(eigen > zero, eigen, 0.0)))
    neighbour = neighbour_dimension(points)
    return IntrinsicDimension(
        principal,
        sensitive,
        neighbour,
        _notes((sensitive or principal).estimate, points, neighbour),
    )


def _notes(
    estimate: int,
    points: np.ndarray,
    neighbour: NeighbourDimension | None,
) -> tuple[str, ...]:
    """What limits the counts."""
    systems, size = points.shape
    notes = []
    if systems < FEW:
        notes.append(
            f"{systems} systems are few: one more may add a direction. Adapt to 10 or "
            "more."
        )
    if systems <= size:
        notes.append(
            f"{systems} systems fill at most {systems - 1} directions, whatever the "
            "family."
        )
    if neighbour is None and systems >= POINTS:
        notes.append(
            f"Repeated systems leave fewer than {POINTS} different ones: neighbours "
            "were not asked."
        )
    near = neighbour if neighbour is not None and neighbour.is_reliable else None
    if size == estimate > 1 and (near is None or near.is_near(size)):
        notes.append(
            "Every direction of eta is in use: the family may need a longer eta."
        )
    return tuple(notes)
