"""Nodes around a cylinder: Chebyshev's in the logarithm of the radius, Fourier's in
the angle."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from .._errors import ConfigError


RADIUS = 0.5  # of the cylinder, in diameters


def chebyshev(
    num: int, length: float
) -> tuple[Float[np.ndarray, "node"], Float[np.ndarray, "node node"]]:
    """Nodes of Gauss and Lobatto from 0 to `length` and the matrix that differentiates
    polynomials on them.

    Nodes by sines and the diagonal as minus the sum of its row: both keep digits where
    nodes are close. **Source:** Trefethen, Spectral Methods in MATLAB, SIAM 2000,
    chapter 6; Baltensperger and Trummer 2003 for the diagonal.

    ```python
    >>> from pendula.systems import chebyshev
    >>> x, slope = chebyshev(4, 2.0)
    >>> bool(abs(slope @ x**3 - 3 * x**2).max() < 1e-12)
    True

    ```
    """
    half = np.arange(num + 1) * np.pi / (2 * num)
    x = length * np.sin(half) ** 2
    # x_i - x_j as a product of sines
    gap = length * np.sin(half[:, None] + half) * np.sin(half[:, None] - half)
    np.fill_diagonal(gap, 1.0)
    weight = barycentric_weights(num)
    matrix = weight / weight[:, None] / gap
    np.fill_diagonal(matrix, 0.0)
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return x, matrix


def barycentric_weights(num: int) -> Float[np.ndarray, "node"]:
    """Of the nodes of `chebyshev`, up to a common factor."""
    weight = (-1.0) ** np.arange(num + 1)
    weight[[0, -1]] *= 0.5
    return weight


def barycentric(
    nodes: Float[np.ndarray, "node"], points: Float[np.ndarray, "point"]
) -> Float[np.ndarray, "point node"]:
    """The matrix from values on the nodes of `chebyshev` to values at points.

    **Source:** Berrut and Trefethen, Barycentric Lagrange interpolation, SIAM Review
    46, 2004.
    """
    gap = points[:, None] - nodes
    hit = gap == 0.0
    share = barycentric_weights(len(nodes) - 1) / np.where(hit, 1.0, gap)
    share /= share.sum(axis=1, keepdims=True)
    on_node = hit.any(axis=1)
    share[on_node] = hit[on_node]
    return share


def quadrature(num: int, length: float) -> Float[np.ndarray, "node"]:
    """Weights of the integral over [0, `length`] (Clenshaw and Curtis)."""
    angle = np.arange(num + 1) * np.pi / num
    even = np.arange(2, num + 1, 2)
    share = np.where(even == num, 1.0, 2.0) / (even**2 - 1.0)
    weight = 1.0 - np.cos(np.outer(angle, even)) @ share
    weight[[0, -1]] *= 0.5
    return weight * length / num


@dataclasses.dataclass(frozen=True)
class CylinderMesh:
    r"""How finely the flow around a cylinder is resolved.

    Nodes $r = a e^{\xi}$ with $\xi$ at Chebyshev's N + 1 points up to $\ln(R/a)$,
    angles equally spaced; of their modes two thirds are kept, so that products of two
    fields are exact. A sponge $\sigma = s ((r - r_s) / (R - r_s))^2$ takes the wake out
    before it meets the outer edge, and before it reaches radii where nodes and angles
    lie further apart than its vortices are wide.
    """

    num_radial: int
    """N, at least 8."""
    num_angular: int
    """Angles, at least 8."""
    dt: float
    """The longest time step [D/U]: above about 0.5 r dtheta / |u| near the wall the
    steps blow up."""
    outer: float = 40.0
    """R [D]."""
    sponge_start: float = 12.0
    """r_s [D], below R."""
    sponge_rate: float = 1.0
    """s [U/D], at least 0."""

    @property
    def length(self) -> float:
        """The outer edge in xi."""
        return float(np.log(self.outer / RADIUS))

    @property
    def num_modes(self) -> int:
        """Modes that are kept, from the mean on: 3 n < angles."""
        return (self.num_angular - 1) // 3 + 1

    @property
    def xi(self) -> Float[np.ndarray, "node"]:
        """Logarithm of the radius over that of the wall."""
        return chebyshev(self.num_radial, self.length)[0]

    @property
    def radii(self) -> Float[np.ndarray, "node"]:
        """From the wall outwards [D]."""
        return RADIUS * np.exp(self.xi)

    def differentiate(self, modes: np.ndarray) -> np.ndarray:
        """The derivative in xi of values `"mode node"`."""
        return modes @ chebyshev(self.num_radial, self.length)[1].T

    def span(self, x: Float[np.ndarray, "x"], y: Float[np.ndarray, "y"]) -> float:
        """How far in xi a flow is needed for the nodes of a grid: a little beyond the
        furthest. **Raises:** `ConfigError` where the mesh ends before."""
        far = 1.05 * float(np.hypot(np.abs(x).max(), np.abs(y).max()))
        if far > self.outer:
            raise ConfigError(
                f"the outer edge is {self.outer:g} D, and the grid needs the flow to "
                f"{far:.3g} D. Move the edge outwards."
            )
        return math.log(far / RADIUS)

    @property
    def sponge(self) -> Float[np.ndarray, "node"]:
        """How fast vorticity is taken out at each radius [U/D]."""
        depth = (self.radii - self.sponge_start) / (self.outer - self.sponge_start)
        return self.sponge_rate * np.maximum(depth, 0.0) ** 2
