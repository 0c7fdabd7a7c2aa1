"""Part `equal` of study `analog`: twins without noise are the networks themselves, and
kernels with a copy for every place beside those with one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from ..data import Images, Scaling, ShuffledBatches
from ..diagnostics import cross_entropy
from ..hardware import RangeNoise, is_right, monte_carlo, to_analog
from ..train import TrainState, gradient_step, run as train_run
from ._analog import analog
from ._analog_cifar import trained as wide_trained
from ._analog_nets import NOISE
from ._claim import Claim
from ._depth_nets import images
from ._row import Row
from ._study import Run


_LENET = "LeNet-like network (8 and 16 kernels of 5 x 5, two dense layers) on MNIST"
_WIDE = "WideResNet 10-1 on CIFAR-10 (re-encoded as JPEG), 16 x 16 pixels"
_LENETS: dict[str, Any] = {
    "folded": {},
    "exact": {"unfold": "exact"},
    "marginal": {"unfold": "marginal"},
}
_WIDES: dict[str, Any] = {
    "conv1x1": {},
    "digital": {"batchnorm": "digital"},
    "marginal": {"unfold": "marginal"},
}
_WORDS = {
    "folded": "one kernel for all places",
    "exact": "a kernel for every place",
    "marginal": "a kernel for every place, by its marginal law",
    "conv1x1": "batch norms and shortcuts on devices",
    "digital": "digital batch norms",
}
_LEVEL = 0.06
_TRIED = "Outputs of 100 test images, one chip at level 0."


def _rows() -> Iterator[Row]:
    for net, words, ways in (("lenet", _LENET, _LENETS), ("wide", _WIDE, _WIDES)):
        for way in ways:
            yield Row(
                f"analog.equal.{net}_{way}",
                f"{words}, {_WORDS[way]}, noise 0: largest difference of an output "
                "from the digital network's, over the largest output.",
                target=1e-5,
                tried=_TRIED,
            )
            yield Row(
                f"analog.equal.{net}_{way}_accuracy",
                f"{words}, {_WORDS[way]}, {NOISE} {_LEVEL:g}: accuracy, mean over "
                "chips.",
                better="higher",
            )
        yield Row(
            f"analog.equal.{net}_clean", f"{words}: digital accuracy.", better="higher"
        )


@analog.part(
    "equal",
    tuple(_rows()),
    full={
        "digits": 20_000,
        "train": 10_000,
        "test": 1000,
        "depth": 10,
        "width": 1,
        "epochs": 2,
        "batch": 64,
        "lr": 0.1,
        "chips": 10,
    },
    quick={
        "digits": 128,
        "train": 16,
        "test": 8,
        "depth": 10,
        "width": 1,
        "epochs": 1,
        "batch": 8,
        "lr": 0.1,
        "chips": 2,
    },
)
def equal(run: Run) -> Iterator[Claim]:
    """Two small convolutional networks."""
    s = run.settings
    train = images("mnist", "train", s["digits"])
    scaling = Scaling.of(train)
    first = lambda some: np.moveaxis(scaling.apply(some.pixels), -1, 1)
    net = _lenet(run, first(train), train.labels)
    test = images("mnist", "test", s["test"])
    data = (jnp.asarray(first(test)), jnp.asarray(test.labels, jnp.int32))
    yield from _compared(run, "lenet", net, _LENETS, data, lambda m, x: m(x))
    small, test = (_halved(images("cifar10", p, s[p])) for p in ("train", "test"))
    wide, state, _ = wide_trained(run, "vanilla", small)
    wide = eqx.nn.inference_mode(wide)
    pixels = jnp.asarray(Scaling.of(small).apply(test.pixels))
    data = (pixels, jnp.asarray(test.labels, jnp.int32))
    ways = {way: {"state": state, **options} for way, options in _WIDES.items()}
    yield from _compared(run, "wide", wide, ways, data, lambda m, x: m(x, state)[0])


def _compared(
    run: Run,
    name: str,
    net: Any,
    ways: dict[str, Any],
    data: tuple[Array, Array],
    call: Callable[[Any, Array], Array],
) -> Iterator[Claim]:
    """A chip without noise against the digital network, then chips with it."""
    few = data[0][:100]
    logits = eqx.filter_jit(lambda m: jax.vmap(lambda x: call(m, x))(few))
    right = lambda m, batch: is_right(
        jax.vmap(lambda x: call(m, x))(batch[0]), batch[1]
    )
    plain = np.asarray(logits(net), np.float64)
    size, digital = min(100, len(data[0])), float("nan")
    for way, options in ways.items():
        twin = to_analog(net, RangeNoise(), **options)
        chip = np.asarray(logits(twin.sample(jax.random.key(1), 0.0)), np.float64)
        off = np.abs(chip - plain).max() / np.abs(plain).max()
        yield run.row(f"analog.equal.{name}_{way}").measured(float(off))
        found = monte_carlo(
            twin,
            right,
            data,
            jax.random.key(2),
            run.settings["chips"],
            (_LEVEL,),
            batch_size=size,
        )
        row = run.row(f"analog.equal.{name}_{way}_accuracy")
        yield row.measured(float(found.mean[0]), n=run.settings["chips"])
        digital = float(found.digital)
    yield run.row(f"analog.equal.{name}_clean").measured(digital)


def _lenet(run: Run, x: np.ndarray, labels: np.ndarray) -> eqx.nn.Sequential:
    """Trained for one pass by momentum descent."""
    keys = jax.random.split(jax.random.key(0), 4)
    act, pool = eqx.nn.Lambda(jax.nn.relu), eqx.nn.MaxPool2d(2, 2)
    flat = eqx.nn.Lambda(jnp.ravel)
    net = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(1, 8, 5, key=keys[0]),
            act,
            pool,
            eqx.nn.Conv2d(8, 16, 5, key=keys[1]),
            act,
            pool,
            flat,
            eqx.nn.Linear(256, 64, key=keys[2]),
            act,
            eqx.nn.Linear(64, 10, key=keys[3]),
        ]
    )
    batches = ShuffledBatches((x, labels), run.settings["batch"], 0)
    params, rest = eqx.partition(net, eqx.is_inexact_array)

    def loss(p: Any, batch: Any, key: PRNGKeyArray) -> Array:
        logits = jax.vmap(eqx.combine(p, rest))(jnp.asarray(batch[0]))
        return jnp.mean(jax.vmap(cross_entropy)(logits, jnp.asarray(batch[1])))

    steps = batches.per_epoch
    transform = optax.sgd(optax.cosine_decay_schedule(0.02, steps), momentum=0.9)
    state = TrainState.start(params, transform.init(params), jax.random.key(1))
    step = gradient_step(loss, transform)
    state, _ = train_run(step, state, batches, num_steps=steps, log_every=steps)
    return eqx.combine(state.params, rest)


def _halved(some: Images) -> Images:
    """Means of two by two pixels."""
    n, rows, columns, channels = some.pixels.shape
    blocks = some.pixels.reshape(n, rows // 2, 2, columns // 2, 2, channels)
    mean = np.round(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return dataclasses.replace(some, pixels=mean)
