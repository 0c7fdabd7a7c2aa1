"""`docs/claims.md`: the ledger as a page, generated from `results/`, never typed."""

from __future__ import annotations

from pathlib import Path

from .._files import replacing
from ._claim import Bound, Claim, Number
from ._ledger import read_claims


HEAD = """\
# Claims

Everything that Pendula says of itself in numbers, with the command that measures it.
This page is generated from `results/` by `pendula reproduce`; `pendula claims` prints
the same rows.

- A **target** row has to reach its target; the goal is stricter and never required. A
  row that is not met stays here, with what was tried.
- A **report** row stands beside: baselines, classical methods, secondary figures, also
  where they are better.
- A row that could not be run says why.

A value of several runs is their median, with the lowest and the highest in brackets.
"""
SIGN = {"lower": "<=", "higher": ">=", "equal": "=", "within": "in"}
MET = {True: "yes", False: "**no**", None: ""}


def number(value: Number | None) -> str:
    """A number as it is written in tables: three digits, whole numbers whole."""
    if value is None:
        return "-"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}"


def bound(better: str, value: Bound | None) -> str:
    """A target or goal with its direction."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return f"{SIGN[better]} [{number(value[0])}, {number(value[1])}]"
    return f"{SIGN[better]} {number(value)}"


def cells(claim: Claim) -> dict[str, str]:
    """The row of a claim as texts: id, statement, value, target, goal, met,
    published, source, note."""
    value = "not run" if claim.kind == "not_run" else number(claim.value)
    if claim.spread is not None:
        value += f" [{number(claim.spread[0])}, {number(claim.spread[1])}]"
    if claim.value is not None and claim.unit != "1":
        value += f" {claim.unit}"
    if claim.n > 1:
        value += f" (n = {claim.n})"
    notes = [claim.scaled_down and f"Scaled down: {claim.scaled_down}", claim.reason]
    goal = bound(claim.better, claim.goal)
    if claim.goal_met:
        goal += " (reached)"
    return {
        "id": claim.id,
        "statement": claim.statement,
        "value": value,
        "target": bound(claim.better, claim.target),
        "goal": goal,
        "met": MET[claim.met],
        "published": "" if claim.published is None else number(claim.published),
        "source": claim.source,
        "note": " ".join(note for note in notes if note),
    }


def docs_text(folder: str | Path = "results") -> str:
    """The text of `docs/claims.md`; the same results give the same text."""
    parts = [HEAD]
    found = read_claims(folder)
    if not found:
        parts.append("No study has been run yet.\n")
    for name, claims in found.items():
        parts.append(_study(name, claims))
    return "\n".join(parts)


def write_docs(
    folder: str | Path = "results", path: str | Path = "docs/claims.md"
) -> Path:
    """Write `docs/claims.md` from the results.

    ```python
    >>> from pendula.studies import write_docs
    >>> write_docs("no_results_here", "claims.md").read_text()[:8]
    '# Claims'

    ```
    """
    with replacing(path) as temporary:
        temporary.write_text(docs_text(folder), encoding="utf-8")
    return Path(path)


def _study(name: str, claims: list[Claim]) -> str:
    targets = [claim for claim in claims if claim.kind == "target"]
    met = sum(claim.met is True for claim in targets)
    missing = sum(claim.kind == "not_run" for claim in claims)
    lines = [
        f"## {name}",
        "",
        f"`pendula reproduce {name}`: {met} of {len(targets)} targets met"
        + (f", {missing} rows not run" if missing else "")
        + ".",
        "",
        "| id | what | value | target | goal | met | source |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for claim in claims:
        row = {key: text.replace("|", "\\|") for key, text in cells(claim).items()}
        source = row["source"]
        if row["published"]:
            source += f": {row['published']}"
        lines.append(
            f"| `{row['id']}` | {row['statement']} | {row['value']} | {row['target']} "
            f"| {row['goal']} | {row['met']} | {source} |"
        )
        if row["note"]:
            notes.append(f"- `{row['id']}`: {row['note']}")
    if notes:
        lines += ["", *notes]
    lines += ["", *_stamps(claims), ""]
    return "\n".join(lines)


def _stamps(claims: list[Claim]) -> list[str]:
    """Where the rows were measured, rows of the same place in one line."""
    groups: dict[tuple[str, str, str], list[Claim]] = {}
    for claim in claims:
        at = claim.stamp
        key = (at.commit or "no revision", at.machine or "unknown", at.budget or "")
        groups.setdefault(key, []).append(claim)
    out = []
    for (revision, place, budget), rows in groups.items():
        seconds = sum(row.stamp.seconds or 0.0 for row in rows)
        out.append(
            f"{len(rows)} rows at {revision} on {place}, budget {budget}, "
            f"{seconds:.0f} s."
        )
    return out
