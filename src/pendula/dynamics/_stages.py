"""The stages of a fit: rates first, then clips that grow (or windows)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._tree import member as one_of
from ..data import Batch, Trajectories
from ..train import Step, TrainState, init_opt, levenberg_state
from ._look import Look, look_at_clips, look_at_rates
from ._prepare import Prepared, States, observed_spread
from ._programs import (
    RatePoints,
    clips_by_gradient,
    rates_by_gradient,
    rates_by_levenberg,
    windows_by_levenberg,
)


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
    settles: bool = False  # whether it ends when nothing is gained any more
    look: Callable[[Any, int], Look] | None = None  # one member, case by case


def rate_points(
    data: Trajectories, states: States, dtype: Any, most: int = 4000
) -> Any:
    """The samples of the rate regression, thinned to at most `most`."""
    i, k = rate_index(states, most)
    pack = lambda a: jnp.asarray(a[i, k][None], dtype)
    return RatePoints(
        pack(data.ts),
        pack(states.ys),
        pack(states.rates),
        None if data.us is None else pack(data.us),
        jnp.ones((1, len(i)), bool),
    )


def rate_index(states: States, most: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Trajectory and sample of each point of the rate regression."""
    good = np.isfinite(states.ys).all(-1) & np.isfinite(states.rates).all(-1)
    index = np.argwhere(good)
    i, k = index[:: max(1, -(-len(index) // most))].T
    return i, k


def rate_weight(prepared: Prepared, dtype: Any) -> Array:
    """1 / size of each rate; 0 for dq/dt = v where it holds by construction (a
    momentum is no velocity)."""
    n, ranges = prepared.plan.n, prepared.ranges
    first = 1.0 / ranges.scale[n : 2 * n] if prepared.plan.canonical else np.zeros(n)
    weight = np.concatenate([first, 1.0 / ranges.rate])
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
) -> Any:
    """The gradient curriculum as (name, maker) pairs; a maker turns the shared
    parameters into a `Stage`, so that each stage starts where the last ended."""
    weight = rate_weight(prepared, dtype)
    points = rate_points(prepared.train, prepared.states, dtype)
    flat = jax.tree.map(lambda x: x[0], points)
    scale = jnp.asarray(1.0 / observed_spread(prepared.train), dtype)
    size = jnp.asarray(prepared.ranges.scale, dtype)

    def rates(params: Any) -> Stage:
        inner = 10
        count = 1500 if steps == 0 else max(inner, steps // inner * inner)
        step, transform = rates_by_gradient(count, members, inner)
        pair = (params, jnp.zeros((members, 0), dtype))
        return Stage(
            "rates",
            1,
            int(flat.t.shape[0]),
            step,
            TrainState.start(pair, init_opt(transform, pair, members), key, members),
            (static, flat, weight),
            count,
            100,
            inner,
            look=lambda pair, k: look_at_rates(
                (one_of(pair[0], k), static),
                points,
                weight,
                prepared.train,
                rate_index(prepared.states),
            ),
        )

    def curriculum(length: int, index: int) -> Any:
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
            count = steps or _budget(length, prepared.substeps, members)
            inner = 10 if length <= 32 else 5
            step, transform = clips_by_gradient(
                lr * 0.7**index, count, members, inner, batch, free_starts
            )
            begin = jnp.asarray(starts)

            def look(pair: Any, k: int) -> Look:
                moved = begin + size[None] * pair[1][k] if free_starts else begin
                mine = (one_of(pair[0], k), static)
                return look_at_clips(mine, moved, items, scale, prepared.train)

            extra = (members, number, starts.shape[1]) if free_starts else (members, 0)
            pair = (params, jnp.zeros(extra, dtype))
            return Stage(
                f"clips of {length}",
                length,
                number,
                step,
                TrainState.start(
                    pair, init_opt(transform, pair, members), key, members
                ),
                (static, items, begin, scale, size),
                max(inner, count // inner * inner),
                inner * max(1, count // inner // 15),
                inner,
                validate(index),
                look=look,
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
) -> Any:
    """Rate regression, windows of a quarter, then whole windows, each by
    Levenberg-Marquardt with free start states. `static` is stacked too: the
    members differ in their prior precision. `warm` skips the first two."""
    data = prepared.train if data is None else data
    states = prepared.states if states is None else states
    each = lambda x: jnp.broadcast_to(x, (members, *x.shape))
    weight = each(rate_weight(prepared, dtype))
    scale = each(jnp.asarray(1.0 / observed_spread(prepared.train), dtype))

    def rates(params: Any) -> Stage:
        points = rate_points(data, states, dtype, most=2000)

        step = rates_by_levenberg(members)
        pair = (params, jnp.zeros((members, 1, 0), dtype))
        opt = levenberg_state(dtype, variance=1.0, members=members)
        state = TrainState.start(pair, opt, key, members)
        batch = ((static, weight), points)

        def look(pair: Any, k: int) -> Look:
            mine = (one_of(pair[0], k), one_of(static, k))
            index = rate_index(states, 2000)
            return look_at_rates(mine, points, weight[k], data, index)

        return Stage(
            "rates",
            1,
            points.t.size,
            step,
            state,
            batch,
            25,
            1,
            1,
            settles=True,
            look=look,
        )

    def windows(length: int, name: str, most: int) -> Any:
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

            step = windows_by_levenberg(members)
            pair = (params, starts)
            opt = levenberg_state(dtype, variance=1e-2, members=members)
            state = TrainState.start(pair, opt, key, members)

            def look(pair: Any, k: int) -> Look:
                mine = (one_of(pair[0], k), one_of(static, k))
                return look_at_clips(mine, pair[1][k], items, scale[k], data)

            return Stage(
                name,
                length,
                int(starts.shape[1]),
                step,
                state,
                ((static, scale), items),
                steps or most,
                1,
                1,
                settles=True,
                look=look,
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
