"""Series of snapshots as rows, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError, ShapeError
from ..data import Snapshots, even_step


Series = Snapshots | ArrayLike | Sequence[ArrayLike]


def parts_of(data: Series) -> list[np.ndarray]:
    """The series of a data set, as rows."""
    if isinstance(data, Snapshots):
        return [data.flat()]
    if isinstance(data, list | tuple) and len(data) and np.ndim(data[0]) == 2:
        return [np.asarray(one) for one in data]
    return [np.asarray(data)]


def check_finite(rows: np.ndarray, where: str = "") -> None:
    """**Raises:** `DataError` for rows with a value that is not finite."""
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        raise DataError(
            f"snapshot {bad[0][0]}{where}, number {bad[0][1]}, is not finite. Mask the "
            "cell, or fill it."
        )


def series(
    ys: Series, dt: float | None, ts: ArrayLike | None
) -> tuple[list[np.ndarray], float]:
    """Checked rows of equally spaced series in float64, and their step.

    **Raises:** `DataError`, `ShapeError`, `ConfigError`: see `ExactDMD.fit`.
    """
    parts = parts_of(ys)
    step = ys.dt if isinstance(ys, Snapshots) else 1.0 if dt is None else float(dt)
    if not (np.isfinite(step) and step > 0):
        raise ConfigError(f"dt is {dt}; it must be a finite number above 0.")
    parts = [checked(one, k if len(parts) > 1 else None) for k, one in enumerate(parts)]
    if len({one.shape[1] for one in parts}) > 1:
        sizes = [one.shape[1] for one in parts]
        raise ShapeError(f"series of {sizes} numbers a snapshot; expected equal ones.")
    if max(len(one) for one in parts) > 1 and all((o == o[0]).all() for o in parts):
        raise DataError(
            "all snapshots are the same: there is no motion to learn. Check the file "
            "and the channel."
        )
    if ts is not None:
        step = even_step(times(ts, len(parts[0])))
        if step is None:
            raise DataError(
                "the snapshots are not equally spaced in time. Resample them, or use "
                "OptimizedDMD, which takes any times."
            )
    return parts, step


def checked(rows: np.ndarray, number: int | None = None) -> Float[np.ndarray, "time m"]:
    """Rows in float64. **Raises:** `ShapeError`, `DataError`."""
    where = "" if number is None else f" of series {number}"
    if rows.ndim != 2 or 0 in rows.shape:
        raise ShapeError(
            f"snapshots{where} of shape {rows.shape}; expected (time, m). Give one "
            "observable as m = 1."
        )
    if np.iscomplexobj(rows):
        raise DataError(
            f"the snapshots{where} are complex. Give real and imaginary parts side by "
            "side."
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
