"""How many modes a solution takes: the decay of its singular values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ._estimate import grid
from ._solution import Solution


_NODES, _TIMES = 128, 65
_LEFT = 1e-3  # of the solution: what the modes that are counted may leave


def width_decay(solution: Solution) -> Float[np.ndarray, "mode"]:
    r"""Singular values of the matrix $u(x_i, t_j)$, over their root of squares.

    $$ d_n = \Big(\sum_{m > n} \sigma_m^2\Big)^{1/2} $$

    is the relative error of the best n modes fixed in space: Kolmogorov's width of the
    solution, as far as a grid tells. A wave that travels over a jump takes as many
    modes as the grid has; along its characteristics it takes one.

    **Returns:** `"mode"`, largest first; one value, 1, for a stationary solution.
    **Source:** Mojgani, Balajewicz, Hassanzadeh 2022, arXiv:2205.02902 (the argument
    for Lagrangian networks).

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solutions import Initial, Interval, Problem, solve, width_decay
    >>> wave = Problem(
    ...     lambda u, x, t, p: u.t + u.x,
    ...     domain=Interval(0.0, 2 * np.pi, periodic=True),
    ...     time=(0.0, 1.0),
    ...     conditions=[Initial(jnp.sin)],
    ... )
    >>> int(np.sum(width_decay(solve(wave, check=False)) > 1e-6))  # sine and cosine
    2

    ```
    """
    points, times, weights = grid(
        solution.problem, _NODES, _TIMES, until=solution.reached
    )
    zero = (0,) * len(solution.problem.coords)
    values = solution.values(points, [zero])[zero].reshape(len(weights), len(times), -1)
    matrix = np.concatenate(list(np.moveaxis(values, -1, 0)), axis=0)
    if not np.isfinite(matrix).all():
        return np.full(1, np.nan)
    found = np.linalg.svd(matrix, compute_uv=False)
    return found / max(float(np.linalg.norm(found)), 1e-300)


def width_text(decay: Float[np.ndarray, "mode"]) -> str:
    """The decay in a sentence, for a report."""
    if not np.isfinite(decay).all():
        return "The solution is not finite everywhere; its modes were not counted."
    tail = np.sqrt(np.maximum(1.0 - np.cumsum(decay**2), 0.0))
    count = int(np.argmax(tail < _LEFT)) + 1 if (tail < _LEFT).any() else len(decay)
    some = ", ".join(f"{value:.1e}" for value in decay[:6])
    return (
        f"Modes fixed in space that leave less than {_LEFT:g} of the solution: {count} "
        f"(singular values {some}{', ..' if len(decay) > 6 else ''})."
    )
