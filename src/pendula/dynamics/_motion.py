"""Where the motion of a fitted law ends up: at rest, on a cycle, or in chaos."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist

from .._precision import cast, precision, to_host
from ..diagnostics import LimitCycle, limit_cycle
from ._chaos import chaos
from ._fitted import Fitted
from ._prepare import Prepared
from ._region import Region
from ._times import said_time


PERIODS = 20  # of a free run, at least
LONGEST = 6000  # samples of a free run
CHANGES = 0.9  # of the swing from third to third: less dies away, 1 over it grows
AT_REST = 1e-3  # of the visited range: a swing that is none
NEUTRAL = 0.01  # a multiplier that near to 1 is one
ON = 0.01  # of the visited range: a state that near to a closed orbit is on it
DRAWN = 1000  # points of a free run


def motion(
    law: Region, fitted: Fitted, prepared: Prepared, told: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """One long free run from where the longest record begins, and what it ends in.

    **Returns:** sentences `text`; `cycle` where the run goes around one; `exponents`
    and `statistics` where it does not settle.
    """
    start, duration = _start(fitted, prepared, law)
    step = float(fitted.about["step"])
    num = min(int(np.ceil(duration / step)), LONGEST)
    ys = free_run(fitted, start, step, num)
    duration, unit = num * step, law.time_unit
    long = said_time(duration, unit)
    drawn = {"behaviour/run": ys[:: max(1, len(ys) // DRAWN)]}
    gone = _leaves(ys, law, prepared.plan.positions, fitted)
    if gone is not None:
        text = (
            f"A free run of {long} leaves the range of the data for good after "
            f"{said_time(gone * step, unit, 3)}: what the law does there was never "
            "measured."
        )
        return {"text": [text]}, {}
    thirds = [part.std(0) / law.width for part in np.array_split(ys, 3)]
    swing = [float(np.sqrt(np.mean(part**2))) for part in thirds]
    if swing[2] < AT_REST or (
        swing[1] < CHANGES * swing[0] and swing[2] < CHANGES * swing[1]
    ):
        return {"text": [_dying(ys[-1], swing, duration, law, told)]}, drawn
    if swing[1] > swing[0] / CHANGES and swing[2] > swing[1] / CHANGES:
        text = (
            f"A free run of {long} still grows: its swing over the last "
            f"third is {swing[2] / swing[0]:.3g} times that over the first."
        )
        return {"text": [text]}, drawn
    if law.is_late:
        return {"left_out": ["The time was up before cycles were looked for."]}, drawn
    found, curves = _cycles(law, fitted, ys[-1], duration)
    if found is not None:
        return found, drawn | curves
    if fitted.ensemble.dim < 3:
        text = f"A free run of {long} neither dies away nor closes into a cycle."
        return {"text": [text]}, drawn
    found, curves = chaos(law, fitted, prepared, ys)
    return found, drawn | curves


def _start(fitted: Fitted, prepared: Prepared, law: Region) -> tuple[np.ndarray, float]:
    """The first known state of the longest training record, and the length of a free
    run."""
    train = prepared.train
    spans = train.ts.max(1) - train.ts[:, 0]
    row = int(np.argmax(spans))
    known = np.isfinite(prepared.states.ys[row]).all(1)
    start = prepared.states.ys[row][known][0] if known.any() else law.seen[0]
    return start, max(float(spans[row]), PERIODS * float(fitted.about["period"]))


def free_run(fitted: Fitted, start: np.ndarray, step: float, num: int) -> np.ndarray:
    """States of the middle member `"time dim"` at every step from a start on."""
    with precision(fitted.dtype):
        model = cast(fitted.model(), fitted.dtype)
        dts = jnp.full(num, step, fitted.dtype)
        out = _run(model, jnp.asarray(np.asarray(start, fitted.dtype)), dts)
        return np.asarray(to_host(out), np.float64)


@eqx.filter_jit
def _run(model: Any, y0: Any, dts: Any) -> Any:
    return model.steps(y0, jnp.zeros((), y0.dtype), dts).ys


def _leaves(
    ys: np.ndarray, law: Region, positions: tuple[int, ...], fitted: Fitted
) -> int | None:
    """The sample from which on the run stays outside twice the visited range, or is not
    finite; an angle may turn on."""
    turns = np.zeros(ys.shape[1], bool)
    for entry, channel in enumerate(positions):
        turns[entry] = bool(fitted.about["angle"][channel])
    out = (ys < law.low - 0.5 * law.width) | (ys > law.high + 0.5 * law.width)
    away = np.any(out & ~turns, axis=1) | ~np.all(np.isfinite(ys), axis=1)
    if not away[-1]:
        return None
    back = np.flatnonzero(~away)
    return int(back[-1]) + 1 if len(back) else 0


def _dying(
    end: np.ndarray,
    swing: list[float],
    duration: float,
    law: Region,
    told: dict[str, Any],
) -> str:
    """The sentence on a motion that comes to rest."""
    where = ""
    for rest in told.get("rests", []):
        if np.abs((end - np.array(rest["y"])) / law.width).max() < 0.25:
            where = f" towards {said(rest['y'], law)}"
    if swing[2] < AT_REST:
        return (
            f"Left alone, the motion comes to rest{where} within "
            f"{said_time(duration, law.time_unit)}."
        )
    return (
        f"Left alone, the motion dies away{where}: over the last third of "
        f"{said_time(duration, law.time_unit)} it swings "
        f"{100 * swing[2] / swing[0]:.2g} % as widely as over the first."
    )


def said(y: Any, law: Region) -> str:
    """A state in words: `theta = 0.1 rad, dtheta/dt = 0 rad/s`."""
    zero = lambda v, w: 0.0 if abs(v) < 1e-6 * w else v
    parts = [
        f"{name} = {zero(v, w):.3g} {'' if unit == '1' else unit}".strip()
        for v, w, (name, unit) in zip(y, law.width, law.axes, strict=True)
    ]
    return ", ".join(parts)


def _holds(cycle: LimitCycle, start: np.ndarray, law: Region) -> bool:
    """Whether a motion from there ends on the cycle. One that does not attract must
    pass through it: Newton's method finds a closed orbit beside a motion that never
    closes, too."""
    largest = np.abs(cycle.multipliers).max()
    gap = cdist([start / law.width], cycle.ys / law.width, "chebyshev").min()
    return bool(largest < 1.0 - NEUTRAL or (largest < 1.0 + NEUTRAL and gap < ON))


def _cycles(
    law: Region, fitted: Fitted, start: np.ndarray, duration: float
) -> tuple[dict[str, Any] | None, dict[str, np.ndarray]]:
    """The cycle that every member runs into from there; None when the middle one
    does not."""
    period = float(fitted.about["period"])
    span = min(6.0 * period, duration) if period > 0 else 0.5 * duration
    dt = float(fitted.about["step"]) / fitted.ensemble.substeps
    found: list[LimitCycle] = []
    for field in law.fields:
        if found and law.is_late:
            break
        one = limit_cycle(field, start, span, dt=dt)
        if one is not None and _holds(one, start, law):
            found.append(one)
        elif not found:
            return None, {}
    cycle = found[0]
    periods = [one.period for one in found]
    leading = [float(np.abs(one.multipliers).max()) for one in found]
    unit = law.time_unit
    told = {
        "period": cycle.period,
        "period_range": [min(periods), max(periods)],
        "multipliers": [[float(m.real), float(m.imag)] for m in cycle.multipliers],
        "largest": leading[0],
        "largest_range": [min(leading), max(leading)],
        "members": len(found),
        "attracts": leading[0] < 1.0 - NEUTRAL,
    }
    if told["attracts"]:
        text = (
            f"The motion runs into a limit cycle of period "
            f"{said_time(cycle.period, unit)}: "
            "one turn shrinks a small distance from it to "
            f"{100 * leading[0]:.2g} %."
        )
    else:
        text = (
            f"The motion goes around a closed orbit of period "
            f"{said_time(cycle.period, unit)}, one of a family: a small distance "
            f"from it neither shrinks nor grows (multiplier {leading[0]:.4g})."
        )
    return {"cycle": told, "text": [text]}, {"behaviour/cycle": cycle.ys}
