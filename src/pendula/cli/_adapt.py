"""`pendula adapt`: a new system of a family, from a few clips of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError
from ._console import Console, command
from ._fit import _check_folder
from ._open import open_page
from ._options import READING, TALK, Reading, Talk
from ._systems import SYSTEM, load_run, load_systems


if TYPE_CHECKING:
    import numpy as np

    from ..data import Trajectories


def adapt(
    run: Annotated[Path, Parameter(help="The run of a family, or its file.")],
    *data: Annotated[str, Parameter(help="Clips of the new system.")],
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="The new run folder.")],
    system: Annotated[
        str | None,
        Parameter(help=f"For several new systems. {SYSTEM}"),
    ] = None,
    method: Annotated[
        str,
        Parameter(help="lm (Levenberg-Marquardt) or gd (a few gradient steps)."),
    ] = "lm",
    iterations: Annotated[
        int | None, Parameter(help="Iterations of lm, or steps of gd. [8, 5]")
    ] = None,
    noise: Annotated[
        float | None,
        Parameter(help="Of the measurement, if known; 0: exact states (lm)."),
    ] = None,
    window: Annotated[
        float | None,
        Parameter(
            help="Cut the clips into stretches of this length, each with a start state "
            "of its own: for records longer than the law stays good."
        ),
    ] = None,
    next_: Annotated[
        bool,
        Parameter(
            name="--next",
            help="Propose where the next record should start to tell most of eta.",
        ),
    ] = False,
    force: Annotated[bool, Parameter(help="Replace an existing run.")] = False,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    reading: Reading = READING,
    talk: Talk = TALK,
) -> int:
    """Find what tells a new system of a family from the others; its forecast and a
    page. Exit status 1 where the data do not say."""
    console = Console(talk)
    check_adapt(method, iterations)
    check_new_folder(out, run, force)
    family = load_run(run, console)
    if next_ and family.about["ctrl"]:
        raise ConfigError(
            "--next: the family has inputs, and what they will be is not known. Leave "
            "it out."
        )
    clips, decisions = load_systems(data, reading, system, console, one=True)
    console.say("adapting")
    options = {**adapt_options(method, iterations), "window": window}
    found = family.adapt_many(clips, noise=noise, **options)
    import numpy as np

    from ..dynamics import systems_of
    from ..report import adapted_verdict, write_numbers, write_report
    from ._family_numbers import adapted_report, adapted_row, free_runs

    clips = family.match(clips)
    etas = np.empty((clips.num, family.size))
    for one, rows in zip(found, systems_of(clips)[0], strict=True):
        etas[rows] = one.eta
    runs = free_runs(family, etas, clips, noise)
    report, arrays = adapted_report(found, runs, clips, command(), decisions, noise)
    console.say("writing the page")
    console.log = out / "log.txt"
    told = {
        "format": 1,
        "run": str(run),
        "method": method,
        "systems": [adapted_row(one) for one in found],
    }
    proposals = proposed(found, clips, noise) if next_ else []
    for row, proposal in zip(told["systems"], proposals, strict=False):
        row["next"] = {
            "start": dict(zip(proposal.names, proposal.start.tolist(), strict=True)),
            "gain": proposal.gain,
            "covariance": proposal.covariance.tolist(),
            "random_gain": proposal.random_gain,
        }
    write_report(out / "adapted.json", told)
    forecast = write_runs(out / "forecast.csv", runs, clips)
    page = write_numbers(out, report, arrays)
    systems = report["adapted"]["systems"]
    verdict = adapted_verdict(_finite(systems))
    lines = [f"systems: {decisions[0]['choice']}"]
    lines += [line for row in systems for line in adapted_lines(row)]
    for row, proposal in zip(systems, proposals, strict=False):
        told_next = proposal.text.splitlines()
        lines.append(f"next record of {row['system']}: {told_next[0]}")
        lines += [f"  {line}" for line in told_next[1:]]
    lines += [str(verdict[1]), str(forecast), f"page: {page}"]
    files = {"run": str(out), "page": str(page), "forecast": str(forecast)}
    console.result("\n".join(lines), {**files, **told, "systems": systems})
    if open_:
        open_page(page)
    return 1 if verdict[0] is False else 0


def proposed(found: Any, clips: Trajectories, noise: float | None) -> list[Any]:
    """The next experiment of each system, as long as its first record."""
    from ..dynamics import next_experiment, systems_of

    out = []
    for one, rows in zip(found, systems_of(clips)[0], strict=True):
        first = int(rows[0])
        ts = clips.ts[first, : clips.lengths[first]]
        out.append(next_experiment(one, ts, noise=noise))
    return out


def check_new_folder(out: Path, run: Path, force: bool) -> None:
    """Refuse a folder that cannot be written, or that the family lies in.

    **Raises:** `ConfigError`.
    """
    if run.resolve() == out.resolve() or run.resolve().parent == out.resolve():
        raise ConfigError(f"--out {out}: the family lies there. Choose another.")
    _check_folder(out, False, force, resumable=False)


def check_adapt(method: str, iterations: int | None) -> None:
    """Refuse what cannot be used, before anything is loaded.

    **Raises:** `ConfigError`.
    """
    if method not in ("lm", "gd"):
        raise ConfigError(f"--method {method}: there are lm and gd.")
    if iterations is not None and iterations < 1:
        raise ConfigError(f"--iterations {iterations}: at least 1 is needed.")


def adapt_options(method: str, iterations: int | None) -> dict[str, Any]:
    """The keywords of an adaptation."""
    options: dict[str, Any] = {"method": method}
    if iterations is not None:
        options["iterations" if method == "lm" else "steps"] = iterations
    return options


def _finite(systems: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows as they are read back: what is not finite is None."""
    error = lambda row: row["forecast_error"]
    return [
        {**row, "forecast_error": error(row) if error(row) < float("inf") else None}
        for row in systems
    ]


