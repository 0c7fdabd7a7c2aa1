"""Part `second_order` of study `flat_minima`: curvature in training, as a penalty and
as a scale, against gradients under noise at equal numbers of gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import numpy as np
import optax

from ..hardware import AnalogTwin, Perturbation, clip_weights, hardware_aware
from ..train import Plain, TracePenalty, ha_precond
from ._analog_nets import NOISE, Way, curve, digits, kept, level_name, trained
from ._claim import Claim
from ._figures import COLOURS, figure
from ._flat_minima import flat_minima
from ._row import Row
from ._study import Run


_SIZES = (784, 64, 10)
_NOISE = 0.1  # in training and of the chips
_LEVELS = (0.0, _NOISE)
_EPOCHS, _BATCH, _TRAIN = 5, 128, 60_000
_GRADIENTS = _EPOCHS * (_TRAIN // _BATCH)


def _sigma(twin: AnalogTwin) -> Callable[[Any, Any], Any]:
    """Standard deviations of errors of weights that stand where the twin's do."""
    there = lambda params: eqx.tree_at(lambda t: t.model, twin, params)
    return lambda params, level: there(params).sigmas(level)


def _way(words: str, cost: int, lr: float, make: Callable[..., tuple]) -> Way:
    """Weights are clipped in all of them, without which noise of 0.1 does not train;
    steps are the gradients over their cost."""

    def clipped(twin: AnalogTwin, steps: int, base: Any) -> tuple[Any, Any]:
        estimator, transform = make(twin, steps, base)
        return estimator, optax.chain(transform, clip_weights(twin))

    return Way(words, clipped, cost, equal=True, lr=lr)


def _smoothed(samples: int, lr: float) -> Way:
    return _way(
        f"HA-SGD, L = {samples}",
        samples,
        lr,
        lambda twin, steps, base: (hardware_aware(twin, _NOISE, samples), base),
    )


def _scaled(twin: AnalogTwin, steps: int, base: Any) -> tuple[Any, Any]:
    rate = optax.cosine_decay_schedule(0.1, steps)
    return Plain(), ha_precond(Perturbation(twin), _NOISE, rate)


def _penalty(twin: AnalogTwin) -> TracePenalty:
    return TracePenalty(_sigma(twin), _NOISE)


# a rate of each, the best of a few on seed 0, of the last one on three seeds
_WAYS = {
    "vanilla": _way(
        "momentum descent", 1, 0.05, lambda twin, steps, base: (Plain(), base)
    ),
    "ha_1": _smoothed(1, 0.05),
    "ha_4": _smoothed(4, 0.1),
    "ha_16": _smoothed(16, 0.1),
    "trace_penalty": _way(
        "gradient of J + Tr(H Sigma) / 2, one probe",
        3,
        0.1,
        lambda twin, steps, base: (_penalty(twin), base),
    ),
    "ha_precond": _way(
        "HA-SGD, L = 1, scaled by the curvature that its errors show", 2, 0.1, _scaled
    ),
}


def _rows() -> Iterator[Row]:
    for key, way in _WAYS.items():
        how = (
            f"MNIST, ReLU network 784-64-10, weights clipped at 2.5 std, {way.words}: "
            f"{_GRADIENTS} gradients of batches of {_BATCH}, {way.cost} a step"
        )
        source = "ours, after Wang 2023, section 5.2.3"
        yield Row(
            f"flat_minima.second_order.{key}_clean",
            f"{how}; accuracy on 2000 test images without noise.",
            better="higher",
            source=source,
        )
        yield Row(
            f"flat_minima.second_order.{key}_{level_name(_NOISE)}",
            f"{how}; {NOISE} of level {_NOISE:g} in training and on chips: accuracy, "
            "mean over 20 chips and 2000 test images.",
            better="higher",
            source=source,
        )
        yield Row(
            f"flat_minima.second_order.{key}_seconds",
            f"{how}; time of the training.",
            "s",
        )


@flat_minima.part(
    "second_order",
    tuple(_rows()),
    full={
        "seeds": 3,
        "train": _TRAIN,
        "test": 2000,
        "epochs": _EPOCHS,
        "chips": 20,
    },
    quick={"seeds": 1, "train": 256, "test": 50, "epochs": 1, "chips": 2},
)
def second_order(run: Run) -> Iterator[Claim]:
    """Trainings of equal cost, then chips of each."""
    s = run.settings
    train, test = digits("train", s["train"]), digits("test", s["test"])
    drawn: dict[str, np.ndarray] = {}
    for key, way in _WAYS.items():
        found, times = [], []
        for seed in range(s["seeds"]):
            name = f"{key}-{seed}"
            make = lambda way=way, seed=seed: trained(
                way, train, s["epochs"], seed, sizes=_SIZES, batch=_BATCH
            )
            net = kept(run, name, make)
            times.append(run.seconds(name))
            found.append(curve(net, test, _LEVELS, s["chips"], seed).mean)
        drawn[key] = np.stack(found)
        for k, name in enumerate(("clean", level_name(_NOISE))):
            row = run.row(f"flat_minima.second_order.{key}_{name}")
            yield row.measured(drawn[key][:, k])
        row = run.row(f"flat_minima.second_order.{key}_seconds")
        yield row.measured(times)
    _draw(run, drawn)


def _draw(run: Run, drawn: dict[str, np.ndarray]) -> None:
    """Every seed as a point: accuracy without noise and with it."""
    with figure(run.figures / "second_order.svg", 1, 3.4) as (ax,):
        for k, values in enumerate(drawn.values()):
            for column, label, colour in ((0, "no noise", 0), (1, "noise 0.1", 1)):
                y = values[:, column]
                ax.plot(
                    y,
                    np.full(len(y), float(k)),
                    "o",
                    color=COLOURS[colour],
                    markersize=5,
                    label=label if k == 0 else None,
                )
        ax.set_yticks(range(len(drawn)), [_short(key) for key in drawn])
        ax.invert_yaxis()
        ax.set_xlabel("accuracy")
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 2}
        ax.legend(frameon=False, fontsize=8, **above)


def _short(key: str) -> str:
    names = {"trace_penalty": "trace penalty", "ha_precond": "HA-SGD, scaled"}
    return names.get(key, _WAYS[key].words)
