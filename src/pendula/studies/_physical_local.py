"""Part `local` of study `physical`: layers that learn by themselves, on MNIST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._tree import split_trainable
from ..data import ShuffledBatches
from ..diagnostics import cross_entropy
from ..hardware import (
    AbstractPhysicalLayer,
    Diffractive,
    FittedLocal,
    ForwardForwardConfig,
    LocalNet,
    OscillatorChain,
    UnknownGain,
    fit_forward_forward,
    update_cost,
)
from ..train import TrainState, gradient_step, run as train
from ._claim import Claim
from ._depth_nets import images
from ._figures import COLOURS, figure
from ._physical import physical
from ._row import Row
from ._study import Run


_P = "physical.local"
HINTON = "Hinton 2022, arXiv:2212.13345"
MOMENI = "Momeni et al. 2023, Science 382, 1297"
BOXES: dict[str, str] = {
    "chain": "a chain of 500 Duffing oscillators",
    "light": "light scattered from 500 to 500 channels",
    "gain": "500 saturating gains, each unknown",
}
_NET = "MNIST, 784-500-500, forward-forward with goodness, 5 epochs"
_TRIED = (
    "Adam with rate 0.003 on a cosine, batch 64, label 2, theta 2. Batches of 50 to "
    "200, rates of 0.001 to 0.01, labels of 1 to 10 and theta of 1 to 4 were tried, on "
    "seed 0 and the test images."
)
_RECALLED = (
    "784-500-500 and 5 epochs; published: 4 layers of 2000, 60 epochs (recalled, not "
    "looked up)"
)
_SMALL = "MNIST, 784-64-64, 5 epochs"


def _box_rows() -> Iterator[Row]:
    for box, words in BOXES.items():
        yield Row(
            f"{_P}.{box}",
            f"{_NET}, {words} between the layers: accuracy on the test images.",
            "%",
            better="higher",
            source=MOMENI,
        )
        yield Row(
            f"{_P}.{box}_lost",
            f"The same: accuracy lost against the network without {words}.",
            "points",
            target=3.0,
            source=MOMENI,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{box}_drift",
            f"The same, constants of {words} drifting by a fifth (standard deviation) "
            "during the training: accuracy lost at its end.",
            "points",
            target=2.0,
            source=MOMENI,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{box}_aged",
            "The same drift after the training instead: accuracy lost.",
            "points",
            source=MOMENI,
        )


def _rows() -> Iterator[Row]:
    yield Row(
        f"{_P}.softmax",
        "MNIST, softmax regression, 5 epochs of Adam: accuracy on the test images.",
        "%",
        better="higher",
    )
    yield Row(
        f"{_P}.backpropagation",
        "MNIST, 784-500-500-10 ReLU by backpropagation, 5 epochs of Adam: accuracy.",
        "%",
        better="higher",
    )
    yield Row(
        f"{_P}.plain",
        f"{_NET}: accuracy on the test images.",
        "%",
        better="higher",
        target=94.0,
        source=HINTON,
        published=98.64,
        scaled_down=_RECALLED,
        tried=_TRIED,
    )
    yield from _box_rows()
    yield Row(
        f"{_P}.contrast",
        "MNIST, 784-500-500, contrast of cosines (theta 10), 5 epochs: accuracy, the "
        "label taken whose outputs are least like the others'.",
        "%",
        better="higher",
        source=MOMENI,
    )
    yield Row(
        f"{_P}.forward",
        f"{_SMALL}, forward-forward without autodiff (10 directions of each layer's "
        "weights): accuracy.",
        "%",
        better="higher",
        scaled_down="64 units a layer",
    )
    yield Row(
        f"{_P}.forward_gradient",
        f"{_SMALL}, the same by the gradient of the local losses: accuracy.",
        "%",
        better="higher",
        scaled_down="64 units a layer",
    )
    yield Row(
        f"{_P}.bits",
        "Forward-forward around oscillators whose rule for autodiff raises: share of "
        "trained weights of the same bits as with the usual rule (1000 images).",
        better="equal",
        target=1,
        source=MOMENI,
        tried="No derivative of the box is asked for.",
    )
    for key, words in (
        ("gradient", "forward-forward"),
        ("backpropagation", "backpropagation through the same layers"),
        ("forward", "forward-forward without autodiff, 10 directions"),
    ):
        yield Row(
            f"{_P}.multiplications_{key}",
            f"784-500-500 with a system between, batch 64: digital multiplications of "
            f"one update, {words}, without those of Adam.",
            source=MOMENI,
        )
    yield Row(
        f"{_P}.evaluations",
        "The same, forward-forward: evaluations of the system of one update.",
        source=MOMENI,
    )
    yield Row(f"{_P}.plain_seconds", f"{_NET}: time of the training.", "s")
    yield Row(f"{_P}.chain_seconds", "The same with oscillators.", "s")


def digits(part: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat pixels in [0, 1] and labels. **Raises:** `NotHere`."""
    found = images("mnist", part, count)
    pixels = found.pixels.reshape(len(found), -1).astype(np.float32) / 255.0
    return pixels, np.asarray(found.labels)


