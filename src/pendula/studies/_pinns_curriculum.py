"""Parts `A2_curriculum` and `A2_convection_curriculum` of study `pinns`: the other
published cure, a curriculum of coefficients."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..solutions import Curriculum, GaussNewton, Network, Whole
from ._claim import Claim
from ._pinns import TALK, Case, left_out, pinns
from ._pinns_failures import (
    FULL,
    FURTHER,
    QUICK,
    cases,
    cell,
    further,
    talk_network,
    talked,
    words,
)
from ._row import Row
from ._study import Run


_PUBLISHED = {20: 9.84e-3, 30: 2.02e-2, 40: 5.33e-2}
_STEPS = {"convection": ("beta", 1.0), "reaction": ("rho", 0.5)}
LONGER_CURRICULUM = {"dtype": "float64", "tolerance": 1e-9}
_FULL = {**FULL, **LONGER_CURRICULUM, "stride": 1}
_QUICK = {**QUICK, **LONGER_CURRICULUM, "stride": 29}


def in_steps(case: Case, s: dict[str, Any], seed: int) -> Network:
    """The published network, a curriculum from the coefficient 1 on."""
    name, step = _STEPS[case.name]
    last = case.params[name]
    count = max(2, round((last - 1.0) / (step * s["stride"])) + 1)
    way = Curriculum(name, np.linspace(1.0, last, count).tolist())
    return further(s, seed, way, s)


def _those(name: str) -> dict[str, Case]:
    """Key -> problem, of one equation; beta = 1 is where a curriculum begins."""
    found = {k: c for k, c in cases().items() if c.name == name}
    return {k: c for k, c in found.items() if k != "convection_beta1"}


def _reaction_rows() -> Iterator[Row]:
    for key, case in _those("reaction").items():
        what = "rho from 1 in steps of 0.5, in float64"
        stem = f"pinns.A2.{key}_curriculum"
        yield Row(
            stem,
            f"Relative L2 error of the published network with {what}, {words(case)}.",
            source=TALK,
        )
        yield Row(
            f"{stem}_gain",
            f"Error on the whole domain over that with {what}, {words(case)}.",
            better="higher",
            target=10.0,
            tried=FURTHER,
        )
        yield Row(
            f"{stem}_seconds",
            f"Time of all its trainings, {words(case)}, {what}.",
            "s",
            target=600.0,
            tried=FURTHER,
        )


@pinns.part(
    "A2_curriculum",
    tuple(_reaction_rows()),
    full=_FULL,
    quick={**_QUICK, "only": ["reaction_rho5_curriculum"]},
)
def reactions(run: Run) -> Iterator[Claim]:
    """The rate in steps, beside all at once."""
    s = run.settings
    for stem, case in _those("reaction").items():
        key = f"{stem}_curriculum"
        if key not in s.get("only", [key]):
            yield from left_out(run, f"pinns.A2.{key}")
            continue
        found = yield from cell(run, key, case, lambda k, c=case: in_steps(c, s, k))
        if found:
            whole = lambda c=case: talked(c, talk_network(s, 0, Whole()))
            alone = run.keep(f"{key}_whole", whole)
            gain = float(alone["error"]) / float(found[0]["error"])
            yield run.row(f"pinns.A2.{key}_gain").measured(gain)


_STAGE = {"target": 1e-5, "patience": 5, "inner": 1, "condition": False}
# all at once the loss rests on plateaus before it falls
_ALONE = {**_STAGE, "target": 1e-6, "patience": 30}
_TRIED = (
    "The published network (4 layers of 50), loss and steps of beta; Gauss-Newton in "
    "float64, each stage until its loss is 1e-5, 60 iterations at most. The published "
    "optimiser in float64 beside it: rows *_lbfgs."
)
_ALL = "convection_beta30"  # also without a curriculum, and with three seeds


def _convection_rows() -> Iterator[Row]:
    for key, case in _those("convection").items():
        stem, target = (
            f"pinns.A2.{key}_curriculum",
            _PUBLISHED[int(case.params["beta"])],
        )
        what = f"beta from 1 in steps of 1, {words(case)}"
        yield Row(
            stem,
            f"Relative L2 error of the published network by Gauss-Newton, {what}.",
            target=target,
            source=TALK,
            published=target,
            tried=_TRIED,
        )
        yield Row(
            f"{stem}_seconds",
            f"Time of all its trainings, {what}.",
            "s",
            target=600.0,
            tried=_TRIED,
        )
        yield Row(
            f"{stem}_lbfgs",
            f"Relative L2 error of the published network by the published optimiser, "
            f"L-BFGS, in float64 and stopped by smaller changes, {what}.",
            source=TALK,
            published=target,
        )
        yield Row(f"{stem}_lbfgs_seconds", f"Time of all those trainings, {what}.", "s")
    alone = f"{words(cases()[_ALL])}, all at once by Gauss-Newton"
    yield Row(
        f"pinns.A2.{_ALL}_alone",
        f"The same optimiser without a curriculum: relative L2 error, {alone}.",
    )
    yield Row(
        f"pinns.A2.{_ALL}_alone_absolute",
        f"The same, mean absolute error, {alone}.",
    )
    for name, where in (("at_points", "at"), ("between", "between")):
        yield Row(
            f"pinns.A2.{_ALL}_alone_{name}",
            f"RMS of the equation {where} its points, relative to u, {alone}.",
        )


@pinns.part(
    "A2_convection_curriculum",
    tuple(_convection_rows()),
    full={**_FULL, "iterations": 60, "alone": 1000},
    quick={
        **_QUICK,
        "iterations": 3,
        "alone": 3,
        "only": ["convection_beta30_curriculum"],
    },
)
def convections(run: Run) -> Iterator[Claim]:
    """The speed in steps, by two optimisers; and by the better one all at once."""
    s = run.settings
    for stem, case in _those("convection").items():
        key = f"{stem}_curriculum"
        if key not in s.get("only", [key]):
            yield from left_out(run, f"pinns.A2.{key}")
            continue
        steps = lambda k, c=case: in_steps(c, s, k)
        newton = lambda k, f=steps: _by_newton(f(k), s["iterations"], _STAGE)
        yield from cell(run, key, case, newton, s["more"] if stem == _ALL else 1)
        yield from cell(run, f"{key}_lbfgs", case, steps)
    if run.wants(f"pinns.A2.{_ALL}_alone"):
        at_once = _by_newton(further(s, 0, Whole(), s), s["alone"], _ALONE)
        found = run.keep(f"{_ALL}_alone", lambda: talked(cases()[_ALL], at_once))
        yield run.row(f"pinns.A2.{_ALL}_alone").measured(float(found["error"]))
        for name in ("absolute", "at_points", "between"):
            row = run.row(f"pinns.A2.{_ALL}_alone_{name}")
            yield row.measured(float(found[name]))


def _by_newton(method: Network, steps: int, how: dict[str, Any]) -> Network:
    """The same, trained by Gauss-Newton."""
    by = GaussNewton(steps, unit_rows=False, **how)
    return dataclasses.replace(method, optimiser=by)
