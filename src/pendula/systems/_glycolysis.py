"""Oscillating glycolysis of yeast in seven species."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "glycolytic")
@register("module", "GlycolyticOscillator")
class GlycolyticOscillator(AbstractSystem):
    r"""Glycolysis in yeast: seven concentrations, stiff, with a limit cycle.

    $$ \dot S_1 = J_0 - r, \quad
       \dot S_2 = 2 r - k_2 S_2 (N - S_5) - k_6 S_2 S_5, \quad
       r = \frac{k_1 S_1 S_6}{1 + (S_6 / K_1)^q}, $$
    $$ \dot S_3 = k_2 S_2 (N - S_5) - k_3 S_3 (A - S_6), \quad
       \dot S_4 = k_3 S_3 (A - S_6) - k_4 S_4 S_5 - \kappa (S_4 - S_7), $$
    $$ \dot S_5 = k_2 S_2 (N - S_5) - k_4 S_4 S_5 - k_6 S_2 S_5, \quad
       \dot S_6 = -2 r + 2 k_3 S_3 (A - S_6) - k_5 S_6, $$
    $$ \dot S_7 = \psi \kappa (S_4 - S_7) - k S_7 $$

    **Shapes and units**: state `(S1..S7)`, `"dim"=7`, [mM]: glucose, triose phosphates,
    1,3-bisphosphoglycerate, pyruvate and acetaldehyde, NADH, ATP, acetaldehyde outside
    the cell; time in minutes. Takes no input.
    **Arguments:** `inflow` J0 [mM/min]; `k1`, `k2`, `k3`, `k4`, `k5`, `k6`, rates (k5
    in 1/min, else 1/(mM min)); `K1` [mM], `q` the inhibition by ATP; `N`, `A` [mM], the
    pools of NAD+ and NADH and of ADP and ATP; `kappa`, `k` [1/min], `psi` [1] the
    exchange with the outside. All > 0.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** the defaults oscillate; rates from 1 to 100 per minute
    make it stiff. Glucose is balanced: d(S1 + S2/2 + S3/2 + S4/2 + S7/(2 psi))/dt is
    inflow less what leaves. Nothing is conserved. RK4 steps of 0.005 min.
    **Source:** Daniels and Nemenman, Efficient inference of parsimonious
    phenomenological models of cellular dynamics, PLoS ONE 10, 2015, e0119821, equations
    19-25 and table 1, after Wolf and Heinrich, Biochemical Journal 345, 2000, 321-334.

    ```python
    >>> from pendula.systems import GlycolyticOscillator
    >>> GlycolyticOscillator().initial().shape
    (7,)

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("S1", "S2", "S3", "S4", "S5", "S6", "S7")
    units: ClassVar[tuple[str, ...]] = ("mM",) * 7
    angle: ClassVar[tuple[bool, ...]] = (False,) * 7
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = (
        "inflow",
        "k1",
        "k2",
        "k3",
        "k4",
        "k5",
        "k6",
        "K1",
        "q",
        "N",
        "A",
        "kappa",
        "psi",
        "k",
    )
    time_unit: ClassVar[str] = "min"
    good_step: ClassVar[float] = 0.01
    good_duration: ClassVar[float] = 5.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Daniels2015", "equations 19-25, table 1")

    inflow: Scalar = constant(2.5)
    """Inflow of glucose J0 [mM/min]."""
    k1: Scalar = constant(100.0)
    """Phosphofructokinase [1/(mM min)]."""
    k2: Scalar = constant(6.0)
    """Glyceraldehyde phosphate dehydrogenase [1/(mM min)]."""
    k3: Scalar = constant(16.0)
    """Phosphoglycerate kinase [1/(mM min)]."""
    k4: Scalar = constant(100.0)
    """Alcohol dehydrogenase [1/(mM min)]."""
    k5: Scalar = constant(1.28)
    """Use of ATP elsewhere [1/min]."""
    k6: Scalar = constant(12.0)
    """Formation of glycerol [1/(mM min)]."""
    K1: Scalar = constant(0.52)
    """Half-inhibition by ATP [mM]."""
    q: Scalar = constant(4.0)
    """Cooperativity of that inhibition [1]."""
    N: Scalar = constant(1.0)
    """NAD+ and NADH together [mM]."""
    A: Scalar = constant(4.0)
    """ADP and ATP together [mM]."""
    kappa: Scalar = constant(13.0)
    """Exchange through the membrane [1/min]."""
    psi: Scalar = constant(0.1)
    """Volume of the cells over that outside [1]."""
    k: Scalar = constant(1.8)
    """Loss outside [1/min]."""

    def __check_init__(self) -> None:
        check_constants(self, positive=self.param_names)

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        (inflow, k1, k2, k3, k4, k5, k6, half, q, n, a, kappa, psi, k) = self.constants(
            y, context
        )
        s1, s2, s3, s4, s5, s6, s7 = y
        # |S6|: a state that left the positive numbers still has a finite rate
        split = k1 * s1 * s6 / (1.0 + jnp.abs(s6 / half) ** q)
        oxidised, glycerol = k2 * s2 * (n - s5), k6 * s2 * s5
        charged, alcohol = k3 * s3 * (a - s6), k4 * s4 * s5
        through = kappa * (s4 - s7)
        return jnp.stack(
            [
                inflow - split,
                2.0 * split - oxidised - glycerol,
                oxidised - charged,
                charged - alcohol - through,
                oxidised - alcohol - glycerol,
                2.0 * (charged - split) - k5 * s6,
                psi * through - k * s7,
            ]
        )

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """The middle of the ranges of the source; with a key, uniform in them."""
        low = jnp.array([0.15, 0.19, 0.04, 0.10, 0.08, 0.14, 0.05])
        high = jnp.array([1.60, 2.16, 0.20, 0.35, 0.30, 2.67, 0.10])
        if key is None:
            return 0.5 * (low + high)
        return low + (high - low) * jax.random.uniform(key, (7,))

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of the fastest reaction for concentrations of the source [min]."""
        _, _, k2, k3, k4, _, k6, *_ = self.constants(jnp.zeros(7), context)
        return 2.0 * jnp.pi / (2.0 * (k2 + k6) + 4.0 * k3 + 0.6 * k4)
