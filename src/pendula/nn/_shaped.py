"""Networks whose shape is given: monotone, and convex, for any weights."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._mlp import MLP


def _positive(raw: Float[Array, "*layer out fan"]) -> Float[Array, "*layer out fan"]:
    """Weights > 0 of which a row sums to about 1, so that no layer saturates the
    next: raw weights are drawn as small as 1/sqrt(fan)."""
    fan = raw.shape[-1]
    return jax.nn.softplus(fan**0.5 * raw) / fan


@register("module")
class MonotoneMLP(eqx.Module):
    r"""A network that does not decrease in any of its inputs.

    $$ h_{l+1} = \tanh(W^+_l h_l + b_l), \quad y = W^+ h + b, \quad
       W^+ = \mathrm{softplus}(\sqrt{\mathrm{fan}}\,W) / \mathrm{fan} > 0 $$

    Any monotone function of d inputs on a box can be approximated once there are d
    hidden layers.

    **Shapes and units:** input `"in"`, output `"out"`, both without unit.
    **Arguments:** as those of `MLP`, with a saturating activation.
    **Raises:** `ConfigError` for sizes that cannot be used, or an activation that is
    not increasing and bounded.
    **Source:** Daniels and Velikova 2010, IEEE Trans. Neural Networks 21, 906-917.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import MonotoneMLP
    >>> net = MonotoneMLP(1, 1, width=8, depth=2, key=jax.random.key(0))
    >>> bool(net(jnp.array([0.5])) > net(jnp.array([-0.5])))
    True

    ```
    """

    source: ClassVar[Source] = Source("Daniels2010", "positive weights")

    raw: MLP

    def __init__(
        self,
        in_size: int,
        out_size: int,
        width: int = 64,
        depth: int = 2,
        *,
        activation: str = "tanh",
        key: PRNGKeyArray,
    ) -> None:
        if activation not in ("tanh", "sigmoid"):
            raise ConfigError(
                f'MonotoneMLP: activation "{activation}" does not both rise and '
                'saturate, without which few monotone functions can be met. Use "tanh" '
                'or "sigmoid".'
            )
        self.raw = MLP(in_size, out_size, width, depth, activation=activation, key=key)

    @property
    def in_size(self) -> int:
        """Number of inputs."""
        return self.raw.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.raw.out_size

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at one input."""
        weights = lambda m: tuple(
            w for w in (m.weight_in, m.weight_hidden, m.weight_out) if w is not None
        )
        return eqx.tree_at(weights, self.raw, tuple(map(_positive, weights(self.raw))))(
            x
        )

    def redraw(self, key: PRNGKeyArray) -> MonotoneMLP:
        """The same network with fresh random weights."""
        return eqx.tree_at(lambda m: m.raw, self, self.raw.redraw(key))


@register("module")
class ConvexMLP(eqx.Module):
    r"""An input-convex network: every output is a convex function of the input.

    $$ h_1 = \sigma(V_0 x + b_0), \quad h_{l+1} = \sigma(W^+_l h_l + V_l x + b_l),
       \quad y = W^+ h + V x + b, \quad \sigma = \mathrm{softplus} $$

    **Shapes and units:** input `"in"`, output `"out"`, both without unit.
    **Arguments:** sizes as those of `MLP`, `depth` >= 1. The activation is softplus:
    it must be convex and increasing.
    **Raises:** `ConfigError` for sizes that cannot be used.
    **Source:** Amos, Xu, Kolter 2017, arXiv:1609.07152, equation 2.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.nn import ConvexMLP
    >>> net = ConvexMLP(1, 1, width=8, depth=2, key=jax.random.key(0))
    >>> left, middle, right = (net(jnp.array([x]))[0] for x in (-1.0, 0.0, 1.0))
    >>> bool(left + right > 2 * middle)
    True

    ```
    """

    source: ClassVar[Source] = Source("Amos2017", "equation 2")

    through: MLP
    """The path of the hidden values; its weights are made positive."""
    beside: tuple[Float[Array, "to in"], ...]
    """V_l, by which the input enters every later layer."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        width: int = 64,
        depth: int = 2,
        *,
        key: PRNGKeyArray,
    ) -> None:
        if depth == 0:
            raise ConfigError(
                "ConvexMLP: depth is 0, which is a straight line. Give 1 or more."
            )
        self.through = MLP(
            in_size, out_size, width, depth, activation="softplus", key=key
        )
        self.beside = _beside(in_size, out_size, width, depth, key)

    @property
    def in_size(self) -> int:
        """Number of inputs."""
        return self.through.in_size

    @property
    def out_size(self) -> int:
        """Number of outputs."""
        return self.through.out_size

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " out"]:
        """The network's value at one input."""
        net = self.through
        assert net.weight_in is not None
        assert net.bias_in is not None
        assert net.bias_out is not None
        h = jax.nn.softplus(net.weight_in @ x + net.bias_in)
        for i in range(net.depth - 1):
            assert net.weight_hidden is not None
            assert net.bias_hidden is not None
            h = _positive(net.weight_hidden[i]) @ h + self.beside[i] @ x
            h = jax.nn.softplus(h + net.bias_hidden[i])
        # The last layer must be able to carry steep valleys: its row sums freely.
        last = jax.nn.softplus(net.weight_out)
        return last @ h / net.width**0.5 + self.beside[-1] @ x + net.bias_out

    def redraw(self, key: PRNGKeyArray) -> ConvexMLP:
        """The same network with fresh random weights."""
        net = self.through
        return eqx.tree_at(
            lambda m: (m.through, m.beside),
            self,
            (
                net.redraw(key),
                _beside(net.in_size, net.out_size, net.width, net.depth, key),
            ),
        )


def _beside(
    in_size: int, out_size: int, width: int, depth: int, key: PRNGKeyArray
) -> tuple[Float[Array, "to in"], ...]:
    """Fresh V_1 .. V_depth."""
    limit = in_size**-0.5
    rows = [width] * (depth - 1) + [out_size]
    return tuple(
        jax.random.uniform(
            jax.random.fold_in(key, 1000 + i), (n, in_size), minval=-limit, maxval=limit
        )
        for i, n in enumerate(rows)
    )
