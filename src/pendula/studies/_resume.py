"""Part `resume` of study `spine`: kill -9 changes nothing but the time."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DivergedError
from ._claim import Claim
from ._row import Row
from ._spine import PROGRAM, spine
from ._study import Run


_ROWS = (
    Row(
        "spine.resume",
        "Fits killed with kill -9 (at 20, 50 and 80 % of their logged steps) and "
        "resumed whose weights equal those of the uninterrupted fit bit for bit.",
        better="equal",
        target=3,
        tried="The whole training state is checkpointed atomically, the last two kept.",
    ),
    Row(
        "spine.resume_metrics",
        "Of these, fits whose metrics.jsonl is byte-identical too.",
        better="higher",
    ),
)
_FULL = {
    "points": [0.2, 0.5, 0.8],
    "duration": 20.0,
    "options": ["--method", "adam", "--members", "2"],
}
_QUICK = {
    "points": [0.2, 0.5, 0.8],
    "duration": 6.0,
    "options": [
        *["--method", "adam", "--members", "1", "--steps", "400"],
        *["--train.clips", "8", "--width", "8", "--depth", "1"],
    ],
}


@spine.part("resume", _ROWS, full=_FULL, quick=_QUICK)
def resume(run: Run) -> Iterator[Claim]:
    """One uninterrupted fit, then one killed fit for each point."""
    from ..data import write_csv
    from ..systems import simulate

    shutil.rmtree(run.scratch, ignore_errors=True)
    data = run.scratch / "swing.csv"
    made = simulate(
        "pendulum",
        num=1,
        duration=run.settings["duration"],
        dt=0.05,
        noise=0.01,
        seed=3,
    )
    write_csv(made, data)
    command = [*PROGRAM, "fit", str(data), *run.settings["options"]]
    run.progress("the uninterrupted fit")
    whole = run.scratch / "whole"
    _fit(command, whole)
    lines = _lines(whole)
    same = metrics = 0
    for index, point in enumerate(run.settings["points"]):
        folder = run.scratch / f"killed{index}"
        reached = _kill(command, folder, max(1, round(point * lines)))
        run.progress(f"killed after {reached} of {lines} logged steps; resuming")
        _fit([*command, "--resume"], folder)
        same += _weights_equal(whole, folder)
        metrics += _bytes(whole) == _bytes(folder)
    count = len(run.settings["points"])
    yield run.row("spine.resume").measured(same, n=count)
    yield run.row("spine.resume_metrics").measured(metrics, n=count)


def _start(command: list[str], out: Path) -> subprocess.Popen[bytes]:
    out.parent.mkdir(parents=True, exist_ok=True)
    log = out.with_suffix(".log").open("ab")
    with log:
        return subprocess.Popen(
            [*command, "--out", str(out)], stdout=log, stderr=subprocess.STDOUT
        )


def _fit(command: list[str], out: Path) -> None:
    """A fit to its end. **Raises:** `DivergedError` with the log's last line."""
    process = _start(command, out)
    # 1: the fit was done, but its forecast is not to be trusted
    if process.wait() not in (0, 1):
        log = out.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        last = (log.strip().splitlines() or ["nothing was printed"])[-1]
        raise DivergedError(
            f"the fit that was to be resumed failed with status {process.returncode}: "
            f"{last}. See {out.with_suffix('.log')}."
        )


def _kill(command: list[str], out: Path, after: int) -> int:
    """Start a fit, kill it once it has logged `after` lines and has a checkpoint;
    how many lines it had logged."""
    process = _start(command, out)
    while process.poll() is None:
        ready = any((out / "resume").glob("state-*.safetensors"))
        if ready and _lines(out) >= after:
            process.kill()
            process.wait()
            return _lines(out)
        time.sleep(0.01)
    raise DivergedError(
        f"the fit ended with status {process.returncode} before it could be killed. "
        "It is too short for this test: raise --train.steps."
    )


def _lines(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _bytes(folder: Path) -> bytes:
    return (folder / "metrics.jsonl").read_bytes()


def _weights_equal(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same bits."""
    a, b = (_tensors(folder / "model.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].tobytes() == b[k].tobytes() for k in a
    )


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return {k: np.asarray(v) for k, v in load_file(path).items()}
