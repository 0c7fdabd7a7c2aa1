"""Clips of one long record whose length grows while the model learns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import fields_whole
from .._errors import ConfigError
from ._estimator import Loss


class ClipBatch(NamedTuple):
    """Record and first frame of each clip, the frames that count (the first one too),
    and the channels that count."""

    rows: Int[Any, "clip"]
    first: Int[Any, "clip"]
    length: Int[Any, ""]
    channels: Int[Any, "channel"]


@dataclasses.dataclass(frozen=True)
class ClipCurriculum:
    r"""How clips are drawn: k updates in, they have min(`longest`, `shortest` +
    floor(k / `every`)) frames.

    `batch` clips an update, their starts drawn without replacement. **Source:** Wang
    2023, section 3.3, and its code, for all defaults.
    """

    shortest: int = 2
    longest: int = 70
    every: int = 2
    batch: int = 5

    def __post_init__(self) -> None:
        fields_whole(self, "clips", shortest=2, longest=2, every=1, batch=1)
        if not 2 <= self.shortest <= self.longest:
            raise ConfigError(
                f"clips grow from {self.shortest} to {self.longest} frames; they need "
                "at least 2, and must not shrink."
            )

    def length(self, step: int) -> int:
        """Frames of a clip at an update."""
        return min(self.longest, self.shortest + step // self.every)

    def batches(
        self, records: int, frames: int, channels: int, seed: int
    ) -> Callable[[int], ClipBatch]:
        """The batch of each update, the same whenever it is asked for; all channels
        count.

        **Raises:** `ConfigError` for records that are shorter than the longest clip.
        """
        if frames < self.longest:
            raise ConfigError(
                f"clips grow to {self.longest} frames, the records have {frames}. "
                "Lower the longest clip."
            )
        every = np.arange(channels, dtype=np.int32)

        def batch(step: int) -> ClipBatch:
            rng = np.random.default_rng((seed, step))
            length = self.length(step)
            starts = records * (frames - length + 1)
            at = rng.choice(starts, min(self.batch, starts), replace=False)
            # where there are fewer starts than clips, some come twice
            at = np.resize(at, self.batch)
            return ClipBatch(
                (at // (frames - length + 1)).astype(np.int32),
                (at % (frames - length + 1)).astype(np.int32),
                np.asarray(length, np.int32),
                every,
            )

        return batch


def clip_loss(
    advance: Callable[[Any, Any, Any, Any], Any],
    ts: Float[Array, "time"],
    ys: Float[Array, "record time dim"],
    weight: Float[Array, "dim"],
    longest: int,
) -> Loss:
    r"""Mean of $(w_c\,e)^2$ over frames, clips and channels, of rollouts from measured
    states; the batch is a `ClipBatch`.

    `advance(params, row, y, (t, dt)) -> y` moves one state by a frame. Frames beyond
    a clip's length are not computed, forward or backward: one program serves all
    lengths, each at its own cost.
    """

    def total(params: Any, batch: ClipBatch, key: Any) -> Float[Array, ""]:
        dts = jnp.diff(ts)

        def frame(carry: Any, k: Any) -> tuple[Any, None]:
            def inside(now: tuple) -> tuple:
                y, summed = now
                at = batch.first + k - 1
                step = lambda row, y, t, dt: advance(params, row, y, (t, dt))
                y = jax.vmap(step)(batch.rows, y, ts[at], dts[at])
                away = (y - ys[batch.rows, batch.first + k]) * weight[None]
                return y, summed + jnp.mean(away[:, batch.channels] ** 2)

            return jax.lax.cond(k < batch.length, inside, lambda n: n, carry), None

        begin = ys[batch.rows, batch.first], jnp.zeros((), ys.dtype)
        (_, summed), _ = jax.lax.scan(frame, begin, jnp.arange(1, longest))
        return summed / batch.length.astype(ys.dtype)

    return total
