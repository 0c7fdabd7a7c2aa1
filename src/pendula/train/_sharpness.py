"""Gradients at the worst point nearby: sharpness-aware descent."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._estimator import AbstractEstimator, Estimate, Number, Valued, number


_TINY = 1e-12


class Sam(AbstractEstimator):
    r"""The gradient where the loss has risen most within a ball.

    $$ g = \nabla J(w + \epsilon), \qquad
       \epsilon = \rho\, \frac{\nabla J(w)}{\lVert \nabla J(w) \rVert + 10^{-12}} $$

    Both gradients are of the same batch; auxiliary output (running statistics) and the
    value are those of the first.

    **Arguments:** `rho`: radius, at least 0.
    **Raises:** `ConfigError`.
    **Source:** Foret, Kleiner, Mobahi, Neyshabur 2021, arXiv:2010.01412, equation 2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import Sam
    >>> _, g = Sam(0.5).around(lambda w, key: 0.5 * jnp.sum(w**2))(
    ...     jnp.asarray([3.0, 4.0]), jax.random.key(0))
    >>> [round(float(v), 4) for v in g]
    [3.3, 4.4]

    ```
    """

    rho: Float[Array, ""]

    def __init__(self, rho: Number = 0.05) -> None:
        self.rho = number(rho, "Sam", "rho")

    @property
    def evaluations(self) -> int:
        return 2

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        found, slope = valued(params, batch, key)
        length = optax.tree_utils.tree_norm(slope) + _TINY
        share = self.rho.astype(length.dtype) / length
        worst = jax.tree.map(lambda w, g: w + share.astype(w.dtype) * g, params, slope)
        return found, valued(worst, batch, key)[1]


class Asam(AbstractEstimator):
    r"""Sharpness-aware descent in a ball that scales with the weights.

    $$ \epsilon = \rho\, \frac{T^2 \nabla J(w)}{\lVert T \nabla J(w) \rVert + 10^{-12}},
       \qquad T = |w| + \eta $$

    **Arguments:** `rho`: radius, 0.5 to 2; `eta`: added to |w|, at least 0.
    **Raises:** `ConfigError`.
    **Source:** Kwon, Kim, Park, Choi 2021, arXiv:2102.11600, equation 8.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.train import Asam
    >>> _, g = Asam(1.0, 0.0).around(lambda w, key: jnp.sum(w))(
    ...     jnp.asarray([3.0, 4.0]), jax.random.key(0))
    >>> g.tolist()
    [1.0, 1.0]

    ```
    """

    rho: Float[Array, ""]
    eta: Float[Array, ""]

    def __init__(self, rho: Number = 0.5, eta: Number = 0.01) -> None:
        self.rho = number(rho, "Asam", "rho")
        self.eta = number(eta, "Asam", "eta")

    @property
    def evaluations(self) -> int:
        return 2

    def gradient(
        self,
        valued: Valued,
        params: Any,
        batch: Any,
        key: PRNGKeyArray,
        step: Int[Array, ""] | int,
        statistics: Any,
    ) -> Estimate:
        found, slope = valued(params, batch, key)
        size = jax.tree.map(lambda w: jnp.abs(w) + self.eta.astype(w.dtype), params)
        once = jax.tree.map(jnp.multiply, size, slope)
        length = optax.tree_utils.tree_norm(once) + _TINY
        share = self.rho.astype(length.dtype) / length
        worst = jax.tree.map(
            lambda w, t, g: w + share.astype(w.dtype) * t * g,
            params,
            size,
            once,
        )
        return found, valued(worst, batch, key)[1]
