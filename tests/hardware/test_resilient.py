"""Gradients under the noise of devices, and what keeps ranges small."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, FitWarning
from pendula.hardware import (
    PCM,
    AnalogWarning,
    ForecastError,
    HardenConfig,
    NoiseLevel,
    RangeNoise,
    RangeWatch,
    clip_weights,
    ha_sgd,
    harden,
    hardware_aware,
    monte_carlo,
    range_penalty,
    robust_recipe,
    to_analog,
)
from pendula.nn import MLP, Shortcut
from pendula.train import TrainState, gradient_step, plain_gradient, run


KEY = jax.random.key(6)
H = jnp.asarray([[2.0, 0.5], [0.5, 1.0]])
W = jnp.asarray([[1.0, -2.0]])


def quadratic(w, *batch, key=None):
    return 0.5 * jnp.sum((w @ H) * w)


@pytest.mark.parametrize("samples", [1, 4])
def test_gradient_of_a_quadratic_in_mean_and_spread(samples):
    twin = to_analog(W, RangeNoise())
    vg = ha_sgd(quadratic, twin, 0.1, samples)
    keys = jax.random.split(KEY, 4000)
    found = np.asarray(jax.jit(jax.vmap(lambda k: vg(W, k)[1]))(keys))[:, 0]
    exact = np.asarray(W @ H)[0]
    sigma = 0.1 * 3.0
    noise = sigma**2 * np.asarray(H @ H) / samples
    error = np.sqrt(np.diag(noise) / len(found))
    assert (np.abs(found.mean(axis=0) - exact) < 4 * error).all()
    assert_allclose(np.cov(found.T), noise, rtol=0.15, atol=0.02 * noise.max())


def test_a_device_serves_without_a_twin_and_pcm_is_in_the_loop():
    vg = ha_sgd(quadratic, PCM(), 1.0)
    (value, aux), g = jax.jit(lambda w, k: vg(w, k))(W, KEY)
    assert aux is None
    assert np.isfinite(value)
    assert not np.allclose(g, W @ H)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_whole_model_stands_where_its_arrays_do(level):
    """Without errors it is the plain gradient, with errors another one."""
    net = eqx.nn.MLP(2, 1, 3, 1, activation=jnp.tanh, key=KEY)
    loss = lambda net, x, key: jnp.sum(net(x) ** 2)
    vg = eqx.filter_jit(ha_sgd(loss, RangeNoise(), level))
    _, found = vg(net, KEY, W[0])
    plain = eqx.filter_grad(lambda net: loss(net, W[0], None))(net)
    assert jax.tree.structure(found) == jax.tree.structure(plain)
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True)
    gap = max(float(jnp.abs(a - b).max()) for a, b in pairs)
    assert gap < 1e-6 if level == 0.0 else gap > 1e-3


def test_mirrored_errors_reach_the_shortcut():
    """What is drawn at the call, by sigma and seed, is mirrored too: the outputs of
    both chips of a pair differ from the input, and their mean does not."""
    wire, x = Shortcut(), jnp.arange(1.0, 5.0)
    estimator = hardware_aware(to_analog(wire), 0.2, 2, antithetic=True)
    loss = lambda w, batch, key: (jnp.sum(w(x) ** 2), (w(x), (w(x) - x) ** 2))
    (_, (mean, square)), _ = estimator(loss, wire, None, KEY)
    assert_allclose(mean, x, rtol=1e-6)
    assert (np.asarray(square) > 1e-4).all()


def test_level_0_is_plain_descent_bit_for_bit():
    net = eqx.nn.MLP(2, 1, 4, 1, key=KEY)
    params, rest = eqx.partition(net, eqx.is_inexact_array)
    x = jax.random.normal(KEY, (8, 2))

    def loss(p, batch, key):
        return jnp.mean(jax.vmap(eqx.combine(p, rest))(batch) ** 2)

    twin, made = to_analog(net), {}
    for name, estimator in (
        ("plain", plain_gradient),
        ("none", hardware_aware(twin, 0.0)),
        ("some", hardware_aware(twin, 0.1)),
    ):
        transform = optax.sgd(0.1, momentum=0.9)
        step = gradient_step(loss, transform, estimator=estimator)
        state = TrainState.start(params, transform.init(params), KEY)
        made[name] = run(step, state, x, num_steps=3)[0].params
    for a, b in zip(
        *(jax.tree.leaves(made[k]) for k in ("plain", "none")), strict=True
    ):
        assert_array_equal(a, b)
    other = jax.tree.leaves(made["some"])
    assert not np.array_equal(other[0], jax.tree.leaves(made["plain"])[0])


def test_levels_are_looked_at_before_training():
    twin = to_analog(W, RangeNoise())
    makers = (
        lambda level: hardware_aware(twin, level),
        lambda level: ha_sgd(quadratic, twin, level),
        lambda level: robust_recipe(twin, level, 10, optax.sgd(0.1)),
    )
    for make in makers:
        with pytest.warns(AnalogWarning, match="above half of the range"):
            make(5.0)
        with pytest.raises(ConfigError, match="at least 0"):
            make(-0.1)
    with pytest.raises(ConfigError, match='Did you mean "array"'):
        hardware_aware(twin, {"arrray": 0.1})
    said = NoiseLevel.from_wmax(0.2)
    _, same = ha_sgd(quadratic, twin, said)(W, KEY)
    assert_array_equal(same, ha_sgd(quadratic, twin, 0.1)(W, KEY)[1])
    _, same = ha_sgd(quadratic, twin, {"array": said})(W, KEY)
    assert_array_equal(same, ha_sgd(quadratic, twin, 0.1)(W, KEY)[1])
    robust_recipe(twin, said, 10, optax.sgd(0.1))
    assert HardenConfig(level=said).level == 0.1


def test_weights_are_cut_off_about_their_mean():
    w = {"w": jnp.asarray([[1.0, -1.0, 1.0, -1.0, 30.0]]), "gain": jnp.ones(3)}
    twin = to_analog(w, where="*w*")
    cut = clip_weights(twin, 1.0)
    steps, _ = cut.update(jax.tree.map(jnp.zeros_like, w), cut.init(w), w)
    new = jax.tree.map(jnp.add, w, steps)
    assert_allclose(new["w"].max(), 6.0 + np.std(np.asarray(w["w"])), rtol=1e-5)
    assert_array_equal(new["gain"], w["gain"])
    with pytest.raises(ConfigError, match="above 0"):
        clip_weights(twin, 0.0)
    with pytest.raises(ConfigError, match="linaer"):
        clip_weights(twin, kinds=("linaer",))


def test_penalty_is_the_range():
    twin = to_analog(W)
    assert float(range_penalty(twin, W, 0.5)) == pytest.approx(0.5 * 9.0)
    eight = (1.0 + 2.0**8) ** (1 / 8)
    assert float(range_penalty(twin, W, 1.0, p=8.0)) == pytest.approx(eight**2)
    slope = jax.grad(lambda w: range_penalty(twin, w, 1.0, p=8.0))(W)
    assert (np.asarray(slope) != 0).all()
    with pytest.raises(ConfigError, match="at least"):
        range_penalty(twin, W, -1.0)
    none = jnp.zeros((1, 2))
    slope = jax.grad(lambda w: range_penalty(twin, w, 1.0, p=8.0))(none)
    assert_array_equal(slope, none)


def test_runaway_is_told_once():
    net = {"a": jax.random.normal(KEY, (60, 60))}
    watch = RangeWatch(to_analog(net))
    wide = {"a": net["a"].at[0, 0].set(1e4)}
    state = TrainState.start(wide, None, KEY)
    with pytest.warns(FitWarning, match="range runaway"):
        watch(state, {})
    watch(state, {})  # silent the second time


def test_recipe_ramps_clips_and_counts():
    twin = to_analog(W)
    estimator, transform = robust_recipe(twin, 0.2, 10, optax.sgd(0.1), samples=4)
    assert estimator.evaluations == 4
    assert float(estimator.level(0)) == 0.0
    assert float(estimator.level(9)) == pytest.approx(0.2)
    transform.init(W)


class Swing(eqx.Module):
    """A learned frequency."""

    net: MLP

    def field(self, t, y, u, context):
        return jnp.stack([y[1], self.net(y)[0]])


def records():
    ts = np.arange(21) * 0.1
    amplitude = np.linspace(0.5, 1.5, 4)[:, None]
    ys = np.stack([amplitude * np.cos(ts), -amplitude * np.sin(ts)], axis=-1)
    return ts, ys.astype(np.float32)


def test_forecast_error_of_the_true_field_is_nothing():
    ts, ys = records()
    error = ForecastError.of(ys, ts)
    truth = lambda t, y, u, context: jnp.stack([y[1], -y[0]])
    assert float(error(truth, jnp.asarray(ys)).max()) < 1e-4
    away = lambda t, y, u, context: y * 1e6
    assert_array_equal(error(away, jnp.asarray(ys)), np.full(4, 10.0))
    # whole numbers, a channel that stands still, a field of the time, a late beginning
    late, two = ts + 2.0, np.full((1, 21, 1), np.float32(0.1))
    driven = 1000.0 * (np.sin(late) - np.sin(2.0))
    whole = np.round(driven).astype(int)[None, :, None]
    pushed = lambda t, y, u, context: jnp.full_like(y, 1000.0 * jnp.cos(t))
    assert float(ForecastError.of(whole, late)(pushed, jnp.asarray(whole))[0]) < 1e-2
    near = lambda t, y, u, context: jnp.zeros_like(y)
    assert float(ForecastError.of(two, ts)(near, jnp.asarray(two + 1e-5))[0]) < 1e-3
    for bad in ((ys, ts[::-1]), (ys[:0], ts), (ys * np.nan, ts), (ys[:, :1], ts[:1])):
        with pytest.raises(DataError):
            ForecastError.of(*bad)


@pytest.mark.slow
def test_hardened_models_forecast_better_on_chips():
    ts, ys = records()
    first = Swing(MLP(2, 1, width=16, depth=1, key=KEY))
    twin = to_analog(first)
    common = {"longest": 10, "batch": 8, "lr": 1e-2}
    plain = harden(
        first, ys, ts, twin, HardenConfig(0.0, clip=None, steps=600, **common)
    )
    hard = harden(
        plain, ys, ts, twin, HardenConfig(0.1, samples=2, clip=1.5, steps=600, **common)
    )
    error = ForecastError.of(ys, ts)
    found = [
        np.median(
            monte_carlo(to_analog(m), error, jnp.asarray(ys), KEY, 20, (0.1,)).values
        )
        for m in (plain, hard)
    ]
    assert found[1] < 0.8 * found[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps"),
        ({"level": -1.0}, "level"),
        ({"lr": np.nan}, "lr"),
        ({"clip": 0.0}, "clip"),
        ({"shortest": 0}, "shortest"),
    ],
)
def test_bad_settings(change, words):
    with pytest.raises(ConfigError, match=words):
        HardenConfig(**change)
