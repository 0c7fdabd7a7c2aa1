"""Figures that set several fits of the same data side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._channels import axis_of_time, channels
from ._draw import (
    DASHES,
    INK,
    MODEL,
    MUTED,
    OTHERS,
    SPAN,
    WIDE,
    blank,
    canvas,
    drawing,
    label,
    log_axis,
    mark_time,
    thin,
)
from ._forecast_figure import draw_band, joined, legend_above
from ._numbers import axis_label
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def comparison_figure(run: Run) -> Figure | None:
    """One row a fit: truth, measured beginning, forecast with its band, and the
    range that training has seen."""
    fits = [f for f in fits_of(run) if run.array(f"{f['name']}/mean") is not None]
    if not fits:
        return None
    with drawing():
        figure = blank(SPAN, 0.7 + 1.85 * len(fits))
        grid = figure.add_gridspec(len(fits), 1)
        axes: list[Axes] = []
        for k in range(len(fits)):
            share = {"sharex": axes[0], "sharey": axes[0]} if axes else {}
            axes.append(figure.add_subplot(grid[k, 0], **share))
        _frame(axes[0], run, fits)
        for ax, fit in zip(axes, fits, strict=True):
            _one(ax, run, fit)
            ax.set_title(label(fit["label"]), loc="left", fontweight="bold")
        for ax in axes[:-1]:
            ax.tick_params(labelbottom=False)
        axes[-1].set_xlabel(axis_of_time(run))
        legend_above(figure, axes[0])
    return figure


def error_figure(run: Run) -> Figure | None:
    """Distance from the truth over time, log scale, of every fit and baseline."""
    curves = {}
    for fit in fits_of(run):
        part = run.group(f"{fit['name']}/")
        if "truth" in part:
            curves[str(fit["label"])] = (part["ts"], part["mean"] - part["truth"])
    for name, mean in run.group("baseline/").items():
        curves[name] = (run.arrays["truth/ts"], mean - run.arrays["truth/ys"])
    if not curves:
        return None
    with drawing():
        figure, axes = canvas(WIDE, 3.0)
        ax = axes[0, 0]
        colours = (MODEL, *OTHERS)
        for k, (name, (ts, error)) in enumerate(curves.items()):
            x, y = thin(ts, _envelope(np.abs(error).max(axis=1)))
            dash = "-" if k == 0 else DASHES[(k - 1) % len(DASHES)]
            ax.plot(x, y, color=colours[k % 5], linestyle=dash, label=label(name))
        log_axis(ax)
        ax.margins(x=0.005)
        ax.set_xlabel(axis_of_time(run))
        unit = str((run.report.get("test") or {}).get("unit") or "")
        ax.set_ylabel(label(axis_label("largest error so far", unit)))
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return figure


def records_figure(run: Run) -> Figure | None:
    """The records that both fits were made from."""
    ts, ys = run.array("data/ts"), run.array("data/ys")
    if ts is None or ys is None:
        return None
    count = min(len(ts), 6)
    cols = min(count, 3)
    rows = -(-count // cols)
    name, unit = channels(run, 1)[0]
    with drawing():
        figure, axes = canvas(
            WIDE, 1.5 * rows + 0.4, rows, cols, sharex=True, sharey=True
        )
        for k, ax in enumerate(axes.flat):
            if k >= count:
                ax.remove()
                continue
            y = ys[k] if ys.ndim == 2 else ys[k, :, 0]
            there = np.isfinite(y) & np.isfinite(ts[k])
            ax.plot(ts[k][there], y[there], ".", color=INK, markersize=2.5)
            if k % cols == 0:
                ax.set_ylabel(label(axis_label(name, unit)))
            if k + cols >= count:
                ax.set_xlabel(axis_of_time(run))
                ax.tick_params(labelbottom=True)
    return figure


def _frame(ax: Axes, run: Run, fits: Sequence[dict[str, Any]]) -> None:
    """Axes that show the truth well; a forecast that runs away leaves them."""
    truth = run.array("truth/ys")
    shown = truth if truth is not None else run.arrays[f"{fits[0]['name']}/mean"]
    low, high = float(np.nanmin(shown)), float(np.nanmax(shown))
    pad = 0.3 * (high - low)
    ax.set_ylim(low - pad, high + pad)
    ts = run.array("beginning/ts")
    begin = float(run.arrays[f"{fits[0]['name']}/ts"][0] if ts is None else ts[0])
    ax.set_xlim(begin, float(run.arrays[f"{fits[0]['name']}/ts"][-1]))


def _one(ax: Axes, run: Run, fit: dict[str, Any]) -> None:
    """One fit's forecast on its axes."""
    part = run.group(f"{fit['name']}/")
    first = lambda a: np.reshape(a, (len(a), -1))[:, 0]
    ts, mean, low, high = thin(
        part["ts"], first(part["mean"]), first(part["low"]), first(part["high"])
    )
    reach = (run.report.get("test") or {}).get("trained")
    if reach:
        ax.axhspan(*reach, color=MUTED, alpha=0.12, linewidth=0, zorder=0)
    draw_band(ax, ts, low, high, float(part.get("trusted_to", np.inf)))
    if run.array("truth/ys") is not None:
        t, y = thin(run.arrays["truth/ts"], first(run.arrays["truth/ys"]))
        ax.plot(t, y, color=INK, linewidth=1.1, label="truth", zorder=4)
    if run.array("beginning/ys") is not None:
        t, y = thin(run.arrays["beginning/ts"], first(run.arrays["beginning/ys"]))
        t, y = joined(t, y)
        ax.plot(t, y, ".", color=INK, markersize=3, label="measured", zorder=5)
    ax.plot(ts, mean, color=MODEL, linewidth=1.6, label="forecast", zorder=6)
    name, unit = channels(run, 1)[0]
    ax.set_ylabel(label(axis_label(name, unit)))
    mark_time(ax, float(fit.get("start", ts[0])), "forecast starts")


def _envelope(error: np.ndarray) -> np.ndarray:
    """The largest error so far: crossings of zero hide how far a forecast is off."""
    worst = np.fmax.accumulate(np.where(np.isfinite(error), error, np.nan))
    return np.where(worst > 1e-5 * np.nanmax(worst), worst, np.nan)


def fits_of(run: Run) -> list[dict[str, Any]]:
    """What the report tells of every fit."""
    return list(run.report.get("fits") or [])
