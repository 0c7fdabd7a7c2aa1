"""Trial networks: their formulas, jets, gradients, starts and files; bad input."""

import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.jet import jet
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula._source import WORKS, Source
from pendula._tree import num_parameters, reinitialise, sources_of, split_trainable
from pendula.nn import MLP
from pendula.solutions._dense import ACTIVATIONS, AdaptiveSlope, Dense
from pendula.solutions._embedding import Axis, Embedding
from pendula.solutions._networks import GaussianNet, PirateNet, PlainNet, build
from pendula.solutions._trial import fit_last_layer
from pendula.train import load_tree, save_tree


AXES = (Axis(0.0, 2.0, periodic=True, harmonics=2), Axis(-0.5, 1.5))
KEY = jax.random.key(3)
EVERYTHING = {"factor_mean": 0.5, "adaptive": 5.0}
CASES = {
    "plain": {"width": 6, "depth": 2, **EVERYTHING},
    "modified": {"width": 6, "depth": 2, **EVERYTHING},
    "pirate": {"width": 6, "depth": 2, "fourier_scale": 0.7, **EVERYTHING},
    "gaussian": {"width": 6, "depth": 2, "gaussians": 9, "features": 4, **EVERYTHING},
}
# what compiles for long: the richest kind, the others are slow tests
WALK = [
    kind if kind == "pirate" else pytest.param(kind, marks=pytest.mark.slow)
    for kind in CASES
]
run = eqx.filter_jit(lambda net, points: net(points))


@pytest.fixture(autouse=True)
def _float64():
    with precision(np.float64):
        yield


@functools.cache
def fresh(kind, fields=2, **options):
    """A small network with all that it can have; call it in float64 only."""
    return build(kind, AXES, fields, key=KEY, **{**CASES[kind], **options})


def make(kind, **options):
    """The same, but no block of it is passed by."""
    net = fresh(kind, **options)
    if kind == "pirate":
        alphas = lambda n: [block.alpha for block in n.blocks]
        values = [jnp.asarray(0.4 + 0.4 * k, float) for k in range(len(net.blocks))]
        net = eqx.tree_at(alphas, net, values)
    return net


def some_points(count=7):
    rng = np.random.default_rng(1)
    low, high = [[axis.lo for axis in AXES], [axis.hi for axis in AXES]]
    return jnp.asarray(rng.uniform(low, high, (count, 2)), dtype=float)


def affine(layer, x):
    """W x + b of a layer, in NumPy, from its own parts."""
    weight = np.asarray(layer.weight)
    if layer.factor is not None:
        weight = np.diag(np.exp(np.asarray(layer.factor.s))) @ weight
    return np.asarray(x) @ weight.T + np.asarray(layer.bias)


def bent(layer, x):
    """tanh of it, with its slope."""
    steep = 1.0
    if layer.slope is not None:
        steep = float(layer.slope.n.value) * float(layer.slope.a)
    return np.tanh(steep * affine(layer, x))


def gated(f, u, v):
    return f * u + (1.0 - f) * v


def by_hand(kind, net, points):
    """The formulas of the papers, in NumPy."""
    z = np.asarray(net.embedding(points))
    if kind in ("modified", "pirate"):
        u, v = bent(net.gate_u, z), bent(net.gate_v, z)
    if kind == "gaussian":
        m, s = np.asarray(net.centres), np.exp(np.asarray(net.log_widths))
        away = (z[:, None, :] - m[None]) / s[None]
        z = np.exp(-0.5 * np.sum(away**2, axis=2)) @ np.asarray(net.mix).T
    if kind == "pirate":
        for block in net.blocks:
            inner = gated(bent(block.first, z), u, v)
            inner = gated(bent(block.second, inner), u, v)
            alpha = float(block.alpha)
            z = alpha * bent(block.third, inner) + (1.0 - alpha) * z
    else:
        for layer in net.hidden:
            z = bent(layer, z)
            z = gated(z, u, v) if kind == "modified" else z
    return affine(net.last, z)


def moved(net):
    """All that is trained, away from where it starts."""
    rng = np.random.default_rng(2)
    params, rest = split_trainable(net)
    shift = lambda x: jnp.asarray(np.asarray(x) + 0.1 * rng.normal(size=x.shape))
    return eqx.combine(jax.tree.map(shift, params), rest)


