"""Adam and SOAP: for networks that are too large for methods of second order."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError
from .._precision import to_device, to_host
from ..train import (
    STOPPED,
    AbstractCallback,
    KeepBest,
    Step,
    TimeLimit,
    TrainState,
    finish,
    gradient_step,
    run,
)
from ._balancing import Balancing
from ._objective import Trained
from ._optimise import (
    AbstractOptimiser,
    LeastSquares,
    OptimiserTrace,
    check_settings,
    check_weights,
    placed,
    reason_of,
    scope,
)
from ._outcome import Deadline
from ._soap import scale_by_soap


Kind = Literal["adam", "soap"]
Decay = Literal["cosine", "exponential", "none"]


class Batch(eqx.Module):
    """An objective whose parts that are no arrays are a part of its type: steps of
    `train` take arrays only."""

    arrays: Any
    static: Any = eqx.field(static=True)

    @classmethod
    def of(cls, objective: Any) -> Batch:
        """Split it."""
        return cls(*eqx.partition(objective, eqx.is_array))

    def whole(self) -> Any:
        """The objective."""
        return eqx.combine(self.arrays, self.static)


@dataclasses.dataclass(frozen=True)
class FirstOrder(AbstractOptimiser):
    r"""Descent along gradients, on the whole objective at each step: step S3 of the
    solver ladder.

    $$ \theta \leftarrow \theta - \eta_k\,P_k(\nabla L) $$

    with P of Adam, or of SOAP (Adam in the eigenbasis of Shampoo). Without balancing
    the weights of the lowest loss that was seen are kept; with it the loss changes its
    meaning while it falls, and the last weights are.

    **Arguments:**
    - `kind`: `"adam"` or `"soap"`; `rate`: $\eta_0$; `steps`: steps in all.
    - `decay`: `"cosine"` to a hundredth of the rate, `"exponential"` by `factor` every
      `period` steps, or `"none"`; `warmup`: steps over which the rate grows to $\eta_0$
      at first.
    - `balance`: how the terms of the loss are weighed.
    - `basis_every`: steps between turns of SOAP's bases.
    - `clip`: norm to which gradients are cut; None: they are not.
    - `inner`: steps in one call of the compiled program; the loss is looked at between
      calls.

    **Raises:** `ConfigError` for settings that cannot be used.
    **Source:** Kingma, Ba 2015; SOAP: Vyas et al. 2024; for these networks: Wang,
    Bhartari, Li, Perdikaris 2025.

    ```python
    >>> from pendula.solutions._balancing import Balancing
    >>> from pendula.solutions._first_order import FirstOrder
    >>> method = FirstOrder("soap", steps=500, balance=Balancing("ntk", every=100))
    >>> method.decay
    'cosine'

    ```
    """

    kind: str = "adam"
    steps: int = 20000
    rate: float = 1e-3
    decay: str = "cosine"
    factor: float = 0.9
    period: int = 2000
    warmup: int = 0
    balance: Balancing = dataclasses.field(default_factory=Balancing)
    basis_every: int = 2
    clip: float | None = 1.0
    inner: int = 100

    def __post_init__(self) -> None:
        choice("kind", self.kind, get_args(Kind), "FirstOrder")
        choice("decay", self.decay, get_args(Decay), "FirstOrder")
        least = {"steps": 1, "period": 1, "warmup": 0, "basis_every": 1, "inner": 1}
        tiny = float(np.finfo(np.float64).tiny)
        check_settings("FirstOrder", {**least, "rate": tiny, "clip": tiny}, self)
        check_settings("FirstOrder", {"factor": tiny}, self)
        if not isinstance(self.balance, Balancing):
            raise ConfigError(
                f"FirstOrder: balance is {self.balance!r}; give a Balancing, as "
                'Balancing("ntk").'
            )

    def minimise(
        self,
        objective: LeastSquares,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
        callbacks: Sequence[AbstractCallback] = (),
        best: bool = True,
    ) -> tuple[Trained, OptimiserTrace]:
        """As for all optimisers, for any `LeastSquares`; `callbacks` look at the
        training whenever the loss is looked at (`state.params` is the pair of `theta`
        and the weights of terms); without `best` the last weights are kept, for
        objectives whose loss does not say how far a training is."""
        check_weights("FirstOrder", theta)
        began = time.perf_counter()
        with scope(objective):
            objective, theta = placed((objective, theta))
            state = self._start(objective, theta, key)
            batch = Batch.of(objective)
            score = lambda pair: _loss(batch, pair[0])
            first = score(state.params)
            if np.isfinite(first):  # the start counts as one of those that were seen
                state = eqx.tree_at(lambda s: s.score, state, first)
            losses = _Losses()
            limit = TimeLimit(deadline.at, "the time is up")
            watch = [KeepBest(score), losses, *callbacks, limit]
            why = STOPPED
            if not deadline.passed():
                state, why = run(
                    _program(self),
                    state,
                    batch,
                    watch,
                    num_steps=self.steps,
                    log_every=self.inner,
                    inner=self.inner,
                )
            comparable = best and self.balance.kind == "none"
            found = finish(state) if comparable else state.params
            trace = OptimiserTrace(
                reason_of(why),
                int(state.step),
                np.asarray([float(first), *losses.seen], np.float64),
                time.perf_counter() - began,
                gradient=losses.gradient,
                overshoot=functools.partial(
                    _overshoot, self, to_host((*state.params, state.opt)), batch
                ),
            )
            return to_host(found[0]), trace

    def _start(self, objective: Any, theta: Any, key: PRNGKeyArray) -> TrainState:
        """The state before the first step."""
        pair = (theta, self.balance.start(objective, theta))
        return TrainState.start(pair, self._transform().init(theta), key)

    def _transform(self) -> optax.GradientTransformation:
        """What turns gradients into steps."""
        parts = [] if self.clip is None else [optax.clip_by_global_norm(self.clip)]
        if self.kind == "adam":
            parts.append(optax.scale_by_adam())
        else:
            parts.append(scale_by_soap(every=self.basis_every))
        return optax.chain(*parts, optax.scale_by_learning_rate(self._schedule()))

    def _schedule(self) -> optax.Schedule:
        """The rate of each step."""
        rate = self.rate
        first = rate if self.warmup == 0 else 0.1 * rate
        if self.decay == "cosine":
            until = max(self.steps, self.warmup + 1)
            return optax.warmup_cosine_decay_schedule(
                first, rate, self.warmup, until, 0.01 * rate
            )
        if self.decay == "exponential":
            return optax.warmup_exponential_decay_schedule(
                first, rate, self.warmup, self.period, self.factor
            )
        return optax.warmup_constant_schedule(first, rate, self.warmup)


class _Losses(AbstractCallback):
    """Collects what `KeepBest` has found, and the last norm of the gradient."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self.gradient: float | None = None

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        self.seen.append(float(row["validation"]))
        self.gradient = float(row["grad_norm"])
        return state


