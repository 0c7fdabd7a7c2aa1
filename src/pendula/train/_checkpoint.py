"""Checkpoints that survive a kill: interrupted + resumed = uninterrupted."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from .._errors import CheckpointError
from .._files import replacing
from ._run import AbstractCallback, Info
from ._serial import is_whole, load_state, save_state
from ._state import TrainState


class Checkpoint(AbstractCallback):
    """Writes the training state to `folder` every `seconds` and at the end, the
    last two kept. `phase` numbers the stages of a fit. What a killed run left half
    written is removed."""

    def __init__(self, folder: Path, phase: int, seconds: float = 10.0) -> None:
        self.folder, self.phase, self.seconds = Path(folder), phase, seconds
        self.last = time.perf_counter()
        for half in self.folder.glob(".*.safetensors"):
            half.unlink()

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        if time.perf_counter() - self.last >= self.seconds:
            self.write(state)
        return state

    def close(self, state: TrainState, reason: str | None) -> None:
        self.write(state, reason)

    def write(self, state: TrainState, reason: str | None = None) -> None:
        """Save now; a `reason` marks the phase as ended."""
        step = int(state.step)
        path = self.folder / f"state-{self.phase:03d}-{step:09d}.safetensors"
        save_state(path, state, {"phase": self.phase, "step": step, "ended": reason})
        for old in sorted(self.folder.glob("state-*.safetensors"))[:-2]:
            old.unlink()
        self.last = time.perf_counter()


def latest(folder: Path) -> tuple[int, Path] | None:
    """(phase, file) of the newest checkpoint in a folder that can be read, or None."""
    for path in sorted(Path(folder).glob("state-*-*.safetensors"), reverse=True):
        phase = path.name.split("-")[1]
        if phase.isdecimal() and is_whole(path):
            return int(phase), path
    return None


def resume(
    folder: Path, phase: int, like: TrainState
) -> tuple[TrainState, str | None] | None:
    """The checkpointed state of `phase` and the reason why that phase had ended
    (None: it was interrupted); None when there is no checkpoint of it."""
    found = latest(folder)
    if found is None or found[0] != phase:
        return None
    state, about = load_state(found[1], like)
    return state, about.get("ended")


def check_same(folder: Path, identity: dict[str, Any]) -> None:
    """Refuse to resume a run whose configuration or data changed; the first call
    records them.

    **Raises:** `CheckpointError` that names what is another one.
    """
    path = Path(folder) / "identity.json"
    text = json.dumps(identity, sort_keys=True)
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8")
    if before != text:
        with contextlib.suppress(json.JSONDecodeError):
            before = json.loads(before)
        others = ", ".join(_others(before, json.loads(text))[:3]) or "unreadable"
        raise CheckpointError(
            f"{folder} belongs to a fit with other settings or data: {others}. Resume "
            "with the same ones, or start again without --resume."
        )


def _others(before: Any, now: Any, where: str = "") -> list[str]:
    """The places where two records differ, outermost first."""
    if isinstance(before, dict) and isinstance(now, dict):
        ahead = f"{where}." if where else ""
        keys = sorted(before.keys() | now.keys())
        parts = [_others(before.get(k), now.get(k), f"{ahead}{k}") for k in keys]
        return [name for part in parts for name in part]
    return [] if before == now else [where]
