"""Which trajectories belong to which system, and where a family lies."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import CheckpointError, ConfigError
from ._console import Console
from ._options import Reading, names
from ._reading import load_data


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import Family

FILE = "file"  # --system file: one system a file
SYSTEM = "The column that tells the systems apart, or `file`: one system a file."

Decisions = list[dict[str, str]]


def load_systems(
    given: Sequence[str],
    reading: Reading,
    system: str | None,
    console: Console,
    *,
    one: bool = False,
) -> tuple[Trajectories, Decisions]:
    """Data with a system index, and how it was decided, told and returned.

    **Arguments:** `one`: without any index all trajectories are one system; else each
    is a system of its own.
    **Raises:** `DataError`, `ConfigError`.
    """
    if system == FILE and len(given) > 1:
        data = _by_file(given, reading, console)
        choice, why = f"one for each of {len(given)} files", "--system file"
    elif system == FILE:
        try:  # it may have a column that is called so
            data = _by_column(given, reading, system, console)
            choice = f"column {system}"
        except ConfigError:
            data = _by_file(given, reading, console)
            choice = "the one file"
        why = "--system file"
    elif system is not None:
        data = _by_column(given, reading, system, console)
        choice, why = f"column {system}", "--system"
    else:
        data = load_data(given, reading, console)
        why = "no --system was given, and the data do not name systems"
        if data.env is not None:
            choice, why = "as the data name them", "a system index is in the file"
        elif one:
            choice = "all trajectories are one system"
        else:
            choice = "each trajectory is a system of its own"
    import numpy as np

    if one and data.env is None:
        data = data.replace(env=np.full(data.num, _short(given)))
    elif data.env is not None:
        count = len(np.unique(data.env))
        choice += f" ({count} system{'s' * (count != 1)})"
    console.say(f"systems: {choice}")
    return data, [
        {"what": "systems", "choice": choice, "why": why, "option": "--system COLUMN"}
    ]


def _short(given: Sequence[str]) -> str:
    name = Path(given[0]).stem or given[0]
    return name if len(given) == 1 else f"{name} and {len(given) - 1} more"


def _by_file(given: Sequence[str], reading: Reading, console: Console) -> Trajectories:
    import numpy as np

    from ..data import join

    parts = [load_data([path], reading, console) for path in given]
    stems = [Path(path).stem for path in given]
    if len(set(stems)) < len(stems):
        stems = list(given)
    env = np.repeat(stems, [part.num for part in parts])
    return join([part.replace(env=None) for part in parts]).replace(env=env)


def _by_column(
    given: Sequence[str], reading: Reading, system: str, console: Console
) -> Trajectories:
    import numpy as np

    traj = (system, *(name for name in names(reading.traj) if name != system))
    try:
        data = load_data(given, dataclasses.replace(reading, traj=traj), console)
    except ConfigError as error:  # read as the columns of trajectories are
        told = str(error).replace(f"--traj {system}:", f"--system {system}:", 1)
        raise ConfigError(told) from None
    several = len(data.origin.get("files") or []) > 1
    parts = [label.split("/") for label in data.labels]
    if any(len(part) != len(traj) + several for part in parts):
        raise ConfigError(
            f"--system {system}: a value with a slash cannot be told from those of the "
            "other columns. Write the values without."
        )
    return data.replace(env=np.array([part[int(several)] for part in parts]))


def family_file(run: Path) -> Path:
    """The file of a family in a run folder, or that file itself.

    **Raises:** `CheckpointError` where there is none.
    """
    path = run / "family.safetensors" if run.is_dir() else run
    if not path.is_file():
        raise CheckpointError(
            f"{run} holds no family. Give a run made with pendula fit --family."
        )
    return path


def refuse_family(run: Path) -> None:
    """Refuse the run of a family, or of a system that was adapted, where that of one
    system is asked for. **Raises:** `ConfigError`."""
    if (run / "model.safetensors").is_file():
        return
    if family := (run / "family.safetensors").is_file():
        what = "a family, which is of no system alone"
    elif (run / "adapted.json").is_file():
        what = "an adapted system, whose forecast is its forecast.csv"
    else:
        return
    which = run if family else "FAMILY"
    raise ConfigError(
        f"{run} holds {what}. For other data give pendula adapt {which} DATA --out NEW."
    )


def load_run(run: Path, console: Console) -> Family:
    """The family of a run."""
    path = family_file(run)
    console.say(f"loading {run}")
    from ..dynamics import load_family

    return load_family(path)
