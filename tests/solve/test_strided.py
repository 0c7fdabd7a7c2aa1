"""Steps longer than the sampling: exact where rule and cubic are, of their order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import Status
from pendula.solve import EULER, RK4, rollout_steps, rollout_strided


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def swing(t, y, u, c):
    return jnp.stack([y[1], -y[0]])


def test_a_cubic_is_met_at_every_sample_of_an_uneven_grid():
    dts = np.random.default_rng(0).uniform(0.05, 0.2, 13)
    out = rollout_strided(
        lambda t, y, u, c: 3.0 * t[None] ** 2,
        jnp.asarray([1.0]),
        jnp.asarray(0.5),
        jnp.asarray(dts),
        scheme=RK4,
        stride=5,
    )
    ts = 0.5 + np.concatenate([[0.0], np.cumsum(dts)])
    assert_allclose(out.ys[:, 0], 1.0 + ts**3 - 0.5**3, rtol=1e-13)
    assert int(out.steps) == 3


def test_the_error_falls_with_the_fourth_power_of_the_step():
    dts, y0 = jnp.full(80, 0.025), jnp.asarray([1.0, 0.0])
    truth = np.cos(0.025 * np.arange(81))
    off = []
    for stride in (10, 20):
        run = rollout_strided(swing, y0, jnp.zeros(()), dts, scheme=RK4, stride=stride)
        off.append(np.abs(run.ys[:, 0] - truth).max())
    assert 12.0 < off[1] / off[0] < 24.0


def test_one_sample_a_step_is_the_plain_rollout_and_padding_holds_the_state():
    dts, y0 = jnp.asarray([0.1, 0.1, 0.2, 0.0, 0.0]), jnp.asarray([1.0, 0.0])
    plain = rollout_steps(swing, y0, jnp.zeros(()), dts, scheme=RK4)
    same = rollout_strided(swing, y0, jnp.zeros(()), dts, scheme=RK4, stride=1)
    assert_allclose(same.ys, plain.ys, rtol=1e-14, atol=1e-15)
    wide = rollout_strided(swing, y0, jnp.zeros(()), dts, scheme=RK4, stride=3)
    assert_allclose(wide.ys[3:], np.broadcast_to(wide.ys[3], (3, 2)))


def test_a_step_that_fails_takes_its_samples_along():
    field = lambda t, y, u, c: jnp.where(t > 0.35, jnp.inf, -1.0) * y
    dts = jnp.full(8, 0.1)
    out = rollout_strided(field, jnp.ones(1), jnp.zeros(()), dts, scheme=RK4, stride=2)
    assert int(out.status) == Status.non_finite_state
    assert_allclose(float(out.t_fail), 0.4)
    assert np.isfinite(out.ys[:3]).all()
    assert np.isnan(out.ys[3:]).all()


def test_a_rate_without_a_value_at_the_end_of_a_step_is_told():
    field = lambda t, y, u, c: jnp.where(t > 0.75, jnp.nan, -1.0) * y
    dts, y0 = jnp.full(8, 0.1), jnp.ones(1)
    out = rollout_strided(field, y0, jnp.zeros(()), dts, scheme=EULER, stride=4)
    assert int(out.status) == Status.non_finite_state
    assert_allclose(float(out.t_fail), 0.8)
    assert_array_equal(np.isnan(out.ys[:, 0]), np.arange(9) > 4)


def test_a_start_without_a_value_is_told_as_by_the_plain_rollout():
    args = swing, jnp.asarray([jnp.nan, 0.0]), jnp.ones(()), jnp.full(4, 0.1)
    outs = rollout_strided(*args, scheme=RK4, stride=2), rollout_steps(*args)
    for out in outs:
        assert int(out.status) == Status.non_finite_input
        assert float(out.t_fail) == 1.0
