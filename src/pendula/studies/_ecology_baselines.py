"""Plain forecasts of the two ecological records, scored as the model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import Trajectories, dominant_period
from ..diagnostics import (
    AbstractNormal,
    Autoregression,
    Climatology,
    PhaseMean,
    RandomWalk,
    Repeat,
    Scores,
)


class Each(AbstractNormal):
    """A forecast of its own for every channel."""

    def __init__(self, parts: list[AbstractNormal]) -> None:
        self.parts = parts

    def ahead(self, ys: Any, steps: int, us: Any = None) -> tuple[Any, Any]:
        """Side by side."""
        ys = np.asarray(ys)
        made = [p.ahead(ys[:, j : j + 1], steps) for j, p in enumerate(self.parts)]
        means, sds = zip(*made, strict=True)
        return np.hstack(means), np.hstack(sds)


def plain_forecasts(ys: np.ndarray, us: np.ndarray | None) -> dict[str, AbstractNormal]:
    """Every baseline, fitted to the training samples."""
    out: dict[str, AbstractNormal] = {
        "climatology": Climatology.fit(ys),
        "random_walk": RandomWalk.fit(ys),
        "ar2": Each([Autoregression.fit(column[:, None], 2) for column in ys.T]),
        "var3": Autoregression.fit(ys, 3),
        "repeat16": Repeat.fit(ys, 16),
    }
    if us is not None:
        out["varx1"] = Autoregression.fit(ys, 1, us)
        out["phase_mean"] = PhaseMean.fit(ys, us)
    return out


def baseline_scores(data: Trajectories, task: Any) -> dict[str, float]:
    """Scores of all baselines: `ar2_crps30` and so on for the long forecast, and
    `ar2_crps1` for rolling ones (parameters kept)."""
    ts, ys = data.ts[0], data.ys[0]
    us = None if data.us is None else data.us[0]
    n = int(np.sum(ts <= task.until))
    last = min(n + task.horizon, len(ts))
    long = "30" if us is None else "90"
    out: dict[str, float] = {}

    def enter(name: str, mean: np.ndarray, sd: np.ndarray) -> None:
        told = Scores.normal(ys[n:last], mean[: last - n], sd[: last - n])
        out[f"{name}_crps{long}"] = told.crps
        out[f"{name}_logscore{long}"] = told.log_score
        out[f"{name}_coverage"] = told.coverage

    cut = lambda k: None if us is None else us[:k]
    for name, made in plain_forecasts(ys[:n], cut(n)).items():
        enter(name, *made.ahead(ys[:n], len(ts) - n, us))
        for lead in task.leads:
            ends = [
                made.ahead(ys[:k], lead, cut(k + lead))
                for k in range(n, len(ts) - lead + 1)
            ]
            mean, sd = np.stack([[m[-1], s[-1]] for m, s in ends], axis=1)
            out[f"{name}_crps{lead}"] = Scores.normal(ys[n + lead - 1 :], mean, sd).crps
    enter("lotka_volterra", *lotka_volterra(data.between(ts[0], task.until), ts[n:]))
    return out


def lotka_volterra(
    train: Trajectories, ahead: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""Least-squares fit of the Lotka-Volterra law to the logarithms (a, r) of prey and
    predator, and its free run at later times.

    $$ \dot a = \alpha (1 - e^{r - r^*}), \qquad \dot r = \gamma (e^{a - a^*} - 1) $$

    From six starts about the record's period, the best is kept; the standard deviation
    is the root mean square residual in training.
    **Source:** Volterra 1926, Nature 118, 558-560, in logarithms.
    """
    from scipy.optimize import least_squares

    ts, ys = train.ts[0], train.ys[0]
    periods = dominant_period(train)
    seen = periods[np.isfinite(periods)]
    rate = 2 * np.pi / (np.median(seen) if len(seen) else (ts[-1] - ts[0]) / 5)
    mean = ys.mean(axis=0)
    runs = _lotka_volterra_runs(np.concatenate([ts, ahead]))

    def residual(p: np.ndarray) -> np.ndarray:
        return (runs(p)[: len(ts)] - ys).ravel()

    found = []
    for fast in (0.8, 1.0, 1.25):
        for split in (0.5, 2.0):
            pace = np.log(rate * fast * np.array([split, 1 / split]))
            start = np.concatenate([pace, mean, ys[0]])
            found.append(least_squares(residual, start, max_nfev=40))
    best = min(found, key=lambda one: one.cost)
    sd = np.sqrt(np.mean(residual(best.x).reshape(ys.shape) ** 2, axis=0))
    return runs(best.x)[len(ts) :], np.tile(sd, (len(ahead), 1))


def _lotka_volterra_runs(ts: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Parameters (log alpha, log gamma, a*, r*, a0, r0) -> logarithms `"time 2"`."""
    from scipy.integrate import odeint

    def run(p: np.ndarray) -> np.ndarray:
        alpha, gamma = np.exp(np.clip(p[:2], -10.0, 5.0))

        def rates(y: np.ndarray, t: float) -> list[float]:
            prey, eaten = np.exp(np.clip(y - p[2:4], -30.0, 6.0))
            return [alpha * (1 - eaten), gamma * (prey - 1)]

        ys = odeint(rates, p[4:], ts, rtol=1e-6, atol=1e-6, mxstep=2000)
        return np.clip(np.nan_to_num(ys), -50.0, 50.0)

    return run
