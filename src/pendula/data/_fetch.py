"""Data sets from an address of the user's: checked, kept with their licence."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from .._errors import ConfigError, DataError
from .._files import replacing
from ._cache import SAFE_NAME, fetched_folder, fetched_record
from ._endings import ENDINGS
from ._image_sets import IMAGE_SETS
from ._named import NAMED


BLOCK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
_HASH = re.compile(r"[0-9a-f]{64}")


def fetch(
    url: str,
    *,
    sha256: str,
    licence: str,
    name: str | None = None,
    tell: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Download a data file, keep it only when it is the one that was meant.

    The file lies then in the user's cache folder with its address, licence and
    checksum beside it, and can be opened by its name like a named set.

    **Arguments:**
    - `url`: an http or https address of one file that `read` knows.
    - `sha256`: its checksum, 64 hexadecimal digits: who gives the address says what is
      behind it.
    - `licence`: under which it may be used; reports carry it.
    - `name`: of the set; default: the file's name without its ending.
    - `tell`: called with the bytes that are here and those there are (None: unknown).

    **Returns:** the path of the file. When it is here already nothing is downloaded.
    **Raises:** `ConfigError` for an address, checksum, licence or name that is none;
    `DataError` when the file cannot be fetched or is another one; nothing is kept then.
    """
    file = _checked_url(url)
    sha256 = sha256.strip().lower()
    if not _HASH.fullmatch(sha256):
        raise ConfigError(
            f'--sha256 "{sha256}": expected 64 hexadecimal digits, as sha256sum prints.'
        )
    if not licence.strip():
        raise ConfigError(
            "--licence is empty. Say under which licence the data may be used "
            '("unknown" if nobody states one).'
        )
    name = Path(file).stem if name is None else name
    if not SAFE_NAME.fullmatch(name) or name in {**NAMED, **IMAGE_SETS}:
        raise ConfigError(
            f'"{name}" cannot name a fetched set (letters, digits, ".", "_", "-"; not '
            "one of `pendula data list`). Choose one with --name."
        )
    known = fetched_record(name)
    path = fetched_folder() / name / file
    if known is not None and known["sha256"] != sha256:
        raise ConfigError(
            f'the set "{name}" is here already, from {known["url"]}, with another '
            f"checksum. Choose another --name, or remove {path.parent}."
        )
    record = {"file": file, "url": url, "sha256": sha256, "licence": licence.strip()}
    try:
        if known is None or not path.is_file() or _digest(path) != sha256:
            with replacing(path) as temporary:
                _download(url, temporary, sha256, tell)
        with replacing(path.parent / "source.json") as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: the file cannot be written ({error.strerror}). Free the space, "
            "or set PENDULA_CACHE_DIR to another folder."
        ) from None
    return path


def _checked_url(url: str) -> str:
    """The name of the file that an address points to."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f'"{url}" is not an address. Expected http://... or https://..., of one '
            "file."
        )
    file = PurePosixPath(urllib.parse.unquote(parts.path)).name
    endings = [ending for ending in ENDINGS if ending != ".zarr"]  # a folder
    if PurePosixPath(file).suffix.lower() not in endings:
        raise ConfigError(
            f'{url}: the file "{file}" is of no kind that is read. Expected '
            f"{', '.join(endings)}. Download it by hand, unpack or convert it."
        )
    if not SAFE_NAME.fullmatch(file):
        raise ConfigError(
            f'{url}: "{file}" is no safe name for a file. Download it by hand.'
        )
    return file


def _download(
    url: str, path: Path, sha256: str, tell: Callable[[int, int | None], None] | None
) -> None:
    """The bytes behind an address into a file; `DataError` unless they are those."""
    digest, have = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
            length: Any = answer.headers.get("Content-Length")
            whole = int(length) if length and length.isdigit() else None
            with path.open("wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
                    digest.update(block)
                    have += len(block)
                    if tell is not None:
                        tell(have, whole)
    except urllib.error.HTTPError as error:
        raise DataError(
            f"{url}: the server answers {error.code} ({error.reason}). Check the "
            "address."
        ) from None
    except urllib.error.URLError as error:
        raise DataError(
            f"{url}: the server cannot be reached ({error.reason}). Check the address "
            "and the connection."
        ) from None
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise DataError(
            f"{url}: the connection broke after {have} bytes "
            f"({type(error).__name__}). Try again."
        ) from None
    if digest.hexdigest() != sha256:
        cut = f" of {whole}" if whole is not None and have != whole else ""
        raise DataError(
            f"{url}: {have} bytes{cut} with sha256 {digest.hexdigest()}; expected "
            f"{sha256}. It is another file, or not all of it; nothing was kept."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
