"""One compiled program for the windows of many parameter sets: tables of features are
shared, weights are not."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from .._precision import precision
from ._derivatives import Orders, derivatives
from ._form import HardForm
from ._law import Law
from ._layout import Layout, Rows


DAMP = 1e-13  # of the matrix' norm: what keeps the triangle invertible
KEEP = 0.3  # a step with old factors has to shrink the error to this
NEWTON = 25
FACTORED = 6  # times in a window, at most
HALVED = 2.0**-7


class Table(eqx.Module):
    """A block of rows with the features at its points, and at the ends of windows."""

    law: Law
    wanted: tuple[Orders, ...] = eqx.field(static=True)
    points: tuple[Array, ...]
    """In s, one array a side."""
    phi: tuple[dict[Any, Array], ...]
    """(kind, orders) -> features `"point feature"`."""
    ends: tuple[dict[Any, Array], ...]
    """(kind, orders) -> features at s = 1 `"place feature"`."""
    back: tuple[Array, ...]
    """The place of each point."""
    data: Array | None
    combine: Array | None
    weight: Array


class Setting(eqx.Module):
    """What all parameter sets share."""

    rows: tuple[Table, ...]
    checks: tuple[Table, ...]
    form: HardForm
    kinds: tuple[int, ...] = eqx.field(static=True)
    units: Float[Array, "need"]
    """One over the lengths that belong to the equation's derivatives in space."""
    soft_weight: float = eqx.field(static=True)

    @property
    def timed(self) -> bool:
        """Whether there are windows."""
        return self.form.has_time


class Carry(NamedTuple):
    r"""What windows leave: $c_k = \phi(1) a + \phi_s(1) b$, $v_k = \phi_s(1) d$."""

    a: Array
    b: Array
    d: Array


class Factors(NamedTuple):
    """An orthogonal and a triangular matrix, and whether there are any yet."""

    q: Array
    r: Array
    made: Array


class Marched(eqx.Module):
    """Weights of each set and window, how well they do, and what they leave."""

    weights: Float[Array, "set window field feature"]
    train: Float[Array, "set window"]
    check: Float[Array, "set window"]
    carry: Carry
    steps: Array


def setting_of(layout: Layout) -> Setting:
    """The tables of a layout as arrays for `march`."""
    form = layout.windows.form
    problem = layout.problem
    law, domain = problem.law, problem.domain
    units = np.ones(len(law.needs))
    if domain is not None:
        lengths = domain.bounds @ np.asarray([-1.0, 1.0])
        for k, need in enumerate(law.needs):
            space = need.orders[:-1] if layout.timed else need.orders
            units[k] = np.prod((2.0 * np.pi / lengths) ** np.asarray(space))
    with precision(np.float64):
        make = lambda all_rows: tuple(_table(layout, rows) for rows in all_rows)
        return Setting(
            make(layout.rows),
            make(layout.checks),
            jax.tree.map(jnp.asarray, form),
            tuple(layout.kinds),
            jnp.asarray(units),
            layout.config.soft_weight,
        )


def _table(layout: Layout, rows: Rows) -> Table:
    ends: list[dict[Any, Array]] = []
    back = []
    for start in rows.starts:
        if start is None:
            ends.append({})
            back.append(jnp.zeros(0, int))
            continue
        space, places = start[0].space, start[1]
        points = np.c_[space, np.ones(len(space))]
        spatial = sorted({(*k[:-1], j) for k in rows.wanted for j in (0, 1)})
        found = layout.tables(points, tuple(spatial))
        ends.append({k: jnp.asarray(v) for k, v in found.items()})
        back.append(jnp.asarray(places))
    block = rows.block
    maybe = lambda x: None if x is None else jnp.asarray(x)
    return Table(
        rows.law,
        tuple(rows.wanted),
        tuple(jnp.asarray(p) for p in rows.sides),
        tuple({k: jnp.asarray(v) for k, v in t.items()} for t in rows.tables),
        tuple(ends),
        tuple(back),
        maybe(block.data),
        maybe(block.combine),
        jnp.asarray(block.weight),
    )


def no_carry(setting: Setting, sets: int) -> Carry:
    """Before the first window."""
    key = next(iter(setting.rows[0].phi[0]))
    shape = (sets, len(setting.kinds), setting.rows[0].phi[0][key].shape[1])
    return Carry(*(jnp.zeros(shape) for _ in range(3)))


def after(carry: Carry, w: Any, length: Any, orders: tuple[int, ...]) -> Carry:
    """What is left at the end of one more window, of weights `"... field feature"`."""
    first = np.asarray([[float(q > 0)] for q in orders])
    second = np.asarray([[float(q > 1)] for q in orders])
    return Carry(
        carry.a + first * w,
        carry.b + length * carry.d,
        carry.d + second * w / length,
    )


