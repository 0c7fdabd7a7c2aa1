"""What keeps neighbouring bars of a chain apart, as a potential of their gaps."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from ..systems import barrier


REACH = 2e-3  # m, beyond which nothing pushes
HINGES = 8
NEAREST = 2e-4  # m, the margin of the rod's contact
BEGIN = 3e-5, 1e-6  # J at no gap of the nearest hinge and of the others
# J and m of the hinge that is not learned: it takes no data to know that cycles do not
# pass through each other
CORE, WITHIN = 3e-4, 1.5e-4


@register("module")
class GapPotential(eqx.Module):
    r"""Potential of a gap d of neighbouring cycles, convex and falling for any weights.

    $$ \varphi(d) = w_0 \max(0, 1 - d/c_0)^3 +
       \sum_{k=1}^{K} e^{a_k} \max(0, 1 - d/c_k)^3 $$

    The first hinge (0.3 mJ within 0.15 mm) keeps gaps open whatever was learned.
    Beyond the farthest corner nothing pushes. Inwards it goes on, ever steeper, where a
    barrier throws out an explicit step that lands in it.

    **Arguments:** `weights` `"hinge"`, the logarithms $a_k$ [of J]; `corners` c
    `"hinge"` [m].

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import GapPotential
    >>> phi = GapPotential.create()(jnp.array([5e-5, 1e-3, 2.1e-3]))
    >>> bool(phi[0] > phi[1] > phi[2]), float(phi[2])
    (True, 0.0)

    ```
    """

    weights: Float[Array | np.ndarray, "hinge"]
    corners: tuple[float, ...] = eqx.field(static=True)

    @classmethod
    def create(cls, hinges: int = HINGES, reach: float = REACH) -> GapPotential:
        """Where a fit begins: a push within 0.2 mm, and a little one from every other
        corner on.

        **Raises:** `ConfigError` for fewer than two hinges or a reach within 0.2 mm."""
        if hinges < 2:
            raise ConfigError(f"hinges is {hinges}; it takes at least two.")
        if not NEAREST < reach < np.inf:
            raise ConfigError(
                f"reach is {reach:g} m; contact begins farther out than {NEAREST:g} m."
            )
        corners = np.geomspace(NEAREST, reach, hinges)
        weights = np.log(np.full(hinges, BEGIN[1]))
        weights[0] = np.log(BEGIN[0])
        return cls(jnp.asarray(weights, jnp.float32), tuple(corners.tolist()))

    def __call__(self, d: Float[Array, "*gap"]) -> Float[Array, "*gap"]:
        """phi [J] at gaps [m]."""
        weights = jnp.exp(jnp.asarray(self.weights, d.dtype))
        total = CORE * jnp.maximum(1.0 - d / WITHIN, 0.0) ** 3
        for k, corner in enumerate(self.corners):
            total = total + weights[k] * jnp.maximum(1.0 - d / corner, 0.0) ** 3
        return total


def soft_barrier(
    d: Float[Array, "*gap"], margin: Float[Array, ""]
) -> Float[Array, "*gap"]:
    r"""The barrier of `pendula.systems.Contact`, which goes on inwards from a hundredth
    of the margin as a straight line: a chain that a step has carried into what is
    forbidden ($d \le 0$) is pushed back."""
    least = 0.01 * margin
    value = barrier(jnp.maximum(d, least), margin)
    return value + jax.grad(barrier)(least, margin) * jnp.minimum(d - least, 0.0)
