"""A block against the residual network that it is, and against its own limit."""

from fractions import Fraction

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_allclose, assert_array_equal

import pendula
from pendula import CheckpointError, ConfigError, DataError, ShapeError
from pendula._errors import FitWarning
from pendula._precision import precision
from pendula._registry import _TABLES
from pendula.depth import (
    ConvUnit,
    DenseUnit,
    OdeBlock,
    SkipInit,
    adjoint_error,
    depth_profile,
    make_basis,
)
from pendula.train import load_tree, save_tree


DIM = 3
PIECEWISE = {"piecewise_constant": 4, "linear": 3, "piecewise_linear": 4}
ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4, "rk4_38": 4}


def node(tree, k):
    """One node of a tree with a leading axis of nodes."""
    return jax.tree.map(lambda v: v[k] if eqx.is_array(v) else v, tree)


def dense(number, key, **settings):
    return OdeBlock(DenseUnit(DIM, 5, key=key), n_basis=number, key=key, **settings)


def chain(unit, x, number):
    """The residual network by hand."""
    for k in range(number):
        x = x + node(unit, k)(x, None)[0]
    return x


def gradients(function, block, x):
    """Value, and gradients with respect to the block's weights and to x."""
    arrays, rest = eqx.partition(block.unit, eqx.is_inexact_array)
    call = lambda arrays, x: jnp.sum(function(eqx.combine(arrays, rest), x) ** 2)
    return jax.jit(jax.value_and_grad(call, (0, 1)))(arrays, x)


