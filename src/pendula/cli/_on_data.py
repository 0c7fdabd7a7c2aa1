"""How a fitted model does on other data than its own."""

from __future__ import annotations

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
