"""Kepler's problem: one planet around a fixed sun, exactly solved."""

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
from ._distance import inverse_root
from ._system import AbstractSystem, Scalar, check_constants, constant


@register("system", "kepler")
@register("module", "Kepler")
class Kepler(AbstractSystem):
    r"""A body in the plane, drawn to the origin by the inverse square of its distance.

    $$ \dot q = v, \quad \dot v = -\mu\, q / |q|^3 $$

    **Shapes and units**: state `y = (x, y, vx, vy)`, `"dim"=4`, [au, au, au/year,
    au/year]; time in years. Takes no input.
    **Arguments:** `mu` > 0, the gravitational parameter [au3/year2]; 4 pi^2 is the sun.
    **Returns:** dy/dt, same shape as `y`; at the origin, where the law has no value,
    no force.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** energy E = v^2/2 - mu/r, angular momentum
    L = x vy - y vx and the Laplace-Runge-Lenz vector e = (v x L)/mu - q/r (as long as
    the eccentricity) are conserved. For E < 0 ellipses of semi-axis a = -mu / 2E and
    period 2 pi sqrt(a^3 / mu). RK4 steps of a two-hundredth of the period up to
    eccentricity 0.5; for many orbits leapfrog.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, section 15.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Kepler
    >>> orbit = Kepler(mu=4 * np.pi**2)
    >>> circle = np.array([1.0, 0.0, 0.0, 2 * np.pi])
    >>> round(orbit.period(circle), 12)
    1.0

    ```
    """

    names: ClassVar[tuple[str, ...]] = ("x", "y", "vx", "vy")
    units: ClassVar[tuple[str, ...]] = ("au", "au", "au/year", "au/year")
    angle: ClassVar[tuple[bool, ...]] = (False,) * 4
    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = ("mu",)
    time_unit: ClassVar[str] = "year"
    good_step: ClassVar[float] = 0.01
    good_duration: ClassVar[float] = 3.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "section 15")

    mu: Scalar = constant(39.47841760435743)
    """Gravitational parameter [au3/year2]; the default, 4 pi^2, is the sun's."""

    def __check_init__(self) -> None:
        check_constants(self, positive=("mu",))

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        (mu,) = self.constants(y, context)
        q, v = y[:2], y[2:]
        pull = mu * inverse_root(q @ q) ** 3
        return jnp.concatenate([v, -pull * q])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """At the nearest point of an ellipse with semi-axis 1 au and eccentricity 0.3;
        with a key, eccentricity from U(0.05, 0.5) and any direction, of motion too."""
        if key is None:
            return self._nearest(jnp.asarray(0.3), jnp.asarray(0.0), jnp.asarray(1.0))
        out, turn, way = jax.random.split(key, 3)
        return self._nearest(
            jax.random.uniform(out, (), minval=0.05, maxval=0.5),
            jax.random.uniform(turn, (), maxval=2.0 * jnp.pi),
            jnp.where(jax.random.bernoulli(way), 1.0, -1.0),
        )

    def _nearest(self, e: Array, turn: Array, way: Array) -> State:
        (mu,) = self.constants(e[None])
        away = jnp.stack([jnp.cos(turn), jnp.sin(turn)])
        along = way * jnp.stack([-jnp.sin(turn), jnp.cos(turn)])
        speed = jnp.sqrt(mu * (1.0 + e) / (1.0 - e))
        return jnp.concatenate([(1.0 - e) * away, speed * along])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [au2/year2], `angular_momentum` [au2/year] and the vector to the
        nearest point `lrl_x`, `lrl_y` [1]; the energy is -inf at the origin."""
        (mu,) = self.constants(y, context)
        q, v = y[:2], y[2:]
        square = q @ q
        near = inverse_root(square)
        turn = q[0] * v[1] - q[1] * v[0]
        lrl = turn / mu * jnp.stack([v[1], -v[0]]) - near * q
        depth = jnp.where(square > 0, mu * near, jnp.inf)
        return {
            "energy": 0.5 * v @ v - depth,
            "angular_momentum": turn,
            "lrl_x": lrl[0],
            "lrl_y": lrl[1],
        }

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The time of a turn at the speed of the nearest point, for a semi-axis of 1
        au and an eccentricity of 0.5 [year]."""
        (mu,) = self.constants(jnp.zeros(4), context)
        return 2.0 * jnp.pi / jnp.sqrt(mu * 1.5 / 0.5**3)

    def period(self, y0: ArrayLike) -> float:
        """Time of one orbit through `y0` [year]; infinite for an open one."""
        axis, _, _, rate = self._ellipse(np.asarray(y0, np.float64))
        return 2.0 * np.pi / rate if np.isfinite(axis) else float("inf")

    def exact(self, ts: ArrayLike, y0: ArrayLike) -> Float[np.ndarray, "time dim"]:
        r"""The motion through `y0` at `ts[0]`, on the host, by Kepler's equation for
        the change D of the eccentric anomaly:

        $$ n (t - t_0) = D - e \cos E_0 \sin D + e \sin E_0\,(1 - \cos D), \quad
           n = \sqrt{\mu / a^3} $$

        **Arguments:** `ts` `"time"` [year]; `y0` `"dim"`, a closed orbit.
        **Returns:** float64 `"time dim"`.
        **Raises:** `ConfigError` for an orbit that is open or falls into the sun.
        **Source:** Landau and Lifshitz, section 15, equation 15.10, from any start.
        """
        y0 = np.asarray(y0, np.float64)
        axis, ecos, esin, rate = self._ellipse(y0)
        if not np.isfinite(axis):
            raise ConfigError(
                "Kepler: the orbit is open (its energy is 0 or above); the exact "
                "motion is given for closed ones. Use pendula.solve.integrate."
            )
        q, v = y0[:2], y0[2:]
        if q[0] * v[1] == q[1] * v[0]:
            raise ConfigError(
                "Kepler: without angular momentum the body falls into the sun. Give it "
                "a velocity across."
            )
        s = np.asarray(ts, np.float64)
        mean = rate * (s - s[0])
        turn = _anomaly(mean, ecos, esin)
        far = np.hypot(*q)
        cos, sin = np.cos(turn), np.sin(turn)
        r = axis * (1.0 - ecos * cos + esin * sin)
        f = 1.0 - axis / far * (1.0 - cos)
        g = (mean - turn + sin) / rate
        df = -(axis**2) * rate * sin / (r * far)
        dg = 1.0 - axis / r * (1.0 - cos)
        place = f[:, None] * q + g[:, None] * v
        return np.concatenate([place, df[:, None] * q + dg[:, None] * v], axis=1)

    def _ellipse(self, y0: np.ndarray) -> tuple[float, float, float, float]:
        """Semi-axis (infinite when open), e cos E0, e sin E0, mean motion."""
        (mu,) = self.context()
        q, v = y0[:2], y0[2:]
        far = float(np.hypot(*q))
        inverse = 2.0 / far - float(v @ v) / mu
        if not inverse > 0.0:
            return np.inf, np.nan, np.nan, 0.0
        axis = 1.0 / inverse
        rate = float(np.sqrt(mu / axis**3))
        return axis, 1.0 - far / axis, float(q @ v) / (rate * axis**2), rate


def _anomaly(mean: np.ndarray, ecos: float, esin: float) -> np.ndarray:
    """Solves Kepler's equation for the change of the eccentric anomaly: Newton within
    brackets, since Newton alone can run away for eccentricities near 1."""
    from scipy.optimize import elementwise

    def gap(turn: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        return turn - ecos * np.sin(turn) + esin * (1.0 - np.cos(turn)) - wanted

    e = np.hypot(ecos, esin)
    found = elementwise.find_root(
        gap, (mean - 2.0 * e - 1e-9, mean + 2.0 * e + 1e-9), args=(mean,)
    )
    return found.x
