"""How far a field is from having a symmetric Jacobian, and a loss that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least


Field = Callable[[Any], Any]


def homeostasis(
    field: Field, active: Any, *, probes: int = 5, key: PRNGKeyArray
) -> Float[Array, ""]:
    r"""The loss of Jacobian homeostasis: an unbiased estimate of the asymmetry of the
    Jacobian J of a field.

    $$ L_h = \frac1n\, E_\epsilon \big[ \|J \epsilon\|^2 - \epsilon^\top J^2 \epsilon
       \big] = \frac{\|J - J^\top\|_F^2}{2n}, \qquad \epsilon \sim N(0, I) $$

    **Arguments:**
    - `field`: from a pytree of arrays to one of the same shapes; `active`: where its
      Jacobian is taken, the activated state of an equilibrium. Parameters stand within
      `field`: the gradient in them is that at this fixed state.
    - `probes`: draws of epsilon, each of two products with J.

    **Returns:** the loss.
    **Raises:** `ConfigError` for less than one probe.
    **Source:** Laborieux, Zenke 2024, arXiv:2309.02214, section 3.3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import homeostasis
    >>> a = jnp.asarray([[0.0, 1.0], [1.0, 0.0]])
    >>> float(homeostasis(lambda u: a @ u, jnp.ones(2), key=jax.random.key(0)))
    0.0

    ```
    """
    at_least(1, "homeostasis", probes=probes)
    flat, back = ravel_pytree(jax.lax.stop_gradient(active))
    of_flat = lambda v: ravel_pytree(field(back(v)))[0]
    product = lambda v: jax.jvp(of_flat, (flat,), (v,))[1]

    def one(epsilon: Float[Array, " n"]) -> Float[Array, ""]:
        once = product(epsilon)
        return (jnp.sum(once * once) - jnp.sum(epsilon * product(once))) / flat.size

    draws = jax.random.normal(key, (probes, flat.size), flat.dtype)
    return jnp.mean(jax.vmap(one)(draws))


def asymmetry(field: Field, active: Any) -> Float[Array, ""]:
    r"""$\|J - J^\top\|_F^2 / 2n$ of the whole Jacobian, for few neurons.

    **Arguments:** as for `homeostasis`.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import asymmetry
    >>> a = jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
    >>> float(asymmetry(lambda u: a @ u, jnp.ones(2)))
    2.0

    ```
    """
    flat, back = ravel_pytree(active)
    jacobian = jax.jacfwd(lambda v: ravel_pytree(field(back(v)))[0])(flat)
    return jnp.sum((jacobian - jacobian.T) ** 2) / (2 * flat.size)
