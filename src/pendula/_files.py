"""Files that are either whole or not there."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well.

    When the block fails the temporary file is removed and what stood at `path`
    before stays as it was. Missing folders are made.

    ```python
    >>> from pathlib import Path
    >>> from pendula._files import replacing
    >>> with replacing("runs/note.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path("runs/note.txt").read_text()
    'whole'

    ```
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
