"""Invariant coordinates of neighbouring rings in space, and energies of them."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from ..nn import ShortcutNet
from ._rotation import quaternion, rotation_vector


# What each symmetry makes of (t, phi) of one pair: signs, and whether the pairs change
# places.
_SAME = ((1.0,) * 6, False)
_REVERSED = ((1.0, -1.0, 1.0, 1.0, -1.0, 1.0), True)
_HALF_TURN = ((1.0, -1.0, -1.0, 1.0, -1.0, -1.0), False)
_BOTH = ((1.0, 1.0, -1.0, 1.0, 1.0, -1.0), True)
RING_GROUPS: dict[str, tuple[tuple[tuple[float, ...], bool], ...]] = {
    "none": (_SAME,),
    "helix": (_SAME, _REVERSED),
    "half_turns": (_SAME, _REVERSED, _HALF_TURN, _BOTH),
}
"""Name -> the copies (signs of a pair's coordinates, whether both pairs swap)."""
RING_SCALE = (1e3, 1e3, 1e3, 1e1, 1e1, 1e1)  # of a pair's coordinates in m, rad
UNIT = 1e-3  # J, of a network's output: half a cycle's pull over 5 mm
# the law's matrix in this order of coordinates; what the reversal keeps comes first
_ORDER = (0, 2, 3, 5, 1, 4)
_COUPLED = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (5, 4))


def ring_coordinates(
    x: Float[Array, "ring 3"], q: Float[Array, "ring 3 3"]
) -> Float[Array, "pair 6"]:
    r"""Invariant coordinates of each ring (x, Q) and the next.

    $$ \phi = \log(Q_i^T Q_{i+1}), \quad H = Q_i \exp(\hat\phi/2), \quad
       t = H^T (x_{i+1} - x_i) $$

    (t, phi): stretch and two shears [m] in the frame H half way between both rings,
    twist and two bends [rad]; the same for any motion of space. For rings whose centres
    and axes stay in a plane they are (xi, zeta, 0, 0, 0, theta) of `pair_coordinates`.
    **Source:** ours, after Wang 2023, equations 3.10 to 3.12.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import ring_coordinates
    >>> x = jnp.array([[0.0, 0, 0], [0.01, 0, 0]])
    >>> ring_coordinates(x, jnp.stack([jnp.eye(3)] * 2)).round(4).tolist()
    [[0.009999999776482582, 0.0, 0.0, 0.0, 0.0, 0.0]]

    ```
    """
    back = jnp.swapaxes(q[:-1], -1, -2)
    w, u = quaternion(back @ q[1:])
    away = (back @ (x[1:] - x[:-1])[..., None])[..., 0]
    once = jnp.cross(u, away)
    half = away - once + jnp.cross(u, once) / (1.0 + w)[:, None]
    return jnp.concatenate([half, rotation_vector(w, u)], axis=-1)


def ring_copies(
    z: Float[Array, "*lead 12"], group: str
) -> Float[Array, "copy *lead 12"]:
    """A triplet's coordinates under every element of a group of `RING_GROUPS`."""
    first, second = z[..., :6], z[..., 6:]
    made = []
    for signs, swap in RING_GROUPS[group]:
        sign = jnp.asarray(signs, z.dtype).reshape((1,) * (z.ndim - 1) + (6,))
        a, b = (second, first) if swap else (first, second)
        made.append(jnp.concatenate([sign * a, sign * b], axis=-1))
    return jnp.stack(made)


class AbstractRingEnergy(eqx.Module):
    """The elastic energy of three neighbouring rings [J]: of the middle one's share."""

    @abc.abstractmethod
    def __call__(self, z: Float[Array, "*lead 12"]) -> Float[Array, "*lead"]:
        """E at the coordinates of both pairs, one after the other."""


