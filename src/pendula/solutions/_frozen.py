"""The fast path: hidden layers that stay as they were drawn, output weights by least
squares, one window of time after the other."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, ClassVar

import jax
import numpy as np

from .._precision import precision
from ._blocks import with_times
from ._form import HardForm, hard_form
from ._frozen_config import FrozenConfig
from ._layout import Layout, Solved
from ._monitor import Grading, Monitor
from ._outcome import Deadline, Outcome
from ._parts import Windows
from ._problem import Problem
from ._window import LeastSquares, System, law_and_slopes


SAFETY = 0.1
"""Of the tolerance: what the residuals of all windows may add up to."""
_STUCK = 0.6  # of the residual before, when a shorter window has no less
_LEVELS = 2  # how often neurons are added
_SLOPES = 7  # how many slopes are tried at most
_FLOOR = 1.3  # over the residual that no window is too short for


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

    **Arguments:** `config`: see `FrozenConfig`.
    **Source:** Datar et al. 2024, arXiv:2405.20836; windows, slopes and points by the
    residual between the points are ours.
    """

    config: FrozenConfig = dataclasses.field(default_factory=FrozenConfig)
    name: ClassVar[str] = "frozen"

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve; see `FrozenSolver`."""
        return FrozenSolver(problem, self.config).run(tol, deadline)

    def finer(self, problem: Problem, outcome: Outcome) -> Frozen:
        """1.5 times the features and the points along each axis, other neurons, the
        same windows."""
        own = self.config.filled(problem)
        more = lambda n: math.ceil(1.5 * (n or 1))
        dim = 0 if problem.domain is None else problem.domain.dim
        edges = (problem.span()[0], *outcome.windows.ends().tolist())
        finer = dataclasses.replace(
            own,
            features=more(own.features),
            nodes=math.ceil(1.5**dim * (own.nodes or 1)),
            times=more(own.times),
            windows=None if problem.time is None else edges,
            seed=own.seed + 1,
        )
        return Frozen(finer)


class FrozenSolver:
    """Windows of random features for one problem."""

    def __init__(self, problem: Problem, config: FrozenConfig) -> None:
        self.problem, self.config = problem, config.filled(problem)
        with precision(np.float64):
            self.form: HardForm = hard_form(problem, carry=config.carry)
            self.params = jax.tree.map(np.asarray, problem.values({}))
        self.windows = Windows(self.form, [], problem.span()[1])
        self.trace = Trace()
        self.monitor = Monitor(problem, self.windows) if self._grades() else None
        self._least_squares = LeastSquares()
        self._layouts: dict[Any, Layout] = {}
        self.unknown = np.zeros(len(problem.unknowns))
        self.level = 0

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
        if self.problem.time is None:
            good = self._stationary(tol, deadline)
        elif self.config.windows is not None or self.problem.unknowns:
            good = self._fixed(tol)
        else:
            good = self._adaptive(tol, deadline)
        trace, problem = self.trace, self.problem
        found = zip(problem.unknowns.items(), self.unknown, strict=True)
        notes = [f"{trace.refused} windows were tried again with half their length"]
        return Outcome(
            self.windows,
            good,
            trace.weights,
            trace.points,
            trace.iterations,
            {"equation": max(trace.train)},
            {"equation": max(trace.check)},
            trace.condition,
            {key: float(u.value(float(z))) for (key, u), z in found},
            tuple(notes) if trace.refused else (),
        )

    def _stationary(self, tol: float, deadline: Deadline) -> bool:
        """One solve, with more neurons until the residual is small."""
        best = self._best_slope(0.0, 1.0)
        while best[1].check > SAFETY * tol and self.level < _LEVELS:
            if deadline.passed():
                break
            self._grow()
            best = min(best, self._best_slope(0.0, 1.0), key=lambda b: b[1].check)
        self._accept(*best, 0.0, 1.0)
        return best[1].check <= SAFETY * tol

    def _make(self, slope: float, grading: Grading | None) -> Layout:
        return Layout(self.problem, self.config, self.windows, slope, grading)

    def _solve(self, layout: Layout, t: float, length: float) -> Solved:
        return System(layout, t, length, self.params, self._least_squares).solve()

    def _fixed(self, tol: float) -> bool:
        t0, t1 = self.problem.span()
        given = self.config.windows or 1
        several = isinstance(given, tuple)
        edges = np.asarray(given) if several else np.linspace(t0, t1, given + 1)
        good = True
        layout = None
        for a, b in itertools.pairwise(edges):
            if layout is None:
                layout, found = self._best_slope(a, b - a)
            else:
                layout = self._layout(layout.slope, a)
                found = self._solve(layout, a, b - a)
            good = good and found.check <= tol
            self._accept(layout, found, a, b - a)
        return good

    def _adaptive(self, tol: float, deadline: Deadline) -> bool:
        """Window lengths from the residual between the points: half where it is too
        large, more where it is small."""
        t0, t1 = self.problem.span()
        span, t, length = t1 - t0, t0, self._first_length()
        least = span / self.config.most_windows
        slope: float | None = None
        good, before, floor = True, np.inf, 0.0
        while t < t1 - 1e-12 * span:
            length = min(max(length, least), t1 - t)
            if t1 - t - length < 0.2 * length:
                length = t1 - t
            allowed = max(SAFETY * tol / span, floor) * length
            searched = slope is None
            if slope is None:
                layout, found = self._best_slope(t, length)
            else:
                layout, found = self._with_slope(slope, t, length)
            late, rate = deadline.passed(), found.check / length
            if found.check > allowed and not (late or length <= least):
                self.trace.refused += 1
                if rate > _STUCK * before:  # a shorter window did not help
                    can_grow = self.level < _LEVELS
                    if searched and can_grow:
                        self._grow()
                    if not searched or can_grow:
                        slope = None
                        continue
                    # what is left does not depend on the window: roughness of the
                    # start between the points; windows must not shrink for it
                    floor, good = _FLOOR * rate, False
                before, slope = min(before, rate), layout.slope
                # the residual falls fast with the length: a guess from one window
                length *= float(np.clip((allowed / found.check) ** 0.25, 0.3, 0.7))
                continue
            if found.check > allowed:
                good, floor = False, _FLOOR * rate
            elif found.check < 0.3 * allowed:
                floor *= 0.7
            slope, before = layout.slope, np.inf
            self._accept(layout, found, t, length)
            t += length
            if late or not np.isfinite(found.check):
                return False
            ratio = allowed / max(found.check, 1e-300)
            length *= float(np.clip(ratio**0.15, 1.0, 1.6))
        return good

    def _grow(self) -> None:
        """Half as many neurons and points again, from here on."""
        self.level += 1
        dim = self.problem.domain.dim if self.problem.domain is not None else 0
        own = self.config
        self.config = dataclasses.replace(
            own,
            features=math.ceil(1.5 * (own.features or 1)),
            nodes=math.ceil(1.35**dim * (own.nodes or 1)),
            times=math.ceil(1.15 * (own.times or 1)),
        )
        self._layouts.clear()

    def _best_slope(self, t: float, length: float) -> tuple[Layout, Solved]:
        """The best of the slopes that are tried; where it is the last or the first of
        them, doubled or halved slopes as long as those are better."""
        slopes = sorted(self.config.slopes or ())
        tried = {slope: self._with_slope(slope, t, length) for slope in slopes}
        best = min(slopes, key=lambda slope: tried[slope][1].check)
        factor = 2.0 if best == slopes[-1] else 0.5
        while best in (slopes[0], slopes[-1]) and len(tried) < _SLOPES:
            new = factor * best
            tried[new] = self._with_slope(new, t, length)
            if not tried[new][1].check < tried[best][1].check:
                break
            best = new
            slopes = sorted(tried)
        return tried[best]

    def _with_slope(
        self, slope: float, t: float, length: float
    ) -> tuple[Layout, Solved]:
        layout = self._layout(slope, t)
        return layout, self._solve(layout, t, length)

    def _layout(self, slope: float, t: float) -> Layout:
        """The neurons and points for a window; the same as before where nothing has
        become steep in between."""
        grading = None if self.monitor is None else self.monitor.grading(t)
        key = (slope, None if grading is None else grading.key)
        if key not in self._layouts:
            if grading is not None and any(k[1] != key[1] for k in self._layouts):
                self._layouts.clear()  # of another density: not needed again
            self._layouts[key] = self._make(slope, grading)
        return self._layouts[key]

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
        self.unknown = found.unknown
