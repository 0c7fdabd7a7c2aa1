"""What looks at a stage of a training: the same for one system and for a family."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ConfigError
from ..data import Trajectories
from ..diagnostics import StepGuard
from ..train import (
    STOPPED,
    AbstractCallback,
    Cautious,
    Checkpoint,
    KeepBest,
    MetricsLog,
    Plateau,
    Tell,
    TimeLimit,
    TrainState,
    check_same,
    resume,
)


CHECK_EVERY = 5.0  # seconds between checkpoints


def open_folder(
    folder: Path, resume: bool, settings: dict[str, Any], data: Trajectories
) -> None:
    """Make a run folder ready: identity recorded, old traces gone unless resumed.

    **Raises:** `CheckpointError` for a resumed run of other settings or data.
    """
    if not resume:
        for name in ("metrics.jsonl", "timing.jsonl", "resume/identity.json"):
            (folder / name).unlink(missing_ok=True)
        for old in (folder / "resume").rglob("state-*.safetensors"):
            old.unlink()
    digest = hashlib.sha256(repr((data.names, data.input_names)).encode())
    for array in (data.ts, data.ys, data.mask, data.us):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    check_same(folder / "resume", {"config": settings, "data": digest.hexdigest()})


def taken_up(place: Path, index: int, state: TrainState) -> tuple[Any, str | None]:
    """The state of stage `index` in a folder of checkpoints (the given one without)
    and why it had ended; None: it is to go on. One that the clock had ended is: a
    resumed fit is given more time."""
    found = resume(place, index, state)
    if found is None:
        return state, None
    state, ended = found
    return state, None if ended is not None and ended.startswith(STOPPED) else ended


def no_guard(callbacks: Sequence[AbstractCallback], name: str, instead: str) -> None:
    """Refuse a guard of the step where nothing would halve it.

    **Raises:** `ConfigError`.
    """
    if any(isinstance(callback, StepGuard) for callback in callbacks):
        raise ConfigError(
            f"a StepGuard was given to {name}, which does not halve its step in the "
            f"middle of a stage. Leave the guard out: {name} {instead}."
        )


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
