"""How far an energy of bars can be trusted: intervals of an ensemble, and where it has
been."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import KDTree

from .._errors import ConfigError, DataError
from ..data import Trajectories
from ..systems import bar_ends
from ._bar_chain import BarChain, BarWorld
from ._bars import SCALE, copies
from ._bars_records import bar_records, inner_triplets
from ._bars_run import bar_path
from ._fitted import Fitted


NEAR = 2  # frames on both sides of one, which tell nothing of how dense a record is
SHARE = 0.99  # of the record's own triplets count as inside


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
        """The distance of each triplet, in the copy that is nearest."""
        made = copies(jnp.asarray(z.reshape(-1, 6)), self.group)
        return tree.query(_scaled(np.asarray(made)))[0].min(axis=0)

    def distance(
        self, u: Float[np.ndarray, "*lead bar 3"]
    ) -> Float[np.ndarray, "*lead bar"]:
        """How far each bar's triplet is from what was visited, over the limit: inside
        is up to 1. An end bar counts as its neighbour does."""
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

    def covered(self, u: Float[np.ndarray, "time bar 3"]) -> Bool[np.ndarray, "..."]:
        """Which coordinates of the vertices of bars `u` lie within `"time bar 2 2"`."""
        return np.abs(vertices(u) - self.vertices) <= self.half


def vertices(u: Float[np.ndarray, "*lead bar 3"]) -> Float[np.ndarray, "*lead bar 2 2"]:
    """Top and bottom of each bar."""
    return np.stack(bar_ends(u), axis=-2)


@dataclasses.dataclass(frozen=True)
class BarTrust:
    r"""An ensemble of networks, calibrated on the record that it learned from.

    The interval of a vertex's coordinate is

    $$ \bar p \pm q \sqrt{s_0^2 + s(t)^2} $$

    s the spread of the members' motions, s_0 the root of the mean square of the mean's
    error over the record; q is the `level` quantile of the record's errors in this unit
    (normalised conformal prediction; the errors of a record are no independent draws,
    so that the level is one to be checked, not guaranteed).
    **Source:** Lakshminarayanan et al. 2017 (ensembles); Lei et al. 2018 (conformal).
    """

    chains: tuple[BarChain, ...]
    noise: float
    factor: float
    level: float
    region: VisitedRegion

    @classmethod
    def of(cls, fitted: Fitted, data: Trajectories, level: float = 0.9) -> BarTrust:
        """Calibrate the members of a fit on its record.

        **Raises:** `ConfigError` for less than two members, or a level outside of
        0 to 1."""
        if fitted.members < 2:
            raise ConfigError(
                "one network has no spread. Fit several: BarsConfig(members=5)."
            )
        if not 0.0 < level < 1.0:
            raise ConfigError(f"level is {level:g}; it lies between 0 and 1.")
        chains = tuple(fitted.model(k).field.force for k in range(fitted.members))
        group = getattr(chains[0].energy, "group", "helix")
        region = VisitedRegion(data, group)
        records = bar_records(data)
        ys = records.ys.reshape(len(records.ys), len(records.ts), 2, -1, 3)
        off, spread = [], []
        for y in ys:
            paths = _members(chains, records.ts, y[0, 0], y[0, 1])
            off.append(paths.mean(axis=0) - vertices(y[:, 0]))
            spread.append(paths.std(axis=0, ddof=1))
        away, wide = _moving(np.stack(off)), _moving(np.stack(spread))
        noise = float(np.sqrt(np.mean(away**2)))
        factor = np.quantile(np.abs(away) / np.sqrt(noise**2 + wide**2), level)
        return cls(chains, noise, float(factor), level, region)

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
        paths = [bar_path(c, ts, u, v, ends=ends).u for c in chains]
        mean = np.mean(paths, axis=0)
        points = np.stack([vertices(p) for p in paths])
        spread = points.std(axis=0, ddof=1)
        half = self.factor * np.sqrt(self.noise**2 + spread**2)
        # held ends are where they are
        for end, held in ((0, chains[0].first), (-1, chains[0].last)):
            if held:
                half[:, end] = 0.0
        inside = self.region.distance(mean) <= 1.0
        return BarForecast(ts, mean, points.mean(axis=0), half, inside)


def _members(
    chains: tuple[BarChain, ...], ts: np.ndarray, u: np.ndarray, v: np.ndarray
) -> Float[np.ndarray, "member time bar 2 2"]:
    return np.stack([vertices(bar_path(c, ts, u, v).u) for c in chains])


def _moving(values: np.ndarray) -> np.ndarray:
    """Without the start, which is known, and without the end bars."""
    return values[:, 1:, 1:-1]
