"""Part `help` of study `spine`: how long the program takes to say what it can do."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from ._claim import Claim
from ._row import Row
from ._spine import PROGRAM, spine
from ._study import Run


HEAVY = ("jax", "numpy", "matplotlib", "scipy")

_ROWS = (
    Row(
        "spine.help_seconds",
        "Time of `pendula --help` in a fresh process, median.",
        "s",
        target=0.5,
        tried="Commands and array libraries are imported when they are first used.",
    ),
    Row(
        "spine.help_imports",
        "Array libraries (jax, numpy, matplotlib, scipy) that `pendula --help` loads.",
        better="equal",
        target=0,
        tried="Commands and array libraries are imported when they are first used.",
    ),
)


@spine.part("help", _ROWS, full={"runs": 11}, quick={"runs": 2})
def help_(run: Run) -> Iterator[Claim]:
    """Fresh processes, one after the other."""
    seconds = []
    for _ in range(run.settings["runs"]):
        began = time.perf_counter()
        subprocess.run([*PROGRAM, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    yield run.row("spine.help_seconds").measured(seconds)
    yield run.row("spine.help_imports").measured(len(_loaded()))


def _loaded() -> list[str]:
    """The heavy packages that are in memory after `pendula --help`."""
    code = (
        "import sys\n"
        "from pendula.cli import main\n"
        "main(['--help'])\n"
        f"print(*sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return done.stderr.split()
