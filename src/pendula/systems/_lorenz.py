"""Lorenz's three equations."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "lorenz")
@register("module", "Lorenz")
class Lorenz(AbstractSystem):
    r"""Convection in three modes: the standard chaotic flow.

    $$ \dot x = \sigma (y - x), \quad \dot y = x (\rho - z) - y, \quad
       \dot z = x y - \beta z $$

    **Shapes and units**: state `(x, y, z)`, `"dim"=3`, without unit, as is time.
    Takes no input.
    **Arguments:** `sigma` > 0, `rho` >= 0, `beta` > 0.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** at (10, 28, 8/3) chaotic with largest Lyapunov
    exponent 0.906: errors grow tenfold in 2.5 units, so 20 units is as far as float64
    reaches. Volumes shrink at the rate sigma + 1 + beta; (x, y, z) -> (-x, -y, z)
    is a symmetry; rest states 0 and (+-r, +-r, rho - 1), r^2 = beta (rho - 1).
    Nothing is conserved. RK4 steps of 0.01.
    **Source:** Lorenz, Deterministic nonperiodic flow, J. Atmos. Sci. 20, 1963,
    equations 25-27; exponent: Sprott, Chaos and Time-Series Analysis, 2003.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import Lorenz
    >>> Lorenz()(0.0, jnp.array([1.0, 1.0, 0.0])).tolist()
    [0.0, 27.0, 1.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("x", "y", "z")
    units: ClassVar[tuple[str, ...]] = ("1", "1", "1")
    angle: ClassVar[tuple[bool, ...]] = (False, False, False)
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("sigma", "rho", "beta")
    time_unit: ClassVar[str] = "1"
    good_step: ClassVar[float] = 0.02
    good_duration: ClassVar[float] = 10.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Lorenz1963", "equations 25-27")

    sigma: Scalar = constant(10.0)
    """Prandtl number."""
    rho: Scalar = constant(28.0)
    """Rayleigh number over its critical value."""
    beta: Scalar = constant(8.0 / 3.0)
    """Geometry of the convection cell."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("sigma", "beta"), not_negative=("rho",))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        sigma, rho, beta = self.constants(y, context)
        x, y_, z = y
        return jnp.stack([sigma * (y_ - x), x * (rho - z) - y_, x * y_ - beta * z])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """(1, 1, rho - 1); with a key, x and y from U(-10, 10), z from rho - 1 +
        U(-10, 10)."""
        height = self.constants(jnp.zeros(3))[1] - 1.0
        centre = jnp.zeros(3).at[2].set(height)
        if key is None:
            return centre + jnp.array([1.0, 1.0, 0.0])
        return centre + jax.random.uniform(key, (3,), minval=-10.0, maxval=10.0)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of a turn around a wing (exact at the Hopf point, rho = 24.74), or
        the fastest relaxation time where that is shorter."""
        sigma, rho, beta = self.constants(jnp.zeros(3), context)
        turn = jnp.sqrt(beta * (sigma + rho)) / (2.0 * jnp.pi)
        return 1.0 / jnp.maximum(jnp.maximum(turn, beta), 0.1 * (sigma + 1.0))
