"""Networks for images: sizes, the residual twin, statistics in depth, files."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError, DataError, ShapeError
from pendula._errors import FitWarning
from pendula.depth import (
    ConvUnit,
    ImageNet,
    ImageNetConfig,
    OdeBlock,
    ResidualChain,
    Stitch,
    apply_batch,
    recalibrate,
    step_errors,
)
from pendula.depth._state import carried, unseen
from pendula.train import load_tree, save_tree


def node(tree, k):
    return jax.tree.map(lambda v: v[k] if eqx.is_array(v) else v, tree)


def small(key, **settings):
    return ImageNet(ImageNetConfig.mnist(**{"width": 2, **settings}), key=key)


@pytest.mark.parametrize("kind", ["continuous", "residual"])
@pytest.mark.parametrize(
    ("units", "millions"), [(2, 0.27), (8, 0.86), (16, 1.63), (32, 3.19)]
)
def test_numbers_of_weights(kind, units, millions, key):
    """The published sizes; nothing is drawn."""
    config = ImageNetConfig(kind=kind, units=units, init="shared")
    net = eqx.filter_eval_shape(lambda: ImageNet(config, key=key))
    count = sum(v.size for v in jax.tree.leaves(net) if hasattr(v, "size"))
    assert abs(count / 1e6 - millions) < 0.02 * millions


def twin(net):
    """The residual network with the weights of an Euler network on constants."""
    chain = lambda block: ResidualChain(
        tuple(node(block.unit, k) for k in range(block.basis.n_basis))
    )
    return eqx.tree_at(lambda n: n.blocks, net, tuple(map(chain, net.blocks)))


def test_the_residual_twin_is_the_same_network(key):
    """To the bit, with statistics of the batch and running ones."""
    net = small(key, norm="batch")
    xs = jax.random.normal(key, (3, 8, 8, 1))
    run = eqx.filter_jit(apply_batch)
    ys, state = run(net, xs, net.initial_state())
    other = twin(net)
    zs, after = run(other, xs, other.initial_state())
    assert_allclose(ys, zs, rtol=1e-6, atol=1e-6)
    for k, mine in enumerate(after["blocks"][0]):
        for a, b in zip(
            jax.tree.leaves(node(state["blocks"][0], k)),
            jax.tree.leaves(mine),
            strict=True,
        ):
            assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert type(small(key, kind="residual").blocks[0]) is ResidualChain


def test_changes_reach_every_block(key):
    net = small(key)
    x = jax.random.normal(key, (8, 8, 1))
    finer = net.refine()
    assert [block.basis.n_basis for block in finer.blocks] == [4, 4]
    assert_allclose(finer(x)[0], net(x)[0], rtol=1e-5, atol=1e-6)
    deeper = net.refine(steps=True)
    assert [block.n_steps for block in deeper.blocks] == [4, 4]
    assert [block.epsilon for block in deeper.blocks] == [2.0, 2.0]
    back = finer.project("piecewise_constant", 2)
    assert_allclose(back.blocks[1].unit.first.weight, net.blocks[1].unit.first.weight)
    half = finer.interpolate("piecewise_constant", 1).manifest("midpoint", 1)
    assert [(b.scheme, b.n_steps) for b in half.blocks] == [("midpoint", 1)] * 2
    noisy = net.refine(noise=0.1, key=key)
    plain, other = (n.blocks[0].unit.first.weight for n in (finer, noisy))
    assert_array_equal(plain[0], plain[1])
    assert not np.array_equal(other[0], other[1])
    assert_allclose(other, plain, rtol=0.5)
    with pytest.raises(ConfigError, match="noise needs a key"):
        net.refine(noise=0.1)
    with pytest.raises(ConfigError, match="refine: noise is nan"):
        net.refine(noise=np.nan, key=key)
    with pytest.raises(ConfigError, match="residual"):
        small(key, kind="residual").refine()


@pytest.mark.parametrize(
    ("order", "norm"),
    [
        ("pre", "group"),
        ("post", "layer"),
        pytest.param("pre", "layer", marks=pytest.mark.slow),
        pytest.param("post", "group", marks=pytest.mark.slow),
    ],
)
def test_orders_and_norms(order, norm, key):
    net = small(key, order=order, norm=norm, skip_init=True)
    assert net.initial_state() is None
    assert (net.last_norm is None) == (order == "post")
    assert jnp.isfinite(net(jnp.ones((8, 8, 1)))[0]).all()


def test_a_batch_norm_wants_a_state_and_a_batch(key):
    net = small(key, norm="batch")
    x = jnp.ones((8, 8, 1))
    with pytest.raises(ConfigError, match=r"no running state.*initial_state\(\)"):
        apply_batch(net, x[None])
    with pytest.raises(ConfigError, match="no running state"):
        eqx.nn.inference_mode(net)(x)
    with pytest.raises(ConfigError, match="Take apply_batch, or eqx"):
        net(x, net.initial_state())


def test_images_that_do_not_fit_are_refused(key):
    with pytest.raises(ShapeError, match=r"\(8, 8, 3\).*\(height, width, 1\)"):
        small(key)(jnp.ones((8, 8, 3)))
    with pytest.raises(ShapeError, match=r"2 x 2 at the end.*Take a smaller pool"):
        small(key)(jnp.ones((4, 4, 1)))
    with pytest.raises(DataError, match=r"int32.*scaling\.apply"):
        small(key)(jnp.ones((8, 8, 1), int))


def test_the_wide_variant():
    wide = ImageNetConfig.wide(units=8)
    assert (wide.width, wide.units, wide.blocks) == (64, 8, 3)
    assert ImageNetConfig.wide(width=32).width == 32


def test_a_norm_behind_the_shortcut(key, tmp_path):
    """Without its residual a stitch gives the normalised convolution; the running
    statistics are those of that convolution. Where nothing changes there is none."""
    stitch = Stitch(2, 4, stride=2, scale=0.0, shortcut_norm=True, key=key)
    xs = jax.random.normal(key, (3, 8, 8, 2))
    ys, state = apply_batch(stitch, xs, stitch.initial_state())
    bare = np.asarray(jax.vmap(stitch.shortcut)(xs))
    mean, var = bare.mean((0, 1, 2)), bare.var((0, 1, 2))
    assert_allclose(ys, (bare - mean) / np.sqrt(var + 1e-5), rtol=1e-4, atol=1e-5)
    unit, behind = state
    assert_allclose(behind.mean, 0.1 * mean, rtol=1e-4, atol=1e-6)
    plain = Stitch(2, 4, stride=2, scale=0.0, key=key)
    for a, b in zip(
        jax.tree.leaves(unit),
        jax.tree.leaves(apply_batch(plain, xs, plain.initial_state())[1]),
        strict=True,
    ):
        assert_array_equal(a, b)
    same = Stitch(2, 2, shortcut_norm=True, key=key)
    assert (same.shortcut, same.shortcut_norm) == (None, None)
    save_tree(tmp_path / "net.safetensors", {"stitch": stitch, "state": state}, {})
    back = jax.tree.map(jnp.asarray, load_tree(tmp_path / "net.safetensors")[0])
    quiet = lambda s, at: apply_batch(eqx.nn.inference_mode(s), xs, at)[0]
    assert_array_equal(quiet(back["stitch"], back["state"]), quiet(stitch, state))
    group = Stitch(2, 4, norm="group", shortcut_norm=True, key=key)
    assert group.initial_state() is None
    assert group(xs[0])[0].shape == (8, 8, 4)


def test_all_stitches_of_a_network_are_normalised_alike(key):
    """Two numbers a channel more where width or resolution changes, nowhere else."""
    of = lambda on: eqx.filter_eval_shape(
        lambda: ImageNet(ImageNetConfig(width=4, shortcut_norm=on), key=key)
    )
    count = lambda net: sum(v.size for v in jax.tree.leaves(net) if hasattr(v, "size"))
    assert count(of(True)) - count(of(False)) == 2 * (8 + 16)
    assert [s.shortcut_norm is None for s in of(True).stitches] == [True, False, False]


def block_of(key, mode, basis, number, scheme="euler", **settings):
    unit = ConvUnit(2, norm="batch", key=key)
    return OdeBlock(unit, basis, number, scheme, state_mode=mode, key=key, **settings)


@pytest.mark.parametrize(
    "mode", [pytest.param("nodes", marks=pytest.mark.slow), "projected", "stages"]
)
def test_statistics_are_functions_of_depth(mode, key):
    """Constants in all modes: each node has seen its own stage once, so that its
    state is a tenth of that stage's statistics."""
    block = block_of(key, mode, "piecewise_constant", 2)
    xs = jax.random.normal(key, (4, 4, 4, 2))
    _, state = apply_batch(block, xs, block.initial_state())
    first = state[0]
    assert_allclose(first.mean[0], 0.1 * xs.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    wanted = 0.9 + 0.1 * xs.var((0, 1, 2))
    assert_allclose(first.variance()[0], wanted, rtol=1e-4)
    quiet = eqx.nn.inference_mode(block)
    _, same = apply_batch(quiet, xs, state)
    for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(state), strict=True):
        assert_array_equal(a, b)


