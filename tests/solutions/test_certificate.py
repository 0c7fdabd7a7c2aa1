"""Bounds on the error: always above it, and refused where there is none.

Solutions are made by hand, a truth and a perturbation, so that the error is known
without a solver; the slow tests certify solved ones."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings, strategies as st

from by_hand import CIRCLE, TAU, by_hand
from pendula._precision import precision
from pendula.solutions import (
    Box,
    Difference,
    Dirichlet,
    Disc,
    Initial,
    Interval,
    Neumann,
    Problem,
    Unknown,
    named_problem,
    solve,
)
from pendula.solutions._certificate import certificate, certify
from pendula.solutions._form import hard_form
from pendula.solutions._growth_rates import _largest_mode, rate
from pendula.solutions._samples import samples
from pendula.solutions._semilinear import Semilinear, semilinear
from pendula.systems import pde_truth


def errors(solution, truth, times):
    """RMS of the error over that of the solution, at times."""
    domain = solution.problem.domain
    out = []
    for t in times:
        if domain is None:
            found = solution(t)
            v = np.stack([np.ravel(found[f]) for f in solution.problem.fields])
            with precision(np.float64):
                u = np.asarray(truth(t)).reshape(v.shape)
        else:
            # what is lost of a kink is large at a few points only, which must not
            # count for more than they are
            x, weights = domain.quadrature(8192 if domain.periodic[0] else 401)
            x, root = x[:, 0], np.sqrt(weights)
            v = root * solution(x, t)
            with precision(np.float64):
                u = root * np.asarray(truth(x, t))
        out.append(np.linalg.norm(u - v) / np.linalg.norm(v))
    return np.asarray(out)


def holds(solution, truth, factor=np.inf, **options):
    """The bound lies above the error at all its times, by no more than a factor at
    the end."""
    found, why = certify(solution, **options)
    assert found is not None, why
    true = errors(solution, truth, found["times"])
    bound = np.asarray(found["bound"])
    assert np.all(bound >= 0.999 * true - 1e-14)
    if math.isfinite(factor):
        assert bound[-1] <= factor * true[-1]
    return found


def forced(terms, truth, **more):
    """An equation with the source that makes a formula its solution."""

    def residual(u, x, t, p):
        wave = lambda a, b: truth(a, b)
        at = {
            "u": wave(x, t),
            "t": jax.grad(wave, 1)(x, t),
            "x": jax.grad(wave)(x, t),
            "xx": jax.grad(jax.grad(wave))(x, t),
            "xxxx": jax.grad(jax.grad(jax.grad(jax.grad(wave))))(x, t),
        }
        return terms(u(), u.t, u.x, u.xx, u.xxxx, x) - terms(
            at["u"], at["t"], at["x"], at["xx"], at["xxxx"], x
        )

    settings = {"domain": CIRCLE, "time": (0.0, 1.0), **more}
    start = lambda x: truth(x, jnp.asarray(settings["time"][0]))
    conditions = [Initial(start), *settings.pop("conditions", [])]
    return Problem(residual, conditions=conditions, **settings)


WAVE = lambda x, t: 0.6 * jnp.sin(x - t) + 0.2 * jnp.cos(2.0 * x)
PERTURBED = lambda x, t, n: [
    WAVE(x, t) + n[0] * t * jnp.sin(x) + n[1] * jnp.cos(2.0 * x) * jnp.exp(n[2] * t)
]
numbers = st.tuples(
    st.floats(-1e-2, 1e-2), st.floats(-1e-2, 1e-2), st.floats(-2.0, 2.0)
)

# name -> terms, kind, mu_max as a function of the numbers (None: of v as well)
EQUATIONS = {
    "constant speed": (lambda u, t, x, xx, x4, at: t + 3.0 * x, "advection", 0.0),
    "speed of x": (
        lambda u, t, x, xx, x4, at: 2.0 * (t + (1.0 + 0.5 * jnp.sin(at)) * x),
        "advection",
        0.25,
    ),
    "conservative": (
        lambda u, t, x, xx, x4, at: (
            t + (1.0 + 0.5 * jnp.sin(at)) * x + 0.5 * jnp.cos(at) * u
        ),
        "advection, reaction",
        0.25,
    ),
    "diffusion, decay": (
        lambda u, t, x, xx, x4, at: t - 0.3 * xx + 2.0 * u,
        "diffusion, reaction",
        -2.0,
    ),
    "growing modes": (
        lambda u, t, x, xx, x4, at: t + 5.0 * xx + x4,
        "diffusion, terms of higher order",
        4.0,  # k^2 (5 - k^2) of whole numbers k; between them it is more
    ),
    "cubic": (
        lambda u, t, x, xx, x4, at: t - 1e-2 * xx - 5.0 * u + 5.0 * u**3,
        "diffusion, reaction",
        None,
    ),
    "steepening": (
        lambda u, t, x, xx, x4, at: t + u * x - 0.1 * xx,
        "steepening advection, diffusion",
        None,
    ),
}


@pytest.mark.slow  # hypothesis over seven equations
@pytest.mark.parametrize("name", EQUATIONS)
def test_bound_lies_above_the_error(name):
    terms, kind, mu = EQUATIONS[name]
    problem = forced(terms, WAVE)

    def check(n):
        found = holds(by_hand(problem, PERTURBED, n), WAVE)
        assert found["kind"] == kind
        if mu is not None:
            assert found["mu_max"] == pytest.approx(mu, abs=1e-3)
        assert found["informative"] == (found["overall"] < 1.0)

    settings(max_examples=3, deadline=None, database=None)(given(numbers)(check))()


@pytest.mark.slow
def test_rates_of_the_two_nonlinear_ones():
    """5 max (1 - 3 v^2 / 4), and half of the steepest slope downwards."""
    v = lambda x, t: PERTURBED(x, t, (0.01, 0.0, 0.0))[0]
    x, t = np.meshgrid(np.linspace(0, TAU, 500), np.linspace(0, 1, 100))
    values = np.asarray(v(x, t))
    slope = np.gradient(values, x[0], axis=1)
    expected = {
        "cubic": 5.0 * (1.0 - 0.75 * (values**2).min()),
        "steepening": 0.5 * (-slope).max(),
    }
    for name, mu in expected.items():
        problem = forced(EQUATIONS[name][0], WAVE)
        found, _ = certify(by_hand(problem, PERTURBED, (0.01, 0.0, 0.0)))
        assert found["mu_max"] == pytest.approx(mu, rel=2e-2)


LOGISTIC = lambda x, t, rho: (
    1.0 / (1.0 + (1.0 / (0.1 + 0.8 * jnp.sin(x / 2.0) ** 2) - 1.0) * jnp.exp(-rho * t))
)


def logistic(rho, **more):
    settings = {"domain": Interval(0.0, TAU), "time": (0.0, 1.0), **more}
    return Problem(
        lambda u, x, t, p: u.t - p.rho * u() * (1.0 - u()),
        conditions=[Initial(lambda x: LOGISTIC(x, 0.0, rho))],
        params={"rho": rho},
        **settings,
    )


def test_logistic_growth_needs_the_range_of_the_solution():
    """rho max (1 - v) where nothing is negative, from the start alone."""
    rho = 3.0
    v = lambda x, t, n: [LOGISTIC(x, t, rho) + n[0] * t * jnp.cos(x)]
    solution = by_hand(logistic(rho), v, (1e-4,))
    found = holds(solution, lambda x, t: LOGISTIC(x, t, rho), 1e3)
    # the start is above 0.1: u + v - 1 is at least 0.2 - 1
    assert 0.7 * rho < found["mu_max"] < 0.9 * rho
    negative = logistic(rho).replace(conditions=[Initial(lambda x: -0.1 - 0.0 * x)])
    assert certificate(by_hand(negative, v)) is None
    assert "range" in certify(by_hand(negative, v))[1]


def test_given_rates_take_the_place_of_recognised_ones():
    problem = forced(EQUATIONS["constant speed"][0], WAVE)
    solution = by_hand(problem, PERTURBED, (1e-2, 0.0, 0.0))
    own = holds(solution, WAVE)
    size = lambda s: math.sqrt(1.0 + 9.0 * s * s)  # of r
    grown = scipy.integrate.quad(lambda s: math.exp(1.0 - s) * size(s), 0.0, 1.0)[0]
    expected = grown / scipy.integrate.quad(size, 0.0, 1.0)[0]
    for mu in (1.0, lambda t: 1.0):
        found = holds(solution, WAVE, mu=mu)
        assert found["kind"] == "given rate"
        ratio = found["bound"][-1] / own["bound"][-1]
        assert ratio == pytest.approx(expected, rel=1e-2)


def test_what_stays_zero_has_a_bound():
    problem = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 2.0), conditions=[Initial(0.0)]
    )
    for off, overall in ((0.0, 0.0), (1e-9, 1.0)):
        found, _ = certify(by_hand(problem, lambda t, n: [n[0] * t], (off,)))
        assert math.isfinite(found["overall"])
        assert found["overall"] >= overall


def test_the_bound_of_a_constant_residual_is_exact():
    """u' = -u + c, v off by d at the start: e = (c + ..) known in closed form."""
    problem = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 2.0), conditions=[Initial(1.0)]
    )
    v = lambda t, n: [jnp.exp(-t) + n[0] * (2.0 - jnp.exp(-t))]
    found, _ = certify(by_hand(problem, v, (0.1,)))
    t = np.asarray(found["times"])
    size = np.exp(-t) + 0.1 * (2.0 - np.exp(-t))
    assert found["mu_max"] == -1.0
    np.testing.assert_allclose(
        np.asarray(found["bound"]) * size, 0.1 * (2.0 - np.exp(-t)), rtol=1e-10
    )