@eqx.filter_jit
def _loss(batch: Batch, theta: Trained) -> Float[Array, ""]:
    """The loss with the objective's own weights."""
    return batch.whole().loss(theta)


def _overshoot(settings: FirstOrder, end: Any, batch: Batch) -> float:
    """See `OptimiserTrace.overshoot`; `end`: weights of network and terms, and the
    state of the optimiser, where a training ended."""
    with scope(batch.whole()):
        theta, weights, opt = to_device(end)
        return float(_along(settings, theta, weights, opt, batch))


@eqx.filter_jit
def _along(
    settings: FirstOrder, theta: Any, weights: Any, opt: Any, batch: Batch
) -> Float[Array, ""]:
    """Curvature along the next step over the slope along it."""
    transform, objective = settings._transform(), batch.whole()
    loss = lambda theta: settings.balance.loss(weights, objective.residuals(theta))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
        slope = jax.grad(loss)(theta)
        step, _ = transform.update(slope, opt, theta)
        bent = jax.jvp(jax.grad(loss), (theta,), (step,))[1]
        flat = lambda tree: ravel_pytree(tree)[0]
        return (flat(step) @ flat(bent)) / -(flat(slope) @ flat(step))


@functools.lru_cache(maxsize=16)
def _program(settings: FirstOrder) -> Step:
    """The step of these settings: all objectives of the same shapes share it."""
    balance = settings.balance

    def loss(pair: Any, batch: Batch, key: PRNGKeyArray) -> tuple[Array, Any]:
        theta, weights = pair
        objective = batch.whole()
        residuals = objective.residuals(theta)
        held, seen = jax.lax.stop_gradient((theta, residuals))
        after = balance.after(weights, objective, held, seen)
        return balance.loss(weights, residuals), after

    return gradient_step(
        loss,
        settings._transform(),
        inner=settings.inner,
        statistics=True,
    )
