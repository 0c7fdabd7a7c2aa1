"""The numbers of the page of a chain of bars, from its free runs."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import Status
from .._machine import cores, revision, versions
from .._source import citations
from .._tree import sources_of
from ..data import Trajectories, sampling
from ..diagnostics import Limits, verdict
from ..dynamics import (
    STARTS,
    BarsFollowed,
    BarsMachine,
    Fitted,
    check_bars_run,
    follow_bars,
)
from ..systems import SlinkyCase, bars_of


BINS = 8
LEVEL = 0.9  # of the intervals
NOTHING = 1e-9  # samples
DRIFT = 0.01  # of the peak of the kinetic energy, from which on it is mentioned
MM = 1e3


def follow_records(
    fitted: Fitted,
    data: Trajectories,
    machine: BarsMachine,
    start: float | None = None,
    until: float | None = None,
) -> list[BarsFollowed]:
    """The chain's free run beside each record: from the sample at `start` (the first)
    to `until` (the last; later times are added).

    **Raises:** `ConfigError` for times that leave nothing to run over, or too much.
    """
    case = SlinkyCase.recorded(data.origin)
    out = []
    for i in range(data.num):
        ts, u, v = bars_of(data, i)
        begin = ts[0] if start is None else start
        end = ts[-1] if until is None else until
        ts, u, v = _cut(ts, u, v, float(begin), float(end))
        step = ts[-1] - ts[-2]
        if end > ts[-1]:
            check_bars_run(fitted, float(end - ts[0]), float(step), u.shape[1])
        more = max(0, int(np.floor((end - ts[-1]) / step + 1e-6)))
        whole = np.concatenate([ts, ts[-1] + step * np.arange(1, more + 1)])
        ends = None if case is None else case.ends(whole)
        out.append(follow_bars(fitted, machine, whole, u, v, ends=ends))
    return out


def _cut(
    ts: np.ndarray, u: np.ndarray, v: np.ndarray, begin: float, end: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from .._errors import ConfigError

    keep = (ts >= begin - 1e-9) & (ts <= end + 1e-9)
    if keep.sum() < 2:
        raise ConfigError(
            f"from {begin:g} to {end:g} s the record, which runs from {ts[0]:g} to "
            f"{ts[-1]:g} s, has {keep.sum()} samples; a run needs 2. Choose --start "
            "and --until inside it."
        )
    return ts[keep], u[keep], v[keep]


def bars_report(
    fitted: Fitted,
    runs: Sequence[BarsFollowed],
    labels: Sequence[str],
    *,
    title: str,
    data: dict[str, Any],
    decisions: Sequence[dict[str, str]],
    command: str,
    truth: str = "record",
    at: Sequence[float] = (),
    taught_to: float | None = None,
    judged: tuple[float, str] | None = None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the page shows: a report and its arrays.

    **Arguments:** `runs`: one a record, the first is drawn; `data`: of `bars_facts`;
    `at`: times of the snapshots; `taught_to`: the last time that was learned from;
    `judged`: from which time on the errors count, and what these samples are; None:
    there is nothing that was not learned from.
    """
    first = runs[0]
    known = first.truth is not None
    told, findings = _verdict(runs, judged) if known and judged else (None, [])
    report = {
        "format": 1,
        "kind": "bars",
        "title": title,
        "data": data,
        "decisions": list(decisions),
        "model": _model(fitted),
        "scores": _scores(runs, judged) if known else {},
        "verdict": told,
        "bars": {
            "bars": first.mean.shape[1],
            "held": first.machine.held,
            "words": machine_text(first.machine),
            "machine": dataclasses.asdict(first.machine),
            "law": fitted.about.get("law"),
            "truth": truth,
            "taught_to": taught_to,
            "at": [float(t) for t in at] or _thirds(first.ts),
            "energy": _energy_rows(first),
            "interval_mm": interval_mm(first),
            "errors": [
                {"record": label, **error_row(run)}
                for label, run in zip(labels, runs, strict=True)
                if run.truth is not None
            ],
        },
        "findings": [*findings, *_findings(runs)],
        "reproduce": {
            "command": command,
            "config": fitted.about["config"],
            "versions": versions(),
            "seed": fitted.about.get("seed"),
            "platform": platform.platform(),
            "device": str(jax.devices()[0]),
            "cpus": cores(),
            "revision": revision(),
            "citations": citations(sources_of(fitted.ensemble)),
        },
    }
    return report, _arrays(first)


