"""Stochastic fields whose drift and diffusion are both learned, and their fit."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import at_least, choice, fields_at_least, positive
from .._errors import ConfigError, DataError, DivergedError, ShapeError
from .._precision import to_host
from .._registry import register
from .._source import Source
from .._tree import Fixed, split_trainable
from .._types import AnyArray, Context, Control, State, Time
from ..data import Trajectories
from ..diagnostics import crps_samples
from ..nn import MLP
from ..train import (
    NOT_FINITE,
    Step,
    Tell,
    TrainState,
    adam_cosine,
    finish,
    gradient_step,
    run,
)
from ._layout import check_trajectories, match_channels, match_inputs, match_units
from ._prepare import spread_of
from ._stochastic import AbstractStochasticField
from ._transition import transition


Objective = Literal["likelihood", "energy"]


@register("module")
class StateFrame(Fixed):
    """Where a learned field takes its units from: `centre` and `spread` `"dim"` of the
    state, `of_input` `"two ctrl"` of the input, `time`, and `noise` `"dim"`: the guess
    at the diffusion in those units."""

    centre: Float[AnyArray, " dim"]
    spread: Float[AnyArray, " dim"]
    of_input: Float[AnyArray, "two ctrl"]
    time: Float[AnyArray, ""]
    noise: Float[AnyArray, " dim"]


@register("module")
class NeuralSDE(AbstractStochasticField):
    r"""A stochastic differential equation, drift and diffusion learned (Ito).

    $$ dy = f(y, u)\,dt + \mathrm{diag}(g(y, u))\,dW, \qquad g > 0 $$

    with $f = (s / \tau)\, \mathrm{net}_f((y - c) / s, u)$ and $g = (s / \sqrt{\tau})\,
    n_0\, \mathrm{softplus}(\mathrm{net}_g) / \ln 2$: both start as no drift and the
    diffusion that the data's increments have.

    **Shapes and units:** state `"dim"`, input `"ctrl"`; f per unit of time, g per root
    of it.
    **Source:** Kidger 2022, On neural differential equations, section 4.1.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import NeuralSDE
    >>> field = NeuralSDE.make(2, width=8, key=jax.random.key(0))
    >>> field.drift(0.0, jnp.ones(2), None, None).tolist()
    [0.0, 0.0]
    >>> field.diffusion(0.0, jnp.ones(2), None, None).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    ```
    """

    source: ClassVar[Source] = Source("Kidger2022", "section 4.1")

    net_drift: MLP
    net_diffusion: MLP
    frame: StateFrame

    @classmethod
    def make(
        cls,
        dim: int,
        ctrl: int = 0,
        *,
        width: int = 32,
        depth: int = 2,
        frame: StateFrame | None = None,
        key: PRNGKeyArray,
    ) -> NeuralSDE:
        """Before any training; without a `frame` in units of one."""
        if dim < 1 or ctrl < 0:
            raise ConfigError(f"dim is {dim}, ctrl {ctrl}; a state has entries.")
        one, two = jax.random.split(key)
        net = lambda k: MLP(dim + ctrl, dim, width, depth, key=k, zero_last=True)
        if frame is None:
            kind = jnp.zeros(()).dtype
            scale = jnp.stack([jnp.zeros(ctrl, kind), jnp.ones(ctrl, kind)])
            unit = jnp.ones(dim, kind)
            frame = StateFrame(
                jnp.zeros(dim, kind), unit, scale, jnp.ones((), kind), unit
            )
        return cls(net(one), net(two), frame)

    def drift(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim"]:
        """f, per unit of time."""
        frame = self.frame
        return self.net_drift(self._scaled(y, u)) * frame.spread / frame.time

    def diagonal(self, y: State, u: Control | None) -> Float[Array, "dim"]:
        """g, per root of the unit of time."""
        frame = self.frame
        shape = jax.nn.softplus(self.net_diffusion(self._scaled(y, u))) / np.log(2.0)
        return shape * frame.noise * frame.spread / jnp.sqrt(frame.time)

    def diffusion(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim noise"]:
        """diag g."""
        return jnp.diag(self.diagonal(y, u))

    @property
    def is_linear(self) -> bool:
        """Not in general."""
        return False

    def _scaled(self, y: State, u: Control | None) -> Array:
        frame = self.frame
        scaled = (y - frame.centre) / frame.spread
        if u is None:
            return scaled
        return jnp.concatenate([scaled, (u - frame.of_input[0]) / frame.of_input[1]])


@dataclasses.dataclass(frozen=True)
class SDEConfig:
    """How `fit_sde` builds and trains.

    **Raises:** `ConfigError` for settings that cannot be.
    """

    objective: str = "likelihood"
    """`"likelihood"` of every transition from one sample to the next, or `"energy"`:
    the energy score of simulated paths against the measured one."""
    horizon: int = 1
    """Samples ahead of a clip's first one, for the energy score."""
    paths: int = 16
    """Simulated paths a clip, for the energy score."""
    width: int = 32
    """Neurons of each hidden layer."""
    depth: int = 2
    """Hidden layers."""
    steps: int = 3000
    """Updates of Adam."""
    batch: int = 512
    """Clips an update."""
    lr: float = 5e-3
    """Its first rate."""
    substeps: int = 1
    """Linearisations, or steps of Euler and Maruyama, between two samples."""
    seed: int = 0
    """Of weights, batches and paths."""

    def __post_init__(self) -> None:
        allowed = get_args(Objective)
        choice("objective", self.objective, allowed)
        fields_at_least(self, horizon=1, paths=2, steps=1, batch=1, substeps=1)
        positive(lr=self.lr)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedSDE:
    """A fitted stochastic differential equation, in the units of its data.

    `field`; `names`, `units` of the channels; `config`; `loss`: that of the last
    update; `input_names`, `time_unit`.
    """

    field: NeuralSDE
    names: tuple[str, ...]
    units: tuple[str, ...]
    config: SDEConfig
    loss: float
    input_names: tuple[str, ...] = ()
    time_unit: str = ""

    def drift(self, ys: ArrayLike, us: ArrayLike | None = None) -> np.ndarray:
        """f at states `"sample dim"` and inputs `"sample ctrl"`. **Raises:**
        `ShapeError`."""
        return np.asarray(_at(self.field, True, *self._samples(ys, us)))

    def diffusion(self, ys: ArrayLike, us: ArrayLike | None = None) -> np.ndarray:
        """g at states `"sample dim"` and inputs `"sample ctrl"`. **Raises:**
        `ShapeError`."""
        return np.asarray(_at(self.field, False, *self._samples(ys, us)))

    def simulate(
        self,
        y0: ArrayLike,
        ts: ArrayLike,
        us: ArrayLike | None = None,
        *,
        paths: int = 100,
        substeps: int = 10,
        seed: int = 0,
    ) -> Float[np.ndarray, "path time dim"]:
        """Paths from one state by Euler and Maruyama, `substeps` steps between two
        times; inputs `"time ctrl"` are held.

        **Raises:** `ConfigError` for times that do not increase or counts below 1;
        `ShapeError` for a state or inputs of another size, or without inputs that the
        model has.
        """
        times = np.asarray(ts, np.float64)
        if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
            raise ConfigError("ts must be at least two increasing times.")
        if paths < 1 or substeps < 1:
            raise ConfigError(
                f"paths is {paths}, substeps {substeps}; at least 1 each."
            )
        begin, held = _arrays(y0, us)
        if begin.shape != (len(self.names),):
            raise ShapeError(
                f"y0 has the shape {begin.shape}; expected ({len(self.names)},)."
            )
        self._check_inputs(held, len(times))
        dts = jnp.asarray(np.diff(times), begin.dtype)
        keys = jax.random.split(jax.random.key(seed), paths)
        cut = None if held is None else held[:-1]
        return np.asarray(_simulated(self.field, begin, dts, cut, keys, substeps))

    def crps(
        self, data: Trajectories, horizon: int = 1, *, paths: int = 100, seed: int = 0
    ) -> Float[np.ndarray, " dim"]:
        """Mean continuous ranked probability score `"dim"` of the distribution
        `horizon` samples ahead, in the channels' units: the mean absolute error of a
        forecast that is certain.

        **Raises:** `DataError` for data of other channels, inputs or units."""
        clips = _clips(self._match(data), horizon)
        keys = jax.random.split(jax.random.key(seed), (len(clips.ys), paths))
        run = jax.vmap(
            lambda c, k: _simulated(self.field, c.ys[0], c.dts, c.us, k, 10)[:, -1]
        )
        ends = np.asarray(jax.jit(run)(clips, keys))
        return crps_samples(clips.ys[:, -1], np.moveaxis(ends, 1, 0)).mean(axis=0)

    def _match(self, data: Trajectories) -> Trajectories:
        """The channels and inputs of the model, in its order and units."""
        data = match_channels(data, self.names, "the model needs channel")
        if bool(data.ctrl) != bool(self.input_names):
            raise DataError(
                f"the model has {len(self.input_names)} inputs; the data have "
                f"{data.ctrl}. Give the same ones."
            )
        data = match_inputs(data, self.input_names)
        match_units(data, self.units, self.time_unit)
        return data

    def _samples(
        self, ys: ArrayLike, us: ArrayLike | None
    ) -> tuple[Array, Array | None]:
        states, inputs = _arrays(ys, us)
        if states.ndim != 2 or states.shape[1] != len(self.names):
            raise ShapeError(
                f"states have the shape {states.shape}; expected (sample, "
                f"{len(self.names)})."
            )
        self._check_inputs(inputs, len(states))
        return states, inputs

    def _check_inputs(self, us: Array | None, count: int) -> None:
        """Refuse inputs that are not one row for each of `count` states."""
        given = None if us is None else us.shape
        size = len(self.input_names)
        expected = (count, size) if size else None
        if given != expected:
            raise ShapeError(f"inputs have the shape {given}; expected {expected}.")


class Clips(eqx.Module):
    """Stretches of samples that are all measured: `ys` `"clip time dim"`, `dts` `"clip
    step"`, `us` `"clip step ctrl"` or None."""

    ys: Any
    dts: Any
    us: Any


