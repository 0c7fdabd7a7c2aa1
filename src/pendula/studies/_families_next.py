"""Part `next_experiment` of study `families`: what a proposed start tells of a new
bistable oscillator, beside a random one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import BISTABLE, STEP, families, fitted_family
from ._families_motion import BISTABLE_CONFIG
from ._row import Row
from ._study import Run


NOISE = 0.01  # standard deviation of u and v
SECONDS = 1.0
BOX = ((-0.8, 0.8), (-0.5, 0.5))  # of starts, as in training
_N = "families.next_experiment"
_ROWS = (
    Row(
        _N,
        "New bistable oscillators, known from one noisy second: variance of eta after "
        "a second one from the proposed start, over that after one from a random "
        "start (geometric mean over the entries and the systems).",
        target=1.0,
        tried="Largest expected gain in information on eta, start states free; random "
        "starts and narrower boxes about the best.",
    ),
    Row(
        f"{_N}.error",
        "The same of the squared error of the parameters (k1, k3), read off by the "
        "affine map of the training systems; median over the systems.",
    ),
    Row(
        f"{_N}.expected",
        "The same ratio of variances as it was predicted before the second record.",
    ),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "systems": 30,
    "config": BISTABLE_CONFIG,
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0], "systems": 2}
_QUICK["config"] |= {"steps": 2, "every": 10}


@families.part("next_experiment", _ROWS, full=_FULL, quick=_QUICK)
def next_start(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows."""
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: measured(run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    yield run.row(_N).measured([float(f["variance"]) for f in found])
    for key in ("error", "expected"):
        yield run.row(f"{_N}.{key}").measured([float(f[key]) for f in found])


def record(params: Any, starts: list[np.ndarray], key: list[int]) -> Trajectories:
    """Noisy records of one system, one from each start."""
    runs = [BISTABLE.motion(params, start, SECONDS) for start in starts]
    ys = [
        y + NOISE * np.random.default_rng([*key, k]).normal(size=y.shape)
        for k, (_, y) in enumerate(runs)
    ]
    return Trajectories.from_arrays(
        [ts for ts, _ in runs],
        ys,
        names=("u", "v"),
        units=("1", "1/s"),
        origin={"system": BISTABLE.name},
    )


def measured(settings: dict[str, Any], seed: int) -> dict[str, float]:
    """Train once; for each new system a first record, then both second ones."""
    from ..dynamics import next_experiment

    family = fitted_family(BISTABLE, settings["config"], seed)
    rng = np.random.default_rng([seed, 7])
    ts = np.arange(round(SECONDS / STEP) + 1) * STEP
    design = np.column_stack([family.etas, np.ones(len(family.etas))])
    labels = np.array(BISTABLE.params)
    affine = np.linalg.lstsq(design, labels, rcond=None)[0]
    told: dict[str, list[float]] = {"variance": [], "error": [], "expected": []}
    for i, params in enumerate(BISTABLE.unseen(settings["systems"], rng)):
        first, other = BISTABLE.start(rng), BISTABLE.start(rng)
        adapt = lambda starts, i=i, params=params: family.adapt(
            record(params, starts, [seed, i]), noise=NOISE
        )
        known = adapt([first])
        found = next_experiment(known, ts, box=BOX, noise=NOISE, seed=i)
        after = [adapt([first, start]) for start in (found.start, other)]
        known_by = lambda a: a.covariance if a.identified else family.covariance
        size = [np.linalg.slogdet(known_by(a))[1] / family.size for a in after]
        told["variance"].append(float(size[0] - size[1]))
        off = [np.append(a.eta, 1.0) @ affine - params for a in after]
        square = [float(np.sum((o / labels.std(0)) ** 2)) for o in off]
        told["error"].append(float(np.log(square[0] / square[1])))
        told["expected"].append(2.0 * float(np.log(found.ratio)))
    return {
        "variance": float(np.exp(np.mean(told["variance"]))),
        "error": float(np.exp(np.median(told["error"]))),
        "expected": float(np.exp(np.mean(told["expected"]))),
    }
