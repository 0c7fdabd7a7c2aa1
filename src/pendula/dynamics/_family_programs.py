"""The compiled steps of a family fit, each made once for equal settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from .._tree import prior_residual
from ..nn import bind
from ..train import (
    Estimate,
    Step,
    TrainState,
    adam_cosine,
    chained_normal,
    first_order,
    gradient_step,
    halvable,
    implicit,
    inner_descent,
    levenberg_step,
    mean_loss,
    plain_gradient,
    released,
    second_order,
)
from ._family_data import Clips
from ._model import Model, weighted_residual


def clip_residuals(
    model: Model, eta: Array, clips: Clips, weight: Any
) -> Float[Array, "clip residual"]:
    """Weighted residuals of the clips of one system."""
    member = bind(model, eta)
    return jax.vmap(weighted_residual, (None, 0, 0, None))(
        member, clips.y0, clips.batch, weight
    )


def instance_loss(model: Model, eta: Array, clips: Clips, weight: Any) -> Array:
    """L_i: mean over clips, times and channels of the squared weighted error."""
    r = clip_residuals(model, eta, clips, weight)
    count = jnp.sum(clips.batch.mask, dtype=r.dtype).clip(1.0)
    return jnp.sum(r * r) / count


def _join(pair: tuple) -> tuple[Model, Any]:
    params, (static, weight) = pair
    return eqx.combine(params, static), weight


@functools.lru_cache(maxsize=32)
def gauss_newton(length: int, free: bool, held: int = 0) -> Step:
    """Levenberg-Marquardt on the weights and every eta (but `held` entries), Jacobians
    chained from single intervals; the batch is `((static, weight, scale), items,
    keep)`. With `free` the start states of the clips are unknowns too, behind eta in
    the local part, in units of `scale`; `keep` is 0 where the clips are new and their
    starts begin afresh."""

    def residual(pair: Any, local: Array, clips: Clips) -> Array:
        params, (static, weight, scale) = pair
        eta = local
        if free:
            eta, y0 = released(local, clips.y0, scale)
            clips = eqx.tree_at(lambda c: c.y0, clips, y0)
        model = eqx.combine(params, static)
        return jnp.ravel(clip_residuals(model, eta, clips, weight))

    def step(pair: Any, eta: Array, y: Array, clips: Clips, s: Array, k: Array) -> Any:
        model = bind(eqx.combine(pair[0], pair[1][0]), eta)
        b = clips.batch
        us = None if b.us is None else b.us[s, k][None]
        ends = b.t0[s] + jnp.cumsum(b.dts[s])
        begin = jnp.where(k == 0, b.t0[s], ends[jnp.maximum(k - 1, 0)])
        return model.steps(y, begin, b.dts[s, k][None], us).ys[-1]

    def rows(pair: Any, y: Array, clips: Clips, s: Array, k: Array) -> Array:
        params, (static, weight, _) = pair
        model = eqx.combine(params, static)
        off = (model.observe(y) - clips.batch.ys[s, k + 1]) * weight
        return jnp.where(clips.batch.mask[s, k + 1], off, 0.0)

    once = levenberg_step(
        residual,
        lambda pair: prior_residual(eqx.combine(pair[0], pair[1][0])),
        # the samples at the starts pay for the starts where these are free
        lambda items: jnp.sum(items.batch.mask[:, :, 1:], dtype=items.y0.dtype),
        has_static=True,
        linearise=chained_normal(
            step,
            rows,
            lambda pair, clips: (clips.y0, pair[1][2]),
            length - 1,
            free=free,
            held=True,
        ),
        local_precision=1.0,
        tolerance=1e-3,
        separable_prior=True,
        hold_local=held,
    )
    if not free:
        return lambda state, batch: once(state, batch[:2])

    def afresh(state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        fixed, items, keep = batch
        params, local = state.params
        size = items.y0.shape[1] * items.y0.shape[2]
        share = jnp.ones(local.shape[1], local.dtype).at[-size:].set(keep)
        state = eqx.tree_at(lambda s: s.params, state, (params, share[None] * local))
        return once(state, (fixed, items))

    return afresh


@functools.lru_cache(maxsize=32)
def inner_loop(
    mode: str, steps: int, rate: float, proximal: float
) -> Callable[[Callable[[Array], Array], Array], Array]:
    """How a mode finds the eta of one system: `find(loss, start)`."""
    if mode == "joint":
        return lambda loss, eta: eta
    if mode != "implicit":
        plain = lambda loss: lambda _, eta, __: loss(eta)
        return lambda loss, eta: inner_descent(
            plain(loss), None, eta, None, steps, rate
        )[0]

    def solve(loss: Callable[[Array], Array], eta0: Array) -> Array:
        def pulled(eta: Array) -> Array:
            return loss(eta) + 0.5 * proximal * jnp.sum((eta - eta0) ** 2)

        return newton(pulled, eta0, steps)

    return solve


@functools.lru_cache(maxsize=32)
def by_gradient(
    mode: str,
    lr: float,
    count: int,
    inner_steps: int,
    inner_rate: float,
    proximal: float,
    held: bool = False,
) -> tuple[Step, optax.GradientTransformation]:
    """Adam on one of the meta-gradients. Parameters are `((theta, etas or the shared
    start))`; the batch is `((static, weight), items)`, items a pair of support and
    query where the mode has both. `held`: etas are known and stay (joint)."""

    def bound(fixed: Any) -> Any:
        def loss(theta: Any, eta: Array, clips: Clips) -> Array:
            model, weight = _join((theta, fixed))
            return instance_loss(model, eta, clips, weight)

        return loss

    def loss(pair: Any, batch: Any, key: Any) -> Array:
        fixed, items = batch
        if held:
            pair = (pair[0], jax.lax.stop_gradient(pair[1]))
        if mode == "second_order":
            inner = second_order(bound(fixed), inner_steps, inner_rate)
            return inner(pair, items, key)
        return mean_loss(bound(fixed))(pair, items, key)

    def estimator(
        loss: Any, pair: Any, batch: Any, key: Any, step: Any, statistics: Any
    ) -> Estimate:
        fixed, items = batch
        mine = bound(fixed)
        if mode in ("first_order", "reference"):
            late = mode == "reference"
            inner = first_order(mine, inner_steps, inner_rate, late=late)
            return inner(loss, pair, items, key)
        if mode == "implicit":
            find = inner_loop(mode, inner_steps, inner_rate, proximal)

            def solve(theta: Any, eta0: Array, support: Any) -> Array:
                return find(lambda eta: mine(theta, eta, support), eta0)

            return implicit(mine, solve, proximal)(loss, pair, items, key)
        return plain_gradient(loss, pair, batch, key)

    # as published: a constant rate, no clipping, the lowest training loss is kept
    flat = mode == "reference"
    transform = optax.adam(lr) if flat else halvable(adam_cosine(lr, count))
    step = gradient_step(loss, transform, estimator=estimator, lowest=flat)
    return step, transform


def newton(loss: Any, eta: Array, steps: int) -> Array:
    """A few damped Newton steps on a small vector, each taken only when it gains."""

    def once(carry: tuple, _: Any) -> tuple[tuple, None]:
        eta, mu = carry
        g, h = jax.grad(loss)(eta), jax.hessian(loss)(eta)
        w, v = jnp.linalg.eigh(h)
        curve = jnp.maximum(jnp.abs(w), 1e-8) + mu
        new = eta - v @ ((v.T @ g) / curve)
        better = loss(new) < loss(eta)
        mu = jnp.where(better, 0.1 * mu, 10.0 * mu + 1e-6)
        return (jnp.where(better, new, eta), mu), None

    start = (eta, jnp.asarray(1e-3, eta.dtype))
    (eta, _), _ = jax.lax.scan(once, start, None, length=4 * steps)
    return eta


@eqx.filter_jit
def descend(
    model: Model, eta0: Array, items: Clips, weight: Any, steps: int, rate: Array
) -> tuple[Array, Array]:
    """`gd` adaptation of many systems: (etas, losses before and after)."""

    def one(clips: Clips) -> tuple[Array, Array]:
        loss = lambda _, eta, c: instance_loss(model, eta, c, weight)
        eta, _ = inner_descent(loss, None, eta0, clips, steps, rate)
        both = jnp.stack([loss(None, eta0, clips), loss(None, eta, clips)])
        return eta, both

    return jax.vmap(one)(items)


@eqx.filter_jit
def meta_score(
    pair: Any, fixed: Any, items: Clips, shared: bool, find: Any
) -> tuple[Array, Array]:
    """The mean loss of a family on some clips, and the etas that `find` (of
    `inner_loop`) leads to, from the start that they share or from their own."""
    params, etas = pair
    model, weight = _join((params, fixed))

    def one(clips: Clips, eta: Array) -> tuple[Array, Array]:
        loss = lambda eta: instance_loss(model, eta, clips, weight)
        eta = find(loss, eta)
        return loss(eta), eta

    losses, etas = jax.vmap(one, (0, None if shared else 0))(items, etas)
    return jnp.mean(losses), etas
