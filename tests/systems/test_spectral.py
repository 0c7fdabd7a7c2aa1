"""The classical solvers: exact where they should be, of order four where not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose

from pendula import ConfigError, DivergedError, ShapeError
from pendula.systems import (
    etdrk4,
    fourier_interpolate,
    navier_stokes_torus,
    torus_velocity,
    torus_vorticity,
)
from pendula.systems._spectral import etd_coefficients
from pendula.systems._spectral_2d import interpolate_torus


TAU = 2.0 * np.pi


def circle(n):
    return TAU * np.arange(n) / n


def square(n):
    return np.stack(np.meshgrid(circle(n), circle(n), indexing="ij"), axis=-1)


def orders(solve, steps):
    """Orders of convergence between successive step counts, against 8 times more."""
    truth = solve(1.0 / (8 * steps[-1]))
    errors = [np.linalg.norm(solve(1.0 / n) - truth) for n in steps]
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


def test_order_four_on_stiff_equations():
    x = circle(64)
    burgers = lambda dt: etdrk4(
        lambda k: -0.1 * k**2,
        lambda u: -0.5 * u**2,
        np.sin(x),
        TAU,
        [1.0],
        dt=dt,
        derivative=1,
    )
    waves = lambda dt: etdrk4(  # dispersion: a complex symbol
        lambda k: 1j * 0.05 * k**3 - 0.02 * k**2,
        lambda u: -3.0 * u**2,
        np.cos(x),
        TAU,
        [1.0],
        dt=dt,
        derivative=1,
    )
    fronts = lambda dt: etdrk4(
        lambda k: 5.0 - 0.01 * k**4, lambda u: -5.0 * u**3, np.cos(x), TAU, [1.0], dt=dt
    )
    assert orders(burgers, [10, 20, 40]) == pytest.approx(4.0, abs=0.25)
    assert np.all(orders(waves, [100, 200, 400]) > 3.7)
    assert orders(fronts, [20, 40, 80]) == pytest.approx(4.0, abs=0.3)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(4, 40),
    mode=st.integers(1, 19),
    speed=st.floats(-50.0, 50.0),
    decay=st.floats(0.0, 2.0),
    length=st.floats(0.5, 20.0),
    times=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=4, unique=True),
)
def test_linear_equations_are_exact(n, mode, speed, decay, length, times):
    """A wave below the alternating one turns and decays as it should, whatever dt."""
    mode = 1 + mode % max((n - 1) // 2, 1)
    wave = TAU / length * mode
    x = length * np.arange(n) / n
    t = np.sort(times)
    symbol = lambda k: -1j * speed * k - decay * k**2
    u = etdrk4(symbol, None, np.cos(wave * x), length, t, dt=10.0)
    phase = wave * (x[None] - speed * t[:, None])
    truth = np.exp(-decay * wave**2 * t)[:, None] * np.cos(phase)
    assert_allclose(u, truth, atol=1e-11)


def test_output_times_do_not_matter():
    """Landing on more times changes the result by rounding only where the steps are
    the same, and row 0 at time 0 is the start itself."""
    x = circle(32)
    run = lambda times: etdrk4(
        lambda k: -0.1 * k**2,
        lambda u: -0.5 * u**2,
        np.sin(x),
        TAU,
        times,
        dt=0.05,
        derivative=1,
    )
    every = run(np.linspace(0.0, 1.0, 21))
    assert np.array_equal(every[0], np.sin(x))
    assert_allclose(every[-1], run([1.0])[0], atol=1e-13)
    assert_allclose(every[[7, 20]], run([0.35, 1.0]), atol=1e-13)


def test_coefficients_have_their_limits():
    """At z = 0 the weights of RK4; far from it the formulas that cancel near it."""
    h = 0.3
    z = np.array([0.0, 1e-9, -30.0, 12.0])
    e, e2, q, f1, f2, f3 = etd_coefficients(z / h, h)
    assert_allclose(e, np.exp(z), rtol=1e-15)
    assert_allclose(e2, np.exp(0.5 * z), rtol=1e-15)
    weights = np.stack([q, f1, f2, f3])
    for i in (0, 1):
        assert_allclose(weights[:, i], h * np.array([1 / 2, 1 / 6, 1 / 3, 1 / 6]))
    z, e = z[2:], e[2:]
    assert_allclose(q[2:], h * (np.exp(z / 2) - 1.0) / z, rtol=1e-13)
    assert_allclose(f1[2:], h * (-4 - z + e * (4 - 3 * z + z**2)) / z**3, rtol=1e-12)
    assert_allclose(f2[2:], 2 * h * (2 + z + e * (z - 2)) / z**3, rtol=1e-12)
    assert_allclose(f3[2:], h * (-4 - 3 * z - z**2 + e * (4 - z)) / z**3, rtol=1e-12)


def test_dealiasing_keeps_energy_without_viscosity():
    """The truncated inviscid equation conserves the mean square; aliases do not."""
    n = 48
    x = circle(n)
    random = np.random.default_rng(0)
    start = sum(random.normal() * np.cos(k * x + k) for k in range(1, 16))
    energy = {}
    for dealias in (True, False):
        u = etdrk4(
            lambda k: 0.0 * k,
            lambda u: -0.5 * u**2,
            0.1 * start,
            TAU,
            [0.0, 0.5],
            dt=2e-3,
            dealias=dealias,
            derivative=1,
        )
        energy[dealias] = np.mean(u**2, axis=1)
    assert energy[True][1] == pytest.approx(energy[True][0], rel=1e-9)
    assert energy[False][1] != pytest.approx(energy[False][0], rel=1e-5)


@pytest.mark.parametrize("n", [15, 16])
def test_interpolation_is_exact_between_the_nodes(n):
    f = lambda x: 1.0 + np.cos(3 * x - 0.4) + 0.2 * np.sin(7 * x)
    x = np.array([-1.3, 0.0, 0.123, 5.0, TAU, 9.0])
    found = fourier_interpolate(f(circle(n))[None], TAU, x)
    assert_allclose(found[0], f(x), atol=1e-13)
    u = np.random.default_rng(0).normal(size=(2, n))
    assert np.array_equal(fourier_interpolate(u, TAU, circle(n)[3:]), u[:, 3:])
    again = fourier_interpolate(u, TAU, np.append(circle(n), 0.1))[:, :-1]
    assert_allclose(again, u, atol=1e-13)  # by the series
    # whatever the numbers lie in
    told = fourier_interpolate(u, TAU, x)
    assert np.array_equal(fourier_interpolate(np.asfortranarray(u), TAU, x), told)
    single = u.astype(np.float32)
    assert_allclose(fourier_interpolate(single, TAU, x), told, atol=1e-5)


GOOD = {
    "linear_symbol": lambda k: -(k**2),
    "nonlinear": lambda u: u**2,
    "u0": np.ones(8),
    "length": 1.0,
    "times": [0.0, 1.0],
    "dt": 0.1,
}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"u0": np.ones((8, 2))}, ShapeError, "u0 has shape"),
        ({"u0": np.ones(3)}, ShapeError, "at least 4"),
        ({"u0": np.array([1.0, np.nan, 0.0, 0.0])}, ConfigError, "NaN"),
        ({"length": 0.0}, ConfigError, "length is 0"),
        ({"length": np.inf}, ConfigError, "length is inf"),
        ({"dt": -0.1}, ConfigError, "dt is -0.1"),
        ({"dt": np.nan}, ConfigError, "dt is nan"),
        ({"times": []}, ShapeError, "times has shape"),
        ({"times": [0.0, 0.0]}, ConfigError, "increase"),
        ({"times": [-1.0, 0.0]}, ConfigError, "from 0"),
        ({"times": [0.0, np.inf]}, ConfigError, "finite"),
        ({"linear_symbol": lambda k: np.ones(3)}, ShapeError, "linear_symbol"),
        ({"linear_symbol": lambda k: k + np.nan}, ConfigError, "NaN"),
        ({"nonlinear": lambda u: u[:-1]}, ShapeError, "nonlinear"),
        ({"nonlinear": lambda u: 1j * u}, ShapeError, "nonlinear"),
        ({"derivative": -1}, ConfigError, "derivative"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(change, error, words):
    given_ = {**GOOD, **change}
    with pytest.raises(error, match=words):
        etdrk4(**given_)


def test_a_field_that_blows_up_is_said():
    with pytest.raises(DivergedError, match="time 3"):
        etdrk4(lambda k: 0.0 * k, lambda u: u**3, np.ones(8), 1.0, [3.0], dt=0.1)


@pytest.mark.slow
def test_agrees_with_exponax():
    """The same equation by the optional library, which compiles its own stepper."""
    exponax = pytest.importorskip("exponax")
    n = 128
    start = np.cos(circle(n)) + 0.1
    with (
        jax.enable_x64(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        stepper = exponax.stepper.KuramotoSivashinskyConservative(
            1, 30.0, n, 0.1, order=4
        )
        end = np.asarray(exponax.repeat(stepper, 100)(jnp.asarray(start)[None]))[0]
    ours = etdrk4(
        lambda k: k**2 - k**4,
        lambda u: -0.5 * u**2,
        start,
        30.0,
        [10.0],
        dt=0.1,
        derivative=1,
    )
    assert_allclose(end, ours[0], atol=1e-9)


# The torus


@pytest.mark.parametrize("n", [23, 24])
def test_waves_of_one_length_only_decay(n):
    """Taylor and Green's flow and any other sum of waves with equal |k| solve the
    equation: what they carry vanishes. A mean velocity shifts them."""
    p = square(n)
    field = lambda x, y: (
        np.cos(3 * x + 4 * y) + 0.3 * np.sin(4 * x - 3 * y) + np.cos(5 * x - 1.0)
    )
    nu, t, drift = 0.02, np.array([0.0, 0.3, 1.0]), (0.7, -1.9)
    w = navier_stokes_torus(
        field(p[..., 0], p[..., 1]), nu, t, dt=0.05, mean_velocity=drift
    )
    for i, time in enumerate(t):
        moved = field(p[..., 0] - drift[0] * time, p[..., 1] - drift[1] * time)
        assert_allclose(w[i], np.exp(-25.0 * nu * time) * moved, atol=1e-12)


def test_torus_agrees_with_another_form_and_another_integrator():
    """Against u . grad w by DOP853: other products, other derivatives, other steps."""
    n, nu, length = 24, 0.02, 3.0
    w0 = torus_vorticity(square(n), largest=4)
    k = TAU / length * n * np.fft.fftfreq(n)
    kx, ky = np.meshgrid(k, k, indexing="ij")
    keep = (3 * abs(kx) < TAU / length * n) & (3 * abs(ky) < TAU / length * n)
    size = kx**2 + ky**2
    size[0, 0] = np.inf

    def rate(_, flat):
        v = np.fft.fft2(flat.reshape(n, n))
        low = v * keep
        back = lambda modes: np.fft.ifft2(modes).real
        carried = back(1j * ky / size * low) * back(1j * kx * low)
        carried -= back(1j * kx / size * low) * back(1j * ky * low)
        return (
            back(-nu * np.where(size < np.inf, size, 0.0) * v).ravel()
            - back(keep * np.fft.fft2(carried)).ravel()
        )

    found = scipy.integrate.solve_ivp(
        rate, (0.0, 0.5), w0.ravel(), method="DOP853", rtol=1e-11, atol=1e-11
    )
    ours = navier_stokes_torus(w0, nu, [0.5], dt=2e-3, length=length)
    assert_allclose(ours[0].ravel(), found.y[:, -1], atol=1e-8)


def test_torus_has_order_four():
    w0 = torus_vorticity(square(32), seed=1)
    solve = lambda dt: navier_stokes_torus(w0, 0.05, [1.0], dt=dt)
    assert orders(solve, [20, 40, 80]) == pytest.approx(4.0, abs=0.3)


def invariants(w):
    """Energy and enstrophy."""
    return 0.5 * np.mean(np.sum(torus_velocity(w) ** 2, axis=0)), 0.5 * np.mean(w**2)


def test_energy_falls_as_enstrophy_says():
    """dE/dt = -2 nu Z; both fall with viscosity, and neither moves without."""
    w0 = torus_vorticity(square(48), speed=2.0)
    assert invariants(w0)[0] == pytest.approx(2.0, rel=1e-12)  # half of speed squared
    times = np.array([0.0, 0.5, 0.51, 0.52])
    nu = 0.03
    energy, enstrophy = np.array(
        [invariants(w) for w in navier_stokes_torus(w0, nu, times, dt=0.01)]
    ).T
    assert np.all(np.diff(energy) < 0.0)
    assert np.all(np.diff(enstrophy) < 0.0)
    slope = (energy[3] - energy[1]) / 0.02
    assert slope == pytest.approx(-2.0 * nu * enstrophy[2], rel=1e-5)
    # both are exact for the modes that the two thirds rule keeps, filled here
    w = navier_stokes_torus(w0, 0.0, [0.0, 1.0], dt=2e-3)
    assert_allclose(invariants(w[1]), invariants(w[0]), rtol=1e-8)


def test_velocity_has_this_curl_and_no_divergence():
    n = 18
    w = torus_vorticity(square(n), seed=2)
    u, v = torus_velocity(w)
    k = 1j * n * np.fft.fftfreq(n)
    by_x = lambda f: np.fft.ifft(k[:, None] * np.fft.fft(f, axis=0), axis=0).real
    by_y = lambda f: np.fft.ifft(k[None] * np.fft.fft(f, axis=1), axis=1).real
    assert_allclose(by_x(v) - by_y(u), w, atol=1e-12)
    assert_allclose(by_x(u) + by_y(v), 0.0, atol=1e-12)
    assert_allclose(torus_velocity(w, 3.0 * TAU), 3.0 * np.stack([u, v]), atol=1e-12)


@pytest.mark.parametrize("n", [11, 12])
def test_torus_interpolation_is_exact(n):
    field = lambda p: np.cos(3 * p[..., 0] - 2 * p[..., 1] + 0.3) + np.sin(p[..., 1])
    points = np.random.default_rng(0).uniform(-3.0, 9.0, (20, 2))
    w = field(square(n))[None]
    assert_allclose(interpolate_torus(w, TAU, points)[0], field(points), atol=1e-13)
    nodes = square(n).reshape(-1, 2)
    assert np.array_equal(interpolate_torus(w, TAU, nodes)[0], w[0].ravel())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"w0": np.zeros((8, 6))}, ShapeError, "as many nodes"),
        ({"w0": np.zeros(8)}, ShapeError, "as many nodes"),
        ({"w0": np.ones((8, 8))}, ConfigError, "mean"),
        ({"w0": np.full((8, 8), np.nan)}, ConfigError, "NaN"),
        ({"nu": -1.0}, ConfigError, "nu is -1"),
        ({"nu": np.nan}, ConfigError, "nu is nan"),
        ({"mean_velocity": (0.0, np.inf)}, ConfigError, "mean_velocity"),
        ({"length": -1.0}, ConfigError, "length"),
        ({"dt": 0.0}, ConfigError, "dt is 0"),
        ({"times": [1.0, 0.5]}, ConfigError, "increase"),
    ],
)
def test_bad_flows_are_refused(change, error, words):
    good = {"w0": np.zeros((8, 8)), "nu": 0.1, "times": [0.0, 1.0], "dt": 0.1}
    with pytest.raises(error, match=words):
        navier_stokes_torus(**{**good, **change})
