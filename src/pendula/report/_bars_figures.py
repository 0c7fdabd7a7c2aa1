"""Figures of a chain of bars: distance from the record, energy, how it stood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..systems import from_bars
from ._draw import (
    DASHES,
    INK,
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
from ._numbers import number, quantity
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIVALS = (("law", "classical law"), ("persistence", "persistence"))
PARTS = (
    ("kinetic", OTHERS[0]),
    ("elastic", OTHERS[1]),
    ("gravity", OTHERS[2]),
    ("contact", OTHERS[3]),
)
ENDLESS = 1e12  # a loss beyond it is of a start that leads nowhere
NARROW = 5  # snapshots of a chain that hangs
SHAPE = 0.56  # width over height that each of them has at least
LEAST = 1e-3  # mm: below it a distance is rounding


def told(run: Run) -> dict[str, Any]:
    """What the report says of the chain."""
    return run.report.get("bars") or {}


def distance_figure(run: Run) -> Figure | None:
    """Mean distance from the record over time, of the network, of its members, of the
    classical law and of who says that nothing moves. None without a record."""
    ts, far = run.array("bars/ts"), run.array("distance/network")
    if ts is None or far is None:
        return None
    with drawing():
        figure, axes = canvas(WIDE * 0.72, 3.3)
        ax = axes[0, 0]
        for one in run.arrays.get("distance/members", np.zeros((0, 0))):
            ax.plot(*thin(ts, _above(one)), color=MODEL, linewidth=0.5, alpha=0.6)
        wide = run.array("distance/interval")
        if wide is not None:
            style = {"color": MODEL, "linestyle": ":", "label": "its 90 % interval"}
            ax.plot(*thin(ts, _above(wide)), **style)
        for k, (key, name) in enumerate(RIVALS):
            other = run.array(f"distance/{key}")
            if other is not None:
                x, y = thin(ts, _above(other))
                style = {"color": OTHERS[k], "linestyle": DASHES[k]}
                ax.plot(x, y, label=name, **style)
        ax.plot(*thin(ts, _above(far)), color=MODEL, linewidth=1.8, label="network")
        log_axis(ax)
        ax.set_xlim(float(ts[0]), float(ts[-1]))
        split = told(run).get("taught_to")
        if split is not None and ts[0] < split < ts[-1]:
            mark_time(ax, split, "learned from until here")
        ax.set_xlabel("time [s]")
        ax.set_ylabel("mean distance [mm]")
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(
            handles[::-1], labels[::-1], loc="outside upper left", ncols=len(labels)
        )
    return figure


def _above(mm: np.ndarray) -> np.ndarray:
    """Where there is a distance to draw on a logarithmic axis."""
    return np.where(np.isfinite(mm) & (mm > LEAST), mm, np.nan)


def energy_figure(run: Run) -> Figure | None:
    """Parts of the energy over time, and its total beside what drag took. None where
    nothing was written."""
    ts = run.array("bars/ts")
    parts = run.group("energy/")
    if ts is None or "total" not in parts:
        return None
    with drawing():
        figure, axes = canvas(WIDE, 3.3, 1, 2, pad=0.12)
        left, right = axes[0]
        for k, (name, colour) in enumerate(PARTS):
            own = parts.get(name)
            if own is not None and np.nanmax(np.abs(own), initial=0.0) > 0.0:
                x, y = thin(ts, 1e3 * (own - own[0]))
                left.plot(x, y, color=colour, linestyle=DASHES[k], label=name)
        left.set_ylabel("energy, from its start [mJ]")
        lines: list[Any] = [("total", parts["total"], MODEL, "-", "network")]
        lost = parts.get("lost")
        if lost is not None and np.nanmax(np.abs(lost), initial=0.0) > 0.0:
            both = parts["total"] + lost
            lines.append(("both", both, MODEL, DASHES[0], "network and what drag took"))
        if "record" in parts:
            lines.append(("record", parts["record"], INK, DASHES[1], "record"))
        start = parts["total"][0]
        for _, values, colour, dash, name in lines:
            x, y = thin(ts, 1e3 * (values - start))
            right.plot(x, y, color=colour, linestyle=dash, label=name)
        peak = 1e3 * float(np.nanmax(parts["kinetic"]))
        low, high = right.get_ylim()
        room = max(high - low, 0.02 * peak)
        middle = 0.5 * (low + high)
        right.set_ylim(middle - 0.55 * room, middle + 0.55 * room)
        right.set_ylabel("total, from its start [mJ]")
        for ax in (left, right):
            ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4)
            ax.set_xlabel("time [s]")
            ax.set_xlim(float(ts[0]), float(ts[-1]))
    return figure


def snapshot_figure(run: Run) -> Figure | None:
    """The helix from the side at a few times: the network's over the record's; of a
    chain that hangs a few more, as they are narrow. None without a motion."""
    ts, network = run.array("bars/ts"), run.array("bars/network")
    times = told(run).get("at") or []
    if ts is None or network is None or not times:
        return None
    record = run.array("bars/record")
    radius = float((told(run).get("machine") or {}).get("radius") or 0.033)
    name = str(told(run).get("truth") or "record")
    motions = [(network, MODEL, 0.9, "network")]
    if record is not None:
        motions.insert(0, (record, OTHERS[0], 1.9, name))
    low, high = _corners(network if record is None else record, radius)
    tall = high[1] - low[1] > 1.5 * (high[0] - low[0])
    if tall:
        between = np.linspace(ts[0], ts[-1], NARROW + 2 - len(times))[1:-1]
        times = [*times, *between][:NARROW]
        aside = 0.5 * (SHAPE * (high[1] - low[1]) - (high[0] - low[0])) * np.eye(2)[0]
        low, high = low - np.maximum(aside, 0.0), high + np.maximum(aside, 0.0)
    shown = sorted({int(np.argmin(np.abs(ts - t))) for t in times})
    with drawing():
        few = len(shown) < 3 and not tall
        size = 0.36 * WIDE * len(shown) if few else WIDE
        figure, axes = canvas(
            size,
            4.6 if tall else 3.9,
            1,
            len(shown),
            sharex=True,
            sharey=True,
            pad=0.06,
        )
        for k, ax in zip(shown, axes[0], strict=True):
            _snapshot(ax, motions, k, radius)
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
            ax.set_aspect("equal", adjustable="box")
            ax.locator_params(axis="x", nbins=3 if tall else 6)
            ax.set_title(label(_when(run, k)), loc="left", color=MUTED)
            ax.set_xlabel("x [m]")
        axes[0, 0].set_ylabel("y [m]")
        # of axes of a fixed shape the layout misses a part of their labels
        figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.08)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels))
    return figure


def _corners(motion: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest x, y of the wire at all times, with some room."""
    good = motion[np.all(np.isfinite(motion), axis=(1, 2))]
    xy = from_bars(good, radius, 3)[..., :2].reshape(-1, 2)
    room = 0.04 * np.ptp(xy, axis=0).max()
    return xy.min(0) - room, xy.max(0) + room


