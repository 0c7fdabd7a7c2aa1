"""Scores of probabilistic forecasts against their definitions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

from pendula import ConfigError, ShapeError
from pendula.diagnostics import Scores, crps_normal, crps_samples, log_score


@pytest.mark.parametrize(
    ("truth", "mean", "sd"), [(0.3, 0.0, 1.0), (-4.0, 1.0, 0.5), (9.0, 2.0, 30.0)]
)
def test_crps_of_a_normal_is_its_integral(truth, mean, sd):
    below = quad(lambda z: norm.cdf(z, mean, sd) ** 2, -np.inf, truth)[0]
    above = quad(lambda z: norm.sf(z, mean, sd) ** 2, truth, np.inf)[0]
    assert_allclose(crps_normal(truth, mean, sd), below + above, rtol=1e-6)


def test_crps_of_samples_is_the_mean_over_pairs_and_comes_near_the_normal():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(5, 3))
    truth = np.array([0.0, 1.0, -2.0])
    pairs = [np.abs(few[i] - few[j]) for i in range(5) for j in range(5) if i != j]
    expected = np.abs(few - truth).mean(0) - 0.5 * np.mean(pairs, axis=0)
    assert_allclose(crps_samples(truth, few), expected, rtol=1e-12)
    many = 2.0 + 0.5 * rng.normal(size=(20000, 3))
    # the mean of 20000 values of spread 0.5 has a standard error of 0.0035
    exact = crps_normal(truth, np.full(3, 2.0), np.full(3, 0.5))
    assert_allclose(crps_samples(truth, many), exact, atol=0.011)


def test_log_score_is_the_density():
    truth, mean, sd = np.array([1.0, -2.0]), np.array([0.5, 0.0]), np.array([0.3, 4.0])
    assert_allclose(log_score(truth, mean, sd), norm.logpdf(truth, mean, sd))
    assert log_score(1.0, 0.0, 0.0) == -np.inf
    assert crps_normal(1.0, 0.0, 0.0) == 1.0
    # a spread that is not known is none of 0
    assert np.isnan([crps_normal(1.0, 0.0, np.nan), log_score(1.0, 0.0, np.nan)]).all()
    assert np.isnan(log_score(1.0, np.nan, 0.0))


def test_a_forecast_that_knows_the_truth_scores_best():
    """Both scores are proper: the true mean and spread are not beaten."""
    rng = np.random.default_rng(1)
    truth = 1.0 + 2.0 * rng.normal(size=4000)
    full = lambda v: np.full(4000, v)
    at = lambda m, s: Scores.normal(truth, full(m), full(s))
    best = at(1.0, 2.0)
    for other in (at(1.5, 2.0), at(1.0, 1.4), at(1.0, 3.0)):
        assert other.crps > best.crps
        assert other.log_score < best.log_score
    assert abs(best.coverage - 0.9) < 0.015  # three standard errors
    assert_allclose(best.width, 2 * 1.6448536 * 2.0, rtol=1e-6)


def test_what_was_not_measured_is_left_out():
    truth = np.array([[0.0, np.nan], [1.0, 2.0]])
    zero, one = np.zeros((2, 2)), np.ones((2, 2))
    found = Scores.normal(truth, zero, one)
    assert found.count == 3
    assert_allclose(
        found.crps, crps_normal([0.0, 1.0, 2.0], [0.0] * 3, [1.0] * 3).mean()
    )


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: crps_normal([1.0], [0.0], [-1.0]), "at least 0"),
        (lambda: crps_samples([1.0], [[0.0]]), "needs two"),
        (lambda: Scores.normal([np.nan], [0.0], [1.0]), "nothing to score"),
        (lambda: Scores.normal([1.0], [0.0], [1.0], level=1.0), "between 0 and 1"),
    ],
)
def test_bad_numbers(call, text):
    with pytest.raises(ConfigError, match=text):
        call()


def test_bad_shapes():
    with pytest.raises(ShapeError, match="mean"):
        log_score([1.0, 2.0], [0.0], [1.0])
