"""Trajectories out, by the ending of the name: whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .._errors import ConfigError, nearest
from ._endings import usual
from ._hdf5 import write_hdf5
from ._mat import write_mat
from ._netcdf import write_netcdf
from ._npz import write_npz
from ._parquet import write_parquet
from ._trajectories import Trajectories
from ._write_csv import write_csv
from ._zarr import write_zarr


WRITERS: dict[str, Callable[[Trajectories, str | Path], Path]] = {
    ".csv": write_csv,
    ".tsv": write_csv,
    ".npz": write_npz,
    ".mat": write_mat,
    ".h5": write_hdf5,
    ".nc": write_netcdf,
    ".parquet": write_parquet,
    ".zarr": write_zarr,
}


def write(data: Trajectories, path: str | Path) -> Path:
    """Write by the ending of the name: `.csv`, `.tsv`, `.npz`, `.mat`, `.h5`, `.nc`,
    `.parquet` or `.zarr`.

    All but CSV, TSV and Parquet keep every field; all give the same bits back.
    **Raises:** `ConfigError` for another ending, `MissingExtra` for a format whose
    package is not installed, `DataError` when the file cannot be written.

    ```python
    >>> from pendula.data import Trajectories, read, write
    >>> data = Trajectories.from_arrays([0.0, 0.1, 0.2], [1.0, 0.5, 0.1])
    >>> write(data, "swing.h5").name
    'swing.h5'
    >>> bool((read("swing.h5").ys == data.ys).all())
    True

    ```
    """
    return WRITERS[check_writable(path)](data, path)


def check_writable(path: str | Path) -> str:
    """The usual ending of a file that is to be written, before its data are made.

    **Raises:** `ConfigError` for an ending that is not written.
    """
    suffix = usual(Path(path))
    if suffix not in WRITERS:
        raise ConfigError(
            f'{path}: cannot write "{suffix}" files.{nearest(suffix, WRITERS)} '
            f"Endings: {', '.join(WRITERS)}."
        )
    return suffix
