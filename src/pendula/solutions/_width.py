"""How many modes a solution takes: the decay of its singular values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from ._estimate import grid
from ._given import of_kind
from ._solution import Solution


_NODES, _TIMES = 128, 65
_LEFT = 1e-3  # of the solution: what the modes that are counted may leave
_MANY = 20  # modes: above, what may take fewer is said


def width_decay(solution: Solution) -> Float[np.ndarray, "mode"]:
    r"""Singular values $\sigma_n$ of the matrix $u(x_i, t_j)$, over the root of the sum
    of their squares.

    $$ d_n = \Big(\sum_{m > n} \sigma_m^2\Big)^{1/2} $$

    is then the relative error of the best n modes fixed in space: Kolmogorov's width of
    the solution, as far as a grid tells. A wave that travels over a jump takes as many
    modes as the grid has; along its characteristics it takes one.

    **Returns:** `"mode"`, largest first; one value, 1, for a stationary solution, and
    one NaN where the solution is not finite.
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
    of_kind("width_decay: the solution is", solution, Solution, "what solve has found")
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


def width(solution: Solution) -> list[float] | None:
    """`width_decay` for a report: None where there is no time or no space, where
    nothing was solved, or nothing is there to count."""
    problem = solution.problem
    if problem.time is None or problem.domain is None:
        return None
    if solution.reached <= problem.time[0]:
        return None
    decay = width_decay(solution)
    return decay.tolist() if np.isfinite(decay).all() and decay.any() else None


def width_left(decay: ArrayLike) -> Float[np.ndarray, "mode"]:
    """What the best 1, 2, .. modes leave of the solution, d_1, d_2, .. of
    `width_decay`, relative.

    ```python
    >>> from pendula.solutions import width_left
    >>> width_left([0.8, 0.6, 0.0]).tolist()
    [0.6, 0.0, 0.0]

    ```
    """
    squares = np.asarray(decay, np.float64) ** 2
    return np.sqrt(np.append(np.cumsum(squares[::-1])[::-1][1:], 0.0))


def width_words(decay: ArrayLike) -> str:
    """How many modes a solution takes, in a sentence.

    ```python
    >>> from pendula.solutions import width_words
    >>> width_words([0.8, 0.6, 1e-5])
    '2 modes fixed in space leave less than 0.001 of the solution (singular values 8.0e-01, 6.0e-01, 1.0e-05).'

    ```
    """  # noqa: E501 one sentence
    sizes = np.asarray(decay, np.float64)
    count = int(np.argmax(width_left(sizes) < _LEFT)) + 1  # the last one leaves nothing
    modes = f"{count} modes fixed in space leave"
    if count == 1:
        modes = "1 mode fixed in space leaves"
    some = ", ".join(f"{value:.1e}" for value in sizes[:6])
    more = ", .." if len(sizes) > 6 else ""
    many = (
        " What is sharp and travels takes many; in coordinates that move with it "
        "(`lagrangian`) it takes fewer."
        if count > _MANY
        else ""
    )
    return (
        f"{modes} less than {_LEFT:g} of the solution (singular values {some}{more})."
        f"{many}"
    )
