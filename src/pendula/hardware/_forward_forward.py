"""Local training, without a model of the physical systems or their gradient."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PRNGKeyArray

from .._checks import choice, fields_whole, not_negative, positive, whole
from .._errors import CheckpointError
from .._precision import to_device
from .._tree import digest, split_trainable
from ..data import ShuffledBatches
from ..train import (
    NOT_FINITE,
    AbstractCallback,
    Checkpoint,
    MetricsLog,
    TrainState,
    check_same,
    gradient_step,
    load_tree,
    logged,
    resume,
    run,
    save_tree,
)
from ._forward_only import ForwardOnly
from ._local_net import LocalNet, local_loss, probe, sum_of
from ._physical_layer import boundary
from ._tables import as_table, check_labels


Info = dict[str, Any]
Update = Literal["gradient", "forward"]


@dataclasses.dataclass(frozen=True)
class ForwardForwardConfig:
    """How the layers of a `LocalNet` are trained, each on its own loss, by Adam.

    **Raises:** `ConfigError` for a setting that cannot be.

    ```python
    >>> from pendula.hardware import ForwardForwardConfig
    >>> ForwardForwardConfig(loss="contrast", theta=10.0).update
    'gradient'

    ```
    """

    epochs: int = 5
    """Passes over the samples."""
    batch: int = 64
    """Samples a step; the rest of an epoch is dropped."""
    lr: float = 3e-3
    """Learning rate at the start; it falls to a hundredth on a cosine."""
    loss: str = "goodness"
    """`"goodness"` or `"contrast"`."""
    theta: float = 2.0
    """Threshold of the goodness, or factor of the cosine."""
    update: str = "gradient"
    """`"gradient"` of the local loss, or `"forward"`: directional derivatives."""
    directions: int = 10
    """Directions an update, of `"forward"`."""
    epsilon: float = 1e-3
    """Length of the step along a direction, of `"forward"`."""
    drift: float = 0.0
    """Time that passes in the systems from the first update to the last [s]."""
    seed: int = 0
    """Of the order of the samples, the wrong labels and the noise."""

    def __post_init__(self) -> None:
        fields_whole(self, epochs=0, batch=1, directions=1)
        positive(lr=self.lr, theta=self.theta, epsilon=self.epsilon)
        not_negative(drift=self.drift)
        local_loss(self.loss)
        choice("update", self.update, get_args(Update))

    def transform(self, num_steps: int) -> optax.GradientTransformation:
        """The optimiser: no norm is taken over layers, which know nothing of each
        other."""
        return optax.adam(
            optax.cosine_decay_schedule(self.lr, max(num_steps, 1), alpha=0.01)
        )


@dataclasses.dataclass(frozen=True)
class FittedLocal:
    """A network that was trained layer by layer, and what is to be known of it.

    `net`, its systems as old as they were at the last update; `config`; `history`: one
    record an epoch (`step`, `epoch`, `loss` of its last batch, summed over layers,
    `grad_norm`); `seconds`, compilation included; `reason` why the training ended.
    """

    net: LocalNet
    config: ForwardForwardConfig
    history: list[Info]
    seconds: float
    reason: str

    def scores(self, xs: Any, *, batch: int = 500) -> np.ndarray:
        """How well each label fits each sample: `"sample in"` to `"sample class"`."""
        xs = _samples(self.net, xs)
        # a system is not evaluated for samples that are not there
        batch = min(whole(1, batch=batch), len(xs))
        key = jax.random.fold_in(jax.random.key(self.config.seed), 2)
        found = []
        with boundary(self.net):
            for start in range(0, len(xs), batch):
                part = xs[start : start + batch]
                filled = np.concatenate([part, part[-1:].repeat(batch - len(part), 0)])
                keys = jax.random.split(jax.random.fold_in(key, start), batch)
                scored = _scores(self.net, filled, keys, self.config.loss)
                found.append(np.asarray(scored)[: len(part)])
        return np.concatenate(found)

    def predict(self, xs: Any) -> np.ndarray:
        """The label that fits best, `"sample"`."""
        return self.scores(xs).argmax(axis=1)

    def accuracy(self, xs: Any, labels: Any) -> float:
        """Share of the samples that are given their label."""
        wanted = check_labels(labels, len(xs), self.net.classes)
        return float(np.mean(self.predict(xs) == wanted))

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. **Raises:** `CheckpointError`, for a system that
        cannot be saved (`External`) too."""
        about = {
            "config": dataclasses.asdict(self.config),
            "history": self.history,
            "seconds": self.seconds,
            "reason": self.reason,
        }
        save_tree(Path(path), self.net, about)

    @classmethod
    def load(cls, path: str | Path) -> FittedLocal:
        """The inverse of `save`. **Raises:** `CheckpointError`."""
        net, about = load_tree(Path(path))
        if not isinstance(net, LocalNet):
            raise CheckpointError(f"{path} does not hold a network trained locally.")
        return cls(
            to_device(net),
            ForwardForwardConfig(**about["config"]),
            about["history"],
            about["seconds"],
            about["reason"],
        )


