"""Names and units of what a run observed, as its report tells them."""

from __future__ import annotations

from typing import Any

from ._draw import label
from ._numbers import axis_label
from ._run_folder import Run


def channels(run: Run, count: int) -> list[tuple[str, str]]:
    """`count` pairs of a channel's name and unit; `y0`, `y1`... where the report
    does not tell."""
    found = _named(run.report.get("data") or {})
    return [found[j] if j < len(found) else (f"y{j}", "") for j in range(count)]


def _named(data: dict[str, Any]) -> list[tuple[str, str]]:
    rows = data.get("channels") or []
    return [(str(row.get("name", "")), str(row.get("unit") or "")) for row in rows]


def time_unit(run: Run) -> str:
    """The unit of time."""
    data = run.report.get("data") or {}
    verdict = run.report.get("verdict") or {}
    return str(data.get("time_unit") or verdict.get("unit") or "s")


def baseline_names(run: Run) -> list[str]:
    """Baselines in the order of the report's table, then any other that has
    curves."""
    scores = run.report.get("scores") or {}
    told = [str(row.get("name")) for row in scores.get("baselines") or []]
    drawn = [*run.group("forecast/baseline_"), *run.group("growth/baseline_")]
    return list(dict.fromkeys([*told, *drawn]))


def axis_of_time(run: Run) -> str:
    """The label of a time axis."""
    return label(axis_label("time", time_unit(run)))


def axis_of_horizon(run: Run) -> str:
    """The label of an axis of forecast horizons."""
    return label(axis_label("horizon", time_unit(run)))