def bars_facts(data: Trajectories) -> dict[str, Any]:
    """The data in short: a summary without a line a channel, of which there are six a
    bar."""
    n = data.lengths
    spans = [float(t[k - 1] - t[0]) for t, k in zip(data.ts, n, strict=True)]
    return {
        "num": data.num,
        "labels": list(data.labels),
        "lengths": [int(n.min()), float(np.median(n)), int(n.max())],
        "duration": [min(spans), float(np.median(spans)), max(spans)],
        "time_range": [float(data.ts.min()), float(data.ts.max())],
        "time_unit": data.time_unit,
        "sampling": sampling(data),
        "channels": [],
        "files": data.origin.get("files") or [],
        "history": [_short(text) for text in data.origin.get("history") or []],
        "licence": data.licence,
    }


def _short(text: Any) -> str:
    """A note without the rest of a list that has an entry a channel."""
    return str(text) if len(str(text)) < 90 else f"{str(text)[:80]} .."


def bars_title(data: Trajectories, given: Sequence[str]) -> str:
    """Bars and where they come from."""
    names = [Path(d).name for d in given[:3]]
    return f"{data.dim // 6} bars: {', '.join(names)}"


def truth_of(data: Trajectories) -> str:
    """What to call the record: a simulated one is the rod."""
    return "rod" if SlinkyCase.recorded(data.origin) is not None else "record"


def snapshots_of(data: Trajectories) -> tuple[float, ...]:
    """Times at which others show the case of a record."""
    case = SlinkyCase.recorded(data.origin)
    end = float(data.ts[0].max())
    return () if case is None else tuple(t for t in case.at if t <= end)


def machine_text(machine: BarsMachine) -> str:
    """Masses and loads in one line."""
    x, y = machine.gravity
    parts = [
        f"mass {1e3 * machine.mass:.4g} g",
        f"radius {1e3 * machine.radius:.4g} mm",
        f"gravity {x:.4g}, {y:.4g} m/s²",
        f"drag {machine.drag:.4g} N s/m²" if machine.drag else "no drag",
    ]
    if machine.stiffness != 1.0:
        parts.append(f"{machine.stiffness:.4g} times as stiff as learned")
    return ", ".join(parts)


def error_row(run: BarsFollowed) -> dict[str, Any]:
    """Mean and largest distance [mm], helix error [m^2] of one run, where a record is
    known; infinite where the motion is not finite. `covered`: the share of coordinates
    within their intervals, where the fit has such."""
    far = MM * run.error[_measured(run)]
    helix = run.helix_error if np.isfinite(far).all() else np.inf
    row = {"mean": float(far.mean()), "largest": float(far.max()), "helix": helix}
    within = run.covered
    if within is not None:
        row["covered"] = float(within[_measured(run)][1:].mean())
    return row


def interval_mm(run: BarsFollowed) -> float | None:
    """Half width of the 90 % intervals of tops and bottoms that move [mm], root of the
    mean square; None where the fit has none, or the motion is not finite."""
    half = run.half
    if half is None or not run.good:
        return None
    own = slice(int(run.machine.first), half.shape[1] - int(run.machine.last))
    return MM * float(np.sqrt(np.mean(half[1:, own] ** 2)))


def _measured(run: BarsFollowed) -> np.ndarray:
    assert run.truth is not None
    return np.all(np.isfinite(run.truth), axis=(1, 2))


def _thirds(ts: np.ndarray) -> list[float]:
    return [float(ts[int(k * (len(ts) - 1) / 3)]) for k in (1, 2, 3)]


def _model(fitted: Fitted) -> dict[str, Any]:
    about = fitted.about
    return {
        "equation": "M u'' = minus the slope of the learned energy, weight and drag; "
        "u = (x, y, alpha) of every bar",
        "terms": about["terms"],
        "parameters": about["parameters"],
        "members": about["members"],
    }


def _judged_part(run: BarsFollowed, after: float) -> np.ndarray:
    return _measured(run) & (run.ts > after + 1e-9)


