"""One number for each parameter, from a pytree, a flat vector or a single number."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from .._errors import ShapeError


def per_parameter(name: str, given: Any, like: Any) -> np.ndarray:
    """A flat vector `"n"`, float64.

    **Arguments:** `name`: for messages; `like`: the pytree of parameters, None where
    there are none; `given`: one number for all, a flat vector, or a pytree whose leaves
    stand at a parameter or above several: None counts as 0, a number goes for every
    entry below, an array has the shape of its parameter.
    **Raises:** `ShapeError` for a leaf of another shape, one that stands at no
    parameter, or a parameter that none stands for.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path(like)
    size = sum(x.size for _, x in flat)
    if isinstance(given, (np.ndarray, np.generic, jax.Array)):
        given = np.asarray(given)  # no part of a model: whole numbers count, too
        given = given.astype(np.float64) if given.dtype.kind in "iu" else given
    leaves = _leaves(given)
    if len(leaves) == 1 and not leaves[0][0] and np.shape(leaves[0][1]) == (size,):
        return np.array(leaves[0][1], np.float64)
    used: set[int] = set()
    parts = []
    for path, x in flat:
        over = [i for i, (at, _) in enumerate(leaves) if path[: len(at)] == at]
        if not over:
            raise ShapeError(
                f'{name} says nothing about the parameter "{_word(path)}". Give a '
                "pytree shaped like the parameters, with None for those that are "
                f"exact, or a flat vector ({size},)."
            )
        used.update(over)
        value = leaves[over[0]][1]
        value = np.asarray(0.0 if value is None else value, np.float64)
        if value.ndim and value.shape != x.shape:
            raise ShapeError(
                f'{name} has the shape {value.shape} at "{_word(path)}"; expected '
                f"{x.shape}, a single number or None, or one flat vector ({size},) "
                "for all parameters."
            )
        parts.append(np.broadcast_to(value, x.shape).ravel())
    for i, (path, value) in enumerate(leaves):
        if i not in used and value is not None:
            raise ShapeError(
                f'{name} has an entry at "{_word(path)}", where there is no parameter. '
                "Give a pytree shaped like the parameters."
            )
    return np.concatenate(parts)


def _leaves(given: Any) -> list[tuple[Any, Any]]:
    """(path, None or a number or a floating array); other leaves are of the model."""
    found, _ = jax.tree_util.tree_flatten_with_path(given, is_leaf=lambda x: x is None)
    kinds = (int, float, np.ndarray, np.generic, jax.Array)
    return [(path, x) for path, x in found if x is None or _is_real(x, kinds)]


def _is_real(x: Any, kinds: tuple[type, ...]) -> bool:
    if not isinstance(x, kinds) or isinstance(x, bool):
        return False
    # whole numbers count where one was typed; arrays of them are no deviations
    return isinstance(x, int) or np.issubdtype(np.asarray(x).dtype, np.floating)


def _word(path: Any) -> str:
    return jax.tree_util.keystr(path).lstrip(".") or "params"
