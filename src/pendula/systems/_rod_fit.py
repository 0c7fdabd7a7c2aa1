"""Least squares through the steps of a rod."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


PRECISE = 1e-8  # of the sum of squares: less than a hundredth of an interval
Linearised = tuple[np.ndarray, np.ndarray]


@eqx.filter_jit
def linearised(
    path: Callable[[Any], Float[Array, "*seen"]], q: Float[Array, "free"]
) -> tuple[Float[Array, "*seen"], Float[Array, "free *seen"]]:
    """What is seen of a motion, and its derivatives.

    Tangents go along with the motion: each solved step gives, with one factor of its
    stiffness, how its state moves with every unknown. Three unknowns cost about as
    much as one motion more (differences need one motion each, and lose half of the
    digits; going back needs one for each number that is seen).
    """
    along = lambda d: jax.jvp(path, (q,), (d,))
    return jax.vmap(along, out_axes=(None, 0))(jnp.eye(q.size, dtype=q.dtype))


def levenberg(
    at: Callable[[np.ndarray], Linearised],
    first: np.ndarray,
    there: Linearised,
    most: int,
) -> Any:
    """The least squares of residuals; `at` gives them and their slopes, `there` are
    those at the `first` unknowns.

    Levenberg-Marquardt in its form with a trust region (SciPy's `trf`, More 1978):
    where a trial's motion fails the region shrinks.
    """
    from scipy.optimize import least_squares

    last = {first.tobytes(): there}

    def kept(p: np.ndarray) -> Linearised:
        if p.tobytes() not in last:
            last.clear()
            last[p.tobytes()] = at(p)
        return last[p.tobytes()]

    slope: Any = lambda p: kept(p)[1]  # SciPy's annotation forgets functions
    return least_squares(
        lambda p: kept(p)[0],
        first,
        jac=slope,
        method="trf",
        ftol=PRECISE,
        xtol=PRECISE,
        gtol=1e-14,
        max_nfev=most,
    )
