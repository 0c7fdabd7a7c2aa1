"""The bending element of a rod against differentiation, and its bands against dense
matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError
from pendula.systems import BendingLaw
from pendula.systems._rod_banded import SOLVERS, NodeBlocks
from pendula.systems._rod_element import (
    Frozen,
    Stiffness,
    element_curvature,
    element_energy,
    element_slope,
)
from pendula.systems._rod_energy import (
    Elastic,
    Frames,
    compression,
    energy,
    slope,
    stiffness,
    tangents,
)
from pendula.systems._rod_frames import (
    normal_to,
    reference_twist,
    signed_angle,
    space_parallel,
    transport,
    unit,
)


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def element(count=3, seed=0, moved=0.3):
    """Random elements, away from where their frames were carried from."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape))
    t_e = unit(draw(3, count))
    t_f = unit(t_e + 0.6 * draw(3, count))
    d_e, d_f = normal_to(draw(3, count), t_e), normal_to(draw(3, count), t_f)
    twist = signed_angle(transport(d_e, t_e, t_f), d_f, t_f)
    edges = [0.7 * t_e + moved * draw(3, count), 0.9 * t_f + moved * draw(3, count)]
    y = jnp.concatenate([edges[0], draw(1, count), edges[1], draw(1, count)])
    stiff = Stiffness(jnp.abs(draw(3, count)) + 0.5, 0.1 * draw(3, count))
    return y, Frozen(t_e, t_f, d_e, d_f, twist), stiff


# compiled once for the one shape that all tests share
STIFFNESS = jax.jit(stiffness)


@pytest.mark.parametrize(
    "bends", ["linear", pytest.param("by a law", marks=pytest.mark.slow)]
)
def test_the_closed_slope_and_curvature_are_derivatives_of_the_energy(bends):
    """Also where the edges have left the directions their frames come from, so that
    the frames turn with them."""
    y, frozen, stiff = element()
    if bends == "by a law":
        law = BendingLaw(jnp.asarray([1.0, 3.0, 2.0, 4.0]), jnp.asarray(0.7))
        stiff = stiff._replace(law=law, lengths=jnp.asarray([0.7, 0.8, 0.9]))

    @jax.jit
    def every(y):
        total = lambda y: jnp.sum(element_energy(y, frozen, stiff))
        slope_of = lambda y: element_slope(y, frozen, stiff)
        curved = element_curvature(y, frozen, stiff)
        return jax.grad(total)(y), slope_of(y), curved, jax.jacfwd(slope_of)(y)

    exact, closed, (value, curved), dense = every(y)
    assert_allclose(closed, exact, atol=1e-12)
    assert_allclose(value, exact, atol=1e-12)
    own = np.einsum("ikjk->ijk", dense)
    assert_allclose(curved, own, rtol=1e-11, atol=1e-11)
    assert_allclose(curved, np.swapaxes(curved, 0, 1), atol=1e-12)


def rod(number=12, seed=0):
    """A bent, twisted rod with its frames of a moment before."""
    rng = np.random.default_rng(seed)
    s = np.linspace(0.0, 1.0, number)
    x = np.stack([s, 0.2 * np.sin(3 * s), 0.1 * np.cos(5 * s)])
    theta = np.append(0.3 * rng.normal(size=number - 1), 0.0)
    z = jnp.asarray(np.vstack([x, theta]))
    before = z.at[:3].add(0.05 / number * rng.normal(size=(3, number)))
    t = tangents(before)
    d = normal_to(space_parallel(t), t)
    frames = Frames(t, d, reference_twist(d, t, jnp.zeros(number - 2)))
    draw = lambda *shape: jnp.asarray(rng.uniform(1.0, 2.0, shape))
    bending = Stiffness(draw(3, number - 2), 0.1 * draw(3, number - 2))
    return z, frames, Elastic(draw(number - 1) / number, draw(number - 1), bending)


@pytest.mark.slow
def test_the_stiffness_of_a_rod_by_node_blocks():
    z, frames, elastic = rod()
    v = jnp.asarray(np.random.default_rng(1).normal(size=z.shape))

    @jax.jit
    def every(z):
        of = lambda z: slope(z, frames, elastic)
        return jax.grad(energy)(z, frames, elastic), *jax.jvp(of, (z,), (v,))

    exact, closed, push = every(z)
    assert_allclose(closed, exact, atol=1e-12)
    g, blocks = STIFFNESS(z, frames, elastic)
    assert_allclose(g, exact, atol=1e-12)
    assert_allclose(blocks.times(v), push, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(11, marks=pytest.mark.slow),
        pytest.param(12, marks=pytest.mark.slow),
        13,  # one over
    ],
)
def test_both_solvers_solve(number):
    """Whole blocks of three nodes, and one or two over."""
    rng = np.random.default_rng(number)
    own, near, far = (rng.normal(size=(4, 4, number - k)) for k in range(3))
    own = own + np.swapaxes(own, 0, 1)
    blocks = NodeBlocks(jnp.asarray(own), jnp.asarray(near), jnp.asarray(far))
    far = np.array([1.0, 1.0, 1.0, 0.0])  # an element does not see its third angle
    blocks = blocks._replace(second=blocks.second * far[None, :, None])
    fixed = np.zeros((4, number), bool)
    fixed[:, 0] = fixed[3, -1] = True
    v = jnp.asarray(rng.normal(size=(4, number)))

    @jax.jit
    def every(blocks, v):
        held = blocks.plus(jnp.full(v.shape, 30.0)).held(fixed)
        return [(held.times(x), x) for x in (held.solve(v, s) for s in SOLVERS)]

    (back, first), (_, second) = every(blocks, v)
    assert_allclose(back, v, atol=1e-12)
    assert_allclose(first, second, atol=1e-13)


def test_a_matrix_that_is_not_positive_is_told_by_nan():
    z, frames, elastic = rod()
    blocks = STIFFNESS(z, frames, elastic)[1].plus(jnp.full(z.shape, -300.0))
    for solver in SOLVERS:
        assert np.isnan(blocks.solve(z, solver)).any()
    with pytest.raises(ConfigError, match='solver "lapak" is unknown'):
        blocks.solve(z, "lapak")


def test_what_compressed_edges_pull_aside_is_taken_back():
    """A straight rod at 80 % of its length: the stretching stiffness across it is
    negative, and gone with `compression`."""
    z = np.zeros((4, 12))
    z[0] = 0.8 * np.arange(12)
    none = Stiffness(jnp.zeros((3, 10)), jnp.zeros((3, 10)))
    elastic = Elastic(jnp.ones(11), jnp.ones(11), none)
    t, d = np.zeros((3, 11)), np.zeros((3, 11))
    t[0], d[2] = 1.0, 1.0
    frames = Frames(jnp.asarray(t), jnp.asarray(d), jnp.zeros(10))
    z = jnp.asarray(z)
    blocks = STIFFNESS(z, frames, elastic)[1]
    across = np.zeros((4, 12))
    across[1, 2] = 1.0
    across = jnp.asarray(across)
    pull = lambda b: float(jnp.sum(across * b.times(across)))
    assert pull(blocks) == pytest.approx(-2 * 0.25)
    assert pull(blocks.and_also(compression(z, elastic))) == pytest.approx(0.0)
