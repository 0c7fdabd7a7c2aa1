"""Pendulums of several links against one link, small swings and Lagrange."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula.diagnostics import lyapunov_exponents
from pendula.systems import DoublePendulum, NLinkPendulum, Pendulum, simulate


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def test_one_link_is_the_pendulum():
    one, known = NLinkPendulum(links=1, length=0.7), Pendulum(length=0.7)
    y = jnp.array([1.1, -2.0])
    np.testing.assert_allclose(one(0.0, y), known(0.0, y), rtol=1e-14)
    data = simulate(one, y0=y, duration=3.0, dt=0.05)
    np.testing.assert_allclose(data.ys[0], known.exact(data.ts[0], y), atol=1e-7)


def test_two_equal_links_are_the_double_pendulum():
    same = {"gravity": 3.0, "damping": 0.2}
    chain = NLinkPendulum(links=2, length=0.8, mass=1.3, **same)
    double = DoublePendulum(length1=0.8, length2=0.8, mass1=1.3, mass2=1.3, **same)
    y, u = jnp.array([0.4, 2.0, -1.0, 0.7]), jnp.array([0.3, -0.6])
    np.testing.assert_allclose(chain(0.0, y, u), double(0.0, y, u), rtol=1e-13)
    np.testing.assert_allclose(
        chain.invariants(y)["energy"], double.invariants(y)["energy"], rtol=1e-13
    )


@jax.jit
def textbook(constants, y):
    """The two equations of the docstring, solved by hand (Cramer)."""
    l1, l2, m1, m2, g, _ = constants
    turn1, turn2, w1, w2 = y
    gap = turn1 - turn2
    a = (m1 + m2) * l1
    b = m2 * l2 * jnp.cos(gap)
    c = m2 * l1 * jnp.cos(gap)
    d = m2 * l2
    r1 = -m2 * l2 * w2**2 * jnp.sin(gap) - (m1 + m2) * g * jnp.sin(turn1)
    r2 = m2 * l1 * w1**2 * jnp.sin(gap) - m2 * g * jnp.sin(turn2)
    whole = a * d - b * c
    return jnp.stack([w1, w2, (r1 * d - b * r2) / whole, (a * r2 - c * r1) / whole])


size = st.floats(0.2, 3.0)


@given(size, size, size, size, st.floats(-3, 3), st.floats(-3, 3), st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_double_pendulum_is_the_textbooks(l1, l2, m1, m2, turn1, turn2, rate):
    constants = jnp.array([l1, l2, m1, m2, 9.81, 0.0])
    y = jnp.array([turn1, turn2, rate, 0.5 - rate])
    found = DoublePendulum()(0.0, y, None, constants)
    np.testing.assert_allclose(found, textbook(constants, y), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("links", [2, 3])
def test_small_swings_are_the_modes(links):
    world = NLinkPendulum(links=links, length=1.4)
    rates, shapes = world.modes()
    if links == 2:  # g/l (2 -+ sqrt 2)
        known = 9.81 / 1.4 * (2 + np.sqrt(2) * np.array([-1, 1]))
        np.testing.assert_allclose(rates**2, known, rtol=1e-12)
    ts = np.linspace(0.0, 4.0, 81)
    for rate, shape in zip(rates, shapes.T, strict=True):
        start = 1e-5 * np.concatenate([shape, np.zeros(links)])
        ys = simulate(world, y0=start, ts=ts).ys[0]
        turn = 1e-5 * np.cos(rate * ts)[:, None] * shape
        np.testing.assert_allclose(ys[:, :links], turn, atol=1e-11)


def test_the_double_pendulum_is_as_chaotic_as_its_docstring_says():
    world = DoublePendulum()
    out = lyapunov_exponents(world, world.initial(), 0.005, 60000, count=1)
    # eight starts 1e-7 apart give 0.194 with a spread of 0.016 over these 300 s: three
    # of them, for another machine's rounding is another such start
    assert out.values[0] == pytest.approx(0.19, abs=0.05)
    assert out.errors[0] < 0.06


def test_energy_is_lost_to_friction_and_fed_by_torques():
    """dE/dt is the power in the joints: tau - c times the rate of bending, times it."""
    world = NLinkPendulum(links=3, damping=0.3, mass=0.6)
    y = world.initial(jax.random.key(0))
    u = jnp.array([0.2, -0.5, 1.0])
    power = jax.grad(lambda s: world.invariants(s)["energy"])(y) @ world(0.0, y, u)
    bending = np.diff(np.asarray(y[3:]), prepend=0.0)
    wanted = np.sum(np.asarray(u) * bending) - 0.3 * np.sum(bending**2)
    assert float(power) == pytest.approx(wanted, rel=1e-12)


def test_without_gravity_the_angular_momentum_is_kept():
    world = NLinkPendulum(links=3, gravity=0.0)
    y = world.initial(jax.random.key(1))
    power = jax.grad(world.angular_momentum)(y) @ world(0.0, y)
    assert abs(float(power)) < 1e-13
    assert np.isfinite(float(world.time_scale()))


def test_the_number_of_links_shapes_names_and_state():
    assert NLinkPendulum(links=3).names[2:4] == ("theta3", "omega1")
    assert NLinkPendulum(links=4.0).options() == {"links": 4}
    for bad in (0, 11, 2.5, np.nan, "two", True):
        with pytest.raises(ConfigError, match="whole number from 1 to 10"):
            NLinkPendulum(links=bad)
