"""Train a recurrent model on sequences."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import fields_positive, fields_whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import to_device
from .._tree import digest, split_trainable
from ..data import SequenceBatch, SequenceBatches, Sequences, sequences_in_order
from ..diagnostics import cross_entropy
from ..train import (
    NOT_FINITE,
    AbstractCallback,
    Checkpoint,
    KeepBest,
    MetricsLog,
    StopTraining,
    TrainState,
    check_same,
    finish,
    gradient_step,
    load_parts,
    logged,
    resume,
    run,
    save_tree,
)
from ._cell import AbstractNoisyCell, AbstractSteppedCell
from ._model import RecurrentModel, largest_state
from ._sensitivity import largest_real_parts


Info = dict[str, Any]
LARGEST_STATE = 1e6
"""A state beyond it ends the training: its step is too long."""


@runtime_checkable
class Batches(Protocol):
    """Batches by the number of the step; `SequenceBatches` are such, and so is
    anything that draws fresh ones. All sequences of a batch count the same."""

    per_epoch: int

    def __call__(self, step: int) -> SequenceBatch:
        """The batch of that step."""
        ...


@dataclasses.dataclass(frozen=True)
class SequenceFitConfig:
    """How a recurrent model is trained, by Adam.

    **Raises:** `ConfigError` for a setting that cannot be.

    ```python
    >>> from pendula.sequences import SequenceFitConfig
    >>> round(float(SequenceFitConfig(drops=(2,), lr=0.1).rate(10)(20)), 4)
    0.01

    ```
    """

    epochs: int = 100
    """Passes over the sequences."""
    batch: int = 128
    """Sequences a step; the rest of an epoch is dropped."""
    lr: float = 1e-3
    """Learning rate."""
    drops: tuple[int, ...] = ()
    """Epochs at whose begin the rate falls."""
    drop: float = 0.1
    """The factor by which it falls."""
    clip: float | None = 1.0
    """Largest norm of a gradient; None leaves it as it is."""
    slow: float = 0.1
    """Factor on the rate of what a cell names as slow (`OrthogonalCell.slow`)."""
    seed: int = 0
    """Of the order of the sequences and of the noise."""

    def __post_init__(self) -> None:
        fields_whole(self, "SequenceFitConfig", epochs=0, batch=1, seed=0)
        fields_positive(self, "SequenceFitConfig", "lr", "drop", "slow")
        if self.clip is not None:
            fields_positive(self, "SequenceFitConfig", "clip")
        if (
            list(self.drops) != sorted(set(self.drops))
            or min(self.drops, default=1) < 1
        ):
            raise ConfigError(
                f"drops is {self.drops}; epochs must be above 0 and rise. Sort them."
            )

    def rate(self, per_epoch: int) -> optax.Schedule:
        """The learning rate by the number of updates done."""
        falls = {at * per_epoch: self.drop for at in self.drops}
        return optax.piecewise_constant_schedule(self.lr, falls)

    def transform(
        self, per_epoch: int, params: Any = None
    ) -> optax.GradientTransformation:
        """The optimiser of these parameters."""
        parts: list[optax.GradientTransformation] = []
        if self.clip is not None:
            parts.append(optax.clip_by_global_norm(self.clip))
        parts.append(optax.adam(self.rate(per_epoch)))
        mask = _slow(params)
        if any(jax.tree.leaves(mask)):
            parts.append(optax.masked(optax.scale(self.slow), mask))
        return optax.chain(*parts)


@dataclasses.dataclass(frozen=True)
class FittedSequences:
    """A trained model, and what is to be known of it.

    `model`; `kind` of its targets and `classes` as in `Sequences`; `config`; `history`:
    one record an epoch (`step`, `epoch`, `loss` of its last batch, `grad_norm`, with
    validation sequences also `score`, and what `largest_real_parts` tells of the cell);
    `seconds` of the training, compilation included; `reason` why it ended;
    `permutation` in which the pixels of its images were read, if in one: other images
    are read as `pixel_sequences(images, permutation=fitted.permutation)`.
    """

    model: RecurrentModel
    kind: str
    classes: tuple[str, ...]
    config: SequenceFitConfig
    history: list[Info]
    seconds: float
    reason: str
    permutation: np.ndarray | None = None

    def predict(self, us: ArrayLike, lengths: ArrayLike | None = None) -> np.ndarray:
        """Outputs of sequences `"sample time in"`: `"sample out"`, of a series
        `"sample time out"`. **Raises:** `ShapeError`, `DataError`."""
        us = np.asarray(us)
        shape = us.shape[:2] if self.kind == "series" else us.shape[:1]
        blank = np.zeros((*shape, 1))
        return predict(self.model, Sequences.of(us, blank, lengths=lengths))

    def score(self, data: Sequences) -> float:
        """Accuracy for labels, else the root of the mean square error, of the whole
        set. **Raises:** `ShapeError` for data of another kind or size; `DataError` for
        images whose pixels were read in another order."""
        if data.kind != self.kind:
            raise ShapeError(
                f'the targets are of kind "{data.kind}"; this model was trained on '
                f'"{self.kind}".'
            )
        _check_order(self.permutation, data)
        return score(self.model, data)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. **Raises:** `CheckpointError`."""
        about = {
            "kind": self.kind,
            "classes": list(self.classes),
            "config": dataclasses.asdict(self.config),
            "history": self.history,
            "seconds": self.seconds,
            "reason": self.reason,
        }
        if self.permutation is not None:
            about["permutation"] = np.asarray(self.permutation).tolist()
        save_tree(Path(path), {"model": self.model}, about)

    @classmethod
    def load(cls, path: str | Path) -> FittedSequences:
        """The inverse of `save`. **Raises:** `CheckpointError`."""
        wrong = "does not hold a model of sequences."
        tree, about = load_parts(path, "model", RecurrentModel, wrong)
        config, order = about["config"], about.get("permutation")
        return cls(
            to_device(tree["model"]),
            about["kind"],
            tuple(about["classes"]),
            SequenceFitConfig(**{**config, "drops": tuple(config["drops"])}),
            about["history"],
            about["seconds"],
            about["reason"],
            None if order is None else np.array(order),
        )


