"""`solve_family`: one problem at many sets of parameters, together."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from .._compile_clock import CompileClock
from .._errors import ConfigError, DataError, ShapeError, nearest
from .._precision import precision
from ._conditions import Dirichlet, Initial, Integral, Observation
from ._derivatives import Orders, derivatives, orders_of
from ._family_march import (
    Carry,
    Marched,
    Setting,
    march,
    no_carry,
    setting_of,
    with_rates,
)
from ._features import Combination, TanhFeatures
from ._form import HardForm, hard_form
from ._frozen import SAFETY
from ._frozen_config import FrozenConfig
from ._layout import Layout
from ._parts import Part, Windows
from ._problem import Problem
from ._solution import Solution
from ._solve import solve


_CHUNK = 16  # windows in one call of the program
_ROUNDS = 4  # how often windows are planned anew for what is left
_LEVELS = 2  # how often neurons are added
_HALF = 0.5  # of what is allowed: the hardest set's share, so that others fit too
_FLOOR = 1.3  # over the residual that no window is too short for
_STUCK = 0.6  # of the residual per time before, when a shorter window has no less


@dataclasses.dataclass(frozen=True)
class Group:
    """Sets that were solved with the same windows and neurons."""

    members: np.ndarray
    edges: np.ndarray
    weights: np.ndarray
    """`"member window field feature"`."""
    features: TanhFeatures


class FamilySolution:
    """Solutions of one problem at many sets of parameters.

    `family(x, t)` gives `"set ..."`, `family.d("x")(x, t)` a derivative,
    `family.member(k)` one set's parts; `params` the sets, `check` each one's residual
    between the collocation points, relative to its solution and added up over the
    windows, `converged` whether that is small enough, `alone` the indices of those that
    `solve` solved one by one because it was not, `seconds_compile`, `seconds_run` the
    cost.
    """

    def __init__(
        self,
        problem: Problem,
        params: dict[str, np.ndarray],
        form: HardForm,
        rates: np.ndarray | None,
        groups: Sequence[Group],
        found: _Found,
        seconds: tuple[float, float],
    ) -> None:
        self.problem, self.params = problem, params
        self.check, self.train = found.check, found.train
        self.converged, self.steps = found.converged, found.steps
        self.alone = tuple(sorted(found.alone))
        self.seconds_compile, self.seconds_run = seconds
        self._solutions = found.alone
        self._form, self._rates, self.groups = form, rates, tuple(groups)

    def __len__(self) -> int:
        """How many sets there are."""
        return len(self.check)

    @property
    def windows(self) -> tuple[np.ndarray, ...]:
        """Where windows begin and end, of each group."""
        return tuple(group.edges for group in self.groups)

    def __call__(self, *at: ArrayLike) -> Any:
        """Values at coordinates that broadcast against each other, `"set ..."`; a
        dictionary by field where there are several."""
        return self._look((0,) * len(self.problem.coords), at)

    def d(self, name: str) -> Callable[..., Any]:
        """A derivative by name, as a function of the coordinates."""
        orders = orders_of(name, self.problem.coords)
        return lambda *at: self._look(orders, at)

    def member(self, index: int) -> Windows:
        """The parts of one set."""
        if not 0 <= index < len(self):
            raise ConfigError(f"set {index} of {len(self)}: there is none.")
        if index in self._solutions:
            return self._solutions[index].windows
        end = self.problem.span()[1]
        with precision(np.float64):
            rate = None if self._rates is None else jnp.asarray(self._rates[index])
            form = with_rates(self._form, rate)
            for group in self.groups:
                own = np.flatnonzero(group.members == index)
                if own.size:
                    return Windows(form, _parts(group, int(own[0])), end)
        return Windows(form, [], end)

    def _look(self, orders: Orders, at: Sequence[ArrayLike]) -> Any:
        coords, fields = self.problem.coords, self.problem.fields
        if len(at) != len(coords):
            raise ShapeError(
                f"the family was called with {len(at)} coordinates; there are "
                f"{len(coords)}: {', '.join(coords)}."
            )
        arrays = np.broadcast_arrays(*[np.asarray(a, np.float64) for a in at])
        points = np.stack([a.ravel() for a in arrays], -1)
        out = np.full((len(self), len(points), len(fields)), np.nan)
        with precision(np.float64):
            rates = None if self._rates is None else jnp.asarray(self._rates)
            closed = _closed(self._form, rates, jnp.asarray(points), orders)
            for group in self.groups:
                base = (
                    np.asarray(closed)
                    if rates is None
                    else np.asarray(closed)[group.members]
                )
                new = _grown(group, self._form, points, orders)
                out[group.members] = base + new
        for index, solution in self._solutions.items():
            out[index] = solution.values(points, [orders])[orders]
        shaped = np.moveaxis(out, 2, 0).reshape(
            len(fields), len(self), *arrays[0].shape
        )
        return shaped[0] if len(fields) == 1 else dict(zip(fields, shaped, strict=True))


def _parts(group: Group, row: int) -> list[Part]:
    """One set's windows."""
    out = []
    for k, (a, b) in enumerate(itertools.pairwise(group.edges)):
        weights = jnp.asarray(group.weights[row, k].T)
        trial = Combination(group.features, weights)
        out.append(Part(trial, jnp.asarray(a), jnp.asarray(b - a)))
    return out


