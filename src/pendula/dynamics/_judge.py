"""How good a fit is: free runs on held-out data, against baselines, with bands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from .._errors import DataError
from ..data import Batch, Trajectories
from ..diagnostics import (
    Conformal,
    Finding,
    confounded,
    error_growth,
    fit_baselines,
    held_out_coverage,
    is_confounded,
    verdict,
)
from ._fitted import Fitted
from ._panels import energy_findings
from ._posterior import constant_covariance, free_constants
from ._prepare import Prepared, estimate_states, spread_of, without_strays
from ._report import fill_report


BINS = 8
STARTS = 12  # forecast starts within one held-out stretch
BEGINNING = 4  # fewest samples that a forecast begins with
SHARE = 0.6  # of a held-out stretch that each of them runs over
REPEATING = 2.0  # samples of correlation time: beyond, residuals are no noise
BY_CHANCE = 30.0  # over the root of their number: what one noise in a hundred shows
QUIET = 0.5  # of the spread in training: what is held out should move so widely
SHOWS = 0.5  # change by half the step over the error, times the root of the samples
STEP = "leaves out the error of the solver's step"  # what an interval does


@dataclasses.dataclass(frozen=True)
class Trial:
    """Free runs from held-out starts.

    `horizon` `"start time"` since the end of the history, `error`, `var`, `mean`,
    `truth` `"start time obs"`; `rivals`: baseline -> error; `halved`: change by half
    the step, `outside` `"start time"` share of members, `status`, `t_fail`
    `"member start"`; `states`, `refined` `"start time dim"` of the middle member, the
    second at half the step.
    """

    horizon: np.ndarray
    ts: np.ndarray
    mean: np.ndarray
    truth: np.ndarray
    error: np.ndarray
    var: np.ndarray
    rivals: dict[str, np.ndarray]
    rival_paths: dict[str, np.ndarray]
    halved: np.ndarray
    outside: np.ndarray
    status: np.ndarray
    t_fail: np.ndarray
    states: np.ndarray
    refined: np.ndarray
    us: np.ndarray | None = None


def judge(
    fitted: Fitted,
    prepared: Prepared,
    command: str,
    tell: Callable[[dict[str, Any]], None] | None,
    notes: Sequence[str] = (),
) -> Fitted:
    """Score, intervals, verdict, report: everything that is said about a fit; `notes`
    are sentences of the training that belong to the verdict."""
    if tell is not None:
        tell({"phase": "judging on held-out data", "index": 98, "total": 1, "step": 0})
    trial = run_trial(fitted, prepared)
    scale = spread_of(without_strays(prepared.train))
    runs = np.isfinite(trial.error).any((0, 1)).all()  # in every channel some
    intervals = None
    if runs:
        intervals = Conformal.calibrate(
            trial.horizon, trial.error, trial.var, bins=BINS
        )
    measured = measured_horizons(trial.horizon, trial.error)
    growth = error_growth(trial.error / scale, measured, BINS)
    rivals = {
        name: error_growth(e / scale, trial.horizon, growth.until)
        for name, e in trial.rivals.items()
    }
    held = None
    if runs:
        held = held_out_coverage(
            trial.horizon, trial.error, trial.var, bins=growth.until
        )
    share = np.full(len(growth.until), np.nan) if held is None else held.share
    change = error_growth(trial.halved / scale, trial.horizon, growth.until)
    with np.errstate(divide="ignore", invalid="ignore"):
        halving = np.where(growth.median > 0, change.median / growth.median, 0.0)
    outside = _binned(trial.outside, trial.horizon, growth.until)
    # errors of the solver are alike in all samples, those of noise are not
    count = prepared.train.mask.any(-1).sum() / prepared.every
    shows = bool((~(halving * np.sqrt(count) < SHOWS)).any())
    about = {**fitted.about, "step_shows": shows}
    fitted = dataclasses.replace(fitted, about=about)
    found, marked = constants_found(fitted)
    found = [*quieter(prepared), *left_out(fitted, prepared), *found]
    one_unit = len(set(fitted.about["units"])) == 1 and len(scale) == 1
    factor = float(scale[0]) if one_unit else 1.0
    judged, findings = verdict(
        growth.until,
        growth.median * factor,
        {name: g.median * factor for name, g in rivals.items()},
        spread=factor,
        covered=share,
        sampling=prepared.sampling,
        count=None if held is None else held.count,
        halving=halving if runs else None,
        outside=outside,
        statuses=trial.status.max(1),
        t_fail=np.min(trial.t_fail, axis=1),
        unit=fitted.about["units"][0] if one_unit else "of the spread",
        time_unit=fitted.about["time_unit"],
        notes=[*notes, *(f.text for f in found if f.verdict == "bad")],
    )
    about = {
        **fitted.about,
        "verdict": {
            "trust": judged.trust,
            "trust_to": judged.trust_to,
            "unit": fitted.about["time_unit"],
            "reasons": list(judged.reasons),
            "text": judged.text,
        },
        "constants": marked,
    }
    fitted = dataclasses.replace(fitted, intervals=intervals, about=about)
    panels = {
        "growth": growth,
        "rivals": rivals,
        "coverage": held,
        "halving": halving,
        "factor": factor,
        "unit": fitted.about["units"][0] if one_unit else "share of the spread",
    }
    drifts = energy_findings(fitted, trial)
    return fill_report(
        fitted, prepared, trial, panels, [*findings, *drifts, *found], command
    )


def measured_horizons(horizon: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Horizons `"start time"` of the errors `"start time obs"`, NaN where nothing was
    measured: a bin that no sample is in would end the trust."""
    seen = ~np.isnan(error).all(-1)
    return np.where(seen, horizon, np.nan) if seen.any() else horizon


