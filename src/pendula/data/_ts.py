"""Series in the text format of the UEA and TSER archives (`.ts`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._errors import DataError
from ._sequences import Sequences


def read_ts(path: str | Path) -> Sequences:
    """Sequences and their targets from a `.ts` file of the UEA archive (classes) or the
    TSER archive (values).

    A line is one series: its channels, each comma-separated, and the target behind the
    last `:`. Channels of unequal length are refused, series of unequal length padded.
    Series with time stamps are not read.

    **Returns:** `us` `"sample time in"`, labels in the order of `@classLabel` or values
    `"sample out"`, `lengths` where they differ.
    **Raises:** `DataError` with the line for anything else, a missing value (`?`, NaN)
    among it: they are for `control_path`.

    ```python
    >>> import pathlib, tempfile
    >>> from pendula.data import read_ts
    >>> text = "@classLabel true no yes\\n@data\\n1,2:3,4:yes\\n5,6:7,8:no\\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "two.ts")
    ...     _ = path.write_text(text)
    ...     data = read_ts(path)
    >>> data.us[0].tolist(), data.targets.tolist(), data.classes
    ([[1.0, 3.0], [2.0, 4.0]], [1, 0], ('no', 'yes'))

    ```
    """
    file = Path(path)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from error
    classes, begin = _header(file, lines)
    rows, targets = [], []
    for number, line in enumerate(lines[begin:], begin + 1):
        if not line.strip() or line.startswith("#"):
            continue
        *channels, target = line.strip().split(":")
        rows.append(_series(file, number, channels))
        targets.append(_target(file, number, target, classes))
    if not rows:
        raise DataError(f"{file} has no series below @data.")
    if len({row.shape[1] for row in rows}) > 1:
        raise DataError(f"{file}: the series have different numbers of channels.")
    lengths = np.array([len(row) for row in rows])
    us = np.zeros((len(rows), lengths.max(), rows[0].shape[1]), np.float32)
    for place, row in zip(us, rows, strict=True):
        place[: len(row)] = row
    return Sequences.of(
        us,
        np.array(targets) if classes else np.array(targets, float)[:, None],
        lengths=None if len(set(lengths)) == 1 else lengths,
        classes=classes,
        name=file.stem,
    )


def _header(file: Path, lines: list[str]) -> tuple[tuple[str, ...], int]:
    """Classes (none of a file of values), and the line behind `@data`."""
    classes: tuple[str, ...] = ()
    for number, line in enumerate(lines, 1):
        words = line.split()
        key = words[0].lower() if words else ""
        if key == "@timestamps" and words[1:2] == ["true"]:
            raise DataError(
                f"{file}, line {number}: series with time stamps are not read. Write "
                "their values alone."
            )
        if key == "@classlabel" and words[1:2] == ["true"]:
            classes = tuple(words[2:])
        if key == "@data":
            return classes, number
    raise DataError(f"{file} has no line @data; it is no .ts file.")


def _series(file: Path, number: int, channels: list[str]) -> np.ndarray:
    """One series `"time in"`."""
    if not channels:
        raise DataError(f"{file}, line {number}: no target behind a colon.")
    try:
        parts = [np.array(c.split(","), float) for c in channels]
    except ValueError as error:
        raise DataError(
            f"{file}, line {number}: {error}. Missing values (?) are not read here."
        ) from error
    if len({len(part) for part in parts}) > 1:
        raise DataError(f"{file}, line {number}: channels of different lengths.")
    series = np.stack(parts, axis=1)
    if not np.isfinite(series).all():
        raise DataError(f"{file}, line {number}: a value is not finite.")
    return series


def _target(
    file: Path, number: int, target: str, classes: tuple[str, ...]
) -> int | float:
    if classes:
        if target.strip() not in classes:
            raise DataError(
                f'{file}, line {number}: class "{target.strip()}" is not one of '
                f"{', '.join(classes)}."
            )
        return classes.index(target.strip())
    try:
        return float(target)
    except ValueError:
        raise DataError(
            f'{file}, line {number}: the target "{target.strip()}" is no number.'
        ) from None
