"""Figures of a family and of a system adapted to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._channels import axis_of_time, channels
from ._draw import (
    INK,
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
from ._numbers import axis_label
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 3  # panels in a row
NAMED = 14  # points up to which each has its name
ROWS = 40  # systems of one list
CHANNELS = 4


def labels_of(run: Run) -> list[str]:
    """Names of the training systems."""
    told = run.report.get("family") or run.report.get("adapted") or {}
    return [str(name) for name in told.get("labels") or []]


def constellation_figure(run: Run) -> Figure | None:
    """The etas of all systems: over their parameters where these are known, else each
    on a line of its own, or in pairs. A new system is marked."""
    etas = run.array("family/etas")
    if etas is None:
        return None
    params = run.array("family/params")
    with drawing():
        if params is not None and varying(params):
            return _over_parameters(run, etas, params)
        return _on_lines(run, etas) if etas.shape[1] == 1 else _in_pairs(run, etas)


def varying(params: np.ndarray) -> list[int]:
    """The columns that are known and differ between systems."""
    return [
        j
        for j, column in enumerate(params.T)
        if np.unique(column[np.isfinite(column)]).size > 1
    ]


def _over_parameters(run: Run, etas: np.ndarray, params: np.ndarray) -> Figure:
    names = (run.report.get("family") or {}).get("param_names") or []
    shown = varying(params)[:MOST]
    rows, cols = min(MOST, etas.shape[1]), len(shown)
    sd = run.array("family/sd")
    figure, axes = canvas(
        SPAN, 0.6 + 2.5 * rows, rows, cols, pad=0.08, sharex="col", sharey="row"
    )
    for k in range(rows):
        for col, j in enumerate(shown):
            error = None if sd is None else sd[:, k]
            _points(axes[k, col], params[:, j], etas[:, k], yerr=error)
            if k == rows - 1:
                name = names[j] if j < len(names) else f"parameter {j}"
                axes[k, col].set_xlabel(label(name))
        axes[k, 0].set_ylabel(f"eta {k}" if etas.shape[1] > 1 else "eta")
    return figure


def _on_lines(run: Run, etas: np.ndarray) -> Figure:
    """One entry: systems from the smallest to the largest eta."""
    order = np.argsort(etas[:, 0])
    order = order[np.unique(np.linspace(0, len(order) - 1, ROWS).round().astype(int))]
    names, sd = labels_of(run), run.array("family/sd")
    new, new_sd = run.array("adapted/etas"), run.array("adapted/sd")
    count = len(order) + (0 if new is None else len(new))
    figure, axes = canvas(SPAN, 0.8 + 0.24 * max(count, 4))
    ax = axes[0, 0]
    error = None if sd is None else sd[order, 0]
    _points(ax, etas[order, 0], np.arange(len(order)), xerr=error)
    ticks = [names[i] if i < len(names) else str(i) for i in order]
    if new is not None:
        height = len(order) + np.arange(len(new))
        error = None if new_sd is None else _finite(new_sd[:, 0])
        _points(ax, new[:, 0], height, xerr=error, new=True)
        ticks += _new_names(run)
    ax.set_yticks(range(len(ticks)), [label(t) for t in ticks])
    ax.set_ylim(-0.7, len(ticks) - 0.3)
    ax.set_ylabel("system")
    ax.set_xlabel("eta")
    return figure


def _in_pairs(run: Run, etas: np.ndarray) -> Figure:
    size = etas.shape[1]
    pairs = [(a, b) for b in range(1, size) for a in range(b)][:MOST]
    new, names = run.array("adapted/etas"), labels_of(run)
    figure, axes = canvas(WIDE if len(pairs) > 1 else SPAN, 3.8, 1, len(pairs), pad=0.1)
    for ax, (a, b) in zip(axes[0], pairs, strict=True):
        _points(ax, etas[:, a], etas[:, b])
        if len(names) <= NAMED:
            _name(ax, names, etas[:, a], etas[:, b], INK)
        if new is not None:
            _points(ax, new[:, a], new[:, b], new=True)
            _name(ax, _new_names(run), new[:, a], new[:, b], OTHERS[0])
        ax.margins(0.14)
        ax.set_xlabel(f"eta {a}")
        ax.set_ylabel(f"eta {b}")
    return figure


def _new_names(run: Run) -> list[str]:
    rows = (run.report.get("adapted") or {}).get("systems") or []
    return [str(row.get("system")) for row in rows]


def _finite(error: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(error), error, 0.0)


def _points(ax: Axes, x: Any, y: Any, *, new: bool = False, **errors: Any) -> None:
    colour = OTHERS[0] if new else MODEL
    style: dict[str, Any] = {"marker": "*" if new else "o", "markeredgewidth": 0}
    ax.errorbar(
        x,
        y,
        linestyle="none",
        color=colour,
        markersize=12 if new else 6,
        elinewidth=1.0,
        capsize=2.5,
        **style,
        **errors,
    )


def _name(ax: Axes, names: list[str], x: Any, y: Any, colour: str) -> None:
    for name, a, b in zip(names, x, y, strict=False):
        ax.annotate(
            label(name),
            (a, b),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=8.5,
            color=colour,
        )


def morph_figure(run: Run) -> Figure | None:
    """The learned law over the first coordinate, a line a system, from one end of the
    family to the other."""
    law = (run.report.get("family") or {}).get("law") or {}
    return _members(run, "law/values", str(law.get("y")), law.get("y_unit"))


def potential_figure(run: Run) -> Figure | None:
    """The learned potential over the first coordinate, a line a system; None where no
    energy was learned."""
    law = (run.report.get("family") or {}).get("law") or {}
    return _members(run, "law/potential", "potential energy", law.get("energy_unit"))


def _members(run: Run, key: str, name: str, unit: Any) -> Figure | None:
    x, values = run.array("law/x"), run.array(key)
    which = run.array("law/systems")
    if x is None or values is None or which is None:
        return None
    told = (run.report.get("family") or {}).get("law") or {}
    names = labels_of(run)
    with drawing():
        from matplotlib import colormaps

        colours = colormaps["viridis"](np.linspace(0.0, 0.85, len(values)))
        figure, axes = canvas(SPAN, 3.8)
        ax = axes[0, 0]
        for line, colour, i in zip(values, colours, which, strict=True):
            text = names[i] if i < len(names) else str(i)
            ax.plot(x, line, color=colour, linewidth=1.7, label=label(text))
        ax.axhline(0.0, color=MUTED, linewidth=0.7)
        ax.margins(x=0.01)
        ax.set_xlabel(label(axis_label(str(told.get("x")), told.get("x_unit"))))
        ax.set_ylabel(label(axis_label(name, unit)))
        handles, texts = ax.get_legend_handles_labels()
        figure.legend(
            handles, texts, loc="outside right upper", title="system", alignment="left"
        )
    return figure


def adapted_forecast_figure(run: Run) -> Figure | None:
    """The adapted model from the first state beside the measurement: the first
    trajectory of up to three systems, up to four channels."""
    systems = [k for k in range(MOST) if run.array(f"run/{k}/ts") is not None]
    if not systems:
        return None
    names = _new_names(run)
    count = min(CHANNELS, run.arrays[f"run/{systems[0]}/mean"].shape[1])
    with drawing():
        figure, axes = canvas(
            WIDE, 0.7 + 1.9 * count, count, len(systems), pad=0.06, sharex="col"
        )
        for col, k in enumerate(systems):
            ts, mean, truth = (
                run.arrays[f"run/{k}/{key}"] for key in ("ts", "mean", "truth")
            )
            for j, (name, unit) in enumerate(channels(run, count)):
                ax = axes[j, col]
                ax.plot(
                    *thin(ts, truth[:, j]),
                    "o",
                    color=INK,
                    markersize=3,
                    markeredgewidth=0,
                    zorder=3,
                    label="measured",
                )
                ax.plot(
                    *thin(ts, mean[:, j]),
                    color=MODEL,
                    linewidth=1.8,
                    label="adapted model",
                )
                seen = truth[:, j][np.isfinite(truth[:, j])]
                if seen.size:  # a rollout that fails must not flatten the data
                    room = 0.3 * max(float(np.ptp(seen)), 1e-12)
                    low, high = ax.get_ylim()
                    ax.set_ylim(
                        max(low, float(seen.min()) - room),
                        min(high, float(seen.max()) + room),
                    )
                ax.margins(x=0.01)
                if col == 0:
                    ax.set_ylabel(label(axis_label(name, unit)))
            if len(systems) > 1 and k < len(names):
                axes[0, col].set_title(label(names[k]), loc="left")
            axes[-1, col].set_xlabel(axis_of_time(run))
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper left", ncols=2)
    return figure


def history_figure(run: Run) -> Figure | None:
    """The objective of the adaptation over its iterations, a line a system."""
    found = run.group("history/")
    if not found:
        return None
    names = _new_names(run)
    with drawing():
        figure, axes = canvas(SPAN, 2.7)
        ax = axes[0, 0]
        several = len(found) > 1
        for key, values in sorted(found.items(), key=lambda item: int(item[0])):
            k = int(key)
            colour = (MODEL, *OTHERS)[k % 5]
            name = label(names[k]) if k < len(names) else key
            ax.plot(values, "o-", color=colour, markersize=4, label=name)
        ax.set_xlabel("iteration")
        ax.set_ylabel("objective [1]")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if all(np.nanmin(values) > 0 for values in found.values()):
            log_axis(ax)
        if several and len(found) <= NAMED:
            handles, texts = ax.get_legend_handles_labels()
            figure.legend(handles, texts, loc="outside right upper")
    return figure