@eqx.filter_jit
def _closed(
    form: HardForm, rates: Array | None, points: Array, orders: Orders
) -> Array:
    """g of all sets, `"set point field"`; without rates `"point field"`."""

    def one(rate: Array | None) -> Array:
        own = with_rates(form, rate)
        return derivatives(own.closed, points, [orders])[orders]

    return one(None) if rates is None else jax.lax.map(one, rates)


@eqx.filter_jit
def _features(
    features: TanhFeatures, form: HardForm, points: Array, orders: Orders
) -> Array:
    """Features with mask and start, `"field point feature"`, at points in s."""

    def grown(field: int) -> Callable[[Array], Array]:
        def function(p: Array) -> Array:
            value = features(p) * form.mask(p)[:, field : field + 1]
            for _ in range(form.orders[field] if form.has_time else 0):
                value = value * p[:, -1:]
            return value

        return function

    num = range(len(form.fields))
    return jnp.stack([derivatives(grown(f), points, [orders])[orders] for f in num])


def _grown(
    group: Group, form: HardForm, points: np.ndarray, orders: Orders
) -> np.ndarray:
    """What the windows add, `"member point field"`."""
    w = group.weights
    if not form.has_time:
        phi = _features(group.features, form, jnp.asarray(points), orders)
        return np.einsum("fpm,smf->spf", phi, np.moveaxis(w[:, 0], 2, 1))
    out = np.zeros((len(w), len(points), len(form.fields)))
    edges = group.edges
    which = np.searchsorted(edges[1:-1], points[:, -1], side="left")
    space, back = np.unique(points[:, :-1], axis=0, return_inverse=True)
    end = np.c_[space, np.ones(len(space))]
    spatial = (*orders[:-1], 0)
    look = lambda p, o: np.asarray(_features(group.features, form, jnp.asarray(p), o))
    value = look(end, spatial)
    rate = look(end, (*orders[:-1], 1)) if max(form.orders) > 1 else None
    carry = Carry(*(np.zeros_like(w[:, 0]) for _ in range(3)))
    for k in range(len(edges) - 1):
        length = edges[k + 1] - edges[k]
        own = np.flatnonzero(which == k)
        if own.size:
            local = points[own].copy()
            local[:, -1] = (local[:, -1] - edges[k]) / length
            at = back.ravel()[own]
            phi = look(local, orders) * length ** -orders[-1]
            for f, q in enumerate(form.orders):
                new = w[:, k, f] @ phi[f].T
                if q > 0 and orders[-1] == 0:
                    new = new + (carry.a[:, f] @ value[f].T)[:, at]
                if q > 1 and rate is not None and orders[-1] < 2:
                    c, v = carry.b[:, f] @ rate[f].T, carry.d[:, f] @ rate[f].T
                    since = (points[own, -1] - edges[k])[None, :]
                    new = new + (
                        v[:, at] if orders[-1] else c[:, at] + since * v[:, at]
                    )
                out[:, own, f] = new
        first = np.asarray(form.orders)[None, :, None]
        carry = Carry(
            carry.a + (first > 0) * w[:, k],
            carry.b + length * carry.d,
            carry.d + (first > 1) * w[:, k] / length,
        )
    return out