@eqx.filter_jit
def _scores(net: LocalNet, xs: Any, keys: Any, loss: str) -> Array:
    return jax.vmap(lambda x, key: net.scores(x, key, loss))(jnp.asarray(xs), keys)


def fit_forward_forward(
    net: LocalNet,
    xs: Any,
    labels: Any,
    config: ForwardForwardConfig = ForwardForwardConfig(),
    *,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
) -> FittedLocal:
    """Train each layer of a network on a loss of its own: the right label is to give
    another output than a wrong one, which is drawn anew for each sample and step.

    The physical systems are evaluated outside of what is differentiated: a system
    without a gradient gives the same bits as one that has one.

    **Arguments:**
    - `net`: as it starts; `xs`: samples `"sample in"`, whose first C numbers the label
      replaces; `labels`: `"sample"`, below C.
    - `folder`: of checkpoints, one every `seconds`; the same call goes on where a
      killed one stopped, to the same bits. Without: none.
    - `tell`: called with the record of each epoch.

    **Returns:** a `FittedLocal`.
    **Raises:** `DataError` for empty data, labels that the network has not, inputs that
    are not finite, and a system that returns what is not finite; `ShapeError`.
    **Source:** Hinton 2022, arXiv:2212.13345; Momeni et al. 2023, Science 382, 1297.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.hardware import (
    ...     ForwardForwardConfig, LocalNet, UnknownGain, fit_forward_forward)
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 400)
    >>> xs = rng.normal(size=(400, 6)).astype(np.float32)
    >>> xs[:, 2:] += 3.0 * labels[:, None] - 1.5
    >>> key = jax.random.key(0)
    >>> net = LocalNet((6, 16, 16), 2, (None, UnknownGain(16, key=key)), key=key)
    >>> fitted = fit_forward_forward(net, xs, labels, ForwardForwardConfig(epochs=20))
    >>> fitted.accuracy(xs, labels) > 0.9
    True

    ```
    """
    began = time.perf_counter()
    xs = _samples(net, xs)
    labels = check_labels(labels, len(xs), net.classes)
    size = min(config.batch, len(xs))
    batches = ShuffledBatches((xs, labels), size, config.seed)
    key = jax.random.fold_in(jax.random.key(config.seed), 1)
    first, given = batches(0)
    probe(net, first, given, key)
    place = None if folder is None else Path(folder)
    if place is not None:
        told = json.dumps(dataclasses.asdict(config))
        check_same(
            place, {"told": told, "net": digest(net), "data": digest([xs, labels])}
        )
    num_steps = config.epochs * batches.per_epoch
    parts = [split_trainable(layer) for layer in net.layers]
    weights = tuple(part for part, _ in parts)
    whole = _Whole(net, tuple(rest for _, rest in parts))
    transform = config.transform(num_steps)
    state = TrainState.start(weights, transform.init(weights), key)
    ended = None
    if place is not None:
        found = resume(place, 0, state)
        state, ended = (state, None) if found is None else found
    watch = _Epoch(batches.per_epoch, tell, place)
    if ended is None:
        callbacks: list[AbstractCallback] = [watch]
        if place is not None:
            callbacks.append(MetricsLog(place, "fit", int(state.step)))
            callbacks.append(Checkpoint(place, 0, seconds))
        same = dataclasses.replace(config, seed=0, drift=0.0)
        drift = jnp.asarray(config.drift)
        step = lambda state, batch: _update(whole, same, num_steps, drift, state, batch)
        with boundary(net):
            state, ended = run(
                step,
                state,
                batches,
                callbacks,
                num_steps=num_steps,
                log_every=batches.per_epoch,
            )
    trained = whole(state.params).drifted(config.drift)
    if ended.startswith(NOT_FINITE):
        last, given = batches(int(state.step))
        probe(trained, last, given, key)
    taken = watch.before + time.perf_counter() - began
    return FittedLocal(trained, config, watch.history, taken, ended)


