"""Parts `silverbox` and `dfki` of study `sequences`: measured, driven motions followed
by recurrent networks, beside the differential equations fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Sequences, Trajectories, local_states, part
from ..sequences import SequenceFitConfig, predict
from ._claim import Claim
from ._dfki import CHOOSE, FIT, LAWS, OURS, SPAN, TEST, TRAIN, fitted_errors, pick
from ._real_data import measured
from ._row import Row
from ._sequences import Net, late_drop, sequences, trained
from ._silverbox import HYBRID, MODELS, SETTLE, TESTS, simulated_errors
from ._study import Run


_NETS = {
    "lem": Net("lem", 0.005, "LEM", {"dt": 1.0}),
    "lru": Net("lru", 0.005, "LRU", {"radii": (0.8, 0.999)}),
    "lstm": Net("lstm", 0.005, "LSTM", {"forget": 1.0}),
}
_CLIP = 400  # samples of a training sequence, 14 decay times
_LAWS = ("linear", "duffing_spline", "hybrid")
_HOW = (
    "trained on the first 16000 samples in clips of 400, N = 64, input alone, "
    "the first 50 samples not scored"
)


def _rows() -> Iterator[Row]:
    for key, net in _NETS.items():
        for test, where in TESTS.items():
            yield Row(
                f"sequences.silverbox.{key}_{test}",
                f"Silverbox, {where}: RMSE of {net.words}, {_HOW}.",
                "mV",
            )
        yield Row(
            f"sequences.silverbox.{key}_over_hybrid",
            f"Silverbox, the arrow head: error of {net.words} over that of the Duffing "
            "law with a learned correction.",
        )
    for key in _LAWS:
        what = "the Duffing law with a learned correction"
        what = MODELS[key][2] if key in MODELS else what
        for test, where in TESTS.items():
            yield Row(
                f"sequences.silverbox.{key}_{test}",
                f"Silverbox, {where}: RMSE of {what}, a vector field fitted to the "
                "same samples.",
                "mV",
            )


@sequences.part(
    "silverbox",
    tuple(_rows()),
    full={"samples": 16000, "most": None, "epochs": 300, "size": 64, "seeds": 3},
    quick={"samples": 1200, "most": 1000, "epochs": 1, "size": 4, "seeds": 1},
)
def silverbox(run: Run) -> Iterator[Claim]:
    """Pure simulation: nothing of the output is given."""
    s, data = run.settings, measured("silverbox")
    found: dict[str, np.ndarray] = {}
    for key, net in _NETS.items():
        errors = [_recurrent(run, data, key, net, seed) for seed in range(s["seeds"])]
        for test in TESTS:
            found[f"{key}_{test}"] = np.array([one[test] for one in errors])
            yield run.row(f"sequences.silverbox.{key}_{test}").measured(
                found[f"{key}_{test}"]
            )
    for key in _LAWS:
        recipe, kind, _ = MODELS.get(key, (HYBRID, "spline", ""))
        if run.budget == "quick":
            recipe = {**recipe, "train": {**recipe["train"], "members": 1, "steps": 4}}

        def simulated(recipe: Any = recipe, kind: str = kind) -> dict[str, Any]:
            return simulated_errors(data, recipe, kind, 0, s["samples"], s["most"])

        kept = run.keep(f"law_{key}", simulated)
        for test in TESTS:
            found[f"{key}_{test}"] = np.asarray(float(kept[test]))
            row = run.row(f"sequences.silverbox.{key}_{test}")
            yield row.measured(float(kept[test]))
    for key in _NETS:
        ratio = found[f"{key}_arrow_mv"] / found["hybrid_arrow_mv"]
        yield run.row(f"sequences.silverbox.{key}_over_hybrid").measured(ratio)


def _recurrent(
    run: Run, data: Trajectories, key: str, net: Net, seed: int
) -> dict[str, float]:
    """RMSE in mV on the tests."""
    s = run.settings
    train = part(data, "train")
    u, y = (np.asarray(v)[0, : s["samples"], 0] for v in (train.us, train.ys))
    size_u, size_y = u.std(), y.std()
    starts = np.arange(0, len(u) - _CLIP + 1, _CLIP // 2)
    index = starts[:, None] + np.arange(_CLIP)
    clips = Sequences.of(
        (u / size_u)[index][..., None].astype(np.float32),
        (y / size_y)[index][..., None],
        skip=SETTLE,
    )
    config = SequenceFitConfig(
        epochs=s["epochs"],
        batch=min(8, len(clips)),
        lr=net.lr,
        drops=late_drop(s["epochs"], 0.7),
        seed=seed,
    )
    model = net.model(clips, s["size"], seed, mode="all")
    fitted = trained(run, f"silverbox_{key}_{seed}", model, clips, config)
    out: dict[str, float] = {}
    for name, test in (("multisine_mv", "test_multisine"), ("arrow_mv", "test_arrow")):
        piece = part(data, test)
        v, w = (np.asarray(x)[0, : s["most"], 0] for x in (piece.us, piece.ys))
        whole = Sequences.of(
            (v / size_u)[None, :, None].astype(np.float32), np.zeros((1, len(v), 1))
        )
        gap = 1e3 * (size_y * predict(fitted.model, whole)[0, :, 0].astype(float) - w)
        rms = lambda e: float(np.sqrt(np.mean(e**2)))
        out[name] = rms(gap[SETTLE:])
        if name == "arrow_mv":
            out["arrow32k_mv"] = rms(gap[SETTLE:32000])
    return out


_STEP = 0.01  # s, of all records of the pendulum, which were sampled unlike
_PENDULUM = _NETS | {"lem": Net("lem", 0.005, "LEM", {"dt": 0.5})}
_FIELDS = {
    "law": (
        {"known": LAWS["viscous_coulomb_quadratic"], "learn": "none"},
        "gravity + viscous + coulomb + quadratic friction",
    ),
    "hybrid": (OURS["friction"], "gravity with a learned factor on its friction"),
}
_RUNS = (
    "driven pendulum: mean RMSE of the angle over free runs of 2 s from every second "
    "of the test record"
)


def _pendulum_rows() -> Iterator[Row]:
    for key, (_, words) in _FIELDS.items():
        yield Row(
            f"sequences.dfki.{key}", f"{words}, a fitted vector field, {_RUNS}.", "rad"
        )
    yield Row("sequences.dfki.still", f"The angle stays as it is, {_RUNS}.", "rad")
    for key, net in _PENDULUM.items():
        yield Row(
            f"sequences.dfki.{key}",
            f"{net.words}, N = 64, from the start state and the torque, {_RUNS}.",
            "rad",
        )
        yield Row(
            f"sequences.dfki.{key}_train",
            f"The same of {net.words} on the training records.",
            "rad",
        )
        yield Row(
            f"sequences.dfki.{key}_over_hybrid",
            f"Error of {net.words} over that of the hybrid vector field.",
        )


@sequences.part(
    "dfki",
    tuple(_pendulum_rows()),
    full={
        "epochs": 150,
        "size": 64,
        "seeds": 3,
        "every": 0.02,
        "fit": FIT["full"],
    },
    quick={
        "epochs": 1,
        "size": 4,
        "seeds": 1,
        "every": 1.0,
        "fit": FIT["quick"],
    },
)
def dfki(run: Run) -> Iterator[Claim]:
    """Networks know the state at the start of a run and the torque, as the vector
    fields do; the epoch is chosen on the record that chooses between those."""
    s, data = run.settings, measured("dfki_simple_pendulum")
    found: dict[str, float] = {}
    for key, (model, _) in _FIELDS.items():

        def errors(model: Any = model) -> dict[str, float]:
            return fitted_errors(data, model, 0, s["fit"])

        found[key] = float(run.keep(f"field_{key}", errors)["test"])
        yield run.row(f"sequences.dfki.{key}").measured(found[key])
    train = _free_runs(pick(data, *TRAIN), s["every"])
    choose, test = (_free_runs(pick(data, label), 1.0) for label in (CHOOSE, TEST))
    yield run.row("sequences.dfki.still").measured(_mean_error(0.0, test))
    size_u = np.abs(train.us).max(axis=(0, 1))
    size_y = float(train.targets.std())
    seen, judge, unseen = (
        Sequences.of((runs.us / size_u).astype(np.float32), runs.targets / size_y)
        for runs in (train, choose, test)
    )
    for key, net in _PENDULUM.items():
        scores = []
        for seed in range(s["seeds"]):
            config = SequenceFitConfig(
                epochs=s["epochs"], batch=min(16, len(train)), lr=net.lr, seed=seed
            )
            model = net.model(seen, s["size"], seed, mode="all")
            name = f"dfki_{key}_{seed}"
            fitted = trained(run, name, model, seen, config, validation=judge)
            scores.append(
                [
                    _mean_error(size_y * predict(fitted.model, given), runs)
                    for given, runs in ((unseen, test), (seen, train))
                ]
            )
        values = np.array(scores)
        yield run.row(f"sequences.dfki.{key}").measured(values[:, 0])
        yield run.row(f"sequences.dfki.{key}_train").measured(values[:, 1])
        ratio = values[:, 0] / found["hybrid"]
        yield run.row(f"sequences.dfki.{key}_over_hybrid").measured(ratio)


def _free_runs(data: Trajectories, every: float) -> Sequences:
    """Stretches of 2 s: torque, and at every sample what is known of the start: sine
    and cosine of its angle, its rate; the target is the way of the angle since."""
    assert data.us is not None
    smooth = local_states(data)
    us, targets = [], []
    for i in range(len(data.lengths)):
        n = int(data.lengths[i])
        t = data.ts[i, :n]
        for start in np.arange(t[0] + 0.1, t[-1] - SPAN + 1e-6, every):
            at = start + _STEP * np.arange(round(SPAN / _STEP) + 1)
            torque, angle = (np.interp(at, t, v[i, :n, 0]) for v in (data.us, data.ys))
            q, v = (np.interp(start, t, smooth.q[i, :n, k]) for k in (0, 1))
            known = np.broadcast_to([np.sin(q), np.cos(q), v], (len(at), 3))
            us.append(np.column_stack([torque, known]))
            targets.append((angle - q)[:, None])
    return Sequences.of(np.array(us), np.array(targets))


def _mean_error(found: np.ndarray | float, runs: Sequences) -> float:
    """Mean over the runs of the root of the mean square error."""
    return float(np.sqrt(np.mean((found - runs.targets) ** 2, axis=(1, 2))).mean())
