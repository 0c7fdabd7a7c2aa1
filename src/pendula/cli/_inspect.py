"""`pendula inspect`: what is in a data file."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from ._console import Console
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data
from ._table import columns


def inspect(
    *data: Annotated[str, Parameter(help="A file, several, a folder, or a named set.")],
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """What is in the data: shapes, sampling, gaps, units, noise; what `fit` would
    decide, and the option that changes it."""
    console = Console(talk)
    measured = load_data(data, reading, console)
    from ..data import summary

    found = summary(measured)
    console.result(summary_text(found), found)
    return 0


def summary_text(found: dict[str, Any]) -> str:
    """A summary as lines."""
    from ..report import CHANNEL_HEAD, channel_rows, summary_facts

    facts = summary_facts(found)
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {text}" for name, text in facts]
    lines += ["", columns(CHANNEL_HEAD, channel_rows(found)), ""]
    cells = [
        [row["what"], row["choice"], row["option"], row["why"]]
        for row in found["decisions"]
    ]
    lines.append(columns(["decided", "choice", "changed by", "why"], cells))
    lines += [f"note: {note}" for note in found["warnings"]]
    return "\n".join(lines)
