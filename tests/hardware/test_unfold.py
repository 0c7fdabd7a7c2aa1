"""Kernels copied for every place: variances, correlations, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula.hardware import Unfolded, to_analog
from pendula.nn import Convolution


KEY = jax.random.key(2)
X = jax.random.normal(jax.random.key(9), (6, 6, 2))
MANY = 4000


def outputs(unfold, x=X, conv=None):
    conv = Convolution(2, 3, use_bias=False, key=KEY) if conv is None else conv
    twin = to_analog(conv, unfold=unfold)
    keys = jax.random.split(jax.random.key(1), MANY)
    one = lambda k: twin.sample(k, 0.05)(x)
    made = jax.jit(lambda ks: jax.lax.map(one, ks, batch_size=200))(keys)
    return np.asarray(made) - np.asarray(conv(x))


def test_all_three_have_the_same_variance_for_one_input():
    found = {mode: outputs(mode).var(axis=0) for mode in (False, "exact", "marginal")}
    # relative standard error of a variance: sqrt(2 / 4000)
    for mode in ("exact", "marginal"):
        assert_allclose(found[mode].mean(), found[False].mean(), rtol=0.02)
        assert_allclose(found[mode], found[False], rtol=0.15)


def test_errors_of_two_places_with_the_same_patch():
    same = jnp.ones((6, 6, 2))
    for mode, want in ((False, 1.0), ("exact", 0.0), ("marginal", 0.0)):
        error = outputs(mode, same)[:, 2, 2:4, 0]
        assert abs(np.corrcoef(error.T)[0, 1] - want) < 0.06


def test_one_chip_gives_the_same_errors_at_every_call():
    conv = eqx.nn.Conv2d(2, 3, 3, padding=1, key=KEY)
    twin = to_analog(conv, unfold=True)
    chip = twin.sample(KEY, 0.05)
    x = jnp.moveaxis(X, -1, 0)
    assert_array_equal(chip(x), chip(x))
    assert not np.array_equal(chip(x), conv(x))
    assert_array_equal(twin.sample(KEY, 0.0)(x), conv(x))
    assert {c.kind for c in twin.components} == {"conv", "bias"}


def test_channels_first_has_the_same_variance():
    conv = eqx.nn.Conv2d(2, 3, 3, padding=1, use_bias=False, key=KEY)
    x = jnp.moveaxis(X, -1, 0)
    a, b = (outputs(mode, x, conv).var(axis=0) for mode in (False, "exact"))
    assert_allclose(a, b, rtol=0.15)


def test_what_cannot_be_unfolded_is_refused():
    conv = Convolution(2, 3, key=KEY)
    with pytest.raises(ConfigError, match="MB"):
        Unfolded(conv, "exact", limit_mb=1e-4)(X)
    with pytest.raises(ConfigError, match="groups or dilation"):
        Unfolded(eqx.nn.Conv2d(2, 4, 3, groups=2, key=KEY), "exact")
    round_about = eqx.nn.Conv2d(2, 4, 3, padding=1, padding_mode="CIRCULAR", key=KEY)
    with pytest.raises(ConfigError, match="border"):
        Unfolded(round_about, "exact")
    with pytest.raises(ConfigError, match="transposed"):
        to_analog(eqx.nn.ConvTranspose2d(2, 4, 3, key=KEY), unfold=True)
