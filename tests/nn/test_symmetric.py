"""Blends of symmetric and skew operators: their algebra, and the norm they keep."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError, ShapeError
from pendula._precision import precision
from pendula._tree import split_trainable
from pendula.nn import Convolution, SymmetricMix, adjoint_weight
from pendula.solve import scheme


LAYERS = {
    "around": lambda k: eqx.nn.Conv1d(
        2, 2, 3, padding="SAME", padding_mode="CIRCULAR", use_bias=False, key=k
    ),
    "wide": lambda k: eqx.nn.Conv1d(
        2, 2, 3, padding=2, dilation=2, use_bias=False, key=k
    ),
    "linear": lambda k: eqx.nn.Linear(6, 6, use_bias=False, key=k),
    "convolution": lambda k: eqx.nn.Conv2d(2, 2, 3, padding=1, use_bias=False, key=k),
    "one axis": lambda k: eqx.nn.Conv1d(2, 2, 5, padding=2, use_bias=False, key=k),
}
OURS = {"ours": lambda k: Convolution(2, 2, key=k)}
SHAPES = {
    "ours": (3, 4, 2),
    "linear": (6,),
    "convolution": (2, 3, 4),
    "one axis": (2, 7),
    "around": (2, 4),
    "wide": (2, 5),
}


def dense(layer, shape):
    """The layer's matrix, by its action on every unit vector."""
    size = int(np.prod(shape))
    flat = lambda x: layer(x.reshape(shape)).ravel()
    return jax.vmap(flat, out_axes=1)(jnp.eye(size))


def double(name, key):
    layer = {**LAYERS, **OURS}[name](key)
    return jax.tree.map(lambda x: x.astype(jnp.float64), layer), SHAPES[name]


@pytest.mark.parametrize("name", [*LAYERS, *OURS])
def test_the_operator_is_the_blend_of_dense_matrices(name, key):
    with precision(np.float64):
        layer, shape = double(name, key)
        matrix = dense(layer, shape)
        for beta in (0.0, 0.3, 1.0):
            found = dense(SymmetricMix(layer, beta), shape)
            wanted = beta * (matrix + matrix.T) + (1.0 - beta) * (matrix - matrix.T)
            assert_allclose(found, wanted, atol=1e-14)
        if name in OURS:
            return
        swapped = eqx.tree_at(
            lambda one: one.weight, layer, adjoint_weight(layer.weight)
        )
        assert_allclose(dense(swapped, shape), matrix.T, atol=1e-14)


@pytest.mark.parametrize("name", ["linear", "ours"])
def test_skew_keeps_the_norm_under_implicit_midpoint(name, key):
    """Exactly up to rounding; explicit steps let it grow."""
    with precision(np.float64):
        layer, shape = double(name, key)
        skew = SymmetricMix(layer, 0.0)
        field = lambda t, y, u, c: skew(y.reshape(shape)).ravel()
        y = jax.random.normal(key, (int(np.prod(shape)),), jnp.float64)
        zero, dt = jnp.asarray(0.0), jnp.asarray(0.3)
        run = lambda which: scheme(which).steps(
            field, zero, y, dt, 40, lambda s: None, None
        )
        norm = jnp.linalg.norm
        assert abs(norm(run("implicit_midpoint")) / norm(y) - 1.0) < 1e-12
        assert norm(run("euler")) / norm(y) > 1.01
        # and it moved
        assert norm(run("implicit_midpoint") - y) > 0.1 * norm(y)


def test_beta_is_trained_only_when_asked(key):
    layer = LAYERS["linear"](key)
    size = lambda mix: len(jax.tree.leaves(split_trainable(mix)[0]))
    assert size(SymmetricMix(layer, 0.5)) == 1
    assert size(SymmetricMix(layer, 0.5, learn=True)) == 2


def test_layers_without_an_adjoint_are_refused(key):
    with pytest.raises(ShapeError, match=r"\(3, 2\) maps a space to another"):
        SymmetricMix(eqx.nn.Linear(2, 3, key=key), 0.0)
    with pytest.raises(ConfigError, match="a window of 2 has no middle"):
        SymmetricMix(eqx.nn.Conv1d(2, 2, 2, key=key), 0.0)
    with pytest.raises(ConfigError, match="the stride is"):
        SymmetricMix(eqx.nn.Conv1d(2, 2, 3, stride=2, key=key), 0.0)
    for layer in (
        eqx.nn.Identity(),
        eqx.nn.LayerNorm((3, 3)),
        eqx.nn.Embedding(3, 3, key=key),
    ):
        with pytest.raises(ConfigError, match="has no weight"):
            SymmetricMix(layer, 0.0)
    conv = lambda **more: eqx.nn.Conv1d(2, 2, 3, key=key, **more)
    for mode in ("REFLECT", "REPLICATE"):
        with pytest.raises(ConfigError, match=f"padding_mode is {mode}"):
            SymmetricMix(conv(padding="SAME", padding_mode=mode), 0.0)
    for padding in (0, 2, "VALID"):
        with pytest.raises(ConfigError, match="does not keep the size"):
            SymmetricMix(conv(padding=padding), 0.0)
    with pytest.raises(ConfigError, match="2 groups"):
        SymmetricMix(eqx.nn.Conv1d(4, 2, 3, padding=1, groups=2, key=key), 0.0)
    with pytest.raises(ConfigError, match="beta is nan"):
        SymmetricMix(conv(padding=1), float("nan"))
