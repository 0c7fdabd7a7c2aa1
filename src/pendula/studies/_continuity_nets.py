"""Networks of study `continuity`: trained on one-step pairs, judged by the test."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .._errors import DivergedError
from ..diagnostics import Convergence, convergence_test
from ..nn import MLP
from ..solve import AbstractScheme, scheme as find_scheme
from ..train import (
    TrainState,
    adam_cosine,
    gradient_step,
    init_opt,
    levenberg_state,
    levenberg_step,
    pulled_equations,
    run,
)
from ._claim import Claim
from ._row import Row
from ._study import Run


INNER = 100  # updates of Adam in one call
WEAK = 1e-3  # prior precision of a weight: it settles what the pairs leave open


class Net(eqx.Module):
    """A network as a field; with a `rate` it is also told the phase of a forcing."""

    mlp: MLP
    rate: float | None = eqx.field(static=True, default=None)

    def __call__(self, t: Any, y: Array, u: Any = None, context: Any = None) -> Array:
        if self.rate is None:
            return self.mlp(y)
        phase = self.rate * jnp.asarray(t, y.dtype)
        return self.mlp(
            jnp.concatenate([y, jnp.stack([jnp.cos(phase), jnp.sin(phase)])])
        )


def pairs(ts: np.ndarray, xs: np.ndarray, most: int) -> tuple[np.ndarray, ...]:
    """Times, states and next states `"pair ..."` of trajectories `"traj time dim"`, at
    most so many of them, evenly taken."""
    t = np.broadcast_to(ts[:-1], xs.shape[:1] + ts[:-1].shape).ravel()
    x = xs[:, :-1].reshape(-1, xs.shape[2])
    y = xs[:, 1:].reshape(-1, xs.shape[2])
    take = np.unique(np.linspace(0, len(x) - 1, most).round().astype(int))
    return t[take], x[take], y[take]


@functools.lru_cache(maxsize=32)
def _programs(
    method: AbstractScheme, substeps: int, members: int, updates: int, lr: float | None
) -> Any:
    """The step of the training: Levenberg-Marquardt, or Adam at a learning rate."""

    def moved(pair: Any, t: Array, x: Array, h: Array) -> Array:
        field = eqx.combine(*pair)
        none = lambda s: None
        if substeps == 1:
            return method.step(field, t, x, h, none, None)
        return method.steps(field, t, x, h / substeps, substeps, none, None)

    def residual(pair: Any, local: Any, item: Any) -> Array:
        t, x, y, h = item
        return moved(pair, t, x, h) - y

    if lr is None:
        return levenberg_step(
            residual,
            lambda pair: WEAK * ravel_pytree(pair[0])[0],
            lambda items: jnp.asarray(items[2].size, items[2].dtype),
            members=members,
            has_static=True,
            # 2000 pairs, 350 weights: twenty times as fast as forward mode
            linearise=pulled_equations,
            separable_prior=True,
        ), None

    def loss(params: Any, batch: Any, key: Any) -> Array:
        static, items = batch
        off = jax.vmap(lambda item: residual((params, static), None, item))(items)
        return jnp.mean(off**2)

    transform = adam_cosine(lr, updates)
    return gradient_step(loss, transform, members=members, inner=INNER), transform


def train(
    data: tuple[np.ndarray, ...],
    dt: float,
    scheme: str,
    *,
    seeds: int,
    updates: int,
    substeps: int = 1,
    width: int = 50,
    rate: float | None = None,
    lr: float | None = None,
) -> list[Net]:
    """One network a seed, float64, fitted to one-step pairs `(t, x, next x)` through
    `substeps` steps of a scheme; by Levenberg-Marquardt, or Adam with `lr`."""
    dim = data[1].shape[1]
    keys = jax.random.split(jax.random.key(0), seeds)
    with jax.enable_x64(True):
        make = lambda k: MLP(dim + 2 * (rate is not None), dim, width, 1, key=k)
        nets = eqx.filter_vmap(lambda k: Net(make(k), rate))(keys)
        nets = jax.tree.map(
            lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, nets
        )
        params, static = eqx.partition(nets, eqx.is_inexact_array)
        step, transform = _programs(find_scheme(scheme), substeps, seeds, updates, lr)
        items = (*(jnp.asarray(x) for x in data), jnp.full(len(data[0]), dt))
        start, inner = params, INNER
        if transform is None:  # a pair is an item without unknowns of its own
            start, inner = (params, jnp.zeros((seeds, len(data[0]), 0))), 1
            opt = levenberg_state(jnp.float64, variance=0.0, members=seeds)
        else:
            opt = init_opt(transform, params, seeds)
        state = TrainState.start(start, opt, jax.random.key(1), seeds)
        batch = (static, items)
        state, reason = run(
            step, state, batch, num_steps=updates, log_every=updates, inner=inner
        )
        if reason != "done":  # on such data there is nothing to judge
            raise DivergedError(f"training in {scheme} at dt = {dt:g}: {reason}")
        found = state.params[0] if transform is None else state.params
        whole = jax.device_get(eqx.combine(found, static))
    pick = lambda k: jax.tree.map(lambda x: np.asarray(x[k]), whole)
    return [pick(k) for k in range(seeds)]


def judge_all(
    nets: Sequence[Net],
    x0: Any,
    t1: float,
    dt: float,
    scheme: str,
    world: Callable[..., Any],
    **more: Any,
) -> tuple[list[Convergence], list[Convergence]]:
    """The test of each network with truth, and without."""
    x0 = np.asarray(x0, np.float64)
    given: dict[str, Any] = {"dt_train": dt, "scheme_train": scheme, **more}
    known = [convergence_test(n, x0, t1, true_field=world, **given) for n in nets]
    bare = [convergence_test(n, x0, t1, **given) for n in nets]
    return known, bare


def count(found: Sequence[Convergence], verdict: str) -> int:
    """How many have this verdict."""
    return sum(c.verdict == verdict for c in found)


# verdicts with truth by the ends of their ids; the last holds what the others do not
VERDICTS = {
    "continuous": ("continuous",),
    "overfit": ("overfit_to_dt",),
    "poor": ("poor",),
    "open": ("inconclusive", "unstable"),
}


def verdict_rows(head: str, words: str, **more: Any) -> Iterator[Row]:
    """How many fields of a training have each verdict, with truth and without."""
    for end, verdicts in VERDICTS.items():
        told = " or ".join(f"`{v}`" for v in verdicts)
        yield Row(f"{head}_{end}", f"{words}: fields {told}.", **more)
    yield Row(f"{head}_bare", f"{words}: `consistent_flow` without truth.")


def verdict_claims(
    into: Run, head: str, known: Sequence[Convergence], bare: Sequence[Convergence]
) -> Iterator[Claim]:
    """What `verdict_rows` ask for."""
    for end, verdicts in VERDICTS.items():
        number = sum(count(known, v) for v in verdicts)
        yield into.row(f"{head}_{end}").measured(number, n=len(known))
    flows = count(bare, "consistent_flow")
    yield into.row(f"{head}_bare").measured(flows, n=len(bare))


def tag(dt: float) -> str:
    """A step as part of an id: `dt0_1`."""
    return f"dt{dt:g}".replace(".", "_")
