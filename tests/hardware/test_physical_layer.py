"""Physical layers: the simulated ones against closed forms, and boxes that are not
JAX with what they may do wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula.hardware import (
    AbstractPhysicalLayer,
    Diffractive,
    External,
    OscillatorChain,
    UnknownGain,
    boundary,
    measure,
)


NONE = jnp.zeros(0)


def test_a_linear_chain_moves_as_its_matrix_exponential_says(key):
    chain = OscillatorChain(3, cubic=0.0, steps=40, key=key)
    x, params = np.asarray([0.3, -0.2, 0.5]), np.asarray([0.1, 0.0, -0.2])
    k, c, kappa = np.asarray(chain.stiffness) + params, 0.2, 0.3
    pull = -np.diag(k) + kappa * np.asarray([[-1, 1, 0], [1, -2, 1], [0, 1, -1]])
    force = np.zeros((7, 7))  # (q, v, 1)
    force[:3, 3:6] = np.eye(3)
    force[3:6, :3], force[3:6, 3:6] = pull, -c * np.eye(3)
    force[3:6, 6] = x
    exact = (expm(3.0 * force) @ np.eye(7)[6])[:3]
    y = chain.forward(jnp.asarray(params, "float32"), jnp.asarray(x, "float32"), key)
    assert_allclose(y, exact, atol=1e-5)


def test_the_cubic_spring_hardens(key):
    soft, hard = (OscillatorChain(2, cubic=b, key=key) for b in (0.0, 2.0))
    x = 2.0 * jnp.ones(2)
    small = 1e-3 * x
    gain = lambda box, x: np.abs(box.forward(jnp.zeros(2), x, key) / x)
    assert_allclose(gain(soft, x), gain(soft, small), rtol=1e-3)
    assert np.all(gain(hard, x) < 0.9 * gain(hard, small))


def test_scattered_light_against_complex_arithmetic(key):
    layer = Diffractive(5, 4, key=key)
    medium = np.asarray(layer.real) + 1j * np.asarray(layer.imaginary)
    x, params = np.linspace(-1, 1, 5), np.linspace(0, 3, 5)
    field = medium @ (np.exp(1j * params) * x)
    give = lambda box, p: box.forward(
        jnp.asarray(p, "float32"), jnp.asarray(x, "float32"), key
    )
    assert_allclose(give(layer, params), np.abs(field) ** 2, rtol=1e-5)
    later = params + 2.0 * np.asarray(layer.rates)
    assert_allclose(give(layer.drift(2.0), params), give(layer, later), rtol=1e-5)
    wide = Diffractive(200, 2000, key=key)
    assert abs(measure(wide, np.ones((1, 200)), key=key).mean() - 1.0) < 0.1


def test_gains_and_their_drift(key):
    layer = UnknownGain(4, key=key)
    x = jnp.linspace(-1.0, 1.0, 4)
    g, r = np.asarray(layer.gains), np.asarray(layer.rates)
    y = layer.drift(0.5).forward(0.1 * jnp.ones(4), x, key)
    assert_allclose(y, np.tanh(g * (1 + 0.5 * r) * (np.asarray(x) + 0.1)), rtol=1e-5)
    chain = OscillatorChain(4, key=key)
    k, r = np.asarray(chain.stiffness), np.asarray(chain.rates)
    assert_allclose(chain.drift(0.5).stiffness, k * (1 + 0.5 * r), rtol=1e-6)
    twice = chain.drift(2.0).drift(3.0), layer.drift(2.0).drift(3.0)
    assert_allclose(twice[0].stiffness, chain.drift(5.0).stiffness, rtol=1e-6)
    assert_allclose(twice[1].gains, layer.drift(5.0).gains, rtol=1e-6)


def test_noise_is_drawn_by_the_key_and_bounds_hold(key):
    layer = UnknownGain(2, noise=0.1, key=key)
    xs = np.zeros((20_000, 2), np.float32)
    ys = measure(layer, xs, key=key)
    assert_allclose(ys.std(axis=0), 0.1, rtol=0.03)
    assert_array_equal(ys, measure(layer, xs, key=key))
    bounded = UnknownGain(2, in_bounds=(-0.5, 0.5), spread=0.0, key=key)
    out = bounded.forward(jnp.zeros(2), jnp.asarray([9.0, -9.0]), key)
    assert_allclose(out, np.tanh([0.5, -0.5]), rtol=1e-6)
    assert measure(layer, 9.0 + xs, key=key).max() <= 1.0  # the reader saturates


def test_a_layer_has_the_precision_that_it_was_made_in(key):
    with precision(np.float64):
        boxes = UnknownGain(2, key=key), OscillatorChain(2, steps=1, key=key)
        for box in (*boxes, Diffractive(2, 2, key=key)):
            ys = measure(box, np.ones((1, 2), np.float32), key=key)
            assert ys.dtype == np.float64


def product(params, x):
    return params[:1] * np.sin(x[:1] * x[1:])


def test_a_box_that_is_not_jax_works_under_every_transform(key):
    box = External(product, 2, 1, 1, in_bounds=(-2.0, 2.0), name="mixer")
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(3, 4, 2)).astype(np.float32)
    params = rng.normal(size=(3, 1)).astype(np.float32)
    over = jax.vmap(jax.vmap(box.forward, (None, 0, None)), (0, 0, None))
    ys = jax.jit(over)(params, xs, key)
    clipped = np.clip(xs, -2.0, 2.0)
    exact = params[:, None] * np.sin(clipped[..., :1] * clipped[..., 1:])
    assert_allclose(ys, exact, rtol=1e-6)
    again = measure(box, xs[0], params[0], key=key)
    assert_allclose(again, exact[0], rtol=1e-6)
    with pytest.raises(ValueError, match="JVP"):
        jax.grad(lambda x: box.forward(jnp.zeros(1), x, key)[0])(xs[0, 0])
    assert box.drift(1.0) is box


def faulty(params, x):
    """NaN for one of the samples, another shape for another."""
    if x[0] == 2.0:
        return np.asarray([0.0, np.nan])
    return x[:1] if x[0] == 3.0 else x


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [(2.0, DataError, "output 1 is nan"), (3.0, ShapeError, r"shape \(1,\)")],
)
def test_what_a_box_does_wrong_is_named(key, bad, error, says):
    box = External(faulty, 2, 2, name="bench")
    xs = np.zeros((5, 2), np.float32)
    xs[3] = bad
    told = f"layer bench, sample 3.*{says}"
    with pytest.raises(error, match=told):
        measure(box, xs, key=key)
    compiled = jax.jit(jax.vmap(box.forward, (None, 0, None)))
    with pytest.raises(error, match=told), boundary({"net": (box,)}):
        jax.block_until_ready(compiled(NONE, xs, key))
    with pytest.raises(jax.errors.JaxRuntimeError, match="layer bench, sample 3"):
        jax.block_until_ready(compiled(NONE, xs, key))
    with boundary(box):  # an earlier fault is not raised again
        compiled(NONE, 0.0 * xs, key)


class Wrong(AbstractPhysicalLayer):
    """A simulated layer that does not keep its word."""

    in_size: int = 2
    out_size: int = 2
    n_params: int = 0
    in_bounds: tuple = (-1.0, 1.0)
    out_bounds: tuple = (-1.0, 1.0)
    noise: float = 0.0
    value: float = float("nan")

    def forward(self, params, x, key):
        return jnp.where(x > 0, self.value, x) if self.value else x[:1]

    def drift(self, t):
        return self


def test_so_is_a_simulated_layer(key):
    xs = np.asarray([[0.0, -1.0], [0.0, 1.0]], np.float32)
    with pytest.raises(DataError, match="Wrong, sample 1: output 1 is nan"):
        measure(Wrong(), xs, key=key)
    with pytest.raises(ShapeError, match="Wrong, sample 0"):
        measure(Wrong(value=0.0), xs, key=key)


def test_inputs_that_cannot_be_measured(key):
    layer = UnknownGain(2, key=key)
    xs = np.zeros((3, 2), np.float32)
    with pytest.raises(DataError, match="no inputs"):
        measure(layer, xs[:0], key=key)
    with pytest.raises(ShapeError, match=r"\(3, 1\); expected \(samples, 2\)"):
        measure(layer, xs[:, :1], key=key)
    with pytest.raises(ShapeError, match="2 params for 3 samples"):
        measure(layer, xs, xs[:2], key=key)
    xs[1, 0] = np.inf
    with pytest.raises(DataError, match="sample 1: its inputs hold inf at 0"):
        measure(layer, xs, key=key)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda key: UnknownGain(0, key=key), "size is 0"),
        (lambda key: OscillatorChain(2, time=-1.0, key=key), "time is -1"),
        (lambda key: OscillatorChain(2, steps=0, key=key), "steps is 0"),
        (lambda key: Diffractive(2, 2, noise=-0.1, key=key), "noise is -0.1"),
        (lambda key: UnknownGain(2, in_bounds=(1.0, 0.0), key=key), "in_bounds"),
        (lambda key: External(3.0, 2, 2), "its function is a float"),
    ],
)
def test_layers_that_cannot_be(key, make, says):
    with pytest.raises(ConfigError, match=says):
        make(key)
