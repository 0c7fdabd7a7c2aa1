"""The plain trial network, and trial networks by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._errors import ConfigError, nearest
from .._registry import register
from .._source import Source
from ._dense import Dense
from ._embedding import Axis, Embedding
from ._networks_gated import ModifiedNet, PirateNet
from ._networks_gaussian import GaussianNet
from ._trial import AbstractTrial


@register("module")
class PlainNet(AbstractTrial):
    r"""A multilayer perceptron of the embedded point.

    $$ h_0 = z, \quad h_l = \sigma(n\,a_l\,(W_l h_{l-1} + b_l)), \quad
       u = W_{out} h_{depth} + b_{out} $$

    By default it is the network of the failure modes, 2-50-50-50-50-1 with the usual
    draw of PyTorch; that one saw raw coordinates, which `Axis(-1, 1)` leaves alone.

    **Shapes and units:** see `AbstractTrial`; layers give `"point width"`.
    **Arguments:** `embedding`; `fields` >= 1; `width`, `depth` >= 1 of the hidden
    layers; `activation`; `layer`: settings of `Dense` (`init`, `factor_mean`,
    `adaptive`); `key`: random key.
    **Returns:** the fields at each point.
    **Raises:** `ConfigError` for sizes or settings that cannot be used.
    **Source:** Krishnapriyan et al. 2021, section 3; the network is nn.MLP for a batch.

    ```python
    >>> import jax
    >>> from pendula._tree import num_parameters
    >>> from pendula.solutions import Axis, Embedding, PlainNet
    >>> see = Embedding((Axis(-1.0, 1.0), Axis(-1.0, 1.0)))
    >>> num_parameters(PlainNet(see, 1, key=jax.random.key(0)))
    7851

    ```
    """

    source: ClassVar[Source] = Source("Krishnapriyan2021", "section 3")

    embedding: Embedding
    hidden: tuple[Dense, ...]
    last: Dense

    def __init__(
        self,
        embedding: Embedding,
        fields: int,
        width: int = 50,
        depth: int = 4,
        *,
        activation: str = "tanh",
        init: str = "uniform",
        key: PRNGKeyArray,
        **layer: Any,
    ) -> None:
        whole(1, "PlainNet", fields=fields, width=width, depth=depth)
        *keys, key_last = jax.random.split(key, depth + 1)
        fans = (embedding.size, *(width,) * (depth - 1))
        self.embedding = embedding
        self.hidden = tuple(
            Dense(fan, width, activation, init=init, key=k, **layer)
            for fan, k in zip(fans, keys, strict=True)
        )
        self.last = Dense(width, fields, init=init, key=key_last, **layer)

    def features(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        h = self.embedding(points)
        for layer in self.hidden:
            h = layer(h)
        return h


_KINDS: dict[str, Callable[..., AbstractTrial]] = {
    "plain": PlainNet,
    "modified": ModifiedNet,
    "pirate": PirateNet,
    "gaussian": GaussianNet,
}
_OF_EMBEDDING = ("fourier", "fourier_scale", "train_fourier")
_OF_LAYERS = ("activation", "init", "factor_mean", "adaptive")
_OF_GAUSSIANS = ("gaussians", "features", "spread")


def build(
    kind: str,
    axes: Sequence[Axis],
    fields: int = 1,
    *,
    width: int | None = None,
    depth: int | None = None,
    key: PRNGKeyArray,
    **options: Any,
) -> AbstractTrial:
    """A trial network by name, drawn in the precision of the scope.

    **Arguments:**
    - `kind`: `"plain"`, `"modified"`, `"pirate"` or `"gaussian"`.
    - `axes`: one `Axis` for each coordinate; `fields`: number of outputs.
    - `width`, `depth`: None for those of the kind: 50 x 4, 256 x 4, 256 x 3 (blocks)
      and 16 x 1.
    - `key`: random key; embedding and layers use streams of their own.
    - `options`: of the embedding `fourier` (random waves; a `"pirate"` has `width` of
      them unless told otherwise), `fourier_scale`, `train_fourier`; of the layers
      `activation`, `init`, `factor_mean`, `adaptive`; of `"gaussian"` also
      `gaussians`, `features`, `spread`.

    **Returns:** the network: `"point coord"` to `"point field"`.
    **Raises:** `ConfigError` for a kind, option or value that cannot be used.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Axis, build
    >>> axes = (Axis(0.0, 6.28, periodic=True), Axis(0.0, 1.0))
    >>> net = build("modified", axes, 2, width=16, depth=2, key=jax.random.key(0))
    >>> net(jnp.zeros((5, 2))).shape
    (5, 2)

    ```
    """
    choice("network", kind, _KINDS)
    own = _OF_GAUSSIANS if kind == "gaussian" else ()
    allowed = (*_OF_EMBEDDING, *_OF_LAYERS, *own)
    for name in options:
        if name not in allowed:
            raise ConfigError(
                f'network "{kind}" has no option "{name}".{nearest(name, allowed)} '
                f"Allowed: {', '.join(allowed)}."
            )
    sizes = {"width": width, "depth": depth}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    whole(1, f'network "{kind}"', fields=fields, **sizes)
    if kind == "pirate":
        options.setdefault("fourier", 2 * math.ceil(sizes.get("width", 256) / 2))
    key_embedding, key_net = jax.random.split(key)
    seen = {name: options.pop(name) for name in _OF_EMBEDDING if name in options}
    embedding = Embedding(axes, key=key_embedding, **seen)
    return _KINDS[kind](embedding, fields, key=key_net, **sizes, **options)
