"""Networks whose layers are mixed by two gates: modified MLP and PirateNet."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._registry import register
from .._source import Source
from ._dense import Dense
from ._embedding import Embedding
from ._trial import AbstractTrial


@register("module")
class ModifiedNet(AbstractTrial):
    r"""A perceptron each of whose layers is mixed with two looks at the input.

    $$ U = \sigma(W_U z + b_U), \quad V = \sigma(W_V z + b_V), \quad h_0 = z, \quad
       f = \sigma(W_l h_{l-1} + b_l), \quad h_l = f \odot U + (1 - f) \odot V $$

    **Shapes and units:** see `AbstractTrial`; `hidden` and the two gates give
    `"point width"`.
    **Arguments:** `embedding`; `fields` >= 1; `width`, `depth` >= 1 of the layers;
    `layer`: settings of `Dense` (`activation`, `init`, `factor_mean`, `adaptive`);
    `key`: random key.
    **Returns:** the fields at each point.
    **Raises:** `ConfigError` for sizes or settings that cannot be used.
    **Good values:** 4 or 5 layers of 256 tanh, `factor_mean` 0.5 or 1.
    **Source:** Wang, Teng, Perdikaris 2021, arXiv:2001.04536 (improved architecture).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Axis, Embedding, ModifiedNet
    >>> see = Embedding((Axis(0.0, 1.0), Axis(0.0, 1.0)))
    >>> net = ModifiedNet(see, 1, width=8, depth=2, key=jax.random.key(0))
    >>> net(jnp.zeros((5, 2))).shape
    (5, 1)

    ```
    """

    source: ClassVar[Source] = Source("Wang2021", "improved architecture with gates")

    embedding: Embedding
    gate_u: Dense
    gate_v: Dense
    hidden: tuple[Dense, ...]
    last: Dense

    def __init__(
        self,
        embedding: Embedding,
        fields: int,
        width: int = 256,
        depth: int = 4,
        *,
        activation: str = "tanh",
        key: PRNGKeyArray,
        **layer: Any,
    ) -> None:
        whole(1, "ModifiedNet", fields=fields, width=width, depth=depth)
        keys = jax.random.split(key, depth + 3)
        make = lambda k, fan: Dense(fan, width, activation, key=keys[k], **layer)
        self.embedding = embedding
        self.gate_u, self.gate_v = (make(k, embedding.size) for k in (0, 1))
        fans = (embedding.size, *(width,) * (depth - 1))
        self.hidden = tuple(make(k + 2, fan) for k, fan in enumerate(fans))
        self.last = Dense(width, fields, key=keys[-1], **layer)

    def features(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        h = self.embedding(points)
        u, v = self.gate_u(h), self.gate_v(h)
        for layer in self.hidden:
            h = _mix(layer(h), u, v)
        return h


@register("module")
class PirateBlock(eqx.Module):
    r"""Three layers, two of them gated, around which the input is led.

    $$ f = \sigma(W_1 x + b_1),\ z_1 = f \odot U + (1 - f) \odot V, \quad
       g = \sigma(W_2 z_1 + b_2),\ z_2 = g \odot U + (1 - g) \odot V, \quad
       h = \sigma(W_3 z_2 + b_3),\ x \leftarrow \alpha h + (1 - \alpha) x $$

    alpha is trained and starts at 0: the block then hands on what it gets.

    **Shapes:** x `"point size"`, U and V `"point width"`.
    **Source:** Wang, Li, Chen, Perdikaris 2024, the forward pass of PirateNets.
    """

    source: ClassVar[Source] = Source("Wang2024", "residual adaptive block")

    first: Dense
    second: Dense
    third: Dense
    alpha: Float[Array, ""]

    def __init__(
        self,
        size: int,
        width: int,
        *,
        activation: str = "tanh",
        key: PRNGKeyArray,
        **layer: Any,
    ) -> None:
        keys = jax.random.split(key, 3)
        make = lambda k, fan, out: Dense(fan, out, activation, key=keys[k], **layer)
        self.first = make(0, size, width)
        self.second = make(1, width, width)
        self.third = make(2, width, size)
        self.alpha = jnp.asarray(0.0, dtype=float)

    def __call__(
        self,
        x: Float[Array, "point size"],
        u: Float[Array, "point width"],
        v: Float[Array, "point width"],
    ) -> Float[Array, "point size"]:
        """What the block hands on."""
        z = _mix(self.first(x), u, v)
        z = _mix(self.second(z), u, v)
        return x + self.alpha * (self.third(z) - x)

    def redraw(self, key: PRNGKeyArray) -> PirateBlock:
        """The same block with fresh weights, alpha back at 0."""
        keys = jax.random.split(key, 3)
        old = (self.first, self.second, self.third)
        fresh = [layer.redraw(k) for layer, k in zip(old, keys, strict=True)]
        where = lambda b: (b.first, b.second, b.third, b.alpha)
        return eqx.tree_at(where, self, (*fresh, jnp.zeros_like(self.alpha)))


@register("module")
class PirateNet(AbstractTrial):
    r"""A deep network that starts as a linear map of its embedding.

    $$ U = \sigma(W_U z + b_U), \quad V = \sigma(W_V z + b_V), \quad x_0 = z, \quad
       x_l = \mathrm{block}_l(x_{l-1}, U, V), \quad u = W x_L + b $$

    with blocks of three layers, see `PirateBlock`; depth comes in as it is trained.
    `fit_last_layer` gives it known values to start with.

    **Shapes and units:** see `AbstractTrial`; the features are as many as the
    embedding's outputs, so it wants one of many (random waves).
    **Arguments:** `embedding`; `fields` >= 1; `width` >= 1 of the gated layers;
    `depth` >= 1 blocks; `layer`: settings of `Dense`; `key`: random key.
    **Returns:** the fields at each point.
    **Raises:** `ConfigError` for sizes or settings that cannot be used.
    **Good values:** 3 blocks of 256 on 256 random waves, tanh, `factor_mean` 0.5 or 1.
    At the start only alpha, the last layer and the embedding have a gradient.
    **Source:** Wang, Li, Chen, Perdikaris 2024, arXiv:2402.00326 (PirateNets).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Axis, Embedding, PirateNet
    >>> key = jax.random.key(0)
    >>> see = Embedding((Axis(0.0, 1.0),), fourier=16, key=key)
    >>> net = PirateNet(see, 1, width=8, depth=2, key=key)
    >>> x = jnp.linspace(0.0, 1.0, 5)[:, None]
    >>> bool(jnp.all(net(x) == net.last(see(x))))
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2024", "PirateNets")

    embedding: Embedding
    gate_u: Dense
    gate_v: Dense
    blocks: tuple[PirateBlock, ...]
    last: Dense

    def __init__(
        self,
        embedding: Embedding,
        fields: int,
        width: int = 256,
        depth: int = 3,
        *,
        activation: str = "tanh",
        key: PRNGKeyArray,
        **layer: Any,
    ) -> None:
        whole(1, "PirateNet", fields=fields, width=width, depth=depth)
        keys = jax.random.split(key, depth + 3)
        size, same = embedding.size, {"activation": activation, **layer}
        self.embedding = embedding
        self.gate_u, self.gate_v = (Dense(size, width, key=k, **same) for k in keys[:2])
        self.blocks = tuple(
            PirateBlock(size, width, key=k, **same) for k in keys[2 : depth + 2]
        )
        self.last = Dense(size, fields, key=keys[-1], **layer)

    def features(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        x = self.embedding(points)
        u, v = self.gate_u(x), self.gate_v(x)
        for block in self.blocks:
            x = block(x, u, v)
        return x


def _mix(f: Array, u: Array, v: Array) -> Array:
    """f U + (1 - f) V, with one product only."""
    return v + f * (u - v)
