"""Domains: points, normals, volumes, distances, values continued inwards, bad input."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._precision import precision
from pendula.solutions._cloud import PointCloud
from pendula.solutions._derivatives import derivatives
from pendula.solutions._difference import Difference
from pendula.solutions._domain import Box, Interval, blend
from pendula.solutions._polygon import Polygon
from pendula.solutions._shapes import Disc, Product


SQUARE = Box(Interval(-1, 1), Interval(0, 3, name="y"))
CORNER = Polygon([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
TRIANGLE = Polygon([(0, 0), (0.5, 1.5), (2, 0)])  # given clockwise


@functools.cache
def cloud():
    disc = Disc((0.5, 0.0), 1.0)
    rim = {"rim": disc.on_side("rim", 80)}
    return PointCloud(disc.nodes(700), rim)


DOMAINS = {
    "interval": (lambda: Interval(-1, 2), 3.0),
    "circle": (lambda: Interval(0, 2, periodic=True), 2.0),
    "box": (lambda: SQUARE, 6.0),
    "pipe": (lambda: Box(Interval(0, 1), Interval(0, 2, periodic=True, name="y")), 2.0),
    "disc": (lambda: Disc((1, 2), 0.5), math.pi / 4),
    "ball": (lambda: Disc((0, 1, 0), 2.0), 32 * math.pi / 3),
    "triangle": (lambda: TRIANGLE, 1.5),
    "corner": (lambda: CORNER, 3.0),
    "plate": (lambda: Difference(SQUARE, Disc((0, 1), 0.5)), 6.0 - math.pi / 4),
    "bite": (lambda: Difference(SQUARE, Disc((1, 1), 0.5)), 6.0 - math.pi / 8),
    "frame": (
        lambda: Difference(SQUARE, Box(Interval(-0.5, 0.5), Interval(1, 2, name="y"))),
        5.0,
    ),
    "cylinder": (
        lambda: Product(Disc((0, 0), 1.0), Interval(0, 2, name="z")),
        2 * math.pi,
    ),
    "cloud": (cloud, math.pi),
}
ALL = pytest.mark.parametrize("name", DOMAINS)
# what integrates polynomials exactly
EXACT = ["interval", "box", "disc", "ball", "triangle", "corner", "cylinder"]


def make(name):
    return DOMAINS[name][0]()


@ALL
def test_nodes_lie_inside_and_checks_elsewhere(name):
    domain = make(name)
    first, again, other = domain.nodes(100), domain.nodes(100), domain.nodes(100, 3)
    np.testing.assert_array_equal(first, again)
    for nodes in (first, other):
        assert nodes.shape[1] == domain.dim
        assert 95 <= len(nodes) <= 130
        assert domain.contains(nodes).all()
        assert len(np.unique(nodes.round(12), axis=0)) == len(nodes)
    far = np.linalg.norm(first[:, None] - other[None], axis=-1).min(1)
    assert np.median(far) > 1e-3  # checks are no copies of the points
    lo, hi = domain.bounds.T
    assert (first >= lo - 1e-12).all()
    assert (first <= hi + 1e-12).all()
    assert (np.ptp(first, axis=0) > 0.8 * (hi - lo) - 0.05).all()


@ALL
def test_sides(name):
    domain = make(name)
    for side in domain.sides:
        for seed in (None, 1):
            points, normals = domain.on_side(side, 12, seed)
            assert points.shape == normals.shape == (len(points), domain.dim)
            np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)
            assert domain.contains(points).all()
            step = 1e-4 * np.ptp(domain.bounds, axis=1).max()
            # at corners the normal may run along another side: most points count
            assert domain.contains(points - step * normals).mean() > 0.7
            assert not domain.contains(points + step * normals).any()
    with pytest.raises(ConfigError, match='no side "top"'):
        domain.on_side("top", 3)


@ALL
def test_distances_are_0_on_their_side_and_grow_inwards(name):
    domain = make(name)
    with precision(np.float64):
        inside = jnp.asarray(domain.quadrature(100)[0])
        for side in domain.exact_sides:
            points, normals = domain.on_side(side, 12)
            at = lambda x, side=side: domain.distance(side, x)
            here = jnp.asarray(points)
            np.testing.assert_allclose(at(here), 0.0, atol=1e-14)
            slope = jax.jvp(at, (here,), (-jnp.asarray(normals),))[1]
            assert (np.asarray(slope) > 0.1 / np.ptp(domain.bounds)).all()
            found = np.asarray(at(inside))
            assert (found > 0.0).all()
            assert found.max() <= 1.0 + 1e-12
            orders = (2,) + (0,) * (domain.dim - 1)
            second = derivatives(at, jnp.concatenate([here, inside]), [orders])
            assert np.isfinite(second[orders]).all()


@ALL
def test_volumes(name):
    domain, volume = make(name), DOMAINS[name][1]
    points, weights = domain.quadrature(400)
    assert domain.contains(points).all()
    # even points, a cloud's simplices: measured 2e-4 to 6e-3; else rounding
    rough = name in ("plate", "bite", "frame", "cloud")
    np.testing.assert_allclose(weights.sum(), volume, rtol=2e-2 if rough else 1e-12)


@pytest.mark.parametrize("name", EXACT)
def test_the_divergence_theorem_holds_for_polynomials(name):
    r"""$\int \partial_k f = \int_{\partial} f n_k$ ties volumes, sides and normals
    together: f cubic, so that both rules are exact."""
    domain = make(name)
    if name in ("disc", "ball", "cylinder"):
        pytest.skip("sides have no weights: their points are even, areas are known")
    points, weights = domain.quadrature(400)
    with precision(np.float64):
        f = lambda p: p[:, 0] ** 3 - 2.0 * p[:, 0] * p[:, -1] ** 2 + p[:, -1]
        orders = (1,) + (0,) * (domain.dim - 1)
        slope = np.asarray(derivatives(f, jnp.asarray(points), [orders])[orders])
    total = float(np.sum(weights * slope))
    if domain.dim == 1:
        lo, hi = domain.bounds[0]
        ends = np.asarray(f(np.asarray([[lo], [hi]])))
        np.testing.assert_allclose(total, ends[1] - ends[0], rtol=1e-12)
        return
    around = 0.0
    roots, w = np.polynomial.legendre.leggauss(8)
    corners = (
        np.asarray(domain.vertices)
        if isinstance(domain, Polygon)
        else np.asarray([(-1, 0), (1, 0), (1, 3), (-1, 3)], float)
    )
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        at = a + 0.5 * (roots[:, None] + 1.0) * (b - a)
        around += float(np.sum(0.5 * w * np.asarray(f(at)))) * (b - a)[1]
    np.testing.assert_allclose(total, around, rtol=1e-12)


def test_polynomials_in_discs_and_balls():
    """Moments from the formula of Folland: x^2 over a disc is pi R^4 / 4, over a ball
    4 pi R^5 / 15."""
    points, weights = Disc((0, 0), 2.0).quadrature(50)
    np.testing.assert_allclose(weights @ points[:, 0] ** 2, 4 * np.pi, rtol=1e-13)
    np.testing.assert_allclose(weights @ points[:, 0] ** 3, 0.0, atol=1e-12)
    points, weights = Disc((1, 0, 0), 2.0).quadrature(300)
    square = (points[:, 0] - 1.0) ** 2
    np.testing.assert_allclose(weights @ square, 128 * np.pi / 15, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.2, 1.0), min_size=3, max_size=9),
    st.floats(0.0, 6.0),
    st.booleans(),
)
def test_star_shaped_polygons(radii, turn, clockwise):
    """Triangles add up to the area, and contain what the polygon does."""
    n = len(radii)
    angle = turn + 2.0 * np.pi * np.arange(n) / n
    corners = np.asarray(radii)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    given_order = corners[::-1] if clockwise else corners
    shape = Polygon(given_order.tolist())
    pieces = [
        0.5 * r * s * math.sin(2.0 * math.pi / n)
        for r, s in zip(radii, np.roll(radii, -1), strict=True)
    ]
    np.testing.assert_allclose(shape.area, sum(pieces), rtol=1e-12)
    points, weights = shape.quadrature(64)
    np.testing.assert_allclose(weights.sum(), sum(pieces), rtol=1e-12)
    assert weights.min() > 0.0
    assert shape.contains(points).all()
    assert shape.contains(0.999 * corners).all()
    assert not shape.contains(1.001 * corners).any()
    for k, side in enumerate([f"edge{k}" for k in range(n)]):
        middle = 0.5 * (given_order[k] + given_order[(k + 1) % n])
        own, _ = shape.on_side(side, 3)
        np.testing.assert_allclose(own[1], middle, atol=1e-12)


def test_the_trimmed_distance_ignores_the_line_beyond_the_edge():
    """The line of edge2 of the corner (from (2, 1) to (1, 1)) runs on through it."""
    with precision(np.float64):
        beyond = CORNER.distance("edge2", jnp.asarray([[0.5, 1.0], [0.2, 1.0]]))
        assert (np.asarray(beyond) > 0.1).all()
        # normalised: close to the edge it is the distance, over the largest one, 1
        near = CORNER.distance("edge2", jnp.asarray([[1.5, 1.0 - 1e-3]]))
        np.testing.assert_allclose(near, 1e-3, rtol=1e-5)
    assert CORNER.exact_sides == ("edge0", "edge1", "edge4", "edge5")


def polynomial(p):
    return 1.0 + p[:, 0] * p[:, 1] - 0.5 * p[:, 0] ** 2 * p[:, 1] ** 2 + p[:, 0] ** 3


@pytest.mark.parametrize("sides", [("x-",), ("x-", "x+"), ("x+", "y-"), SQUARE.sides])
def test_values_on_sides_of_a_box_are_met(sides):
    with precision(np.float64):
        asked = []

        def seen(p):
            asked.append(np.asarray(p))
            return polynomial(p)

        given_values = [(side, seen) for side in sides]
        for side in sides:
            points = jnp.asarray(SQUARE.on_side(side, 9)[0])
            found = SQUARE.lift(given_values, points)
            np.testing.assert_allclose(found, polynomial(points), atol=1e-12)
        asked.clear()
        inside = jnp.asarray(SQUARE.quadrature(9)[0])
        SQUARE.lift(given_values, inside)
        ends = {"x-": (0, -1), "x+": (0, 1), "y-": (1, 0), "y+": (1, 3)}
        for p in asked:  # values are looked up on sides only
            assert any((p[:, k] == at).all() for k, at in map(ends.get, sides))


@pytest.mark.parametrize("name", ["disc", "triangle", "plate", "cylinder"])
def test_values_on_other_sides_are_met(name):
    domain = make(name)
    wave = lambda p: jnp.sin(p[:, 0] + 2.0 * p[:, 1])
    with precision(np.float64):
        same = [(side, wave) for side in domain.exact_sides]
        split = [
            (side, functools.partial(lambda k, p: wave(p) + 0.0 * k, k))
            for k, side in enumerate(domain.exact_sides)
        ]
        for values in (same, split):
            for side in domain.exact_sides:
                points = jnp.asarray(domain.on_side(side, 9)[0])
                found = domain.lift(values, points)
                np.testing.assert_allclose(found, wave(points), atol=1e-12)


def test_different_values_around_a_hole():
    """Two constants, and the shares between them stay in [0, 1]."""
    domain = Difference(Disc((0, 0), 1.0), Disc((0, 0), 0.4))
    one, two = (lambda p: jnp.full_like(p[:, 0], 1.0)), (lambda p: 2.0 * one(p))
    values = [("rim", one), ("hole-rim", two)]
    with precision(np.float64):
        rim, hole = (jnp.asarray(domain.on_side(s, 20)[0]) for s in domain.sides)
        np.testing.assert_allclose(domain.lift(values, rim), 1.0, atol=1e-12)
        np.testing.assert_allclose(domain.lift(values, hole), 2.0, atol=1e-12)
        inside = domain.lift(values, jnp.asarray(domain.nodes(50)))
        assert ((inside >= 1.0) & (inside <= 2.0)).all()


def test_shares_where_sides_meet_are_equal():
    away = [jnp.asarray([0.0, 0.0, 1.0]), jnp.asarray([0.0, 0.5, 1.0])]
    shares = blend([*away, jnp.asarray([1.0, 1.0, 1.0])])
    np.testing.assert_allclose(sum(shares), 1.0, rtol=1e-6)
    np.testing.assert_allclose([s[0] for s in shares], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose([s[1] for s in shares], [1.0, 0.0, 0.0], atol=1e-6)


def test_names_of_holes():
    one = Difference(SQUARE, Disc((0, 1), 0.3))
    two = Difference(one, Disc((0, 2), 0.3))
    assert one.sides == (*SQUARE.sides, "hole-rim")
    assert two.sides == (*SQUARE.sides, "hole-rim", "hole2-rim")
    assert make("frame").sides[4:] == ("hole-y-", "hole-x+", "hole-y+", "hole-x-")
    covered = Difference(SQUARE, Box(Interval(-2, 0), Interval(-1, 4, name="y")))
    # the left half is gone, and with it the side x-; of the hole one edge is left
    assert covered.sides == ("x+", "y-", "y+", "hole-x+")
    flush = Difference(SQUARE, Box(Interval(0, 1), Interval(1, 3, name="y")))
    assert flush.sides == (*SQUARE.sides, "hole-y-", "hole-x-")
    assert (flush.on_side("hole-x-", 8)[1] == [1.0, 0.0]).all()


def test_a_cloud_says_that_it_has_no_distance():
    with pytest.raises(ConfigError, match="hard=False"):
        cloud().distance("rim", jnp.zeros((1, 2)))
    with pytest.raises(ConfigError, match="hard=False"):
        cloud().lift([("rim", lambda p: p[:, 0])], jnp.zeros((1, 2)))
    deep = Difference(SQUARE, cloud())
    with pytest.raises(ConfigError, match="hard=False"):
        deep.distance("hole-rim", jnp.zeros((1, 2)))
    assert "hole-rim" not in deep.exact_sides


def test_a_cloud_without_boundary():
    bare = PointCloud(Disc((0, 0), 1.0).nodes(500))
    assert bare.sides == ()
    points = np.asarray([[0.1, 0.2], [2.0, 0.0]])
    assert bare.contains(points).tolist() == [True, False]
    # its simplices reach to the outermost points, which are on the rim: measured 1e-3
    np.testing.assert_allclose(bare.quadrature(500)[1].sum(), np.pi, rtol=2e-2)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Interval(1, 1), "Interval: from 1 to 1"),
        (lambda: Interval(0, math.inf), "finite"),
        (lambda: Interval(0, 1, name="t"), "letter other than t"),
        (lambda: Box(Interval(0, 1), Interval(0, 1)), "letter of its own"),
        (lambda: Disc((0, 0), 0.0), "radius is 0"),
        (lambda: Disc((0,), 1.0), "two or three"),
        (lambda: Disc((0, math.nan), 1.0), "finite"),
        (lambda: Disc((0, 0), 1.0, names="xx"), "different letters"),
        (lambda: Disc((0, 0), 1.0, names="xt"), "other than t"),
        (lambda: Polygon([(0, 0), (1, 1)]), "at least three"),
        (lambda: Polygon([(0, 0), (1, 1), (1, math.inf)]), "NaN or infinity"),
        (lambda: Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "cross"),
        (lambda: Polygon([(0, 0), (0, 0), (1, 0), (0, 1)]), "the same"),
        (lambda: Polygon([(0, 0), (1, 1), (2, 2)]), "no area"),
        (lambda: Polygon([(0, 0), (1, 0), (0, 1)], edges="aab"), "different names"),
        (lambda: Difference(SQUARE, Disc((0, 0, 0), 1.0)), "both need the same"),
        (lambda: Difference(Interval(0, 1), Interval(0, 0.5)), "at least two"),
        (lambda: Difference(SQUARE, Disc((0, 1), 9.0)), "no points were found"),
        (lambda: Difference(make("pipe"), Disc((0, 0), 0.1)), "periodic"),
        (lambda: Product(Disc((0, 0), 1), Interval(0, 1)), "stands twice"),
        (lambda: PointCloud(np.zeros((9, 1))), "shape"),
        (lambda: PointCloud(np.zeros((3, 2))), "at least 8"),
        (lambda: PointCloud(np.full((9, 2), np.nan)), "NaN"),
        (lambda: PointCloud(np.eye(9, 2), {"a": (np.eye(2), np.eye(3))}), '"a"'),
        (lambda: PointCloud(np.eye(9, 2), {"a": (np.eye(2), 0 * np.eye(2))}), "0 at"),
    ],
)
def test_bad_input(build, words):
    with pytest.raises((ConfigError, ShapeError, DataError), match=words):
        build()
