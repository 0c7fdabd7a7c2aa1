"""The entry: arguments in, exit status out, errors as one line."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from .._errors import DivergedError, PendulaError, PendulaWarning
from ._console import ARGUMENTS


if TYPE_CHECKING:
    from cyclopts import CycloptsError


DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_TEMPORARY = re.compile(r"\.[0-9a-f]{12}(\.\w+)?")  # as `_files` names them
# --train.lr 3e-3: a setting of the configuration by its path
_DOTTED = re.compile(r"--([A-Za-z_]\w*(?:\.\w+)+)(=.*)?", re.S)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    **Arguments:** `argv`: what follows the program's name; None: `sys.argv`.
    **Returns:** the exit status: 0 done, 1 computed but failed, 2 bad input or
    usage, 130 interrupted.

    ```python
    >>> from pendula.cli import main
    >>> main(["list", "schemes"]) == 0
    euler
    heun
    implicit_midpoint
    kvaerno5
    leapfrog
    midpoint
    rk3
    rk4
    rk4_38
    yoshida4
    True

    ```
    """
    if argv is None:
        sys.excepthook = _last_word
        if isinstance(sys.stdout, io.TextIOWrapper):
            # a name that the terminal's encoding lacks ends no command
            sys.stdout.reconfigure(errors="backslashreplace")
        status = main(sys.argv[1:])
        if status == INTERRUPTED:
            _leave(status)
        return status
    typed = ARGUMENTS.set(tuple(argv))
    tokens = _settings(list(argv))
    debug = "--debug" in tokens
    from cyclopts import CycloptsError

    from ._app import run

    with _plain_warnings(debug):
        try:
            return run(tokens or ["--help"])
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else FAILED
        except KeyboardInterrupt:
            _complain("interrupted")
            return INTERRUPTED
        except BrokenPipeError:
            # who reads has seen enough; the interpreter must not flush again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        except CycloptsError as error:
            return _refuse(_misread(error), error, debug, USAGE)
        except DivergedError as error:
            return _refuse(str(error), error, debug, FAILED)
        except PendulaError as error:
            return _refuse(str(error), error, debug, USAGE)
        except MemoryError as error:
            text = (
                f"not enough memory ({error}). Ask for fewer samples or smaller nets."
            )
            return _refuse(text, error, debug, FAILED)
        except OSError as error:
            return _refuse(_refused(error), error, debug, USAGE)
        finally:
            ARGUMENTS.reset(typed)


def _leave(status: int) -> NoReturn:
    """End the process at once. A compilation that Ctrl-C broke off leaves objects of
    the compiler behind whose clean-up at Python's own end can crash."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def _settings(tokens: list[str]) -> list[str]:
    """`--train.lr 3e-3` and `--train.lr=3e-3` as `--set train.lr=3e-3`."""
    out: list[str] = []
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        found = _DOTTED.fullmatch(token)
        if token == "--":
            return [*out, token, *rest]
        if found is None:
            out.append(token)
            continue
        value = found[2][1:] if found[2] else None
        if value is None and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        # without a value the parser says what is missing
        out += ["--set", found[1] if value is None else f"{found[1]}={value}"]
    return out


def _misread(error: CycloptsError) -> str:
    """What the parser could not make of the command line, with what to do."""
    from cyclopts import UnusedCliTokensError

    left = error.unused_tokens
    if not left or not isinstance(error, UnusedCliTokensError):
        return str(error)
    command = " ".join(("pendula", *(error.command_chain or ())))
    return (
        f'{command} does not know what "{left[0]}" is for. Give it to one of the '
        f"options that {command} --help lists."
    )


def _refused(error: OSError) -> str:
    """What the system would not do, where, and the way out; of a file that was to take
    its name when it is whole, the folder."""
    text, place = error.strerror or str(error), Path(str(error.filename or ""))
    if _TEMPORARY.fullmatch(place.name):
        place = place.absolute().parent
    if error.filename:
        text = f"{place}: {text}"
    unwritten = error.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
    return f"{text}. Choose another place, or free the space." if unwritten else text


def _refuse(text: str, error: BaseException, debug: bool, status: int) -> int:
    if debug:
        traceback.print_exception(error)
    _complain(text)
    return status


def _complain(text: str) -> None:
    """One line on stderr."""
    line = " ".join(text.split())
    with contextlib.suppress(OSError):
        print(f"pendula: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _plain_warnings(debug: bool) -> Iterator[None]:
    """Pendula's own warnings as one line each; those of libraries only with
    `--debug`."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        place = f" ({filename}:{lineno})" if debug else ""
        _complain(f"warning: {message}{place}")

    library = logging.getLogger("matplotlib")
    level = library.level
    with warnings.catch_warnings():
        warnings.showwarning = show
        if not debug:
            warnings.simplefilter("ignore")
            library.setLevel(logging.ERROR)  # it talks of cache folders
        warnings.simplefilter("always" if debug else "default", PendulaWarning)
        try:
            yield
        finally:
            library.setLevel(level)


def _last_word(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """What reaches the interpreter is a mistake of ours: said in one line, too."""
    if "--debug" in sys.argv:
        traceback.print_exception(kind, error, trace)
    _complain(
        f"internal error: {kind.__name__}: {error}. This is a bug; --debug shows where."
    )
