"""Subdomains that meet: exact solutions with jumps, all terms, in time, bad input."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from pendula._errors import ConfigError, DataError, PendulaWarning, ShapeError
from pendula.solutions._conditions import Dirichlet, Initial, Neumann
from pendula.solutions._difference import Difference
from pendula.solutions._domain import Box, Interval
from pendula.solutions._frozen_config import FrozenConfig
from pendula.solutions._interface import TERMS, Interface
from pendula.solutions._problem import Problem
from pendula.solutions._shapes import Disc
from pendula.solutions._subdomains import solve_subdomains
from pendula.solutions._term_bandit import select_terms
from pendula.solutions._unknown import Unknown


SMALL = FrozenConfig(features=60, nodes=60, slopes=(4.0,))


def conduction(u, x, p):
    return p.k * u.xx


def flux(u, x, p):
    return (p.k * u.x,)


def pair(**more):
    left = Problem(
        conduction,
        Interval(0, 1),
        conditions=[Dirichlet(0.0, on="x-")],
        params={"k": 1.0},
    )
    right = left.replace(domain=Interval(1, 2), conditions=[Dirichlet(1.0, on="x+")])
    return {"left": left, "right": right, **more}


def rod(**more):
    """Two rods of conductivity 1 and 3: u is 3 x / 4, and (x + 2) / 4 on the right."""
    pieces = pair()
    pieces["right"] = pieces["right"].replace(params={"k": 3.0})
    meet = Interface("left", "right", on="x+", **{"flux": flux, **more})
    return solve_subdomains(pieces, [meet], SMALL)


def error(found, name, exact, count=100):
    """Relative, over the subdomain (and over time)."""
    problem = found[name].problem
    points = problem.domain.quadrature(count)[0]
    if problem.time is not None:
        t = np.linspace(*problem.time, 5)
        points = np.c_[np.repeat(points, 5, axis=0), np.tile(t, len(points))]
    want = exact(*points.T)
    return np.linalg.norm(found[name](*points.T) - want) / np.linalg.norm(want)


@pytest.mark.parametrize(
    "terms",
    [
        ("value", "flux"),
        pytest.param(("average", "flux"), marks=pytest.mark.slow),
        TERMS,
    ],
)
def test_conductivity_jumps_between_two_rods(terms):
    found = rod(terms=terms)
    # measured 1e-14 to 1e-12
    assert error(found, "left", lambda x: 0.75 * x) < 1e-9
    assert error(found, "right", lambda x: 0.25 * (x + 2.0)) < 1e-9
    report = found["left"].report
    assert report.converged
    assert {f"{t} left|right x+" for t in ("value", "flux")} <= set(report.check)
    assert max(report.check.values()) < 1e-8


def test_values_alone_do_not_fix_the_flux():
    """And the report says so: the flux between the points is not met."""
    found = rod(terms=("value",))
    report = found["left"].report
    assert abs(found["left"](1.0) - found["right"](1.0)) < 1e-9
    assert report.check["flux left|right x+"] > 1e-3
    assert not report.converged


def test_values_and_fluxes_that_jump():
    """u_b = u_a + 0.4 and a source of strength 1.2 where the rods meet."""
    found = rod(value_jump=0.4, flux_jump=lambda x: 1.2 * x)
    # a x and 1 + b (x - 2): a + 0.4 = 1 - b, 3 b - a = 1.2
    slope = np.linalg.solve([[1.0, 1.0], [-1.0, 3.0]], [0.6, 1.2])
    assert error(found, "left", lambda x: slope[0] * x) < 1e-9
    assert error(found, "right", lambda x: 1.0 + slope[1] * (x - 2.0)) < 1e-9


def test_a_nonlinear_equation_in_two_parts():
    """Steady viscous Burgers: u = -tanh(x / (2 nu)), by Gauss-Newton."""
    exact = lambda x: -np.tanh(x / 0.4)
    steady = lambda u, x, p: u() * u.x - 0.2 * u.xx
    make = lambda lo, hi, side, end: Problem(
        steady, Interval(lo, hi), conditions=[Dirichlet(float(exact(end)), on=side)]
    )
    pieces = {"a": make(-1.0, 0.1, "x-", -1.0), "b": make(0.1, 1.0, "x+", 1.0)}
    found = solve_subdomains(pieces, [Interface("a", "b", on="x+")], SMALL)
    assert max(error(found, name, exact) for name in pieces) < 1e-7  # measured 1e-10
    assert found["a"].report.iterations > 2


@pytest.mark.slow
def test_two_boxes_with_another_conductivity():
    """k (u_xx + u_yy) = f with u = k_other x sin(pi y) on the left."""
    k = {"a": 1.0, "b": 10.0}
    along = {"a": lambda x: 10.0 * x, "b": lambda x: x + 9.0}

    def piece(name, lo, on, value):
        source = lambda u, x, y, p: (
            p.k * (u.xx + u.yy + np.pi**2 * along[name](x) * jnp.sin(np.pi * y))
        )
        sides = [Dirichlet(0.0, on=("y-", "y+")), Dirichlet(value, on=on)]
        box = Box(Interval(lo, lo + 1), Interval(0, 1, name="y"))
        return Problem(source, box, conditions=sides, params={"k": k[name]})

    pieces = {
        "a": piece("a", 0, "x-", 0.0),
        "b": piece("b", 1, "x+", lambda x, y: 11.0 * jnp.sin(np.pi * y)),
    }
    meet = Interface("a", "b", on="x+", flux=lambda u, x, y, p: (p.k * u.x, p.k * u.y))
    config = FrozenConfig(features=150, nodes=400, slopes=(2.0,))
    found = solve_subdomains(pieces, [meet], config)
    for name in pieces:
        want = lambda x, y, name=name: along[name](x) * np.sin(np.pi * y)
        assert error(found, name, want) < 1e-4, name


@pytest.mark.slow
def test_an_inclusion_in_a_plate():
    """A disc of conductivity 3 in a uniform field: Maxwell's solution."""
    inside, outside, r = 3.0, 1.0, 0.6
    disc = Disc((0, 0), r)
    plate = Difference(Box(Interval(-1, 1), Interval(-1, 1, name="y")), disc)
    laplace = lambda u, x, y, p: p.k * (u.xx + u.yy)
    bent = (outside - inside) / (inside + outside) * r * r
    far = lambda x, y: x + bent * x / (x * x + y * y)
    pieces = {
        "disc": Problem(laplace, disc, params={"k": inside}),
        "plate": Problem(
            laplace,
            plate,
            conditions=[Dirichlet(far, on=("x-", "x+", "y-", "y+"), hard=False)],
            params={"k": outside},
        ),
    }
    meet = Interface(
        "disc", "plate", on="rim", flux=lambda u, x, y, p: (p.k * u.x, p.k * u.y)
    )
    config = FrozenConfig(features=200, nodes=600, slopes=(2.0,))
    found = solve_subdomains(pieces, [meet], config)
    slope = 2.0 * outside / (inside + outside)
    assert error(found, "disc", lambda x, y: slope * x) < 5e-3
    assert error(found, "plate", far) < 5e-3


