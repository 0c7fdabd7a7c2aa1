"""Elliptic functions that keep their digits where a swing nearly stands still."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import special


def jacobi(
    u: Float[np.ndarray, " time"], rest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """sn, cn, dn and the amplitude at `u` for the parameter 1 - `rest`.

    The argument is brought into one half period first: close to parameter 1 SciPy's
    expansion holds only there.
    """
    quarter = special.ellipkm1(rest)
    halves = np.round(u / (2.0 * quarter)) if np.isfinite(quarter) else np.zeros_like(u)
    inner = u - 2.0 * quarter * halves if np.isfinite(quarter) else u
    sn, cn, dn, am = special.ellipj(inner, 1.0 - rest)
    flip = np.where(halves % 2 == 0, 1.0, -1.0)
    return flip * sn, flip * cn, dn, am + np.pi * halves
