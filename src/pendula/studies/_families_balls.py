"""Part `balls` of study `families`: balls dropped from a bridge, one law, other drag.

One ball is left out, the family is learned from both drops of the others; from the
beginning of the first drop of the new ball its eta is found, and its second drop is
forecast from the start state that fits the first half second of it. Times count from
the release, which is read off the heights. The table of the specification, from which
the targets come, leaves `bowling_ball` out; with it (rows `_all`) the drag of the
training balls no longer says much of the new one's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._families import families, family_on
from ._families_ball_laws import GRAVITY, baselines, forecast_error, from_release
from ._real_data import measured
from ._row import Row
from ._study import Run


_B = "families.real.ball_drops"
_LEFT_OUT = "bowling_ball"
_ENDS = {"1s": 1.0, "15s": 1.5, "2s": 2.0}  # s of the first drop
_TRIED = (
    "Known gravity, a learned factor on a classical drag that is e to an affine "
    "function of eta, Gauss-Newton with free start states, prior of the training etas; "
    "prior precisions of the weights of 1, 10 and 100; a constant of quadratic drag "
    "that varies: 1.8 m from 1 s; residuals that count as often as they repeat "
    "themselves: 2.2 m."
)


def _row(key: str, what: str, target: float | None = None, goal: Any = None) -> Row:
    tried = None if target is None else _TRIED
    return Row(f"{_B}_{key}", what, "m", target=target, goal=goal, tried=tried)


_FROM = {
    "1s": "1 s",
    "15s": "1.5 s",
    "2s": "2 s",
}
_MODEL = "Second drop of a new ball, eta from the first {} of its first drop: {} RMSE"
_LAWS = {
    "gravity": "gravity alone",
    "pooled": "one quadratic drag for all balls",
    "alone_1": "a quadratic drag from 1 s of its first drop",
    "prior_1": "linear and quadratic drag from 1 s, the other balls as prior",
    "prior_1.5": "the same from 1.5 s",
    "prior_2": "the same from 2 s",
    "whole": "linear and quadratic drag from its whole first drop",
    "floor": "linear and quadratic drag from the second drop itself",
}
_ROWS = (
    _row("1s", _MODEL.format("1 s", "mean") + " of 10 balls.", 1.35, 1.0),
    _row("1s_median", _MODEL.format("1 s", "median") + " of 10 balls.", 1.1),
    _row("15s", _MODEL.format("1.5 s", "mean") + " of 10 balls.", 0.75),
    _row("2s", _MODEL.format("2 s", "mean") + " of 10 balls.", 0.6),
    *[
        _row(f"{key}_all", _MODEL.format(span, "mean") + " of all 11 balls.")
        for key, span in _FROM.items()
    ],
    *[
        row
        for key, words in _LAWS.items()
        for row in (
            _row(f"law_{key.replace('.', '')}", f"The same by {words}: mean RMSE."),
            _row(f"law_{key.replace('.', '')}_median", f"By {words}: median RMSE."),
        )
    ],
)
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "balls": 0,
    "config": {
        "model": {
            "known": [
                {"term": "constant", "on": ["height"], "constants": {"g": -GRAVITY}}
            ],
            "learn": "friction",
            "order": "second",
            "width": 6,
            "depth": 1,
            "precision": 100.0,
        },
        "head": "affine",
        "size": 1,
        "horizon": 2.4,
        "every": 1,
        "minutes": 60.0,
    },
}
_QUICK: dict[str, Any] = copy.deepcopy(_FULL) | {"seeds": [0], "balls": 3}
_QUICK["config"] |= {"steps": 2, "horizon": 0.4}
_QUICK["config"]["model"] |= {"width": 3}


@families.part("balls", _ROWS, full=_FULL, quick=_QUICK)
def balls(run: Run) -> Iterator[Claim]:
    """The classical laws first, then every seed."""
    data = from_release(measured("ball_drops"))
    if run.settings["balls"]:
        data = data.select(np.arange(2 * run.settings["balls"]))
    most = data.select(
        [i for i, label in enumerate(data.labels) if not label.startswith(_LEFT_OUT)]
    )
    laws = run.keep("laws", lambda: baselines(most, list(_ENDS.values())))
    for key in _LAWS:
        name = f"{_B}_law_{key.replace('.', '')}"
        yield run.row(name).measured(float(np.mean(laws[key])), n=len(laws[key]))
        yield run.row(f"{name}_median").measured(
            float(np.median(laws[key])), n=len(laws[key])
        )
    kept = lambda name, part, seed: run.keep(
        f"{name}_{seed}", lambda: left_out(part, run.settings["config"], seed)
    )
    found = [kept("ten", most, seed) for seed in run.settings["seeds"]]
    for key in _ENDS:
        row = run.row(f"{_B}_{key}")
        yield row.measured([float(np.mean(f[key])) for f in found])
    middle = [float(np.median(f["1s"])) for f in found]
    yield run.row(f"{_B}_1s_median").measured(middle)
    everything = kept("all", data, run.settings["seeds"][0])
    for key in _ENDS:
        row = run.row(f"{_B}_{key}_all")
        yield row.measured(float(np.mean(everything[key])), n=1)


def left_out(
    data: Trajectories, config: dict[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """Errors [m] of the second drop of each ball `"ball"`, left out of the training,
    by how much of its first drop was seen; `data` are two drops of every ball, one
    after the other."""
    num = data.num // 2
    out: dict[str, list[float]] = {key: [] for key in _ENDS}
    for ball in range(num):
        first, second = 2 * ball, 2 * ball + 1
        rest = np.delete(np.arange(data.num), [first, second])
        family = family_on(data.select(rest), config, seed)
        for key, end in _ENDS.items():
            seen = data.select([first]).between(0.0, end + 1e-6)
            member = family.adapt(seen).model()
            out[key].append(forecast_error(member, data.select([second])))
    return {key: np.array(errors) for key, errors in out.items()}
