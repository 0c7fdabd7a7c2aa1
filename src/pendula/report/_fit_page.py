"""The page of one fit, section by section, from the run folder's numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._blocks import (
    AbstractBlock,
    Columns,
    Facts,
    Heading,
    Headline,
    Listing,
    Picture,
    Points,
    Section,
    Text,
    Verdict,
)
from ._channels import time_unit
from ._continuity_figure import continuity_blocks, continuity_figure
from ._draw import to_svg
from ._forecast_figure import data_figure, enlarged_figure, forecast_figure
from ._law_figures import portrait_figure, statistics_figure
from ._law_words import law_points, left_out, rest_table, statistics_table
from ._numbers import interval, quantity, telling_apart
from ._run_folder import Run
from ._tables import (
    baseline_table,
    constants_table,
    coverage_table,
    data_blocks,
    decisions_table,
    findings_table,
    model_facts,
    phases_table,
    time_facts,
    validation_table,
    versions_table,
)
from ._toml import to_toml
from ._training_figure import training_figure
from ._trust_figures import growth_figure, trust_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# name -> what draws it
FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "forecast": forecast_figure,
    "data": data_figure,
    "training": training_figure,
    "enlarged": enlarged_figure,
    "growth": growth_figure,
    "portrait": portrait_figure,
    "statistics": statistics_figure,
    "trust": trust_figure,
    "continuity": continuity_figure,
}


def fit_sections(run: Run) -> list[Section]:
    """The parts of a fit's page, in order; runs made before fits were asked what their
    law does have none on that."""
    return [
        _result(run),
        _data(run),
        _training(run),
        _rollouts(run),
        *([_law(run)] if run.report.get("behaviour") else []),
        _trust(run),
        _reproduce(run),
    ]


def verdict_block(report: dict[str, Any]) -> Verdict:
    """The verdict's sentence and reasons."""
    verdict = report.get("verdict")
    if not verdict:
        return Verdict(None, "No verdict: this run was not validated.")
    return Verdict(bool(verdict.get("trust")), *verdict_words(verdict))


def verdict_words(verdict: dict[str, Any]) -> tuple[str, list[str]]:
    """The verdict's text without the reasons that it repeats, and the reasons."""
    text = str(verdict.get("text") or "")
    reasons = [str(reason) for reason in verdict.get("reasons") or []]
    for reason in reasons:
        text = text.replace(reason, "")
    return " ".join(text.split()), reasons


def headline_block(report: dict[str, Any]) -> list[AbstractBlock]:
    """The headline error with its interval; nothing where none was measured."""
    head = (report.get("scores") or {}).get("headline")
    if not head:
        return []
    unit = head.get("unit")
    ends = interval(head.get("low"), head.get("high"), unit)
    return [
        Headline(
            quantity(head.get("value"), unit), f"interval {ends}", str(head.get("text"))
        )
    ]


def picture(run: Run, name: str, caption: str) -> list[AbstractBlock]:
    """One figure with its caption; nothing where its numbers are absent."""
    figure = FIGURES[name](run)
    if figure is None:
        return []
    return [Picture(to_svg(figure, name), caption, name)]


def forecast_caption(run: Run) -> str:
    """What the forecast's figure shows, from the numbers that it shows."""
    ts = run.array("forecast/ts")
    if ts is None:
        return ""
    unit = time_unit(run)
    split = run.number("data/split_time")
    begin, end = float(ts[0]), float(ts[-1])
    parts = [
        f"Free run over {quantity(end - begin, unit)}, from "
        f"{quantity(begin, unit, telling_apart(begin, end))}: the model sees no "
        "measurement after that."
    ]
    truth = run.array("forecast/truth")
    if truth is not None and split is not None and ts[0] >= split - 1e-9:
        parts.append(
            f"No sample after {quantity(split, unit)} was used to train the model."
        )
    trusted = run.number("forecast/trusted_to")
    if trusted is not None and trusted < ts[-1]:
        parts.append(
            f"Hatched: beyond {quantity(trusted, unit)}, where the verdict's horizon "
            "ends."
        )
    mean = run.array("forecast/mean")
    if mean is not None and mean.ndim > 1 and mean.shape[1] > 4:
        parts.append(f"The first 4 of {mean.shape[1]} channels; arrays.npz holds all.")
    return " ".join(parts)


