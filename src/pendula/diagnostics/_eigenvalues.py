"""Top eigenvalues of a curvature, by Lanczos or by power iteration."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import choice, not_negative, whole
from .._errors import ConfigError
from .._precision import precision
from ._hessian import AbstractCurvature
from ._krylov import Krylov, rounding


Which = Literal["magnitude", "largest", "smallest"]
Method = Literal["lanczos", "power"]
_MORE = 20  # steps at a time once the first ones were too few


@dataclasses.dataclass(frozen=True)
class Eigenvalues:
    """Eigenpairs of a curvature.

    `values` `"k"` in the order asked for; `vectors` `"k n"`, of length 1; `residuals`
    `"k"`: |H v - lambda v| / |lambda|, where lambda counts for at least the root of the
    rounding unit (1.5e-8, in float32 3.5e-4) of the largest in magnitude that was seen,
    so that a zero can converge in float64 (float32 rounds more than the default
    tolerance); `converged`: whether all are at most the tolerance; `products`: of H
    with a vector that it took; `which`: what was asked for.
    """

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    converged: bool
    products: int
    which: str = "magnitude"

    def sharpness(self, lr: float) -> float:
        """lambda_max lr / 2: above 1, gradient descent with the rate `lr` moves away
        along that eigenvector.

        **Raises:** `ConfigError` where the largest in value may be another than those
        that were found.
        """
        most = float(self.values.max())
        known = self.which == "largest" or len(self.values) == self.vectors.shape[1]
        # all others are at most as large in magnitude as the least of these
        known |= self.which == "magnitude" and most >= np.abs(self.values).min()
        if not known:
            raise ConfigError(
                f"the largest eigenvalue is not known: {self.values.size} of "
                f"{self.vectors.shape[1]} were found, the "
                f'"{self.which}", and none of them has to be it. Ask top_eigenvalues '
                'for which="largest".'
            )
        return most * lr / 2.0


def top_eigenvalues(
    op: AbstractCurvature,
    k: int = 1,
    which: str = "magnitude",
    method: str = "lanczos",
    *,
    steps: int | None = None,
    max_steps: int | None = None,
    tol: float | None = None,
    repeated: bool = False,
    key: PRNGKeyArray | None = None,
) -> Eigenvalues:
    r"""The k eigenvalues that stand out, with eigenvectors and residuals.

    **Arguments:**
    - `op`: `HessianOperator`, `GaussNewtonOperator`.
    - `k`: how many, 1 to n.
    - `which`: largest in `"magnitude"`, `"largest"` or `"smallest"` in value.
    - `method`: `"lanczos"` with full reorthogonalisation; `"power"`: power iteration
      with deflation, a pair at a time, for comparison with other packages.
    - `steps`: Lanczos: m, the first dimension of the Krylov space, default
      min(max(2k + 20, 40), n); power: most iterations for a pair, default 100.
    - `max_steps`: Lanczos: m grows to this while a residual is above `tol`, default
      min(10 m, n).
    - `tol`: Lanczos: residual at which a pair has converged, default 1e-4; power:
      relative change of successive Rayleigh quotients that ends the iteration,
      default 1e-3 (`converged` then says that all iterations ended by it).
    - `repeated`: look again outside of what was found. From one start vector, an
      eigenvalue of several eigenvectors shows once.
    - `key`: of the start vector, default `jax.random.key(0)`.

    **Returns:** `Eigenvalues`.
    **Raises:** `ConfigError` for k outside of 1 to n, an unknown name, or settings
    that the method does not have.
    **Behaviour:** a Ritz value errs by the square of its residual over the gap to the
    next eigenvalue: 1e-4 is 1e-8 of a well separated one. Power iteration converges as
    (lambda_2 / lambda_1)^j and stops early where both are close.
    **Source:** Golub, Van Loan 2013, Matrix Computations, 4th ed., section 10.1;
    `"power"`: Yao, Gholami, Keutzer, Mahoney 2020, arXiv:1912.07145, algorithm 2.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, top_eigenvalues
    >>> a = np.array([5.0, -9.0, 2.0, 1.0])
    >>> loss = lambda w, _: 0.5 * jnp.sum(a * w**2)
    >>> op = HessianOperator(loss, np.ones(4), dtype=np.float64)
    >>> print(top_eigenvalues(op, 2).values.round(9))
    [-9.  5.]
    >>> print(top_eigenvalues(op, 2, "largest").values.round(9))
    [5. 2.]

    ```
    """
    _check(op, k, which, method)
    _check_ends(method, steps, max_steps, tol, repeated)
    key = jax.random.key(0) if key is None else key
    draws = (_normal(op, jax.random.fold_in(key, i)) for i in itertools.count())
    if method == "power":
        return _power(op, k, steps or 100, 1e-3 if tol is None else tol, draws)
    tol = 1e-4 if tol is None else tol
    steps = min(max(2 * k + 20, 40), op.size) if steps is None else steps
    steps = max(min(steps, op.size), k)
    most = min(10 * steps, op.size) if max_steps is None else max_steps
    most = max(min(most, op.size), steps)
    told = (which, steps, most, tol, draws)
    values, vectors, scale, spent = _lanczos(op, k, *told, None)
    while repeated and len(values) < op.size:
        more = min(k, op.size - len(values))
        found, other, size, cost = _lanczos(op, more, *told, vectors)
        scale, spent = max(scale, size), spent + cost
        both = np.concatenate([values, found])
        order = _order(both, which)
        entered = bool(np.any(order[:k] >= k))
        # what was found stays beside: the next look is outside of all of it
        values, vectors = both[order], np.concatenate([vectors, other])[order]
        if not entered:
            break
    values, vectors = values[:k], vectors[:k]
    residuals = _residuals(op, values, vectors, scale)
    good = bool(np.all(residuals <= tol))
    return Eigenvalues(values, vectors, residuals, good, spent + k, which)


def _lanczos(
    op: AbstractCurvature,
    k: int,
    which: str,
    steps: int,
    most: int,
    tol: float,
    draws: Iterator[np.ndarray],
    against: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Values, vectors, the largest magnitude seen and the number of products, outside
    of `against`."""
    fresh = lambda: next(draws)
    krylov = Krylov(op, fresh(), fresh, against)
    krylov.extend(steps)
    while True:
        theta, s = krylov.ritz()
        pick = _order(theta, which)[:k]
        bound = np.abs(krylov.beta[-1] * s[-1, pick])
        scale = float(np.abs(theta).max())
        small = bound <= tol * _floored(theta[pick], scale, op.dtype)
        if small.all() or krylov.ended or krylov.steps >= most:
            break
        krylov.extend(min(_MORE, most - krylov.steps))
    vectors = s[:, pick].T.astype(op.dtype) @ krylov.basis
    return theta[pick], vectors, scale, krylov.steps


def _power(
    op: AbstractCurvature, k: int, most: int, tol: float, draws: Iterator[np.ndarray]
) -> Eigenvalues:
    """Pairs one after the other, each outside of those before it."""
    vectors = np.zeros((0, op.size), op.dtype)
    values: list[float] = []
    spent, good, scale = 0, True, 0.0
    outside = lambda w: w - vectors.T @ (vectors @ w)
    for _ in range(k):
        v = w = outside(next(draws))
        quotient, settled = np.nan, False
        for _ in range(most):
            # twice: of what lies nearly within the pairs before, little is left
            v = outside(w / float(np.linalg.norm(w)))
            v = v / float(np.linalg.norm(v))
            w = op(v)
            spent += 1
            before, quotient = quotient, float(v @ w)
            scale = max(scale, float(np.linalg.norm(w)))
            w = outside(w)
            zero = float(np.linalg.norm(w)) <= rounding(op.dtype) * scale
            settled = zero or abs(quotient - before) <= tol * abs(before)
            if settled:
                break
        good &= settled
        values.append(quotient)
        vectors = np.concatenate([vectors, v[None]])
    found = np.array(values)
    residuals = _residuals(op, found, vectors, scale)
    return Eigenvalues(found, vectors, residuals, good, spent + k)


def _residuals(
    op: AbstractCurvature, values: np.ndarray, vectors: np.ndarray, scale: float
) -> np.ndarray:
    """|H v - lambda v| / |lambda| by a product each."""
    off = [
        np.linalg.norm(op(v) - value * v)
        for v, value in zip(vectors, values, strict=True)
    ]
    return np.array(off, np.float64) / _floored(values, scale, op.dtype)


def _floored(values: np.ndarray, scale: float, dtype: np.dtype) -> np.ndarray:
    """|lambda|, zeros lifted to what rounding leaves of them."""
    least = float(np.sqrt(np.finfo(dtype).eps)) * scale
    return np.maximum(np.abs(values), max(least, np.finfo(np.float64).tiny))


def _order(values: np.ndarray, which: str) -> np.ndarray:
    by = {"magnitude": -np.abs(values), "largest": -values, "smallest": values}
    return np.argsort(by[which], kind="stable")


def _normal(op: AbstractCurvature, key: PRNGKeyArray) -> np.ndarray:
    """A random direction, the same in both precisions."""
    with precision(np.float32):
        return np.asarray(jax.random.normal(key, (op.size,))).astype(op.dtype)


def _check(op: AbstractCurvature, k: int, which: str, method: str) -> None:
    choice("which", which, get_args(Which))
    choice("method", method, get_args(Method))
    if not isinstance(k, bool) and not 1 <= k <= op.size:
        raise ConfigError(
            f"k is {k}; there are {op.size} parameters and so as many eigenvalues. "
            f"Give k from 1 to {op.size}."
        )
    whole(1, k=k)
    if method == "power" and which != "magnitude":
        raise ConfigError(
            f'power iteration finds the largest in magnitude, not the "{which}". Use '
            'method "lanczos".'
        )


def _check_ends(
    method: str,
    steps: int | None,
    max_steps: int | None,
    tol: float | None,
    repeated: bool,
) -> None:
    given = {"steps": steps, "max_steps": max_steps}
    whole(1, **{name: value for name, value in given.items() if value is not None})
    if tol is not None:
        not_negative(tol=tol)
    if method == "power" and (repeated or max_steps is not None):
        name = "repeated" if repeated else "max_steps"
        raise ConfigError(
            f'power iteration has no {name}. Leave it out, or use method "lanczos".'
        )
