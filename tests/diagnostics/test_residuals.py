"""Autocorrelation time against processes whose value is known."""

import numpy as np
import pytest
from scipy.signal import lfilter

from pendula._errors import ShapeError
from pendula.diagnostics import autocorrelation, autocorrelation_time


def ar1(a, shape, seed=0):
    noise = np.random.default_rng(seed).normal(size=(shape[0], shape[1] + 200))
    return lfilter([1.0], [1.0, -a], noise, axis=1)[:, 200:]


@pytest.mark.parametrize("a", [0.0, 0.5, 0.9])
def test_ar1(a):
    """tau = (1 + a) / (1 - a); the spread over 20 seeds is below 8 %, times 3."""
    found = [autocorrelation_time(ar1(a, (20, 2000), s)) for s in range(3)]
    np.testing.assert_allclose(found, (1 + a) / (1 - a), rtol=0.25)


def test_alternating_residuals_count_once():
    assert autocorrelation_time(ar1(-0.8, (4, 500))) == 1.0


def test_gaps_do_not_bias():
    r = ar1(0.8, (20, 2000))
    mask = np.random.default_rng(5).uniform(size=r.shape) > 0.4
    spoiled = np.where(mask, r, 1e6)
    assert autocorrelation_time(spoiled, mask) == pytest.approx(9.0, rel=0.25)
    np.testing.assert_array_equal(
        autocorrelation(np.where(mask, r, np.nan)), autocorrelation(spoiled, mask)
    )
    padded = np.pad(r, [(0, 3), (0, 50)])
    there = np.pad(np.ones_like(r, bool), [(0, 3), (0, 50)])
    np.testing.assert_allclose(
        autocorrelation_time(padded, there), autocorrelation_time(r), rtol=1e-9
    )


def test_autocorrelation_by_hand():
    rho = autocorrelation([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(rho, [1, (8 / 2) / (14 / 3), 3 / (14 / 3)])


def test_edges():
    assert autocorrelation_time(np.zeros((2, 5))) == 1.0
    assert autocorrelation_time(np.ones((1, 1))) == 1.0
    assert autocorrelation_time(np.ones((2, 5)), np.zeros((2, 5), bool)) == 1.0
    # an offset that never goes away: as few samples as clips
    assert autocorrelation_time(np.ones((3, 10))) > 10
    with pytest.raises(ShapeError):
        autocorrelation_time(np.ones(3))
    with pytest.raises(ShapeError, match="mask"):
        autocorrelation_time(np.ones((2, 3)), np.ones((2, 4), bool))
