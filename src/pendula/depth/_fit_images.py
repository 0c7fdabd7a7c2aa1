"""Train a network on images; its blocks may be refined on the way."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError, DataError
from .._files import replacing
from .._precision import to_device
from .._tree import digest, split_trainable
from ..data import ImageBatches, Images, Scaling, in_order
from ..diagnostics import cross_entropy
from ..train import (
    AbstractCallback,
    Checkpoint,
    MetricsLog,
    Prefetch,
    StopTraining,
    TrainState,
    check_same,
    gradient_step,
    latest,
    load_parts,
    logged,
    resume,
    run,
    save_tree,
)
from ._image_net import ImageNet, apply_batch, right
from ._images_config import ImageFitConfig
from ._mixed import warn_if_mixed
from ._state import warn_if_clamped


Info = dict[str, Any]
_PLATEAU = "plateau at step"  # how the reason of such a stop begins
_FLAT = 0.01  # a loss that falls by less stands still


def classify(net: Any, xs: Float[Array, "sample ..."], state: Any = None) -> Array:
    """Logits of a batch in inference: running statistics are used, and stay."""
    return apply_batch(eqx.nn.inference_mode(net), xs, state)[0]


_classify = eqx.filter_jit(classify)


def predict(
    net: Any, state: Any, images: Images, scaling: Scaling, *, batch: int = 500
) -> np.ndarray:
    """Logits `"image class"` of all images."""
    parts = [
        np.asarray(_classify(net, jnp.asarray(b.x), state))
        for b in in_order(images, scaling, batch)
    ]
    return np.concatenate(parts)[: len(images)]


def accuracy(net: Any, state: Any, images: Images, scaling: Scaling) -> float:
    """Share of the images whose largest logit is that of their class; one whose logits
    are no numbers is wrong."""
    logits = predict(net, state, images, scaling)
    return float(np.mean(right(logits, images.labels)))


@dataclasses.dataclass(frozen=True)
class FittedImages:
    """A trained network, and what is to be known of it.

    `net`, `state`: the network and its running statistics (None without); `scaling`:
    how pixels become its numbers; `classes`; `config`: the training's; `history`: one
    record an epoch (`step`, `epoch`, `loss` of its last batch, `grad_norm`, `units` M,
    with validation images also `accuracy` and `validation`, their loss); `seconds`
    of the training, compilation included, kept with its folder once it has ended;
    `reason` why it ended.
    """

    net: ImageNet
    state: Any
    scaling: Scaling
    classes: tuple[str, ...]
    config: ImageFitConfig
    history: list[Info]
    seconds: float
    reason: str

    def logits(self, images: Images) -> np.ndarray:
        """Logits `"image class"`."""
        return predict(self.net, self.state, images, self.scaling)

    def accuracy(self, images: Images) -> float:
        """Share of images that are given their class.

        **Raises:** `DataError` for classes that are numbered in another order.
        """
        _check_order(self.classes, images)
        return accuracy(self.net, self.state, images, self.scaling)

    def on_pixels(self) -> Callable[[Array], Array]:
        """Logits of one image `"height width channel"` in [0, 1], as
        `diagnostics.robustness` takes them."""
        return _OnPixels(
            eqx.nn.inference_mode(self.net),
            self.state,
            jnp.asarray(self.scaling.mean),
            jnp.asarray(self.scaling.std),
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. **Raises:** `CheckpointError`."""
        about = {
            "scaling": dataclasses.asdict(self.scaling),
            "classes": list(self.classes),
            "config": dataclasses.asdict(self.config),
            "history": self.history,
            "seconds": self.seconds,
            "reason": self.reason,
        }
        save_tree(Path(path), {"net": self.net, "state": self.state}, about)

    @classmethod
    def load(cls, path: str | Path) -> FittedImages:
        """The inverse of `save`. **Raises:** `CheckpointError`."""
        wrong = (
            "holds no network fitted to images. Give a file that FittedImages.save "
            "wrote."
        )
        tree, about = load_parts(path, "net", ImageNet, wrong)
        tree = to_device(tree)
        tuples: Callable[[Info], Info] = lambda d: {
            k: tuple(v) if isinstance(v, list) else v for k, v in d.items()
        }
        return cls(
            tree["net"],
            tree["state"],
            Scaling(**tuples(about["scaling"])),
            tuple(about["classes"]),
            ImageFitConfig(**tuples(about["config"])),
            about["history"],
            about["seconds"],
            about["reason"],
        )


