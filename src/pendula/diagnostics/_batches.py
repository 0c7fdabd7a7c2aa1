"""Data in batches within a compiled program."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import whole
from .._errors import ShapeError


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
        if batch_size is not None:
            whole(1, batch_size=batch_size)
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
        return self.joined(jax.tree.map(lambda x: x[0], self.full))

    def joined(self, arrays: Any) -> Any:
        """The arrays of one batch together with what is no array."""
        return eqx.combine(arrays, self.still)

    def each(self) -> Iterator[tuple[float, Any]]:
        """The share of all samples and the arrays of each batch."""
        for k in range(self.total // self.size):
            yield self.size / self.total, jax.tree.map(lambda x, k=k: x[k], self.full)
        if self.tail is not None:
            yield (self.total % self.size) / self.total, self.tail

    def on_host(self, function: Callable[[Any], Any]) -> Any:
        """`mean` of a function of the arrays of a batch, one call for each."""
        total = None
        for part, arrays in self.each():
            found = _scaled(function(arrays), part)
            total = found if total is None else _added(total, found)
        return total

    def mean(self, function: Callable[[Any], Any]) -> Any:
        """Mean of a function of a batch over all samples, batches by their size, in a
        compiled loop."""
        if self.single:
            return function(self.first)
        of_arrays = lambda arrays: function(self.joined(arrays))

        def one(total: Any, arrays: Any) -> tuple[Any, None]:
            return _added(total, of_arrays(arrays)), None

        like = eqx.filter_eval_shape(function, self.first)
        zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        part = self.size / self.total
        total = _scaled(jax.lax.scan(one, zero, self.full)[0], part)
        if self.tail is None:
            return total
        part = (self.total % self.size) / self.total
        return _added(total, _scaled(of_arrays(self.tail), part))


def _scaled(tree: Any, part: float) -> Any:
    return jax.tree.map(lambda x: part * x, tree)


def _added(a: Any, b: Any) -> Any:
    return jax.tree.map(jnp.add, a, b)
