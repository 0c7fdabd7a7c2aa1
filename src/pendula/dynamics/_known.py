"""Known laws: the physics that a user can name, with constants given or unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError, nearest
from .._registry import lookup, names, register
from .._source import Source
from .._types import AnyArray, Context, Control, State, Time
from ._constants import Constant, Sign, constant
from ._field import AbstractField


class Law(NamedTuple):
    """A law of one coordinate: `value(q, v, u, c)` with its constants.

    `constants` maps a name to (sign, unit text); `text` is the formula. A law with
    `links` is no force but a body, all coordinates together (see `Links`); one with
    `line` joins all channels, the nodes of a line (see `ReactionDiffusion`).
    """

    value: Callable[[Array, Array, Any, Mapping[str, AnyArray]], Float[Array, ""]]
    constants: dict[str, tuple[Sign, str]]
    text: str
    links: int = 0
    relative: bool = False
    line: bool = False


def known_law(name: str, law: Law) -> Law:
    """Register a law of your own under a name, so that models that use it can be
    saved (loading such a model needs the same registration first).

    **Raises:** `ConfigError` for a name that stands for another law already:
    programs compiled with it, and saved models, would silently change.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Law, known_law
    >>> force = lambda q, v, u, c: -c["k5"] * q**5
    >>> quintic = Law(force, {"k5": ("any", "1/s2")}, "-k5 q^5")
    >>> known_law("quintic_spring_example", quintic).text
    '-k5 q^5'

    ```
    """
    if name in names("known"):
        taken: Law = lookup("known", name)
        if _content(taken) != _content(law):
            raise ConfigError(
                f'the law "{name}" ({taken.text}) is already registered by '
                f"{getattr(taken.value, '__module__', 'another module')} with another "
                "content. Choose another name."
            )
        return taken
    register("known", name)(law)
    return law


def _content(law: Law) -> tuple:
    """What makes two laws the same, also when their definition is run again."""
    function = law.value
    code = getattr(function, "__code__", function)
    cells = getattr(function, "__closure__", None) or ()
    inside = [cell.cell_contents for cell in cells]
    return code, getattr(function, "__defaults__", None), inside, law[1:]


def _smooth_sign(v: Array, width: Array) -> Array:
    return jnp.tanh(v / width)


known_law(
    "gravity_pendulum",
    Law(
        lambda q, v, u, c: -c["w2"] * jnp.sin(q - c["zero"]),
        {"w2": ("positive", "1/s2"), "zero": ("any", "rad")},
        "-w2 sin(q - zero)",
    ),
)
known_law(
    "spring",
    Law(lambda q, v, u, c: -c["k"] * q, {"k": ("any", "1/s2")}, "-k q"),
)
known_law(
    "cubic_spring",
    Law(lambda q, v, u, c: -c["k3"] * q**3, {"k3": ("any", "")}, "-k3 q^3"),
)
known_law(
    "viscous",
    Law(lambda q, v, u, c: -c["c"] * v, {"c": ("positive", "1/s")}, "-c v"),
)
known_law(
    "quadratic_drag",
    Law(
        lambda q, v, u, c: -c["d"] * v * jnp.abs(v),
        {"d": ("positive", "")},
        "-d v |v|",
    ),
)
known_law(
    "coulomb",
    Law(
        lambda q, v, u, c: -c["f"] * _smooth_sign(v, c["width"]),
        {"f": ("positive", ""), "width": ("positive", "")},
        "-f tanh(v / width)",
    ),
)
known_law(
    "input",
    Law(
        lambda q, v, u, c: c["b"] * u[0],
        {"b": ("any", "")},
        "b u",
    ),
)
known_law("constant", Law(lambda q, v, u, c: c["g"], {"g": ("any", "")}, "g"))

# What stands for a constant of these names when nobody gives one.
STARTS = {"width": 0.05, "zero": 0.0}


@register("module")
class Known(AbstractField):
    r"""A law by its name, acting on one coordinate of a `SecondOrder` field.

    $$ a_{on} = \ell(q_{on}, v_{on}, u; c) $$

    **Arguments:**
    - `law`: a registered name (`gravity_pendulum`, `spring`, `cubic_spring`,
      `viscous`, `quadratic_drag`, `coulomb`, `input`, `constant`, or your own).
    - `n`: number of coordinates; `on`: the coordinate the law acts on; `channel`:
      the input it uses; `extra`: first-order channels behind the accelerations.
    - `free`: names of constants to be found; their given values are the start;
      `scales`: their natural sizes (default: the size of the start).
    - further keywords: the constants, e.g. `w2=64.0` [1/s^2].

    **Shapes:** returns `"n + extra"`, zero but for coordinate `on`.
    **Raises:** `ConfigError` for unknown laws or constants, or missing ones.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, sections 11, 21, 25, 28;
    `coulomb` smoothed as in Andersson, Soderberg, Bjorklund 2007.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known
    >>> law = Known("spring", k=4.0)
    >>> law(jnp.zeros(()), jnp.array([0.5, 1.0]), None, None).tolist()
    [-2.0]

    ```
    """

    source: ClassVar[Source] = Source("Landau1976", "sections 11, 21, 25 and 28")

    constants: dict[str, Constant]
    law: str = eqx.field(static=True)
    n: int = eqx.field(static=True)
    on: int = eqx.field(static=True)
    channel: int = eqx.field(static=True)
    extra: int = eqx.field(static=True)

    def __init__(
        self,
        law: str,
        n: int = 1,
        on: int = 0,
        *,
        free: tuple[str, ...] | list[str] = (),
        channel: int = 0,
        extra: int = 0,
        scales: Mapping[str, float] | None = None,
        **constants: float,
    ) -> None:
        entry: Law = lookup("known", law)
        if entry.links:
            raise ConfigError(
                f'law "{law}" is a body of {entry.links} links, not a force of one '
                "coordinate. Use Lagrangian(Links(...)), or learn with --known "
                f"{law}."
            )
        if entry.line:
            raise ConfigError(
                f'law "{law}" acts along a line of nodes, not on one coordinate. Use '
                f"ReactionDiffusion, or learn with --known {law}."
            )
        for name in [*constants, *free]:
            if name not in entry.constants:
                raise ConfigError(
                    f'law "{law}" has no constant "{name}".'
                    f"{nearest(name, entry.constants)} "
                    f"It has: {', '.join(entry.constants)}."
                )
        if not 0 <= on < n:
            raise ConfigError(f'law "{law}": on={on}, but there are {n} coordinates.')
        self.constants = {}
        for name, (sign, _) in entry.constants.items():
            start = constants.get(name, STARTS.get(name))
            if start is None and name in free:
                start = 1.0
            if start is None:
                raise ConfigError(
                    f'law "{law}": constant "{name}" has no value. Give '
                    f"{name}=NUMBER, or list it as free."
                )
            if not math.isfinite(start) or (sign == "positive" and not start > 0):
                must = "> 0" if sign == "positive" else "finite"
                raise ConfigError(
                    f'law "{law}": {name} is {start:g}; it must be {must}.'
                )
            scale = (scales or {}).get(name, abs(start) or 1.0)
            self.constants[name] = constant(
                start, free=name in free, sign=sign, scale=scale
            )
        self.law, self.n, self.on = law, n, on
        self.channel, self.extra = channel, extra

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        entry: Law = lookup("known", self.law)
        c = {k: v.value for k, v in self.constants.items()}
        q, v = y[self.on], y[self.n + self.on]
        u = None if u is None else u[self.channel :]
        value = entry.value(q, v, u, c)
        return jnp.zeros(self.n + self.extra, y.dtype).at[self.on].set(value)