class _OnPixels(eqx.Module):
    """A network that scales its pixels itself."""

    net: ImageNet
    state: Any
    mean: Array
    std: Array

    def __call__(self, x: Array) -> Array:
        wide = (1,) * (x.ndim - 1) + (-1,)
        scaled = (x - self.mean.reshape(wide)) / self.std.reshape(wide)
        return self.net(scaled, self.state)[0]


def fit_images(
    net: ImageNet,
    images: Images,
    config: ImageFitConfig,
    *,
    validation: Images | None = None,
    scaling: Scaling | None = None,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
) -> FittedImages:
    """Train a network with momentum descent on the cross-entropy.

    Every epoch is one pass over the images in a new order. At the epochs
    `config.refine_at`, or where the validation loss stands still, the basis of each
    block is refined and each step cut in two, epsilon staying as it is.

    **Arguments:**
    - `net`: as it starts; `images`: what it is trained on.
    - `validation`: images that are scored after each epoch; nothing but a refinement
      on a plateau depends on them: the last weights are kept.
    - `scaling`: default: mean 0 and standard deviation 1 of `images`.
    - `folder`: of checkpoints, one every `seconds`. The same call goes on where a
      killed one stopped, to the same bits. Without: none.
    - `tell`: called with the record of each epoch.

    **Returns:** a `FittedImages`.
    **Behaviour:** warns (`FitWarning`) where running statistics that the stages of a
    node share make the network worse in use than in training.
    **Raises:** `ConfigError` for settings that do not fit together; `DataError` for
    images of other channels or more classes than the network has, or validation images
    whose classes are numbered otherwise; `CheckpointError` for a folder of a training
    with other settings, images, scaling or first weights.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389.
    """
    began = time.perf_counter()
    _check(net, images, config, validation)
    scaling = Scaling.of(images) if scaling is None else scaling
    batches = ImageBatches(
        images,
        scaling,
        config.batch,
        config.seed,
        padding=config.padding,
        flip=config.flip,
    )
    place = None if folder is None else Path(folder)
    if place is not None:
        told = json.dumps([dataclasses.asdict(config), str(jax.tree.structure(net))])
        check_same(place, {"told": told, "images": len(images), "name": images.name})
        # beside it: folders of older versions have no such record, and begin one
        watched = validation if config.refine_on_plateau else None
        check_same(place / "begin", _begin(net, images, watched, scaling))
    fit = _Fit(config, batches, validation, scaling, place, seconds, tell)
    params, rest = split_trainable(net)
    reason = fit.run((params, net.initial_state()), rest)
    took = _took(place, fit.before + time.perf_counter() - began)
    trained, state = fit.parts
    warn_if_clamped(state)
    found = eqx.combine(trained, fit.rest)
    found = found.as_trained() if _deep(net) else found
    warn_if_mixed(found, state, batches)
    return FittedImages(
        found,
        state,
        scaling,
        images.classes,
        config,
        fit.history,
        took,
        reason,
    )


def _begin(
    net: ImageNet, images: Images, watched: Images | None, scaling: Scaling
) -> dict[str, Any]:
    """What a training depends on besides its settings, by its numbers."""
    told = lambda data: None if data is None else digest((data.pixels, data.labels))
    first = [np.ravel(x)[0] for x in jax.tree.leaves(split_trainable(net)[0])]
    return {
        "images": told(images),
        "validation": told(watched),
        "scaling": dataclasses.asdict(scaling),
        # other machines draw the same weights up to their last digits
        "weights": [f"{float(x):.3f}" for x in first],
    }


def _took(folder: Path | None, seconds: float) -> float:
    """Seconds of a training that has ended: those of the call in which it did."""
    if folder is None:
        return seconds
    path = folder / "seconds.json"
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(seconds), encoding="utf-8")
    return float(json.loads(path.read_text(encoding="utf-8")))


