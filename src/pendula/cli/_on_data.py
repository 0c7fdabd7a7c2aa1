"""How a fitted model does on other data than its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import Fitted


def hold_on(
    fitted: Fitted, data: Trajectories, trust_to: float | None
) -> list[dict[str, Any]]:
    """For each trajectory whether the forecast keeps its word up to the horizon of
    the verdict (all of it where there is none)."""
    from .._errors import Status
    from ..diagnostics import Limits
    from ..report import percent
    from ._words import error_words

    low, high = Limits().coverage
    rows = []
    for i in range(data.num):
        one = fitted.forecast(data, trajectory=i)
        until = float("inf") if trust_to is None else one.start + trust_to
        share, rmse = one.coverage(until=until), one.rmse(until=until)
        error = error_words(one.units, rmse, one.rmses(until=until))
        status = Status(int(one.status.max()))
        finite = status < Status.diverged
        # few samples: a band that holds them all is no fault
        holds = finite and share >= low
        text = (
            f"{data.labels[i]}: error {error}, {percent(share)} of the measured "
            f"values inside the 90 % band (expected {percent(low)} to {percent(high)})"
        )
        if not finite:
            text += f"; {status.name}: {status.advice}"
        rows.append(
            {
                "trajectory": data.labels[i],
                "rmse": rmse,
                "coverage": share,
                "status": status.name,
                "holds": bool(holds),
                "text": text,
            }
        )
    return rows
