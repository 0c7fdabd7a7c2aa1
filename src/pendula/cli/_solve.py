"""`pendula solve`: an equation in, a solution with its error out."""

from __future__ import annotations

import ast
import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError
from ._console import Console, command
from ._fit import _check_folder, _clear
from ._open import open_page
from ._options import TALK, Talk, pairs, real


if TYPE_CHECKING:
    from ..solutions import Problem, Solution

_METHOD = "method."
_OWN = {"problem", "tol", "budget", "method", "seed", "check"}


def solve(
    problem: Annotated[
        str,
        Parameter(
            help="A name of `pendula list problems`, or a Python file that defines "
            "`problem = Problem(...)`. The file is run: give only one that you trust."
        ),
    ],
    /,
    *,
    settings: Annotated[
        tuple[str, ...],
        Parameter(
            name="--set",
            help="Coefficients of the problem: beta=40. Settings of the method: "
            "method.features=500.",
        ),
    ] = (),
    tol: Annotated[
        float | None,
        Parameter(
            help="Relative error (L2) asked for. [default: 0.0001, or what suits a "
            "problem of the list]"
        ),
    ] = None,
    budget: Annotated[
        str | None,
        Parameter(help='Time for the solution itself: "2 min", 90; no limit without.'),
    ] = None,
    method: Annotated[
        str, Parameter(help="How the network is found: frozen is the fast way.")
    ] = "frozen",
    seed: Annotated[int, Parameter(help="Of the network's neurons.")] = 0,
    no_check: Annotated[
        bool,
        Parameter(
            help="Only solve: no estimate of the error, no certificate, no diagnosis, "
            "no comparison with a known solution. About three times as quick."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="The run folder. [default: runs/NAME]"),
    ] = None,
    force: Annotated[bool, Parameter(help="Replace an existing run.")] = False,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    talk: Talk = TALK,
) -> int:
    """Solve a differential equation with a network, estimate its error, and write a
    page. A Python file that is given as the problem is run, with all it does.

    Exit status 0: solved to the tolerance, no fault found; 1: not, the page says why;
    2: bad input.
    """
    console = Console(talk)
    path = _path(problem)
    folder = out or Path("runs") / (path.stem if path else problem)
    _check_folder(folder, False, force)
    console.say(f"reading {problem}")
    given = pairs(settings, "--set")
    options = {
        key.removeprefix(_METHOD): _literal(value)
        for key, value in given.items()
        if key.startswith(_METHOD)
    }
    for key in _OWN & set(options):
        raise ConfigError(
            f"--set method.{key}: that is given otherwise, see pendula solve --help."
        )
    coefficients = {k: v for k, v in given.items() if not k.startswith(_METHOD)}
    name = None if path else problem
    made, params = _problem(problem, path, coefficients)
    suited = _suited(name, method)
    if suited:
        listed = ", ".join(f"{key} = {value}" for key, value in suited.items())
        console.say(f"suits {name}, where nothing else is said: {listed}")
    own = suited.pop("tol", 1e-4)
    tol = own if tol is None else tol
    options = {**suited, **options}
    solution, seconds = _solved(
        console,
        made,
        {"tol": tol, "budget": _budget(budget), "method": method, "seed": seed},
        options,
        not no_check,
    )
    console.say("writing the page" if no_check else "comparing, and writing the page")
    from ..report import read_run, write_solution

    folder.mkdir(parents=True, exist_ok=True)
    _clear(folder)
    page = write_solution(
        folder,
        solution,
        name=name,
        params=params if name else None,
        source=None if path is None else (path.name, _text(path)),
        config={
            "problem": path.name if path else problem,
            "params": {**_defaults(name), **params},
            "tol": tol,
            "budget": budget,
            "method": method,
            "options": options,
            "seed": seed,
            "check": not no_check,
        },
        command=command(),
        seconds=seconds,
        compare=not no_check,
    )
    report = read_run(folder).report
    told, verdict = report["solve"], report["verdict"]
    files = {"run": str(folder), "page": str(page)}
    text = "\n".join([*_lines(told, verdict), f"page: {page}"])
    console.result(text, {**files, "verdict": verdict, **told})
    if open_:
        open_page(page)
    return 1 if verdict["trust"] is False else 0


