"""Study `spine`: the house stands. Resuming, times, sizes, and a peer."""

from __future__ import annotations

import sys

from ._study import study


spine = study(
    "spine",
    "The main job holds together: it resumes to the same bits, starts fast, installs "
    "and demonstrates itself on a fresh machine, and trains faster than a peer.",
)

PROGRAM = (
    sys.executable,
    "-c",
    "import sys; from pendula.cli import main; sys.exit(main())",
)
"""The program in a process of its own, whether or not it is on the path."""
