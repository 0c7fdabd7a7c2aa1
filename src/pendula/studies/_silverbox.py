"""Part `silverbox` of study `real_data`: a driven electronic Duffing oscillator.

Trained on the first samples of the multisine, tested by pure simulation: only the
input is given, the state is fitted on the first 50 samples, which are not scored.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._errors import DataError
from ..data import Trajectories, part
from ._claim import Claim
from ._figures import envelopes
from ._real_data import measured, real_data
from ._row import Row
from ._study import Run


ID = "real_data.silverbox"
SETTLE = 50  # samples for the start state, not scored
WINDOW = 400  # samples of one stretch, 14 decay times
SOURCE = "Wigren, Schoukens 2013; split as usual for this set"

_LINEAR = [
    {"term": "spring", "free": ["k"]},
    {"term": "viscous", "free": ["c"]},
    {"term": "input", "free": ["b"]},
    {"term": "constant", "free": ["g"]},
]
_CUBIC = {"term": "cubic_spring", "free": ["k3"]}


def recipe(cubic: bool, width: int, members: int) -> dict[str, Any]:
    """A second-order law with unknown constants, with or without the cubic spring
    and a learned correction of (y, dy/dt)."""
    return {
        "model": {
            "known": [*_LINEAR, _CUBIC] if cubic else list(_LINEAR),
            "learn": "force" if width else "none",
            "order": "second",
            "width": width or 1,
            "depth": 1,
            # twice a sample: the natural period is nine samples
            "substeps": 2,
        },
        "train": {
            "method": "levenberg",
            "members": members,
            "window": 0.0,
            "minutes": 20.0,
        },
        "every": 1,
    }


# model -> (recipe, how the input runs between samples, what it is)
MODELS: dict[str, tuple[dict[str, Any], str, str]] = {
    "linear": (recipe(False, 0, 1), "spline", "a linear second-order law"),
    "duffing_held": (recipe(True, 0, 1), "held", "the Duffing law, input held"),
    "duffing_linear": (recipe(True, 0, 1), "linear", "the Duffing law, straight input"),
    "duffing_spline": (recipe(True, 0, 1), "spline", "the Duffing law, spline input"),
    "linear_net": (
        recipe(False, 16, 3),
        "spline",
        "a linear law with a learned correction, spline input",
    ),
}
HYBRID = recipe(True, 8, 3)
_LAWS = tuple(k for k, (r, *_) in MODELS.items() if r["model"]["learn"] == "none")
BINS = 200  # stretches of the arrow head in the figure
TESTS = {
    "multisine_mv": "the multisine test part",
    "arrow32k_mv": "the arrow head without extrapolation",
    "arrow_mv": "the whole arrow head, whose end is larger than anything in training",
}
_TARGETS = {
    "multisine_mv": 0.30,
    "arrow32k_mv": 0.30,
    "arrow_mv": 0.40,
    "linear_net_multisine_mv": 0.65,
    "linear_net_arrow32k_mv": 0.55,
}


def _rows() -> list[Row]:
    hybrid = "the Duffing law with unknown constants and a learned correction"
    named = {"": f"{hybrid}, spline input"}
    named |= {f"{key}_": what for key, (_, _, what) in MODELS.items()}
    out = []
    for prefix, what in named.items():
        for test, where in TESTS.items():
            target = _TARGETS.get(prefix + test)
            out.append(
                Row(
                    f"{ID}.{prefix}{test}",
                    f"Pure simulation of {where} by {what}: RMSE.",
                    "mV",
                    target=target,
                    source=SOURCE,
                    tried=None if target is None else "Cubic spline input, 2-8-1 net.",
                )
            )
    out.append(
        Row(
            f"{ID}.arrow_outside",
            "Share of the arrow head's samples beyond the largest output in training.",
        )
    )
    return out


_FULL = {
    "seeds": [0, 1, 2],
    "samples": 16000,
    "most": None,
    "hybrid": HYBRID,
    "models": {key: [config, kind] for key, (config, kind, _) in MODELS.items()},
}


def _quick() -> dict[str, Any]:
    """The same code, 1200 samples, few steps, the first 2000 samples of each test."""
    out = copy.deepcopy(_FULL)
    out |= {"seeds": [0], "samples": 1200, "most": 2000}
    for config in (out["hybrid"], *[pair[0] for pair in out["models"].values()]):
        config["train"] |= {"members": 1, "steps": 4}
        config["model"]["substeps"] = 1
    return out


@real_data.part("silverbox", _rows(), full=_FULL, quick=_quick())
def silverbox(run: Run) -> Iterator[Claim]:
    """The laws first, then with a learned correction."""
    data = measured("silverbox")
    train = part(data, "train")
    largest = np.abs(training_part(train, run.settings["samples"]).ys).max()
    arrow = np.abs(part(data, "test_arrow").ys[0, :, 0])
    yield run.row(f"{ID}.arrow_outside").measured(float(np.mean(arrow > largest)))
    for key, (config, kind) in run.settings["models"].items():
        seeds = run.settings["seeds"] if config["model"]["learn"] != "none" else [0]
        yield from _errors(run, data, f"{key}_", config, kind, seeds)
    yield from _errors(
        run, data, "", run.settings["hybrid"], "spline", run.settings["seeds"]
    )
    _figure(run, data)


def _errors(
    run: Run,
    data: Trajectories,
    prefix: str,
    config: dict[str, Any],
    kind: str,
    seeds: list[int],
) -> Iterator[Claim]:
    """The three rows of one model, the median over its seeds."""
    most, samples = run.settings["most"], run.settings["samples"]
    found = [
        run.keep(
            f"{prefix or 'hybrid_'}{seed}",
            lambda seed=seed: simulated_errors(data, config, kind, seed, samples, most),
        )
        for seed in seeds
    ]
    for test in TESTS:
        values = [float(f[test]) for f in found]
        yield run.row(f"{ID}.{prefix}{test}").measured(values)


def _figure(run: Run, data: Trajectories) -> None:
    """Errors of all models over the arrow head, first seed."""
    seed = run.settings["seeds"][0]
    curves = {
        key: run.keep(f"{key}_{0 if key in _LAWS else seed}", _lost)["envelope"]
        for key in [*run.settings["models"], "hybrid"]
    }
    t = part(data, "test_arrow").ts[0]
    if run.settings["most"] is not None:
        t = t[: run.settings["most"]]
    envelopes(run.figures / "silverbox.svg", np.linspace(t[0], t[-1], BINS), curves)


def _lost() -> dict[str, Any]:
    raise AssertionError("a kept result was removed while the study ran")


def training_part(train: Trajectories, samples: int) -> Trajectories:
    """The first samples of the training part, and nothing that tells of the rest."""
    cut = train.between(train.ts[0, 0], train.ts[0, samples - 1])
    return cut.replace(origin={"file": "silverbox"})


def simulated_errors(
    data: Trajectories,
    recipe: dict[str, Any],
    kind: str,
    seed: int,
    samples: int,
    most: int | None = None,
) -> dict[str, Any]:
    """Fit on the training part, simulate the test parts: RMSE in mV each, and the
    `envelope` of the error on the arrow head."""
    from ..dynamics import fit, from_dict

    train = training_part(part(data, "train"), samples).replace(input_kind=kind)
    config = {**copy.deepcopy(recipe), "seed": seed}
    config["train"]["window"] = WINDOW * float(np.diff(train.ts[0, :2])[0])
    fitted = fit(None, train, from_dict(config), judged=False)
    out: dict[str, Any] = {}
    for name, test in (("multisine_mv", "test_multisine"), ("arrow_mv", "test_arrow")):
        piece = part(data, test).replace(input_kind=kind)
        if most is not None:
            piece = piece.between(piece.ts[0, 0], piece.ts[0, most - 1])
        error = 1e3 * (simulate_from_start(fitted, piece) - piece.ys[0, :, 0])
        rms = lambda e: float(np.sqrt(np.mean(e**2)))
        out[name] = rms(error[SETTLE:])
        if name == "arrow_mv":
            out["arrow32k_mv"] = rms(error[SETTLE:32000])
            stretches = np.array_split(np.abs(error), BINS)
            out["envelope"] = np.array([stretch.max() for stretch in stretches])
    return out


def simulate_from_start(fitted: Any, data: Trajectories) -> np.ndarray:
    """Pure simulation `"time"`, mean of the members, from the state that fits the
    first 50 samples best; nothing later is looked at."""
    from scipy.optimize import least_squares

    ts, us, ys = data.ts[0], _inputs(data), data.ys[0, :, 0]
    # the state in units of one size: y, and dy/dt over the two's ratio
    rate = np.array([1.0, np.std(np.gradient(ys, ts)) / np.std(ys)])

    def run(state: np.ndarray, stop: int) -> np.ndarray:
        rolled = fitted.simulate(state * rate, ts[:stop], us[:stop])
        return np.asarray(rolled.ys)[:, :, 0].mean(axis=0)

    slope = (ys[2] - ys[0]) / (ts[2] - ts[0])
    guess = np.array([ys[0], slope]) / rate
    # the truth and its first samples: residuals of the order of 1 mV
    found = least_squares(lambda s: 1e3 * (run(s, SETTLE) - ys[:SETTLE]), guess)
    return run(found.x, len(ts))


def _inputs(data: Trajectories) -> np.ndarray:
    """The inputs `"time ctrl"` of the one trajectory."""
    if data.us is None:
        raise DataError("the Silverbox is driven, but these data have no input.")
    return data.us[0]
