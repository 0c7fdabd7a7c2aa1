"""Long expressive memory, and its relative with two fixed time scales."""

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
from ._cell import AbstractSteppedCell, held, positive, uniform


@register("module")
class LEMCell(AbstractSteppedCell):
    r"""Long expressive memory: two states whose time scales are learned and change
    with what is seen.

    $$ \dot z = \hat\sigma(W_1 y + V_1 u + b_1) \odot
                (\tanh(W_z y + V_z u + b_z) - z), \quad
       \dot y = \hat\sigma(W_2 y + V_2 u + b_2) \odot
                (\tanh(W_y z + V_y u + b_y) - y) $$

    with the logistic $\hat\sigma$, discretised first z, then y with the new z:

    $$ z^+ = (1 - \Delta) \odot z + \Delta \odot \tanh(W_z y + V_z u + b_z), \quad
       y^+ = (1 - \bar\Delta) \odot y + \bar\Delta \odot
             \tanh(W_y z^+ + V_y u + b_y) $$

    both of $\Delta = dt\, \hat\sigma(W_1 y + V_1 u + b_1)$ and $\bar\Delta$ taken
    before the step.

    **Shapes:** input `"in"`; state (y, z), `"hidden"` each; a head sees y.
    **Arguments:** `dt` > 0, the longest step; every weight is drawn from
    U(-1, 1) / sqrt(hidden).
    **Raises:** `ConfigError` for sizes or a step that cannot be.
    **Behaviour / good values:** dt <= 1 keeps every entry of y and z in [-1, 1];
    above it warns. dt 0.2 to 0.3 for pixels one by one, 1 for few and slow samples.
    **Source:** Rusch, Mishra, Erichson, Mahoney, Long expressive memory for sequence
    modeling, 2022, arXiv:2110.04744, equations 1 and 3.

    ```python
    >>> import jax
    >>> from pendula._tree import num_parameters
    >>> from pendula.sequences import LEMCell
    >>> num_parameters(LEMCell(1, 16, key=jax.random.key(0)))
    1216

    ```
    """

    source: ClassVar[Source] = Source("Rusch2022", "equations 1 and 3")

    input: Float[Array, "fed in"]
    """V, in blocks for delta, its bar, z and y."""
    bias: Float[Array, " fed"]
    """The bias that goes with V, in the same blocks."""
    matrix: Float[Array, "rows hidden"]
    """W_1, W_2 and W_z."""
    bias_matrix: Float[Array, " rows"]
    """The bias that goes with them: a published network has both."""
    matrix_y: Float[Array, "hidden hidden"]
    """W_y."""
    bias_y: Float[Array, " hidden"]
    """The bias that goes with it."""
    held_dt: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self, in_size: int, size: int, *, dt: float = 1.0, key: PRNGKeyArray
    ) -> None:
        whole(1, "LEMCell", in_size=in_size, size=size)
        self.held_dt = held(positive(dt, "dt"))
        if (told := self.too_long(dt)) is not None:
            warnings.warn(told, PendulaWarning, stacklevel=2)
        one, two, three = jax.random.split(key, 3)
        limit = 1.0 / math.sqrt(size)
        self.input, self.bias = uniform(one, 4 * size, in_size, limit)
        self.matrix, self.bias_matrix = uniform(two, 3 * size, size, limit)
        self.matrix_y, self.bias_y = uniform(three, size, size, limit)
        self.in_size, self.size = in_size, size

    def too_long(self, dt: float) -> str | None:
        """What is said of a step above 1."""
        if dt <= 1:
            return None
        return (
            f"LEMCell: dt is {dt:g}; above 1 the states are no longer kept in [-1, 1]. "
            "Take at most 1."
        )

    def start(self) -> tuple[Array, Array]:
        """Both zero."""
        zero = jnp.zeros(self.size, self.bias.dtype)
        return zero, zero

    def weights(self) -> tuple[Array, Array]:
        """W_1, W_2, W_z in one matrix, and W_y."""
        return self.matrix, self.matrix_y

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """V u and all biases."""
        return self.input @ u + self.bias + self._biases()

    def step(
        self,
        weights: Any,
        state: tuple[Array, Array],
        fed: Float[Array, " fed"],
    ) -> tuple[Array, Array]:
        """First z, then y with the new z."""
        (y, z), n = state, self.size
        matrix, matrix_y = weights
        inner = matrix @ y + fed[: 3 * n]
        scales = self.dt * jax.nn.sigmoid(inner[: 2 * n])
        z = z + scales[:n] * (jnp.tanh(inner[2 * n :]) - z)
        y = y + scales[n:] * (jnp.tanh(matrix_y @ z + fed[3 * n :]) - y)
        return y, z

    def drift(
        self, state: tuple[Array, Array], u: Float[Array, " in"]
    ) -> tuple[Array, Array]:
        """(dy/dt, dz/dt)."""
        (y, z), n, fed = state, self.size, self.feed(u)
        inner = self.matrix @ y + fed[: 3 * n]
        scales = jax.nn.sigmoid(inner[: 2 * n])
        dz = scales[:n] * (jnp.tanh(inner[2 * n :]) - z)
        dy = scales[n:] * (jnp.tanh(self.matrix_y @ z + fed[3 * n :]) - y)
        return dy, dz

    def read(self, state: tuple[Array, Array]) -> Float[Array, " hidden"]:
        """y."""
        return state[0]

    def _biases(self) -> Array:
        return jnp.concatenate([self.bias_matrix, self.bias_y])


