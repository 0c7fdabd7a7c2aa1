"""Part `aware` of study `physical`: forward by the system, backward by a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from ..hardware import (
    AbstractPhysicalLayer,
    Diffractive,
    OscillatorChain,
    UnknownGain,
    fit_model,
    physics_aware,
)
from ..train import (
    AbstractCallback,
    TrainState,
    adam_cosine,
    gradient_step,
    run as train,
)
from ._claim import Claim
from ._figures import COLOURS, figure
from ._physical import physical
from ._row import Row
from ._study import Run


_P = "physical.aware"
WRIGHT = "Wright et al. 2022, Nature 601, 549"
BOXES: dict[str, str] = {
    "chain": "Duffing chains",
    "light": "scattered light",
    "gain": "saturating gains",
}
"""The simulated systems, in words."""
_SIZE, _INPUTS = 16, 5
_TASK = (
    "two layers of 16, linear maps before them and after, sin 2x1 + cos 2x2 of four "
    "inputs and a constant, noise 0.3, 1024 samples, 600 steps of Adam"
)
_TRIED = (
    "Three layers and 256 samples, where all ways fit the noise; then these. Rate 0.02 "
    "on a cosine, the same start and batch for each way."
)
_WAYS = {
    "exact": "gradient of the system",
    "aware": "physics-aware",
    "silico": "in the model alone",
}


def _rows() -> Iterator[Row]:
    for box, words in BOXES.items():
        yield Row(
            f"{_P}.gradient_{box}",
            f"{words}, model = system: largest difference of the physics-aware "
            "gradient from the exact one, over the largest entry.",
            target=1e-5,
            source=WRIGHT,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{box}_exact",
            f"{words}, {_TASK}: mean square error on the system, trained by its own "
            "gradient.",
            source=WRIGHT,
        )
        yield Row(
            f"{_P}.{box}_aware",
            f"{words}, physics-aware training, each constant of the model wrong by a "
            "tenth: error on the system over that of the exact training.",
            target=1.1,
            source=WRIGHT,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{box}_silico",
            f"{words}, trained in that model alone: the same ratio, which is to be "
            "above.",
            better="higher",
            target=1.1,
            source=WRIGHT,
            tried=_TRIED,
        )
        yield Row(
            f"{_P}.{box}_cosine",
            f"{words}: cosine between the physics-aware gradient of that model and the "
            "exact one, at the start.",
            better="higher",
            source=WRIGHT,
        )
    yield Row(
        f"{_P}.linear",
        "Linear regression on the same samples: its error over that of the exact "
        "training of Duffing chains.",
        better="higher",
    )
    yield Row(
        f"{_P}.twin_error",
        "Network fitted to 4000 measured pairs of each Duffing chain: error on pairs "
        "held out over their spread, mean of two.",
        source=WRIGHT,
    )
    yield Row(
        f"{_P}.twin_aware",
        "Duffing chains, physics-aware training with those networks as models: error "
        "over that of the exact training.",
        source=WRIGHT,
    )
    yield Row(
        f"{_P}.twin_silico",
        "Duffing chains, trained in those networks alone: the same ratio.",
        better="higher",
        source=WRIGHT,
    )


def box_of(name: str, key: PRNGKeyArray, size: int = _SIZE) -> AbstractPhysicalLayer:
    """A simulated system of one of `BOXES`."""
    if name == "chain":
        return OscillatorChain(size, steps=8, key=key)
    if name == "light":
        return Diffractive(size, size, key=key)
    return UnknownGain(size, gain=1.5, key=key)


def _wrong(box: Any, key: PRNGKeyArray) -> Any:
    """The same system with each of its constants wrong by a tenth, up or down."""

    def off(leaf: Any, key: PRNGKeyArray) -> Any:
        sign = jax.random.rademacher(key, leaf.shape, leaf.dtype)
        return leaf * (1.0 + 0.1 * sign)

    arrays, rest = eqx.partition(box, eqx.is_inexact_array)
    leaves, shape = jax.tree.flatten(arrays)
    keys = jax.random.split(key, len(leaves))
    moved = [off(leaf, k) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(shape, moved), rest)


def _network(calls: list[Callable[..., Array]]) -> Callable[[Any, Any], Array]:
    """Mean square error of the network whose layers are these, on a batch."""
    key = jax.random.key(0)  # the systems are read without noise

    def one(weights: Any, x: Array) -> Array:
        for mix, params, call in zip(*weights[:2], calls, strict=True):
            x = call(params, mix @ x, key)
        return jnp.dot(weights[2], x) + weights[3]

    def loss(weights: Any, batch: Any) -> Array:
        xs, ys = batch
        return jnp.mean((jax.vmap(lambda x: one(weights, x))(xs) - ys) ** 2)

    return loss


class _OnSystem(AbstractCallback):
    """The error on the system while a training runs."""

    def __init__(self, loss: Callable[[Any], Array]) -> None:
        self.loss, self.curve = jax.jit(loss), []

    def __call__(self, state: TrainState, row: Any) -> TrainState:
        self.curve.append(float(self.loss(state.params)))
        return state


def _start(key: PRNGKeyArray) -> tuple:
    """Linear maps, params, readout, offset."""
    keys = jax.random.split(key, 3)
    widths = (_INPUTS, _SIZE)
    mixes = [
        jax.random.normal(k, (_SIZE, n)) / n**0.5
        for k, n in zip(keys, widths, strict=False)
    ]
    readout = 0.1 * jax.random.normal(keys[2], (_SIZE,))
    return mixes, [jnp.zeros(_SIZE)] * 2, readout, jnp.zeros(())


def _data(key: PRNGKeyArray) -> tuple[Array, Array]:
    draw, noise = jax.random.split(key)
    xs = jax.random.normal(draw, (1024, _INPUTS)).at[:, -1].set(1.0)
    ys = jnp.sin(2.0 * xs[:, 0]) + jnp.cos(2.0 * xs[:, 1])
    return xs, ys + 0.3 * jax.random.normal(noise, ys.shape)


def _trained(
    real: list[Any], calls: list[Any], key: PRNGKeyArray, num_steps: int
) -> np.ndarray:
    """The error on the system over the training through `calls`."""
    begin, sample = jax.random.split(key)
    batch, weights = _data(sample), _start(begin)
    through, on_system = _network(calls), _network(real)
    transform = adam_cosine(0.02, num_steps)
    state = TrainState.start(weights, transform.init(weights), key)
    watch = _OnSystem(lambda weights: on_system(weights, batch))
    step = gradient_step(lambda w, batch, key: through(w, batch), transform)
    every = max(num_steps // 50, 1)
    train(step, state, batch, [watch], num_steps=num_steps, log_every=every)
    return np.asarray(watch.curve)


def _compared(name: str, seed: int, num_steps: int) -> dict[str, Any]:
    """One system: gradients at the start, and the three trainings."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    keys = jax.random.split(key, 4)
    boxes = [box_of(name, k) for k in keys[:2]]
    models = [_wrong(box, k) for box, k in zip(boxes, keys[2:], strict=True)]
    pairs = list(zip(boxes, models, strict=True))
    real = [box.forward for box in boxes]
    calls = {
        "exact": real,
        "aware": [physics_aware(b, m) for b, m in pairs],
        "silico": [model.forward for model in models],
    }
    begin, sample = jax.random.split(key)
    slopes = {
        way: _flat(jax.jit(jax.grad(_network(c)))(_start(begin), _data(sample)))
        for way, c in {
            **calls,
            "perfect": [physics_aware(b, b) for b in boxes],
        }.items()
    }
    exact, aware = slopes["exact"], slopes["aware"]
    apart = np.max(np.abs(slopes["perfect"] - exact)) / np.max(np.abs(exact))
    cosine = exact @ aware / np.linalg.norm(exact) / np.linalg.norm(aware)
    curves = {w: _trained(real, c, key, num_steps) for w, c in calls.items()}
    return {"gradient": apart, "cosine": cosine, **curves}


