"""Functions that an equation and its conditions leave open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ._layout import Solved
from ._window import CUT, System


_LEAST = 1e-8  # of its size: what a function changes at least


def left_open(system: System, found: Solved, tol: float) -> tuple[str, bool]:
    """As `open_functions`, of what solves one system."""
    matrix = _matrix(system, found.weights, found.unknown)
    zero = np.zeros_like(found.weights)

    def asked() -> np.ndarray | None:
        if not same(_matrix(system, zero, found.unknown), matrix):
            return None
        return system.assemble(zero, found.unknown, False, None)[0]

    return open_functions(matrix, values_of(system), asked, found.check, tol)


def values_of(system: System) -> Float[np.ndarray, "row weight"]:
    """The features at the points, whose squares add up to their mean square."""
    first = system.layout.rows[0]
    tables = [first.tables[0][kind, first.zero] for kind in system.layout.kinds]
    return scipy.linalg.block_diag(*tables) / np.sqrt(len(tables[0]))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two matrices are the same: of a linear equation all are."""
    return np.allclose(one, other, rtol=1e-9, atol=1e-12 * float(np.abs(other).max()))


def open_functions(
    matrix: Float[np.ndarray, "row weight"],
    phi: Float[np.ndarray, "value weight"],
    asked: Callable[[], Float[np.ndarray, "row"] | None],
    check: float,
    tol: float,
) -> tuple[str, bool]:
    r"""Why a stationary problem has not one solution, "" where it has; and whether it
    can have any.

    $$ \sigma = \min_w \|A w\| / \|\Phi w\| $$

    with the rows A of the equation, linearised where it was solved, and of its
    conditions, and the features $\Phi$ at the points. With slopes alone on the
    boundary, or at an eigenvalue, it vanishes. By Fredholm's alternative there are then
    many solutions of a linear equation, or none: where what is asked for cannot be met
    without those functions.

    **Arguments:** `matrix`: A; `phi`; `asked`: the rows without weights, None of an
    equation that is not linear; `check`: the residual between the points.
    """
    _, s, vt = scipy.linalg.svd(phi, full_matrices=False)
    kept = s > CUT * s[0]
    changed = matrix @ (vt[kept].T / s[kept])
    least = max(_LEAST, check)
    if scipy.linalg.svdvals(np.linalg.qr(changed, mode="r"))[-1] >= least:
        return "", True
    begin = "there are functions that change neither the equation nor its conditions"
    rows = asked()
    if rows is not None:
        left, sigma, _ = scipy.linalg.svd(changed, full_matrices=False)
        left = left[:, sigma >= least]
        rest = rows - left @ (left.T @ rows)
        if np.linalg.norm(rest) > tol * np.linalg.norm(rows):
            end = "and what is asked for does not fit them: nothing solves it"
            return f"{begin}, {end}", False
    return f"{begin}: many solve it, and this is one of them", True


def _matrix(system: System, weights: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    matrix = system.assemble(weights, unknown, True, None)[1]
    assert matrix is not None
    return matrix
