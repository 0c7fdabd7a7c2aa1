"""`pendula gauge`: physical parameters of a new system, from its motion."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError, DataError, nearest
from ._adapt import adapt_options, check_adapt, check_new_folder
from ._console import Console, command
from ._open import open_page
from ._options import READING, TALK, Reading, Talk, names
from ._systems import SYSTEM, load_run, load_systems


if TYPE_CHECKING:
    import numpy as np

    from ..dynamics import Family, Measurement

_UNIT = re.compile(r"(.*?)\s*\[([^\[\]]*)\]")
TABLES = (".csv", ".tsv", ".txt")


def gauge(
    run: Annotated[Path, Parameter(help="The run of a family, or its file.")],
    *data: Annotated[str, Parameter(help="Clips of the system to measure.")],
    params: Annotated[
        tuple[str, ...],
        Parameter(
            help="The parameters of the training systems: a CSV file (first column the "
            "system, the others its parameters), or names: a,b of those to use. Those "
            "of the training data without."
        ),
    ] = (),
    linear: Annotated[
        bool,
        Parameter(
            help="Parameters as they are: for a law linear in them. Positive ones are "
            "taken as logarithms without."
        ),
    ] = False,
    interval: Annotated[str, Parameter(help="laplace or conformal.")] = "laplace",
    level: Annotated[float, Parameter(help="Of the interval, 0 to 1.")] = 0.9,
    system: Annotated[
        str | None, Parameter(help=f"For several systems to measure. {SYSTEM}")
    ] = None,
    method: Annotated[str, Parameter(help="Of the adaptation: lm or gd.")] = "lm",
    iterations: Annotated[
        int | None, Parameter(help="Iterations of lm, or steps of gd. [8, 5]")
    ] = None,
    noise: Annotated[
        float | None,
        Parameter(help="Of the measurement, if known; 0: exact states (lm)."),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"], help="A folder for the gauge, its numbers and a page."
        ),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace an existing run.")] = False,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Calibrate a family against known parameters, and measure those of a new system
    with an interval. Exit status 1 where its motion does not tell them."""
    console = Console(talk)
    check_adapt(method, iterations)
    if out is not None:
        check_new_folder(out, run, force)
    family = load_run(run, console)
    etas, table, columns, units, labels = _calibration(family, names(params))
    clips, decisions = load_systems(data, reading, system, console, one=True)
    console.say(f"calibrating on {len(etas)} systems")
    from ..dynamics import fit_gauge

    log = False if linear else None
    made = fit_gauge(etas, table, names=columns, units=units, log=log)
    # a level or kind of interval that cannot be had is refused before the data are used
    made.measure(made.etas[0], interval=interval, level=level)
    console.say("adapting")
    found = family.adapt_many(clips, **adapt_options(method, iterations), noise=noise)
    rows, read, lines = [], [], [f"systems: {decisions[0]['choice']}"]
    for one in found:
        measured = made.measure(one.eta, one.covariance, interval=interval, level=level)
        rows.append(_row(one, measured))
        read.append(measured)
        lines.append(f"{one.label}: {measured.text}")
        lines += [f"  extrapolating: {why}" for why in one.extrapolation]
    lines.append(made.summary())
    told = {"run": str(run), "gauge": made.summary(), "warnings": made.warnings}
    if out is not None:
        from ..report import write_numbers
        from ._gauge_numbers import gauge_report

        console.say("writing the page")
        console.log = out / "log.txt"
        report, arrays = gauge_report(
            made, family, labels, read, rows, family.match(clips), command(), decisions
        )
        page = write_numbers(out, report, arrays)
        made.save(out / "gauge.safetensors")
        told |= {"page": str(page), "file": str(out / "gauge.safetensors")}
        lines.append(f"page: {page}")
        if open_:
            open_page(page)
    console.result("\n".join(lines), {**told, "systems": rows})
    return 0 if all(p["identified"] for r in rows for p in r["parameters"]) else 1


def _row(one: Any, measured: Measurement) -> dict[str, Any]:
    ends = (measured.value, measured.standard_error, measured.low, measured.high)
    parameters = [
        {
            "name": name,
            "unit": unit,
            **dict(
                zip(
                    ("value", "standard_error", "low", "high"),
                    (float(column[k]) for column in ends),
                    strict=True,
                )
            ),
            "identified": bool(measured.identified[k]),
        }
        for k, (name, unit) in enumerate(
            zip(measured.names, measured.units, strict=True)
        )
    ]
    return {
        "system": one.label,
        "parameters": parameters,
        "level": measured.level,
        "interval": measured.method,
        "extrapolating": bool(measured.extrapolating or one.extrapolating),
        "eta": one.eta.tolist(),
        "covariance": one.covariance.tolist(),
        "text": measured.text,
    }


