"""A laminar flame in one dimension: its speed is an eigenvalue, and measured
temperatures tell its conductivity and its activation energy."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._checks import positive
from .._errors import ConfigError, DataError, ShapeError
from .._precision import precision
from ._conditions import Condition, Dirichlet, Neumann, Observation
from ._domain import Interval
from ._given import of_kind
from ._problem import Problem
from ._unknown import Unknown


_GAS = 8.314462618
_SPEED = Unknown("sL", init=0.4, positive=True)
_SCALED = 10.0  # the domain's length in the problem's coordinate
_COLDEST, _HOTTEST = 200.0, 3.0  # K; of T_b: where a bad iterate is held


@dataclasses.dataclass(frozen=True)
class Flame:
    r"""Constants of the flame, in SI units.

    $$ T' - \frac{\lambda}{\dot m c_p} T'' - \frac{q_F}{\dot m c_p}
       A\,e^{-E / R T} (Y \rho)^{1.6} = 0, \quad \dot m = \rho_{in} s_L $$

    $$ Y = Y_{in} + c_p (T_{in} - T) / q_F, \quad \rho = \dot m / u, \quad
       u = \tfrac12 \big(c - \sqrt{c^2 - 4 R_g T}\big), \quad
       c = s_L + R_g T_{in} / s_L $$

    with T(0) and T'(0) given and T' = 0 at the other end: one condition more than the
    order, which determines $s_L$.

    **Arguments:** `speed` $s_L$, `conductivity` $\lambda$, `activation` E: numbers, or
    `Unknown` for what is looked for; `equivalence` $\phi$ with
    $Y_{in} = \phi / (\phi + 4)$; the rest as in the equations: `molar_mass` W,
    `heat_capacity` c_p, `heat` q_F, `rate` A, `inlet` T_in, `pressure` p, `gradient`
    T'(0), `length` of the domain.
    **Raises:** `ConfigError` for one that is not finite and above 0.
    **Source:** Wu et al. 2025, FlamePINN-1D, Combustion and Flame 273, 113964, case 1
    (constants as published).

    ```python
    >>> from pendula.solutions._flame import Flame
    >>> round(Flame().burnt, 1)
    5049.1

    ```
    """

    speed: float | Unknown = _SPEED
    conductivity: float | Unknown = 2.6e-2
    activation: float | Unknown = 1.214172e5
    molar_mass: float = 28.97e-3
    heat_capacity: float = 1000.0
    heat: float = 5e7
    rate: float = 1.4e8
    inlet: float = 298.0
    pressure: float = 101325.0
    equivalence: float = 0.42
    gradient: float = 1e5
    length: float = 1.5e-3

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        known = {n: v for n, v in values.items() if not isinstance(v, Unknown)}
        positive("Flame", **known)

    @property
    def fuel(self) -> float:
        """Mass fraction of the fuel that comes in."""
        return self.equivalence / (self.equivalence + 4.0)

    @property
    def rise(self) -> float:
        """From the inlet to what has burnt [K]."""
        return self.heat * self.fuel / self.heat_capacity

    @property
    def burnt(self) -> float:
        """Temperature when all fuel has burnt [K]."""
        return self.inlet + self.rise

    @property
    def density(self) -> float:
        """Of what comes in [kg/m3]."""
        return self.pressure * self.molar_mass / (_GAS * self.inlet)

    def source(self, temperature: Array, speed: Any, activation: Any) -> Array:
        r"""$A e^{-E / R T} (Y \rho)^{1.6}$ [kg/(m3 s)]; Y is held at 0 or more and T
        in what is physical, where an iteration strays."""
        t = jnp.clip(temperature, _COLDEST, _HOTTEST * self.burnt)
        gas = _GAS / self.molar_mass
        c = speed + gas * self.inlet / speed
        root = jnp.sqrt(jnp.maximum(c * c - 4.0 * gas * t, 1e-3 * c * c))
        u = 2.0 * gas * t / (c + root)  # the smaller root without cancellation
        fuel = self.fuel + self.heat_capacity * (self.inlet - temperature) / self.heat
        mass = jnp.maximum(fuel, 1e-12) * self.density * speed / u
        return self.rate * jnp.exp(-activation / (_GAS * t)) * mass**1.6

    def warm_up(self, x: Array) -> Array:
        r"""The profile that a solution is sought around, of x in metres.

        $$ Z = \frac{e}{1 + e}, \quad e = \frac{T'(0)\,a}{T_b - T_{in}}
           (e^{x / a} - 1), \quad a = \frac{\lambda}{\rho_{in} s_L c_p} $$

        the exact solution without reaction, led over to what has burnt; with the first
        guesses for what is unknown. It meets T(0) and T'(0).
        """
        flux = self.density * guess(self.speed) * self.heat_capacity
        a = guess(self.conductivity) / flux
        e = self.gradient * a / self.rise * jnp.expm1(x / a)
        return e / (1.0 + e)

    def temperature(self, solution: Any, x: ArrayLike) -> Float[np.ndarray, "..."]:
        """T [K] at x [m], of a solution of `flame_problem` of this flame. **Raises:**
        `DataError` for places beyond it."""
        x = np.asarray(x, np.float64)
        if not ((x >= 0.0) & (x <= self.length * (1.0 + 1e-6))).all():
            raise DataError(
                f"Flame: x from {x.min():g} to {x.max():g} m; the flame is known from "
                f"0 to {self.length:g} m. Ask there."
            )
        with precision(np.float64):
            shape = np.asarray(self.warm_up(jnp.asarray(x)))
        found = solution(np.minimum(x * (_SCALED / self.length), _SCALED))
        return self.inlet + self.rise * (shape + found)


def guess(value: float | Unknown) -> float:
    """A number, or the first guess for it."""
    return value.init if isinstance(value, Unknown) else float(value)


def flame_problem(
    flame: Flame | None = None,
    *,
    at: ArrayLike | None = None,
    temperature: ArrayLike | None = None,
    relative: float = 0.02,
) -> Problem:
    r"""The flame as a problem, with measured temperatures or without.

    What is solved for is $v = (T - T_{in}) / (T_b - T_{in}) - Z$ over
    $10\,x / \mathrm{length}$, with `Flame.warm_up` Z: all is then of order 1, and
    Gauss-Newton begins at a flame. v(0) = 0 is met exactly. No graded coordinate is
    needed: the layer takes about a tenth of the domain.

    **Shapes and units**: `at` `"point"` [m], `temperature` `"point"` [K].
    **Arguments:** `flame`: constants and unknowns, the published ones with the speed
    unknown by default; `relative`: standard deviation of the measurements, relative to
    T; they are compared as logarithms.
    **Returns:** `Problem` with parameters sL, lam, E; `Flame.temperature` turns its
    solution into T.
    **Raises:** `ShapeError`, `DataError`, `ConfigError` for measurements that cannot
    be used.
    **Source:** as `Flame`.

    ```python
    >>> from pendula.solutions._flame import flame_problem
    >>> sorted(flame_problem().law.names())
    ['v', 'v_x', 'v_xx']

    ```
    """
    flame = Flame() if flame is None else flame
    of_kind("flame_problem: flame is", flame, Flame, "Flame(...)")
    scale = flame.length / _SCALED
    shape = lambda x: flame.warm_up(x * scale)
    slope = jax.grad(shape)
    bend = jax.grad(slope)

    def residual(v: Any, x: Array, p: Any) -> Array:
        flux = flame.density * p.sL * flame.heat_capacity
        t = flame.inlet + flame.rise * (shape(x) + v())
        burns = flame.heat * flame.source(t, p.sL, p.E) / (flux * flame.rise)
        conducted = p.lam / flux * (bend(x) + v.xx) / scale**2
        return (slope(x) + v.x) / scale - conducted - burns

    conditions: list[Condition] = [
        Dirichlet(0.0, on="x-"),
        Neumann(0.0, on="x-"),
        Neumann(0.0, on="x+"),
    ]
    if at is not None or temperature is not None:
        conditions.append(_measured(flame, at, temperature, relative))
    params = {"sL": flame.speed, "lam": flame.conductivity, "E": flame.activation}
    return Problem(
        residual,
        domain=Interval(0.0, _SCALED),
        conditions=conditions,
        params=params,
        fields=("v",),
        name="flame",
    )


def _measured(flame: Flame, at: Any, temperature: Any, relative: float) -> Observation:
    """Temperatures as rows."""
    if at is None or temperature is None:
        raise ConfigError("flame_problem: give both at and temperature, or neither.")
    x, t = np.asarray(at, np.float64), np.asarray(temperature, np.float64)
    if x.ndim != 1 or t.shape != x.shape:
        raise ShapeError(
            f"flame_problem: at has shape {x.shape} and temperature {t.shape}; both "
            "are one number for each measurement."
        )
    if not (np.isfinite(t).all() and (t > 0.0).all()):
        raise DataError(
            "flame_problem: temperature has entries that are not finite and above 0 "
            "K. Leave those out."
        )
    scale = flame.length / _SCALED

    def logarithm(v: Any, x: Array, p: Any) -> Array:
        hot = flame.inlet + flame.rise * (flame.warm_up(x * scale) + v())
        return jnp.log(jnp.maximum(hot, _COLDEST))

    return Observation(
        (x / scale)[:, None], np.log(t), sigma=relative, operator=logarithm
    )
