"""Levenberg-Marquardt against closed forms of linear problems, and what it survives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula.train import (
    NonFinite,
    TrainState,
    finish,
    levenberg_state,
    levenberg_step,
    normal_equations,
    posterior_covariance,
    pulled_equations,
    run,
)


ITEMS, ROWS, PARAMS, LOCAL = 3, 7, 3, 2
VARIANCE = 0.5


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def linear_problem(seed=0):
    """r_i = A_i p + B_i s_i - b_i with random matrices."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(ITEMS, ROWS, PARAMS)),
        rng.normal(size=(ITEMS, ROWS, LOCAL)),
        rng.normal(size=(ITEMS, ROWS)),
    )


def residual(pair, local, item):
    (params, _), (a, b, target) = pair, item
    return a @ params["p"] + b @ local - target


def prior(pair):
    params, static = pair
    return jnp.sqrt(static["precision"]) * params["p"]


def count(items):
    return jnp.asarray(items[2].size, jnp.float64)


@pytest.fixture(scope="module")
def step():
    """One compiled step serves all linear problems: they differ in their arrays."""
    return levenberg_step(residual, prior, count, variance=VARIANCE, has_static=True)


def begin(p, damping=1e-6):
    pair = ({"p": jnp.asarray(p)}, jnp.zeros((ITEMS, LOCAL)))
    opt = levenberg_state(jnp.float64, damping=damping, variance=VARIANCE)
    return TrainState.start(pair, opt, jax.random.key(0))


def solve(step, problem, precision, *, steps=4, p=None):
    items = tuple(jnp.asarray(x) for x in problem)
    static = {"precision": jnp.full(PARAMS, precision)}
    p = np.zeros(PARAMS) if p is None else p
    state, reason = run(step, begin(p), (static, items), num_steps=steps)
    assert reason == "done"
    return np.asarray(state.params[0]["p"]), np.asarray(state.params[1]), state


def dense(problem, precision):
    """Normal matrix and right-hand side of all unknowns (p, s_1, ..., s_n)."""
    a, b, target = problem
    wide = np.zeros((ITEMS, ROWS, PARAMS + ITEMS * LOCAL))
    wide[:, :, :PARAMS] = a
    for i in range(ITEMS):
        wide[i, :, PARAMS + i * LOCAL : PARAMS + (i + 1) * LOCAL] = b[i]
    flat = wide.reshape(-1, wide.shape[-1])
    matrix = flat.T @ flat / VARIANCE
    matrix[:PARAMS, :PARAMS] += precision * np.eye(PARAMS)
    return matrix, flat.T @ target.ravel() / VARIANCE


def test_linear_problem_is_solved_in_a_few_steps(step):
    """The Schur elimination gives the solution of the dense normal equations."""
    problem = linear_problem()
    matrix, right = dense(problem, 2.0)
    exact = np.linalg.solve(matrix, right)
    p, local, _ = solve(step, problem, 2.0)
    assert_allclose(p, exact[:PARAMS], atol=1e-10)
    assert_allclose(local.ravel(), exact[PARAMS:], atol=1e-10)


def test_prior_pulls_as_in_ridge_regression(step):
    """Without local unknowns (their columns are zero) the solution is
    (A'A/s2 + l)^-1 A'b/s2, for a weak and for a strong prior."""
    a, b, target = linear_problem(1)
    flat = a.reshape(-1, PARAMS)
    for precision in (0.1, 50.0):
        p, local, _ = solve(step, (a, 0.0 * b, target), precision)
        matrix = flat.T @ flat / VARIANCE + precision * np.eye(PARAMS)
        exact = np.linalg.solve(matrix, flat.T @ target.ravel() / VARIANCE)
        assert_allclose(p, exact, atol=1e-10)
        assert_array_equal(local, 0.0)


def test_a_heavily_damped_start_ends_at_the_same_place(step):
    problem = linear_problem(2)
    matrix, right = dense(problem, 1.0)
    exact = np.linalg.solve(matrix, right)[:PARAMS]
    items = tuple(jnp.asarray(x) for x in problem)
    static = {"precision": jnp.ones(PARAMS)}
    state, _ = run(
        step, begin(np.full(PARAMS, 9.0), 1e3), (static, items), num_steps=25
    )
    assert_allclose(state.params[0]["p"], exact, atol=1e-10)


