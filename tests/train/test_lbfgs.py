"""L-BFGS as a step of the loop: against SciPy, where it stops, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula.train import Halt, TrainState, lbfgs_state, lbfgs_step, run


KEY = jax.random.key(0)


def chain(params, scale):
    """Rosenbrock's function of a pytree."""
    x = jnp.concatenate([params["a"], params["b"]])
    return jnp.sum(scale * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@pytest.fixture(scope="module")
def step():
    return lbfgs_step(chain, memory=8, inner=5, tolerance_grad=1e-9)


def start(values=(-1.2, 1.0, 0.5, 2.0)):
    x = jnp.asarray(values)
    params = {"a": x[:1], "b": x[1:]}
    return TrainState.start(params, lbfgs_state(params, memory=8, inner=5), KEY)


def test_it_ends_where_scipy_ends(step):
    with precision(np.float64):
        state, why = run(step, start(), jnp.asarray(10.0), num_steps=200, inner=5)
        function = lambda x: chain({"a": x[:1], "b": x[1:]}, 10.0)
        both = jax.jit(jax.value_and_grad(function))
        scipys = scipy.optimize.minimize(
            lambda x: tuple(map(np.asarray, both(jnp.asarray(x)))),
            [-1.2, 1.0, 0.5, 2.0],
            jac=True,
            method="L-BFGS-B",
            options={"gtol": 1e-9, "ftol": 1e-16},
        )
        found = np.concatenate([state.params["a"], state.params["b"]])
        assert why == "done"
        assert_allclose(found, scipys.x, atol=1e-7)
        assert state.opt.halt == Halt.converged
        assert state.opt.iterations < 200
        assert state.opt.gradient < 1e-8
        assert int(state.step) == 200
        again, _ = step(state, jnp.asarray(10.0))  # a halted step changes nothing
        assert_array_equal(again.params["b"], state.params["b"])
        assert again.opt.iterations == state.opt.iterations


def test_losses_of_each_iteration(step):
    with precision(np.float64):
        scale, first = jnp.asarray(10.0), start()
        state, info = step(first, scale)
        assert_allclose(state.opt.losses[0], chain(first.params, scale))
        assert np.all(np.diff(np.asarray(state.opt.losses)) < 0.0)
        assert_allclose(info["loss"], state.opt.losses[-1])
        assert_allclose(state.opt.loss, chain(state.params, scale), rtol=1e-12)


def test_a_start_that_is_not_finite(step):
    with precision(np.float64):
        state, why = run(
            step,
            start((jnp.nan, 1.0, 0.5, 2.0)),
            jnp.asarray(10.0),
            num_steps=50,
            inner=5,
            log_every=5,
        )
        assert "not finite" in why
        assert int(state.step) == 5
        assert_array_equal(state.params["b"], [1.0, 0.5, 2.0])


def test_a_slope_that_is_not_finite_moves_nothing():
    step = lbfgs_step(lambda p, _: jnp.sum(jnp.sqrt(jnp.abs(p))), memory=8, inner=5)
    with precision(np.float64):
        params = jnp.asarray([0.0, 1.0])
        opt = lbfgs_state(params, memory=8, inner=5)
        begin = TrainState.start(params, opt, KEY)
        state, why = run(step, begin, None, num_steps=50, inner=5, log_every=5)
        assert "not finite" in why
        assert_array_equal(state.params, params)


def test_it_stalls_where_changes_are_small():
    step = lbfgs_step(chain, memory=8, inner=5, tolerance_change=1e-2)
    with precision(np.float64):
        state, _ = run(step, start(), jnp.asarray(10.0), num_steps=200, inner=5)
        assert state.opt.halt == Halt.stalled
        assert float(state.opt.gradient) > 1e-9  # not because it is at the minimum


@pytest.mark.parametrize("name", ["memory", "inner"])
def test_sizes_below_one(name):
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        lbfgs_step(chain, **{name: 0})