def _snapshot(ax: Axes, motions: Any, k: int, radius: float) -> None:
    for motion, colour, line, text in motions:
        if np.isfinite(motion[k]).all():
            x, y = from_bars(motion[k], radius).reshape(-1, 3)[:, :2].T
            ax.plot(x, y, color=colour, linewidth=line, label=text)


def _when(run: Run, k: int) -> str:
    """The time of a sample, and how far both are apart."""
    far = run.array("distance/network")
    words = f"{number(float(run.arrays['bars/ts'][k]))} s"
    if far is not None and np.isfinite(far[k]):
        words += f": {quantity(float(far[k]), 'mm')} apart"
    return words


def phases_figure(run: Run) -> Figure | None:
    """Loss over the updates of each phase of the training, and what the clips were
    judged by. None where nothing was logged."""
    phases: dict[str, list[dict[str, Any]]] = {}
    for row in run.metrics:
        if isinstance(row.get("step"), int | float):
            phases.setdefault(str(row.get("phase")), []).append(row)
    if not phases:
        return None
    with drawing():
        figure, axes = canvas(WIDE, 2.8, 1, len(phases), pad=0.08)
        for ax, (name, rows) in zip(axes[0], phases.items(), strict=True):
            _curve(ax, rows, "loss", INK, "loss")
            _curve(ax, rows, "validation", MODEL, "validation [mm²]")
            drawn = np.concatenate([line.get_ydata() for line in ax.lines] or [[1.0]])
            if np.nanmax(drawn) > 2.0 * np.nanmin(drawn):
                log_axis(ax)
            else:
                ax.set_ylim(0.0, 1.3 * np.nanmax(drawn))
            if any("validation" in row for row in rows):
                ax.legend(loc="best")
            ax.set_title(label(name), loc="left", color=MUTED)
            ax.set_xlabel("update")
        axes[0, 0].set_ylabel("loss [1]")
    return figure


def _curve(ax: Axes, rows: Any, key: str, colour: str, text: str) -> None:
    """A line of a phase: the best of several begins, which are drawn thin. The next
    member of an ensemble goes back to the first update."""
    step, every = [], []
    for row in rows:
        values = row.get(key)
        values = values if isinstance(values, list) else [values]
        good = [isinstance(v, int | float) and 0 < v < ENDLESS for v in values]
        if not any(good):
            continue
        if step and row["step"] <= step[-1]:
            step.append(np.nan)
            every.append([np.nan] * len(values))
        step.append(float(row["step"]))
        every.append([v if g else np.nan for v, g in zip(values, good, strict=True)])
    if not step:
        return
    table, x = np.array(every, float), np.array(step)
    if table.shape[1] > 1:
        for column in table.T:
            ax.plot(x, column, color=colour, linewidth=0.5, alpha=0.4)
        text = f"{text}, the best of {table.shape[1]}"
    best = np.where(np.isnan(table), np.inf, table).min(1)
    best = np.where(np.isfinite(best), best, np.nan)
    ax.plot(*thin(x, best), color=colour, label=text)
