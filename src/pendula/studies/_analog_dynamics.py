"""Part `dynamics` of study `analog`: forecasts of fitted models on noisy devices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._precision import to_device
from ..data import Trajectories
from ..dynamics import FitConfig, ModelConfig, TrainConfig, fit
from ..hardware import (
    ForecastError,
    HardenConfig,
    NoiseReport,
    RangeNoise,
    harden,
    monte_carlo,
    to_analog,
)
from ..systems import simulate
from ..train import load_tree, save_tree
from ._analog import analog
from ._claim import Claim
from ._figures import COLOURS, figure
from ._row import Row
from ._study import Run


LEVELS = (0.0, 0.02, 0.05, 0.1)
_WAYS = {
    "fitted": "as fitted",
    "plain": "trained further, plain",
    "clip": "trained further, plain, clipping at 1.5 standard deviations",
    "ha": "HA-SGD",
}
_HOW = (
    "Pendulum (learned force, 2 x 64 tanh, 10 trajectories of 5 s), forecasts of 5 s "
    "from 20 unseen states on 50 chips"
)
_TRIED = (
    "HA-SGD with L = 4 at the level 0.05, clipping at 1.5 standard deviations, 3000 "
    "updates on clips that grow to 20 samples; plain: the same updates without noise "
    "and clipping."
)


def forecast_rows(
    part: str, ways: dict[str, str], how: str, tried: str, bound: str = ""
) -> Iterator[Row]:
    """Errors of each way of training at each level, and of HA-SGD over plain."""
    for way, words in ways.items():
        for level in LEVELS:
            percent = round(100 * level)
            yield Row(
                f"analog.{part}.{way}_{percent}",
                f"{how}; {words}, noise {percent} % of the range of each array: median "
                f"over chips of the error, shares of the spread of the states{bound}.",
            )
    for percent in (2, 5, 10):
        target: dict[str, Any] = {"target": 0.7} if percent == 5 else {}
        yield Row(
            f"analog.{part}.ratio_{percent}",
            f"The same at {percent} %: median error with HA-SGD over that of plain "
            "training.",
            tried=tried,
            **target,
        )


@analog.part(
    "dynamics",
    tuple(forecast_rows("dynamics", _WAYS, _HOW, _TRIED)),
    full={
        "seeds": 3,
        "minutes": 1.0,
        "steps": 3000,
        "chips": 50,
        "train": 10,
        "test": 20,
        "seconds": 5.0,
        "longest": 20,
    },
    quick={
        "seeds": 1,
        "minutes": 0.02,
        "steps": 4,
        "chips": 2,
        "train": 4,
        "test": 2,
        "seconds": 1.0,
        "longest": 5,
    },
)
def dynamics(run: Run) -> Iterator[Claim]:
    """Fit, train further in two ways, roll out on chips."""
    s = run.settings
    found: dict[str, list[NoiseReport]] = {way: [] for way in _WAYS}
    for seed in range(s["seeds"]):
        test = _swings(s["test"], s["seconds"], 100 + seed)
        for way, model in _models(run, seed).items():
            twin = to_analog(model, RangeNoise())
            error = ForecastError.of(
                test.ys.astype(np.float32),
                test.ts[0],
                substeps=int(getattr(model, "substeps", 1)),
            )
            key = jax.random.key(seed)
            ys = jax.numpy.asarray(test.ys, jax.numpy.float32)
            report = monte_carlo(twin, error, ys, key, s["chips"], LEVELS)
            found[way].append(report)
    medians = {
        way: np.stack([np.median(r.values, axis=1) for r in reports])
        for way, reports in found.items()
    }
    for way, table in medians.items():
        for level, column in zip(LEVELS, table.T, strict=True):
            percent = round(100 * level)
            yield run.row(f"analog.dynamics.{way}_{percent}").measured(column)
    ratio = medians["ha"] / medians["plain"]
    for percent, column in zip((2, 5, 10), ratio.T[1:], strict=True):
        yield run.row(f"analog.dynamics.ratio_{percent}").measured(column)
    first = {way: reports[0] for way, reports in found.items()}
    draw_forecasts(run, "dynamics", _WAYS, first)


def _swings(num: int, seconds: float, seed: int) -> Trajectories:
    return simulate("pendulum", num=num, duration=seconds, dt=0.05, seed=seed)


def _models(run: Run, seed: int) -> dict[str, Any]:
    """The three models of one seed; each is trained once."""
    s = run.settings
    train = _swings(s["train"], s["seconds"], seed)

    def fitted() -> Any:
        config = FitConfig(ModelConfig(), TrainConfig(minutes=s["minutes"]))
        return fit(None, train, config, judged=False).model()

    first = once(run.scratch / f"fitted-{seed}.safetensors", fitted)
    twin = to_analog(first, RangeNoise())
    substeps = int(getattr(first, "substeps", 1))
    more: dict[str, Any] = {
        "steps": s["steps"],
        "longest": s["longest"],
        "lr": 3e-3,
        "seed": seed,
        "substeps": substeps,
    }
    made = {"fitted": first}
    for way, config in (
        ("plain", HardenConfig(level=0.0, clip=None, **more)),
        ("clip", HardenConfig(level=0.0, clip=1.5, **more)),
        ("ha", HardenConfig(level=0.05, samples=4, clip=1.5, **more)),
    ):
        run.progress(f"seed {seed}: {way}")
        made[way] = once(
            run.scratch / f"{way}-{seed}.safetensors",
            lambda config=config: harden(first, train.ys, train.ts[0], twin, config),
        )
    return made


def once(path: Path, make: Any) -> Any:
    """A model, trained once and kept."""
    if not path.exists():
        save_tree(path, make(), {})
    tree, _ = load_tree(path)
    return to_device(tree)


def draw_forecasts(
    run: Run, part: str, ways: dict[str, str], reports: dict[str, NoiseReport]
) -> None:
    """Errors over the level, with bands over chips."""
    with figure(run.figures / f"{part}.svg", 1, 3.6) as (ax,):
        for k, (way, report) in enumerate(reports.items()):
            report.plot(ax, label=ways[way], colour=COLOURS[k])
        ax.set_yscale("log")
        ax.set_ylabel("error of the forecast")
        ax.legend(frameon=False, fontsize=8)
