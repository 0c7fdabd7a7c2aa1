"""Learning the energy of bars from records of their motion."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from .._errors import ConfigError, DivergedError
from .._precision import to_host
from .._tree import num_parameters, split_trainable
from ..data import Trajectories
from ..solve import scheme
from ..systems import bar_names, bars_of
from ..train import (
    STOPPED,
    ClipBatch,
    ClipCurriculum,
    TrainState,
    check_same,
    clip_loss,
    finish,
    gradient_step,
    latest,
    levenberg_state,
    levenberg_step,
    resume as resume_state,
    run,
)
from ._bar_chain import BarChain, BarWorld
from ._bars import ESNN, AbstractBarEnergy, ElasticBars, pair_coordinates
from ._bars_config import BarsConfig
from ._config import to_dict
from ._field import SecondOrder
from ._fitted import Fitted
from ._layout import layout
from ._model import Model
from ._watch import watching


STIFFNESS = (10.0, 30.0, 100.0, 300.0)  # N/m along the axis: where the law begins
SHEAR, BEND = 2.7, 1.3e-3  # of it, at such a begin: stiffer aside; m^2
SHORT = 16  # frames of the law's first look
DRAWN = 512  # triplets to an update of the beginning
# how far around the visited coordinates the beginning is told the law: a share of
# xi (down to that of a chain at rest), and m, rad
AROUND = (0.6, 1.5e-3, 0.1)
WINDOW = 5  # samples to each side whose velocities make an acceleration
GRAVITY = 9.8  # m/s^2, the unit of accelerations in a loss


@dataclasses.dataclass(frozen=True)
class Bars:
    """Records of equal times: `ts` `"time"`, `ys` `"record time dim"` (bars, rates)."""

    ts: np.ndarray
    ys: np.ndarray

    @classmethod
    def of(cls, data: Trajectories) -> Bars:
        """**Raises:** `DataError` for other channels, `ConfigError` for records whose
        times differ."""
        parts = [bars_of(data, i) for i in range(data.num)]
        ts = parts[0][0] - parts[0][0][0]
        for i, (own, _, _) in enumerate(parts):
            if len(own) != len(ts) or np.abs(own - own[0] - ts).max() > 1e-9:
                raise ConfigError(
                    f"record {i} has other times than record 0. Cut the records to "
                    "the same times."
                )
        flat = [
            np.concatenate([u.reshape(len(u), -1), v.reshape(len(v), -1)], axis=1)
            for _, u, v in parts
        ]
        return cls(ts, np.stack(flat))

    @property
    def bars(self) -> int:
        """How many."""
        return self.ys.shape[2] // 6

    def until(self, span: float) -> Bars:
        """The beginning of the records. **Raises:** `ConfigError` for less than two
        frames."""
        keep = self.ts <= span * (1.0 + 1e-9)
        if keep.sum() < 2:
            raise ConfigError(
                f"span is {span:g} s, of which the records have {keep.sum()} frames; "
                "take a longer one."
            )
        return Bars(self.ts[keep], self.ys[:, keep])


def fit_bars(
    data: Trajectories,
    world: BarWorld,
    config: BarsConfig | None = None,
    *,
    first: bool = True,
    last: bool = True,
    teacher: AbstractBarEnergy | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> Fitted:
    r"""Learn the elastic energy of a chain of bars.

    $$ \min_\theta \sum_{clips} \sum_t |W (u_\theta(t) - u(t))|^2 $$

    From the classical law of three constants, found by Levenberg-Marquardt on whole
    records, the network takes over; then it is trained on clips whose length grows.

    **Arguments:** `data` of `pendula.systems.bar_record`, all records on the same
    times; `world`: masses and loads of the records (training without damping and
    contact as a rule); `first`, `last`: which ends were held; `teacher`: an energy
    that the network is taught instead of the classical law, as a large network is to a
    small, fast one; `out`: a run folder; with `resume` a killed training goes on from
    its last checkpoint.
    **Returns:** `Fitted`, whose `model().field.force` is the `BarChain`: replace its
    `world`, `first`, `last` for another chain of any number of bars.
    **Raises:** `DataError`, `ConfigError` for records that cannot be used,
    `DivergedError` when no member is finite.
    **Source:** Wang 2023, section 3.3; the beginning is ours.
    """
    config = BarsConfig() if config is None else config
    began = time.perf_counter()
    records = Bars.of(data)
    train = records.until(config.span)
    folder = None if out is None else Path(out)
    if folder is not None:
        if not resume:
            for old in (folder / "resume").glob("*"):
                old.unlink()
        told = to_dict(config) | {"minutes": 0.0}
        identity = {"config": told, "data": [float(np.sum(records.ys)), data.dim]}
        check_same(folder / "resume", identity)
    loop = _Loop(folder, resume, tell, config.minutes, began)
    ends = {"first": first, "last": last}
    law, outcomes = teacher, []
    if config.start == "law" and teacher is None:
        law, told = _law(train, world, config, ends, loop)
        outcomes.append(told)
    members = []
    for k in range(config.members):
        seed = config.seed + k
        energy = ESNN.create(
            jax.random.key(seed),
            width=config.width,
            depth=config.depth,
            group=config.group,
            bounded=config.bounded,
            activation=config.activation,
            squared=config.squared,
            rest=(config.natural, 0.0, 0.0) * 2,
        )
        chain = BarChain(energy, world, rule=config.rule, **ends)
        if config.start_steps and config.start != "none":
            chain, told = _beginning(chain, law, train, config, seed, loop)
            outcomes.append(told)
        if config.steps:
            chain, told = _on_clips(chain, train, records, config, seed, loop)
            outcomes.append(told)
        members.append(to_host(chain))
    good = [
        all(np.isfinite(x).all() for x in jax.tree.leaves(split_trainable(m)[0]))
        for m in members
    ]
    if not any(good):
        raise DivergedError(
            "no member of the ensemble is finite after training. Lower lr, or begin "
            "with the classical law."
        )
    stacked = jax.tree.map(lambda *xs: np.stack(xs), *members)
    model = bar_model(stacked, records.bars, config.substeps)
    about = _about(data, records, config, outcomes, members[0])
    about["seconds"] = time.perf_counter() - began
    if isinstance(law, ElasticBars):
        about["law"] = np.exp(np.asarray(law.stiffness, np.float64)).tolist()
    return Fitted(model, about)


def bar_model(chain: BarChain, bars: int, substeps: int = 5) -> Model:
    """A chain as a model of motion: bars and rates observed, leapfrog."""
    n = 3 * bars
    field = SecondOrder(chain, n)
    return Model(field, tuple(range(2 * n)), 2 * n, "leapfrog", substeps)


@dataclasses.dataclass
class _Loop:
    """Runs stages through `train.run`, one after the other."""

    folder: Path | None
    resumed: bool
    tell: Any
    minutes: float
    began: float
    index: int = 0

    def __call__(
        self,
        name: str,
        step: Any,
        state: TrainState,
        batches: Any,
        total: int,
        *,
        every: int,
        score: Any = None,
        inner: int = 1,
        settles: bool = False,
    ) -> tuple[Any, dict[str, Any]]:
        index, self.index = self.index, self.index + 1
        began, ended = time.perf_counter(), None
        place = None if self.folder is None else self.folder / "resume" / f"{index:03d}"
        if place is not None and self.resumed and latest(place) is not None:
            found = resume_state(place, index, state)
            if found is not None:
                state, ended = found
        row: dict[str, Any] = {}
        callbacks = watching(
            name,
            index,
            total,
            int(state.step),
            folder=self.folder,
            place=f"resume/{index:03d}",
            deadline=self.began + 60.0 * self.minutes,
            minutes=self.minutes,
            tell=self.tell,
            score=score,
            settles=settles,
            last=row,
        )
        # by the clock: a resumed fit is given more time
        if ended is None or ended.startswith(STOPPED):
            state, ended = run(
                step,
                state,
                batches,
                callbacks,
                num_steps=total,
                log_every=every,
                inner=inner,
            )
        told = {
            "name": name,
            "steps": int(state.step),
            "seconds": time.perf_counter() - began,
            "reason": ended,
            "loss": np.min(row["loss"]).tolist() if "loss" in row else None,
        }
        return finish(state), told


def _law(
    train: Bars, world: BarWorld, config: BarsConfig, ends: Any, loop: _Loop
) -> tuple[ElasticBars, dict[str, Any]]:
    """The classical law: from four stiffnesses on the first frames, then the best of
    them on whole records."""
    radius = float(world.radius)
    weight = np.tile([1e3, 1e3, 1e3 * radius], train.bars)  # errors count in mm

    def on(frames: int, start: Array) -> tuple[Array, dict[str, Any]]:
        members = start.shape[0]

        def residual(log: Array, local: Array, item: tuple) -> Array:
            y0, dts, ys = item
            law = ElasticBars(log, config.natural)
            chain = BarChain(law, world, rule=config.rule, **ends)
            model = bar_model(chain, train.bars, config.substeps)
            path = model.steps(y0, jnp.zeros((), y0.dtype), dts).ys[1:]
            half = path.shape[1] // 2
            off = (path[:, :half] - ys) * jnp.asarray(weight, ys.dtype)[None]
            return jnp.ravel(off)

        step = levenberg_step(
            residual,
            lambda log: jnp.zeros((0,), log.dtype),
            lambda items: jnp.asarray(items[2].size, items[2].dtype),
            members=members,
        )
        ys = jnp.asarray(train.ys[:, :frames], jnp.float32)
        dts = jnp.asarray(np.diff(train.ts[:frames]), jnp.float32)
        dts = jnp.broadcast_to(dts, (len(ys), frames - 1))
        items = (ys[:, 0], dts, ys[:, 1:, : 3 * train.bars])
        local = jnp.zeros((members, len(ys), 0), start.dtype)
        opt = levenberg_state(start.dtype, variance=1.0, members=members)
        state = TrainState.start((start, local), opt, jax.random.key(0), members)
        (log, _), told = loop(
            f"law on {frames} frames", step, state, items, 40, every=1, settles=True
        )
        losses = jax.vmap(
            lambda p: jnp.sum(
                jax.vmap(lambda i: residual(p, jnp.zeros(0), i))(items) ** 2
            )
        )(log)
        best = jnp.argmin(jnp.where(jnp.isfinite(losses), losses, jnp.inf))
        return log[best], told

    begin = np.array([[k, SHEAR * k, BEND * k] for k in STIFFNESS])
    short = min(SHORT, len(train.ts))
    log, told = on(short, jnp.asarray(np.log(begin), jnp.float32))
    if len(train.ts) > short:
        log, told = on(len(train.ts), log[None])
    return ElasticBars(log, config.natural), told


def visited(train: Bars) -> Float[np.ndarray, "triplet 6"]:
    """The coordinates of all triplets of the records."""
    half = train.ys.shape[2] // 2
    flat = train.ys[..., :half].reshape(-1, train.bars, 3)
    u = jnp.asarray(flat, jnp.float32)
    pairs = np.asarray(jax.vmap(pair_coordinates)(u[:, :-1], u[:, 1:]))
    return np.concatenate([pairs[:, :-1], pairs[:, 1:]], axis=-1).reshape(-1, 6)


def _beginning(
    chain: BarChain,
    law: AbstractBarEnergy | None,
    train: Bars,
    config: BarsConfig,
    seed: int,
    loop: _Loop,
) -> tuple[BarChain, dict[str, Any]]:
    """The network before it meets clips: taught the law's slopes around what was
    visited, or the measured accelerations."""
    params, static = split_trainable(chain)
    if law is not None:
        loss, batch = _law_loss(static, law, train)
        name, inner = "network onto the law", 100
    else:
        loss, batch = _acceleration_loss(static, train)
        name, inner = "accelerations", 10
    total = max(inner, config.start_steps // inner * inner)
    transform = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(3e-3, total, 0.01)),
    )
    step = gradient_step(loss, transform, inner=inner)
    key = jax.random.key(seed)
    state = TrainState.start(params, transform.init(params), key)
    params, told = loop(name, step, state, batch, total, every=inner, inner=inner)
    return eqx.combine(params, static), told


def _law_loss(static: Any, law: AbstractBarEnergy, train: Bars) -> tuple[Any, Any]:
    seen = jnp.asarray(visited(train), jnp.float32)
    # forces of a third of a newton, and as large ones at the radius, count 1
    scale = jnp.asarray(1.0 / np.tile([0.3, 0.3, 0.3 * 0.033], 2), jnp.float32)
    share = jnp.asarray([AROUND[0], 0.0, 0.0] * 2, jnp.float32)
    width = jnp.asarray([0.0, *AROUND[1:]] * 2, jnp.float32)

    def slopes(energy: Any, z: Array) -> Array:
        return jax.grad(lambda z: jnp.sum(energy(z)))(z)

    def loss(params: Any, seen: Array, key: Any) -> Array:
        at, off = jax.random.split(key)
        z = seen[jax.random.randint(at, (DRAWN,), 0, seen.shape[0])]
        noise = jax.random.normal(off, z.shape, z.dtype)
        z = z * jnp.exp(share[None] * noise) + width[None] * noise
        away = slopes(eqx.combine(params, static).energy, z) - slopes(law, z)
        return jnp.mean((away * scale[None]) ** 2)

    return loss, seen


def _acceleration_loss(static: Any, train: Bars) -> tuple[Any, Any]:
    """Slopes of the velocities against what the chain says, in units of g and g/R."""
    half = train.ys.shape[2] // 2
    v, ts = train.ys[..., half:], train.ts
    # with samples as far apart as here, a difference over the nearest ones
    rates = (v[:, 2:] - v[:, :-2]) / (ts[2:] - ts[:-2])[None, :, None]
    y = jnp.asarray(train.ys[:, 1:-1].reshape(-1, 2 * half), jnp.float32)
    target = jnp.asarray(rates.reshape(-1, half), jnp.float32)
    radius = static.world.radius
    unit = np.tile([1.0, 1.0, float(radius)], half // 3) / GRAVITY
    weight = jnp.asarray(unit, jnp.float32)

    def loss(params: Any, batch: tuple, key: Any) -> Array:
        chain = eqx.combine(params, static)
        told = jax.vmap(lambda y: chain(0.0, y, None, None))(batch[0])
        return jnp.mean(((told - batch[1]) * weight[None])[:, 3:-3] ** 2)

    return loss, (y, target)


def _on_clips(
    chain: BarChain,
    train: Bars,
    records: Bars,
    config: BarsConfig,
    seed: int,
    loop: _Loop,
) -> tuple[BarChain, dict[str, Any]]:
    """Clips that grow; the weights that tell best what comes after are kept."""
    params, static = split_trainable(chain)
    n = 3 * train.bars
    frames = len(train.ts)
    longest = min(config.longest, frames)
    curriculum = ClipCurriculum(
        min(config.shortest, longest), longest, config.every, config.batch
    )
    solver, parts = scheme("leapfrog"), config.substeps

    def advance(params: Any, row: Any, y: Array, step: tuple) -> Array:
        field = SecondOrder(eqx.combine(params, static), n)
        t, dt = step
        return solver.steps(field, t, y, dt / parts, parts, lambda s: None, None)

    w = np.asarray(config.weights)
    weight = np.concatenate([np.tile(w[:3], train.bars), np.tile(w[3:], train.bars)])
    loss = clip_loss(
        advance,
        jnp.asarray(train.ts, jnp.float32),
        jnp.asarray(train.ys, jnp.float32),
        jnp.asarray(weight, jnp.float32),
        longest,
    )
    rate: Any = config.lr
    if config.falling:
        warm = min(40, config.steps // 4)
        rate = optax.warmup_cosine_decay_schedule(
            0.05 * config.lr, config.lr, warm, config.steps, 0.01 * config.lr
        )
    transform = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    draw = curriculum.batches(len(train.ys), frames, 2 * n, seed)
    few = config.drawn if 0 < config.drawn < train.bars else train.bars

    def batches(k: int) -> ClipBatch:
        rng = np.random.default_rng((seed, k, 1))
        bars = np.sort(rng.choice(train.bars, few, replace=False))
        own = (3 * bars[:, None] + np.arange(3)).reshape(-1)
        channels = np.concatenate([own, n + own]).astype(np.int32)
        return jax.tree.map(jnp.asarray, draw(k)._replace(channels=channels))

    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    params, told = loop(
        "clips",
        gradient_step(loss, transform),
        state,
        batches,
        config.steps,
        every=max(1, min(20, config.steps // 10)),
        score=_held_out(static, train, records, config.substeps),
    )
    return eqx.combine(params, static), told


def _held_out(static: Any, train: Bars, records: Bars, substeps: int) -> Any:
    """Mean squared distance of centres [mm^2] from the first frame on: of the frames
    after training, or of all where there are none."""
    n = 3 * records.bars
    begin = len(train.ts) if len(records.ts) > len(train.ts) else 1
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)

    @jax.jit
    def score(params: Any) -> Array:
        model = bar_model(eqx.combine(params, static), records.bars, substeps)
        start = jnp.zeros((), ys.dtype)
        path = jax.vmap(lambda y: model.steps(y, start, dts).ys)(ys[:, 0])
        off = (path - ys)[:, begin:, :n].reshape(-1, 3)[:, :2]
        return jnp.mean(jnp.sum((1e3 * off) ** 2, axis=-1))

    return score


def _about(
    data: Trajectories,
    records: Bars,
    config: BarsConfig,
    outcomes: list[dict[str, Any]],
    chain: BarChain,
) -> dict[str, Any]:
    """The record of a fit, as that of any model of motion."""
    names = bar_names(records.bars, rates=True)
    n = 3 * records.bars
    kinds = ["second"] * n + ["velocity"] * n
    plan = layout(names, kinds, {n + k: k for k in range(n)})
    step = float(np.median(np.diff(records.ts)))
    spread = records.ys.reshape(-1, 2 * n).std(0)
    return {
        "members": config.members,
        "dtype": "float32",
        "method": "adam",
        "names": list(names),
        "units": list(data.units),
        "angle": [False] * len(names),
        "time_unit": data.time_unit,
        "input_names": [],
        "input_kind": data.input_kind,
        "licence": data.licence,
        "layout": plan.to_dict(),
        "state": list(plan.state_names),
        "terms": [
            "learned energy of neighbouring bars, invariant to motions of the plane "
            f"(group {config.group}, rule {config.rule}, {config.depth} x "
            f"{config.width})"
        ],
        "parameters": num_parameters(chain),
        "every": 1,
        "step": step,
        "period": 0.0,
        "history": min(16 * step, 0.5 * float(records.ts[-1])),
        "spread": np.where(spread > 0, spread, 1.0).tolist(),
        "noise": [0.0] * len(names),
        "config": to_dict(config),
        "seed": config.seed,
        "train_end": min(config.span, float(records.ts[-1])),
        "stages": outcomes,
    }
