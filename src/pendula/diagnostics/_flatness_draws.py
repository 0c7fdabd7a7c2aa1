"""A loss at randomly perturbed parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._errors import ShapeError
from .._precision import cast, exact_products, precision
from ._hessian import AbstractCurvature
from ._products import Form, choose, in_inference


Draw = Callable[[Any, PRNGKeyArray], Any]


class GaussianStep(eqx.Module):
    """Independent Gaussian steps of given standard deviations."""

    sigma: Any

    def __call__(self, key: PRNGKeyArray) -> Array:
        """The step, a flat vector."""
        return self.sigma * jax.random.normal(key, self.sigma.shape, self.sigma.dtype)


class OwnStep(eqx.Module):
    """What a sampler `draw(params, key)` adds to the parameters."""

    draw: Any
    params: Any

    def __call__(self, key: PRNGKeyArray) -> Array:
        """The step, a flat vector."""
        return _ravel(self.draw(self.params, key)) - _ravel(self.params)

    @classmethod
    def checked(cls, draw: Draw, params: Any, op: AbstractCurvature) -> OwnStep:
        """The sampler at an operator's parameters.

        **Raises:** `ShapeError` where it gives another structure than it was given.
        """
        params = cast(in_inference(params), op.dtype)
        with precision(op.dtype):
            found = eqx.filter_eval_shape(draw, params, jax.random.key(0))
        shapes = [jax.tree.map(_shape, x) for x in (found, params)]
        if not eqx.tree_equal(*shapes):
            raise ShapeError(
                "draw(params, key) gives another structure, other shapes or dtypes "
                "than the parameters it was given. Return the same pytree with other "
                "numbers in its arrays."
            )
        return cls(draw, params)


def changes(
    op: AbstractCurvature,
    step: Any,
    levels: np.ndarray,
    count: int,
    key: PRNGKeyArray,
    *,
    both: bool = False,
) -> np.ndarray:
    """J(w + level d) - J(w) `"draw level"`, float64; with `both` half the sum of that
    and J(w - level d) - J(w). The same d for all levels, one program for all of them;
    0 at level 0.

    One draw after the other: copies of the parameters side by side are slower on a
    processor, and take the memory of all of them.
    """
    form, arrays = op.surface()
    with exact_products(op.dtype):
        other, others = Form.of(step)
        told = (arrays, others, op.flat, levels.astype(op.dtype))
        keys = jax.random.split(key, count)
        found = np.asarray(_changes(form, other, both, *told, keys)).astype(np.float64)
    # without noise nothing changes; compiled twice, the same loss differs by rounding
    found[:, levels == 0.0] = 0.0
    return found


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _changes(
    form: Form,
    other: Form,
    both: bool,
    arrays: list[Any],
    others: list[Any],
    flat: Any,
    levels: Any,
    keys: Any,
) -> Array:
    loss, step = form.join(arrays), other.join(others)
    here = loss(flat)

    def one(key: PRNGKeyArray) -> Array:
        d = step(key)

        def at(level: Array) -> Array:
            up = loss(flat + level * d) - here
            return 0.5 * (up + (loss(flat - level * d) - here)) if both else up

        return jax.lax.map(at, levels)

    return jax.lax.map(one, keys)


def _ravel(params: Any) -> Array:
    leaves = jax.tree.leaves(choose(params)[0])
    return jnp.concatenate([jnp.ravel(x) for x in leaves])


def _shape(x: Any) -> Any:
    """Shape and dtype of an array or of what stands for one."""
    if eqx.is_array(x) or isinstance(x, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(x.shape, x.dtype)
    return x
