"""Fits of stochastic models: maximum a posteriori by the likelihood of innovations."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import fields_at_least
from .._errors import ConfigError, DataError, DivergedError, FitWarning
from .._precision import cast, precision, to_host
from .._tree import prior_residual, reinitialise, trainable
from ..data import Batch, Scales, Trajectories
from ..nn import MLP
from ..train import (
    KeepBest,
    Step,
    TrainState,
    adam_cosine,
    finish,
    gradient_step,
    init_opt,
    run,
)
from ._kalman import Stochastic, filtered
from ._layout import check_trajectories
from ._learned import Learned, SlotScale
from ._stochastic import Stationary, Uncertain
from ._stochastic_forecast import FittedStochastic, batch_of


INNER = 25  # updates in one call of the step: small models wait for dispatch
FEW = 5.0  # independent values of a record, below which its climatology is not known


@dataclasses.dataclass(frozen=True)
class StochasticConfig:
    """How `fit_stochastic` builds and trains.

    **Raises:** `ConfigError` for numbers that make no sense.
    """

    hidden: int = 1
    """State entries beyond the observed channels, >= 0: the memory."""
    width: int = 0
    """Neurons of a learned rest of the drift, one layer; 0: a linear drift."""
    prior: float = 1.0
    """Factor on the widths of all priors of a model that is built here, > 0."""
    precision: float = 3.0
    """Prior precision of the learned rest's weights, > 0."""
    noise: float = 0.8
    """Guess at the noise that drives each state entry, scaled units, > 0."""
    error: float = 0.2
    """Guess at the errors of observation, share of a channel's spread, > 0."""
    members: int = 8
    """Size of the ensemble, >= 1; each starts from its own draw of the prior."""
    anchored: bool = True
    """Whether a member's prior is centred on its own draw, so that the members differ
    by what the data leave open; else all share one prior, and the best is kept: the
    maximum a posteriori."""
    steps: int = 1000
    """Updates of Adam, >= 1."""
    lr: float = 0.03
    """Its first rate."""
    substeps: int = 1
    """Linearisations in a sampling interval, for drifts that are not linear."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        fields_at_least(self, hidden=0, width=0, members=1, steps=1, substeps=1)
        for name in ("prior", "precision", "noise", "error", "lr"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value}; it must be > 0.")


def fit_stochastic(
    data: Trajectories,
    model: Stochastic | None = None,
    config: StochasticConfig = StochasticConfig(),
) -> FittedStochastic:
    r"""Fit a stochastic model of motion to noisy, irregular, incomplete data.

    $$ \hat\theta_m = \arg\max_\theta \log p(\mathrm{obs} \mid \theta)
       - \tfrac12 |\pi_m(\theta)|^2 $$

    with the likelihood of the innovations (`filtered`) in float64 and the priors of
    the model's parts. Without a `model` one is built: a `Stationary` field in scaled
    units (channels of mean 0 and spread 1, time of order one), with `hidden` further
    entries and, if `width`, a learned rest. A given model works in the units of the
    data.

    **The ensemble.** A few dozen samples do not determine the parameters. Member m has
    its prior centred on its own draw from the prior (an anchored ensemble): what the
    data tell is the same in all members, what they leave open spreads as the prior
    does, and a forecast is the mixture of all. No validation part is needed.

    **Returns:** `FittedStochastic`, whose `forecast` gives mean and covariance.
    Without a `model`, inputs and a rest it warns (`FitWarning`) of data that are short
    beside the memory of what was found. Not all of them are told: the memory that a
    short record shows is often shorter than the true one.
    **Raises:** `DataError` for fewer than three values in a channel; `ConfigError` for
    a model that does not fit; `DivergedError` when no member is finite.
    **Source:** Sarkka, Solin 2019, chapter 11 (parameters by innovations); Pearce,
    Leibfried, Brintrup 2020 (anchored ensembles).

    ```python
    >>> import numpy as np
    >>> from pendula.data import Trajectories
    >>> from pendula.dynamics import StochasticConfig, fit_stochastic
    >>> rng, x = np.random.default_rng(0), [0.0]
    >>> for _ in range(60):
    ...     x.append(0.8 * x[-1] + 0.6 * rng.normal())
    >>> data = Trajectories.from_arrays(np.arange(61.0), np.array(x))
    >>> quick = StochasticConfig(hidden=0, members=2, steps=200)
    >>> fitted = fit_stochastic(data, config=quick)
    >>> ahead = fitted.forecast(data, start=60.0, until=90.0)
    >>> bool(0.7 < ahead.sd[-1, 0] < 1.4)  # forgets to the spread of 1
    True

    ```
    """
    check_trajectories(data)
    _check(data)
    scales = Scales.fit(data) if model is None else _unscaled(data)
    with precision(np.float64):
        batch = jax.tree.map(jnp.asarray, batch_of(data, scales))
        made = _members(data, model, config)
        trained = _train(made, batch, config)
        scores = np.asarray(_objectives(trained, batch))
        trained = to_host(trained)
    good = np.isfinite(scores)
    if not good.any():
        raise DivergedError(
            "no member of the ensemble has a finite likelihood. Lower lr, or give the "
            "model a start nearer the data."
        )
    keep = np.flatnonzero(good)
    if not config.anchored:
        keep = keep[[np.argmin(scores[keep])]]
    kept = jax.tree.map(lambda x: x[keep] if eqx.is_array(x) else x, trained)
    if model is None and not (data.ctrl or config.width):
        _warn_of_memory(kept, data, scales)
    return FittedStochastic(
        kept,
        scales,
        data.names,
        data.units,
        scores[keep],
        data.input_names,
        data.time_unit,
    )


def _check(data: Trajectories) -> None:
    count = data.mask.sum(axis=(0, 1))
    few = np.flatnonzero(count < 3)
    if len(few):
        raise DataError(
            f'channel "{data.names[few[0]]}" has {count[few[0]]} measured values; a '
            "stochastic fit needs three. Leave the channel out."
        )


def _warn_of_memory(ensemble: Stochastic, data: Trajectories, scales: Scales) -> None:
    r"""Warn of records that are short beside the memory of what was fitted:
    $T / 2 \tau$ values of a record of length T are independent, with $\tau$ the
    integral of their correlation, $-(A^{-1} P)_{ii} / P_{ii}$."""
    last = data.ts[np.arange(data.num), data.lengths - 1]
    length = float(np.sum(last - data.ts[:, 0]) / scales.time)
    with precision(np.float64):
        tau = to_host(_memories(jax.tree.map(jnp.asarray, ensemble.field)))
    tau = np.median(tau, axis=0)[np.asarray(ensemble.observed)]
    longest = int(np.argmax(tau))
    count = length / (2.0 * max(float(tau[longest]), 1e-12))
    if count < FEW:
        warnings.warn(
            f'channel "{data.names[longest]}" has about {count:.2g} independent values '
            "in the data, which are short beside its memory: the mean and the spread "
            "that forecasts come to are hardly known, and their bands too narrow. Give "
            "longer or more records.",
            FitWarning,
            stacklevel=3,
        )


@eqx.filter_jit
def _memories(field: Any) -> Any:
    """The integral of each entry's correlation in each member `"member dim"`."""

    def one(field: Stationary) -> Any:
        spread = field.covariance()
        whole = -jnp.linalg.solve(field.matrix(), spread)
        return jnp.diagonal(whole) / jnp.diagonal(spread)

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0),))(field)