def solve_family(
    problem: Problem,
    params_batch: Mapping[str, ArrayLike],
    *,
    tol: float = 1e-4,
    config: FrozenConfig | None = None,
    alone: bool = True,
) -> FamilySolution:
    r"""Solve one problem at many sets of parameters with frozen random features.

    All sets share neurons, points and windows, so that their tables are made once and
    one program, compiled once, solves them all:

    $$ w_{p} = \arg\min_w \| r(g_p + c_p + s^q \phi w;\ p) \|^2
       \quad\text{for each set } p $$

    How many windows there are follows the residual between the points of the set for
    which it is largest. Each set has its own residual between the points; sets for
    which it is too large get windows of their own kind, and those that fail even then
    are solved alone by `solve`, which the result says.

    **Shapes and units**: entries of `params_batch` `"set"`; the result is called with
    coordinates `"..."` and gives `"set ..."`.
    **Arguments:**
    - `problem`: its other parameters are the same for all sets.
    - `params_batch`: name of a parameter -> one number for each set.
    - `tol`: relative error in L2 that is asked for, above 0.
    - `config`: sizes and seed; by default about half of what `solve` takes.
    - `alone`: whether sets that did not converge are solved alone.

    **Returns:** `FamilySolution`.
    **Raises:** `ConfigError`, `ShapeError`, `DataError` for parameters that do not
    belong to the problem or cannot be used; `ConfigError` for problems with `Unknown`
    parameters, observations, or conditions that are rows of the loss and change in
    time.
    **Source:** Datar et al. 2024, arXiv:2405.20836, for one set; the family is ours.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import Initial, Interval, Problem, solve_family
    >>> wave = Problem(
    ...     lambda u, x, t, p: u.t + p.beta * u.x,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ...     params={"beta": 1.0},
    ... )
    >>> family = solve_family(wave, {"beta": [1.0, 2.0, 3.0]})
    >>> x = np.linspace(0.0, 6.0, 7)
    >>> u = family(x, 1.0)
    >>> u.shape, bool(np.abs(u[1] - np.sin(x - 2.0)).max() < 1e-4)
    ((3, 7), True)

    ```
    """
    if not (math.isfinite(tol) and tol > 0.0):
        raise ConfigError(f"solve_family: tol is {tol}; a relative error is above 0.")
    batch = _batch(problem, params_batch)
    _check_conditions(problem)
    began = time.perf_counter()
    with CompileClock() as clock:
        solver = _Solver(problem, batch, tol, _sizes(problem, config))
        solver.run()
        if alone:
            solver.finish_alone()
        compiled = clock.seconds
    ran = time.perf_counter() - began
    return FamilySolution(
        problem,
        batch,
        solver.form,
        solver.rates,
        solver.groups,
        solver.found,
        (compiled, max(ran - compiled, 0.0)),
    )


def _batch(
    problem: Problem, params_batch: Mapping[str, ArrayLike]
) -> dict[str, np.ndarray]:
    """The sets, checked."""
    if problem.unknowns:
        raise ConfigError(
            f"solve_family: {next(iter(problem.unknowns))} is Unknown. Families are "
            "for parameters that are given; solve it with `solve`."
        )
    if not params_batch:
        raise ConfigError("solve_family: params_batch is empty. Name what varies.")
    out: dict[str, np.ndarray] = {}
    for name, given in params_batch.items():
        if name not in problem.params:
            raise ConfigError(
                f'solve_family: params_batch has "{name}", which the problem has not.'
                f"{nearest(name, problem.params)} Parameters are "
                f"{', '.join(problem.params) or 'none'}."
            )
        values = np.asarray(given, np.float64)
        if values.ndim != 1 or not len(values):
            raise ShapeError(
                f'solve_family: params_batch["{name}"] has shape {values.shape}; '
                "expected one number for each set."
            )
        if not np.isfinite(values).all():
            bad = int(np.flatnonzero(~np.isfinite(values))[0])
            raise DataError(
                f'solve_family: params_batch["{name}"] is {values[bad]} in set {bad}; '
                "it has to be finite."
            )
        out[name] = values
    lengths = {name: len(values) for name, values in out.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"solve_family: numbers of sets differ: {lengths}.")
    return out


