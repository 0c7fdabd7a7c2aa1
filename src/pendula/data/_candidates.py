"""What the arrays of a foreign file may be: times, channels, or neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import is_own
from ._decisions import TIME_NAMES
from ._endings import ARRAYS, usual
from ._read import OPENERS, data_files
from ._stored import Stored


def candidates(path: str | Path) -> dict[str, Any] | None:
    """What each array of a file may be, JSON-able; None for tables and own files,
    which say it themselves.

    An array that increases may be the time (the best is one named t, time, day, year
    or date, or with dates for a unit); arrays of its shape, or with one axis more,
    may be channels or inputs. Of a folder the first file is looked at.
    **Returns:** `file`, `arrays` (for each `name`, `shape`, `type`, `unit`, `role`:
    time, channel or nothing), `time` and `channels`, the names to try.
    **Raises:** `DataError`, `MissingExtra`.

    ```python
    >>> import numpy as np
    >>> from pendula.data import candidates
    >>> np.savez("rig.npz", clock=[0.0, 1.0, 2.0], q=[1.0, 0.0, 3.0], note="by hand")
    >>> found = candidates("rig.npz")
    >>> found["time"], found["channels"]
    ('clock', ['q'])

    ```
    """
    file = data_files(path)[0]
    if usual(file) not in ARRAYS or not file.exists():
        return None
    with OPENERS[usual(file)](file) as arrays:
        if is_own(arrays):
            return None
        time = _time(file.name, arrays)
        shape = None if time is None else arrays[time].shape
        rows = []
        for name, array in arrays.items():
            role = "time" if name == time else ""
            if shape is not None and name != time and _fits(array, shape):
                role = "channel"
            rows.append(
                {
                    "name": name,
                    "shape": list(array.shape),
                    "type": "text" if array.dtype.kind in "OSUT" else str(array.dtype),
                    "unit": array.unit,
                    "role": role,
                }
            )
    channels = [row["name"] for row in rows if row["role"] == "channel"]
    return {"file": str(file), "arrays": rows, "time": time, "channels": channels}


def _fits(array: Stored, shape: tuple[int, ...]) -> bool:
    """Whether an array can be observed at times of this shape."""
    return array.is_real and shape in (array.shape, array.shape[:-1])


def _time(place: str, arrays: Mapping[str, Stored]) -> str | None:
    """The array that is most likely the time: it increases, and its name, its unit or
    the number of arrays that fit it speak for it."""

    def score(name: str) -> tuple[bool, bool, int]:
        array = arrays[name]
        named = name.rsplit("/", 1)[-1].lower() in TIME_NAMES
        return (
            named,
            " since " in array.unit,
            sum(_fits(other, array.shape) for other in arrays.values()),
        )

    found = [n for n, array in arrays.items() if _increases(place, n, array)]
    return max(found, key=score) if found else None


def _increases(place: str, name: str, array: Stored) -> bool:
    if not array.is_real or len(array.shape) > 2 or 0 in array.shape:
        return False
    values = array.numbers(place, name).astype(np.float64)
    if not np.isfinite(values).all() or values.shape[-1] < 2:
        return False
    return bool(np.all(np.diff(values) > 0))
