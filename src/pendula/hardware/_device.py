"""A device: what becomes of a weight that is programmed into it."""

from __future__ import annotations

import abc
import math
from typing import Any, Literal, get_args

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError, nearest
from .._registry import register
from ._noise import AbstractNoise, Gaussian, NoiseLevel, as_noise


Scalar = float | Float[Array, ""]
Range = Literal["span", "symmetric"]


class AbstractDevice(eqx.Module):
    """What becomes of weights that are programmed: pure, and differentiable in the
    level. `level`, `t` and `scale` are traced, so that a sweep compiles once.

    `scale` is the range of weights that the device's own range stands for: that of
    the component itself, or of the die that it shares.
    """

    default_level: eqx.AbstractVar[float]
    """The level where none is given."""

    @abc.abstractmethod
    def scale(self, w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
        """The range of weights, over all but the first `stack` axes, kept as axes of
        size 1."""

    @abc.abstractmethod
    def program(
        self,
        key: PRNGKeyArray,
        w: Float[Array, "..."],
        level: Scalar,
        t: Scalar = 0.0,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """The weights that the devices hold `t` seconds after they were programmed to
        `w`. One key is one set of devices: the same key at another level or time
        draws the same errors."""

    @abc.abstractmethod
    def sigma(
        self,
        w: Float[Array, "..."],
        level: Scalar,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """Standard deviation of the error of each weight just after programming.

        **Raises:** `ConfigError` for a device whose error is not additive."""

    @abc.abstractmethod
    def mirror_scale(self) -> float:
        """The scale of a device that holds the weight 1 of a shortcut."""


class AbstractOnBase(AbstractDevice):
    """A device that is another one, and something done to it: its range is the
    other's."""

    base: eqx.AbstractVar[AbstractDevice]
    """The device that is programmed."""

    def scale(self, w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
        return self.base.scale(w, stack)

    def mirror_scale(self) -> float:
        return self.base.mirror_scale()


def in_shares(device: AbstractDevice) -> bool:
    """Whether the levels of a device are shares of the range; else they multiply errors
    of the size that was measured."""
    return device.default_level <= 0.5


def span(w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
    """max(w) - min(w), or 2 max|w| where all are equal."""
    axes = tuple(range(stack, w.ndim))
    width = jnp.max(w, axes, keepdims=True) - jnp.min(w, axes, keepdims=True)
    return jnp.where(width > 0, width, symmetric(w, stack))


def symmetric(w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
    """2 max|w|."""
    axes = tuple(range(stack, w.ndim))
    return 2.0 * jnp.max(jnp.abs(w), axes, keepdims=True)


def in_float32(w: Float[Array, "..."]) -> Float[Array, "..."]:
    """Weights of 16 bits in 32: errors are drawn and added there."""
    return w.astype(jnp.float32) if jnp.finfo(w.dtype).bits < 32 else w


def there(x: Array | None) -> Array:
    """An array that is known to be there."""
    assert x is not None
    return x


def number(value: Scalar, like: Float[Array, "..."]) -> Float[Array, ""]:
    """A level or a time in the precision of the weights."""
    return jnp.asarray(value, like.dtype)


@register("device", "range_noise")
class RangeNoise(AbstractDevice):
    r"""Errors in proportion to the range of the weights, whatever the device.

    $$ w' = w + \eta \,\mathrm{range}(w)\, \xi, \qquad
       E\,\xi = 0, \quad E\,\xi^2 = 1 $$

    **Arguments:**
    - `dist`: the law of xi, `Gaussian()`, or a callable (key, shape, dtype).
    - `range`: `"span"`, max(w) - min(w); `"symmetric"`, 2 max|w|: weights in proportion
      to the current of a differential pair, zero at zero; or a number, the full scale
      of the hardware, beyond half of which weights are clipped.
    - `default_level`: eta where none is given; 0.05 is that of charge-trap
      transistors after 200 hours.

    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.3.1.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise
    >>> w = jnp.asarray([-1.0, 0.0, 3.0])
    >>> float(RangeNoise().sigma(w, 0.05)[0]), float(
    ...     RangeNoise(range="symmetric").sigma(w, 0.05)[0])
    (0.20000000298023224, 0.30000001192092896)

    ```
    """

    dist: AbstractNoise
    range: str | float = eqx.field(static=True)
    """Which range is meant."""
    default_level: float = eqx.field(static=True)
    """Level where none is given."""

    def __init__(
        self,
        dist: Any = None,
        range: str | float = "span",
        default_level: float | NoiseLevel = 0.05,
    ) -> None:
        if isinstance(range, str):
            if range not in get_args(Range):
                raise ConfigError(
                    f'RangeNoise: range "{range}" is unknown.'
                    f"{nearest(range, get_args(Range))} Allowed: span, symmetric, or a "
                    "number."
                )
        elif not (math.isfinite(range) and range > 0.0):
            raise ConfigError(
                f"RangeNoise: range is {range}; the full scale of the hardware must be "
                "above 0."
            )
        self.dist = as_noise(Gaussian() if dist is None else dist)
        self.range = range
        self.default_level = float(default_level)

    def scale(self, w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
        if isinstance(self.range, str):
            return {"span": span, "symmetric": symmetric}[self.range](w, stack)
        shape = w.shape[:stack] + (1,) * (w.ndim - stack)
        return jnp.full(shape, self.range, w.dtype)

    def program(
        self,
        key: PRNGKeyArray,
        w: Float[Array, "..."],
        level: Scalar,
        t: Scalar = 0.0,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        wide = in_float32(w)
        sigma = self.sigma(wide, level, scale=scale)
        held = self.clipped(wide, self.scale(wide) if scale is None else scale)
        return (held + sigma * self.dist(key, w.shape, wide.dtype)).astype(w.dtype)

    def clipped(
        self, w: Float[Array, "..."], scale: Float[Array, "..."]
    ) -> Float[Array, "..."]:
        """The weights within the full scale of the hardware; that of a bias is as many
        times larger as the input that it is multiplied with."""
        if isinstance(self.range, str):
            return w
        top = jnp.broadcast_to(0.5 * in_float32(scale), w.shape).astype(w.dtype)
        return jnp.clip(w, -top, top)

    def sigma(
        self,
        w: Float[Array, "..."],
        level: Scalar,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        scale = self.scale(w) if scale is None else scale
        wide = in_float32(scale)
        return jnp.broadcast_to(number(level, wide) * wide, w.shape)

    def mirror_scale(self) -> float:
        return 1.0
