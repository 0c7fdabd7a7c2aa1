"""How much the fast path tries, and how much of it is kept."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from pendula.solutions import (
    Box,
    Dirichlet,
    Initial,
    Interval,
    Problem,
    _frozen,
    _solve,
    solve,
)


POISSON = Problem(
    lambda u, x, p: u.xx + jnp.sin(40.0 * x),
    domain=Interval(0.0, 1.0),
    conditions=[Dirichlet(0.0)],
)
SMALL = _frozen.FrozenConfig(features=8, nodes=16, slopes=(4.0, 8.0))


@pytest.fixture
def tried(monkeypatch):
    """Features and slope of all layouts that are made."""
    made = []

    class Counted(_frozen.Layout):
        def __init__(self, problem, config, windows, slope, grading):
            made.append((config.features, slope))
            super().__init__(problem, config, windows, slope, grading)

    monkeypatch.setattr(_frozen, "Layout", Counted)
    return made


def test_the_second_solve_is_finer_by_a_half_and_grows_no_more(tried):
    found = solve(POISSON, method=_frozen.Frozen(SMALL, levels=0))
    assert not found.report.converged
    assert {n for n, _ in tried} == {8, 12}  # not 18 and 27, and so on in the plane


def test_a_line_without_time_gets_the_neurons_that_it_needs(tried):
    found = solve(POISSON, tol=1e-4, method=_frozen.Frozen(SMALL), check=False)
    grown = sorted({n for n, _ in tried})
    assert grown == [8, 12, 18, 27, 41, 61]
    assert found.report.converged
    x = np.linspace(0.0, 1.0, 50)
    truth = (np.sin(40.0 * x) - x * np.sin(40.0)) / 1600.0
    assert np.abs(found(x) - truth).max() < 1e-4 * np.abs(truth).max()


def test_neurons_that_do_not_help_are_not_added_for_ever(tried, monkeypatch):
    monkeypatch.setattr(_frozen, "_LESS", 1e-9)
    found = solve(POISSON, method=_frozen.Frozen(SMALL), check=False)
    assert {n for n, _ in tried} == {8, 12, 18, 27}
    assert not found.report.converged


@pytest.mark.parametrize(
    ("estimate", "near", "kept"),
    [
        ({"overall": 9e-6, "converged": True, "until": 1.0}, True, True),
        ({"overall": 2e-5, "converged": True, "until": 1.0}, True, False),
        ({"overall": 9e-6, "converged": False, "until": 1.0}, True, False),
        ({"overall": 9e-6, "converged": True, "until": 0.9}, True, False),
        ({"overall": 9e-6, "converged": True, "until": 1.0}, False, False),
    ],
)
def test_an_estimate_makes_up_for_a_residual_without_room(
    monkeypatch, estimate, near, kept
):
    """The residual keeps the tolerance, not a tenth of it."""
    decay = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    run = _frozen.FrozenSolver.run
    changed = lambda *a: dataclasses.replace(run(*a), converged=False, near=near)
    monkeypatch.setattr(_frozen.FrozenSolver, "run", changed)
    times = {"times": [0.0, 1.0], "relative": [0.0, estimate["overall"]]}
    monkeypatch.setattr(_solve, "estimate", lambda *a: {**times, **estimate})
    assert solve(decay).report.converged == kept


def test_a_budget_ends_the_search_for_a_slope(tried):
    found = solve(POISSON, budget=1e-9, check=False, method=_frozen.Frozen(SMALL))
    assert not found.report.converged
    assert tried == [(8, 4.0)]


def test_tables_that_do_not_fit_are_made_again(monkeypatch):
    moved = Problem(
        lambda u, x, t, p: u.t - u.xx,
        domain=Interval(0.0, np.pi),
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin), Dirichlet(0.0)],
    )
    small = {"features": 30, "nodes": 24, "times": 6, "slopes": (4.0, 8.0)}
    solver = lambda: _frozen.FrozenSolver(
        moved, _frozen.FrozenConfig(**small), levels=0
    )
    first, second = solver(), solver()
    first.run(1e-3, _frozen.Deadline())
    monkeypatch.setattr(_frozen, "_KEPT", 0.0)
    second.run(1e-3, _frozen.Deadline())
    assert len(first._layouts) > 1
    assert len(second._layouts) == 1
    at = np.asarray([[1.0, 0.3], [2.0, 1.0]])
    values = [s.windows.values(at, [(0, 0)])[0, 0] for s in (first, second)]
    np.testing.assert_array_equal(*values)


@pytest.mark.parametrize(
    ("time", "law"),
    [
        (None, lambda u, x, y, z, p: u.xx + u.yy + u.zz),
        ((0.0, 1.0), lambda u, x, y, z, t, p: u.t - u.xx - u.yy - u.zz),
    ],
)
def test_three_coordinates_of_space_fit_into_the_memory(time, law):
    box = Box(*(Interval(0.0, 1.0, name=name) for name in "xyz"))
    starts = [] if time is None else [Initial(0.0)]
    problem = Problem(law, box, time=time, conditions=[Dirichlet(0.0), *starts])
    own = _frozen.FrozenConfig().filled(problem)
    rows = own.nodes * own.times
    assert rows > 3 * own.features
    assert 8e-9 * rows * own.features < 0.1  # GB of one table
    grown = own.grown(3, 2)
    assert 8e-9 * grown.nodes * grown.times * grown.features < 0.5
