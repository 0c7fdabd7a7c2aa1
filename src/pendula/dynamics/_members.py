"""The members of a fit before training, and the fit once they are trained."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import ConfigError, DivergedError
from .._precision import to_host
from .._tree import member, num_parameters, reinitialise, split_trainable
from ._build import build_model, equation
from ._config import FitConfig, to_dict
from ._fitted import Fitted
from ._learned import Learned
from ._model import Model
from ._prepare import Prepared, observed_spread


def make_members(
    model: Model | None, prepared: Prepared, config: FitConfig, method: str
) -> Any:
    """The stacked ensemble: fresh weights for each, and prior precisions spread
    over the members (Levenberg-Marquardt)."""
    if model is not None:
        _check_fits(model, prepared)
    count = config.train.members
    spread = np.ones(count)
    if method == "levenberg" and count > 1:
        spread = np.geomspace(
            config.train.spread**-0.5, config.train.spread**0.5, count
        )
    made = []
    for i in range(count):
        key = jax.random.fold_in(jax.random.key(config.seed), i)
        if model is None:
            one = build_model(
                config.model,
                prepared.plan,
                prepared.ranges,
                prepared.substeps,
                key,
                prepared.guesses,
            )
        else:
            one = reinitialise(model, key)
        made.append(_with_precision(one, float(spread[i])))
    dtype = jnp.zeros(()).dtype
    made = [
        jax.tree.map(
            lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x, m
        )
        for m in made
    ]
    return jax.tree.map(lambda *xs: jnp.stack(xs), *made)


def _check_fits(model: Model, prepared: Prepared) -> None:
    """A model of the caller's must have the state that the data are read as."""
    plan = prepared.plan
    if (model.dim, model.observed) != (plan.dim, plan.observed):
        raise ConfigError(
            f"the model has a state of size {model.dim} and observes entries "
            f"{list(model.observed)}; the data are read as a state "
            f"({', '.join(plan.state_names)}) with {list(plan.observed)} observed. "
            "Choose model.order, or give the model that state."
        )
    if num_parameters(model) == 0:
        raise ConfigError(
            "the model has nothing to find: no network, no free constant."
        )


def _with_precision(model: Model, factor: float) -> Model:
    is_slot = lambda n: isinstance(n, Learned)

    def scaled(node: Any) -> Any:
        if is_slot(node):
            return eqx.tree_at(
                lambda s: s.scale.precision, node, node.scale.precision * factor
            )
        return node

    return jax.tree.map(scaled, model, is_leaf=is_slot)


def package(
    prepared: Prepared, config: FitConfig, ensemble: Model, dtype: Any, method: Any
) -> Fitted:
    """The ensemble with what must be known to use it."""
    host = to_host(ensemble)
    finite = [
        all(np.isfinite(x[i]).all() for x in jax.tree.leaves(split_trainable(host)[0]))
        for i in range(config.train.members)
    ]
    if not any(finite):
        raise DivergedError(
            "no member of the ensemble is finite after training. Lower --train.lr, "
            "shorten the clips (--train.clips), or inspect the data for outliers."
        )
    p = prepared
    period = p.period if np.isfinite(p.period) else 0.0
    step = p.sampling * p.every
    history = (
        max(3.0 * period, 24 * step)
        if method == "levenberg"
        else max(period, 16 * step)
    )
    shortest = float((p.train.ts[:, -1] - p.train.ts[:, 0]).min())
    about = {
        "members": config.train.members,
        "dtype": dtype.name,
        "method": method,
        "names": list(p.train.names),
        "units": list(p.train.units),
        "angle": list(p.train.angle),
        "time_unit": p.train.time_unit,
        "input_names": list(p.train.input_names),
        "input_units": list(p.train.input_units),
        "input_kind": p.train.input_kind,
        "licence": p.train.licence,
        "layout": p.plan.to_dict(),
        "state": list(p.plan.state_names),
        "terms": equation(config.model, p.plan),
        "parameters": num_parameters(member(host, 0)),
        "every": p.every,
        "step": step,
        "period": period,
        "history": min(history, 0.5 * shortest),
        "spread": observed_spread(p.train).tolist(),
        "noise": np.nan_to_num(p.noise).tolist(),
        "config": to_dict(config),
        "seed": config.seed,
        "train_end": float(p.train.ts.max()),
    }
    return Fitted(host, about)
