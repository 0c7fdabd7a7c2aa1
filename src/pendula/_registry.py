"""Name -> object tables used by configurations, checkpoints and the program.

A registered class may stand in a saved model; nothing else is ever built from a
file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ._errors import ConfigError, nearest


T = TypeVar("T")
_TABLES: dict[str, dict[str, Any]] = {}
_WORDS = {"known": "law"}  # where the kind is no good noun in a sentence


def register(kind: str, name: str | None = None) -> Callable[[T], T]:
    """Decorator: enter a class or function under ``kind`` (``"module"``,
    ``"system"``, ``"known"``, ``"scheme"``, ``"study"``...).

    A module of your own can be saved, and loaded where it is registered too.

    **Raises:** `ConfigError` for a name that another one has.

    ```python
    >>> import equinox as eqx
    >>> import pendula
    >>> @pendula.register("module")
    ... class MyUnit(eqx.Module):
    ...     def __call__(self, x, state):
    ...         return -x, state

    ```
    """

    def enter(obj: T) -> T:
        key = name or obj.__name__  # type: ignore[attr-defined]  # classes and functions have it
        table = _TABLES.setdefault(kind, {})
        previous = table.get(key)
        if previous is not None and getattr(previous, "__module__", None) != getattr(
            obj, "__module__", None
        ):
            raise ConfigError(
                f'{kind} "{key}" is already registered by {previous.__module__}. '
                "Choose another name."
            )
        table[key] = obj
        return obj

    return enter


def lookup(kind: str, name: object) -> Any:
    """The object registered under ``name``; ``ConfigError`` with the nearest
    name otherwise, and for what is no name at all."""
    table = _TABLES.get(kind, {})
    if not isinstance(name, str):  # may come from a program or a file: anything
        raise ConfigError(
            f"{_WORDS.get(kind, kind)} is {name!r}; give one of these names: "
            f"{', '.join(sorted(table)) or 'none'}."
        )
    if name not in table:
        raise ConfigError(
            f'unknown {_WORDS.get(kind, kind)} "{name}".{nearest(name, table)} '
            f"Known: {', '.join(sorted(table)) or 'none'}."
        )
    return table[name]


def names(kind: str) -> list[str]:
    """All registered names of a kind, sorted."""
    return sorted(_TABLES.get(kind, {}))


def name_of(kind: str, obj: Any) -> str | None:
    """The name under which ``obj`` is registered, or None."""
    for key, value in _TABLES.get(kind, {}).items():
        if value is obj:
            return key
    return None
