"""Part `extras` of study `depth`: what else a function of depth is good for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..data import Images
from ..depth import (
    DepthProfile,
    FittedImages,
    ImageNetConfig,
    accuracy,
    adapt,
    adjoint_error,
    depth_profile,
    manifestation,
)
from ..diagnostics import robustness
from ._claim import Claim
from ._depth import depth
from ._depth_nets import PAPER, POOL, WORDS, each_seed, images, kind, mnist_training
from ._figures import COLOURS, sheet
from ._row import Row
from ._study import Run


_NETS = "MNIST, networks and settings of part `mnist`"
_DEEP = "MNIST, four units a block that start equal, otherwise as part `mnist`"
_TALK = "Mahoney, talk of 2020"
_LEVELS = {
    "white": (0.0, 0.1, 0.2, 0.3, 0.4),
    "salt_and_pepper": (0.0, 0.05, 0.1, 0.2, 0.3),
    "fgsm": (0.0, 0.02, 0.05, 0.1),
}
_STEPS = (2, 4, 8, 16)  # of the continuous gradient
_TOLERANCE = 0.05
_SMALL = "MNIST and 3 epochs instead of CIFAR-10 and 120, one seed"
_GRADIENT = "equation's gradient of the first block, RK4 in"


def _profile_rows() -> Iterator[Row]:
    for key in ("euler", "rk4"):
        words = f"{_DEEP}, {WORDS[key]}"
        yield Row(
            f"depth.extras.{key}_jump",
            f"{words}: mean jump of the weights between nodes, over their size.",
            source=_TALK,
        )
        yield Row(
            f"depth.extras.{key}_cosine",
            f"{words}: mean cosine between successive moves of 100 test images.",
            better="higher",
            source=_TALK,
        )
        yield Row(
            f"depth.extras.{key}_deep_accuracy",
            f"{words}: share of test images that are right.",
            better="higher",
        )
    yield Row(
        "depth.extras.jump_ratio",
        f"{_DEEP}: mean jump trained in RK4 over that trained in Euler.",
        target=0.5,
        source=_TALK,
        tried="One node a step, so that each RK4 step sees the weights of one node "
        "only, as Euler's; nodes start equal. By hand, one seed each: with the mean "
        "over the whole image, with batch norm and on the basis `linear` RK4's weights "
        "jump about as much as Euler's; on `piecewise_linear`, where RK4's stages see "
        "two nodes, least, and still more than half as much.",
    )


def _transfer_rows() -> Iterator[Row]:
    for way, words in (("rk4", "RK4 in its steps"), ("euler4", "Euler in twice them")):
        yield Row(
            f"depth.extras.midpoint_as_{way}",
            f"{_NETS}, trained in midpoint, solved by {words}: accuracy lost.",
            "points",
            target=1.0,
            source="both talks",
            tried="Two steps, group norm.",
        )
    for key in ("resnet", "euler", "rk4"):
        for kind_, levels in _LEVELS.items():
            name = kind_.replace("_", " ")
            yield Row(
                f"depth.extras.{key}_{kind_}",
                f"{_NETS}, {WORDS[key]}: mean accuracy over {name} of 0 to "
                f"{levels[-1]:g} of the pixels' range, 1000 test images.",
                better="higher",
                source=_TALK,
            )


def _other_rows() -> Iterator[Row]:
    words = f"{_NETS}, trained in RK4, both blocks adapted from one step of Heun"
    yield Row("depth.extras.adapt_steps", f"{words}: steps in all.")
    yield Row(
        "depth.extras.adapt_error",
        f"{words}: largest error of a step, relative.",
        target=_TOLERANCE,
        source=_TALK,
        tried="h first, then p; 50 rounds, 64 test images.",
    )
    yield Row(
        "depth.extras.adapt_lost",
        f"{words}: accuracy lost against RK4 in two steps.",
        "points",
        target=1.0,
        source=_TALK,
        tried=f"Tolerance {_TOLERANCE:g}.",
    )
    for n in _STEPS:
        yield Row(
            f"depth.extras.adjoint_{n}",
            f"{_NETS}, {_GRADIENT} {n} steps against that of the steps: relative.",
            source=_TALK,
        )
    words = f"{_NETS}, RK4, one unit, doubled after 2 of 3 epochs"
    yield Row(
        "depth.extras.refined_lost",
        f"{words}: accuracy lost against two units throughout.",
        "points",
        target=0.5,
        source=PAPER,
        scaled_down=_SMALL,
        tried="Momenta start anew.",
    )
    yield Row(
        "depth.extras.refined_time",
        f"{words}: share of its time, compilation of both included.",
        target=0.8,
        source=PAPER,
        scaled_down=_SMALL,
        tried="Two programs are compiled instead of one, of trainings of minutes.",
    )
    yield Row(
        "depth.extras.evolved_accuracy",
        f"{_NETS}, Euler, weights that follow an equation of their own: share of test "
        "images that are right.",
        better="higher",
        target=0.97,
        source="the idea of Zhang et al. 2019, arXiv:1906.04596",
        tried="Drives and coupling start at zero; the same rate and epochs.",
    )
    words = "MNIST, Euler, refined from one unit to four, then projected on two"
    for n in (4, 2):
        yield Row(
            f"depth.extras.projected_{n}",
            f"{words}, solved in {n} steps, without training: accuracy lost.",
            "points",
            target=1.0,
            source="the compression of Queiruga et al. 2021, arXiv:2106.10820",
            tried="Refined after each epoch of 3.",
        )
        yield Row(
            f"depth.extras.projected_{n}_ms",
            f"{words}, solved in {n} steps: median of six times for 1000 images.",
            "ms",
        )
    yield Row(
        "depth.extras.unprojected_ms",
        "MNIST, Euler, refined from one unit to four: median of six times for 1000 "
        "images.",
        "ms",
    )
    yield Row("depth.extras.projected_share", f"{words}: share of its weights left.")


@depth.part(
    "extras",
    (*_profile_rows(), *_transfer_rows(), *_other_rows()),
    full={"seeds": 1, "train": 10_000, "test": 10_000, "epochs": 3},
    quick={"seeds": 1, "train": 64, "test": 100, "epochs": 3},
)
def extras(run: Run) -> Iterator[Claim]:
    """Depth profile, transfer, robustness, adaptation, adjoint, refinement, bases."""
    s = run.settings
    nets = _Nets(
        run,
        images("mnist", "train", s["train"]),
        images("mnist", "test", s["test"]),
    )
    yield from _profiles(run, nets)
    yield from _transferred(run, nets)
    yield from _robust(run, nets)
    yield from _adapted(run, nets)
    yield from _gradients(run, nets)
    yield from _refined(run, nets)
    yield from _bases(run, nets)


@dataclasses.dataclass
class _Nets:
    """Networks by name, trained when they are asked for."""

    run: Run
    train: Images
    test: Images
    kept: dict[str, list[FittedImages]] = dataclasses.field(default_factory=dict)

    def __call__(
        self, name: str, refine_at: tuple[int, ...] = (), **config: Any
    ) -> list[FittedImages]:
        s = self.run.settings
        if name not in self.kept:
            training = mnist_training(s["epochs"], refine_at=refine_at)
            made = ImageNetConfig.mnist(pool=POOL, **config)
            self.kept[name] = each_seed(self.run, name, made, self.train, training)
        return self.kept[name]

    def plain(self, key: str) -> list[FittedImages]:
        """The networks of part `mnist`."""
        return self(key, **kind(key))

    def lost(self, fits: list[FittedImages], changed: list[Any]) -> list[float]:
        """Points that networks lose when they are changed."""
        right = [fit.accuracy(self.test) for fit in fits]
        after = [
            accuracy(net, fit.state, self.test, fit.scaling)
            for fit, net in zip(fits, changed, strict=True)
        ]
        return [100.0 * (a - b) for a, b in zip(right, after, strict=True)]


def _entries(fit: FittedImages, data: Images) -> list[Array]:
    """What enters each block, for some images."""

    def one(x: Array) -> list[Array]:
        net, found = fit.net, []
        x = jax.nn.relu(net.stem_norm(net.stem(x), None)[0])
        for stitch, block in zip(net.stitches, net.blocks, strict=True):
            x = x if stitch is None else stitch(x, None)[0]
            found.append(x)
            x = block(x, None)[0]
        return found

    return jax.vmap(one)(jnp.asarray(fit.scaling.apply(data.pixels)))


def _profiles(run: Run, nets: _Nets) -> Iterator[Claim]:
    shown: dict[str, list[DepthProfile]] = {}
    jumps: dict[str, list[float]] = {}
    for key in ("euler", "rk4"):
        fits = nets(f"deep-{key}", units=4, init="shared", scheme=key)
        some = nets.test.first(min(100, len(nets.test)))
        found = [_profiled(fit, some) for fit in fits]
        shown[key] = found[0]
        jumps[key] = [float(np.mean([p.jumps for p in each])) for each in found]
        cosines = [float(np.mean([p.cosines for p in each])) for each in found]
        row = lambda what, key=key: run.row(f"depth.extras.{key}_{what}")
        yield row("jump").measured(jumps[key])
        yield row("cosine").measured(cosines)
        yield row("deep_accuracy").measured([f.accuracy(nets.test) for f in fits])
    ratio = np.divide(jumps["rk4"], jumps["euler"])
    yield run.row("depth.extras.jump_ratio").measured(ratio)
    _draw(run, shown)


def _profiled(fit: FittedImages, some: Images) -> list[DepthProfile]:
    """Of each block."""
    entries = zip(fit.net.blocks, _entries(fit, some), strict=True)
    return [depth_profile(block, xs, batched=True) for block, xs in entries]


def _draw(run: Run, shown: dict[str, list[DepthProfile]]) -> None:
    """Four quantities over depth, the two blocks behind each other."""
    with sheet(run.figures / "profile.svg", (7.0, 4.6), (2, 2), 9.0) as (_, axes):
        for colour, (key, blocks) in zip(COLOURS, shown.items(), strict=False):
            for k, profile in enumerate(blocks):
                label = WORDS[key] if not k else None
                profile.plot(axes, begin=float(k), color=colour, label=label)
        for ax in axes:
            ax.axvline(1.0, color="#767676", linewidth=0.9)
        for ax in axes[2:]:
            ax.set_xlabel("depth (two blocks)")
        axes[0].legend(frameon=False)


def _transferred(run: Run, nets: _Nets) -> Iterator[Claim]:
    fits = nets.plain("midpoint")
    for way, name, n in (("rk4", "rk4", 2), ("euler4", "euler", 4)):
        lost = nets.lost(fits, [fit.net.manifest(name, n) for fit in fits])
        yield run.row(f"depth.extras.midpoint_as_{way}").measured(lost)


def _robust(run: Run, nets: _Nets) -> Iterator[Claim]:
    some = nets.test.first(min(1000, len(nets.test)))
    x = some.pixels.astype(np.float32) / 255.0
    for key in ("resnet", "euler", "rk4"):
        run.progress(f"robustness, {WORDS[key]}")
        found = [
            robustness(fit.on_pixels(), x, some.labels, _LEVELS, clip=(0.0, 1.0))
            for fit in nets.plain(key)
        ]
        for name in _LEVELS:
            row = run.row(f"depth.extras.{key}_{name}")
            yield row.measured([each[name].area for each in found])


def _adapted(run: Run, nets: _Nets) -> Iterator[Claim]:
    run.progress("adapted steps")
    fits, changed, steps, errors = nets.plain("rk4"), [], [], []
    for fit in fits:
        entries = _entries(fit, nets.test.first(64))
        found = [
            adapt(block, xs, _TOLERANCE)
            for block, xs in zip(
                fit.net.manifest("heun", 1).blocks, entries, strict=True
            )
        ]
        blocks = tuple(one.block for one in found)
        changed.append(eqx.tree_at(lambda n: n.blocks, fit.net, blocks))
        steps.append(sum(block.n_steps for block in blocks))
        errors.append(float(max(one.errors.max() for one in found)))
    yield run.row("depth.extras.adapt_steps").measured(steps)
    yield run.row("depth.extras.adapt_error").measured(errors)
    yield run.row("depth.extras.adapt_lost").measured(nets.lost(fits, changed))


def _gradients(run: Run, nets: _Nets) -> Iterator[Claim]:
    """Relative error of the equation's gradient, mean over some images."""
    fits = nets.plain("rk4")
    for n in _STEPS:
        run.progress(f"gradients in {n} steps")
        found = []
        for fit in fits:
            xs = _entries(fit, nets.test.first(4))[0]
            block = fit.net.manifest("rk4", n).blocks[0]
            each = [adjoint_error(block, x, jnp.ones_like(x)).weights for x in xs]
            found.append(float(np.mean(each)))
        yield run.row(f"depth.extras.adjoint_{n}").measured(found)


