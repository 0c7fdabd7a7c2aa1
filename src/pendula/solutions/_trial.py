"""What all trial networks are: features of a point, and a linear map of them."""

from __future__ import annotations

import abc
from typing import TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import DataError, ShapeError
from .._precision import precision
from ._dense import Dense
from ._embedding import Embedding


class AbstractTrial(eqx.Module):
    r"""A network that may be the solution of a differential equation.

    $$ u(x) = W \Phi(x) + b $$

    All points are one batch: its layers are products of matrices. Row i depends on
    point i alone, and all of it can be differentiated by slopes and by jets.

    **Shapes and units:** input `"point coord"` in the units of the axes, output
    `"point field"` in those of the fields.
    """

    embedding: eqx.AbstractVar[Embedding]
    """What it sees of a point."""
    last: eqx.AbstractVar[Dense]
    """The linear map to the fields."""

    @abc.abstractmethod
    def features(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        """What the last layer sees."""

    def __call__(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point field"]:
        """The fields at each point."""
        return self.last(self.features(points))


Trial = TypeVar("Trial", bound=AbstractTrial)


@eqx.filter_jit
def _features(net: AbstractTrial, points: Array) -> Array:
    """The features, by one program."""
    return net.features(points)


def fit_last_layer(net: Trial, points: ArrayLike, values: ArrayLike) -> Trial:
    r"""The network whose last layer fits some values best; all else stays.

    $$ \min_{W, b} \sum_i |W \Phi(x_i) + b - u_i|^2 $$

    Directions of feature space below the rounding of the network's numbers are left
    out, and of all best fits the smallest is taken. A fresh `PirateNet` is linear in
    its embedding: this is its physics-informed initialisation. To start from an
    initial condition alone, give its values at points of all times.

    **Shapes and units:** `points` `"point coord"`, `values` `"point field"`, in the
    units of the network.
    **Arguments:**
    - `net`: any trial network.
    - `points`, `values`: finite, at least one; more points than features for a fit
      that means something between them.

    **Returns:** the network, in its own dtype.
    **Raises:** `ShapeError` for arrays that do not fit the network or each other,
    `DataError` for values that are not finite.
    **Source:** Wang, Li, Chen, Perdikaris 2024 (PirateNets), on physics-informed
    initialisation.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Axis, build, fit_last_layer
    >>> axes = (Axis(0.0, 2.0, periodic=True),)
    >>> net = build("pirate", axes, 1, width=8, fourier=0, key=jax.random.key(0))
    >>> x = jnp.linspace(0.0, 2.0, 50)[:, None]
    >>> net = fit_last_layer(net, x, 3.0 * jnp.sin(jnp.pi * x) - 1.0)
    >>> round(float(net(jnp.full((1, 1), 0.5))[0, 0]), 3)
    2.0

    ```
    """
    dtype = np.dtype(net.last.weight.dtype)
    x, u = np.asarray(points, dtype), np.asarray(values, np.float64)
    _check(net, x, u)
    with precision(dtype):
        phi = np.asarray(_features(net, jnp.asarray(x)), np.float64)
        phi = np.concatenate([phi, np.ones((len(phi), 1))], axis=1)
        # In float64 on the host: the normal matrix of waves is all but singular, and
        # what is below the features' own rounding is noise.
        cut = max(phi.shape) * float(np.finfo(dtype).eps)
        found = np.linalg.lstsq(phi, u, rcond=cut)[0]
        matrix, bias = jnp.asarray(found[:-1].T, dtype), jnp.asarray(found[-1], dtype)
        last = net.last.with_matrix(matrix, bias)
    return eqx.tree_at(lambda n: n.last, net, last)


def _check(net: AbstractTrial, x: np.ndarray, u: np.ndarray) -> None:
    """Refuse arrays that do not fit before anything is computed."""
    coords, fields = net.embedding.coords, net.last.weight.shape[0]
    if x.ndim != 2 or x.shape[1] != coords or not len(x):
        raise ShapeError(
            f"fit_last_layer: points have shape {x.shape}; the network takes (points, "
            f"{coords}), at least one. Give one row for each point."
        )
    if u.shape != (len(x), fields):
        raise ShapeError(
            f"fit_last_layer: values have shape {u.shape}; {len(x)} points and "
            f"{fields} fields need {(len(x), fields)}. Give one row for each point."
        )
    for name, array in (("points", x), ("values", u)):
        if not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(array).all(axis=1)))
            raise DataError(
                f"fit_last_layer: {name} hold NaN or infinity, first in row {row}. "
                "Leave such rows out."
            )
