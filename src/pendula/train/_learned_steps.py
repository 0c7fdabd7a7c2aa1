"""Steps of descent that are learned together with the weights they start from."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class LearnedSteps(eqx.Module):
    r"""A symmetric positive metric for every array of weights, by which slopes become
    steps.

    $$ \Delta W = D \odot \left( A^\top A \, (D \odot G) \, B B^\top \right), \qquad
       D = e^{r/2} $$

    for a matrix W with slope G (A on its rows, B on its columns), and
    $\Delta w = e^{r} \odot g$ for a vector. Whatever the entries, a step goes downhill:
    $\langle G, \Delta W \rangle \ge 0$. To be the `rate` of `inner_descent`.

    **Shapes:** `logs` r, each like its weights; `left`, `right` A and B, with the
    leading axes of the weights, None for vectors; lists in the order of the leaves.
    **Source:** Park, Oliva 2019, arXiv:1902.03356 (Kronecker factors); Li, Zhou, Chen,
    Li 2017, arXiv:1707.09835 (a rate for every weight).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.train import LearnedSteps
    >>> steps = LearnedSteps.start({"w": jnp.zeros((2, 3))}, 0.1)
    >>> round(float(steps({"w": jnp.ones((2, 3))})["w"][0, 0]), 4)
    0.1

    ```
    """

    logs: list[Float[Array, "..."]]
    left: list[Float[Array, "..."] | None]
    right: list[Float[Array, "..."] | None]

    @classmethod
    def start(cls, weights: Any, rate: float) -> LearnedSteps:
        """Plain gradient descent at `rate` on a pytree of weights."""
        leaves = jax.tree.leaves(weights)

        def eye(x: Array, axis: int) -> Array | None:
            if x.ndim < 2:
                return None
            one = jnp.eye(x.shape[axis], dtype=x.dtype)
            return jnp.broadcast_to(one, (*x.shape[:-2], *one.shape))

        return cls(
            [jnp.full_like(x, jnp.log(rate)) for x in leaves],
            [eye(x, -2) for x in leaves],
            [eye(x, -1) for x in leaves],
        )

    def __call__(self, slope: Any) -> Any:
        """The step for a slope, a pytree like the weights."""
        leaves, form = jax.tree.flatten(slope)
        parts = zip(leaves, self.logs, self.left, self.right, strict=True)
        return jax.tree.unflatten(form, [_step(*part) for part in parts])


def _step(g: Array, r: Array, a: Array | None, b: Array | None) -> Array:
    if a is None or b is None:
        return jnp.exp(r) * g
    d = jnp.exp(0.5 * r)
    turned = lambda x: jnp.swapaxes(x, -1, -2)
    return d * (turned(a) @ (a @ (d * g) @ b) @ turned(b))