def quieter(prepared: Prepared) -> list[Finding]:
    """A finding for each channel that moves far less where it is held out than in the
    training, as at the end of a motion that dies away: errors, band and horizon are
    then those of the quiet part."""
    found = []
    quiet, whole = map(without_strays, (prepared.validation, prepared.train))
    for j, name in enumerate(prepared.train.names):
        sd, usual = np.nanstd(quiet[..., j]), np.nanstd(whole[..., j])
        if sd < QUIET * usual:
            found.append(
                Finding(
                    f"validation.spread.{name}",
                    f"Spread of {name} where it was held out over that in training",
                    float(sd / usual),
                    comparison=f"expected {QUIET:g} or more",
                    verdict="bad",
                    reasons=(
                        "No forecast of a motion as wide as those of the training was "
                        "compared with data: it may err by more than is said here.",
                    ),
                )
            )
    return found


def left_out(fitted: Fitted, prepared: Prepared) -> list[Finding]:
    """A finding where the residuals of a law with unknown constants hang together: the
    constants then make up for what the law lacks, within intervals that know nothing
    of it."""
    tau = float(fitted.about["autocorrelation"])
    count = prepared.train.mask.any(-1).sum() / prepared.every
    limit = max(REPEATING, 1.0 + BY_CHANCE / np.sqrt(count))
    if not fitted.about["constants"] or tau <= limit:
        return []
    reason = (
        "The law leaves out something that the data show, or the noise is not "
        "independent from sample to sample: the intervals are those of the constants "
        "that fit best, which need not be the true ones."
    )
    return [
        Finding(
            "constants.residuals",
            "Samples over which residuals of the fit repeat each other",
            tau,
            comparison=f"expected below {limit:.3g}",
            verdict="bad",
            reasons=(reason,),
        )
    ]


