"""A summary of data in words: for the page and for `pendula inspect`."""

from __future__ import annotations

from typing import Any

from ._numbers import interval, listing, number, percent, quantity, telling_apart


def summary_facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What holds for the whole of the data, as pairs of a name and a text.

    **Arguments:** `summary`: as `pendula.data.summary` gives it.
    """
    unit = summary.get("time_unit") or ""
    begin, end = summary.get("time_range") or (None, None)
    grid = summary.get("sampling") or {}
    rows = [
        ("files", "; ".join(_file(f) for f in summary.get("files") or [])),
        ("trajectories", number(summary.get("num"))),
        ("samples each", _three(summary.get("lengths"), "")),
        ("length", _three(summary.get("duration"), unit)),
        ("time", interval(begin, end, unit, telling_apart(begin, end))),
        ("sampling interval", _step(grid, unit)),
        ("gaps", _gaps(grid, unit)),
        ("inputs between samples", summary.get("input_kind") or ""),
        ("systems", number(summary.get("systems"))),
        ("changed since reading", "; ".join(summary.get("history") or [])),
        ("licence", summary.get("licence") or "none stated"),
        ("source", summary.get("citation") or ""),
    ]
    return [(name, text) for name, text in rows if text not in ("", "-")]


CHANNEL_HEAD = (
    "channel",
    "unit",
    "range",
    "mean",
    "sd",
    "missing",
    "noise",
    "noise / sd",
    "period",
    "taken as",
)
"""The heads of `channel_rows`, in their order."""
CHANNEL_WORDS = (0, 1, 2, 9)  # columns that are not numbers
_KIND = {
    "first": "state",
    "second": "position, velocity hidden",
    "velocity": "velocity",
}


def channel_rows(summary: dict[str, Any]) -> list[list[str]]:
    """One line a channel, then one an input, below `CHANNEL_HEAD`."""
    rows = []
    for c in summary.get("channels") or []:
        kind = str(c.get("kind") or "")
        words = _KIND.get(kind, kind)
        if c.get("partner"):
            words += f" of {c['partner']}"
        rows.append(
            [
                *_common(c),
                number(c.get("missing")),
                number(c.get("noise")),
                percent(c.get("relative_noise")),
                number(c.get("period")),
                words + (", angle" if c.get("angle") else ""),
            ]
        )
    for c in summary.get("inputs") or []:
        rows.append([*_common(c), "", "", "", "", "input"])
    return rows


def _common(c: dict[str, Any]) -> list[str]:
    low, high = c.get("range") or (None, None)
    return [
        str(c.get("name") or ""),
        str(c.get("unit") or ""),
        interval(low, high),
        number(c.get("mean")),
        number(c.get("sd")),
    ]


def _file(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    rows = "" if entry.get("rows") is None else f", {entry['rows']} rows"
    digest = str(entry.get("sha256") or "")[:12]
    text = f"{entry.get('path')}{rows}" + (f", sha256 {digest}" if digest else "")
    for key in ("copy_of", "made_of"):
        before = [str(file.get("path")) for file in entry.get(key) or []]
        text += f", {key.replace('_', ' ')} {listing(before)}" if before else ""
    return text


def _three(values: Any, unit: str) -> str:
    """Smallest, median and largest; one number where they agree."""
    if not values:
        return ""
    low, middle, high = values
    if low == high:
        return quantity(high, unit)
    return f"{interval(low, high, unit)}, median {quantity(middle, unit)}"


def _step(grid: dict[str, Any], unit: str) -> str:
    if grid.get("step") is None:
        return ""
    text = quantity(grid["step"], unit)
    if grid.get("even"):
        return f"{text}, even"
    if grid.get("even_parts"):
        return f"{text}, even but for the gaps"
    return f"{text} (median), uneven by up to {percent(grid.get('jitter'))}"


def _gaps(grid: dict[str, Any], unit: str) -> str:
    """The longest gap and how many there are."""
    count = grid.get("num_gaps")
    if not count:
        return ""
    longest = (grid.get("gaps") or [{}])[0]
    return (
        f"{count}; the longest, {quantity(longest.get('length'), unit)}, after "
        f"{quantity(longest.get('after'), unit)} in {longest.get('trajectory')}"
    )
