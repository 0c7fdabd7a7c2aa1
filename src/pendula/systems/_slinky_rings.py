"""Cycles of a Slinky as rigid rings in space, and the helix again from the rings."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from .._errors import DataError
from ._elastic_rod import RodState
from ._rod_step import Boundary
from ._slinky import AROUND


@dataclasses.dataclass(frozen=True)
class Rings:
    """One ring a cycle: centre `x` `"*lead ring 3"` [m], orientation `q`
    `"*lead ring 3 3"` (columns: its axis, from the centre to the top, the third), rates
    `v` of the centre [m/s] and `w` of the turn about the ring's own axes [rad/s]."""

    x: Float[np.ndarray, "*lead ring 3"]
    q: Float[np.ndarray, "*lead ring 3 3"]
    v: Float[np.ndarray, "*lead ring 3"]
    w: Float[np.ndarray, "*lead ring 3"]

    def ends(self, radius: float = 0.033) -> Float[np.ndarray, "*lead ring 2 3"]:
        """Top and bottom of each ring [m]."""
        arm = radius * self.q[..., 1]
        return np.stack([self.x + arm, self.x - arm], axis=-2)

    def clamped(self, first: bool = True, last: bool = True) -> Rings:
        """With end rings that stay as they are at the first time (leading axis).

        A Slinky that is clamped `by="ring"` is held to the middle of its end cycles:
        there the wire has the place and the turn of these rings, and a whole cycle of
        free wire goes on to the next ring's middle.
        """
        x, q, v, w = (np.array(a) for a in (self.x, self.q, self.v, self.w))
        for held, ring in ((first, 0), (last, -1)):
            if held:
                x[:, ring], q[:, ring] = x[0, ring], q[0, ring]
                v[:, ring] = w[:, ring] = 0.0
        return Rings(x, q, v, w)

    def at(self, index: int | slice) -> Rings:
        """One time, or some."""
        return Rings(self.x[index], self.q[index], self.v[index], self.w[index])


def _cycles() -> tuple[np.ndarray, np.ndarray]:
    """Around one cycle, both of its ends included: angles, and the weighted inverse of
    (1, along the wire, cos, sin)."""
    j = np.arange(AROUND + 1)
    angle = 2.0 * np.pi * j / AROUND
    weight = np.ones(AROUND + 1)
    weight[[0, -1]] = 0.5  # of the mass of these nodes the cycle has a half
    basis = np.stack(
        [1.0 + 0.0 * angle, j / AROUND - 0.5, np.cos(angle), np.sin(angle)]
    )
    return angle, np.linalg.solve((basis * weight) @ basis.T, basis * weight)


_ANGLE, _INVERSE = _cycles()


def to_rings(
    nodes: Float[np.ndarray, "*lead node 3"],
    rates: Float[np.ndarray, "*lead node 3"] | None = None,
) -> Rings:
    r"""Rings of the cycles: nodes 16 i to 16 i + 16, the ends counting half.

    $$ x_{16 i + j} \approx c + a\,(j/16 - 1/2) + b \cos(2\pi j/16) + d \sin(2\pi j/16)
    $$

    by least squares; c is the centre of mass, and the orientation the rotation that is
    nearest to (b, d). The pitch a is left out of it: a helix that is drawn out evenly
    stays upright, whatever its pitch (a rotation that is fitted to the nodes themselves
    tilts by a/(pi R)). The turn carries the angular momentum of (b, d).
    **Raises:** `DataError` for nodes that are no whole cycles, or not finite.

    ```python
    >>> from pendula.systems import Slinky, to_rings
    >>> rings = to_rings(Slinky(cycles=2).points(pitch=0.01))
    >>> rings.x[:, 0].round(4).tolist()
    [0.005, 0.015]

    ```
    """
    nodes = np.asarray(nodes, np.float64)
    bad = nodes.ndim < 2 or nodes.shape[-1] != 3 or (nodes.shape[-2] - 1) % AROUND
    if bad or nodes.shape[-2] < AROUND + 1:
        raise DataError(
            f"nodes has shape {nodes.shape}; whole cycles have 16 nodes each and one "
            "at the end, (.., 16 cycles + 1, 3)."
        )
    if not np.isfinite(nodes).all():
        raise DataError("nodes are not all finite. Cut the motion before that.")
    centre, _, b, d = _harmonics(nodes)
    u, _, vt = np.linalg.svd(np.stack([b, d], axis=-1), full_matrices=False)
    flat = u @ vt
    axis = np.cross(flat[..., 0], flat[..., 1])
    q = np.concatenate([axis[..., None], flat], axis=-1)
    if rates is None:
        return Rings(centre, q, np.zeros_like(centre), np.zeros_like(centre))
    v, _, b_rate, d_rate = _harmonics(np.asarray(rates, np.float64))
    momentum = np.cross(b, b_rate) + np.cross(d, d_rate)
    outer = lambda h: h[..., :, None] * h[..., None, :]
    size = np.sum(b**2 + d**2, axis=-1)[..., None, None] * np.eye(3)
    spin = np.linalg.solve(size - outer(b) - outer(d), momentum[..., None])
    return Rings(centre, q, v, (np.swapaxes(q, -1, -2) @ spin)[..., 0])