def _scores(
    runs: Sequence[BarsFollowed], judged: tuple[float, str] | None
) -> dict[str, Any]:
    """Headline and rivals over the judged part, or over everything."""
    after, what = (
        (-np.inf, "samples that it learned from") if judged is None else judged
    )
    keep = [_judged_part(run, after) for run in runs]
    over = lambda values: (
        MM * np.concatenate([v[k] for v, k in zip(values, keep, strict=True)])
    )
    ours = over([run.error for run in runs])
    value = float(ours.mean())
    begin, end = runs[0].ts[keep[0]][[0, -1]]
    table = []
    rivals = {"persistence": [run.persistence for run in runs]}
    if all(run.law is not None for run in runs):
        rivals["classical law"] = [run.distance(run.law) for run in runs]
    for name, values in rivals.items():
        own = over(values)
        own = float(np.where(np.isnan(own), np.inf, own).mean())
        ratio = value / own if own > 0 and np.isfinite(value) else None
        table.append({"name": name, "rmse": own, "ratio": ratio})
    low, high = np.quantile(ours, [0.1, 0.9], method="inverted_cdf")
    return {
        "headline": {
            "text": "mean distance of the tops and bottoms of bars from the record's, "
            f"{begin:.3g} to {end:.3g} s of a free run from {runs[0].ts[0]:.3g} s, "
            f"{what} (interval: 10 to 90 % of the samples)",
            "value": value,
            "low": float(low),
            "high": float(high),
            "unit": "mm",
        },
        "baselines": table,
    }


