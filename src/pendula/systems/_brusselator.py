"""The Brusselator: the smallest chemistry with a limit cycle."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "brusselator")
@register("module", "Brusselator")
class Brusselator(AbstractSystem):
    r"""Two intermediates of an autocatalytic reaction, well stirred.

    $$ \dot x = A - (B + 1)\,x + x^2 y, \quad \dot y = B x - x^2 y $$

    **Shapes and units**: state `(x, y)`, concentrations, `"dim"=2`, without unit, as
    is time. Takes no input.
    **Arguments:** `a` A > 0, `b` B > 0, the concentrations that are held.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** one rest state (A, B / A), stable for B < 1 + A^2, a
    limit cycle around it above; small swings at the threshold have period 2 pi / A.
    Always d(x + y)/dt = A - x. Nothing is conserved. RK4 steps of 0.02.
    **Source:** Prigogine and Lefever, Symmetry breaking instabilities in dissipative
    systems II, Journal of Chemical Physics 48, 1968, 1695-1700.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import Brusselator
    >>> Brusselator(a=2.0, b=3.0)(0.0, jnp.array([2.0, 1.5])).tolist()
    [0.0, 0.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("x", "y")
    units: ClassVar[tuple[str, ...]] = ("1", "1")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("a", "b")
    time_unit: ClassVar[str] = "1"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 20.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Prigogine1968", "pages 1695-1700")

    a: Scalar = constant(1.0)
    """Inflow."""
    b: Scalar = constant(3.0)
    """Concentration of the second reactant."""

    def __check_init__(self) -> None:
        check_constants(self, positive=self.param_names)

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        a, b = self.constants(y, context)
        x, other = y
        step = b * x - x**2 * other
        return jnp.stack([a - x - step, step])

    def equilibrium(self) -> State:
        """The rest state (A, B / A)."""
        a, b = self.constants(jnp.zeros(2))
        return jnp.stack([a, b / a])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """Twice the x of rest; with a key, the rest state times factors from
        U(0.3, 1.7)."""
        rest = self.equilibrium()
        if key is None:
            return rest * jnp.array([2.0, 1.0])
        return rest * jax.random.uniform(key, (2,), minval=0.3, maxval=1.7)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of the fastest relaxation on the cycle, where x reaches about
        A + B."""
        a, b = self.constants(jnp.zeros(2), context)
        return 2.0 * jnp.pi / (1.0 + b + (a + b) ** 2)
