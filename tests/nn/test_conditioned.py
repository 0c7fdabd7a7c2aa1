"""Networks of a family: what binding means, and how their weights are drawn."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError
from pendula.nn import MLP, AbstractConditioned, Hyper, bind, conditioned, encode_task


HEADS = ("concat", "affine", "lowrank", "hyper", "reference")
KEY = jax.random.key(0)
Z = jnp.asarray([0.3, -0.7])


def make(head, eta=2, **mlp):
    sizes = {} if head == "reference" else {"width": 8, "depth": 2}
    return conditioned(head, 2, 3, eta, key=jax.random.key(1), **(sizes | mlp))


@pytest.mark.parametrize("head", HEADS)
def test_a_bound_network_is_a_network_of_z(head):
    net = make(head)
    assert (net.in_size, net.out_size, net.eta_size) == (2, 3, 2)
    at = lambda *eta: net.bind(jnp.asarray(eta))(Z)
    assert at(0.0, 0.0).shape == (3,)
    assert not np.allclose(at(0.5, 0.0), at(0.0, 0.5))
    with pytest.raises(ConfigError, match="bind it to an eta first"):
        net(Z)
    again = net.redraw(jax.random.key(1))
    for a, b in zip(jax.tree.leaves(net), jax.tree.leaves(again), strict=True):
        assert_array_equal(a, b)


def test_concat_is_the_mlp_of_both():
    net = make("concat")
    eta = jnp.asarray([0.4, -1.1])
    joint = MLP(4, 3, width=8, depth=2, key=jax.random.key(0))
    b = net.base
    weight = jnp.concatenate([b.weight_in, net.shift], axis=1)
    where = lambda m: (m.weight_in, m.bias_in, m.weight_hidden, m.bias_hidden)
    joint = eqx.tree_at(where, joint, (weight, *where(b)[1:]))
    joint = eqx.tree_at(
        lambda m: (m.weight_out, m.bias_out), joint, (b.weight_out, b.bias_out)
    )
    expected = joint(jnp.concatenate([Z, eta]))
    assert_allclose(net.bind(eta)(Z), expected, rtol=1e-5, atol=1e-6)


def test_affine_is_affine_in_eta_and_nothing_else_is():
    for head in HEADS:
        net = make(head, eta=1)
        at = lambda e, net=net: net.bind(jnp.asarray([e]))(Z)
        bend = np.abs(at(2.0) - 2 * at(1.0) + at(0.0)).max()
        assert (bend < 1e-5) == (head == "affine"), head


def test_the_reference_network_folds_eta_and_has_the_published_size():
    net = conditioned("reference", 1, 1, 1, key=jax.random.key(0))
    count = sum(x.size for x in jax.tree.leaves(eqx.filter(net, eqx.is_array)))
    assert count + 1 == 4353  # with eta
    at = lambda e: net.bind(jnp.asarray([e]))(jnp.ones(1))
    assert_array_equal(at(-0.4), at(0.4))


def test_bind_reaches_every_network_and_leaves_the_rest_alone():
    tree = {"a": make("affine"), "b": (make("concat"), jnp.ones(2)), "c": "text"}
    bound = bind(tree, jnp.zeros(2))
    is_family = lambda n: isinstance(n, AbstractConditioned)
    left = [n for n in jax.tree.leaves(bound, is_leaf=is_family) if is_family(n)]
    assert not left
    assert bound["c"] == "text"
    assert_array_equal(bound["b"][1], tree["b"][1])


def test_the_code_of_a_task_has_one_norm():
    for value in (0.0, 0.05, 0.5, 1.0):
        code = encode_task(jnp.asarray([value, 1.0 - value]))
        assert_allclose(jnp.linalg.norm(code), np.sqrt(2.0), rtol=1e-6)


def test_gradients_of_a_hypernetwork_do_not_follow_the_size_of_the_task():
    """Variance of the gradient of the predicted network at gamma = 0.05 and 1: within
    a factor 2; a plain hypernetwork's follow the task."""

    def ratio(plain):
        def size(key, task):
            base = MLP(2, 1, width=16, depth=2, key=jax.random.fold_in(key, 0))
            hyper = Hyper(base, 1, plain=plain, key=jax.random.fold_in(key, 1))
            x = jax.random.normal(jax.random.fold_in(key, 2), (32, 2))

            def loss(module):
                return jnp.mean((jax.vmap(module)(x) - 1.0) ** 2)

            grads = eqx.filter_grad(loss)(hyper.adapt(jnp.asarray([task])))
            return jnp.mean(grads.weight_out**2)

        keys = jax.random.split(jax.random.key(0), 64)
        each = jax.jit(jax.vmap(size, (0, None)))
        return float(each(keys, 1.0).mean() / each(keys, 0.05).mean())

    assert 0.5 < ratio(plain=False) < 2.0
    assert ratio(plain=True) > 10.0


def test_refusals():
    with pytest.raises(ConfigError, match=r'head "afine" is unknown.*"affine"'):
        make("afine")
    with pytest.raises(ConfigError, match="at least 1"):
        make("affine", eta=0)
    with pytest.raises(ConfigError, match="rank 0"):
        Hyper(MLP(1, 1, width=2, depth=1, key=KEY), 1, rank=0, key=KEY)
