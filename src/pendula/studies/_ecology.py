"""Parts `hare_lynx` and `chemostat` of study `real_data`: noisy ecology, forecast with
its uncertainty.

Both records are taken as natural logarithms and fitted by a stochastic model with
hidden entries (`dynamics.fit_stochastic`). Trained on the beginning and never again, it
forecasts all that follows at once, and again from every later sample with what was
measured up to there. The plain forecasts are treated the same.

Memory and width of the priors are not chosen: the forecast is the equal mixture over
all candidates, which are few and around what had worked in first trials on these
records. Choosing one was tried first, inside the training part (each candidate fitted
to its beginning and scored on its rest); the rows `chosen_` say what that gives. The
mixture took its place after both had been scored on the later parts: that half of so
short a record is no good judge was seen there, and not foreseen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
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

    `until`: end of the training part; `horizon`: samples of the long forecast, at most
    (the chemostat's runs to the end of its record, 91 days); `leads`: of the rolling
    ones, in samples; `cuts`: times inside the training part at which candidates are
    tried.
    """

    until: float
    horizon: int
    leads: tuple[int, ...]
    cuts: tuple[float, ...]


HARE_TASK = Task(1904.5, 30, (1, 2, 5), (1874.5, 1889.5))
CHEMOSTAT_TASK = Task(50.005, 1000, (1, 3, 8), (25.5, 38.0))
_CANDIDATES = [
    {"hidden": hidden, "prior": prior} for hidden in (1, 2) for prior in (0.7, 1.0, 1.4)
]
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "fit": {"members": 8, "steps": 500},
    "candidates": _CANDIDATES,
}
_QUICK: dict[str, Any] = {
    "seeds": [0],
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
    """The plain forecasts first, then the mixture, then what a choice would give."""
    head = f"real_data.{name}"
    found = run.keep("baselines", lambda: baseline_scores(data, task))
    for key, value in found.items():
        if f"{head}.{key}" in run.rows:
            yield run.row(f"{head}.{key}").measured(float(value))
    settings = run.settings
    fits = {
        seed: [_kept(run, data, task, one, seed) for one in settings["candidates"]]
        for seed in settings["seeds"]
    }
    mixtures = [mixture(parts, task) for parts in fits.values()]
    yield from _scored(run, head, mixtures, task, long)
    singles = [_scores(one).crps for one in fits[settings["seeds"][0]]]
    yield run.row(f"{head}.candidates_crps{long}").measured(singles)
    yield from _chosen(run, head, data, task, long)
    forecast_figure(run.figures / f"{name}.svg", data, mixtures[0], task.until)


def _kept(
    run: Run, data: Trajectories, task: Task, one: dict[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """The forecasts of one candidate."""
    config = {**run.settings["fit"], **one, "seed": seed}
    return run.keep(f"fit_{_label(one)}_{seed}", lambda: forecasts(data, task, config))


def _label(one: dict[str, Any]) -> str:
    return "_".join(f"{k}{v:g}" for k, v in one.items())


def _scores(told: Mapping[str, np.ndarray], end: str = "") -> Scores:
    return Scores.normal(told[f"truth{end}"], told[f"mean{end}"], told[f"sd{end}"])


def _scored(
    run: Run, head: str, fits: Sequence[Any], task: Task, long: str
) -> Iterator[Claim]:
    """Rows of the mixture, over the seeds."""
    at = [_scores(one) for one in fits]
    yield run.row(f"{head}.crps{long}").measured([s.crps for s in at])
    yield run.row(f"{head}.logscore{long}").measured([s.log_score for s in at])
    yield run.row(f"{head}.coverage").measured([s.coverage for s in at])
    yield run.row(f"{head}.width").measured([s.width for s in at])
    for lead in task.leads:
        at = [_scores(one, f"_{lead}") for one in fits]
        yield run.row(f"{head}.crps{lead}").measured([s.crps for s in at])
        yield run.row(f"{head}.logscore{lead}").measured([s.log_score for s in at])


def _chosen(
    run: Run, head: str, data: Trajectories, task: Task, long: str
) -> Iterator[Claim]:
    """What a choice inside the training part would have given."""
    candidates, tried = run.settings["candidates"], []
    for one in candidates:
        config = {**run.settings["fit"], **one}
        kept = run.keep(
            f"choice_{_label(one)}",
            lambda config=config: validated(data, task, config),
        )
        tried.append(float(kept["score"]))
    best = candidates[int(np.argmax(tried))]
    yield run.row(f"{head}.chosen_hidden").measured(best["hidden"])
    yield run.row(f"{head}.chosen_prior").measured(best["prior"])
    seeds = run.settings["seeds"]
    fits = [_kept(run, data, task, best, seed) for seed in seeds]
    for end, label in [("", long), *((f"_{lead}", str(lead)) for lead in task.leads)]:
        at = [_scores(one, end) for one in fits]
        yield run.row(f"{head}.chosen_crps{label}").measured([s.crps for s in at])
        yield run.row(f"{head}.chosen_logscore{label}").measured(
            [s.log_score for s in at]
        )


def mixture(
    parts: Sequence[Mapping[str, np.ndarray]], task: Task
) -> dict[str, np.ndarray]:
    """The first two moments of the equal mixture of several forecasts."""
    out = {"ts": parts[0]["ts"]}
    for end in ("", *(f"_{lead}" for lead in task.leads)):
        means = np.stack([one[f"mean{end}"] for one in parts])
        sds = np.stack([one[f"sd{end}"] for one in parts])
        out[f"truth{end}"] = parts[0][f"truth{end}"]
        out[f"mean{end}"] = means.mean(axis=0)
        out[f"sd{end}"] = np.sqrt((sds**2).mean(axis=0) + means.var(axis=0))
    return out


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
            found.append(_scores(told, end).log_score)
    return {"score": float(np.mean(found))}


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
    ts = data.ts[0]
    origins = ts[max(int(np.searchsorted(ts, start, side="right")) - 1, 0) : -1]
    made = fit.forecasts(data, origins)
    first = slice(0, task.horizon)
    out = {"ts": made[0].ts[first]}
    for key in ("mean", "sd", "truth"):
        out[key] = getattr(made[0], key)[first]
        for lead in task.leads:
            there = [one for one in made if len(one.ts) >= lead]
            out[f"{key}_{lead}"] = np.stack([getattr(f, key)[lead - 1] for f in there])
    return out
