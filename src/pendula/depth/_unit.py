"""What stands on the right of a block: residual units (x, state) -> (r, state)."""

from __future__ import annotations

import abc
import math
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least, choice
from .._errors import ConfigError, nearest
from .._registry import register
from .._source import Source
from ..nn import BatchNorm, Convolution, GroupNorm, activation


Norm = Literal["batch", "group", "layer"]
Order = Literal["pre", "post"]


class AbstractUnit(eqx.Module):
    """A residual unit R(x, state) -> (r, state) of one sample. A block takes any
    module that is called so; those here can also draw themselves anew."""

    @abc.abstractmethod
    def __call__(self, x: Array, state: Any) -> tuple[Array, Any]:
        """The residual and the next state."""

    @abc.abstractmethod
    def redraw(self, key: PRNGKeyArray) -> Any:
        """The same unit with fresh random weights."""

    @abc.abstractmethod
    def initial_state(self) -> Any:
        """The state before any batch; None where there is none."""


def norm_layer(
    norm: str, size: int, *, logarithmic: bool = True, group_size: int = 4
) -> Any:
    """A normalisation of `size` channels: `"batch"` (has a state), `"group"` (groups
    of `group_size` channels, or all where that does not divide them), `"layer"`.

    **Raises:** `ConfigError` for an unknown name.
    """
    if norm == "batch":
        return BatchNorm(size, logarithmic=logarithmic)
    if norm == "group":
        return GroupNorm(size, size // group_size if size % group_size == 0 else 1)
    if norm == "layer":
        return GroupNorm(size)
    known = get_args(Norm)
    raise ConfigError(
        f'norm "{norm}" is unknown.{nearest(norm, known)} Allowed: {", ".join(known)}.'
    )


@register("module")
class DenseUnit(AbstractUnit):
    r"""Two dense layers on a vector; smooth, without state.

    $$ R(x) = W_2\, \sigma(W_1 x + b_1) + b_2 $$

    **Shapes**: x and R `"dim"`. Weights are drawn from N(0, 1 / fan), biases zero.
    **Arguments:** `dim`; `width`: neurons between; `activation`: of `pendula.nn`.
    **Raises:** `ConfigError` for sizes or names that cannot be used.
    **Source:** Goodfellow, Bengio, Courville, Deep Learning, 2016, chapter 6.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit
    >>> r, state = DenseUnit(2, 8, key=jax.random.key(0))(jnp.zeros(2), None)
    >>> r.tolist()
    [0.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Goodfellow2016", "chapter 6")

    weight_in: Float[Array, "*node width dim"]
    bias_in: Float[Array, "*node width"]
    weight_out: Float[Array, "*node dim width"]
    bias_out: Float[Array, "*node dim"]
    activation: str = eqx.field(static=True)
    """Name of the activation."""

    def __init__(
        self, dim: int, width: int, *, activation: str = "tanh", key: PRNGKeyArray
    ) -> None:
        at_least(1, "DenseUnit", dim=dim, width=width)
        first, second = jax.random.split(key)
        self.weight_in = jax.random.normal(first, (width, dim)) / math.sqrt(dim)
        self.weight_out = jax.random.normal(second, (dim, width)) / math.sqrt(width)
        self.bias_in, self.bias_out = jnp.zeros(width), jnp.zeros(dim)
        self.activation = activation
        _known(activation)

    def __call__(
        self, x: Float[Array, " dim"], state: Any = None
    ) -> tuple[Float[Array, " dim"], Any]:
        hidden = activation(self.activation)(self.weight_in @ x + self.bias_in)
        return self.weight_out @ hidden + self.bias_out, state

    def redraw(self, key: PRNGKeyArray) -> DenseUnit:
        width, dim = self.weight_in.shape[-2:]
        return DenseUnit(dim, width, activation=self.activation, key=key)

    def initial_state(self) -> None:
        """There is none."""


def _known(name: str) -> None:
    activation(name)  # raises for one that is not


@register("module")
class ConvUnit(AbstractUnit):
    r"""Two 3 x 3 convolutions with normalisation and ReLU.

    $$ \text{pre:}\quad R = K_2 * \sigma(N_2(K_1 * \sigma(N_1(x)))), \qquad
       \text{post:}\quad R = N_2(\sigma(K_2 * N_1(\sigma(K_1 * x + b_1)) + b_2)) $$

    **Shapes**: `"height width in"` to `"rows cols out"`; only with `stride` 1 and as
    many channels out as in it can stand in a block.
    **Arguments:** `order`: `"pre"` or `"post"`; `norm`: `"batch"`, `"group"`,
    `"layer"`; `logarithmic`: how a batch norm keeps its variance.
    **Raises:** `ConfigError` for sizes or names that cannot be used.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389
    ("post"); He, Zhang, Ren, Sun 2016, arXiv:1603.05027, figure 1b ("pre").

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import ConvUnit
    >>> unit = ConvUnit(4, 8, stride=2, norm="group", key=jax.random.key(0))
    >>> unit(jnp.ones((8, 8, 4)), unit.initial_state())[0].shape
    (4, 4, 8)

    ```
    """

    source: ClassVar[Source] = Source("Queiruga2020", "ContinuousNet")

    first: Convolution
    second: Convolution
    first_norm: Any
    second_norm: Any
    order: str = eqx.field(static=True)
    """`"pre"`: normalise before each convolution; `"post"`: after it."""
    norm: str = eqx.field(static=True)
    """Kind of the normalisation."""
    logarithmic: bool = eqx.field(static=True)
    """Whether a batch norm keeps the logarithm of the variance."""

    def __init__(
        self,
        in_size: int,
        out_size: int | None = None,
        *,
        stride: int = 1,
        order: str = "pre",
        norm: str = "batch",
        logarithmic: bool = True,
        key: PRNGKeyArray,
    ) -> None:
        choice("order", order, get_args(Order), "ConvUnit")
        out = in_size if out_size is None else out_size
        first, second = jax.random.split(key)
        bias = order == "post"
        self.first = Convolution(in_size, out, stride=stride, use_bias=bias, key=first)
        self.second = Convolution(out, out, use_bias=bias, key=second)
        sizes = (in_size, out) if order == "pre" else (out, out)
        self.first_norm, self.second_norm = (
            norm_layer(norm, size, logarithmic=logarithmic) for size in sizes
        )
        self.order, self.norm, self.logarithmic = order, norm, logarithmic

    def __call__(
        self, x: Float[Array, "height width chan"], state: Any
    ) -> tuple[Float[Array, "rows cols out"], Any]:
        one, two = (None, None) if state is None else state
        if self.order == "pre":
            x, one = self.first_norm(x, one)
            x, two = self.second_norm(self.first(jax.nn.relu(x)), two)
            x = self.second(jax.nn.relu(x))
        else:
            x, one = self.first_norm(jax.nn.relu(self.first(x)), one)
            x, two = self.second_norm(jax.nn.relu(self.second(x)), two)
        return x, None if state is None else (one, two)

    def redraw(self, key: PRNGKeyArray) -> ConvUnit:
        in_size, out = self.first.weight.shape[-2:]
        return ConvUnit(
            in_size,
            out,
            stride=self.first.stride,
            order=self.order,
            norm=self.norm,
            logarithmic=self.logarithmic,
            key=key,
        )

    def initial_state(self) -> Any:
        states = (self.first_norm.initial_state(), self.second_norm.initial_state())
        return None if states == (None, None) else states


@register("module")
class SkipInit(AbstractUnit):
    r"""A unit times a number that starts at zero: the block starts as the identity.

    $$ R(x) = \alpha\, R_0(x), \qquad \alpha = 0 \text{ at the start} $$

    In a block $\alpha$ is a function of depth as every other parameter.

    **Shapes**: those of the unit.
    **Source:** De, Smith 2020, arXiv:2002.10444.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, SkipInit
    >>> unit = SkipInit(DenseUnit(2, 8, key=jax.random.key(0)))
    >>> float(jnp.abs(unit(jnp.ones(2), None)[0]).max())
    0.0

    ```
    """

    source: ClassVar[Source] = Source("De2020", "SkipInit")

    unit: Any
    scale: Float[Array, "*node"]

    def __init__(self, unit: Any) -> None:
        self.unit, self.scale = unit, jnp.zeros(())

    def __call__(self, x: Array, state: Any = None) -> tuple[Array, Any]:
        r, state = self.unit(x, state)
        return self.scale.astype(r.dtype) * r, state

    def redraw(self, key: PRNGKeyArray) -> SkipInit:
        return SkipInit(self.unit.redraw(key))

    def initial_state(self) -> Any:
        return self.unit.initial_state()
