"""Other ways to learn the motion of bars, to be compared with an energy: maps from a
frame to the next, forces, energies told directly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..dynamics import (
    AbstractField,
    BarChain,
    BarWorld,
    bar_model,
    pair_coordinates,
)
from ..nn import MLP
from ..train import TrainState, adam_cosine, finish, gradient_step, run


DRAWN = 512  # samples to an update
INNER = 100  # updates to a call
WIDTH, DEPTH = 64, 4  # of maps and forces: about as many weights as the energy has


def descend(loss: Any, model: Any, batch: Any, updates: int, seed: int) -> Any:
    """A model whose `loss(model, batch, key)` Adam has lowered, 3e-3 falling."""
    params, static = eqx.partition(model, eqx.is_inexact_array)
    total = max(INNER, updates // INNER * INNER)
    transform = adam_cosine(3e-3, total)
    step = gradient_step(
        lambda p, batch, key: loss(eqx.combine(p, static), batch, key),
        transform,
        inner=INNER,
    )
    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    state, _ = run(step, state, batch, num_steps=total, log_every=total, inner=INNER)
    return eqx.combine(finish(state), static)


def neighbours(values: Float[Any, "*lead bar k"]) -> Any:
    """Each bar's left neighbour, itself and its right one, side by side; an end has
    itself as a neighbour."""
    left = jnp.concatenate([values[..., :1, :], values[..., :-1, :]], axis=-2)
    right = jnp.concatenate([values[..., 1:, :], values[..., -1:, :]], axis=-2)
    return jnp.concatenate([left, values, right], axis=-1)


class Scaled(eqx.Module):
    """A network between standardised inputs and outputs."""

    net: MLP
    low: tuple = eqx.field(static=True)
    high: tuple = eqx.field(static=True)

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, seed: int) -> Scaled:
        """For these samples."""
        key = jax.random.key(seed)
        net = MLP(x.shape[1], y.shape[1], WIDTH, DEPTH, activation="softplus", key=key)
        low = tuple(map(tuple, (x.mean(0).tolist(), (x.std(0) + 1e-9).tolist())))
        high = tuple(map(tuple, (y.mean(0).tolist(), (y.std(0) + 1e-9).tolist())))
        return cls(net, low, high)

    def __call__(self, x: Float[Array, "in"]) -> Float[Array, "out"]:
        """In the units of the samples."""
        mean, spread = (jnp.asarray(v, x.dtype) for v in self.low)
        y = self.net((x - mean) / spread)
        mean, spread = (jnp.asarray(v, x.dtype) for v in self.high)
        return mean + spread * y


def fit_scaled(
    x: np.ndarray, y: np.ndarray, updates: int, seed: int
) -> tuple[Scaled, float]:
    """A network of samples `"sample in"`, `"sample out"`, and its error over their
    spread (root of the mean square)."""
    model = Scaled.of(x, y, seed)
    spread = jnp.asarray(model.high[1], jnp.float32)
    put = lambda a: jnp.asarray(a, jnp.float32)

    def off(model: Any, x: Array, y: Array) -> Array:
        return jnp.mean(((jax.vmap(model)(x) - y) / spread[None]) ** 2)

    def loss(model: Any, batch: tuple, key: Any) -> Array:
        at = jax.random.randint(key, (DRAWN,), 0, batch[0].shape[0])
        return off(model, batch[0][at], batch[1][at])

    model = descend(loss, model, (put(x), put(y)), updates, seed)
    some = np.random.default_rng(seed).permutation(len(x))[:20000]
    left = jax.jit(off)(model, put(x[some]), put(y[some]))
    return model, float(np.sqrt(left))


def next_map(
    u: np.ndarray, v: np.ndarray | None, updates: int, seed: int
) -> tuple[Callable[..., np.ndarray], float]:
    """From three bars to the middle one a frame later (with rates too where they are
    given): a function that goes on `frames` times, and the error in spreads."""
    seen = u if v is None else np.concatenate([u, v], axis=-1)
    x = np.asarray(neighbours(jnp.asarray(seen)))[:-1, 1:-1]
    y = seen[1:, 1:-1]
    model, error = fit_scaled(
        x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), updates, seed
    )

    def onwards(u0: np.ndarray, v0: np.ndarray, frames: int, last: bool) -> np.ndarray:
        begin = u0 if v is None else np.concatenate([u0, v0], axis=-1)
        return np.asarray(_repeat(model, jnp.asarray(begin, jnp.float32), frames, last))

    return onwards, error


@eqx.filter_jit
def _repeat(model: Scaled, begin: Array, frames: int, last: bool) -> Array:
    def one(now: Array, _: Any) -> tuple[Array, Array]:
        after = jax.vmap(model)(neighbours(now)).at[0].set(begin[0])
        if last:
            after = after.at[-1].set(begin[-1])
        return after, after

    path = jax.lax.scan(one, begin, None, length=frames - 1)[1]
    return jnp.concatenate([begin[None], path])[..., :3]


class Forces(AbstractField):
    """Accelerations of bars of which a network says the force on each from itself and
    its neighbours."""

    net: Scaled
    world: BarWorld
    last: bool = eqx.field(static=True)

    def __call__(self, t: Any, y: Any, u: Any = None, context: Any = None) -> Any:
        """Of state `"6 bar"`: `"3 bar"`."""
        bars = y[: y.shape[0] // 2].reshape(-1, 3)
        rates = y[y.shape[0] // 2 :].reshape(-1, 3)
        w = jax.tree.map(lambda x: jnp.asarray(x, y.dtype), self.world)
        force = jax.vmap(self.net)(neighbours(bars))
        loss = jnp.stack([w.drag, w.drag, w.spin_drag])
        pull = jnp.concatenate([w.gravity, jnp.zeros(1, y.dtype)])
        out = (force - loss[None] * rates) / self.world.masses(y)[None] + pull[None]
        out = out.at[0].set(0.0)
        return (out.at[-1].set(0.0) if self.last else out).ravel()


def force_samples(
    ts: np.ndarray, u: np.ndarray, v: np.ndarray, world: BarWorld
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of three bars `"sample 9"` and the force on the middle one
    `"sample 3"`, from differences of the rates."""
    force = net_forces(ts, v, world)[:, 1:-1]
    x = np.asarray(neighbours(jnp.asarray(u)))[1:-1, 1:-1]
    return x.reshape(-1, 9), force.reshape(-1, 3)


