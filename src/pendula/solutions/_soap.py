"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Hand-written: neither Optax nor its contributed part has it. A transform of Optax, to be
chained with clipping and a schedule.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from .._errors import ConfigError


_KEEP, _FOLLOW, _BEGIN = 0, 1, 2  # what is done with the bases


class Side(eqx.Module):
    """One side of a matrix: its averaged Gram matrix and the basis it is seen in."""

    gram: Float[Array, "n n"]
    basis: Float[Array, "n n"]


class Moments(eqx.Module):
    """What SOAP keeps of one array: moments, the second one in the rotated basis, and
    the sides that are rotated (None: this side is not)."""

    first: Array
    second: Array
    left: Side | None
    right: Side | None


class SoapState(eqx.Module):
    """Moments of each array, and the number of steps."""

    moments: tuple[Moments, ...]
    count: Int[Array, ""]


def scale_by_soap(
    b1: float = 0.95,
    b2: float = 0.95,
    *,
    every: int = 2,
    eps: float = 1e-8,
    largest: int = 2048,
) -> optax.GradientTransformation:
    r"""Rescale gradients by Adam in the eigenbasis of Shampoo.

    $$ L \leftarrow \beta_2 L + (1 - \beta_2) G G^\top, \quad
       R \leftarrow \beta_2 R + (1 - \beta_2) G^\top G, \quad
       G' = Q_L^\top G\, Q_R $$

    The update is $Q_L\,\big(M' / (\sqrt{V} + \epsilon)\big)\,Q_R^\top$ with the first
    moment M of G, seen in the bases, and the second moment V of G'. The bases follow
    the eigenvectors of L and R by one step of orthogonal iteration now and then. Arrays
    that are no matrices get Adam.

    **Arguments:**
    - `b1`, `b2`: of the averages; `every`: steps between updates of the bases (2 to
      10); `eps`: against division by 0.
    - `largest`: longer sides of matrices are not rotated.

    **Behaviour:** the first gradient sets the bases and moves nothing.
    **Returns:** a transform whose updates point along the gradient; chain it with
    `optax.scale_by_learning_rate`.
    **Raises:** `ConfigError` for numbers that cannot be used.
    **Source:** Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson, Kakade 2024,
    algorithms 3 and 4.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions._soap import scale_by_soap
    >>> soap = scale_by_soap(every=2)
    >>> weights = {"w": jnp.ones((3, 2)), "b": jnp.ones(3)}
    >>> updates, _ = soap.update(weights, soap.init(weights))
    >>> float(updates["w"].sum())
    0.0

    ```
    """
    if not (0.0 <= b1 < 1.0 and 0.0 <= b2 < 1.0 and every >= 1 and eps > 0.0):
        raise ConfigError(
            f"SOAP: b1 is {b1}, b2 {b2}, every {every}, eps {eps}; the averages must "
            "lie in [0, 1), every be at least 1 and eps above 0."
        )

    def init(params: Any) -> SoapState:
        each = [_moments(p, largest) for p in jax.tree.leaves(params)]
        return SoapState(tuple(each), jnp.zeros((), jnp.int32))

    def update(
        updates: Any, state: SoapState, params: Any = None
    ) -> tuple[Any, SoapState]:
        grads, tree = jax.tree.flatten(updates)
        which = jnp.where(state.count % every == 0, _FOLLOW, _KEEP)
        which = jnp.where(state.count == 0, _BEGIN, which)
        out, kept = [], []
        for grad, old in zip(grads, state.moments, strict=True):
            step, first, second = _moved(grad, old, state.count, b1, b2, eps)
            left = _turned(old.left, grad @ grad.T if old.left else grad, b2, which)
            right = _turned(old.right, grad.T @ grad if old.right else grad, b2, which)
            kept.append(Moments(first, second, left, right))
            out.append(step)
        return jax.tree.unflatten(tree, out), SoapState(tuple(kept), state.count + 1)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]  # Optax' types know no modules


def _moments(param: Array, largest: int) -> Moments:
    """Before the first step."""

    def side(size: int) -> Side | None:
        if param.ndim != 2 or size > largest:
            return None
        return Side(
            jnp.zeros((size, size), param.dtype), jnp.eye(size, dtype=param.dtype)
        )

    zero = jnp.zeros_like(param)
    rows, columns = param.shape if param.ndim == 2 else (0, 0)
    return Moments(zero, zero, side(rows), side(columns))


def _moved(
    grad: Array, old: Moments, count: Array, b1: float, b2: float, eps: float
) -> tuple[Array, Array, Array]:
    """The update and both moments."""
    first = b1 * old.first + (1.0 - b1) * grad
    second = b2 * old.second + (1.0 - b2) * _seen(grad, old) ** 2
    times = jnp.maximum(count, 1).astype(grad.dtype)  # gradients that were averaged
    mean = _seen(first, old) / (1.0 - b1**times)
    spread = jnp.sqrt(second / (1.0 - b2**times))
    step = mean / (spread + eps)
    if old.left is not None:
        step = old.left.basis @ step
    if old.right is not None:
        step = step @ old.right.basis.T
    begun = count > 0
    keep = lambda a: jnp.where(begun, a, jnp.zeros_like(a))
    return keep(step), keep(first), keep(second)


def _seen(matrix: Array, moments: Moments) -> Array:
    """A matrix in the bases of its sides."""
    if moments.left is not None:
        matrix = moments.left.basis.T @ matrix
    if moments.right is not None:
        matrix = matrix @ moments.right.basis
    return matrix


def _turned(side: Side | None, gram: Array, b2: float, which: Array) -> Side | None:
    """A side after a gradient, its basis turned if it is time."""
    if side is None:
        return None
    mean = jnp.where(which == _BEGIN, gram, b2 * side.gram + (1.0 - b2) * gram)
    ways = (
        lambda: side.basis,
        lambda: jnp.linalg.qr(mean @ side.basis)[0],
        # the largest first: orthogonal iteration keeps that order
        lambda: jnp.linalg.eigh(mean)[1][:, ::-1],
    )
    return Side(mean, jax.lax.switch(which, ways))
