"""Files of named arrays in: NPZ (our own and others') and MATLAB v5."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError, PendulaError, nearest
from ._csv import check_channels
from ._decisions import (
    Decision,
    as_names,
    decide_angle,
    decide_input_kind,
    records,
)
from ._table import read_bytes
from ._trajectories import Trajectories
from ._write import FORMAT


OWN = ("format", "ts", "ys", "mask")  # a file with all of these is our own
_TEXTS = ("names", "units", "input_names", "input_units", "param_names", "labels")


def read_npz(
    path: str | Path,
    *,
    time: str | None = None,
    dt: float | None = None,
    channels: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    angles: str | Sequence[str] | None = None,
    input_kind: str | None = None,
    licence: str | None = None,
) -> Trajectories:
    """Read an NPZ file.

    Our own files (written by `write_npz`) need nothing; `channels` selects. Of a
    foreign file `channels` names the arrays to observe, `time` the array of times
    (or `dt` the step) and `inputs` those of the inputs. Times have shape
    `"time"` or `"traj time"`; the others that of the times, or one axis more.

    **Raises:** `DataError` for a file that is no NPZ, is cut short, holds pickled
    objects, or arrays that do not fit; `ConfigError` for unknown names.
    """
    path = Path(path)
    raw = read_bytes(path)
    arrays = _load_npz(path, raw)
    origin = {"path": str(path), "rows": 0, "sha256": hashlib.sha256(raw).hexdigest()}
    if all(name in arrays for name in OWN):
        for option, given in (("--time", time), ("--dt", dt), ("--inputs", inputs)):
            if given is not None:
                raise ConfigError(
                    f"{option} {given}: {path.name} is a Pendula file, which says "
                    f"itself what its arrays are. Leave {option} out."
                )
        data = _own(path, arrays)
        if input_kind is not None:
            data = data.replace(f"inputs {input_kind}", input_kind=input_kind)
        return data if channels is None else data.channels(as_names(channels))
    return foreign(
        path.name,
        arrays,
        origin,
        time=time,
        dt=dt,
        channels=as_names(channels),
        inputs=as_names(inputs),
        angles=None if angles is None else as_names(angles),
        input_kind=input_kind,
        licence=licence,
    )


def _load_npz(path: Path, raw: bytes) -> dict[str, np.ndarray]:
    broken = DataError(
        f"{path.name}: the file is not a whole NPZ file (cut short or another "
        "format). Expected what numpy.savez writes. Write or copy it again."
    )
    if not zipfile.is_zipfile(io.BytesIO(raw)):
        raise broken
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError):
        raise broken from None
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path.name}: the file holds pickled Python objects. They can run "
                "code when read, so they are refused. Save plain number arrays."
            ) from None
        raise broken from None


def _own(path: Path, arrays: dict[str, np.ndarray]) -> Trajectories:
    version = int(arrays["format"])
    if version > FORMAT:
        raise DataError(
            f"{path.name}: the file has format {version}; this Pendula reads up to "
            f"{FORMAT}. Update Pendula."
        )
    fields: dict[str, Any] = {
        name: arrays.get(name) for name in ("ts", "ys", "mask", "us", "env", "params")
    }
    for name in _TEXTS:
        if name in arrays:
            fields[name] = tuple(map(str, arrays[name].tolist()))
    if "angle" in arrays:
        fields["angle"] = tuple(map(bool, arrays["angle"].tolist()))
    for name in ("input_kind", "time_unit", "licence"):
        if name in arrays:
            fields[name] = str(arrays[name])
    try:
        fields["origin"] = json.loads(str(arrays.get("origin", "{}")))
        return Trajectories(**fields)
    except (PendulaError, json.JSONDecodeError) as error:
        raise DataError(f"{path.name}: the arrays do not fit: {error}") from None


def foreign(
    place: str,
    arrays: dict[str, np.ndarray],
    origin: dict[str, Any],
    *,
    time: str | None,
    dt: float | None,
    channels: tuple[str, ...],
    inputs: tuple[str, ...],
    angles: tuple[str, ...] | None,
    input_kind: str | None,
    licence: str | None,
) -> Trajectories:
    """`Trajectories` from named arrays whose roles are given."""
    listed = ", ".join(f"{n} {a.shape}" for n, a in arrays.items()) or "none"
    if not channels or (time is None and dt is None):
        raise ConfigError(
            f"{place} is not a file of Pendula's own: say which arrays are what, with "
            f"--time NAME (or --dt STEP) and --channels NAME,... Arrays: {listed}."
        )
    if time is not None and dt is not None:
        raise ConfigError("--time and --dt are given; expected one. Leave one out.")
    if dt is not None and not (np.isfinite(dt) and dt > 0):
        raise ConfigError(f"--dt {dt:g}: the sampling step must be positive.")
    for name in ((time,) if time else ()) + channels + inputs:
        if name not in arrays:
            raise ConfigError(
                f'{place} has no array "{name}".{nearest(name, arrays)} Arrays: '
                f"{listed}."
            )
    first = _numbers(place, channels[0], arrays)
    ts = np.arange(len(first)) * (dt or 1.0)
    ts = ts if time is None else _numbers(place, time, arrays)
    if ts.ndim > 2:
        raise DataError(
            f'{place}, array "{time}": times have shape {ts.shape}; expected (time,) '
            "or (traj, time)."
        )
    ys, names = _stack(place, channels, arrays, ts)
    us, input_names = _stack(place, inputs, arrays, ts) if inputs else (None, ())
    if ts.ndim == 1:
        ts, ys, us = ts[None], ys[None], None if us is None else us[None]
    for i, t in enumerate(ts):
        wrong = np.flatnonzero(~(np.diff(t) > 0))
        if len(wrong):
            k = int(wrong[0]) + 1
            raise DataError(
                f'{place}, array "{time}", trajectory {i}, sample {k}: time {t[k]:g} '
                f"after {t[k - 1]:g}. Times must increase. Sort them."
            )
    decisions, kind = [], "spline"
    if us is not None:
        kind, decision = decide_input_kind(list(us), input_kind)
        decisions.append(decision)
    choice = f"array {time}" if time else f"sample number times {dt:g}"
    decisions.append(Decision("time", choice, "given", "--time NAME or --dt STEP"))
    try:
        data = Trajectories.from_arrays(
            list(ts),
            list(ys),
            None if us is None else list(us),
            names=names,
            angle=tuple(decide_angle(n, "", angles) for n in names),
            input_names=input_names,
            input_kind=kind,
            licence=licence,
            origin={
                "files": [{**origin, "rows": int(ts.size)}],
                "decisions": records(decisions),
            },
        )
    except PendulaError as error:
        raise DataError(f"{place}: {error}") from None
    check_channels(data, place)
    return data


def _numbers(place: str, name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    value = arrays[name]
    if value.dtype.kind not in "fiub" or value.ndim == 0:
        raise DataError(
            f'{place}, array "{name}": {value.dtype} of shape {value.shape} is not an '
            "array of real numbers. Name another array."
        )
    return value.astype(np.float64)


def _stack(
    place: str, wanted: tuple[str, ...], arrays: dict[str, np.ndarray], ts: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Arrays of the shape of the times, or with one axis more, side by side."""
    columns, names = [], []
    for name in wanted:
        value = _numbers(place, name, arrays)
        if value.shape == ts.shape:
            columns.append(value[..., None])
            names.append(name)
        elif value.ndim == ts.ndim + 1 and value.shape[:-1] == ts.shape:
            columns.append(value)
            width = value.shape[-1]
            names += [name] if width == 1 else [f"{name}_{j}" for j in range(width)]
        else:
            raise DataError(
                f'{place}, array "{name}": shape {value.shape} does not fit the times '
                f"{ts.shape}. Expected that shape, or one axis more at the end."
            )
    return np.concatenate(columns, axis=-1), tuple(names)


