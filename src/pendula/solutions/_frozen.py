"""The fast path: hidden layers that stay as they were drawn, output weights by least
squares, one window of time after the other."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array

from .._precision import precision
from ._blocks import Block, equation, soft_blocks, with_times
from ._derivatives import Orders, derivatives
from ._features import Combination, TanhFeatures, draw_features
from ._form import HardForm, hard_form
from ._monitor import Monitor
from ._outcome import Deadline, Outcome
from ._parts import Part, Start, Windows
from ._problem import Problem, to_device


SAFETY = 0.1
"""Of the tolerance: what the residuals of all windows may add up to."""
_STUCK = 0.6  # of the residual before, when a shorter window has no less
_LEVELS = 3  # how often neurons are added
_PATIENCE = 30  # refused windows after that, before the tolerance is given up
CUT = 1e-13  # of the largest singular value: what least squares leaves out


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
    slope_t: float = 1.0
    """Slopes in time."""
    harmonics: int = 2
    """Multiples of a periodic coordinate."""
    windows: int | tuple[float, ...] | None = None
    """How many of equal length, or where they begin and end; None: their lengths
    follow the residual."""
    most_windows: int = 2000
    """When to give up."""
    newton: int = 25
    """Gauss-Newton iterations in a window, at most."""
    carry: bool = True
    """Whether a periodic start decays as the linear part says."""
    graded: bool = True
    """Whether neurons and points gather where the solution is steep."""
    soft_weight: float = 10.0
    """Of conditions that are rows, against the equation."""
    seed: int = 0
    """Of the neurons."""

    name: ClassVar[str] = "frozen"

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve; see `FrozenSolver`."""
        return FrozenSolver(problem, self).run(tol, deadline)

    def finer(self, problem: Problem, outcome: Outcome) -> FrozenConfig:
        """1.5 times the features and the points along each axis, other neurons, the
        same windows."""
        own = self.filled(problem)
        more = lambda n: math.ceil(1.5 * (n or 1))
        dim = 0 if problem.domain is None else problem.domain.dim
        edges = (problem.span()[0], *outcome.windows.ends().tolist())
        return dataclasses.replace(
            own,
            features=more(own.features),
            nodes=math.ceil(1.5**dim * (own.nodes or 1)),
            times=more(own.times),
            windows=None if problem.time is None else edges,
            seed=self.seed + 1,
        )

    def filled(self, problem: Problem) -> FrozenConfig:
        """With the sizes that fit the number of coordinates."""
        space = 0 if problem.domain is None else problem.domain.dim
        timed = problem.time is not None
        periodic = problem.domain is not None and all(problem.domain.periodic)
        if timed:
            line = (300, 64, 14) if periodic else (400, 80, 10)
            sizes = {0: (40, 1, 40), 1: line}.get(space, (700, 20**space, 8))
        else:
            sizes = {1: (300, 600, 1)}.get(space, (700, 45**space, 1))
        defaults = {
            "features": sizes[0],
            "nodes": sizes[1],
            "times": sizes[2],
            "slopes": (0.25, 0.5, 1.0) if periodic else (8.0, 4.0, 16.0),
        }
        given = {k: v for k, v in defaults.items() if getattr(self, k) is None}
        return dataclasses.replace(self, **given)


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


