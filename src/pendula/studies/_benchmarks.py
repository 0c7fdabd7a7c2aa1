"""Benchmark files in processes of their own: what parts beside a peer run."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .._errors import DivergedError
from .._machine import checkout
from ._study import NotHere


def benchmarks(file: str, packages: Sequence[str]) -> Path:
    """The folder of the benchmark files.

    **Raises:** `NotHere` without them or without one of the `packages`.
    """
    root = checkout()
    if root is None or not (root / "benchmarks" / file).is_file():
        raise NotHere("the benchmark files come with the source tree only")
    for name in packages:
        if importlib.util.find_spec(name) is None:
            raise NotHere(
                f'{name} is not installed here: pip install "pendula[bench]", or make '
                "bench"
            )
    return root / "benchmarks"


def printed(command: list[str], folder: Path) -> str:
    """What a process prints. **Raises:** `DivergedError` with its last line."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    done = subprocess.run(
        command,
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["?"]
        raise DivergedError(
            f"{Path(command[-1]).name} failed with status {done.returncode}: "
            f"{lines[-1]}. Run it by hand: {' '.join(command)}."
        )
    return done.stdout
