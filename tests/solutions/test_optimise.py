"""Optimisers of trial networks: exact cases, formulas, shared programs, ends."""

import functools
import types
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.optimize
from hypothesis import given, settings, strategies as st
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, FitWarning, ShapeError
from pendula._precision import precision
from pendula.solutions._balancing import Balancing, unit_rows
from pendula.solutions._blocks import equation, soft_blocks, with_times
from pendula.solutions._conditions import Initial, Integral, Observation, Periodic
from pendula.solutions._domain import Interval
from pendula.solutions._embedding import Axis
from pendula.solutions._first_order import FirstOrder
from pendula.solutions._form import hard_form
from pendula.solutions._gauss_newton import GaussNewton, damped_step, gram
from pendula.solutions._jacobian import jacobian, kernel_traces
from pendula.solutions._limited_memory import LBFGS
from pendula.solutions._networks import build
from pendula.solutions._objective import objective
from pendula.solutions._optimise import check_optimiser, check_settings
from pendula.solutions._outcome import Deadline
from pendula.solutions._parts import Windows
from pendula.solutions._problem import Problem
from pendula.solutions._quasi_newton import (
    QuasiNewton,
    quasi_newton_state,
    quasi_newton_step,
    updated_inverse,
)
from pendula.solutions._soap import scale_by_soap
from pendula.solutions._unknown import Unknown
from pendula.train import Halt, TrainState


KEY = jax.random.key(0)
NEVER = Deadline()


@pytest.fixture(autouse=True)
def _float64():
    with precision(np.float64):
        yield


class Powers(eqx.Module):
    """1, s, s^2, .. times trained numbers: everything is linear in them."""

    weight: Array

    def __call__(self, points):
        powers = [points[:, -1] ** k for k in range(len(self.weight))]
        return (jnp.stack(powers, axis=1) @ self.weight)[:, None]


ENDLESS = {"tolerance_grad": None, "tolerance_change": None}
calls = []  # how often the residual was looked at: only while something is traced


def decay(u, t, p):
    calls.append(1)
    return u.t + p.rate * u()


def growth(u, t, p):
    return u.t - p.rate * u() * (1.0 - u())


def ode(residual=decay, rate=1.0, start=1.0, soft=False):
    return Problem(
        residual,
        time=(0.0, 1.0),
        conditions=[Initial(start, hard=False if soft else None)],
        params={"rate": rate},
    )


def window(problem, net, count=20, t0=0.0):
    """The objective of an equation in time on [t0, t0 + 1]."""
    times = t0 + 0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)
    rows = equation(problem, times[:, None])
    return objective(
        problem, Windows(hard_form(problem), [], 1.0), [rows], net, t0, 1.0
    )


DECAY = ode()
SOFT = ode(soft=True)


def linear(count=20, size=4, t0=0.0):
    return window(DECAY, Powers(jnp.zeros(size)), count, t0)


def soft():
    """Two blocks, of 12 rows and of one."""
    rows = equation(SOFT, np.linspace(0.0, 1.0, 12)[:, None])
    blocks = [rows, *soft_blocks(SOFT, np.zeros((1, 0)), np.zeros(1))]
    empty, net = Windows(hard_form(SOFT), [], 1.0), Powers(jnp.zeros(3))
    return objective(SOFT, empty, blocks, net, 0.0, 1.0)


@eqx.filter_jit
def _loss(own, theta):
    return own.loss(theta)


@eqx.filter_jit
def _linearised(own, theta):
    return own.rows(theta), jacobian(own, theta)


def best(own, theta):
    """The exact minimum of a linear objective."""
    rows, jac = map(np.asarray, _linearised(own, theta))
    return np.linalg.lstsq(jac, -rows, rcond=None)[0]


# the Jacobian and the sizes of kernels


@functools.cache
def everything():
    """An objective with every kind of block, and an unknown."""
    problem = Problem(
        lambda u, x, t, p: u.t + p.speed * u.x,
        domain=Interval(0.0, 1.0),
        time=(0.0, 1.0),
        conditions=[
            Initial(jnp.sin, hard=False),
            Periodic("x", order=2),
            Observation(np.asarray([[0.2, 0.3], [0.7, 0.9]]), [0.1, 0.4], sigma=0.1),
            Integral(1.0),
        ],
        params={"speed": Unknown("speed", init=2.0)},
    )
    times = np.linspace(0.1, 1.0, 3)
    space = np.linspace(0.1, 0.9, 4)[:, None]
    blocks = [
        equation(problem, with_times(space, times)),
        *soft_blocks(problem, space, times, sides=2),
    ]
    axes = [Axis(0.0, 1.0), Axis(0.0, 1.0)]
    net = build("plain", axes, width=3, depth=1, key=KEY)
    empty = Windows(hard_form(problem), [], 1.0)
    weights = [0.5 + 0.3 * k for k in range(len(blocks))]
    return objective(problem, empty, blocks, net, 0.0, 1.0, weights)