@dataclasses.dataclass
class _Solved:
    """A window's weights and how well they do, relative to the solution's size."""

    weights: np.ndarray
    unknown: np.ndarray
    train: float
    check: float
    iterations: int
    condition: float


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
        self._last: tuple[np.ndarray, Any] | None = None
        self._layouts: dict[Any, _Layout] = {}
        self.unknown = np.zeros(len(problem.unknowns))
        self.level = 0

    def _grades(self) -> bool:
        p = self.problem
        return (
            self.config.graded
            and p.time is not None
            and p.domain is not None
            and (p.domain.dim == 1)
        )

    def run(self, tol: float, deadline: Deadline) -> Outcome:
        """Window after window, to the end or until the time is up."""
        if self.problem.time is None:
            good = self._stationary(tol)
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

    def _stationary(self, tol: float) -> bool:
        best: tuple[float, Any, Any] | None = None
        for slope in self.config.slopes or ():
            layout = _Layout(self, slope, None)
            found = layout.solve(0.0, 1.0)
            if best is None or found.check < best[0]:
                best = (found.check, layout, found)
            if found.check < 0.1 * tol:
                break
        assert best is not None
        self._accept(best[1], best[2], 0.0, 1.0)
        return best[0] <= tol

    def _fixed(self, tol: float) -> bool:
        t0, t1 = self.problem.span()
        given = self.config.windows or 1
        several = isinstance(given, tuple)
        edges = np.asarray(given) if several else np.linspace(t0, t1, given + 1)
        good = True
        layout = None
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            if layout is None:
                layout, found = self._best_slope(a, b - a)
            else:
                layout = self._layout(layout.slope, a)
                found = layout.solve(a, b - a)
            good = good and found.check <= tol
            self._accept(layout, found, a, b - a)
        return good

    def _adaptive(self, tol: float, deadline: Deadline) -> bool:
        """Window lengths from the residual between the points: half where it is too
        large, more where it is small."""
        t0, t1 = self.problem.span()
        span, t, length = t1 - t0, t0, self._first_length()
        slope: float | None = None
        good, before = True, np.inf
        while t < t1 - 1e-12 * span:
            length = min(length, t1 - t)
            if t1 - t - length < 0.2 * length:
                length = t1 - t
            allowed = SAFETY * tol * length / span
            if slope is None:
                layout, found = self._best_slope(t, length)
            else:
                layout = self._layout(slope, t)
                found = layout.solve(t, length)
            late = deadline.passed()
            small = length < span / self.config.most_windows
            if found.check > allowed and not (late or small):
                self.trace.refused += 1
                if found.check / length > _STUCK * before and self.level < _LEVELS:
                    self._grow()  # shorter windows do not help: more neurons
                    slope, before = None, np.inf
                    continue
                before = found.check / length
                slope = None if self.trace.refused % 3 == 0 else layout.slope
                if self.level == _LEVELS and self.trace.refused > _PATIENCE:
                    tol, good = 10.0 * tol, False  # it will not be reached
                    self.trace.refused = 0
                # the residual falls fast with the length: a guess from one window
                length *= float(np.clip((allowed / found.check) ** 0.25, 0.3, 0.7))
                continue
            good, before = good and found.check <= allowed, np.inf
            slope = layout.slope
            self._accept(layout, found, t, length)
            t += length
            if late or not np.isfinite(found.check):
                return False
            ratio = allowed / max(found.check, 1e-300)
            length *= float(np.clip(ratio**0.15, 0.7, 1.6))
        return good

    def _grow(self) -> None:
        """Half as many neurons and points again, from here on."""
        self.level += 1
        dim = self.problem.domain.dim if self.problem.domain is not None else 0
        own = self.config
        self.config = dataclasses.replace(
            own,
            features=math.ceil(1.5 * (own.features or 1)),
            nodes=math.ceil(1.5**dim * (own.nodes or 1)),
            times=math.ceil(1.2 * (own.times or 1)),
        )
        self._layouts.clear()

    def _best_slope(self, t: float, length: float) -> tuple[_Layout, _Solved]:
        tried = []
        for slope in self.config.slopes or ():
            layout = self._layout(slope, t)
            tried.append((layout, layout.solve(t, length)))
        return min(tried, key=lambda pair: pair[1].check)

    def _layout(self, slope: float, t: float) -> _Layout:
        """The neurons and points for a window; the same as before where nothing has
        become steep in between."""
        grading = None if self.monitor is None else self.monitor.grading(t)
        key = (slope, None if grading is None else grading.key)
        if key not in self._layouts:
            if grading is not None and any(k[1] != key[1] for k in self._layouts):
                self._layouts.clear()  # of another density: not needed again
            self._layouts[key] = _Layout(self, slope, grading)
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

    def _accept(self, layout: _Layout, found: _Solved, t: float, length: float) -> None:
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

    def least_squares(self, matrix: np.ndarray, rhs: np.ndarray) -> tuple[Any, float]:
        """Truncated least squares; a matrix that comes again is not factorised again."""
        if self._last is not None and np.array_equal(matrix, self._last[0]):
            if self._last[1] is None:
                self._last = (matrix, _factors(matrix))
            u, s, vt = self._last[1]
            return vt.T @ ((u.T @ rhs) / s), float(s[0] / s[-1])
        self._last = (matrix, None)
        found, _, rank, s = scipy.linalg.lstsq(
            matrix, rhs, cond=CUT, lapack_driver="gelsd", check_finite=False
        )
        return found, float(s[0] / max(s[max(rank - 1, 0)], 1e-300))


