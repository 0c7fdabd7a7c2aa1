"""Exponents, spectra and histograms against closed values."""

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import (
    compare_statistics,
    divergence,
    lyapunov_exponents,
    power_spectrum,
)
from pendula.solve import rollout
from pendula.systems import Lorenz


@pytest.fixture(scope="module")
def lorenz():
    """250 units of x, y, z at 0.05 from two starts, once on the attractor."""
    ts = np.arange(0.0, 260.0, 0.05)
    runs = [
        np.asarray(
            rollout(Lorenz(), jnp.array(start, jnp.float32), ts, substeps=4).ys[200:]
        )
        for start in ([1.0, 1.0, 27.0], [-3.0, 2.0, 20.0])
    ]
    return runs


def test_lorenz_has_the_known_exponents():
    """0.906, 0, -14.572 (Sprott 2003); their sum is the divergence, exactly."""
    out = lyapunov_exponents(Lorenz(), [1.0, 1.0, 27.0], 0.01, 30000, transient=1000)
    assert out.values[0] == pytest.approx(0.906, abs=0.03)
    assert abs(out.values[0] - 0.906) < 4 * out.errors[0] + 0.005
    assert abs(out.values[1]) < 0.01
    assert out.values.sum() == pytest.approx(-(10 + 1 + 8 / 3), abs=2e-3)
    assert out.dimension == pytest.approx(2.062, abs=0.005)


def test_linear_fields_have_their_eigenvalues():
    matrix = np.array([[-0.5, 2.0, 0.0], [0.0, -1.0, 0.3], [0.0, 0.0, -2.0]])
    field = lambda t, y, u, c: jnp.asarray(matrix, y.dtype) @ y
    out = lyapunov_exponents(field, [1.0, 1.0, 1.0], 0.02, 4000, transient=1000)
    np.testing.assert_allclose(out.values, [-0.5, -1.0, -2.0], atol=2e-3)
    assert out.dimension == 0.0
    first = lyapunov_exponents(field, [1.0, 1.0, 1.0], 0.02, 4000, count=1)
    assert first.values.shape == (1,)


def test_neighbours_in_a_record_of_lorenz_part_at_its_exponent(lorenz):
    """The three channels give 0.87 to 0.97 against 0.906."""
    for channel in lorenz[0].T:
        out = divergence(channel, 0.05)
        assert out.exponent == pytest.approx(0.906, rel=0.2)
        assert out.error < 0.1
        assert out.growth[-1] > out.growth[0] + 2


def test_neighbours_in_a_periodic_record_stay():
    t = 0.05 * np.arange(6000)
    # two periods that do not fit: a torus, on which distances stay
    out = divergence(np.sin(t) + 0.5 * np.sin(np.sqrt(2) * t), 0.05)
    assert abs(out.exponent) < 0.05


def test_spectrum_finds_the_line_and_holds_the_variance():
    rng = np.random.default_rng(0)
    t = 0.1 * np.arange(4096)
    ys = np.stack([2 * np.sin(2 * np.pi * 1.25 * t), rng.normal(size=len(t))], axis=1)
    frequency, power = power_spectrum(ys, 0.1)
    assert frequency[np.argmax(power[:, 0])] == pytest.approx(1.25, abs=0.02)
    held = power.sum(axis=0) * frequency[1]
    np.testing.assert_allclose(held, ys.var(axis=0), rtol=0.05)


def test_runs_of_one_system_agree_and_others_do_not(lorenz):
    one, two = lorenz
    same = compare_statistics(two, one, 0.05)
    assert same.overlap.min() > 0.9
    assert same.spectral_distance.max() < 2
    other = compare_statistics(1.3 * two[::2], one, 0.05)
    assert other.overlap.max() < 0.9
    assert other.spectral_distance.min() > 2 * same.spectral_distance.max()
    np.testing.assert_allclose(same.share_truth.sum(axis=1), 1.0)
    gone = compare_statistics(one + 1e3, one, 0.05)
    assert gone.overlap.max() < 1e-3


