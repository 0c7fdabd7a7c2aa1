"""Whether a fitted law is chaotic, and what then can still be compared with the data:
the exponent, the spectrum and the histogram."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._errors import DataError
from .._units import with_unit
from ..data import Trajectories
from ..diagnostics import (
    Statistics,
    compare_statistics,
    divergence,
    lyapunov_exponents,
)
from ._fitted import Fitted
from ._prepare import Prepared
from ._region import Region


STEPS = (2000, 10000)  # of the run that the exponents are taken from
BEFORE = 10  # a share of them that comes before those that count
T_90 = 1.833  # Student's 95 % quantile for the ten parts of that run
ENOUGH = 500  # samples of a record that statistics are taken from


def chaos(
    law: Region, fitted: Fitted, prepared: Prepared, ys: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Exponents of the members along the attractor that the free run `ys` `"time dim"`
    has reached; where the largest is above 0, the statistics of the run beside those of
    the longest record."""
    if law.is_late:
        return {"left_out": ["The time was up before exponents were taken."]}, {}
    told = _exponents(law, fitted, ys)
    low, high, even = told["low"], told["high"], told["even"]
    value, unit = told["value"], law.time_unit
    ends = f"{value:.3g} ({low:.3g} to {high:.3g}) per "
    ends += unit if unit not in ("", "1") else "unit of time"
    if low <= even:
        kind = "settles" if high < 0 else "neither settles nor is told from regular"
        text = f"The free run {kind}: its largest Lyapunov exponent is {ends}"
        if low > 0:
            text += (
                f", and over a run this long neighbours that part evenly, as in a "
                f"regular motion, look like {even:.3g}"
            )
        return {"exponents": told, "text": [f"{text}."]}, {}
    text = [
        f"The law is chaotic: its largest Lyapunov exponent is {ends}, so that a small "
        f"error grows tenfold in {with_unit(f'{np.log(10) / value:.3g}', unit)}. A "
        "long forecast is compared by spectrum and histogram, not by its path."
    ]
    record = _record(prepared)
    if isinstance(record, str):
        return {"exponents": told, "text": text, "left_out": [record]}, {}
    step = float(fitted.about["step"])
    left: list[str] = []
    try:
        own = divergence(record[:, 0], step)
        told["record"] = {
            "value": own.exponent,
            "low": own.exponent - T_90 * own.error,
            "high": own.exponent + T_90 * own.error,
        }
    except DataError as error:
        left.append(f"No exponent of the record itself: {error}")
    run = ys[:, np.asarray(fitted.ensemble.observed, int)]
    rows: list[dict[str, Any]] = []
    curves: dict[str, np.ndarray] = {}
    try:
        rows, curves = _statistics(run, record, step, fitted)
    except DataError as error:
        left.append(f"Spectra and histograms were not compared: {error}")
    found = {"exponents": told, "statistics": rows, "text": text, "left_out": left}
    return found, curves


def _exponents(law: Region, fitted: Fitted, ys: np.ndarray) -> dict[str, Any]:
    """The largest exponent of the middle member; its interval covers those of all
    members, each with its own error. `even`: what a distance that grows with the time
    itself, as between neighbours on two orbits of a family, shows for an exponent."""
    dt = float(fitted.about["step"]) / fitted.ensemble.substeps
    num = int(np.clip(len(ys) * fitted.ensemble.substeps, *STEPS))
    found = []
    for field in law.fields:
        if found and law.is_late:
            break
        found.append(
            lyapunov_exponents(field, ys[-1], dt, num, transient=num // BEFORE)
        )
    first = np.array([one.values[0] for one in found])
    half = T_90 * np.array([one.errors[0] for one in found])
    return {
        "value": float(found[0].values[0]),
        "low": float((first - half).min()),
        "high": float((first + half).max()),
        "even": float(np.log(BEFORE + 1) / (num * dt)),
        "all": found[0].values.tolist(),
        "dimension": found[0].dimension,
        "members": len(found),
    }


def _record(prepared: Prepared) -> np.ndarray | str:
    """The longest record as the model was sampled, `"time obs"`; a sentence where it
    has gaps, is uneven or short."""
    data: Trajectories = prepared.given
    if prepared.every > 1:
        data = data.subsample(prepared.every)
    row = int(np.argmax(data.lengths))
    n = int(data.lengths[row])
    if n < ENOUGH:
        return (
            f"Spectra and histograms were not compared: the longest record has {n} "
            f"samples, and they need {ENOUGH}."
        )
    steps = np.diff(data.ts[row, :n])
    if not data.mask[row, :n].all() or np.ptp(steps) > 1e-3 * steps.mean():
        return (
            "Spectra and histograms were not compared: the longest record has gaps or "
            "is unevenly sampled."
        )
    return np.asarray(data.ys[row, :n], np.float64)


def _statistics(
    run: np.ndarray, record: np.ndarray, step: float, fitted: Fitted
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Run against record, channel by channel; beside it the record's first half against
    its second, which is what chance leaves."""
    segment = max(64, len(record) // 16)
    found = compare_statistics(run, record, step, segment=segment)
    half = len(record) // 2
    chance = compare_statistics(record[:half], record[half:], step, segment=segment)
    rows = [
        {
            "name": name,
            "unit": unit,
            "overlap": float(found.overlap[j]),
            "overlap_halves": float(chance.overlap[j]),
            "distance": float(found.spectral_distance[j]),
            "distance_halves": float(chance.spectral_distance[j]),
        }
        for j, (name, unit) in enumerate(
            zip(fitted.about["names"], fitted.about["units"], strict=True)
        )
    ]
    return rows, _curves(found)


def _curves(found: Statistics) -> dict[str, np.ndarray]:
    return {
        "behaviour/frequency": found.frequency,
        "behaviour/power": found.power,
        "behaviour/power_data": found.power_truth,
        "behaviour/edges": found.edges,
        "behaviour/share": found.share,
        "behaviour/share_data": found.share_truth,
    }
