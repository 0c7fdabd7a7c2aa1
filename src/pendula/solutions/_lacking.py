"""Conditions that an equation asks for, and that nobody has given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np
from jaxtyping import Float

from .._precision import precision
from ._blocks import with_times
from ._conditions import SIDED, Integral, Observation, Periodic
from ._law import Need
from ._parts import Windows
from ._problem import Problem
from ._window import law_and_slopes


_POINTS, _TIMES = 32, 9
_NOTHING = 1e-6  # of a coefficient's largest value


def lacking(
    problem: Problem,
    windows: Windows,
    unknown: Mapping[str, float],
    met: Sequence[str] = (),
) -> str | None:
    r"""Why many functions solve a problem, where its boundary is not told enough.

    An equation of order n in a coordinate asks for n conditions at its two ends, fewer
    where its leading coefficient vanishes there; one of first order in time and space
    for what flows in. Of several fields, only that nothing at all is given is seen.
    Measurements and integrals may stand for conditions: then nothing is said.

    **Arguments:** `met`: sides where another problem says what holds.
    """
    domain = problem.domain
    if domain is None or any(
        isinstance(c, Observation | Integral) for c in problem.conditions
    ):
        return None
    at = _Coefficients(problem, windows, unknown)
    reason = next(iter(_reasons(problem, at, met)), None)
    return reason and f"{reason}: many functions solve that, and this is one of them"


def _reasons(problem: Problem, at: _Coefficients, met: Sequence[str]) -> Iterator[str]:
    """For each coordinate that has ends."""
    domain = problem.domain
    assert domain is not None
    given = [*met, *(s for c in problem.conditions for s in _on(problem, c))]
    single = len(problem.fields) == 1
    for coord in domain.coords:
        order = problem.law.order(coord)
        own = [side for side in (f"{coord}-", f"{coord}+") if side in domain.sides]
        count = sum(side in own for side in given)
        for c in problem.conditions:  # at both ends together
            if isinstance(c, Periodic) and c.axis == coord:
                count += c.order - 2
        if single and order == 1 and problem.time is not None:
            for side in own:
                if side not in given and at.flows_in(coord, side):
                    yield f'nothing is given on "{side}", where something flows in'
        elif single and order > 1 and own:
            free = sum(at.vanishes(coord, order, s) for s in own if s not in given)
            if count < order - free:
                yield (
                    f"the equation has order {order} in {coord} and asks for {order} "
                    f"conditions at its ends; given: {count}"
                )
        elif order > (0 if single else 1) and domain.sides and not given:
            yield "nothing is given on the boundary"
        elif single and order > 1 and domain.sides:  # none of them its ends
            for side in sorted(set(domain.sides) - set(given)):
                if not at.vanishes(coord, order, side):
                    yield f'nothing is given on "{side}"'


def _on(problem: Problem, condition: object) -> list[str]:
    """The sides that a condition belongs to."""
    if isinstance(condition, Periodic):
        return [f"{condition.axis}-", f"{condition.axis}+"]
    return list(problem.on(condition)) if isinstance(condition, SIDED) else []


class _Coefficients:
    """Slopes of a law of one field on sides."""

    def __init__(
        self, problem: Problem, windows: Windows, unknown: Mapping[str, float]
    ) -> None:
        self.problem, self.windows = problem, windows
        with precision(np.float64):
            self.params = jax.tree.map(np.asarray, problem.values(unknown))

    def _of(
        self, space: Float[np.ndarray, "point coord"], name: str, order: int
    ) -> Float[np.ndarray, "value"]:
        """The coefficient of a derivative at points of space, at several times."""
        problem, law = self.problem, self.problem.law
        orders = tuple(order * (c == name) for c in problem.coords)
        points = space
        if problem.time is not None:
            t = np.linspace(problem.time[0], self.windows.reached(), _TIMES)
            points = with_times(space, t)
        wanted = sorted({need.orders for need in law.needs})
        found = self.windows.values(points, wanted)
        values = np.stack([found[n.orders][:, n.field] for n in law.needs], 1)
        slopes = law_and_slopes(law, values, points, self.params)[1]
        need = Need(0, orders)
        if need not in law.needs:
            return np.zeros(len(points))
        return slopes[:, 0, law.needs.index(need)]

    def _side(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        assert self.problem.domain is not None
        return self.problem.domain.on_side(side, _POINTS)

    def vanishes(self, coord: str, order: int, side: str) -> bool:
        """Whether the coefficient of the highest derivative is 0 on a side."""
        assert self.problem.domain is not None
        inside = np.abs(self._of(self.problem.domain.nodes(_POINTS), coord, order))
        there = np.abs(self._of(self._side(side)[0], coord, order))
        return bool(there.max() <= _NOTHING * inside.max())

    def flows_in(self, coord: str, side: str) -> bool:
        """Whether the speed points inwards somewhere on a side."""
        space, normals = self._side(side)
        rate, slope = self._of(space, "t", 1), self._of(space, coord, 1)
        if not rate.all():
            return False
        axis = self.problem.coords.index(coord)
        out = np.repeat(normals[:, axis], len(rate) // len(normals))
        speed = slope / rate  # u_t + speed u_x
        return bool((speed * out).min() < -_NOTHING * np.abs(speed).max())
