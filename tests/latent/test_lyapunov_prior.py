"""The discrete Lyapunov equation against SciPy and differences, the prior against its
formula."""

import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from scipy.linalg import solve_discrete_lyapunov

from pendula import ConfigError, DivergedError, ShapeError
from pendula._precision import precision
from pendula.latent import discrete_lyapunov, lyapunov_prior


def drawn(n, radius, seed=0):
    omega = np.random.default_rng(seed).normal(size=(n, n))
    return omega * radius / np.abs(np.linalg.eigvals(omega)).max()


@pytest.mark.parametrize("method", ["eig", "kron", "smith"])
def test_solution_is_that_of_scipy(method):
    with precision(np.float64):
        for n, radius in ((3, 0.9), (8, 0.99), (8, 1.05)):
            if method == "smith" and radius > 1:
                continue
            omega = drawn(n, radius)
            q = np.eye(n) + 0.1
            true = solve_discrete_lyapunov(omega.T, q)
            found = discrete_lyapunov(jnp.asarray(omega), jnp.asarray(q), method)
            np.testing.assert_allclose(found, true, atol=1e-11 * np.abs(true).max())


@pytest.mark.parametrize("method", ["eig", "kron"])
def test_prior_has_the_slope_of_central_differences(method):
    with precision(np.float64):
        omega = jnp.asarray(drawn(5, 1.08))
        prior = jax.jit(lambda o: lyapunov_prior(o, 4.0, method))
        slope = np.asarray(jax.grad(prior)(omega))
        assert float(prior(omega)) > 1e-3
        for i in range(5):
            for j in range(5):
                step = np.zeros((5, 5))
                step[i, j] = 1e-6
                difference = (prior(omega + step) - prior(omega - step)) / 2e-6
                assert slope[i, j] == pytest.approx(
                    float(difference), rel=1e-6, abs=1e-9
                )


def test_slope_with_respect_to_q():
    with precision(np.float64):
        omega, g = (
            jnp.asarray(drawn(4, 0.8)),
            np.random.default_rng(1).normal(size=(4, 4)),
        )
        g = jnp.asarray(g + g.T)
        value = lambda q: jnp.sum(g * discrete_lyapunov(omega, q))
        found = jax.grad(value)(jnp.eye(4))
        # P is linear in Q
        unit = jnp.zeros((4, 4)).at[1, 2].set(0.5).at[2, 1].set(0.5)
        np.testing.assert_allclose(jnp.sum(found * unit), value(unit), rtol=1e-10)


def test_values_of_the_prior_of_one_number():
    """rho with p = 1 / (1 - omega^2) and gamma = 4, worked out by hand."""
    for omega, expected in ((1.01, 3e-6), (1.03, 0.013), (1.05, 0.068), (1.3, 0.54)):
        found = float(lyapunov_prior(jnp.full((1, 1), omega)))
        assert found == pytest.approx(expected, rel=0.1)
    assert float(lyapunov_prior(jnp.full((1, 1), 0.999))) == 0.0


@pytest.mark.parametrize("method", ["eig", "kron"])
@pytest.mark.parametrize("omega", [np.eye(2), np.diag([2.0, 0.5])])
def test_without_a_solution_the_prior_is_flat(omega, method):
    prior = lambda o: lyapunov_prior(o, 4.0, method)
    value, slope = jax.value_and_grad(prior)(jnp.asarray(omega, jnp.float32))
    assert float(value) == 0.0
    np.testing.assert_array_equal(slope, 0.0)


def test_defective_matrix_takes_the_other_way():
    """A Jordan block has no basis of eigenvectors."""
    with precision(np.float64):
        omega = 0.9 * np.eye(3) + np.diag([1.0, 1.0], 1)
        found = discrete_lyapunov(jnp.asarray(omega), jnp.eye(3))
        true = solve_discrete_lyapunov(omega.T, np.eye(3))
        np.testing.assert_allclose(found, true, rtol=1e-8)
        slope = jax.grad(lambda o: jnp.trace(discrete_lyapunov(o, jnp.eye(3))))(
            jnp.asarray(omega)
        )
        assert np.isfinite(slope).all()


def test_nearly_defective_matrix_of_many_rows():
    """Two eigenvectors that are all but one: the basis of them gives answers that are
    tens of times too large. A growing one is refused."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(24, 24)))[0]
    block = np.diag(0.9 + 1e-9 * np.arange(24)) + np.diag([1.0, 1.0] + 21 * [0.0], 1)
    with precision(np.float64):
        omega = turn @ block @ turn.T
        found = discrete_lyapunov(jnp.asarray(omega), jnp.eye(24))
        true = solve_discrete_lyapunov(omega.T, np.eye(24))
        np.testing.assert_allclose(found, true, atol=1e-10 * np.abs(true).max())
        slope = jax.grad(lambda q: jnp.trace(discrete_lyapunov(jnp.asarray(omega), q)))
        true = solve_discrete_lyapunov(omega, np.eye(24))
        close = {"atol": 1e-10 * np.abs(true).max()}
        np.testing.assert_allclose(slope(jnp.eye(24)), true, **close)
        with pytest.raises(DivergedError, match=r"n = 24 was not found: it grows"):
            discrete_lyapunov(jnp.asarray(1.2 * omega), jnp.eye(24))
        assert float(lyapunov_prior(jnp.asarray(1.2 * omega))) == 0.0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 0.98))
def test_solution_is_positive_and_satisfies_the_equation(seed, radius):
    with precision(np.float64):
        omega = drawn(4, radius, seed)
        p = np.asarray(discrete_lyapunov(jnp.asarray(omega), jnp.eye(4), "smith"))
    assert np.linalg.eigvalsh(p)[0] >= 1.0 - 1e-9
    np.testing.assert_allclose(
        omega.T @ p @ omega - p, -np.eye(4), atol=1e-9 * np.abs(p).max()
    )


def test_near_the_circle_single_precision_suffices():
    """It is solved in float64 inside: the value is that of the rounded matrix."""
    omega = (0.9999 * np.linalg.qr(drawn(6, 1.0))[0]).astype(np.float32)
    found = np.asarray(discrete_lyapunov(jnp.asarray(omega), jnp.eye(6)))
    assert found.dtype == np.float32
    true = solve_discrete_lyapunov(omega.T.astype(np.float64), np.eye(6))
    np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-4 * true.max())


def test_doubling_of_a_growing_map_is_not_finite():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = discrete_lyapunov(jnp.eye(2) * 1.1, jnp.eye(2), "smith")
    assert not np.isfinite(found).any()


def test_whole_numbers_are_numbers():
    """P of 2 is 1 / (1 - 4), which is no whole number."""
    two, one = jnp.array([[2]]), jnp.eye(1, dtype=int)
    np.testing.assert_allclose(discrete_lyapunov(two, one), -1 / 3, rtol=1e-6)


def test_bad_input():
    with pytest.raises(ShapeError, match="expected two of"):
        discrete_lyapunov(jnp.eye(2), jnp.eye(3))
    with pytest.raises(ConfigError, match="Allowed: eig"):
        discrete_lyapunov(jnp.eye(2), jnp.eye(2), "schur")
    with pytest.raises(ConfigError, match="441 equations"):
        discrete_lyapunov(jnp.eye(21), jnp.eye(21), "kron")
    with pytest.raises(ConfigError, match="above 0"):
        lyapunov_prior(jnp.eye(2), 0.0)
    with pytest.raises(ConfigError, match="radius below 1"):
        lyapunov_prior(jnp.eye(2), 1.0, "smith")
