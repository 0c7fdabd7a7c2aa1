"""Parts `calibrate` and `recordings` of study `slinky`: constants of the rod from bars
that a camera followed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ..systems import (
    Calibration,
    SlinkyCase,
    bar_names,
    calibrate,
    drop,
    slinky_case,
    to_bars,
)
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._study import Run


RATE = 30.0  # frames a second
NAMES = ("youngs", "drag", "pitch")
OFF = (0.1, 0.2)  # how far from the truth a fit begins
_WHAT = (
    "20 hanging cycles let go from undeformed, 1.5 s at 30 frames a second with 2 mm "
    "noise on every coordinate"
)
_TRIED = (
    "Young's modulus, drag and pitch together, from 10 to 20 % off, by exact "
    "derivatives of the solved steps. Forty cycles between two clamps tell Young's "
    "modulus and pitch apart badly (correlation 0.99: their pull is the product of "
    "both); twelve hanging ones, watched for 1 s, know the drag to 9 %."
)


def _row(key: str, statement: str, unit: str = "1", **more: Any) -> Row:
    tried = {"tried": _TRIED} if "target" in more else {}
    return Row(f"slinky.calibrate.{key}", statement, unit, **tried, **more)


_ROWS = (
    _row("E", f"{_WHAT}: relative error of Young's modulus.", target=0.01),
    _row("drag", "Of the drag, whose truth is 0.012 N s/m^2.", target=0.05),
    _row("pitch", "Of the pitch of the helix at rest."),
    _row("width", "Half of the 95 % interval of Young's modulus over its value."),
    _row("width_drag", "The same of the drag."),
    _row("noise", "What the fit takes the noise for.", "m"),
    _row(
        "cameras",
        "How much residuals repeat themselves from frame to frame (correlation; 0 "
        "where only noise is left).",
    ),
    _row(
        "clean_residual",
        "Without noise: what steps of 2 ms leave of a truth of 1 ms steps.",
        "m",
    ),
    _row("clean_E", "Without noise: relative error of Young's modulus."),
    _row("iterations", "Iterations of a fit.", "iterations"),
    _row(
        "coverage",
        "Eight hanging cycles, 0.6 s, tracks by the same steps: share of true values "
        "in their 95 % intervals, three constants, a fit for every draw of noise.",
        better="within",
        target=(0.85, 1.0),
    ),
    _row("coverage_converged", "Share of these fits that converged.", better="higher"),
)
_FULL: dict[str, Any] = {
    "cycles": 20,
    "seconds": 1.5,
    "dt": 2e-3,
    "seeds": 5,
    "few": 8,
    "short": 0.6,
    "draws": 30,
    "noise": 2e-3,  # m, of every coordinate; of the tilt over the radius
}
_QUICK = {
    "cycles": 2,
    "seconds": 0.1,
    "dt": 1e-3,
    "seeds": 1,
    "few": 2,
    "short": 0.1,
    "draws": 2,
    "noise": 1e-6,  # two cycles hardly move
}
_RECORDING = (
    "no recording is here: figure 3.13 of the thesis shows camera images of a Slinky, "
    "whose tracks were not published; `pendula.systems.calibrate` takes them"
)
_REAL = tuple(
    Row(
        f"slinky.real.{key}",
        f"A real Slinky, {words}: mean distance of its vertices from the calibrated "
        "rod's.",
        "m",
        source="Wang 2023, figure 3.13",
    )
    for key, words in (
        ("horizontal", "both ends held"),
        ("vertical", "hanging from one end"),
    )
)


@slinky.part("recordings", _REAL, full={"budget": "full"}, quick={"budget": "quick"})
def recordings(run: Run) -> Iterator[Claim]:
    """Nothing to measure on."""
    for row in _REAL:
        yield run.row(row.id).not_run(_RECORDING)


@slinky.part("calibrate", _ROWS, full=_FULL, quick=_QUICK)
def calibration(run: Run) -> Iterator[Claim]:
    """A few fits to a long motion, many to a short one."""
    s, noise = run.settings, run.settings["noise"]
    row = lambda key: run.row(f"slinky.calibrate.{key}")
    long = Setting(s["cycles"], s["seconds"], s["dt"])
    true = run.keep("truth", lambda: bars_of_camera(long, 1e-3))
    clean = run.keep("clean", lambda: fitted(long, true, 0, 0.0))
    fits = [
        run.keep(f"seed_{k}", lambda k=k: fitted(long, true, k, noise))
        for k in range(s["seeds"])
    ]
    of = lambda key: np.array([fit[key] for fit in fits])
    off = np.abs(of("value") / long.truth - 1.0)
    for k, key in enumerate(("E", "drag", "pitch")):
        yield row(key).measured(off[:, k])
    half = 0.5 * np.log(of("high") / of("low"))
    yield row("width").measured(half[:, 0])
    yield row("width_drag").measured(half[:, 1])
    yield row("noise").measured(of("noise"))
    yield row("cameras").measured(of("correlation"))
    yield row("clean_residual").measured(clean["rms"])
    yield row("clean_E").measured(abs(clean["value"][0] / long.truth[0] - 1.0))
    yield row("iterations").measured(of("iterations"))
    short = Setting(s["few"], s["short"], s["dt"])
    same = run.keep("short_truth", lambda: bars_of_camera(short, s["dt"]))
    draws = []
    for k in range(s["draws"]):
        run.progress(f"calibrate: draw {k + 1} of {s['draws']}")
        draws.append(run.keep(f"draw_{k}", lambda k=k: fitted(short, same, k, noise)))
    low, high = (np.array([fit[key] for fit in draws]) for key in ("low", "high"))
    inside = (low <= short.truth) & (short.truth <= high)
    yield row("coverage").measured(inside.mean(), n=inside.size)
    good = sum(bool(fit["converged"]) for fit in draws) / len(draws)
    yield row("coverage_converged").measured(good, n=len(draws))
    draw(run, low / short.truth, high / short.truth)


@dataclasses.dataclass(frozen=True)
class Setting:
    """How many cycles hang, how long they are watched, the step of the fit."""

    cycles: int
    seconds: float
    dt: float

    @property
    def case(self) -> SlinkyCase:
        """Their case: let go as they rest, one end held."""
        return slinky_case("case2").smaller(self.cycles, self.seconds)

    @property
    def truth(self) -> np.ndarray:
        """True values of `NAMES`."""
        case = self.case
        return np.array([case.slinky.youngs, case.drag, case.slinky.pitch])


def bars_of_camera(setting: Setting, dt: float) -> dict[str, np.ndarray]:
    """Bars of the rod at the frames of a camera, without noise: steps of `dt`, between
    them a spline."""
    from scipy.interpolate import CubicSpline

    case = setting.case
    rod, state, held = case.start()
    run = drop(rod, state, held, case.seconds, dt, drag=case.drag, strict=True)
    ts = np.arange(0.0, run.ts[-1] + 1e-9, 1.0 / RATE)
    return {"ts": ts, "u": CubicSpline(run.ts, to_bars(run.nodes)[0])(ts)}


def fitted(
    setting: Setting, true: dict[str, np.ndarray], seed: int, noise: float
) -> dict[str, Any]:
    """A calibration on tracks with some noise, from 10 to 20 % off."""
    case = setting.case
    rng = np.random.default_rng((seed, 7))
    scale = np.array([1.0, 1.0, 1.0 / case.slinky.radius])
    u = true["u"] + noise * scale * rng.normal(size=true["u"].shape)
    tracks = Trajectories.from_arrays(
        true["ts"],
        u.reshape(len(u), -1),
        names=bar_names(setting.cycles),
        origin={"system": "slinky"},
    )
    off = rng.choice([-1.0, 1.0], 3) * rng.uniform(*OFF, 3)
    begin: dict[str, float] = dict(
        zip(NAMES, (setting.truth * (1.0 + off)).tolist(), strict=True)
    )
    return arrays(calibrate(case, tracks, NAMES, values=begin, dt=setting.dt))


def arrays(found: Calibration) -> dict[str, Any]:
    """What is kept of a calibration."""
    low, high = zip(*(found.intervals[name] for name in NAMES), strict=True)
    names = ("noise", "rms", "correlation", "iterations", "converged")
    kept = {name: getattr(found, name) for name in names}
    value = [found.values[name] for name in NAMES]
    return kept | {"value": value, "low": low, "high": high}


def draw(run: Run, low: np.ndarray, high: np.ndarray) -> None:
    """Intervals of every draw over the truth."""
    titles = ("Young's modulus", "drag", "pitch")
    with figure(run.figures / "calibrate.svg", 3, 5.0) as axes:
        for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
            at = np.arange(len(low))
            miss = (low[:, k] > 1.0) | (high[:, k] < 1.0)
            for which, colour in ((~miss, COLOURS[0]), (miss, COLOURS[1])):
                ax.vlines(at[which], low[which, k], high[which, k], colors=colour)
            ax.axhline(1.0, color="#000000", lw=0.8)
            ax.set(ylabel="over its truth")
            ax.set_title(f"{title}: 95 % intervals (orange: the truth is outside)")
        axes[-1].set(xlabel="draw of the noise")
