"""The plane pendulum: damped, driven, and exactly solved when free."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike
from scipy import special

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._elliptic import jacobi
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "pendulum")
@register("module", "Pendulum")
class Pendulum(AbstractSystem):
    r"""A rigid plane pendulum with viscous damping, drive and input.

    $$ \dot\theta = \omega, \quad
       \dot\omega = -\tfrac{g}{L} \sin\theta - c\,\omega
                    + a \cos(\Omega t) + u $$

    **Shapes and units**: state `y = (theta, omega)`, `"dim"=2`, [rad, rad/s],
    theta = 0 hangs; input `u` `"ctrl"=1`, an angular acceleration [rad/s2]
    (torque over moment of inertia).
    **Arguments:** `length` L > 0 [m]; `gravity` g > 0 [m/s2]; `damping` c >= 0
    [1/s]; `drive_amplitude` a [rad/s2]; `drive_rate` Omega > 0 [rad/s].
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** swings of period above 2 pi sqrt(L/g) (2.0 s by
    default); energy E = omega^2/2 + (g/L)(1 - cos theta) per m L^2 is conserved
    for c = a = u = 0 and falls as dE/dt = -c omega^2 with damping; beyond
    E = 2 g/L it turns over. With c = 0.5 sqrt(g/L), a = 1.2 g/L and
    Omega = 2/3 sqrt(g/L) it is chaotic. Steps below 1/20 of the period for RK4.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, section 11 problem 1
    (period); Lawden, Elliptic Functions and Applications, 1989, section 5.1
    (motion).

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Pendulum
    >>> p = Pendulum(length=9.81)
    >>> round(p.period(np.array([np.pi / 2, 0.0])), 6)
    7.416299

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("theta", "omega")
    units: ClassVar[tuple[str, ...]] = ("rad", "rad/s")
    angle: ClassVar[tuple[bool, ...]] = (True, False)
    input_names: ClassVar[tuple[str, ...]] = ("u",)
    input_units: ClassVar[tuple[str, ...]] = ("rad/s2",)
    param_names: ClassVar[tuple[str, ...]] = (
        "length",
        "gravity",
        "damping",
        "drive_amplitude",
        "drive_rate",
    )
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.05
    good_duration: ClassVar[float] = 20.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "section 11, problem 1")

    length: Scalar = constant(1.0)
    """Distance from pivot to the swinging mass [m]."""
    gravity: Scalar = constant(9.81)
    """Acceleration of gravity [m/s2]."""
    damping: Scalar = constant(0.0)
    """Viscous damping per moment of inertia [1/s]."""
    drive_amplitude: Scalar = constant(0.0)
    """Amplitude of the built-in harmonic drive [rad/s2]."""
    drive_rate: Scalar = constant(1.0)
    """Angular frequency of that drive [rad/s]."""

    def __check_init__(self) -> None:
        check_constants(
            self,
            positive=("length", "gravity", "drive_rate"),
            not_negative=("damping",),
        )

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        length, gravity, damping, amplitude, rate = self.constants(y, context)
        theta, omega = y
        pull = (gravity / length) * jnp.sin(theta)
        drive = amplitude * jnp.cos(rate * jnp.asarray(t, y.dtype))
        push = drive + self.force(u, y)
        return jnp.stack([omega, push - pull - damping * omega])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At rest at 1 rad; with a key, angle from U(-1.2, 1.2) rad and rate from
        U(-1.2, 1.2) sqrt(g/L): swings up to 2 rad that never turn over."""
        if key is None:
            return jnp.array([1.0, 0.0])
        draw = jax.random.uniform(key, (2,), minval=-1.2, maxval=1.2)
        length, gravity, *_ = self.constants(draw)
        return draw * jnp.stack([jnp.ones_like(length), jnp.sqrt(gravity / length)])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` per m L^2 [1/s2], conserved without damping, drive and input."""
        length, gravity, *_ = self.constants(y, context)
        theta, omega = y
        # 1 - cos written so that small swings keep their digits
        height = 2.0 * jnp.sin(0.5 * theta) ** 2
        return {"energy": 0.5 * omega**2 + (gravity / length) * height}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period of small swings, or that of the drive or the damping time where
        it is shorter [s]."""
        like = jnp.zeros(2)
        length, gravity, damping, amplitude, rate = self.constants(like, context)
        drive = jnp.where(amplitude == 0, 0.0, rate)
        swing = jnp.maximum(jnp.sqrt(gravity / length), damping)
        return 2.0 * jnp.pi / jnp.maximum(swing, drive)

    def period(self, y0: ArrayLike) -> float:
        """Time of one full swing (or one full turn) of the free, undamped motion
        through `y0`, in seconds; infinite on the separatrix.

        **Raises:** `ConfigError` when damping or drive is on.
        """
        rate, k, rest, _ = self._swing(y0)
        if rest == 0.0:
            return float("inf")
        if rest > 0.0:
            return float(4.0 * special.ellipkm1(rest) / rate)
        return float(2.0 * special.ellipkm1(-rest / k**2) / (k * rate))

    def exact(self, ts: ArrayLike, y0: ArrayLike) -> Float[np.ndarray, "time dim"]:
        r"""The free, undamped motion through `y0` at `ts[0]`, on the host.

        $$ \sin\tfrac\theta2 = k\,\mathrm{sn}(\omega_0 t + \varphi, k)
           \;(k \le 1), \quad
           \theta = \pm 2\,\mathrm{am}(k \omega_0 t + \varphi, 1/k) \;(k > 1), $$

        with k^2 = sin^2(theta/2) + (omega / 2 omega_0)^2 and omega_0^2 = g/L.

        **Arguments:** `ts` `"time"` [s]; `y0` `"dim"` [rad, rad/s].
        **Returns:** float64 `"time dim"`; angles unwrapped. Near the separatrix the
        motion itself amplifies every rounding error by exp(omega_0 t).
        **Raises:** `ConfigError` when damping or drive is on.

        ```python
        >>> from pendula.systems import Pendulum
        >>> p = Pendulum()
        >>> float(p.exact([0.0, p.period([2.0, 0.0])], [2.0, 0.0])[1, 0].round(9))
        2.0

        ```
        """
        rate, k, rest, turns = self._swing(y0)
        theta, omega = np.asarray(y0, np.float64)
        s = np.asarray(ts, np.float64)
        s = s - s[0]
        sign = -1.0 if omega < 0 else 1.0
        half = sign * (0.5 * theta - np.pi * turns)
        still = omega == 0.0 and (np.sin(half) == 0.0 or rest == 0.0)
        if still:
            half, omega = np.full_like(s, half), np.zeros_like(s)
        elif rest >= 0.0:
            phase = np.arctan2(np.sin(half), 0.5 * abs(omega) / rate)
            start = special.ellipkinc(phase, 1.0 - rest)
            sn, cn, dn, _ = jacobi(rate * s + start, rest)
            half, omega = np.arctan2(k * sn, dn), 2.0 * k * rate * cn
        else:
            rest = -rest / k**2
            start = special.ellipkinc(half, 1.0 - rest)
            _, _, dn, half = jacobi(k * rate * s + start, rest)
            omega = 2.0 * k * rate * dn
        theta = sign * 2.0 * half + 2.0 * np.pi * turns
        return np.stack([theta, sign * omega], axis=1)

    def _swing(self, y0: ArrayLike) -> tuple[float, float, float, float]:
        """Small-swing rate, modulus k, 1 - k^2 and whole turns of a free motion."""
        damping, drive = float(self.damping), float(self.drive_amplitude)
        if damping != 0.0 or drive != 0.0:
            raise ConfigError(
                f"Pendulum: damping is {damping:g}, drive_amplitude {drive:g}; the "
                "exact solution needs both 0. Use pendula.solve.integrate."
            )
        theta, omega = np.asarray(y0, np.float64)
        rate = float(np.sqrt(float(self.gravity) / float(self.length)))
        turns = float(np.round(theta / (2.0 * np.pi)))
        half, speed = 0.5 * theta - np.pi * turns, 0.5 * abs(omega) / rate
        k = float(np.hypot(np.sin(half), speed))
        # 1 - k^2 as a product: near the separatrix the difference has no digits
        rest = float((np.cos(half) - speed) * (np.cos(half) + speed))
        return rate, k, rest, turns
