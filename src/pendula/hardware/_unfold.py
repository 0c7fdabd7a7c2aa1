"""Convolutions with a copy of the kernel for every place of the output."""

from __future__ import annotations

from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest
from ..nn import Convolution, Draw


Unfold = Literal["exact", "marginal"]


class Unfolded(eqx.Module):
    r"""A convolution each of whose output places has a kernel of its own in hardware.

    `"exact"`: $y_p = \langle K + \nu_p,\, x_p \rangle$ with independent errors $\nu_p$
    for every place p, drawn at the call from the chip's own seed.
    `"marginal"`: $y_p = (K * x)_p + \sigma \lVert x_p \rVert\, \epsilon_p$ with the
    patch $x_p$: for one input the same law, so that means over chips are exact; two
    inputs of one chip then have independent errors, so that the spread between chips is
    not that of hardware.

    **Arguments:** `conv`: `equinox.nn.Conv` (channels first) or
    `pendula.nn.Convolution` (channels last); `mode`; `limit_mb`: memory that `"exact"`
    may use for its errors.
    **Raises:** `ConfigError` for an unknown mode, groups or dilation; at the call where
    the errors need more memory.
    **Source:** Wang 2023, section 2.3.2, figure 2.6.
    """

    conv: Any
    error: Draw
    bias_error: Draw
    mode: str = eqx.field(static=True)
    """`"exact"` or `"marginal"`."""
    limit_mb: float = eqx.field(static=True)
    """Memory for the errors of all places."""

    def __init__(self, conv: Any, mode: str, limit_mb: float = 2000.0) -> None:
        if mode not in get_args(Unfold):
            raise ConfigError(
                f'unfold "{mode}" is unknown.{nearest(mode, get_args(Unfold))} '
                "Allowed: exact, marginal."
            )
        if getattr(conv, "groups", 1) != 1 or any(
            d != 1 for d in getattr(conv, "dilation", (1,))
        ):
            raise ConfigError(
                "a convolution with groups or dilation cannot be unfolded. Take "
                "unfold=False."
            )
        self.conv, self.mode, self.limit_mb = conv, mode, limit_mb
        self.error, self.bias_error = Draw.none(), Draw.none()

    def __call__(self, x: Array, **named: Any) -> Array:
        """The convolution of one sample, with errors."""
        y = self.conv(x, **named)
        last = isinstance(self.conv, Convolution)
        rows = jnp.moveaxis(y, -1, 0) if last else y  # channels first
        shape = rows.shape
        flat = rows.reshape(shape[0], -1)
        inputs = jnp.moveaxis(x, -1, 0) if last else x
        if self.mode == "exact":
            flat = flat + self._exact(inputs, flat)
        else:
            norms = jnp.sqrt(self._patch_squares(inputs)).reshape(1, -1)
            flat = flat + norms.astype(flat.dtype) * self.error(flat.shape).astype(
                flat.dtype
            )
        if self.conv.bias is not None:
            flat = flat + self.bias_error(flat.shape).astype(flat.dtype)
        rows = flat.reshape(shape)
        return jnp.moveaxis(rows, 0, -1) if last else rows

    def _exact(self, x: Array, flat: Array) -> Array:
        """The share of the errors in the outputs, `"out place"`."""
        patches = self._patches(x)  # "fan place"
        size = flat.shape[0] * patches.shape[0] * patches.shape[1]
        need = 4.0 * size / 1e6
        if need > self.limit_mb:
            raise ConfigError(
                f"the errors of an unfolded convolution need {need:.0f} MB "
                f"({flat.shape[1]} places of {flat.shape[0]} x {patches.shape[0]} "
                f"weights), above the limit of {self.limit_mb:.0f} MB. Take "
                'unfold="marginal", or raise the limit.'
            )
        errors = self.error((flat.shape[0], patches.shape[0], patches.shape[1]))
        return jnp.einsum("ofp,fp->op", errors.astype(x.dtype), patches)

    def _patches(self, x: Array) -> Array:
        """What each place sees, `"fan place"`."""
        size, strides, padding = self._window()
        found = jax.lax.conv_general_dilated_patches(x[None], size, strides, padding)[0]
        return found.reshape(found.shape[0], -1)

    def _patch_squares(self, x: Array) -> Float[Array, " place"]:
        """The squared norm of what each place sees."""
        size, strides, padding = self._window()
        ones = jnp.ones((1, x.shape[0], *size), x.dtype)
        total = jax.lax.conv_general_dilated((x * x)[None], ones, strides, padding)
        return jnp.maximum(total.reshape(-1), 0.0)

    def _window(self) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
        """Kernel size, strides and padding."""
        conv = self.conv
        if isinstance(conv, Convolution):
            side = conv.weight.shape[0]
            pad = (side - 1) // 2
            return (side, side), (conv.stride,) * 2, ((pad, pad), (pad, pad))
        return tuple(conv.kernel_size), tuple(conv.stride), conv.padding
