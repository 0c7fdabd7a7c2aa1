"""Through a whole sequence: the scan over time, its memory, and its end."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import whole
from .._errors import DataError, ShapeError
from ._cell import AbstractCell, AbstractLinearCell, AbstractNoisyCell


_LONG = 2000  # from so many samples on states are computed again in the backward pass


def run_cell(
    cell: AbstractCell,
    us: Float[Array, "time in"],
    *,
    state: Any = None,
    length: Int[Array, ""] | None = None,
    key: PRNGKeyArray | None = None,
    all_states: bool = False,
    chunk: int | None = None,
    unroll: int | None = None,
) -> tuple[Any, Any]:
    """The states of a cell along one sequence.

    **Shapes:** `us` `"time in"`; states as the cell's, those of all times with time in
    front.
    **Arguments:**
    - `state`: where it begins; default `cell.start()`.
    - `length`: samples that belong to the sequence; the state is frozen after them,
      whatever stands there.
    - `key`: of the noise; without one there is none.
    - `all_states`: whether what a head reads is kept of all times.
    - `chunk`: samples between two states that are kept for the gradient; what lies
      between is computed again in the backward pass. Default: all are kept up to 2000
      samples, and every root of the length-th beyond.
    - `unroll`: steps that the compiled loop does at a time: default 1; more compile
      longer, and may run faster. Nothing for a cell whose steps are done in parallel.

    **Returns:** (last state, `cell.read` of the state after every input `"time
    hidden"`, or None).
    **Raises:** `ShapeError` for an input of another size or without a sample;
    `DataError` for a length that is known outside of a compiled program and lies below
    0 or beyond the samples; `ConfigError` for a chunk, or steps at a time, below 1.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LipschitzCell, run_cell
    >>> cell = LipschitzCell(2, 4, key=jax.random.key(0))
    >>> us = jnp.ones((10, 2))
    >>> whole, _ = run_cell(cell, us)
    >>> half, _ = run_cell(cell, us, length=jnp.asarray(5))
    >>> bool(jnp.allclose(run_cell(cell, us[5:], state=half)[0], whole, atol=1e-6))
    True

    ```
    """
    check_inputs(cell, us)
    steps = len(us)
    check_length(length, steps)
    if length is not None:  # a gradient would have the NaN of what is not looked at
        inside = jnp.arange(steps) < length
        us = jnp.where(inside[:, None], us, jnp.zeros_like(us))
    if chunk is None:
        chunk = steps if steps <= _LONG else math.isqrt(steps)
    at_once = whole(1, chunk=chunk, unroll=1 if unroll is None else unroll)
    begin = cell.start() if state is None else state
    if isinstance(cell, AbstractLinearCell):
        return _parallel(cell, us, begin, length, all_states)
    noise = None
    if key is not None and isinstance(cell, AbstractNoisyCell):
        noise = cell.draw(steps, key)
    weights = cell.weights()

    def one(carry: Any, at: tuple) -> tuple[Any, Any]:
        fed, xi, index = at
        if isinstance(cell, AbstractNoisyCell) and xi is not None:
            after = cell.shaken(weights, carry, fed, xi)
        else:
            after = cell.step(weights, carry, fed)
        if length is not None:
            keep = index < length
            after = jax.tree.map(lambda a, b: jnp.where(keep, a, b), after, carry)
        return after, cell.read(after) if all_states else None

    def part(carry: Any, at: tuple) -> tuple[Any, Any]:
        some, xi, index = at
        fed = jax.vmap(cell.feed)(some)
        return jax.lax.scan(one, carry, (fed, xi, index), unroll=at_once)

    index = None if length is None else jnp.arange(steps)
    parts = (us, noise, index)
    count = steps // chunk
    if chunk >= steps:
        return part(begin, parts)
    cut = lambda x: x[: count * chunk].reshape(count, chunk, *x.shape[1:])
    front, outs = jax.lax.scan(jax.checkpoint(part), begin, jax.tree.map(cut, parts))
    outs = jax.tree.map(lambda x: x.reshape(count * chunk, *x.shape[2:]), outs)
    if count * chunk == steps:
        return front, outs
    rest = jax.tree.map(lambda x: x[count * chunk :], parts)
    last, more = jax.checkpoint(part)(front, rest)
    return last, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), outs, more)


def check_inputs(cell: AbstractCell, us: Float[Array, "*shape"]) -> None:
    """One sequence of a cell's inputs. **Raises:** `ShapeError` for anything else."""
    if us.ndim != 2 or us.shape[1] != cell.in_size or not len(us):
        raise ShapeError(
            f"a sequence of shape {us.shape}; expected (time, {cell.in_size}) with at "
            "least one sample. Give one sequence, and batches by jax.vmap."
        )


def check_length(length: Any, steps: int) -> None:
    """**Raises:** `DataError` for a length that no sequence of so many samples has."""
    if length is None:
        return
    try:
        known = int(np.asarray(length))
    except jax.errors.TracerArrayConversionError:
        return  # of batches `Sequences` looks at them
    if not 0 <= known <= steps:
        raise DataError(
            f"length {known} of a sequence of {steps} samples; it must lie between 0 "
            f"and {steps}."
        )


def _parallel(
    cell: AbstractLinearCell,
    us: Float[Array, "time in"],
    state: Any,
    length: Int[Array, ""] | None,
    all_states: bool,
) -> tuple[Any, Any]:
    """All states at once; frozen ones repeat that of the sequence's end."""
    states = cell.states(us, state)
    index = jnp.arange(len(us))
    if length is not None:
        index = jnp.minimum(index, jnp.maximum(length, 1) - 1)
    last = jax.tree.map(lambda x: x[index[-1]], states)
    if length is not None:  # of no sample at all the state is still the first one
        last = jax.tree.map(lambda a, b: jnp.where(length > 0, a, b), last, state)
    if not all_states:
        return last, None
    reads = jax.vmap(cell.read)(states)[index]
    if length is not None:
        reads = jnp.where(length > 0, reads, cell.read(state))
    return last, reads
