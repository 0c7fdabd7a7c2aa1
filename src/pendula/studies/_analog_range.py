"""Part `range` of study `analog`: biases on the die, size of the network, decay and
dropout, samples a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..hardware import RangeNoise, hardware_aware, monte_carlo, to_analog
from ..nn import Layers
from ._analog import THESIS, analog
from ._analog_nets import (
    NOISE,
    SET,
    WAYS,
    curve,
    digits,
    kept,
    mean_loss,
    right,
    trained,
)
from ._claim import Claim
from ._row import Row
from ._study import Run


_DECAYS = (0.0, 5e-4, 2e-3)
_DROPS = (0.0, 0.2, 0.5)
_NETS = {"small": (784, 32, 16, 10), "large": (784, 512, 256, 10)}
_SAMPLES = {"1": "ha10_clip", "4": "ha10_4", "16": "ha10_16"}
_HOW = f"{SET}, {NOISE}"


def _cell(decay: float, drop: float) -> str:
    return f"decay{decay:g}_drop{drop:g}".replace(".", "").replace("-", "m")


def _rows() -> Iterator[Row]:
    for way, words in (("match", "s = range(b) / range(W)"), ("shared", "s = 1")):
        yield Row(
            f"analog.range.{way}",
            f"{SET}, scaled to an equal network whose biases have at least 6 times the "
            f"range of their weights; bias on the die of the weights with {words}, "
            "noise 0.06: accuracy of chips.",
            better="higher",
        )
    yield Row(
        "analog.range.gain",
        "The same: accuracy with matched ranges less that with s = 1.",
        "points",
        better="higher",
        target=5.0,
        tried="Both on the same chips.",
        source=f"ours, after {THESIS}, figure 2.5",
    )
    for decay in _DECAYS:
        for drop in _DROPS:
            yield Row(
                f"analog.grid.{_cell(decay, drop)}",
                f"{_HOW}; momentum descent, weight decay {decay:g}, dropout {drop:g}, "
                "2 epochs: accuracy of chips at 0.10.",
                better="higher",
                source=f"ours, after {THESIS}, figure 2.8b",
            )
    yield Row(
        "analog.grid.best",
        "The same: best of the eight regularised networks less the one without, at "
        "noise 0.10, accuracy.",
        better="higher",
        target=0.0,
        tried="Two epochs each.",
        source=f"ours, after {THESIS}, figure 2.8b",
    )
    for key, sizes in _NETS.items():
        words = "-".join(map(str, sizes))
        yield Row(
            f"analog.size.{key}",
            f"MNIST, ReLU network {words}, {NOISE} 0.10, momentum descent, 2 epochs: "
            "accuracy of chips.",
            better="higher",
            source=f"ours, after {THESIS}, figure 2.8a",
        )
    yield Row(
        "analog.size.gain",
        "The same: the large network less the small one, accuracy.",
        better="higher",
        target=0.0,
        tried="Two epochs each.",
        source=f"ours, after {THESIS}, figure 2.8a",
    )
    for key in _SAMPLES:
        yield Row(
            f"analog.samples.l{key}",
            f"{_HOW}; HA-SGD 0.10 with clipping, L = {key}, 2 epochs: accuracy of "
            "chips at 0.10.",
            better="higher",
            source=f"ours, after {THESIS}, figure 2.10",
        )
        yield Row(
            f"analog.samples.noise_l{key}",
            f"The network of L = 1, one batch: variance of the gradient under the "
            f"errors over draws, L = {key}, as a share of the square of its mean.",
            source=f"ours, after {THESIS}, equation 2.6",
        )
    yield Row(
        "analog.samples.moved",
        "The same: largest minus smallest of the three means, in points.",
        "points",
        target=1.0,
        source=f"ours, after {THESIS}, figure 2.10",
        tried="L = 1, 4 and 16 on the same batches, rate and number of steps; after "
        "one epoch of 20 000 images it was 1.31 points.",
    )


@analog.part(
    "range",
    tuple(_rows()),
    full={
        "seeds": 3,
        "train": 60_000,
        "test": 2000,
        "epochs": 2,
        "chips": 20,
        "draws": 64,
    },
    quick={"seeds": 1, "train": 256, "test": 20, "epochs": 1, "chips": 2, "draws": 4},
)
def ranges(run: Run) -> Iterator[Claim]:
    """Trainings of two epochs each."""
    s = run.settings
    train, test = digits("train", s["train"]), digits("test", s["test"])

    def chips(name: str, way: str, level: float, **settings: Any) -> list[float]:
        found = []
        for seed in range(s["seeds"]):
            net = kept(
                run,
                f"{name}-{seed}",
                lambda seed=seed: trained(
                    WAYS[way], train, s["epochs"], seed, **settings
                ),
            )
            found.append(float(curve(net, test, (level,), s["chips"], seed).mean[0]))
        return found

    yield from _matching(run, train, test)
    plain = np.zeros(s["seeds"])
    best = np.full(s["seeds"], -np.inf)
    for decay in _DECAYS:
        for drop in _DROPS:
            cell = _cell(decay, drop)
            found = chips(cell, "vanilla", 0.1, decay=decay, dropout=drop)
            yield run.row(f"analog.grid.{cell}").measured(found)
            if decay == drop == 0.0:
                plain = np.asarray(found)
            else:
                best = np.maximum(best, found)
    yield run.row("analog.grid.best").measured(best - plain)
    by_size = {}
    for key, sizes in _NETS.items():
        by_size[key] = np.asarray(chips(key, "vanilla", 0.1, sizes=sizes))
        yield run.row(f"analog.size.{key}").measured(by_size[key])
    yield run.row("analog.size.gain").measured(by_size["large"] - by_size["small"])
    means = []
    for key, way in _SAMPLES.items():
        found = chips(f"l{key}", way, 0.1)
        means.append(np.mean(found))
        yield run.row(f"analog.samples.l{key}").measured(found)
    moved = 100.0 * float(np.ptp(means))
    yield run.row("analog.samples.moved").measured(moved, n=s["seeds"])
    net = kept(run, "l1-0", lambda: trained(WAYS["ha10_clip"], train, s["epochs"], 0))
    batch = (train[0][:128], train[1][:128])
    for key in _SAMPLES:
        found = _noise_of(net, batch, int(key), s["draws"])
        yield run.row(f"analog.samples.noise_l{key}").measured(found, n=s["draws"])


def _noise_of(net: Layers, batch: Any, samples: int, draws: int) -> float:
    """Variance of the gradient under errors of 0.10, over the square of its mean."""
    estimator = hardware_aware(to_analog(net, RangeNoise()), 0.1, samples)
    vg = estimator.around(lambda net, x, y, key: mean_loss(net, (x, y)))
    flat = lambda key: ravel_pytree(eqx.filter(vg(net, key, *batch)[1], eqx.is_array))
    one = lambda key: flat(key)[0]
    keys = jax.random.split(jax.random.key(5), draws)
    found = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    mean = jnp.mean(found, axis=0)
    spread = jnp.sum(jnp.var(found, axis=0, ddof=1))
    # the mean over draws has a part of the variance in its square
    return float(spread / (jnp.sum(mean * mean) - spread / draws))


def _matching(run: Run, train: Any, test: Any) -> Iterator[Claim]:
    s = run.settings
    found: dict[str, list[float]] = {"match": [], "shared": []}
    for seed in range(s["seeds"]):
        net = kept(
            run,
            f"range-{seed}",
            lambda seed=seed: trained(WAYS["vanilla"], train, s["epochs"], seed),
        )
        large, factor = with_large_biases(net, 6.0)
        data = (factor * jnp.asarray(test[0]), jnp.asarray(test[1]))
        for bias, values in found.items():
            twin = to_analog(large, RangeNoise(), bias=bias)
            report = monte_carlo(
                twin, right, data, jax.random.key(seed), s["chips"], (0.06,)
            )
            values.append(float(report.mean[0]))
    for bias, values in found.items():
        yield run.row(f"analog.range.{bias}").measured(values)
    gain = 100.0 * (np.asarray(found["match"]) - np.asarray(found["shared"]))
    yield run.row("analog.range.gain").measured(gain)


def with_large_biases(net: Layers, ratio: float) -> tuple[Layers, float]:
    """An equal network of ReLU layers, for inputs times the factor that is given back,
    whose biases have at least `ratio` times the range of their weights: all values and
    biases are multiplied by that factor."""
    span = lambda v: float(jnp.max(v) - jnp.min(v))
    factor = max(
        ratio * span(w) / max(span(b), 1e-12)
        for w, b in zip(net.weights, net.biases, strict=True)
    )
    biases = tuple(factor * b for b in net.biases)
    return eqx.tree_at(lambda n: n.biases, net, biases), factor
