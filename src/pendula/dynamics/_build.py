"""From a configuration to a model of motion."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._errors import ConfigError
from .._registry import lookup
from .._tree import num_parameters
from ..nn import MLP
from ..solve import scheme
from ._config import KnownConfig, ModelConfig
from ._constants import Free, Given
from ._energy import Conservative, Dissipative, Friction
from ._field import AbstractField, SecondOrder, Sum
from ._first_guess import Guess
from ._known import Known, Law
from ._layout import Layout
from ._learned import Learned, SlotScale
from ._model import Model


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


def build_model(
    config: ModelConfig,
    plan: Layout,
    ranges: Ranges,
    substeps: int,
    key: PRNGKeyArray,
    guesses: Mapping[int, Mapping[str, Guess]] | None = None,
) -> Model:
    """A fresh model (float dtype of the surrounding scope); `guesses` are the starts
    of free constants that have no value.

    **Raises:** `ConfigError` for combinations that make no sense.
    """
    learn = _resolve(config, plan)
    guesses = guesses or {}
    terms: list[AbstractField] = [
        _known(k, plan, guesses.get(i, {})) for i, k in enumerate(config.known)
    ]
    _check_terms(config, plan, ranges, learn)
    has_input_law = any(k.term == "input" for k in config.known)
    ctrl = 0 if has_input_law else len(ranges.input_mean)
    maker = _Maker(config, plan, ranges, ctrl, key)
    terms += maker.terms(learn)
    if not terms:
        raise ConfigError(
            'learn is "none" and there is no known term: the model is empty. Add '
            "--known TERM, or let it learn something."
        )
    if plan.n == 0:
        field: AbstractField = terms[0] if len(terms) == 1 else Sum(tuple(terms))
    else:
        force = terms[0] if len(terms) == 1 else Sum(tuple(terms))
        field = SecondOrder(force, plan.n)
    model = Model(field, plan.observed, plan.dim, config.scheme, substeps)
    if num_parameters(model) == 0:
        raise ConfigError(
            "there is nothing to find: every constant is given and nothing is learned. "
            "Name the unknown constants with --free, or let the model learn something."
        )
    return model


def _check_terms(config: ModelConfig, plan: Layout, ranges: Ranges, learn: str) -> None:
    """Refuse laws without their input, rates that nobody gives, and schemes that would
    take the state for something else."""
    if scheme(config.scheme).needs_second_order and (plan.first or not plan.n):
        raise ConfigError(
            f'model.scheme is "{config.scheme}", for positions and their velocities; '
            f"in the state ({', '.join(plan.state_names)}) not all are. Set it to "
            '"rk4", or model.order to "second".'
        )
    if any(k.term == "input" for k in config.known) and len(ranges.input_mean) == 0:
        raise ConfigError(
            'the known law "input" needs an input; the data have none. Name it with '
            "--inputs, or leave the law out."
        )
    if plan.n and plan.first and learn != "force":
        raise ConfigError(
            f'channel "{plan.names[plan.first[0]]}" is of first order, and with learn '
            f'"{learn}" nothing gives its rate. Use --learn force, or leave the '
            "channel out."
        )


# Which learned terms a prior can be said of (after `potential` and `dissipative` have
# turned a force into an energy or a drag).
_MEANS = {
    "zero_at_rest": ("force", "field", "energy"),
    "odd": ("force", "field", "energy"),
    "positive": ("force", "field"),
    "bounded": ("force", "field"),
    "potential": ("energy",),
    "dissipative": ("energy", "drag", "friction"),
}
# What a prior of the force says of the energy.
_OF_ENERGY = {"zero_at_rest": "flat_at_rest", "odd": "even"}


def _resolve(config: ModelConfig, plan: Layout) -> str:
    learn = config.learn
    if learn == "auto" or (learn == "field" and plan.n):
        learn = "force" if plan.n else "field"
    if "potential" in config.priors and learn in ("force", "field"):
        learn = "energy"
    if "dissipative" in config.priors and learn == "force":
        learn = "drag"
    for prior in config.priors:
        if learn not in _MEANS[prior]:
            raise ConfigError(
                f'the prior "{prior}" says nothing about a learned "{learn}"; it is '
                f"for {', '.join(_MEANS[prior])}. Leave it out, or learn one of these."
            )
    if learn != "field" and learn != "none" and plan.n == 0:
        raise ConfigError(
            f'learn "{learn}" needs second-order channels; these are of first order. '
            "Use --learn field, or --order second."
        )
    if config.known and plan.n == 0:
        raise ConfigError(
            f'the known law "{config.known[0].term}" acts on accelerations, but the '
            "channels are of first order. Use --order second."
        )
    return learn


def _known(known: KnownConfig, plan: Layout, guesses: Mapping[str, Guess]) -> Known:
    names = [plan.names[p] for p in plan.positions]
    on = known.on or (names[0],)
    if len(on) != 1:
        raise ConfigError(
            f'law "{known.term}" acts on one channel; {list(on)} were given. Repeat '
            "--known for each."
        )
    if on[0] not in names:
        raise ConfigError(
            f'law "{known.term}" is to act on "{on[0]}", which is not a position. '
            f"Positions: {', '.join(names)}."
        )
    starts = {name: guess.start for name, guess in guesses.items()}
    constants: dict[str, Any] = {**starts, **known.constants}
    return Known(
        known.term,
        plan.n,
        names.index(on[0]),
        free=known.free,
        extra=len(plan.first),
        scales={name: guess.scale for name, guess in guesses.items()},
        **constants,
    )


@dataclasses.dataclass(frozen=True)
class _Maker:
    """Builds the learned terms."""

    config: ModelConfig
    plan: Layout
    ranges: Ranges
    ctrl: int
    key: PRNGKeyArray

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
        used = tuple(range(self.ctrl)) if inputs else ()
        angle = tuple(r.angle[i] and angles for i in takes)
        if not any(angle):
            angle = ()
        net = MLP(
            Learned.size(takes, used, angle),
            len(out),
            c.width,
            c.depth,
            activation=c.activation,
            key=jax.random.fold_in(self.key, index),
        )
        join = lambda a, b: jnp.asarray(np.concatenate([a[pick], b[: len(used)]]))
        rest = np.zeros(self.plan.dim)
        if c.rest:
            if len(c.rest) != len(self.plan.names):
                raise ConfigError(
                    f"model.rest has {len(c.rest)} values; expected one for each of "
                    f"the channels {', '.join(self.plan.names)}."
                )
            rest[np.asarray(self.plan.observed)] = c.rest
        scale = SlotScale(
            mean=join(r.mean, r.input_mean),
            scale=join(r.scale, r.input_scale),
            rest=join(rest, np.zeros(self.ctrl)),
            out=jnp.asarray(out),
            low=join(r.low, r.input_low),
            high=join(r.high, r.input_high),
            precision=jnp.asarray(float(c.precision)),
            bounds=jnp.asarray(c.bounds or (0.0, 1.0), float),
        )
        return Learned(net, scale, takes, used, angle, priors)

    def terms(self, learn: str) -> list[AbstractField]:
        """The learned terms of one kind."""
        n, extra, r = self.plan.n, len(self.plan.first), self.ranges
        everything = tuple(range(self.plan.dim))
        plain = tuple(
            p for p in self.config.priors if p not in ("potential", "dissipative")
        )
        if learn == "none":
            return []
        if learn in ("force", "field"):
            return [self.slot(everything, r.rate, priors=plain)]
        if learn == "energy":
            size = np.array([float(np.max(r.rate[:n] * r.scale[:n]))])
            of_energy = tuple(_OF_ENERGY[p] for p in plain)
            potential = self.slot(tuple(range(n)), size, inputs=False, priors=of_energy)
            terms: list[AbstractField] = [Conservative(potential, n, extra)]
            if "dissipative" in self.config.priors:
                terms.append(self._drag())
            return terms
        if learn == "drag":
            return [self._drag()]
        return [self._friction(i) for i in range(n)]

    def _drag(self) -> Dissipative:
        n, r = self.plan.n, self.ranges
        size = np.sqrt(0.1 * np.max(r.rate[:n]) / np.max(r.scale[n : 2 * n]))
        out = np.full(n * (n + 1) // 2, size)
        takes = tuple(range(2 * n))
        factor = self.slot(takes, out, inputs=False, index=1)
        return Dissipative(factor, n, len(self.plan.first))

    def _friction(self, i: int) -> Friction:
        n, r = self.plan.n, self.ranges
        speed = float(np.maximum(np.abs(r.low), np.abs(r.high))[n + i])
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
        small, typical = 3e-3 * float(r.rate[i]), float(r.scale[n + i])
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


def equation(config: ModelConfig, plan: Layout) -> list[str]:
    """The terms of a model in words and formulas, for the report."""
    out = []
    for known in config.known:
        law: Law = lookup("known", known.term)
        on = known.on[0] if known.on else plan.names[plan.positions[0]]
        out.append(f"{known.term} on {on}: {law.text}")
    learn = _resolve(config, plan)
    net = f"network {config.depth} x {config.width} {config.activation}"
    texts = {
        "force": f"learned force of the whole state ({net})",
        "field": f"learned rate of the whole state ({net})",
        "energy": f"learned potential energy, force = -dV/dq ({net})",
        "drag": f"learned dissipation -L L' v ({net})",
        "friction": "friction (f tanh(v/w) + c v + d v|v|) exp(g(|v|)), g a " + net,
    }
    if learn != "none":
        out.append(texts[learn])
    if learn == "energy" and "dissipative" in config.priors:
        out.append(texts["drag"])
    return out
