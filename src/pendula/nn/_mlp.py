"""The multilayer perceptron: the default network in every learned slot."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._registry import register
from .._source import Source


Activation = Callable[[Array], Array]
Init = Literal["uniform", "lecun"]

ACTIVATIONS: dict[str, Activation] = {
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "mish": jax.nn.mish,
    "sigmoid": jax.nn.sigmoid,
    "sin": jnp.sin,
}
"""Name -> function. Smooth ones only: a field with kinks spoils the order of every
integrator, and second derivatives are needed for curvature."""
KINKED: dict[str, Activation] = {"relu": jax.nn.relu}
"""Those with kinks, for networks that are no fields (classifiers)."""

# From this depth on the hidden layers run under a scan: compile time then no
# longer grows with depth; below it, unrolled code runs faster.
_SCAN_FROM = 5


def activation(name: str, *, kinks: bool = False) -> Activation:
    """The smooth activation of that name; with `kinks` also one of `KINKED`.

    **Raises:** `ConfigError` with the nearest name.

    ```python
    >>> from pendula.nn import activation
    >>> float(activation("tanh")(0.0))
    0.0

    ```
    """
    allowed = {**ACTIVATIONS, **KINKED} if kinks else ACTIVATIONS
    choice("activation", name, allowed)
    return allowed[name]


@register("module")
class MLP(eqx.Module):
    r"""A fully connected network with smooth activations.

    $$ h_1 = \sigma(W_1 x + b_1), \quad h_{l+1} = \sigma(W_{l+1} h_l + b_{l+1}),
       \quad y = W_{out} h_{depth} + b_{out} $$

    **Shapes and units**: input `"in"`, output `"out"`, both without unit; batches
    by `jax.vmap`. The hidden layers are stored stacked, `"layer width width"` with
    `layer = depth - 1`, and run under a scan from depth 5 on.
    **Arguments:**
    - `in_size`, `out_size`: >= 1.
    - `width`: neurons per hidden layer, >= 1; `depth`: hidden layers, >= 0 (`0` is
      one affine map and ignores `width`).
    - `activation`: a name of `ACTIVATIONS`.
    - `use_bias`: False gives f(0) = 0 for an activation with f(0) = 0.
    - `init`: `"uniform"`, weights and biases from U(-1/sqrt(fan), 1/sqrt(fan)) of
      the layer's inputs, or `"lecun"`, weights from N(0, 1/fan), biases zero.
    - `zero_last`: the last layer starts at zero, so that the network starts as the
      zero function and a known term starts alone.
    - `key`: random key; every layer uses its own folded stream.

    **Returns:** the output `"out"`, in the dtype of the weights.
    **Raises:** `ConfigError` for sizes or names that cannot be used.
    **Good values:** 2 hidden layers of 64 tanh; bias-free tanh for odd functions.
    **Source:** Goodfellow, Bengio, Courville, Deep Learning, 2016, chapter 6;
    `"lecun"`: LeCun et al., Efficient BackProp, 1998, section 4.6.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import MLP
    >>> net = MLP(2, 3, width=8, depth=2, key=jax.random.key(0), zero_last=True)
    >>> net(jnp.ones(2)).tolist()
    [0.0, 0.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Goodfellow2016", "chapter 6")
    stacked: ClassVar[tuple[str, ...]] = ("weight_hidden", "bias_hidden")

    weight_in: Float[Array, "width in"] | None
    bias_in: Float[Array, " width"] | None
    weight_hidden: Float[Array, "layer width width"] | None
    bias_hidden: Float[Array, "layer width"] | None
    weight_out: Float[Array, "out fan"]
    bias_out: Float[Array, " out"] | None
    in_size: int = eqx.field(static=True)
    """Number of inputs."""
    out_size: int = eqx.field(static=True)
    """Number of outputs."""
    width: int = eqx.field(static=True)
    """Neurons per hidden layer."""
    depth: int = eqx.field(static=True)
    """Number of hidden layers."""
    activation: str = eqx.field(static=True)
    """Name of the activation."""
    use_bias: bool = eqx.field(static=True)
    """Whether the layers have biases."""
    init: str = eqx.field(static=True)
    """How the weights were drawn, `"uniform"` or `"lecun"`."""
    zero_last: bool = eqx.field(static=True)
    """Whether the last layer started at zero."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        width: int = 64,
        depth: int = 2,
        *,
        activation: str = "tanh",
        use_bias: bool = True,
        init: str = "uniform",
        zero_last: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        _check(in_size, out_size, width, depth, activation, init)
        self.in_size, self.out_size = in_size, out_size
        self.width, self.depth = width, depth
        self.activation, self.use_bias = activation, use_bias
        self.init, self.zero_last = init, zero_last
        keys = jax.random.split(key, depth + 1)

        def layer(index: int, fan: int, rows: int) -> tuple[Array, Array | None]:
            return _layer(keys[index], fan, rows, init, use_bias)

        self.weight_in = self.bias_in = None
        self.weight_hidden = self.bias_hidden = None
        fan = in_size
        if depth > 0:
            self.weight_in, self.bias_in = layer(0, in_size, width)
            fan = width
        if depth > 1:
            inner = [layer(i, width, width) for i in range(1, depth)]
            self.weight_hidden = jnp.stack([w for w, _ in inner])
            if use_bias:
                self.bias_hidden = jnp.stack([b for _, b in inner if b is not None])
        last = layer(depth, fan, out_size)
        if zero_last:
            last = jax.tree.map(jnp.zeros_like, last)
        self.weight_out, self.bias_out = last

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at one input."""
        act = activation(self.activation)
        if self.weight_in is not None:
            x = act(_affine(self.weight_in, self.bias_in, x))
        if self.weight_hidden is not None:
            weights, biases = self.weight_hidden, self.bias_hidden
            one = lambda h, wb: (act(_affine(wb[0], wb[1], h)), None)
            if self.depth >= _SCAN_FROM:
                x, _ = jax.lax.scan(one, x, (weights, biases))
            else:
                for i in range(self.depth - 1):
                    x, _ = one(x, (weights[i], None if biases is None else biases[i]))
        return _affine(self.weight_out, self.bias_out, x)

    def redraw(self, key: PRNGKeyArray) -> MLP:
        """The same network with fresh random weights, drawn as at the start."""
        return MLP(
            self.in_size,
            self.out_size,
            self.width,
            self.depth,
            activation=self.activation,
            use_bias=self.use_bias,
            init=self.init,
            zero_last=self.zero_last,
            key=key,
        )


def _affine(weight: Array, bias: Array | None, x: Array) -> Array:
    """W x + b."""
    out = weight @ x
    return out if bias is None else out + bias


def _layer(
    key: PRNGKeyArray, fan: int, rows: int, init: str, use_bias: bool
) -> tuple[Array, Array | None]:
    """Fresh weights and biases of one layer with ``fan`` inputs."""
    key_weight, key_bias = jax.random.split(key)
    limit = 1.0 / math.sqrt(fan)
    if init == "lecun":
        weight = limit * jax.random.normal(key_weight, (rows, fan))
        return weight, jnp.zeros(rows) if use_bias else None
    draw = lambda k, shape: jax.random.uniform(k, shape, minval=-limit, maxval=limit)
    weight = draw(key_weight, (rows, fan))
    return weight, draw(key_bias, (rows,)) if use_bias else None


def _check(
    in_size: int, out_size: int, width: int, depth: int, act: str, init: str
) -> None:
    """Refuse sizes and names before anything is allocated."""
    least = {"in_size": (in_size, 1), "out_size": (out_size, 1), "depth": (depth, 0)}
    if depth:
        least["width"] = (width, 1)
    for name, (value, low) in least.items():
        whole(low, "MLP", **{name: value})
    activation(act)
    choice("init", init, get_args(Init), "MLP")
