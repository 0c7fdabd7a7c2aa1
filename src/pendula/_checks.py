"""Checks of numbers and words that settings of all rooms share."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ._errors import ConfigError, nearest


def at_least(low: int, where: str = "", /, **values: Any) -> None:
    """Values by name that must not be below `low`.

    **Raises:** `ConfigError` for the first that is, or is no number; `where` names
    what it is a setting of.

    ```python
    >>> from pendula._checks import at_least
    >>> at_least(1, substeps=2)

    ```
    """
    for name, value in values.items():
        if value is None or not value >= low:
            raise ConfigError(_said(where, name, value, f"at least {low}"))


def whole(low: int, where: str = "", /, **values: Any) -> None:
    """Values by name that must be whole numbers (NumPy's too) and not below `low`.

    **Raises:** `ConfigError` for the first that is not.

    ```python
    >>> from pendula._checks import whole
    >>> whole(1, points=51)

    ```
    """
    for name, value in values.items():
        kinds = (int, np.integer)
        if isinstance(value, bool) or not isinstance(value, kinds) or value < low:
            must = f"a whole number of at least {low}"
            raise ConfigError(_said(where, name, value, must))


def fields_at_least(settings: Any, where: str = "", /, **lows: int) -> None:
    """Attributes of a settings object, each with the least that it may be.

    **Raises:** `ConfigError`.
    """
    for name, low in lows.items():
        at_least(low, where, **{name: getattr(settings, name)})


def positive(where: str = "", /, **values: Any) -> None:
    """Values by name that must be finite and above 0.

    **Raises:** `ConfigError` for the first that is not.

    ```python
    >>> from pendula._checks import positive
    >>> positive(lr=0.1)

    ```
    """
    for name, value in values.items():
        if value is None or not (math.isfinite(value) and value > 0):
            raise ConfigError(_said(where, name, value, f"{_finite(value)}above 0"))


def fields_positive(settings: Any, where: str = "", /, *names: str) -> None:
    """Attributes of a settings object that must be finite and above 0.

    **Raises:** `ConfigError` for the first that is not.
    """
    positive(where, **{name: getattr(settings, name) for name in names})


def not_negative(where: str = "", /, **values: Any) -> None:
    """Values by name that must be finite and at least 0. **Raises:** `ConfigError`."""
    for name, value in values.items():
        if value is None or not (math.isfinite(value) and value >= 0):
            raise ConfigError(_said(where, name, value, f"{_finite(value)}at least 0"))


def choice(name: str, value: Any, allowed: Iterable[str], where: str = "", /) -> None:
    """A value that has to be one of a few words.

    **Raises:** `ConfigError` with all of them, and the nearest.

    ```python
    >>> from pendula._checks import choice
    >>> try:
    ...     choice("scheme", "eular", ("euler", "rk4"))
    ... except ValueError as error:
    ...     print(error)
    scheme "eular" is unknown. Did you mean "euler"? Allowed: euler, rk4.

    ```
    """
    known = tuple(allowed)
    if value not in known:
        raise ConfigError(
            f'{_owner(where)}{name} "{value}" is unknown.{nearest(str(value), known)} '
            f"Allowed: {', '.join(known)}."
        )


def _said(where: str, name: str, value: Any, must: str) -> str:
    return f"{_owner(where)}{name} is {value}; it must be {must}."


def _finite(value: Any) -> str:
    """What an infinity has to be told besides: it is above 0, or at least 0."""
    return "finite and " if value == math.inf else ""


def _owner(where: str) -> str:
    return f"{where}: " if where else ""
