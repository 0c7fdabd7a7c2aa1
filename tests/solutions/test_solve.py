"""From a problem to a solution, by frozen features and by trained networks."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, PendulaWarning
from pendula.solutions import (
    METHODS,
    Curriculum,
    Dirichlet,
    GaussNewton,
    Initial,
    Interval,
    InWindows,
    Network,
    NetworkConfig,
    Observation,
    Problem,
    Unknown,
    certify,
    method_of,
    named_problem,
    solve,
)
from pendula.solutions._solve import parse_budget
from pendula.systems import pde_truth


X, T = np.linspace(0.0, 2 * np.pi, 32, endpoint=False), np.linspace(0.0, 1.0, 11)


def error(solution, name, **params):
    """Relative to the truth, on a small grid."""
    truth = pde_truth(name, X, T, **params)
    return np.linalg.norm(solution(X[None], T[:, None]) - truth) / np.linalg.norm(truth)


@pytest.fixture(scope="module")
def wave():
    return solve(named_problem("convection", beta=10.0), tol=1e-4)


def test_the_wave_is_right_and_says_so(wave):
    off = error(wave, "convection", beta=10.0)
    report = wave.report
    assert off < 1e-5
    assert report.converged
    assert 0.5 < report.estimate["overall"] / off < 2.0
    assert report.certificate["overall"] >= off
    assert report.diagnosis == ()
    assert report.windows[0] == 0.0
    assert report.windows[-1] == pytest.approx(1.0)


def test_derivatives_are_those_of_the_values(wave):
    x, t, h = 1.3, 0.37, 1e-4
    slope = (wave(x + h, t) - wave(x - h, t)) / (2 * h)
    assert wave.d("x")(x, t) == pytest.approx(float(slope), abs=1e-6)
    assert wave.d("t")(x, t) == pytest.approx(-10.0 * float(slope), rel=1e-3)


def test_the_report_is_json(wave):
    told = json.loads(wave.report.json())
    assert told["method"] == "frozen"
    assert told["converged"] is True


def test_the_same_seed_gives_the_same_bits(wave):
    again = solve(named_problem("convection", beta=10.0), tol=1e-4, check=False)
    np.testing.assert_array_equal(again(X, 0.7), wave(X, 0.7))


def test_values_are_float64_outside_any_scope(wave):
    assert wave(X, 0.5).dtype == np.float64
    assert wave(X, 0.5).shape == X.shape


def test_a_start_that_jumps_is_said():
    problem = named_problem("convection", beta=1.0).replace(
        conditions=[Initial(lambda x: jnp.sin(0.5 * x))]
    )
    with pytest.warns(PendulaWarning, match=r"slope of the start .* jumps by 1 "):
        solve(problem, tol=1e-1, budget=0.01, check=False)


def test_a_start_that_jumps_inside_is_not_solved():
    """Its slopes are 0, so that it stands still without a residual."""
    step = lambda x: jnp.where((x > 1.0) & (x < 2.0), 1.0, 0.0)
    problem = named_problem("convection", beta=1.0).replace(conditions=[Initial(step)])
    with pytest.warns(PendulaWarning, match="jumps by 1 .* at x = .* smooth start"):
        found = solve(problem, features=20, nodes=10, times=4, check=False)
    assert found.report.check["equation"] < 1e-9
    assert float(found(1.5, 1.0)) == pytest.approx(1.0)  # it has moved on by then
    assert certify(found)[1].endswith("the start jumps, and has no derivatives.")
    assert not found.report.converged


def test_a_start_that_is_not_what_flows_in_is_not_solved():
    """Nothing is left of the start, and no residual tells."""
    problem = Problem(
        lambda u, x, t, p: u.t + u.x,
        domain=Interval(0.0, 2.0),
        time=(0.0, 1.0),
        conditions=[Initial(0.0), Dirichlet(1.0, on="x-")],
    )
    with pytest.warns(PendulaWarning, match='differs by 1 .* on "x-"'):
        found = solve(problem, features=20, nodes=10, times=4, check=False)
    assert found.report.check["equation"] < 1e-9
    assert not found.report.converged


def test_fewer_rows_than_weights_are_said():
    method = Network(
        NetworkConfig(width=8, depth=1, points=5), GaussNewton(steps=1), InWindows(0.5)
    )
    seen = set()

    def residual(u, t, p):
        seen.add(jax.config.jax_default_matmul_precision)
        return u.t + u()

    problem = Problem(residual, time=(0.0, 1.0), conditions=[Initial(1.0)])
    with pytest.warns(PendulaWarning, match="5 rows .* do not determine 25 weights"):
        solve(problem, method=method, check=False)
    assert "highest" in seen  # an accelerator does not shorten what is differentiated


def test_terms_that_hide_each_other_are_said():
    problem = Problem(
        lambda u, t, p: 1e7 * (u.t + u()), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    config = NetworkConfig(width=4, depth=1, points=20, hard=False)
    with pytest.warns(
        PendulaWarning, match=r'"equation" are \de\+0\d times .*"initial"'
    ):
        solve(problem, method=Network(config, GaussNewton(steps=1)), check=False)


def test_a_budget_gives_the_best_so_far():
    found = solve(
        named_problem("convection", beta=100.0), tol=1e-6, budget=0.01, check=False
    )
    assert not found.report.converged
    assert found.report.windows[-1] < 1.0
    assert found.report.ended == "the budget ended"


def test_a_budget_ends_windows_that_were_given_too():
    decay = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    found = solve(decay, windows=4, budget=1e-6, check=False)
    assert not found.report.converged
    assert found.report.windows == [0.0, 0.25]
    # what was solved to its end in the first window is solved
    assert solve(decay, budget=1e-6, check=False).report.converged


def test_what_a_small_residual_leaves_may_grow():
    """u = sin t, from which others part by e^(40 t)."""
    problem = Problem(
        lambda u, t, p: u.t - 40.0 * (u() - jnp.sin(t)) - jnp.cos(t),
        time=(0.0, 1.0),
        conditions=[Initial(0.0)],
    )
    alone = solve(problem, check=False)
    assert alone.report.converged  # by its residual
    assert alone.report.ended == ""
    assert abs(float(alone(1.0)) - np.sin(1.0)) > 0.1
    report = solve(problem).report
    assert not report.converged
    assert report.estimate["overall"] > 1e-2
    assert [d.code for d in report.diagnosis] == ["errors_grow"]


def test_an_equation_without_numbers_is_no_lack_of_budget():
    """u = (1 - t)^2 comes to 0 at 1, and roots end there."""
    problem = Problem(
        lambda u, t, p: u.t + 2.0 * jnp.sqrt(u()),
        time=(0.0, 2.0),
        conditions=[Initial(1.0)],
    )
    small = {"features": 12, "times": 12, "most_windows": 20}
    found = solve(problem, check=False, **small)
    assert found.reached < 2.0
    assert "not finite" in found.report.ended
    assert not found.report.converged


def test_the_finer_solve_has_a_limit_too(monkeypatch):
    monkeypatch.setattr("pendula.solutions._solve._FINER", 0.0)
    decay = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    found = solve(decay, windows=4, budget="1 h", tol=1e-2, features=8, times=10)
    estimate = found.report.estimate
    assert found.reached == 1.0
    assert estimate["until"] == estimate["times"][-1] == 0.25
    assert not estimate["converged"]


@pytest.mark.parametrize(
    ("strategy", "most"),
    [
        (InWindows(0.5), 1e-3),
        pytest.param(Curriculum("beta", (1, 3)), 1e-2, marks=pytest.mark.slow),
    ],
)
def test_a_trained_network_solves_it_too(strategy, most):
    method = Network(
        NetworkConfig(width=10, points=180), GaussNewton(steps=30), strategy
    )
    found = solve(named_problem("convection", beta=3.0), method=method, check=False)
    assert error(found, "convection", beta=3.0) < most


DECAY = {
    "residual": lambda u, t, p: u.t + p.k * u(),
    "time": (2.0, 3.0),
    "params": {"k": 2.0},
}
LINE = NetworkConfig(width=4, depth=1, points=20)


def test_an_equation_may_be_multiplied_by_a_number():
    reports = []
    for factor in (1.0, 1e-6):
        problem = Problem(
            lambda u, t, p, factor=factor: factor * (u.t + p.k * u()),
            conditions=[Initial(1.0)],
            time=DECAY["time"],
            params=DECAY["params"],
        )
        method = Network(LINE, GaussNewton(steps=1))
        found = solve(problem, method=method, tol=1e-3, budget=1e-6, check=False)
        reports.append(found.report)
    assert reports[1].check == pytest.approx(reports[0].check, rel=1e-9)
    assert not reports[1].converged  # its weights are those that were drawn


def test_a_period_in_time_is_trained():
    problem = Problem(
        lambda u, t, p: u.tt + 16.0 * u(),
        time=(0.0, 1.0),
        conditions=[Initial(0.0), Initial(4.0, order=1)],
    )
    config = NetworkConfig(width=6, depth=1, points=40, time_waves=2)
    method = Network(config, GaussNewton(steps=100, patience=20))
    found = solve(problem, method=method, tol=1e-3, check=False)
    t = np.linspace(0.0, 1.0, 21)
    np.testing.assert_allclose(found(t), np.sin(4.0 * t), atol=1e-3)
    log_period = found.windows.parts[0].trial.embedding.log_period
    assert abs(float(log_period[0]) - np.log(2.0)) > 1e-3  # twice the window at first


def test_an_equation_without_a_slope_at_the_start_is_not_solved():
    problem = Problem(
        lambda u, x, p: u.x**2 - 1.0,
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(0.0)],
    )
    found = solve(problem, features=8, nodes=12, check=False)
    assert not found.report.converged


def test_soft_starts_hand_on_whenever_they_begin():
    problem = Problem(conditions=[Initial(1.0, hard=False)], **DECAY)
    found = solve(problem, windows=2, check=False)
    t = np.linspace(2.0, 3.0, 5)
    np.testing.assert_allclose(found(t), np.exp(-2.0 * (t - 2.0)), atol=1e-6)
    assert found(np.zeros(0)).shape == (0,)


def test_a_rate_is_kept_where_the_start_is_soft():
    problem = Problem(
        lambda u, t, p: u.tt + u(),
        time=(0.0, 1.0),
        conditions=[Initial(1.0, hard=False), Initial(2.0, order=1)],
    )
    found = solve(problem, windows=2, check=False)
    assert float(found(1.0)) == pytest.approx(np.cos(1.0) + 2 * np.sin(1.0), abs=1e-6)


def test_a_curriculum_that_ran_out_of_time_has_not_solved_the_problem():
    problem = Problem(conditions=[Initial(1.0)], **DECAY)
    method = Network(LINE, GaussNewton(steps=40), Curriculum("k", (0.0, 2.0)))
    found = solve(problem, method=method, tol=0.5, budget=1e-6, check=False)
    assert found.report.check["equation"] < 0.5  # of the first of its coefficients
    assert not found.report.converged


def test_a_start_that_is_not_met_is_no_solution():
    problem = Problem(conditions=[Initial(1.0, hard=False, weight=1e-6)], **DECAY)
    method = Network(LINE, GaussNewton(steps=60))
    with pytest.warns(PendulaWarning):
        found = solve(problem, method=method, tol=1e-2, check=False)
    assert found.report.check["equation"] < 1e-2 < found.report.check["initial"]
    assert not found.report.converged


def test_fields_of_other_sizes_are_told():
    """The tolerance is of all together; a field that is 0 is meant to be."""
    two = lambda size: Problem(
        lambda f, t, p: (f[0].t + f[0](), f[1].t + f[1]()),
        time=(0.0, 1.0),
        conditions=[Initial((1.0, size))],
        fields=("u", "v"),
    )
    small = {"features": 8, "times": 10, "windows": 1, "check": False, "tol": 1e-2}
    with pytest.warns(PendulaWarning, match='"v" is 1e-09 of "u" in size'):
        solve(two(1e-9), **small)
    for size in (0.0, 1e-3):  # no warning, which would be an error here
        solve(two(size), **small)


def test_a_solution_that_is_as_small_as_its_residual_is_told():
    t = np.linspace(0.1, 1.0, 8)

    def decay(unit):
        seen = Observation(t[:, None], unit * np.exp(-t), 0.01 * unit)
        start = Initial(unit)
        return Problem(
            lambda u, t, p: u.t + p.k * u(),
            time=(0.0, 1.0),
            conditions=[start, seen],
            params={"k": Unknown("k", positive=True)},
        )

    small = {"features": 8, "times": 10, "check": False, "tol": 1e-2}
    with pytest.warns(PendulaWarning, match=r"sigma_r is 0\.001"):
        solve(decay(1e-3), **small)
    found = solve(decay(1e-3), sigma_r=1e-6, **small).report
    other = solve(decay(1.0), **small).report
    assert found.unknown_sd["k"] == pytest.approx(other.unknown_sd["k"], rel=1e-3)


def test_measurements_belong_to_all_of_the_time():
    seen = [Initial(1.0), Observation([[2.5]], [0.4], 0.1)]
    method = Network(LINE, GaussNewton(steps=1), InWindows(0.5))
    with pytest.raises(ConfigError, match="belong to all of the time"):
        solve(Problem(conditions=seen, **DECAY), method=method)


@pytest.mark.slow
def test_soft_conditions_hand_on_from_window_to_window():
    config = NetworkConfig(
        width=10,
        points=180,
        hard=False,
        harmonics=0,
        initial_points=40,
        boundary_times=10,
    )
    method = Network(config, GaussNewton(steps=40), InWindows(0.5))
    found = solve(named_problem("convection", beta=3.0), method=method, check=False)
    assert error(found, "convection", beta=3.0) < 2e-2
    assert set(found.report.train) == {"equation", "initial", "periodic x"}


@pytest.mark.parametrize("name", METHODS)
def test_methods_by_name(name):
    found = method_of(name, {"seed": 3})
    assert getattr(found, "config", found).seed == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: solve(p, tol=0.0), "tol is 0.0"),
        (lambda p: solve(p, tol=float("nan")), "tol is nan"),
        (lambda p: solve(p, method="frosen"), 'Did you mean "frozen"'),
        (lambda p: solve(p, method=Network), "give a name of METHODS, or the settings"),
        (lambda p: solve(p, feature=3), 'Did you mean "features"'),
        (lambda p: solve(p, features=0), "features is 0; .* at least 1"),
        (lambda p: solve(p, slopes=()), "slopes are .*at least one"),
        (lambda p: solve(p, slopes=(1.0, -1.0)), "slopes is -1.0"),
        (lambda p: solve(p, most_windows=0), "most_windows is 0"),
        (lambda p: solve(p, windows=(0.0, 0.0)), "windows are"),
        (lambda p: solve(p, windows=(0.0, 2.0)), "windows from 0 to 2, and the time"),
        (lambda p: solve(p, windows=(0.5, 1.0)), "windows from 0.5 to 1, and the time"),
        (lambda p: solve(p, seed=-1), "seed is -1"),
        (lambda p: solve(p, method="gp", nodes=3), "nodes is 3"),
        (lambda p: solve(p, method="adam", harmonics=-1), "harmonics is -1"),
        (
            lambda p: solve(p, method="adam", weights=(("equatoin", 2.0),)),
            'no term "equatoin". Did you mean "equation"',
        ),
        (lambda p: solve(p, budget="two minutes"), "write it as"),
        (lambda p: solve(p, budget="1.2.3 s"), "write it as"),
        (lambda p: solve(p, budget=-1.0), "above 0 seconds"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ConfigError, match=words):
        call(named_problem("convection", beta=1.0))


def test_budgets_in_words():
    assert parse_budget("2 min") == 120.0
    assert parse_budget("30 s") == 30.0
    assert parse_budget("1.5 h") == 5400.0
    assert parse_budget(None) == np.inf
