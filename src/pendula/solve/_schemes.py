"""One-step schemes of fixed step: explicit Runge-Kutta tableaux and leapfrog."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from .._errors import ConfigError, ShapeError
from .._registry import lookup, register
from .._source import Source
from .._types import Context, Control, State, Time


Field = Callable[[Time, State, Any, Context], State]
Inputs = Callable[[Time], Control | None]


class AbstractScheme(abc.ABC):
    """A one-step method y(t) -> y(t + dt); hashable, so that it may be static."""

    name: str
    order: int
    source: ClassVar[Source]
    needs_second_order: ClassVar[bool] = False
    """Whether the state must be (q, v) with dq/dt = v."""

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

    def steps(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        count: int,
        inputs: Inputs,
        context: Context,
    ) -> State:
        """The state after `count` steps, between which inputs do not jump."""

        def one(y: State, k: Time) -> tuple[State, None]:
            s = k * dt
            later = lambda r: inputs(s + r)
            return self.step(field, t + s, y, dt, later, context), None

        return jax.lax.scan(one, y, jnp.arange(count, dtype=jnp.asarray(dt).dtype))[0]


@dataclasses.dataclass(frozen=True)
class Tableau(AbstractScheme):
    r"""An explicit Runge-Kutta method given by its Butcher tableau.

    $$ k_i = f(t + c_i h,\; y + h \sum_{j<i} a_{ij} k_j), \quad
       y' = y + h \sum_i b_i k_i $$

    **Arguments:** `a`: strictly lower triangular rows; `b`, `c`: weights and
    nodes; `order`: the order of accuracy (checked by the tests).
    **Raises:** `ConfigError` if the lengths do not fit, the weights do not sum to 1
    or a row of `a` does not sum to its node.
    **Source:** Hairer, Norsett, Wanner, Solving Ordinary Differential
    Equations I, section II.1.
    """

    source: ClassVar[Source] = Source("Hairer1993", "section II.1")

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
        sums = [(sum(self.b), 1.0, "the weights b")]
        for i, (row, node) in enumerate(zip(self.a, self.c, strict=True)):
            sums.append((sum(row), node, f"row {i} of a"))
        for found, wanted, what in sums:
            if abs(found - wanted) > 1e-12:
                raise ConfigError(
                    f'tableau "{self.name}": {what} sums to {found:g}; it must be '
                    f"{wanted:g}, or the method does not converge."
                )

    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
        first: State | None = None,
    ) -> State:
        """The state after one step; `first` is the rate at its begin, where a rule
        whose first node is 0 need not ask for it again."""
        slopes: list[State] = [] if first is None else [first]
        for row, node in list(zip(self.a, self.c, strict=True))[len(slopes) :]:
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

    $$ q' = q + h\,(v + \tfrac h2 a), \quad
       v' = v + \tfrac h2 \big(a + a(t + h, q', v + h\,a)\big), \quad
       a = a(t, q, v) $$

    Of order 2; symplectic and reversible when the acceleration does not depend on
    v. With damping the last kick sees a predicted velocity, which keeps the order.
    Steps in a row share the acceleration between them: one evaluation each, and one.
    The first half of what the field returns is taken to be v and not looked at.

    **Shapes:** `"dim"` even, first half q, second half v.
    **Raises:** `ShapeError` for an odd number of components.
    **Behaviour / good values:** for long horizons with a conserved energy, whose
    error stays bounded; steps below 1/20 of the shortest period.
    **Source:** Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed.
    2006, section I.1.4; the predicted velocity is ours.
    """

    source: ClassVar[Source] = Source("Hairer2006", "section I.1.4")
    needs_second_order: ClassVar[bool] = True

    name: str = "leapfrog"
    order: int = 2

    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
    ) -> State:
        return self.steps(field, t, y, dt, 1, inputs, context)

    def steps(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        count: int,
        inputs: Inputs,
        context: Context,
    ) -> State:
        n, odd = divmod(y.shape[0], 2)
        if odd:
            raise ShapeError(
                f"leapfrog: the state has {y.shape[0]} components; it needs positions "
                "and as many velocities. Use another scheme."
            )

        def one(now: tuple, k: Time) -> tuple[tuple, None]:
            q, v, first = now
            end = (k + 1.0) * dt
            q = q + dt * (v + 0.5 * dt * first)
            predicted = jnp.concatenate([q, v + dt * first])
            second = field(t + end, predicted, inputs(end), context)[n:]
            return (q, v + 0.5 * dt * (first + second), second), None

        now = (y[:n], y[n:], field(t, y, inputs(0.0 * dt), context)[n:])
        ks = jnp.arange(count, dtype=jnp.asarray(dt).dtype)
        if count == 1:
            (q, v, _), _ = one(now, ks[0])
        else:
            (q, v, _), _ = jax.lax.scan(one, now, ks)
        return jnp.concatenate([q, v])


_third = 1.0 / 3.0
EULER = Tableau("euler", 1, ((),), (1.0,), (0.0,))
"""Euler's explicit scheme, of order 1."""
MIDPOINT = Tableau("midpoint", 2, ((), (0.5,)), (0.0, 1.0), (0.0, 0.5))
"""The explicit midpoint rule, of order 2."""
HEUN = Tableau("heun", 2, ((), (1.0,)), (0.5, 0.5), (0.0, 1.0))
"""Heun's scheme (the explicit trapezoidal rule), of order 2."""
RK3 = Tableau(
    "rk3",
    3,
    ((), (0.5,), (-1.0, 2.0)),
    (1.0 / 6.0, 2.0 * _third, 1.0 / 6.0),
    (0.0, 0.5, 1.0),
)
"""Kutta's scheme of order 3."""
RK4 = Tableau(
    "rk4",
    4,
    ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)),
    (1.0 / 6.0, _third, _third, 1.0 / 6.0),
    (0.0, 0.5, 0.5, 1.0),
)
"""The classical Runge-Kutta scheme of order 4."""
RK4_38 = Tableau(
    "rk4_38",
    4,
    ((), (_third,), (-_third, 1.0), (1.0, -1.0, 1.0)),
    (0.125, 0.375, 0.375, 0.125),
    (0.0, _third, 2.0 * _third, 1.0),
)
"""Kutta's 3/8 rule, of order 4."""
LEAPFROG = Leapfrog()
"""For second-order states: symplectic where forces know positions only, of order 2."""

for _scheme in (EULER, MIDPOINT, HEUN, RK3, RK4, RK4_38, LEAPFROG):
    register("scheme", _scheme.name)(_scheme)


def scheme(which: str | AbstractScheme) -> AbstractScheme:
    """A scheme by its name (``"euler"``, ``"midpoint"``, ``"heun"``, ``"rk3"``,
    ``"rk4"``, ``"rk4_38"``, ``"leapfrog"``, ``"yoshida4"``, ``"implicit_midpoint"``,
    ``"kvaerno5"``), or the scheme itself.

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
