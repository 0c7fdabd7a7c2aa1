"""Train an autoencoder that moves in its latent space."""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from .._checks import fields_positive, fields_whole, not_negative, positive, whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import to_device
from .._tree import digest, split_trainable
from ..data import Snapshots
from ..train import (
    TrainState,
    check_same,
    finish,
    gradient_step,
    init_opt,
    load_parts,
    save_tree,
)
from ._codec import FieldCodec
from ._linear_maps import eigenvalues
from ._models import (
    AbstractLatentModel,
    LatentLinear,
    koopman_modes,
    predict_latent,
)
from ._series import Rows, Series, rows_of, sets_of, time_step
from ._stein import lyapunov_prior
from ._updates import run_updates, updates_a_call


Info = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class LatentFitConfig:
    r"""The loss of a window y_t .. y_{t+K}, and how it is trained.

    $$ L = \frac1K \sum_{k=1}^K |y_{t+k} - \Phi(\Omega^k \Psi(y_t))|^2
       + \lambda |y_t - \Phi(\Psi(y_t))|^2
       + \frac{\mu}{K} \sum_k |\Psi(y_{t+k}) - \Omega^k \Psi(y_t)|^2
       + \kappa \sum_i \rho(p_i) $$

    with means over batch and entries, and for models with a map D back
    $\frac{\nu}{K} \sum_k |\Phi(D^k \Psi(y_{t+K})) - y_{t+K-k}|^2 + \eta L_{con}$.
    Several steps and mu > 0 keep the latent states where the decoder was trained;
    with one or two steps and without mu the latent predictor is of no use beyond.
    **Raises:** `ConfigError` for a setting that cannot be.

    ```python
    >>> from pendula.latent import LatentFitConfig
    >>> LatentFitConfig.published("koopman").total
    True

    ```
    """

    steps: int = 8
    """K, snapshots that are predicted from one."""
    updates: int = 6000
    """Steps of the optimiser."""
    batch: int = 34
    """Windows a step."""
    lr: float = 1e-2
    """Learning rate of AdamW."""
    drops: tuple[int, ...] | None = None
    """Updates at which the rate falls by `drop`; None: it falls to a hundredth along a
    cosine."""
    drop: float = 0.2
    """The factor of a fall."""
    weight_decay: float = 0.0
    """Of AdamW."""
    clip: float | None = 1.0
    """Largest norm of a gradient; None leaves it as it is."""
    identity: float = 1.0
    """lambda."""
    latent: float = 0.1
    """mu, per latent entry."""
    lyapunov: float = 0.0
    """kappa."""
    gamma: float = 4.0
    """Of the prior rho."""
    backward: float = 0.1
    """nu, of models with a map back."""
    consistency: float = 0.01
    """eta, of models with a map back."""
    total: bool = False
    """Sums over the steps instead of means."""
    seed: int = 0
    """Of the order of the windows."""

    def __post_init__(self) -> None:
        fields_whole(self, "", steps=1, updates=0, batch=1)
        fields_positive(self, "", "lr", "drop", "gamma")
        if self.clip is not None:
            positive(clip=self.clip)
        weights = ("identity", "latent", "lyapunov", "backward", "consistency")
        for name in ("weight_decay", *weights):
            not_negative(**{name: getattr(self, name)})
        drops = tuple(whole(1, drops=at) for at in self.drops or ())
        if drops != tuple(sorted(set(drops))):
            raise ConfigError(
                f"drops is {self.drops}; updates must be above 0 and rise. Sort them."
            )

    @classmethod
    def published(cls, name: str, **changes: Any) -> LatentFitConfig:
        """Settings of the literature: `"physics_informed"` (Erichson et al. 2019: one
        step, lambda = kappa = 3, gamma = 4, Adam at 1e-2), `"agnostic"` (the same
        without identity and prior), `"koopman"` (Azencot et al. 2020: 8 steps, sums;
        the identity's weight is 0.01 times the steps, those of `changes` too).

        **Raises:** `ConfigError` for another name.
        """
        one = {
            "steps": 1,
            "lr": 1e-2,
            "drops": (),
            "clip": None,
            "latent": 0.0,
            "weight_decay": 0.0,
        }
        sets: dict[str, dict[str, Any]] = {
            "physics_informed": {**one, "identity": 3.0, "lyapunov": 3.0},
            "agnostic": {**one, "identity": 0.0},
            "koopman": {
                "steps": 8,
                "lr": 1e-2,
                "drops": (),
                "clip": 0.5,
                "identity": 0.01 * whole(1, steps=changes.get("steps", 8)),
                "latent": 0.0,
                "total": True,
            },
        }
        if name not in sets:
            raise ConfigError(
                f'no published settings "{name}"; known are {", ".join(sets)}.'
            )
        return cls(**{**sets[name], **changes})

    def transform(self) -> optax.GradientTransformation:
        """The optimiser."""
        if self.drops is None:
            rate = optax.cosine_decay_schedule(self.lr, max(self.updates, 1), 0.01)
        else:
            falls = {at: self.drop for at in self.drops}
            rate = optax.piecewise_constant_schedule(self.lr, falls)
        adam = optax.adamw(rate, weight_decay=self.weight_decay)
        if self.clip is None:
            return adam
        return optax.chain(optax.clip_by_global_norm(self.clip), adam)


