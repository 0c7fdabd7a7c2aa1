"""The cases of study `slinky`: the rod's motion, and the chain that must repeat it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..data import Trajectories
from ..dynamics import BarChain, BarPath, BarWorld, bar_path, bar_rest
from ..systems import (
    SLINKY_CASES as CASES,
    SlinkyCase,
    bar_distance,
    bars_of,
    from_bars,
    settled,
    to_bars,
)


FRAME = 0.01  # s between saved states


def world(case: SlinkyCase, gravity: tuple[float, float] = (0.0, -9.8)) -> BarWorld:
    """Masses and loads of the bars of a case."""
    own = case.slinky
    return BarWorld.of(
        own.cycle_mass,
        own.radius,
        gravity,
        stiffness=case.stiffer,
        drag=case.drag,
        wire_length=own.wire_length,
    )


def on(case: SlinkyCase, chain: BarChain) -> BarChain:
    """A chain of the same energy in a case."""
    return dataclasses.replace(chain, world=world(case), last=case.last)


def truth(case: SlinkyCase, resting: bool = True) -> dict[str, np.ndarray]:
    """Bars of the rod: `ts`, `u`, `v`, and where it comes to rest `rest` (none where an
    end is moved)."""
    ts, u, v = bars_of(case.record(FRAME))
    found = {"ts": ts, "u": u, "v": v}
    if resting and not case.moving:
        rod, state, held = case.start()
        found["rest"] = to_bars(settled(rod, state, held).nodes)[0]
    return found


def follow(
    case: SlinkyCase, chain: BarChain, truth: dict[str, np.ndarray], **more: Any
) -> BarPath:
    """The chain's motion from where the rod begins."""
    ts, own = truth["ts"], on(case, chain)
    start = truth["u"][0], truth["v"][0]
    return bar_path(own, ts, *start, ends=case.ends(ts), **more)


def training_record(cycles: int = 76, seconds: float = 0.76) -> Trajectories:
    """The record that everything is learned from: case 0 until `seconds`."""
    own = dataclasses.replace(CASES[0], cycles=cycles, seconds=seconds)
    return own.record(FRAME)


distances = bar_distance  # mean distance of the ends of bars "time" [m]


def square_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared distance of the helices [m^2]."""
    return float(np.mean(np.sum((from_bars(a) - from_bars(b)) ** 2, axis=-1)))


def sag(u: np.ndarray) -> float:
    """How far the lowest bar is below the first [m]."""
    return float(u[0, 1] - u[:, 1].min())


def sag_error(case: SlinkyCase, chain: BarChain, truth: dict[str, np.ndarray]) -> float:
    """Relative error of the sag at rest, from the middle of the motion on."""
    still = bar_rest(on(case, chain), truth["u"].mean(0))
    return abs(sag(still) / sag(truth["rest"]) - 1.0)


def period(ts: np.ndarray, u: np.ndarray) -> float:
    """Time between the lowest places of the middle bar [s]; NaN for fewer than two."""
    y = u[:, u.shape[1] // 2, 1]
    low = np.flatnonzero((y[1:-1] < y[:-2]) & (y[1:-1] <= y[2:])) + 1
    low = low[y[low] < 0.5 * y.min()]
    if len(low) < 2:
        return float("nan")
    # of neighbouring ones the lowest; then a parabola through three samples
    groups = np.split(low, np.flatnonzero(np.diff(ts[low]) > 0.3) + 1)
    best = [g[np.argmin(y[g])] for g in groups]
    at = []
    for k in best:
        a, b, c = y[k - 1], y[k], y[k + 1]
        at.append(ts[k] + 0.5 * (a - c) / (a - 2 * b + c) * (ts[k + 1] - ts[k]))
    return float("nan") if len(at) < 2 else (at[-1] - at[0]) / (len(at) - 1)


def energy_drift(path: BarPath) -> float:
    """Largest change of the energy over the peak of the kinetic one."""
    return float(
        np.abs(path.total - path.total[0]).max() / path.energy["kinetic"].max()
    )