@eqx.filter_jit
def settled(block, xs, times=200):
    """The state after many passes over the same batch: its own statistics."""

    def once(state, _):
        return apply_batch(block, xs, state)[1], None

    return jax.lax.scan(once, block.initial_state(), None, length=times)[0]


@pytest.mark.parametrize(("mode", "exact"), [("stages", True), ("nodes", False)])
def test_a_state_for_each_stage_gives_what_was_trained(mode, exact, key):
    """RK4 in one step: with its running statistics settled on a batch a block does on
    it what it did in training; with one state a node, a mixture, it does not."""
    block = block_of(key, mode, "piecewise_constant", 1, "rk4", epsilon=2.0)
    xs = jax.random.normal(key, (4, 4, 4, 2))
    state = settled(block, xs)
    assert state[0].mean.shape == ((4 if mode == "stages" else 1), 2)
    wanted = apply_batch(block, xs, state)[0]
    found = apply_batch(eqx.nn.inference_mode(block), xs, state)[0]
    off = float(jnp.abs(found - wanted).max() / jnp.abs(wanted).max())
    assert (off < 1e-5) == exact
    assert exact or off > 1e-2


def test_states_of_stages_are_found_by_the_nearest(key, tmp_path):
    """Another scheme reads what lies nearest; a refined or converted block begins
    with what its stages read; a file keeps where they were recorded."""
    block = block_of(key, "stages", "piecewise_constant", 2, "rk4")
    other = block.manifest("midpoint", 2)
    node = lambda b: b.visits(b.places()).node.tolist()
    assert node(block) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert node(other) == [[0, 1], [4, 5]]
    assert node(block.manifest("euler", 4)) == [[0], [1], [4], [5]]
    assert other.manifest("rk4", 2).recorded is None
    save_tree(tmp_path / "block.safetensors", other, {})
    assert load_tree(tmp_path / "block.safetensors")[0].recorded == ("rk4", (1, 1))
    assert_array_equal(other.initial_state()[0].mean.shape, (8, 2))
    xs = jax.random.normal(key, (4, 4, 4, 2))
    state = apply_batch(block, xs, block.initial_state())[1]
    finer = block.refine(steps=True)
    moved = finer.carry_state(block, state)
    assert_array_equal(moved[0].mean[:4], state[0].mean[jnp.asarray([0, 0, 0, 1])])
    for mode in ("nodes", "projected"):
        old = block.with_state_mode(mode)
        mixed = apply_batch(old, xs, old.initial_state())[1]
        each = block.carry_state(old, mixed)
        assert_allclose(each[0].mean[:4], jnp.repeat(mixed[0].mean[:1], 4, 0))
        assert block.carry_state(old, None) is None
        with pytest.raises(ConfigError, match="recalibrate"):
            old.carry_state(block, state)
    with pytest.raises(ConfigError, match="state_mode"):
        block.with_state_mode("stage")
    assert small(key).with_state_mode("stages").blocks[0].state_mode == "stages"


