"""The form meets its conditions for any network: starts, rates, sides."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._precision import precision
from pendula.solutions._conditions import Dirichlet, Initial, evaluate
from pendula.solutions._derivatives import derivatives
from pendula.solutions._domain import Box, Interval
from pendula.solutions._features import Combination, draw_features
from pendula.solutions._form import hard_form
from pendula.solutions._parts import Part, Windows
from pendula.solutions._problem import Problem
from pendula.solutions._shapes import Disc


T0, LENGTH = 0.5, 0.7
TIME = (T0, 2.0)
LINE = Interval(-1, 2)
DISC = Disc((0.5, 0.0), 1.0)
BOX = Box(Interval(0, 1), Interval(0, 2, name="y"))
WEIGHTS = st.lists(st.floats(-50.0, 50.0), min_size=8, max_size=8)


def bar(t):
    """A boundary value that moves."""
    return jnp.sin(3.0 * t)


def parabolic(u, x, t, p):
    return u.t - u.xx


def hyperbolic(u, x, t, p):
    return u.tt - u.xx


def start(x):
    """Fits the values at both ends at the beginning."""
    return (
        (2.0 - x) / 3.0 * np.sin(3.0 * T0) + (x + 1.0) / 3.0 * 4.0 + (x + 1) * (2 - x)
    )


PROBLEMS = {
    "first order": lambda: Problem(
        parabolic,
        LINE,
        TIME,
        [
            Initial(start),
            Dirichlet(lambda x, t: bar(t), on="x-"),
            Dirichlet(4.0, on="x+"),
        ],
    ),
    "second order": lambda: Problem(
        hyperbolic,
        LINE,
        TIME,
        [
            Initial(start),
            Initial(lambda x: (2.0 - x) / 3.0 * 3.0 * np.cos(3.0 * T0), order=1),
            Dirichlet(lambda x, t: bar(t), on="x-"),
            Dirichlet(4.0, on="x+"),
        ],
    ),
    "disc": lambda: Problem(
        lambda u, x, y, t, p: u.t - u.xx - u.yy,
        DISC,
        TIME,
        [Initial(lambda x, y: x * y), Dirichlet(lambda x, y, t: x * y * (1 + t - T0))],
    ),
    "box": lambda: Problem(
        lambda u, x, y, t, p: u.t - u.xx - u.yy,
        BOX,
        TIME,
        [
            Initial(lambda x, y: x + y),
            Dirichlet(lambda x, y, t: x + y + y * (t - T0), on=("x+", "y-")),
            Dirichlet(lambda x, y, t: x + y + x * y * (t - T0), on=("y+", "x-")),
        ],
    ),
    "ring": lambda: Problem(
        parabolic, Interval(0, 1, periodic=True), TIME, [Initial(lambda x: jnp.cos(x))]
    ),
}


@functools.cache
def made(name):
    """The problem, and u with its slope in time as one program of weights."""
    problem = PROBLEMS[name]()
    with precision(np.float64):
        form = hard_form(problem, carry=False)
        features = draw_features(
            problem.domain.bounds,
            [2 * p for p in problem.domain.periodic],
            8,
            has_time=True,
            slope_x=2.0,
            slope_t=2.0,
        )

    def value(weights, points):
        net = Combination(features, weights[:, None])
        part = Part(net, jnp.asarray(T0), jnp.asarray(LENGTH))
        return (form.closed(points) + part.added(points, form))[:, 0]

    rate = (0,) * problem.domain.dim + (1,)
    zero = (0,) * (problem.domain.dim + 1)
    run = jax.jit(lambda w, p: derivatives(lambda q: value(w, q), p, [zero, rate]))

    def look(weights, points):
        with precision(np.float64):
            found = run(jnp.asarray(weights), jnp.asarray(points))
            return np.asarray(found[zero]), np.asarray(found[rate])

    return problem, look


def at_time(space, t):
    return np.c_[space, np.full(len(space), t)]


@pytest.mark.parametrize("name", PROBLEMS)
@settings(max_examples=5, deadline=None)
@given(WEIGHTS)
def test_starts_and_sides_hold_for_any_weights(name, weights):
    problem, look = made(name)
    space = problem.domain.nodes(16)
    first, rate = look(weights, at_time(space, T0))
    size = 1.0 + max(map(abs, weights))
    with precision(np.float64):
        want = evaluate(problem.initials()[0].value, jnp.asarray(space), "start")
    np.testing.assert_allclose(first, want, atol=1e-13 * size)
    if problem.initials(1):
        want = problem.initials(1)[0].value(*space.T)
        np.testing.assert_allclose(rate, want, atol=1e-12 * size)
    for condition in problem.conditions:
        if isinstance(condition, Initial):
            continue
        for side in problem.on(condition):
            for t in (T0 + 0.3, T0 + 0.9):
                points = at_time(problem.domain.on_side(side, 5)[0], t)
                points = np.resize(points, (16, points.shape[1]))  # one program
                with precision(np.float64):
                    want = evaluate(condition.value, jnp.asarray(points), side)
                found, _ = look(weights, points)
                np.testing.assert_allclose(found, want, atol=1e-12 * size)


def test_the_network_matters_inside():
    for name in PROBLEMS:
        problem, look = made(name)
        points = at_time(problem.domain.nodes(16, seed=1), T0 + 0.4)
        none, some = look(np.zeros(8), points)[0], look(np.ones(8), points)[0]
        assert np.abs(some - none).max() > 1e-3, name


def test_a_rate_with_moving_ends_is_the_one_given():
    """The ends' own rate must not be added to it."""
    _, look = made("second order")
    x = np.linspace(-1.0, 2.0, 16)[:, None]
    _, rate = look(np.zeros(8), at_time(x, T0))
    want = (2.0 - x[:, 0]) * np.cos(3.0 * T0)
    np.testing.assert_allclose(rate, want, atol=1e-13)


