"""Gradients from evaluations alone: directional derivatives, layer by layer."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError
from .._source import Source


class ForwardOnly(eqx.Module):
    r"""An estimator of a gradient that evaluates the loss, and never differentiates it.

    $$ \hat g = \frac1K \sum_{k=1}^{K}
       \frac{L(w + \epsilon v_k) - L(w - \epsilon v_k)}{2 \epsilon}\, v_k, \qquad
       v_k \sim \mathcal N(0, I) $$

    Unbiased but for terms of order epsilon squared; the square of its error is about
    that of the gradient times the number of weights over K. The weights are a tuple of
    blocks; each block has its own directions while the others stay as they are, so
    that a sum of losses, each of one block, is told apart.

    **Arguments:** `directions`: K, two evaluations each; `epsilon`.
    **Raises:** `ConfigError`; at the call for weights that are no tuple.
    **Source:** Spall 1992, simultaneous perturbation, with normal directions.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import ForwardOnly
    >>> loss = lambda w, batch, key: (jnp.sum(w[0] ** 2), None)
    >>> w = (jnp.asarray([1.0, -2.0]),)
    >>> (value, _), slope = ForwardOnly(2000)(loss, w, None, jax.random.key(0))
    >>> float(value), slope[0].round(0).tolist()
    (5.0, [2.0, -4.0])

    ```
    """

    source: ClassVar[Source] = Source("Spall1992", "equation 2.2")

    directions: int = eqx.field(static=True)
    """K."""
    epsilon: Array
    """Length of the step."""

    def __init__(self, directions: int = 10, epsilon: float = 1e-3) -> None:
        if directions < 1 or not epsilon > 0.0:
            raise ConfigError(
                f"ForwardOnly: directions is {directions}, epsilon {epsilon}; at least "
                "1 direction and a step above 0 are needed."
            )
        whole(1, "ForwardOnly", directions=directions)
        self.directions, self.epsilon = directions, jnp.asarray(float(epsilon))

    def __call__(
        self,
        loss: Any,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Any = 0,
        statistics: Any = None,
    ) -> tuple[tuple[Array, Any], Any]:
        """The estimate, in the form of `train.gradient_step`."""
        if not isinstance(params, tuple):
            raise ConfigError(
                "ForwardOnly: the weights must be a tuple, one entry a layer; found a "
                f"{type(params).__name__}."
            )
        found = loss(params, batch, key)
        draws = jax.random.fold_in(key, 1)
        keys = jax.random.split(draws, len(params))
        slopes = tuple(
            self._slope(loss, params, index, batch, key, draw)
            for index, draw in enumerate(keys)
        )
        return found, slopes

    def _slope(
        self,
        loss: Any,
        params: tuple,
        index: int,
        batch: Any,
        key: PRNGKeyArray,
        draw: PRNGKeyArray,
    ) -> Any:
        """Of one block."""
        block = params[index]
        leaves, shape = jax.tree.flatten(block)

        def at(direction: list[Array], sign: float) -> Array:
            step = sign * self.epsilon
            moved = [w + step * v for w, v in zip(leaves, direction, strict=True)]
            there = (
                *params[:index],
                jax.tree.unflatten(shape, moved),
                *params[index + 1 :],
            )
            return loss(there, batch, key)[0]

        def one(total: list[Array], k: Array) -> tuple[list[Array], None]:
            keys = jax.random.split(jax.random.fold_in(draw, k), len(leaves))
            direction = [
                jax.random.normal(key, w.shape, w.dtype)
                for key, w in zip(keys, leaves, strict=True)
            ]
            slope = (at(direction, 1.0) - at(direction, -1.0)) / (2.0 * self.epsilon)
            return [t + slope * v for t, v in zip(total, direction, strict=True)], None

        start = [jnp.zeros_like(w) for w in leaves]
        total, _ = jax.lax.scan(one, start, jnp.arange(self.directions))
        return jax.tree.unflatten(shape, [t / self.directions for t in total])