def _flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _with_twins(seed: int, num_steps: int, pairs: int) -> dict[str, Any]:
    """Duffing chains whose models are fitted networks."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    boxes = [box_of("chain", k) for k in jax.random.split(key, 4)[:2]]
    fits = []
    for index, box in enumerate(boxes):
        draw, other, fit = jax.random.split(jax.random.fold_in(key, 7 + index), 3)
        xs = 1.5 * jax.random.normal(draw, (pairs, _SIZE))
        params = 0.5 * jax.random.normal(other, (pairs, _SIZE))
        fits.append(fit_model(box, xs, params, num_steps=5 * num_steps, key=fit))
    real = [box.forward for box in boxes]
    models = [f.model for f in fits]
    aware = [physics_aware(b, m) for b, m in zip(boxes, models, strict=True)]
    silico = [lambda params, x, key, m=m: m(params, x) for m in models]
    return {
        "error": np.mean([f.error for f in fits]),
        "aware": _trained(real, aware, key, num_steps)[-1],
        "silico": _trained(real, silico, key, num_steps)[-1],
    }


def _linear(seed: int) -> float:
    """Mean square error of linear regression on the samples of a seed."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    xs, ys = (np.asarray(v, np.float64) for v in _data(jax.random.split(key)[1]))
    found = np.linalg.lstsq(xs, ys, rcond=None)[0]
    return float(np.mean((xs @ found - ys) ** 2))


