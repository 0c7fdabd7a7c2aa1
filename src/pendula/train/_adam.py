"""First-order training steps: any loss, any Optax transform, any ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._tree import all_finite
from ._run import Info, Step
from ._state import TrainState


Loss = Callable[[Any, Any, PRNGKeyArray], Float[Array, ""]]
Estimator = Callable[[Loss, Any, Any, PRNGKeyArray], tuple[Float[Array, ""], Any]]


def plain_gradient(
    loss: Loss, params: Any, batch: Any, key: PRNGKeyArray
) -> tuple[Float[Array, ""], Any]:
    """Value and gradient by reverse mode: the estimator that others replace."""
    return jax.value_and_grad(loss)(params, batch, key)


def adam_cosine(
    lr: float, num_steps: int, *, clip: float = 1.0, warmup: int = 0
) -> optax.GradientTransformation:
    """Adam with gradient-norm clipping and a cosine schedule to 1 % of `lr`."""
    schedule = optax.warmup_cosine_decay_schedule(
        lr if warmup == 0 else 0.1 * lr,
        lr,
        warmup,
        max(num_steps, warmup + 1),
        0.01 * lr,
    )
    return optax.chain(optax.clip_by_global_norm(clip), optax.adam(schedule))


def gradient_step(
    loss: Callable[[Any, Any, PRNGKeyArray], Any],
    transform: optax.GradientTransformation,
    *,
    estimator: Estimator = plain_gradient,
    members: int | None = None,
    apart: bool = False,
    inner: int = 1,
    lowest: bool = False,
    statistics: bool = False,
) -> Step:
    """A jitted step for `train.run`.

    **Arguments:**
    - `loss`: `loss(params, batch, key) -> scalar`; it draws its own minibatch.
    - `estimator`: gives value and gradient (plain, sharpness-aware, ...).
    - `members`: size of the ensemble on the leading axis of `params`, trained
      together by `vmap` and apart in everything else; None for a single model.
    - `apart`: each member has a batch of its own, on a leading axis of `batch`.
    - `inner`: updates per call, scanned (saves dispatch on small models).
    - `lowest`: keep the parameters of the lowest loss as the best ones, each loss
      taken as its score; for a single model, one update per call.
    - `statistics`: `params` are a pair (trained, running statistics), and `loss` gives
      (scalar, next statistics): those are carried along, not descended on. The
      optimiser's state is then that of the trained ones alone, the estimator plain.

    A step whose loss or gradient is not finite is not applied and counted.
    """

    def update(
        params: Any, opt: Any, bad: Array, batch: Any, key: PRNGKeyArray
    ) -> tuple:
        running = None
        if statistics:
            params, running = params
            whole = lambda p: loss((p, running), batch, key)
            (value, after), grads = jax.value_and_grad(whole, has_aux=True)(params)
        else:
            value, grads = estimator(loss, params, batch, key)
            after = None
        good = jnp.isfinite(value) & all_finite(grads)
        # Optax mixes its int32 counter with Python floats.
        with jax.numpy_dtype_promotion("standard"):
            updates, new_opt = transform.update(grads, opt, params)
            new = optax.apply_updates(params, updates)
        keep = lambda a, b: jnp.where(good, a, b)
        params = jax.tree.map(keep, new, params)
        opt = jax.tree.map(keep, new_opt, opt)
        norm = optax.tree_utils.tree_norm(grads)
        if statistics:
            params = (params, jax.tree.map(keep, after, running))
        return params, opt, jnp.where(good, 0, bad + 1), value, norm

    def once(carry: tuple, _: Any, batch: Any) -> tuple[tuple, tuple]:
        params, opt, bad, key, step = carry
        sub = jax.random.fold_in(key, step)
        if members is None:
            params, opt, bad, value, norm = update(params, opt, bad, batch, sub)
        else:
            keys = jax.random.split(sub, members)
            params, opt, bad, value, norm = jax.vmap(
                update, in_axes=(0, 0, 0, 0 if apart else None, 0)
            )(params, opt, bad, batch, keys)
        return (params, opt, bad, key, step + 1), (value, norm)

    @jax.jit
    def step(state: TrainState, batch: Any) -> tuple[TrainState, Info]:
        carry = (state.params, state.opt, state.bad, state.key, state.step)
        if inner == 1:
            carry, (value, norm) = once(carry, None, batch)
        else:
            carry, (values, norms) = jax.lax.scan(
                lambda c, x: once(c, x, batch), carry, None, length=inner
            )
            value, norm = values[-1], norms[-1]
        params, opt, bad, key, count = carry
        best, score = state.best, state.score
        if lowest:  # the loss is that of the parameters before the update
            better = value < score
            pick = lambda a, b: jnp.where(better, a, b)
            best = jax.tree.map(pick, state.params, best)
            score = pick(value.astype(score.dtype), score)
        new = TrainState(params, opt, key, best, score, count, bad)
        return new, {"loss": value, "grad_norm": norm}

    return step


def init_opt(
    transform: optax.GradientTransformation, params: Any, members: int | None = None
) -> Any:
    """The optimiser's state, one a member."""
    return (
        transform.init(params) if members is None else jax.vmap(transform.init)(params)
    )