def read_mat(path: str | Path, **options: Any) -> Trajectories:
    """Read a MATLAB file of version 5 or 7 (not 7.3) like a foreign NPZ file; the
    options are those of `read_npz`. Row and column vectors count as vectors."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    path = Path(path)
    raw = read_bytes(path)
    try:
        content = loadmat(io.BytesIO(raw))
    except NotImplementedError:
        raise DataError(
            f"{path.name}: MATLAB 7.3 files are not read. Save it in MATLAB with "
            "save(..., '-v7'), or as CSV."
        ) from None
    except (MatReadError, ValueError, TypeError, EOFError, OSError, zlib.error):
        raise DataError(
            f"{path.name}: the file is not a whole MATLAB file. Expected version 5 "
            "or 7. Write or copy it again."
        ) from None
    arrays = {n: a for n, a in content.items() if not n.startswith("__")}
    arrays = {n: a.ravel() if 1 in a.shape else a for n, a in arrays.items()}
    options["channels"] = as_names(options.get("channels"))
    options["inputs"] = as_names(options.get("inputs"))
    if options.get("angles") is not None:
        options["angles"] = as_names(options["angles"])
    empty = dict.fromkeys(("time", "dt", "angles", "input_kind", "licence"))
    digest = hashlib.sha256(raw).hexdigest()
    origin = {"path": str(path), "rows": 0, "sha256": digest}
    return foreign(path.name, arrays, origin, **{**empty, **options})
