"""CSV and TSV files out."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from .._errors import ConfigError
from .._files import replacing
from ._bytes import unwritable
from ._decisions import TRAJ_NAME
from ._fields import check_texts
from ._trajectories import Trajectories


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
    header = columns_of(data)
    long = data.num > 1
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with (
            replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow([TRAJ_NAME, *header] if long else header)
            for i in range(data.num):
                label = [data.labels[i]] if long else []
                writer.writerows([*label, *row] for row in _rows(data, i))
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def columns_of(data: Trajectories) -> list[str]:
    """The header of a table of samples, without the column of the labels.

    **Raises:** `ConfigError` for names or labels that a table cannot hold.
    """
    names = ("t", *data.names, *data.input_names)
    for name in names[1:]:
        taken = name in ("t", TRAJ_NAME) or names.count(name) > 1
        if taken or name != name.strip() or not name or set(name) & set("[]\n\r\0"):
            raise ConfigError(
                f'the name "{name}" cannot head a CSV column (empty, double, '
                f'"t", "{TRAJ_NAME}", or with brackets). Rename it, or write .npz.'
            )
    units = (data.time_unit, *data.units, *data.input_units)
    check_texts("names and units", (*names, *units))
    check_texts("labels", data.labels)
    seen: set[str] = set()
    for label in map(str.strip, data.labels):
        if label in seen:
            raise ConfigError(
                f'the label "{label}" stands for two trajectories; in a table they '
                "would become one. Give them different labels, or write .npz."
            )
        seen.add(label)
    return [f"{n} [{u}]" if u else n for n, u in zip(names, units, strict=True)]


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
