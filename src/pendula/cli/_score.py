"""`pendula score`: errors of a run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .._columns import columns
from ._console import Console
from ._forecast_bars import is_chain, score_bars
from ._on_data import fitted_to, no_test
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data
from ._systems import refuse_family


def score(
    run: Annotated[Path, Parameter(help="The run folder, or a model file.")],
    *data: Annotated[str, Parameter(help="The data to forecast.")],
    start: Annotated[
        float | None, Parameter(help="Time of the last sample that is looked at.")
    ] = None,
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Free-run errors of a run on other data."""
    console = Console(talk)
    refuse_family(run)
    measured = load_data(data, reading, console)
    console.say(f"loading {run}")
    from .. import load
    from ..report import percent
    from ._words import error_words

    fitted = load(run)
    if is_chain(fitted):
        console.say("forecasting")
        rows = score_bars(fitted, data, measured, reading, start)
        seen = fitted_to(run, measured, min(row["start"] for row in rows))
        return _score_bars(rows, seen, console)
    with console.waiting("forecasting"):
        scores = fitted.score(measured, start=start)
    rows, units = scores["trajectories"], fitted.about["units"]
    cells = [
        [
            str(row["trajectory"]),
            *_ends(row),
            error_words(units, row["rmse"], row["channels"]),
            percent(row["coverage"]),
            str(row["status"]),
        ]
        for row in rows
    ]
    span = [f"{end} [{measured.time_unit}]" for end in ("from", "to")]
    head = ["trajectory", *span, "error", "in 90 % band", "status"]
    over_all = error_words(units, scores["rmse"], scores["channels"])
    text = f"{columns(head, cells)}\nerror over all: {over_all}"
    seen = fitted_to(run, measured, min(row["start"] for row in rows))
    text = "\n".join([text, *no_test(seen)])
    console.result(text, {**scores, "fitted_to": seen})
    return 1 if any(row["status"] in BAD for row in rows) else 0


def _ends(row: dict[str, Any]) -> list[str]:
    from ..report import number, telling_apart

    digits = telling_apart(row["start"], row["until"])
    return [number(row[end], digits) for end in ("start", "until")]


def _score_bars(rows: list[dict[str, Any]], seen: list[str], console: Console) -> int:
    from ..report import number, percent

    cells = [
        [
            str(row["trajectory"]),
            *_ends(row),
            number(row["distance_mm"]),
            number(row["largest_mm"]),
            number(row["helix_mse_m2"]),
            percent(row["covered"]),
            percent(row["drift"]),
            str(row["status"]),
        ]
        for row in rows
    ]
    head = ["record", "from", "to", "mean distance [mm]", "largest", "helix [m²]"]
    head += ["in 90 % intervals", "energy drift", "status"]
    text = columns(head, cells)
    text = "\n".join([text, *no_test(seen)])
    console.result(text, {"records": rows, "fitted_to": seen})
    return 1 if any(row["status"] in BAD for row in rows) else 0


BAD = ("diverged", "non_finite_state", "non_finite_input")