@eqx.filter_jit
def _outputs(model: RecurrentModel, us: Any, lengths: Any) -> Array:
    return jax.vmap(model)(us, lengths)


def predict(model: RecurrentModel, data: Sequences, *, batch: int = 500) -> np.ndarray:
    """Outputs of all sequences, `"sample out"` or `"sample time out"`."""
    parts = [
        np.asarray(_outputs(model, b.us, b.lengths))
        for b in sequences_in_order(data, batch)
    ]
    return np.concatenate(parts)[: len(data)]


def score(model: RecurrentModel, data: Sequences) -> float:
    """Accuracy for labels; else the root of the mean square error over all sequences
    (and samples that belong to them). **Raises:** `ShapeError` for a model that does
    not fit the data."""
    _check(model, data)
    return _scored(predict(model, data), data)


def _scored(out: np.ndarray, data: Sequences) -> float:
    if data.kind == "label":
        right = out.argmax(axis=-1) == data.targets
        return float(np.mean(right & ~np.isnan(out).any(axis=-1)))
    targets = data.targets.reshape(out.shape)
    squares = np.square(out.astype(np.float64) - targets).mean(axis=-1)
    if data.kind == "series":
        steps = np.arange(out.shape[1])
        ends = out.shape[1] if data.lengths is None else data.lengths[:, None]
        inside = np.broadcast_to((steps >= data.skip) & (steps < ends), squares.shape)
        squares = squares[inside]
    return float(np.sqrt(squares.mean()))


