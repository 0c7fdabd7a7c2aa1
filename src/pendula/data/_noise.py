"""How large the measurement noise is, guessed from the data alone."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ._trajectories import Trajectories


ORDERS = (3, 4, 5, 6)  # of the differences; see `noise_estimate`
TRIM = 0.05  # of the largest residuals are left out: impulses, not noise
TRIMMED_SD = 0.8711  # standard deviation of what is left of a standard normal


def difference(
    ts: Float[np.ndarray, " time"], ys: Float[np.ndarray, " time"], order: int
) -> Float[np.ndarray, " window"]:
    r"""Divided differences scaled to the noise of one sample.

    $$ r_k = \sum_i w_i y_{k+i}, \quad w_i \propto \prod_{j \ne i}
       (t_{k+i} - t_{k+j})^{-1}, \quad \sum_i w_i^2 = 1 $$

    annihilates polynomials of degree `order - 1` on any grid, and has the variance
    of the noise when the noise is independent.

    **Shapes:** `ts`, `ys` `"time"` -> `"time-order"`.
    """
    window = np.lib.stride_tricks.sliding_window_view
    t = window(ts, order + 1)
    t = (t - t[:, :1]) / (t[:, -1:] - t[:, :1])
    gap = t[:, :, None] - t[:, None, :] + np.eye(order + 1)
    weights = 1.0 / np.prod(gap, axis=2)
    weights /= np.sqrt(np.sum(weights**2, axis=1, keepdims=True))
    return np.sum(weights * window(ys, order + 1), axis=1)


def series_noise(ts: np.ndarray, ys: np.ndarray) -> float:
    """Standard deviation of the noise of one series without gaps; NaN when it has
    fewer than eight samples."""
    return _combine([_residuals(ts, ys)])


def noise_estimate(data: Trajectories) -> Float[np.ndarray, " dim"]:
    r"""Standard deviation of the noise of every channel, `"dim"`, in its unit.

    The smallest over the orders m = 3 to 6 of the root mean square of m-th divided
    differences (`difference`), the largest 5 % left out: a smooth signal
    contributes $O(h^m y^{(m)})$, less for larger m when the sampling is fine, and
    the noise the same for each. Missing samples are left out; the grid may be
    irregular.

    **Behaviour:** for signals sampled fewer than about eight times a period the
    signal itself counts as noise: the value is then an upper bound. Noise that is
    correlated from sample to sample (a filtered sensor) is underestimated. NaN
    with fewer than eight samples.
    **Source:** differences as noise measure: Rice 1984, Ann. Statist. 12:1215;
    the minimum over orders is ours.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories, noise_estimate
    >>> t = np.linspace(0, 10, 500)
    >>> y = np.sin(t) + 0.01 * np.random.default_rng(0).normal(size=t.size)
    >>> print(noise_estimate(Trajectories.from_arrays(t, y)).round(3))
    [0.01]

    ```
    """
    out = np.full(data.dim, np.nan)
    for j in range(data.dim):
        parts = []
        for i, n in enumerate(data.lengths):
            there = np.flatnonzero(data.mask[i, :n, j])
            parts.append(_residuals(data.ts[i, there], data.ys[i, there, j]))
        out[j] = _combine(parts)
    return out


def _residuals(ts: np.ndarray, ys: np.ndarray) -> list[np.ndarray]:
    """For each order the residuals of one series (empty when it is too short)."""
    return [
        difference(ts, ys, order) if len(ts) > order + 1 else np.zeros(0)
        for order in ORDERS
    ]


def _combine(parts: list[list[np.ndarray]]) -> float:
    values = []
    for k in range(len(ORDERS)):
        residual = np.concatenate([part[k] for part in parts])
        if not len(residual):
            continue
        size = np.abs(residual)
        kept = size[size <= np.quantile(size, 1 - TRIM)]
        sd = float(np.sqrt(np.mean(kept**2))) / TRIMMED_SD
        # hardly any residual differs from 0: a coarse converter at rest
        values.append(sd if sd > 0 else float(np.sqrt(np.mean(size**2))))
    return min(values) if values else float("nan")
