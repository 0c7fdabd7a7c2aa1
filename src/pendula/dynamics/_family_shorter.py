"""Adaptation where a rollout fails at the start: on a shorter share of the clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..train import Adaptation
from ._family_data import Clips


HALVINGS = 5  # of the horizon; a 32nd of a clip is the shortest that is tried


def shared(clips: Clips, share: Any) -> Clips:
    """Only the first part of each clip counts."""
    dts = clips.batch.dts
    ends = jnp.cumsum(dts, axis=-1)
    begin = jnp.ones((*dts.shape[:-1], 1), bool)
    inside = jnp.concatenate([begin, ends <= share * ends[..., -1:] * 1.0001], axis=-1)
    mask = clips.batch.mask & inside[..., None]
    return eqx.tree_at(lambda c: c.batch.mask, clips, mask)


def on_shorter(
    fit: Callable[[Clips, Array], Adaptation], clips: Clips, begin: Array
) -> tuple[Adaptation, Float[np.ndarray, " system"]]:
    """Fit all systems from the starts `begin` `"system start eta"`; those whose
    objective is finite from no start are fitted on half of their clips, a quarter, and
    so on, then from there on the longer ones again.

    **Returns:** the adaptation, and the share of the clips that each system was fitted
    on: 1, or less where a rollout over the whole still fails; 0 where all failed.
    """
    out = fit(clips, begin)
    share = np.where(_finite(out), 1.0, 0.0)
    for k in range(1, HALVINGS + 1):
        if (share > 0).all():
            break
        part = 0.5**k
        out, share = _replaced(fit, clips, begin, part, share == 0, out, share)
    for k in range(HALVINGS - 1, -1, -1):
        longer = (share > 0) & (share == 0.5 ** (k + 1))
        if longer.any():
            again = jnp.broadcast_to(out.eta[:, None], begin.shape)
            out, share = _replaced(fit, clips, again, 0.5**k, longer, out, share)
    return out, share


def _finite(out: Adaptation) -> np.ndarray:
    return np.isfinite(np.asarray(out.history)[:, -1])


def _replaced(
    fit: Any,
    clips: Clips,
    begin: Array,
    part: float,
    which: np.ndarray,
    out: Adaptation,
    share: np.ndarray,
) -> tuple[Adaptation, np.ndarray]:
    new = fit(shared(clips, part), begin)
    take = which & _finite(new)
    pick = lambda a, b: jnp.where(take.reshape(-1, *[1] * (jnp.ndim(a) - 1)), a, b)
    return jax.tree.map(pick, new, out), np.where(take, part, share)
