"""The part of a record that a fit has never seen: forecast, scored, shown."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import Status
from ._draw import MAX_POINTS
from ._numbers import number


if TYPE_CHECKING:
    from ..data import Trajectories
    from ..dynamics import Fitted, Forecast


def with_unseen(fitted: Fitted, whole: Trajectories, until: float) -> Fitted:
    """The fitted model with a report whose headline, baselines and forecast are
    those of the samples after `until`, which the fit did not use.

    Each trajectory is forecast in one free run from `until` to its end; the 90 %
    interval of the error is a bootstrap over tenths of the runs. The verdict stays
    the one from the validation data. **Arguments:** `whole`: the data with the
    unseen part. **Returns:** `fitted` unchanged where nothing lies after `until`.
    """
    from ..diagnostics import fit_baselines  # SciPy: only where it is needed

    rows = [i for i in range(whole.num) if whole.ts[i].max() > until]
    data = fitted.match(whole)
    found = {i: fitted.forecast(data, start=until, trajectory=i) for i in rows}
    found = {i: f for i, f in found.items() if np.isfinite(f.truth).any()}
    if not found or fitted.report is None:
        return fitted
    train = data.between(-np.inf, until)
    rivals = {
        name: {i: _rival(model, data, i, f, until) for i, f in found.items()}
        for name, model in fit_baselines(_thin(train, fitted)).items()
    }
    report = {**fitted.report, "scores": _scores(fitted, found, rivals, until)}
    first = min(found)
    arrays = {
        k: v for k, v in (fitted.arrays or {}).items() if not k.startswith("forecast/")
    }
    arrays |= _curves(found[first], {n: r[first] for n, r in rivals.items()}, report)
    arrays |= _record(data, first, until)
    return dataclasses.replace(fitted, report=report, arrays=arrays)


def _thin(data: Trajectories, fitted: Fitted) -> Trajectories:
    """As the model sees it: baselines get the same samples."""
    every = int(fitted.about.get("every", 1))
    return data.subsample(every) if every > 1 else data


def _rival(
    model: Any, data: Trajectories, i: int, forecast: Forecast, until: float
) -> np.ndarray:
    """One baseline's run over the same times `"time obs"`."""
    n = int(data.lengths[i])
    ts = data.ts[i, :n]
    past = np.flatnonzero(ts <= until)
    us = None if data.us is None else data.us[i, :n]
    ahead = None
    if us is not None:
        ahead = np.stack([np.interp(forecast.ts, ts, u) for u in us.T], axis=1)
    return model.forecast(
        ts[past],
        data.ys[i, past],
        data.mask[i, past],
        forecast.ts,
        ahead,
        None if us is None else us[past],
    )


def _rmse(errors: list[np.ndarray], scale: np.ndarray) -> float:
    """Root mean square over all trajectories, channels in units of `scale`."""
    joined = np.concatenate([(e / scale).ravel() for e in errors])
    return float(np.sqrt(np.nanmean(joined**2)))


def _bootstrap(errors: list[np.ndarray], draws: int = 2000) -> tuple[float, float]:
    """5 and 95 % quantiles of the root mean square error when tenths of the runs,
    within which errors hang together, are drawn anew (fixed seed)."""
    blocks = [b for e in errors for b in np.array_split(e**2, 10) if b.size]
    sums = np.array([np.nansum(b) for b in blocks])
    counts = np.array([np.isfinite(b).sum() for b in blocks])
    drawn = np.random.default_rng(0).integers(len(blocks), size=(draws, len(blocks)))
    total = np.maximum(counts[drawn].sum(axis=1), 1)
    low, high = np.quantile(np.sqrt(sums[drawn].sum(axis=1) / total), [0.05, 0.95])
    return float(low), float(high)


def _scores(
    fitted: Fitted,
    found: dict[int, Forecast],
    rivals: dict[str, dict[int, np.ndarray]],
    until: float,
) -> dict[str, Any]:
    """Headline and baselines on the unseen samples."""
    names, units = fitted.about["names"], fitted.about["units"]
    single = len(names) == 1
    scale = np.ones(1) if single else np.asarray(fitted.about["spread"])
    value = _rmse([f.error() for f in found.values()], scale)
    low, high = _bootstrap([f.error() / scale for f in found.values()])
    end = max(float(f.ts[-1]) for f in found.values())
    clock = fitted.about["time_unit"]
    share = np.mean([f.coverage() for f in found.values()])
    worst = Status(max(int(f.status.max()) for f in found.values()))
    text = (
        f"root mean square error of {', '.join(names)} from {number(until)} to "
        f"{number(end)} {clock}, one free run, samples that the fit never saw "
        f"(interval: bootstrap over tenths of the run); {number(100 * share)} % of "
        "them lie inside the 90 % band"
    )
    table = []
    for name, paths in rivals.items():
        rmse = _rmse([paths[i] - f.truth for i, f in found.items()], scale)
        table.append(
            {"name": name, "rmse": rmse, "ratio": value / rmse if rmse else None}
        )
    validation = ((fitted.report or {}).get("scores") or {}).get("validation")
    return {
        "headline": {
            "text": text,
            "value": value,
            "low": low,
            "high": high,
            "unit": units[0] if single else "of the spread",
        },
        "baselines": table,
        "validation": validation,
        "unseen": {
            "from": until,
            "until": end,
            "coverage": float(share),
            "status": worst.name,
        },
    }


def _curves(
    forecast: Forecast, rivals: dict[str, np.ndarray], report: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The forecast's arrays for the page."""
    keep = slice(None, None, max(1, -(-len(forecast.ts) // MAX_POINTS)))
    ahead = (report.get("verdict") or {}).get("trust_to") or 0.0
    out = {
        "forecast/ts": forecast.ts[keep],
        "forecast/truth": forecast.truth[keep],
        "forecast/mean": forecast.mean[keep],
        "forecast/low": forecast.low[keep],
        "forecast/high": forecast.high[keep],
        "forecast/trusted_to": np.asarray(forecast.start + ahead),
    }
    return out | {f"forecast/baseline_{n}": p[keep] for n, p in rivals.items()}


def _record(data: Trajectories, i: int, until: float) -> dict[str, np.ndarray]:
    """The whole record, thinned, and where the unseen part begins."""
    n = int(data.lengths[i])
    keep = slice(None, n, max(1, -(-n // MAX_POINTS)))
    ys = np.where(data.mask[i, keep], data.ys[i, keep], np.nan)
    return {
        "data/ts": data.ts[i, keep],
        "data/ys": ys,
        "data/mask": data.mask[i, keep],
        "data/split_time": np.asarray(until),
    }
