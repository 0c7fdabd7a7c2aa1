"""Wide residual networks: published sizes, and the same numbers as devices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError
from pendula.hardware import to_analog
from pendula.nn import Shortcut, WideResNet


def count(depth, width):
    """Parameters without making any array; those of shortcut errors are none."""
    make = lambda key: WideResNet(depth, width, 100, key=key)
    net = eqx.filter_eval_shape(make, jax.random.key(0))
    net = jax.tree.map(
        lambda n: None if isinstance(n, Shortcut) else n,
        net,
        is_leaf=lambda n: isinstance(n, Shortcut),
    )
    return sum(np.prod(x.shape) for x in jax.tree.leaves(net) if hasattr(x, "shape"))


def test_published_sizes():
    assert count(16, 10) / 1e6 == pytest.approx(17.17, abs=0.03)
    assert count(28, 10) / 1e6 == pytest.approx(36.54, abs=0.03)
    with pytest.raises(ConfigError, match="6 n"):
        WideResNet(12, 1, key=jax.random.key(0))


@pytest.mark.slow
def test_a_chip_without_noise_is_the_network():
    net = WideResNet(10, 2, 4, base=4, key=jax.random.key(0))
    assert sum(isinstance(b.shortcut, Shortcut) for b in net.blocks) == 0
    state = net.initial_state()
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    call = eqx.filter_jit(
        lambda n, x, s: jax.vmap(n, (0, None), (0, None), axis_name="batch")(x, s)
    )
    _, state = call(net, x, state)
    net = eqx.nn.inference_mode(net)
    twin = to_analog(net, state=state)
    want, _ = call(net, x, state)
    got, _ = call(twin.sample(jax.random.key(2), 0.0), x, state)
    assert_allclose(got, want, atol=1e-5)
    noisy, _ = call(twin.sample(jax.random.key(2), 0.05), x, state)
    assert float(jnp.abs(noisy - want).max()) > 1e-3
    kinds = [c.kind for c in twin.components]
    assert kinds.count("batchnorm") == 2 * len(net.norm_states(state))
