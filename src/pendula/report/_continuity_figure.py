"""The convergence test on the page of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..diagnostics import Convergence, plot_sweep
from ._blocks import AbstractBlock, Heading, Picture, Table, Text
from ._channels import time_unit
from ._draw import WIDE, canvas, drawing, label, log_axis, to_svg
from ._numbers import axis_label, number
from ._run_folder import Run


if TYPE_CHECKING:
    from matplotlib.figure import Figure

PREFIX = "continuity/"


def with_continuity(
    report: Mapping[str, Any], arrays: Mapping[str, Any], found: Convergence
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's report and arrays with what a convergence test found."""
    swept = {f"{PREFIX}{name}": values for name, values in found.arrays().items()}
    return {**report, "continuity": found.to_dict()}, {**arrays, **swept}


def continuity_figure(run: Run) -> Figure | None:
    """Error (without truth: distance to the field's own motion) over the step, a line a
    scheme; None where the test was not made."""
    told, arrays = run.report.get("continuity"), run.group(PREFIX)
    if not told or "hs" not in arrays:
        return None
    with drawing():
        figure, axes = canvas(0.75 * WIDE, 3.4)
        ax = plot_sweep(told, arrays, axes.flat[0])
        ax.set_xlabel(label(axis_label("step h", time_unit(run))))
        log_axis(ax, "x")
        log_axis(ax)
    return figure


def continuity_blocks(run: Run, name: str = "continuity") -> list[AbstractBlock]:
    """The convergence test, where it was made (`pendula check`); `name` of the
    picture."""
    told, figure = run.report.get("continuity"), continuity_figure(run)
    if not told or figure is None:
        return []
    words = f"{told['verdict']}. {' '.join([*told['reasons'], *told['notes']])}"
    return [
        Heading("Continuity: the same law in other schemes and steps"),
        Text(words),
        Picture(to_svg(figure, name), _caption(told), name),
        _numbers(told),
    ]


def _numbers(told: Mapping[str, Any]) -> Table:
    """Of each scheme what it shows of its order, and how near it comes."""
    rows = []
    for name in told["schemes"]:
        order = told["order"].get(name) or {}
        value = order.get("value")
        shown = order.get("note", "") if value is None else f"{value:.2f}"
        near = told["agreement"][name]
        apart = "failed" if near is None else number(near)
        rows.append([name, str(told["orders_of"][name]), shown, apart])
    head = ("scheme", "order", "order shown", "distance to the own motion [1]")
    return Table(head, rows, "At the smallest step, over the signal's spread.")


def _caption(told: dict[str, Any]) -> str:
    """What its figure shows."""
    what = "The same weights in other schemes and steps"
    against = "from the field's own motion"
    if told.get("e_0") is not None:
        against = "from the truth"
    return (
        f"{what}: distance {against} over the signal's spread. Upright: the trained "
        "step. Dotted: the slopes of the schemes' orders."
    )
