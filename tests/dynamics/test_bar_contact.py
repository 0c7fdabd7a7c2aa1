"""The learned potential of gaps: convex whatever its weights, a force of its energy,
and back again from rebounds."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula import ConfigError
from pendula.dynamics import (
    BarChain,
    BarWorld,
    ContactConfig,
    ElasticBars,
    GapPotential,
    bar_path,
    fit_contact,
)
from pendula.systems import bar_record


REACH = 2e-3
_law = ElasticBars(np.log(np.asarray([65.0, 170.0, 0.08], np.float32)), 7e-4)


@given(st.lists(st.floats(-20.0, 0.0), min_size=8, max_size=8))
@settings(max_examples=25, deadline=None)
def test_it_falls_and_is_convex_for_any_weights(weights):
    with jax.enable_x64(True):
        push = eqx.tree_at(
            lambda p: p.weights, GapPotential.create(), np.asarray(weights)
        )
        d = jnp.linspace(-1e-3, 3e-3, 401)
        phi = np.asarray(push(d))
    scale = phi.max()
    first, second = np.diff(phi), np.diff(phi, 2)
    assert first.max() <= 1e-14 * scale
    assert second.min() >= -1e-13 * scale
    assert (phi[np.asarray(d) >= REACH] == 0.0).all()
    assert phi[0] > 0.0


def test_it_pushes_by_the_slope_of_its_energy():
    chain = BarChain(_law, BarWorld.of(), False, False, touching=True)
    chain = dataclasses.replace(chain, push=GapPotential.create())
    apart = jnp.asarray([0.0, 1e-3, 1.65e-3, 3e-3])
    u = jnp.zeros((4, 3)).at[:, 0].set(apart).at[2, 2].set(1e-3)
    state = lambda u: jnp.concatenate([u.ravel(), 0.0 * u.ravel()])
    told = chain.total(state(u))["contact"]
    gaps = chain.gaps(u) - 6e-4
    np.testing.assert_allclose(told, jnp.sum(chain.push(gaps)), rtol=1e-6)
    through = dataclasses.replace(chain, touching=False)
    more = chain(0.0, state(u), None, None) - through(0.0, state(u), None, None)
    slope = jax.grad(lambda u: chain.total(state(u))["contact"])(u)
    masses = np.asarray(chain.world.masses(u))
    np.testing.assert_allclose(
        np.asarray(more).reshape(-1, 3) * masses,
        -np.asarray(slope),
        rtol=1e-4,
        atol=1e-6,
    )
    assert float(more.reshape(-1, 3)[2, 0]) > 0.0  # away from the bar it touches


def hung(push=None):
    """Four bars that fall and are caught by their neighbours: the way of the chain."""
    chain = BarChain(
        _law, BarWorld.of(drag=0.012, wire_length=0.2), True, False, touching=True
    )
    return dataclasses.replace(chain, push=push)


@pytest.mark.slow
def test_what_kept_them_apart_is_found_again(tmp_path):
    """From the motion of a chain that rebounds on itself."""
    true = GapPotential.create()
    weights = np.asarray(true.weights).copy()
    weights[[4, 7]] = np.log([5e-5, 1e-4])
    true = eqx.tree_at(lambda p: p.weights, true, weights)
    u = np.zeros((4, 3))
    u[:, 1], u[:, 2] = -1.2e-3 * np.arange(4), -0.5 * np.pi
    ts = np.arange(0.0, 0.3, 0.01)
    path = bar_path(hung(true), ts, u, substeps=100)
    data = bar_record(ts, path.u, path.v)
    config = ContactConfig(span=0.2)
    begin = bar_path(hung(GapPotential.create()), ts, u, substeps=100)
    made, told = fit_contact(data, hung(), config, out=tmp_path / "run")
    after = bar_path(made, ts, u, substeps=100)
    error = lambda p: float(np.abs(p.u - path.u)[..., :2].mean())
    assert error(after) < 0.1 * error(begin)
    push = lambda p, d: -float(jax.grad(p)(jnp.asarray(d, jnp.float32)))
    for d in (5e-4, 8e-4, 1.2e-3):  # where its gaps have been
        assert push(made.push, d) == pytest.approx(push(true, d), rel=0.2)
    assert told["steps"] == 100
    gaps = jax.vmap(made.gaps)(jnp.asarray(after.u, jnp.float32)) - 6e-4
    assert float(gaps.min()) > -1e-4
    # all but the potential is as it was
    np.testing.assert_array_equal(made.energy.stiffness, _law.stiffness)
    assert made.touching
    # the run is there: it goes on to the same
    again = fit_contact(data, hung(), config, out=tmp_path / "run", resume=True)[0]
    np.testing.assert_array_equal(again.push.weights, made.push.weights)


def test_what_is_no_potential_is_refused():
    with pytest.raises(ConfigError, match="hinges is 1; it takes at least two"):
        GapPotential.create(1)
    with pytest.raises(ConfigError, match=r"contact begins farther out than 0\.0002 m"):
        GapPotential.create(reach=1e-4)
