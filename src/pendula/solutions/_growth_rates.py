"""How fast an error can grow at most: one-sided Lipschitz constants of equations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import ConfigError
from .._precision import precision
from ._conditions import Dirichlet, evaluate
from ._given import is_number, told
from ._law import Need
from ._problem import Problem
from ._samples import Samples, parameters
from ._semilinear import Semilinear, probe_points, semilinear
from ._solution import Solution
from ._window import law_and_slopes


_MODES = {1: 2048, 2: 64, 3: 24}
_SEAM = 1e-8  # of a derivative's RMS: how well the ends of a circle have to meet
_ALIKE = 1e-6  # relative: slopes where an equation was recognised, and elsewhere
_START = 4096  # points at which the start's range is looked for

Growth = Callable[[Samples], Float[np.ndarray, "piece node"] | str]


@dataclasses.dataclass(frozen=True)
class Rate:
    r"""$\mu(t)$ with $\frac{d}{dt} \|e\| \le \mu(t) \|e\| + \|r(t)\|$.

    `kind`: of the equation, in words; `growth`: samples of a solution to mu at their
    times, or why it has another equation there than the one that was recognised.
    """

    kind: str
    growth: Growth


def rate(solution: Solution) -> Rate | str:
    r"""The growth rate of errors of a solution v, recognised from the slopes of the
    equation, or why there is none.

    With the error e = u - v and periodic or exactly met boundary values, the energy
    method gives for `Semilinear` equations

    $$ \mu = \max_x \Big( \tfrac12 \nabla \cdot a - \tfrac12 \sum_j b_j v_{x_j} - g_0
       + \max_{u \in [m, M]} (-g_1 (u + v) - g_2 (u^2 + u v + v^2)) \Big)
       + \max_k \operatorname{Re} \lambda(k), \quad
       \lambda(k) = -\sum_\alpha c_\alpha (i k)^\alpha $$

    with the range [m, M] of the true solution, where the maximum principle gives one:
    $\rho \max (1 - v)$ for logistic growth of what is not negative, $5 \max (1 - 3 v^2
    / 4)$ for Allen and Cahn's equation in any range. Linear systems of ordinary
    equations $u' = A(t) u + s$ have the logarithmic norm, the largest eigenvalue of
    $(A + A^T) / 2$.

    **Source:** Soderlind 2006, The logarithmic norm, BIT 46, 631-652; Protter,
    Weinberger 1984, Maximum principles in differential equations, chapter 3.
    """
    problem = solution.problem
    if problem.time is None:
        return "nothing changes in time"
    if problem.unknowns:
        return "parameters are looked for together with the solution"
    params = parameters(solution)
    if problem.domain is None and len(problem.fields) > 1:
        return _linear_system(solution)
    found = semilinear(problem, params)
    if isinstance(found, str):
        return found
    reason = _boundaries(solution, found)
    if reason:
        return reason
    top = _largest_mode(found)
    if not math.isfinite(top):
        return "modes of short wave length grow at any rate"
    low, high = _range(found)
    if not math.isfinite(_quotient(found.cubic, np.zeros(1), low, high)[0]):
        return "the range of the solution is not known, and the reaction needs one"

    def growth(samples: Samples) -> Float[np.ndarray, "piece node"] | str:
        divergence, *rest = found.at(samples.points())
        v = samples.values.reshape(-1)
        needs = samples.needs.reshape(len(v), -1)
        rows, slopes = found.law_at(needs, *rest)
        own = samples.slopes.reshape(len(v), -1)
        size = np.abs(own).max(0)
        terms = np.abs(needs * own).sum(1) + np.abs(found.factor * rest[2])
        gap = np.abs(samples.rows.reshape(-1) - rows)
        if (np.abs(own - slopes) > _ALIKE * size).any() or (gap > _ALIKE * terms).any():
            return "the equation is another one in a part of the domain, or of values"
        local = 0.5 * divergence - rest[1]
        for j, b in enumerate(found.steepening):
            if b:
                orders = tuple(int(i == j) for i in range(len(problem.coords)))
                k = found.law.needs.index(Need(0, orders))
                local = local - 0.5 * b * needs[:, k]
        local = local + _quotient(found.cubic, v, low, high)
        return local.reshape(samples.values.shape[:3]).max(2) + top

    return Rate(found.words(), growth)


def given(mu: float | Callable[[float], float]) -> Rate:
    """A rate that the user vouches for: a number, or a function of time."""

    if not (callable(mu) or is_number(mu)):
        raise ConfigError(
            f"certify: mu is {told(mu)}; give a finite number, or a function of time."
        )

    def growth(samples: Samples) -> Float[np.ndarray, "piece node"]:
        if not callable(mu):
            return np.full(samples.times.shape, float(mu))
        try:
            each = [float(mu(float(t))) for t in samples.times.ravel()]
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"certify: mu cannot be evaluated: {error}. Give a function of time "
                "alone, with numbers as values."
            ) from error
        return np.asarray(each).reshape(samples.times.shape)

    return Rate("given rate", growth)


def normalised(samples: Samples, solution: Solution) -> np.ndarray | str:
    r"""Residuals in the units of $u_t$, `"piece node point field"`: $M^{-1} r$ with the
    slopes M in the derivatives in time."""
    law = solution.problem.law
    places = []
    for k in range(len(law.fields)):
        wanted = (*(0,) * (len(law.coords) - 1), 1)
        own = [i for i, n in enumerate(law.needs) if n == Need(k, wanted)]
        if law.order("t", k) != 1 or not own:
            return f'"{law.fields[k]}" is not of first order in time'
        places += own
    if law.equations != len(law.fields):
        return "there are not as many equations as fields"
    mass = samples.slopes[..., places]
    with np.errstate(over="ignore"):
        if not (np.abs(np.linalg.det(mass)) > 0.0).all():
            return "the derivatives in time cannot be solved for"
    return np.linalg.solve(mass, samples.rows[..., None])[..., 0]


def _linear_system(solution: Solution) -> Rate | str:
    """The logarithmic norm of a linear system of ordinary equations."""
    problem = solution.problem
    law, params = problem.law, parameters(solution)
    if any(law.order("t", k) != 1 for k in range(len(law.fields))):
        return "a system that is not of first order in time"
    rng = np.random.default_rng(5)
    points = probe_points(problem, rng, 8)
    draws = [
        law_and_slopes(law, rng.normal(size=(8, len(law.needs))), points, params)[1]
        for _ in range(2)
    ]
    if not np.allclose(*draws, rtol=1e-9, atol=1e-12 * np.abs(draws[0]).max()):
        return "a system that is not linear"
    every = range(len(law.fields))
    size = len(law.fields)

    def growth(samples: Samples) -> Float[np.ndarray, "piece node"] | str:
        shape = samples.times.shape
        slopes = samples.slopes.reshape(-1, law.equations, len(law.needs))
        at = samples.points()
        rest = law_and_slopes(law, np.zeros((len(at), len(law.needs))), at, params)[1]
        if not np.allclose(rest, slopes, rtol=_ALIKE, atol=1e-12 * np.abs(rest).max()):
            return "a system that is not linear"
        pick = lambda order: np.stack(
            [
                slopes[:, :, law.needs.index(Need(k, (order,)))]
                if Need(k, (order,)) in law.needs
                else np.zeros(slopes.shape[:2])
                for k in every
            ],
            axis=2,
        )
        a = -np.linalg.solve(pick(1), pick(0))
        half = 0.5 * (a + np.swapaxes(a, 1, 2))
        return np.linalg.eigvalsh(half)[:, -1].reshape(shape)

    if law.equations != size:
        return "there are not as many equations as fields"
    return Rate("linear system", growth)


def _largest_mode(found: Semilinear) -> float:
    """The largest real part of the symbol; infinite where it still grows at the
    shortest waves."""
    domain = found.problem.domain
    if domain is None or not found.linear:
        return 0.0
    used = [j for j in range(domain.dim) if any(o[j] for o in found.linear)]
    if not all(domain.periodic[j] for j in used):
        return _between_ends(found.linear, domain.dim)
    most = _MODES.get(len(used), 8)
    lengths = domain.bounds[used] @ np.asarray([-1.0, 1.0])
    axes = np.meshgrid(
        *[2.0 * np.pi / L * np.arange(-most, most + 1) for L in lengths], indexing="ij"
    )
    total = np.zeros(axes[0].shape)
    for orders, c in found.linear.items():
        order = sum(orders)
        if order % 2 == 0:
            powers = zip(axes, used, strict=True)
            power = math.prod(k ** orders[j] for k, j in powers)
            total = total - c * (-1.0) ** (order // 2) * power
    edge = [np.take(total, [0, -1], axis=j).max() for j in range(len(used))]
    return math.inf if max(edge) > 0.0 else float(total.max())


def _between_ends(linear: dict[tuple[int, ...], float], dim: int) -> float:
    """The same where values are met at ends: second derivatives take energy away where
    their matrix is one of diffusion, in all directions."""
    if any(sum(orders) > 2 for orders in linear):
        return math.inf
    matrix = np.zeros((dim, dim))
    for orders, c in linear.items():
        i, j = np.repeat(np.arange(dim), orders)
        matrix[i, j] -= 0.5 * c
        matrix[j, i] -= 0.5 * c
    least = np.linalg.eigvalsh(matrix)[0]
    return 0.0 if least >= -1e-12 * np.abs(matrix).max() else math.inf


def _quotient(
    cubic: tuple[float, float], v: np.ndarray, low: float, high: float
) -> Float[np.ndarray, "sample"]:
    """The largest -g_1 (u + v) - g_2 (u^2 + u v + v^2) for u in a range."""
    g1, g2 = cubic
    if g1 == 0.0 and g2 == 0.0:
        return np.zeros_like(v)
    value = lambda u: -g1 * (u + v) - g2 * (u * u + u * v + v * v)
    ends = [value(end) for end in (low, high) if math.isfinite(end)]
    if g2 > 0.0:  # a parabola that opens downwards
        top = np.clip(-(g1 + g2 * v) / (2.0 * g2), low, high)
        return value(top)
    open_low = not math.isfinite(low) and (g2 < 0.0 or g1 > 0.0)
    open_high = not math.isfinite(high) and (g2 < 0.0 or g1 < 0.0)
    if open_low or open_high:
        return np.full_like(v, np.inf)
    return np.max(ends, axis=0)


def _range(found: Semilinear) -> tuple[float, float]:
    r"""Values between which the true solution stays: constants m below and M above the
    start and the boundary values with f(m) >= 0 >= f(M), f = -(s + g_0 u + g_1 u^2 +
    g_2 u^3)."""
    problem = found.problem
    second = all(sum(o) == 2 and max(o) == 2 for o in found.linear)
    if not (found.uniform and second and all(c <= 0 for c in found.linear.values())):
        return -math.inf, math.inf
    values = _given_values(problem)
    if values is None:
        return -math.inf, math.inf
    low, high = values
    slack = 1e-4 * (high - low)
    _, _, g0, s = (c[0] for c in found.at(probe_points(problem, _rng(), 1)))
    f = np.polynomial.Polynomial([-s, -g0, -found.cubic[0], -found.cubic[1]])
    roots = [float(z.real) for z in f.trim().roots() if abs(z.imag) < 1e-9]
    below = [z for z in [low - slack] if f(z) >= 0.0] or [z for z in roots if z <= low]
    above = [z for z in [high + slack] if f(z) <= 0.0] or [
        z for z in roots if z >= high
    ]
    return max(below, default=-math.inf), min(above, default=math.inf)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _given_values(problem: Problem) -> tuple[float, float] | None:
    """The range of the start and of what holds on the boundary."""
    start = problem.initials().get(0)
    if start is None:
        return None
    domain = problem.domain
    space = np.zeros((1, 0)) if domain is None else domain.nodes(_START)
    with precision(np.float64):
        lists = [np.asarray(evaluate(start.value, jnp.asarray(space), "Initial"))]
        for condition in problem.conditions:
            if isinstance(condition, Dirichlet):
                for side in problem.on(condition):
                    assert domain is not None  # it has sides
                    points, _ = domain.on_side(side, 64)
                    t = np.linspace(problem.span()[0], problem.span()[1], 65)
                    at = np.c_[
                        np.repeat(points, len(t), axis=0), np.tile(t, len(points))
                    ]
                    found = evaluate(condition.value, jnp.asarray(at), "Dirichlet")
                    lists.append(np.asarray(found))
    every = np.concatenate(lists)
    return float(every.min()), float(every.max())


def _boundaries(solution: Solution, found: Semilinear) -> str:
    """Why terms at the boundary may let errors in; "" where they cannot."""
    problem = solution.problem
    domain = problem.domain
    if domain is None or all(not any(o[:-1]) for o in found._orders()):
        return ""
    hard = {side for side, _ in solution.windows.form.fields[0].sides}
    ends = {f"{coord}{end}" for coord in domain.coords for end in "-+"}
    if not set(domain.sides) <= ends | hard:  # of a hole, for example
        return "the boundary is not made of the ends of coordinates"
    for j, coord in enumerate(domain.coords):
        order = problem.law.order(coord)
        if order == 0:
            continue
        if domain.periodic[j]:
            if not _closed(solution, j, order):
                return f"the solution does not close at the ends of {coord}"
            continue
        sides = {f"{coord}-", f"{coord}+"}
        own = sides & set(domain.sides)
        if len(own) < 2:
            return "the boundary is not made of the ends of coordinates"
        if order > 2 or any(sum(k) > 2 for k in found.linear):
            return "boundary values alone do not bound errors of fourth order"
        for side in sorted(own - hard):
            if order > 1 or not _flows_out(found, j, side):
                return f'the boundary value on "{side}" is not met exactly'
    return _met(solution)


def _closed(solution: Solution, axis: int, order: int) -> bool:
    """Whether value and slopes below the order are the same at both ends."""
    domain, t = solution.problem.domain, solution.problem.span()
    assert domain is not None
    lo, hi = domain.bounds[axis]
    end = min(t[1], float(solution.windows.ends()[-1]))
    some = domain.nodes(64)
    times = np.linspace(t[0], end, 5)
    at = np.c_[np.repeat(some, 5, axis=0), np.tile(times, len(some))]
    first, second = at.copy(), at.copy()
    first[:, axis], second[:, axis] = lo, hi
    wanted = [tuple(k * (i == axis) for i in range(at.shape[1])) for k in range(order)]
    inside, left, right = (solution.values(p, wanted) for p in (at, first, second))
    for orders in wanted:
        size = max(np.sqrt(np.mean(inside[orders] ** 2)), 1e-300)
        if np.abs(left[orders] - right[orders]).max() > _SEAM * size:
            return False
    return True


def _flows_out(found: Semilinear, axis: int, side: str) -> bool:
    """Whether the speed points outwards on a whole side, at all times."""
    if any(found.steepening) or found.linear:
        return False
    problem = found.problem
    assert problem.domain is not None
    assert problem.time is not None
    points, normals = problem.domain.on_side(side, 64)
    t = np.linspace(*problem.time, 65)
    at = np.c_[np.repeat(points, len(t), axis=0), np.tile(t, len(points))]
    speed = found.at(at)[1][:, axis]
    return bool((speed * np.repeat(normals[:, axis], len(t)) >= 0.0).all())


def _met(solution: Solution) -> str:
    """Whether hard boundary values are what they should be: a start that does not fit
    them is carried along."""
    problem = solution.problem
    t = np.linspace(problem.span()[0], solution.reached, 9)

    def values(space: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of space at all times, and what the solution is there."""
        at = np.c_[np.repeat(space, len(t), axis=0), np.tile(t, len(space))]
        zero = (0,) * at.shape[1]
        return at, solution.values(at, [zero])[zero][:, 0]

    size = np.abs(values(problem.domain.nodes(64))[1]).max()  # type: ignore[union-attr]  # checked before
    for condition in problem.conditions:
        if not isinstance(condition, Dirichlet):
            continue
        for side in problem.on(condition):
            points, _ = problem.domain.on_side(side, 32)  # type: ignore[union-attr]  # checked before
            at, ours = values(points)
            with precision(np.float64):
                wanted = np.asarray(
                    evaluate(condition.value, jnp.asarray(at), "Dirichlet")
                )
            if np.abs(ours - wanted).max() > 1e-9 * max(size, np.abs(wanted).max()):
                return f'the boundary value on "{side}" is not met'
    return ""
