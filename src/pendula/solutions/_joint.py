"""Rows of several subdomains and of where they meet, and their common solution."""

from __future__ import annotations

import dataclasses
import itertools
import resource
from collections.abc import Sequence

import numpy as np
import scipy.linalg

from ._frozen_config import FrozenConfig
from ._interface import Interface
from ._lacking import lacking
from ._layout import Solved, window_times
from ._link import Link, Side
from ._open import open_functions, same, values_of
from ._problem import Problem
from ._report import SolveReport
from ._solution import Solution
from ._window import LeastSquares, System


_WINDOWS = 10  # of equal length, where none are given
_CHANGE = 1e-9  # of the solution, when Gauss-Newton has arrived


class Joint:
    """All subdomains and interfaces, with one slope of the neurons."""

    def __init__(
        self,
        pieces: dict[str, Problem],
        interfaces: list[Interface],
        config: FrozenConfig,
        slope: float,
    ) -> None:
        self.slope = slope
        self.sides = {
            name: Side(problem, config, slope) for name, problem in pieces.items()
        }
        first = next(iter(self.sides.values()))
        self.span, self.timed = first.problem.span(), first.problem.time is not None
        self.windows = config.windows
        self.newton, self.soft = config.newton, config.soft_weight
        s = window_times(first.config.times or 1, None) if self.timed else None
        between = window_times(2 * (first.config.times or 1), config.seed + 1)
        count = max(32, round(4.0 * np.sqrt(first.config.nodes or 1)))
        self.links, self.checks = [], []
        for one in interfaces:
            spots = one.spots(pieces, count)
            self.links += [Link(one, t, self.sides, spots, s) for t in one.terms]
            # value and flux are what has to hold, whatever terms are rows
            spots = one.spots(pieces, 2 * count, config.seed + 1)
            later = between if self.timed else None
            self.checks += [
                Link(one, t, self.sides, spots, later)
                for t in dict.fromkeys([*one.terms, "value", "flux"])
            ]
        self.check: dict[str, float] = {}
        self.train: dict[str, float] = {}
        self.iterations, self.condition = 0, 0.0

    @property
    def worst(self) -> float:
        """The largest residual between the points."""
        worst = max(self.check.values())
        return worst if np.isfinite(worst) else np.inf

    def run(self) -> None:
        """All windows, one after the other; one of them where there is no time."""
        if not self.timed:
            self._window(0.0, 1.0)
            return
        given = self.windows or _WINDOWS
        several = isinstance(given, tuple)
        edges = np.asarray(given) if several else np.linspace(*self.span, given + 1)
        for a, b in itertools.pairwise(edges):
            self._window(float(a), float(b - a))

    def _window(self, t: float, length: float) -> None:
        """Gauss-Newton from zero weights, with halved steps."""
        systems = {name: s.system(t, length) for name, s in self.sides.items()}
        step_of = Columns(systems)
        w, scales = step_of.zero(), None
        r, matrix, scales, slopes = self._assemble(systems, w, True, None)
        done = 0
        while done < self.newton:
            done += 1
            if not (np.isfinite(r).all() and np.isfinite(matrix).all()):
                break
            step, self.condition = LeastSquares()(matrix, -r)
            now, moved = np.linalg.norm(r), None
            for half in range(8):
                new = step_of.moved(w, 0.5**half * step)
                trial, _, _, after = self._assemble(systems, new, False, scales)
                if np.isfinite(trial).all() and np.linalg.norm(trial) < now:
                    moved = (new, trial, after)
                    break
            if moved is None:
                break
            w, _, after = moved
            size = max(s.size(w[key]) for key, s in systems.items())
            same = all(np.array_equal(a, b) for a, b in zip(slopes, after, strict=True))
            if same or np.linalg.norm(matrix @ step) < _CHANGE * size:
                break
            r, matrix, scales, slopes = self._assemble(systems, w, True, scales)
        self.iterations += done
        self._finish(systems, w, scales, (t, length, done))
        self.last = (systems, w, scales)

    def _assemble(
        self,
        systems: dict[str, System],
        w: dict[str, np.ndarray],
        need: bool,
        scales: dict[str, np.ndarray] | None,
    ) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], list[np.ndarray]]:
        """Residuals and matrix of all, those of each subdomain as a triangle."""
        columns = Columns(systems)
        known, kept, none = scales or {}, {}, np.zeros(0)
        parts, blocks, every = [], [], []
        for key, system in systems.items():
            r, matrix, kept[key], slopes = system.assemble(
                w[key], none, need, known.get(key)
            )
            every += slopes
            if matrix is not None:
                r, matrix = _triangle(r, matrix)
                blocks.append(columns.full({key: matrix}))
            parts.append(r)
        for link in self.links:
            r, pair, kept[link.name], slopes = link.residual(
                systems, w, need, known.get(link.name)
            )
            every += slopes
            factor = self.soft / np.sqrt(len(r))
            parts.append(factor * r.ravel())
            if need:
                both = zip(link.pair, pair, strict=True)
                flat = {key: factor * m.reshape(r.size, -1) for key, m in both}
                blocks.append(columns.full(flat))
        matrix = np.concatenate(blocks) if blocks else np.zeros((0, 0))
        return np.concatenate(parts), matrix, kept, every

    def _finish(
        self,
        systems: dict[str, System],
        w: dict[str, np.ndarray],
        scales: dict[str, np.ndarray],
        window: tuple[float, float, int],
    ) -> None:
        """Residuals at the points and between them; on to the next window."""
        t, length, done = window
        size = max(system.size(w[key]) for key, system in systems.items())
        worse = lambda kept, name, value: kept.update(
            {name: max(kept.get(name, 0.0), value)}
        )
        none = np.zeros(0)
        for name, system in systems.items():
            r, _, _, _ = system.assemble(w[name], none, False, scales[name])
            worse(self.train, f"equation {name}", float(np.linalg.norm(r)) / size)
            check = system.check(w[name], none, scales[name])
            worse(self.check, f"equation {name}", check / size)
        rms = lambda r: float(np.sqrt(np.mean(r * r))) / size
        for kept, links in ((self.train, self.links), (self.check, self.checks)):
            for link in links:
                worse(kept, link.name, rms(link.residual(systems, w, False)[0]))
        parts = {}
        for name, side in self.sides.items():
            found = Solved(w[name], none, 0.0, 0.0, done, self.condition)
            parts[name] = side.layout.part(found, t, length)
            side.windows.parts.append(parts[name])
            side.layout.continue_from(parts[name])
        for link in [*self.links, *self.checks]:
            link.continue_from(parts)

    def left_open(self, tol: float) -> tuple[str, bool]:
        """As `open_functions`, of all subdomains together, where there is no time and
        nothing else to say."""
        if self.timed or self.worst > tol:
            return "", True
        systems, w, scales = self.last
        _, matrix, _, _ = self._assemble(systems, w, True, scales)

        def asked() -> np.ndarray | None:
            zero = Columns(systems).zero()
            rows, first, _, _ = self._assemble(systems, zero, True, scales)
            return rows if same(first, matrix) else None

        tables = map(values_of, systems.values())
        phi = np.asarray(scipy.linalg.block_diag(*tables))
        return open_functions(matrix, phi, asked, self.worst, tol)

    def solution(
        self,
        name: str,
        tol: float,
        seconds: tuple[float, float],
        left: tuple[str, bool],
        met: Sequence[str],
    ) -> Solution:
        """One subdomain's solution, with the report of all: `seconds` in all and of
        compilation, what is `left` open, and the sides that are `met` by others."""
        ran, compiled = seconds
        side = self.sides[name]
        edges = [self.span[0], *side.windows.ends().tolist()] if self.timed else []
        count = len(side.windows.parts)
        report = SolveReport(
            problem=f"{name}: {side.problem.name}",
            method="frozen, subdomains",
            converged=bool(self.worst <= tol) and left[1],
            tol=tol,
            windows=edges,
            weights=count * side.layout.features.size * len(side.problem.fields),
            points=side.layout.num_rows,
            iterations=self.iterations,
            seconds_compile=compiled,
            seconds_run=max(ran - compiled, 0.0),
            peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
            train=dict(self.train),
            check=dict(self.check),
            condition=self.condition,
            lacking=lacking(side.problem, side.windows, {}, met) or left[0] or None,
        )
        return Solution(side.problem, side.windows, report, {})