@register("module")
class ElasticRings(AbstractRingEnergy):
    r"""The classical energy of a chain of rings: six springs a pair, or their full
    matrix.

    $$ E = \tfrac12 \sum_{\text{both pairs}} \tfrac12 |L^T (z - z_0)|^2, \qquad
       L = \mathrm{diag}(\sqrt k)\,(1 + C) $$

    so that a pair counts once in the sum over triplets. `springs` `"6"` are the
    logarithms of k: stretch, two shears [N/m], twist, two bends [N m]. `couplings`
    `"7"`, without unit, are C below the diagonal, in the order (stretch, second shear,
    twist, second bend; first shear, first bend): all that the reversal of a helix
    leaves; 0: springs alone. z0 is the pitch at rest along the axis.
    **Source:** after Holmes et al. 2014 (a Slinky's equilibria); in space ours.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import ElasticRings
    >>> energy = ElasticRings.of([65.0, 170.0, 170.0, 0.09, 0.08, 0.08])
    >>> z = jnp.zeros(12).at[jnp.array([0, 6])].set(0.01)
    >>> round(float(energy(z)), 6)
    0.00325

    ```
    """

    source: ClassVar[Source] = Source("Holmes2014", "discrete model")

    springs: Float[Array | np.ndarray, "6"]
    couplings: Float[Array | np.ndarray, "7"]
    natural: float = eqx.field(static=True, default=0.0)

    @classmethod
    def of(cls, constants: Any, natural: float = 0.0) -> ElasticRings:
        """Of six positive constants. **Raises:** `ConfigError` for others."""
        k = np.asarray(constants, np.float64)
        if k.shape != (6,) or not (np.isfinite(k) & (k > 0.0)).all():
            raise ConfigError(
                f"constants are {k.tolist()}; expected six above 0: stretch, two "
                "shears [N/m], twist, two bends [N m]."
            )
        return cls(np.log(k), np.zeros(7), natural)

    def matrix(self, like: Array) -> Float[Array, "6 6"]:
        """The stiffness of a pair, in the order of its coordinates."""
        rows, columns = np.asarray(_COUPLED).T
        lower = jnp.eye(6, dtype=like.dtype)
        lower = lower.at[rows, columns].set(jnp.asarray(self.couplings, like.dtype))
        root = jnp.exp(0.5 * jnp.asarray(self.springs, like.dtype))
        lower = root[np.asarray(_ORDER)][:, None] * lower
        back = np.argsort(_ORDER)
        return (lower @ lower.T)[back][:, back]

    def __call__(self, z: Float[Array, "*lead 12"]) -> Float[Array, "*lead"]:
        k = self.matrix(z)
        total = jnp.zeros(z.shape[:-1], z.dtype)
        for part in (z[..., :6], z[..., 6:]):
            away = part.at[..., 0].add(-self.natural)
            total = total + 0.25 * jnp.sum((away @ k) * away, axis=-1)
        return total


@register("module")
class RingScale(Fixed):
    """Units of a network's inputs (one a pair's coordinate) and of its output [J],
    and the coordinates `"12"` at which it counts as 0; never trained."""

    inputs: Float[Any, "6"]
    rest: Float[Any, "12"]
    output: Float[Any, ""]


@register("module")
class RingESNN(AbstractRingEnergy):
    r"""Euclidean symmetric network in space: the classical law and a network, an energy
    that no motion of space and no reversal of the wire changes.

    $$ E(z) = E_{law}(z) + \sum_{g \in G} \big( f(g z) - f(g z_0) \big), \qquad
       z = (t, \phi)_{i-1,i}, (t, \phi)_{i,i+1} $$

    **Arguments:** `net` of 12 inputs; `law`: six springs or their full matrix;
    `group`: `helix`: reading the wire backwards, a half turn of each ring about its
    own second axis, (t1, -t2, t3, phi1, -phi2, phi3) and pairs swapped, exact for a
    uniform round wire; `half_turns`: also a half turn of each ring about its own axis,
    (t1, -t2, -t3, phi1, -phi2, -phi3), exact only where neighbouring cycles are alike;
    `none`.
    **Shapes and units:** z `"*lead 12"` [m, rad], E `"*lead"` [J].
    **Raises:** `ConfigError` for an unknown group.
    **Source:** Wang 2023, equation 3.13, in a plane; in space ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import ElasticRings, RingESNN
    >>> law = ElasticRings.of([65.0, 170.0, 170.0, 0.09, 0.08, 0.08])
    >>> energy = RingESNN.create(jax.random.key(0), law, width=4, depth=1)
    >>> bool(energy(jnp.ones(12)) == law(jnp.ones(12)))  # before it has learned
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "equation 3.13")

    net: ShortcutNet
    law: ElasticRings
    scale: RingScale
    group: str = eqx.field(static=True, default="helix")

    def __check_init__(self) -> None:
        choice("group", self.group, RING_GROUPS)

    @classmethod
    def create(
        cls,
        key: PRNGKeyArray,
        law: ElasticRings,
        *,
        width: int = 16,
        depth: int = 3,
        group: str = "helix",
    ) -> RingESNN:
        """A fresh one, which says what the law says: its last layer is 0."""
        net = ShortcutNet(12, width, depth, key=key)
        last = lambda n: (n.last, n.last_bias)
        net = eqx.tree_at(last, net, [jnp.zeros_like(x) for x in last(net)])
        rest = np.zeros(12)
        rest[[0, 6]] = law.natural
        scale = RingScale(np.asarray(RING_SCALE), rest, np.asarray(UNIT))
        return cls(net, law, scale, group)

    def __call__(self, z: Float[Array, "*lead 12"]) -> Float[Array, "*lead"]:
        rest = jnp.asarray(self.scale.rest, z.dtype)
        away = self._summed(z) - self._summed(rest)
        return self.law(z) + jnp.asarray(self.scale.output, z.dtype) * away

    def _summed(self, z: Array) -> Array:
        unit = jnp.tile(jnp.asarray(self.scale.inputs, z.dtype), 2)
        z = z * unit.reshape((1,) * (z.ndim - 1) + (12,))
        return jnp.sum(self.net(ring_copies(z, self.group)), axis=0)

    def redraw(self, key: PRNGKeyArray) -> RingESNN:
        """The same energy with fresh random weights."""
        return eqx.tree_at(lambda e: e.net, self, self.net.redraw(key))
