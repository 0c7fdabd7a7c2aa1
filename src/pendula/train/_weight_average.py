"""The running mean of the weights along a training."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from .._checks import whole
from .._errors import ConfigError


class AverageState(eqx.Module):
    """State of `swa`: that of the base, the mean, how many weights are in it, and the
    steps done."""

    base: Any
    mean: Any
    taken: Int[Array, ""]
    count: Int[Array, ""]


def swa(
    base: optax.GradientTransformation, start: int, every: int = 1
) -> optax.GradientTransformationExtraArgs:
    r"""A transform that also keeps the mean of the weights after every `every`-th step
    from step `start` on.

    $$ \bar w \leftarrow \frac{n \bar w + w}{n + 1} $$

    Training goes on as without; `averaged` gives the mean. Batch norms need their
    statistics estimated anew for it.

    **Raises:** `ConfigError`.
    **Source:** Izmailov et al. 2018, arXiv:1803.05407, algorithm 1.

    ```python
    >>> import jax.numpy as jnp, optax
    >>> from pendula.train import averaged, swa
    >>> transform = swa(optax.sgd(1.0), start=0)
    >>> w = jnp.asarray([4.0])
    >>> state = transform.init(w)
    >>> for _ in range(3):  # 3, 2, 1
    ...     updates, state = transform.update(jnp.ones(1), state, w)
    ...     w = w + updates
    >>> float(averaged(state)[0])
    2.0

    ```
    """
    whole(0, "swa", start=start)
    whole(1, "swa", every=every)
    behind = optax.with_extra_args_support(base)

    def init(params: Any) -> AverageState:
        zero = jnp.zeros((), jnp.int32)
        return AverageState(behind.init(params), params, zero, zero)

    def update(
        updates: Any, state: AverageState, params: Any = None, **more: Any
    ) -> tuple[Any, AverageState]:
        if params is None:
            raise ConfigError(
                "swa needs the parameters: update(updates, state, params)."
            )
        updates, inner = behind.update(updates, state.base, params, **more)
        new = optax.apply_updates(params, updates)
        count = state.count + 1
        due = (count > start) & ((count - start - 1) % every == 0)
        taken = state.taken + due.astype(jnp.int32)

        def follow(mean: Array, w: Array) -> Array:
            share = 1.0 / jnp.maximum(taken, 1).astype(w.dtype)
            # before any is taken the mean is the last weights
            fresh = jnp.where(taken == 0, w, mean)
            return jnp.where(due, mean + share * (w - mean), fresh)

        mean = jax.tree.map(follow, state.mean, new)
        return updates, AverageState(inner, mean, taken, count)

    return optax.GradientTransformationExtraArgs(init, update)  # type: ignore[arg-type]  # `params` is required here


def averaged(opt_state: Any) -> Any:
    """The mean that `swa` keeps in the state of an optimiser.

    **Raises:** `ConfigError` for a state without one.
    """
    is_mine = lambda node: isinstance(node, AverageState)
    for node in jax.tree.leaves(opt_state, is_leaf=is_mine):
        if is_mine(node):
            return node.mean
    raise ConfigError("this optimiser keeps no mean of the weights. Wrap it in swa.")
