"""Gaussian processes with learned spectra: covariances, and closed forms."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError
from pendula._precision import precision
from pendula.solutions import (
    Box,
    Dirichlet,
    Disc,
    GaussianProcess,
    Initial,
    Interval,
    Outcome,
    Problem,
    Unknown,
    solve,
)
from pendula.solutions._parts import Windows
from pendula.solutions._spectral_mixture import even_nodes, mixture, on_nodes, root
from pendula.solutions._trained import soft_form


@pytest.mark.parametrize("spectrum", ["gauss", "student", "circle"])
def test_covariances_are_positive_and_their_slopes_are_slopes(spectrum):
    with precision(np.float64):
        kernel = mixture(5, 24, spectrum, 8.0)
        nodes = even_nodes(24, spectrum)
        full = np.asarray(on_nodes(kernel, nodes, 0))
        assert_allclose(full, full.T, atol=1e-12)
        assert_allclose(
            full, kernel(jnp.asarray(np.subtract.outer(nodes, nodes))), atol=1e-12
        )
        assert np.linalg.eigvalsh(full).min() > -1e-10 * full[0, 0]
        low = np.asarray(root(kernel, nodes))
        assert_allclose(low @ low.T, full, atol=1e-8)
        d, h = np.asarray([0.0, 0.1, -0.37]), 1e-5
        for order in (1, 2):
            up, down = (kernel.slope(jnp.asarray(d + s), order - 1) for s in (h, -h))
            found = kernel.slope(jnp.asarray(d), order)
            assert_allclose(found, (up - down) / (2 * h), rtol=1e-3, atol=1e-3)


def test_a_circle_has_whole_waves():
    with precision(np.float64):
        kernel = mixture(4, 16, "circle", 4.0)
        assert_allclose(kernel(jnp.asarray([0.3])), kernel(jnp.asarray([1.3])))


def wiggly(waves, **more):
    """u'' = f on a line with u = sin(2 pi waves x)."""
    k = 2.0 * np.pi * waves
    return Problem(
        lambda u, x, p: u.xx + k**2 * jnp.sin(k * x),
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(lambda x: jnp.sin(k * x))],
        **more,
    )


@pytest.mark.parametrize(
    ("spectrum", "nodes", "most"),
    [
        ("gauss", 64, 1e-4),
        pytest.param("student", 192, 1e-3, marks=pytest.mark.slow),
    ],
)
def test_high_frequencies_on_few_nodes(spectrum, nodes, most):
    # three nodes a wave; neurons of the fast path would need far more. Student's
    # covariance has two derivatives only, and needs more.
    found = solve(
        wiggly(20),
        method="gp",
        nodes=nodes,
        components=12,
        spectrum=spectrum,
        steps=20,
        check=spectrum == "gauss",
    )
    x = np.linspace(0.0, 1.0, 301)
    off = np.sqrt(np.mean((found(x) - np.sin(40.0 * np.pi * x)) ** 2) * 2.0)
    assert off < most
    if spectrum == "gauss":
        assert found.report.converged
        assert found.report.estimate is not None
        assert found.report.estimate["overall"] == pytest.approx(off, abs=2.0 * most)


@pytest.mark.slow
def test_nonlinear_in_time_on_a_circle():
    problem = Problem(
        lambda u, x, t, p: u.t + p.c * u.x + u() ** 2 - (jnp.sin(x - p.c * t)) ** 2,
        domain=Interval(0.0, 2.0 * np.pi, periodic=True),
        time=(0.0, 0.5),
        conditions=[Initial(jnp.sin)],
        params={"c": 2.0},
    )
    found = solve(problem, method="gp", nodes=12, components=6, steps=20, check=False)
    x, t = np.linspace(0.0, 6.0, 7)[:, None], np.linspace(0.0, 0.5, 5)[None]
    assert_allclose(found(x, t), np.sin(x - 2.0 * t), atol=2e-3)


@pytest.mark.slow
def test_two_dimensions():
    box = Box(Interval(0.0, 1.0), Interval(-1.0, 1.0, name="y"))
    form = lambda x, y: jnp.sin(3.0 * x) * jnp.cos(2.0 * y)
    problem = Problem(
        lambda u, x, y, p: u.xx + u.yy + 13.0 * form(x, y),
        domain=box,
        conditions=[Dirichlet(form)],
    )
    found = solve(problem, method="gp", nodes=12, components=4, steps=10, check=False)
    x, y = np.linspace(0.0, 1.0, 6)[:, None], np.linspace(-1.0, 1.0, 7)[None]
    assert_allclose(found(x, y), np.sin(3.0 * x) * np.cos(2.0 * y), atol=1e-3)


def test_a_grid_that_is_too_fine_is_judged_by_a_coarser_one():
    windows = Windows(soft_form(wiggly(1)), [], 1.0)
    none = Outcome(windows, True, 1, 1, 1, {}, {})
    fine = GaussianProcess(nodes=1500).finer(wiggly(1), none)
    assert (fine.nodes, fine.seed) == (2250, 1)
    assert GaussianProcess(nodes=2000).finer(wiggly(1), none).nodes == 1334


def test_bad_input():
    line = wiggly(1)
    with pytest.raises(ConfigError, match='it is "gauss" or "student"'):
        GaussianProcess(spectrum="box")
    with pytest.raises(ConfigError, match="steps is 0"):
        GaussianProcess(steps=0)
    with pytest.raises(ConfigError, match="nodes is 2"):
        GaussianProcess(nodes=2)
    with pytest.raises(ConfigError, match='has no setting "nods"'):
        solve(line, method="gp", nods=4)
    with pytest.raises(ConfigError, match="Ask for fewer nodes"):
        solve(line, method="gp", nodes=3000)
    with pytest.raises(ConfigError, match="a Disc"):
        solve(
            Problem(
                lambda u, x, y, p: u.xx + u.yy + 1.0,
                domain=Disc((0.0, 0.0), 1.0),
                conditions=[Dirichlet(0.0)],
            ),
            method="gp",
        )
    with pytest.raises(ConfigError, match="is Unknown"):
        solve(wiggly(1, params={"k": Unknown("k")}), method="gp")
    bent = Problem(
        lambda u, x, p: u.xxx + 1.0 * x,
        domain=Interval(0.0, 1.0),
        conditions=[Dirichlet(0.0)],
    )
    with pytest.raises(ConfigError, match='spectrum="gauss"'):
        solve(bent, method="gp", spectrum="student", nodes=10)
