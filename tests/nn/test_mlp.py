"""The perceptron against Equinox's, its structure, its gradient, bad input."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from pendula import _registry as registry
from pendula._errors import ConfigError
from pendula.nn import ACTIVATIONS, MLP, activation


def _as_equinox(net: MLP) -> eqx.nn.MLP:
    """An `equinox.nn.MLP` with the same weights."""
    other = eqx.nn.MLP(
        net.in_size,
        net.out_size,
        net.width,
        net.depth,
        activation=activation(net.activation),
        use_bias=net.use_bias,
        use_final_bias=net.use_bias,
        key=jax.random.key(9),
    )
    weights, biases = [net.weight_in], [net.bias_in]
    weights += [] if net.weight_hidden is None else list(net.weight_hidden)
    biases += (
        [None] * (net.depth - 1) if net.bias_hidden is None else [*net.bias_hidden]
    )
    weights, biases = [*weights, net.weight_out], [*biases, net.bias_out]
    if net.depth == 0:
        weights, biases = weights[1:], biases[1:]
    where = lambda m: [layer.weight for layer in m.layers]
    other = eqx.tree_at(where, other, weights)
    if net.use_bias:
        where = lambda m: [layer.bias for layer in m.layers]
        other = eqx.tree_at(where, other, biases)
    return other


@pytest.mark.parametrize("depth", [0, 1, 3, 6])
@pytest.mark.parametrize("use_bias", [True, False])
def test_equals_equinox_for_equal_weights(depth, use_bias):
    net = MLP(3, 2, 5, depth, use_bias=use_bias, key=jax.random.key(depth))
    x = jnp.array([0.3, -1.2, 0.7])
    np.testing.assert_allclose(net(x), _as_equinox(net)(x), rtol=2e-6, atol=2e-7)


def test_scanned_depth_equals_a_loop_over_its_layers():
    net = MLP(2, 1, 4, 7, activation="silu", init="lecun", key=jax.random.key(0))
    h = jax.nn.silu(net.weight_in @ jnp.ones(2) + net.bias_in)
    for w, b in zip(net.weight_hidden, net.bias_hidden, strict=True):
        h = jax.nn.silu(w @ h + b)
    want = net.weight_out @ h + net.bias_out
    np.testing.assert_allclose(eqx.filter_jit(net)(jnp.ones(2)), want, rtol=1e-5)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_smooth(name):
    """Twice differentiable everywhere: the second derivative has no jump."""
    second = jax.grad(jax.grad(activation(name)))
    x = jnp.linspace(-3.0, 3.0, 601)
    values = jax.vmap(second)(x)
    assert jnp.all(jnp.isfinite(values))
    assert float(jnp.max(jnp.abs(jnp.diff(values)))) < 0.05


def test_odd_without_bias_and_zero_at_zero():
    net = MLP(2, 2, 8, 2, use_bias=False, key=jax.random.key(1))
    x = jnp.array([0.4, -0.9])
    np.testing.assert_allclose(net(-x), -net(x), rtol=1e-6)
    np.testing.assert_array_equal(net(jnp.zeros(2)), jnp.zeros(2))


def test_zero_last_starts_as_the_zero_function_but_learns():
    net = MLP(2, 3, 8, 2, zero_last=True, key=jax.random.key(2))
    np.testing.assert_array_equal(net(jnp.ones(2)), jnp.zeros(3))
    grad = eqx.filter_grad(lambda m: jnp.sum(m(jnp.ones(2))))(net)
    assert float(jnp.abs(grad.weight_out).max()) > 0


def test_redraw_changes_the_weights_and_nothing_else():
    net = MLP(2, 1, 4, 2, init="lecun", zero_last=True, key=jax.random.key(2))
    again = net.redraw(jax.random.key(3))
    assert jax.tree.structure(again) == jax.tree.structure(net)
    assert float(jnp.abs(again.weight_in - net.weight_in).max()) > 0
    same = net.redraw(jax.random.key(2))
    assert eqx.tree_equal(same, net)


def test_initial_weights_have_the_stated_spread():
    wide = dict(width=400, depth=2, key=jax.random.key(3))
    uniform, lecun = MLP(400, 1, **wide), MLP(400, 1, init="lecun", **wide)
    limit = 1 / 20
    for leaf in (uniform.weight_in, uniform.weight_hidden, uniform.bias_in):
        assert float(jnp.abs(leaf).max()) <= limit
    # 160 000 draws: the sample deviation is within 1 % by a wide margin
    assert float(uniform.weight_in.std()) == pytest.approx(limit / 3**0.5, rel=0.01)
    assert float(lecun.weight_in.std()) == pytest.approx(limit, rel=0.01)
    np.testing.assert_array_equal(lecun.bias_in, jnp.zeros(400))


def test_gradient_reaches_every_parameter_and_is_right():
    with jax.enable_x64(True):
        net = MLP(2, 2, 6, 3, key=jax.random.key(4))
        x = jnp.array([0.5, -0.25])
        both = eqx.filter_jit(eqx.filter_value_and_grad(lambda m: jnp.sum(m(x) ** 2)))
        params, static = eqx.partition(net, eqx.is_array)
        flat, rebuild = ravel_pytree(params)
        at = lambda v: both(eqx.combine(rebuild(v), static))
        grad = eqx.filter(at(flat)[1], eqx.is_array)
        assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grad))
        way = np.cos(np.arange(flat.size))
        numeric = (at(flat + 1e-6 * way)[0] - at(flat - 1e-6 * way)[0]) / 2e-6
        np.testing.assert_allclose(ravel_pytree(grad)[0] @ way, numeric, rtol=1e-5)


def test_dtype_follows_the_scope():
    assert MLP(1, 1, 2, 1, key=jax.random.key(0)).weight_in.dtype == jnp.float32
    with jax.enable_x64(True):
        net = MLP(1, 1, 2, 1, init="lecun", key=jax.random.key(0))
        assert {leaf.dtype for leaf in jax.tree.leaves(net)} == {jnp.dtype("float64")}


def test_fields_are_arrays_or_json_values_and_the_class_is_registered():
    net = MLP(2, 1, 4, 2, key=jax.random.key(0))
    for field in dataclasses.fields(net):
        value = getattr(net, field.name)
        if field.metadata.get("static"):
            assert json.loads(json.dumps(value)) == value
        else:
            assert value is None or isinstance(value, jax.Array)
    assert registry.lookup("module", "MLP") is MLP
    assert all(callable(f) for f in ACTIVATIONS.values())


def test_vmap_equals_loop():
    net = MLP(2, 2, 4, 2, key=jax.random.key(6))
    xs = jax.random.normal(jax.random.key(7), (3, 2))
    loop = jnp.stack([net(x) for x in xs])
    np.testing.assert_allclose(jax.vmap(net)(xs), loop, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"in_size": 0}, "in_size is 0"),
        ({"out_size": -1}, "out_size is -1"),
        ({"width": 0}, "width is 0"),
        ({"depth": -1}, "depth is -1"),
        ({"activation": "tahn"}, 'Did you mean "tanh"'),
        ({"init": "lecon"}, 'Did you mean "lecun"'),
    ],
)
def test_bad_settings_are_refused_at_construction(bad, text):
    good = {"in_size": 2, "out_size": 1, "width": 4, "depth": 2}
    with pytest.raises(ConfigError, match=text):
        MLP(**{**good, **bad}, key=jax.random.key(0))
