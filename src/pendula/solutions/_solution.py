"""A solved problem: values, derivatives, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import ShapeError
from ._derivatives import Orders, orders_of
from ._parts import Windows
from ._problem import Problem
from ._report import SolveReport


class Solution:
    r"""The function that a solver has found.

    `solution(x, t)` gives its values, `solution.d("xx")(x, t)` a derivative,
    `solution.report` error estimate, certificate, diagnosis and cost, `solution.params`
    the parameters with the unknown ones found.

    Coordinates are arrays that broadcast against each other; values come as float64
    NumPy arrays of that shape, as a dictionary by field where there are several.
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

    def __call__(self, *at: ArrayLike) -> Any:
        """Values at coordinates."""
        return self._look((0,) * len(self.problem.coords), at)

    def d(self, name: str) -> Callable[..., Any]:
        """A derivative by name, as a function of the coordinates."""
        orders = orders_of(name, self.problem.coords)
        return lambda *at: self._look(orders, at)

    def values(
        self, points: Float[np.ndarray, "point coord"], wanted: Sequence[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point field"]]:
        """Derivatives of all fields at points."""
        return self.windows.values(points, wanted)

    def _look(self, orders: Orders, at: Sequence[ArrayLike]) -> Any:
        points, shape = as_points(at, self.problem.coords, "solution")
        fields = self.problem.fields
        found = self.values(points, [orders])[orders].T.reshape(len(fields), *shape)
        return found[0] if len(fields) == 1 else dict(zip(fields, found, strict=True))


def as_points(
    at: Sequence[ArrayLike], coords: Sequence[str], what: str
) -> tuple[Float[np.ndarray, "point coord"], tuple[int, ...]]:
    """Coordinates that broadcast against each other, as points, and their shape.

    **Raises:** `ShapeError` for another number of coordinates than there are.
    """
    if len(at) != len(coords):
        raise ShapeError(
            f"the {what} was called with {len(at)} coordinates; there are "
            f"{len(coords)}: {', '.join(coords)}."
        )
    arrays = np.broadcast_arrays(*[np.asarray(a, np.float64) for a in at])
    return np.stack([a.ravel() for a in arrays], -1), arrays[0].shape
