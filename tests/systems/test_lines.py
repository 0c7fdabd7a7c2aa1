"""Heat and growth on a line: waves of the grid, order of the grid, fronts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError
from pendula.systems import KPP, Heat, simulate, system


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
def test_heat_equals_its_exact_motion(boundary):
    world = Heat(boundary=boundary, nodes=11, diffusivity=0.02)
    data = simulate(world, num=2, duration=5.0, dt=0.25, seed=1)
    for ts, ys in zip(data.ts, data.ys, strict=True):
        np.testing.assert_allclose(ys, world.exact(ts, ys[0]), atol=3e-8)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
@pytest.mark.parametrize("nodes", [3, 8])
def test_exact_heat_solves_the_equations_of_the_nodes(boundary, nodes):
    """Against the matrix exponential."""
    from scipy.linalg import expm

    world = Heat(boundary=boundary, nodes=nodes)
    matrix = jax.jacfwd(lambda s: world(0.0, s))(jnp.zeros(nodes))
    y0 = np.cos(3.0 * np.arange(nodes)) + 2.0
    wanted = expm(3.0 * np.asarray(matrix)) @ y0
    np.testing.assert_allclose(world.exact([1.0, 4.0], y0)[1], wanted, rtol=1e-12)


def test_heat_of_the_grid_tends_to_that_of_the_rod_with_order_two():
    """cos(pi x) decays as exp(-D pi^2 t) on the rod."""
    gaps = []
    for nodes in (11, 21, 41, 81):
        x = np.linspace(0.0, 1.0, nodes)
        ys = Heat(nodes=nodes).exact([0.0, 10.0], np.cos(np.pi * x))
        gaps.append(np.abs(ys[1] - np.exp(-0.1 * np.pi**2) * np.cos(np.pi * x)).max())
    np.testing.assert_allclose(np.log2(np.divide(gaps[:-1], gaps[1:])), 2.0, atol=0.05)


def test_ends_are_held_under_dirichlet_and_heat_is_kept_under_neumann():
    key = jax.random.key(4)
    for kind, end in ((Heat, 0.0), (KPP, 1.0)):
        world = kind(boundary="dirichlet")
        for y in (world.initial(), world.initial(key)):
            np.testing.assert_allclose(y[jnp.array([0, -1])], end, atol=1e-15)
            change = np.asarray(world(0.0, 0.9 * y))
            assert np.all(change[[0, -1]] == 0)
            assert np.all(change[1:-1] != 0)
            assert np.all((y >= 0) & (y <= 1))
    assert Heat(boundary="dirichlet").invariants(jnp.zeros(21)) == {}


def test_even_growth_is_logistic():
    world = KPP(nodes=5, rate=0.5)
    data = simulate(world, y0=np.full(5, 0.1), duration=15.0, dt=0.5)
    wanted = 1.0 / (1.0 + 9.0 * np.exp(-0.5 * data.ts[0]))
    np.testing.assert_allclose(data.ys[0], np.tile(wanted[:, None], 5), atol=3e-8)


@pytest.mark.slow
def test_fronts_run_as_the_closed_form_says_with_order_two():
    """Front at x = 20 of 60, run for 10 times 1/r, away from both ends."""
    gaps = []
    for nodes in (151, 301, 601):
        world = KPP(diffusivity=1.0, rate=1.0, length=60.0, nodes=nodes)
        x = np.linspace(0.0, 60.0, nodes)
        ts = np.array([0.0, 5.0, 10.0])
        truth = world.front(ts, x, start=20.0)
        ys = simulate(world, y0=truth[0], ts=ts).ys[0]
        gaps.append(np.abs(ys - truth)[2].max())
    assert gaps[-1] < 2e-3
    np.testing.assert_allclose(np.log2(np.divide(gaps[:-1], gaps[1:])), 2.0, atol=0.15)


def test_densities_stay_between_0_and_1():
    data = simulate("kpp", num=3, seed=2)
    assert data.ys.min() >= 0
    assert data.ys.max() <= 1 + 1e-9


def test_options_by_name():
    world = system("kpp", boundary="dirichlet", nodes=11.0)
    assert world.options() == {"nodes": 11, "boundary": "dirichlet"}
    assert world.names[-1] == "u11"
    with pytest.raises(ConfigError, match=r'boundary is "dirichlt".*"dirichlet"'):
        system("kpp", boundary="dirichlt")
    with pytest.raises(ConfigError, match="nodes is 2; it must be a whole number"):
        Heat(nodes=2)
    with pytest.raises(ConfigError, match='Did you mean "nodes"'):
        system("heat", node=5)
    assert simulate(world, duration=2.0).origin["options"] == world.options()
