"""Local training: losses by hand, no gradient where there must be none, and what
drifts, dies and resumes."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._tree import split_trainable
from pendula.hardware import (
    AbstractPhysicalLayer,
    Diffractive,
    External,
    FittedLocal,
    ForwardForwardConfig,
    ForwardOnly,
    LocalNet,
    OscillatorChain,
    UnknownGain,
    contrast_loss,
    fit_forward_forward,
    goodness_loss,
    update_cost,
)


def softplus(x):
    return np.log1p(np.exp(x))


def test_losses_by_hand():
    good, bad = np.asarray([2.0, -1.0, 1.0]), np.asarray([0.5, 0.0, -3.0])
    g, b = 5.0 / 3.0, 0.25 / 3.0  # what is negative is rectified
    found = goodness_loss(jnp.asarray(good), jnp.asarray(bad), 2.0)
    assert_allclose(found, softplus(2.0 - g) + softplus(b - 2.0), rtol=1e-5)
    cosine = good @ bad / np.linalg.norm(good) / np.linalg.norm(bad)
    found = contrast_loss(jnp.asarray(good), jnp.asarray(bad), 3.0)
    assert_allclose(found, softplus(3.0 * cosine), rtol=1e-5)
    zero = jnp.zeros(3)  # finite, with its slope, where a layer is silent
    slope = jax.grad(contrast_loss)(zero, zero, 3.0)
    assert np.isfinite(slope).all()


def two_layers(key, classes=3, boxes=None, sizes=(6, 5, 4)):
    return LocalNet(sizes, classes, boxes, key=key)


def test_the_label_takes_the_first_places_and_layers_see_directions(key):
    net = two_layers(key, boxes=(None, UnknownGain(5, key=key)))
    x = jnp.arange(6.0)
    assert_array_equal(net.labelled(x, jnp.asarray(1)), [0, 2, 0, 3, 4, 5])
    features, outputs = net.through(x, jnp.asarray(1), key)
    for z in features:
        assert_allclose(np.mean(np.square(z)), 1.0, rtol=1e-4)
    first, second = net.layers
    assert_allclose(outputs[0], first.weight @ features[0], rtol=1e-5)
    h = np.maximum(outputs[0], 0.0)
    seen = np.tanh(np.asarray(second.box.gains) * h / np.sqrt(np.mean(h**2) + 1e-6))
    assert_allclose(features[1], seen / np.sqrt(np.mean(seen**2) + 1e-6), rtol=1e-4)


@pytest.mark.parametrize("sizes", [(6, 9, 8), (6, 9, 8, 7)])
def test_scores_sum_the_layers_that_count(key, sizes):
    net = two_layers(key, sizes=sizes)
    x = jax.random.normal(key, (6,))
    outputs = [net.through(x, jnp.asarray(c), key).outputs for c in range(3)]
    counted = range(1, 3) if len(sizes) == 4 else range(2)
    relu = lambda h: np.maximum(np.asarray(h), 0.0)
    exact = [sum(np.mean(relu(o[i]) ** 2) for i in counted) for o in outputs]
    assert_allclose(net.scores(x, key), exact, rtol=1e-5)

    def cosine(a, b):
        return np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)

    exact = [
        -sum(
            cosine(outputs[c][i], outputs[d][i])
            for i in counted
            for d in range(3)
            if d != c
        )
        for c in range(3)
    ]
    assert_allclose(net.scores(x, key, "contrast"), exact, rtol=1e-3, atol=1e-5)


def test_no_gradient_crosses_layers(key):
    net = two_layers(key, boxes=(Diffractive(6, 6, key=key), None))
    x, label = jnp.ones(6), jnp.asarray(1)
    weights, rest = split_trainable(net)

    def last(weights):
        return jnp.sum(eqx.combine(weights, rest).through(x, label, key).outputs[-1])

    grads = jax.grad(last)(weights)
    assert np.all(np.asarray(grads.layers[0].weight) == 0.0)
    assert np.any(np.asarray(grads.layers[1].weight) != 0.0)


def test_forward_only_against_the_gradient(key):
    """Of a quadratic the central difference is exact; blocks are told apart."""
    a = jax.random.normal(key, (6,))
    loss = lambda w, batch, key: (jnp.dot(a, w[0]) + 50.0 * jnp.sum(w[1] ** 2), None)
    w = (jnp.zeros(6), 0.1 * jnp.ones(1))
    (value, _), slope = jax.jit(
        lambda key: ForwardOnly(4000, 1e-2)(loss, w, None, key)
    )(key)
    assert_allclose(value, 0.5, rtol=1e-6)
    # the spread of a component is |gradient| / sqrt(4000), times about 3
    assert_allclose(slope[0], a, atol=3.0 * float(jnp.linalg.norm(a)) / 4000**0.5)
    assert_allclose(slope[1], [10.0], rtol=0.1)
    with pytest.raises(ConfigError, match="must be a tuple"):
        ForwardOnly(1)(loss, w[0], None, key)


def blobs(count=300, seed=0):
    """Three classes in eight numbers, behind three places for the label."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    centres = np.random.default_rng(9).normal(size=(3, 8))
    xs = centres[labels] + 0.5 * rng.normal(size=(count, 8))
    return np.concatenate([np.zeros((count, 3)), xs], axis=1, dtype=np.float32), labels


