"""The pages of a family and of a system adapted to it, from their run folders."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ._blocks import (
    AbstractBlock,
    Facts,
    Heading,
    Headline,
    Picture,
    Points,
    Section,
    Table,
    Text,
    Verdict,
)
from ._continuity_figure import continuity_blocks, continuity_figure
from ._draw import to_svg
from ._family_figures import (
    adapted_forecast_figure,
    constellation_figure,
    history_figure,
    labels_of,
    morph_figure,
    potential_figure,
    varying,
)
from ._fit_page import _reproduce
from ._numbers import MISSING, listing, number, percent, quantity
from ._run_folder import Run
from ._tables import data_blocks, decisions_table, time_facts
from ._training_figure import training_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 60  # rows of one table
POOR = 0.3  # error of a run, in spreads, from which on it is mentioned
FAMILY_FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "constellation": constellation_figure,
    "morph": morph_figure,
    "potential": potential_figure,
    "training": training_figure,
    "continuity": continuity_figure,
}
ADAPTED_FIGURES: dict[str, Callable[[Run], Figure | None]] = {
    "forecast": adapted_forecast_figure,
    "history": history_figure,
    "constellation": constellation_figure,
}


def family_sections(run: Run) -> list[Section]:
    """The parts of a family's page."""
    return [
        _family_result(run),
        _law(run),
        _data(run),
        _training(run),
        _reproduce(run),
    ]


def adapted_sections(run: Run) -> list[Section]:
    """The parts of the page of an adaptation."""
    return [_adapted_result(run), _adaptation(run), _data(run), _reproduce(run)]


def _picture(run: Run, name: str, draw: Any, caption: str) -> list[AbstractBlock]:
    figure = draw(run)
    return [] if figure is None else [Picture(to_svg(figure, name), caption, name)]


