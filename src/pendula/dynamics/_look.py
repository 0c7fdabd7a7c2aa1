"""A phase of a training case by case: what `blame` searches for the bad one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array

from ..data import Batch, Trajectories
from ._model import weighted_residual
from ._programs import RatePoints


@dataclasses.dataclass(frozen=True)
class Look:
    """One member's part in a stage, case by case: `residual(params, case)`, its
    `params`, the stacked `cases`; `rows` and `times`, the trajectory of `data` and the
    time at which each begins."""

    residual: Callable[[Any, Any], Array]
    params: Any
    cases: Any
    rows: np.ndarray
    times: np.ndarray
    data: Trajectories


def look_at_rates(
    member: tuple[Any, Any],
    points: RatePoints,
    weight: Array,
    data: Trajectories,
    index: tuple[np.ndarray, np.ndarray],
) -> Look:
    """`member`: (params, static) of one; `points` `"1 point"`."""
    params, static = member
    cases = (points.t[0], points.ys[0], points.rates[0], None)
    if points.us is not None:
        cases = (*cases[:3], points.us[0])

    def residual(params: Any, case: Any) -> Array:
        t, y, rate, u = case
        return (eqx.combine(params, static).field(t, y, u, None) - rate) * weight

    return Look(residual, params, cases, index[0], data.ts[index], data)


def look_at_clips(
    member: tuple[Any, Any],
    starts: Array,
    clips: Batch,
    scale: Array,
    data: Trajectories,
) -> Look:
    """`member`: (params, static) of one; start states and clips of it."""
    params, static = member

    def residual(params: Any, case: Any) -> Array:
        start, clip = case
        return weighted_residual(eqx.combine(params, static), start, clip, scale)

    rows, first = np.asarray(clips.origin).T
    return Look(residual, params, (starts, clips), rows, data.ts[rows, first], data)
