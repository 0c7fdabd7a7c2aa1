"""Sums of exponentials fitted to series: rates by Levenberg-Marquardt, amplitudes
eliminated."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.linalg import qr


_RANK = 1e-12  # a direction of the waves below that share of the first is unseen
_TRIES = 12  # times that the damping may grow within an iteration
_APART = 1.0  # half the difference of real rates, squared, from which they are far
_SERIES = tuple(range(12))  # terms of sinh and its slope near 0
_MOST = 300.0  # exponents beyond it have squares that overflow


class Waves(NamedTuple):
    """Functions of time `"time r"`, and their slopes by each parameter: for parameter k
    `slopes[k]` `"time c"` of the functions `at[k]`; all others do not move."""

    values: np.ndarray
    at: list[list[int]]
    slopes: list[np.ndarray]


class AbstractRates(abc.ABC):
    """Rates alpha as a function of real parameters, and the waves that they make."""

    @abc.abstractmethod
    def parameters(self, rates: np.ndarray) -> np.ndarray:
        """The parameters of given rates."""

    @abc.abstractmethod
    def rates(self, x: np.ndarray) -> np.ndarray:
        """alpha `"r"` of parameters."""

    @abc.abstractmethod
    def waves(self, x: np.ndarray, t: np.ndarray) -> Waves:
        """Functions that span the exponentials of these rates."""

    @abc.abstractmethod
    def modes(self, x: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Coefficients `"r m"` of the waves as those of the exponentials."""

    @abc.abstractmethod
    def is_bounded(self, x: np.ndarray) -> np.ndarray:
        """Which parameters must not be negative for all rates to decay."""