def with_rates(form: HardForm, rates: Array | None) -> HardForm:
    """The form of one set: its start decays at the set's own rates."""
    if rates is None:
        return form
    return eqx.tree_at(lambda f: f.fields[0].carry.rate, form, rates)


class _Window:
    """One window of one set while it is traced: values, rows and their matrix."""

    def __init__(
        self, setting: Setting, form: HardForm, params: Any, t: Array, length: Array
    ) -> None:
        self.setting, self.form, self.params = setting, form, params
        self.t, self.length = t, length

    def scale(self, orders: Orders) -> Array:
        """1 / dt for each derivative in time: tables are in s."""
        if not self.setting.timed:
            return jnp.ones(())
        return self.length ** (-orders[-1])

    def physical(self, table: Table, side: int) -> Array:
        """Points with the time for s."""
        points = table.points[side]
        if not self.setting.timed:
            return points
        return points.at[:, -1].set(self.t + self.length * points[:, -1])

    def base(self, table: Table, carry: Carry) -> list[dict[Orders, list[Array]]]:
        """What holds without the window's neurons: orders -> one array a field."""
        out = []
        for side in range(len(table.points)):
            points = self.physical(table, side)
            found = derivatives(self.form.closed, points, table.wanted)
            out.append(
                {
                    orders: [
                        found[orders][:, f] + self._start(table, side, f, orders, carry)
                        for f in range(len(self.setting.kinds))
                    ]
                    for orders in table.wanted
                }
            )
        return out

    def _start(
        self, table: Table, side: int, field: int, orders: Orders, carry: Carry
    ) -> Array:
        q = self.form.orders[field] if self.setting.timed else 0
        if q == 0 or orders[-1] > 1 or (orders[-1] == 1 and q < 2):
            return jnp.zeros(())
        kind, ends = self.setting.kinds[field], table.ends[side]
        value, rate = ends[kind, (*orders[:-1], 0)], ends[kind, (*orders[:-1], 1)]
        if orders[-1] == 1:
            return (rate @ carry.d[field])[table.back[side]]
        c = value @ carry.a[field]
        if q < 2:
            return c[table.back[side]]
        c, v = c + rate @ carry.b[field], rate @ carry.d[field]
        since = self.length * table.points[side][:, -1]
        return c[table.back[side]] + since * v[table.back[side]]

    def values(
        self, table: Table, base: list[dict[Orders, list[Array]]], w: Array
    ) -> list[Array]:
        """What the law needs at points and partners, `"point need"`."""
        out = []
        for side, known in enumerate(base):
            columns = []
            for need in table.law.needs:
                phi = table.phi[side][self.setting.kinds[need.field], need.orders]
                new = (phi @ w[need.field]) * self.scale(need.orders)
                columns.append(known[need.orders][need.field] + new)
            out.append(jnp.stack(columns, axis=1))
        return out

    def residual(
        self, table: Table, base: list[dict[Orders, list[Array]]], w: Array
    ) -> Array:
        """Rows of a block, `"row equation"`."""
        total: Any = None
        signs = (1.0, -1.0)
        for side, v in enumerate(self.values(table, base, w)):
            points = self.physical(table, side)
            r = signs[side] * self._law(table, v, points)
            total = r if total is None else total + r
        if table.combine is not None:
            total = table.combine @ total
        return table.weight * total

    def _law(self, table: Table, values: Array, points: Array) -> Array:
        law, params = table.law, self.params
        if table.data is None:
            return jax.vmap(lambda v, x: law(v, x, params))(values, points)
        return jax.vmap(lambda v, x, d: law(v, x, params, d))(
            values, points, table.data
        )

    def slopes(
        self, table: Table, base: list[dict[Orders, list[Array]]], w: Array
    ) -> list[Array]:
        """Slopes of the law in what it needs, `"point equation need"`, each side."""
        law, params, out = table.law, self.params, []
        for side, v in enumerate(self.values(table, base, w)):
            points = self.physical(table, side)
            if table.data is None:
                slope = jax.jacfwd(lambda v, x: law(v, x, params))
                out.append(jax.vmap(slope)(v, points))
            else:
                own = jax.jacfwd(lambda v, x, d: law(v, x, params, d))
                out.append(jax.vmap(own)(v, points, table.data))
        return out

    def matrix(self, table: Table, slopes: list[Array]) -> Array:
        """d rows / d weights, `"row equation column"`."""
        total: Any = None
        for side, (p, sign) in enumerate(zip(slopes, (1.0, -1.0), strict=False)):
            columns: list[Any] = [0.0] * len(self.setting.kinds)
            for k, need in enumerate(table.law.needs):
                phi = table.phi[side][self.setting.kinds[need.field], need.orders]
                scaled = sign * p[:, :, k, None] * self.scale(need.orders)
                columns[need.field] = columns[need.field] + scaled * phi[:, None, :]
            like = next(c for c in columns if not isinstance(c, float))
            full = [
                jnp.zeros_like(like) if isinstance(c, float) else c for c in columns
            ]
            own = jnp.concatenate(full, axis=2)
            total = own if total is None else total + own
        if table.combine is not None:
            total = jnp.einsum("rp,pec->rec", table.combine, total)
        return table.weight * total

    def row_scales(self, slopes: Array) -> Array:
        """For each equation 1 over its largest coefficient, as in `System`."""
        law = self.setting.rows[0].law
        steps = jnp.stack([self.scale(need.orders) for need in law.needs])
        size = jnp.sqrt(jnp.mean(slopes**2, axis=0))
        size = size * (self.setting.units * steps)[None, :]
        timed = self.setting.timed
        own = np.asarray([[timed and n.orders[-1] > 0 for n in law.needs]])
        led = jnp.max(jnp.where(own, size, 0.0), axis=1)
        return 1.0 / jnp.where(
            led > 0.0, led, jnp.maximum(jnp.max(size, axis=1), 1e-300)
        )


