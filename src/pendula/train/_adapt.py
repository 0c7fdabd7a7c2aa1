r"""A new member of a family: eta by Levenberg-Marquardt from one or a few clips.

$$ \min_{\eta, s} \frac{1}{\sigma^2} \sum_j |r_j(\eta, s_j)|^2
   + (\eta - \bar\eta)^\top S_0^{-1} (\eta - \bar\eta) $$

with the residuals of clip j, its start state s_j where that is unknown, and the mean
and covariance of the training etas as prior.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ._levenberg import Residual, eliminate_starts, normal_equations


MU_FIRST = 1e-2
"""Damping of the first step, as a share of the trace of the normal equations."""
MU_LEAST, MU_MOST = 1e-9, 1e9
LEFT = 1e-4  # of the objective, which an undamped step may still promise at the end


class EtaPrior(eqx.Module):
    """Where etas of the family lie: `mean` `"eta"` and `precision` `"eta eta"`."""

    mean: Float[Array, "eta"]
    precision: Float[Array, "eta eta"]


class Adaptation(eqx.Module):
    """What one adaptation came to.

    `eta` `"eta"`; `local` `"clip start"` the start states; `history` `"iteration"`
    the objective after each iteration; `iterations` how many moved; `converged`;
    `information` `"eta eta"`, J'J of the residuals with the start states eliminated
    (per unit variance); `rss` and `count` of the residuals; `short` `"eta"` the step
    that an undamped iteration would still make.
    """

    eta: Float[Array, "*batch eta"]
    local: Float[Array, "*batch clip start"]
    history: Float[Array, "*batch iteration"]
    iterations: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]
    information: Float[Array, "*batch eta eta"]
    rss: Float[Array, "*batch"]
    count: Float[Array, "*batch"]
    short: Float[Array, "*batch eta"]


def _held(matrix: Array, mu: Array) -> Array:
    """Damped by a share of its own trace; never singular."""
    size = matrix.shape[0]
    level = jnp.trace(matrix) / size
    tiny = jnp.finfo(matrix.dtype).eps
    return matrix + (mu * level + tiny * (1.0 + level)) * jnp.eye(
        size, dtype=matrix.dtype
    )


def adapt(
    residual: Residual,
    prior: EtaPrior,
    items: Any,
    starts: Float[Array, "clip start"],
    eta: Float[Array, "eta"],
    *,
    variance: Float[Array, ""] | float,
    start_precision: Float[Array, "start start"],
    count: Float[Array, ""],
    iterations: int = 8,
    tolerance: float = 1e-6,
    damping: float = MU_FIRST,
) -> Adaptation:
    """Levenberg-Marquardt on eta (and the start states), jittable and to be mapped
    over systems and over starts.

    **Arguments:** `residual(eta, start, clip) -> "residual"`, weighted and masked;
    `items` the clips; `starts` their start states, `"clip 0"` where they are known;
    `eta` where it begins; `variance` of the residuals, 0 for clean data without a
    prior; `start_precision` of the given start states, in units of 1/variance;
    `count` the number of observed values; `damping` the first mu, a share of the trace
    of J'J.
    A step that fails (not finite, or no gain) is rejected and the damping grows.
    **Source:** Levenberg 1944, Marquardt 1963.
    """
    var = jnp.asarray(variance, eta.dtype)
    pull = var * prior.precision
    begin = starts
    all_rows = jax.vmap(residual, (None, 0, 0))

    def rest(eta: Array, local: Array) -> Array:
        off, moved = eta - prior.mean, local - begin
        known = jnp.einsum("ks,st,kt->", moved, start_precision, moved)
        return off @ pull @ off + known

    def cost(eta: Array, local: Array) -> Array:
        r = all_rows(eta, local, items)
        total = jnp.sum(r * r) + rest(eta, local)
        return jnp.where(jnp.isfinite(total), total, jnp.inf)

    def step(carry: tuple) -> tuple:
        eta, local, mu, now, moves, done, k, history = carry
        normal = normal_equations(residual, eta, local, items)
        gs = normal.gs + (local - begin) @ start_precision
        normal = eqx.tree_at(lambda n: n.gs, normal, gs)
        a, g = eliminate_starts(normal, start_precision)
        bent = pull @ (eta - prior.mean)
        a, g = a + pull, g + bent
        move = -jnp.linalg.solve(_held(a, mu), g)

        def follow(b: Array, c: Array, g: Array) -> Array:
            inner = _held(c + start_precision, 1e-3 * mu)
            return -jnp.linalg.solve(inner, g + b.T @ move)

        ds = local
        if starts.shape[1]:
            ds = jax.vmap(follow)(normal.b, normal.c, normal.gs)
        moved = jnp.sum(normal.gs * ds) if starts.shape[1] else 0.0
        # what this step should gain; strong damping would make it small by itself
        hoped = -((normal.gp + bent) @ move + moved)
        little = (hoped < tolerance * now) & (mu <= damping)
        new_eta, new_local = eta + move, local + ds if starts.shape[1] else local
        then = cost(new_eta, new_local)
        better = (then < now) & ~done
        gain = jnp.where(better, (now - then) / jnp.maximum(now, 1e-30), 1.0)
        pick = lambda new, old: jnp.where(better, new, old)
        factor = jnp.where(better, 0.1, 10.0)
        mu = jnp.where(done, mu, jnp.clip(mu * factor, MU_LEAST, MU_MOST))
        now = pick(then, now)
        # a damping at its end, or the smallest gain, made or hoped for: nothing is
        # left to be found, also where rounding hides the last gain
        small = (better & (gain < tolerance)) | little
        done = done | small | (now == 0) | (mu >= MU_MOST)
        return (
            pick(new_eta, eta),
            pick(new_local, local),
            mu,
            now,
            moves + better.astype(moves.dtype),
            done,
            k + 1,
            jnp.where(jnp.arange(iterations + 1, dtype=k.dtype) >= k, now, history),
        )

    first = cost(eta, starts)
    carry = (
        eta,
        starts,
        jnp.asarray(damping, eta.dtype),
        first,
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
        jnp.ones((), jnp.int32),
        jnp.full(iterations + 1, first),
    )
    # not a scan: most systems are done long before the last iteration
    going = lambda c: (c[6] <= iterations) & ~c[5]
    eta, local, _, _, moves, done, _, history = jax.lax.while_loop(going, step, carry)
    normal = normal_equations(residual, eta, local, items)
    gs = normal.gs + (local - begin) @ start_precision
    normal = eqx.tree_at(lambda n: n.gs, normal, gs)
    information, slope = eliminate_starts(normal, start_precision)
    # damped by the trace, a direction that is felt little may hardly have moved
    slope = slope + pull @ (eta - prior.mean)
    inverse = jnp.linalg.pinv(information + pull, hermitian=True)
    short = -inverse @ slope
    left = -slope @ short <= LEFT * history[-1]
    return Adaptation(
        eta,
        local,
        history,
        moves,
        done & left & jnp.isfinite(history[-1]),
        information,
        normal.rss,
        count,
        short,
    )
