"""A flow known on circles, at the nodes of a rectangular grid."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float

from ._cylinder_grid import RADIUS, CylinderMesh, barycentric


RINGS = 320  # equally spaced in xi
ANGLES = 512


class WakeSampler:
    """From modes to the nodes of a grid: by series onto many circles and angles, from
    there by cubic polynomials in both directions.

    **Arguments:** `mesh`; `x`, `y`: coordinates of the grid, the cylinder at (0, 0).
    **Raises:** `ConfigError` for a grid that reaches beyond the mesh.
    **Behaviour / good values:** of fourth order in a spacing of 0.01; inside of the
    cylinder fields are 0.
    **Source:** derived; the cubic polynomials are Lagrange's on the four nearest nodes.
    """

    mesh: CylinderMesh
    mask: Bool[np.ndarray, "x y"]

    def __init__(
        self,
        mesh: CylinderMesh,
        x: Float[np.ndarray, "x"],
        y: Float[np.ndarray, "y"],
    ) -> None:
        self.mesh = mesh
        right, up = np.meshgrid(x, y, indexing="ij")
        radius = np.hypot(right, up)
        self.mask = radius >= RADIUS * (1.0 - 1e-12)
        self.angle = np.arctan2(up, right)[self.mask]
        self.radius = radius[self.mask]
        # a little further than the furthest node, so that four rings are around it
        self.rings = np.linspace(0.0, mesh.span(x, y), RINGS)
        self.angles = max(ANGLES, 4 * mesh.num_modes)
        self.outwards = barycentric(mesh.xi, self.rings)
        self.bring = self._cubic()

    def vorticity(
        self, omega: Float[np.ndarray, "part mode node"]
    ) -> Float[np.ndarray, "x y"]:
        """Vorticity [U/D]."""
        return self._placed(self._on_nodes(omega[0] + 1j * omega[1]))

    def velocity(
        self, psi: Float[np.ndarray, "part mode node"]
    ) -> tuple[Float[np.ndarray, "x y"], Float[np.ndarray, "x y"]]:
        """Both components [U] from the modes of the stream function."""
        stream = psi[0] + 1j * psi[1]
        turn = 1j * np.arange(stream.shape[0])[:, None]
        out = self._on_nodes(turn * stream) / self.radius
        around = -self._on_nodes(self.mesh.differentiate(stream)) / self.radius
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return (
            self._placed(out * cos - around * sin),
            self._placed(out * sin + around * cos),
        )

    def _on_nodes(self, modes: np.ndarray) -> np.ndarray:
        """Values at the nodes outside of the cylinder, in a row."""
        rings = np.fft.irfft(self.outwards @ modes.T, self.angles, norm="forward")
        return self.bring @ rings.ravel()

    def _placed(self, values: np.ndarray) -> np.ndarray:
        full = np.zeros(self.mask.shape)
        full[self.mask] = values
        return full

    def _cubic(self) -> scipy.sparse.csr_array:
        """Sixteen weights for each node of the grid."""
        ring = np.log(self.radius / RADIUS) / self.rings[1]
        ring = np.maximum(ring, 0.0)
        first = np.clip(np.floor(ring).astype(np.int64) - 1, 0, RINGS - 4)
        turn = self.angle / (2.0 * np.pi) * self.angles
        before = np.floor(turn).astype(np.int64) - 1
        along, across = _four(ring - first), _four(turn - before)
        rows = first[:, None] + np.arange(4)
        columns = (before[:, None] + np.arange(4)) % self.angles
        place = rows[:, :, None] * self.angles + columns[:, None]
        weight = along[:, :, None] * across[:, None]
        count = len(self.radius)
        start = np.arange(0, 16 * count + 1, 16)
        shape = (count, RINGS * self.angles)
        return scipy.sparse.csr_array((weight.ravel(), place.ravel(), start), shape)


def _four(s: np.ndarray) -> Float[np.ndarray, "node 4"]:
    """Weights of the values at 0, 1, 2, 3 for the cubic polynomial's value at s."""
    a, b, c, d = s, s - 1.0, s - 2.0, s - 3.0
    return np.stack(
        [-b * c * d / 6.0, a * c * d / 2.0, -a * b * d / 2.0, a * b * c / 6.0], axis=-1
    )
