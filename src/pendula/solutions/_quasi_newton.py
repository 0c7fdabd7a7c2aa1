r"""Quasi-Newton methods with a dense inverse Hessian: BFGS and self-scaled Broyden.

Hand-written: Optimistix has BFGS, but its search backtracks without a condition on the
curvature, and neither it nor Optax scales the matrix or leaves BFGS within Broyden's
family. The line search is that of Optax.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError, ShapeError
from ..train import Halt, Step, TrainState
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


Kind = Literal["bfgs", "ssbroyden"]

LARGEST = 5000
"""Most weights for which a dense inverse Hessian is built."""

_SEARCH = 30  # evaluations in a line search


class QuasiNewtonState(eqx.Module):
    """The inverse Hessian, the gradient, whether the matrix is still the identity, and
    searches in a row that gained nothing; the rest as in `Progress`."""

    inverse: Float[Array, "weight weight"]
    slope: Float[Array, "weight"]
    fresh: Bool[Array, ""]
    failed: Int[Array, ""]
    losses: Float[Array, "inner"]
    loss: Float[Array, ""]
    iterations: Int[Array, ""]
    gradient: Float[Array, ""]
    halt: Int[Array, ""]


def updated_inverse(
    inverse: Float[Array, "n n"],
    s: Float[Array, "n"],
    y: Float[Array, "n"],
    bend: Float[Array, ""],
    fresh: Bool[Array, ""],
    *,
    kind: str,
) -> Float[Array, "n n"]:
    r"""The inverse Hessian after a step s over which the gradient changed by y.

    $$ H \leftarrow \frac{1}{\tau}\Big(H - \frac{H y\, y^\top H}{y^\top H y}
       + \phi\,(y^\top H y)\,v v^\top\Big) + \rho\, s s^\top, \quad
       v = \rho s - \frac{H y}{y^\top H y}, \quad \rho = \frac{1}{y^\top s} $$

    BFGS has $\phi = \tau = 1$. The self-scaled member of Broyden's family takes both
    from $h = \rho\,y^\top H y$ and $b = \rho\,s^\top H^{-1} s$: with $a = h b - 1$,
    $c = \sqrt{|a| / (1 + a)}$, $\rho^- = \min(1, h (1 - c))$,
    $\theta^- = (\rho^- - 1) / a$, $\theta^+ = 1 / \rho^-$,
    $\theta = \max(\theta^-, \min(\theta^+, (1 - b) / b))$,
    $\rho^+ = \min(1, 1 / b)$, $\sigma = 1 + a\theta$, $q = |\sigma|^{1 / (1 - n)}$,

    $$ \phi = \frac{1 - \theta}{1 + a\theta}, \qquad \tau = \begin{cases}
       \min(\rho^+ q, \sigma) & \theta \le 0 \\ \rho^+ \min(q, 1 / \theta) & \theta > 0
       \end{cases} $$

    From the identity both have $\tau = h / (1 + a\theta)$. Always $H y = s$; H stays
    positive definite where $y^\top s > 0$.

    **Arguments:** `bend`: $s^\top H^{-1} s$, which is $-\alpha\,s^\top g$ after a step
    $s = -\alpha H g$; `fresh`: whether `inverse` is the identity; `kind`: `"bfgs"` or
    `"ssbroyden"`.
    **Returns:** the new matrix, symmetric to the last bit if the old one is.
    **Source:** Al-Baali 1998, as used by Urban, Stefanou, Pons 2025 (arXiv:2405.04230).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions._quasi_newton import updated_inverse
    >>> s, y = jnp.asarray([1.0, 0.5]), jnp.asarray([2.0, 1.5])
    >>> new = updated_inverse(
    ...     jnp.eye(2), s, y, s @ s, jnp.asarray(True), kind="ssbroyden"
    ... )
    >>> bool(jnp.allclose(new @ y, s))
    True

    ```
    """
    rho = 1.0 / (y @ s)
    moved = inverse @ y
    size = y @ moved
    h = size * rho
    if kind == "bfgs":
        phi, tau, first = 1.0, jnp.ones_like(h), h
    else:
        phi, tau, first = _scaling(h, bend * rho, len(s))
    tau = jnp.where(fresh, first, tau)
    v = rho * s - moved / size
    outer = jnp.outer
    inner = inverse - outer(moved, moved) / size + (phi * size) * outer(v, v)
    return inner / tau + rho * outer(s, s)


def _scaling(h: Array, b: Array, n: int) -> tuple[Array, Array, Array]:
    """phi, tau, and tau from the identity, of the self-scaled method."""
    tiny = jnp.finfo(h.dtype).eps
    a = jnp.maximum(h * b - 1.0, tiny)  # by rounding it may come out below 0
    c = jnp.sqrt(a / (1.0 + a))
    low = jnp.minimum(1.0, h * (1.0 - c))
    theta = jnp.maximum((low - 1.0) / a, jnp.minimum(1.0 / low, (1.0 - b) / b))
    high = jnp.minimum(1.0, 1.0 / b)
    sigma = 1.0 + a * theta
    power = 0.0 if n == 1 else 1.0 / (1.0 - n)
    q = jnp.abs(sigma) ** power
    positive = theta > 0.0
    over = 1.0 / jnp.where(positive, theta, 1.0)
    tau = jnp.where(positive, high * jnp.minimum(q, over), jnp.minimum(high * q, sigma))
    return (1.0 - theta) / sigma, tau, h / sigma


def quasi_newton_state(
    params: Any, inverse: Float[np.ndarray, "n n"] | None = None, *, inner: int = 1
) -> QuasiNewtonState:
    """The state before the first step; `inverse`: where it goes on from, None for the
    identity. **Raises:** `ShapeError` for a matrix of another size."""
    flat, _ = ravel_pytree(params)
    kind, size = flat.dtype, flat.size
    if inverse is not None and inverse.shape != (size, size):
        raise ShapeError(
            f"the inverse Hessian has shape {inverse.shape}; {size} weights need "
            f"{(size, size)}. Give that of the same network, or None."
        )
    number = lambda v: jnp.asarray(v, kind)
    zero = jnp.zeros((), jnp.int32)
    return QuasiNewtonState(
        jnp.eye(size, dtype=kind) if inverse is None else number(inverse),
        jnp.zeros_like(flat),
        jnp.asarray(inverse is None),
        zero,
        jnp.full((inner,), jnp.inf, kind),
        number(jnp.inf),
        zero,
        number(jnp.inf),
        zero,
    )


def quasi_newton_step(
    loss: Callable[[Any, Any], Float[Array, ""]],
    *,
    kind: str = "ssbroyden",
    inner: int = 1,
    tolerance_grad: float = 0.0,
) -> Step:
    """A jitted step for `train.run`: `inner` iterations with a dense inverse Hessian.

    `state.opt` is a `QuasiNewtonState`. Where a line search gains nothing the matrix
    becomes the identity again; where that gains nothing either it has stalled.

    **Arguments:** `loss`: `loss(params, batch) -> scalar`; `kind`: `"bfgs"` or
    `"ssbroyden"`; `inner`: iterations a call; `tolerance_grad`: largest entry of the
    gradient at which it has converged.
    **Source:** `updated_inverse`; line search: Nocedal, Wright 2006, algorithms 3.5 and
    3.6 (Optax).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import TrainState, run
    >>> from pendula.solutions._quasi_newton import (
    ...     quasi_newton_state, quasi_newton_step
    ... )
    >>> bowl = lambda params, centre: jnp.sum(jnp.cosh(params - centre))
    >>> x = jnp.zeros(2)
    >>> state = TrainState.start(x, quasi_newton_state(x, inner=9), jax.random.key(0))
    >>> step = quasi_newton_step(bowl, inner=9)
    >>> state, _ = run(step, state, jnp.asarray([1.0, -2.0]), num_steps=9, inner=9)
    >>> [round(float(v), 3) for v in state.params]
    [1.0, -2.0]

    ```
    """
    search = optax.scale_by_zoom_linesearch(_SEARCH, initial_guess_strategy="one")

    @eqx.filter_jit
    def step(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, Array]]:
        flat, unravel = ravel_pytree(state.params)
        value_of = lambda flat: loss(unravel(flat), batch)

        def going(carry: tuple) -> Array:
            k, _, opt = carry
            return (k < inner) & (opt.halt == Halt.no) & jnp.isfinite(opt.loss)

        def iterate(carry: tuple) -> tuple:
            k, flat, opt = carry
            flat, opt = _iterate(k, flat, opt, value_of, search, kind, tolerance_grad)
            return k + 1, flat, opt

        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
            value, slope = jax.value_and_grad(value_of)(flat)
            opt = eqx.tree_at(lambda o: (o.loss, o.slope), state.opt, (value, slope))
            start = (jnp.zeros((), jnp.int32), flat, opt)
            _, flat, opt = jax.lax.while_loop(going, iterate, start)
        opt = eqx.tree_at(lambda o: o.gradient, opt, jnp.linalg.norm(opt.slope))
        bad = jnp.where(jnp.isfinite(opt.loss), 0, state.bad + inner)
        at = lambda s: (s.params, s.opt, s.step, s.bad)
        new = (unravel(flat), opt, state.step + inner, bad)
        return eqx.tree_at(at, state, new), {"loss": opt.loss}

    return step


def _iterate(
    k: Array,
    flat: Array,
    opt: QuasiNewtonState,
    value_of: Callable[[Array], Array],
    search: optax.GradientTransformationExtraArgs,
    kind: str,
    tolerance: float,
) -> tuple[Array, QuasiNewtonState]:
    """One line search, and the matrix after it."""
    slope = opt.slope
    along = -opt.inverse @ slope
    downhill = (along @ slope < 0.0) & jnp.all(jnp.isfinite(along))
    fresh = opt.fresh | ~downhill
    eye = jnp.eye(flat.size, dtype=flat.dtype)
    # the first step is no longer than 1: nothing is known of the curvature yet
    short = jnp.minimum(1.0, 1.0 / jnp.linalg.norm(slope))
    along = jnp.where(fresh, -short * slope, along)
    none: Any = search.init(flat)
    found: Any
    move: Any
    move, found = search.update(
        along, none, flat, value=opt.loss, grad=slope, value_fn=value_of
    )
    alpha = found.learning_rate * jnp.where(fresh, short, 1.0)
    y, bend = found.grad - slope, -alpha * (move @ slope)
    limit = jnp.finfo(flat.dtype).eps * jnp.linalg.norm(move) * jnp.linalg.norm(y)
    curved = (y @ move > limit) & jnp.isfinite(found.value)
    old = jnp.where(fresh, eye, opt.inverse)
    new = updated_inverse(old, move, y, bend, fresh, kind=kind)
    lower = found.value < opt.loss
    # after a search without gain the matrix is given up, not kept as it is
    inverse = jnp.where(lower, jnp.where(curved, new, old), eye)
    keep = lambda a, b: jnp.where(lower, a, b)
    failed = keep(0, jnp.where(fresh, 2, opt.failed + 1))
    after = keep(found.grad, slope)
    halt = jnp.where(failed >= 2, Halt.stalled, Halt.no)
    halt = jnp.where(jnp.max(jnp.abs(after)) <= tolerance, Halt.converged, halt)
    return keep(flat + move, flat), QuasiNewtonState(
        inverse,
        after,
        keep(fresh & ~curved, True),
        failed.astype(jnp.int32),
        opt.losses.at[k].set(opt.loss),
        keep(found.value, opt.loss),
        opt.iterations + 1,
        opt.gradient,
        halt.astype(jnp.int32),
    )


@dataclasses.dataclass(frozen=True)
class QuasiNewton(AbstractOptimiser):
    r"""BFGS, or self-scaled Broyden, with a dense inverse Hessian: step S2 of the
    solver ladder, for up to 5000 weights and in float64.

    $$ \theta \leftarrow \theta - \alpha\, H \nabla L(\theta) $$

    **Arguments:**
    - `kind`: `"ssbroyden"` or `"bfgs"`.
    - `steps`: iterations at most (rounded up to a multiple of `inner`).
    - `tolerance_grad`: largest entry of the gradient at which it has converged.
    - `inner`: iterations in one call of the compiled program.

    **Raises:** `ConfigError` for settings that cannot be used; by `minimise` for more
    than 5000 weights. **Warns:** `FitWarning` in float32.
    **Source:** Urban, Stefanou, Pons 2025, arXiv:2405.04230; Kiyani et al. 2025,
    arXiv:2501.16371.

    ```python
    >>> from pendula.solutions._quasi_newton import QuasiNewton
    >>> QuasiNewton("bfgs", steps=500).tolerance_grad
    1e-12

    ```
    """

    kind: str = "ssbroyden"
    steps: int = 10000
    tolerance_grad: float = 1e-12
    inner: int = 50

    def __post_init__(self) -> None:
        choice("kind", self.kind, get_args(Kind), "QuasiNewton")
        least = {"steps": 1, "tolerance_grad": 0.0, "inner": 1}
        check_settings("QuasiNewton", least, self)

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
        inverse: Float[np.ndarray, "weight weight"] | None = None,
    ) -> tuple[Trained, OptimiserTrace]:
        """As for all optimisers; with `inverse` it goes on from the matrix of another
        trace: the same network where points were redrawn."""
        count = check_weights("QuasiNewton", theta)
        if count > LARGEST:
            raise ConfigError(
                f"QuasiNewton: the network has {count} weights; a dense inverse "
                f"Hessian is built for {LARGEST} at most. Use LBFGS, or fewer weights."
            )
        warn_precision("a quasi-Newton method", objective)
        with scope(objective):
            objective, theta = placed((objective, theta))
            inner = min(self.inner, self.steps)
            state, trace = follow(
                _program(self.kind, inner, self.tolerance_grad),
                theta,
                quasi_newton_state(theta, inverse, inner=inner),
                objective,
                steps=self.steps,
                inner=inner,
                deadline=deadline,
                key=key,
            )
            kept = np.asarray(state.opt.inverse)
            return handed_back(state), dataclasses.replace(trace, inverse=kept)

    def resumed(
        self, trace: OptimiserTrace
    ) -> Callable[..., tuple[Trained, OptimiserTrace]]:
        return functools.partial(self.minimise, inverse=trace.inverse)


def _loss(theta: Trained, objective: Any) -> Float[Array, ""]:
    """The loss as a step takes it."""
    return objective.loss(theta)


@functools.lru_cache(maxsize=16)
def _program(kind: str, inner: int, tolerance: float) -> Step:
    """The step of these settings: all objectives of the same shapes share it."""
    return quasi_newton_step(_loss, kind=kind, inner=inner, tolerance_grad=tolerance)
