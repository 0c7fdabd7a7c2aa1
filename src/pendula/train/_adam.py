"""First-order training steps: any loss, any Optax transform, any ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from .._errors import ConfigError
from .._tree import all_finite
from ._estimator import Estimator, fresh, plain_gradient
from ._run import Info
from ._state import TrainState


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


class GradientStep(eqx.Module):
    """A compiled step for `train.run`: `state, info = step(state, batch)`.

    ```python
    >>> import jax, jax.numpy as jnp, optax
    >>> from pendula.train import TrainState, gradient_step
    >>> step = gradient_step(lambda w, batch, key: jnp.sum(w**2), optax.sgd(0.1))
    >>> opt = optax.sgd(0.1).init(jnp.ones(2))
    >>> state = TrainState.start(jnp.ones(2), opt, jax.random.key(0))
    >>> state, info = step(state, None)
    >>> float(info["loss"]), int(state.step)
    (2.0, 1)

    ```
    """

    program: Callable[..., tuple[TrainState, Info]] = eqx.field(static=True)
    estimator: Any

    def __call__(self, state: TrainState, batch: Any) -> tuple[TrainState, Info]:
        return self.program(eqx.filter(self.estimator, eqx.is_array), state, batch)

    def having(self, estimator: Any) -> GradientStep:
        """The step with other numbers in its estimator; nothing is compiled again.

        **Raises:** `ConfigError` for an estimator of another kind.
        """
        mine, other = (
            eqx.partition(e, eqx.is_array) for e in (self.estimator, estimator)
        )
        same = jax.tree.structure(mine[0]) == jax.tree.structure(other[0])
        if not (same and eqx.tree_equal(mine[1], other[1])):
            raise ConfigError(
                f"the estimator of this step is {self.estimator}, the new one "
                f"{estimator}; only its numbers may differ. Make another step with "
                "gradient_step."
            )
        return GradientStep(self.program, estimator)


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
) -> GradientStep:
    """A jitted step for `train.run`.

    **Arguments:**
    - `loss`: `loss(params, batch, key) -> scalar`; it draws its own minibatch.
    - `transform`: of Optax. One that takes more than the gradient
      (`GradientTransformationExtraArgs`) is given `value`, `grad`,
      `value_fn(params)`, `value_and_grad_fn(params)`, both exact and on the batch and
      key of this step, and that `key`.
    - `estimator`: an `AbstractEstimator`, or a function of its call (plain,
      sharpness-aware, ...). It sees the step number.
    - `members`: size of the ensemble on the leading axis of `params`, trained
      together by `vmap` and apart in everything else; None for a single model.
    - `apart`: each member has a batch of its own, on a leading axis of `batch`.
    - `inner`: updates per call, scanned (saves dispatch on small models).
    - `lowest`: keep the parameters of the lowest loss as the best ones, each loss
      taken as its score; for a single model, one update per call.
    - `statistics`: `params` are a pair (trained, running statistics), and `loss` gives
      (scalar, next statistics): those are carried along, not descended on. The
      optimiser's state is then that of the trained ones alone; the estimator is shown
      the statistics, and its auxiliary output are the next ones.

    **Returns:** a `GradientStep`.

    A step whose loss or gradient is not finite is not applied and counted.
    """
    _, fixed = eqx.partition(estimator, eqx.is_array)
    extra = isinstance(transform, optax.GradientTransformationExtraArgs)

    def update(
        params: Any, opt: Any, bad: Array, batch: Any, key: PRNGKeyArray, own: tuple
    ) -> tuple:
        numbers, step = own
        running = None
        if statistics:
            params, running = params

        def whole(params: Any, batch: Any, key: PRNGKeyArray) -> tuple[Array, Any]:
            if statistics:
                return loss((params, fresh(running)), batch, key)
            return loss(params, batch, key), None

        estimate: Any = eqx.combine(numbers, fixed)
        (value, after), grads = estimate(whole, params, batch, key, step, running)
        good = jnp.isfinite(value) & all_finite(grads)
        asked: list[Any] = []  # by a transform that looks at the loss itself

        def exact(params: Any) -> tuple[Array, Any]:
            asked.append(params)
            return jax.value_and_grad(lambda p: whole(p, batch, key)[0])(params)

        more: dict[str, Any] = {}
        if extra:
            value_fn = lambda p: exact(p)[0]
            more = {"value": value, "grad": grads, "value_fn": value_fn, "key": key}
            more |= {"value_and_grad_fn": exact, "statistics": fresh(running)}
        # Optax mixes its int32 counter with Python floats.
        with jax.numpy_dtype_promotion("standard"):
            updates, new_opt = transform.update(grads, opt, params, **more)
            new = optax.apply_updates(params, updates)
        if asked:  # it may have seen what is not finite
            good &= all_finite(new)
        keep = lambda a, b: jnp.where(good, a, b)
        params = jax.tree.map(keep, new, params)
        opt = jax.tree.map(keep, new_opt, opt)
        norm = optax.tree_utils.tree_norm(grads)
        if statistics:
            params = (params, jax.tree.map(keep, after, running))
        return params, opt, jnp.where(good, 0, bad + 1), value, norm

    def once(carry: tuple, numbers: Any, batch: Any) -> tuple[tuple, tuple]:
        params, opt, bad, key, step = carry
        sub = jax.random.fold_in(key, step)
        own = (numbers, step)
        if members is None:
            params, opt, bad, value, norm = update(params, opt, bad, batch, sub, own)
        else:
            keys = jax.random.split(sub, members)
            params, opt, bad, value, norm = jax.vmap(
                update, in_axes=(0, 0, 0, 0 if apart else None, 0, None)
            )(params, opt, bad, batch, keys, own)
        return (params, opt, bad, key, step + 1), (value, norm)

    @jax.jit
    def program(numbers: Any, state: TrainState, batch: Any) -> tuple[TrainState, Info]:
        carry = (state.params, state.opt, state.bad, state.key, state.step)
        if inner == 1:
            carry, (value, norm) = once(carry, numbers, batch)
        else:
            carry, (values, norms) = jax.lax.scan(
                lambda c, _: once(c, numbers, batch), carry, None, length=inner
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

    return GradientStep(program, estimator)


def init_opt(
    transform: optax.GradientTransformation, params: Any, members: int | None = None
) -> Any:
    """The optimiser's state, one a member."""
    return (
        transform.init(params) if members is None else jax.vmap(transform.init)(params)
    )