@dataclasses.dataclass
class Columns:
    """Which columns of the common matrix are whose."""

    systems: dict[str, System]

    def shape(self, key: str) -> tuple[int, int]:
        """Fields and features of a subdomain."""
        system = self.systems[key]
        return system.num_fields, system.num_features

    def zero(self) -> dict[str, np.ndarray]:
        """Weights to begin with."""
        return {key: np.zeros(self.shape(key)) for key in self.systems}

    def moved(
        self, w: dict[str, np.ndarray], step: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Weights after a step of all of them."""
        out, at = {}, 0
        for key, own in w.items():
            out[key] = own + step[at : at + own.size].reshape(own.shape)
            at += own.size
        return out

    def full(self, blocks: dict[str, np.ndarray]) -> np.ndarray:
        """Rows of some subdomains, zero in the columns of the others."""
        rows = len(next(iter(blocks.values())))
        none = lambda key: np.zeros((rows, int(np.prod(self.shape(key)))))
        return np.concatenate(
            [blocks[key] if key in blocks else none(key) for key in self.systems],
            axis=1,
        )


def _triangle(r: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same least-squares problem in no more rows than columns and one."""
    both = np.concatenate([matrix, r[:, None]], axis=1)
    if len(both) > both.shape[1]:
        both = np.asarray(np.linalg.qr(both, mode="r"))
    return both[:, -1], both[:, :-1]
