"""A chain of rigid rings in space: what drives it, how it is held and stepped."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import not_negative, positive
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import Context, Control, State, Time
from ._bar_chain import end_weights, triplets
from ._field import AbstractField
from ._rings import AbstractRingEnergy, ring_coordinates
from ._rotation import hat, rotation, upright


POSE, RATE = 12, 6  # numbers of a ring's place and of its velocity
Tops = Float[Array, "ring 3"]


class RingState(NamedTuple):
    """Centres x [m], orientations q, velocities v [m/s], turns w about the rings' own
    axes [rad/s]."""

    x: Tops
    q: Float[Array, "ring 3 3"]
    v: Tops
    w: Tops

    @classmethod
    def of(cls, y: State) -> RingState:
        """From a flat state: (x, q row by row) of every ring, then (v, w) of every one.

        **Raises:** `ShapeError` for one that is not of at least three rings.
        """
        whole = POSE + RATE
        if y.shape[-1] % whole or y.shape[-1] < 3 * whole:
            raise ShapeError(
                f"the state has {y.shape[-1]} entries; a chain of C rings has 18 C, of "
                "at least 3 rings: x and q of each, then v and w of each."
            )
        rings = y.shape[-1] // whole
        pose, rate = y[: POSE * rings], y[POSE * rings :]
        pose, rate = pose.reshape(rings, POSE), rate.reshape(rings, RATE)
        q = pose[:, 3:].reshape(rings, 3, 3)
        return cls(pose[:, :3], q, rate[:, :3], rate[:, 3:])

    def flat(self) -> Float[Array, "dim"]:
        """The flat state again."""
        rings = self.x.shape[0]
        pose = jnp.concatenate([self.x, self.q.reshape(rings, 9)], axis=1)
        rate = jnp.concatenate([self.v, self.w], axis=1)
        return jnp.concatenate([pose.ravel(), rate.ravel()])


@register("module")
class RingWorld(Fixed):
    """What a chain of rings consists of and moves in, SI units; never trained.

    `mass` and `radius` of a ring (inertia m R^2 about its axis, half of it across);
    `gravity` `"3"`; `stiffness`: how many times stiffer than the material that the
    energy was learned from; `loss`: the rate at which drag takes velocities away [1/s].
    """

    mass: Float[Any, ""]
    radius: Float[Any, ""]
    gravity: Float[Any, "3"]
    stiffness: Float[Any, ""]
    loss: Float[Any, ""]

    @classmethod
    def of(
        cls,
        mass: float = 2.5e-3,
        radius: float = 0.033,
        gravity: tuple[float, float, float] = (0.0, -9.8, 0.0),
        *,
        stiffness: float = 1.0,
        drag: float = 0.0,
        wire_length: float = 0.0,
    ) -> RingWorld:
        r"""`drag` $\nu$ is that of the rod for each length [N s/m^2] with `wire_length`
        L_c of a cycle: centre and turns then decay alike, at the rate $\nu L_c/m$.

        **Raises:** `ConfigError` for a mass, radius or stiffness that is not positive,
        a drag that is negative, or a gravity that is no three numbers.
        """
        positive(mass=mass, radius=radius, stiffness=stiffness)
        not_negative(drag=drag, wire_length=wire_length)
        if np.shape(gravity) != (3,) or not np.isfinite(gravity).all():
            raise ConfigError(
                f"gravity is {gravity}; expected three finite numbers, along x, y and "
                "z."
            )
        numbers = (mass, radius, gravity, stiffness, drag * wire_length / mass)
        return cls(*(np.asarray(v, np.float64) for v in numbers))

    def inertia(self, like: Array) -> Float[Array, "3"]:
        """About a ring's own axes [kg m^2]."""
        whole = (self.mass * self.radius**2).astype(like.dtype)
        return whole * jnp.asarray([1.0, 0.5, 0.5], like.dtype)


