"""Normalisation of activations, the channel being the last axis."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed


NORM_FLOOR = 1e-5
"""Least variance that is divided by, and least one that a state keeps."""


def at_least_float32(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x in the precision in which means are taken: float32 at least."""
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def _affine(x: Array, mean: Array, variance: Array, scale: Array, bias: Array) -> Array:
    """(x - mean) / sqrt(variance + NORM_FLOOR) * scale + bias, each `"chan"`, as one
    product and one sum an entry; in the dtype of x, whatever that of the others."""
    factor = scale * jax.lax.rsqrt(variance + NORM_FLOOR)
    wide = (1,) * (x.ndim - 1) + (-1,)
    away = at_least_float32(x) - mean.reshape(wide)
    return (away * factor.reshape(wide) + bias.reshape(wide)).astype(x.dtype)


@register("module")
class GroupNorm(eqx.Module):
    r"""Mean and variance of each group of channels of one sample; no state.

    $$ y_c = \gamma_c \frac{x_c - \mu_{g(c)}}{\sqrt{\sigma^2_{g(c)} + 10^{-5}}}
       + \beta_c $$

    **Shapes**: `"*space chan"` to the same. Equinox' layer of this name wants the
    channel first; here it is last, as convolutions have it, and no axis is moved.
    **Arguments:** `size`: channels; `groups`: number of groups, a divisor of `size`;
    1 is layer normalisation.
    **Raises:** `ConfigError` for groups that do not divide the channels.
    **Source:** Wu, He 2018, arXiv:1803.08494, equations 1 to 7.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.nn import GroupNorm
    >>> y, state = GroupNorm(4, groups=2)(jnp.arange(4.0), None)
    >>> [round(float(v), 3) for v in y]
    [-1.0, 1.0, -1.0, 1.0]

    ```
    """

    source: ClassVar[Source] = Source("Wu2018", "equations 1 to 7")

    scale: Float[Array, "*node chan"]
    bias: Float[Array, "*node chan"]
    groups: int = eqx.field(static=True)
    """Number of groups of channels."""

    def __init__(self, size: int, groups: int = 1) -> None:
        if size < 1 or groups < 1 or size % groups:
            raise ConfigError(
                f"GroupNorm: {groups} groups of {size} channels; the groups must "
                "divide the channels. Choose another number of groups."
            )
        self.scale, self.bias = jnp.ones(size), jnp.zeros(size)
        self.groups = groups

    def __call__(
        self, x: Float[Array, "*space chan"], state: Any = None
    ) -> tuple[Float[Array, "*space chan"], Any]:
        """The normalised sample, and the state as it came."""
        space = tuple(range(x.ndim - 1))
        # channel means first: the sums over pixels are the only large ones
        group = lambda v: jnp.repeat(
            v.reshape(self.groups, -1).mean(1),
            v.size // self.groups,
            total_repeat_length=v.size,
        )
        mean = group(at_least_float32(x).mean(space))
        away = at_least_float32(x) - mean.reshape((1,) * len(space) + (-1,))
        variance = group((away * away).mean(space))
        return _affine(x, mean, variance, self.scale, self.bias), state

    def redraw(self, key: Any) -> GroupNorm:
        """The same layer as at the start; nothing in it is random."""
        return GroupNorm(self.scale.shape[-1], self.groups)

    def initial_state(self) -> None:
        """There is none."""


@register("module")
class NormState(Fixed):
    """Running mean and variance of a `BatchNorm`; never trained by gradient.

    **Shapes:** `mean`, `spread` `"*node chan"`; the spread is the logarithm of the
    variance (`logarithmic`, so that no mixture of states makes it negative) or the
    variance itself, which is then kept above 1e-5; `clamped` counts how often that
    was needed. `seen` is None in training; while the statistics are estimated anew it
    is the number of batches that they are the mean of, as a function of depth too.

    ```python
    >>> from pendula.nn import NormState
    >>> NormState.start(2).variance().tolist()
    [1.0, 1.0]

    ```
    """

    mean: Float[Array, "*node chan"]
    spread: Float[Array, "*node chan"]
    clamped: Int[Array, "*node"]
    logarithmic: bool = eqx.field(static=True)
    seen: Float[Array, "*node"] | None = None

    @staticmethod
    def start(size: int, logarithmic: bool = True) -> NormState:
        """Mean 0 and variance 1 of `size` channels."""
        one = jnp.zeros(size) if logarithmic else jnp.ones(size)
        return NormState(jnp.zeros(size), one, jnp.asarray(0, jnp.int32), logarithmic)

    def variance(self) -> Float[Array, "*node chan"]:
        """The variance, above 1e-5."""
        plain = jnp.exp(self.spread) if self.logarithmic else self.spread
        return jnp.maximum(plain, NORM_FLOOR)

    def anew(self) -> NormState:
        """A state that the next batches are to estimate anew, each with the same
        weight and this one with none."""
        seen = jnp.zeros(self.mean.shape[:-1], self.mean.dtype)
        clamped = jnp.zeros_like(self.clamped)
        return dataclasses.replace(self, seen=seen, clamped=clamped)

    def follow(self, mean: Array, variance: Array, keep: float | Array) -> NormState:
        """The state after one more batch, of which `1 - keep` is taken over; of a
        state that is estimated anew, what makes it the mean of all."""
        seen = self.seen
        if seen is not None:
            keep, seen = seen / (seen + 1.0), seen + 1.0
        old = jnp.exp(self.spread) if self.logarithmic else self.spread
        new = keep * jnp.maximum(old, NORM_FLOOR) + (1.0 - keep) * variance
        low = jnp.sum((old < NORM_FLOOR) & (keep > 0.0)).astype(jnp.int32)
        new = jnp.maximum(new, NORM_FLOOR)
        return NormState(
            keep * self.mean + (1.0 - keep) * mean,
            jnp.log(new) if self.logarithmic else new,
            self.clamped + low,
            self.logarithmic,
            seen,
        )


