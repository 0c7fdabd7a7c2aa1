"""Weights adapted to another kind of system: what must hold whatever was learned."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError, ShapeError
from pendula.dynamics import (
    CrossConfig,
    Hamiltonian,
    Learned,
    PortHamiltonian,
    RatePoints,
    SlotScale,
    adapt_weights,
    cross_fit,
    energy,
    rate_loss,
)
from pendula.nn import MLP, conditioned
from pendula.solve import rollout


def field(latent=False, damped=False):
    key = jax.random.key(0)
    make = (lambda *a, **k: conditioned("concat", *a, 2, **k)) if latent else MLP
    slot = lambda out: Learned(
        make(2, out, width=8, depth=1, key=key), SlotScale.unit(2, out), takes=(0, 1)
    )
    free = Hamiltonian((slot(1),), n=1)
    return PortHamiltonian(free, slot(1)) if damped else free


@pytest.fixture(scope="module")
def springs():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(4, 80, 2))
    k = np.array([0.5, 1.0, 1.5, 2.0])[:, None]
    return RatePoints.of(y, np.stack([y[..., 1], -k * y[..., 0]], -1))


def one(points, i):
    return jax.tree.map(lambda x: x[i], points)


@pytest.fixture(scope="module")
def start(springs):
    config = CrossConfig(updates=100, kinds=4, points=20, inner_rate=1.0, lr=1e-2)
    return cross_fit(field(), springs, config)


@pytest.mark.slow
def test_meta_training_gains(start):
    assert np.mean(start.losses[-10:]) < 0.5 * float(start.losses[0])


def test_an_adapted_hamiltonian_conserves_its_energy(start, springs):
    new = start.adapt(one(springs, 3), steps=5)
    ys = rollout(new, jnp.array([1.0, 0.0]), np.linspace(0, 10, 401)).ys
    values = jax.vmap(lambda y: energy(new, y))(ys)
    assert float(jnp.ptp(values)) < 1e-4
    assert float(jnp.ptp(ys[:, 0])) > 0.5  # it moves


def test_an_adapted_field_with_friction_never_gains_energy(springs):
    new = adapt_weights(field(damped=True), one(springs, 1), steps=10, rate=0.05)
    slope = jax.vmap(jax.grad(lambda y: energy(new, y)))(springs.states[0])
    rate = jax.vmap(lambda y: new(0.0, y, None, None))(springs.states[0])
    assert float(jnp.max(jnp.sum(slope * rate, axis=-1))) < 1e-5


def test_a_descent_of_no_steps_changes_nothing(springs):
    before = field()
    after = adapt_weights(before, one(springs, 0), steps=0)
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        assert_allclose(x, y)


def test_the_loss_counts_what_the_kind_has_in_units_of_its_rates():
    states, rates = np.zeros((1, 2)), np.array([[2.0, 7.0]])
    points = RatePoints.of(states, rates, [1.0, 0.0])
    still = lambda t, y, u, context: jnp.zeros_like(y)
    assert_allclose(rate_loss(still, points), np.log(np.cosh(1.0)), rtol=1e-6)


def test_noise_is_a_share_of_the_spread(springs):
    which = jnp.zeros(1, jnp.int32)
    clean, shaken = (
        springs.drawn(which, 4000, noise, jax.random.key(3)) for noise in (0.0, 0.1)
    )
    off = np.std(shaken.rates - clean.rates, axis=(0, 1))
    assert_allclose(off, 0.1 * np.std(springs.rates[0], axis=0), rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["second_order", "joint", "latent"])
def test_every_mode_gains(mode, springs):
    config = CrossConfig(mode, updates=150, kinds=4, points=20, inner_rate=1.0, lr=1e-2)
    begun = cross_fit(field(mode == "latent"), springs, config)
    assert np.mean(begun.losses[-10:]) < 0.7 * float(begun.losses[0])
    new = begun.adapt(one(springs, 3), steps=20)
    assert np.isfinite(float(rate_loss(new, one(springs, 3))))


def test_what_cannot_be_used_is_refused(springs):
    with pytest.raises(ConfigError, match=r'mode "maml" is unknown'):
        CrossConfig("maml")
    with pytest.raises(ConfigError, match=r"updates is 0; it must be at least 1"):
        CrossConfig(updates=0)
    for name, value in (("lr", np.nan), ("noise", -0.1), ("inner_rate", 0.0)):
        with pytest.raises(ConfigError, match=f"{name} is {value}"):
            CrossConfig(**{name: value})
    with pytest.raises(ConfigError, match=r"seed is -1"):
        CrossConfig(seed=-1)
    with pytest.raises(DataError, match=r"rates cannot be read as numbers"):
        RatePoints.of(np.zeros((1, 2)), [["a", "b"]])
    with pytest.raises(DataError, match=r"points of two kinds of systems or more"):
        cross_fit(field(), one(springs, 0))
    with pytest.raises(ConfigError, match=r"mode latent needs networks that depend"):
        cross_fit(field(), springs, CrossConfig("latent"))
    with pytest.raises(ShapeError, match=r"both must be \(point, dim\)"):
        RatePoints.of(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=r"mask has shape \(3,\); expected \(2,\)"):
        RatePoints.of(np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3))
    with pytest.raises(DataError, match=r"rates is nan at \(1, 0\)"):
        RatePoints.of(np.zeros((2, 2)), np.array([[0.0, 0.0], [np.nan, 0.0]]))
