"""Adam with the diagonal of the Hessian in place of squared gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import not_negative, positive
from .._errors import ConfigError
from ._estimator import drawn


_STREAM = 0x4E03  # draws are of a stream of their own


class CurvatureState(eqx.Module):
    """Moments of the gradient and of the diagonal, and the steps done."""

    first: Any
    second: Any
    count: Int[Array, ""]


def adahessian(
    lr: float | Callable[[Any], Any] = 0.15,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-4,
    hessian_power: float = 1.0,
    *,
    spatial: bool = True,
) -> optax.GradientTransformationExtraArgs:
    r"""Descent scaled by the diagonal of the Hessian, from one product a step.

    $$ D = z \odot (H z), \quad z \in \{-1, 1\}^n, \qquad
       w \leftarrow w - \eta\, \frac{\hat m}{\hat v^{k/2} + \epsilon}, \quad
       v = \beta_2 v + (1 - \beta_2) D_s^2 $$

    with $D_s$ the mean of |D| over the last axis of an array of two axes, and over the
    window of a kernel. `gradient_step` gives what it needs; elsewhere `update` takes
    `value_and_grad_fn` and `key`.

    **Arguments:** `lr`: a rate or a schedule; `betas`; `eps`; `hessian_power`: k;
    `spatial`: whether the diagonal is averaged.
    **Raises:** `ConfigError`.
    **Source:** Yao, Gholami, Shen, Mustafa, Keutzer, Mahoney 2021, arXiv:2006.00719,
    equations 9 to 12.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import adahessian
    >>> loss = lambda w: 0.5 * jnp.sum(jnp.asarray([1.0, 100.0]) * w**2)
    >>> transform, w = adahessian(1.0, eps=0.0), jnp.asarray([3.0, 3.0])
    >>> step, _ = transform.update(jax.grad(loss)(w), transform.init(w), w,
    ...     value_and_grad_fn=jax.value_and_grad(loss), key=jax.random.key(0))
    >>> [round(float(v), 3) for v in step]  # Newton's, whatever the curvature
    [-3.0, -3.0]

    ```
    """
    if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
        raise ConfigError(f"adahessian: betas are {betas}; both lie in [0, 1).")
    not_negative("adahessian", eps=eps)
    if not 0.0 <= hessian_power <= 1.0:
        raise ConfigError(
            f"adahessian: hessian_power is {hessian_power}; it lies in [0, 1]."
        )
    if isinstance(lr, int | float):
        positive("adahessian", lr=lr)

    def init(params: Any) -> CurvatureState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return CurvatureState(zeros, zeros, jnp.zeros((), jnp.int32))

    def update(
        updates: Any,
        state: CurvatureState,
        params: Any = None,
        *,
        value_and_grad_fn: Callable[[Any], Any] | None = None,
        key: PRNGKeyArray | None = None,
        **more: Any,
    ) -> tuple[Any, CurvatureState]:
        del more
        if params is None or value_and_grad_fn is None or key is None:
            raise ConfigError(
                "adahessian needs the parameters, value_and_grad_fn and key: call "
                "update(grads, state, params, value_and_grad_fn=..., key=...), or take "
                "gradient_step."
            )
        bend = _diagonal(value_and_grad_fn, params, key)
        bend = jax.tree.map(jnp.abs, bend)
        bend = jax.tree.map(spatial_mean, bend) if spatial else bend
        count = state.count + 1
        a, b = betas
        first = jax.tree.map(lambda m, g: a * m + (1 - a) * g, state.first, updates)
        second = jax.tree.map(lambda v, d: b * v + (1 - b) * d * d, state.second, bend)
        rate = lr(state.count) if callable(lr) else lr

        def one(m: Array, v: Array) -> Array:
            k = count.astype(m.dtype)
            up, down = m / (1 - a**k), v / (1 - b**k)
            size = jnp.where(down > 0, down, 1.0) ** (0.5 * hessian_power)
            flat = 0.0 if hessian_power else 1.0  # the power 0 looks at no curvature
            size = jnp.where(down > 0, size, flat) + eps
            return -jnp.asarray(rate, m.dtype) * up / size

        return jax.tree.map(one, first, second), CurvatureState(first, second, count)

    return optax.GradientTransformationExtraArgs(init, update)  # type: ignore[arg-type]  # it needs its extra arguments


def _diagonal(
    value_and_grad_fn: Callable[[Any], Any], params: Any, key: PRNGKeyArray
) -> Any:
    """z * (H z) for random signs z."""
    z = drawn(jax.random.rademacher, jax.random.fold_in(key, _STREAM), params)
    _, product = jax.jvp(lambda p: value_and_grad_fn(p)[1], (params,), (z,))
    return jax.tree.map(jnp.multiply, z, product)


def spatial_mean(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Mean over the last axis of a matrix, over the window of a kernel, which are all
    axes behind its first two; of the same shape."""
    if x.ndim < 2:
        return x
    axes = tuple(range(2, x.ndim)) or (1,)
    return jnp.broadcast_to(x.mean(axes, keepdims=True), x.shape)
