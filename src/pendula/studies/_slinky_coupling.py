"""Part `coupling` of study `slinky`: how stiff in bending a Slinky is where it is drawn
out, by the network and by rods at rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..dynamics import BarChain, BarWorld, bar_path, bar_rest, slinky_network
from ..systems import (
    Boundary,
    ElasticRod,
    Slinky,
    rest_rod,
    stored_energy,
    to_bars,
)
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._slinky import slinky
from ._study import Run


STRETCHES = (0.004, 0.008, 0.012)  # m to a cycle
TURN = 0.05  # rad to a cycle, of the second difference
TURNS = tuple(np.linspace(-0.3, 0.3, 13))
VISITED = (0.0046, 0.022)  # m, of the record that the network learned from
AROUND = 16


def _rows() -> Iterator[Row]:
    yield Row(
        "slinky.esnn.coupling",
        "Bending stiffness of a cycle drawn out to 4, 8 and 12 mm, network, every bar "
        "placed: the smaller of both growths.",
        better="higher",
        target=1.0,
        source="Wang 2023, figure 3.14g",
        tried="Rods at rest show no such growth: with every bar placed their bending "
        "stiffness is the same to 0.3 % from 4 to 12 mm, with only the end bars placed "
        "it falls by 14 % (rows below). The network follows the rods, 13 % too stiff.",
    )
    for how, words in (("", "every bar placed"), ("_relaxed", "its end bars placed")):
        for s in STRETCHES:
            mm = f"{1e3 * s:g}mm"
            seen = "" if VISITED[0] <= s <= VISITED[1] else " (never visited)"
            for who in ("network", "rod"):
                yield Row(
                    f"slinky.esnn.coupling{how}_{who}_{mm}",
                    f"Bending stiffness of a cycle drawn out to {1e3 * s:g} mm{seen}, "
                    f"{who}, {words}.",
                    "N m",
                    better="higher",
                )


_FULL: dict[str, Any] = {"cycles": 5, "turns": 13}
_QUICK = {"cycles": 3, "turns": 3}


@slinky.part("coupling", tuple(_rows()), full=_FULL, quick=_QUICK)
def coupling(run: Run) -> Iterator[Claim]:
    """Chains and rods with one cycle more or less, placed alike."""
    count = run.settings["cycles"]
    chain = slinky_network().model().field.force
    chain = dataclasses.replace(chain, world=BarWorld.of(gravity=(0.0, 0.0)))
    row = lambda key: run.row(f"slinky.esnn.coupling{key}")
    direct: list[float] = []
    curves: dict[str, np.ndarray] = {}
    turns = np.linspace(TURNS[0], TURNS[-1], run.settings["turns"])
    for s in STRETCHES:
        run.progress(f"coupling: {1e3 * s:g} mm")
        for how, every in (("", True), ("_relaxed", False)):
            cells = {
                "network": lambda t, s=s, e=every: chain_cell(chain, count, s, t, e),
                "rod": lambda t, s=s, e=every: rod_cell(count, s, t, e),
            }
            for who, cell in cells.items():
                low, middle, high = (cell(t) for t in (-TURN, 0.0, TURN))
                stiff = (low + high - 2.0 * middle) / TURN**2
                yield row(f"{how}_{who}_{1e3 * s:g}mm").measured(stiff)
                if every:
                    curve = np.array([cell(float(t)) for t in turns])
                    curves[f"{who}, {1e3 * s:g} mm"] = curve - middle
                if every and who == "network":
                    direct.append(stiff)
    one, two, three = direct
    yield row("").measured(min(two / one, three / two))
    draw(run, turns, curves)


def placed(cycles: int, stretch: float, turn: float) -> np.ndarray:
    """Nodes `"node 3"` of a helix of which each cycle is the one before, moved by the
    stretch along the mean of both tilts and turned."""
    radius = Slinky(2).radius
    k = np.arange(AROUND * cycles + 1)
    f = k / AROUND
    tilt = turn * f
    # a cycle's chord is the stretch: an arc of that chord
    bend = 0.5 * turn
    arc = stretch if abs(bend) < 1e-12 else stretch * bend / np.sin(bend)
    if abs(turn) < 1e-12:
        x, y = arc * f, 0.0 * f
    else:
        x, y = arc / turn * np.sin(tilt), arc / turn * (1.0 - np.cos(tilt))
    angle = 2.0 * np.pi * f
    up, out = radius * np.cos(angle), radius * np.sin(angle)
    return np.stack([x - np.sin(tilt) * up, y + np.cos(tilt) * up, out], axis=1)


def rod_cell(cycles: int, stretch: float, turn: float, every: bool) -> float:
    """Energy of one cycle of the rod: that of one more, less [J]."""
    more, less = (rod_whole(n, stretch, turn, every) for n in (cycles + 1, cycles))
    return more - less


def rod_whole(cycles: int, stretch: float, turn: float, every: bool) -> float:
    """A rod at rest whose end bars stay where they are placed, and with `every` the
    ends of all others; edges may twist."""
    own = Slinky(cycles)
    points = placed(cycles, stretch, turn)
    rod = ElasticRod.from_points(points, own.own_section, rest=own.points())
    n = rod.number
    nodes = {*range(AROUND // 2 + 1), *range(n - AROUND - 1, n)}
    if every:
        nodes |= {*range(0, n, AROUND // 2)}
    still = rest_rod(
        rod,
        boundary=Boundary.of(rod, sorted(nodes)),
        gravity=(0.0, 0.0, 0.0),
        increments=1,
        tolerance=1e-9,
    )
    return stored_energy(rod, still)


def chain_cell(
    chain: BarChain, cycles: int, stretch: float, turn: float, every: bool
) -> float:
    """The same of the network's chains of bars."""
    whole = []
    for count in (cycles + 1, cycles):
        u = to_bars(placed(count, stretch, turn))[0]
        whole.append(energy_of(chain, u if every else bar_rest(chain, u)))
    return whole[0] - whole[1]


def energy_of(chain: BarChain, u: np.ndarray) -> float:
    """Elastic energy of bars, float64 [J]."""
    path = bar_path(chain, np.array([0.0, 1e-6]), u, substeps=1, dtype=np.float64)
    return float(path.energy["elastic"][0])


def draw(run: Run, turns: np.ndarray, curves: dict[str, np.ndarray]) -> None:
    """Energy against bending, the rods dotted."""
    with figure(run.figures / "coupling.svg", 1, 4.0) as (ax,):
        for (name, curve), colour in zip(
            curves.items(), np.repeat(COLOURS[:3], 2), strict=True
        ):
            style: dict[str, Any] = {"ls": "-"}
            if name.startswith("rod"):
                style = {"ls": "", "marker": "o"}
            ax.plot(turns, 1e3 * curve, color=colour, label=name, ms=3.5, **style)
        ax.set(
            xlabel="bend of a cycle [rad]",
            ylabel="energy of a cycle, less that unbent [mJ]",
            title="Every bar placed: one curve for all (4 mm was never visited)",
        )
        ax.legend(frameon=False)
