"""Part `family` of study `wake`: other Reynolds numbers, and a cylinder that turns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from ..systems import WakeNumbers
from ._claim import Claim
from ._row import Row
from ._study import Run
from ._wake import flow, flow_or_none, preset, small, wake
from ._wake_figures import family_figure


RES = (60, 80, 100, 120, 140, 160)
TURNS = {"0": 0.0, "05": 0.5, "1": 1.0}
FEY = "Fey, Koenig, Eckelmann 1998"


def law(re: float) -> float:
    """Strouhal number of a real cylinder that sheds in the plane, measured."""
    return 0.2684 - 1.0356 / math.sqrt(re)


def _rows() -> Iterator[Row]:
    yield Row(
        "wake.family.st_law",
        "Strouhal number of the cylinder at rest, Re = 60 to 160: largest relative "
        "difference from 0.2684 - 1.0356 / sqrt(Re).",
        target=0.02,
        source=FEY,
        tried="The default mesh, the preset check where it blows up.",
    )
    yield Row(
        "wake.family.period_change",
        "Longest less shortest period over their mean, the worst of the family.",
        target=1e-2,
        tried="Flows from rest to t = 130.",
    )
    for name, rate in TURNS.items():
        for re in RES:
            case = f"Re = {re}, rotation rate {rate:g} U/D"
            key = f"wake.family.re{re}_turn{name}"
            if rate:
                yield Row(f"{key}_st", f"Strouhal number, {case}.")
                yield Row(f"{key}_lift", f"Mean C_L, {case}.")
            else:
                yield Row(
                    f"{key}_st",
                    f"Strouhal number, {case}.",
                    source=FEY,
                    published=round(law(re), 4),
                )
                yield Row(f"{key}_lift", f"Amplitude of C_L, {case}.")
            yield Row(f"{key}_drag", f"Mean C_D, {case}.")


@wake.part(
    "family",
    tuple(_rows()),
    full={"mesh": preset("fast"), "until": 130.0, "window": 35.0},
    quick={"mesh": small(), "until": 1.5, "window": 1.0},
)
def family(run: Run) -> Iterator[Claim]:
    """Eighteen flows, each kept."""
    s = run.settings
    table: dict[tuple[str, int], WakeNumbers] = {}
    for name, rate in TURNS.items():
        for re in RES:
            how = {"re": float(re), "rotation": rate}
            case = f"re{re}_turn{name}"
            found, why = flow_or_none(run, case, s["mesh"], s["until"], **how), None
            if found is None:
                why = "Steps of the default blow up; this is the preset check."
                found = flow(run, f"{case}_check", preset("check"), s["until"], **how)
            one = table[name, re] = found.numbers(s["window"])
            key = f"wake.family.re{re}_turn{name}"
            yield run.row(f"{key}_st").measured(one.strouhal, reason=why)
            lift = one.lift if rate else one.lift_amplitude
            yield run.row(f"{key}_lift").measured(lift, reason=why)
            yield run.row(f"{key}_drag").measured(one.drag, reason=why)
    worst = max(abs(table["0", re].strouhal / law(re) - 1.0) for re in RES)
    yield run.row("wake.family.st_law").measured(worst)
    change = max(one.period_change for one in table.values())
    yield run.row("wake.family.period_change").measured(change)
    family_figure(Path(run.figures) / "family.svg", table, RES, TURNS, law)