def adapted_lines(row: dict[str, Any]) -> list[str]:
    """One new system: eta, flags, how far its run is from the data."""
    from ..report import number, percent
    from ._family_numbers import constants_text

    told = ", ".join(
        f"{number(e, 4)} ± {number(s, 2)}"
        for e, s in zip(row["eta"], row["standard_deviation"], strict=True)
    )
    flags = [
        "identified" if row["identified"] else "not identified",
        "extrapolating" if row["extrapolating"] else "inside the family",
        f"{'converged' if row['converged'] else 'not converged'} after "
        f"{row['iterations']} iterations",
    ]
    if not row["identified"]:
        del flags[1]
    lines = [f"{row['system']}: eta {told} ({', '.join(flags)})"]
    if row["constants"] and row["identified"]:
        lines.append(f"  {constants_text(row['constants'])}")
    if row["identified"]:
        error = row["forecast_error"]
        off = f"{percent(error)} of the spread" if error < float("inf") else "failed"
        lines.append(f"  free run over the record, error: {off}")
    else:
        lines.append(
            "  the record says nothing of some direction of eta (condition "
            f"{number(row['condition'])}): measure a larger motion"
        )
    if row["share"] < 1.0:
        lines.append(
            f"  only the first {percent(row['share'])} of each clip were fitted: the "
            "rollout over more of it fails. Give shorter clips"
        )
    return lines + [f"  extrapolating: {why}" for why in row["extrapolation"]]


def write_runs(path: Path, runs: np.ndarray, data: Trajectories) -> Path:
    """One row a sample: time, the model's and the measured value of every channel;
    an empty cell where there is none."""
    from .._files import replacing

    head: list[str] = ["trajectory"] if data.num > 1 else []
    head.append(f"t [{data.time_unit}]")
    for name, unit in zip(data.names, data.units, strict=True):
        mark = f" [{unit}]" if unit else ""
        head += [f"{name}{mark}", f"{name}_measured{mark}"]
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for i, n in enumerate(data.lengths.tolist()):
            for k in range(n):
                cells: list[Any] = [data.labels[i]] if data.num > 1 else []
                cells.append(repr(float(data.ts[i, k])))
                for j in range(data.dim):
                    seen = data.mask[i, k, j]
                    value = float(runs[i, k, j])
                    cells.append("" if value != value else repr(value))
                    cells.append(repr(float(data.ys[i, k, j])) if seen else "")
                writer.writerow(cells)
    return path
