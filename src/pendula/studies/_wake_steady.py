"""Part `steady` of study `wake`: the flow at Re = 40, and where shedding sets in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..systems import bubble_length, growth_rate
from ._claim import Claim
from ._row import Row
from ._study import Run
from ._wake import flow, preset, small, wake


_TRIED = "The default mesh."
_ROWS = (
    Row(
        "wake.steady.drag",
        "C_D at Re = 40.",
        better="within",
        target=(1.50, 1.55),
        source="Dennis and Chang 1970; Fornberg 1980",
        published=1.52,
        tried=_TRIED,
    ),
    Row(
        "wake.steady.bubble",
        "Length of the bubble at Re = 40, from the rear of the cylinder.",
        "D",
        better="within",
        target=(2.2, 2.35),
        source="Dennis and Chang 1970; Fornberg 1980",
        published=2.35,
        tried=_TRIED,
    ),
    Row(
        "wake.steady.lift",
        "Largest |C_L| of the last 10 D/U at Re = 40, without a push.",
        target=1e-6,
        tried=_TRIED,
    ),
    Row(
        "wake.steady.drag_change",
        "Change of C_D over the last 10 D/U at Re = 40, without a push.",
        target=1e-3,
        tried=_TRIED,
    ),
    Row(
        "wake.steady.onset",
        "Reynolds number at which swings neither grow nor die out, on a line through "
        "the rates at 45 and 50.",
        better="within",
        target=(45, 50),
        source="Jackson 1987; Provansal et al. 1987",
        published=47,
        tried=_TRIED,
    ),
    Row("wake.steady.rate_40", "Rate at which small swings grow at Re = 40.", "U/D"),
    Row("wake.steady.rate_45", "Rate at which small swings grow at Re = 45.", "U/D"),
    Row("wake.steady.rate_50", "Rate at which small swings grow at Re = 50.", "U/D"),
)


@wake.part(
    "steady",
    _ROWS,
    full={"mesh": preset("fast"), "until": 150.0, "swing": 200.0, "from": 100.0},
    quick={"mesh": small(), "until": 12.0, "swing": 40.0, "from": 10.0},
)
def steady(run: Run) -> Iterator[Claim]:
    """Without a push the flow stays symmetric; a weak one shows how swings grow."""
    s = run.settings
    rest = flow(run, "re40", s["mesh"], s["until"], re=40.0, trigger=0.0)
    late = rest.ts >= s["until"] - 10.0
    yield run.row("wake.steady.drag").measured(rest.drag[-1])
    yield run.row("wake.steady.bubble").measured(bubble_length(rest.mesh, rest.psi))
    yield run.row("wake.steady.lift").measured(float(np.abs(rest.lift[late]).max()))
    yield run.row("wake.steady.drag_change").measured(float(np.ptp(rest.drag[late])))
    rates = {}
    for re in (40, 45, 50):
        one = flow(
            run, f"swing{re}", s["mesh"], s["swing"], re=float(re), trigger=0.003
        )
        seen = one.ts >= s["from"]
        rates[re] = growth_rate(one.ts[seen], one.lift[seen])
        yield run.row(f"wake.steady.rate_{re}").measured(rates[re])
    onset = 45.0 - 5.0 * rates[45] / (rates[50] - rates[45])
    yield run.row("wake.steady.onset").measured(onset)
