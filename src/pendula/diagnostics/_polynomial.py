"""The sparse polynomial baseline: few monomials for the rates, found by regression."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from ..data import Trajectories, local_state
from ._baseline import AbstractBaseline, AbstractFittedBaseline, Outlook
from ._holdout import Task, hold_out, usable
from ._scaled import GUARD, Frame, Rates


SLACKS = (1.0, 1.03, 1.1, 1.3, 2.0, 10.0, 100.0)
TOLERANCE = 1.1  # times the smallest error, or less than
RESOLVED = 1e-3  # directions of the monomials below this share are not told apart
FLOOR = 1e-3  # of the spread: as good
MAX_TERMS = 60
MAX_STEP = 0.15  # of the solver, in time scales: 42 steps a period
LONGEST = 150.0  # time scales of a forecast scored within the training data
PAST = 6.0  # time scales of history that the start state is fitted to
MAX_PAST = 400  # samples of it
ITERATIONS = 6
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class SparsePolynomial(AbstractBaseline):
    r"""Rates as polynomials of degree three with few terms (SINDy).

    $$ \dot y = \Theta(y, u)\,\Xi \qquad\text{or}\qquad
       \ddot y = \Theta(y, \dot y, u)\,\Xi $$

    Local derivatives are regressed on all monomials; terms are dropped one by one
    while the residual stays within a given factor of that of all. Order, factor and
    origin of the monomials (the channels' means, or 0) are those of the fewest terms
    among the laws that forecast the last quarter of the training data within 10 % of
    the best (or to 0.1 % of the spread); the terms are then found anew on all of it.

    A forecast starts from the state that fits the last stretch of the history.

    **Arguments:** `degree`: of the polynomials (less when that would be more than
    60 terms).
    **Raises:** `DataError` when no trajectory shows every channel five times.
    **Source:** Brunton, Proctor, Kutz 2016, PNAS 113:3932; a second-order law is
    found from the second derivatives; backward elimination instead of a threshold,
    and the choice by held-out forecasts, are ours.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.diagnostics import SparsePolynomial
    >>> t = np.linspace(0, 6, 300)
    >>> y = 1 / (1 + 9 * np.exp(-t))  # logistic growth
    >>> fitted = SparsePolynomial().fit(Trajectories.from_arrays(t[:200], y[:200]))
    >>> guess = fitted.forecast(t[:200], y[:200], None, t[200:])[:, 0]
    >>> bool(np.abs(guess - y[200:]).max() < 1e-3)
    True

    ```
    """

    degree: int = 3

    def fit(self, train: Trajectories) -> FittedPolynomial:
        """Fit order, origin and terms."""
        train = usable(train)
        frame, rates = Frame.of(train)
        _, ends, tasks = hold_out(train)
        inside = rates.sample < ends[rates.row]
        laws: list[tuple[float, int, int, np.ndarray, int]] = []
        for order in (1, 2):
            powers = monomials(order * frame.dim + frame.ctrl, self.degree)
            for origin in origins(frame):
                found = regress(rates, inside, order, origin, powers)
                errors = _scored(
                    frame, train, rates, tasks, order, origin, powers, found
                )
                for k, law in enumerate(found):
                    count = int(np.count_nonzero(law))
                    laws.append((float(errors[k]), count, order, origin, k))
        enough = max(FLOOR, TOLERANCE * min(law[0] for law in laws))
        good = [law for law in laws if law[0] <= enough]
        _, _, order, origin, k = min(good, key=lambda law: law[1])
        powers = monomials(order * frame.dim + frame.ctrl, self.degree)
        every = np.ones_like(inside)
        terms = regress(rates, every, order, origin, powers)[k]
        return FittedPolynomial(frame, order, origin, powers, terms)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedPolynomial(AbstractFittedBaseline):
    """See `SparsePolynomial`. In scaled units: `origin` `"dim"` is added to the
    observations, `powers` `"term degree"` are the factors of each monomial,
    `terms` `"term dim"` their coefficients."""

    frame: Frame
    order: int
    origin: np.ndarray
    powers: np.ndarray
    terms: np.ndarray

    @property
    def text(self) -> str:
        """What was fitted."""
        kind = "first" if self.order == 1 else "second"
        count = int(np.count_nonzero(self.terms))
        return f"polynomial equation of {kind} order, {count} terms"

    @property
    def size(self) -> tuple[int, int]:
        """Numbers of channels and inputs."""
        return self.frame.dim, self.frame.ctrl

    def _ahead(self, outlook: Outlook) -> np.ndarray:
        used = np.flatnonzero(np.any(self.terms != 0, axis=1))
        used = used if len(used) else np.zeros(1, int)  # everything stays: 0 times 1
        field = polynomial_field(self.powers[used], self.terms[used][None], self.order)
        limit = self._limit(outlook)
        start = self._start(outlook, field, limit)
        past = 1 if outlook.us is None else min(len(outlook.ts), 4)  # for the spline
        _, _, path, ahead = self.frame.grid(outlook, past)
        run = sampled(field, start[None], ahead, path, limit)[:, 0]
        return self.frame.guarded(run[:, : self.frame.dim] - self.origin, outlook)

    def _limit(self, outlook: Outlook) -> float:
        """Size of a scaled state at which the solution stops."""
        seen = np.where(outlook.mask, np.abs(self.frame.scales.down(outlook.ys)), 0.0)
        return GUARD * max(
            1.0, float(self.frame.reach.max()), float(seen.max())
        ) + float(np.abs(self.origin).max())

    def _start(self, outlook: Outlook, field: Field, limit: float) -> np.ndarray:
        """State at the end of the history: its local polynomial, then Gauss-Newton
        on the state at the beginning of the last stretch."""
        d, tau = self.frame.dim, self.frame.scales.time
        past = int(np.sum(outlook.ts >= outlook.ts[-1] - PAST * tau))
        past = min(max(past, 9), MAX_PAST, len(outlook.ts))
        mask, ys = outlook.mask[-past:], self.frame.scales.down(outlook.ys[-past:])
        rough = self.frame.rough_start(outlook, self.order)
        rough[:d] += self.origin
        if (mask.sum(axis=0) < 3).any():
            return rough
        ts = outlook.ts[-past:] / tau
        local = [local_state(ts, y, m) for y, m in zip(ys.T, mask.T, strict=True)]
        value = np.stack([one.q for one in local], axis=1) + self.origin
        if self.order == 2:
            value = np.concatenate([value, np.stack([one.v for one in local], 1)], 1)
        if (self.frame.ctrl and outlook.us is None) or past < 5:
            return value[-1]  # without their inputs the samples tell no more
        before, path, _, _ = self.frame.grid(outlook, past)
        target = np.where(mask, ys + self.origin, 0.0)[1:]

        def shots(starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            run = sampled(field, starts, before, path, limit)
            seen = np.where(mask[1:, None], run[:, :, :d] - target[:, None], 0.0)
            return run[-1], np.swapaxes(seen, 0, 1).reshape(len(starts), -1)

        n, z, small = value.shape[1], value[0], 1e-5
        ends, errors = shots(np.concatenate([z[None], z + small * np.eye(n)]))
        best, cost = value[-1], np.inf
        for _ in range(ITERATIONS):
            now = float(errors[0] @ errors[0])
            if not now < cost * (1 - 1e-6):
                break
            best, cost = ends[0], now
            slope = (errors[1:] - errors[0]).T / small
            z = z - np.linalg.lstsq(slope, errors[0], 1e-8)[0]
            ends, errors = shots(np.concatenate([z[None], z + small * np.eye(n)]))
        return best


def monomials(variables: int, degree: int) -> np.ndarray:
    """Factors `"term degree"` of all monomials up to a degree: indices into
    (1, x_1, x_2, ...)."""
    while degree > 1:
        number = sum(1 for _ in _combinations(variables, degree))
        if number <= MAX_TERMS:
            break
        degree -= 1
    return np.array(list(_combinations(variables, degree)))


def _combinations(
    variables: int, degree: int
) -> itertools.combinations_with_replacement:
    return itertools.combinations_with_replacement(range(variables + 1), degree)


def features(x: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """Monomials `"*any term"` of variables `"*any variable"`."""
    padded = np.concatenate([np.ones((*x.shape[:-1], 1)), x], axis=-1)
    out = padded[..., powers[:, 0]]
    for k in range(1, powers.shape[1]):
        out = out * padded[..., powers[:, k]]
    return out


def origins(frame: Frame) -> list[np.ndarray]:
    """Where monomials may be centred: the means, and 0 where that is another place
    and near enough for the monomials to differ."""
    zero = frame.scales.mean / frame.scales.scale
    far = float(np.abs(zero).max())
    return [np.zeros_like(zero), zero] if 0.1 < far < 10 else [np.zeros_like(zero)]


def regress(
    rates: Rates,
    rows: np.ndarray,
    order: int,
    origin: np.ndarray,
    powers: np.ndarray,
) -> np.ndarray:
    """Coefficients `"slack term dim"` by backward elimination.

    Starting from all monomials a term is dropped, and the rest fitted anew, as long
    as the weighted residual stays within a slack (`SLACKS`) times that of all; of
    several such terms one of the highest degree, then the least missed. (Along one
    orbit many monomials imitate each other; size says little there.)
    """
    parts = [rates.q[rows] + origin, rates.u[rows]]
    if order == 2:
        parts.insert(1, rates.v[rows])
    x = features(np.concatenate(parts, axis=1), powers)
    target = (rates.v if order == 1 else rates.a)[rows]
    error = (rates.se_v if order == 1 else rates.se_a)[rows]
    size = np.sqrt(np.mean(x**2, axis=0))
    size[size == 0] = 1.0
    degree = np.count_nonzero(powers, axis=1)
    out = np.zeros((len(SLACKS), x.shape[1], target.shape[1]))
    for j, y in enumerate(target.T):
        se = error[:, j]
        weight = 1 / (se + np.median(se) + (1e-12 * np.abs(y).max(initial=0.0) or 1.0))
        basis, triangle = np.linalg.qr(x / size * weight[:, None])
        goal = basis.T @ (y * weight)
        outside = max(float(np.sum((y * weight) ** 2) - goal @ goal), 0.0)
        for k, kept in enumerate(_eliminated(triangle, goal, outside, degree)):
            if len(kept):
                part = triangle[:, kept]
                out[k, kept, j] = np.linalg.lstsq(part, goal, RESOLVED)[0]
    return out / size[:, None]


def _eliminated(
    triangle: np.ndarray, goal: np.ndarray, outside: float, degree: np.ndarray
) -> list[np.ndarray]:
    """The terms kept for each slack, from the triangular factor of the weighted
    monomials, the target in its basis, and what lies outside of that. A ridge
    keeps monomials apart that the data do not."""
    ridge = RESOLVED**2 * float(np.mean(np.sum(triangle**2, axis=0))) + 1e-300
    small = (FLOOR * 1e-2) ** 2 * float(goal @ goal)
    least, out = -1.0, []
    for slack in SLACKS:
        kept = np.arange(len(degree))
        while len(kept):
            part = triangle[:, kept]
            inverse = np.linalg.inv(part.T @ part + ridge * np.eye(len(kept)))
            found = inverse @ (part.T @ goal)
            rest = float(np.sum((goal - part @ found) ** 2) + ridge * found @ found)
            if least < 0:
                least = outside + rest + small
            missed = outside + rest + found**2 / np.diag(inverse)
            free = np.flatnonzero(missed <= slack**2 * least)
            if not len(free):
                break
            last = free[np.lexsort((missed[free], -degree[kept[free]]))[0]]
            kept = np.delete(kept, last)
        out.append(kept)
    return out


def polynomial_field(powers: np.ndarray, terms: np.ndarray, order: int) -> Field:
    """Rates of states `"batch state"` with inputs `"ctrl"`; `terms`
    `"batch term dim"` (or one for all)."""

    factors = list(powers.T)
    dim = terms.shape[2]

    def field(z: np.ndarray, u: np.ndarray) -> np.ndarray:
        n = z.shape[1]
        x = np.empty((len(z), 1 + n + len(u)))
        x[:, 0], x[:, 1 : 1 + n], x[:, 1 + n :] = 1.0, z, u
        products = x.take(factors[0], 1)
        for factor in factors[1:]:
            products *= x.take(factor, 1)
        rate = (products[:, None, :] @ terms)[:, 0]
        if order == 1:
            return rate
        out = np.empty_like(z)
        out[:, :dim], out[:, dim:] = z[:, dim:], rate
        return out

    return field


def sampled(
    field: Field,
    start: np.ndarray,
    steps: np.ndarray,
    path: np.ndarray | None,
    limit: float,
) -> np.ndarray:
    """Solutions `"time batch state"` at the ends of `steps` from states
    `"batch state"`, by RK4 with steps of at most `MAX_STEP`. A solution that
    exceeds `limit` stays where it was: polynomials reach infinity in finite time.

    Without inputs the solver has its own even grid and cubic Hermite polynomials
    give the values between; with inputs its steps end where their pieces do.
    """
    if path is None:
        ends = np.cumsum(steps)
        count = max(1, int(np.ceil(ends[-1] / MAX_STEP)))
        grid = np.linspace(0.0, ends[-1], count + 1)
        run = _rk4(field, start, np.full(count, ends[-1] / count), None, limit)
        if ends[-1] == 0:
            return np.tile(start, (len(ends), 1, 1))
        with np.errstate(over="ignore", invalid="ignore"):
            slope = np.stack([field(z, np.zeros(0)) for z in run])
        # a solution that stopped repeats its last state: nothing runs on from there
        stopped = np.all((run == run[-1]) & (run[-2] == run[-1]), axis=2)[:, :, None]
        slope = np.where(np.isfinite(slope) & ~stopped, slope, 0.0)
        between = CubicHermiteSpline(grid, run, slope)(ends)
        after = stopped[np.searchsorted(grid, ends, side="right") - 1]
        return np.where(after, run[-1], between)
    cuts = np.maximum(1, np.ceil(steps / MAX_STEP)).astype(int)
    fine = np.repeat(steps / cuts, cuts)
    first = np.cumsum(cuts) - cuts
    shift = (np.arange(len(fine)) - np.repeat(first, cuts)) * fine
    pieces = np.repeat(path, cuts, axis=0)
    powers = (shift[:, None] + fine[:, None] * [0.0, 0.5, 1.0])[
        :, :, None
    ] ** np.arange(4)
    inputs = np.einsum("skp,spc->skc", powers, pieces)
    return _rk4(field, start, fine, inputs, limit)[first + cuts]


def _rk4(
    field: Field,
    start: np.ndarray,
    steps: np.ndarray,
    inputs: np.ndarray | None,
    limit: float,
) -> np.ndarray:
    """States `"time+1 batch state"`; `inputs` `"time 3 ctrl"` at the beginning,
    middle and end of each step."""
    out = np.empty((len(steps) + 1, *start.shape))
    out[0] = z = start
    alive = np.ones(len(start), bool)
    none = np.zeros((3, 0))
    with np.errstate(over="ignore", invalid="ignore"):
        for k, h in enumerate(steps):
            u0, u1, u2 = none if inputs is None else inputs[k]
            a = field(z, u0)
            b = field(z + 0.5 * h * a, u1)
            c = field(z + 0.5 * h * b, u1)
            d = field(z + h * c, u2)
            moved = z + h / 6 * (a + 2 * b + 2 * c + d)
            alive &= np.all(np.abs(moved) <= limit, axis=1)
            z = np.where(alive[:, None], moved, z)
            out[k + 1] = z
    return out


def _scored(
    frame: Frame,
    train: Trajectories,
    rates: Rates,
    tasks: list[Task],
    order: int,
    origin: np.ndarray,
    powers: np.ndarray,
    candidates: np.ndarray,
) -> np.ndarray:
    """Scaled root mean square error `"candidate"` of the held-out forecasts, all
    candidates together. They start from the local state there, which all share.
    Without tasks all errors are 0 and the fewest terms win."""
    total, count = np.zeros(len(candidates)), 0
    field = polynomial_field(powers, candidates, order)
    limit = GUARD * max(1.0, float(frame.reach.max())) + float(np.abs(origin).max())
    paths = train.paths()
    for row, begin in tasks:
        here = np.flatnonzero((rates.row == row) & (rates.sample >= begin))[0]
        first = int(rates.sample[here])
        since = (train.ts[row] - train.ts[row, first]) / frame.scales.time
        n = int(np.sum(since[: train.lengths[row]] <= LONGEST))
        steps = np.diff(since[first:n])
        if not len(steps):
            continue
        z = rates.q[here] + origin
        if order == 2:
            z = np.concatenate([z, rates.v[here]])
        path = None if paths is None else frame.path(paths[row, first : n - 1])
        run = sampled(field, np.tile(z, (len(candidates), 1)), steps, path, limit)
        truth = frame.scales.down(train.ys[row, first + 1 : n]) + origin
        mask = train.mask[row, first + 1 : n]
        error = np.where(mask[:, None], run[:, :, : frame.dim] - truth[:, None], 0.0)
        total += np.sum(error**2, axis=(0, 2))
        count += int(mask.sum())
    return np.sqrt(total / max(count, 1))
