"""The page of a solved equation, from the run folder's numbers alone."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from ..solutions import width_words
from ._blocks import (
    AbstractBlock,
    Columns,
    Facts,
    Headline,
    Listing,
    Picture,
    Points,
    Section,
    Table,
    Text,
    Verdict,
)
from ._draw import to_svg
from ._fit_page import _reproduce
from ._numbers import MISSING, listing, number, quantity
from ._run_folder import Run
from ._solve_figures import SOLVE_FIGURES, as_typed
from ._solve_found import found_parameters


_ERROR = (
    "of the solution: distance to a second, finer solve (L2 over space and time, "
    "relative)"
)
_WIDTH = (
    "What the best n modes fixed in space leave of the solution (L2 over space and "
    "time, relative): the slower it falls, the more neurons a window takes."
)


def solve_sections(run: Run) -> list[Section]:
    """The parts of the page, in order."""
    return [
        _result(run),
        _error(run),
        _residual(run),
        _method(run),
        _diagnosis(run),
        _cost(run),
        _again(run),
    ]


def _told(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page is about, and the solver's own report."""
    told = run.report.get("solve") or {}
    return told, told.get("report") or {}


def _picture(run: Run, name: str, caption: str) -> list[AbstractBlock]:
    """A figure; nothing where its numbers are absent."""
    figure = SOLVE_FIGURES[name](run)
    return [] if figure is None else [Picture(to_svg(figure, name), caption, name)]


def _result(run: Run) -> Section:
    told, report = _told(run)
    verdict = run.report.get("verdict") or {}
    said = Verdict(
        verdict.get("trust"),
        str(verdict.get("text") or "No verdict."),
        [str(reason) for reason in verdict.get("reasons") or []],
    )
    left = [*_headline(told, report), _problem(told, report)]
    blocks = [said, Columns(left, _picture(run, "solution", _solution_caption(run)))]
    source = (told.get("problem") or {}).get("source")
    if source:
        blocks.append(Listing(str(source[1]), f"The problem as given: {source[0]}"))
    return Section("What was asked, what came out", blocks, "Result")


def _headline(told: dict[str, Any], report: dict[str, Any]) -> list[AbstractBlock]:
    """The estimated error; the true one, where it is known."""
    estimated, error = told.get("estimated"), told.get("error")
    below = [f"asked for {as_typed(report['tol'])}"] if report.get("tol") else []
    if error:
        below.append(f"true error {number(error.get('overall'), 2)}")
    if estimated is not None:
        last = (report.get("estimate") or {}).get("until", told.get("reached"))
        until = "" if _is_whole(told, last) else f", up to t = {number(last)}"
        text = f"Estimated error {_ERROR}{until}."
        return [Headline(number(estimated, 2), ", ".join(below), text)]
    worst = max((report.get("check") or {"": 0.0}).values(), key=float)
    text = (
        "root mean square of the equation between its points in the worst window, in "
        "units of the solution. The error itself was not estimated."
    )
    return [Headline(number(worst, 2), ", ".join(below), text)]


def _is_whole(told: dict[str, Any], reached: float | None) -> bool:
    """Whether that is the end of the time."""
    time = (told.get("problem") or {}).get("time")
    if time is None:
        return True
    return (reached or 0.0) >= time[1] - 1e-9 * (time[1] - time[0])


def _problem(told: dict[str, Any], report: dict[str, Any]) -> Facts:
    """What was solved."""
    problem = told.get("problem") or {}
    space = [
        f"{name} from {number(low)} to {number(high)}"
        + (", periodic" if round_ else "")
        for name, low, high, round_ in problem.get("space") or []
    ]
    time, unknown = problem.get("time"), problem.get("unknown") or {}
    found = found_parameters({**report, "unknown": unknown})
    known = {k: v for k, v in (problem.get("params") or {}).items() if k not in unknown}
    pairs = lambda values: ", ".join(f"{k} = {_value(v)}" for k, v in values.items())
    return Facts(
        [
            ("equation", problem.get("text")),
            ("made of", listing(problem.get("terms") or [])),
            ("domain", "; ".join(space)),
            ("time", time and f"{as_typed(time[0])} to {as_typed(time[1])}"),
            ("conditions", listing(problem.get("conditions") or [])),
            ("coefficients", pairs(known)),
            ("found", ", ".join(f"{k} = {v}" for k, v in found.items())),
        ]
    )


