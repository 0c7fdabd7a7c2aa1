"""Where an equation or a number comes from."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Source:
    """A place in the literature, carried by every component as `source`.

    **Arguments:** `key`: the work's BibTeX key, author and year; `where`: the
    equation, table or section there.

    ```python
    >>> from pendula._source import Source
    >>> str(Source("Lorenz1963", "equations 25-27"))
    'Lorenz1963, equations 25-27'

    ```
    """

    key: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.key}, {self.where}" if self.where else self.key
