"""`pendula claims`: what was measured, as one table."""

from __future__ import annotations

from collections.abc import Sequence

from ._console import Console
from ._options import TALK, Talk
from ._table import columns


SHOWN = {
    "met": "met",
    "id": "claim",
    "value": "value",
    "target": "target",
    "goal": "goal",
    "source": "source",
}


def claims(*, talk: Talk = TALK) -> int:
    """The ledger of all studies as a table."""
    from ..studies import claims_table

    rows = claims_table()
    text = claims_text(rows) if rows else "no claims yet: pendula reproduce NAME"
    Console(talk).result(text, rows)
    return 0


def claims_text(rows: Sequence[dict[str, str]]) -> str:
    """Rows of the ledger as an aligned table, and below it every note."""
    cells = [[row[key].replace("*", "") for key in SHOWN] for row in rows]
    notes = [f"{row['id']}: {row['note']}" for row in rows if row["note"]]
    return "\n".join([columns(list(SHOWN.values()), cells), *notes])
