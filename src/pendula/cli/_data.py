"""`pendula data list`: the named data sets."""

from __future__ import annotations

from ._console import Console
from ._options import TALK, Talk
from ._table import columns


def list_(*, talk: Talk = TALK) -> int:
    """The named data sets: what they are, their licence, whether they are here."""
    from ..data import named

    rows = named()
    cells = [
        [
            row["name"],
            "here" if row["present"] else "-",
            row["licence"] or "no licence stated",
            row["about"],
        ]
        for row in rows
    ]
    text = columns(["name", "files", "licence", "what"], cells)
    if not any(row["present"] for row in rows):
        text += "\nPENDULA_DATA names the folder that holds the files."
    Console(talk).result(text, rows)
    return 0
