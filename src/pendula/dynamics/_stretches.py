"""How well models follow stretches of data whose start states are fitted."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import DataError
from .._precision import cast, precision
from ..data import Trajectories
from ._field import SecondOrder
from ._layout import Layout
from ._model import Model
from ._prepare import estimate_states, observed_spread
from ._stages import start_states
from ._start import refine_start


WORST = 10.0  # spreads: what a stretch counts for that cannot be followed
PARTS = (8, 4, 2)  # of a stretch, on which its start is looked for one after the other


def stretch_errors(
    models: Model,
    data: Trajectories,
    duration: float,
    spread: Float[np.ndarray, "obs"] | None = None,
) -> Float[np.ndarray, "model"]:
    r"""Errors of several models on the same data, the start of every stretch fitted.

    $$ e = \Big(\frac1N \sum_s \min\big(10^2, \min_{y_0} \tfrac{1}{n_s - d}
       |y(t; y_0) - o|^2\big)\Big)^{1/2} $$

    over N stretches of n_s values, d the size of a state. Measured start states would
    add their noise to every error, the same for good models and bad ones. A start is
    looked for on all of a stretch, and on beginnings of it that grow: where motions
    part, as beside a saddle, the first way ends in another minimum.

    **Arguments:** `models`: one `Model` whose arrays carry a leading axis; `data`: the
    stretches are cut from these; `duration`: of a stretch, in units of time (all of a
    shorter record); `spread`: sizes of the channels that errors are measured in
    (default: their standard deviations here).
    **Raises:** `DataError` when the state at the start of a stretch is nowhere known.
    """
    step = float(np.median(np.diff(data.ts, axis=1)[data.mask[:, 1:].any(-1)]))
    longest = int(data.lengths.max())
    length = int(np.clip(round(duration / step) + 1, 2, longest))
    dtype = np.dtype(np.float64)
    size = observed_spread(data) if spread is None else spread
    with precision(dtype):
        host = data.clips(length, dtype=dtype)
        starts = start_states(
            estimate_states(data, layout_of(models, data)), host, dtype
        )
        good = np.isfinite(starts).all(1)
        if not good.any():
            raise DataError(
                "no stretch begins where the whole state is known: every channel must "
                "be measured around the beginnings of some stretches."
            )
        items = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)[good]), host)
        weight = 1.0 / jnp.asarray(np.where(size > 0, size, 1.0))
        models = jax.tree.map(jnp.asarray, cast(models, dtype))
        return np.asarray(_errors(models, items, jnp.asarray(starts[good]), weight))


@eqx.filter_jit
def _errors(models: Model, items: object, starts: Array, weight: Array) -> Array:
    def square(model: Model, guess: Array, item: Any) -> Array:
        both = jnp.stack([guess, _grown(model, guess, item, weight)])
        _, _, found = jax.vmap(lambda g: refine_start(model, g, item, weight))(both)
        found = jnp.where(jnp.isnan(found), jnp.inf, found)
        return jnp.minimum(jnp.min(found), WORST**2)

    def one(model: Model) -> Array:
        return jnp.sqrt(
            jnp.mean(jax.vmap(lambda g, i: square(model, g, i))(starts, items))
        )

    return eqx.filter_vmap(one, in_axes=(eqx.if_array(0),))(models)


def _grown(model: Model, guess: Array, item: Any, weight: Array) -> Array:
    """The start that beginnings of a stretch lead to, each from that of the one before;
    the guess where they lead nowhere."""
    length = item.mask.shape[0]
    index = jnp.arange(length)

    def more(now: Array, count: Array) -> tuple[Array, None]:
        seen = item.mask & (index < count)[:, None]
        part = eqx.tree_at(lambda i: i.mask, item, seen)
        return refine_start(model, now, part, weight)[0], None

    counts = jnp.asarray([-(-length // part) for part in PARTS])
    found, _ = jax.lax.scan(more, guess, counts)
    return jnp.where(jnp.isfinite(found).all(), found, guess)


def layout_of(model: Model, data: Trajectories) -> Layout:
    """Which channels a model reads as positions, velocities and the rest."""
    n = model.field.n if isinstance(model.field, SecondOrder) else 0
    channel = {entry: j for j, entry in enumerate(model.observed)}
    return Layout(
        tuple(channel[i] for i in range(n)),
        tuple(channel.get(n + i) for i in range(n)),
        tuple(channel[i] for i in range(2 * n, model.dim)),
        data.names,
    )
