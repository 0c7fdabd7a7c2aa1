"""The energy of a Slinky's cycle in an endless chain: what is stored where its bars are
placed and the wire between them is at rest."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import positive, whole
from .._errors import ConfigError, DivergedError
from .._precision import precision
from ._elastic_rod import ElasticRod
from ._rod_banded import Grid
from ._rod_element import strains_of
from ._rod_energy import (
    Elastic,
    Frames,
    edges_of,
    elements_of,
    energy,
    slope,
    stiffness,
    tangents,
)
from ._rod_frames import Vectors, normal_to, reference_twist
from ._slinky import AROUND, Slinky, to_bars


HALF = AROUND // 2
MOST = 40  # iterations of Newton's method to a part of the way
STRIDE = 0.05  # of the radius, the longest way of a node in an iteration
BATCH = 64  # states that are solved together
ANGLES = 2.0 * np.pi * np.arange(AROUND) / AROUND


class Cells(NamedTuple):
    """Energy `"*lead"` [J] of the cycles, and its slope in the coordinates of each pair
    `"*lead pair 3"` [N, N, N m]."""

    energy: Float[np.ndarray, "*lead"]
    slope: Float[np.ndarray, "*lead pair 3"]


def cell_energy(
    slinky: Slinky,
    pairs: Any,
    *,
    parts: int = 2,
    tolerance: float = 1e-7,
) -> Cells:
    r"""Elastic energy of cycles of an endless chain whose pairs of bars repeat.

    $$ W(p_1, .., p_M) = \min E, \qquad x_{k + 16 M} = g\,x_k,\quad
       g = g(p_1) \cdots g(p_M) $$

    Each pair (xi, zeta, th) says where the next bar is
    (`pendula.dynamics.pair_coordinates`). Of every bar its centre and its tilt are
    held, in the plane; how long it is, the wire and its twist are at rest. With one
    pair it is the cell problem of homogenisation: the energy that a smoothly deformed
    chain stores a cycle. Two pairs that take turns tell what a cycle feels of a
    neighbour that is deformed otherwise.

    **Arguments:** `pairs` `"*lead pair 3"` [m, m, rad], of one state or of many;
    `parts`: in how many equal parts the bars go there from rest; `tolerance`: the force
    that Newton's method may leave [N].
    **Returns:** `Cells`, of all M cycles together, in float64.
    **Raises:** `ConfigError` for another shape, values that are not finite, no part of
    the way or a tolerance that is not positive;
    `DivergedError` where no rest is found.
    **Source:** cell problem of periodic homogenisation (Bensoussan, Lions,
    Papanicolaou 1978), motions of the plane for translations; ours for the rod.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Slinky, cell_energy
    >>> drawn = np.array([[[0.01, 0.0, 0.0]], [[0.0101, 0.0, 0.0]]])
    >>> found = cell_energy(Slinky(2), drawn)
    >>> mean = found.slope[:, 0, 0].mean()  # N
    >>> bool(abs(mean * 1e-4 / np.diff(found.energy)[0] - 1.0) < 1e-5)
    True

    ```
    """
    given = np.asarray(pairs, np.float64)
    if given.ndim < 2 or given.shape[-1] != 3 or given.size == 0:
        raise ConfigError(
            f"pairs has shape {given.shape}; expected (.., pair, 3): stretch, shear "
            "and bend of each pair."
        )
    whole(1, parts=parts)
    positive(tolerance=tolerance)
    if not np.isfinite(given).all():
        raise ConfigError("pairs has values that are not finite. Leave the states out.")
    lead, count = given.shape[:-2], given.shape[-2]
    flat = given.reshape(-1, count, 3)
    with precision(np.float64):
        wire = Wire.of(slinky, count)
        way = jnp.asarray(parts), jnp.asarray(tolerance)
        found = [_at_rest(wire, b, *way) for b in _batches(flat)]
        every = [np.concatenate(x)[: len(flat)] for x in zip(*found, strict=True)]
    stored, slopes, left = every
    bad = np.flatnonzero(~(left <= tolerance))
    if bad.size:
        raise DivergedError(
            f"a cycle whose pair is {flat[bad[0], 0].tolist()} found no rest: force "
            f"{left[bad[0]]:.3g} N left. Take more parts, or a state nearer to rest."
        )
    return Cells(stored.reshape(lead), slopes.reshape(given.shape))


def _batches(flat: np.ndarray) -> list[Array]:
    """Of one size, the last one filled up: one program for all."""
    missing = -len(flat) % BATCH
    filled = np.concatenate([flat, np.repeat(flat[-1:], missing, axis=0)])
    return [jnp.asarray(b) for b in filled.reshape(-1, BATCH, *flat.shape[1:])]


class Wire(NamedTuple):
    """The wire of M cycles and the two nodes after them; the `natural` pair, at which
    nothing is stored."""

    elastic: Elastic
    radius: Float[Array, ""]
    natural: Float[Array, "3"]

    @classmethod
    def of(cls, slinky: Slinky, count: int) -> Wire:
        """Strains at rest are told by directors along the radius: they repeat with the
        cycles, as those that are carried along the wire do not."""
        points = dataclasses.replace(slinky, cycles=count + 1).points()
        rod = ElasticRod.from_points(points, slinky.own_section)
        nodes = AROUND * count + 2
        z = jnp.asarray(np.vstack([points.T, np.zeros(len(points))])[:, :nodes])
        frames = _framed(z, _radial(jnp.zeros(count + 1)))
        rest = strains_of(elements_of(edges_of(z)), frames.frozen).strains
        own = rod.elastic
        # m1 lies along the radius here, where a section's lies along the axis
        over = own.bending.over_length[jnp.asarray([1, 0, 2]), : nodes - 2]
        # the last edge is the first one again, whose stretch has counted
        axial = own.axial[: nodes - 1].at[-1].set(0.0)
        stiff = own.bending._replace(over_length=over, rest=rest)
        tilt = to_bars(points)[0][0, 2]
        natural = slinky.pitch * np.array([np.cos(tilt), -np.sin(tilt), 0.0])
        return cls(
            Elastic(own.length[: nodes - 1], axial, stiff),
            jnp.asarray(slinky.radius),
            jnp.asarray(natural),
        )

    def nodes(self, free: Array, pairs: Float[Array, "pair 3"]) -> Grid:
        """Where the wire is: half circles between the ends of bars, displaced by
        `free`, linear in it. Of each cycle: how much longer the bar is at its top and
        bottom, the other nodes in the bar's frame, the angles of the edges."""
        count = pairs.shape[0]
        bars = _placed(pairs)
        arm = self.radius * jnp.stack([-jnp.sin(bars[:, 2]), jnp.cos(bars[:, 2])], 1)
        top, low = bars[:, :2] + arm, bars[:, :2] - arm
        first = _half_circles(top[:-1], low[:-1], self.radius)
        second = _half_circles(low[:-1], top[1:], -self.radius)
        start = jnp.concatenate([first, second], axis=1)
        parts = free.reshape(count, -1)
        longer, theta = parts[:, 0], parts[:, 1 : 1 + AROUND]
        moved = parts[:, 1 + AROUND :].reshape(count, 2, HALF - 1, 3)
        along = longer[:, None, None] * jnp.asarray([[0.0, 1.0, 0.0]])[None]
        own = [along, moved[:, 0], -along, moved[:, 1]]
        own = _turned(jnp.concatenate(own, axis=1), bars[:-1, 2])
        x = (start + own).reshape(-1, 3)
        onwards = jnp.concatenate([bars[-1, :2], jnp.zeros(1)])
        again = _turned(x[None, :2], bars[-1:, 2])[0] + onwards[None]
        angle = jnp.concatenate([theta.ravel(), theta[0, :2]])
        return jnp.concatenate([jnp.concatenate([x, again]).T, angle[None]])

    def frames(self, pairs: Array) -> Frames:
        """Those of the half circles: they repeat with the motion from a cycle to the
        next, and so do those that are carried on from them."""
        none = jnp.zeros(free_of(pairs.shape[0]))
        return _framed(self.nodes(none, pairs), _radial(_placed(pairs)[:, 2]))


def free_of(count: int) -> int:
    """Unknowns of so many cycles."""
    return count * (1 + AROUND + 3 * (AROUND - 2))


def _placed(pairs: Float[Array, "pair 3"]) -> Float[Array, "bar 3"]:
    """Bars from the first one on, which stands upright at 0."""
    bars = [jnp.zeros(3, pairs.dtype)]
    for k in range(pairs.shape[0]):
        xi, zeta, bend = pairs[k]
        beta = bars[-1][2] + 0.5 * bend
        c, s = jnp.cos(beta), jnp.sin(beta)
        bars.append(bars[-1] + jnp.stack([c * xi - s * zeta, s * xi + c * zeta, bend]))
    return jnp.stack(bars)


def _half_circles(p: Array, q: Array, side: Array) -> Float[Array, "cycle node 3"]:
    """From p on to q, out of the plane; q itself is left out."""
    phi = jnp.asarray(ANGLES[:HALF])
    middle = 0.5 * (p + q)
    flat = middle[:, None] + (p - middle)[:, None] * jnp.cos(phi)[None, :, None]
    out = jnp.broadcast_to(side * jnp.sin(phi), flat.shape[:2])
    return jnp.concatenate([flat, out[..., None]], axis=-1)


def _turned(v: Float[Array, "cycle node 3"], angle: Array) -> Array:
    """About the axis out of the plane."""
    c, s = jnp.cos(angle)[:, None], jnp.sin(angle)[:, None]
    x, y = v[..., 0], v[..., 1]
    return jnp.stack([c * x - s * y, s * x + c * y, v[..., 2]], axis=-1)


def _radial(tilts: Float[Array, "bar"]) -> Vectors:
    """Outwards at the middle of each edge of the cycles that these bars begin, and of
    one edge more."""
    at = jnp.asarray(ANGLES + np.pi / AROUND)
    upright = jnp.stack([jnp.zeros_like(at), jnp.cos(at), jnp.sin(at)], axis=-1)
    every = jnp.broadcast_to(upright, (tilts.shape[0], *upright.shape))
    edges = AROUND * (tilts.shape[0] - 1) + 1
    return _turned(every, tilts).reshape(-1, 3)[:edges].T


def _framed(z: Grid, directors: Vectors) -> Frames:
    t = tangents(z)
    d = normal_to(directors, t)
    return Frames(t, d, reference_twist(d, t, jnp.zeros(t.shape[1] - 1)))


@eqx.filter_jit
def _at_rest(wire: Wire, states: Array, parts: Array, tolerance: Array) -> Any:
    """Energy, slope in the pairs, and the force that is left, of each state."""

    def one(pairs: Array) -> tuple[Array, Array, Array]:
        begin = jnp.broadcast_to(wire.natural, pairs.shape)

        def onwards(k: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
            share = (k + 1).astype(pairs.dtype) / parts.astype(pairs.dtype)
            here = begin + share * (pairs - begin)
            return _newton(wire, item[0], here, tolerance)

        first = jnp.zeros(free_of(len(pairs))), jnp.asarray(jnp.inf)
        free, left = jax.lax.fori_loop(0, parts, onwards, first)
        z = wire.nodes(free, pairs)
        frames = wire.frames(pairs).at(z)
        stored = energy(z, frames, wire.elastic)
        # at rest the energy does not feel how the wire yields: what is left is how the
        # nodes go along with the bars, and that the frame of the edge after the last
        # cycle turns about it, where it would be carried on without a turn
        along = jax.jacfwd(lambda p: wire.nodes(free, p))(pairs)
        turn = jax.jacfwd(lambda p: _placed(p)[-1, 2])(pairs)
        along = along.at[3, -2].add(frames.tangent[2, -1] * turn)
        push = slope(z, frames, wire.elastic)
        return stored, jnp.tensordot(push, along, 2), left

    return jax.vmap(one)(states)


def _newton(
    wire: Wire, free: Array, pairs: Array, tolerance: Array
) -> tuple[Array, Array]:
    """The wire at rest between the bars, and the force that is left."""
    frames = wire.frames(pairs)
    shape = lambda free: wire.nodes(free, pairs)
    spread = jax.jacfwd(shape)(free)  # constant: nodes are linear in what is free

    def going(item: tuple) -> Array:
        return (item[1] < MOST) & (item[2] > tolerance)

    def step(item: tuple) -> tuple:
        free, count, _ = item
        g, blocks = stiffness(shape(free), frames, wire.elastic)
        pushed = jax.vmap(blocks.times, 2, 2)(spread)
        matrix = jnp.einsum("cni,cnj->ij", spread, pushed)
        g = jnp.einsum("cni,cn->i", spread, g)
        left = jnp.max(jnp.abs(g))
        move = jnp.linalg.solve(matrix, g)
        # whole steps: a wire that hardly stretches is off its length after each one,
        # which the next one mends, while a search along the energy would creep
        most = jnp.max(jnp.abs(jnp.einsum("cni,i->cn", spread, move)[:3]))
        move = move * jnp.minimum(1.0, STRIDE * wire.radius / most)
        return jnp.where(left > tolerance, free - move, free), count + 1, left

    first = (free, jnp.zeros((), jnp.int32), jnp.asarray(jnp.inf))
    free, _, left = jax.lax.while_loop(going, step, first)
    return free, left
