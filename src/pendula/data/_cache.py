"""The user's cache folder, and the data sets that were fetched into it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path


# Names of fetched sets and their files: they become parts of paths
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def cache_folder() -> Path:
    """The user's cache folder: `PENDULA_CACHE_DIR`, or `pendula` in the platform's
    place for caches."""
    given = os.environ.get("PENDULA_CACHE_DIR")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches/pendula").expanduser()
    if sys.platform == "win32" and "LOCALAPPDATA" in os.environ:
        return Path(os.environ["LOCALAPPDATA"]) / "pendula"
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pendula"


def fetched_folder() -> Path:
    """Where `fetch` puts what it downloads, a folder for each set."""
    return cache_folder() / "data" / "fetched"


def fetched_record(name: str) -> dict[str, str] | None:
    """File, address, checksum and licence of a fetched set; None when there is none."""
    if not SAFE_NAME.fullmatch(name):
        return None
    try:
        text = (fetched_folder() / name / "source.json").read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError):
        return None
    keys = ("file", "url", "sha256", "licence")
    if not isinstance(record, dict):
        return None
    return record if all(isinstance(record.get(k), str) for k in keys) else None


def fetched() -> dict[str, dict[str, str]]:
    """Name -> record of every fetched set."""
    folder = fetched_folder()
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    found = {name: fetched_record(name) for name in names}
    return {name: record for name, record in found.items() if record is not None}
