"""A network whose layers each have their own width."""

from __future__ import annotations

import itertools
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._mlp import activation


@register("module")
class Layers(eqx.Module):
    r"""A fully connected network of given widths, that of coders which narrow.

    $$ h_{l+1} = \sigma(W_l h_l + b_l), \quad y = W_L h_L + b_L $$

    **Shapes and units:** input `"in"`, output `"out"`, without unit; batches by
    `jax.vmap`.
    **Arguments:**
    - `sizes`: widths from the input to the output, at least two.
    - `activation`: a name of `ACTIVATIONS`, or `"relu"`; `last`: that of the output,
      None for none.
    - `key`: random key; weights and biases from U(-1/sqrt(fan), 1/sqrt(fan)).

    **Returns:** the output `"out"`.
    **Raises:** `ConfigError` for sizes or names that cannot be used.
    **Source:** Goodfellow, Bengio, Courville, Deep Learning, 2016, chapter 6.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import Layers
    >>> Layers((5, 4, 2), key=jax.random.key(0))(jnp.ones(5)).shape
    (2,)

    ```
    """

    source: ClassVar[Source] = Source("Goodfellow2016", "chapter 6")

    weights: tuple[Float[Array, "out fan"], ...]
    biases: tuple[Float[Array, " out"], ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    """Widths from the input to the output."""
    activation: str = eqx.field(static=True)
    """Between the layers."""
    last: str | None = eqx.field(static=True)
    """At the output; None for none."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        *,
        activation: str = "tanh",
        last: str | None = None,
        key: PRNGKeyArray,
    ) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigError(
                f"layers of the widths {sizes}; expected at least two, each at least 1."
            )
        _check_names(activation, last)
        self.sizes, self.activation, self.last = tuple(sizes), activation, last
        weights, biases = [], []
        for k, (fan, rows) in enumerate(itertools.pairwise(sizes)):
            first, second = jax.random.split(jax.random.fold_in(key, k))
            limit = fan**-0.5
            weights.append(
                jax.random.uniform(first, (rows, fan), minval=-limit, maxval=limit)
            )
            biases.append(
                jax.random.uniform(second, (rows,), minval=-limit, maxval=limit)
            )
        self.weights, self.biases = tuple(weights), tuple(biases)

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at one input."""
        act = activation(self.activation, kinks=True)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = act(weight @ x + bias)
        x = self.weights[-1] @ x + self.biases[-1]
        return x if self.last is None else activation(self.last)(x)

    def lipschitz_bound(self) -> Float[Array, ""]:
        """The product of the spectral norms: no pair of inputs is stretched by more,
        as long as the slope of the activations is at most 1 (tanh, sin, softplus)."""
        bound = jnp.ones((), self.weights[0].dtype)
        for weight in self.weights:
            bound = bound * jnp.linalg.norm(weight, ord=2)
        return bound


def _check_names(first: str, last: str | None) -> None:
    """Unknown activations are refused before anything is drawn."""
    activation(first, kinks=True)
    if last is not None:
        activation(last)
