"""L-BFGS with a line search, as a step of the one training loop."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from .._checks import at_least
from .._tree import all_finite
from ._run import Info, Step
from ._state import TrainState


class Halt(enum.IntEnum):
    """Why a step has nothing left to do: the slope is small, or nothing moves."""

    no = 0
    converged = 1
    stalled = 2


class LBFGSState(eqx.Module):
    """Optax' state, and how it goes: `losses` before each iteration of the last call,
    `loss` now, the number of iterations, the norm of the gradient, a `Halt`."""

    optax: Any
    losses: Float[Array, "inner"]
    loss: Float[Array, ""]
    iterations: Int[Array, ""]
    gradient: Float[Array, ""]
    halt: Int[Array, ""]


def lbfgs_state(params: Any, *, memory: int = 50, inner: int = 1) -> LBFGSState:
    """The state before the first step; `memory` and `inner` as in `lbfgs_step`."""
    kind = jax.tree.leaves(params)[0].dtype
    return LBFGSState(
        optax.lbfgs(memory_size=memory).init(params),
        jnp.full((inner,), jnp.inf, kind),
        jnp.asarray(jnp.inf, kind),
        jnp.zeros((), jnp.int32),
        jnp.asarray(jnp.inf, kind),
        jnp.zeros((), jnp.int32),
    )


def lbfgs_step(
    loss: Callable[[Any, Any], Float[Array, ""]],
    *,
    memory: int = 50,
    inner: int = 1,
    tolerance_grad: float | None = None,
    tolerance_change: float | None = None,
) -> Step:
    r"""A jitted step for `train.run`: `inner` iterations of L-BFGS, whose line search
    meets the strong Wolfe conditions.

    $$ \theta \leftarrow \theta - \alpha\, H_m \nabla L(\theta) $$

    with $H_m$ from the last `memory` pairs of steps and changes of the gradient.
    `state.opt` is an `LBFGSState`. An iteration whose loss or gradient is not finite is
    not applied and counted.

    **Arguments:**
    - `loss`: `loss(params, batch) -> scalar`, the same at every call for a batch.
    - `memory`: pairs that are kept.
    - `inner`: iterations a call (saves dispatch on small models).
    - `tolerance_grad`: largest entry of the gradient below which it has converged;
      `tolerance_change`: change of the loss, and largest change of a parameter, below
      which it has stalled. A halted step changes nothing. None: not asked.

    **Returns:** the step; its info has the loss before the last iteration.
    **Raises:** `ConfigError` for a memory or number of iterations below 1.
    **Source:** Liu, Nocedal 1989; line search: Nocedal, Wright 2006, algorithms 3.5 and
    3.6, as Optax has them.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import TrainState, lbfgs_state, lbfgs_step, run
    >>> bowl = lambda params, centre: jnp.sum(jnp.cosh(params - centre))
    >>> x = jnp.zeros(2)
    >>> state = TrainState.start(x, lbfgs_state(x, inner=10), jax.random.key(0))
    >>> step = lbfgs_step(bowl, inner=10)
    >>> state, _ = run(step, state, jnp.asarray([1.0, -2.0]), num_steps=10, inner=10)
    >>> [round(float(v), 3) for v in state.params]
    [1.0, -2.0]

    ```
    """
    at_least(1, memory=memory, inner=inner)
    transform = optax.lbfgs(memory_size=memory)

    def halted(slope: Any, change: Any, value: Any, after: Any) -> Array:
        """The `Halt` after an iteration from `value` to `after`."""
        halt = jnp.zeros((), jnp.int32)
        if tolerance_change is not None:
            still = (largest(change) <= tolerance_change) | (
                jnp.abs(after - value) < tolerance_change
            )
            halt = jnp.where(still, Halt.stalled, halt)
        if tolerance_grad is not None:
            halt = jnp.where(largest(slope) <= tolerance_grad, Halt.converged, halt)
        return halt.astype(jnp.int32)

    @eqx.filter_jit
    def step(state: TrainState, batch: Any) -> tuple[TrainState, Info]:
        value_of = lambda params: loss(params, batch)
        value_and_slope = optax.value_and_grad_from_state(value_of)

        def one(carry: tuple) -> tuple:
            k, params, opt, losses, *_ = carry
            value, slope = value_and_slope(params, state=opt)
            updates, new = transform.update(
                slope, opt, params, value=value, grad=slope, value_fn=value_of
            )
            moved = optax.apply_updates(params, updates)
            good = jnp.isfinite(value) & all_finite((slope, moved))
            keep = lambda a, b: jnp.where(good, a, b)
            after = optax.tree_utils.tree_get(new, "value")
            halt = halted(optax.tree_utils.tree_get(new, "grad"), updates, value, after)
            params, opt = jax.tree.map(keep, (moved, new), (params, opt))
            losses = losses.at[k].set(value)
            return k + 1, params, opt, losses, value, good, halt * good

        old = state.opt
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
            zero = jnp.zeros((), jnp.int32)
            begin = state.params, old.optax, old.losses, old.loss
            start = (zero, *begin, jnp.asarray(True), old.halt)
            ended = jax.lax.while_loop(
                lambda c: (c[0] < inner) & (c[-1] == 0), one, start
            )
        k, params, opt, losses, value, good, halt = ended
        norm = optax.tree_utils.tree_norm(optax.tree_utils.tree_get(opt, "grad"))
        found = LBFGSState(
            opt,
            losses,
            optax.tree_utils.tree_get(opt, "value"),
            old.iterations + k,
            norm,
            halt,
        )
        bad = jnp.where(good, 0, state.bad + k)
        at = lambda s: (s.params, s.opt, s.step, s.bad)
        new = (params, found, state.step + inner, bad)
        return eqx.tree_at(at, state, new), {"loss": value}

    return step


def largest(tree: Any) -> Float[Array, ""]:
    """The largest entry of a pytree, in size."""
    return jnp.max(
        jnp.stack([jnp.max(jnp.abs(x)) for x in jax.tree.leaves(tree) if x.size])
    )
