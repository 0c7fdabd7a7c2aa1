"""Samples in a table and their labels, checked before anything is done with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import DataError, ShapeError


def as_table(values: Any, what: str, width: int | None = None) -> np.ndarray:
    """Float64 `"sample column"`, finite and not empty, of `width` columns.

    **Raises:** `ShapeError`, `DataError`.
    """
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or (width is not None and table.shape[1] != width):
        columns = "column" if width is None else width
        raise ShapeError(
            f"{what} have shape {table.shape}; expected (sample, {columns}). Flatten "
            "what belongs to one sample."
        )
    if not table.size:
        raise DataError(f"there are no {what}: the shape is {table.shape}.")
    if not np.isfinite(table).all():
        row, column = map(int, np.argwhere(~np.isfinite(table))[0])
        raise DataError(
            f"{what}: sample {row}, column {column} is {table[row, column]}; expected "
            "finite numbers. Fill or drop what is missing."
        )
    return table


def spreads(values: np.ndarray) -> np.ndarray:
    """Standard deviation a column, to divide by: 1 for one that stands still but for
    rounding, whatever its unit."""
    rounding = 8.0 * np.finfo(values.dtype).eps * np.abs(values).max(axis=0)
    still = np.ptp(values, axis=0) <= rounding
    return np.where(still, np.ones_like(rounding), values.std(axis=0))


def check_labels(
    labels: Any, count: int, classes: int, *, switches: bool = False
) -> np.ndarray:
    """Labels as whole numbers from 0 to `classes` - 1, one a sample; with `switches`
    False and True are 0 and 1.

    **Raises:** `ShapeError`, `DataError`.
    """
    marks = np.asarray(labels)
    if marks.shape != (count,):
        raise ShapeError(f"labels have shape {marks.shape}; expected ({count},).")
    kinds = "iub" if switches else "iu"
    if marks.dtype.kind not in kinds or (count and int(marks.min()) < 0):
        raise DataError("labels must be whole numbers from 0.")
    if count and int(marks.max()) >= classes:
        raise DataError(
            f"a label is {int(marks.max())} (sample {int(marks.argmax())}); with "
            f"{classes} classes they run from 0 to {classes - 1}."
        )
    return marks.astype(np.int32)