def fit_sequences(
    model: RecurrentModel,
    data: Sequences | Batches,
    config: SequenceFitConfig = SequenceFitConfig(),
    *,
    validation: Sequences | None = None,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
    until: float | None = None,
) -> FittedSequences:
    """Train a recurrent model: cross-entropy for labels, mean squares for values and
    series.

    **Arguments:**
    - `model`: as it starts; `data`: what it is trained on, or an endless source of
      batches (`Batches`).
    - `validation`: sequences that are scored after each epoch; the weights of the best
      epoch are kept, and without them the last ones. What chose the epoch flatters it:
      score other sequences to judge the model.
    - `folder`: of checkpoints, one every `seconds`; the same call goes on where a
      killed one stopped, to the same bits. Without: none.
    - `tell`: called with the record of each epoch.
    - `until`: of values and series, the error on the validation sequences at which the
      training may end.

    **Returns:** a `FittedSequences`, whose `reason` says why the training ended: a
    state that grew beyond 1e6 names the step that was too long.
    **Raises:** `ShapeError` for a model that does not fit the data; `DataError` for a
    validation whose pixels were read in another order; `ConfigError` for `until`
    without such an error; `CheckpointError` for a folder of another training.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.data import Sequences
    >>> from pendula.sequences import SequenceFitConfig, fit_sequences, recurrent_model
    >>> us = np.random.default_rng(0).normal(size=(64, 8, 1)).astype(np.float32)
    >>> data = Sequences.of(us, us.sum(axis=1))  # the sum of all inputs
    >>> model = recurrent_model("lem", 1, 8, 1, dt=0.5, key=jax.random.key(0))
    >>> quick = SequenceFitConfig(epochs=150, batch=32, lr=0.02)
    >>> fitted = fit_sequences(model, data, quick)
    >>> fitted.score(data) < 0.5 * float(np.std(data.targets))
    True

    ```
    """
    began = time.perf_counter()
    first = data if isinstance(data, Sequences) else validation
    batches = (
        SequenceBatches(data, min(config.batch, len(data)), config.seed)
        if isinstance(data, Sequences)
        else data
    )
    sample = batches(0)
    kind = sample.kind
    for one in (sample, data, validation):
        if isinstance(one, SequenceBatch | Sequences):
            _check(model, one)
    if validation is not None and validation.kind != kind:
        raise ShapeError(
            f'the validation targets are of kind "{validation.kind}", those of the '
            f'training of kind "{kind}".'
        )
    order = None if first is None else first.permutation
    if validation is not None:
        _check_order(order, validation)
    if until is not None and (validation is None or kind == "label"):
        raise ConfigError(
            "until is an error of values or series on the validation sequences. Give "
            "such, or leave it out."
        )
    place = None if folder is None else Path(folder)
    if place is not None:
        told = json.dumps(dataclasses.asdict(config))
        seen = (data if isinstance(data, Sequences) else sample, validation)
        about = {"model": digest(model), "data": digest(jax.tree.map(_arrays, seen))}
        check_same(place, {"told": told, **about})
    weights, rest = split_trainable(model)
    per = batches.per_epoch
    transform = config.transform(per, weights)
    key = jax.random.key(config.seed)
    state = TrainState.start(weights, transform.init(weights), key)
    ended = None
    if place is not None:
        found = resume(place, 0, state)
        state, ended = (state, None) if found is None else found
    watch = _Watch(rest, kind, per, validation, tell, until, place)
    if ended is None:
        callbacks: list[AbstractCallback] = watch.callbacks(state, seconds)
        skip = data.skip if isinstance(data, Sequences) else 0
        step = gradient_step(_loss(rest, kind, skip), transform)
        state, ended = run(
            step,
            state,
            batches,
            callbacks,
            num_steps=config.epochs * per,
            log_every=per,
        )
    if ended.startswith(NOT_FINITE):
        ended += _grown(eqx.combine(state.params, rest), batches(int(state.step)))
    return FittedSequences(
        eqx.combine(finish(state), rest),
        kind,
        () if first is None else first.classes,
        config,
        watch.history,
        watch.before + time.perf_counter() - began,
        ended,
        order,
    )


def _arrays(data: Any) -> Any:
    """What sequences hold, as a pytree; inputs tell the order of their pixels."""
    if not isinstance(data, Sequences):
        return data
    return {name: held for name, held in vars(data).items() if name != "permutation"}


def _loss(
    rest: Any, kind: str, skip: int
) -> Callable[[Any, SequenceBatch, PRNGKeyArray], Array]:
    """Mean loss of a batch; not finite where a state has grown too large, so that the
    step is not applied."""

    def loss(weights: Any, batch: SequenceBatch, key: PRNGKeyArray) -> Array:
        model = eqx.combine(weights, rest)
        keys = jax.random.split(key, len(batch.us))
        outs, state = jax.vmap(model.traced)(batch.us, batch.lengths, keys)
        value = _mean_loss(outs, batch, kind, skip)
        large = jax.lax.stop_gradient(largest_state(state)) > LARGEST_STATE
        return jnp.where(large, jnp.nan, value)

    return loss


def _mean_loss(
    outs: Array, batch: SequenceBatch, kind: str, skip: int
) -> Float[Array, ""]:
    targets = jnp.asarray(batch.targets)
    if kind == "label":
        return jnp.mean(jax.vmap(cross_entropy)(outs, targets))
    squares = jnp.mean((outs - targets.reshape(outs.shape)) ** 2, axis=-1)
    if kind == "value":
        return jnp.mean(squares)
    squares = squares[:, skip:]
    if batch.lengths is None:
        return jnp.mean(squares)
    steps = skip + jnp.arange(squares.shape[1])
    inside = steps[None, :] < jnp.asarray(batch.lengths)[:, None]
    inside = inside.astype(squares.dtype)
    return jnp.sum(squares * inside) / jnp.sum(inside)


