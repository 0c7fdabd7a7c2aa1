"""The stages in which the energy of bars is learned: the classical law, the network
onto it, clips that grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._tree import split_trainable
from ..solve import scheme
from ..train import TrainState, adam_cosine, gradient_step
from ._bar_chain import BarChain, BarWorld
from ._bars import ESNN, AbstractBarEnergy, ElasticBars
from ._bars_config import BarsConfig
from ._bars_records import bar_model, visited
from ._chain_records import Records
from ._chain_stages import Loop, clips_that_grow, constants
from ._clips_config import ClipsConfig
from ._field import SecondOrder


# 1/s^2, stiffness along the axis over a bar's mass, where the law begins: a Slinky's
# 10 to 300 N/m
STIFFNESS = (4e3, 1.2e4, 4e4, 1.2e5)
SHEAR, BEND = 2.7, 1.2  # of it, at such a begin: stiffer aside; of it and R^2
DRAWN = 512  # triplets to an update of the beginning
# how far around the visited coordinates the beginning is told the law: a share of
# xi (down to that of a chain at rest), and m, rad
AROUND = (0.6, 1.5e-3, 0.1)
GRAVITY = 9.8  # m/s^2, the unit of accelerations in a loss


def bar_network(config: BarsConfig, seed: int, eta: int = 0) -> ESNN:
    """A fresh network of the settings; `eta` is the size of its context."""
    return ESNN.create(
        jax.random.key(seed),
        width=config.width,
        depth=config.depth,
        eta=eta,
        group=config.group,
        bounded=config.bounded,
        activation=config.activation,
        squared=config.squared,
        rest=(config.natural, 0.0, 0.0) * 2,
    )


def classical_laws(
    sets: Sequence[Records],
    world: BarWorld,
    config: BarsConfig,
    ends: Any,
    loop: Loop,
) -> tuple[list[ElasticBars], list[dict[str, Any]]]:
    """The classical law of each of several sets of records of equal shape: from four
    stiffnesses on short clips, then the best of them on whole records."""
    mass, radius, bars = float(world.mass), float(world.radius), sets[0].count
    weight = np.tile([1e3, 1e3, 1e3 * radius], bars)  # errors count in mm

    def simulate(log: Array, y0: Array, dts: Array) -> Array:
        law = ElasticBars(log, config.natural)
        chain = BarChain(law, world, rule=config.rule, **ends)
        model = bar_model(chain, bars, config.substeps)
        return model.steps(y0, jnp.zeros((), y0.dtype), dts).ys

    begin = mass * np.outer(STIFFNESS, [1.0, SHEAR, BEND * radius**2])
    logs, told = constants(simulate, weight, sets, np.log(begin), loop)
    return [ElasticBars(log, config.natural) for log in logs], told


def beginning(
    chain: BarChain,
    law: AbstractBarEnergy | None,
    train: Records,
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
    static: Any, law: Any, train: Records, etas: Array | None = None
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


def _acceleration_loss(static: Any, train: Records) -> tuple[Any, Any]:
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
    train: Records,
    records: Records,
    config: ClipsConfig,
    seed: int,
    loop: Loop,
    chosen: Any = None,
) -> tuple[BarChain, dict[str, Any]]:
    """Clips that grow; the weights that tell best what comes after are kept. `chosen`:
    True at each array that is learned (default: at all that can be)."""
    split = split_trainable(chain) if chosen is None else eqx.partition(chain, chosen)
    params, static = split

    def advance(params: Any, row: Any, y: Array, step: tuple) -> Array:
        return moved_by(eqx.combine(params, static), y, step, config.substeps)

    weight = channel_weights(config, train.count)
    score = held_out(static, train, records, config.substeps)
    params, told = clips_that_grow(
        params,
        advance,
        weight,
        train,
        config,
        seed,
        loop,
        lambda params: score(params, None),
    )
    return eqx.combine(params, static), told


def channel_weights(config: ClipsConfig, bars: int) -> np.ndarray:
    """Weights of the errors of all channels, bars and rates."""
    w = np.asarray(config.weights)
    return np.concatenate([np.tile(w[:3], bars), np.tile(w[3:], bars)])


def moved_by(
    chain: BarChain, y: Array, step: tuple, parts: int, context: Any = None
) -> Array:
    """One state, an interval `step` (t, dt) later."""
    field, (t, dt) = SecondOrder(chain, y.shape[0] // 2), step
    return scheme("leapfrog").steps(
        field, t, y, dt / parts, parts, lambda s: None, context
    )


def held_out(static: Any, train: Records, records: Records, substeps: int) -> Any:
    """Mean squared distance of centres [mm^2] from the first frame on: of the frames
    after training, or of all where there are none; of weights, and of contexts
    `"record eta"` where the energy has one."""
    n = 3 * records.count
    begin = len(train.ts) if len(records.ts) > len(train.ts) else 1
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)

    @jax.jit
    def score(params: Any, contexts: Any) -> Array:
        model = bar_model(eqx.combine(params, static), records.count, substeps)
        start = jnp.zeros((), ys.dtype)
        follow = lambda y, context: model.steps(y, start, dts, None, context).ys
        axes = (0, None if contexts is None else 0)
        path = jax.vmap(follow, axes)(ys[:, 0], contexts)
        off = (path - ys)[:, begin:, :n].reshape(-1, 3)[:, :2]
        return jnp.mean(jnp.sum((1e3 * off) ** 2, axis=-1))

    return score
