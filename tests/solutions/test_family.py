"""Families of solutions: truths, the same as one solve, one trace, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError, PendulaWarning, ShapeError
from pendula.solutions import (
    Dirichlet,
    FrozenConfig,
    Initial,
    Interval,
    Neumann,
    Observation,
    Problem,
    Unknown,
    _family_plan,
    solve,
    solve_family,
)
from pendula.solutions._family_march import TRACES
from pendula.systems import pde_truth


CIRCLE = Interval(0.0, 2.0 * np.pi, periodic=True)
LINE = Interval(0.0, 1.0)
X = np.linspace(0.0, 2.0 * np.pi, 32, endpoint=False)
T = np.linspace(0.0, 1.0, 9)


def wave(**more):
    """Convection; `extra` is a parameter that all sets share."""
    return Problem(
        lambda u, x, t, p: u.t + p.beta * p.extra * u.x,
        domain=CIRCLE,
        time=(0.0, 1.0),
        conditions=[Initial(jnp.sin)],
        params={"beta": 1.0, "extra": 1.0},
        **more,
    )


def decay(order=1):
    """Ordinary equations with parameters: decay, or an oscillator."""
    if order == 1:
        residual = lambda u, t, p: u.t + p.k * u() ** 2
        conditions = [Initial(1.0)]
    else:
        residual = lambda u, t, p: u.tt + p.k**2 * u()
        conditions = [Initial(1.0), Initial(0.5, order=1)]
    return Problem(residual, time=(0.0, 2.0), conditions=conditions, params={"k": 1.0})


@pytest.fixture(scope="module")
def waves():
    """Three speeds, and how often the program was traced for them; at rest, which the
    problem itself is, the term that they are in would be none."""
    before = TRACES["march"]
    resting = wave().replace(params={"beta": 0.0})
    family = solve_family(resting, {"beta": [1.0, 7.0, 12.0]}, tol=1e-4)
    return family, TRACES["march"] - before


def test_waves_are_sines(waves):
    family, _ = waves
    u = family(X[:, None], T[None])
    assert u.shape == (3, 32, 9)
    for k, beta in enumerate((1.0, 7.0, 12.0)):
        truth = np.sin(X[:, None] - beta * T[None])
        assert np.linalg.norm(u[k] - truth) < 1e-4 * np.linalg.norm(truth)
    assert family.converged.all()
    assert family.alone == ()
    assert (family.check < 1e-5).all()


def test_families_are_known_where_their_problem_is(waves):
    family, _ = waves
    assert_allclose(family(X + 2.0 * np.pi, 0.5), family(X, 0.5), atol=1e-12)
    with pytest.raises(DataError, match=r"family: .* t = 2 \(and 31 more\) lies"):
        family.d("x")(X, 2.0)
    u = family(1.0, [0.5, 2.0], outside="nan")
    assert_allclose(np.isnan(u), [[False, True]] * 3)


def test_one_trace_for_plan_and_all_sets(waves):
    assert waves[1] == 1


def test_derivatives_and_members_agree(waves):
    family, _ = waves
    x, t = X[::4], np.full(8, 0.7)
    points = np.stack([x, t], -1)
    for name, orders in (("", (0, 0)), ("x", (1, 0)), ("t", (0, 1))):
        whole = family(x, t) if not name else family.d(name)(x, t)
        for k in range(3):
            one = family.member(k).values(points, [orders])[orders][:, 0]
            assert_allclose(whole[k], one, atol=1e-8)
    assert_allclose(family.d("x")(x, t)[2], np.cos(x - 12.0 * t), atol=1e-3)
    residual = family.d("t")(x, t)[1] + 7.0 * family.d("x")(x, t)[1]
    assert np.abs(residual).max() < 1e-3


@pytest.mark.parametrize("order", [1, 2])
def test_ordinary_equations(order):
    k = np.asarray([0.5, 3.0])
    family = solve_family(decay(order), {"k": k}, tol=1e-6)
    t = np.linspace(0.0, 2.0, 11)
    truth = 1.0 / (1.0 + k[:, None] * t)
    if order == 2:
        phase = k[:, None] * t
        truth = np.cos(phase) + 0.5 / k[:, None] * np.sin(phase)
    assert_allclose(family(t), truth, atol=1e-6)
    assert family.converged.all()


def test_what_small_residuals_leave_may_grow():
    """u = sin t whatever k is; others part from it by e^(k t)."""
    problem = Problem(
        lambda u, t, p: u.t - p.k * (u() - jnp.sin(t)) - jnp.cos(t),
        time=(0.0, 1.0),
        conditions=[Initial(0.0)],
        params={"k": 1.0},
    )
    family = solve_family(problem, {"k": [1.0, 40.0]}, alone=False)
    assert (family.check < 1e-5).all()
    off = np.abs(family(1.0) - np.sin(1.0))
    assert off[0] < 1e-4 < 0.1 < off[1]
    assert family.converged.tolist() == [True, False]
    assert family.estimate[0] < 1e-4 < family.estimate[1]
    unseen = solve_family(problem, {"k": [1.0]}, check=False, alone=False)
    assert np.isnan(unseen.estimate).all()
    assert unseen.converged.all()


def test_stationary_with_sides():
    problem = Problem(
        lambda u, x, p: u.xx + p.f,
        domain=LINE,
        conditions=[Dirichlet(0.0, on="x-"), Neumann(0.0, on="x+")],
        params={"f": 1.0},
    )
    config = FrozenConfig(features=40, nodes=60, slopes=(2.0,))
    family = solve_family(problem, {"f": [1.0, -2.0]}, config=config)
    x = np.linspace(0.0, 1.0, 5)
    truth = np.asarray([1.0, -2.0])[:, None] * (x - 0.5 * x * x)
    assert_allclose(family(x), truth, atol=1e-6)
    assert family.converged.all()


def test_sets_without_one_solution_are_not_solved():
    """Their residual is small for any share of what an eigenvalue leaves open."""
    problem = Problem(
        lambda u, x, p: u.xx + p.k**2 * u() - 1.0,
        domain=LINE,
        conditions=[Dirichlet(0.0)],
        params={"k": 1.0},
    )
    config = FrozenConfig(features=80, nodes=120, slopes=(4.0,))
    family = solve_family(problem, {"k": [1.0, np.pi]}, config=config, alone=False)
    assert family.converged.tolist() == [True, False]


def test_ends_that_are_not_given_are_told():
    problem = Problem(
        lambda u, x, t, p: u.t - p.k * u.xx,
        domain=LINE,
        time=(0.0, 0.01),
        conditions=[Initial(lambda x: jnp.sin(jnp.pi * x))],
        params={"k": 1.0},
    )
    config = FrozenConfig(features=30, nodes=20, times=4, slopes=(4.0,))
    with pytest.warns(PendulaWarning, match="solve_family: .* given: 0"):
        solve_family(problem, {"k": [0.5]}, tol=0.5, config=config, alone=False)


@pytest.mark.slow
def test_what_does_not_converge_is_solved_alone(monkeypatch):
    monkeypatch.setattr(_family_plan, "_LEVELS", 0)  # no more neurons
    # two windows are not enough for the fast set, and more are not allowed
    config = FrozenConfig(features=30, nodes=12, times=6, most_windows=2)
    family = solve_family(wave(), {"beta": [0.0, 6.0]}, config=config)
    assert 1 in family.alone
    assert_allclose(family(X, 0.5)[1], np.sin(X - 3.0), atol=1e-4)
    assert family.converged[1]
    left = solve_family(wave(), {"beta": [0.0, 6.0]}, config=config, alone=False)
    assert left.alone == ()
    assert not left.converged[1]


@pytest.mark.slow
def test_reaction_diffusion_as_solved_alone():
    bump = lambda x: jnp.exp(-(((x - np.pi) / (np.pi / 4)) ** 2) / 2)
    problem = Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx - p.rho * u() * (1 - u()),
        domain=CIRCLE,
        time=(0.0, 1.0),
        conditions=[Initial(bump)],
        params={"nu": 5.0, "rho": 5.0},
    )
    batch = {"nu": [2.0, 6.0, 0.0], "rho": [5.0, 1.0, 0.0]}
    family = solve_family(problem, batch, tol=1e-4)
    u = family(X[:, None], T[None])
    for k in range(2):
        own = {name: batch[name][k] for name in batch}
        truth = pde_truth("reaction_diffusion", X, T, **own).T
        assert np.linalg.norm(u[k] - truth) < 1e-4 * np.linalg.norm(truth)
        one = solve(problem.replace(params=own), tol=1e-4, check=False)
        both = one(X[:, None], T[None])
        assert np.linalg.norm(u[k] - both) < 1e-4 * np.linalg.norm(both)
    # nothing happens in the last one
    assert_allclose(u[2], np.asarray(bump(X))[:, None] + 0.0 * T, atol=1e-5)


def test_bad_input():
    problem = wave()
    with pytest.raises(ConfigError, match='Did you mean "beta"'):
        solve_family(problem, {"bta": [1.0]})
    with pytest.raises(ConfigError, match="is empty"):
        solve_family(problem, {})
    with pytest.raises(ShapeError, match="one number for each set"):
        solve_family(problem, {"beta": [[1.0]]})
    with pytest.raises(ShapeError, match="numbers of sets differ"):
        solve_family(problem, {"beta": [1.0], "extra": [1.0, 2.0]})
    with pytest.raises(DataError, match="in set 1"):
        solve_family(problem, {"beta": [1.0, np.nan]})
    with pytest.raises(ConfigError, match="tol is"):
        solve_family(problem, {"beta": [1.0]}, tol=0.0)
    unknown = problem.replace(params={"extra": Unknown("extra")})
    with pytest.raises(ConfigError, match="is Unknown"):
        solve_family(unknown, {"beta": [1.0]})
    seen = problem.replace(
        conditions=[Initial(jnp.sin), Observation([[1.0, 0.5]], [0.0])]
    )
    with pytest.raises(ConfigError, match="Observation"):
        solve_family(seen, {"beta": [1.0]})


def test_changing_rows_are_refused():
    problem = Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx,
        domain=LINE,
        time=(0.0, 1.0),
        conditions=[Initial(0.0), Neumann(lambda x, t: t)],
        params={"nu": 1.0},
    )
    with pytest.raises(ConfigError, match="Neumann is a row"):
        solve_family(problem, {"nu": [1.0]})


def test_calls_are_checked(waves):
    family, _ = waves
    with pytest.raises(ShapeError, match="called with 1"):
        family(X)
    with pytest.raises(ConfigError, match="there is none"):
        family.member(3)