class _Fit:
    """Stages of one training, between them a refinement."""

    def __init__(
        self,
        config: ImageFitConfig,
        batches: ImageBatches,
        validation: Images | None,
        scaling: Scaling,
        folder: Path | None,
        seconds: float,
        tell: Callable[[Info], None],
    ) -> None:
        self.config, self.batches = config, batches
        self.validation, self.scaling = validation, scaling
        self.folder, self.seconds, self.tell = folder, seconds, tell
        self.history: list[Info] = []
        self.parts: Any = None
        self.rest: Any = None
        self.before = 0.0  # seconds of what a killed call had done

    def run(self, parts: Any, rest: Any) -> str:
        """All stages; `parts` are trained weights and statistics, `rest` the rest."""
        config, per = self.config, self.batches.per_epoch
        transform = config.transform(per)
        kept = None if self.folder is None else latest(self.folder)
        stage, opt, step = 0, None, 0
        if kept is not None:
            for stage in range(kept[0]):  # the shapes that its stage had
                parts, rest, _ = self._refined(parts, rest, None, stage)
            stage = kept[0]
        while True:
            opt = transform.init(parts[0]) if opt is None else opt
            # rates go by the updates since the begin of the first stage
            opt = optax.tree_utils.tree_set(opt, count=jnp.asarray(step, jnp.int32))
            state = TrainState.start(parts, opt, jax.random.key(config.seed))
            count = jnp.asarray(step, jnp.int32)
            # nothing is scored: the first weights need not be saved as the best ones
            state = eqx.tree_at(lambda s: (s.step, s.best), state, (count, None))
            ended = None
            if kept is not None and self.folder is not None:
                found = resume(self.folder, stage, state)
                state, ended = (state, None) if found is None else found
                self.history, self.before = logged(self.folder)
                step = int(state.step)
                if self.history and self.history[-1]["step"] > step:
                    # what is behind it is made again, and counts once
                    self._log(self.folder, stage + (ended is not None), step)
                    self.history, self.before = logged(self.folder)
                kept = None
            if ended is None:
                end = self._end(int(state.step), eqx.combine(state.params[0], rest))
                state, ended = self._stage(state, rest, transform, stage, end)
            parts, step = state.params, int(state.step)
            self.parts, self.rest = parts, rest
            if step >= config.epochs * per or not self._goes_on(ended):
                return ended
            parts, rest, opt = self._refined(parts, rest, state.opt, stage)
            stage += 1

    def _end(self, step: int, net: Any) -> int:
        """The step at which the present stage ends: the next refinement's, or that of
        the present step where it is recorded but its refinement has not been made."""
        per, last = self.batches.per_epoch, self.history[-1:]
        due = bool(
            last and last[0]["step"] == step and last[0]["units"] == units_of(net)
        )
        marks = [e * per for e in self.config.refine_at]
        later = [m for m in marks if m > step or (due and m == step)]
        return min([*later, self.config.epochs * per])

    def _log(self, folder: Path, stage: int, step: int) -> MetricsLog:
        """The log of a stage, what is behind this step in it dropped."""
        return MetricsLog(folder, f"stage-{stage:03d}", step)

    def _goes_on(self, reason: str) -> bool:
        return reason == "done" or reason.startswith(_PLATEAU)

    def _stage(
        self, state: TrainState, rest: Any, transform: Any, stage: int, end: int
    ) -> tuple[TrainState, str]:
        """One stage, its checkpoints and its records."""
        per, precision = self.batches.per_epoch, self.config.precision

        def loss(parts: Any, batch: Any, key: PRNGKeyArray) -> tuple:
            weights, running = parts
            net = eqx.combine(weights, rest)
            xs = batch.x.astype(precision)
            logits, after = apply_batch(net, xs, running)
            return jnp.mean(jax.vmap(cross_entropy)(logits, batch.y)), after

        callbacks: list[AbstractCallback] = [_Epoch(self, rest, per)]
        if self.folder is not None:
            callbacks.append(self._log(self.folder, stage, int(state.step)))
        if stage < self.config.refinements and self.config.refine_on_plateau:
            last = self.config.epochs * per
            callbacks.append(_Plateau(self, last))  # once the record is in the log
        if self.folder is not None:
            callbacks.append(Checkpoint(self.folder, stage, self.seconds))
        step = gradient_step(loss, transform, statistics=True)
        with contextlib.ExitStack() as stack:
            batches: Callable[[int], Any] = self.batches
            if jax.default_backend() != "cpu":  # there the cores are busy anyway
                batches = stack.enter_context(Prefetch(batches))
            return run(step, state, batches, callbacks, num_steps=end, log_every=per)

    def _refined(
        self, parts: Any, rest: Any, opt: Any, stage: int
    ) -> tuple[Any, Any, Any]:
        """Weights, statistics, the rest, and momenta on bases twice as fine."""
        old = eqx.combine(parts[0], rest)
        key = jax.random.fold_in(jax.random.key(self.config.seed), stage)
        noise = self.config.noise
        new = old.as_trained().refine(steps=True, noise=noise, key=key)
        weights, new_rest = split_trainable(new)
        statistics = new.carry_state(old, parts[1])
        if opt is None or not self.config.keep_momenta:
            return (weights, statistics), new_rest, None
        trace = optax.tree_utils.tree_get(opt, "trace")
        moved = eqx.combine(trace, rest).refine(steps=True)
        # both halves move as the whole did: each has half of its gradient
        blocks = jax.tree.map(lambda v: 0.5 * v, split_trainable(moved.blocks)[0])
        trace = eqx.tree_at(lambda n: n.blocks, split_trainable(moved)[0], blocks)
        fresh = self.config.transform(self.batches.per_epoch).init(weights)
        fresh = optax.tree_utils.tree_set(fresh, trace=trace)
        return (weights, statistics), new_rest, fresh


