"""Snapshots in files: NetCDF (ours, and any of the CF conventions) and NPZ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError, nearest
from .._extra import extra
from .._files import replacing
from ._bytes import digest, unwritable, whole
from ._cf import decode, elapsed
from ._decisions import as_names
from ._netcdf import BROKEN
from ._npz import open_npz
from ._snapshots import Snapshots
from ._stored import text


_MASK = "mask"
_OWN = "pendula_snapshots"  # attribute of our files: their format
FORMAT = 1
_TIMES = ("time", "t", "ts")
_ABOUT = ("licence", "time_unit")


def check_snapshots_file(path: str | Path) -> Path:
    """A file that snapshots are to be written to, before they are made.

    **Raises:** `ConfigError` for an ending that is not written; `MissingExtra`.
    """
    path = Path(path)
    if path.suffix not in (".nc", ".npz"):
        raise ConfigError(f"{path}: snapshots are written as .nc or .npz files.")
    if path.suffix == ".nc":
        for name in ("xarray", "h5netcdf"):
            extra(name, "netcdf", "write .nc files")
    return path


def write_snapshots(data: Snapshots, path: str | Path) -> Path:
    """Write a set as NetCDF 4 (`.nc`, deflated, needs the extra `netcdf`) or `.npz`.

    In NetCDF every channel is a variable of the dimensions time and the grid's axes,
    with its unit; `mask` is 1 where a cell belongs to the domain; what is known about
    the set stands in the attributes. `read_snapshots` gives the same bits back.
    **Raises:** `ConfigError` for another ending and for names of axes and channels that
    a file cannot hold beside each other; `DataError` when the file cannot be written;
    `MissingExtra`.
    """
    path = check_snapshots_file(path)
    _check_names(data)
    if path.suffix == ".npz":
        return _write_npz(data, path)
    xarray = extra("xarray", "netcdf", "write .nc files")
    dims = ("time", *data.axes)
    variables: dict[str, Any] = {
        name: (dims, data.values[..., c], {"units": data.units[c]})
        for c, name in enumerate(data.names)
    }
    variables[_MASK] = (dims[1:], data.mask.astype(np.int8))
    coordinates: dict[str, Any] = {
        name: (name, x, {"units": unit})
        for (name, x), unit in zip(data.axes.items(), data.axis_units, strict=True)
    }
    coordinates["time"] = ("time", data.ts, {"units": data.time_unit})
    about = json.dumps(_about(data), default=_plain)
    attrs = {
        name: value
        for name, value in json.loads(about)["attrs"].items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    }
    attrs |= {_OWN: FORMAT, "about": about}
    packed = {"zlib": True, "complevel": 4}
    encoding = {name: packed for name in data.names}
    encoding |= {n: {"_FillValue": None} for n in (*data.axes, "time")}
    try:
        with replacing(path) as temporary:
            xarray.Dataset(variables, coordinates, attrs).to_netcdf(
                temporary, engine="h5netcdf", encoding=encoding
            )
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def _check_names(data: Snapshots) -> None:
    seen = {"time", _MASK}
    for name in (*data.axes, *data.names):
        if name in seen or not name or "/" in name:
            raise ConfigError(
                f"the name {name!r} of an axis or a channel is taken, empty or a path "
                "(time and mask are the file's own). Rename it."
            )
        seen.add(name)


def _plain(value: Any) -> Any:
    """What JSON does not know: numbers and arrays of NumPy's, else text."""
    known = isinstance(value, np.generic | np.ndarray)
    return value.tolist() if known else str(value)


def _about(data: Snapshots) -> dict[str, Any]:
    return {
        "attrs": dict(data.attrs),
        "licence": data.licence,
        "time_unit": data.time_unit,
        "origin": dict(data.origin),
        "names": list(data.names),
        "units": list(data.units),
        "axes": list(data.axes),
        "axis_units": list(data.axis_units),
    }


