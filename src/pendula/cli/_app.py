"""The table of commands: name, where it lives, one line of help, an example."""

from __future__ import annotations

import sys
from typing import Any

from cyclopts import App, Parameter


# name -> (module:function, one line, example)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": (
        "_demo:demo",
        "The main job end to end, on data it makes itself.",
        "pendula demo --out runs/demo",
    ),
    "inspect": (
        "_inspect:inspect",
        "What is in a data file.",
        "pendula inspect swing.csv",
    ),
    "simulate": (
        "_simulate:simulate",
        "Make a data set from a known system.",
        "pendula simulate pendulum --out swing.csv --num 6 --noise 0.01 "
        "--set damping=0.2",
    ),
    "fit": (
        "_fit:fit",
        "Fit one system and say how far to trust the forecast, or a family of them.",
        "pendula fit swing.csv --channels theta --known gravity_pendulum --free w2",
    ),
    "adapt": (
        "_adapt:adapt",
        "A new system of a family, from a few clips of it.",
        "pendula adapt runs/springs new.csv --out runs/new",
    ),
    "gauge": (
        "_gauge:gauge",
        "Physical parameters of a new system, with an interval.",
        "pendula gauge runs/springs new.csv --params labels.csv",
    ),
    "forecast": (
        "_forecast:forecast",
        "Roll out from measured beginnings.",
        "pendula forecast runs/swing --from new.csv --until 20 --out forecast.csv",
    ),
    "check": (
        "_check:check",
        "Exit status 0 if the run can be trusted, else 1.",
        "pendula check runs/swing new.csv",
    ),
    "solve": (
        "_solve:solve",
        "Solve an equation by name or from a Python file, with its error.",
        "pendula solve convection --set beta=40 --tol 1e-6 --out runs/wave",
    ),
    "score": (
        "_score:score",
        "Errors of a run on other data.",
        "pendula score runs/swing new.csv",
    ),
    "report": (
        "_report:report",
        "Make the page of a run again.",
        "pendula report runs/swing --png docs/img",
    ),
    "reproduce": (
        "_reproduce:reproduce",
        "Run a study; print its claims.",
        "pendula reproduce spine --budget quick",
    ),
    "claims": (
        "_claims:claims",
        "The ledger of all studies as a table.",
        "pendula claims",
    ),
    "doctor": (
        "_doctor:doctor",
        "Is this machine ready? Versions, devices, speed.",
        "pendula doctor",
    ),
    "list": (
        "_list:list_",
        "The systems, laws, models, schemes and problems there are.",
        "pendula list laws",
    ),
}
DATA: dict[str, tuple[str, str, str]] = {
    "list": ("_data:list_", "The named data sets.", "pendula data list"),
    "fetch": (
        "_data:fetch",
        "Download a data file once, check it, keep it with its licence.",
        'pendula data fetch URL --sha256 HASH --licence "CC BY 4.0"',
    ),
    "cylinder": (
        "_cylinder:cylinder",
        "Compute the wake of a cylinder, and write its snapshots.",
        "pendula data cylinder --re 100 --preset fast --out cyl.nc",
    ),
}

EPILOGUE = (
    "Results go to stdout, progress to stderr. Exit status: 0 done, 1 failed check or "
    "claim, 2 bad input or usage, 130 interrupted. Each command has --help."
)


def _version() -> str:
    from importlib.metadata import version

    return version("pendula")


def _shown(value: Any) -> str | None:
    """Defaults that say something."""
    return None if value in (None, False, (), "") else str(value)


def _add(app: App, commands: dict[str, tuple[str, str, str]]) -> None:
    for position, (name, (where, text, example)) in enumerate(commands.items()):
        app.command(
            f"pendula.cli.{where}",
            name=name,
            help=text,
            sort_key=position,
            help_epilogue=f"Example: {example}",
        )


def make_app() -> App:
    """The parser. Commands are import paths: they load when they are called."""
    app = App(
        name="pendula",
        help="Learn how a system moves from little data, with the physics built in, "
        "and say how far the forecast can be trusted.",
        help_epilogue=EPILOGUE,
        help_format="plaintext",
        version=_version,
        version_flags=["--version"],
        default_parameter=Parameter(negative="", show_default=_shown),
    )
    _add(app, COMMANDS)
    data = App(
        name="data",
        help="Named data sets: origin, licence, where they lie.",
        sort_key=len(COMMANDS),
    )
    _add(data, DATA)
    app.command(data)
    return app


def run(tokens: list[str]) -> int:
    """Parse and call; the exit status. Errors are raised."""
    value: Any = make_app()(
        tokens,
        print_error=False,
        exit_on_error=False,
        verbose=False,
        result_action="return_value",
    )
    if sys.stdout is not None:  # a process may be started without one
        sys.stdout.flush()
    return value if isinstance(value, int) else 0
