"""Part `rivals` of study `slinky`: ways to learn the motion without an energy behind
it, or an energy without the motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from ..dynamics import ESNN, BarChain, bar_path
from ..systems import cycle_energy, to_bars
from ._claim import Claim
from ._row import Row
from ._slinky import slinky
from ._slinky_ablations import lost_at, motion_rows
from ._slinky_cases import CASES, FRAME, SlinkyCase, distances, truth, world
from ._slinky_esnn import smaller
from ._slinky_rival_nets import (
    Forces,
    Scaled,
    fit_scaled,
    follow_field,
    force_samples,
    net_forces,
    next_map,
    told_energy,
    turned,
)
from ._study import Run


FAR = 1.0  # m, at which errors are cut
Bars = np.ndarray
# follow(case, ts, u0, v0) -> bars at ts
Follow = Callable[[SlinkyCase, np.ndarray, Bars, Bars], Bars]
RIVALS = {
    "map": "a: from three bars to the middle one 10 ms later, by a network",
    "map_rates": "a: the same, told rates too",
    "force": "b: the force on a bar from the places of three, by a network; forces "
    "from differences of rates 10 ms apart",
    "force_fine": "b: the same, forces from differences 1 ms apart",
    "told": "c: invariant energy told what the rod's cycles store, published rule",
    "told_whole": "c: the same, forces from the whole energy",
    "told_forces": "d: told forces as well, forces from the whole energy",
    "turned_1": "j: force network, every sample turned and mirrored once at random",
    "turned_10": "j: ten times",
    "turned_100": "j: a hundred times",
}


def _rows() -> Iterator[Row]:
    for name, words in RIVALS.items():
        key = f"slinky.esnn.ablation.{name}"
        yield Row(f"{key}_fit", f"{words}: error of what it was told, in spreads.")
        yield from motion_rows(name, words)


_WHAT = ("fit", "train_m", "case0_m", "case2_m", "lost_s")
_FULL: dict[str, Any] = {
    "cycles": None,
    "updates": 10000,
    "seconds": 0.7,
    "only": tuple(RIVALS),
}
_QUICK = {
    "cycles": 6,
    "updates": 100,
    "seconds": 0.08,
    "only": ("map_rates", "turned_1", "told_forces"),
}


@slinky.part("rivals", tuple(_rows()), full=_FULL, quick=_QUICK)
def rivals(run: Run) -> Iterator[Claim]:
    """All of one record of 0.7 s, one seed each; distances are cut at 1 m."""
    s = run.settings
    cases = CASES if s["cycles"] is None else smaller(s["cycles"])
    places = [(c, run.keep(c.key, lambda c=c: truth(c))) for c in (cases[0], cases[2])]
    taught = run.keep("taught", lambda: _taught(cases[0], s["seconds"]))
    row = lambda name, what: run.row(f"slinky.esnn.ablation.{name}_{what}")
    for name in RIVALS:
        if name not in s["only"]:
            for what in _WHAT:
                yield row(name, what).not_run("left out at this budget")
            continue
        run.progress(f"{name}: training")
        follow, error = _learned(name, taught, cases[0], s["updates"])
        yield row(name, "fit").measured(error)
        far = []
        for case, known in places:
            path = follow(case, known["ts"], known["u"][0], known["v"][0])
            gap = distances(np.nan_to_num(path, nan=1e3), known["u"])
            far.append(np.minimum(gap, FAR))
        ts = places[0][1]["ts"]
        early = ts <= s["seconds"] * (1.0 + 1e-9)
        yield row(name, "train_m").measured(far[0][early].mean())
        yield row(name, "case0_m").measured(far[0].mean())
        yield row(name, "case2_m").measured(far[1].mean())
        yield row(name, "lost_s").measured(lost_at(ts, far[0], cases[0].seconds))


def _taught(case: SlinkyCase, seconds: float) -> dict[str, np.ndarray]:
    """What can be known of the rod over that time: bars and rates, 10 and 1 ms apart,
    and what its cycles store."""
    own = dataclasses.replace(case, seconds=seconds)
    rod, _, _ = own.start()
    motion = own.run(1e-3)
    u, v = to_bars(motion.nodes, np.moveaxis(motion.v[:, :3], 1, 2))
    assert v is not None
    every = round(FRAME / 1e-3)
    fine = {"ts": motion.ts, "u": u, "v": v, "stored": cycle_energy(rod, motion)}
    coarse = {k: x[::every] for k, x in fine.items()}
    return coarse | {f"fine_{k}": x for k, x in fine.items()}


def _learned(
    name: str, taught: dict[str, np.ndarray], case: SlinkyCase, updates: int
) -> tuple[Follow, float]:
    """How a rival goes on from a start, and the error of what it was told."""
    kind, _, more = name.partition("_")
    ts, u, v = (taught[k] for k in ("ts", "u", "v"))
    if kind == "map":
        onwards, error = next_map(u, v if more else None, updates, 0)

        def follow(place: SlinkyCase, ts: np.ndarray, u0: Bars, v0: Bars) -> Bars:
            return onwards(u0, v0, len(ts), place.last)

        return follow, error
    if kind == "told":
        return _by_energy(more, taught, case, updates)
    if more == "fine":
        ts, u, v = (taught[f"fine_{k}"] for k in ("ts", "u", "v"))
    x, y = force_samples(ts, u, v, world(case))
    if kind == "turned":
        x, y = turned(x, y, int(more), 0)
    return _by_force(*fit_scaled(x, y, updates, 0))


def _by_force(net: Scaled, error: float) -> tuple[Follow, float]:
    def follow(place: SlinkyCase, ts: np.ndarray, u0: Bars, v0: Bars) -> Bars:
        return follow_field(Forces(net, world(place), place.last), ts, u0, v0)

    return follow, error


def _by_energy(
    kind: str, taught: dict[str, np.ndarray], case: SlinkyCase, updates: int
) -> tuple[Follow, float]:
    rule = "conservative" if kind else "middle"
    energy = ESNN.create(jax.random.key(0), group="helix" if kind else "order4")
    forces = None
    if kind == "forces":
        ts, v = taught["fine_ts"], taught["fine_v"]
        every = round(FRAME / 1e-3)
        forces = net_forces(ts, v, world(case))[every - 1 :: every]
        forces = forces[: len(taught["u"]) - 2]
    chain, error = told_energy(
        BarChain(energy, world(case), rule=rule),
        taught["u"].astype(np.float32),
        taught["stored"],
        forces,
        updates,
        0,
    )

    def follow(place: SlinkyCase, ts: np.ndarray, u0: Bars, v0: Bars) -> Bars:
        own = dataclasses.replace(chain, world=world(place), last=place.last)
        return bar_path(own, ts, u0, v0).u

    return follow, error