def _calibration(
    family: Family, given: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Etas and labels of the training systems that have some, the names and units of
    the labels, and the names of the systems.

    **Raises:** `ConfigError`, `DataError`.
    """
    import numpy as np

    files = [p for p in given if Path(p).suffix.lower() in TABLES]
    wanted = [p for p in given if p not in files]
    if len(files) > 1:
        raise ConfigError(f"--params {','.join(files)}: one file is read. Join them.")
    if files:
        table, columns, units = read_labels(Path(files[0]), family.labels)
    else:
        known = family.about.get("params")
        if known is None:
            raise ConfigError(
                "the training data named no parameters of their systems. Give "
                "--params labels.csv: a column of systems "
                f"({', '.join(family.labels[:3])}, ...), and one a parameter."
            )
        table = np.array(known, float)
        columns = tuple(family.about.get("param_names") or ())
        columns = columns or tuple(f"p{j}" for j in range(table.shape[1]))
        units = ("",) * len(columns)
    for name in wanted:
        if name not in columns:
            raise ConfigError(
                f'--params {name}: there is no parameter "{name}".'
                f"{nearest(name, columns)} Known: {', '.join(columns)}."
            )
    keep = [columns.index(name) for name in wanted] or list(range(len(columns)))
    table = table[:, keep]
    for name, seen in zip(wanted or columns, np.isfinite(table).T, strict=True):
        if not seen.any():
            raise DataError(
                f'no system has a value of the parameter "{name}". Label some, or name '
                "those to use: --params NAME,.."
            )
    known = np.isfinite(table).all(axis=1)
    return (
        family.etas[known],
        table[known],
        tuple(columns[j] for j in keep),
        tuple(units[j] for j in keep),
        tuple(np.array(family.labels)[known].tolist()),
    )


def read_labels(
    path: Path, systems: tuple[str, ...]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Parameters `"system param"` of a table with a row a system, in the order of
    `systems`, NaN where there is none; their names and units.

    **Raises:** `DataError` naming file, row and column.
    """
    import numpy as np

    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file. Check the path.") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not UTF-8 text. Save it as CSV.") from None
    mark = "\t" if path.suffix.lower() == ".tsv" else ","
    table_of = csv.reader(text.splitlines(), delimiter=mark)
    rows = [(number, row) for number, row in enumerate(table_of, 1) if row]
    if len(rows) < 2 or len(rows[0][1]) < 2:
        raise DataError(
            f"{path.name}: expected a header, a column of systems, and a column for "
            "each parameter."
        )
    header = rows[0][1][1:]
    heads = [_UNIT.fullmatch(cell.strip()) for cell in header]
    columns = tuple(
        h[1].strip() if h else c.strip() for h, c in zip(heads, header, strict=True)
    )
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(
                f'{path.name}: two columns are called "{name}". Rename one.'
            )
    units = tuple(h[2].strip() if h else "" for h in heads)
    table = np.full((len(systems), len(columns)), np.nan)
    seen: set[str] = set()
    for number, row in rows[1:]:
        name = row[0].strip()
        if name not in systems:
            raise DataError(
                f'{path.name}, row {number}: the family has no system "{name}".'
                f"{nearest(name, systems)} Systems: {', '.join(systems[:9])}."
            )
        if name in seen:
            raise DataError(
                f'{path.name}, row {number}: system "{name}" stands twice. Remove one.'
            )
        seen.add(name)
        if len(row) != len(columns) + 1:
            raise DataError(
                f"{path.name}, row {number}: {len(row)} cells where the header has "
                f"{len(columns) + 1}. Repair the row."
            )
        for j, cell in enumerate(row[1:]):
            try:
                value = float(cell) if cell.strip() else float("nan")
                if np.isinf(value):
                    raise ValueError
            except ValueError:
                raise DataError(
                    f'{path.name}, row {number}, column "{columns[j]}": "{cell}" is no '
                    "number. Repair the cell, or leave it empty."
                ) from None
            table[systems.index(name), j] = value
    return table, columns, units
