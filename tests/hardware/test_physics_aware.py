"""Physics-aware training: the right derivative at the right place."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.hardware import (
    Diffractive,
    External,
    OscillatorChain,
    UnknownGain,
    fit_model,
    measure,
    physics_aware,
)
from pendula.train import TrainState, gradient_step, run


@pytest.mark.parametrize(
    "make",
    [
        lambda key: OscillatorChain(3, steps=4, key=key),
        lambda key: Diffractive(3, 3, key=key),
        lambda key: UnknownGain(3, noise=0.1, key=key),
    ],
)
def test_a_perfect_model_gives_the_exact_gradient(key, make):
    layer = make(key)
    aware = physics_aware(layer, layer)
    xs = jax.random.normal(key, (5, 3))
    params = 0.1 * jnp.ones(3)

    def loss(params, xs, call):
        ys = jax.vmap(call, (None, 0, None))(params, xs, key)
        return jnp.sum(ys**2)

    exact = jax.jit(jax.value_and_grad(lambda *a: loss(*a, layer.forward), (0, 1)))
    found = jax.jit(jax.value_and_grad(lambda *a: loss(*a, aware), (0, 1)))
    jax.tree.map(
        lambda a, b: assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        found(params, xs),
        exact(params, xs),
    )


def test_the_model_is_differentiated_at_the_inputs_that_the_layer_saw(key):
    """Two layers by hand: the second slope is taken at the measured value."""
    box = External(lambda p, x: x**2, 1, 1)
    aware = physics_aware(box, lambda p, x: x**3)
    none = jnp.zeros(0)
    twice = lambda x: aware(none, aware(none, x, key), key)[0]
    value, slope = jax.value_and_grad(twice)(jnp.asarray([1.5]))
    assert_allclose(value, 1.5**4)
    assert_allclose(slope, [3 * (1.5**2) ** 2 * 3 * 1.5**2], rtol=1e-6)


def test_neither_the_layer_nor_its_model_is_trained(key):
    layer, model = UnknownGain(2, key=key), UnknownGain(2, spread=0.0, key=key)
    loss = lambda aware: jnp.sum(aware(jnp.zeros(2), jnp.ones(2), key))
    grads = eqx.filter_grad(loss)(physics_aware(layer, model))
    for leaf in jax.tree.leaves(grads):
        assert_array_equal(leaf, np.zeros_like(leaf))


def final_loss(true, make, how, key):
    """Mean square error, on the system, of a two-layer network trained in one way;
    `make` gives each layer's model."""
    xs = jax.random.normal(key, (64, 4))
    targets = jnp.sin(2.0 * xs[:, :1] * xs[:, 1:2]) + 0.3 * jax.random.normal(
        key, (64, 1)
    )
    mixed = jax.random.normal(key, (2, 8, 8))
    start = (0.5 * mixed[0, :, :4], 0.5 * mixed[1], jnp.zeros((2, 8)), jnp.zeros(8))

    def net(weights, x, calls):
        first, second, params, last = weights
        h = calls[0](params[0], first @ x, key)
        h = calls[1](params[1], second @ h, key)
        return jnp.dot(last, h)

    models = [make(box) for box in true]
    real = [box.forward for box in true]
    calls = {
        "exact": real,
        "silico": [model.forward for model in models],
        "aware": [physics_aware(b, m) for b, m in zip(true, models, strict=True)],
    }[how]

    def loss(weights, batch, key, calls=calls):
        outs = jax.vmap(lambda x: net(weights, x, calls))(batch[0])
        return jnp.mean((outs - batch[1][:, 0]) ** 2)

    transform = optax.adam(0.01)
    state = TrainState.start(start, transform.init(start), key)
    step = gradient_step(loss, transform)
    state, _ = run(step, state, (xs, targets), num_steps=400)
    return float(loss(state.params, (xs, targets), key, real))


def test_a_model_wrong_by_a_tenth_trains_as_well_as_the_truth_when_aware(key):
    keys = jax.random.split(key, 2)
    true = [UnknownGain(8, gain=1.5, key=k) for k in keys]

    def wrong(box):
        off = 1.0 + 0.1 * jnp.where(jnp.arange(8) % 2 == 0, 1.0, -1.0)
        return eqx.tree_at(lambda b: b.gains, box, box.gains * off)

    exact, aware, silico = (
        final_loss(true, wrong, how, key) for how in ("exact", "aware", "silico")
    )
    assert aware <= 1.1 * exact
    assert silico > 1.1 * exact


def test_a_fitted_model_predicts_a_layer_and_its_slope(key):
    layer = UnknownGain(2, key=key)
    xs, params = jax.random.normal(key, (2, 400, 2))
    fitted = fit_model(
        layer, xs, 0.3 * params, width=16, num_steps=600, lr=0.01, key=key
    )
    assert fitted.error < 0.1
    assert fitted.reason == "done"
    point = (jnp.asarray([0.1, 0.0]), jnp.asarray([0.4, -0.2]))
    slope = lambda f: jax.jit(jax.jacobian(f, (0, 1)))(*point)
    slopes, exact = slope(fitted.model), slope(lambda *a: layer.forward(*a, key))
    jax.tree.map(lambda a, b: assert_allclose(a, b, atol=0.15), slopes, exact)
    # its error is that on other pairs
    ys = measure(layer, xs, 0.3 * params, key=key)
    wrong = np.asarray(jax.jit(jax.vmap(fitted.model))(0.3 * params, xs)) - ys
    assert 0.3 < np.sqrt(np.mean(wrong**2)) / ys.std() / fitted.error < 3.0


def test_a_fit_does_not_depend_on_the_unit(key):
    xs = np.asarray(jax.random.normal(key, (60, 1)))
    boxes = [External(lambda p, x, u=u: u * np.tanh(x), 1, 1) for u in (1.0, 1e-8)]
    named = {"width": 8, "num_steps": 60, "lr": 0.01, "key": key}
    errors = [fit_model(box, xs, **named).error for box in boxes]
    assert_allclose(errors[1], errors[0], rtol=0.01)


def test_what_cannot_be_fitted_or_differentiated(key):
    layer = UnknownGain(2, key=key)
    with pytest.raises(ConfigError, match="9 samples"):
        fit_model(layer, np.zeros((9, 2)), key=key)
    box = External(lambda p, x: np.nan * x, 2, 2, name="dead")
    with pytest.raises(DataError, match="dead, sample 0"):
        fit_model(box, np.zeros((10, 2), np.float32), key=key)
    with pytest.raises(ShapeError, match=r"returns the shape \(1,\)"):
        physics_aware(layer, lambda p, x: x[:1])
