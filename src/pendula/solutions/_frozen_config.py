"""Settings of the fast path."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from .._checks import fields_positive, fields_whole, positive, whole
from .._errors import ConfigError
from ._problem import Problem


@dataclasses.dataclass(frozen=True)
class FrozenConfig:
    """Settings of the fast path; None: chosen from the problem.

    Attributes say what they are; those that matter most are the slopes, and how many
    points there are for each feature.
    """

    features: int | None = None
    """Neurons in a window."""
    nodes: int | None = None
    """Collocation points in space."""
    times: int | None = None
    """Collocation points in time, in a window."""
    slopes: tuple[float, ...] | None = None
    """Slopes in space that are tried."""
    slope_t: float | None = None
    """Slopes in time."""
    harmonics: int = 2
    """Multiples of a periodic coordinate."""
    windows: int | tuple[float, ...] | None = None
    """How many of equal length, or where they begin and end; None: their lengths
    follow the residual."""
    most_windows: int = 400
    """When to give up."""
    newton: int = 25
    """Gauss-Newton iterations in a window, at most."""
    carry: bool = True
    """Whether a periodic start decays as the linear part says."""
    graded: bool = True
    """Whether neurons and points gather where the solution is steep, as soon as they
    have to."""
    gathered: bool = False
    """Whether they do from the first window on."""
    soft_weight: float = 10.0
    """Of conditions that are rows, against the equation."""
    sigma_r: float = 1e-3
    """What the equation's rows may be off by, in units of the solution, where unknown
    parameters are fitted to measurements: both then have their standard deviations."""
    seed: int = 0
    """Of the neurons."""

    def __post_init__(self) -> None:
        least = {"harmonics": 1, "most_windows": 1, "newton": 1, "seed": 0}
        fields_whole(self, "frozen", **least)
        for name in ("features", "nodes", "times"):
            if getattr(self, name) is not None:
                whole(1, "frozen", **{name: getattr(self, name)})
        fields_positive(self, "frozen", "soft_weight", "sigma_r")
        if self.slope_t is not None:
            positive("frozen", slope_t=self.slope_t)
        if self.slopes is not None:
            if not (isinstance(self.slopes, Sequence) and self.slopes):
                raise ConfigError(
                    f"frozen: slopes are {self.slopes}; give a tuple with at least one."
                )
            for slope in self.slopes:
                positive("frozen", slopes=slope)
        for name in ("carry", "graded", "gathered"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(
                    f"frozen: {name} is {getattr(self, name)!r}; it is True or False."
                )
        self._check_windows()

    def _check_windows(self) -> None:
        edges = self.windows
        if not isinstance(edges, Sequence):
            if edges is not None:
                whole(1, "frozen", windows=edges)
            return
        numbers = all(isinstance(t, int | float | np.number) for t in edges)
        grows = numbers and all(a < b for a, b in itertools.pairwise(edges))
        if len(edges) < 2 or not grows or not all(map(math.isfinite, edges)):
            raise ConfigError(
                f"frozen: windows are {edges}; give how many, or where they begin and "
                "end, growing."
            )
        object.__setattr__(self, "windows", tuple(map(float, edges)))

    def filled(self, problem: Problem) -> FrozenConfig:
        """With the sizes that fit the number of coordinates."""
        space = 0 if problem.domain is None else problem.domain.dim
        timed = problem.time is not None
        periodic = problem.domain is not None and all(problem.domain.periodic)
        # what swings has to be followed in long windows: with short ones the errors
        # of starts and rates add up from window to window
        swings = any(problem.time_order(k) > 1 for k in range(len(problem.fields)))
        if timed:
            line = (300, 64, 14) if periodic else (400, 80, 10)
            line = (400, 40, 24) if swings and not periodic else line
            plane = (700, 20**2, 8)
            many = (700, _evenly(space, 800), 8)
            sizes = {0: (40, 1, 40), 1: line, 2: plane}.get(space, many)
        else:
            many = (700, _evenly(space, 3400), 1)
            sizes = {1: (300, 600, 1), 2: (700, 45**2, 1)}.get(space, many)
        defaults = {
            "features": sizes[0],
            "nodes": sizes[1],
            "times": sizes[2],
            "slope_t": 2.0 if swings and not periodic else 1.0,
            "slopes": (0.25, 0.5, 1.0) if periodic else (8.0, 4.0, 16.0),
        }
        given = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **given)

    def grown(self, dim: int, level: int, denser: int = 0) -> FrozenConfig:
        """Half as many neurons again for each level, and points to go with them in so
        many coordinates of space; and `denser` times half as many points again."""
        points = 1.35 ** (min(dim, 2) * level) * 1.5**denser
        later = 1.15**level if dim else 1.5 ** (level + denser)
        return dataclasses.replace(
            self,
            features=math.ceil(1.5**level * (self.features or 1)),
            nodes=math.ceil(points * (self.nodes or 1)),
            times=math.ceil(later * (self.times or 1)),
        )


def _evenly(dim: int, count: int) -> int:
    """About so many points, as many along each axis: what determines the features, in
    however many coordinates."""
    return round(count ** (1.0 / max(dim, 1))) ** dim
