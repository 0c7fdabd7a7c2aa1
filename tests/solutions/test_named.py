"""Problems by name: what they hold, and that their truths solve them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula.solutions import (
    PROBLEMS,
    FrozenConfig,
    derivatives,
    named_problem,
    truth_call,
    truth_of,
)
from pendula.systems import closed_form, initial_field, pde_truth


KS = {"u_t", "u", "u_x", "u_xx", "u_xxxx"}
NAMES = {
    "convection": {"u_t", "u_x"},
    "reaction": {"u_t", "u"},
    "reaction_diffusion": {"u_t", "u_xx", "u"},
    "burgers": {"u_t", "u", "u_x", "u_xx"},
    "allen_cahn": {"u_t", "u_xx", "u"},
    "ks_regular": KS,
    "ks_chaotic": KS,
    "lorenz": {"x_t", "y_t", "z_t", "x", "y", "z"},
    "advection_fast": {"u_t", "u_x"},
    "helmholtz": {"u_xx", "u_yy", "u"},
    "klein_gordon": {"u_tt", "u_xx", "u_yy", "u"},
    "flow_mixing": {"u_t", "u_x", "u_y"},
    "ns_torus": {"w", "w_t", "w_x", "w_y", "w_xx", "w_yy"}
    | {f"psi_{end}" for end in ("x", "y", "xx", "yy")},
    "poisson": {"u_xx"},
    "allen_cahn_steady": {"u_xx", "u"},
}


@pytest.fixture(scope="module")
def problems():
    return {name: named_problem(name) for name in PROBLEMS}


@pytest.mark.slow
def test_every_problem_uses_the_derivatives_of_its_equation(problems):
    assert {name: set(p.law.names()) for name, p in problems.items()} == NAMES
    for name, problem in problems.items():
        assert problem.name == name
        assert PROBLEMS[name].help
        assert PROBLEMS[name].origin


def residual(problem, fields, points):
    """The equations at points with exact derivatives of `fields`, over the root mean
    square of their largest term."""
    law = problem.law
    orders = sorted({need.orders for need in law.needs})

    @jax.jit
    def needed(at):
        found = [derivatives(field, at, orders) for field in fields]
        return jnp.stack([found[n.field][n.orders] for n in law.needs], axis=1)

    with precision(np.float64):
        return relative(problem, np.asarray(needed(jnp.asarray(points))), points)


def relative(problem, values, points):
    law, one = problem.law, (0, 0, None)

    @jax.jit
    def rows_and_slopes(v, at, params):
        slopes = jax.vmap(jax.jacfwd(law), one)(v, at, params)
        return jax.vmap(law, one)(v, at, params), slopes

    with precision(np.float64):
        given = (jnp.asarray(values), jnp.asarray(points), problem.values({}))
        rows, slopes = map(np.asarray, rows_and_slopes(*given))
    size = np.sqrt(np.mean((slopes * values[:, None]) ** 2, axis=0)).max(axis=1)
    return rows / size


def points_of(problem, count=40):
    rng = np.random.default_rng(2)
    ends = [*map(tuple, problem.domain.bounds)]
    ends += [problem.time] if problem.time else []
    return np.stack([rng.uniform(a, b, count) for a, b in ends], axis=1)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("convection", {"beta": 7.0}),
        pytest.param("advection_fast", {}, marks=pytest.mark.slow),
        pytest.param("reaction", {"rho": 3.0}, marks=pytest.mark.slow),
        pytest.param("helmholtz", {"a1": 2.0}, marks=pytest.mark.slow),
        ("klein_gordon", {"k": 3.0}),
        pytest.param("flow_mixing", {"largest": 0.5}, marks=pytest.mark.slow),
        ("poisson", {"kind": "growing"}),
        pytest.param("poisson", {"plane": True}, marks=pytest.mark.slow),
        ("allen_cahn_steady", {}),
    ],
)
def test_a_closed_form_solves_its_problem(name, params):
    """To rounding; sines of high frequency lose digits in their arguments."""
    problem = named_problem(name, **params)
    truth, given = truth_call(name, **params)
    dim = problem.domain.dim

    def form(p):
        x = p[:, 0] if dim == 1 else p[:, :dim]
        t = p[:, -1] if problem.time else jnp.zeros_like(p[:, 0])
        return closed_form(truth, x, t, jnp, **given)

    points = points_of(problem)
    assert np.abs(residual(problem, [form], points)).max() < 1e-11
    at, t = points[:, :dim], [0.5 if problem.time else 0.0]
    x = at[:, 0] if dim == 1 else at
    np.testing.assert_array_equal(
        truth_of(name, at, t, **params)[0, 0], closed_form(truth, x, t[0], **given)
    )


def test_vortices_that_decay_in_place_solve_the_flow_on_a_torus():
    """Taylor and Green's: the nonlinear part vanishes, w = 2 psi."""
    problem = named_problem("ns_torus", nu=0.02)
    decay = lambda p: jnp.exp(-2.0 * 0.02 * p[:, 2])
    w = lambda p: 2.0 * jnp.cos(p[:, 0]) * jnp.cos(p[:, 1]) * decay(p)
    psi = lambda p: 0.5 * w(p)
    found = residual(problem, [w, psi], points_of(problem))
    assert np.abs(found).max() < 1e-13


