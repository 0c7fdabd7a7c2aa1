"""The classical rival: it reaches the error, and not by far."""

import numpy as np
import pytest

from pendula import ConfigError
from pendula.systems import classical_time, pde_truth, truth_grid
from pendula.systems._classical_time import _march
from pendula.systems._pde_solvers import FLOWS


def test_linear_waves_take_four_modes_and_no_time():
    for name, params in (("convection", {"beta": 40.0}), ("advection_fast", {})):
        found = classical_time(name, 1e-10, **params)
        assert (found.modes, found.steps) == (4, 1)
        assert found.error < 1e-12
        assert 0.0 < found.seconds < 0.1
    bump = lambda x: np.exp(3.0 * np.cos(x))
    found = classical_time("convection", 1e-6, initial=bump)
    assert 16 <= found.modes <= 64


@pytest.mark.slow
def test_what_is_told_is_reached_and_nothing_can_be_spared():
    name, error = "reaction_diffusion", 1e-4
    found = classical_time(name, error, nu=3.0, rho=5.0)
    assert found.error <= error
    x, t = truth_grid(name)
    truth = pde_truth(name, x, t, nu=3.0, rho=5.0)
    flow = FLOWS[name](nu=3.0, rho=5.0)

    def miss(modes, steps):
        u, _ = _march(flow, x, t, modes, steps)
        return np.linalg.norm(u - truth) / np.linalg.norm(truth)

    assert miss(found.modes, found.steps) == pytest.approx(found.error)
    assert found.steps < 99  # fewer than there are times
    assert miss(found.modes, 3 * found.steps // 4) > error
    better = classical_time(name, 1e-6, nu=3.0, rho=5.0)
    assert better.error <= 1e-6
    assert better.modes * better.steps > found.modes * found.steps


@pytest.mark.parametrize(
    "name",
    [
        "reaction",
        pytest.param("burgers", marks=pytest.mark.slow),
        "lorenz",
        pytest.param("ns_torus", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_solver(name):
    x, t = truth_grid(name)
    params = {"ns_torus": {"modes": 48, "dt": 0.05, "nu": 0.05}}.get(name, {})
    t = t[t <= 5.0] if name == "lorenz" else t
    found = classical_time(name, 1e-3, x=x, t=t, **params)
    assert found.error <= 1e-3
    assert found.steps >= 1
    assert found.name == name
    if name == "lorenz":
        assert found.modes == 3


def test_bad_questions_are_refused():
    with pytest.raises(ConfigError, match="error is 0"):
        classical_time("convection", 0.0)
    with pytest.raises(ConfigError, match="no problem"):
        classical_time("nothing", 1e-3)
    with pytest.raises(ConfigError, match="closed form"):
        classical_time("helmholtz", 1e-3)
    with pytest.raises(ConfigError, match="closed form"):
        classical_time("ns_torus", 1e-3, initial="taylor_green")
    with pytest.raises(ConfigError, match="is 0 here"):
        classical_time("helmholtz", 1e-3, x=[[0.0, 0.0]], t=[0.0])
    with pytest.raises(ConfigError, match="truth_error"):
        classical_time("reaction_diffusion", 1e-5, reference="krishnapriyan2021")
