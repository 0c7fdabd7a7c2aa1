"""Moving coordinates: exact cases, truths, crossing characteristics, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError, DivergedError, ShapeError
from pendula.solutions import Frozen, FrozenConfig, Initial, Interval, Problem, solve
from pendula.solutions._lagrangian import EulerianView, lagrangian
from pendula.systems import pde_truth


CIRCLE = Interval(0.0, 2.0 * np.pi, periodic=True)
SHORT = Interval(-1.0, 1.0, periodic=True)
X = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
T = np.linspace(0.0, 1.0, 6)
SMALL = FrozenConfig(features=150, nodes=40, times=12, slopes=(0.5,))


def view_of(problem, tol=1e-6):
    """Solved by frozen features and seen in x."""
    return EulerianView(solve(problem, tol=tol, method=Frozen(SMALL), check=False))


@pytest.mark.slow
def test_constant_speed_is_exact():
    problem = lagrangian(50.0, jnp.sin, domain=CIRCLE, time=(0.0, 1.0), mean=50.0)
    view = view_of(problem)
    truth = np.sin(X[:, None] - 50.0 * T[None])
    assert_allclose(view(X[:, None], T[None]), truth, atol=1e-11)
    assert_allclose(view.slope(X, 1.0), np.cos(X - 50.0), atol=1e-11)
    assert view.solution.report.iterations <= 2
    assert_allclose(view.stretch(T), 1.0, atol=1e-12)


@pytest.mark.slow
def test_variable_speed():
    problem = lagrangian(
        lambda u, x, t, p: p.c / (4.0 - jnp.cos(x)),
        jnp.sin,
        domain=CIRCLE,
        time=(0.0, 1.0),
        params={"c": 20.0},
        mean=5.0,  # a turn takes 8 pi / c
    )
    view = view_of(problem, 1e-4)
    # 4 x - sin x grows by c t along a characteristic
    right = (4.0 * X - np.sin(X))[:, None] - 20.0 * T[None]
    label = right / 4.0
    for _ in range(60):
        gap = 4.0 * label - np.sin(label) - right
        label = label - gap / (4.0 - np.cos(label))
    assert_allclose(view(X[:, None], T[None]), np.sin(label), atol=1e-5)


@pytest.mark.slow
def test_viscous_burgers_with_mean_speed():
    problem = lagrangian(
        lambda u, x, t, p: u,
        lambda x: 50.0 - jnp.sin(np.pi * x),
        domain=SHORT,
        time=(0.0, 1.0),
        diffusion=lambda p: p.nu,
        params={"nu": 0.1},
        mean=50.0,
    )
    view = view_of(problem, 1e-4)
    x = np.linspace(-1.0, 1.0, 24, endpoint=False)
    truth = pde_truth("burgers", x, T, nu=0.1, speed=50.0).T - 50.0
    gap = view(x[:, None], T[None]) - 50.0 - truth
    assert np.linalg.norm(gap) < 1e-4 * np.linalg.norm(truth)
    assert (view.stretch(T) > 0.0).all()


@pytest.mark.slow
def test_crossing_is_said():
    problem = lagrangian(
        lambda u, x, t, p: u,
        lambda x: -jnp.sin(np.pi * x),
        domain=SHORT,
        time=(0.0, 0.4),
    )
    view = view_of(problem, 1e-4)
    early = 0.2
    label = np.linspace(-1.0, 1.0, 9, endpoint=False)
    place = label - early * np.sin(np.pi * label)
    assert_allclose(view(place, early), -np.sin(np.pi * label), atol=1e-5)
    assert_allclose(view.stretch(early), 1.0 - np.pi * early, atol=1e-5)
    with pytest.raises(DivergedError, match=r"have crossed at t = 0\.4"):
        view(0.1, [0.2, 0.4])


def test_bad_input():
    given = {"domain": CIRCLE, "time": (0.0, 1.0)}
    with pytest.raises(ConfigError, match="periodic Interval"):
        lagrangian(1.0, jnp.sin, domain=Interval(0.0, 1.0), time=(0.0, 1.0))
    with pytest.raises(ConfigError, match="diffusion is -1"):
        lagrangian(1.0, jnp.sin, diffusion=-1.0, **given)
    with pytest.raises(ConfigError, match="mean is"):
        lagrangian(1.0, jnp.sin, mean=np.inf, **given)
    with pytest.raises(ConfigError, match="speed is"):
        lagrangian(np.nan, jnp.sin, **given)


def test_calls_are_checked():
    view = view_of(lagrangian(1.0, jnp.sin, domain=CIRCLE, time=(0.0, 1.0), mean=1.0))
    with pytest.raises(ConfigError, match="times from"):
        view(0.0, 2.0)
    view.solution.windows.end = 0.5  # as after a budget
    for look in (lambda t: view(0.0, t), view.stretch):
        for t in (0.7, np.nan):
            with pytest.raises(ConfigError, match=r"is known from 0 to 0\.5"):
                look(t)
    with pytest.raises(ConfigError, match="labels"):
        view.stretch(0.2, 0)
    with pytest.raises(ShapeError, match="not broadcast"):
        view(np.zeros(2), np.zeros(3))
    other = Problem(
        lambda u, t, p: u.t + u(), time=(0.0, 1.0), conditions=[Initial(1.0)]
    )
    with pytest.raises(ConfigError, match="not of a problem"):
        EulerianView(solve(other, check=False))
