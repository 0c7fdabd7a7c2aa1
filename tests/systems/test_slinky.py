"""The Slinky: its measures, its bars, and the helix again."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError
from pendula.systems import (
    ElasticRod,
    Section,
    Slinky,
    bar_ends,
    cycle_energy,
    drop,
    from_bars,
    rod_energy,
    to_bars,
)


def test_a_cycle_weighs_and_pulls_as_published():
    slinky = Slinky()
    assert_allclose(slinky.cycle_mass, 2.5e-3, rtol=1e-4)
    wire = slinky.own_section
    assert_allclose(wire.twisting / wire.bending_1, 1.0 / 1.3)
    shear = 65e9 / 2.6
    assert_allclose(shear * (2 * slinky.wire) ** 4 / (64 * 0.033**3), 65.0, rtol=1e-4)
    assert slinky.points().shape == (16 * 76 + 1, 3)


def test_the_helix_has_its_bars_upright_one_pitch_apart():
    bars, none = to_bars(Slinky(5).points())
    assert none is None
    half = 0.5 * 0.7e-3 / 2  # top and bottom are half a cycle apart
    assert_allclose(bars[:, 0], 0.7e-3 * np.arange(5) + half, atol=1e-15)
    assert_allclose(bars[:, 1], 0.0, atol=1e-15)
    assert_allclose(bars[:, 2], np.arctan2(0.35e-3, 0.066), rtol=1e-12)


def test_bars_and_helix_go_there_and_back():
    """The nodes of a drawn helix, but for the slant of its half turns."""
    nodes = Slinky(4).points(0.01)
    again = from_bars(to_bars(nodes)[0])
    assert again.shape == (3, 17, 3)
    for i in range(3):
        off = again[i] - nodes[16 * i : 16 * i + 17]
        assert_allclose(off[[0, 8, 16], :2], 0.0, atol=4e-4)
        assert np.abs(off).max() < 3e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(-20.0, 20.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_bars_turn_and_move_with_the_plane(angle, dx, dy):
    """alpha is continuous along the bars, and grows by the angle (but for whole
    turns); ends and rates go along."""
    nodes = Slinky(6).points(0.01) + 0.002 * np.sin(np.arange(97))[:, None]
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    here, rates = to_bars(nodes, nodes @ np.diag([0.3, -0.2, 1.0]))
    there, other = to_bars(
        nodes @ turn.T + [dx, dy, 0.0], nodes @ np.diag([0.3, -0.2, 1.0]) @ turn.T
    )
    assert_allclose(there[:, :2], here[:, :2] @ turn[:2, :2].T + [dx, dy], atol=1e-12)
    turns = (there[:, 2] - here[:, 2] - angle) / (2.0 * np.pi)
    assert_allclose(turns, np.round(turns[0]), atol=1e-9)
    assert_allclose(other[:, :2], rates[:, :2] @ turn[:2, :2].T, atol=1e-12)
    assert_allclose(other[:, 2], rates[:, 2], atol=1e-9)
    top, bottom = bar_ends(there)
    assert_allclose(np.linalg.norm(top - bottom, axis=1), 0.066, rtol=1e-12)


def test_angles_do_not_jump_in_time():
    """Bars that turn through pi."""
    angle = np.linspace(0.0, 7.0, 40)
    nodes = Slinky(2).points()
    runs = []
    for a in angle:
        c, s = np.cos(a), np.sin(a)
        runs.append(nodes @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]))
    bars, _ = to_bars(np.stack(runs))
    assert np.abs(np.diff(bars[..., 2], axis=0)).max() < 0.2
    assert_allclose(bars[-1, 0, 2] - bars[0, 0, 2], 7.0, rtol=1e-9)


@pytest.mark.slow
def test_a_short_slinky_drops_between_its_clamps():
    """End bars stay, the middle falls, the path of the centre line is smooth."""
    rod, state, held = Slinky(4).horizontal()
    run = drop(rod, state, held, 0.02, 1e-3)
    assert run.good
    bars = to_bars(run.nodes)[0]
    assert_allclose(bars[-1, [0, -1]], bars[0, [0, -1]], atol=1e-15)
    assert bars[-1, 1:3, 1].max() < -1e-5
    loose, state, free = Slinky(4).vertical()
    run = drop(loose, state, free, 0.02, 1e-3)
    assert run.good
    assert to_bars(run.nodes)[0][-1, -1, 1] < to_bars(run.nodes)[0][0, -1, 1] - 1e-3


def test_a_flat_wire_lies_the_same_way_in_every_cycle():
    """m1 along the axis: the ring's own curvature is one about it, all along."""
    strip = Section.strip(2.5e-3, 0.62e-3, 200e9, 7800.0)
    for down in (False, True):
        rest = np.asarray(Slinky(3, section=strip).rod(down=down).rest)
        assert_allclose(rest, np.broadcast_to(rest[:, :1], rest.shape), atol=1e-12)
        assert_allclose(rest[0], 0.0, atol=1e-12)
        assert_allclose(abs(rest[1]), 2.0 * np.tan(np.pi / 16), rtol=1e-3)


@pytest.mark.slow
def test_hanging_and_lying_slinkies_are_drawn_out_alike():
    lying, state, held = Slinky(3).horizontal(0.03, last=False)
    hanging, down, free = Slinky(3).vertical(0.03)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert_allclose(down.nodes, state.nodes @ turn, atol=1e-9)
    assert_allclose(hanging.start.nodes, lying.start.nodes @ turn, atol=1e-15)
    np.testing.assert_array_equal(held.fixed, free.fixed)


def test_what_is_no_slinky_is_refused():
    with pytest.raises(ConfigError, match="cycles is 1"):
        Slinky(1)
    with pytest.raises(ConfigError, match="radius is -1"):
        Slinky(radius=-1.0)
    with pytest.raises(ConfigError, match="less than the wire"):
        Slinky(3).rod(span=2.0)
    with pytest.raises(ConfigError, match='clamps by "node"'):
        Slinky(3).clamps(Slinky(3).rod(), by="node")
    with pytest.raises(DataError, match="whole cycles have 16 nodes"):
        to_bars(np.zeros((18, 3)))
    with pytest.raises(DataError, match="whole cycles have 16 nodes"):
        to_bars(np.zeros((4, 1, 3)))


@pytest.mark.slow
def test_the_energy_of_the_cycles_is_that_of_the_rod():
    slinky = Slinky(3)
    rod = slinky.rod(0.02)
    run = drop(rod, rod.start, slinky.clamps(rod), 0.02, 5e-3)
    stored = cycle_energy(rod, run)
    whole = rod_energy(rod, run, (0.0, -9.8, 0.0))["elastic"]
    assert stored.shape == (5, 3)
    assert np.allclose(stored.sum(axis=1), whole, rtol=1e-12)
    # drawn evenly at first: at both ends a node does not bend
    assert_allclose(stored[0, 0], stored[0, 2], rtol=1e-9)
    assert 0.9 * stored[0, 1] < stored[0, 0] < stored[0, 1]
    line = np.linspace([0.0, 0, 0], [0.1, 0, 0], 6)
    other = ElasticRod.from_points(line, Section.circular(1e-3, 1e6, 1000.0))
    with pytest.raises(DataError, match="whole cycles"):
        cycle_energy(other, run)


def test_bars_of_another_shape_are_named():
    with pytest.raises(DataError, match=r"bars has shape \(5, 2\); expected"):
        from_bars(np.zeros((5, 2)))
    with pytest.raises(ConfigError, match="samples is 1"):
        from_bars(np.zeros((5, 3)), samples=1)
