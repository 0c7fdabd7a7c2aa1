"""From a caller's times, inputs and state to what the integrators take."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._errors import ConfigError, ShapeError
from .._types import Context, State, Time
from ._schemes import Inputs


def linear_path(
    us: Float[Array, "time ctrl"], dts: Float[Array, " step"]
) -> Float[Array, "step 4 ctrl"]:
    r"""Coefficients of inputs that run straight from sample to sample.

    $$ u(t_k + s) = u_k + s\,(u_{k+1} - u_k) / \Delta t_k $$

    **Returns:** `"step 4 ctrl"`, as `pendula.data.input_path` gives them; intervals
    of length 0 (padding) hold the value.
    """
    real = (dts > 0)[:, None]
    slope = jnp.where(real, us[1:] - us[:-1], 0.0) / jnp.where(real, dts[:, None], 1.0)
    zero = jnp.zeros_like(slope)
    return jnp.stack([us[:-1], slope, zero, zero], axis=1)


def polynomial(coefficients: Float[Array, "4 ctrl"]) -> Inputs:
    """u(s) = c0 + s (c1 + s (c2 + s c3)) within one sampling interval."""

    def at(s: Time) -> Float[Array, " ctrl"]:
        c0, c1, c2, c3 = coefficients
        return c0 + s * (c1 + s * (c2 + s * c3))

    return at


def as_state(y0: Any) -> State:
    """The initial state as a floating vector. **Raises:** `ShapeError`."""
    try:
        y0 = jnp.asarray(y0)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"y0 is {y0!r:.60}; expected a floating vector (dim,)."
        ) from error
    if y0.ndim != 1 or not jnp.issubdtype(y0.dtype, jnp.floating):
        raise ShapeError(
            f"y0 has shape {y0.shape} and dtype {y0.dtype}; expected a floating vector "
            "(dim,). Use jax.vmap for a batch."
        )
    return y0


def as_grid(
    ts: Any, dtype: Any
) -> tuple[Time, Float[Array, " time"], Float[Array, " step"]]:
    """First time, times since it, and steps; those of host arrays are differenced
    in float64 before any cast.

    **Raises:** `ShapeError` for anything but a vector of two times or more,
    `ConfigError` for host times that are not finite or go backwards.
    """
    if np.ndim(ts) != 1 or len(ts) < 2:
        raise ShapeError(
            f"ts has shape {np.shape(ts)}; expected a vector (time,) of at least two "
            "times."
        )
    if isinstance(ts, jax.Array):
        cast = lambda x: x.astype(dtype)
        return cast(ts[0]), cast(ts - ts[0]), cast(jnp.diff(ts))
    host = np.asarray(ts, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(host))
    if len(bad):
        raise ConfigError(
            f"ts is {host[bad[0]]:g} at entry {bad[0]}; times must be finite."
        )
    back = np.flatnonzero(np.diff(host) < 0)
    if len(back):
        k = int(back[0])
        raise ConfigError(
            f"ts goes backwards: {host[k + 1]:g} after {host[k]:g} (entry {k + 1}). "
            "Times must increase; sort them."
        )
    cast = lambda x: jnp.asarray(x, dtype)
    return cast(host[0]), cast(host - host[0]), cast(np.diff(host))


def as_path(us: Any, dts: Float[Array, " step"]) -> Float[Array, "step 4 ctrl"] | None:
    """Samples or coefficients of the inputs as coefficients.

    **Raises:** `ShapeError` if the shape is neither.
    """
    if us is None:
        return None
    us = jnp.asarray(us, dtype=dts.dtype)
    steps = dts.shape[0]
    if us.ndim == 2 and us.shape[0] == steps + 1:
        return linear_path(us, dts)
    if us.ndim != 3 or us.shape[:2] != (steps, 4):
        raise ShapeError(
            f"us has shape {us.shape}; expected samples ({steps + 1}, ctrl) or "
            f"coefficients ({steps}, 4, ctrl)."
        )
    return us


def all_finite(*trees: Any) -> Bool[Array, ""]:
    """Whether every floating array in some pytrees is finite."""
    good = jnp.asarray(True)
    for leaf in jax.tree.leaves(trees):
        if jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            good &= jnp.all(jnp.isfinite(leaf))
    return good


def safe(tree: Context, good: Bool[Array, ""]) -> Context:
    """The pytree with its arrays set to 0 unless `good`: what follows a refused
    input stays finite, in its gradient too."""
    return jax.tree.map(
        lambda x: jnp.where(good, x, jnp.zeros_like(x)) if _floats(x) else x, tree
    )


def _floats(leaf: Any) -> bool:
    """Whether a leaf is a floating array."""
    return isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(
        leaf.dtype, jnp.floating
    )
