"""The Duffing oscillator: two wells by default, hardening or softening by choice."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._elliptic import jacobi
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "duffing")
@register("module", "Duffing")
class Duffing(AbstractSystem):
    r"""An oscillator with a cubic spring, damped and driven; bistable for alpha < 0.

    $$ \dot q = v, \quad
       \dot v = -\alpha q - \beta q^3 - \delta v + \gamma \cos(\Omega t) + u $$

    **Shapes and units**: state `y = (q, v)`, `"dim"=2`, [1, 1/s] (q scaled, time in
    seconds); input `u` `"ctrl"=1`, an acceleration [1/s2].
    **Arguments:** `alpha` [1/s2], `beta` >= 0 [1/s2], `damping` delta >= 0 [1/s],
    `drive_amplitude` gamma [1/s2], `drive_rate` Omega > 0 [rad/s].
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** alpha < 0 < beta has two wells at
    q = +- sqrt(-alpha/beta) with a barrier of height alpha^2 / (4 beta) between;
    alpha > 0 hardens. Energy E = v^2/2 + alpha q^2/2 + beta q^4/4 is conserved for
    delta = gamma = u = 0. alpha = -1, beta = 1, delta = 0.3, gamma = 0.5,
    Omega = 1.2 is chaotic. RK4 steps of 0.05 s for starts within |q| < 1.
    **Source:** Guckenheimer and Holmes, Nonlinear Oscillations, Dynamical Systems,
    and Bifurcations of Vector Fields, 1983, section 2.2; exact motion: Kovacic and
    Brennan (eds.), The Duffing Equation, 2011, chapter 4.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import Duffing
    >>> wells = Duffing(alpha=-4.0, beta=1.0)
    >>> wells(0.0, jnp.array([2.0, 0.0])).tolist()
    [0.0, 0.0]

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("q", "v")
    units: ClassVar[tuple[str, ...]] = ("1", "1/s")
    angle: ClassVar[tuple[bool, ...]] = (False, False)
    input_names: ClassVar[tuple[str, ...]] = ("u",)
    input_units: ClassVar[tuple[str, ...]] = ("1/s2",)
    param_names: ClassVar[tuple[str, ...]] = (
        "alpha",
        "beta",
        "damping",
        "drive_amplitude",
        "drive_rate",
    )
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 30.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Guckenheimer1983", "section 2.2")

    alpha: Scalar = constant(-1.0)
    """Linear stiffness over mass [1/s2]; negative makes two wells."""
    beta: Scalar = constant(1.0)
    """Cubic stiffness over mass [1/s2]."""
    damping: Scalar = constant(0.0)
    """Viscous damping over mass [1/s]."""
    drive_amplitude: Scalar = constant(0.0)
    """Amplitude of the built-in harmonic drive [1/s2]."""
    drive_rate: Scalar = constant(1.2)
    """Angular frequency of that drive [rad/s]."""

    def __check_init__(self) -> None:
        check_constants(
            self, positive=("drive_rate",), not_negative=("beta", "damping")
        )

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        alpha, beta, damping, amplitude, rate = self.constants(y, context)
        q, v = y
        push = amplitude * jnp.cos(rate * jnp.asarray(t, y.dtype)) + self.force(u, y)
        return jnp.stack([v, push - (alpha + beta * q**2) * q - damping * v])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At rest at 0.8; with a key, q from U(-0.8, 0.8) and v from U(-0.5, 0.5)
        1/s."""
        if key is None:
            return jnp.array([0.8, 0.0])
        draw = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return draw * jnp.array([0.8, 0.5])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [1/s2], conserved without damping, drive and input."""
        alpha, beta, *_ = self.constants(y, context)
        q, v = y
        well = 0.5 * alpha * q**2 + 0.25 * beta * q**4
        return {"energy": 0.5 * v**2 + well}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of small swings at |q| = 1, or the drive's where that is
        shorter [s]."""
        like = jnp.zeros(2)
        alpha, beta, damping, amplitude, rate = self.constants(like, context)
        stiff = jnp.sqrt(jnp.abs(alpha) + 3.0 * beta)
        fastest = jnp.maximum(stiff, jnp.where(amplitude == 0, 0.0, rate))
        return 2.0 * jnp.pi / jnp.maximum(jnp.maximum(fastest, damping), 1e-6)

    def exact(self, ts: ArrayLike, amplitude: float) -> Float[np.ndarray, "time dim"]:
        r"""The free, undamped motion released at rest from q = `amplitude`.

        $$ q = A\,\mathrm{cn}(\Omega t, m), \quad
           \Omega^2 = \alpha + \beta A^2, \; m = \tfrac{\beta A^2}{2 \Omega^2}
           \quad\text{(over the barrier, or one well)}, $$
        $$ q = A\,\mathrm{dn}(\Omega t, m), \quad
           \Omega^2 = \tfrac{\beta A^2}{2}, \; m = 2 + \tfrac{2\alpha}{\beta A^2}
           \quad\text{(within one of two wells)}. $$

        **Arguments:** `ts` `"time"` [s], the release is at `ts[0]`; in a well, release
        from its outer side: A^2 >= -alpha/beta.
        **Returns:** float64 `"time dim"`.
        **Raises:** `ConfigError` when damping or drive is on, or for a release where
        q would not be the largest excursion.
        """
        alpha, beta, damping, drive, _ = self.context()
        if damping != 0.0 or drive != 0.0:
            raise ConfigError(
                f"Duffing: damping is {damping:g}, drive_amplitude {drive:g}; the "
                "exact solution needs both 0. Use pendula.solve.integrate."
            )
        square = beta * amplitude**2
        if alpha + square < 0.0:
            raise ConfigError(
                f"Duffing: released from {amplitude:g}, q first grows"
                + (
                    f"; release from the outer side, at {np.sqrt(-alpha / beta):g} or "
                    "more."
                    if beta
                    else " without end: alpha is below 0 and beta is 0."
                )
            )
        s = np.asarray(ts, np.float64)
        s = s - s[0]
        # 1 - m comes from the height above the barrier: near it 1 - m has no digits
        above = 2.0 * alpha + square
        if above >= 0.0:
            stiff = alpha + square
            rate, rest = np.sqrt(stiff), 0.5 * above / stiff if stiff else 1.0
            sn, cn, dn, _ = jacobi(rate * s, rest)
            q, v = cn, -rate * sn * dn
        else:
            rate, rest = np.sqrt(0.5 * square), -above / square
            sn, cn, dn, _ = jacobi(rate * s, rest)
            q, v = dn, -rate * (1.0 - rest) * sn * cn
        return amplitude * np.stack([q, v], axis=1)
