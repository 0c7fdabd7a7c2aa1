"""The compiled steps of a fit, each made once: data, scales and what is not trained
are arguments, so that a second fit of equal shapes compiles nothing."""

from __future__ import annotations

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from .._tree import prior_residual
from ..train import (
    Step,
    adam_cosine,
    gradient_step,
    levenberg_step,
    posterior_covariance,
)
from ._model import Model, weighted_residual


RATE_POINTS = 256  # samples of one minibatch of the rate regression


class RatePoints(eqx.Module):
    """Estimated states and rates, for the regression that starts a fit.

    One item is a block of samples: `t` `"item point"`, `ys`, `rates`
    `"item point dim"`, `us` `"item point ctrl"` or None, `mask` `"item point"`.
    """

    t: Float[Array, "*item point"]
    ys: Float[Array, "*item point dim"]
    rates: Float[Array, "*item point dim"]
    us: Float[Array, "*item point ctrl"] | None
    mask: Bool[Array, "*item point"]


def rate_residual(
    model: Model, points: RatePoints, weight: Float[Array, "dim"]
) -> Float[Array, "residual"]:
    """Field minus estimated rate at the points of one item, weighted, raveled."""

    def one(t: Array, y: Array, rate: Array, u: Array | None) -> Array:
        return (model.field(t, y, u, None) - rate) * weight

    values = jax.vmap(one)(points.t, points.ys, points.rates, points.us)
    return jnp.ravel(jnp.where(points.mask[:, None], values, 0.0))


def clip_loss(
    model: Model, starts: Float[Array, "clip dim"], clips: Any, scale: Any
) -> Float[Array, ""]:
    """Mean squared scaled error of observed values over some clips."""
    r = jax.vmap(weighted_residual, in_axes=(None, 0, 0, None))(
        model, starts, clips, scale
    )
    return jnp.sum(r * r) / jnp.sum(clips.mask, dtype=r.dtype).clip(1.0)


@functools.lru_cache(maxsize=64)
def rates_by_gradient(
    count: int, members: int, inner: int
) -> tuple[Step, optax.GradientTransformation]:
    """Adam on minibatches of the rate regression; the batch of the step is
    `(static, points, weight)`."""

    def loss(pair: Any, batch: Any, key: Any) -> Array:
        static, points, weight = batch
        number = points.t.shape[0]
        take = jax.random.randint(key, (min(RATE_POINTS, number),), 0, number)
        some = jax.tree.map(lambda x: x[take], points)
        r = rate_residual(eqx.combine(pair[0], static), some, weight)
        return jnp.mean(r * r)

    transform = adam_cosine(5e-3, count)
    return gradient_step(loss, transform, members=members, inner=inner), transform


@functools.lru_cache(maxsize=64)
def clips_by_gradient(
    lr: float, count: int, members: int, inner: int, batch: int, free: bool
) -> tuple[Step, optax.GradientTransformation]:
    """Adam on minibatches of clips, start states trained along where `free`; the
    batch of the step is `(static, clips, starts, scale, size)`."""

    def loss(pair: Any, data: Any, key: Any) -> Array:
        static, clips, starts, scale, size = data
        number = starts.shape[0]
        take = jax.random.randint(key, (min(batch, number),), 0, number)
        some = jax.tree.map(lambda x: x[take], clips)
        y0 = starts[take]
        if free:
            y0 = y0 + size[None] * pair[1][take]
        return clip_loss(eqx.combine(pair[0], static), y0, some, scale)

    transform = adam_cosine(lr, count)
    return gradient_step(loss, transform, members=members, inner=inner), transform


@eqx.filter_jit
def validation_score(
    params: Any, static: Any, starts: Array, clips: Any, scale: Array
) -> Float[Array, "member"]:
    """`clip_loss` of every member on held-out clips."""
    return jax.vmap(lambda p: clip_loss(eqx.combine(p, static), starts, clips, scale))(
        params
    )


# The batch of a Levenberg-Marquardt step is ((static, scale), items), everything in
# `static` and `scale` with a leading member axis: members differ in their priors.


def _model(pair: Any) -> Model:
    params, (static, _) = pair
    return eqx.combine(params, static)


def _prior(pair: Any) -> Array:
    return prior_residual(_model(pair))


def _clip_residual(pair: Any, y0: Array, item: Any) -> Array:
    return weighted_residual(_model(pair), y0, item, pair[1][1])


@functools.lru_cache(maxsize=64)
def rates_by_levenberg(members: int) -> Step:
    """Levenberg-Marquardt on the rate regression."""
    return levenberg_step(
        lambda pair, local, item: rate_residual(_model(pair), item, pair[1][1]),
        _prior,
        lambda items: jnp.asarray(items.ys.size, items.ys.dtype),
        members=members,
        has_static=True,
    )


@functools.lru_cache(maxsize=64)
def windows_by_levenberg(members: int) -> Step:
    """Levenberg-Marquardt on windows with free start states; correlated residuals
    count for fewer samples."""
    return levenberg_step(
        _clip_residual,
        _prior,
        lambda items: jnp.sum(items.mask, dtype=items.ys.dtype),
        members=members,
        inflation=lambda r, items: correlation_time(
            r.reshape(items.ys.shape), items.mask
        ),
        has_static=True,
    )


@eqx.filter_jit
def window_residuals(
    params: Any, static: Any, local: Any, items: Any
) -> Float[Array, "member item residual"]:
    """Residuals of every member on all windows."""

    def one(x: tuple) -> Array:
        each = jax.vmap(_clip_residual, in_axes=(None, 0, 0))
        return each((x[0], x[1]), x[2], items)

    return jax.lax.map(one, (params, static, local))


@eqx.filter_jit
def window_covariances(
    params: Any, static: Any, local: Any, items: Any, variance: Array
) -> Float[Array, "member param param"]:
    """Laplace covariance of every member's parameters, start states marginalised."""

    def one(x: tuple) -> Array:
        p, fixed, starts, var = x
        return posterior_covariance(
            lambda q, y0, item: _clip_residual((q, fixed), y0, item),
            lambda q: _prior((q, fixed)),
            (p, starts),
            items,
            var,
        )

    return jax.lax.map(one, (params, static, local, variance))


def correlation_time(
    r: Float[Array, "item time obs"], mask: Bool[Array, "item time obs"]
) -> Float[Array, ""]:
    """Integrated autocorrelation time of residuals in samples, mean over channels:
    what `diagnostics.autocorrelation_time` measures, inside the compiled step."""
    length = r.shape[1]
    m = mask.astype(r.dtype)

    def lagged(x: Array) -> Array:
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
