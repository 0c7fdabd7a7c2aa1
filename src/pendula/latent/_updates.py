"""Updates of the optimiser, several a call, that a killed run goes on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..train import (
    AbstractCallback,
    Checkpoint,
    MetricsLog,
    Step,
    Tell,
    TrainState,
    logged,
    resume,
    run,
)


Info = dict[str, Any]
_INNER = 20  # updates a call: a call of its own costs as much as an update


class Updated(NamedTuple):
    """Where a training ended: its state, the records of every hundred updates or so,
    the seconds of earlier runs in the same folder, and why it ended."""

    state: TrainState
    history: list[Info]
    before: float
    reason: str


def updates_a_call(updates: int) -> int:
    """As many as divide the updates of a training."""
    return next(k for k in (_INNER, 10, 5, 2, 1) if updates % k == 0)


def run_updates(
    step: Callable[[], Step],
    state: TrainState,
    batch: Any,
    updates: int,
    *,
    folder: Path | None,
    seconds: float,
    tell: Callable[[Info], None],
) -> Updated:
    """Run the updates that a checkpoint in `folder` has not seen; `step` makes the
    compiled step of `updates_a_call(updates)`, where there is one to run."""
    history: list[Info] = []
    before, ended = 0.0, None
    if folder is not None:
        kept = resume(folder, 0, state)
        state, ended = (state, None) if kept is None else kept
        history, before = logged(folder)
        history = [row for row in history if row["step"] <= int(state.step)]
    if ended is None:
        callbacks: list[AbstractCallback] = [Tell(history.append), Tell(tell)]
        if folder is not None:
            callbacks.append(MetricsLog(folder, "fit", int(state.step)))
            callbacks.append(Checkpoint(folder, 0, seconds))
        inner = updates_a_call(updates)
        state, ended = run(
            step(),
            state,
            batch,
            callbacks,
            num_steps=updates,
            log_every=5 * inner,
            inner=inner,
        )
    return Updated(state, history, before, ended)
