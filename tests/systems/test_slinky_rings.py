"""Cycles as rings: where they are, how they turn, and the helix again."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from pendula import ConfigError, DataError
from pendula.systems import (
    Boundary,
    ElasticRod,
    Rings,
    Slinky,
    from_rings,
    pushed,
    ring_record,
    rings_of,
    stored_energy,
    to_rings,
)


CYCLES = 2
HALF = np.diag([-1.0, 1.0, -1.0])  # half turn about what points to the tops


def bent(seed=0):
    """Nodes of a helix that is drawn out, and moved by smooth waves in space."""
    nodes = Slinky(CYCLES).points(0.01)
    rng = np.random.default_rng(seed)
    s = nodes[:, :1] / nodes[-1, 0]
    for n in (1, 2, 3):
        nodes = nodes + 2e-3 * rng.normal(size=3) * np.sin(n * np.pi * s + rng.normal())
    return nodes


def test_a_drawn_helix_stays_upright_whatever_its_pitch():
    for pitch in (0.7e-3, 0.02):
        nodes = Slinky(CYCLES).points(pitch)
        rings = to_rings(nodes)
        assert_allclose(rings.q, np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-12)
        assert_allclose(rings.x[:, 0], pitch * (np.arange(2) + 0.5), atol=1e-15)
        assert_allclose(rings.x[:, 1:], 0.0, atol=1e-15)
        assert_allclose(from_rings(rings.x, rings.q), nodes, atol=1e-12)
    top, bottom = np.moveaxis(rings.ends(), -2, 0)
    assert_allclose(top - bottom, np.tile([0.0, 0.066, 0.0], (2, 1)), atol=1e-12)


def test_rings_move_with_the_wire():
    nodes = bent()
    turn = Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix()
    one, two = to_rings(nodes), to_rings(nodes @ turn.T + [1.0, 2.0, 3.0])
    assert_allclose(two.x, one.x @ turn.T + [1.0, 2.0, 3.0], atol=1e-12)
    assert_allclose(two.q, turn @ one.q, atol=1e-12)
    assert_allclose(np.linalg.det(two.q), 1.0)


def test_rates_are_those_of_a_rigid_motion():
    nodes = bent()
    v, spin = np.array([0.3, -0.1, 0.2]), np.array([3.0, -2.0, 5.0])
    rings = to_rings(nodes, v + np.cross(spin, nodes))
    assert_allclose(rings.v, v + np.cross(spin, rings.x), atol=1e-12)
    assert_allclose((rings.q @ rings.w[..., None])[..., 0], np.tile(spin, (2, 1)))


def test_a_wire_read_backwards_has_the_same_energy_and_turned_rings():
    """The symmetry that the energy of rings has: exact for the rod too."""
    slinky = Slinky(CYCLES)
    rest, nodes = slinky.points(), bent()
    turned = lambda p: (p[::-1] - rest[16] * [1, 0, 0]) @ HALF + rest[16] * [1, 0, 0]
    assert_allclose(turned(rest), rest, atol=1e-15)  # a helix is its own half turn
    energies = []
    for points in (nodes, turned(nodes)):
        rod = ElasticRod.from_points(points, slinky.own_section, rest=rest)
        energies.append(stored_energy(rod, rod.start))
    assert energies[0] > 1e-4
    assert_allclose(energies[1], energies[0], rtol=1e-9)
    one, two = to_rings(nodes), to_rings(turned(nodes))
    assert_allclose(two.q, HALF @ one.q[::-1] @ HALF, atol=1e-12)


def test_a_push_moves_rings_and_leaves_what_is_held():
    slinky = Slinky(CYCLES)
    rod = slinky.rod(0.01)
    held = slinky.clamps(rod, last=False, by="ring")
    begin = pushed(rod.start, held, across=1.0, spin=10.0, waves=(1, 2))
    v = np.asarray(begin.v)
    assert_allclose(v[np.asarray(held.fixed)], 0.0)
    rings = to_rings(begin.nodes, v[:3].T)
    momentum = np.sum(np.asarray(rod.mass)[:3] * v[:3], axis=1)
    assert_allclose(slinky.cycle_mass * rings.v.sum(0), momentum, atol=1e-6)
    # the last ring's middle stands at s = 2/3
    assert_allclose(rings.w[-1, 0], 10.0 * np.sin(4 * np.pi / 3), rtol=0.2)
    assert_allclose(rings.v[-1, 2], np.sin(2 * np.pi / 3), rtol=0.1)
    later = Rings(*(np.stack([a, a + 1.0]) for a in vars(rings).values()))
    still = later.clamped(last=False)
    assert_allclose(still.x[1, 0], still.x[0, 0])
    assert_allclose(still.v[:, 0], 0.0)
    assert not np.allclose(still.x[1, 1], still.x[0, 1])


def test_records_go_there_and_back_and_say_what_is_wrong():
    one = to_rings(np.stack([bent(0), bent(1)]))
    data = ring_record(np.arange(2.0), one)
    ts, again = rings_of(data)
    assert_allclose(ts, [0.0, 1.0])
    for a, b in zip(vars(one).values(), vars(again).values(), strict=True):
        assert_allclose(a, b)
    with pytest.raises(DataError, match="expected x0, y0, z0, q11_0"):
        rings_of(data.channels(["x0", "y0"]))
    with pytest.raises(DataError, match="times are in ms"):
        rings_of(dataclasses.replace(data, time_unit="ms"))
    skewed, lost = one.q.copy(), one.x.copy()
    skewed[0, 1] *= 1.1
    lost[1] = np.nan
    with pytest.raises(DataError, match="q of ring 1 at sample 0 is no rotation"):
        ring_record(np.arange(2.0), dataclasses.replace(one, q=skewed))
    with pytest.raises(DataError, match="rings at sample 1 are not finite"):
        ring_record(np.arange(2.0), dataclasses.replace(one, x=lost))
    with pytest.raises(DataError, match="x, q, v and w of the rings have shapes"):
        ring_record(np.arange(2.0), one.at(0))
    with pytest.raises(DataError, match="there is no record 2"):
        rings_of(data, 2)
    with pytest.raises(DataError, match="x has 1 rings"):
        from_rings(one.x[:, :1], one.q[:, :1])
    with pytest.raises(DataError, match="whole cycles have 16 nodes each"):
        to_rings(np.zeros((20, 3)))
    rod = Slinky(2).rod()
    with pytest.raises(DataError, match="every node is held"):
        pushed(rod.start, Boundary.of(rod, range(33)), across=1.0)
    with pytest.raises(DataError, match="nodes are not all finite"):
        to_rings(np.full((17, 3), np.nan))
    with pytest.raises(ConfigError, match="Allowed: cycle, ring, edge"):
        Slinky(2).clamps(Slinky(2).rod(), by="bar")
