"""Checks of numbers and words that settings of all rooms share."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable
from typing import Any

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
        if not _holds(value, lambda number: number >= low):
            raise ConfigError(_said(where, name, value, f"at least {low}"))


def whole(low: int, where: str = "", /, **values: Any) -> int:
    """Values by name that must be whole numbers, of Python or NumPy, and not below
    `low`; the last of them is given back as Python's.

    **Raises:** `ConfigError` for the first that is not.

    ```python
    >>> from pendula._checks import whole
    >>> whole(1, n_steps=2)
    2

    ```
    """
    number = low
    for name, value in values.items():
        try:
            if isinstance(value, bool):
                raise TypeError
            number = operator.index(value)
        except TypeError:
            told = _said(where, name, value, f"a whole number of at least {low}")
            raise ConfigError(told) from None
        at_least(low, where, **{name: number})
    return number


def fields_whole(settings: Any, where: str = "", /, **lows: int) -> None:
    """Attributes of a settings object that must be whole numbers, each with the least
    that it may be.

    **Raises:** `ConfigError`.
    """
    for name, low in lows.items():
        whole(low, where, **{name: getattr(settings, name)})


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
        if not _holds(value, lambda number: math.isfinite(number) and number > 0):
            raise ConfigError(_said(where, name, value, f"{_finite(value)}above 0"))


def fields_positive(settings: Any, where: str = "", /, *names: str) -> None:
    """Attributes of a settings object that must be finite and above 0.

    **Raises:** `ConfigError` for the first that is not.
    """
    positive(where, **{name: getattr(settings, name) for name in names})


def not_negative(where: str = "", /, **values: Any) -> None:
    """Values by name that must be finite and at least 0. **Raises:** `ConfigError`."""
    for name, value in values.items():
        if not _holds(value, lambda number: math.isfinite(number) and number >= 0):
            raise ConfigError(_said(where, name, value, f"{_finite(value)}at least 0"))


def between(low: float, high: float, where: str = "", /, **values: Any) -> None:
    """Values by name that must lie between two numbers, neither of which they may be.

    **Raises:** `ConfigError` for the first that does not, or is no number.

    ```python
    >>> from pendula._checks import between
    >>> between(0, 1, level=0.9)

    ```
    """
    for name, value in values.items():
        if not _holds(value, lambda number: low < number < high):
            raise ConfigError(_said(where, name, value, f"between {low} and {high}"))


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


def _holds(value: Any, test: Callable[[Any], bool]) -> bool:
    """Whether a value is one number for which the test holds."""
    try:
        return bool(test(value))
    except (TypeError, ValueError):  # a text, None, several numbers
        return False


def _said(where: str, name: str, value: Any, must: str) -> str:
    told = f'the text "{value}"' if isinstance(value, str) else value
    return f"{_owner(where)}{name} is {told}; it must be {must}."


def _finite(value: Any) -> str:
    """What an infinity has to be told besides: it is above 0, or at least 0."""
    return "finite and " if _holds(value, lambda number: number == math.inf) else ""


def _owner(where: str) -> str:
    return f"{where}: " if where else ""


def takes(function: Any, number: int) -> bool:
    """Whether so many arguments can be given by place."""
    try:
        inspect.signature(function).bind(*range(number))
    except TypeError:
        return False
    except ValueError:  # no signature is known: of a field the house's, of a truth time
        return number in (1, 4)
    return True
