"""Heat conduction along a rod, by the method of lines."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from . import _diffusion
from ._system import AbstractSystem, Scalar, check_constants, choice, constant, count


@register("system", "heat")
@register("module", "Heat")
class Heat(AbstractSystem):
    r"""The heat equation on a rod with equally spaced nodes, both ends included.

    $$ u_t = D\,u_{xx}, \quad
       \dot u_i = \frac{D}{h^2} (u_{i-1} - 2 u_i + u_{i+1}), \quad
       h = \frac{L}{n - 1} $$

    **Shapes and units**: state `(u1..)`, temperatures above the surroundings at x =
    0, h, .., L, `"dim"=n`, [K]; time in seconds. Takes no input.
    **Arguments:** `diffusivity` D > 0 [m2/s]; `length` L > 0 [m]; `nodes` n, 3 to
    2001, and `boundary`, "neumann" (no flux) or "dirichlet" (the ends keep the
    temperature they start with), both static.
    **Returns:** dy/dt, same shape as the state.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** everything evens out at the rate D pi^2 / L^2 of the
    longest wave. Under Neumann the total heat is conserved. Errors of the grid fall as
    h^2. Explicit steps below h^2 / 2D (RK4: 0.69 h^2 / D); stiff for many nodes.
    **Source:** LeVeque, Finite Difference Methods for Ordinary and Partial Differential
    Equations, SIAM 2007, section 9.2.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Heat
    >>> rod = Heat(nodes=5)
    >>> float(rod.exact([0.0, 1e3], np.array([1.0, 0, 0, 0, 0]))[1, 2].round(9))
    0.125

    ```
    """

    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("diffusivity", "length")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 10.0
    second_order: ClassVar[bool] = False
    source: ClassVar[Source] = Source("LeVeque2007", "section 9.2")

    diffusivity: Scalar = constant(0.01)
    """Thermal diffusivity [m2/s]."""
    length: Scalar = constant(1.0)
    """Length of the rod [m]."""
    nodes: int = count("nodes", 21, 3, 2001)
    """Number of nodes, the ends included."""
    boundary: str = choice("boundary", _diffusion.NEUMANN, _diffusion.DIRICHLET)
    """What holds at both ends."""

    @property
    def names(self) -> tuple[str, ...]:
        return _diffusion.names(self.nodes)

    @property
    def units(self) -> tuple[str, ...]:
        return ("K",) * self.nodes

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
        diffusivity, length = self.constants(y, context)
        spacing = length / (self.nodes - 1)
        return _diffusion.diffusion(y, diffusivity, spacing, self.boundary)

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """Warm at one end, as 1/2 + cos(pi x / L) / 2 (Dirichlet: warm in the middle,
        as sin(pi x / L)); with a key, a random smooth field between 0 and 1 (Dirichlet:
        with ends at 0)."""
        if key is not None:
            return _diffusion.smooth_start(key, self.nodes, self.boundary, 0.0)
        x = jnp.linspace(0.0, 1.0, self.nodes)
        if self.boundary == _diffusion.NEUMANN:
            return 0.5 + 0.5 * jnp.cos(jnp.pi * x)
        return jnp.sin(jnp.pi * x)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`heat` [K m], the integral over the rod; under Dirichlet nothing."""
        if self.boundary != _diffusion.NEUMANN:
            return {}
        _, length = self.constants(y, context)
        return {"heat": _diffusion.total(y, length / (self.nodes - 1))}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """Of the shortest wave that the grid carries, 2 pi h^2 / 4D [s]."""
        diffusivity, length = self.constants(jnp.zeros(1), context)
        return 0.5 * jnp.pi * (length / (self.nodes - 1)) ** 2 / diffusivity

    def exact(self, ts: ArrayLike, y0: ArrayLike) -> Float[np.ndarray, "time dim"]:
        r"""The motion of the nodes through `y0` at `ts[0]`, on the host: each wave of
        the grid decays on its own,

        $$ \exp\Big( -\tfrac{4D}{h^2} \sin^2 \tfrac{k \pi}{2(n-1)}\, t \Big), $$

        cosines under Neumann; under Dirichlet sines on top of the straight line
        between the ends. It is the truth for the nodes, not for the rod: to that the
        grid's own error of order h^2 comes.

        **Returns:** float64 `"time dim"`.
        """
        from scipy import fft

        diffusivity, length = self.context()
        y0 = np.asarray(y0, np.float64)
        s = np.asarray(ts, np.float64)
        s = (s - s[0])[:, None]
        n = self.nodes
        wave = np.arange(n)
        spacing = length / (n - 1)
        rate = 4.0 * diffusivity / spacing**2
        decay = np.exp(-rate * np.sin(0.5 * np.pi * wave / (n - 1)) ** 2 * s)
        if self.boundary == _diffusion.NEUMANN:
            waves: Any = fft.dct(y0, type=1)
            return np.asarray(fft.idct(waves * decay, type=1, axis=1))
        line = y0[0] + (y0[-1] - y0[0]) * np.linspace(0.0, 1.0, n)
        if n == 3:  # one inner node: SciPy's sine transform needs two
            return line + (y0 - line) * decay[:, 1:2]
        waves = fft.dst((y0 - line)[1:-1], type=1)
        inner: Any = fft.idst(waves * decay[:, 1:-1], type=1, axis=1)
        return line + np.pad(inner, ((0, 0), (1, 1)))
