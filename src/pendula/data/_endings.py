"""Which ending means which format."""

from __future__ import annotations

from pathlib import Path


TEXT = (".csv", ".tsv", ".txt")
ARRAYS = (".npz", ".mat", ".h5", ".nc", ".zarr")
SAME = {".hdf5": ".h5", ".nc4": ".nc", ".pq": ".parquet"}
ENDINGS = (*TEXT, ".parquet", *ARRAYS, *SAME)


def usual(path: Path) -> str:
    """The ending of a name in the form that the tables use.

    ```python
    >>> from pathlib import Path
    >>> from pendula.data._endings import usual
    >>> usual(Path("A.HDF5"))
    '.h5'

    ```
    """
    suffix = path.suffix.lower()
    return SAME.get(suffix, suffix)
