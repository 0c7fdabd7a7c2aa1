"""The full result of a fit: what the page, the program and the studies read."""

from __future__ import annotations

import dataclasses
import platform
from typing import Any

import jax
import numpy as np

from .._machine import cores, revision, versions
from .._source import Source, citations
from .._tree import sources_of
from .._units import with_unit
from ..data import summary
from ..diagnostics import Conformal
from ..solve import scheme as find_scheme
from ._continuity import DRIVE, KNOTS, STARTS
from ._fitted import Fitted
from ._panels import energies, visited
from ._posterior import constant_covariance
from ._prepare import Prepared


MOST_POINTS = 2000
MOST_STARTS = 4


def fill_report(
    fitted: Fitted,
    prepared: Prepared,
    trial: Any,
    panels: dict[str, Any],
    findings: list[Any],
    command: str,
) -> Fitted:
    """Attach `.report` (JSON-able) and `.arrays` (NumPy) to a judged fit."""
    about = fitted.about
    name = " and ".join(about["names"][:3])
    growth, rivals = panels["growth"], panels["rivals"]
    headline, table = _scores(trial, about, prepared.validation.num)
    slot, axes = visited(fitted, prepared)
    report = {
        "format": 1,
        "kind": "fit",
        "title": f"{name}: {prepared.given.origin.get('file', 'data in memory')}",
        "data": summary(prepared.given),
        "decisions": [*prepared.decisions, *_chosen(about, list(trial.rivals))],
        "model": {
            "equation": _equation(fitted),
            "terms": about["terms"],
            "parameters": about["parameters"],
            "members": about["members"],
            "state": about["state"],
            "visited": [{"name": name, "unit": unit} for name, unit in axes],
        },
        "constants": about["constants"],
        "training": {},  # filled in when the fit is over
        "scores": {
            "headline": headline,
            "baselines": table,
            "validation": {
                "horizon": growth.until.tolist(),
                "median": (growth.median * panels["factor"]).tolist(),
                "unit": panels["unit"],
            },
        },
        "verdict": about["verdict"],
        "findings": [f.to_dict() for f in findings],
        "reproduce": {
            "command": command,
            "config": about["config"],
            "versions": versions(),
            "seed": about["seed"],
            "platform": platform.platform(),
            "device": str(jax.devices()[0]),
            "cpus": cores(),
            "revision": revision(),
            "citations": citations(_sources(fitted)),
        },
    }
    arrays = _arrays(fitted, prepared, trial, panels, growth, rivals) | slot
    return dataclasses.replace(fitted, report=report, arrays=arrays)


# Where the ways of training come from.
_TRAINING = {
    "adam": Source("Kingma2015", "algorithm 1"),
    "levenberg": Source("Triggs2000", "section 6"),
}


def _sources(fitted: Fitted) -> list[Source]:
    """What the fit used: terms, scheme, training, bands."""
    found = sources_of(fitted.ensemble)
    found.append(find_scheme(fitted.ensemble.scheme).source)
    found.append(_TRAINING[fitted.about["method"]])
    if fitted.covariance is not None:
        found.append(Source("Immer2021", "linearised Laplace"))
    return [*found, Conformal.source]


def _chosen(about: dict[str, Any], rivals: list[str]) -> list[dict[str, str]]:
    """What was decided of model, training and judgement, as rows beside those of the
    data."""
    model, train = about["config"]["model"], about["config"]["train"]
    nothing = model["learn"] == "none"
    what = "nothing is learned" if nothing else about["terms"][-1]
    ways = {
        "adam": f"Adam, clips of {', '.join(map(str, train['clips']))} samples",
        "levenberg": "Levenberg-Marquardt, windows that grow",
    }
    count = f"a model of {about['parameters']} parameters"
    given = lambda name, section: section[name] != "auto"
    rows = [
        (
            "model",
            what if nothing else f"{what}; states in physical units, scaled inside",
            "given" if given("learn", model) else "what no law is named for",
            "--known, --learn, --width, --depth",
        ),
        (
            "training",
            f"{ways[about['method']]}; an ensemble of {about['members']}, at most "
            f"{train['minutes']:g} min",
            "given" if given("method", train) else count,
            "--method, --members, --minutes, --train.clips",
        ),
        ("baselines", ", ".join(rivals), "what the model has to beat", "none"),
        (
            "verdict",
            "trust to the longest horizon up to which all that it asks for holds",
            "see the findings",
            "none",
        ),
    ]
    return [
        dict(zip(("what", "choice", "why", "option"), row, strict=True)) for row in rows
    ]


def _equation(fitted: Fitted) -> str:
    state = fitted.about["state"]
    if fitted.about["config"]["model"]["learn"] == "hamiltonian":
        return f"Hamilton's equations in {', '.join(state)}"
    n = len(fitted.about["layout"]["positions"])
    if n:
        names = ", ".join(state[:n])
        return f"second order in {names}: acceleration = sum of the terms below"
    return f"first order in {', '.join(state)}: rate = sum of the terms below"


