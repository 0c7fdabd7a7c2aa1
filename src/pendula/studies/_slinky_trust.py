"""Part `trust` of study `slinky`: intervals of five networks, and where they have
been."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dynamics import BarsConfig, BarTrust, bar_path
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import CASES, distances, truth, world
from ._slinky_esnn import kept_record, smaller, trained
from ._study import Run


JUDGED = ("case1", "case2", "case3", "case4")
SHOWN = ("case0", *JUDGED, "case5")
_TRIED = (
    "Five networks of 300 updates from weights of their own on one record; intervals "
    "from their spread and the error over the record, scaled on the record."
)
_ROWS = (
    Row(
        "slinky.trust.coverage",
        "Coordinates of all vertices of cases 1 to 4, 1.5 s, within their 90 % "
        "interval: share.",
        better="within",
        target=(0.85, 0.95),
        tried=_TRIED,
    ),
    *(
        Row(f"slinky.trust.coverage_{key}", f"The same, {key}.", better="higher")
        for key in SHOWN
    ),
    *(
        Row(
            f"slinky.trust.half_{key}",
            f"Half width of the 90 % intervals, {key}: root of the mean square.",
            "m",
        )
        for key in SHOWN
    ),
    *(
        Row(
            f"slinky.trust.inside_{key}",
            f"Share of bars and times of {key} near what the record has visited.",
            better="higher",
        )
        for key in SHOWN
    ),
    Row(
        "slinky.trust.outside_error",
        "Error where a bar is outside over that where it is inside, cases 1 to 5.",
        better="higher",
    ),
    Row(
        "slinky.trust.mean_over_member",
        "Distance of the mean of five from the rod over that of their median, cases 0 "
        "to 5, geometric mean.",
    ),
    Row("slinky.trust.training_seconds", "Time of the training of all five.", "s"),
)
_FULL: dict[str, Any] = {
    "cycles": None,
    "config": BarsConfig(members=5, steps=300, minutes=120.0),
}
_QUICK = {
    "cycles": 6,
    "config": BarsConfig(
        members=2, width=4, depth=1, steps=2, start_steps=100, longest=6, span=0.08
    ),
}


@slinky.part("trust", _ROWS, full=_FULL, quick=_QUICK)
def trust(run: Run) -> Iterator[Claim]:
    """Train five, calibrate on the record, go through the cases."""
    s = run.settings
    cases = CASES if s["cycles"] is None else smaller(s["cycles"])
    fitted = trained(run, s["config"], 0, s["cycles"], "five")
    own = BarTrust.of(fitted, kept_record(run, s["cycles"]))
    row = lambda key: run.row(f"slinky.trust.{key}")
    inner, within, off, near, ratio = slice(1, -1), [], [], [], []
    for case in (c for c in cases if c.key in SHOWN):
        run.progress(case.key)
        known = run.keep(case.key, lambda c=case: truth(c, resting=False))
        ts, u = known["ts"], known["u"]
        place: dict[str, Any] = {"world": world(case), "last": case.last}
        told = own.forecast(ts, u[0], known["v"][0], **place)
        covered = told.covered(u)[1:, inner]
        inside = told.in_domain[1:, inner]
        yield row(f"coverage_{case.key}").measured(float(covered.mean()))
        yield row(f"half_{case.key}").measured(
            float(np.sqrt(np.mean(told.half[1:, inner] ** 2)))
        )
        yield row(f"inside_{case.key}").measured(float(inside.mean()))
        if case.key in JUDGED:
            within.append(covered.ravel())
        if case.key != "case0":
            gap = np.linalg.norm(told.bars - u, axis=-1)[1:, inner]
            off.append(gap.ravel())
            near.append(inside.ravel())
        each = [
            distances(
                bar_path(dataclasses.replace(c, **place), ts, u[0], known["v"][0]).u, u
            ).mean()
            for c in own.chains
        ]
        ratio.append(distances(told.bars, u).mean() / np.median(each))
    yield row("coverage").measured(float(np.concatenate(within).mean()))
    far, mask = np.concatenate(off), np.concatenate(near)
    outside = far[~mask].mean() if (~mask).any() else float("nan")
    inside_mean = far[mask].mean() if mask.any() else float("nan")
    yield row("outside_error").measured(
        outside / inside_mean,
        reason=None if mask.any() and (~mask).any() else "All are on one side.",
    )
    yield row("mean_over_member").measured(float(np.exp(np.mean(np.log(ratio)))))
    yield row("training_seconds").measured(fitted.about["seconds"])
