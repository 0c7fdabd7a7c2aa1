"""Part `chemostats` of study `families`: algae and rotifers, one experiment left out.

Six experiments with a constant medium (C9 is driven, C1 is mostly noise), natural
logarithms. The law is learned on five of them; eta of the sixth from its first 10, 20
or 40 days. Scored after day 40 on forecasts of 1 to 4 days, one every second day, each
from the start state that fits the 8 days before best. The measurements scatter by 10 to
30 %, so that part of every error is theirs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import cast, precision
from ..data import Batch, Trajectories
from ._claim import Claim
from ._families import families, family_on
from ._families_ball_laws import until
from ._real_data import measured
from ._row import Row
from ._study import Run


_C = "families.real.chemostats"
WHICH = ("C2", "C3", "C5", "C6", "C7", "C10")
_DAYS = {"10d": 10.0, "20d": 20.0, "40d": 40.0}
LAST = 40.0  # days, where what is scored begins
PAST, AHEAD, EVERY = 8, 4, 2  # samples, about a day each
WORST = 3.0  # what a run that diverged counts
_WHAT = "Chemostat left out, forecasts of 1 to 4 days after day 40, RMSE of logarithms"
_RIVALS = {
    "pooled": "the mean of the other experiments, nothing read off",
    "alone": "the same network fitted to its first 40 days alone",
    "persistence": "what was measured last",
    "climatology": "the mean of its first 40 days",
}
_ROWS = (
    *[
        Row(f"{_C}_{key}", f"{_WHAT}: eta from its first {days:g} days.")
        for key, days in _DAYS.items()
    ],
    *[Row(f"{_C}_{key}", f"{_WHAT}: {words}.") for key, words in _RIVALS.items()],
    Row(
        f"{_C}_identified",
        "Share of the chemostats whose 40 days say more of every entry of eta than the "
        "others do.",
        better="higher",
    ),
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "which": list(WHICH),
    "window": 10.0,
    "config": {
        "model": {
            "learn": "field",
            "order": "first",
            "width": 6,
            "depth": 1,
            "precision": 30.0,
        },
        "head": "affine",
        "size": 2,
        "horizon": 10.0,
        "every": 1,
        "minutes": 20.0,
    },
    "alone": {"method": "levenberg", "members": 1, "window": 10.0, "minutes": 3.0},
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0], "which": ["C5"]}
_QUICK["config"] |= {"steps": 2, "horizon": 3.0}
_QUICK["alone"] |= {"steps": 2}


@families.part("chemostats", _ROWS, full=_FULL, quick=_QUICK)
def chemostats(run: Run) -> Iterator[Claim]:
    """Every seed, then the rows: means over the experiments."""
    data = in_logarithms()
    found = [
        run.keep(f"seed_{seed}", lambda seed=seed: left_out(data, run.settings, seed))
        for seed in run.settings["seeds"]
    ]
    for name in run.rows:
        key = name.removeprefix(f"{_C}_")
        yield run.row(name).measured([float(np.mean(f[key])) for f in found])


def in_logarithms() -> Trajectories:
    """The free experiments, one system each; a count of zero counts as not measured."""
    records = [measured(f"chemostat_predator_prey/{which}") for which in WHICH]
    ts, ys = [], []
    for d in records:
        n = int(d.lengths[0])
        y = np.where(d.mask[0, :n] & (d.ys[0, :n] > 0), d.ys[0, :n], np.nan)
        ts.append(d.ts[0, :n])
        ys.append(np.log(y))
    data = Trajectories.from_arrays(
        ts, ys, names=records[0].names, origin={"file": "chemostat_predator_prey"}
    )
    return data.replace(env=np.arange(len(WHICH)), labels=WHICH)


def left_out(
    data: Trajectories, settings: dict[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """Errors of each experiment `"experiment"`, left out of the training."""
    from ..dynamics import fit, from_dict

    out: dict[str, list[float]] = {}
    for which in settings["which"]:
        i = WHICH.index(which)
        mine, rest = data.select([i]), data.select(np.delete(np.arange(data.num), i))
        family = family_on(rest, settings["config"], seed)
        adapted = {
            key: family.adapt(mine.between(0.0, days), window=settings["window"])
            for key, days in _DAYS.items()
        }
        models = {key: a.model() for key, a in adapted.items()}
        models["pooled"] = family.at(family.mean)
        begun = mine.between(0.0, LAST)
        config = {
            "model": settings["config"]["model"],
            "train": settings["alone"],
            "seed": seed,
            "every": 1,
        }
        models["alone"] = fit(None, begun, from_dict(config), judged=False).model()
        tasks = forecasts(mine)
        each = {key: forecast_error(model, tasks) for key, model in models.items()}
        seen = np.where(tasks.mask, tasks.ys, np.nan)
        size = lambda off: float(np.sqrt(np.nanmean(off[:, PAST + 1 :] ** 2)))
        each["persistence"] = size(seen - seen[:, PAST, None])
        y = np.where(begun.mask[0], begun.ys[0], np.nan)
        each["climatology"] = size(seen - np.nanmean(y, axis=0))
        each["identified"] = float(adapted["40d"].identified)
        for key, value in each.items():
            out.setdefault(key, []).append(value)
    return {key: np.array(values) for key, values in out.items()}


def forecasts(record: Trajectories) -> Batch:
    """Stretches of a record after day `LAST`, `"stretch"`: what is looked back on, and
    what is to be forecast."""
    n = int(record.lengths[0])
    first = int(np.searchsorted(record.ts[0, :n], LAST))
    begin = np.arange(first, n - PAST - AHEAD, EVERY)
    rows = begin[:, None] + np.arange(PAST + AHEAD + 1)
    ys = np.where(record.mask[0], record.ys[0], np.nan)
    cut = Trajectories.from_arrays(list(record.ts[0][rows]), list(ys[rows]))
    return cut.full(np.float64)


def forecast_error(model: Any, tasks: Batch) -> float:
    """RMSE of what lies ahead of all stretches."""
    ys = np.where(tasks.mask, tasks.ys, np.nan)
    first = np.where(np.isfinite(ys[:, 0]), ys[:, 0], np.nanmean(ys, axis=(0, 1)))
    with precision(np.float64):
        put = lambda tree: jax.tree.map(jnp.asarray, cast(tree, np.float64))
        runs = np.asarray(_ahead(put(model), jnp.asarray(first), put(tasks)))
    off = np.clip(np.nan_to_num(runs - ys, nan=WORST), -WORST, WORST)
    off = np.where(np.isfinite(ys), off, np.nan)[:, PAST + 1 :]
    return float(np.sqrt(np.nanmean(off**2)))


@eqx.filter_jit
def _ahead(model: Any, first: Any, tasks: Batch) -> Any:
    from ..dynamics import refine_start

    def one(y0: Any, item: Batch) -> Any:
        past = until(item, jnp.sum(item.dts[:PAST]))
        y0 = refine_start(model, y0, past)[0]
        return model.predict(y0, item.t0, item.dts)

    return jax.vmap(one)(first, tasks)
