"""`pendula forecast`: roll a fitted model out from measured beginnings."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError
from ._console import Console
from ._forecast_bars import check_out, forecast_bars, is_chain
from ._options import READING, TALK, Reading, Talk, check_free
from ._reading import load_data
from ._systems import refuse_family


if TYPE_CHECKING:
    from ..dynamics import Forecast


def forecast(
    run: Annotated[Path, Parameter(help="The run folder, or a model file.")],
    /,
    *,
    from_: Annotated[
        tuple[str, ...],
        Parameter(name="--from", help="The measured beginnings."),
    ] = (),
    start: Annotated[
        float | None, Parameter(help="Time of the last sample that is looked at.")
    ] = None,
    until: Annotated[float | None, Parameter(help="End of the forecast.")] = None,
    case: Annotated[
        str | None,
        Parameter(
            help="Of a chain of bars: begin as a case of the slinky does, case0 to "
            "case7, instead of --from."
        ),
    ] = None,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            help="Of a chain of bars, another machine. With --case: cycles=60, span, "
            "drag, heavier, stiffer; with --from: mass, radius, gravity, stiffness, "
            "drag, first, last.",
        ),
    ] = (),
    out: Annotated[
        Path | None,
        Parameter(
            name=["--out", "-o"],
            help="Write a CSV file; of a chain of bars a record in any format, or, a "
            "name without ending, a folder with a page.",
        ),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace an existing file.")] = False,
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Roll out from measured beginnings; with a 90 % band."""
    console = Console(talk)
    _check_beginning(from_, case)
    if out is not None and out.is_file():
        check_free(out, force)
    refuse_family(run)
    data = load_data(from_, reading, console) if from_ else None
    console.say(f"loading {run}")
    from .. import load
    from .._errors import Status

    fitted = load(run)
    if is_chain(fitted):
        check_out(out, run, force)
        return forecast_bars(
            fitted,
            run,
            data,
            from_,
            reading,
            case,
            settings,
            start,
            until,
            out,
            console,
        )
    if data is None or settings:
        raise ConfigError(
            f"{run} is no chain of bars: {'--case' if data is None else '--set'} does "
            "not apply. Give measured beginnings with --from."
        )
    if out is not None and out.suffix.lower() != ".csv":
        raise ConfigError(f'{out}: forecasts are written as .csv, not "{out.suffix}".')
    with console.waiting("forecasting"):
        found = [
            fitted.forecast(data, start=start, until=until, trajectory=i)
            for i in range(data.num)
        ]
    labels = list(data.labels)
    if out is not None:
        write_forecasts(out, found, labels, data.time_unit)
    rows = [_row(one, label) for one, label in zip(found, labels, strict=True)]
    console.result(
        "\n".join(_lines(rows, out, data.time_unit, found[0].units)),
        _json(found, rows, out),
    )
    bad = [r for r in rows if r["status"] >= Status.diverged]
    return 1 if bad else 0


def _check_beginning(from_: tuple[str, ...], case: str | None) -> None:
    """Either a record or a case. **Raises:** `ConfigError`."""
    if bool(from_) == (case is not None):
        raise ConfigError(
            "a forecast begins with measured data, --from FILE, or, of a chain of "
            "bars, with a case of the slinky, --case case2. Give one of them."
        )


def write_forecasts(
    path: Path, found: list[Forecast], labels: list[str], time_unit: str
) -> Path:
    """One row a time: mean, both ends of the 90 % band and, where it was measured,
    the truth of every channel, and the share of members outside their range."""
    from .._files import replacing

    first = found[0]
    named = list(zip(first.names, first.units, strict=True))
    head = ["trajectory"] if len(found) > 1 else []
    head.append(f"t [{time_unit}]")
    for name, unit in named:
        mark = f" [{unit}]" if unit else ""
        head += [f"{name}{end}{mark}" for end in ("", "_low", "_high", "_measured")]
    head += ["outside", "validated"]
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for one, label in zip(found, labels, strict=True):
            for k, t in enumerate(one.ts.tolist()):
                cells: list[Any] = [label] if len(found) > 1 else []
                cells.append(repr(t))
                for j in range(len(named)):
                    curves = (one.mean, one.low, one.high, one.truth)
                    cells += [_cell(curve[k, j]) for curve in curves]
                cells += [_cell(one.outside[k]), int(t <= one.trusted_to)]
                writer.writerow(cells)
    return path


def _cell(value: Any) -> str:
    """A number that reads back the same; an empty cell where there is none."""
    number = float(value)
    return "" if number != number else repr(number)


def _row(one: Forecast, label: str) -> dict[str, Any]:
    from .._errors import Status

    status = Status(int(one.status.max()))
    known = bool((one.truth == one.truth).any())
    return {
        "trajectory": label,
        "start": one.start,
        "until": float(one.ts[-1]),
        "validated_to": one.trusted_to,
        "outside": float(one.outside.mean()),
        "rmse": one.rmse() if known else None,
        "channels": one.rmses() if known else None,
        "coverage": one.coverage() if known else None,
        "status": status,
        "advice": status.advice,
    }


def _lines(
    rows: list[dict[str, Any]], out: Path | None, unit: str, units: tuple[str, ...]
) -> list[str]:
    from ..report import interval, percent, quantity, telling_apart
    from ._words import error_words

    lines = []
    for row in rows:
        ends = row["start"], row["until"]
        digits = telling_apart(*ends)
        span = f"from {interval(*ends, unit, digits)}"
        text = f"{row['trajectory']}: {span}"
        if row["rmse"] is not None:
            error = error_words(units, row["rmse"], row["channels"])
            text += (
                f", error {error}, {percent(row['coverage'])} of the measured values "
                "inside the 90 % band"
            )
        if row["validated_to"] < row["until"]:
            text += f", validated to {quantity(row['validated_to'], unit, digits)}"
        if row["outside"] > 0:
            text += f", {percent(row['outside'])} outside the training range"
        lines.append(text)
        if row["status"]:
            lines.append(f"  {row['status'].name}: {row['advice']}")
    if out is not None:
        lines.append(str(out))
    return lines


def _json(
    found: list[Forecast], rows: list[dict[str, Any]], out: Path | None
) -> dict[str, Any]:
    """With a file the summary; without one the curves, too."""
    plain = [{**row, "status": row["status"].name} for row in rows]
    if out is None:
        for row, one in zip(plain, found, strict=True):
            row |= {k: getattr(one, k) for k in ("names", "units", "ts")}
            row |= {k: getattr(one, k) for k in ("mean", "low", "high")}
    return {"file": None if out is None else str(out), "forecasts": plain}
