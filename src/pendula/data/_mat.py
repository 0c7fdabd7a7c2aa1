"""MATLAB files in and out: version 5 and 7 by SciPy, 7.3 (which is HDF5) by h5py."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replacing
from ._arrays import is_own, read_arrays
from ._bytes import read_bytes, unwritable, whole
from ._fields import AXES, to_arrays
from ._hdf5 import V73, open_hdf5
from ._stored import Stored, here
from ._trajectories import Trajectories


def read_mat(path: str | Path, **options: Any) -> Trajectories:
    """Read a MATLAB file; the options are those of `read_npz`.

    Row and column vectors count as vectors, other axes of length 1 are dropped; the
    fields of a struct `s` are named `s/field`. Files of version 7.3 need the extra
    `h5`. **Raises:** as `read_npz`; `MissingExtra`.

    ```python
    >>> import numpy as np, scipy.io
    >>> from pendula.data import read_mat
    >>> run = {"t": np.arange(3.0), "q": np.array([1.0, 2.0, 4.0])}
    >>> scipy.io.savemat("rig.mat", {"run": run})
    >>> read_mat("rig.mat", time="run/t", channels="run/q").names
    ('q',)

    ```
    """
    return read_arrays(path, open_mat, **options)


@contextlib.contextmanager
def open_mat(path: Path) -> Iterator[Mapping[str, Stored]]:
    """The arrays of a MATLAB file."""
    with path.open("rb") as file:
        is_hdf5 = file.read(len(V73)) == V73.encode()
    if is_hdf5:
        with open_hdf5(path, matlab=True) as arrays:
            yield arrays
        return
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    raw = read_bytes(path)
    errors = (MatReadError, ValueError, TypeError, KeyError, IndexError, EOFError)
    errors += (OSError, NotImplementedError, struct.error, zlib.error)
    with whole(path, "MATLAB", "save in MATLAB", errors):
        content = loadmat(io.BytesIO(raw))
        variables = {n: v for n, v in content.items() if not n.startswith("__")}
        if is_own({n: here(v) for n, v in variables.items()}):
            arrays = {n: here(v) for n, v in _restored(variables).items()}
        else:
            flat = (p for n, v in variables.items() for p in _flat(n, np.asarray(v)))
            arrays = dict(flat)
    yield arrays


def _flat(name: str, value: np.ndarray) -> Iterator[tuple[str, Stored]]:
    """A variable, or the fields of a struct; MATLAB knows no vectors, only matrices
    with an axis of length 1."""
    if value.dtype.names and value.size == 1:
        for field in value.dtype.names:
            yield from _flat(f"{name}/{field}", np.asarray(value[field].item()))
    else:
        yield name, here(value.squeeze() if value.size > 1 else value.ravel())


def _restored(variables: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our own fields with the axes they had: MATLAB adds some, and drops the last
    when its length is 1; texts are cells."""
    out = {}
    shape = variables["ts"].shape
    for name, axes in AXES.items():
        if name not in variables:
            continue
        value = variables[name]
        if value.dtype.kind in "OU":
            cells = value.ravel() if value.dtype.kind == "O" else [value]
            texts = np.array(["".join(np.ravel(cell)) for cell in cells], np.str_)
            out[name] = texts if axes else texts[0]
        elif len(axes) == 3:
            out[name] = value.reshape(*shape, value.size // (shape[0] * shape[1]))
        elif axes == ("traj", "param"):
            out[name] = value.reshape(shape[0], value.size // shape[0])
        else:
            out[name] = value if len(axes) == 2 else value.reshape([-1] * len(axes))
    return out


def write_mat(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container as a MATLAB file (version 7).

    Arrays stand under their field names, lists of texts are cells: in MATLAB
    `m = load('run.mat'); plot(m.ts', m.ys(:, :, 1)')`. Reading gives the same bits
    back. **Raises:** `DataError` when the file cannot be written.
    """
    from scipy.io import savemat

    path, variables = Path(path), {}
    for name, value in to_arrays(data).items():
        if value.dtype.kind == "U" and value.ndim:
            cells = np.empty(len(value), object)
            cells[:] = value.tolist()
            value = cells
        variables[name] = value
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            # compressed variables carry a checksum
            savemat(file, variables, do_compression=True, oned_as="row")
    except OSError as error:
        raise unwritable(path, error) from None
    return path