def test_jacobian_is_that_of_the_rows():
    own, theta = everything()
    flat, unravel = ravel_pytree(theta)

    @eqx.filter_jit
    def both(own, flat):
        rows = lambda flat: own.rows(unravel(flat))
        theta = unravel(flat)
        return jax.jacfwd(rows)(flat), jacobian(own, theta), kernel_traces(own, theta)

    straight, ours, traces = map(np.asarray, both(own, flat))
    assert len(own.known) == 5
    assert_allclose(ours, straight, atol=1e-13)
    first = 0
    for k, known in enumerate(own.known):  # rows are weighted by w_b / sqrt(n_b)
        rows = straight[first : first + known.block.num]
        assert_allclose(traces[k], np.sum(rows**2) / float(own.weights[k]) ** 2)
        first += len(rows)


# Levenberg-Marquardt


def test_levenberg_solves_what_is_linear():
    own, theta = linear()
    exact = best(own, theta)
    found, trace = GaussNewton(steps=20, damping=1e-6, inner=5).minimise(
        own, theta, deadline=NEVER, key=KEY
    )
    assert isinstance(found.net.weight, np.ndarray)
    assert_allclose(found.net.weight, exact, rtol=1e-8)
    assert trace.reason == "converged"
    assert trace.iterations < 10
    assert_allclose(trace.loss, _loss(own, found), rtol=1e-12)
    assert len(trace.losses) == trace.iterations + 1
    assert 1.0 < trace.condition < 1e12
    assert trace.damping > 0.0
    assert len(trace.dampings) == trace.iterations
    assert trace.dampings[-1] == trace.damping
    assert trace.dampings[0] == pytest.approx(2e-7)  # the model is exact: a fifth


def test_more_weights_than_rows():
    own, theta = linear(count=3, size=6)
    method = GaussNewton(steps=10, inner=5, target=1e-24)
    calls.clear()
    found, trace = method.minimise(own, theta, deadline=NEVER, key=KEY)
    assert calls  # other shapes need another program: the counter counts
    assert trace.reason == "converged"
    assert _loss(own, found) <= 1e-24


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-6.0, 2.0))
def test_both_forms_give_the_same_step(seed, power):
    rng = np.random.default_rng(seed)
    jac = jnp.asarray(rng.normal(size=(5, 3) if seed % 2 else (3, 5)))
    residual, damping = jnp.asarray(rng.normal(size=len(jac))), jnp.asarray(10.0**power)
    with precision(np.float64):
        steps = [_step(jac, residual, damping, dual) for dual in (False, True)]
    assert_allclose(*steps, rtol=1e-6, atol=1e-8)
    left = jac.T @ (residual + jac @ steps[0]) + damping * steps[0]
    assert np.abs(left).max() < 1e-8


_step = eqx.filter_jit(lambda j, r, d, dual: damped_step(gram(j, dual), j, r, d, dual))


def test_blocks_start_with_their_own_weight():
    own, _ = soft()
    heavy = eqx.tree_at(lambda o: o.known[1].block.weight, own, jnp.asarray(5.0))
    rows = [jnp.full((12, 1), 3.0), jnp.full((1, 1), 20.0)]  # 5 x 4 of the second
    assert_allclose(unit_rows(heavy, rows), [1 / 3, 5 / 20], rtol=1e-12)
    assert_array_equal(unit_rows(own, [0.0 * r for r in rows]), 1.0)
    assert_allclose(unit_rows(own, [rows[0], 0.0 * rows[1]]), [1 / 3, 1e4 / 3])


