"""The one training loop."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._checks import at_least
from ._state import TrainState


Info = dict[str, Any]
Step = Callable[[TrainState, Any], tuple[TrainState, Info]]
"""One update: `step(state, batch)` gives the new state and what is logged."""


class StopTraining(Exception):
    """Raised by a callback to end a training early; its text is the reason."""


class AbstractCallback(abc.ABC):
    """Something that looks at a training at every logging interval."""

    def open(self, num_steps: int) -> None:  # noqa: B027 - optional hook
        """Called once before the first step of a loop that is to end at `num_steps`."""

    @abc.abstractmethod
    def __call__(self, state: TrainState, row: Info) -> TrainState:
        """May add entries to `row`, return a changed state (best weights), or
        raise `StopTraining`. `row` holds host numbers."""

    def close(self, state: TrainState, reason: str | None) -> None:  # noqa: B027 - optional hook
        """Called once when the loop ends; `reason` is None when it was interrupted
        from outside (Ctrl-C, an error)."""


NOT_FINITE = "loss or gradient not finite"
"""How the reason begins where a training stopped on numbers that are not finite."""


class NonFinite(StopTraining):
    """Loss or gradient stayed not finite; the advice is part of the text."""


def run(
    step: Step,
    state: TrainState,
    batches: Callable[[int], Any] | Any,
    callbacks: Sequence[AbstractCallback] = (),
    *,
    num_steps: int,
    log_every: int = 10,
    max_bad: int = 3,
    inner: int = 1,
) -> tuple[TrainState, str]:
    """Run a training until `num_steps` steps are done; every training in Pendula
    goes through here.

    **Arguments:**
    - `step`: `state, info = step(state, batch)`, jitted by the caller; `info` holds
      scalars only (or one value a member). It must not apply a step whose loss or
      gradient is not finite, and count those in `state.bad`.
    - `batches`: `batches(k)` gives the batch of step k (so that a resumed run
      sees the same ones), or one batch used at every step.
    - `callbacks`: called every `log_every` steps and after the last one.
    - `max_bad`: non-finite steps in a row after which the training stops (in an
      ensemble: when every member has them; one bad member does not stop the rest).
    - `inner`: updates that one call of `step` makes (the state counts updates);
      `num_steps` is passed by up to `inner - 1` when it is no multiple.

    **Returns:** the last state and the reason why the loop ended (`"done"`, or
    the text of the `StopTraining`). A state that is already at `num_steps` comes
    back unchanged.
    **Raises:** `ConfigError` for a step count that makes no sense.
    **Behaviour:** when the loop is interrupted (Ctrl-C, an error) between a step and
    its callbacks, the callbacks' `close` gets the state before that step: what is
    saved there has been seen by all of them, so that a resumed run is the same.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.train import TrainState, run
    >>> def step(state, batch):  # one step of Newton's iteration for a square root
    ...     x = 0.5 * (state.params + batch / state.params)
    ...     at = lambda s: (s.params, s.step)
    ...     return eqx.tree_at(at, state, (x, state.step + 1)), {"loss": x * x - batch}
    >>> state = TrainState.start(jnp.asarray(1.0), None, jax.random.key(0))
    >>> state, reason = run(step, state, jnp.asarray(2.0), num_steps=6)
    >>> round(float(state.params), 5), reason
    (1.41421, 'done')

    ```
    """
    at_least(0, num_steps=num_steps)
    at_least(1, log_every=log_every, max_bad=max_bad, inner=inner)
    get = batches if callable(batches) else lambda _: batches
    reason: str | None = None
    k = int(state.step)
    settled = state
    for callback in callbacks:
        callback.open(num_steps)
    try:
        while k < num_steps:
            state, info = step(state, get(k))
            k += inner
            if k % log_every >= inner and k < num_steps:
                settled = state
                continue
            row: Info = {"step": k, **jax.device_get(info)}
            for callback in callbacks:
                state = callback(state, row)
            # a callback may have gone back to better parameters
            if int(np.min(jax.device_get(state.bad))) >= max_bad:
                scored = np.isfinite(jax.device_get(state.score)).any()
                kept = "best weights so far" if scored else "last finite weights"
                raise NonFinite(
                    f"{NOT_FINITE} for {max_bad} steps in a row at step {k}; the "
                    f"{kept} are kept. Lower the learning rate, shorten the clips, or "
                    "look for outliers in the data."
                )
            settled = state
        reason = "done"
    except StopTraining as stop:
        reason, settled = str(stop), state
    finally:
        for callback in callbacks:
            callback.close(settled, reason)
    return state, str(reason)


def finish(state: TrainState) -> Any:
    """The parameters to keep: the best ones where a score was taken, the last
    ones otherwise."""
    scored = np.isfinite(np.asarray(state.score))

    def pick(best: Any, last: Any) -> Any:
        where = scored.reshape(scored.shape + (1,) * (np.ndim(best) - scored.ndim))
        return jax.numpy.where(where, best, last)

    return jax.tree.map(
        lambda b, p: pick(b, p) if eqx.is_array(b) else b, state.best, state.params
    )
