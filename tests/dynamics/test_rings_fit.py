"""Learning the energy of rings from a chain whose law is known."""

import dataclasses

import jax
import numpy as np
import pytest

from pendula import CheckpointError, ConfigError, DataError
from pendula.dynamics import (
    ElasticRings,
    RingChain,
    RingESNN,
    RingsConfig,
    RingWorld,
    fit_rings,
    ring_path,
)
from pendula.systems import Rings, ring_record, rings_of


TRUE = [50.0, 120.0, 140.0, 0.07, 0.06, 0.05]
WORLD = RingWorld.of()
SMALL = RingsConfig(
    width=4, depth=1, steps=4, shortest=2, longest=6, span=0.0376, law="springs"
)


def chain(natural=7e-4):
    return RingChain(ElasticRings.of(TRUE, natural), WORLD, True, False)


@pytest.fixture(scope="module")
def record():
    rng = np.random.default_rng(0)
    x = np.zeros((4, 3))
    x[:, 0] = 0.006 * np.arange(4)
    q = np.broadcast_to(np.eye(3), (4, 3, 3))
    v, w = rng.normal(0, 0.2, x.shape), rng.normal(0, 4, x.shape)
    ts = 0.0025 * np.arange(18)
    path = ring_path(chain(), ts, Rings(x, q, v, w))
    return ring_record(ts, path.rings.clamped(last=False))


@pytest.mark.slow
def test_springs_are_found_again_and_a_network_stands_on_them(record, tmp_path):
    fitted = fit_rings(record, WORLD, SMALL, last=False, out=tmp_path / "one")
    np.testing.assert_allclose(fitted.about["constants"], TRUE, rtol=5e-3)
    names = [stage["name"] for stage in fitted.about["stages"]]
    assert names == ["springs on 16 frames", "clips"]
    assert isinstance(fitted.chain.energy, RingESNN)
    law = fitted.law.energy
    assert isinstance(law, ElasticRings)
    np.testing.assert_array_equal(law.couplings, np.zeros(7))
    springs = fitted.springs.energy
    assert isinstance(springs, ElasticRings)
    np.testing.assert_array_equal(law.springs, springs.springs)
    ts, rings = rings_of(record)
    for one in (fitted.chain, fitted.law):
        path = ring_path(one, ts, rings.at(0))
        assert np.abs(path.rings.x - rings.x).max() < 1e-3

    class Killed(Exception):
        pass

    def stop(row):
        if row["phase"] == "clips" and row["step"] >= 2:
            raise Killed

    with pytest.raises(Killed):
        fit_rings(record, WORLD, SMALL, last=False, out=tmp_path / "two", tell=stop)
    again = fit_rings(
        record, WORLD, SMALL, last=False, out=tmp_path / "two", resume=True
    )
    for a, b in zip(
        jax.tree.leaves(again.chain), jax.tree.leaves(fitted.chain), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(SMALL, steps=5)
    with pytest.raises(CheckpointError, match="other settings or data"):
        fit_rings(record, WORLD, other, last=False, out=tmp_path / "two", resume=True)


def test_bad_settings_and_records_are_named():
    x = np.zeros((3, 3, 3))
    still = Rings(x, np.broadcast_to(np.eye(3), (3, 3, 3, 3)), x, x)
    data = ring_record(np.arange(3.0), still)
    with pytest.raises(ConfigError, match='law "spring" is unknown'):
        RingsConfig(law="spring")
    with pytest.raises(ConfigError, match="expected four that are not negative"):
        RingsConfig(weights=(1.0, 2.0))
    with pytest.raises(ConfigError, match=r"lr is 0\.0; it must be above 0"):
        RingsConfig(lr=0.0)
    with pytest.raises(ConfigError, match=r"span is 0.001 s, of which the records"):
        fit_rings(data, WORLD, dataclasses.replace(SMALL, span=0.001))
    with pytest.raises(DataError, match="expected x0, y0, z0, q11_0"):
        fit_rings(data.channels(["x0", "y0"]), WORLD, SMALL)
