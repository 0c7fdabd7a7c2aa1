"""`pendula fit` of a record of bars: the elastic energy of a chain."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._bars_options import build_bars_config
from ._bars_records import bar_parts, one_machine
from ._console import Console, command
from ._fit_options import ModelOptions, TrainOptions
from ._open import open_page
from ._options import Reading
from ._training import trained


if TYPE_CHECKING:
    from collections.abc import Callable

    from ..data import Trajectories
    from ..dynamics import Fitted


def fit_bars_run(
    given: tuple[str, ...],
    whole: Trajectories,
    folder: Path,
    resume: bool,
    open_: bool,
    reading: Reading,
    model: ModelOptions,
    train: TrainOptions,
    clear: Callable[[Path], None],
    console: Console,
) -> int:
    """Learn the energy of bars; write it, its numbers and its page. The folder was
    checked by who calls."""
    one_machine(bar_parts(given, whole, reading))
    until = train.train_until
    used = whole if until is None else whole.between(-float("inf"), until)
    config, machine, decisions = build_bars_config(used, model, train)
    from ..dynamics import fit_bars, to_dict
    from ..report import write_run

    fitted = trained(
        console,
        folder,
        resume,
        clear,
        lambda tell: fit_bars(
            used,
            machine.world(),
            config,
            first=machine.first,
            last=machine.last,
            out=folder,
            resume=resume,
            tell=tell,
        ),
    )
    plain = to_dict(config) | {"machine": to_dict(machine)}
    fitted = dataclasses.replace(fitted, about={**fitted.about, "config": plain})
    console.say("running it beside the record")
    fitted = _judged(fitted, whole, machine, given, decisions, until)
    console.say("writing the page")
    page = write_run(folder, fitted, command())
    report = fitted.report or {}
    for row in decisions:
        console.detail(f"  {row['what']}: {row['choice']} ({row['why']})")
    result = {"run": str(folder), "page": str(page), "report": report}
    console.result(_text(report, page), result)
    if open_:
        open_page(page)
    return 1 if _failed(report) else 0


def _judged(
    fitted: Fitted,
    whole: Trajectories,
    machine: Any,
    given: tuple[str, ...],
    decisions: list[dict[str, str]],
    until: float | None,
) -> Fitted:
    """The fitted chain with its report and arrays."""
    from ._bars_numbers import (
        bars_facts,
        bars_report,
        bars_title,
        follow_records,
        snapshots_of,
        truth_of,
    )

    runs = follow_records(fitted, whole, machine)
    begin, end = float(whole.ts[0, 0]), float(runs[0].ts[-1])
    taught = min(begin + float(fitted.about["config"]["span"]), end)
    if until is not None and until < end:
        judged = (until, "samples that the fit never saw")
    elif taught < end - 1e-9:
        judged = (taught, "samples that chose among the weights but taught none")
    else:
        judged = None
    report, arrays = bars_report(
        fitted,
        runs,
        whole.labels,
        title=bars_title(whole, given),
        data=bars_facts(whole),
        decisions=[*whole.origin.get("decisions", [])[:1], *decisions],
        command=command(),
        truth=truth_of(whole),
        at=snapshots_of(whole),
        taught_to=taught,
        judged=judged,
    )
    report["training"] = {
        "phases": fitted.about["stages"],
        "seconds": {"total": round(fitted.about["seconds"], 2)},
    }
    if report["verdict"] is not None:
        fitted.about["verdict"] = report["verdict"]
    return dataclasses.replace(fitted, report=report, arrays=arrays)


def _text(report: dict[str, Any], page: Path) -> str:
    """Error, rivals, machine, verdict, and where the page is."""
    from ._words import fit_text

    own = report["bars"]
    machine = f"{own['bars']} bars held {own['held']}; {own['words']}"
    return f"{machine}\n{fit_text(report, page)}"


def _failed(report: dict[str, Any]) -> bool:
    """Whether the training stopped on values that are not finite, or the motion is
    not."""
    from ..train import NOT_FINITE

    phases = report["training"]["phases"]
    value = (report["scores"].get("headline") or {}).get("value")
    return value == float("inf") or any(
        str(p.get("reason")).startswith(NOT_FINITE) for p in phases
    )
