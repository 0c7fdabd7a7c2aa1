"""One-step schemes of fixed step: explicit Runge-Kutta tableaux and leapfrog."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .._errors import ConfigError
from .._registry import lookup, register
from .._types import Context, Control, State, Time


Field = Callable[[Time, State, Any, Context], State]
Inputs = Callable[[Time], Control | None]


class AbstractScheme(abc.ABC):
    """A one-step method y(t) -> y(t + dt); hashable, so that it may be static."""

    name: str
    order: int

    @abc.abstractmethod
    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
    ) -> State:
        """The state after one step; ``inputs(s)`` is u at time ``t + s``."""


@dataclasses.dataclass(frozen=True)
class Tableau(AbstractScheme):
    r"""An explicit Runge-Kutta method given by its Butcher tableau.

    $$ k_i = f(t + c_i h,\; y + h \sum_{j<i} a_{ij} k_j), \quad
       y' = y + h \sum_i b_i k_i $$

    **Arguments:** `a`: strictly lower triangular rows; `b`, `c`: weights and
    nodes; `order`: the order of accuracy (checked by the tests).
    **Raises:** `ConfigError` if the lengths do not fit.
    **Source:** Hairer, Norsett, Wanner, Solving Ordinary Differential
    Equations I, section II.1.
    """

    name: str
    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]

    def __post_init__(self) -> None:
        fits = len(self.b) == len(self.c) == len(self.a) and all(
            len(row) == i for i, row in enumerate(self.a)
        )
        if not fits:
            raise ConfigError(
                f'tableau "{self.name}": {len(self.a)} rows, {len(self.b)} weights, '
                f"{len(self.c)} nodes. Row i of a needs i entries, b and c one a row."
            )

    def step(self, field, t, y, dt, inputs, context):
        slopes: list[State] = []
        for row, node in zip(self.a, self.c, strict=True):
            stage = y
            for weight, slope in zip(row, slopes, strict=True):
                if weight:
                    stage = stage + (dt * weight) * slope
            shift = dt * node
            slopes.append(field(t + shift, stage, inputs(shift), context))
        out = y
        for weight, slope in zip(self.b, slopes, strict=True):
            if weight:
                out = out + (dt * weight) * slope
        return out


@dataclasses.dataclass(frozen=True)
class Leapfrog(AbstractScheme):
    r"""Kick-drift-kick for a state y = (q, v) with dq/dt = v.

    $$ v_{1/2} = v + \tfrac h2 a(t, q, v), \quad q' = q + h v_{1/2}, \quad
       v' = v_{1/2} + \tfrac h2 a(t + h, q', v_{1/2}) $$

    Symplectic and of order 2 when the acceleration does not depend on v; with
    damping the last half kick uses v at the half step, which lowers the order
    in the damping term to 1.

    **Shapes:** `"dim"` even, first half q, second half v. For long horizons with
    a conserved energy.
    **Source:** Hairer, Lubich, Wanner, Geometric Numerical Integration, I.1.4.
    """

    name: str = "leapfrog"
    order: int = 2

    def step(self, field, t, y, dt, inputs, context):
        n = y.shape[0] // 2
        q, v = y[:n], y[n:]
        half = 0.5 * dt
        v = v + half * field(t, y, inputs(0.0 * dt), context)[n:]
        q = q + dt * v
        moved = jnp.concatenate([q, v])
        v = v + half * field(t + dt, moved, inputs(dt), context)[n:]
        return jnp.concatenate([q, v])


_third = 1.0 / 3.0
EULER = Tableau("euler", 1, ((),), (1.0,), (0.0,))
MIDPOINT = Tableau("midpoint", 2, ((), (0.5,)), (0.0, 1.0), (0.0, 0.5))
HEUN = Tableau("heun", 2, ((), (1.0,)), (0.5, 0.5), (0.0, 1.0))
RK4 = Tableau(
    "rk4",
    4,
    ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
    (1.0 / 6.0, _third, _third, 1.0 / 6.0),
    (0.0, 0.5, 0.5, 1.0),
)
RK4_38 = Tableau(
    "rk4_38",
    4,
    ((), (_third,), (-_third, 1.0), (1.0, -1.0, 1.0)),
    (0.125, 0.375, 0.375, 0.125),
    (0.0, _third, 2.0 * _third, 1.0),
)
LEAPFROG = Leapfrog()

for _scheme in (EULER, MIDPOINT, HEUN, RK4, RK4_38, LEAPFROG):
    register("scheme", _scheme.name)(_scheme)


def scheme(which: str | AbstractScheme) -> AbstractScheme:
    """A scheme by its name (``"euler"``, ``"midpoint"``, ``"heun"``, ``"rk4"``,
    ``"rk4_38"``, ``"leapfrog"``), or the scheme itself.

    **Raises:** `ConfigError` with the nearest name.

    ```python
    >>> from pendula.solve import scheme
    >>> scheme("rk4").order
    4

    ```
    """
    if isinstance(which, AbstractScheme):
        return which
    return lookup("scheme", which)