CONFIG = ForwardForwardConfig(epochs=8, batch=20, lr=0.01)
BOXES = {
    "chain": lambda key: OscillatorChain(12, steps=4, key=key),
    "light": lambda key: Diffractive(12, 16, noise=0.01, key=key),
    "gain": lambda key: UnknownGain(12, key=key),
}


def net_of(key, box=None):
    return LocalNet((11, 12, 12), 3, (None, box), key=key)


@pytest.mark.parametrize(
    "box", [None, "chain", "light", pytest.param("gain", marks=pytest.mark.slow)]
)
def test_it_learns_around_any_box_and_not_from_shuffled_labels(key, box):
    xs, labels = blobs()
    net = net_of(key, BOXES[box](key) if box else None)
    fitted = fit_forward_forward(net, xs, labels, CONFIG)
    assert fitted.reason == "done"
    assert [row["epoch"] for row in fitted.history] == list(range(1, 9))
    assert fitted.accuracy(*blobs(seed=1)) > 0.9
    if box is None:
        mixed = np.random.default_rng(3).permutation(labels)
        control = fit_forward_forward(net, xs, mixed, CONFIG)
        assert control.accuracy(*blobs(seed=1)) < 0.6


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "contrast", "theta": 5.0, "epochs": 20},
        {"update": "forward", "directions": 20},
    ],
)
def test_the_other_loss_and_the_update_without_autodiff_learn_too(key, changes):
    xs, labels = blobs()
    config = dataclasses.replace(CONFIG, **changes)
    fitted = fit_forward_forward(net_of(key), xs, labels, config)
    assert fitted.accuracy(*blobs(seed=1)) > 0.85
    with pytest.raises(ShapeError, match="labels"):
        fitted.accuracy(blobs(3)[0], np.eye(3))


class Raising(AbstractPhysicalLayer):
    """A box whose rule for autodiff raises."""

    box: AbstractPhysicalLayer | None = None
    in_size: int = 12
    out_size: int = 12
    n_params: int = 12
    in_bounds: tuple = (-4.0, 4.0)
    out_bounds: tuple = (-4.0, 4.0)
    noise: float = 0.0

    def forward(self, params, x, key):
        @jax.custom_jvp
        def give(params, x):
            return self.box.forward(params, x, key)

        @give.defjvp
        def refuse(primals, tangents):
            raise RuntimeError("the box was differentiated")

        return give(params, x)

    def drift(self, t):
        return eqx.tree_at(lambda b: b.box, self, self.box.drift(t))


@pytest.mark.parametrize(
    ("box", "update"),
    [
        ("chain", "gradient"),
        ("gain", "forward"),
        pytest.param("chain", "forward", marks=pytest.mark.slow),
        pytest.param("gain", "gradient", marks=pytest.mark.slow),
    ],
)
def test_a_box_whose_derivative_raises_gives_the_same_bits(key, box, update):
    xs, labels = blobs(60)
    config = dataclasses.replace(CONFIG, epochs=2, drift=1.0, update=update)
    usual, raising = BOXES[box](key), Raising(box=BOXES[box](key))
    with pytest.raises(RuntimeError, match="was differentiated"):
        jax.grad(lambda x: raising.forward(jnp.zeros(12), x, key)[0])(jnp.ones(12))
    one, other = (
        fit_forward_forward(net_of(key, b), xs, labels, config)
        for b in (usual, raising)
    )
    for a, b in zip(one.net.layers, other.net.layers, strict=True):
        assert_array_equal(a.weight, b.weight)
        assert_array_equal(a.bias, b.bias)


def test_drift_moves_the_box_during_the_training(key):
    xs, labels = blobs(60)
    net = net_of(key, UnknownGain(12, drifting=0.5, key=key))
    config = dataclasses.replace(CONFIG, epochs=2)
    still = fit_forward_forward(net, xs, labels, config)
    moved = fit_forward_forward(net, xs, labels, dataclasses.replace(config, drift=1.0))
    assert_array_equal(still.net.layers[1].box.gains, net.layers[1].box.gains)
    older = net.layers[1].box.drift(1.0).gains
    assert_allclose(moved.net.layers[1].box.gains, older, rtol=1e-6)
    # the first layer knows nothing of the box behind it
    assert_array_equal(moved.net.layers[0].weight, still.net.layers[0].weight)
    assert np.any(moved.net.layers[1].weight != still.net.layers[1].weight)


class Stop(Exception):
    """A kill."""


