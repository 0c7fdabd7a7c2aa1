"""Kepler's orbits and bodies on springs against their closed motion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.solve import rollout
from pendula.systems import Kepler, SpringBodies, simulate


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_kepler_equals_its_exact_motion():
    data = simulate("kepler", num=4, duration=2.5, dt=0.05, seed=3)
    for ts, ys in zip(data.ts, data.ys, strict=True):
        np.testing.assert_allclose(ys, Kepler().exact(ts, ys[0]), atol=2e-7)


@given(st.floats(0.0, 0.97), st.floats(0.0, 6.3), st.floats(0.1, 3.0))
@settings(max_examples=40, deadline=None)
def test_exact_orbits_keep_what_is_conserved_and_close(e, phase, size):
    world = Kepler(mu=1.7)
    speed = np.sqrt(1.7 / size * (1 + e) / (1 - e))
    y0 = np.array([size * (1 - e), 0.0, 0.0, speed])
    period = world.period(y0)
    assert period == pytest.approx(2 * np.pi * np.sqrt(size**3 / 1.7), rel=1e-9)
    ys = world.exact([0.0, phase, phase + period], y0)
    np.testing.assert_allclose(ys[2], ys[1], rtol=1e-7, atol=1e-7 * speed)
    first, later = (world.invariants(jnp.asarray(y)) for y in ys[:2])
    for name in first:
        scale = abs(float(first["energy"])) if name == "energy" else 1.0
        gap = abs(float(first[name]) - float(later[name]))
        assert gap < 1e-9 * max(scale, 1.0) / (1 - e), name
    np.testing.assert_allclose(float(first["lrl_x"]), e, atol=1e-12)
    again = world.exact([0.0, period - phase % period], ys[1])[1]
    np.testing.assert_allclose(again, y0, rtol=1e-6, atol=1e-6 * speed)


def test_kepler_refuses_open_orbits_and_falls():
    with pytest.raises(ConfigError, match="the orbit is open"):
        Kepler(mu=1.0).exact([0.0, 1.0], [1.0, 0.0, 0.0, 1.5])
    with pytest.raises(ConfigError, match="falls into the sun"):
        Kepler(mu=1.0).exact([0.0, 1.0], [1.0, 0.0, 0.5, 0.0])
    assert Kepler(mu=1.0).period([1.0, 0.0, 0.0, 1.5]) == np.inf


def test_leapfrog_keeps_keplers_angular_momentum_exactly_and_bounds_energy():
    """The kicks are central and the drifts along v: L is kept to rounding."""
    world = Kepler(mu=1.0)
    y0 = jnp.array([0.7, 0.0, 0.0, np.sqrt(13 / 7)])
    ys = rollout(world, y0, jnp.arange(0.0, 200.0, 0.05), scheme="leapfrog").ys
    told = jax.vmap(world.invariants)(ys)
    turn, energy = np.asarray(told["angular_momentum"]), np.asarray(told["energy"])
    np.testing.assert_allclose(turn, turn[0], rtol=1e-12)
    half = len(energy) // 2
    assert np.ptp(energy[half:]) < 1.05 * np.ptp(energy[:half]) < 0.01


def test_springs_without_length_equal_their_exact_motion():
    world = SpringBodies(rest_length=0.0, bodies=4, space=3, mass=0.5)
    data = simulate(world, num=2, duration=6.0, dt=0.2, seed=1)
    for ts, ys in zip(data.ts, data.ys, strict=True):
        np.testing.assert_allclose(ys, world.exact(ts, ys[0]), atol=2e-7)
    with pytest.raises(ConfigError, match="rest_length is 1"):
        SpringBodies().exact([0.0, 1.0], np.zeros(12))


def test_two_bodies_on_a_line_swing_about_the_rest_length():
    world = SpringBodies(bodies=2, space=1, rest_length=2.0, stiffness=3.0, mass=1.5)
    ts = np.linspace(0.0, 5.0, 51)
    ys = simulate(world, y0=[-1.1, 1.1, 0.0, 0.0], ts=ts).ys[0]
    rate = np.sqrt(2 * 3.0 / 1.5)
    apart = 2.0 + 0.2 * np.cos(rate * ts)
    np.testing.assert_allclose(ys[:, 1] - ys[:, 0], apart, atol=1e-7)


@pytest.mark.parametrize("space", [2, 3])
def test_springs_turn_shift_and_glide(space, key):
    """The field in a turned, shifted, moving frame is the turned field."""
    world = SpringBodies(bodies=4, space=space, damping=0.3)
    y = world.initial(key)
    turn = jnp.linalg.qr(jax.random.normal(key, (space, space)))[0]
    shift, glide = jnp.arange(1.0, space + 1), jnp.ones(space)

    def moved(s):
        q, v = s.reshape(2, 4, space)
        return jnp.stack([q @ turn.T + shift[None], v @ turn.T + glide[None]]).reshape(
            -1
        )

    dq, dv = world(0.0, y).reshape(2, 4, space)
    wanted = jnp.stack([dq @ turn.T + glide[None], dv @ turn.T]).reshape(-1)
    np.testing.assert_allclose(world(0.0, moved(y)), wanted, atol=1e-13)


def test_dashpots_take_energy_and_leave_momenta():
    world = SpringBodies(bodies=3, damping=0.4)
    y = world.initial(jax.random.key(5))
    slopes = jax.jit(jax.jacrev(world.invariants))(y)
    power = {name: float(slope @ world(0.0, y)) for name, slope in slopes.items()}
    assert power.pop("energy") < -1e-3
    assert max(map(abs, power.values())) < 1e-13


def test_bodies_at_one_place_have_finite_field_and_gradient():
    world = SpringBodies(bodies=2)
    zero = jnp.zeros(8)
    assert np.all(np.asarray(world(0.0, zero)) == 0)
    for field, dim in ((world, 8), (Kepler(), 4)):
        slope = jax.jit(jax.jacfwd(lambda s, f=field: f(0.0, s)))
        assert np.isfinite(slope(jnp.zeros(dim))).all()
