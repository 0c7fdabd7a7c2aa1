"""Is a channel a state of its own, a position with a hidden rate, or a rate?"""

from __future__ import annotations

import itertools
import warnings
from typing import NamedTuple

import numpy as np

from .._errors import DataWarning
from ._decisions import Decision
from ._noise import ORDERS, difference, noise_estimate
from ._period import dominant_period
from ._scales import time_scales
from ._trajectories import Trajectories


RATE_CORRELATION = 0.98  # of increments with the integrated rate
RATE_SLOPE = 0.05  # how far from 1 the slope may lie
RATE_NAMES = ("d{}", "d{}_dt", "{}_dot", "{}dot", "v_{}")
OFFSET = 1.0  # of its own motion: a rate with more is none, a sensor has a small one
NAMED = (0.8, 0.25)  # correlation and slope of a rate that its name tells
STEPS_PER_PERIOD = 12  # the coarsest sampling at which delays are compared
GAIN = 0.5  # two delays must halve the error of one
EXPLAINED = 0.05  # of the change: one delay leaves so little that it suffices
SMOOTH = 0.5  # of the noise that differences of the position would have
MADE = 0.8  # of a rate's fine structure comes of the position's: it was computed
WHITE = 0.5  # of the noise at low orders of differences is left at the highest
AROUND = 16  # samples on either side from which a rate may have been computed
MAX_ROWS = 2000
MAX_FEATURES = 60


class ChannelKind(NamedTuple):
    """What a channel is: `kind` `"first"` (a state of its own), `"second"` (a
    position whose rate is not measured), `"position"` or `"rate"` (both measured;
    `partner` is the other one)."""

    kind: str
    partner: str | None = None


def decide_order(
    data: Trajectories,
) -> tuple[dict[str, ChannelKind], list[Decision]]:
    """The kind of every channel (engineering conventions 8.1, point 6).

    A channel is the rate of another when its integral over a few samples
    correlates with the other's increments above 0.98 with a slope of 1 within 5 %; 0.8
    and 25 % do where it is called so (`dq` or `q_dot` beside `q`): rates may be noisy.
    Any other channel is a position with a hidden rate when a model that sees two
    delays halves the error of one that sees one delay. Both models predict the
    channel's change over a twelfth of a period (or a half, quarter or eighth of
    that) and are linear in the delays and, where the data are enough, polynomials
    in the present values, so that a curved first-order law is not taken for a
    second-order one.

    **Returns:** channel -> `ChannelKind`, and the decisions for the report.
    **Warns:** `DataWarning` for a measured rate that looks smoothed: its noise is
    less than half of what differences of the position would have, and is made of the
    position's by a linear filter; that of a sensor is its own. Also for a rate in
    another unit of time than that of the data.
    """
    noise, period = noise_estimate(data), dominant_period(data)
    pairs, decisions = _pairs(data, noise, period)
    steps = _steps(data, period)
    kinds: dict[str, ChannelKind] = {}
    for position, rate in pairs.items():
        kinds[position] = ChannelKind("position", rate)
        kinds[rate] = ChannelKind("rate", position)
    for j, name in enumerate(data.names):
        if name in kinds:
            continue
        gain = delay_gain(data, j, steps)
        if gain < GAIN:
            kinds[name] = ChannelKind("second")
            why = f"a second delay cuts the error to {gain:.2g} of that of one delay"
            choice = f"{name}: position with a rate that is not measured"
        else:
            kinds[name] = ChannelKind("first")
            why = f"a second delay leaves {min(gain, 1):.2f} of the error of one delay"
            choice = f"{name}: a state of its own"
        if not np.isfinite(gain):
            why = "the record is too short to compare delays"
        decisions.append(Decision("order", choice, why, "--order first|second"))
    return {name: kinds[name] for name in data.names}, decisions


def _pairs(
    data: Trajectories, noise: np.ndarray, period: np.ndarray
) -> tuple[dict[str, str], list[Decision]]:
    """position -> rate, best match first, each channel in one pair."""
    found = []
    for i, j in itertools.permutations(range(data.dim), 2):
        match = rate_match(data, i, j, period)
        said = data.names[j] in [form.format(data.names[i]) for form in RATE_NAMES]
        least, most = NAMED if said else (RATE_CORRELATION, RATE_SLOPE)
        if match[0] > least and abs(match[1] - 1) < most:
            found.append((match[0], i, j))
        elif match[0] > RATE_CORRELATION and _other_clock(data, i, j):
            warnings.warn(
                f'channel "{data.names[j]}" follows the rate of "{data.names[i]}", but '
                f"is in {data.units[j]}, and times are in {data.time_unit}: it counts "
                f"as a quantity of its own. Give it in {data.units[i]}/"
                f"{data.time_unit}, or the times in its unit.",
                DataWarning,
                stacklevel=4,
            )
    pairs: dict[str, str] = {}
    decisions = []
    for correlation, i, j in sorted(found, reverse=True):
        position, rate = data.names[i], data.names[j]
        used = {*pairs, *pairs.values()}
        if position in used or rate in used:
            continue
        pairs[position] = rate
        why = f"its integral follows {position} (correlation {correlation:.4f})"
        step = float(np.median(np.diff(data.ts[0, : data.lengths[0]])))
        differenced = np.sqrt(2) * noise[i] / step
        # values of a simulation are smooth by themselves
        measured = "system" not in data.origin and noise[i] > 1e-9 * _spread(data, i)
        if measured and noise[j] < SMOOTH * differenced:
            share = noise[j] / differenced
            why += f"; its noise is {share:.2g} of that of differences, so it is "
            computed = _is_computed(data, i, j)
            why += "smooth" if computed else "a sensor's own, or smoothed unseen"
            if computed:
                warnings.warn(
                    f'channel "{rate}" looks smoothed: its noise is {share:.2g} of '
                    f'what differences of "{position}" have, and made of it. If later '
                    "samples were used to smooth it, training on it leaks the future. "
                    f'Train on "{position}" alone with --channels to be safe.',
                    DataWarning,
                    stacklevel=4,
                )
        choice = f"{rate} is the rate of {position}"
        decisions.append(Decision("order", choice, why, "--order or --channels"))
    return pairs, decisions


