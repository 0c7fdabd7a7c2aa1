"""Baselines: exact where they can be, finite always, plain about bad input."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline
from scipy.linalg import expm

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.data import Trajectories, input_path
from pendula.diagnostics import (
    BASELINES,
    Linear,
    Mean,
    Persistence,
    SparsePolynomial,
    baseline,
    fit_baselines,
)
from pendula.diagnostics._exponential import exponentials, step_maps


def solved(field, start, ts):
    out = solve_ivp(field, (ts[0], ts[-1]), start, "DOP853", ts, rtol=1e-11, atol=1e-12)
    return out.y.T


def oscillator(t):
    """q'' = -4.01 q - 0.2 q'."""
    return np.exp(-0.1 * t) * np.cos(2 * t)


def ahead_of(fitted, data, ts, us=None, history_us=None, row=0):
    n = data.lengths[row]
    history = (data.ts[row, :n], data.ys[row, :n], data.mask[row, :n])
    return fitted.forecast(*history, ts, us, history_us)


def test_persistence_is_the_last_measured_value_of_each_channel():
    ys = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, np.nan]])
    data = Trajectories.from_arrays(np.arange(3.0), ys)
    fitted = Persistence().fit(data)
    np.testing.assert_array_equal(ahead_of(fitted, data, [2.0, 9.0]), [[3, 20]] * 2)
    unseen = fitted.forecast([0.0], [[np.nan, 7.0]], None, [1.0])
    np.testing.assert_array_equal(unseen, [[2.0, 7.0]])  # the mean of training


def test_mean_and_whole_turns():
    ys = [np.array([1.0, 3.0, np.nan]), np.array([5.0, 5.0])]
    data = Trajectories.from_arrays([np.arange(3.0), np.arange(2.0)], ys)
    out = ahead_of(Mean().fit(data), data, [3.0, 4.0])
    np.testing.assert_array_equal(out, [[3.5], [3.5]])  # by samples: 14 / 4
    turns = [np.array([0.1, 0.3]), np.array([0.4, 0.2]) + 2 * np.pi]
    angles = Trajectories.from_arrays([np.arange(2.0)] * 2, turns, angle=(True,))
    fitted = Mean().fit(angles)
    np.testing.assert_allclose(ahead_of(fitted, angles, [3.0], row=0), 0.25)
    np.testing.assert_allclose(ahead_of(fitted, angles, [3.0], row=1), 0.25 + 2 * np.pi)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.floats(1e-3, 30),
    times=st.lists(st.floats(-3, 3), min_size=1, max_size=5),
)
def test_exponentials(seed, size, times):
    matrix = size * np.random.default_rng(seed).normal(size=(3, 3)) / 3
    for t, found in zip(times, exponentials(matrix, np.array(times)), strict=True):
        wanted = expm(matrix * t)
        # the conditioning of exp grows with the norm of its argument
        bound = 1e-13 * (1 + size * 3) * np.exp(np.linalg.norm(matrix, 1) * 3)
        np.testing.assert_allclose(found, wanted, atol=max(bound, 1e-14))


def test_exponentials_of_nothing_and_of_a_double_integrator():
    np.testing.assert_array_equal(
        exponentials(np.ones((2, 2)), np.zeros(2))[1], np.eye(2)
    )
    np.testing.assert_allclose(
        exponentials(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([7.0]))[0],
        [[1, 7], [0, 1]],
    )


@pytest.mark.parametrize("kind", ["held", "linear", "spline"])
def test_steps_with_inputs_are_exact(kind):
    rng = np.random.default_rng(0)
    ts = np.cumsum(rng.uniform(0.1, 0.5, 12))
    us = rng.normal(size=(12, 2))
    a, b, c = rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=3)
    path = input_path(ts, us, kind)
    f, g = step_maps(a, b, c, np.diff(ts), path)
    z = np.ones(3)
    for k in range(11):
        field = lambda s, y, k=k: a @ y + b @ (s ** np.arange(4) @ path[k]) + c
        end = solved(field, z, np.array([0.0, ts[k + 1] - ts[k]]))[-1]
        z = f[k] @ z + g[k]
        np.testing.assert_allclose(z, end, rtol=1e-8, atol=1e-9)
        z = end


def irregular(rng, number, end):
    return np.sort(rng.uniform(0, end, number))


