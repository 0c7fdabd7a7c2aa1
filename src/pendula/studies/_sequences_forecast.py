"""Part `silverbox` of study `sequences`: a measured, driven oscillator followed by
recurrent networks, beside the differential equations fitted to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..data import Sequences, Trajectories, part
from ..sequences import SequenceFitConfig, predict
from ._claim import Claim
from ._real_data import measured
from ._row import Row
from ._sequences import Net, sequences, trained
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
        drops=(max(1, round(0.7 * s["epochs"])),) if s["epochs"] > 1 else (),
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
