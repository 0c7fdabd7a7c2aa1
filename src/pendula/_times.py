"""When two times of a record are the same."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def instant(ts: Float[np.ndarray, " time"]) -> float:
    """Times of one record that are closer than this are the same: a millionth of the
    shortest interval, or what rounding does to stamps that count from long ago, but
    never so much that two samples become one."""
    shortest = float(np.min(np.diff(ts)))
    rounding = 4.0 * float(np.spacing(np.max(np.abs(ts))))
    return min(max(1e-6 * shortest, rounding), 0.25 * shortest)
