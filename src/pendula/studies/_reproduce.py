"""Run studies: row by row into the ledger, nothing measured twice."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from .._checks import choice
from .._errors import ConfigError
from .._machine import machine, revision
from ._catalogue import select
from ._claim import Claim, Stamp
from ._docs import write_docs
from ._ledger import Ledger
from ._study import NotHere, Part, Progress, Run, Study


BUDGETS = ("full", "quick")
RESULTS = Path("results")
DOCS = Path("docs") / "claims.md"
QUICK = Path("runs") / "quick"
SCRATCH = Path("runs") / "reproduce"


def reproduce(
    name: str,
    budget: str = "full",
    again: bool = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Claim]:
    """Run a study, or one of its parts, and write its claims.

    Every row is written when it is finished, with its commit, seconds, machine and
    budget. A row that was measured with the same settings is left as it is; after a
    kill the same call goes on where it stopped.

    **Arguments:**
    - `name`: a study, `STUDY.PART`, or `all`.
    - `budget`: `"full"` writes below `results/` (and `docs/claims.md`, where there
      is a `docs/`), `"quick"` runs the same code at a smaller size and writes below
      `runs/quick/`.
    - `again`: measure again what is done.
    - `out`: another folder for `NAME/claims.json`.
    - `progress`: called with lines of text.

    **Returns:** the claims of the parts that were asked for, in the table's order.
    **Raises:** `ConfigError` for unknown names or budgets, `DataError` for a
    claims file that cannot be read.
    """
    chosen = select(name)
    choice("budget", budget, BUDGETS)
    tell = progress or (lambda text: None)
    root = Path(out) if out is not None else (RESULTS if budget == "full" else QUICK)
    claims: list[Claim] = []
    for found, parts in chosen:
        claims += run_parts(found, parts, root, budget, again=again, progress=tell)
    if out is None and budget == "full" and DOCS.parent.is_dir():
        write_docs(RESULTS, DOCS)
    return claims


def run_parts(
    found: Study,
    parts: Sequence[Part],
    root: Path,
    budget: str,
    *,
    again: bool = False,
    progress: Progress = lambda text: None,
    scratch: Path = SCRATCH,
) -> list[Claim]:
    """Run parts of one study into `root/STUDY/claims.json`."""
    ledger = Ledger(root / found.name, found.name, budget, [r.id for r in found.rows])
    ledger.keep_only({row.id for row in found.rows})
    wanted: set[str] = set()
    for part in parts:
        # absolute: parts start processes in other folders
        name = f"{found.name}.{part.name}-{part.config(budget)}"
        folder = (scratch / name).resolve()
        if again:
            shutil.rmtree(folder, ignore_errors=True)
        wanted |= _run_part(part, ledger, budget, folder, again, progress)
    return [claim for claim in ledger.claims() if claim.id in wanted]


def _run_part(
    part: Part,
    ledger: Ledger,
    budget: str,
    scratch: Path,
    again: bool,
    progress: Progress,
) -> set[str]:
    """Measure what is left of one part; the ids that belong to it."""
    config = part.config(budget)
    table = {row.id: row for row in part.rows}
    done = {
        key
        for key, claim in ledger.rows.items()
        if key in table and claim.stamp.config == config and claim.kind != "not_run"
    }
    name = f"{ledger.study}.{part.name}"
    if again:
        done = set()
    if done == set(table):
        progress(f"{name}: done already")
        return set(table)
    progress(f"{name}: {len(table) - len(done)} of {len(table)} rows to measure")
    scratch.mkdir(parents=True, exist_ok=True)
    run = Run(
        part.settings[budget],
        table,
        frozenset(done),
        scratch,
        ledger.path.parent,
        progress,
        budget,
    )
    stamp = lambda seconds: Stamp(
        revision(), round(seconds, 1), machine(), budget, config
    )
    began = time.perf_counter()
    try:
        for claim in part.measure(run):
            if claim.id not in table:
                raise ConfigError(f"{name} gave the row {claim.id}, not in its table.")
            if claim.id not in done:
                # what was computed before a kill counts for the row that needs it
                seconds = time.perf_counter() - began + sum(run.earlier.values())
                run.earlier.update(dict.fromkeys(run.earlier, 0.0))
                ledger.put(claim.stamped(stamp(seconds)))
                done.add(claim.id)
                progress(_line(claim))
            began = time.perf_counter()
    except NotHere as error:
        for key in table:
            before = ledger.rows.get(key)
            # what was measured elsewhere stays: it has its own stamp
            if key not in done and (before is None or before.kind == "not_run"):
                ledger.put(table[key].not_run(str(error)).stamped(stamp(0.0)))
        progress(f"{name}: not run: {error}")
        return set(table)
    left = sorted(set(table) - done)
    if left:
        raise ConfigError(f"{name} ended without its row {left[0]}.")
    return set(table)


def _line(claim: Claim) -> str:
    """One line of progress about a finished row."""
    verdict = {True: "met", False: "NOT met", None: claim.kind}[claim.met]
    value = "no value" if claim.value is None else f"{claim.value:g}"
    value = value if claim.unit == "1" else f"{value} {claim.unit}"
    return re.sub(r"\s+", " ", f"{claim.id} = {value} ({verdict})")
