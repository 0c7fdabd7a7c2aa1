"""The fast path: hidden layers that stay as they were drawn, output weights by least
squares, one window of time after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, ClassVar

import jax
import numpy as np

from .._checks import whole
from .._errors import ConfigError
from .._precision import precision
from ._blocks import with_times
from ._conditions import Observation
from ._form import HardForm, hard_form
from ._frozen_config import FrozenConfig
from ._given import of_kind
from ._laplace import Estimated, exact, posterior
from ._layout import Layout, Solved
from ._misfit import Misfits, beyond_noise, misfit_words
from ._monitor import Grading, Monitor
from ._open import left_open
from ._outcome import SAFETY, Deadline, Outcome
from ._pace import Pace
from ._parts import Windows
from ._problem import Problem
from ._window import LeastSquares, System, law_and_slopes


_LEVELS = 2  # how often neurons are added
_MORE = 5  # the same for what is cheap: a line without time, nothing to be found
_IDLE = 3  # levels without less of a residual: more will not help
_LESS = 0.7  # of the residual before: less of it
_DENSER = 2  # how often points are added
_BETWEEN = 5.0  # times the residual at the points: too few points
_SLOPES = 7  # how many slopes are tried at most
_STEEPER = 3.0  # times the slopes in time, where there is one window
_KEPT = 2e9  # bytes of tables that are kept for windows to come


@dataclasses.dataclass
class Trace:
    """What happened on the way: for the report."""

    windows: int = 0
    refused: int = 0
    iterations: int = 0
    points: int = 0
    train: list[float] = dataclasses.field(default_factory=list)
    check: list[float] = dataclasses.field(default_factory=list)
    condition: float = 0.0
    weights: int = 0
    slopes: list[float] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Frozen:
    r"""Frozen random features, output weights by least squares (Gauss-Newton where the
    equation is not linear), in windows of time whose lengths follow the residual
    between the collocation points.

    **Arguments:** `config`: see `FrozenConfig`; `levels`: how often neurons are added
    where the residual stays too large; None: 2, and 5 on a line without time where
    nothing is unknown.
    **Source:** Datar et al. 2024, arXiv:2405.20836; windows, slopes and points by the
    residual between the points are ours.
    """

    config: FrozenConfig = dataclasses.field(default_factory=FrozenConfig)
    levels: int | None = None
    name: ClassVar[str] = "frozen"

    def __post_init__(self) -> None:
        of_kind("Frozen: config is", self.config, FrozenConfig, "FrozenConfig(...)")
        if self.levels is not None:
            whole(0, "Frozen", levels=self.levels)

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve; see `FrozenSolver`."""
        levels = _levels(problem) if self.levels is None else self.levels
        return FrozenSolver(problem, self.config, levels).run(tol, deadline)

    def finer(self, problem: Problem, outcome: Outcome) -> Frozen:
        """1.5 times the features and the points along each axis of the largest window
        (of two axes, where there are more), other neurons, the same windows; no more
        than that, for what did not converge would grow beyond the memory."""
        own = outcome.used or self.config.filled(problem)
        more = lambda n: math.ceil(1.5 * (n or 1))
        dim = 0 if problem.domain is None else problem.domain.dim
        edges = (problem.span()[0], *outcome.windows.ends().tolist())
        finer = dataclasses.replace(
            own,
            features=more(own.features),
            nodes=math.ceil(1.5 ** min(dim, 2) * (own.nodes or 1)),
            times=more(own.times),
            windows=None if problem.time is None else edges,
            seed=own.seed + 1,
        )
        return Frozen(finer, levels=0)


def _levels(problem: Problem) -> int:
    """How often neurons may be added."""
    cheap = problem.time is None and problem.domain and problem.domain.dim == 1
    return _MORE if cheap and not problem.unknowns else _LEVELS


