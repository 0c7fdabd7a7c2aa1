"""A network of Gaussians that move and change their widths."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ..nn import HeldNumber
from ._dense import Dense
from ._embedding import Embedding
from ._trial import AbstractTrial


@register("module")
class GaussianNet(AbstractTrial):
    r"""A small perceptron of what trained Gaussians see.

    $$ \phi_i(z) = \exp\Big(-\tfrac12 \sum_d
       \frac{(z_d - m_{id})^2}{\sigma_{id}^2}\Big), \quad
       u = \mathrm{MLP}(F \phi(z)) $$

    The Gaussians live where the embedding ends: along a periodic axis they are
    functions of cosine and sine, so that the network is exactly periodic, too. Centres
    are drawn evenly over the box.

    **Shapes and units:** see `AbstractTrial`; `centres` m and `log_widths` log sigma
    `"gauss size"`, `mix` F `"feature gauss"`.
    **Arguments:**
    - `embedding`: without random waves; `fields` >= 1.
    - `width`, `depth` >= 1: of the perceptron.
    - `gaussians`: their number; `features`: rows of F, usually 4 to 16.
    - `spread`: widths at the start, as a multiple of the mean distance of centres.
    - `layer`: settings of `Dense`; `key`: random key.

    **Returns:** the fields at each point.
    **Raises:** `ConfigError` for sizes or settings that cannot be used.
    **Good values:** some hundred Gaussians in two dimensions; one layer of 16.
    **Source:** Kang, Oh, Hong, Park 2024, arXiv:2412.05994 (PIG: physics-informed
    Gaussians); how widths and F start is ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import Axis, Embedding, GaussianNet
    >>> see = Embedding((Axis(0.0, 1.0), Axis(0.0, 1.0)))
    >>> net = GaussianNet(see, 1, gaussians=50, key=jax.random.key(0))
    >>> net(jnp.zeros((5, 2))).shape, net.phi(see(jnp.zeros((5, 2)))).shape
    ((5, 1), (5, 50))

    ```
    """

    source: ClassVar[Source] = Source("Kang2024", "physics-informed Gaussians")

    embedding: Embedding
    centres: Float[Array, "gauss size"]
    log_widths: Float[Array, "gauss size"]
    mix: Float[Array, "feature gauss"]
    hidden: tuple[Dense, ...]
    last: Dense
    spread: HeldNumber

    def __init__(
        self,
        embedding: Embedding,
        fields: int,
        width: int = 16,
        depth: int = 1,
        *,
        gaussians: int = 200,
        features: int = 8,
        spread: float = 2.0,
        activation: str = "tanh",
        key: PRNGKeyArray,
        **layer: Any,
    ) -> None:
        sizes = {"width": width, "depth": depth, "features": features}
        whole(1, "GaussianNet", fields=fields, gaussians=gaussians, **sizes)
        _check(embedding, spread)
        self.embedding = embedding
        self.spread = HeldNumber(jnp.asarray(spread, dtype=float))
        key_draw, *keys = jax.random.split(key, depth + 2)
        shape = (features, gaussians)
        drawn = _draw(embedding, shape, self.spread.value, key_draw)
        self.centres, self.log_widths, self.mix = drawn
        fans = (features, *(width,) * (depth - 1))
        self.hidden = tuple(
            Dense(fan, width, activation, key=k, **layer)
            for fan, k in zip(fans, keys[:-1], strict=True)
        )
        self.last = Dense(width, fields, key=keys[-1], **layer)

    def phi(self, z: Float[Array, "point size"]) -> Float[Array, "point gauss"]:
        """The Gaussians where the embedding is z."""
        steep = jnp.exp(-self.log_widths)
        # One coordinate after the other: squares multiplied out would cancel, and all
        # differences at once would be an array of points, Gaussians and coordinates.
        total = jnp.zeros((), z.dtype)
        for d in range(z.shape[1]):
            away = (z[:, d : d + 1] - self.centres[None, :, d]) * steep[None, :, d]
            total = total + away * away
        return jnp.exp(-0.5 * total)

    def features(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        h = self.phi(self.embedding(points)) @ self.mix.T
        for layer in self.hidden:
            h = layer(h)
        return h

    def redraw(self, key: PRNGKeyArray) -> GaussianNet:
        """The same network with fresh Gaussians and weights, drawn as at the start."""
        keys = jax.random.split(key, len(self.hidden) + 3)
        embedding = self.embedding.redraw(keys[0])
        drawn = _draw(embedding, self.mix.shape, self.spread.value, keys[1])
        layers = (*self.hidden, self.last)
        fresh = [d.redraw(k) for d, k in zip(layers, keys[2:], strict=True)]
        new = (embedding, *drawn, tuple(fresh[:-1]), fresh[-1])
        where = lambda n: (
            n.embedding,
            n.centres,
            n.log_widths,
            n.mix,
            n.hidden,
            n.last,
        )
        return eqx.tree_at(where, self, new)


def _draw(
    embedding: Embedding, shape: tuple[int, ...], spread: Array, key: PRNGKeyArray
) -> tuple[Array, Array, Array]:
    """Centres evenly over the box, equal widths, and features of about unit size."""
    gaussians = shape[1]
    key_centres, key_mix = jax.random.split(key)
    frame, coords = embedding.frame, embedding.coords
    draw = jax.random.uniform(key_centres, (gaussians, coords), minval=-1.0, maxval=1.0)
    centres = embedding(frame.centre[None, :] + frame.half[None, :] * draw)
    width = spread * _spans(embedding) / gaussians ** (1.0 / coords)
    log_widths = jnp.log(jnp.tile(width[None, :], (gaussians, 1)))
    # what the squares of all Gaussians sum to in the midst of the box
    overlap = (math.sqrt(math.pi) * spread) ** coords
    mix = jax.random.normal(key_mix, shape) / jnp.sqrt(overlap)
    return centres, log_widths, mix


def _spans(embedding: Embedding) -> Float[Array, "size"]:
    """How far each output of an embedding runs from one end of its axis to the other:
    a wave along its circle, and all K waves of an axis count as one coordinate."""
    frame, out = embedding.frame, []
    for i, k in enumerate(embedding.waves):
        if k == 0:
            out.append(jnp.full(1, 2.0, frame.half.dtype))
            continue
        counts = jnp.arange(1, k + 1, dtype=frame.half.dtype)
        turn = 4.0 * math.pi * frame.half[i] / frame.period[i]
        out += [turn * math.sqrt(k) * counts] * 2
    return jnp.concatenate(out)


def _check(embedding: Embedding, spread: float) -> None:
    """Refuse what Gaussians cannot use before anything is drawn."""
    if embedding.fourier is not None:
        raise ConfigError(
            "GaussianNet: its embedding has random Fourier features, among which "
            "Gaussians see nothing. Leave fourier out."
        )
    if not (math.isfinite(spread) and spread > 0.0):
        raise ConfigError(
            f"GaussianNet: spread is {spread!r}; it must be finite and positive. Give "
            "0.5 to 2."
        )
