"""Train a shallow decoder."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import fields_positive, fields_whole, not_negative, whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import to_device
from .._tree import digest, split_trainable
from ..train import (
    Step,
    TrainState,
    check_same,
    finish,
    gradient_step,
    load_parts,
    save_tree,
)
from ._codec import POD_FROM, FieldCodec
from ._gappy_pod import ReconstructionErrors, reconstruction_errors
from ._sensors import checked_sensors
from ._series import Rows, check_finite, rows_of
from ._shallow_decoder import ShallowDecoder, check_settings
from ._updates import run_updates, updates_a_call


Info = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class DecoderFitConfig:
    """How a shallow decoder is made and trained: Adam on all snapshots at once, its
    rate and weight decay falling together.

    **Raises:** `ConfigError` for a setting that cannot be.
    """

    widths: tuple[int, ...] = (40, 45)
    """Of the hidden layers."""
    norm: str = "batch"
    """`"batch"` or `"layer"`, see `ShallowDecoder`."""
    dropout: float = 0.0
    """Share of the first hidden layer that a step leaves out; 0.1 is the variant."""
    epochs: int = 4000
    """Steps of the optimiser, each on all snapshots."""
    lr: float = 1e-2
    """Learning rate; it is `rate_fall` of that from the first epoch on."""
    weight_decay: float = 1e-4
    """Added to the gradient, times the weights; it is `decay_fall` of that at first."""
    every: int = 100
    """Epochs between two falls."""
    rate_fall: float = 0.9
    """The factor by which the rate falls."""
    decay_fall: float = 0.8
    """The factor by which the weight decay falls."""
    reduced: bool | None = None
    """Whether the network gives POD coordinates of the training snapshots, each in
    units of its spread; None: from 2000 numbers a snapshot on. The coordinates are
    orthonormal, and loss and weight decay count each of them as the cells do: what is
    minimised is the same, for a field in units of its root mean square, up to what POD
    leaves out (nothing of the training set). Adam, which scales every weight by itself,
    takes another path to it. Readings are in units of their spread. False: as
    published, on cells and without any scaling."""
    rank: int | None = None
    """POD coordinates at the most; None: all that are not rounding."""
    seed: int = 0
    """Of the weights and of the dropout."""

    def __post_init__(self) -> None:
        fields_whole(self, "", epochs=0, every=1)
        fields_positive(self, "", "lr", "rate_fall", "decay_fall")
        not_negative(weight_decay=self.weight_decay)
        widths = tuple(whole(1, widths=width) for width in self.widths)
        check_settings((1, *widths, 1), self.norm, self.dropout)
        object.__setattr__(self, "widths", widths)  # a list cannot be hashed

    def transform(self) -> optax.GradientTransformation:
        """The optimiser: decay added to the gradient, then Adam. The decay of every
        weight has a factor, which is in the state, at first 1."""

        def falling(first: float, fall: float) -> optax.Schedule:
            return optax.exponential_decay(
                first * fall, self.every, fall, staircase=True
            )

        rate = falling(self.weight_decay, self.decay_fall)

        def start(params: Any) -> _Decay:
            return _Decay(
                jnp.zeros((), jnp.int32), jax.tree.map(lambda x: jnp.ones(()), params)
            )

        def add(updates: Any, state: _Decay, params: Any = None) -> tuple[Any, _Decay]:
            one = lambda g, w, f: g + rate(state.done) * f * w
            out = jax.tree.map(one, updates, params, state.factors)
            return out, _Decay(state.done + 1, state.factors)

        decay = optax.GradientTransformation(start, add)  # type: ignore[arg-type]  # a named tuple is a state
        return optax.chain(decay, optax.adam(falling(self.lr, self.rate_fall)))


class _Decay(NamedTuple):
    """Updates done, and what the decay of every weight is multiplied by."""

    done: Array
    factors: Any


@dataclasses.dataclass(frozen=True)
class FittedDecoder:
    """A trained decoder with what makes readings and fields of its numbers.

    `model`, `codec`, `sensors` `"p"`; `unit`: what readings are divided by; `spread`
    `"r"`: what outputs are multiplied by to be the codec's coordinates; `config`;
    `history`: records of `step`, `loss`, `grad_norm`; `seconds` of the training,
    compilation included; `reason` why it ended.
    """

    model: ShallowDecoder
    codec: FieldCodec
    sensors: np.ndarray
    unit: float
    spread: np.ndarray
    config: DecoderFitConfig
    history: list[Info]
    seconds: float
    reason: str

    def predict(self, readings: ArrayLike) -> Float[np.ndarray, "*batch m"]:
        """Fields of readings `"*batch p"`, each by itself. **Raises:** `ShapeError`."""
        seen = np.asarray(readings)
        if seen.shape[-1:] != self.sensors.shape:
            raise ShapeError(
                f"readings of shape {seen.shape} for {len(self.sensors)} sensors."
            )
        check_finite(seen)
        inputs = _inputs(seen, self.codec, self.sensors, self.unit)
        flat = jnp.asarray(inputs.reshape(-1, len(self.sensors)))
        out = np.asarray(_decoded(self.model, flat)) * self.spread
        return self.codec.decode(out.reshape(*seen.shape[:-1], len(self.spread)))

    def score(self, rows: Rows) -> ReconstructionErrors:
        """Errors of rows `"time m"` from what the sensors see of them."""
        true = rows_of(rows)
        found = self.predict(true[:, self.sensors])
        return reconstruction_errors(found, true, self.codec.mean)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. **Raises:** `CheckpointError`."""
        arrays, told = self.codec.to_tree()
        about = {
            "codec": told,
            "unit": self.unit,
            "config": dataclasses.asdict(self.config),
            "history": self.history,
            "seconds": self.seconds,
            "reason": self.reason,
        }
        tree = {
            "model": self.model,
            "codec": arrays,
            "sensors": self.sensors,
            "spread": self.spread,
        }
        save_tree(Path(path), tree, about)

    @classmethod
    def load(cls, path: str | Path) -> FittedDecoder:
        """The inverse of `save`. **Raises:** `CheckpointError`."""
        wrong = "does not hold a shallow decoder."
        tree, about = load_parts(path, "model", ShallowDecoder, wrong)
        told = about["config"]
        return cls(
            to_device(tree["model"]),
            FieldCodec.from_tree(tree["codec"], about["codec"]),
            np.asarray(tree["sensors"]),
            about["unit"],
            np.asarray(tree["spread"]),
            DecoderFitConfig(**{**told, "widths": tuple(told["widths"])}),
            about["history"],
            about["seconds"],
            about["reason"],
        )


