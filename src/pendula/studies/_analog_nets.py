"""What parts of `analog` and `flat_minima` share: digits, networks trained in several
ways, and their accuracy as chips."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from ..data import Scaling, ShuffledBatches
from ..diagnostics import cross_entropy
from ..hardware import (
    AnalogTwin,
    Code,
    NoiseReport,
    RangeNoise,
    clip_weights,
    hardware_aware,
    is_right,
    monte_carlo,
    quantised,
    robust_recipe,
    to_analog,
)
from ..nn import Layers, activation
from ..train import (
    Asam,
    EntropySGD,
    Plain,
    Sam,
    TrainState,
    adahessian,
    averaged,
    gradient_step,
    ramp,
    run as train_run,
    swa,
)
from ._depth_nets import images
from ._study import Run


SIZES = (784, 256, 128, 10)
NOISE = "noise of the span of every weight and bias tensor"
SET = "MNIST, ReLU network 784-256-128-10"
Digits = tuple[Any, Any]
Make = Callable[[AnalogTwin, int, Any], tuple[Any, Any]]


def digits(part: str, count: int) -> Digits:
    """Images from all over a set, as vectors `"image pixel"` of mean 0 and variance 1
    over all pixels of the training set, and labels. **Raises:** `NotHere` where they
    are missing."""
    scaling = Scaling.of(images("mnist", "train", 60_000))
    whole = images("mnist", part, {"train": 60_000, "test": 10_000}[part])
    chosen = whole.select(np.arange(count) * (len(whole) // count))
    x = scaling.apply(chosen.pixels).reshape(count, -1)
    return x, np.asarray(chosen.labels, np.int32)


@dataclasses.dataclass(frozen=True)
class Way:
    """How a network is trained: `words`; `make(twin, steps)`, its estimator and
    transform behind the rate; `cost`: gradients a step, by which epochs are divided
    where `equal`; `last`: the weights that count, from weights and optimiser state;
    `lr`: its own rate; `apart`: whether each gradient of a step has a batch of its own;
    `nesterov`: of the momentum."""

    words: str
    make: Make
    cost: int = 1
    equal: bool = False
    last: Callable[[Any, Any], Any] = lambda params, opt: params
    lr: float | None = None
    apart: bool = False
    nesterov: bool = False


def _ha(
    level: float, ramped: bool = False, clip: bool = False, samples: int = 1
) -> Make:
    def make(twin: AnalogTwin, steps: int, base: Any) -> tuple[Any, Any]:
        eta = ramp(level, 0.5, steps) if ramped else level
        transform = optax.chain(base, clip_weights(twin)) if clip else base
        return hardware_aware(twin, eta, samples), transform

    return make


def _with(estimator: Any) -> Make:
    return lambda twin, steps, base: (estimator(), base)


def _recipe(twin: AnalogTwin, steps: int, base: Any) -> tuple[Any, Any]:
    return robust_recipe(twin, 0.1, steps, base)


_LOOPS = 5
WAYS = {
    "vanilla": Way("momentum descent", lambda twin, steps, base: (Plain(), base)),
    "ha05": Way("HA-SGD 0.05", _ha(0.05)),
    "ha10": Way("HA-SGD 0.10, no ramp, no clip", _ha(0.1)),
    "ha10_ramp": Way("HA-SGD 0.10, ramp", _ha(0.1, ramped=True)),
    "clip": Way(
        "momentum descent, clip 2.5 std",
        lambda twin, steps, base: (Plain(), optax.chain(base, clip_weights(twin))),
    ),
    "ha10_clip": Way("HA-SGD 0.10, clip", _ha(0.1, clip=True)),
    "recipe": Way("the recipe at 0.10: ramp, clip, decay 5e-4", _recipe),
    "sam": Way("SAM, rho 0.05", _with(lambda: Sam(0.05)), cost=2),
    "asam": Way("ASAM, rho 0.5", _with(lambda: Asam(0.5)), cost=2),
    "entropy": Way(
        "Entropy-SGD, L = 5, a fifth of the steps",
        _with(lambda: EntropySGD(_LOOPS, gamma0=1e-4, inner_lr=0.05, apart=True)),
        cost=_LOOPS,
        equal=True,
        lr=1.0,
        apart=True,
        nesterov=True,
    ),
    "swa": Way(
        "mean of the weights over the second half",
        lambda twin, steps, base: (
            Plain(),
            swa(base, steps // 2, max(1, steps // 100)),
        ),
        last=lambda params, opt: averaged(opt),
    ),
    "adahessian": Way(
        "AdaHessian",
        lambda twin, steps, base: (
            Plain(),
            adahessian(optax.cosine_decay_schedule(0.02, steps)),
        ),
        cost=2,
    ),
    "ha10_4": Way("HA-SGD 0.10, clip, L = 4", _ha(0.1, clip=True, samples=4), cost=4),
    "ha10_16": Way(
        "HA-SGD 0.10, clip, L = 16", _ha(0.1, clip=True, samples=16), cost=16
    ),
}


def started(
    sizes: tuple[int, ...], seed: int, activation: str = "relu", gain: float = 2.0
) -> Layers:
    """A network whose weights are drawn from N(0, gain / fan) (He et al. 2015 for 2),
    its biases 0."""
    key = jax.random.key(seed)
    net = Layers(sizes, activation=activation, key=key)
    weights = tuple(
        jnp.sqrt(gain / w.shape[1])
        * jax.random.normal(jax.random.fold_in(key, 1 + k), w.shape)
        for k, w in enumerate(net.weights)
    )
    biases = tuple(jnp.zeros_like(b) for b in net.biases)
    return eqx.tree_at(lambda n: (n.weights, n.biases), net, (weights, biases))


def dropped(net: Layers, x: Array, key: PRNGKeyArray, rate: float) -> Array:
    """Logits of one image, values of the hidden layers being left out at random."""
    act = activation(net.activation, kinks=True)
    for k, (w, b) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True)):
        x = act(w @ x + b)
        kept = jax.random.bernoulli(jax.random.fold_in(key, k), 1.0 - rate, x.shape)
        x = jnp.where(kept, x / (1.0 - rate), 0.0)
    return net.weights[-1] @ x + net.biases[-1]


def mean_loss(net: Any, batch: Digits, key: Any = None, rate: float = 0.0) -> Array:
    """Cross-entropy, mean over a batch."""
    x, labels = jnp.asarray(batch[0]), jnp.asarray(batch[1])
    if rate > 0.0:
        keys = jax.random.split(key, len(x))
        logits = jax.vmap(lambda one, k: dropped(net, one, k, rate))(x, keys)
    else:
        logits = jax.vmap(net)(x)
    return jnp.mean(jax.vmap(cross_entropy)(logits, labels))


def trained(
    way: Way,
    data: Digits,
    epochs: float,
    seed: int,
    *,
    sizes: tuple[int, ...] = SIZES,
    activation: str = "relu",
    batch: int = 128,
    lr: float = 0.05,
    decay: float = 0.0,
    dropout: float = 0.0,
    net: Layers | None = None,
    code: Code | None = None,
) -> Layers:
    """A network after some epochs of momentum descent (0.9) on a cosine, gradients and
    weights as the way says; with a code for the weights that it makes of them."""
    net = started(sizes, seed, activation) if net is None else net
    twin = to_analog(net, RangeNoise())
    batches = _batches(way, data, batch, seed)
    per = ShuffledBatches(data, batch, seed).per_epoch
    steps = max(1, round(per * epochs / (way.cost if way.equal else 1)))
    rate = optax.cosine_decay_schedule(way.lr or lr, steps)
    base = optax.sgd(rate, momentum=0.9, nesterov=way.nesterov)
    if decay:
        base = optax.chain(optax.add_decayed_weights(decay), base)
    estimator, transform = way.make(twin, steps, base)

    def loss(net: Layers, batch: Digits, key: PRNGKeyArray) -> Array:
        seen = net if code is None else quantised(net, code, key=key)
        return mean_loss(seen, batch, key, dropout)

    step = gradient_step(loss, transform, estimator=estimator)
    key = jax.random.key(1000 + seed)
    state = TrainState.start(net, transform.init(net), key)

    state, _ = train_run(step, state, batches, num_steps=steps, log_every=per)
    return way.last(state.params, state.opt)


def _batches(way: Way, data: Digits, size: int, seed: int) -> Callable[[int], Any]:
    """The batches of a training: of one that takes them apart, several a step on a
    leading axis."""
    if not way.apart:
        return ShuffledBatches(data, size, seed)
    wide = ShuffledBatches(data, way.cost * size, seed)
    cut = lambda a: a.reshape(way.cost, size, *a.shape[1:])
    return lambda step: tuple(cut(a) for a in wide(step))


def kept(run: Run, name: str, make: Callable[[], Layers]) -> Layers:
    """A trained network, kept in the scratch folder of a part, with the seconds that it
    took."""

    def arrays() -> dict[str, np.ndarray]:
        net = make()
        found = {"activation": np.asarray(net.activation)}
        for k, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
            found |= {f"w{k}": np.asarray(w), f"b{k}": np.asarray(b)}
        return found

    found = run.keep(name, arrays)
    count = sum(name.startswith("w") for name in found)
    weights = tuple(jnp.asarray(found[f"w{k}"]) for k in range(count))
    biases = tuple(jnp.asarray(found[f"b{k}"]) for k in range(count))
    sizes = (weights[0].shape[1], *(w.shape[0] for w in weights))
    net = Layers(sizes, activation=str(found["activation"]), key=jax.random.key(0))
    return eqx.tree_at(lambda n: (n.weights, n.biases), net, (weights, biases))


def right(chip: Any, batch: Digits) -> Array:
    """Which images a chip gives their label."""
    return is_right(jax.vmap(chip)(jnp.asarray(batch[0])), batch[1])


def curve(
    net: Layers, test: Digits, levels: Sequence[float], chips: int, seed: int
) -> NoiseReport:
    """Accuracy of chips against the level."""
    twin = to_analog(net, RangeNoise())
    key = jax.random.fold_in(jax.random.key(77), seed)
    data = (jnp.asarray(test[0]), jnp.asarray(test[1]))
    return monte_carlo(twin, right, data, key, chips, levels)


def level_name(level: float) -> str:
    """A level as part of an id, 0.05 -> 005."""
    return f"{level:.2f}".replace(".", "")
