"""A scalar network with dense shortcuts: every layer sees all that came before it."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least, choice
from .._errors import ConfigError
from .._registry import register
from .._source import Source


BETA = 10.0  # sharpness of softplus
DRAWN = 0.01  # standard deviation of weights at the start, and every bias
KINDS = ("softplus", "relu")


@register("module")
class ShortcutNet(eqx.Module):
    r"""A scalar function of several numbers.

    $$ x_0 = W_0 z + b_0, \quad x_{l+1} = (x_l, \sigma(W_l x_l + b_l)), \quad
       y = w \cdot x_{depth}^2 + c $$

    with $\sigma(v) = \log(1 + e^{10 v})/10$ and the square taken of each entry. Depth
    5, width 32 and 6 inputs have 15 937 parameters. With `rising` the last weights are
    softplus of what is trained: the network then is bounded below by c.

    **Shapes and units:** input `"*lead in"`, output `"*lead"`, without unit: many
    inputs are one matrix product a layer.
    **Arguments:** sizes >= 1; `activation`: `softplus` or `relu`; `squared`: False
    leaves the square out. Weights are drawn from N(0, 0.01^2), biases are 0.01.
    **Raises:** `ConfigError` for sizes that cannot be used, another activation, or
    `rising` without the square.
    **Source:** Wang 2023, section 3.3, and its code.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import ShortcutNet
    >>> net = ShortcutNet(6, key=jax.random.key(0))
    >>> net(jnp.ones((4, 6))).shape, sum(x.size for x in jax.tree.leaves(net))
    ((4,), 15937)

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 3.3")

    first: Float[Array, "width in"]
    first_bias: Float[Array, " width"]
    weights: tuple[Float[Array, "width fan"], ...]
    biases: tuple[Float[Array, " width"], ...]
    last: Float[Array, " fan"]
    last_bias: Float[Array, ""]
    activation: str = eqx.field(static=True)
    squared: bool = eqx.field(static=True)
    rising: bool = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        width: int = 32,
        depth: int = 5,
        *,
        activation: str = "softplus",
        squared: bool = True,
        rising: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        at_least(1, "ShortcutNet", in_size=in_size, width=width, depth=depth)
        choice("activation", activation, KINDS, "ShortcutNet")
        if rising and not squared:
            raise ConfigError("ShortcutNet: rising needs the square: squared=True.")
        draw = lambda k, shape: (
            DRAWN * jax.random.normal(jax.random.fold_in(key, k), shape)
        )
        self.first = draw(0, (width, in_size))
        self.first_bias = jnp.full(width, DRAWN)
        fans = [width * (k + 1) for k in range(depth)]
        self.weights = tuple(draw(k + 1, (width, fan)) for k, fan in enumerate(fans))
        self.biases = tuple(jnp.full(width, DRAWN) for _ in fans)
        last = draw(depth + 1, (width * (depth + 1),))
        # a raw weight of which softplus is about DRAWN
        self.last = last + jnp.log(jnp.expm1(DRAWN)) if rising else last
        self.last_bias = jnp.asarray(DRAWN)
        self.activation, self.squared, self.rising = activation, squared, rising

    @property
    def in_size(self) -> int:
        """Number of inputs."""
        return self.first.shape[-1]

    @property
    def width(self) -> int:
        """Numbers that each layer adds."""
        return self.first.shape[-2]

    @property
    def depth(self) -> int:
        """Number of layers."""
        return len(self.weights)

    def __call__(self, z: Float[Array, "*lead in"]) -> Float[Array, "*lead"]:
        """The value at each input."""
        act = softplus_ten if self.activation == "softplus" else jax.nn.relu
        x = _affine(z, self.first, self.first_bias)
        for w, b in zip(self.weights, self.biases, strict=True):
            x = jnp.concatenate([x, act(_affine(x, w, b))], axis=-1)
        seen = x**2 if self.squared else x
        last = jax.nn.softplus(self.last) if self.rising else self.last
        return seen @ last + self.last_bias

    def redraw(self, key: PRNGKeyArray) -> ShortcutNet:
        """The same network with fresh random weights."""
        return ShortcutNet(
            self.in_size,
            self.width,
            self.depth,
            activation=self.activation,
            squared=self.squared,
            rising=self.rising,
            key=key,
        )


def _affine(x: Array, w: Array, b: Array) -> Array:
    return x @ w.T + b.reshape((1,) * (x.ndim - 1) + (-1,))


@jax.custom_jvp
def softplus_ten(v: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""$\log(1 + e^{10 v}) / 10$. The rule of its slope is its own: value and slope
    share one exponential, the half of what an energy's force costs."""
    return _softplus(v, _tail(v))


def _tail(v: Array) -> Array:
    return jnp.exp(-BETA * jnp.abs(v))


def _softplus(v: Array, tail: Array) -> Array:
    return jnp.maximum(v, 0.0) + jnp.log1p(tail) / BETA


@softplus_ten.defjvp
def _slope(primals: tuple, tangents: tuple) -> tuple:
    (v,), (dv,) = primals, tangents
    tail = _tail(v)
    share = 1.0 / (1.0 + tail)
    return _softplus(v, tail), jnp.where(v >= 0.0, share, 1.0 - share) * dv
