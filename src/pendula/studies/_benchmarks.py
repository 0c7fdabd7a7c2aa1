"""Benchmark files in processes of their own: what parts beside a peer run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import DivergedError
from .._files import replacing
from .._machine import checkout
from ._study import NotHere, Run


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


def in_turn(
    run: Run, turns: int, sides: Mapping[str, tuple[Path, Sequence[Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """What programs measured, each in a process of its own, one after the other in
    every turn.

    **Arguments:** `sides`: name, by which results are kept in the scratch folder, ->
    (script, its options); `--out FILE`, where it writes its JSON, is added.
    **Returns:** name -> the results of its turns.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for turn in range(turns):
        for name, (script, options) in sides.items():
            path = run.scratch / f"{name}_{turn}.json"
            if not path.exists():
                run.progress(f"running {path.stem}")
                with replacing(path) as out:
                    command = [sys.executable, script, *options, "--out", out]
                    printed([str(part) for part in command], script.parent)
            found[name].append(json.loads(path.read_text(encoding="utf-8")))
    return found
