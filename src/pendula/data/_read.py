"""One entry for every file the readers know, and for folders of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .._errors import ConfigError, DataError, nearest
from ._arrays import read_mat, read_npz
from ._csv import read_csv
from ._join import join
from ._table import read_bytes
from ._trajectories import Trajectories


TEXT = (".csv", ".tsv", ".txt")
ARRAYS: dict[str, Callable[..., Trajectories]] = {".npz": read_npz, ".mat": read_mat}
ENDINGS = (*TEXT, *ARRAYS)


def read(path: str | Path | Iterable[str | Path], **options: Any) -> Trajectories:
    """Read a file, several files, or all data files of a folder (sorted by name).

    Several files, or those of a folder, are one trajectory each (own NPZ files:
    all of theirs). **Arguments:** `options` are those of `read_csv` for text files
    and of `read_npz` for arrays.
    **Raises:** `DataError`, `ConfigError`.
    """
    paths = _files(path)
    kinds = sorted({"text" if p.suffix.lower() in TEXT else p.suffix for p in paths})
    if len(kinds) > 1:
        raise DataError(
            f"{paths[0]} and {len(paths) - 1} more are of different kinds "
            f"({', '.join(kinds)}). Files read together need one kind. Name the files."
        )
    suffix = paths[0].suffix.lower()
    if suffix in TEXT:
        return read_csv(paths, **options)
    reader = ARRAYS[suffix]
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("traj", "ignore", "units"):
        if name in given:
            raise ConfigError(
                f"--{name} does not apply to {suffix} files: each array has its name. "
                "Choose arrays with --channels and --inputs."
            )
    return join([reader(p, **given) for p in paths])


def _files(path: str | Path | Iterable[str | Path]) -> list[Path]:
    if not isinstance(path, str | Path):
        found = [p for one in path for p in _files(one)]
        if not found:
            raise DataError("no file given. At least one is needed.")
        return found
    path = Path(path)
    if path.is_dir():
        # .txt in a folder is more often a note than a table
        endings = [ending for ending in ENDINGS if ending != ".txt"]
        found = sorted(
            p for p in path.iterdir() if p.is_file() and p.suffix.lower() in endings
        )
        if not found:
            raise DataError(
                f"{path}: the folder holds no data file. Expected files ending in "
                f"{', '.join(endings)}. Check the path."
            )
        return found
    if path.suffix.lower() not in ENDINGS and path.exists():
        raise DataError(
            f'{path}: files ending in "{path.suffix}" are not read.'
            f"{nearest(path.suffix.lower(), ENDINGS)} Expected {', '.join(ENDINGS)}. "
            "Convert the file, or rename it if it is CSV."
        )
    if path.suffix.lower() not in ENDINGS:
        read_bytes(path)  # raises: there is no such file
    return [path]
