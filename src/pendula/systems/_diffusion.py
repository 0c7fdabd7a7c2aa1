"""A field on a rod, sampled at equal distances: what its equations share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


NEUMANN = "neumann"
"""Ends without flux: the slope there is 0."""
DIRICHLET = "dirichlet"
"""Ends that are held at 0."""
Field = Float[Array, " node"]


def diffusion(f: Field, diffusivity: Array, spacing: Array, boundary: str) -> Field:
    r"""Diffusion by central differences.

    $$ \dot f_i = \frac{D}{h^2} (f_{i-1} - 2 f_i + f_{i+1}) $$

    Neumann: no flux through the ends, $f_{-1} = f_1$ by a mirrored node. Dirichlet:
    the ends keep the values that they start with.
    **Source:** LeVeque, Finite Difference Methods, 2007, sections 2.12 and 9.2.
    """
    inner = f[:-2] - 2.0 * f[1:-1] + f[2:]
    if boundary == NEUMANN:
        first, last = 2.0 * (f[1:2] - f[:1]), 2.0 * (f[-2:-1] - f[-1:])
        change = jnp.concatenate([first, inner, last])
    else:
        change = jnp.pad(inner, 1)
    return diffusivity / spacing**2 * change


def total(f: Field, spacing: Array) -> Float[Array, ""]:
    """The integral by the trapezoidal rule, which no-flux diffusion keeps exactly."""
    return spacing * (jnp.sum(f) - 0.5 * (f[0] + f[-1]))


def smooth_start(key: PRNGKeyArray, nodes: int, boundary: str, end: float) -> Field:
    """A random smooth field between 0 and 1: four cosines that fall off with their
    number (sines under Dirichlet, added to the value `end` that the ends keep)."""
    x = np.linspace(0.0, 1.0, nodes)
    number = np.arange(1, 5)
    wave = np.cos if boundary == NEUMANN else np.sin
    shapes = wave(np.pi * number[:, None] * x)
    share = jax.random.uniform(key, (5,), minval=-1.0, maxval=1.0)
    # weights 1/2, 1/4, .. sum to less than 1
    wave_sum = (share[1:] * 0.5 ** jnp.arange(1.0, 5.0)) @ shapes
    if boundary == NEUMANN:
        return jnp.clip(0.5 + 0.1 * share[0] + 0.35 * wave_sum, 0.0, 1.0)
    inward = 1.0 if end < 0.5 else -1.0
    return jnp.clip(end + inward * jnp.abs(wave_sum), 0.0, 1.0)


def names(nodes: int) -> tuple[str, ...]:
    """u1, u2, .. from one end to the other."""
    return tuple(f"u{i + 1}" for i in range(nodes))
