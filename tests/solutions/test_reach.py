"""Where a solution is known: turns of a circle, points outside, times not reached."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import DataError, ShapeError
from pendula._precision import precision
from pendula.solutions import (
    Disc,
    FirstOrder,
    Gradual,
    Initial,
    Interval,
    Network,
    NetworkConfig,
    Problem,
    Solution,
    SolveReport,
    Whole,
    solve,
)
from pendula.solutions._form import hard_form
from pendula.solutions._parts import Part, Windows


def resting(domain, end=0.1, until=0.1):
    """A bump that stays as it is, solved until some time."""
    problem = Problem(
        lambda u, *at: u.t,
        domain=domain,
        time=(0.0, end),
        conditions=[Initial(lambda *x: jnp.exp(-((x[0] - 3.0) ** 2)))],
    )
    with precision(np.float64):
        zero = lambda p: 0.0 * p[:, :1]
        parts = [Part(zero, jnp.asarray(0.0), jnp.asarray(until))]
        form = hard_form(problem, carry=False)
    report = SolveReport("", "", True, 1.0, [], 0, 0, 0, 0.0, 0.0, 0.0, {}, {})
    return Solution(problem, Windows(form, parts, end), report, {})


CIRCLE = Interval(0.0, 2.0 * np.pi, periodic=True)
LINE = Interval(0.0, 2.0 * np.pi)
X = np.linspace(0.0, 2.0 * np.pi, 9)
BUMP = np.exp(-((X - 3.0) ** 2))


def test_a_circle_may_be_gone_round():
    found = resting(CIRCLE)
    for turns in (-2, 0, 3):
        x = X[:-1] + 2.0 * np.pi * turns
        assert_allclose(found(x, 0.05), BUMP[:-1], atol=1e-12)
        slope = -2.0 * (X[:-1] - 3.0) * BUMP[:-1]
        assert_allclose(found.d("x")(x, 0.05), slope, atol=1e-12)
    assert_allclose(found(X, 0.05), BUMP, atol=1e-15)  # the end as it is


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (
            (X + 1.0, 0.05),
            r"x = 6\.49.*\(and 1 more\) lies .* x from 0 to 6\.28",
        ),
        ((-1.0, 0.05), "x = -1, t = 0.05 lies outside"),
        ((1.0, 0.2), "t = 0.2 lies outside.* t from 0 to 0.1"),
        ((1.0, [[0.05], [-1.0]]), "t = -1 lies outside"),
        ((np.nan, 0.05), "x = nan"),
    ],
)
def test_points_outside_are_refused(at, words):
    with pytest.raises(DataError, match=words):
        resting(LINE)(*at)
    with pytest.raises(DataError, match='outside="nan'):
        resting(LINE).d("x")(*at)


def test_what_lies_outside_can_be_left_open_or_continued():
    found, x = resting(LINE), np.asarray([[3.0], [7.0]])
    assert_allclose(found(x, [0.05, 9.0], outside="nan"), [[1, np.nan], [np.nan] * 2])
    assert_allclose(found(x, 9.0, outside="extrapolate")[:, 0], np.exp([0.0, -16.0]))
    assert np.isnan(found(7.0, 0.05, outside="nan"))


def test_a_plane_around_a_disc_can_be_drawn():
    found = resting(Disc((3.0, 0.0), 1.0))
    u = found([2.0, 3.0, 4.5], [0.0, 0.5, 0.0], 0.05, outside="nan")
    assert_allclose(u, [np.exp(-1.0), 1.0, np.nan])
    with pytest.raises(DataError, match="a Disc with x from 2 to 4"):
        found(4.5, 0.0, 0.05)


def test_ends_in_single_precision_are_ends():
    ends = X[[0, -1]].astype(np.float32), np.float32(0.1)
    assert ends[0][1] > X[-1]
    assert float(ends[1]) > 0.1
    assert_allclose(resting(LINE)(*ends), BUMP[[0, -1]], rtol=1e-5)


def test_times_that_were_not_reached_are_not_known():
    found = resting(LINE, end=1.0, until=0.25)
    assert found.reached == 0.25
    assert_allclose(found(3.0, [0.2, 0.3], outside="nan"), [1.0, np.nan])
    with pytest.raises(DataError, match=r"ended at t = 0\.25 of 1\. Give it"):
        found(3.0, 0.3)


def test_coordinates_have_to_fit_each_other():
    with pytest.raises(ShapeError, match=r"not broadcast: x \(3,\), t \(4,\)"):
        resting(LINE)(np.zeros(3), np.zeros(4))


def test_an_estimate_is_of_what_was_reached():
    decay = Problem(
        lambda u, t, p: u.t + 30.0 * u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    found = solve(decay, budget=1e-6)
    assert found.reached == found.report.windows[-1] < 1.0
    told = found.report.estimate
    assert told["times"][-1] == found.reached
    assert told["overall"] < 1e-3
    with pytest.raises(DataError, match="was not reached"):
        found(1.0)


@pytest.mark.parametrize(
    ("strategy", "budget", "end"), [(Gradual(2), 1e-6, 0.35), (Whole(), None, 0.7)]
)
def test_a_training_says_how_far_it_came(strategy, budget, end):
    decay = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 0.7), conditions=[Initial(1.0)]
    )
    config = NetworkConfig(width=4, depth=1, points=20, dtype="float32")
    method = Network(config, FirstOrder(steps=2), strategy)
    found = solve(decay, method=method, budget=budget, check=False)
    assert found.report.windows == [0.0, end]  # to the last bit of double precision
