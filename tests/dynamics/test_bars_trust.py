"""How far an energy of bars can be trusted, on laws that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, DataError
from pendula.dynamics import (
    BarChain,
    BarTrust,
    BarWorld,
    ElasticBars,
    Fitted,
    VisitedRegion,
    bar_model,
    bar_path,
)
from pendula.systems import bar_record


BARS, FRAMES = 6, 24
WORLD = BarWorld.of()


def chain(scale):
    law = scale * jnp.asarray([50.0, 120.0, 0.06], jnp.float32)
    return BarChain(ElasticBars(jnp.log(law), 0.0), WORLD, last=False)


@pytest.fixture(scope="module")
def known():
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.006 * np.arange(BARS)
    path = bar_path(chain(1.0), 0.01 * np.arange(FRAMES), u)
    return path, bar_record(path.ts, path.u, path.v)


def test_a_free_end_is_covered_as_its_neighbours_are(known):
    """It goes furthest, and so do the errors there; a held one is where it is."""
    path, record = known
    trust = BarTrust.of(fitted(0.8, 0.85, 0.9), record)
    covered = trust.forecast(path.ts, path.u[0]).covered(path.u)
    assert covered[:, 0].all()
    assert abs(covered[1:, 1:].mean() - 0.9) < 0.02


def fitted(*scales, substeps=5):
    models = [bar_model(chain(s), BARS, substeps) for s in scales]
    stacked = jax.tree.map(lambda *x: np.stack([np.asarray(a) for a in x]), *models)
    return Fitted(stacked, {"members": len(scales)})


def test_intervals_cover_the_record_as_often_as_they_say(known):
    path, record = known
    trust = BarTrust.of(fitted(0.97, 1.01, 1.04), record)
    told = trust.forecast(path.ts, path.u[0])
    covered = told.covered(path.u)[1:, 1:]
    assert abs(covered.mean() - 0.9) < 0.02
    assert np.all(told.half[:, 0] == 0.0)  # held
    assert told.in_domain.mean() > 0.95
    # drawn out further than anything that was seen, and said so
    far = trust.forecast(path.ts, path.u[0], world=BarWorld.of(gravity=(0.0, -50.0)))
    assert not far.in_domain[-1, :2].any()  # near the clamp; the others fall freely
    assert far.in_domain[0].all()
    assert far.half.max() > told.half.max()


def test_a_record_with_samples_further_apart_takes_more_steps(known):
    """2 ms as in training: steps of 6 ms would leave the finite numbers."""
    path, _ = known
    ts = 0.03 * np.arange(8)
    slow = bar_path(chain(1.0), ts, path.u[0], substeps=15)
    record = bar_record(ts, slow.u, slow.v)
    trust = BarTrust.of(fitted(0.97, 1.01, 1.04, substeps=15), record)
    told = trust.forecast(ts, slow.u[0])
    assert trust.step == pytest.approx(2e-3)
    assert np.abs(told.bars - slow.u).max() < 0.02


def test_the_region_has_the_symmetries_of_the_wire(known):
    path, record = known
    region = VisitedRegion(record)
    u = path.u[-1] + np.random.default_rng(0).normal(size=(BARS, 3)) * 1e-3
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    moved = np.concatenate([u[:, :2] @ turn.T, u[:, 2:] + 0.5 * np.pi], axis=1)
    # X: the mirror of the picture, x to -x, which turns every tilt
    mirrored = np.concatenate([-u[:, :1], u[:, 1:2], -u[:, 2:]], axis=1)
    own = region.distance(u)
    np.testing.assert_allclose(region.distance(moved), own, rtol=1e-4)
    assert own.shape == (BARS,)
    np.testing.assert_allclose(region.distance(mirrored), own, rtol=1e-4)


def test_the_region_is_the_same_far_from_the_origin(known):
    """Single precision would tell places there to centimetres only."""
    path, record = known
    u = path.u[-1] + np.random.default_rng(0).normal(size=(BARS, 3)) * 1e-3
    away = np.array([1e5, -1e5, 0.0])
    moved = VisitedRegion(bar_record(path.ts, path.u + away, path.v))
    own = VisitedRegion(record).distance(u)
    np.testing.assert_allclose(moved.distance(u + away), own, rtol=1e-2)


def test_a_motion_that_left_the_finite_numbers_is_outside(known):
    path, record = known
    region = VisitedRegion(record)
    lost = np.stack([path.u[3], np.full_like(path.u[3], np.nan)])
    far = region.distance(lost)
    np.testing.assert_array_equal(far[0], region.distance(path.u[3]))
    assert np.all(far[1] == np.inf)


def test_what_cannot_be_judged_is_refused(known):
    path, record = known
    with pytest.raises(ConfigError, match="no spread"):
        BarTrust.of(fitted(1.0), record)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        BarTrust.of(fitted(1.0, 1.1), record, level=1.0)
    short = bar_record(path.ts[:4], path.u[:4], path.v[:4])
    with pytest.raises(DataError, match="at least 6"):
        VisitedRegion(short)
