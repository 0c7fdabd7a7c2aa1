"""Zarr stores in and out: folders of chunks, by zarr."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from .._extra import extra
from .._files import replacing_folder
from ._arrays import is_own, read_arrays
from ._bytes import unwritable, whole
from ._fields import AXES, to_arrays
from ._stored import Stored, here
from ._trajectories import Trajectories


_MARKS = ("zarr.json", ".zgroup", ".zarray")  # of version 3, and of 2
_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def read_zarr(path: str | Path, **options: Any) -> Trajectories:
    """Read a Zarr store (a folder; version 2 or 3); the options are those of
    `read_npz`.

    Arrays in groups are named by their path, `group/name`. Units, missing values and
    dates are taken from the attributes that NetCDF files use, as xarray writes them.
    Needs the extra `zarr`. **Raises:** as `read_npz`; `MissingExtra`.

    ```python
    >>> import numpy as np, zarr
    >>> from pendula.data import read_zarr
    >>> store = zarr.create_group("rig.zarr")
    >>> _ = store.create_array("t", data=np.arange(3.0))
    >>> _ = store.create_array("q", data=np.array([1.0, np.nan, 3.0]))
    >>> int(read_zarr("rig.zarr", time="t", channels="q").mask.sum())
    2

    ```
    """
    return read_arrays(path, open_zarr, **options)


def is_store(path: Path) -> bool:
    """Whether a folder is a Zarr store."""
    return any((path / mark).is_file() for mark in _MARKS)


@contextlib.contextmanager
def open_zarr(path: Path) -> Iterator[Mapping[str, Stored]]:
    """The arrays of a Zarr store."""
    zarr = extra("zarr", "zarr", "read .zarr folders")
    if not is_store(path):
        raise DataError(
            f"{path.name}: it is not a Zarr store. Expected a folder with "
            f"{' or '.join(_MARKS[:2])}. Copy the whole folder."
        )
    safe = whole(path, "Zarr", "zarr.create_group", _ERRORS)
    arrays, attrs = safe(lambda: _members(zarr, path))()
    stored = {name: _stored(array, safe) for name, array in arrays.items()}
    own = {n: here(v) for n, v in attrs.items() if n in AXES}
    if is_own({**stored, **own}):
        _check_chunks(path, arrays)
        stored |= own
    yield stored


def _members(zarr: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a store by their paths, and the attributes of its root."""
    root = zarr.open(store=path, mode="r")
    if isinstance(root, zarr.Array):
        return {path.stem: root}, {}
    members = dict(root.members(max_depth=None))
    arrays = {n: node for n, node in members.items() if isinstance(node, zarr.Array)}
    return arrays, dict(root.attrs)


def _stored(array: Any, safe: Any) -> Stored:
    attrs = dict(array.attrs)
    fill = attrs.get("_FillValue")
    if isinstance(fill, str):  # xarray's form of a float in JSON
        try:
            attrs["_FillValue"] = np.frombuffer(base64.b64decode(fill), "<f8")
        except (ValueError, binascii.Error):
            del attrs["_FillValue"]
    elif fill is None and "_ARRAY_DIMENSIONS" in attrs:  # xarray in version 2
        attrs["_FillValue"] = [] if array.fill_value is None else array.fill_value
    load = safe(lambda: np.asarray(array[...]))
    return Stored(array.shape, array.dtype, load, attrs)


def _check_chunks(path: Path, arrays: Mapping[str, Any]) -> None:
    """A chunk that is not there would read as zeros; our own writer writes all."""
    for name, array in arrays.items():
        if array.nchunks_initialized < array.nchunks:
            raise DataError(
                f'{path.name}, array "{name}": {array.nchunks_initialized} of '
                f"{array.nchunks} chunks are there. Copy the whole folder."
            )


def write_zarr(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container as a Zarr store (version 3), a folder.

    Arrays of numbers stand under their field names, with checksums and named axes;
    texts are attributes of the group. Reading gives the same bits back. An existing
    store is replaced. Needs the extra `zarr`. **Raises:** `DataError` when it cannot be
    written, or another folder is in the way; `MissingExtra`.
    """
    path, arrays = Path(path), to_arrays(data)
    zarr = extra("zarr", "zarr", "write .zarr folders")
    if path.exists() and not (path.is_dir() and is_store(path)):
        raise DataError(
            f"{path}: something else than a Zarr store is there, and is not replaced. "
            "Choose another name."
        )
    texts = {n: a.tolist() for n, a in arrays.items() if a.dtype.kind == "U"}
    codecs = extra("zarr.codecs", "zarr", "write .zarr folders")
    checked = codecs.ZstdCodec(checksum=True)
    try:
        with replacing_folder(path) as temporary:
            group = zarr.create_group(
                temporary, attributes={**texts, "format": arrays["format"].item()}
            )
            for name, value in arrays.items():
                if name not in texts and name != "format":
                    group.create_array(
                        name,
                        data=value,
                        dimension_names=AXES[name],
                        compressors=checked,
                        config={"write_empty_chunks": True},
                        attributes={"units": data.time_unit} if name == "ts" else None,
                    )
    except OSError as error:
        raise unwritable(path, error) from None
    return path
