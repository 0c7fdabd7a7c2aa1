r"""Slopes of an objective's rows in the weights.

A row depends on one point of the collocation, so its slopes are those of one point,
under `vmap`: one pass over all points. Reverse mode through all rows at once would pass
every point for each row, forward mode every point for each weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ._blocks import Block
from ._objective import Known, Objective, Trained


_CHUNK = 256  # points whose slopes are held at once where only their size is asked


def jacobian(objective: Objective, theta: Trained) -> Float[Array, "row weight"]:
    r"""The slopes of `objective.rows`.

    $$ J_{ij} = \partial\,rows_i / \partial\theta_j $$

    **Arguments:** `theta`: where; its arrays in the order of `ravel_pytree`.
    **Returns:** `"row weight"`, dense.
    """
    parts = []
    for k, known in enumerate(objective.known):
        slopes = jax.vmap(_of_point(objective, known, theta))(_pieces(known))
        if known.block.combine is not None:
            slopes = jnp.einsum("rp,pew->rew", known.block.combine, slopes)
        scale = objective.weights[k] / np.sqrt(slopes.shape[0])
        parts.append(scale * slopes.reshape(-1, slopes.shape[-1]))
    return jnp.concatenate(parts)


def kernel_traces(objective: Objective, theta: Trained) -> Float[Array, "block"]:
    r"""How large the tangent kernel of each block is, a row, without weights.

    $$ \frac{\mathrm{tr} K_b}{n_b}
       = \frac{1}{n_b} \sum_i |\nabla_\theta\,\rho_{b,i}|^2 $$

    The kernel is never built, and the slopes of few points are held at once: it costs
    as much as a few gradients.

    **Returns:** one number a block.
    **Source:** Wang, Yu, Perdikaris 2022, the weights of section 7.
    """
    out = []
    for known in objective.known:
        if known.block.combine is not None:  # few rows, each of many points
            slopes = _slopes(objective, known, theta)
            out.append(jnp.sum(slopes**2) / slopes.shape[0])
            continue
        slope = _of_point(objective, known, theta)
        size = lambda piece, slope=slope: jnp.sum(slope(piece) ** 2)
        out.append(jnp.mean(jax.lax.map(size, _pieces(known), batch_size=_CHUNK)))
    return jnp.stack(out)


def _pieces(known: Known) -> tuple[Any, ...]:
    """What a block has of each point, as batches of a single point."""
    block = known.block
    every = (block.points, block.partner, block.data, known.base, known.other)
    return tuple(None if x is None else x[:, None] for x in every)


def _of_point(
    objective: Objective, known: Known, theta: Trained
) -> Callable[[tuple[Any, ...]], Float[Array, "equation weight"]]:
    """Slopes of what a block says of one point."""
    block = known.block

    def of(piece: tuple[Any, ...]) -> Float[Array, "equation weight"]:
        points, partner, data, base, other = piece
        own = Block(block.name, block.law, points, partner, data, None, block.weight)
        return _slopes(objective, Known(own, base, other), theta)[0]

    return of


def _slopes(
    objective: Objective, known: Known, theta: Trained
) -> Float[Array, "row equation weight"]:
    """Slopes of the residuals of one block alone."""
    flat, unravel = ravel_pytree(theta)
    alone = eqx.tree_at(lambda o: o.known, objective, (known,))
    return jax.jacrev(lambda flat: alone.residuals(unravel(flat))[0])(flat)
