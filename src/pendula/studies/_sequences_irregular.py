"""Parts `cde` and `ou` of study `sequences`: irregular sequences, and noise that is
learned."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from scipy.stats import norm

from ..data import Sequences, Trajectories
from ..diagnostics import crps_normal
from ..dynamics import SDEConfig, fit_sde
from ..sequences import (
    SequenceFitConfig,
    control_path,
    neural_cde,
    recurrent_model,
)
from ._claim import Claim
from ._row import Row
from ._sequences import late_drop, sequences, trained
from ._study import Run


_CDE = "arXiv:2005.08926"
_SPIRALS = (
    "spirals of one, two or three turns to the left or right, 100 samples at random "
    "times, noise of 0.3 of the radius, 6 classes"
)
_TURNS = (1.0, 2.0, 3.0)
_NOISE = 0.3
_CLASSES = tuple(f"{s} {n:g}" for s in ("left", "right") for n in _TURNS)


def _angles(t: np.ndarray) -> np.ndarray:
    """Angles since the start, of every class, in front of the axes of `t`."""
    return np.stack([s * 2 * np.pi * n * t for s in (-1, 1) for n in _TURNS])


def _radius(t: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + 2 * np.pi * t)


def spirals(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times `"sample time"`, two coordinates, and the class."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0.0, 1.0, (count, 100)), axis=1)
    label = rng.integers(0, len(_CLASSES), count)
    begin = rng.uniform(0, 2 * np.pi, count)
    angle = begin[:, None] + _angles(t)[label, np.arange(count)]
    radius = _radius(t)[..., None]
    x = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return t, x + _NOISE * rng.normal(size=x.shape) * radius, label


def _likeliest(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The class of largest likelihood: what could be known. Of z = (x + iy) / radius
    and any first angle it is where | sum z exp(-i angle) | is largest."""
    z = (x[..., 0] + 1j * x[..., 1]) / _radius(t)
    return np.argmax(np.abs(np.nansum(z * np.exp(-1j * _angles(t)), axis=2)), axis=0)


def dropped(x: np.ndarray, share: float, seed: int) -> np.ndarray:
    """NaN in so large a share of the samples (all channels of one), not the first."""
    rng = np.random.default_rng(seed)
    lost = rng.random(x.shape[:2]) < share
    lost[:, 0] = False
    return np.where(lost[..., None], np.nan, x)


_DROPS = (0.0, 0.3, 0.5, 0.7)
_CDE_ROWS = (
    *(
        Row(
            f"sequences.cde_accuracy_{round(100 * share)}",
            f"Accuracy of a neural CDE on {_SPIRALS}, {round(100 * share)} % of them "
            "dropped in training and test, in percent.",
            "%",
            better="higher",
            source=_CDE,
        )
        for share in _DROPS
    ),
    Row(
        "sequences.cde_drop70",
        "Points of accuracy lost when 70 % of the samples are dropped.",
        "points",
        target=1.0,
        source=_CDE,
        tried="Rectilinear paths with counters, N = 32, one hidden layer of 32, 4000 "
        "paths.",
    ),
    *(
        Row(
            f"sequences.cde_likeliest_{round(100 * share)}",
            f"Accuracy of the class of largest likelihood, which knows the law and the "
            f"noise, {round(100 * share)} % dropped, in percent.",
            "%",
            better="higher",
        )
        for share in (0.0, 0.7)
    ),
    Row(
        "sequences.cde_gru_70",
        "Accuracy of a GRU on the same samples with 70 % dropped, times and last seen "
        "values as its inputs, in percent.",
        "%",
        better="higher",
    ),
    Row(
        "sequences.causality",
        "Largest change of the outputs up to a time by what comes after it, "
        "rectilinear paths with half of the values missing.",
        target=0.0,
        source=_CDE,
        tried="Values held at the last seen one.",
    ),
    Row(
        "sequences.causality_linear",
        "The same with missing values on straight lines between their neighbours, "
        "which look ahead.",
        source=_CDE,
    ),
)


