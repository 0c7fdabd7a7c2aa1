"""Lotka-Volterra, Lorenz and the double gyre: what is exactly known of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import DataWarning
from pendula.solve import rollout
from pendula.systems import DoubleGyre, Lorenz, LotkaVolterra, simulate


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


rates = st.floats(0.2, 3.0)


@eqx.filter_jit
def volterra_power(world, y):
    """Terms of the change of Volterra's function along the field, and the field at
    the equilibrium."""
    slope = jax.grad(lambda s: world.invariants(s)["volterra"])(y)
    return slope * world(0.0, y), world(0.0, world.equilibrium())


@given(rates, rates, rates, rates, st.floats(0.1, 5.0), st.floats(0.1, 5.0))
@settings(max_examples=25, deadline=None)
def test_volterras_function_does_not_change_along_the_field(a, b, d, c, x, y):
    world = LotkaVolterra(growth=a, predation=b, conversion=d, death=c)
    parts, rest = volterra_power(world, np.array([x, y]))
    assert abs(np.sum(parts)) <= 1e-13 * (1 + np.sum(np.abs(parts)))
    assert np.max(np.abs(rest)) < 1e-13


def test_volterras_function_is_kept_at_the_order_of_rk4():
    world = LotkaVolterra()
    start = jnp.array([0.4, 1.3])
    counts = [40, 80, 160, 320]
    grids = np.stack([np.minimum(np.arange(321) / n, 1.0) * 5.0 for n in counts])
    out = jax.jit(jax.vmap(lambda ts: rollout(world, start, ts).ys))(jnp.asarray(grids))
    value = lambda y: float(world.invariants(y)["volterra"])
    drift = [abs(value(ys[-1]) - value(start)) for ys in out]
    slopes = np.log2(np.divide(drift[:-1], drift[1:]))
    assert np.all(slopes > 3.8), slopes


def test_small_cycles_have_the_linear_period_and_the_equilibrium_mean():
    world = LotkaVolterra(growth=2.0, predation=1.0, conversion=0.5, death=0.5)
    period = 2 * np.pi / np.sqrt(2.0 * 0.5)
    rest = np.asarray(world.equilibrium())
    np.testing.assert_allclose(rest, [1.0, 2.0])
    ts = np.linspace(0, period, 65)
    data = simulate(world, y0=rest * [1.001, 1.0], ts=ts)
    np.testing.assert_allclose(data.ys[0, -1], data.ys[0, 0], atol=1e-6)
    np.testing.assert_allclose(data.ys[0, :-1].mean(axis=0), rest, atol=2e-6)


def test_axes_are_invariant_and_densities_stay_positive():
    world = LotkaVolterra()
    alone = simulate(world, y0=[0.5, 0.0], duration=2.0, dt=0.1)
    np.testing.assert_allclose(alone.ys[0, :, 0], 0.5 * np.exp(alone.ts[0]), rtol=1e-7)
    np.testing.assert_array_equal(alone.ys[0, :, 1], 0.0)
    assert np.isinf(world.invariants(jnp.array([0.5, 0.0]))["volterra"])
    wild = simulate(world, y0=[8.0, 8.0], duration=20.0, dt=0.1)
    assert np.all(wild.ys > 0)


@jax.jit
def lorenz(y):
    """The field and its Jacobian."""
    field = lambda s: Lorenz()(0.0, s)
    return field(y), jax.jacfwd(field)(y)


@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(0, 50))
@settings(max_examples=25, deadline=None)
def test_lorenz_contracts_volumes_evenly_and_is_symmetric(x, y, z):
    state, flip = np.array([x, y, z]), np.array([-1.0, -1.0, 1.0])
    flow, jacobian = lorenz(state)
    assert np.trace(jacobian) == pytest.approx(-(10 + 1 + 8 / 3), rel=1e-14)
    np.testing.assert_array_equal(lorenz(flip * state)[0], flip * flow)


def test_lorenz_rests_where_theory_says():
    world = Lorenz()
    r = np.sqrt(8 / 3 * 27)
    for sign in (1.0, -1.0):
        flow = world(0.0, jnp.array([sign * r, sign * r, 27.0]))
        assert np.max(np.abs(flow)) < 1e-12
    # the z axis is invariant, with pure decay
    data = simulate(world, y0=[0.0, 0.0, 20.0], duration=2.0, dt=0.1)
    np.testing.assert_array_equal(data.ys[0, :, :2], 0.0)
    np.testing.assert_allclose(
        data.ys[0, :, 2], 20 * np.exp(-8 / 3 * data.ts[0]), atol=3e-7
    )


def test_lorenz_below_the_threshold_dies_out():
    """For rho < 1 the function rho x^2 + sigma y^2 + sigma z^2 never grows."""
    data = simulate("lorenz", params={"rho": 0.8}, duration=15.0, dt=0.05, seed=1)
    x, y, z = data.ys[0].T
    size = 0.8 * x**2 + 10 * y**2 + 10 * z**2
    assert np.all(np.diff(size) < 0)
    assert size[-1] < 1e-2 * size[0]


def test_chaos_beyond_the_reach_of_float64_is_said():
    """20 units amplify rounding by exp(0.9 * 20); 60 units leave nothing."""
    with pytest.warns(DataWarning, match="a chaotic system forgets its start"):
        data = simulate("lorenz", duration=60.0, dt=0.1, seed=0)
    assert data.origin["numerical_error"] > 1e-3
    assert np.abs(data.ys).max() < 60  # still on the attractor


def test_no_particle_crosses_the_walls_of_the_gyres():
    world = DoubleGyre()
    for t in (0.0, 1.3, 7.0):
        for x, y, across in (
            (0.0, 0.3, 0),
            (2.0, 0.7, 0),
            (0.6, 0.0, 1),
            (1.4, 1.0, 1),
        ):
            assert abs(world(t, jnp.array([x, y]))[across]) < 1e-12


def test_without_swing_the_stream_function_is_kept():
    world = DoubleGyre(swing=np.asarray(0.0))
    out = rollout(world, jnp.array([0.4, 0.3]), np.linspace(0.0, 10.0, 401))
    x, y = np.asarray(out.ys).T
    stream = np.sin(np.pi * x) * np.sin(np.pi * y)
    np.testing.assert_allclose(stream, stream[0], rtol=1e-6)
    assert np.ptp(x) > 0.1
