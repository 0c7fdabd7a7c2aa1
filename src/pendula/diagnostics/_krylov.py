"""Lanczos' recursion, one for eigenvalues and for spectral densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal


# A vector is lost in rounding below this many units of the matrix
_BREAKDOWN = 50.0


def rounding(dtype: np.dtype) -> float:
    """What rounding leaves of a vector that is zero, of the matrix's size."""
    return _BREAKDOWN * float(np.finfo(dtype).eps)


class Krylov:
    r"""An orthonormal basis of the Krylov space of a start vector, and T in it.

    $$ H q_j = \beta_{j-1} q_{j-1} + \alpha_j q_j + \beta_j q_{j+1} $$

    with every new vector made orthogonal twice to all before it. SciPy's `eigsh`
    restarts and gives eigenpairs only; densities need T itself. The recursion runs on
    the host: only the product is compiled, once, whatever the number of steps; on the
    networks measured the rest is a tenth of it.

    **Arguments:** `product`: H times a vector `"n"`; `start`: any vector `"n"`;
    `fresh`: gives another random vector where the space is exhausted, so that the
    recursion goes on outside of it (for eigenvalues; without it the recursion ends);
    `against`: orthonormal rows that all vectors stay orthogonal to.
    """

    def __init__(
        self,
        product: Callable[[np.ndarray], np.ndarray],
        start: np.ndarray,
        fresh: Callable[[], np.ndarray] | None = None,
        against: np.ndarray | None = None,
    ) -> None:
        self.product, self.fresh = product, fresh
        self.against = np.zeros((0, len(start)), start.dtype)
        if against is not None:
            self.against = against.astype(start.dtype)
        self.alpha: list[float] = []
        self.beta: list[float] = []  # the last one leads out of the space
        self.basis = np.zeros((0, len(start)), start.dtype)
        self.ended = False
        self._scale = 0.0
        self._next = self._unit(start)

    @property
    def steps(self) -> int:
        """Dimension of the space so far."""
        return len(self.alpha)

    def extend(self, steps: int) -> None:
        """At most so many further steps; fewer where the space is exhausted."""
        done = self.steps
        room = np.zeros((steps, self.basis.shape[1]), self.basis.dtype)
        self.basis = np.concatenate([self.basis, room])
        for j in range(done, done + steps):
            if self.ended:
                break
            self._step(j)
        self.basis = self.basis[: self.steps]

    def _step(self, j: int) -> None:
        self.basis[j] = self._next
        w = np.array(self.product(self._next))
        self.alpha.append(float(self._next @ w))
        w = self._orthogonal(w, j + 1)
        size = float(np.linalg.norm(w))
        self._scale = max(self._scale, abs(self.alpha[-1]) + size)
        floor = rounding(w.dtype) * self._scale
        if j + 1 + len(self.against) >= len(w):
            self.beta.append(0.0)
            self.ended = True
        elif size > floor:
            self.beta.append(size)
            self._next = w / size
        else:
            self.beta.append(0.0)
            if self.fresh is None:
                self.ended = True
            else:
                self._next = self._unit(self.fresh(), j + 1)

    def _orthogonal(self, w: np.ndarray, count: int) -> np.ndarray:
        for _ in range(2):
            for rows in (self.against, self.basis[:count]):
                w = w - rows.T @ (rows @ w)
        return w

    def _unit(self, v: np.ndarray, count: int = 0) -> np.ndarray:
        v = self._orthogonal(v.astype(self.basis.dtype), count)
        return v / np.linalg.norm(v)

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, ascending, and its eigenvectors as columns."""
        pair: Any = eigh_tridiagonal(np.array(self.alpha), np.array(self.beta[:-1]))
        return pair