@register("module")
class RingChain(AbstractField):
    r"""Motion of a chain of rings $(x_i, Q_i)$.

    $$ m \ddot x = -\partial_x E + m g, \quad \dot Q = Q \hat\omega, \quad
       J \dot\omega + \omega \times J \omega = -\partial_\epsilon
       E(Q \exp \hat\epsilon), \quad J = m R^2\,\mathrm{diag}(1, \tfrac12, \tfrac12) $$

    with $E_{tot} = \sum_i E(z_{i-1,i}, z_{i,i+1}) + \tfrac12 E(z_{01}, z_{01}) +
    \tfrac12 E(z_{last}, z_{last})$ as in `BarChain`: energy is conserved, forces and
    torques sum to zero, free ends are free.

    **Shapes and units:** state `"18 ring"` as in `RingState`, any number of rings;
    returns its rate. `first`, `last`: held ends.
    **Raises:** `ShapeError` for a state that is not one of at least three rings.
    **Source:** ours, after Wang 2023, section 3.3, in a plane.

    ```python
    >>> import equinox as eqx, jax.numpy as jnp
    >>> from pendula.dynamics import ElasticRings, RingChain, RingState, RingWorld
    >>> law = ElasticRings.of([65.0, 170.0, 170.0, 0.09, 0.08, 0.08])
    >>> chain = RingChain(law, RingWorld.of(), True, False)
    >>> x = jnp.zeros((4, 3)).at[:, 0].set(0.01 * jnp.arange(4.0))
    >>> q, still = jnp.stack([jnp.eye(3)] * 4), jnp.zeros((4, 3))
    >>> y = RingState(x, q, still, still).flat()
    >>> rate = eqx.filter_jit(chain)(0.0, y, None, None)
    >>> (RingState.of(rate).v[:, 1] < -9.0).tolist()  # held, and falling
    [False, True, True, True]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 3.3")

    energy: AbstractRingEnergy
    world: RingWorld
    first: bool = eqx.field(static=True, default=True)
    last: bool = eqx.field(static=True, default=True)

    def elastic(
        self, x: Float[Array, "ring 3"], q: Float[Array, "ring 3 3"]
    ) -> Float[Array, ""]:
        """The elastic energy [J]."""
        values = self.energy(triplets(ring_coordinates(x, q)))
        return self.world.stiffness.astype(x.dtype) * (end_weights(values) @ values)

    def forces(
        self, x: Float[Array, "ring 3"], q: Float[Array, "ring 3 3"]
    ) -> tuple[Tops, Tops]:
        """The elastic force on each ring [N] and the torque about its own axes
        [N m]."""
        eye = jnp.eye(3, dtype=x.dtype)[None]

        def moved(shift: Array, turn: Array) -> Array:
            return self.elastic(x + shift, q @ (eye + hat(turn)))

        none = jnp.zeros_like(x)
        shift, turn = jax.grad(moved, argnums=(0, 1))(none, none)
        return -shift, -turn

    def total(self, y: State) -> dict[str, Float[Array, ""]]:
        """Parts of the energy [J]: `kinetic`, `elastic`, `gravity`; held rings count as
        at rest."""
        s = RingState.of(y)
        moving = self.moving(s.x)
        mass, g = self.world.mass.astype(y.dtype), self.world.gravity.astype(y.dtype)
        inertia = self.world.inertia(y)[None]
        return {
            "kinetic": 0.5 * jnp.sum(moving * (mass * s.v**2 + inertia * s.w**2)),
            "elastic": self.elastic(s.x, s.q),
            "gravity": -jnp.sum(mass * (s.x @ g)),
        }

    def moving(self, x: Array) -> Float[Array, "ring 1"]:
        """0 for rings that are held, 1 for the others."""
        mask = np.ones((x.shape[0], 1))
        mask[0] -= self.first
        mask[-1] -= self.last
        return jnp.asarray(mask, x.dtype)

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim"]:
        s = RingState.of(y)
        moving = self.moving(s.x)
        v, w = moving * s.v, moving * s.w
        pull, torque = self.pushes(s)
        inertia = self.world.inertia(y)[None]
        loss = self.world.loss.astype(y.dtype)
        spun = torque - jnp.cross(w, inertia * w) / inertia
        return RingState(
            v, s.q @ hat(w), pull - loss * v, moving * spun - loss * w
        ).flat()

    def pushes(self, s: RingState) -> tuple[Tops, Tops]:
        """What forces and weight make of v and w in a second; nothing of held
        rings."""
        # what a network computes is kept for no backward pass: computing it twice
        # takes less time than writing it down
        force, torque = jax.checkpoint(lambda own, x, q: own.forces(x, q))(
            self, s.x, s.q
        )
        w = jax.tree.map(lambda x: jnp.asarray(x, s.x.dtype), self.world)
        moving = self.moving(s.x)
        pull = moving * (force / w.mass + w.gravity[None])
        return pull, moving * torque / self.world.inertia(s.x)[None]

    def coast(self, s: RingState, h: Array) -> RingState:
        r"""Free flight: exact for a symmetric top,
        $Q \exp(h\,J\omega/J_2) \exp(-h\,\omega_1 e_1)$ with $J_1 = 2 J_2$."""
        lever = s.w * jnp.asarray([2.0, 1.0, 1.0], h.dtype)[None]
        axis = s.w * jnp.asarray([1.0, 0.0, 0.0], h.dtype)[None]
        own = rotation(-h * axis)
        q = upright(s.q @ rotation(h * lever) @ own)
        w = (jnp.swapaxes(own, -1, -2) @ s.w[..., None])[..., 0]
        return RingState(s.x + h * s.v, q, s.v, w)