def test_statistics_fitted_in_a_basis_want_a_linear_one(key):
    unit = ConvUnit(2, norm="batch", key=key)
    block = OdeBlock(unit, "evolved", 2, state_mode="projected", init="shared")
    with pytest.raises(ConfigError, match=r'"evolved" is not.*"nodes"'):
        block.visits(block.places())


def test_a_node_without_a_stage_keeps_its_statistics(key):
    """Euler with one step on two cells: a warning, and no singular fit."""
    block = block_of(key, "projected", "piecewise_constant", 2, n_steps=1)
    xs = jax.random.normal(key, (4, 4, 4, 2))
    with pytest.warns(FitWarning, match="seen by no stage"):
        _, state = apply_batch(block, xs, block.initial_state())
    assert_array_equal(state[0].mean[1], [0.0, 0.0])
    assert jnp.abs(state[0].mean[0]).max() > 0.0


def test_what_is_next_to_unseen_does_not_follow_noise(key):
    """Euler's stages come no nearer to the last of eight hats than an eighth of it: a
    plain fit makes its node far larger than all that they differ by."""
    block = block_of(key, "projected", "linear", 8)
    found = block.visits(block.places())
    assert unseen(found) == 1
    assert np.abs(found.fit).sum(1).max() < 10
    found = block.visits(block.manifest("midpoint").places())
    assert unseen(found) == 0
    flat = found.rows.reshape(-1, 8)
    assert_allclose(found.fit @ flat, np.eye(8), atol=1e-12)


