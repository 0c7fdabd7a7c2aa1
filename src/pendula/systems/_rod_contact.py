"""Contact between neighbouring cycles of a rod that is wound."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import positive
from .._errors import ConfigError, DataError
from .._source import Source
from ._rod_banded import Grid, NodeBlocks


KEPT = 0.2  # of a gap, at least, after one step of Newton's method


class Contact(eqx.Module):
    r"""A barrier that keeps neighbouring cycles apart.

    $$ E = \kappa \sum_k l_k\, b(D_k - h), \qquad
       b(d) = -(d - \hat d)^2 \ln(d / \hat d), \quad 0 < d < \hat d $$

    D is the distance of a node from the edge that lies beside it, a cycle of `around` P
    nodes on: node k from edge (k + P - 1, k + P), and node k + P from edge (k, k + 1).
    No friction; cycles further apart, or the sides of other windings, never meet.

    **Arguments:** `stiffness` $\kappa$ of each length of rod [N/m^2], `thickness` h
    and `margin` $\hat d$ [m].
    **Raises:** `ConfigError` for numbers that are not positive, `around` below 3.
    **Source:** Li et al. 2020, equation 6.

    ```python
    >>> from pendula.systems import Slinky
    >>> contact = Slinky(cycles=3).contact()
    >>> float(contact.thickness), contact.around
    (0.0006, 16)

    ```
    """

    source: ClassVar[Source] = Source("Li2020", "equation 6")

    stiffness: Float[Any, ""]
    thickness: Float[Any, ""]
    margin: Float[Any, ""]
    around: int = eqx.field(static=True)

    @classmethod
    def of(
        cls,
        stiffness: float,
        thickness: float = 6e-4,
        margin: float = 2e-4,
        around: int = 16,
    ) -> Contact:
        """From numbers."""
        named = {"stiffness": stiffness, "thickness": thickness, "margin": margin}
        positive(**named)
        if around < 3:
            raise ConfigError(f"around is {around}; a cycle has at least 3 nodes.")
        one, two, three = (np.asarray(v, np.float64) for v in named.values())
        return cls(one, two, three, around)

    def checked(self, nodes: Float[np.ndarray, "node 3"]) -> None:
        """**Raises:** `DataError` for a start whose cycles overlap, with the node."""
        if len(nodes) <= self.around:
            raise ConfigError(
                f"the rod has {len(nodes)} nodes, which is no cycle of {self.around} "
                "and a node more: nothing can touch."
            )
        with jax.enable_x64(True):
            gaps = np.asarray(self.gaps(jnp.asarray(nodes.T, jnp.float64)))
        side, k = np.unravel_index(int(np.argmin(gaps)), gaps.shape)
        if not gaps[side, k] > 0.0:
            p = self.around
            node, edge = (k, k + p - 1) if side == 0 else (k + p, k)
            raise DataError(
                f"cycles overlap at the start: node {node} is {-gaps[side, k]:.3g} m "
                f"too near to edge {edge}. Draw the rod out, or take a smaller "
                "thickness."
            )

    def gaps(self, z: Float[Array, "row node"]) -> Float[Array, "side pair"]:
        """D - h of all candidates [m], negative where they overlap."""
        return jnp.stack(
            [jax.vmap(_distance, 1)(x) for x in self._triples(z)]
        ) - self.thickness.astype(z.dtype)

    def _triples(self, z: Array) -> tuple[Array, Array]:
        """(point, begin and end of the edge) of each candidate, `"9 pair"`."""
        x, p = z[:3], self.around
        n = x.shape[1]
        one = [x[:, : n - p], x[:, p - 1 : n - 1], x[:, p:]]
        other = [x[:, p:], x[:, : n - p], x[:, 1 : n - p + 1]]
        return jnp.concatenate(one), jnp.concatenate(other)

    def _weights(self, lengths: Array) -> tuple[Array, Array]:
        n, p = lengths.shape[0], self.around
        own = self.stiffness.astype(lengths.dtype) * lengths
        return own[: n - p], own[p:]

    def _barrier(self, x: Array) -> Array:
        """b of one candidate; infinite where it overlaps."""
        d = _distance(x) - self.thickness.astype(x.dtype)
        return jnp.where(
            d > 0.0, barrier(d, jnp.asarray(self.margin, x.dtype)), jnp.inf
        )

    def energy(self, z: Grid, lengths: Float[Array, "node"]) -> Float[Array, ""]:
        """E [J] with the lengths of rod of the nodes."""
        parts = zip(self._triples(z), self._weights(lengths), strict=True)
        return sum(
            (jnp.sum(w * jax.vmap(self._barrier, 1)(x)) for x, w in parts),
            jnp.zeros((), z.dtype),
        )

    def slope(self, z: Grid, lengths: Float[Array, "node"]) -> Grid:
        """Its slope."""
        return jax.grad(self.energy)(z, lengths)

    def curvature(
        self, z: Grid, lengths: Float[Array, "node"], *, positive: bool = False
    ) -> NodeBlocks:
        """Its second derivative; `positive` leaves out that the nearest points turn
        aside, which makes it so."""
        size = lambda f: jax.vmap(f, 1, 2)
        parts = []
        for x, w in zip(self._triples(z), self._weights(lengths), strict=True):
            if positive:
                wide = jnp.asarray(self.margin, x.dtype)
                steep = jax.grad(jax.grad(lambda d, wide=wide: barrier(d, wide)))
                d = jax.vmap(_distance, 1)(x) - self.thickness.astype(x.dtype)
                bend = jnp.maximum(jax.vmap(steep)(d), 0.0)
                g = jax.vmap(jax.grad(_distance), 1, 1)(x)
                parts.append((w * bend)[None, None] * g[:, None] * g[None])
            else:
                parts.append(w[None, None] * size(jax.hessian(self._barrier))(x))
        return _assembled(parts[0], parts[1], z.shape[1], self.around)

    def share(self, z: Grid, move: Grid) -> Float[Array, ""]:
        """The largest share of a move that leaves each gap a fifth of what it is, by a
        bound: no distance changes by more than the longest way of its point against
        an end of its edge."""
        # what point and edge do together changes no distance
        apart = [
            jnp.maximum(
                jnp.sum((m[:3] - m[3:6]) ** 2, axis=0),
                jnp.sum((m[:3] - m[6:]) ** 2, axis=0),
            )
            for m in self._triples(move)
        ]
        longest = jnp.sqrt(jnp.stack(apart))
        room = (1.0 - KEPT) * self.gaps(z) / (longest + 1e-30)
        return jnp.minimum(1.0, jnp.min(room))


def barrier(d: Float[Array, "*gap"], margin: Float[Array, ""]) -> Float[Array, "*gap"]:
    r"""$-(d - \hat d)^2 \ln(d/\hat d)$ for $0 < d < \hat d$, 0 beyond.

    **Source:** Li et al. 2020, equation 6.
    """
    near = jnp.clip(d, 1e-12, margin)
    return -((near - margin) ** 2) * jnp.log(near / margin)


def _distance(x: Float[Array, "9"]) -> Float[Array, ""]:
    """Of a point from an edge."""
    p, a, b = x[:3], x[3:6], x[6:]
    e = b - a
    t = jnp.clip((p - a) @ e / (e @ e), 0.0, 1.0)
    off = p - a - t * e
    return jnp.sqrt(off @ off)


def _assembled(one: Array, other: Array, number: int, around: int) -> NodeBlocks:
    """From candidates `"9 9 pair"` of both kinds to pairs of nodes."""
    n, p = number, around

    def block(h: Array, i: int, j: int) -> Array:
        own = h[3 * i : 3 * i + 3, 3 * j : 3 * j + 3]
        return jnp.pad(own, ((0, 1), (0, 1), (0, 0)))

    def at(a: Array, low: int, size: int) -> Array:
        return jnp.pad(a, ((0, 0), (0, 0), (low, size - low - a.shape[2])))

    # kind one: nodes k, k + P - 1, k + P; kind other: k + P, k, k + 1
    diagonal = (
        at(block(one, 0, 0), 0, n)
        + at(block(one, 1, 1), p - 1, n)
        + at(block(one, 2, 2), p, n)
        + at(block(other, 0, 0), p, n)
        + at(block(other, 1, 1), 0, n)
        + at(block(other, 2, 2), 1, n)
    )
    first = at(block(one, 1, 2), p - 1, n - 1) + at(block(other, 1, 2), 0, n - 1)
    near = at(block(one, 0, 1), 0, n - p + 1) + at(block(other, 2, 0), 1, n - p + 1)
    across = block(one, 0, 2) + block(other, 1, 0)
    second = jnp.zeros((4, 4, n - 2), one.dtype)
    return NodeBlocks(diagonal, first, second, near, across)
