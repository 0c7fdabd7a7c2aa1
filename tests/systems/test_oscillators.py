"""Harmonic and Duffing oscillators against their closed solutions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.solve import rollout
from pendula.systems import Duffing, Harmonic, simulate


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


# under-, critically and overdamped, and undamped
FAMILY = {"mass": 2.0, "stiffness": 2.0, "damping": np.array([0.0, 0.3, 4.0, 9.0])}


def test_harmonic_equals_its_exact_motion_at_every_damping():
    start = np.array([0.7, -1.1])
    data = simulate("harmonic", num=4, params=FAMILY, y0=start, duration=15.0, dt=0.1)
    for c, ys in zip(FAMILY["damping"], data.ys, strict=True):
        h = Harmonic(mass=2.0, stiffness=2.0, damping=c)
        np.testing.assert_allclose(ys, h.exact(data.ts[0], start), atol=3e-8)


@given(
    st.floats(0.2, 3.0), st.floats(0.2, 3.0), st.floats(0.0, 8.0), st.floats(0.01, 3.0)
)
@settings(max_examples=40, deadline=None)
def test_exact_motion_is_a_semigroup_with_the_right_slope(mass, k, c, t):
    """Going on from the middle gives the end; the slope at the start is the law."""
    h = Harmonic(mass=mass, stiffness=k, damping=c)
    y0 = np.array([1.0, -0.5])
    whole = h.exact(np.array([0.0, t, 2 * t]), y0)
    np.testing.assert_allclose(h.exact([0, t], whole[1])[1], whole[2], atol=1e-9)
    tiny = 1e-6
    slope = (h.exact([0, tiny], y0)[1] - y0) / tiny
    np.testing.assert_allclose(slope, h(0.0, jnp.asarray(y0)), rtol=2e-3, atol=2e-3)


def test_exact_motion_keeps_its_digits_next_to_the_critical_damping():
    """The critical damping of constants that are no round numbers is missed by
    rounding, on either side."""
    off = []
    for mass in np.linspace(0.1, 5.0, 30):
        h = Harmonic(mass=mass, stiffness=0.7, damping=2.0 * np.sqrt(0.7 * mass))
        w = np.sqrt(0.7 / mass)
        q = h.exact([0.0, 2.0 / w], [1.0, 0.0])[1, 0]
        off.append(q - 3.0 * np.exp(-2.0))  # (1 + w t) e^(-w t)
    assert np.abs(off).max() < 1e-13


def test_overdamped_exact_motion_does_not_overflow():
    h = Harmonic(mass=1e-3, stiffness=1.0, damping=10.0)
    out = h.exact(np.array([0.0, 1.0, 1e4]), np.array([1.0, 0.0]))
    assert np.all(np.isfinite(out))
    # creeps as exp(-k t / c), to first order in m k / c^2 = 1e-5
    assert out[1, 0] == pytest.approx(np.exp(-0.1), rel=1e-4)


def test_rk4_loses_energy_as_its_stability_polynomial_says():
    """E_n / E_0 = |R(i w h)|^(2 n), R the RK4 polynomial: exactly."""
    h = Harmonic(mass=1.0, stiffness=4.0)
    energy = jax.vmap(lambda y: h.invariants(y)["energy"])
    drift = []
    run = jax.jit(jax.vmap(lambda ts: rollout(h, jnp.array([1.0, 0.0]), ts).ys))
    steps = np.array([0.4, 0.2, 0.1, 0.05])
    out = run(jnp.asarray(steps[:, None] * np.arange(11)))
    for dt, ys in zip(steps, out, strict=True):
        values = np.asarray(energy(ys))
        z = 2.0 * dt
        grow = 1 - z**6 / 72 + z**8 / 576
        np.testing.assert_allclose(
            values, values[0] * grow ** np.arange(11), rtol=1e-12
        )
        drift.append(1 - values[-1] / values[0])
    slopes = np.log2(np.divide(drift[:-1], drift[1:]))
    # per step the sixth power; the coarsest pair still shows the eighth
    assert np.all(np.abs(slopes[1:] - 6) < 0.2), slopes


@pytest.mark.parametrize(
    ("alpha", "beta", "amplitude"),
    [
        (1.0, 0.5, 1.7),  # hardening
        (4.0, 0.0, 0.9),  # linear
        (-1.0, 1.0, 1.2),  # inside the right well
        (-1.0, 1.0, -1.3),  # inside the left one
        (-1.0, 1.0, 2.0),  # over the barrier
        (-1.0, 1.0, 1.0),  # resting at the bottom
    ],
)
def test_duffing_released_from_rest_follows_its_elliptic_motion(alpha, beta, amplitude):
    d = Duffing(alpha=alpha, beta=beta)
    ts = np.linspace(0.0, 12.0, 61)
    got = _duffing_run(d, jnp.array([amplitude, 0.0]), ts)
    np.testing.assert_allclose(got, d.exact(ts, amplitude), atol=2e-8)


@pytest.mark.parametrize("away", [0.0, 1e-15, 1e-12, -1e-12, 1e-9])
def test_duffing_keeps_its_energy_next_to_the_barrier(away):
    """Where 1 - m has no digits left the swing takes long, and is finite all along."""
    d = Duffing(alpha=-2.9, beta=1.7)
    q, v = d.exact(np.linspace(0.0, 40.0, 200), np.sqrt(5.8 / 1.7) * (1.0 + away)).T
    energy = 0.5 * v**2 - 1.45 * q**2 + 0.425 * q**4
    np.testing.assert_allclose(energy, energy[0], atol=1e-13)


@jax.jit
def _duffing_compiled(d, y0, ts):
    return rollout(d, y0, ts, substeps=80).ys


def _duffing_run(d, y0, ts):
    return _duffing_compiled(d, y0, jnp.asarray(ts))


def test_duffing_energy_is_kept_at_the_order_of_rk4():
    d = Duffing(alpha=-1.0, beta=2.0)
    energy = jax.vmap(lambda y: d.invariants(y)["energy"])
    run = jax.jit(jax.vmap(lambda ts: rollout(d, jnp.array([1.5, 0.2]), ts).ys))
    # the same span by four steps, padded with steps of length 0
    counts = [40, 80, 160, 320]
    grids = np.stack([np.minimum(np.arange(321) / n, 1.0) * 4.0 for n in counts])
    out = run(jnp.asarray(grids))
    drift = [abs(float(energy(ys)[-1] - energy(ys)[0])) for ys in out]
    assert drift[-1] < 1e-6
    slopes = np.log2(np.divide(drift[:-1], drift[1:]))
    assert np.all(slopes > 3.8), slopes


@eqx.filter_jit
def power(world, y, u):
    """Change of the energy along the field."""
    slope = jax.grad(lambda y: world.invariants(y)["energy"])(y)
    return slope @ world(0.0, y, u)


@given(
    st.floats(-1.5, 1.5), st.floats(-1.5, 1.5), st.floats(0.0, 2.0), st.floats(-2, 2)
)
@settings(max_examples=25, deadline=None)
def test_damping_takes_the_energy_at_its_rate(q, v, damping, push):
    worlds = (
        (Duffing(damping=damping), damping),
        (Harmonic(mass=2.0, damping=damping), damping),
    )
    for world, c in worlds:
        rate = power(world, np.array([q, v]), np.array([push]))
        assert float(rate) == pytest.approx(-c * v**2 + push * v, rel=1e-9, abs=1e-9)


def test_duffing_refuses_releases_it_cannot_solve():
    with pytest.raises(ConfigError, match=r"released from 0\.5, q first grows"):
        Duffing().exact([0.0, 1.0], 0.5)
    with pytest.raises(ConfigError, match=r"damping is 0\.1"):
        Duffing(damping=0.1).exact([0.0, 1.0], 1.5)
    with pytest.raises(ConfigError, match="grows without end"):
        Duffing(beta=0.0).exact([0.0, 1.0], 1.0)
