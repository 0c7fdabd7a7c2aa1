"""Rows of conditions against values by hand, for functions that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._precision import precision, to_device
from pendula.solutions._blocks import equation, soft_blocks, with_times
from pendula.solutions._conditions import (
    Dirichlet,
    Initial,
    Integral,
    Neumann,
    Observation,
    Periodic,
    Robin,
)
from pendula.solutions._domain import Box, Interval
from pendula.solutions._objective import needed
from pendula.solutions._problem import Problem
from pendula.solutions._shapes import Disc


LINE = Interval(1.0, 3.0)
TIMES = np.asarray([0.0, 0.5, 2.0])
SPACE = LINE.nodes(5)


def cubic(p):
    """u = x^3 + t x, as a column."""
    return (p[:, 0] ** 3 + p[:, -1] * p[:, 0])[:, None]


def heat(u, x, t, p):
    return u.t - p.k * u.xx


def rows_of(block, function, problem):
    """The rows of a block for a function that is known."""
    with precision(np.float64):
        block = to_device(block)
        values = needed(function, block.law, block.points)
        other = None
        if block.partner is not None:
            other = needed(function, block.law, block.partner)
        return np.asarray(block.rows(values, problem.values({}), other))


def one_block(condition, function=cubic, **more):
    """The only block of a problem with that condition."""
    problem = Problem(
        heat, LINE, (0.0, 2.0), [Initial(0.0), condition], {"k": 2.0}, **more
    )
    with precision(np.float64):
        blocks = soft_blocks(problem, SPACE, TIMES)
    return [rows_of(b, function, problem) for b in blocks], blocks


def test_the_equation():
    problem = Problem(heat, LINE, (0.0, 2.0), [Initial(0.0)], {"k": 2.0})
    points = with_times(SPACE, TIMES)
    block = equation(problem, points, weight=3.0)
    found = rows_of(block, cubic, problem)
    x = points[:, 0]
    np.testing.assert_allclose(found[:, 0], 3.0 * (x - 12.0 * x), rtol=1e-13)
    assert block.num == 15


def test_all_points_at_all_times():
    found = with_times(np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([5.0, 6.0]))
    assert found.tolist() == [[1, 2, 5], [1, 2, 6], [3, 4, 5], [3, 4, 6]]
    assert with_times(SPACE, None) is SPACE


def test_neumann_takes_the_outward_normal():
    (left, right), blocks = one_block(Neumann(lambda x, t: t))
    # u_x = 3 x^2 + t: minus that at the left end
    np.testing.assert_allclose(left[:, 0], -(3.0 + TIMES) - TIMES, rtol=1e-13)
    np.testing.assert_allclose(right[:, 0], 27.0 + TIMES - TIMES, rtol=1e-13)
    assert [b.name for b in blocks] == ["neumann x-", "neumann x+"]


def test_robin_mixes():
    (right,), _ = one_block(Robin(2.0, -3.0, 5.0, on="x+", weight=0.5))
    u, slope = 27.0 + 3.0 * TIMES, 27.0 + TIMES
    np.testing.assert_allclose(right[:, 0], 0.5 * (2 * u - 3 * slope - 5), rtol=1e-13)
    (value,), _ = one_block(Robin(1.0, 0.0, 1.0, on="x+"))
    np.testing.assert_allclose(value[:, 0], u - 1.0, rtol=1e-13)


def test_soft_values_on_sides_and_at_the_start():
    (right,), _ = one_block(Dirichlet(lambda x, t: x * t, on="x+", hard=False))
    np.testing.assert_allclose(right[:, 0], 27.0, rtol=1e-13)
    assert one_block(Dirichlet(0.0))[0] == []  # built in
    problem = Problem(
        lambda u, x, t, p: u.tt - u.xx,
        LINE,
        (0.0, 2.0),
        [Initial(1.0, hard=False), Initial(jnp.sin, order=1, hard=False, weight=2.0)],
    )
    with precision(np.float64):
        value, rate = soft_blocks(problem, SPACE, TIMES)
        x = SPACE[:, 0]
        at = {"function": cubic, "problem": problem}
        np.testing.assert_allclose(rows_of(value, **at)[:, 0], x**3 - 1.0, atol=1e-12)
        want = 2.0 * (x - np.sin(x))
        np.testing.assert_allclose(rows_of(rate, **at)[:, 0], want, rtol=1e-12)
        assert len(soft_blocks(problem, SPACE, TIMES, hard=False)) == 2


def test_periodic_compares_both_ends():
    (found,), (block,) = one_block(Periodic("x", order=3))
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found[:, 0], 1.0 - 27.0 - 2.0 * TIMES, rtol=1e-13)
    np.testing.assert_allclose(found[:, 1], 3.0 - 27.0, rtol=1e-13)
    np.testing.assert_allclose(found[:, 2], 6.0 - 18.0, rtol=1e-13)
    assert block.num == 9


def test_periodic_in_the_plane_has_as_many_points_as_a_side():
    box = Box(LINE, Interval(0, 1, name="y"))
    problem = Problem(lambda u, x, y, p: u.xx + u.yy, box, conditions=[Periodic("y")])
    (block,) = soft_blocks(problem, box.nodes(100), TIMES, sides=20)
    assert len(block.points) == 20
    np.testing.assert_array_equal(block.points[:, 0], block.partner[:, 0])
    assert set(block.points[:, 1]) == {0.0}
    assert set(block.partner[:, 1]) == {1.0}
    found = rows_of(block, lambda p: (p[:, 0] * p[:, 1])[:, None], problem)
    np.testing.assert_allclose(found, -block.points[:, :1], rtol=1e-13)


def test_integrals_at_each_time():
    (found,), _ = one_block(Integral(lambda t: t))
    # from 1 to 3 of x^3 + t x: 20 + 4 t
    np.testing.assert_allclose(found[:, 0], 20.0 + 3.0 * TIMES, rtol=1e-12)
    density = lambda u, x, t, p: u.x * x + p.k
    (found,), _ = one_block(Integral(0.0, density=density))
    # of 3 x^3 + t x + k: 60 + 4 t + 4
    np.testing.assert_allclose(found[:, 0], 64.0 + 4.0 * TIMES, rtol=1e-12)


def test_observations_in_units_of_their_uncertainty():
    points = np.asarray([[1.5, 0.25], [2.0, 1.0], [3.0, 2.0]])
    u = points[:, 0] ** 3 + points[:, 1] * points[:, 0]
    seen = Observation(points, u + np.asarray([0.1, -0.2, 0.0]), sigma=0.1)
    (found,), _ = one_block(seen)
    np.testing.assert_allclose(found[:, 0], [-1.0, 2.0, 0.0], atol=1e-12)
    flux = lambda u, x, t, p: -p.k * u.x
    slope = 3.0 * points[:, 0] ** 2 + points[:, 1]
    (found,), _ = one_block(Observation(points, -2.0 * slope, operator=flux))
    np.testing.assert_allclose(found, 0.0, atol=1e-12)


def test_fields_by_name():
    two = lambda p: jnp.stack([p[:, 0], 10.0 * p[:, 0] ** 2], axis=1)
    conditions = [
        Neumann(0.0, on="x+", field="b"),
        Integral(0.0, field="b"),
        Periodic("x", field="b"),
        Observation([[2.0]], [0.0], field="b"),
        Robin(1.0, 1.0, 0.0, on="x-"),
    ]
    problem = Problem(
        lambda u, x, p: (u["a"].xx, u["b"].xx),
        LINE,
        conditions=conditions,
        fields=("a", "b"),
    )
    with precision(np.float64):
        blocks = soft_blocks(problem, SPACE, np.zeros(1))
    found = [float(rows_of(b, two, problem)[0, 0]) for b in blocks]
    np.testing.assert_allclose(found, [60.0, 260.0 / 3.0, -80.0, 40.0, 0.0], atol=1e-12)


def test_slopes_along_a_curved_rim():
    """u = x y: du/dn = 2 x y on the unit circle; more points for a finer inside."""
    disc = Disc((0, 0), 1.0)
    problem = Problem(lambda u, x, y, p: u.xx + u.yy, disc, conditions=[Neumann(0.0)])
    function = lambda p: (p[:, 0] * p[:, 1])[:, None]
    (block,) = soft_blocks(problem, disc.nodes(400), TIMES)
    assert len(block.points) == 80
    x, y = block.points.T
    np.testing.assert_allclose(
        rows_of(block, function, problem)[:, 0], 2 * x * y, atol=1e-13
    )
    (again,) = soft_blocks(problem, disc.nodes(400), TIMES, seed=3)
    assert not np.isclose(again.points[:, 0], x).any()


@pytest.mark.parametrize("seed", [None, 5])
def test_checks_are_at_other_points(seed):
    box = Box(LINE, Interval(0, 1, name="y"))
    problem = Problem(
        lambda u, x, y, p: u.xx + u.yy, box, conditions=[Neumann(0.0, on="y-")]
    )
    (one,) = soft_blocks(problem, box.nodes(9), TIMES)
    (two,) = soft_blocks(problem, box.nodes(9), TIMES, seed=seed)
    assert np.array_equal(one.points, two.points) == (seed is None)


def test_rows_do_not_hang_on_the_unit_of_length():
    """Slopes and integrals over a very short or a very long line count alike; near 1
    they count as they are."""

    def rows(length):
        line = Interval(0.0, length)
        cubic = lambda p: (2.0 + (p / length) ** 3)[:, :1]
        conditions = [
            Neumann(1.0 / length, on="x+"),
            Robin(1.0 / length, 2.0, 0.0, on="x+"),
            Periodic("x", order=2),
            Integral(length),
        ]
        problem = Problem(lambda u, x, p: u.xx, line, conditions=conditions)
        with precision(np.float64):
            blocks = soft_blocks(problem, line.nodes(5), np.zeros(1))
        found = [rows_of(block, cubic, problem).ravel() for block in blocks]
        return np.concatenate(found)

    near, short, long = rows(1.0), rows(1e-6), rows(1e6)
    np.testing.assert_allclose(near, [2.0, 9.0, -1.0, -3.0, 1.25], rtol=1e-12)
    np.testing.assert_allclose(short, near * [1e2, 50.0, 1, 1e2, 1e-2], rtol=1e-9)
    np.testing.assert_allclose(long, near * [1e-2, 0.005, 1, 1e-2, 1e2], rtol=1e-9)


def test_rates_at_the_start_do_not_hang_on_the_unit_of_time():
    for span, weight in ((1.0, 1.0), (1e-6, 1e-4), (1e6, 1e4)):
        problem = Problem(
            lambda u, t, p: u.tt + u(),
            time=(0.0, span),
            conditions=[Initial(1.0), Initial(0.0, order=1, hard=False)],
        )
        with precision(np.float64):
            (block,) = soft_blocks(problem, np.zeros((1, 0)), np.zeros(1))
        np.testing.assert_allclose(block.weight, weight, rtol=1e-12)