class _Step(NamedTuple):
    """Where Gauss-Newton is."""

    w: Array
    r: Array
    factors: Factors
    again: Array  # new factors are needed
    here: Array  # the factors belong to these weights
    times: Array
    iterations: Array
    done: Array


def _solve_window(
    window: _Window, carry: Carry, factors: Factors, stop: Array
) -> tuple[Array, Array, Array, Factors, Array]:
    """Weights, relative residuals at and between the points, and the last factors.

    Factors are kept, from window to window too, as long as steps with them shrink the
    projected residual well: a factorisation costs more than many such steps.
    """
    setting = window.setting
    bases = [window.base(table, carry) for table in setting.rows]
    zero = jnp.zeros_like(carry.a)
    first = window.slopes(setting.rows[0], bases[0], zero)[0]
    scales = window.row_scales(first)

    def rows(w: Array) -> Array:
        parts = []
        for k, (table, base) in enumerate(zip(setting.rows, bases, strict=True)):
            r = window.residual(table, base, w)
            factor = scales[None, :] if k == 0 else setting.soft_weight
            parts.append((factor * r / np.sqrt(len(r))).ravel())
        return jnp.concatenate(parts)

    def factor(w: Array) -> Factors:
        parts = []
        for k, (table, base) in enumerate(zip(setting.rows, bases, strict=True)):
            matrix = window.matrix(table, window.slopes(table, base, w))
            by = scales[None, :, None] if k == 0 else setting.soft_weight
            scaled = by * matrix / np.sqrt(len(matrix))
            parts.append(scaled.reshape(-1, scaled.shape[2]))
        full = jnp.concatenate(parts)
        damp = DAMP * jnp.linalg.norm(full) * jnp.eye(full.shape[1])
        q, r = jnp.linalg.qr(jnp.concatenate([full, damp]))
        return Factors(q[: len(full)], r, jnp.ones((), bool))

    def size(w: Array) -> Array:
        table, known = setting.rows[0], bases[0][0]
        origin = (0,) * len(table.law.coords)
        total = jnp.zeros(())
        for f, kind in enumerate(setting.kinds):
            u = known[origin][f] + table.phi[0][kind, origin] @ w[f]
            total = total + jnp.mean(u * u)
        return jnp.maximum(jnp.sqrt(total / len(setting.kinds)), 1e-12)

    r0 = rows(zero)
    begin = _Step(
        zero,
        r0,
        factors,
        ~factors.made,
        jnp.zeros((), bool),
        jnp.zeros((), int),
        jnp.zeros((), int),
        ~jnp.isfinite(jnp.sum(r0)),
    )
    limit = stop * size(zero)
    body = lambda step: _newton(step, rows, factor, limit)
    end = jax.lax.while_loop(lambda s: ~s.done & (s.iterations < NEWTON), body, begin)
    amount = size(end.w)
    total = jnp.zeros(())
    for k, table in enumerate(setting.checks):
        r = window.residual(table, window.base(table, carry), end.w)
        by = scales[None, :] if k == 0 else 1.0
        total = total + jnp.mean((by * r) ** 2)
    check = jnp.sqrt(total) / amount
    check = jnp.where(jnp.isfinite(check), check, jnp.inf)
    train = jnp.linalg.norm(end.r) / amount
    # factors of a window that went wrong must not spoil the next one
    made = jnp.isfinite(jnp.sum(end.factors.r)) & (check < jnp.inf)
    kept = end.factors._replace(made=made)
    return end.w, train, check, kept, end.iterations