def test_soft_conditions_are_left_out_of_the_form():
    soft = Problem(
        parabolic,
        LINE,
        TIME,
        [Initial(start, hard=False), Dirichlet(0.0, hard=False)],
    )
    with precision(np.float64):
        form = hard_form(soft)
        assert form.orders == (0,)
        points = jnp.asarray([[0.0, 1.0]])
        assert form.closed(points).tolist() == [[0.0]]
        assert form.mask(points).tolist() == [[1.0]]


def test_fields_have_forms_of_their_own():
    problem = Problem(
        lambda u, x, t, p: (u["a"].tt - u["b"].xx, u["b"].t - u["a"]()),
        LINE,
        TIME,
        [
            Initial([1.0, 2.0]),
            Initial(5.0, field="a", order=1),
            Dirichlet(2.0, on="x-", field="b"),
        ],
        fields=("a", "b"),
    )
    with precision(np.float64):
        form = hard_form(problem)
        assert form.orders == (2, 1)
        points = jnp.asarray([[-1.0, T0 + 0.1], [0.5, T0 + 0.1]])
        np.testing.assert_allclose(form.closed(points), [[1.5, 2.0]] * 2, rtol=1e-13)
        np.testing.assert_allclose(form.mask(points), [[1, 0], [1, 1]], atol=1e-13)


def test_a_carried_start_decays_as_the_equation_says():
    """u_t = k u_xx from cos 2x: e^{-4 k t}."""
    problem = Problem(
        lambda u, x, t, p: u.t - p.k * u.xx,
        Interval(0, 2 * np.pi, periodic=True),
        TIME,
        [Initial(lambda x: jnp.cos(2.0 * x))],
        {"k": 0.3},
    )
    with precision(np.float64):
        form = hard_form(problem)
        points = np.c_[np.linspace(0, 6, 7), np.linspace(T0, 2, 7)]
        want = np.cos(2 * points[:, 0]) * np.exp(-1.2 * (points[:, 1] - T0))
        found = form.closed(jnp.asarray(points))[:, 0]
        np.testing.assert_allclose(found, want, atol=1e-12)


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("begin", [T0, T0 + 0.5])
def test_what_windows_start_from_is_the_series_that_is_differentiated(begin, grid):
    """By what is known of each mode, on grids and off them, as by jets; late modes are
    left out without a trace, also in derivatives."""
    kink = lambda x: jnp.exp(-(((x - 3.0) / 0.8) ** 2) / 2.0)
    problem = Problem(
        lambda u, x, t, p: u.t - 5.0 * u.xx - u(),
        Interval(0, 2 * np.pi, periodic=True),
        TIME,
        [Initial(kink)],
    )
    rng = np.random.default_rng(0)
    if grid:
        x, t = np.meshgrid(np.linspace(0, 6, 9), begin + np.linspace(0, 0.2, 5))
        points = np.stack([x.ravel(), t.ravel()], axis=1)
    else:
        points = np.stack([rng.uniform(0, 6, 2000), begin + rng.uniform(0, 1, 2000)], 1)
    wanted = [(0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (0, 1), (2, 1), (1, 2)]
    with precision(np.float64):
        form = hard_form(problem)
        assert form.carry is not None
        found = Windows(form, [], TIME[1]).closed(points, wanted)
        want = derivatives(form.closed, jnp.asarray(points[:40]), wanted)
        for orders in wanted:
            size = max(1e-12, float(np.abs(want[orders]).max()))
            gap = found[orders][:40] - want[orders]
            assert np.abs(gap).max() < 1e-9 * size, orders