def test_linear_systems_have_the_logarithmic_norm():
    a = np.asarray([[0.0, 1.0], [-4.0, -0.1]])
    problem = Problem(
        lambda u, t, p: (
            2.0 * u["a"].t - 2.0 * u["b"](),
            u["b"].t + 4.0 * u["a"]() + 0.1 * u["b"](),
        ),
        time=(0.0, 1.0),
        fields=("a", "b"),
        conditions=[Initial((1.0, 0.0))],
    )  # fmt: skip
    w = math.sqrt(4.0 - 0.05**2)
    exact = lambda t: (
        np.exp(-0.05 * t) * (np.cos(w * t) + 0.05 / w * np.sin(w * t)),
        np.exp(-0.05 * t) * (-4.0 / w) * np.sin(w * t),
    )
    v = lambda t, n: [
        jnp.exp(-0.05 * t) * (jnp.cos(w * t) + 0.05 / w * jnp.sin(w * t)) + n[0] * t,
        jnp.exp(-0.05 * t) * (-4.0 / w) * jnp.sin(w * t) - n[0] * t * t,
    ]
    found = holds(by_hand(problem, v, (1e-3,)), exact, 20.0)
    assert found["kind"] == "linear system"
    assert found["mu_max"] == pytest.approx(np.linalg.eigvalsh((a + a.T) / 2)[-1])


