"""What a fitted law does, in words and tables: rest states, cycle, exponent."""

from __future__ import annotations

import math
from typing import Any

from ._blocks import AbstractBlock, Facts, Heading, Points, Table, Text
from ._channels import time_unit
from ._numbers import interval, listing, number, percent, quantity
from ._run_folder import Run


NEAR = {
    "sink": "stable: the motion runs into it",
    "stable focus": "stable focus: the motion spirals into it",
    "centre": "centre: the motion circles it and keeps its distance",
    "saddle": "saddle: the motion nears it and is turned away",
    "source": "unstable: the motion runs away from it",
    "unstable focus": "unstable focus: the motion spirals away from it",
    "degenerate": "the linear law there cannot tell",
}
CENTRE = "centre or slow spiral: the members differ in whether the motion nears it"
OPEN = "stable or not: the members differ in whether the motion nears it"


def law_lines(report: dict[str, Any]) -> list[str]:
    """What the law does, for a terminal; nothing for a run that was not asked."""
    found = report.get("behaviour") or {}
    lines = [
        f"rest state {where(rest, found)}: {near(rest, _unit(report))}"
        + ("" if rest.get("visited") else "; outside the visited range")
        for rest in found.get("rests") or []
    ]
    return [*lines, *map(str, found.get("text") or [])]


def law_points(report: dict[str, Any]) -> list[AbstractBlock]:
    """The sentences, and the numbers of cycle and exponent."""
    found = report.get("behaviour") or {}
    facts = [*_cycle_facts(found, report), *_exponent_facts(found, report)]
    inputs = (report.get("data") or {}).get("inputs") or []
    unit = {row.get("name"): row.get("unit") for row in inputs}
    held = [
        f"{row.get('name')} = {quantity(row.get('value'), unit.get(row.get('name')))}"
        for row in found.get("input") or []
    ]
    if held:
        facts.insert(0, ("inputs held at their mean", listing(held)))
    return [Points([str(line) for line in found.get("text") or []]), Facts(facts)]


def rest_table(run: Run) -> list[AbstractBlock]:
    """One row a rest state: where, what happens near it, how sure."""
    found = run.report.get("behaviour") or {}
    rests = found.get("rests") or []
    if not rests:
        return []
    clock = time_unit(run)
    rows = [
        [
            where(rest, found, ends=True),
            near(rest, clock),
            eigenvalues(rest.get("eigenvalues") or []),
            _growth(rest),
            f"{rest.get('members')} of {found.get('searched')}",
            "inside" if rest.get("visited") else "outside: never measured",
            percent(rest.get("nearest")),
        ]
        for rest in rests
    ]
    head = (
        "rest state (range over the members)",
        "near it",
        f"eigenvalues [1/{'unit of time' if clock == '1' else clock}]",
        "largest real part, over the members",
        "members",
        "visited range",
        "nearest sample",
    )
    return [
        Heading("Rest states of the law"),
        Table(
            head,
            rows,
            "Searched in the range of the training data and a quarter beyond. Nearest "
            "sample: its distance as a share of that range.",
            words=None,
        ),
    ]


def statistics_table(report: dict[str, Any]) -> list[AbstractBlock]:
    """How far spectrum and histogram of the free run are those of the data."""
    rows = [
        [
            str(row.get("name")),
            percent(row.get("overlap")),
            percent(row.get("overlap_halves")),
            quantity(row.get("distance"), "dB"),
            quantity(row.get("distance_halves"), "dB"),
        ]
        for row in (report.get("behaviour") or {}).get("statistics") or []
    ]
    head = (
        "channel",
        "histograms overlap",
        "two halves of the data",
        "spectra differ by",
        "two halves of the data",
    )
    caption = (
        "A long free run beside the record; what two halves of the record differ by is "
        "chance"
    )
    return [Table(head, rows, caption)] if rows else []


def left_out(report: dict[str, Any]) -> list[AbstractBlock]:
    """What was not found out, and why."""
    lines = (report.get("behaviour") or {}).get("left_out") or []
    return [Text(str(line), quiet=True) for line in lines]


def where(rest: dict[str, Any], found: dict[str, Any], ends: bool = False) -> str:
    """`theta = 0 rad, v = 0 rad/s`; with `ends` the range over the members."""
    parts = []
    rows = found.get("state") or []
    low, high = rest.get("low") or [], rest.get("high") or []
    for j, (value, row) in enumerate(zip(rest.get("y") or [], rows, strict=False)):
        width = float(row.get("high") or 0.0) - float(row.get("low") or 0.0)
        text = number(_rounded(value, width))
        if ends and j < min(len(low), len(high)):
            a, b = (number(_rounded(v, width)) for v in (low[j], high[j]))
            text += f" ({a} to {b})" if a != b else ""
        parts.append(f"{row.get('name')} = {quantity(text, row.get('unit'))}")
    return ", ".join(parts)