@eqx.filter_jit
def _decoded(model: ShallowDecoder, inputs: Array) -> Array:
    return jax.vmap(model)(inputs)


def _inputs(
    seen: np.ndarray, codec: FieldCodec, sensors: np.ndarray, unit: float
) -> np.ndarray:
    """Readings as the network takes them."""
    return ((seen - codec.mean[sensors]) / unit).astype(np.float32)


def fit_decoder(
    data: Rows,
    sensors: ArrayLike,
    config: DecoderFitConfig = DecoderFitConfig(),
    *,
    codec: FieldCodec | None = None,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
) -> FittedDecoder:
    """Train a decoder from sensors to fields.

    **Arguments:**
    - `data`: **training** `Snapshots` or rows `"time m"`.
    - `sensors`: places in a row, `"p"` (`wall_sensors`, `leverage_sensors`).
    - `codec`: of the same snapshots, where there is one already; `reduced` and `rank`
      of the settings must be its own, or None.
    - `folder`: of checkpoints, one every `seconds`; the same call goes on where a
      killed one stopped, to the same bits.
    - `tell`: called with a record every hundred epochs or so.

    **Returns:** a `FittedDecoder`.
    **Raises:** `DataError` for snapshots that cannot be used; `ConfigError` for sensors
    that are not in the field.

    ```python
    >>> import numpy as np
    >>> from pendula.latent import DecoderFitConfig, fit_decoder
    >>> t, x = np.arange(60.0)[:, None], np.linspace(0, 6, 40)
    >>> wave = np.sin(x - 0.3 * t) + 0.3 * np.sin(2 * x - 0.6 * t)
    >>> fitted = fit_decoder(wave[:40], [3, 11], DecoderFitConfig(epochs=1000))
    >>> fitted.score(wave[40:]).deviation < 0.1
    True

    ```
    """
    began = time.perf_counter()
    rows = rows_of(data)
    if codec is None:
        codec = _codec(data, rows.shape[-1], config)
    else:
        _check_codec(codec, rows, config)
    at = checked_sensors(sensors, len(codec.mean))
    targets = codec.encode(rows).astype(np.float32)
    readings = rows[:, at]
    unit, spread = 1.0, np.ones(codec.size, np.float32)
    if codec.basis is not None:
        unit = float(np.std(readings - codec.mean[at])) or 1.0
        spread = np.sqrt(np.mean(targets**2, axis=0))
    inputs = _inputs(readings, codec, at, unit)
    targets = targets / spread
    share = jnp.asarray(spread**2 / np.sum(spread**2))
    key, noise = jax.random.split(jax.random.key(config.seed))
    model = _model(config, (len(at), codec.size), key)
    place = None if folder is None else Path(folder)
    if place is not None:
        told = json.dumps(dataclasses.asdict(config))
        check_same(place, {"told": told, "data": digest((inputs, targets))})
    weights, rest = split_trainable(model)
    rest, running = _apart(rest)
    inner = updates_a_call(config.epochs)
    step, transform = _program(config, model.sizes, inner)
    opt = transform.init(weights)
    factors = _factors(weights, len(codec.mean) * share)
    opt = eqx.tree_at(lambda o: o[0].factors, opt, factors)
    state = TrainState.start((weights, (running, share)), opt, noise)
    done = run_updates(
        lambda: step,
        state,
        (jnp.asarray(inputs), jnp.asarray(targets)),
        config.epochs,
        folder=place,
        seconds=seconds,
        tell=tell,
    )
    weights, (running, _) = finish(done.state)
    return FittedDecoder(
        eqx.combine(weights, _joined(rest, running)),
        codec,
        at,
        unit,
        spread,
        config,
        done.history,
        done.before + time.perf_counter() - began,
        done.reason,
    )


