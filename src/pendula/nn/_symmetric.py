"""Layers whose matrix is a blend of a symmetric and a skew one."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from ._convolution import Convolution


def adjoint_weight(weight: Float[Array, "size size *window"]) -> Array:
    """The weight of the adjoint layer: a matrix transposed; of a convolution kernel
    the channels swapped and every axis of space reversed.

    With a window of odd sizes and zero padding that keeps the size, <y, K x> equals
    <K' y, x> for all x and y.
    """
    space = tuple(range(2, weight.ndim))
    return jnp.flip(jnp.swapaxes(weight, 0, 1), space)


def symmetric_mix(
    weight: Float[Array, "size size *window"], beta: Float[Array, ""]
) -> Array:
    r"""$\beta (W + W^\top) + (1 - \beta)(W - W^\top)$, the transpose taken of the
    operator (`adjoint_weight`).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.nn import symmetric_mix
    >>> symmetric_mix(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array(0.0)).tolist()
    [[0.0, -1.0], [1.0, 0.0]]

    ```
    """
    other = adjoint_weight(weight)
    return beta * (weight + other) + (1.0 - beta) * (weight - other)


@register("module")
class HeldNumber(Fixed):
    """A number of a layer that is not trained: `value`."""

    value: Float[Array, ""]


@register("module")
class SymmetricMix(eqx.Module):
    r"""A layer whose weight is used as a blend of its symmetric and skew parts.

    $$ T(W) = \beta (W + W^\top) + (1 - \beta)(W - W^\top), \quad y = T(W) x + b $$

    With beta = 1 the operator is symmetric, with beta = 0 skew: then $x' = T(W) x$
    keeps |x|, and so does the implicit midpoint rule, exactly.

    **Shapes:** those of `layer`, which maps a space to itself.
    **Arguments:**
    - `layer`: a `Convolution`, or any linear layer or convolution with a field
      `weight`, `"size size"` or `"channel channel *window"` (a convolution: one group,
      stride 1, odd windows, padding that keeps the size, with zeros or around); all
      else about it stays as it is.
    - `beta`: the blend, usually in [0, 1]; `learn`: whether it is trained.

    **Raises:** `ShapeError` for a weight that maps a space to another; `ConfigError`
    for another kind of layer, a convolution that is not such, or a beta that is not
    finite.
    **Source:** Haber, Ruthotto 2017, section 3 (skew layers); the blend is equation 4
    of the talk that went with Queiruga et al., Continuous-in-depth neural networks,
    2020.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.nn import SymmetricMix
    >>> layer = eqx.nn.Linear(3, 3, use_bias=False, key=jax.random.key(0))
    >>> skew = SymmetricMix(layer, 0.0)
    >>> x = jnp.array([1.0, -2.0, 0.5])
    >>> abs(float(x @ skew(x))) < 1e-6
    True

    ```
    """

    source: ClassVar[Source] = Source("Haber2017", "section 3")

    layer: Any
    beta: Float[Array, ""] | HeldNumber

    def __init__(self, layer: Any, beta: float, *, learn: bool = False) -> None:
        _check(layer, beta)
        value = jnp.asarray(beta, layer.weight.dtype)
        self.layer = layer
        self.beta = value if learn else HeldNumber(value)

    @property
    def weight(self) -> Array:
        """T(W), the weight that is used."""
        beta = self.beta.value if isinstance(self.beta, HeldNumber) else self.beta
        return _unordered(self.layer, symmetric_mix(_ordered(self.layer), beta))

    def __call__(self, x: Array) -> Array:
        """The layer's value with the blended weight."""
        return eqx.tree_at(lambda layer: layer.weight, self.layer, self.weight)(x)


def _ordered(layer: Any) -> Array:
    """The weight with its channels in front; ours have them behind."""
    weight = layer.weight
    return jnp.transpose(weight, (3, 2, 0, 1)) if _is_ours(layer) else weight


def _unordered(layer: Any, weight: Array) -> Array:
    return jnp.transpose(weight, (2, 3, 1, 0)) if _is_ours(layer) else weight


def _is_ours(layer: Any) -> bool:
    return isinstance(layer, Convolution)


# layers whose weight is no matrix that the input is multiplied with
_OTHERS = (
    eqx.nn.BatchNorm,
    eqx.nn.Embedding,
    eqx.nn.GroupNorm,
    eqx.nn.LayerNorm,
    eqx.nn.RMSNorm,
)


def _check(layer: Any, beta: float) -> None:
    """Refuse what has no adjoint of its own kind."""
    if not math.isfinite(beta):
        raise ConfigError(f"SymmetricMix: beta is {beta}; it must be finite.")
    if getattr(layer, "weight", None) is None or isinstance(layer, _OTHERS):
        raise ConfigError(
            f"SymmetricMix: a {type(layer).__name__} has no weight that its input is "
            "multiplied with. Give a linear layer or a convolution."
        )
    if getattr(layer, "groups", 1) != 1:
        raise ConfigError(
            f"SymmetricMix: the convolution has {layer.groups} groups, whose kernels "
            "cannot be transposed as one. Give groups=1."
        )
    weight = _ordered(layer)
    if weight.ndim < 2 or weight.shape[0] != weight.shape[1]:
        raise ShapeError(
            f"SymmetricMix: the weight {weight.shape} maps a space to another one, "
            "and its transpose cannot be added. Give a layer with as many outputs as "
            "inputs."
        )
    even = [size for size in weight.shape[2:] if size % 2 == 0]
    if even:
        raise ConfigError(
            f"SymmetricMix: a window of {even[0]} has no middle, so that its transpose "
            "is shifted. Give odd windows."
        )
    stride = getattr(layer, "stride", 1)
    strides = stride if isinstance(stride, tuple) else (stride,)
    if any(s != 1 for s in strides):
        raise ConfigError(
            f"SymmetricMix: the stride is {stride}; the operator then maps to another "
            "space. Give stride 1."
        )
    _check_border(layer, weight.shape[2:])


def _check_border(layer: Any, window: tuple[int, ...]) -> None:
    """Refuse a convolution that changes the size or mirrors what is at the border."""
    mode = getattr(layer, "padding_mode", "ZEROS")
    if mode not in ("ZEROS", "CIRCULAR"):
        raise ConfigError(
            f"SymmetricMix: padding_mode is {mode}, whose transpose is no convolution. "
            'Give "ZEROS" or "CIRCULAR".'
        )
    padding = getattr(layer, "padding", "SAME")
    spread = getattr(layer, "dilation", 1)
    spread = spread if isinstance(spread, tuple) else (spread,) * len(window)
    keeps = tuple(2 * (d * (k // 2),) for k, d in zip(window, spread, strict=True))
    if padding not in ("SAME", "SAME_LOWER", keeps):
        raise ConfigError(
            f"SymmetricMix: the padding {padding} does not keep the size, so that the "
            'operator maps to another space. Give padding="SAME".'
        )
