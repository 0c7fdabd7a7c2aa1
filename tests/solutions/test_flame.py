"""The flame against a boundary-value solver."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from pendula._precision import precision
from pendula.solutions import Unknown, solve
from pendula.solutions._flame import Flame, flame_problem
from pendula.studies._pinns_inverse import flame_truth


SMALL = {"features": 80, "nodes": 160, "slopes": (8.0,), "check": False}


def test_warm_up_meets_both_conditions():
    flame = Flame()
    h = 1e-9
    with precision(np.float64):
        z = np.asarray(flame.warm_up(jnp.asarray([0.0, h, flame.length])))
    assert z[0] == 0.0
    assert z[1] / h * flame.rise == pytest.approx(flame.gradient, rel=1e-4)
    assert z[2] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.slow
def test_speed_is_that_of_the_boundary_value_solver():
    speed, truth = flame_truth(Flame())
    solution = solve(flame_problem(), tol=1e-2, **SMALL)
    assert solution.report.unknown["sL"] == pytest.approx(speed, rel=1e-4)
    assert solution.report.unknown_sd == {}
    x = np.linspace(0.0, 1.5e-3, 50)
    gap = Flame().temperature(solution, x) - truth(x)
    assert np.abs(gap).max() < 5.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_conductivity_and_activation(seed: int):
    speed, truth = flame_truth(Flame())
    rng = np.random.default_rng(seed)
    at = np.linspace(0.05, 0.95, 10) * 1.5e-3
    flame = Flame(
        speed=speed,
        conductivity=Unknown("lam", init=2.0e-2, positive=True),
        activation=Unknown("E", init=1.0e5, positive=True),
    )
    seen = truth(at) * (1.0 + 0.02 * rng.normal(size=10))
    problem = flame_problem(flame, at=at, temperature=seen)
    report = solve(problem, tol=1e-2, **SMALL).report
    for name, true in (("lam", 2.6e-2), ("E", 1.214172e5)):
        assert report.unknown[name] == pytest.approx(true, rel=0.05)
        assert abs(report.unknown[name] - true) < 4.0 * report.unknown_sd[name]


def test_bad_input():
    with pytest.raises(ValueError, match=r"known from 0 to 0\.0015"):
        Flame().temperature(None, 2e-3)
    with pytest.raises(ValueError, match="heat"):
        Flame(heat=0.0)
    with pytest.raises(ValueError, match="or neither"):
        flame_problem(at=[1e-4])
    with pytest.raises(ValueError, match="shape"):
        flame_problem(at=[1e-4, 2e-4], temperature=[300.0])
    with pytest.raises(ValueError, match="above 0"):
        flame_problem(at=[1e-4], temperature=[-5.0])
    with pytest.raises(ValueError, match="outside the domain"):
        flame_problem(at=[2e-3], temperature=[900.0])
