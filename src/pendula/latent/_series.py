"""Series of snapshots as rows, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, DataError, ShapeError
from ..data import Snapshots, even_step


Rows = Snapshots | ArrayLike
Series = Rows | Sequence[Rows]


def rows_of(data: Rows) -> np.ndarray:
    """Snapshots, or what is an array already, as rows of numbers.

    **Raises:** `DataError` for what is complex or no number.
    """
    rows = data.flat() if isinstance(data, Snapshots) else np.asarray(data)
    if rows.dtype.kind == "c":
        raise DataError(
            "the snapshots are complex. Give real and imaginary parts side by side."
        )
    if rows.dtype.kind not in "fiub":
        raise DataError(f"the snapshots are of type {rows.dtype}; expected numbers.")
    return rows


def sets_of(data: Any) -> list[Any]:
    """The series of a `Series`, each `Rows`."""
    first: Any = next(iter(data), 0.0) if isinstance(data, list | tuple) else 0.0
    if isinstance(first, Snapshots) or np.ndim(first) == 2:
        return list(data)
    return [data]


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Series below each other. **Raises:** `ShapeError` for unlike ones."""
    sizes = [one.shape[1:] for one in parts]
    if len(set(sizes)) > 1:
        told = [math.prod(size) for size in sizes]
        raise ShapeError(f"series of {told} numbers a snapshot; expected equal ones.")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def time_step(data: Series, dt: float | None) -> float:
    """Time between two snapshots: of sets of them it is known, else `dt`, or 1.

    **Raises:** `DataError` for sets of unequal spacing, within or between them;
    `ConfigError` for a dt that cannot be.
    """
    steps = [one.dt for one in sets_of(data) if isinstance(one, Snapshots)]
    if steps and even_step(np.cumsum([0.0, *steps])) is None:
        raise DataError(
            f"series with steps of {min(steps):g} and {max(steps):g}; they need one. "
            "Resample them."
        )
    step = steps[0] if steps else 1.0 if dt is None else dt
    positive(dt=step)
    return float(step)


def rounding(data: Series) -> float:
    """Share of a number that the coarsest type of the series loses."""
    types = [
        one.values.dtype if isinstance(one, Snapshots) else np.asarray(one).dtype
        for one in sets_of(data)
    ]
    return max((float(np.finfo(t).eps) for t in types if t.kind == "f"), default=0.0)


def check_finite(rows: np.ndarray, where: str = "") -> None:
    """**Raises:** `DataError` for rows with a value that is not finite."""
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        *at, number = bad[0].tolist()
        told = f"snapshot {', '.join(map(str, at))}{where}, number {number}, is"
        if not at:
            told = f"number {number} of the snapshot is"
        raise DataError(f"{told} not finite. Mask the cell, or fill it.")


def series(
    ys: Series, dt: float | None, ts: ArrayLike | None
) -> tuple[list[np.ndarray], float]:
    """Checked rows of equally spaced series in float64, and their step.

    **Raises:** `DataError`, `ShapeError`, `ConfigError`: see `ExactDMD.fit`.
    """
    step, sets = time_step(ys, dt), sets_of(ys)
    parts = [checked(one, k if len(sets) > 1 else None) for k, one in enumerate(sets)]
    joined([one[:1] for one in parts])
    if max(len(one) for one in parts) > 1 and all((o == o[0]).all() for o in parts):
        raise DataError(
            "all snapshots are the same: there is no motion to learn. Check the file "
            "and the channel."
        )
    if ts is not None:
        if len(parts) > 1:
            raise ConfigError(
                f"times of one series, and {len(parts)} series. Give their dt instead."
            )
        step = even_step(times(ts, len(parts[0])))
        if step is None:
            raise DataError(
                "the snapshots are not equally spaced in time. Resample them, or use "
                "OptimizedDMD, which takes any times."
            )
    return parts, step


def checked(data: Rows, number: int | None = None) -> Float[np.ndarray, "time m"]:
    """Rows in float64. **Raises:** `ShapeError`, `DataError`."""
    where = "" if number is None else f" of series {number}"
    rows = rows_of(data)
    if rows.ndim != 2 or 0 in rows.shape:
        raise ShapeError(
            f"snapshots{where} of shape {rows.shape}; expected (time, m). Give one "
            "observable as m = 1."
        )
    out = rows.astype(np.float64)
    check_finite(out, where)
    return out


def times(ts: ArrayLike, count: int) -> Float[np.ndarray, " time"]:
    """Times that increase. **Raises:** `ShapeError`, `DataError`."""
    found = np.asarray(ts, np.float64)
    if found.shape != (count,):
        raise ShapeError(f"times of shape {found.shape} for {count} snapshots.")
    bad = np.flatnonzero(~(np.diff(found) > 0))
    if not np.isfinite(found).all() or len(bad):
        at = int(bad[0]) + 1 if len(bad) else 0
        raise DataError(
            f"time {found[at]} of snapshot {at} does not come after the one before. "
            "Times must be finite and increase: sort the snapshots, and drop repeated "
            "ones."
        )
    return found
