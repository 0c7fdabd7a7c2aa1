"""One start of the weights for many kinds of systems, from which few points of a new
kind are enough."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, fields_positive, fields_whole, not_negative
from .._errors import ConfigError, DataError
from .._tree import split_trainable
from ..nn import AbstractConditioned, bind
from ..train import (
    LearnedSteps,
    TrainState,
    adam_cosine,
    gradient_step,
    init_opt,
    inner_descent,
    mean_loss,
    second_order,
)
from ._cross_points import RatePoints, rate_loss


MODES = ("first_order", "second_order", "joint", "latent")


@dataclasses.dataclass(frozen=True)
class CrossConfig:
    """How `cross_fit` trains.

    `mode`: `first_order` and `second_order` meta-train the weights and the steps of
    an inner descent; `joint` fits one field to all kinds; `latent` weights that all
    share and an eta for each kind. `updates` of Adam at `lr`, each
    on `points` of `kinds` kinds; `noise` of the points, a share of the spread;
    `inner_steps`, and `inner_rate` at which they begin; `seed`.
    """

    mode: str = "first_order"
    updates: int = 3000
    kinds: int = 12
    points: int = 50
    noise: float = 0.0
    inner_steps: int = 5
    inner_rate: float = 0.5
    lr: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        choice("mode", self.mode, MODES)
        fields_whole(self, updates=1, kinds=1, points=1, inner_steps=1, seed=0)
        fields_positive(self, "", "inner_rate", "lr")
        not_negative(noise=self.noise)


class CrossStart(eqx.Module):
    """What `cross_fit` found: the `field` to start from; the learned `steps` of the
    meta-trained modes; the mean `eta` of mode `latent`; the `losses` of training."""

    field: Any
    steps: LearnedSteps | None
    eta: Float[Array, "eta"] | None
    losses: Float[Array, "row"]

    def adapt(self, points: RatePoints, steps: int = 50, rate: Any = None) -> Any:
        """The field of a new kind after that many gradient steps on all of its points:
        of the weights, or of eta where the weights are shared.

        **Arguments:** `points` of one kind; `rate` of Adam (default 0.01), or what
        the learned steps are multiplied by (default 1).
        """
        if self.eta is None:
            return adapt_weights(
                self.field, points, steps=steps, rate=rate, learned=self.steps
            )
        loss = lambda _, eta, item: rate_loss(bind(self.field, eta), item)
        eta = _by_adam(loss, self.eta, points, steps, 0.01 if rate is None else rate)
        return bind(self.field, eta)


def adapt_weights(
    field: Any,
    points: RatePoints,
    *,
    steps: int = 50,
    rate: Any = None,
    learned: LearnedSteps | None = None,
) -> Any:
    r"""Fit all trained weights of a field to few points, by gradient steps.

    $$ \theta_{l+1} = \theta_l - P\,\nabla L(\theta_l), \qquad l = 0..steps-1 $$

    with P of `learned` times `rate` (default 1), or Adam at `rate` (default 0.01). To
    be mapped and compiled by the caller.

    **Arguments:** `points` of one kind of system.
    **Returns:** the field with other weights; what is conserved or dissipated by its
    construction still is.
    **Source:** Finn, Abbeel, Levine 2017, arXiv:1703.03400.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import *
    >>> from pendula.nn import MLP
    >>> net = MLP(2, 1, width=8, depth=1, key=jax.random.key(0))
    >>> field = Hamiltonian((Learned(net, SlotScale.unit(2, 1), (0, 1)),), n=1)
    >>> y = jax.random.normal(jax.random.key(1), (20, 2))
    >>> spring = RatePoints.of(y, jnp.stack([y[:, 1], -y[:, 0]], 1))
    >>> new = adapt_weights(field, spring, steps=50, rate=0.03)
    >>> bool(rate_loss(new, spring) < 0.5 * rate_loss(field, spring))
    True

    ```
    """
    weights, rest = split_trainable(field)
    loss = lambda _, w, item: rate_loss(eqx.combine(w, rest), item)
    if learned is None:
        rate = 0.01 if rate is None else rate
        return eqx.combine(_by_adam(loss, weights, points, steps, rate), rest)
    scale = 1.0 if rate is None else rate
    move = lambda p, g: jax.tree.map(lambda s: scale * s, p(g))
    new, _ = inner_descent(loss, learned, weights, points, steps, move)
    return eqx.combine(new, rest)


def _by_adam(loss: Any, start: Any, item: Any, steps: int, rate: Any) -> Any:
    """Adam at a constant rate, which may be traced."""
    adam = optax.adam(1.0)

    def once(carry: tuple, _: Any) -> tuple[tuple, None]:
        now, state = carry
        slope = jax.grad(loss, 1)(None, now, item)
        # Optax mixes its int32 counter with Python floats
        with jax.numpy_dtype_promotion("standard"):
            step, state = adam.update(slope, state)
        return (jax.tree.map(lambda x, s: x + rate * s, now, step), state), None

    return jax.lax.scan(once, (start, adam.init(start)), None, length=steps)[0][0]


def cross_fit(
    field: Any, points: RatePoints, config: CrossConfig | None = None
) -> CrossStart:
    r"""Meta-train the weights of a field over kinds of systems.

    $$ \min_{\theta, P} \frac1N \sum_i L_i^q(\theta_m^i), \qquad
       \theta_{l+1}^i = \theta_l^i - P\,\nabla L_i^s(\theta_l^i), \quad
       \theta_0^i = \theta $$

    over random points s and q of every kind i: where a descent of m steps on a few
    points leads to a field that holds at others. `first_order` leaves out how the
    slopes depend on theta; what P and the start do is still learned.

    **Arguments:** `field`: any field with trained weights, `Hamiltonian` and
    `PortHamiltonian` keep their structure while the weights move; its networks are
    conditioned (`pendula.nn.conditioned`) in mode `latent` only. `points`
    `"kind point dim"`: kinds with fewer coordinates fill a common state, see
    `RatePoints`.
    **Returns:** `CrossStart`; `start.adapt(points)` is the field of a new kind.
    **Raises:** `DataError` for fewer than two kinds, `ConfigError`.
    **Behaviour / good values:** smooth activations; tens of kinds, or few kinds with
    several values of their constants; thousands of updates, which take a minute or
    two on one core at width 32.
    **Source:** Finn, Abbeel, Levine 2017, arXiv:1703.03400; of Hamiltonians: Song,
    Jeong 2024, arXiv:2212.01168.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import *
    >>> from pendula.nn import MLP
    >>> net = MLP(2, 1, width=8, depth=1, key=jax.random.key(0))
    >>> field = Hamiltonian((Learned(net, SlotScale.unit(2, 1), (0, 1)),), n=1)
    >>> y = jax.random.normal(jax.random.key(1), (3, 100, 2))
    >>> k = jnp.array([0.5, 1.0, 2.0])[:, None]
    >>> springs = RatePoints.of(y, jnp.stack([y[..., 1], -k * y[..., 0]], -1))
    >>> start = cross_fit(field, springs, CrossConfig(updates=20))
    >>> new = start.adapt(RatePoints.of(y[0], springs.rates[0]), steps=5)
    >>> new(0.0, y[0, 0], None, None).shape
    (2,)

    ```
    """
    config = CrossConfig() if config is None else config
    if points.states.ndim != 3 or points.states.shape[0] < 2:
        raise DataError(
            "meta-training needs points of two kinds of systems or more, as arrays "
            "(kind, point, dim). Fit one kind by adapt_weights."
        )
    eta_size = _eta_size(field, config.mode == "latent")
    weights, rest = split_trainable(field)
    loss = lambda _, w, item: rate_loss(eqx.combine(w, rest), item)
    objective, params = _objective(loss, weights, rest, points, config, eta_size)
    spread = points.spread()
    adam = adam_cosine(config.lr, config.updates)
    inner = max(1, config.updates // 50)  # updates a row
    step = gradient_step(objective, adam, inner=inner)
    state = TrainState.start(
        params, init_opt(adam, params), jax.random.key(config.seed)
    )
    losses = []
    for _ in range(-(-config.updates // inner)):
        state, info = step(state, (points, spread))
        losses.append(info["loss"])
    first, second = state.params
    history = jnp.stack(losses)
    if config.mode == "latent":
        eta = jnp.mean(second, axis=0)
        return CrossStart(eqx.combine(first, rest), None, eta, history)
    return CrossStart(eqx.combine(second, rest), first, None, history)


def _eta_size(field: Any, latent: bool) -> int:
    """Entries of eta that the networks take, 0 where they take none."""
    is_one = lambda node: isinstance(node, AbstractConditioned)
    leaves = jax.tree.leaves(field, is_leaf=is_one)
    sizes = {node.eta_size for node in leaves if isinstance(node, AbstractConditioned)}
    if len(sizes) != int(latent):
        raise ConfigError(
            "mode latent needs networks that depend on one eta "
            "(pendula.nn.conditioned), the other modes networks that do not. Build the "
            "field for its mode."
        )
    return sizes.pop() if sizes else 0


def _objective(
    loss: Any,
    weights: Any,
    rest: Any,
    points: RatePoints,
    config: CrossConfig,
    eta_size: int,
) -> tuple[Any, Any]:
    """The loss of `gradient_step` and what it trains, as a pair."""
    number = points.states.shape[0]

    def draw(batch: Any, key: PRNGKeyArray, sets: int) -> tuple[Array, list]:
        of, spread = batch
        pick, *ways = jax.random.split(key, 1 + sets)
        which = jax.random.randint(pick, (config.kinds,), 0, number)
        count, noise = config.points, config.noise
        return which, [of.drawn(which, count, noise, w, spread) for w in ways]

    if config.mode == "joint":

        def joint(pair: Any, batch: Any, key: PRNGKeyArray) -> Array:
            _, (items,) = draw(batch, key, 1)
            each = jax.vmap(lambda item: loss(None, pair[1], item))
            return jnp.mean(each(items))

        return joint, (None, weights)
    if config.mode == "latent":
        member = lambda w, eta, item: rate_loss(bind(eqx.combine(w, rest), eta), item)

        def latent(pair: Any, batch: Any, key: PRNGKeyArray) -> Array:
            which, (items,) = draw(batch, key, 1)
            return mean_loss(member)((pair[0], pair[1][which]), items, key)

        shape = (number, eta_size)
        key = jax.random.key(config.seed + 1)
        etas = 0.1 * jax.random.normal(key, shape, points.states.dtype)
        return latent, (weights, etas)
    after = second_order(
        loss,
        config.inner_steps,
        lambda steps, slope: steps(slope),
        hold=config.mode == "first_order",
    )

    def meta(pair: Any, batch: Any, key: PRNGKeyArray) -> Array:
        _, (support, query) = draw(batch, key, 2)
        return after(pair, (support, query), key)

    return meta, (LearnedSteps.start(weights, config.inner_rate), weights)