def _stretches(prepared: Prepared) -> tuple[int, int, int]:
    """Used samples of the longest held-out record, stretches cut from each, and the
    samples of one stretch."""
    data, every = prepared.validation, prepared.every
    longest = int((data.lengths.max() - 1) // every) + 1
    per = STARTS if data.num == 1 else max(1, int(np.ceil(STARTS / data.num)))
    return longest, per, longest if per == 1 else max(4, int(SHARE * longest))


def check_held_out(prepared: Prepared) -> None:
    """Before a training: whether there will be anything to judge it by.

    **Raises:** `DataError` when the held-out part is too short.
    """
    longest, _, length = _stretches(prepared)
    if (stretch := min(length, longest)) <= BEGINNING:
        raise DataError(
            "the held-out part is too short to judge a forecast: of its "
            f"{longest} samples a stretch holds {stretch}, and a beginning alone takes "
            f"{BEGINNING}. Give longer records, or hold out more with --validation."
        )


def held_out_clips(fitted: Fitted, prepared: Prepared) -> tuple[Batch, int]:
    """Stretches of the held-out data and the number of their samples that are the
    history: long ones, several per trajectory."""
    data, every = prepared.validation, prepared.every
    longest, per, length = _stretches(prepared)
    history = round(fitted.about["history"] / fitted.about["step"]) + 1
    history = int(np.clip(history, BEGINNING, max(BEGINNING, length // 2)))
    slack = max(1, (longest - length) * every)
    stride = max(1, slack // max(per - 1, 1))
    return data.clips(length, stride, every=every, dtype=fitted.dtype), history


def run_trial(fitted: Fitted, prepared: Prepared) -> Trial:
    """Free runs of the model and of the baselines from the same histories."""
    clips, history = held_out_clips(fitted, prepared)
    data, every = prepared.validation, prepared.every
    states = estimate_states(data, prepared.plan)
    rows, first = np.asarray(clips.origin).T
    guess = states.ys[rows, first]
    good = np.isfinite(guess).all(1) & (
        np.asarray(clips.mask)[:, :history].any(2).sum(1) >= 4
    )
    if not good.any():
        raise DataError(
            "no held-out stretch has enough measured samples in its beginning to start "
            "a forecast from. Give records with fewer gaps, or another --seed."
        )
    pick = lambda tree: jax.tree.map(lambda x: np.asarray(x)[good], tree)
    clips, guess, rows, first = pick(clips), guess[good], rows[good], first[good]
    begin = _cut(clips, history)
    out = fitted.run_batches(guess.astype(fitted.dtype), begin, clips)
    # the start states are the same: only the free run is repeated at half the step
    fine = fitted.run_batches(out.ys[:, :, 0], None, clips, 2, False)
    index = first[:, None] + every * np.arange(clips.ys.shape[1])
    index = np.minimum(index, data.lengths[rows][:, None] - 1)
    ts = data.ts[rows[:, None], index]
    horizon = ts - ts[:, history - 1 : history]
    plain = dataclasses.replace(fitted, intervals=None)
    mean, _, _, sd = plain.combine(out, horizon)
    mean_fine, *_ = plain.combine(fine, horizon)
    seen = np.asarray(clips.mask) & (horizon > 0)[..., None]
    truth = np.where(seen, np.asarray(clips.ys, np.float64), np.nan)
    error = np.where(seen, np.where(np.isfinite(mean), mean, np.inf) - truth, np.nan)
    use = slice(history, None)
    paths = _rivals(fitted, prepared, ts, rows, index, history)
    rivals = {
        name: np.where(seen, np.where(np.isfinite(p), p, np.inf) - truth, np.nan)[
            :, use
        ]
        for name, p in paths.items()
    }
    halved = np.where(seen, mean_fine - mean, np.nan)
    return Trial(
        horizon[:, use],
        ts,
        mean,
        np.where(np.asarray(clips.mask), np.asarray(clips.ys, np.float64), np.nan),
        error[:, use],
        (sd**2)[:, use],
        rivals,
        paths,
        halved[:, use],
        out.outside.mean(0)[:, use],
        out.status,
        out.t_fail,
        out.ys[fitted.members // 2],
        fine.ys[fitted.members // 2],
        None if clips.us is None else np.asarray(clips.us)[:, history - 1 :],
    )


def _cut(clips: Batch, history: int) -> Batch:
    """The first `history` samples of every clip."""
    return Batch(
        clips.dts[:, : history - 1],
        clips.t0,
        clips.ys[:, :history],
        clips.mask[:, :history],
        None if clips.us is None else clips.us[:, : history - 1],
        clips.context,
        clips.origin,
    )


def _rivals(
    fitted: Any, prepared: Any, ts: Any, rows: Any, index: Any, history: Any
) -> dict[str, np.ndarray]:
    """Baselines fitted on the training part, run from the same histories."""
    data = prepared.validation
    train = _thin(prepared.train, prepared.every)
    out = {}
    for name, model in fit_baselines(train).items():
        paths = np.full((*ts.shape, data.dim), np.nan)
        for k, (row, at) in enumerate(zip(rows, index, strict=True)):
            # padding repeats the last time
            stop = 1 + int(np.sum(np.diff(ts[k]) > 0))
            past, ahead = slice(0, history), slice(history, stop)
            if stop <= history:
                continue
            us = None if data.us is None else data.us[row, at]
            paths[k, ahead] = model.forecast(
                ts[k, past],
                data.ys[row, at[past]],
                data.mask[row, at[past]],
                ts[k, ahead],
                None if us is None else us[ahead],
                None if us is None else us[past],
            )
        out[name] = paths
    return out


def _thin(data: Trajectories, every: int) -> Trajectories:
    return data.subsample(every) if every > 1 else data


def _binned(values: np.ndarray, horizon: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Mean of `"start time"` values in horizon bins, cumulative up to each bin."""
    return np.array([values[horizon <= u * (1 + 1e-9)].mean() for u in until])


def constants_found(fitted: Fitted) -> tuple[list[Any], list[dict[str, Any]]]:
    """Findings about constants that the data cannot tell apart, and the list of
    constants with those marked (the member in the middle of the prior widths), and with
    a note where half the step changes a forecast: a constant makes up for the solver,
    too, of which its interval knows nothing."""
    constants = fitted.about["constants"]
    if fitted.covariance is None or not constants:
        return [], constants
    names = [f"{c['name']} ({c['law']})" for c in constants]
    listed = free_constants(fitted.model())
    values = np.array([float(node.value) for *_, node in listed])
    covariance = constant_covariance(fitted)
    found = confounded(covariance, names, values)
    wide = {f.id.removeprefix("constants.width.") for f in found}
    entangled = is_confounded(covariance)
    note = STEP if fitted.about.get("step_shows") else ""
    marked = [
        {**c, "confounded": bool(e) or name in wide, "note": note}
        for c, name, e in zip(constants, names, entangled, strict=True)
    ]
    return found, marked
