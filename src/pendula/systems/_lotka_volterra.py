"""Predator and prey after Lotka and Volterra."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "lotka_volterra")
@register("module", "LotkaVolterra")
class LotkaVolterra(AbstractSystem):
    r"""Two species, of which one eats the other.

    $$ \dot x = \alpha x - \beta x y, \quad \dot y = \delta x y - \gamma y $$

    **Shapes and units**: state `(prey, predator)`, `"dim"=2`, densities in the
    same unit [1], positive; time in years. Takes no input.
    **Arguments:** `growth` alpha > 0 [1/year]; `predation` beta > 0 [1/year];
    `conversion` delta > 0 [1/year]; `death` gamma > 0 [1/year].
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** closed orbits around (gamma/delta, alpha/beta), small
    ones with period 2 pi / sqrt(alpha gamma); the mean over a period is the
    equilibrium. V = delta x - gamma ln x + beta y - alpha ln y is conserved. The
    axes are invariant: densities stay positive. RK4 steps of 0.05 year.
    **Source:** Lotka, Elements of Physical Biology, 1925, chapter 8; Volterra,
    Fluctuations in the abundance of a species considered mathematically, Nature 118,
    1926, doi:10.1038/118558a0.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import LotkaVolterra
    >>> system = LotkaVolterra(growth=1.0, predation=2.0, conversion=1.0, death=3.0)
    >>> system(0.0, jnp.array([3.0, 0.5])).tolist()
    [0.0, 0.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("prey", "predator")
    units: ClassVar[tuple[str, ...]] = ("1", "1")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = (
        "growth",
        "predation",
        "conversion",
        "death",
    )
    time_unit: ClassVar[str] = "year"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 20.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Volterra1926", "pages 558-560")

    growth: Scalar = constant(1.0)
    """Growth of the prey without predators [1/year]."""
    predation: Scalar = constant(1.0)
    """Loss of prey per predator [1/year]."""
    conversion: Scalar = constant(1.0)
    """Growth of the predators per prey [1/year]."""
    death: Scalar = constant(1.0)
    """Death of the predators without prey [1/year]."""

    def __check_init__(self) -> None:
        check_constants(self, positive=self.param_names)

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        growth, predation, conversion, death = self.constants(y, context)
        prey, predator = y
        eaten = prey * predator
        return jnp.stack(
            [growth * prey - predation * eaten, conversion * eaten - death * predator]
        )

    def equilibrium(self) -> State:
        """The state of coexistence (gamma/delta, alpha/beta)."""
        growth, predation, conversion, death = self.constants(jnp.zeros(2))
        return jnp.stack([death / conversion, growth / predation])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """Half the equilibrium's prey; with a key, the equilibrium times factors from
        U(0.4, 1.6)."""
        rest = self.equilibrium()
        if key is None:
            return rest * jnp.array([0.5, 1.0])
        return rest * jax.random.uniform(key, (2,), minval=0.4, maxval=1.6)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`volterra` [1/year], infinite on the axes."""
        growth, predation, conversion, death = self.constants(y, context)
        prey, predator = y
        living = (prey > 0) & (predator > 0)
        log = lambda z: jnp.log(jnp.where(living, z, 1.0))
        value = conversion * prey - death * log(prey)
        value += predation * predator - growth * log(predator)
        return {"volterra": jnp.where(living, value, jnp.inf)}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of the faster of growth and death [year]."""
        growth, _, _, death = self.constants(jnp.zeros(2), context)
        return 2.0 / jnp.maximum(growth, death)