def test_linear_recovers_a_damped_oscillator():
    """Irregular times, a third of the samples missing, no noise: 1e-6 and better."""
    rng = np.random.default_rng(0)
    ts = irregular(rng, 400, 30)
    ys = np.where(rng.uniform(size=400) < 0.3, np.nan, oscillator(ts))
    data = Trajectories.from_arrays(ts, ys)
    fitted = Linear().fit(data)
    assert fitted.order == 2
    assert "second order, 3 coefficients" in fitted.text
    later = np.linspace(30, 60, 50)
    found = ahead_of(fitted, data, later)[:, 0]
    np.testing.assert_allclose(found, oscillator(later), atol=1e-6)
    # one swing of the history is enough for the start state
    few = fitted.forecast(ts[-40:], ys[-40:], None, later)[:, 0]
    np.testing.assert_allclose(few, oscillator(later), atol=1e-6)


def test_linear_on_several_channels_and_trajectories():
    """Two coupled oscillators with offsets; a first-order pair; free fall, whose
    matrix has no eigenvectors to speak of."""
    t = np.linspace(0, 15, 150)
    modes = lambda t, a: np.stack(
        [
            5 + a * np.cos(t) + np.sin(1.7 * t + a),
            -100 + a * np.cos(t) - np.sin(1.7 * t + a),
        ],
        axis=1,
    )
    data = Trajectories.from_arrays([t] * 5, [modes(t, a) for a in (1, 2, 3, -1, 2.5)])
    later = np.linspace(15.1, 30, 20)
    fitted = Linear().fit(data)
    np.testing.assert_allclose(
        ahead_of(fitted, data, later, row=2), modes(later, 3), atol=1e-6
    )
    decay = lambda t: 2 + 3 * np.exp(-0.3 * t)
    fitted = Linear().fit(Trajectories.from_arrays(t, decay(t)))
    assert fitted.order == 1
    np.testing.assert_allclose(
        fitted.forecast(t, decay(t), None, later)[:, 0], decay(later), atol=1e-6
    )
    fall = lambda t: 10 + 3 * t - 4.905 * t**2
    fitted = Linear().fit(Trajectories.from_arrays(t[:40], fall(t[:40])))
    np.testing.assert_allclose(
        fitted.forecast(t[:40], fall(t[:40]), None, t[40:60])[:, 0],
        fall(t[40:60]),
        atol=1e-6,
    )


@pytest.mark.parametrize("kind", ["held", "spline"])
def test_linear_with_inputs(kind):
    t = np.linspace(0, 30, 301)
    u = np.cos(1.3 * t) + np.sin(0.4 * t**1.3)
    if kind == "spline":
        path = CubicSpline(t, u)
    else:
        path = lambda s: u[min(int(s / 0.1 + 1e-9), 300)]
    law = lambda s, y: [y[1], -3 * y[0] - 0.3 * y[1] + 2 * path(s) + 1]
    if kind == "spline":
        q = solved(law, [0.5, 0.0], t)[:, 0]
    else:  # from jump to jump
        y, q = np.array([0.5, 0.0]), [0.5]
        for k in range(300):
            held = lambda s, y, k=k: [y[1], -3 * y[0] - 0.3 * y[1] + 2 * u[k] + 1]
            y = solved(held, y, t[k : k + 2])[-1]
            q.append(y[0])
        q = np.array(q)
    data = Trajectories.from_arrays(t[:200], q[:200], u[:200], input_kind=kind)
    fitted = Linear().fit(data)
    known = ahead_of(fitted, data, t[200:], u[200:], u[:200])[:, 0]
    tolerance = 1e-6 if kind == "held" else 1e-4  # a spline knows where it ends
    np.testing.assert_allclose(known, q[200:], atol=tolerance)
    rough = ahead_of(fitted, data, t[200:], u[200:])[:, 0]
    assert np.abs(rough - q[200:]).max() < 0.2
    without = Linear().fit(Trajectories.from_arrays(t[:200], q[:200]))
    blind = ahead_of(without, data, t[200:])[:, 0]
    assert np.abs(blind - q[200:]).max() > 0.5  # the inputs are what tells


def test_linear_with_noise():
    """2 % noise: the spread of the forecast's error over 20 seeds is 0.3 % to 1 %."""
    t = np.linspace(0, 30, 600)
    noise = 0.02 * np.random.default_rng(3).normal(size=600)
    data = Trajectories.from_arrays(t, oscillator(t) + noise)
    later = np.linspace(30.1, 45, 60)
    error = ahead_of(Linear().fit(data), data, later)[:, 0] - oscillator(later)
    assert np.abs(error).max() < 0.03


def lotka_volterra(t, y):
    return [y[0] * (1 - y[1]), 0.8 * y[1] * (y[0] - 1)]


