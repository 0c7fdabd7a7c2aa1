"""Trajectories out: CSV, TSV and NPZ, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import ConfigError, DataError
from .._files import replacing
from ._trajectories import Trajectories


FORMAT = 1  # of the NPZ layout; raise it when a field changes its meaning
LABEL_COLUMN = "trajectory"


def write(data: Trajectories, path: str | Path) -> Path:
    """Write by the ending of the name: `.csv`, `.tsv` or `.npz`.

    **Raises:** `ConfigError` for another ending.
    """
    writers = {".csv": write_csv, ".tsv": write_csv, ".npz": write_npz}
    suffix = Path(path).suffix.lower()
    if suffix not in writers:
        raise ConfigError(
            f'{path}: cannot write "{suffix}" files. Endings: {", ".join(writers)}.'
        )
    return writers[suffix](data, path)


def write_csv(data: Trajectories, path: str | Path) -> Path:
    """Write a CSV file (tabs when the name ends in `.tsv`), one row a sample.

    Header `t [s],q [m],...`; missing samples are empty cells; several trajectories
    get a column `trajectory` with their labels. Numbers are written so that
    reading gives the same bits. Licence, parameters and angle flags have no place
    in the file; NPZ keeps everything.
    **Raises:** `ConfigError` for names that a header cannot hold, `DataError` when
    the file cannot be written.
    """
    path = Path(path)
    names = ("t", *data.names, *data.input_names)
    long = data.num > 1
    for name in names[1:]:
        taken = name in ("t", LABEL_COLUMN) or names.count(name) > 1
        if taken or name != name.strip() or not name or set(name) & set("[]\n\r\0"):
            raise ConfigError(
                f'the name "{name}" cannot head a CSV column (empty, double, '
                f'"t", "{LABEL_COLUMN}", or with brackets). Rename it, or write .npz.'
            )
    units = (data.time_unit, *data.units, *data.input_units)
    header = [f"{n} [{u}]" if u else n for n, u in zip(names, units, strict=True)]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow([LABEL_COLUMN, *header] if long else header)
            for i in range(data.num):
                label = [data.labels[i]] if long else []
                writer.writerows([*label, *row] for row in _rows(data, i))
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _rows(data: Trajectories, i: int) -> Iterator[list[str]]:
    """The samples of one trajectory as texts; repr gives the shortest text that
    reads back to the same bits."""
    n = int(data.lengths[i])
    columns = [list(map(repr, data.ts[i, :n].tolist()))]
    for j in range(data.dim):
        values = zip(data.ys[i, :n, j].tolist(), data.mask[i, :n, j], strict=True)
        columns.append([repr(y) if there else "" for y, there in values])
    if data.us is not None:
        columns += [list(map(repr, u.tolist())) for u in data.us[i, :n].T]
    yield from map(list, zip(*columns, strict=True))


def write_npz(data: Trajectories, path: str | Path) -> Path:
    """Write all fields of a container; reading gives the same bits back.

    Arrays stand under their field names, texts as arrays of text, `origin` as
    JSON; nothing is pickled. **Raises:** `DataError` when the file cannot be
    written.
    """
    path = Path(path)
    arrays: dict[str, Any] = {"format": np.array(FORMAT)}
    for name in ("ts", "ys", "mask", "us", "env", "params"):
        value = getattr(data, name)
        if value is not None:
            arrays[name] = value
    for name in ("names", "units", "input_names", "input_units", "param_names"):
        arrays[name] = np.array(getattr(data, name), dtype=np.str_)
    arrays["labels"] = np.array(data.labels, dtype=np.str_)
    arrays["angle"] = np.array(data.angle, dtype=bool)
    for name in ("input_kind", "time_unit", "licence"):
        value = getattr(data, name)
        if value is not None:
            arrays[name] = np.array(value)
    arrays["origin"] = np.array(json.dumps(data.origin, default=str))
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path}: the file cannot be written ({error.strerror}). Choose another place, "
        "or free the space."
    )
