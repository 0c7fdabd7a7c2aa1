"""The flow around a cylinder in time: vorticity and stream function by spectra."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._cylinder_grid import RADIUS, CylinderMesh, chebyshev
from ._cylinder_modes import ModeSolver, mode_solver


RAMP = 0.3  # D/U in which the stream and the rotation come up
TRIGGER_END = 4.0  # D/U
BLOCK = 100  # steps whose insides a gradient computes again


class FlowState(NamedTuple):
    """A flow between two steps: modes of vorticity now and a step before, of the stream
    function, of the advection a step before, all `"part mode node"` (real and imaginary
    parts), and the steps taken."""

    omega: Any
    before: Any
    psi: Any
    advection: Any
    step: Any


class CylinderFlow(eqx.Module):
    r"""The plane flow around a circular cylinder in an unbounded stream.

    $$ \omega_t + \frac{1}{r^2} (\psi_\theta \omega_\xi - \psi_\xi \omega_\theta) =
       \frac{\nu}{r^2} (\omega_{\xi\xi} + \omega_{\theta\theta}) - \sigma \omega, \quad
       \psi_{\xi\xi} + \psi_{\theta\theta} = -r^2 \omega $$

    with $\xi = \ln(r/a)$, $u_r = \psi_\theta / r$, $u_\theta = -\psi_\xi / r$.
    Advection by the step's last two values, diffusion by the new one (SBDF2, the first
    step Euler's). The stream comes up as $1 - e^{-(t/0.3)^2}$, with it the rotation;
    for 0 < t < 4 a stream from below, a sine, starts the shedding.

    **Shapes and units**: lengths in diameters D, speeds in the stream's U, density 1.
    **Arguments:** `mesh`; `nu`: 1 / Re, a number or a JAX value (then everything can be
    differentiated with respect to it); `dt`: step (default: the mesh's); `rotation`:
    rate of the cylinder [U/D], the surface moves at half of it, counterclockwise;
    `trigger`: largest speed of the stream from below [U].
    **Behaviour / good values:** made, and used, in float64 (`jax.enable_x64`); what
    users need is `simulate_cylinder`. Gradients through many steps keep one state for
    every hundred.
    **Source:** derived for the polar plane; SBDF2 in Ascher, Ruuth and Wetton, SIAM J.
    Numer. Anal. 32, 1995.
    """

    first: ModeSolver
    later: ModeSolver
    derivative: Any
    inverse_square: Any
    nu: Any
    dt: Any
    rotation: Any
    trigger: Any
    num_angular: int = eqx.field(static=True)

    def __init__(
        self,
        mesh: CylinderMesh,
        nu: Any,
        *,
        dt: float | None = None,
        rotation: Any = 0.0,
        trigger: Any = 0.3,
    ) -> None:
        step = mesh.dt if dt is None else dt
        on_device = lambda tree: jax.tree.map(jnp.asarray, tree)
        self.first = on_device(mode_solver(mesh, nu, 1.0 / step))
        self.later = on_device(mode_solver(mesh, nu, 1.5 / step))
        self.derivative = jnp.asarray(chebyshev(mesh.num_radial, mesh.length)[1])
        self.inverse_square = jnp.asarray(1.0 / mesh.radii[None] ** 2)
        self.nu = jnp.asarray(nu, jnp.float64)
        self.dt = jnp.asarray(step, jnp.float64)
        self.rotation = jnp.asarray(rotation, jnp.float64)
        self.trigger = jnp.asarray(trigger, jnp.float64)
        self.num_angular = mesh.num_angular

    def start(self) -> FlowState:
        """Rest."""
        modes, _, size = self.first.matrix.shape
        rest = jnp.zeros((2, modes, size), jnp.float64)
        return FlowState(rest, rest, rest, rest, jnp.asarray(0))

    def stream(self, t: Any) -> tuple[Any, Any, Any]:
        """Coefficient of the free stream `"part"`, rotation rate and its derivative at
        a time."""
        decay = jnp.exp(-((t / RAMP) ** 2))
        from_below = self.trigger * jnp.sin(jnp.pi * t / TRIGGER_END)
        from_below = jnp.where((t > 0.0) & (t < TRIGGER_END), from_below, 0.0)
        rate = self.rotation * (1.0 - decay)
        spin_up = self.rotation * (2.0 * t / RAMP**2) * decay
        return -0.5 * jnp.stack([from_below, 1.0 - decay]), rate, spin_up

    def advection(self, omega: Any, psi: Any) -> Any:
        """-(u . grad) omega, modes to modes, by products on the angles."""
        modes = omega.shape[1]
        n = jnp.arange(modes, dtype=jnp.float64)[None, :, None]
        fields = jnp.stack([omega, psi])
        outwards = fields @ self.derivative.T
        around = jnp.stack([-n * fields[:, 1], n * fields[:, 0]], axis=1)
        both = jnp.stack([outwards, around])
        spectrum = jnp.swapaxes(jax.lax.complex(both[:, :, 0], both[:, :, 1]), -1, -2)
        (omega_xi, psi_xi), (omega_theta, psi_theta) = jnp.fft.irfft(
            spectrum, self.num_angular, norm="forward"
        )
        carried = psi_xi * omega_theta - psi_theta * omega_xi
        found = jnp.fft.rfft(carried, norm="forward")[:, :modes].T * (
            self.inverse_square.astype(jnp.complex128)
        )
        return jnp.stack([found.real, found.imag])

    def step(self, state: FlowState) -> tuple[FlowState, Any]:
        """One step of SBDF2; the state after it and (C_D, C_L) `"2"`."""
        now = self.advection(state.omega, state.psi)
        rhs = (4.0 * state.omega - state.before) / (2.0 * self.dt)
        return self._solved(self.later, state, now, rhs + 2.0 * now - state.advection)

    def first_step(self, state: FlowState) -> tuple[FlowState, Any]:
        """The same by Euler's rule, from a state without a past."""
        now = self.advection(state.omega, state.psi)
        return self._solved(self.first, state, now, state.omega / self.dt + now)

    def _solved(
        self, solver: ModeSolver, state: FlowState, now: Any, rhs: Any
    ) -> tuple[FlowState, Any]:
        count = state.step + 1
        t = count.astype(jnp.float64) * self.dt
        both = solver(rhs, *self.stream(t))
        omega, psi = jnp.split(both, 2, axis=2)
        return FlowState(omega, state.omega, psi, now, count), self.forces(omega)

    def forces(self, omega: Any) -> Any:
        r"""Coefficients of drag and lift from the vorticity at the wall, `"2"`.

        $$ C_D = 2 a \nu \int (\omega_\xi - \omega) \sin\theta \, d\theta, \quad
           C_L = -2 a \nu \int (\omega_\xi - \omega) \cos\theta \, d\theta $$

        The first term is the pressure's, by the momentum along the wall
        $p_\theta = \nu \omega_\xi - a^2 \dot\Omega$; the inertia of a rotation that
        changes is the same at all angles and drops out of both integrals, as does the
        stress of a rotation, so that they hold for a rotating cylinder too.
        """
        one = omega[:, 1]
        real, imaginary = one @ self.derivative[0] - one[:, 0]
        return -4.0 * np.pi * RADIUS * self.nu * jnp.stack([imaginary, real])

    def run(self, state: FlowState, steps: int) -> tuple[FlowState, Any]:
        """Steps of SBDF2 (`first_step` comes before the first of all); the last state
        and the forces after each, `"step 2"`."""
        one = lambda now, _: self.step(now)
        block = jax.checkpoint(lambda now, _: jax.lax.scan(one, now, None, BLOCK))
        blocks, rest = divmod(steps, BLOCK)
        state, found = jax.lax.scan(block, state, None, blocks)
        state, last = jax.lax.scan(one, state, None, rest)
        return state, jnp.concatenate([found.reshape(-1, 2), last])
