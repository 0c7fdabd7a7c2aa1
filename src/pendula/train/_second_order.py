"""Curvature under random errors: as a penalty, and as a scale of descent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError
from ._adahessian import spatial_mean
from ._estimator import (
    AbstractEstimator,
    Estimate,
    Scalar,
    Valued,
    at_step,
    drawn,
    levelled,
    number,
)


_PENALTY, _SCALE = 0x4E04, 0x4E05  # draws are of streams of their own


class TracePenalty(AbstractEstimator):
    r"""The gradient of the loss and of what errors add to it, to second order.

    $$ g = \nabla \left[ J + \tfrac12 \mathrm{Tr}(H \Sigma) \right], \qquad
       \mathrm{Tr}(H \Sigma) \approx \frac1L \sum_{l=1}^{L}
       z_l^\top \Sigma^{1/2} H \Sigma^{1/2} z_l, \quad z_l \in \{-1, 1\}^n $$

    Sigma is diagonal and held: no gradient flows through it. Without noise of the
    gradient along H dw it descends on what `Smoothed` descends on, up to fourth order;
    a finite difference in place of the second derivative would be `Smoothed` with
    `antithetic` and errors of one size. Of kinks (ReLU) the curvature sees nothing.

    **Arguments:**
    - `sigma`: `sigma(params, level)` gives standard deviations, a tree like the
      parameters.
    - `level`: a number, or a schedule of the step.
    - `samples`: L, taken one by one. Each is counted as two gradients, those that
      central differences would need; its operations are those of one (two layers) to
      four (five layers).

    **Returns:** the value is that of J alone, as is the auxiliary output.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 5.2.3 and equation 2.2; the estimate is that of
    Hutchinson 1989.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import TracePenalty
    >>> sigma = lambda w, level: level * jnp.ones_like(w)
    >>> vg = TracePenalty(sigma, 0.1).around(lambda w, key: jnp.sum(w**4))
    >>> _, g = vg(jnp.ones(2), jax.random.key(0))
    >>> [round(float(v), 4) for v in g]  # 4 w^3 + 12 sigma^2 w
    [4.12, 4.12]

    ```
    """

    sigma: Callable[..., Any]
    level: Any
    samples: int = eqx.field(static=True)
    """L."""

    def __init__(self, sigma: Callable[..., Any], level: Any, samples: int = 1) -> None:
        self.sigma, self.level = sigma, levelled(level, "TracePenalty")
        self.samples = whole(1, "TracePenalty", samples=samples)

    @property
    def evaluations(self) -> int:
        return 1 + 2 * self.samples  # as central differences would need

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        found, slope = valued(params, batch, key)
        level = at_step(self.level, step)
        sigma = jax.lax.stop_gradient(self.sigma(params, level))
        own = jax.random.fold_in(key, _PENALTY)

        def penalty(params: Any, k: Array) -> Scalar:
            z = drawn(jax.random.rademacher, jax.random.fold_in(own, k), params)
            along = jax.tree.map(lambda s, z: s.astype(z.dtype) * z, sigma, z)
            value = lambda p: valued(p, batch, key)[0][0]
            once = lambda p: jax.jvp(value, (p,), (along,))[1]
            return 0.5 * jax.jvp(once, (params,), (along,))[1]

        def add(total: Any, k: Array) -> tuple[Any, None]:
            more = jax.grad(penalty)(params, k)
            share = lambda a, b: a + b / self.samples
            return jax.tree.map(share, total, more), None

        total, _ = jax.lax.scan(add, slope, jnp.arange(self.samples))
        return found, total


class ScaleState(eqx.Module):
    """State of `ha_precond`: mean gradient, mean products of errors with what they do
    to the gradient, mean squares of the errors, the steps done."""

    first: Any
    cross: Any
    square: Any
    count: Int[Array, ""]


def ha_precond(
    perturb: Callable[..., Any],
    level: Any,
    lr: float | Callable[[Any], Any] = 0.1,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-2,
    power: float = 0.5,
    *,
    spatial: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""Descent along the gradient under errors, scaled by the curvature that they show.

    $$ \Delta = \nabla J(w + \delta w) - \nabla J(w) \approx H \delta w, \qquad
       D_i = \frac{\overline{\delta w_i\, \Delta_i}}{\overline{\delta w_i^2}}, \qquad
       w \leftarrow w - \eta\, \frac{\hat m}{(|D| / \bar D)^k + \epsilon} $$

    m is the running mean of the disturbed gradients, that of HA-SGD; the means over
    D's products and squares run too, and errors that are independent of each other
    leave the diagonal of H: slowly, with what the other errors do to a gradient as its
    noise, so that both are first averaged over rows of matrices and windows of
    kernels. D is taken relative to its mean size over each array, so that a rate means
    what it does in HA-SGD. Where no error has been seen nothing is scaled.

    Two gradients a step: the plain one that comes in, from `gradient_step` with the
    plain estimator, and the disturbed one.

    **Arguments:** `perturb(params, key, level, statistics)` gives disturbed parameters;
    `level`: a number or a schedule; `lr`: a rate or a schedule; `betas` of the gradient
    and of the curvature; `eps`; `power`: k, 0 is HA-SGD with momentum; `spatial`:
    whether products and squares are averaged.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 5.2.3 (the idea); the running means are ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import ha_precond
    >>> perturb = lambda w, key, level, _: w + level * jax.random.normal(key, w.shape)
    >>> h = jnp.asarray([1.0, 3.0])
    >>> loss = lambda w: 0.5 * jnp.sum(h * w**2)
    >>> transform, w = ha_precond(perturb, 1e-3, 1.0, eps=0.0, power=1.0), jnp.ones(2)
    >>> step, _ = transform.update(jax.grad(loss)(w), transform.init(w), w,
    ...     value_and_grad_fn=jax.value_and_grad(loss), key=jax.random.key(0))
    >>> [round(float(v), 1) for v in step]  # Newton's, times the mean curvature
    [-2.0, -2.0]

    ```
    """
    a, b = (
        number(x, "ha_precond", f"betas[{k}]", below=1.0) for k, x in enumerate(betas)
    )
    floor = number(eps, "ha_precond", "eps")
    share = number(power, "ha_precond", "power")
    level = levelled(level, "ha_precond")
    if not callable(lr):
        lr = number(lr, "ha_precond", "lr")

    def init(params: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return ScaleState(zeros, zeros, zeros, jnp.zeros((), jnp.int32))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_and_grad_fn: Callable[[Any], Any] | None = None,
        key: PRNGKeyArray | None = None,
        statistics: Any = None,
        **more: Any,
    ) -> tuple[Any, Any]:
        del more
        if params is None or value_and_grad_fn is None or key is None:
            raise ConfigError(
                "ha_precond needs the parameters, value_and_grad_fn and key: call "
                "update(grads, state, params, value_and_grad_fn=..., key=...), or take "
                "gradient_step."
            )
        own = jax.random.fold_in(key, _SCALE)
        moved = perturb(params, own, at_step(level, state.count), statistics)
        there = value_and_grad_fn(moved)[1]
        error = jax.tree.map(jnp.subtract, moved, params)
        bent = jax.tree.map(jnp.subtract, there, updates)
        first = jax.tree.map(lambda m, g: _mix(a, m, g), state.first, there)
        cross = jax.tree.map(
            lambda c, d, h: _mix(b, c, d * h), state.cross, error, bent
        )
        square = jax.tree.map(lambda q, d: _mix(b, q, d * d), state.square, error)
        count = state.count + 1
        rate = lr(state.count) if callable(lr) else lr

        def one(m: Array, c: Array, q: Array) -> Array:
            up = m / (1.0 - a.astype(m.dtype) ** count.astype(m.dtype))
            if spatial:
                c, q = spatial_mean(c), spatial_mean(q)
            size = _relative(c, q) ** share.astype(m.dtype) + floor.astype(m.dtype)
            return -jnp.asarray(rate, m.dtype) * up / size

        moves = jax.tree.map(one, first, cross, square)
        return moves, ScaleState(first, cross, square, count)

    return optax.GradientTransformationExtraArgs(init, update)


def _mix(keep: Array, old: Array, new: Array) -> Array:
    share = keep.astype(old.dtype)
    return share * old + (1.0 - share) * new


def _relative(cross: Array, square: Array) -> Float[Array, "..."]:
    """Size of the curvature over its mean size in an array; 1 where none is known."""
    seen = square > 0
    size = jnp.where(seen, jnp.abs(cross) / jnp.where(seen, square, 1.0), 0.0)
    count = jnp.maximum(jnp.sum(seen), 1).astype(size.dtype)
    mean = jnp.sum(size) / count
    known = seen & (mean > 0)
    return jnp.where(known, size / jnp.where(mean > 0, mean, 1.0), 1.0)
