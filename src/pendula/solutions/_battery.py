"""A lithium-ion cell as one particle an electrode: a network for the diffusion, the
voltage from what it says at the surfaces, and two parameters from a discharge."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import scipy.special
from jax.scipy.special import erfc
from jaxtyping import Array, Float
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from .._checks import fields_positive, positive
from .._errors import ConfigError, DataError, ShapeError
from .._precision import scoped
from .._types import AnyArray
from ._conditions import Dirichlet, Neumann
from ._domain import Box, Interval
from ._laplace import Estimated, estimated, marginal
from ._problem import Problem
from ._solution import Solution
from ._solve import solve
from ._unknown import Unknown


_TINY = 1e-14  # of scaled time: no division by 0 at the start


@dataclasses.dataclass(frozen=True)
class Electrode:
    r"""Constants of one electrode.

    **Arguments:** `radius` of its particle [m], `thickness` [m], `fraction` of volume
    that is active, `most`: concentration when full [kmol/m3], `start`: as a part of
    it, `diffusivity` [m2/s], `exchange`: exchange current [A/m2], `level`, `slope`: of
    the open circuit voltage, level - slope c / most [V].
    **Raises:** `ConfigError` for one that is not finite, or not above 0 (levels may
    be).

    ```python
    >>> from pendula.solutions._battery import ANODE
    >>> ANODE.radius
    4e-06

    ```
    """

    radius: float
    thickness: float
    fraction: float
    most: float
    start: float
    diffusivity: float
    exchange: float
    level: float
    slope: float

    def __post_init__(self) -> None:
        values = dataclasses.asdict(self)
        for name in ("level", "slope"):
            value = values.pop(name)
            if not math.isfinite(value):
                raise ConfigError(f"Electrode: {name} is {value}; it must be finite.")
        positive("Electrode", **values)


ANODE = Electrode(4e-6, 44e-6, 0.5430727763, 30.53, 0.91, 3e-14, 2.0, 0.2, 0.2)
CATHODE = Electrode(1.8e-6, 42e-6, 0.47662, 49.6, 0.39, 3.5e-15, 3.0, 5.0, 1.4)


@dataclasses.dataclass(frozen=True)
class Cell:
    r"""A cell that is discharged with a constant current.

    **Arguments:** `anode`, `cathode`: their exchange current and diffusivity are
    multiplied by $p_1$ and $p_2$; `area` [m2], `current` [A], negative while
    discharging, `temperature` [K], `end` of the discharge [s], `faraday` and `gas` a
    kmol.
    **Raises:** `ConfigError` for constants that cannot be.
    **Source:** Hassanaly et al. 2024, PINN surrogate of Li-ion battery models for
    parameter inference, Journal of Energy Storage 98, 113103 and 113104 (the simple
    set of constants).

    ```python
    >>> from pendula.solutions._battery import Cell
    >>> Cell().flux("anode") > 0.0 > Cell().flux("cathode")
    True

    ```
    """

    anode: Electrode = ANODE
    cathode: Electrode = CATHODE
    area: float = 1.4e-3
    current: float = -2.0 * 1.89e-2
    temperature: float = 303.15
    end: float = 1350.0
    faraday: float = 96485.3321e3
    gas: float = 8.3145e3

    def __post_init__(self) -> None:
        fields_positive(self, "Cell", "area", "temperature", "end", "faraday", "gas")
        if not math.isfinite(self.current):
            raise ConfigError(f"Cell: current is {self.current}; it has to be finite.")

    def electrode(self, name: str) -> Electrode:
        """One of the two. **Raises:** `ConfigError`."""
        if name not in ("anode", "cathode"):
            raise ConfigError(f'Cell: no electrode "{name}"; anode or cathode.')
        return getattr(self, name)

    def flux(self, name: str) -> float:
        r"""$j = \mp I R / (3 A \varepsilon F L)$, out of the particle [kmol/m2/s]."""
        own = self.electrode(name)
        sign = -1.0 if name == "anode" else 1.0
        volume = 3.0 * self.area * own.fraction * self.faraday * own.thickness
        return sign * self.current * own.radius / volume

    def voltage(
        self, surfaces: tuple[AnyArray, AnyArray], p1: float
    ) -> Float[np.ndarray, "..."]:
        r"""From concentrations at the surfaces, anode first, to $\phi_c$ [V].

        $$ \phi_c = U_c + j_c R T / i_{0,c} - U_a - j_a R T / (p_1 i_{0,a}) $$
        """
        thermal = self.gas * self.temperature
        u, eta = [], []
        for name, surface in zip(("anode", "cathode"), surfaces, strict=True):
            own = self.electrode(name)
            u.append(own.level - own.slope * surface / own.most)
            eta.append(self.flux(name) * thermal / own.exchange)
        return np.asarray(u[1] + eta[1] - u[0] - eta[0] / p1)


def early(rho: ArrayLike, tau: ArrayLike) -> Float[np.ndarray, "..."]:
    r"""What a constant flux into a sphere does first.

    $$ G = \big(h(1 - \rho) - h(1 + \rho)\big) / \rho, \quad
       h(y) = 2 \sqrt\tau\,\mathrm{ierfc}\big(y / 2 \sqrt\tau\big) $$

    It solves the equation of diffusion and holds the part that goes with the root of
    time, which no smooth function can follow.

    **Source:** Carslaw and Jaeger 1959, Conduction of heat in solids, sections 2.9 and
    9.7, by images.
    """
    rho, tau = np.broadcast_arrays(np.asarray(rho, float), np.asarray(tau, float))
    root = np.sqrt(np.maximum(tau, _TINY))
    h = lambda y: 2.0 * root * _ierfc(0.5 * y / root)
    middle = rho < 1e-6
    safe = np.where(middle, 1.0, rho)
    limit = 2.0 * scipy.special.erfc(0.5 / root)
    return np.where(middle, limit, (h(1.0 - rho) - h(1.0 + rho)) / safe)


def _ierfc(z: AnyArray) -> AnyArray:
    """The integral of erfc from z on."""
    return np.exp(-z * z) / math.sqrt(math.pi) - z * scipy.special.erfc(z)


def particle_problem() -> Problem:
    r"""Diffusion into a sphere, for all constants at once.

    With $\rho = r / R$, $\tau = D t / R^2$ and $c = c_0 - (j R / D)\,F$

    $$ F_\tau = \rho^{-2} (\rho^2 F_\rho)_\rho, \quad F_\rho(1) = 1, \quad
       F_\rho(0) = 0, \quad F(\rho, 0) = 0 $$

    has no constant left: one F serves both electrodes and every diffusivity, and $p_1$
    is in the voltage only. Looked for is W = F - `early`, over $(\rho, q)$, $q =
    \sqrt\tau$, to $\tau = 1$; the equation is multiplied by $2 q \rho$, so that
    it holds at r = 0, too, where it says that the slope is 0. W = 0 at q = 0 is exact.

    **Source:** ours.

    ```python
    >>> from pendula.solutions._battery import particle_problem
    >>> sorted(particle_problem().law.names())
    ['u_q', 'u_x', 'u_xx']

    ```
    """

    def residual(u: Any, x: Array, q: Array, p: Any) -> Array:
        return x * u.q - 2.0 * q * (x * u.xx + 2.0 * u.x)

    def flux(x: Array, q: Array) -> Array:
        """1 less what `early` brings in."""
        root = jnp.maximum(q, math.sqrt(_TINY))
        z = 1.0 / root
        far = jnp.exp(-z * z) / math.sqrt(math.pi) - z * erfc(z)
        return 2.0 * root * (1.0 / math.sqrt(math.pi) - far) - erfc(z)

    return Problem(
        residual,
        domain=Box(Interval(0.0, 1.0), Interval(0.0, 1.0, name="q")),
        conditions=[
            Dirichlet(0.0, on="q-"),
            Neumann(0.0, on="x-"),
            Neumann(flux, on="x+"),
        ],
        name="particle",
    )


class SingleParticle:
    r"""The cell's concentrations and voltage for any $p_1, p_2$, from one network.

    **Arguments:** `cell`; `options`: of `solve`, for `particle_problem`.
    **Raises:** as `solve`.
    **Source:** as `Cell`; by similarity one network of two coordinates takes the place
    of one of $(t, r, p_1, p_2)$.

    ```python
    >>> from pendula.solutions._battery import SingleParticle
    >>> model = SingleParticle(features=150, nodes=400)
    >>> bool(3.0 < model.voltage(600.0, 1.0, 2.0) < 5.0)
    True

    ```
    """

    def __init__(self, cell: Cell | None = None, **options: Any) -> None:
        self.cell = Cell() if cell is None else cell
        chosen = {"features": 400, "nodes": 1600, "slopes": (2.0, 4.0), "tol": 1e-2}
        self.solution: Solution = solve(
            particle_problem(), check=False, **{**chosen, **options}
        )

    def filling(self, rho: ArrayLike, tau: ArrayLike) -> Float[np.ndarray, "..."]:
        r"""F; beyond $\tau = 1$ what it comes to, $3 \tau + \rho^2 / 2 - 3 / 10$: the
        rest has fallen by $e^{-20 \tau}$."""
        rho, tau = np.broadcast_arrays(np.asarray(rho, float), np.asarray(tau, float))
        near = np.minimum(tau, 1.0)
        young = early(rho, near) + self.solution(rho, np.sqrt(near))
        return np.where(tau < 1.0, young, 3.0 * tau + 0.5 * rho**2 - 0.3)

    @scoped(np.float64)
    def concentration(
        self,
        name: Literal["anode", "cathode"],
        r: ArrayLike,
        t: ArrayLike,
        p2: float = 1.0,
    ) -> Float[np.ndarray, "..."]:
        """c [kmol/m3] at r [m] and t [s], arrays that broadcast. **Raises:**
        `ConfigError`, `DataError` for places and times that there are not."""
        own = self.cell.electrode(name)
        positive("SingleParticle", p2=p2)
        r, t = np.asarray(r, np.float64), np.asarray(t, np.float64)
        inside = (r >= 0.0) & (r <= own.radius * (1.0 + 1e-9))
        if not (inside.all() and (t >= 0.0).all() and np.isfinite(t).all()):
            raise DataError(
                "SingleParticle: r has to lie within the particle and t has to be "
                "finite and 0 or more."
            )
        diffusivity = own.diffusivity * (p2 if name == "cathode" else 1.0)
        found = self.filling(
            np.minimum(r / own.radius, 1.0), diffusivity * t / own.radius**2
        )
        scale = self.cell.flux(name) * own.radius / diffusivity
        return np.asarray(own.start * own.most - scale * found)

    @scoped(np.float64)
    def voltage(self, t: ArrayLike, p1: float, p2: float) -> Float[np.ndarray, "..."]:
        """The cell's voltage [V] at times [s]. **Raises:** `ConfigError`."""
        positive("SingleParticle", p1=p1)
        at = lambda name, p: self.concentration(
            name, self.cell.electrode(name).radius, t, p
        )
        return self.cell.voltage((at("anode", 1.0), at("cathode", p2)), p1)

    @scoped(np.float64)
    def identify(
        self,
        t: ArrayLike,
        voltage: ArrayLike,
        *,
        sigma: float = 1e-3,
        guess: tuple[float, float] = (1.5, 3.0),
    ) -> dict[str, Estimated]:
        r"""$p_1$ and $p_2$ from a measured discharge, by least squares, with their
        posterior by Laplace's approximation.

        **Shapes and units**: `t` `"time"` [s], `voltage` `"time"` [V].
        **Arguments:** `sigma`: standard deviation of a measurement [V].
        **Returns:** "p1", "p2" -> `Estimated`.
        **Raises:** `ShapeError`, `DataError`, `ConfigError`.
        **Source:** as `Cell`; Levenberg-Marquardt of SciPy.
        """
        t, voltage = np.asarray(t, np.float64), np.asarray(voltage, np.float64)
        if t.ndim != 1 or voltage.shape != t.shape or len(t) < 2:
            raise ShapeError(
                f"identify: t has shape {t.shape} and voltage {voltage.shape}; both "
                "are one number for each of 2 or more times."
            )
        if not np.isfinite(voltage).all():
            raise DataError("identify: voltage holds NaN or infinity. Leave those out.")
        positive("SingleParticle", sigma=sigma)
        names = [
            Unknown(k, init=v, positive=True)
            for k, v in zip(("p1", "p2"), guess, strict=True)
        ]
        values = lambda raw: [
            u.init * math.exp(z) for u, z in zip(names, raw, strict=True)
        ]
        misfit = lambda raw: (self.voltage(t, *values(raw)) - voltage) / sigma
        found = least_squares(misfit, np.zeros(2), method="lm", diff_step=1e-6)
        sd = np.sqrt(np.diag(marginal(found.jac)))
        return {
            u.name: estimated(u, float(found.x[k]), float(sd[k]))
            for k, u in enumerate(names)
        }
