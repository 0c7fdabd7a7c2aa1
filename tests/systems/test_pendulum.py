"""The pendulum against its elliptic solution, its energy law and limiting cases."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.solve import integrate
from pendula.systems import Pendulum, simulate


STARTS = np.array(
    [[0.3, 0.0], [2.9, -0.4], [-1.0, 4.0], [1.0, 7.0], [0.5, -9.0], [13.0, 2.0]]
)
"""Small and large swings, both senses of turning, and one wound up twice."""


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_exact_motion_equals_integration_to_1e_9():
    p, ts = Pendulum(length=0.8), np.linspace(3.0, 8.0, 41)
    run = lambda y: integrate(p, y, ts, rtol=1e-12, atol=1e-13, solver="dopri8")
    out = jax.jit(jax.vmap(run))(jnp.asarray(STARTS))
    assert np.all(np.asarray(out.status) == 0)
    for y0, ys in zip(STARTS, np.asarray(out.ys), strict=True):
        np.testing.assert_allclose(p.exact(ts, y0), ys, rtol=0, atol=1e-9)


def test_simulated_data_equal_the_exact_motion():
    p = Pendulum(length=0.8)
    data = simulate(p, num=len(STARTS), y0=STARTS, duration=10.0, dt=0.05)
    for y0, ys in zip(STARTS, data.ys, strict=True):
        spread = np.ptp(data.ys, axis=(0, 1))
        error = np.abs(p.exact(data.ts[0], y0) - ys).max(axis=0) / spread
        assert error.max() < 1e-8


starts = st.tuples(
    st.floats(-3.0, 3.0),
    st.floats(-8.0, 8.0),
    st.floats(0.1, 3.0),
)


@given(starts)
@settings(max_examples=40, deadline=None)
def test_exact_motion_satisfies_the_law(start):
    """The derivative of omega is the pull, energy stays, a period returns."""
    theta, omega, length = start
    p = Pendulum(length=length)
    y0 = np.array([theta, omega])
    rate, k, rest, _ = p._swing(y0)
    if abs(rest) < 1e-3 or k < 1e-3:  # near the separatrix all is amplified
        return
    h = 1e-3 / rate
    ts = np.array([0.0, 0.7 - h, 0.7, 0.7 + h]) / 1.0
    ys = p.exact(ts, y0)
    np.testing.assert_allclose(ys[0], y0, atol=1e-10)
    slope = (ys[3] - ys[1]) / (2 * h)
    scale = max(rate, abs(ys[2, 1])) ** 2
    assert abs(slope[0] - ys[2, 1]) < 1e-5 * scale / rate
    assert abs(slope[1] + rate**2 * np.sin(ys[2, 0])) < 1e-5 * scale * rate
    energy = 0.5 * ys[:, 1] ** 2 + 2 * rate**2 * np.sin(0.5 * ys[:, 0]) ** 2
    np.testing.assert_allclose(energy, energy[0], rtol=1e-9)
    period = p.period(y0)
    turn = 0.0 if rest > 0 else 2 * np.pi * np.sign(omega)
    back = p.exact(np.array([0.0, period]), y0)[1]
    np.testing.assert_allclose(back, [theta + turn, omega], rtol=1e-8, atol=1e-8)


def test_period_of_small_and_large_swings():
    p = Pendulum(length=9.81)  # rate 1
    # amplitude series of Landau and Lifshitz to fourth order
    a = 0.1
    series = 2 * np.pi * (1 + a**2 / 16 + 11 * a**4 / 3072)
    assert p.period([a, 0.0]) == pytest.approx(series, rel=1e-8)
    assert p.period([0.0, 0.0]) == pytest.approx(2 * np.pi, rel=1e-15)
    # K(sin^2(pi/4)) = Gamma(1/4)^2 / (4 sqrt(pi)), to 12 places
    assert p.period([np.pi / 2, 0.0]) == pytest.approx(4 * 1.854074677301, rel=1e-11)
    # fast turning: the pull hardly matters
    assert p.period([0.0, 100.0]) == pytest.approx(2 * np.pi / 100, rel=1e-3)


def test_separatrix_and_rest():
    p = Pendulum(length=9.81)
    ts = np.linspace(0, 30, 7)
    out = p.exact(ts, [0.0, 2.0])
    np.testing.assert_allclose(out[:, 0], 2 * np.arctan(np.sinh(ts)), atol=1e-9)
    assert p.period([0.0, 2.0]) == np.inf
    np.testing.assert_array_equal(p.exact(ts, [0.0, 0.0]), np.zeros((7, 2)))
    # a hair beside the top: a swing of many periods' length, never a wild value
    near = p.exact(np.linspace(0, 200, 401), [np.pi - 1e-7, 0.0])
    assert np.abs(near[:, 0]).max() <= np.pi
    assert np.abs(near[:, 1]).max() <= 2.0 + 1e-9


@eqx.filter_jit
def power(world, y, u):
    """Change of the energy along the field."""
    slope = jax.grad(lambda y: world.invariants(y)["energy"])(y)
    return slope @ world(0.0, y, u)


@given(st.floats(-2.5, 2.5), st.floats(-3.0, 3.0), st.floats(0.0, 2.0))
@settings(max_examples=25, deadline=None)
def test_damping_takes_the_energy_at_its_rate(theta, omega, damping):
    """dE/dt along the field is -c omega^2 + u omega."""
    p = Pendulum(damping=damping)
    rate = power(p, np.array([theta, omega]), np.array([0.3]))
    want = -damping * omega**2 + 0.3 * omega
    assert float(rate) == pytest.approx(want, rel=1e-9, abs=1e-9)


def test_damped_energy_decays_by_its_integral():
    p = Pendulum(damping=0.2)
    data = simulate(p, y0=[2.0, 0.0], num=6, duration=2.0, dt=0.01)
    energy = np.asarray(
        jax.vmap(lambda y: p.invariants(y)["energy"])(jnp.asarray(data.ys[0]))
    )
    power = -0.2 * data.ys[0, :, 1] ** 2
    # Simpson's rule on each pair of steps
    lost = (0.01 / 3) * (power[:-2:2] + 4 * power[1::2] + power[2::2])
    np.testing.assert_allclose(energy[::2][1:], energy[0] + np.cumsum(lost), atol=1e-7)
    assert np.all(np.diff(energy) <= 0)


def test_small_driven_swing_settles_to_the_linear_answer():
    """Amplitude a / |w0^2 - W^2 + i c W| for a weak drive."""
    a, c, rate = 1e-3, 0.5, 2.0
    p = Pendulum(damping=c, drive_amplitude=a, drive_rate=rate)
    data = simulate(p, y0=[0.0, 0.0], num=6, duration=60.0, dt=0.3)
    tail = data.ts[0] > 40
    want = a * np.exp(1j * rate * data.ts[0]) / (9.81 - rate**2 + 1j * c * rate)
    np.testing.assert_allclose(data.ys[0, tail, 0], want.real[tail], atol=2e-8)
    # the same drive given from outside
    outside = simulate(
        Pendulum(damping=c),
        y0=[0.0, 0.0],
        num=6,
        duration=60.0,
        dt=0.3,
        us=lambda t: a * np.cos(rate * t),
    )
    # (away from the ends, where the spline through the samples is best)
    inner = (data.ts[0] > 40) & (data.ts[0] < 55)
    np.testing.assert_allclose(outside.ys[:, inner], data.ys[:, inner], atol=2e-7)


def test_exact_refuses_what_it_cannot_solve():
    for constants in ({"damping": 0.1}, {"drive_amplitude": 1.0}):
        p = Pendulum(**constants)
        for call in (lambda p=p: p.exact([0, 1], [1, 0]), lambda p=p: p.period([1, 0])):
            with pytest.raises(ConfigError, match="the exact solution needs both 0"):
                call()
