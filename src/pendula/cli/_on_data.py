"""How a fitted model does on other data than its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import Fitted


def hold_on(
    fitted: Fitted, data: Trajectories, trust_to: float | None
) -> list[dict[str, Any]]:
    """For each trajectory whether the forecast stays finite up to the horizon of the
    verdict (all of it where there is none), and for all together whether the 90 % band
    keeps its word: the samples of one trajectory go up and down together, so that one
    in ten may lie beside a band that is right."""
    import numpy as np

    from .._errors import Status
    from ..diagnostics import Limits
    from ..report import percent
    from ._words import error_words

    low = Limits().coverage[0]
    rows, inside, measured = [], 0.0, 0
    for i in range(data.num):
        one = fitted.forecast(data, trajectory=i)
        until = float("inf") if trust_to is None else one.start + trust_to
        share, rmse = one.coverage(until=until), one.rmse(until=until)
        error = error_words(one.units, rmse, one.rmses(until=until))
        status = Status(int(one.status.max()))
        finite = status < Status.diverged
        count = int(np.isfinite(one.truth[one.ts <= until]).sum())
        inside, measured = inside + (share * count if count else 0.0), measured + count
        text = (
            f"{data.labels[i]}: error {error}, {percent(share)} of the measured "
            "values inside the 90 % band"
        )
        rows.append(
            {
                "trajectory": data.labels[i],
                "start": one.start,
                "rmse": rmse,
                "coverage": share,
                "status": status.name,
                "holds": bool(finite),
                "text": text,
                "failed": "" if finite else f"; {status.name}: {status.advice}",
            }
        )
    share = inside / measured if measured else float("nan")
    # few samples: a band that holds them all is no fault
    holds = bool(share >= low)
    all_of = "" if data.num == 1 else f"{percent(share)} in all {data.num}; "
    for row in rows:
        row["holds"] &= holds
        row["text"] += f" ({all_of}expected {percent(low)} or more)" + row.pop("failed")
    return rows


def fitted_to(run: Path, measured: Trajectories, start: float) -> list[str]:
    """The files of the data that the run was fitted with, by their checksums; none
    where forecasts from `start` on lie after all that the fit used."""
    from ..report import read_run

    if not (run / "report.json").is_file():
        return []
    used = read_run(run).report.get("data") or {}
    if start >= (used.get("time_range") or (None, float("inf")))[1]:
        return []
    known = _checksums(used.get("files") or [])
    files = measured.origin.get("files") or []
    return [str(file["path"]) for file in files if known & _checksums([file])]


def _checksums(files: list[dict[str, Any]]) -> set[str]:
    """Of the files, and of those that they are copies of."""
    found = {str(file["sha256"]) for file in files if file.get("sha256")}
    return found.union(*(_checksums(file.get("copy_of") or []) for file in files))


def no_test(seen: list[str]) -> list[str]:
    """A line that says so where the run was fitted with the data."""
    if not seen:
        return []
    return [
        f"note: {', '.join(seen)}: the run was fitted with it, so that this is no "
        "test. Give records that it has not seen."
    ]
