"""Point masses in a row, joined by springs that stiffen."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._system import AbstractSystem, Scalar, check_constants, constant, count


@register("system", "spring_chain")
@register("module", "SpringChain")
class SpringChain(AbstractSystem):
    r"""N masses on a line, the first spring at a wall, the last mass free.

    $$ \dot q_i = v_i, \quad m \dot v_i = f(e_{i+1}) - f(e_i) - c\,v_i + u_i, \quad
       e_i = q_i - q_{i-1}, \quad f(e) = k e + k_3 e^3, \quad q_0 = 0,\; e_{N+1} = 0 $$

    **Shapes and units**: state `y = (q1.., v1..)`, `"dim"=2N`, displacements from rest
    [m] and velocities [m/s]; springs of length 1 m at rest, so that e is also the
    strain; input `(u1..)` `"ctrl"=N`, forces [N].
    **Arguments:** `mass` m > 0 [kg]; `stiffness` k > 0 [N/m]; `cubic` k3 >= 0 [N/m3];
    `damping` c >= 0 [kg/s]; `masses` N, 1 to 200 (static).
    **Returns:** dy/dt, same shape as `y`.
    **Raises:** `ConfigError` for constants out of range.
    **Behaviour / good values:** the energy is conserved for c = u = 0. Frequencies up
    to 2 sqrt(k/m), higher where it is strained.
    **Source:** Fermi, Pasta, Ulam 1955, Los Alamos report LA-1940 (springs with a cubic
    term).

    ```python
    >>> from pendula.systems import SpringChain
    >>> SpringChain(masses=2).names
    ('q1', 'q2', 'v1', 'v2')

    ```
    """

    param_names: ClassVar[tuple[str, ...]] = ("mass", "stiffness", "cubic", "damping")
    time_unit: ClassVar[str] = "s"
    good_step: ClassVar[float] = 0.02
    good_duration: ClassVar[float] = 4.0
    second_order: ClassVar[bool] = True
    source: ClassVar[Source] = Source("Fermi1955", "cubic springs")

    mass: Scalar = constant(1.0)
    """Each mass [kg]."""
    stiffness: Scalar = constant(20.0)
    """Linear spring constant [N/m]."""
    cubic: Scalar = constant(60.0)
    """Cubic one [N/m3]."""
    damping: Scalar = constant(0.0)
    """Viscous drag of a mass [kg/s]."""
    masses: int = count("masses", 10, 1, 200)
    """Number of masses."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self._numbered("q"), *self._numbered("v"))

    @property
    def units(self) -> tuple[str, ...]:
        return ("m",) * self.masses + ("m/s",) * self.masses

    @property
    def angle(self) -> tuple[bool, ...]:
        return (False,) * (2 * self.masses)

    @property
    def input_names(self) -> tuple[str, ...]:
        return self._numbered("u")

    @property
    def input_units(self) -> tuple[str, ...]:
        return ("N",) * self.masses

    def _numbered(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}{i + 1}" for i in range(self.masses))

    def __check_init__(self) -> None:
        check_constants(
            self, positive=("mass", "stiffness"), not_negative=("cubic", "damping")
        )

    def __call__(
        self,
        t: Time | float,
        y: State,
        u: Control | None = None,
        context: Context = None,
    ) -> State:
        mass, k, k3, damping = self.constants(y, context)
        q, v = y[: self.masses], y[self.masses :]
        e = strains(q)
        pull = k * e + k3 * e**3
        force = spring_forces(pull) - damping * v + self.push(u, y)
        return jnp.concatenate([v, force / mass])

    def initial(self, key: PRNGKeyArray | None = None) -> State:
        """Drawn out evenly by 0.2 m a spring, at rest; with a key, strains from
        U(-0.3, 0.3) and velocities from U(-0.5, 0.5) m/s."""
        n = self.masses
        if key is None:
            return jnp.concatenate([0.2 * jnp.arange(1.0, n + 1.0), jnp.zeros(n)])
        draw = jax.random.uniform(key, (2, n), minval=-1.0, maxval=1.0)
        return jnp.concatenate([jnp.cumsum(0.3 * draw[0]), 0.5 * draw[1]])

    def invariants(
        self, y: State, context: Context = None
    ) -> dict[str, Float[Array, ""]]:
        """`energy` [J], conserved without damping and input."""
        mass, k, k3, _ = self.constants(y, context)
        q, v = y[: self.masses], y[self.masses :]
        e = strains(q)
        stored = 0.5 * k * e**2 + 0.25 * k3 * e**4
        return {"energy": 0.5 * mass * jnp.sum(v**2) + jnp.sum(stored)}

    def time_scale(self, context: Context = None) -> Float[Array, ""]:
        """The shortest period at a strain of 0.4, or the damping time m/c where that is
        shorter [s]."""
        mass, k, k3, damping = self.constants(jnp.zeros(2), context)
        rate = 2.0 * jnp.sqrt((k + 3.0 * k3 * 0.4**2) / mass) / (2.0 * jnp.pi)
        return 1.0 / jnp.maximum(rate, damping / mass)


def strains(q: Float[Array, "mass"]) -> Float[Array, "mass"]:
    """How much each spring is drawn out; the first is fixed to the wall."""
    return jnp.concatenate([q[:1], q[1:] - q[:-1]])


def spring_forces(pull: Float[Array, "mass"]) -> Float[Array, "mass"]:
    """Of the pulls of all springs on the masses between them."""
    return jnp.concatenate([pull[1:], jnp.zeros(1, pull.dtype)]) - pull
