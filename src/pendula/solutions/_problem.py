"""A differential equation with all that belongs to it."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import ConfigError, DataError, ShapeError, nearest
from .._precision import precision
from ._conditions import (
    SIDED,
    Condition,
    Dirichlet,
    Initial,
    Observation,
    Periodic,
    is_finite,
)
from ._domain import AbstractDomain, find_side
from ._given import is_number, numbers, of_kind, told
from ._law import Law, record
from ._lift import misses
from ._unknown import Unknown


SLACK = 1e-9
"""Of the length of a domain: what rounding may take points across its edge by."""
_PROBES = 512
_BESIDE = 0.1  # of the scale of an unknown parameter
_MOMENTS = 33  # at which the value of an integral is looked at


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    r"""Find u such that $r(u, \partial u; x, t, p) = 0$ in a domain, with conditions.

    **Arguments:**
    - `residual(u, x, .., t, p)`: the equation at one point, in plain JAX; `u` is a
      `Field` (a tuple of them where there are several), the coordinates are scalars,
      `p` has the parameters as attributes. It gives a scalar, or a tuple of equations.
    - `domain`: where in space; None for an ordinary differential equation.
    - `time`: (t0, t1); None where nothing changes in time.
    - `conditions`: `Initial`, `Dirichlet`, `Neumann`, `Robin`, `Periodic`,
      `Observation`, `Integral`.
    - `params`: name -> number, array or `Unknown`.
    - `fields`: names of what is looked for.
    - `name`: for reports.

    **Raises:** `ConfigError`, `ShapeError`, `DataError` for what cannot be solved, with
    the argument's name, before anything is compiled.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions import Initial, Interval, Problem
    >>> problem = Problem(
    ...     lambda u, x, t, p: u.t + p.beta * u.x,
    ...     domain=Interval(0.0, 2 * jnp.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ...     params={"beta": 30.0},
    ... )
    >>> problem.law.names()
    ['u_t', 'u_x']

    ```
    """

    residual: Callable[..., Any]
    domain: AbstractDomain | None = None
    time: tuple[float, float] | None = None
    conditions: Sequence[Condition] = ()
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fields: tuple[str, ...] = ("u",)
    name: str = "problem"

    def __post_init__(self) -> None:
        self._check_shape()
        self._check_params()
        for condition in self.conditions:
            self._check_condition(condition)
        self.law.names()  # what the residual cannot be is said here, not in a solver
        self._check_enough()

    @property
    def coords(self) -> tuple[str, ...]:
        """The coordinates' letters, time last."""
        space = () if self.domain is None else self.domain.coords
        return space if self.time is None else (*space, "t")

    @functools.cached_property
    def law(self) -> Law:
        """The residual with the derivatives that it uses."""
        with precision(np.float64):
            return record(
                self.residual, self.coords, self.fields, self.tried(), self._probes()
            )

    @functools.cached_property
    def unknowns(self) -> dict[str, Unknown]:
        """The parameters that are looked for."""
        return {k: v for k, v in self.params.items() if isinstance(v, Unknown)}

    def values(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters as arrays, the unknown ones as given."""
        known = {k: v for k, v in self.params.items() if k not in self.unknowns}
        number = jnp.result_type(float)  # whole numbers too: slopes are taken in them
        return {k: jnp.asarray(v, number) for k, v in {**known, **found}.items()}

    def tried(self) -> dict[str, Any]:
        """Parameters to find out with what a residual needs: unknown ones lie beside
        their guess, for at a guess of 0 their term would seem to be none."""
        return self.values({k: u.value(_BESIDE) for k, u in self.unknowns.items()})

    def field_index(self, name: str | None) -> int:
        """The position of a field, the first for None. **Raises:** `ConfigError`."""
        if name is None:
            return 0
        if name not in self.fields:
            raise ConfigError(
                f'there is no field "{name}".{nearest(str(name), self.fields)} Fields '
                f"are {', '.join(self.fields)}."
            )
        return self.fields.index(name)

    def on(self, condition: Any) -> tuple[str, ...]:
        """The sides that a condition belongs to."""
        if self.domain is None:
            raise ConfigError(
                f"{type(condition).__name__} belongs to a boundary, and there is no "
                "domain. Give one, or use Initial."
            )
        on = condition.on
        if on is None:
            return self.domain.sides
        own = f"{type(condition).__name__}: on is"
        of_kind(own, on, Sequence, 'the name of a side, or a list of them: "x-"')
        for side in on:
            of_kind(own, side, str, 'the name of a side, or a list of them: "x-"')
        return (on,) if isinstance(on, str) else tuple(on)

    def held(self, condition: Dirichlet) -> tuple[str, ...]:
        """The sides on which it is built into the form of the solution: all of them
        where it says so, else those where that form is smooth."""
        if condition.hard is False or self.domain is None:
            return ()
        if condition.hard:
            return self.on(condition)
        if self.unlifted[self.field_index(condition.field)]:
            return ()
        return self._exact(condition)

    @functools.cached_property
    def unlifted(self) -> list[str]:
        """For each field, why its boundary values are not built into its form, ""
        where they can be."""
        out = []
        for field in range(len(self.fields)):
            own = [
                c
                for c in self.conditions
                if isinstance(c, Dirichlet)
                and c.hard is not False
                and self.field_index(c.field) == field
            ]
            assert self.domain is not None or not own
            held = [(side, c.value) for c in own for side in self._exact(c)]
            if not held or self.domain is None:
                out.append("")
            elif len({c.value for c in own}) > 1 and not self.domain.mixes:
                out.append("different values meet at corners")
            else:
                out.append(misses(self.domain, held, self.time))
        return out

    def _exact(self, condition: Dirichlet) -> tuple[str, ...]:
        """The sides that have a smooth distance, or are said to be held."""
        assert self.domain is not None  # on() has refused None
        exact = self.domain.exact_sides
        sides = self.on(condition)
        return tuple(side for side in sides if condition.hard or side in exact)

    def initials(self, order: int = 0) -> dict[int, Any]:
        """Field -> what it starts with."""
        out = {}
        for condition in self.conditions:
            if isinstance(condition, Initial) and condition.order == order:
                if isinstance(condition.value, Sequence):
                    for k, value in enumerate(condition.value):
                        out[k] = dataclasses.replace(condition, value=value)
                else:
                    out[self.field_index(condition.field)] = condition
        return out

    def starts(self, condition: Initial, field: int) -> bool:
        """Whether a start of a field is built into the form of the solution; its rate
        of change only where the start is, too."""
        if condition.hard is False or self.time_order(field) <= condition.order:
            return False
        start = self.initials().get(field)
        return condition.order == 0 or (start is not None and start.hard is not False)

    def time_order(self, field: int) -> int:
        """How many initial conditions a field needs."""
        return 0 if self.time is None else self.law.order("t", field)

    @property
    def at_once(self) -> bool:
        """Whether one window has to hold all of the time: measurements and parameters
        that are looked for belong to all of it."""
        measured = any(isinstance(c, Observation) for c in self.conditions)
        return measured or bool(self.unknowns)

    def span(self) -> tuple[float, float]:
        """Beginning and end; (0, 0) without time."""
        return (0.0, 0.0) if self.time is None else self.time

    def replace(self, **changes: Any) -> Problem:
        """The same with other entries; `params` are merged."""
        if "params" in changes:
            changes["params"] = {**self.params, **changes["params"]}
        return dataclasses.replace(self, **changes)

    def _probes(self) -> np.ndarray:
        """Points all over the domain and the time."""
        rng = np.random.default_rng(1)
        space = np.zeros((_PROBES, 0))
        if self.domain is not None:
            space = rng.permutation(self.domain.nodes(_PROBES))
        if self.time is None:
            return space
        return np.c_[space, rng.uniform(*self.time, len(space))]

    def _check_shape(self) -> None:
        if self.time is None and self.domain is None:
            raise ConfigError("Problem: neither domain nor time is given. Give one.")
        if not callable(self.residual):
            raise ConfigError(
                f"Problem: the residual is {told(self.residual)}; give a function of "
                "the field, the coordinates and the parameters."
            )
        if self.domain is not None:
            wanted = "Interval(lo, hi), another domain, or None"
            of_kind("Problem: domain is", self.domain, AbstractDomain, wanted)
        if self.time is not None:
            span = check_time("Problem", self.time)
            object.__setattr__(self, "time", span)
        names = self.fields
        known = isinstance(names, Sequence) and not isinstance(names, str)
        words = known and bool(names) and all(isinstance(n, str) for n in names)
        if not words or len(set(names)) < len(names):
            raise ConfigError(
                f'Problem: fields are {names!r}; each needs a name, in a tuple: ("u",).'
            )
        object.__setattr__(self, "fields", tuple(names))
        if not isinstance(self.conditions, Sequence):
            raise ConfigError(
                f"Problem: conditions are {self.conditions!r}; give a list of them."
            )

    def _check_params(self) -> None:
        wanted = 'names with their values: {"nu": 0.1}'
        of_kind("Problem: params are", self.params, Mapping, wanted)
        for name, value in self.params.items():
            of_kind("Problem: params have the name", name, str, wanted)
            if isinstance(value, Unknown):
                continue
            if not np.isfinite(numbers(f"Problem: params has {name} =", value)).all():
                raise DataError(
                    f"Problem: params has {name} = {value}; it has to be finite."
                )

    def _check_condition(self, condition: Condition) -> None:
        kind = type(condition).__name__
        if not isinstance(condition, Condition):
            raise ConfigError(f"Problem: {condition!r} is no condition. Leave it out.")
        self.field_index(condition.field)
        weight = getattr(condition, "weight", 1.0)
        if not (is_number(weight) and weight >= 0.0):
            raise ConfigError(f"{kind}: weight is {weight}; it is finite, 0 or more.")
        if condition.hard is not None:
            wanted = "True, False, or None for what the method does best"
            of_kind(f"{kind}: hard is", condition.hard, bool, wanted)
        if condition.hard and not isinstance(condition, Initial | Dirichlet):
            raise ConfigError(
                f"{kind}: hard=True, but it cannot be met exactly; it is always a term "
                "of the loss. Leave hard out."
            )
        if isinstance(condition, SIDED):
            self._check_sided(condition, kind)
        elif isinstance(condition, Periodic):
            self._check_periodic(condition)
        elif isinstance(condition, Initial):
            self._check_initial(condition)
        elif isinstance(condition, Observation):
            self._check_observation(condition)
        elif self.domain is None:
            raise ConfigError(f"{kind}: there is no domain to integrate over.")
        else:
            moments = np.linspace(*self.span(), _MOMENTS)[:, None]
            with precision(np.float64):
                is_finite(condition.value, moments, kind)

    def _check_sided(self, condition: Any, kind: str) -> None:
        periodic = self._periodic_sides()
        if not self.on(condition):  # else it would be left out without a word
            raise ConfigError(
                f"{kind} belongs to a boundary, and is given on no side: a periodic "
                "coordinate has no ends. Leave it out, say periodic=False, or name a "
                "side."
            )
        for side in self.on(condition):
            if side in periodic:
                raise ConfigError(
                    f'{kind} on "{side}": that coordinate is periodic and has no '
                    "ends. Leave the condition out, or say periodic=False."
                )
            assert self.domain is not None  # on() has refused None
            find_side(self.domain, side)
            if condition.hard:  # what has no distance says so
                self.domain.distance(side, jnp.asarray(self.domain.nodes(1)[:1]))
        with precision(np.float64):
            for side in self.on(condition):
                is_finite(condition.value, self._side_points(side), kind)

    def _check_periodic(self, condition: Periodic) -> None:
        axis = condition.axis
        if self.domain is None or axis not in self.domain.coords:
            raise ConfigError(f'Periodic: there is no coordinate "{axis}" in space.')
        if self.domain.periodic[self.domain.coords.index(axis)]:
            raise ConfigError(
                f'Periodic: the domain says already that "{axis}" is periodic. Leave '
                "the condition out, or say periodic=False."
            )
        if not {f"{axis}-", f"{axis}+"} <= set(self.domain.sides):
            raise ConfigError(f'Periodic: "{axis}" has no two ends in this domain.')

    def _check_observation(self, condition: Observation) -> None:
        points, _ = condition.arrays()
        if points.shape[1] != len(self.coords):
            raise ShapeError(
                f"Observation: points have {points.shape[1]} columns; expected "
                f"{len(self.coords)}: {', '.join(self.coords)}."
            )
        outside = np.flatnonzero(~self.contains(points))
        if outside.size:
            raise DataError(
                f"Observation: point {outside[0]}, {points[outside[0]].tolist()}, "
                "lies outside the domain. Leave it out, or enlarge the domain."
            )

    def _check_initial(self, condition: Initial) -> None:
        if self.time is None:
            raise ConfigError("Initial: there is no time. Give time=(t0, t1).")
        space = np.zeros((1, 0))
        if self.domain is not None:
            space = self.domain.nodes(64)
        values: Sequence[Any] = [condition.value]
        if isinstance(condition.value, Sequence):
            values = condition.value
            if len(values) != len(self.fields):
                raise ShapeError(
                    f"Initial: {len(values)} values for {len(self.fields)} fields."
                )
        with precision(np.float64):
            for value in values:
                is_finite(value, space, "Initial")

    def _check_enough(self) -> None:
        """As many starts as the equations ask for; no second hard condition."""
        for k, name in enumerate(self.fields):
            if self.time_order(k) > 2:
                raise ConfigError(
                    f"Problem: the equation has order {self.time_order(k)} in time for "
                    f'"{name}"; at most 2 are taken. Write it as a system.'
                )
            for order in (0, 1):
                given = self.initials(order).get(k)
                if given is None or given.hard is False:
                    continue
                if self.time_order(k) <= order:
                    raise ConfigError(
                        f'Problem: Initial(..., order={order}) of "{name}", but the '
                        f"equation has order {self.time_order(k)} in time for it. "
                        "Leave it out."
                    )
                if given.hard and not self.starts(given, k):
                    raise ConfigError(
                        f'Problem: Initial(..., order=1, hard=True) of "{name}", whose '
                        "start is no hard condition. Leave hard out, or give the start."
                    )
            for order in range(self.time_order(k)):
                soft = any(isinstance(c, Observation) for c in self.conditions)
                if k not in self.initials(order) and not soft:
                    what = "a start" if order == 0 else "a rate of change at the start"
                    raise ConfigError(
                        f"Problem: the equation has order {self.time_order(k)} in time "
                        f'and needs {what} of "{name}". Add Initial(..., '
                        f"order={order})."
                    )
        self._check_once()
        for field, reason in enumerate(self.unlifted):
            if reason and any(
                isinstance(c, Dirichlet)
                and c.hard
                and self.field_index(c.field) == field
                for c in self.conditions
            ):
                raise ConfigError(
                    f'Problem: a Dirichlet condition of "{self.fields[field]}" says '
                    f"hard=True, but {reason}. Leave hard out, or change the values."
                )

    def _check_once(self) -> None:
        """Not two that both are built into the form."""
        hard: set[tuple[Any, int]] = set()
        for condition in self.conditions:
            keys: list[tuple[Any, int]] = []
            if isinstance(condition, Dirichlet):
                field = self.field_index(condition.field)
                keys = [(f'"{side}"', field) for side in self.held(condition)]
            elif isinstance(condition, Initial) and condition.hard is not False:
                own = range(len(self.fields))
                if not isinstance(condition.value, Sequence):
                    own = [self.field_index(condition.field)]
                keys = [(f"the start, order {condition.order},", k) for k in own]
            for key in keys:
                if key in hard:
                    raise ConfigError(
                        f"Problem: two hard conditions on {key[0]} of "
                        f'"{self.fields[key[1]]}". Leave one out, or let it be a term '
                        "of the loss: hard=False."
                    )
                hard.add(key)

    def contains(self, points: np.ndarray, slack: float = SLACK) -> np.ndarray:
        """Whether each point lies in the domain and the time."""
        inside = np.ones(len(points), bool)
        if self.domain is not None:
            inside &= self.domain.contains(points[:, : self.domain.dim], slack)
        if self.time is not None:
            more = slack * (self.time[1] - self.time[0])
            t = points[:, -1]
            inside &= (t >= self.time[0] - more) & (t <= self.time[1] + more)
        return inside

    def _periodic_sides(self) -> set[str]:
        if self.domain is None:
            return set()
        pairs = zip(self.domain.coords, self.domain.periodic, strict=True)
        return {f"{c}{end}" for c, is_periodic in pairs if is_periodic for end in "-+"}

    def _side_points(self, side: str) -> np.ndarray:
        """A few points on a side, with times."""
        points, _ = self.domain.on_side(side, 8)  # type: ignore[union-attr]  # checked
        if self.time is None:
            return points
        times = np.linspace(*self.time, 5)
        return np.concatenate(
            [np.c_[points, np.full(len(points), t)] for t in times], axis=0
        )


def check_time(who: str, given: Any) -> tuple[float, float]:
    """Beginning and end. **Raises:** `ConfigError` for what is no span of time."""
    pair = numbers(f"{who}: time is", given)
    if pair.shape != (2,):
        raise ConfigError(f"{who}: time is {given}; it is (beginning, end).")
    t0, t1 = map(float, pair)
    if not (math.isfinite(t0) and math.isfinite(t1) and t1 > t0):
        raise ConfigError(
            f"{who}: time is ({t0:g}, {t1:g}); the end has to come after the "
            "beginning, both finite."
        )
    return given if isinstance(given, tuple) else (t0, t1)


def check_problem(who: str, given: Any) -> None:
    """**Raises:** `ConfigError` for what is no problem: a name, say, as the program
    takes it."""
    if not isinstance(given, Problem):
        raise ConfigError(
            f"{who}: the problem is {given!r}; give a Problem, or what "
            'named_problem("convection") makes of a name.'
        )
