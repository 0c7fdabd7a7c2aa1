"""`pendula fit`: data in, a run folder with a model, a verdict and a page out."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .._errors import ConfigError
from ._bars_records import holds_bars
from ._console import Console, command
from ._family_options import FAMILY, FamilyOptions
from ._fit_bars import fit_bars_run
from ._fit_family import RESULTS as FAMILY_RESULTS, fit_family
from ._fit_options import MODEL, TRAIN, ModelOptions, TrainOptions, build_config
from ._open import open_page
from ._options import READING, TALK, Reading, Talk
from ._reading import load_data
from ._training import trained


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import Fitted

# what a finished run leaves; --force replaces these and nothing else
RESULTS = (
    "config.toml",
    "model.safetensors",
    "arrays.npz",
    "report.json",
    "report.html",
    "log.txt",
)
ADAPTED = ("adapted.json", "forecast.csv")
FILES = {
    *RESULTS,
    *FAMILY_RESULTS,
    *ADAPTED,
    "metrics.jsonl",
    "timing.jsonl",
    "resume",
}


def fit(
    *data: Annotated[str, Parameter(help="A file, several, a folder, or a named set.")],
    out: Annotated[
        Path | None,
        Parameter(name=["--out", "-o"], help="The run folder. [default: runs/NAME]"),
    ] = None,
    resume: Annotated[
        bool, Parameter(help="Go on where an interrupted fit stopped.")
    ] = False,
    force: Annotated[bool, Parameter(help="Replace an existing run.")] = False,
    open_: Annotated[
        bool, Parameter(name="--open", help="Open the page where there is a display.")
    ] = False,
    debug_nans: Annotated[
        bool,
        Parameter(help="When a training stops on NaN, name the operation it is from."),
    ] = False,
    reading: Reading = READING,
    model: ModelOptions = MODEL,
    train: TrainOptions = TRAIN,
    family: FamilyOptions = FAMILY,
    talk: Talk = TALK,
) -> int:
    """Fit one system, a chain of bars, or a family of systems; write model, numbers and
    page into a run folder."""
    console = Console(talk)
    family.check()
    if family.family:
        folder = out or Path("runs") / _stem(data or ("family",))
        _check_folder(folder, resume, force)
        return fit_family(
            data, folder, resume, open_, reading, model, train, family, console
        )
    whole = load_data(data, reading, console)
    if holds_bars(whole):
        folder = out or Path("runs") / _stem(data)
        _check_folder(folder, resume, force)
        return fit_bars_run(
            data, whole, folder, resume, open_, reading, model, train, _clear, console
        )
    used = whole if train.train_until is None else _before(whole, train.train_until)
    console.say("loading the numerical libraries")
    began = time.perf_counter()
    config = build_config(used, model, train)
    loaded = time.perf_counter() - began
    folder = out or Path("runs") / _stem(data)
    _check_folder(folder, resume, force)
    from ..dynamics import fit as run_fit
    from ..report import with_unseen, write_run
    from ._words import fit_text

    fitted = trained(
        console,
        folder,
        resume,
        _clear,
        lambda tell: run_fit(
            None,
            used,
            config,
            out=folder,
            resume=resume,
            tell=tell,
            command=command(),
            debug_nans=debug_nans,
        ),
    )
    if train.train_until is not None:
        console.say(f"scoring what lies after {train.train_until:g}")
        fitted = with_unseen(fitted, whole, train.train_until)
    fitted = _named(fitted, data, loaded)
    console.say("writing the page")
    page = write_run(folder, fitted, command())
    report = fitted.report or {}
    for row in report.get("decisions") or []:
        console.detail(f"  {row['what']}: {row['choice']} ({row['why']})")
    files = {"run": str(folder), "page": str(page)}
    console.result(fit_text(report, page), {**files, "report": report})
    if open_:
        open_page(page)
    return 1 if _failed(report) else 0


def _named(fitted: Fitted, data: tuple[str, ...], loaded: float) -> Fitted:
    """The report with what only the program knows: the files' names, and how long
    the libraries took to load."""
    report = dict(fitted.report or {})
    names = fitted.about["names"]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    files = [Path(d).name if Path(d).exists() else d for d in data[:3]]
    report["title"] = f"{shown}: {', '.join(files)}"
    training = dict(report.get("training") or {})
    training["seconds"] = {
        **(training.get("seconds") or {}),
        "import": round(loaded, 2),
    }
    return dataclasses.replace(fitted, report={**report, "training": training})


def _stem(data: tuple[str, ...]) -> str:
    """A name for the run: the file's, without folders and ending."""
    first = Path(data[0])
    name = first.stem if first.suffix else first.name or first.resolve().name
    return name if len(data) == 1 else f"{name}-and-{len(data) - 1}"


def _before(data: Trajectories, until: float) -> Trajectories:
    """The part that may be used. The parts that a named set brings were made for
    the whole of it."""
    part = data.between(-float("inf"), until)
    return part.replace(origin={**part.origin, "parts": {}})


def _check_folder(
    folder: Path, resume: bool, force: bool, *, resumable: bool = True
) -> None:
    """Refuse what would overwrite or cannot be continued, before anything is done."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(
            f"--out {folder}: there is a file of that name. Choose another."
        )
    inside = {path.name for path in folder.iterdir()} if folder.exists() else set()
    is_run = bool(inside & FILES)
    if resume:
        if "resume" not in inside:
            raise ConfigError(
                f"--resume: {folder} holds no interrupted fit. Leave --resume out."
            )
        return
    if inside and not is_run:
        raise ConfigError(
            f"--out {folder}: the folder holds other files and is no run. Choose "
            "another."
        )
    if is_run and not force:
        further = "go on with --resume, " if resumable else ""
        raise ConfigError(
            f"{folder} holds a run already. Choose another --out, {further}or replace "
            "it with --force."
        )
    parent = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not os.access(parent, os.W_OK):
        raise ConfigError(
            f"--out {folder}: {parent} cannot be written. Choose another."
        )


def _clear(folder: Path) -> None:
    """Remove the results of an earlier run; its logs and states the fit itself
    replaces."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def _failed(report: dict[str, Any]) -> bool:
    """Whether the training stopped on values that are not finite."""
    from ..train import NOT_FINITE

    phases = (report.get("training") or {}).get("phases") or []
    return any(str(p.get("reason")).startswith(NOT_FINITE) for p in phases)
