"""What every method hands to the facade."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from ._parts import Windows
from ._problem import Problem


SAFETY = 0.1
"""Of the tolerance: what the residuals of all windows may add up to; errors grow."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A solution's parts and how they came about.

    `train`, `check`: name of a block -> RMS of its rows at its points and between
    them, relative to the solution, of the worst window; `unknown`: parameters found.
    """

    windows: Windows
    converged: bool
    weights: int
    points: int
    iterations: int
    train: dict[str, float]
    check: dict[str, float]
    condition: float | None = None
    unknown: dict[str, float] = dataclasses.field(default_factory=dict)
    unknown_sd: dict[str, float] = dataclasses.field(default_factory=dict)
    """Their standard deviations, where there are measurements."""
    unknown_interval: dict[str, tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )
    """What holds them with 95 %."""
    missed: float | None = None
    """RMS in sigma by which measurements are missed, where that is no noise."""
    lacking: str | None = None
    """Why the equation and its conditions do not have one solution."""
    ended: str = ""
    """Why it did not come to the end of the time, where that was not the budget."""
    notes: tuple[str, ...] = ()
    near: bool = False
    """Whether residuals that do not add up to less than `SAFETY` of the tolerance do to
    less than the tolerance itself."""
    used: Any = None
    """Settings that the largest window needed, where a method changes them."""
    signals: dict[str, float] | Callable[[], dict[str, float]] = dataclasses.field(
        default_factory=dict
    )
    """What a training tells the diagnosis, or a function that works it out (it takes
    more gradients, and steps in float64), each where it is known:

    - `bits`: 32 or 64, of the numbers it was done in;
    - `stopped`: 1 where time or steps ran out, 0 where it ended by itself;
    - `loss`, and `decrease`: the lowest one, and by what share of itself it fell over
      the last 50 at which it was looked; `recent`: how many iterations these were;
      `decrease64`: the same for a few more steps in float64;
    - `gradient`: the norm at the end; `alignment`: of the terms' gradients, from -1
      (opposed) to 1; `weight_ratio`: largest over smallest weight of a term;
    - `damping`, and `damping_change`: of Levenberg-Marquardt, and how far its log10
      moved in the last 50 iterations;
    - `condition`: of the Gauss-Newton matrix; `curvature_step`: the curvature along the
      next step of a first-order method times its length, above 2 where it overshoots.
    """


@runtime_checkable
class Method(Protocol):
    """A way to solve a problem: a frozen dataclass of settings."""

    name: ClassVar[str]

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve; the best so far where the time is up, never an exception for that."""
        ...

    def finer(self, problem: Problem, outcome: Outcome) -> Method:
        """More weights, more points, another seed, the windows of the outcome: to
        estimate its error with."""
        ...


@dataclasses.dataclass(frozen=True)
class Deadline:
    """When to stop: seconds of `time.perf_counter`."""

    at: float = np.inf

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """So many seconds from now."""
        return cls(time.perf_counter() + seconds)

    def passed(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self.at

    def left(self) -> float:
        """Seconds that are left."""
        return self.at - time.perf_counter()
