"""The page of a gauge: how well it reads systems left out, and what it read of new
ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ._blocks import AbstractBlock, Headline, Picture, Points, Section, Table, Verdict
from ._draw import MODEL, MUTED, OTHERS, SPAN, canvas, drawing, label, to_svg
from ._fit_page import _reproduce
from ._numbers import axis_label, number, percent
from ._run_folder import Run
from ._tables import data_blocks, decisions_table


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60  # rows of one table
PANELS = 3  # parameters that are drawn


def gauge_figure(run: Run) -> Figure | None:
    """Read over true parameters of the calibrated systems, each left out of the gauge
    that read it, a column a parameter, with the difference below; new systems are
    stars, at what was read."""
    labels, read = run.array("gauge/labels"), run.array("gauge/read")
    low, high = run.array("gauge/low"), run.array("gauge/high")
    if labels is None or read is None or low is None or high is None:
        return None
    told = run.report.get("gauge") or {}
    new, ends = run.array("measured/value"), _ends(run)
    cols = min(labels.shape[1], PANELS)
    with drawing():
        figure, axes = canvas(SPAN, 6.2, 2, cols, pad=0.08, sharex="col")
        for k in range(cols):
            top, below = axes[:, k]
            x, y = labels[:, k], read[:, k]
            bars = np.stack([y - low[:, k], high[:, k] - y])
            name, unit = _name(told, k)
            _bars(top, x, y, bars, False)
            _bars(below, x, y - x, bars, False)
            seen = x
            if new is not None and ends is not None:
                found = np.isfinite(ends[:, :, k]).all(axis=0)
                at, bars = new[found, k], np.abs(ends[:, found, k] - new[found, k])
                _bars(top, at, at, bars, True)
                _bars(below, at, 0.0 * at, bars, True)
                seen = np.concatenate([x, at])
            room = 0.06 * max(float(np.ptp(seen)), 1e-12)
            span = [float(seen.min()) - room, float(seen.max()) + room]
            top.plot(span, span, color=MUTED, linewidth=0.8, zorder=0)
            below.axhline(0.0, color=MUTED, linewidth=0.8, zorder=0)
            below.set_xlim(span)
            below.set_xlabel(label(axis_label(f"true {name}", unit)))
            top.set_ylabel(label(axis_label(f"read {name}", unit)))
            below.set_ylabel(label(axis_label("read - true", unit)))
        handles, texts = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper left", ncols=2)
    return figure


def _bars(ax: Axes, x: np.ndarray, y: np.ndarray, bars: np.ndarray, new: bool) -> None:
    """Points with their intervals."""
    ax.errorbar(
        x,
        y,
        yerr=np.where(np.isfinite(bars), np.abs(bars), 0.0),
        fmt="*" if new else "o",
        color=OTHERS[0] if new else MODEL,
        markersize=12 if new else 5,
        markeredgewidth=0,
        linestyle="none",
        elinewidth=1.0,
        capsize=2.0,
        zorder=3 if new else 2,
        label="new, at what was read" if new else "calibrated, left out",
    )


def _ends(run: Run) -> np.ndarray | None:
    low, high = run.array("measured/low"), run.array("measured/high")
    return None if low is None or high is None else np.stack([low, high])


def _name(told: dict[str, Any], k: int) -> tuple[str, str]:
    names, units = told.get("names") or [], told.get("units") or []
    return (
        str(names[k]) if k < len(names) else f"parameter {k}",
        str(units[k]) if k < len(units) else "",
    )


GAUGE_FIGURES: dict[str, Callable[[Run], Figure | None]] = {"gauge": gauge_figure}


def gauge_sections(run: Run) -> list[Section]:
    """The parts of a gauge's page."""
    data: list[AbstractBlock] = [*data_blocks(run), decisions_table(run.report)]
    return [
        _result(run),
        _calibration(run),
        Section("Data: what was read", data, "Data"),
        _reproduce(run),
    ]


def gauge_verdict(systems: list[dict[str, Any]]) -> tuple[bool | None, str, list[str]]:
    """Whether the parameters of the new systems are known, in a sentence, with the
    reasons."""
    open_ = [
        f"{row['system']}: {p['name']} is not told by this record; measure a larger "
        "or longer motion."
        for row in systems
        for p in row["parameters"]
        if not p["identified"]
    ]
    far = [
        f"{row['system']}: it lies outside the calibrated systems."
        for row in systems
        if row["extrapolating"]
    ]
    if open_:
        return False, "Not measured: do not use these parameters.", [*open_, *far]
    if far:
        return None, "Measured outside what was calibrated: the map is guessed.", far
    return True, "Measured, and inside what was calibrated.", []


def _result(run: Run) -> Section:
    told = run.report.get("gauge") or {}
    systems = told.get("systems") or []
    rows = [
        [
            str(row["system"]),
            f"{p['name']} [{p['unit']}]" if p["unit"] else str(p["name"]),
            number(p["value"], 4),
            f"{number(p['low'], 4)} to {number(p['high'], 4)}",
            number(bool(p["identified"])),
            number(bool(row["extrapolating"])),
        ]
        for row in systems
        for p in row["parameters"]
    ]
    level = percent(systems[0]["level"]) if systems else ""
    kind = str(systems[0]["interval"]) if systems else ""
    head = (
        "system",
        "parameter",
        "value",
        f"{level} interval ({kind})",
        "identified",
        "extrapolating",
    )
    blocks: list[AbstractBlock] = [
        Verdict(*gauge_verdict(systems)),
        Table(head, rows[:MOST], words=(0, 1, 3, 4, 5)),
    ]
    return Section("The parameters of the new system", blocks, "Result")


def _calibration(run: Run) -> Section:
    told = run.report.get("gauge") or {}
    errors = [e for e in told.get("errors") or [] if e is not None]
    figure = gauge_figure(run)
    blocks: list[AbstractBlock] = []
    if errors:
        text = (
            "of the value: error of the gauge on calibrated systems that it did not "
            "see, root mean square, the worst parameter."
        )
        blocks.append(Headline(percent(max(errors)), "", text))
    if figure is not None:
        caption = (
            "Each calibrated system was left out of the gauge that read it. Bars: "
            "Laplace intervals of the same level. Below: the difference, read minus "
            "true; a new system is drawn at what was read of it."
        )
        blocks.append(Picture(to_svg(figure, "gauge"), caption, "gauge"))
    blocks += [
        Points([str(line) for line in told.get("summary") or []]),
        _left_out_table(run),
    ]
    return Section("Calibration: systems left out", blocks, "Calibration")


def _left_out_table(run: Run) -> Table:
    told = run.report.get("gauge") or {}
    labels, read = run.array("gauge/labels"), run.array("gauge/read")
    if labels is None or read is None:
        return Table((), ())
    names = [_name(told, k)[0] for k in range(labels.shape[1])]
    systems = [str(name) for name in told.get("labels") or []]
    rows = []
    for i, name in enumerate(systems[:MOST]):
        pairs = zip(labels[i], read[i], strict=True)
        cells = [number(float(v), 4) for pair in pairs for v in pair]
        rows.append([name, *cells])
    head = ("system", *(f"{word} {n}" for n in names for word in ("true", "read")))
    return Table(head, rows, words=(0,))
