"""Convolutions with a copy of the kernel for every place of the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import choice
from .._errors import ConfigError
from ..nn import Convolution, Draw


Unfold = Literal["exact", "marginal"]


class Unfolded(eqx.Module):
    r"""A convolution each of whose output places has a kernel of its own in hardware.

    `"exact"`: $y_p = \langle K + \nu_p,\, x_p \rangle$ with independent errors $\nu_p$
    for every place p, drawn at the call from the chip's own seed.
    `"marginal"`: $y_p = (K * x)_p + \sigma \lVert x_p \rVert\, \epsilon_p$ with the
    patch $x_p$: for one input the same law, so that means over chips are exact; all
    inputs of one chip have the same $\epsilon_p$, however little their patches have in
    common, so that the spread between chips is wider than that of hardware.

    **Arguments:** `conv`: `equinox.nn.Conv` (channels first) or
    `pendula.nn.Convolution` (channels last); `mode`; `limit_mb`: memory that `"exact"`
    may use for its errors.
    **Raises:** `ConfigError` for an unknown mode, groups, dilation or a border of other
    than zeros; at the call where the errors need more memory.
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
        choice("unfold", mode, get_args(Unfold))
        check_plain(conv, "be unfolded: take unfold=False")
        self.conv, self.mode, self.limit_mb = conv, mode, limit_mb
        self.error, self.bias_error = Draw.none(), Draw.none()

    def __call__(self, x: Array, **named: Any) -> Array:
        """The convolution of one sample, with errors."""
        y = self.conv(x, **named)
        if self.mode == "exact":
            channels = _first(self.conv, x)
            extra = lambda flat: flat + self._exact(channels, flat)
            y = _by_place(self.conv, y, extra)
        else:
            y = per_place(self.conv, x, y, self.error)
        if self.conv.bias is None:
            return y
        offset = lambda flat: flat + self.bias_error(flat.shape).astype(flat.dtype)
        return _by_place(self.conv, y, offset)

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
        size, strides, padding = _window(self.conv)
        found = jax.lax.conv_general_dilated_patches(x[None], size, strides, padding)[0]
        return found.reshape(found.shape[0], -1)


def per_place(layer: Any, x: Array, y: Array, error: Draw) -> Array:
    r"""Outputs with the error $\sigma \lVert x_p \rVert\, \epsilon$ at every place p of
    a convolution, or of the one place of a linear layer."""
    conv = layer.conv if isinstance(layer, Unfolded) else layer
    if isinstance(conv, eqx.nn.Linear):
        norms = jnp.linalg.norm(x).reshape(1, 1)
    else:
        norms = jnp.sqrt(_patch_squares(conv, _first(conv, x))).reshape(1, -1)

    def noisy(flat: Array) -> Array:
        return flat + norms.astype(flat.dtype) * error(flat.shape).astype(flat.dtype)

    return _by_place(conv, y, noisy)


def _first(conv: Any, x: Array) -> Array:
    """An image with its channels first."""
    return jnp.moveaxis(x, -1, 0) if isinstance(conv, Convolution) else x


def _by_place(conv: Any, y: Array, change: Callable[[Array], Array]) -> Array:
    """An output changed as a table `"out place"`."""
    rows = _first(conv, jnp.atleast_1d(y))
    changed = change(rows.reshape(rows.shape[0], -1)).reshape(rows.shape)
    back = jnp.moveaxis(changed, 0, -1) if isinstance(conv, Convolution) else changed
    return back.reshape(y.shape)


def _patch_squares(conv: Any, x: Array) -> Float[Array, " place"]:
    """The squared norm of what each place sees."""
    size, strides, padding = _window(conv)
    ones = jnp.ones((1, x.shape[0], *size), x.dtype)
    total = jax.lax.conv_general_dilated((x * x)[None], ones, strides, padding)
    return jnp.maximum(total.reshape(-1), 0.0)


def _window(conv: Any) -> tuple[tuple[int, ...], tuple[int, ...], Any]:
    """Kernel size, strides and padding."""
    if isinstance(conv, Convolution):
        side = conv.weight.shape[0]
        pad = (side - 1) // 2
        return (side, side), (conv.stride,) * 2, ((pad, pad), (pad, pad))
    return tuple(conv.kernel_size), tuple(conv.stride), conv.padding


def check_plain(conv: Any, what: str) -> None:
    """Refuse groups, dilation and a border of other than zeros. **Raises:**
    `ConfigError`."""
    border = getattr(conv, "padding_mode", "ZEROS")
    if (
        getattr(conv, "groups", 1) != 1
        or any(d != 1 for d in getattr(conv, "dilation", (1,)))
        or border.upper() != "ZEROS"
    ):
        raise ConfigError(
            "a convolution with groups or dilation, or with a border of other than "
            f"zeros, cannot {what}."
        )