@pytest.mark.slow
def test_boundary_values_that_are_met_let_no_error_in():
    """Heat between two ends, in the hard form; the outflow of a wave needs none."""
    truth = lambda x, t: jnp.exp(-t) * jnp.sin(jnp.pi * x) + x
    problem = forced(
        lambda u, t, x, xx, x4, at: t - 0.1 * xx,
        truth,
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(lambda x, t: x)],
    )
    with precision(np.float64):
        form = hard_form(problem)
    network = lambda x, t, n: [n[0] * jnp.cos(3.0 * x + t)]
    solution = by_hand(problem, network, (0.3,), form=form)
    found = holds(solution, truth)
    assert found["mu_max"] == 0.0
    wave = forced(
        EQUATIONS["constant speed"][0],
        WAVE,
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(lambda x, t: WAVE(x, t), on="x-")],
    )
    with precision(np.float64):
        form = hard_form(wave)
    holds(by_hand(wave, network, (0.3,), form=form), WAVE)


def test_jumps_between_windows_are_added():
    problem = forced(EQUATIONS["constant speed"][0], WAVE)
    late = lambda x, t, n: [WAVE(x, t) + n[0]]
    solution = by_hand(problem, late, [[0.0], [0.1]], windows=2)
    found = holds(solution, WAVE, 1.01)
    assert found["bound"][0] < 1e-12
    assert certify(by_hand(problem, late, windows=2))[0]["overall"] < 1e-9


