"""Even points in shapes that are no products of intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from .._errors import ConfigError


_MOST = 1 << 22  # of Sobol's points, before a shape is called too thin
_GOLDEN = 0.5 * (1.0 + np.sqrt(5.0))


def sobol(
    bounds: Float[np.ndarray, "coord 2"], count: int, seed: int | None
) -> Float[np.ndarray, "p coord"]:
    """The first `count` points of Sobol's sequence in a box, moved around by a random
    shift; without a seed always by the same one."""
    # irrational: no point comes to lie on a plane of symmetry
    shift = np.modf(np.sqrt([2.0, 3.0, 5.0]))[0][: len(bounds)]
    if seed is not None:
        shift = np.random.default_rng(seed).uniform(size=len(bounds))
    power = max(1, int(count - 1).bit_length())
    unit = qmc.Sobol(len(bounds), scramble=False).random_base2(power)[:count]
    lo, hi = bounds.T
    return lo + (hi - lo) * ((unit + shift) % 1.0)


def sobol_inside(
    bounds: Float[np.ndarray, "coord 2"],
    contains: Callable[[np.ndarray], np.ndarray],
    count: int,
    seed: int | None,
) -> tuple[Float[np.ndarray, "p coord"], float]:
    """`count` points of Sobol's sequence that lie in a shape, and the share of the box
    that it takes. **Raises:** `ConfigError` for a shape that is hardly there."""
    tried = 1 << max(10, int(2 * count).bit_length())
    while tried <= _MOST:
        points = sobol(bounds, tried, seed)
        inside = contains(points)
        if inside.sum() >= count:
            last = int(np.flatnonzero(inside)[count - 1])
            return points[: last + 1][inside[: last + 1]], float(inside.mean())
        tried *= 4
    raise ConfigError(
        f"the domain takes less than {count / _MOST:.1g} of the box around it: no "
        "points were found in it. Check its pieces, or split it."
    )


def directions(count: int, dim: int, turn: float) -> Float[np.ndarray, "p coord"]:
    """Even unit vectors, turned by an angle: on a circle, or on a sphere along a
    spiral with the golden angle (Fibonacci's lattice)."""
    k = np.arange(count) + 0.5
    if dim == 2:
        angle = 2.0 * np.pi * k / count + turn
        return np.stack([np.cos(angle), np.sin(angle)], -1)
    z = 1.0 - 2.0 * k / count
    angle = 2.0 * np.pi * k / _GOLDEN + turn
    flat = np.sqrt(1.0 - z * z)
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], -1)


def ball_points(count: int, dim: int, seed: int | None) -> np.ndarray:
    r"""Points in the unit disc or ball, denser towards the rim, which they reach.

    In the disc they are an even lattice on the upper half of the sphere above it, seen
    from above: their density $\propto (1 - r^2)^{-1/2}$ is for a disc what
    Chebyshev's is for an interval. In the ball the radii are
    $\sin(\frac\pi2 v^{1/3})$ with even v.
    """
    shift = 0.0 if seed is None else 0.5
    turn = 0.0 if seed is None else 1.0 + seed
    if dim == 3:
        share = (np.arange(count) + 0.5) / count
        order = np.argsort(sobol(np.asarray([[0.0, 1.0]]), count, seed)[:, 0])
        radius = np.empty(count)
        radius[order] = np.sin(0.5 * np.pi * np.cbrt(share))
        return radius[:, None] * directions(count, 3, turn)
    height = 1.0 - (np.arange(count) + shift) / max(count - 1.0 + 2.0 * shift, 1.0)
    radius = np.sqrt(np.maximum(1.0 - height * height, 0.0))
    angle = 2.0 * np.pi * np.arange(count) / _GOLDEN + turn
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)


def even_subset(points: Float[np.ndarray, "p coord"], count: int) -> np.ndarray:
    """Indices of points of a set, each as far as possible from those before it."""
    away = np.full(len(points), np.inf)
    chosen = np.zeros(min(count, len(points)), np.intp)
    # from the outermost one: the rim of the set is covered early
    chosen[0] = np.argmax(np.sum((points - points.mean(0)) ** 2, axis=1))
    for k in range(1, len(chosen)):
        step = points - points[chosen[k - 1]]
        away = np.minimum(away, np.sum(step * step, axis=1))
        chosen[k] = np.argmax(away)
    return chosen
