r"""Normal equations of rollouts, chained from the Jacobians of single steps.

Forward mode costs one rollout per parameter. Here the Jacobian of every step is taken
by reverse mode, one pass per state component, and chained along the rollout:

$$ \frac{d y_{k+1}}{d x} = A_k \frac{d y_k}{d x} + B_k, \qquad
   A_k = \frac{\partial \phi}{\partial y}(y_k), \quad
   B_k = \frac{\partial \phi}{\partial x}(y_k) $$

so that a long rollout costs what its single steps cost: thousands of weights are no
hindrance where the state is small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ._levenberg import Linearise, Normal, Residual


# step(params, local, y, item, s, k) -> y after step k of segment s
StepOf = Callable[[Any, Array, Array, Any, Array, Array], Float[Array, "dim"]]
# rows(params, y, item, s, k) -> weighted residual of the state after step k
RowsOf = Callable[[Any, Array, Any, Array, Array], Float[Array, "obs"]]


def chained_normal(
    step: StepOf, rows: RowsOf, starts: Callable[[Any], Any], steps: int
) -> Linearise:
    """A `linearise` for `levenberg_step` whose items are many rollouts each.

    **Arguments:** `step` and `rows` as above; `starts(item)` gives the states
    `"segment dim"` at which the item's rollouts begin; `steps` is their length.
    Residuals that are not finite count as 0 and pull nowhere.
    """

    def linearise(
        residual: Residual,
        params: Any,
        local: Float[Array, "item local"],
        items: Any,
        full: Callable[[Any], Any],
    ) -> Normal:
        flat, unravel = ravel_pytree(params)
        size = flat.shape[0]

        def one(pair: tuple) -> tuple[Array, ...]:
            eta, item = pair
            y0 = starts(item)

            def segment(y: Array, s: Array) -> tuple[Array, Array]:
                move = lambda x, y, k: step(
                    full(unravel(x[:size])), x[size:], y, item, s, k
                )
                x = jnp.concatenate([flat, eta])

                def forward(y: Array, k: Array) -> tuple[Array, Array]:
                    return move(x, y, k), y

                index = jnp.arange(steps)
                last, before = jax.lax.scan(forward, y, index)
                after = jnp.concatenate([before[1:], last[None]])
                b, a = jax.vmap(jax.jacrev(move, (0, 1)), (None, 0, 0))(
                    x, before, index
                )

                def chain(j: Array, ab: tuple) -> tuple[Array, Array]:
                    j = ab[0] @ j + ab[1]
                    return j, j

                _, js = jax.lax.scan(chain, jnp.zeros_like(b[0]), (a, b))
                see = lambda y, k: rows(full(params), y, item, s, k)
                r = jax.vmap(see)(after, index)
                slope = jax.vmap(jax.jacfwd(see))(after, index)
                return r, slope @ js

            r, jac = jax.vmap(segment)(y0, jnp.arange(y0.shape[0]))
            r, jac = r.reshape(-1), jac.reshape(r.size, -1)
            good = jnp.isfinite(r) & jnp.all(jnp.isfinite(jac), axis=1)
            r, jac = jnp.where(good, r, 0.0), jnp.where(good[:, None], jac, 0.0)
            jp, js = jac[:, :size], jac[:, size:]
            return jp.T @ jp, jp.T @ js, js.T @ js, jp.T @ r, js.T @ r, r @ r

        def add(total: tuple, pair: tuple) -> tuple[tuple, tuple]:
            a, b, c, gp, gs, rss = one(pair)
            return (total[0] + a, total[1] + gp, total[2] + rss), (b, c, gs)

        zero = (
            jnp.zeros((size, size), flat.dtype),
            jnp.zeros_like(flat),
            jnp.zeros((), flat.dtype),
        )
        # one item after the other: the Jacobian of one is all that is held
        (a, gp, rss), (b, c, gs) = jax.lax.scan(add, zero, (local, items))
        return Normal(a, b, c, gp, gs, rss)

    return linearise