def test_it_ends_where_the_solution_ends():
    problem = forced(EQUATIONS["constant speed"][0], WAVE)
    solution = by_hand(problem, PERTURBED, (1e-3, 0.0, 0.0), windows=2)
    solution.windows.parts.pop()
    found = holds(solution, WAVE)
    assert found["until"] == 0.5
    assert not found["informative"]
    assert "t = 0.5" in found["text"]


@dataclasses.dataclass
class Refused:
    problem: Problem
    reason: str
    formula: object = lambda x, t, n: [jnp.cos(x - t)]


def test_energy_in_two_dimensions():
    """Mixed derivatives are diffusion where their matrix is; along a circle waves of
    any order are."""
    square = Box(Interval(0.0, 1.0), Interval(0.0, 1.0, name="y"))
    pipe = Box(CIRCLE, Interval(0.0, 1.0, name="y"))
    mixed = lambda u, x, y, t, p: u.t - u.xx - p.c * u.xy - u.yy
    along = lambda u, x, y, t, p: u.t + p.c * u.xxxx

    def growth(residual, domain, c):
        """Of the linear part."""
        start = [Initial(0.0)]
        problem = Problem(residual, domain, (0.0, 0.1), start, {"c": float(c)})
        with precision(np.float64):
            found = semilinear(problem, problem.values({}))
        return _largest_mode(found)

    assert growth(mixed, square, 3) == growth(mixed, square, -3) == math.inf
    assert growth(mixed, square, 1) == growth(mixed, square, -1) == 0.0
    assert growth(along, pipe, -1) == math.inf
    assert growth(along, pipe, 1) == 0.0


def test_a_hole_lets_errors_in():
    square = Box(Interval(0.0, 1.0), Interval(0.0, 1.0, name="y"))
    problem = Problem(
        lambda u, x, y, t, p: u.t - u.xx - u.yy,
        Difference(square, Disc((0.5, 0.5), 0.2)),
        (0.0, 0.1),
        [Initial(0.0), Dirichlet(0.0, on=square.sides)],
    )
    with precision(np.float64):
        form = hard_form(problem)
    solution = by_hand(problem, lambda x, y, t, n: [jnp.cos(y) + t], form=form)
    assert "not made of" in rate(solution)


@pytest.mark.parametrize("size", [1.0, 1e-10])
def test_boundary_values_are_met_whatever_the_unit(size):
    problem = Problem(
        lambda u, x, t, p: u.t - u.xx,
        domain=Interval(0.0, 1.0),
        time=(0.0, 1.0),
        conditions=[Initial(lambda x: size * jnp.cos(x)), Dirichlet(0.0)],
    )
    with precision(np.float64):
        form = hard_form(problem)
    found, why = certify(by_hand(problem, lambda x, t, n: [0.0 * x], form=form))
    assert found is None
    assert "is not met" in why


