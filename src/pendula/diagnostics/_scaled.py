"""Training data in units of their own spread and time scale."""

from __future__ import annotations

import dataclasses
import warnings
from typing import NamedTuple

import numpy as np

from .._errors import DataWarning
from ..data import Scales, Trajectories, input_path, local_states
from ._baseline import Outlook, last_values


GUARD = 10.0  # times the range seen: a forecast that gets there stops


class Rates(NamedTuple):
    """Scaled local states of training data at every measured sample: `q`, `v`, `a`
    and the standard errors of the last two, `"sample dim"`; inputs `u`
    `"sample ctrl"`; `row` and `sample` `"sample"` say where each comes from."""

    q: np.ndarray
    v: np.ndarray
    a: np.ndarray
    se_v: np.ndarray
    se_a: np.ndarray
    u: np.ndarray
    row: np.ndarray
    sample: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
    """Scales of the training data, and what goes with them.

    `kind`: how inputs run between samples; `reach` `"dim"`: largest scaled
    observation; `usual`: the usual sampling interval [time].
    """

    scales: Scales
    kind: str
    reach: np.ndarray
    usual: float

    @classmethod
    def of(cls, train: Trajectories) -> tuple[Frame, Rates]:
        """From training data, whose local states are estimated on the way.

        The time scale is the median over the channels of spread over root mean
        square rate: period / 2 pi for an oscillation. A constant channel has scale
        1, silently: whoever fits a model to the data has said so already.
        """
        found = local_states(train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            scales = Scales.fit(train, time=1.0)
        steps = np.diff(train.ts, axis=1)
        usual = float(np.median(steps[steps > 0]))
        rate = np.sqrt((found.v**2 * train.mask).sum((0, 1)) / train.mask.sum((0, 1)))
        moving = rate > 0
        tau = (
            float(np.median(scales.scale[moving] / rate[moving])) if moving.any() else 0
        )
        # nothing faster than the sampling, nothing slower than the record, is known
        longest = float(np.ptp(train.ts, axis=1).max())
        tau = min(max(tau, usual / np.pi), longest)
        scales = dataclasses.replace(scales, time=tau)
        row, index = np.nonzero(train.mask.any(axis=2))
        u = np.zeros((len(row), 0))
        if train.us is not None:
            u = (train.us[row, index] - scales.input_mean) / scales.input_scale
        s, at = scales.scale, (row, index)
        rates = Rates(
            (found.q[at] - scales.mean) / s,
            found.v[at] * tau / s,
            found.a[at] * tau**2 / s,
            found.se_v[at] * tau / s,
            found.se_a[at] * tau**2 / s,
            u,
            row,
            index,
        )
        size = np.where(train.mask, np.abs(scales.down(train.ys)), 0.0)
        return cls(scales, train.input_kind, size.max(axis=(0, 1)), usual), rates

    @property
    def dim(self) -> int:
        """Number of channels."""
        return len(self.scales.mean)

    @property
    def ctrl(self) -> int:
        """Number of inputs."""
        return len(self.scales.input_mean)

    def path(self, coefficients: np.ndarray | None) -> np.ndarray | None:
        """Scaled input coefficients `"*any 4 ctrl"` from those of the data."""
        if coefficients is None:
            return None
        shifted = coefficients.copy()
        shifted[..., 0, :] -= self.scales.input_mean
        powers = self.scales.time ** np.arange(4.0)
        return shifted * powers[:, None] / self.scales.input_scale

    def grid(
        self, outlook: Outlook, past: int
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray]:
        """Scaled steps over the last `past` samples of the history `"past-1"` and
        from its end over the times ahead `"time"`, with their input paths: steps of
        the past, their path, the path ahead, steps ahead."""
        times = outlook.ts[-past:]
        ahead = np.concatenate([times[-1:], outlook.ahead])
        ahead[1:] = np.maximum(ahead[1:], times[-1])  # equal up to rounding
        before, after = None, None
        if outlook.ahead_us is not None:
            now = outlook.ahead_us
            if outlook.us is None:  # held before the first sample
                old = np.tile(now[:1], (len(times), 1))
            else:
                old = outlook.us[-past:]
            same = int(ahead[1] == ahead[0])
            joined = np.concatenate([times, ahead[1 + same :]])
            values = np.concatenate([old, now[same:]])
            path = input_path(joined, values, self.kind)
            before, after = path[: len(times) - 1], path[len(times) - 1 :]
            if same:  # a step of length 0 comes first
                after = np.concatenate([np.zeros((1, *path.shape[1:])), after])
        tau = self.scales.time
        return (
            np.diff(times) / tau,
            self.path(before),
            self.path(after),
            np.diff(ahead) / tau,
        )

    def rough_start(self, outlook: Outlook, order: int) -> np.ndarray:
        """Scaled state at the end of the history, from its last values only."""
        q = self.scales.down(last_values(outlook, self.scales.mean))
        return q if order == 1 else np.concatenate([q, np.zeros_like(q)])

    def guarded(self, ys: np.ndarray, outlook: Outlook) -> np.ndarray:
        """Observations `"time obs"` of a scaled forecast; from where it leaves
        `GUARD` times the range seen, its last value."""
        seen = np.where(outlook.mask, np.abs(self.scales.down(outlook.ys)), 0.0)
        limit = GUARD * np.maximum(np.maximum(self.reach, seen.max(axis=0)), 1.0)
        gone = ~np.all(np.abs(ys) <= limit, axis=1)  # NaN is gone too
        if gone.any():
            first = int(np.argmax(gone))
            held = ys[first - 1] if first else self.rough_start(outlook, 1)
            ys = np.where((np.arange(len(ys)) >= first)[:, None], held, ys)
        return self.scales.up(ys)