def _check_conditions(problem: Problem) -> None:
    """Rows of the loss have to be the same in every window."""
    for condition in problem.conditions:
        kind = type(condition).__name__
        if isinstance(condition, Observation):
            raise ConfigError("solve_family: an Observation belongs to one set only.")
        if isinstance(condition, Initial):
            rows, value = condition.hard is False, 0.0
        elif isinstance(condition, Dirichlet):
            held = problem.held(condition)
            rows, value = len(held) < len(problem.on(condition)), condition.value
        else:
            rows, value = False, getattr(condition, "value", 0.0)
            rows = callable(value)
        if rows and (callable(value) or isinstance(condition, Initial)):
            raise ConfigError(
                f"solve_family: {kind} is a row of the loss that changes in time, or a "
                "start that is not met exactly. Solve each set with `solve`."
            )
        if isinstance(condition, Integral) and callable(condition.value):
            raise ConfigError("solve_family: Integral has to be constant in time.")


def _sizes(problem: Problem, config: FrozenConfig | None) -> FrozenConfig:
    """Fewer neurons than one solve takes, in more windows: the cost of a window grows
    with the cube of their number."""
    own = config or FrozenConfig()
    dim = 0 if problem.domain is None else problem.domain.dim
    periodic = problem.domain is not None and all(problem.domain.periodic)
    if problem.time is not None and dim == 1:
        line = (200, 44, 12) if periodic else (300, 64, 9)
        names = ("features", "nodes", "times")
        more = {k: v for k, v in zip(names, line, strict=True) if not getattr(own, k)}
        own = dataclasses.replace(own, **more)
    return own.filled(problem)


@dataclasses.dataclass
class _Found:
    """What is known of each set so far."""

    check: np.ndarray
    train: np.ndarray
    converged: np.ndarray
    steps: np.ndarray
    alone: dict[int, Solution]


