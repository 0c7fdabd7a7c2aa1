"""A report as a few lines on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report import interval, number, quantity, verdict_words


def fit_text(report: dict[str, Any], page: Path) -> str:
    """Headline, baselines, constants, verdict, and where the page is."""
    lines = [*score_lines(report), *constant_lines(report), *verdict_lines(report)]
    return "\n".join([*lines, f"page: {page}"])


def score_lines(report: dict[str, Any]) -> list[str]:
    """The headline error and those of the baselines."""
    scores = report.get("scores") or {}
    head = scores.get("headline")
    if not head:
        return []
    unit = head.get("unit")
    ends = interval(head.get("low"), head.get("high"))
    lines = [f"error {quantity(head.get('value'), unit)} ({ends}): {head.get('text')}"]
    for row in scores.get("baselines") or []:
        lines.append(
            f"  {row.get('name')}: {quantity(row.get('rmse'), unit)}, "
            f"the model's is {number(row.get('ratio'))} of it"
        )
    return lines


def constant_lines(report: dict[str, Any]) -> list[str]:
    """The constants that were found, with intervals."""
    lines = []
    for c in report.get("constants") or []:
        ends = interval(c.get("low"), c.get("high"), digits=4)
        mixed = ", confounded" if c.get("confounded") else ""
        mixed += f", {c['note']}" if c.get("note") else ""
        value = quantity(c.get("value"), c.get("unit"), 4)
        lines.append(f"{c.get('name')} = {value} ({ends}{mixed})")
    return lines


def verdict_lines(report: dict[str, Any]) -> list[str]:
    """The verdict and its reasons."""
    verdict = report.get("verdict")
    if not verdict:
        return ["no verdict: this run was not validated"]
    text, reasons = verdict_words(verdict)
    return [text, *(f"  {reason}" for reason in reasons)]


def error_words(
    units: Sequence[str], overall: float | None, channels: Mapping[str, float]
) -> str:
    """An error with its unit; channel by channel where these differ in it."""
    if len(set(units)) == 1:
        return quantity(overall, units[0])
    return ", ".join(
        f"{quantity(error, unit)} in {name}"
        for (name, error), unit in zip(channels.items(), units, strict=True)
    )
