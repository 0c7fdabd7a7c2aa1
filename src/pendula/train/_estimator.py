"""Gradient estimators: what stands where value and gradient of a loss were taken."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._errors import ConfigError


Scalar = Float[Array, ""]
Number = float | int | Scalar
# loss(params, batch, key) -> scalar
Loss = Callable[[Any, Any, PRNGKeyArray], Scalar]
AuxLoss = Callable[[Any, Any, PRNGKeyArray], tuple[Scalar, Any]]
"""`loss(params, batch, key)` gives a scalar and an auxiliary output: the form that
estimators of a gradient take."""
Estimate = tuple[tuple[Scalar, Any], Any]
"""`((value, auxiliary output), gradient)`."""
Valued = Callable[[Any, Any, PRNGKeyArray], Estimate]
"""`valued(params, batch, key)` gives the exact `Estimate`."""
# estimator(loss: AuxLoss, params, batch, key, step, statistics) -> Estimate
Estimator = Callable[..., Estimate]


def plain_gradient(
    loss: AuxLoss,
    params: Any,
    batch: Any,
    key: PRNGKeyArray,
    step: Int[Array, ""] | int = 0,
    statistics: Any = None,
) -> Estimate:
    """Value and gradient by reverse mode: the estimator that others replace."""
    return jax.value_and_grad(loss, has_aux=True)(params, batch, key)


class AbstractEstimator(eqx.Module):
    """A gradient of a loss that is not, or not only, its gradient at the parameters.

    Its numbers are arrays: as an argument of a jitted function another number does not
    compile again. In the loop of `train.run` it is handed to `gradient_step`, outside
    of it `around` gives what stands where `jax.value_and_grad` stood.
    """

    @property
    @abc.abstractmethod
    def evaluations(self) -> int:
        """Gradients of the loss that one step costs."""

    @abc.abstractmethod
    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        """The estimate, of `valued(params, batch, key) -> ((value, aux), gradient)`."""

    def __call__(
        self,
        loss: AuxLoss,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int = 0,
        statistics: Any = None,
    ) -> Estimate:
        """The estimate of a loss: ((value, auxiliary output), gradient).

        **Arguments:**
        - `loss`: `loss(params, batch, key) -> (scalar, auxiliary output)`.
        - `key`: that of the loss; draws of the estimator are of streams of their own.
        - `step`: the number of steps before this one, for schedules.
        - `statistics`: running statistics that a perturbation may look at; the loss
          has them already.
        """
        valued = jax.value_and_grad(loss, has_aux=True)
        return self.gradient(valued, params, batch, key, step, statistics)

    def around(self, loss: Callable[..., Any], *, has_aux: bool = False) -> Any:
        """What stands where `jax.value_and_grad(loss)` was, in any loop.

        **Arguments:** `loss(params, *batch, key=key)` gives a scalar, with `has_aux` a
        pair (scalar, auxiliary output).
        **Returns:** `vg(params, key, *batch, step=0, statistics=None)`, which gives
        ((value, auxiliary output or None), gradient); any Optax transform goes behind.
        `params` may be a whole Equinox model: the gradient is then of its arrays of
        real numbers, None in place of the rest, as that of `eqx.filter_grad`.
        **Raises:** `ConfigError` where nothing in `params` is a real number.
        """

        def valued(
            params: Any,
            key: PRNGKeyArray,
            *batch: Any,
            step: Int[Array, ""] | int = 0,
            statistics: Any = None,
        ) -> Estimate:
            trained, rest = _parted(params)

            def whole(some: Any, batch: Any, key: PRNGKeyArray) -> tuple[Scalar, Any]:
                found = loss(eqx.combine(some, rest), *fresh(batch), key=key)
                return found if has_aux else (found, None)

            return self(whole, trained, batch, key, step, statistics)

        return valued


def _parted(params: Any) -> tuple[Any, Any]:
    """What is trained, and the rest: nothing where all are numbers; of a model, which
    has functions and switches among its leaves, all but its arrays."""
    real = lambda x: isinstance(x, float) or eqx.is_inexact_array(x)
    numbers = all(map(real, jax.tree.leaves(params)))
    trained, rest = eqx.partition(params, real if numbers else eqx.is_inexact_array)
    if not jax.tree.leaves(trained):
        raise ConfigError(
            "the gradient is asked for with respect to something without an array of "
            "real numbers. Give the weights, or a model that has some."
        )
    return trained, rest


class Plain(AbstractEstimator):
    """The gradient itself, as the others give theirs.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import Plain
    >>> vg = Plain().around(lambda w, x, key: jnp.sum((w - x) ** 2))
    >>> (value, _), grads = vg(jnp.ones(2), jax.random.key(0), jnp.zeros(2))
    >>> float(value), grads.tolist()
    (2.0, [2.0, 2.0])

    ```
    """

    @property
    def evaluations(self) -> int:
        return 1

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        return valued(params, batch, key)


def fresh(tree: Any) -> Any:
    """A copy of the containers: an `eqx.nn.State` may be used once only, an estimator
    may call its loss several times."""
    return jax.tree.map(lambda x: x, tree)


def as_number(value: Any) -> Any:
    """Python numbers (and what says to be one) as arrays, which are traced; arrays,
    schedules and the rest as they are."""
    if eqx.is_array(value) or callable(value) or not hasattr(value, "__float__"):
        return value
    return jnp.asarray(float(value), float)


def number(
    value: Any, owner: str, name: str, low: float = 0.0, below: float = math.inf
) -> Any:
    """A number as an array, refused outside [low, below) where it is known already.

    **Raises:** `ConfigError`.
    """
    found = as_number(value)
    if not eqx.is_array(found) or found.shape != ():
        raise ConfigError(f"{owner}: {name} is {value!r}; expected a number.")
    try:
        known = float(found)
    except jax.errors.ConcretizationTypeError:
        return found  # known only when the program runs
    if not (math.isfinite(known) and low <= known < below):
        top = "" if math.isinf(below) else f" and below {below:g}"
        raise ConfigError(
            f"{owner}: {name} is {value}; it must be finite and at least {low:g}{top}."
        )
    return found


def levelled(level: Any, owner: str) -> Any:
    """A level of noise: a number, a schedule of the step, or numbers by name.

    **Raises:** `ConfigError` for a negative one.
    """
    if callable(level):
        return level
    if isinstance(level, Mapping):
        return {k: number(v, owner, f'level "{k}"') for k, v in level.items()}
    return number(level, owner, "level")


def at_step(level: Any, step: Int[Array, ""] | int) -> Any:
    """A level, or that of a schedule."""
    return level(step) if callable(level) else level


def drawn(sample: Callable[..., Array], key: PRNGKeyArray, tree: Any) -> Any:
    """Independent random numbers, a tree of the same shapes: `sample(key, shape,
    dtype)` of each array, such as `jax.random.normal`."""
    leaves, structure = jax.tree.flatten(tree)
    made = [
        sample(jax.random.fold_in(key, k), x.shape, x.dtype)
        for k, x in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, made)


def average(x: Array) -> Array:
    """Mean over the first axis, of several passes; of whole numbers and switches the
    last one."""
    return jnp.mean(x, axis=0) if jnp.issubdtype(x.dtype, jnp.inexact) else x[-1]