def test_sparse_polynomial_recovers_lotka_volterra():
    """Exactly the four terms, and two periods ahead to 1e-3 of a spread of 0.6."""
    t = np.linspace(0, 30, 600)
    y = solved(lotka_volterra, [2.0, 0.7], t)
    data = Trajectories.from_arrays(t[:300], y[:300])
    fitted = SparsePolynomial().fit(data)
    assert fitted.order == 1
    assert np.count_nonzero(fitted.terms) == 4
    np.testing.assert_allclose(ahead_of(fitted, data, t[300:]), y[300:], atol=1e-3)
    linear = ahead_of(Linear().fit(data), data, t[300:])
    assert np.abs(linear - y[300:]).max() > 0.1


def test_sparse_polynomial_of_second_order_with_input():
    """A driven Duffing oscillator of which only the position is seen."""
    t = np.linspace(0, 40, 1201)
    u = np.cos(1.2 * t)
    law = lambda s, y: [y[1], y[0] - y[0] ** 3 - 0.2 * y[1] + 0.3 * np.cos(1.2 * s)]
    q = solved(law, [1.5, 0.0], t)[:, 0]
    data = Trajectories.from_arrays(t[:900], q[:900], u[:900])
    fitted = SparsePolynomial().fit(data)
    assert fitted.order == 2
    found = ahead_of(fitted, data, t[900:1050], u[900:1050], u[:900])[:, 0]
    np.testing.assert_allclose(found, q[900:1050], atol=0.01)


def test_finite_time_blow_up_stops():
    """y' = y^2 reaches infinity at t = 1; the forecasts stay where they stop."""
    t = np.linspace(0, 0.8, 60)
    data = Trajectories.from_arrays(t, 1 / (1 - t))
    for fitted in fit_baselines(data).values():
        out = ahead_of(fitted, data, np.linspace(0.85, 3, 40))[:, 0]
        assert np.isfinite(out).all()
        assert np.abs(out).max() < 60  # ten times what was seen
    np.testing.assert_array_equal(out[-5:], out[-1])  # the polynomial, the last


