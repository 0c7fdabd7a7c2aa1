"""From a model to chips: what becomes a device, its range, the key it is drawn by."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError
from pendula.dynamics import ESNN
from pendula.hardware import (
    PCM,
    AnalogWarning,
    Piece,
    RangeNoise,
    TwinCell,
    Uniform,
    WriteVerify,
    register_analog,
    to_analog,
)
from pendula.nn import MLP, Convolution, Layers, Shortcut


KEY = jax.random.key(5)


def linear(weight, bias=None):
    weight = jnp.asarray(weight, jnp.float32)
    layer = eqx.nn.Linear(*weight.shape[::-1], bias is not None, key=KEY)
    layer = eqx.tree_at(lambda m: m.weight, layer, weight)
    if bias is None:
        return layer
    return eqx.tree_at(lambda m: m.bias, layer, jnp.asarray(bias, jnp.float32))


def draws(twin, x, n=100_000, level=0.05, **named):
    keys = jax.random.split(jax.random.key(1), n)
    one = lambda k: twin.sample(k, level, **named)(x)
    return np.asarray(jax.jit(lambda ks: jax.lax.map(one, ks, batch_size=1000))(keys))


W = [[0.5, -1.0, 0.25], [1.0, 0.3, -0.2]]
X = jnp.asarray([1.0, -2.0, 0.5])


def test_a_chip_is_the_same_class_and_level_0_the_same_numbers():
    net = eqx.nn.MLP(3, 2, 4, 2, key=KEY)
    twin = to_analog(net)
    chip = twin.sample(KEY, 0.0)
    assert type(chip) is type(net)
    assert_array_equal(chip(X), net(X))
    assert jax.tree.structure(chip) == jax.tree.structure(net)


def test_variance_of_outputs_by_the_formula_of_the_bias():
    b = [3.0, -1.0]
    layer = linear(W, b)
    for s, bias in ((1.0, "shared"), (8.0, 8.0), (4.0 / 2.0, "match")):
        twin = to_analog(layer, bias=bias)
        got = draws(twin, X).var(axis=0)
        union = np.concatenate([np.ravel(W), np.array(b) / s])
        die = np.ptp(union) if bias != "match" else np.ptp(W)
        want = (0.05 * die) ** 2 * (float(X @ X) + s**2)
        assert_allclose(got, want, rtol=0.03)


def test_the_matched_s_is_the_best_on_a_grid():
    layer = linear(W, [3.0, -3.0])
    best = np.ptp([3.0, -3.0]) / np.ptp(np.ravel(W))
    device = RangeNoise(range="symmetric")
    best = 3.0 / 1.0
    noise = {}
    for s in (0.5, 1.0, 2.0, best, 4.0, 8.0):
        twin = to_analog(layer, device, bias=s)
        w, b = twin.scales()
        noise[s] = float(w[0, 0]) ** 2 * float(X @ X) + float(b[0]) ** 2
    assert min(noise, key=noise.get) == best


def test_bias_rows_average_the_error():
    twin = to_analog(linear(np.zeros((1, 1)), [2.0]), bias_rows=4)
    assert [c.devices for c in twin.components] == [0, 4]
    got = draws(twin, jnp.zeros(1), 20_000).std()
    assert_allclose(got, 0.05 * 4.0 / 2.0, rtol=0.02)


def test_zero_biases_need_no_devices_and_zero_weights_do_no_harm():
    twin = to_analog(linear(W, [0.0, 0.0]))
    assert [c.devices for c in twin.components] == [6, 0]
    assert_array_equal(twin.sample(KEY).bias, [0.0, 0.0])
    twin = to_analog(linear(np.zeros((2, 3)), [1.0, -1.0]))
    chip = twin.sample(KEY)
    assert np.isfinite(chip(X)).all()
    assert_array_equal(chip.weight, np.zeros((2, 3)))


@pytest.mark.parametrize(
    "options", [{"bias": "shared"}, {"device": RangeNoise(range=2.0)}]
)
def test_zeros_have_no_errors_whatever_the_range_is(options):
    for w, b in ((W, [0.0, 0.0]), (np.zeros((2, 3)), [1.0, -1.0])):
        chip = to_analog(linear(w, b), **options).sample(KEY, 0.1)
        zero, other = (chip.bias, chip.weight) if w is W else (chip.weight, chip.bias)
        assert_array_equal(zero, np.zeros(np.shape(zero)))
        assert np.ptp(np.asarray(other) - (w if w is W else b)) > 0.0


def test_full_scale_is_that_of_the_device_not_of_the_bias_times_its_input():
    layer = linear(W, [5.0, -9.0])
    twin = to_analog(layer, RangeNoise(range=2.0), bias=8.0)
    assert_array_equal(twin.sample(KEY, 0.0).bias, [5.0, -8.0])
    assert "12.5 % of the weights" in str(twin)
    # of weights up to 1; of a bias up to 9 whose input is 8
    want = "sigma = 0.05 of the full scale = 0.0889 to 0.1 of the largest weight"
    assert want in str(twin)
    assert twin.table()[0][-2:] == ("0.1", "0.1")
    want = "sigma = 0.05 of the range = 0.0778 to 0.1 of the largest weight"
    assert want in str(to_analog(layer))


def test_digital_and_own_die_biases():
    layer = linear(W, [1.0, 2.0])
    twin = to_analog(layer, bias="digital")
    assert_array_equal(twin.sample(KEY).bias, layer.bias)
    assert twin.digital == (("bias", "bias"),)
    scales = to_analog(layer, bias="own_die").scales()
    assert float(scales[1][0]) == 1.0
    two = [layer, linear(W, [1.0, 5.0])]
    shared = to_analog(two, bias="own_die", die={"*bias": "one"})
    assert [c.die for c in shared.components][1::2] == ["one", "one"]
    assert [float(s[0]) for s in shared.scales()[1::2]] == [4.0, 4.0]
    with pytest.raises(ConfigError, match="biases alone"):
        to_analog(two, die={"*bias": "one"})


def test_keys_belong_to_paths():
    small, large = [linear(W), linear(W)], [linear(W), linear(W), linear(W)]
    one, two = to_analog(small).sample(KEY), to_analog(large).sample(KEY)
    assert_array_equal(one[1].weight, two[1].weight)
    assert not np.array_equal(one[0].weight, one[1].weight)


def test_the_same_errors_at_all_levels():
    twin = to_analog(linear(W))
    error = lambda level: np.asarray(twin.sample(KEY, level).weight) - np.asarray(W)
    assert_allclose(error(0.1), 2.0 * error(0.05), atol=1e-6)


def test_levels_by_kind_and_path_the_later_wins():
    net = [linear(W, [1.0, 2.0]), linear(W, [1.0, 2.0])]
    twin = to_analog(net)
    chip = twin.sample(KEY, {"linear": 0.1, "bias": 0.0, "[[]0[]]*": 0.0})
    assert_array_equal(chip[0].weight, net[0].weight)
    assert_array_equal(chip[1].bias, net[1].bias)
    assert not np.array_equal(chip[1].weight, net[1].weight)
    same = twin.sample(KEY, {"[0].weight": 0.0, "[1].*": 0.0})  # as the table has them
    assert_array_equal(same[0].weight, net[0].weight)
    assert_array_equal(same[1](X), net[1](X))
    with pytest.raises(ConfigError, match='Did you mean "linear"'):
        twin.sample(KEY, {"lienar": 0.1})


def test_levels_are_not_compiled_in():
    twin = to_analog(linear(W))
    count = 0

    @jax.jit
    def program(key, level):
        nonlocal count
        count += 1
        return twin.sample(key, level).weight

    for level in (0.0, 0.05, 0.1):
        program(KEY, jnp.asarray(level))
    assert count == 1


def test_tied_weights_are_drawn_once():
    w = jnp.asarray(W)
    twin = to_analog({"a": w, "b": w})
    chip = twin.sample(KEY)
    assert len(twin.components) == 1
    assert_array_equal(chip["a"], chip["b"])


def test_biases_of_a_tied_weight_all_count_in_its_range():
    net = [linear(W, [0.1, 0.2]), linear(W, [9.0, 8.0])]
    net[1] = eqx.tree_at(lambda layer: layer.weight, net[1], net[0].weight)
    for order in (net, net[::-1]):
        scales = to_analog(order, bias="shared").scales()
        assert_allclose(np.max(scales[0]), 10.0, rtol=1e-6)  # from -1 to 9


def test_layers_of_one_die_share_the_largest_range():
    net = [linear(np.array(W)), linear(10.0 * np.array(W))]
    apart = to_analog(net).scales()
    shared = to_analog(net, die={"*weight": "one"}).scales()
    assert_allclose(float(shared[0][0, 0]), 10.0 * float(apart[0][0, 0]))
    assert_allclose(shared[1], apart[1])
    with pytest.raises(ConfigError, match="no component has the path"):
        to_analog(net, die={"[2]*": "one"})


def test_stacked_layers_have_ranges_of_their_own():
    net = MLP(3, 2, width=4, depth=3, key=KEY)
    hidden = net.weight_hidden.at[0].multiply(10.0)
    net = eqx.tree_at(lambda m: m.weight_hidden, net, hidden)
    twin = to_analog(net)
    at = [c.path for c in twin.components].index("weight_hidden")
    assert_allclose(twin.scales()[at].ravel(), [np.ptp(h) for h in hidden], rtol=1e-6)


def test_bare_arrays_and_what_stays_digital():
    model = {
        "m": jnp.ones((2, 2)).at[0, 0].set(0.0),
        "v": jnp.arange(3.0),
        "n": jnp.arange(3),
    }
    twin = to_analog(model)
    assert [c.path for c in twin.components] == ["['m']"]
    assert twin.digital == (("['v']", "fewer than two axes"),)
    all_of_it = to_analog(model, where="*")
    assert len(all_of_it.components) == 2
    assert "no shortcut modules found" in str(twin)


def test_complex_weights_of_layers_stay_digital():
    net = [eqx.nn.Linear(2, 2, dtype=jnp.complex64, key=KEY), linear(W)]
    twin = to_analog(net)
    assert [c.path for c in twin.components] == ["[1].weight"]
    assert ("[0].weight", "complex") in twin.digital


def test_table_names_every_parameter():
    net = [
        eqx.nn.GRUCell(2, 3, key=KEY),
        eqx.nn.LSTMCell(2, 3, key=KEY),
        eqx.nn.LayerNorm(3),
        eqx.nn.Embedding(4, 3, key=KEY),
        Layers((3, 2), key=KEY),
        Convolution(1, 2, use_bias=True, key=KEY),
        eqx.nn.Conv2d(1, 2, 3, key=KEY),
        Shortcut(),
        jnp.asarray([1.0j]),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        twin = to_analog(net)
    named = {c.path for c in twin.components} | {p for p, _ in twin.digital}
    from pendula.hardware._component import paths_of

    every = {p for p, x in paths_of(net) if eqx.is_inexact_array(x)}
    assert every - named == {"[7].error.seed"}  # which numbers are drawn, not a weight
    assert {c.kind for c in twin.components} == {
        "recurrent", "bias", "linear", "conv", "shortcut",
    }  # fmt: skip
    for path in named:
        assert path in str(twin)


def test_the_table_tells_errors_of_the_range_and_of_the_largest_weight():
    w = jnp.asarray(W)
    twin = to_analog({"a": w, "b": w + 10.0})
    wide = np.ptp(W)
    top = np.asarray([1.0, 11.0])
    told = [float(row[-1]) for row in twin.table()]
    assert_allclose(told, 0.05 * wide / top, rtol=0.01)
    low, high = (f"{0.05 * r:.3g}" for r in sorted(wide / top))
    want = f"sigma = 0.05 of the range = {low} to {high} of the largest weight"
    assert twin.conventions() == f"0.05, {want}"
    assert want in str(twin)
    spread = to_analog(linear(W, [3.0, -1.0]), bias="shared", bias_rows=4)
    assert "of the range" in str(spread)
    assert to_analog(w, WriteVerify(RangeNoise())).conventions() == "0.05"


def test_shortcuts_have_mirrors():
    channel, element = Shortcut(), Shortcut("element")
    x = jnp.ones((500, 500))
    for wire, rows in ((channel, 1), (element, 500)):
        chip = to_analog(wire).sample(KEY, 0.1)
        error = np.asarray(chip(x)) - 1.0
        assert len(np.unique(error[:, 0])) == rows
        assert_allclose(error.std(), 0.1, rtol=0.1 if rows == 1 else 0.01)
    assert_array_equal(to_analog(channel, where="*").sample(KEY, 0.0)(x), x)
    with pytest.raises(ConfigError, match="shortcut=False"):
        to_analog(channel, WriteVerify(RangeNoise())).sample(KEY)
    for named, want in (
        ({"unfold": "exact"}, "element"),
        ({"unfold": "exact", "shortcut": "channel"}, "channel"),
        ({}, "channel"),
    ):
        assert to_analog([channel], **named).model[0].granularity == want


def test_a_rule_names_weights_before_their_biases():
    class Pair(eqx.Module):
        weight: jax.Array
        bias: jax.Array

    rule = (Piece("bias", "bias", bias_of="weight"), Piece("weight", "linear"))
    register_analog(Pair)(lambda module: rule)
    with pytest.raises(ConfigError, match='"bias" before the weight "weight"'):
        to_analog(Pair(jnp.asarray(W), jnp.ones(2)))


def test_arrays_that_were_taken_away_are_left_alone():
    net = linear(W, [1.0, 2.0])
    twin = to_analog(net)
    part = eqx.tree_at(lambda m: m.bias, net, None)
    made = twin.perturbed(part, KEY, 0.05)
    assert made.bias is None
    assert_array_equal(made.weight, twin.sample(KEY, 0.05).weight)


def test_sigmas_for_the_theory():
    net = linear(W, [1.0, 3.0])
    sigma = to_analog(net).sigmas(0.05)
    assert_allclose(sigma.weight, np.full((2, 3), 0.1), rtol=1e-6)
    assert_allclose(sigma.bias, [0.1, 0.1], rtol=1e-6)
    with pytest.raises(ConfigError, match="stand in 2 places"):
        to_analog((net, net)).sigmas(0.05)


def test_gradient_in_the_level():
    twin = to_analog(linear(W), TwinCell(clip=False))
    total = lambda level: jnp.sum(twin.sample(KEY, level).weight)
    slope = jax.grad(total)(jnp.asarray(0.05))
    difference = (total(jnp.asarray(0.06)) - total(jnp.asarray(0.04))) / 0.02
    assert_allclose(slope, difference, rtol=1e-3)


def test_bad_levels():
    twin = to_analog(linear(W))
    for bad in (-0.1, np.nan, "much"):
        with pytest.raises(ConfigError, match="level"):
            twin.sample(KEY, bad)
    for high in (0.6, np.float64(0.6), jnp.asarray(0.6)):
        with pytest.warns(AnalogWarning, match="half of the range"):
            twin.sample(KEY, high)
    for bad in (-100.0, np.nan):
        with pytest.raises(ConfigError, match=r"t is .* at least 0"):
            twin.sample(KEY, t=bad)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batchnorm": "folded"}, 'Did you mean "fold"'),
        ({"bias": "mach"}, 'Did you mean "match"'),
        ({"bias": 0.0}, "above 0"),
        ({"bias_rows": 0}, "bias_rows is 0"),
        ({"where": "nothing"}, "selects none"),
        ({"unfold": "all"}, "exact, marginal"),
        ({"device": "pcm"}, "expected a device"),
        ({"shortcut": "chanel"}, 'Did you mean "channel"'),
        ({"unfold": "exact", "device": PCM()}, "not those of PCM"),
        ({"unfold": "exact", "device": RangeNoise(Uniform())}, "normal errors"),
        ({"unfold": "marginal", "device": RangeNoise(range=1.0)}, "normal errors"),
    ],
)
def test_bad_options(options, words):
    net = eqx.nn.Conv2d(1, 1, 3, key=KEY)
    with pytest.raises(ConfigError, match=words):
        to_analog(net, **options)


def test_weights_that_are_not_finite_are_named():
    with pytest.raises(DataError, match=r"\[1\].weight"):
        to_analog([linear(W), linear(np.full((2, 2), np.nan))])


def test_equal_weights_warn_once():
    with pytest.warns(AnalogWarning, match="no span"):
        to_analog(linear(np.ones((2, 2))))


@pytest.mark.filterwarnings("ignore:all weights")
def test_a_model_that_was_loaded_has_chips_too():
    """Arrays of NumPy, as files give them, and the Slinky's network, whose layers see
    all before them."""
    net = eqx.nn.Linear(2, 1, key=KEY)
    one = to_analog(net).sample(KEY, 0.05)
    loaded = jax.tree.map(np.asarray, net)
    other = to_analog(loaded).sample(KEY, 0.05)
    assert_array_equal(one.weight, other.weight)
    energy = ESNN.create(KEY, width=4, depth=2)
    twin = to_analog(energy)
    assert {c.kind for c in twin.components} == {"linear", "bias"}
    assert len(twin.components) == 8
    assert all(reason == "fixed" for _, reason in twin.digital)
