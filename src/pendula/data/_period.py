"""How fast the data move: dominant period and regularity of the sampling."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ._trajectories import Trajectories


MAX_POINTS = 4096  # longer series are averaged: the period needs no more
MAX_UNEVEN = 400  # longer uneven series are interpolated: O(n^2) otherwise
MIN_CYCLES = 1.5  # of the period within the record
MIN_SHARE = 0.25  # of the variance that lies in the peak
CHANCE = 7.0  # white noise exceeds 7 log(n) / n in one record of a hundred (measured)


def dominant_period(data: Trajectories) -> Float[np.ndarray, " dim"]:
    """The period that carries most of each channel's variance, `"dim"`, in the
    unit of time; NaN where there is none.

    The peak of the Lomb-Scargle periodogram (Hann window, linear trend removed),
    power summed over trajectories; it counts when at least a quarter of the
    variance lies within it and the record shows 1.5 cycles. Missing samples and
    irregular grids are allowed.
    **Source:** Scargle 1982, Astrophys. J. 263:835.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories, dominant_period
    >>> t = np.linspace(0, 20, 400)
    >>> print(dominant_period(Trajectories.from_arrays(t, np.sin(np.pi * t))).round(1))
    [2.]

    ```
    """
    out = np.full(data.dim, np.nan)
    for j in range(data.dim):
        found, weight = [], []
        for i, n in enumerate(data.lengths):
            there = np.flatnonzero(data.mask[i, :n, j])
            period, power = series_period(data.ts[i, there], data.ys[i, there, j])
            found.append(period)
            weight.append(power)
        out[j] = _weighted_median(np.array(found), np.array(weight))
    return out


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Median of the values by weight, NaN when NaN holds most of the weight."""
    order = np.argsort(values)  # NaN comes last
    share = np.cumsum(weights[order])
    if share[-1] == 0:
        return float("nan")
    return float(values[order][np.searchsorted(share, 0.5 * share[-1])])


def series_period(ts: np.ndarray, ys: np.ndarray) -> tuple[float, float]:
    """Period (or NaN) and variance times duration of one series without gaps."""
    if len(ts) < 8:
        return float("nan"), 0.0
    thin = -(-len(ts) // MAX_POINTS)
    if thin > 1:  # average, so that nothing folds back
        cut = len(ts) // thin * thin
        ts = ts[:cut].reshape(-1, thin).mean(axis=1)
        ys = ys[:cut].reshape(-1, thin).mean(axis=1)
    span = ts[-1] - ts[0]
    x = 2 * (ts - ts[0]) / span - 1
    ys = ys - np.polynomial.polynomial.polyval(
        x, np.polynomial.polynomial.polyfit(x, ys, 1)
    )
    variance = float(np.mean(ys**2))
    if variance <= 0 or not np.isfinite(variance):
        return float("nan"), 0.0
    frequency, power = _spectrum(ts, ys, span)
    k = int(np.argmax(power))
    # a Hann peak is four bins of 1 / span wide; two grid points are half a bin
    near = np.abs(frequency - frequency[k]) <= 2 / span
    share = power[near].sum() / power.sum()
    by_chance = min(0.9, CHANCE * np.log(len(ts)) / len(ts))
    if share < max(MIN_SHARE, by_chance) or frequency[k] * span < MIN_CYCLES:
        return float("nan"), variance * span
    if 0 < k < len(power) - 1:  # parabola through the three highest points
        a, b, c = np.log(np.maximum(power[k - 1 : k + 2], 1e-300))
        curve = a - 2 * b + c
        shift = 0.5 * (a - c) / curve if curve < 0 else 0.0
    else:
        shift = 0.0
    step = frequency[1] - frequency[0]
    return float(1 / (frequency[k] + shift * step)), variance * span


def _spectrum(
    ts: np.ndarray, ys: np.ndarray, span: float
) -> tuple[np.ndarray, np.ndarray]:
    """Power at frequencies of four to a resolution element, up to the mean
    Nyquist frequency."""
    n = len(ts)
    window = np.sin(np.pi * (ts - ts[0]) / span) ** 2
    window /= np.sqrt(np.mean(window**2))
    step = np.diff(ts)
    if np.ptp(step) < 0.05 * span / (n - 1):  # even enough for the fast transform
        power = np.abs(np.fft.rfft(ys * window, 4 * n)) ** 2
        frequency = np.arange(len(power)) / (4 * n * span / (n - 1))
        return frequency[1:], power[1:]
    if n > MAX_UNEVEN:
        even = np.linspace(ts[0], ts[-1], n)
        return _spectrum(even, np.interp(even, ts, ys), span)
    from scipy.signal import lombscargle

    frequency = np.arange(1, 2 * n) / (4 * span)
    power = np.asarray(lombscargle(ts - ts[0], ys * window, 2 * np.pi * frequency))
    return frequency, power
