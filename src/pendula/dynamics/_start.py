r"""Start states from the first observations: a guess, refined by Gauss-Newton.

$$ \min_{y_0} \sum_k |m_k (\mathrm{obs}(y(t_k; y_0)) - o_k)|^2 $$
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._model import Model, weighted_residual


MU = (1e-6, 1e-3, 1e-1, 10.0)


def refine_start(
    model: Model,
    guess: Float[Array, "dim"],
    item: Any,
    weight: Any = 1.0,
    iterations: int = 12,
) -> tuple[Float[Array, "dim"], Float[Array, "dim dim"], Float[Array, ""]]:
    """The start state that fits a stretch best, its (J'J)^-1 and the residual
    mean square; four dampings are tried at once in each iteration."""
    dim = guess.shape[0]

    def residual(y0: Any) -> Any:
        r = weighted_residual(model, y0, item, weight)
        return jnp.where(jnp.isfinite(r), r, 1e6)

    def once(y0: Any, _: Any) -> Any:
        jac, r = jax.jacfwd(lambda y: (residual(y),) * 2, has_aux=True)(y0)
        h, size = _scaled(jac)
        g = (jac.T @ r) / size

        def trial(mu: Any) -> Any:
            damped = h + mu * jnp.eye(dim, dtype=h.dtype)
            new = y0 - jnp.linalg.solve(damped, g) / size
            cost = jnp.sum(residual(new) ** 2)
            return jnp.where(jnp.isfinite(cost), cost, jnp.inf), new

        costs, news = jax.vmap(trial)(jnp.asarray(MU, h.dtype))
        k = jnp.argmin(costs)
        return jnp.where(costs[k] < r @ r, news[k], y0), None

    y0, _ = jax.lax.scan(once, guess, None, length=iterations)
    jac, r = jax.jacfwd(lambda y: (residual(y),) * 2, has_aux=True)(y0)
    h, size = _scaled(jac)
    inverse = jnp.linalg.inv(h) / (size[:, None] * size[None])
    count = jnp.maximum(jnp.sum(item.mask) - dim, 1)
    return y0, inverse, (r @ r) / count.astype(r.dtype)


def _scaled(
    jac: Float[Array, "residual dim"],
) -> tuple[Float[Array, "dim dim"], Float[Array, "dim"]]:
    """J'J in units in which its diagonal is 1, never singular, and these units: a floor
    in those of the data would hold an entry that is told in large ones."""
    size = jnp.sqrt(jnp.sum(jac**2, axis=0))
    size = jnp.where(size > 0, size, 1.0)
    unit = jac / size[None]
    floor = 10 * jnp.finfo(jac.dtype).eps * jnp.eye(len(size), dtype=jac.dtype)
    return unit.T @ unit + floor, size
