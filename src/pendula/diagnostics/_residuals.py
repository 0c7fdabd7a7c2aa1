"""How much the residuals of neighbouring samples repeat each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ._shapes import aligned


def autocorrelation(residual: ArrayLike, mask: ArrayLike | None = None) -> np.ndarray:
    r"""Autocorrelation by lag, `"lag"` (as many as samples), over all clips.

    $$ \rho_k = \frac{\sum r_t r_{t+k} / N_k}{\sum r_t^2 / N_0} $$

    with sums and counts N over the pairs of which both were measured. The mean is
    not taken out: the residuals of a good model have none, and an offset that stays
    is correlation. Lags without a pair are 0.

    **Arguments:** `residual` `"clip time"`, evenly sampled; `mask` bool, same shape.
    **Raises:** `ShapeError`.
    """
    residual = np.asarray(residual, np.float64)
    there = np.isfinite(residual) if mask is None else np.asarray(mask, bool)
    residual, there = aligned(
        ("residual", residual, "clip time"), ("mask", there, "clip time")
    )
    there = there.astype(bool) & np.isfinite(residual)
    length = 2 * residual.shape[1]  # zeros behind: the product does not wrap around
    lags = residual.shape[1]

    def pairs(x: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(x, length, axis=1)) ** 2
        return np.fft.irfft(power.sum(axis=0), length)[:lags]

    product = pairs(np.where(there, residual, 0.0))
    count = np.round(pairs(there.astype(np.float64)))
    if product[0] <= 0:
        return np.concatenate([[1.0], np.zeros(lags - 1)])
    mean = np.where(count > 0, product / np.maximum(count, 1), 0.0)
    return mean / mean[0]


def autocorrelation_time(residual: ArrayLike, mask: ArrayLike | None = None) -> float:
    r"""Integrated autocorrelation time of residuals in samples, at least 1.

    $$ \tau = 1 + 2 \sum_{k=1}^{K} \rho_k $$

    N samples carry as much as N / tau independent ones: a Laplace variance that
    counts them all is too small by the factor tau. The sum ends before the first
    pair $\rho_{2m} + \rho_{2m+1}$ that is not positive, the place from which the
    estimates are mostly noise.

    **Arguments:** `residual` `"clip time"` evenly sampled, `mask` bool of the same
    shape (gaps and padding).
    **Raises:** `ShapeError`.
    **Behaviour:** correlation longer than a clip cannot be seen: tau is then a lower
    bound of about the clip's length. Independent residuals give 1 to 1.3.
    **Source:** initial positive sequence: Geyer 1992, Statist. Sci. 7:473, section
    3.3 (there for reversible chains; here the rule of truncation).

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import autocorrelation_time
    >>> repeated = np.repeat(np.random.default_rng(0).normal(size=(4, 500)), 3, axis=1)
    >>> round(autocorrelation_time(repeated), 1)
    3.0

    ```
    """
    rho = autocorrelation(residual, mask)
    rho = np.append(rho, np.zeros(len(rho) % 2))
    pair = rho[0::2] + rho[1::2]
    ended = np.flatnonzero(pair <= 0)
    kept = pair[: ended[0]] if len(ended) else pair
    return float(max(1.0, 2 * kept.sum() - 1))