@register("module")
class TwoScaleCell(AbstractSteppedCell):
    r"""Two states with two fixed time scales: what long expressive memory learns is
    given here.

    $$ \tau_y \dot y = \tanh(W_y z + V_y u + b_y) - y, \quad
       \tau_z \dot z = \tanh(W_z y + V_z u + b_z) - z $$

    discretised as `LEMCell`: first z, then y with the new z.

    **Shapes:** input `"in"`; state (y, z), `"hidden"` each; a head sees y.
    **Arguments:** `tau_y`, `tau_z` > 0, in the unit of `dt` > 0.
    **Raises:** `ConfigError` for sizes or numbers that cannot be.
    **Behaviour / good values:** dt <= min(tau_y, tau_z) keeps both states in [-1, 1].
    **Source:** Rusch, Mishra, Erichson, Mahoney 2022, equation 2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import TwoScaleCell, advance
    >>> cell = TwoScaleCell(1, 4, tau_y=1.0, tau_z=10.0, key=jax.random.key(0))
    >>> advance(cell, cell.start(), jnp.ones(1))[1].shape
    (4,)

    ```
    """

    source: ClassVar[Source] = Source("Rusch2022", "equation 2")

    input: Float[Array, "fed in"]
    """V_z and V_y."""
    bias: Float[Array, " fed"]
    """b_z and b_y."""
    matrix_z: Float[Array, "hidden hidden"]
    """W_z."""
    matrix_y: Float[Array, "hidden hidden"]
    """W_y."""
    held_dt: HeldNumber
    tau_y: HeldNumber
    tau_z: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        tau_y: float = 1.0,
        tau_z: float = 10.0,
        dt: float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "TwoScaleCell", in_size=in_size, size=size)
        self.held_dt = held(positive(dt, "dt"))
        self.tau_y = held(positive(tau_y, "tau_y"))
        self.tau_z = held(positive(tau_z, "tau_z"))
        one, two, three = jax.random.split(key, 3)
        limit = 1.0 / math.sqrt(size)
        self.input, self.bias = uniform(one, 2 * size, in_size, limit)
        self.matrix_z, _ = uniform(two, size, size, limit)
        self.matrix_y, _ = uniform(three, size, size, limit)
        self.in_size, self.size = in_size, size

    def start(self) -> tuple[Array, Array]:
        """Both zero."""
        zero = jnp.zeros(self.size, self.bias.dtype)
        return zero, zero

    def weights(self) -> tuple[Array, Array]:
        """W_z and W_y."""
        return self.matrix_z, self.matrix_y

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """V u + b."""
        return self.input @ u + self.bias

    def step(
        self,
        weights: Any,
        state: tuple[Array, Array],
        fed: Float[Array, " fed"],
    ) -> tuple[Array, Array]:
        """First z, then y with the new z."""
        (y, z), n = state, self.size
        matrix_z, matrix_y = weights
        z = z + self.dt / self.tau_z.value * (jnp.tanh(matrix_z @ y + fed[:n]) - z)
        y = y + self.dt / self.tau_y.value * (jnp.tanh(matrix_y @ z + fed[n:]) - y)
        return y, z

    def drift(
        self, state: tuple[Array, Array], u: Float[Array, " in"]
    ) -> tuple[Array, Array]:
        """(dy/dt, dz/dt)."""
        (y, z), n, fed = state, self.size, self.feed(u)
        dz = (jnp.tanh(self.matrix_z @ y + fed[:n]) - z) / self.tau_z.value
        dy = (jnp.tanh(self.matrix_y @ z + fed[n:]) - y) / self.tau_y.value
        return dy, dz

    def read(self, state: tuple[Array, Array]) -> Float[Array, " hidden"]:
        """y."""
        return state[0]
