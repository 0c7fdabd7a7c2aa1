"""Landscapes against closed forms: planes, lines, filters, memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.depth import ConvUnit, OdeBlock
from pendula.diagnostics import (
    GaussNewtonOperator,
    HessianOperator,
    Landscape,
    ScaledCurvature,
    landscape,
    line_to,
    random_directions,
)
from pendula.nn import MLP, Convolution


def made(values, low=-1.0, high=1.0):
    values = np.asarray(values, float)
    axis = np.linspace(low, high, values.shape[0])
    beta = axis if values.ndim == 2 else None
    return Landscape(axis, beta, values, np.zeros((values.ndim, 3)))


@pytest.fixture(scope="module")
def op():
    return HessianOperator(
        lambda w, x: (
            jnp.mean(x) + 0.5 * jnp.sum(jnp.asarray([9.0, 4.0, 1.0], w.dtype) * w**2)
        ),
        np.zeros(3),
        np.array([1.0, 2.0, 3.0]),
        2,
        dtype=np.float64,
    )


def test_the_plane_of_the_leading_eigenvectors(op):
    found = landscape(op, span=(-1.0, 1.0), points=5)
    assert found.loss.dtype == np.float64
    a, b = np.meshgrid(found.alpha, found.beta, indexing="ij")
    exact = 2.0 + 4.5 * a**2 + 2.0 * b**2
    np.testing.assert_allclose(found.loss, exact, rtol=1e-9)
    several = landscape(op, span=(-1.0, 1.0), points=5, at_once=7)
    np.testing.assert_allclose(several.loss, exact, rtol=1e-9)
    assert found.roughness() == pytest.approx(0.0, abs=1e-9)
    assert found.asymmetry() == pytest.approx(0.0, abs=1e-9)


def test_a_line_between_two_models(op):
    way = line_to(op, np.array([1.0, 0.0, 2.0]))
    found = landscape(op, way, span=(-0.5, 1.5), points=9)
    assert found.beta is None
    np.testing.assert_allclose(found.loss, 2.0 + 6.5 * found.alpha**2, rtol=1e-12)
    with pytest.raises(ShapeError, match="another structure"):
        line_to(op, np.ones(4))
    with pytest.raises(ConfigError, match=r"-0\.5 to 1\.5: opposite points"):
        found.asymmetry()


def test_units_of_the_length_of_theta():
    op = HessianOperator(lambda w, _: jnp.sum(w**2), np.array([3.0, 4.0]))
    found = landscape(op, np.array([1.0, 0.0]), relative=True, points=3)
    np.testing.assert_allclose(found.loss, [0.25 + 16.0, 25.0, 5.5**2 + 16.0])
    assert found.directions.shape == (1, 2)


def test_gauss_newton_looks_along_its_own_directions():
    scale = jnp.asarray([3.0, 1.0])
    op = GaussNewtonOperator(
        lambda w, _: scale * w, lambda z, _: 0.5 * jnp.sum(z**2), np.zeros(2, "f4")
    )
    found = landscape(op, span=(-1.0, 1.0), points=3)
    np.testing.assert_allclose(found.loss[:, 1], [4.5, 0.0, 4.5], rtol=1e-5)


def test_filters_are_as_long_as_those_of_the_parameters():
    net = MLP(2, 1, width=4, depth=3, key=jax.random.key(0))
    op = HessianOperator(lambda net, x: jnp.sum(net(x[0])), net, np.ones((1, 2), "f4"))
    d = op.tree(random_directions(op, 2, key=jax.random.key(1))[1])
    length = lambda x: np.linalg.norm(x, axis=-1)
    for name in ("weight_in", "weight_hidden", "weight_out"):
        ours, theirs = getattr(d, name), getattr(net, name)
        np.testing.assert_allclose(length(ours), length(theirs), rtol=1e-5)
    assert not d.bias_hidden.any()
    still = random_directions(op, 1, leading=lambda *_: 0, key=jax.random.key(1))
    assert not still.any()
    first, second = random_directions(op, 2, key=jax.random.key(1))
    assert abs(first @ second) < 0.9 * np.linalg.norm(first) * np.linalg.norm(second)
    kernel = HessianOperator(lambda k, _: jnp.sum(k), np.ones((3, 2, 5, 5), "f4"))
    k = kernel.tree(random_directions(kernel, 1, key=jax.random.key(2))[0])
    norms = np.sqrt((k**2).sum(axis=(1, 2, 3)))
    np.testing.assert_allclose(norms, np.sqrt(50.0), rtol=1e-5)


def test_what_has_no_filters_is_refused_or_stays():
    """Vectors; scales of a norm with several axes; a class without names of fields."""
    key = jax.random.key(0)
    vector = HessianOperator(lambda w, _: jnp.sum(w**2), np.ones(3, "f4"))
    with pytest.raises(ConfigError, match="they have no filters"):
        random_directions(vector, key=key)
    nets = Nameless((eqx.nn.LayerNorm((2, 3)), {"w": np.ones((2, 3), "f4")}))
    op = HessianOperator(lambda n, _: jnp.sum(n.nets[1]["w"]), nets)
    norm, linear = op.tree(random_directions(op, 1, key=key)[0]).nets
    assert not norm.weight.any()
    np.testing.assert_allclose(np.linalg.norm(linear["w"], axis=1), 3.0**0.5, rtol=1e-6)


@jax.tree_util.register_pytree_node_class
class Nameless:
    """A pytree that tells no names of what it holds."""

    def __init__(self, nets):
        self.nets = nets

    def tree_flatten(self):
        return (None, self.nets), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(children[1])


def by_output(array, out, nodes=0):
    """Rows of one filter each, `"filter number"`."""
    array = np.moveaxis(np.asarray(array), out, nodes)
    return array.reshape((int(np.prod(array.shape[: nodes + 1])), -1))


def test_a_filter_is_what_leads_to_one_output():
    """Of every layer that stores them in another way; biases stay."""
    keys = jax.random.split(jax.random.key(0), 4)
    nets = {
        "mlp": MLP(1, 2, width=3, depth=3, key=keys[0]),
        "ours": Convolution(2, 3, use_bias=True, key=keys[1]),
        "theirs": eqx.nn.Conv2d(2, 3, 3, key=keys[2]),
        "block": OdeBlock(
            ConvUnit(2, norm="group", order="post", key=keys[3]),
            n_basis=2,
            key=keys[3],
        ),
    }
    moved = lambda x: x + 0.5 if eqx.is_inexact_array(x) else x  # no bias is zero
    nets = jax.tree.map(moved, nets)
    op = HessianOperator(lambda nets, _: jnp.sum(nets["mlp"].weight_out), nets)
    d = op.tree(random_directions(op, 1, key=jax.random.key(1))[0])
    weights = {
        "mlp in": (lambda n: n["mlp"].weight_in, 0, 0),
        "mlp hidden": (lambda n: n["mlp"].weight_hidden, 1, 1),
        "mlp out": (lambda n: n["mlp"].weight_out, 0, 0),
        "ours": (lambda n: n["ours"].weight, -1, 0),
        "theirs": (lambda n: n["theirs"].weight, 0, 0),
        "first": (lambda n: n["block"].unit.first.weight, -1, 1),
        "second": (lambda n: n["block"].unit.second.weight, -1, 1),
    }
    for where, out, nodes in weights.values():
        ours, theirs = (by_output(where(n), out, nodes) for n in (d, nets))
        ratio = np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
        np.testing.assert_allclose(ratio, 1.0, rtol=1e-5)
        assert len(ours) > 1
    count = lambda tree: sum(np.count_nonzero(x) for x in jax.tree.leaves(tree))
    # nothing but these moves: no bias, no scale of a norm
    assert count(d) == sum(where(nets).size for where, _, _ in weights.values())


def test_units_of_their_own_change_no_place():
    """A line and filters lead to the same parameters whatever is their unit."""
    a = jnp.asarray([[1.0, 2.0], [3.0, 0.5]])
    op = HessianOperator(
        lambda w, _: jnp.sum(a.astype(w.dtype) * w**2), np.ones((2, 2)) * 0.5
    )
    scaled = ScaledCurvature(op, [2.0, 0.5, 4.0, 1.0])
    other = np.array([[1.0, -1.0], [0.0, 2.0]])
    line = landscape(scaled, line_to(scaled, other), span=(0.0, 1.0), points=2)
    np.testing.assert_allclose(line.loss, [6.5 / 4, 1.0 + 2.0 + 0.5 * 4.0])
    key = jax.random.key(0)
    found = random_directions(scaled, 2, key=key) * scaled.scale
    np.testing.assert_allclose(found, random_directions(op, 2, key=key))
    twice = ScaledCurvature(scaled, np.full(4, 2.0))
    np.testing.assert_allclose(2.0 * line_to(twice, other), line_to(scaled, other))
    stiff = ScaledCurvature(op, [1.0, 0.0, 1.0, 1.0])
    with pytest.raises(ConfigError, match="differ where the unit"):
        line_to(stiff, other)
    with pytest.raises(ConfigError, match="all filters have the length 0"):
        random_directions(ScaledCurvature(op, np.zeros(4)), key=key)
    with pytest.raises(ConfigError, match="has the length 0"):
        landscape(scaled, np.ones(4), relative=True, points=3)


def test_a_barrier_between_two_valleys_is_rough():
    assert made([1.0, 10.0, 1.0]).roughness() == pytest.approx(2.0)
    assert made([1.0, 10.0, 1.0001]).roughness() == pytest.approx(2.0, rel=1e-4)
    assert made([1.0, 1.2, 1.0]).roughness() == pytest.approx(2.0)
    assert made([1.0, 10.0, 100.0]).roughness() == pytest.approx(0.0, abs=1e-12)
    # a low barrier in a deep valley counts by the depth of that
    assert made([1e4, 1.0, 10.0, 1.0, 1e4]).roughness() == pytest.approx(0.25)
    assert made([[1.0, 10.0, 1.0]] * 3).roughness() == pytest.approx(2.0)


@pytest.mark.parametrize("values", [[1.0, 10.0, np.nan], np.diag([3.0, 2.0, 1.0]) + 1])
def test_plots_are_logarithmic_and_mark_the_place(values):
    plt = pytest.importorskip("matplotlib.pyplot")
    found = made(values)
    ax = found.plot()
    if found.beta is None:
        assert ax.get_yscale() == "log"
        assert ax.lines[1].get_xdata()[0] == 0.0
    else:
        np.testing.assert_allclose(ax.images[0].get_array(), np.log10(found.loss.T))
        assert ax.images[0].get_extent() == [-1.5, 1.5, -1.5, 1.5]
        assert ax.lines[0].get_xydata().tolist() == [[0.0, 0.0]]
    with pytest.raises(DataError, match="nothing to draw"):
        made([0.0, -1.0]).plot(ax)
    plt.close("all")


def test_roughness_counts_valleys():
    x = np.linspace(-1.0, 1.0, 401)
    one = made(10.0 ** (x**2 + 0.3 * x))
    assert one.roughness() == pytest.approx(0.0, abs=1e-9)
    waves = x**2 + 0.1 * np.cos(8 * np.pi * x)
    rough = made(10.0**waves)
    assert rough.roughness() > 0.3
    assert made(7.0 * 10.0**waves).roughness() == pytest.approx(rough.roughness())
    coarse = made(10.0 ** waves[::4])
    assert coarse.roughness() == pytest.approx(rough.roughness(), rel=0.05)
    assert made(np.ones((3, 3))).roughness() == 0.0


def test_asymmetry_of_an_odd_landscape():
    x = np.linspace(-1.0, 1.0, 5)
    assert made(10.0**x).asymmetry() == pytest.approx(2.0)
    assert made(10.0 ** (x[:, None] * x)).asymmetry() == 0.0
    assert made(np.ones(3)).asymmetry() == 0.0
    with pytest.raises(DataError, match="not above 0"):
        made([1.0, 0.0, 1.0]).asymmetry()


def test_grids_that_do_not_fit_are_refused(op):
    with pytest.raises(ConfigError, match=r"1001 x 1001 points over 3 parameters"):
        landscape(op, points=1001, max_bytes=10**7)
    # the program's own arrays count, too
    wide = HessianOperator(
        lambda w, x: jnp.mean(jnp.sin(w[:, None] * x[None]) ** 2),
        np.ones(300, "f4"),
        np.ones(500, "f4"),
    )
    with pytest.raises(ConfigError, match="max_bytes allows"):
        landscape(wide, np.ones(300), points=3, at_once=3, max_bytes=20_000)
    assert landscape(wide, np.ones(300), points=3).loss.shape == (3,)


def test_settings_are_checked(op):
    with pytest.raises(ConfigError, match="lower end below"):
        landscape(op, span=(1.0, -1.0))
    with pytest.raises(ConfigError, match="two numbers"):
        landscape(op, span=(-1.0, np.inf))
    with pytest.raises(ConfigError, match="at_once is 0"):
        landscape(op, at_once=0)
    with pytest.raises(ConfigError, match="has the length 0"):
        landscape(op, relative=True, points=3)
    with pytest.raises(DataError, match="no value of the landscape is finite"):
        landscape(op, np.full(3, np.nan), points=3)
    with pytest.raises(ConfigError, match="points is 1;"):
        landscape(op, points=1)
    with pytest.raises(ShapeError, match=r"\(3, 3\); expected \(3,\)"):
        landscape(op, np.eye(3), points=3)
    with pytest.raises(ShapeError, match=r"\(4,\)"):
        landscape(op, np.ones(4), points=3)
    # vectors as columns: not a grid of 51 ** 900 points
    with pytest.raises(ShapeError, match=r"\(900, 2\); expected \(3,\)"):
        landscape(op, np.ones((900, 2)))
    with pytest.raises(ShapeError, match="no array of numbers"):
        landscape(op, [np.ones(3), np.ones(2)])
    with pytest.raises(ConfigError, match="count is 0"):
        random_directions(op, 0, key=jax.random.key(0))
    single = HessianOperator(lambda w, _: jnp.sum(w**2), np.ones(1))
    with pytest.raises(ConfigError, match="no plane through it"):
        landscape(single)