@pytest.mark.parametrize("kind", CASES)
def test_values_are_those_of_the_formulas(kind):
    net, points = moved(make(kind)), some_points()
    want = by_hand(kind, net, points)
    assert want.shape == (7, 2)
    assert_allclose(run(net, points), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", CASES)
def test_rows_are_points_and_one_axis_is_periodic(kind):
    net, points = make(kind), some_points()
    whole = np.asarray(run(net, points))
    assert_allclose(run(net, points[::-1])[::-1], whole, rtol=1e-12)
    other = np.asarray(run(net, points.at[0].add(0.3)))
    assert_allclose(other[1:], whole[1:], rtol=1e-12)
    assert np.abs(other[0] - whole[0]).min() > 1e-6
    period = jnp.asarray([[2.0, 0.0]])
    assert_allclose(run(net, points + period), whole, atol=1e-12)


@pytest.mark.parametrize("kind", WALK)
def test_jets_and_slopes_of_slopes_agree(kind):
    """Orders 1 to 4 along a line that is askew to both axes."""
    net, points = make(kind, depth=1), some_points(3)

    @jax.jit
    def both(points):
        way = jnp.zeros_like(points).at[:, 0].set(1.0).at[:, 1].set(0.7)
        series = [way, *[jnp.zeros_like(points)] * 3]
        value, terms = jet(net, (points,), (series,))
        carry = lambda p: (net(p),)
        for _ in range(4):
            carry = _with_slope(carry, way)
        return [value, *terms], carry(points)

    for found, want in zip(*both(points), strict=True):
        size = float(jnp.abs(want).max())
        assert size > 0.01
        assert_allclose(found, want, rtol=1e-10, atol=1e-10 * size)


def _with_slope(carry, unit):
    """What it gives, and the slope of the last of that."""

    def longer(points):
        values, slopes = jax.jvp(carry, (points,), (unit,))
        return (*values, slopes[-1])

    return longer


def test_every_activation_has_jets():
    """One neuron, act(1.3 x): its fourth derivative by a jet and by slopes."""
    x = jnp.asarray([[-0.8], [0.1], [0.9]])
    steep = lambda d: d.with_matrix(jnp.full((1, 1), 1.3), jnp.zeros(1))
    layers = {name: steep(Dense(1, 1, name, key=KEY)) for name in ACTIVATIONS}

    @jax.jit
    def both(x):
        series = [jnp.ones_like(x), *[jnp.zeros_like(x)] * 3]
        out = {}
        for name, layer in layers.items():
            carry = lambda x, layer=layer: (layer(x),)
            for _ in range(4):
                carry = _with_slope(carry, jnp.ones_like(x))
            out[name] = jet(layer, (x,), (series,))[1][3], carry(x)[4]
        return out

    for name, (found, want) in both(x).items():
        assert_allclose(found, want, rtol=1e-9, atol=1e-12, err_msg=name)
        if name == "sin":
            assert_allclose(found, 1.3**4 * np.sin(1.3 * x), rtol=1e-12)


@pytest.mark.parametrize("kind", WALK)
def test_gradient_through_a_jet_equals_differences(kind):
    """Mean square of u_t + u_xx, along a random direction of all parameters; and no
    parameter is without influence."""
    points = some_points(3)
    params, rest = split_trainable(make(kind))
    still = jnp.zeros_like(points)
    along_x, along_t = still.at[:, 0].set(1.0), still.at[:, 1].set(1.0)

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        net = eqx.combine(params, rest)
        second = jet(net, (points,), ([along_x, still],))[1][1]
        return jnp.mean((jax.jvp(net, (points,), (along_t,))[1] + second) ** 2)

    rng = np.random.default_rng(3)
    way = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
    at = lambda h: float(
        loss(
            jax.tree.map(lambda x, w: jnp.asarray(np.asarray(x) + h * w), params, way)
        )[0]
    )
    grads = loss(params)[1]
    slope = sum(
        float(np.vdot(g, w))
        for g, w in zip(jax.tree.leaves(grads), jax.tree.leaves(way), strict=True)
    )
    h = 2e-4  # differences of fourth order; rounding is about 1e-16 of the loss / h
    want = (8.0 * (at(h) - at(-h)) - at(2 * h) + at(-2 * h)) / (12.0 * h)
    assert_allclose(slope, want, rtol=1e-6)
    dead = [
        jax.tree_util.keystr(path)
        for path, g in jax.tree_util.tree_leaves_with_path(grads)
        if not np.any(np.asarray(g) != 0)
    ]
    assert dead == [".last.bias"]  # a constant has no derivative


@pytest.mark.parametrize("kind", CASES)
def test_a_file_fresh_weights_and_sources(kind, tmp_path):
    net, points = moved(make(kind)), some_points()
    save_tree(tmp_path / "net.safetensors", net, {})
    again = jax.tree.map(jnp.asarray, load_tree(tmp_path / "net.safetensors")[0])
    assert jax.tree.structure(again) == jax.tree.structure(net)
    assert_array_equal(run(again, points), run(net, points))
    redrawn = reinitialise(net, jax.random.key(8))
    assert jax.tree.structure(redrawn) == jax.tree.structure(net)
    assert not np.any(np.asarray(run(redrawn, points)) == np.asarray(run(net, points)))
    slopes = [
        node.a
        for node in jax.tree.leaves(redrawn, is_leaf=_is_slope)
        if _is_slope(node)
    ]
    assert slopes
    assert_allclose(slopes, 0.2, rtol=1e-15)
    if kind == "pirate":
        assert [float(block.alpha) for block in redrawn.blocks] == [0.0, 0.0]
    keys = {source.key for source in sources_of(net)}
    assert isinstance(type(net).source, Source)
    assert {"Wang2022", "Jagtap2020", "Wang2023pinn"} <= keys <= set(WORKS)


def _is_slope(node):
    return isinstance(node, AdaptiveSlope)


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_that_of_the_scope(kind, dtype):
    """Of parameters and values, without running anything."""
    with precision(dtype):
        draw = lambda: build(kind, AXES, 2, key=KEY, **CASES[kind])
        net = eqx.filter_eval_shape(draw)
        values = eqx.filter_eval_shape(lambda p: draw()(p), some_points())
        arrays = [x for x in jax.tree.leaves(net) if hasattr(x, "dtype")]
        assert {x.dtype for x in [*arrays, values]} == {np.dtype(dtype)}
        assert not any(x.weak_type for x in arrays)  # else a step of Adam recompiles


def test_the_network_of_the_failure_modes():
    """2-50-50-50-50-1 on raw coordinates: as nn.MLP with the same weights."""
    see = Embedding((Axis(-1, 1), Axis(-1, 1)))
    full = eqx.filter_eval_shape(lambda: PlainNet(see, 1, key=KEY))
    assert [layer.weight.shape for layer in (*full.hidden, full.last)] == [
        (50, 2),
        *[(50, 50)] * 3,
        (1, 50),
    ]
    net = PlainNet(see, 2, width=6, depth=4, key=KEY)
    other = eqx.filter_eval_shape(lambda: MLP(2, 2, width=6, depth=4, key=KEY))
    inner = net.hidden[1:]
    other = eqx.tree_at(
        lambda m: jax.tree.leaves(m),
        other,
        [
            net.hidden[0].weight,
            net.hidden[0].bias,
            jnp.stack([layer.weight for layer in inner]),
            jnp.stack([layer.bias for layer in inner]),
            net.last.weight,
            net.last.bias,
        ],
    )
    raw = 6.0 * some_points()
    want = run(jax.vmap(other), raw)
    assert_allclose(run(net, raw), want, rtol=1e-12, atol=1e-14)


def test_the_uniform_draw():
    layer = Dense(50, 50, "tanh", init="uniform", key=KEY)
    drawn = np.concatenate([np.ravel(layer.weight), layer.bias])
    assert np.abs(drawn).max() <= 1.0 / math.sqrt(50)
    # mean square of U(-l, l) is l^2 / 3, with deviation l^2 sqrt(4 / 45 / n)
    error = abs(np.mean(drawn**2) * 50 - 1.0 / 3.0)
    assert error < 4.0 * math.sqrt(4.0 / 45.0 / drawn.size)


def test_glorot_and_row_sizes():
    layer = Dense(150, 50, "tanh", factor_mean=0.5, key=KEY)
    plain = Dense(150, 50, "tanh", key=KEY)
    # W is drawn first: the same function with row sizes and without
    assert_allclose(layer.matrix, plain.matrix, rtol=1e-14)
    assert not np.any(plain.bias)
    spread = float(np.mean(np.asarray(plain.weight) ** 2)) * (150 + 50) / 2.0
    assert abs(spread - 1.0) < 4.0 * math.sqrt(2.0 / plain.weight.size)
    assert num_parameters(layer) == num_parameters(plain) + 50
    again = layer.redraw(jax.random.key(11))
    assert float(again.factor.mean.value) == 0.5
    for s in (np.asarray(layer.factor.s), np.asarray(again.factor.s)):
        assert abs(s.mean() - 0.5) < 4.0 * 0.1 / math.sqrt(50)
        assert abs(s.std() / 0.1 - 1.0) < 4.0 / math.sqrt(100)


@pytest.mark.parametrize("n", [1.0, 7.0])
def test_a_trained_slope_starts_at_one_and_is_n_times_as_fast(n):
    x = some_points()
    layer = Dense(2, 6, "tanh", init="uniform", adaptive=n, key=KEY)
    plain = Dense(2, 6, "tanh", init="uniform", key=KEY)
    assert_allclose(run(layer, x), run(plain, x), rtol=1e-14)
    slope = eqx.filter_jit(eqx.filter_grad(lambda d, x: jnp.sum(d(x))))(layer, x)
    y = affine(layer, x)
    want = n * np.sum((1.0 - np.tanh(y) ** 2) * y)
    assert_allclose(slope.slope.a, want, rtol=1e-12)
    assert Dense(2, 6, adaptive=n, key=KEY).slope is None  # nothing to bend


def test_a_pirate_net_starts_linear_whatever_its_depth():
    net, points = fresh("pirate"), some_points()
    z = np.asarray(net.embedding(points))
    assert_allclose(run(net, points), affine(net.last, z), rtol=1e-13)
    grads = eqx.filter_jit(eqx.filter_grad(lambda n, p: jnp.sum(n(p) ** 2)))(
        net, points
    )
    for block in grads.blocks:
        assert float(block.alpha) != 0.0
        assert not any(np.any(x) for x in jax.tree.leaves(block.first))
    wide = eqx.filter_eval_shape(lambda: build("pirate", AXES, width=9, key=KEY))
    frequencies = wide.embedding.fourier.frequencies.value
    assert frequencies.shape == (5, 5)  # as many waves as its width, but even


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_last_layer_is_fitted_exactly_where_it_can_be(dtype):
    """Values that some last layer has; the scope is not that of the network."""
    net = eqx.tree_at(lambda n: n.last.bias, fresh("pirate"), jnp.asarray([3.0, -2.0]))
    points = np.asarray(some_points(60), dtype)
    with precision(dtype):
        net = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), dtype), net)
        values = np.asarray(run(net, jnp.asarray(points)))
        parts = lambda n: (n.last.weight, n.last.bias)
        other = eqx.tree_at(parts, net, replace_fn=jnp.zeros_like)
    with precision(np.float32):
        fitted = fit_last_layer(other, points[:40], values[:40])
    assert fitted.last.weight.dtype == dtype
    with precision(dtype):
        found = np.asarray(run(fitted, jnp.asarray(points)))
    assert_allclose(found, values, atol=1e3 * float(np.finfo(dtype).eps))
    # nothing else has changed, nor have the row sizes
    back = eqx.tree_at(lambda n: n.last, fitted, other.last)
    assert bool(eqx.tree_equal(back, other))
    assert_array_equal(fitted.last.factor.s, other.last.factor.s)


