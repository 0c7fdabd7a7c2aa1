"""The start from which a record tells most of eta."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError, DataError, ShapeError
from pendula.data import Trajectories
from pendula.dynamics import FamilyConfig, ModelConfig, meta_fit, next_experiment


T = np.linspace(0.0, 6.0, 61)
RATES = np.array([0.8, 1.0, 1.2])


def springs(rates, t=T):
    """Exact motion of u'' = -w^2 u."""
    ys = [np.stack([np.cos(w * t), -w * np.sin(w * t)], 1) for w in rates]
    made = {"system": "springs"}
    return Trajectories.from_arrays([t] * len(ys), ys, names=("u", "v"), origin=made)


@pytest.fixture(scope="module")
def family():
    """A linear network: the springs' law exactly."""
    linear = ModelConfig(learn="force", width=4, depth=0, priors=("odd",))
    return meta_fit(springs(RATES), FamilyConfig(linear, steps=20))


def test_the_information_grows_with_the_square_of_the_amplitude(family):
    """J is proportional to the amplitude, so exp(2 gain) - 1 to its square."""
    sizes = np.array([0.1, 0.2, 0.5, 1.0])
    found = next_experiment(family.adapt(springs([1.1])), T, sizes[:, None] * [1.0, 0])
    assert_array_equal(found.start, [1.0, 0.0])
    told = np.expm1(2 * found.gains)
    assert_allclose(told / told[-1], sizes**2, rtol=1e-4)
    assert found.informative and found.ratio < 1
    assert 0 < found.covariance[0, 0] < found.before[0, 0]
    shrunk = found.before[0, 0] / found.covariance[0, 0]
    assert_allclose(np.log(shrunk) / 2, found.gain, rtol=1e-6)
    assert "standard deviation of eta should fall" in found.text


def test_a_start_at_rest_says_nothing(family):
    found = next_experiment(family, T, [[0.0, 0.0]])
    assert not found.informative
    assert_allclose(found.gain, 0.0, atol=1e-9)
    assert_allclose(found.covariance, found.before, rtol=1e-6)
    assert "No start that was tried" in found.text


def test_the_search_ends_at_the_edge_of_the_box(family):
    """The largest motion that is allowed tells most."""
    box = [[-0.5, 0.5], [0.0, 0.0]]
    found = next_experiment(family, T, box=box)
    assert abs(found.start[0]) > 0.48 and found.start[1] == 0
    assert found.gain > found.random_gain
    wide = next_experiment(family, T, [[3.0, 0.0]])
    assert "outside" in wide.notes[0]


def test_what_start_states_can_explain_does_not_count(family):
    """With noise the start is estimated too."""
    sharp = next_experiment(family, T, [[1.0, 0.0]], noise=[5e-4, 5e-4])
    blurred = next_experiment(family, T, [[1.0, 0.0]], noise=[2e-3, 2e-3])
    ratio = np.expm1(2 * sharp.gain) / np.expm1(2 * blurred.gain)
    assert ratio > 1.01 * 16  # of the variances alone


def test_bad_requests_are_refused(family):
    with pytest.raises(ConfigError, match="increasing times"):
        next_experiment(family, T[::-1])
    with pytest.raises(ConfigError, match="candidates or a box"):
        next_experiment(family, T, [[1.0, 0.0]], box=[[0, 1], [0, 1]])
    with pytest.raises(ShapeError, match="3 entries; the state has 2: u, v"):
        next_experiment(family, T, [[1.0, 0.0, 0.0]])
    with pytest.raises(ShapeError, match=r"expected \(dim, 2\)"):
        next_experiment(family, T, box=[0.0, 1.0])
    with pytest.raises(ConfigError, match="lowest value of each entry first"):
        next_experiment(family, T, box=[[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(DataError, match="not finite"):
        next_experiment(family, T, [[np.nan, 0.0]])
    with pytest.raises(ConfigError, match="noise must not be negative"):
        next_experiment(family, T, [[1.0, 0.0]], noise=-1.0)
