"""Parquet tables in and out, by PyArrow: the columns of a CSV file, as numbers."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DataError
from .._extra import extra
from .._files import replacing
from ._bytes import digest, unwritable, whole
from ._columns import from_tables
from ._decisions import TRAJ_NAME, as_names
from ._table import Table, split_header
from ._trajectories import Trajectories
from ._write_csv import columns_of


_KEY = b"pendula"  # of our own entry in the schema's metadata
# what files that are read together have in common
_SHARED = ("channels", "inputs", "angles", "input_kind", "time_unit", "licence")
_ROLES = ("time", "channels", "inputs", "traj", "ignore")


def read_parquet(
    path: str | Path | Iterable[str | Path], **options: Any
) -> Trajectories:
    """Read trajectories from Parquet files; columns and options are those of
    `read_csv`, nulls are missing samples.

    Our own files also say which columns are channels, inputs and angles, and what
    CSV has no place for: the licence, and of a single file the labels, the index of
    the system and its parameters. Needs the extra `table`. **Raises:** as
    `read_csv`; `MissingExtra`.

    ```python
    >>> import pyarrow, pyarrow.parquet
    >>> from pendula.data import read_parquet
    >>> columns = {"t": [0.0, 1.0, 2.0], "q [m]": [1.0, None, 3.0]}
    >>> pyarrow.parquet.write_table(pyarrow.table(columns), "swing.parquet")
    >>> data = read_parquet("swing.parquet")
    >>> data.names, data.units, int(data.mask.sum())
    (('q',), ('m',), 2)

    ```
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths:
        raise DataError("no file given. At least one is needed.")
    tables = [_table(Path(p)) for p in paths]
    said = {name: value for name, value in options.items() if value is not None}
    about = tables[0].about
    shared = [{n: table.about.get(n) for n in _SHARED} for table in tables]
    if not about or any(one != shared[0] for one in shared):
        return from_tables(tables, [str(p) for p in paths], **said)
    taken = [name for role in _ROLES for name in as_names(said.get(role))]
    for role in ("channels", "inputs"):
        said.setdefault(role, [name for name in about[role] if name not in taken])
    angles = [name for name in about["angles"] if name in as_names(said["channels"])]
    told = {"angles": angles, **{n: about[n] for n in ("input_kind", "licence")}}
    data = from_tables(tables, [str(p) for p in paths], **{**told, **said})
    data = data.replace(
        input_kind=said.get("input_kind") or about["input_kind"],
        time_unit=about["time_unit"],
    )
    return _with_systems(data, tables[0]) if len(tables) == 1 else data


def _with_systems(data: Trajectories, table: Table) -> Trajectories:
    """Labels, system index and parameters, found by label: rows may have been
    dropped since."""
    about, labels = table.about, data.labels
    if TRAJ_NAME not in table.cells and len(about["labels"]) == 1:
        labels = tuple(about["labels"])
    places = {label.strip(): k for k, label in enumerate(about["labels"])}
    if not set(labels) <= {*places, *about["labels"]}:
        return data
    rows = [places[label.strip()] for label in labels]
    return data.replace(
        labels=tuple(about["labels"][k] for k in rows),
        param_names=tuple(about["param_names"]),
        **{n: about[n][rows] for n in ("env", "params") if about[n] is not None},
    )


def _table(path: Path) -> Table:
    """The columns of a Parquet file. **Raises:** `DataError`, `MissingExtra`."""
    pyarrow = extra("pyarrow", "table", f"read {path.suffix} files")
    parquet = extra("pyarrow.parquet", "table", f"read {path.suffix} files")
    checksum = digest(path)
    errors = (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError)
    with whole(path, "Parquet", "pyarrow", errors), path.open("rb") as file:
        table = parquet.read_table(file, page_checksum_verification=True)
    if not table.num_rows or not table.num_columns:
        raise DataError(
            f"{path.name}: there is no row of numbers ({table.num_columns} columns). "
            "At least two rows are needed."
        )
    names, units = split_header(path, [name.strip() for name in table.column_names])
    cells: dict[str, Sequence[str]] = {}
    values: dict[str, np.ndarray] = {}
    for name, column in zip(names, table.columns, strict=True):
        if _is_number(pyarrow.types, column.type):
            floats = column.cast(pyarrow.float64(), safe=False)
            values[name] = floats.fill_null(np.nan).to_numpy()
            cells[name] = _Texts(column)
        else:
            cells[name] = tuple(map(_text, _checked(path, name, pyarrow, column)))
    raw = (table.schema.metadata or {}).get(_KEY)
    about = {} if raw is None else _about(raw, names)
    lines = range(1, table.num_rows + 1)
    return Table(path.name, cells, units, lines, checksum, values, about)


