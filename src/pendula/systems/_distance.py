"""Distances that may vanish: where bodies meet their law has no direction."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def inverse_root(square: Float[Array, "*pair"]) -> Float[Array, "*pair"]:
    """1 / sqrt(square), 0 where it is 0 (and no NaN in gradients)."""
    there = square > 0
    return jnp.where(there, 1.0 / jnp.sqrt(jnp.where(there, square, 1.0)), 0.0)
