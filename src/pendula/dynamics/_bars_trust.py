"""How far an energy of bars can be trusted: intervals of an ensemble, and where it has
been."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from .._errors import DataError
from ..data import Trajectories
from ._bar_chain import BarChain, BarWorld
from ._bars import SCALE, copies
from ._bars_intervals import BarIntervals, vertices
from ._bars_records import bar_records, inner_triplets
from ._bars_run import bar_path, steps_within
from ._fitted import Fitted


NEAR = 2  # frames on both sides of one, which tell nothing of how dense a record is
SHARE = 0.99  # of the record's own triplets count as inside
ROUNDING = 1e-6  # m, of places in single precision


class VisitedRegion:
    """The triplets that a record has visited, with all that a group of symmetries makes
    of them, in the units of a network's inputs.

    A triplet is inside where the nearest of them is no further than what is nearest,
    for 99 % of the record's own, in frames that are not next to their own.
    """

    def __init__(self, data: Trajectories, group: str = "helix") -> None:
        records = bar_records(data)
        half = records.ys.shape[2] // 2
        u = records.ys[..., :half].reshape(*records.ys.shape[:2], -1, 3)
        z = inner_triplets(u)
        if z.shape[1] < 2 * NEAR + 2:
            raise DataError(
                f"the record has {z.shape[1]} frames; at least {2 * NEAR + 2} tell how "
                "dense it is."
            )
        self.group = group
        frame = np.arange(z.shape[1])
        away = []
        # each frame against those that are not next to it, a few of them: the tree of
        # the others has to be built anew for each
        for k in frame[:: max(1, len(frame) // 20)]:
            others = _scaled(z[:, np.abs(frame - k) > NEAR].reshape(-1, 6))
            away.append(self._nearest(KDTree(others), z[:, k]))
        self.limit = float(np.quantile(np.concatenate(away), SHARE))
        self.tree = KDTree(_scaled(z.reshape(-1, 6)))

    def _nearest(self, tree: KDTree, z: np.ndarray) -> np.ndarray:
        """The distance of each triplet, in the copy that is nearest; infinite where it
        is not finite."""
        flat = z.reshape(-1, 6)
        good = np.isfinite(flat).all(axis=1)
        made = copies(jnp.asarray(flat[good]), self.group)
        near = np.full(len(flat), np.inf)
        near[good] = tree.query(_scaled(np.asarray(made)))[0].min(axis=0)
        return near

    def distance(
        self, u: Float[np.ndarray, "*lead bar 3"]
    ) -> Float[np.ndarray, "*lead bar"]:
        """How far each bar's triplet is from what was visited, over the limit: inside
        is up to 1, and a motion that is not finite infinitely far. An end bar counts
        as its neighbour does."""
        z = inner_triplets(np.asarray(u, np.float64))
        near = self._nearest(self.tree, z)
        inner = (near / self.limit).reshape(z.shape[:-1])
        return np.concatenate([inner[..., :1], inner, inner[..., -1:]], axis=-1)


def _scaled(z: np.ndarray) -> np.ndarray:
    """In the units of a network's inputs."""
    return np.asarray(z, np.float64) * np.tile(SCALE, 2)


@dataclasses.dataclass(frozen=True)
class BarForecast:
    """A motion with its intervals.

    Times `ts` `"time"` [s]; mean `bars` `"time bar 3"`; `vertices` `"time bar 2 2"`,
    top and bottom of each bar (x, y), and the half width `half` of the interval of
    each coordinate [m]; `in_domain` `"time bar"`: whether the record has been near
    there.
    """

    ts: Float[np.ndarray, "time"]
    bars: Float[np.ndarray, "time bar 3"]
    vertices: Float[np.ndarray, "time bar 2 2"]
    half: Float[np.ndarray, "time bar 2 2"]
    in_domain: Bool[np.ndarray, "time bar"]
    radius: float = 0.033

    def covered(self, u: Float[np.ndarray, "time bar 3"]) -> Bool[np.ndarray, "..."]:
        """Which coordinates of the vertices of bars `u` lie within `"time bar 2 2"`;
        those of a bar that is held do where it stays."""
        off = np.abs(vertices(u, self.radius) - self.vertices)
        return off <= self.half + ROUNDING


@dataclasses.dataclass(frozen=True)
class BarTrust:
    """An ensemble of networks, its intervals (`BarIntervals`) calibrated on the record
    that it learned from, and the region that the record has visited; `step` [s]: the
    longest of the leapfrog, that of the training."""

    chains: tuple[BarChain, ...]
    intervals: BarIntervals
    region: VisitedRegion
    step: float = 2e-3

    @classmethod
    def of(cls, fitted: Fitted, data: Trajectories, level: float = 0.9) -> BarTrust:
        """Calibrate the members of a fit on its record.

        **Raises:** `ConfigError` for less than two members, or a level outside of
        0 to 1."""
        chains = tuple(fitted.model(k).field.force for k in range(fitted.members))
        records, parts = bar_records(data), fitted.ensemble.substeps
        intervals = BarIntervals.of(chains, records, level, parts)
        group = getattr(chains[0].energy, "group", "helix")
        step = float(np.diff(records.ts).max()) / parts
        return cls(chains, intervals, VisitedRegion(data, group), step)

    def forecast(
        self,
        ts: Any,
        u: Any,
        v: Any = None,
        *,
        world: BarWorld | None = None,
        first: bool | None = None,
        last: bool | None = None,
        ends: Any = None,
    ) -> BarForecast:
        """The motion from bars `u` and rates `v`, as `bar_path`; other masses, loads
        and ends than those of the record where they are given."""
        changes = {"world": world, "first": first, "last": last}
        given = {k: x for k, x in changes.items() if x is not None}
        chains = [dataclasses.replace(c, **given) for c in self.chains]
        ts = np.asarray(ts, np.float64)
        parts = steps_within(ts, self.step)
        paths = [bar_path(c, ts, u, v, ends=ends, substeps=parts).u for c in chains]
        mean = np.mean(paths, axis=0)
        radius = float(chains[0].world.radius)
        points = np.stack([vertices(p, radius) for p in paths])
        half = self.intervals.half(points, (chains[0].first, chains[0].last))
        inside = self.region.distance(mean) <= 1.0
        return BarForecast(ts, mean, points.mean(axis=0), half, inside, radius)
