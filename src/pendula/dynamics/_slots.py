"""The learned part of a model: networks scaled to the data, in their slots."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._errors import ConfigError
from ..nn import MLP, ConvexMLP, MonotoneMLP, conditioned
from ._bodies import LearnedBody
from ._config import ModelConfig
from ._constants import Free, Given
from ._energy import Conservative, Dissipative, Friction
from ._field import AbstractField
from ._hamiltonian import Hamiltonian, PortHamiltonian, Ports
from ._layout import Layout
from ._learned import GivenMatrix, Learned, Network, SlotScale
from ._reaction import Reaction


# What a prior of the force says of the energy.
OF_ENERGY = {
    "zero_at_rest": "flat_at_rest",
    "odd": "even",
    "convex": "convex",
    "rotation_equivariant": "invariant",
}
OWN = {"potential", "dissipative", "separable", "linear"}  # no prior of a slot


@dataclasses.dataclass(frozen=True)
class Ranges:
    """What the training data visit: states `"dim"`, inputs `"ctrl"`, and the size
    of the rates that the network must give, `"rate"` (accelerations, dz/dt)."""

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray
    input_mean: np.ndarray
    input_scale: np.ndarray
    input_low: np.ndarray
    input_high: np.ndarray
    rate: np.ndarray
    angle: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Maker:
    """Builds learned terms. `joints` `"n n"` turns rates into those of the joints that
    friction sees, where there is a body; `family` is the kind of the conditioned
    networks and the size of eta, where a family is learned."""

    config: ModelConfig
    plan: Layout
    ranges: Ranges
    ctrl: int
    key: PRNGKeyArray
    joints: np.ndarray | None = None
    family: tuple[str, int] | None = None

    def slot(
        self,
        takes: tuple[int, ...],
        out: np.ndarray,
        *,
        inputs: bool = True,
        angles: bool = True,
        priors: tuple[str, ...] = (),
        index: int = 0,
    ) -> Learned:
        """A scaled network of the given state entries."""
        r, c = self.ranges, self.config
        pick = list(takes)
        turning = bool({"invariant", "equivariant"} & set(priors))
        space = self._space() if turning else 0
        used = tuple(range(self.ctrl)) if inputs else ()
        angle = tuple(r.angle[i] and angles for i in takes)
        if not any(angle):
            angle = ()
        number = len(out)
        if "equivariant" in priors:
            # one size for all directions, a coefficient for each vector
            out = np.full(number, np.sqrt(np.mean(out**2)))
            number = number // space * (len(takes) // space)
        net = self._network(
            Learned.size(takes, used, angle, space=space), number, priors, index
        )
        join = lambda a, b: jnp.asarray(np.concatenate([a[pick], b[: len(used)]]))
        scale = SlotScale(
            mean=join(r.mean, r.input_mean),
            scale=join(r.scale, r.input_scale),
            rest=join(self._rest(), np.zeros(self.ctrl)),
            out=jnp.asarray(out),
            low=join(r.low, r.input_low),
            high=join(r.high, r.input_high),
            precision=jnp.asarray(float(c.precision)),
            bounds=jnp.asarray(c.bounds or (0.0, 1.0), float),
        )
        if self.family is not None and self.family[0] == "reference":
            scale = _as_published(scale, priors)
        linear = self._linear(scale) if index == 0 and not turning else None
        return Learned(net, scale, takes, used, angle, priors, False, linear, space)

    def _network(
        self, inputs: int, out: int, priors: tuple[str, ...], index: int
    ) -> Network:
        c, key = self.config, jax.random.fold_in(self.key, index)
        shaped = sorted({"convex", "increasing", "decreasing"} & set(priors))
        if self.family is not None:
            if shaped:
                raise ConfigError(
                    f'the prior "{shaped[0]}" is not built for the networks of a '
                    "family. Leave it out, or fit each member by itself."
                )
            head, size = self.family
            settings = {"width": c.width, "depth": c.depth, "activation": c.activation}
            return conditioned(head, inputs, out, size, key=key, **settings)
        if "convex" in priors:
            return ConvexMLP(inputs, out, c.width, c.depth, key=key)
        if {"increasing", "decreasing"} & set(priors):
            return MonotoneMLP(
                inputs, out, c.width, c.depth, activation=c.activation, key=key
            )
        return MLP(inputs, out, c.width, c.depth, activation=c.activation, key=key)

    def _rest(self) -> np.ndarray:
        rest = np.zeros(self.plan.dim)
        if self.config.rest:
            if len(self.config.rest) != len(self.plan.names):
                raise ConfigError(
                    f"model.rest has {len(self.config.rest)} values; expected one for "
                    f"each of the channels {', '.join(self.plan.names)}."
                )
            rest[np.asarray(self.plan.observed)] = self.config.rest
        return rest

    def _space(self) -> int:
        """The dimension of the vectors of a rotation prior, checked."""
        n = self.plan.n or self.plan.dim
        space = self.config.space or n
        if space not in (2, 3) or n % space or (self.plan.n and self.plan.first):
            raise ConfigError(
                f"rotation_equivariant needs vectors of 2 or 3 coordinates; there are "
                f"{n} and model.space is {self.config.space}. Set model.space to the "
                "dimension, or leave the prior out."
            )
        return space

    def _linear(self, scale: SlotScale) -> jax.Array | GivenMatrix | None:
        """The linear part of a force or field, to be found or known."""
        c = self.config
        out, inputs = scale.out.shape[0], scale.mean.shape[0]
        if c.linear:
            dim = self.plan.dim
            if len(c.linear) != out * dim:
                raise ConfigError(
                    f"model.linear has {len(c.linear)} values; expected {out} x {dim}, "
                    f"rates by state entries ({', '.join(self.plan.state_names)})."
                )
            given = jnp.asarray(c.linear).reshape(out, dim)
            given = given * scale.scale[None, :dim] / scale.out[:, None]
            padded = jnp.zeros((out, inputs), given.dtype).at[:, :dim].set(given)
            return GivenMatrix(padded)
        return jnp.zeros((out, inputs)) if "linear" in c.priors else None

    def terms(self, learn: str) -> list[AbstractField]:
        """The learned terms of one kind."""
        n, extra, r = self.plan.n, len(self.plan.first), self.ranges
        if learn == "none":
            return []
        if learn in ("force", "field"):
            named = {"rotation_equivariant": "equivariant"}
            priors = tuple(named.get(p, p) for p in self.config.priors if p not in OWN)
            return [self.slot(tuple(range(self.plan.dim)), r.rate, priors=priors)]
        if learn == "reaction":
            return [self._reaction()]
        if learn == "energy":
            potential = self._energy(tuple(range(n)), self._size(n))
            terms: list[AbstractField] = [Conservative(potential, n, extra)]
            return terms + ([self._drag()] if self._lossy else [])
        if learn == "lagrangian":
            return [self._drag()] if self._lossy else []
        if learn == "drag":
            return [self._drag()]
        return [self._friction(i) for i in range(n)]

    def _reaction(self) -> Reaction:
        """One small network for all channels, scaled to what all of them visit."""
        r, rest = self.ranges, self._rest()
        if np.ptp(rest):
            raise ConfigError(
                f"model.rest is {list(self.config.rest)}; a reaction is the same for "
                "all channels: give all of them one rest value."
            )
        shared = dataclasses.replace(
            r,
            mean=np.mean(r.mean, keepdims=True),
            scale=np.sqrt(np.mean(r.scale**2 + (r.mean - r.mean.mean()) ** 2))[None],
            low=np.min(r.low, keepdims=True),
            high=np.max(r.high, keepdims=True),
        )
        priors = tuple(p for p in self.config.priors if p not in OWN)
        size = np.sqrt(np.mean(r.rate**2, keepdims=True))
        maker = dataclasses.replace(self, ranges=shared)
        return Reaction(maker.slot((0,), size, angles=False, priors=priors))

    @property
    def _lossy(self) -> bool:
        return "dissipative" in self.config.priors

    def body(self) -> LearnedBody:
        """Mass matrix and potential, both learned."""
        n = self.plan.n
        takes = tuple(range(n))
        factor = self.slot(takes, np.ones(n * (n + 1) // 2), inputs=False, index=1)
        return LearnedBody(factor, self._energy(takes, self._size(n)))

    def hamiltonian(self) -> AbstractField:
        """An energy of coordinates and momenta, with ports where there is more."""
        n, r = self.plan.n or self.plan.dim // 2, self.ranges
        size = self._size(n)
        q, p = tuple(range(n)), tuple(range(n, 2 * n))
        if "separable" in self.config.priors:
            parts = (self._energy(q, size), self._energy(p, size, index=1))
        else:
            parts = (self._energy(q + p, size),)
        # Nobody measured these momenta: unit masses fix their scale.
        masses = (Given(jnp.asarray(1.0)),) * n if self.plan.canonical else ()
        inner = Hamiltonian(parts, n, masses)
        if not self._lossy and not self.ctrl:
            return inner
        factor = None
        if self._lossy:
            out = np.full(n * (n + 1) // 2, np.sqrt(0.1 * np.max(r.rate / r.scale[p])))
            factor = self.slot(q + p, out, inputs=False, index=2)
        ports = None
        if self.ctrl:
            push = r.rate[-n:, None] / r.input_scale[None, : self.ctrl]
            ports = Ports(jnp.zeros(push.shape), GivenMatrix(jnp.asarray(push)))
        return PortHamiltonian(inner, factor, ports)

    def _size(self, n: int) -> np.ndarray:
        """Of an energy: force times way."""
        return np.array([float(np.max(self.ranges.rate[-n:] * self.ranges.scale[:n]))])

    def _energy(
        self, takes: tuple[int, ...], size: np.ndarray, index: int = 0
    ) -> Learned:
        priors = tuple(OF_ENERGY[p] for p in self.config.priors if p not in OWN)
        if "invariant" in priors:  # flat by itself: it depends on squares
            swap = {"flat_at_rest": "zero_at_rest"}
            priors = tuple(swap.get(p, p) for p in priors if p != "even")
        return self.slot(takes, size, inputs=False, priors=priors, index=index)

    def _drag(self) -> Dissipative:
        n, r = self.plan.n, self.ranges
        size = np.sqrt(0.1 * np.max(r.rate[:n]) / np.max(r.scale[n : 2 * n]))
        out = np.full(n * (n + 1) // 2, size)
        takes = tuple(range(2 * n))
        factor = self.slot(takes, out, inputs=False, index=1)
        return Dissipative(factor, n, len(self.plan.first))

    def _friction(self, i: int) -> Friction:
        n, r = self.plan.n, self.ranges
        bend = np.abs(np.eye(n) if self.joints is None else self.joints)[i]
        rates = slice(n, 2 * n)
        speed = float(bend @ np.maximum(np.abs(r.low), np.abs(r.high))[rates])
        slot = self.slot((n + i,), np.ones(1), inputs=False, angles=False, index=2 + i)
        # The network sees |v| / v_max; the range it visits starts at rest.
        slot = eqx.tree_at(
            lambda s: (s.scale.mean, s.scale.scale, s.scale.low, s.scale.high),
            slot,
            (
                jnp.zeros(1),
                jnp.asarray([speed]),
                jnp.asarray([-speed]),
                jnp.asarray([speed]),
            ),
        )
        # Each part starts at a small share of the forces seen, at the typical
        # speed; the prior is wide.
        small = 3e-3 * float(r.rate[i])
        typical = float(np.sqrt(bend @ r.scale[rates] ** 2))
        return Friction(
            Free.make(small, "positive", sd=3.0),
            Free.make(small / typical, "positive", sd=3.0),
            Free.make(small / typical**2, "positive", sd=3.0),
            Given(jnp.asarray(4e-3 * speed)),
            slot,
            n,
            i,
            len(self.plan.first),
        )


def _as_published(scale: SlotScale, priors: tuple[str, ...]) -> SlotScale:
    """Nothing is scaled, and an even energy is N(u) + N(-u), not their mean."""
    size = 2.0 if "even" in priors else 1.0
    return dataclasses.replace(
        scale,
        mean=jnp.zeros_like(scale.mean),
        scale=jnp.ones_like(scale.scale),
        out=jnp.full_like(scale.out, size),
    )
