"""A floor under normal matrices, whatever the units of the unknowns are."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


FEW = 1e6


def floor_under(
    matrix: Float[Array, "unknown unknown"], level: Float[Array, ""]
) -> Float[Array, "unknown unknown"]:
    """A tiny diagonal, in units of `level`: an unknown that no residual feels must not
    make a factorisation fail. One that is felt a little only, since its unit is small
    (the speed of what moves within nanoseconds), must not be held by it: it gets at
    most a rounding error, times `FEW`, of its own entry."""
    own = jnp.diag(matrix)
    felt = jnp.where(own > 0, jnp.minimum(level, FEW * own), level)
    return jnp.diag(10 * jnp.finfo(matrix.dtype).eps * felt)
