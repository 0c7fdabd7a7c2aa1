"""Parts `mnist`, `dip`, `dip_batch` and `dip_published` of study `depth`: digits,
trained in three schemes, solved in others; with the published mean over the image, with
its norm, with both."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..data import Images
from ..depth import (
    DepthSweep,
    FittedImages,
    ImageNetConfig,
    depth_sweep,
    manifestation,
)
from ._claim import Claim
from ._depth import depth
from ._depth_nets import (
    PAPER,
    PASSES,
    POOL,
    WORDS,
    by_stages,
    draw_sweeps,
    each_seed,
    images,
    kind,
    mnist_training,
)
from ._row import Row
from ._study import Run


_NETS = (
    "MNIST, 8 and 16 channels, two units a block, mean over a 4 x 4 grid (published: "
    "over the image), 10 000 training images, 3 epochs, settings of part `settings`"
)
_TRIED = (
    "Group norm, mean over a 4 x 4 grid, batch 32, rate 0.1, cosine, Nesterov; first "
    "found on the test images by the Euler network of seed 0, then the best of twelve "
    "on other training images (part `settings`)."
)
_NO_DIP = (
    f"{_TRIED} Ten epochs instead of three (one seed, by hand) show none "
    "either; with the mean over the "
    "whole image it is there (part `dip`), with batch norm in four times the steps "
    "(part `dip_batch`), with both most (part `dip_published`)."
)


class Dip(NamedTuple):
    """Networks that are swept over steps: what differs from those of part `mnist`;
    `anew`: whether statistics of each stage are estimated for each number of steps."""

    words: str
    changes: dict[str, Any]
    epochs: int
    tried: str
    anew: bool = False


_DIPS = {
    "dip": Dip(
        "MNIST, 8 and 16 channels, two units a block, mean over the whole image (as "
        "published), 10 000 training images, 10 epochs, rate and batch of part `mnist`",
        {"pool": 1},
        10,
        "Group norm, batch 32, rate 0.1, cosine, Nesterov. Three epochs are too few "
        "for the mean over the image (part `settings`), so ten. More steps than twice "
        "change little: in two, RK4 is not at its limit. With batch norm, statistics "
        "anew for each number of steps, it is reached (part `dip_published`).",
    ),
    "dip_batch": Dip(
        "MNIST, batch norm (as published), otherwise as part `mnist`",
        {"pool": POOL, "norm": "batch"},
        3,
        "A running state a node; rate, batch and epochs of part `mnist`. In four times "
        "its steps Euler's network loses points, and RK4's none (rows *_in_8).",
    ),
    "dip_published": Dip(
        "MNIST, batch norm and mean over the whole image (both as published), 10 000 "
        "training images, 10 epochs, rate and batch of part `mnist`, a running state "
        f"for each stage, from {PASSES} training batches in each number of steps",
        {"pool": 1, "norm": "batch"},
        10,
        "The head of part `dip` with the norm of part `dip_batch`; with the running "
        "state a node of the training RK4's stages are mixed (rows *_running).",
        anew=True,
    ),
}
_WAYS = {
    "euler4": ("euler", 4),
    "rk4_38_1": ("rk4_38", 1),
    "midpoint2": ("midpoint", 2),
    "euler2": ("euler", 2),
}
_STEPS = (1, 2, 3, 4, 6, 8)
_FEWER = (1, 2, 4)  # of the other schemes
_SCHEMES = ("euler", "midpoint", "rk4")


def _others(part: str, key: str) -> list[tuple[str, int]]:
    """The schemes that a network was not trained in, with their numbers of steps; of
    the first part alone, whose networks are right in all of them."""
    schemes = [scheme for scheme in _SCHEMES if scheme != key and part == "mnist"]
    return list(itertools.product(schemes, _FEWER))


def _rows() -> Iterator[Row]:
    for key, words in WORDS.items():
        yield Row(
            f"depth.mnist.{key}_accuracy",
            f"{_NETS}, {words}: share of the 10 000 test images that are right.",
            better="higher",
            target=0.97,
            source="ours, after the architecture of Queiruga et al. 2020",
            tried=_TRIED,
        )
        yield Row(f"depth.mnist.{key}_training", "The same: time of the training.", "s")
        yield Row(
            f"depth.mnist.{key}_ms",
            "The same: median of six times for 1000 images, as trained.",
            "ms",
        )
    yield Row(
        "depth.mnist.euler_resnet",
        "MNIST: accuracy of the Euler network against the residual one, absolute "
        "difference of a seed.",
        "points",
        target=0.5,
        source=PAPER,
        tried=_TRIED,
    )
    for way, (name, n) in _WAYS.items():
        target: dict[str, Any] = {"target": 1.0, "tried": _TRIED}
        yield Row(
            f"depth.mnist.rk4_as_{way}",
            f"MNIST, trained in RK4 with 2 steps, solved by {name} in {n}: "
            "accuracy lost.",
            "points",
            source=PAPER,
            **(target if way != "euler2" else {}),
        )
        yield Row(
            f"depth.mnist.rk4_as_{way}_ms",
            f"The same solved by {name} in {n}: median of six times for 1000 images.",
            "ms",
        )
    yield from _sweep_rows("mnist", "MNIST", _NO_DIP)


def _sweep_rows(part: str, words: str, tried: str) -> Iterator[Row]:
    """Accuracies lost in other numbers of steps; the dip of Euler, and none of RK4."""
    for key in _SCHEMES:
        for n in _STEPS:
            if n != 2:
                yield Row(
                    f"depth.{part}.{key}_in_{n}",
                    f"{words}, {WORDS[key]} with 2 steps, solved in {n} steps of the "
                    "same scheme: accuracy lost.",
                    "points",
                    source=PAPER,
                )
        for scheme, n in _others(part, key):
            yield Row(
                f"depth.{part}.{key}_as_{scheme}_in_{n}",
                f"{words}, {WORDS[key]} with 2 steps, solved in {n} steps of {scheme}: "
                "accuracy lost.",
                "points",
                source=PAPER,
            )
    yield Row(
        f"depth.{part}.dip_euler",
        f"{words}, trained in Euler: accuracy lost at twice its steps (the dip).",
        "points",
        better="higher",
        target=1.0,
        source=PAPER,
        tried=tried,
    )
    yield Row(
        f"depth.{part}.dip_rk4",
        f"{words}, trained in RK4: accuracy lost at twice its steps (no dip).",
        "points",
        target=1.0,
        source=PAPER,
        tried=tried,
    )


def _dip_rows(part: str) -> Iterator[Row]:
    words = _DIPS[part].words
    for key in _SCHEMES:
        if _DIPS[part].anew:
            yield Row(
                f"depth.{part}.{key}_running",
                f"{words}, {WORDS[key]}: the same share with the running state a node "
                "of the training.",
                better="higher",
                source=PAPER,
            )
        yield Row(
            f"depth.{part}.{key}_accuracy",
            f"{words}, {WORDS[key]}: share of the 10 000 test images that are right.",
            better="higher",
            source=PAPER,
        )
    yield from _sweep_rows(part, words, _DIPS[part].tried)


def _sets(
    run: Run, **changes: Any
) -> tuple[Images, Images, Callable[[str], list[FittedImages]]]:
    """Images to train on and to test, what trains the networks of a key of `WORDS`."""
    s = run.settings
    train = images("mnist", "train", s["train"])
    training = mnist_training(s["epochs"])

    def networks(key: str) -> list[FittedImages]:
        config = ImageNetConfig.mnist(**changes, **kind(key))
        return each_seed(run, key, config, train, training)

    return train, images("mnist", "test", s["test"]), networks


@depth.part(
    "mnist",
    tuple(_rows()),
    full={"seeds": 2, "train": 10_000, "test": 10_000, "epochs": 3},
    quick={"seeds": 1, "train": 128, "test": 200, "epochs": 1},
)
def mnist(run: Run) -> Iterator[Claim]:
    """Four networks a seed; the RK4 ones solved otherwise; all swept over steps."""
    _, test, networks = _sets(run, pool=POOL)
    fits: dict[str, list[FittedImages]] = {}
    right: dict[str, list[float]] = {}
    for key in WORDS:
        fits[key] = networks(key)
        row = lambda what, key=key: run.row(f"depth.mnist.{key}_{what}")
        right[key] = [f.accuracy(test) for f in fits[key]]
        yield row("accuracy").measured(right[key])
        yield row("training").measured([f.seconds for f in fits[key]])
        one = fits[key][0]
        found = manifestation(one.net, test, one.scaling, state=one.state)
        yield row("ms").measured(1e3 * found.median_seconds)
    apart = 100.0 * np.abs(np.subtract(right["euler"], right["resnet"]))
    yield run.row("depth.mnist.euler_resnet").measured(apart)
    yield from _ways(run, fits["rk4"], right["rk4"], test)
    states = {key: [fit.state for fit in fits[key]] for key in _SCHEMES}
    yield from _swept(run, "mnist", fits, states, test)


def _dip(part: str) -> Callable[[Run], Iterator[Claim]]:
    def measure(run: Run) -> Iterator[Claim]:
        """Three networks a seed, swept over steps."""
        train, test, networks = _sets(run, **_DIPS[part].changes)
        anew = _DIPS[part].anew
        fits: dict[str, list[FittedImages]] = {}
        states: dict[str, list[Any]] = {}
        for key in _SCHEMES:
            fits[key] = networks(key)
            states[key] = [fit.state for fit in fits[key]]
            row = lambda what, key=key: run.row(f"depth.{part}.{key}_{what}")
            if anew:
                right = [fit.accuracy(test) for fit in fits[key]]
                yield row("running").measured(right)
                found = [by_stages(fit, train) for fit in fits[key]]
                states[key] = [state for _, state in found]
                fits[key] = [
                    dataclasses.replace(fit, net=net, state=state(net))
                    for fit, (net, state) in zip(fits[key], found, strict=True)
                ]
            yield row("accuracy").measured([fit.accuracy(test) for fit in fits[key]])
        yield from _swept(run, part, fits, states, test)

    return measure


for _key, _case in _DIPS.items():
    depth.part(
        _key,
        tuple(_dip_rows(_key)),
        full={"seeds": 2, "train": 10_000, "test": 10_000, "epochs": _case.epochs},
        quick={"seeds": 1, "train": 64, "test": 100, "epochs": 1},
    )(_dip(_key))


def _ways(
    run: Run, fits: list[FittedImages], right: list[float], test: Any
) -> Iterator[Claim]:
    """The RK4 networks in other schemes, without training."""
    for way, (name, n) in _WAYS.items():
        run.progress(f"mnist, RK4 solved by {name} in {n}")
        lost, times = [], []
        for fit, before in zip(fits, right, strict=True):
            found = manifestation(
                fit.net.manifest(name, n), test, fit.scaling, state=fit.state
            )
            lost.append(100.0 * (before - found.accuracy))
            times.append(1e3 * found.median_seconds)
        yield run.row(f"depth.mnist.rk4_as_{way}").measured(lost)
        yield run.row(f"depth.mnist.rk4_as_{way}_ms").measured(times)


def _swept(
    run: Run,
    part: str,
    fits: dict[str, list[FittedImages]],
    states: dict[str, list[Any]],
    test: Any,
) -> Iterator[Claim]:
    """Each network in other numbers of steps, of its own scheme (the one that is
    drawn) and of the others; `states`: as of `depth_sweep`."""
    sweeps: dict[str, DepthSweep] = {}

    def swept(key: str, schemes: tuple[str, ...], steps: tuple[int, ...]) -> list:
        given = {"schemes": schemes, "steps": steps}
        return [
            depth_sweep(f.net, test, f.scaling, state=state, **given)
            for f, state in zip(fits[key], states[key], strict=True)
        ]

    for key in _SCHEMES:
        run.progress(f"{part}, {WORDS[key]}: other numbers of steps and schemes")
        found = swept(key, (key,), _STEPS)
        sweeps[key] = found[0]
        for n in _STEPS:
            if n != 2:
                row = run.row(f"depth.{part}.{key}_in_{n}")
                yield row.measured([f.lost(key, n) for f in found])
        others = _others(part, key)
        apart = swept(key, tuple(dict(others)), _FEWER) if others else []
        for scheme, n in others:
            row = run.row(f"depth.{part}.{key}_as_{scheme}_in_{n}")
            yield row.measured([f.lost(scheme, n) for f in apart])
        if key != "midpoint":
            row = run.row(f"depth.{part}.dip_{key}")
            yield row.measured([f.lost(key, 4) for f in found])
    draw_sweeps(run.figures / f"{part}.svg", sweeps)