class _Epoch(AbstractCallback):
    """Completes the record of an epoch."""

    def __init__(self, fit: _Fit, rest: Any, per: int) -> None:
        self.fit, self.rest, self.per = fit, rest, per

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        fit = self.fit
        weights, running = state.params
        net = eqx.combine(weights, self.rest)
        row["epoch"] = row["step"] // self.per
        row["units"] = units_of(net)
        for name in ("loss", "grad_norm"):
            row[name] = float(row[name])
        if fit.validation is not None:
            logits = predict(net, running, fit.validation, fit.scaling)
            labels = fit.validation.labels
            row["accuracy"] = float(np.mean(right(logits, labels)))
            losses = jax.vmap(cross_entropy)(jnp.asarray(logits), jnp.asarray(labels))
            row["validation"] = float(jnp.mean(losses))
        fit.history = [r for r in fit.history if r["step"] < row["step"]]
        fit.history.append(dict(row))
        fit.tell(dict(row))
        return state


class _Plateau(AbstractCallback):
    """Ends a stage where the validation loss stands still and epochs are left."""

    def __init__(self, fit: _Fit, last: int) -> None:
        self.fit, self.last = fit, last

    def __call__(self, state: TrainState, row: Info) -> TrainState:
        history, patience = self.fit.history, self.fit.config.refine_on_plateau
        here = [r["validation"] for r in history if r["units"] == row["units"]]
        before, late = here[:-patience], here[-patience:]
        flat = before and min(late) > (1.0 - _FLAT) * min(before)
        if flat and row["step"] < self.last:
            raise StopTraining(f"{_PLATEAU} {row['step']}")
        return state


def units_of(net: Any) -> int:
    """M of the first block, or the number of units of a residual network's."""
    block = net.blocks[0]
    return block.basis.n_basis if hasattr(block, "basis") else len(block.units)


def _deep(net: Any) -> bool:
    return all(hasattr(block, "basis") for block in net.blocks)


def _check_order(classes: tuple[str, ...], images: Images) -> None:
    """Refuse images whose classes have the names, but not the numbers, of these; of
    some sets the names are not known, or not all classes are there."""
    for k, name in enumerate(images.classes):
        if name in classes and classes[k : k + 1] != (name,):
            raise DataError(
                f'{images.name or "the set"}: class "{name}" has the number {k}, that '
                f"of the training {classes.index(name)}: right answers would count as "
                "wrong. Number the labels alike."
            )


def _check(
    net: Any, images: Images, config: ImageFitConfig, validation: Images | None
) -> None:
    channels, classes = net.stem.weight.shape[-2], net.head.out_size
    for part in filter(None, (images, validation)):
        if part.shape[2] != channels or len(part.classes) > classes:
            raise DataError(
                f"{part.name or 'the set'} has {part.shape[2]} channels and "
                f"{len(part.classes)} classes; the network was made for {channels} and "
                f"{classes}. Make one that fits (ImageNetConfig)."
            )
    if validation is not None:
        _check_order(images.classes, validation)
    refines = config.refine_at or config.refine_on_plateau
    if refines and not _deep(net):
        raise ConfigError(
            "a residual network cannot be refined: its depth is what it is. Make one "
            'of kind="continuous", or leave refine_at empty.'
        )
    if refines:
        try:
            eqx.filter_eval_shape(lambda n: n.as_trained().refine(steps=True), net)
        except ConfigError as error:
            raise ConfigError(
                f"{error} Or leave refine_at and refine_on_plateau out."
            ) from None
    late = [at for at in config.refine_at if at >= config.epochs]
    if late and config.epochs:
        raise ConfigError(
            f"refine_at has epoch {late[0]}, but the {config.epochs} epochs count from "
            f"0. Give epochs below {config.epochs}, or train longer."
        )
    if config.refine_on_plateau and validation is None:
        raise ConfigError(
            "refine_on_plateau looks at the validation loss: give validation images."
        )
    if config.keep_momenta and any(
        block.basis.name != "piecewise_constant" for block in net.blocks if _deep(net)
    ):
        raise ConfigError(
            "momenta can be split on piecewise constant bases only. Leave keep_momenta."
        )