def _value(value: Any) -> str:
    """A number, or how many."""
    if isinstance(value, list):
        return f"{len(value)} numbers"
    return as_typed(float(f"{value:.4g}"))


def _solution_caption(run: Run) -> str:
    told, _ = _told(run)
    problem = told.get("problem") or {}
    dim, timed = len(problem.get("space") or []), problem.get("time") is not None
    parts = {
        (0, True): "The solution over time",
        (1, True): "Left the solution over time and space, right three moments of it",
        (1, False): "The solution",
        (2, False): "The solution over the plane",
        (2, True): "The solution over the plane at three moments",
    }
    text = parts.get((dim, timed), "The solution, other coordinates in their middle")
    if run.array("solve/truth") is None:
        return f"{text}."
    if dim < 2:
        return f"{text}; dotted: the known solution."
    return f"{text}, beside it how far it is from the known one." if not timed else text


def _error(run: Run) -> Section:
    told, report = _told(run)
    error, estimate = told.get("error"), report.get("estimate")
    bound = report.get("certificate")
    rows = []
    if estimate:
        good = estimate.get("converged")
        note = "by a second solve, finer and with other neurons" + (
            "" if good in (True, None) else "; it did not reach the tolerance itself"
        )
        rows.append(["estimate", number(told.get("estimated"), 2), note])
    if bound:
        rows.append(
            ["certified bound", number(bound.get("overall"), 2), _bound_words(bound)]
        )
    if error:
        rows.append(
            ["true error", number(error.get("overall"), 2), _truth_words(error)]
        )
    caption = "Relative L2 errors over space and time"
    blocks: list[AbstractBlock] = [
        Table(("", "error", "how it is known"), rows, caption, words=(0, 2)),
        *_picture(run, "error", _error_caption(run)),
    ]
    if not rows:
        blocks.append(Text("Nothing was estimated: the run was made without checks."))
    elif not bound:
        blocks.append(
            Text("No certified bound is offered for this kind of equation.", quiet=True)
        )
    return Section("Error: estimated, certified, true", blocks, "Error")


def _bound_words(bound: dict[str, Any]) -> str:
    text = str(bound.get("text") or bound.get("kind") or "")
    return text if bound.get("informative") is not False else f"not informative. {text}"


def _truth_words(error: dict[str, Any]) -> str:
    """Against what, and how good that is."""
    own = error.get("truth")
    how = "a closed form" if not own else f"a solution that is good to {number(own, 2)}"
    text = f"against {how}; mean absolute error {number(error.get('absolute'), 2)}"
    if own and (error.get("overall") or 0.0) < own:
        text += "; below what that solution is good to, a difference says nothing more"
    return text


def _error_caption(run: Run) -> str:
    text, told = "Relative error at each time, L2 over space.", _told(run)[0]
    if not _is_whole(told, told.get("reached")):
        text += " Shaded: not reached."
    return text


def _residual(run: Run) -> Section:
    told, report = _told(run)
    found = told.get("residual") or {}
    rows = [
        [name, number(value, 2), number((report.get("check") or {}).get(name), 2)]
        for name, value in (report.get("train") or {}).items()
    ]
    head = ("rows", "at their points", "between the points")
    caption = (
        "Root mean square in the worst window, in units of the solution: what the "
        "solver made small, and what came of it elsewhere"
    )
    blocks: list[AbstractBlock] = [Table(head, rows, caption)]
    if found:
        at = ", ".join(f"{k} = {number(v)}" for k, v in (found.get("at") or {}).items())
        blocks.append(
            Text(
                f"On the grid of the figure: root mean square "
                f"{number(found['rms'], 2)}, largest {number(found['largest'], 2)} at "
                f"{at}."
            )
        )
    caption = (
        "The equation's residual over the root mean square of its largest term, at "
        "points that the solver did not use."
    )
    if len(_space(told)) + (run.array("solve/t") is not None) > 1:
        caption += " A cross marks the largest."
    blocks += _picture(run, "residual", caption)
    return Section("Residual: where the equation holds least", blocks, "Residual")


def _space(told: dict[str, Any]) -> list[Any]:
    return (told.get("problem") or {}).get("space") or []


