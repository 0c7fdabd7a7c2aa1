"""The stages of a family fit: what each trains, on which clips, for how long."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..train import Step, TrainState, finish, init_opt, levenberg_state
from ._family_data import Clips, drawn
from ._family_programs import by_gradient, gauss_newton, inner_loop, meta_score


if TYPE_CHECKING:
    from ._family_fit import Setup

REDRAW = 8  # iterations of Gauss-Newton on one subset of the clips
RESIDUALS_PER_WEIGHT = 4
JOINT = 2000  # updates of the warm start of the outer loops
OUTER = 500
REFERENCE = 200  # as published


@dataclasses.dataclass(frozen=True)
class FamilyStage:
    """One training: its step, the state it starts from for given (weights, etas), the
    batch of each step, its length, and the (weights, etas) that it leaves."""

    name: str
    step: Step
    start: Callable[[Any], TrainState]
    batches: Callable[[int], Any]
    count: int
    log_every: int
    after: Callable[[TrainState], Any]
    settles: bool = False
    score: Callable[[Any], Any] | None = None
    cautious: bool = False


def family_stages(setup: Setup) -> list[Callable[[Any], FamilyStage]]:
    """The stages of the chosen mode, in order, each made for what is fixed of the
    model when its turn comes."""
    newton = functools.partial(functools.partial, _newton_stage, setup)
    adam = functools.partial(functools.partial, _adam_stage, setup)
    if setup.mode == "gauss_newton":
        lengths = [2, min(6, setup.horizon), setup.horizon]
        clean = setup.found.clean
        most = 30 if clean else 150
        stages = [
            newton(length=2, index=0, most=most, other=other)
            for other in range(setup.config.restarts)
        ]
        for index, length in enumerate(dict.fromkeys(lengths)):
            if index == 0:
                continue
            # law and start states together need more iterations, on fewer samples
            last = length == setup.horizon
            most = (40 if last else 12) if clean else 150
            stages.append(newton(length=length, index=index, most=most))
        return stages
    stages = []
    if setup.mode != "reference":
        short = min(6, setup.horizon)
        if short < setup.horizon:
            stages.append(adam(mode="joint", length=short, index=0, count=JOINT // 2))
        stages.append(adam(mode="joint", length=setup.horizon, index=1, count=JOINT))
    if setup.mode != "joint":
        count = REFERENCE if setup.mode == "reference" else OUTER
        of = {"mode": setup.mode, "length": setup.horizon}
        stages.append(adam(**of, index=2, count=count))
    return stages


def _newton_stage(
    setup: Setup, static: Any, *, length: int, index: int, most: int, other: int = 0
) -> FamilyStage:
    """Gauss-Newton on random clips of one length, drawn anew every few steps; `other`
    counts the fresh weights that it is tried with, and the better ones go on."""
    found, dtype = setup.found, setup.dtype
    # all starts in the stage of single intervals, overlapping clips in the others
    stride = max(1, (length - 1) * found.every // 2)
    clips = found.clips(length, stride, dtype)
    each = (length - 1) * found.data.dim
    wanted = RESIDUALS_PER_WEIGHT * setup.weights / (each * found.num)
    most_there = max(len(c.y0) for c in clips)
    count = int(np.clip(np.ceil(wanted), setup.config.clips, most_there))
    if 2 * count > most_there:  # hardly a saving
        count = most_there
    fixed = (static, setup.weight(), jnp.asarray(found.ranges.scale, dtype))
    size, free = setup.config.size, not found.clean
    subset: dict[int, Clips] = {}

    def batches(k: int) -> Any:
        number = k // REDRAW if count < most_there else 0
        if number not in subset:
            subset.clear()
            rng = np.random.default_rng([setup.config.seed, index, number])
            subset[number] = drawn(clips, count, rng, found.spread)
        keep = 0.0 if count < most_there and k % REDRAW == 0 else 1.0
        return fixed, subset[number], jnp.asarray(keep, dtype)

    def widened(pair: Any) -> Any:
        if not free:
            return pair
        starts = jnp.zeros((found.num, count * found.plan.dim), dtype)
        return pair[0], jnp.concatenate([pair[1], starts], axis=1)

    def start(pair: Any) -> TrainState:
        fresh = pair if other == 0 else setup.first(other)[0]
        opt = levenberg_state(dtype, variance=0.0)
        state = TrainState.start(widened(fresh), opt, setup.key)
        return eqx.tree_at(lambda s: s.best, state, widened(pair))

    def after(state: TrainState) -> Any:
        slim = lambda pair: (pair[0], pair[1][:, :size])
        if other == 0:
            return slim(finish(state))
        few = drawn(clips, min(count, 100), np.random.default_rng(0))
        pairs = [slim(state.best), slim(finish(state))]
        as_is = inner_loop("joint", 0, 0.0, 0.0)
        each = [float(meta_score(p, fixed[:2], few, False, as_is)[0]) for p in pairs]
        return pairs[int(each[1] < each[0] or not np.isfinite(each[0]))]

    return FamilyStage(
        f"clips of {length}" + (f", weights {other + 1}" if other else ""),
        gauss_newton(length, free, size if setup.held else 0),
        start,
        batches,
        setup.config.steps or most,
        1,
        after,
        settles=True,
    )


def _adam_stage(
    setup: Setup, static: Any, *, mode: str, length: int, index: int, count: int
) -> FamilyStage:
    """Adam on one of the meta-gradients, fresh random clips at every update."""
    found, config, dtype = setup.found, setup.config, setup.dtype
    clips = found.clips(length, 1 if mode == "reference" else found.every, dtype)
    step, transform = by_gradient(
        mode,
        config.lr,
        config.steps or count,
        config.inner_steps,
        config.inner_rate,
        config.proximal,
        setup.held,
    )
    fixed = (static, setup.weight())
    shared = mode != "joint"  # the outer modes train one start for all
    two = mode in ("second_order", "implicit")

    def some(k: int, part: int) -> Clips:
        rng = np.random.default_rng([config.seed, 10 + index, k, part])
        return drawn(clips, config.clips, rng)

    def batches(k: int) -> Any:
        return fixed, (some(k, 0), some(k, 1)) if two else some(k, 0)

    def start(pair: Any) -> TrainState:
        params, etas = pair
        if shared:
            etas = etas[0] if mode == "reference" else jnp.mean(etas, axis=0)
        pair = (params, etas)
        return TrainState.start(pair, init_opt(transform, pair), setup.key)

    held = some(2**31 - 1, 0)

    find = inner_loop(mode, config.inner_steps, config.inner_rate, config.proximal)

    def score(pair: Any) -> Any:
        return meta_score(pair, fixed, held, shared, find)[0]

    def after(state: TrainState) -> Any:
        pair = finish(state)
        if not shared:
            return pair
        setup.eta0 = np.asarray(pair[1], np.float64)
        return pair[0], meta_score(pair, fixed, held, shared, find)[1]

    return FamilyStage(
        f"{mode}, clips of {length}",
        step,
        start,
        batches,
        config.steps or count,
        20,
        after,
        score=None if mode == "reference" else score,
        cautious=mode != "reference",
    )
