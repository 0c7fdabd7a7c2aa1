"""Horizon bins, error growth, valid time."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, ShapeError
from pendula.diagnostics import error_growth, valid_time
from pendula.diagnostics._bins import place, upper_edges


@settings(max_examples=50, deadline=None)
@given(
    horizons=st.lists(st.floats(0, 10), min_size=1, max_size=60),
    bins=st.integers(1, 12),
)
def test_bins_share_the_horizons(horizons, bins):
    edges = upper_edges(horizons, bins)
    assert np.all(np.diff(edges) > 0)
    assert edges[-1] == max(horizons)
    assert len(edges) == min(bins, len(set(horizons)))
    where = place(sorted(set(horizons)), edges)
    count = np.bincount(where, minlength=len(edges))
    assert count.min() >= 1  # no bin is empty
    assert count.max() - count.min() <= 1
    assert place([max(horizons) + 1], edges) == len(edges) - 1


def test_bad_bins():
    with pytest.raises(ConfigError, match="cannot be put"):
        upper_edges([np.nan], 8)
    with pytest.raises(ConfigError, match="must increase"):
        upper_edges([1.0], [2.0, 1.0])


def test_growth_of_known_errors():
    """Errors a_s h: the RMS of each start in each bin is known in closed form."""
    h = np.linspace(0.1, 1.6, 16)
    size = np.arange(1.0, 12.0)
    growth = error_growth(size[:, None, None] * h[:, None] * np.ones((1, 1, 2)), h)
    pairs = h.reshape(8, 2)
    rms = np.sqrt((pairs**2).mean(axis=1))
    np.testing.assert_allclose(growth.median, 6 * rms)
    np.testing.assert_allclose(growth.low, 2 * rms)  # the 10 % quantile of 1..11
    np.testing.assert_allclose(growth.high, 10 * rms)
    np.testing.assert_allclose(growth.horizon, pairs.mean(axis=1))
    np.testing.assert_array_equal(growth.until, pairs[:, 1])
    np.testing.assert_array_equal(growth.count, 11)


def test_missing_values_are_left_out_and_divergence_stays():
    h = np.arange(4.0)
    errors = np.ones((3, 4, 1))
    errors[0, 0] = np.nan
    errors[1:, 3] = np.inf
    growth = error_growth(errors, h, bins=4)
    np.testing.assert_array_equal(growth.count, [2, 3, 3, 3])
    np.testing.assert_array_equal(growth.median, [1, 1, 1, np.inf])
    np.testing.assert_array_equal(growth.low, [1, 1, 1, np.inf])
    errors[:] = np.nan
    assert np.isnan(error_growth(errors, h).median).all()


def test_growth_with_a_grid_for_each_start_and_given_bins():
    h = np.array([[0.0, 1, 2], [0, 2, 4]])
    growth = error_growth(np.array([[0.0, 1, 2], [0, 2, 4]]), h, bins=[1.0, 2.0])
    np.testing.assert_array_equal(growth.until, [1, 2])
    np.testing.assert_array_equal(growth.count, [2, 2])
    assert growth.median[1] == 2  # the sample at 4 is beyond the last edge


def test_bad_shapes():
    with pytest.raises(ConfigError, match="level is 80; a share"):
        error_growth(np.ones((2, 3)), np.arange(3.0), level=80)
    with pytest.raises(ShapeError, match="along time"):
        error_growth(np.ones((2, 3, 1)), np.arange(4.0))
    with pytest.raises(ShapeError, match="threshold"):
        valid_time(np.ones((2, 3, 2)), np.arange(3.0), [1.0, 1.0, 1.0])
    with pytest.raises(ConfigError, match="threshold is no number"):
        valid_time(np.ones((2, 3, 2)), np.arange(3.0), np.nan)
    with pytest.raises(ConfigError, match="hold no forecast"):
        valid_time(np.ones((0, 3, 2)), np.arange(3.0), 1.0)


def test_valid_time():
    t = np.array([0.0, 0.5, 1.5, 4.0])
    errors = np.zeros((5, 4, 2))
    errors[0, 2, 1] = -3.0
    errors[1, 1, 0] = np.inf
    errors[2, 3] = np.nan  # not measured at the end: censored one sample before
    errors[4] = np.nan
    out = valid_time(errors, t, [1.0, 2.0])
    np.testing.assert_array_equal(out.times, [1.5, 0.5, 1.5, 4.0, 0.0])
    np.testing.assert_array_equal(out.censored, [False, False, True, True, True])
    assert out.median == 1.5
    exact = valid_time(errors[:2], t, [1.0, 2.0])
    assert exact.median == 1.0
    assert not exact.median_censored


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), low=st.floats(0.1, 1), more=st.floats(1, 3))
def test_valid_time_grows_with_the_threshold(seed, low, more):
    errors = np.random.default_rng(seed).normal(size=(6, 20, 2))
    t = np.arange(20.0)
    tight, loose = valid_time(errors, t, low), valid_time(errors, t, low * more)
    assert np.all(loose.times >= tight.times)
    assert loose.median >= tight.median
