"""What every recurrent cell is: a differential equation, and one step of it."""

from __future__ import annotations

import abc
import warnings
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .. import _checks
from .._errors import ConfigError, PendulaWarning
from .._registry import register
from ..nn import HeldNumber


Cell = TypeVar("Cell", bound="AbstractCell")


class AbstractCell(eqx.Module):
    r"""A differential equation driven by an input, $\dot s = f(s, u)$, and the step
    by which it is discretised.

    The input is held over a step. What it does to the state goes through `feed` alone,
    so that it is computed for many times at once; the recurrent matrices are built by
    `weights` once a sequence and not at every step.

    **Shapes:** input `"in"`; the state is a pytree of arrays `"hidden"`, at the begin
    `start()`; `read` gives what a head sees, `"hidden"`.
    """

    in_size: eqx.AbstractVar[int]
    size: eqx.AbstractVar[int]

    @property
    @abc.abstractmethod
    def dt(self) -> Float[Array, ""]:
        """Length of a step; 1 for a cell that is a map and no discretisation."""

    @abc.abstractmethod
    def start(self) -> Any:
        """The state before the first input: zero."""

    @abc.abstractmethod
    def weights(self) -> Any:
        """The recurrent matrices as a step uses them."""

    @abc.abstractmethod
    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """What an input adds, the biases included."""

    @abc.abstractmethod
    def step(self, weights: Any, state: Any, fed: Float[Array, " fed"]) -> Any:
        """The next state."""

    @abc.abstractmethod
    def drift(self, state: Any, u: Float[Array, " in"]) -> Any:
        """f(s, u), the right-hand side, of the structure of the state."""

    @abc.abstractmethod
    def read(self, state: Any) -> Float[Array, " hidden"]:
        """What a head sees of a state."""


class AbstractSteppedCell(AbstractCell):
    """A cell whose step has a length that can be chosen: it converges to its
    differential equation as the step shrinks."""

    held_dt: eqx.AbstractVar[HeldNumber]

    @property
    def dt(self) -> Float[Array, ""]:
        """The step; of a cell with learned ones the longest."""
        return self.held_dt.value


class AbstractMapCell(AbstractCell):
    """A cell that is a map: as a flow, in Euler steps of 1."""

    @property
    def dt(self) -> Float[Array, ""]:
        """1."""
        return jnp.ones(())

    def drift(self, state: Any, u: Float[Array, " in"]) -> Any:
        """The step less the state."""
        return jax.tree.map(jnp.subtract, advance(self, state, u), state)


class AbstractNoisyCell(AbstractCell):
    """A cell whose state is shaken in training: `step` is that without noise."""

    @abc.abstractmethod
    def draw(self, steps: int, key: PRNGKeyArray) -> Any:
        """The noise of so many steps, their axis in front."""

    @abc.abstractmethod
    def shaken(
        self, weights: Any, state: Any, fed: Float[Array, " fed"], noise: Any
    ) -> Any:
        """The next state under one draw."""


class AbstractLinearCell(AbstractCell):
    """A cell that is linear in its state, so that all states come from one parallel
    scan."""

    @abc.abstractmethod
    def states(self, us: Float[Array, "time in"], state: Any) -> Any:
        """The states after every input, time in front, begun at `state`."""


def advance(cell: AbstractCell, state: Any, u: Float[Array, " in"]) -> Any:
    """The state after one input.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LEMCell, advance
    >>> cell = LEMCell(1, 4, key=jax.random.key(0))
    >>> y, z = advance(cell, cell.start(), jnp.ones(1))
    >>> y.shape
    (4,)

    ```
    """
    return cell.step(cell.weights(), state, cell.feed(u))


def with_dt(cell: Cell, dt: float) -> Cell:
    """The same cell with steps of another length; warns as the cell does of one that
    is too long for it.

    **Raises:** `ConfigError` for a step that is not positive, and for a cell that has
    none of its own.
    """
    if not isinstance(cell, AbstractSteppedCell):
        raise ConfigError(
            f"{type(cell).__name__} has no step of its own: it is a map from step to "
            "step, or wraps another cell. Take a cell that discretises a differential "
            "equation, such as LEMCell, or the one that is wrapped."
        )
    value = positive(dt, "dt")
    value = jnp.asarray(value, cell.held_dt.value.dtype)
    if (told := getattr(cell, "too_long", lambda dt: None)(float(dt))) is not None:
        warnings.warn(told, PendulaWarning, stacklevel=2)
    return eqx.tree_at(lambda c: c.held_dt.value, cell, value)


@register("module")
class Substeps(AbstractCell):
    r"""A cell whose every step is cut in `count` equal ones, the input held: as
    `count` grows the state goes to that of the differential equation.

    **Raises:** `ConfigError` for a count below 1 or a cell without a step length.
    """

    cell: AbstractSteppedCell
    """With the short step."""
    count: int = eqx.field(static=True)
    """Short steps in one of the original."""
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(self, cell: AbstractSteppedCell, count: int) -> None:
        count = _checks.whole(1, "Substeps", count=count)
        self.cell = with_dt(cell, float(cell.dt) / count)
        self.count, self.in_size, self.size = count, cell.in_size, cell.size

    @property
    def dt(self) -> Float[Array, ""]:
        """Of the whole step."""
        return self.count * self.cell.dt

    def start(self) -> Any:
        """The cell's."""
        return self.cell.start()

    def weights(self) -> Any:
        """The cell's."""
        return self.cell.weights()

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """The cell's."""
        return self.cell.feed(u)

    def step(self, weights: Any, state: Any, fed: Float[Array, " fed"]) -> Any:
        """All short steps of one."""
        one = lambda s, _: (self.cell.step(weights, s, fed), None)
        return jax.lax.scan(one, state, None, length=self.count)[0]

    def drift(self, state: Any, u: Float[Array, " in"]) -> Any:
        """The cell's."""
        return self.cell.drift(state, u)

    def read(self, state: Any) -> Float[Array, " hidden"]:
        """The cell's."""
        return self.cell.read(state)


def positive(value: float, name: str) -> float:
    """A number above 0. **Raises:** `ConfigError` for another one."""
    _checks.positive("", **{name: value})
    return float(value)


def not_negative(value: float, name: str) -> float:
    """A number of at least 0. **Raises:** `ConfigError` for another one."""
    _checks.not_negative("", **{name: value})
    return float(value)


def uniform(
    key: PRNGKeyArray, rows: int, columns: int, limit: float
) -> tuple[Array, Array]:
    """A matrix and a bias from U(-limit, limit)."""
    one, two = jax.random.split(key)
    draw = lambda k, shape: jax.random.uniform(k, shape, minval=-limit, maxval=limit)
    return draw(one, (rows, columns)), draw(two, (rows,))


def held(value: float) -> HeldNumber:
    """A number that is not trained."""
    return HeldNumber(jnp.asarray(value, jnp.zeros(()).dtype))
