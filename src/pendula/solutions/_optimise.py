"""What all optimisers of trial networks are, and how they are run."""

from __future__ import annotations

import abc
import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import not_negative, positive, whole
from .._errors import ConfigError, FitWarning
from .._precision import precision, to_host
from .._types import AnyArray
from ..train import (
    NOT_FINITE,
    STOPPED,
    AbstractCallback,
    Halt,
    Step,
    StopTraining,
    TimeLimit,
    TrainState,
    finish,
    run,
)
from ._given import of_kind
from ._objective import Objective, Trained
from ._outcome import Deadline


Reason = Literal["converged", "budget", "steps", "stalled", "not finite"]


@dataclasses.dataclass(frozen=True)
class OptimiserTrace:
    """How a training went, in NumPy arrays.

    `reason`: `"converged"` (the target, or a minimum, was reached), `"stalled"` (next
    to nothing is gained any more), `"steps"` (all were made), `"budget"` (the time was
    up), `"not finite"`; `losses`: the objective's loss at the start and after each
    iteration (first-order methods: whenever they look); what is not known is None.
    """

    reason: Reason
    iterations: int
    losses: Float[np.ndarray, "count"]
    seconds: float
    gradient: float | None = None
    """Norm of the gradient of what was minimised."""
    damping: float | None = None
    """The last one of Levenberg-Marquardt."""
    dampings: Float[np.ndarray, "iteration"] | None = None
    """All of them, one after each iteration."""
    overshoot: Callable[[], float] | None = None
    """Works out what one more step of a first-order method would do: along it, twice
    the second-order part of the change of the loss over the part of first order. Above
    2 the step raises the loss."""
    condition: float | None = None
    """Condition number of the Gauss-Newton matrix; no more than 1 / rounding."""
    inverse: Float[np.ndarray, "weight weight"] | None = None
    """The inverse Hessian that a dense quasi-Newton method has built up."""

    @property
    def loss(self) -> float:
        """The lowest loss: that of the weights that were returned."""
        good = self.losses[np.isfinite(self.losses)]
        return float(good.min()) if good.size else float("nan")


class AbstractOptimiser(abc.ABC):
    """A way to find the weights of a network: a frozen dataclass of settings.

    Objectives of the same shapes share one compiled program: the windows of a solution
    follow one another with nothing but arrays changing.
    """

    @property
    def second_order(self) -> bool:
        """Whether it minds terms of very different size so little that measurements
        can be weighed by their uncertainty against the equation."""
        return False

    @abc.abstractmethod
    def minimise(
        self,
        objective: Objective,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
    ) -> tuple[Trained, OptimiserTrace]:
        """Lower the loss from `theta` on, in the precision of the objective.

        **Arguments:** `deadline`: when to stop; it is looked at between calls of the
        compiled step; `key`: for what is random.
        **Returns:** the best weights found, in NumPy arrays, and how it went. Running
        out of time or of steps is no error.
        **Raises:** `ConfigError` for what cannot be trained by it.
        """

    def resumed(
        self, trace: OptimiserTrace
    ) -> Callable[..., tuple[Trained, OptimiserTrace]]:
        """What goes on with the same network on other points, called like `minimise`:
        that from its beginning, but for methods that take up what they have built."""
        return self.minimise


@dataclasses.dataclass(frozen=True)
class InTurn(AbstractOptimiser):
    """One optimiser after the other, each from the weights of the one before: first
    order to begin with, quasi-Newton to end. On points that are drawn anew only the
    last one goes on.

    **Arguments:** `optimisers`: at least one.
    **Raises:** `ConfigError` without any.

    ```python
    >>> from pendula.solutions import FirstOrder, InTurn, QuasiNewton
    >>> both = InTurn((FirstOrder(steps=5000), QuasiNewton(steps=500)))
    >>> len(both.optimisers)
    2

    ```
    """

    optimisers: tuple[AbstractOptimiser, ...]

    def __post_init__(self) -> None:
        wanted = "at least one, in a tuple"
        of_kind("InTurn: optimisers are", self.optimisers, Sequence, wanted)
        if not self.optimisers:
            raise ConfigError("InTurn: optimisers are empty. Give at least one.")
        for one in self.optimisers:
            check_optimiser(one)

    @property
    def second_order(self) -> bool:
        return self.optimisers[-1].second_order

    def minimise(
        self,
        objective: Objective,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
    ) -> tuple[Trained, OptimiserTrace]:
        traces: list[OptimiserTrace] = []
        for k, one in enumerate(self.optimisers):
            own = jax.random.fold_in(key, k)
            theta, trace = one.minimise(objective, theta, deadline=deadline, key=own)
            traces.append(trace)
            if deadline.passed():
                break
        return theta, joined(traces)

    def resumed(
        self, trace: OptimiserTrace
    ) -> Callable[..., tuple[Trained, OptimiserTrace]]:
        return self.optimisers[-1].resumed(trace)


def check_optimiser(given: Any) -> None:
    """**Raises:** `ConfigError` for what is no optimiser."""
    if not isinstance(given, AbstractOptimiser):
        raise ConfigError(
            f"optimiser is {given!r}; give one with its settings: GaussNewton(), "
            "QuasiNewton(), LBFGS(), FirstOrder()."
        )


def joined(traces: Sequence[OptimiserTrace]) -> OptimiserTrace:
    """Trainings of the same network that followed one another, as one: its end is that
    of the last."""
    return dataclasses.replace(
        traces[-1],
        iterations=sum(t.iterations for t in traces),
        losses=np.concatenate([t.losses for t in traces]),
        seconds=sum(t.seconds for t in traces),
    )


