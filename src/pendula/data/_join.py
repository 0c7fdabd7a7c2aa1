"""Several containers of one kind -> one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._errors import DataError
from ._trajectories import Trajectories


def join(parts: Sequence[Trajectories]) -> Trajectories:
    """All trajectories of several containers, in order, as one.

    Names, units, time unit and inputs must agree; `env` and `params` are kept when
    every part has them. Labels that stand twice are numbered by part.
    **Raises:** `DataError` when the parts differ.

    ```python
    >>> from pendula.data import Trajectories, join
    >>> one = Trajectories.from_arrays([0.0, 1.0], [1.0, 2.0])
    >>> join([one, one]).labels
    ('0/0', '1/0')

    ```
    """
    if not parts:
        raise DataError("no data to join. At least one part is needed.")
    first = parts[0]
    same = ("names", "units", "angle", "input_names", "input_units", "input_kind")
    for k, part in enumerate(parts[1:], 1):
        for field in (*same, "time_unit", "param_names", "licence"):
            a, b = getattr(first, field), getattr(part, field)
            if a != b:
                raise DataError(
                    f"part {k} has {field} {b}, part 0 has {a}. Parts that are joined "
                    "need the same."
                )
    if len(parts) == 1:
        return first
    ts, ys, us, labels = [], [], [], []
    every = [label for part in parts for label in part.labels]
    unique = len(set(every)) == len(every)
    for k, part in enumerate(parts):
        values = np.where(part.mask, part.ys, np.nan)
        for i, n in enumerate(part.lengths):
            ts.append(part.ts[i, :n])
            ys.append(values[i, :n])
            us.append(None if part.us is None else part.us[i, :n])
            labels.append(part.labels[i] if unique else f"{k}/{part.labels[i]}")
    origin = {
        **first.origin,
        "files": [file for part in parts for file in part.origin.get("files", [])],
    }
    about = {
        field: None
        if any(getattr(part, field) is None for part in parts)
        else np.concatenate([getattr(part, field) for part in parts])
        for field in ("env", "params")
    }
    return Trajectories.from_arrays(
        ts,
        ys,
        None if first.us is None else us,
        **{field: getattr(first, field) for field in same},
        **about,
        time_unit=first.time_unit,
        param_names=first.param_names,
        licence=first.licence,
        labels=tuple(labels),
        origin=origin,
    )