def _refined(run: Run, nets: _Nets) -> Iterator[Claim]:
    whole = nets.plain("rk4")
    part = nets("refined", (2,), units=1, scheme="rk4")
    right = lambda fits: np.asarray([fit.accuracy(nets.test) for fit in fits])
    lost = 100.0 * (right(whole) - right(part))
    yield run.row("depth.extras.refined_lost").measured(lost)
    times = [a.seconds / b.seconds for a, b in zip(part, whole, strict=True)]
    yield run.row("depth.extras.refined_time").measured(times)


def _bases(run: Run, nets: _Nets) -> Iterator[Claim]:
    fits = nets("evolved", basis="evolved", units=2, n_steps=2)
    row = run.row("depth.extras.evolved_accuracy")
    yield row.measured([fit.accuracy(nets.test) for fit in fits])
    fits = nets("grown", (1, 2), units=1)
    small = [fit.net.project("piecewise_constant", 2) for fit in fits]
    solved = lambda nets_: [
        manifestation(net, nets.test, fit.scaling, state=fit.state)
        for fit, net in zip(fits, nets_, strict=True)
    ]
    times = lambda found: [1e3 * one.median_seconds for one in found]
    whole = solved([fit.net for fit in fits])
    yield run.row("depth.extras.unprojected_ms").measured(times(whole))
    for n in (4, 2):
        found = solved([net.manifest(n_steps=n) for net in small])
        pairs = zip(whole, found, strict=True)
        lost = [100.0 * (a.accuracy - b.accuracy) for a, b in pairs]
        yield run.row(f"depth.extras.projected_{n}").measured(lost)
        yield run.row(f"depth.extras.projected_{n}_ms").measured(times(found))
    share = found[0].parameters / whole[0].parameters
    yield run.row("depth.extras.projected_share").measured(share)
