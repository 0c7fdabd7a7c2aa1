"""Data in batches within a compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._errors import ConfigError, ShapeError


class Batches(eqx.Module):
    """The data in batches of one size, `"batch size ..."`, and what is left."""

    full: Any  # arrays with two leading axes
    tail: Any  # arrays with one, or None
    still: Any  # leaves that are no arrays
    size: int = eqx.field(static=True)
    total: int = eqx.field(static=True)

    @classmethod
    def of(cls, data: Any, batch_size: int | None) -> Batches:
        """Cut the arrays of `data`. **Raises:** `ConfigError`, `ShapeError`."""
        arrays, still = eqx.partition(data, eqx.is_array)
        leaves = jax.tree.leaves(arrays)
        if batch_size is not None and batch_size < 1:
            raise ConfigError(
                f"batch_size is {batch_size}; it must be at least 1, or None for all."
            )
        if not leaves:
            full = jax.tree.map(lambda x: x[None], arrays)
            return cls(full, None, still, 1, 1)
        lengths = {x.shape[0] if x.ndim else 0 for x in leaves}
        if len(lengths) > 1 or 0 in lengths:
            raise ShapeError(
                "the arrays of data have shapes "
                f"{', '.join(str(x.shape) for x in leaves)}; they need one leading "
                "axis in common, the samples, and at least one sample."
            )
        (total,) = lengths
        size = total if batch_size is None else min(batch_size, total)
        count = total // size
        pile = lambda x: jnp.asarray(x[: count * size]).reshape(
            (count, size, *x.shape[1:])
        )
        rest = lambda x: jnp.asarray(x[count * size :])
        tail = jax.tree.map(rest, arrays) if total % size else None
        return cls(jax.tree.map(pile, arrays), tail, still, size, total)

    @property
    def single(self) -> bool:
        """Whether one batch is all there is."""
        return self.size == self.total

    @property
    def first(self) -> Any:
        """The first batch."""
        return eqx.combine(jax.tree.map(lambda x: x[0], self.full), self.still)

    def mean(self, function: Callable[[Any], Any]) -> Any:
        """Mean of a function of a batch over all samples, batches by their size."""
        if self.single:
            return function(self.first)
        part = self.size / self.total
        scaled = lambda tree, part: jax.tree.map(lambda x: part * x, tree)
        add = lambda a, b: jax.tree.map(jnp.add, a, b)

        def one(total: Any, batch: Any) -> tuple[Any, None]:
            return add(total, function(eqx.combine(batch, self.still))), None

        like = jax.eval_shape(function, self.first)
        zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        total = scaled(jax.lax.scan(one, zero, self.full)[0], part)
        if self.tail is None:
            return total
        last = function(eqx.combine(self.tail, self.still))
        part = (self.total % self.size) / self.total
        return add(total, scaled(last, part))