@sequences.part(
    "cde",
    _CDE_ROWS,
    full={"train": 4000, "test": 1000, "epochs": 16, "size": 32, "seeds": 3},
    quick={"train": 40, "test": 20, "epochs": 1, "size": 4, "seeds": 1},
)
def cde(run: Run) -> Iterator[Claim]:
    """Every share of lost samples is trained and tested by itself."""
    s = run.settings
    found = {}
    for share in _DROPS:
        scores = []
        for seed in range(s["seeds"]):
            train = _paths(s["train"], share, 2 * seed)
            test = _paths(s["test"], share, 2 * seed + 1)
            model = neural_cde(
                train.us.shape[2], s["size"], len(_CLASSES), key=jax.random.key(seed)
            )
            config = _config(s["epochs"], seed)
            name = f"cde_{round(100 * share)}_{seed}"
            fitted = trained(run, name, model, train, config)
            scores.append(100.0 * fitted.score(test))
        found[share] = np.array(scores)
        name = f"sequences.cde_accuracy_{round(100 * share)}"
        yield run.row(name).measured(found[share])
    yield run.row("sequences.cde_drop70").measured(found[0.0] - found[0.7])
    for share in (0.0, 0.7):
        scores = []
        for seed in range(s["seeds"]):
            t, x, label = spirals(s["test"], 2 * seed + 1)
            right = _likeliest(t, dropped(x, share, 2 * seed + 1)) == label
            scores.append(100.0 * right.mean())
        name = f"sequences.cde_likeliest_{round(100 * share)}"
        yield run.row(name).measured(scores)
    scores = []
    for seed in range(s["seeds"]):
        train, test = (
            _held(s[part], 2 * seed + k) for k, part in enumerate(("train", "test"))
        )
        model = recurrent_model(
            "gru", train.us.shape[2], s["size"], len(_CLASSES), key=jax.random.key(seed)
        )
        config = _config(s["epochs"], seed)
        fitted = trained(run, f"gru_{seed}", model, train, config)
        scores.append(100.0 * fitted.score(test))
    yield run.row("sequences.cde_gru_70").measured(scores)
    yield run.row("sequences.causality").measured(_ahead("rectilinear"))
    yield run.row("sequences.causality_linear").measured(_ahead("linear"))


def _config(epochs: int, seed: int) -> SequenceFitConfig:
    drops = late_drop(epochs, 0.75)
    return SequenceFitConfig(epochs=epochs, batch=32, lr=0.01, drops=drops, seed=seed)


def _paths(count: int, share: float, seed: int) -> Sequences:
    t, x, label = spirals(count, seed)
    us, lengths = control_path(t, dropped(x, share, seed))
    return Sequences.of(us, label, lengths=lengths, classes=_CLASSES)


def _held(count: int, seed: int) -> Sequences:
    """What is left of the samples, one after the other: time and coordinates."""
    t, x, label = spirals(count, seed)
    x = dropped(x, 0.7, seed)
    rows = [
        np.column_stack([a, b])[~np.isnan(b[:, 0])] for a, b in zip(t, x, strict=True)
    ]
    lengths = [len(row) for row in rows]
    us = np.zeros((count, max(lengths), 3), np.float32)
    for place, row in zip(us, rows, strict=True):
        place[: len(row)] = row
    return Sequences.of(us, label, lengths=lengths, classes=_CLASSES)


def _ahead(kind: str) -> float:
    """Change of outputs up to sample 50 by values after it."""
    t, x, _ = spirals(8, 0)
    x = np.where(np.random.default_rng(1).random(x.shape) < 0.5, np.nan, x)
    x[:, 50] = np.nan
    other = x.copy()
    other[:, 51:] += 5.0
    model = neural_cde(5, 16, 2, mode="all", key=jax.random.key(0))
    outs = []
    for values in (x, other):
        us, lengths = control_path(t, values, kind=kind)
        outs.append(np.asarray(jax.vmap(model)(us, lengths)))
    # rows of which nothing was seen are left out; two inputs a sample if rectilinear
    seen = ~np.isnan(x[:, 1:50]).all(axis=2)
    kept = 1 + seen.sum(axis=1) * (2 if kind == "rectilinear" else 1)
    pairs = zip(*outs, kept, strict=True)
    return float(max(np.abs(a[:k] - b[:k]).max() for a, b, k in pairs))


