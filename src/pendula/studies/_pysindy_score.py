"""One score for both sides of part `vs_pysindy`: free runs from given states."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._precision import cast, precision
from ..data import Trajectories
from ..dynamics import Library, Model, refine_start


CAP = 10.0  # spreads: what a run counts for that leaves the finite numbers


def law_models(library: Library, found: list[np.ndarray], substeps: int) -> Model:
    """Models of first order, stacked, from coefficients in the data's units; what is
    not known of the state (the second channel of one that is observed) runs along."""
    dim = library.coefficients.shape[1]
    one = [
        Model(library.with_physical(c), tuple(range(dim)), dim, substeps=substeps)
        for c in found
    ]
    return jax.tree.map(lambda *xs: np.stack([np.asarray(x) for x in xs]), *one)


def free_run_errors(models: Model, truth: Trajectories) -> np.ndarray:
    """RMSE `"model"` of free runs from the first states of noiseless records.

    Every channel counts in standard deviations of the truth, and a run for at most
    ten, which is what one counts for that leaves the finite numbers.
    """
    starts = np.zeros((truth.num, models.dim))
    starts[:, list(models.observed)] = truth.ys[:, 0]
    weight = 1.0 / truth.ys.std(axis=(0, 1))
    with precision(np.float64):
        batch = jax.tree.map(jnp.asarray, truth.full(np.float64))
        models = jax.tree.map(jnp.asarray, cast(models, np.float64))
        squares = _squares(models, jnp.asarray(starts), batch, jnp.asarray(weight))
        squares = np.asarray(squares)
    squares = np.where(np.isfinite(squares), squares, np.inf)
    return np.sqrt(np.minimum(squares, CAP**2).mean(axis=1))


@eqx.filter_jit
def _squares(models: Model, starts: Any, batch: Any, weight: Any) -> Any:
    def run(model: Model, y0: Any, item: Any) -> Any:
        ys = model.steps(y0, item.t0, item.dts, refine=2).ys
        error = (jax.vmap(model.observe)(ys) - item.ys) * weight[None]
        return jnp.mean(error[1:] ** 2)

    each = lambda model: jax.vmap(lambda y0, item: run(model, y0, item))(starts, batch)
    return eqx.filter_vmap(each, in_axes=(eqx.if_array(0),))(models)


def fitted_start_runs(
    models: Model, data: Trajectories, guess: np.ndarray, until: float
) -> np.ndarray:
    """Free runs `"model time"` of the first channel of one record, each from the state
    that fits its samples up to `until` best."""
    with precision(np.float64):
        item = jax.tree.map(lambda x: jnp.asarray(x[0]), data.full(np.float64))
        seen = np.asarray(item.mask) & (data.ts[0] <= until)[:, None]
        item = eqx.tree_at(lambda i: i.mask, item, jnp.asarray(seen))
        models = jax.tree.map(jnp.asarray, cast(models, np.float64))
        return np.asarray(_runs(models, item, jnp.asarray(guess)))


@eqx.filter_jit
def _runs(models: Model, item: Any, guess: Any) -> Any:
    def one(model: Model) -> Any:
        y0, _, _ = refine_start(model, guess, item)
        return model.steps(y0, item.t0, item.dts).ys[:, 0]

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0),))(models)
