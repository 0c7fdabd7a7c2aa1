"""Frames along a rod: how they are carried from one direction to another.

All arrays hold their components first, `"3 edge"`: a component of all edges lies
together in memory.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


Vectors = Float[Array, "3 edge"]
FLIPPED = -0.9  # cosine below which an edge has turned around in one step


def dot(a: Array, b: Array) -> Array:
    """a . b of vectors whose components come first."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Array, b: Array) -> Array:
    """a x b of vectors whose components come first."""
    return jnp.stack(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )


def transport(v: Vectors, a: Vectors, b: Vectors) -> Vectors:
    r"""Parallel transport of v from the unit vectors a to b.

    $$ P v = v + k \times v + \frac{k \times (k \times v)}{1 + c},
       \qquad k = a \times b, \quad c = a \cdot b $$

    Singular only where b = -a.
    **Source:** Bergou et al. 2008, Discrete Elastic Rods, section 4.2.2.
    """
    k = cross(a, b)
    once = cross(k, v)
    return v + once + cross(k, once) / (1.0 + dot(a, b))[None]


def turned(v: Vectors, axis: Vectors, angle: Float[Array, "edge"]) -> Vectors:
    """v, normal to the unit axis, turned about it."""
    c, s = jnp.cos(angle)[None], jnp.sin(angle)[None]
    return c * v + s * cross(axis, v)


def unit(v: Vectors) -> Vectors:
    """v / |v|."""
    return v / jnp.sqrt(dot(v, v))[None]


def normal_to(d: Vectors, t: Vectors) -> Vectors:
    """The direction of d without its part along the unit vectors t."""
    return unit(d - dot(d, t)[None] * t)


def signed_angle(a: Vectors, b: Vectors, axis: Vectors) -> Float[Array, "edge"]:
    """The angle from a to b about the axis, within -pi and pi."""
    return jnp.arctan2(dot(cross(a, b), axis), dot(a, b))


def reference_twist(
    d1: Vectors, t: Vectors, old: Float[Array, "inner"]
) -> Float[Array, "inner"]:
    """How far the reference directors of adjacent edges are twisted against each
    other, continued from its value `old` before: turns are not lost."""
    moved = transport(d1[:, :-1], t[:, :-1], t[:, 1:])
    moved = turned(moved, t[:, 1:], old)
    return old + signed_angle(moved, d1[:, 1:], t[:, 1:])


def space_parallel(t: Vectors) -> Vectors:
    """Directors without twist along the rod: the first one is t0 x e_y (t0 x -e_z
    where that vanishes), carried from edge to edge."""
    first = t[:, :1]
    ways = jnp.asarray([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0]], t.dtype)[:, :, None]
    side, other = (cross(first, way) for way in ways)
    start = jnp.where(dot(side, side)[None] > 1e-12, side, other)
    start = unit(start)[:, 0]

    def carry(d: Array, pair: Array) -> tuple[Array, Array]:
        a, b = pair[0][:, None], pair[1][:, None]
        new = normal_to(transport(d[:, None], a, b), b)[:, 0]
        return new, new

    pairs = jnp.stack([t[:, :-1].T, t[:, 1:].T], axis=1)
    rest = jax.lax.scan(carry, start, pairs)[1]
    return jnp.concatenate([start[:, None], rest.T], axis=1)
