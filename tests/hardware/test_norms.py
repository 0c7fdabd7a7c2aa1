"""Batch norms as devices: equal to the digital network without noise."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula.hardware import (
    AnalogWarning,
    Perturbation,
    fold_norms,
    recalibrate_norms,
    to_analog,
)
from pendula.nn import BatchNorm


KEY = jax.random.key(4)


def sequential(conv=False):
    k1, k2 = jax.random.split(KEY)

    def make():
        norm = eqx.nn.BatchNorm(3, axis_name="batch", mode="batch")
        if conv:
            first = eqx.nn.Conv2d(2, 3, 3, use_bias=False, key=k1)
            return eqx.nn.Sequential([first, norm, eqx.nn.Lambda(jax.nn.relu)])
        last = eqx.nn.Linear(3, 2, key=k2)
        return eqx.nn.Sequential([eqx.nn.Linear(2, 3, key=k1), norm, last])

    return eqx.nn.make_with_state(make)()


def run(net, x, state):
    call = jax.vmap(net, (0, None), (0, None), axis_name="batch")
    return call(x, state)


def trained(conv=False):
    """After a few batches, in inference mode."""
    net, state = sequential(conv)
    shape = (16, 2, 5, 5) if conv else (16, 2)
    for k in range(3):
        x = 2.0 + jax.random.normal(jax.random.fold_in(KEY, k), shape)
        _, state = run(net, x, state)
    return eqx.nn.inference_mode(net), state, x


def test_digital_biases_leave_the_offset_of_a_norm_a_device():
    net, state = sequential()
    numbers = (jnp.asarray([0.5, 1.0, 2.5]), jnp.asarray([-1.0, 0.0, 1.0]))
    net = eqx.tree_at(lambda n: (n.layers[1].weight, n.layers[1].bias), net, numbers)
    twin = to_analog(net, state=state, bias="digital")
    at = [c.path for c in twin.components].index("layers[1].bias")
    assert_array_equal(twin.scales()[at], [2.0])


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("way", ["conv1x1", "digital", "fold"])
def test_without_noise_the_chip_is_the_network(conv, way):
    net, state, x = trained(conv)
    twin = to_analog(net, state=state, batchnorm=way)
    chip = twin.sample(KEY, 0.0)
    want, _ = run(net, x, state)
    if way == "fold":
        got = jax.vmap(chip)(x)
    else:
        got, _ = run(chip, x, state)
    assert_allclose(got, want, atol=1e-5)


def test_errors_are_those_of_the_multiplication_and_the_offset():
    net, state, _ = trained()
    twin = to_analog(net, state=state, where="layers[[]1[]]*")
    assert [c.kind for c in twin.components] == ["batchnorm"] * 2
    mean, inverse = twin.running[0]
    keys = jax.random.split(KEY, 4000)
    numbers = lambda norm: (norm.weight, norm.bias)
    made = jax.vmap(lambda k: numbers(twin.sample(k, 0.05).layers[1]))(keys)
    factor = np.asarray(made[0]) * np.asarray(inverse)
    offset = np.asarray(made[1]) - np.asarray(mean) * factor
    exact = np.asarray(inverse)  # gamma is 1, beta 0
    assert_allclose(factor.std(axis=0), 0.05 * np.ptp(exact), rtol=0.06)
    assert_allclose(offset.std(axis=0), 0.05 * np.ptp(mean * inverse), rtol=0.06)
    # the offset has its own error only
    for k in range(3):
        assert abs(np.corrcoef(factor[:, k], offset[:, k])[0, 1]) < 0.06


class WithNorm(eqx.Module):
    """A network of ours, which says which state belongs to its norm."""

    weight: jax.Array
    norm: BatchNorm

    def __call__(self, x, state):
        return self.norm(self.weight @ x, state)

    def norm_states(self, state):
        return [state]


def test_our_norms_say_their_states_and_training_takes_the_running_ones():
    net = WithNorm(jax.random.normal(KEY, (3, 2)), BatchNorm(3, inference=True))
    state = net.norm.initial_state()
    with pytest.warns(AnalogWarning, match=r'"norm.scale" are equal'):
        twin = to_analog(net, state=state)  # a fresh norm has no span
    later = eqx.tree_at(lambda s: s.mean, state, jnp.asarray([1.0, 2.0, 3.0]))
    same = Perturbation(twin)(net, KEY, 0.0, later)
    assert_allclose(same.norm.bias, net.norm.bias, atol=1e-6)
    noisy = Perturbation(twin)(net, KEY, 0.1, later)
    assert not np.allclose(noisy.norm.bias, twin.sample(KEY, 0.1).norm.bias)


def test_what_is_missing_is_said():
    net, state, _ = trained()
    with pytest.raises(ConfigError, match="no state was given"):
        to_analog(net)
    with pytest.raises(ConfigError, match="cannot be folded"):
        fold_norms(eqx.nn.Sequential([net.layers[1], net.layers[0]]), state)

    with pytest.raises(ConfigError, match='only "bias" is selected'):
        to_analog(net, state=state, where="layers[1].bias")

    class Silent(eqx.Module):
        norm: BatchNorm

    with pytest.raises(ConfigError, match="norm_states"):
        to_analog(Silent(BatchNorm(2)), state=BatchNorm(2).initial_state())


def test_statistics_are_estimated_anew_on_a_chip():
    net, state, x = trained()
    chip = to_analog(net, state=state).sample(KEY, 0.1)
    apply = lambda c, b, s: run(c, b, s)[1]
    after = recalibrate_norms(chip, state, [x] * 2, apply)
    seen = jax.vmap(chip.layers[0])(x)
    mean, _ = to_analog(net, state=after).running[0]
    assert_allclose(mean, seen.mean(axis=0), rtol=1e-4)
    with pytest.raises(ConfigError, match="no batches"):
        recalibrate_norms(chip, state, [], lambda c, b, s: s)


def test_old_statistics_of_our_norms_count_for_nothing():
    net = WithNorm(jnp.eye(3, 2), BatchNorm(3, inference=True))
    stale = net.norm.initial_state().follow(jnp.full(3, 9.0), jnp.full(3, 99.0), 0.0)
    xs = jax.random.normal(KEY, (2, 8, 2))
    after = recalibrate_norms(net, stale, list(xs), lambda c, b, s: run(c, b, s)[1])
    rows = np.concatenate([xs, np.zeros((2, 8, 1))], axis=2)
    assert_allclose(after.mean, rows.mean(axis=(0, 1)), atol=1e-6)
    assert_allclose(after.variance()[:2], rows.var(axis=1).mean(axis=0)[:2], rtol=1e-4)
    assert after.seen is None


def test_affine_norms_have_errors_on_their_own_two_numbers():
    """The cheap variant for training: no running statistics are asked for."""
    net, state, x = trained()
    gamma, beta = jnp.asarray([0.5, 1.0, 2.5]), jnp.asarray([-1.0, 0.0, 1.0])
    at = lambda n: (n.layers[1].weight, n.layers[1].bias)
    net = eqx.tree_at(at, net, (gamma, beta))
    twin = to_analog(net, batchnorm="affine")
    want, _ = run(net, x, state)
    assert_allclose(run(twin.sample(KEY, 0.0), x, state)[0], want, atol=1e-6)
    keys = jax.random.split(KEY, 4000)
    of = lambda k: jnp.stack(at(twin.sample(k, {"batchnorm": 0.1})))
    found = np.asarray(jax.jit(jax.vmap(of))(keys))
    assert_allclose(found.mean(axis=0), [gamma, beta], atol=0.02)
    assert_allclose(found.std(axis=0), 0.2, rtol=0.06)
    slope = jax.grad(lambda n: jnp.sum(Perturbation(twin)(n, KEY, 0.1).layers[1].bias))
    assert_allclose(at(slope(eqx.filter(net, eqx.is_inexact_array)))[1], 1.0)
