"""Intervals of a chain's motion, from an ensemble and the record that it learned
from."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError
from ..systems import bar_ends
from ._bar_chain import BarChain
from ._bars_run import bar_path
from ._chain_records import Records


@dataclasses.dataclass(frozen=True)
class BarIntervals:
    r"""The interval of a coordinate of a vertex,

    $$ \bar p \pm q \sqrt{s_0^2 + s(t)^2} $$

    s the spread of the members' motions, `noise` s_0 the root of the mean square of the
    mean's error over the record; `factor` q is the `level` quantile of the record's
    errors in this unit (normalised conformal prediction; the errors of a record are no
    independent draws, so that the level is one to be checked, not guaranteed). They are
    for motions like those of the record: too narrow for starts and ends that take a
    chain where the record has not been (`VisitedRegion`).
    **Source:** Lakshminarayanan et al. 2017 (ensembles); Lei et al. 2018 (conformal).
    """

    noise: float
    factor: float
    level: float = 0.9

    @classmethod
    def of(
        cls,
        chains: Sequence[BarChain],
        records: Records,
        level: float = 0.9,
        substeps: int = 5,
    ) -> BarIntervals:
        """Calibrated on records.

        **Raises:** `ConfigError` for less than two members, or a level outside of
        0 to 1."""
        if len(chains) < 2:
            raise ConfigError(
                "one network has no spread. Fit several: BarsConfig(members=5)."
            )
        if not 0.0 < level < 1.0:
            raise ConfigError(f"level is {level:g}; it lies between 0 and 1.")
        ys = records.ys.reshape(len(records.ys), len(records.ts), 2, -1, 3)
        radius = float(chains[0].world.radius)
        held = chains[0].first, chains[0].last
        off, spread = [], []
        for y in ys:
            move = lambda c, y=y: bar_path(
                c, records.ts, y[0, 0], y[0, 1], substeps=substeps
            )
            points = np.stack([vertices(move(c).u, radius) for c in chains])
            off.append(points.mean(axis=0) - vertices(y[:, 0], radius))
            spread.append(points.std(axis=0, ddof=1))
        away, wide = (_moving(np.stack(part), held) for part in (off, spread))
        noise = float(np.sqrt(np.mean(away**2)))
        factor = np.quantile(np.abs(away) / np.sqrt(noise**2 + wide**2), level)
        return cls(noise, float(factor), level)

    def half(
        self,
        points: Float[np.ndarray, "member time bar 2 2"],
        held: tuple[bool, bool],
    ) -> Float[np.ndarray, "time bar 2 2"]:
        """Half width of the intervals about the mean of the members' vertices; a first
        and a last bar that are `held` are where they are."""
        spread = points.std(axis=0, ddof=1)
        half = self.factor * np.sqrt(self.noise**2 + spread**2)
        for end, stays in zip((0, -1), held, strict=True):
            if stays:
                half[:, end] = 0.0
        return half


def vertices(
    u: Float[np.ndarray, "*lead bar 3"], radius: float = 0.033
) -> Float[np.ndarray, "*lead bar 2 2"]:
    """Top and bottom of each bar."""
    return np.stack(bar_ends(u, radius), axis=-2)


def _moving(values: np.ndarray, held: tuple[bool, bool]) -> np.ndarray:
    """Without the start, which is known, and without end bars that are held."""
    first, last = held
    return values[:, 1:, int(first) : values.shape[2] - int(last)]
