"""Where a stage of a step lies in depth: fractions of whole numbers, never floats."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any, SupportsIndex

import jax.numpy as jnp
import numpy as np

from .._checks import whole
from .._errors import ConfigError


DENOMINATOR = 10**6
"""A length given as a float that is a fraction with at most this, but for its rounding,
is taken for it; of one in float32 with the thousandth: it has fewer digits."""
SAME = Fraction(1, 10**9)
"""Depths that are no further apart are the same: knots that were summed in floats."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A depth t in [0, 1] and, where two cells meet, which of them is meant: the one
    that ends there (`ends`) or the one that begins there."""

    t: Fraction
    ends: bool


Steps = SupportsIndex | Iterable[float | Fraction]
"""A number of equal lengths, or lengths that sum to 1."""


def lengths(given: Any, what: str) -> tuple[int, ...]:
    """Whole numbers in the ratio of the lengths: n equal ones, or as given.

    A float is taken for a simple fraction (0.1, 1 / 3) where it is one but for its
    rounding, and else as it is to its last bit, so that sums of lengths are theirs.

    **Raises:** `ConfigError` for a number that is not whole; if there is no length, one
    is not positive, or those given do not sum to 1.

    ```python
    >>> from pendula.depth._places import lengths
    >>> lengths(3, "n_steps"), lengths([0.5, 0.25, 0.25], "n_steps")
    ((1, 1, 1), (2, 1, 1))

    ```
    """
    if np.ndim(given) == 0:
        return (1,) * whole(1, **{what: given})
    parts = list(given)
    usable = bool(parts) and all(math.isfinite(v) and v > 0 for v in parts)
    exact = [_fraction(v) for v in parts] if usable else []
    if not usable or abs(float(sum(exact)) - 1.0) > 1e-5:
        found = ", ".join(f"{float(v):g}" for v in parts)
        raise ConfigError(
            f"{what}: the lengths [{found}] must be positive and sum to 1. Give a "
            "number for equal lengths."
        )
    common = math.lcm(*(v.denominator for v in exact))
    return reduced([int(v * common) for v in exact])


def _fraction(length: Any) -> Fraction:
    exact = length if isinstance(length, Fraction) else Fraction(float(length))
    kind = getattr(length, "dtype", float)
    rounding = jnp.finfo(kind).eps if jnp.issubdtype(kind, jnp.inexact) else 0.0
    short = rounding > np.finfo(np.float64).eps
    simple = exact.limit_denominator(DENOMINATOR // 1000 if short else DENOMINATOR)
    near = abs(simple - exact) <= Fraction(float(rounding)) * abs(exact)
    return simple if near else exact


def reduced(whole: Sequence[int]) -> tuple[int, ...]:
    """The same ratios in the smallest whole numbers."""
    common = math.gcd(*whole)
    return tuple(v // common for v in whole)


def halved(whole: Sequence[int], which: Sequence[int]) -> tuple[int, ...]:
    """The lengths with those named cut in two."""
    parts: list[int] = []
    for i, v in enumerate(whole):
        parts += [v, v] if i in set(which) else [2 * v]
    return reduced(parts)


def merged(whole: Sequence[int], first: int) -> tuple[int, ...]:
    """The lengths with entry `first` and the one after it made one."""
    parts = list(whole)
    parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return reduced(parts)


def knots(whole: Sequence[int]) -> tuple[Fraction, ...]:
    """Where the cells of these lengths begin and end, from 0 to 1."""
    total = sum(whole)
    return tuple(Fraction(v, total) for v in accumulate(whole, initial=0))


def locate(place: Place, ends: Sequence[Fraction]) -> tuple[int, Fraction]:
    """The cell of a place and the local coordinate in it, 0 to 1; a place next to
    where two cells meet is there."""
    at = bisect_left(ends, place.t)
    near = min(ends[max(at - 1, 0) : at + 1], key=lambda end: abs(end - place.t))
    t = near if abs(near - place.t) <= SAME else place.t
    last = len(ends) - 2
    inside = lambda i: t <= ends[i + 1] if place.ends and t > 0 else t < ends[i + 1]
    cell = next((i for i in range(last) if inside(i)), last)
    begin, end = ends[cell], ends[cell + 1]
    return cell, (t - begin) / (end - begin)


def stage_places(
    nodes: Sequence[float], steps: Sequence[int]
) -> tuple[tuple[Place, ...], ...]:
    """The places of all stages, `[step][stage]`, of a scheme with these nodes c.

    A stage with c = 1 ends its step: at a knot it belongs to the cell before.

    ```python
    >>> from pendula.depth._places import stage_places
    >>> [str(p.t) for p in stage_places((0.0, 1 / 3), (1, 1))[1]]
    ['1/2', '2/3']

    ```
    """
    exact = [Fraction(c).limit_denominator(1000) for c in nodes]
    at = knots(steps)
    return tuple(
        tuple(Place(at[k] + c * (at[k + 1] - at[k]), c == 1) for c in exact)
        for k in range(len(steps))
    )
