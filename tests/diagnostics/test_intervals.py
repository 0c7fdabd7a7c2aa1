"""Conformal bands: exact small cases, coverage of clips, JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import (
    Conformal,
    coverage,
    coverage_growth,
    held_out_coverage,
)


H = np.linspace(0.1, 2.0, 20)


def clips(rng, number, obs=1, correlation=0.95):
    """Errors that grow with the horizon, strongly correlated within a clip and of
    a size of the clip's own; and an ensemble variance that knows half of it."""
    noise = rng.normal(size=(number, len(H), obs))
    for k in range(1, len(H)):
        noise[:, k] *= np.sqrt(1 - correlation**2)
        noise[:, k] += correlation * noise[:, k - 1]
    size = np.exp(0.5 * rng.normal(size=(number, 1, 1)))
    var = (0.5 * size * H[:, None]) ** 2 * np.ones((1, 1, obs))
    return size * H[:, None] * noise, var


def test_one_bin_by_hand():
    """19 clips of one sample, no ensemble: 90 % needs rank 18 of 20."""
    error = np.arange(1.0, 20.0)[:, None, None] * (-1.0) ** np.arange(19)[:, None, None]
    made = Conformal.calibrate([0.5], error, np.zeros_like(error))
    low, high = made.band([0.5], [[2.0]], [[0.0]])
    np.testing.assert_allclose([low[0, 0], high[0, 0]], [2 - 18, 2 + 18])
    assert made.guaranteed.all()
    assert made.trusted_to == 0.5
    np.testing.assert_allclose(made.sd, np.sqrt(np.mean(error**2)))


def test_few_clips_are_said_to_be_few():
    """Eight clips promise no 90 %; the band then is Student's or the largest."""
    from scipy.stats import t as student

    error = np.ones((8, 1, 1))
    made = Conformal.calibrate([1.0], error, np.zeros_like(error))
    assert not made.guaranteed.any()
    np.testing.assert_allclose(made.q, student.ppf(0.95, 8))
    error[3] = 100.0  # its score is 2.8: larger than Student's quantile
    made = Conformal.calibrate([1.0], error, np.zeros_like(error))
    np.testing.assert_allclose(made.q * made.sd, 100.0)
    assert Conformal.calibrate(
        [1.0], np.ones((9, 1, 1)), np.zeros((9, 1, 1))
    ).guaranteed


