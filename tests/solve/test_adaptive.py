"""The scheme that adapts inside an interval: stiff fields, derivatives, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

from pendula._errors import Status
from pendula.dynamics import Known, Model, SecondOrder
from pendula.solve import Adaptive, integrate, rollout, rollout_steps
from pendula.systems import VanDerPol


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def relax(t, y, u, rate):
    """A fast relaxation (1e4 times the motion) onto cos(t), and a slow decay."""
    return jnp.stack([-rate * (y[0] - jnp.cos(t)), -y[1]])


RATE = jnp.asarray(1e4)
TS = np.linspace(0.0, 2.0, 5)
run = eqx.filter_jit(
    lambda y0, rate: rollout(relax, y0, TS, context=rate, scheme="kvaerno5")
)


def test_a_stiff_field_between_far_samples():
    out = run(jnp.asarray([0.0, 1.0]), RATE)
    assert int(out.status) == Status.ok
    # off the slow curve by 1/rate, and by the tolerance
    assert_allclose(out.ys[1:, 0], np.cos(TS[1:]), atol=2e-4)
    assert_allclose(out.ys[1:, 1], np.exp(-TS[1:]), atol=1e-5)


def test_a_small_motion_is_followed_as_well_as_a_large_one():
    still = run(jnp.asarray([0.0, 1e-9]), jnp.asarray(0.0))
    assert_allclose(still.ys[1:, 1], 1e-9 * np.exp(-TS[1:]), rtol=2e-5)


def test_what_has_decayed_away_is_no_failure():
    far = 100.0 * TS  # times the rate 1e4: below every number
    fall = lambda t, y, u, c: -c * y
    out = rollout(fall, jnp.ones(2), far, context=RATE, scheme="kvaerno5")
    assert int(out.status) == Status.ok
    assert_allclose(out.ys[1:], 0.0, atol=1e-6)


@pytest.mark.slow
def test_van_der_pol_beside_radau():
    world = VanDerPol(epsilon=100.0)
    ts = np.linspace(0.0, 40.0, 5)
    out = rollout(world, jnp.asarray([2.0, 0.0]), ts, scheme=Adaptive(max_steps=2000))
    field = jax.jit(lambda y: world(0.0, y))
    peer = solve_ivp(
        lambda t, y: np.asarray(field(jnp.asarray(y))),
        (0.0, 40.0),
        [2.0, 0.0],
        "Radau",
        t_eval=ts,
        rtol=1e-8,
        atol=1e-10,
    )
    assert_allclose(out.ys, peer.y.T, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_derivatives_in_both_directions():
    """d y / d rate of a slow linear decay: -t exp(-rate t)."""
    field = lambda t, y, u, rate: -rate * y
    dts = jnp.full(2, 0.5)

    def end(rate):
        y0 = jnp.ones(1)
        return rollout_steps(
            field, y0, jnp.zeros(()), dts, context=rate, scheme=Adaptive(max_steps=32)
        ).ys[-1, 0]

    rate = jnp.asarray(0.7)
    exact = -np.exp(-0.7)
    assert_allclose(jax.jit(jax.jacfwd(end))(rate), exact, rtol=1e-5)
    assert_allclose(jax.jit(jax.grad(end))(rate), exact, rtol=1e-5)


@pytest.mark.slow
def test_padding_does_not_move_and_too_many_steps_are_a_status():
    dts = jnp.asarray([0.5, 0.0])
    step = eqx.filter_jit(
        lambda scheme, rate: rollout_steps(
            relax,
            jnp.asarray([0.0, 1.0]),
            jnp.zeros(()),
            dts,
            context=rate,
            scheme=scheme,
        )
    )
    out = step(Adaptive(), RATE)
    assert_array_equal(out.ys[1], out.ys[2])
    assert int(step(Adaptive(max_steps=3), RATE).status) == Status.non_finite_state


def test_a_model_takes_it_by_name():
    model = Model(SecondOrder(Known("spring", k=1.0), 1), (0,), 2, "kvaerno5")
    path = model.predict(jnp.array([1.0, 0.0]), jnp.zeros(()), jnp.full(10, 0.1))
    assert_allclose(path[-1, 0], np.cos(1.0), atol=1e-5)


@pytest.mark.parametrize(
    "how", ["scheme", pytest.param("gateway", marks=pytest.mark.slow)]
)
def test_the_unit_of_time_changes_nothing(how):
    ts = jnp.linspace(0.0, 4.0, 3)

    def swing(t, y, u, unit):
        return jnp.stack([y[1], -jnp.sin(y[0]) - y[0] ** 3]) / unit

    @jax.jit
    @jax.vmap
    def path(unit):
        args = swing, jnp.asarray([1.5, 0.0]), unit * ts, None, unit
        if how == "scheme":
            return rollout(*args, scheme="kvaerno5")
        return integrate(*args, solver="kvaerno5", rtol=1e-8, atol=1e-10)

    out = path(jnp.asarray([1.0, 1e6]))  # seconds, for a motion of weeks
    assert_array_equal(out.status, Status.ok)
    assert_allclose(out.ys[1], out.ys[0], rtol=1e-10)
    assert out.steps[0] == out.steps[1]