@dataclasses.dataclass(frozen=True)
class PairedRates(AbstractRates):
    r"""Rates in conjugate pairs or real, as roots of $\alpha^2 + p\,\alpha + q$; an odd
    number of them has one that is $-p$.

    A pair may become two real rates and the other way round without a kink, since the
    waves $e^{-pt/2} \cosh(\sqrt\delta t)$, $e^{-pt/2} \sinh(\sqrt\delta t) /
    \sqrt\delta$, $\delta = p^2/4 - q$, are entire in p and q; and both decay just when
    neither p nor q is negative. Real rates far from each other have their exponentials
    instead, which span the same and are told apart. Times run from 0 to 1.
    """

    def parameters(self, rates: np.ndarray) -> np.ndarray:
        """p and q of each pair in turn; real rates are paired in their order."""
        real = np.sort(np.real(rates[np.imag(rates) == 0]))[::-1]
        upper = rates[np.imag(rates) > 0]
        found = [v for a in upper for v in (-2 * a.real, abs(a) ** 2)]
        for one, two in zip(real[:-1:2], real[1::2], strict=False):
            found += [-(one + two), one * two]
        if len(real) % 2:
            found.append(-real[-1])
        return np.array(found)

    def rates(self, x: np.ndarray) -> np.ndarray:
        """Both roots of each pair, then the single one."""
        n = len(x) // 2 * 2
        p, delta = x[:n:2], _delta(x)
        root = np.sqrt(delta.astype(complex))
        pairs = np.stack([-p / 2 + root, -p / 2 - root], axis=1).ravel()
        return np.concatenate([pairs, -x[n:]])

    def waves(self, x: np.ndarray, t: np.ndarray) -> Waves:
        """Those of the pairs, and the single exponential."""
        n = len(x) // 2 * 2
        p, delta, t = x[:n:2], _delta(x), t[:, None]
        apart = delta > _APART
        one, two, bent = _pair(-p / 2, np.where(apart, 0.0, delta), t)
        root = np.sqrt(np.where(apart, delta, 1.0))
        plus, minus = np.exp((-p / 2 + root) * t), np.exp((-p / 2 - root) * t)
        one, two = np.where(apart, plus, one), np.where(apart, minus, two)
        lift = np.where(apart, t * one / (2 * root), t * two / 2)
        bent = np.where(apart, -t * two / (2 * root), bent)
        values = np.stack([one, two], axis=-1).reshape(len(t), -1)
        by_a = np.stack([t * one, t * two], axis=-1)
        by_delta = np.stack([lift, bent], axis=-1)
        by_p = -by_a / 2 + p[:, None] / 2 * by_delta
        at = [[k // 2 * 2, k // 2 * 2 + 1] for k in range(n)]
        slopes = [(-by_delta if k % 2 else by_p)[:, k // 2] for k in range(n)]
        if len(x) > n:
            last = np.exp(-x[n] * t)
            values = np.concatenate([values, last], axis=1)
            at, slopes = [*at, [n]], [*slopes, -t * last]
        return Waves(values, at, slopes)

    def modes(self, x: np.ndarray, found: np.ndarray) -> np.ndarray:
        """c cosh(s t) + d sinh(s t) / s as (c + d / s) / 2 and (c - d / s) / 2."""
        n = len(x) // 2 * 2
        delta = _delta(x)
        tiny = 1e-14 * (x[:n:2] ** 2 + np.abs(x[1:n:2]) + 1e-12)
        root = np.where(np.abs(delta) < tiny, tiny, delta)  # equal rates
        root = np.sqrt(root.astype(complex))[:, None]
        c, d = found[:n:2], found[1:n:2]
        apart = (delta > _APART)[:, None]
        one = np.where(apart, c, (c + d / root) / 2)
        two = np.where(apart, d, (c - d / root) / 2)
        pairs = np.stack([one, two], axis=1).reshape(n, found.shape[1])
        return np.concatenate([pairs, found[n:]])

    def is_bounded(self, x: np.ndarray) -> np.ndarray:
        """All of them."""
        return np.ones(len(x), bool)


def _delta(x: np.ndarray) -> np.ndarray:
    """Half the difference of the roots, squared, of each pair."""
    n = len(x) // 2 * 2
    return x[:n:2] ** 2 / 4 - x[1:n:2]


@dataclasses.dataclass(frozen=True)
class FreeRates(AbstractRates):
    """Complex rates, each by itself: -Re and Im in turn."""

    def parameters(self, rates: np.ndarray) -> np.ndarray:
        """-Re and Im of each."""
        return np.stack([-np.real(rates), np.imag(rates)], axis=1).ravel()

    def rates(self, x: np.ndarray) -> np.ndarray:
        """One for two parameters."""
        return -x[::2] + 1j * x[1::2]

    def waves(self, x: np.ndarray, t: np.ndarray) -> Waves:
        """The exponentials."""
        values = np.exp(t[:, None] * self.rates(x))
        slope = t[:, None] * values
        count = len(x)
        slopes = [(1j if k % 2 else -1.0) * slope[:, [k // 2]] for k in range(count)]
        return Waves(values, [[k // 2] for k in range(count)], slopes)

    def modes(self, x: np.ndarray, found: np.ndarray) -> np.ndarray:
        """As they are."""
        return found

    def is_bounded(self, x: np.ndarray) -> np.ndarray:
        """The real parts."""
        return np.arange(len(x)) % 2 == 0


def _pair(
    a: np.ndarray, delta: np.ndarray, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """e^(at) cosh(s t), e^(at) sinh(s t) / s and the slope of the latter by delta =
    s^2, each `"time pair"`."""
    z = delta * t * t
    near = np.abs(z) < 1.0
    inner = np.where(near, z, 0.0)
    factor = np.ones(len(_SERIES))
    for n in _SERIES[1:]:
        factor[n] = factor[n - 1] / (2 * n * (2 * n + 1))  # 1 / (2n + 1)!
    sine = t * sum(factor[n] * inner**n for n in _SERIES)
    bent = t**3 * sum(n * factor[n] * inner ** (n - 1) for n in _SERIES[1:])
    root = np.sqrt(delta.astype(complex))
    plus, minus = np.exp((a + root) * t), np.exp((a - root) * t)
    one = np.real(plus + minus) / 2
    safe = np.where(root == 0, 1.0, root)
    two = np.where(near, np.exp(a * t) * sine, np.real((plus - minus) / (2 * safe)))
    far = (t * one - two) / (2 * np.where(delta == 0, 1.0, delta))
    return one, two, np.where(near, np.exp(a * t) * bent, far)


class Projection(NamedTuple):
    """What the waves leave of the series: `coefficients` `"r m"` of the waves,
    `residual` `"time m"`, its sum of squares, and what the Jacobian needs."""

    coefficients: np.ndarray
    residual: np.ndarray
    cost: float
    q: np.ndarray
    pinv: np.ndarray
    waves: Waves


def project(
    family: AbstractRates,
    x: Float[np.ndarray, " n"],
    t: Float[np.ndarray, " time"],
    ys: Float[np.ndarray, "time m"],
) -> Projection | None:
    """Least squares by a pivoted QR of the scaled waves; None where they overflow."""
    if np.max(np.real(family.rates(x)) * t[-1]) > _MOST or not np.isfinite(x).all():
        return None
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        waves = family.waves(x, t)
    size = np.linalg.norm(waves.values, axis=0)
    if not (np.isfinite(size).all() and (size > 0).all()):
        return None
    found: Any = qr(waves.values / size, mode="economic", pivoting=True)
    q, r, order = found
    diagonal = np.abs(np.diag(r))
    k = int(np.sum(diagonal > _RANK * diagonal[0]))
    q = q[:, :k]
    # least norm where the waves are dependent
    inverse = np.linalg.pinv(r[:k]) if k < len(r) else np.linalg.inv(r)
    pinv = np.empty((waves.values.shape[1], len(t)), q.dtype)
    pinv[order] = inverse @ q.conj().T
    pinv /= size[:, None]
    inside = q.conj().T @ ys
    residual = ys - q @ inside
    cost = float(np.sum(np.abs(residual) ** 2))
    return Projection(pinv @ ys, residual, cost, q, pinv, waves)


def jacobian(found: Projection) -> Shaped[np.ndarray, "n time m"]:
    r"""Slopes of the residual by the parameters, the amplitudes eliminated.

    $$ \partial_k R = -P^\perp (\partial_k \Phi) \Phi^+ Y
       - (\Phi^+)^H (\partial_k \Phi)^H R $$

    **Source:** Golub, Pereyra 1973, SIAM J. Numerical Analysis 10, 413-432, equation
    4.2.
    """
    q, residual = found.q, found.residual
    out = []
    for at, slope in zip(found.waves.at, found.waves.slopes, strict=True):
        outside = slope - q @ (q.conj().T @ slope)
        one = outside @ found.coefficients[at]
        two = found.pinv[at].conj().T @ (slope.conj().T @ residual)
        out.append(-one - two)
    return np.stack(out)


def minimise(
    family: AbstractRates,
    x: Float[np.ndarray, " n"],
    t: Float[np.ndarray, " time"],
    ys: Float[np.ndarray, "time m"],
    *,
    stable: bool,
    iterations: int,
) -> tuple[Float[np.ndarray, " n"], float]:
    """Levenberg-Marquardt with the scaling of Moré; (parameters, sum of squares).

    A bounded parameter that the slope pushes outwards is held; a step that leaves the
    bounds ends on them.
    """
    bounded = family.is_bounded(x) if stable else np.zeros(len(x), bool)
    x = np.where(bounded, np.maximum(x, 0.0), x)
    found = project(family, x, t, ys)
    if found is None:
        return x, np.inf
    whole, damping, scale, small = float(np.sum(ys**2)), 1e-2, np.zeros(len(x)), 0
    for _ in range(iterations):
        if found.cost <= 1e-30 * whole or small >= 3:
            break
        j = jacobian(found).reshape(len(x), -1)
        r = found.residual.reshape(-1)
        if np.iscomplexobj(j):
            j = np.concatenate([np.real(j), np.imag(j)], axis=1)
            r = np.concatenate([np.real(r), np.imag(r)])
        slope = j @ r
        free = ~(bounded & (x <= 0) & (slope > 0))
        if not free.any():
            break
        q, triangle = np.linalg.qr(j[free].T)
        pull = q.T @ r
        scale = np.maximum(scale, np.linalg.norm(j, axis=1))
        weight = np.maximum(scale, 1e-12 * scale.max())[free]
        for _ in range(_TRIES):
            rows = np.concatenate([triangle, np.diag(np.sqrt(damping) * weight)])
            goal = np.concatenate([-pull, np.zeros(len(weight))])
            step = np.linalg.lstsq(rows, goal, rcond=None)[0]
            new = x.copy()
            new[free] += step
            new = np.where(bounded, np.maximum(new, 0.0), new)
            tried = project(family, new, t, ys)
            if tried is not None and tried.cost < found.cost:
                break
            damping *= 4
        else:
            break
        gain = 1 - tried.cost / found.cost
        small = small + 1 if gain < 1e-10 else 0
        x, found, damping = new, tried, max(damping / 9, 1e-15)
    return x, found.cost
