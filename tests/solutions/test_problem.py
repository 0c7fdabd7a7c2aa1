"""Problems: what belongs to them, and every bad input refused before compiling."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
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
from pendula.solutions._polygon import Polygon
from pendula.solutions._problem import Problem, check_problem
from pendula.solutions._shapes import Disc
from pendula.solutions._unknown import Unknown


LINE, RING = Interval(0, 1), Interval(0, 2 * math.pi, periodic=True)
PLANE = Box(Interval(0, 1), Interval(0, 1, name="y"))
SQUARE = Polygon([(0, 0), (1, 0), (1, 1), (0, 1)])


def heat(u, x, t, p):
    return u.t - 0.1 * u.xx


def wave(u, x, t, p):
    return u.tt - u.xx


def steady(u, x, y, p):
    return u.xx + u.yy


def problem(residual=heat, domain=LINE, time=(0.0, 1.0), conditions=None, **more):
    own = [Initial(0.0)] if conditions is None else conditions
    return Problem(residual, domain, time, own, **more)


def test_what_belongs_to_a_problem():
    one = problem(params={"k": 2.0, "a": Unknown("a", init=3.0)})
    assert one.coords == ("x", "t")
    assert sorted(one.law.names()) == ["u_t", "u_xx"]
    assert (one.time_order(0), one.span()) == (1, (0.0, 1.0))
    assert list(one.unknowns) == ["a"]
    assert {k: float(v) for k, v in one.values({"a": 5.0}).items()} == {"k": 2, "a": 5}
    again = one.replace(params={"k": 7.0}, name="other")
    assert (again.params["k"], again.name, one.params["k"]) == (7.0, "other", 2.0)
    still = Problem(steady, PLANE)
    assert (still.coords, still.span(), still.time_order(0)) == (("x", "y"), (0, 0), 0)
    ode = Problem(lambda u, t, p: u.t + u(), time=(0.0, 2.0), conditions=[Initial(1.0)])
    assert ode.coords == ("t",)


def test_starts_by_field_and_in_a_sequence():
    two = lambda u, t, p: (u["a"].t - u["b"](), u["b"].t + u["a"]())
    make = lambda *c: Problem(
        two, time=(0.0, 1.0), conditions=c, fields=("a", "b")
    ).initials()
    by_name = make(Initial(2.0, field="b"), Initial(1.0))
    in_one = make(Initial([1.0, 2.0]))
    for found in (by_name, in_one):
        assert {k: v.value for k, v in found.items()} == {0: 1.0, 1: 2.0}


def test_points_inside():
    box = Problem(lambda u, x, y, t, p: u.t, PLANE, (1.0, 2.0), [Initial(0.0)])
    points = np.asarray([[0.5, 0.5, 1.5], [0.5, 2.0, 1.5], [0.5, 0.5, 0.9]])
    assert box.contains(points).tolist() == [True, False, False]


def test_where_values_are_built_in():
    def held(domain, *conditions):
        one = Problem(steady, domain, conditions=conditions)
        return [one.held(c) for c in conditions]

    assert held(PLANE, Dirichlet(0.0)) == [("x-", "x+", "y-", "y+")]
    left, far = Dirichlet(0.0, on="x-"), Dirichlet(1.0, on="x+")
    top = lambda value: Dirichlet(value, on="y+")
    assert held(PLANE, left, top(lambda x, y: x * y)) == [("x-",), ("y+",)]
    assert held(PLANE, left, far) == [("x-",), ("x+",)]  # they do not meet
    # a lift of values that differ where sides meet misses one of them all along
    assert held(PLANE, left, top(1.0)) == [(), ()]
    turned = lambda x, y: jnp.cos(3.0 * jnp.arctan2(y, x))
    assert held(Disc((0, 0), 1.0), Dirichlet(turned)) == [()]  # rough in the middle
    assert held(PLANE, Dirichlet(0.0, hard=False)) == [()]
    assert held(Disc((0, 0), 1.0), Dirichlet(0.0)) == [("rim",)]
    assert held(SQUARE, Dirichlet(0.0, on=("edge0", "edge2"))) == [("edge0", "edge2")]
    # different values on edges that meet: their blend has no second derivative there
    one, two = Dirichlet(0.0, on="edge0"), Dirichlet(1.0, on="edge1")
    assert held(SQUARE, one, two) == [(), ()]
    asked = Dirichlet(1.0, on="edge1", hard=True)
    assert held(SQUARE, asked) == [("edge1",)]
    corner = Polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    assert held(corner, Dirichlet(0.0)) == [("edge0", "edge1", "edge4", "edge5")]


POINT = np.asarray([[0.5, 0.5]])
BAD = {
    "hard values that differ where sides meet": (
        lambda: Problem(
            steady,
            PLANE,
            conditions=[
                Dirichlet(0.0, on="x-", hard=True),
                Dirichlet(1.0, on="y+", hard=True),
            ],
        ),
        r"hard=True.* differs by 1 ",
    ),
    "shape of a start": (
        lambda: problem(conditions=[Initial(lambda x: jnp.stack([x, x]))]),
        "Initial gives an array of shape",
    ),
    "a start of other arguments": (
        lambda: problem(conditions=[Initial(lambda x, t: x)]),
        r"Initial cannot be evaluated.*an array each, 1 in all",
    ),
    "a branch in a boundary value": (
        lambda: problem(
            conditions=[Initial(0.0), Dirichlet(lambda x, t: 0.0 if t < 1 else t)]
        ),
        r"Dirichlet cannot be evaluated.*jnp\.where",
    ),
    "a start without a return": (
        lambda: problem(conditions=[Initial(lambda x: None)]),
        "Initial cannot be evaluated: None",
    ),
    "starts of too few fields": (
        lambda: problem(conditions=[Initial([0.0, 1.0])]),
        "2 values for 1 fields",
    ),
    "no field in the residual": (
        lambda: Problem(lambda u, x, y, p: x + y, PLANE),
        "residual does not depend on u",
    ),
    "NumPy in the residual": (
        lambda: problem(lambda u, x, t, p: u.t - np.sin(u())),
        "residual is not plain JAX.*jax.numpy",
    ),
    "a branch in the residual": (
        lambda: problem(lambda u, x, t, p: u.t - (u() if u() > 1.0 else 0.0)),
        r"residual is not plain JAX.*jnp\.where",
    ),
    "a residual without a return": (
        lambda: problem(lambda u, x, t, p: None),
        "residual gives None.*return",
    ),
    "a residual of other arguments": (
        lambda: problem(lambda u, x: u.t),
        r"residual is called with 4 arguments \(u, x, t, p\)",
    ),
    "a field that is not there": (
        lambda: problem(conditions=[Initial(0.0, field="v")]),
        'no field "v"',
    ),
    "NaN in a start": (
        lambda: problem(conditions=[Initial(lambda x: jnp.sqrt(x - 0.5))]),
        "Initial is nan",
    ),
    "infinity in a coefficient": (
        lambda: problem(params={"nu": math.inf}),
        "params has nu = inf",
    ),
    "NaN in a coefficient": (
        lambda: problem(params={"nu": np.asarray([1.0, math.nan])}),
        "params has nu",
    ),
    "NaN in a boundary value": (
        lambda: problem(
            conditions=[Initial(0.0), Dirichlet(lambda x, t: jnp.log(t - 0.9))]
        ),
        "Dirichlet is nan",
    ),
    "NaN in an observation": (
        lambda: problem(conditions=[Initial(0.0), Observation(POINT, [math.nan])]),
        "Observation: points or values hold NaN",
    ),
    "time that runs backwards": (lambda: problem(time=(1.0, 0.0)), "time is"),
    "time of no length": (lambda: problem(time=(1.0, 1.0)), "time is"),
    "a start that nothing follows": (
        lambda: problem(lambda u, x, t, p: u.xx - t),
        "order=0.*has order 0 in time",
    ),
    "a hard rate with a soft start": (
        lambda: problem(
            wave, conditions=[Initial(0.0, hard=False), Initial(0.0, None, 1, True)]
        ),
        "whose start is no hard condition",
    ),
    "time without an end": (lambda: problem(time=(0.0, math.inf)), "time is"),
    "NaN in time": (lambda: problem(time=(0.0, math.nan)), "time is"),
    "neither domain nor time": (
        lambda: Problem(lambda u, p: u()),
        "neither domain nor time",
    ),
    "value on a periodic axis": (
        lambda: problem(domain=RING, conditions=[Initial(0.0), Dirichlet(0, on="x-")]),
        '"x-": that coordinate is periodic',
    ),
    "value on a circle, which has no ends": (
        lambda: problem(domain=RING, conditions=[Initial(0.0), Dirichlet(0.0)]),
        "Dirichlet belongs to a boundary.*a periodic coordinate has no ends",
    ),
    "slope on no side": (
        lambda: problem(conditions=[Initial(0.0), Neumann(0.0, on=())]),
        "Neumann belongs to a boundary.*on no side",
    ),
    "slope on a periodic axis": (
        lambda: problem(domain=RING, conditions=[Initial(0.0), Neumann(0, on="x+")]),
        "periodic",
    ),
    "periodic twice": (
        lambda: problem(domain=RING, conditions=[Initial(0.0), Periodic("x")]),
        "says already",
    ),
    "periodic in time": (
        lambda: problem(conditions=[Initial(0.0), Periodic("t")]),
        'no coordinate "t" in space',
    ),
    "periodic disc": (
        lambda: Problem(steady, Disc((0, 0), 1.0), conditions=[Periodic("x")]),
        "has no two ends",
    ),
    "two hard conditions": (
        lambda: problem(
            conditions=[Initial(0.0), Dirichlet(0.0), Dirichlet(1.0, on="x-")]
        ),
        'two hard conditions on "x-"',
    ),
    "two hard starts": (
        lambda: problem(conditions=[Initial(0.0), Initial(1.0)]),
        "two hard conditions on the start",
    ),
    "a slope that is hard": (
        lambda: problem(conditions=[Initial(0.0), Neumann(0.0, on="x-", hard=True)]),
        "Neumann: hard=True",
    ),
    "an order above 4": (
        lambda: Problem(lambda u, x, y, p: u.xxxxy, PLANE),
        "order 5; at most 4",
    ),
    "an unknown coordinate": (
        lambda: Problem(lambda u, x, y, p: u.z, PLANE),
        '"z" is no coordinate',
    ),
    "an unknown parameter": (
        lambda: problem(residual=lambda u, x, t, p: u.t + p.nu),
        '"p.nu", which is not in params',
    ),
    "no start": (lambda: problem(conditions=[]), 'needs a start of "u"'),
    "no rate": (lambda: problem(residual=wave), "rate of change"),
    "a rate too many": (
        lambda: problem(conditions=[Initial(0.0), Initial(0.0, order=1)]),
        "has order 1 in time",
    ),
    "third order in time": (
        lambda: problem(residual=lambda u, x, t, p: u.ttt - u.x),
        "order 3 in time",
    ),
    "a start without time": (
        lambda: Problem(steady, PLANE, conditions=[Initial(0.0)]),
        "Initial: there is no time",
    ),
    "an observation outside": (
        lambda: problem(conditions=[Initial(0.0), Observation([[1.5, 0.5]], [0.0])]),
        "lies outside the domain",
    ),
    "an observation too late": (
        lambda: problem(conditions=[Initial(0.0), Observation([[0.5, 1.5]], [0.0])]),
        "lies outside the domain",
    ),
    "an observation of other coordinates": (
        lambda: problem(conditions=[Initial(0.0), Observation([[0.5]], [0.0])]),
        "1 columns; expected 2",
    ),
    "a negative uncertainty": (
        lambda: problem(conditions=[Initial(0.0), Observation(POINT, [0.0], -1.0)]),
        "sigma is -1",
    ),
    "an unknown side": (
        lambda: problem(conditions=[Initial(0.0), Dirichlet(0.0, on="x")]),
        'no side "x"',
    ),
    "a boundary without a domain": (
        lambda: Problem(
            lambda u, t, p: u.t, None, (0, 1), [Initial(0.0), Robin(on="x-")]
        ),
        "there is no domain",
    ),
    "an integral without a domain": (
        lambda: Problem(
            lambda u, t, p: u.t, None, (0, 1), [Initial(0.0), Integral(1.0)]
        ),
        "no domain to integrate over",
    ),
    "a weight below 0": (
        lambda: problem(conditions=[Initial(0.0, weight=-1.0)]),
        "Initial: weight is -1",
    ),
    "a NaN weight": (
        lambda: problem(conditions=[Initial(0.0), Neumann(weight=math.nan)]),
        "Neumann: weight is nan",
    ),
    "a name that stands twice": (
        lambda: problem(fields=("u", "u")),
        "each needs a name",
    ),
    "a guess that is not finite": (lambda: Unknown("k", init=math.nan), "init is nan"),
    "a guess that is not positive": (
        lambda: Unknown("k", init=-1.0, positive=True),
        "above 0",
    ),
    "a scale of 0": (lambda: Unknown("k", scale=0.0), "scale is 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(what):
    build, words = BAD[what]
    with pytest.raises((ConfigError, DataError, ShapeError), match=words):
        build()


def test_a_name_is_no_problem():
    check_problem("solve", problem())
    with pytest.raises(ConfigError, match=r'solve: .*"?convection.*named_problem\('):
        check_problem("solve", "convection")


def test_an_observation_may_stand_for_a_start():
    one = problem(conditions=[Observation(POINT, [1.0])])
    assert one.initials() == {}


def test_an_unknown_coefficient_may_begin_at_none():
    one = problem(
        lambda u, x, t, p: u.t - p.k * u.xx, params={"k": Unknown("k", init=0.0)}
    )
    assert sorted(one.law.names()) == ["u_t", "u_xx"]


def test_unknown_numbers():
    one = Unknown("k", init=2.0, positive=True, scale=0.5)
    for value in (0.1, 2.0, 30.0):
        np.testing.assert_allclose(one.value(one.raw(value)), value, rtol=1e-6)
    assert float(one.value(-100.0)) > 0.0
    shifted = Unknown("k", init=2.0, scale=10.0)
    assert float(shifted.value(0.0)) == 2.0
    np.testing.assert_allclose(shifted.value(shifted.raw(-5.0)), -5.0, rtol=1e-6)
