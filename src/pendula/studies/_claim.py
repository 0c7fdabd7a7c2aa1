"""A claim: one measured number beside what it is compared with."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from .._errors import ConfigError, DataError, nearest


KINDS = ("target", "report", "not_run")
BETTER = ("lower", "higher", "equal", "within")
Number = int | float
Bound = Number | tuple[Number, Number]

_ID = re.compile(r"[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+){1,3}")


@dataclasses.dataclass(frozen=True)
class Stamp:
    """When and where a claim was measured.

    `commit`: the revision, with a `+` when files had been changed; `seconds`: the
    wall time of this row; `config`: the hash of the settings of its part, by which
    a row that is done is known.
    """

    commit: str | None = None
    seconds: float | None = None
    machine: str | None = None
    budget: str | None = None
    config: str | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """One row of the claims ledger.

    **Arguments:**
    - `id`: `study.part.name` (`study.name` where a part has one row).
    - `statement`: what was measured, one sentence.
    - `value`: the number (a median where there are several runs), None when there
      is none; `spread`: lowest and highest of the `n` runs; `unit`: `"1"` for a
      number without one.
    - `kind`: `"target"` (has to meet one), `"report"` (stands beside it), or
      `"not_run"` (could not be measured here).
    - `better`: `"lower"`, `"higher"`, `"equal"` or `"within"`; `target`: a number,
      or a pair for `"within"`; `goal`: a stricter target, never required.
    - `source`: whose target or method it is; `published`: the published number.
    - `scaled_down`: what is smaller here than in the source.
    - `reason`: why it was not run, or what was tried where the target is not met.

    `met` is computed from value and target and cannot be given.
    **Raises:** `ConfigError` for a row that contradicts itself.

    ```python
    >>> from pendula.studies import Claim
    >>> row = Claim("spine.help_seconds", "Time of `pendula --help`.", 0.2,
    ...             unit="s", kind="target", target=0.5)
    >>> row.met
    True

    ```
    """

    id: str
    statement: str
    value: Number | None
    spread: tuple[Number, Number] | None = None
    n: int = 1
    unit: str = "1"
    kind: str = "report"
    better: str = "lower"
    target: Bound | None = None
    goal: Bound | None = None
    source: str = "ours"
    published: Number | None = None
    scaled_down: str | None = None
    reason: str | None = None
    stamp: Stamp = Stamp()

    def __post_init__(self) -> None:
        for problem in _problems(self):
            raise ConfigError(f"claim {self.id}: {problem}")

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None for a row without one. A target whose
        value could not be had (a diverged run) is not met."""
        if self.kind != "target":
            return None
        return reaches(self.value, self.better, self.target)

    @property
    def goal_met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.kind != "target" or self.goal is None:
            return None
        return reaches(self.value, self.better, self.goal)

    def stamped(self, stamp: Stamp) -> Claim:
        """The same row with its stamp."""
        return dataclasses.replace(self, stamp=stamp)

    def to_dict(self) -> dict[str, Any]:
        """A row of `claims.json`."""
        out: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            if field.name == "stamp":
                continue
            value = getattr(self, field.name)
            out[field.name] = list(value) if isinstance(value, tuple) else value
            if field.name == "published":
                out["met"] = self.met
        return {**out, **dataclasses.asdict(self.stamp)}

    @classmethod
    def from_dict(cls, row: dict[str, Any], where: str = "claims.json") -> Claim:
        """The row as it was written.

        **Raises:** `DataError` for missing or unknown entries, or a `met` that does
        not follow from the value and the target.
        """
        if not isinstance(row, dict) or "id" not in row:
            raise DataError(f"{where}: a claim without an id. Run the study again.")
        stamps = {f.name for f in dataclasses.fields(Stamp)}
        fields = {f.name for f in dataclasses.fields(cls)} - {"stamp"} | {"met"}
        for key in row:
            if key not in fields | stamps:
                raise DataError(
                    f'{where}, claim {row["id"]}: unknown entry "{key}".'
                    f"{nearest(key, fields | stamps)} Run the study again."
                )
        missing = sorted(fields - set(row))
        if missing:
            raise DataError(
                f'{where}, claim {row["id"]}: "{missing[0]}" is missing. Run the '
                "study again."
            )
        pair: Any = lambda v: tuple(v) if isinstance(v, list) else v
        given: dict[str, Any] = {k: pair(row[k]) for k in fields - {"met"}}
        stamp = Stamp(**{k: row.get(k) for k in stamps})
        try:
            claim = cls(**given, stamp=stamp)
        except ConfigError as error:
            raise DataError(f"{where}: {error}") from error
        if claim.met is not row["met"]:
            raise DataError(
                f"{where}, claim {claim.id}: met is {row['met']}, but value and target "
                f"give {claim.met}. A claim is measured, never typed: run the study "
                "again."
            )
        return claim


