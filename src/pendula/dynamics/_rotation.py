"""Rotations in space: vectors, matrices, and half of a turn."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


SMALL = 1e-4  # of a square: below, series are exact to rounding


def hat(a: Float[Array, "*lead 3"]) -> Float[Array, "*lead 3 3"]:
    r"""The matrix of $b \mapsto a \times b$."""
    zero = jnp.zeros_like(a[..., 0])
    rows = (
        (zero, -a[..., 2], a[..., 1]),
        (a[..., 2], zero, -a[..., 0]),
        (-a[..., 1], a[..., 0], zero),
    )
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def rotation(a: Float[Array, "*lead 3"]) -> Float[Array, "*lead 3 3"]:
    r"""$\exp \hat a$: the turn about a by |a| (Rodrigues), smooth at 0."""
    square = jnp.sum(a * a, axis=-1)
    small = square < SMALL
    safe = jnp.where(small, 1.0, square)
    angle = jnp.sqrt(safe)
    first = jnp.where(
        small, 1.0 - square / 6.0 + square**2 / 120.0, jnp.sin(angle) / angle
    )
    second = jnp.where(
        small, 0.5 - square / 24.0 + square**2 / 720.0, (1.0 - jnp.cos(angle)) / safe
    )
    k = hat(a)
    scale = lambda factor: factor[..., None, None]
    return _eye(k) + scale(first) * k + scale(second) * (k @ k)


def quaternion(
    r: Float[Array, "*lead 3 3"],
) -> tuple[Float[Array, "*lead"], Float[Array, "*lead 3"]]:
    r"""$(\cos\tfrac\theta2, \sin\tfrac\theta2\, n)$ of a turn by less than pi."""
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # beyond half a turn the formula ends; the floor keeps its slope finite
    w = 0.5 * jnp.sqrt(jnp.maximum(1.0 + trace, 1e-6))
    skew = jnp.stack(
        [
            r[..., 2, 1] - r[..., 1, 2],
            r[..., 0, 2] - r[..., 2, 0],
            r[..., 1, 0] - r[..., 0, 1],
        ],
        axis=-1,
    )
    return w, skew / (4.0 * w[..., None])


def rotation_vector(
    w: Float[Array, "*lead"], u: Float[Array, "*lead 3"]
) -> Float[Array, "*lead 3"]:
    """Axis times angle of a unit quaternion (w, u), smooth at 0."""
    square = jnp.sum(u * u, axis=-1)
    small = square < SMALL
    size = jnp.sqrt(jnp.where(small, 1.0, square))
    series = 2.0 + square / 3.0 + 3.0 * square**2 / 20.0 + 5.0 * square**3 / 56.0
    factor = jnp.where(small, series, 2.0 * jnp.arctan2(size, w) / size)
    return factor[..., None] * u


def upright(q: Float[Array, "*lead 3 3"]) -> Float[Array, "*lead 3 3"]:
    r"""One step towards the nearest rotation, $q\,(3 - q^T q)/2$: rounding does not
    add up."""
    return 0.5 * (3.0 * q - q @ (jnp.swapaxes(q, -1, -2) @ q))


def _eye(like: Array) -> Array:
    return jnp.broadcast_to(jnp.eye(3, dtype=like.dtype), like.shape)
