"""A layer that meets an equation: exactness, its gradients, conservation, bad input."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula.solutions import (
    Initial,
    Integral,
    Interval,
    Neumann,
    Problem,
    Unknown,
)
from pendula.solutions._constrain import constrain


CIRCLE = Interval(0.0, 2.0 * np.pi, periodic=True)
LINE = Interval(0.0, 1.0)
POINTS = np.stack(np.meshgrid(np.linspace(0, 6, 5), np.linspace(0, 1, 4)), -1)


@pytest.fixture(autouse=True)
def _float64():
    with precision(np.float64):
        yield


def heat(conditions=(), **more):
    """Diffusion on the circle."""
    return Problem(
        lambda u, x, t, p: u.t - p.nu * u.xx,
        domain=CIRCLE,
        time=(0.0, 1.0),
        conditions=[Initial(lambda x: 1.0 + jnp.sin(x)), *conditions],
        params={"nu": 0.3},
        **more,
    )


def logistic():
    """Growth that saturates."""
    return Problem(
        lambda u, t, p: u.t - p.k * u() * (1.0 - u()),
        time=(0.0, 1.0),
        conditions=[Initial(0.2)],
        params={"k": 2.0},
    )


def powers(p, num=12):
    """Monomials of s."""
    return jnp.stack([p[:, -1] ** k for k in range(num)], 1)


def spans_heat(p):
    """Functions of which s times a combination is sin x (exp(-0.3 s) - 1)."""
    s = p[:, 1]
    factor = jnp.where(s > 0.0, jnp.expm1(-0.3 * s) / jnp.where(s > 0.0, s, 1.0), -0.3)
    x = p[:, 0]
    columns = [factor * jnp.sin(x), jnp.cos(x) * s, jnp.sin(2.0 * x), jnp.cos(x) ** 2]
    return jnp.stack(columns, 1)


def neurons(theta, p):
    """Six neurons on the circle."""
    z = jnp.stack([jnp.cos(p[:, 0]), jnp.sin(p[:, 0]), p[:, 1]], 1)
    return jnp.tanh(z @ theta)


def test_solution_in_the_span_is_exact():
    u = constrain(spans_heat, heat(), nodes=16, times=8)
    points = jnp.asarray(POINTS.reshape(-1, 2))
    x, t = points.T
    assert_allclose(u(points)[:, 0], 1.0 + jnp.sin(x) * jnp.exp(-0.3 * t), atol=1e-12)
    assert_allclose(u.weights[0, 0], [1.0, 0.0, 0.0, 0.0], atol=1e-11)
    assert float(u.residual[0]) < 1e-12


def test_nonlinear_solution_and_slope():
    u = constrain(powers, logistic())
    t = jnp.linspace(0.0, 1.0, 7)[:, None]
    truth = 0.2 * jnp.exp(2.0 * t) / (0.8 + 0.2 * jnp.exp(2.0 * t))
    assert_allclose(u(t), truth, atol=1e-8)
    assert_allclose(u.values(t, [(1,)])[1,], 2.0 * truth * (1.0 - truth), atol=1e-6)
    for look in (u, lambda p: u.values(p, [(1,)])):
        with pytest.raises(DataError, match=r"point 5, \[1.25\], lies outside"):
            look(1.5 * t)
        with pytest.raises(ShapeError, match=r"expected \(points, 1\)"):
            look(jnp.ones((2, 3)))
    assert eqx.filter_jit(u)(1.5 * t).shape == t.shape  # nobody knows where they lie


def test_cells_are_solved_side_by_side():
    cubic = partial(powers, num=4)
    one, four = (constrain(cubic, logistic(), cells=[n]) for n in (1, 4))
    assert four.weights.shape == (4, 1, 4)
    # the equation holds better in each piece than on the whole
    assert float(four.residual.max()) < float(one.residual[0])
    t = jnp.asarray([[0.1], [0.3], [0.6], [0.9]])  # one in each cell
    own = jnp.sum(four.weights[:, 0] * t * cubic(t), axis=1)
    assert_allclose(four(t)[:, 0], 0.2 + own, atol=1e-14)


@pytest.mark.parametrize(
    "name", [pytest.param("linear", marks=pytest.mark.slow), "nonlinear"]
)
def test_gradient_against_differences(name):
    rng = np.random.default_rng(0)
    direction = jnp.asarray(rng.normal(size=(3, 6)))
    theta = jnp.asarray(rng.normal(size=(3, 6)))
    problem = heat()
    if name == "nonlinear":
        problem = Problem(
            lambda u, x, t, p: u.t + u() * u.x - p.nu * u.xx,
            domain=CIRCLE,
            time=(0.0, 0.5),
            conditions=[Initial(jnp.sin)],
            params={"nu": 0.3},
        )
    at = jnp.asarray([[0.7, 0.2], [2.0, 0.4], [4.0, 0.1]])

    @jax.jit
    def value(theta, nu):
        basis = partial(neurons, theta)
        u = constrain(basis, problem, params={"nu": nu}, nodes=12, times=6)
        return jnp.sum(jnp.sin(u(at) + at[:, :1]))

    nu, step = jnp.asarray(0.3), 1e-5
    slope, slope_nu = jax.jit(jax.grad(value, argnums=(0, 1)))(theta, nu)
    up, down = value(theta + step * direction, nu), value(theta - step * direction, nu)
    assert_allclose(jnp.sum(slope * direction), (up - down) / (2 * step), rtol=1e-5)
    up, down = value(theta, nu + step), value(theta, nu - step)
    assert_allclose(slope_nu, (up - down) / (2 * step), rtol=1e-5)


def test_conservation_is_exact_whatever_the_basis():
    theta = jnp.asarray(np.random.default_rng(2).normal(size=(3, 20)))
    basis = partial(neurons, theta)
    problem = heat([Integral(2.0 * np.pi)])
    x = np.linspace(0.0, 2.0 * np.pi, 256, endpoint=False)
    held = constrain(basis, problem, nodes=12, times=5)
    free = constrain(basis, heat(), nodes=12, times=5)
    t = Interval(0.0, 1.0).axis(5, 0)
    grid = jnp.asarray(np.stack(np.meshgrid(x, t, indexing="ij"), -1).reshape(-1, 2))
    mean = lambda u: np.asarray(u(grid)).reshape(256, 5).mean(0)
    assert_allclose(mean(held), 1.0, atol=1e-12)
    assert np.abs(mean(free) - 1.0).max() > 1e-9
    assert float(held.residual[0]) < 10.0 * float(free.residual[0]) + 0.1


def test_rows_of_the_loss_are_met():
    problem = Problem(
        lambda u, x, p: u.xx + p.f,
        domain=LINE,
        conditions=[Neumann(0.0, on="x-"), Neumann(-2.0, on="x+"), Integral(1.0)],
        params={"f": 2.0},
    )
    u = constrain(partial(powers, num=5), problem, nodes=9)
    x = jnp.linspace(0.0, 1.0, 5)[:, None]
    assert_allclose(u(x), 4.0 / 3.0 - x**2, atol=1e-11)


def test_bad_input():
    with pytest.raises(ConfigError, match="cells are"):
        constrain(powers, heat(), cells=[2])
    with pytest.raises(ConfigError, match="cells is 0"):
        constrain(powers, heat(), cells=[0, 1])
    with pytest.raises(ConfigError, match="joins all cells"):
        constrain(powers, heat([Integral(1.0)]), cells=[2, 1])
    with pytest.raises(ConfigError, match="nodes is 0"):
        constrain(powers, heat(), nodes=0)
    with pytest.raises(ConfigError, match='Did you mean "nu"'):
        constrain(powers, heat(), params={"mu": 0.1})
    with pytest.raises(ShapeError, match="the basis gave"):
        constrain(lambda p: p[:, 0], heat())
    unknown = heat().replace(params={"nu": Unknown("nu", 0.3)})
    with pytest.raises(ConfigError, match="is Unknown"):
        constrain(powers, unknown)
    sides = Problem(
        lambda u, x, t, p: u.t - u.xx,
        domain=LINE,
        time=(0.0, 1.0),
        conditions=[Initial(1.0), Neumann()],
    )
    with pytest.raises(ConfigError, match="Use one cell"):
        constrain(powers, sides, cells=[2, 1])


def test_single_precision_is_refused():
    with precision(np.float32), pytest.raises(ConfigError, match="float32"):
        constrain(powers, logistic())
