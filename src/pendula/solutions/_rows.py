"""What the rows of a training say of it: sizes, slopes, terms that hide each other."""

from __future__ import annotations

import math
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import PendulaWarning
from ._faults import APART
from ._jacobian import jacobian
from ._objective import Objective, Trained, needed
from ._problem import Problem
from ._window import row_scales


def looked_at(
    goal: Objective, theta: Trained, problem: Problem
) -> tuple[list[np.ndarray], Float[np.ndarray, "equation"]]:
    """Mean squares of each block's equations, and by what those of the equation have to
    be multiplied to be errors of u: whoever multiplies an equation by a number has not
    changed what it says."""
    squares, slopes = _looked_at(goal, theta)
    double = lambda a: np.asarray(a, np.float64)
    length = float(goal.length) if goal.form.has_time else None
    scales = row_scales(problem, goal.known[0].block.law, double(slopes), length)
    return [double(s) for s in squares], scales


@eqx.filter_jit
def _looked_at(goal: Objective, theta: Trained) -> tuple[list[Array], Array]:
    """Mean squares, and the root of those of the law's slopes."""
    squares = [jnp.mean(r * r, axis=0) for r in goal.residuals(theta)]
    known, params = goal.known[0], goal.parameters(theta.unknown)
    law, points = known.block.law, known.block.points
    part = goal.part(theta)
    values = known.base + needed(lambda p: part.added(p, goal.form), law, points)
    slope = jax.vmap(jax.jacfwd(law), in_axes=(0, 0, None))
    return squares, jnp.sqrt(jnp.mean(slope(values, points, params) ** 2, axis=0))


@eqx.filter_jit
def rows_of(goal: Objective, theta: Trained) -> Any:
    """The rows of each block."""
    return goal.residuals(theta)


@eqx.filter_jit
def slopes_of(goal: Objective, theta: Trained) -> Any:
    """Their slopes in the weights."""
    return jacobian(goal, theta)


@eqx.filter_jit
def terms_of(goal: Objective, theta: Trained) -> Any:
    """Mean squares of each block."""
    return goal.terms(theta)


def compare(goal: Objective, theta: Trained) -> None:
    """Warns where one term of the loss hides another from the beginning."""
    terms = np.asarray(goal.weights, np.float64) * np.asarray(terms_of(goal, theta))
    known = {n: t for n, t in zip(goal.names(), terms, strict=True) if t > 0.0}
    if not known:
        return
    most, least = (f(known, key=known.__getitem__) for f in (max, min))
    if known[most] > APART**2 * known[least]:
        warnings.warn(
            f'the rows of "{most}" are {math.sqrt(known[most] / known[least]):.1g} '
            f'times as large as those of "{least}" at first: a training sees the '
            "larger ones only. Rescale the problem, or set weights.",
            PendulaWarning,
            stacklevel=4,
        )
