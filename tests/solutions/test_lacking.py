"""Boundaries on which too little is given: many functions solve such a problem."""

from __future__ import annotations

import re
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import PendulaWarning
from pendula._precision import precision
from pendula.solutions import (
    Dirichlet,
    Disc,
    Initial,
    Integral,
    Interval,
    Neumann,
    Observation,
    Periodic,
    Polygon,
    Problem,
    Robin,
    particle_problem,
    solve,
)
from pendula.solutions._form import hard_form
from pendula.solutions._lacking import lacking
from pendula.solutions._parts import Windows


LINE, START = Interval(0.0, 1.0), Initial(lambda x: 1.0 + 0.1 * jnp.sin(x))
LEFT, RIGHT, BOTH = Dirichlet(1.0, on="x-"), Neumann(on="x+"), Dirichlet(1.0)
DISC = Disc((0.0, 0.0), 1.0)
THREE = Polygon([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])


def heat(u, x, t, p):
    return u.t - u.xx


def flow(u, x, t, p):
    return u.t + u() * u.x


def leaving(u, x, t, p):
    return u.t + (x - 0.5) * u.x


def pair(u, x, t, p):
    return u[0].t - u[0].xx, u[1].t


def bowl(u, x, p):
    return x * u.xx + u.x + 1.0  # of a disc, by its radius


def plane(u, x, y, p):
    return u.xx + u.yy


def found(law, *conditions, domain=LINE, fields=("u",)):
    timed = {"time": (0.0, 1.0)} if law not in (bowl, plane) else {}
    if timed and domain is not None:
        conditions = (START, *conditions)
    if len(fields) > 1:
        conditions = (*conditions, Initial(0.0, field="v"))
    problem = Problem(law, domain, conditions=conditions, fields=fields, **timed)
    with precision(np.float64):
        form = hard_form(problem)
    return lacking(problem, Windows(form, [], problem.span()[1]), {})


@pytest.mark.parametrize(
    ("law", "conditions", "more", "words"),
    [
        (heat, [], {}, "order 2 in x .* given: 0"),
        (heat, [LEFT], {}, "given: 1"),
        (heat, [Periodic("x")], {}, "given: 1"),
        (flow, [], {}, '"x-", where something flows in'),
        (flow, [RIGHT], {}, '"x-", where'),
        (pair, [], {"fields": ("u", "v")}, "nothing is given on the boundary"),
        (plane, [], {"domain": DISC}, "nothing is given on the boundary"),
        (plane, [Dirichlet(on="edge0")], {"domain": THREE}, r'nothing is .* "edge1"'),
    ],
)
def test_what_is_not_given_is_told(law, conditions, more, words):
    assert re.search(words, found(law, *conditions, **more))


@pytest.mark.parametrize(
    ("law", "conditions", "more"),
    [
        (heat, [LEFT, RIGHT], {}),
        (heat, [LEFT, Neumann(on="x-")], {}),
        (heat, [Periodic("x", order=2)], {}),
        (heat, [Observation([[0.5, 0.5]], [1.0])], {}),
        (heat, [], {"domain": Interval(0.0, 1.0, periodic=True)}),
        (flow, [LEFT], {}),
        (leaving, [], {}),
        (pair, [BOTH], {"fields": ("u", "v")}),
        (bowl, [Dirichlet(0.0, on="x+")], {}),
        (plane, [BOTH], {"domain": DISC}),
    ],
)
def test_what_is_enough_is_not_told(law, conditions, more):
    assert found(law, *conditions, **more) is None


def test_the_battery_has_its_ends():
    problem = particle_problem()
    with precision(np.float64):
        form = hard_form(problem)
    assert lacking(problem, Windows(form, [], problem.span()[1]), {}) is None


def test_a_solve_says_it():
    """Two solves of it may agree, as they are made in the same way."""
    problem = Problem(heat, LINE, (0.0, 1.0), [START])
    small = {"features": 20, "nodes": 20, "times": 4, "windows": 1}
    with pytest.warns(PendulaWarning, match="this is one of them"):
        report = solve(problem, tol=1.0, check=False, **small).report
    assert "given: 0" in report.lacking


TURNS = Interval(0.0, 1.0, periodic=True)


def bend(u, x, p):
    return u.xx + p.k * u() - p.a - jnp.sin(2.0 * jnp.pi * x)


@pytest.mark.parametrize(
    ("k", "a", "conditions", "domain", "words", "solved"),
    [
        (0.0, 0.0, [], TURNS, "this is one of them", True),
        (0.0, 1.0, [], TURNS, "nothing solves it", False),
        (0.0, 1.0, [Neumann()], LINE, "nothing solves it", False),
        (0.0, 1.0, [Neumann(), Integral(0.0)], LINE, None, False),
        (0.0, 0.0, [Neumann(), Integral(0.0)], LINE, None, True),
        (jnp.pi**2, 0.0, [Dirichlet()], LINE, "this is one of them", True),
        (jnp.pi**2, 1.0, [Dirichlet()], LINE, "nothing solves it", False),
        (1.001 * jnp.pi**2, 1.0, [Dirichlet()], LINE, None, True),
        (0.0, 1.0, [Robin(1.0, -1.0, on="x+"), Dirichlet(on="x-")], LINE, "no", False),
    ],
)
def test_functions_that_nothing_changes_are_told(
    k, a, conditions, domain, words, solved
):
    """The residual of such a problem is small whether it has many solutions or none:
    what is added of the functions that it leaves open is as large as it has to be."""
    params = {"k": float(k), "a": a}
    problem = Problem(bend, domain, conditions=conditions, params=params)
    small = {"features": 80, "nodes": 120, "slopes": (4.0,), "check": False}
    if domain is TURNS:
        small["slopes"] = (0.5,)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        report = solve(problem, **small).report
    assert report.converged is solved
    assert (words is None) == (report.lacking is None) == (not told)
    if words:
        assert words in report.lacking
        assert report.lacking in str(told[0].message)


def test_what_is_not_linear_is_not_called_unsolvable():
    problem = Problem(lambda u, x, p: u.xx + u() * u.x, TURNS)  # any number solves it
    with pytest.warns(PendulaWarning, match="this is one of them"):
        found = solve(problem, features=80, nodes=120, slopes=(0.5,), check=False)
    assert found.report.converged