def reaches(value: Number | None, better: str, bound: Bound | None) -> bool:
    """Whether a value reaches a bound; no value reaches none."""
    if value is None or bound is None:
        return False
    if isinstance(bound, tuple):
        return bound[0] <= value <= bound[1]
    if better == "equal":
        return value == bound
    return value <= bound if better == "lower" else value >= bound


def _problems(claim: Claim) -> list[str]:
    """What contradicts itself in a row, each with what to do."""
    out = []
    if not _ID.fullmatch(claim.id):
        out.append("the id must be study.part.name in letters, digits and _.")
    if not claim.statement.strip():
        out.append("it says nothing. Give a statement.")
    for name, allowed in (("kind", KINDS), ("better", BETTER)):
        value = getattr(claim, name)
        if value not in allowed:
            out.append(
                f'{name} is "{value}".{nearest(str(value), allowed)} Allowed: '
                f"{', '.join(allowed)}."
            )
    for name in ("value", "published", "spread", "target", "goal"):
        out += _not_numbers(name, getattr(claim, name))
    if isinstance(claim.n, bool) or claim.n < 1:
        out.append(f"n is {claim.n}; it counts the runs behind the value, at least 1.")
    return out or _contradictions(claim)


def _not_numbers(name: str, value: Any) -> list[str]:
    parts = value if isinstance(value, tuple) else (value,)
    out = []
    for part in parts:
        if part is None and not isinstance(value, tuple):
            continue
        if isinstance(part, bool) or not isinstance(part, int | float):
            out.append(f"{name} is {value!r}; expected numbers.")
        elif not math.isfinite(part):
            out.append(
                f"{name} is {part}; it must be finite. Where nothing finite came out, "
                "give None and the reason."
            )
    if isinstance(value, tuple) and not out:
        if len(value) != 2 or value[0] > value[1]:
            out.append(f"{name} is {value}; expected (low, high).")
        elif name == "value" or name == "published":
            out.append(f"{name} is {value}; expected one number.")
    return out


def _contradictions(claim: Claim) -> list[str]:
    out = []
    if claim.kind == "target" and claim.target is None:
        out.append("it has no target. Give one, or make it a report row.")
    if claim.kind == "report" and (claim.target is not None or claim.goal is not None):
        out.append("a report row has no target. Make it a target row, or leave it out.")
    if claim.kind == "not_run" and claim.value is not None:
        out.append("it was not run but has a value. Leave the value out.")
    if claim.kind == "not_run" and not claim.reason:
        out.append("it was not run. Give the reason.")
    if claim.value is None and not claim.reason:
        out.append("it has no value. Give the reason.")
    for name in ("target", "goal"):
        bound = getattr(claim, name)
        if bound is not None and isinstance(bound, tuple) != (claim.better == "within"):
            out.append(
                f"{name} is {bound}; a pair (low, high) belongs to better = within, "
                "a number to the others."
            )
    if out:
        return out
    if claim.spread is not None and claim.value is not None:
        low, high = claim.spread
        if not low <= claim.value <= high:
            out.append(f"value {claim.value} lies outside its spread [{low}, {high}].")
    if isinstance(claim.goal, int | float) and not reaches(
        claim.goal, claim.better, claim.target
    ):
        out.append(f"the goal {claim.goal} is easier than the target {claim.target}.")
    return out
