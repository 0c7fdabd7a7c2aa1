"""Fields from few sensors: what is drawn, what is linear, what a network adds."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import CheckpointError, ConfigError, DataError, ShapeError
from pendula._errors import FitWarning
from pendula.data import Snapshots
from pendula.latent import (
    DecoderFitConfig,
    FieldCodec,
    FittedDecoder,
    FittedLatent,
    GappyPOD,
    ShallowDecoder,
    fit_decoder,
    leverage,
    leverage_sensors,
    pod,
    reconstruction_errors,
    wall_sensors,
)


KEY = jax.random.key(0)
NX, NY = 48, 20


def wake(count=120):
    """Six harmonics of one phase, that travel: a limit cycle of twelve dimensions."""
    x, y = np.linspace(0, 8, NX)[:, None], np.linspace(-2, 2, NY)
    phases = 2 * np.pi * np.arange(count) / 30.4
    fields = []
    for phase in phases:
        field = -3 * np.exp(-(y**2)) * np.tanh(3 * y) * np.ones_like(x)
        for n in range(1, 7):
            shape = np.exp(-(y**2) * (1 + 0.2 * n)) * (y if n % 2 == 0 else 1.0)
            moving = np.cos(n * (1.2 * x - phase) + 0.3 * n) * np.tanh(0.3 + x)
            field = field + 3 * 0.6**n * shape * moving
        fields.append(field)
    axes = {"x": np.linspace(0, 8, NX), "y": np.linspace(-2, 2, NY)}
    return Snapshots.of(0.2 * np.arange(count), np.array(fields), axes=axes)


@pytest.fixture(scope="module")
def flow():
    """(training rows, test rows, five places)."""
    rows = wake().flat()
    places = np.sort(np.random.default_rng(0).choice(NX * NY, 5, replace=False))
    return rows[:80], rows[80:], places


def quick(**changes):
    return DecoderFitConfig(**{"epochs": 1500, **changes})


@pytest.fixture(scope="module")
def fitted(flow):
    train, _, places = flow
    return fit_decoder(train, places, quick(epochs=1000, reduced=True))


def test_the_network_beats_linear_maps_of_the_same_sensors(flow, fitted):
    """Five readings do not determine twelve coefficients linearly; a limit cycle is
    determined by its phase."""
    train, test, places = flow
    found = fitted.score(test)
    assert found.deviation < 0.05
    assert found.field < found.deviation
    for way in ("modes", "training", "regression"):
        linear = GappyPOD(way=way).fit(train, places).score(test)
        assert linear.deviation > 5 * found.deviation
    # readings that belong to other fields teach nothing
    shuffled = np.random.default_rng(0).permutation(test)
    other = fitted.predict(test[:, places])
    assert reconstruction_errors(other, shuffled, fitted.codec.mean).deviation > 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [{"norm": "layer"}, {"dropout": 0.1}, {"norm": "layer", "reduced": False}],
    ids=["layer", "dropout", "cells"],
)
def test_variants(flow, changes):
    train, test, places = flow
    one = fit_decoder(train, places, quick(epochs=1000, **{"reduced": True, **changes}))
    assert one.score(test).deviation < 0.1


def test_each_sample_is_treated_alone(flow, fitted):
    """The running statistics are those that training saw, so that one sample gives
    what it gives in a batch, and the training error is that of the training loss."""
    train, test, places = flow
    readings = test[:, places]
    assert_allclose(
        fitted.predict(readings[3]), fitted.predict(readings)[3], rtol=1e-5, atol=1e-5
    )
    assert fitted.predict(readings[:0]).shape == (0, NX * NY)
    loss = fitted.history[-1]["loss"]
    assert fitted.score(train).deviation == pytest.approx(loss**0.5, rel=0.2)


def test_saved_is_loaded(flow, fitted, tmp_path):
    _, test, places = flow
    fitted.save(tmp_path / "d.safetensors")
    back = FittedDecoder.load(tmp_path / "d.safetensors")
    readings = test[:, places]
    assert_array_equal(back.predict(readings), fitted.predict(readings))
    assert back.score(test) == fitted.score(test)
    assert (back.config, back.history) == (fitted.config, fitted.history)
    assert_array_equal(back.sensors, places)
    with pytest.raises(CheckpointError, match="does not hold a latent model"):
        FittedLatent.load(tmp_path / "d.safetensors")
    with pytest.raises(DataError, match="snapshot 0, number 0, is not finite"):
        back.predict(np.nan * readings)


@pytest.mark.parametrize(
    "norm", ["batch", pytest.param("layer", marks=pytest.mark.slow)]
)
def test_a_killed_training_goes_on_to_the_same_bits(flow, norm, tmp_path):
    train, _, places = flow
    config = quick(epochs=200, norm=norm, dropout=0.1, reduced=True)

    class Kill(Exception):
        pass

    def kill(row):
        if row["step"] == 100:
            raise Kill

    where = {"folder": tmp_path / "run", "seconds": 0.0}
    with pytest.raises(Kill):
        fit_decoder(train, places, config, tell=kill, **where)
    resumed = fit_decoder(train, places, config, **where)
    whole = fit_decoder(train, places, config)
    for a, b in zip(*map(jax.tree.leaves, (resumed.model, whole.model)), strict=True):
        assert_array_equal(a, b)
    assert resumed.history == whole.history
    again = fit_decoder(train, places, config, **where)
    assert again.history == whole.history
    with pytest.raises(CheckpointError, match="other settings or data"):
        fit_decoder(train, places[:4], config, **where)


def test_the_settings_are_the_published_ones():
    """Rate and decay fall every hundred epochs, and at the first one."""
    config = DecoderFitConfig()
    step = lambda grad, at: _first_update(config, grad, at)
    assert step(1.0, 0) == pytest.approx(-9e-3, rel=1e-4)
    assert step(1.0, 250) == pytest.approx(-1e-2 * 0.9**3, rel=1e-4)
    assert (config.widths, config.epochs) == ((40, 45), 4000)
    # no gradient but the decay: Adam turns the sign of the weight around
    assert step(0.0, 0) == pytest.approx(-9e-3, rel=1e-2)
    assert _first_update(DecoderFitConfig(weight_decay=0.0), 0.0, 0) == 0.0


def _first_update(config, grad, at):
    """Of a weight 1, by constant gradients."""
    weight = jnp.ones(())
    transform = config.transform()
    state = transform.init(weight)
    with jax.numpy_dtype_promotion("standard"):
        update = jax.jit(transform.update)
        for _ in range(at + 1):
            out, state = update(jnp.asarray(grad), state, weight)
    return float(out)


def test_the_decoder_by_hand():
    """Two hidden layers, written out."""
    net = ShallowDecoder(3, 7, widths=(4, 5), norm="layer", key=KEY)
    x = np.array([0.3, -1.0, 2.0], np.float32)
    h = x
    for w, b in zip(net.weights[:2], net.biases[:2], strict=True):
        h = np.maximum(w @ h + b, 0)
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-5)
    y = eqx.filter_jit(net)(jnp.asarray(x))
    assert_allclose(y, net.weights[2] @ h + net.biases[2], atol=1e-5)


def test_training_moves_every_weight(flow, fitted):
    start = jax.random.split(jax.random.key(fitted.config.seed))[0]
    before = ShallowDecoder(5, fitted.codec.size, key=start)
    for old, new in zip(
        *((*m.weights, *m.biases) for m in (before, fitted.model)), strict=True
    ):
        assert np.any(np.asarray(old) != np.asarray(new))


def test_sensors_that_see_no_mode_are_warned_of():
    """Three bumps in one place, in noise; a warning of the good places would fail."""
    rng, x = np.random.default_rng(0), np.linspace(0, 6, 90)
    bumps = np.exp(-9.0 * (x - np.array([[1.2], [1.5], [1.8]])) ** 2)
    rows = 3.0 + rng.normal(size=(30, 3)) @ bumps + 0.01 * rng.normal(size=(30, 90))
    assert GappyPOD().fit(rows, [18, 22, 27]).score(rows).deviation < 0.1
    with pytest.warns(FitWarning, match="hardly see the modes"):
        GappyPOD().fit(rows, [60, 70, 80])


def test_gappy_pod_is_exact_on_a_field_of_low_rank():
    rng = np.random.default_rng(0)
    rows = 2.0 + rng.normal(size=(40, 4)) @ rng.normal(size=(4, 90))
    places = [3, 20, 41, 77]
    for way in ("modes", "regression"):
        one = GappyPOD(way=way, ridge=0.0).fit(rows[:25], places)
        assert one.score(rows[25:]).deviation < 1e-10
    # what "POD plus" learns of the sensors is the modes' value there
    plus = GappyPOD(rank=3, way="training", ridge=0.0).fit(rows[:25], places)
    plain = GappyPOD(rank=3).fit(rows[:25], places)
    assert_allclose(plus.matrix, plain.matrix, atol=1e-9)
    modes = pod(rows[:25], 3, rows[:25].mean(axis=0))[0]
    assert_allclose(np.abs(np.sum(modes * plain.modes, axis=0)), 1, atol=1e-9)
    seen = modes[places] * np.sign(np.sum(modes * plain.modes, axis=0))
    assert_allclose(np.linalg.pinv(seen), plain.matrix, atol=1e-9)


def test_leverage_is_the_probability():
    modes = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 3)))[0]
    share = leverage(modes)
    assert_allclose(share, np.sum(modes**2, axis=1) / 3)
    assert share.sum() == pytest.approx(1.0)
    draw = lambda key: leverage_sensors(modes, 1, key=key)[0]
    found = [int(draw(jax.random.key(k))) for k in range(200)]
    # three standard deviations of a count of 200
    counts = np.bincount(found, minlength=12) / 200
    assert np.all(np.abs(counts - share) < 3 * np.sqrt(share / 200) + 0.01)
    all_of_them = leverage_sensors(modes, 12, key=KEY)
    assert_array_equal(all_of_them, np.arange(12))


def test_wall_sensors_lie_on_the_half_circle():
    axes = {"x": -1 + 0.02 * np.arange(1, 200), "y": -2 + 0.02 * np.arange(1, 200)}
    x, y = np.meshgrid(*axes.values(), indexing="ij")
    fluid = np.hypot(x, y) > 0.5
    flow = Snapshots.of(range(2), np.ones((2, 199, 199)), axes=axes, mask=fluid)
    for count in (5, 15):
        at = wall_sensors(flow, count, key=KEY)
        assert len(set(at.tolist())) == count
        assert_allclose(np.hypot(x[fluid][at], y[fluid][at]), 0.72, atol=0.0101)
        assert np.all(x[fluid][at] >= -1e-9)
    turned = {"x": axes["x"][::-1], "y": axes["y"]}
    falling = Snapshots.of(range(2), np.ones((2, 199, 199)), axes=turned)
    behind = turned["x"][wall_sensors(falling, 15, key=KEY) // 199]
    assert np.all(behind >= -1e-9)
    assert not np.array_equal(at, wall_sensors(flow, 15, key=jax.random.key(1)))
    with pytest.raises(DataError, match=r"0 cells in the domain|cells in the domain"):
        wall_sensors(flow, 5, key=KEY, radius=10.0)


def test_errors():
    mean = np.array([1.0, 1.0])
    found = reconstruction_errors(np.array([[3.0, 1.0]]), np.array([[4.0, 1.0]]), mean)
    assert found.field == pytest.approx(1 / 17**0.5)
    assert found.deviation == pytest.approx(1 / 3)
    still = reconstruction_errors(np.array([[3.0, 1.0]]), np.array([mean]), mean)
    assert still.deviation == np.inf


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda y: fit_decoder(y, [0, 0]), ConfigError, "expected different places"),
        (lambda y: fit_decoder(y, [0, 960]), ConfigError, "of a field of 960 numbers"),
        (lambda y: fit_decoder(y, [0.5]), ConfigError, "expected whole numbers"),
        (lambda y: fit_decoder(y[:1], [0]), DataError, "at least 2"),
        (lambda y: fit_decoder(np.nan * y, [0]), DataError, "is not finite"),
        (lambda y: fit_decoder(0 * y, [0]), DataError, "its scale is 0"),
        (
            lambda y: fit_decoder(y, [0], quick(rank=3, reduced=False)),
            ConfigError,
            "rank needs POD",
        ),
        (lambda y: quick(lr=0.0), ConfigError, "lr is 0"),
        (lambda y: quick(epochs=-1), ConfigError, "epochs is -1"),
        (lambda y: quick(weight_decay=-1.0), ConfigError, "weight_decay is -1"),
        (lambda y: quick(dropout=1.0), ConfigError, "dropout is 1"),
        (lambda y: ShallowDecoder(2, 3, widths=(), key=KEY), ConfigError, "a hidden"),
        (lambda y: GappyPOD(way="mode"), ConfigError, 'way is "mode"'),
        (lambda y: GappyPOD(rank=0), ConfigError, "rank is 0"),
        (lambda y: quick(widths=(4, 0)), ConfigError, "widths is 0"),
        (lambda y: quick(norm="group"), ConfigError, "expected batch or layer"),
        (
            lambda y: fit_decoder(
                y, [0], quick(reduced=False), codec=FieldCodec.fit(y, reduced=True)
            ),
            ConfigError,
            "the codec has a POD basis",
        ),
        (
            lambda y: fit_decoder(
                y, [0], quick(rank=2), codec=FieldCodec.fit(y, reduced=True)
            ),
            ConfigError,
            "rank is 2, and the codec gives",
        ),
        (
            lambda y: fit_decoder(y[0], [0], codec=FieldCodec.fit(y)),
            DataError,
            r"expected \(time, m\)",
        ),
        (lambda y: leverage_sensors(y.T, 0, key=KEY), ConfigError, "count is 0"),
        (lambda y: GappyPOD(ridge=-1.0), ConfigError, "ridge is -1"),
        (lambda y: GappyPOD(rank=99).fit(y, [0]), ConfigError, "99 modes"),
        (lambda y: GappyPOD().fit(y, [0, 1]).predict([1.0]), ShapeError, "2 sensors"),
        (
            lambda y: GappyPOD().fit(y, [0], FieldCodec.fit(y)),
            ConfigError,
            "no POD basis",
        ),
        (
            lambda y: fit_decoder(np.nan * y, [0], codec=FieldCodec.fit(y)),
            DataError,
            "is not finite",
        ),
        (
            lambda y: fit_decoder(y[:, :9], [20], codec=FieldCodec.fit(y)),
            ShapeError,
            "for a codec of 960",
        ),
        (
            lambda y: GappyPOD().fit(y, [0, 1]).predict([1.0, np.nan]),
            DataError,
            "number 1 of the snapshot",
        ),
        (lambda y: leverage_sensors(y[:3], 1, key=KEY), ShapeError, "at most m"),
        (
            lambda y: leverage_sensors(np.eye(6)[:, :2], 3, key=KEY),
            ConfigError,
            "not 0 in 2 cells",
        ),
    ],
)
def test_bad_input(make, kind, words, flow):
    with pytest.raises(kind, match=words):
        make(flow[0])
