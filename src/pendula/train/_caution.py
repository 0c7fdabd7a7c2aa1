"""A training that gets worse goes back to its best and takes half the step."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from ._run import AbstractCallback, Info
from ._state import TrainState


class HalvedState(eqx.Module):
    """State of `halvable`: that of the inner transform, the `halvings` so far, how
    many checks in a row were worse than the one before (`rises`), and its `score`."""

    inner: Any
    halvings: Int[Array, ""]
    rises: Int[Array, ""]
    score: Float[Array, ""]


def halvable(transform: optax.GradientTransformation) -> optax.GradientTransformation:
    r"""A transform whose updates can be halved while it runs, by `Cautious`.

    $$ \Delta\theta = 2^{-k}\, \Delta\theta_{inner} $$

    ```python
    >>> import jax.numpy as jnp, optax
    >>> from pendula.train import halvable
    >>> transform = halvable(optax.sgd(0.1))
    >>> updates, _ = transform.update(jnp.ones(1), transform.init(jnp.zeros(1)))
    >>> print(updates)
    [-0.1]

    ```
    """

    whole = optax.with_extra_args_support(transform)

    def init(params: Any) -> Any:
        none = jnp.zeros((), jnp.int32)
        return HalvedState(whole.init(params), none, none, jnp.asarray(jnp.inf))

    def update(
        updates: Any, state: Any, params: Any = None, **extra: Any
    ) -> tuple[Any, Any]:
        updates, inner = whole.update(updates, state.inner, params, **extra)
        share = lambda u: u * jnp.exp2(-state.halvings.astype(u.dtype))
        new = eqx.tree_at(lambda s: s.inner, state, inner)
        return jax.tree.map(share, updates), new

    return optax.GradientTransformationExtraArgs(init, update)


class Cautious(AbstractCallback):
    """Restores the best parameters and halves the step when the score rose at
    `patience` checks in a row, or loss or gradient were not finite at the last step.

    For a single model whose optimiser is `halvable`, behind `KeepBest` (which gives
    the score); the counts live in the optimiser's state, so that a resumed run is the
    same. After `most` halvings it leaves the training alone.
    """

    def __init__(self, patience: int = 5, most: int = 10) -> None:
        self.patience, self.most = patience, most

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        opt: HalvedState = state.opt
        score = float(np.asarray(row["validation"]))
        lost = int(state.bad) > 0
        worse = not score <= float(opt.score)  # a score that is not finite is worse
        rises = int(opt.rises) + 1 if worse else 0
        back = lost or rises >= self.patience or not np.isfinite(score)
        row["halvings"] = int(opt.halvings)
        if back and int(opt.halvings) < self.most:
            row["halvings"] += 1
            rises, score = 0, np.inf
            where = lambda s: (s.params, s.bad)  # the best are the first ones at first
            found = (state.best, jnp.zeros_like(state.bad))
            state = eqx.tree_at(where, state, found)
        opt = HalvedState(
            opt.inner,
            jnp.asarray(row["halvings"], jnp.int32),
            jnp.asarray(rises, jnp.int32),
            jnp.asarray(score, opt.score.dtype),
        )
        return eqx.tree_at(lambda s: s.opt, state, opt)


def halvings(state: TrainState) -> int:
    """How often the step of a training was halved."""
    return int(state.opt.halvings) if isinstance(state.opt, HalvedState) else 0
