"""Figures of study `wake`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Snapshots
from ._field_figures import field_film, field_sheet
from ._figures import COLOURS, figure, sheet


def convergence_figure(
    path: Path,
    table: Mapping[str, Mapping[str, float]],
    variants: Mapping[str, tuple[str, Any]],
) -> None:
    """How far each number is from the default's when one thing is changed."""
    names = [name for name in table if name != "default"]
    words = [variants[name][0] for name in names]
    labels = {"st": "St", "drag": "mean C_D", "lift": "C_L amplitude"}
    with sheet(path, (7.0, 0.6 + 0.34 * len(names)), (1, 1), 9.0) as (_, (ax,)):
        for k, (key, label) in enumerate(labels.items()):
            change = [table[n][key] / table["default"][key] - 1.0 for n in names]
            places = np.arange(len(names)) + 0.22 * (k - 1)
            ax.plot(
                100.0 * np.array(change),
                places,
                "os^"[k],
                color=COLOURS[k],
                markersize=5,
                label=label,
            )
        ax.axvspan(-1, 1, color="0.93", zorder=0)
        ax.axvline(0.0, color="0.5", linewidth=0.7)
        ax.set_yticks(range(len(names)), words)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlabel("difference from the default [%]")
        ax.legend(frameon=False, loc="best", fontsize=8)


def histories_figure(
    path: Path, ts: np.ndarray, drag: np.ndarray, lift: np.ndarray
) -> None:
    """Forces from rest on."""
    every = slice(None, None, max(1, len(ts) // 2000))
    with figure(path, 2, 4.0) as (top, bottom):
        top.plot(ts[every], drag[every], color=COLOURS[0], linewidth=0.9)
        top.set_ylim(1.2, 1.7)
        top.set_ylabel("C_D")
        bottom.plot(ts[every], lift[every], color=COLOURS[1], linewidth=0.9)
        bottom.set_ylim(-0.7, 0.7)
        bottom.set_ylabel("C_L")
        bottom.set_xlabel("t [D/U]")
        bottom.margins(x=0)


def vorticity_figure(path: Path, data: Snapshots) -> None:
    """Four snapshots of one period."""
    period = 1.0 / float(data.attrs.get("St", 0.165)) / data.dt
    picks = [min(round(k * period / 4), len(data) - 1) for k in range(4)]
    fields = [np.where(data.mask, data.values[k, ..., 0], np.nan) for k in picks]
    axes = tuple(data.axes.values())
    with field_sheet(path, (8.0, 4.3), (2, 2), fields, axes) as (_, panels):
        for ax, k in zip(panels, picks, strict=True):
            ax.set_title(f"t = {data.ts[k]:.1f}", fontsize=8)


def wake_film(path: Path, data: Snapshots) -> None:
    """One period."""
    frames = round(1.0 / float(data.attrs.get("St", 0.165)) / data.dt)
    field_film(path, data[:frames])


def family_figure(
    path: Path,
    table: Mapping[tuple[str, int], Any],
    res: tuple[int, ...],
    turns: Mapping[str, float],
    law: Callable[[float], float],
) -> None:
    """Frequency and forces over the Reynolds number, a curve a rotation rate."""
    with figure(path, 3, 6.0) as (top, middle, bottom):
        fine = np.linspace(res[0], res[-1], 100)
        top.plot(
            fine, [law(r) for r in fine], color="0.6", linewidth=3, label="measured law"
        )
        for k, (name, rate) in enumerate(turns.items()):
            style = {"color": COLOURS[k], "marker": "o^s"[k], "markersize": 4}
            get = lambda what, name=name: [getattr(table[name, r], what) for r in res]
            top.plot(res, get("strouhal"), label=f"rotation {rate:g} U/D", **style)
            middle.plot(res, get("drag"), **style)
            bottom.plot(res, get("lift"), **style)
        top.set_ylabel("St")
        middle.set_ylabel("mean C_D")
        bottom.set_ylabel("mean C_L")
        bottom.set_xlabel("Re")
        top.legend(frameon=False, fontsize=8)
