"""What every known system offers, and how its constants are kept and checked."""

from __future__ import annotations

import abc
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._errors import ConfigError, ShapeError, nearest
from .._registry import lookup
from .._source import Source
from .._types import Context, Control, State, Time


Scalar: TypeAlias = Float[Array | np.ndarray, ""]  # one constant


class AbstractSystem(eqx.Module):
    r"""A world whose law is known: it can stand wherever a learned field can.

    $$ \dot y = f(t, y, u; c) $$

    Constants are fields of the module (scalars, never static: other values do not
    recompile) and are kept in float64 until they meet a state, whose dtype they
    take. What varies in a family of systems is the `context`: None means the
    module's own constants, otherwise an array `"param"` of all constants in the
    order of `param_names`.

    **Shapes and units**: state `"dim"` with one name and unit per component, input
    `"ctrl"` or None.
    """

    names: eqx.AbstractClassVar[tuple[str, ...]]
    """Names of the state's components."""
    units: eqx.AbstractClassVar[tuple[str, ...]]
    """Their units."""
    angle: eqx.AbstractClassVar[tuple[bool, ...]]
    """Which of them are angles."""
    input_names: eqx.AbstractClassVar[tuple[str, ...]]
    """Names of the inputs; empty for a system that takes none."""
    input_units: eqx.AbstractClassVar[tuple[str, ...]]
    """Their units."""
    param_names: eqx.AbstractClassVar[tuple[str, ...]]
    """Names of the constants: the order of a `context`."""
    time_unit: eqx.AbstractClassVar[str]
    """Unit of time."""
    good_step: eqx.AbstractClassVar[float]
    """A sampling step that shows the motion for the default constants."""
    good_duration: eqx.AbstractClassVar[float]
    """A length of record that shows the motion for the default constants."""
    second_order: eqx.AbstractClassVar[bool]
    """Whether y = (q, v) with dq/dt = v: leapfrog then applies."""
    source: eqx.AbstractClassVar[Source]
    """Where the equations come from."""

    @abc.abstractmethod
    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        """The derivative dy/dt of one state."""

    @abc.abstractmethod
    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """A state to start from: random for a key, a fixed telling one for None."""

    @abc.abstractmethod
    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """The quantities that the free, undamped motion conserves, by name."""

    @abc.abstractmethod
    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The shortest time on which the motion changes: RK4 steps of a hundredth
        of it leave relative errors near 1e-9 per period."""

    def constants(self, like: State, context: Context = None) -> tuple[Array, ...]:
        """The constants in the order of `param_names`, in the dtype of `like`.

        **Raises:** `ShapeError` if `context` does not hold one value each.
        """
        if context is None:
            own = (getattr(self, name) for name in self.param_names)
            return tuple(jnp.asarray(value, like.dtype) for value in own)
        values = jnp.asarray(context, like.dtype)
        if values.shape != (len(self.param_names),):
            raise ShapeError(
                f"{type(self).__name__}: context has shape {values.shape}; expected "
                f"({len(self.param_names)},), the values of "
                f"{', '.join(self.param_names)}."
            )
        return tuple(values)

    def force(self, u: Control | None, like: State) -> Float[Array, ""]:
        """The single input in the dtype of `like`, 0 when there is none.

        **Raises:** `ShapeError` if `u` does not hold exactly one value.
        """
        if u is None:
            return jnp.zeros((), like.dtype)
        if jnp.shape(u) != (1,):
            raise ShapeError(
                f"{type(self).__name__}: the input has shape {jnp.shape(u)}; expected "
                f"(1,), {self.input_names[0]} in {self.input_units[0]}."
            )
        return jnp.asarray(u, like.dtype)[0]

    def context(self) -> Float[np.ndarray, " param"]:
        """The module's own constants as a float64 `context`."""
        own = [getattr(self, name) for name in self.param_names]
        return np.asarray([float(value) for value in own], np.float64)


def as_constant(value: Any) -> Any:
    """A number as a float64 NumPy scalar array: it stays exact outside float64
    scopes and is traced, not static, inside compiled code. JAX arrays (tracers
    too) are left alone."""
    if isinstance(value, jax.Array):
        return value
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"a constant is {value!r}; it must be a number.") from None


def constant(default: float) -> Any:
    """Field declaration of a scalar constant with a default."""
    return eqx.field(default=default, converter=as_constant)


def check_constants(
    system: AbstractSystem,
    *,
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
) -> None:
    """Refuse constants that are no finite scalars or break their sign.

    Tracers are let through: inside a transformation the values are unknown.
    **Raises:** `ConfigError`.
    """
    owner = type(system).__name__
    for name in system.param_names:
        value = getattr(system, name)
        if jnp.shape(value) != ():
            raise ConfigError(
                f"{owner}: {name} has shape {jnp.shape(value)}; it must be one number. "
                "For a family of systems give the varying constants as params or "
                "context."
            )
        try:
            number = float(value)
        except jax.errors.ConcretizationTypeError:
            continue
        rule, good = "a finite number", np.isfinite(number)
        if name in positive:
            rule, good = "a finite number above 0", good and number > 0
        elif name in not_negative:
            rule, good = "a finite number, 0 or above", good and number >= 0
        if not good:
            raise ConfigError(f"{owner}: {name} is {number:g}; it must be {rule}.")


def system(which: str | AbstractSystem, **constants: ArrayLike) -> AbstractSystem:
    """A known system by its registered name, or the system itself.

    **Arguments:** `constants`: values of its fields, when built by name.
    **Raises:** `ConfigError` for an unknown name or constant, with the nearest.

    ```python
    >>> from pendula.systems import system
    >>> system("pendulum", length=0.5).param_names[:2]
    ('length', 'gravity')

    ```
    """
    if isinstance(which, AbstractSystem):
        if constants:
            raise ConfigError(
                f"{type(which).__name__} is already built; the constants "
                f"{', '.join(constants)} belong to its construction."
            )
        return which
    kind = lookup("system", which)
    for name in constants:
        if name not in kind.param_names:
            raise ConfigError(
                f'system "{which}" has no constant "{name}".'
                f"{nearest(name, kind.param_names)} It has: "
                f"{', '.join(kind.param_names)}."
            )
    return kind(**constants)
