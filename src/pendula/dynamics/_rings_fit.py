"""Learning the energy of rings from one record of their motion in space."""

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
from jaxtyping import Array

from .._errors import DivergedError
from .._precision import to_host
from .._tree import num_parameters, split_trainable
from ..data import Trajectories
from ..systems import rings_of
from ._bars_stages import STIFFNESS
from ._chain_records import Records
from ._chain_stages import Loop, clips_that_grow, constants
from ._config import to_dict
from ._ring_chain import POSE, RATE, RingChain, RingWorld
from ._rings import ElasticRings, RingESNN
from ._rings_config import RingsConfig
from ._rings_run import ring_frame, ring_steps


SHEAR, TWIST, BEND = 2.7, 1.3, 1.2  # of the stretch; turns of it and R^2


@dataclasses.dataclass(frozen=True)
class FittedRings:
    """The `chain` that was learned, and on the way to it: with the law that its network
    stands on alone (`law`), with six `springs` alone. Replace `world`, `first`, `last`
    of any for another chain of any number of rings.

    `about`: `constants` of the six springs [N/m, N m], the `stages` and `seconds` of
    the training, `parameters`, `config`.
    """

    chain: RingChain
    law: RingChain
    springs: RingChain
    about: dict[str, Any]


def fit_rings(
    data: Trajectories,
    world: RingWorld,
    config: RingsConfig | None = None,
    *,
    first: bool = True,
    last: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> FittedRings:
    r"""Learn the elastic energy of a chain of rings.

    $$ \min_\theta \sum_{clips} \sum_t |W (y_\theta(t) - y(t))|^2 $$

    Six springs by Levenberg-Marquardt on whole records, then the couplings that the
    symmetry of a helix leaves (`law="coupled"`), then a network on top of this law, on
    clips whose length grows.

    **Arguments:** `data` of `pendula.systems.ring_record`, all records on the same
    times; `world`: masses and loads of the records; `first`, `last`: which ends were
    held; `out`: a run folder; with `resume` a killed training goes on from its last
    checkpoint.
    **Raises:** `DataError`, `ConfigError` for records that cannot be used,
    `DivergedError` when what was learned is not finite.
    **Source:** Wang 2023, section 3.3, in a plane; in space ours.
    """
    config = RingsConfig() if config is None else config
    began = time.perf_counter()
    records = Records.of(data, rings_of, POSE, RATE)
    train = records.until(config.span)
    ends = {"first": first, "last": last}
    loop = Loop.opened(out, resume, tell, config, world, data, **ends)
    springs, law, stages = ring_laws(train, world, config, ends, loop)
    chain = RingChain(law, world, **ends)
    if config.steps:
        energy = RingESNN.create(
            jax.random.key(config.seed),
            law,
            width=config.width,
            depth=config.depth,
            group=config.group,
        )
        chain, told = _on_clips(
            dataclasses.replace(chain, energy=energy), train, records, config, loop
        )
        stages.append(told)
    chain = to_host(chain)
    leaves = jax.tree.leaves(split_trainable(chain)[0])
    if not all(np.isfinite(x).all() for x in leaves):
        raise DivergedError(
            "the energy of rings is not finite after training. Lower lr, or take "
            "shorter clips."
        )
    about = {
        "constants": np.exp(np.asarray(springs.springs, np.float64)).tolist(),
        "stages": stages,
        "seconds": time.perf_counter() - began,
        "parameters": num_parameters(chain),
        "config": to_dict(config),
    }
    alone = lambda law: to_host(RingChain(law, world, **ends))
    return FittedRings(chain, alone(law), alone(springs), about)


def ring_laws(
    train: Records, world: RingWorld, config: RingsConfig, ends: Any, loop: Loop
) -> tuple[ElasticRings, ElasticRings, list[dict[str, Any]]]:
    """Six springs from four stiffnesses; the law, with couplings beside them or not."""
    radius = float(world.radius)
    # errors count in mm; a turn by a is one of sqrt(2) a in q
    own = [1e3] * 3 + [1e3 * radius / np.sqrt(2.0)] * 9
    weight = np.tile(own, train.count)

    def law(numbers: Array) -> ElasticRings:
        more = numbers[6:] if numbers.shape[0] > 6 else jnp.zeros(7, numbers.dtype)
        return ElasticRings(numbers[:6], more, config.natural)

    def simulate(numbers: Array, y0: Array, dts: Array) -> Array:
        chain = RingChain(law(numbers), world, **ends)
        return ring_steps(chain, y0, dts, config.substeps)

    turns = np.array([TWIST, BEND, BEND]) * radius**2
    ratios = float(world.mass) * np.concatenate([[1.0, SHEAR, SHEAR], turns])
    begin = np.log(np.outer(STIFFNESS, ratios))
    (found,), stages = constants(simulate, weight, [train], begin, loop, "springs")
    springs = law(found)
    if config.law == "coupled":
        begin = jnp.concatenate([found, jnp.zeros(7, found.dtype)])[None]
        (found,), told = constants(simulate, weight, [train], begin, loop, "couplings")
        stages += told
    return springs, law(found), stages


def _on_clips(
    chain: RingChain,
    train: Records,
    records: Records,
    config: RingsConfig,
    loop: Loop,
) -> tuple[RingChain, dict[str, Any]]:
    """The network on clips; the weights that tell best what comes after are kept."""
    params, static = split_trainable(chain)

    def advance(params: Any, row: Any, y: Array, step: tuple) -> Array:
        return ring_frame(eqx.combine(params, static), y, step[1], config.substeps)

    x, q, v, w = config.weights
    pose, rate = [x] * 3 + [q] * 9, [v] * 3 + [w] * 3
    weight = np.concatenate([np.tile(pose, train.count), np.tile(rate, train.count)])
    score = _held_out(static, train, records, config.substeps)
    params, told = clips_that_grow(
        params, advance, weight, train, config, config.seed, loop, score
    )
    return eqx.combine(params, static), told


def _held_out(static: Any, train: Records, records: Records, substeps: int) -> Any:
    """Mean squared distance of tops and bottoms [mm^2] from the first frame on: of the
    frames after training, or of all where there are none."""
    n = POSE * records.count
    begin = len(train.ts) if len(records.ts) > len(train.ts) else 1
    ys = jnp.asarray(records.ys, jnp.float32)
    dts = jnp.asarray(np.diff(records.ts), jnp.float32)
    arm = static.world.radius

    @jax.jit
    def score(params: Any) -> Array:
        chain = eqx.combine(params, static)
        path = jax.vmap(lambda y: ring_steps(chain, y, dts, substeps))(ys[:, 0])
        off = 1e3 * (path - ys)[:, begin:, :n].reshape(-1, POSE)
        turn = jnp.asarray(arm, ys.dtype) * off[:, 4::3]  # of the way to the top
        # the mean of |x + a|^2 and |x - a|^2
        return jnp.mean(jnp.sum(off[:, :3] ** 2 + turn**2, axis=-1))

    return score