def fit_sde(data: Trajectories, config: SDEConfig = SDEConfig()) -> FittedSDE:
    r"""Learn drift and diffusion from states that are measured without error.

    `objective="likelihood"`: $\max \sum_k \log N(y_{k+1};\, m(y_k), Q(y_k))$ with the
    moments of one interval by local linearisation (`transition`).
    `objective="energy"`: $\min E|X - y| - \tfrac12 E|X - X'|$ for paths X simulated
    `horizon` samples ahead, in units of the channels' spread; it needs no density, and
    is smallest where the paths have the distribution of the data.

    Of noisy or incomplete observations take `fit_stochastic`.

    **Raises:** `DataError` for data without two neighbouring samples in which all is
    measured; `DivergedError` when the training ends without a finite loss.
    **Source:** likelihood: Sarkka, Solin 2019, section 11.2; energy score: Gneiting,
    Raftery 2007, equation 22.

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.dynamics import SDEConfig, fit_sde
    >>> rng, x = np.random.default_rng(0), [0.0]
    >>> for _ in range(2000):  # dx = -x dt + 0.5 dW
    ...     x.append(0.9 * x[-1] + 0.5 * 0.3 * rng.normal())
    >>> data = Trajectories.from_arrays(np.arange(2001) * 0.1, np.array(x))
    >>> fitted = fit_sde(data, SDEConfig(width=8, depth=1, steps=500))
    >>> bool(abs(fitted.diffusion([[0.0]])[0, 0] - 0.5) < 0.1)
    True

    ```
    """
    check_trajectories(data)
    clips = _clips(data, 1 if config.objective == "likelihood" else config.horizon)
    key = jax.random.key(config.seed)
    field = NeuralSDE.make(
        data.dim,
        data.ctrl,
        width=config.width,
        depth=config.depth,
        frame=_frame(data, clips),
        key=jax.random.fold_in(key, 1),
    )
    weights, rest = split_trainable(field)
    transform, step = _programs(config)
    size = min(config.batch, len(clips.ys))

    def batches(k: int) -> Any:
        rng = np.random.default_rng([config.seed, 0, k])
        which = rng.integers(len(clips.ys), size=size)
        return rest, jax.tree.map(lambda x: x[which], clips)

    state = TrainState.start(weights, transform.init(weights), key)
    rows: list[dict[str, Any]] = []
    state, reason = run(
        step, state, batches, [Tell(rows.append)], num_steps=config.steps, log_every=50
    )
    if reason.startswith(NOT_FINITE):
        raise DivergedError(f"{reason} Take more substeps, or leave out outliers.")
    found = to_host(eqx.combine(finish(state), rest))
    return FittedSDE(
        jax.tree.map(jnp.asarray, found),
        data.names,
        data.units,
        config,
        rows[-1]["loss"],
        data.input_names,
        data.time_unit,
    )


