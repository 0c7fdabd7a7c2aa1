"""What a user gives as numbers, as an array, refused by name where it is none."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._errors import DataError


def numbers(
    what: str, given: Any, dtype: Any = np.float64, *, keep_bool: bool = False
) -> np.ndarray:
    """What was given, in `dtype`; with `keep_bool` truth values stay what they are.

    **Raises:** `DataError` for texts, complex values, and rows of different lengths;
    `what` names what was given.

    ```python
    >>> from pendula._numbers import numbers
    >>> numbers("eta", [1, 2])
    array([1., 2.])

    ```
    """
    try:
        found = np.asarray(given)
        if np.iscomplexobj(found):  # NumPy would drop the imaginary part
            raise TypeError("complex values")
        if keep_bool and found.dtype == bool:
            return found
        return np.asarray(given, dtype)
    except (TypeError, ValueError) as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise DataError(
            f"{what} cannot be read as numbers ({reason}). Give real numbers alone, as "
            "many in each row."
        ) from None
