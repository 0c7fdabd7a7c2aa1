"""Rest states and cycles of known fields: number, type, spectra, multipliers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, ShapeError
from pendula.diagnostics import LimitCycle, equilibria, limit_cycle
from pendula.systems import (
    Brusselator,
    Duffing,
    FitzHughNagumo,
    Harmonic,
    Lorenz,
    Pendulum,
    Selkov,
    VanDerPol,
)


TS = np.zeros(2)


def test_a_double_well_has_two_centres_and_a_saddle():
    found = equilibria(Duffing(alpha=-2.0), [-3, -3], [3, 3], num=64)
    assert [rest.kind for rest in found] == ["centre", "saddle", "centre"]
    np.testing.assert_allclose(found[2].y, [np.sqrt(2), 0], atol=1e-10)
    np.testing.assert_allclose(found[2].eigenvalues, [2j, -2j], atol=1e-8)
    np.testing.assert_allclose(found[1].eigenvalues, np.sqrt([2, 2]) * [1, -1])
    damped = equilibria(Duffing(damping=0.3), [-3, -3], [3, 3], num=64)
    assert [rest.kind for rest in damped] == ["stable focus", "saddle", "stable focus"]
    assert [rest.is_stable for rest in damped] == [True, False, True]
    assert not np.shares_memory(found[0].y, found[1].y)
    assert found[0].y.dtype == np.float64


def test_every_kind_is_told():
    field = lambda t, y, u, c: c * y
    kinds = {(-1.0, -2.0): "sink", (1.0, 2.0): "source", (1.0, -2.0): "saddle"}
    kinds[0.0, -1.0] = "degenerate"
    for (a, b), kind in kinds.items():
        found = equilibria(field, [-1, -1], [1, 1], num=8, context=np.array([a, b]))
        assert {rest.kind for rest in found} == {kind}
        assert (len(found) == 1) == (kind != "degenerate")
    rest = equilibria(VanDerPol(), [-1, -1], [1, 1], num=8)
    assert rest[0].kind == "unstable focus"
    assert len(equilibria(lambda t, y, u, c: 1 + y**2, [-1, -1], [1, 1], num=8)) == 0
    # how near to 0 counts as 0 is told where there are rates
    none = lambda t, y, u, c: 1e-12 * (1 + y**2) * jnp.where(y < -0.5, jnp.nan, 1.0)
    assert len(equilibria(none, [-1], [1], num=8)) == 0


def test_lorenz_and_the_pendulum_rest_where_theory_says():
    found = equilibria(Lorenz(), [-20, -20, -5], [20, 20, 40])
    r = np.sqrt(8 / 3 * 27)
    points = [[-r, -r, 27], [0, 0, 0], [r, r, 27]]
    np.testing.assert_allclose([rest.y for rest in found], points, atol=1e-9)
    assert [rest.kind for rest in found] == ["saddle"] * 3
    turns = equilibria(Pendulum(), [-4, -1], [4, 1], num=64)
    np.testing.assert_allclose(
        [rest.y[0] for rest in turns], [-np.pi, 0, np.pi], atol=1e-9
    )
    # a held input moves the rest state to where it balances gravity
    held = equilibria(Pendulum(), [-1, -1], [1, 1], num=16, u=[9.81 * 0.5])
    assert held[0].y[0] == pytest.approx(np.pi / 6, abs=1e-10)
    # a family by its context
    own = Duffing(alpha=-4.0).context()
    family = equilibria(Duffing(), [-3, -3], [3, 3], num=32, context=own)
    assert family[-1].y[0] == pytest.approx(2.0, abs=1e-10)


def test_van_der_pols_multiplier_is_liouvilles():
    """In the plane the multiplier is exp of the divergence around the cycle."""
    world = VanDerPol()
    cycle = limit_cycle(world, [0.5, 0.0], 40.0, dt=0.02)
    assert cycle.period == pytest.approx(6.663286859, abs=1e-7)
    assert np.abs(cycle.ys[:, 0]).max() == pytest.approx(2.00861986, abs=1e-4)
    inside = np.mean(1 - cycle.ys[:-1, 0] ** 2) * cycle.period
    assert cycle.multipliers[0].real == pytest.approx(np.exp(inside), rel=1e-6)
    assert cycle.trivial == pytest.approx(1.0, abs=1e-6)
    assert cycle.is_stable
    np.testing.assert_allclose(cycle.ys[-1], cycle.ys[0], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "start", "duration", "dt"),
    [
        (Selkov(), [0.5, 0.5], 150.0, 0.05),
        (Brusselator(), [1.2, 3.0], 60.0, 0.01),
        (FitzHughNagumo(), [-1.0, 0.0], 300.0, 0.1),
    ],
)
def test_self_excited_systems_have_attracting_cycles(world, start, duration, dt):
    cycle = limit_cycle(world, start, duration, dt=dt)
    assert cycle is not None
    assert np.abs(cycle.multipliers[0]) < 0.5
    assert cycle.trivial == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_three_dimensions_and_a_closed_orbit():
    """Hopf's normal form with a third direction that decays at rate 0.3: multipliers
    exp(-2 T) and exp(-0.3 T), T = 2 pi."""

    def field(t, y, u, c):
        x, z, w = y
        r = x**2 + z**2
        return jnp.stack([x - z - r * x, x + z - r * z, -0.3 * w])

    cycle = limit_cycle(field, [0.5, 0.0, 1.0], 60.0, dt=0.02)
    assert cycle.period == pytest.approx(2 * np.pi, rel=1e-8)
    wanted = np.exp(-2 * np.pi * np.array([0.3, 2.0]))
    np.testing.assert_allclose(cycle.multipliers.real, wanted, rtol=1e-5)
    orbit = limit_cycle(Harmonic(), [1.0, 0.0], 20.0, dt=0.05)
    assert orbit.multipliers[0] == pytest.approx(1.0, abs=1e-6)
    assert not orbit.is_stable


def test_a_cycle_is_found_in_any_units():
    """Van der Pol's in seconds of a unit of 86400 s, and channels of unlike units."""
    unit, world = np.array([1e-6, 1e6]), VanDerPol()
    field = lambda t, y, u, c: world(t, y / unit, u, c) * unit / 86400
    cycle = limit_cycle(field, [0.5e-6, 0.0], 40.0 * 86400, dt=0.02 * 86400)
    assert cycle.period == pytest.approx(6.663286859 * 86400, rel=1e-8)
    inside = np.mean(1 - (cycle.ys[:-1, 0] * 1e6) ** 2) * cycle.period / 86400
    assert cycle.multipliers[0].real == pytest.approx(np.exp(inside), rel=1e-6)
    assert cycle.is_stable


