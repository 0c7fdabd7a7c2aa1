"""Where a field is measured: on a circle around a body, or where it varies most."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, ShapeError
from ..data import Snapshots


def wall_sensors(
    data: Snapshots,
    count: int,
    *,
    key: PRNGKeyArray,
    centre: tuple[float, float] = (0.0, 0.0),
    radius: float = 36.0,
) -> Int[np.ndarray, " p"]:
    """Cells drawn from the half circle behind a body, without replacement.

    **Arguments:**
    - `data`: snapshots on a plane grid, of which the first axis is along the stream.
    - `count`: p, how many.
    - `centre`: of the circle, in the units of the axes; `radius`: in cells of the
      first axis. The cells whose distance rounds to it, not upstream of the centre,
      are those drawn from: with the cylinder of 25 cells radius the circle lies 11
      cells off its wall.

    **Returns:** places in the rows of `data.flat()` (of the first channel).
    **Raises:** `ShapeError` for another grid; `ConfigError` for fewer than one sensor;
    `DataError` when the circle has fewer cells in the domain.
    **Source:** Erichson et al. 2020, section 4.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.data import Snapshots
    >>> from pendula.latent import wall_sensors
    >>> axes = {"x": np.arange(50.0), "y": np.arange(-40.0, 41.0)}
    >>> flow = Snapshots.of(range(2), np.ones((2, 50, 81)), axes=axes)
    >>> at = wall_sensors(flow, 5, key=jax.random.key(0))
    >>> x, y = np.divmod(at, 81)
    >>> np.round(np.hypot(x, y - 40)).tolist()
    [36.0, 36.0, 36.0, 36.0, 36.0]

    ```
    """
    if len(data.axes) != 2:
        raise ShapeError(
            f"wall sensors on the axes {', '.join(data.axes)}; expected two of them."
        )
    along, across = (np.asarray(x, np.float64) for x in data.axes.values())
    cell = abs(float(np.mean(np.diff(along))))
    x = (along[:, None] - centre[0]) / cell
    y = (across[None, :] - centre[1]) / cell
    on = (np.abs(np.hypot(x, y) - radius) <= 0.5) & (x >= -1e-6)
    places = np.flatnonzero(on[data.mask])
    if whole(1, count=count) > len(places):
        raise DataError(
            f"{count} sensors on a half circle of {radius:g} cells, which has "
            f"{len(places)} cells in the domain. Change count, centre or radius."
        )
    chosen = jax.random.choice(key, len(places), (count,), replace=False)
    return np.sort(places[np.asarray(chosen)])


def leverage_sensors(
    modes: ArrayLike, count: int, *, key: PRNGKeyArray
) -> Int[np.ndarray, " p"]:
    r"""Cells drawn without replacement, by the share that they have in the modes.

    $$ P(x) = \frac1T \sum_{k=1}^T V_k(x)^2 $$

    **Arguments:** `modes`: V `"m T"`, orthonormal modes of the **training** snapshots
    (`pod`, or the basis of a codec); `count`: p.
    **Raises:** `ShapeError`, `ConfigError`.
    **Source:** Erichson et al. 2020, section 4.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.latent import leverage_sensors
    >>> modes = np.eye(6)[:, :2]  # nothing moves in the last four cells
    >>> leverage_sensors(modes, 2, key=jax.random.key(0)).tolist()
    [0, 1]

    ```
    """
    share = leverage(modes)
    seen = int(np.sum(share > 0))
    if whole(1, count=count) > seen:
        raise ConfigError(
            f"{count} sensors, but the modes are not 0 in {seen} cells. Take 1 to "
            f"{seen}."
        )
    weights = jnp.asarray(share.astype(np.float32))
    chosen = jax.random.choice(key, len(share), (count,), replace=False, p=weights)
    return np.sort(np.asarray(chosen))


def leverage(modes: ArrayLike) -> Float[np.ndarray, " m"]:
    """The share of every cell in orthonormal modes `"m T"`; their sum is 1.

    **Raises:** `ShapeError`.
    """
    v = np.asarray(modes)
    if v.ndim != 2 or v.shape[1] > v.shape[0]:
        raise ShapeError(f"modes of shape {v.shape}; expected (m, T) with T at most m.")
    squares = np.square(v.astype(np.float64)).sum(axis=1)
    return squares / squares.sum()


def checked_sensors(sensors: ArrayLike, size: int) -> Int[np.ndarray, " p"]:
    """Places in rows of `size` numbers. **Raises:** `ConfigError`."""
    at = np.asarray(sensors)
    if at.ndim != 1 or not len(at) or at.dtype.kind not in "iu":
        raise ConfigError(
            f"sensors of shape {at.shape} and type {at.dtype}; expected whole numbers "
            "(p,), places in a row of the field."
        )
    if at.min() < 0 or at.max() >= size or len(set(at.tolist())) < len(at):
        raise ConfigError(
            f"sensors at {at.tolist()} of a field of {size} numbers; expected "
            f"different places from 0 to {size - 1}."
        )
    return at.astype(np.int64)