def test_variances_stay_positive_on_hat_functions(key):
    """The nearest hat functions to these variances go below zero; their logarithm
    does not, and without it they are held above the floor and counted."""
    from pendula.depth import make_basis
    from pendula.nn import NormState

    variances = jnp.asarray([1.0, 1.0, 0.01, 0.01, 1.0, 1.0, 1.0, 1.0])[:, None]
    old, new = make_basis("piecewise_constant", 8), make_basis("linear", 9)
    zero, count = jnp.zeros((8, 1)), jnp.zeros(8, jnp.int32)
    plain = NormState(zero, variances, count, False)
    with pytest.warns(FitWarning, match="1 of 9 running variances"):
        moved = carried(plain, "projected", old, new, "test")
    assert float(moved.spread.min()) == pytest.approx(-0.255, abs=1e-3)
    assert float(moved.variance().min()) == pytest.approx(1e-5)
    at = NormState(moved.mean[2], moved.spread[2], moved.clamped[2], False)
    assert int(at.follow(jnp.zeros(1), jnp.ones(1), 0.9).clamped) == 0
    low = int(jnp.argmin(moved.spread))
    at = NormState(moved.mean[low], moved.spread[low], moved.clamped[low], False)
    assert int(at.follow(jnp.zeros(1), jnp.ones(1), 0.9).clamped) == 1
    kept = NormState(zero, jnp.log(variances), count, True)
    moved = carried(kept, "projected", old, new, "test")
    assert float(moved.variance().min()) > 1e-3


def test_variances_that_were_held_are_told(key):
    """Plain ones that fall steeply in depth, fitted by a straight line."""
    unit = ConvUnit(2, norm="batch", logarithmic=False, key=key)
    settings = {"n_steps": 3, "epsilon": 1.0, "state_mode": "projected"}
    block = OdeBlock(unit, "linear", 2, **settings, init="shared")
    xs = 0.01 * jax.random.normal(key, (4, 4, 4, 2))
    with pytest.warns(FitWarning, match="held there, [0-9]+ times"):
        recalibrate(block, block.initial_state(), [xs] * 3, 3)


@pytest.mark.parametrize(
    "basis",
    [
        pytest.param("piecewise_constant", marks=pytest.mark.slow),
        "linear",
        pytest.param("piecewise_linear", marks=pytest.mark.slow),
    ],
)
def test_a_refined_state_is_the_same_function(basis, key):
    block = block_of(key, "projected", basis, 2, "midpoint", n_steps=4)
    xs = jax.random.normal(key, (4, 4, 4, 2))
    _, state = apply_batch(block, xs, block.initial_state())
    finer = block.refine()
    after = finer.carry_state(block, state)
    run = lambda b, s: apply_batch(eqx.nn.inference_mode(b), xs, s)[0]
    assert_allclose(run(finer, after), run(block, state), rtol=1e-4, atol=1e-5)
    assert block.carry_state(block, state) is state


@pytest.mark.parametrize("mode", ["nodes", "projected", "stages"])
def test_the_state_of_a_network_before_a_change_is_refused(mode, key):
    """Read with its own indices it would give numbers, and wrong ones."""
    block = block_of(key, mode, "piecewise_constant", 2)
    old, xs = block.initial_state(), jnp.ones((2, 4, 4, 2))
    others = [block.refine(steps=True)]
    others += [block.project("piecewise_constant", 1)] if mode != "stages" else []
    for other in others:
        for net in (other, eqx.nn.inference_mode(other)):
            with pytest.raises(ShapeError, match=r"new\.carry_state\(old, state\)"):
                apply_batch(net, xs, old)
        with pytest.raises(ShapeError, match=r"\(2, 2\)"):
            step_errors(other, xs, old)
        with pytest.raises(ShapeError, match="carry_state"):
            block.carry_state(other, old)


