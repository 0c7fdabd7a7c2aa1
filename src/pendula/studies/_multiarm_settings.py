"""Part `multiarm_settings` of study `real_data`: how much of the measured pendulum's
result hangs on the settings of its fit.

The recipe of part `multiarm` was not chosen blind: its form and its windows are those
that earlier fits of this record had shown to work. So each setting is moved here, one
at a time and by a factor of about two or more, and the free run scored again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ._claim import Claim
from ._multiarm import HYBRID, fitted_scores
from ._real_data import measured, real_data
from ._row import Row
from ._study import Run


ID = "real_data.multiarm_settings"
TARGETS = (0.012, 0.05, 0.8)  # of part multiarm: both errors [rad], cover

# (table, setting, value); one is changed, the others stay
MOVED: list[tuple[str, str, Any]] = [
    ("train", "window", 1.25),
    ("train", "window", 1.8),
    ("train", "window", 3.5),
    ("train", "window", 5.0),
    ("model", "width", 4),
    ("model", "width", 16),
    ("model", "depth", 2),
    ("model", "precision", 0.3),
    ("model", "precision", 3.0),
    ("train", "spread", 5.0),
    ("train", "spread", 200.0),
]

_WHAT = "Hybrid trained on 20 s, one setting moved at a time"
_ROWS = (
    Row(
        f"{ID}.met",
        f"{_WHAT}: share of the settings that reach all three targets of part multiarm "
        "(errors 0.012 and 0.05 rad, cover 0.8).",
        better="higher",
    ),
    Row(f"{ID}.rmse_20_36", f"{_WHAT}: RMSE from 20 to 36.7 s, over settings.", "rad"),
    Row(f"{ID}.rmse_36_55", f"{_WHAT}: RMSE from 36.7 to 55 s, over settings.", "rad"),
    Row(
        f"{ID}.cover",
        f"{_WHAT}: share inside the 90 % band, the smaller part, over settings.",
        better="higher",
    ),
)


def moved(recipe: dict[str, Any], table: str, setting: str, value: Any) -> Any:
    """The recipe with one setting changed."""
    out = copy.deepcopy(recipe)
    out[table][setting] = value
    return out


def _quick() -> dict[str, Any]:
    """One member, few steps, 5 s, two settings."""
    recipe = copy.deepcopy(HYBRID)
    recipe["train"] |= {"steps": 3, "members": 1}
    recipe["every"] = 16
    return {"recipe": recipe, "moved": MOVED[2:5:2], "seconds": 5.0}


@real_data.part(
    "multiarm_settings",
    _ROWS,
    full={"recipe": HYBRID, "moved": MOVED, "seconds": 20.0},
    quick=_quick(),
)
def multiarm_settings(run: Run) -> Iterator[Claim]:
    """One fit a setting, first seed."""
    data = measured("multiarm_pendulum/single")
    recipe, seconds = run.settings["recipe"], run.settings["seconds"]
    found = []
    for table, setting, value in run.settings["moved"]:
        changed = moved(recipe, table, setting, value)
        kept = run.keep(
            f"{table}_{setting}_{value:g}",
            lambda changed=changed: fitted_scores(data, seconds, changed, 0),
        )
        found.append([*kept["rmse"], min(kept["cover"])])
    first, second, cover = np.array(found).T
    good = (first <= TARGETS[0]) & (second <= TARGETS[1]) & (cover >= TARGETS[2])
    yield run.row(f"{ID}.met").measured(float(good.mean()), n=len(found))
    yield run.row(f"{ID}.rmse_20_36").measured(first)
    yield run.row(f"{ID}.rmse_36_55").measured(second)
    yield run.row(f"{ID}.cover").measured(cover)
