"""Functions that an equation and its conditions leave open."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ._layout import Solved
from ._window import CUT, System


_LEAST = 1e-8  # of its size: what a function changes at least


def left_open(system: System, found: Solved, tol: float) -> tuple[str, bool]:
    r"""Why a stationary problem has not one solution, "" where it has; and whether it
    can have any.

    $$ \sigma = \min_w \|A w\| / \|\Phi w\| $$

    with the rows A of the equation, linearised where it was solved, and of its
    conditions, and the features $\Phi$ at the points. With slopes alone on the
    boundary, or at an eigenvalue, it vanishes. By Fredholm's alternative there are then
    many solutions of a linear equation, or none: where what is asked for cannot be met
    without those functions.
    """
    matrix = _matrix(system, found.weights, found.unknown)
    first = system.layout.rows[0]
    tables = [first.tables[0][kind, first.zero] for kind in system.layout.kinds]
    phi = scipy.linalg.block_diag(*tables) / np.sqrt(len(tables[0]))
    _, s, vt = scipy.linalg.svd(phi, full_matrices=False)
    kept = s > CUT * s[0]
    changed = matrix @ (vt[kept].T / s[kept])
    least = max(_LEAST, found.check)
    if scipy.linalg.svdvals(np.linalg.qr(changed, mode="r"))[-1] >= least:
        return "", True
    begin = "there are functions that change neither the equation nor its conditions"
    zero = np.zeros_like(found.weights)
    if np.allclose(_matrix(system, zero, found.unknown), matrix, rtol=1e-9, atol=0.0):
        left, sigma, _ = scipy.linalg.svd(changed, full_matrices=False)
        asked = system.assemble(zero, found.unknown, False, None)[0]
        left = left[:, sigma >= least]
        rest = asked - left @ (left.T @ asked)
        if np.linalg.norm(rest) > tol * np.linalg.norm(asked):
            end = "and what is asked for does not fit them: nothing solves it"
            return f"{begin}, {end}", False
    return f"{begin}: many solve it, and this is one of them", True


def _matrix(system: System, weights: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    matrix = system.assemble(weights, unknown, True, None)[1]
    assert matrix is not None
    return matrix
