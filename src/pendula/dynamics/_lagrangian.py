"""Motion from a Lagrangian: the Euler-Lagrange equations of a body and its forces."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._bodies import AbstractBody
from ._field import AbstractField


@register("module")
class Lagrangian(AbstractField):
    r"""Accelerations of a body with mass matrix M(q) and potential V(q).

    $$ L = \tfrac12 \dot q^\top M \dot q - V, \qquad
       M \ddot q = \nabla_q L - \dot M \dot q + J^\top F(J q, J \dot q, u) $$

    With forces F that only dissipate, or none, the energy $\tfrac12 \dot q^\top M
    \dot q + V$ never rises, whatever the networks say. The forces see the joints: J is
    the identity but for links whose angles are counted from the vertical, where a
    joint bends at $\dot\theta_i - \dot\theta_{i-1}$.

    **Arguments:** `body`: M and V; `forces`: terms as in a `SecondOrder` field, taken
    as generalised forces.
    **Shapes:** state `(q, v)` `"2n"`; returns `"n"`, for a `SecondOrder` field.
    **Raises:** `ConfigError` if `n < 1`.
    **Source:** Lutter, Ritter, Peters 2019, arXiv:1907.04490, equation 4; Landau and
    Lifshitz, Mechanics, section 5.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Lagrangian, Links, SecondOrder
    >>> field = SecondOrder(Lagrangian(Links(1, g1=9.81), (), 1), 1)
    >>> y = jnp.array([jnp.pi / 2, 0.0])
    >>> round(float(field(0.0, y, None, None)[1]), 2)
    -9.81

    ```
    """

    source: ClassVar[Source] = Source("Lutter2019", "equation 4")

    body: AbstractBody
    forces: tuple[AbstractField, ...]
    n: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"Lagrangian needs n >= 1 coordinates; n is {self.n}.")

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        q, v = y[: self.n], y[self.n :]

        def momentum(q: Array) -> tuple[Array, Array]:
            mass = self.body.mass(q)
            return mass @ v, mass

        (_, mass), (swirl, _) = jax.jvp(momentum, (q,), (v,))
        push = jax.grad(lambda q: self.lagrangian(q, v))(q) - swirl
        if self.forces:
            seen = self.seen(y)
            total = self.forces[0](t, seen, u, context)
            for force in self.forces[1:]:
                total = total + force(t, seen, u, context)
            push = push + jnp.asarray(self.body.joints(self.n), y.dtype).T @ total
        return solve_positive(mass, push)

    def lagrangian(
        self, q: Float[Array, "n"], v: Float[Array, "n"]
    ) -> Float[Array, ""]:
        """L(q, v)."""
        return 0.5 * v @ (self.body.mass(q) @ v) - self.body.potential(q)

    def seen(self, y: State) -> Float[Array, "dim"]:
        """The state as the forces see it: angles and rates of the joints."""
        bend = jnp.asarray(self.body.joints(self.n), y.dtype)
        return jnp.concatenate([bend @ y[: self.n], bend @ y[self.n :]])


def solve_positive(
    matrix: Float[Array, "n n"], right: Float[Array, "n"]
) -> Float[Array, "n"]:
    """x of `matrix x = right` for a positive definite matrix of a few rows.

    Gaussian elimination, written out: positive definite matrices need no pivots, and
    calls of LAPACK for every step of every trajectory cost more than the few products
    (`benchmarks/test_lagrangian.py` runs both).
    """
    n = right.shape[0]
    rows = [[matrix[i, j] for j in range(n)] for i in range(n)]
    out = [right[i] for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):
            share = rows[i][k] / rows[k][k]
            for j in range(k + 1, n):
                rows[i][j] = rows[i][j] - share * rows[k][j]
            out[i] = out[i] - share * out[k]
    for k in range(n - 1, -1, -1):
        for j in range(k + 1, n):
            out[k] = out[k] - rows[k][j] * out[j]
        out[k] = out[k] / rows[k][k]
    return jnp.stack(out)
