"""A law of bending that is not linear: stiffness as a function of the curvature."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError


class BendingLaw(eqx.Module):
    r"""Bending stiffness over EI at curvatures 0, h, 2h, .. from rest, a line between
    them, constant beyond, even.

    $$ \psi''(\kappa) = \sum_j k_j \Lambda_j(|\kappa|/h), \quad
       E = \sum EI\, \bar l\, \psi(\kappa) $$

    The moment $\psi'$ is a quadratic spline and the energy a cubic one, exact integrals
    of the stiffness; where all $k_j > 0$ the energy is convex. kappa1 and kappa2 follow
    it each by itself: right for a strip, and for motion in a plane in which the
    directors lie or on which they stand upright (`directors` of `from_points`; by
    default that of a rod along an axis which sinks along another). Twist stays linear.
    **Shapes and units:** `stiffness` k `"knot"`; `spacing` h [1/m].
    **Raises:** `ConfigError` for fewer than 2 knots, or values that are not positive.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.systems import BendingLaw
    >>> law = BendingLaw(jnp.asarray([1.0, 3.0]), 2.0)  # psi'' = 1 + |kappa| up to 2
    >>> [float(x) for x in law.parts(jnp.asarray(-1.0))]
    [0.6666666865348816, -1.5, 2.0]

    ```
    """

    stiffness: Float[Array | np.ndarray, "knot"]
    spacing: Any

    def __check_init__(self) -> None:
        if self.stiffness.ndim != 1 or len(self.stiffness) < 2:
            raise ConfigError(
                f"stiffness has shape {self.stiffness.shape}; a law of bending has at "
                "least 2 knots."
            )
        try:
            values = np.append(np.asarray(self.stiffness), np.asarray(self.spacing))
        except jax.errors.TracerArrayConversionError:
            return  # unknown inside a transformation
        if not (np.isfinite(values) & (values > 0.0)).all():
            raise ConfigError(
                "stiffness and spacing of a law of bending must be above 0; "
                f"found {values.tolist()}."
            )

    def parts(self, kappa: Float[Array, "*any"]) -> tuple[Array, Array, Array]:
        """Energy, moment and stiffness over EI at curvatures from rest [1/m]."""
        k = jnp.asarray(self.stiffness, kappa.dtype)
        h = jnp.asarray(self.spacing, kappa.dtype)
        rise = jnp.pad(jnp.diff(k), (0, 1))  # beyond the last knot it stays
        # moment and energy at the knots
        none = jnp.zeros((1,), k.dtype)
        added = h * 0.5 * (k[1:] + k[:-1])
        moment = jnp.concatenate([none, jnp.cumsum(added)])
        added = h * moment[:-1] + h * h * (k[:-1] / 2.0 + rise[:-1] / 6.0)
        energy = jnp.concatenate([none, jnp.cumsum(added)])
        side = jnp.where(kappa < 0.0, -1.0, 1.0).astype(kappa.dtype)  # at 0 too
        away = side * kappa
        j = jnp.clip(jnp.floor(away / h).astype(int), 0, len(k) - 1)
        t = away - h * j.astype(kappa.dtype)
        k0, r, m0, e0 = k[j], rise[j] / h, moment[j], energy[j]
        psi = e0 + t * (m0 + t * (k0 / 2.0 + t * r / 6.0))
        return psi, side * (m0 + t * (k0 + t * r / 2.0)), k0 + t * r