@runtime_checkable
class LeastSquares(Protocol):
    """What methods of first order ask of an objective."""

    weights: AnyArray
    """One a block."""

    def residuals(self, theta: Trained) -> list[Array]:
        """The rows of each block, without weights."""
        ...

    def terms(self, theta: Trained) -> Float[Array, "block"]:
        """Mean squares of each block."""
        ...

    def loss(self, theta: Trained) -> Float[Array, ""]:
        """What trainings are compared by."""
        ...


@runtime_checkable
class Progress(Protocol):
    """What the state of a second-order optimiser says of itself after each call."""

    losses: Float[Array, "inner"]
    """Before each iteration of the call."""
    loss: Float[Array, ""]
    """Now."""
    iterations: Int[Array, ""]
    gradient: Float[Array, ""]
    halt: Int[Array, ""]
    """A `Halt`."""


class Watch(AbstractCallback):
    """Collects the losses of each iteration (dampings, too, where there are), and keeps
    the best weights."""

    def __init__(self) -> None:
        self.losses: list[np.ndarray] = []
        self.dampings: list[np.ndarray] = []
        self.seen = 0

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        opt: Progress = state.opt
        losses, loss, done = jax.device_get((opt.losses, opt.loss, opt.iterations))
        self.losses.append(losses[: int(done) - self.seen])
        dampings = getattr(opt, "dampings", None)
        if dampings is not None:
            own = np.asarray(dampings, np.float64)
            self.dampings.append(own[: int(done) - self.seen])
        self.seen = int(done)
        if np.isfinite(loss) and loss < float(state.score):
            score = jnp.asarray(loss, state.score.dtype)
            at = lambda s: (s.best, s.score)
            state = eqx.tree_at(at, state, (state.params, score))
        return state


class WhenHalted(AbstractCallback):
    """Stops where the step says that it has halted. After `Watch`: what a callback
    that stops has changed would be lost."""

    def __call__(self, state: TrainState, row: dict[str, Any]) -> TrainState:
        halt = int(state.opt.halt)
        if halt != Halt.no:
            raise StopTraining(Halt(halt).name)
        return state


def follow(
    step: Step,
    theta: Any,
    opt: Any,
    batch: Any,
    *,
    steps: int,
    inner: int,
    deadline: Deadline,
    key: PRNGKeyArray,
) -> tuple[TrainState, OptimiserTrace]:
    """Run a step whose state is a `Progress`; the best weights are `finish(state)`.

    Call it in the precision of the training. `steps` is passed by up to `inner - 1`.
    """
    began = time.perf_counter()
    state = TrainState.start(theta, opt, key)
    watch = Watch()
    if deadline.passed():
        return state, OptimiserTrace("budget", 0, np.zeros(0), 0.0)
    limit = TimeLimit(deadline.at, "the time is up")
    state, why = run(
        step,
        state,
        batch,
        [watch, WhenHalted(), limit],
        num_steps=steps,
        log_every=inner,
        inner=inner,
        max_bad=1,
    )
    last = np.asarray(state.opt.loss)[None]
    losses = np.concatenate([*watch.losses, last]).astype(np.float64)
    return state, OptimiserTrace(
        reason_of(why),
        watch.seen,
        losses,
        time.perf_counter() - began,
        gradient=float(state.opt.gradient),
        dampings=np.concatenate(watch.dampings) if watch.dampings else None,
    )


def reason_of(text: str) -> Reason:
    """The reason in one word, from the text with which `train.run` ends."""
    if text.startswith(STOPPED):
        return "budget"
    if text.startswith(NOT_FINITE):
        return "not finite"
    if text in ("converged", "stalled"):
        return text  # type: ignore[return-value]  # one of the literals
    return "steps"


def placed(tree: Any) -> Any:
    """All arrays as arrays of JAX, in the scope's precision and of types of their own:
    all calls then have arguments of the same kind, and share a program."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray | np.generic):
            return jnp.asarray(leaf)
        if eqx.is_inexact_array(leaf):  # a weak type would be another program
            return jax.lax.convert_element_type(leaf, leaf.dtype)
        return leaf

    return jax.tree.map(one, tree)


def scope(objective: Any) -> Any:
    """The precision of an objective, as a context."""
    return precision(np.dtype(objective.weights.dtype))


def handed_back(state: TrainState) -> Trained:
    """The best weights in NumPy arrays."""
    return to_host(finish(state))


def check_settings(who: str, least: dict[str, float], settings: Any) -> None:
    """Refuse what is no number, numbers that are too small, and numbers not finite.

    **Raises:** `ConfigError` with the name of the setting.
    """
    for name, low in least.items():
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(low, int):
            whole(low, who, **{name: value})
        elif low == 0.0:
            not_negative(who, **{name: value})
        else:
            positive(who, **{name: value})
            if value < low:
                raise ConfigError(
                    f"{who}: {name} is {value!r}; it must be at least {low}."
                )


def check_weights(who: str, theta: Trained) -> int:
    """The number of weights. **Raises:** `ConfigError` where there are none."""
    found = jax.tree.leaves(eqx.filter(theta, eqx.is_inexact_array))
    count = sum(np.size(x) for x in found)
    if not count:
        raise ConfigError(
            f"{who}: nothing can be trained: the network has no weights that are not "
            "fixed, and no parameter is unknown."
        )
    return count


def warn_precision(who: str, objective: Any) -> None:
    """Say that float32 is too coarse for a method of second order."""
    if np.dtype(objective.weights.dtype) != np.float64:
        warnings.warn(
            f"{who} in float32: differences of losses drown in rounding, and it stops "
            "early at a wrong solution. Use float64.",
            FitWarning,
            stacklevel=3,
        )
