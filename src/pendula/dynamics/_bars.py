"""Invariant coordinates of neighbouring bars, and energies of them."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import Context
from ..nn import ShortcutNet


# What each symmetry makes of (xi, zeta, th) of one pair: signs, and whether the pairs
# change places.
_X = (-1.0, 1.0, -1.0)
_S = (1.0, -1.0, 1.0)
_XS = (-1.0, -1.0, -1.0)
_Y = (1.0, -1.0, -1.0)
_SAME = (1.0, 1.0, 1.0)
_XY = (-1.0, -1.0, 1.0)
_SY = (1.0, 1.0, -1.0)
_XSY = (-1.0, 1.0, 1.0)
_R = (-1.0, 1.0, 1.0)
_XR = (1.0, 1.0, -1.0)
GROUPS: dict[str, tuple[tuple[tuple[float, ...], bool], ...]] = {
    "none": ((_SAME, False),),
    "order4": ((_SAME, False), (_X, False), (_S, True), (_XS, True)),
    "helix": ((_SAME, False), (_X, False), (_R, True), (_XR, True)),
    "order8": (
        (_SAME, False),
        (_X, False),
        (_S, True),
        (_XS, True),
        (_Y, False),
        (_XY, False),
        (_SY, True),
        (_XSY, True),
    ),
}
"""Name -> the copies (signs of a pair's coordinates, whether both pairs swap)."""
SCALE = (1e3, 1e3, 1e1)  # of a pair's coordinates in m, m, rad


def pair_coordinates(
    left: Float[Array, "*lead 3"], right: Float[Array, "*lead 3"]
) -> Float[Array, "*lead 3"]:
    r"""Invariant coordinates of a bar (x, y, alpha) and the next.

    $$ \xi = \cos\beta\,\Delta x + \sin\beta\,\Delta y, \quad
       \zeta = -\sin\beta\,\Delta x + \cos\beta\,\Delta y, \quad
       \vartheta = \Delta\alpha, \quad \beta = \bar\alpha $$

    stretch [m], shear [m] and bend [rad]; the same for any motion of the plane.
    **Source:** Wang 2023, equations 3.10 to 3.12.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import pair_coordinates
    >>> a, b = jnp.array([0.0, 0, 0]), jnp.array([0.01, 0, 0])
    >>> pair_coordinates(a, b).round(4).tolist()
    [0.009999999776482582, 0.0, 0.0]

    ```
    """
    beta = 0.5 * (left[..., 2] + right[..., 2])
    c, s = jnp.cos(beta), jnp.sin(beta)
    dx, dy = right[..., 0] - left[..., 0], right[..., 1] - left[..., 1]
    bend = right[..., 2] - left[..., 2]
    return jnp.stack([c * dx + s * dy, c * dy - s * dx, bend], axis=-1)


def copies(z: Float[Array, "*lead 6"], group: str) -> Float[Array, "copy *lead 6"]:
    """A triplet's coordinates under every element of a group of `GROUPS`."""
    first, second = z[..., :3], z[..., 3:]
    made = []
    for signs, swap in GROUPS[group]:
        sign = jnp.asarray(signs, z.dtype)
        a, b = (second, first) if swap else (first, second)
        sign = sign.reshape((1,) * (z.ndim - 1) + (3,))
        made.append(jnp.concatenate([sign * a, sign * b], axis=-1))
    return jnp.stack(made)


class AbstractBarEnergy(eqx.Module):
    """The elastic energy of three neighbouring bars [J]: of the middle one's share."""

    @abc.abstractmethod
    def __call__(
        self, z: Float[Array, "*lead 6"], context: Context = None
    ) -> Float[Array, "*lead"]:
        """E at the pair coordinates of both pairs, one after the other."""


@register("module")
class BarScale(Fixed):
    """Units of a network's inputs (one a pair's coordinate), and the coordinates
    `"6"` at which the energy counts as 0; never trained."""

    inputs: Float[Any, "3"]
    rest: Float[Any, "6"]


@register("module")
class ESNN(AbstractBarEnergy):
    r"""Euclidean symmetric network: an energy that no motion of the plane, reversal or
    half turn of the chain changes.

    $$ E(z) = \sum_{g \in G} f(g z), \qquad z = (\xi, \zeta, \vartheta)_{i-1,i},
       (\xi, \zeta, \vartheta)_{i,i+1} $$

    **Arguments:** `net` of 6 inputs (and as many as the context eta has, which no
    symmetry touches); `group`: `order4` (X, S and XS as published), `order8` (also the
    mirror y -> -y, where the helix's handedness may be neglected), `helix` (ours: those
    that a wire with top and bottom half a cycle apart has exactly: X, and reversal with
    a half turn about the axis, (-xi, zeta, th) and pairs swapped) or `none`.
    `bounded` subtracts the value at `scale.rest`; with a `rising` net E is bounded
    below.
    **Shapes and units:** z `"*lead 6"` [m, m, rad], E `"*lead"` [J].
    **Raises:** `ConfigError` for an unknown group; called, `ShapeError` for a context
    of another size.
    **Source:** Wang 2023, equation 3.13.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import ESNN
    >>> energy = ESNN.create(jax.random.key(0))
    >>> z = jnp.array([0.01, 0.001, 0.1, 0.02, 0.0, -0.1])
    >>> turned = jnp.array([-0.02, 0.0, 0.1, -0.01, -0.001, -0.1])  # XS
    >>> bool(jnp.allclose(energy(z), energy(turned)))
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "equation 3.13")

    net: ShortcutNet
    scale: BarScale
    group: str = eqx.field(static=True, default="order4")
    bounded: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        choice("group", self.group, GROUPS)

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        *,
        width: int = 32,
        depth: int = 5,
        eta: int = 0,
        group: str = "order4",
        bounded: bool = False,
        activation: str = "softplus",
        squared: bool = True,
        rest: tuple[float, ...] = (0.0,) * 6,
    ) -> ESNN:
        """A fresh one; `eta` is the size of the context."""
        net = ShortcutNet(
            6 + eta,
            width,
            depth,
            activation=activation,
            squared=squared,
            rising=bounded,
            key=key,
        )
        scale = BarScale(np.asarray(SCALE), np.asarray(rest, np.float64))
        return cls(net, scale, group, bounded)

    def __call__(
        self, z: Float[Array, "*lead 6"], context: Context = None
    ) -> Float[Array, "*lead"]:
        value = self._summed(z, context)
        if self.bounded:
            value = value - self._summed(jnp.asarray(self.scale.rest, z.dtype), context)
        return value

    def _summed(self, z: Array, context: Context) -> Array:
        given = 0 if context is None else jnp.shape(context)[-1]
        wanted = self.net.first.shape[1] - 6
        if given != wanted:
            raise ShapeError(
                f"the context eta has {given} entries; this energy takes {wanted}."
            )
        unit = jnp.tile(jnp.asarray(self.scale.inputs, z.dtype), 2)
        x = copies(z * unit.reshape((1,) * (z.ndim - 1) + (6,)), self.group)
        if context is not None:
            eta = jnp.asarray(context, z.dtype)
            eta = jnp.broadcast_to(eta, (*x.shape[:-1], eta.shape[-1]))
            x = jnp.concatenate([x, eta], axis=-1)
        return jnp.sum(self.net(x), axis=0)

    def redraw(self, key: PRNGKeyArray) -> ESNN:
        """The same energy with fresh random weights."""
        return eqx.tree_at(lambda e: e.net, self, self.net.redraw(key))


@register("module")
class ElasticBars(AbstractBarEnergy):
    r"""The classical energy of a chain of bars, three constants.

    $$ E = \tfrac12 \sum_{\text{both pairs}} \tfrac12 \left( k_a (\xi - \xi_0)^2 +
       k_s \zeta^2 + k_r \vartheta^2 \right) $$

    so that a pair counts once in the sum over triplets. `stiffness` holds the
    logarithms of ka, ks [N/m] and kr [N m]: they stay positive.
    **Source:** after Holmes et al. 2014 (a Slinky's equilibria).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import ElasticBars
    >>> energy = ElasticBars(jnp.log(jnp.array([65.0, 30.0, 0.05])), 0.0)
    >>> round(float(energy(jnp.array([0.01, 0, 0, 0.01, 0, 0]))), 6)
    0.00325

    ```
    """

    source: ClassVar[Source] = Source("Holmes2014", "discrete model")

    stiffness: Float[Array | np.ndarray, "3"]
    natural: float = eqx.field(static=True, default=0.0)

    def __call__(
        self, z: Float[Array, "*lead 6"], context: Context = None
    ) -> Float[Array, "*lead"]:
        k = jnp.exp(jnp.asarray(self.stiffness, z.dtype))
        total = jnp.zeros(z.shape[:-1], z.dtype)
        for part in (z[..., :3], z[..., 3:]):
            away = part.at[..., 0].add(-self.natural)
            total = total + 0.25 * jnp.sum(
                k.reshape((1,) * (z.ndim - 1) + (3,)) * away**2, axis=-1
            )
        return total