class _Solver:
    """Windows planned on the hardest set, then solved for all."""

    def __init__(
        self,
        problem: Problem,
        batch: dict[str, np.ndarray],
        tol: float,
        config: FrozenConfig,
    ) -> None:
        self.problem, self.batch, self.tol, self.config = problem, batch, tol, config
        self.num = len(next(iter(batch.values())))
        num = self.num
        self.found = _Found(
            np.full(num, np.inf),
            np.full(num, np.inf),
            np.zeros(num, bool),
            np.zeros(num, int),
            {},
        )
        self.groups: list[Group] = []
        self.level = 0
        with precision(np.float64):
            fixed = {k: np.asarray(v) for k, v in problem.values({}).items()}
        shared = {
            k: np.broadcast_to(v, (num, *v.shape))
            for k, v in fixed.items()
            if k not in batch
        }
        self.params = {**shared, **batch}
        self.form, self.rates = _form_and_rates(problem, self.params, config)
        self.slope = float(sorted(config.slopes or (1.0,))[0])
        self._settings: dict[float, tuple[Layout, Setting]] = {}

    @property
    def span(self) -> float:
        """Length of the time."""
        t0, t1 = self.problem.span()
        return t1 - t0 if self.problem.time is not None else 1.0

    def setting(self) -> tuple[Layout, Setting]:
        """The tables for the slope now."""
        if self.slope not in self._settings:
            windows = Windows(self.form, [], self.problem.span()[1])
            layout = Layout(self.problem, self.config, windows, self.slope, None)
            self._settings[self.slope] = (layout, setting_of(layout))
        return self._settings[self.slope]

    def call(self, members: np.ndarray, edges: np.ndarray, carry: Carry) -> Marched:
        """The program on a few windows; what it gives is in the order of all sets."""
        _, setting = self.setting()
        whole = np.full(_CHUNK + 1, edges[-1])
        whole[: len(edges)] = edges
        order = np.zeros(self.num, int)
        order[: len(members)] = members
        stop = max(1e-3 * SAFETY * self.tol, 1e-12) / self.span
        with precision(np.float64):
            arrays = jax.tree.map(jnp.asarray, (self.params, self.rates, order))
            told = (len(members), whole, len(edges) - 1)
            number, ends, windows = (jnp.asarray(a) for a in told)
            return march(
                setting, *arrays, number, ends, windows, carry, jnp.asarray(stop)
            )

    def fresh(self) -> Carry:
        """Nothing left by windows before."""
        with precision(np.float64):
            return no_carry(self.setting()[1], self.num)

    def run(self) -> None:
        """Plan on the hardest set, solve all, again for what is left."""
        left = np.arange(self.num)
        for _ in range(_ROUNDS):
            if not left.size:
                break
            hardest = self._hardest(left)
            edges = self._plan(hardest)
            while edges is None and self.level < _LEVELS:
                self._grow()
                edges = self._plan(hardest)
            if edges is None:  # this one alone; the others may do better
                left = left[left != hardest]
                continue
            left = self._solve(left, edges)

    def finish_alone(self) -> None:
        """What is left, one by one."""
        for k in np.flatnonzero(~self.found.converged):
            own = {name: float(values[k]) for name, values in self.batch.items()}
            problem = self.problem.replace(params=own)
            solution = solve(problem, tol=self.tol, check=False)
            self.found.alone[int(k)] = solution
            self.found.converged[k] = solution.report.converged
            self.found.check[k] = solution.report.check["equation"]
            self.found.train[k] = solution.report.train["equation"]
            self.found.steps[k] = solution.report.iterations

    def _first(self) -> np.ndarray:
        """A window to compare sets and slopes with."""
        if self.problem.time is None:
            return np.asarray([0.0, 1.0])
        t0 = self.problem.span()[0]
        return np.asarray([t0, t0 + self.span / 16.0])

    def _hardest(self, left: np.ndarray) -> int:
        """The set whose residual between the points is largest in a first window."""
        check = np.asarray(self.call(left, self._first(), self.fresh()).check)[left, 0]
        return int(left[np.argmax(check)])

    def _plan(self, hardest: int) -> np.ndarray | None:
        """The windows that one set needs; None where its residual does not fall."""
        self._choose_slope(hardest)
        allowed = _HALF * SAFETY * self.tol / self.span
        member, carry = np.asarray([hardest]), self.fresh()
        if self.problem.time is None:
            edges = np.asarray([0.0, 1.0])
            check = np.asarray(self.call(member, edges, carry).check)[hardest, 0]
            return edges if check <= allowed or self.level == _LEVELS else None
        t0, t1 = self.problem.span()
        edges, length, before, floor = [t0], self.span / 16.0, np.inf, 0.0
        total, longer = 0.0, 0.0
        while edges[-1] < t1 - 1e-12 * self.span:
            if len(edges) > self.config.most_windows:
                return None
            rest = t1 - edges[-1]
            if rest < 3.0 * length:
                length = rest / math.ceil(rest / length - 1e-9)
            both = np.asarray([edges[-1], edges[-1] + length])
            out = self.call(member, both, carry)
            check = float(np.asarray(out.check)[hardest, 0])
            limit = max(allowed, floor) * length
            if check > limit and length > 1e-4 * self.span:
                if check / length > _STUCK * before and np.isfinite(before):
                    # roughness of the start between the points, whatever the window
                    floor, length, before = _FLOOR * before, longer, np.inf
                    continue
                before, longer = check / length, length
                ratio = float((limit / check) ** 0.25)
                length *= float(np.clip(ratio, 0.3, 0.7))
                continue
            total += check
            if not total <= SAFETY * self.tol:
                return None
            floor *= 0.7 if check < 0.3 * limit else 1.0
            before, carry = np.inf, out.carry
            edges.append(float(both[1]))
            ratio = float((limit / max(check, 1e-300)) ** 0.15)
            # equal lengths are worth keeping: their factors serve again
            length *= min(ratio, 1.6) if ratio > 1.25 else 1.0
        edges[-1] = t1
        return np.asarray(edges)

    def _choose_slope(self, hardest: int) -> None:
        """The best of the slopes in a first window of the hardest set; from the last or
        the first of them on, doubled or halved."""
        member, checks = np.asarray([hardest]), {}
        slopes = sorted(self.config.slopes or (1.0,))

        def tried(slope: float) -> float:
            self.slope = slope
            out = self.call(member, self._first(), self.fresh())
            return float(np.asarray(out.check)[hardest, 0])

        for slope in slopes:
            checks[slope] = tried(slope)
        best = min(checks, key=lambda s: checks[s])
        self.slope = best

    def _solve(self, left: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """All sets that are left, in these windows; those that still are."""
        carry, weights, check, train = self.fresh(), [], [], []
        found = self.found
        for k in range(0, len(edges) - 1, _CHUNK):
            own = edges[k : k + _CHUNK + 1]
            out = self.call(left, own, carry)
            carry = out.carry
            num = len(own) - 1
            weights.append(np.asarray(out.weights)[left, :num])
            check.append(np.asarray(out.check)[left, :num])
            train.append(np.asarray(out.train)[left, :num])
            found.steps[left] += np.asarray(out.steps)[left]
        total = np.concatenate(check, 1).sum(1)
        good = total <= SAFETY * self.tol
        # the last round's values are kept where nothing better comes
        better = good | (total < found.check[left])
        found.check[left[better]] = total[better]
        found.train[left[better]] = np.concatenate(train, 1).max(1)[better]
        found.converged[left] = good
        self._keep(left[better], edges, np.concatenate(weights, 1)[better])
        return left[~good]

    def _keep(
        self, members: np.ndarray, edges: np.ndarray, weights: np.ndarray
    ) -> None:
        """A new group; its sets leave the ones they were in."""
        kept = []
        for group in self.groups:
            stays = ~np.isin(group.members, members)
            if stays.any():
                changes = {
                    "members": group.members[stays],
                    "weights": group.weights[stays],
                }
                kept.append(dataclasses.replace(group, **changes))
        features = self.setting()[0].features
        self.groups = [*kept, Group(members, edges, weights, features)]

    def _grow(self) -> None:
        """Half as many neurons and points again, from here on."""
        self.level += 1
        dim = 0 if self.problem.domain is None else self.problem.domain.dim
        own = self.config
        self.config = dataclasses.replace(
            own,
            features=math.ceil(1.5 * (own.features or 1)),
            nodes=math.ceil(1.35**dim * (own.nodes or 1)),
            times=math.ceil(1.15 * (own.times or 1)),
        )
        self._settings.clear()


def _form_and_rates(
    problem: Problem, params: dict[str, np.ndarray], config: FrozenConfig
) -> tuple[HardForm, np.ndarray | None]:
    """The form, and at which rates the start of each set decays, `"set mode"`.

    The start's Fourier series is the same for all sets; only the rates depend on the
    parameters, through the slopes of the law at u = 0.
    """
    law = problem.law
    with precision(np.float64):
        point = jnp.asarray(_corner(problem))
        zero = jnp.zeros(len(law.needs))
        slope = jax.jacfwd(law)
        told = jax.tree.map(jnp.asarray, params)
        found = np.asarray(jax.jit(jax.vmap(lambda p: slope(zero, point, p)))(told))
        even = [
            (k, need.orders[0])
            for k, need in enumerate(law.needs)
            if len(law.coords) == 2
            and problem.time is not None
            and need.orders[1] == 0
            and need.orders[0] in (2, 4)
        ]
        # the set whose even derivatives are largest has a carried start if any has
        size = sum((np.abs(found[:, 0, k]) for k, _ in even), np.zeros(len(found)))
        own = {k: v[int(np.argmax(size))] for k, v in params.items()}
        form = hard_form(problem.replace(params=own), carry=config.carry)
        form = jax.tree.map(np.asarray, form)
    carry = form.fields[0].carry
    if carry is None:
        return form, None
    number = np.asarray(carry.number)
    led = next(k for k, need in enumerate(law.needs) if need.orders == (0, 1))
    rates = np.zeros((len(found), len(number)))
    for k, order in even:
        share = (found[:, 0, k] / found[:, 0, led])[:, None]
        rates -= share * (-1.0) ** (order // 2) * number[None, :] ** order
    return form, np.minimum(rates, 0.0)


def _corner(problem: Problem) -> np.ndarray:
    """A point of the problem."""
    space = np.zeros(0) if problem.domain is None else problem.domain.nodes(1)[0]
    return space if problem.time is None else np.r_[space, problem.time[0]]
