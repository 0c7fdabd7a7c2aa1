"""Files and folders that are either whole or not there."""

from __future__ import annotations

import contextlib
import shutil
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


@contextlib.contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Like `replacing`, for a folder: the temporary path is where the block makes it.

    A folder cannot take the place of another in one step: the old one is moved aside
    first, and comes back when the new one cannot take its name.

    ```python
    >>> from pathlib import Path
    >>> from pendula._files import replacing_folder
    >>> with replacing_folder("runs/store") as temporary:
    ...     temporary.mkdir()
    >>> Path("runs/store").is_dir()
    True

    ```
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = (
        path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}") for _ in range(2)
    )
    try:
        yield temporary
        if path.exists():
            path.replace(aside)
        try:
            temporary.replace(path)
        except OSError:
            if aside.exists():
                aside.replace(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
