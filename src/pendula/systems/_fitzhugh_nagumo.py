"""FitzHugh and Nagumo's model of a nerve that fires."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "fitzhugh_nagumo")
@register("module", "FitzHughNagumo")
class FitzHughNagumo(AbstractSystem):
    r"""A fast voltage and a slow recovery: rest, one spike, or a train of them.

    $$ \dot v = v - \tfrac13 v^3 - w + I + u, \quad
       \dot w = \tau (v + a - b w) $$

    **Shapes and units**: state `(v, w)`, `"dim"=2`, without unit, as is time; input
    `u` `"ctrl"=1`, a current beside the constant I.
    **Arguments:** `current` I; `tau` > 0, the slowness of recovery; `a`; `b` > 0.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** for b < 1 one rest state at every current; it is
    unstable, with a limit cycle of spikes around, where v^2 < 1 - tau b. The defaults
    fire with a period near 39.5 (tau = 0.02: 122). Nothing is conserved. RK4 steps of
    0.1.
    **Source:** FitzHugh, Impulses and physiological states in theoretical models of
    nerve membrane, Biophysical Journal 1, 1961, 445-466, equations 1-2 (voltage with
    the opposite sign).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import FitzHughNagumo
    >>> nerve = FitzHughNagumo(current=1.0, tau=0.5, a=1.0, b=1.0)
    >>> nerve(0.0, jnp.array([0.0, 1.0])).tolist()
    [0.0, 0.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("v", "w")
    units: ClassVar[tuple[str, ...]] = ("1", "1")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ("u",)
    input_units: ClassVar[tuple[str, ...]] = ("1",)
    param_names: ClassVar[tuple[str, ...]] = ("current", "tau", "a", "b")
    time_unit: ClassVar[str] = "1"
    good_step: ClassVar[float] = 0.25
    good_duration: ClassVar[float] = 100.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("FitzHugh1961", "equations 1-2")

    current: Scalar = constant(0.5)
    """Constant current."""
    tau: Scalar = constant(0.08)
    """Rate of the recovery over that of the voltage."""
    a: Scalar = constant(0.7)
    """Offset of the voltage that drives the recovery."""
    b: Scalar = constant(0.8)
    """Decay of the recovery."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("tau", "b"))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        current, tau, a, b = self.constants(y, context)
        v, w = y
        push = current + self.force(u, y)
        return jnp.stack([v - v**3 / 3.0 - w + push, tau * (v + a - b * w)])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """(-1, 0); with a key, v from U(-1, 1) and w from U(-0.5, 0.5)."""
        if key is None:
            return jnp.array([-1.0, 0.0])
        draw = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return draw * jnp.array([1.0, 0.5])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of the fastest relaxation within |v| = 2, or of the recovery where
        that is shorter."""
        _, tau, _, b = self.constants(jnp.zeros(2), context)
        return 2.0 * jnp.pi / jnp.maximum(jnp.asarray(3.0, tau.dtype), tau * b)
