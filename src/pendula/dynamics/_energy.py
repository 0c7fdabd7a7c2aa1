"""Terms with structure: forces from an energy, and what takes energy away."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ._constants import Free, Given
from ._field import AbstractField
from ._learned import Learned


@register("module")
class Conservative(AbstractField):
    r"""A force that is the gradient of a learned potential energy (unit mass).

    $$ a = -\frac{\partial V}{\partial q}(q) , \qquad
       E = \tfrac12 |v|^2 + V(q) \ \text{is conserved} $$

    **Shapes:** `potential` is a `Learned` slot of size 1 that takes exactly the
    coordinates q `"n"`; returns `"n + extra"`, the extra rates zero.
    **Raises:** `ConfigError` for a potential that takes anything else.
    **Source:** Greydanus, Dzamba, Yosinski 2019, arXiv:1906.01563 (energy as the
    network), in Newton's form.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import Conservative, Learned, SlotScale
    >>> from pendula.nn import MLP
    >>> net = MLP(1, 1, width=8, depth=1, key=jax.random.key(0))
    >>> term = Conservative(Learned(net, SlotScale.unit(1, 1), takes=(0,)), n=1)
    >>> float(term.value(jnp.zeros(2), None))
    0.0

    ```
    """

    source: ClassVar[Source] = Source("Greydanus2019", "energy as the network")

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

    def value(self, y: State, context: Context) -> Float[Array, ""]:
        """V(q), zero at the slot's rest state."""
        slot = self.potential
        at_rest = jnp.zeros_like(y).at[: self.n].set(slot.scale.rest[: self.n])
        zero = jnp.zeros((), y.dtype)
        v = slot(zero, y, None, context) - slot(zero, at_rest, None, context)
        return v[0]

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        force = -jax.grad(lambda y: self.potential(t, y, u, context)[0])(y)[: self.n]
        return jnp.concatenate([force, jnp.zeros(self.extra, y.dtype)])


@register("module")
class Dissipative(AbstractField):
    r"""A learned damping that can only take energy away.

    $$ a = -D(x)\,v, \quad D = L L^\top \succeq 0, \qquad
       \dot E = -v^\top D v \le 0 $$

    **Shapes:** `factor` is a `Learned` slot of size n (n + 1) / 2, the entries of
    the lower triangular L `"n n"`; returns `"n + extra"`.
    **Raises:** `ConfigError` for a slot of another size.
    **Source:** Zhong, Dey, Chakraborty 2020, arXiv:2002.08860 (dissipation matrix by
    its Cholesky factor).
    """

    source: ClassVar[Source] = Source("Zhong2020", "dissipation matrix")

    factor: Learned
    n: int = eqx.field(static=True)
    extra: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        size, expected = self.factor.net.out_size, self.n * (self.n + 1) // 2
        if size != expected:
            raise ConfigError(
                f"a dissipation of {self.n} coordinates has {expected} entries; the "
                f"network gives {size}."
            )

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
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
    classical law (the prior's mean) stays. `factor=None` is the classical law.

    **Shapes:** state `"2n + m"`, acts on coordinate `on`; `factor` is a `Learned`
    slot of size 1 whose input is replaced by |v|.
    **Raises:** `ConfigError` for a coordinate that is not there.
    **Source:** ours, measured against viscous forms on a real pendulum (claims
    `real_data.multiarm.*`); the smooth step of dry friction: Andersson, Soderberg,
    Bjorklund 2007, Tribology International 40, 580-587.
    """

    source: ClassVar[Source] = Source("Andersson2007", "smooth dry friction")

    coulomb: Free | Given
    viscous: Free | Given
    drag: Free | Given
    width: Free | Given
    factor: Learned | None
    n: int = eqx.field(static=True)
    on: int = eqx.field(static=True, default=0)
    extra: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not 0 <= self.on < self.n:
            raise ConfigError(
                f"friction on coordinate {self.on}, but there are {self.n} of them."
            )

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
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