def _harmonics(nodes: np.ndarray) -> np.ndarray:
    """(c, a, b, d) of each cycle, `"4 *lead ring 3"`."""
    cycles = (nodes.shape[-2] - 1) // AROUND
    at = AROUND * np.arange(cycles)[:, None] + np.arange(AROUND + 1)
    return np.einsum("aj,...cjd->a...cd", _INVERSE, nodes[..., at, :])


def from_rings(
    x: Float[np.ndarray, "*lead ring 3"],
    q: Float[np.ndarray, "*lead ring 3 3"],
    radius: float = 0.033,
) -> Float[np.ndarray, "*lead node 3"]:
    """The helix again, 16 nodes a cycle: centre and turn run evenly from the middle of
    one ring to the next, and on beyond the outermost ones.

    **Raises:** `DataError` for less than 2 rings.

    ```python
    >>> import numpy as np
    >>> from pendula.systems import Slinky, from_rings, to_rings
    >>> nodes = Slinky(cycles=3).points(pitch=0.01)
    >>> rings = to_rings(nodes)
    >>> bool(np.allclose(from_rings(rings.x, rings.q), nodes))
    True

    ```
    """
    rings = x.shape[-2]
    if rings < 2:
        raise DataError(
            f"x has {rings} rings; between at least 2 of them the wire is known."
        )
    k = np.arange(AROUND * rings + 1)
    place = k / AROUND - 0.5  # of which ring i stands at i
    i = np.clip(np.floor(place).astype(int), 0, rings - 2)
    f = place - i
    between = np.swapaxes(q[..., :-1, :, :], -1, -2) @ q[..., 1:, :, :]
    turn = Rotation.from_matrix(between.reshape(-1, 3, 3)).as_rotvec()
    turn = turn.reshape(*between.shape[:-2], 3)[..., i, :] * f[:, None]
    own = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix()
    own = q[..., i, :, :] @ own.reshape(*turn.shape, 3)
    centre = x[..., i, :] + f[:, None] * (x[..., i + 1, :] - x[..., i, :])
    angle = 2.0 * np.pi * k / AROUND
    arm = radius * np.stack([0.0 * angle, np.cos(angle), np.sin(angle)], axis=-1)
    return centre + (own @ arm[:, :, None])[..., 0]


def pushed(
    state: RodState,
    boundary: Boundary,
    *,
    across: float = 0.0,
    spin: float = 0.0,
    waves: tuple[int, int] = (1, 1),
) -> RodState:
    r"""A Slinky that begins with a velocity: along z, $v \sin(n \pi s)$, and turning
    about its axis, $\Omega \sin(m \pi s)$, with s from 0 to 1 between what is held.

    `across` v [m/s], `spin` Omega [rad/s], `waves` (n, m). The axis is the line from
    the first cycle's centre to the last one's.

    **Raises:** `DataError` where every node is held.

    ```python
    >>> from pendula.systems import Slinky, pushed, to_rings
    >>> slinky = Slinky(cycles=4)
    >>> rod = slinky.rod(span=0.02)
    >>> held = slinky.clamps(rod, by="ring")
    >>> thrown = pushed(rod.start, held, across=1.0)
    >>> rings = to_rings(thrown.nodes, thrown.v[:3].T)
    >>> rings.v[:, 2].round(2).tolist()
    [0.13, 0.83, 0.83, 0.13]

    ```
    """
    nodes = state.nodes
    free = np.flatnonzero(~np.asarray(boundary.fixed)[0])
    if not len(free):
        raise DataError("every node is held: nothing can be thrown. Let some go.")
    low, high = max(free[0] - 1, 0), min(free[-1] + 1, len(nodes) - 1)
    s = np.clip((np.arange(len(nodes)) - low) / (high - low), 0.0, 1.0)
    rings = to_rings(nodes)
    axis = rings.x[-1] - rings.x[0]
    axis = axis / np.linalg.norm(axis)
    turn = spin * np.sin(waves[1] * np.pi * s)
    rates = turn[:, None] * np.cross(axis, nodes - rings.x[0])
    rates[:, 2] += across * np.sin(waves[0] * np.pi * s)
    edge = np.diff(nodes, axis=0)
    edge = edge / np.linalg.norm(edge, axis=1, keepdims=True)
    twist = 0.5 * (turn[1:] + turn[:-1]) * (edge @ axis)
    v = np.vstack([rates.T, np.append(twist, 0.0)])
    v = np.where(np.asarray(boundary.fixed), 0.0, v)
    return eqx.tree_at(lambda s: s.v, state, np.asarray(state.v) + v)
