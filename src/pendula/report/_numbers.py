"""Numbers as a reader sees them: three significant digits, never more than known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._units import with_unit


MISSING = "-"


def number(value: Any, digits: int = 3) -> str:
    """A number with `digits` significant digits; whole numbers stay whole.

    None and NaN give a hyphen.

    ```python
    >>> from pendula.report import number
    >>> number(0.0123456), number(12345), number(1234.5678), number(4.2e-7)
    ('0.0123', '12345', '1235', '4.2e-7')

    ```
    """
    if value is None or isinstance(value, str):
        return value or MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    x = float(value)
    if math.isnan(x):
        return MISSING
    if math.isinf(x):
        return "-∞" if x < 0 else "∞"
    if x == 0:
        return "0"
    # of the rounded number: 0.9999 is 1.00 to three digits
    size = int(f"{x:.{digits - 1}e}".split("e")[1])
    if not -4 <= size < max(digits, 6):
        mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    text = f"{x:.{max(digits - 1 - size, 0)}f}"
    # 0.0300 says three digits, 20.0 for a time of 20 only makes noise
    return text.rstrip("0").rstrip(".") if "." in text and size >= 0 else text


def quantity(value: Any, unit: str | None = "", digits: int = 3) -> str:
    """A number and its unit, `12.3 mV`; a dimensionless one stands alone."""
    text = number(value, digits)
    return text if text == MISSING else with_unit(text, unit)


def interval(low: Any, high: Any, unit: str | None = "", digits: int = 3) -> str:
    """Both ends of an interval, or a dash when it is not known."""
    ends = [number(v, digits) for v in (low, high)]
    if MISSING in ends:
        return MISSING
    return quantity(f"{ends[0]} to {ends[1]}", unit)


def telling_apart(begin: Any, end: Any) -> int:
    """How many digits tell the ends of a span apart: times may count from 1970.

    ```python
    >>> from pendula.report import number, telling_apart
    >>> digits = telling_apart(1.7e9, 1.7e9 + 8.25)
    >>> number(1.7e9 + 8.25, digits)
    '1700000008.25'

    ```
    """
    if begin is None or end is None or not end > begin:
        return 3
    far = max(abs(begin), abs(end)) / (end - begin)
    return 3 + max(0, math.ceil(math.log10(far)))


def percent(share: Any) -> str:
    """A share as per cent."""
    if share is None or math.isnan(float(share)):
        return MISSING
    return f"{number(100 * float(share))} %"


def listing(items: Sequence[str]) -> str:
    """`a, b and c`."""
    items = [str(i) for i in items]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def axis_label(name: str, unit: str | None) -> str:
    """A quantity on an axis: `theta [rad]`."""
    return f"{name} [{unit}]" if unit else name
