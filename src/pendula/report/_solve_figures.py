"""Figures of a solved equation: the solution, its error over time, its residual, its
windows, its modes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..solutions import width_left
from ._draw import (
    DASHES,
    HALF,
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
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FIELDS = 4
_MAP = "viridis"
_DECADES = 5.0  # of a residual's map: what lies further below is one colour
_ROUNDING = 1e-14  # of a solution: below, a count of modes is one of digits
_CUTS = (MUTED, OTHERS[0], MODEL)  # beginning, middle, end


def solution_figure(run: Run) -> Figure | None:
    """The solution: over x and t with three cuts, over t, over x, or maps of a plane;
    dotted the truth where it is known."""
    u = run.array("solve/u")
    if u is None or not np.isfinite(u).any():
        return None
    axes = _axes_of(run)
    draw = {0: _over_time, 1: _over_line}.get(len(axes), _over_plane)
    with drawing():
        return draw(run, u[:MOST_FIELDS], axes)


def error_figure(run: Run) -> Figure | None:
    """Estimated error, certificate and true error over time, log scale; None where
    there are none, or no time."""
    curves = [
        ("estimate", "estimated", MODEL, "-"),
        ("bound", "certified bound", OTHERS[0], DASHES[0]),
        ("error", "true", INK, DASHES[1]),
    ]
    with drawing():
        figure, axes = canvas(WIDE, 3.3)
        ax = axes[0, 0]
        for name, text, colour, dash in curves:
            t = run.array("solve/t" if name == "error" else f"solve/{name}_times")
            y = run.array(f"solve/{name}")
            if t is None or y is None or len(y) < 2:
                continue
            t, y = thin(t[: len(y)], np.where(y > 0.0, y, np.nan))
            if np.isfinite(y).any():
                ax.plot(t, y, color=colour, linestyle=dash, label=text)
        if not ax.lines:
            return None
        tol = (_told(run).get("report") or {}).get("tol")
        if tol:
            ax.axhline(
                tol, color=MUTED, linewidth=0.9, label=f"asked for {as_typed(tol)}"
            )
        log_axis(ax)
        _whole_time(ax, run)
        ax.set_ylabel("relative error [1]")
        _legend_above(figure, ax)
    return figure


def residual_figure(run: Run) -> Figure | None:
    """How well the equation holds at points that were not solved for: a map with the
    worst place marked and the mean over time, or a curve."""
    found = run.array("solve/residual")
    if found is None or not (np.abs(np.nan_to_num(found)) > 0.0).any():
        return None
    size, axes, t = np.abs(found), _axes_of(run), run.array("solve/t")
    with drawing():
        if len(axes) == 0:
            return _residual_lines(run, t, size)
        if t is None and len(axes) == 1:
            return _residual_lines(run, axes[0][1], size[:, 0])
        return _residual_map(run, axes, t, size.max(axis=0))


def windows_figure(run: Run) -> Figure | None:
    """Lengths of the windows over time; None for fewer than three."""
    edges = run.array("solve/windows")
    if edges is None or len(edges) < 4:
        return None
    with drawing():
        figure, axes = canvas(HALF, 2.6)
        ax = axes[0, 0]
        lengths = np.diff(edges)
        ax.stairs(lengths, edges, baseline=None, color=MODEL, linewidth=1.3)
        if lengths.max() > 5.0 * lengths.min():
            log_axis(ax)
        else:
            ax.set_ylim(0.0, 1.1 * float(lengths.max()))
        ax.set_xlim(float(edges[0]), float(edges[-1]))
        ax.set_xlabel("t")
        ax.set_ylabel("length of the window")
    return figure


def width_figure(run: Run) -> Figure | None:
    """What modes fixed in space leave of the solution, over their number; None where
    two leave nothing."""
    decay = (_told(run).get("report") or {}).get("width")
    if not decay:
        return None
    left = width_left(decay)
    shown = left > _ROUNDING
    if shown.sum() < 2:
        return None
    with drawing():
        figure, axes = canvas(HALF, 2.6)
        ax = axes[0, 0]
        counts = np.arange(1, len(left) + 1)[shown]
        ax.plot(counts, left[shown], color=MODEL, marker="o", markersize=3.0)
        log_axis(ax)
        ax.set_xlabel("modes n")
        ax.set_ylabel("left of the solution [1]")
    return figure


SOLVE_FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "solution": solution_figure,
    "error": error_figure,
    "residual": residual_figure,
    "windows": windows_figure,
    "width": width_figure,
}


def as_typed(value: float) -> str:
    """A number as somebody asks for it: 0.0001, 1e-6.

    ```python
    >>> from pendula.report._solve_figures import as_typed
    >>> as_typed(1e-4), as_typed(1e-6)
    ('0.0001', '1e-6')

    ```
    """
    return re.sub(r"e([+-])0+", r"e\1", f"{value:g}").replace("e+", "e")


def _told(run: Run) -> dict[str, Any]:
    return run.report.get("solve") or {}


def _axes_of(run: Run) -> list[tuple[str, np.ndarray]]:
    """Coordinates in space, with the points on each; those of one point are left
    out."""
    space = (_told(run).get("problem") or {}).get("space") or []
    found = [(str(row[0]), run.array(f"solve/axis_{row[0]}")) for row in space]
    return [(name, at) for name, at in found if at is not None and len(at) > 1]


def _fields(run: Run, count: int) -> list[str]:
    names = (_told(run).get("problem") or {}).get("fields") or []
    return [str(n) for n in names[:count]] + ["u"] * (count - len(names))


def _over_time(run: Run, u: np.ndarray, axes: Any) -> Figure:
    """A row a field."""
    t, truth = run.arrays["solve/t"], run.array("solve/truth")
    figure, panels = canvas(SPAN, 0.6 + 1.3 * len(u), len(u), 1, sharex=True)
    for k, (ax, name) in enumerate(
        zip(panels[:, 0], _fields(run, len(u)), strict=True)
    ):
        x, y = thin(t, u[k].reshape(len(t)))
        ax.plot(x, y, color=MODEL, label="network")
        if truth is not None:
            x, y = thin(t, truth[k].reshape(len(t)))
            ax.plot(x, y, color=INK, linestyle=DASHES[1], label="truth")
        ax.set_ylabel(label(name))
        _whole_time(ax, run, say=k == len(u) - 1)
    _legend_above(figure, panels[0, 0])
    return figure


def _over_line(run: Run, u: np.ndarray, axes: Any) -> Figure:
    """A map over t and x and three cuts, a row a field; a curve without time."""
    name, x = axes[0]
    t, truth = run.array("solve/t"), run.array("solve/truth")
    u = u.reshape(len(u), -1, len(x))
    truth = None if truth is None else truth.reshape(len(truth), -1, len(x))
    rows, fields = len(u), _fields(run, len(u))
    if t is None:
        figure, panels = canvas(SPAN, 0.8 + 2.4 * rows, rows, 1, sharex=True)
        for k, ax in enumerate(panels[:, 0]):
            _cut(
                ax, x, u[k, 0], None if truth is None else truth[k, 0], MODEL, "network"
            )
            ax.set_ylabel(label(fields[k]))
        panels[-1, 0].set_xlabel(label(name))
        _legend_above(figure, panels[0, 0])
        return figure
    size = 0.6 + 2.9 * rows
    figure, panels = canvas(SPAN, size, rows, 2, pad=0.08, width_ratios=(6, 5))
    last = int(np.isfinite(u[0]).any(axis=1).nonzero()[0].max())
    for k, (left, right) in enumerate(panels):
        _map(figure, left, u[k].T, t, x, fields[k])
        left.set_ylabel(label(name))
        left.set_xlabel("t")
        for when, colour in zip((0, last // 2, last), _CUTS, strict=True):
            known = None if truth is None else truth[k, when]
            _cut(right, x, u[k, when], known, colour, f"t = {t[when]:.3g}")
        right.set_xlabel(label(name))
        right.set_ylabel(label(fields[k]))
        right.margins(x=0.0)
    _legend_above(figure, panels[0, 1], "outside upper right")
    return figure


def _cut(
    ax: Axes,
    x: np.ndarray,
    u: np.ndarray,
    truth: np.ndarray | None,
    colour: str,
    text: str,
) -> None:
    """A curve, with the truth dotted upon it."""
    at, y = thin(x, u)
    ax.plot(at, y, color=colour, label=text)
    if truth is not None and np.isfinite(truth).any():
        at, y = thin(x, truth)
        said = "truth" in ax.get_legend_handles_labels()[1]
        ax.plot(
            at,
            y,
            color=INK,
            linestyle=DASHES[1],
            linewidth=1.1,
            label="_" if said else "truth",
        )


def _over_plane(run: Run, u: np.ndarray, axes: Any) -> Figure:
    """Maps: of a steady solution and its error, else of three times."""
    (first, x), (second, y) = axes[:2]
    t, truth = run.array("solve/t"), run.array("solve/truth")
    u = u.reshape(len(u), -1, len(x), len(y))
    fields = _fields(run, len(u))
    shown: list[list[tuple[np.ndarray, str]]] = []
    for k, name in enumerate(fields):
        if t is None:
            row = [(u[k, 0], name)]
            if truth is not None and np.isfinite(truth[k]).any():
                gap = u[k, 0] - truth[k].reshape(len(x), len(y))
                row.append((gap, f"{name} - truth"))
        else:
            last = int(np.isfinite(u[k]).any(axis=(1, 2)).nonzero()[0].max())
            row = [
                (u[k, when], f"{name} at t = {t[when]:.3g}")
                for when in sorted({0, last // 2, last})
            ]
        shown.append(row)
    cols = max(map(len, shown))
    width = SPAN if cols > 1 else HALF
    figure, panels = canvas(width, 3.2 * len(u), len(u), cols, pad=0.08)
    for row, line in zip(panels, shown, strict=True):
        for ax, (values, text) in zip(row, line, strict=False):
            _map(figure, ax, values.T, x, y, text)
            ax.set_xlabel(label(first))
        row[0].set_ylabel(label(second))
        for ax in row[len(line) :]:
            ax.remove()
    return figure


def _map(
    figure: Figure,
    ax: Axes,
    values: np.ndarray,
    across: np.ndarray,
    up: np.ndarray,
    text: str,
    **limits: Any,
) -> None:
    """An image with its colour bar, `values` `"up across"`."""
    half = lambda at: 0.5 * (at[1] - at[0])
    edges = [
        float(end)
        for at in (across, up)
        for end in (at[0] - half(at), at[-1] + half(at))
    ]
    image = ax.imshow(
        values,
        origin="lower",
        aspect="auto",
        extent=(edges[0], edges[1], edges[2], edges[3]),
        cmap=_MAP,
        interpolation="none",
        **limits,
    )
    ax.grid(False)
    bar = figure.colorbar(image, ax=ax, pad=0.02, fraction=0.06, aspect=24)
    if len(text) < 12:
        bar.ax.set_title(label(text))
    else:
        bar.set_label(label(text))
    if bar.solids is not None:
        bar.solids.set_rasterized(True)  # one picture, not hundreds of boxes
    bar.outline.set_visible(False)


def _residual_lines(run: Run, x: Any, size: np.ndarray) -> Figure:
    """A curve an equation, over time or space."""
    figure, axes = canvas(WIDE, 3.0)
    ax = axes[0, 0]
    colours = (MODEL, OTHERS[0], INK, MUTED)
    for k, row in enumerate(size[: len(colours)]):
        at, y = thin(x, np.where(row.ravel() > 0.0, row.ravel(), np.nan))
        ax.plot(at, y, color=colours[k], linewidth=0.9, label=f"equation {k + 1}")
    log_axis(ax)
    ax.set_ylabel("residual / largest term [1]")
    if run.array("solve/t") is not None:
        _whole_time(ax, run)
    else:
        ax.set_xlabel(label(_axes_of(run)[0][0]))
        ax.margins(x=0.0)
    if len(size) > 1:
        _legend_above(figure, ax)
    return figure


def _residual_map(run: Run, axes: Any, t: Any, size: np.ndarray) -> Figure:
    """The map, the worst place marked; beside it the mean over space, where there is
    time."""
    size = size.reshape(len(size), *[len(at) for _, at in axes])
    text, worst = "log10 of residual / largest term", 0
    if len(axes) == 1:
        (up, y), (across, x), shown = axes[0], ("t", t), size.T
    else:
        (across, x), (up, y) = axes[:2]
        flat = np.nan_to_num(size).reshape(len(size), -1)
        worst = int(flat.max(axis=1).argmax())
        shown = size[worst].T
        if t is not None:
            text += f", t = {t[worst]:.3g}"
    cols = 1 if t is None else 2
    wide = {"width_ratios": (6, 5)} if cols == 2 else {}
    figure, panels = canvas(SPAN if cols == 2 else HALF, 3.4, 1, cols, pad=0.08, **wide)
    left = panels[0, 0]
    with np.errstate(divide="ignore"):
        decades = np.log10(shown)
    top = float(decades[np.isfinite(decades)].max())
    _map(figure, left, decades, x, y, text, vmin=top - _DECADES, vmax=top)
    row, column = np.unravel_index(int(np.nanargmax(decades)), decades.shape)
    place = (x[column], y[row])
    for colour, width in (("white", 4.0), (OTHERS[0], 2.0)):
        style = {"color": colour, "markeredgewidth": width, "clip_on": False}
        left.plot(*place, "x", markersize=8, **style)
    left.set_xlabel(label(across))
    left.set_ylabel(label(up))
    if t is not None:
        flat = size.reshape(len(size), -1)
        there = np.isfinite(flat).any(axis=1)
        mean = np.sqrt(np.nanmean(flat[there] ** 2, axis=1))
        right = panels[0, 1]
        right.plot(t[there], np.where(mean > 0.0, mean, np.nan), color=MODEL)
        log_axis(right)
        _whole_time(right, run)
        right.set_ylabel("root mean square over space [1]")
    return figure


def _whole_time(ax: Axes, run: Run, *, say: bool = True) -> None:
    """The axis of time from beginning to end, with what was not reached in grey."""
    t = run.array("solve/t")
    if t is None:
        return
    ax.set_xlim(float(t[0]), float(t[-1]))
    reached = _told(run).get("reached")
    if reached is not None and reached < t[-1] - 1e-9 * (t[-1] - t[0]):
        ax.axvspan(reached, float(t[-1]), color=MUTED, alpha=0.15, linewidth=0)
    if say:
        ax.set_xlabel("t")


def _legend_above(figure: Figure, ax: Axes, where: Any = "outside upper left") -> None:
    """The legend of one panel over the figure, where there is anything to tell."""
    handles, labels = ax.get_legend_handles_labels()
    if "truth" in labels:  # it goes with all of them, so it comes last
        last = labels.index("truth")
        handles.append(handles.pop(last))
        labels.append(labels.pop(last))
    if handles:
        figure.legend(handles, labels, loc=where, ncols=len(labels))