@functools.cache
def refused():
    start = [Initial(jnp.sin)]
    circle = {"domain": CIRCLE, "time": (0.0, 1.0), "conditions": start}
    ode = {"time": (0.0, 1.0)}
    two = ("a", "b")
    return {
        "order in time": Refused(
            Problem(
                lambda u, x, t, p: u.tt - u.xx,
                **{**circle, "conditions": [*start, Initial(0.0, order=1)]},
            ),
            "order 2 in time",
        ),
        "quartic": Refused(
            Problem(lambda u, x, t, p: u.t + u() ** 4, **circle), "degree 3"
        ),
        "coefficient of u_t": Refused(
            Problem(lambda u, x, t, p: (2.0 + jnp.sin(x)) * u.t + u.x, **circle),
            "u_t is not constant",
        ),
        "nonlinear diffusion": Refused(
            Problem(lambda u, x, t, p: u.t - u() * u.xx, **circle), "u_xx"
        ),
        "speed": Refused(
            Problem(lambda u, x, t, p: u.t + u() ** 2 * u.x, **circle), "speed"
        ),
        "backwards": Refused(
            Problem(lambda u, x, t, p: u.t + u.xx, **circle), "short wave length"
        ),
        "unknown": Refused(
            Problem(
                lambda u, x, t, p: u.t + p.c * u.x, params={"c": Unknown("c")}, **circle
            ),
            "looked for",
        ),
        "no flux": Refused(
            Problem(
                lambda u, x, t, p: u.t - u.xx,
                domain=Interval(0.0, 1.0),
                time=(0.0, 1.0),
                conditions=[*start, Neumann(0.0)],
            ),
            "not met exactly",
        ),
        "does not close": Refused(
            Problem(lambda u, x, t, p: u.t + u.x, **circle),
            "does not close",
            lambda x, t, n: [jnp.cos(1.3 * x)],
        ),
        "nonlinear system": Refused(
            Problem(
                lambda u, t, p: (u[0].t - u[1]() * u[0](), u[1].t - u[0]()),
                fields=two,
                conditions=[Initial((1.0, 0.0))],
                **ode,
            ),
            "not linear",
            lambda t, n: [jnp.cos(t), jnp.sin(t)],
        ),
        "beyond a value": Refused(
            Problem(
                lambda u, t, p: u.t - 2.0 * jnp.maximum(u() - 5.0, 0.0),
                conditions=[Initial(6.0)],
                **ode,
            ),
            "another one in a part",
            lambda t, n: [5.0 + jnp.exp(2.0 * t)],
        ),
        "in a part": Refused(
            Problem(
                lambda u, x, t, p: (
                    u.t + jnp.where(jnp.abs(x - 3) < 0.02, 1.0, 2.0) * u.x
                ),
                **circle,
            ),
            "another one in a part",
        ),
        "system beyond a value": Refused(
            Problem(
                lambda u, t, p: (
                    u[0].t - jnp.maximum(u[1]() - 5.0, 0.0),
                    u[1].t - u[0](),
                ),
                fields=two,
                conditions=[Initial((1.0, 6.0))],
                **ode,
            ),
            "not linear",
            lambda t, n: [1.0 + t, 6.0 + t],
        ),
    }


# names apart from the cases: nothing is built at collection
TOLD = ("order in time", "quartic", "backwards", "no flux", "beyond a value")
TOO = (
    "coefficient of u_t",
    "nonlinear diffusion",
    "speed",
    "unknown",
    "does not close",
    "nonlinear system",
    "in a part",
    "system beyond a value",
)


@pytest.mark.parametrize(
    "name", [*TOLD, *(pytest.param(n, marks=pytest.mark.slow) for n in TOO)]
)
def test_no_bound_without_a_reason(name):
    assert {*refused()} == {*TOLD, *TOO}
    case = refused()[name]
    found, why = certify(by_hand(case.problem, case.formula))
    assert found is None
    assert why.startswith("No bound on the error")
    assert case.reason in why