def _factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False)
    kept = s > CUT * s[0]
    return u[:, kept], s[kept], vt[kept]


@eqx.filter_jit
def _rows_and_slopes(
    law: Any, values: Array, points: Array, params: Any, data: Array | None
) -> tuple[Array, Array]:
    def one(v: Array, x: Array, d: Array | None) -> tuple[Array, Array]:
        f = lambda v: (lambda r: (r, r))(law(v, x, params, d))
        slope, rows = jax.jacfwd(f, has_aux=True)(v)
        return rows, slope

    if data is None:
        return jax.vmap(lambda v, x: one(v, x, None))(values, points)
    return jax.vmap(one)(values, points, data)


def law_and_slopes(
    law: Any, values: np.ndarray, points: np.ndarray, params: Any, data: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """The law at points, `"point equation"`, and its slopes in what it needs, `"point
    equation need"`."""
    with precision(np.float64):
        told = (jnp.asarray(values), jnp.asarray(points), to_device(params))
        more = None if data is None else jnp.asarray(data)
        rows, slopes = _rows_and_slopes(law, *told, more)
        return np.asarray(rows), np.asarray(slopes)


class _Rows:
    """One block with the tables of features that it needs."""

    def __init__(self, layout: _Layout, block: Block) -> None:
        self.block = block
        self.law = block.law
        zero = (0,) * len(self.law.coords)
        self.wanted = tuple(sorted({n.orders for n in self.law.needs} | {zero}))
        self.zero = zero
        timed = layout.timed
        self.sides = [block.points] + (
            [block.partner] if block.partner is not None else []
        )
        self.tables = [layout.tables(points, self.wanted) for points in self.sides]
        self.starts: list[Any] = []
        for points in self.sides:
            if timed:
                space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
                start = layout.solver.windows.begin(space, self.wanted)
                self.starts.append([start, back.ravel()])
            else:
                self.starts.append(None)

    def physical(self, side: int, t: float, length: float, timed: bool) -> np.ndarray:
        """Points with the time for s."""
        points = self.sides[side].copy()
        if timed:
            points[:, -1] = t + length * points[:, -1]
        return points


class _Layout:
    """Neurons, points and tables for windows of one kind."""

    def __init__(self, solver: FrozenSolver, slope: float, grading: Any) -> None:
        self.solver, self.slope, self.grading = solver, slope, grading
        self.stale = False
        problem, config = solver.problem, solver.config
        self.timed = problem.time is not None
        self.features = self._features(grading)
        seed = config.seed
        self.rows = self._all_rows(config.nodes or 1, config.times or 1, None)
        self.checks = self._all_rows(
            2 * (config.nodes or 1) if problem.domain is not None else 1,
            2 * (config.times or 1),
            seed + 1,
        )
        self.num_rows = sum(r.block.num for r in self.rows)

    def _features(self, grading: Any) -> TanhFeatures:
        problem, config = self.solver.problem, self.solver.config
        domain = problem.domain
        bounds = np.zeros((0, 2)) if domain is None else domain.bounds
        periodic = () if domain is None else domain.periodic
        more: dict[str, Any] = {}
        if grading is not None and grading.key:
            centres = grading.centres(config.features or 1, config.seed)
            more = {"centres": centres, "sharpness": grading.sharpness(centres)}
        with precision(np.float64):
            return draw_features(
                bounds,
                [config.harmonics if p else 0 for p in periodic],
                config.features or 1,
                has_time=self.timed,
                slope_x=self.slope,
                slope_t=config.slope_t,
                seed=config.seed,
                **more,
            )

    def _all_rows(self, nodes: int, times: int, seed: int | None) -> list[_Rows]:
        problem = self.solver.problem
        domain = problem.domain
        if domain is None:
            space = np.zeros((1, 0))
        elif self.grading is not None and self.grading.key:
            space = self.grading.nodes(nodes, seed)
        else:
            space = domain.nodes(nodes, seed)
        s = _window_times(times, seed) if self.timed else None
        blocks = [equation(problem, with_times(space, s))]
        with precision(np.float64):
            moments = np.zeros(1) if s is None else s
            blocks += soft_blocks(problem, space, moments, seed=seed)
        return [_Rows(self, block) for block in blocks]

    def tables(self, points: np.ndarray, wanted: tuple[Orders, ...]) -> dict:
        """Derivatives of the features of each field at points in s: (field's kind,
        orders) -> `"point feature"`."""
        kinds = self.kinds
        with precision(np.float64):
            out = {}
            for kind in sorted(set(kinds)):
                field = kinds.index(kind)
                found = _tables(
                    self.features, self.solver.form, field, jnp.asarray(points), wanted
                )
                out.update({(kind, k): np.asarray(v) for k, v in found.items()})
            return out

    @property
    def kinds(self) -> list[int]:
        """Fields of the same kind (order in time, hard sides) share tables."""
        forms = self.solver.form.fields
        keys = [(f.order, tuple(side for side, _ in f.sides)) for f in forms]
        return [keys.index(key) for key in keys]

    def part(self, found: _Solved, t: float, length: float) -> Part:
        """The window's part of the solution."""
        with precision(np.float64):
            weights = found.weights.reshape(len(self.kinds), -1).T
            trial = Combination(self.features, jnp.asarray(weights))
            return Part(trial, jnp.asarray(t), jnp.asarray(length))

    def continue_from(self, part: Part) -> None:
        """What the window has added is where the next one starts."""
        if not self.timed or self.stale:
            self.stale = True
            return
        for rows in [*self.rows, *self.checks]:
            for pair in rows.starts:
                pair[0] = pair[0].after(part, self.solver.windows)

    def _freshen(self) -> None:
        """Starts from all parts, where some were accepted in another layout."""
        if not self.stale:
            return
        windows = self.solver.windows
        for rows in [*self.rows, *self.checks]:
            for pair in rows.starts:
                zero = Start.zero(pair[0].space, list(pair[0].c), windows)
                pair[0] = windows.begin(pair[0].space, list(pair[0].c), zero)
        self.stale = False

    def solve(self, t: float, length: float) -> _Solved:
        """Least squares for a linear problem, Gauss-Newton for others."""
        self._freshen()
        system = _System(self, t, length)
        return system.solve()


@eqx.filter_jit
def _tables(
    features: TanhFeatures,
    form: HardForm,
    field: int,
    points: Array,
    wanted: tuple[Orders, ...],
) -> dict[Orders, Array]:
    def grown(p: Array) -> Array:
        value = features(p) * form.mask(p)[:, field : field + 1]
        for _ in range(form.orders[field] if form.has_time else 0):
            value = value * p[:, -1:]
        return value

    return derivatives(grown, points, wanted)


def _window_times(count: int, seed: int | None) -> np.ndarray:
    """Chebyshev's points in (0, 1], the beginning left out, where starts are exact;
    for checks the points of Gauss and Legendre."""
    if seed is not None:
        return 0.5 * (np.polynomial.legendre.leggauss(count)[0] + 1.0)
    k = np.arange(1, count + 1)
    return 0.5 * (1.0 - np.cos(np.pi * k / count))


class _System:
    """The equations of one window in its weights (and unknown parameters)."""

    def __init__(self, layout: _Layout, t: float, length: float) -> None:
        self.layout, self.t, self.length = layout, t, length
        solver = layout.solver
        self.params = solver.params
        self.unknowns = list(solver.problem.unknowns.values())
        self.base = [self._base(rows) for rows in layout.rows]
        self.check_base = [self._base(rows) for rows in layout.checks]
        self.num_fields = len(layout.kinds)
        self.num_features = layout.features.size

    def _base(self, rows: _Rows) -> list[dict]:
        """What holds without the window's neurons: orders -> "point field"."""
        layout, out = self.layout, []
        for side in range(len(rows.sides)):
            points = rows.physical(side, self.t, self.length, layout.timed)
            found = layout.solver.windows.closed(points, rows.wanted)
            if layout.timed:
                start, back = rows.starts[side]
                since = points[:, -1] - self.t
                found = {k: v + start.at(k, back, since) for k, v in found.items()}
            out.append(found)
        return out

    def _scale(self, orders: Orders) -> float:
        """1 / dt for each derivative in time: tables are in s."""
        return self.length ** -orders[-1] if self.layout.timed else 1.0

    def values(self, rows: _Rows, base: list[dict], w: np.ndarray) -> list[np.ndarray]:
        """What the law needs, `"point need"`, at the points and their partners."""
        kinds = self.layout.kinds
        out = []
        for side, known in enumerate(base):
            table = rows.tables[side]
            columns = []
            for need in rows.law.needs:
                phi = table[kinds[need.field], need.orders]
                new = phi @ w[need.field] * self._scale(need.orders)
                columns.append(known[need.orders][:, need.field] + new)
            out.append(np.stack(columns, 1))
        return out

    def current(self, raw: np.ndarray) -> dict[str, Any]:
        """Parameters with the unknown ones at their values now."""
        found = {
            key: np.asarray(u.value(float(z)))
            for (key, u), z in zip(
                self.layout.solver.problem.unknowns.items(), raw, strict=True
            )
        }
        return {**self.params, **found}

    def linearise(
        self, rows: _Rows, base: list[dict], w: np.ndarray, raw: np.ndarray, need: bool
    ) -> tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]:
        """Residual rows `"row equation"`, their matrix, and slopes of the law."""
        params = self.current(raw)
        values = self.values(rows, base, w)
        block = rows.block
        total, matrix, slopes = 0.0, None, []
        for side, (v, sign) in enumerate(zip(values, (1.0, -1.0), strict=False)):
            points = rows.physical(side, self.t, self.length, self.layout.timed)
            r, p = law_and_slopes(rows.law, v, points, params, block.data)
            slopes.append(p)
            total = total + sign * r
            if need:
                own = sign * self._matrix(rows, side, p)
                matrix = own if matrix is None else matrix + own
        weight = float(block.weight)
        if block.combine is not None:
            total = block.combine @ total
            if matrix is not None:
                matrix = np.einsum("rp,pec->rec", block.combine, matrix)
        if matrix is not None:
            matrix = weight * matrix
        return weight * np.asarray(total), matrix, slopes

    def _matrix(self, rows: _Rows, side: int, slopes: np.ndarray) -> np.ndarray:
        """d residual / d weights, `"point equation column"`."""
        n, equations, _ = slopes.shape
        m = self.num_features
        kinds = self.layout.kinds
        out = np.zeros((n, equations, self.num_fields * m))
        for k, need in enumerate(rows.law.needs):
            phi = rows.tables[side][kinds[need.field], need.orders]
            scaled = slopes[:, :, k] * self._scale(need.orders)
            at = slice(need.field * m, (need.field + 1) * m)
            for e in range(equations):
                if scaled[:, e].any():
                    out[:, e, at] += scaled[:, e, None] * phi
        return out

    def row_scales(self, slopes: np.ndarray, law: Any) -> np.ndarray:
        """For each equation 1 over its largest coefficient, derivatives counted in
        window lengths and lengths of the domain: rows are then errors of u."""
        domain = self.layout.solver.problem.domain
        size = np.zeros((slopes.shape[1], len(law.needs)))
        for k, need in enumerate(law.needs):
            unit = 1.0
            space = need.orders[:-1] if self.layout.timed else need.orders
            if domain is not None:
                lengths = domain.bounds @ np.asarray([-1.0, 1.0])
                unit *= float(np.prod((2.0 * np.pi / lengths) ** np.asarray(space)))
            unit *= self._scale(need.orders)
            size[:, k] = np.sqrt(np.mean(slopes[:, :, k] ** 2, axis=0)) * unit
        timed = np.asarray([self.layout.timed and n.orders[-1] > 0 for n in law.needs])
        own = np.where(timed[None, :], size, 0.0).max(1)
        return 1.0 / np.where(own > 0.0, own, np.maximum(size.max(1), 1e-300))

    def assemble(
        self, w: np.ndarray, raw: np.ndarray, need: bool, scales: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, list[np.ndarray]]:
        """All rows, all columns, scales of the equation, slopes."""
        parts, columns, every = [], [], []
        for k, (rows, base) in enumerate(zip(self.layout.rows, self.base, strict=True)):
            r, matrix, slopes = self.linearise(rows, base, w, raw, need)
            if k == 0:
                if scales is None:
                    scales = self.row_scales(slopes[0], rows.law)
                factor = scales[None, :] / np.sqrt(len(r))
            else:
                soft = self.layout.solver.config.soft_weight
                factor = np.full((1, r.shape[1]), soft / np.sqrt(len(r)))
            every += slopes
            parts.append((factor * r).ravel())
            if matrix is not None:
                if self.unknowns:
                    more = self._unknown_columns(rows, base, w, raw)
                    matrix = np.concatenate([matrix, more], axis=2)
                scaled = factor[:, :, None] * matrix
                columns.append(scaled.reshape(-1, scaled.shape[2]))
        full = np.concatenate(columns) if columns else None
        assert scales is not None
        return np.concatenate(parts), full, scales, every

    def _unknown_columns(
        self, rows: _Rows, base: list[dict], w: np.ndarray, raw: np.ndarray
    ) -> np.ndarray:
        """Slopes in the unknown parameters by central differences of the law, which is
        cheap and smooth: its error is far below what least squares needs."""
        out = []
        for k in range(len(raw)):
            step = np.zeros(len(raw))
            step[k] = 1e-5
            up, _, _ = self.linearise(rows, base, w, raw + step, False)
            down, _, _ = self.linearise(rows, base, w, raw - step, False)
            out.append((up - down) / 2e-5)
        return np.stack(out, axis=2)

    def size(self, w: np.ndarray) -> float:
        """RMS of the solution in the window."""
        rows = self.layout.rows[0]
        kinds, total = self.layout.kinds, 0.0
        for field in range(self.num_fields):
            u = self.base[0][0][rows.zero][:, field]
            u = u + rows.tables[0][kinds[field], rows.zero] @ w[field]
            total += float(np.mean(u * u))
        return max(np.sqrt(total / self.num_fields), 1e-12)

    def solve(self) -> _Solved:
        """Gauss-Newton from zero weights, with halved steps."""
        solver = self.layout.solver
        shape = (self.num_fields, self.num_features)
        w, raw = np.zeros(shape), np.zeros(len(self.unknowns))
        r, matrix, scales, slopes = self.assemble(w, raw, True, None)
        condition, done = 0.0, 0
        for done in range(1, solver.config.newton + 1):
            assert matrix is not None
            if not (np.isfinite(r).all() and np.isfinite(matrix).all()):
                break
            step, condition = solver.least_squares(matrix, -r)
            now, moved = np.linalg.norm(r), None
            for half in range(8):
                factor = 0.5**half
                new_w = w + factor * step[: w.size].reshape(shape)
                new_raw = raw + factor * step[w.size :]
                trial, _, _, after = self.assemble(new_w, new_raw, False, scales)
                if np.isfinite(trial).all() and np.linalg.norm(trial) < now:
                    moved = (new_w, new_raw, trial, after)
                    break
            if moved is None:
                break
            w, raw, r, after = moved
            change = np.linalg.norm(matrix @ step)
            same = all(np.array_equal(a, b) for a, b in zip(slopes, after, strict=True))
            if (same and not self.unknowns) or change < 1e-9 * self.size(w):
                break
            if np.linalg.norm(r) > 0.999 * now and half == 0 and done > 3:
                break
            r, matrix, scales, slopes = self.assemble(w, raw, True, scales)
        size = self.size(w)
        train = float(np.linalg.norm(r)) / size
        return _Solved(
            w, raw, train, self._check(w, raw, scales) / size, done, condition
        )

    def _check(self, w: np.ndarray, raw: np.ndarray, scales: np.ndarray) -> float:
        """RMS of the equation's rows between the points, in units of u."""
        total = 0.0
        pairs = zip(self.layout.checks, self.check_base, strict=True)
        for k, (rows, base) in enumerate(pairs):
            if rows.block.name.startswith("observation"):
                continue  # noise is no error of the solution
            r, _, _ = self.linearise(rows, base, w, raw, False)
            factor = scales[None, :] if k == 0 else 1.0
            total += float(np.mean((factor * r) ** 2))
        return float(np.sqrt(total)) if np.isfinite(total) else np.inf
