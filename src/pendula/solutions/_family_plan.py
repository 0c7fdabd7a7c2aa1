"""Windows of a family: planned on the hardest set, solved for all."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from .._precision import precision
from ._carry import decay_rates
from ._estimate import grid, norms
from ._family import Found, Group, values_of
from ._family_march import Carry, Marched, Setting, march, no_carry, setting_of
from ._form import HardForm, hard_form
from ._frozen_config import FrozenConfig
from ._layout import Layout, Solved
from ._open import left_open
from ._outcome import SAFETY
from ._parts import Windows
from ._problem import Problem
from ._solve import solve
from ._window import LeastSquares, System


_CHUNK = 16  # windows in one call of the program
_ROUNDS = 4  # how often windows are planned anew for what is left
_LEVELS = 2  # how often neurons are added
_HALF = 0.5  # of what is allowed: the hardest set's share, so that others fit too
_FLOOR = 1.3  # over the residual that no window is too short for
_STUCK = 0.6  # of the residual per time before, when a shorter window has no less
_NODES, _TIMES = 64, 17  # where two solutions are compared


class FamilySolver:
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
        self.found = Found(
            np.full(num, np.inf),
            np.full(num, np.inf),
            np.full(num, np.nan),
            np.zeros(num, bool),
            np.zeros(num, int),
            {},
        )
        self.groups: list[Group] = []
        self._layouts: dict[int, Layout] = {}  # by their features
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

    def call(
        self,
        members: np.ndarray,
        edges: np.ndarray,
        carry: Carry,
        setting: Setting | None = None,
    ) -> Marched:
        """The program on a few windows; what it gives is in the order of all sets."""
        setting = self.setting()[1] if setting is None else setting
        whole = np.full(_CHUNK + 1, edges[-1])
        whole[: len(edges)] = edges
        order = np.zeros(self.num, int)
        order[: len(members)] = members
        stop = max(1e-3 * SAFETY * self.tol, 1e-12) / self.span
        with precision(np.float64):
            params, rates = jax.tree.map(jnp.asarray, (self.params, self.rates))
            return march(
                setting,
                params,
                rates,
                jnp.asarray(order),
                jnp.asarray(len(members)),
                jnp.asarray(whole),
                jnp.asarray(len(edges) - 1),
                carry,
                jnp.asarray(stop),
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
        if self.problem.time is None:
            self._leave_open()

    def _leave_open(self) -> None:
        """Sets that have not one solution are not solved, however small their
        residual."""
        for group in self.groups:
            layout = self._layouts[id(group.features)]
            for k, weights in zip(group.members, group.weights[:, 0], strict=True):
                own = {name: values[k] for name, values in self.params.items()}
                system = System(layout, 0.0, 1.0, own, LeastSquares())
                train, check = float(self.found.train[k]), float(self.found.check[k])
                found = Solved(weights, np.zeros(0), train, check, 0, 0.0)
                if self.found.converged[k] and left_open(system, found, self.tol)[0]:
                    self.found.converged[k] = False

    def estimate(self) -> None:
        """The same windows with other neurons: by how much the solutions differ, for a
        residual may be small and what it leaves may grow."""
        found = self.found
        for group in self.groups:
            own = np.flatnonzero(found.converged[group.members])
            if own.size:
                found.estimate[group.members[own]] = self._apart(group, own)
        found.converged &= found.estimate <= self.tol

    def _apart(self, group: Group, own: np.ndarray) -> np.ndarray:
        """Relative difference of some members of a group to a solution of their own,
        L2 over all space and time."""
        layout = self._layouts[id(group.features)]
        config = dataclasses.replace(layout.config, seed=layout.config.seed + 1)
        windows = Windows(self.form, [], self.problem.span()[1])
        other = Layout(self.problem, config, windows, layout.slope, None)
        members, weights = group.members[own], group.weights[own]
        again = self._march(members, group.edges, setting_of(other))[0]
        points, times, shares = grid(
            self.problem, _NODES, _TIMES, until=self.problem.span()[1]
        )
        zero = (0,) * len(self.problem.coords)
        rates = None if self.rates is None else self.rates[members]
        sizes = []
        for w, features in ((weights, layout.features), (again, other.features)):
            one = dataclasses.replace(
                group, members=members, weights=w, features=features
            )
            sizes.append(values_of(one, self.form, rates, points, zero))
        ours, theirs = (v.reshape(len(own), len(shares), len(times), -1) for v in sizes)
        norm = lambda values: float(np.linalg.norm(norms(values, shares)))
        with np.errstate(over="ignore", invalid="ignore"):  # of what has run away
            pairs = zip(ours, theirs, strict=True)
            gaps = [norm(a - b) / max(norm(b), 1e-300) for a, b in pairs]
        return np.asarray(gaps)

    def finish_alone(self, *, check: bool) -> None:
        """What is left, one by one; `check`: whether their error is estimated."""
        for k in np.flatnonzero(~self.found.converged):
            own = {name: float(values[k]) for name, values in self.batch.items()}
            problem = self.problem.replace(params=own)
            solution = solve(problem, tol=self.tol, check=False)
            if check and solution.report.converged:
                solution = solve(problem, tol=self.tol)
            self.found.alone[int(k)] = solution
            self.found.converged[k] = solution.report.converged
            self.found.check[k] = solution.report.check["equation"]
            self.found.train[k] = solution.report.train["equation"]
            self.found.steps[k] = solution.report.iterations
            if solution.report.estimate is not None:
                self.found.estimate[k] = solution.report.estimate["overall"]

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
        """The best of the slopes in a first window of the hardest set."""
        member, checks = np.asarray([hardest]), {}
        for slope in sorted(self.config.slopes or (1.0,)):
            self.slope = slope
            out = self.call(member, self._first(), self.fresh())
            checks[slope] = float(np.asarray(out.check)[hardest, 0])
        self.slope = min(checks, key=lambda s: checks[s])

    def _solve(self, left: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """All sets that are left, in these windows; those that still are."""
        found = self.found
        weights, check, train = self._march(left, edges, self.setting()[1])
        total = check.sum(1)
        good = total <= SAFETY * self.tol
        # the last round's values are kept where nothing better comes
        better = good | (total < found.check[left])
        found.check[left[better]] = total[better]
        found.train[left[better]] = train.max(1)[better]
        found.converged[left] = good
        self._keep(left[better], edges, weights[better])
        return left[~good]

    def _march(
        self, members: np.ndarray, edges: np.ndarray, setting: Setting
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights and residuals, between the points and at them, of each member and
        window."""
        carry, weights, check, train = self.fresh(), [], [], []
        for k in range(0, len(edges) - 1, _CHUNK):
            own = edges[k : k + _CHUNK + 1]
            out = self.call(members, own, carry, setting)
            carry = out.carry
            num = len(own) - 1
            weights.append(np.asarray(out.weights)[members, :num])
            check.append(np.asarray(out.check)[members, :num])
            train.append(np.asarray(out.train)[members, :num])
            self.found.steps[members] += np.asarray(out.steps)[members]
        every = (np.concatenate(each, 1) for each in (weights, check, train))
        return tuple(every)  # type: ignore[return-value]  # three of them

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
        layout = self.setting()[0]
        features = layout.features
        self._layouts[id(features)] = layout
        self.groups = [*kept, Group(members, edges, weights, features)]

    def _grow(self) -> None:
        """Half as many neurons and points again, from here on."""
        self.level += 1
        dim = 0 if self.problem.domain is None else self.problem.domain.dim
        self.config = self.config.grown(dim, 1)
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
    shares = {order: found[:, 0, k] / found[:, 0, led] for k, order in even}
    return form, decay_rates(shares, number)


def _corner(problem: Problem) -> np.ndarray:
    """A point of the problem."""
    space = np.zeros(0) if problem.domain is None else problem.domain.nodes(1)[0]
    return space if problem.time is None else np.r_[space, problem.time[0]]
