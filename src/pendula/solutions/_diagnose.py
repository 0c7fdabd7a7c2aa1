"""Which failure is it."""

from __future__ import annotations

from ._outcome import Outcome
from ._report import Diagnosis, SolveReport
from ._solution import Solution


def diagnose(
    solution: Solution, report: SolveReport, outcome: Outcome
) -> tuple[Diagnosis, ...]:
    """The failures whose evidence is there."""
    return ()
