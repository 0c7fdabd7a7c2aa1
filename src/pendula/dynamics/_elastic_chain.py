"""A chain of point masses whose spring is learned."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time
from ..nn import MLP
from ..systems import spring_forces, strains
from ._field import AbstractField


@register("module")
class SpringLaw(eqx.Module):
    r"""A force of a strain, none at rest: a line and a network without biases.

    $$ f(e) = k\,a\,e + s\,N(e), \qquad N(0) = 0 $$

    **Shapes and units:** strains `"*lead"`, forces `"*lead"` [N]; k [N] and s [N] are
    given, a and the network are trained. What happens without the line: claim
    `slinky.chain.no_line_law_error`.
    **Source:** ours; networks without biases for zero stress at rest: Ma et al. 2023,
    arXiv:2304.14369.
    """

    slope: Float[Array, ""]
    net: MLP
    line: float = eqx.field(static=True, default=20.0)
    scale: float = eqx.field(static=True, default=10.0)

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        width: int = 32,
        *,
        line: float = 20.0,
        scale: float = 10.0,
    ) -> SpringLaw:
        """A fresh one: two hidden layers of tanh."""
        net = MLP(1, 1, width, 2, use_bias=False, key=key)
        return cls(jnp.ones(()), net, line, scale)

    def __call__(self, e: Float[Array, "*lead"]) -> Float[Array, "*lead"]:
        each = jax.vmap(lambda x: self.net(x[None])[0])
        curved = each(e.ravel()).reshape(e.shape)
        return self.line * self.slope * e + self.scale * curved


@register("module")
class ElasticChain(AbstractField):
    r"""Accelerations of unit masses between equal springs, the first one at a wall.

    $$ \dot v_i = f(e_{i+1}) - f(e_i) - c\,v_i, \qquad e_i = q_i - q_{i-1} $$

    with $c = \mathrm{softplus}(\rho) > 0$. One spring stands for all: any number of
    masses.

    **Shapes:** state (q, v) `"2 mass"` raveled; returns `"mass"`.
    **Source:** ours, after `pendula.systems.SpringChain`.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import ElasticChain, SpringLaw
    >>> chain = ElasticChain(SpringLaw.create(jax.random.key(0)), jnp.zeros(()))
    >>> chain(0.0, jnp.zeros(6), None, None).tolist()
    [0.0, 0.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Ma2023", "zero stress at rest")

    law: SpringLaw
    raw_drag: Float[Array, ""]

    @property
    def drag(self) -> Float[Array, ""]:
        """c [1/s]."""
        return jax.nn.softplus(self.raw_drag)

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        half = y.shape[0] // 2
        q, v = y[:half], y[half:]
        return spring_forces(self.law(strains(q))) - self.drag * v