class FrozenSolver:
    """Windows of random features for one problem."""

    def __init__(self, problem: Problem, config: FrozenConfig, levels: int) -> None:
        self.problem, self.base = problem, config.filled(problem)
        self.levels, self.deadline = levels, Deadline()
        self.config = self.base
        with precision(np.float64):
            self.form: HardForm = hard_form(problem, carry=config.carry)
            self.params = jax.tree.map(np.asarray, problem.values({}))
        self.windows = Windows(self.form, [], problem.span()[1])
        self.trace = Trace()
        self.monitor = Monitor(problem, self.windows) if self._grades() else None
        self._least_squares = LeastSquares()
        self._layouts: dict[Any, Layout] = {}
        self.unknown = np.zeros(len(problem.unknowns))
        self.posterior: dict[str, Estimated] = {}
        self.misfits: Misfits = ()
        self.lacking = self.ended = ""
        self.near = False
        self.level, self.denser = 0, 0
        self.graded = self.base.gathered and self.monitor is not None
        self.largest = self.base

    def _grades(self) -> bool:
        p = self.problem
        return (
            self.config.graded
            and p.time is not None
            and p.domain is not None
            and p.domain.dim == 1
        )

    def run(self, tol: float, deadline: Deadline) -> Outcome:
        """Window after window, to the end or until the time is up."""
        self.deadline = deadline
        if self.problem.time is None:
            good = self._stationary(tol, deadline)
        elif self.config.windows is not None:
            good = self._fixed(tol, deadline)
        elif self.problem.at_once:
            good = self._whole(tol, deadline)
        else:
            good = self._adaptive(tol, deadline)
        trace, problem = self.trace, self.problem
        found = zip(problem.unknowns.items(), self.unknown, strict=True)
        missed = beyond_noise(self.misfits, len(problem.unknowns))
        notes = []
        if trace.refused:
            notes.append(
                f"{trace.refused} windows were tried again with half their length"
            )
        if missed is not None:
            notes.append(misfit_words(missed))
        return Outcome(
            self.windows,
            good and missed is None,
            trace.weights,
            trace.points,
            trace.iterations,
            {"equation": max(trace.train)},
            {"equation": max(trace.check)},
            trace.condition,
            {key: exact(u, float(z)) for (key, u), z in found},
            {key: e.sd for key, e in self.posterior.items()},
            {key: e.interval for key, e in self.posterior.items()},
            missed=missed,
            lacking=self.lacking or None,
            ended=self.ended,
            notes=tuple(notes),
            near=self.near and missed is None,
            used=dataclasses.replace(self.largest, gathered=self.graded),
        )

    def _stationary(self, tol: float, deadline: Deadline) -> bool:
        """One solve, with more neurons until the residual is small."""
        best = self._best_slope(0.0, 1.0)
        idle = 0
        while best[1].check > SAFETY * tol and self.level < self.levels:
            if deadline.passed() or idle == _IDLE:
                break
            self._resize(self.level + 1, 0)
            around = None if self.level <= _LEVELS else best[0].slope
            new = self._best_slope(0.0, 1.0, around)
            idle = 0 if new[1].check < _LESS * best[1].check else idle + 1
            best = min(best, new, key=lambda b: b[1].check)
        self.near = bool(best[1].check <= tol)
        if self.near and not self.problem.unknowns:
            system = System(best[0], 0.0, 1.0, self.params, self._least_squares)
            self.lacking, self.near = left_open(system, best[1], tol)
        self._accept(*best, 0.0, 1.0)
        return self.near and bool(best[1].check <= SAFETY * tol)

    def _whole(self, tol: float, deadline: Deadline) -> bool:
        """One window for all of the time, with more and steeper neurons in time until
        the residual is small: what others leave to shorter windows."""
        t0, t1 = self.problem.span()
        best = self._best_slope(t0, t1 - t0)
        while best[1].check > tol and self.level < self.levels:
            if deadline.passed():
                break
            self._resize(self.level + 1, 0)
            steeper = _STEEPER**self.level * (self.base.slope_t or 1.0)
            self.config = dataclasses.replace(
                self.config,
                slope_t=steeper,
                times=math.ceil(1.3**self.level * (self.config.times or 1)),
            )
            best = min(best, self._best_slope(t0, t1 - t0), key=lambda b: b[1].check)
        self._accept(*best, t0, t1 - t0)
        return best[1].check <= tol

    def _make(self, slope: float, grading: Grading | None) -> Layout:
        return Layout(self.problem, self.config, self.windows, slope, grading)

    def _solve(self, layout: Layout, t: float, length: float) -> Solved:
        return System(layout, t, length, self.params, self._least_squares).solve()

    def _fixed(self, tol: float, deadline: Deadline) -> bool:
        """Windows that were given, one after the other."""
        t0, t1 = self.problem.span()
        given = self.config.windows
        assert given is not None
        several = isinstance(given, tuple)
        edges = np.asarray(given) if several else np.linspace(t0, t1, given + 1)
        slack = 1e-9 * (t1 - t0)
        if edges[0] != t0 or edges[-1] > t1 + slack:
            raise ConfigError(
                f"frozen: windows from {edges[0]:g} to {edges[-1]:g}, and the time is "
                f"({t0:g}, {t1:g}). Begin and end there."
            )
        if len(edges) > 2 and self.problem.at_once:
            raise ConfigError(
                f"frozen: {len(edges) - 1} windows, and there are observations or "
                "unknown parameters, which belong to all of the time. Leave windows=1, "
                "or use a method that trains all weights."
            )
        good = bool(edges[-1] >= t1 - slack)
        layout = None
        for a, b in itertools.pairwise(edges):
            if layout is not None and deadline.passed():
                return False
            if layout is None:
                layout, found = self._best_slope(a, b - a)
            else:
                slope = layout.slope
                layout, found = self._with_slope(slope, a, b - a)
                if found.check > SAFETY * tol * (b - a) / (t1 - t0):
                    layout, found = self._best_slope(a, b - a, slope)
            good = good and found.check <= tol
            self._accept(layout, found, a, b - a)
        return good

    def _adaptive(self, tol: float, deadline: Deadline) -> bool:
        """Window lengths from the residual between the points: shorter where it is too
        large, longer where it is small."""
        t0, t1 = self.problem.span()
        pace = Pace(t0, t1, SAFETY * tol, self.config.most_windows)
        pace.length = self._first_length()
        slope: float | None = None
        around: float | None = None
        good = True
        while pace.left() > 0.0:
            t, length = pace.t, pace.next_length()
            searched = slope is None
            if slope is None:
                layout, found = self._best_slope(t, length, around)
            else:
                layout, found = self._with_slope(slope, t, length)
            late = deadline.passed()
            if not (pace.allows(found.check) or late):
                stuck = pace.is_stuck(found.check)
                if stuck or pace.is_short():
                    around, slope = layout.slope, None
                    if not searched:
                        self.trace.refused += 1
                        continue
                    if self._escalate(found):
                        self.trace.refused += 1
                        pace.again()
                        continue
                if not stuck:
                    self.trace.refused += 1
                    pace.shorten(found.check)
                    slope = layout.slope
                    continue
            if not pace.allows(found.check):
                # neurons, not the length, are what it lacks; windows must not shrink
                pace.tolerate(found.check)
                good = False
            self._accept(layout, found, t, length)
            slope = layout.slope
            if pace.accept(found.check) and self.level > 0:
                self._resize(self.level - 1, self.denser)  # fewer neurons will do
            if not np.isfinite(found.check):
                self.ended = "the equation gave a number that is not finite"
                return False
            if late and pace.left() > 0.0:
                return False
        self.near = bool(sum(self.trace.check) <= tol)
        return good

    def _escalate(self, found: Solved) -> bool:
        """Gather neurons where it is steep; then more points, where the residual is
        large between them alone; then more neurons. Whether that was still possible.
        """
        if self.monitor is not None and not self.graded:
            self.graded = True
            self._layouts.clear()
            return True
        if found.check > _BETWEEN * found.train and self.denser < _DENSER:
            self._resize(self.level, self.denser + 1)
            return True
        if self.level < self.levels:
            self._resize(self.level + 1, self.denser)
            return True
        return False

    def _resize(self, level: int, denser: int) -> None:
        """With so many levels of neurons, and of points alone."""
        self.level, self.denser = level, denser
        dim = self.problem.domain.dim if self.problem.domain is not None else 0
        self.config = self.base.grown(dim, level, denser)

    def _best_slope(
        self, t: float, length: float, around: float | None = None
    ) -> tuple[Layout, Solved]:
        """The best of the slopes that are tried (those beside the best so far, where
        there is one); where it is the last or the first of them, doubled or halved
        slopes as long as those are better."""
        slopes = sorted(self.config.slopes or ())
        if self.problem.domain is None:
            return self._with_slope(slopes[0], t, length)  # there are none in space
        if around is not None and len(slopes) > 1:
            slopes = [0.5 * around, around, 2.0 * around]
        tried = 1
        best = self._with_slope(slopes[0], t, length)
        for slope in slopes[1:]:
            if not self.deadline.passed():
                tried += 1
                best = _better(best, self._with_slope(slope, t, length))
        factor = 2.0 if best[0].slope == slopes[-1] else 0.5
        while best[0].slope in (slopes[0], slopes[-1]) and tried < _SLOPES:
            if self.deadline.passed():
                break
            tried += 1
            new = self._with_slope(factor * best[0].slope, t, length)
            if _better(best, new) is best:
                break
            best = new
            slopes = sorted([*slopes, new[0].slope])
        return best

    def _with_slope(
        self, slope: float, t: float, length: float
    ) -> tuple[Layout, Solved]:
        layout = self._layout(slope, t)
        return layout, self._solve(layout, t, length)

    def _layout(self, slope: float, t: float) -> Layout:
        """The neurons and points for a window; the same as before where nothing has
        become steep in between."""
        grading = None
        if self.monitor is not None and self.graded:
            grading = self.monitor.grading(t)
        density = None if grading is None else grading.key
        key = (slope, self.level, self.denser, density)
        layout = self._layouts.pop(key, None)
        if layout is None:
            if any(k[-1] != density for k in self._layouts):
                self._layouts.clear()  # of another density: not needed again
            layout = self._make(slope, grading)
        self._keep(key, layout)
        return layout

    def _keep(self, key: Any, layout: Layout) -> None:
        """For windows to come, as many as there is room for."""
        if self.problem.time is None:
            return
        sizes = [own.size for own in self._layouts.values()]
        while sizes and sum(sizes) + layout.size > _KEPT:
            self._layouts.pop(next(iter(self._layouts)))  # used longest ago
            sizes.pop(0)
        self._layouts[key] = layout

    def _first_length(self) -> float:
        """About three radians of what the start does first."""
        t0, t1 = self.problem.span()
        space = np.zeros((1, 0))
        if self.problem.domain is not None:
            space = self.problem.domain.nodes(64)
        points = with_times(space, np.asarray([t0]))
        law = self.problem.law
        wanted = tuple({n.orders for n in law.needs} | {(0,) * len(law.coords)})
        found = self.windows.closed(points, wanted)
        values = np.stack([found[n.orders][:, n.field] for n in law.needs], 1)
        values = np.where([[n.orders[-1] > 0 for n in law.needs]], 0.0, values)
        rows, slopes = law_and_slopes(law, values, points, self.params)
        size = found[(0,) * len(law.coords)]
        lengths = [t1 - t0]
        for k, need in enumerate(law.needs):
            order = need.orders[-1]
            if order == 0 or order < law.order("t", need.field):
                continue
            for e in range(law.equations):
                c = np.sqrt(np.mean(slopes[:, e, k] ** 2))
                rate = np.sqrt(np.mean(rows[:, e] ** 2))
                if c > 0.0 and rate > 0.0:
                    spread = np.sqrt(np.mean(size[:, need.field] ** 2))
                    lengths.append(3.0 * (spread * c / rate) ** (1.0 / order))
        return max(min(lengths), 1e-3 * (t1 - t0))

    def _accept(self, layout: Layout, found: Solved, t: float, length: float) -> None:
        if self.problem.unknowns and any(
            isinstance(c, Observation) for c in self.problem.conditions
        ):
            own = System(layout, t, length, self.params, self._least_squares)
            self.posterior = posterior(own, found)
        part = layout.part(found, t, length)
        self.windows.parts.append(part)
        layout.continue_from(part)
        if self.monitor is not None:
            self.monitor.accept(part)
        for other in self._layouts.values():
            if other is not layout:
                other.stale = True
        trace = self.trace
        trace.windows += 1
        trace.weights += found.weights.size
        trace.iterations += found.iterations
        trace.points = max(trace.points, layout.num_rows)
        trace.train.append(found.train)
        trace.check.append(found.check)
        trace.condition = max(trace.condition, found.condition)
        trace.slopes.append(layout.slope)
        self.unknown, self.misfits = found.unknown, found.misfits
        if (layout.config.features or 0) > (self.largest.features or 0):
            self.largest = layout.config


def _better(
    one: tuple[Layout, Solved], other: tuple[Layout, Solved]
) -> tuple[Layout, Solved]:
    """The one whose residual between the points is smaller, the first where equal."""
    return other if other[1].check < one[1].check else one
