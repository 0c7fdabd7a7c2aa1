"""Scores of probabilistic forecasts: how far, how sure, and how often right."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import ConfigError
from .._source import Source
from .._types import AnyArray
from ._intervals import coverage
from ._shapes import aligned


def crps_normal(
    truth: ArrayLike, mean: ArrayLike, sd: ArrayLike
) -> Float[np.ndarray, "..."]:
    r"""Continuous ranked probability score of normal forecasts, value by value.

    $$ \mathrm{CRPS}(F, x) = \int (F(z) - 1_{z \ge x})^2 dz
       = \sigma \Big[ w (2\Phi(w) - 1) + 2\varphi(w) - \tfrac{1}{\sqrt\pi} \Big],
       \quad w = \frac{x - \mu}{\sigma} $$

    **Shapes and units:** all of one shape; the result is in the unit of `truth`.
    `sd` = 0 gives the absolute error.
    **Returns:** lower is better; NaN where any of the three is NaN.
    **Raises:** `ShapeError`; `ConfigError` for a negative `sd`.
    **Source:** Gneiting, Raftery 2007, J. Am. Stat. Assoc. 102, 359-378, equation 21.

    ```python
    >>> from pendula.diagnostics import crps_normal
    >>> crps_normal([0.0, 2.0], [0.0, 0.0], [1.0, 0.0]).round(4).tolist()
    [0.2337, 2.0]

    ```
    """
    truth, mean, sd = _normal(truth, mean, sd)
    w, density, below = _standard(truth, mean, sd)
    spread = w * (2 * below - 1) + 2 * density - 1 / np.sqrt(np.pi)
    return np.where(sd == 0, np.abs(truth - mean), sd * spread)


def crps_samples(truth: ArrayLike, samples: ArrayLike) -> Float[np.ndarray, "..."]:
    r"""The same of forecasts given by samples, value by value.

    $$ \mathrm{CRPS} = \overline{|X - x|} - \tfrac12 \overline{|X - X'|} $$

    over all pairs of different samples (unbiased in their number, so that it may fall
    below 0 for few).

    **Shapes and units:** `samples` have one leading axis more than `truth`.
    **Raises:** `ShapeError`; `ConfigError` for fewer than two samples.
    **Source:** Gneiting, Raftery 2007, equation 20.

    ```python
    >>> from pendula.diagnostics import crps_samples
    >>> crps_samples([1.0], [[0.0], [2.0]]).tolist()
    [0.0]

    ```
    """
    truth = np.asarray(truth, np.float64)
    axes = " ".join(f"axis{i}" for i in range(truth.ndim))
    truth, samples = aligned(
        ("truth", truth, axes), ("samples", samples, f"sample {axes}".strip())
    )
    number = len(samples)
    if number < 2:
        raise ConfigError(f"{number} sample(s); a score from samples needs two.")
    ordered = np.sort(samples, axis=0)
    # the sum of |X - X'| over pairs, from the ranks: no table of all pairs
    weight = 2.0 * np.arange(1, number + 1) - number - 1
    pairs = np.tensordot(weight, ordered, axes=1) / (number * (number - 1) / 2)
    return np.asarray(np.abs(samples - truth).mean(axis=0) - 0.5 * pairs)


def log_score(
    truth: ArrayLike, mean: ArrayLike, sd: ArrayLike
) -> Float[np.ndarray, "..."]:
    r"""Logarithm of the normal density that a forecast gave to what came, by value.

    $$ \log p(x) = -\tfrac12 w^2 - \log \sigma - \tfrac12 \log 2\pi $$

    **Returns:** higher is better; natural logarithm, of one over the unit of `truth`;
    minus infinity for a miss with `sd` = 0, NaN where any of the three is NaN.
    **Raises:** `ShapeError`; `ConfigError` for a negative `sd`.
    **Source:** Gneiting, Raftery 2007, section 4.1 (logarithmic score).

    ```python
    >>> from pendula.diagnostics import log_score
    >>> round(float(log_score(0.0, 0.0, 1.0)), 4)
    -0.9189

    ```
    """
    truth, mean, sd = _normal(truth, mean, sd)
    w, _, _ = _standard(truth, mean, sd)
    with np.errstate(divide="ignore"):
        score = -0.5 * w**2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    return np.where((sd == 0) & (np.abs(truth - mean) > 0), -np.inf, score)


@dataclasses.dataclass(frozen=True)
class Scores:
    """Means over all measured values: `crps` and `width` of the central interval in
    the unit of the data, `log_score`, `coverage` of the interval, and the `count` of
    values."""

    source: ClassVar[Source] = Source("Gneiting2007", "equations 20 and 21")

    crps: float
    log_score: float
    coverage: float
    width: float
    count: int

    @classmethod
    def normal(
        cls, truth: ArrayLike, mean: ArrayLike, sd: ArrayLike, level: float = 0.9
    ) -> Scores:
        """Of normal forecasts; values that were not measured (NaN) are left out.

        **Raises:** `ShapeError`; `ConfigError` for a negative `sd`, a level outside
        (0, 1), or nothing measured.

        ```python
        >>> from pendula.diagnostics import Scores
        >>> s = Scores.normal([0.0, 5.0, float("nan")], [0.0] * 3, [1.0] * 3)
        >>> print(round(s.crps, 3), s.coverage, round(s.width, 2), s.count)
        2.335 0.5 3.29 2

        ```
        """
        from scipy.special import ndtri  # half a second: only when it is needed

        if not 0 < level < 1:
            raise ConfigError(f"level is {level}; it must lie between 0 and 1.")
        truth, mean, sd = _normal(truth, mean, sd)
        there = ~np.isnan(truth)
        if not there.any():
            raise ConfigError("nothing was measured: there is nothing to score.")
        truth, mean, sd = truth[there], mean[there], sd[there]
        half = float(ndtri(0.5 + level / 2)) * sd
        return cls(
            float(crps_normal(truth, mean, sd).mean()),
            float(log_score(truth, mean, sd).mean()),
            coverage(truth, mean - half, mean + half),
            float(2 * half.mean()),
            int(there.sum()),
        )


def _normal(
    truth: ArrayLike, mean: ArrayLike, sd: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = np.asarray(truth, np.float64)
    axes = " ".join(f"axis{i}" for i in range(truth.ndim))
    truth, mean, sd = aligned(
        ("truth", truth, axes), ("mean", mean, axes), ("sd", sd, axes)
    )
    if np.any(sd < 0):
        raise ConfigError(f"sd is {sd[sd < 0].flat[0]:g}; it must be at least 0.")
    return truth, mean, sd


def _standard(
    truth: AnyArray, mean: AnyArray, sd: AnyArray
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Scaled error, standard normal density and distribution there."""
    from scipy.special import ndtr  # half a second: only when it is needed

    w = (truth - mean) / np.where(sd > 0, sd, 1.0)
    return w, np.exp(-0.5 * w**2) / np.sqrt(2 * np.pi), ndtr(w)