def _unscaled(data: Trajectories) -> Scales:
    zero, one = np.zeros, np.ones
    return Scales(zero(data.dim), one(data.dim), 1.0, zero(data.ctrl), one(data.ctrl))


def _members(
    data: Trajectories, model: Stochastic | None, config: StochasticConfig
) -> Stochastic:
    """The stacked ensemble before training."""
    if model is None:
        model = _build(data, config)
    elif len(model.observed) != data.dim:
        raise ConfigError(
            f"the model observes {len(model.observed)} state entries; the data have "
            f"{data.dim} channels ({', '.join(data.names)}). Give one for each."
        )
    model = jax.tree.map(jnp.asarray, cast(model, np.float64))
    made = []
    for index in range(config.members):
        key = jax.random.fold_in(jax.random.key(config.seed), index)
        drawn = reinitialise(model, key)
        made.append(_anchored(drawn) if config.anchored else drawn)
    return jax.tree.map(lambda *xs: jnp.stack(xs), *made)


def _build(data: Trajectories, config: StochasticConfig) -> Stochastic:
    """The stationary model in scaled units."""
    dim = data.dim + config.hidden
    rest = None
    if config.width:
        size = dim + data.ctrl
        key = jax.random.fold_in(jax.random.key(config.seed), 10_000)
        net = MLP(size, dim, width=config.width, depth=1, key=key, zero_last=True)
        scale = SlotScale.unit(size, dim, config.precision)
        rest = Learned(net, scale, tuple(range(dim)), tuple(range(data.ctrl)))
    field = Stationary.make(
        dim, data.ctrl, width=config.prior, noise=config.noise, rest=rest
    )
    return Stochastic.make(
        field,
        tuple(range(data.dim)),
        dim,
        error=config.error,
        error_sd=0.5 * config.prior,
        substeps=config.substeps,
    )


