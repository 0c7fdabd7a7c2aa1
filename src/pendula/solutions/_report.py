"""What a solver says about its own solution."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """One failure that was found: its code, the measured evidence, what to do."""

    code: str
    evidence: str
    advice: str


@dataclasses.dataclass(frozen=True)
class SolveReport:
    """Numbers of one solve; `json()` writes them out.

    `train`, `check`: RMS of the equation's rows at the collocation points and between
    them, relative to the solution, the worst window; `estimate`, `certificate`: times
    and relative errors, None where they were not asked for or are not offered;
    `seconds_compile`, `seconds_run` apart; `converged`: whether the tolerance was
    reached before the budget, by the residual and, where there is one, by the estimate;
    `unknown`, `unknown_sd`, `unknown_interval`: parameters
    found, and where there are measurements their standard deviations and what holds
    them with 95 % (Laplace's approximation; by `frozen` and methods of second order);
    `missed`: by how many sigma (RMS) measurements are missed, where noise does not
    explain it: then nothing has converged, and the intervals are too narrow;
    `lacking`: why the problem does not have one solution: conditions that the equation
    asks for and that are not given, or functions that it leaves open; `ended`: why it
    did not come to the end of the time, "" where it did; `width`: singular values of
    the solution over space and time (`width_decay`), of a solve that was checked.
    """

    problem: str
    method: str
    converged: bool
    tol: float
    windows: list[float]
    weights: int
    points: int
    iterations: int
    seconds_compile: float
    seconds_run: float
    peak_memory_mb: float
    train: dict[str, float]
    check: dict[str, float]
    condition: float | None = None
    estimate: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None
    diagnosis: tuple[Diagnosis, ...] = ()
    notes: tuple[str, ...] = ()
    unknown: dict[str, float] = dataclasses.field(default_factory=dict)
    unknown_sd: dict[str, float] = dataclasses.field(default_factory=dict)
    unknown_interval: dict[str, tuple[float, float]] = dataclasses.field(
        default_factory=dict
    )
    missed: float | None = None
    lacking: str | None = None
    ended: str = ""
    width: list[float] | None = None

    def replace(self, **changes: Any) -> SolveReport:
        """The same with other entries."""
        return dataclasses.replace(self, **changes)

    def json(self) -> str:
        """The report as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1)