def _path(problem: str) -> Path | None:
    """The file, where one is meant: a path, or a name with the ending."""
    path = Path(problem)
    is_file = path.suffix == ".py" or os.sep in problem or path.is_file()
    return path if is_file else None


def _defaults(name: str | None) -> dict[str, Any]:
    """Coefficients of a named problem that was not told otherwise."""
    from ..solutions import PROBLEMS

    return {} if name is None else PROBLEMS[name].defaults


def _suited(name: str | None, method: str) -> dict[str, Any]:
    """Options that suit a named problem; only the tolerance for other methods."""
    from ..solutions import PROBLEMS

    own = {} if name is None else PROBLEMS[name].options
    return {k: v for k, v in own.items() if k == "tol" or method == "frozen"}


def _text(path: Path) -> str:
    """The file's text, for the page."""
    return path.read_text(encoding="utf-8", errors="replace")


def _problem(
    problem: str, path: Path | None, given: dict[str, str]
) -> tuple[Problem, dict[str, Any]]:
    """The problem, with what was set, and that."""
    from ..solutions import PROBLEMS, named_problem

    if path is None:
        defaults = PROBLEMS[problem].defaults if problem in PROBLEMS else {}
        params = {k: _like(defaults.get(k), v, k) for k, v in given.items()}
        return named_problem(problem, **params), params
    from ._problem_file import problem_from_file

    made = problem_from_file(path)
    params = {k: real(v, f"--set {k}") for k, v in given.items()}
    for key in params:
        if key not in made.params:
            known = ", ".join(made.params) or "none"
            raise ConfigError(
                f'--set {key}: the problem has no coefficient "{key}". It has {known}.'
            )
    return made.replace(params=params) if params else made, params


def _like(default: Any, text: str, key: str) -> Any:
    """The text as what the default is; numbers where there is none."""
    if isinstance(default, bool):
        words = {"yes": True, "true": True, "1": True}
        words |= {"no": False, "false": False, "0": False}
        if text.lower() not in words:
            raise ConfigError(f"--set {key}={text}: it is yes or no.")
        return words[text.lower()]
    return text if isinstance(default, str) else real(text, f"--set {key}")


def _literal(text: str) -> Any:
    """A number, yes or no, a list of numbers, or a word."""
    with contextlib.suppress(ValueError, SyntaxError):
        found = ast.literal_eval(text)
        return tuple(found) if isinstance(found, list) else found
    return {"yes": True, "true": True, "no": False, "false": False}.get(text, text)


def _budget(text: str | None) -> str | float | None:
    """Seconds where a bare number is given."""
    with contextlib.suppress(TypeError, ValueError):
        return float(text)  # type: ignore[arg-type]  # None is suppressed
    return text


def _solved(
    console: Console,
    problem: Problem,
    asked: dict[str, Any],
    options: dict[str, Any],
    check: bool,
) -> tuple[Solution, float]:
    """The solution, and the seconds that all of it took."""
    from ..solutions import solve as run

    with console.training() as tell:
        tell({"phase": "solving and checking" if check else "solving"})
        began = time.perf_counter()
        found = run(problem, **asked, check=check, **options)
    return found, time.perf_counter() - began


def _lines(told: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    """The result on a terminal."""
    from ..report import found_parameters, number
    from ..solutions import width_words

    report, error = told["report"], told.get("error")
    lines = [verdict["text"], *(f"  {reason}" for reason in verdict["reasons"])]
    bound = report.get("certificate")
    if bound:
        lines.append(f"certified bound {number(bound.get('overall'), 2)}")
    if error:
        lines.append(f"true error {number(error['overall'], 2)}")
    for found in report.get("diagnosis") or []:
        lines.append(f"{found['code']}: {found['evidence']} {found['advice']}")
    if report.get("width"):
        lines.append(width_words(report["width"]))
    lines.extend(f"{key} = {value}" for key, value in found_parameters(report).items())
    compiled, ran = report["seconds_compile"], report["seconds_run"]
    cost = f"compiled {number(compiled)} s, solved {number(ran)} s"
    rival = told.get("classical") or {}
    if rival.get("seconds") is not None:
        cost += f"; {rival['method']}: {number(rival['seconds'])} s at the same error"
    return [*lines, cost]
