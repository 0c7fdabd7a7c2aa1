"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Texts in aligned columns under a header.

    ```python
    >>> from pendula._columns import columns
    >>> print(columns(["a", "b"], [["long", "1"]]))
    a     b
    long  1

    ```
    """
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[j]) for line in lines) for j in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
