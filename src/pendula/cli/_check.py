"""`pendula check`: can the run be trusted? The exit status says it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._console import Console
from ._forecast_bars import hold_bars, is_chain
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data


def check(
    run: Annotated[Path, Parameter(help="The run folder.")],
    *data: Annotated[
        str, Parameter(help="Other data: the model must hold there, too.")
    ],
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Exit status 0 if the run can be trusted, else 1.

    The convergence test sweeps the solver's step and scheme over the fitted law from
    where held-out forecasts began; it goes onto the run's page, and does not change the
    exit status: the verdict already asks whether half the step changes a forecast.

    With data the forecast from their beginnings must also stay finite, and its 90 %
    band must hold 75 to 99 % of what was measured up to the horizon of the verdict; a
    chain of bars must stay closer to it than 20 % of its spread.
    """
    console = Console(talk)
    measured = load_data(data, reading, console) if data else None
    console.say(f"reading {run}")
    from ..report import law_lines, read_run
    from ._words import constant_lines, score_lines, verdict_lines

    report = read_run(run).report
    verdict = report.get("verdict") or {}
    trust = bool(verdict.get("trust"))
    lines = [*score_lines(report), *constant_lines(report), *law_lines(report)]
    lines += verdict_lines(report)
    found = _continuity(run, console)
    for finding in report.get("findings") or []:
        if finding.get("verdict") == "bad":
            console.detail(f"  {finding.get('statement')}: {finding.get('value')}")
    result: dict[str, Any] = {"trust": trust, "verdict": verdict}
    result["behaviour"] = report.get("behaviour") or {}
    if found is not None:
        result["continuity"] = found.to_dict()
        lines.append(found.text)
    if measured is not None:
        from .. import load
        from ._on_data import hold_on

        fitted, horizon = load(run), verdict.get("trust_to")
        if is_chain(fitted):
            rows = hold_bars(fitted, data, measured, reading, horizon)
        else:
            rows = hold_on(fitted, measured, horizon)
        trust = trust and all(row["holds"] for row in rows)
        result |= {"trust": trust, "data": rows}
        lines += [row["text"] for row in rows]
    lines.append("trust" if trust else "do not trust")
    console.result("\n".join(lines), result)
    return 0 if trust else 1


def _continuity(run: Path, console: Console) -> Any:
    """The convergence test of the run's model, written to its page; None where the run
    holds no starts (models with inputs, chains of bars, older runs)."""
    from ..report import read_run

    read = read_run(run)
    starts = read.array("continuity/starts")
    if starts is None or not (run / "model.safetensors").is_file():
        return None
    from .. import load
    from ..dynamics import continuity
    from ..report import write_numbers

    console.say("sweeping the solver's step and scheme")
    found = continuity(load(run), starts)
    arrays = {f"continuity/{k}": v for k, v in found.arrays().items()}
    try:
        write_numbers(
            run,
            {**read.report, "continuity": found.to_dict()},
            {**read.arrays, **arrays},
        )
    except OSError as error:  # a run in a place that cannot be written is still judged
        console.detail(f"  the page was left as it is: {error}")
    return found