def _clips(data: Trajectories, horizon: int) -> Clips:
    """All stretches of `horizon + 1` samples in which everything is measured."""
    at_least(1, horizon=horizon)
    whole = np.asarray(data.mask.all(axis=2))
    if whole.shape[1] > horizon:
        windows = np.lib.stride_tricks.sliding_window_view(whole, horizon + 1, axis=1)
        at = np.argwhere(windows.all(axis=2))
    else:
        at = np.zeros((0, 2), int)
    if not len(at):
        raise DataError(
            f"no {horizon + 1} neighbouring samples in which every channel is "
            "measured. Take fit_stochastic for incomplete observations."
        )
    rows, starts = at.T
    index = starts[:, None] + np.arange(horizon + 1)
    row = rows[:, None]
    kind = np.dtype(jnp.result_type(float))
    ts = data.ts[row, index]
    us = None if data.us is None else data.us[row, index[:, :-1]].astype(kind)
    return Clips(data.ys[row, index].astype(kind), np.diff(ts).astype(kind), us)


def _frame(data: Trajectories, clips: Clips) -> StateFrame:
    """Units from a linear model of the increments: its rate gives the time, what it
    leaves the noise."""
    y = clips.ys[:, 0].astype(np.float64)
    h = clips.dts[:, :1].astype(np.float64)
    centre, spread = y.mean(axis=0), spread_of(y)
    scaled = (y - centre) / spread
    speed = (clips.ys[:, 1] - clips.ys[:, 0]) / spread / h
    rate, *_ = np.linalg.lstsq(scaled, speed, rcond=None)
    size = np.linalg.norm(rate) / np.sqrt(len(spread))
    time = 1.0 / size if size > 0 else float(np.median(h))
    left = (speed - scaled @ rate) * np.sqrt(h)
    noise = np.sqrt(np.mean(left**2, axis=0) * time)
    noise = np.where(noise > 0, noise, 1e-3)
    inputs = np.stack([np.zeros(data.ctrl), np.ones(data.ctrl)])
    if clips.us is not None:
        u = clips.us[:, 0].astype(np.float64)
        inputs = np.stack([u.mean(axis=0), spread_of(u)])
    cast = lambda x: jnp.asarray(x, jnp.zeros(()).dtype)
    return StateFrame(*map(cast, (centre, spread, inputs, time, noise)))


