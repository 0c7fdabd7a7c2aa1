"""Weights and signals of few levels: exact levels, gradients, and small trainings."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.hardware import (
    BiPer,
    DiscretizeThenNoise,
    FrontEndCoder,
    Quantised,
    RangeNoise,
    encoder_cost,
    fit_encoder,
    quantise,
    quantised,
    to_analog,
)
from pendula.train import TrainState, gradient_step, run


@pytest.fixture(scope="module")
def weights():
    return jax.random.normal(jax.random.key(0), (6, 40))


def test_levels_are_those_of_the_bits(weights):
    for bits in (2, 4, 8):
        code = quantise(bits)
        made = code(weights)
        step = float(code.scale(weights)[0, 0])
        assert_allclose(step, np.abs(weights).max() / (2 ** (bits - 1) - 1), rtol=1e-6)
        assert_allclose(made / step, np.round(made / step), atol=1e-4)
        assert np.abs(made - weights).max() <= 0.5001 * step
        assert len(np.unique(np.round(made / step))) <= 2**bits - 1
    assert_array_equal(quantise(4)(jnp.zeros((2, 2))), np.zeros((2, 2)))
    cut = quantise(2, reach=1.5)
    top = 1.5 * np.sqrt(np.mean(np.asarray(weights) ** 2))
    assert_allclose(np.unique(cut(weights)), [-top, 0, top], rtol=1e-5, atol=1e-6)


def test_channels_have_scales_of_their_own():
    w = jnp.asarray([[1.0, 0.4, -0.2], [100.0, 40.0, -20.0]])
    rows = quantise(3, "channel")(w)
    assert_allclose(rows[1], 100 * rows[0], rtol=1e-6)
    assert_array_equal(quantise(3)(w)[0], np.zeros(3))  # lost beside the other
    columns = quantise(3, "channel", axis=-1)(w.T)
    assert_allclose(columns, rows.T)
    for code in (quantise(3, "channel", axis=3), BiPer(axis=3)):
        with pytest.raises(ConfigError, match=r"\(2, 3\) has no such axis"):
            code(w)


def test_stochastic_rounding_has_the_right_mean(weights):
    code = quantise(3, rounding="stochastic")
    keys = jax.random.split(jax.random.key(1), 4000)
    draws = jax.lax.map(lambda k: code(weights, key=k), keys, batch_size=100)
    step = float(code.scale(weights)[0, 0])
    error = 5 * 0.5 * step / np.sqrt(len(keys))
    assert_allclose(draws.mean(0), weights, atol=error)
    with pytest.raises(ConfigError, match="no key"):
        code(weights)


def test_nothing_but_the_levels_is_stored():
    weights = jax.random.normal(jax.random.key(0), (2000,))
    for code in (quantise(3, rounding="stochastic"), quantise(3, reach=1.5)):
        assert len(np.unique(code(weights, key=jax.random.key(1)))) <= 7


def test_gradient_passes_straight_through(weights):
    code = quantise(3)
    slope = jax.grad(lambda w: jnp.sum(code(w) ** 2))(weights)
    assert_allclose(slope, 2 * code(weights), rtol=1e-6)


def test_square_wave_has_the_gradient_of_the_sine(weights):
    code = BiPer(omega=5.0, alpha=0.7)
    made = code(weights)
    assert_allclose(made, 0.7 * np.sign(np.sin(5.0 * weights)), rtol=1e-6)
    slope = jax.grad(lambda w: jnp.sum(code(w)))(weights)
    assert_allclose(slope, 0.7 * 5.0 * np.cos(5.0 * weights), rtol=1e-4, atol=1e-5)
    soft = BiPer(omega=5.0, alpha=0.7, hard=False)
    assert_allclose(soft(weights), 0.7 * np.sin(5.0 * weights), rtol=1e-5, atol=1e-6)
    assert_allclose(np.abs(BiPer()(weights)), 40**-0.5, rtol=1e-6)
    assert_array_equal(BiPer(alpha=1.0)(jnp.zeros(2)), np.ones(2))


def test_quantise_then_noise_is_the_noise_of_the_levels(weights):
    key, level = jax.random.key(2), 0.1
    first, second = jax.random.split(key)
    code = DiscretizeThenNoise(quantise(4), RangeNoise(), level)
    held = quantise(4)(weights)
    expected = RangeNoise().program(second, held, level)
    assert_allclose(code(weights, key=key), expected, rtol=1e-6)
    own = DiscretizeThenNoise(
        quantise(4), lambda k, w: w + jax.random.normal(k, w.shape)
    )
    moved = own(weights, key=key) - held
    assert_allclose(moved, jax.random.normal(second, held.shape), atol=1e-5)
    slope = jax.grad(lambda w: jnp.sum(own(w, key=key)))(weights)
    assert_allclose(slope, np.ones_like(slope))
    assert first.shape == ()


def test_a_model_is_quantised_where_it_is_selected():
    net = eqx.nn.MLP(3, 2, 8, 1, key=jax.random.key(0))
    few = quantised(net, quantise(2))
    assert len(np.unique(np.abs(few.layers[0].weight))) == 2
    assert_array_equal(few.layers[0].bias, net.layers[0].bias)
    where = lambda path, array: path == "layers[1].bias"
    one = quantised(net, quantise(2), where=where)
    assert_array_equal(one.layers[0].weight, net.layers[0].weight)
    assert len(np.unique(np.abs(one.layers[1].bias))) <= 2
    code = quantise(2, rounding="stochastic")
    a, b = (quantised(net, code, key=jax.random.key(k)) for k in (1, 2))
    assert not np.array_equal(a.layers[0].weight, b.layers[0].weight)
    with pytest.raises(ConfigError, match="no array"):
        quantised(net, quantise(2), where=lambda path, array: False)


def test_training_under_few_levels_beats_rounding_afterwards():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    xs = draw(256, 8)
    ys = jnp.tanh(xs @ draw(8, 3))
    start = (0.3 * draw(24, 8), 0.2 * draw(3, 24))

    def loss_under(code):
        def loss(weights, batch, key):
            first, second = weights if code is None else quantised(weights, code)
            return jnp.mean((jnp.tanh(batch[0] @ first.T) @ second.T - batch[1]) ** 2)

        return loss

    def trained(start, code):
        transform = optax.adam(optax.cosine_decay_schedule(0.02, 200))
        state = TrainState.start(start, transform.init(start), jax.random.key(0))
        step = gradient_step(loss_under(code), transform)
        return run(step, state, (xs, ys), num_steps=200)[0].params

    exact = trained(start, None)
    for code, begun in ((quantise(3), exact), (BiPer(5.0), start)):
        final = jax.jit(loss_under(code))
        aware = float(final(trained(begun, code), (xs, ys), None))
        after = float(final(exact, (xs, ys), None))
        assert aware < 0.7 * after, (code, aware, after)


def test_converters_pass_few_levels():
    layer = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    x = jnp.linspace(-2, 2, 5)
    whole = Quantised(layer)
    assert_allclose(whole(x), layer(x))
    both = Quantised(layer, 4, 3, range_in=1.0, range_out=0.5)
    step_in, step_out = 1 / 7, 0.5 / 3
    inside = np.round(np.clip(x, -1, 1) / step_in) * step_in
    y = np.asarray(layer(jnp.asarray(inside, jnp.float32)))
    expected = np.round(np.clip(y, -0.5, 0.5) / step_out) * step_out
    assert_allclose(both(x), expected, atol=1e-6)
    slope = jax.jacobian(Quantised(eqx.nn.Identity(), 4, range_in=1.0))(x)
    assert_allclose(slope, np.diag([0, 0.5, 1, 0.5, 0]), atol=0.51)
    assert slope[2, 2] == 1
    assert slope[0, 0] == 0
    own = Quantised(eqx.nn.Identity(), bits_in=8)
    assert_allclose(own(x), x, atol=2 / 127)
    chip = to_analog(both, RangeNoise()).sample(jax.random.key(1), level=0.0)
    assert_allclose(chip(x), both(x), atol=1e-6)


def test_front_end_coder_and_its_cost():
    coder = FrontEndCoder(
        (6, 5, 2), channels=3, latent=4, width=8, key=jax.random.key(0)
    )
    cost = encoder_cost(coder, quantise(5))
    places = 3 * 3
    assert cost.multiplications == places * 9 * 2 * 3 + places * 3 * 4
    assert cost.parameters == 9 * 2 * 3 + 3 + places * 3 * 4 + 4
    assert cost.stored_bits == 5 * cost.parameters
    assert (cost.inputs, cost.outputs) == (60, 4)
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(256, 2))
    xs = (hidden @ rng.normal(size=(2, 60))).reshape(256, 6, 5, 2)
    fitted = fit_encoder(coder, xs, quantise(6), epochs=40, batch=64, lr=0.01)
    assert fitted.error(xs) < 0.2
    exact = fit_encoder(coder, xs, None, epochs=40, batch=64, lr=0.01)
    assert exact.error(xs) < 0.2
    assert exact.error(xs, quantise(2)) > 2 * exact.error(xs)
    decoder = fitted.programmed().decoder
    assert_array_equal(decoder.weights[0], fitted.coder.decoder.weights[0])


def test_what_cannot_be_used_is_refused():
    for bits in (1, 17):
        with pytest.raises(ConfigError, match="bits"):
            quantise(bits)
    with pytest.raises(ConfigError, match="channel"):
        quantise(4, "chanel")
    with pytest.raises(ConfigError, match="nearest"):
        quantise(4, rounding="up")
    with pytest.raises(ConfigError, match="reach"):
        quantise(4, reach=0.0)
    with pytest.raises(ConfigError, match="omega"):
        BiPer(0.0)
    with pytest.raises(ConfigError, match="level"):
        DiscretizeThenNoise(quantise(4), lambda k, w: w, 0.1)
    for named in ({"level": -0.1}, {"t": -1.0}):
        with pytest.raises(ConfigError, match=f"{next(iter(named))} is -"):
            DiscretizeThenNoise(quantise(4), RangeNoise(), **named)
    with pytest.raises(ConfigError, match="expected a function"):
        DiscretizeThenNoise(quantise(4), 3)
    with pytest.raises(ConfigError, match="bits_in"):
        Quantised(eqx.nn.Identity(), bits_in=1)
    with pytest.raises(ConfigError, match="range_out"):
        Quantised(eqx.nn.Identity(), range_out=-1.0)
    with pytest.raises(ConfigError, match="latent"):
        FrontEndCoder((8, 8, 1), latent=0, key=jax.random.key(0))
    coder = FrontEndCoder((8, 8, 1), key=jax.random.key(0))
    with pytest.raises(ShapeError, match="pictures"):
        fit_encoder(coder, np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match="finite"):
        fit_encoder(coder, np.full((3, 8, 8, 1), np.nan))
    with pytest.raises(ConfigError, match="batches"):
        fit_encoder(coder, np.zeros((3, 8, 8, 1)), batch=4)