def test_a_state_of_unknown_kind_is_refused(key):
    block = block_of(key, "nodes", "piecewise_constant", 2)
    with pytest.raises(ConfigError, match="is not known"):
        block.refine().carry_state(block, {"mine": jnp.zeros(2)})


def test_recalibrated_statistics_are_those_of_the_data(key):
    net = small(key, norm="batch", blocks=1, units=1)
    xs = 3.0 + jax.random.normal(key, (8, 8, 8, 1))
    state = recalibrate(net, net.initial_state(), lambda k: xs, 2)
    seen = jax.vmap(net.stem)(xs)
    assert_allclose(state["stem"].mean, seen.mean((0, 1, 2)), rtol=1e-5, atol=1e-5)
    assert_allclose(state["stem"].variance(), seen.var((0, 1, 2)), rtol=1e-4)
    assert recalibrate(net, None, lambda k: xs, 1) is None
    with pytest.raises(ConfigError, match="n_batches"):
        recalibrate(net, state, lambda k: xs, 0)
    with pytest.raises(ConfigError, match="there are 1 batches"):
        recalibrate(net, state, [xs], 2)


@pytest.mark.parametrize(
    ("mode", "basis", "scheme"),
    [
        ("nodes", "piecewise_constant", "midpoint"),
        ("projected", "polynomial", "euler"),
        ("stages", "linear", "euler"),
    ],
)
def test_old_statistics_do_not_count_in_recalibrated_ones(mode, basis, scheme, key):
    """Two batches weigh the same, whatever the state was and however it depends on
    depth."""
    block = block_of(key, mode, basis, 2, scheme, n_steps=2)
    xs = jax.random.normal(key, (2, 4, 4, 4, 2)) + jnp.asarray([0.0, 9.0]).reshape(
        2, 1, 1, 1, 1
    )
    fresh = block.initial_state()
    stale = jax.tree.map(lambda v: v + jnp.asarray(3, v.dtype), fresh)
    found = recalibrate(block, stale, lambda k: xs[k], 2)
    assert jax.tree.structure(found) == jax.tree.structure(fresh)
    for a, b in zip(found, recalibrate(block, fresh, [*xs], 2), strict=True):
        assert_allclose(a.mean, b.mean, rtol=1e-4, atol=1e-4)
        assert_allclose(a.spread, b.spread, rtol=1e-4, atol=1e-4)
    if mode == "stages":
        assert_allclose(found[0].mean[0], xs.mean((0, 1, 2, 3)), rtol=1e-5)


def test_a_network_survives_a_file(key, tmp_path):
    net = small(key, norm="batch", basis="linear", scheme="rk4").manifest("heun", 3)
    state = net.initial_state()
    save_tree(tmp_path / "net.safetensors", {"net": net, "state": state}, {})
    both, _ = load_tree(tmp_path / "net.safetensors")
    both = jax.tree.map(jnp.asarray, both, is_leaf=lambda v: isinstance(v, np.ndarray))
    again = both["net"]
    assert [b.basis.name for b in again.blocks] == ["linear", "linear"]
    assert [(b.scheme, b.n_steps, b.epsilon) for b in again.blocks] == [
        ("heun", 3, 2.0)
    ] * 2
    run = lambda net, state: apply_batch(net, jnp.ones((2, 8, 8, 1)), state)[0]
    assert_array_equal(run(again, both["state"]), run(net, state))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "resnet"}, "is unknown"),
        ({"width": 0}, "width is 0"),
        ({"norm": "bacth"}, "batch"),
        ({"order": "per"}, "pre"),
        ({"units": 3, "basis": "piecewise_linear"}, "must be even"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"kind": "residual", "n_steps": 0}, "n_steps is 0"),
        ({"kind": "residual", "epsilon": float("inf")}, "epsilon is inf"),
        ({"kind": "residual", "scheme": "eular"}, '"euler"'),
        ({"kind": "residual", "basis": "linaer"}, '"linear"'),
        ({"kind": "residual", "init": "equal"}, "init"),
        ({"kind": "residual", "state_mode": "node"}, '"nodes"'),
    ],
)
def test_settings_that_cannot_be(settings, words, key):
    with pytest.raises(ConfigError, match=words):
        small(key, **settings)
