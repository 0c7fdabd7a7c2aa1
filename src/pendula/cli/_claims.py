"""`pendula claims`: what was measured, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._columns import columns
from ._console import Console
from ._options import TALK, Talk


MET = {True: "met", False: "NOT met", None: ""}
SIGN = {"lower": "<= ", "higher": ">= ", "equal": "", "within": ""}


def claims(*, talk: Talk = TALK) -> int:
    """The ledger of all studies as a table."""
    from ..studies import claims_table

    rows = claims_table()
    text = claims_text(rows) if rows else "no claims yet: pendula reproduce NAME"
    Console(talk).result(text, rows)
    return 0


def claims_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of the ledger as an aligned table, and below it every reason."""
    head = ("", "claim", "value", "target", "published", "source")
    cells = [
        [
            MET[row.get("met")] if row["kind"] == "target" else _kind(row),
            row["id"],
            _value(row),
            _bound(row),
            "" if row.get("published") is None else _number(row["published"]),
            str(row.get("source") or ""),
        ]
        for row in rows
    ]
    if not any(cell[4] for cell in cells):  # nothing that a paper says
        head, cells = (*head[:4], head[5]), [[*c[:4], c[5]] for c in cells]
    notes = [f"{row['id']}: {row['reason']}" for row in rows if row.get("reason")]
    return "\n".join([columns(head, cells), *notes])


def _kind(row: dict[str, Any]) -> str:
    return str(row["kind"]).replace("_", " ")


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _value(row: dict[str, Any]) -> str:
    if row.get("value") is None:
        return "-"
    unit = row.get("unit")
    text = _number(row["value"]) + (f" {unit}" if unit not in (None, "", "1") else "")
    ends = row.get("spread")
    return f"{text} ({_number(ends[0])} to {_number(ends[1])})" if ends else text


def _bound(row: dict[str, Any]) -> str:
    target = row.get("target")
    if target is None:
        return ""
    if isinstance(target, list | tuple):
        return " to ".join(map(_number, target))
    return SIGN[str(row.get("better") or "lower")] + _number(target)