def window_loss(
    model: AbstractLatentModel,
    ys: Float[Array, "window m"],
    config: LatentFitConfig,
) -> Float[Array, ""]:
    """The loss of one window of K + 1 snapshots, without what only the map decides (the
    prior, the consistency)."""
    k = config.steps
    z = model.encoder(ys[0])
    moved = model.advance(z, k)
    weigh = float(k) if config.total else 1.0
    loss = weigh * jnp.mean((jax.vmap(model.decoder)(moved) - ys[1:]) ** 2)
    if config.identity:
        loss = loss + config.identity * jnp.mean((model.decoder(z) - ys[0]) ** 2)
    if config.latent:
        seen = jax.vmap(model.encoder)(ys[1:])
        loss = loss + config.latent * weigh * jnp.mean((seen - moved) ** 2)
    if isinstance(model, LatentLinear) and model.backward is not None:
        back = model.backward.powers(model.encoder(ys[-1]), k)
        gap = jax.vmap(model.decoder)(back) - ys[:-1][::-1]
        loss = loss + config.backward * weigh * jnp.mean(gap**2)
    return loss


def consistency(
    forward: Float[Array, "n n"], backward: Float[Array, "n n"]
) -> Float[Array, ""]:
    r"""How far two maps are from inverses of each other, in all leading blocks.

    $$ \sum_{k=1}^n \frac{1}{2k} (|D_{:k,:} C_{:,:k} - I_k|_F^2
       + |C_{:k,:} D_{:,:k} - I_k|_F^2) $$

    **Source:** Azencot, Erichson, Lin, Mahoney 2020, equation 9.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.latent import consistency
    >>> float(consistency(2.0 * jnp.eye(3), 0.5 * jnp.eye(3)))
    0.0

    ```
    """
    n = len(forward)
    eye = jnp.eye(n, dtype=forward.dtype)
    # entry (i, j) belongs to the blocks k > max(i, j), each with the weight 1 / (2k)
    counts = jnp.arange(1, n + 1, dtype=forward.dtype)
    tail = jnp.cumsum((0.5 / counts)[::-1])[::-1]
    at = jnp.maximum(jnp.arange(n)[:, None], jnp.arange(n)[None, :])
    gaps = (backward @ forward - eye) ** 2 + (forward @ backward - eye) ** 2
    return jnp.sum(tail[at] * gaps)


