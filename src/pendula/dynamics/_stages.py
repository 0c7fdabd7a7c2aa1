"""The stages of a fit: rates first, then clips that grow (or windows)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from .._tree import prior_residual
from ..data import Batch, Trajectories
from ..train import (
    Step,
    TrainState,
    adam_cosine,
    gradient_step,
    init_opt,
    levenberg_state,
    levenberg_step,
)
from ._model import Model, weighted_residual
from ._prepare import Prepared, States


class RatePoints(eqx.Module):
    """Estimated states and rates, for the regression that starts a fit.

    One item is a block of samples: `t` `"item point"`, `ys`, `rates`
    `"item point dim"`, `us` `"item point ctrl"` or None, `mask` `"item point"`.
    """

    t: Float[Array, "item point"]
    ys: Float[Array, "item point dim"]
    rates: Float[Array, "item point dim"]
    us: Float[Array, "item point ctrl"] | None
    mask: Array


@dataclasses.dataclass(frozen=True)
class Stage:
    """One phase of a training, ready for `train.run`."""

    name: str
    clip: int
    clips: int
    step: Step
    state: TrainState
    items: Any
    num_steps: int
    log_every: int
    inner: int
    score: Callable[[Any], Array] | None = None


def rate_points(data: Trajectories, states: States, dtype: Any, most: int = 4000):
    """The samples of the rate regression, thinned to at most `most`."""
    good = np.isfinite(states.ys).all(-1) & np.isfinite(states.rates).all(-1)
    index = np.argwhere(good)
    index = index[:: max(1, -(-len(index) // most))]
    i, k = index.T
    pack = lambda a: jnp.asarray(a[i, k][None], dtype)  # noqa: E731 - four uses
    return RatePoints(
        pack(data.ts),
        pack(states.ys),
        pack(states.rates),
        None if data.us is None else pack(data.us),
        jnp.ones((1, len(i)), bool),
    )


def rate_residual(model: Model, points: RatePoints, weight: Array) -> Array:
    """Field minus estimated rate at the points of one item, weighted, raveled."""
    us = points.us

    def one(t, y, rate, u):
        return (model.field(t, y, u, None) - rate) * weight

    if us is None:
        values = jax.vmap(lambda t, y, r: one(t, y, r, None))(
            points.t, points.ys, points.rates
        )
    else:
        values = jax.vmap(one)(points.t, points.ys, points.rates, us)
    return jnp.ravel(jnp.where(points.mask[:, None], values, 0.0))


def rate_weight(prepared: Prepared, dtype: Any) -> Array:
    """1 / size of each rate; 0 for dq/dt = v, which holds by construction."""
    n = prepared.plan.n
    weight = np.concatenate([np.zeros(n), 1.0 / prepared.ranges.rate])
    return jnp.asarray(weight, dtype)


def start_states(states: States, batch: Batch, dtype: Any) -> np.ndarray:
    """The estimated state at the first sample of every clip."""
    rows, first = np.asarray(batch.origin).T
    return np.asarray(states.ys[rows, first], dtype)


def adam_stages(
    prepared: Prepared,
    params: Any,
    static: Any,
    key: Any,
    *,
    dtype: Any,
    clips: tuple[int, ...],
    steps: int,
    batch: int,
    lr: float,
    members: int,
    free_starts: bool,
    validate: Callable[[int], Callable[[Any], Array] | None],
):
    """The gradient curriculum as (name, maker) pairs; a maker turns the shared
    parameters into a `Stage`, so that each stage starts where the last ended."""
    weight = rate_weight(prepared, dtype)
    points = rate_points(prepared.train, prepared.states, dtype)
    flat = jax.tree.map(lambda x: x[0], points)
    spread = _observed_spread(prepared)

    def rates(params: Any) -> Stage:
        def loss(pair, item, sub):
            take = jax.random.randint(
                sub, (min(256, flat.t.shape[0]),), 0, flat.t.shape[0]
            )
            some = jax.tree.map(lambda x: x[take], item)
            r = rate_residual(eqx.combine(pair[0], static), some, weight)
            return jnp.mean(r * r)

        count = 1500 if steps == 0 else max(10, steps // 10 * 10)
        transform = adam_cosine(5e-3, count)
        pair = (params, jnp.zeros((members, 0), dtype))
        return Stage(
            "rates",
            1,
            int(flat.t.shape[0]),
            gradient_step(loss, transform, members=members, inner=10),
            TrainState.start(pair, init_opt(transform, pair, members), key, members),
            flat,
            count,
            100,
            10,
        )

    def curriculum(length: int, index: int):
        def make(params: Any) -> Stage:
            host = prepared.train.clips(
                length,
                max(1, (length - 1) * prepared.every // 2),
                every=prepared.every,
                dtype=dtype,
            )
            starts = start_states(prepared.states, host, dtype)
            good = np.isfinite(starts).all(1)
            host = jax.tree.map(lambda x: np.asarray(x)[good], host)
            starts = starts[good]
            items = jax.tree.map(jnp.asarray, host)
            number = len(starts)
            scale = jnp.asarray(1.0 / spread, dtype)
            size = jnp.asarray(prepared.ranges.scale, dtype)
            base = jnp.asarray(starts)

            def loss(pair, item, sub):
                take = jax.random.randint(sub, (min(batch, number),), 0, number)
                some = jax.tree.map(lambda x: x[take], item)
                model = eqx.combine(pair[0], static)
                y0 = base[take]
                if free_starts:
                    y0 = y0 + size * pair[1][take]
                r = jax.vmap(weighted_residual, in_axes=(None, 0, 0, None))(
                    model, y0, some, scale
                )
                return jnp.sum(r * r) / jnp.sum(some.mask, dtype=r.dtype).clip(1.0)

            count = steps or _budget(length, prepared.substeps, members)
            transform = adam_cosine(lr * 0.7**index, count)
            extra = (members, number, starts.shape[1]) if free_starts else (members, 0)
            pair = (params, jnp.zeros(extra, dtype))
            inner = 10 if length <= 32 else 5
            return Stage(
                f"clips of {length}",
                length,
                number,
                gradient_step(loss, transform, members=members, inner=inner),
                TrainState.start(
                    pair, init_opt(transform, pair, members), key, members
                ),
                items,
                max(inner, count // inner * inner),
                inner * max(1, count // inner // 15),
                inner,
                validate(index),
            )

        return make

    longest = int(prepared.train.lengths.max() - 1) // prepared.every + 1
    useful = [c for c in clips if c <= longest] or [max(2, min(longest, clips[0]))]
    return [("rates", rates)] + [
        (f"clips of {c}", curriculum(c, i)) for i, c in enumerate(useful)
    ]


def _budget(length: int, substeps: int, members: int) -> int:
    """Updates of a stage: fewer where each costs more, the same on every machine
    (a time limit would make the result depend on the machine's load)."""
    cost = length * substeps * members / 160.0
    return int(np.clip(1200 / np.sqrt(max(cost, 0.25)), 200, 2000))


def _observed_spread(prepared: Prepared) -> np.ndarray:
    ys = np.where(prepared.train.mask, prepared.train.ys, np.nan)
    sd = np.nanstd(ys.reshape(-1, prepared.train.dim), axis=0)
    return np.where(sd > 0, sd, 1.0)


def correlation_time(
    r: Float[Array, "item time obs"], mask: Bool[Array, "item time obs"]
) -> Float[Array, ""]:
    """Integrated autocorrelation time of residuals in samples, mean over channels:
    what `diagnostics.autocorrelation_time` measures, inside the compiled step."""
    length = r.shape[1]
    m = mask.astype(r.dtype)

    def lagged(x):
        f = jnp.fft.rfft(x, 2 * length, axis=1)
        return jnp.fft.irfft(f * jnp.conj(f), 2 * length, axis=1)[:, :length].sum(0)

    pairs = lagged(m)
    rho = lagged(r * m) / jnp.maximum(pairs, 1.0)
    rho = jnp.where(pairs > 0.5, rho, 0.0)
    rho = rho / jnp.maximum(rho[:1], jnp.finfo(r.dtype).tiny)
    even = length // 2 * 2
    gamma = rho[0:even:2] + rho[1:even:2]
    kept = jnp.cumprod(jnp.where(gamma > 0, 1.0, 0.0).astype(r.dtype), axis=0)
    return jnp.mean(jnp.maximum(1.0, 2.0 * (gamma * kept).sum(0) - 1.0))


def levenberg_stages(
    prepared: Prepared,
    params: Any,
    static: Any,
    key: Any,
    *,
    dtype: Any,
    window: int,
    steps: int,
    members: int,
    data: Trajectories | None = None,
    states: States | None = None,
    warm: bool = False,
):
    """Rate regression, windows of a quarter, then whole windows, each by
    Levenberg-Marquardt with free start states. `static` is stacked too: the
    members differ in their prior precision. `warm` skips the first two."""
    data = prepared.train if data is None else data
    states = prepared.states if states is None else states
    weight = rate_weight(prepared, dtype)
    scale = jnp.asarray(1.0 / _observed_spread(prepared), dtype)
    prior = lambda pair: prior_residual(eqx.combine(*pair))  # noqa: E731 - used twice

    def rates(params: Any) -> Stage:
        points = rate_points(data, states, dtype, most=2000)

        def residual(pair, local, item):
            return rate_residual(eqx.combine(*pair), item, weight)

        def count(items):
            return jnp.asarray(items.ys.size, dtype)

        step = levenberg_step(residual, prior, count, members=members, has_static=True)
        pair = (params, jnp.zeros((members, 1, 0), dtype))
        opt = levenberg_state(dtype, variance=1.0, members=members)
        state = TrainState.start(pair, opt, key, members)
        return Stage("rates", 1, points.t.size, step, state, (static, points), 25, 1, 1)

    def windows(length: int, name: str, most: int):
        def make(params: Any) -> Stage:
            host = data.clips(length, every=prepared.every, dtype=dtype)
            starts = start_states(states, host, dtype)
            good = np.isfinite(starts).all(1) & (
                np.asarray(host.mask).sum((1, 2)) > starts.shape[1]
            )
            items = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[good]), host)
            starts = jnp.asarray(
                np.broadcast_to(starts[good], (members, *starts[good].shape))
            )

            def residual(pair, y0, item):
                return weighted_residual(eqx.combine(*pair), y0, item, scale)

            def count(items):
                return jnp.sum(items.mask).astype(dtype)

            def correlated(r, items):
                shaped = r.reshape(items.ys.shape)
                return correlation_time(shaped, items.mask)

            step = levenberg_step(
                residual,
                prior,
                count,
                members=members,
                inflation=correlated,
                has_static=True,
            )
            pair = (params, starts)
            opt = levenberg_state(dtype, variance=1e-2, members=members)
            state = TrainState.start(pair, opt, key, members)
            return Stage(
                name,
                length,
                int(starts.shape[1]),
                step,
                state,
                (static, items),
                steps or most,
                1,
                1,
            )

        return make

    quarter = max(8, (window - 1) // 4 + 1)
    out = [
        ("rates", rates),
        (f"windows of {quarter}", windows(quarter, f"windows of {quarter}", 20)),
    ]
    last = (f"windows of {window}", windows(window, f"windows of {window}", 60))
    if warm:
        return [("refit on all data", last[1])]
    return [*out, last] if quarter < window else [out[0], last]
