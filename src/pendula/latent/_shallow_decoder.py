"""A field from a few sensors: a network of two hidden layers."""

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
from ..nn import BatchNorm, GroupNorm, HeldNumber, NormState


NORMS = ("batch", "layer")


def check_settings(sizes: tuple[int, ...], norm: str, dropout: float) -> None:
    """**Raises:** `ConfigError` for what no decoder can be made of."""
    if min(sizes) < 1 or len(sizes) < 3:
        raise ConfigError(
            f"a decoder of the widths {sizes}; expected a hidden layer, and each at "
            "least 1."
        )
    if norm not in NORMS:
        raise ConfigError(f'norm is "{norm}"; expected {" or ".join(NORMS)}.')
    if not 0.0 <= dropout < 1.0:
        raise ConfigError(f"dropout is {dropout}; it must lie in [0, 1).")


@register("module")
class ShallowDecoder(eqx.Module):
    r"""Readings of a few sensors to a whole field.

    $$ y = W_3\, \nu(\sigma(W_2\, \nu(\sigma(W_1 s + b_1)) + b_2)) + b_3, \quad
       \sigma = \max(0, \cdot) $$

    with a normalisation $\nu$ after each hidden layer.

    **Shapes and units:** readings `"p"`, field `"m"`, both less the training mean;
    batches by `jax.vmap`. A call treats one sample alone: with the batch norm it uses
    the running statistics that training has left, so that no sample depends on others.
    **Arguments:**
    - `sensors`: p; `out`: m; `widths`: of the hidden layers.
    - `norm`: `"batch"`, of each feature over the training snapshots, as published;
      `"layer"`, of each sample over its features, which has no state.
    - `dropout`: share of the first hidden layer that a training step leaves out.
    - `key`: random key; weights and biases from U(-1/sqrt(fan), 1/sqrt(fan)).

    **Raises:** `ConfigError` for sizes or names that cannot be used.
    **Source:** Erichson et al. 2020, section 3 (widths 40 and 45 for the wake).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.latent import ShallowDecoder
    >>> ShallowDecoder(5, 200, key=jax.random.key(0))(jnp.ones(5)).shape
    (200,)

    ```
    """

    source: ClassVar[Source] = Source("Erichson2020", "section 3")

    weights: tuple[Float[Array, "out fan"], ...]
    biases: tuple[Float[Array, " out"], ...]
    norms: tuple[BatchNorm | GroupNorm, ...]
    """After each hidden layer."""
    states: tuple[NormState, ...] | None
    """Running statistics of batch norms."""
    dropout: HeldNumber | None
    """Share of the first hidden layer that is left out."""
    sizes: tuple[int, ...] = eqx.field(static=True)
    """Widths from the sensors to the field."""

    def __init__(
        self,
        sensors: int,
        out: int,
        *,
        widths: tuple[int, ...] = (40, 45),
        norm: str = "batch",
        dropout: float = 0.0,
        key: PRNGKeyArray,
    ) -> None:
        sizes = (sensors, *widths, out)
        check_settings(sizes, norm, dropout)
        self.sizes = sizes
        weights, biases = [], []
        for k, (fan, rows) in enumerate(itertools.pairwise(sizes)):
            first, second = jax.random.split(jax.random.fold_in(key, k))
            limit = fan**-0.5
            draw = lambda key, shape, limit=limit: jax.random.uniform(
                key, shape, minval=-limit, maxval=limit
            )
            weights.append(draw(first, (rows, fan)))
            biases.append(draw(second, (rows,)))
        self.weights, self.biases = tuple(weights), tuple(biases)
        make = {
            "batch": lambda size: BatchNorm(size, inference=True),
            "layer": GroupNorm,
        }[norm]
        self.norms = tuple(make(size) for size in widths)
        self.states = None
        if norm == "batch":
            self.states = tuple(NormState.start(size) for size in widths)
        self.dropout = HeldNumber(jnp.asarray(dropout)) if dropout else None

    def __call__(self, readings: Float[Array, " p"]) -> Float[Array, " m"]:
        """The field of one set of readings."""
        return self.traced(readings, None)[0]

    def traced(
        self, readings: Float[Array, " p"], key: PRNGKeyArray | None
    ) -> tuple[Float[Array, " m"], tuple[NormState, ...] | None]:
        """The field, and the next running statistics; with a key the dropout is on.

        In training batch norms need `jax.vmap(..., axis_name="batch")`.
        """
        x, states = readings, []
        for k, norm in enumerate(self.norms):
            x = jax.nn.relu(self.weights[k] @ x + self.biases[k])
            if isinstance(norm, BatchNorm):
                assert self.states is not None
                x, state = norm(x, self.states[k])
                states.append(state)
            else:
                x, _ = norm(x)
            if k == 0 and self.dropout is not None and key is not None:
                keep = 1.0 - self.dropout.value
                on = jax.random.bernoulli(key, keep, x.shape)
                x = jnp.where(on, x / keep, 0.0)
        out = self.weights[-1] @ x + self.biases[-1]
        return out, tuple(states) if states else None
