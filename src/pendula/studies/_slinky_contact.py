"""Part `contact` of study `slinky`: what bars do to each other where they meet, learned
from rebounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.signal import find_peaks

from ..data import join
from ..dynamics import (
    BarChain,
    BarPath,
    ContactConfig,
    GapPotential,
    bar_path,
    fit_contact,
    slinky_network,
)
from ..systems import SlinkyCase, bar_record, bars_of, settled, to_bars
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._slinky_cases import distances, world
from ._study import Run


_HANGS = SlinkyCase("rebound", "", 40, 2.0, setup="vertical", last=False, touching=True)
# name -> the case; the first two teach
CASES: dict[str, SlinkyCase] = {
    "undeformed": _HANGS,
    "drawn": dataclasses.replace(_HANGS, span=0.1),
    "drawn_further": dataclasses.replace(_HANGS, span=0.2),
    "cycles30": dataclasses.replace(_HANGS, cycles=30),
    "stiffer": dataclasses.replace(_HANGS, stiffer=1.5),
}
OFTEN = 10  # samples of a chain to a frame of the rod
TAUGHT = ("undeformed", "drawn")
_TESTS = (
    "rebounds of 40 cycles let go from 5 mm a cycle, of 30 from as they rest, and of "
    "40 half again as stiff; 2 s each"
)
_WHO = {
    "": "Learned",
    "without.": "Without contact",
    "begun.": "The potential that the fit begins with",
    "barrier.": "The rod's barrier between bars, steps of 0.1 ms",
}
_TRIED = (
    "The kept network, its energy as it is; eight hinges of the gaps learned from two "
    "rebounds of 40 cycles, 100 updates on clips of up to 0.1 s, steps of 0.1 ms."
)


def _rows() -> Iterator[Row]:
    for key, who in _WHO.items():
        own: dict[str, Any] = {} if key else {"tried": _TRIED}
        yield Row(
            f"slinky.contact.{key}least_gap",
            f"{who}: least gap of neighbouring cycles, looked at every ms; {_TESTS}.",
            "m",
            better="higher",
            target=None if key else 0.0,
            **own,
        )
        yield Row(
            f"slinky.contact.{key}rebound",
            f"{who}: height of the free end over where it comes to rest, first two "
            f"rebounds: largest relative error; the same.",
            target=None if key else 0.1,
            **own,
        )
        yield Row(
            f"slinky.contact.{key}distance_m",
            f"{who}: mean distance of the ends of bars; the same.",
            "m",
        )
    yield Row(
        "slinky.contact.rod_gap",
        "The rod's own bars in these motions: least gap (the rod's wire keeps its "
        "distance; bars tilt as they meet).",
        "m",
        better="higher",
    )
    for at in (0.1, 0.2, 0.5, 1.0):
        yield Row(
            f"slinky.contact.push_{round(1e3 * at)}um",
            f"Push of the learned potential at a gap of {at:g} mm.",
            "N",
        )
    yield Row("slinky.contact.seconds", "Time of the fit.", "s")


_FULL: dict[str, Any] = {
    "cases": CASES,
    "config": ContactConfig(),
}
_QUICK = {
    "cases": {key: case.smaller(4, 0.1) for key, case in CASES.items()},
    "config": ContactConfig(steps=2, longest=3, span=0.08, substeps=50),
}


@slinky.part("contact", tuple(_rows()), full=_FULL, quick=_QUICK)
def contact(run: Run) -> Iterator[Claim]:
    """Learn from two rebounds, follow three others."""
    s = run.settings
    seen = {k: run.keep(k, lambda c=c: truth(c)) for k, c in s["cases"].items()}
    plain = dataclasses.replace(
        slinky_network().model().field.force, world=world(_HANGS), last=False
    )
    data = join([bar_record(*(seen[k][x] for x in "tuv")) for k in TAUGHT])
    made, told = fit_contact(
        data,
        plain,
        s["config"],
        out=run.scratch / "push",
        resume=True,
        tell=lambda row: run.progress(f"clips: {row['step']} of {row['total']}"),
    )
    assert made.push is not None
    touching = dataclasses.replace(made, push=GapPotential.create())
    chains = {
        "": made,
        "without.": plain,
        "begun.": touching,
        "barrier.": dataclasses.replace(touching, push=None),
    }
    tests = [k for k in s["cases"] if k not in TAUGHT]
    drawn: dict[str, BarPath] = {}
    for key, chain in chains.items():
        run.progress(key or "learned")
        found = []
        for name in tests:
            path = follow(chain, s["cases"][name], seen[name], s["config"].substeps)
            found.append(judged(chain, path, seen[name]))
            if name == "cycles30":
                drawn[key] = path
        least, off, far = np.array(found).T
        yield run.row(f"slinky.contact.{key}least_gap").measured(_worst(least, np.min))
        yield run.row(f"slinky.contact.{key}rebound").measured(_worst(off, np.max))
        yield run.row(f"slinky.contact.{key}distance_m").measured(far.mean())
    own = min(float(gaps(made, seen[k]["u"]).min()) for k in tests)
    yield run.row("slinky.contact.rod_gap").measured(own)
    push = jax.grad(lambda d, phi=made.push: -phi(d))
    for at in (0.1, 0.2, 0.5, 1.0):
        force = push(jnp.asarray(1e-3 * at, jnp.float32))
        yield run.row(f"slinky.contact.push_{round(1e3 * at)}um").measured(float(force))
    yield run.row("slinky.contact.seconds").measured(told["seconds"])
    draw(run, made, seen["cycles30"], drawn)


def truth(case: SlinkyCase) -> dict[str, Any]:
    """Bars of the rod, and how high its free end hangs at rest."""
    ts, u, v = bars_of(case.record(0.01))
    rod, state, held = case.start()
    rest = to_bars(settled(rod, state, held).nodes)[0]
    return {"t": ts, "u": u, "v": v, "rest": rest[-1, 1]}


def follow(
    chain: BarChain, case: SlinkyCase, seen: dict[str, Any], substeps: int
) -> BarPath:
    """The chain's motion from where the rod begins, ten times as often as the rod's is
    known: cycles meet between two of its frames."""
    loads = world(case)
    # the rod's barrier acts along the wire of a cycle, once at its top and bottom
    stiffness = case.contact.stiffness * case.slinky.wire_length
    own = dataclasses.replace(
        chain, world=dataclasses.replace(loads, contact=np.asarray(float(stiffness)))
    )
    ts = np.linspace(seen["t"][0], seen["t"][-1], OFTEN * (len(seen["t"]) - 1) + 1)
    parts = max(1, substeps // OFTEN)
    return bar_path(own, ts, seen["u"][0], seen["v"][0], substeps=parts)


def gaps(chain: BarChain, u: np.ndarray) -> np.ndarray:
    """Gaps of neighbouring cycles at tops and bottoms `"time side pair"` [m]."""
    own = jax.vmap(chain.gaps)(jnp.asarray(u, jnp.float32))
    return np.asarray(own) - float(chain.world.thickness)


def judged(
    chain: BarChain, path: BarPath, seen: dict[str, Any]
) -> tuple[float, float, float]:
    """Least gap, error of the rebounds, mean distance; NaN for a motion that left the
    finite numbers."""
    if not path.good:
        return np.nan, np.nan, np.nan
    u = path.u[::OFTEN]
    rest = float(seen["rest"])
    ours, theirs = (tops(x[:, -1, 1]) - rest for x in (u, seen["u"]))
    number = min(len(ours), len(theirs), 2)
    lost = number == 0 or len(ours) < min(len(theirs), 2)
    off = np.inf if lost else np.abs(ours[:number] / theirs[:number] - 1.0).max()
    return (
        float(gaps(chain, path.u).min()),
        float(off),
        float(distances(u, seen["u"]).mean()),
    )


def tops(y: np.ndarray) -> np.ndarray:
    """Heights at which a motion turns down again [m], small swings left out."""
    found = find_peaks(y, prominence=0.2 * np.ptp(y))[0]
    return y[found]


def _worst(values: np.ndarray, of: Any) -> float:
    return float(of(values)) if np.isfinite(values).all() else np.nan


def draw(
    run: Run, chain: BarChain, seen: dict[str, Any], drawn: dict[str, BarPath]
) -> None:
    """The free end of 30 cycles, and the least gap."""
    names = {"": "contact learned", "without.": "without contact"}
    with figure(run.figures / "contact.svg", 2, 4.5) as axes:
        ts = seen["t"]
        axes[0].plot(
            ts[::2],
            1e3 * seen["u"][::2, -1, 1],
            "o",
            ms=3.0,
            color=COLOURS[4],
            label="rod",
        )
        for (key, name), colour in zip(names.items(), COLOURS[:2], strict=True):
            own = drawn[key]
            axes[0].plot(own.ts, 1e3 * own.u[:, -1, 1], color=colour, label=name)
            axes[1].plot(
                own.ts, 1e3 * gaps(chain, own.u).min(axis=(1, 2)), color=colour
            )
        axes[1].axhline(0.0, color=COLOURS[4], linewidth=0.7)
        axes[0].set(
            title="30 cycles that fall and rebound", ylabel="free end, height [mm]"
        )
        axes[0].legend(frameon=False, ncols=3, loc="upper right")
        axes[1].set(xlabel="time [s]", ylabel="least gap [mm]")