def test_objective_never_rises(step):
    problem = linear_problem(3)
    items = tuple(jnp.asarray(x) for x in problem)
    state, values = begin(np.full(PARAMS, 9.0), 1e3), []
    for _ in range(12):
        state, info = step(state, ({"precision": jnp.ones(PARAMS)}, items))
        values.append(float(info["objective"]))
    assert np.all(np.diff(values) <= 1e-12 * np.abs(values[:-1]))
    assert values[-1] < 0.5 * values[0]
    assert int(state.step) == 12


def test_a_parameter_that_nothing_feels_stays_where_it_is(step):
    """No residual and no prior: the normal matrix is singular there."""
    a, b, target = linear_problem(4)
    a[:, :, 1] = 0.0
    p, local, state = solve(step, (a, b, target), 0.0, p=np.array([0.0, 7.0, 0.0]))
    assert p[1] == 7.0
    kept = [0, 2]
    wide, right = dense((a, b, target), 0.0)
    keep = [*kept, *range(PARAMS, wide.shape[0])]
    exact = np.linalg.solve(wide[np.ix_(keep, keep)], right[keep])
    # the tiny multiple of the identity and the last damping leave 1e-8
    assert_allclose(p[kept], exact[:2], atol=1e-7)
    assert np.isfinite(local).all()
    assert int(state.bad) == 0


@pytest.mark.parametrize("part", ["target", "a", "b"])
def test_a_residual_that_is_nan_is_counted_and_not_applied(step, part):
    a, b, target = linear_problem(5)
    {"target": target, "a": a, "b": b}[part].flat[0] = np.nan
    items = tuple(jnp.asarray(x) for x in (a, b, target))
    start = begin(np.ones(PARAMS))
    state = start
    for k in range(2):
        state, _ = step(state, ({"precision": jnp.ones(PARAMS)}, items))
        assert int(state.bad) == k + 1
    assert_array_equal(state.params[0]["p"], start.params[0]["p"])
    assert_array_equal(state.params[1], start.params[1])
    whole = tuple(jnp.asarray(x) for x in linear_problem(5))
    state, _ = step(state, ({"precision": jnp.ones(PARAMS)}, whole))
    assert int(state.bad) == 0
    assert np.any(np.asarray(state.params[0]["p"]) != 1.0)


def test_three_bad_steps_in_a_row_end_the_training_in_words(step):
    a, b, target = linear_problem(5)
    items = (jnp.asarray(a), jnp.asarray(b), jnp.full(target.shape, jnp.nan))
    batch = ({"precision": jnp.ones(PARAMS)}, items)
    state, reason = run(step, begin(np.ones(PARAMS)), batch, num_steps=50, log_every=1)
    assert "not finite for 3 steps in a row at step 3" in reason
    assert "Lower the learning rate" in reason
    assert_array_equal(finish(state)[0]["p"], np.ones(PARAMS))
    assert issubclass(NonFinite, Exception)


def test_covariance_is_the_marginal_block_of_the_dense_inverse():
    problem = linear_problem(6)
    matrix, _ = dense(problem, 2.0)
    exact = np.linalg.inv(matrix)[:PARAMS, :PARAMS]
    static = {"precision": jnp.full(PARAMS, 2.0)}
    found = jax.jit(
        lambda pair, items: posterior_covariance(
            lambda p, s, item: residual((p, static), s, item),
            lambda p: prior((p, static)),
            pair,
            items,
            VARIANCE,
        )
    )(
        ({"p": jnp.zeros(PARAMS)}, jnp.zeros((ITEMS, LOCAL))),
        tuple(jnp.asarray(x) for x in problem),
    )
    assert_allclose(found, exact, rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_covariance_has_no_unit_of_its_own(dtype):
    """Parameters, local unknowns and residuals in units far from 1."""
    problem = tuple(jnp.asarray(x, dtype) for x in linear_problem(7))
    unit = jnp.asarray([1e-7, 1.0, 1e7], dtype)

    @jax.jit
    def covariance(unit, own, size):
        rows = lambda p, s, item: (
            size * residual(({"p": p["p"] / unit}, {}), s / own, item)
        )
        pair = {"p": jnp.zeros(PARAMS, dtype)}, jnp.zeros((ITEMS, LOCAL), dtype)
        none = lambda p: jnp.zeros(1, dtype)
        return posterior_covariance(rows, none, pair, problem, size**2)

    one = jnp.ones((), dtype)
    wanted = covariance(jnp.ones_like(unit), one, one)
    found = covariance(unit, 1e5 * one, 1e-4 * one)
    rtol = 1e-3 if dtype == "float32" else 1e-9
    assert_allclose(found / (unit[:, None] * unit[None]), wanted, rtol=rtol)


def test_both_modes_give_the_same_equations():
    problem = tuple(jnp.asarray(x) for x in linear_problem(6))
    static = {"precision": jnp.full(PARAMS, 2.0)}
    given = ({"p": jnp.ones(PARAMS)}, jnp.ones((ITEMS, LOCAL)), problem)
    found, wanted = (
        equations(residual, *given, lambda p: (p, static))
        for equations in (pulled_equations, normal_equations)
    )
    for name in ("a", "b", "c", "gp", "gs", "rss"):
        assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-10)