def test_a_shock_is_not_informative():
    problem = named_problem("burgers", end=0.5)
    with precision(np.float64):
        form = hard_form(problem)
    steep = lambda x, t, n: [-jnp.tanh(50.0 * x * t)]
    found, _ = certify(by_hand(problem, steep, form=form))
    assert not found["informative"]
    assert "not informative" in found["text"]
    assert all(math.isfinite(b) for b in found["bound"])


def test_forms_are_recognised_whatever_the_factor():
    problem = Problem(
        lambda u, x, t, p: (
            p.k
            * (
                u.t
                + (2.0 + u()) * u.x
                - 0.5 * u.xx
                - 3.0 * u()
                + u() ** 2
                - 4.0 * u() ** 3
            )
        ),
        domain=CIRCLE,
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin)],
        params={"k": -7.0},
    )
    form = semilinear(problem, {"k": np.asarray(-7.0)})
    assert isinstance(form, Semilinear)
    assert form.factor == pytest.approx(-7.0)
    assert form.steepening == pytest.approx((1.0,))
    assert form.linear == {(2,): pytest.approx(-0.5)}
    assert form.cubic == pytest.approx((1.0, -4.0))
    assert form.uniform
    assert form.steady
    divergence, a, g0, s = (c[0] for c in form.at(np.asarray([[0.3, 0.1]])))
    assert (divergence, a[0], g0, s) == pytest.approx((0.0, 2.0, -3.0, 0.0))


def back(x, t, b):
    """Where a point of x' = 1 + b sin x was at 0."""
    if t == 0.0:
        return x
    f = lambda s, y: -(1.0 + b * np.sin(y))
    return scipy.integrate.solve_ivp(f, (0.0, t), x, rtol=1e-12, atol=1e-12).y[:, -1]


@functools.cache
def solved():
    variable = Problem(
        lambda u, x, t, p: u.t + (1.0 + p.b * jnp.sin(x)) * u.x,
        domain=CIRCLE,
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin)],
        params={"b": 0.5},
    )
    known = lambda name, **p: lambda x, t: pde_truth(name, x, [t], **p)[0]
    return {
        "convection": (
            named_problem("convection", beta=30.0),
            lambda x, t: np.sin(x - 30.0 * t),
        ),
        "variable speed": (variable, lambda x, t: np.sin(back(x, t, 0.5))),
        "reaction": (named_problem("reaction"), known("reaction", rho=5.0)),
        "reaction-diffusion": (
            named_problem("reaction_diffusion"),
            known("reaction_diffusion", nu=5.0, rho=5.0),
        ),
        "allen_cahn": (named_problem("allen_cahn", end=0.1), known("allen_cahn")),
    }


SOLVED = (
    "convection",
    "variable speed",
    "reaction",
    "reaction-diffusion",
    "allen_cahn",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVED)
def test_solved_problems_lie_below_their_bounds(name):
    assert {*solved()} == {*SOLVED}
    problem, truth = solved()[name]
    solution = solve(problem, check=False)
    found, why = certify(solution)
    assert found is not None, why
    some = [0, *range(1, len(found["times"]), 3), len(found["times"]) - 1]
    times = [found["times"][k] for k in some]
    true = errors(solution, truth, times)
    bound = np.asarray(found["bound"])[some]
    # other points for the mean; what the truth and rounding are good to
    assert np.all(bound >= 0.99 * true - 1e-11)
    assert found["informative"]
    assert found["samples_per_window"] >= 4 * 256
    assert found["overall"] < 1e4 * max(true.max(), 1e-12)


def test_samples_are_within_each_window():
    problem = forced(EQUATIONS["constant speed"][0], WAVE)
    sampled = samples(by_hand(problem, PERTURBED, (0.0, 0.0, 0.0), windows=3))
    assert sampled.weights.sum() == pytest.approx(1.0)
    for k in (1, 2):
        assert np.abs(sampled.edges - k / 3).min() < 1e-12
    assert np.abs(sampled.rows).max() < 1e-12