def _result(run: Run) -> Section:
    report = run.report
    left = [*headline_block(report), baseline_table(report)]
    right = picture(run, "forecast", forecast_caption(run))
    blocks = [verdict_block(report), Columns(left, right), model_facts(report)]
    return Section("What was asked, what came out", blocks, "Result")


def _data(run: Run) -> Section:
    caption = "The first trajectory as it was read"
    mask = run.array("data/mask")
    if mask is not None and not mask.all():
        caption += (
            f"; {int((~mask.astype(bool)).sum())} of the samples drawn are missing"
        )
    blocks = [
        *data_blocks(run),
        *picture(run, "data", f"{caption}."),
        Heading("Decisions"),
        decisions_table(run.report),
    ]
    return Section("Data: what was read, masked, split, scaled", blocks, "Data")


def _training(run: Run) -> Section:
    caption = (
        "Loss relative to the spread of the data; thin lines are the members of the "
        "ensemble. Vertical lines part the phases."
    )
    blocks = [
        *picture(run, "training", caption),
        phases_table(run.report),
        time_facts(run.report),
    ]
    return Section("Training: curves, events, time", blocks, "Training")


def _rollouts(run: Run) -> Section:
    blocks = [
        *picture(
            run,
            "enlarged",
            "The start and the end of the forecast, enlarged; lines and band as in the "
            "first figure.",
        ),
        *picture(
            run,
            "growth",
            "Error of free runs from many starts in the validation data over the time "
            "since the start.",
        ),
    ]
    blocks.append(validation_table(run))
    return Section(
        "Rollouts: forecast against truth, growth of errors", blocks, "Rollouts"
    )


def _law(run: Run) -> Section:
    caption = (
        "The fitted law on the plane of its state, and a quarter beyond what training "
        "visited: arrows show where the motion goes (direction only)."
    )
    compared = (
        "Above: power spectra of a long free run and of the record. Below: the share "
        "of the time at each value; what lies outside the record's range is in the "
        "outermost bins."
    )
    points, shown = law_points(run.report), picture(run, "portrait", caption)
    blocks = [
        *([Columns(points, shown)] if shown else points),
        *rest_table(run),
        *picture(run, "statistics", compared),
        *statistics_table(run.report),
        *left_out(run.report),
    ]
    title = "What the fitted law does: rest states, cycles, chaos"
    return Section(title, blocks, "Law")


def _trust(run: Run) -> Section:
    shown = {
        "coverage/share": "share of validation samples inside the 90 % band (shaded: "
        "the 75 to 99 % that the verdict asks for; small: number of samples)",
        "halving/ratio": "change of the forecast when the step is halved, relative to "
        "its error",
        "energy/value": "the model's energy along the forecast",
        "slot/visited": "what the learned term saw in training (of two inputs the "
        "first two, dark: often)",
        "constants/correlation": "correlation of the constants",
    }
    there = [text for key, text in shown.items() if run.array(key) is not None]
    caption = f"From left to right: {'; '.join(there)}."
    reasons = (run.report.get("verdict") or {}).get("reasons") or []
    blocks = [
        *picture(run, "trust", caption),
        Heading("Why trust ends where it ends"),
        Text(" ".join(map(str, reasons)) or "No condition failed."),
        coverage_table(run),
        *constants_table(run.report),
        *findings_table(run.report),
        *continuity_blocks(run),
    ]
    return Section("Trust: band, step, range, constants", blocks, "Trust")


def _reproduce(run: Run) -> Section:
    told = run.report.get("reproduce") or {}
    config = told.get("config") or {}
    cited = [str(c) for c in told.get("citations") or []]
    blocks: list[AbstractBlock] = []
    if told.get("command"):
        blocks.append(Listing(str(told["command"])))
    blocks.append(
        Facts(
            [
                ("seed", None if told.get("seed") is None else str(told["seed"])),
                ("platform", told.get("platform")),
                ("device", told.get("device")),
                ("CPUs", None if told.get("cpus") is None else str(told["cpus"])),
                ("revision", told.get("revision")),
            ]
        )
    )
    if config:
        blocks.append(Listing(to_toml(config), "Configuration, resolved (config.toml)"))
    if cited:
        blocks += [Heading("What this run rests on"), Points(cited)]
    blocks.append(versions_table(run.report))
    blocks.append(
        Text(
            "The numbers of every figure are in arrays.npz, those of the text in "
            "report.json, beside this page.",
            quiet=True,
        )
    )
    return Section("Reproduce", blocks, "Reproduce")
