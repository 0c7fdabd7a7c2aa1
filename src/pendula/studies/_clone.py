"""Parts `install`, `demo` and `test` of study `spine`: what a stranger types on a
fresh clone, and how long it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .._errors import DivergedError
from .._machine import checkout
from ._claim import Claim
from ._row import Row
from ._spine import spine
from ._study import NotHere, Run


_INSTALL = (
    Row(
        "spine.install_seconds",
        "Time of `make install` on a fresh clone: environment and pinned packages, "
        "the package index as this machine reaches it.",
        "s",
    ),
    Row("spine.install_mb", "Size of the environment on disk.", "MB"),
)
_DEMO = (
    Row(
        "spine.demo_seconds",
        "Time of `make demo` on a fresh clone after the install.",
        "s",
        target=300,
        tried="Both fits of the demonstration compile once and train on short clips.",
    ),
)
_TEST = (
    Row(
        "spine.test_seconds",
        "Time of `make test` on a fresh clone after the install.",
        "s",
        target=200,
        tried="Two processes, few compiled shapes, XLA's optimisations left out, one "
        "MLIR context for many programs (by hand: less time for each small one, and "
        "far less memory). The limit was set for the first path; what came since added "
        "its tests.",
    ),
)
# Settings: `packages`: whether make installs them (else the packages of the running
# Python are used); `arguments`: further ones for make.
_FULL = {"packages": True, "arguments": []}
_QUICK_TEST = {
    "packages": False,
    "arguments": [f"PYTEST={sys.executable} -m pytest -p no:cacheprovider tests/nn"],
}


@spine.part("install", _INSTALL, full=_FULL, quick={"packages": False, "arguments": []})
def install(run: Run) -> Iterator[Claim]:
    """A clone of its own, installed from nothing."""
    folder = _fresh(run)
    seconds = _install(run, folder)
    yield run.row("spine.install_seconds").measured(seconds)
    files = (p for p in (folder / ".venv").rglob("*") if not p.is_symlink())
    size = sum(512 * p.stat().st_blocks for p in files)
    yield run.row("spine.install_mb").measured(round(size / 1e6))


@spine.part(
    "demo",
    _DEMO,
    full=_FULL,
    quick={"packages": False, "arguments": [], "small": True},
)
def demo(run: Run) -> Iterator[Claim]:
    """`make demo` in a fresh clone whose install is not counted."""
    folder = _installed(run)
    seconds = _make(run, folder, "demo")
    page = folder / "runs" / "demo" / "report.html"
    if not page.is_file():
        raise DivergedError(f"make demo ended without {page}. See {_log(run)}.")
    yield run.row("spine.demo_seconds").measured(seconds)


@spine.part("test", _TEST, full=_FULL, quick=_QUICK_TEST)
def test(run: Run) -> Iterator[Claim]:
    """`make test` in a fresh clone whose install is not counted."""
    folder = _installed(run)
    seconds = _make(run, folder, "test", *run.settings["arguments"])
    yield run.row("spine.test_seconds").measured(seconds)


def _source() -> Path:
    """The checkout this code runs from.

    **Raises:** `NotHere` without a checkout, git or make.
    """
    source = checkout()
    if source is None or not (source / ".git").exists():
        raise NotHere("it clones the source tree, and Pendula runs without one here")
    for tool in ("git", "make"):
        if shutil.which(tool) is None:
            raise NotHere(f"{tool} is not installed here")
    return source


def _clone(run: Run) -> Path:
    """Where the clone is that the three parts share."""
    kind = "packages" if run.settings["packages"] else "bare"
    return run.scratch.parent / f"spine.clone-{kind}"


def _fresh(run: Run) -> Path:
    """A new clone."""
    source, folder = _source(), _clone(run)
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        ["git", "clone", "--quiet", "--no-hardlinks", str(source), str(folder)],
        check=True,
        capture_output=True,
    )
    return folder


def _installed(run: Run) -> Path:
    """A clone of this revision that is installed and has run nothing yet."""
    source, folder = _source(), _clone(run)
    if not (folder / ".venv" / ".test").exists() or _head(folder) != _head(source):
        _install(run, _fresh(run))
    shutil.rmtree(folder / "runs", ignore_errors=True)
    return folder


def _head(folder: Path) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _install(run: Run, folder: Path) -> float:
    """`make install` in a clone; the seconds it took."""
    # the interpreter behind a virtual environment, as a stranger would have it
    base = getattr(sys, "_base_executable", None) or sys.executable
    arguments = [f"PYTHON={base}"]
    if not run.settings["packages"]:
        arguments.append("PIP=true")
    return _make(run, folder, "install", *arguments)


def _make(run: Run, folder: Path, target: str, *arguments: str) -> float:
    """Seconds of one make target. **Raises:** `DivergedError` when it fails."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV",)}
    if not run.settings["packages"] and target != "install":
        # the packages of the running Python, the code of the clone
        arguments = (*arguments, f"BIN={Path(sys.executable).parent}")
        environment["PYTHONPATH"] = str(folder / "src")
    if run.settings.get("small"):
        environment["PENDULA_SMALL"] = "1"
    run.progress(f"make {target}")
    log = _log(run)
    began = time.perf_counter()
    with log.open("a", encoding="utf-8") as out:
        done = subprocess.run(
            ["make", "-C", str(folder), target, *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    seconds = time.perf_counter() - began
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise DivergedError(
            f"make {target} failed on a fresh clone: {(lines or ['?'])[-1]}. See {log}."
        )
    return seconds


def _log(run: Run) -> Path:
    return run.scratch / "make.log"
