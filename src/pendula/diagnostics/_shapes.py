"""Arrays whose axes must agree, checked by name before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import ShapeError
from .._numbers import numbers


def aligned(*given: tuple[str, Any, str]) -> list[np.ndarray]:
    """Each `(name, value, axes)` as a NumPy array (bool kept, else float64).

    An axis word such as `"clip time obs"` must have the same size wherever it
    stands.

    **Raises:** `ShapeError` naming the array, its shape and what was expected;
    `DataError` for what is no number.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics._shapes import aligned
    >>> ts, ys = aligned(("ts", [0, 1], "time"), ("ys", np.ones((2, 3)), "time obs"))
    >>> ts.dtype, ys.shape
    (dtype('float64'), (2, 3))

    ```
    """
    sizes: dict[str, tuple[int, str]] = {}
    out = []
    for name, value, axes in given:
        array = numbers(name, value, keep_bool=True)
        words = axes.split()
        if array.ndim != len(words):
            raise ShapeError(
                f"{name} has shape {array.shape}; expected ({', '.join(words)})."
            )
        for word, size in zip(words, array.shape, strict=True):
            known, where = sizes.setdefault(word, (size, name))
            if known != size:
                raise ShapeError(
                    f"{name} {array.shape} has {size} along {word}; {where} has "
                    f"{known}. Give arrays of the same {word}."
                )
        out.append(array)
    return out
