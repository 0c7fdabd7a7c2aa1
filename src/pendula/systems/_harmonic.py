"""The harmonic oscillator, damped or not, with its exact motion."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "harmonic")
@register("module", "Harmonic")
class Harmonic(AbstractSystem):
    r"""A mass on a linear spring with viscous damping.

    $$ \dot q = v, \quad m \dot v = -k q - c\,v + u $$

    **Shapes and units**: state `y = (q, v)`, `"dim"=2`, [m, m/s]; input `u`
    `"ctrl"=1`, a force [N].
    **Arguments:** `mass` m > 0 [kg]; `stiffness` k > 0 [N/m]; `damping` c >= 0
    [kg/s].
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** oscillates for c < 2 sqrt(k m), creeps above. Energy
    E = m v^2/2 + k q^2/2 is conserved for c = u = 0, otherwise dE/dt = -c v^2 + u v.
    Steps below 1/20 of the period 2 pi sqrt(m/k) for RK4, below 1/60 for Heun.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, sections 21 and 25.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Harmonic
    >>> h = Harmonic(mass=1.0, stiffness=4.0)
    >>> h.exact(np.array([0.0, np.pi / 2]), np.array([1.0, 0.0])).round(12)[1, 0]
    np.float64(-1.0)

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("q", "v")
    units: ClassVar[tuple[str, ...]] = ("m", "m/s")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ("u",)
    input_units: ClassVar[tuple[str, ...]] = ("N",)
    param_names: ClassVar[tuple[str, ...]] = ("mass", "stiffness", "damping")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.2
    good_duration: ClassVar[float] = 40.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "sections 21 and 25")

    mass: Scalar = constant(1.0)
    """Moving mass [kg]."""
    stiffness: Scalar = constant(1.0)
    """Spring constant [N/m]."""
    damping: Scalar = constant(0.0)
    """Viscous damping [kg/s]."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("mass", "stiffness"), not_negative=("damping",))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        mass, stiffness, damping = self.constants(y, context)
        q, v = y
        force = self.force(u, y) - stiffness * q - damping * v
        return jnp.stack([v, force / mass])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At rest at 1 m; with a key, q from U(-1, 1) m and v from U(-1, 1) m/s times
        sqrt(k/m) s."""
        if key is None:
            return jnp.array([1.0, 0.0])
        draw = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        mass, stiffness, _ = self.constants(draw)
        return draw * jnp.stack([jnp.ones_like(mass), jnp.sqrt(stiffness / mass)])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [J], conserved without damping and input."""
        mass, stiffness, _ = self.constants(y, context)
        q, v = y
        return {"energy": 0.5 * mass * v**2 + 0.5 * stiffness * q**2}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The undamped period, or the damping time m/c where that is shorter [s]."""
        mass, stiffness, damping = self.constants(jnp.zeros(2), context)
        rate = jnp.sqrt(stiffness / mass) / (2.0 * jnp.pi)
        return 1.0 / jnp.maximum(rate, damping / mass)

    def exact(self, ts: ArrayLike, y0: ArrayLike) -> Float[np.ndarray, "time dim"]:
        r"""The free motion through `y0` at `ts[0]`, on the host.

        $$ q = e^{-\gamma t} \Big( q_0\,C(t) + (v_0 + \gamma q_0)\,S(t) \Big), \quad
           \gamma = \tfrac{c}{2m}, \quad d = \tfrac km - \gamma^2, $$

        C = cos, S = sin / sqrt(d) of sqrt(d) t for d > 0, the hyperbolic functions
        for d < 0, and C = 1, S = t at the critical damping d = 0.

        **Returns:** float64 `"time dim"`.
        """
        mass, stiffness, damping = self.context()
        q0, v0 = np.asarray(y0, np.float64)
        s = np.asarray(ts, np.float64)
        s = s - s[0]
        gamma = damping / (2.0 * mass)
        gap = stiffness / mass - gamma**2
        root = np.sqrt(abs(gap))
        if gap > 0.0:
            decay = np.exp(-gamma * s)
            even, odd = decay * np.cos(root * s), decay * np.sin(root * s) / root
        elif gap == 0.0:
            even = np.exp(-gamma * s)
            odd = s * even
        else:
            # decay and growth in one exponent: cosh alone overflows; and near the
            # critical damping their difference has no digits
            slow, less = np.exp((root - gamma) * s), np.expm1(-2.0 * root * s)
            even, odd = slow * (1.0 + 0.5 * less), -0.5 * slow * less / root
        q = q0 * even + (v0 + gamma * q0) * odd
        v = v0 * even - (gamma * v0 + stiffness / mass * q0) * odd
        return np.stack([q, v], axis=1)
