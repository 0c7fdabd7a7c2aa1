"""Schemes that keep the geometry of a conservative motion, beside leapfrog."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array

from .._registry import register
from .._source import Source
from .._types import Context, State, Time
from ._schemes import LEAPFROG, AbstractScheme, Field, Inputs


@dataclasses.dataclass(frozen=True)
class Yoshida4(AbstractScheme):
    r"""Three leapfrog steps, the middle one backwards, that cancel the error of each.

    $$ \Phi_h = \Lambda_{w_1 h} \circ \Lambda_{w_0 h} \circ \Lambda_{w_1 h}, \quad
       w_1 = \frac{1}{2 - 2^{1/3}}, \; w_0 = 1 - 2 w_1 $$

    Of order 4; symplectic and reversible when the acceleration does not depend on v.
    With damping leapfrog is not reversible, and the order falls to 3: take RK4 there.

    **Shapes:** `"dim"` even, first half q, second half v.
    **Raises:** `ShapeError` for an odd number of components.
    **Behaviour / good values:** six evaluations a step against two of leapfrog. On a
    pendulum that swings to 2 rad both cost the same at a relative energy error near
    1e-2; below, this is the better one. The field is also asked a third of
    a step before and after the step, where inputs are continued by their polynomial.
    **Source:** Yoshida 1990, Physics Letters A 150, 262-268, equation 2.11; Hairer,
    Lubich, Wanner, Geometric Numerical Integration, section II.4.
    """

    source: ClassVar[Source] = Source("Hairer2006", "section II.4")
    needs_second_order: ClassVar[bool] = True

    name: str = "yoshida4"
    order: int = 4

    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
    ) -> State:
        outer = 1.0 / (2.0 - 2.0 ** (1.0 / 3.0))
        done = 0.0
        for share in (outer, 1.0 - 2.0 * outer, outer):
            s = done * dt
            moved = lambda r, s=s: inputs(s + r)
            y = LEAPFROG.step(field, t + s, y, share * dt, moved, context)
            done += share
        return y


@dataclasses.dataclass(frozen=True)
class ImplicitMidpoint(AbstractScheme):
    r"""The implicit midpoint rule, for any conservative field.

    $$ y' = y + h\, f\big(t + \tfrac h2, \tfrac{y + y'}{2}, u(t + \tfrac h2)\big) $$

    Of order 2, reversible and A-stable; symplectic for every Hamiltonian, separable or
    not, and exact for every quadratic invariant.

    **Behaviour / good values:** each step is solved by Newton's method (Optimistix) to
    rounding, with the Jacobian of the field: for small states. A step that is not
    solved within 30 iterations is NaN, which a rollout reports as
    `non_finite_state`: shorten it. Gradients are those of the solution, not of the
    iterations.
    **Source:** Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006,
    sections II.1 and VI.4.
    """

    source: ClassVar[Source] = Source("Hairer2006", "sections II.1 and VI.4")

    name: str = "implicit_midpoint"
    order: int = 2

    def step(
        self,
        field: Field,
        t: Time,
        y: State,
        dt: Time,
        inputs: Inputs,
        context: Context,
    ) -> State:
        half = 0.5 * dt
        u = inputs(half)
        first = dt * field(t, y, inputs(0.0 * dt), context)
        eps = float(jnp.finfo(y.dtype).eps)
        # in units of the state's own size: tolerances are not without them
        size = jax.lax.stop_gradient(jnp.maximum(jnp.abs(y), jnp.abs(first)))
        whole = jnp.max(size)
        whole = jnp.where(whole > 0, whole, 1.0)
        # a component that only passes through 0 is not that small
        size = jnp.maximum(size, eps**0.25 * whole)

        def gap(share: Array, _: None) -> Array:
            change = size * share
            moved = dt * field(t + half, y + 0.5 * change, u, context)
            return (change - moved) / whole

        # Newton doubles the digits: half of them agreeing means that all do. The
        # residual of a stiff field never falls to rounding.
        found = optx.root_find(
            gap,
            optx.Newton(eps**0.5, eps**0.5),
            first / size,
            max_steps=30,
            throw=False,
        )
        solved = found.result == optx.RESULTS.successful
        return jnp.where(solved, y + size * found.value, jnp.nan)


YOSHIDA4 = Yoshida4()
"""For second-order states: three leapfrogs in one step, of order 4."""
IMPLICIT_MIDPOINT = ImplicitMidpoint()
"""Symplectic for any Hamiltonian, of order 2; each step solves an equation."""
for _scheme in (YOSHIDA4, IMPLICIT_MIDPOINT):
    register("scheme", _scheme.name)(_scheme)