@pytest.mark.parametrize("kind", WALK)
def test_the_fit_of_the_last_layer_is_the_best_one(kind):
    """What is left over is orthogonal to every feature."""
    net, points = make(kind), np.asarray(some_points(40))
    values = np.stack([np.sin(np.pi * points[:, 0]), np.exp(points[:, 1])], axis=1)
    fitted = fit_last_layer(net, points, values)
    left = np.asarray(run(fitted, jnp.asarray(points))) - values
    phi = eqx.filter_jit(lambda n, p: n.features(p))(net, jnp.asarray(points))
    assert np.abs(left).max() > 1e-3
    assert np.abs(np.asarray(phi).T @ left).max() < 1e-9
    assert np.abs(left.sum(0)).max() < 1e-9


def test_a_fit_of_the_last_layer_is_worth_something_between_the_points():
    """Of a smooth function; of shuffled values it is not."""
    net = build("plain", AXES, 2, width=30, depth=1, key=KEY)
    smooth = lambda p: np.sin(np.pi * p[:, :1]) * np.exp(p * [0.0, -1.0])
    points, between = np.asarray(some_points(400)).reshape(2, 200, 2)
    fitted = fit_last_layer(net, points, smooth(points))
    error = lambda p, u: np.linalg.norm(np.asarray(p) - u) / np.linalg.norm(u)
    # ten keys gave at most 0.05, and with shuffled values at least 0.93
    assert error(run(fitted, jnp.asarray(between)), smooth(between)) < 0.15
    mixed = np.random.default_rng(0).permutation(smooth(points))
    wrong = fit_last_layer(net, points, mixed)
    assert error(run(wrong, jnp.asarray(points)), mixed) > 0.8


