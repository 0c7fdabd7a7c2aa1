"""Bytes of files: read, counted, and the sentences for those that cannot be."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from .._errors import DataError, PendulaError, nearest


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; `DataError` with the nearest name when there is none."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def read_text(path: Path) -> str:
    """The UTF-8 text of a file. **Raises:** `DataError`, for another encoding too."""
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: it is no text in UTF-8. Give the file as it was distributed, "
            "unpacked."
        ) from None


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and files of a folder.

    **Raises:** `DataError` for what is not there or cannot be read.
    """
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        every = hashlib.sha256()
        for one in sorted(p for p in path.rglob("*") if p.is_file()):
            with one.open("rb") as file:
                part = hashlib.file_digest(file, "sha256").hexdigest()
            every.update(f"{one.relative_to(path).as_posix()} {part}\n".encode())
        return every.hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        siblings = (
            [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        )
        return DataError(
            f"{path}: there is no such file.{nearest(path.name, siblings)} Check the "
            "path."
        )
    return DataError(
        f"{path}: the file cannot be read ({error.strerror}). Check the path and "
        "its permissions."
    )


def unwritable(path: Path, error: OSError) -> DataError:
    """The sentence for a file that cannot be written."""
    why = error.strerror or str(error).splitlines()[0]
    return DataError(
        f"{path}: the file cannot be written ({why}). Choose another place, "
        "or free the space."
    )


@contextlib.contextmanager
def whole(
    path: Path, kind: str, writer: str, errors: tuple[type[Exception], ...]
) -> Iterator[None]:
    """What a library raises for a broken file becomes a `DataError`.

    **Arguments:** `kind`: of the file; `writer`: what writes such files; `errors`:
    what the library is known to raise.
    """
    try:
        yield
    except PendulaError:
        raise
    except errors:
        raise DataError(
            f"{path.name}: the file is not a whole {kind} file (cut short or another "
            f"format). Expected what {writer} writes. Write or copy it again."
        ) from None
