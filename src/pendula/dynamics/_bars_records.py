"""Records of bars as arrays, and a chain as a model of motion."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import ConfigError
from ..data import Trajectories
from ..systems import bars_of
from ._bars import pair_coordinates
from ._field import AbstractField, SecondOrder
from ._model import Model


@dataclasses.dataclass(frozen=True)
class Bars:
    """Records of equal times: `ts` `"time"`, `ys` `"record time dim"` (bars, rates)."""

    ts: np.ndarray
    ys: np.ndarray

    @classmethod
    def of(cls, data: Trajectories) -> Bars:
        """**Raises:** `DataError` for other channels, `ConfigError` for records whose
        times differ."""
        parts = [bars_of(data, i) for i in range(data.num)]
        ts = parts[0][0] - parts[0][0][0]
        for i, (own, _, _) in enumerate(parts):
            if len(own) != len(ts) or np.abs(own - own[0] - ts).max() > 1e-9:
                raise ConfigError(
                    f"record {i} has other times than record 0. Cut the records to "
                    "the same times."
                )
        return cls(ts, data.ys[:, : len(ts)])

    @property
    def bars(self) -> int:
        """How many."""
        return self.ys.shape[2] // 6

    def until(self, span: float) -> Bars:
        """The beginning of the records. **Raises:** `ConfigError` for less than two
        frames."""
        keep = self.ts <= span * (1.0 + 1e-9)
        if keep.sum() < 2:
            raise ConfigError(
                f"span is {span:g} s, of which the records have {keep.sum()} frames; "
                "take a longer one."
            )
        return Bars(self.ts[keep], self.ys[:, keep])


def bar_model(chain: AbstractField, bars: int, substeps: int = 5) -> Model:
    """A chain, or any other accelerations of bars, as a model of motion: bars and
    rates observed, leapfrog."""
    n = 3 * bars
    field = SecondOrder(chain, n)
    return Model(field, tuple(range(2 * n)), 2 * n, "leapfrog", substeps)


def visited(train: Bars) -> Float[np.ndarray, "triplet 6"]:
    """The coordinates of all triplets of the records."""
    half = train.ys.shape[2] // 2
    flat = train.ys[..., :half].reshape(-1, train.bars, 3)
    u = jnp.asarray(flat, jnp.float32)
    pairs = np.asarray(jax.vmap(pair_coordinates)(u[:, :-1], u[:, 1:]))
    return np.concatenate([pairs[:, :-1], pairs[:, 1:]], axis=-1).reshape(-1, 6)
