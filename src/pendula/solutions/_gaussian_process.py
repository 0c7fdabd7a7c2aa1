"""Gaussian processes on grids whose covariance is learned with the solution."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from .._checks import fields_positive, fields_whole, positive, whole
from .._errors import ConfigError
from .._precision import precision
from ._blocks import Block, soft_blocks
from ._derivatives import Orders
from ._domain import Box, Interval
from ._objective import needed
from ._outcome import SAFETY, Deadline, Outcome
from ._parts import Part, Windows
from ._problem import Problem
from ._spectral_mixture import (
    KernelExpansion,
    SpectralMixture,
    even_nodes,
    mixture,
    on_nodes,
    root,
    to_points,
)
from ._trained import soft_form
from ._window import law_and_slopes


_DENSE = 2500  # unknown values that Gauss-Newton finds in reasonable time
_MOST = 1e16  # precision of a gap, against its size for a random function
_FIRST = 1e6
_LOOK = 10  # steps between two looks at the residual between the nodes
_LAST = 3  # steps for the values before
_PATIENCE = 3  # looks without a smaller residual
_SHARES = (0.2, 0.3, 0.1, 0.4, 0.05, 0.02)
"""Of the nodes: highest frequencies to begin with, tried in this order. A spectrum that
is far too wide or too narrow is a bad one to learn from."""
_SIZES = {1: 200, 2: 32, 3: 8}


@dataclasses.dataclass(frozen=True)
class GaussianProcess:
    r"""A Gaussian process on a grid whose spectrum is learned: for solutions of high
    frequency, which neurons do not find.

    With the covariance $\prod_a k_a$ over the axes, each a `SpectralMixture`, values
    $u$ on the grid, $g$ the gaps of the conditions and $r$ those of the equation,

    $$ L = \tfrac12 u^T K^{-1} u + \tfrac12 \log\det K
         + \tfrac12 (\lambda e^{\tau} |g|^2 - n_g \tau)
         + \tfrac12 (e^{v} |r|^2 - n_r v) $$

    K is a Kronecker product: derivatives are one matrix an axis. Weights, frequencies
    and scales follow the slope of L, and $u$, $\tau$ and $v$ stand where it is least
    for them, $u$ by Gauss-Newton. That takes a dense matrix: up to 2500 values.

    **Arguments:**
    - `nodes`: on each axis; None: 200 in one, 32 in two, 8 in three dimensions.
    - `components`: of each spectrum.
    - `spectrum`: "gauss", or "student" for heavy tails (equations of order 2 at most).
    - `highest`: frequency at the beginning, in waves on an axis; None: several are
      tried, until one is good enough, and the one with the smallest residual between
      the nodes is taken.
    - `steps`, `rate`: of Adam, at most; it ends as soon as that residual is a tenth of
      the tolerance, or no longer falls. The best spectrum seen is kept.
    - `boundary_weight`: $\lambda$.
    - `seed`: of the function that sets the scales.

    **Raises:** `ConfigError` for domains that are no box, `Unknown` parameters, or
    settings that cannot be used.
    **Source:** Fang, Cooley, Long, Li, Kirby, Zhe 2023, arXiv:2311.04465; that values
    and precisions stand at their best for each spectrum is ours.

    ```python
    >>> import numpy as np
    >>> from pendula.solutions import named_problem, solve
    >>> problem = named_problem("poisson", kind="sine")
    >>> found = solve(problem, method="gp", nodes=400, steps=50, check=False)
    >>> x = np.linspace(0.0, 6.0, 7)
    >>> bool(np.abs(found(x) - np.sin(100.0 * x)).max() < 1e-2)
    True

    ```
    """

    nodes: int | None = None
    components: int = 30
    spectrum: str = "gauss"
    highest: float | None = None
    steps: int = 200
    rate: float = 1e-2
    boundary_weight: float = 200.0
    seed: int = 0
    name: ClassVar[str] = "gp"

    def __post_init__(self) -> None:
        if self.spectrum not in ("gauss", "student"):
            raise ConfigError(
                f'gp: spectrum is "{self.spectrum}"; it is "gauss" or "student".'
            )
        fields_whole(self, "gp", components=1, steps=1, seed=0)
        fields_positive(self, "gp", "rate", "boundary_weight")
        if self.nodes is not None:
            whole(4, "gp", nodes=self.nodes)
        if self.highest is not None:
            positive("gp", highest=self.highest)

    def run(self, problem: Problem, tol: float, deadline: Deadline) -> Outcome:
        """Solve on the grid."""
        with precision(np.float64):
            return _Solver(problem, self).run(tol, deadline)

    def finer(self, problem: Problem, outcome: Outcome) -> GaussianProcess:
        """1.5 times the nodes, another seed; where these are too many, fewer than
        before: the difference then says more than the error."""
        axes, fields = len(problem.coords), len(problem.fields)
        nodes = self.nodes or _SIZES[axes]
        finer = math.ceil(1.5 * nodes)
        if finer**axes * fields > _DENSE:
            finer = math.ceil(nodes / 1.5)
        return dataclasses.replace(self, nodes=finer, seed=self.seed + 1)


class _Rows(eqx.Module):
    """A condition's points in units of the axes, and its partners'."""

    block: Block
    units: tuple[tuple[tuple[Array, Array], ...], ...]
    """For each side and axis: the different places, and which one a point has."""


class _State(NamedTuple):
    z: Array  # "field node ...", white
    kernels: tuple[SpectralMixture, ...]
    tau: Array
    v: Array


class _Look(NamedTuple):
    """Where the search stands: the residuals on the nodes and between, and the gap of
    the conditions."""

    grid: _Grid
    state: _State
    part: Part
    train: float
    check: float
    gap: float

    @property
    def worst(self) -> float:
        """Of what is not trained on, and the conditions."""
        return max(self.check, self.gap)


class _Grid(eqx.Module):
    """The loss on one grid."""

    law: Any
    params: dict[str, Any]
    conditions: tuple[_Rows, ...]
    points: Array
    length: Array
    scale: Array
    boundary_weight: Array
    nodes: tuple[Any, ...] = eqx.field(static=True)

    def tables(self, kernels: tuple[SpectralMixture, ...]) -> tuple[Any, Any]:
        """Roots of the covariances; order -> values from white ones, for each axis."""
        roots, out = [], []
        for a, (kernel, nodes) in enumerate(zip(kernels, self.nodes, strict=True)):
            own = root(kernel, np.asarray(nodes))
            orders = {need.orders[a] for need in self.law.needs}
            white = lambda k, own=own: solve_triangular(own, k.T, lower=True).T
            found = {o: white(on_nodes(kernel, np.asarray(nodes), o)) for o in orders}
            roots.append(own)
            out.append(found)
        return roots, out

    def unit(self, orders: Orders) -> Array:
        """1 / length for each derivative."""
        return jnp.prod(self.length ** -jnp.asarray(orders, float))

    def values(self, z: Array, tables: Any) -> Float[Array, "point need"]:
        """What the equation needs on the grid."""
        columns = []
        for need in self.law.needs:
            u = z[need.field]
            for a, order in enumerate(need.orders):
                u = jnp.moveaxis(jnp.tensordot(tables[a][order], u, (1, a)), 0, a)
            columns.append(self.unit(need.orders) * u.ravel())
        return jnp.stack(columns, axis=1)

    def equation(self, z: Array, tables: Any) -> Float[Array, "row"]:
        """Gaps of the equation, by their size for a random function."""
        values = self.values(z, tables)
        rows = jax.vmap(lambda v, x: self.law(v, x, self.params))(values, self.points)
        return jnp.ravel(rows / self.scale)

    def boundary(self, z: Array, kernels: Any, roots: Any) -> Float[Array, "row"]:
        """Gaps of the conditions."""
        out = [jnp.zeros(0)]
        for rows in self.conditions:
            sides = [
                self._there(z, rows.block.law.needs, unit, kernels, roots)
                for unit in rows.units
            ]
            other = sides[1] if len(sides) > 1 else None
            out.append(jnp.ravel(rows.block.rows(sides[0], self.params, other)))
        return jnp.concatenate(out)

    def _there(
        self, z: Array, needs: Any, unit: Any, kernels: Any, roots: Any
    ) -> Float[Array, "point need"]:
        """What a condition needs at its points."""
        columns = []
        for need in needs:
            u, num = z[need.field], len(unit[0][1])
            for a, order in enumerate(need.orders):
                places, which = unit[a]
                nodes = np.asarray(self.nodes[a])
                near = to_points(kernels[a], places, nodes, order)
                near = solve_triangular(roots[a], near.T, lower=True).T[which]
                u = jnp.broadcast_to(u, (num, *u.shape)) if a == 0 else u
                u = jnp.einsum("pn,pn...->p...", near, u)
            columns.append(self.unit(need.orders) * u)
        return jnp.stack(columns, axis=1)

    def gaps(self, z: Array, kernels: Any) -> tuple[Array, Array, Array]:
        """Gaps of conditions and equation, and half of log det K."""
        roots, tables = self.tables(kernels)
        size = z.size
        logs = [size / len(r) * jnp.sum(jnp.log(jnp.diagonal(r))) for r in roots]
        return (
            self.boundary(z, kernels, roots),
            self.equation(z, tables),
            jnp.sum(jnp.stack(logs)),
        )

    def loss(self, kernels: Any, z: Array, tau: Array, v: Array) -> Array:
        """L."""
        g, r, half = self.gaps(z, kernels)
        weight = self.boundary_weight * jnp.exp(tau)
        total = 0.5 * (jnp.sum(z * z) + weight * jnp.sum(g * g)) + half
        return total + 0.5 * (jnp.exp(v) * jnp.sum(r * r) - g.size * tau - r.size * v)

    def rows(self, z: Array, roots: Any, tables: Any, state: _State) -> Array:
        """Rows whose sum of squares is what of L depends on the values, twice."""
        weight = jnp.sqrt(self.boundary_weight) * jnp.exp(0.5 * state.tau)
        g = self.boundary(z, state.kernels, roots)
        r = self.equation(z, tables)
        return jnp.concatenate([z.ravel(), weight * g, jnp.exp(0.5 * state.v) * r])


def _precision(gap: Array, weight: Array | float) -> Array:
    """log of n / (weight |gap|^2), where L is least."""
    mean = jnp.sum(gap * gap) / max(gap.size, 1)
    return -jnp.log(jnp.maximum(weight * mean, 1.0 / _MOST))


@eqx.filter_jit
def _newton(grid: _Grid, state: _State) -> _State:
    """One step of Gauss-Newton for the values, then the precisions at their best."""
    roots, tables = grid.tables(state.kernels)
    rows = lambda z: grid.rows(z, roots, tables, state)
    r, push = jax.linearize(rows, state.z)
    basis = jnp.eye(state.z.size).reshape(-1, *state.z.shape)
    matrix = jax.vmap(push)(basis).T
    q, upper = jnp.linalg.qr(matrix)
    step = -solve_triangular(upper, q.T @ r).reshape(state.z.shape)
    factors = jnp.asarray([1.0, 0.5, 0.2, 0.05, 0.0])
    trial = jax.lax.map(lambda f: jnp.sum(rows(state.z + f * step) ** 2), factors)
    trial = jnp.where(jnp.isfinite(trial), trial, jnp.inf)
    z = state.z + factors[jnp.argmin(trial)] * step
    g, gap, _ = grid.gaps(z, state.kernels)
    tau = _precision(g, grid.boundary_weight) if g.size else state.tau
    return _State(z, state.kernels, tau, _precision(gap, 1.0))


@eqx.filter_jit
def _slope(grid: _Grid, state: _State, memory: Any, rate: Array) -> tuple[_State, Any]:
    """One step of Adam for the covariances."""
    slopes = jax.grad(grid.loss)(state.kernels, state.z, state.tau, state.v)
    # what cannot be factorised leaves things as they are
    good = jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(slopes)]))
    slopes = jax.tree.map(lambda x: jnp.where(good, x, 0.0), slopes)
    given: Any = slopes
    now: Any = state.kernels
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
        change, memory = optax.adam(rate).update(given, memory)
        kernels: Any = optax.apply_updates(now, change)
    return state._replace(kernels=kernels), memory


@eqx.filter_jit
def _near(part: Part, form: Any, law: Any, points: Array) -> Array:
    """What a law needs of a solution."""
    return needed(lambda p: part.added(p, form), law, points)


class _Solver:
    """One problem on one grid."""

    def __init__(self, problem: Problem, method: GaussianProcess) -> None:
        self.problem, self.method = problem, method
        axes = _axes(problem)
        count = method.nodes or _SIZES[len(axes)]
        size = count ** len(axes) * len(problem.fields)
        if size > _DENSE:
            raise ConfigError(
                f"gp: {count} nodes on each of {len(axes)} axes are {size} values; at "
                f"most {_DENSE} are taken. Ask for fewer nodes."
            )
        lo = [lo for lo, _, _ in axes]
        length = [hi - lo for lo, hi, _ in axes]
        kinds = [
            "circle" if is_periodic else method.spectrum for *_, is_periodic in axes
        ]
        self.nodes = [even_nodes(count, kind) for kind in kinds]
        each = [share * count for share in _SHARES]
        self.begin = [
            tuple(mixture(method.components, count, kind, top) for kind in kinds)
            for top in (each if method.highest is None else [method.highest])
        ]
        self.lo, self.length = np.asarray(lo), np.asarray(length)
        lines = [a + b * x for a, b, x in zip(lo, length, self.nodes, strict=True)]
        mesh = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, len(axes))
        timed = problem.time is not None
        space = np.unique(mesh[:, :-1], axis=0) if timed else mesh
        times = lines[-1] if timed else np.zeros(1)
        sides = 1 if len(axes) - timed <= 1 else count ** (len(axes) - timed - 1)
        blocks = soft_blocks(problem, space, times, sides=sides, hard=False)
        self.points = mesh
        self.grid = _Grid(
            problem.law,
            jax.tree.map(jnp.asarray, problem.values({})),
            tuple(self._rows(block) for block in blocks),
            jnp.asarray(mesh),
            jnp.asarray(self.length),
            jnp.ones(()),
            jnp.asarray(method.boundary_weight),
            tuple(tuple(x.tolist()) for x in self.nodes),
        )

    def _rows(self, block: Block) -> _Rows:
        sides = [block.points] + ([] if block.partner is None else [block.partner])

        def unit(points: Any) -> tuple[tuple[Array, Array], ...]:
            own = (np.asarray(points) - self.lo) / self.length
            both = [np.unique(column, return_inverse=True) for column in own.T]
            return tuple((jnp.asarray(x), jnp.asarray(k.ravel())) for x, k in both)

        block = jax.tree.map(jnp.asarray, block)
        return _Rows(block, tuple(unit(side) for side in sides))

    def run(self, tol: float, deadline: Deadline) -> Outcome:
        """The best of several spectra to begin with, then spectrum and values in turns
        as long as that helps."""
        method = self.method
        best = self._begun(self.begin[0])
        for kernels in self.begin[1:]:
            if best.worst <= SAFETY * tol or deadline.passed():
                break
            best = min(best, self._begun(kernels), key=lambda one: one.worst)
        state = best.state
        free: Any = state.kernels
        memory = optax.adam(method.rate).init(free)
        taken, since, rate = 0, 0, jnp.asarray(method.rate)
        while best.worst > SAFETY * tol and since < _PATIENCE:
            if taken >= method.steps or deadline.passed():
                break
            for _ in range(min(_LOOK, method.steps - taken)):
                state, memory = _slope(best.grid, state, memory, rate)
                state = _newton(best.grid, state)
                taken += 1
            now = self._looked(best.grid, state)
            state, since = now.state, since + 1
            if now.worst < best.worst:
                best, since = now, 0
        windows = Windows(soft_form(self.problem), [best.part], self.problem.span()[1])
        return Outcome(
            windows,
            bool(best.worst <= tol),
            best.state.z.size,
            len(self.points) * self.problem.law.equations,
            taken,
            {"equation": best.train, "conditions": best.gap},
            {"equation": best.check},
        )

    def _begun(self, kernels: tuple[SpectralMixture, ...]) -> _Look:
        """Values for a spectrum as it is."""
        rng = np.random.default_rng(self.method.seed)
        shape = (len(self.problem.fields), *(len(x) for x in self.nodes))
        _, random, _ = self.grid.gaps(jnp.asarray(rng.normal(size=shape)), kernels)
        size = jnp.maximum(jnp.sqrt(jnp.mean(random**2)), 1e-300)
        grid = eqx.tree_at(lambda g: g.scale, self.grid, size)
        first = jnp.asarray(np.log(_FIRST))
        state = _newton(grid, _State(jnp.zeros(shape), kernels, first, first))
        return self._looked(grid, state)

    def _looked(self, grid: _Grid, state: _State) -> _Look:
        """The values settled for a spectrum, and the residuals."""
        for _ in range(_LAST):
            state = _newton(grid, state)
        part = self._part(state)
        return _Look(grid, state, part, *self._residuals(grid, state, part))

    def _part(self, state: _State) -> Part:
        """The solution between the nodes, too."""
        weights = state.z
        for a, nodes in enumerate(self.nodes):
            own = root(state.kernels[a], nodes)
            flat = jnp.moveaxis(weights, a + 1, 0)
            solved = solve_triangular(own.T, flat.reshape(len(nodes), -1))
            weights = jnp.moveaxis(solved.reshape(flat.shape), 0, a + 1)
        lo, length = self.lo.copy(), self.length.copy()
        t0, t1 = self.problem.span()
        if self.problem.time is not None:
            lo[-1], length[-1] = 0.0, 1.0  # a part sees the time as s
        trial = KernelExpansion(
            state.kernels,
            tuple(jnp.asarray(x) for x in self.nodes),
            jnp.asarray(lo),
            jnp.asarray(length),
            weights,
        )
        return Part(trial, jnp.asarray(float(t0)), jnp.asarray(float(t1 - t0) or 1.0))

    def _residuals(
        self, grid: _Grid, state: _State, part: Part
    ) -> tuple[float, float, float]:
        """RMS of the equation on the nodes and between, of its largest term, and of
        the conditions, of the solution."""
        law, form = self.problem.law, soft_form(self.problem)
        roots, tables = grid.tables(state.kernels)
        values = np.asarray(grid.values(state.z, tables))
        rows, slopes = law_and_slopes(law, values, self.points, grid.params)
        terms = np.abs(slopes * values[:, None, :]).max(axis=(1, 2))
        size = max(float(np.sqrt(np.mean(terms**2))), 1e-300)
        rng = np.random.default_rng(self.method.seed + 1)
        unit = rng.uniform(size=(min(2000, len(self.points)), len(self.lo)))
        between = jnp.asarray(self.lo + self.length * unit)
        near = _near(part, form, law, between)
        other, _ = law_and_slopes(
            law, np.asarray(near), np.asarray(between), grid.params
        )
        trial = Windows(form, [part], math.inf)
        zero = (0,) * len(self.lo)
        solution = _rms(trial.values(self.points, [zero])[zero])
        gaps = grid.boundary(state.z, state.kernels, roots)
        own = _rms(gaps) / max(solution, 1e-300) if gaps.size else 0.0
        return _rms(rows) / size, _rms(other) / size, own


def _rms(values: Any) -> float:
    """What a covariance that cannot be factorised gives is as bad as can be."""
    found = float(np.sqrt(np.mean(np.asarray(values) ** 2)))
    return found if math.isfinite(found) else math.inf


def _axes(problem: Problem) -> list[tuple[float, float, bool]]:
    """(low, high, whether it is a circle) of each axis, the time last."""
    domain = problem.domain
    if domain is not None and not isinstance(domain, Box | Interval):
        raise ConfigError(
            f"gp: the domain is a {type(domain).__name__}; grids need an Interval or a "
            'Box. Take method="frozen".'
        )
    if problem.unknowns:
        raise ConfigError(
            f"gp: {next(iter(problem.unknowns))} is Unknown. Take "
            'method="gauss_newton", which finds parameters, too.'
        )
    axes: list[tuple[float, float, bool]] = []
    if domain is not None:
        for (lo, hi), is_periodic in zip(domain.bounds, domain.periodic, strict=True):
            axes.append((float(lo), float(hi), bool(is_periodic)))
    if problem.time is not None:
        t0, t1 = problem.span()
        axes.append((t0, t1, False))
    if len(axes) not in _SIZES:
        raise ConfigError(f"gp: {len(axes)} coordinates; grids have 1 to 3.")
    return axes