@functools.cache
def mode():
    """The slowest mode of heat in two layers of diffusivity 1 and 4."""
    gap = lambda m: np.cos(m) * np.sin(m / 2) + 2.0 * np.sin(m) * np.cos(m / 2)
    m = brentq(gap, 1.5, 3.0)
    size = np.sin(m) / np.sin(m / 2)
    decay = lambda t: np.exp(-m * m * t)
    first = lambda x, t: np.sin(m * x) * decay(t)
    second = lambda x, t: size * np.sin(m / 2 * (2.0 - x)) * decay(t)
    return m, size, first, second


@pytest.mark.slow
def test_layers_in_time():
    m, size, first, second = mode()
    heat = lambda u, x, t, p: u.t - p.k * u.xx
    make = lambda lo, side, start, k: Problem(
        heat,
        Interval(lo, lo + 1),
        (0.0, 0.3),
        [Initial(start), Dirichlet(0.0, on=side)],
        {"k": k},
    )
    pieces = {
        "a": make(0, "x-", lambda x: jnp.sin(m * x), 1.0),
        "b": make(1, "x+", lambda x: size * jnp.sin(m / 2 * (2.0 - x)), 4.0),
    }
    meet = Interface("a", "b", on="x+", flux=lambda u, x, t, p: (p.k * u.x,))
    config = FrozenConfig(features=80, nodes=24, times=8, slopes=(2.0,), windows=3)
    found = solve_subdomains(pieces, [meet], config)
    assert len(found["a"].report.windows) == 4
    assert error(found, "a", first) < 1e-5
    assert error(found, "b", second) < 1e-5


def test_points_and_normals_instead_of_a_side():
    left = Problem(
        conduction,
        Interval(0, 1),
        conditions=[Dirichlet(0.0, on="x-")],
        params={"k": 1.0},
    )
    right = left.replace(
        domain=Interval(1, 2), conditions=[Dirichlet(1.0, on="x+")], params={"k": 3.0}
    )
    meet = Interface("l", "r", points=[[1.0]], normals=[[2.0]], flux=flux)
    found = solve_subdomains({"l": left, "r": right}, [meet], SMALL)
    assert error(found, "l", lambda x: 0.75 * x) < 1e-9


