"""A row before it is measured: what will be claimed, and what it must reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._claim import Bound, Claim, Number, reaches


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of a study's table. A study lists its rows before it runs, so that one
    that cannot be run still stands in the ledger.

    **Arguments:** as for `Claim`; a row with a `target` is a target row, else a
    report row. `tried`: what was tried, the reason that is written when the target
    is not met.

    ```python
    >>> from pendula.studies import Row
    >>> row = Row("spine.help_seconds", "Time of `pendula --help`.", "s", target=0.5)
    >>> claim = row.measured([0.21, 0.19, 0.25])
    >>> claim.value, claim.spread, claim.n, claim.met
    (0.21, (0.19, 0.25), 3, True)

    ```
    """

    id: str
    statement: str
    unit: str = "1"
    better: str = "lower"
    target: Bound | None = None
    goal: Bound | None = None
    source: str = "ours"
    published: Number | None = None
    scaled_down: str | None = None
    tried: str | None = None

    def measured(
        self,
        values: Number | Sequence[Number] | np.ndarray,
        *,
        n: int | None = None,
        reason: str | None = None,
    ) -> Claim:
        """The claim of one value, or of several runs: their median and spread.

        A run that gave nothing finite counts as the worst of all: the median is
        then over all runs, there is no spread, and the reason says how many. `n` is
        the number of runs behind a single value.
        """
        runs = np.atleast_1d(np.asarray(values, np.float64))
        lost = int(np.sum(~np.isfinite(runs)))
        worst = -np.inf if self.better == "higher" else np.inf
        ordered = np.sort(np.where(np.isfinite(runs), runs, worst))
        # the middle run, or the worse of the two in the middle when one is lost
        median = float(np.median(ordered)) if runs.size else float("nan")
        value = _plain(median) if np.isfinite(median) else None
        spread = None
        if runs.size > 1 and not lost:
            spread = (_plain(runs.min()), _plain(runs.max()))
        met = reaches(value, self.better, self.target)
        if lost or not runs.size:
            lost_text = f"{lost} of {runs.size} runs gave no finite number."
            reason = " ".join(filter(None, [lost_text, reason or self.tried]))
        elif self.target is not None and not met:
            reason = reason or self.tried
        elif met:
            reason = None
        kind = "report" if self.target is None else "target"
        count = max(1, runs.size) if n is None else n
        found = {"value": value, "spread": spread, "n": count, "kind": kind}
        return Claim(**found, reason=reason, **self._about())

    def not_run(self, reason: str) -> Claim:
        """The claim that nothing could be measured here, and why."""
        return Claim(value=None, kind="not_run", reason=reason, **self._about())

    def _about(self) -> dict[str, Any]:
        about = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del about["tried"]
        return about


def _plain(value: Any) -> Number:
    """A Python number of at most six digits; whole numbers stay whole."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}")