@register("module")
class BatchNorm(eqx.Module):
    r"""Mean and variance of each channel over a batch; running ones in inference.

    $$ y_c = \gamma_c \frac{x_c - \mu_c}{\sqrt{\sigma^2_c + 10^{-5}}} + \beta_c, \quad
       \bar\mu_c \leftarrow m \bar\mu_c + (1 - m) \mu_c $$

    and the same for the variance (that of the batch, divided by its number). Inside
    `jax.vmap(..., axis_name="batch")` the statistics are those of all samples.

    **Shapes**: `"*space chan"` to the same, state a `NormState`.
    **Arguments:** `size`: channels; `keep`: m; `axis_name`: name of the batch axis;
    `logarithmic`: whether the state keeps the logarithm of the variance.
    **Raises:** `ConfigError` for a size or keep that cannot be; when called without a
    state, or in training outside of such a batch.
    **Behaviour:** `equinox.nn.inference_mode(net)` switches to the running
    statistics; the state is then left as it is.
    **Source:** Ioffe, Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import BatchNorm
    >>> norm = BatchNorm(1)
    >>> over = jax.vmap(norm, (0, None), (0, None), axis_name="batch")
    >>> y, state = over(jnp.asarray([[1.0], [3.0]]), norm.initial_state())
    >>> [round(float(v), 3) for v in y[:, 0]], round(float(state.mean[0]), 2)
    ([-1.0, 1.0], 0.2)

    ```
    """

    source: ClassVar[Source] = Source("Ioffe2015", "algorithms 1 and 2")

    scale: Float[Array, "*node chan"]
    bias: Float[Array, "*node chan"]
    keep: float = eqx.field(static=True)
    """Share of the old running statistics that a batch leaves."""
    axis_name: str = eqx.field(static=True)
    """Name of the batch axis of `jax.vmap`."""
    logarithmic: bool = eqx.field(static=True)
    """Whether the state keeps the logarithm of the variance."""
    inference: bool
    """Whether the running statistics are used."""

    def __init__(
        self,
        size: int,
        *,
        keep: float = 0.9,
        axis_name: str = "batch",
        logarithmic: bool = True,
        inference: bool = False,
    ) -> None:
        if size < 1 or not 0.0 <= keep < 1.0:
            raise ConfigError(
                f"BatchNorm: size is {size}, keep {keep}; there must be a channel, and "
                "keep lies in [0, 1)."
            )
        self.scale, self.bias = jnp.ones(size), jnp.zeros(size)
        self.keep, self.axis_name, self.logarithmic = keep, axis_name, logarithmic
        self.inference = inference

    def __call__(
        self, x: Float[Array, "*space chan"], state: NormState | None
    ) -> tuple[Float[Array, "*space chan"], NormState]:
        """The normalised sample and the next state."""
        if state is None:
            raise ConfigError(
                "BatchNorm: there is no running state. Give the network's: that of its "
                "fit, or net.initial_state()."
            )
        if self.inference:
            mean, variance = state.mean, state.variance()
            return _affine(x, mean, variance, self.scale, self.bias), state
        space = tuple(range(x.ndim - 1))
        over = lambda v: jax.lax.pmean(v.mean(space), self.axis_name)
        try:
            mean = over(at_least_float32(x))
        except NameError as error:
            raise ConfigError(
                f'BatchNorm: there is no axis "{self.axis_name}", and in training its '
                "statistics are those of a batch. Take apply_batch, or "
                "eqx.nn.inference_mode(net) for one sample."
            ) from error
        away = at_least_float32(x) - mean.reshape((1,) * len(space) + (-1,))
        variance = over(away * away)
        seen = jax.lax.stop_gradient((mean, variance))
        y = _affine(x, mean, variance, self.scale, self.bias)
        return y, state.follow(*seen, self.keep)

    def redraw(self, key: Any) -> BatchNorm:
        """The same layer as at the start; nothing in it is random."""
        return BatchNorm(
            self.scale.shape[-1],
            keep=self.keep,
            axis_name=self.axis_name,
            logarithmic=self.logarithmic,
            inference=self.inference,
        )

    def initial_state(self) -> NormState:
        """Mean 0, variance 1."""
        return NormState.start(self.scale.shape[-1], self.logarithmic)
