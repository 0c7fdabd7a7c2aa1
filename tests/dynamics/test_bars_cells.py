"""Energies from cycles at rest, and coordinates that are learned: laws that are known
come out again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, ShapeError
from pendula.dynamics import (
    BarChain,
    BarsConfig,
    BarWorld,
    CycleCode,
    ElasticBars,
    PolynomialBars,
    cell_law,
    cell_polynomial,
    code_path,
    fit_cells,
    fit_code,
)
from pendula.nn import MLP


K = np.array([60.0, 150.0, 0.08])
NATURAL = 7e-4


def cells(count=200):
    pairs = np.random.default_rng(0).normal(0.0, 1.0, (count, 3)) * [1e-2, 3e-3, 0.2]
    away = pairs - [NATURAL, 0.0, 0.0]
    return pairs, 0.5 * away**2 @ K, away * K


def test_a_law_of_three_constants_comes_out_again():
    pairs, energy, slope = cells()
    np.testing.assert_allclose(np.exp(cell_law(pairs, slope).stiffness), K)
    law = cell_polynomial(pairs, energy, slope, degree=4)
    z = jnp.asarray(np.concatenate([pairs[:5], pairs[5:10]], axis=1), jnp.float32)
    known = ElasticBars(jnp.log(jnp.asarray(K, jnp.float32)), NATURAL)
    np.testing.assert_allclose(law(z), known(z), rtol=1e-4)
    assert all(c % 2 == 0 for _, _, c in law.powers)


def test_cells_that_tell_no_stiffness_are_refused():
    pairs, _, slope = cells(5)
    pairs[:, 1] = 0.0
    with pytest.raises(ConfigError, match="no positive stiffness in shear"):
        cell_law(pairs, slope)
    with pytest.raises(ConfigError, match="no positive stiffness in stretch"):
        cell_law(pairs, -slope)


def test_pairs_of_a_polynomial_count_once():
    law = PolynomialBars(jnp.asarray([0.003]), ((2, 0, 0),))
    a, b = jnp.asarray([0.01, 0.0, 0.0]), jnp.asarray([0.02, 0.0, 0.0])
    one, two, both = (law(jnp.concatenate(p)) for p in ((a, a), (b, b), (a, b)))
    np.testing.assert_allclose(both, 0.5 * (one + two), rtol=1e-6)


@pytest.mark.slow
def test_a_network_comes_near_to_cells():
    pairs, energy, slope = cells()
    config = BarsConfig(width=8, depth=1, start_steps=1500)
    net, told = fit_cells(pairs[:, None], energy, slope[:, None], config)
    assert told["steps"] == 1500
    net = jax.tree.map(jnp.asarray, net)
    off = np.asarray(net(jnp.asarray(np.tile(pairs, 2), jnp.float32))) - energy
    assert np.sqrt(np.mean(off**2)) < 0.2 * np.sqrt(np.mean(energy**2))


def test_cells_that_do_not_fit_are_refused():
    pairs, energy, slope = cells(4)
    with pytest.raises(ConfigError, match=r"expected \(cell, pair, 3\)"):
        fit_cells(pairs[:, None], energy, slope)
    with pytest.raises(ConfigError, match="Solve more of them"):
        cell_polynomial(pairs, energy, slope, degree=6)
    with pytest.raises(ConfigError, match="degree is 0"):
        cell_polynomial(pairs, energy, slope, degree=0)


def test_what_nothing_holds_falls_in_any_coordinates():
    """A decoder whose numbers are the place: a chain without stiffness, held by
    nothing, falls by g t^2 / 2."""
    code = CycleCode.create(jax.random.key(0), 3, width=1)
    ring = 2.0 * np.pi * np.arange(17) / 16
    shape = np.stack([0 * ring, 0.033 * np.cos(ring), 0.033 * np.sin(ring)], axis=1)
    free = jnp.zeros((51, 3)).at[0::3, 0].set(1.0).at[1::3, 1].set(1.0)
    free = free.at[:, 2].set(jnp.asarray(np.roll(shape, 1, axis=1).ravel()))

    line = MLP(3, 51, 1, 0, key=jax.random.key(0))
    at = lambda m: (m.weight_out, m.bias_out)
    line = eqx.tree_at(at, line, (10.0 * free, jnp.asarray(10.0 * shape.ravel())))
    code = CycleCode(code.encoder, line)
    soft = ElasticBars(jnp.log(jnp.full(3, 1e-9)), 0.0)
    chain = BarChain(soft, BarWorld.of(), first=False, last=False)
    ts = 0.01 * np.arange(6)
    path = code_path(code, chain, np.zeros((3, 2)), np.zeros((3, 3)), ts, substeps=1)
    np.testing.assert_allclose(path[:, 1, 1], -4.9 * ts**2, atol=1e-6)
    with pytest.raises(ShapeError, match="of at least 3 bars"):
        code_path(code, chain, np.zeros((2, 2)), np.zeros((2, 3)), ts)


@pytest.mark.slow
def test_a_code_learns_where_cycles_are():
    """Rings that are only put somewhere: a few updates lower the error."""
    ring = 2.0 * np.pi * np.arange(17) / 16
    shape = np.stack([0 * ring, 0.033 * np.cos(ring), 0.033 * np.sin(ring)], axis=1)
    code, told = fit_code(shape[None], 3, width=8, steps=100)
    assert code.decoder.out_size == 51
    assert np.isfinite(told["loss"])


def test_a_code_of_no_numbers_is_refused():
    shape = np.zeros((17, 3))
    with pytest.raises(ConfigError, match="size is 0"):
        fit_code(shape[None], 0)
    with pytest.raises(ConfigError, match=r"shapes has shape \(0, 17, 3\)"):
        fit_code(shape[None][:0], 2)
    with pytest.raises(ConfigError, match="not all finite"):
        fit_code(shape[None] * np.nan, 2)
