"""What is kept with the package does what it is kept for."""

import dataclasses

import numpy as np
import pytest

from pendula.dynamics import (
    BarWorld,
    bar_path,
    bar_rest,
    keep_slinky,
    slinky_network,
    slinky_record,
)
from pendula.dynamics._bars_kept import ASSETS
from pendula.systems import Slinky, bar_ends, bars_of


def test_the_files_are_small_and_hold_the_published_network():
    sizes = [f.stat().st_size for f in ASSETS.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 300_000
    about = slinky_network().about
    assert about["parameters"] == 15937
    assert about["config"]["group"] == "helix"
    assert np.allclose(about["law"], [68.8, 186.5, 0.0895], rtol=0.01)


def test_the_network_follows_the_record_that_it_learned_from():
    ts, u, v = bars_of(slinky_record())
    chain = slinky_network().model().field.force
    path = bar_path(chain, ts, u[0], v[0])
    pairs = zip(bar_ends(path.u), bar_ends(u), strict=True)
    gap = np.mean([np.linalg.norm(a - b, axis=-1) for a, b in pairs])
    assert gap < 0.003  # of a drop of 0.47 m


@pytest.mark.slow
def test_a_hanging_slinky_rests_where_the_formula_of_springs_in_a_row_says():
    slinky = Slinky(cycles=20)
    chain = slinky_network().model().field.force
    world = BarWorld.of(slinky.cycle_mass)
    hanging = dataclasses.replace(chain, world=world, last=False)
    u = np.zeros((20, 3))
    u[:, 1] = -0.004 * np.arange(20)
    u[:, 2] = -np.pi / 2
    still = bar_rest(hanging, u)
    # each pair carries what hangs below it: m g C (C - 1) / (2 k)
    sag = slinky.cycle_mass * 9.8 * 20 * 19 / 2 / 68.0 + 19 * slinky.pitch
    assert abs((still[0, 1] - still[-1, 1]) / sag - 1.0) < 0.03


def test_kept_files_are_written_again(tmp_path):
    keep_slinky(slinky_network(), slinky_record(), tmp_path)
    for name in ("slinky.safetensors", "slinky.npz"):
        assert (tmp_path / name).stat().st_size == (ASSETS / name).stat().st_size
