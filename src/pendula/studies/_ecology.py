"""Parts `hare_lynx` and `chemostat` of study `real_data`: noisy ecology, forecast with
its uncertainty.

Both records are taken as natural logarithms and fitted by a stochastic model with
hidden entries (`dynamics.fit_stochastic`). Trained on the beginning, it forecasts all
that follows at once. Rolling forecasts start from every later sample, with what was
measured up to there; the model is fitted again now and then (the plain forecasts: at
every sample), and what it does with the parameters kept stands beside that.

The memory and the width of the priors are chosen inside the training part: each
candidate is fitted to its beginning and scored on its rest. The candidates themselves
were few and around what had worked in first trials on these records; what hangs on the
choice is the row over all candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .._errors import DataError
from ..data import Trajectories
from ..diagnostics import Scores
from ._claim import Claim
from ._ecology_baselines import baseline_scores
from ._ecology_figure import forecast_figure
from ._ecology_rows import CHEMOSTAT, HARE_LYNX
from ._real_data import measured, real_data
from ._study import Run


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained on and what is forecast.

    `until`: end of the training part; `horizon`: samples of the long forecast; `leads`:
    of the rolling ones, in samples; `cuts`: times inside the training part at which
    candidates are tried; `every`: time between the fits for rolling forecasts.
    """

    until: float
    horizon: int
    leads: tuple[int, ...]
    cuts: tuple[float, ...]
    every: float


HARE_TASK = Task(1904.5, 30, (1, 2, 5), (1874.5, 1889.5), 10.0)
CHEMOSTAT_TASK = Task(50.005, 1000, (1, 3, 8), (25.5, 38.0), 15.0)
_CANDIDATES = [
    {"hidden": hidden, "prior": prior} for hidden in (1, 2) for prior in (0.7, 1.0, 1.4)
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "rolling": [0],
    "fit": {"members": 8, "steps": 500},
    "candidates": _CANDIDATES,
}
_QUICK: dict[str, Any] = {
    "seeds": [0],
    "rolling": [0],
    "fit": {"members": 2, "steps": 25},
    "candidates": _CANDIDATES[::3],
}


@real_data.part("hare_lynx", HARE_LYNX, full=_FULL, quick=_QUICK)
def hare_lynx(run: Run) -> Iterator[Claim]:
    """30 years at once after 60, and rolling 1, 2 and 5 years."""
    data = in_logs(measured("hare_lynx"))
    yield from _part(run, "hare_lynx", data, HARE_TASK, "30")


@real_data.part("chemostat", CHEMOSTAT, full=_FULL, quick=_QUICK)
def chemostat(run: Run) -> Iterator[Claim]:
    """90 days at once after 50, and rolling 1, 3 and 8 days; the medium is known."""
    data = in_logs(measured("chemostat_predator_prey/C9"))
    yield from _part(run, "chemostat", data, CHEMOSTAT_TASK, "90")


def _part(
    run: Run, name: str, data: Trajectories, task: Task, long: str
) -> Iterator[Claim]:
    """The plain forecasts first, then the choice, then the chosen model."""
    head = f"real_data.{name}"
    found = run.keep("baselines", lambda: baseline_scores(data, task))
    for key, value in found.items():
        if f"{head}.{key}" in run.rows:
            yield run.row(f"{head}.{key}").measured(float(value))
    tried, settings = [], run.settings
    for one in settings["candidates"]:
        label = "_".join(f"{k}{v:g}" for k, v in one.items())
        config = {**settings["fit"], **one}
        kept = run.keep(
            f"choice_{label}", lambda config=config: validated(data, task, config)
        )
        tried.append(float(kept["score"]))
    best = settings["candidates"][int(np.argmax(tried))]
    yield run.row(f"{head}.hidden").measured(best["hidden"])
    yield run.row(f"{head}.prior").measured(best["prior"])
    fits = [
        run.keep(
            f"chosen_{seed}",
            lambda seed=seed: forecasts(
                data, task, {**settings["fit"], **best, "seed": seed}
            ),
        )
        for seed in settings["seeds"]
    ]
    yield from _scored(run, head, fits, long)
    yield from _leads(run, head, fits, task, "fixed_")
    again = [
        run.keep(
            f"rolling_{seed}",
            lambda seed=seed: rolling(
                data, task, {**settings["fit"], **best, "seed": seed}
            ),
        )
        for seed in settings["rolling"]
    ]
    yield from _leads(run, head, again, task, "")
    yield from _others(run, head, data, task, long)
    forecast_figure(run.figures / f"{name}.svg", data, fits[0], task.until)


def _scored(run: Run, head: str, fits: Sequence[Any], long: str) -> Iterator[Claim]:
    """Rows of the long forecast of the chosen model, over its seeds."""
    at = [Scores.normal(f["truth"], f["mean"], f["sd"]) for f in fits]
    yield run.row(f"{head}.crps{long}").measured([s.crps for s in at])
    yield run.row(f"{head}.logscore{long}").measured([s.log_score for s in at])
    yield run.row(f"{head}.coverage").measured([s.coverage for s in at])
    yield run.row(f"{head}.width").measured([s.width for s in at])


