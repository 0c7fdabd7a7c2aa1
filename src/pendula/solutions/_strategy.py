"""In which order a network meets time and coefficients."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from .._checks import positive, whole
from .._errors import ConfigError
from ._given import numbers
from ._problem import Problem
from ._unknown import Unknown


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training: a problem, a window, how much of it is seen, and whether a new
    window begins or the network of the last training goes on."""

    problem: Problem
    t0: float
    length: float
    share: float = 1.0
    is_new: bool = True


@dataclasses.dataclass(frozen=True)
class Whole:
    """All of the time at once."""

    def stages(self, problem: Problem) -> Iterator[Stage]:
        """One."""
        t0, t1 = problem.span()
        yield Stage(problem, t0, max(t1 - t0, 0.0) or 1.0)


@dataclasses.dataclass(frozen=True)
class InWindows:
    r"""Windows one after the other, a network each, which starts where the last one
    ended ("sequence to sequence").

    **Arguments:** `dt`: length of a window, or the edges of all.
    **Good values:** where the start is a term of the loss, a residual r makes an error
    of dt r in the solution: weigh the equation by dt (`weights=(("equation", dt),)`),
    or short windows hardly see their start.
    **Source:** Krishnapriyan et al. 2021, arXiv:2109.01050, section 4.2; Wight, Zhao
    2020.
    """

    dt: float | Sequence[float] = 0.1

    def stages(self, problem: Problem) -> Iterator[Stage]:
        """One a window."""
        for a, b in itertools.pairwise(self.edges(problem)):
            yield Stage(problem, a, b - a)

    def edges(self, problem: Problem) -> list[float]:
        """Where windows begin and end. **Raises:** `ConfigError`."""
        t0, t1 = _timed(problem, "windows")
        given = numbers("windows: dt is", self.dt)
        if given.ndim:
            edges = given.ravel().tolist()
            grows = bool((np.diff(edges) > 0.0).all())
            if not grows or edges[:1] != [t0] or edges[-1:] != [t1]:
                raise ConfigError(
                    f"windows: edges are {edges}; they have to increase from {t0:g} to "
                    f"{t1:g}."
                )
            return edges
        dt = float(given)
        positive("windows", dt=dt)
        count = max(1, math.ceil((t1 - t0) / dt - 1e-9))
        return np.linspace(t0, t1, count + 1).tolist()


@dataclasses.dataclass(frozen=True)
class Curriculum:
    r"""The same network for ever harder coefficients: trained to the end for the first
    value, then from those weights for the next.

    **Arguments:** `parameter`: its name in `params`; `values`: the way, whose last one
    is the problem's own.
    **Raises:** `ConfigError` for a parameter that the problem does not have or that is
    looked for, or a way that ends elsewhere.
    **Source:** Krishnapriyan et al. 2021, arXiv:2109.01050, section 4.1.
    """

    parameter: str
    values: Sequence[float]

    def stages(self, problem: Problem) -> Iterator[Stage]:
        """One a value, all in the same window."""
        if self.parameter not in problem.params:
            raise ConfigError(
                f'curriculum: the problem has no parameter "{self.parameter}". It has '
                f"{', '.join(problem.params) or 'none'}."
            )
        values = numbers("curriculum: values are", self.values)
        if not values.size:
            raise ConfigError("curriculum: values are empty. Give at least one.")
        if values.ndim != 1:
            raise ConfigError(f"curriculum: values are {self.values}; give a list.")
        own = problem.params[self.parameter]
        if isinstance(own, Unknown):
            raise ConfigError(
                f"curriculum: {self.parameter} is Unknown; it is found, not led. Leave "
                "the curriculum out, or take another parameter."
            )
        if not np.allclose(values[-1], own, rtol=1e-9, atol=0.0):
            raise ConfigError(
                f"curriculum: values end at {values[-1]}, and the problem has "
                f"{self.parameter} = {own}. End there."
            )
        t0, t1 = problem.span()
        for k, value in enumerate(values.tolist()):
            led = problem.replace(params={self.parameter: value})
            yield Stage(led, t0, (t1 - t0) or 1.0, is_new=k == 0)


@dataclasses.dataclass(frozen=True)
class Gradual:
    """One network, and a horizon that grows in equal steps: what was learned for early
    times is kept in the points."""

    steps: int = 10

    def stages(self, problem: Problem) -> Iterator[Stage]:
        """One a horizon."""
        t0, t1 = _timed(problem, "a growing horizon")
        whole(1, "gradual", steps=self.steps)
        for k in range(self.steps):
            share = (k + 1) / self.steps
            yield Stage(problem, t0, t1 - t0, share, is_new=k == 0)


Strategy = Whole | InWindows | Curriculum | Gradual


def _timed(problem: Problem, what: str) -> tuple[float, float]:
    if problem.time is None:
        raise ConfigError(f"{what} need a time; the problem has none.")
    return problem.time