@physical.part(
    "aware",
    tuple(_rows()),
    full={"seeds": 3, "steps": 600, "pairs": 4000},
    quick={"seeds": 1, "steps": 20, "pairs": 50},
)
def aware(run: Run) -> Iterator[Claim]:
    """Each system in three ways from the same start; chains with fitted models too."""
    s = run.settings
    seeds = range(s["seeds"])
    finals: dict[str, np.ndarray] = {}
    curves: dict[str, dict[str, np.ndarray]] = {}
    for box in BOXES:
        found = [
            run.keep(
                f"{box}-{seed}",
                lambda box=box, seed=seed: _compared(box, seed, s["steps"]),
            )
            for seed in seeds
        ]
        curves[box] = found[0]
        exact = np.asarray([f["exact"][-1] for f in found])
        finals[box] = exact
        row = lambda what: run.row(f"{_P}.{what}")
        yield row(f"gradient_{box}").measured([float(f["gradient"]) for f in found])
        yield row(f"{box}_exact").measured(exact)
        for way in ("aware", "silico"):
            ratio = np.asarray([f[way][-1] for f in found]) / exact
            yield row(f"{box}_{way}").measured(ratio)
        yield row(f"{box}_cosine").measured([float(f["cosine"]) for f in found])
    linear = np.asarray([_linear(seed) for seed in seeds])
    yield run.row(f"{_P}.linear").measured(linear / finals["chain"])
    twins = [
        run.keep(
            f"twins-{seed}",
            lambda seed=seed: _with_twins(seed, s["steps"], s["pairs"]),
        )
        for seed in seeds
    ]
    yield run.row(f"{_P}.twin_error").measured([float(t["error"]) for t in twins])
    for way in ("aware", "silico"):
        ratio = np.asarray([float(t[way]) for t in twins]) / finals["chain"]
        yield run.row(f"{_P}.twin_{way}").measured(ratio)
    _draw(run, curves, s["steps"])


def _draw(run: Run, curves: dict[str, dict[str, np.ndarray]], steps: int) -> None:
    """The error on the system over the training, one panel a system."""
    with figure(run.figures / "aware.svg", len(BOXES), 6.0) as axes:
        for ax, (box, words) in zip(axes, BOXES.items(), strict=True):
            for colour, (way, label) in zip(COLOURS, _WAYS.items(), strict=False):
                curve = curves[box][way]
                at = np.linspace(steps / len(curve), steps, len(curve))
                ax.plot(at, curve, color=colour, label=label)
            ax.set_yscale("log")
            ax.set_ylabel(f"{words}: error")
        axes[0].legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("step")
