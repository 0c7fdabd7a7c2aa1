"""A few-shot case of gen-dynamics, measured by the protocol of its papers: train on
`train`, adapt on the one record of each new system, judge from the starts of `test`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Bound, Claim
from ._families import family_on
from ._row import Row
from ._study import Run, stored_file


WORST = {"in_worst": "in_mse", "ood_worst": "ood_mse"}


@dataclasses.dataclass(frozen=True)
class FewShot:
    """One system of the benchmark.

    `rate(w, params)` is its law for states `"dim start"`; `params` are those of the
    systems in `train`, `unseen` those in `ood_train`, `scored` which of these count
    (None: all); `noise` of the records that are adapted on (0: taken as they are).
    """

    folder: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    rate: Callable[[np.ndarray, Any], Sequence[np.ndarray]]
    params: tuple[Any, ...]
    unseen: tuple[Any, ...]
    scored: tuple[int, ...] | None = None
    noise: Any = 0.0

    def motion(self, ts: np.ndarray, params: Any, starts: np.ndarray) -> np.ndarray:
        """Exact records `"start time dim"`, all starts in one integration."""
        from scipy.integrate import solve_ivp

        shape = starts.T.shape
        rate = lambda t, w: np.ravel(self.rate(w.reshape(shape), params))
        ends = (ts[0], ts[-1])
        out = solve_ivp(
            rate,
            ends,
            starts.T.ravel(),
            t_eval=ts,
            rtol=1e-10,
            atol=1e-12,
            method="DOP853",
        )
        return out.y.reshape(*shape, len(ts)).transpose(1, 2, 0)


def gen_dynamics(name: str) -> Path:
    """The folder of one system of the benchmark. **Raises:** `NotHere`."""
    return stored_file("gen-dynamics", f"{name}/train.npz").parent


def stored(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and records `"system record time dim"` of one split."""
    with np.load(folder / f"{split}.npz") as file:
        return np.asarray(file["t"], float), np.asarray(file["X"], float)


def as_data(
    ts: np.ndarray,
    xs: np.ndarray,
    names: tuple[str, ...],
    units: tuple[str, ...] | None = None,
) -> Trajectories:
    """Records of several systems as trajectories with a system index."""
    systems, each = xs.shape[:2]
    ys = list(xs.reshape(systems * each, *xs.shape[2:]))
    data = Trajectories.from_arrays(
        [ts] * len(ys),
        ys,
        names=names,
        units=("1",) * len(names) if units is None else units,
        origin={"system": "gen-dynamics"},
    )
    return data.replace(env=np.repeat(np.arange(systems), each))


def few_shot_rows(
    key: str,
    title: str,
    targets: dict[str, tuple[Bound | None, Bound | None]],
    tried: str,
) -> list[Row]:
    """The rows of a case, ids `families.F.KEY_...`; `targets` holds must and goal of
    those that have them, by the last word of their ids."""
    texts: dict[str, tuple[str, str]] = {
        "in_mse": (
            f"{title} of gen-dynamics: mean squared error on unseen starts of the "
            "training systems, the mean of all seeds; nothing is chosen on them.",
            "1",
        ),
        "in_worst": ("The same, the worst seed.", "1"),
        "ood_mse": (
            "New systems, each adapted on one record, from the same unseen starts, the "
            "mean of all seeds; the truth is our own integration (the published split "
            "is not at hand).",
            "1",
        ),
        "ood_worst": ("The same, the worst seed.", "1"),
        "train_cpu": ("Training, processor time, compilation included.", "s"),
        "adapt_cpu": (
            "Adaptation of one system, processor time, after compilation.",
            "s",
        ),
        "iterations": (
            "Levenberg-Marquardt iterations of the adaptation on whole records, the "
            "largest; those on their first shares, before, are not counted.",
            "1",
        ),
        "adapted": ("Number of adapted parameters.", "1"),
        "floor_mse": (
            "Data floor: what the true law scores on the same test records.",
            "1",
        ),
        "exact_mse": (
            "In-domain error against exact trajectories instead of the records.",
            "1",
        ),
        "in_median": ("In-domain error, the median (system, start) pair.", "1"),
        "ood_median": ("Error on new systems, the median (system, start) pair.", "1"),
        "worst_share": (
            "Share of the in-domain error in the worst tenth of (system, start) pairs.",
            "1",
        ),
        "inside_mse": ("In-domain error, starts in the box of training starts.", "1"),
        "outside_mse": ("In-domain error, starts outside that box.", "1"),
    }
    out = []
    for name, (text, unit) in texts.items():
        target, goal = targets.get(name, (None, None))
        if name in WORST:  # no seed may be worse than twice what the mean must be
            must = targets.get(WORST[name], (None, None))[0]
            target = 2 * must if isinstance(must, float) else None
        why = None if target is None else tried
        row = Row(
            f"families.F.{key}_{name}", text, unit, target=target, goal=goal, tried=why
        )
        out.append(row)
    return out


