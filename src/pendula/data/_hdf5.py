"""HDF5 files in and out, by h5py."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._extra import extra
from .._files import replacing
from ._arrays import read_arrays
from ._bytes import unwritable, whole
from ._fields import AXES, to_arrays
from ._stored import Stored
from ._trajectories import Trajectories


V73 = "MATLAB 7.3"
_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def read_hdf5(path: str | Path, **options: Any) -> Trajectories:
    """Read an HDF5 file; the options are those of `read_npz`.

    Arrays in groups are named by their path, `group/name`; so are the fields of a
    compound array. Units and missing values are taken from the attributes that
    NetCDF files use. Needs the extra `h5`. **Raises:** as `read_npz`;
    `MissingExtra`.

    ```python
    >>> import h5py
    >>> from pendula.data import read_hdf5
    >>> with h5py.File("rig.h5", "w") as file:
    ...     file["run/clock"] = [0.0, 1.0, 2.0]
    ...     file["run/angle"] = [90.0, 45.0, 0.0]
    ...     file["run/angle"].attrs["units"] = "deg"
    >>> data = read_hdf5("rig.h5", time="run/clock", channels="run/angle")
    >>> data.names, data.units, data.angle, round(float(data.ys[0, 0, 0]), 4)
    (('angle',), ('rad',), (True,), 1.5708)

    ```
    """
    return read_arrays(path, open_hdf5, **options)


@contextlib.contextmanager
def open_hdf5(path: Path, matlab: bool = False) -> Iterator[Mapping[str, Stored]]:
    """The arrays of an HDF5 file. **Arguments:** `matlab`: it is a MATLAB 7.3 file,
    whose axes stand in reverse order."""
    h5py = extra("h5py", "h5", f"read {V73 if matlab else path.suffix} files")
    safe = (
        whole(path, V73, "save(..., '-v7.3') in MATLAB", _ERRORS)
        if matlab
        else whole(path, "HDF5", "h5py", _ERRORS)
    )
    arrays: dict[str, Stored] = {}

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or name.startswith("#"):
            return
        if matlab:
            found = {name: _matlab(node)}
        elif node.dtype.names:
            found = dict(_fields(name, node))
        elif node.shape is None:
            return
        else:
            load = lambda: _values(h5py, node)
            found = {name: Stored(node.shape, node.dtype, load, dict(node.attrs))}
        for path, one in found.items():
            arrays[path] = dataclasses.replace(one, load=safe(one.load))

    with contextlib.ExitStack() as stack:
        safe(lambda: stack.enter_context(h5py.File(path, "r")).visititems(visit))()
        yield arrays


def _fields(name: str, node: Any) -> Iterator[tuple[str, Stored]]:
    """The fields of a compound array, each as an array of its own."""
    for field in node.dtype.names:
        if node.dtype[field].subdtype is None:
            load = lambda field=field: node[field]
            yield f"{name}/{field}", Stored(node.shape, node.dtype[field], load)


def _values(h5py: Any, node: Any) -> np.ndarray:
    if h5py.check_string_dtype(node.dtype) is not None:
        return np.array(node.asstr()[()], dtype=np.str_)
    return np.asarray(node[()])


def _matlab(node: Any) -> Stored:
    """A MATLAB matrix: turned, without the axes of length 1, its class told by an
    attribute; of an empty one only the shape is stored."""
    kind = node.attrs.get("MATLAB_class", b"")
    dtype = np.dtype("U1") if kind == b"char" else node.dtype
    if node.attrs.get("MATLAB_empty", 0):
        return Stored((0,), dtype, lambda: np.zeros(0, dtype))
    shape = tuple(n for n in reversed(node.shape) if n != 1) or (1,)
    return Stored(shape, dtype, lambda: node[()].T.reshape(shape))


def write_hdf5(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container as datasets of an HDF5 file.

    Numbers stand under their field names with checksums and named axes, texts as
    UTF-8 strings, `origin` as JSON. Reading gives the same bits back. Needs the extra
    `h5`. **Raises:** `DataError` when the file cannot be written; `MissingExtra`.
    """
    path, arrays = Path(path), to_arrays(data)
    h5py = extra("h5py", "h5", f"write {path.suffix} files")
    try:
        with replacing(path) as temporary, h5py.File(temporary, "w") as file:
            for name, value in arrays.items():
                if value.dtype.kind == "U":
                    node = file.create_dataset(
                        name, data=value.astype(object), dtype=h5py.string_dtype()
                    )
                else:
                    checked = {"fletcher32": True} if value.size and value.ndim else {}
                    node = file.create_dataset(name, data=value, **checked)
                for axis, word in zip(node.dims, AXES[name], strict=True):
                    axis.label = word
            file["ts"].attrs["units"] = data.time_unit
    except OSError as error:
        raise unwritable(path, error) from None
    return path
