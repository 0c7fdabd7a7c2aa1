"""The page of a chain of bars: learned from a record, or on another machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..diagnostics import Limits
from ._bars_figures import (
    distance_figure,
    energy_figure,
    phases_figure,
    snapshot_figure,
    told,
)
from ._bars_film import film, still_figure
from ._blocks import (
    AbstractBlock,
    Columns,
    Facts,
    Picture,
    Points,
    Section,
    Table,
    Text,
)
from ._continuity_figure import continuity_blocks, continuity_figure
from ._data_words import summary_facts
from ._draw import to_svg
from ._fit_page import _reproduce, headline_block, verdict_block
from ._numbers import number, percent, quantity
from ._run_folder import Run
from ._tables import (
    baseline_table,
    decisions_table,
    findings_table,
    phases_table,
    time_facts,
)


if TYPE_CHECKING:
    from matplotlib.figure import Figure

BARS_FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "distance": distance_figure,
    "motion": still_figure,
    "snapshots": snapshot_figure,
    "energy": energy_figure,
    "training": phases_figure,
    "continuity": continuity_figure,
}


def bars_sections(run: Run) -> list[Section]:
    """The parts of the page of a chain of bars; one that was only forecast was not
    trained here."""
    trained = (run.report.get("training") or {}).get("phases")
    return [
        _result(run),
        _motion(run),
        _energy(run),
        _data(run),
        *([_training(run)] if trained else []),
        _trust(run),
        _reproduce(run),
    ]


def _picture(run: Run, name: str, caption: str) -> list[AbstractBlock]:
    figure = BARS_FIGURES[name](run)
    return [] if figure is None else [Picture(to_svg(figure, name), caption, name)]


def _result(run: Run) -> Section:
    report = run.report
    caption = (
        "Mean distance of the tops and bottoms of all bars from the record's, in one "
        "free run from its first state."
    )
    if run.array("distance/members") is not None:
        caption += " Thin: the members of the ensemble."
    left = [*headline_block(report), baseline_table(report)]
    right = _picture(run, "distance", caption)
    blocks: list[AbstractBlock] = [verdict_block(report)]
    blocks += [Columns(left, right)] if right else left
    return Section("What was asked, what came out", [*blocks, _chain(run)], "Result")


def _chain(run: Run) -> Facts:
    """What was learned, and the machine it moves as."""
    model, own = run.report.get("model") or {}, told(run)
    law = own.get("law")
    named = zip(("ka", "ks", "kr"), ("N/m", "N/m", "N m"), law or (), strict=False)
    wide = own.get("interval_mm")
    interval = None if wide is None else f"± {quantity(wide, 'mm')}, root mean square"
    outside = run.array("outside/share")
    if interval and outside is not None and outside.mean() > Limits().outside:
        interval += (
            f"; too narrow outside the training range, where {percent(outside.mean())} "
            "of the pairs are"
        )
    constants = ", ".join(f"{n} {quantity(v, unit, 4)}" for n, unit, v in named)
    return Facts(
        [
            ("model", model.get("equation")),
            ("terms", "; ".join(map(str, model.get("terms") or [])) or None),
            ("parameters", number(model.get("parameters"))),
            ("members", number(model.get("members"))),
            ("bars", number(own.get("bars"))),
            ("held", own.get("held")),
            ("masses and loads", own.get("words")),
            ("classical law", constants or None),
            ("90 % intervals of tops and bottoms", interval),
        ]
    )


def _motion(run: Run) -> Section:
    moving = film(run)
    name = str(told(run).get("truth") or "record")
    caption = "From the side (x, y): the half circles of wire between bars."
    if run.array("bars/record") is not None:
        caption += f" Wide: the {name}; thin and over it: the network."
    blocks: list[AbstractBlock] = [] if moving is None else [moving]
    blocks += _picture(run, "snapshots", caption)
    return Section("Motion: the wire in space, and how it stood", blocks, "Motion")


def _energy(run: Run) -> Section:
    caption = (
        "Left: the parts of the network's energy. Right: their sum, which without drag "
        "and moved ends should stay where it is"
    )
    if run.array("energy/record") is not None:
        caption += (
            "; dotted: the record's motion, its elastic energy as the network counts it"
        )
    rows = [(str(r["name"]), str(r["text"])) for r in told(run).get("energy") or []]
    blocks = [*_picture(run, "energy", f"{caption}."), Facts(rows)]
    return Section("Energy: parts, total, drift", blocks, "Energy")


def _data(run: Run) -> Section:
    data = run.report.get("data") or {}
    facts = Facts(summary_facts(data))
    return Section(
        "Data: what was read, how it was taken",
        [facts, decisions_table(run.report)],
        "Data",
    )


def _training(run: Run) -> Section:
    caption = (
        "Loss over the updates of each phase, in units of its own; validation: mean "
        "squared distance of centres of the samples that choose among the weights."
    )
    blocks = [
        *_picture(run, "training", caption),
        phases_table(run.report),
        time_facts(run.report),
    ]
    return Section("Training: curves, events, time", blocks, "Training")


def _trust(run: Run) -> Section:
    rows = told(run).get("errors") or []
    heads = {
        "mean": "mean distance [mm]",
        "largest": "largest [mm]",
        "helix": "helix [m²]",
        "covered": "within 90 % intervals",
    }
    shown = [key for key in heads if any(key in r for r in rows)]
    table = Table(
        ("record", *(heads[key] for key in shown)),
        [[str(r.get("record")), *(number(r.get(key)) for key in shown)] for r in rows],
        "Free runs from the first state of each record; helix: mean squared distance",
    )
    reasons = (run.report.get("verdict") or {}).get("reasons") or []
    scope = (
        "All of this is about starts, ends and loads like those of these records. "
        "`pendula score` holds the network against others."
    )
    blocks = [
        Text(scope),
        Points([str(r) for r in reasons]),
        table,
        *findings_table(run.report),
        *continuity_blocks(run),
    ]
    return Section("Trust: step, range, energy", blocks, "Trust")
