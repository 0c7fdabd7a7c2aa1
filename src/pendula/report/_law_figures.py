"""Figures of what a fitted law does: its phase portrait, and the statistics of a long
free run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._channels import channels, time_unit
from ._draw import (
    DASHES,
    INK,
    LINE,
    MODEL,
    MUTED,
    OTHERS,
    SPAN,
    WIDE,
    canvas,
    drawing,
    label,
    log_axis,
    thin,
)
from ._law_words import is_circled
from ._numbers import axis_label
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CHANNELS = 3
# what a rest state looks like: (in words, marker, filled)
MARKS = {
    "stable": ("stable rest state", "o", True),
    "centre": ("rest state that is circled", "o", False),
    "unstable": ("unstable rest state", "X", False),
    "open": ("rest state, stable or not", "D", False),
}


def mark_of(rest: dict[str, Any]) -> str:
    """Which of `MARKS` a rest state of the report gets."""
    kind = str(rest.get("kind"))
    if kind in ("centre", "degenerate") or rest.get("undecided"):
        return "centre" if is_circled(rest) else "open"
    return "stable" if kind in ("sink", "stable focus") else "unstable"


def portrait_figure(run: Run) -> Figure | None:
    """The law of a state of two entries: arrows of the motion, the samples, a free
    run, the cycle, the rest states. None for other states."""
    rates, x, y = (run.array(f"behaviour/{k}") for k in ("rates", "x", "y"))
    if rates is None or x is None or y is None:
        return None
    axes_of = (run.report.get("behaviour") or {}).get("state") or []
    with drawing():
        figure, axes = canvas(SPAN, 4.6)
        ax = axes[0, 0]
        _arrows(ax, x, y, rates)
        seen, path = run.array("behaviour/seen"), run.array("behaviour/run")
        cycle = run.array("behaviour/cycle")
        if seen is not None:
            style = {"color": INK, "markersize": 3, "alpha": 0.6, "markeredgewidth": 0}
            ax.plot(*seen.T, ".", label="states seen in training", **style)
        if path is not None:
            ax.plot(*path.T, color=MODEL, linewidth=0.8, alpha=0.8, label="free run")
        if cycle is not None:
            style = {"color": OTHERS[0], "linewidth": 2.0}
            ax.plot(*np.stack(thin(*cycle.T)), label="cycle", **style)
        _rests(ax, run)
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(y[0], y[-1])
        ax.grid(False)
        for axis, row in zip((ax.xaxis, ax.yaxis), axes_of, strict=False):
            text = axis_label(str(row.get("name", "")), str(row.get("unit") or ""))
            axis.set_label_text(label(text))
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return figure


def _arrows(ax: Axes, x: np.ndarray, y: np.ndarray, rates: np.ndarray) -> None:
    """Directions of the motion on the page, all of one length."""
    across, up = rates[..., 0] / np.ptp(x), rates[..., 1] / np.ptp(y)
    size = np.hypot(across, up)
    size = np.where(size > 0, size, 1.0)
    style = {"angles": "uv", "pivot": "mid", "scale": 2.2 * len(x), "width": 0.0016}
    # the figure is twice as wide as high, and so are the slopes on it
    ax.quiver(x, y, 2.0 * across / size, up / size, color=MUTED, alpha=0.6, **style)


def _rests(ax: Axes, run: Run) -> None:
    rests = (run.report.get("behaviour") or {}).get("rests") or []
    for kind, (words, marker, filled) in MARKS.items():
        found = [rest["y"] for rest in rests if mark_of(rest) == kind]
        if found:
            ax.plot(
                *np.array(found, float).T,
                linestyle="none",
                marker=marker,
                markersize=9,
                markerfacecolor=OTHERS[1] if filled else "#ffffff",
                markeredgecolor=OTHERS[1] if kind != "unstable" else OTHERS[0],
                markeredgewidth=1.6,
                label=words,
                zorder=5,
            )


def statistics_figure(run: Run) -> Figure | None:
    """Spectrum and histogram of a long free run beside those of the data, channel by
    channel. None where they were not compared."""
    frequency, edges = run.array("behaviour/frequency"), run.array("behaviour/edges")
    if frequency is None or edges is None:
        return None
    power, power_data = (
        run.arrays["behaviour/power"],
        run.arrays["behaviour/power_data"],
    )
    share, share_data = (
        run.arrays["behaviour/share"],
        run.arrays["behaviour/share_data"],
    )
    count = min(MOST_CHANNELS, len(edges))
    unit = time_unit(run)
    with drawing():
        figure, axes = canvas(WIDE, 4.8, 2, count, pad=0.08)
        for j, (name, of) in enumerate(channels(run, count)):
            top, low = axes[0, j], axes[1, j]
            for values, style in (
                (power_data, {"color": INK, "linewidth": 1.2, "label": "data"}),
                (power, {"color": MODEL, "linestyle": DASHES[0], "label": "free run"}),
            ):
                top.plot(*thin(frequency[1:], values[1:, j]), **style)
            floor = 1e-7 * float(power_data[1:, j].max())
            top.set_ylim(bottom=max(floor, float(power_data[1:, j].min()) / 10))
            log_axis(top)
            top.set_xlabel(label(f"frequency [1/{unit}]"))
            squared = f"{of or '1'}² {unit}"
            top.set_ylabel(label(axis_label(f"power of {name}", squared)))
            low.stairs(share_data[j], edges[j], fill=True, color=LINE)
            low.stairs(share_data[j], edges[j], color=INK, linewidth=1.2)
            low.stairs(share[j], edges[j], color=MODEL, linestyle=DASHES[0])
            low.set_xlabel(label(axis_label(name, of)))
            low.set_ylabel("share of the time [1]")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure
