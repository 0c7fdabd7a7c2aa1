"""Choosing a baseline's settings within its own training data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._errors import DataError
from ..data import Trajectories
from ._baseline import AbstractFittedBaseline


SHARE = 0.75  # of the trajectories, or of the time, that settings are fitted on
MAX_TASKS = 6
FEWEST = 5  # samples of every channel that a trajectory needs


class Task(NamedTuple):
    """A forecast that can be scored: trajectory, and index of its first sample."""

    row: int
    start: int


def usable(train: Trajectories) -> Trajectories:
    """The trajectories that show every channel at least five times.

    **Raises:** `DataError` when there is none.
    """
    rows = (train.mask.sum(axis=1) >= FEWEST).all(axis=1)
    if not rows.any():
        raise DataError(
            f"no trajectory shows every channel at least {FEWEST} times; an equation "
            "cannot be fitted. Use the baselines persistence and mean, or more data."
        )
    return train if rows.all() else train.select(np.flatnonzero(rows))


def hold_out(train: Trajectories) -> tuple[Trajectories, np.ndarray, list[Task]]:
    """A part of the training data to fit on, how many samples of each trajectory
    that is `"traj"`, and forecasts of the rest to score.

    With four trajectories or more the last quarter of them is held out and forecast
    from their first quarter on; with fewer the last quarter of each in time. No task
    when the data are too short to spare any.
    """
    lengths = train.lengths
    if train.num >= 4:
        cut = int(np.floor(SHARE * train.num))
        rows = np.arange(cut, train.num)[:MAX_TASKS]
        tasks = [Task(int(i), int(lengths[i] * (1 - SHARE))) for i in rows]
        part = train.select(np.arange(cut))
        ends = np.where(np.arange(train.num) < cut, lengths, 0)
    else:
        ends = np.floor(SHARE * lengths).astype(int)
        tasks = [
            Task(i, int(end + share * (n - end)))
            for i, (end, n) in enumerate(zip(ends, lengths, strict=True))
            for share in (0.0, 0.5)
        ]
        if (ends < FEWEST).any():
            return train, lengths, []
        part = train.gather([np.arange(end) for end in ends], "first three quarters")
    tasks = [
        task
        for task in tasks
        if task.start >= FEWEST
        and train.mask[task.row, task.start :].any()
        and train.mask[task.row, : task.start].any(axis=0).all()
    ]
    if not tasks or not (part.mask.sum(axis=1) >= FEWEST).all():
        return train, lengths, []
    return part, ends, tasks


def held_out_error(
    made: AbstractFittedBaseline,
    scale: np.ndarray,
    train: Trajectories,
    tasks: list[Task],
) -> float:
    """Root mean square over all tasks of the errors in units of `scale` `"dim"`; 0
    without tasks."""
    total, count = 0.0, 0
    for row, start in tasks:
        n = train.lengths[row]
        us = None if train.us is None else train.us[row]
        guess = made.forecast(
            train.ts[row, :start],
            train.ys[row, :start],
            train.mask[row, :start],
            train.ts[row, start:n],
            None if us is None else us[start:n],
            None if us is None else us[:start],
        )
        mask = train.mask[row, start:n]
        error = np.where(mask, guess - train.ys[row, start:n], 0.0) / scale
        total, count = total + float(np.sum(error**2)), count + int(mask.sum())
    return float(np.sqrt(total / max(count, 1)))
