"""An estimator as a part of an Optax chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from .._errors import ConfigError
from ._estimator import AbstractEstimator, Estimate


class RobustState(eqx.Module):
    """State of `robust_transform`: that of the transform behind it, and the steps done,
    for the schedules of the estimator."""

    base: Any
    count: Int[Array, ""]


def robust_transform(
    estimator: AbstractEstimator, base: optax.GradientTransformation
) -> optax.GradientTransformationExtraArgs:
    """An estimator within Optax: `base` is given its gradient in place of the one that
    came.

    A plain `GradientTransformation` cannot do this: its `update` sees a gradient that
    was taken at the parameters, never the loss, and these estimators need gradients at
    other points. So `update(grads, state, params, *, value_and_grad_fn, key)` takes
    `value_and_grad_fn(params) -> (value, gradient)`, of the batch and key of this step.
    `gradient_step` gives both; in its loop the argument `estimator` does the same
    without the gradient that is thrown away here.

    **Arguments:** `estimator`: one that needs neither a batch of its own nor auxiliary
    output (running statistics of a loss do not come through `value_and_grad_fn`).
    **Raises:** `ConfigError` where `update` is called without them.

    ```python
    >>> import jax, jax.numpy as jnp, optax
    >>> from pendula.train import Plain, robust_transform
    >>> transform = robust_transform(Plain(), optax.sgd(0.1))
    >>> params = jnp.ones(2)
    >>> updates, state = transform.update(
    ...     jnp.zeros(2), transform.init(params), params, key=jax.random.key(0),
    ...     value_and_grad_fn=jax.value_and_grad(lambda w: jnp.sum(w**2)))
    >>> print(updates)
    [-0.2 -0.2]

    ```
    """
    behind = optax.with_extra_args_support(base)

    def init(params: Any) -> Any:
        return RobustState(behind.init(params), jnp.zeros((), jnp.int32))

    def update(
        updates: Any,
        state: Any,
        params: Any = None,
        *,
        value_and_grad_fn: Callable[[Any], tuple[Array, Any]] | None = None,
        key: PRNGKeyArray | None = None,
        statistics: Any = None,
        **extra: Any,
    ) -> tuple[Any, Any]:
        if value_and_grad_fn is None or key is None or params is None:
            raise ConfigError(
                "robust_transform: update needs params, value_and_grad_fn and key, "
                "since it takes gradients at other points than params. Call "
                "update(grads, state, params, value_and_grad_fn=..., key=...)."
            )

        def valued(params: Any, batch: Any, key: PRNGKeyArray) -> Estimate:
            value, grads = value_and_grad_fn(params)
            return (value, None), grads

        (value, _), grads = estimator.gradient(
            valued, params, None, key, state.count, statistics
        )
        extra |= {"value": value, "grad": grads, "key": key}
        extra["value_and_grad_fn"] = value_and_grad_fn
        moved, after = behind.update(grads, state.base, params, **extra)
        return moved, RobustState(after, state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
