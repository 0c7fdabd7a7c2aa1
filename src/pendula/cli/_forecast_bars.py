"""`pendula forecast` of a chain of bars: beside a record, or as another machine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import ConfigError
from ._bars_records import bar_parts
from ._case import changed_case
from ._console import Console, command
from ._fit import _check_folder
from ._options import Reading, pairs


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import BarsFollowed, BarsMachine, Fitted
    from ..systems import SlinkyCase

FRAME = 0.01  # s between samples where no record says it


def is_chain(fitted: Fitted) -> bool:
    """Whether a fitted model is a chain of bars."""
    from ..dynamics import BarChain

    return isinstance(getattr(fitted.ensemble.field, "force", None), BarChain)


def check_out(out: Path | None, run: Path, force: bool) -> None:
    """Refuse a file that cannot be written, or a folder that is no new run.

    **Raises:** `ConfigError`.
    """
    if out is None:
        return
    if out.suffix:
        from ..data import check_writable

        check_writable(out)
        return
    _check_folder(out, False, force)
    if out.resolve() in (run.resolve(), run.resolve().parent):
        raise ConfigError(f"--out {out}: the model lies there. Choose another.")


def machine_of(
    fitted: Fitted, data: Trajectories, given: dict[str, str]
) -> BarsMachine:
    """The machine of a record: what it says itself, else that of the run; what was
    said with --set wins. **Raises:** `ConfigError`, `DataError`."""
    from ..dynamics import BarsMachine, from_dict
    from ._fit_options import _overrides

    usual = from_dict(fitted.about["config"].get("machine", {}), BarsMachine)
    own = _overrides([f"{k}={v}" for k, v in given.items()])
    own = own.pop("machine", {}) | own
    told = from_dict(own, BarsMachine, "--set")
    see = not {"first", "last"} <= set(own)
    found, _ = BarsMachine.of_record(data, usual, see)
    return dataclasses.replace(found, **{k: getattr(told, k) for k in own})


def beside_records(
    fitted: Fitted,
    given: Sequence[str],
    data: Trajectories,
    reading: Reading,
    changes: dict[str, str] | None = None,
    start: float | None = None,
    until: float | None = None,
) -> tuple[list[str], list[BarsFollowed]]:
    """Label and free run of every record, each as the machine it is of."""
    from ._bars_numbers import follow_records

    labels, runs = [], []
    for part in bar_parts(given, data, reading):
        machine = machine_of(fitted, part, changes or {})
        labels += part.labels
        runs += follow_records(fitted, part, machine, start, until)
    return labels, runs


def forecast_bars(
    fitted: Fitted,
    run: Path,
    data: Trajectories | None,
    given: tuple[str, ...],
    reading: Reading,
    case: str | None,
    settings: tuple[str, ...],
    start: float | None,
    until: float | None,
    out: Path | None,
    console: Console,
) -> int:
    """Roll the chain out; write its motion as a record, or a page of it."""
    from ._bars_numbers import snapshots_of, truth_of

    changes = pairs(settings, "--set")
    if data is not None:
        console.say("forecasting")
        labels, runs = beside_records(
            fitted, given, data, reading, changes, start, until
        )
        at, truth = snapshots_of(data), truth_of(data)
        name = ", ".join(Path(g).name for g in given[:3])
    else:
        assert case is not None
        if start is not None:
            raise ConfigError("--start is of a record; a case begins at 0. Leave it.")
        own = changed_case(case, changes, until)
        if own.touching:
            raise ConfigError(
                "--set touching: a forecast knows no contact of cycles. Leave it, or "
                "learn one in Python, with fit_contact."
            )
        runs = [_as_case(fitted, own, console)]
        labels, at, truth, name = [case], own.at, "", own.words
    page = None
    if out is not None and out.suffix:
        console.say(f"writing {out}")
        _write(out, runs, run)
    elif out is not None:
        console.say("writing the page")
        first = runs[0]
        title = f"{first.mean.shape[1]} bars: {name}, by {run.name}"
        page = _page(out, fitted, runs, labels, title, data, at=at, truth=truth)
    rows = [_row(one, label) for one, label in zip(runs, labels, strict=True)]
    lines = [_line(row) for row in rows]
    told: dict[str, Any] = {"file": None if out is None else str(out)}
    if page is not None:
        lines.append(f"page: {page}")
        told["page"] = str(page)
    elif out is not None:
        lines.append(str(out))
    told["forecasts"] = rows
    console.result("\n".join(lines), told)
    return 0 if all(one.good for one in runs) else 1


def _as_case(fitted: Fitted, case: SlinkyCase, console: Console) -> BarsFollowed:
    """The free run from where a case of the Slinky begins, at rest."""
    import numpy as np

    from ..dynamics import BarsMachine, check_bars_run, follow_bars
    from ..systems import to_bars

    machine = BarsMachine.of_case(case)
    if not case.seconds >= FRAME:
        raise ConfigError(f"--until {case.seconds:g}: less than {FRAME:g} s.")
    if case.cycles < 3:
        raise ConfigError(
            f"--set cycles={case.cycles}: a chain has at least 3 bars: two ends and "
            "one between them."
        )
    check_bars_run(fitted, case.seconds, FRAME, case.cycles)
    console.say(f"finding where {case.key} begins")
    _, state, _ = case.start()
    u, _ = to_bars(state.nodes[None])
    ts = FRAME * np.arange(int(case.seconds / FRAME + 1e-6) + 1)
    console.say("forecasting")
    return follow_bars(fitted, machine, ts, u, 0.0 * u, ends=case.ends(ts))


def _page(
    out: Path,
    fitted: Fitted,
    runs: list[BarsFollowed],
    labels: Any,
    title: str,
    data: Trajectories | None,
    *,
    at: Any,
    truth: str,
) -> Path:
    from ..report import write_numbers
    from ._bars_numbers import bars_facts, bars_report, machine_text

    machine = runs[0].machine
    decision = {
        "what": "masses and loads",
        "choice": f"{machine_text(machine)}; held {machine.held}",
        "why": "of the case" if data is None else "of the record, as told, or the run",
        "option": "--set drag=0.012",
    }
    begin = float(runs[0].ts[0])
    judged = None if data is None else (begin, "samples of this record")
    report, arrays = bars_report(
        fitted,
        runs,
        labels,
        title=title,
        data={} if data is None else bars_facts(data),
        decisions=[decision],
        command=command(),
        truth=truth,
        at=[t for t in at if begin <= t <= runs[0].ts[-1]],
        judged=judged,
    )
    return write_numbers(out, report, arrays)


def _write(out: Path, runs: list[BarsFollowed], run: Path) -> None:
    """The motions as records of bars, up to where they are lost.

    **Raises:** `DivergedError` where one is lost at once."""
    from .._errors import DivergedError
    from ..data import join, write
    from ..systems import bar_record

    origin = {"system": "bars", "model": str(run)}
    parts = []
    for one in runs:
        n = one.kept
        if n < 2:
            raise DivergedError(
                f"nothing is left to write to {out}: the motion is lost within "
                f"{one.ts[1] - one.ts[0]:g} s. Look at the machine that was told, or "
                "give a folder to --out for its page."
            )
        u, v = one.mean[:n], one.rates[:n]
        parts.append(bar_record(one.ts[:n], u, v, origin=origin))
    write(join(parts), out)


def _row(one: BarsFollowed, label: str) -> dict[str, Any]:
    import numpy as np

    from .._errors import Status
    from ._bars_numbers import error_row, interval_mm

    path = one.middle
    status = Status.ok if one.good else Status.diverged
    lowest = path.u[..., 1].min(1)
    deep = int(np.nanargmin(lowest)) if np.isfinite(lowest).any() else 0
    row: dict[str, Any] = {
        "trajectory": label,
        "start": float(one.ts[0]),
        "until": float(one.ts[-1]),
        "bars": int(one.mean.shape[1]),
        "held": one.machine.held,
        "machine": dataclasses.asdict(one.machine),
        "lowest": float(lowest[deep]),
        "lowest_at": float(one.ts[deep]),
        "drift": one.drift,
        "outside": float(one.outside.mean()),
        "status": status.name,
        "failed_at": one.ends_at,
        "interval_mm": interval_mm(one),
    }
    if one.truth is not None:
        own = error_row(one)
        row |= {"distance_mm": own["mean"], "largest_mm": own["largest"]}
        row |= {"helix_mse_m2": own["helix"], "covered": own.get("covered")}
    return row


def _line(row: dict[str, Any]) -> str:
    from .._errors import Status
    from ..diagnostics import Limits
    from ..report import number, percent

    text = (
        f"{row['trajectory']}: {row['bars']} bars held {row['held']}, from "
        f"{number(row['start'])} to {number(row['until'])} s"
    )
    if "distance_mm" in row:
        text += (
            f", mean distance {number(row['distance_mm'])} mm (largest "
            f"{number(row['largest_mm'])} mm)"
        )
    if row["interval_mm"] is not None:
        text += f", 90 % intervals ± {number(row['interval_mm'])} mm"
        if row.get("covered") is not None:
            text += f" that hold {percent(row['covered'])} of the record"
    text += f", lowest {number(row['lowest'])} m at {number(row['lowest_at'])} s"
    if row["drift"] is not None and row["status"] == Status.ok.name:
        text += f", energy drift {percent(row['drift'])}"
    if row["outside"] > 0:
        text += f", {percent(row['outside'])} of the pairs outside the training range"
    if row["interval_mm"] is not None and row["outside"] > Limits().outside:
        text += ": intervals are too narrow there"
    if row["status"] != Status.ok.name:
        text += (
            f"\n  diverged at {number(row['failed_at'])} s: {Status.diverged.advice}"
        )
    return text


def score_bars(
    fitted: Fitted,
    given: Sequence[str],
    data: Trajectories,
    reading: Reading,
    start: float | None,
) -> list[dict[str, Any]]:
    """One row a record: distances of a free run, drift, status."""
    labels, runs = beside_records(fitted, given, data, reading, start=start)
    return [_row(one, label) for one, label in zip(runs, labels, strict=True)]


def hold_bars(
    fitted: Fitted,
    given: Sequence[str],
    data: Trajectories,
    reading: Reading,
    trust_to: float | None,
) -> list[dict[str, Any]]:
    """For each record whether the chain keeps close to it up to the horizon of the
    verdict (all of it where there is none)."""
    from ..diagnostics import Limits
    from ..report import number, percent
    from ._bars_numbers import spread

    labels, runs = beside_records(fitted, given, data, reading)
    limit = Limits().spread
    rows = []
    for label, one in zip(labels, runs, strict=True):
        until = math.inf if trust_to is None else one.ts[0] + trust_to
        near = one.ts <= until + 1e-9
        mean, whole = float(one.error[near].mean()), spread(one)
        holds = bool(math.isfinite(mean) and mean < limit * whole)
        text = (
            f"{label}: mean distance {number(1e3 * mean)} mm, expected below "
            f"{percent(limit)} of the spread, {number(1e3 * limit * whole)} mm"
        )
        rows.append(
            {"trajectory": label, "distance": mean, "holds": holds, "text": text}
        )
    return rows
