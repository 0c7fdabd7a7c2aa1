"""One MLIR context for many compiled programs.

JAX makes a context for every program that it compiles, loads all dialects into it and
keeps it as long as the program: for the thousands of small programs of the tests that
was a good part of the time and most of the memory, by hand.
"""

from __future__ import annotations

import threading
from typing import Any

from jax._src.interpreters import mlir
from jax._src.lib.mlir import ir


# Constants stay in their context: it is left behind after this many programs.
PROGRAMS = 500

_fresh = mlir.make_ir_context
_kept = threading.local()


def _within_another() -> bool:
    """Whether this thread lowers a program now: what is compiled meanwhile would be
    written into that one, were the context the same."""
    try:
        return ir.Context.current is not None
    except ValueError:  # how other versions say None
        return False


def _context() -> Any:
    """The context of the last program, or a fresh one where that cannot be."""
    if _within_another():
        return _fresh()
    if getattr(_kept, "left", 0) == 0:
        _kept.context, _kept.left = _fresh(), PROGRAMS
    _kept.left -= 1
    return _kept.context


def share() -> None:
    """From now on programs share their context."""
    mlir.make_ir_context = _context


def forget() -> None:
    """The next program gets a fresh context."""
    _kept.context, _kept.left = None, 0
