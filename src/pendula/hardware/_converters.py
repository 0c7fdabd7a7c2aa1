"""Inputs and outputs of a layer as converters of few bits pass them."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import positive, whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source


@register("module")
class Quantised(eqx.Module):
    r"""A layer between a digital-to-analog and an analog-to-digital converter.

    $$ y = C_{out}\big(f(C_{in}(x))\big), \qquad
       C(x) = s\, \mathrm{round}\big(\mathrm{clip}(x, -r, r) / s\big), \quad
       s = \frac{r}{2^{b-1} - 1} $$

    The gradient passes the rounding straight through, and is zero beyond the range.

    **Shapes**: those of the layer.
    **Arguments:**
    - `layer`: anything that is called with one array first.
    - `bits_in`, `bits_out`: b of each converter, from 2 on; None for none.
    - `range_in`, `range_out`: r of each; None is the largest absolute value of what
      comes, a converter that is set anew for every sample.

    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.2.2, where converters are exact: both are off
    without bits.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import Quantised
    >>> layer = Quantised(eqx.nn.Identity(), bits_in=3, range_in=3.0)
    >>> print(layer(jnp.asarray([-9.0, 0.4, 1.6])))
    [-3.  0.  2.]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 2.2.2")

    layer: Any
    """f."""
    range_in: Float[Array, ""] | None
    """r of the inputs."""
    range_out: Float[Array, ""] | None
    """r of the outputs."""
    bits_in: int | None = eqx.field(static=True)
    """b of the inputs."""
    bits_out: int | None = eqx.field(static=True)
    """b of the outputs."""

    def __init__(
        self,
        layer: Any,
        bits_in: int | None = None,
        bits_out: int | None = None,
        *,
        range_in: float | None = None,
        range_out: float | None = None,
    ) -> None:
        for name, bits in (("bits_in", bits_in), ("bits_out", bits_out)):
            if bits is not None and bits < 2:
                raise ConfigError(
                    f"Quantised: {name} is {bits}; expected 2 or more, or None for an "
                    "exact converter."
                )
            if bits is not None:
                whole(2, "Quantised", **{name: bits})
        for name, r in (("range_in", range_in), ("range_out", range_out)):
            if r is not None:
                positive("Quantised", **{name: r})
        number = lambda r: None if r is None else jnp.asarray(r, float)
        self.layer, self.bits_in, self.bits_out = layer, bits_in, bits_out
        self.range_in, self.range_out = number(range_in), number(range_out)

    def __call__(self, x: Float[Array, "..."], **options: Any) -> Float[Array, "..."]:
        """The layer's output as it is read."""
        y = self.layer(converted(x, self.bits_in, self.range_in), **options)
        return converted(y, self.bits_out, self.range_out)


def converted(
    x: Float[Array, "..."], bits: int | None, limit: Float[Array, ""] | None
) -> Float[Array, "..."]:
    """What a converter makes of an array."""
    if bits is None:
        return x
    if limit is None:
        top = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
        r = jnp.where(top > 0, top, 1.0)
    else:
        r = jax.lax.stop_gradient(limit).astype(x.dtype)
    step = r / float(2 ** (bits - 1) - 1)
    held = jnp.clip(x, -r, r)
    return held + jax.lax.stop_gradient(jnp.round(held / step) * step - held)
