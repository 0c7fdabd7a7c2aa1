"""Walks over models: what is trained, what is fixed, what a prior says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ._source import Source


class Fixed(eqx.Module):
    """Marker: the arrays below are part of a model but never trained (scales,
    known constants, prior widths). Abstract by use: subclass it in a final class."""


def trainable(model: Any) -> Any:
    """Filter specification: True at each inexact array that is not below a
    `Fixed` node. Use with `equinox.partition`."""

    def mark(node: Any) -> Any:
        if isinstance(node, Fixed):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(mark, model, is_leaf=lambda n: isinstance(n, Fixed))


def split_trainable(model: Any) -> tuple[Any, Any]:
    """(trained arrays, the rest), to be joined by `equinox.combine`."""
    return eqx.partition(model, trainable(model))


def nodes(model: Any, has: str) -> list[Any]:
    """Outermost sub-modules that define the method `has`, in tree order."""
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, eqx.Module) and hasattr(type(node), has):
            found.append(node)
            return True
        return False

    jax.tree.flatten(model, is_leaf=visit)
    return found


def sources_of(tree: Any) -> list[Source]:
    """The sources of all modules of a pytree, each once, outermost first."""
    found: dict[Source, None] = {}

    def look(node: Any) -> bool:
        source = getattr(type(node), "source", None)
        if isinstance(node, eqx.Module) and isinstance(source, Source):
            found.setdefault(source)
        return False

    jax.tree.flatten(tree, is_leaf=look)
    return list(found)


def prior_residual(model: Any) -> Float[Array, "prior"]:
    """All whitened prior residuals of a model, one vector: the negative log prior
    is half its squared norm (plus a constant)."""
    parts = [
        jnp.ravel(node.prior_residual()) for node in nodes(model, "prior_residual")
    ]
    parts = [p for p in parts if p.size]
    return jnp.concatenate(parts) if parts else jnp.zeros((0,))


def reinitialise(model: Any, key: PRNGKeyArray) -> Any:
    """The model with fresh random weights where it has any (`redraw(key)`)."""
    count = 0

    def visit(node: Any) -> bool:
        return isinstance(node, eqx.Module) and hasattr(type(node), "redraw")

    def fresh(node: Any) -> Any:
        nonlocal count
        if visit(node):
            count += 1
            return node.redraw(jax.random.fold_in(key, count))
        return node

    return jax.tree.map(fresh, model, is_leaf=visit)


def stack(make: Callable[[PRNGKeyArray], Any], keys: PRNGKeyArray) -> Any:
    """An ensemble: `make(key)` for each key, arrays stacked on a leading axis."""
    return eqx.filter_vmap(make)(keys)


def member(ensemble: Any, index: int | Array) -> Any:
    """One member of a stacked ensemble."""

    def pick(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            return np.asarray(leaf[index])  # an array still where a scalar is left
        return leaf[index] if eqx.is_array(leaf) else leaf

    return jax.tree.map(pick, ensemble)


def num_parameters(model: Any) -> int:
    """Number of trained scalars."""
    return sum(x.size for x in jax.tree.leaves(split_trainable(model)[0]))


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every inexact array of a pytree is finite."""
    leaves = [x for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]
    if not leaves:
        return jnp.asarray(True)
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]))


def digest(tree: Any) -> str:
    """Tells pytrees apart by their structure and all of their numbers; the same in
    every process."""
    # where a function lies in memory is another thing each time
    told = re.sub(r" at 0x[0-9a-f]+", "", str(jax.tree.structure(tree)))
    found = hashlib.sha256(told.encode())
    for leaf in jax.tree.leaves(tree):
        found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()
