"""Records of a chain of bodies, all of them on the same times, as arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from .._errors import ConfigError
from ..data import Trajectories


@dataclasses.dataclass(frozen=True)
class Records:
    """Records of equal times: `ts` `"time"`, `ys` `"record time dim"`, of which each
    body has `pose` numbers, and then each `rate` ones."""

    ts: np.ndarray
    ys: np.ndarray
    pose: int
    rate: int

    @classmethod
    def of(
        cls,
        data: Trajectories,
        read: Callable[[Trajectories, int], tuple[Any, ...]],
        pose: int,
        rate: int,
    ) -> Records:
        """`read(data, record)` gives the times of a record first.

        **Raises:** `DataError` for other channels, `ConfigError` for records whose
        times differ."""
        own = [read(data, i)[0] for i in range(data.num)]
        ts = own[0] - own[0][0]
        for i, times in enumerate(own):
            if len(times) != len(ts) or np.abs(times - times[0] - ts).max() > 1e-9:
                raise ConfigError(
                    f"record {i} has other times than record 0. Cut the records to "
                    "the same times."
                )
        return cls(ts, data.ys[:, : len(ts)], pose, rate)

    @property
    def count(self) -> int:
        """Bodies."""
        return self.ys.shape[2] // (self.pose + self.rate)

    def until(self, span: float) -> Records:
        """The beginning of the records. **Raises:** `ConfigError` for less than two
        frames."""
        keep = self.ts <= span * (1.0 + 1e-9)
        if keep.sum() < 2:
            raise ConfigError(
                f"span is {span:g} s, of which the records have {keep.sum()} frames; "
                "take a longer one."
            )
        return dataclasses.replace(self, ts=self.ts[keep], ys=self.ys[:, keep])

    def channels(self, bodies: np.ndarray) -> np.ndarray:
        """The channels of some bodies: their poses, then their rates."""
        first = self.pose * bodies[:, None] + np.arange(self.pose)
        then = self.rate * bodies[:, None] + np.arange(self.rate)
        return np.concatenate([first.ravel(), self.pose * self.count + then.ravel()])
