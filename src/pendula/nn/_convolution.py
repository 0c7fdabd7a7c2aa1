"""Two-dimensional convolutions on images (height, width, channel)."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least
from .._errors import ConfigError
from .._registry import register
from .._source import Source


def convolve(
    x: Float[Array, "height width chan"],
    kernel: Float[Array, "k k chan out"],
    stride: int = 1,
) -> Float[Array, "rows cols out"]:
    r"""A convolution, zeros beyond the border, `(k - 1) / 2` of them on each side.

    $$ y_{ijo} = \sum_{a, b, c} K_{abco} \, x_{is + a - p,\; js + b - p,\; c} $$

    It is XLA's convolution in the layout NHWC. On one core, batch 128, it takes twice
    as long as oneDNN's for the output and for the slope in x, and 1.5 to 5 times as
    long for the slope in the kernel (16 channels of 32 x 32: five times); patches and
    nine shifted products were slower still, but for the slope in the kernel a loop over
    small batches of patches, a third faster, which would cost forward mode. Within a
    compiled loop (`lax.scan`) the convolution took fifty times as long: on a CPU, loops
    over convolutions are written out.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.nn import convolve
    >>> convolve(jnp.ones((4, 4, 1)), jnp.ones((3, 3, 1, 1)))[..., 0].tolist()[0]
    [4.0, 6.0, 6.0, 4.0]

    ```
    """
    pad = (kernel.shape[0] - 1) // 2
    return jax.lax.conv_general_dilated(
        x[None],
        kernel,
        (stride, stride),
        [(pad, pad), (pad, pad)],
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )[0]


@register("module")
class Convolution(eqx.Module):
    r"""A convolution layer, with or without bias.

    $$ y = K * x + b, \qquad K_{abco} \sim N(0,\, 2 / (k^2 c_{out})) $$

    **Shapes**: `"height width in"` to `"rows cols out"`, with rows and columns the
    height and width over `stride`, rounded up; one image a call, the result in its
    dtype.
    **Arguments:** `in_size`, `out_size`: channels; `kernel`: side k, odd; `stride`.
    **Raises:** `ConfigError` for sizes that cannot be used.
    **Source:** the initial weights: He, Zhang, Ren, Sun 2015, arXiv:1502.01852,
    equation 14.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import Convolution
    >>> layer = Convolution(3, 8, stride=2, key=jax.random.key(0))
    >>> layer(jnp.ones((28, 28, 3))).shape
    (14, 14, 8)

    ```
    """

    source: ClassVar[Source] = Source("He2015", "equation 14")
    out_axis: ClassVar[int] = -1

    weight: Float[Array, "*node k k chan out"]
    bias: Float[Array, "*node out"] | None
    stride: int = eqx.field(static=True)
    """Step between outputs, in pixels."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        use_bias: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        at_least(1, "Convolution", in_size=in_size, out_size=out_size, stride=stride)
        if kernel < 1 or kernel % 2 == 0:
            raise ConfigError(
                f"Convolution: kernel is {kernel}; it must be odd, so that it has a "
                "centre."
            )
        width = math.sqrt(2.0 / (kernel * kernel * out_size))
        shape = (kernel, kernel, in_size, out_size)
        self.weight = width * jax.random.normal(key, shape)
        self.bias = jax.numpy.zeros(out_size) if use_bias else None
        self.stride = stride

    def __call__(
        self, x: Float[Array, "height width chan"]
    ) -> Float[Array, "rows cols out"]:
        """The filtered image."""
        y = convolve(x, self.weight.astype(x.dtype), self.stride)
        return y if self.bias is None else y + self.bias.astype(x.dtype)[None, None]

    def redraw(self, key: PRNGKeyArray) -> Convolution:
        """The same layer with fresh random weights."""
        k, _, in_size, out_size = self.weight.shape
        return Convolution(
            in_size,
            out_size,
            k,
            stride=self.stride,
            use_bias=self.bias is not None,
            key=key,
        )
