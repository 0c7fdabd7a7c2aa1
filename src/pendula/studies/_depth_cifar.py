"""Coloured images in study `depth`: part `cifar` on a CPU, a subset; on a GPU the whole
sets, in parts `cifar_2`, `cifar_8`, `cifar_8_long`, `cifar_16`, `cifar100` and
`tiny_imagenet`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..data import Images
from ..depth import (
    DepthSweep,
    FittedImages,
    ImageFitConfig,
    ImageNetConfig,
    accuracy,
    depth_sweep,
)
from ..train import latest, logged
from ._claim import Claim
from ._depth import depth
from ._depth_nets import (
    PAPER,
    PASSES,
    WORDS,
    by_stages,
    draw_sweeps,
    images,
    kind,
    trained,
)
from ._row import Row
from ._study import NotHere, Run


@dataclasses.dataclass(frozen=True)
class Case:
    """A set, the networks on it, and what is asked of them.

    `nets`: of `WORDS`, and `refined`, from one unit on in RK4; `settings`: of the part;
    `targets`, `published`: by the end of a row's id; `gpu`: whether training needs
    one; `stages`: whether the networks of RK4 are also given a state for each stage;
    `scaled_down`: what is smaller than in the source."""

    words: str
    data: str
    nets: tuple[str, ...]
    settings: dict[str, Any]
    gpu: bool = True
    targets: dict[str, float] = dataclasses.field(default_factory=dict)
    published: dict[str, float] = dataclasses.field(default_factory=dict)
    stages: bool = False
    scaled_down: str | None = None
    tried: str = ""


_JPEG = "CIFAR-10, re-encoded as JPEG (not comparable with published accuracies)"
_SHORT = "trained in bfloat16"
_WORDS = {**WORDS, "refined": "trained in RK4 from one unit on, doubled on the way"}
_GPU = {
    "euler_resnet": 0.5,
    "rk4_resnet": 1.0,
    "rk4_stages_resnet": 1.0,
    "rk4_as_euler": 0.3,
    "dip": 5.0,
    "refined_lost": 0.5,
    "refined_stages_lost": 0.5,
    "refined_time": 0.8,
}
_EIGHT = {
    "resnet_accuracy": 0.9311,
    "euler_accuracy": 0.9311,
    "rk4_accuracy": 0.9329,
    "refined_accuracy": 0.9306,
}
_WHOLE = {
    "train": 50_000,
    "test": 10_000,
    "width": 16,
    "epochs": 120,
    "batch": 512,
    "lr": 0.1,
    "seeds": 2,
    "refine_at": [],
}
_ON_GPU = {**_WHOLE, "precision": "bfloat16"}
_CASES = {
    "cifar": Case(
        f"{_JPEG}: 5000 and 2000 of them, 8 channels, 2-2-2, 15 epochs",
        "cifar10",
        ("resnet", "euler", "midpoint", "rk4", "refined"),
        {
            **_WHOLE,
            "train": 5000,
            "test": 2000,
            "units": 2,
            "width": 8,
            "epochs": 15,
            "batch": 64,
            "seeds": 1,
            "refine_at": [10],
        },
        gpu=False,
        targets={"dip": 5.0, "refined_time": 0.8},
        scaled_down="5000 training images instead of 50 000, 8 channels instead of 16, "
        "15 epochs instead of 120, one seed",
        tried="Batch norm, batch 64, rate 0.1, cosine, Nesterov, crop and flip. "
        "Refined at epoch 7, which was run first, the ratio of the times was 0.91; "
        "then at epoch 10.",
    ),
    "cifar_2": Case(
        f"{_JPEG}, 2-2-2, 120 epochs at batch 512 (refined at epoch 60), {_SHORT}",
        "cifar10",
        ("resnet", "euler", "rk4", "refined"),
        {**_ON_GPU, "units": 2, "refine_at": [60]},
        targets=_GPU,
        stages=True,
        tried="The first settings that were run: units of order pre, one running state "
        "a node, rate 0.1, refined at epoch 60. In two steps of RK4 a state a node "
        "mixes what four unlike stages see: the rows *_stages are the same weights "
        "with a state for each. Euler in the steps of RK4 is another function, h "
        "being 1.",
        published={
            "resnet_accuracy": 0.9131,
            "euler_accuracy": 0.9141,
            "rk4_accuracy": 0.9101,
            "refined_accuracy": 0.9109,
        },
    ),
    "cifar_8": Case(
        f"{_JPEG}, 8-8-8, 24 epochs at batch 512, {_SHORT}",
        "cifar10",
        ("resnet", "euler", "rk4", "refined"),
        {**_ON_GPU, "units": 8, "epochs": 24, "seeds": 1, "refine_at": [6, 10, 14]},
        targets=_GPU,
        stages=True,
        scaled_down="24 epochs instead of 120, one seed",
        tried="The first settings that were run: 24 epochs and one seed, all that "
        "fitted into the time on a GPU. Programs compiled (four for the refined one, "
        "one for the others) are a large part of each training, and the last stage has "
        "ten epochs. Steps have length 1: RK4's eight are not what Euler's eight are; "
        "nor with a state for each stage (rows *_stages, the same weights). The ratio "
        "of the times was taken after the trainings had been read again, which added "
        "to both: the rows *_training are right, and their ratio is 1.03.",
        published=_EIGHT,
    ),
    "cifar_8_long": Case(
        f"{_JPEG}, 8-8-8, 60 epochs at batch 512, {_SHORT}",
        "cifar10",
        ("resnet", "euler", "rk4", "refined"),
        {**_ON_GPU, "units": 8, "epochs": 60, "refine_at": [15, 25, 35]},
        targets=_GPU,
        stages=True,
        tried="The settings of part `cifar_8`, with more epochs and a second seed. "
        "Steps have length 1: RK4's eight are not what Euler's eight are.",
        scaled_down="60 epochs instead of 120",
        published=_EIGHT,
    ),
    "cifar_16": Case(
        f"{_JPEG}, 16-16-16, 120 epochs at batch 512, {_SHORT}",
        "cifar10",
        ("euler",),
        {**_ON_GPU, "units": 16, "seeds": 1},
        scaled_down="120 epochs instead of 180, one seed",
        published={"euler_accuracy": 0.9369},
    ),
    "cifar100": Case(
        f"CIFAR-100, 8-8-8 of 64 channels, 120 epochs at batch 512, {_SHORT}",
        "cifar100",
        ("resnet", "euler"),
        {**_ON_GPU, "units": 8, "width": 64},
        targets={"euler_resnet": 0.5},
        published={"resnet_accuracy": 0.7916, "euler_accuracy": 0.7845},
        tried="The settings of part `cifar_2` in eight units; no others.",
    ),
    "tiny_imagenet": Case(
        f"Tiny-ImageNet, 8-8-8, 120 epochs at batch 512, {_SHORT}",
        "tiny-imagenet-200",
        ("resnet", "euler"),
        {**_ON_GPU, "train": 100_000, "units": 8},
        targets={"euler_resnet": 0.5},
        tried="The settings of part `cifar_2` in eight units; no others.",
    ),
}


_FACTORS = {
    "half": ("half", 0.5),
    "double": ("twice", 2),
    "fourfold": ("four times", 4),
}


# Words, scheme, and steps over those of the training; all schemes and numbers of steps
# are in part `mnist`.
_WAYS = {
    "euler": ("Euler in its steps", "euler", 1.0),
    "euler_double": ("Euler in twice its steps", "euler", 2.0),
    "midpoint": ("midpoint in its steps", "midpoint", 1.0),
    "rk4_38_half": ("the 3/8 rule in half its steps", "rk4_38", 0.5),
}


def _rows(key: str) -> Iterator[Row]:
    case = _CASES[key]

    def row(name: str, words: str, unit: str = "points", better: str = "lower") -> Row:
        target = case.targets.get(name)
        more: dict[str, Any] = {} if target is None else {"tried": case.tried}
        return Row(
            f"depth.{key}.{name}",
            f"{case.words}, {words}",
            unit,
            better=better,
            target=target,
            source=PAPER,
            published=case.published.get(name),
            scaled_down=case.scaled_down,
            **more,
        )

    for net in case.nets:
        yield row(
            f"{net}_accuracy",
            f"{_WORDS[net]}: share of test images that are right.",
            "1",
            "higher",
        )
        yield row(f"{net}_training", f"{_WORDS[net]}: time of the training.", "s")
        if net != "resnet":
            for end, (words, _) in _FACTORS.items():
                lost = f"solved in {words} its steps: accuracy lost."
                yield row(f"{net}_{end}", f"{_WORDS[net]}, {lost}")
    if "resnet" in case.nets:
        yield row("euler_resnet", "Euler against residual: absolute difference.")
    if "rk4" not in case.nets:
        return
    yield row("rk4_resnet", "accuracy lost by RK4 against residual.")
    for way, (words, *_) in _WAYS.items():
        yield row(f"rk4_as_{way}", f"trained in RK4, solved by {words}: accuracy lost.")
    if case.stages:
        each = f"a running state for each stage, from {PASSES} training batches"
        for net in ("rk4", "refined"):
            words = f"{_WORDS[net]}, {each}: share of test images that are right."
            yield row(f"{net}_stages", words, "1", "higher")
        lost = "accuracy lost by RK4 against residual."
        yield row("rk4_stages_resnet", f"{each}: {lost}")
        lost = "accuracy lost by the refined one against RK4."
        yield row("refined_stages_lost", f"{each}: {lost}")
        for way, (words, *_) in _WAYS.items():
            lost = f"trained in RK4, solved by {words}: accuracy lost."
            yield row(f"rk4_stages_as_{way}", f"{each}: {lost}")
    yield row(
        "dip",
        "accuracy lost in twice the steps: trained in Euler more than trained in RK4.",
        better="higher",
    )
    yield row("refined_lost", "accuracy lost by the refined one against RK4.")
    yield row("refined_time", "time of the refined one over that of RK4.", "1")


def _part(key: str) -> Callable[[Run], Iterator[Claim]]:
    case = _CASES[key]

    def measure(run: Run) -> Iterator[Claim]:
        """Train, compare, solve otherwise."""
        s = run.settings
        train = images(case.data, "train", s["train"])
        test = images(case.data, "test", s["test"])
        yield from _measured(run, key, case, train, test)

    return measure


for _key, _case in _CASES.items():
    depth.part(
        _key,
        tuple(_rows(_key)),
        full=_case.settings,
        quick={
            **_case.settings,
            **{"train": 64, "test": 100, "epochs": 2, "batch": 32, "seeds": 1},
            **{
                "width": 2,
                "units": 1,
                "refine_at": [1] * bool(_case.settings["refine_at"]),
            },
        },
    )(_part(_key))


def _measured(
    run: Run, key: str, case: Case, train: Images, test: Images
) -> Iterator[Claim]:
    s, row = run.settings, lambda name: run.row(f"depth.{key}.{name}")
    fits: dict[str, list[FittedImages]] = {}
    right: dict[str, np.ndarray] = {}
    for net in case.nets:
        seeds = range(s["seeds"])
        if case.gpu and jax.default_backend() == "cpu":
            for seed in seeds:  # what a GPU has trained is evaluated anywhere
                _wait_for(run.scratch / f"{net}-{seed}", s["epochs"])
        fits[net] = [_trained(run, net, s, train, seed) for seed in seeds]
        right[net] = np.asarray([fit.accuracy(test) for fit in fits[net]])
        yield row(f"{net}_accuracy").measured(right[net])
        yield row(f"{net}_training").measured([fit.seconds for fit in fits[net]])

    if "resnet" in case.nets:
        apart = 100.0 * np.abs(right["euler"] - right["resnet"])
        yield row("euler_resnet").measured(apart)
    if "rk4" in case.nets:
        yield row("rk4_resnet").measured(100.0 * (right["resnet"] - right["rk4"]))
        yield row("refined_lost").measured(100.0 * (right["rk4"] - right["refined"]))
        pairs = zip(fits["refined"], fits["rk4"], strict=True)
        yield row("refined_time").measured([a.seconds / b.seconds for a, b in pairs])
    yield from _in_steps(run, key, case, fits, test)
    if "rk4" in case.nets:
        yield from _other_ways(run, f"depth.{key}.rk4", fits["rk4"], right["rk4"], test)
    if case.stages:
        yield from _by_stages(run, key, fits, right["resnet"], train, test)


def _in_steps(
    run: Run,
    key: str,
    case: Case,
    fits: dict[str, list[FittedImages]],
    test: Images,
) -> Iterator[Claim]:
    """Every network in its own scheme, in other numbers of steps."""
    row = lambda name: run.row(f"depth.{key}.{name}")
    nets = [net for net in case.nets if net != "resnet"]
    ids = [f"depth.{key}.{net}_{end}" for net in nets for end in _FACTORS]
    if not run.wants(*ids, *([f"depth.{key}.dip"] if "rk4" in nets else [])):
        return
    sweeps: dict[str, DepthSweep] = {}
    double: dict[str, list[float]] = {}
    for net in nets:
        run.progress(f"{key}, {_WORDS[net]}: other numbers of steps")
        found = [_swept(fit, test) for fit in fits[net]]
        for end, (_, factor) in _FACTORS.items():
            values = [
                sweep.lost(sweep.trained[0], _steps(fit, factor))
                for sweep, fit in zip(found, fits[net], strict=True)
            ]
            yield row(f"{net}_{end}").measured(values)
            if factor == 2:
                double[net] = values
        if net in WORDS:
            sweeps[net] = found[0]
    draw_sweeps(run.figures / f"{key}.svg", sweeps)
    if "rk4" in nets:
        yield row("dip").measured(np.subtract(double["euler"], double["rk4"]))


def _by_stages(
    run: Run,
    key: str,
    fits: dict[str, list[FittedImages]],
    residual: np.ndarray,
    train: Images,
    test: Images,
) -> Iterator[Claim]:
    """The networks of RK4 with running statistics of each stage, estimated anew."""
    row = lambda name: run.row(f"depth.{key}.{name}")
    names = [f"{net}_stages" for net in ("rk4", "refined")]
    names += ["rk4_stages_resnet", "refined_stages_lost"]
    names += [f"rk4_stages_as_{way}" for way in _WAYS]
    if not run.wants(*(f"depth.{key}.{name}" for name in names)):
        return
    right: dict[str, np.ndarray] = {}
    again: dict[str, list[FittedImages]] = {}
    for net in ("rk4", "refined"):
        run.progress(f"{key}, {_WORDS[net]}: statistics of each stage")
        again[net] = [_with_stages(fit, train) for fit in fits[net]]
        right[net] = np.asarray([fit.accuracy(test) for fit in again[net]])
        yield row(f"{net}_stages").measured(right[net])
    yield row("rk4_stages_resnet").measured(100.0 * (residual - right["rk4"]))
    lost = 100.0 * (right["rk4"] - right["refined"])
    yield row("refined_stages_lost").measured(lost)
    stem = f"depth.{key}.rk4_stages"
    yield from _other_ways(run, stem, again["rk4"], right["rk4"], test)


def _other_ways(
    run: Run, stem: str, fits: list[FittedImages], right: np.ndarray, test: Images
) -> Iterator[Claim]:
    """What networks lose in each of `_WAYS`; `right`: their shares in their own."""
    for way, (words, scheme, factor) in _WAYS.items():
        if run.wants(f"{stem}_as_{way}"):
            run.progress(f"{stem}: solved by {words}")
            nets = [fit.net.manifest(scheme, _steps(fit, factor)) for fit in fits]
            found = [
                accuracy(net, fit.state, test, fit.scaling)
                for net, fit in zip(nets, fits, strict=True)
            ]
            yield run.row(f"{stem}_as_{way}").measured(100.0 * (right - found))


def _with_stages(fit: FittedImages, train: Images) -> FittedImages:
    """The same weights; a running state for each stage, estimated anew."""
    net, estimate = by_stages(fit, train)
    return dataclasses.replace(fit, net=net, state=estimate(net))


def _steps(fit: FittedImages, factor: float = 1.0) -> int:
    """Those of its training times a factor."""
    block: Any = fit.net.blocks[0]
    return max(1, round(factor * block.n_steps))


def _swept(fit: FittedImages, test: Images) -> DepthSweep:
    """In its own scheme, fewer and more steps than those of the training."""
    block: Any = fit.net.blocks[0]
    steps = sorted({_steps(fit), *(_steps(fit, f) for _, f in _FACTORS.values())})
    given = {"schemes": (block.scheme,), "steps": steps, "state": fit.state}
    return depth_sweep(fit.net, test, fit.scaling, **given)


def _wait_for(folder: Path, epochs: int) -> None:
    """**Raises:** `NotHere` for a training that is not finished, or whose last weights
    are not there: the rest of it would be trained here."""
    rows, saved = logged(folder)[0], latest(folder)
    ended = rows and rows[-1]["epoch"] >= epochs
    if not (ended and saved and int(saved[1].stem[-9:]) == rows[-1]["step"]):
        raise NotHere("its networks need a GPU to train, and none is on this machine")


def _trained(
    run: Run, net: str, s: dict[str, Any], data: Images, seed: int
) -> FittedImages:
    refined = net == "refined"
    config = ImageNetConfig(
        classes=len(data.classes),
        width=s["width"],
        units=1 if refined else s["units"],
        **kind("rk4" if refined else net),
    )
    training = ImageFitConfig(
        epochs=s["epochs"],
        batch=s["batch"],
        lr=s["lr"],
        schedule="cosine",
        warmup=0.5,
        nesterov=True,
        refine_at=tuple(s["refine_at"]) if refined else (),
        precision=s.get("precision", "float32"),
        seed=seed,
    )
    return trained(run, f"{net}-{seed}", config, data, training, seed)