def test_the_ends_of_the_range_are_inside_of_it():
    """A square wave that touches both, and one five times as high: half of that lies
    outside, whichever way up."""
    wave = np.tile([0.0, 0.0, 1.0, 1.0], 8)[:, None]
    for sign in (1.0, -1.0):
        found = compare_statistics(5 * sign * wave, sign * wave, 0.1)
        np.testing.assert_allclose(found.overlap, 0.5)
        np.testing.assert_allclose(found.share_truth[0, [0, -1]], 0.0)
        np.testing.assert_allclose(found.share.sum(axis=1), 1.0)


def test_the_straight_part_ends_alike_in_all_units():
    """Three steps of 0.1 are a little more than 0.3, three of 100 are 300."""
    x = [0.4]
    for _ in range(399):
        x.append(3.9 * x[-1] * (1 - x[-1]))
    told = {"dimension": 2, "delay": 1, "apart": 5}
    slow, fast = (divergence(x, u, until=3 * u, **told) for u in (0.125, 128.0))
    other = divergence(x, 0.1, until=0.3, **told)
    assert fast.exponent * 1024 == pytest.approx(slow.exponent)
    assert other.exponent * 0.8 == pytest.approx(slow.exponent)


def test_bad_records_are_refused():
    wave = np.sin(0.1 * np.arange(2000))
    with pytest.raises(ShapeError, match="one channel"):
        divergence(wave[:, None], 0.1)
    with pytest.raises(DataError, match="constant"):
        divergence(np.ones(500), 0.1)
    with pytest.raises(DataError, match="gaps"):
        divergence(np.where(np.arange(2000) == 5, np.nan, wave), 0.1)
    with pytest.raises(DataError, match="Give a longer one"):
        divergence(wave[:60], 0.1)
    with pytest.raises(ConfigError, match="delay is 0"):
        divergence(wave, 0.1, delay=0)
    with pytest.raises(ConfigError, match="apart is 0"):
        divergence(wave, 0.1, apart=0)
    with pytest.raises(ConfigError, match="until is"):
        divergence(wave, 0.1, until=0.01)
    with pytest.raises(DataError, match="does not repeat exactly"):
        divergence(np.tile([0.0, 1.0, 0.0, -1.0], 200), 0.1)
    with pytest.raises(DataError, match="at least 16"):
        power_spectrum(wave[:10, None], 0.1)
    for segment in (3, 2001):
        with pytest.raises(ConfigError, match=f"segment is {segment}"):
            power_spectrum(wave[:, None], 0.1, segment)
    with pytest.raises(ConfigError, match="dt is inf"):
        power_spectrum(wave[:, None], np.inf)
    with pytest.raises(ConfigError, match="bins is 1"):
        compare_statistics(wave[:, None], wave[:, None], 0.1, bins=1)
    with pytest.raises(ShapeError, match="channels"):
        compare_statistics(wave[:, None], np.stack([wave, wave], 1), 0.1)
    with pytest.raises(DataError, match="leave it out"):
        compare_statistics(wave[:, None], np.ones((2000, 1)), 0.1)
    with pytest.raises(DataError, match="leaves the finite numbers near step"):
        lyapunov_exponents(lambda t, y, u, c: y**3, [1.0, 1.0], 0.1, 100)
    with pytest.raises(DataError, match="a start has finite numbers"):
        lyapunov_exponents(Lorenz(), [1.0, np.nan, 1.0], 0.1, 100)
    with pytest.raises(ConfigError, match="num is 9"):
        lyapunov_exponents(Lorenz(), [1.0, 1.0, 1.0], 0.1, 9)
    with pytest.raises(ConfigError, match="1 to 3 exponents"):
        lyapunov_exponents(Lorenz(), [1.0, 1.0, 1.0], 0.1, 100, count=4)
