"""Rings and their energies: invariances that hold for any weights, closed forms."""

import dataclasses
import functools
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.spatial.transform import Rotation

from pendula import ConfigError, ShapeError
from pendula.dynamics import (
    BarChain,
    BarWorld,
    ElasticBars,
    ElasticRings,
    RingChain,
    RingESNN,
    RingState,
    RingWorld,
    pair_coordinates,
    ring_coordinates,
    ring_path,
)
from pendula.dynamics._rings import RING_GROUPS, ring_copies
from pendula.dynamics._rings_run import ring_steps
from pendula.dynamics._rotation import quaternion, rotation, rotation_vector
from pendula.systems import Rings, flat_rings, unflat_rings


RINGS = 6
SPRINGS = [65.0, 170.0, 160.0, 0.09, 0.08, 0.07]
HALF = np.diag([-1.0, 1.0, -1.0])
_key = jax.random.key(3)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def law(natural=7e-4):
    """All thirteen constants."""
    made = ElasticRings.of(SPRINGS, natural)
    return dataclasses.replace(made, couplings=0.1 * np.arange(-3.0, 4.0))


@functools.cache
def energy(group="helix"):
    """A network that does not say nothing."""
    made = RingESNN.create(_key, law(), width=6, depth=2, group=group)
    redrawn = made.redraw(_key)
    large = lambda x: 20.0 * jnp.asarray(x, float) if eqx.is_inexact_array(x) else x
    return dataclasses.replace(redrawn, net=jax.tree.map(large, redrawn.net))


def shape(seed=0, rings=RINGS):
    rng = np.random.default_rng(seed)
    x = np.zeros((rings, 3))
    x[:, 0] = 0.008 * np.arange(rings)
    x += rng.normal(0.0, 2e-3, x.shape)
    q = Rotation.from_rotvec(rng.normal(0.0, 0.1, (rings, 3))).as_matrix()
    return jnp.asarray(x), jnp.asarray(q)


def start(rings=RINGS, speed=1.0):
    x, q = shape(rings=rings)
    rng = np.random.default_rng(5)
    v, w = speed * rng.normal(0, 0.1, (rings, 3)), speed * rng.normal(0, 5, (rings, 3))
    return Rings(np.asarray(x), np.asarray(q), v, w)


coordinates = jax.jit(ring_coordinates)


@eqx.filter_jit
def pushes(chain, x, q):
    return chain.elastic(x, q), *chain.forces(x, q)


@eqx.filter_jit
def value(e, z):
    return e(z)


@eqx.filter_jit
def steps(chain, y0, dts):
    ys = ring_steps(chain, y0, dts, 1)
    return ys, jax.vmap(chain.total)(ys)


def test_rotations_and_their_vectors_are_those_of_scipy():
    sizes = np.array([0.0, 1e-9, 1e-3, 0.0201, 1.0, 3.0])
    a = jnp.asarray(sizes[:, None] * np.array([[0.6, -0.48, 0.64]]))
    back = lambda a: rotation_vector(*quaternion(rotation(a)))
    r, same, slope = jax.jit(
        lambda a: (rotation(a), back(a), jax.vmap(jax.jacfwd(back))(a))
    )(a)
    np.testing.assert_allclose(
        r, Rotation.from_rotvec(np.array(a)).as_matrix(), atol=1e-14
    )
    np.testing.assert_allclose(same, a, atol=1e-13)
    # smooth at no turn at all
    np.testing.assert_allclose(slope, np.broadcast_to(np.eye(3), r.shape), atol=1e-11)


def test_coordinates_of_a_pair_are_those_of_the_frame_half_way():
    x, q = shape()
    z = np.asarray(coordinates(x, q))
    own = np.asarray(q)
    phi = Rotation.from_matrix(np.swapaxes(own[:-1], 1, 2) @ own[1:]).as_rotvec()
    half = own[:-1] @ Rotation.from_rotvec(0.5 * phi).as_matrix()
    t = np.swapaxes(half, 1, 2) @ np.diff(np.asarray(x), axis=0)[..., None]
    np.testing.assert_allclose(z, np.concatenate([t[..., 0], phi], 1), atol=1e-14)


