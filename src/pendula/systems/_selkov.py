"""Selkov's two equations of glycolysis."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "selkov")
@register("module", "Selkov")
class Selkov(AbstractSystem):
    r"""Glycolysis reduced to one autocatalytic step: rest or a limit cycle.

    $$ \dot x = -x + a y + x^2 y, \quad \dot y = b - a y - x^2 y $$

    **Shapes and units**: state `(x, y)`, scaled ADP and F6P, `"dim"=2`, without unit,
    as is time. Takes no input.
    **Arguments:** `a` >= 0, the uncatalysed rate; `b`, the inflow.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** one rest state, x = b, y = b / (a + b^2), unstable with
    a limit cycle around for b^2 between (1 - 2a -+ sqrt(1 - 8a)) / 2: with a = 0.1, b
    from 0.420 to 0.790. Negative b, no chemistry, is used in the benchmarks of
    adaptation. Nothing is conserved. RK4 steps of 0.1.
    **Source:** Selkov, Self-oscillations in glycolysis, European Journal of
    Biochemistry 4, 1968, 79-86; this form: Strogatz, Nonlinear Dynamics and Chaos,
    section 7.3.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import Selkov
    >>> Selkov(a=0.25, b=0.5)(0.0, jnp.array([0.5, 1.0])).tolist()
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
    good_step: ClassVar[float] = 0.05
    good_duration: ClassVar[float] = 40.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Selkov1968", "pages 79-86")

    a: Scalar = constant(0.1)
    """Rate of the step without catalysis."""
    b: Scalar = constant(0.6)
    """Inflow of the substrate."""

    def __check_init__(self) -> None:
        check_constants(self, not_negative=("a",))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        a, b = self.constants(y, context)
        product, substrate = y
        step = (a + product**2) * substrate
        return jnp.stack([step - product, b - step])

    def equilibrium(self) -> State:
        """The rest state (b, b / (a + b^2))."""
        a, b = self.constants(jnp.zeros(2))
        return jnp.stack([b, b / (a + b**2)])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """(0.5, 0.5); with a key, both from U(0, 3)."""
        if key is None:
            return jnp.array([0.5, 0.5])
        return jax.random.uniform(key, (2,), maxval=3.0)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of the fastest relaxation within x = 3."""
        a, _ = self.constants(jnp.zeros(2), context)
        return 2.0 * jnp.pi / (10.0 + a)
