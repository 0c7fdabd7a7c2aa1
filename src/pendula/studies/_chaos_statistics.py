"""Part `chaos` of study `real_data`: two records of one chaotic channel.

An electrochemical oscillator, known by one current only. A field of first order is
learned in three delay coordinates of the first half of a record; its long free run from
the end of that half is compared with the second half by what chaos leaves to compare:
the largest Lyapunov exponent, the spectrum and the histogram.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._errors import DataError
from ..data import Trajectories
from ..diagnostics import compare_statistics, divergence
from ._claim import Claim
from ._real_data import measured, real_data
from ._row import Row
from ._study import Run


ID = "real_data.chaos"
NAMES = ("a", "b")
DIMENSION = 3

_WHAT = {
    "exponent_record": ("largest Lyapunov exponent of the record", "1/sample"),
    "exponent_model": ("the same of the learned field's free run", "1/sample"),
    "overlap": ("overlap of the histograms of free run and second half", "1"),
    "overlap_halves": ("overlap of the histograms of the two halves", "1"),
    "spectral_distance": ("distance of their spectra", "dB"),
    "spectral_distance_halves": ("distance of the spectra of the two halves", "dB"),
}
_ROWS = tuple(
    Row(
        f"{ID}.{key}_{name}",
        f"Electrochemical oscillator, condition {name}: {what}.",
        unit,
        better="higher" if key.startswith("overlap") else "lower",
    )
    for name in NAMES
    for key, (what, unit) in _WHAT.items()
)
_FULL: dict[str, Any] = {
    "names": list(NAMES),
    "model": {"learn": "field", "order": "first", "width": 32, "depth": 2},
    "train": {"method": "adam", "members": 1, "minutes": 4.0},
    "every": 1,
}
_QUICK = copy.deepcopy(_FULL)
_QUICK["names"] = ["a"]
_QUICK["model"]["width"] = 4
_QUICK["train"] |= {"steps": 20, "clips": [8]}


@real_data.part("chaos", _ROWS, full=_FULL, quick=_QUICK)
def chaos(run: Run) -> Iterator[Claim]:
    """One condition after the other."""
    for name in NAMES:
        if name not in run.settings["names"]:
            for key in _WHAT:
                yield run.row(f"{ID}.{key}_{name}").not_run("left out at this budget")
            continue
        data = measured(f"electrochemical_oscillator/condition_{name}")
        found = run.keep(name, lambda data=data: statistics(data, run.settings))
        for key in _WHAT:
            yield run.row(f"{ID}.{key}_{name}").measured(float(found[key]))


def statistics(data: Trajectories, settings: dict[str, Any]) -> dict[str, Any]:
    """Learn the field on the first half and compare its free run with the second. A
    run that leaves the finite numbers compares as far as it came, or not at all."""
    from ..dynamics import fit, from_dict

    values = data.ys[0, : data.lengths[0], 0]
    half = len(values) // 2
    own = divergence(values, 1.0)
    first, second = values[:half], values[half:]
    train = delays(first, own.delay)
    config = from_dict(
        {k: settings[k] for k in ("model", "train", "every")} | {"seed": 0}
    )
    fitted = fit(None, train, config, judged=False)
    count = len(second)
    roll = fitted.simulate(train.ys[0, -1], np.arange(count, dtype=float))
    free = np.asarray(roll.ys)[0, :, 0]
    free = free[np.isfinite(free)]
    out: dict[str, Any] = {"exponent_record": own.exponent}
    halves = compare_statistics(first[:, None], second[:, None], 1.0)
    out["overlap_halves"] = halves.overlap[0]
    out["spectral_distance_halves"] = halves.spectral_distance[0]
    if len(free) < count // 2 or np.std(free) < 1e-3 * np.std(second):
        lost = dict.fromkeys(("exponent_model", "overlap", "spectral_distance"), np.nan)
        return out | lost
    found = compare_statistics(free[:, None], second[:, None], 1.0)
    try:
        out["exponent_model"] = divergence(free, 1.0, delay=own.delay).exponent
    except DataError:  # it no longer oscillates
        out["exponent_model"] = np.nan
    out["overlap"] = found.overlap[0]
    out["spectral_distance"] = found.spectral_distance[0]
    return out


def delays(values: np.ndarray, delay: int) -> Trajectories:
    """One channel as `DIMENSION` channels, each `delay` samples after the last."""
    count = len(values) - (DIMENSION - 1) * delay
    ys = np.stack([values[k * delay :][:count] for k in range(DIMENSION)], axis=1)
    names = tuple(f"y{k}" for k in range(DIMENSION))
    return Trajectories.from_arrays(
        [np.arange(count, dtype=float)], [ys], names=names, time_unit="sample"
    )
