"""Terms with structure: forces from an energy, and what takes energy away."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from ._constants import Free, Given
from ._field import AbstractField, SecondOrder, Sum, terms_of
from ._known import Known
from ._learned import Learned


@register("module")
class Conservative(AbstractField):
    r"""A force that is the gradient of a learned potential energy (unit mass).

    $$ a = -\frac{\partial V}{\partial q}(q) , \qquad
       E = \tfrac12 |v|^2 + V(q) \ \text{is conserved} $$

    **Shapes:** `potential` is a `Learned` slot of size 1 that takes exactly the
    coordinates q `"n"`; returns `"n + extra"`, the extra rates zero.
    **Source:** Greydanus et al. 2019 (energy as the network), in Newton's form.
    """

    potential: Learned
    n: int = eqx.field(static=True)
    extra: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if self.potential.takes != tuple(range(self.n)) or self.potential.inputs:
            raise ConfigError(
                f"a potential takes the {self.n} coordinates and nothing else; it "
                f"takes state entries {list(self.potential.takes)} and inputs "
                f"{list(self.potential.inputs)}."
            )

    def value(self, y: Any, context: Any) -> Float[Array, ""]:
        """V(q), zero at the slot's rest state."""
        slot = self.potential
        at_rest = jnp.zeros_like(y).at[: self.n].set(slot.scale.rest[: self.n])
        zero = jnp.zeros((), y.dtype)
        v = slot(zero, y, None, context) - slot(zero, at_rest, None, context)
        return v[0]

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        force = -jax.grad(lambda y: self.potential(t, y, u, context)[0])(y)[: self.n]
        return jnp.concatenate([force, jnp.zeros(self.extra, y.dtype)])


@register("module")
class Dissipative(AbstractField):
    r"""A learned damping that can only take energy away.

    $$ a = -D(x)\,v, \quad D = L L^\top \succeq 0, \qquad
       \dot E = -v^\top D v \le 0 $$

    **Shapes:** `factor` is a `Learned` slot of size n (n + 1) / 2, the entries of
    the lower triangular L `"n n"`; returns `"n + extra"`.
    """

    factor: Learned
    n: int = eqx.field(static=True)
    extra: int = eqx.field(static=True, default=0)

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        entries = self.factor(t, y, u, context)
        rows, cols = np.tril_indices(self.n)
        lower = jnp.zeros((self.n, self.n), y.dtype).at[rows, cols].set(entries)
        v = y[self.n : 2 * self.n]
        force = -(lower @ (lower.T @ v))
        return jnp.concatenate([force, jnp.zeros(self.extra, y.dtype)])


@register("module")
class Friction(AbstractField):
    r"""Friction of one coordinate: a classical law times a learned factor.

    $$ a = -\bigl(f \tanh(v/w) + c\,v + d\,v|v|\bigr)\,
        e^{g(|v|)}, \qquad f, c, d, w > 0 $$

    Whatever the network g says, energy is lost; where the data say nothing the
    classical law (the prior's mean) stays. `network=None` is the classical law.

    **Shapes:** state `"2n + m"`, acts on coordinate `on`; `factor` is a `Learned`
    slot of size 1 whose input is replaced by |v|.
    **Source:** dissipation in friction form, measured against viscous forms on a
    real pendulum (claims `real_data.multiarm.*`).
    """

    coulomb: Free | Given
    viscous: Free | Given
    drag: Free | Given
    width: Free | Given
    factor: Learned | None
    n: int = eqx.field(static=True)
    on: int = eqx.field(static=True, default=0)
    extra: int = eqx.field(static=True, default=0)

    def __call__(self, t: Any, y: Any, u: Any, context: Any) -> Any:
        v = y[self.n + self.on]
        size = jnp.abs(v)
        force = (
            self.coulomb.value * jnp.tanh(v / self.width.value)
            + self.viscous.value * v
            + self.drag.value * v * size
        )
        if self.factor is not None:
            g = self.factor.shape(jnp.reshape(size, (1,)))[0]
            # e^20 is beyond any friction: the bound keeps trial steps finite.
            force = force * jnp.exp(jnp.clip(g, -20.0, 20.0))
        return jnp.zeros(self.n + self.extra, y.dtype).at[self.on].set(-force)


def energy(field: Any, y: Any, context: Any = None) -> Float[Array, ""] | None:
    """The conserved part's energy per unit mass of a `SecondOrder` field, or None
    when some force neither comes from an energy nor only dissipates."""
    if not isinstance(field, SecondOrder):
        return None
    v = y[field.n : 2 * field.n]
    total = 0.5 * jnp.sum(v * v)
    for term in terms_of(field):
        if isinstance(term, Conservative):
            total = total + term.value(y, context)
        elif isinstance(term, Known):
            part = _known_energy(term, y)
            if part is None:
                return None
            total = total + part
        elif not isinstance(term, (Dissipative, Friction)):
            return None
    return total


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
    if term.law in ("viscous", "quadratic_drag", "coulomb"):
        return jnp.zeros((), y.dtype)
    return None


__all__ = ["Conservative", "Dissipative", "Friction", "Sum", "energy"]