def test_a_closed_orbit_among_others_does_not_attract():
    """RK4 leaves the multiplier of a harmonic oscillator 4e-13 below 1."""
    orbit = LimitCycle(1.0, TS, TS[:, None], np.array([1 - 4e-13 + 0j]), 1.0)
    assert not orbit.is_stable
    assert dataclasses.replace(orbit, multipliers=np.array([0.999 + 0j])).is_stable


def test_what_has_no_cycle_gives_none():
    assert limit_cycle(Harmonic(damping=1.0), [1.0, 0.0], 60.0, dt=0.05) is None
    # a slow spiral comes back near to where it was, but its rest state is no cycle
    slow = Harmonic(damping=0.01)
    assert limit_cycle(slow, [1.0, 0.0], 20.0, dt=0.05) is None
    explodes = lambda t, y, u, c: y**3
    assert limit_cycle(explodes, [1.0, 1.0], 10.0, dt=0.1) is None
    away = lambda t, y, u, c: jnp.stack([jnp.ones(()), -y[1]])
    assert limit_cycle(away, [0.0, 1.0], 10.0, dt=0.1) is None


def test_bad_boxes_and_starts_are_refused():
    with pytest.raises(ShapeError, match=r"low has shape \(1,\)"):
        equilibria(Harmonic(), [0], [1, 1])
    with pytest.raises(ConfigError, match="must be finite and below"):
        equilibria(Harmonic(), [0, 1], [1, 1])
    with pytest.raises(ConfigError, match="num is 0"):
        equilibria(Harmonic(), [0, 0], [1, 1], num=0)
    with pytest.raises(ShapeError, match="y0 has shape"):
        limit_cycle(Harmonic(), [1.0], 10.0, dt=0.1)
    with pytest.raises(ConfigError, match="many steps long"):
        limit_cycle(Harmonic(), [1.0, 0.0], 0.1, dt=0.1)
    assert not jax.config.jax_enable_x64


def test_a_field_of_time_and_state_alone_is_one():
    found = equilibria(lambda t, y: y - y**3, [-2], [2], num=8)
    assert [rest.kind for rest in found] == ["sink", "source", "sink"]
