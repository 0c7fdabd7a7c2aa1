"""Steps chosen by the error that each of them adds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import ConfigError, DataError
from pendula._precision import precision
from pendula.depth import (
    ConvUnit,
    DenseUnit,
    OdeBlock,
    adapt,
    apply_batch,
    make_basis,
    step_errors,
)
from pendula.depth._adapt import EMBEDDED
from pendula.solve import scheme


LOCAL = {"euler": 2, "midpoint": 2, "heun": 2, "rk3": 3, "rk4": 4, "rk4_38": 4}


@pytest.mark.parametrize(
    "name",
    [
        n if n in ("heun", "rk3", "rk4") else pytest.param(n, marks=pytest.mark.slow)
        for n in EMBEDDED
    ],
)
def test_the_pair_is_of_the_right_order(name, key):
    """Its weights sum to zero, and a step cut in two adds an error smaller by the
    power of its order."""
    assert sum(EMBEDDED[name]) == pytest.approx(0.0, abs=1e-15)
    assert len(EMBEDDED[name]) == len(scheme(name).c) + 1
    with precision(np.float64):
        block = OdeBlock(
            DenseUnit(2, 5, key=key), "linear", 2, name, 4, epsilon=0.5, key=key
        )
        xs = jax.random.normal(key, (8, 2))
        coarse, fine = (step_errors(block.manifest(n_steps=n), xs)[0] for n in (16, 32))
    assert abs(np.log2(coarse / fine) - LOCAL[name]) < 0.3


def test_the_pair_of_rk4_sees_weights_that_change_with_depth(key):
    block = OdeBlock(DenseUnit(2, 5, key=key), "linear", 4, "rk4", 1, 1.0, key=key)
    xs = jax.random.normal(key, (4, 2))
    ends = [
        jax.vmap(lambda x, n=n: block.manifest(n_steps=n)(x)[0])(xs) for n in (1, 24)
    ]
    true = float(jnp.linalg.norm(ends[0] - ends[1]) / jnp.linalg.norm(ends[0]))
    assert 0.5 * true < step_errors(block, xs)[0] < 3.0 * true


def sharp(key):
    """Weights that are large in the last quarter of depth only."""
    basis = make_basis("piecewise_constant", 4)
    block = OdeBlock(
        DenseUnit(2, 8, key=key), basis, None, "heun", 4, epsilon=1.0, key=key
    )
    factor = jnp.asarray([0.1, 0.1, 0.1, 4.0])[:, None, None]
    return eqx.tree_at(
        lambda b: b.unit.weight_out, block, block.unit.weight_out * factor
    )


@pytest.mark.slow
def test_steps_go_where_the_error_is(key):
    block, xs = sharp(key), jax.random.normal(key, (4, 2))
    found = adapt(block, xs, 1e-2)
    assert found.reached
    assert found.errors.max() <= 1e-2
    lengths = np.asarray(found.block.steps) / sum(found.block.steps)
    late = np.cumsum(lengths) > 0.75 + 1e-9
    assert late.sum() > (~late).sum()
    fine = block.manifest("rk4", 64)
    away = jax.vmap(lambda x: found.block(x)[0] - fine(x)[0])(xs)
    assert float(jnp.abs(away).max()) < 0.05
    assert found.history[0][:2] == (4, "heun")


def test_where_cuts_do_not_get_there_the_order_is_raised(key):
    """Euler at a tolerance that its few cuts are far from ends as RK4, below it."""
    block, xs = sharp(key).manifest("euler"), jax.random.normal(key, (4, 2))
    found = adapt(block, xs, 1e-2, rounds=4)
    assert [name for _, name, _ in found.history[:4]] == ["euler"] * 4
    assert found.history[3][2] > 1e-2
    assert found.block.scheme in ("heun", "rk4")
    assert found.reached
    assert found.errors.max() <= 1e-2
    ends = [jax.vmap(lambda x, b=b: b(x)[0])(xs) for b in (found.block, block)]
    fine = jax.vmap(lambda x: block.manifest("rk4", 64)(x)[0])(xs)
    off, was = (float(jnp.abs(end - fine).max()) for end in ends)
    assert off < 0.05
    assert off < was


def test_cells_are_cut_with_the_steps_and_the_function_stays(key):
    block, xs = sharp(key), jax.random.normal(key, (4, 2))
    found = adapt(block, xs, 1e-2, cells=True, rounds=2)
    assert found.block.basis.n_basis > 4
    same = found.block.manifest("heun", 4)
    assert jnp.allclose(same(xs[0])[0], block(xs[0])[0], rtol=1e-5)


def test_the_state_is_carried_to_the_cells_that_were_cut(key):
    unit = ConvUnit(2, norm="batch", key=key)
    block = OdeBlock(unit, n_basis=2, scheme="heun", init="shared")
    xs = jax.random.normal(key, (2, 4, 4, 2))
    state = apply_batch(block, xs, block.initial_state())[1]
    found = adapt(block, xs, 1e-3, state=state, cells=True, rounds=1)
    assert found.state[0].mean.shape == (3, 2)
    found.block.check_state(found.state)


@pytest.mark.parametrize("basis", ["polynomial", "evolved"])
def test_a_basis_without_cells_is_not_cut(basis, key):
    block = OdeBlock(DenseUnit(2, 8, key=key), basis, 2, init="shared")
    with pytest.raises(ConfigError, match="has no cells to cut"):
        adapt(block, jnp.ones((1, 2)), 1e-2, cells=True)
    with pytest.raises(ConfigError, match="has no cells to cut"):
        block.cut([0])


@pytest.mark.parametrize("cell", [-1, 4])
def test_a_cell_that_is_not_there_is_not_cut(cell, key):
    with pytest.raises(ConfigError, match=f"no cell {cell} to cut; they are 0 to 3"):
        sharp(key).cut([cell])


def test_what_no_steps_can_be_found_for(key):
    with pytest.raises(ConfigError, match="tol is 0"):
        adapt(sharp(key), jnp.ones((1, 2)), 0.0)
    with pytest.raises(ConfigError, match="rounds is 0"):
        adapt(sharp(key), jnp.ones((1, 2)), 1e-2, rounds=0)
    for xs in (jnp.ones((0, 2)), jnp.full((1, 2), jnp.nan)):
        with pytest.raises(DataError, match="none, or not all finite"):
            adapt(sharp(key), xs, 1e-2)


TRACED: list[int] = []


class Counted(eqx.Module):
    """A unit that tells how often it is compiled."""

    unit: DenseUnit

    def __call__(self, x, state):
        TRACED.append(1)
        return self.unit(x, state)


def test_one_compiled_step_serves_all_steps(key):
    """Each stage of a scheme is traced once, however many steps there are."""
    TRACED.clear()
    block = OdeBlock(
        Counted(DenseUnit(2, 8, key=key)), "linear", 3, "heun", 1, 1.0, init="shared"
    )
    xs = jax.random.normal(key, (4, 2))
    found = adapt(block, xs, 1e-3, rounds=8)
    schemes = {name for _, name, _ in found.history}
    assert len({n for n, _, _ in found.history}) > 3
    assert len(TRACED) == sum({"heun": 2, "rk4": 7}[name] for name in schemes)
