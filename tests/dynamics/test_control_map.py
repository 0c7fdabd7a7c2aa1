"""Settings to eta: a known curve is found, its level sets too, and doubt grows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import CheckpointError, ConfigError, DataError, ShapeError
from pendula._errors import DataWarning
from pendula.dynamics import fit_control_map, load_control_map
from pendula.nn import MLP
from pendula.train import save_tree


NAMES, UNITS = ("E", "rho"), ("GPa", "g/cm^3")


def draw(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform([50.0, 2.0], [80.0, 8.0], (count, 2))


def curve(settings):
    """One eta of E/rho alone, bent."""
    ratio = settings[..., 0] / settings[..., 1]
    return np.tanh(0.5 * np.log(ratio / 14.0) + 0.3 * np.log(ratio / 14.0) ** 2)


@pytest.fixture(scope="module")
def rod():
    settings = draw(24)
    return fit_control_map(settings, curve(settings)[:, None], NAMES, UNITS)


def test_unseen_settings_within_three_percent_of_the_range(rod):
    unseen = draw(20, seed=1)
    found = np.array([rod(c)[0] for c in unseen])
    span = np.ptp(curve(draw(24)))
    assert np.abs(found - curve(unseen)).max() < 0.03 * span


def test_level_sets_follow_the_ratio(rod):
    """Along E/rho = const eta moves less than 3 % of its range, and its gradient in
    (log E, log rho) points along (1, -1)."""
    span = np.ptp(curve(draw(24)))
    for ratio in (10.0, 14.0, 20.0):
        rho = np.linspace(max(2.2, 52 / ratio), min(7.5, 78 / ratio), 6)
        line = np.column_stack([ratio * rho, rho])
        assert np.ptp([rod(c)[0] for c in line]) < 0.03 * span
    logs = jnp.log(jnp.asarray([64.0, 4.0]))
    slope = jax.grad(lambda x: rod(jnp.exp(x))[0])(logs)
    assert_allclose(slope[1] / slope[0], -1.0, atol=0.15)


def test_an_affine_relation_is_recovered():
    rng = np.random.default_rng(0)
    settings = rng.normal(size=(12, 3))
    mix = np.array([[1.0, 0.2], [-0.5, 2.0], [0.3, 0.0]])
    made = fit_control_map(settings, settings @ mix + 3.0)
    unseen = rng.normal(size=3)
    mean, covariance = made.predict(unseen)
    assert made.log == (False,) * 3
    # the noise is taken as at least 0.1 % of the spread
    assert_allclose(mean, unseen @ mix + 3.0, atol=5e-3)
    assert np.sqrt(np.diag(covariance)).max() < 0.05


def test_the_band_covers_and_widens_away_from_the_data():
    truth = lambda x: np.sin(2 * x) + 0.5 * x
    inside = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        at, unseen = rng.uniform(-1, 1, (30, 1)), rng.uniform(-1, 1, (40, 1))
        seen, new = (truth(x) + 0.1 * rng.normal(size=x.shape) for x in (at, unseen))
        made = fit_control_map(at, seen, log=False)
        for c, value in zip(unseen, new, strict=True):
            mean, covariance = made.predict(c)
            inside.append(abs(value - mean)[0] < 1.645 * np.sqrt(covariance[0, 0]))
    # 200 values: a standard error of 2 %; hyperparameters are taken as known
    assert 0.8 < np.mean(inside) < 0.97
    near, far = made.predict(np.array([0.0]))[1], made.predict(np.array([4.0]))[1]
    assert far[0, 0] > 10 * near[0, 0]


def test_few_systems_do_not_make_a_map_sure():
    """Five points of an arc are also those of other curves."""
    inside = []
    for seed in range(8):
        at = np.random.default_rng(seed).uniform(1, 3, (5, 1))
        made = fit_control_map(at, np.sin(1.5 * at))
        for c in np.linspace(at.min(), at.max(), 9):
            mean, covariance = made.predict(np.array([c]))
            off = abs(np.sin(1.5 * c) - mean[0])
            inside.append(off < 1.645 * np.sqrt(covariance[0, 0]))
    assert np.mean(inside) > 0.75


def test_uncertain_etas_count_less():
    """A wrong eta that says it is not identified does not move the map."""
    settings = draw(12)
    etas = curve(settings)[:, None]
    known = np.full((12, 1, 1), 1e-6)
    spoiled = etas.copy()
    spoiled[4], known[4] = 50.0, np.inf
    made = fit_control_map(settings, spoiled, NAMES, covariances=known)
    plain = fit_control_map(np.delete(settings, 4, 0), np.delete(etas, 4, 0), NAMES)
    assert_allclose(made(settings[4]), plain(settings[4]), atol=0.3)


def test_jit_and_vmap_agree_with_the_host(rod):
    unseen = draw(4, seed=2)
    means, covariances = jax.jit(jax.vmap(rod.predict))(jnp.asarray(unseen))
    told = [rod.predict(c) for c in unseen]
    assert_allclose(means, [m for m, _ in told], atol=2e-3)  # float32
    assert covariances.shape == (4, 1, 1)
    whole = np.array([60, 4])
    assert_allclose(rod.predict(jnp.asarray(whole))[0], rod(whole), atol=2e-3)


def test_a_saved_map_predicts_the_same(rod, tmp_path):
    rod.save(tmp_path / "map.safetensors")
    again = load_control_map(tmp_path / "map.safetensors")
    for x, y in zip(rod.predict(draw(1)[0]), again.predict(draw(1)[0]), strict=True):
        assert_array_equal(x, y)
    assert "Map from E, rho to 1 eta, from 24 systems." in again.summary()
    net = MLP(1, 1, width=2, depth=1, key=jax.random.key(0))
    save_tree(tmp_path / "net.safetensors", net, {})
    with pytest.raises(CheckpointError, match="not a ControlMap"):
        load_control_map(tmp_path / "net.safetensors")


def test_a_setting_that_never_varied_is_said():
    settings = np.column_stack([draw(8)[:, 0], np.full(8, 3.0)])
    with pytest.warns(DataWarning, match="rho is the same in all systems"):
        made = fit_control_map(settings, np.log(settings[:, :1]), NAMES)
    assert "rho" in made.warnings[0]
    here, there = (made.predict(np.array([60.0, rho]))[1] for rho in (3.0, 6.0))
    assert there[0, 0] > 10 * here[0, 0]


def test_what_cannot_be_used_is_refused(rod):
    settings = draw(6)
    etas = curve(settings)[:, None]
    with pytest.raises(DataError, match="needs 3"):
        fit_control_map(settings[:2], etas[:2])
    with pytest.raises(ShapeError, match="6 of settings, 5 of etas"):
        fit_control_map(settings, etas[:5])
    with pytest.raises(ShapeError, match="covariances"):
        fit_control_map(settings, etas, covariances=np.zeros((6, 1)))
    wrong = np.full((6, 1, 1), 0.1)
    wrong[2] = -0.1
    with pytest.raises(DataError, match="system 2 has a negative variance"):
        fit_control_map(settings, etas, covariances=wrong)
    with pytest.raises(DataError, match="settings cannot be read as numbers"):
        fit_control_map([["a", "b"]] * 6, etas)
    with pytest.raises(DataError, match="settings cannot be read as numbers"):
        rod.predict(["a", "b"])
    with pytest.raises(ConfigError, match='two columns are called "E"'):
        fit_control_map(settings, etas, ("E", "E"))
    with pytest.raises(ConfigError, match="3 names"):
        fit_control_map(settings, etas, ("a", "b", "c"))
    with pytest.raises(DataError, match="goes down to"):
        fit_control_map(settings - 60.0, etas, log=True)
    etas[1] = np.nan
    with pytest.raises(DataError, match="etas of system 1"):
        fit_control_map(settings, etas)
    with pytest.raises(ShapeError, match="E, rho"):
        rod.predict(np.ones(3))
    with pytest.raises(ShapeError, match="E, rho"):
        rod.predict(jnp.ones(3))
    with pytest.raises(DataError, match="rho is -1"):
        rod.predict(np.array([60.0, -1.0]))
