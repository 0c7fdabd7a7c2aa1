"""Exceptions, warnings and the run-time status that every rollout returns.

A message has the form: what is wrong - where - what was found - what was
expected - what to do.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable


class PendulaError(Exception):
    """Base of every error that Pendula raises on purpose."""


class DataError(PendulaError, ValueError):
    """Data that cannot be used; the message names file, row and column."""


class ConfigError(PendulaError, ValueError):
    """A setting that cannot be used; the message names field, value, allowed."""


class ShapeError(PendulaError, ValueError):
    """An array whose shape does not fit; the message names both shapes."""


class CheckpointError(PendulaError, RuntimeError):
    """A saved model or run that cannot be read."""


class DivergedError(PendulaError, RuntimeError):
    """A computation whose result is not finite; raised only by facades."""


class MissingExtra(PendulaError, ImportError):
    """An optional dependency is not installed; the message names the extra."""


class PendulaWarning(UserWarning):
    """Base of every warning that Pendula emits."""


class DataWarning(PendulaWarning):
    """Data that were accepted but deserve a look."""


class FitWarning(PendulaWarning):
    """A fit that was completed but deserves a look."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint ``' Did you mean "x"?'`` or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{close[0]}"?' if close else ""


class Status(enum.IntEnum):
    """What happened on a rollout; the larger value is the worse one.

    Merging two statuses keeps the worse (`max`); the time of failure that goes
    with it is that of its first occurrence.
    """

    ok = 0
    event = 1
    left_training_range = 2
    max_steps_reached = 3
    step_too_small = 4
    diverged = 5
    non_finite_state = 6
    non_finite_input = 7

    @property
    def advice(self) -> str:
        """One sentence: what it means and what to do."""
        return _ADVICE[self]


_ADVICE = {
    Status.ok: "Finished.",
    Status.event: "Stopped at the requested event.",
    Status.left_training_range: (
        "The states left the range seen in training: the forecast there is an "
        "extrapolation; add data that cover it, or give the known physics."
    ),
    Status.max_steps_reached: (
        "The adaptive solver used up its steps: raise max_steps, loosen rtol/atol, "
        "or use the stiff solver (Kvaerno5)."
    ),
    Status.step_too_small: (
        "The adaptive solver's step became too small: the problem is stiff or "
        "singular there; use the stiff solver (Kvaerno5) or check the field."
    ),
    Status.diverged: (
        "The state grew beyond the divergence bound: shorten the step, train on "
        "longer clips, or add dissipation."
    ),
    Status.non_finite_state: (
        "The state became NaN or infinite: shorten the step (more substeps), train "
        "on longer clips, or check the field at that state."
    ),
    Status.non_finite_input: (
        "The initial state, input or context holds NaN or infinity: check the data."
    ),
}
