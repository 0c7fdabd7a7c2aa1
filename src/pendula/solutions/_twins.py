"""Does the equation forget its start, or has its solution an end: two solutions that
begin almost alike."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jaxtyping import Float

from .._precision import precision
from ..systems import chebyshev
from ._conditions import Dirichlet, evaluate
from ._law import Need
from ._problem import Problem
from ._window import law_and_slopes


_NODES, _BETWEEN = 128, 64  # on a circle, and between ends
_APART = 1e-8
_PARTED = 0.1
_ALIKE = 0.02  # of the time, between ends that two numbers of nodes find
_ENDING = 1e5  # changes by its own size, in the time so far: more than steps can follow


@dataclasses.dataclass(frozen=True)
class Parting:
    """How two solutions part whose starts differ by 1e-8 of their size.

    `times`, `gaps`: relative differences; `until`: where the computation ended;
    `horizon`: when they had parted by more than 10 %, None if they had not; `end`: the
    time beyond which there is no solution, for it changes ever faster on its way there,
    None where it goes on; `largest`: its largest value then.
    """

    times: Float[np.ndarray, "step"]
    gaps: Float[np.ndarray, "step"]
    horizon: float | None
    end: float | None = None
    largest: float = math.nan

    @property
    def until(self) -> float:
        """The last time."""
        return float(self.times[-1])


def parting(
    problem: Problem,
    params: dict[str, Any],
    *,
    steps: int = 6000,
    nodes: int | None = None,
    seed: int = 0,
) -> Parting | str:
    r"""Two solutions from starts 1e-8 apart, by the method of lines.

    $$ \|u_1(t) - u_2(t)\| / \|u_1(t)\|, \quad u_2(0) = u_1(0)\,
       (1 + 10^{-8} \cdot \text{a few smooth waves}) $$

    Collocation by Fourier series on a circle, by Chebyshev's polynomials between ends
    whose values are given (nothing for ordinary equations), derivatives in time by the
    slopes of the law, steps by BDF of both at once, so that what the steps add is the
    same for both. No network takes part: what is asked is a property of the equation.
    An end of the solution is one where half as many nodes find it, too.

    **Arguments:** `params`: arrays; `steps`: of BDF, when it gives up and tells how far
    it came; `nodes`: on the circle or line.
    **Returns:** `Parting`, or why it cannot be computed.
    **Source:** scipy's BDF; Lorenz 1963 for the question.
    """
    if problem.time is None:
        return "nothing changes in time"
    law, domain = problem.law, problem.domain
    if any(law.order("t", k) != 1 for k in range(len(law.fields))):
        return "the equation is not of first order in time"
    if law.equations != len(law.fields):
        return "there are not as many equations as fields"
    if domain is not None and not (domain.dim == 1 and _closed(problem)):
        return (
            "twins are computed for ordinary equations, on circles, and on lines whose "
            "ends have given values only"
        )
    starts = problem.initials()
    if set(starts) != set(range(len(law.fields))):
        return "the start is not given"
    if nodes is None:
        nodes = _NODES if domain is None or domain.periodic[0] else _BETWEEN
    found = _march(_Lines(problem, params, nodes), steps, seed)
    if domain is None or isinstance(found, str) or found.end is None:
        return found
    coarse = _march(_Lines(problem, params, nodes // 2), steps, seed)
    other = None if isinstance(coarse, str) else coarse.end
    near = _ALIKE * (found.end - problem.span()[0])
    if other is None or abs(other - found.end) > near:
        return "the method of lines failed"
    return found


def _closed(problem: Problem) -> bool:
    """Whether nothing is asked of the ends of a line: it has none, values are given
    there, or no slope in space takes part."""
    assert problem.domain is not None
    if problem.domain.periodic[0]:
        return True
    coord = problem.domain.coords[0]
    held = {
        (problem.field_index(c.field), side)
        for c in problem.conditions
        if isinstance(c, Dirichlet)
        for side in problem.on(c)
    }
    every = {
        (k, side)
        for k in range(len(problem.fields))
        if problem.law.order(coord, k)
        for side in problem.domain.sides
    }
    return every <= held


def _march(lines: _Lines, steps: int, seed: int) -> Parting | str:
    """Both forward together."""
    t0, t1 = lines.problem.span()
    first = lines.start()
    size = np.linalg.norm(first) / np.sqrt(first.size)
    second = first + _APART * size * lines.wave(np.random.default_rng(seed))
    n = first.size
    joined = np.concatenate([first.ravel(), second.ravel()])
    solver = scipy.integrate.BDF(
        lines.both, t0, joined, t1, rtol=1e-7, atol=1e-9, jac=lines.jacobian
    )
    times, gaps, horizon, lost, y = [t0], [_APART], None, "", joined
    hurry = lambda: _hurry(lines.both(times[-1], y)[:n], y[:n], times[-1] - t0)
    while solver.status == "running" and len(times) <= steps:
        try:
            solver.step()
        except (ValueError, np.linalg.LinAlgError):  # of slopes that are not finite
            lost = "left the finite numbers"
        if lost or not np.isfinite(solver.y).all():
            lost = "left the finite numbers"
            break
        y = solver.y
        size = max(float(np.linalg.norm(y[:n])), 1e-300)
        times.append(float(solver.t))
        gaps.append(float(np.linalg.norm(y[:n] - y[n:])) / size)
        if horizon is None and gaps[-1] > _PARTED:
            horizon = times[-1]
        if horizon is not None and hurry() < _ENDING:
            break
    lost = "failed" if solver.status == "failed" else lost
    found = Parting(np.asarray(times), np.asarray(gaps), horizon)
    if lost and hurry() > _ENDING:
        largest = float(np.abs(y[:n]).max())
        return dataclasses.replace(found, end=times[-1], largest=largest)
    return f"the method of lines {lost}" if lost and horizon is None else found


def _hurry(rate: np.ndarray, y: np.ndarray, since: float) -> float:
    """How often a solution would change by its own size, at its rate of now, in the
    time that it took so far."""
    with np.errstate(over="ignore", invalid="ignore"):  # of what has run away
        times = since * np.linalg.norm(rate) / max(float(np.linalg.norm(y)), 1e-300)
    return 0.0 if np.isnan(times) else float(times)


class _Lines:
    """The equation on nodes of a circle or a line, or at one place."""

    def __init__(self, problem: Problem, params: dict[str, Any], nodes: int) -> None:
        self.problem, self.params, self.law = problem, params, problem.law
        domain = problem.domain
        self.space = np.zeros((1, 0)) if domain is None else domain.nodes(nodes)
        self.given = [] if domain is None else self._given()
        self.matrices = {
            need.orders[:-1]: self._matrix(need.orders[:-1]) for need in self.law.needs
        }
        self.mass = [
            self.law.needs.index(Need(k, (*(0,) * (len(self.law.coords) - 1), 1)))
            for k in range(len(self.law.fields))
        ]

    def _matrix(self, orders: tuple[int, ...]) -> Float[np.ndarray, "node node"]:
        """Differentiation by Fourier series, or Chebyshev's polynomials."""
        n, domain = len(self.space), self.problem.domain
        if not any(orders):
            return np.eye(n)
        assert domain is not None  # there are slopes in space
        lo, hi = domain.bounds[0]
        if not domain.periodic[0]:
            first = chebyshev(n - 1, hi - lo)[1]
            return np.linalg.matrix_power(first, orders[0])
        k = 2.0j * np.pi / (hi - lo) * np.fft.rfftfreq(n, 1.0 / n)
        symbol = k ** orders[0]
        if orders[0] % 2:
            symbol[-1] = 0.0
        return np.fft.irfft(symbol[:, None] * np.fft.rfft(np.eye(n), axis=0), n, axis=0)

    def _given(self) -> list[tuple[int, int, Any]]:
        """Node, field and value at the ends of a line, where slopes take part."""
        problem, domain = self.problem, self.problem.domain
        assert domain is not None
        return [
            (-1 if side.endswith("+") else 0, problem.field_index(c.field), c.value)
            for c in problem.conditions
            if isinstance(c, Dirichlet)
            for side in problem.on(c)
            if self.law.order(domain.coords[0], problem.field_index(c.field))
        ]

    def _held(self, t: float, copies: np.ndarray) -> np.ndarray:
        """With the values that are given."""
        if self.given:
            copies = copies.copy()
        for node, field, value in self.given:
            with precision(np.float64):
                at = jnp.asarray([[*self.space[node], t]])
                copies[:, node, field] = float(evaluate(value, at, "Dirichlet")[0])
        return copies

    def start(self) -> Float[np.ndarray, "node field"]:
        """What both begin with."""
        starts = self.problem.initials()
        with precision(np.float64):
            at = jnp.asarray(self.space)
            each = [
                np.asarray(evaluate(starts[k].value, at, "Initial"))
                for k in range(len(starts))
            ]
        return np.stack(each, 1)

    def wave(self, rng: np.random.Generator) -> Float[np.ndarray, "node field"]:
        """A few smooth waves of RMS 1."""
        n, fields = len(self.space), len(self.law.fields)
        if n == 1:
            found = rng.normal(size=(1, fields))
        else:
            modes = rng.normal(size=(9, fields)) + 1j * rng.normal(size=(9, fields))
            full = np.zeros((n // 2 + 1, fields), complex)
            full[:9] = modes
            found = np.fft.irfft(full, n, axis=0)
        return found / np.sqrt(np.mean(found**2))

    def _at(self, t: float, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The law without its derivatives in time, and its slopes, of several copies
        of the fields one after the other."""
        n, fields = len(self.space), len(self.law.fields)
        copies = self._held(t, y.reshape(-1, n, fields))
        columns = []
        for need in self.law.needs:
            if need.orders[-1]:
                columns.append(np.zeros((len(copies), n)))
            else:
                matrix = self.matrices[need.orders[:-1]]
                columns.append(copies[:, :, need.field] @ matrix.T)
        values = np.stack(columns, -1).reshape(-1, len(columns))
        points = np.c_[np.tile(self.space, (len(copies), 1)), np.full(len(values), t)]
        return law_and_slopes(self.law, values, points, self.params)

    def both(self, t: float, y: np.ndarray) -> np.ndarray:
        """d/dt of all copies."""
        rows, slopes = self._at(t, y)
        mass = slopes[:, :, self.mass]
        rates = -np.linalg.solve(mass, rows[:, :, None])[:, :, 0]
        rates = rates.reshape(-1, len(self.space), len(self.law.fields))
        for node, field, _ in self.given:
            rates[:, node, field] = 0.0
        return rates.ravel()

    def jacobian(self, t: float, y: np.ndarray) -> np.ndarray:
        """Its slopes: a block for each copy."""
        _, slopes = self._at(t, y)
        mass = slopes[:, :, self.mass]
        slopes = -np.linalg.solve(mass, slopes)
        n, fields = len(self.space), len(self.law.fields)
        copies = len(slopes) // n
        out = np.zeros((copies, n, fields, copies, n, fields))
        slopes = slopes.reshape(copies, n, fields, -1)
        for k, need in enumerate(self.law.needs):
            if need.orders[-1]:
                continue
            matrix = self.matrices[need.orders[:-1]]
            for copy in range(copies):
                block = slopes[copy, :, :, k, None] * matrix[:, None, :]
                out[copy, :, :, copy, :, need.field] += block
        for node, field, _ in self.given:
            out[:, node, field] = out[:, :, :, :, node, field] = 0.0
        return out.reshape(y.size, y.size)