def _write_npz(data: Snapshots, path: Path) -> Path:
    arrays = {
        _OWN: np.array(FORMAT),
        "ts": data.ts,
        "values": data.values,
        "mask": data.mask,
        "about": np.array(json.dumps(_about(data), default=_plain)),
    }
    arrays |= {f"axis_{k}": x for k, x in enumerate(data.axes.values())}
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def read_snapshots(
    path: str | Path,
    channels: str | Sequence[str] | None = None,
    *,
    gaps: str = "error",
    licence: str | None = None,
) -> Snapshots:
    """Read what `write_snapshots` wrote, or any NetCDF file of the CF conventions with
    variables over time and a grid.

    **Arguments:**
    - `channels`: variables to read; default all numbers over (time, grid) of the same
      grid as the first.
    - `gaps`: what becomes of a cell that lacks some of its values. `"error"` refuses
      the file and names the first, `"mask"` puts such cells outside the domain. Cells
      without any value (land) always lie outside.
    - `licence`: of the data, instead of what the file says.

    **Returns:** a `Snapshots`; times such as "days since 2000-01-01" are in seconds
    since the first snapshot (`origin["epoch"]` is its date), packed values unpacked.
    **Raises:** `DataError` for a file that cannot be read, without such variables or
    with gaps; `ConfigError` for a channel that is not there; `MissingExtra`.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Snapshots, read_snapshots, write_snapshots
    >>> axes = {"x": [0, 1], "y": [0, 1, 2]}
    >>> data = Snapshots.of([0, 1], np.ones((2, 2, 3)), axes=axes, names=("u",))
    >>> back = read_snapshots(write_snapshots(data, "wave.nc"))
    >>> back.names, back.grid, bool(np.all(back.values == data.values))
    (('u',), (2, 3), True)

    ```
    """
    path = Path(path)
    if gaps not in ("error", "mask"):
        raise ConfigError(f'gaps is "{gaps}"; expected "error" or "mask".')
    origin = {"path": str(path), "sha256": digest(path)}
    if path.suffix == ".npz":
        data = _read_npz(path)
        if licence is not None:
            data = dataclasses.replace(data, licence=licence)
        return data if channels is None else data.select(*as_names(channels))
    xarray = extra("xarray", "netcdf", "read .nc files")
    extra("h5netcdf", "netcdf", "read .nc files")
    with (
        whole(path, "NetCDF", "xarray", BROKEN),
        xarray.open_dataset(
            path, mask_and_scale=False, decode_times=False, decode_coords=False
        ) as file,
    ):
        return _from_dataset(file, path.name, channels, gaps, licence, origin)


