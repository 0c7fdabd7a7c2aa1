"""All weights of a network by Levenberg-Marquardt with a dense Jacobian."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._errors import ConfigError
from ..train import Halt, TrainState
from ._balancing import unit_rows
from ._jacobian import jacobian
from ._objective import Objective, Trained
from ._optimise import (
    AbstractOptimiser,
    OptimiserTrace,
    check_settings,
    check_weights,
    follow,
    handed_back,
    placed,
    scope,
    warn_precision,
)
from ._outcome import Deadline


_TRIES = 6  # times that the damping may grow within an iteration
_FLOOR = 1e-14  # of the damping
_SMALL = 1e-2  # relative decrease that is next to nothing
_FLAT = 1e-6  # cosine between residuals and the Jacobian's range at a minimum
_GRAM = 1024  # largest matrix whose condition number is worth its time


class GaussNewtonState(eqx.Module):
    """Damping, small decreases in a row, the last Gram matrix of the Jacobian's rows or
    columns, whichever are fewer, and the damping after each iteration of the call; the
    rest as in `Progress`."""

    damping: Float[Array, ""]
    matrix: Float[Array, "n n"]
    small: Int[Array, ""]
    losses: Float[Array, "inner"]
    dampings: Float[Array, "inner"]
    loss: Float[Array, ""]
    iterations: Int[Array, ""]
    gradient: Float[Array, ""]
    halt: Int[Array, ""]


class Goal(eqx.Module):
    """What one training is about, in arrays: the rows, a factor for each of them, and
    the loss that is enough, and the small decreases in a row that are too many."""

    objective: Objective
    scale: Float[Array, "row"]
    target: Float[Array, ""]
    patience: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class GaussNewton(AbstractOptimiser):
    r"""Levenberg-Marquardt on all weights at once: step S1 of the solver ladder.

    $$ (J^\top J + \lambda I)\,d = -J^\top r \quad (P \le N), \qquad
       (J J^\top + \lambda I)\,y = r,\ d = -J^\top y \quad (N < P) $$

    N rows, P weights. A step is taken where the loss falls; $\lambda$ grows fourfold
    where it does not (6 times at most), falls by 5 where the gain is more than half of
    what the linear model says and by 1.5 otherwise, and stays above 1e-14. It stops
    after `patience` decreases in a row below one percent. Dense: for some hundred to
    some thousand weights, in float64.

    **Arguments:**
    - `steps`: iterations at most (rounded up to a multiple of `inner`).
    - `target`: loss of the objective that is enough; None: none is.
    - `damping`: $\lambda$ at the start.
    - `patience`: small decreases in a row after which it stops, 5 as in the ladder;
      plateaus early on may need more.
    - `unit_rows`: where there are several blocks, each is scaled so that the RMS of its
      rows at the start is its own weight. Losses are told without it. Where parameters
      are fitted to measurements their uncertainty says what they count, not that.
    - `condition`: whether the condition number of the last Gauss-Newton matrix is
      asked for (of at most 1024 rows or weights).
    - `inner`: iterations in one call of the compiled program.
    - `max_bytes`: of the Jacobian.

    **Raises:** `ConfigError` for settings that cannot be used; by `minimise` for a
    Jacobian that is too large. **Warns:** `FitWarning` in float32.
    **Source:** Levenberg 1944, Marquardt 1963; dual form: Jnini, Vella 2025.

    ```python
    >>> import jax, numpy as np
    >>> from pendula._precision import precision
    >>> from pendula.solutions import Axis, Deadline, Initial, Problem, build
    >>> from pendula.solutions._blocks import equation
    >>> from pendula.solutions._form import hard_form
    >>> from pendula.solutions._gauss_newton import GaussNewton
    >>> from pendula.solutions._objective import objective
    >>> from pendula.solutions._parts import Windows
    >>> decay = Problem(
    ...     lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    ... )
    >>> with precision(np.float64):
    ...     net = build("plain", [Axis(0, 1)], width=4, depth=1, key=jax.random.key(0))
    ...     none = Windows(hard_form(decay), [], 1.0)
    ...     rows = equation(decay, np.linspace(0, 1, 20)[:, None])
    ...     own, theta = objective(decay, none, [rows], net, 0.0, 1.0)
    >>> method = GaussNewton(steps=50, target=1e-8)
    >>> theta, trace = method.minimise(
    ...     own, theta, deadline=Deadline(), key=jax.random.key(0)
    ... )
    >>> trace.reason
    'converged'

    ```
    """

    steps: int = 200
    target: float | None = None
    damping: float = 1e-3
    patience: int = 5
    unit_rows: bool = True
    condition: bool = True
    inner: int = 10
    max_bytes: int = 2**31

    def __post_init__(self) -> None:
        least = {"steps": 1, "patience": 1, "inner": 1, "max_bytes": 1}
        more = {"target": 0.0, "damping": _FLOOR}
        check_settings("GaussNewton", {**least, **more}, self)

    @property
    def second_order(self) -> bool:
        return True

    def minimise(
        self,
        objective: Objective,
        theta: Trained,
        *,
        deadline: Deadline,
        key: PRNGKeyArray,
    ) -> tuple[Trained, OptimiserTrace]:
        weights = self._check(objective, theta)
        warn_precision("Levenberg-Marquardt", objective)
        with scope(objective):
            objective, theta = placed((objective, theta))
            dtype = objective.weights.dtype
            scale = jnp.ones(_rows(objective), dtype)
            if self.unit_rows and len(objective.known) > 1 and not _measured(objective):
                scale = _scales(objective, theta)
            target = jnp.asarray(-1.0 if self.target is None else self.target, dtype)
            goal = Goal(objective, scale, target, jnp.asarray(self.patience, jnp.int32))
            inner = min(self.inner, self.steps)
            state, trace = follow(
                _step,
                theta,
                _start(self.damping, min(weights, scale.size), inner, dtype),
                goal,
                steps=self.steps,
                inner=inner,
                deadline=deadline,
                key=key,
            )
            condition = None
            if self.condition and trace.iterations and len(state.opt.matrix) <= _GRAM:
                condition = _condition(np.asarray(state.opt.matrix))
            damping = float(state.opt.damping)
            trace = dataclasses.replace(trace, damping=damping, condition=condition)
            return handed_back(state), trace

    def _check(self, objective: Objective, theta: Trained) -> int:
        """The number of weights; refuse what does not fit into memory."""
        weights = check_weights("GaussNewton", theta)
        size = weights * _rows(objective) * np.dtype(objective.weights.dtype).itemsize
        if size > self.max_bytes:
            raise ConfigError(
                f"GaussNewton: the Jacobian would take {size} bytes, more than "
                f"max_bytes = {self.max_bytes}. Take fewer points or weights, raise "
                "max_bytes, or use LBFGS or FirstOrder."
            )
        return weights


def gram(jac: Float[Array, "row weight"], dual: bool) -> Float[Array, "side side"]:
    """J J^T (`dual`), or J^T J."""
    return jac @ jac.T if dual else jac.T @ jac


def damped_step(
    matrix: Float[Array, "side side"],
    jac: Float[Array, "row weight"],
    residual: Float[Array, "row"],
    damping: Float[Array, ""],
    dual: bool,
) -> Float[Array, "weight"]:
    r"""The step of Levenberg-Marquardt.

    $$ d = -(J^\top J + \lambda I)^{-1} J^\top r
         = -J^\top (J J^\top + \lambda I)^{-1} r $$

    NaN where the matrix cannot be factored: the damping then grows as after a step
    that fails.

    **Arguments:** `matrix`: what `gram` gives; `dual`: whether the second form is used,
    which factors a matrix of rows and not of weights.
    """
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(matrix + damping * eye)
    if dual:
        return -jac.T @ jax.scipy.linalg.cho_solve(factor, residual)
    return -jax.scipy.linalg.cho_solve(factor, jac.T @ residual)


def _start(damping: float, size: int, inner: int, dtype: np.dtype) -> GaussNewtonState:
    """The state before the first call."""
    number = lambda v: jnp.asarray(v, dtype)
    zero = jnp.zeros((), jnp.int32)
    return GaussNewtonState(
        number(damping),
        jnp.zeros((size, size), dtype),
        zero,
        jnp.full((inner,), jnp.inf, dtype),
        jnp.full((inner,), damping, dtype),
        number(jnp.inf),
        zero,
        number(jnp.inf),
        zero,
    )


def _measured(objective: Objective) -> bool:
    """Whether parameters are fitted to measurements."""
    names = objective.names()
    return bool(objective.unknowns) and any(n.startswith("observation") for n in names)


def _rows(objective: Objective) -> int:
    """The number of rows."""
    return sum(known.block.num for known in objective.known)


@eqx.filter_jit
def _scales(objective: Objective, theta: Trained) -> Array:
    """A factor for each row."""
    residuals = objective.residuals(theta)
    each = unit_rows(objective, residuals)
    parts = [jnp.full((r.size,), each[k]) for k, r in enumerate(residuals)]
    return jnp.concatenate(parts)


def _condition(matrix: np.ndarray) -> float:
    """Its condition number, no more than 1 / rounding; on the host, so that nothing
    has to be compiled for it."""
    values = np.linalg.eigvalsh(matrix)
    return float(values[-1] / max(values[0], np.finfo(values.dtype).eps * values[-1]))


@eqx.filter_jit
def _step(state: TrainState, goal: Goal) -> tuple[TrainState, dict[str, Array]]:
    """Up to `inner` iterations: a step of `train.run`."""
    flat, unravel = ravel_pytree(state.params)
    inner = state.opt.losses.shape[0]
    rows = lambda flat: goal.objective.rows(unravel(flat))
    first = rows(flat)
    loss = first @ first
    enough = jnp.where(loss <= goal.target, jnp.int32(Halt.converged), state.opt.halt)
    opt = eqx.tree_at(lambda o: (o.loss, o.halt), state.opt, (loss, enough))

    def going(carry: tuple) -> Array:
        k, _, _, opt = carry
        return (k < inner) & (opt.halt == Halt.no) & jnp.isfinite(opt.loss)

    def iterate(carry: tuple) -> tuple:
        k, flat, residual, opt = carry
        jac = goal.scale[:, None] * jacobian(goal.objective, unravel(flat))
        return (k + 1, *_iterate(k, flat, residual, opt, jac, rows, goal))

    zero = jnp.zeros((), jnp.int32)
    _, flat, _, opt = jax.lax.while_loop(going, iterate, (zero, flat, first, opt))
    bad = jnp.where(jnp.isfinite(opt.loss), 0, state.bad + inner)
    at = lambda s: (s.params, s.opt, s.step, s.bad)
    new = (unravel(flat), opt, state.step + inner, bad)
    return eqx.tree_at(at, state, new), {"loss": opt.loss}


class _Trial(eqx.Module):
    """A step that was tried, with the residuals it leads to."""

    tries: Int[Array, ""]
    damping: Float[Array, ""]
    flat: Float[Array, "weight"]
    residual: Float[Array, "row"]
    gain: Float[Array, ""]
    """Decrease of the loss as a part of what the linear model says."""
    good: Array


def _iterate(
    k: Array,
    flat: Array,
    residual: Array,
    opt: GaussNewtonState,
    jac: Array,
    rows: Callable[[Array], Array],
    goal: Goal,
) -> tuple[Array, Array, GaussNewtonState]:
    """One iteration: weights, residuals and state after it."""
    scaled = goal.scale * residual
    now, slope = scaled @ scaled, jac.T @ scaled
    dual = jac.shape[0] < jac.shape[1]
    matrix = gram(jac, dual)

    def attempt(trial: _Trial) -> _Trial:
        lam = jnp.where(trial.tries == 0, trial.damping, 4.0 * trial.damping)
        step = damped_step(matrix, jac, scaled, lam, dual)
        new = rows(flat + step)
        loss = jnp.sum((goal.scale * new) ** 2)
        foretold = lam * (step @ step) - slope @ step
        gain = (now - loss) / foretold
        tries = trial.tries + 1
        return _Trial(tries, lam, flat + step, new, gain, loss < now)

    more = lambda t: ~t.good & (t.tries <= _TRIES)
    zero, bad = jnp.zeros((), jnp.int32), jnp.asarray(False)
    none = _Trial(zero, opt.damping, flat, residual, jnp.zeros_like(now), bad)
    trial = jax.lax.while_loop(more, attempt, none)
    keep = lambda a, b: jnp.where(trial.good, a, b)
    flat, after = keep(trial.flat, flat), keep(trial.residual, residual)
    lower = trial.damping / jnp.where(trial.gain > 0.5, 5.0, 1.5)
    damping = jnp.maximum(keep(lower, trial.damping), _FLOOR)
    loss = after @ after
    left = jnp.sum((goal.scale * after) ** 2)
    small = jnp.where(now - left < _SMALL * now, opt.small + 1, 0)
    # at a minimum no column of J has a part along the residuals
    cosine = jnp.linalg.norm(slope) / (jnp.linalg.norm(jac) * jnp.sqrt(now))
    end = jnp.where(cosine < _FLAT, Halt.converged, Halt.stalled)
    halt = jnp.where(small >= goal.patience, end, Halt.no)
    reached = (loss <= goal.target) | (loss == 0.0)
    halt = jnp.where(reached, Halt.converged, halt).astype(jnp.int32)
    norm = 2.0 * jnp.linalg.norm(slope)
    done = opt.iterations + 1
    losses = opt.losses.at[k].set(opt.loss)
    dampings = opt.dampings.at[k].set(damping)
    return (
        flat,
        after,
        GaussNewtonState(
            damping, matrix, small, losses, dampings, loss, done, norm, halt
        ),
    )
