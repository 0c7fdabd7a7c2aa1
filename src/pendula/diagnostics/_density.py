"""Spectral density of a curvature by stochastic Lanczos quadrature."""

from __future__ import annotations

import dataclasses
import warnings

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from .._checks import positive, whole
from .._errors import FitWarning
from ._hessian import AbstractCurvature
from ._krylov import Krylov
from ._trace import rademacher


@dataclasses.dataclass(frozen=True)
class SpectralDensity:
    """How the eigenvalues are distributed.

    `nodes`, `weights` `"start step"`: Ritz values and their weights, which sum to 1 for
    every start (runs that ended early are filled with weight 0); `grid`, `density`
    `"points"`: smoothed with a Gaussian of the standard deviation `sigma`; its integral
    is 1.
    """

    nodes: np.ndarray
    weights: np.ndarray
    grid: np.ndarray
    density: np.ndarray
    sigma: float

    def moment(self, power: int) -> tuple[float, float]:
        """Mean of lambda^power over the spectrum, tr(H^power) / n, and its standard
        error over the starts (NaN with a single one; of a few starts it is itself only
        roughly known)."""
        each = np.sum(self.weights * self.nodes**power, axis=1)
        if len(each) == 1:
            return float(each[0]), float("nan")
        return float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))


def spectral_density(
    op: AbstractCurvature,
    *,
    starts: int = 10,
    steps: int = 100,
    points: int = 10_000,
    sigma: float | None = None,
    key: PRNGKeyArray | None = None,
) -> SpectralDensity:
    r"""The density of eigenvalues, by Lanczos runs from random signs.

    $$ \phi(\lambda) \approx \frac{1}{n_v} \sum_v \sum_i w_{vi} \,
       g_\sigma(\lambda - \theta_{vi}), \quad w_{vi} = (e_1^T s_{vi})^2 $$

    with Ritz values theta and eigenvectors s of each run's T. A run whose Krylov space
    is exhausted ends early, with the exact spectrum of that space.

    **Arguments:**
    - `starts`: runs, each from a fresh vector of signs; `steps`: of a run.
    - `points`: of the grid; `sigma`: width of the Gaussian, default
      sigma^2 = 1e-5 max(1, lambda_max - lambda_min); of a spectrum whose width and
      largest magnitude r are below 1, such as one in units of noise,
      sigma^2 = 1e-5 r^2 (ours); and at least two steps of the grid, below which a
      Gaussian would fall between its points (a smaller one of your own is warned of:
      nodes and weights are right, the curve is not).
    - `key`: default `jax.random.key(0)`.

    **Returns:** `SpectralDensity`.
    **Raises:** `ConfigError`.
    **Source:** Ghorbani, Krishnan, Xiao 2019, arXiv:1901.10159; defaults of Yao,
    Gholami, Keutzer, Mahoney 2020, arXiv:1912.07145 (there one start).

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, spectral_density
    >>> loss = lambda w, _: 0.5 * jnp.sum(jnp.asarray([1.0, 1.0, 1.0, 5.0]) * w**2)
    >>> found = spectral_density(HessianOperator(loss, jnp.ones(4)), starts=2)
    >>> print(found.nodes[0].round(4), found.weights[0].round(4))
    [1. 5.] [0.75 0.25]

    ```
    """
    whole(1, starts=starts, steps=steps)
    whole(2, points=points)
    if sigma is not None:
        positive(sigma=sigma)
    key = jax.random.key(0) if key is None else key
    runs = []
    for i in range(starts):
        krylov = Krylov(op, rademacher(op, jax.random.fold_in(key, i)))
        krylov.extend(min(steps, op.size))
        theta, s = krylov.ritz()
        runs.append((theta, s[0] ** 2))
    longest = max(len(theta) for theta, _ in runs)
    fill = lambda x: np.pad(x, (0, longest - len(x)))
    nodes = np.stack([fill(theta) for theta, _ in runs])
    weights = np.stack([fill(w) for _, w in runs])
    low = min(theta.min() for theta, _ in runs)
    high = max(theta.max() for theta, _ in runs)
    if sigma is None:
        size = max(high - low, abs(low), abs(high))
        square = size**2 if 0.0 < size < 1.0 else max(1.0, high - low)
        sigma = float(np.sqrt(1e-5 * square))
        sigma = max(sigma, 2.0 * (high - low) / (points - 1))
    grid = np.linspace(low - 5.0 * sigma, high + 5.0 * sigma, points)
    step = float(grid[1] - grid[0])
    if sigma < 0.8 * step:  # a sum over the points is no integral from here on
        warnings.warn(
            f"sigma is {sigma:.3g} and a step of the grid is {step:.3g}: peaks fall "
            "between its points. Take more points or a wider sigma.",
            FitWarning,
            stacklevel=2,
        )
    density = np.zeros(points)
    for theta, w in runs:
        for value, share in zip(theta, w, strict=True):
            density += share * np.exp(-0.5 * ((grid - value) / sigma) ** 2)
    density /= starts * sigma * np.sqrt(2.0 * np.pi)
    return SpectralDensity(nodes, weights, grid, density, float(sigma))
