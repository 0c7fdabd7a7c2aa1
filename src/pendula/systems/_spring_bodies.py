"""Bodies in empty space, every two of them joined by a spring."""

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
from ._system import AbstractSystem, Scalar, check_constants, constant, count


AXES = ("x", "y", "z")


@register("system", "spring_bodies")
@register("module", "SpringBodies")
class SpringBodies(AbstractSystem):
    r"""N equal bodies that move freely, a spring and a dashpot between every two.

    $$ m \ddot q_i = \sum_{j \ne i} \Big( k\,(r_{ij} - l)
       + c\,\dot r_{ij} \Big) \frac{q_j - q_i}{r_{ij}}, \quad
       r_{ij} = |q_j - q_i| $$

    **Shapes and units**: state `y = (x1, y1, .., vx1, vy1, ..)`, all positions, then
    all velocities, `"dim"=2 N d`, [m, m/s]. Takes no input.
    **Arguments:** `mass` m > 0 [kg]; `stiffness` k > 0 [N/m]; `rest_length` l >= 0
    [m]; `damping` c >= 0 [kg/s]; `bodies` N, 2 to 50, and `space` d, 1 to 3 (static).
    **Returns:** dy/dt, same shape as `y`; bodies at one place do not pull each other.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** energy is conserved for c = 0, momentum and angular
    momentum always; turning, shifting and a common velocity are symmetries. For l = 0
    and c = 0 every body swings about the common centre with Omega^2 = N k / m
    (`exact`); for l > 0 three bodies and more can be chaotic. RK4 steps of 0.05 s.
    **Source:** Landau and Lifshitz, Mechanics, 3rd ed. 1976, sections 7 to 9 (what is
    conserved), 21.

    ```python
    >>> from pendula.systems import SpringBodies
    >>> SpringBodies(bodies=2).names
    ('x1', 'y1', 'x2', 'y2', 'vx1', 'vy1', 'vx2', 'vy2')

    ```
    """

    input_names: ClassVar[tuple[str, ...]] = ()
    input_units: ClassVar[tuple[str, ...]] = ()
    param_names: ClassVar[tuple[str, ...]] = (
        "mass",
        "stiffness",
        "rest_length",
        "damping",
    )
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.1
    good_duration: ClassVar[float] = 10.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Landau1976", "sections 7 to 9 and 21")

    mass: Scalar = constant(1.0)
    """Mass of a body [kg]."""
    stiffness: Scalar = constant(1.0)
    """Spring constant [N/m]."""
    rest_length: Scalar = constant(1.0)
    """Length of a spring at rest [m]."""
    damping: Scalar = constant(0.0)
    """Damping along a spring [kg/s]."""
    bodies: int = count("bodies", 3, 2, 50)
    """Number of bodies."""
    space: int = count("space", 2, 1, 3)
    """Dimension of space."""

    @property
    def names(self) -> tuple[str, ...]:
        places = [
            f"{axis}{i + 1}" for i in range(self.bodies) for axis in AXES[: self.space]
        ]
        return (*places, *(f"v{place}" for place in places))

    @property
    def units(self) -> tuple[str, ...]:
        half = self.bodies * self.space
        return ("m",) * half + ("m/s",) * half

    @property
    def angle(self) -> tuple[bool, ...]:
        return (False,) * (2 * self.bodies * self.space)

    def __check_init__(self) -> None:
        check_constants(
            self,
            positive=("mass", "stiffness"),
            not_negative=("rest_length", "damping"),
        )

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        mass, stiffness, rest, damping = self.constants(y, context)
        q, v = self._split(y)
        apart, along = q[None] - q[:, None], v[None] - v[:, None]  # i -> j
        square = jnp.sum(apart**2, axis=-1)
        inverse = inverse_root(square)
        # (k (r - l) + c dr/dt) / r, written without dividing by r = 0
        stretch = stiffness * (1.0 - rest * inverse)
        loss = damping * jnp.sum(apart * along, axis=-1) * inverse**2
        pull = jnp.where(square > 0, stretch + loss, 0.0)
        force = jnp.sum(pull[..., None] * apart, axis=1)
        return jnp.concatenate([v.reshape(-1), force.reshape(-1) / mass])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """Bodies around a circle of radius 1 m (on a line in one dimension), every one
        moving across at 0.3 m/s; with a key, places and velocities from the normal
        distribution with deviations 1 m and 0.3 m/s."""
        shape = (self.bodies, self.space)
        if key is not None:
            draw = jax.random.normal(key, (2, *shape))
            return (draw * jnp.array([1.0, 0.3])[:, None, None]).reshape(-1)
        turn = 2.0 * jnp.pi * (jnp.arange(0.25, self.bodies)) / self.bodies
        ring = jnp.stack([jnp.cos(turn), jnp.sin(turn), 0.0 * turn], axis=1)
        across = jnp.stack([jnp.sin(turn), jnp.cos(2.0 * turn), jnp.sin(turn)], axis=1)
        pair = jnp.stack([ring[:, : self.space], 0.3 * across[:, : self.space]])
        return pair.reshape(-1)

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [J] (without damping), `momentum_x`.. [kg m/s] and
        `angular_momentum` about the origin [kg m2/s], in space its three
        components."""
        mass, stiffness, rest, _ = self.constants(y, context)
        q, v = self._split(y)
        square = jnp.sum((q[None] - q[:, None]) ** 2, axis=-1)
        far = square * inverse_root(square)
        pairs = np.triu(np.ones((self.bodies, self.bodies), bool), 1)
        springs = jnp.sum(jnp.where(pairs, (far - rest) ** 2, 0.0))
        out = {"energy": 0.5 * mass * jnp.sum(v**2) + 0.5 * stiffness * springs}
        for i, axis in enumerate(AXES[: self.space]):
            out[f"momentum_{axis}"] = mass * jnp.sum(v[:, i])
        turn = lambda i, j: mass * jnp.sum(q[:, i] * v[:, j] - q[:, j] * v[:, i])
        if self.space == 2:
            out["angular_momentum"] = turn(0, 1)
        if self.space == 3:
            for axis, (i, j) in zip(AXES, ((1, 2), (2, 0), (0, 1)), strict=True):
                out[f"angular_momentum_{axis}"] = turn(i, j)
        return out

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The period about the common centre, or the damping time where that is
        shorter [s]."""
        mass, stiffness, _, damping = self.constants(jnp.zeros(1), context)
        swing = jnp.sqrt(self.bodies * stiffness / mass)
        return 2.0 * jnp.pi / jnp.maximum(swing, self.bodies * damping / mass)

    def exact(self, ts: ArrayLike, y0: ArrayLike) -> Float[np.ndarray, "time dim"]:
        r"""The undamped motion with springs of no rest length, on the host.

        $$ q_i = \bar q + \bar v t + (q_i - \bar q)_0 \cos\Omega t
           + (v_i - \bar v)_0\, \tfrac1\Omega \sin\Omega t, \quad
           \Omega^2 = N k / m $$

        **Returns:** float64 `"time dim"`.
        **Raises:** `ConfigError` when `rest_length` or `damping` is not 0.
        """
        mass, stiffness, rest, damping = self.context()
        if rest != 0.0 or damping != 0.0:
            raise ConfigError(
                f"SpringBodies: rest_length is {rest:g}, damping {damping:g}; the "
                "exact solution needs both 0. Use pendula.solve.integrate."
            )
        pair = np.asarray(y0, np.float64).reshape(2, self.bodies, self.space)
        middle = pair.mean(axis=1, keepdims=True)
        (q, v), (centre, drift) = pair - middle, middle
        s = np.asarray(ts, np.float64)
        s = (s - s[0])[:, None, None]
        rate = np.sqrt(self.bodies * stiffness / mass)
        cos, sin = np.cos(rate * s), np.sin(rate * s)
        place = centre + drift * s + q * cos + v / rate * sin
        speed = drift + v * cos - rate * q * sin
        return np.stack([place, speed], axis=1).reshape(len(s), -1)

    def _split(self, y: State) -> tuple[Array, Array]:
        pair = y.reshape(2, self.bodies, self.space)
        return pair[0], pair[1]
