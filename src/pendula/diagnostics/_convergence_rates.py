"""Slopes of differences over step sizes: the order that a sweep shows."""

from __future__ import annotations

import dataclasses

import numpy as np


SPREAD = 0.3  # by which local slopes of one asymptotic range may differ
LARGEST = 0.1  # of the signal: beyond, a difference is no longer asymptotic
FLAT = 0.5  # a slope below is that of a floor
NO_RANGE = "no asymptotic range"


@dataclasses.dataclass(frozen=True)
class Order:
    """A slope of log difference over log h, and the run of steps that shows it.

    `value` is NaN with the `note` "no asymptotic range" where fewer than three
    successive steps agree; `low`, `high` are the smallest and largest h of the run,
    `points` its length, `last` the slope of the last three steps above rounding.
    """

    value: float
    low: float
    high: float
    points: int
    last: float
    note: str = ""


def fit_order(h: np.ndarray, d: np.ndarray, floor: float) -> Order:
    """The slope over the longest run of successive steps with differences between
    `floor` and a tenth of the signal whose local slopes agree within 0.3 and are at
    least 0.5: below, they are those of a floor.

    **Arguments:** `h` `"step"` falling; `d` `"step"` differences over the signal.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = np.log(h), np.log(d)
        local = np.diff(y) / np.diff(x)
    inside = (d > floor) & (d < LARGEST)
    best = (0, 0)
    for first in range(len(h)):
        for stop in range(first + 3, len(h) + 1):
            slopes = local[first : stop - 1]
            flat = slopes.min() < FLAT or np.ptp(slopes) >= SPREAD
            if not inside[first:stop].all() or flat:
                break
            if stop - first >= best[1] - best[0]:  # of equal ones the finer steps
                best = (first, stop)
    above = np.flatnonzero((d > floor) & np.isfinite(d))[-3:]
    last = np.nan
    if len(above) == 3:
        last = float(np.polyfit(x[above], y[above], 1)[0])
    first, stop = best
    if stop == first:
        return Order(np.nan, np.nan, np.nan, 0, last, NO_RANGE)
    value = float(np.polyfit(x[first:stop], y[first:stop], 1)[0])
    low, high = float(h[stop - 1]), float(h[first])
    return Order(value, low, high, stop - first, last)
