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

from ._dual import Rows, on_diagonal
from ._levenberg import Linearise, Normal, Residual


# step(params, local, y, item, s, k) -> y after step k of segment s
StepOf = Callable[[Any, Array, Array, Any, Array, Array], Float[Array, "dim"]]
# rows(params, y, item, s, k) -> weighted residual of the state after step k
RowsOf = Callable[[Any, Array, Any, Array, Array], Float[Array, "obs"]]

FEWER = 2  # parameters for each residual, from which the rows are the cheaper form


def chained_normal(
    step: StepOf,
    rows: RowsOf,
    starts: Callable[[Any, Any], tuple[Any, Any]],
    steps: int,
    *,
    free: bool = False,
    held: bool = False,
) -> Linearise:
    """A `linearise` for `levenberg_step` whose items are many rollouts each.

    **Arguments:** `step` and `rows` as above; `starts(params, item)` gives the states
    `"segment dim"` at which the item's rollouts begin and the scale `"dim"` of a start;
    `steps` is their length. With `free` the starts are unknowns: behind what its
    rollouts share, the local part of an item holds `segment * dim` numbers, how many
    scales each start is away, and the sample at the start counts too (`rows` with
    k = -1). With `held` (every unknown has a prior of its own) few residuals are given
    as they are, `Rows`, and not as matrices of all pairs of parameters. Residuals that
    are not finite count as 0 and pull nowhere.
    """

    def linearise(
        residual: Residual,
        params: Any,
        local: Float[Array, "item local"],
        items: Any,
        full: Callable[[Any], Any],
    ) -> Normal | Rows:
        flat, unravel = ravel_pytree(params)
        size = flat.shape[0]

        def slopes(pair: tuple) -> tuple[Array, Array]:
            """Of one item: residuals `"segment row"`, and their slopes in the weights,
            in what its rollouts share and in the start of the segment."""
            local, item = pair
            y0, scale = starts(full(params), item)
            eta, y0 = released(local, y0, scale) if free else (local, y0)
            number, dim = y0.shape

            def segment(y: Array, s: Array) -> tuple[Array, Array]:
                move = lambda x, y, k: step(
                    full(unravel(x[:size])), x[size:], y, item, s, k
                )
                x = jnp.concatenate([flat, eta])

                def forward(y: Array, k: Array) -> tuple[Array, Array]:
                    return move(x, y, k), y

                index = jnp.arange(steps)
                last, before = jax.lax.scan(forward, y, index)
                states = jnp.concatenate([before, last[None]])
                b, a = jax.vmap(jax.jacrev(move, (0, 1)), (None, 0, 0))(
                    x, before, index
                )
                first = jnp.zeros_like(b[0])
                if free:
                    first = jnp.concatenate([first, jnp.diag(scale)], axis=1)
                    b = jnp.pad(b, ((0, 0), (0, 0), (0, dim)))

                def chain(j: Array, ab: tuple) -> tuple[Array, Array]:
                    j = ab[0] @ j + ab[1]
                    return j, j

                _, js = jax.lax.scan(chain, first, (a, b))
                if free:
                    js = jnp.concatenate([first[None], js])
                    index = jnp.arange(-1, steps)
                else:
                    states = states[1:]
                see = lambda y, k: rows(full(params), y, item, s, k)
                r = jax.vmap(see)(states, index)
                slope = jax.vmap(jax.jacfwd(see))(states, index)
                return r, slope @ js

            r, jac = jax.vmap(segment)(y0, jnp.arange(number))
            r, jac = r.reshape(number, -1), jac.reshape(number, -1, jac.shape[-1])
            good = jnp.isfinite(r) & jnp.all(jnp.isfinite(jac), axis=2)
            return jnp.where(good, r, 0.0), jnp.where(good[..., None], jac, 0.0)

        item = jax.tree.map(lambda x: x[0], items)
        y0 = jax.eval_shape(lambda: starts(full(params), item)[0])
        seen = jax.eval_shape(
            lambda y: rows(full(params), y[0], item, jnp.array(0), jnp.array(0)), y0
        )
        own = y0.shape[1] if free else 0
        number = len(local) * y0.shape[0] * (steps + free) * seen.size
        if held and FEWER * number <= size:
            as_they_are = lambda pair: _rows(*slopes(pair), size, own)
            return Rows(*jax.lax.map(as_they_are, (local, items)))

        def add(total: tuple, pair: tuple) -> tuple[tuple, tuple]:
            a, b, c, gp, gs, rss = _squares(*slopes(pair), size, own)
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


def _rows(
    r: Float[Array, "segment row"],
    jac: Float[Array, "segment row unknown"],
    size: int,
    own: int,
) -> tuple[Array, Array, Array]:
    """Of one item: slopes in `size` parameters and in the local unknowns, and the
    residuals; of the unknowns of a segment, `own` are not shared with others."""
    shared = jac.shape[2] - own
    both = jac[..., :shared].reshape(-1, shared)
    jp, js = both[:, :size], both[:, size:]
    if own:
        js = jnp.concatenate([js, on_diagonal(jac[..., shared:])], axis=1)
    return jp, js, r.reshape(-1)


def _squares(
    r: Float[Array, "segment row"],
    jac: Float[Array, "segment row unknown"],
    size: int,
    own: int,
) -> tuple[Array, ...]:
    """What one item adds to the normal equations, its many zeros left out."""
    shared, number = jac.shape[2] - own, len(jac)
    both = jac[..., :shared].reshape(-1, shared)
    jp, js = both[:, :size], both[:, size:]
    flat_r = r.reshape(-1)
    b, c, gs = jp.T @ js, js.T @ js, js.T @ flat_r
    if own:
        starts = jac[..., shared:]
        cross = jnp.einsum("krx,krn->xkn", jac[..., :shared], starts)
        cross = cross.reshape(shared, number * own)
        block = on_diagonal(jnp.einsum("krm,krn->kmn", starts, starts))
        b = jnp.concatenate([b, cross[:size]], axis=1)
        c = jnp.block([[c, cross[size:]], [cross[size:].T, block]])
        gs = jnp.concatenate([gs, jnp.einsum("krn,kr->kn", starts, r).reshape(-1)])
    return jp.T @ jp, b, c, jp.T @ flat_r, gs, flat_r @ flat_r


def released(
    local: Float[Array, "local"],
    y0: Float[Array, "segment dim"],
    scale: Float[Array, "dim"],
) -> tuple[Float[Array, "shared"], Float[Array, "segment dim"]]:
    """What the rollouts of an item share, and where each begins."""
    moved = local[local.shape[0] - y0.size :].reshape(y0.shape)
    return local[: local.shape[0] - y0.size], y0 + scale[None] * moved