@pytest.mark.slow
def test_terms_are_selected_by_what_they_bring():
    """Only sets that hold the flux, and the value or its average, solve the rods."""

    def reward(terms, context):
        check = rod(terms=terms)["left"].report.check.values()
        return -float(np.log10(max(check)))

    found = select_terms(reward, ("value", "flux", "average"), rounds=5)
    assert "flux" in found.terms
    assert {"value", "average"} & set(found.terms)
    assert max(r for _, r in found.tried) > 8.0


MEET = Interface("left", "right", on="x+")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Interface("a", "a", on="x+"), "cannot meet itself"),
        (lambda: Interface("a", "b", on="x+", terms=("flow",)), 'unknown term "flow"'),
        (lambda: Interface("a", "b", on="x+", terms=()), "at least one"),
        (lambda: Interface("a", "b", on="x+", weight=0.0), "weight is 0"),
        (lambda: Interface("a", "b"), "give either on="),
        (lambda: Interface("a", "b", points=[[1.0]]), "normals are missing"),
        (lambda: Interface("a", "b", points=[[1.0]], normals=[[0.0]]), "length 0"),
        (lambda: Interface("a", "b", points=[[1.0]], normals=[[1.0, 2]]), "same"),
        (lambda: solve_subdomains({}, []), "give subdomains"),
        (
            lambda: solve_subdomains(pair(), [Interface("left", "rihgt", on="x+")]),
            'Did you mean "right"',
        ),
        (
            lambda: solve_subdomains(pair(), [Interface("left", "right", on="x-")]),
            "Dirichlet condition there",
        ),
        (
            lambda: solve_subdomains(pair(), [Interface("right", "left", on="x+")]),
            "Dirichlet condition there",
        ),
        (lambda: solve_subdomains(pair(), [MEET, MEET]), "two interfaces are"),
        (
            lambda: solve_subdomains(
                pair(right=pair()["left"].replace(domain=Interval(1.5, 2))), [MEET]
            ),
            "no point of it is shared",
        ),
        (
            lambda: solve_subdomains(
                pair(right=pair()["left"].replace(params={"k": Unknown("k")})), [MEET]
            ),
            "unknown parameters",
        ),
        (
            lambda: solve_subdomains(
                pair(
                    right=Problem(
                        lambda u, x, t, p: u.t - u.xx,
                        Interval(1, 2),
                        (0.0, 1.0),
                        [Initial(0.0)],
                    )
                ),
                [MEET],
            ),
            "All have to agree",
        ),
        (
            lambda: solve_subdomains(
                pair(), [Interface("left", "right", on="x+", flux=lambda u, x, p: ())]
            ),
            "flux gives 0 components",
        ),
    ],
)
def test_bad_input(call, words):
    with pytest.raises((ConfigError, DataError, ShapeError), match=words):
        call()


def test_a_gradient_of_too_high_an_order_is_refused():
    beam = lambda u, x, p: u.xxxx - 1.0
    pieces = {
        "left": Problem(beam, Interval(0, 1), conditions=[Dirichlet(0.0, on="x-")]),
        "right": Problem(beam, Interval(1, 2), conditions=[Dirichlet(0.0, on="x+")]),
    }
    meet = Interface("left", "right", on="x+", terms=("residual_gradient",))
    with pytest.raises(ConfigError, match="order 5"):
        solve_subdomains(pieces, [meet], SMALL)


@pytest.mark.parametrize(
    ("left", "right", "words", "converged"),
    [
        ([], [Dirichlet(1.0, on="x+")], "asks for 2 conditions", True),
        ([Neumann(0.0, on="x-")], [Neumann(1.0, on="x+")], "nothing solves it", False),
    ],
)
def test_what_all_together_leave_open_is_said(left, right, words, converged):
    line = lambda u, x, p: u.xx
    pieces = {
        "left": Problem(line, Interval(0.0, 1.0), conditions=left),
        "right": Problem(line, Interval(1.0, 2.0), conditions=right),
    }
    with pytest.warns(PendulaWarning, match="functions"):
        found = solve_subdomains(pieces, [Interface("left", "right", on="x+")], SMALL)
    assert words in found["left"].report.lacking
    assert found["right"].report.lacking
    assert found["right"].report.converged == converged
