"""Baselines with gates: Equinox's GRU and LSTM in the common frame."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._registry import register
from .._source import Source
from ._cell import AbstractMapCell


register("module", "GRU")(eqx.nn.GRUCell)
register("module", "LSTM")(eqx.nn.LSTMCell)


@register("module")
class GRUCell(AbstractMapCell):
    r"""The gated recurrent unit, by `equinox.nn.GRUCell`: a map, as a flow in Euler
    steps of 1 $\dot h = (1 - z) \odot (\tilde h - h)$ with its gate z.

    **Shapes:** input `"in"`, state h `"hidden"`.
    **Raises:** `ConfigError` for sizes that cannot be.
    **Source:** Cho et al. 2014, Learning phrase representations using RNN
    encoder-decoder, arXiv:1406.1078.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import GRUCell, advance
    >>> cell = GRUCell(1, 4, key=jax.random.key(0))
    >>> advance(cell, cell.start(), jnp.ones(1)).shape
    (4,)

    ```
    """

    source: ClassVar[Source] = Source("Cho2014", "section 2.3")

    inner: eqx.nn.GRUCell
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(self, in_size: int, size: int, *, key: PRNGKeyArray) -> None:
        whole(1, "GRUCell", in_size=in_size, size=size)
        self.inner = eqx.nn.GRUCell(in_size, size, key=key)
        self.in_size, self.size = in_size, size

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return jnp.zeros(self.size, self.inner.weight_hh.dtype)

    def weights(self) -> eqx.nn.GRUCell:
        """All of it."""
        return self.inner

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " in"]:
        """The input as it is: the cell is not ours to take apart."""
        return u

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " in"],
    ) -> Float[Array, " hidden"]:
        """The unit's."""
        return weights(fed, state)

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state


@register("module")
class LSTMCell(AbstractMapCell):
    r"""Long short-term memory, by `equinox.nn.LSTMCell`: a map, as a flow in Euler
    steps of 1 the step less the state.

    **Shapes:** input `"in"`; state (h, c), `"hidden"` each; a head sees h.
    **Arguments:** `forget`: added to the bias of the forget gate at the begin.
    **Raises:** `ConfigError` for sizes that cannot be.
    **Source:** Hochreiter, Schmidhuber 1997, Long short-term memory, Neural
    Computation 9, 1735-1780.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LSTMCell, advance
    >>> cell = LSTMCell(1, 4, key=jax.random.key(0))
    >>> advance(cell, cell.start(), jnp.ones(1))[0].shape
    (4,)

    ```
    """

    source: ClassVar[Source] = Source("Hochreiter1997", "section 4")

    inner: eqx.nn.LSTMCell
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self, in_size: int, size: int, *, forget: float = 0.0, key: PRNGKeyArray
    ) -> None:
        whole(1, "LSTMCell", in_size=in_size, size=size)
        inner = eqx.nn.LSTMCell(in_size, size, key=key)
        bias = jnp.asarray(inner.bias).at[size : 2 * size].add(forget)  # i, f, g, o
        self.inner = eqx.tree_at(lambda cell: cell.bias, inner, bias)
        self.in_size, self.size = in_size, size

    def start(self) -> tuple[Array, Array]:
        """Both zero."""
        zero = jnp.zeros(self.size, self.inner.weight_hh.dtype)
        return zero, zero

    def weights(self) -> eqx.nn.LSTMCell:
        """All of it."""
        return self.inner

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " in"]:
        """The input as it is: the cell is not ours to take apart."""
        return u

    def step(
        self,
        weights: Any,
        state: tuple[Array, Array],
        fed: Float[Array, " in"],
    ) -> tuple[Array, Array]:
        """The memory's."""
        return weights(fed, state)

    def read(self, state: tuple[Array, Array]) -> Float[Array, " hidden"]:
        """h."""
        return state[0]
