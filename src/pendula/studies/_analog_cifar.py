"""Part `cifar` of study `analog`: wide residual networks on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from ..data import ImageBatches, Images, Scaling
from ..diagnostics import cross_entropy
from ..hardware import (
    NoiseReport,
    RangeNoise,
    clip_weights,
    hardware_aware,
    is_right,
    monte_carlo,
    to_analog,
)
from ..nn import WideResNet
from ..train import (
    Checkpoint,
    EntropySGD,
    Plain,
    Sam,
    TrainState,
    gradient_step,
    latest,
    ramp,
    resume,
    run as train_run,
)
from ._analog import THESIS, analog
from ._analog_nets import level_name
from ._claim import Claim
from ._depth_nets import images
from ._figures import COLOURS, figure
from ._row import Row
from ._study import NotHere, Run


LEVELS = tuple(round(0.02 * k, 2) for k in range(11))
_SET = "CIFAR-10, re-encoded as JPEG (not comparable with published accuracies)"
_WAYS = {
    "vanilla": "momentum descent",
    "sam": "SAM, rho 0.05, half the epochs",
    "entropy": "Entropy-SGD, L = 5, a fifth of the epochs",
    "ha05": "HA-SGD 0.05",
    "ha10": "HA-SGD 0.1",
    "recipe": "HA-SGD 0.1, ramp and clip",
}
_COST = {"sam": 2, "entropy": 5}
_HOW = f"{_SET}, WideResNet 16-4, 30 epochs, bfloat16"
_TRIED = "Never run: no GPU was at hand."


def _rows() -> Iterator[Row]:
    for key, words in _WAYS.items():
        for level in LEVELS:
            yield Row(
                f"analog.cifar.{key}_{level_name(level)}",
                f"{_HOW}; {words}, noise {level:g}: accuracy, mean over 50 chips.",
                better="higher",
                source=f"{THESIS}, figure 2.13",
            )
        yield Row(f"analog.cifar.{key}_seconds", f"{_HOW}; {words}: training.", "s")
    for level in (0.06, 0.1, 0.14):
        for key, first, second in (
            ("entropy_ahead", "entropy", "vanilla"),
            ("ha_ahead", "ha10", "entropy"),
        ):
            yield Row(
                f"analog.cifar.{key}_{level_name(level)}",
                f"{_HOW}, noise {level:g}: accuracy of {_WAYS[first]} less that of "
                f"{_WAYS[second]}.",
                better="higher",
                target=0.0,
                source=f"{THESIS}, figure 2.13 (order)",
                tried=_TRIED,
            )
    for key in ("entropy", "ha10", "recipe"):
        yield Row(
            f"analog.cifar.{key}_clean",
            f"{_HOW}: clean accuracy of momentum descent less that of {_WAYS[key]}.",
            target=0.02 if key == "recipe" else 0.015,
            tried=_TRIED,
        )


@analog.part(
    "cifar",
    tuple(_rows()),
    full={
        "depth": 16,
        "width": 4,
        "epochs": 30,
        "batch": 512,
        "lr": 0.4,
        "train": 50_000,
        "test": 10_000,
        "chips": 50,
    },
    quick={
        "depth": 10,
        "width": 1,
        "epochs": 1,
        "batch": 8,
        "lr": 0.1,
        "train": 16,
        "test": 8,
        "chips": 2,
    },
)
def cifar(run: Run) -> Iterator[Claim]:
    """Trainings, then chips; **Raises:** `NotHere` without a GPU."""
    if jax.default_backend() == "cpu":
        raise NotHere("the training needs a GPU, and none is on this machine")
    yield from measured(run)


def measured(run: Run) -> Iterator[Claim]:
    """The rows, on whatever machine."""
    s = run.settings
    train, test = (images("cifar10", part, s[part]) for part in ("train", "test"))
    curves: dict[str, NoiseReport] = {}
    for key in _WAYS:
        net, state, seconds = trained(run, key, train)
        curves[key] = chips(net, state, train, test, s["chips"])
        for level, mean in zip(LEVELS, curves[key].mean, strict=True):
            row = run.row(f"analog.cifar.{key}_{level_name(level)}")
            yield row.measured(float(mean), n=s["chips"])
        yield run.row(f"analog.cifar.{key}_seconds").measured(seconds)
    mean = lambda key, level: float(curves[key].mean[LEVELS.index(level)])
    for level in (0.06, 0.1, 0.14):
        name = level_name(level)
        ahead = mean("entropy", level) - mean("vanilla", level)
        yield run.row(f"analog.cifar.entropy_ahead_{name}").measured(ahead)
        ahead = mean("ha10", level) - mean("entropy", level)
        yield run.row(f"analog.cifar.ha_ahead_{name}").measured(ahead)
    for key in ("entropy", "ha10", "recipe"):
        lost = mean("vanilla", 0.0) - mean(key, 0.0)
        yield run.row(f"analog.cifar.{key}_clean").measured(lost)
    with figure(run.figures / "cifar.svg", 1, 4.2) as (ax,):
        for k, (key, found) in enumerate(curves.items()):
            found.plot(ax, label=_WAYS[key], colour=COLOURS[k])
        ax.set_ylabel("accuracy of chips")
        ax.legend(frameon=False, fontsize=7)


def trained(run: Run, key: str, train: Images) -> tuple[WideResNet, Any, float]:
    """A network and its statistics; a killed training goes on."""
    s = run.settings
    net = WideResNet(s["depth"], s["width"], 10, key=jax.random.key(0))
    # of few bits where the machine is fast with them
    kind = jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16
    running = net.initial_state()
    batches = ImageBatches(
        train, Scaling.of(train), min(s["batch"], len(train)), 0, padding=4, flip=True
    )
    per = batches.per_epoch
    steps = max(1, s["epochs"] * per // _COST.get(key, 1))
    rate = optax.cosine_onecycle_schedule(max(2, steps), s["lr"])
    base = optax.chain(
        optax.add_decayed_weights(5e-4), optax.sgd(rate, momentum=0.9, nesterov=True)
    )
    params, rest = eqx.partition(net, eqx.is_inexact_array)
    estimator: Any = Plain()
    if key == "sam":
        estimator = Sam(0.05)
    elif key == "entropy":
        estimator = EntropySGD(5, gamma0=0.03)
    elif key != "vanilla":
        # only here: a fresh network's norms are all 1, which the twin warns of
        twin = to_analog(net, RangeNoise(), state=running)
        if key == "recipe":
            estimator = hardware_aware(twin, ramp(0.1, 0.5, steps))
            base = optax.chain(base, clip_weights(twin))
        else:
            estimator = hardware_aware(twin, {"ha05": 0.05, "ha10": 0.1}[key])

    def loss(parts: Any, batch: Any, key: Any) -> tuple[Array, Any]:
        weights, state = parts
        model = eqx.combine(weights, rest)
        call = jax.vmap(model, (0, None), (0, None), axis_name="batch")
        logits, after = call(batch.x.astype(kind), state)
        return jnp.mean(jax.vmap(cross_entropy)(logits, batch.y)), after

    step = gradient_step(loss, base, estimator=estimator, statistics=True)
    state = TrainState.start((params, running), base.init(params), jax.random.key(1))
    folder = run.scratch / key
    if latest(folder) is not None:
        found = resume(folder, 0, state)
        state = state if found is None else found[0]

    def made() -> dict[str, np.ndarray]:
        keep = [Checkpoint(folder, 0, 60.0)]
        last, _ = train_run(
            step, state, batches, keep, num_steps=steps, log_every=5 * per
        )
        leaves = jax.tree.leaves(last.params)
        return {f"a{k}": np.asarray(x) for k, x in enumerate(leaves)}

    stored = run.keep(f"net-{key}", made)
    leaves = [jnp.asarray(stored[f"a{k}"]) for k in range(len(stored))]
    params, running = jax.tree.unflatten(jax.tree.structure(state.params), leaves)
    return eqx.combine(params, rest), running, run.seconds(f"net-{key}")


def chips(
    net: WideResNet,
    state: Any,
    train: Images,
    test: Images,
    count: int,
    levels: Any = LEVELS,
) -> NoiseReport:
    """Accuracy of chips; every chip sees all test images."""
    net = eqx.nn.inference_mode(net)
    twin = to_analog(net, RangeNoise(), state=state)
    x = jnp.asarray(Scaling.of(train).apply(test.pixels))
    right: Callable[[Any, Any], Array] = lambda chip, batch: is_right(
        jax.vmap(lambda one: chip(one, state)[0])(batch[0]), batch[1]
    )
    data = (x, jnp.asarray(test.labels, jnp.int32))
    size = min(500, len(test))
    return monte_carlo(
        twin, right, data, jax.random.key(2), count, levels, batch_size=size
    )
