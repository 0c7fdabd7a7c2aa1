"""Numbers as they stand in sentences: three significant digits and the unit."""

from __future__ import annotations

import math
from typing import SupportsFloat

from .._units import with_unit


def number(value: SupportsFloat, unit: str = "") -> str:
    """`value` with three significant digits and its unit ("1" is left out).

    ```python
    >>> from pendula.diagnostics._words import number
    >>> number(0.012345, "rad"), number(1234.5), number(1e-7, "1")
    ('0.0123 rad', '1230', '1e-07')

    ```
    """
    value = float(value)
    if math.isfinite(value) and 1e3 <= abs(value) < 1e6:
        text = f"{float(f'{value:.3g}'):.0f}"
    else:
        text = f"{value:.3g}"
    return with_unit(text, unit)


def percent(share: SupportsFloat) -> str:
    """A share as a percentage.

    ```python
    >>> from pendula.diagnostics._words import percent
    >>> percent(0.9), percent(0.0123)
    ('90 %', '1.23 %')

    ```
    """
    return f"{number(100 * float(share))} %"


def listing(names: list[str] | tuple[str, ...]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
