"""The double gyre: a stirred flow whose law changes with time."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "double_gyre")
@register("module", "DoubleGyre")
class DoubleGyre(AbstractSystem):
    r"""A particle in two vortices side by side, their border swinging.

    $$ \dot x = -\pi A \sin(\pi f) \cos(\pi y), \quad
       \dot y = \pi A \cos(\pi f) \sin(\pi y)\, \partial f / \partial x, $$
    $$ f(x, t) = \epsilon \sin(\omega t)\, x^2 + (1 - 2\epsilon \sin \omega t)\, x $$

    **Shapes and units**: state `(x, y)`, `"dim"=2`, [1], in the box 0 <= x <= 2,
    0 <= y <= 1, whose walls no particle crosses. Takes no input.
    **Arguments:** `amplitude` A > 0 [1/s]; `swing` epsilon >= 0 [1]; `rate` omega > 0
    [rad/s].
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** for epsilon = 0 particles circle along the stream
    function A sin(pi f) sin(pi y), which then is conserved; else many of their paths
    are chaotic. RK4 steps of 0.1 s at the default constants.
    **Source:** Shadden, Lekien, Marsden 2005, Physica D 212, 271-304, section 5.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import DoubleGyre
    >>> rate = DoubleGyre()(0.0, jnp.array([0.5, 0.5]))  # at the centre of one
    >>> print(jnp.abs(rate).round(6))
    [0. 0.]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("x", "y")
    units: ClassVar[tuple[str, ...]] = ("1", "1")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("amplitude", "swing", "rate")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.2
    good_duration: ClassVar[float] = 40.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Shadden2005", "section 5")

    amplitude: Scalar = constant(0.25)
    """Speed over pi [1/s]."""
    swing: Scalar = constant(0.25)
    """How far the border between the gyres swings [1]."""
    rate: Scalar = constant(0.2 * jnp.pi)
    """Angular frequency of the swing [rad/s]."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("amplitude", "rate"), not_negative=("swing",))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        amplitude, swing, rate = self.constants(y, context)
        x, z = y
        now = swing * jnp.sin(rate * jnp.asarray(t, y.dtype))
        f = now * x**2 + (1.0 - 2.0 * now) * x
        slope = 2.0 * now * x + 1.0 - 2.0 * now
        speed = jnp.pi * amplitude
        along = -speed * jnp.sin(jnp.pi * f) * jnp.cos(jnp.pi * z)
        across = speed * jnp.cos(jnp.pi * f) * jnp.sin(jnp.pi * z) * slope
        return jnp.stack([along, across])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At (0.4, 0.3); with a key, anywhere in the box."""
        if key is None:
            return jnp.array([0.4, 0.3])
        return jax.random.uniform(key, (2,)) * jnp.array([2.0, 1.0])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Nothing is conserved while the border swings."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of the swing, or of a turn near a gyre's centre where that is
        shorter [s]."""
        amplitude, _, rate = self.constants(jnp.zeros(2), context)
        return 2.0 * jnp.pi / jnp.maximum(rate, jnp.pi**2 * amplitude)
