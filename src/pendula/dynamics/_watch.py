"""What looks at a stage of a training: the same for one system and for a family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..train import (
    AbstractCallback,
    Cautious,
    Checkpoint,
    KeepBest,
    MetricsLog,
    Plateau,
    Tell,
    TimeLimit,
)


CHECK_EVERY = 5.0  # seconds between checkpoints


def watching(
    name: str,
    index: int,
    total: int,
    step: int,
    *,
    folder: Path | None,
    place: str,
    deadline: float,
    minutes: float,
    tell: Callable[[dict[str, Any]], None] | None,
    score: Callable[[Any], Any] | None,
    settles: bool,
    cautious: bool = False,
    last: dict[str, Any] | None = None,
) -> list[AbstractCallback]:
    """Score, progress, log, limits, checkpoints of stage `index`, which starts at
    `step`; a `cautious` one goes back when its score rises. `last` keeps the latest
    row, also the one at which a limit stops it."""
    out: list[AbstractCallback] = []
    if score is not None:
        out.append(KeepBest(score))
        if cautious:
            out.append(Cautious())
    if last is not None:
        out.append(Tell(last.update))
    if tell is not None:
        head = {"phase": name, "index": index, "total": total}
        out.append(Tell(lambda row: tell({**head, **row})))
    if folder is not None:
        out.append(MetricsLog(folder, name, step))
    out.append(TimeLimit(deadline, f"the limit of {minutes:g} min"))
    if settles:
        out.append(Plateau())
    if folder is not None:
        out.append(Checkpoint(folder / place, index, CHECK_EVERY))
    return out
