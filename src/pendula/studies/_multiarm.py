"""Part `multiarm` of study `real_data`: one measured pendulum.

Only the angle is used (the rates in the file were smoothed with later samples), and
of it only the first 5, 10 or 20 s. The state at the end of training is fitted on the
last stretch of it; from there the model runs freely to the end of the record. Scores
are RMSE of the angle up to 36.7 s (where the authors of the data end their own training
part) and from there to 55 s. What hangs on the settings: part `multiarm_settings`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._figures import error_bands
from ._real_data import measured, real_data
from ._row import Row
from ._study import Run


MIDDLE, END = 36.7, 55.0
ID = "real_data.multiarm"
WINDOW = 2.5  # s, three swings: long windows from a poor start end in wrong minima

GRAVITY = {"term": "gravity_pendulum", "on": ["theta1"], "free": ["w2", "zero"]}
# Known gravity of unknown rate and hanging angle, friction = classical law x exp(net).
HYBRID: dict[str, Any] = {
    "model": {
        "known": [GRAVITY],
        "learn": "friction",
        "order": "second",
        "width": 8,
        "depth": 1,
    },
    "train": {"method": "levenberg", "members": 5, "window": WINDOW, "minutes": 15.0},
}
# No physics beyond "a position has a velocity".
NODE: dict[str, Any] = {
    "model": {"learn": "force", "order": "second", "width": 16, "depth": 2},
    "train": {"method": "levenberg", "members": 5, "window": WINDOW, "minutes": 15.0},
}
_DAMPING = {
    "viscous": {"term": "viscous", "free": ["c"]},
    "quadratic": {"term": "quadratic_drag", "free": ["d"]},
    "coulomb": {"term": "coulomb", "free": ["f"], "constants": {"width": 0.05}},
}
LAWS = {
    "linear": ("viscous",),
    "linear_quadratic": ("viscous", "quadratic"),
    "linear_coulomb": ("viscous", "coulomb"),
    "classical": ("viscous", "quadratic", "coulomb"),
}


def classical(law: str) -> dict[str, Any]:
    """The configuration of a law without a network."""
    terms = [{**_DAMPING[name], "on": ["theta1"]} for name in LAWS[law]]
    return {
        "model": {"known": [GRAVITY, *terms], "learn": "none", "order": "second"},
        "train": {"method": "levenberg", "members": 1, "window": WINDOW},
    }


def _part_names(seconds: int) -> tuple[str, str]:
    return f"{seconds}_36", "36_55"


def _rmse_rows(
    key: str,
    what: str,
    seconds: int,
    targets: tuple[float | None, float | None] = (None, None),
    goals: tuple[float | None, float | None] = (None, None),
) -> list[Row]:
    """The two error rows of one model."""
    tried = (
        "Friction form with a classical law as prior mean, windows of 2.5 s with their "
        "own start states, an ensemble over the prior's width."
    )
    spans = (f"{seconds} to {MIDDLE} s", f"{MIDDLE} to {END:g} s")
    return [
        Row(
            f"{ID}.{key}_rmse_{name}",
            f"Free run of {what} trained on the first {seconds} s: RMSE of the angle "
            f"from {span}.",
            "rad",
            target=target,
            goal=goal,
            tried=None if target is None else tried,
        )
        for name, span, target, goal in zip(
            _part_names(seconds), spans, targets, goals, strict=True
        )
    ]


def _cover_row(key: str, seconds: int, target: float | None) -> Row:
    return Row(
        f"{ID}.{key}_cover",
        f"Share of the samples inside the 90 % band of the hybrid trained on {seconds} "
        "s, the smaller of the two parts.",
        better="higher",
        target=target,
        tried=None if target is None else "Ensemble and linearised Laplace.",
    )


_HYBRID = "the hybrid (known gravity, learned friction)"
_ROWS = (
    *_rmse_rows("hybrid20", _HYBRID, 20, (0.012, 0.05), (0.006, 0.03)),
    _cover_row("hybrid20", 20, 0.8),
    *_rmse_rows("hybrid10", _HYBRID, 10, (0.04, 0.05)),
    _cover_row("hybrid10", 10, None),
    *_rmse_rows("hybrid5", _HYBRID, 5, (0.10, 0.12)),
    _cover_row("hybrid5", 5, None),
    Row(
        f"{ID}.flags_damping",
        "Fits on 20 s whose report names a constant of the damping as confounded "
        "(share of the seeds).",
        better="equal",
        target=1,
        tried="Correlations and variance inflation of the Laplace covariance.",
    ),
    *_rmse_rows("node20", "a neural ODE without physics", 20, (0.12, 0.289)),
    Row(
        f"{ID}.node20_diverged",
        "Of these free runs, members of the ensembles that diverged.",
        better="equal",
        target=0,
        tried="Smooth activations, windows of 2.5 s.",
    ),
    *[
        row
        for law in LAWS
        for row in _rmse_rows(f"{law}20", f"the law {' + '.join(LAWS[law])}", 20)
    ],
    *_rmse_rows("rest20", "predicting rest (the mean angle)", 20),
)
_FULL = {
    "seeds": [0, 1, 2],
    "seconds": [20, 10, 5],
    "hybrid": HYBRID,
    "node": NODE,
    "laws": {law: classical(law) for law in LAWS},
    "judged": "all",
}


def _quick() -> dict[str, Any]:
    """The same code, one seed, two members, few steps, 5 s only for every model."""
    out = copy.deepcopy(_FULL)
    out["seeds"] = [0]
    out["short"] = 5.0
    out["judged"] = "hybrid"
    for config in (out["hybrid"], out["node"], *out["laws"].values()):
        config["train"] |= {"steps": 3, "members": min(2, config["train"]["members"])}
        config["every"] = 16
    out["node"]["model"]["width"] = 4
    return out


@real_data.part("multiarm", _ROWS, full=_FULL, quick=_quick())
def multiarm(run: Run) -> Iterator[Claim]:
    """Rest and the classical laws first, then the hybrids, then the neural ODE."""
    data = measured("multiarm_pendulum/single")
    yield from _rest(run, data)
    for law, config in run.settings["laws"].items():
        yield from _errors(run, f"{law}20", data, 20, config, [0])
    for seconds in run.settings["seconds"]:
        key = f"hybrid{seconds}"
        seeds = run.settings["seeds"]
        yield from _errors(run, key, data, seconds, run.settings["hybrid"], seeds)
        found = [run.keep(_name(run, key, seconds, seed), _lost) for seed in seeds]
        covers = [min(f["cover"]) for f in found]
        yield run.row(f"{ID}.{key}_cover").measured(covers)
        if seconds == 20:
            share = float(np.mean([f["flagged"] for f in found]))
            yield run.row(f"{ID}.flags_damping").measured(share, n=len(found))
    _figure(run, data)
    seeds = run.settings["seeds"]
    yield from _errors(run, "node20", data, 20, run.settings["node"], seeds)
    kept = [run.keep(_name(run, "node20", 20, seed), _lost) for seed in seeds]
    lost = sum(int(found["diverged"]) for found in kept)
    yield run.row(f"{ID}.node20_diverged").measured(lost, n=len(seeds))


def _figure(run: Run, data: Trajectories) -> None:
    """Errors of the hybrids of the first seed within their bands."""
    t, angle = data.ts[0], data.ys[0, :, 0]
    shown = {}
    for seconds in run.settings["seconds"]:
        name = _name(run, f"hybrid{seconds}", seconds, run.settings["seeds"][0])
        kept = run.keep(name, _lost)
        mean = kept["mean"][:, 0]
        shown[f"trained on {seconds} s"] = {
            "ts": kept["ts"],
            "error": np.interp(kept["ts"], t, angle) - mean,
            "low": kept["low"][:, 0] - mean,
            "high": kept["high"][:, 0] - mean,
        }
    error_bands(run.figures / "multiarm.svg", shown)


def _lost() -> dict[str, Any]:
    raise AssertionError("a kept result was removed while the study ran")


def training_part(data: Trajectories, seconds: float) -> Trajectories:
    """The first seconds of the angle, and nothing that tells of the rest."""
    part = data.between(0.0, seconds)
    return part.replace(origin={"file": "multiarm_pendulum/single"})


def _rest(run: Run, data: Trajectories) -> Iterator[Claim]:
    """The mean angle of the training part, for ever."""
    t, angle = data.ts[0], data.ys[0, :, 0]
    error = angle - angle[t <= 20.0].mean()
    for name, value in zip(_part_names(20), two_parts(t, error, 20.0), strict=True):
        yield run.row(f"{ID}.rest20_rmse_{name}").measured(value)


def two_parts(t: np.ndarray, error: np.ndarray, start: float) -> tuple[float, float]:
    """RMSE after the training part up to 36.7 s, and from there to 55 s."""
    rms = lambda a, b: float(np.sqrt(np.nanmean(error[(t > a) & (t <= b)] ** 2)))
    return rms(start, MIDDLE), rms(MIDDLE, END)


def _errors(
    run: Run,
    key: str,
    data: Trajectories,
    seconds: int,
    recipe: dict[str, Any],
    seeds: list[int],
) -> Iterator[Claim]:
    """The two error rows of one model, the median over its seeds."""
    # a judged fit takes what it was judged on in again, at the end
    judged = run.settings["judged"] == "all" or key.startswith("hybrid")
    trained = _trained(run, seconds)
    found = [
        run.keep(
            _name(run, key, seconds, seed),
            lambda seed=seed: fitted_scores(data, trained, recipe, seed, judged=judged),
        )
        for seed in seeds
    ]
    for index, name in enumerate(_part_names(seconds)):
        errors = [float(f["rmse"][index]) for f in found]
        yield run.row(f"{ID}.{key}_rmse_{name}").measured(errors)


def _trained(run: Run, seconds: int) -> float:
    """How much of the record is trained on; less at the quick budget."""
    return min(run.settings.get("short", np.inf), float(seconds))


def _name(run: Run, key: str, seconds: int, seed: int) -> str:
    """The kept step of one fit: what is trained on the same is the same fit."""
    return f"{key.rstrip('0125')}_{_trained(run, seconds):g}_{seed}"


def fitted_scores(
    data: Trajectories,
    seconds: float,
    recipe: dict[str, Any],
    seed: int,
    *,
    judged: bool = True,
) -> dict[str, Any]:
    """Fit on the beginning, run freely over the rest.

    **Returns:** `rmse` and `cover` of the two parts, `flagged` (whether the report
    names the damping as confounded), `diverged` members, and the forecast itself.
    """
    from ..dynamics import fit, from_dict

    part = training_part(data, seconds)
    config = from_dict({**recipe, "seed": seed})
    fitted = fit(None, part, config, judged=judged)
    forecast = fitted.forecast(data, start=seconds)
    parts = ((seconds, MIDDLE), (MIDDLE, END))
    return {
        "rmse": [forecast.rmse(a, b) for a, b in parts],
        "cover": [forecast.coverage(a, b) for a, b in parts],
        "flagged": names_damping(fitted.report or {}),
        "diverged": int(np.sum(forecast.status > 2)),
        "ts": forecast.ts,
        "mean": forecast.mean,
        "low": forecast.low,
        "high": forecast.high,
    }


def names_damping(report: dict[str, Any]) -> bool:
    """Whether a report says of a damping constant that the data do not tell it from
    the others."""
    laws = {"friction", "viscous", "quadratic_drag", "coulomb"}
    found = report.get("constants", [])
    return any(c["confounded"] and c["law"] in laws for c in found)
