"""One entry for every file the readers know, and for folders of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .._errors import ConfigError, DataError, nearest
from ._arrays import read_arrays
from ._bytes import digest
from ._csv import read_csv
from ._endings import ENDINGS, TEXT, usual
from ._hdf5 import open_hdf5
from ._join import join
from ._mat import open_mat
from ._netcdf import open_netcdf
from ._npz import open_npz
from ._parquet import read_parquet
from ._stored import Open
from ._trajectories import Trajectories
from ._zarr import is_store, open_zarr


OPENERS: dict[str, Open] = {
    ".npz": open_npz,
    ".mat": open_mat,
    ".h5": open_hdf5,
    ".nc": open_netcdf,
    ".zarr": open_zarr,
}


def read(path: str | Path | Iterable[str | Path], **options: Any) -> Trajectories:
    """Read a file, several files, or all data files of a folder (sorted by name).

    The ending says the format: `.csv`, `.tsv`, `.txt`, `.parquet`, `.npz`, `.mat`,
    `.h5`, `.hdf5`, `.nc`, `.zarr`. Several files, or those of a folder, are one
    trajectory each (own files that hold several: all of theirs).
    **Arguments:** `options` are those of `read_csv` for tables (text and Parquet)
    and of `read_npz` for arrays (all others).
    **Raises:** `DataError`, `ConfigError`; `MissingExtra` for a format whose package
    is not installed.
    """
    paths = data_files(path)
    kinds = {"text" if usual(p) in TEXT else usual(p) for p in paths}
    if len(kinds) > 1:
        raise DataError(
            f"{paths[0]} and {len(paths) - 1} more are of different kinds "
            f"({', '.join(sorted(kinds))}). Files read together need one kind. Name "
            "the files."
        )
    kind = kinds.pop()
    if kind == "text":
        return read_csv(paths, **options)
    if kind == ".parquet":
        return read_parquet(paths, **options)
    given = {name: value for name, value in options.items() if value is not None}
    for name in ("traj", "ignore", "units"):
        if name in given:
            raise ConfigError(
                f"--{name} does not apply to {kind} files: each array has its name. "
                "Choose arrays with --channels and --inputs."
            )
    return join([read_arrays(p, OPENERS[kind], **given) for p in paths])


def data_files(path: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that are meant: themselves, or those of a folder; a Zarr store is a
    folder that counts as a file. **Raises:** `DataError` when there is none."""
    if not isinstance(path, str | Path):
        if not isinstance(path, Iterable):
            raise DataError(
                f"{path!r:.60} names no file. Give a path, or several of them."
            )
        found = [p for one in path for p in data_files(one)]
        if not found:
            raise DataError("no file given. At least one is needed.")
        return found
    path = Path(path)
    if path.is_dir() and usual(path) != ".zarr":
        return _of_folder(path)
    if usual(path) not in ENDINGS and path.exists():
        raise DataError(
            f'{path}: files ending in "{path.suffix}" are not read.'
            f"{nearest(path.suffix.lower(), ENDINGS)} Expected {', '.join(ENDINGS)}. "
            "Convert the file, or rename it if it is CSV."
        )
    if usual(path) not in ENDINGS:
        digest(path)  # raises: there is no such file
    return [path]


def _of_folder(path: Path) -> list[Path]:
    if is_store(path):
        raise DataError(
            f"{path}: the folder is a Zarr store, but its name does not say so. "
            f"Rename it to {path.name}.zarr."
        )
    # .txt in a folder is more often a note than a table
    endings = [ending for ending in ENDINGS if ending != ".txt"]
    found = sorted(
        p
        for p in path.iterdir()
        if p.suffix.lower() in endings
        and not p.name.startswith(".")
        and p.is_dir() == (usual(p) == ".zarr")
    )
    if not found:
        raise DataError(
            f"{path}: the folder holds no data file. Expected files ending in "
            f"{', '.join(endings)}. Check the path."
        )
    return found
