"""Vorticity and stream function of one time step around a cylinder, mode by mode."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._cylinder_grid import RADIUS, CylinderMesh, chebyshev


class ModeSolver(NamedTuple):
    r"""What one implicit step does, as matrices: what stands on the right of the
    vorticity's equation at all nodes -> (omega, psi) of each mode.

    `matrix` `"mode both node"` (first omega, then psi); `stream` `"both"`: mode 1 for
    a free stream of coefficient 1; `rotation`, `spin_up` `"both"`: mode 0 for a
    rotation rate and its derivative of 1.
    """

    matrix: Any
    stream: Any
    rotation: Any
    spin_up: Any

    def __call__(self, rhs: Any, stream: Any, rotation: Any, spin_up: Any) -> Any:
        """The fields `"part mode both"` after a step.

        **Arguments:** `rhs` `"part mode node"`, real and imaginary parts; `stream`
        `"part"`, coefficient of the free stream; `rotation`, `spin_up`.
        """
        # two products of a real matrix: one of a complex one costs thrice as much
        found = jnp.stack([jnp.einsum("kij,kj->ki", self.matrix, part) for part in rhs])
        turned = rotation * self.rotation + spin_up * self.spin_up
        return found.at[0, 0].add(turned).at[:, 1].add(jnp.outer(stream, self.stream))


def mode_solver(mesh: CylinderMesh, nu: Any, rate: float) -> ModeSolver:
    r"""The coupled equations of a step, inverted.

    $$ \left[ c + \sigma - \frac{\nu}{r^2} (\partial_\xi^2 - n^2) \right] \omega_n
       = f_n, \quad (\partial_\xi^2 - n^2) \psi_n + r^2 \omega_n = 0 $$

    At the wall $\psi_n = \psi_n' = 0$ for n >= 1, and $\psi_0 = 0$,
    $\psi_0' = -a^2 \Omega$, $\omega_0' = a^2 \dot\Omega / \nu$ (the pressure has one
    value); at the outer edge $\omega_n = 0$ and $\psi_n' + n \psi_n = 2 R g_n$, which
    is the irrotational flow outside, exactly; for n = 0 nothing is asked of $\psi_0$
    there.

    **Arguments:** `nu`: viscosity; a JAX value gives matrices that can be
    differentiated with respect to it, a number is worked on by NumPy; `rate`: c, the
    coefficient of the new vorticity in the time step.
    """
    xp: Any = jnp if isinstance(nu, jax.Array) else np
    matrices = _matrices(mesh, nu, rate, xp)
    size, last = mesh.num_radial + 1, mesh.num_radial
    inverse = _refined(matrices, xp)
    inner = np.ones((1, 1, size))
    inner[..., [0, last]] = 0.0  # there stand conditions, not the vorticity's equation
    return ModeSolver(
        inverse[:, :, :size] * inner,
        inverse[1, :, size + last] * (2.0 * mesh.outer),
        inverse[0, :, size + last] * -(RADIUS**2),
        inverse[0, :, 0] * (RADIUS**2 / nu),
    )


def _matrices(mesh: CylinderMesh, nu: Any, rate: float, xp: Any) -> Any:
    """The equations as `"mode both both"`, rows first of omega, then of psi."""
    _, first = chebyshev(mesh.num_radial, mesh.length)
    second = first @ first
    size, last = mesh.num_radial + 1, mesh.num_radial
    r2 = mesh.radii**2
    n = np.arange(mesh.num_modes, dtype=np.float64)[:, None, None]
    eye = np.eye(size)
    laplace = second - n**2 * eye  # r^2 times that of each mode
    zero = np.zeros_like(laplace)
    inner = np.ones((1, size, 1))
    inner[:, [0, last]] = 0.0
    at_wall, at_edge = np.zeros_like(zero), np.zeros_like(zero)
    at_wall[:, 0], at_edge[:, last] = 1.0, 1.0  # rows, filled by the conditions
    edge_omega = at_edge * eye
    turns = (n == 0).astype(np.float64)
    wall_omega = turns * at_wall * first[0]
    wall_psi = (1.0 - turns) * at_wall * first[0]
    robin = at_edge * ((1.0 - turns) * (first[last] + n * eye[last]) + turns * first[0])
    diffusion = inner * laplace / r2[:, None]
    decay = inner * np.diag(rate + mesh.sponge)
    omega_omega = decay + edge_omega + wall_omega - nu * diffusion
    psi_psi = inner * laplace + at_wall * eye + robin
    top = xp.concatenate([omega_omega, wall_psi], axis=2)
    bottom = np.concatenate([zero + inner * np.diag(r2), psi_psi], axis=2)
    return xp.concatenate([top, bottom], axis=1)


def _refined(matrices: Any, xp: Any) -> Any:
    """The inverses; one step of Newton's takes back what elimination lost to the large
    entries of second derivatives."""
    scale = 1.0 / xp.max(xp.abs(matrices), axis=2, keepdims=True)
    even = matrices * scale
    inverse = xp.linalg.inv(even)
    inverse = inverse + inverse @ (np.eye(matrices.shape[1])[None] - even @ inverse)
    return inverse * xp.swapaxes(scale, 1, 2)
