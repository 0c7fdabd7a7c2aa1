r"""Levenberg-Marquardt for models fitted to many short stretches of data.

The unknowns are shared parameters p (the model) and local ones s_i (the start
state of stretch i). The normal matrix has an arrow shape, so the local unknowns
are eliminated exactly (Schur complement): the cost grows linearly with the number
of stretches, which a general least-squares solver does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._tree import all_finite
from ._dual import Rows, dual_step
from ._run import Info, Step
from ._state import TrainState


# residual(params, local, item) -> "residual"; already weighted and masked
Residual = Callable[[Any, Float[Array, "local"], Any], Float[Array, "residual"]]
Prior = Callable[[Any], Float[Array, "prior"]]
# linearise(residual, params, local, items, full); full(params) joins what is fixed
Linearise = Callable[[Residual, Any, Array, Any, Callable[[Any], Any]], "Normal | Rows"]

TRIALS = (0.1, 1.0, 10.0, 100.0)
FEW = 1e6


class LevenbergState(eqx.Module):
    """Damping and variance of the residuals, both updated on success, and the number
    of steps in a row that gained next to nothing."""

    damping: Float[Array, "*member"]
    variance: Float[Array, "*member"]
    still: Float[Array, "*member"]


class Normal(eqx.Module):
    """The arrow-shaped normal equations of all stretches.

    `a` `"param param"`, `b` `"item param local"`, `c` `"item local local"`, `gp`
    `"param"`, `gs` `"item local"`, `rss` the sum of squared residuals.
    """

    a: Float[Array, "param param"]
    b: Float[Array, "item param local"]
    c: Float[Array, "item local local"]
    gp: Float[Array, "param"]
    gs: Float[Array, "item local"]
    rss: Float[Array, ""]


def _slopes(
    jacobian: Any, residual: Residual, params: Any, full: Callable[[Any], Any]
) -> Callable[[Array, Any], tuple[Array, Array, Array]]:
    """Of one item: slopes of its residuals in the parameters and in what is its own,
    and the residuals."""
    flat, unravel = ravel_pytree(params)

    def of(own: Array, item: Any) -> tuple[Array, Array, Array]:
        def f(pair: tuple) -> tuple[Array, Array]:
            r = residual(full(unravel(pair[0])), pair[1], item)
            return r, r

        (jp, js), r = jacobian(f, has_aux=True)((flat, own))
        return jp, js, r

    return of


def normal_equations(
    residual: Residual,
    params: Any,
    local: Float[Array, "item local"],
    items: Any,
    full: Callable[[Any], Any] = lambda params: params,
) -> Normal:
    """Gauss-Newton matrix and gradient by forward mode, one stretch at a time
    under `vmap` (the tangents of one stretch share its primal rollout)."""
    slopes = _slopes(jax.jacfwd, residual, params, full)

    def one(s: Array, item: Any) -> tuple[Array, ...]:
        jp, js, r = slopes(s, item)
        return jp.T @ jp, jp.T @ js, js.T @ js, jp.T @ r, js.T @ r, r @ r

    a, b, c, gp, gs, rss = jax.vmap(one)(local, items)
    return Normal(a.sum(0), b, c, gp.sum(0), gs, rss.sum())


def pulled_equations(
    residual: Residual,
    params: Any,
    local: Float[Array, "item local"],
    items: Any,
    full: Callable[[Any], Any] = lambda params: params,
) -> Normal:
    """`normal_equations` by reverse mode: for items of a few residuals each, many
    fewer than there are parameters (one-step pairs, points of a regression)."""
    slopes = _slopes(jax.jacrev, residual, params, full)
    jp, js, r = jax.vmap(slopes)(local, items)
    return Normal(
        jnp.einsum("irp,irq->pq", jp, jp),
        jnp.einsum("irp,irl->ipl", jp, js),
        jnp.einsum("irl,irm->ilm", js, js),
        jnp.einsum("irp,ir->p", jp, r),
        jnp.einsum("irl,ir->il", js, r),
        jnp.sum(r * r),
    )


def _solve(matrix: Array, rhs: Array) -> Array:
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(matrix), rhs)


def _eliminate(
    normal: Normal,
    prior_a: Array,
    prior_g: Array,
    variance: Array,
    mu: Array,
    local: Array,
    precision: float,
    hold: int = 0,
) -> tuple[Array, Array]:
    """Damped step (dp, ds) by elimination of the local unknowns."""
    # Start states have no prior; the data hold them well. What has one is damped by
    # it, as the shared parameters are.
    held = precision * variance
    eye = jnp.eye(local.shape[1], dtype=normal.c.dtype)

    def scale(m: Array) -> Array:
        damped = m + 1e-6 * mu * jnp.diag(jnp.diag(m)) + _floor(m)
        return damped + held * (1.0 + mu) * eye

    normal = eqx.tree_at(lambda n: n.gs, normal, normal.gs + held * local)
    if hold:
        moves = _moves(local, hold)
        stay = lambda n: (n.b, n.c, n.gs)
        normal = eqx.tree_at(
            stay,
            normal,
            (
                normal.b * moves[None, None],
                normal.c * (moves[:, None] * moves[None])[None],
                normal.gs * moves[None],
            ),
        )
    a = normal.a / variance + prior_a
    g = normal.gp / variance + prior_g
    a = a + mu * jnp.diag(_metric(jnp.diag(prior_a), jnp.diag(a))) + _floor(a)

    def one(b: Array, c: Array, gs: Array) -> tuple[Array, ...]:
        c = scale(c)
        cb = _solve(c, b.T)
        return b @ cb, b @ _solve(c, gs), cb

    if normal.gs.shape[1] == 0:
        return -_solve(a, g), normal.gs
    bcb, bcg, cb = jax.vmap(one)(normal.b, normal.c, normal.gs)
    # a is in units of 1/variance, the stretches are not yet
    dp = -_solve(a - bcb.sum(0) / variance, g - bcg.sum(0) / variance)
    ds = jax.vmap(lambda c, gs, cbi: -_solve(scale(c), gs) - cbi @ dp)(
        normal.c, normal.gs, cb
    )
    return dp, ds


def _few(
    rows: Rows,
    prior_a: Array,
    prior_g: Array,
    variance: Array,
    mu: Array,
    local: Array,
    precision: float,
    hold: int = 0,
) -> tuple[Array, Array]:
    """The same step as `_eliminate`, in the space of the residuals."""
    if hold:
        moves = _moves(local, hold)
        rows = eqx.tree_at(lambda n: n.js, rows, rows.js * moves[None, None])
        local = local * moves[None]
    held = jnp.diag(prior_a)
    a = held + jnp.sum(rows.jp**2, axis=(0, 1)) / variance
    c = jnp.sum(rows.js**2, axis=1)
    d = held + mu * _metric(held, a) + _least(a, jnp.mean(a))
    least = jax.vmap(_least)(c, jnp.mean(c, axis=1))
    e = (1e-6 * mu * c + least) / variance + precision * (1.0 + mu)
    return dual_step(rows, d, e, prior_g, precision * local, variance)


def _solver(normal: Normal | Rows, held: bool) -> Callable[..., tuple[Array, Array]]:
    """How a step is found; `held`: whether every unknown has a prior of its own."""
    if isinstance(normal, Normal):
        return _eliminate
    if not held:
        raise ConfigError(
            "residuals are given as rows, and not every unknown has a prior of its "
            "own. Say separable_prior and local_precision, or leave held out."
        )
    return _few


def _moves(local: Array, hold: int) -> Array:
    """0 for the first `hold` local unknowns, which are known, and 1 for the others."""
    return (jnp.arange(local.shape[1]) >= hold).astype(local.dtype)


def _metric(held: Array, a: Array) -> Array:
    """Diagonal in which steps are measured, from those of the prior and of all: the
    prior's, so that a direction that the data leave open is damped by what the prior
    says of it and not by the (large) curvature of its single parameters; a share of
    the curvature where there is no prior."""
    return jnp.maximum(held, 1e-6 * a)


def _floor(matrix: Array) -> Array:
    """A tiny diagonal: a parameter that no residual feels must not make the
    factorisation fail."""
    return jnp.diag(_least(jnp.diag(matrix), jnp.trace(matrix) / matrix.shape[0]))


def _least(own: Array, mean: Array) -> Array:
    """Entries of `_floor`. A parameter that is felt a little only, since it is told in
    large numbers (speeds within nanoseconds), must not be held by it: it gets a
    rounding error, times `FEW`, of its own entry at most."""
    level = 1.0 + mean
    felt = jnp.where(own > 0, jnp.minimum(level, FEW * own), level)
    return 10 * jnp.finfo(own.dtype).eps * felt


def levenberg_step(
    residual: Residual,
    prior: Prior,
    num_residuals: Callable[[Any], Float[Array, ""]],
    *,
    members: int | None = None,
    variance: float | None = None,
    inflation: Callable[[Array, Any], Array] | None = None,
    tolerance: float = 1e-5,
    has_static: bool = False,
    linearise: Linearise = normal_equations,
    local_precision: float = 0.0,
    separable_prior: bool = False,
    hold_local: int = 0,
) -> Step:
    r"""A jitted Levenberg-Marquardt step for `train.run`.

    $$ \min_{p, s} \sum_i \frac{|r_i(p, s_i)|^2}{2\sigma^2} + \tfrac12 |\pi(p)|^2 $$

    with $\pi$ the whitened prior residual. `state.params` is the pair
    `(params, local)`, `local` `"item local"`. Four dampings are tried at once on
    one Jacobian and the best is taken; when none lowers the objective the damping
    grows and nothing moves. $\sigma^2$ is `variance`, or re-estimated from the
    residuals after every success (`num_residuals(items)` counts the observed
    values), times `inflation(residuals "item residual", items)`: correlated
    residuals count for fewer samples. A step whose relative gain is below
    `tolerance` counts as standing still. With `has_static` the batch is
    `(static, items)`, and `residual` and `prior` get the pair `(params, static)`:
    what is fixed may differ between members. `linearise` gives the normal equations
    (forward mode by default), or `Rows` where every unknown has a separable prior and
    the residuals are few; `local_precision` is that of a normal prior of the local
    unknowns about 0; `separable_prior` says that no entry of the prior's residual
    depends on two parameters, which saves a product of large matrices; with
    `hold_local` so many of the first local unknowns are known and stay.

    **Raises:** `ConfigError` for `Rows` without those priors.
    **Source:** Levenberg 1944, Marquardt 1963; elimination as in bundle
    adjustment (Triggs et al. 2000, section 6).
    """

    def one(
        pair: tuple, opt: LevenbergState, bad: Array, static: Any, items: Any
    ) -> tuple[tuple, LevenbergState, Array, Info]:
        params, local = pair
        flat, unravel = ravel_pytree(params)
        full = (lambda p: (p, static)) if has_static else (lambda p: p)

        def objective(p: Any, s: Array) -> tuple[Array, tuple]:
            r = jax.vmap(residual, in_axes=(None, 0, 0))(full(p), s, items)
            pi = prior(full(p))
            rss = jnp.sum(r * r)
            times = 1.0 if inflation is None else inflation(r, items)
            held = jnp.sum(pi * pi) + local_precision * jnp.sum(s * s)
            return 0.5 * rss / opt.variance + 0.5 * held, (rss, times * rss)

        normal = linearise(residual, params, local, items, full)
        pi = prior(full(params))
        on_flat = lambda p: prior(full(unravel(p)))
        if separable_prior:
            _, pull = jax.vjp(on_flat, flat)
            _, ones = jax.jvp(on_flat, (flat,), (jnp.ones_like(flat),))
            prior_a, prior_g = jnp.diag(pull(ones)[0]), pull(pi)[0]
        else:
            jpi = jax.jacfwd(on_flat)(flat)
            prior_a, prior_g = jpi.T @ jpi, jpi.T @ pi
        n = num_residuals(items)
        if variance is None:  # 0: not known before the first step
            there = jnp.where(opt.variance > 0, opt.variance, normal.rss / n)
            opt = eqx.tree_at(lambda o: o.variance, opt, there)
        held = jnp.sum(pi * pi) + local_precision * jnp.sum(local * local)
        now = 0.5 * normal.rss / opt.variance + 0.5 * held

        held_all = separable_prior and (local_precision > 0 or not local.size)
        solve = _solver(normal, held_all)

        def trial(factor: Array) -> tuple:
            mu = opt.damping * factor
            dp, ds = solve(
                normal,
                prior_a,
                prior_g,
                opt.variance,
                mu,
                local,
                local_precision,
                hold_local,
            )
            cost, sums = objective(unravel(flat + dp), local + ds)
            return jnp.where(jnp.isfinite(cost), cost, jnp.inf), sums, dp, ds

        factors = jnp.asarray(TRIALS, flat.dtype)
        costs, (rsss, inflated), dps, dss = jax.vmap(trial)(factors)
        k = jnp.argmin(costs)
        better = costs[k] < now
        finite = jnp.isfinite(now) & all_finite((normal.gp, normal.gs))
        pick = lambda new, old: jnp.where(better & finite, new, old)
        params = unravel(pick(flat + dps[k], flat))
        local = pick(local + dss[k], local)
        rss = pick(rsss[k], normal.rss)
        var = opt.variance
        if variance is None:
            lowest = jnp.finfo(flat.dtype).tiny * 1e8
            found = jnp.maximum(inflated[k] / n, lowest)
            var = jnp.where(better & finite, found, var)
        damping = jnp.where(better, opt.damping * factors[k] * 0.5, opt.damping * 100.0)
        gain = jnp.where(
            better, (now - costs[k]) / jnp.maximum(jnp.abs(now), 1e-30), 0.0
        )
        new_opt = LevenbergState(
            jnp.clip(damping, 1e-8, 1e12),
            var,
            jnp.where(gain > tolerance, 0.0, opt.still + 1.0),
        )
        info = {
            "loss": jnp.sqrt(rss / n),
            "objective": jnp.minimum(costs[k], now),
            "damping": damping,
            "still": new_opt.still,
        }
        return (params, local), new_opt, jnp.where(finite, 0, bad + 1), info

    @eqx.filter_jit
    def step(state: TrainState, batch: Any) -> tuple[TrainState, Info]:
        static, items = batch if has_static else (None, batch)
        if members is None:
            pair, opt, bad, info = one(
                state.params, state.opt, state.bad, static, items
            )
        else:
            # One member after the other: each is a batched rollout already.
            pair, opt, bad, info = jax.lax.map(
                lambda x: one(x[0], x[1], x[2], x[3], items),
                (state.params, state.opt, state.bad, static),
            )
        new = TrainState(
            pair, opt, state.key, state.best, state.score, state.step + 1, bad
        )
        return new, info

    return step


def levenberg_state(
    dtype: Any,
    *,
    damping: float = 1e3,
    variance: float = 1.0,
    members: int | None = None,
) -> LevenbergState:
    """The state before the first step; a variance of 0 is taken from the residuals of
    the first step."""
    shape = () if members is None else (members,)
    full = lambda v: jnp.full(shape, v, dtype)
    return LevenbergState(full(damping), full(variance), full(0.0))


def eliminate_starts(
    normal: Normal, precision: Float[Array, "local local"] | None = None
) -> tuple[Float[Array, "param param"], Float[Array, "param"]]:
    """Matrix and gradient of the shared unknowns with the local ones eliminated;
    `precision` is what is known of a local one beforehand."""
    if normal.gs.shape[1] == 0:
        return normal.a, normal.gp

    def one(b: Array, c: Array, gs: Array) -> tuple[Array, Array]:
        c = c if precision is None else c + precision
        inner = c + _floor(c)
        return b @ _solve(inner, b.T), b @ _solve(inner, gs)

    bcb, bcg = jax.vmap(one)(normal.b, normal.c, normal.gs)
    return normal.a - bcb.sum(0), normal.gp - bcg.sum(0)


def posterior_covariance(
    residual: Residual, prior: Prior, pair: Any, items: Any, variance: Any
) -> Float[Array, "param param"]:
    """Laplace covariance of the shared parameters, local ones marginalised; the same in
    every unit of parameters, local ones and residuals."""
    params, local = pair
    flat, unravel = ravel_pytree(params)
    normal = normal_equations(residual, params, local, items)
    jpi = jax.jacfwd(lambda p: prior(unravel(p)))(flat)

    # what keeps a factorisation from failing is small beside 1 alone
    size = jax.vmap(_size)(normal.c)
    c = normal.c / (size[:, :, None] * size[:, None])
    at = lambda n: (n.b, n.c, n.gs)
    alike = normal.b / size[:, None], c, normal.gs / size
    schur, _ = eliminate_starts(eqx.tree_at(at, normal, alike))
    precision = schur / variance + jpi.T @ jpi
    size = _size(precision)
    sizes = size[:, None] * size[None]
    scaled = precision / sizes
    return jnp.linalg.inv(scaled + _floor(scaled)) / sizes


def _size(matrix: Array) -> Array:
    """Roots of the diagonal; 1 for what no residual feels."""
    diagonal = jnp.diag(matrix)
    return jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1.0))
