"""Long free runs compared by what chaos leaves comparable: spectrum and histogram."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike
from scipy import signal

from .._checks import positive, whole
from .._errors import ConfigError, DataError, ShapeError


@dataclasses.dataclass(frozen=True)
class Statistics:
    """A model's long run beside a measured one, channel by channel.

    **Shapes and units:** `frequency` `"freq"` [1/time]; `power`, `power_truth` `"freq
    obs"` [unit^2 time]; `edges` `"obs bin+1"`, `share`, `share_truth` `"obs bin"`;
    `overlap` `"obs"`: sum over the bins of the smaller share, 1 for equal histograms;
    `spectral_distance` `"obs"` [dB]: root mean square difference of the logarithmic
    spectra where either holds power.
    """

    frequency: np.ndarray
    power: np.ndarray
    power_truth: np.ndarray
    edges: np.ndarray
    share: np.ndarray
    share_truth: np.ndarray
    overlap: np.ndarray
    spectral_distance: np.ndarray


def power_spectrum(
    ys: ArrayLike, dt: float, segment: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Power spectral density of evenly sampled channels.

    $$ \int_0^{1/2\Delta t} S(f)\, df = \mathrm{var}(y) $$

    by Welch's method: the mean over half-overlapping, windowed segments.

    **Arguments:** `ys` `"time obs"` without gaps; `dt` [time]; `segment` [samples],
    default an eighth of the record, at least 16.
    **Returns:** frequencies `"freq"` [1/time] and density `"freq obs"` [unit^2 time].
    **Raises:** `ShapeError`, `ConfigError`, `DataError`.
    **Source:** Welch 1967, IEEE Transactions on Audio and Electroacoustics 15, 70-73
    (SciPy's implementation).
    """
    ys = _record("ys", ys)
    positive(dt=dt)
    segment = max(16, len(ys) // 8) if segment is None else segment
    if whole(4, segment=segment) > len(ys):
        raise ConfigError(
            f"segment is {segment}; it must be from 4 to {len(ys)}, the record."
        )
    frequency, power = signal.welch(ys, 1.0 / dt, nperseg=segment, axis=0)
    return frequency, power


def compare_statistics(
    ys: ArrayLike,
    truth: ArrayLike,
    dt: float,
    *,
    bins: int = 32,
    segment: int | None = None,
) -> Statistics:
    """A model's long free run beside a measured record: spectra and histograms.

    Two runs of a chaotic system part, but their spectra and the share of time that they
    spend in each part of the range stay the same. Lengths may differ.

    **Arguments:** `ys`, `truth` `"time obs"`, both sampled at `dt`; `bins` of the
    histograms, over the range of the truth and one bin at either end for what is
    outside; `segment`: as in `power_spectrum`.
    **Returns:** `Statistics`.
    **Raises:** `ShapeError`, `ConfigError`, `DataError`.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import compare_statistics
    >>> t = 0.1 * np.arange(2000)[:, None]
    >>> same = compare_statistics(np.sin(t + 1.0), np.sin(t), 0.1)
    >>> bool(same.overlap[0] > 0.95), bool(same.spectral_distance[0] < 1.0)
    (True, True)

    ```
    """
    ys, truth = _record("ys", ys), _record("truth", truth)
    if ys.shape[1] != truth.shape[1]:
        raise ShapeError(
            f"ys has {ys.shape[1]} channels, truth {truth.shape[1]}; give the same."
        )
    whole(2, bins=bins)
    if segment is None:
        segment = max(16, min(len(ys), len(truth)) // 8)
    frequency, power = power_spectrum(ys, dt, segment)
    _, power_truth = power_spectrum(truth, dt, segment)
    edges, shares = [], []
    for one, true in zip(ys.T, truth.T, strict=True):
        low, high = true.min(), true.max()
        if not high > low:
            raise DataError("a channel of the truth is constant: leave it out.")
        inner = np.linspace(low, high, bins + 1)
        width = inner[1] - inner[0]
        edges.append(np.concatenate([[low - width], inner, [high + width]]))
        shares.append([_shares(v, inner) for v in (one, true)])
    share = np.array(shares)
    return Statistics(
        frequency,
        power,
        power_truth,
        np.array(edges),
        share[:, 0],
        share[:, 1],
        np.minimum(share[:, 0], share[:, 1]).sum(axis=1),
        _distance(power[1:], power_truth[1:]),
    )


def _shares(values: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Of the values in each bin, with all below in the first and all above in the
    last; the ends of the range are inside of it."""
    below, above = values < inner[0], values > inner[-1]
    within = np.histogram(values, inner)[0]
    return np.concatenate([[below.sum()], within, [above.sum()]]) / len(values)


def _distance(power: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """In dB, where either spectrum is within 60 dB of the truth's peak."""
    floor = 1e-6 * truth.max(axis=0)
    there = (power > floor) | (truth > floor)
    ratio = 10.0 * np.log10(np.maximum(power, floor) / np.maximum(truth, floor))
    return np.sqrt(np.sum(np.where(there, ratio**2, 0.0), axis=0) / there.sum(axis=0))


def _record(name: str, values: ArrayLike) -> np.ndarray:
    ys = np.asarray(values, np.float64)
    if ys.ndim != 2:
        raise ShapeError(f"{name} has shape {ys.shape}; expected (time, obs).")
    if len(ys) < 16:
        raise DataError(f"{name} has {len(ys)} samples; at least 16 are needed.")
    if not np.isfinite(ys).all():
        raise DataError(f"{name} holds gaps or infinities. Give a stretch without.")
    return ys
