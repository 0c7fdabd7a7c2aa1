"""`pendula inspect`: what is in a data file."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Any

from cyclopts import Parameter

from .._columns import columns
from ._console import Console
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data


MOST = 8  # channels that a proposed command names
MANY = 100_000  # samples, from which on the reading is told to be over


def inspect(
    *data: Annotated[str, Parameter(help="A file, several, a folder, or a named set.")],
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """What is in the data: shapes, sampling, gaps, units, noise; what `fit` would
    decide, and the option that changes it. Of a file whose arrays Pendula did not
    name: what each array may be."""
    console = Console(talk)
    from ..data import candidates

    if not reading.channels and len(data) == 1 and Path(data[0]).exists():
        arrays = candidates(data[0])
        if arrays is not None:
            console.result(candidates_text(arrays), arrays)
            return 0
    measured = load_data(data, reading, console)
    if measured.mask.size > MANY:
        console.say("looking at the data")
    from ..data import summary

    found = summary(measured)
    console.result(summary_text(found), found)
    return 0


def candidates_text(found: dict[str, Any]) -> str:
    """The arrays of a foreign file as lines, and the command to go on with."""
    head = ["array", "shape", "type", "unit", "may be"]
    cells = [
        [
            row["name"],
            " x ".join(map(str, row["shape"])) or "-",
            row["type"],
            row["unit"] or "-",
            row["role"] or "-",
        ]
        for row in found["arrays"]
    ]
    time = "--dt STEP" if found["time"] is None else f"--time {quote(found['time'])}"
    names = quote(",".join(found["channels"][:MOST])) if found["channels"] else "NAME"
    return "\n".join(
        [
            f"{found['file']} is not a file of Pendula's own. Say what its arrays are.",
            "",
            columns(head, cells),
            "",
            f"pendula inspect {quote(found['file'])} {time} --channels {names}",
        ]
    )


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
