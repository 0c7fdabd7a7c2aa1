"""What the circuits about an array of devices add: errors of reading and of pulses."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import not_negative, positive, whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ..nn import Convolution, Draw
from ._converters import converted
from ._noise import NoiseLevel, as_eta
from ._unfold import Unfolded, check_plain, per_place


LAYERS = (eqx.nn.Linear, eqx.nn.Conv, Convolution, Unfolded)
"""What circuits stand about."""


@register("module")
class ReadNoise(eqx.Module):
    r"""A layer whose weights are read with an error, another one for every input.

    $$ y = W x + b + \sigma \lVert x \rVert\, \epsilon, \qquad
       \sigma = \eta\, \mathrm{range}(W), \quad \epsilon \sim N(0, I) $$

    Independent Gaussian errors of one size on all weights have exactly this law. Of a
    convolution every place reads anew, and $x$ is what the place sees.

    **Shapes**: those of the layer.
    **Arguments:** `layer`: `equinox.nn.Linear` or `Conv`, or
    `pendula.nn.Convolution`; `level`: eta, sigma as a share of the range (of the
    largest weight: `NoiseLevel.from_wmax`).
    **Behaviour:** a chip of a twin has the error, the module itself reads exactly:
    `to_analog` says what the range is. The errors come from the chip's seed and the
    bits of the input, so that a call needs no key; the same chip reads the same input
    with the same error, and `twin.sample` with another key with another.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.2.2 (reading is exact there); the law of the sum is
    ours.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import ReadNoise, to_analog
    >>> net = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    >>> twin = to_analog(net, circuits=lambda layer: ReadNoise(layer, 0.01))
    >>> chip = twin.sample(jax.random.key(1), level=0.0)
    >>> bool(jnp.all(chip(jnp.ones(3)) != net(jnp.ones(3))))
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 2.2.2")

    layer: Any
    """The array of devices."""
    error: Draw
    """sigma, and the seed of the chip."""
    level: float = eqx.field(static=True)
    """eta."""

    def __init__(self, layer: Any, level: float | NoiseLevel = 0.01) -> None:
        if not isinstance(layer, LAYERS):
            raise ConfigError(
                f"ReadNoise stands about a linear layer or a convolution, not about "
                f"{type(layer).__name__}. Put other circuits outside of it."
            )
        check_plain(layer, "have read noise: leave its circuits out")
        level = as_eta(level)
        not_negative("ReadNoise", level=level)
        self.layer, self.level, self.error = layer, float(level), Draw.none()

    def __call__(self, x: Float[Array, "..."], **options: Any) -> Float[Array, "..."]:
        """The layer's output as it is read."""
        return per_place(self.layer, x, self.layer(x, **options), fresh(self.error, x))


@register("module")
class PulseWidth(eqx.Module):
    r"""Inputs that reach the devices as pulses: of few lengths, and with jitter.

    $$ x' = C(x) + j\, r\, \epsilon\, [C(x) \ne 0], \qquad
       C(x) = s\, \mathrm{round}\big(\mathrm{clip}(x, -r, r) / s\big), \quad
       s = \frac{r}{2^{b-1} - 1} $$

    An input of 0 is no pulse and has no jitter. The gradient passes the rounding
    straight through.

    **Shapes**: those of the layer.
    **Arguments:**
    - `layer`: anything that is called with one array first.
    - `bits`: b, from 2 on; `jitter`: j, the standard deviation of the length of a
      pulse as a share of the longest; `limit`: r, None is the largest absolute value of
      each sample.

    **Behaviour:** chips have jitter, the module itself has none; it comes from the
    chip's seed and the input, as of `ReadNoise`.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, figure 2.3 (inputs as widths of pulses); jitter is ours.

    ```python
    >>> import equinox as eqx, jax.numpy as jnp
    >>> from pendula.hardware import PulseWidth
    >>> layer = PulseWidth(eqx.nn.Identity(), bits=3, limit=3.0)
    >>> print(layer(jnp.asarray([-9.0, 0.4, 1.6])))
    [-3.  0.  2.]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "figure 2.3")

    layer: Any
    """What the pulses go into."""
    limit: Float[Array, ""] | None
    """r."""
    error: Draw
    """j on a chip, and its seed."""
    bits: int = eqx.field(static=True)
    """b."""
    jitter: float = eqx.field(static=True)
    """j."""

    def __init__(
        self,
        layer: Any,
        bits: int = 8,
        jitter: float = 0.0,
        *,
        limit: float | None = None,
    ) -> None:
        if bits < 2:
            raise ConfigError(f"PulseWidth: bits is {bits}; expected 2 or more.")
        whole(2, "PulseWidth", bits=bits)
        not_negative("PulseWidth", jitter=jitter)
        if limit is not None:
            positive("PulseWidth", limit=limit)
        self.layer, self.bits, self.jitter = layer, bits, float(jitter)
        self.limit = None if limit is None else jnp.asarray(limit, float)
        self.error = Draw.none()

    def __call__(self, x: Float[Array, "..."], **options: Any) -> Float[Array, "..."]:
        """The layer's output for the pulses."""
        sent = converted(x, self.bits, self.limit)
        longest = jnp.max(jnp.abs(x)) if self.limit is None else self.limit
        longest = jax.lax.stop_gradient(longest).astype(x.dtype)
        error = fresh(self.error, x)(x.shape)
        moved = jnp.where(sent != 0, longest * error.astype(x.dtype), 0.0)
        return self.layer(sent + moved.astype(x.dtype), **options)


def fresh(error: Draw, x: Float[Array, "..."]) -> Draw:
    """The error for another input: the bits of all its numbers count."""
    held = jax.lax.stop_gradient(x).astype(jnp.float32).ravel()
    bits = jax.lax.bitcast_convert_type(held, jnp.uint32)
    odd = 2 * jnp.arange(bits.size, dtype=jnp.uint32) + jnp.uint32(1)
    # sums of products with odd numbers, modulo 2^32: any change of one number counts
    words = [jnp.sum(bits * odd), jnp.sum(bits * (odd * odd * jnp.uint32(0x9E3779B1)))]
    key = jax.random.fold_in(jax.random.fold_in(error.key(), words[0]), words[1])
    return Draw(error.sigma, Draw.seeded(key))


def with_circuits(model: Any, circuits: Any) -> Any:
    """Circuits about every linear layer and convolution of a model."""
    if not callable(circuits):
        raise ConfigError(
            f"circuits is {circuits!r}; expected a function of a layer, such as "
            "lambda layer: ReadNoise(layer, 0.01)."
        )
    one = lambda node: circuits(node) if isinstance(node, LAYERS) else node
    return jax.tree.map(one, model, is_leaf=lambda node: isinstance(node, LAYERS))
