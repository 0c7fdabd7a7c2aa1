"""What is in the data: the content of `pendula inspect`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._errors import DataWarning
from ._doubts import doubts
from ._noise import noise_estimate
from ._order import decide_order
from ._period import dominant_period
from ._sampling import sampling
from ._trajectories import Trajectories


COARSE = 1e-3  # of a sampling interval, from which the rounding of times is told


def summary(data: Trajectories) -> dict[str, Any]:
    """All that can be said about data without a model, JSON-able.

    **Returns:** `num`, `lengths` (smallest, median, largest), `duration`,
    `time_unit`, `sampling` (see `sampling`), `channels` and `inputs` (for each:
    name, unit, angle, range, mean, sd, missing, noise, relative noise, period,
    constant, order), `decisions`, `files`, `history`, `licence`, `warnings`.
    A number that is not known is None.
    """
    real = data.lengths
    notes = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        kinds, decisions = decide_order(data)
    notes += [str(w.message) for w in caught if issubclass(w.category, DataWarning)]
    noise, period = noise_estimate(data), dominant_period(data)
    channels = []
    for j, name in enumerate(data.names):
        values = data.ys[:, :, j][data.mask[:, :, j]]
        about = _moments(values)
        missing = int(real.sum()) - len(values)
        sd = about["sd"] or 0.0
        channels.append(
            {
                "name": name,
                "unit": data.units[j],
                "angle": data.angle[j],
                **about,
                "missing": missing,
                "noise": _known(noise[j]),
                "relative_noise": _known(noise[j] / sd) if sd > 0 else None,
                "period": _known(period[j]),
                "kind": kinds[name].kind,
                "partner": kinds[name].partner,
            }
        )
        if missing > 0.5 * real.sum():
            notes.append(f'channel "{name}": {missing} of {real.sum()} are missing.')
        if about["constant"]:
            notes.append(f'channel "{name}" is constant ({about["mean"]:g}).')
        notes += [f'channel "{name}": {text}' for text in doubts(data, j)]
    inputs = []
    if data.us is not None:
        inside = np.arange(data.ts.shape[1])[None] < real[:, None]
        for j, name in enumerate(data.input_names):
            about = _moments(data.us[:, :, j][inside])
            inputs.append({"name": name, "unit": data.input_units[j], **about})
            if about["constant"]:
                notes.append(f'input "{name}" is constant ({about["mean"]:g}).')
    grid = sampling(data)
    if grid["num_gaps"]:
        some = "1 gap" if grid["num_gaps"] == 1 else f"{grid['num_gaps']} gaps"
        notes.append(f"{some} longer than 2.5 sampling intervals.")
    kept = float(np.spacing(np.abs(data.ts).max()))
    if kept > COARSE * grid["step"]:
        notes.append(
            f"the times are so large that steps of {kept:.2g} are lost in them, "
            f"{kept / grid['step']:.2g} of a sampling interval. Count them from the "
            "start of the record."
        )
    if data.licence is None:
        notes.append("no licence is stated: clear the right to use before publishing.")
    spans = [float(t[n - 1] - t[0]) for t, n in zip(data.ts, real, strict=True)]
    return {
        "num": data.num,
        "labels": list(data.labels),
        "lengths": [int(real.min()), float(np.median(real)), int(real.max())],
        "duration": [min(spans), float(np.median(spans)), max(spans)],
        "time_range": [float(data.ts.min()), float(data.ts.max())],
        "time_unit": data.time_unit,
        "sampling": grid,
        "channels": channels,
        "inputs": inputs,
        "input_kind": data.input_kind if inputs else None,
        "systems": None if data.env is None else len(np.unique(data.env)),
        "decisions": [
            *data.origin.get("decisions", []),
            *(decision.to_dict() for decision in decisions),
        ],
        "files": data.origin.get("files", []),
        "history": data.origin.get("history", []),
        "licence": data.licence,
        "citation": data.origin.get("citation"),
        "warnings": notes,
    }


def _known(value: Any) -> float | None:
    """A number for JSON: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def _moments(values: np.ndarray) -> dict[str, Any]:
    if not len(values):
        return {"range": None, "mean": None, "sd": None, "constant": False}
    low, high = float(values.min()), float(values.max())
    return {
        "range": [low, high],
        "mean": float(values.mean()),
        "sd": float(values.std()),
        "constant": high - low <= 1e-12 * max(abs(low), abs(high)),
    }