@functools.lru_cache(maxsize=8)
def _programs(config: SDEConfig) -> tuple[Any, Step]:
    """Optimiser and step, so that fits of one shape share their program."""
    transform = adam_cosine(config.lr, config.steps)

    def loss(weights: Any, batch: tuple[Any, Clips], key: PRNGKeyArray) -> Array:
        rest, clips = batch
        field = eqx.combine(weights, rest)
        if config.objective == "likelihood":
            one = lambda c: _surprise(field, c, config.substeps)
            return jnp.mean(jax.vmap(one)(clips))
        keys = jax.random.split(key, (len(clips.ys), config.paths))
        one = lambda c, k: _energy(field, c, k, config.substeps)
        return jnp.mean(jax.vmap(one)(clips, keys))

    return transform, gradient_step(loss, transform)


def _surprise(field: NeuralSDE, clip: Clips, substeps: int) -> Float[Array, ""]:
    """Minus the log likelihood of the first transition, in units of the spread."""
    y, h = clip.ys[0], clip.dts[0]
    path = None if clip.us is None else clip.us[:1]
    move = transition(field, y, jnp.zeros_like(h), h, path, substeps=substeps)
    spread = field.frame.spread
    root = jnp.linalg.cholesky(move.q / (spread[:, None] * spread[None, :]))
    off = (clip.ys[1] - move.f @ y - move.g) / spread
    white = jax.scipy.linalg.solve_triangular(root, off, lower=True)
    return 0.5 * white @ white + jnp.sum(jnp.log(jnp.diagonal(root)))


