"""Study `pinns`: networks as solutions of differential equations, how they fail, and
solvers that do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..solutions import Problem, named_problem
from ..systems import pde_truth, truth_grid
from ._claim import Claim
from ._study import Run, study


pinns = study(
    "pinns",
    "Networks that stand for the solution of an equation: the published failures and "
    "their cures, frozen features with error estimates, certificates and diagnoses, "
    "beside classical solvers and DeepXDE.",
)
TALK = "Krishnapriyan2021"
# a splitting's own error has to be below that of what is measured with it
_FINE = {"substeps": 400, "modes": 4096}
LEFT_OUT = "Left out at the quick budget."


def left_out(run: Run, *stems: str) -> Iterator[Claim]:
    """Rows that a small budget leaves out: those whose ids are a stem, or go on from
    it with an underscore."""
    for key, row in run.rows.items():
        if any(key == stem or key.startswith(f"{stem}_") for stem in stems):
            yield row.not_run(LEFT_OUT)


class Case:
    """A named problem on its test grid, with its truth."""

    def __init__(self, name: str, **params: Any) -> None:
        self.name, self.params = name, params
        self.x, self.t = truth_grid(name)

    def until(self, end: float) -> Case:
        """With times up to an end only."""
        self.t = self.t[self.t <= end + 1e-12]
        return self

    def problem(self) -> Problem:
        """The problem."""
        return named_problem(self.name, **self.params)

    def truth(self, **more: Any) -> np.ndarray:
        """The solution, `"t x"`."""
        fine = _FINE if self.name == "reaction_diffusion" and not more else {}
        return pde_truth(self.name, self.x, self.t, **self.params, **fine, **more)

    def values(self, solution: Any) -> np.ndarray:
        """A solution on the grid, `"t x"` (fields for x, where there is no space), as
        it goes on where it was stopped: what a method missed counts as its error."""
        if solution.problem.domain is None:
            found = solution(self.t, outside="extrapolate")
            return np.stack([found[name] for name in solution.problem.fields], -1)
        return solution(self.x[None, :], self.t[:, None], outside="extrapolate")

    def error_of(self, windows: Any) -> float:
        """Relative L2 error of the parts of a solution of one field."""
        n, m = len(self.x), len(self.t)
        points = np.c_[np.tile(self.x, m), np.repeat(self.t, n)]
        found = windows.values(points, [(0, 0)])[0, 0][:, 0].reshape(m, n)
        truth = self.truth()
        return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))

    def error(self, solution: Any, **more: Any) -> float:
        """Relative L2 error on the grid."""
        truth = self.truth(**more)
        gap = np.linalg.norm(self.values(solution) - truth)
        return float(gap / np.linalg.norm(truth))
