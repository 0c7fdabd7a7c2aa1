"""The network of the published iMODE pendulum, for a faithful comparison."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from ._conditioned import AbstractConditioned, Bound
from ._mlp import MLP


@register("module")
class ReferenceMLP(eqx.Module):
    r"""A linear layer, then sharp softplus layers, then a linear one without bias.

    $$ h_0 = W_0 z + b_0, \quad
       h_l = \tfrac{1}{10}\log(1 + e^{10 (W_l h_{l-1} + b_l)}), \quad
       y = W_{out} h_{depth} $$

    **Shapes:** `"in"` to `"out"`, both without unit.
    **Source:** the published code of iMODE (Li et al. 2023, arXiv:2301.00957), facts
    only.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import ReferenceMLP
    >>> net = ReferenceMLP(1, 1, key=jax.random.key(0))
    >>> net(jnp.ones(1)).shape
    (1,)

    ```
    """

    source: ClassVar[Source] = Source("Li2023", "network of the pendulum")

    first: MLP
    layers: tuple[MLP, ...]
    last: MLP

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        width: int = 32,
        depth: int = 4,
        key: PRNGKeyArray,
    ) -> None:
        keys = jax.random.split(key, depth + 2)
        self.first = MLP(in_size, width, depth=0, key=keys[0])
        self.layers = tuple(MLP(width, width, depth=0, key=k) for k in keys[1:-1])
        self.last = MLP(width, out_size, depth=0, use_bias=False, key=keys[-1])

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at one input."""
        h = self.first(x)
        for layer in self.layers:
            h = 0.1 * jax.nn.softplus(10.0 * layer(h))
        return self.last(h)


@register("module")
class ReferenceNet(AbstractConditioned):
    r"""The published network of z and the absolute value of eta.

    $$ y = N_\theta([z, |\eta|]) $$

    with N a `ReferenceMLP`: the sign of eta is not identified. Width 32 and depth 4
    have 4,352 weights for one z and one eta.

    **Shapes:** z `"in"`, eta `"eta"`, output `"out"`.
    **Source:** the published code of iMODE (Li et al. 2023, arXiv:2301.00957), facts
    only.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import conditioned
    >>> net = conditioned("reference", 1, 1, 1, key=jax.random.key(0))
    >>> at = lambda e: net.bind(jnp.array([e]))(jnp.ones(1))
    >>> bool(at(-0.5) == at(0.5))
    True

    ```
    """

    source: ClassVar[Source] = Source("Li2023", "network of the pendulum")

    base: ReferenceMLP
    shift: Float[Array, "width eta"]

    def __init__(
        self,
        in_size: int,
        out_size: int,
        eta_size: int,
        *,
        width: int = 32,
        depth: int = 4,
        key: PRNGKeyArray,
        **ignored: Any,
    ) -> None:
        joint = ReferenceMLP(
            in_size + eta_size, out_size, width=width, depth=depth, key=key
        )
        alone = ReferenceMLP(in_size, out_size, width=width, depth=depth, key=key)
        weight, bias = joint.first.weight_out, joint.first.bias_out
        where = lambda m: (m.first.weight_out, m.first.bias_out)
        self.base = eqx.tree_at(where, alone, (weight[:, :in_size], bias))
        self.shift = weight[:, in_size:]

    @property
    def in_size(self) -> int:
        """Number of entries of z."""
        return self.base.first.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.base.last.out_size

    @property
    def eta_size(self) -> int:
        """Number of entries of eta."""
        return self.shift.shape[-1]

    def bind(self, eta: Float[Array, " eta"]) -> Bound:
        bias = jnp.asarray(self.base.first.bias_out)
        moved = bias + self.shift @ jnp.abs(eta)
        return eqx.tree_at(lambda m: m.first.bias_out, self.base, moved)

    def redraw(self, key: PRNGKeyArray) -> ReferenceNet:
        return ReferenceNet(
            self.in_size,
            self.out_size,
            self.eta_size,
            width=self.shift.shape[0],
            depth=len(self.base.layers),
            key=key,
        )