def _leads(
    run: Run, head: str, fits: Sequence[Any], task: Task, kind: str
) -> Iterator[Claim]:
    """Rows of the rolling forecasts, over the seeds."""
    for lead in task.leads:
        keys = (f"truth_{lead}", f"mean_{lead}", f"sd_{lead}")
        at = [Scores.normal(*(f[key] for key in keys)) for f in fits]
        yield run.row(f"{head}.{kind}crps{lead}").measured([s.crps for s in at])
        yield run.row(f"{head}.{kind}logscore{lead}").measured(
            [s.log_score for s in at]
        )


def _others(
    run: Run, head: str, data: Trajectories, task: Task, long: str
) -> Iterator[Claim]:
    """What the choice was worth: the long forecast of every candidate."""
    found = []
    for one in run.settings["candidates"]:
        label = "_".join(f"{k}{v:g}" for k, v in one.items())
        config = {**run.settings["fit"], **one}
        kept = run.keep(
            f"other_{label}", lambda config=config: forecasts(data, task, config)
        )
        found.append(Scores.normal(kept["truth"], kept["mean"], kept["sd"]).crps)
    yield run.row(f"{head}.candidates_crps{long}").measured(found)


def in_logs(data: Trajectories) -> Trajectories:
    """Natural logarithms of densities or counts.

    **Raises:** `DataError` for a measured value that is not positive.
    """
    if np.any(data.ys[data.mask] <= 0):
        raise DataError(
            "a measured density is zero or negative and has no logarithm. Leave the "
            "cell empty, or add the smallest density that can be seen."
        )
    logs = np.log(np.where(data.mask, data.ys, 1.0))
    return data.replace("natural logarithms", ys=logs, units=("1",) * data.dim)


def fitted(data: Trajectories, until: float, config: dict[str, Any]) -> Any:
    """A fit to what was measured up to `until`. Later samples are masked, not cut off,
    so that all fits have one shape and share their compiled programs."""
    from ..dynamics import StochasticConfig, fit_stochastic

    known = data.ts[:, :, None] <= until
    part = data.replace(ys=np.where(known, data.ys, 0.0), mask=data.mask & known)
    return fit_stochastic(part, config=StochasticConfig(**config))


def validated(
    data: Trajectories, task: Task, config: dict[str, Any]
) -> dict[str, float]:
    """How well a candidate forecasts inside the training part: mean log score, over
    the cuts, of the free run to its end and of the rolling forecasts at each lead."""
    train = data.between(data.ts[0, 0], task.until)
    found = []
    for cut in task.cuts:
        told = _from(fitted(train, cut, config), train, cut, task)
        for end in ("", *(f"_{lead}" for lead in task.leads)):
            found.append(_log_score(told, end))
    return {"score": float(np.mean(found))}


def _log_score(told: dict[str, np.ndarray], end: str) -> float:
    keys = (f"truth{end}", f"mean{end}", f"sd{end}")
    return Scores.normal(*(told[key] for key in keys)).log_score


def forecasts(
    data: Trajectories, task: Task, config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Trained on the training part, the forecasts of the rest."""
    train = data.between(data.ts[0, 0], task.until)
    return _from(fitted(train, task.until, config), data, task.until, task)


def _from(
    fit: Any, data: Trajectories, start: float, task: Task
) -> dict[str, np.ndarray]:
    """The free run from `start`, and the values at each lead of the forecasts from
    every sample from there on: `ts`, `mean`, `sd`, `truth`, and `mean_1` and so on."""
    made = fit.forecasts(data, _origins(data, start))
    first = slice(0, task.horizon)
    low, high = made[0].band()
    return {
        "ts": made[0].ts[first],
        "mean": made[0].mean[first],
        "sd": made[0].sd[first],
        "truth": made[0].truth[first],
        "low": low[first],
        "high": high[first],
        **_at_leads(made, task),
    }


def rolling(
    data: Trajectories, task: Task, config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Forecasts from every sample behind the training part, at each lead; fitted again
    to all that was measured up to then, each time `every` has gone by."""
    made: list[Any] = []
    for start in np.arange(task.until, data.ts[0, -2], task.every):
        fit = fitted(data, start, config)
        until = _origins(data, start + task.every)
        origins = _origins(data, start)
        made += fit.forecasts(data, origins[: len(origins) - len(until)])
    return _at_leads(made, task)


def _origins(data: Trajectories, start: float) -> np.ndarray:
    """The last sample up to `start` and all later ones but the last of all; none when
    the data end before `start`."""
    ts = data.ts[0]
    if start >= ts[-1]:
        return ts[:0]
    return ts[max(int(np.searchsorted(ts, start, side="right")) - 1, 0) : -1]


def _at_leads(made: Sequence[Any], task: Task) -> dict[str, np.ndarray]:
    """The values of several forecasts at each lead."""
    out = {}
    for lead in task.leads:
        there = [one for one in made if len(one.ts) >= lead]
        for key in ("mean", "sd", "truth"):
            out[f"{key}_{lead}"] = np.stack([getattr(f, key)[lead - 1] for f in there])
    return out
