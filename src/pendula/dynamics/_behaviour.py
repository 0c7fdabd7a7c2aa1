"""What the fitted law does: where it rests, and where its motion ends up.

This describes the model, it does not judge it: nothing here changes the verdict, and
nothing here can fail a fit. What cannot be computed becomes a sentence.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ._fitted import Fitted
from ._motion import motion
from ._prepare import Prepared
from ._region import Region, evaluate, region
from ._rests import rest_states


SECONDS = 10.0  # of wall time; a part that has not begun by then is left out
LARGEST = 8  # state entries that a search for rest states still covers
GRID = 18  # arrows along each axis of a phase portrait
POINTS = 1500  # samples drawn in it
# what arithmetic and a caller's own field may raise; never a reason to lose a fit
FAILURES = (ArithmeticError, ValueError, TypeError, RuntimeError)


def with_behaviour(fitted: Fitted, prepared: Prepared) -> Fitted:
    """The judged fit with what its law does in `report["behaviour"]`, and the numbers
    of the figures in `arrays`."""
    if fitted.report is None or fitted.arrays is None:
        return fitted
    try:
        told, arrays = describe(fitted, prepared)
    except FAILURES as error:
        told, arrays = (
            {"text": [], "left_out": [_failed("what the law does", error)]},
            {},
        )
    return dataclasses.replace(
        fitted,
        report={**fitted.report, "behaviour": told},
        arrays={**fitted.arrays, **arrays},
    )


def describe(
    fitted: Fitted, prepared: Prepared
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Rest states, cycle, exponent and statistics of a fit, plain values for JSON, and
    the arrays of their figures."""
    told: dict[str, Any] = {"text": [], "left_out": []}
    arrays: dict[str, np.ndarray] = {}
    dim = fitted.ensemble.dim
    if dim > LARGEST:
        told["left_out"].append(
            f"Rest states and cycles were not searched for: the state has {dim} "
            f"entries, and the search covers up to {LARGEST}."
        )
        return told, arrays
    law = region(fitted, prepared, SECONDS)
    if law is None:
        told["left_out"].append("No member is finite: its law does nothing.")
        return told, arrays
    told["state"] = [
        {"name": name, "unit": unit, "low": float(low), "high": float(high)}
        for (name, unit), low, high in zip(law.axes, law.low, law.high, strict=True)
    ]
    if law.u is not None:
        told["input"] = [
            {"name": name, "value": float(value)}
            for name, value in zip(fitted.about["input_names"], law.u, strict=True)
        ]
        told["left_out"].append(
            "Cycles and chaos were not looked for: the inputs drive the motion. The "
            "rest states are those under the mean input."
        )
    if _depends_on_time(law, float(fitted.about["train_end"])):
        told["left_out"].append(
            "Rest states and cycles were not searched for: the law itself changes "
            "with time."
        )
        return told, arrays
    parts = [("the rest states", rest_states)]
    if law.u is None:
        parts.append(("the motion in the long run", motion))
    for name, part in parts:
        if law.is_late:
            told["left_out"].append(
                f"The time for this part, {SECONDS:g} s, ended before {name}."
            )
            continue
        try:
            found, drawn = part(law, fitted, prepared, told)
        except FAILURES as error:
            told["left_out"].append(_failed(name, error))
            continue
        told["text"] += found.pop("text", [])
        told["left_out"] += found.pop("left_out", [])
        told |= found
        arrays |= drawn
    if dim == 2:
        arrays |= _portrait(law)
    return told, arrays


def _failed(what: str, error: Exception) -> str:
    first = str(error).strip().split("\n")[0][:200]
    return f"Not found out: {what} ({type(error).__name__}: {first})."


def _depends_on_time(law: Region, later: float) -> bool:
    """Whether the law gives other rates at another time."""
    some = law.seen[:: max(1, len(law.seen) // 64)]
    some = np.resize(some, (GRID * GRID, some.shape[1]))  # the portrait's shape
    now, then = evaluate(law, some), evaluate(law, some, later or 1.0)
    return not np.allclose(now, then, rtol=1e-9, atol=0.0, equal_nan=True)


def _portrait(law: Region) -> dict[str, np.ndarray]:
    """The law of a state of two entries as arrows, and the samples it was made from."""
    low, high = law.low - 0.25 * law.width, law.high + 0.25 * law.width
    x, y = (np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True))
    grid = np.stack([g.ravel() for g in np.meshgrid(x, y)], axis=1)
    rates = evaluate(law, grid).reshape(GRID, GRID, 2)
    return {
        "behaviour/x": x,
        "behaviour/y": y,
        "behaviour/rates": rates,
        "behaviour/seen": law.seen[:: max(1, len(law.seen) // POINTS)],
    }
