"""The tables and facts of a fit's page, each from one part of the report."""

from __future__ import annotations

from typing import Any

from ._blocks import AbstractBlock, Facts, Heading, Points, Table, Text
from ._channels import time_unit
from ._data_words import CHANNEL_HEAD, CHANNEL_WORDS, channel_rows, summary_facts
from ._numbers import interval, listing, number, percent, quantity
from ._run_folder import Run


def baseline_table(report: dict[str, Any]) -> Table:
    """The model's error beside each baseline's, on the same samples, and the ratio
    of the two."""
    scores = report.get("scores") or {}
    head = scores.get("headline") or {}
    unit = head.get("unit")
    rows = [["this model", quantity(head.get("value"), unit), ""]] if head else []
    rows += [
        [
            str(row.get("name")),
            quantity(row.get("rmse"), unit),
            number(row.get("ratio")),
        ]
        for row in scores.get("baselines") or []
    ]
    return Table(
        ("forecast", "error", "model / it"),
        rows,
        "Error on the same samples, and the model's as a share of it",
        mark=0 if head else None,
    )


def model_facts(report: dict[str, Any]) -> Facts:
    """What was fitted."""
    model = report.get("model") or {}
    state = [str(name) for name in model.get("state") or []]
    members = model.get("members")
    return Facts(
        [
            ("model", model.get("equation")),
            ("terms", "; ".join(map(str, model.get("terms") or [])) or None),
            ("state", listing(state) or None),
            ("parameters", number(model.get("parameters"))),
            ("members", None if members is None else number(members)),
        ]
    )


def data_blocks(run: Run) -> list[AbstractBlock]:
    """The summary of the data: facts, channels, warnings."""
    data = run.report.get("data") or {}
    if not data:
        return []
    table = Table(CHANNEL_HEAD, channel_rows(data), words=CHANNEL_WORDS)
    notes = [str(note) for note in data.get("warnings") or []]
    return [Facts(summary_facts(data)), table, Points(notes)]


def decisions_table(report: dict[str, Any]) -> Table:
    """Everything that was decided without being asked, and what changes it."""
    rows = [
        [str(row.get(key) or "") for key in ("what", "choice", "why", "option")]
        for row in report.get("decisions") or []
    ]
    return Table(("what", "choice", "why", "option that changes it"), rows, words=None)


def phases_table(report: dict[str, Any]) -> Table:
    """One line a phase of the training."""
    training = report.get("training") or {}
    rows = [
        [
            str(phase.get("name")),
            number(phase.get("steps")),
            number(phase.get("clip")),
            number(phase.get("clips")),
            number(phase.get("loss")),
            number(phase.get("validation")),
            number(phase.get("seconds")),
            str(phase.get("reason") or ""),
        ]
        for phase in training.get("phases") or []
    ]
    head = (
        "phase",
        "steps",
        "clip",
        "clips",
        "loss",
        "validation",
        "seconds",
        "ended because",
    )
    return Table(head, rows, words=(0, 7))


def time_facts(report: dict[str, Any]) -> Facts:
    """Where the wall time went."""
    seconds = (report.get("training") or {}).get("seconds") or {}
    return Facts(
        [(f"time: {k}", quantity(v, "s")) for k, v in seconds.items() if v is not None]
    )


def validation_table(run: Run) -> Table:
    """The median error by horizon."""
    scores = (run.report.get("scores") or {}).get("validation") or {}
    pairs = zip(scores.get("horizon") or [], scores.get("median") or [], strict=False)
    unit = str(scores.get("unit") or "").removeprefix("share ")
    rows = [[quantity(h, time_unit(run)), quantity(m, unit)] for h, m in pairs]
    caption = "Median error on the validation data up to each horizon"
    return Table(("horizon", "error"), rows, caption, words=())


def coverage_table(run: Run) -> Table:
    """Coverage by horizon, with the number of samples behind each share."""
    horizon, share = run.array("coverage/horizon"), run.array("coverage/share")
    count = run.array("coverage/count")
    rows = []
    if horizon is not None and share is not None:
        for k, (h, s) in enumerate(zip(horizon, share, strict=False)):
            n = "" if count is None else number(int(count[k]))
            rows.append([quantity(float(h), time_unit(run)), percent(s), n])
    caption = "Validation samples inside the 90 % band"
    return Table(("horizon", "inside", "samples"), rows, caption, words=())


def constants_table(report: dict[str, Any]) -> list[AbstractBlock]:
    """The constants found, with intervals; confounded ones are named."""
    found = report.get("constants") or []
    if not found:
        return []
    rows = [
        [
            str(c.get("name")),
            " on ".join(str(c[k]) for k in ("law", "on") if c.get(k)),
            quantity(c.get("value"), c.get("unit"), 4),
            interval(c.get("low"), c.get("high"), c.get("unit"), 4),
            "confounded" if c.get("confounded") else "",
            str(c.get("note") or ""),
        ]
        for c in found
    ]
    blocks: list[AbstractBlock] = [
        Heading("Constants"),
        Table(("constant", "law", "value", "interval", "", "note"), rows, words=None),
    ]
    mixed = [str(c.get("name")) for c in found if c.get("confounded")]
    if mixed:
        verb = "is" if len(mixed) == 1 else "are"
        blocks.append(
            Text(
                f"{listing(mixed)} {verb} confounded: these data hardly tell the "
                "effects apart, so single values mean little even where the forecast "
                "is good."
            )
        )
    return blocks


def findings_table(report: dict[str, Any]) -> list[AbstractBlock]:
    """Every finding: what was measured, value, interval, comparison, judgement."""
    rows = []
    for finding in report.get("findings") or []:
        low, high = finding.get("spread") or (None, None)
        unit = finding.get("unit")
        rows.append(
            [
                str(finding.get("statement") or finding.get("id") or ""),
                quantity(finding.get("value"), unit),
                interval(low, high, unit),
                str(finding.get("comparison") or ""),
                str(finding.get("verdict") or ""),
                " ".join(map(str, finding.get("reasons") or [])),
            ]
        )
    if not rows:
        return []
    head = ("measured", "value", "interval", "held against", "", "reasons")
    return [Heading("Findings"), Table(head, rows, words=None)]


def versions_table(report: dict[str, Any]) -> Table:
    """Versions of everything that computed."""
    versions = (report.get("reproduce") or {}).get("versions") or {}
    rows = [[str(k), str(v)] for k, v in versions.items()]
    return Table(("package", "version"), rows, words=None)