def _newton(step: _Step, rows: Any, factor: Any, stop: Array) -> _Step:
    """One step, with new factors where the one before did not shrink the error."""
    factors = jax.lax.cond(step.again, lambda: factor(step.w), lambda: step.factors)
    here = step.here | step.again
    times = step.times + step.again.astype(step.times.dtype)
    p = factors.q.T @ step.r
    direction = -solve_triangular(factors.r, p).reshape(step.w.shape)
    now = jnp.linalg.norm(step.r)
    falls = lambda r: jnp.linalg.norm(r) < now

    def worse(state: tuple[Array, Array]) -> Array:
        taken, r = state
        return (taken == 2.0) | (here & ~falls(r) & (taken > HALVED))

    def half(state: tuple[Array, Array]) -> tuple[Array, Array]:
        taken = state[0] / 2.0
        return taken, rows(step.w + taken * direction)

    taken, r = jax.lax.while_loop(worse, half, (jnp.asarray(2.0), step.r))
    before, left = jnp.linalg.norm(p), jnp.linalg.norm(factors.q.T @ r)
    good = (taken == 1.0) & (left < jnp.maximum(KEEP * before, stop))
    moved = good | falls(r)
    w = jnp.where(moved, step.w + taken * direction, step.w)
    over = good & (left < stop)
    stuck = here & ~moved
    again = ~good & ~stuck
    spent = again & (times >= FACTORED)
    return _Step(
        w,
        jnp.where(moved, r, step.r),
        factors,
        again,
        here & ~moved,
        times,
        step.iterations + 1,
        over | stuck | spent | ~jnp.isfinite(jnp.sum(w)),
    )


TRACES = {"march": 0}
"""How often `march` was traced."""


@eqx.filter_jit
def march(
    setting: Setting,
    params: dict[str, Array],
    rates: Array | None,
    members: Array,
    number: Array,
    edges: Array,
    windows: Array,
    carry: Carry,
    stop: Array,
) -> Marched:
    """Solve `windows` windows, between `edges`, of the first `number` of `members`.

    Both numbers are traced: one program serves the search for windows on one set and
    the solution of all of them. Sets come one after the other: on a processor with few
    cores that is as fast as side by side, and each takes the steps that it needs.

    **Arguments:** `members` `"set"`: indices; `edges` `"window+1"`; `carry` `"set field
    feature"`: what windows before have left; `stop`: relative size of the last step,
    over the window's length.
    """
    TRACES["march"] += 1
    num, most = len(members), len(edges) - 1
    fields, features = carry.a.shape[1:]
    empty = Factors(*_no_factors(setting, fields * features), jnp.zeros((), bool))

    def one_window(k: Array, state: Any, own: Any, form: HardForm) -> Any:
        w_all, train, check, left, factors, steps = state
        length = edges[k + 1] - edges[k]
        window = _Window(setting, form, own, edges[k], length)
        w, tr, ch, factors, n = _solve_window(window, left, factors, stop * length)
        return (
            w_all.at[k].set(w),
            train.at[k].set(tr),
            check.at[k].set(ch),
            after(left, w, length, form.orders),
            factors,
            steps + n,
        )

    def one_set(n: Array, out: Marched) -> Marched:
        member = members[n]
        own = jax.tree.map(lambda x: x[member], params)
        form = with_rates(setting.form, None if rates is None else rates[member])
        left = jax.tree.map(lambda x: x[member], carry)
        line = jnp.zeros(most)
        none = jnp.zeros((), int)
        state = (jnp.zeros((most, fields, features)), line, line, left, empty)
        body = lambda k, s: one_window(k, s, own, form)
        end = jax.lax.fori_loop(0, windows, body, (*state, none))
        put = lambda whole, new: whole.at[member].set(new)
        return Marched(
            put(out.weights, end[0]),
            put(out.train, end[1]),
            put(out.check, end[2]),
            jax.tree.map(put, out.carry, end[3]),
            put(out.steps, end[5]),
        )

    out = Marched(
        jnp.zeros((num, most, fields, features)),
        jnp.zeros((num, most)),
        jnp.zeros((num, most)),
        carry,
        jnp.zeros(num, int),
    )
    return jax.lax.fori_loop(0, number, one_set, out)


def _no_factors(setting: Setting, columns: int) -> tuple[Array, Array]:
    """Zeros of the shapes of factors."""
    rows = 0
    for table in setting.rows:
        points = table.points[0].shape[0]
        count = points if table.combine is None else table.combine.shape[0]
        rows += count * table.law.equations
    return jnp.zeros((rows, columns)), jnp.zeros((columns, columns))
