"""What bars of a chain do to each other where they meet, learned from rebounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import DivergedError
from .._precision import to_host
from ..data import Trajectories
from ._bar_chain import BarChain
from ._bar_push import GapPotential
from ._bars_config import CHANNELS, BarsConfig
from ._bars_records import bar_records
from ._bars_stages import on_clips
from ._chain_stages import Loop
from ._clips_config import ClipsConfig


@dataclasses.dataclass(frozen=True)
class ContactConfig(ClipsConfig):
    """Clips no longer than a collision, steps as short as one asks for."""

    channels: ClassVar[tuple[str, ...]] = CHANNELS

    hinges: int = 8
    """Corners of the potential."""
    lr: float = 0.2
    """Learning rate on clips, falling to 1 % by a cosine."""
    shortest: int = 2
    """Frames of the first clips."""
    longest: int = 10
    """Frames of the longest: beyond a collision or two slopes say nothing."""
    every: int = 10
    """Updates until clips are a frame longer."""
    batch: int = 4
    """Clips to an update."""
    drawn: int = 20
    """Bars that count in an update, drawn anew for each; 0: all."""
    weights: tuple[float, ...] = BarsConfig.weights
    """Weights of errors of x, y, alpha and of their rates."""
    span: float = 1.4
    """Time up to which clips are taken [s]; what comes after chooses the weights."""
    substeps: int = 100
    """Leapfrog steps to a frame: 0.1 ms each, or bars meet between two of them."""


def fit_contact(
    data: Trajectories,
    chain: BarChain,
    config: ContactConfig | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[BarChain, dict[str, Any]]:
    """Learn the potential of the gaps of a chain, its elastic energy as it is.

    **Arguments:** `data` of `pendula.systems.bar_record`: rebounds, in the world and
    with the ends of `chain`; `config` (default: `ContactConfig()`); `out`, `resume`,
    `tell` as in `fit_bars`.
    **Returns:** the chain, touching, with a `GapPotential`, and a record of the
    training.
    **Raises:** `DataError`, `ConfigError` for records that cannot be used,
    `DivergedError` when the result is not finite.
    **Source:** ours.
    """
    config = ContactConfig() if config is None else config
    records = bar_records(data)
    train = records.until(config.span)
    push = GapPotential.create(config.hinges)
    loop = Loop.opened(out, resume, tell, config, chain, data, kind="contact")
    begin = dataclasses.replace(chain, touching=True, push=push)
    begin = jax.tree.map(jnp.asarray, begin)
    chosen = eqx.tree_at(
        lambda c: c.push.weights, jax.tree.map(lambda _: False, begin), True
    )
    made, told = on_clips(begin, train, records, config, config.seed, loop, chosen)
    made = to_host(made)
    assert made.push is not None
    if not np.isfinite(made.push.weights).all():
        raise DivergedError(
            "the potential of the gaps is not finite after training. Lower lr, or take "
            "shorter clips."
        )
    return made, told
