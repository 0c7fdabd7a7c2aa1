"""Optimised dynamic mode decomposition: all snapshots at once, at any times."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Complex, Float
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from .._checks import whole
from .._errors import ConfigError, DataError
from ..data import even_step
from ._dmd import LinearForecast, check_rank, ordered, projected_map, warn_of_growth
from ._hankel_dmd import delay_windows
from ._series import Rows, checked, times
from ._variable_projection import (
    AbstractRates,
    FreeRates,
    PairedRates,
    minimise,
    project,
)


_DECAY = 3.0  # rates of a start are at least that negative in a step,
_GROWTH = 5.0  # and at most that positive over the record
_WIDE = 2000  # numbers of a window at the most
_WAVES = 4000  # frequencies of a pursuit at the most, a quarter of a cycle apart
_FEW = 20  # iterations after each of its waves
_ILL = 1e8  # condition of the modes beyond which one snapshot does not tell them apart


@dataclasses.dataclass(frozen=True)
class OptimizedDMD:
    r"""Exponentials in time fitted to all snapshots at once.

    $$ \min_{\alpha, B} \| Y - e^{t \alpha^\top} B \|_F $$

    by variable projection: Levenberg-Marquardt on the rates $\alpha$, with B eliminated
    by QR. Times may be unequal; noise does not draw the rates inwards, as it does for
    `ExactDMD`. The mean is not taken off; it has a mode of rate 0.

    **Arguments:**
    - `rank`: number of exponentials.
    - `stable`: whether no rate may have a positive real part.
    - `conjugate_pairs`: whether complex rates come in pairs, as those of real data
      must; a pair may become two real rates and back.
    - `pod`: POD coordinates in which the fit is made, at least some of the directions
      that the snapshots span; None: all of them, which changes nothing. Fewer (`rank`
      of them, as in the source) cost less and leave out what is mostly noise.
    - `iterations`: of Levenberg-Marquardt, at most.

    **Raises:** `ConfigError` for settings that cannot be.
    **Behaviour:** starts from `ExactDMD` and `HankelDMD` (equal times) or from the
    trapezoidal rule, a spline and the steady waves that explain most (unequal ones),
    and keeps the best end. The cost of an
    iteration grows with time * min(m, time) * rank^2. Where the fit leaves a residual,
    `predict` reads the amplitudes from its snapshot with that noise in mind (a Wiener
    filter), a plain projection where it leaves none.
    **Source:** Askham, Kutz 2018, SIAM J. Applied Dynamical Systems 17, 380-416,
    algorithms 2 and 3; differs: real parameters of pairs, and the bounds.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import OptimizedDMD
    >>> rng = np.random.default_rng(0)
    >>> t = np.sort(rng.uniform(0, 20, 80))
    >>> clean = np.exp(-0.05 * t)[:, None] * np.cos(2 * t[:, None] + np.arange(6))
    >>> found = OptimizedDMD(2).fit(t, clean + 0.05 * rng.normal(size=clean.shape))
    >>> found.rates.round(2).tolist()
    [(-0.05+2j), (-0.05-2j)]

    ```
    """

    rank: int
    stable: bool = False
    conjugate_pairs: bool = True
    pod: int | None = None
    iterations: int = 200

    def __post_init__(self) -> None:
        check_rank(self.rank)
        whole(1, iterations=self.iterations)
        if self.pod is not None:
            whole(1, pod=self.pod)

    def fit(self, ts: ArrayLike, ys: Rows) -> LinearForecast:
        """The exponentials of one series.

        **Arguments:** `ts`: times `"time"` that increase; `ys`: rows `"time m"`.
        **Returns:** a `LinearForecast` with `at`; the step of its `predict` is that of
        the times, of unequal ones the median.
        **Raises:** `DataError` for times that do not increase, constant snapshots and
        values that are not finite; `ShapeError`; `ConfigError` for a rank of more
        than the data show. **Warns:** as `ExactDMD.fit`.
        """
        rows = checked(ys)
        found = times(ts, len(rows))
        if self.rank > len(rows) - 1:
            raise ConfigError(
                f"rank is {self.rank} for {len(rows)} snapshots; it can be "
                f"{len(rows) - 1} at the most. Lower it, or give more snapshots."
            )
        if (rows == rows[0]).all():
            raise DataError(
                "all snapshots are the same: there is no motion to learn. Check the "
                "file and the channel."
            )
        left, s, lift = np.linalg.svd(rows, full_matrices=False)
        most = max(1, int(np.sum(s > 1e-14 * s[0])))
        keep = most if self.pod is None else min(self.pod, most)
        small = left[:, :keep] * s[:keep]
        span = float(found[-1] - found[0])
        t = (found - found[0]) / span
        family: AbstractRates = PairedRates() if self.conjugate_pairs else FreeRates()
        ends = []
        for start in _starts(t, small, self.rank):
            low, high = -_DECAY * len(t), 0.0 if self.stable else _GROWTH
            start = np.clip(np.real(start), low, high) + 1j * np.imag(start)
            ends.append(
                minimise(
                    family,
                    family.parameters(start),
                    t,
                    small,
                    stable=self.stable,
                    iterations=self.iterations,
                )
            )
        x, cost = min(ends, key=lambda end: end[1], default=(np.zeros(0), np.inf))
        last = project(family, x, t, small) if np.isfinite(cost) else None
        if last is None:
            raise ConfigError(
                f"no {self.rank} exponentials were found in these snapshots: they show "
                "fewer. Lower the rank."
            )
        modes = family.modes(x, last.coefficients).T
        unseen = float(np.sum(s[keep:] ** 2))
        noise = (last.cost + unseen) / rows.size
        warn_of_growth(family.rates(x) / span, [rows], span)
        return _forecast(family.rates(x) / span, lift[:keep].T @ modes, found, noise)


def _starts(
    t: Float[np.ndarray, " time"], rows: Float[np.ndarray, "time k"], rank: int
) -> Iterator[Complex[np.ndarray, " r"]]:
    """Rates to start from, as many as can be had."""
    dt = even_step(t)
    reduced = rows[:, :rank]
    if dt is None:
        # (y' - y) / h = A (y' + y) / 2 at every pair of times
        middle = (reduced[1:] + reduced[:-1]) / 2
        slope = np.diff(reduced, axis=0) / np.diff(t)[:, None]
        yield from _rates_of(middle, slope, rank, None)
        yield _pursued(t, reduced, rank)
        dt = 1.0 / (len(t) - 1)
        even = np.linspace(0.0, 1.0, len(t))
        reduced = CubicSpline(t, reduced)(even)
    else:
        yield from _rates_of(reduced[:-1], reduced[1:], rank, dt)
    k = reduced.shape[1]
    least = math.ceil(rank / k)
    room = len(t) - rank
    lengths = {min(math.ceil(2 * rank / k), room), min(len(t) // 3, _WIDE // k, room)}
    for delays in sorted(d for d in lengths if d >= max(2, least)):
        seen = delay_windows(reduced, delays)
        yield from _rates_of(seen[:-1], seen[1:], rank, dt)


def _pursued(
    t: Float[np.ndarray, " time"], rows: Float[np.ndarray, "time k"], rank: int
) -> Complex[np.ndarray, " r"]:
    """Rates of waves taken one after the other, each the steady one that explains most
    of what those before leave, all of them then fitted: at sparse times, which no slope
    or spline can follow, they are told apart all the same."""
    family, rates = PairedRates(), np.zeros(rank % 2, complex)
    taken, left = np.ones((len(t), rank % 2)) / np.sqrt(len(t)), rows
    omega = np.arange(1, min(2 * len(t), _WAVES) + 1) * np.pi / 2
    for _ in range(rank // 2):
        gains = []
        for one in omega:
            pair = np.stack([np.cos(one * t), np.sin(one * t)], axis=1)
            q, _ = np.linalg.qr(pair - taken @ (taken.T @ pair))
            gains.append(np.sum((q.T @ left) ** 2))
        best = 1j * omega[int(np.argmax(gains))]
        rates = np.concatenate([rates, [best, -best]])
        x, _ = minimise(
            family, family.parameters(rates), t, rows, stable=True, iterations=_FEW
        )
        found = project(family, x, t, rows)
        if found is not None:
            rates, taken, left = family.rates(x), found.q, found.residual
    return rates


def _rates_of(
    before: np.ndarray, after: np.ndarray, rank: int, dt: float | None
) -> Iterator[Complex[np.ndarray, " r"]]:
    """Continuous eigenvalues of the map between rows, or with dt None of the
    generator; none where the rows do not span the rank."""
    try:
        _, operator = projected_map(before, after, rank)
    except ConfigError:
        return
    values = np.linalg.eigvals(operator).astype(complex)
    if dt is not None:
        # a real negative one has no real rate: its size is kept
        angle = np.where(np.imag(values) == 0, 0.0, np.angle(values))
        values = (np.log(np.maximum(np.abs(values), 1e-8)) + 1j * angle) / dt
    yield values


def _forecast(
    rates: np.ndarray,
    modes: np.ndarray,
    ts: Float[np.ndarray, " time"],
    noise: float,
) -> LinearForecast:
    """From rates and modes with their amplitudes, `"m r"`, and the mean square of what
    they leave.

    One noisy snapshot does not tell modes of nearly the same shape apart: what a plain
    projection takes for opposite amplitudes of two of them comes out as soon as they
    move. The reader is the best linear guess of the noiseless snapshot, given how the
    fitted series is spread; forecasts are then no larger than the fit goes on to be.
    """
    dt = even_step(ts)
    dt = float(np.median(np.diff(ts))) if dt is None else dt
    order = ordered(np.exp(rates * dt))
    rates, modes = rates[order].astype(complex), modes[:, order].astype(complex)
    size = np.linalg.norm(modes, axis=0)
    modes = modes / np.where(size > 0, size, 1.0)
    basis, triangle = np.linalg.qr(modes)
    is_determined = len(modes) >= len(rates) and np.linalg.cond(triangle) < _ILL
    operator, reader = np.full((basis.shape[1],) * 2, np.nan + 0j), None
    if is_determined:
        moved = triangle * np.exp(rates * dt)
        operator = np.linalg.solve(triangle.T, moved.T).T  # R Lambda R^-1
        waves = np.exp(np.multiply.outer(ts - ts[0], rates))
        seen = (waves * size) @ triangle.T
        reader = _reader(seen, noise)
    return LinearForecast(
        basis,
        operator,
        rates,
        modes,
        dt,
        amplitudes=size.astype(complex),
        start=float(ts[0]),
        is_determined=bool(is_determined),
        reader=reader,
    )


def _reader(seen: Complex[np.ndarray, "time r"], noise: float) -> np.ndarray:
    """S (S + noise)^-1 with S the second moment of the coordinates."""
    squares, vectors = np.linalg.eigh(seen.T @ seen.conj() / len(seen))
    squares = np.maximum(squares, 0.0)
    share = squares / np.maximum(squares + noise, 1e-300)
    share = np.where(noise < 1e-20 * squares[-1], 1.0, share)
    return (vectors * share) @ vectors.conj().T