TURNS = np.indices((60, 2)).sum(axis=0) % 2 == 0
CASES = {
    "five samples": (np.arange(5.0), np.array([0.0, 1, 0, 2, 1])),
    "constant": (np.arange(30.0), np.full(30, 3.0)),
    "a step": (np.arange(30.0), (np.arange(30.0) > 14) * 1.0),
    "a gap": (np.r_[0:20, 60:80] * 1.0, np.sin(0.3 * np.r_[0:20, 60:80])),
    "huge": (1e6 * np.arange(40.0), 1e9 + 1e3 * np.sin(0.4 * np.arange(40))),
    "taking turns": (
        np.arange(60.0),
        np.where(TURNS, np.sin(0.3 * np.arange(60.0))[:, None], np.nan),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_always_finite(case):
    """Whatever the history: all of it, one sample, nothing measured."""
    ts, ys = CASES[case]
    data = Trajectories.from_arrays(ts, ys)
    later = ts[-1] + (ts[1] - ts[0]) * np.arange(0, 40, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for fitted in fit_baselines(data).values():
            for past in (len(ts), 3, 1):
                part = slice(len(ts) - past, None)
                history = (data.ts[0, part], data.ys[0, part], data.mask[0, part])
                out = fitted.forecast(*history, later)
                assert out.shape == (10, data.dim)
                assert np.isfinite(out).all()
            unseen = np.zeros_like(data.mask[0])
            assert np.isfinite(fitted.forecast(ts, data.ys[0], unseen, later)).all()


@settings(max_examples=6, deadline=None)
@given(
    size=st.sampled_from([1e-13, 1e-6, 1.0, 1e6]),
    time=st.sampled_from([1e-3, 1.0, 1e4]),
    shift=st.floats(-100, 100),
)
def test_units_do_not_matter(size, time, shift):
    t = np.linspace(0, 10, 80)
    y = oscillator(t)
    data = Trajectories.from_arrays(time * t, size * y, labels=("a",))
    later = np.linspace(10.1, 15, 10)
    fitted = Linear().fit(data)
    out = fitted.forecast(time * (t + shift), size * y, None, time * (later + shift))
    np.testing.assert_allclose(out[:, 0] / size, oscillator(later), atol=1e-5)


def test_choices_are_made_on_the_training_data_alone():
    """The forecast knows no more than it was given: what comes later is not there."""
    t = np.linspace(0, 20, 200)
    data = Trajectories.from_arrays(t[:100], oscillator(t[:100]))
    whole = Trajectories.from_arrays(t, oscillator(t)).between(0.0, float(t[99]))
    for name in BASELINES:
        a = ahead_of(baseline(name).fit(data), data, t[100:])
        b = ahead_of(baseline(name).fit(whole), whole, t[100:])
        np.testing.assert_array_equal(a, b)


def test_bad_input():
    t = np.linspace(0, 10, 50)
    data = Trajectories.from_arrays(t, np.sin(t))
    fitted = Persistence().fit(data)
    with pytest.raises(ConfigError, match='Did you mean "linear"'):
        baseline("linar")
    with pytest.raises(DataError, match="at least 5 times"):
        Linear().fit(Trajectories.from_arrays(t[:4], np.sin(t[:4])))
    with pytest.raises(ConfigError, match="before the end of the history"):
        fitted.forecast(t, np.sin(t), None, [9.0])
    with pytest.raises(ConfigError, match="0 times ahead"):
        fitted.forecast(t, np.sin(t), None, np.zeros(0))
    with pytest.raises(ConfigError, match="history_ts must be finite and increase"):
        fitted.forecast(t[::-1], np.sin(t), None, [11.0])
    with pytest.raises(ShapeError, match="history_ys"):
        fitted.forecast(t, np.sin(t[1:]), None, [11.0])
    with pytest.raises(ShapeError, match="channels of the training data"):
        fitted.forecast(t, np.ones((50, 2)), None, [11.0])
    with pytest.raises(ShapeError, match="history_mask"):
        fitted.forecast(t, np.sin(t), np.ones(7, bool), [11.0])
    with pytest.raises(ConfigError, match="training data have 0 input"):
        fitted.forecast(t, np.sin(t), None, [11.0], [1.0])
    with pytest.raises(ShapeError, match="history_mask"):
        Persistence().fit(Trajectories.from_arrays(t, np.ones((50, 2)))).forecast(
            t, np.ones((50, 2)), np.ones((2, 50), bool), [11.0]
        )
    late = t + 1e9  # a clock in seconds since 1970: half a second is no rounding
    with pytest.raises(ConfigError, match=r"begins at 1000000009\.5"):
        fitted.forecast(late, np.sin(t), None, [1e9 + 9.5])
    assert fitted.forecast(late, np.sin(t), None, late[-1:]) == np.sin(t[-1])
    with pytest.raises(DataError, match="infinite values"):
        fitted.forecast(t, np.where(t < 5, 1.0, np.inf), None, [11.0])
    driven = Persistence().fit(Trajectories.from_arrays(t, np.sin(t), np.cos(t)))
    with pytest.raises(DataError, match=r"^us holds gaps"):
        driven.forecast(t, np.sin(t), None, [11.0], [np.nan])
    with pytest.raises(DataError, match="history_us holds gaps"):
        driven.forecast(t, np.sin(t), None, [11.0], [1.0], np.nan * t)
    with pytest.raises(ConfigError, match="was given none"):
        driven.forecast(t, np.sin(t), None, [11.0])
    with pytest.raises(ShapeError, match="us"):
        driven.forecast(t, np.sin(t), None, [11.0], [1.0, 2.0])


def test_anchors_of_the_measured_pendulum(data_dir):
    """Predicting rest: 0.513 and 0.289 rad (least squares of others, same windows)."""
    path = data_dir / "real" / "multiarm_pendulum" / "single.csv"
    if not path.exists():
        pytest.skip("the multiarm pendulum is not among the data here")
    ts, theta = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(0, 1)).T
    early = ts <= 20
    data = Trajectories.from_arrays(ts[early], theta[early], angle=(True,))
    out = ahead_of(Mean().fit(data), data, ts[~early])[:, 0]
    error, later = out - theta[~early], ts[~early]
    rms = lambda e: float(np.sqrt(np.mean(e**2)))
    assert rms(error[later <= 36.7]) == pytest.approx(0.513, abs=5e-4)
    assert rms(error[later > 36.7]) == pytest.approx(0.289, abs=5e-4)


def test_anchor_of_the_silverbox(data_dir):
    """A linear second-order model has 7.0 mV on the whole multisine (published
    order of magnitude 7 to 14 mV), a little more on this stretch; pure
    simulation after 50 samples."""
    path = data_dir / "real" / "silverbox" / "snls80mv.csv"
    if not path.exists():
        pytest.skip("the Silverbox is not among the data here")
    rows = slice(40_650, 50_000)
    table = np.loadtxt(path, delimiter=",", skiprows=1 + rows.start, max_rows=9000)
    u, y = table.T
    t = np.arange(len(u)) / 610.35
    fitted = Linear().fit(Trajectories.from_arrays(t[:4000], y[:4000], u[:4000]))
    past, test = slice(5000, 5050), slice(5050, 9000)
    out = fitted.forecast(t[past], y[past], None, t[test], u[test], u[past])[:, 0]
    assert np.sqrt(np.mean((out - y[test]) ** 2)) < 9e-3