PRECISIONS = (0.5, 5.0, 50.0)
TS = np.linspace(0.0, 2.0, 9)
DECAY = 3.0 * np.exp(-1.7 * TS) + 0.01 * np.cos(40.0 * TS)


def decay_step(members):
    """One decay with its start as local unknown; the prior pulls log rate to 0."""
    return levenberg_step(
        lambda pair, local, item: (
            local[0] * jnp.exp(-jnp.exp(pair[0]) * item[0]) - item[1]
        ),
        lambda pair: jnp.reshape(jnp.sqrt(pair[1]) * pair[0], (1,)),
        lambda items: jnp.asarray(items[1].size, jnp.float64),
        members=members,
        inflation=lambda r, items: jnp.asarray(2.0),
        has_static=True,
    )


def decay_fit(step, shape, precision, members=None):
    pair = (jnp.zeros(shape), jnp.ones((*shape, 1, 1)))
    opt = levenberg_state(jnp.float64, damping=1.0, variance=0.1, members=members)
    state = TrainState.start(pair, opt, jax.random.key(0), members)
    items = (jnp.asarray(TS[None]), jnp.asarray(DECAY[None]))
    return run(step, state, (jnp.asarray(precision), items), num_steps=20)[0]


@pytest.fixture(scope="module")
def together():
    """Three members, each with a prior of its own."""
    with jax.enable_x64(True):
        return decay_fit(decay_step(3), (3,), PRECISIONS, 3)


def test_members_are_those_trained_alone(together):
    step = decay_step(None)
    for k, precision in enumerate(PRECISIONS):
        alone = decay_fit(step, (), precision)
        # another compilation may round differently
        assert_allclose(together.params[0][k], alone.params[0], rtol=1e-8)
        assert_allclose(together.params[1][k], alone.params[1], rtol=1e-8)


def test_rate_is_recovered_and_a_strong_prior_shows(together):
    rates = np.exp(np.asarray(together.params[0]))
    assert abs(rates[0] - 1.7) < 0.02
    assert np.all(np.diff(rates) < 0)


def test_variance_is_that_of_the_residuals_times_the_inflation(together):
    for k in range(3):
        size = float(together.params[1][k, 0, 0])
        rate = np.exp(float(together.params[0][k]))
        r = size * np.exp(-rate * TS) - DECAY
        # it is renewed at successes, the last ones of which change next to nothing
        assert_allclose(together.opt.variance[k], 2.0 * np.mean(r**2), rtol=1e-3)


def test_an_infinite_slope_in_a_local_unknown_is_a_bad_step():
    """sqrt at 0: the residual is finite, its derivative is not."""
    step = levenberg_step(
        lambda p, local, item: p - item + jnp.sqrt(local),
        lambda p: 0.1 * p,
        lambda items: jnp.asarray(1.0),
    )
    opt = levenberg_state(jnp.float64)
    pair = (jnp.ones(1), jnp.zeros((2, 1)))
    state = TrainState.start(pair, opt, jax.random.key(0))
    new, _ = step(state, jnp.ones((2, 1)))
    assert int(new.bad) == 1
    assert_array_equal(new.params[0], state.params[0])
