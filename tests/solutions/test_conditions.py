"""Conditions: what they hold, values at points, bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula.solutions._conditions import (
    Dirichlet,
    Initial,
    Integral,
    Neumann,
    Observation,
    Periodic,
    Robin,
    evaluate,
    is_finite,
)


POINTS = np.asarray([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])


def test_values_at_points():
    with precision(np.float64):
        points = jnp.asarray(POINTS)
        assert evaluate(2.5, points, "value").tolist() == [2.5, 2.5, 2.5]
        both = evaluate(lambda x, t: x + 10.0 * t, points, "value")
        assert both.tolist() == [10.0, 32.0, 54.0]
        assert evaluate(lambda x, t: 7, points, "value").tolist() == [7.0, 7.0, 7.0]
        assert (
            evaluate(lambda x, t: np.asarray(x), points, "value").dtype == jnp.float64
        )
        empty = evaluate(lambda: 1.0, jnp.zeros((2, 0)), "value")
        assert empty.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "value",
    [
        lambda x, t: jnp.stack([x, t]),  # (2, n)
        lambda x, t: x[:, None],  # (n, 1)
        lambda x, t: x[:-1],  # n - 1
    ],
)
def test_values_of_another_shape_are_refused(value):
    with pytest.raises(ShapeError, match=r"Initial .*shape"):
        evaluate(value, jnp.asarray(POINTS, jnp.float32), "Initial")


def test_compiled_code_calls_values():
    """NumPy's functions of arrays cannot be compiled; what is advised instead can."""
    call = lambda points, value: evaluate(value, points, "Initial")
    at = jax.jit(call, static_argnames="value")
    points = jnp.linspace(0.0, 1.0, 5)[:, None]
    line = lambda x: jnp.interp(x, jnp.asarray([0.0, 1.0]), jnp.asarray([0.0, 2.0]))
    np.testing.assert_allclose(at(points, line), 2.0 * points[:, 0], rtol=1e-6)
    for value in (np.sin, lambda x: np.interp(x, [0.0, 1.0], [0.0, 2.0])):
        with pytest.raises(ConfigError, match=r"Initial cannot .* jax\.numpy"):
            at(points, value)


def test_numbers_of_numpy_are_numbers():
    """Else a compiled program warns of arrays in it."""
    two = np.float64(2.0)
    assert type(Dirichlet(two).value) is float
    assert [type(v) for v in Initial([two, 1.0]).value] == [float, float]


def test_values_have_to_be_finite():
    is_finite(lambda x, t: 1.0 / (1.0 + x), POINTS, "Dirichlet")
    with pytest.raises(DataError, match=r"Dirichlet is inf at \[0.0, 1.0\]"):
        is_finite(lambda x, t: 1.0 / x, POINTS, "Dirichlet")
    with pytest.raises(DataError, match="nan"):
        is_finite(math.nan, POINTS, "Dirichlet")


def test_defaults():
    """What is known to be exact is built in where it can be; nothing else is."""
    for kind in (Initial, Dirichlet, Neumann, Robin, Integral):
        condition = kind(value=0.0)
        assert (condition.hard, condition.weight, condition.field) == (None, 1.0, None)
    assert Robin().a == Robin().b == 1.0
    assert Periodic().order == 1
    assert Dirichlet().on is None


def test_observations_hold_arrays():
    seen = Observation([[0.0, 1.0]], [2])
    points, values = seen.arrays()
    assert points.dtype == values.dtype == np.float64
    assert (points.shape, values.shape) == ((1, 2), (1,))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Initial(0.0, order=2), "order is 2; it is 0 or 1"),
        (lambda: Robin(0.0, 0.0), "one of them other than 0"),
        (lambda: Robin(math.nan, 1.0), "finite"),
        (lambda: Periodic(order=0), "order is 0; it is 1 to 4"),
        (lambda: Periodic(order=5), "order is 5"),
        (lambda: Observation(POINTS, [1.0, 2.0]), "expected"),
        (lambda: Observation(POINTS[0], [1.0]), "shape"),
        (lambda: Observation(POINTS, [1.0, math.nan, 0.0]), "NaN or infinity"),
        (lambda: Observation(np.full((3, 2), math.inf), np.ones(3)), "NaN or infinity"),
        (lambda: Observation(POINTS, np.ones(3), sigma=-0.1), "sigma is -0.1"),
        (lambda: Observation(POINTS, np.ones(3), sigma=0.0), "above 0"),
        (lambda: Observation(POINTS, np.ones(3), sigma=math.nan), "sigma is nan"),
    ],
)
def test_bad_input(build, words):
    with pytest.raises((ConfigError, DataError, ShapeError), match=words):
        build()
