"""Lyapunov exponents: how fast neighbours part, from a field or from a record."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from .._checks import positive, whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import precision
from ..solve import RK4
from ._equilibria import Field, held, rates
from ._residuals import autocorrelation


@dataclasses.dataclass(frozen=True)
class Exponents:
    """Lyapunov exponents [1/time], the largest first, with the standard error of each
    (from ten parts of the run)."""

    values: np.ndarray
    errors: np.ndarray

    @property
    def dimension(self) -> float:
        """Kaplan and Yorke's dimension of the attractor."""
        total = np.cumsum(self.values)
        if total[0] < 0:
            return 0.0
        k = int(np.flatnonzero(total >= 0)[-1])
        if k == len(total) - 1:
            return float(len(total))
        return k + 1 + float(total[k] / abs(self.values[k + 1]))


def lyapunov_exponents(
    field: Field,
    y0: ArrayLike,
    dt: float,
    num: int,
    *,
    transient: int = 0,
    count: int | None = None,
    u: ArrayLike | None = None,
    context: Any = None,
) -> Exponents:
    r"""The exponents of a field, from the growth of a tangent frame along one motion.

    $$ \dot Y = \frac{\partial f}{\partial y} Y, \quad Y_k = Q_k R_k, \quad
       \lambda_i = \frac{1}{n\,\Delta t} \sum_k \ln |R_k|_{ii} $$

    by RK4 steps of motion and frame together, with a QR decomposition at each.

    **Arguments:** `y0` a start `"dim"`; `dt` the step; `num` of steps that count, after
    `transient` that do not; `count` of exponents (default: all); `u`, `context` held
    fixed.
    **Returns:** `Exponents`, float64.
    **Raises:** `ShapeError`, `ConfigError`, `DataError` for a start that is not finite,
    or when the motion leaves the finite numbers.
    **Source:** Benettin, Galgani, Giorgilli, Strelcyn 1980, Meccanica 15, 9-30.

    ```python
    >>> from pendula.diagnostics import lyapunov_exponents
    >>> from pendula.systems import Harmonic
    >>> out = lyapunov_exponents(Harmonic(damping=0.2), [1.0, 0.0], 0.05, 2000)
    >>> print(out.values.sum().round(6))  # the divergence of the field
    -0.2

    ```
    """
    y0 = np.asarray(y0, np.float64)
    if y0.ndim != 1:
        raise ShapeError(f"y0 has shape {y0.shape}; expected (dim,).")
    count = len(y0) if count is None else count
    if not np.isfinite(y0).all():
        raise DataError(f"y0 is {y0}; a start has finite numbers.")
    positive(dt=dt)
    whole(10, num=num)
    whole(0, transient=transient)
    whole(1, count=count)
    if count > len(y0):
        raise ConfigError(f"count is {count}; there are 1 to {len(y0)} exponents.")
    with precision(np.float64):
        parts = held(field, u, context)
        frame, h = jnp.eye(len(y0))[:, :count], jnp.asarray(float(dt))
        total = transient + num
        growth = np.asarray(_grow(*parts, jnp.asarray(y0), frame, h, total)) / dt
    if not np.isfinite(growth).all():
        step = int(np.flatnonzero(~np.isfinite(growth).all(1))[0])
        raise DataError(
            f"the motion leaves the finite numbers near step {step} (time "
            f"{step * dt:g}). Shorten dt, or start on the attractor."
        )
    growth = growth[transient:]
    parts = [part.mean(axis=0) for part in np.array_split(growth, 10)]
    values, errors = growth.mean(axis=0), np.std(parts, axis=0, ddof=1) / np.sqrt(10)
    order = np.argsort(-values)
    return Exponents(values[order], errors[order])


@eqx.filter_jit
def _grow(
    field: Field, u: Any, context: Any, y: Any, frame: Any, h: Any, num: int
) -> Any:
    """Logarithms of the growth of every direction in every step `"step k"`."""
    at = rates(field, u, context)
    step = lambda y: RK4.step(
        lambda t, y, u, c: at(y), 0.0 * h, y, h, lambda s: None, None
    )

    def one(carry: Any, _: None) -> Any:
        y, frame = carry
        moved, push = jax.linearize(step, y)
        frame, r = jnp.linalg.qr(jax.vmap(push, in_axes=1, out_axes=1)(frame))
        return (moved, frame), jnp.log(jnp.abs(jnp.diagonal(r)))

    return jax.lax.scan(one, (y, frame), length=num)[1]


@dataclasses.dataclass(frozen=True)
class Divergence:
    """How neighbours in a record part.

    `exponent` [1/time] and its standard error; `ts`, `growth` `"time"`: mean logarithm
    of the distance against time; `until`: end of the straight part that was fitted;
    `delay` [samples], `dimension`: the embedding.
    """

    exponent: float
    error: float
    ts: np.ndarray
    growth: np.ndarray
    until: float
    delay: int
    dimension: int


