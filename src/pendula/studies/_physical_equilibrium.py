"""Part `equilibrium` of study `physical`: gradients read off nudged equilibria."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from ..hardware import (
    AbstractRule,
    EquilibriumNet,
    FittedEquilibrium,
    Implicit,
    Nudged,
    equilibrium_loss,
    fit_equilibrium,
    fit_softmax,
)
from ._analog_nets import digits
from ._claim import Claim
from ._figures import COLOURS, figure
from ._physical import physical
from ._row import Row
from ._study import Run


_P = "physical.equilibrium"
_LABORIEUX = "Laborieux, Zenke 2024, arXiv:2309.02214"
_HOLOMORPHIC = "Laborieux, Zenke 2022, arXiv:2209.00530"
_POINTS = (1, 2, 4, 6, 8)
_PROTOTYPE = {1: 1.5e-2, 2: 3.1e-4, 4: 2.2e-7, 6: 2.0e-10, 8: 2.3e-13}
_BETA = 0.5
_ANGLES = (30, 60, 90)
_SMALL = "Equilibrium network 8-12-10-4, sigmoid, one sample, float64, beta 0.5"
_MNIST = (
    "MNIST, equilibrium network 784-64-64-10, sigmoid, 10 000 training images, 3 "
    "epochs in batches of 20, Adam"
)
_NOISY = {
    "ep01": ("two nudges of 0.1", 0.1, 2),
    "ep04": ("two nudges of 0.4", 0.4, 2),
    "holo": ("ten nudges of 0.4 on a circle", 0.4, 10),
}
_TRIED = "Learning rate 0.005, 0.01 and 0.03 by hand, on seed 0."


def _exact_rows() -> Iterator[Row]:
    for n in _POINTS:
        yield Row(
            f"{_P}.error_{n}",
            f"{_SMALL}, symmetric weights, {n} point{'s'[: n > 1]}: relative error of "
            "the gradient, median of networks; at most five times that of a prototype.",
            source=_LABORIEUX,
            target=5.0 * _PROTOTYPE[n],
            tried="Weights of gain 1, of the readout 0.3, as they are drawn.",
        )
    for n in _POINTS[:4]:
        yield Row(
            f"{_P}.order_{n}",
            f"The same, {n} point{'s'[: n > 1]}: order of the error in beta, from 0.5 "
            f"and 0.25, off {n} by.",
            source=_LABORIEUX,
            target=0.5,
            tried="Relaxed until no component moves by more than 1e-15.",
        )
    for angle in _ANGLES:
        yield Row(
            f"{_P}.angle_{angle}_error",
            f"{_SMALL}, backward weights turned by {angle} degrees, 2 points: relative "
            "error of the gradient.",
            source=_LABORIEUX,
        )
        yield Row(
            f"{_P}.angle_{angle}_cosine",
            f"The same, {angle} degrees: cosine with the exact gradient.",
            better="higher",
            source=_LABORIEUX,
        )
        yield Row(
            f"{_P}.angle_{angle}_kept",
            f"The same, {angle} degrees: error at 8 points over that at 2; more points "
            "do not cure asymmetry, so about 1.",
            better="higher",
            source=_LABORIEUX,
            target=0.9,
            tried="Weights of gain 1, of the readout 0.3, as they are drawn.",
        )


def _mnist_rows() -> Iterator[Row]:
    ways = {
        "linear": "softmax regression on the same images (linear baseline)",
        "implicit": "backpropagation at the fixed points",
        "two": "two nudges of 0.2",
        "holomorphic": "six nudges of 0.4 on a circle",
        "homeostatic": "the same with homeostasis, coefficient 1",
    }
    for key, words in ways.items():
        yield Row(
            f"{_P}.mnist_{key}",
            f"{_MNIST}; {words}: accuracy on 2000 test images.",
            "%",
            better="higher",
            source=_HOLOMORPHIC,
            scaled_down="10 000 images and 64 neurons a layer",
        )
    yield Row(
        f"{_P}.mnist_lost",
        "The same: backpropagation at the fixed points less six nudges with "
        "homeostasis, seed by seed.",
        "points",
        target=1.0,
        source=_HOLOMORPHIC,
        tried=f"{_TRIED} Without homeostasis weights that start symmetric drift apart.",
    )
    for key, (words, _, _) in _NOISY.items():
        yield Row(
            f"{_P}.noisy_{key}",
            f"{_MNIST}; noise of 0.04 on every state at every step, {words}: accuracy "
            "without noise.",
            "%",
            better="higher",
            source=_HOLOMORPHIC,
            scaled_down="10 000 images and 64 neurons a layer",
        )
    for key, (more, less) in {
        "strength": ("ep04", "ep01"),
        "circle": ("holo", "ep04"),
    }.items():
        yield Row(
            f"{_P}.noisy_{key}_ahead",
            f"The same: {_NOISY[more][0]} less {_NOISY[less][0]}.",
            "points",
            better="higher",
            target=0.0,
            source=_HOLOMORPHIC + " (order)",
            tried=_TRIED,
        )
    for key, words in {
        "plain": "without homeostasis",
        "homeostatic": "with homeostasis, coefficient 1",
    }.items():
        yield Row(
            f"{_P}.turned_{key}",
            f"{_MNIST}; backward weights at 90 degrees at the start, six nudges of "
            f"0.4, {words}: accuracy.",
            "%",
            better="higher",
            source=_LABORIEUX,
            scaled_down="10 000 images and 64 neurons a layer",
        )


@physical.part(
    "equilibrium",
    (*_exact_rows(), *_mnist_rows()),
    full={
        "nets": 9,
        "seeds": 3,
        "train": 10_000,
        "test": 2000,
        "epochs": 3,
        "steps": (200, 100),
        "noisy": (40, 20),
    },
    quick={
        "nets": 1,
        "seeds": 1,
        "train": 100,
        "test": 50,
        "epochs": 1,
        "steps": (200, 100),
        "noisy": (5, 3),
    },
)
def equilibrium(run: Run) -> Iterator[Claim]:
    """Small networks against the exact gradient, then digits."""
    yield from _small(run)
    yield from _digits(run)


def _small(run: Run) -> Iterator[Claim]:
    count = run.settings["nets"]
    with jax.enable_x64(True):
        found = {
            n: np.array([_apart(0.0, seed, n, _BETA) for seed in range(count)])
            for n in _POINTS
        }
        half = {
            n: np.array([_apart(0.0, seed, n, _BETA / 2) for seed in range(count)])
            for n in _POINTS[:4]
        }
        turned = {
            (angle, n): np.array([_apart(angle, s, n, _BETA) for s in range(count)])
            for angle, n in itertools.product(_ANGLES, (2, 8))
        }
    for n in _POINTS:
        yield run.row(f"{_P}.error_{n}").measured(found[n][:, 0])
    for n in _POINTS[:4]:
        order = np.log2(found[n][:, 0] / half[n][:, 0])
        off = abs(float(np.median(order)) - n)
        yield run.row(f"{_P}.order_{n}").measured(off, n=count)
    for angle in _ANGLES:
        two, eight = turned[angle, 2], turned[angle, 8]
        row = lambda name, angle=angle: run.row(f"{_P}.angle_{angle}_{name}")
        yield row("error").measured(two[:, 0])
        yield row("cosine").measured(two[:, 1])
        yield row("kept").measured(eight[:, 0] / two[:, 0])


def _apart(angle: float, seed: int, points: int, beta: float) -> tuple[float, float]:
    """Relative error and cosine of the gradient of a network, against the exact one."""
    net = EquilibriumNet(
        (8, 12, 10), 4, angle=angle, readout_gain=0.3, key=jax.random.key(seed)
    )
    xs = jax.random.normal(jax.random.key(100 + seed), (1, 8))
    labels = jnp.zeros(1, jnp.int32)
    settle: dict[str, Any] = {"steps": 1000, "tol": 1e-15}
    rule = Nudged(beta, points, nudged_steps=1000, **settle)
    exact = _gradient(net, xs, labels, Implicit(**settle))
    found = _gradient(net, xs, labels, rule)
    size = np.linalg.norm(exact)
    error = np.linalg.norm(found - exact) / size
    return float(error), float(found @ exact / np.linalg.norm(found) / size)


def _gradient(net: Any, xs: Any, labels: Any, rule: AbstractRule) -> np.ndarray:
    """All but the readout, whose gradient is its own, in a row."""
    slope = _slope(net, xs, labels, rule)
    return np.asarray(ravel_pytree((slope.forward, slope.backward, slope.biases))[0])


@eqx.filter_jit
def _slope(net: Any, xs: Any, labels: Any, rule: AbstractRule) -> Any:
    def loss(net: EquilibriumNet) -> Any:
        key = jax.random.key(0)
        return equilibrium_loss(net, xs, labels, rule, key=key)[0]

    return jax.grad(loss)(net)


def _digits(run: Run) -> Iterator[Claim]:
    s = run.settings
    train, test = digits("train", s["train"]), digits("test", s["test"])
    linear = fit_softmax(train[0], train[1], 10, num_steps=200, lr=0.02)
    right = 100.0 * linear.accuracy(test[0], test[1])
    yield run.row(f"{_P}.mnist_linear").measured(float(right))
    long, short = s["steps"]
    settle: dict[str, Any] = {"steps": long, "nudged_steps": short}
    rules: dict[str, AbstractRule] = {
        "mnist_implicit": Implicit(steps=long),
        "mnist_two": Nudged(0.2, 2, **settle),
        "mnist_holomorphic": Nudged(0.4, 6, **settle),
        "mnist_homeostatic": Nudged(0.4, 6, **settle),
        "turned_plain": Nudged(0.4, 6, **settle),
        "turned_homeostatic": Nudged(0.4, 6, **settle),
    }
    long, short = s["noisy"]
    for key, (_, beta, points) in _NOISY.items():
        rules[f"noisy_{key}"] = Nudged(
            beta, points, steps=long, nudged_steps=short, noise=0.04, average=1
        )
    found: dict[str, np.ndarray] = {}
    for key, rule in rules.items():
        right = []
        for seed in range(s["seeds"]):
            kept = run.keep(
                f"{key}-{seed}",
                lambda key=key, rule=rule, seed=seed: {
                    "right": _trained(run, key, rule, train, seed).score(*test)
                },
            )
            right.append(100.0 * float(kept["right"]))
        found[key] = np.array(right)
        yield run.row(f"{_P}.{key}").measured(right)
    lost = found["mnist_implicit"] - found["mnist_homeostatic"]
    yield run.row(f"{_P}.mnist_lost").measured(lost)
    for key, more, less in (("strength", "ep04", "ep01"), ("circle", "holo", "ep04")):
        ahead = found[f"noisy_{more}"] - found[f"noisy_{less}"]
        yield run.row(f"{_P}.noisy_{key}_ahead").measured(ahead)
    _draw(run, found, float(linear.accuracy(test[0], test[1])))


def _trained(
    run: Run, key: str, rule: AbstractRule, train: Any, seed: int
) -> FittedEquilibrium:
    """One training; what did not settle is told by its warning."""
    epochs = run.settings["epochs"]
    angle = 90.0 if key.startswith("turned") else 0.0
    sizes = (train[0].shape[1], 64, 64)
    net = EquilibriumNet(sizes, 10, angle=angle, key=jax.random.key(seed))
    steps = len(train[0]) // 20 * epochs
    return fit_equilibrium(
        net,
        train[0],
        train[1],
        rule,
        epochs=epochs,
        batch=20,
        transform=optax.adam(optax.cosine_decay_schedule(0.01, steps)),
        homeostatic=1.0 if key.endswith("homeostatic") else 0.0,
        seed=seed,
    )


def _draw(run: Run, found: dict[str, np.ndarray], linear: float) -> None:
    """Accuracy of each training, all seeds."""
    words = {
        "mnist_implicit": "backpropagation",
        "mnist_two": "two nudges",
        "mnist_holomorphic": "nudges on a circle",
        "mnist_homeostatic": "circle, homeostasis",
        **{f"noisy_{k}": f"noise, {w[0]}" for k, w in _NOISY.items()},
        "turned_plain": "weights turned",
        "turned_homeostatic": "turned, homeostasis",
    }
    with figure(run.figures / "equilibrium.svg", 1, 3.4) as (ax,):
        for at, key in enumerate(words):
            ax.plot(found[key], [at] * len(found[key]), "o", color=COLOURS[0])
        ax.axvline(100.0 * linear, color="0.5", linestyle="--", linewidth=0.9)
        ax.set_yticks(range(len(words)), list(words.values()))
        ax.invert_yaxis()
        ax.set_xlabel("test images that are right [%], dashed: softmax regression")
        ax.grid(axis="x", linewidth=0.4)