def _growth(rest: dict[str, Any]) -> str:
    low, high = rest.get("growth") or (None, None)
    return interval(low, high)


def _rounded(value: float, width: float) -> float:
    """Without digits that are nothing beside the range."""
    return 0.0 if abs(value) < 1e-4 * width else value


def near(rest: dict[str, Any], unit: str) -> str:
    """What the motion does near a rest state, with its two times."""
    kind = str(rest.get("kind"))
    text = NEAR.get(kind, kind)
    if rest.get("undecided"):
        text = CENTRE if is_circled(rest) else OPEN
    values = [complex(*pair) for pair in rest.get("eigenvalues") or []]
    turning = [v for v in values if v.imag > 0]
    if turning and ("focus" in kind or kind == "centre"):
        slowest = max(turning, key=lambda v: v.real)
        text += f"; one turn takes {quantity(2 * math.pi / slowest.imag, unit)}"
    if not values or rest.get("undecided"):
        return text
    # of all members: the middle one may be the furthest off; old runs have only that
    lead = float(rest.get("usual", values[0].real))
    if kind in ("sink", "stable focus"):
        text += f", the distance falls to 1/e in {quantity(-1 / lead, unit)}"
    elif kind in ("saddle", "source", "unstable focus") and lead > 0:
        text += f", a small distance grows e-fold in {quantity(1 / lead, unit)}"
    else:
        return text
    return text + _over_members(rest, unit)


def _over_members(rest: dict[str, Any], unit: str) -> str:
    """The range of a time over the members, where they differ in it by a third."""
    ends = sorted(1 / abs(g) for g in rest.get("growth") or () if g)
    if len(ends) < 2 or ends[1] < 1.33 * ends[0]:
        return ""
    return f" ({interval(ends[0], ends[1], unit)} over the members)"


def is_circled(rest: dict[str, Any]) -> bool:
    """Whether the motion that lasts longest near a rest state turns around it."""
    pairs = rest.get("eigenvalues") or []
    return bool(pairs) and pairs[0][1] != 0


def eigenvalues(pairs: list[Any]) -> str:
    """`-0.05 ± 3.13i, -2`, conjugates together."""
    parts = []
    size = max((math.hypot(*pair) for pair in pairs), default=0.0)
    for real, imag in pairs:
        re = 0.0 if abs(real) < 1e-7 * size else real
        if imag > 0:
            turn = f"{number(imag)}i"
            parts.append(f"±{turn}" if re == 0 else f"{number(re)} ± {turn}")
        elif imag == 0:
            parts.append(number(re))
    return ", ".join(parts)


def _unit(report: dict[str, Any]) -> str:
    unit = str((report.get("data") or {}).get("time_unit") or "")
    return "" if unit == "1" else unit  # that of a number is none


def _cycle_facts(
    found: dict[str, Any], report: dict[str, Any]
) -> list[tuple[str, str | None]]:
    cycle = found.get("cycle")
    if not cycle:
        return []
    unit = _unit(report)
    values = [number(math.hypot(*pair)) for pair in cycle.get("multipliers") or []]
    members = f"{cycle.get('members')} of {found.get('searched')} members"
    low, high = cycle.get("period_range") or (None, None)
    least, most = cycle.get("largest_range") or (None, None)
    return [
        ("period of the cycle", quantity(cycle.get("period"), unit, 4)),
        ("its range over the members", f"{interval(low, high, unit, 4)} ({members})"),
        ("multipliers (size)", listing(values)),
        ("range of the largest", interval(least, most)),
    ]


def _exponent_facts(
    found: dict[str, Any], report: dict[str, Any]
) -> list[tuple[str, str | None]]:
    told = found.get("exponents")
    if not told:
        return []
    unit = f"1/{_unit(report) or 'unit of time'}"
    value = quantity(told.get("value"), unit)
    ends = interval(told.get("low"), told.get("high"), unit)
    rows: list[tuple[str, str | None]] = [
        ("largest Lyapunov exponent", f"{value} ({ends})"),
        ("all exponents", listing([number(v) for v in told.get("all") or []])),
        ("dimension of the attractor", number(told.get("dimension"))),
    ]
    own = told.get("record")
    if own:
        ends = interval(own.get("low"), own.get("high"), unit)
        text = f"{quantity(own.get('value'), unit)} ({ends})"
        named = "from the record alone, without the model; noise distorts it"
        rows.insert(1, (named, text))
    return rows