def _method(run: Run) -> Section:
    _, report = _told(run)
    edges = report.get("windows") or []
    lengths = [b - a for a, b in itertools.pairwise(edges)]
    count = len(lengths)
    facts = Facts(
        [
            ("method", str(report.get("method") or MISSING)),
            ("windows of time", number(count) if count else None),
            ("shortest", number(min(lengths)) if count > 1 else None),
            ("longest", number(max(lengths)) if count > 1 else None),
            ("weights", number(report.get("weights"))),
            ("rows of a window", number(report.get("points"))),
            ("iterations", number(report.get("iterations"))),
            ("condition of the system", number(report.get("condition"), 2)),
        ]
    )
    shown = _picture(run, "windows", "Lengths of the windows of time.")
    blocks: list[AbstractBlock] = [Columns([facts], shown)] if shown else [facts]
    blocks.append(Points([str(note) for note in report.get("notes") or []]))
    return Section("How it was solved: windows, points, weights", blocks, "Method")


def _diagnosis(run: Run) -> Section:
    _, report = _told(run)
    rows = [
        [str(d.get("code")), str(d.get("evidence")), str(d.get("advice"))]
        for d in report.get("diagnosis") or []
    ]
    blocks: list[AbstractBlock] = [
        Table(("fault", "evidence", "what to do"), rows, words=None)
    ]
    if not rows:
        text = "No fault was found."
        if report.get("estimate") is None:
            text = "No faults were looked for: the run was made without checks."
        elif not report.get("converged"):
            text = "It did not converge, and none of the known faults explains that."
        blocks.append(Text(text))
    if report.get("width"):
        blocks.append(Text(width_words(report["width"])))
        blocks += _picture(run, "width", _WIDTH)
    return Section("Diagnosis: which failure it is", blocks, "Diagnosis")


def _cost(run: Run) -> Section:
    told, report = _told(run)
    compiled, ran = report.get("seconds_compile"), report.get("seconds_run")
    total = told.get("seconds")
    rows = [
        ["compiling", quantity(compiled, "s")],
        ["solving", quantity(ran, "s")],
    ]
    if total is not None and compiled is not None and ran is not None:
        checks = max(total - compiled - ran, 0.0)
        if report.get("estimate") is not None:
            rows.append(["estimate, certificate, diagnosis", quantity(checks, "s")])
        rows.append(["all of it", quantity(total, "s")])
    blocks: list[AbstractBlock] = [
        Table(("", "wall time"), rows),
        *_classical(told, report),
        Facts([("peak memory", quantity(report.get("peak_memory_mb"), "MB"))]),
    ]
    return Section("Cost, and a classical solver at the same error", blocks, "Cost")


def _classical(told: dict[str, Any], report: dict[str, Any]) -> list[AbstractBlock]:
    """The honest rival."""
    found = told.get("classical")
    if not found:
        return []
    if found.get("why"):
        return [Text(str(found["why"]))]
    error = (told.get("error") or {}).get("overall")
    whole = (report.get("seconds_compile") or 0.0) + (report.get("seconds_run") or 0.0)
    ran = report.get("seconds_run") or 0.0
    rows = [
        ["network, compiling included", number(error, 2), quantity(whole, "s"), ""],
        ["network, solving alone", number(error, 2), quantity(ran, "s"), ""],
        [
            str(found["method"]),
            number(found["error"], 2),
            quantity(found["seconds"], "s"),
            f"modes {number(found['modes'])}, steps {number(found['steps'])}",
        ],
    ]
    caption = (
        "The coarsest classical solve that is as good on the same points and times, on "
        "the same machine; what it takes to find its steps and modes is not in it"
    )
    head = ("solver", "true error", "wall time", "size")
    times = ran / found["seconds"] if found["seconds"] > 0.0 else None
    text = (
        f"Solving alone took {number(float(f'{times:.2g}'))} times as long as the "
        "classical solver."
        if times is not None
        else ""
    )
    return [Table(head, rows, caption, words=(0, 3)), Text(text)]


def _again(run: Run) -> Section:
    """The command, and what is kept."""
    base = _reproduce(run)
    note = Text(
        "The network itself is not kept: the command above makes it again, the same to "
        "the last bit on the same machine with the same versions. arrays.npz holds its "
        "values, the estimate, the certificate and the residual on the grid of the "
        "figures; solution.json the solver's report."
    )
    first, rest = base.blocks[:1], base.blocks[1:]
    return dataclasses.replace(base, blocks=[*first, note, *rest])