def close(found, wanted, tolerance):
    """Trees that agree relative to the size of each array."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        size = float(jnp.max(jnp.abs(b))) or 1.0
        assert float(jnp.max(jnp.abs(a - b))) <= tolerance * size


def is_a_resnet(block, x, tolerance):
    number = block.basis.n_basis
    assert block.factors() == [1.0] * number
    ours = lambda unit, x: eqx.tree_at(lambda b: b.unit, block, unit)(x)[0]
    by_hand = lambda unit, x: chain(unit, x, number)
    close(gradients(ours, block, x), gradients(by_hand, block, x), tolerance)


@pytest.mark.parametrize("number", [1, 2, 7, 9, 12, 49])
def test_euler_on_constants_is_a_residual_network(number, key):
    """Values and gradients; the weights are small enough for 49 units not to grow."""
    block = dense(number, key)
    block = eqx.tree_at(lambda b: b.unit.weight_out, block, block.unit.weight_out / 10)
    is_a_resnet(block, jnp.arange(1.0, DIM + 1.0), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 51))
def test_euler_on_constants_is_a_residual_network_in_float64(number, key):
    with precision(np.float64):
        is_a_resnet(dense(number, key), jnp.arange(1.0, DIM + 1.0), 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 51))
def test_convolutions_are_a_residual_network(number, key):
    """Bit for bit: both are the same operations in the same order."""
    unit = ConvUnit(2, norm="group", key=key)
    block = OdeBlock(unit, n_basis=number, key=key)
    x = jax.random.normal(key, (4, 4, 2))
    assert_array_equal(block(x)[0], chain(block.unit, x, number))


def test_convolutions_of_two_units_to_the_bit(key):
    block = OdeBlock(ConvUnit(2, norm="group", key=key), n_basis=2, key=key)
    x = jax.random.normal(key, (4, 4, 2))
    assert_array_equal(block(x)[0], chain(block.unit, x, 2))


@pytest.mark.parametrize("name", PIECEWISE)
@pytest.mark.parametrize("scheme", ["euler", "rk4_38"])
def test_a_refined_basis_is_the_same_function(name, scheme, key):
    """The steps stay, so that only the basis changes; also back again."""
    block = dense(PIECEWISE[name], key, basis=name, scheme=scheme, n_steps=6)
    x = jnp.arange(1.0, DIM + 1.0)
    finer = block.refine()
    assert finer.n_steps == 6
    assert finer.epsilon == block.epsilon
    assert_allclose(finer(x)[0], block(x)[0], rtol=1e-6)
    back = finer.project(name, block.basis.n_basis)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(block), strict=True):
        assert_allclose(a, b, atol=1e-6)


def test_one_hat_becomes_two_equal_nodes(key):
    block = dense(1, key, basis="linear").refine()
    assert_array_equal(block.unit.weight_in[0], block.unit.weight_in[1])


def limits(scheme, key):
    """Outputs for doubled numbers of steps of one function of depth."""
    with precision(np.float64):
        unit = DenseUnit(DIM, 5, key=key)
        block = OdeBlock(
            unit, "linear", 3, scheme, 4, epsilon=1.0, key=jax.random.fold_in(key, 1)
        )
        x = jnp.arange(1.0, DIM + 1.0)
        steps = (4, 8, 16, 32)
        fine = block.manifest("rk4", 256)(x)[0]
        outs = [block.manifest(n_steps=n)(x)[0] for n in steps]
        return [float(jnp.linalg.norm(out - fine)) for out in outs]


@pytest.mark.parametrize("scheme", ORDERS)
def test_schemes_reach_the_same_limit_at_their_order(scheme, key):
    errors = limits(scheme, key)
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert abs(slopes[-1] - ORDERS[scheme]) < 0.2
    assert errors[-1] < 0.05


def test_unequal_steps(key):
    """Steps in the ratio 2 : 1 : 1, each within a cell of its own, by hand."""
    basis = make_basis("piecewise_constant", 3, [0.5, 0.25, 0.25])
    unit = DenseUnit(DIM, 5, key=key)
    block = OdeBlock(unit, basis, n_steps=[0.5, 0.25, 0.25], epsilon=4.0, key=key)
    assert block.factors() == [2.0, 1.0, 1.0]
    x = y = jnp.arange(1.0, DIM + 1.0)
    for k, factor in enumerate(block.factors()):
        y = y + factor * node(block.unit, k)(y)[0]
    assert_allclose(block(x)[0], y, rtol=1e-6)
    thirds = block.manifest("rk4", [1 / 3, 2 / 3])
    assert thirds.steps == (1, 2)
    assert jnp.isfinite(thirds(x)[0]).all()


def test_a_step_is_recomputed_to_the_same_gradient(key):
    plain = dense(2, key, scheme="rk4")
    again = dense(2, key, scheme="rk4", checkpoint=True)
    x = jnp.arange(1.0, DIM + 1.0)
    run = lambda block: gradients(
        lambda unit, x: eqx.tree_at(lambda b: b.unit, block, unit)(x)[0], block, x
    )
    close(run(again), run(plain), 1e-6)


def test_the_continuous_gradient_closes_in_at_the_order(key):
    """Fourth order on a smooth function of depth; and its error is told."""
    with precision(np.float64):
        block = OdeBlock(
            DenseUnit(DIM, 5, key=key), "polynomial", 2, "rk4", 4, 1.0, key=key
        )
        x, slope = jnp.arange(1.0, DIM + 1.0), jnp.ones(DIM)
        errors = [adjoint_error(block.manifest(n_steps=n), x, slope) for n in (4, 8)]
    for name in ("weights", "input"):
        coarse, fine = (getattr(error, name) for error in errors)
        assert fine < coarse / 10 < 1e-4


def test_skip_init_is_the_identity(key):
    block = OdeBlock(SkipInit(DenseUnit(DIM, 5, key=key)), n_basis=2, key=key)
    x = jnp.arange(1.0, DIM + 1.0)
    assert_array_equal(block(x)[0], x)
    assert block.unit.scale.shape == (2,)


def test_shared_and_independent_nodes(key):
    unit = DenseUnit(DIM, 5, key=key)
    shared = OdeBlock(unit, n_basis=2, init="shared").unit.weight_in
    drawn = OdeBlock(unit, n_basis=2, key=key).unit.weight_in
    assert_array_equal(shared[0], shared[1])
    assert not jnp.allclose(drawn[0], drawn[1])


def test_profile_of_a_block_by_hand(key):
    block = dense(3, key)
    x = jnp.arange(1.0, DIM + 1.0)
    found = depth_profile(block, x)
    path = np.asarray(block.path(x))
    moves = np.diff(path, axis=0)
    assert_allclose(found.moves, np.linalg.norm(moves, axis=1), rtol=1e-6)
    turn = moves[0] @ moves[1] / found.moves[0] / found.moves[1]
    assert_allclose(found.cosines[0], turn, rtol=1e-5)
    flat = [np.ravel(v[0]) for v in jax.tree.leaves(block.unit)]
    assert_allclose(found.sizes[0], np.linalg.norm(np.concatenate(flat)), rtol=1e-6)
    two = depth_profile(block, jnp.stack([x, 2.0 * x]), batched=True)
    other = depth_profile(block, 2.0 * x)
    assert_allclose(two.moves, (found.moves + other.moves) / 2, rtol=1e-6)
    flat_block = OdeBlock(DenseUnit(DIM, 5, key=key), n_basis=3, init="shared")
    assert_array_equal(depth_profile(flat_block, x).jumps, [0.0, 0.0])
    axes = found.plot(found.plot(), begin=1.0, color="black")
    drawn = [line.get_xydata() for line in axes[1].lines]
    assert_allclose(drawn[0], np.stack([[1 / 3, 2 / 3], found.jumps], axis=1))
    assert_allclose(drawn[1] - drawn[0], [[1.0, 0.0], [1.0, 0.0]])
    plt.close(axes[0].figure)


def test_a_block_survives_a_file(key, tmp_path):
    basis = make_basis("linear", 3, [1 / 3, 2 / 3])
    block = OdeBlock(
        DenseUnit(DIM, 5, key=key), basis, None, "rk4_38", [0.25, 0.75], 1.7, key=key
    )
    save_tree(tmp_path / "block.safetensors", block, {})
    again, _ = load_tree(tmp_path / "block.safetensors")
    assert again.basis == block.basis
    assert again.basis.cells == (1, 2)
    assert (again.epsilon, again.scheme, again.steps) == (1.7, "rk4_38", (1, 3))
    again = jax.tree.map(jnp.asarray, again)
    assert jax.tree.structure(again) == jax.tree.structure(block)
    x = jnp.arange(1.0, DIM + 1.0)
    assert_array_equal(again(x)[0], block(x)[0])


def test_a_unit_of_ones_own_survives_a_file(tmp_path, monkeypatch):
    """As the message of one that cannot be saved advises."""

    class Slow(eqx.Module):
        rate: jax.Array

        def __call__(self, x, state):
            return -self.rate * x, state

    block = OdeBlock(Slow(jnp.asarray(0.5)), n_basis=2, init="shared")
    file = tmp_path / "block.safetensors"
    with pytest.raises(CheckpointError, match=r'pendula\.register\("module"\)'):
        save_tree(file, block, {})
    monkeypatch.setitem(_TABLES, "module", dict(_TABLES["module"]))
    pendula.register("module")(Slow)
    save_tree(file, block, {})
    again = jax.tree.map(jnp.asarray, load_tree(file)[0])
    assert again(jnp.ones(3))[0].tolist() == [0.25] * 3


def test_weights_that_evolve_in_a_block_and_in_a_file(key, tmp_path):
    """Without a drive a residual network of one unit, again and again; the file keeps
    the network of the basis."""
    block = OdeBlock(DenseUnit(DIM, 5, key=key), "evolved", 2, init="shared")
    x = jnp.arange(1.0, DIM + 1.0)
    assert_allclose(block(x)[0], chain(repeat(block.unit, 2), x, 2), rtol=1e-5)
    block = eqx.tree_at(lambda b: b.basis.net.bias_out, block, jnp.asarray([0.2]))
    save_tree(tmp_path / "block.safetensors", block, {})
    again = jax.tree.map(jnp.asarray, load_tree(tmp_path / "block.safetensors")[0])
    assert jax.tree.structure(again) == jax.tree.structure(block)
    assert again.basis.net.bias_out.tolist() == block.basis.net.bias_out.tolist()
    with pytest.raises(ConfigError, match='cannot be projected onto "evolved"'):
        block.project("evolved", 2)


def repeat(unit, number):
    """The first node of a unit so many times."""
    return jax.tree.map(lambda v: jnp.stack([v[0]] * number), unit)


def test_the_continuous_gradient_is_of_units_without_state(key):
    block = dense(2, key, adjoint="continuous")
    with pytest.raises(ConfigError, match="needs a unit without state"):
        block(jnp.ones(DIM), jnp.zeros((2, 1)))


def test_numbers_of_other_kinds(key):
    """Of NumPy and JAX, for counts; whole numbers are no input."""
    block = dense(2, key).manifest("rk4", np.int64(3))
    assert block.steps == (1, 1, 1)
    assert block.manifest(n_steps=jnp.asarray(2)).steps == (1, 1)
    assert block.manifest(n_steps=np.asarray([0.5, 0.5])).steps == (1, 1)
    assert make_basis("linear", np.int32(3)).n_basis == 3
    with pytest.raises(DataError, match=r"int32.* Give x\.astype\(float\)"):
        block(jnp.arange(DIM))


def test_unequal_steps_keep_the_precision_of_the_input(key):
    block = OdeBlock(
        ConvUnit(2, norm="group", key=key), n_basis=1, n_steps=[0.25, 0.75]
    )
    x = jnp.ones((4, 4, 2), jnp.bfloat16)
    assert block(x)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("name", ["piecewise_constant", "linear", "piecewise_linear"])
def test_steps_follow_unequal_cells(name, key):
    """Equal ones would leave the cell of a tenth out."""
    cells = [0.55, 0.1, 0.35]
    number = {"piecewise_constant": 3, "linear": 4, "piecewise_linear": 6}[name]
    block = OdeBlock(
        DenseUnit(DIM, 5, key=key), make_basis(name, number, cells), key=key
    )
    nodes = block.visits(block.places()).node.ravel().tolist()
    assert nodes == list(range(number))
    assert block.epsilon == number


class Wide(eqx.Module):
    """A unit that doubles the length."""

    def __call__(self, x, state):
        return jnp.concatenate([x, x]), state


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_basis": 0}, "at least 1"),
        ({"n_basis": 3, "basis": "piecewise_linear"}, "must be even"),
        ({"n_basis": 3, "basis": "linaer"}, "linear"),
        ({"n_basis": 2, "n_steps": 0}, "n_steps is 0"),
        ({"n_basis": 2, "n_steps": [0.5, 0.6]}, "sum to 1"),
        ({"n_basis": 2, "epsilon": float("nan")}, "OdeBlock: epsilon is nan"),
        ({"n_basis": 2, "epsilon": float("inf")}, "OdeBlock: epsilon is inf"),
        ({"n_basis": 2, "scheme": "leapfrog"}, "not explicit Runge-Kutta.*rk3, rk4"),
        ({"n_basis": 2, "scheme": "rk5"}, "Allowed: euler, heun, midpoint, rk3"),
        ({"n_basis": 2, "init": "equal"}, "is unknown"),
        ({"n_basis": 2, "key": None}, "redraw"),
        ({"n_basis": 2, "state_mode": "node"}, "nodes"),
        ({"n_basis": 2, "adjoint": "both"}, "is unknown"),
    ],
)
def test_settings_that_cannot_be(settings, words, key):
    unit = DenseUnit(DIM, 5, key=key)
    with pytest.raises(ConfigError, match=words):
        OdeBlock(unit, **{"key": key, **settings})


def test_a_block_keeps_the_precision_of_what_it_moves():
    class Wide(eqx.Module):
        factor: jax.Array

        def __call__(self, x, state):
            return self.factor * x.astype(jnp.float32), state

    block = OdeBlock(Wide(jnp.asarray(0.5)), n_basis=3, init="shared")
    assert block(jnp.ones(2, jnp.float16))[0].dtype == jnp.float16


def test_a_unit_that_changes_the_shape_is_refused():
    block = OdeBlock(Wide(), n_basis=1)
    with pytest.raises(ShapeError, match=r"\(3,\).*\(6,\)"):
        block(jnp.ones(3))


def test_refining_far_beyond_what_was_trained_warns(key):
    block = dense(1, key).refine().refine()
    with pytest.warns(FitWarning, match="more than four times"):
        far = block.refine()
    block.as_trained().refine()
    assert far.basis.n_basis == 8


def test_lengths_are_fractions(key):
    """A tenth, as a float, is a tenth: ten of them meet the cells of ten."""
    block = dense(10, key, n_steps=[0.1] * 10)
    assert block.steps == (1,) * 10
    assert block.places()[3][0].t == Fraction(3, 10)
