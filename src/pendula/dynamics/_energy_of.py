"""The energy that a field has by its construction."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._types import Context, State
from ._energy import Conservative, Dissipative, Friction
from ._field import SecondOrder, terms_of
from ._hamiltonian import Hamiltonian, PortHamiltonian
from ._known import Known
from ._lagrangian import Lagrangian


LOSING = ("viscous", "quadratic_drag", "coulomb")


def energy(field: Any, y: State, context: Context = None) -> Float[Array, ""] | None:
    r"""The energy of a field, or None when some force neither comes from an energy nor
    only dissipates.

    $$ E = \tfrac12 |v|^2 + \sum_k V_k(q), \qquad
       E = \tfrac12 v^\top M(q) v + V(q), \qquad E = H(q, p) $$

    for a `SecondOrder` field (per unit mass), one with a `Lagrangian`, and a
    Hamiltonian one.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known, SecondOrder, energy
    >>> field = SecondOrder(Known("spring", k=4.0), n=1)
    >>> float(energy(field, jnp.array([1.0, 2.0])))
    4.0

    ```
    """
    if isinstance(field, Hamiltonian):
        return field.value(y, context)
    if isinstance(field, PortHamiltonian):
        return None if field.ports is not None else field.hamiltonian.value(y, context)
    if not isinstance(field, SecondOrder):
        return None
    kinetic, seen, rest = _kinetic(field, y)
    total = kinetic
    for term in rest:
        if isinstance(term, Lagrangian):
            total = total + term.body.potential(y[: field.n])
        elif isinstance(term, Conservative):
            total = total + term.value(seen, context)
        elif isinstance(term, Known):
            part = _known_energy(term, seen)
            if part is None:
                return None
            total = total + part
        elif not isinstance(term, (Dissipative, Friction)):
            return None
    return total


def kinetic(field: Any, y: State, context: Context = None) -> Float[Array, ""]:
    r"""The part of the energy that is motion; of a Hamiltonian field
    $\tfrac12 p \cdot \partial H / \partial p$."""
    if isinstance(field, SecondOrder):
        return _kinetic(field, y)[0]
    inner = field.hamiltonian if isinstance(field, PortHamiltonian) else field
    slope = jax.grad(inner.value)(y, context)
    return 0.5 * y[inner.n :] @ slope[inner.n :]


def loses_energy(field: Any) -> bool:
    """Whether a term takes energy away."""
    return any(
        isinstance(term, Dissipative | Friction)
        or (isinstance(term, Known) and term.law in LOSING)
        or (isinstance(term, PortHamiltonian) and term.factor is not None)
        for term in terms_of(field)
    )


def _kinetic(field: SecondOrder, y: State) -> tuple[Array, Array, list[Any]]:
    """Kinetic energy, the state as the forces see it, and the terms. A Lagrangian
    beside other terms adds accelerations, not energies: it must be alone."""
    terms = terms_of(field)
    v = y[field.n : 2 * field.n]
    if isinstance(field.force, Lagrangian):
        mass = field.force.body.mass(y[: field.n])
        return 0.5 * v @ (mass @ v), field.force.seen(y), terms
    if any(isinstance(term, Lagrangian) for term in terms):
        terms = [field, *terms]  # no term that has an energy
    return 0.5 * jnp.sum(v * v), y, terms


def _known_energy(term: Known, y: Array) -> Array | None:
    c = {k: v.value for k, v in term.constants.items()}
    q = y[term.on]
    if term.law == "gravity_pendulum":
        return c["w2"] * (1.0 - jnp.cos(q - c["zero"]))
    if term.law == "spring":
        return 0.5 * c["k"] * q**2
    if term.law == "cubic_spring":
        return 0.25 * c["k3"] * q**4
    if term.law == "constant":
        return -c["g"] * q
    if term.law in LOSING:
        return jnp.zeros((), y.dtype)
    return None
