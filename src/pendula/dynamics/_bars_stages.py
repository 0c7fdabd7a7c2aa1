"""The stages in which the energy of bars is learned: the classical law, the network
onto it, clips that grow."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from .._tree import split_trainable
from ..solve import scheme
from ..train import (
    ClipBatch,
    ClipCurriculum,
    TrainState,
    adam_cosine,
    clip_loss,
    finish,
    gradient_step,
    levenberg_state,
    levenberg_step,
    run,
)
from ._bar_chain import BarChain, BarWorld
from ._bars import AbstractBarEnergy, ElasticBars
from ._bars_config import BarsConfig
from ._bars_records import Bars, bar_model, visited
from ._field import SecondOrder
from ._watch import taken_up, watching


STIFFNESS = (10.0, 30.0, 100.0, 300.0)  # N/m along the axis: where the law begins
SHEAR, BEND = 2.7, 1.3e-3  # of it, at such a begin: stiffer aside; m^2
SHORT = 16  # frames of the law's first look
DRAWN = 512  # triplets to an update of the beginning
# how far around the visited coordinates the beginning is told the law: a share of
# xi (down to that of a chain at rest), and m, rad
AROUND = (0.6, 1.5e-3, 0.1)
GRAVITY = 9.8  # m/s^2, the unit of accelerations in a loss


@dataclasses.dataclass
class Loop:
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
        if place is not None and self.resumed:
            state, ended = taken_up(place, index, state)
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
        if ended is None:
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


def classical_laws(
    records: Sequence[Bars],
    world: BarWorld,
    config: BarsConfig,
    ends: Any,
    loop: Loop,
) -> tuple[list[ElasticBars], list[dict[str, Any]]]:
    """The classical law of each of several sets of records of equal shape: from four
    stiffnesses on the first frames, then the best of them on whole records."""
    radius, bars = float(world.radius), records[0].bars
    weight = np.tile([1e3, 1e3, 1e3 * radius], bars)  # errors count in mm

    def residual(log: Array, local: Array, item: tuple) -> Array:
        y0, dts, ys = item
        law = ElasticBars(log, config.natural)
        chain = BarChain(law, world, rule=config.rule, **ends)
        model = bar_model(chain, bars, config.substeps)
        path = model.steps(y0, jnp.zeros((), y0.dtype), dts).ys[1:]
        half = path.shape[1] // 2
        off = (path[:, :half] - ys) * jnp.asarray(weight, ys.dtype)[None]
        return jnp.ravel(off)

    @jax.jit
    def left(log: Array, items: tuple) -> Array:
        one = lambda p: jax.vmap(lambda i: residual(p, jnp.zeros(0), i))(items)
        return jax.vmap(lambda p: jnp.sum(one(p) ** 2))(log)

    def fitting(members: int) -> Callable[[Bars, int, Array], tuple[Array, dict]]:
        step = levenberg_step(
            residual,
            lambda log: jnp.zeros((0,), log.dtype),
            lambda items: jnp.asarray(items[2].size, items[2].dtype),
            members=members,
        )

        def on(mine: Bars, frames: int, start: Array) -> tuple[Array, dict[str, Any]]:
            ys = jnp.asarray(mine.ys[:, :frames], jnp.float32)
            dts = jnp.asarray(np.diff(mine.ts[:frames]), jnp.float32)
            dts = jnp.broadcast_to(dts, (len(ys), frames - 1))
            items = (ys[:, 0], dts, ys[:, 1:, : 3 * bars])
            local = jnp.zeros((members, len(ys), 0), start.dtype)
            opt = levenberg_state(start.dtype, variance=1.0, members=members)
            state = TrainState.start((start, local), opt, jax.random.key(0), members)
            (log, _), told = loop(
                f"law on {frames} frames",
                step,
                state,
                items,
                40,
                every=1,
                settles=True,
            )
            losses = left(log, items)
            best = jnp.argmin(jnp.where(jnp.isfinite(losses), losses, jnp.inf))
            return log[best], told

        return on

    begin = np.array([[k, SHEAR * k, BEND * k] for k in STIFFNESS])
    begin = jnp.asarray(np.log(begin), jnp.float32)
    first, whole = fitting(len(STIFFNESS)), fitting(1)
    laws, tolds = [], []
    for mine in records:
        short = min(SHORT, len(mine.ts))
        log, told = first(mine, short, begin)
        if len(mine.ts) > short:
            log, told = whole(mine, len(mine.ts), log[None])
        laws.append(ElasticBars(log, config.natural))
        tolds.append(told)
    return laws, tolds


def beginning(
    chain: BarChain,
    law: AbstractBarEnergy | None,
    train: Bars,
    config: BarsConfig,
    seed: int,
    loop: Loop,
    etas: Array | None = None,
) -> tuple[BarChain, dict[str, Any]]:
    """The network before it meets clips: taught the law's slopes around what was
    visited (with `etas` the laws of several records), or the measured
    accelerations."""
    params, static = split_trainable(chain)
    if law is not None:
        loss, batch = law_loss(static, law, train, etas)
        name, inner = "network onto the law", 100
    else:
        loss, batch = _acceleration_loss(static, train)
        name, inner = "accelerations", 10
    total = max(inner, config.start_steps // inner * inner)
    transform = adam_cosine(3e-3, total)
    step = gradient_step(loss, transform, inner=inner)
    key = jax.random.key(seed)
    state = TrainState.start(params, transform.init(params), key)
    params, told = loop(name, step, state, batch, total, every=inner, inner=inner)
    return eqx.combine(params, static), told


def law_loss(
    static: Any, law: Any, train: Bars, etas: Array | None = None
) -> tuple[Any, Any]:
    """Slopes of the network against those of a law, around what was visited.

    With `etas` `"record eta"` the leaves of `law` begin with a record axis: each
    record has a law of its own, and the network is told which by eta."""
    seen = jnp.asarray(visited(train), jnp.float32)
    # forces of a third of a newton, and as large ones at the radius, count 1
    radius = float(static.world.radius)
    scale = jnp.asarray(1.0 / np.tile([0.3, 0.3, 0.3 * radius], 2), jnp.float32)
    share = jnp.asarray([AROUND[0], 0.0, 0.0] * 2, jnp.float32)
    width = jnp.asarray([0.0, *AROUND[1:]] * 2, jnp.float32)

    def slopes(energy: Any, z: Array, context: Any) -> Array:
        return jax.grad(lambda z: jnp.sum(energy(z, context)))(z)

    def apart(params: Any, z: Array, law: Any, eta: Any) -> Array:
        own = eqx.combine(params, static).energy
        away = slopes(own, z, eta) - slopes(law, z, None)
        return jnp.mean((away * scale[None]) ** 2)

    def loss(params: Any, seen: Array, key: Any) -> Array:
        at, off = jax.random.split(key)
        z = seen[jax.random.randint(at, (DRAWN,), 0, seen.shape[0])]
        noise = jax.random.normal(off, z.shape, z.dtype)
        z = z * jnp.exp(share[None] * noise) + width[None] * noise
        if etas is None:
            return apart(params, z, law, None)
        # every law is told at a share of the points
        parts = z[: DRAWN // len(etas) * len(etas)].reshape(len(etas), -1, 6)
        return jnp.mean(jax.vmap(apart, (None, 0, 0, 0))(params, parts, law, etas))

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


def on_clips(
    chain: BarChain,
    train: Bars,
    records: Bars,
    config: BarsConfig,
    seed: int,
    loop: Loop,
) -> tuple[BarChain, dict[str, Any]]:
    """Clips that grow; the weights that tell best what comes after are kept."""
    params, static = split_trainable(chain)
    loss, batches, transform = clips_of(static, train, config, seed)
    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    score = held_out(static, train, records, config.substeps)
    params, told = loop(
        "clips",
        gradient_step(loss, transform),
        state,
        batches,
        config.steps,
        every=log_every(config),
        score=lambda params: score(params, None),
    )
    return eqx.combine(params, static), told


def log_every(config: BarsConfig) -> int:
    """Updates between two looks at a training on clips."""
    return max(1, min(20, config.steps // 10))


def clips_of(
    static: Any,
    train: Bars,
    config: BarsConfig,
    seed: int,
    member: Callable[[Any, Any], tuple[Any, Any]] = lambda params, row: (params, None),
) -> tuple[Any, Callable[[int], ClipBatch], optax.GradientTransformation]:
    """The loss on clips, the clips of each update, and the rule of the updates.

    `member(params, row)`: weights of the chain and the context of a record."""
    n = 3 * train.bars
    frames = len(train.ts)
    longest = min(config.longest, frames)
    curriculum = ClipCurriculum(
        min(config.shortest, longest), longest, config.every, config.batch
    )

    def advance(params: Any, row: Any, y: Array, step: tuple) -> Array:
        own, context = member(params, row)
        t, dt = step
        chain = eqx.combine(own, static)
        return moved_by(chain, y, t, dt, config.substeps, context)

    weight = jnp.asarray(channel_weights(config, train.bars), jnp.float32)
    ts, ys = jnp.asarray(train.ts, jnp.float32), jnp.asarray(train.ys, jnp.float32)
    loss = clip_loss(advance, ts, ys, weight, longest)
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

    return loss, batches, transform


def channel_weights(config: BarsConfig, bars: int) -> np.ndarray:
    """Weights of the errors of all channels, bars and rates."""
    w = np.asarray(config.weights)
    return np.concatenate([np.tile(w[:3], bars), np.tile(w[3:], bars)])


def moved_by(
    chain: BarChain, y: Array, t: Any, dt: Any, parts: int, context: Any
) -> Array:
    """One state, an interval later."""
    field = SecondOrder(chain, y.shape[0] // 2)
    return scheme("leapfrog").steps(
        field, t, y, dt / parts, parts, lambda s: None, context
    )


def held_out(static: Any, train: Bars, records: Bars, substeps: int) -> Any:
    """Mean squared distance of centres [mm^2] from the first frame on: of the frames
    after training, or of all where there are none; of weights, and of contexts
    `"record eta"` where the energy has one."""
    n = 3 * records.bars
    begin = len(train.ts) if len(records.ts) > len(train.ts) else 1
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)

    @jax.jit
    def score(params: Any, contexts: Any) -> Array:
        model = bar_model(eqx.combine(params, static), records.bars, substeps)
        start = jnp.zeros((), ys.dtype)
        follow = lambda y, context: model.steps(y, start, dts, None, context).ys
        axes = (0, None if contexts is None else 0)
        path = jax.vmap(follow, axes)(ys[:, 0], contexts)
        off = (path - ys)[:, begin:, :n].reshape(-1, 3)[:, :2]
        return jnp.mean(jnp.sum((1e3 * off) ** 2, axis=-1))

    return score
