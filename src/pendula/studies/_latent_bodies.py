"""Part `bodies` of study `latent`: one reduced model for the wakes of many bodies, and
two bodies more from one period each."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Snapshots, Trajectories
from ..dynamics import Family, FamilyConfig, ModelConfig, load_family, meta_fit
from ..latent import ExactDMD, FieldCodec, relative_errors
from ..systems import (
    AbstractBody,
    BodyFlowConfig,
    EllipseBody,
    SquareBody,
    StarBody,
    body_wake,
    wake_numbers,
)
from ._claim import Claim
from ._latent import latent
from ._latent_bodies_figures import eta_map, field_figure
from ._row import Row
from ._study import Run


TRAINING: tuple[AbstractBody, ...] = (
    EllipseBody(),
    EllipseBody(0.6),
    EllipseBody(1.5),
    EllipseBody(2.0),
    EllipseBody(1.5, 30.0),
    SquareBody(0.3),
    SquareBody(0.3, 45.0),
    StarBody(5, 0.15),
    StarBody(3, 0.15),
    StarBody(4, 0.2),
)
UNSEEN: tuple[AbstractBody, ...] = (EllipseBody(1.25, 15.0), StarBody(4, 0.1, 20.0))
SIZES = (2, 3, 4)
MAIN = 3
DMD_RANK = 15
_WINDOW = (1.25, 5.0)  # D behind the body's centre: no body reaches there
_STEPS = 5

_RIVALS = {
    "nearest": "the training body whose model predicts the given period best, as it is",
    "scratch": "the same training on the given period alone",
    "persistence": "the last snapshot of the given period",
    "dmd": f"DMD of rank {DMD_RANK} of the given period",
}
_SCORES = {
    "st": "Strouhal number over ten periods after the given one, relative error (1 "
    "where the forecast does not oscillate)",
    "field": "Relative error of the vorticity, mean over the period after the given "
    "one",
    "later": "Relative error of the vorticity, mean over the fifth period after the "
    "given one",
}
_WHERE = "x 1.25 to 5 D, two bodies that were not in training, one period each"
_TRIED = (
    "Ten training bodies, 16 common modes, a field of 48 neurons twice on clips of two "
    "periods. Gauss-Newton on a field of 16 neurons fits one period as well, and "
    "leaves the cycle after five; clips of one period: Strouhal numbers off by 1 to 2 "
    "%. What is left of the error over one period is mostly what the common modes miss "
    "(latent.bodies.floor_field), the same for all but DMD and persistence; the "
    "coordinates tell much of the body by themselves, so that the nearest training "
    "body's model follows it, too; and a clean period tells all of a periodic motion, "
    "so that a training on it alone, a minute instead of a fraction of a second, "
    "misses no more: it does not have to serve ten other bodies."
)


def _rows() -> Iterator[Row]:
    for size in SIZES:
        for score, words in _SCORES.items():
            yield Row(
                f"latent.bodies.eta{size}_{score}",
                f"{words}: shared model with eta of {size}, {_STEPS} steps on the "
                f"period in pieces; {_WHERE}.",
            )
    for rival, who in _RIVALS.items():
        for score, words in _SCORES.items():
            if (rival, score) != ("persistence", "st"):
                about = f"{words}: {who}; {_WHERE}."
                yield Row(f"latent.bodies.{rival}_{score}", about)
    for rival in ("nearest", "scratch"):
        for score, words in _SCORES.items():
            yield Row(
                f"latent.bodies.{score}_over_{rival}",
                f"{words}: shared model with eta of {MAIN} over {_RIVALS[rival]}; "
                f"{_WHERE}.",
                target=1.0,
                tried=_TRIED,
            )
    for score, words in _SCORES.items():
        yield Row(
            f"latent.bodies.whole_{score}",
            f"{words}: shared model with eta of {MAIN}, {_STEPS} steps on the whole "
            f"period, after as many on each of two shares of it; {_WHERE}.",
        )
    yield Row(
        "latent.bodies.floor_field",
        "What the common modes of the training bodies miss of the vorticity, relative; "
        f"{_WHERE}.",
    )
    yield Row(
        "latent.bodies.training_field",
        f"{_SCORES['field']}: the training bodies, eta of {MAIN}.",
    )
    yield Row(
        "latent.bodies.train_seconds",
        f"Training of the shared model, eta of {MAIN}, wall time.",
        "s",
    )
    yield Row(
        "latent.bodies.adapt_seconds",
        "Adaptation to one body, compilation included, wall time.",
        "s",
    )
    yield Row(
        "latent.bodies.scratch_seconds",
        "The same training on the given period of one body alone, wall time.",
        "s",
    )
    yield Row(
        "latent.bodies.seconds_over_scratch",
        f"Time to one body's model: adaptation with eta of {MAIN}, with compilation, "
        f"over {_RIVALS['scratch']}; {_WHERE}.",
    )
    yield Row(
        "latent.bodies.circle_st",
        "Strouhal number of the circle at Re = 100, penalised, a tenth of the stream "
        "blocked.",
        published=0.164,
        source="Williamson 1989, unbounded stream",
    )


@dataclasses.dataclass
class Wakes:
    """The wakes of all bodies, the codec of the training ones, and coordinates
    `"time mode"` of each."""

    training: list[Snapshots]
    unseen: list[Snapshots]
    codec: FieldCodec
    settings: dict[str, Any]

    @classmethod
    def of(cls, run: Run) -> Wakes:
        """Computed, or read from the cache."""
        s = run.settings
        bodies = [TRAINING[k] for k in s["training"]], [UNSEEN[k] for k in s["unseen"]]
        found = [[wake(run, body) for body in some] for some in bodies]
        rows = np.concatenate([d.flat()[: s["train"] : 2] for d in found[0]])
        codec = FieldCodec.fit(rows, reduced=True, rank=s["rank"])
        return cls(found[0], found[1], codec, s)

    def coordinates(self, data: Snapshots) -> np.ndarray:
        """Of all snapshots, in float64."""
        return self.codec.encode(data.flat()).astype(np.float64)

    def trajectories(
        self, systems: list[tuple[np.ndarray, np.ndarray]], seed: int
    ) -> Trajectories:
        """Coordinates (times, values) of several systems, and what each would look like
        pushed off its motion a little and coming back to it: records of a periodic
        motion alone do not say that it attracts."""
        s, rng = self.settings, np.random.default_rng(seed)
        ts, zs, env = [], [], []
        for system, (t, z) in enumerate(systems):
            ts.append(t)
            zs.append(z)
            env.append(system)
            length = min(s["push_length"], len(z) - 3)
            for _ in range(s["pushes"]):
                at = int(rng.integers(1, len(z) - length))
                push = rng.normal(size=z.shape[1]) * s["push"] * z.std(axis=0)
                along = z[at + 1] - z[at - 1]
                push -= along * (push @ along) / (along @ along)
                part = slice(at, at + length)
                fade = np.exp(-(t[part] - t[at]) / s["push_time"])
                ts.append(t[part])
                zs.append(z[part] + fade[:, None] * push)
                env.append(system)
        return self.record(ts, zs, np.array(env))

    def record(
        self, ts: list[np.ndarray], zs: list[np.ndarray], env: np.ndarray | None = None
    ) -> Trajectories:
        """Coordinates as trajectories."""
        names = tuple(f"a{k + 1}" for k in range(self.codec.size))
        origin = {"system": "wakes of bodies"}  # no measurement
        return Trajectories.from_arrays(ts, zs, names=names, env=env, origin=origin)


def wake(run: Run, body: AbstractBody) -> Snapshots:
    """The near wake of one body."""
    run.progress(f"flow past the {body.label()}")
    data = body_wake(BodyFlowConfig(body, **run.settings["flow"]))
    x = data.axes["x"]
    seen = np.flatnonzero((x > _WINDOW[0] - 1e-9) & (x < _WINDOW[1] + 1e-9))
    return data.crop(x=slice(int(seen[0]), int(seen[-1]) + 1))


def trained(
    run: Run, wakes: Wakes, systems: list[Any], size: int, seed: int, name: str
) -> tuple[Family, float]:
    """A training whose result outlives a kill, and the seconds it took."""
    path = run.scratch / f"{name}.safetensors"
    if not path.exists():
        run.progress(f"training {name}")
        s = run.settings
        config = FamilyConfig(
            ModelConfig(
                learn="field",
                order="first",
                width=s["width"],
                depth=s["depth"],
                scheme=s["scheme"],
                substeps=1,
            ),
            head="concat",
            size=size,
            mode="joint",
            horizon=s["horizon"],
            steps=s["updates"],
            every=1,
            exact=True,
            seed=seed,
            minutes=s["minutes"],
        )
        meta_fit(wakes.trajectories(systems, seed), config).save(path)
    family = load_family(path)
    return family, float(family.about["seconds"])


def strouhal(z: np.ndarray, dt: float) -> float:
    """Frequency of the first coordinate; NaN where it does not oscillate."""
    with np.errstate(all="ignore"):
        swing = z[:, 0].astype(np.float64)
        return wake_numbers(dt * np.arange(len(z)), swing, swing).strouhal


@dataclasses.dataclass(frozen=True)
class Case:
    """One body: the period that is given, and what comes after."""

    data: Snapshots
    z: np.ndarray
    start: int

    @property
    def period(self) -> int:
        """Samples, to the next whole one."""
        return int(np.ceil(1.0 / float(self.data.attrs["St"]) / self.data.dt))

    @property
    def given(self) -> slice:
        """The period that is given, both ends included."""
        return slice(self.start - self.period, self.start + 1)

    @property
    def later(self) -> slice:
        """Ten periods after it (fewer at a small size), its last sample the first."""
        return slice(self.start, self.start + 10 * self.period + 1)

    def scores(
        self, rows: np.ndarray | None, z: np.ndarray, true_z: np.ndarray
    ) -> np.ndarray:
        """`"score"`, as `_SCORES`, of a forecast from the last given sample on."""
        true = self.data.flat()[self.later]
        n, p = len(true), self.period
        out = []
        wanted, found = (strouhal(a[:n], self.data.dt) for a in (true_z, z))
        off = abs(found - wanted) / wanted
        out.append(off if np.isfinite(off) else 1.0)
        fifth = min(4 * p, n - 1 - p)
        for first in (0, fifth):
            part = slice(first + 1, first + p + 1)
            rows_here = np.asarray(rows)[part] if rows is not None else true[part]
            with np.errstate(over="ignore", invalid="ignore"):
                out.append(float(np.mean(relative_errors(rows_here, true[part]))))
        return np.array(out)


def _case(wakes: Wakes, data: Snapshots) -> Case:
    return Case(data, wakes.coordinates(data), wakes.settings["start"])


def _decoded(wakes: Wakes, case: Case, z: np.ndarray) -> np.ndarray:
    return case.scores(wakes.codec.decode(z), z, case.z[case.later])


def adapted(run: Run, wakes: Wakes, size: int, seed: int) -> dict[str, Any]:
    """Scores of the shared model on the bodies that it has not seen, and of its rivals
    that need it."""
    s = run.settings
    ends = slice(0, s["train"])
    systems = [(d.ts[ends], wakes.coordinates(d)[ends]) for d in wakes.training]
    family, seconds = trained(run, wakes, systems, size, seed, f"eta{size}_{seed}")
    out: dict[str, Any] = {"etas": family.etas, "seconds": seconds}
    mine, whole, nearest, found, fields, took = [], [], [], [], [], []
    for data in wakes.unseen:
        case = _case(wakes, data)
        given, later = data.ts[case.given], data.ts[case.later]
        began = time.perf_counter()
        record = wakes.record([given], [case.z[case.given]])
        how: dict[str, Any] = {"noise": 0.0, "iterations": _STEPS}
        fit = family.adapt(record, window=s["window"], **how)
        took.append(time.perf_counter() - began)
        z = fit.predict(case.z[case.start], later)
        mine.append(_decoded(wakes, case, z))
        found.append(fit.eta)
        fields.append(_phases(wakes, case, z))
        if size == MAIN:
            other = family.adapt(record, window=s["whole"], **how)
            z_other = other.predict(case.z[case.start], later)
            whole.append(_decoded(wakes, case, z_other))
        starts = np.broadcast_to(case.z[case.given.start], (len(family.etas), len(z.T)))
        away = family.predict(family.etas, starts, given) - case.z[case.given]
        gaps = np.nan_to_num(np.sum(away**2, axis=(1, 2)), nan=np.inf)
        eta = family.etas[int(np.argmin(gaps))]
        z = family.predict(eta, case.z[case.start], later)
        nearest.append(_decoded(wakes, case, z))
    out |= {
        "adapted": mine,
        "whole": whole,
        "nearest": nearest,
        "found": found,
        "took": took,
    }
    out["fields"] = np.array(fields, np.float32)
    known = []
    for eta, data in zip(family.etas, wakes.training, strict=True):
        case = _case(wakes, data)
        z = family.predict(eta, case.z[case.start], data.ts[case.later])
        known.append(_decoded(wakes, case, z))
    return out | {"training": known}


def _phases(wakes: Wakes, case: Case, z: np.ndarray) -> np.ndarray:
    """Four phases `"row phase x y"` of the fifth period: true, then forecast."""
    first = min(4 * case.period, len(z) - 1 - case.period)
    picks = first + (case.period * np.arange(4)) // 4
    true = case.data.flat()[case.later][picks]
    both = np.stack([true, wakes.codec.decode(z[picks])])
    return case.data.unflat(both)[..., 0]


def scratch(run: Run, wakes: Wakes, seed: int) -> dict[str, Any]:
    """The same training on one period alone: as a family of equal systems."""
    scores, seconds = [], []
    for k, data in enumerate(wakes.unseen):
        case = _case(wakes, data)
        alone = (data.ts[case.given], case.z[case.given])
        name = f"scratch{k}_{seed}"
        same = [alone] * run.settings["copies"]
        family, took = trained(run, wakes, same, MAIN, seed, name)
        seconds.append(took)
        later = data.ts[case.later]
        z = family.predict(family.etas[0], case.z[case.start], later)
        scores.append(_decoded(wakes, case, z))
    return {"scratch": scores, "seconds": seconds}


def classical(wakes: Wakes) -> dict[str, Any]:
    """Persistence, DMD, and what the modes miss."""
    out: dict[str, Any] = {"persistence": [], "dmd": [], "floor": []}
    for data in wakes.unseen:
        case, rows = _case(wakes, data), data.flat()
        true = rows[case.later]
        still = np.broadcast_to(true[0], true.shape)
        out["persistence"].append(
            case.scores(still, np.zeros((2, 1)), case.z[case.later])
        )
        fitted = ExactDMD(DMD_RANK).fit(rows[case.given], dt=data.dt)
        ahead = fitted.predict(true[0], len(true) - 1)
        ahead = np.concatenate([true[:1], np.real(ahead)])
        z = wakes.codec.encode(ahead)
        out["dmd"].append(case.scores(ahead, z, case.z[case.later]))
        kept = wakes.codec.decode(case.z[case.later])
        out["floor"].append(float(np.mean(relative_errors(kept, true))))
    return out


_FLOW: dict[str, Any] = {"cells": 16, "start": 20.0, "num": 451}
_FULL: dict[str, Any] = {
    "flow": _FLOW,
    "training": list(range(len(TRAINING))),
    "unseen": [0, 1],
    "seeds": [0, 1, 2],
    "train": 200,
    "start": 115,
    "rank": 16,
    "width": 48,
    "depth": 2,
    "scheme": "rk4",
    "copies": 2,
    "horizon": 12.0,
    "updates": 6000,
    "minutes": 12.0,
    "window": 1.4,
    "whole": None,
    "pushes": 12,
    "push": 0.1,
    "push_time": 2.0,
    "push_length": 64,
}
_QUICK: dict[str, Any] = _FULL | {
    "flow": {
        "cells": 6,
        "penalty": 0.02,
        "dt": 0.05,
        "start": 20.0,
        "num": 160,
    },
    "training": [0, 1, 2],
    "unseen": [0],
    "seeds": [0],
    "train": 60,
    "start": 70,
    "rank": 4,
    "width": 6,
    "depth": 1,
    "scheme": "euler",
    "copies": 3,
    "window": 0.8,
    "whole": 0.8,
    "horizon": 0.8,
    "updates": 3,
    "pushes": 1,
}


@latent.part("bodies", tuple(_rows()), full=_FULL, quick=_QUICK)
def bodies(run: Run) -> Iterator[Claim]:
    """The flows, then every training; each is kept."""
    wakes = Wakes.of(run)
    seeds = run.settings["seeds"]
    row = lambda name: run.row(f"latent.bodies.{name}")
    yield row("circle_st").measured(float(wakes.training[0].attrs["St"]))
    plain = run.keep("classical", lambda: classical(wakes))
    shared: dict[int, list[dict[str, np.ndarray]]] = {}
    for size in (MAIN, *(k for k in SIZES if k != MAIN)):
        some = seeds if size == MAIN else seeds[:1]
        shared[size] = [
            run.keep(
                f"eta{size}_{seed}_scores",
                lambda size=size, seed=seed: adapted(run, wakes, size, seed),
            )
            for seed in some
        ]
    alone = [
        run.keep(f"scratch_{seed}_scores", lambda seed=seed: scratch(run, wakes, seed))
        for seed in seeds
    ]
    main = shared[MAIN]
    rivals = {
        "nearest": [f["nearest"] for f in main],
        "scratch": [f["scratch"] for f in alone],
        "persistence": [plain["persistence"]],
        "dmd": [plain["dmd"]],
    }
    # "run body score" -> one number a run and body
    of = lambda found, k: np.array(found)[..., k].ravel()
    for k, score in enumerate(_SCORES):
        for size in SIZES:
            values = of([f["adapted"] for f in shared[size]], k)
            yield row(f"eta{size}_{score}").measured(values)
        for rival, found in rivals.items():
            if (rival, score) != ("persistence", "st"):
                yield row(f"{rival}_{score}").measured(of(found, k))
        yield row(f"whole_{score}").measured(of([f["whole"] for f in main], k))
        for rival in ("nearest", "scratch"):
            ours = of([f["adapted"] for f in main], k)
            ratio = ours / of(rivals[rival], k)
            yield row(f"{score}_over_{rival}").measured(ratio)
    yield row("floor_field").measured(plain["floor"])
    yield row("training_field").measured(of([f["training"] for f in main], 1))
    yield row("train_seconds").measured([float(f["seconds"]) for f in main])
    took = np.concatenate([f["took"] for f in main])
    yield row("adapt_seconds").measured(took)
    longer = np.concatenate([f["seconds"] for f in alone])
    yield row("scratch_seconds").measured(longer)
    yield row("seconds_over_scratch").measured(took / longer)
    _draw(run, wakes, main[0])


def _draw(run: Run, wakes: Wakes, found: dict[str, np.ndarray]) -> None:
    """Fields of the last unseen body, and where the bodies lie in eta."""
    s = run.settings
    at = len(s["unseen"]) - 1
    data = wakes.unseen[at]
    error = float(found["adapted"][at][2])
    field_figure(
        run.figures / "bodies_fields.png",
        found["fields"][at],
        (data.axes["x"], data.axes["y"]),
        f"{UNSEEN[s['unseen'][at]].label()}, fifth period, mean error {error:.2g}",
    )
    known = [TRAINING[k] for k in s["training"]]
    new = [UNSEEN[k] for k in s["unseen"]]
    path = run.figures / "bodies_eta.svg"
    eta_map(path, found["etas"], known, found["found"], new)