def _is_number(types: Any, kind: Any) -> bool:
    tests = (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal)
    return any(test(kind) for test in tests)


def _checked(path: Path, name: str, pyarrow: Any, column: Any) -> list[Any]:
    """The cells of a column that is not of numbers; stamps in whole microseconds."""
    if pyarrow.types.is_timestamp(column.type):
        try:
            column = column.cast(pyarrow.timestamp("us", tz=column.type.tz))
        except pyarrow.ArrowInvalid:
            raise DataError(
                f'{path.name}, column "{name}": its stamps are finer than a '
                "microsecond. Write the time as a number of seconds."
            ) from None
    return column.to_pylist()


def _text(value: Any) -> str:
    """A cell as a CSV file would hold it."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    return "" if value is None else str(value)


class _Texts(Sequence[str]):
    """Numbers that are read as texts where one is asked for: a label, a message."""

    def __init__(self, column: Any) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, k: Any) -> Any:
        return _text(self.column[int(k)].as_py())

    def __iter__(self) -> Iterator[str]:
        return map(_text, self.column.to_pylist())


def _about(raw: bytes, names: Sequence[str]) -> dict[str, Any]:
    """What our own writer said beside the columns; nothing when it does not fit
    them: another program changed the table."""
    try:
        about = json.loads(raw)
        fits = {*about["channels"], *about["inputs"]} <= set(names)
        about = {name: about[name] for name in (*_SHARED, "labels", "param_names")} | {
            name: about[name] and np.array(about[name]["values"], about[name]["dtype"])
            for name in ("env", "params")
        }
    except (ValueError, KeyError, TypeError):
        return {}
    return about if fits else {}


def write_parquet(data: Trajectories, path: str | Path) -> Path:
    """Write a Parquet file, one row a sample, with the columns of `write_csv`.

    Missing samples are nulls. What CSV has no place for (licence, angles, labels,
    parameters, system index) stands as JSON in the schema's metadata under
    `pendula`; `origin` is left out. Needs the extra `table`. **Raises:** as
    `write_csv`; `MissingExtra`.
    """
    path, header = Path(path), columns_of(data)
    pyarrow = extra("pyarrow", "table", f"write {path.suffix} files")
    parquet = extra("pyarrow.parquet", "table", f"write {path.suffix} files")
    inside = np.arange(data.ts.shape[1]) < data.lengths[:, None]
    columns = [pyarrow.array(data.ts[inside])]
    for j in range(data.dim):
        missing = ~data.mask[..., j][inside]
        columns.append(pyarrow.array(data.ys[..., j][inside], mask=missing))
    if data.us is not None:
        columns += [pyarrow.array(u[inside]) for u in np.moveaxis(data.us, -1, 0)]
    if data.num > 1:
        labels = np.repeat(np.array(data.labels, object), data.lengths)
        columns, header = [pyarrow.array(labels), *columns], [TRAJ_NAME, *header]
    schema = {_KEY: json.dumps(_beside(data))}
    table = pyarrow.table(columns, names=header).replace_schema_metadata(schema)
    try:
        with replacing(path) as temporary:
            parquet.write_table(table, temporary, write_page_checksum=True)
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def _beside(data: Trajectories) -> dict[str, Any]:
    """What has no place in the columns."""
    packed = lambda a: (
        None if a is None else {"dtype": a.dtype.str, "values": a.tolist()}
    )
    return {
        "channels": data.names,
        "inputs": data.input_names,
        "angles": [n for n, a in zip(data.names, data.angle, strict=True) if a],
        "input_kind": data.input_kind,
        "time_unit": data.time_unit,
        "licence": data.licence,
        "labels": data.labels,
        "env": packed(data.env),
        "params": packed(data.params),
        "param_names": data.param_names,
    }
