"""A chain of bars as a model of motion, and the coordinates of its records."""

from __future__ import annotations

import warnings

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import DataWarning
from ..data import Trajectories
from ..systems import bars_of
from ._bars import pair_coordinates
from ._chain_records import Records
from ._field import AbstractField, SecondOrder
from ._model import Model


# how many times as far as they went bars may go by their rates: sums of samples far
# apart are rough, other units are far off
ALIKE = (0.2, 5.0)
APART = 4.0  # m: places are counted from a multiple of this near them


def bar_model(chain: AbstractField, bars: int, substeps: int = 5) -> Model:
    """A chain, or any other accelerations of bars, as a model of motion: bars and
    rates observed, leapfrog."""
    n = 3 * bars
    field = SecondOrder(chain, n)
    return Model(field, tuple(range(2 * n)), 2 * n, "leapfrog", substeps)


def bar_records(data: Trajectories) -> Records:
    """Records of bars of equal times. **Raises:** as `Records.of`."""
    return Records.of(data, bars_of, 3, 3)


def warn_of_rates(records: Records, radius: float) -> None:
    """Warn of rates that are none of the positions beside them: in another unit, of
    other times, or not measured at all."""
    half = records.ys.shape[2] // 2
    size = np.tile([1.0, 1.0, radius], records.count)
    u, v = records.ys[..., :half] * size, records.ys[..., half:] * size
    steps = 0.5 * (v[:, 1:] + v[:, :-1]) * np.diff(records.ts)[None, :, None]
    told, went = np.cumsum(steps, axis=1), u[:, 1:] - u[:, :1]
    ways = [float(np.sqrt(np.mean(way**2))) for way in (told, went)]
    if not ALIKE[0] * ways[1] <= ways[0] <= ALIKE[1] * ways[1]:
        warnings.warn(
            f"by their rates the bars go {ways[0]:.2g} m, by their positions "
            f"{ways[1]:.2g} m (root mean squares). Look at the unit of the times, and "
            "give rates in m/s and rad/s.",
            DataWarning,
            stacklevel=3,
        )


def visited(train: Records) -> Float[np.ndarray, "triplet 6"]:
    """The coordinates of all triplets of the records."""
    half = train.ys.shape[2] // 2
    flat = train.ys[..., :half].reshape(-1, train.count, 3)
    return inner_triplets(flat).reshape(-1, 6)


def inner_triplets(
    u: Float[np.ndarray, "*lead bar 3"],
) -> Float[np.ndarray, "*lead inner 6"]:
    """The coordinates of both pairs of each inner bar, in float32."""
    # single precision would lose the few millimetres between bars far from 0
    near = APART * np.round(np.asarray(u[..., :1, :2], np.float64) / APART)
    u = u - np.pad(
        np.where(np.isfinite(near), near, 0.0), [(0, 0)] * (u.ndim - 1) + [(0, 1)]
    )
    left, right = (jnp.asarray(x, jnp.float32) for x in (u[..., :-1, :], u[..., 1:, :]))
    pairs = np.asarray(pair_coordinates(left, right))
    return np.concatenate([pairs[..., :-1, :], pairs[..., 1:, :]], axis=-1)
