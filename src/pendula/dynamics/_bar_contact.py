"""What bars of a chain do to each other where they meet, learned from rebounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import DivergedError
from .._precision import to_host
from ..data import Trajectories
from ._bar_chain import BarChain
from ._bar_push import HINGES, GapPotential
from ._bars_config import BarsConfig
from ._bars_records import bar_records
from ._bars_stages import on_clips
from ._chain_stages import Loop


CONFIG = BarsConfig(steps=100, lr=0.2, shortest=10, longest=20, span=1.4, substeps=100)


def fit_contact(
    data: Trajectories,
    chain: BarChain,
    config: BarsConfig = CONFIG,
    *,
    hinges: int = HINGES,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[BarChain, dict[str, Any]]:
    """Learn the potential of the gaps of a chain, its elastic energy as it is.

    **Arguments:** `data` of `pendula.systems.bar_record`: rebounds, in the world and
    with the ends of `chain`; `config`: its clips (`steps` to `span`, `weights`,
    `substeps`, `seed`, `minutes`; the rest is of no account): 0.1 ms a step by
    default, which cycles that meet ask for; `hinges` of the potential; `out`,
    `resume`, `tell` as in `fit_bars`.
    **Returns:** the chain, touching, with a `GapPotential`, and a record of the
    training.
    **Raises:** `DataError`, `ConfigError` for records that cannot be used,
    `DivergedError` when the result is not finite.
    """
    loop = Loop.opened(
        out, resume, tell, config, chain, data, kind="contact", hinges=hinges
    )
    records = bar_records(data)
    push = GapPotential.create(hinges)
    begin = dataclasses.replace(chain, touching=True, push=push)
    begin = jax.tree.map(jnp.asarray, begin)
    chosen = eqx.tree_at(
        lambda c: c.push.weights, jax.tree.map(lambda _: False, begin), True
    )
    made, told = on_clips(
        begin, records.until(config.span), records, config, config.seed, loop, chosen
    )
    made = to_host(made)
    assert made.push is not None
    if not np.isfinite(made.push.weights).all():
        raise DivergedError(
            "the potential of the gaps is not finite after training. Lower lr, or take "
            "shorter clips."
        )
    return made, told
