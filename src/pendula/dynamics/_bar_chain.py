"""A chain of bars in a plane: what drives it, and how it is held."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import choice, not_negative, positive
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import Context, Control, State, Time
from ._bar_push import GapPotential, soft_barrier
from ._bars import AbstractBarEnergy, pair_coordinates
from ._field import AbstractField


RULES = ("conservative", "middle")


@register("module")
class BarWorld(Fixed):
    """What a chain of bars consists of and moves in, SI units; never trained.

    `mass` and `inertia` of a bar; `gravity` along x and y; `stiffness`: how many times
    stiffer than the material that the energy was learned from (Young's moduli); `drag`
    of a bar [N s/m] and `spin_drag` [N m s]; where bars may touch, the `contact`
    stiffness [N/m], the `thickness` of a cycle and the `margin` in which they begin to
    push [m] (the chain's `touching` switches it), the `radius` of a bar.
    """

    mass: Float[Any, ""]
    inertia: Float[Any, ""]
    gravity: Float[Any, "2"]
    stiffness: Float[Any, ""]
    drag: Float[Any, ""]
    spin_drag: Float[Any, ""]
    contact: Float[Any, ""]
    thickness: Float[Any, ""]
    margin: Float[Any, ""]
    radius: Float[Any, ""]

    @classmethod
    def of(
        cls,
        mass: float = 2.5e-3,
        radius: float = 0.033,
        gravity: tuple[float, float] = (0.0, -9.8),
        *,
        stiffness: float = 1.0,
        drag: float = 0.0,
        wire_length: float = 0.0,
        contact: float = 0.0,
        thickness: float = 6e-4,
        margin: float = 2e-4,
    ) -> BarWorld:
        r"""Of rings: inertia $m R^2/2$ about a diameter. `drag` $\nu$ is that of the
        rod for each length [N s/m^2] with `wire_length` L_c of a cycle: $\nu L_c$ for
        the centre, $\nu L_c R^2/2$ for the turn.

        **Raises:** `ConfigError` for a mass, radius, stiffness or margin that is not
        positive, a drag, contact or thickness that is negative, or a gravity that is no
        two numbers.
        """
        positive(mass=mass, radius=radius, stiffness=stiffness, margin=margin)
        not_negative(
            drag=drag, contact=contact, wire_length=wire_length, thickness=thickness
        )
        if np.shape(gravity) != (2,) or not np.isfinite(gravity).all():
            raise ConfigError(
                f"gravity is {gravity}; expected two finite numbers, along x and y."
            )
        half = 0.5 * radius**2
        loss = drag * wire_length
        numbers = (stiffness, loss, loss * half, contact, thickness, margin, radius)
        rest = (np.asarray(v, np.float64) for v in numbers)
        own = np.asarray(mass, np.float64), np.asarray(mass * half, np.float64)
        return cls(*own, np.asarray(gravity, np.float64), *rest)

    def masses(self, like: Array) -> Float[Array, "3"]:
        """diag M of one bar."""
        return jnp.stack([self.mass, self.mass, self.inertia]).astype(like.dtype)


@register("module")
class BarChain(AbstractField):
    r"""Accelerations of a chain of bars $u_i = (x_i, y_i, \alpha_i)$.

    $$ \ddot u = M^{-1} (F + F_{drag} + F_{contact}) + (0, -g, 0), \qquad
       M = \mathrm{diag}(m, m, J) $$

    `conservative`: $F = -\partial E_{tot}/\partial u$ with $E_{tot} =
    \sum_i E(z_{i-1,i}, z_{i,i+1}) + \tfrac12 E(z_{01}, z_{01}) +
    \tfrac12 E(z_{last}, z_{last})$: energy is conserved, forces sum to zero, free ends
    are free. `middle`, the published code's rule: $F_i = -\partial E_i/\partial u_i$ of
    the triplet around i alone, neighbours constant (a free end has a neighbour equal to
    itself): no gradient of any energy. A network is to be used with the rule that it
    was trained with.

    **Shapes and units:** state `"6 bar"` raveled: `bar` times (x, y, alpha), then their
    rates; returns accelerations `"3 bar"`; any number of bars. A held end (`first`,
    `last`) has the acceleration that the input says, `"6"`: (x, y, alpha) of the first
    bar and of the last; 0 without.
    **Raises:** `ConfigError` for an unknown rule, `ShapeError` for a state that is not
    one of at least three bars.
    **Source:** Wang 2023, section 3.3; `conservative`, drag and contact are ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import BarChain, BarWorld, ESNN
    >>> chain = BarChain(ESNN.create(jax.random.key(0)), BarWorld.of(), True, True)
    >>> u = jnp.zeros((5, 3)).at[:, 0].set(0.01 * jnp.arange(5.0))
    >>> rates = chain(0.0, jnp.concatenate([u.ravel(), 0 * u.ravel()]), None, None)
    >>> bool(jnp.all(rates.reshape(5, 3)[0] == 0.0))  # held
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 3.3")

    energy: AbstractBarEnergy
    world: BarWorld
    first: bool = eqx.field(static=True, default=True)
    last: bool = eqx.field(static=True, default=True)
    rule: str = eqx.field(static=True, default="conservative")
    touching: bool = eqx.field(static=True, default=False)
    push: GapPotential | None = None

    def __check_init__(self) -> None:
        choice("rule", self.rule, RULES)

    def elastic(
        self, u: Float[Array, "bar 3"], context: Context = None
    ) -> Float[Array, ""]:
        """The elastic energy [J] (in the sense of the rule `conservative`)."""
        pairs = pair_coordinates(u[:-1], u[1:])
        values = self.energy(triplets(pairs), context)
        weight = end_weights(values)
        return self.world.stiffness.astype(u.dtype) * (weight @ values)

    def total(self, y: State, context: Context = None) -> dict[str, Float[Array, ""]]:
        """Parts of the energy [J]: `kinetic`, `elastic`, `contact`, `gravity`; held
        bars count as at rest."""
        u, v = self._bars(y)
        moving = self._moving(u)
        kinetic = 0.5 * jnp.sum(moving * self.world.masses(u)[None] * v**2)
        mass, g = self.world.mass.astype(u.dtype), self.world.gravity.astype(u.dtype)
        return {
            "kinetic": kinetic,
            "elastic": self.elastic(u, context),
            "contact": self._touch(u),
            "gravity": -jnp.sum(mass * (u[:, :2] @ g)),
        }

    def force(
        self, u: Float[Array, "bar 3"], context: Context = None
    ) -> Float[Array, "bar 3"]:
        """The elastic force on each bar [N, N, N m]."""
        pairs, back = jax.vjp(pair_coordinates, u[:-1], u[1:])
        z = triplets(pairs)
        if self.rule == "middle" and not (self.first and self.last):
            z = self._with_ghosts(z)
        slope = jax.grad(lambda z: jnp.sum(self.energy(z, context)))(z)
        slope = self.world.stiffness.astype(u.dtype) * slope
        first, second = slope[:, :3], slope[:, 3:]
        if self.rule == "conservative":
            weight = end_weights(slope[:, 0])[:, None]
            first, second = weight * first, weight * second
            onto = (first[1:] + second[:-1]).at[0].add(first[0])
            left, right = back(onto.at[-1].add(second[-1]))
        else:
            # of triplet i: its first pair moves with bar i as the right one, its
            # second with bar i as the left one
            left, _ = back(second[:-1])
            _, right = back(first[1:])
        zero = jnp.zeros((1, 3), u.dtype)
        return -jnp.concatenate([left, zero]) - jnp.concatenate([zero, right])

    def _with_ghosts(self, z: Array) -> Array:
        """Beyond a free end stands a bar equal to it: coordinates 0."""
        if not self.first:
            z = z.at[0, :3].set(0.0)
        return z if self.last else z.at[-1, 3:].set(0.0)

    def _touch(self, u: Array) -> Float[Array, ""]:
        """The energy of all gaps at tops and bottoms."""
        if not self.touching:
            return jnp.zeros((), u.dtype)
        w = jax.tree.map(lambda x: jnp.asarray(x, u.dtype), self.world)
        gaps = self.gaps(u) - w.thickness
        if self.push is not None:
            return jnp.sum(self.push(gaps))
        return w.contact * jnp.sum(soft_barrier(gaps, w.margin))

    def gaps(self, u: Float[Array, "bar 3"]) -> Float[Array, "side bar-1"]:
        r"""Distances of neighbouring tops and of bottoms along the mean axis,
        $\xi \mp 2 R \sin(\vartheta/2)$ [m]."""
        z = pair_coordinates(u[:-1], u[1:])
        turn = 2.0 * self.world.radius.astype(u.dtype) * jnp.sin(0.5 * z[:, 2])
        return jnp.stack([z[:, 0] - turn, z[:, 0] + turn])

    def _bars(self, y: Array) -> tuple[Array, Array]:
        if y.shape[-1] % 6 or y.shape[-1] < 18:
            raise ShapeError(
                f"the state has {y.shape[-1]} entries; a chain of C bars has 6 C, of "
                "at least 3 bars: (x, y, alpha) of each, then their rates."
            )
        half = y.shape[-1] // 2
        return y[:half].reshape(-1, 3), y[half:].reshape(-1, 3)

    def _moving(self, u: Array) -> Array:
        mask = np.ones((u.shape[0], 1))
        mask[0] -= self.first
        mask[-1] -= self.last
        return jnp.asarray(mask, u.dtype)

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        bars, rates = self._bars(y)
        # what a network computes is kept for no backward pass: computing it twice
        # takes less time than writing it down
        force = jax.checkpoint(lambda own, u: own.force(u, context))(self, bars)
        w = jax.tree.map(lambda x: jnp.asarray(x, y.dtype), self.world)
        if self.touching:
            force = force - jax.grad(self._touch)(bars)
        loss = jnp.stack([w.drag, w.drag, w.spin_drag])
        pull = jnp.concatenate([w.gravity, jnp.zeros(1, y.dtype)])
        rates = (force - loss[None] * rates) / self.world.masses(y)[None] + pull[None]
        rates = rates * self._moving(bars)
        if u is not None:
            if u.shape != (6,):
                raise ShapeError(
                    f"the input has shape {u.shape}; expected (6,): the accelerations "
                    "(x, y, alpha) of the first and of the last bar."
                )
            if self.first:
                rates = rates.at[0].set(u[:3])
            if self.last:
                rates = rates.at[-1].set(u[3:])
        return rates.ravel()


def triplets(pairs: Float[Array, "pair own"]) -> Float[Array, "body both"]:
    """Both pairs of each body of a chain; an end has its one pair twice."""
    first = jnp.concatenate([pairs[:1], pairs])
    return jnp.concatenate([first, jnp.concatenate([pairs, pairs[-1:]])], axis=-1)


def end_weights(values: Float[Array, "body"]) -> Float[Array, "body"]:
    """1 for each inner body of a chain, 1/2 for both at the ends."""
    weight = np.ones(values.shape[0])
    weight[[0, -1]] = 0.5
    return jnp.asarray(weight, values.dtype)