def _loss(rest: Any, config: LatentFitConfig) -> Callable[..., Array]:
    """Mean loss of windows drawn from the batch, a pair (rows, starts)."""

    def loss(weights: Any, batch: tuple[Array, Array], key: PRNGKeyArray) -> Array:
        model = eqx.combine(weights, rest)
        rows, starts = batch
        count = min(config.batch, len(starts))
        chosen = jax.random.permutation(key, starts)[:count]
        windows = rows[chosen[:, None] + jnp.arange(config.steps + 1)[None, :]]
        value = jnp.mean(jax.vmap(lambda ys: window_loss(model, ys, config))(windows))
        if isinstance(model, LatentLinear):
            if config.lyapunov:
                prior = lyapunov_prior(model.dynamics.matrix(), config.gamma)
                value = value + config.lyapunov * prior
            if model.backward is not None and config.consistency:
                maps = (model.dynamics.matrix(), model.backward.matrix())
                value = value + config.consistency * consistency(*maps)
        return value

    return loss


@dataclasses.dataclass(frozen=True)
class FittedLatent:
    """A trained model with its codec.

    `model`, `codec`, `config`; `dt`: time between two snapshots; `history`: records of
    `step`, `loss`, `grad_norm`; `seconds` of the training, compilation included;
    `reason` why it ended.
    """

    model: AbstractLatentModel
    codec: FieldCodec
    config: LatentFitConfig
    dt: float
    history: list[Info]
    seconds: float
    reason: str

    def predict(self, y0: Rows, steps: int, mode: str = "latent") -> np.ndarray:
        """Fields after 1, 2, ... `steps` steps, as rows: `"step m"` from one snapshot
        `"m"` (or one of `Snapshots`), `"start step m"` from several.

        **Raises:** `ShapeError` for another field; `DataError` for values that are not
        finite; `ConfigError` for another mode or fewer than one step.
        """
        return self.codec.decode(self.coordinates(y0, steps, mode))

    def coordinates(self, y0: Rows, steps: int, mode: str = "latent") -> np.ndarray:
        """The same in the codec's coordinates, which are fewer."""
        rows = rows_of(y0)
        single = rows.ndim == 1 or (isinstance(y0, Snapshots) and len(rows) == 1)
        if rows.ndim > 2:
            raise ShapeError(f"starts of shape {rows.shape}; expected (start, m).")
        steps = whole(1, steps=steps)  # a number of NumPy would be traced
        begin = jnp.asarray(self.codec.encode(np.atleast_2d(rows)))
        out = np.asarray(_predicted(self.model, begin, steps, mode))
        return out[0] if single else out

    def spectrum(self) -> Complex[np.ndarray, " n"]:
        """The eigenvalues of one step, the largest modulus first.

        **Raises:** `ConfigError` for a model that does not move by a linear map.
        """
        return eigenvalues(self._linear().dynamics)

    def modes(
        self,
    ) -> tuple[Complex[np.ndarray, " n"], Complex[np.ndarray, "n m"]]:
        """Eigenvalues of one step, the largest modulus first, and the directions of the
        field that turn with them (see `koopman_modes`). **Raises:** as `spectrum`."""
        values, modes = koopman_modes(self._linear())
        basis, scale = self.codec.basis, self.codec.scale
        return values, scale * (modes if basis is None else modes @ basis.T)

    def _linear(self) -> LatentLinear:
        if not isinstance(self.model, LatentLinear):
            raise ConfigError(
                f"{type(self.model).__name__} moves by no linear map, and has no "
                "spectrum. Take latent_linear."
            )
        return self.model

    def frequencies(self) -> Float[np.ndarray, " n"]:
        """f = phi / (2 pi dt) of every eigenvalue [1 / time]; they are known up to
        multiples of 1 / dt, and the smallest is given. **Raises:** as `spectrum`."""
        return np.angle(self.spectrum()) / (2 * np.pi * self.dt)

    def damping(self) -> Float[np.ndarray, " n"]:
        """ln|lambda| / dt of every eigenvalue [1 / time], below 0 where it decays.
        **Raises:** as `spectrum`."""
        with np.errstate(divide="ignore"):  # an eigenvalue 0 dies at once
            return np.log(np.abs(self.spectrum())) / self.dt

    def save(self, path: str | Path) -> None:
        """Write one safetensors file. **Raises:** `CheckpointError`."""
        arrays, told = self.codec.to_tree()
        about = {
            "codec": told,
            "config": dataclasses.asdict(self.config),
            "dt": self.dt,
            "history": self.history,
            "seconds": self.seconds,
            "reason": self.reason,
        }
        save_tree(Path(path), {"model": self.model, "codec": arrays}, about)

    @classmethod
    def load(cls, path: str | Path) -> FittedLatent:
        """The inverse of `save`. **Raises:** `CheckpointError`."""
        wrong = "does not hold a latent model."
        tree, about = load_parts(path, "model", AbstractLatentModel, wrong)
        told = about["config"]
        drops = None if told["drops"] is None else tuple(told["drops"])
        return cls(
            to_device(tree["model"]),
            FieldCodec.from_tree(tree["codec"], about["codec"]),
            LatentFitConfig(**{**told, "drops": drops}),
            about["dt"],
            about["history"],
            about["seconds"],
            about["reason"],
        )