def _verdict(
    runs: Sequence[BarsFollowed], judged: tuple[float, str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How long a run can be trusted; never for the samples alone that it learned
    from."""
    after, what = judged
    lag = np.concatenate([run.ts[_measured(run)] - run.ts[0] for run in runs])
    every = lambda pick: np.concatenate([pick(run)[_measured(run)] for run in runs])
    error = every(lambda run: run.error)
    edges = np.linspace(0.0, lag.max(), BINS + 1)
    index = np.clip(np.searchsorted(edges, lag - 1e-9) - 1, 0, BINS - 1)
    filled = [k for k in range(BINS) if (index == k).any()]
    binned = lambda values, how: np.array([how(values[index == k]) for k in filled])
    middle = binned(error, np.median)
    halving = binned(every(lambda run: run.halving), np.median)
    share = np.divide(halving, middle, out=np.zeros_like(middle), where=middle > 0)
    law = _against_law(runs, after)
    whole = float(np.sqrt(np.mean([spread(run) ** 2 for run in runs])))
    drifts = [run.drift for run in runs if run.good and run.drift is not None]
    notes = [law] if law else []
    if drifts and max(drifts) > DRIFT:
        notes.append(
            f"Energy drifts by {100 * max(drifts):.2g} % of the peak of the kinetic "
            "one."
        )
    covered, count = _coverage(runs, after, binned)
    found, findings = verdict(
        edges[1:][filled],
        MM * middle,
        {"persistence": MM * binned(every(lambda run: run.persistence), np.median)},
        spread=MM * whole,
        covered=covered,
        count=count,
        sampling=float(np.median(np.diff(runs[0].ts))),
        halving=np.where(np.isnan(share), np.inf, share),
        outside=binned(every(lambda run: run.outside), np.mean),
        statuses=[Status.diverged if not run.good else Status.ok for run in runs],
        t_fail=[np.inf if run.ends_at is None else run.ends_at for run in runs],
        unit="mm",
        notes=notes,
    )
    told = found.to_dict()
    unseen = after - float(runs[0].ts[0])
    if found.trust and found.trust_to is not None and found.trust_to <= unseen:
        reason = f"What can be trusted ends before {unseen:.3g} s, where {what} begin."
        told |= {"trust": False, "trust_to": None}
        told["reasons"] = [reason, *told["reasons"]]
        told["text"] = " ".join(["Do not trust.", *told["reasons"]])
    return told, [f.to_dict() for f in findings]


def _coverage(
    runs: Sequence[BarsFollowed],
    after: float,
    binned: Callable[[np.ndarray, Callable], np.ndarray],
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Share of the record within its intervals in each bin, and of how many samples:
    those that were learned from set the intervals and say nothing of them, so that a
    bin of these alone counts as it should be, next to nothing."""
    told = []
    for run in runs:
        within = run.covered
        if within is None:
            return None, None
        judged = np.where(_judged_part(run, after), within, np.nan)
        told.append(judged[_measured(run)])
    share = np.concatenate(told)
    count = binned(share, lambda values: np.isfinite(values).sum())
    total = binned(share, np.nansum)
    own = np.where(count > 0, total / np.maximum(count, 1), LEVEL)
    return own, np.maximum(count, NOTHING)


def _against_law(runs: Sequence[BarsFollowed], after: float) -> str:
    """A sentence where three constants do as well as the network."""
    if any(run.law is None for run in runs):
        return ""
    keep = [_judged_part(run, after) for run in runs]
    pairs = list(zip(runs, keep, strict=True))
    ours = np.concatenate([run.error[k] for run, k in pairs]).mean()
    law = np.concatenate([run.distance(run.law)[k] for run, k in pairs]).mean()
    if not law <= ours:
        return ""
    return (
        f"The classical law of three constants comes closer here: {MM * law:.3g} mm "
        f"on average, the network {MM * ours:.3g} mm."
    )


def spread(run: BarsFollowed) -> float:
    """Root mean square distance of the bars that move from their mean place [m]."""
    assert run.truth is not None
    low, high = int(run.machine.first), run.truth.shape[1] - int(run.machine.last)
    xy = run.truth[_measured(run), low:high, :2]
    return float(np.sqrt(np.mean(np.sum((xy - xy.mean(0)) ** 2, axis=-1))))


def _energy_rows(run: BarsFollowed) -> list[dict[str, str]]:
    rows = []
    if run.drift is not None and np.isfinite(run.drift):
        what = "drift, what drag took counted in" if run.lost.any() else "drift"
        text = f"{100 * run.drift:.2g} % of the peak of the kinetic energy"
        rows.append({"name": what, "text": text})
    if run.lost.any() and np.isfinite(run.lost[-1]):
        rows.append({"name": "drag took", "text": f"{MM * run.lost[-1]:.3g} mJ"})
    if run.moved:
        text = "an end is moved and does work: the sum may change"
        rows.append({"name": "drift", "text": text})
    return rows


def _findings(runs: Sequence[BarsFollowed]) -> list[dict[str, Any]]:
    """Drift of the energy, and what leaves the range of the training."""
    out = []
    drifts = [run.drift for run in runs if run.drift is not None]
    if drifts:
        worst = float(max(drifts))
        out.append(
            {
                "id": "bars.drift",
                "statement": "Drift of the energy over the peak of the kinetic one",
                "value": worst,
                "comparison": f"expected below {DRIFT:g}",
                "verdict": "good" if worst < DRIFT else "bad",
            }
        )
    if not any(run.truth is not None for run in runs):
        share = float(np.mean([run.outside.mean() for run in runs]))
        limit = Limits().outside
        out.append(
            {
                "id": "bars.outside",
                "statement": "Share of pairs outside the training range",
                "value": share,
                "comparison": f"expected below {limit:g}",
                "verdict": "good" if share < limit else "bad",
            }
        )
    return out


def _arrays(run: BarsFollowed) -> dict[str, np.ndarray]:
    """The numbers of every figure, of one run."""
    middle = run.middle
    out: dict[str, np.ndarray] = {
        "bars/ts": run.ts,
        "bars/network": run.mean,
        "bars/rates": run.rates,
        "energy/total": middle.total,
        "energy/lost": run.lost,
        "outside/share": run.outside,
        **{f"energy/{name}": values for name, values in middle.energy.items()},
    }
    start = np.concatenate([run.mean[0].ravel(), run.rates[0].ravel()])
    if not run.moved and np.isfinite(start).all():  # ends that are moved are not swept
        out[STARTS] = start[None]
    if len(run.paths) > 1:
        out["bars/members"] = np.stack([p.u for p in run.paths])
    if run.truth is None:
        return out
    out |= {
        "bars/record": run.truth,
        "distance/network": MM * run.distance(run.mean),
        "distance/persistence": MM * run.persistence,
        "halving/mm": MM * run.halving,
    }
    half = run.half
    if half is not None:
        # the distance at which a vertex leaves its interval in both coordinates
        out["distance/interval"] = MM * np.hypot(half[..., 0], half[..., 1]).mean(
            axis=(1, 2)
        )
    if len(run.paths) > 1:
        far = [MM * run.distance(p.u) for p in run.paths]
        out["distance/members"] = np.stack(far)
    if run.law is not None:
        out |= {"bars/law": run.law, "distance/law": MM * run.distance(run.law)}
    if run.truth_energy is not None:
        out["energy/record"] = sum(run.truth_energy.values(), np.zeros(len(run.ts)))
    return out