_OU = "dx = 1.5 (0.5 - x) dt + 0.6 dW, 32 series of 400 time units, samples 0.05 apart"
_THETA, _MEAN, _SIGMA = 1.5, 0.5, 0.6
_NET = {"width": 8, "depth": 1, "lr": 0.02}
_OU_ROWS = (
    Row(
        "sequences.ou",
        "The larger of both relative errors below.",
        target=0.05,
        tried="Transitions by local linearisation, one hidden layer of 8, rate 0.02. "
        "On a quarter of the data with two layers of 32 and rate 0.005: 0.067.",
    ),
    Row(
        "sequences.ou_drift",
        f"Relative L2 error of a neural SDE's drift, weighted by where the process is, "
        f"after a fit of {_OU}.",
    ),
    Row("sequences.ou_diffusion", "The same of its diffusion."),
    Row(
        "sequences.ou_crps",
        "Continuous ranked probability score one sample ahead over that of the exact "
        "transition, other series.",
    ),
    Row(
        "sequences.ou_energy_drift", "Error of the drift by the energy score, 8 ahead."
    ),
    Row("sequences.ou_energy_diffusion", "Error of the diffusion by the energy score."),
)


@sequences.part(
    "ou",
    _OU_ROWS,
    full={"series": 32, "samples": 8000, "steps": 3000, "seeds": 3, "net": _NET},
    quick={"series": 2, "samples": 50, "steps": 20, "seeds": 1, "net": _NET},
)
def ou(run: Run) -> Iterator[Claim]:
    """Data by the exact transition."""
    s = run.settings
    found: dict[str, list[tuple[float, ...]]] = {"likelihood": [], "energy": []}
    for seed in range(s["seeds"]):
        for objective, done in found.items():

            def fitted(
                seed: int = seed, objective: str = objective
            ) -> dict[str, float]:
                return _fitted(s, seed, objective)

            kept = run.keep(f"ou_{objective}_{seed}", fitted)
            done.append(tuple(float(kept[k]) for k in ("drift", "diffusion", "crps")))
    drift, diffusion, crps = np.array(found["likelihood"]).T
    yield run.row("sequences.ou").measured(np.maximum(drift, diffusion))
    yield run.row("sequences.ou_drift").measured(drift)
    yield run.row("sequences.ou_diffusion").measured(diffusion)
    yield run.row("sequences.ou_crps").measured(crps)
    drift, diffusion, _ = np.array(found["energy"]).T
    yield run.row("sequences.ou_energy_drift").measured(drift)
    yield run.row("sequences.ou_energy_diffusion").measured(diffusion)


def _fitted(s: dict, seed: int, objective: str) -> dict[str, float]:
    data, test = (_ou_data(s["series"], s["samples"], 2 * seed + k) for k in (0, 1))
    config = SDEConfig(
        objective=objective,
        horizon=8 if objective == "energy" else 1,
        steps=s["steps"],
        seed=seed,
        **s["net"],
    )
    fitted = fit_sde(data, config)
    spread = _SIGMA / np.sqrt(2 * _THETA)
    x = _MEAN + spread * norm.ppf(np.linspace(0.005, 0.995, 200))
    drift = _THETA * (_MEAN - x)
    off = fitted.drift(x[:, None])[:, 0] - drift
    noise = fitted.diffusion(x[:, None])[:, 0] - _SIGMA
    keep = np.exp(-_THETA * 0.05)
    before, after = test.ys[:, :-1, 0], test.ys[:, 1:, 0]
    exact = crps_normal(
        after,
        _MEAN + keep * (before - _MEAN),
        np.full_like(after, spread * np.sqrt(1 - keep**2)),
    )
    return {
        "drift": float(np.linalg.norm(off) / np.linalg.norm(drift)),
        "diffusion": float(np.sqrt(np.mean(noise**2)) / _SIGMA),
        "crps": float(fitted.crps(test)[0] / exact.mean()),
    }


def _ou_data(series: int, samples: int, seed: int) -> Trajectories:
    rng = np.random.default_rng(seed)
    keep, spread = np.exp(-_THETA * 0.05), _SIGMA / np.sqrt(2 * _THETA)
    x = _MEAN + spread * rng.normal(size=series)
    path = [x]
    for _ in range(samples):
        shaken = spread * np.sqrt(1 - keep**2) * rng.normal(size=series)
        x = _MEAN + keep * (x - _MEAN) + shaken
        path.append(x)
    ys = np.stack(path, axis=1)[..., None]
    times = 0.05 * np.arange(samples + 1)
    return Trajectories.from_arrays([times] * series, list(ys))
