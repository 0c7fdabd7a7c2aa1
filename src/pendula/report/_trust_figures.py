"""Figures: how errors grow with the horizon, and whether the band keeps its word."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._channels import axis_of_horizon, axis_of_time, baseline_names, channels
from ._draw import (
    DASHES,
    MODEL,
    MUTED,
    OTHERS,
    WIDE,
    canvas,
    drawing,
    label,
    log_axis,
    mark_time,
    thin,
)
from ._numbers import axis_label, number
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The conditions of the verdict that the panels draw as limits.
COVERAGE_RANGE = (0.75, 0.99)
HALVING_LIMIT = 0.1


def growth_figure(run: Run) -> Figure | None:
    """Error over horizon, log scale: the model's median with its range, baselines.
    None where no growth was measured."""
    horizon = run.array("growth/horizon")
    median = run.array("growth/model_median")
    if horizon is None or median is None:
        return None
    given = run.group("growth/baseline_")
    told = [name for name in baseline_names(run) if name in given][: len(OTHERS)]
    with drawing():
        figure, axes = canvas(WIDE, 3.4)
        ax = axes[0, 0]
        low, high = run.array("growth/model_low"), run.array("growth/model_high")
        if low is not None and high is not None:
            x, a, b = thin(horizon, low, high)
            ax.fill_between(
                x,
                a,
                b,
                color=MODEL,
                alpha=0.25,
                linewidth=0,
                label="model, 10 to 90 % of the starts",
            )
        x, y = thin(horizon, median)
        ax.plot(x, y, color=MODEL, linewidth=1.8, label="model, median")
        for k, name in enumerate(told):
            x, y = thin(horizon, given[name])
            style = {"color": OTHERS[k % 4], "linestyle": DASHES[k % 4]}
            ax.plot(x, y, label=label(name), **style)
        _log_if_positive(ax)
        ax.set_xlim(float(horizon[0]), float(horizon[-1]))
        trusted = (run.report.get("verdict") or {}).get("trust_to")
        if trusted is not None and horizon[0] < trusted < horizon[-1]:
            mark_time(ax, trusted, f"trusted to {number(trusted)}")
        ax.set_xlabel(axis_of_horizon(run))
        ax.set_ylabel(label(axis_label("error", error_unit(run))))
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return figure


def error_unit(run: Run) -> str:
    """The unit of the errors in `growth/...`: that of the validation scores."""
    scores = (run.report.get("scores") or {}).get("validation") or {}
    return str(scores.get("unit") or "1")


def trust_figure(run: Run) -> Figure | None:
    """Panels: coverage of the band, step halving, drift of the energy, visited
    range of the learned slot, correlation of constants; those that were measured.
    None when nothing was."""
    panels: list[Callable[[Any, Run], None]] = []
    if run.array("coverage/share") is not None:
        panels.append(_coverage)
    if run.array("halving/ratio") is not None:
        panels.append(_halving)
    if run.array("energy/value") is not None:
        panels.append(_energy)
    if run.array("slot/visited") is not None:
        panels.append(_slot)
    correlation = run.array("constants/correlation")
    if correlation is not None and len(correlation) > 1:
        panels.append(_correlation)
    if not panels:
        return None
    cols = min(len(panels), 3)
    rows = -(-len(panels) // cols)
    with drawing():
        width = WIDE if cols > 1 else 0.5 * WIDE
        figure, axes = canvas(width, 3.0 * rows, rows, cols, pad=0.12)
        for ax, panel in zip(axes.flat, panels, strict=False):
            panel(ax, run)
        for ax in axes.flat[len(panels) :]:
            ax.remove()
    return figure


def _coverage(ax: Axes, run: Run) -> None:
    horizon, share = run.arrays["coverage/horizon"], run.arrays["coverage/share"]
    count = run.array("coverage/count")
    ax.axhspan(*COVERAGE_RANGE, color=MUTED, alpha=0.13, linewidth=0)
    ax.axhline(0.9, color=MUTED, linewidth=0.9)
    ax.plot(horizon, share, "o-", color=MODEL, markersize=4, linewidth=1.2)
    if count is not None and len(count) <= 10:
        for x, y, n in zip(horizon, share, count, strict=True):
            ax.annotate(
                f"{int(n)}",
                (x, y),
                xytext=(0, -11),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
                color=MUTED,
            )
    ax.set_ylim(-0.03, 1.05)
    ax.set_xlabel(axis_of_horizon(run))
    ax.set_ylabel("share inside the 90 % band [1]")


def _halving(ax: Axes, run: Run) -> None:
    horizon, ratio = thin(run.arrays["halving/horizon"], run.arrays["halving/ratio"])
    ax.plot(horizon, ratio, color=MODEL)
    ax.axhline(HALVING_LIMIT, color=MUTED, linewidth=0.9)
    _log_if_positive(ax)
    low, high = ax.get_ylim()
    ax.set_ylim(low, max(high, 2 * HALVING_LIMIT))
    ax.annotate(
        f"limit {number(HALVING_LIMIT)}",
        (0.99, HALVING_LIMIT),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=MUTED,
    )
    ax.set_xlabel(axis_of_horizon(run))
    ax.set_ylabel("change by half the step / error [1]")


def _energy(ax: Axes, run: Run) -> None:
    ts, value = thin(run.arrays["energy/ts"], run.arrays["energy/value"])
    ax.plot(ts, value, color=MODEL)
    ax.set_xlabel(axis_of_time(run))
    ax.set_ylabel("energy of the forecast [model's unit]")
    ax.margins(x=0.01)


def _slot(ax: Axes, run: Run) -> None:
    x, visited = run.arrays["slot/x"], run.arrays["slot/visited"]
    y = run.array("slot/y")
    (name, unit), *more = visited_axes(run)
    ax.set_xlabel(label(axis_label(f"{name}, input of the learned term", unit)))
    if y is None:
        ax.stairs(visited, x, fill=True, color=MODEL, alpha=0.6)
        ax.set_ylabel("samples seen in training [1]")
        return
    seen = np.where(visited > 0, visited, np.nan)
    ax.pcolormesh(x, y, seen.T, cmap="Blues", vmin=0.0, edgecolors="none")
    ax.grid(False)
    second = more[0] if more else ("second input", "")
    ax.set_ylabel(label(axis_label(*second)))


def visited_axes(run: Run) -> list[tuple[str, str]]:
    """Names and units of the inputs of the first learned term."""
    rows = (run.report.get("model") or {}).get("visited") or []
    found = [(str(r.get("name", "")), str(r.get("unit") or "")) for r in rows]
    return found or channels(run, 1)


def _correlation(ax: Axes, run: Run) -> None:
    matrix = np.asarray(run.arrays["constants/correlation"], float)
    n = len(matrix)
    told = run.report.get("constants") or []
    names = [str(c.get("name", "")) for c in told][:n]
    names += [str(k) for k in range(len(names), n)]
    ax.pcolormesh(
        matrix, cmap="PuOr", vmin=-1, vmax=1, edgecolors="face", linewidth=0.2
    )
    for i in range(n):
        for j in range(n):
            strong = abs(matrix[i, j]) > 0.65
            colour = "#ffffff" if strong else "#000000"
            ax.text(
                j + 0.5,
                i + 0.5,
                f"{matrix[i, j]:.2f}",
                ha="center",
                va="center",
                fontsize=8.5,
                color=colour,
            )
    ticks = np.arange(n) + 0.5
    ax.set_xticks(ticks, [label(name) for name in names])
    ax.set_yticks(ticks, [label(name) for name in names])
    ax.invert_yaxis()
    ax.grid(False)
    ax.tick_params(length=0)
    ax.set_xlabel("correlation of the constants [1]")


def _log_if_positive(ax: Axes) -> None:
    """Log scale unless a curve holds nothing above zero."""
    lines = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    curves = [y[np.isfinite(y)] for y in lines if len(y) > 2]
    if curves and all(len(y) and np.any(y > 0) for y in curves):
        positive = np.concatenate([y[y > 0] for y in curves])
        low, high = float(positive.min()), float(positive.max())
        ax.set_ylim(low / 1.6, high * 1.6)
        log_axis(ax)
