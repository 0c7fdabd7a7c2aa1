"""The state of a training: everything that a resumed run needs."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray


class TrainState(eqx.Module):
    """Model, optimiser, random key and counters of one training.

    `params` are the trained arrays (any pytree, often stacked over ensemble
    members), `opt` what the estimator keeps between steps, `best` the parameters
    with the lowest score so far and `score` that score (`"member"` or scalar),
    `step` the number of steps done, `bad` the number of steps in a row whose loss
    or gradient was not finite.
    """

    params: Any
    opt: Any
    key: PRNGKeyArray
    best: Any
    score: Array
    step: Int[Array, ""]
    bad: Int[Array, "*member"]

    @classmethod
    def start(
        cls, params: Any, opt: Any, key: PRNGKeyArray, members: int | None = None
    ) -> TrainState:
        """A state before its first step; with `members` every array of `params` and
        `opt` has a leading axis of that size."""
        shape = () if members is None else (members,)
        floats = [x.dtype for x in jax.tree.leaves(params) if eqx.is_inexact_array(x)]
        # of a type of its own: one that follows others would change with the first
        # score, and the step would be compiled again
        kind = floats[0] if floats else jnp.result_type(float)
        return cls(
            params,
            opt,
            key,
            params,
            jnp.full(shape, jnp.inf, kind),
            jnp.zeros((), jnp.int32),
            jnp.zeros(shape, jnp.int32),
        )
