"""How long a chip works, and how often it must be programmed anew."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import positive
from .._columns import columns
from .._errors import ConfigError
from ._monte_carlo import Metric, monte_carlo
from ._relaxing import HOUR
from ._twin import AnalogTwin, AnalogWarning, Level


TIMES = tuple(float(HOUR * 10.0**p) for p in np.arange(-1.0, 4.01, 0.5))
"""0.1 to 10 000 hours, in seconds."""


@dataclasses.dataclass(frozen=True)
class Retention:
    """The metric over time after programming.

    `times` `"time"` in seconds; `values` `"time instance"`; `digital`: without errors;
    `drop`: what may be lost; `failure`: seconds until the mean over chips has lost so
    much, linear in the logarithm of time between readings (in time itself after one at
    0); 0 where it is lost from the start, infinite where it never is. `print` shows
    the readings and when it fails.
    """

    times: np.ndarray
    values: np.ndarray
    digital: float
    drop: float
    failure: float

    def __str__(self) -> str:
        """A table of what is lost, and when it is too much."""
        lost = self.digital - self.values
        many = lost.shape[1] > 1
        rows = [
            [f"{t / HOUR:.4g}", f"{row.mean():.4g}", f"{row.std(ddof=1):.4g}"][
                : 2 + many
            ]
            for t, row in zip(self.times, lost, strict=True)
        ]
        head = ["hours", "lost", "std"][: 2 + many]
        what = f"{self.drop:g} of {self.digital:.4g} without errors"
        if self.failure == 0.0:
            text = f"{what} is lost from the start"
        elif np.isinf(self.failure):
            text = f"{what} is not lost within {self.times[-1] / HOUR:.4g} hours"
        else:
            text = f"{what} is lost after {self.failure / HOUR:.3g} hours"
        return f"{columns(head, rows)}\n{text}"


def time_to_failure(
    twin: AnalogTwin,
    metric: Metric,
    data: Any,
    drop: float,
    *,
    key: PRNGKeyArray,
    n: int = 20,
    times: Any = TIMES,
    level: Level = None,
    batch_size: int | None = None,
) -> Retention:
    """When the metric, larger being better, has lost `drop` against the digital model.

    **Arguments:** `times`: increasing, in seconds, of the readings; the chips are the
    same at all of them; others as for `monte_carlo`.
    **Raises:** `ConfigError`.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import HOUR, RangeNoise, Relaxing, time_to_failure
    >>> from pendula.hardware import to_analog
    >>> net = eqx.nn.Linear(1, 1, use_bias=False, key=jax.random.key(0))
    >>> device = Relaxing(RangeNoise(default_level=0.0), 0.1, 0.0, over_program=False)
    >>> kept = lambda chip, _: jnp.abs(chip.weight[0, 0] / net.weight[0, 0])
    >>> found = time_to_failure(to_analog(net, device), kept, None, 0.2,
    ...                         key=jax.random.key(1), n=2)
    >>> 1.5 < found.failure / HOUR < 1.8  # two decades of a minute
    True

    ```
    """
    times = _increasing("times", times, 2)
    positive("time_to_failure", drop=drop)
    levels = [twin.device.default_level if level is None else level]
    chips: list[np.ndarray] = []
    digital = 0.0
    for t in times:
        found = monte_carlo(
            twin, metric, data, key, n, levels, t=float(t), batch_size=batch_size
        )
        chips.append(found.values[0])
        digital = found.digital
    values = np.stack(chips)
    failure = _crossing(times, digital - values.mean(axis=1), drop)
    return Retention(times, values, digital, drop, failure)


def _increasing(name: str, seconds: Any, least: int) -> np.ndarray:
    """Increasing numbers of seconds, some of them at least."""
    found = np.asarray(seconds, np.float64)
    rising = found.ndim == 1 and found.size >= least and (np.diff(found) > 0).all()
    if not (rising and np.isfinite(found).all() and found[0] >= 0.0):
        raise ConfigError(
            f"{name} must be at least {least} increasing numbers of seconds, finite "
            "and not below 0."
        )
    return found


def _crossing(times: np.ndarray, lost: np.ndarray, drop: float) -> float:
    """Where a loss first exceeds what may be lost, or is no number."""
    over = np.flatnonzero(~(lost <= drop))
    if not over.size:
        return float("inf")
    k = int(over[0])
    if k == 0:
        return 0.0
    if not np.isfinite(lost[k]):
        return float(times[k - 1])
    share = (drop - lost[k - 1]) / (lost[k] - lost[k - 1])
    if times[k - 1] == 0.0:  # which has no logarithm
        return float(share * times[k])
    low, high = np.log(times[k - 1]), np.log(times[k])
    return float(np.exp(low + share * (high - low)))


def refresh(
    twin: AnalogTwin,
    metric: Metric,
    data: Any,
    *,
    key: PRNGKeyArray,
    periods: Any = TIMES,
    drop: float = 0.01,
    n: int = 20,
    level: Level = None,
    batch_size: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[float, np.ndarray]:
    """The longest period of programming anew that keeps the metric within `drop`.

    A chip is programmed every `period` seconds with fresh errors; one that is
    programmed anew is as good as another chip. The mean over `n` chips is compared with
    the digital model at the end of each period. What is programmed beyond its target
    may be worse at first than later on: a period counts only where all shorter ones do.

    **Arguments:** `periods`: increasing, in seconds; others as for `time_to_failure`.
    **Returns:** the period in seconds (0 where none does, the longest given where all
    do), and the mean loss at each of `periods`.
    **Raises:** `ConfigError`. **Warns:** `AnalogWarning` where programming anew cannot
    help: chips lose more than `drop` at the end of the shortest period.
    """
    periods = _increasing("periods", periods, 1)
    positive("refresh", drop=drop)
    levels = [twin.device.default_level if level is None else level]
    lost = []
    for period in periods:
        found = monte_carlo(
            twin, metric, data, key, n, levels, t=float(period), batch_size=batch_size
        )
        lost.append(float(found.digital - found.mean[0]))
        tell(f"every {period:.3g} s: {lost[-1]:.4g} lost")
    if not lost[0] <= drop:
        warnings.warn(
            f"no period keeps the loss within {drop:g}: chips that are "
            f"{periods[0]:.3g} s old lose {lost[0]:.3g}. Programming anew cannot help: "
            "train for the errors (robust_recipe), program more exactly (WriteVerify), "
            "or allow a larger drop.",
            AnalogWarning,
            stacklevel=2,
        )
    held = int(np.cumprod(np.asarray(lost) <= drop).sum())
    return float(periods[held - 1]) if held else 0.0, np.asarray(lost)
