"""A container as named arrays, and back: what our own files of every kind hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError, PendulaError
from ._trajectories import Trajectories


FORMAT = 1  # of the fields; raise it when one changes its meaning
OWN = ("format", "ts", "ys", "mask")  # a file with all of these is our own
AXES = {
    "ts": ("traj", "time"),
    "ys": ("traj", "time", "dim"),
    "mask": ("traj", "time", "dim"),
    "us": ("traj", "time", "ctrl"),
    "env": ("traj",),
    "params": ("traj", "param"),
    "names": ("dim",),
    "units": ("dim",),
    "angle": ("dim",),
    "input_names": ("ctrl",),
    "input_units": ("ctrl",),
    "param_names": ("param",),
    "labels": ("traj",),
    "input_kind": (),
    "time_unit": (),
    "licence": (),
    "origin": (),
    "format": (),
}
"""Field -> its axes. `format` is last: a file that was cut short is not our own."""
NUMBERS = ("ts", "ys", "mask", "us", "env", "params")
_TEXTS = ("names", "units", "input_names", "input_units", "param_names", "labels")


def to_arrays(data: Trajectories) -> dict[str, np.ndarray]:
    """All fields that are not None, as arrays of numbers or of text; `origin` is
    JSON. **Raises:** `ConfigError` for a text that files cannot hold."""
    fields = {name: getattr(data, name) for name in AXES if name != "format"}
    fields["origin"] = json.dumps(data.origin, default=str)
    arrays = {}
    for name, value in fields.items():
        if value is None:
            continue
        if name in NUMBERS:
            arrays[name] = value
        elif name == "angle":
            arrays[name] = np.array(value, dtype=bool)
        else:
            check_texts(name, (value,) if isinstance(value, str) else value)
            arrays[name] = np.array(value, dtype=np.str_)
    return {**arrays, "format": np.array(FORMAT)}


def check_texts(field: str, texts: tuple[str, ...]) -> None:
    """Zero characters end a text in most formats, and half of a pair of surrogates
    (what a file name that is no UTF-8 becomes) is no text.

    **Raises:** `ConfigError`.
    """
    for text in texts:
        if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigError(
                f"{field}: the text {text!a} holds a character that files cannot "
                "hold. Rename it."
            )


def from_arrays(place: str, arrays: Mapping[str, np.ndarray]) -> Trajectories:
    """The container that `to_arrays` took apart.

    **Raises:** `DataError` for a newer format and for arrays that do not fit.
    """
    try:
        version = int(arrays["format"])
        if version > FORMAT:
            raise DataError(
                f"{place}: the file has format {version}; this Pendula reads up to "
                f"{FORMAT}. Update Pendula."
            )
        fields: dict[str, Any] = {name: arrays.get(name) for name in NUMBERS}
        for name in _TEXTS:
            if name in arrays:
                fields[name] = tuple(map(str, arrays[name].tolist()))
        if "angle" in arrays:
            fields["angle"] = tuple(map(bool, arrays["angle"].tolist()))
        for name in ("input_kind", "time_unit", "licence"):
            if name in arrays:
                fields[name] = str(arrays[name])
        fields["origin"] = dict(json.loads(str(arrays.get("origin", "{}"))))
    except DataError:
        raise
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: the arrays do not fit: {error}") from None
    try:
        return Trajectories(**fields)
    except (PendulaError, TypeError, ValueError) as error:
        raise DataError(f"{place}: the arrays do not fit: {error}") from None