def _anchored(model: Stochastic) -> Stochastic:
    """The model with its priors centred where it stands."""
    is_raw = lambda node: isinstance(node, Uncertain)

    def centred(node: Any) -> Any:
        if not is_raw(node):
            return node
        return eqx.tree_at(lambda n: n.prior.mean, node, node.value)

    return jax.tree.map(centred, model, is_leaf=is_raw)


def objective(model: Stochastic, batch: Batch) -> Any:
    """Negative log posterior density, up to a constant."""
    told = jax.vmap(lambda item: filtered(model, item).log_likelihood)(batch)
    prior = prior_residual(model)
    return -jnp.sum(told) + 0.5 * jnp.sum(prior * prior)


def _loss(arrays: Any, told: tuple[Any, Batch], key: Any) -> Any:
    """The objective a measured value. What is fixed differs between members (their
    anchors), so it goes along among the arrays, and gets no gradient."""
    static, batch = told
    model = eqx.combine(arrays, static)
    moves, fixed = eqx.partition(model, trainable(model))
    model = eqx.combine(moves, jax.tree.map(jax.lax.stop_gradient, fixed))
    value = objective(model, batch)
    return value / jnp.sum(batch.mask).astype(value.dtype)


@functools.lru_cache(maxsize=8)
def _programs(lr: float, steps: int, members: int) -> tuple[Any, Step, Any]:
    """Optimiser, step and score, so that fits of one shape share their programs."""
    transform = adam_cosine(lr, steps)
    step = gradient_step(_loss, transform, members=members, inner=INNER)
    score = eqx.filter_jit(
        lambda arrays, told: jax.vmap(lambda a: _loss(a, told, None))(arrays)
    )
    return transform, step, score


def _train(ensemble: Stochastic, batch: Batch, config: StochasticConfig) -> Stochastic:
    """All members at once by the one loop; each keeps its best parameters."""
    arrays, static = eqx.partition(ensemble, eqx.is_array)
    told, members = (static, batch), config.members
    transform, step, score = _programs(config.lr, config.steps, members)
    state = TrainState.start(
        arrays,
        init_opt(transform, arrays, members),
        jax.random.key(config.seed),
        members,
    )
    state, _ = run(
        step,
        state,
        told,
        [KeepBest(lambda arrays: score(arrays, told))],
        num_steps=config.steps,
        log_every=4 * INNER,
        inner=INNER,
    )
    return eqx.combine(finish(state), static)


@eqx.filter_jit
def _objectives(ensemble: Stochastic, batch: Batch) -> Any:
    return eqx.filter_vmap(lambda m: objective(m, batch), in_axes=(eqx.if_array(0),))(
        ensemble
    )
