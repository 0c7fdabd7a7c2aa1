"""Files of named arrays in, whatever their format: our own, and others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import ConfigError
from ._bytes import digest
from ._columns import check_angles
from ._decisions import as_names
from ._fields import AXES, OWN, from_arrays
from ._foreign import foreign
from ._inputs import check_input_kind
from ._stored import Open, Stored
from ._trajectories import Trajectories


def read_arrays(
    path: str | Path,
    opened: Open,
    *,
    time: str | None = None,
    dt: float | None = None,
    channels: str | Sequence[str] | None = None,
    inputs: str | Sequence[str] | None = None,
    angles: str | Sequence[str] | None = None,
    input_kind: str | None = None,
    licence: str | None = None,
) -> Trajectories:
    """Read a file whose arrays `opened` gives; the options are those of `read_npz`."""
    path = Path(path)
    if input_kind is not None:
        check_input_kind(input_kind)
    origin = {"path": str(path), "rows": 0, "sha256": digest(path)}
    with opened(path) as arrays:
        if not is_own(arrays):
            return foreign(
                path.name,
                arrays,
                origin,
                time=time,
                dt=dt,
                channels=channels,
                inputs=inputs,
                angles=angles,
                input_kind=input_kind,
                licence=licence,
            )
        for option, given in (("--time", time), ("--dt", dt), ("--inputs", inputs)):
            if given is not None:
                raise ConfigError(
                    f"{option} {given}: {path.name} is a Pendula file, which says "
                    f"itself what its arrays are. Leave {option} out."
                )
        fields = {name: arrays[name].load() for name in AXES if name in arrays}
    data = _read_from(origin, from_arrays(path.name, fields))
    if input_kind is not None:
        data = data.replace(f"inputs {input_kind}", input_kind=input_kind)
    if angles is not None:
        chosen = as_names(angles)
        check_angles(chosen, data.names)
        flags = tuple(name in chosen for name in data.names)
        data = data.replace(f"angles {', '.join(chosen) or 'none'}", angle=flags)
    if licence is not None:
        data = data.replace(licence=licence)
    return data if channels is None else data.channels(as_names(channels))


def _read_from(file: dict[str, Any], data: Trajectories) -> Trajectories:
    """The data with the file that they were read from; the files that they come from
    stand below it: it is a copy of them, unless the data were changed in between."""
    file = {**file, "rows": int(data.lengths.sum())}
    before = data.origin.get("files")
    if before:
        file["made_of" if data.origin.get("history") else "copy_of"] = before
    return data.replace(origin={**data.origin, "files": [file]})


def is_own(arrays: Mapping[str, Stored]) -> bool:
    """Whether Pendula wrote these arrays."""
    return all(name in arrays for name in OWN)
