"""A species that spreads and grows: Fisher and Kolmogorov's equation on a line."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from . import _diffusion
from ._system import AbstractSystem, Scalar, check_constants, choice, constant, count


@register("system", "kpp")
@register("module", "KPP")
class KPP(AbstractSystem):
    r"""Diffusion with logistic growth, by the method of lines.

    $$ u_t = D\,u_{xx} + r\,u (1 - u), \quad
       \dot u_i = \frac{D}{h^2} (u_{i-1} - 2 u_i + u_{i+1}) + r\,u_i (1 - u_i), \quad
       h = \frac{L}{n - 1} $$

    **Shapes and units**: state `(u1..)`, densities over what the place can carry, at x
    = 0, h, .., L, `"dim"=n`, [1]; length in metres, time in seconds. Takes no input.
    **Arguments:** `diffusivity` D > 0 [m2/s]; `rate` r > 0 [1/s]; `length` L > 0 [m];
    `nodes` n, 3 to 2001, and `boundary`, "neumann" (no flux) or "dirichlet" (the ends
    keep the density they start with, 1 in `initial`), both static.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** u stays in [0, 1]; u = 1 attracts, u = 0 does not.
    From a local start fronts run at 2 sqrt(r D), about sqrt(D / r) wide: h below that.
    Nothing is conserved. Explicit steps below h^2 / 2D (RK4: 0.69 h^2 / D).
    **Source:** Kolmogorov, Petrovsky and Piskunov 1937; Fisher, The wave of advance of
    advantageous genes, Annals of Eugenics 7, 1937, 355-369.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import KPP
    >>> KPP(nodes=3, rate=2.0)(0.0, jnp.array([0.5, 0.5, 0.5])).tolist()
    [0.5, 0.5, 0.5]

    ```
    """

    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("diffusivity", "rate", "length")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 1.0
    good_duration: ClassVar[float] = 100.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("Fisher1937", "pages 355-369")

    diffusivity: Scalar = constant(1e-4)
    """How fast the species spreads [m2/s]."""
    rate: Scalar = constant(0.03)
    """Growth of a thin population [1/s]."""
    length: Scalar = constant(1.0)
    """Length of the line [m]."""
    nodes: int = count("nodes", 21, 3, 2001)
    """Number of nodes, the ends included."""
    boundary: str = choice("boundary", _diffusion.NEUMANN, _diffusion.DIRICHLET)
    """What holds at both ends."""

    @property
    def names(self) -> tuple[str, ...]:
        return _diffusion.names(self.nodes)

    @property
    def units(self) -> tuple[str, ...]:
        return ("1",) * self.nodes

    @property
    def angle(self) -> tuple[bool, ...]:
        return (False,) * self.nodes

    def __check_init__(self) -> None:
        check_constants(self, positive=self.param_names)

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        diffusivity, rate, length = self.constants(y, context)
        spacing = length / (self.nodes - 1)
        growth = rate * y * (1.0 - y)
        if self.boundary == _diffusion.DIRICHLET:  # the ends are held
            growth = growth.at[jnp.array([0, -1])].set(0.0)
        return _diffusion.diffusion(y, diffusivity, spacing, self.boundary) + growth

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """A bump of height 0.5 in the middle on top of 0.05 (Dirichlet: a dent below
        the ends, which are at 1); with a key, a random smooth field between 0 and
        1."""
        if key is not None:
            return _diffusion.smooth_start(key, self.nodes, self.boundary, 1.0)
        x = jnp.linspace(0.0, 1.0, self.nodes)
        if self.boundary == _diffusion.NEUMANN:
            return 0.05 + 0.5 * jnp.exp(-0.5 * ((x - 0.5) / 0.1) ** 2)
        return 1.0 - 0.8 * jnp.sin(jnp.pi * x)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """Empty: nothing is conserved."""
        return {}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """Of the shortest wave that the grid carries, or of growth where that is
        shorter [s]."""
        diffusivity, rate, length = self.constants(jnp.zeros(1), context)
        fastest = 4.0 * diffusivity * ((self.nodes - 1) / length) ** 2
        return 2.0 * jnp.pi / (fastest + rate)

    def front(
        self, ts: ArrayLike, x: ArrayLike, start: float = 0.0
    ) -> Float[np.ndarray, "time point"]:
        r"""A front that runs along an endless line, in closed form.

        $$ u = \Big( 1 + e^{\sqrt{r / 6D}\,(x - x_0) - \frac56 r t} \Big)^{-2} $$

        Its speed is 5 sqrt(r D / 6), a little above that of the slowest front.

        **Arguments:** `ts` `"time"` [s]; `x` `"point"` [m]; `start` x0 [m].
        **Source:** Ablowitz and Zeppetella, Explicit solutions of Fisher's equation for
        a special wave speed, Bulletin of Mathematical Biology 41, 1979, 835-840.
        """
        diffusivity, rate, _ = self.context()
        t, x = np.asarray(ts, np.float64), np.asarray(x, np.float64)
        steep = np.sqrt(rate / (6.0 * diffusivity))
        phase = steep * (x[None, :] - start) - 5.0 / 6.0 * rate * t[:, None]
        return 1.0 / (1.0 + np.exp(np.minimum(phase, 300.0))) ** 2
