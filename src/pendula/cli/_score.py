"""`pendula score`: errors of a run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._console import Console
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data
from ._table import columns


def score(
    run: Annotated[Path, Parameter(help="The run folder, or a model file.")],
    *data: Annotated[str, Parameter(help="The data to forecast.")],
    start: Annotated[
        float | None, Parameter(help="Time of the last sample that is looked at.")
    ] = None,
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Free-run errors of a run on other data."""
    console = Console(talk)
    measured = load_data(data, reading, console)
    console.say(f"loading {run}")
    from .. import load
    from ..report import number, percent

    scores = load(run).score(measured, start=start)
    rows = scores["trajectories"]
    cells = [
        [
            str(row["trajectory"]),
            number(row["start"]),
            number(row["until"]),
            number(row["rmse"]),
            percent(row["coverage"]),
            str(row["status"]),
        ]
        for row in rows
    ]
    head = ["trajectory", "from", "to", "error", "in 90 % band", "status"]
    text = f"{columns(head, cells)}\nerror over all: {number(scores['rmse'])}"
    console.result(text, scores)
    return 1 if any(row["status"] in BAD for row in rows) else 0


BAD = ("diverged", "non_finite_state", "non_finite_input")
