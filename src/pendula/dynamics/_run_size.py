"""What a free run will cost, known before it begins."""

from __future__ import annotations

import math

from .._errors import ConfigError
from .._machine import memory
from ._times import said_time


MOST_STEPS = 10_000_000  # of all runs together: minutes of a small model


def check_run(
    asked: str,
    times: float,
    *,
    every: float,
    unit: str,
    steps: int = 1,
    numbers: float = 0.0,
) -> None:
    """Refuse a run that would take hours, or more memory than there is.

    **Arguments:** `asked`: what asks for it; `times`: of its grid; `every`: how far
    they are apart, in the `unit` of time; `steps`: from one to the next, of all runs
    together; `numbers` of 4 bytes: kept at each of them.
    **Raises:** `ConfigError` with the longest run that is accepted.
    """
    room = memory() or math.inf
    most = min(MOST_STEPS / steps, room / (4.0 * numbers) if numbers else math.inf)
    if times <= most:
        return
    cost = f"{times * steps:.3g} steps, more than the {MOST_STEPS:.3g} that are made"
    if times * steps <= MOST_STEPS:
        need = 4.0 * times * numbers
        cost = f"{need / 2**30:.3g} GiB of memory, and there are {room / 2**30:.3g}"
    digit = 10.0 ** (math.floor(math.log10(most * every)) - 1)
    longest = said_time(math.floor(most * every / digit) * digit, unit, 6)
    raise ConfigError(
        f"{asked} takes {cost}. End it earlier: a run of {longest} is possible."
    )
