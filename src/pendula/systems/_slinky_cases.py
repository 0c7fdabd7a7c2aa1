"""Set-ups of the Slinky that are watched, and their records."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._checks import choice, fields_positive, not_negative
from .._errors import ConfigError
from ..data import Trajectories
from ._elastic_rod import ElasticRod, RodState
from ._rod_contact import Contact
from ._rod_simulate import RodRun
from ._rod_step import Boundary
from ._slinky import Slinky, drop, to_bars
from ._slinky_data import bar_record


STEP = 1e-3  # s, of the rod
DRAG = 0.012  # N s/m^2
# cycles whose weight contact carries in the middle of its margin: where they are flung
# together they press many times harder than where they lie
CARRIED = 100.0
SETUPS = ("horizontal", "vertical")
MOVED, RATE = 0.03, 2.0  # m and Hz of a moved end


@dataclasses.dataclass(frozen=True)
class SlinkyCase:
    """A machine, how it is held, and how long it is watched.

    `cycles`; `setup`: `horizontal` (drawn out to a `span`, default 4.6 mm a cycle) or
    `vertical` (as it rests, or drawn out to a `span`); `last`: whether the last end is
    held too; `drag` [N s/m^2]; `heavier`, `stiffer`: density and Young's modulus over
    the nominal ones; `moving`: whether the last end goes up and down; `touching`:
    whether cycles keep each other apart; `seconds` and the times `at` which others show
    it.
    **Raises:** `ConfigError` for an unknown `setup`, ratios that are not positive, a
    negative drag, an end that is moved and let go.

    ```python
    >>> from pendula.systems import slinky_case
    >>> case = slinky_case("case2")
    >>> case.cycles, case.setup, case.last
    (40, 'vertical', False)

    ```
    """

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
    touching: bool = False
    at: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        choice("setup", self.setup, SETUPS)
        fields_positive(self, "", "heavier", "stiffer")
        not_negative(drag=self.drag)
        if self.moving and not self.last:
            raise ConfigError(
                "moving is that of the last end, and last says that it is let go. Hold "
                "it, or leave moving out."
            )

    @classmethod
    def recorded(cls, origin: dict[str, Any]) -> SlinkyCase | None:
        """The case that a record of `record` says it is of; None for others."""
        fields = {f.name for f in dataclasses.fields(cls)}
        told = {k: x for k, x in origin.items() if k in fields}
        if origin.get("system") != "slinky" or not {"key", "seconds"} <= set(told):
            return None
        at = next((c.at for c in SLINKY_CASES if c.key == told["key"]), ())
        return cls(**{**told, "at": tuple(t for t in at if t <= told["seconds"])})

    @property
    def slinky(self) -> Slinky:
        """The machine."""
        made = Slinky(self.cycles)
        return dataclasses.replace(
            made,
            density=self.heavier * made.density,
            youngs=self.stiffer * made.youngs,
        )

    @property
    def contact(self) -> Contact:
        """What keeps its cycles apart, where they are `touching`."""
        return self.slinky.contact(CARRIED)

    def smaller(self, cycles: int, seconds: float) -> SlinkyCase:
        """The same with few cycles, for a short time."""
        span = None if self.span is None else self.span * cycles / self.cycles
        return dataclasses.replace(
            self, cycles=cycles, seconds=seconds, span=span, at=()
        )

    def start(self) -> tuple[ElasticRod, RodState, Boundary]:
        """The rod before it is let go."""
        hangs = self.setup == "vertical"
        place = self.slinky.vertical if hangs else self.slinky.horizontal
        rod, state, _ = place(self.span)
        return rod, state, self.held(rod)

    def held(self, rod: ElasticRod) -> Boundary:
        """Its clamps once it is let go."""
        held = self.slinky.clamps(rod, last=self.last)
        if not self.moving:
            return held
        node = rod.number - 17  # from the last bar's top on, all are held
        return dataclasses.replace(held, motion=Lifting(node))

    def run(self, frame: float = 0.01, **options: Any) -> RodRun:
        """The rod's motion, 1 ms a step, saved every `frame` [s]; other `options` of
        `simulate_rod`.

        **Raises:** `ConfigError` for a `frame` that is no multiple of 1 ms or longer
        than the motion."""
        every = round(frame / STEP)
        if every < 1 or abs(every * STEP - frame) > 1e-9:
            raise ConfigError(
                f"a sampling step of {frame:g} s cannot be recorded: the rod is "
                "stepped by 1 ms. Take a multiple of it."
            )
        if not self.seconds >= frame:
            raise ConfigError(
                f"a motion of {self.seconds:g} s has no second sample after {frame:g} "
                "s. Watch it for longer."
            )
        rod, state, held = self.start()
        given: dict[str, Any] = {"drag": self.drag, "save_every": every, "strict": True}
        if self.touching:
            given["contact"] = self.contact
        return drop(rod, state, held, self.seconds, STEP, **(given | options))

    def record(self, frame: float = 0.01) -> Trajectories:
        """Its bars and their rates, every `frame` [s], which says what it is of."""
        run = self.run(frame)
        u, v = to_bars(run.nodes, np.moveaxis(run.v[:, :3], 1, 2))
        assert v is not None
        told = {k: x for k, x in dataclasses.asdict(self).items() if k != "at"}
        origin = {"system": "slinky", "integrator": "bdf2", "dt": STEP, **told}
        return bar_record(run.ts, u, v, origin=origin)

    def ends(self, ts: np.ndarray) -> np.ndarray | None:
        """Accelerations of the held ends `"time 6"`; None where they stay."""
        if not self.moving:
            return None
        out = np.zeros((len(ts), 6))
        w = 2.0 * np.pi * RATE
        out[:, 4] = 0.5 * MOVED * w**2 * np.cos(w * ts)
        return out


@dataclasses.dataclass(frozen=True)
class Lifting:
    """A motion of the last end: up and down again, beginning at rest."""

    node: int

    def __call__(self, t: Any, z0: Any) -> Any:
        """Prescribed values at a time."""
        up = 0.5 * MOVED * (1.0 - jnp.cos(2.0 * np.pi * RATE * t))
        return z0.at[1, self.node :].add(up)


SLINKY_CASES = (
    SlinkyCase(
        "case0",
        "76 cycles, both ends held, no drag, 2.5 s from what 0.7 s taught",
        76,
        2.5,
        drag=0.0,
        at=(0.45, 2.03, 2.5),
    ),
    SlinkyCase("case1", "40 cycles, both ends held", 40, 1.5, at=(0.53, 1.43)),
    SlinkyCase(
        "case2",
        "40 cycles hanging from one end, from undeformed",
        40,
        1.5,
        setup="vertical",
        last=False,
        at=(0.2, 0.53),
    ),
    SlinkyCase("case3", "40 cycles, half the density", 40, 1.5, heavier=0.5),
    SlinkyCase("case4", "40 cycles, half of Young's modulus", 40, 1.5, stiffer=0.5),
    SlinkyCase("case5", "76 cycles, one end let go", 76, 1.5, last=False),
    SlinkyCase("case6a", "76 cycles over 0.25 m", 76, 1.5, span=0.25),
    SlinkyCase("case6b", "76 cycles over 0.45 m", 76, 1.5, span=0.45),
    SlinkyCase(
        "case7", "76 cycles, one end lifted and lowered at 2 Hz", 76, 1.5, moving=True
    ),
)
"""The cases of the study `slinky`, case0 to case7."""


def slinky_case(name: str) -> SlinkyCase:
    """One of `SLINKY_CASES`: case0 to case7. **Raises:** `ConfigError`."""
    found = {case.key: case for case in SLINKY_CASES}
    choice("case", name, found)
    return found[name]
