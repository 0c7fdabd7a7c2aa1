"""What diagnoses are made from."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._precision import precision
from ._outcome import Outcome
from ._report import SolveReport
from ._samples import Samples, evaluate_law, parameters, samples
from ._semilinear import Semilinear, semilinear
from ._solution import Solution
from ._twins import Parting, parting
from ._window import law_and_slopes


_LINE = 2048  # points along x: twice the wave number that is asked for, and more
_LINES = 6


@dataclasses.dataclass(frozen=True)
class Lines:
    """Residuals on fine even points along x, at the worst times.

    `x` `"point"`; `times` `"line"`; `rows` `"line point"`, each of RMS over equations;
    `features` `"point feature"`: of the network at the worst time, None where it is
    not known.
    """

    x: np.ndarray
    times: np.ndarray
    rows: np.ndarray
    features: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Evidence:
    """A solution, its report, what its training told, and residuals at other points;
    what costs more is computed when it is looked at."""

    solution: Solution
    report: SolveReport
    outcome: Outcome
    given: Samples | None = None

    @functools.cached_property
    def signals(self) -> dict[str, float]:
        """What the training told."""
        told = self.outcome.signals
        return told() if callable(told) else told

    @property
    def estimate(self) -> float | None:
        """The estimated relative error, infinite where it is no number."""
        if self.report.estimate is None:
            return None
        overall = float(self.report.estimate["overall"])
        return overall if math.isfinite(overall) else math.inf

    @property
    def failed(self) -> bool:
        """Whether there is anything to explain: the tolerance was not reached, or the
        estimate says so. Two of many solutions differ without a fault."""
        found = self.estimate
        if self.report.lacking:
            return False
        return not self.report.converged or (
            found is not None and found > 2.0 * self.report.tol
        )

    @functools.cached_property
    def samples(self) -> Samples:
        """Residuals at Gauss points."""
        return self.given if self.given is not None else samples(self.solution)

    @functools.cached_property
    def form(self) -> Semilinear | str:
        """The form of the equation, where it is recognised."""
        return semilinear(self.solution.problem, parameters(self.solution))

    @functools.cached_property
    def parting(self) -> Parting | None:
        """Two solutions that begin almost alike, where the equation is nonlinear and
        they can be computed."""
        problem = self.solution.problem
        if problem.time is None or not self._bends():
            return None
        found = parting(problem, parameters(self.solution))
        return None if isinstance(found, str) else found

    def _bends(self) -> bool:
        """Whether the equation is nonlinear: linear ones forget nothing suddenly."""
        law = self.solution.problem.law
        rng = np.random.default_rng(2)
        points = self.samples.points()[:4]
        draws = [
            law_and_slopes(
                law,
                rng.normal(size=(len(points), len(law.needs))),
                points,
                parameters(self.solution),
            )[1]
            for _ in range(2)
        ]
        return not np.allclose(*draws, rtol=1e-9, atol=1e-12)

    @functools.cached_property
    def size(self) -> Float[np.ndarray, "piece node point"]:
        """Residuals, RMS over equations."""
        return np.sqrt(np.mean(self.samples.rows**2, axis=-1))

    @functools.cached_property
    def rms(self) -> float:
        """RMS of the residual over the whole domain."""
        each = self.samples.mean(self.size**2)
        weights = self.samples.weights / self.samples.weights.sum()
        return float(np.sqrt(np.sum(weights * each)))

    @functools.cached_property
    def lines(self) -> Lines | None:
        """Fine lines at the worst times; None where there is not one coordinate."""
        problem = self.solution.problem
        if problem.domain is None or problem.domain.dim > 1:
            return None
        lo, hi = problem.domain.bounds[0]
        ends = not problem.domain.periodic[0]
        x = np.linspace(lo, hi, _LINE, endpoint=bool(ends))
        times = self._worst_times()
        points = x[:, None]
        if problem.time is not None:
            points = np.c_[np.tile(x, len(times)), np.repeat(times, len(x))]
        rows = evaluate_law(self.solution, points)[2]
        rows = np.sqrt(np.mean(rows**2, axis=1)) * np.sign(rows[:, 0])
        return Lines(
            x, times, rows.reshape(-1, len(x)), self._features(x, float(times[0]))
        )

    def _worst_times(self) -> np.ndarray:
        """The times of the largest residual in the worst pieces, worst first."""
        if self.solution.problem.time is None:
            return np.zeros(1)
        each = self.samples.mean(self.size**2)
        best = each.argmax(1)
        order = np.argsort(-each.max(1))[:_LINES]
        return self.samples.times[order, best[order]]

    def _features(self, x: np.ndarray, t: float) -> np.ndarray | None:
        """The network's features along x in the window of a time."""
        windows, timed = self.solution.windows, self.solution.problem.time is not None
        which = int(np.searchsorted(windows.ends()[:-1], t)) if timed else 0
        part = windows.parts[which]
        features: Any = getattr(part.trial, "features", None)
        if features is None:
            return None
        with precision(np.float64):
            points = jnp.asarray(np.c_[x, np.full(len(x), t)] if timed else x[:, None])
            return np.asarray(features(part.local(points, windows.form)))


def spectrum(
    lines: Float[np.ndarray, "line point"], *, periodic: bool
) -> Float[np.ndarray, "wave"]:
    """Mean power at each whole number of waves along x; between ends with Hann's
    window, which keeps ends that do not meet from looking like short waves."""
    if not periodic:
        lines = (lines - lines.mean(1, keepdims=True)) * np.hanning(lines.shape[1])
    power = np.abs(np.fft.rfft(lines, axis=1)) ** 2
    return power.mean(0)