def test_gaussians_start_in_the_box_with_features_of_unit_size():
    axes = (Axis(2.0, 5.0), Axis(0.0, 3.0, periodic=True, harmonics=3))
    options = {"width": 6, "gaussians": 400, "features": 4, "spread": 1.5}
    net = build("gaussian", axes, 2, key=KEY, **options)
    centres = np.asarray(net.centres)
    assert np.abs(centres[:, 0]).max() <= 1.0
    assert_allclose(centres[:, 1] ** 2 + centres[:, 4] ** 2, 1.0, rtol=1e-12)
    rng = np.random.default_rng(0)
    inside = jnp.asarray(rng.uniform([2.5, 0.0], [4.5, 3.0], (500, 2)))
    phi = eqx.filter_jit(lambda n, p: n.phi(n.embedding(p)))(net, inside)
    # squares of Gaussians, one for each square of the mean distance, sum to
    # (sqrt(pi) spread)^2; centres at random make it uneven
    total = np.mean(np.sum(np.asarray(phi) ** 2, axis=1))
    assert_allclose(total, np.pi * 1.5**2, rtol=0.2)
    assert 0.7 < np.std(np.asarray(phi) @ np.asarray(net.mix).T) < 1.3


def test_one_gaussian_and_its_slopes():
    m, sigma = 0.3, 0.4
    see = Embedding((Axis(-1, 1),))
    net = GaussianNet(see, 2, width=6, gaussians=1, features=4, key=KEY)
    new = (jnp.asarray([[m]]), jnp.log(jnp.asarray([[sigma]])))
    net = eqx.tree_at(lambda n: (n.centres, n.log_widths), net, new)
    x = jnp.asarray([[-0.2], [0.3], [1.0]])
    series = [jnp.ones_like(x), jnp.zeros_like(x)]
    value, (_, second) = jax.jit(lambda x: jet(net.phi, (x,), (series,)))(x)
    r = (np.asarray(x) - m) / sigma
    assert_allclose(value, np.exp(-0.5 * r**2), rtol=1e-13)
    assert_allclose(second, np.exp(-0.5 * r**2) * (r**2 - 1) / sigma**2, rtol=1e-12)


