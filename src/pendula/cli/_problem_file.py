"""A problem from a Python file of the user's."""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ConfigError


if TYPE_CHECKING:
    from ..solutions import Problem

NAMES = ("problem", "prob")

# What a file may stumble over; each becomes one line that names the file
_STUMBLES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def problem_from_file(path: Path) -> Problem:
    """Run the file, in float64, and take the problem that it defines. What it prints
    goes to stderr; a part under `if __name__ == "__main__":` is not run.

    **Raises:** `ConfigError` for a file that cannot be run or defines no problem.
    """
    import numpy as np

    from .._precision import precision
    from ..solutions import Problem

    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file. Check the path.")
    with (
        precision(np.float64),
        contextlib.redirect_stdout(sys.stderr),
        _beside(path),
        _said(path),
    ):
        found = runpy.run_path(str(path), run_name="pendula_problem")
        one = next((found[name] for name in NAMES if name in found), None)
        if isinstance(one, Problem):
            _ = one.law  # what is wrong with its residual is said here
    if one is None:
        raise ConfigError(
            f"{path}: it defines no problem. Name one: problem = Problem(...)."
        )
    if not isinstance(one, Problem):
        raise ConfigError(
            f"{path}: its problem is a {type(one).__name__}; expected a "
            "pendula.solutions.Problem."
        )
    return one


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Inside, the file may import what lies beside it, as when Python runs it."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """What goes wrong in a file, as one sentence with the line."""
    try:
        yield
    except _STUMBLES as error:
        kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
        first = next(iter(str(error).strip().splitlines()), "")
        raise ConfigError(f"{path}{_line(error, path)}: {kind}{first}") from error


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it went wrong."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}" if error.lineno else ""
    own = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == path
    ]
    return f", line {own[-1]}" if own else ""
