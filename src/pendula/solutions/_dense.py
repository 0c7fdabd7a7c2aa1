"""One layer of a trial network: affine map and smooth bend, for a batch of points."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._errors import ConfigError, nearest
from .._registry import register
from .._source import Source
from ..nn import HeldNumber, activation as function_of


Init = Literal["uniform", "glorot"]

# The smooth ones that have a rule for jets: softplus and mish have none.
ACTIVATIONS = ("tanh", "sin", "silu", "gelu", "sigmoid")
"""Names of the activations of trial networks."""

FACTOR_SD = 0.1  # spread of s in random weight factorisation, as published


@register("module")
class RowFactor(eqx.Module):
    r"""Each row of a weight matrix has its own trained size.

    $$ W = \mathrm{diag}(e^{s})\, V, \quad s_i \sim N(\mathrm{mean}, 0.1^2) $$

    **Shapes:** s `"out"`.
    **Source:** Wang, Wang, Seidman, Perdikaris 2022 (random weight factorisation).
    """

    source: ClassVar[Source] = Source("Wang2022", "random weight factorisation")

    s: Float[Array, "out"]
    mean: HeldNumber

    @classmethod
    def draw(cls, size: int, mean: float | Array, key: PRNGKeyArray) -> RowFactor:
        """Fresh sizes."""
        held = HeldNumber(jnp.asarray(mean, dtype=float))
        return cls(held.value + FACTOR_SD * jax.random.normal(key, (size,)), held)


@register("module")
class AdaptiveSlope(eqx.Module):
    r"""A trained slope a of an activation, one for a layer: act(n a x).

    It starts at 1/n; n says how fast it is trained and stays.

    **Shapes:** a and n are scalars.
    **Source:** Jagtap, Kawaguchi, Karniadakis 2020 (adaptive activation functions).
    """

    source: ClassVar[Source] = Source("Jagtap2020", "adaptive activation functions")

    a: Float[Array, ""]
    n: HeldNumber

    @classmethod
    def start(cls, n: float | Array) -> AdaptiveSlope:
        """The slope is 1 at the start."""
        held = HeldNumber(jnp.asarray(n, dtype=float))
        return cls(1.0 / held.value, held)


@register("module")
class Dense(eqx.Module):
    r"""A layer of a trial network.

    $$ y = \sigma(n\,a\,(W x + b)), \quad W = V \ \text{or}\ \mathrm{diag}(e^{s})\,V $$

    A layer of Equinox acts on one sample; here all points are one product of matrices,
    and slope and row sizes are multiplied into W, not into each point: jets and slopes
    through the layer then cost no more with them.

    **Shapes and units:** input `"point in"`, output `"point out"`, no unit.
    **Arguments:**
    - `in_size`, `out_size`: >= 1.
    - `activation`: a name of `ACTIVATIONS`, or None for an affine map.
    - `init`: `"uniform"`, V and b from U(-1/sqrt(in), 1/sqrt(in)), or `"glorot"`, V
      from a normal law of variance 2/(in + out) cut at two deviations, b = 0.
    - `factor_mean`: mean of s; None: W = V. Usual: 0.5 or 1. W is drawn first, so that
      the layer starts as it would without.
    - `adaptive`: n > 0 of a trained slope a, which starts at 1/n; None: n a = 1.
    - `key`: random key.

    **Returns:** the values in the dtype of the weights.
    **Raises:** `ConfigError` for sizes, names or numbers that cannot be used.
    **Source:** Goodfellow, Bengio, Courville 2016, chapter 6; `"glorot"`: Glorot,
    Bengio 2010, equation 16; s and a: see `RowFactor`, `AdaptiveSlope`.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Dense
    >>> layer = Dense(2, 3, "tanh", factor_mean=1.0, key=jax.random.key(0))
    >>> layer(jnp.zeros((5, 2))).shape
    (5, 3)

    ```
    """

    source: ClassVar[Source] = Source("Goodfellow2016", "chapter 6")

    weight: Float[Array, "out in"]
    bias: Float[Array, "out"]
    factor: RowFactor | None
    slope: AdaptiveSlope | None
    activation: str | None = eqx.field(static=True)
    """Name of the activation; None: an affine map."""
    init: str = eqx.field(static=True)
    """How the weights were drawn."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        activation: str | None = None,
        *,
        init: str = "glorot",
        factor_mean: float | None = None,
        adaptive: float | None = None,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "Dense", in_size=in_size, out_size=out_size)
        _check(activation, init, factor_mean, adaptive)
        self.activation, self.init = activation, init
        factor = None if factor_mean is None else jnp.asarray(factor_mean, dtype=float)
        drawn = _draw(in_size, out_size, init, factor, key)
        self.weight, self.bias, self.factor = drawn
        self.slope = None
        if adaptive is not None and activation is not None:
            self.slope = AdaptiveSlope.start(adaptive)

    @property
    def matrix(self) -> Float[Array, "out in"]:
        """W."""
        if self.factor is None:
            return self.weight
        return jnp.exp(self.factor.s)[:, None] * self.weight

    def __call__(self, x: Float[Array, "point in"]) -> Float[Array, "point out"]:
        """The values at each point."""
        weight, bias = self.matrix, self.bias
        if self.slope is not None:
            steep = self.slope.n.value * self.slope.a
            weight, bias = steep * weight, steep * bias
        y = x @ weight.T + bias[None, :]
        return y if self.activation is None else function_of(self.activation)(y)

    def with_matrix(
        self, matrix: Float[Array, "out in"], bias: Float[Array, "out"]
    ) -> Dense:
        """The same layer with that W and b; row sizes stay."""
        if self.factor is not None:
            matrix = matrix * jnp.exp(-self.factor.s)[:, None]
        return eqx.tree_at(lambda d: (d.weight, d.bias), self, (matrix, bias))

    def redraw(self, key: PRNGKeyArray) -> Dense:
        """The same layer with fresh random weights, drawn as at the start."""
        rows, fan = self.weight.shape
        mean = None if self.factor is None else self.factor.mean.value
        slope = None if self.slope is None else AdaptiveSlope.start(self.slope.n.value)
        new = (*_draw(fan, rows, self.init, mean, key), slope)
        where = lambda d: (d.weight, d.bias, d.factor, d.slope)
        return eqx.tree_at(where, self, new, is_leaf=lambda x: x is None)


def _draw(
    fan: int, rows: int, init: str, mean: Array | None, key: PRNGKeyArray
) -> tuple[Array, Array, RowFactor | None]:
    """Fresh weights, biases and row sizes; W does not depend on the row sizes."""
    key_weight, key_bias, key_rows = (jax.random.fold_in(key, i) for i in range(3))
    if init == "glorot":
        draw = jax.nn.initializers.glorot_normal(in_axis=-1, out_axis=-2)
        weight, bias = draw(key_weight, (rows, fan)), jnp.zeros(rows)
    else:
        limit = 1.0 / math.sqrt(fan)
        uniform = lambda k, shape: jax.random.uniform(
            k, shape, minval=-limit, maxval=limit
        )
        weight, bias = uniform(key_weight, (rows, fan)), uniform(key_bias, (rows,))
    if mean is None:
        return weight, bias, None
    factor = RowFactor.draw(rows, mean, key_rows)
    return weight * jnp.exp(-factor.s)[:, None], bias, factor


def _check(
    activation: str | None,
    init: str,
    factor_mean: float | None,
    adaptive: float | None,
) -> None:
    """Refuse names and numbers before anything is drawn."""
    if activation is not None and activation not in ACTIVATIONS:
        raise ConfigError(
            f'activation "{activation}" cannot be used in a trial network.'
            f"{nearest(activation, ACTIVATIONS)} Allowed, since they have derivatives "
            f"of every order: {', '.join(ACTIVATIONS)}."
        )
    choice("init", init, get_args(Init))
    kinds = (int, float, np.number)
    finite = lambda value: isinstance(value, kinds) and math.isfinite(value)
    if factor_mean is not None and not finite(factor_mean):
        raise ConfigError(
            f"factor_mean is {factor_mean!r}; it must be finite. Give 0.5 or 1."
        )
    if adaptive is not None and not (finite(adaptive) and adaptive > 0.0):
        raise ConfigError(
            f"adaptive is {adaptive!r}; n of a trained slope must be finite and "
            "positive. Give 1 to 10, or None for no trained slope."
        )
