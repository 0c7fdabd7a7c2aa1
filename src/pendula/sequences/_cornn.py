"""The coupled oscillatory recurrent network."""

from __future__ import annotations

import math
import warnings
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._errors import PendulaWarning
from .._registry import register
from .._source import Source
from ..nn import HeldNumber
from ._cell import (
    AbstractSteppedCell,
    held,
    not_negative,
    positive,
    uniform,
)


@register("module")
class CoRNNCell(AbstractSteppedCell):
    r"""A network of coupled, driven and damped oscillators.

    $$ \ddot y = \tanh(W y + \mathcal{W} \dot y + V u + b) - \gamma y
       - \epsilon \dot y $$

    with z = dy/dt, discretised first z, then y with the new z:

    $$ z^+ = z + dt\,[\tanh(W y + \mathcal{W} z + V u + b) - \gamma y - \epsilon z],
       \quad y^+ = y + dt\, z^+ $$

    **Shapes:** input `"in"`; state (y, z), `"hidden"` each; a head sees y.
    **Arguments:** `dt` > 0; `gamma` >= 0 the squared frequency and `epsilon` >= 0 the
    damping of the oscillators.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** dt max(gamma, epsilon) > 2 warns: the oscillators
    alone are unstable for dt epsilon > 2, or for dt^2 gamma > 4 - 2 dt epsilon.
    dt 0.04, gamma 2.7, epsilon 4.7 for pixels one by one.
    **Source:** Rusch, Mishra, Coupled oscillatory recurrent neural network, 2021,
    arXiv:2010.00951, equations 1 and 3.

    ```python
    >>> import jax
    >>> from pendula._tree import num_parameters
    >>> from pendula.sequences import CoRNNCell
    >>> num_parameters(CoRNNCell(1, 16, key=jax.random.key(0)))
    544

    ```
    """

    source: ClassVar[Source] = Source("Rusch2021", "equations 1 and 3")

    matrix: Float[Array, "hidden both"]
    """W, and beside it the matrix of z."""
    input: Float[Array, "hidden in"]
    """V."""
    bias: Float[Array, " hidden"]
    """b."""
    held_dt: HeldNumber
    gamma: HeldNumber
    epsilon: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        dt: float = 0.042,
        gamma: float = 2.7,
        epsilon: float = 4.7,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "CoRNNCell", in_size=in_size, size=size)
        self.held_dt = held(positive(dt, "dt"))
        self.gamma = held(not_negative(gamma, "gamma"))
        self.epsilon = held(not_negative(epsilon, "epsilon"))
        if (told := _too_long(dt, gamma, epsilon)) is not None:
            warnings.warn(told, PendulaWarning, stacklevel=2)
        limit = 1.0 / math.sqrt(in_size + 2 * size)  # one linear map of (u, z, y)
        one, two = jax.random.split(key)
        self.matrix, _ = uniform(one, size, 2 * size, limit)
        self.input, self.bias = uniform(two, size, in_size, limit)
        self.in_size, self.size = in_size, size

    def too_long(self, dt: float) -> str | None:
        """What is said of a step with which the oscillators may be unstable."""
        return _too_long(dt, float(self.gamma.value), float(self.epsilon.value))

    def start(self) -> tuple[Array, Array]:
        """Both zero."""
        zero = jnp.zeros(self.size, self.bias.dtype)
        return zero, zero

    def weights(self) -> Array:
        """W beside the matrix of z."""
        return self.matrix

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " hidden"]:
        """V u + b."""
        return self.input @ u + self.bias

    def step(
        self,
        weights: Any,
        state: tuple[Array, Array],
        fed: Float[Array, " hidden"],
    ) -> tuple[Array, Array]:
        """First z, then y with the new z."""
        y, z = state
        z = z + self.dt * self._force(weights, y, z, fed)
        return y + self.dt * z, z

    def drift(
        self, state: tuple[Array, Array], u: Float[Array, " in"]
    ) -> tuple[Array, Array]:
        """(dy/dt, dz/dt)."""
        y, z = state
        return z, self._force(self.matrix, y, z, self.feed(u))

    def _force(self, matrix: Array, y: Array, z: Array, fed: Array) -> Array:
        driven = jnp.tanh(matrix @ jnp.concatenate([y, z]) + fed)
        return driven - self.gamma.value * y - self.epsilon.value * z

    def read(self, state: tuple[Array, Array]) -> Float[Array, " hidden"]:
        """y."""
        return state[0]


def _too_long(dt: float, gamma: float, epsilon: float) -> str | None:
    if dt * max(gamma, epsilon) <= 2 * (1 + 1e-6):  # both are kept in float32
        return None
    return (
        f"CoRNNCell: dt {dt:g} times the larger of gamma {gamma:g} and epsilon "
        f"{epsilon:g} is above 2; the oscillators may be unstable by themselves. Take "
        "a smaller dt."
    )