def _scores(trial: Any, about: dict[str, Any], records: int) -> Any:
    """Headline error with its spread over starts in so many held-out records, and the
    table of baselines."""
    scale = np.asarray(about["spread"])
    single = len(scale) == 1
    factor = float(scale[0]) if single else 1.0
    unit = about["units"][0] if single else "of the spread"

    def per_start(error: np.ndarray) -> np.ndarray:
        return factor * np.sqrt(np.nanmean((error / scale) ** 2, axis=(1, 2)))

    ours = per_start(trial.error)
    # between a number and infinity there is nothing to interpolate
    method = "linear" if np.isfinite(ours).all() else "inverted_cdf"
    low, value, high = np.quantile(ours, [0.1, 0.5, 0.9], method=method)
    horizon = float(np.nanmax(trial.horizon))
    headline = {
        "text": "median error of free runs over "
        f"{with_unit(f'{horizon:.4g}', about['time_unit'])}, "
        f"{len(ours)} start{'s' * (len(ours) > 1)} in {records} held-out "
        f"record{'s' * (records > 1)}",
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "unit": unit,
    }
    table = []
    for name, error in trial.rivals.items():
        rmse = float(np.median(per_start(error)))
        ratio = float(value / rmse) if rmse > 0 else float("inf")
        table.append({"name": name, "rmse": rmse, "ratio": ratio})
    return headline, table


def _arrays(
    fitted: Any, prepared: Any, trial: Any, panels: Any, growth: Any, rivals: Any
) -> dict[str, np.ndarray]:
    """The numbers of every figure."""
    whole = prepared.given
    n = int(whole.lengths[0])
    thin = max(1, n // MOST_POINTS)
    factor = panels["factor"]
    out: dict[str, np.ndarray] = {
        "data/ts": whole.ts[0, :n:thin],
        "data/ys": np.where(whole.mask[0, :n:thin], whole.ys[0, :n:thin], np.nan),
        "data/mask": whole.mask[0, :n:thin],
        "growth/horizon": growth.horizon,
        "growth/model_median": growth.median * factor,
        "growth/model_low": growth.low * factor,
        "growth/model_high": growth.high * factor,
        "halving/horizon": growth.until,
        "halving/ratio": np.asarray(panels["halving"]),
    }
    by_time = prepared.train.num == whole.num and whole.num == 1
    out["data/split_time"] = np.asarray(
        prepared.train.ts[0].max() if by_time else np.nan
    )
    for name, one in rivals.items():
        out[f"growth/baseline_{name}"] = one.median * factor
    out.update(_sweep_begins(fitted, trial))
    held = panels["coverage"]
    if held is not None:
        out["coverage/horizon"] = held.horizon
        out["coverage/share"] = held.share
        out["coverage/count"] = held.count
    out.update(_shown(fitted, trial))
    if fitted.covariance is not None and fitted.about["constants"]:
        out["constants/correlation"] = _correlation(fitted)
    return out


def _sweep_begins(fitted: Fitted, trial: Any) -> dict[str, np.ndarray]:
    """Where the convergence test of a run begins; with inputs, one start and what
    drives it."""
    history = trial.ts.shape[1] - trial.horizon.shape[1]
    if fitted.about["input_names"] and trial.us is None:
        return {}
    if trial.us is None:
        begins = trial.states[:MOST_STARTS, history]
        begins = begins[np.isfinite(begins).all(1)]
        return {STARTS: np.asarray(begins, np.float64)} if len(begins) else {}
    begins, ts = trial.states[:, history - 1], trial.ts[:, history - 1 :]
    steps = (np.diff(ts, axis=1) > 0).sum(1)  # shorter records are padded
    k = int(np.argmax(np.where(np.isfinite(begins).all(1), steps, -1)))
    if not np.isfinite(begins[k]).all():
        return {}
    n = int(steps[k])
    return {
        STARTS: np.asarray(begins[k : k + 1], np.float64),
        KNOTS: np.asarray(ts[k, : n + 1] - ts[k, 0], np.float64),
        DRIVE: np.asarray(trial.us[k, :n], np.float64),
    }


def _shown(fitted: Fitted, trial: Any) -> dict[str, np.ndarray]:
    """The held-out forecast that the page shows: the start with the median error."""
    ours = np.sqrt(np.nanmean(trial.error**2, axis=(1, 2)))
    k = int(np.argsort(ours)[len(ours) // 2])
    history = trial.ts.shape[1] - trial.horizon.shape[1]
    real = np.concatenate([[True], np.diff(trial.ts[k]) > 0])
    ahead = np.arange(len(real)) >= history
    use = np.flatnonzero(real & ahead)
    use = use[:: max(1, len(use) // MOST_POINTS)]
    lag, mean = trial.horizon[k, use - history], trial.mean[k, use]
    var = trial.var[k, use - history]
    if fitted.intervals is None:  # no free run was finite
        low = high = np.full_like(mean, np.nan)
    else:
        low, high = fitted.intervals.band(lag, mean, var)
    out = {
        "forecast/ts": trial.ts[k, use],
        "forecast/truth": trial.truth[k, use],
        "forecast/mean": trial.mean[k, use],
        "forecast/low": low,
        "forecast/high": high,
    }
    trust_to = fitted.about["verdict"]["trust_to"]
    start = trial.ts[k, history - 1]
    out["forecast/trusted_to"] = np.asarray(start + (trust_to or 0.0))
    for name, path in trial.rival_paths.items():
        out[f"forecast/baseline_{name}"] = path[k, use]
    if np.isfinite(trial.states[k]).all():
        values = energies(fitted, trial.states[k : k + 1])
        if values is not None:
            out |= {"energy/ts": out["forecast/ts"], "energy/value": values[0, use]}
    return out


def _correlation(fitted: Fitted) -> np.ndarray:
    cov = constant_covariance(fitted)
    sd = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    return cov / np.outer(sd, sd)
