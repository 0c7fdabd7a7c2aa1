"""What each term of the loss counts: weights that follow the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from .._checks import choice, fields_positive, fields_whole
from .._errors import ConfigError
from ._given import is_number
from ._jacobian import kernel_traces
from ._objective import Objective, Trained
from ._optimise import LeastSquares


Kind = Literal["none", "grad_norm", "ntk", "self_adaptive"]

_SPAN = 1e-5  # smallest size of a term, as a part of the mean of all
_FACTOR = 1e4  # largest ratio between the factors of blocks of rows


class BalanceState(eqx.Module):
    r"""The weights now: $\lambda_b$ of the terms, $\lambda_{b,i}$ of points, and the
    number of steps."""

    terms: Float[Array, "block"]
    points: tuple[Array, ...]
    ascent: Any
    count: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Balancing:
    r"""How the terms of a loss are weighed against each other.

    $$ L = \sum_b \lambda_b L_b, \quad L_b = \frac{1}{n_b} \sum_i |\rho_{b,i}|^2 $$

    starting with $\lambda_b = w_b^2$ of the objective. Every `every` steps
    $\lambda_b \leftarrow \mu\lambda_b + (1 - \mu)\hat\lambda_b$ with

    - `"grad_norm"`: $\hat\lambda_b = \overline{|\nabla L_j|} / |\nabla L_b|$, so that
      all terms pull as hard as their mean;
    - `"ntk"`: $\hat\lambda_b = \overline{\mathrm{tr} K_j / n_j} / (\mathrm{tr} K_b /
      n_b)$ with the tangent kernel of each block, so that all are learned as fast.

    `"self_adaptive"` has a weight for each point besides,
    $L_b = \frac{1}{n_b} \sum_i \lambda_{b,i}^2 |\rho_{b,i}|^2$, and climbs the loss in
    them at each step (Adam) while the network descends; `"none"` leaves all as it is.

    **Arguments:** `kind`; `every`: steps between updates; `average`: $\mu$; `rate`: of
    the ascent.
    **Raises:** `ConfigError` for a kind or number that cannot be used.
    **Source:** `"grad_norm"`: Wang, Sankaran, Wang, Perdikaris 2023, algorithm 1;
    `"ntk"`: Wang, Yu, Perdikaris 2022; `"self_adaptive"`: McClenny, Braga-Neto 2023.

    ```python
    >>> from pendula.solutions._balancing import Balancing
    >>> Balancing("ntk").every
    1000

    ```
    """

    kind: str = "none"
    every: int = 1000
    average: float = 0.9
    rate: float = 5e-3

    def __post_init__(self) -> None:
        choice("balance", self.kind, get_args(Kind))
        fields_whole(self, "balance", every=1)
        fields_positive(self, "balance", "rate")
        if not (is_number(self.average) and 0.0 <= self.average < 1.0):
            raise ConfigError(
                f"balance: average is {self.average}; it must lie in [0, 1)."
            )

    def start(self, objective: LeastSquares, theta: Trained) -> BalanceState:
        """The weights before the first step."""
        points: tuple[Array, ...] = ()
        ascent = None
        if self.kind == "self_adaptive":
            shapes = jax.eval_shape(objective.residuals, theta)
            points = tuple(jnp.ones(r.shape[0], r.dtype) for r in shapes)
            ascent = optax.adam(self.rate).init(points)
        zero = jnp.zeros((), jnp.int32)
        return BalanceState(objective.weights**2, points, ascent, zero)

    def loss(self, state: BalanceState, residuals: Sequence[Array]) -> Float[Array, ""]:
        """The weighted loss."""
        return jnp.sum(state.terms * _means(residuals, state.points))

    def after(
        self,
        state: BalanceState,
        objective: LeastSquares,
        theta: Trained,
        residuals: Sequence[Array],
    ) -> BalanceState:
        """The weights of the next step; `"ntk"` needs an `Objective`."""
        count = state.count + 1
        if self.kind == "none":
            return eqx.tree_at(lambda s: s.count, state, count)
        if self.kind == "self_adaptive":
            return _climbed(self.rate, state, residuals, count)

        def fresh(terms: Array) -> Array:
            if self.kind == "grad_norm":
                sizes = _gradients(objective, theta)
            else:
                sizes = kernel_traces(objective, theta)  # type: ignore[arg-type]  # an Objective
            return self.average * terms + (1.0 - self.average) * _inverse(sizes)

        due = state.count % self.every == 0
        terms = jax.lax.cond(due, fresh, lambda terms: terms, state.terms)
        return BalanceState(terms, state.points, state.ascent, count)


def unit_rows(
    objective: Objective, residuals: Sequence[Array]
) -> Float[Array, "block"]:
    r"""Factors for the rows of each block, for methods of second order.

    $$ f_b = v_b / \mathrm{RMS}(\rho_b) $$

    with the RMS of the block's residuals and its own weight v in them: scaled like
    this, each block starts with that weight. Blocks that (nearly) vanish at the start
    count as if they were 1e4 times smaller than the largest one.
    """
    sizes = jnp.sqrt(_means(residuals, ()))
    own = jnp.stack([jnp.asarray(k.block.weight) for k in objective.known])
    raw = sizes / own
    top = jnp.max(raw)
    raw = jnp.maximum(raw, top / _FACTOR)
    return jnp.where(top > 0.0, 1.0 / jnp.where(top > 0.0, raw, 1.0), 1.0)


def _means(residuals: Sequence[Array], points: Sequence[Array]) -> Array:
    """The mean of squares of each block, with weights of points if there are any."""
    weighed = list(residuals)
    if points:
        weighed = [w[:, None] * r for w, r in zip(points, residuals, strict=True)]
    return jnp.stack([jnp.sum(r * r) / r.shape[0] for r in weighed])


def _inverse(sizes: Array) -> Array:
    """The mean over each size; a size of almost nothing does not count for all."""
    mean = jnp.mean(sizes)
    return mean / (sizes + _SPAN * mean + np.finfo(sizes.dtype).tiny)


def _gradients(objective: LeastSquares, theta: Trained) -> Array:
    """Norm of the gradient of each term."""
    flat, unravel = ravel_pytree(theta)
    slopes = jax.jacrev(lambda flat: objective.terms(unravel(flat)))(flat)
    return jnp.linalg.norm(slopes, axis=1)


def _climbed(
    rate: float, state: BalanceState, residuals: Sequence[Array], count: Array
) -> BalanceState:
    """Weights of points after a step up the loss."""
    loss = lambda points: jnp.sum(state.terms * _means(residuals, points))
    slopes = jax.tree.map(jnp.negative, jax.grad(loss)(state.points))
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
        moves, ascent = optax.adam(rate).update(slopes, state.ascent, state.points)
        points: Any = optax.apply_updates(state.points, moves)
    return BalanceState(state.terms, points, ascent, count)
