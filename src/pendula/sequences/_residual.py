"""The plain recurrent network and the residual one."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._registry import register
from .._source import Source
from ..nn import HeldNumber
from ._cell import (
    AbstractMapCell,
    AbstractSteppedCell,
    held,
    positive,
    uniform,
)


@register("module")
class SimpleCell(AbstractMapCell):
    r"""The plain recurrent network, $h^+ = \tanh(W h + U u + b)$: a map.

    As a flow it is $\dot h = \tanh(W h + U u + b) - h$ in Euler steps of 1.

    **Shapes:** input `"in"`, state h `"hidden"`. Weights from U(-1, 1) / sqrt(hidden).
    **Raises:** `ConfigError` for sizes that cannot be.
    **Source:** Elman 1990, Finding structure in time, Cognitive Science 14, 179-211.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import SimpleCell, advance
    >>> cell = SimpleCell(1, 4, key=jax.random.key(0))
    >>> bool((jnp.abs(advance(cell, cell.start(), jnp.ones(1))) < 1).all())
    True

    ```
    """

    source: ClassVar[Source] = Source("Elman1990", "section 2")

    matrix: Float[Array, "hidden hidden"]
    """W."""
    input: Float[Array, "hidden in"]
    """U."""
    bias: Float[Array, " hidden"]
    """b."""
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(self, in_size: int, size: int, *, key: PRNGKeyArray) -> None:
        whole(1, "SimpleCell", in_size=in_size, size=size)
        one, two = jax.random.split(key)
        limit = 1.0 / math.sqrt(size)
        self.matrix, _ = uniform(one, size, size, limit)
        self.input, self.bias = uniform(two, size, in_size, limit)
        self.in_size, self.size = in_size, size

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return jnp.zeros(self.size, self.bias.dtype)

    def weights(self) -> Array:
        """W."""
        return self.matrix

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " hidden"]:
        """U u + b."""
        return self.input @ u + self.bias

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " hidden"],
    ) -> Float[Array, " hidden"]:
        """tanh of everything."""
        return jnp.tanh(weights @ state + fed)

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state


@register("module")
class ResidualCell(AbstractSteppedCell):
    r"""The residual recurrent network, $\dot h = \tanh(W h + U u + b)$ in Euler steps:
    no matrix is under control.

    **Shapes:** input `"in"`, state h `"hidden"`. Weights from U(-1, 1) / sqrt(hidden).
    **Arguments:** `dt` > 0, the step.
    **Raises:** `ConfigError` for sizes or a step that cannot be.
    **Source:** Erichson et al. 2021, section 2, the general form without linear part.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import ResidualCell, advance
    >>> cell = ResidualCell(1, 4, dt=0.1, key=jax.random.key(0))
    >>> bool((jnp.abs(advance(cell, cell.start(), jnp.ones(1))) < 0.1).all())
    True

    ```
    """

    source: ClassVar[Source] = Source("Erichson2021", "section 2")

    matrix: Float[Array, "hidden hidden"]
    """W."""
    input: Float[Array, "hidden in"]
    """U."""
    bias: Float[Array, " hidden"]
    """b."""
    held_dt: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self, in_size: int, size: int, *, dt: float = 0.03, key: PRNGKeyArray
    ) -> None:
        whole(1, "ResidualCell", in_size=in_size, size=size)
        self.held_dt = held(positive(dt, "dt"))
        one, two = jax.random.split(key)
        limit = 1.0 / math.sqrt(size)
        self.matrix, _ = uniform(one, size, size, limit)
        self.input, self.bias = uniform(two, size, in_size, limit)
        self.in_size, self.size = in_size, size

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return jnp.zeros(self.size, self.bias.dtype)

    def weights(self) -> Array:
        """W."""
        return self.matrix

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " hidden"]:
        """U u + b."""
        return self.input @ u + self.bias

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " hidden"],
    ) -> Float[Array, " hidden"]:
        """One of Euler's."""
        return state + self.dt * jnp.tanh(weights @ state + fed)

    def drift(
        self, state: Float[Array, " hidden"], u: Float[Array, " in"]
    ) -> Float[Array, " hidden"]:
        """dh/dt."""
        return jnp.tanh(self.matrix @ state + self.feed(u))

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state
