"""Part `grid` of study `wake`: how far the default is from finer and larger ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ._claim import Claim
from ._row import Row
from ._study import Run
from ._wake import Flow, flow_or_none, preset, small, wake
from ._wake_figures import convergence_figure


# what is changed of the default; factors of N, angles and dt, else the value itself
VARIANTS: dict[str, tuple[str, dict[str, float]]] = {
    "default": ("the default", {}),
    "finer": (
        "the preset reference, 1.5 times finer in both directions and in time",
        {"num_radial": 1.5, "num_angular": 1.5, "dt": 1 / 1.5},
    ),
    "check": (
        "the preset check, 1.2 times finer in both directions and in time",
        {"num_radial": 1.2, "num_angular": 1.2, "dt": 0.8},
    ),
    "radial": ("1.25 times as many radial nodes", {"num_radial": 1.25}),
    "angular": (
        "1.25 times as many angles, in shorter steps",
        {"num_angular": 1.25, "dt": 0.8},
    ),
    "steps": ("half the time step", {"dt": 0.5}),
    "coarser": (
        "0.8 times the nodes and angles",
        {"num_radial": 0.8, "num_angular": 0.8},
    ),
    "outer": ("the outer edge at 1.5 times the distance", {"outer": 1.5}),
    "sponge_far": (
        "the sponge from 1.5 times the distance on",
        {"sponge_start": 1.5},
    ),
    "sponge_near": (
        "the sponge from 0.75 times the distance on",
        {"sponge_start": 0.75},
    ),
    "sponge_weak": ("half the sponge", {"sponge_rate": 0.5}),
    "sponge_strong": ("twice the sponge", {"sponge_rate": 2.0}),
    "far_and_finer": (
        "the sponge from 1.5 times the distance on, and 1.5 times finer",
        {"sponge_start": 1.5, "num_radial": 1.5, "num_angular": 1.5, "dt": 1 / 1.5},
    ),
}
_WHAT = {
    "st": "Strouhal number",
    "drag": "mean C_D",
    "lift": "amplitude of C_L",
}
_TRIED = (
    "Nodes, angles, steps, the outer edge and the sponge one by one (rows of this "
    "part); the default is the fastest mesh that holds."
)


def _rows() -> Iterator[Row]:
    for key, what in _WHAT.items():
        yield Row(
            f"wake.grid.difference_{key}",
            f"{what} at Re = 100, default against 1.5 times finer in both directions "
            "and in time, from rest to t = 150: relative difference.",
            target=0.01,
            tried=_TRIED,
        )
    for name, (words, _) in VARIANTS.items():
        for key, what in _WHAT.items():
            yield Row(
                f"wake.grid.{name}_{key}",
                f"{what}, t = 120 to 150, {words}.",
            )


def changed(mesh: dict[str, Any], factors: dict[str, float]) -> dict[str, Any]:
    """A mesh with some of its numbers multiplied; counts stay even."""
    out = dict(mesh)
    for key, factor in factors.items():
        value = mesh[key] * factor
        whole = key.startswith("num_")
        out[key] = 2 * round(value / 2) if whole else value
    return out


def _numbers(found: Flow | None, window: float) -> dict[str, float]:
    if found is None:
        return dict.fromkeys(_WHAT, math.nan)
    one = found.numbers(window)
    return {"st": one.strouhal, "drag": one.drag, "lift": one.lift_amplitude}


@wake.part(
    "grid",
    tuple(_rows()),
    full={"mesh": preset("fast"), "until": 150.0, "window": 30.0},
    quick={"mesh": small(), "until": 6.0, "window": 5.0},
)
def grid(run: Run) -> Iterator[Claim]:
    """One change at a time; every flow is kept."""
    s = run.settings
    table: dict[str, dict[str, float]] = {}
    for name, (_, factors) in VARIANTS.items():
        mesh = changed(s["mesh"], factors)
        found = flow_or_none(run, name, mesh, s["until"])
        table[name] = _numbers(found, s["window"])
        for key in _WHAT:
            row = run.row(f"wake.grid.{name}_{key}")
            lost = "It blows up." if found is None else None
            yield row.measured(table[name][key], reason=lost)
        if name == "finer":
            for key in _WHAT:
                change = abs(table["default"][key] / table["finer"][key] - 1.0)
                yield run.row(f"wake.grid.difference_{key}").measured(change)
    convergence_figure(run.figures / "convergence.svg", table, VARIANTS)