def _codec(data: Rows, size: int, config: DecoderFitConfig) -> FieldCodec:
    """In POD coordinates scaled, on cells as they are."""
    reduced = config.reduced
    if reduced is None:
        reduced = size > POD_FROM or config.rank is not None
    if reduced:
        return FieldCodec.fit(data, reduced=True, rank=config.rank)
    if config.rank is not None:
        raise ConfigError("rank needs POD coordinates. Set reduced to True.")
    return FieldCodec.fit(data, reduced=False, scaling="none")


def _check_codec(codec: FieldCodec, rows: np.ndarray, config: DecoderFitConfig) -> None:
    """That it fits the snapshots, and is what the settings ask for."""
    if rows.ndim != 2:
        raise DataError(f"snapshots of shape {rows.shape}; expected (time, m).")
    is_reduced = codec.basis is not None
    if config.reduced is not None and config.reduced != is_reduced:
        raise ConfigError(
            f"reduced is {config.reduced}, and the codec has "
            f"{'a' if is_reduced else 'no'} POD basis. Leave one of them out."
        )
    if config.rank is not None and (not is_reduced or codec.size > config.rank):
        raise ConfigError(
            f"rank is {config.rank}, and the codec gives {codec.size} coordinates. "
            "Leave one of them out."
        )


def _apart(rest: ShallowDecoder) -> tuple[ShallowDecoder, Any]:
    """(the model without running statistics, those)."""
    if rest.states is None:
        return rest, None
    return eqx.tree_at(lambda m: m.states, rest, None), rest.states


def _joined(rest: ShallowDecoder, running: Any) -> ShallowDecoder:
    if running is None:
        return rest
    none = lambda x: x is None
    return eqx.tree_at(lambda m: m.states, rest, running, is_leaf=none)


def _factors(weights: ShallowDecoder, last: Array) -> Any:
    """What the decay of every weight is multiplied by: 1, in the last layer that of
    its output, so that the penalty is that of a layer which gives cells."""
    ones = jax.tree.map(lambda x: jnp.ones(()), weights)
    at = lambda m: (m.weights[-1], m.biases[-1])
    return eqx.tree_at(at, ones, (last[:, None], last))


def _program(
    config: DecoderFitConfig, sizes: tuple[int, ...], inner: int
) -> tuple[Step, optax.GradientTransformation]:
    """The compiled step and its optimiser: one for all trainings of the same kind."""
    return _compiled(dataclasses.replace(config, seed=0, epochs=0), sizes, inner)


@functools.lru_cache(maxsize=16)
def _compiled(
    config: DecoderFitConfig, sizes: tuple[int, ...], inner: int
) -> tuple[Step, optax.GradientTransformation]:
    shape = eqx.filter_eval_shape(_model, config, sizes, jax.random.key(0))
    # the only array that is not trained, nor a running statistic, is the dropout's
    fill = lambda x: x if isinstance(x, bool) else jnp.full(x.shape, config.dropout)
    blank = jax.tree.map(fill, shape)
    rest, _ = _apart(split_trainable(blank)[1])
    transform = config.transform()
    return gradient_step(
        _loss(rest), transform, inner=inner, statistics=True
    ), transform


def _model(
    config: DecoderFitConfig, sizes: tuple[int, ...], key: PRNGKeyArray
) -> ShallowDecoder:
    """As it starts."""
    return ShallowDecoder(
        sizes[0],
        sizes[-1],
        widths=config.widths,
        norm=config.norm,
        dropout=config.dropout,
        key=key,
    )


def _loss(rest: ShallowDecoder) -> Callable[..., tuple[Array, Any]]:
    """Mean over snapshots of the squared gaps, each coordinate by its share."""

    def loss(
        params: tuple[Any, Any], batch: tuple[Array, Array], key: PRNGKeyArray
    ) -> tuple[Array, Any]:
        weights, (running, share) = params
        model = eqx.combine(weights, _joined(rest, running))
        model = eqx.nn.inference_mode(model, value=False)
        inputs, targets = batch
        keys = None
        if model.dropout is not None:
            keys = jax.random.split(key, len(inputs))
        over = jax.vmap(
            model.traced,
            in_axes=(0, None if keys is None else 0),
            out_axes=(0, None),
            axis_name="batch",
        )
        found, after = over(inputs, keys)
        return jnp.mean((found - targets) ** 2 @ share), (after, share)

    return loss