def test_coverage_of_new_clips():
    """Averaged over 60 calibrations, 90 % within three standard errors from below,
    and not more than the 1/(K + 1) that the finite sample costs above."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(60):
        made = Conformal.calibrate(H, *clips(rng, 30), bins=4)
        error, var = clips(rng, 30)
        bands = [
            made.band(H, np.zeros_like(e), v) for e, v in zip(error, var, strict=True)
        ]
        shares.append(
            np.mean([coverage(e, *b) for e, b in zip(error, bands, strict=True)])
        )
    tolerance = 3 * np.std(shares) / np.sqrt(len(shares))
    assert 0.9 - tolerance <= np.mean(shares) <= 0.9 + 1 / 31 + tolerance


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(1, 25),
    low=st.floats(0.05, 0.98),
    more=st.floats(0, 0.9),
)
def test_wider_with_the_level_and_with_the_ensemble(seed, number, low, more):
    error, var = clips(np.random.default_rng(seed), number, obs=2)
    high = low + more * (0.99 - low)
    narrow = Conformal.calibrate(H, error, var, level=low)
    wide = Conformal.calibrate(H, error, var, level=high)
    assert np.all(wide.q >= narrow.q)
    zero = np.zeros((len(H), 2))
    one, two = narrow.band(H, zero, zero)[1], narrow.band(H, zero, zero + 1)[1]
    assert np.all(two >= one)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), diverged=st.booleans())
def test_json_round_trip(seed, diverged):
    error, var = clips(np.random.default_rng(seed), 12, obs=2)
    if diverged:
        error[:6, 10:] = np.inf
    made = Conformal.calibrate(H, error, var)
    again = Conformal.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    mean, spread = np.ones_like(var[0]), var[0]
    for a, b in zip(
        made.band(H, mean, spread), again.band(H, mean, spread), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert again.level == made.level
    assert again.clips == 12
    np.testing.assert_array_equal(again.guaranteed, made.guaranteed)


def test_beyond_validation_only_the_ensemble_grows():
    made = Conformal.calibrate(H, *clips(np.random.default_rng(0), 20), bins=3)
    far = np.array([2.0, 5.0, 50.0])
    zero = np.zeros((3, 1))
    low, high = made.band(far, zero, zero)
    np.testing.assert_allclose(high, high[:1].repeat(3, 0))
    grown = made.band(far, zero, np.array([[0.0], [1.0], [4.0]]))[1]
    assert np.all(np.diff(grown[:, 0]) > 0)
    np.testing.assert_allclose(low, -high)


def test_gaps_and_divergence():
    error, var = clips(np.random.default_rng(0), 20, obs=2)
    error[:, :10, 1] = np.nan  # the second channel is measured late only
    made = Conformal.calibrate(H, error, var, bins=4)
    assert np.isfinite(made.q).all()
    np.testing.assert_allclose(made.sd[0, 1], made.sd[2, 1])
    error[:5, 15:, 0] = np.inf  # a quarter of the clips diverged: no 90 % band
    made = Conformal.calibrate(H, error, var, bins=4)
    assert np.isinf(made.q[3, 0])
    assert np.isfinite(made.sd).all()
    for spread in (np.inf, np.nan):  # of members that diverged, too
        lost = np.where(np.isinf(error), spread, var)
        np.testing.assert_array_equal(
            Conformal.calibrate(H, error, lost, bins=4).q, made.q
        )
    exact = Conformal.calibrate(H, 0 * var, 0 * var)
    low, high = exact.band(H, var[0], 0 * var[0])
    np.testing.assert_array_equal(low, high)


def test_samples_without_a_horizon_and_bins_without_samples():
    error, var = clips(np.random.default_rng(0), 20)
    times = np.tile(H, (20, 1))
    times[5:, 15:] = np.nan
    made = Conformal.calibrate(times, error, var, bins=[0.5, 1.0, 2.0, 9.0])
    other = np.where(np.isnan(times)[..., None], 1e6, error)
    same = Conformal.calibrate(times, other, var, bins=[0.5, 1.0, 2.0, 9.0])
    np.testing.assert_array_equal(made.q, same.q)
    np.testing.assert_array_equal(made.sd, same.sd)
    assert made.q[2] != made.q[1]  # from the clips that go there
    assert made.horizon[-1] == 9.0
    assert np.isfinite(made.variance([0.1, 3.0, 9.0])).all()
    # the only clip that goes so far is judged by what the others say before
    times[0] *= 3.0
    held = held_out_coverage(times, error, var, bins=4)
    assert np.isfinite(held.share).all()


def test_bad_input():
    error = np.ones((3, 20, 1))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Conformal.calibrate(H, error, error, level=1.0)
    with pytest.raises(DataError, match="channel 0 has no finite"):
        Conformal.calibrate(H, error * np.nan, error)
    with pytest.raises(ShapeError, match="along time"):
        Conformal.calibrate(H[1:], error, error)
    with pytest.raises(ShapeError, match="var_ens"):
        Conformal.calibrate(H, error, error[:2])
    with pytest.raises(ConfigError, match="until, horizon, q"):
        Conformal.from_dict({"level": 0.9})


def test_coverage_counts():
    truth = np.array([[0.0, np.nan], [2.0, 1.0]])
    low, high = np.zeros((2, 2)), np.ones((2, 2))
    assert coverage(truth, low, high) == pytest.approx(2 / 3)
    assert coverage(truth, low, high, truth < 1.5) == 1.0
    assert np.isnan(coverage(truth, low, high, np.zeros((2, 2), bool)))
    with pytest.raises(ShapeError):
        coverage(truth, low[:1], high)
    inside = np.array([[[True], [False]], [[True], [True]]])
    there = np.array([[[True], [True]], [[False], [True]]])
    out = coverage_growth([[1.0, 2.0]] * 2, inside, there)
    np.testing.assert_array_equal(out.share, [1.0, 0.5])
    np.testing.assert_array_equal(out.count, [1, 2])


def test_held_out_coverage_sees_what_its_own_calibration_hides():
    """One clip out of five is ten times worse: no band that lacks it holds it."""
    error = np.ones((12, 1, 1))
    error[0] = 10.0
    out = held_out_coverage([1.0], error, np.zeros_like(error))
    np.testing.assert_allclose(out.share, 11 / 12)
    assert held_out_coverage([1.0], error[:1], error[:1]) is None
