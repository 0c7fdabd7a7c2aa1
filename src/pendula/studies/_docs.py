"""The ledger as pages, generated from `results/`, never typed: `docs/claims.md`, and
in `docs/claims/` one page for each study."""

from __future__ import annotations

from pathlib import Path

from .._files import replacing
from ._catalogue import studies
from ._claim import Bound, Claim, Number
from ._ledger import read_claims


HEAD = """\
# Claims

Everything that Pendula says of itself in numbers, with the command that measures it: a
page for each study. They are generated from `results/` by `pendula reproduce`; `pendula
claims` prints the same rows.

- A **target** row has to reach its target; the goal is stricter and never required. A
  row that is not met stays, with what was tried.
- A **report** row stands beside: baselines, classical methods, secondary figures, also
  where they are better.
- A row that could not be run says why.

A value of several runs is their median, with the lowest and the highest in brackets.
"""
TITLE = "# Claims: "  # of the page of a study
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


def docs_pages(folder: str | Path = "results", name: str = "claims") -> dict[str, str]:
    """The texts of `NAME.md`, first, and of `NAME/STUDY.md`; the same results give the
    same texts."""
    found = read_claims(folder)
    known = studies()
    about = {one: known[one].about if one in known else "" for one in found}
    pages = {
        f"{name}/{one}.md": _page(one, about[one], found[one], name) for one in found
    }
    return {f"{name}.md": _overview(about, found, name), **pages}


def write_docs(
    folder: str | Path = "results", path: str | Path = "docs/claims.md"
) -> Path:
    """Write `docs/claims.md` and the pages of the studies from the results.

    ```python
    >>> from pendula.studies import write_docs
    >>> write_docs("no_results_here", "claims.md").read_text()[:8]
    '# Claims'

    ```
    """
    path = Path(path)
    pages = docs_pages(folder, path.stem)
    places = {path.parent / name: text for name, text in pages.items()}
    for old in set(path.with_suffix("").glob("*.md")) - set(places):
        if old.read_text(encoding="utf-8").startswith(TITLE):
            old.unlink()  # of a study that is no more
    for place, text in reversed(places.items()):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def _overview(about: dict[str, str], found: dict[str, list[Claim]], folder: str) -> str:
    """Counts of every study, and by name what is not met or was not run."""
    if not found:
        return f"{HEAD}\nNo study has been run yet.\n"
    lines = [
        "| study | targets met | not met | rows beside | not run | about |",
        "|---|---|---|---|---|---|",
    ]
    unmet, missing = [], []
    for name, claims in found.items():
        kinds = [claim.kind for claim in claims]
        below = [claim for claim in claims if claim.met is False]
        met = sum(claim.met is True for claim in claims)
        beside, left = kinds.count("report"), kinds.count("not_run")
        lines.append(
            f"| [{name}]({folder}/{name}.md) | {met} | {len(below)} | {beside} "
            f"| {left} | {_cell(about[name])} |"
        )
        unmet += [_unmet(claim) for claim in below]
        missing += _not_run(claims)
    for title, rows in (
        ("Targets that are not met", unmet),
        ("Rows that were not run", missing),
    ):
        if rows:
            lines += ["", f"## {title}", "", *rows]
    return "\n".join([HEAD, *lines, ""])


def _cell(text: str) -> str:
    """A text as it stands in a table."""
    return text.replace("|", "\\|")


def _unmet(claim: Claim) -> str:
    row = cells(claim)
    return (
        f"- `{claim.id}`: {row['statement']} Measured: {row['value']}; asked: "
        f"{row['target']}. {row['note']}"
    )


def _not_run(claims: list[Claim]) -> list[str]:
    """The rows that were not run, those of one part and reason in one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for claim in claims:
        if claim.kind == "not_run":
            key = (claim.id.rpartition(".")[0], cells(claim)["note"])
            groups.setdefault(key, []).append(claim.id)
    named = lambda part, ids: (
        f"`{ids[0]}`" if len(ids) == 1 else f"`{part}`, {len(ids)} rows"
    )
    return [f"- {named(part, ids)}: {why}" for (part, why), ids in groups.items()]


def _page(name: str, about: str, claims: list[Claim], first: str) -> str:
    targets = [claim for claim in claims if claim.kind == "target"]
    met = sum(claim.met is True for claim in targets)
    missing = sum(claim.kind == "not_run" for claim in claims)
    lines = [
        f"{TITLE}{name}",
        "",
        *([about, ""] if about else []),
        f"`pendula reproduce {name}`: {met} of {len(targets)} targets met"
        + (f", {missing} rows not run" if missing else "")
        + f". What the columns mean, and the other studies: [claims](../{first}.md).",
        "",
        "| id | what | value | target | goal | met | source |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for claim in claims:
        row = {key: _cell(text) for key, text in cells(claim).items()}
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
