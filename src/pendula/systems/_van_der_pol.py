"""The Van der Pol oscillator: a swing that finds its own size."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "van_der_pol")
@register("module", "VanDerPol")
class VanDerPol(AbstractSystem):
    r"""An oscillator whose damping is negative for small and positive for large swings.

    $$ \dot q = v, \quad
       \dot v = \epsilon (1 - \delta q^2)\,v - \omega^2 q + u $$

    **Shapes and units**: state `y = (q, v)`, `"dim"=2`, [1, 1/s]; input `u`
    `"ctrl"=1`, an acceleration [1/s2].
    **Arguments:** `epsilon` >= 0 [1/s]; `delta` >= 0 [1]; `omega` > 0 [rad/s].
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** one limit cycle for epsilon, delta > 0, which attracts
    every start but the unstable rest. For small mu = epsilon / omega its amplitude is
    2 / sqrt(delta) and its period (2 pi / omega) (1 + mu^2 / 16); at mu = delta = 1
    they are 2.0086 and 6.6633 / omega. For large mu it is a relaxation oscillation
    (stiff). Nothing is conserved. RK4 steps of 0.02 s up to mu = 5.
    **Source:** Van der Pol 1926, On relaxation oscillations, Philosophical Magazine 2,
    978-992; the series: Andersen and Geer, SIAM Journal on Applied Mathematics 42,
    1982.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import VanDerPol
    >>> VanDerPol(epsilon=2.0)(0.0, jnp.array([2.0, 1.0])).tolist()
    [1.0, -8.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("q", "v")
    units: ClassVar[tuple[str, ...]] = ("1", "1/s")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ("u",)
    input_units: ClassVar[tuple[str, ...]] = ("1/s2",)
    param_names: ClassVar[tuple[str, ...]] = ("epsilon", "delta", "omega")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 20.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("VanDerPol1926", "equation 2")

    epsilon: Scalar = constant(1.0)
    """Strength of the nonlinear damping [1/s]."""
    delta: Scalar = constant(1.0)
    """One over the square of the q at which the damping changes its sign [1]."""
    omega: Scalar = constant(1.0)
    """Angular frequency of small undamped swings [rad/s]."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("omega",), not_negative=("epsilon", "delta"))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        epsilon, delta, omega = self.constants(y, context)
        q, v = y
        gain = epsilon * (1.0 - delta * q**2)
        return jnp.stack([v, gain * v - omega**2 * q + self.force(u, y)])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At rest at 0.5; with a key, q and v from U(-2.5, 2.5)."""
        if key is None:
            return jnp.array([0.5, 0.0])
        return jax.random.uniform(key, (2,), minval=-2.5, maxval=2.5)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of small swings, or the time of the fastest damping within
        |q| = 2.5 where that is shorter [s]."""
        epsilon, delta, omega = self.constants(jnp.zeros(2), context)
        loss = epsilon * jnp.maximum(6.25 * delta - 1.0, 1.0)
        return 2.0 * jnp.pi / jnp.maximum(omega, loss)
