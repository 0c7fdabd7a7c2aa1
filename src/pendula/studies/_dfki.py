"""Part `dfki` of study `real_data`: one pendulum driven by a motor.

Trained on two short records (position control, and a planned swing-up), with the
controller's record `sac` for the choice between models; scored on the swing-up
`energy_0p5kg`: free runs of 2 s from every second, replaying the measured torque. The
start states of all models are the same: local polynomials through the measured angle
and rate around the start. The errors are large, radians, for every model: the motor
takes the pendulum over the top, where a replay without its controller falls to either
side, and angles are not taken modulo a turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Trajectories
from ._claim import Claim
from ._real_data import measured, real_data
from ._row import Row
from ._study import Run


ID = "real_data.dfki"
TRAIN, CHOOSE, TEST = ("sysid_pd", "ddp"), "sac", "energy_0p5kg"
SPAN = 2.0  # s

_G = {"term": "gravity_pendulum", "on": ["q"], "free": ["w2", "zero"]}
_U = {"term": "input", "on": ["q"], "free": ["b"]}
_V = {"term": "viscous", "on": ["q"], "free": ["c"]}
_C = {"term": "coulomb", "on": ["q"], "free": ["f"], "constants": {"width": 0.05}}
_Q = {"term": "quadratic_drag", "on": ["q"], "free": ["d"]}
LAWS = {
    "viscous": [_G, _U, _V],
    "viscous_coulomb": [_G, _U, _V, _C],
    "viscous_coulomb_quadratic": [_G, _U, _V, _C, _Q],
}
OURS = {
    "friction": {"known": [_G, _U], "learn": "friction", "width": 8, "depth": 1},
    "force": {
        "known": LAWS["viscous_coulomb"],
        "learn": "force",
        "priors": ["odd"],
        "width": 8,
        "depth": 1,
    },
}
_WORDS = {name: name.replace("_", " + ") for name in LAWS}
_ROWS = (
    Row(
        f"{ID}.rmse2s_ratio",
        "Driven pendulum: mean RMSE of the angle over free runs of 2 s from every "
        "second of the test record, the hybrid chosen on the record sac over the best "
        "classical law.",
        target=1,
        tried="Learned factor on a classical friction law, and a learned odd force.",
    ),
    Row(f"{ID}.rmse2s", "The same error of the chosen hybrid.", "rad"),
    *[
        Row(f"{ID}.rmse2s_{name}", f"The same error of gravity + {words}.", "rad")
        for name, words in _WORDS.items()
    ],
    *[
        Row(f"{ID}.sac_{name}", f"On the record sac, the hybrid with {name}.", "rad")
        for name in OURS
    ],
    Row(f"{ID}.rmse20s", "One free run over the test record: the hybrid.", "rad"),
    Row(f"{ID}.rmse20s_law", "One free run over the test record: best law.", "rad"),
)
_TRAIN = {"method": "levenberg", "window": 0.5, "minutes": 5.0}
# what `fitted_errors` is told, by the budget
FIT: dict[str, dict[str, Any]] = {
    "full": {"members": 3, "train": _TRAIN, "every": 1.0},
    "quick": {"members": 1, "train": {**_TRAIN, "steps": 2}, "every": 8.0},
}
_FULL: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "laws": LAWS,
    "ours": OURS,
    **FIT["full"],
}
_QUICK: dict[str, Any] = {
    "seeds": [0],
    "laws": {"viscous": LAWS["viscous"]},
    "ours": {"friction": {**OURS["friction"], "width": 3}},
    **FIT["quick"],
}


@real_data.part("dfki", _ROWS, full=_FULL, quick=_QUICK)
def dfki(run: Run) -> Iterator[Claim]:
    """The laws first, then the hybrids; the choice between them on `sac`."""
    data = measured("dfki_simple_pendulum")
    settings = run.settings

    def scores(name: str, model: dict[str, Any], seed: int) -> dict[str, Any]:
        kept = run.keep(
            f"{name}_{seed}", lambda: fitted_errors(data, model, seed, settings)
        )
        return {key: float(value) for key, value in kept.items()}

    laws = {
        name: scores(name, {"known": known, "learn": "none"}, 0)
        for name, known in settings["laws"].items()
    }
    for name in LAWS:
        if name in laws:
            yield run.row(f"{ID}.rmse2s_{name}").measured(laws[name]["test"])
        else:
            yield run.row(f"{ID}.rmse2s_{name}").not_run("left out at this budget")
    best = min(laws.values(), key=lambda found: found["test"])
    found = {
        name: [scores(name, model, seed) for seed in settings["seeds"]]
        for name, model in settings["ours"].items()
    }
    for name in OURS:
        row = run.row(f"{ID}.sac_{name}")
        if name in found:
            yield row.measured([f["choose"] for f in found[name]])
        else:
            yield row.not_run("left out at this budget")
    chosen = min(found.values(), key=lambda f: np.median([x["choose"] for x in f]))
    errors = [f["test"] for f in chosen]
    yield run.row(f"{ID}.rmse2s").measured(errors)
    yield run.row(f"{ID}.rmse20s").measured([f["whole"] for f in chosen])
    yield run.row(f"{ID}.rmse20s_law").measured(best["whole"])
    yield run.row(f"{ID}.rmse2s_ratio").measured(np.array(errors) / best["test"])


def fitted_errors(
    data: Trajectories, model: dict[str, Any], seed: int, settings: dict[str, Any]
) -> dict[str, float]:
    """Fit on the training records; mean errors of free runs on the two others, and of
    one run over the whole test record."""
    from ..dynamics import fit, from_dict

    members = 1 if model["learn"] == "none" else settings["members"]
    config = {"model": model, "train": {**settings["train"], "members": members}}
    part = pick(data, *TRAIN).replace(origin={"file": "dfki_simple_pendulum"})
    fitted = fit(None, part, from_dict({**config, "seed": seed}), judged=False)
    mean = lambda label: float(
        np.mean(free_errors(fitted, pick(data, label), SPAN, settings["every"]))
    )
    test = pick(data, TEST)
    length = float(test.ts[0, test.lengths[0] - 1] - test.ts[0, 0])
    whole = free_errors(fitted, test, length - 0.2, length)
    return {"choose": mean(CHOOSE), "test": mean(TEST), "whole": float(whole[0])}


def pick(data: Trajectories, *labels: str) -> Trajectories:
    """Some records by their names."""
    return data.select([data.labels.index(label) for label in labels])


def free_errors(
    fitted: Any, record: Trajectories, span: float, every: float
) -> np.ndarray:
    """RMSE of the first channel over free runs of `span` from every `every` seconds of
    one record; the ensemble's mean is the forecast. A diverged run counts as
    infinite."""
    from ..dynamics import estimate_states

    n = int(record.lengths[0])
    assert record.us is not None
    ts, truth, us = record.ts[0, :n], record.ys[0, :n, 0], record.us[0, :n]
    states = estimate_states(record, fitted.plan).ys[0, :n]
    out = []
    for start in np.arange(ts[0] + 0.1, ts[-1] - span + 1e-6, every):
        i = int(np.argmin(np.abs(ts - start)))
        j = int(np.searchsorted(ts, ts[i] + span + 1e-9))
        ys = np.asarray(fitted.simulate(states[i], ts[i:j], us[i:j]).ys)[..., 0]
        error = float(np.sqrt(np.mean((ys.mean(0) - truth[i:j]) ** 2)))
        out.append(error if np.isfinite(error) else np.inf)
    return np.array(out)