def test_a_killed_training_goes_on_to_the_same_bits(key, tmp_path):
    xs, labels = blobs(60)
    net, config = net_of(key, BOXES["light"](key)), dataclasses.replace(CONFIG, drift=1)

    def kill(row):
        if row["epoch"] == 3:
            raise Stop

    whole = fit_forward_forward(net, xs, labels, config)
    with pytest.raises(Stop):
        fit_forward_forward(net, xs, labels, config, folder=tmp_path, tell=kill)
    again = fit_forward_forward(net, xs, labels, config, folder=tmp_path)
    for a, b in zip(
        jax.tree.leaves(whole.net), jax.tree.leaves(again.net), strict=True
    ):
        assert_array_equal(a, b)
    assert again.history == whole.history
    again.save(tmp_path / "fitted.safetensors")
    loaded = FittedLocal.load(tmp_path / "fitted.safetensors")
    assert loaded.config == config
    assert_array_equal(loaded.scores(xs), whole.scores(xs))


def test_a_box_that_fails_is_named(key):
    xs, labels = blobs(60)
    calls = []

    def dies(params, x):
        calls.append(0)
        return np.tanh(x) if len(calls) < 500 else np.full(12, np.nan)

    late = net_of(key, External(dies, 12, 12, name="bench"))
    with pytest.raises(DataError, match=r"physical layer bench, sample \d+: output 0"):
        fit_forward_forward(late, xs, labels, CONFIG)
    early = net_of(key, External(lambda p, x: x[:3], 12, 12, name="bench"))
    with pytest.raises(ShapeError, match="physical layer bench, sample 0"):
        fit_forward_forward(early, xs, labels, CONFIG)
    assert len(calls) == 500


def test_a_box_is_evaluated_for_the_samples_that_there_are(key):
    xs, labels = blobs(60)
    calls = []
    box = External(lambda p, x: calls.append(0) or np.tanh(x), 12, 12)
    fitted = fit_forward_forward(
        net_of(key, box), xs, labels, ForwardForwardConfig(epochs=0)
    )
    calls.clear()
    fitted.scores(xs[:2])
    assert len(calls) == 2 * fitted.net.classes


class Melting(AbstractPhysicalLayer):
    """A simulated box that is not a number once it is old."""

    age: jax.Array | None = None
    in_size: int = 12
    out_size: int = 12
    n_params: int = 0
    in_bounds: tuple = (-4.0, 4.0)
    out_bounds: tuple = (-4.0, 4.0)
    noise: float = 0.0

    def forward(self, params, x, key):
        return jnp.where(self.age > 0.5, jnp.nan, x)

    def drift(self, t):
        return Melting(age=self.age + t)


def test_so_is_a_simulated_one_that_fails_late(key):
    xs, labels = blobs(60)
    config = dataclasses.replace(CONFIG, drift=1.0)
    with pytest.raises(DataError, match="physical layer Melting, sample 0"):
        fit_forward_forward(net_of(key, Melting(age=jnp.zeros(()))), xs, labels, config)


def test_multiplications_by_hand(key):
    net = LocalNet((6, 5, 4), 3, (None, UnknownGain(5, key=key)), key=key)
    norms, maps = 2 * 6 + 2 * (5 + 5), 5 * 6 + 4 * 5
    passes = 2 * 10
    assert update_cost(net, 10) == (
        passes * (norms + 2 * maps + 2 * (5 + 4)),
        passes,
    )
    back = update_cost(net, 10, "backpropagation")
    assert back == (10 * (norms + 2 * maps + 4 * 5), 10)
    forward = update_cost(net, 10, "forward", 3).digital
    weights = maps + 5 + 4
    assert forward == passes * (norms + maps + 6 * weights) + 3 * 3 * weights
    with pytest.raises(ConfigError, match="backpropagation"):
        update_cost(net, 10, "backprop")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda xs, ys: (xs[:0], ys[:0]), DataError, "no samples"),
        (lambda xs, ys: (xs[:, 1:], ys), ShapeError, r"expected \(sample, 11\)"),
        (lambda xs, ys: (xs, ys[1:]), ShapeError, r"expected \(9,\)"),
        (lambda xs, ys: (xs, ys + 1), DataError, "with 3 classes"),
        (
            lambda xs, ys: (xs / np.zeros(11, xs.dtype), ys),
            DataError,
            "sample 0, column 0",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
def test_data_that_cannot_be_learned(key, change, error, says):
    with pytest.raises(error, match=says):
        fit_forward_forward(net_of(key), *change(*blobs(9)), CONFIG)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"loss": "contrats"}, 'Did you mean "contrast"'),
        ({"update": "backward"}, 'update "backward" is unknown'),
        ({"drift": -1.0}, "drift is -1"),
        ({"theta": 0.0}, "theta is 0"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_settings_that_cannot_be(settings, says):
    with pytest.raises(ConfigError, match=says):
        ForwardForwardConfig(**settings)


@pytest.mark.parametrize(
    ("sizes", "classes", "boxes", "says"),
    [
        ((4,), 2, None, "at least two numbers"),
        ((4, 4), 5, None, "5 classes and 4 inputs"),
        ((4, 4), 2, (None, None), "2 boxes for 1 layers"),
        ((4, 4), 2, ("gain",), "takes 3 numbers"),
    ],
)
def test_networks_that_cannot_be(key, sizes, classes, boxes, says):
    if boxes == ("gain",):
        boxes = (UnknownGain(3, key=key),)
    with pytest.raises(ConfigError, match=says):
        LocalNet(sizes, classes, boxes, key=key)
