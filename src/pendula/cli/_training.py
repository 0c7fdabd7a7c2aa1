"""One training on the console: what it leaves behind when it is refused or stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .._errors import PendulaError
from ._console import Console


T = TypeVar("T")


def trained(
    console: Console,
    folder: Path,
    resume: bool,
    clear: Callable[[Path], None],
    fit: Callable[[Callable[[dict[str, Any]], None]], T],
) -> T:
    """`fit(tell)` with its progress shown. What was in the folder goes (`clear`) with
    the first row, when the input has proved good; a fit that was refused before leaves
    nothing half-written."""
    existed, begun = folder.exists(), False
    console.log = folder / "log.txt"
    try:
        with console.training() as show:

            def tell(row: dict[str, Any]) -> None:
                nonlocal begun
                if not begun and not resume:
                    clear(folder)
                begun = True
                show(row)

            return fit(tell)
    except (PendulaError, ValueError):
        if not existed and not begun and folder.exists():
            shutil.rmtree(folder)
        raise
    except KeyboardInterrupt:
        if begun:
            console.say(f"stopped; go on with --resume (state in {folder}/resume)")
        raise