def _energy(
    field: NeuralSDE, clip: Clips, keys: Key[Array, " path"], substeps: int
) -> Float[Array, ""]:
    """Energy score of the paths against the clip, mean over its times."""
    paths = _simulated(field, clip.ys[0], clip.dts, clip.us, keys, substeps)
    spread = jnp.asarray(field.frame.spread)
    paths = paths[:, 1:] / spread[None, None, :]
    truth = clip.ys[1:] / spread[None, :]
    size = lambda x: jnp.sqrt(jnp.sum(x * x, axis=-1) + 1e-12)
    to_truth = jnp.mean(size(paths - truth[None]))
    count = len(keys)
    apart = size(paths[:, None] - paths[None, :])  # path, path, time
    return to_truth - 0.5 * jnp.sum(jnp.mean(apart, axis=2)) / (count * (count - 1))


@functools.partial(jax.jit, static_argnames="substeps")
def _simulated(
    field: NeuralSDE,
    y0: Array,
    dts: Array,
    us: Array | None,
    keys: Key[Array, " path"],
    substeps: int,
) -> Float[Array, "path time dim"]:
    """Paths by Euler and Maruyama, the begin included."""

    def path(key: PRNGKeyArray) -> Array:
        noise = jax.random.normal(key, (len(dts), substeps, len(y0)), y0.dtype)

        def between(y: Array, at: tuple) -> tuple[Array, Array]:
            h, u, xi = at
            h = h / substeps

            def one(y: Array, xi: Array) -> tuple[Array, None]:
                moved = y + h * field.drift(0.0, y, u, None)
                return moved + jnp.sqrt(h) * field.diagonal(y, u) * xi, None

            y, _ = jax.lax.scan(one, y, xi)
            return y, y

        _, ys = jax.lax.scan(between, y0, (dts, us, noise))
        return jnp.concatenate([y0[None], ys])

    return jax.vmap(path)(keys)


@functools.partial(jax.jit, static_argnames="drift")
def _at(field: NeuralSDE, drift: bool, ys: Array, us: Array | None) -> Array:
    one = lambda y, u: field.drift(0.0, y, u, None) if drift else field.diagonal(y, u)
    return jax.vmap(one)(ys, us)


def _arrays(ys: ArrayLike, us: ArrayLike | None) -> tuple[Array, Array | None]:
    kind = jnp.zeros(()).dtype
    return jnp.asarray(ys, kind), None if us is None else jnp.asarray(us, kind)
