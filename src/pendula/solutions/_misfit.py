"""By how much measurements are missed, and whether noise explains that."""

from __future__ import annotations

import math
from typing import TypeAlias

from scipy.special import chdtrc


Misfits: TypeAlias = tuple[tuple[float, int], ...]
"""Of each set of measurements: RMS in units of sigma, and how many they are."""
_MOST = 3.0  # sigma: more than noise, whatever the number
_CHANCE = 1e-3


def by_chance(squares: float, count: int) -> bool:
    """Whether noise alone gives such a sum of squares of so many misfits in sigma."""
    return bool(chdtrc(max(count, 1), squares) > _CHANCE)


def beyond_noise(misfits: Misfits, free: int) -> float | None:
    """RMS of all misfits in sigma, where noise does not explain them; else None.

    **Arguments:** `free`: how many numbers were fitted to them.
    """
    count = sum(n for _, n in misfits)
    if not count:
        return None
    squares = sum(n * rms * rms for rms, n in misfits)
    within = by_chance(squares, count - free)
    if within and max(rms for rms, _ in misfits) <= _MOST:
        return None
    return math.sqrt(squares / count)


def misfit_words(missed: float) -> str:
    """What it means that noise does not explain the misfits."""
    return (
        f"measurements are missed by {missed:.2g} of their sigma (RMS), more than "
        "noise explains: sigma is too small, or the equation is not theirs, and what "
        "was found is less sure than its interval says"
    )
