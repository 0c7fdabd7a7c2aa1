"""Dynamic mode decompositions: exact on linear systems, and what noise does to them."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError, ShapeError
from pendula._errors import FitWarning
from pendula.data import Snapshots
from pendula.latent import (
    ExactDMD,
    HankelDMD,
    OptimizedDMD,
    climatology,
    persistence,
)
from pendula.latent._variable_projection import (
    FreeRates,
    PairedRates,
    jacobian,
    project,
)


def linear_series(size=5, count=40, radius=0.97, seed=0):
    """A stable linear system, its map and a trajectory."""
    rng = np.random.default_rng(seed)
    a = radius * np.linalg.qr(rng.normal(size=(size, size)))[0]
    rows = [rng.normal(size=size)]
    for _ in range(count - 1):
        rows.append(a @ rows[-1])
    return a, np.array(rows)


def wave(t, m=60):
    """A mean and three harmonics that travel, all bound to one period of 6."""
    x, w = np.linspace(0, 6, m), 2 * np.pi / 6
    parts = ((1, 1.0), (2, 0.5), (3, 0.3))
    t = np.asarray(t)[:, None]
    return 2.0 + sum(a * np.cos(k * (x - w * t)) for k, a in parts)


def error(found, true):
    return np.linalg.norm(found - true) / np.linalg.norm(true)


def by_value(values):
    return np.sort_complex(np.round(values, 9))


@pytest.mark.parametrize("lift", [5, 30])
def test_a_linear_system_is_recovered(lift):
    """Also where it is seen through more numbers than it has."""
    a, rows = linear_series()
    seen = (
        rows @ np.linalg.qr(np.random.default_rng(1).normal(size=(lift, lift)))[0][:5]
    )
    for found in (
        ExactDMD(5).fit(seen[:20]),
        OptimizedDMD(5).fit(np.arange(20.0), seen[:20]),
    ):
        assert_allclose(found.predict(seen[19], 20), seen[20:], atol=1e-10)
        assert_allclose(
            by_value(found.spectrum()), by_value(np.linalg.eigvals(a)), atol=1e-8
        )
    assert_allclose(found.at(np.arange(40.0)), seen, atol=1e-10)
    assert ExactDMD().fit(seen[:20]).basis.shape == (lift, 5)


def test_any_snapshot_and_several_series():
    a, one = linear_series(seed=0, count=8)
    rng = np.random.default_rng(3)
    rows = [rng.normal(size=5)]
    for _ in range(7):
        rows.append(a @ rows[-1])
    found = ExactDMD(5).fit([one, np.array(rows)], dt=0.5)
    starts = rng.normal(size=(3, 4, 5))
    after = found.predict(starts, 2)
    assert after.shape == (3, 4, 2, 5)
    assert_allclose(after[..., 1, :], starts @ (a @ a).T, atol=1e-10)
    assert_allclose(found.damping(), np.log(0.97) / 0.5)


def test_the_mean_has_a_mode_and_frequencies_are_physical():
    t = 0.2 * np.arange(100)
    found = ExactDMD(7).fit(wave(t[:60]), dt=0.2)
    assert_allclose(found.predict(wave(t[59:60])[0], 40), wave(t[60:]), atol=1e-9)
    assert_allclose(np.sort(found.frequencies()), np.arange(-3, 4) / 6, atol=1e-9)
    assert_allclose(found.damping(), 0, atol=1e-9)
    constant = found.modes[:, np.argmin(np.abs(found.frequencies()))]
    assert_allclose(np.abs(constant), 60**-0.5)
    # with the mean taken off, the rank of one mode less is no longer exact
    short = wave(t[:25])
    mean = short.mean(axis=0)
    off = ExactDMD(6).fit(short - mean, dt=0.2)
    assert error(off.predict(short[-1] - mean, 40) + mean, wave(t[25:65])) > 1e-3


def test_snapshots_carry_their_step():
    t = 0.2 * np.arange(60)
    axes = {"x": np.arange(12.0), "y": np.arange(5.0)}
    data = Snapshots.of(t, wave(t).reshape(-1, 12, 5), axes=axes)
    found = ExactDMD(7).fit(data)
    assert found.dt == pytest.approx(0.2)
    assert np.abs(found.frequencies()).max() == pytest.approx(0.5)
    timed = OptimizedDMD(7).fit(data.ts, data)
    assert_allclose(np.sort(timed.frequencies()), np.arange(-3, 4) / 6, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "x"),
    [
        # pairs, equal rates, real rates far apart, a single one
        (PairedRates(), [1.0, 300.0, 4.0, 4.0, 9.0, -500.0, 0.3]),
        (FreeRates(), [1.0, 30.0, -0.5, -9.0, 2.0, 0.1]),
    ],
    ids=["paired", "free"],
)
def test_the_jacobian_is_that_of_central_differences(family, x):
    rng = np.random.default_rng(0)
    t, ys = np.sort(rng.uniform(0, 1, 40)), rng.normal(size=(40, 3))
    x = np.array(x)
    slopes = jacobian(project(family, x, t, ys))
    for k, slope in enumerate(slopes):
        step = np.zeros(len(x))
        step[k] = 1e-6 * max(1.0, abs(x[k]))
        ends = [project(family, x + s, t, ys).residual for s in (step, -step)]
        central = (ends[0] - ends[1]) / (2 * step[k])
        # rounding of the residual over the step
        assert_allclose(slope, central, atol=1e-6 * np.abs(slope).max())


def test_unequal_times_and_real_rates():
    """Two decays and an oscillation, seen at random times; the pairs of the start
    become real rates where they must."""
    t = np.sort(np.random.default_rng(0).uniform(0, 10, 60))
    shape = np.random.default_rng(1).normal(size=(4, 8))
    waves = [np.exp(-0.3 * t), np.exp(-1.1 * t), *(f(2 * t) for f in (np.cos, np.sin))]
    rows = np.array(waves).T @ shape
    found = OptimizedDMD(4).fit(t, rows)
    assert_allclose(by_value(found.rates), [-1.1, -0.3, -2j, 2j], atol=1e-7)
    assert_allclose(found.at(t), rows, atol=1e-9)
    assert found.dt == pytest.approx(np.median(np.diff(t)))


@pytest.mark.parametrize("pairs", [True, False])
def test_a_single_rate(pairs):
    t = np.linspace(0, 3, 30)
    rows = np.exp(-0.7 * t)[:, None] * np.array([1.0, -2.0, 0.5])
    found = OptimizedDMD(1, conjugate_pairs=pairs).fit(t, rows)
    assert_allclose(found.rates, [-0.7], atol=1e-8)
    assert_allclose(found.predict(rows[0], 29), rows[1:], atol=1e-8)


def test_conjugate_pairs():
    """Real data: rates in pairs, real fields; without pairs the fit is no worse."""
    t = np.arange(40) * 0.3
    rows = wave(t, 10) + 0.05 * np.random.default_rng(0).normal(size=(40, 10))
    found = OptimizedDMD(7).fit(t, rows)
    assert_allclose(np.sort(found.frequencies()), -np.sort(-found.frequencies())[::-1])
    assert np.sum(np.abs(found.rates.imag) < 1e-9) == 1
    assert found.at(t).dtype == np.float64
    free = OptimizedDMD(7, conjugate_pairs=False).fit(t, rows)
    assert error(free.at(t), rows) <= error(found.at(t), rows) * (1 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_noise_does_not_damp_the_optimised_one(seed):
    """Exact DMD is drawn inwards; one that is fitted to all snapshots is not."""
    t = 0.2 * np.arange(150)
    clean = wave(t)
    noisy = clean + 0.5 * np.random.default_rng(seed).normal(size=clean.shape)
    optimised = OptimizedDMD(7).fit(t[:100], noisy[:100])
    exact = ExactDMD(7).fit(noisy[:100], dt=0.2)
    assert np.abs(optimised.damping()).max() < 0.02
    assert exact.damping().min() < -0.5
    ahead = error(optimised.at(t[100:]), clean[100:])
    assert ahead < 0.1
    assert 2 * ahead < error(exact.predict(noisy[99], 50), clean[100:])


def test_stable_rates():
    """A signal that grows: bounded rates stay on the bound and still fit best."""
    t = 0.1 * np.arange(80)
    rows = np.exp(0.05 * t)[:, None] * wave(t, 12)
    assert OptimizedDMD(7).fit(t, rows).damping().max() == pytest.approx(0.05)
    found = OptimizedDMD(7, stable=True).fit(t, rows)
    assert found.damping().max() <= 1e-12
    assert np.abs(found.spectrum()).max() <= 1 + 1e-12
    assert error(found.at(t), rows) < 0.2


def test_one_observable_of_two_frequencies():
    t = np.arange(160.0)
    signal = (np.sin(0.3 * t) + 0.5 * np.sin(0.7 * t + 1))[:, None]
    found = HankelDMD(8, 4).fit(signal[:60])
    assert_allclose(found.predict(signal[52:60], 100), signal[60:], atol=1e-7)
    assert_allclose(
        np.sort(2 * np.pi * found.frequencies()), [-0.7, -0.3, 0.3, 0.7], atol=1e-9
    )
    assert found.modes.shape == (1, 4)
    optimised = OptimizedDMD(4).fit(t[:60], signal[:60])
    assert_allclose(optimised.at(t), signal, atol=1e-8)
    with pytest.raises(ConfigError, match="does not determine the amplitudes of 4"):
        optimised.predict(signal[59], 3)
    with pytest.raises(ConfigError, match="span only 1 directions"):
        ExactDMD(2).fit(signal)
    several = HankelDMD(8, 4).fit([signal[:40], signal[50:90]])
    assert_allclose(several.predict(signal[:8], 20), signal[8:28], atol=1e-7)


def test_a_high_rank_on_noise_stays_finite():
    t = 0.2 * np.arange(60)
    noisy = wave(t, 30) + 0.3 * np.random.default_rng(0).normal(size=(60, 30))
    found = OptimizedDMD(20, pod=20, iterations=30).fit(t, noisy)
    assert np.isfinite(found.at(t)).all()
    assert error(found.at(t), noisy) < error(OptimizedDMD(7).fit(t, noisy).at(t), noisy)


def test_forecasts_from_noisy_snapshots_stay_small():
    """Two modes of nearly the same shape: a projection would see the noise of one
    snapshot as large opposite amplitudes."""
    rng = np.random.default_rng(0)
    t, shape = 0.1 * np.arange(120), rng.normal(size=(2, 30))
    second = shape + 0.02 * rng.normal(size=(2, 30))
    angle = np.multiply.outer([2.0, 3.1], t)
    clean = sum(
        np.outer(np.cos(a), s[0]) + np.outer(np.sin(a), s[1])
        for a, s in zip(angle, (shape, second), strict=True)
    )
    noisy = clean + 0.1 * rng.normal(size=clean.shape)
    found = OptimizedDMD(4, stable=True).fit(t, noisy)
    size = np.linalg.norm(clean, axis=1).max()
    ahead = np.linalg.norm(found.predict(noisy, 60), axis=-1)
    assert ahead.max() < 1.5 * size
    plain = dataclasses.replace(found, reader=None)
    assert np.linalg.norm(plain.predict(noisy, 60), axis=-1).max() > 2 * size
    assert error(found.at(t), clean) < 0.05


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda y: ExactDMD(40).fit(y), ConfigError, "rank 40 from 19 pairs"),
        (lambda y: ExactDMD(0), ConfigError, "rank is 0"),
        (lambda y: ExactDMD(2).fit(y[:1]), ConfigError, "rank 2 from 0 pairs"),
        (lambda y: ExactDMD(2).fit(y[:, 0]), ShapeError, r"expected \(time, m\)"),
        (lambda y: ExactDMD(2).fit(1j * y), DataError, "complex"),
        (lambda y: ExactDMD(2).fit(y, dt=0.0), ConfigError, "dt is 0"),
        (lambda y: ExactDMD(1).fit(np.ones((9, 3))), DataError, "no motion"),
        (
            lambda y: ExactDMD(2).fit(y, ts=np.arange(20.0) ** 2),
            DataError,
            "use OptimizedDMD",
        ),
        (lambda y: ExactDMD(2).fit([y, y[:, :2]]), ShapeError, "expected equal ones"),
        (lambda y: ExactDMD(2).fit(y).at([0.0]), ConfigError, "Use predict"),
        (lambda y: ExactDMD(2).fit(y).predict(y[0], 0), ConfigError, "steps is 0"),
        (lambda y: ExactDMD(2).fit(y).predict(y[0, :2], 3), ShapeError, "expected"),
        (
            lambda y: ExactDMD(2).fit(y).predict(np.nan * y[0], 3),
            DataError,
            "not finite",
        ),
        (lambda y: HankelDMD(20, 2).fit(y), ConfigError, "windows of 20 snapshots"),
        (lambda y: HankelDMD(0), ConfigError, "delays is 0"),
        (
            lambda y: OptimizedDMD(20).fit(np.arange(20.0), y),
            ConfigError,
            "rank is 20 for 20 snapshots",
        ),
        (
            lambda y: OptimizedDMD(2).fit(np.zeros(20), y),
            DataError,
            "does not come after",
        ),
        (lambda y: OptimizedDMD(2).fit(np.arange(9.0), y), ShapeError, "20 snapshots"),
        (
            lambda y: OptimizedDMD(2).fit(np.arange(5.0), np.ones((5, 2))),
            DataError,
            "no motion",
        ),
        (lambda y: ExactDMD(2).fit(y).predict(1j * y[0], 3), DataError, "complex"),
        (lambda y: OptimizedDMD(2, pod=0), ConfigError, "pod is 0"),
        (
            lambda y: ExactDMD(2).fit([y, y], ts=np.arange(20.0)),
            ConfigError,
            "their dt instead",
        ),
        (lambda y: ExactDMD(2).fit(y.astype(str)), DataError, "expected numbers"),
        (
            lambda y: ExactDMD().fit(np.eye(4)[:, 3:]),
            ConfigError,
            "a stretch that moves",
        ),
        (lambda y: persistence(3.0, 2), ShapeError, "a snapshot of shape"),
    ],
)
def test_bad_input(make, kind, words):
    _, rows = linear_series(count=20)
    with pytest.raises(kind, match=words):
        make(rows)


@pytest.mark.parametrize("way", [ExactDMD(), HankelDMD(6)])
def test_without_a_rank_the_rounding_of_the_type_is_left_out(way):
    rows = wave(np.arange(40) * 0.1)
    for dtype in (np.float64, np.float32):
        assert len(way.fit(rows.astype(dtype)).rates) == 7


def test_values_that_are_not_finite_are_named():
    _, rows = linear_series(count=20)
    rows[3, 2] = np.nan
    for fit in (ExactDMD(2).fit, lambda y: OptimizedDMD(2).fit(np.arange(20.0), y)):
        with pytest.raises(DataError, match="snapshot 3, number 2, is not finite"):
            fit(rows)
    with pytest.raises(DataError, match="snapshot 3 of series 1"):
        ExactDMD(2).fit([linear_series()[1], rows])


def test_persistence_and_climatology():
    assert persistence(np.eye(2), 3).shape == (2, 3, 2)
    one = Snapshots.of([0.0], np.ones((1, 4)), axes={"x": np.arange(4.0)})
    assert persistence(one, 3).shape == (1, 3, 4)
    days = np.arange(0.0, 1000.0, 5)
    angle = 2 * np.pi * days[:, None] / 365
    phase = np.arange(4.0)
    sea = 15 + np.cos(angle + phase) + 0.3 * np.sin(2 * angle - phase)
    train = Snapshots.of(days[:100], sea[:100], axes={"x": phase})
    found = climatology(days[:100], train, period=365.0)
    assert_allclose(found.at(days), sea, atol=1e-10)
    assert_allclose(found.at(days[3]), sea[3:4], atol=1e-10)
    assert found.at([]).shape == (0, 4)
    with pytest.raises(DataError, match="do not determine 2 harmonics"):
        climatology(days[:6], sea[:6], period=365.0)
    with pytest.raises(ConfigError, match="period is 0"):
        climatology(days, sea, period=0.0)
    with pytest.raises(ConfigError, match="steps is 0"):
        persistence(sea[0], 0)


@pytest.mark.parametrize("seed", [3, 4])
def test_waves_at_sparse_unequal_times_are_told_apart(seed):
    rng = np.random.default_rng(seed)
    t, w = np.sort(rng.uniform(0, 30, 120)), np.array([0.6, 1.5, 2.7])
    waves = np.exp(1j * np.multiply.outer(t, w)) @ _complex(rng, (3, 4))
    ys = 1.0 + waves.real + 0.2 * rng.normal(size=(120, 4))
    found = OptimizedDMD(7).fit(t, ys)
    near = np.abs(found.rates[:, None] - 1j * np.array([-2.7, -1.5, -0.6, 0.0, *w]))
    assert near.min(axis=0).max() < 0.05


def test_a_mode_that_grows_out_of_the_noise_is_told():
    t, rng = np.arange(60.0), np.random.default_rng(0)
    noisy = wave(t) + 1e-3 * rng.normal(size=(60, 60))
    with pytest.warns(FitWarning, match=r"10\^\d+.* give a rank"):
        ExactDMD().fit(noisy)
    ExactDMD(7).fit(noisy)  # warnings are errors here
    with pytest.warns(FitWarning, match="far more than the snapshots do"):
        OptimizedDMD(2).fit(t[:30], 1.0 + 1e-4 * np.exp(0.4 * t[:30, None]))


def _complex(rng, shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)