@eqx.filter_jit
def _predicted(
    model: AbstractLatentModel, begin: Array, steps: int, mode: str
) -> Array:
    return jax.vmap(lambda y: predict_latent(model, y, steps, mode))(begin)


def fit_latent(
    model: AbstractLatentModel,
    data: Series,
    codec: FieldCodec | None = None,
    config: LatentFitConfig = LatentFitConfig(),
    *,
    dt: float | None = None,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
) -> FittedLatent:
    """Train a model on equally spaced snapshots.

    **Arguments:**
    - `model`: as it starts, of `codec.size` numbers.
    - `data`: `Snapshots`, rows `"time m"`, or a list of such series.
    - `codec`: of training snapshots; default `FieldCodec.fit(data)`.
    - `dt`: time between two rows; of `Snapshots` it is known, else 1.
    - `folder`: of checkpoints, one every `seconds`; the same call goes on where a
      killed one stopped, to the same bits.
    - `tell`: called with a record every hundred updates or so.

    **Returns:** a `FittedLatent`.
    **Raises:** `DataError` for too few or unequally spaced snapshots and for values
    that are not finite; `ShapeError` for a model of another size; `ConfigError` for
    more latent numbers than snapshots.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.latent import LatentFitConfig, fit_latent, latent_linear
    >>> t, x = np.arange(60.0)[:, None], np.linspace(0, 6, 20)
    >>> wave = np.sin(x - 0.3 * t)
    >>> model = latent_linear(20, (8,), 4, key=jax.random.key(0))
    >>> fitted = fit_latent(model, wave[:40], config=LatentFitConfig(updates=1500))
    >>> gap = fitted.predict(wave[40], 19) - wave[41:]
    >>> bool(np.linalg.norm(gap) < 0.2 * np.linalg.norm(wave[41:]))
    True

    ```
    """
    return fit_latents(
        [model],
        [data],
        None if codec is None else [codec],
        config,
        dt=dt,
        folder=folder,
        seconds=seconds,
        tell=tell,
    )[0]