def test_levenberg_tells_the_loss_without_those_factors():
    own, theta = soft()
    some = {"deadline": NEVER, "key": KEY}
    found, trace = GaussNewton(steps=10, inner=5).minimise(own, theta, **some)
    assert_allclose(trace.losses[0], _loss(own, theta), rtol=1e-12)
    assert_allclose(trace.losses[-1], _loss(own, found), rtol=1e-9)
    plain, _ = GaussNewton(steps=10, inner=5, unit_rows=False).minimise(
        own, theta, **some
    )
    assert_allclose(plain.net.weight, best(own, theta), rtol=1e-6)
    assert np.abs(found.net.weight - plain.net.weight).max() > 1e-6


def test_levenberg_on_the_convection_of_a_window():
    beta, length = 1.0, 1.0
    problem = Problem(
        lambda u, x, t, p: u.t + p.beta * u.x,
        domain=Interval(0.0, 2 * np.pi, periodic=True),
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin)],
        params={"beta": beta},
    )
    space = np.arange(24)[:, None] * 2 * np.pi / 24
    times = 0.5 - 0.5 * np.cos(np.pi * (np.arange(10) + 0.5) / 10)
    axes = [Axis(0.0, 2 * np.pi, periodic=True), Axis(0.0, 1.0)]
    net = build("plain", axes, width=12, depth=2, key=KEY)
    windows = Windows(hard_form(problem), [], length)
    rows = equation(problem, with_times(space, times))
    own, theta = objective(problem, windows, [rows], net, 0.0, length)
    method = GaussNewton(steps=60, inner=30)
    found, _ = method.minimise(own, theta, deadline=NEVER, key=KEY)
    x = np.linspace(0.0, 2 * np.pi, 40)
    points = with_times(x[:, None], np.linspace(0.0, 1.0, 9))
    exact = np.sin(points[:, 0] - beta * points[:, 1])

    def error(theta):
        windows.parts = [own.part(theta)]
        u = windows.values(points, [(0, 0)])[0, 0][:, 0]
        return np.linalg.norm(u - exact) / np.linalg.norm(exact)

    assert error(theta) > 0.1  # it is the training that finds it
    assert error(found) < 1e-4


# quasi-Newton