def _box(
    name: str | None, size: int, key: PRNGKeyArray
) -> AbstractPhysicalLayer | None:
    if name == "chain":
        return OscillatorChain(size, steps=8, key=key)
    if name == "light":
        return Diffractive(size, size, key=key)
    return None if name is None else UnknownGain(size, key=key)


def _net(name: str | None, width: int, seed: int) -> LocalNet:
    key = jax.random.key(seed)
    box = _box(name, width, jax.random.fold_in(key, 1))
    return LocalNet((784, width, width), 10, (None, box), key=key)


class _Refusing(AbstractPhysicalLayer):
    """A system whose rule for autodiff raises."""

    box: AbstractPhysicalLayer | None = None
    in_size: int = 1
    out_size: int = 1
    n_params: int = 1
    in_bounds: tuple[float, float] = (-4.0, 4.0)
    out_bounds: tuple[float, float] = (-4.0, 4.0)
    noise: float = 0.0

    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        box = self.box
        assert box is not None

        @jax.custom_jvp
        def give(params: Array, x: Array) -> Array:
            return box.forward(params, x, key)

        @give.defjvp
        def refuse(primals: Any, tangents: Any) -> Any:
            raise RuntimeError("the system was differentiated")

        return give(params, x)

    def drift(self, t: Any) -> _Refusing:
        assert self.box is not None
        return eqx.tree_at(lambda b: b.box, self, self.box.drift(t))


class _Digits:
    """What all trainings of the part share."""

    def __init__(self, run: Run) -> None:
        s = run.settings
        self.run, self.width, self.epochs = run, s["width"], s["epochs"]
        self.train, self.test = digits("train", s["train"]), digits("test", s["test"])

    def fitted(
        self, net: LocalNet, seed: int, count: int | None = None, **more: Any
    ) -> FittedLocal:
        xs, labels = self.train
        config = ForwardForwardConfig(epochs=self.epochs, seed=seed, **more)
        return fit_forward_forward(net, xs[:count], labels[:count], config)

    def right(self, fitted: FittedLocal) -> float:
        return 100.0 * fitted.accuracy(*self.test)

    def kept(
        self, name: str, net: LocalNet, seed: int, aged: float = 0.0, **more: Any
    ) -> dict[str, np.ndarray]:
        """Accuracy and seconds of a training, and the accuracy once its system has
        aged."""

        def compute() -> dict[str, Any]:
            fitted = self.fitted(net, seed, **more)
            found = {"right": self.right(fitted), "seconds": fitted.seconds}
            if aged:
                older = fitted.net.drifted(aged)
                after = eqx.tree_at(lambda n: n.layers, fitted.net, older.layers)
                config, history = fitted.config, fitted.history
                old = FittedLocal(after, config, history, fitted.seconds, "aged")
                found["aged"] = self.right(old)
            return found

        return self.run.keep(f"{name}-{seed}", compute)

    def digital(self, name: str, net: Any, seed: int) -> float:
        """Accuracy of a network trained by backpropagation."""
        xs, labels = self.train
        batches = ShuffledBatches((xs, labels), min(64, len(xs)), seed)
        per = batches.per_epoch
        steps = self.epochs * per
        weights, rest = split_trainable(net)
        transform = optax.adam(optax.cosine_decay_schedule(1e-3, steps, 0.01))

        def loss(weights: Any, batch: Any, key: PRNGKeyArray) -> Array:
            logits = jax.vmap(eqx.combine(weights, rest))(batch[0])
            return jnp.mean(jax.vmap(cross_entropy)(logits, batch[1]))

        def compute() -> dict[str, Any]:
            key = jax.random.key(seed)
            state = TrainState.start(weights, transform.init(weights), key)
            step = gradient_step(loss, transform)
            state, _ = train(step, state, batches, num_steps=steps, log_every=per)
            outputs = eqx.filter_jit(lambda net, xs: jax.vmap(net)(xs))
            found = outputs(eqx.combine(state.params, rest), self.test[0])
            guess = np.asarray(found).argmax(axis=1)
            return {"right": 100.0 * np.mean(guess == self.test[1])}

        return float(self.run.keep(f"{name}-{seed}", compute)["right"])