def _from_dataset(
    file: Any,
    place: str,
    channels: str | Sequence[str] | None,
    gaps: str,
    licence: str | None,
    origin: dict[str, Any],
) -> Snapshots:
    own = _OWN in file.attrs
    if own:
        _check_format(place, int(file.attrs[_OWN]))
    names, dims = _channels(file, place, channels)
    if 0 in file[names[0]].shape:
        raise DataError(
            f"{place}: there are no snapshots in it. Give a file with data."
        )
    about = json.loads(file.attrs["about"]) if own else {}
    if own and channels is None:
        names = [name for name in about["names"] if name in names]
    values = np.stack(
        [decode(np.asarray(file[n].values), file[n].attrs) for n in names], axis=-1
    )
    axes = {
        d: np.asarray(file[d].values if d in file.variables else range(file.sizes[d]))
        for d in dims[1:]
    }
    units = tuple(text(file[name].attrs.get("units", "1")) for name in names)
    axis_units = tuple(
        text(file[d].attrs.get("units", "")) if d in file.variables else ""
        for d in dims[1:]
    )
    if own:
        mask = file[_MASK].values.astype(bool)
        fields = {"attrs": about["attrs"], "origin": about["origin"]}
        unit = about["time_unit"]
        ts, licence = np.asarray(file[dims[0]].values), licence or about["licence"]
    else:
        mask = _domain(values, names, gaps, place)
        ts, unit, epoch = _times(file[dims[0]], place)
        if epoch is not None:
            origin = {**origin, "epoch": epoch}
        fields = {"origin": origin}
    try:
        return Snapshots.of(
            ts,
            values,
            axes=axes,
            mask=mask,
            names=tuple(names),
            units=units,
            axis_units=axis_units,
            time_unit=unit,
            licence=licence,
            **fields,
        )
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def _channels(
    file: Any, place: str, channels: str | Sequence[str] | None
) -> tuple[list[str], tuple[str, ...]]:
    """Names of the variables to read, and their dimensions."""

    def is_field(variable: Any) -> bool:
        dims = variable.dims
        has_time = bool(dims) and (
            dims[0].lower() in _TIMES
            or (dims[0] in file and " since " in text(file[dims[0]].attrs.get("units")))
        )
        bounds = any("bnds" in d or "bounds" in d or d == "nv" for d in dims)
        is_number = variable.dtype.kind in "fiu"
        return has_time and len(dims) > 1 and not bounds and is_number

    found = [name for name, v in file.data_vars.items() if is_field(v)]
    if not found:
        told = ", ".join(f"{n} {v.dims}" for n, v in file.data_vars.items())
        raise DataError(
            f"{place}: no variable over (time, grid). It has {told or 'none'}. The "
            "first dimension must be named time, or count from a date."
        )
    if channels is None:
        dims = file[found[0]].dims
        return [name for name in found if file[name].dims == dims], dims
    chosen = list(as_names(channels))
    for name in chosen:
        if name not in found:
            raise ConfigError(
                f"{place}: no field {name!r}.{nearest(name, found)} Fields: "
                f"{', '.join(found)}."
            )
    dims = file[chosen[0]].dims
    for name in chosen[1:]:
        if file[name].dims != dims:
            raise ConfigError(
                f"{place}: {name} has the dimensions {file[name].dims}, {chosen[0]} "
                f"{dims}. Read them apart."
            )
    return chosen, dims


def _domain(values: np.ndarray, names: list[str], gaps: str, place: str) -> np.ndarray:
    """True where a cell has all of its values; sometimes missing ones by `gaps`."""
    missing = ~np.isfinite(values)
    never = missing.all(axis=(0, -1))
    some = missing.any(axis=(0, -1)) & ~never
    if some.any() and gaps == "error":
        cell = tuple(int(i) for i in np.argwhere(some)[0])
        at, channel = np.argwhere(missing[(slice(None), *cell)])[0]
        raise DataError(
            f"{place}: {names[channel]} is missing in snapshot {at} at cell {cell}, "
            f"and {int(some.sum())} cells lack some of their values. Fill them, or "
            'leave such cells out with gaps="mask".'
        )
    return np.logical_not(never | some)


def _times(variable: Any, place: str) -> tuple[np.ndarray, str, str | None]:
    unit = text(variable.attrs.get("units", ""))
    values = np.asarray(variable.values, np.float64)
    calendar = text(variable.attrs.get("calendar", "standard"))
    since = elapsed(place, values, unit, calendar)
    if since is None:
        return values, unit, None
    return since[0], "s", since[1]


def _read_npz(path: Path) -> Snapshots:
    with open_npz(path) as stored, whole(path, "NPZ", "write_snapshots", BROKEN):
        arrays = {name: one.load() for name, one in stored.items()}
        if _OWN not in arrays:
            raise DataError(
                f"{path.name}: these are no snapshots of Pendula's. Give a NetCDF file "
                "or one that write_snapshots wrote."
            )
        _check_format(path.name, int(arrays[_OWN]))
        about = json.loads(str(arrays["about"]))
        axes = {n: arrays[f"axis_{k}"] for k, n in enumerate(about["axes"])}
        return Snapshots(
            arrays["ts"],
            arrays["values"],
            arrays["mask"],
            axes,
            tuple(about["names"]),
            tuple(about["units"]),
            about["time_unit"],
            tuple(about["axis_units"]),
            about["attrs"],
            about["licence"],
            about["origin"],
        )


def _check_format(place: str, number: int) -> None:
    if number > FORMAT:
        raise DataError(
            f"{place}: the file has format {number}; this Pendula reads up to "
            f"{FORMAT}. Update Pendula."
        )