def net_forces(ts: np.ndarray, v: np.ndarray, world: BarWorld) -> np.ndarray:
    """M (u'' - g) at all frames but the first and the last."""
    rates = (v[2:] - v[:-2]) / (ts[2:] - ts[:-2])[:, None, None]
    masses = np.stack([world.mass, world.mass, world.inertia])
    return masses * (rates - np.append(world.gravity, 0.0))


def turned(
    x: np.ndarray, y: np.ndarray, copies: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Every sample turned and mirrored at random, `copies` times."""
    rng = np.random.default_rng(seed)
    x, y = np.tile(x, (copies, 1)), np.tile(y, (copies, 1))
    angle = rng.uniform(0.0, 2.0 * np.pi, len(x))
    side = rng.choice([-1.0, 1.0], len(x))
    c, s = np.cos(angle), np.sin(angle)

    def moved(a: np.ndarray, tilt: np.ndarray | float) -> np.ndarray:
        flat = a[:, 0], side * a[:, 1]
        along = c * flat[0] - s * flat[1], s * flat[0] + c * flat[1]
        return np.stack([*along, side * a[:, 2] + tilt], axis=1)

    bars = [moved(x[:, k : k + 3], angle) for k in (0, 3, 6)]
    return np.concatenate(bars, axis=1), moved(y, 0.0)


def follow_field(
    field: AbstractField, ts: np.ndarray, u0: np.ndarray, v0: np.ndarray
) -> np.ndarray:
    """Bars at `ts`, leapfrog of five steps to a frame."""
    begin = jnp.asarray(np.concatenate([u0.ravel(), v0.ravel()]), jnp.float32)
    return np.asarray(
        _followed(field, begin, jnp.asarray(np.diff(ts), jnp.float32)), np.float64
    )


@eqx.filter_jit
def _followed(field: Any, begin: Array, dts: Array) -> Array:
    bars = begin.shape[0] // 6
    ys = bar_model(field, bars).steps(begin, jnp.zeros((), begin.dtype), dts).ys
    return ys[:, : 3 * bars].reshape(-1, bars, 3)


def told_energy(
    chain: BarChain,
    u: np.ndarray,
    stored: np.ndarray,
    forces: np.ndarray | None,
    updates: int,
    seed: int,
) -> tuple[BarChain, float]:
    """The chain whose energy has been told what each cycle stores (`"time bar"`) and,
    where they are given, the forces on bars (all frames but the first and the last);
    with the error of the energies in spreads."""
    put = lambda a: jnp.asarray(a, jnp.float32)
    pairs = np.asarray(pair_coordinates(put(u[:, :-1]), put(u[:, 1:])))
    z = np.concatenate([pairs[:, :-1], pairs[:, 1:]], axis=-1).reshape(-1, 6)
    own = stored[:, 1:-1].reshape(-1)
    spread = put(own.std())
    batch = [put(z), put(own - own.min()), put(u[1:-1])]
    size = jnp.ones(3)
    if forces is not None:
        batch.append(put(forces[:, 1:-1]))
        size = put(forces[:, 1:-1].std(axis=(0, 1)))

    def off(energy: Any, z: Array, own: Array) -> Array:
        return jnp.mean(((energy(z) - own) / spread) ** 2)

    def loss(chain: BarChain, batch: list, key: Any) -> Array:
        first, second = jax.random.split(key)
        at = jax.random.randint(first, (DRAWN,), 0, batch[0].shape[0])
        total = off(chain.energy, batch[0][at], batch[1][at])
        if forces is not None:
            at = jax.random.randint(second, (4,), 0, batch[2].shape[0])
            pushed = jax.vmap(chain.force)(batch[2][at])[:, 1:-1]
            away = (pushed - batch[3][at]) / size[None, None]
            total = total + jnp.mean(away**2)
        return total

    begin = jax.tree.map(jnp.asarray, chain)
    energy = descend(
        lambda e, batch, key: loss(_with(begin, e), batch, key),
        begin.energy,
        batch,
        updates,
        seed,
    )
    return _with(begin, energy), float(np.sqrt(jax.jit(off)(energy, *batch[:2])))


def _with(chain: BarChain, energy: Any) -> BarChain:
    return eqx.tree_at(lambda c: c.energy, chain, energy)