class _Whole(eqx.Module):
    """The network with the weights that it is called with, one entry a layer."""

    net: LocalNet
    rest: tuple

    def __call__(self, weights: tuple) -> LocalNet:
        layers = tuple(
            eqx.combine(w, r) for w, r in zip(weights, self.rest, strict=True)
        )
        return eqx.tree_at(lambda n: n.layers, self.net, layers)


@eqx.filter_jit
def _update(
    whole: _Whole,
    config: ForwardForwardConfig,
    num_steps: int,
    drift: Array,
    state: TrainState,
    batch: tuple[Any, Any],
) -> tuple[TrainState, Info]:
    """One step: the systems first, then the losses of what follows. Networks of the
    same kind share its program: their numbers are arguments."""
    xs, right = jnp.asarray(batch[0]), jnp.asarray(batch[1])
    # a stream beside that of the loss, which is folded from the same key
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 1)
    draw, noise = jax.random.split(key)
    done = state.step.astype(xs.dtype) / max(num_steps - 1, 1)
    net = whole(state.params).drifted(drift.astype(xs.dtype) * done)
    shift = jax.random.randint(draw, right.shape, 1, net.classes, right.dtype)
    given = jnp.concatenate([right, (right + shift) % net.classes])
    keys = jax.random.split(noise, len(given))
    seen = jax.vmap(net.through)(jnp.concatenate([xs, xs]), given, keys)
    measured = local_loss(config.loss)

    def losses(weights: tuple, features: tuple[Array, ...], key: PRNGKeyArray) -> Array:
        """Sum of the layers' own: none depends on the weights of another layer."""
        each = []
        for layer, z in zip(whole(weights).layers, features, strict=True):
            positive, negative = jnp.split(jax.vmap(layer.read)(z), 2)
            pairs = jax.vmap(lambda a, b: measured(a, b, config.theta))
            each.append(jnp.mean(pairs(positive, negative)))
        return sum_of(each)

    more: dict[str, Any] = {}
    if config.update == "forward":
        more["estimator"] = ForwardOnly(config.directions, config.epsilon)
    step = gradient_step(losses, config.transform(num_steps), **more)
    return step(state, seen.features)


class _Epoch(AbstractCallback):
    """Keeps and tells the record of each epoch."""

    def __init__(
        self, per: int, tell: Callable[[Info], None], folder: Path | None
    ) -> None:
        self.per, self.tell = per, tell
        self.history, self.before = ([], 0.0) if folder is None else logged(folder)

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        row["epoch"] = row["step"] // self.per
        for name in ("loss", "grad_norm"):
            row[name] = float(row[name])
        self.history = [r for r in self.history if r["step"] < row["step"]]
        self.history.append(dict(row))
        self.tell(dict(row))
        return state


def _samples(net: LocalNet, xs: Any) -> np.ndarray:
    """A table in the precision that it has, whole numbers in float32."""
    rows = np.asarray(xs)
    kind = rows.dtype if np.issubdtype(rows.dtype, np.floating) else np.float32
    return as_table(rows, "samples", net.in_size).astype(kind)
