"""Elastic energy of a whole rod, its slope and stiffness, from elements that share
edges."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ._rod_banded import Grid, NodeBlocks
from ._rod_element import (
    Frozen,
    Stiffness,
    element_curvature,
    element_energy,
    element_slope,
)
from ._rod_frames import (
    FLIPPED,
    Vectors,
    dot,
    normal_to,
    reference_twist,
    transport,
    unit,
)


class Elastic(NamedTuple):
    """What of a rod its energy needs: `length` of the edges at rest and `axial`
    stiffness EA, both `"edge"`; stiffness and rest strains of the elements."""

    length: Float[Array, "edge"]
    axial: Float[Array, "edge"]
    bending: Stiffness


class Frames(NamedTuple):
    """Tangents and reference directors `"3 edge"`, reference twist `"inner"`, at the
    last accepted step."""

    tangent: Vectors
    director: Vectors
    twist: Float[Array, "inner"]

    @property
    def frozen(self) -> Frozen:
        """The same by elements."""
        t, d = self.tangent, self.director
        return Frozen(t[:, :-1], t[:, 1:], d[:, :-1], d[:, 1:], self.twist)

    def at(self, z: Grid) -> Frames:
        """Carried on to where the rod is now."""
        t = tangents(z)
        d = normal_to(transport(self.director, self.tangent, t), t)
        return Frames(t, d, reference_twist(d, t, self.twist))

    def flipped(self, z: Grid) -> Array:
        """Whether an edge has turned by so much that its frame cannot be carried."""
        return jnp.any(dot(self.tangent, tangents(z)) < FLIPPED)


def tangents(z: Grid) -> Vectors:
    """Unit vectors along the edges."""
    return unit(z[:3, 1:] - z[:3, :-1])


def edges_of(z: Grid) -> Float[Array, "4 edge"]:
    """(e, theta) of every edge."""
    return jnp.concatenate([z[:3, 1:] - z[:3, :-1], z[3:, :-1]])


def elements_of(y: Float[Array, "4 edge"]) -> Float[Array, "8 inner"]:
    """(e, theta_e, f, theta_f) of every two adjacent edges."""
    return jnp.concatenate([y[:, :-1], y[:, 1:]])


def energies(z: Grid, frames: Frames, rod: Elastic) -> dict[str, Array]:
    r"""Stretching energy `"edge"`, bending and twisting energy `"inner"` [J].

    $$ E = \sum_k \tfrac12 EA\, l_k (|e_k|/l_k - 1)^2 + \sum_k
       \frac{EI_1 (\kappa_1 - \bar\kappa_1)^2 + EI_2 (\kappa_2 - \bar\kappa_2)^2
       + GJ (\tau - \bar\tau)^2}{2\, \bar l_k} $$
    """
    y = edges_of(z)
    strain = jnp.sqrt(dot(y[:3], y[:3])) / rod.length - 1.0
    bent = element_energy(elements_of(y), frames.frozen, rod.bending)
    return {
        "stretch": 0.5 * rod.axial * rod.length * strain**2,
        "bend": bent[0] + bent[1],
        "twist": bent[2],
    }


def energy(z: Grid, frames: Frames, rod: Elastic) -> Float[Array, ""]:
    """Their sum [J]."""
    parts = energies(z, frames, rod)
    return sum((jnp.sum(part) for part in parts.values()), jnp.zeros((), z.dtype))


def slope(z: Grid, frames: Frames, rod: Elastic) -> Grid:
    """Slope of the energy at the nodes: minus the elastic forces [N, N m]."""
    y = edges_of(z)
    bent = element_slope(elements_of(y), frames.frozen, rod.bending)
    return _at_nodes(_at_edges(bent) + _axial_slope(y, rod))


def stiffness(z: Grid, frames: Frames, rod: Elastic) -> tuple[Grid, NodeBlocks]:
    """Slope and second derivative of the energy."""
    y = edges_of(z)
    bent, curved = element_curvature(elements_of(y), frames.frozen, rod.bending)
    own = jnp.pad(curved[:4, :4], ((0, 0), (0, 0), (0, 1)))
    own = own + jnp.pad(curved[4:, 4:], ((0, 0), (0, 0), (1, 0)))
    own = own + jnp.pad(_axial_stiffness(y, rod), ((0, 1), (0, 1), (0, 0)))
    g = _at_nodes(_at_edges(bent) + _axial_slope(y, rod))
    return g, _node_blocks(own, curved[:4, 4:])


def _axial_slope(y: Array, rod: Elastic) -> Float[Array, "4 edge"]:
    length = jnp.sqrt(dot(y[:3], y[:3]))
    pull = rod.axial * (length / rod.length - 1.0) / length
    return jnp.concatenate([pull[None] * y[:3], jnp.zeros_like(y[3:])])


def _axial_stiffness(y: Array, rod: Elastic) -> Float[Array, "3 3 edge"]:
    along, across, slack = _axial_parts(y, rod)
    return along * (rod.axial / rod.length)[None, None] + across * slack[None, None]


def _axial_parts(y: Array, rod: Elastic) -> tuple[Array, Array, Array]:
    """Projections `"3 3 edge"` along and across each edge, and its stiffness across:
    the pull over the length."""
    length = jnp.sqrt(dot(y[:3], y[:3]))
    t = y[:3] / length[None]
    along = t[:, None] * t[None]
    across = jnp.eye(3, dtype=y.dtype)[:, :, None] - along
    return along, across, rod.axial * (1.0 / rod.length - 1.0 / length)


def compression(z: Grid, rod: Elastic) -> NodeBlocks:
    """What makes the stretching stiffness positive again: edges that are shorter than
    at rest pull aside, and this is taken back."""
    _, across, slack = _axial_parts(edges_of(z), rod)
    taken = jnp.maximum(-slack, 0.0)
    own = jnp.pad(across * taken[None, None], ((0, 1), (0, 1), (0, 0)))
    return _node_blocks(own, jnp.zeros_like(own[..., 1:]))


def _at_edges(bent: Float[Array, "8 inner"]) -> Float[Array, "4 edge"]:
    low, high = ((0, 0), (0, 1)), ((0, 0), (1, 0))
    return jnp.pad(bent[:4], low) + jnp.pad(bent[4:], high)


def _at_nodes(g: Float[Array, "4 edge"]) -> Grid:
    """Edge k is node k + 1 minus node k, its angle is kept at node k."""
    ahead = jnp.concatenate([-g[:3], g[3:]])
    behind = jnp.concatenate([g[:3], jnp.zeros_like(g[3:])])
    return jnp.pad(ahead, ((0, 0), (0, 1))) + jnp.pad(behind, ((0, 0), (1, 0)))


def _node_blocks(own: Array, pair: Array) -> NodeBlocks:
    """From edges, `own` (k, k) `"4 4 edge"` and `pair` (k, k + 1) `"4 4 inner"`, to
    nodes: y_k = R z_k + S z_{k+1}."""
    r = jnp.asarray([-1.0, -1.0, -1.0, 1.0], own.dtype)
    s = jnp.asarray([1.0, 1.0, 1.0, 0.0], own.dtype)
    of = lambda left, a, right: left[:, None, None] * a * right[None, :, None]
    wide = lambda a, low, high: jnp.pad(a, ((0, 0), (0, 0), (low, high)))
    mixed = of(s, pair, r)
    mixed = mixed + mixed.transpose(1, 0, 2)
    diagonal = wide(of(r, own, r), 0, 1) + wide(of(s, own, s), 1, 0)
    first = of(r, own, s) + wide(of(r, pair, r), 0, 1) + wide(of(s, pair, s), 1, 0)
    return NodeBlocks(diagonal + wide(mixed, 1, 1), first, of(r, pair, s))
