"""A solved problem: values, derivatives, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ._derivatives import Orders, orders_of
from ._parts import Windows
from ._problem import Problem
from ._reach import Outside, look
from ._report import SolveReport


class Solution:
    r"""The function that a solver has found.

    `solution(x, t)` gives its values, `solution.d("xx")(x, t)` a derivative,
    `solution.report` error estimate, certificate, diagnosis and cost, `solution.params`
    the parameters with the unknown ones found.

    Coordinates are arrays that broadcast against each other; values come as float64
    NumPy arrays of that shape, as a dictionary by field where there are several.
    Periodic coordinates may be any number of turns away. Elsewhere outside the domain,
    or at times that the solve has not reached, nothing is known: `DataError`, unless
    the call says `outside="nan"` (for plots) or `outside="extrapolate"`.
    """

    def __init__(
        self,
        problem: Problem,
        windows: Windows,
        report: SolveReport,
        unknown: dict[str, float],
    ) -> None:
        self.problem, self.windows, self.report = problem, windows, report
        self.unknown = unknown

    @property
    def params(self) -> dict[str, Any]:
        """All parameters, the unknown ones as found."""
        return {**self.problem.params, **self.unknown}

    @property
    def reached(self) -> float:
        """The time up to which it was solved; 0 without time."""
        return self.windows.reached()

    def __call__(self, *at: ArrayLike, outside: Outside = "raise") -> Any:
        """Values at coordinates."""
        return self._look((0,) * len(self.problem.coords), at, outside)

    def d(self, name: str) -> Callable[..., Any]:
        """A derivative by name, as a function of the coordinates."""
        orders = orders_of(name, self.problem.coords)

        def derivative(*at: ArrayLike, outside: Outside = "raise") -> Any:
            return self._look(orders, at, outside)

        return derivative

    def values(
        self, points: Float[np.ndarray, "point coord"], wanted: Sequence[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point field"]]:
        """Derivatives of all fields at points, wherever those lie: for code that knows
        where the solution is known."""
        return self.windows.values(points, wanted)

    def _look(self, orders: Orders, at: Sequence[ArrayLike], outside: Outside) -> Any:
        values = lambda points: self.values(points, [orders])[orders]
        return look(values, at, self.problem, self.reached, outside, "solution")
