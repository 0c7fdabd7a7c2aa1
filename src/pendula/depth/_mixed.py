"""Is a trained network as right in use, with its running statistics, as in training."""

from __future__ import annotations

import math
import warnings
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._errors import FitWarning
from ..data import ImageBatches
from ._image_net import apply_batch, right


LOOK = 1000  # training images, about
LEAST = 0.02  # of them: a smaller loss is not spoken of


def warn_if_mixed(net: Any, state: Any, batches: ImageBatches) -> None:
    """Warns where fewer training images are right with running statistics that the
    stages of a node share than with the statistics of their batch."""
    if state is None or not any(map(_shares, net.blocks)):
        return
    modes = (eqx.nn.inference_mode(net, False), eqx.nn.inference_mode(net))
    shown = eqx.filter_jit(lambda net, xs, state: apply_batch(net, xs, state)[0])
    parts: tuple[list[np.ndarray], ...] = ([], [])
    for k in range(min(batches.per_epoch, math.ceil(LOOK / batches.size))):
        batch = batches(k)
        for part, mode in zip(parts, modes, strict=True):
            part.append(right(shown(mode, jnp.asarray(batch.x), state), batch.y))
    own, running = map(np.concatenate, parts)
    lost = own - running
    if lost.mean() > max(LEAST, 4.0 * lost.std() / math.sqrt(len(lost))):
        warnings.warn(
            f"of {len(lost)} training images {own.mean():.0%} are right with the "
            f"statistics of their batch, {running.mean():.0%} with the running ones, "
            "in which the stages of a node are mixed: in use the network is worse than "
            'in training. Give each stage its own, net.with_state_mode("stages"), and '
            "estimate them with recalibrate.",
            FitWarning,
            stacklevel=3,
        )


def _shares(block: Any) -> bool:
    """Whether several stages update the same running statistics."""
    if not hasattr(block, "basis") or block.state_mode == "stages":
        return False
    return sum(map(len, block.places())) > block.basis.n_basis
