"""A measured value and what it says: the unit of every report."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from .._errors import ConfigError
from ._words import number


JUDGEMENTS = ("good", "bad", "note")


@dataclasses.dataclass(frozen=True)
class Finding:
    """A measured value with its unit, spread, comparison and judgement in words.

    **Arguments:**
    - `id`: dotted and stable, `"verdict.coverage"`.
    - `statement`: what was measured, in words; what the value is may follow a colon.
    - `value`: the number; None (or NaN, which becomes None) when there is none.
    - `unit`: of value and spread; `"1"` for a plain number.
    - `spread`: lower and upper end of its interval or range, or None.
    - `comparison`: what it was held against, or None.
    - `verdict`: `"good"`, `"bad"`, or `"note"` where nothing is judged.
    - `reasons`: sentences that say why.

    **Raises:** `ConfigError` for an unknown verdict or a spread upside down.

    ```python
    >>> from pendula.diagnostics import Finding
    >>> f = Finding("demo.rmse", "Error over 20 s", 0.0123, "rad", (0.01, 0.02))
    >>> print(f.text)
    Error over 20 s: 0.0123 rad (0.01 to 0.02).
    >>> Finding.from_dict(f.to_dict()) == f
    True

    ```
    """

    id: str
    statement: str
    value: float | None = None
    unit: str = "1"
    spread: tuple[float, float] | None = None
    comparison: str | None = None
    verdict: str = "note"
    reasons: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)
        if self.verdict not in JUDGEMENTS:
            raise ConfigError(
                f'finding "{self.id}": verdict is "{self.verdict}". Allowed: '
                f"{', '.join(JUDGEMENTS)}."
            )
        if self.value is not None:
            value = float(self.value)
            put("value", None if math.isnan(value) else value)
        if self.spread is not None:
            low, high = (float(end) for end in self.spread)
            if low > high:
                raise ConfigError(
                    f'finding "{self.id}": the spread runs from {low:g} to {high:g}. '
                    "Give the lower end first."
                )
            is_known = not (math.isnan(low) or math.isnan(high))
            put("spread", (low, high) if is_known else None)
        put("reasons", tuple(self.reasons))

    @property
    def text(self) -> str:
        """One line made from the values."""
        line = self.statement
        if self.value is not None:  # "cannot be told apart: correlation" 0.99
            line += " " if ":" in line else ": "
            line += number(self.value, self.unit)
        if self.spread is not None:
            line += f" ({number(self.spread[0])} to {number(self.spread[1])})"
        if self.comparison:
            line += f"; {self.comparison}"
        return " ".join([f"{line}.", *self.reasons])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinities, which JSON lacks, as text."""
        out = dataclasses.asdict(self)
        out["value"] = _to_json(self.value)
        out["spread"] = None if self.spread is None else [*map(_to_json, self.spread)]
        return {**out, "reasons": list(self.reasons)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Finding:
        """The inverse of `to_dict`. **Raises:** `ConfigError` for unknown keys."""
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown or not {"id", "statement"} <= set(values):
            raise ConfigError(
                f"this is no finding: its keys are {', '.join(sorted(values))}; "
                f"expected {', '.join(sorted(known))}."
            )
        done = dict(values)
        if done.get("value") is not None:
            done["value"] = float(done["value"])
        if done.get("spread") is not None:
            low, high = done["spread"]
            done["spread"] = (float(low), float(high))
        return cls(**{**done, "reasons": tuple(done.get("reasons", ()))})


def _to_json(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else str(value)
