"""The equations of one window in its output weights, and their solution."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from .._precision import precision, to_device
from ._derivatives import Orders
from ._layout import Layout, Rows, Solved
from ._misfit import Misfits, by_chance
from ._problem import Problem


CUT = 1e-13  # of the largest singular value: what least squares leaves out
_EASED = (1e3, 1e2, 1e1, 1.0)  # how many times sigma_r, one after the other


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


class LeastSquares:
    """Truncated least squares; a matrix that comes again is not factorised again, as
    it does in every window of the same length where a linear equation does not
    change."""

    def __init__(self) -> None:
        self.last: tuple[np.ndarray, Any] | None = None

    def __call__(self, matrix: np.ndarray, rhs: np.ndarray) -> tuple[np.ndarray, float]:
        """The solution, and the condition number of what was kept."""
        if self.last is not None and np.array_equal(matrix, self.last[0]):
            u, s, vt = self._kept(matrix, self.last[1])
            condition = float(s[0] / s[-1]) if s.size else 0.0  # of a matrix of zeros
            return vt.T @ ((u.T @ rhs) / s), condition
        self.last = (matrix, None)
        solved: Any = scipy.linalg.lstsq(
            matrix, rhs, cond=CUT, lapack_driver="gelsd", check_finite=False
        )
        found, _, rank, s = solved
        return found, float(s[0] / max(s[max(rank - 1, 0)], 1e-300))

    def _kept(self, matrix: np.ndarray, factors: Any) -> Any:
        """Its factors, which are computed the second time that it comes."""
        if factors is None:
            factors = _factors(matrix)
            self.last = (matrix, factors)
        return factors


def _factors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vt = scipy.linalg.svd(matrix, full_matrices=False, check_finite=False)
    kept = s > CUT * s[0]
    return u[:, kept], s[kept], vt[kept]


def row_scales(
    problem: Problem,
    law: Any,
    slopes: Float[np.ndarray, "equation need"],
    length: float | None,
) -> Float[np.ndarray, "equation"]:
    """For each equation 1 over its largest coefficient, derivatives counted in window
    lengths and lengths of the domain: rows are then errors of u. `length`: of the
    window, None without time."""
    size, timed = slopes.copy(), []
    for k, need in enumerate(law.needs):
        space, unit = need.orders if length is None else need.orders[:-1], 1.0
        if problem.domain is not None:
            lengths = problem.domain.bounds @ np.asarray([-1.0, 1.0])
            unit *= float(np.prod((2.0 * np.pi / lengths) ** np.asarray(space)))
        if length is not None:
            unit *= length ** -need.orders[-1]
        size[:, k] *= unit
        timed.append(length is not None and need.orders[-1] > 0)
    own = np.where(np.asarray([timed]), size, 0.0).max(1)
    most = np.where(own > 0.0, own, size.max(1))
    return 1.0 / np.where(most > 0.0, most, 1.0)


class System:
    """The equations of one window in its weights (and unknown parameters)."""

    def __init__(
        self,
        layout: Layout,
        t: float,
        length: float,
        params: dict[str, Any],
        least_squares: LeastSquares,
    ) -> None:
        layout.freshen()
        self.layout, self.t, self.length = layout, t, length
        self.params, self.least_squares = params, least_squares
        self.unknowns = list(layout.problem.unknowns.values())
        self.ease = 1.0
        self.data = self._data_now()
        self.base = [self.base_of(rows) for rows in layout.rows]
        self.check_base = [self.base_of(rows) for rows in layout.checks]
        self.num_fields = len(layout.kinds)
        self.num_features = layout.features.size

    def _data_now(self) -> dict[int, np.ndarray | None]:
        """What belongs to the points of each block in this window."""
        out: dict[int, np.ndarray | None] = {}
        for which, every in enumerate((self.layout.rows, self.layout.checks)):
            soft = self.layout.soft(which, self.t, self.length) if every[1:] else []
            for rows, block in zip(every, [every[0].block, *soft], strict=True):
                out[id(rows)] = self.layout.windows.handed_on(block, self.t).data
        return out

    def base_of(self, rows: Rows) -> list[dict]:
        """What holds without the window's neurons: orders -> "point field"."""
        layout, out = self.layout, []
        for side in range(len(rows.sides)):
            points = rows.physical(side, self.t, self.length, layout.timed)
            found = layout.windows.closed(points, rows.wanted)
            if layout.timed:
                start, back = rows.starts[side]
                since = points[:, -1] - self.t
                found = {k: v + start.at(k, back, since) for k, v in found.items()}
            out.append(found)
        return out

    def _scale(self, orders: Orders) -> float:
        """1 / dt for each derivative in time: tables are in s."""
        return self.length ** -orders[-1] if self.layout.timed else 1.0

    def values(self, rows: Rows, base: list[dict], w: np.ndarray) -> list[np.ndarray]:
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
        names = self.layout.problem.unknowns.items()
        with precision(np.float64):
            found = {
                key: np.asarray(u.value(float(z)))
                for (key, u), z in zip(names, raw, strict=True)
            }
        return {**self.params, **found}

    def linearise(
        self, rows: Rows, base: list[dict], w: np.ndarray, raw: np.ndarray, need: bool
    ) -> tuple[np.ndarray, np.ndarray | None, list[np.ndarray]]:
        """Residual rows `"row equation"`, their matrix, and slopes of the law."""
        params = self.current(raw)
        values = self.values(rows, base, w)
        block = rows.block
        total, matrix, slopes = 0.0, None, []
        for side, (v, sign) in enumerate(zip(values, (1.0, -1.0), strict=False)):
            points = rows.physical(side, self.t, self.length, self.layout.timed)
            r, p = law_and_slopes(
                rows.law, v, points, params, self.data.get(id(rows), rows.block.data)
            )
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

    def _matrix(self, rows: Rows, side: int, slopes: np.ndarray) -> np.ndarray:
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
        """`row_scales` of slopes at points."""
        each = range(slopes.shape[2])
        size = np.stack(
            [np.sqrt(np.mean(slopes[:, :, k] ** 2, axis=0)) for k in each], 1
        )
        length = self.length if self.layout.timed else None
        return row_scales(self.layout.problem, law, size, length)

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
            elif self.unknowns and rows.block.name.startswith("observation"):
                # misfits in sigma against residuals in sigma_r, times
                # sigma_r / sqrt(rows of the equation): the most probable values
                own = self.layout.config.sigma_r * self.ease
                factor = np.full((1, r.shape[1]), own / np.sqrt(len(parts[0])))
            else:
                soft = self.layout.config.soft_weight
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
        self, rows: Rows, base: list[dict], w: np.ndarray, raw: np.ndarray
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

    def solve(self) -> Solved:
        """Gauss-Newton from zero weights. Where measurements are not met, the valley
        that the equation leaves may be too narrow to be followed: once more with an
        equation that begins loose, and the better one of both."""
        with np.errstate(over="ignore", invalid="ignore"):  # of what runs away
            return self._solved()

    def _solved(self) -> Solved:
        zero = np.zeros((self.num_fields, self.num_features))
        raw = np.zeros(len(self.unknowns))
        best = self._descend(zero, raw, None)
        count = self._measured()
        if count and not by_chance(self._squares(best[2]), count):
            found = best
            for self.ease in _EASED:
                w, raw = (zero, raw) if found is best else found[:2]
                found = self._descend(w, raw, best[3])
            if not np.linalg.norm(found[2]) >= np.linalg.norm(best[2]):
                best = found
        w, raw, r, scales, done, condition = best
        size = self.size(w)
        train = float(np.linalg.norm(r) / size)
        check = float(self.check(w, raw, scales) / size)
        misfits = self._misfits(w, raw) if count else ()
        return Solved(w, raw, train, check, done, condition, misfits)

    def _measured(self) -> int:
        """How many measurements the unknown parameters are fitted to."""
        if not self.unknowns:
            return 0
        blocks = [rows.block for rows in self.layout.rows]
        return sum(b.num for b in blocks if b.name.startswith("observation"))

    def _squares(self, r: np.ndarray) -> float:
        """The squares of all rows, in units of sigma and sigma_r."""
        first = self.layout.rows[0].block.num
        return float(r @ r) * first / self.layout.config.sigma_r**2

    def _misfits(self, w: np.ndarray, raw: np.ndarray) -> Misfits:
        """Of each set of measurements."""
        pairs = zip(self.layout.rows, self.base, strict=True)
        each = [
            self.linearise(rows, base, w, raw, False)[0]
            for rows, base in pairs
            if rows.block.name.startswith("observation")
        ]
        return tuple((float(np.sqrt(np.mean(r**2))), r.size) for r in each)

    def _descend(
        self, w: np.ndarray, raw: np.ndarray, scales: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int, float]:
        """Gauss-Newton with halved steps: weights, parameters, rows, their scales,
        iterations and condition."""
        shape = (self.num_fields, self.num_features)
        r, matrix, scales, slopes = self.assemble(w, raw, True, scales)
        condition, done = 0.0, 0
        for done in range(1, self.layout.config.newton + 1):
            assert matrix is not None
            if not (np.isfinite(r).all() and np.isfinite(matrix).all()):
                break
            step, condition = self.least_squares(matrix, -r)
            now, moved, half = np.linalg.norm(r), None, 0
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
        return w, raw, r, scales, done, condition

    def check(self, w: np.ndarray, raw: np.ndarray, scales: np.ndarray) -> float:
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
