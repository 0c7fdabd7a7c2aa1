"""Posteriors of unknown parameters against exact ones of linear problems."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula.solutions import Initial, Observation, Problem, Unknown, solve
from pendula.solutions._laplace import estimated, exact, marginal


def test_marginal_is_a_block_of_the_inverse():
    rng = np.random.default_rng(0)
    jac = rng.normal(size=(30, 7))
    full = np.linalg.inv(jac.T @ jac)
    found = marginal(jac[:, -2:], jac[:, :-2])
    np.testing.assert_allclose(found, full[-2:, -2:], rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(0, 6), st.integers(0, 10_000))
def test_marginal_of_any_size(parameters: int, weights: int, seed: int):
    rng = np.random.default_rng(seed)
    jac = rng.normal(size=(20, parameters + weights))
    full = np.linalg.inv(jac.T @ jac)[weights:, weights:]
    found = marginal(jac[:, weights:], jac[:, :weights])
    if not weights:
        np.testing.assert_array_equal(found, marginal(jac))
    np.testing.assert_allclose(found, full, rtol=1e-6, atol=1e-12)


def test_what_rows_do_not_say_is_infinite():
    weights = np.eye(5)[:, :2]
    found = marginal(np.eye(5)[:, [0, 3]], weights)
    assert found[0, 0] == math.inf
    assert found[1, 1] == pytest.approx(1.0)


def test_marginal_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="same rows"):
        marginal(np.ones((3, 1)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="NaN"):
        marginal(np.full((3, 1), np.nan))
    with pytest.raises(ValueError, match="weights hold NaN"):
        marginal(np.ones((3, 1)), np.full((3, 2), np.inf))


def test_interval_of_a_positive_unknown():
    unknown = Unknown("k", init=2.0, positive=True, scale=0.5)
    found = estimated(unknown, 0.4, 0.1)
    assert found.value == pytest.approx(2.0 * math.exp(0.2))
    assert found.sd == pytest.approx(0.05 * found.value)
    low, high = found.interval
    assert low * high == pytest.approx(found.value**2)
    assert exact(unknown, unknown.raw(3.0)) == pytest.approx(3.0, rel=1e-14)
    assert estimated(unknown, 0.0, math.inf).interval[1] == math.inf


@pytest.mark.parametrize(
    ("method", "options", "close"),
    [
        ("frozen", {"sigma_r": 1e-6, "features": 15}, 1e-3),
        ("gauss_newton", {"width": 4, "depth": 1, "points": 20}, 0.02),
        ("ssbroyden", {"width": 4, "depth": 1, "points": 20, "steps": 500}, 0.02),
    ],
)
def test_slope_of_a_line_has_its_exact_posterior(method, options, close):
    # u' = k, u(0) = 0: u = k t, so k has variance sigma^2 / sum t^2 where the equation
    # holds exactly
    rng = np.random.default_rng(3)
    t, sigma, true = np.linspace(0.1, 1.0, 12), 0.05, 1.7
    y = true * t + sigma * rng.normal(size=t.size)
    problem = Problem(
        lambda u, t, p: u.t - p.k,
        time=(0.0, 1.0),
        conditions=[Initial(0.0), Observation(t[:, None], y, sigma=sigma)],
        params={"k": Unknown("k", init=1.0)},
    )
    report = solve(problem, method=method, check=False, **options).report
    best = float(t @ y / (t @ t))
    sd = sigma / math.sqrt(float(t @ t))
    assert report.unknown["k"] == pytest.approx(best, abs=close * sd)
    assert report.unknown_sd["k"] == pytest.approx(sd, rel=close)
    low, high = report.unknown_interval["k"]
    assert high - low == pytest.approx(2.0 * 1.959964 * sd, rel=close)


def test_a_solution_that_misses_its_measurements_is_none():
    t = np.linspace(0.1, 1.0, 5)
    problem = Problem(
        lambda u, t, p: u.t - p.k,
        time=(0.0, 1.0),
        conditions=[Initial(0.0), Observation(t[:, None], 9.0 * t, sigma=0.05)],
        params={"k": Unknown("k", init=1.0)},
    )
    small = {"width": 4, "depth": 1, "points": 20, "steps": 20}
    found = solve(problem, method="adam", tol=1e3, budget=1e-6, check=False, **small)
    assert not found.report.converged  # though its residual is below the tolerance
    assert "of their sigma" in found.report.notes[-1]


def decay(y, sigma, start=()):
    """u' = -k u from measurements at T; k begins at 1."""
    return solve(
        Problem(
            lambda u, t, p: u.t + p.k * u(),
            time=(0.0, 3.0),
            conditions=[*start, Observation(T[:, None], y, sigma=sigma)],
            params={"k": Unknown("k")},
        ),
        check=False,
    ).report


T = np.linspace(0.1, 3.0, 12)


def test_a_parameter_far_from_its_guess_is_found():
    """The equation leaves a narrow valley; steps along it are short."""
    report = decay(2.0 * np.exp(-3.5 * T), 1e-3)
    assert report.converged
    assert report.unknown["k"] == pytest.approx(3.5, abs=report.unknown_sd["k"])


def test_more_than_noise_is_told():
    report = decay(np.exp(-T) + 0.1 * np.sin(9.0 * T), 0.04, [Initial(1.0)])
    assert not report.converged
    assert report.missed == pytest.approx(1.8, abs=0.4)
    assert "sigma is too small" in report.notes[-1]


def test_one_window_gets_the_neurons_that_it_needs():
    """A front in the middle of the time."""
    t = np.linspace(0.5, 9.5, 10)
    front = 1.0 / (1.0 + np.exp(-1.0 * (t - 5.0)))
    problem = Problem(
        lambda u, t, p: u.t - p.r * u() * (1.0 - u()),
        time=(0.0, 10.0),
        conditions=[
            Observation(t[:, None], front, sigma=1e-2),
            Initial(1.0 / (1.0 + np.exp(5.0))),
        ],
        params={"r": Unknown("r", init=0.9)},
    )
    report = solve(problem, check=False, features=30, times=30).report
    assert report.converged
    assert report.weights > 30
    assert report.unknown["r"] == pytest.approx(1.0, abs=0.01)


def test_without_measurements_there_is_no_posterior():
    problem = Problem(
        lambda u, t, p: u.t - 1.0, time=(0.0, 1.0), conditions=[Initial(0.0)]
    )
    assert solve(problem, check=False).report.unknown_sd == {}