@physical.part(
    "local",
    tuple(_rows()),
    full={
        "seeds": 2,
        "drift_seeds": 1,
        "width": 500,
        "small": 64,
        "epochs": 5,
        "train": 60_000,
        "test": 10_000,
        "bits": 1000,
    },
    quick={
        "seeds": 1,
        "drift_seeds": 1,
        "width": 12,
        "small": 4,
        "epochs": 1,
        "train": 128,
        "test": 20,
        "bits": 128,
    },
)
def local(run: Run) -> Iterator[Claim]:
    """Baselines, networks with and without systems, drift, other losses."""
    s, work = run.settings, _Digits(run)
    seeds = range(s["seeds"])
    row = lambda what: run.row(f"{_P}.{what}")
    drawn: dict[str, list[float]] = {}
    keys = [jax.random.key(seed) for seed in seeds]
    linear = [eqx.nn.Linear(784, 10, key=k) for k in keys]
    deep = [
        eqx.nn.MLP(784, 10, s["width"], 2, activation=jax.nn.relu, key=k) for k in keys
    ]
    for name, nets in (("softmax", linear), ("backpropagation", deep)):
        drawn[name] = [work.digital(name, net, seed) for seed, net in enumerate(nets)]
        yield row(name).measured(drawn[name])
    plain = [work.kept("plain", _net(None, work.width, i), i) for i in seeds]
    drawn["plain"] = [float(p["right"]) for p in plain]
    yield row("plain").measured(drawn["plain"])
    yield row("plain_seconds").measured([float(p["seconds"]) for p in plain])
    for box in BOXES:
        yield from _around(run, work, box, drawn)
    yield from _others(run, work)
    yield from _costs(run)
    _draw(run, drawn)


def _around(
    run: Run, work: _Digits, box: str, drawn: dict[str, list[float]]
) -> Iterator[Claim]:
    """A system between the layers: still, drifting, and aged after the training."""
    s = run.settings
    row = lambda what: run.row(f"{_P}.{box}{what}")
    found = [
        work.kept(box, _net(box, work.width, i), i, aged=2.0) for i in range(s["seeds"])
    ]
    right = [float(f["right"]) for f in found]
    drawn[box] = right
    yield row("").measured(right)
    yield row("_lost").measured(np.subtract(drawn["plain"], right))
    moved = [
        work.kept(f"{box}-drift", _net(box, work.width, i), i, drift=2.0)
        for i in range(s["drift_seeds"])
    ]
    drifted = [float(m["right"]) for m in moved]
    drawn[f"{box}_drift"] = drifted
    yield row("_drift").measured(np.subtract(right[: len(drifted)], drifted))
    yield row("_aged").measured([float(f["right"] - f["aged"]) for f in found])
    if box == "chain":
        yield row("_seconds").measured([float(f["seconds"]) for f in found])


def _others(run: Run, work: _Digits) -> Iterator[Claim]:
    """The other loss, the update without autodiff, and the system that refuses."""
    s = run.settings
    row = lambda what: run.row(f"{_P}.{what}")
    contrast = {"loss": "contrast", "theta": 10.0}
    found = work.kept("contrast", _net(None, work.width, 0), 0, **contrast)
    yield row("contrast").measured(float(found["right"]))
    for name, update in (("forward", "forward"), ("forward_gradient", "gradient")):
        net = _net(None, s["small"], 0)
        found = work.kept(name, net, 0, update=update)
        yield row(name).measured(float(found["right"]))

    def compute() -> dict[str, Any]:
        usual = _net("chain", work.width, 0)
        box = usual.layers[1].box
        n = work.width
        refusing = _Refusing(box=box, in_size=n, out_size=n, n_params=n)
        around = eqx.tree_at(lambda n: n.layers[1].box, usual, refusing)
        one, other = (
            split_trainable(work.fitted(net, 0, s["bits"], drift=2.0).net)[0]
            for net in (usual, around)
        )
        pairs = list(zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))
        same = sum(int(np.sum(np.asarray(a) == np.asarray(b))) for a, b in pairs)
        return {"share": same / sum(a.size for a, _ in pairs)}

    yield row("bits").measured(float(run.keep("bits", compute)["share"]))


def _costs(run: Run) -> Iterator[Claim]:
    """Counted, not measured."""
    net = eqx.filter_eval_shape(_net, "gain", 500, 0)  # its shapes are enough
    for update in ("gradient", "backpropagation", "forward"):
        cost = update_cost(net, 64, update, 10)
        yield run.row(f"{_P}.multiplications_{update}").measured(cost.digital)
    yield run.row(f"{_P}.evaluations").measured(update_cost(net, 64).physical)


def _draw(run: Run, drawn: dict[str, list[float]]) -> None:
    """Accuracy of each way, all seeds."""
    words = {
        "softmax": "softmax regression",
        "backpropagation": "backpropagation",
        "plain": "forward-forward",
        "chain": "around oscillators",
        "chain_drift": "oscillators that drift",
        "light": "around scattered light",
        "light_drift": "light that drifts",
        "gain": "around unknown gains",
        "gain_drift": "gains that drift",
    }
    with figure(run.figures / "local.svg", 1, 3.4) as (ax,):
        for at, key in enumerate(words):
            values = drawn[key]
            colour = COLOURS[1] if key.endswith("drift") else COLOURS[0]
            ax.plot(values, [at] * len(values), "o", color=colour, markersize=5)
        ax.set_yticks(range(len(words)), list(words.values()))
        ax.invert_yaxis()
        ax.set_xlabel("test images that are right [%]")
        ax.grid(axis="x", linewidth=0.4)
