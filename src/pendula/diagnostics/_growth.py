"""How the error of a forecast grows with its horizon, and how long it holds."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, ShapeError
from ._bins import place, upper_edges
from ._shapes import aligned


@dataclasses.dataclass(frozen=True)
class Growth:
    """Error against horizon: median and quantiles over forecast starts.

    **Shapes and units:** all `"bin"`. `horizon`: mean horizon of the bin's
    samples, `until`: its last one [time]; `median`, `low`, `high` in the unit of
    the errors (NaN where no start has a sample, infinite where so many starts
    diverged); `count`: starts with a sample in the bin.
    """

    horizon: np.ndarray
    until: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray


def quantile(values: np.ndarray, level: float) -> float:
    """The linear-interpolated quantile, which NaN leaves out and infinite values
    may enter (NumPy's own gives NaN beside infinity)."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan")
    low, high = (np.quantile(values, level, method=m) for m in ("lower", "higher"))
    if np.isfinite(low) and np.isfinite(high):
        return float(np.quantile(values, level))
    return float(high)


def error_growth(
    errors: ArrayLike,
    horizons: ArrayLike,
    bins: int | ArrayLike = 8,
    *,
    level: float = 0.8,
) -> Growth:
    r"""Root mean square error against horizon, over many forecast starts.

    $$ e_{s,b} = \Big( \frac{1}{N} \sum_{t \in b,\,j} \epsilon_{s,t,j}^2
       \Big)^{1/2}, \qquad \text{median and quantiles of } e_{s,b} \text{ over } s $$

    **Arguments:**
    - `errors`: forecast minus truth `"start time obs"` (or `"start time"`); NaN
      where nothing was measured, infinite where the forecast diverged. Channels of
      different units must be scaled before.
    - `horizons`: time since the start `"time"`, or `"start time"`.
    - `bins`: their number (about equally many samples each), or their last
      horizons `"bin"`.
    - `level`: share of the starts between `low` and `high` (0.8: the 10 % and
      90 % quantiles).

    **Raises:** `ShapeError`, `ConfigError`.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import error_growth
    >>> h = np.linspace(0.1, 0.8, 8)
    >>> g = error_growth(np.outer([1.0, 2.0, 3.0], h), h, bins=2)
    >>> print(g.until, g.median.round(2))
    [0.4 0.8] [0.55 1.32]

    ```
    """
    if not 0.0 <= level <= 1.0:
        raise ConfigError(f"level is {level}; a share of the starts lies in [0, 1].")
    errors = np.asarray(errors, np.float64)
    if errors.ndim == 2:
        errors = errors[:, :, None]
    if np.ndim(horizons) == 1:
        horizons = np.broadcast_to(np.asarray(horizons), (len(errors), len(horizons)))  # type: ignore[arg-type]  # one axis: it has a length
    errors, horizons = aligned(
        ("errors", errors, "start time obs"), ("horizons", horizons, "start time")
    )
    edges = upper_edges(horizons, bins)
    where = place(horizons, edges)
    there = ~np.isnan(errors)
    square = np.where(there, errors, 0.0) ** 2
    rows: dict[str, list[float]] = {
        name: [] for name in ("horizon", "median", "low", "high", "count")
    }
    for b in range(len(edges)):
        inside = (where == b) & (horizons <= edges[-1])
        number = (there & inside[:, :, None]).sum(axis=(1, 2))
        total = np.where(inside[:, :, None], square, 0.0).sum(axis=(1, 2))
        rms = np.where(number > 0, np.sqrt(total / np.maximum(number, 1)), np.nan)
        rows["horizon"].append(
            float(horizons[inside].mean()) if inside.any() else float(edges[b])
        )
        rows["median"].append(quantile(rms, 0.5))
        rows["low"].append(quantile(rms, 0.5 - level / 2))
        rows["high"].append(quantile(rms, 0.5 + level / 2))
        rows["count"].append(int((number > 0).sum()))
    return Growth(until=edges, **{name: np.array(row) for name, row in rows.items()})


@dataclasses.dataclass(frozen=True)
class ValidTime:
    """How long each forecast stays within the threshold.

    **Shapes and units:** `times` `"start"` [time]: horizon of the first sample
    above the threshold, or of the last measured one where none is (`censored`
    `"start"` is then True); `median` over the starts; `median_censored`: the median
    is only a lower bound.
    """

    times: np.ndarray
    censored: np.ndarray
    median: float
    median_censored: bool


def valid_time(errors: ArrayLike, ts: ArrayLike, threshold: ArrayLike) -> ValidTime:
    r"""Valid prediction time: when the error first exceeds a threshold.

    $$ T_s = \min \{ t_k : |\epsilon_{s,k,j}| > \theta_j \text{ for some } j \} $$

    **Arguments:** `errors`: `"start time obs"` or `"start time"`, NaN where nothing
    was measured; `ts`: horizons `"time"`; `threshold`: a number or `"obs"`.
    **Raises:** `ShapeError`; `ConfigError` without a forecast, or a threshold that is
    no number.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import valid_time
    >>> t = np.array([0.0, 1.0, 2.0, 3.0])
    >>> v = valid_time([[0.0, 0.1, 0.5, 0.2], [0.0, 0.0, 0.1, 0.1]], t, 0.4)
    >>> print(v.times, v.censored, v.median, v.median_censored)
    [2. 3.] [False  True] 2.5 True

    ```
    """
    errors = np.asarray(errors, np.float64)
    if errors.ndim == 2:
        errors = errors[:, :, None]
    errors, ts = aligned(("errors", errors, "start time obs"), ("ts", ts, "time"))
    limit = np.asarray(threshold, np.float64)
    if limit.ndim and limit.shape != errors.shape[2:]:
        raise ShapeError(
            f"threshold {limit.shape} must be a number or have one entry for each of "
            f"the {errors.shape[2]} channels."
        )
    if np.isnan(limit).any():
        raise ConfigError("a threshold is no number: no error exceeds it. Give one.")
    if not errors.shape[0] or not len(ts):
        raise ConfigError(
            f"errors {errors.shape} hold no forecast. Give at least one start and time."
        )
    above = np.any(np.abs(errors) > limit, axis=2)  # NaN is not above
    measured = np.any(~np.isnan(errors), axis=2)
    censored = ~above.any(axis=1)
    last = len(ts) - 1 - np.argmax(measured[:, ::-1], axis=1)
    index = np.where(censored, last, np.argmax(above, axis=1))
    times = np.where(measured.any(axis=1), ts[index], 0.0)
    order = np.argsort(times, kind="stable")
    middle = order[[(len(order) - 1) // 2, len(order) // 2]]
    return ValidTime(
        times, censored, float(np.median(times)), bool(censored[middle].any())
    )
