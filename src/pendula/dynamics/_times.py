"""Times of a rollout: steps that are not too long, and which times are the same."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
from jaxtyping import Float

from .._errors import DataWarning
from ..data import Trajectories, input_path


LONGEST = 1.5  # steps of the training that one step of a rollout may be
GAP = 2.5  # the same in the training itself: samples may be uneven


def divided(
    ts: Float[np.ndarray, "time"], longest: float
) -> tuple[Float[np.ndarray, "grid"], np.ndarray]:
    """Times with more between those that are further apart than `longest`, and which
    of them are the given ones."""
    parts = np.maximum(1, np.ceil(np.diff(ts) / longest - 1e-3)).astype(int)
    where = np.concatenate([[0], np.cumsum(parts)])
    return np.interp(np.arange(where[-1] + 1), where, ts), where


def near(ts: Float[np.ndarray, "time"], step: float) -> float:
    """How far two times may be apart and count as one: little of a `step`, whatever
    the unit of time, and the rounding of `ts`, however far they are from 0."""
    return max(1e-6 * step, 4.0 * float(np.spacing(np.abs(ts).max())))


def resampled(data: Trajectories, first: int, grid: np.ndarray) -> Trajectories:
    """One trajectory on `grid` (which contains its samples or goes beyond them):
    observations where measured, inputs along their path."""
    n = int(data.lengths[0])
    ts = data.ts[0, first:n]
    ys = np.full((len(grid), data.dim), np.nan)
    at = np.minimum(np.searchsorted(ts, grid), len(ts) - 1)
    hit = ts[at] == grid
    values = np.where(data.mask[0, first:n], data.ys[0, first:n], np.nan)
    ys[hit] = values[at[hit]]
    us = None
    if data.us is not None:
        us = inputs_at(ts, data.us[0, first:n], data.input_kind, grid)
    out = Trajectories.from_arrays(grid, ys, us)
    return dataclasses.replace(
        data, ts=out.ts, ys=out.ys, mask=out.mask, us=out.us, labels=data.labels
    )


def inputs_at(
    ts: Float[np.ndarray, "time"],
    us: Float[np.ndarray, "time ctrl"],
    kind: str,
    grid: Float[np.ndarray, "grid"],
) -> Float[np.ndarray, "grid ctrl"]:
    """Inputs given at `ts` along their path, on a grid within it or beyond."""
    path = input_path(ts, us, kind)
    k = np.clip(np.searchsorted(ts, grid, side="right") - 1, 0, len(path) - 1)
    powers = (grid - ts[k])[:, None] ** np.arange(4)
    out = np.einsum("kp,kpj->kj", powers, path[k])
    at = np.minimum(np.searchsorted(ts, grid), len(ts) - 1)
    hit = ts[at] == grid
    out[hit] = us[at[hit]]  # held inputs jump at a sample
    return out


def filled(
    data: Trajectories, longest: float | Float[np.ndarray, "record"]
) -> Trajectories:
    """Times without observations between samples that are further apart than `longest`
    (for all records, or for each): over one long step no solver follows a motion."""
    most = np.broadcast_to(longest, data.num)
    grids = [
        divided(t[:n], m)[0]
        for t, n, m in zip(data.ts, data.lengths, most, strict=True)
    ]
    if all(len(grid) == n for grid, n in zip(grids, data.lengths, strict=True)):
        return data
    pieces = [resampled(data.select([i]), 0, grid) for i, grid in enumerate(grids)]
    us = [one.us[0] for one in pieces if one.us is not None]
    out = Trajectories.from_arrays(
        [one.ts[0] for one in pieces],
        [np.where(one.mask[0], one.ys[0], np.nan) for one in pieces],
        us or None,
    )
    return data.replace("gaps filled", ts=out.ts, ys=out.ys, mask=out.mask, us=out.us)


def affordable(data: Trajectories, longest: float) -> Float[np.ndarray, "record"]:
    """The `longest` step of each record, or one by which gaps get about as many times
    as the record has samples. **Warns:** `DataWarning` where that is longer."""
    out = np.full(data.num, longest)
    for i, n in enumerate(data.lengths):
        ts = data.ts[i, :n]
        gaps = np.diff(ts)
        out[i] = max(longest, gaps[gaps > longest].sum() / n)
        if out[i] > longest:
            k = int(np.argmax(gaps))
            warnings.warn(
                f"record {data.labels[i]} pauses for {gaps[k]:.4g} after {ts[k]:.10g}, "
                f"{gaps[k] / np.median(gaps):.3g} sampling intervals: the motion in "
                "between is followed in coarse steps only. Give what lies before and "
                "after the pause as two records.",
                DataWarning,
                stacklevel=2,
            )
    return out
