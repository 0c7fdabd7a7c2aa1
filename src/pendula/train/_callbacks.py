"""What looks at a training while it runs: validation, log, time limit, progress."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._run import AbstractCallback, Info, StopTraining
from ._state import TrainState


def _plain(value: Any) -> Any:
    """Host numbers; one value a member becomes a list."""
    return np.asarray(value).tolist()


def _json(value: Any) -> Any:
    """What is not finite becomes null: JSON has no NaN."""
    if isinstance(value, list):
        return [_json(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


class KeepBest(AbstractCallback):
    """Scores the parameters and keeps the best ones (per member) in the state.

    `score(params) -> scalar` or `"member"`, lower is better; it is compiled by
    the caller. A score that is not finite never wins. The row gains `validation`.
    """

    def __init__(self, score: Callable[[Any], Array]) -> None:
        self.score = score

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        value = self.score(state.params)
        row["validation"] = jax.device_get(value)
        better = jnp.isfinite(value) & (value < state.score)

        def pick(new: Any, old: Any) -> Any:
            if not eqx.is_array(new):
                return new
            where = better.reshape(better.shape + (1,) * (new.ndim - better.ndim))
            return jnp.where(where, new, old)

        best = jax.tree.map(pick, state.params, state.best)
        score = jnp.where(better, value, state.score)
        return eqx.tree_at(lambda s: (s.best, s.score), state, (best, score))


class MetricsLog(AbstractCallback):
    """One JSON line per logging interval in `metrics.jsonl`; seconds go to
    `timing.jsonl`, so that the first file is the same for the same seed. A value
    that is not finite is written as null.

    A resumed run drops the lines behind the step it resumes from, and counts its
    seconds on from the last line that is left of its phase.
    """

    def __init__(self, folder: Path, phase: str, from_step: int = 0) -> None:
        self.folder, self.phase = folder, phase
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("metrics.jsonl", "timing.jsonl"):
            _drop_behind(folder / name, phase, from_step)
        before = [r for r in _lines(folder / "timing.jsonl") if r["phase"] == phase]
        spent = float(before[-1]["seconds"]) if before else 0.0
        self.began = time.perf_counter() - spent

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        plain = {k: _json(_plain(v)) for k, v in row.items()}
        step = plain.pop("step")
        seconds = time.perf_counter() - self.began
        _append(
            self.folder / "metrics.jsonl", {"phase": self.phase, "step": step, **plain}
        )
        _append(
            self.folder / "timing.jsonl",
            {"phase": self.phase, "step": step, "seconds": round(seconds, 3)},
        )
        return state


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _drop_behind(path: Path, phase: str, step: int) -> None:
    """Keep what was logged before `step` of `phase` (a killed run may have gone
    further than its last checkpoint, or left half a line)."""
    if not path.exists():
        return
    kept = []
    for row in _lines(path):
        if row["phase"] == phase and row["step"] > step:
            break
        kept.append(json.dumps(row))
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def logged(folder: Path) -> tuple[list[Info], float]:
    """What a training in this folder has logged so far: its rows, without their phase,
    and the seconds that it took, those of killed processes included."""
    rows = [
        {k: v for k, v in row.items() if k != "phase"}
        for row in _lines(folder / "metrics.jsonl")
    ]
    total = last = 0.0
    for before, row in itertools.pairwise([{}, *_lines(folder / "timing.jsonl")]):
        # each phase counts from 0, and so did processes that went on with one
        if row["phase"] != before.get("phase") or row["seconds"] < last:
            total += last
        last = float(row["seconds"])
    return rows, total + last


def _lines(path: Path) -> list[Info]:
    """The rows of a file, up to one that a kill left half written."""
    rows: list[Info] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows


STOPPED = "stopped at step"
"""How the reason of a time limit begins."""


class TimeLimit(AbstractCallback):
    """Stops a training cleanly once a deadline has passed."""

    def __init__(self, deadline: float, text: str) -> None:
        self.deadline, self.text = deadline, text

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        if time.perf_counter() > self.deadline:
            raise StopTraining(f"{STOPPED} {row['step']}: {self.text}")
        return state


class Plateau(AbstractCallback):
    """Stops when every member has gained next to nothing for `patience` steps in
    a row. The count is the step's own (`still` in its info), so that a resumed
    run stops at the same step."""

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        if np.min(np.asarray(row["still"])) >= self.patience:
            raise StopTraining(f"converged at step {row['step']}")
        return state


class Tell(AbstractCallback):
    """Hands each row to a function of the caller (a progress bar, say)."""

    def __init__(self, tell: Callable[[Info], None]) -> None:
        self.tell = tell

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        self.tell({k: _plain(v) for k, v in row.items()})
        return state
