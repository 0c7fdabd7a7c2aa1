"""Does the equation forget its start: two solutions that begin almost alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.integrate
from jaxtyping import Float

from .._precision import precision
from ._conditions import evaluate
from ._law import Need
from ._problem import Problem
from ._window import law_and_slopes


_NODES = 128
_APART = 1e-8
_PARTED = 0.1


@dataclasses.dataclass(frozen=True)
class Parting:
    """How two solutions part whose starts differ by 1e-8 of their size.

    `times`, `gaps`: relative differences; `until`: where the computation ended;
    `horizon`: when they had parted by more than 10 %, None if they had not.
    """

    times: Float[np.ndarray, "step"]
    gaps: Float[np.ndarray, "step"]
    horizon: float | None

    @property
    def until(self) -> float:
        """The last time."""
        return float(self.times[-1])


def parting(
    problem: Problem,
    params: dict[str, Any],
    *,
    steps: int = 6000,
    nodes: int = _NODES,
    seed: int = 0,
) -> Parting | str:
    r"""Two solutions from starts 1e-8 apart, by the method of lines.

    $$ \|u_1(t) - u_2(t)\| / \|u_1(t)\|, \quad u_2(0) = u_1(0)\,
       (1 + 10^{-8} \cdot \text{a few smooth waves}) $$

    Fourier collocation on a circle (nothing for ordinary equations), derivatives in
    time by the slopes of the law, steps by BDF of both at once, so that what the steps
    add is the same for both. No network takes part: what is asked is a property of the
    equation.

    **Arguments:** `params`: arrays; `steps`: of BDF, when it gives up and tells how far
    it came; `nodes`: on the circle.
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
    if domain is not None and (domain.dim > 1 or not domain.periodic[0]):
        return "twins are computed on circles and for ordinary equations only"
    starts = problem.initials()
    if set(starts) != set(range(len(law.fields))):
        return "the start is not given"
    lines = _Lines(problem, params, nodes)
    first = lines.start()
    rng = np.random.default_rng(seed)
    size = np.linalg.norm(first) / np.sqrt(first.size)
    second = first + _APART * size * lines.wave(rng)
    return _march(lines, first, second, steps)


def _march(
    lines: _Lines, first: np.ndarray, second: np.ndarray, steps: int
) -> Parting | str:
    """Both forward together."""
    t0, t1 = lines.problem.span()
    n = first.size
    joined = np.concatenate([first.ravel(), second.ravel()])
    solver = scipy.integrate.BDF(
        lines.both, t0, joined, t1, rtol=1e-7, atol=1e-9, jac=lines.jacobian
    )
    times, gaps = [t0], [_APART]
    while solver.status == "running" and len(times) <= steps:
        try:
            solver.step()
        except (ValueError, np.linalg.LinAlgError):  # of slopes that are not finite
            return "the method of lines left the finite numbers"
        y = solver.y
        if not np.isfinite(y).all():
            return "the method of lines left the finite numbers"
        size = max(float(np.linalg.norm(y[:n])), 1e-300)
        times.append(float(solver.t))
        gaps.append(float(np.linalg.norm(y[:n] - y[n:])) / size)
        if gaps[-1] > _PARTED:
            return Parting(np.asarray(times), np.asarray(gaps), times[-1])
    if solver.status == "failed":
        return "the method of lines failed"
    return Parting(np.asarray(times), np.asarray(gaps), None)


class _Lines:
    """The equation on nodes of a circle, or at one place."""

    def __init__(self, problem: Problem, params: dict[str, Any], nodes: int) -> None:
        self.problem, self.params, self.law = problem, params, problem.law
        domain = problem.domain
        self.space = np.zeros((1, 0)) if domain is None else domain.nodes(nodes)
        self.matrices = {
            need.orders[:-1]: self._matrix(need.orders[:-1]) for need in self.law.needs
        }
        self.mass = [
            self.law.needs.index(Need(k, (*(0,) * (len(self.law.coords) - 1), 1)))
            for k in range(len(self.law.fields))
        ]

    def _matrix(self, orders: tuple[int, ...]) -> Float[np.ndarray, "node node"]:
        """Differentiation by Fourier series."""
        n = len(self.space)
        if not any(orders):
            return np.eye(n)
        lo, hi = self.problem.domain.bounds[0]  # type: ignore[union-attr]  # checked before
        k = 2.0j * np.pi / (hi - lo) * np.fft.rfftfreq(n, 1.0 / n)
        symbol = k ** orders[0]
        if orders[0] % 2:
            symbol[-1] = 0.0
        return np.fft.irfft(symbol[:, None] * np.fft.rfft(np.eye(n), axis=0), n, axis=0)

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
        copies = y.reshape(-1, n, fields)
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
        return -np.linalg.solve(mass, rows[:, :, None])[:, :, 0].ravel()

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
        return out.reshape(y.size, y.size)