def divergence(
    values: ArrayLike,
    dt: float,
    *,
    dimension: int = 5,
    delay: int | None = None,
    apart: int | None = None,
    until: float | None = None,
) -> Divergence:
    r"""The largest Lyapunov exponent of one measured channel, by its delays.

    $$ z_k = (x_k, x_{k+\tau}, .., x_{k+(m-1)\tau}), \quad
       S(t) = \big\langle \ln \| z_{k+t} - z_{n(k)+t} \| \big\rangle_k
       \approx \lambda t + \text{const} $$

    with n(k) the nearest neighbour of k that is not near in time.

    **Arguments:**
    - `values`: one channel `"time"`, evenly sampled at `dt`, without gaps.
    - `dimension` m, `delay` tau [samples]; default: where the autocorrelation first
      falls below 1/e.
    - `apart`: least distance in time of neighbours [samples]; default: the mean period
      (one over the mean frequency of the spectrum).
    - `until`: end of the straight part [time]; default: where S has risen by 60 % of
      its way to the plateau.

    **Returns:** `Divergence`; the error is the scatter over ten parts of the record,
    and knows nothing of where the straight part is taken to end.
    **Raises:** `ShapeError`, `ConfigError`, `DataError` for a constant channel, a
    record too short, or one that repeats to the last digit.
    **Behaviour / good values:** some hundred periods. A periodic record without noise
    gives about 0. Noise parts the nearest neighbours at once: a regular record with
    some of it has a large exponent, and a positive one is no sign of chaos by itself.
    Of a chaotic record noise first makes the exponent too small.
    **Source:** Rosenstein, Collins, De Luca 1993, Physica D 65, 117-134, equations 9
    to 13.
    """
    x = np.asarray(values, np.float64)
    if x.ndim != 1:
        raise ShapeError(f"values has shape {x.shape}; expected one channel (time,).")
    positive(dt=dt)
    given = {"dimension": dimension, "delay": delay, "apart": apart}
    whole(1, **{name: v for name, v in given.items() if v is not None})
    if until is not None and not until >= dt:
        raise ConfigError(f"until is {until:g}; the straight part needs dt at least.")
    if not np.isfinite(x).all():
        raise DataError("values holds gaps or infinities. Give a stretch without.")
    if np.ptp(x) == 0:
        raise DataError("values is constant: no neighbours part.")
    delay = _correlation_time(x) if delay is None else delay
    apart = _mean_period(x) if apart is None else apart
    num = len(x) - (dimension - 1) * delay
    ahead = min(num // 4, max(10 * apart, 20))
    if num < 50 or ahead < 5 or num - ahead < 4 * apart:
        raise DataError(
            f"the record has {len(x)} samples; delays of {dimension - 1} x {delay} and "
            f"neighbours {apart} samples apart need more. Give a longer one."
        )
    z = np.stack([x[i * delay : i * delay + num] for i in range(dimension)], axis=1)
    own, other = _neighbours(z[: num - ahead], apart)
    steps = np.arange(ahead)
    gaps = np.linalg.norm(z[own[:, None] + steps] - z[other[:, None] + steps], axis=-1)
    if not all(np.any(part > 0, axis=0).all() for part in np.array_split(gaps, 10)):
        raise DataError(
            "neighbours in the record are too few, or the same to the last digit: "
            "nothing parts. Give a longer record, or one that does not repeat exactly."
        )
    logs = np.log(gaps, out=np.full(gaps.shape, np.nan), where=gaps > 0)
    growth, ts = np.nanmean(logs, axis=0), dt * steps
    end = float(_straight(ts, growth) if until is None else until)
    fit = ts <= end * (1 + 1e-9)  # three steps of 0.1 are more than 0.3
    slope = lambda curve: float(np.polyfit(ts[fit], curve[fit], 1)[0])
    parts = [slope(np.nanmean(p, axis=0)) for p in np.array_split(logs, 10)]
    error = float(np.std(parts, ddof=1) / np.sqrt(10))
    return Divergence(slope(growth), error, ts, growth, end, delay, dimension)


def _straight(ts: np.ndarray, growth: np.ndarray) -> float:
    """Time at which the growth has come 60 % of its way to the plateau."""
    top = np.median(growth[len(growth) // 2 :])
    risen = growth >= growth[0] + 0.6 * (top - growth[0])
    return float(ts[max(int(np.argmax(risen)), 4)])


def _neighbours(z: np.ndarray, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of nearest points at least `apart` samples from one another."""
    tree, own = KDTree(z), np.arange(len(z))
    other = np.full(len(z), -1)
    for k in (8, 32, 128, 512):
        left = np.flatnonzero(other < 0)
        if not len(left):
            break
        near = np.asarray(tree.query(z[left], k=min(k, len(z)))[1])
        good = np.abs(near - left[:, None]) > apart
        some = good.any(axis=1)
        other[left[some]] = near[some, np.argmax(good[some], axis=1)]
    return own[other >= 0], other[other >= 0]


def _correlation_time(x: np.ndarray) -> int:
    """Samples after which the autocorrelation is below 1/e."""
    below = autocorrelation((x - x.mean())[None]) < 1.0 / np.e
    return max(1, int(np.argmax(below))) if below.any() else max(1, len(x) // 10)


def _mean_period(x: np.ndarray) -> int:
    """One over the mean frequency of the power spectrum, in samples."""
    power = np.abs(np.fft.rfft((x - x.mean()) * np.hanning(len(x)))) ** 2
    frequency = np.fft.rfftfreq(len(x))
    return max(1, int(np.ceil(power.sum() / (power @ frequency))))
