"""`pendula report`: the page of a run, made again from its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._console import Console
from ._open import open_page
from ._options import TALK, Talk


def report(
    run: Annotated[Path, Parameter(help="The run folder.")],
    /,
    *,
    png: Annotated[
        Path | None, Parameter(help="Write every figure as PNG into this folder, too.")
    ] = None,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    talk: Talk = TALK,
) -> int:
    """Make the page of a run again."""
    console = Console(talk)
    console.say(f"drawing {run}")
    from ..report import write_figures, write_page

    page = write_page(run)
    figures = [] if png is None else write_figures(run, png)
    text = "\n".join(map(str, [page, *figures]))
    console.result(text, {"page": str(page), "figures": [str(f) for f in figures]})
    if open_:
        open_page(page)
    return 0