def test_forces_turn_with_the_chain_and_sum_to_zero():
    chain = RingChain(energy(), RingWorld.of())
    x, q = shape()
    turn = jnp.asarray(Rotation.from_rotvec([0.3, -1.5, 2.0]).as_matrix())
    stored, force, torque = pushes(chain, x, q)
    moved = x @ turn.T + jnp.asarray([[0.3, -0.2, 1.0]])
    again, other, same = pushes(chain, moved, turn @ q)
    assert float(stored) > 1e-4
    np.testing.assert_allclose(again, stored, rtol=1e-12)
    scale = float(jnp.abs(force).max())
    np.testing.assert_allclose(other, force @ turn.T, atol=1e-11 * scale)
    np.testing.assert_allclose(same, torque, atol=1e-12 * scale)
    np.testing.assert_allclose(force.sum(0), 0.0, atol=1e-13 * scale)
    about = jnp.cross(x, force) + (q @ torque[..., None])[..., 0]
    np.testing.assert_allclose(about.sum(0), 0.0, atol=1e-13 * scale)


def test_torques_are_slopes_of_the_energy_along_turns():
    chain = RingChain(energy(), RingWorld.of())
    x, q = shape()
    torque = pushes(chain, x, q)[2]
    step = 1e-4
    for k in range(3):
        turns = [
            Rotation.from_rotvec(s * np.eye(3)[k]).as_matrix() for s in (-step, step)
        ]
        ends = [
            float(pushes(chain, x, q.at[2].set(q[2] @ jnp.asarray(turn)))[0])
            for turn in turns
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(slope, torque[2, k], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("group", list(RING_GROUPS))
def test_an_energy_is_that_of_every_copy_of_its_group(group):
    z = 0.01 * jax.random.normal(_key, (12,))
    own = ring_copies(z, group)
    twice = np.asarray(ring_copies(own, group)).reshape(-1, 12)
    gaps = np.abs(twice[:, None] - np.asarray(own)[None]).max(-1).min(1)
    assert gaps.max() == 0.0  # closed under composition
    e = energy(group)
    away = value(e, own) - value(e.law, own)
    assert abs(float(away[0])) > 1e-6
    np.testing.assert_allclose(away, np.full(len(own), away[0]), rtol=1e-9)


def test_a_chain_read_backwards_has_the_same_energy():
    x, q = shape()
    other = x[::-1], q[::-1] @ jnp.asarray(HALF)
    z = coordinates(x, q)
    signs = jnp.asarray([[1.0, -1.0, 1.0, 1.0, -1.0, 1.0]])
    np.testing.assert_allclose(coordinates(*other), (signs * z)[::-1], atol=1e-14)
    chain = RingChain(energy(), RingWorld.of())
    same = pushes(chain, *other)[0]
    np.testing.assert_allclose(same, pushes(chain, x, q)[0], rtol=1e-12)


def test_a_fresh_network_says_what_the_law_says_and_0_at_rest():
    fresh = RingESNN.create(_key, law(), width=6, depth=2)
    z = 0.01 * jax.random.normal(_key, (2, 12))
    np.testing.assert_array_equal(value(fresh, z), value(law(), z))
    rest = jnp.stack([jnp.asarray(fresh.scale.rest)] * 2)
    np.testing.assert_allclose(value(energy(), rest), 0.0, atol=1e-18)


def planar(u):
    """Rings of bars."""
    x = np.concatenate([u[..., :2], 0 * u[..., :1]], axis=-1)
    turn = np.zeros_like(x)
    turn[..., 2] = u[..., 2]
    q = Rotation.from_rotvec(turn.reshape(-1, 3)).as_matrix()
    return x, q.reshape(*x.shape, 3)


def test_rings_in_a_plane_are_bars():
    rng = np.random.default_rng(1)
    u = np.zeros((RINGS, 3))
    u[:, 0] = 0.008 * np.arange(RINGS)
    u += rng.normal(0.0, 1.0, u.shape) * [2e-3, 2e-3, 0.1]
    x, q = planar(u)
    z = coordinates(jnp.asarray(x), jnp.asarray(q))
    bars = pair_coordinates(jnp.asarray(u[:-1]), jnp.asarray(u[1:]))
    np.testing.assert_allclose(z[:, jnp.asarray([0, 1, 5])], bars, atol=1e-14)
    np.testing.assert_allclose(z[:, 2:5], 0.0, atol=1e-15)
    few = ElasticBars(np.log(np.array(SPRINGS)[[0, 1, 5]]), 7e-4)
    flat = BarChain(few, BarWorld.of())
    space = RingChain(ElasticRings.of(SPRINGS, 7e-4), RingWorld.of())
    stored, force, torque = pushes(space, jnp.asarray(x), jnp.asarray(q))
    one, bar_force = eqx.filter_jit(lambda c, u: (c.elastic(u), c.force(u)))(
        flat, jnp.asarray(u)
    )
    np.testing.assert_allclose(stored, one, rtol=1e-12)
    np.testing.assert_allclose(force[:, :2], bar_force[:, :2], atol=1e-13)
    np.testing.assert_allclose(torque[:, 2], bar_force[:, 2], atol=1e-14)
    np.testing.assert_allclose(force[:, 2], 0.0, atol=1e-14)
    np.testing.assert_allclose(torque[:, :2], 0.0, atol=1e-14)
    own = BarWorld.of()
    inertia = RingWorld.of().inertia(jnp.zeros(1))
    np.testing.assert_allclose(inertia[1:], own.inertia, rtol=1e-12)


def test_a_ring_in_free_flight_is_a_symmetric_top():
    chain = RingChain(law(), RingWorld.of(), False, False)
    begin = start()
    s = RingState(*(jnp.asarray(a) for a in vars(begin).values()))
    coast = eqx.filter_jit(chain.coast)
    for t in (0.01, 0.7):
        flown = coast(s, jnp.asarray(t))
        # its turn goes round the axis at the rate of the turn about it, backwards
        own = begin.w[0]
        angle = own[0] * t
        c, d = np.cos(angle), np.sin(angle)
        expected = [own[0], c * own[1] - d * own[2], d * own[1] + c * own[2]]
        np.testing.assert_allclose(flown.w[0], expected, atol=1e-12)
        j = np.array([1.0, 0.5, 0.5])
        before, after = (
            (np.asarray(a.q) @ (j * np.asarray(a.w))[..., None])[..., 0]
            for a in (s, flown)
        )
        np.testing.assert_allclose(after, before, atol=1e-10)  # angular momentum
    rate = (
        lambda t, y: np.concatenate(
            [
                np.cross(y[:9].reshape(3, 3), y[9:]).ravel(),  # Q hat(w)
                -np.cross(y[9:], j * y[9:]) / j,
            ]
        )
    )
    y0 = np.concatenate([begin.q[0].ravel(), begin.w[0]])
    end = solve_ivp(rate, (0, 0.7), y0, rtol=1e-11, atol=1e-11).y[:, -1]
    np.testing.assert_allclose(flown.q[0].ravel(), end[:9], atol=1e-8)


def moving(first=True):
    """A chain, and where it begins."""
    chain = RingChain(law(), RingWorld.of(), first, False)
    begin = start(4)
    begin.v[0] = begin.w[0] = 0.0
    return chain, jnp.asarray(flat_rings(begin))


def grid(step, count):
    """Steps, and none of them beyond."""
    return jnp.where(jnp.arange(80) < count, step, 0.0)


def test_the_step_is_of_order_2_and_reversible():
    chain, y0 = moving()
    ends = [steps(chain, y0, grid(5e-3 / n, n))[0][-1] for n in (20, 40, 80)]
    gaps = [np.linalg.norm(a - b) for a, b in itertools.pairwise(ends)]
    assert abs(np.log2(gaps[0] / gaps[1]) - 2.0) < 0.1
    forth = steps(chain, y0, grid(1e-3, 80))[0][-1]
    there = unflat_rings(np.asarray(forth))
    turned = jnp.asarray(flat_rings(Rings(there.x, there.q, -there.v, -there.w)))
    back = unflat_rings(np.asarray(steps(chain, turned, grid(1e-3, 80))[0][-1]))
    begin = unflat_rings(np.asarray(y0))
    np.testing.assert_allclose(back.x, begin.x, atol=1e-11)
    np.testing.assert_allclose(back.q, begin.q, atol=1e-11)


@pytest.mark.slow
def test_the_step_is_that_of_the_field_with_drag_too():
    chain, y0 = moving()
    chain = dataclasses.replace(chain, world=RingWorld.of(drag=0.3, wire_length=0.2))
    h = 1e-6
    ends = [steps(chain, y0, grid(s, 1))[0][1] for s in (-h, h)]
    rate = eqx.filter_jit(chain)(0.0, y0, None, None)
    scale = float(jnp.abs(rate).max())
    np.testing.assert_allclose((ends[1] - ends[0]) / (2 * h), rate, atol=1e-6 * scale)


@pytest.mark.slow
def test_the_energy_does_not_drift_and_drag_takes_it_away():
    for drag in (0.0, 0.05):
        chain, y = moving()
        world = RingWorld.of(drag=drag, wire_length=0.2)
        chain = dataclasses.replace(chain, world=world)
        total, peak = [], 0.0
        for _ in range(12):
            ys, parts = steps(chain, y, grid(5e-4, 80))
            y = ys[-1]
            total.append(np.asarray(sum(parts.values())))
            peak = max(peak, float(parts["kinetic"].max()))
        ends = [np.mean(total[:4]), np.mean(total[-4:])]
        if drag:
            assert ends[1] < ends[0] - 0.1 * peak
        else:
            assert np.ptp(total) < 2e-2 * peak
            assert abs(ends[1] - ends[0]) < 1e-3 * peak
        q = unflat_rings(np.asarray(y)).q
        assert np.abs(np.swapaxes(q, -1, -2) @ q - np.eye(3)).max() < 1e-13


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match='group "helx" is unknown'):
        RingESNN.create(_key, law(), width=2, depth=1, group="helx")
    with pytest.raises(ConfigError, match="expected six above 0"):
        ElasticRings.of([1.0, 2.0])
    with pytest.raises(ConfigError, match=r"radius is -1\.0; it must be above 0"):
        RingWorld.of(radius=-1.0)
    with pytest.raises(ConfigError, match=r"gravity is .* three finite numbers"):
        RingWorld.of(gravity=(0.0, np.nan, 0.0))
    with pytest.raises(ShapeError, match="a chain of C rings has 18 C"):
        RingState.of(jnp.zeros(36))
    begin = start()
    chain = RingChain(law(), RingWorld.of())
    with pytest.raises(ShapeError, match="at least two that increase"):
        ring_path(chain, np.array([1.0, 0.0]), begin)
    with pytest.raises(ShapeError, match="at least two that increase"):
        ring_path(chain, np.array([0.0, np.inf]), begin)
    with pytest.raises(ConfigError, match="substeps is 0"):
        ring_path(chain, np.array([0.0, 1.0]), begin, substeps=0)
    two = Rings(*(np.stack([a, a]) for a in vars(begin).values()))
    with pytest.raises(ShapeError, match=r"take them by rings\.at\(0\)"):
        ring_path(chain, np.array([0.0, 1.0]), two)


def test_times_far_apart_are_reached_by_the_same_steps():
    chain, ts = RingChain(law(), RingWorld.of()), 0.01 * np.arange(21)
    fine = ring_path(chain, ts, start(), dtype=np.float64)
    wide = ring_path(chain, ts[::10], start(), dtype=np.float64)
    assert wide.good
    # the steps are 2 ms in both; only their times differ, by rounding
    np.testing.assert_allclose(wide.rings.x, fine.rings.x[::10], atol=1e-9)
