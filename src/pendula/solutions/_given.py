"""Checks of what a user hands over, beside those of numbers and words in `_checks`."""

from __future__ import annotations

import math
import reprlib
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError
from .._numbers import numbers as read


def numbers(what: str, given: Any) -> np.ndarray:
    """What was given as an array in float64. **Raises:** `ConfigError` for what is no
    array of numbers; `what` names it, with its verb: "Polygon: vertices are".

    ```python
    >>> from pendula.solutions._given import numbers
    >>> numbers("Disc: centre is", (0, 1)).tolist()
    [0.0, 1.0]

    ```
    """
    try:
        return read(what, given)
    except DataError:
        raise ConfigError(f"{what} {told(given)}; give numbers.") from None


def is_number(given: Any) -> bool:
    """Whether it is one finite number."""
    try:
        return not isinstance(given, str) and math.isfinite(given)
    except (TypeError, ValueError, OverflowError):
        return False


def of_kind(what: str, given: Any, kind: Any, wanted: str) -> None:
    """**Raises:** `ConfigError` for what is of another kind, with what to give."""
    if not isinstance(given, kind):
        raise ConfigError(f"{what} {told(given)}; give {wanted}.")


def yes_or_no(what: str, given: Any) -> None:
    """**Raises:** `ConfigError` for what is neither True nor False."""
    of_kind(what, given, bool | np.bool_, "True or False")


def told(given: Any) -> str:
    """As it was given, cut where it is long."""
    return given.__name__ if isinstance(given, type) else reprlib.repr(given)
