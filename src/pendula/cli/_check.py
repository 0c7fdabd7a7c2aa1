"""`pendula check`: can the run be trusted? The exit status says it."""

from __future__ import annotations

from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError, DataError
from ._console import Console
from ._forecast_bars import hold_bars, is_chain
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data


if TYPE_CHECKING:
    from ..report import Run


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
    where held-out forecasts began (a chain of bars from its first record's start, a
    family as three of its systems); it goes onto the run's page, and does not change
    the exit status: the verdict already asks whether half the step changes a forecast.
    A chain with moved ends and a family with inputs keep no starts, and are not swept.

    With data the forecast from their beginnings must also stay finite, and its 90 %
    band must hold 75 % or more of what was measured in all of them up to the horizon
    of the verdict; a chain of bars must stay closer to it than 20 % of its spread.
    """
    console = Console(talk)
    measured = load_data(data, reading, console) if data else None
    console.say(f"reading {run}")
    from ..report import law_lines, read_run
    from ._words import constant_lines, score_lines, verdict_lines

    read = read_run(run)
    report = read.report
    verdict = report.get("verdict") or {}
    trust = bool(verdict.get("trust"))
    lines = [*score_lines(report), *constant_lines(report), *law_lines(report)]
    lines += verdict_lines(report)
    sweeps = read.array("continuity/starts") is not None
    family = report.get("kind") == "family"
    if family and measured is not None:
        raise ConfigError(
            f"{run} holds a family, which is of no system alone. Adapt it to the data "
            f"first: pendula adapt {run} DATA --out NEW."
        )
    fitted: Any = None
    if sweeps or measured is not None:
        fitted = _loaded(run, family)
    found, words = _continuity(run, read, fitted, console)
    for finding in report.get("findings") or []:
        if finding.get("verdict") == "bad":
            console.detail(f"  {finding.get('statement')}: {finding.get('value')}")
    result: dict[str, Any] = {"trust": trust, "verdict": verdict}
    result |= {key: report.get(key) for key in ("scores", "constants")}
    result["behaviour"] = report.get("behaviour") or {}
    if found is not None:
        result["continuity"] = found.to_dict()
    lines.append(words)
    if family:
        lines.append(
            "A family has no verdict of its own: pendula adapt says of a new system "
            "whether it is inside."
        )
    if measured is not None:
        from ._on_data import fitted_to, hold_on, no_test

        horizon = verdict.get("trust_to")
        with console.waiting("forecasting the data"):
            if is_chain(fitted):
                rows = hold_bars(fitted, data, measured, reading, horizon)
            else:
                rows = hold_on(fitted, measured, horizon)
        trust = trust and all(row["holds"] for row in rows)
        seen = fitted_to(run, measured, min(row.get("start", -inf) for row in rows))
        result |= {"trust": trust, "data": rows, "fitted_to": seen}
        lines += [*(row["text"] for row in rows), *no_test(seen)]
    lines.append("trust" if trust else "do not trust")
    console.result("\n".join(lines), result)
    return 0 if trust else 1


def _loaded(run: Path, family: bool) -> Any:
    """The fitted model, or the family, of a run."""
    if family:
        from ..dynamics import load_family

        return load_family(run / "family.safetensors")
    from .. import load

    return load(run)


def _of_family(read: Run, family: Any, systems: Any, console: Console) -> Any:
    """The test of some systems of a family, of which the one stands whose motion
    depends most on the solver."""
    from ..dynamics import STARTS, continuity, swept_horizon

    starts = read.array(STARTS)
    assert starts is not None
    dt = family.about["every"] * family.about["sampling"]
    long = (read.report.get("family") or {}).get("horizon")
    horizon = swept_horizon(dt, starts, float(long or 0.0))
    found = []
    for k, start in zip(systems.tolist(), starts, strict=True):
        one = continuity(family, start[None], eta=family.etas[k], horizon=horizon)
        console.detail(f"  {family.labels[k]}: {one.text}")
        found.append(one)
    return max(found, key=lambda one: one.gap if isfinite(one.gap) else inf)


def _continuity(run: Path, read: Run, fitted: Any, console: Console) -> tuple[Any, str]:
    """The convergence test of the run's model from its starts, written to its page,
    and what it says; None where there is none to make, and why."""
    from ..dynamics import DRIVE, KNOTS, STARTS, SYSTEMS, continuity
    from ..report import with_continuity, write_numbers

    starts = read.array(STARTS)
    if starts is None:
        return None, "Continuity: not tested, the run keeps no starts."
    given: dict[str, Any] = {"starts": starts}
    if (knots := read.array(KNOTS)) is not None:
        given["drive"] = (knots, read.array(DRIVE))
    try:
        with console.waiting("sweeping the solver's step and scheme"):
            if (systems := read.array(SYSTEMS)) is not None:
                found = _of_family(read, fitted, systems, console)
            else:
                found = continuity(fitted, **given)
    except (ConfigError, DataError) as error:  # a motion at rest, a start that is NaN
        return None, f"Continuity: not tested, {error}"
    try:
        write_numbers(run, *with_continuity(read.report, read.arrays, found))
    except OSError as error:  # a run in a place that cannot be written is still judged
        console.detail(f"  the page was left as it is: {error}")
    return found, found.text