def few_shot_claims(run: Run, key: str, case: FewShot) -> Iterator[Claim]:
    """Every seed, then every row of the part."""
    folder = gen_dynamics(case.folder)
    found = [
        run.keep(
            f"seed_{seed}",
            lambda seed=seed: measured_few_shot(case, run.settings, seed, folder),
        )
        for seed in run.settings["seeds"]
    ]
    for name in run.rows:
        short = name.removeprefix(f"families.F.{key}_")
        values = [float(f[WORST.get(short, short)]) for f in found]
        if short in WORST:
            values = [max(values)]
        elif short in WORST.values():
            values = [float(np.mean(values))]
        yield run.row(name).measured(values)


def measured_few_shot(
    case: FewShot, settings: dict[str, Any], seed: int, folder: Path | None = None
) -> dict[str, Any]:
    """Numbers of one seed by the last words of the rows' ids, and `"system"` arrays
    `each_in`, `each_ood`, `each_iterations`, `each_extrapolating`."""
    folder = gen_dynamics(case.folder) if folder is None else folder
    ts, train = stored(folder, "train")
    _, test = stored(folder, "test")
    _, ood = stored(folder, "ood_train")
    began = time.process_time()
    data = as_data(ts, train, case.names, case.units)
    family = family_on(data, settings["config"], seed)
    train_cpu = time.process_time() - began
    new = as_data(ts, ood, case.names, case.units)
    adapted = family.adapt_many(new, noise=case.noise)  # compiles
    began = time.process_time()
    adapted = family.adapt_many(new, noise=case.noise)
    adapt_cpu = (time.process_time() - began) / len(adapted)

    got = np.stack(
        [family.predict(e, x[:, 0], ts) for e, x in zip(family.etas, test, strict=True)]
    )
    each = zip(case.params, test, strict=True)
    exact = np.stack([case.motion(ts, p, x[:, 0]) for p, x in each])
    pairs = ((got - test) ** 2).mean((2, 3))
    ordered = np.sort(pairs.ravel())
    worst = ordered[-max(1, ordered.size // 10) :].sum() / ordered.sum()
    begin = train[:, :, 0].reshape(-1, train.shape[-1])
    here = test[:, :, 0]
    inside = ((here >= begin.min(0)) & (here <= begin.max(0))).all(-1)

    starts = test[0, :, 0]
    truth = np.stack([case.motion(ts, p, starts) for p in case.unseen])
    forecasts = np.stack([family.predict(a.eta, starts, ts) for a in adapted])
    new_pairs = ((forecasts - truth) ** 2).mean((2, 3))
    scored = list(range(len(adapted)) if case.scored is None else case.scored)
    mean = lambda x: np.mean(x) if x.size else np.nan
    return {
        "in_mse": pairs.mean(),
        "ood_mse": new_pairs[scored].mean(),
        "ood_all_mse": new_pairs.mean(),
        "train_cpu": train_cpu,
        "adapt_cpu": adapt_cpu,
        "iterations": max(a.iterations for a in adapted),
        "adapted": family.size,
        "floor_mse": np.mean((exact - test) ** 2),
        "exact_mse": np.mean((got - exact) ** 2),
        "in_median": np.median(pairs),
        "ood_median": np.median(new_pairs[scored]),
        "worst_share": worst,
        "inside_mse": mean(pairs[inside]),
        "outside_mse": mean(pairs[~inside]),
        "extrapolating": sum(a.extrapolating for a in adapted),
        "each_in": pairs.mean(1),
        "each_ood": new_pairs.mean(1),
        "each_iterations": np.array([a.iterations for a in adapted]),
        "each_extrapolating": np.array([a.extrapolating for a in adapted]),
    }
