"""Units in sentences."""

from __future__ import annotations


def with_unit(number: str, unit: str | None) -> str:
    """A number and its unit; a dimensionless one stands alone.

    ```python
    >>> from pendula._units import with_unit
    >>> with_unit("12.3", "mV"), with_unit("60", "1"), with_unit("60", "")
    ('12.3 mV', '60', '60')

    ```
    """
    return f"{number} {unit}" if unit and unit != "1" else number
