"""A chain of bars as a model of motion, and the coordinates of its records."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data import Trajectories
from ..systems import bars_of
from ._bars import pair_coordinates
from ._chain_records import Records
from ._field import AbstractField, SecondOrder
from ._model import Model


def bar_model(chain: AbstractField, bars: int, substeps: int = 5) -> Model:
    """A chain, or any other accelerations of bars, as a model of motion: bars and
    rates observed, leapfrog."""
    n = 3 * bars
    field = SecondOrder(chain, n)
    return Model(field, tuple(range(2 * n)), 2 * n, "leapfrog", substeps)


def bar_records(data: Trajectories) -> Records:
    """Records of bars of equal times. **Raises:** as `Records.of`."""
    return Records.of(data, bars_of, 3, 3)


def visited(train: Records) -> Float[np.ndarray, "triplet 6"]:
    """The coordinates of all triplets of the records."""
    half = train.ys.shape[2] // 2
    flat = train.ys[..., :half].reshape(-1, train.count, 3)
    return inner_triplets(flat).reshape(-1, 6)


def inner_triplets(
    u: Float[np.ndarray, "*lead bar 3"],
) -> Float[np.ndarray, "*lead inner 6"]:
    """The coordinates of both pairs of each inner bar, in float32."""
    left, right = (jnp.asarray(x, jnp.float32) for x in (u[..., :-1, :], u[..., 1:, :]))
    pairs = np.asarray(pair_coordinates(left, right))
    return np.concatenate([pairs[..., :-1, :], pairs[..., 1:, :]], axis=-1)
