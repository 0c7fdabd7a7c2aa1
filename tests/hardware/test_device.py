"""Devices against their laws: means and standard deviations over many of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula.hardware import (
    CTT,
    CTT_TIMES,
    DAY,
    HOUR,
    PCM,
    SONOS,
    Gaussian,
    GlobalDriftCompensation,
    NoiseLevel,
    RangeNoise,
    ReadNoise,
    Relaxing,
    ReRAM,
    Sampler,
    StudentT,
    Truncated,
    TwinCell,
    Uniform,
    WriteVerify,
    to_analog,
)
from pendula.nn import MLP, Convolution


MANY = 200_000
KEY = jax.random.key(3)


@pytest.mark.parametrize("law", [Gaussian(), Uniform(), StudentT(12.0), Truncated(1.5)])
def test_laws_have_mean_0_variance_1_and_their_kurtosis(law):
    x = np.asarray(law(KEY, (1_000_000,), jnp.float32), np.float64)
    assert abs(x.mean()) < 0.005
    assert abs(x.var() - 1.0) < 0.006
    # the fourth moment of the t law converges slowly
    assert_allclose((x**4).mean(), law.kurtosis, rtol=0.1)


def test_a_sampler_of_another_size_is_refused():
    double = lambda key, shape, dtype: 2.0 * jax.random.normal(key, shape, dtype)
    with pytest.raises(ConfigError, match=r"variance [34]"):
        RangeNoise(double)
    with pytest.raises(ConfigError, match="expected a law"):
        RangeNoise(3.0)
    assert Sampler(jax.random.normal).kurtosis == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(
    ("device", "scale"),
    [
        (RangeNoise(), 4.0),
        (RangeNoise(range="symmetric"), 6.0),
        (RangeNoise(range=10.0), 10.0),
        (RangeNoise(Uniform()), 4.0),
    ],
)
def test_sigma_is_the_level_times_the_range(device, scale):
    w = jnp.asarray(np.tile([3.0, -1.0, 1.0, 2.0], MANY // 4), jnp.float32)
    made = device.program(KEY, w, 0.05)
    assert_allclose(np.std(np.asarray(made - w)), 0.05 * scale, rtol=0.01)
    assert_allclose(device.sigma(w, 0.05)[0], 0.05 * scale, rtol=1e-6)
    assert_array_equal(device.program(KEY, w, 0.0), w)


def test_equal_weights_have_the_symmetric_range_and_zeros_no_error():
    device = RangeNoise()
    assert float(device.scale(jnp.full(3, 2.0))[0]) == 4.0
    assert_array_equal(device.program(KEY, jnp.zeros(5), 0.3), np.zeros(5))


def test_a_fixed_full_scale_clips():
    made = RangeNoise(range=2.0).program(KEY, jnp.asarray([-3.0, 0.5]), 0.0)
    assert_array_equal(made, [-1.0, 0.5])


def test_weights_of_16_bits_get_errors_drawn_in_32():
    w = jnp.ones(4, jnp.bfloat16)
    assert RangeNoise().program(KEY, w, 0.01).dtype == jnp.bfloat16


@pytest.mark.parametrize("split", ["one_sided", "balanced"])
def test_a_pair_has_the_level_of_its_range(split):
    w = jnp.full(MANY, 0.2).at[0].set(1.0)
    made = TwinCell(clip=False, split=split).program(KEY, w, 0.05)
    error = np.asarray(made - w)
    assert_allclose(error.std(), 0.05 * 2.0, rtol=0.01)
    assert abs(error.mean()) < 1e-3


def test_clipped_idle_cells_shrink_weights():
    w = jnp.full(MANY, 0.6).at[0].set(1.0)
    error = np.asarray(TwinCell().program(KEY, w, 0.05) - w)
    cell = 0.05 * np.sqrt(2.0)
    assert_allclose(error.mean(), -cell / np.sqrt(2 * np.pi), rtol=0.02)
    # 1 + (1/2 - 1/(2 pi)) of the idle cell
    assert_allclose(error.var(), (1.5 - 0.5 / np.pi) * cell**2, rtol=0.02)
    down = np.asarray(TwinCell().program(KEY, -w, 0.05) + w)
    assert_allclose(down.mean(), cell / np.sqrt(2 * np.pi), rtol=0.02)


def test_relaxing_is_right_on_the_mean_at_its_time():
    device = Relaxing(RangeNoise(), 0.04, 0.5, 20 * HOUR)
    w = jnp.full(MANY, 1.0).at[0].set(-1.0)
    assert float(device.relaxed(0.0)) == 0.0
    at = {t: np.asarray(device.program(KEY, w, 0.0, t))[1:] for t in (0.0, 20 * HOUR)}
    rho = 0.04 * np.log10(1 + 20 * 60)
    assert_allclose(at[0.0], 1 / (1 - rho), rtol=1e-5)
    assert_allclose(at[20 * HOUR].mean(), 1.0, atol=1e-3)
    assert_allclose(at[20 * HOUR].std(), 0.5 * rho / (1 - rho), rtol=0.01)


def test_curves_of_one_device_are_smooth_in_time():
    device, w = CTT(), jnp.linspace(-1.0, 1.0, 50)
    early, late = (device.program(KEY, w, 0.03, t) for t in (HOUR, 1.01 * HOUR))
    assert float(jnp.abs(early - late).max()) < 1e-3


def test_charge_trap_transistors_keep_their_published_spread():
    device = CTT()
    w = jnp.linspace(-1.0, 1.0, 1_000_001)
    spread = []
    for name in ("2 h", "20 h", "200 h"):
        made = device.program(KEY, w, device.default_level, CTT_TIMES[name])
        error = np.asarray(made - w, np.float64) / 2.0
        spread.append(error.std())
        if name == "20 h":
            assert abs(error.mean()) < 0.002
    assert 0.04 <= spread[0] <= spread[1] <= spread[2] <= 0.05


def test_phase_change_memory_drifts_by_its_law():
    device = PCM(read=False)
    w = jnp.ones(MANY)
    made = np.asarray(device.program(KEY, w, 0.0, DAY))
    nu = np.abs(0.049 + 0.008 * np.random.default_rng(0).normal(size=MANY))
    assert_allclose(made.mean(), np.mean(((DAY + 20) / 20) ** -nu), rtol=2e-3)
    start = np.asarray(device.program(KEY, w, 1.0))
    one, idle = (0.26348 + 1.965 - 1.1731) / 25.0, 0.26348 / 25.0
    assert_allclose(
        start.std(), np.hypot(one, idle * np.sqrt(0.5 - 0.5 / np.pi)), rtol=0.01
    )


def test_the_slope_of_idle_cells_is_finite():
    made = lambda w: jnp.sum(PCM().program(KEY, w, 1.0, DAY))
    assert np.isfinite(jax.grad(made)(jnp.asarray([0.0, 0.5, -1.0]))).all()


def test_compensation_takes_the_mean_drift_away():
    w = jnp.abs(jax.random.normal(KEY, (40, 50)))
    plain = PCM().program(KEY, w, 1.0, 30 * DAY)
    start = PCM().program(KEY, w, 1.0)
    for per in ("layer", "column"):
        made = GlobalDriftCompensation(PCM(), per).program(KEY, w, 1.0, 30 * DAY)
        assert_allclose(jnp.abs(made).mean(), jnp.abs(start).mean(), rtol=1e-5)
    assert float(plain.mean()) < 0.8 * float(start.mean())


def test_columns_are_outputs_of_every_layer():
    """Of channels last, and of layers that are stacked."""
    conv, net = Convolution(2, 2, key=KEY), MLP(2, 2, width=2, depth=3, key=KEY)
    small = jnp.asarray([1.0, 0.01])
    conv = eqx.tree_at(lambda c: c.weight, conv, conv.weight * small[None, None, None])
    device = GlobalDriftCompensation(PCM(), "column")
    twin = to_analog([conv, net], device, where=("[0].weight", "[1].weight_hidden"))
    program = jax.jit(lambda t: twin.sample(KEY, t=t))
    first, later = program(0.0), program(30 * DAY)
    size = lambda w, axes: np.abs(np.asarray(w)).mean(axes)
    for of, axes in ((lambda m: m[0].weight, (0, 1, 2)),
                     (lambda m: m[1].weight_hidden, 2)):  # fmt: skip
        assert_allclose(size(of(later), axes), size(of(first), axes), rtol=1e-4)


@pytest.mark.parametrize("device", [PCM(), SONOS()])
def test_sigma_has_the_first_reading_in_it(device):
    w = jnp.full(MANY, 0.5).at[0].set(1.0)
    found = np.std(np.asarray(device.program(KEY, w, 1.0) - w))
    assert_allclose(device.sigma(w, 1.0)[1], found, rtol=0.02)


def test_resistive_memory_has_its_polynomials():
    g = jnp.asarray([0.5])
    for t, row in ((1.0, (0.348, 16.030, -43.853, 45.393, -16.815)),
                   (2 * DAY, (0.782, 20.274, -43.507, 37.062, -11.934))):  # fmt: skip
        want = sum(c * 0.5**k for k, c in enumerate(row)) / 40
        assert_allclose(ReRAM().spread(g, jnp.asarray(t)), want, rtol=1e-5)


def test_charge_trapping_cells_have_no_error_at_zero_current():
    assert_array_equal(SONOS().program(KEY, jnp.zeros(9), 1.0), np.zeros(9))
    big = SONOS(read=False).program(KEY, jnp.ones(MANY), 1.0)
    assert_allclose(np.std(np.asarray(big)), 19.887 / 3200, rtol=0.02)


def test_write_and_verify_cuts_the_law_off():
    device = WriteVerify(RangeNoise(range=2.0), tolerance=0.02, pulses=3)
    w = jnp.zeros(MANY)
    error = np.asarray(device.program(KEY, w, 0.05)) / 2.0
    miss = 1.0 - 0.3108435  # P(|x| > 0.4) of the normal law
    assert_allclose(np.mean(np.abs(error) > 0.02), miss**3, rtol=0.02)
    noisy = WriteVerify(RangeNoise(range=2.0), 0.02, 3, meas_noise=0.05)
    worse = np.asarray(noisy.program(KEY, w, 0.05)) / 2.0
    assert worse.std() > error.std()


def test_write_and_verify_of_float64():
    with precision(np.float64):
        made = WriteVerify(RangeNoise(), 0.02, 3).program(KEY, jnp.ones(2), 0.01)
    assert made.dtype == np.float64


def test_levels_of_other_conventions_are_taken_where_levels_are():
    said = NoiseLevel.from_wmax(0.1)
    layer = eqx.nn.Linear(3, 2, key=KEY)
    assert ReadNoise(layer, said).level == 0.05
    for device in (TwinCell(default_level=said), RangeNoise(default_level=said)):
        assert device.default_level == 0.05
        assert "0.05, sigma = 0.05 of the range" in str(to_analog(layer, device))


def test_levels_of_other_conventions():
    assert float(NoiseLevel.from_wmax(0.05)) == 0.025
    assert float(NoiseLevel.from_pair(0.05)) == pytest.approx(0.05 / np.sqrt(2))
    assert NoiseLevel(0.025).wmax == 0.05
    with pytest.raises(ConfigError, match="at least 0"):
        NoiseLevel(-0.1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RangeNoise(range="spam"), 'Did you mean "span"'),
        (lambda: RangeNoise(range=-1.0), "above 0"),
        (lambda: TwinCell(split="both"), "one_sided"),
        (lambda: StudentT(3.0), "above 4"),
        (lambda: Truncated(0.0), "above 0"),
        (lambda: Truncated(1e-4), "Uniform"),
        (lambda: StudentT(float("inf")), "Gaussian"),
        (lambda: Relaxing(RangeNoise(), -1.0), "rate"),
        (lambda: Relaxing(RangeNoise(), 0.9), "nothing is left"),
        (lambda: SONOS(i_max=1e4), "3200"),
        (lambda: PCM(g_max=0.0), "g_max"),
        (lambda: WriteVerify(RangeNoise(), pulses=0), "pulses is 0"),
        (lambda: GlobalDriftCompensation(PCM(), "row"), "layer, column"),
        (lambda: GlobalDriftCompensation(PCM(), t_first=-1.0), "t_first"),
        (lambda: WriteVerify(RangeNoise()).sigma(jnp.ones(2), 0.1), "not additive"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
