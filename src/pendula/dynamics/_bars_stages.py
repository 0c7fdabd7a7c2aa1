"""The stages in which the energy of bars is learned: the classical law, the network
onto it, clips that grow."""

from __future__ import annotations

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
from ._bars import AbstractBarEnergy, ElasticBars
from ._bars_config import BarsConfig
from ._bars_records import bar_model, visited
from ._chain_records import Records
from ._chain_stages import Loop, clips_that_grow, constants
from ._field import SecondOrder


STIFFNESS = (10.0, 30.0, 100.0, 300.0)  # N/m along the axis: where the law begins
SHEAR, BEND = 2.7, 1.3e-3  # of it, at such a begin: stiffer aside; m^2
DRAWN = 512  # triplets to an update of the beginning
# how far around the visited coordinates the beginning is told the law: a share of
# xi (down to that of a chain at rest), and m, rad
AROUND = (0.6, 1.5e-3, 0.1)
GRAVITY = 9.8  # m/s^2, the unit of accelerations in a loss


def classical_law(
    train: Records, world: BarWorld, config: BarsConfig, ends: Any, loop: Loop
) -> tuple[ElasticBars, dict[str, Any]]:
    """The classical law: from four stiffnesses on the first frames, then the best of
    them on whole records."""
    radius = float(world.radius)
    weight = np.tile([1e3, 1e3, 1e3 * radius], train.count)  # errors count in mm

    def simulate(log: Array, y0: Array, dts: Array) -> Array:
        law = ElasticBars(log, config.natural)
        chain = BarChain(law, world, rule=config.rule, **ends)
        model = bar_model(chain, train.count, config.substeps)
        return model.steps(y0, jnp.zeros((), y0.dtype), dts).ys

    begin = np.array([[k, SHEAR * k, BEND * k] for k in STIFFNESS])
    log, told = constants(simulate, weight, train, np.log(begin), loop)
    return ElasticBars(log, config.natural), told


def beginning(
    chain: BarChain,
    law: AbstractBarEnergy | None,
    train: Records,
    config: BarsConfig,
    seed: int,
    loop: Loop,
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
    transform = adam_cosine(3e-3, total)
    step = gradient_step(loss, transform, inner=inner)
    key = jax.random.key(seed)
    state = TrainState.start(params, transform.init(params), key)
    params, told = loop(name, step, state, batch, total, every=inner, inner=inner)
    return eqx.combine(params, static), told


def _law_loss(static: Any, law: AbstractBarEnergy, train: Records) -> tuple[Any, Any]:
    seen = jnp.asarray(visited(train), jnp.float32)
    # forces of a third of a newton, and as large ones at the radius, count 1
    radius = float(static.world.radius)
    scale = jnp.asarray(1.0 / np.tile([0.3, 0.3, 0.3 * radius], 2), jnp.float32)
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
    config: BarsConfig,
    seed: int,
    loop: Loop,
) -> tuple[BarChain, dict[str, Any]]:
    """Clips that grow; the weights that tell best what comes after are kept."""
    params, static = split_trainable(chain)
    n = 3 * train.count
    solver, parts = scheme("leapfrog"), config.substeps

    def advance(params: Any, row: Any, y: Array, step: tuple) -> Array:
        field = SecondOrder(eqx.combine(params, static), n)
        t, dt = step
        return solver.steps(field, t, y, dt / parts, parts, lambda s: None, None)

    w = np.asarray(config.weights)
    weight = np.concatenate([np.tile(w[:3], train.count), np.tile(w[3:], train.count)])
    score = _held_out(static, train, records, config.substeps)
    params, told = clips_that_grow(
        params, advance, weight, train, config, seed, loop, score
    )
    return eqx.combine(params, static), told


def _held_out(static: Any, train: Records, records: Records, substeps: int) -> Any:
    """Mean squared distance of centres [mm^2] from the first frame on: of the frames
    after training, or of all where there are none."""
    n = 3 * records.count
    begin = len(train.ts) if len(records.ts) > len(train.ts) else 1
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)

    @jax.jit
    def score(params: Any) -> Array:
        model = bar_model(eqx.combine(params, static), records.count, substeps)
        start = jnp.zeros((), ys.dtype)
        path = jax.vmap(lambda y: model.steps(y, start, dts).ys)(ys[:, 0])
        off = (path - ys)[:, begin:, :n].reshape(-1, 3)[:, :2]
        return jnp.mean(jnp.sum((1e3 * off) ** 2, axis=-1))

    return score
