"""NetCDF files in and out, by xarray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from .._extra import extra
from .._files import replacing
from ._arrays import read_arrays
from ._bytes import unwritable, whole
from ._fields import AXES, NUMBERS, to_arrays
from ._stored import Stored, here
from ._trajectories import Trajectories


LABELS = {"traj": "labels", "dim": "names", "ctrl": "input_names"}
LABELS["param"] = "param_names"
"""Dimension -> the field whose texts are its coordinate."""
_ATTRS = ("format", "input_kind", "licence")
_BESIDE = ("ts", "units", "angle", "input_units")  # coordinates, too
NOT_WRITTEN = float.fromhex("0x1.ep+122")  # what the NetCDF library leaves there
BROKEN = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError)
"""What xarray and its engines raise for a file that is not whole."""


def read_netcdf(path: str | Path, **options: Any) -> Trajectories:
    """Read a NetCDF file (version 3 or 4); the options are those of `read_npz`.

    Variables in groups are named by their path, `group/name`. Fill values are
    missing samples, packed values are unpacked, and times such as "days since
    2000-01-01" become seconds since the first. Needs the extra `netcdf`.
    **Raises:** as `read_npz`; `MissingExtra`.

    ```python
    >>> import numpy as np, xarray
    >>> from pendula.data import read_netcdf
    >>> days = ("time", [0, 1, 2], {"units": "days since 2000-01-01"})
    >>> level = ("time", [3.1, np.nan, 2.9], {"units": "m"})
    >>> sea = xarray.Dataset({"level": level}, coords={"time": days})
    >>> _ = sea.to_netcdf("sea.nc", engine="h5netcdf")
    >>> data = read_netcdf("sea.nc", time="time", channels="level")
    >>> data.ts.tolist(), data.units, data.origin["epoch"]
    ([[0.0, 86400.0, 172800.0]], ('m',), '2000-01-01T00:00:00')

    ```
    """
    return read_arrays(path, open_netcdf, **options)


@contextlib.contextmanager
def open_netcdf(path: Path) -> Iterator[Mapping[str, Stored]]:
    """The variables of a NetCDF file."""
    xarray = extra("xarray", "netcdf", "read .nc files")
    extra("h5netcdf", "netcdf", "read .nc files")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"CDF\x05":
        raise DataError(
            f"{path.name}: NetCDF files of the 64-bit data kind (CDF-5) are not read. "
            "Convert it: nccopy -k nc4 OLD.nc NEW.nc."
        )
    safe = whole(path, "NetCDF", "xarray", BROKEN)
    with contextlib.ExitStack() as stack:
        groups = safe(lambda: _groups(xarray, path, magic[:3] == b"CDF"))()
        for dataset in groups.values():
            stack.enter_context(dataset)
        arrays = {
            f"{group}/{name}".lstrip("/"): _stored(variable, safe)
            for group, dataset in groups.items()
            for name, variable in dataset.variables.items()
        }
        attrs = groups["/"].attrs
        if "format" in attrs and "ys" in arrays and "ts" in arrays:
            arrays |= {name: here(attrs[name]) for name in _ATTRS if name in attrs}
            arrays["time_unit"] = here(arrays["ts"].unit)
            for dimension, field in LABELS.items():
                if dimension in arrays:
                    arrays[field] = arrays.pop(dimension)
        yield arrays


def _groups(xarray: Any, path: Path, is_classic: bool) -> dict[str, Any]:
    """The groups of a file as datasets, nothing decoded."""
    # each said apart: `decode_cf=False` does not reach the groups
    raw = {"mask_and_scale": False, "decode_times": False, "decode_coords": False}
    if is_classic:
        # not mapped into memory: a mapped file of SciPy's cannot be closed in order
        return {"/": xarray.open_dataset(path, engine="scipy", mmap=False, **raw)}
    return dict(xarray.open_groups(path, engine="h5netcdf", phony_dims="access", **raw))


def _stored(variable: Any, safe: Any) -> Stored:
    attrs = dict(variable.attrs)
    if variable.dtype.kind == "f":
        attrs.setdefault("_FillValue", NOT_WRITTEN)
    load = safe(lambda: np.asarray(variable.values))
    return Stored(variable.shape, variable.dtype, load, attrs)


def write_netcdf(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container as a NetCDF 4 file.

    `ys` has the dimensions `traj`, `time` and `dim`, with NaN where a sample is
    missing; labels and channel names are coordinates, so that
    `xarray.open_dataset(path).ys.sel(dim="theta")` works. Reading gives the same bits
    back. Needs the extra `netcdf`. **Raises:** `DataError` when the file cannot be
    written; `MissingExtra`.
    """
    path, arrays = Path(path), to_arrays(data)
    xarray = extra("xarray", "netcdf", "write .nc files")
    extra("h5netcdf", "netcdf", "write .nc files")
    arrays["ys"] = np.where(data.mask, data.ys, np.nan)
    fields = {field: dimension for dimension, field in LABELS.items()}
    coordinates: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    for name, value in arrays.items():
        if name in fields and value.size:
            coordinates[fields[name]] = value
        elif name in _BESIDE and value.size:
            coordinates[name] = (AXES[name], value)
        elif name in (*NUMBERS, "origin"):
            variables[name] = (AXES[name], value)
    coordinates["ts"] = (*coordinates["ts"], {"units": data.time_unit})
    attrs = {name: arrays[name].item() for name in _ATTRS if name in arrays}
    dataset = xarray.Dataset(variables, coordinates, attrs)
    checked = {name: {"fletcher32": True} for name in NUMBERS if name in arrays}
    try:
        with replacing(path) as temporary:
            dataset.to_netcdf(temporary, engine="h5netcdf", encoding=checked)
    except OSError as error:
        raise unwritable(path, error) from None
    return path
