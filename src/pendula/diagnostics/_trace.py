"""Trace of a curvature from random probes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import choice, not_negative, whole
from .._precision import precision
from ._hessian import AbstractCurvature


TraceMethod = Literal["hutchinson", "hutch++"]
_LEAST = 10  # probes before a standard error is believed


@dataclasses.dataclass(frozen=True)
class Trace:
    """A trace with its standard error.

    `samples` `"probe"`: what each probe said (of the rest only, for `"hutch++"`);
    `products`: of H with a vector that it took; `blocks`: path of an array -> (trace of
    its diagonal block, standard error), from the same probes; empty for `"hutch++"`.
    """

    value: float
    error: float
    samples: np.ndarray
    products: int
    blocks: dict[str, tuple[float, float]]


def trace(
    op: AbstractCurvature,
    *,
    probes: int = 100,
    tol: float = 0.0,
    method: str = "hutchinson",
    key: PRNGKeyArray | None = None,
) -> Trace:
    r"""The trace, as a mean over random signs.

    $$ \mathrm{tr} H \approx \frac1m \sum_i v_i^T H v_i, \quad v_i \in \{-1, 1\}^n $$

    **Arguments:**
    - `probes`: products to spend at most, at least 2 (`"hutch++"`: 6).
    - `tol`: stop once the standard error is at most `tol` of the trace, after ten
      probes at the earliest (two successive means may agree by luck). 0 uses all.
    - `method`: `"hutch++"` spends a third on the largest eigenvectors, whose part is
      then exact, and the rest on what is left: better where few eigenvalues dominate.
    - `key`: default `jax.random.key(0)`.

    **Returns:** `Trace`; the error is the standard deviation of the samples over the
    root of their number. That of a few samples may be next to 0 by luck; `"hutch++"`
    has about a third of `probes` of them.
    **Raises:** `ConfigError`.
    **Source:** Hutchinson 1990, Communications in Statistics 19, 433-450; Meyer,
    Musco, Musco, Woodruff 2021, Hutch++, arXiv:2010.09649, algorithm 1.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, trace
    >>> loss = lambda w, _: 0.5 * jnp.sum(jnp.arange(1.0, 5.0) * w**2)
    >>> found = trace(HessianOperator(loss, jnp.ones(4)), probes=10)
    >>> found.value, found.error  # exact: the Hessian is diagonal
    (10.0, 0.0)

    ```
    """
    least = 2 if method == "hutchinson" else 6
    choice("method", method, get_args(TraceMethod))
    whole(least, probes=probes)
    not_negative(tol=tol)
    key = jax.random.key(0) if key is None else key
    signs = lambda i: rademacher(op, jax.random.fold_in(key, i))
    if method == "hutch++":
        return _hutch_plus(op, probes, tol, signs)
    samples: list[float] = []
    pieces: list[list[float]] = []
    for i in range(probes):
        v = signs(i)
        each = (v * op(v)).astype(np.float64)
        samples.append(float(each.sum()))
        pieces.append([float(each[at].sum()) for at in op.slices.values()])
        if _enough(samples, 0.0, tol):
            break
    blocks = {
        name: _mean(np.array(column))
        for name, column in zip(op.slices, zip(*pieces, strict=True), strict=True)
    }
    value, error = _mean(np.array(samples))
    return Trace(value, error, np.array(samples), len(samples), blocks)


def _hutch_plus(
    op: AbstractCurvature, probes: int, tol: float, signs: Callable[[int], np.ndarray]
) -> Trace:
    """The trace within the range of a sketch, and Hutchinson's outside of it."""
    rank = min(probes // 3, op.size)
    sketch = np.stack([op(signs(i)) for i in range(rank)])
    q = np.linalg.qr(sketch.T.astype(np.float64))[0].T
    exact = float(sum(row @ op(row) for row in q))
    samples: list[float] = []
    for i in range(rank, probes - rank):
        v = signs(i).astype(np.float64)
        v = v - q.T @ (q @ v)
        samples.append(float(v @ op(v)))
        if _enough(samples, exact, tol):
            break
    value, error = _mean(np.array(samples))
    return Trace(exact + value, error, np.array(samples), 2 * rank + len(samples), {})


def _mean(samples: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(len(samples)))


def _enough(samples: list[float], offset: float, tol: float) -> bool:
    if tol == 0.0 or len(samples) < _LEAST:
        return False
    value, error = _mean(np.array(samples))
    return error <= tol * abs(offset + value)


def rademacher(op: AbstractCurvature, key: PRNGKeyArray) -> np.ndarray:
    """Random signs `"n"`, the same in both precisions."""
    with precision(np.float32):
        bits = jax.random.bernoulli(key, shape=(op.size,))
    return np.where(np.asarray(bits), 1.0, -1.0).astype(op.dtype)