# Central differences in time and Fourier series in space: 1e-5 is what they give here,
# a coefficient that is wrong by one per cent gives 1e-3 and more.
@pytest.mark.parametrize(
    ("name", "t", "step"),
    [
        pytest.param("reaction_diffusion", 0.05, 1e-4, marks=pytest.mark.slow),
        ("burgers", 0.2, 1e-3),
        pytest.param("allen_cahn", 0.1, 1e-3, marks=pytest.mark.slow),
        ("ks_regular", 0.1, 2e-4),
        pytest.param("ks_chaotic", 0.05, 2e-4, marks=pytest.mark.slow),
    ],
)
def test_a_computed_truth_solves_its_problem(problems, name, t, step):
    problem = problems[name]
    (low, high), n = problem.domain.bounds[0], 512
    x = low + (high - low) / n * np.arange(n)
    before, u, after = truth_of(name, x[:, None], [t - step, t, t + step])[0]
    spectrum = np.fft.fft(u)
    k = 2j * np.pi * np.fft.fftfreq(n, (high - low) / n)
    columns = []
    for need in problem.law.needs:
        order, in_time = need.orders
        slope = np.fft.ifft(k**order * spectrum).real
        columns.append((after - before) / (2.0 * step) if in_time else slope)
    points = np.c_[x, np.full(n, t)]
    found = relative(problem, np.stack(columns, axis=1), points)
    assert np.sqrt(np.mean(found**2)) < 2e-4


def test_lorenz_truth_solves_its_problem(problems):
    t = np.linspace(0.0, 1.0, 2001)
    y = truth_of("lorenz", np.zeros((1, 0)), t)[:, :, 0]
    rate = np.gradient(y, t, axis=1, edge_order=2)[:, 1:-1]
    needs = problems["lorenz"].law.needs
    columns = [(rate if n.orders[0] else y[:, 1:-1])[n.field] for n in needs]
    found = relative(problems["lorenz"], np.stack(columns, 1), t[1:-1, None])
    assert np.abs(found).max() < 1e-3


STEADY = ("helmholtz", "poisson", "allen_cahn_steady")


def test_the_steady_problems_are_those_without_a_time(problems):
    assert {name for name, p in problems.items() if p.time is None} == {*STEADY}


@pytest.mark.parametrize("name", [n for n in PROBLEMS if n not in STEADY])
def test_a_problem_starts_and_ends_where_its_truth_does(problems, name):
    problem = problems[name]
    if name == "lorenz":
        assert problem.initials()[0].value == 1.0
        return
    points = points_of(problem, 12)[:, :-1]
    x = points[:, 0] if problem.domain.dim == 1 else points
    with precision(np.float64):
        value = problem.initials()[0].value
        start = np.asarray(value(*[jnp.asarray(c) for c in points.T]))
    np.testing.assert_allclose(start, initial_field(name, x), rtol=1e-12, atol=1e-12)


def test_a_rate_of_change_at_the_start_is_that_of_the_truth(problems):
    points = points_of(problems["klein_gordon"], 12)[:, :-1]
    with precision(np.float64):
        value = problems["klein_gordon"].initials(1)[0].value
        rate = np.asarray(value(*[jnp.asarray(c) for c in points.T]))
    near = [closed_form("klein_gordon", points, t) for t in (-1e-5, 1e-5)]
    np.testing.assert_allclose(rate, (near[1] - near[0]) / 2e-5, atol=1e-8)


def test_settings_that_only_say_where_to_look_keep_the_truth():
    assert truth_call("lorenz", end=3.0) == ("lorenz", {})
    assert truth_call("poisson", length=1.0)[1]["kind"] == "three_sines"
    assert named_problem("convection", end=2).time == (0.0, 2.0)
    assert named_problem("poisson", length=1.0).domain.bounds.tolist() == [[0.0, 1.0]]


def test_other_coefficients_than_the_truth_is_known_for_have_none():
    assert truth_call("allen_cahn", nu=2e-4) is None
    assert truth_call("allen_cahn", nu=1e-4) == ("allen_cahn", {})
    assert truth_of("ks_regular", np.zeros((1, 1)), [0.0], b=0.4) is None


def test_coefficients_reach_problem_and_truth():
    assert named_problem("reaction_diffusion", nu=2).params["nu"] == 2.0
    x = np.linspace(0.0, 6.0, 5)
    np.testing.assert_array_equal(
        truth_of("burgers", x[:, None] / 6.0, [0.0, 0.3], nu=0.05)[0],
        pde_truth("burgers", x / 6.0, [0.0, 0.3], nu=0.05),
    )


def test_what_is_not_known_of_a_field_is_nan():
    u = truth_of("ns_torus", np.zeros((1, 2)), [0.0])
    assert u.shape == (2, 1, 1)
    assert np.isfinite(u[0]).all()
    assert np.isnan(u[1]).all()


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("convecton", {}, 'Did you mean "convection"?'),
        ("convection", {"bta": 1.0}, 'Did you mean "beta"?'),
        ("convection", {"beta": np.inf}, "finite number"),
        ("convection", {"beta": "fast"}, "finite number"),
        ("convection", {"end": -1.0}, "end has to come after"),
        ("burgers", {"nu": 0.0}, "above 0"),
        ("ks_regular", {"c": -1.0}, "above 0"),
        ("poisson", {"kind": "sin"}, 'Did you mean "sine"?'),
        ("poisson", {"kind": 3}, "a word"),
        ("poisson", {"plane": 1}, "yes or no"),
        ("poisson", {"length": -1.0}, "above 0"),
    ],
)
def test_bad_input_is_refused(name, params, words):
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        named_problem(name, **params)


def test_options_are_those_of_solve():
    for name, named in PROBLEMS.items():
        options = dict(named.options)
        assert 0.0 < options.pop("tol", 1e-4) < 0.1, name
        assert dataclasses.asdict(FrozenConfig(**options)).items() >= options.items()
