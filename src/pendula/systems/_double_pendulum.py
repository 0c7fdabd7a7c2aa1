"""The plane double pendulum with links of their own."""

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
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "double_pendulum")
@register("module", "DoublePendulum")
class DoublePendulum(AbstractSystem):
    r"""Two point masses on massless links, the second hanging on the first.

    $$ (m_1 + m_2) l_1 \dot\omega_1 + m_2 l_2 \dot\omega_2 \cos\Delta
       + m_2 l_2 \omega_2^2 \sin\Delta + (m_1 + m_2) g \sin\theta_1 = Q_1 / l_1, $$
    $$ m_2 l_2 \dot\omega_2 + m_2 l_1 \dot\omega_1 \cos\Delta
       - m_2 l_1 \omega_1^2 \sin\Delta + m_2 g \sin\theta_2 = Q_2 / l_2, \quad
       \Delta = \theta_1 - \theta_2, \; \dot\theta = \omega $$

    with $Q_1 = \tau_1 - \tau_2$, $Q_2 = \tau_2$, each joint's torque its input less
    the viscous friction c times the rate at which it bends.

    **Shapes and units**: state `y = (theta1, theta2, omega1, omega2)`, `"dim"=4`,
    [rad, rad, rad/s, rad/s], both angles against the vertical, 0 hangs; input
    `(tau1, tau2)` `"ctrl"=2`, torques in the joints [N m].
    **Arguments:** `length1`, `length2` > 0 [m]; `mass1`, `mass2` > 0 [kg];
    `gravity` >= 0 [m/s2]; `damping` c >= 0 [N m s].
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** the energy is conserved for c = tau = 0. Small swings
    are two modes (`modes`); larger ones can be chaotic: from the default start the
    largest Lyapunov exponent is between 0.1 and 0.3 1/s, smaller over longer times. RK4
    steps of 0.01 s.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, section 5 problem 1.

    ```python
    >>> from pendula.systems import DoublePendulum
    >>> DoublePendulum(length1=9.81, length2=9.81).modes()[0].round(4).tolist()
    [0.7654, 1.8478]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("theta1", "theta2", "omega1", "omega2")
    units: ClassVar[tuple[str, ...]] = ("rad", "rad", "rad/s", "rad/s")
    angle: ClassVar[tuple[bool, ...]] = (True, True, False, False)
    input_names: ClassVar[tuple[str, ...]] = ("tau1", "tau2")
    input_units: ClassVar[tuple[str, ...]] = ("N m", "N m")
    param_names: ClassVar[tuple[str, ...]] = (
        "length1",
        "length2",
        "mass1",
        "mass2",
        "gravity",
        "damping",
    )
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.02
    good_duration: ClassVar[float] = 5.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "section 5, problem 1")

    length1: Scalar = constant(1.0)
    """Length of the upper link [m]."""
    length2: Scalar = constant(1.0)
    """Length of the lower link [m]."""
    mass1: Scalar = constant(1.0)
    """Mass at the end of the upper link [kg]."""
    mass2: Scalar = constant(1.0)
    """Mass at the end of the lower link [kg]."""
    gravity: Scalar = constant(9.81)
    """Acceleration of gravity [m/s2]."""
    damping: Scalar = constant(0.0)
    """Viscous friction of either joint [N m s]."""

    def __check_init__(self) -> None:
        check_constants(
            self,
            positive=("length1", "length2", "mass1", "mass2"),
            not_negative=("gravity", "damping"),
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
        """At rest at (1, 1.5) rad; with a key, angles from U(-1.2, 1.2) rad and rates
        from U(-0.5, 0.5) rad/s."""
        if key is None:
            return jnp.array([1.0, 1.5, 0.0, 0.0])
        draw = jax.random.uniform(key, (4,), minval=-1.0, maxval=1.0)
        return draw * jnp.array([1.2, 1.2, 0.5, 0.5])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [J], conserved without damping and torques."""
        masses, lengths, gravity, _ = self._links(y, context)
        return {"energy": _links.energy(y, masses, lengths, gravity)}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of a small swing of the lower link alone on a heavy upper one, or
        a damping time where that is shorter [s]."""
        masses, lengths, gravity, damping = self._links(jnp.zeros(4), context)
        swing = jnp.sqrt(gravity * jnp.sum(masses) / (masses[0] * jnp.min(lengths)))
        loss = damping / jnp.min(masses * lengths**2)
        return 2.0 * jnp.pi / jnp.maximum(jnp.maximum(swing, loss), 1e-6)

    def modes(
        self,
    ) -> tuple[Float[np.ndarray, " link"], Float[np.ndarray, "link link"]]:
        """Rates [rad/s], increasing, and shapes (columns) of small undamped swings."""
        l1, l2, m1, m2, gravity, _ = self.context()
        return _links.modes(np.array([m1, m2]), np.array([l1, l2]), gravity)

    def _links(
        self, like: State, context: Context
    ) -> tuple[Array, Array, Array, Array]:
        l1, l2, m1, m2, gravity, damping = self.constants(like, context)
        return jnp.stack([m1, m2]), jnp.stack([l1, l2]), gravity, damping