def fit_latents(
    models: Sequence[AbstractLatentModel],
    data: Sequence[Series],
    codecs: Sequence[FieldCodec] | None = None,
    config: LatentFitConfig = LatentFitConfig(),
    *,
    dt: float | None = None,
    folder: str | Path | None = None,
    seconds: float = 30.0,
    tell: Callable[[Info], None] = lambda row: None,
) -> list[FittedLatent]:
    """Train several models of one kind at once, each on data of its own, in one
    program.

    **Arguments:** as of `fit_latent`, one each a model: the models differ in their
    weights alone, the data (the same ones may be given to all) in their values. The
    windows are drawn apart.
    **Returns:** one `FittedLatent` a model; `seconds` are those of all.
    **Raises:** as `fit_latent`; `ConfigError` for models or data of different kinds, or
    not as many of them.
    """
    began = time.perf_counter()
    counts = [len(models), len(data), len(models if codecs is None else codecs)]
    if len(set(counts)) > 1 or not len(models):
        raise ConfigError(
            f"{counts[0]} models, {counts[1]} data sets and {counts[2]} codecs; "
            "expected one each, and at least one."
        )
    steps = [time_step(one, dt) for one in data]
    if codecs is None:
        codecs = [FieldCodec.fit(one) for one in data]
    found = [
        _windows([codec.encode(rows) for rows in sets_of(one)], config.steps)
        for codec, one in zip(codecs, data, strict=True)
    ]
    for model, codec, (rows, _) in zip(models, codecs, found, strict=True):
        _check(model, codec, rows)
        if config.lyapunov and not isinstance(model, LatentLinear):
            raise ConfigError(
                f"lyapunov is {config.lyapunov:g}, a prior on a linear map, and "
                f"{type(model).__name__} has none. Set it to 0."
            )
    split = [split_trainable(model) for model in models]
    rest, members = split[0][1], len(models)
    _check_alike(split, found)
    single = members == 1
    stack = (lambda *x: x[0]) if single else (lambda *x: jnp.stack(x))
    weights = jax.tree.map(stack, *(one for one, _ in split))
    batch = jax.tree.map(stack, *(jax.tree.map(jnp.asarray, one) for one in found))
    count = None if single else members
    place = None if folder is None else Path(folder)
    if place is not None:
        told = json.dumps(dataclasses.asdict(config))
        check_same(place, {"told": told, "model": digest((weights, rest, batch))})
    transform = config.transform()
    state = TrainState.start(
        weights,
        init_opt(transform, weights, count),
        jax.random.key(config.seed),
        count,
    )
    step_of = functools.partial(
        gradient_step,
        _loss(rest, config),
        transform,
        members=count,
        apart=not single,
        inner=updates_a_call(config.updates),
    )
    done = run_updates(
        step_of,
        state,
        batch,
        config.updates,
        folder=place,
        seconds=seconds,
        tell=tell,
    )
    took = done.before + time.perf_counter() - began
    ends = finish(done.state)
    return [
        FittedLatent(
            eqx.combine(
                ends if single else jax.tree.map(lambda x, k=k: x[k], ends), rest
            ),
            codec,
            config,
            steps[k],
            done.history if single else [_of(row, k) for row in done.history],
            took,
            done.reason,
        )
        for k, codec in enumerate(codecs)
    ]


def _of(row: Info, k: int) -> Info:
    """A member's part of a record."""
    return {name: v[k] if isinstance(v, list) else v for name, v in row.items()}


def _check_alike(
    split: Sequence[tuple[Any, Any]], found: Sequence[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Models and data that can be stacked."""
    shapes = lambda tree: jax.tree.map(np.shape, tree)
    same = all(
        eqx.tree_equal(rest, split[0][1]) and shapes(weights) == shapes(split[0][0])
        for weights, rest in split
    )
    if not same:
        raise ConfigError(
            "models that are trained together differ in their weights alone; these "
            "have other sizes or settings. Train them one by one."
        )
    if any(shapes(one) != shapes(found[0]) for one in found):
        raise ConfigError(
            "data of models that are trained together have one number of snapshots "
            "and of coordinates (rank). Train them one by one."
        )


def _windows(
    parts: list[np.ndarray], steps: int
) -> tuple[Float[np.ndarray, "time r"], np.ndarray]:
    """All rows below each other, and where windows of K + 1 of them begin."""
    starts, at = [], 0
    for one in parts:
        if one.ndim != 2 or len(one) < steps + 2:
            raise DataError(
                f"{len(one)} snapshots; windows of {steps} steps need at least "
                f"{steps + 2}. Give more, or lower steps."
            )
        starts.append(at + np.arange(len(one) - steps))
        at += len(one)
    return np.concatenate(parts), np.concatenate(starts).astype(np.int32)


def _check(model: AbstractLatentModel, codec: FieldCodec, rows: np.ndarray) -> None:
    size, n = model.encoder.sizes[0], model.encoder.sizes[-1]
    if size != codec.size:
        raise ShapeError(
            f"the model takes {size} numbers, the codec gives {codec.size}. Make it "
            f"with latent_linear({codec.size}, ...)."
        )
    if n > len(rows) - 1:
        raise ConfigError(
            f"{n} latent numbers for {len(rows)} snapshots; they span {len(rows) - 1} "
            "directions at the most. Take fewer."
        )
