"""A row of equal links that swings in a plane: pendulum, double, triple..."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from . import _links
from ._system import AbstractSystem, Scalar, check_constants, constant, count


@register("system", "n_link_pendulum")
@register("module", "NLinkPendulum")
class NLinkPendulum(AbstractSystem):
    r"""n equal massless links in a row, a point mass at the end of each.

    $$ \dot\theta = \omega, \quad
       \sum_j \mu_{ij} \big( \cos(\theta_i - \theta_j)\,\dot\omega_j
       + \sin(\theta_i - \theta_j)\,\omega_j^2 \big)
       + \tfrac gl \mu_{ii} \sin\theta_i = \frac{Q_i}{m l^2}, \quad
       \mu_{ij} = n + 1 - \max(i, j) $$

    with $Q_i = \tau_i - \tau_{i+1}$, each joint's torque its input less the viscous
    friction c times the rate at which it bends.

    **Shapes and units**: state `y = (theta1.., omega1..)`, `"dim"=2n`, [rad, rad/s],
    all angles against the vertical, 0 hangs; input `(tau1..)` `"ctrl"=n`, torques in
    the joints [N m].
    **Arguments:** `length` l > 0 [m] and `mass` m > 0 [kg] of each link; `gravity`
    >= 0 [m/s2]; `damping` c >= 0 [N m s]; `links` n, 1 to 10 (static).
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** the energy is conserved for c = tau = 0; for g = 0 so
    is the angular momentum sum_ij M_ij omega_j about the pivot. Small swings are n
    modes (`modes`); larger ones of two or more links can be chaotic. RK4 steps of
    0.01 s.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, section 5 problem 1, for
    two links; the same Lagrangian for n.

    ```python
    >>> from pendula.systems import NLinkPendulum
    >>> NLinkPendulum(links=3).names
    ('theta1', 'theta2', 'theta3', 'omega1', 'omega2', 'omega3')

    ```
    """

    param_names: ClassVar[tuple[str, ...]] = ("length", "mass", "gravity", "damping")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.02
    good_duration: ClassVar[float] = 5.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "section 5, problem 1")

    length: Scalar = constant(1.0)
    """Length of a link [m]."""
    mass: Scalar = constant(1.0)
    """Mass at the end of a link [kg]."""
    gravity: Scalar = constant(9.81)
    """Acceleration of gravity [m/s2]."""
    damping: Scalar = constant(0.0)
    """Viscous friction of a joint [N m s]."""
    links: int = count("links", 2, 1, 10)
    """Number of links."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._numbered("theta"), *self._numbered("omega"))

    @property
    def units(self) -> tuple[str, ...]:
        return ("rad",) * self.links + ("rad/s",) * self.links

    @property
    def angle(self) -> tuple[bool, ...]:
        return (True,) * self.links + (False,) * self.links

    @property
    def input_names(self) -> tuple[str, ...]:
        return self._numbered("tau")

    @property
    def input_units(self) -> tuple[str, ...]:
        return ("N m",) * self.links

    def __check_init__(self) -> None:
        check_constants(
            self, positive=("length", "mass"), not_negative=("gravity", "damping")
        )

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        return _links.motion(y, self.push(u, y), *self._links(y, context))

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """A straight row at rest at 1 rad; with a key, angles from U(-1.2, 1.2) rad
        and rates from U(-0.5, 0.5) rad/s."""
        n = self.links
        if key is None:
            return jnp.concatenate([jnp.ones(n), jnp.zeros(n)])
        draw = jax.random.uniform(key, (2 * n,), minval=-1.0, maxval=1.0)
        return draw * jnp.repeat(jnp.array([1.2, 0.5]), n)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [J], conserved without damping and torques."""
        masses, lengths, gravity, _ = self._links(y, context)
        return {"energy": _links.energy(y, masses, lengths, gravity)}

    def angular_momentum(self, y: State, context: Context = None) -> Float[Array, ""]:
        """About the pivot [kg m2/s]; conserved where there is no gravity, damping and
        torque."""
        masses, lengths, _, _ = self._links(y, context)
        mass = _links.inertia(y[: self.links], masses, lengths)
        return jnp.sum(mass @ y[self.links :])

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of the fastest small swing, or a damping time where that is
        shorter [s]."""
        length, mass, gravity, damping = self.constants(jnp.zeros(1), context)
        # the fastest mode of n equal links is below this (the trace of M^-1 K)
        swing = jnp.sqrt(gravity / length * self.links**2)
        loss = 4.0 * damping / (mass * length**2)
        return 2.0 * jnp.pi / jnp.maximum(jnp.maximum(swing, loss), 1e-6)

    def modes(
        self,
    ) -> tuple[Float[np.ndarray, " link"], Float[np.ndarray, "link link"]]:
        """Rates [rad/s], increasing, and shapes (columns) of small undamped swings."""
        length, mass, gravity, _ = self.context()
        own = np.ones(self.links)
        return _links.modes(mass * own, length * own, gravity)

    def _numbered(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}{i + 1}" for i in range(self.links))

    def _links(
        self, like: State, context: Context
    ) -> tuple[Array, Array, Array, Array]:
        length, mass, gravity, damping = self.constants(like, context)
        own = jnp.ones(self.links, like.dtype)
        return mass * own, length * own, gravity, damping
