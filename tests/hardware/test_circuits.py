"""Reading, pulses and converters about the layers of a twin."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula.hardware import (
    PulseWidth,
    Quantised,
    RangeNoise,
    ReadNoise,
    hardware_aware,
    to_analog,
)
from pendula.nn import MLP, Convolution


KEY = jax.random.key(4)
READ = lambda layer: ReadNoise(layer, 0.02)


def chips_of(twin, x, n=4000, level=0.0):
    """Outputs of many chips for one input."""
    one = lambda key: twin.sample(key, level)(x)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys))(_keys(n)))


def _keys(n):
    return jax.random.split(KEY, n)


def test_reading_has_the_variance_of_errors_on_all_weights():
    layer = eqx.nn.Linear(6, 3, key=KEY)
    x = jnp.linspace(-1.0, 2.0, 6)
    found = chips_of(to_analog(layer, circuits=READ), x)
    width = float(layer.weight.max() - layer.weight.min())
    sigma = 0.02 * width * float(jnp.linalg.norm(x))
    assert_allclose(found.std(axis=0), sigma, rtol=0.05)
    assert_allclose(found.mean(axis=0), layer(x), atol=4 * sigma / np.sqrt(len(found)))


@pytest.mark.parametrize("last", [False, True])
def test_every_place_of_a_convolution_reads_anew(last):
    if last:
        layer = Convolution(2, 3, key=KEY)
        x, place = jnp.ones((4, 4, 2)), (slice(None), slice(1, 3), slice(1, 3), 0)
    else:
        layer = eqx.nn.Conv2d(2, 3, 3, padding=1, key=KEY)
        x, place = jnp.ones((2, 4, 4)), (slice(None), 0, slice(1, 3), slice(1, 3))
    found = chips_of(to_analog(layer, circuits=READ), x)[place].reshape(4000, 4)
    width = float(layer.weight.max() - layer.weight.min())
    assert_allclose(found.std(axis=0), 0.02 * width * np.sqrt(18.0), rtol=0.05)
    # the same patch everywhere, and errors of their own
    assert np.abs(np.corrcoef(found.T) - np.eye(4)).max() < 0.08


def test_errors_are_fresh_for_every_input_and_the_same_for_the_same_one():
    layer = eqx.nn.Linear(2, 1, use_bias=False, key=KEY)
    chip = to_analog(layer, circuits=READ).sample(KEY, 0.0)
    xs = jax.random.normal(KEY, (2000, 2))
    errors = np.asarray(jax.vmap(chip)(xs) - jax.vmap(layer)(xs))[:, 0]
    errors = errors / np.linalg.norm(xs, axis=1)
    assert_array_equal(chip(xs[0]), chip(xs[0]))
    assert len(np.unique(errors)) > 1990
    assert abs(np.corrcoef(errors[1:], errors[:-1])[0, 1]) < 0.08
    assert abs(np.corrcoef(errors, xs[:, 0])[0, 1]) < 0.08
    near = chip(xs[0] * (1 + 1e-6)) - layer(xs[0] * (1 + 1e-6))
    assert abs(float(near[0] - (chip(xs[0]) - layer(xs[0]))[0])) > 1e-4


def test_the_level_of_circuits_is_their_own():
    layer = eqx.nn.Linear(2, 1, key=KEY)
    twin, x = to_analog(layer, circuits=READ), jnp.ones(2)
    error = lambda level: float(jnp.abs(twin.sample(KEY, level)(x) - layer(x))[0])
    assert error(0.0) > 0.0
    assert error({"linear": 0.0, "bias": 0.0, "read": 0.0}) == 0.0
    assert_allclose(
        error({"linear": 0.0, "bias": 0.0, "read": 0.04}), 2 * error(0.0), rtol=1e-4
    )
    assert_array_equal(twin.model(x), layer(x))  # the digital reference
    kinds = [c.kind for c in twin.components]
    assert kinds == ["read", "linear", "bias"]
    assert "read" in str(twin)
    assert not twin.digital


def test_pulses_have_few_lengths_and_jitter_where_there_is_a_pulse():
    layer = eqx.nn.Identity()
    x = jnp.asarray([-9.0, 0.4, 1.6, 3.0])
    plain = PulseWidth(layer, 3, limit=3.0)
    assert_array_equal(plain(x), [-3.0, 0.0, 2.0, 3.0])
    net = eqx.nn.Sequential([eqx.nn.Linear(4, 4, use_bias=False, key=KEY)])
    net = eqx.tree_at(lambda n: n.layers[0].weight, net, jnp.eye(4))
    around = lambda layer: PulseWidth(layer, 3, 0.01, limit=3.0)
    found = chips_of(to_analog(net, circuits=around), x)
    assert_allclose(found.mean(axis=0), [-3.0, 0.0, 2.0, 3.0], atol=0.003)
    assert_allclose(found.std(axis=0), [0.03, 0.0, 0.03, 0.03], rtol=0.05)
    slope = jax.jacobian(plain)(jnp.asarray([0.4, -9.0]))
    assert_allclose(slope, [[1.0, 0.0], [0.0, 0.0]])


def test_circuits_compose_and_training_sees_them():
    net = eqx.nn.MLP(3, 2, 8, 1, key=KEY)
    around = lambda layer: Quantised(PulseWidth(ReadNoise(layer, 0.01), 6), None, 6)
    twin = to_analog(net, RangeNoise(), circuits=around)
    x = jax.random.normal(KEY, (5, 3))
    chip = twin.sample(KEY, 0.05)
    assert np.isfinite(jax.vmap(chip)(x)).all()
    params, rest = eqx.partition(twin.model, eqx.is_inexact_array)

    def loss(p, batch, key):
        return jnp.mean(jax.vmap(eqx.combine(p, rest))(batch) ** 2), None

    estimator = hardware_aware(twin, 0.05, 2, antithetic=True)
    _, grads = eqx.filter_jit(estimator)(loss, params, x, KEY)
    weights = [g for g in jax.tree.leaves(grads) if g.ndim == 2]
    assert all(np.abs(np.asarray(g)).max() > 0 for g in weights)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ReadNoise(eqx.nn.Identity()), "linear layer or a convolution"),
        (
            lambda: ReadNoise(eqx.nn.Conv2d(2, 4, 3, groups=2, key=KEY)),
            "groups or dilation",
        ),
        (lambda: ReadNoise(eqx.nn.Linear(2, 2, key=KEY), -0.1), "at least 0"),
        (lambda: PulseWidth(eqx.nn.Identity(), 1), "2 or more"),
        (lambda: PulseWidth(eqx.nn.Identity(), jitter=float("nan")), "at least 0"),
        (lambda: PulseWidth(eqx.nn.Identity(), limit=0.0), "above 0"),
        (
            lambda: to_analog(eqx.nn.Linear(2, 2, key=KEY), circuits=0.01),
            "function of a layer",
        ),
        (
            lambda: to_analog(MLP(2, 1, 8, 2, key=KEY), circuits=READ),
            "belongs to none",
        ),
        (
            lambda: to_analog(eqx.nn.GRUCell(2, 3, key=KEY), circuits=READ),
            "belongs to none",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
