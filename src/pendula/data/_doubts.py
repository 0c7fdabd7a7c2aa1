"""What in the values of a channel looks like no motion: told, never mended."""

from __future__ import annotations

import numpy as np

from ._sampling import GAP
from ._trajectories import Trajectories


FAR = 5.0  # times the range of the others, with nothing between: no part of a motion
QUARTER = 0.25  # of the values at either end may be such ones, where all are the same
FEW = 0.05  # of the values, where they differ
FEWEST = 20  # values, from which a range can be told
TURN = 0.75  # of a whole turn from one sample to the next: it is counted from 0 again
JUMP = 3.0  # times all other steps: no motion goes on there
SHORTEST = 10  # samples of a trial, on average
HELD = 0.9  # of the samples keep the value before: it is set, not measured
UNLIKE = 3.0  # jumps differ by so much: those of a coarse instrument are alike


def doubts(data: Trajectories, channel: int) -> list[str]:
    """What a reader of the data should look at, a sentence each."""
    series = []
    for i in range(data.num):
        there = np.flatnonzero(data.mask[i, :, channel])
        series.append((data.ts[i, there], data.ys[i, there, channel]))
    values = [y for _, y in series]
    # differences of the largest numbers there are overflow to infinity, rightly so
    with np.errstate(over="ignore"):
        found = [_strays(values), _is_set(values, data.names[channel])]
        if data.angle[channel]:
            found.append(_turns(series))
    return [text for text in found if text]


def _strays(series: list[np.ndarray]) -> str:
    """Few values far from all others: a code for missing samples, or a wrong one. A
    record may begin or end there once: a motion that runs away from its start."""
    values = np.sort(np.concatenate(series))
    if len(values) < FEWEST:
        return ""
    begin = int(QUARTER * len(values))
    end = len(values) - 1 - begin
    low, high = values[begin], values[end]
    if low == high:
        return ""
    gap = np.diff(values)
    below = np.flatnonzero(gap > FAR * (high - values[1:]))
    above = np.flatnonzero(gap > FAR * (values[:-1] - low))
    begin = int(below[below < begin].max(initial=-1)) + 1
    end = int(above[above >= end].min(initial=len(values) - 1))
    low, high = values[begin], values[end]
    stray = np.concatenate([values[:begin], values[end + 1 :]])
    inside = any(((y[1:-1] < low) | (y[1:-1] > high)).any() for y in series)
    alike = inside and stray[0] == stray[-1]
    if not inside or not (alike or len(stray) <= FEW * len(values)):
        return ""
    span = f"{stray[0]:g}" if alike else f"{stray[0]:g} to {stray[-1]:g}"
    verb = "lies" if len(stray) == 1 else "lie"
    return (
        f"{len(stray)} of {len(values)} values ({span}) {verb} far from all others "
        f"({low:g} to {high:g}). Leave the cell empty where such a value marks a "
        "missing sample or is wrong: the spread that errors are held against counts it."
    )


def _is_set(series: list[np.ndarray], name: str) -> str:
    """A channel that is held and moved now and then, as a valve or a voltage is."""
    jumps = np.abs(np.concatenate([np.diff(y) for y in series]))
    moved = jumps[jumps > 0]
    if len(jumps) < FEWEST or len(moved) < 3 or len(moved) > (1 - HELD) * len(jumps):
        return ""
    if moved.max() < UNLIKE * moved.min():
        return ""
    return (
        "it keeps its value and then jumps, as what somebody sets does. A model would "
        f"have to foretell it: if it drives the others, give --inputs {name}."
    )


def _turns(series: list[tuple[np.ndarray, np.ndarray]]) -> str:
    """An angle that stays within a turn and jumps over nearly all of it."""
    every = np.concatenate([y for _, y in series])
    turn = 2 * np.pi
    if not len(every) or np.ptp(every) > 1.001 * turn:
        return ""
    jumps = 0
    for t, y in series:
        step = np.diff(t)
        near = step <= GAP * np.median(step) if len(step) else step > 0
        jumps += int((near & (np.abs(np.diff(y)) > TURN * turn)).sum())
    if not jumps:
        return ""
    times = "once" if jumps == 1 else f"{jumps} times"
    return (
        f"the angle jumps by nearly a whole turn {times}, as one that is counted from "
        "0 again. A model of motion needs it without jumps: unwrap it (numpy.unwrap)."
    )


def tells_trials(
    values: np.ndarray, ts: np.ndarray, channels: list[np.ndarray]
) -> bool:
    """Whether a column `"time"` stays the same over one stretch for each of its values,
    and times or channels jump from stretch to stretch as nowhere within."""
    change = np.flatnonzero(values[1:] != values[:-1])
    if not 0 < len(change) <= len(values) / SHORTEST:
        return False
    if len(np.unique(values)) != len(change) + 1:
        return False
    jumps = np.zeros(len(change), bool)
    for y in (ts, *channels):
        step = np.nan_to_num(np.abs(np.diff(y)))
        usual = np.delete(step, change).max(initial=0.0)
        jumps |= (usual > 0) & (step[change] > JUMP * usual)
    return bool(jumps.mean() >= 0.5)
