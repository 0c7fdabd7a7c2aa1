"""What every known system offers, and how its constants are kept and checked."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar, TypeAlias

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
    order of `param_names`. What changes the shape or the kind of the state (a number
    of links, a boundary condition) is a static field, its `options`; names and units
    then depend on them.

    **Shapes and units**: state `"dim"` with one name and unit per component, input
    `"ctrl"` or None.
    """

    # A property where it depends on options
    names: ClassVar[tuple[str, ...]]
    """Names of the state's components."""
    units: ClassVar[tuple[str, ...]]
    """Their units."""
    angle: ClassVar[tuple[bool, ...]]
    """Which of them are angles."""
    input_names: ClassVar[tuple[str, ...]]
    """Names of the inputs; empty for a system that takes none."""
    input_units: ClassVar[tuple[str, ...]]
    """Their units."""
    # The same for all of a kind
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

    def push(self, u: Control | None, like: State) -> Float[Array, " ctrl"]:
        """All inputs in the dtype of `like`, 0 when there are none.

        **Raises:** `ShapeError` if `u` does not hold one value an input.
        """
        wanted = (len(self.input_names),)
        if u is None:
            return jnp.zeros(wanted, like.dtype)
        if jnp.shape(u) != wanted:
            told = zip(self.input_names, self.input_units, strict=True)
            raise ShapeError(
                f"{type(self).__name__}: the input has shape {jnp.shape(u)}; expected "
                f"{wanted}, {', '.join(f'{name} in {unit}' for name, unit in told)}."
            )
        return jnp.asarray(u, like.dtype)

    def force(self, u: Control | None, like: State) -> Float[Array, ""]:
        """The input of a system that has one: `push` as a number."""
        return self.push(u, like)[0]

    def context(self) -> Float[np.ndarray, " param"]:
        """The module's own constants as a float64 `context`."""
        own = [getattr(self, name) for name in self.param_names]
        return np.asarray([float(value) for value in own], np.float64)

    def options(self) -> dict[str, int | str]:
        """The static fields by name: what shapes the state."""
        return {name: getattr(self, name) for name in _options(type(self))}


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


def count(name: str, default: int, least: int, most: int) -> Any:
    """Field declaration of a number that shapes the state, from `least` to `most`."""

    def check(value: Any) -> int:
        # a whole number from the command line comes as a float
        whole = isinstance(value, (int, float)) and float(value).is_integer()
        if isinstance(value, bool) or not whole or not least <= value <= most:
            raise ConfigError(
                f"{name} is {value!r}; it must be a whole number from {least} to "
                f"{most}."
            )
        return int(value)

    return eqx.field(default=default, converter=check, static=True)


def choice(name: str, default: str, *others: str) -> Any:
    """Field declaration of one of several kinds."""
    allowed = (default, *others)

    def check(value: Any) -> str:
        if value not in allowed:
            raise ConfigError(
                f'{name} is "{value}"; it must be one of: {", ".join(allowed)}.'
                f"{nearest(str(value), allowed)}"
            )
        return value

    return eqx.field(default=default, converter=check, static=True)


def words(which: str) -> tuple[str, ...]:
    """Names of the options of a registered system whose value is a word."""
    fields = dataclasses.fields(lookup("system", which))
    return tuple(f.name for f in fields if isinstance(f.default, str))


def _options(kind: type[AbstractSystem]) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind) if f.metadata.get("static"))


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


def system(which: str | AbstractSystem, **constants: ArrayLike | str) -> AbstractSystem:
    """A known system by its registered name, or the system itself.

    **Arguments:** `constants`: values of its constants and options, when built by
    name.
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
    known = (*kind.param_names, *_options(kind))
    for name in constants:
        if name not in known:
            raise ConfigError(
                f'system "{which}" has no constant "{name}".{nearest(name, known)} It '
                f"has: {', '.join(known)}."
            )
    return kind(**constants)
