"""The cases of study `slinky`: the rod's motion, and the chain that must repeat it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..dynamics import BarChain, BarPath, BarWorld, bar_path, bar_rest
from ..systems import (
    Boundary,
    ElasticRod,
    RodState,
    Slinky,
    bar_ends,
    bar_record,
    drop,
    from_bars,
    settled,
    to_bars,
)


FRAME = 0.01  # s between saved states
STEP = 1e-3  # s, of the rod
DRAG = 0.012  # N s/m^2
MOVED, RATE = 0.03, 2.0  # m and Hz of a moved end


@dataclasses.dataclass(frozen=True)
class Case:
    """A machine, how it is held, and how long it is watched."""

    key: str
    words: str
    cycles: int
    seconds: float
    setup: str = "horizontal"
    span: float | None = None
    last: bool = True
    drag: float = DRAG
    heavier: float = 1.0
    stiffer: float = 1.0
    moving: bool = False
    at: tuple[float, ...] = ()

    @property
    def slinky(self) -> Slinky:
        """The machine."""
        made = Slinky(self.cycles)
        return dataclasses.replace(
            made,
            density=self.heavier * made.density,
            youngs=self.stiffer * made.youngs,
        )

    def smaller(self, cycles: int, seconds: float) -> Case:
        """The same with few cycles, for a short time."""
        span = None if self.span is None else self.span * cycles / self.cycles
        return dataclasses.replace(
            self, cycles=cycles, seconds=seconds, span=span, at=()
        )

    def start(self) -> tuple[ElasticRod, RodState, Boundary]:
        """The rod before it is let go."""
        if self.setup == "vertical":
            return self.slinky.vertical(last=self.last)
        rod, state, held = self.slinky.horizontal(self.span, last=self.last)
        if not self.moving:
            return rod, state, held
        node = rod.number - 17  # from the last bar's top on, all are held
        return rod, state, dataclasses.replace(held, motion=Lifting(node))

    def world(self, gravity: tuple[float, float] = (0.0, -9.8)) -> BarWorld:
        """Masses and loads of its bars."""
        own = self.slinky
        return BarWorld.of(
            own.cycle_mass,
            own.radius,
            gravity,
            stiffness=self.stiffer,
            drag=self.drag,
            wire_length=own.wire_length,
        )

    def on(self, chain: BarChain) -> BarChain:
        """A chain of the same energy in this case."""
        return dataclasses.replace(chain, world=self.world(), last=self.last)

    def truth(self, resting: bool = True) -> dict[str, np.ndarray]:
        """Bars of the rod: `ts`, `u`, `v`, and where it comes to rest `rest` (none
        where an end is moved)."""
        rod, state, held = self.start()
        every = round(FRAME / STEP)
        options: dict[str, Any] = {"drag": self.drag, "save_every": every}
        run = drop(rod, state, held, self.seconds, STEP, strict=True, **options)
        u, v = to_bars(run.nodes, np.moveaxis(run.v[:, :3], 1, 2))
        found = {"ts": run.ts, "u": u, "v": v}
        if resting and not self.moving:
            still = settled(rod, run.state, held)
            found["rest"] = to_bars(still.nodes)[0]
        return found

    def ends(self, ts: np.ndarray) -> np.ndarray | None:
        """Accelerations of the held ends `"time 6"`."""
        if not self.moving:
            return None
        out = np.zeros((len(ts), 6))
        w = 2.0 * np.pi * RATE
        out[:, 4] = 0.5 * MOVED * w**2 * np.cos(w * ts)
        return out

    def path(self, chain: BarChain, truth: dict[str, np.ndarray], **more: Any) -> Any:
        """The chain's motion from where the rod begins."""
        ts = truth["ts"]
        own = self.on(chain)
        ends = self.ends(ts)
        return bar_path(own, ts, truth["u"][0], truth["v"][0], ends=ends, **more)


@dataclasses.dataclass(frozen=True)
class Lifting:
    """A motion of the last end: up and down again, beginning at rest."""

    node: int

    def __call__(self, t: Any, z0: Any) -> Any:
        """Prescribed values at a time."""
        import jax.numpy as jnp

        up = 0.5 * MOVED * (1.0 - jnp.cos(2.0 * np.pi * RATE * t))
        return z0.at[1, self.node :].add(up)


CASES = (
    Case(
        "case0",
        "76 cycles, both ends held, no drag, 2.5 s from what 0.7 s taught",
        76,
        2.5,
        drag=0.0,
        at=(0.45, 2.03, 2.5),
    ),
    Case("case1", "40 cycles, both ends held", 40, 1.5, at=(0.53, 1.43)),
    Case(
        "case2",
        "40 cycles hanging from one end, from undeformed",
        40,
        1.5,
        setup="vertical",
        last=False,
        at=(0.2, 0.53),
    ),
    Case("case3", "40 cycles, half the density", 40, 1.5, heavier=0.5),
    Case("case4", "40 cycles, half of Young's modulus", 40, 1.5, stiffer=0.5),
    Case("case5", "76 cycles, one end let go", 76, 1.5, last=False),
    Case("case6a", "76 cycles over 0.25 m", 76, 1.5, span=0.25),
    Case("case6b", "76 cycles over 0.45 m", 76, 1.5, span=0.45),
    Case(
        "case7", "76 cycles, one end lifted and lowered at 2 Hz", 76, 1.5, moving=True
    ),
)


def training_record(cycles: int = 76, seconds: float = 0.76) -> Any:
    """The record that everything is learned from: case 0 until `seconds`."""
    truth = dataclasses.replace(CASES[0], cycles=cycles, seconds=seconds).truth(False)
    origin = {"system": "slinky", "cycles": cycles, "integrator": "bdf2", "dt": STEP}
    return bar_record(truth["ts"], truth["u"], truth["v"], origin=origin)


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean distance of the ends of bars `"time"` [m]."""
    pairs = zip(bar_ends(a), bar_ends(b), strict=True)
    gaps = [np.linalg.norm(p - q, axis=-1) for p, q in pairs]
    return np.mean(gaps, axis=(0, 2))


def square_error(a: np.ndarray, b: np.ndarray) -> float:
    """Mean squared distance of the helices [m^2]."""
    return float(np.mean(np.sum((from_bars(a) - from_bars(b)) ** 2, axis=-1)))


def sag(u: np.ndarray) -> float:
    """How far the lowest bar is below the first [m]."""
    return float(u[0, 1] - u[:, 1].min())


def sag_error(case: Case, chain: BarChain, truth: dict[str, np.ndarray]) -> float:
    """Relative error of the sag at rest, from the middle of the motion on."""
    still = bar_rest(case.on(chain), truth["u"].mean(0))
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