def positive(seed, n=4):
    """A random positive definite matrix, a step, and a change with s.y > 0."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n, n))
    inverse = root @ root.T + 0.05 * np.eye(n)
    s, y = rng.normal(size=n), rng.normal(size=n)
    y = y if s @ y > 0 else -y
    return inverse, s, y + 0.05 * s


def update(inverse, s, y, kind, fresh=False):
    with precision(np.float64):
        bend = jnp.asarray(s @ np.linalg.solve(inverse, s))
        arrays = map(jnp.asarray, (inverse, s, y))
        return np.asarray(_update(*arrays, bend, jnp.asarray(fresh), kind))


_update = eqx.filter_jit(
    lambda h, s, y, b, f, k: updated_inverse(h, s, y, b, f, kind=k)
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["bfgs", "ssbroyden"]))
def test_the_inverse_meets_the_secant_equation_and_stays_positive(seed, kind):
    inverse, s, y = positive(seed)
    new = update(inverse, s, y, kind)
    assert_allclose(new @ y, s, rtol=1e-7, atol=1e-9)
    assert_array_equal(new, new.T)
    assert np.linalg.eigvalsh(new)[0] > 0.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["bfgs", "ssbroyden"]))
def test_the_update_does_not_depend_on_coordinates(seed, kind):
    inverse, s, y = positive(seed)
    turn = np.eye(4) + 0.3 * np.random.default_rng(seed + 1).normal(size=(4, 4))
    there = update(turn @ inverse @ turn.T, turn @ s, np.linalg.solve(turn.T, y), kind)
    back = turn @ update(inverse, s, y, kind) @ turn.T
    assert_allclose(there, back, rtol=1e-6, atol=1e-7 * np.abs(back).max())


def test_bfgs_is_the_product_form():
    inverse, s, y = positive(3)
    left = np.eye(4) - np.outer(s, y) / (s @ y)
    expected = left @ inverse @ left.T + np.outer(s, s) / (s @ y)
    assert_allclose(update(inverse, s, y, "bfgs"), expected, rtol=1e-10)


def test_self_scaling_by_hand():
    """H = I, s = (1, 0), y = (2, 1): h = 5/2, b = 1/2, a = 1/4, theta = 1, phi = 0,
    q = 4/5 = tau; from the identity tau = 2."""
    s, y = np.asarray([1.0, 0.0]), np.asarray([2.0, 1.0])
    found = update(np.eye(2), s, y, "ssbroyden")
    assert_allclose(found, [[0.75, -0.5], [-0.5, 1.0]], rtol=1e-14)
    first = update(np.eye(2), s, y, "ssbroyden", fresh=True)
    assert_allclose(first, [[0.6, -0.2], [-0.2, 0.4]], rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2])
def test_self_scaling_where_nothing_is_to_be_scaled(n):
    """A step along which the matrix was right already (a = 0) changes nothing."""
    s = np.ones(n)
    assert_allclose(update(np.eye(n), s, s, "ssbroyden"), np.eye(n), atol=1e-7)


def valley(x, batch):
    """Rosenbrock's function for bend = 1, a convex quadratic for bend = 0; with sign
    = -1 its slopes have the wrong sign."""
    bend, sign = batch
    across = x[1:] - bend * x[:-1] ** 2 - (1.0 - bend)
    value = jnp.sum(100.0 * across**2 + (1.0 - x[:-1]) ** 2)
    return jax.lax.stop_gradient((1.0 - sign) * value) + sign * value


@functools.cache
def descend(kind):
    return quasi_newton_step(valley, kind=kind, tolerance_grad=1e-11)


def gradients(kind, bend, sign=1.0):
    """Norms of the gradient after each iteration, and the last state."""
    x = jnp.asarray([-1.2, 1.0, 0.5])
    state = TrainState.start(x, quasi_newton_state(x), KEY)
    batch, out = (jnp.asarray(bend), jnp.asarray(sign)), []
    while len(out) < 80 and state.opt.halt == Halt.no:
        state, _ = descend(kind)(state, batch)
        out.append(float(state.opt.gradient))
    return np.asarray(out), state


@pytest.mark.parametrize("kind", ["bfgs", "ssbroyden"])
@pytest.mark.parametrize("bend", [pytest.param(0.0, marks=pytest.mark.slow), 1.0])
def test_convergence_is_superlinear(kind, bend):
    norms, state = gradients(kind, bend)
    assert_allclose(state.params, 1.0, atol=1e-8)
    assert state.opt.halt == Halt.converged
    ratios = norms[1:] / norms[:-1]
    assert ratios[-3:].min() < 0.05  # no linear rate: the steps become those of Newton
    assert np.all(np.linalg.eigvalsh(state.opt.inverse) > 0.0)


def test_where_nothing_is_gained_it_stalls():
    norms, state = gradients("bfgs", 1.0, sign=-1.0)
    assert state.opt.halt == Halt.stalled
    assert len(norms) < 10
    assert_allclose(state.params, [-1.2, 1.0, 0.5])


def test_a_matrix_is_taken_up_again():
    own, theta = linear()
    some = {"deadline": NEVER, "key": KEY}
    half, whole = QuasiNewton(steps=5, inner=5), QuasiNewton(steps=10, inner=5)
    middle, first = half.minimise(own, theta, **some)
    assert first.inverse.shape == (4, 4)
    found, _ = half.minimise(own, middle, inverse=first.inverse, **some)
    at_once, _ = whole.minimise(own, theta, **some)
    assert_allclose(found.net.weight, at_once.net.weight, rtol=1e-9)
    anew, _ = half.minimise(own, middle, **some)
    assert np.abs(anew.net.weight - found.net.weight).max() > 1e-6
    with pytest.raises(ShapeError, match="inverse Hessian"):
        half.minimise(own, theta, inverse=np.eye(3), **some)


# L-BFGS


def test_lbfgs_finds_what_scipy_finds():
    own, theta = linear()
    method = LBFGS(steps=100, **ENDLESS, inner=5)
    found, trace = method.minimise(own, theta, deadline=NEVER, key=KEY)
    flat, unravel = ravel_pytree(theta)
    function = jax.jit(jax.value_and_grad(lambda x: own.loss(unravel(x))))
    scipys = scipy.optimize.minimize(
        lambda x: tuple(map(np.asarray, function(x))),
        np.asarray(flat),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "ftol": 1e-16, "gtol": 1e-11},
    )
    assert_allclose(found.net.weight, scipys.x, atol=1e-7)
    assert_allclose(trace.loss, scipys.fun, rtol=1e-10)
    assert_allclose(found.net.weight, best(own, theta), atol=1e-8)


# first order


@pytest.mark.slow
def test_soap_trains_a_network():
    net = build("plain", [Axis(0.0, 1.0)], width=4, depth=1, key=KEY)
    own, theta = window(ode(growth, 3.0, 0.1), net)
    method = FirstOrder("soap", steps=300, rate=2e-2, inner=100)
    found, trace = method.minimise(own, theta, deadline=NEVER, key=KEY)
    assert trace.reason == "steps"
    assert trace.iterations == 300
    assert trace.loss < 0.02 * trace.losses[0]
    assert_allclose(_loss(own, found), trace.loss, rtol=1e-12)


def test_adam_finds_what_is_exact():
    own, theta = linear()
    method = FirstOrder(steps=3000, rate=2e-2, inner=300)
    found, _ = method.minimise(own, theta, deadline=NEVER, key=KEY)
    rows, jac = map(np.asarray, _linearised(own, theta))
    lowest = np.sum((rows + jac @ best(own, theta)) ** 2)
    assert _loss(own, found) - lowest < 1e-4 * (_loss(own, theta) - lowest)


def test_decays_of_the_rate():
    rate = lambda k, **options: float(FirstOrder(**options)._schedule()(k))
    assert_allclose(rate(100, steps=100, rate=1.0), 0.01)
    exponential = {"decay": "exponential", "rate": 1.0, "factor": 0.5, "period": 10}
    assert_allclose(rate(20, **exponential), 0.25)
    assert_allclose(rate(500, decay="none", rate=0.3), 0.3)
    assert_allclose(rate(0, rate=1.0, warmup=10), 0.1)


def some_gradients(count=4, rows=3, columns=2):
    rng = np.random.default_rng(1)
    return [jnp.asarray(rng.normal(size=(rows, columns))) for _ in range(count)]


def updates(transform, grads):
    state, out = transform.init(grads[0]), []
    step = jax.jit(transform.update)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes of counters
        for grad in grads:
            update, state = step(grad, state)
            out.append(np.asarray(update))
    return out


def test_soap_turns_with_its_gradients():
    """Seen in other bases of rows and columns it does the same; Adam does not."""
    grads = some_gradients()
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for n in (3, 2))
    turned = [left @ g @ right.T for g in grads]
    soap = scale_by_soap(every=1)
    back = [left @ u @ right.T for u in updates(soap, grads)]
    assert_allclose(updates(soap, turned), back, atol=1e-8)
    adam = [left @ u @ right.T for u in updates(optax.scale_by_adam(), grads)]
    assert np.abs(np.asarray(updates(optax.scale_by_adam(), turned)) - adam).max() > 0.1


def test_soap_without_bases_is_adam():
    """The first gradient only sets the bases."""
    grads = some_gradients()
    found = updates(scale_by_soap(0.9, 0.99, largest=1), grads)
    expected = updates(optax.scale_by_adam(0.9, 0.99), grads[1:])
    assert_array_equal(found[0], 0.0)
    assert_allclose(found[1:], expected, rtol=1e-7)


# balancing


class Two(eqx.Module):
    """Two terms, (3 x)^2 and (y / 2)^2, of the two unknowns of `theta`."""

    weights: Array

    def residuals(self, theta):
        x, y = theta.unknown
        return [jnp.full((4, 1), 3.0 * x), jnp.full((6, 1), 0.5 * y)]

    def terms(self, theta):
        return jnp.stack([jnp.mean(r * r) for r in self.residuals(theta)])

    def loss(self, theta):
        return jnp.sum(self.weights**2 * self.terms(theta))


def two():
    _, theta = linear()
    theta = eqx.tree_at(lambda t: t.unknown, theta, jnp.asarray([1.0, 4.0]))
    return Two(jnp.asarray([1.0, 2.0])), theta


def test_terms_that_pull_as_hard_as_each_other():
    """Gradients 18 and 2 have the mean 10: factors 10/18 and 5, averaged into the
    squares of the weights, 1 and 4."""
    own, theta = two()
    balance = Balancing("grad_norm", every=10, average=0.75)
    state = balance.start(own, theta)
    assert_allclose(state.terms, [1.0, 4.0])
    assert_allclose(balance.loss(state, own.residuals(theta)), own.loss(theta))
    after = eqx.filter_jit(balance.after)
    state = after(state, own, theta, own.residuals(theta))
    assert_allclose(state.terms, [0.75 + 0.25 * 10 / 18, 3.0 + 0.25 * 5.0], rtol=1e-4)
    again = after(state, own, theta, own.residuals(theta))
    assert_array_equal(again.terms, state.terms)  # not due yet
    assert again.count == 2


def test_terms_that_are_learned_as_fast_as_each_other():
    """Slopes in the weight of s^k: k s^(k-1) + s^k of the equation, and 1, 0, 0 of the
    start."""
    own, theta = soft()
    balance = Balancing("ntk", average=0.0)
    state = balance.start(own, theta)
    residuals = own.residuals(theta)
    terms = eqx.filter_jit(balance.after)(state, own, theta, residuals).terms
    s = np.linspace(0.0, 1.0, 12)
    slopes = np.stack([1.0 + 0.0 * s, 1.0 + s, 2.0 * s + s**2])
    sizes = np.asarray([np.mean(np.sum(slopes**2, axis=0)), 1.0])
    assert_allclose(terms, sizes.mean() / sizes, rtol=1e-4)


def test_points_that_stay_wrong_count_more():
    own, theta = two()
    balance = Balancing("self_adaptive", rate=0.1)
    state = balance.start(own, theta)
    assert_allclose(balance.loss(state, own.residuals(theta)), own.loss(theta))
    wrong = [r.at[0].set(0.0) for r in own.residuals(theta)]
    state = eqx.filter_jit(balance.after)(state, own, theta, wrong)
    for points in state.points:
        assert points[0] == 1.0
        assert_allclose(points[1:], 1.1, rtol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("grad_norm", marks=pytest.mark.slow),
        "ntk",
        pytest.param("self_adaptive", marks=pytest.mark.slow),
    ],
)
def test_balanced_trainings_learn(kind):
    own, theta = soft() if kind == "ntk" else two()
    balance = Balancing(kind, every=20)
    method = FirstOrder(steps=400, rate=5e-2, balance=balance, inner=100)
    _, trace = method.minimise(own, theta, deadline=NEVER, key=KEY)
    assert trace.losses[-1] < 0.2 * trace.losses[0]


# one program for all windows, ends, and bad input


METHODS = [
    pytest.param(GaussNewton(steps=10, inner=5), id="gauss_newton"),
    pytest.param(LBFGS(steps=10, **ENDLESS, inner=5), id="lbfgs"),
    pytest.param(QuasiNewton(steps=10, inner=5), id="ssbroyden"),
    pytest.param(FirstOrder(steps=10, inner=5), id="adam"),
]


@pytest.mark.parametrize("method", METHODS)
def test_windows_share_a_program(method):
    some = {"deadline": NEVER, "key": KEY}
    own, theta = linear()
    method.minimise(own, theta, **some)
    later, fresh = linear(t0=2.0)  # other arrays of the same shapes
    fresh = jax.tree.map(lambda x: x + 0.5, fresh)
    calls.clear()
    method.minimise(later, fresh, **some)
    assert not calls


@pytest.mark.parametrize("method", METHODS)
def test_a_start_that_is_not_finite(method):
    own, theta = linear()
    theta = eqx.tree_at(lambda t: t.net.weight, theta, jnp.full(4, jnp.nan))
    found, trace = method.minimise(own, theta, deadline=NEVER, key=KEY)
    assert trace.reason == "not finite"
    assert np.isnan(found.net.weight).all()
    assert np.isnan(trace.loss)


@pytest.mark.parametrize("method", METHODS)
def test_no_time_at_all(method):
    own, theta = linear()
    theta = eqx.tree_at(lambda t: t.net.weight, theta, jnp.arange(4.0))
    found, trace = method.minimise(own, theta, deadline=Deadline(0.0), key=KEY)
    assert (trace.reason, trace.iterations) == ("budget", 0)
    assert_array_equal(found.net.weight, np.arange(4.0))


class AfterOne(Deadline):
    """Passes while the first call runs."""

    def passed(self):
        return False


@pytest.mark.parametrize("method", METHODS)
def test_the_best_weights_come_back_when_the_time_is_up(method):
    own, theta = linear()
    found, trace = method.minimise(own, theta, deadline=AfterOne(0.0), key=KEY)
    assert (trace.reason, trace.iterations) == ("budget", 5)
    assert trace.loss < trace.losses[0]
    assert_allclose(_loss(own, found), trace.loss, rtol=1e-9)


def test_float32_warns_and_goes_on():
    with precision(np.float32):
        own, theta = linear()
        assert own.weights.dtype == np.float32
    method, some = GaussNewton(steps=10, inner=5), {"key": KEY}
    with pytest.warns(FitWarning, match="float32"):
        found, trace = method.minimise(own, theta, deadline=NEVER, **some)
    assert found.net.weight.dtype == np.float32
    assert trace.loss < trace.losses[0]
    with pytest.warns(FitWarning, match="float32"):
        QuasiNewton().minimise(own, theta, deadline=Deadline(0.0), **some)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LBFGS().minimise(own, theta, deadline=Deadline(0.0), **some)


def test_networks_that_are_too_large():
    own, theta = linear(size=5001)
    some = {"deadline": NEVER, "key": KEY}
    with pytest.raises(ConfigError, match="5001 weights"):
        QuasiNewton().minimise(own, theta, **some)
    with pytest.raises(ConfigError, match="max_bytes"):
        GaussNewton(max_bytes=10**5).minimise(own, theta, **some)


def test_whether_the_next_step_overshoots():
    """On a bowl the loss changes by slope times step and half the curvature along it;
    what one more step does is measured."""
    own, theta = linear()
    some = {"deadline": NEVER, "key": KEY, "best": False}
    for rate in (1e-3, 3.0):
        make = lambda steps, r=rate: FirstOrder(
            steps=steps, rate=r, decay="none", clip=None, inner=1
        )
        before, trace = make(4).minimise(own, theta, **some)
        after, _ = make(5).minimise(own, theta, **some)
        with precision(np.float64):
            slope = jax.grad(lambda w: _loss(own, w))(before).net.weight
        first = float(np.sum(slope * (after.net.weight - before.net.weight)))
        change = _loss(own, after) - _loss(own, before)
        assert_allclose(trace.overshoot(), 2.0 * (1.0 - change / first), rtol=1e-6)
        assert (trace.overshoot() > 2.0) == (change > 0.0 > first)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"steps": "a"}, 'steps is the text "a"; it must be a whole number'),
        ({"steps": 1e4}, r"steps is 10000\.0; it must be a whole number of at least 1"),
        ({"rate": "fast"}, 'rate is the text "fast"; it must be above 0'),
        ({"rate": 0.0}, r"rate is 0\.0; it must be above 0"),
        ({"rate": np.inf}, "rate is inf; it must be finite and above 0"),
        ({"tolerance": "no"}, 'tolerance is the text "no"; it must be at least 0'),
    ],
)
def test_what_is_no_number_is_refused(given, match):
    """As a command line gives it; annotations keep it out of the settings here."""
    all_of_them = {"steps": 1, "rate": 1e-3, "tolerance": None}
    settings_of = types.SimpleNamespace(**{**all_of_them, **given})
    least = {"steps": 1, "rate": 1e-300, "tolerance": 0.0}
    with pytest.raises(ConfigError, match=f"Some: {match}"):
        check_settings("Some", least, settings_of)


def test_nothing_to_train():
    own, theta = linear(size=0)
    for method in (GaussNewton(), QuasiNewton(), LBFGS(), FirstOrder()):
        with pytest.raises(ConfigError, match="nothing can be trained"):
            method.minimise(own, theta, deadline=NEVER, key=KEY)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: GaussNewton(steps=0), "steps is 0"),
        (lambda: GaussNewton(damping=0.0), "damping is 0"),
        (lambda: GaussNewton(target=np.nan), "target is nan"),
        (lambda: LBFGS(history=0), "history is 0"),
        (lambda: LBFGS(tolerance_grad=-1.0), "tolerance_grad is -1"),
        (lambda: QuasiNewton("bgfs"), 'Did you mean "bfgs"'),
        (lambda: QuasiNewton(inner=0), "inner is 0"),
        (lambda: FirstOrder("adams"), 'Did you mean "adam"'),
        (lambda: FirstOrder(decay="cosin"), 'Did you mean "cosine"'),
        (lambda: FirstOrder(rate=0.0), "rate is 0"),
        (lambda: Balancing("ntks"), 'Did you mean "ntk"'),
        (lambda: Balancing("ntk", average=1.0), r"average is 1\.0"),
        (lambda: Balancing("ntk", every=0), "every is 0"),
        (lambda: Balancing("ntk", rate=np.nan), "rate is nan"),
        (lambda: check_optimiser("adam"), "optimiser is 'adam'"),
        (lambda: check_optimiser(GaussNewton), "give one with its settings"),
        (lambda: scale_by_soap(every=0), "every 0"),
    ],
)
def test_settings_that_cannot_be_used(make, match):
    with pytest.raises(ConfigError, match=match):
        make()