class _Watch(AbstractCallback):
    """Completes the record of an epoch, and keeps the history."""

    def __init__(
        self,
        rest: Any,
        kind: str,
        per: int,
        validation: Sequences | None,
        tell: Callable[[Info], None],
        until: float | None,
        folder: Path | None,
    ) -> None:
        self.rest, self.kind, self.per = rest, kind, per
        self.validation, self.tell, self.until = validation, tell, until
        self.folder = folder
        self.scored = float("nan")
        self.history, self.before = ([], 0.0) if folder is None else logged(folder)

    def callbacks(self, state: TrainState, seconds: float) -> list[AbstractCallback]:
        """In their order: score, record, log, checkpoint."""
        found: list[AbstractCallback] = []
        if self.validation is not None:
            found.append(KeepBest(self.rank))
        found.append(self)
        if self.folder is not None:
            found.append(MetricsLog(self.folder, "fit", int(state.step)))
            found.append(Checkpoint(self.folder, 0, seconds))
        return found

    def rank(self, weights: Any) -> Array:
        """Lower is better: the error; of labels the number of wrong ones and, among
        equals, the loss."""
        assert self.validation is not None
        data = self.validation
        out = predict(eqx.combine(weights, self.rest), data)
        self.scored = _scored(out, data)
        if self.kind != "label":
            return jnp.asarray(self.scored, out.dtype)
        losses = jax.vmap(cross_entropy)(jnp.asarray(out), jnp.asarray(data.targets))
        mean = jnp.mean(losses)
        wrong = round((1.0 - self.scored) * len(data))
        return jnp.asarray(wrong, out.dtype) + mean / (1.0 + mean)

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        row["epoch"] = row["step"] // self.per
        for name in ("loss", "grad_norm"):
            row[name] = float(row[name])
        if self.validation is not None:
            row.pop("validation", None)
            row["score"] = self.scored
        row |= largest_real_parts(eqx.combine(state.params, self.rest).cell)
        self.history = [r for r in self.history if r["step"] < row["step"]]
        self.history.append(dict(row))
        self.tell(dict(row))
        if (
            self.until is not None
            and self.kind != "label"
            and self.scored <= self.until
        ):
            raise StopTraining(f"error {self.scored:.3g} reached at step {row['step']}")
        return state


def _grown(model: RecurrentModel, batch: SequenceBatch) -> str:
    """Whether it was a state that grew, and what to do."""
    traced = jax.jit(
        lambda us, ends: largest_state(jax.vmap(model.traced)(us, ends)[1])
    )
    large = float(traced(batch.us, batch.lengths))
    if large <= LARGEST_STATE:
        return ""
    grown = f" A state grew to {large:.3g}, beyond {LARGEST_STATE:g}"
    if not isinstance(model.cell, AbstractSteppedCell | AbstractNoisyCell):
        return f"{grown}. Scale the inputs, or lower the learning rate."
    return (
        f"{grown}: the step dt = {float(model.cell.dt):g} is too long for this cell. "
        "Shorten dt."
    )


def _check(model: RecurrentModel, batch: SequenceBatch | Sequences) -> None:
    kind = batch.kind
    mode = "all" if kind == "series" else "last"
    if model.mode != mode:
        raise ShapeError(
            f'the targets are of kind "{kind}", which needs a model of mode "{mode}"; '
            f'this one has "{model.mode}".'
        )
    if batch.us.shape[2] != model.cell.in_size:
        raise ShapeError(
            f"sequences of {batch.us.shape[2]} inputs for a model of "
            f"{model.cell.in_size}."
        )
    out = model.head.out_size
    if kind == "label":
        need = int(batch.targets.max()) + 1
        if isinstance(batch, Sequences):
            need = max(need, len(batch.classes))
        if need > out:
            raise ShapeError(f"{need} classes for a model of {out} outputs.")
        return
    numbers = batch.targets.shape[-1] if batch.targets.ndim > 1 else 1
    if numbers != out:
        raise ShapeError(f"targets of {numbers} numbers for a model of {out}.")


def _check_order(order: np.ndarray | None, data: Sequences) -> None:
    """**Raises:** `DataError` for pixels in another order than the model knows."""
    held = data.permutation
    if order is None or held is None:
        same = both = order is held
    else:
        same, both = np.array_equal(order, held), True
    if same:
        return
    how = lambda one: "as they stand" if one is None else "in a permutation"
    raise DataError(
        f"the pixels are read {how(held)}, and the training read them {how(order)}"
        f"{', another one' if both else ''}. Make them by pixel_sequences with the "
        "permutation of the training (FittedSequences.permutation)."
    )


def _slow(params: Any) -> Any:
    """True at the arrays that a module names in `slow`."""

    def mark(node: Any) -> Any:
        names = getattr(type(node), "slow", ())
        flags = jax.tree.map(lambda _: False, node)
        if not names:
            return flags
        at = lambda n: [getattr(n, name) for name in names]
        return eqx.tree_at(at, flags, [True] * len(names))

    has = lambda n: isinstance(n, eqx.Module) and bool(getattr(type(n), "slow", ()))
    return jax.tree.map(mark, params, is_leaf=has)
