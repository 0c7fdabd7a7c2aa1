"""Windows of time: what they add up to, and how they join."""

import functools
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._precision import precision
from pendula.solutions._conditions import Dirichlet, Initial
from pendula.solutions._domain import Interval
from pendula.solutions._features import Combination, draw_features
from pendula.solutions._form import hard_form
from pendula.solutions._parts import Part, Start, Windows
from pendula.solutions._problem import Problem


EDGES = (0.0, 0.4, 0.5, 1.5)
X = np.linspace(0.0, 2.0, 7)


def first(u, x, t, p):
    return u["a"].t - u["b"].xx, u["b"].t - u["a"]()


def second(u, x, t, p):
    return u["a"].tt - u["a"].xx, u["b"].t - u["a"]()


@functools.cache
def windows(order):
    """Three windows of random networks, two fields: both of first order, or one of
    second."""
    starts = [Initial([lambda x: jnp.cos(x), 1.0])]
    if order == 2:
        starts.append(Initial(lambda x: x, field="a", order=1))
    problem = Problem(
        first if order == 1 else second,
        Interval(0, 2),
        (0.0, 1.5),
        [*starts, Dirichlet(1.0, on="x-", field="b")],
        fields=("a", "b"),
    )
    rng = np.random.default_rng(order)
    parts = []
    with precision(np.float64):
        form = hard_form(problem)
        for k, (a, b) in enumerate(itertools.pairwise(EDGES)):
            slopes = {"slope_x": 2.0, "slope_t": 2.0, "seed": k}
            bounds = problem.domain.bounds
            features = draw_features(bounds, (0,), 6, has_time=True, **slopes)
            net = Combination(features, jnp.asarray(rng.normal(size=(6, 2))))
            parts.append(Part(net, jnp.asarray(a), jnp.asarray(b - a)))
    return Windows(form, parts, 1.5)


def look(order, t, wanted=(0, 0), x=X):
    points = np.c_[x, np.broadcast_to(t, x.shape)]
    return windows(order).values(points, [wanted])[wanted]


@pytest.mark.parametrize("order", [1, 2])
def test_values_join(order):
    for t in EDGES[1:-1]:
        before, after = look(order, t), look(order, t + 1e-9)
        np.testing.assert_allclose(before, after, atol=1e-7)
        slope = [look(order, t, (0, 1)), look(order, t + 1e-9, (0, 1))]
        curve = [look(order, t, (2, 0)), look(order, t + 1e-9, (2, 0))]
        np.testing.assert_allclose(*curve, atol=1e-6)
        # of second order the rate joins as well, of first order it need not
        jump = np.abs(slope[0] - slope[1]).max(axis=0)
        assert (jump[0] < 1e-6) == (order == 2)
        assert jump[1] > 1e-2


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("t", [0.2, 0.45, 1.1])
def test_derivatives_are_differences_of_values(order, t):
    h = 1e-4
    inner = X[1:-1]
    at = lambda dx, dt: look(order, t + dt, x=inner + dx)
    central = {
        (0, 1): (at(0, h) - at(0, -h)) / (2 * h),
        (1, 0): (at(h, 0) - at(-h, 0)) / (2 * h),
        (2, 0): (at(h, 0) - 2 * at(0, 0) + at(-h, 0)) / h**2,
        (1, 1): (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h),
    }
    for orders, want in central.items():
        found = look(order, t, orders, inner)
        # errors of second order, h^2 times derivatives of up to 1e4 in short windows
        np.testing.assert_allclose(found, want, atol=1e-4, err_msg=str(orders))


def test_what_holds_at_the_start_and_on_sides():
    np.testing.assert_allclose(look(2, 0.0)[:, 0], np.cos(X), atol=1e-14)
    np.testing.assert_allclose(look(2, 0.0, (0, 1))[:, 0], X, atol=1e-14)
    for t in (0.3, 0.45, 1.5):
        np.testing.assert_allclose(look(1, t)[0, 1], 1.0, atol=1e-13)


def test_points_in_any_order_and_number():
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform(0, 2, 70), rng.uniform(0, 1.5, 70)]
    every = windows(2).values(points, [(0, 0), (1, 1)])
    order = rng.permutation(70)
    shuffled = windows(2).values(points[order], [(1, 1), (0, 0)])
    for key in every:
        np.testing.assert_allclose(shuffled[key], every[key][order], atol=1e-13)
        assert every[key].dtype == np.float64
    alone = windows(2).values(points[:1], [(0, 0)])[0, 0]
    np.testing.assert_allclose(alone, every[0, 0][:1], atol=1e-13)
    assert windows(2).ends().tolist() == pytest.approx(list(EDGES[1:]))


def test_what_the_next_window_starts_from():
    """The sum over parts, one by one or all at once, is the solution at its end."""
    own = windows(2)
    space = X[:, None]
    total = own.begin(space, [(0, 0), (2, 0)])
    step = Start.zero(space, [(0, 0), (2, 0)], own)
    for part in own.parts:
        step = step.after(part, own)
    for key in total.c:
        np.testing.assert_array_equal(total.c[key], step.c[key])
        np.testing.assert_array_equal(total.v[key], step.v[key])
    points = np.c_[X, np.full(len(X), 1.5)]
    closed = own.closed(points, [(0, 0), (0, 1)])
    np.testing.assert_allclose(closed[0, 0] + total.c[0, 0], look(2, 1.5), atol=1e-13)
    rate = closed[0, 1] + total.v[0, 0]
    np.testing.assert_allclose(rate[:, 0], look(2, 1.5, (0, 1))[:, 0], atol=1e-12)
