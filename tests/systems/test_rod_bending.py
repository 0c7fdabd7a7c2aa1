"""Laws of bending that are not linear, and how they are found."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError
from pendula._errors import DataWarning
from pendula.systems import (
    BendingLaw,
    Boundary,
    ElasticRod,
    Section,
    fit_bending,
    simulate_rod,
)
from pendula.systems._fit_bending import _check_plane


def line(number=10, law=None):
    """A straight rod along x, as soft as hangs down, clamped at one end."""
    points = np.linspace([0.0, 0, 0], [0.1, 0, 0], number)
    rod = ElasticRod.from_points(points, Section.circular(1e-3, 1e6, 1000.0))
    return dataclasses.replace(rod, law=law), Boundary.of(rod, [0, 1], [0])


def test_moment_and_energy_are_exact_integrals():
    """Of a stiffness that is linear between knots and constant beyond; even."""
    k, h = np.array([1.0, 2.0, 0.5, 3.0]), 0.5
    with jax.enable_x64(True):
        law = BendingLaw(jnp.asarray(k), jnp.asarray(h))
        x = jnp.linspace(-2.5, 2.5, 100)
        psi, moment, stiff = jax.jit(lambda x: law.parts(x))(x)
        slope = lambda j: jax.jit(jax.vmap(jax.grad(lambda x: law.parts(x)[j])))(x)
        assert_allclose(slope(0), moment, atol=1e-14)
        assert_allclose(slope(1), stiff, atol=1e-14)
        assert_allclose(law.parts(jnp.zeros(1))[2], 1.0)
    assert_allclose(stiff, np.interp(np.abs(x), h * np.arange(4), k), atol=1e-14)
    assert_allclose(psi, psi[::-1], atol=1e-14)
    assert_allclose(moment, -moment[::-1], atol=1e-14)
    area = h * (1.5 + 1.25 + 1.75) + 3.0 * (2.5 - 1.5)
    assert_allclose(moment[-1], area)


def test_what_is_no_law_is_refused():
    with pytest.raises(ConfigError, match="at least 2 knots"):
        BendingLaw(np.ones(1), 1.0)
    with pytest.raises(ConfigError, match="must be above 0"):
        BendingLaw(np.array([1.0, -1.0]), 1.0)
    rod, held = line()
    still = np.broadcast_to(rod.start.nodes, (4, 10, 3))
    bent = still + np.arange(4.0)[:, None, None] * np.linspace(0, 0.1, 10)[:, None] ** 2
    with pytest.raises(DataError, match=r"expected at least 2 times of the rod's 10"):
        fit_bending(rod, still[:, :9], 5, 1e-3, boundary=held)
    with pytest.raises(DataError, match="the nodes show no bending"):
        fit_bending(rod, still, 5, 1e-3, boundary=held)
    with pytest.raises(ConfigError, match="there are at least 2 knots"):
        fit_bending(rod, bent, 5, 1e-3, boundary=held, knots=1)
    with pytest.raises(ConfigError, match="max_iterations is 0"):
        fit_bending(rod, bent, 5, 1e-3, boundary=held, max_iterations=0)


def test_a_plane_aslant_to_the_directors_is_warned_of():
    """Turned together with its directors nothing changes; without them the law does."""
    rod, _ = line()
    sag = np.arange(1.0, 4.0)[:, None] * np.linspace(0.0, 0.1, 10) ** 2
    along = np.broadcast_to(rod.start.nodes[:, 0], sag.shape)
    bent = lambda y, z: np.stack([along, y * sag, z * sag], axis=-1)
    _check_plane(rod, bent(0.0, -1.0))
    _check_plane(rod, bent(1.0, 0.0))
    with pytest.warns(DataWarning, match="aslant to its directors"):
        _check_plane(rod, bent(0.6, -0.8))
    aside = np.tile([0.0, 0.8, 0.6], (9, 1))
    section = Section.circular(1e-3, 1e6, 1000.0)
    own = ElasticRod.from_points(rod.start.nodes, section, directors=aside)
    _check_plane(own, bent(0.6, -0.8))


@pytest.mark.slow
def test_a_law_comes_back_from_a_motion():
    """Without noise and with a bit of the nodes missing, in other knots than it has; a
    law that is 1 everywhere is the linear one."""
    true = BendingLaw(np.array([1.0, 1.5, 2.5, 3.0]), 15.0)
    rod, held = line()
    given = {"boundary": held, "drag": 0.012, "save_every": 5}
    run = simulate_rod(line(law=true)[0], 0.15, 2e-3, **given)
    same = simulate_rod(line(law=BendingLaw(np.ones(3), 30.0))[0], 0.15, 2e-3, **given)
    linear = simulate_rod(rod, 0.15, 2e-3, **given)
    assert_allclose(same.nodes, linear.nodes, atol=1e-9)
    assert np.abs(run.nodes - linear.nodes).max() > 1e-3
    nodes = run.nodes.copy()
    nodes[3, 4] = np.nan
    found = fit_bending(
        rod, nodes, 5, 2e-3, boundary=held, drag=0.012, knots=9, smooth=1e-4
    )
    assert found.converged
    assert found.rms < 2e-4
    x = np.linspace(0.05, 0.9, 20) * found.visited
    ours, wanted = (
        np.asarray(law.parts(jnp.asarray(x))[1]) for law in (found.law, true)
    )
    assert np.linalg.norm(ours - wanted) < 0.1 * np.linalg.norm(wanted)
