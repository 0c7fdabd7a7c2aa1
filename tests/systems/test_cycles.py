"""Self-excited systems: rest states, thresholds, limit cycles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula.systems import (
    Brusselator,
    FitzHughNagumo,
    GlycolyticOscillator,
    Harmonic,
    Selkov,
    VanDerPol,
    simulate,
)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def cycle(world, start, transient, length, dt=0.01):
    """Period and largest value of the first component, once the start is forgotten."""
    q = simulate(world, y0=start, duration=transient + length, dt=dt).ys[0, :, 0]
    q = q[int(transient / dt) :]
    middle = 0.5 * (q.max() + q.min())
    up = np.flatnonzero((q[:-1] < middle) & (q[1:] >= middle))
    cross = up + (middle - q[up]) / (q[up + 1] - q[up])
    # the largest value of the parabola through the three highest samples
    k = 1 + np.argmax(q[1:-1])
    bend = q[k - 1] - 2 * q[k] + q[k + 1]
    top = q[k] - (q[k + 1] - q[k - 1]) ** 2 / (8 * bend)
    return np.diff(cross).mean() * dt, top


def test_van_der_pol_has_the_known_cycle():
    period, top = cycle(VanDerPol(), [0.5, 0.0], 30.0, 20.0)
    assert period == pytest.approx(6.6632869, abs=2e-5)
    assert top == pytest.approx(2.0086199, abs=2e-6)


def test_van_der_pol_scales_and_without_gain_is_harmonic():
    """q sqrt(delta) over t omega depends on epsilon / omega only."""
    y = jnp.array([0.7, -1.2])
    plain = VanDerPol(epsilon=0.8, delta=1.0, omega=1.0)(0.0, y)
    scaled = VanDerPol(epsilon=1.6, delta=4.0, omega=2.0)
    found = scaled(0.0, y * jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(found, plain * jnp.array([1.0, 2.0]), rtol=1e-14)
    free = VanDerPol(epsilon=0.0, omega=1.5)
    np.testing.assert_allclose(free(0.0, y), Harmonic(stiffness=2.25)(0.0, y))


def jacobian(world, rest):
    assert np.max(np.abs(world(0.0, rest))) < 1e-14
    return np.asarray(jax.jacfwd(lambda s: world(0.0, s))(rest))


def test_selkov_changes_where_theory_says():
    a = 0.1
    for sign in (-1, 1):
        b = np.sqrt(0.5 * (1 - 2 * a + sign * np.sqrt(1 - 8 * a)))
        for shift, unstable in ((-0.02 * sign, True), (0.02 * sign, False)):
            world = Selkov(a=a, b=b + shift)
            trace = np.trace(jacobian(world, world.equilibrium()))
            assert (trace > 0) == unstable
        world = Selkov(a=a, b=b)
        assert abs(np.trace(jacobian(world, world.equilibrium()))) < 1e-13


def test_brusselator_changes_at_one_plus_a_squared():
    world = Brusselator(a=1.5, b=1 + 1.5**2)
    values = np.linalg.eigvals(jacobian(world, world.equilibrium()))
    np.testing.assert_allclose(np.sort_complex(values), [-1.5j, 1.5j], atol=1e-7)
    x, other = y = jnp.array([0.3, 2.0])
    assert float(jnp.sum(world(0.0, y))) == pytest.approx(1.5 - float(x), rel=1e-14)
    assert float(other) > 0


def test_nerve_fires_with_the_current_and_rests_without():
    fires = simulate(FitzHughNagumo(), duration=150.0, dt=0.5, seed=2).ys[0, 100:, 0]
    rests = simulate(FitzHughNagumo(current=0.0), duration=150.0, dt=0.5, seed=2)
    assert fires.max() > 1.5
    assert fires.min() < -1.5
    assert np.ptp(rests.ys[0, -50:, 0]) < 1e-3
    v = float(rests.ys[0, -1, 0])
    # rest: the two nullclines cross
    assert v - v**3 / 3 == pytest.approx((v + 0.7) / 0.8, abs=1e-3)


@pytest.mark.slow
def test_the_spike_trains_have_the_period_of_the_docstring():
    for tau, period in ((0.08, 39.5), (0.02, 122)):
        world = FitzHughNagumo(tau=tau)
        found, _ = cycle(world, [-1.0, 0.0], 200.0, 400.0, dt=0.25)
        assert found == pytest.approx(period, rel=0.02)


def test_glycolysis_by_hand_and_its_glucose_balance():
    world = GlycolyticOscillator(K1=1.0)
    # at ones: r = 100/2; the pools leave N - S5 = 0 and A - S6 = 3
    wanted = [2.5 - 50, 100 - 12, -48, 48 - 100, -112, -100 + 96 - 1.28, -1.8]
    np.testing.assert_allclose(world(0.0, jnp.ones(7)), wanted, rtol=1e-14)
    y = world.initial(jax.random.key(0))
    s1, s2, s3, s4, s5, s6, s7 = np.asarray(y)
    d = np.asarray(world(0.0, y))
    balance = d[0] + 0.5 * (d[1] + d[2] + d[3] + d[6] / 0.1)
    leaves = 0.5 * (12 * s2 * s5 + 100 * s4 * s5 + 1.8 * s7 / 0.1)
    assert balance == pytest.approx(2.5 - leaves, rel=1e-12)
    assert min(s1, s3, s6) > 0


def test_benchmark_records_are_of_these_systems(data_dir):
    """The records carry their generator's error (README there: mean squares of
    1.7e-8 and 1.8e-5)."""
    folder = data_dir / "gen-dynamics"
    if not folder.is_dir():
        pytest.skip("the benchmark of generated dynamics is not here")
    cases = [
        ("Glycolytic", GlycolyticOscillator, {"k1": 100.0, "K1": 1.0}, 3e-7),
        ("Selkov", Selkov, {"a": 0.1, "b": -1.0}, 1e-4),
    ]
    for name, kind, constants, limit in cases:
        file = next((folder / name).glob("train*.npz"))
        with np.load(file) as told:
            ts, xs = told["t"], told["X"][0, :4]
        ys = simulate(kind(**constants), num=4, y0=xs[:, 0], ts=ts).ys
        assert np.mean((ys - xs) ** 2) < limit, name