def _family_result(run: Run) -> Section:
    told = run.report.get("family") or {}
    errors = [e for e in told.get("errors") or [] if e is not None]
    blocks: list[AbstractBlock] = []
    if errors:
        middle, worst = sorted(errors)[len(errors) // 2], max(errors)
        failed = len(told.get("errors") or []) - len(errors)
        text = (
            "of the spread: error of free runs over the whole training records, the "
            "median system. These records were trained on; adapt to records that "
            "were not to see what a new system costs."
        )
        if failed:
            text += f" {failed} systems have runs that failed."
        blocks.append(Headline(percent(middle), f"worst system {percent(worst)}", text))
    blocks += _picture(run, "constellation", constellation_figure, _eta_words(run))
    constants = told.get("constants") or {}
    blocks += [_system_table(run), *_constants_of(labels_of(run), constants)]
    blocks.append(_model_facts(run))
    return Section("What the systems share, what tells them apart", blocks, "Result")


def _eta_words(run: Run) -> str:
    etas, params = run.array("family/etas"), run.array("family/params")
    text = "The vector eta of each system; bars: standard deviation."
    if params is not None and varying(params):
        return f"{text} Training never saw the parameters on the horizontal axes."
    if etas is not None and etas.shape[1] > 1:
        text = "The vector eta of each system, its entries in pairs."
    if run.array("adapted/etas") is not None:
        text += " Star: the new system."
    if (run.report.get("family") or {}).get("constants"):
        return f"{text} Its first entries stand for the constants below."
    return f"{text} Scale and sign of eta have no meaning: only differences do."


def _system_table(run: Run) -> Table:
    etas, sd = run.array("family/etas"), run.array("family/sd")
    params = run.array("family/params")
    told = run.report.get("family") or {}
    errors = told.get("errors") or []
    if etas is None:
        return Table((), ())
    names = [str(n) for n in told.get("param_names") or []]
    width = 0 if params is None else params.shape[1]
    names += [f"parameter {j}" for j in range(len(names), width)]
    rows = []
    for i, name in enumerate(labels_of(run)[:MOST]):
        cells = [name, *(number(float(e), 4) for e in etas[i])]
        cells.append(
            MISSING if sd is None else ", ".join(number(float(s), 2) for s in sd[i])
        )
        if params is not None:
            cells += [number(float(p)) for p in params[i]]
        error = errors[i] if i < len(errors) else None
        cells.append("failed" if error is None else percent(error))
        rows.append(cells)
    single = etas.shape[1] == 1
    head = (
        "system",
        *("eta" if single else f"eta {k}" for k in range(etas.shape[1])),
        "standard deviation",
        *names[:width],
        "error / spread",
    )
    more = len(etas) - len(rows)
    caption = f"{more} more systems are in report.json" if more > 0 else ""
    return Table(head, rows, caption)


def _constants_of(
    labels: Sequence[str], constants: dict[str, list[Any]]
) -> list[AbstractBlock]:
    """The constants of known laws that vary, where some do."""
    if not constants:
        return []

    def told(pair: Any) -> str:
        value, sd = pair
        return f"{number(value, 4)} ± {'∞' if sd is None else number(sd, 2)}"

    rows = [
        [label, *(told(each[i]) for each in constants.values())]
        for i, label in enumerate(labels[:MOST])
    ]
    caption = (
        "The constants that vary, in the units of the data: they are what the first "
        "entries of eta stand for."
    )
    return [Table(("system", *constants), rows, caption)]


def _model_facts(run: Run) -> Facts:
    model = run.report.get("model") or {}
    state = [str(name) for name in model.get("state") or []]
    return Facts(
        [
            ("state", listing(state) or None),
            ("learned", model.get("learn")),
            ("shared weights", number(model.get("parameters"))),
            ("entries of eta", number(model.get("size"))),
            ("head", model.get("head")),
            ("trained by", model.get("mode")),
        ]
    )


def _law(run: Run) -> Section:
    told = run.report.get("family") or {}
    law = told.get("law") or {}
    where = f", {law['where']}" if law.get("where") else ""
    etas = run.array("family/etas")
    several = etas is not None and etas.shape[1] > 1
    order = "along the direction in which eta varies most" if several else "by eta"
    caption = (
        f"The learned {law.get('y')} over {law.get('x')}{where}: one line a system, in "
        f"order {order}, over the range that training visited."
    )
    deep = (
        "The learned potential energy of the same systems, zero in the middle of the "
        "range; a well is where a system can rest."
    )
    blocks = [
        *_picture(run, "morph", morph_figure, caption),
        *_picture(run, "potential", potential_figure, deep),
        Heading("How many numbers tell the systems apart"),
        Points([str(line) for line in told.get("dimension") or []]),
    ]
    return Section("The law, from system to system", blocks, "Law")


def _data(run: Run) -> Section:
    blocks = [*data_blocks(run), Heading("Decisions"), decisions_table(run.report)]
    return Section("Data: what was read", blocks, "Data")


def _training(run: Run) -> Section:
    training = run.report.get("training") or {}
    rows = [
        [
            str(phase.get("name")),
            number(phase.get("steps")),
            quantity(phase.get("seconds"), "s"),
            str(phase.get("reason") or ""),
        ]
        for phase in training.get("phases") or []
    ]
    caption = "The objective of each stage: clips grow from one stage to the next."
    blocks = [
        *_picture(run, "training", training_figure, caption),
        Table(("stage", "steps", "time", "ended because"), rows, words=(0, 3)),
        time_facts(run.report),
        *continuity_blocks(run),
    ]
    return Section("Training: stages, time", blocks, "Training")


def adapted_verdict(systems: list[dict[str, Any]]) -> tuple[bool | None, str, list]:
    """Whether the new systems are known and inside the family, in a sentence, with the
    reasons."""
    open_ = [s for s in systems if not s.get("identified")]
    failed = [s for s in systems if s.get("forecast_error") is None]
    far = [s for s in systems if s.get("extrapolating")]
    late = [s for s in systems if s.get("identified") and not s.get("converged")]
    off = [s for s in systems if _missed(s) > POOR]
    reasons = [
        f"{s.get('system')}: the record says nothing of some direction of eta "
        f"(condition {number(s.get('condition'))}); measure a larger motion."
        for s in open_
    ]
    reasons += [f"{s.get('system')}: the rollout failed." for s in failed]
    reasons += [
        f"{s.get('system')}: {why}."
        for s in far
        for why in s.get("extrapolation") or []
    ]
    reasons += [
        f"{s.get('system')}: not converged after {number(s.get('iterations'))} "
        "iterations."
        for s in late
    ]
    reasons += [
        f"{s.get('system')}: its run misses the record by "
        f"{percent(s.get('forecast_error'))} of the spread"
        + (f", its noise is {percent(s['noise'])}." if s.get("noise") else ".")
        for s in off
    ]
    if open_ or failed:
        return False, "Not determined: do not use this eta.", reasons
    if any(_missed(s) >= 1.0 for s in off):
        text = "The adapted model does not follow its own record: do not use it."
        return False, text, reasons
    if far:
        return None, "Outside the family that was learned: the law is guessed.", reasons
    if late:
        return None, "Inside the family; the adaptation has not converged.", reasons
    if off:
        return (
            None,
            "Inside the family, but the model follows the record badly.",
            reasons,
        )
    return True, "Identified, and inside the family that was learned.", reasons


def _missed(system: dict[str, Any]) -> float:
    """The error of a run that is not the noise of the record, in spreads."""
    error, noise = system.get("forecast_error") or 0.0, system.get("noise") or 0.0
    return math.sqrt(max(error**2 - noise**2, 0.0))


def _adapted_result(run: Run) -> Section:
    told = run.report.get("adapted") or {}
    systems = told.get("systems") or []
    shown = "the first trajectory" + (
        f" of each of the first 3 of {len(systems)} systems" if len(systems) > 3 else ""
    )
    caption = (
        f"The adapted model from its start state, {shown}: the same record that eta "
        "was fitted to."
    )
    blocks: list[AbstractBlock] = [
        Verdict(*adapted_verdict(systems)),
        *_picture(run, "forecast", adapted_forecast_figure, caption),
        _adapted_table(systems),
        *_constants_of([str(s.get("system")) for s in systems], _by_name(systems)),
    ]
    return Section("What the new system is", blocks, "Result")


def _by_name(systems: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """The constants that vary, `name -> one pair a system`."""
    out: dict[str, list[Any]] = {}
    for system in systems:
        for name, pair in (system.get("constants") or {}).items():
            out.setdefault(name, []).append(pair)
    return out


def _adapted_table(systems: list[dict[str, Any]]) -> Table:
    rows = []
    for s in systems[:MOST]:
        deviations = s.get("standard_deviation") or []
        etas = [
            f"{number(e, 4)} ± {'∞' if d is None else number(d, 2)}"
            for e, d in zip(s.get("eta") or [], deviations, strict=False)
        ]
        rows.append(
            [
                str(s.get("system")),
                ", ".join(etas),
                number(bool(s.get("identified"))),
                number(bool(s.get("extrapolating"))),
                number(bool(s.get("converged"))),
                number(s.get("iterations")),
                number(s.get("condition")),
                percent(s.get("forecast_error"))
                if s.get("forecast_error") is not None
                else "failed",
            ]
        )
    head = (
        "system",
        "eta",
        "identified",
        "extrapolating",
        "converged",
        "iterations",
        "condition",
        "error / spread",
    )
    return Table(head, rows, words=(0, 1, 2, 3, 4))


def _adaptation(run: Run) -> Section:
    objective = (
        "The squared residuals of the record and the pull to the family's mean, "
        "iteration by iteration."
    )
    blocks: list[AbstractBlock] = [
        *_picture(run, "history", history_figure, objective),
        *_picture(run, "constellation", constellation_figure, _eta_words(run)),
        _model_facts(run),
    ]
    if len(run.group("history/")) > MOST:
        blocks.append(Text("The lines of all systems are in arrays.npz.", quiet=True))
    return Section("Adaptation: objective, place in the family", blocks, "Adaptation")
