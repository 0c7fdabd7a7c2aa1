"""Cycles of an endless chain at rest: rigid motions, mirrors, slopes, closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DivergedError
from pendula.systems import Section, Slinky, cell_energy, cycle_shapes, to_bars


SLINKY = Slinky(2)
AT = np.array([[0.009, 0.0008, 0.12], [0.007, -0.0005, -0.06]])  # two pairs
STEP = np.array([1e-5, 1e-5, 3e-4])


@pytest.fixture(scope="module")
def found():
    """One program for all: AT, its neighbours, and pairs that repeat."""
    states = [AT, AT[::-1], np.repeat(AT[:1], 2, axis=0)]
    tilt = to_bars(SLINKY.points())[0][0, 2]
    rest = SLINKY.pitch * np.array([np.cos(tilt), -np.sin(tilt), 0.0])
    states.append(np.repeat(rest[None], 2, axis=0))
    drawn = rest + np.array([1e-4, 0.0, 0.0])
    states.append(np.repeat(drawn[None], 2, axis=0))
    for pair in range(2):
        for k in range(3):
            for side in (1.0, -1.0):
                moved = AT.copy()
                moved[pair, k] += side * STEP[k]
                states.append(moved)
    return cell_energy(SLINKY, np.array(states))


def test_the_slope_is_that_of_the_energy(found):
    up, down = found.energy[5::2], found.energy[6::2]
    measured = ((up - down) / (2.0 * np.tile(STEP, 2))).reshape(2, 3)
    assert_allclose(found.slope[0], measured, rtol=1e-5, atol=1e-7)


def test_nothing_is_stored_at_rest(found):
    assert abs(found.energy[3]) < 1e-12
    assert_allclose(found.slope[3], 0.0, atol=1e-7)


def test_pairs_may_begin_anywhere(found):
    """Cells that repeat have no first pair."""
    assert_allclose(found.energy[1], found.energy[0], rtol=1e-9)
    assert_allclose(found.slope[1], found.slope[0][::-1], rtol=1e-5, atol=1e-7)


def test_a_cycle_pulls_as_a_helical_spring(found):
    """G d^4 / (64 R^3) = 65 N/m of a circle; 16 chords are stiffer by a few percent."""
    pull = found.slope[4, 0, 0] / 1e-4
    assert 65.0 < pull < 72.0


def test_a_flat_wire_tilts_in_its_soft_direction():
    """A turn of wire bent about the radius and twisted: EI GJ / (pi R (EI + GJ)), EI1
    of a strip that lies flat; chords are stiffer by a few percent."""
    strip = Section.strip(2.5e-3, 0.62e-3, 200e9, 7800.0)
    bent = np.tile([0.7e-3, 0.0, 0.02], (1, 2, 1))
    found = cell_energy(Slinky(2, section=strip), bent).slope[0, 0, 2] / 0.02
    ei, gj = strip.bending_1, strip.twisting
    assert_allclose(found, ei * gj / (np.pi * 0.033 * (ei + gj)), rtol=0.07)


@pytest.mark.slow
def test_one_pair_is_half_of_the_same_two(found):
    alone = cell_energy(SLINKY, AT[:1])
    assert_allclose(2.0 * alone.energy, found.energy[2], rtol=1e-9)
    assert_allclose(alone.slope[0], found.slope[2, 0], rtol=1e-5, atol=1e-7)


def test_bad_states_are_named():
    with pytest.raises(ConfigError, match=r"pairs has shape \(3,\)"):
        cell_energy(SLINKY, np.zeros(3))
    with pytest.raises(ConfigError, match="not finite"):
        cell_energy(SLINKY, np.full((1, 3), np.nan))
    with pytest.raises(ConfigError, match="parts is 0"):
        cell_energy(SLINKY, AT, parts=0)
    with pytest.raises(ConfigError, match="tolerance is nan"):
        cell_energy(SLINKY, AT, tolerance=np.nan)


@pytest.mark.slow
def test_a_rest_that_is_not_found_is_told():
    with pytest.raises(DivergedError, match=r"found no rest: force"):
        cell_energy(SLINKY, AT, tolerance=1e-30)


def test_a_shape_does_not_tell_where_its_cycle_is():
    nodes = SLINKY.points() + 0.002 * np.sin(np.arange(33))[:, None]
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    there = nodes @ turn.T + [0.1, -0.2, 0.3]
    assert_allclose(cycle_shapes(there), cycle_shapes(nodes), atol=1e-12)
    shape = cycle_shapes(nodes)[1]
    assert_allclose(shape[0, :2] + shape[8, :2], 0.0, atol=1e-12)
    assert abs(shape[0, 0]) < 1e-12
