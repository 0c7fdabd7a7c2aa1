"""A configuration as TOML text; Python reads the format but does not write it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .._errors import ConfigError


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(tables: dict[str, Any]) -> str:
    """Nested tables of texts, numbers, booleans and lists as TOML; None is left
    out, lists of tables become `[[name]]`.

    **Raises:** `ConfigError` for a value that TOML has no form for.

    ```python
    >>> import tomllib
    >>> from pendula.report import to_toml
    >>> config = {"seed": 0, "train": {"lr": 3e-3, "clips": [8, 16]}}
    >>> tomllib.loads(to_toml(config)) == config
    True

    ```
    """
    lines: list[str] = []
    _table(tables, (), lines)
    return "\n".join(lines).strip("\n") + "\n"


def _table(table: dict[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    """Values first: in TOML what follows a header belongs to it."""
    inner = {k: v for k, v in table.items() if isinstance(v, dict)}
    lists = {k: v for k, v in table.items() if _is_tables(v)}
    for key, value in table.items():
        if value is not None and key not in inner and key not in lists:
            lines.append(f"{_key(key)} = {_value(value, (*path, key))}")
    for key, value in inner.items():
        lines += ["", f"[{_path((*path, key))}]"]
        _table(value, (*path, key), lines)
    for key, rows in lists.items():
        for row in rows:
            lines += ["", f"[[{_path((*path, key))}]]"]
            _table(row, (*path, key), lines)


def _is_tables(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(v, dict) for v in value)
    )


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _path(path: tuple[str, ...]) -> str:
    return ".".join(map(_key, path))


def _string(text: str) -> str:
    # JSON's strings are TOML's basic strings, but for a bare DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, path: tuple[str, ...]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return repr(value)
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(v, path) for v in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_key(k)} = {_value(v, (*path, k))}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    raise ConfigError(
        f"{'.'.join(path)} is {value!r}; TOML holds texts, numbers, booleans, lists "
        "and tables only."
    )
