"""What kind each value of a report is: kept beside it, so that one that was changed by
hand into another kind is told by its name."""

from __future__ import annotations

from typing import Any


WORDS = {  # true and false are whole numbers to Python, and come first
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "a table",
    type(None): "null",
}


def kinds_of(value: Any) -> Any:
    """The kinds of a plain value: a word, a list of kinds, or a table of them; that of
    a list whose items are all alike stands once."""
    if isinstance(value, dict):
        return {key: kinds_of(item) for key, item in value.items()}
    if isinstance(value, list):
        own = [kinds_of(item) for item in value]
        return own[:1] if all(kind == own[0] for kind in own) else own
    return _word(value)


def another_kind(value: Any, kinds: Any, where: str = "") -> str | None:
    """Where a value is of another kind than it was, as a clause; None: nowhere.

    A number may have become null, as where it is none, and null a number or a text; a
    list of things that were all alike may have another length.
    """
    if isinstance(kinds, dict):
        if not isinstance(value, dict):
            return _said(where, value, "a table")
        ahead = f"{where}." if where else ""
        for key, kind in kinds.items():
            if key not in value:
                return f"{ahead}{key} is missing"
            found = another_kind(value[key], kind, f"{ahead}{key}")
            if found:
                return found
        return None
    if isinstance(kinds, list):
        if not isinstance(value, list):
            return _said(where, value, "a list")
        if len(kinds) > 1 and len(kinds) != len(value):
            return f"{where} has {len(value)} items; expected {len(kinds)}"
        each = kinds * len(value) if len(kinds) == 1 else kinds
        for k, (item, kind) in enumerate(zip(value, each, strict=False)):
            found = another_kind(item, kind, f"{where}[{k}]")
            if found:
                return found
        return None
    allowed = {"a number": {"null"}, "null": {"a number", "a text"}}.get(kinds, set())
    if _word(value) in {kinds, *allowed}:
        return None
    return _said(where, value, kinds)


def _word(value: Any) -> str:
    """An entry of an enumeration of numbers counts as one."""
    return next(word for kind, word in WORDS.items() if isinstance(value, kind))


def _said(where: str, value: Any, kind: str) -> str:
    return f"{where} is {value!r:.60}; expected {kind}"