def test_by_name():
    shapes = lambda kind: eqx.filter_eval_shape(lambda: build(kind, AXES, key=KEY))
    assert [d.weight.shape for d in shapes("plain").hidden] == [
        (50, 5),
        *[(50, 50)] * 3,
    ]
    assert [d.weight.shape for d in shapes("modified").hidden][1:] == [(256, 256)] * 3
    assert len(shapes("pirate").blocks) == 3
    assert shapes("gaussian").mix.shape == (8, 200)
    assert isinstance(fresh("pirate"), PirateNet)
    again = build("pirate", AXES, 2, key=KEY, **CASES["pirate"])
    assert bool(eqx.tree_equal(again, fresh("pirate")))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("pirat", {}, 'Did you mean "pirate"'),
        ("plain", {"activations": "tanh"}, 'Did you mean "activation"'),
        ("plain", {"gaussians": 5}, "no option"),
        ("plain", {"width": 0}, "width is 0"),
        ("modified", {"depth": -1}, "depth is -1"),
        ("gaussian", {"gaussians": 0}, "gaussians is 0"),
        ("gaussian", {"spread": -1.0}, "spread is -1.0"),
        ("gaussian", {"fourier": 4}, "Leave fourier out"),
        ("plain", {"fields": 0}, "fields is 0"),
        ("plain", {"activation": "softplus"}, "derivatives of every order"),
        ("plain", {"activation": "tan"}, 'Did you mean "tanh"'),
        ("plain", {"init": "glorott"}, 'Did you mean "glorot"'),
        ("plain", {"factor_mean": math.nan}, "factor_mean is nan"),
        ("plain", {"adaptive": 0.0}, "adaptive is 0.0"),
        ("pirate", {"fourier": 3}, "even"),
    ],
)
def test_bad_settings(kind, options, words):
    with pytest.raises(ConfigError, match=words):
        build(kind, AXES, **{"fields": 1, "key": KEY, **options})


@pytest.mark.parametrize(
    ("points", "values", "error", "words"),
    [
        (np.zeros((3, 1)), np.zeros((3, 2)), ShapeError, "points have shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), ShapeError, "at least one"),
        (np.zeros((3, 2)), np.zeros(3), ShapeError, "values have shape"),
        (np.zeros((3, 2)), np.zeros((2, 2)), ShapeError, "values have shape"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), DataError, "first in row 0"),
        (np.array([[0, 0], [np.inf, 0]]), np.zeros((2, 2)), DataError, "in row 1"),
    ],
)
def test_values_that_cannot_be_fitted(points, values, error, words):
    with pytest.raises(error, match=words):
        fit_last_layer(fresh("plain"), points, values)