def _other_clock(data: Trajectories, i: int, j: int) -> bool:
    """Whether the unit of channel j is that of a rate of channel i in another unit of
    time than that of the data."""
    of, _, clock = data.units[j].rpartition("/")
    return bool(of) and of == data.units[i] and clock != data.time_unit


def _spread(data: Trajectories, channel: int) -> float:
    return float(data.ys[:, :, channel][data.mask[:, :, channel]].std())


def _is_computed(data: Trajectories, i: int, j: int) -> bool:
    """Whether channel j was computed from channel i: what differences leave of it is a
    weighted sum of what they leave of the other at nearby samples, and that is noise.
    Of an even grid this is exact for every linear filter."""
    order = ORDERS[-1]
    there = [
        np.flatnonzero(data.mask[k, :n, i] & data.mask[k, :n, j])
        for k, n in enumerate(data.lengths)
    ]
    around = min(AROUND, sum(map(len, there)) // 12)
    width = 2 * around + 1
    rough, seen, left = [], [], []
    for k, at in enumerate(there):
        if len(at) < width + order:
            continue
        t, q, v = data.ts[k, at], data.ys[k, at, i], data.ys[k, at, j]
        fine = difference(t, q, order)
        rough.append(difference(t, q, ORDERS[0]))
        seen.append(np.lib.stride_tricks.sliding_window_view(fine, width))
        left.append(difference(t, v, order)[around : len(fine) - around])
    if sum(map(len, left)) < 2 * width:
        return False
    x, y = np.concatenate(seen), np.concatenate(left)
    size = lambda v: float(np.sqrt(np.mean(v**2)))
    if size(x) < WHITE * size(np.concatenate(rough)):
        return False
    rest = size(y - x @ np.linalg.lstsq(x, y, rcond=None)[0])
    return rest**2 * len(y) / (len(y) - width) < (1 - MADE) * size(y) ** 2


def rate_match(
    data: Trajectories, i: int, j: int, period: np.ndarray
) -> tuple[float, float]:
    """Correlation and slope of channel i's increments against channel j's integral
    (trapezoids) over the same samples; the best over several spans, of those over
    which they drift apart by less than they move."""
    best = (0.0, 0.0)
    steps = np.median(np.diff(data.ts[0, : data.lengths[0]]))
    # noise hides the rise over a few samples, and over a quarter of a period least
    longest = 16.0 if np.isnan(period[i]) else period[i] / steps / 4
    most = max(1, int(longest))
    for span in sorted({most, *(2**k for k in range(most.bit_length()))}):
        rise, area = [], []
        for k, n in enumerate(data.lengths):
            there = np.flatnonzero(data.mask[k, :n, i] & data.mask[k, :n, j])
            if len(there) <= span + 1:
                continue
            t, q, v = data.ts[k, there], data.ys[k, there, i], data.ys[k, there, j]
            sums = np.cumsum(0.5 * (v[1:] + v[:-1]) * np.diff(t))
            sums = np.concatenate([[0.0], sums])
            rise.append(q[span:] - q[:-span])
            area.append(sums[span:] - sums[:-span])
        if sum(map(len, rise)) < 5:
            return best
        a, b = np.concatenate(rise), np.concatenate(area)
        offset = abs(float(a.mean() - b.mean()))
        a, b = a - a.mean(), b - b.mean()
        if offset > OFFSET * b.std():
            continue
        size = float(np.sqrt(np.sum(a**2) * np.sum(b**2)))
        if size == 0:
            return best
        correlation = float(np.sum(a * b)) / size
        if correlation > best[0]:
            best = (correlation, float(np.sum(a * b) / np.sum(b**2)))
    return best


def delay_gain(data: Trajectories, channel: int, steps: list[float]) -> float:
    """Error of predicting the channel's next value from two delays over that from
    one, the smallest over the sampling steps; 1 where one delay leaves less than
    5 % of the change; infinite when the record is too short."""
    best = np.inf
    for step in steps:
        now, before, inputs, target = _delays(data, channel, step)
        if len(target) < 8:
            continue
        one = _features(now, inputs, len(target))
        two = np.concatenate([one, before], axis=1)
        if len(target) < 2 * two.shape[1]:
            continue
        change = float(np.sqrt(np.mean(target**2)))
        errors = [_residual(x, target) for x in (one, two)]
        suffices = errors[0] <= max(EXPLAINED * change, 1e-12)
        best = min(best, 1.0 if suffices else errors[1] / errors[0])
    return best


def _steps(data: Trajectories, period: np.ndarray) -> list[float]:
    """Time steps at which delays are compared: a twelfth of the period and its
    halves, not below the sampling. Without a period, that of a sine with the
    data's spread and rate, or rate and acceleration (which do not grow when an
    angle turns over)."""
    finest = np.median([np.median(np.diff(_times(data, i))) for i in range(data.num)])
    known = period[~np.isnan(period)]
    lengths = [float(known.min())] if len(known) else []
    lengths = lengths or [2 * np.pi * scale for scale in time_scales(data)]
    coarse = [length / STEPS_PER_PERIOD for length in lengths]
    steps = sorted({c / 2**k for c in coarse for k in range(4) if c / 2**k >= finest})
    return steps or [float(finest)]


def _times(data: Trajectories, i: int) -> np.ndarray:
    return data.ts[i, : data.lengths[i]]


def _delays(
    data: Trajectories, channel: int, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Present values, their previous changes, inputs, and the channel's change to
    be predicted. Channels are scaled, angles become sine and cosine; channels that
    are missing in over half of the rows are left out."""
    often = data.mask.sum(axis=(0, 1)) >= 0.5 * data.lengths.sum()
    used = [channel, *(j for j in np.flatnonzero(often) if j != channel)]
    angle = np.array([data.angle[j] for j in used])
    valid = data.mask[:, :, used]
    count = np.maximum(valid.sum(axis=(0, 1)), 1)
    mean = data.ys[:, :, used].sum(axis=(0, 1)) / count
    square = np.where(valid, (data.ys[:, :, used] - mean) ** 2, 0.0)
    spread = np.sqrt(square.sum(axis=(0, 1)) / count)
    spread = np.where(spread > 0, spread, 1.0)
    now, before, inputs, target = [], [], [], []
    for k, n in enumerate(data.lengths):
        t, y = _times(data, k), (data.ys[k, :n][:, used] - mean) / spread
        there = np.asarray(valid[k, :n].all(axis=1))
        plain, turned = y[:, ~angle], data.ys[k, :n][:, used][:, angle]
        sine, cosine = np.sin(turned), np.cos(turned)
        thin = max(1, round(step / float(np.median(np.diff(t)))))
        thin = min(thin, max(1, (n - 1) // 8))
        at = np.arange(thin, n - thin, max(1, thin // 4))
        at = at[there[at] & there[at - thin] & there[at + thin]]
        ahead, back = t[at + thin] - t[at], t[at] - t[at - thin]
        # an uneven grid: changes are scaled to the usual step
        usual = thin * float(np.median(np.diff(t)))
        now.append(np.concatenate([plain[at], sine[at], cosine[at]], axis=1))
        before.append((y[at] - y[at - thin]) * (usual / back)[:, None])
        target.append((y[at + thin, 0] - y[at, 0]) * usual / ahead)
        us = np.zeros((n, 0)) if data.us is None else data.us[k, :n]
        inputs.append(np.concatenate([us[at], us[at + thin]], axis=1))
    every = max(1, -(-sum(map(len, target)) // MAX_ROWS))
    return (
        np.concatenate(now)[::every],
        np.concatenate(before)[::every],
        np.concatenate(inputs)[::every],
        np.concatenate(target)[::every],
    )


def _features(now: np.ndarray, inputs: np.ndarray, rows: int) -> np.ndarray:
    """Constant, present values, inputs, and the values' products up to degree five
    as far as an eighth of the rows allows."""
    dim = now.shape[1]
    columns = [np.ones(len(now)), *now.T, *inputs.T]
    for degree in (2, 3, 4, 5):
        combos = list(itertools.combinations_with_replacement(range(dim), degree))
        if len(columns) + len(combos) > min(rows / 8, MAX_FEATURES):
            break
        columns += [np.multiply.reduce(now[:, list(combo)], axis=1) for combo in combos]
    return np.stack(columns, axis=1)


def _residual(features: np.ndarray, target: np.ndarray) -> float:
    """Root mean square residual of least squares, degrees of freedom taken off: the
    last diagonal entry of the triangular factor of both side by side."""
    scale = np.sqrt(np.mean(features**2, axis=0))
    both = np.column_stack([features / np.where(scale > 0, scale, 1.0), target])
    free = max(1, len(target) - features.shape[1])
    triangle = np.asarray(np.linalg.qr(both, mode="r"))
    return float(abs(triangle[-1, -1]) / np.sqrt(free))
