"""Times of a rollout: steps that are not too long, and which times are the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


LONGEST = 1.5  # steps of the training that one step of a rollout may be


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
