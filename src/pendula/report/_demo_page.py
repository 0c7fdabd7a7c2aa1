"""The page that sets several fits of the same data side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._blocks import (
    AbstractBlock,
    Columns,
    Facts,
    Heading,
    Headline,
    Link,
    Listing,
    Picture,
    Points,
    Section,
    Table,
    Text,
    Verdict,
)
from ._choice import Choice, choose
from ._continuity_figure import continuity_blocks
from ._demo_figures import comparison_figure, error_figure, fits_of, records_figure
from ._draw import to_svg
from ._numbers import number, percent, quantity
from ._run_folder import Run, read_run
from ._tables import constants_table, data_blocks, phases_table, versions_table


if TYPE_CHECKING:
    from matplotlib.figure import Figure


def demo_sections(run: Run) -> list[Section]:
    """The six parts of a comparison's page, in order.

    The report has, besides the keys of a fit, `asked` (a sentence), `fits` (see
    `choose`; each with the `folder` of its own run), `test` (what was forecast) and
    `baselines`.
    """
    inner = {f["name"]: _inner(run, f) for f in fits_of(run)}
    return [
        _result(run),
        Section("Data: what was made and measured", _data(run), "Data"),
        Section("Training: the two fits", _training(run, inner), "Training"),
        Section("Rollouts: errors over time", _rollouts(run), "Rollouts"),
        Section("Trust: what each fit says of itself", _trust(run, inner), "Trust"),
        Section("Reproduce", _reproduce(run), "Reproduce"),
    ]


def choice_of(run: Run) -> Choice:
    """Which fit to trust, from the numbers of the report."""
    test = run.report.get("test") or {}
    return choose(fits_of(run), str(test.get("unit") or ""), _time_unit(run))


def _time_unit(run: Run) -> str:
    return str((run.report.get("data") or {}).get("time_unit") or "s")


def _inner(run: Run, fit: dict[str, Any]) -> Run | None:
    """The run of one fit, where it lies beside the page."""
    folder = run.folder / str(fit.get("folder") or fit["name"])
    return read_run(folder) if (folder / "report.json").exists() else None


def _picture(figure: Figure | None, name: str, caption: str) -> list[AbstractBlock]:
    return [] if figure is None else [Picture(to_svg(figure, name), caption, name)]


def _result(run: Run) -> Section:
    choice = choice_of(run)
    fits, test = fits_of(run), run.report.get("test") or {}
    unit, clock = str(test.get("unit") or ""), _time_unit(run)
    left: list[AbstractBlock] = []
    best = next((f for f in fits if f["name"] == choice.name), None)
    if best is not None and best.get("rmse") is not None:
        left.append(
            Headline(
                quantity(best["rmse"], unit),
                f"{percent(best['coverage'])} of the truth inside the 90 % band",
                f"root mean square error of the forecast {best['label']}, from "
                f"{quantity(best['start'], clock)} to {quantity(best['until'], clock)}",
            )
        )
    rows = [
        [
            str(f["label"]),
            quantity(f.get("rmse"), unit),
            percent(f.get("coverage")),
            quantity(f.get("narrow_to"), clock),
        ]
        for f in fits
    ]
    rows += [
        [str(b["name"]), quantity(b.get("rmse"), unit), "", ""]
        for b in run.report.get("baselines") or []
    ]
    mark = None if best is None else fits.index(best)
    head = ("forecast", "error", "in band", "narrow to")
    left.append(Table(head, rows, "On a swing that no fit has seen", mark=mark))
    asked = str(run.report.get("asked") or "")
    if asked:
        left.append(Text(asked, quiet=True))
    caption = "Truth and forecast of each fit."
    if test.get("trained"):
        caption += " Grey: the range that the training records cover."
    right = _picture(comparison_figure(run), "comparison", caption)
    verdict = Verdict(choice.name is not None, choice.text, choice.reasons)
    return Section(
        "What was asked, what came out", [verdict, Columns(left, right)], "Result"
    )


def _data(run: Run) -> list[AbstractBlock]:
    caption = "The training records as they were measured."
    return [*_picture(records_figure(run), "records", caption), *data_blocks(run)]


def _training(run: Run, inner: dict[str, Run | None]) -> list[AbstractBlock]:
    blocks: list[AbstractBlock] = []
    for fit in fits_of(run):
        blocks.append(Heading(str(fit["label"])))
        blocks.append(
            Facts(
                [
                    ("model", fit.get("model")),
                    ("parameters", number(fit.get("parameters"))),
                    ("time", quantity(fit.get("seconds"), "s")),
                ]
            )
        )
        found = inner[fit["name"]]
        if found is not None:
            path = Path(str(fit.get("folder") or fit["name"])) / "report.html"
            blocks += [
                phases_table(found.report),
                Link(path.as_posix(), f"The whole page of the fit {fit['label']}"),
            ]
    return blocks


def _rollouts(run: Run) -> list[AbstractBlock]:
    caption = "Largest distance from the truth so far, of each fit and baseline."
    return _picture(error_figure(run), "errors", caption)


def _trust(run: Run, inner: dict[str, Run | None]) -> list[AbstractBlock]:
    blocks: list[AbstractBlock] = [Points(choice_of(run).reasons)]
    for fit in fits_of(run):
        found = inner[fit["name"]]
        if found is None:
            continue
        verdict = found.report.get("verdict") or {}
        blocks += [
            Heading(str(fit["label"])),
            Text(f"On its validation data: {verdict.get('text')}"),
            Points([str(reason) for reason in verdict.get("reasons") or []]),
            *constants_table(found.report),
            *continuity_blocks(found, f"continuity-{fit['name']}"),
        ]
    return blocks


def _reproduce(run: Run) -> list[AbstractBlock]:
    told = run.report.get("reproduce") or {}
    return [
        Listing(str(told.get("command") or "")),
        Facts(
            [
                ("seed", None if told.get("seed") is None else str(told["seed"])),
                ("platform", told.get("platform")),
                ("device", told.get("device")),
                ("CPUs", None if told.get("cpus") is None else str(told["cpus"])),
                ("time", quantity(told.get("seconds"), "s")),
            ]
        ),
        versions_table(run.report),
        Text("The numbers of every figure are in arrays.npz.", quiet=True),
    ]
