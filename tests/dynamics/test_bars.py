"""Bars and their energies: invariances that hold for any weights, closed forms."""

import dataclasses

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from pendula import ConfigError, ShapeError
from pendula.dynamics import (
    ESNN,
    BarChain,
    BarWorld,
    ElasticBars,
    SecondOrder,
    bar_path,
    bar_rest,
    pair_coordinates,
)
from pendula.nn import ShortcutNet
from pendula.solve import rollout


BARS = 8
_key = jax.random.key(3)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def energy(group="order4", **options):
    # weights ten times as large as at the start: a law that bends
    made = ESNN.create(_key, group=group, width=8, depth=3, **options)
    return jax.tree.map(
        lambda x: 10.0 * jnp.asarray(x, float) if eqx.is_inexact_array(x) else x, made
    )


def energy_at_rest(e):
    """Of the copies' sum, before the rest is taken off."""
    return dataclasses.replace(e, bounded=False)(jnp.zeros(6))


def shape(seed=0):
    rng = np.random.default_rng(seed)
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.008 * np.arange(BARS)
    return jnp.asarray(u + rng.normal(0.0, 1.0, u.shape) * [2e-3, 2e-3, 0.1])


def state(u, v=None):
    v = jnp.zeros_like(u) if v is None else v
    return jnp.concatenate([u.ravel(), v.ravel()])


def moved(u, angle, shift):
    c, s = np.cos(angle), np.sin(angle)
    flat = u[:, :2] @ jnp.asarray([[c, s], [-s, c]]) + jnp.asarray(shift)[None]
    return jnp.concatenate([flat, u[:, 2:] + angle], axis=1)


def test_the_published_network_has_15937_parameters_and_a_distilled_one_1761():
    sizes = [
        sum(
            x.size
            for x in jax.tree.leaves(
                eqx.filter_eval_shape(ShortcutNet, 6, w, d, key=_key)
            )
            if hasattr(x, "size")
        )
        for w, d in ((32, 5), (16, 3))
    ]
    assert sizes == [15937, 1761]


@pytest.mark.parametrize(
    "group",
    [
        pytest.param("order4", marks=pytest.mark.slow),
        "order8",
        "helix",
        pytest.param("none", marks=pytest.mark.slow),
    ],
)
def test_an_energy_is_that_of_every_copy_of_its_group(group):
    from pendula.dynamics._bars import copies

    e = energy(group)
    z = jnp.asarray([0.01, 0.002, 0.1, 0.02, -0.001, -0.2])
    same = jax.vmap(e)(copies(z, group))
    np.testing.assert_allclose(same, e(z), rtol=1e-13)
    mirrored = copies(z, "order8")[4]  # y -> -y, in none of the others
    assert (abs(e(mirrored) / e(z) - 1.0) < 1e-12) == (group == "order8")


def test_the_copies_of_each_group_are_closed_under_composition():
    from pendula.dynamics._bars import GROUPS, copies

    z = jax.random.normal(_key, (6,))
    for group in GROUPS:
        own = np.asarray(copies(z, group))
        twice = np.asarray(copies(jnp.asarray(own), group)).reshape(-1, 6)
        gaps = np.abs(twice[:, None] - own[None]).max(-1).min(1)
        assert gaps.max() == 0.0


@settings(max_examples=20, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_coordinates_of_a_pair_do_not_see_motions_of_the_plane(angle, x, y):
    u = shape()
    other = moved(u, angle, (x, y))
    before = pair_coordinates(u[:-1], u[1:])
    after = pair_coordinates(other[:-1], other[1:])
    np.testing.assert_allclose(after, before, atol=1e-14)


@pytest.mark.parametrize(
    "rule", ["conservative", pytest.param("middle", marks=pytest.mark.slow)]
)
def test_forces_turn_with_the_chain(rule):
    chain = BarChain(energy(), BarWorld.of(), rule=rule)
    u, angle = shape(), 0.7
    force = chain.force(u)
    turned = chain.force(moved(u, angle, (0.3, -0.2)))
    c, s = np.cos(angle), np.sin(angle)
    expected = force[:, :2] @ jnp.asarray([[c, s], [-s, c]])
    scale = float(jnp.abs(force).max())
    np.testing.assert_allclose(turned[:, :2], expected, atol=1e-12 * scale)
    np.testing.assert_allclose(turned[:, 2], force[:, 2], atol=1e-12 * scale)


def test_the_conservative_force_is_a_gradient_and_sums_to_zero():
    chain = BarChain(energy(), BarWorld.of())
    u = shape()
    force = chain.force(u)
    slope = jax.grad(chain.elastic)(u)
    np.testing.assert_allclose(force, -slope, atol=1e-14 * float(jnp.abs(slope).max()))
    assert float(jnp.abs(force[:, :2].sum(0)).max()) < 1e-12 * float(
        jnp.abs(force[:, :2]).sum()
    )
    jacobian = jax.jacfwd(chain.force)(u).reshape(3 * BARS, -1)
    off = jnp.abs(jacobian - jacobian.T).max() / jnp.abs(jacobian).max()
    assert float(off) < 1e-12


def test_the_middle_rule_is_the_slope_of_one_triplet_and_no_gradient():
    e = energy()
    chain = BarChain(e, BarWorld.of(), rule="middle")
    u = shape()
    force = chain.force(u)

    def own(middle, i):
        pairs = pair_coordinates(
            jnp.stack([u[i - 1], middle]), jnp.stack([middle, u[i + 1]])
        )
        return e(pairs.ravel())

    for i in (1, 4, BARS - 2):
        expected = -jax.grad(own)(u[i], i)
        np.testing.assert_allclose(force[i], expected, rtol=1e-11, atol=1e-18)
    jacobian = jax.jacfwd(chain.force)(u).reshape(3 * BARS, -1)
    off = jnp.abs(jacobian - jacobian.T).max() / jnp.abs(jacobian).max()
    assert float(off) > 0.05
    net = jnp.abs(force[:, :2].sum(0)).max() / jnp.abs(force[:, :2]).sum()
    assert float(net) > 1e-3


def test_both_rules_agree_up_to_2_where_the_energy_is_a_sum_over_pairs():
    e = ElasticBars(jnp.log(jnp.asarray([65.0, 30.0, 0.05])), 0.001)
    u = shape()
    one = BarChain(e, BarWorld.of()).force(u)
    other = BarChain(e, BarWorld.of(), rule="middle").force(u)
    np.testing.assert_allclose(one[1:-1], 2.0 * other[1:-1], rtol=1e-12)


def test_a_free_end_of_the_middle_rule_has_a_neighbour_equal_to_itself():
    e = energy()
    u = shape()
    chain = BarChain(e, BarWorld.of(), True, False, rule="middle")

    def own(last):
        z = pair_coordinates(u[-2], last)
        return e(jnp.concatenate([z, jnp.zeros(3)]))

    expected = -jax.grad(own)(u[-1])
    np.testing.assert_allclose(chain.force(u)[-1], expected, rtol=1e-11)


def test_a_uniform_chain_has_one_energy_less_than_it_has_bars():
    e = energy()
    turn = 0.05  # each bar is the one before, turned and moved alike
    u = np.zeros((BARS, 3))
    for i in range(1, BARS):
        a = u[i - 1, 2] + 0.5 * turn
        step = [0.01 * np.cos(a), 0.01 * np.sin(a), turn]
        u[i] = u[i - 1] + step
    z = pair_coordinates(jnp.asarray(u[0]), jnp.asarray(u[1]))
    chain = BarChain(e, BarWorld.of())
    one = e(jnp.concatenate([z, z]))
    np.testing.assert_allclose(chain.elastic(jnp.asarray(u)), (BARS - 1) * one)


def test_a_stiffer_material_scales_the_energy_and_a_bounded_one_has_a_floor():
    u = shape()
    soft = BarChain(energy(), BarWorld.of())
    stiff = dataclasses.replace(soft, world=BarWorld.of(stiffness=1.5))
    np.testing.assert_allclose(stiff.force(u), 1.5 * soft.force(u), rtol=1e-13)
    bounded = energy(bounded=True)
    z = jax.random.normal(_key, (500, 6)) * jnp.asarray([0.05, 0.05, 2.0] * 2)[None]
    assert float(bounded(jnp.zeros(6))) == 0.0
    # the floor is that of the network, four copies, counted from the rest
    floor = 4.0 * float(bounded.net.last_bias) - float(energy_at_rest(bounded))
    assert float(bounded(z).min()) >= floor - 1e-12
    assert float(energy()(z).min()) < floor


def test_leapfrog_keeps_the_energy_and_drag_takes_it_away():
    e = ElasticBars(jnp.log(jnp.asarray([65.0, 150.0, 0.08])), 0.0)
    ts = np.arange(0.0, 0.5, 2e-3)
    total = {}
    for drag in (0.0, 0.05):
        chain = BarChain(e, BarWorld.of(drag=drag, wire_length=0.2))
        u = jnp.zeros((BARS, 3)).at[:, 0].set(0.005 * jnp.arange(float(BARS)))
        roll = rollout(
            SecondOrder(chain, 3 * BARS), state(u), ts, scheme="leapfrog", substeps=2
        )
        parts = jax.vmap(chain.total)(roll.ys)
        total[drag] = np.asarray(sum(parts.values()))
        peak = float(parts["kinetic"].max())
    assert np.ptp(total[0.0]) < 1e-2 * peak
    assert total[0.05][-1] < total[0.05][0] - 0.05 * peak
    # the ends are held, and the middle has moved
    assert float(jnp.abs(roll.ys[:, :3]).max()) == 0.0
    assert float(roll.ys[:, 3 * 4 + 1].min()) < -1e-3


def test_a_held_end_has_the_acceleration_of_the_input():
    chain = BarChain(energy(), BarWorld.of(), True, False)
    u = shape()
    push = jnp.arange(6.0)
    out = chain(0.0, state(u), push, None).reshape(-1, 3)
    assert out[0].tolist() == [0.0, 1.0, 2.0]
    free = chain(0.0, state(u), None, None).reshape(-1, 3)
    np.testing.assert_array_equal(out[1:], free[1:])


def test_contact_pushes_touching_cycles_apart_and_is_the_slope_of_its_energy():
    world = BarWorld.of(contact=10.0)
    e = ElasticBars(jnp.log(jnp.asarray([1e-9, 1e-9, 1e-9])), 0.0)
    chain = BarChain(e, world, False, False, touching=True)
    u = jnp.zeros((4, 3)).at[:, 0].set(jnp.asarray([0.0, 1e-3, 1.7e-3, 3e-3]))
    rates = chain(0.0, state(u), None, None).reshape(-1, 3)
    assert float(rates[1, 0]) < 0.0 < float(rates[2, 0])  # 0.1 mm into the margin
    np.testing.assert_allclose(rates[0], [0.0, -9.8, 0.0], atol=1e-6)
    slope = jax.grad(lambda u: chain.total(state(u))["contact"])(u)
    np.testing.assert_allclose(2.5e-3 * rates[1:3, 0], -slope[1:3, 0], rtol=1e-6)
    gaps = chain.gaps(u)
    np.testing.assert_allclose(gaps[0], [1e-3, 0.7e-3, 1.3e-3], rtol=1e-12)
    deeper = u.at[2, 0].set(1.2e-3)  # closer than may be: pushed harder still
    harder = chain(0.0, state(deeper), None, None).reshape(-1, 3)
    assert float(harder[2, 0]) > float(rates[2, 0])


def test_bad_settings_are_named():
    with pytest.raises(ConfigError, match='rule "middel" is unknown'):
        BarChain(energy(), BarWorld.of(), rule="middel")
    with pytest.raises(ConfigError, match='group "order5" is unknown'):
        ESNN.create(_key, group="order5")
    with pytest.raises(ConfigError, match=r"mass is 0\.0; it must be above 0"):
        BarWorld.of(mass=0.0)
    with pytest.raises(ConfigError, match=r"drag is -1\.0; it must be at least 0"):
        BarWorld.of(drag=-1.0)
    with pytest.raises(ConfigError, match=r"gravity is .* two finite numbers"):
        BarWorld.of(gravity=(0.0, np.nan))
    with pytest.raises(ConfigError, match=r"margin is 0\.0; it must be above 0"):
        BarWorld.of(margin=0.0)
    with pytest.raises(ShapeError, match="the state has 16 entries; a chain of C bars"):
        BarChain(energy(), BarWorld.of())(0.0, jnp.zeros(16), None, None)
    with pytest.raises(ShapeError, match="expected \\(6,\\): the accelerations"):
        BarChain(energy(), BarWorld.of())(0.0, state(shape()), jnp.zeros(2), None)
    with pytest.raises(ShapeError, match="has 0 entries; this energy takes 2"):
        ESNN.create(_key, eta=2, width=2, depth=1)(jnp.zeros(6))
    with pytest.raises(ShapeError, match="has 1 entries; this energy takes 0"):
        energy()(jnp.zeros(6), jnp.zeros(1))
    with pytest.raises(ConfigError, match="rising needs the square"):
        ShortcutNet(6, rising=True, squared=False, key=_key)
    with pytest.raises(ConfigError, match='activation "tan" is unknown'):
        ShortcutNet(6, activation="tan", key=_key)


def test_a_path_starts_where_it_is_told_and_a_rest_does_not_move():
    e = ElasticBars(jnp.log(jnp.asarray([65.0, 150.0, 0.08])), 0.0)
    chain = BarChain(e, BarWorld.of(), True, False)
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.005 * np.arange(BARS)
    still = bar_rest(chain, u)
    assert still[0].tolist() == u[0].tolist()
    assert still[-1, 1] < -0.002
    ts = np.arange(0.0, 0.1, 0.01)
    path = bar_path(chain, ts, still, dtype=np.float64)
    assert np.abs(path.u - still[None]).max() < 1e-6
    assert path.good
    assert np.ptp(path.total) < 1e-9
    fall = bar_path(chain, ts, u)
    np.testing.assert_allclose(fall.u[0], u, atol=1e-8)
    assert fall.u[-1, -1, 1] < -1e-3


def test_an_end_that_is_moved_goes_where_its_acceleration_says():
    e = ElasticBars(jnp.log(jnp.asarray([65.0, 150.0, 0.08])), 0.0)
    chain = BarChain(e, BarWorld.of())
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.005 * np.arange(BARS)
    ts = np.arange(0.0, 0.51, 0.01)
    w = 2.0 * np.pi * 2.0
    ends = np.zeros((len(ts), 6))
    ends[:, 4] = 0.5 * 0.03 * w**2 * np.cos(w * ts)
    path = bar_path(chain, ts, u, ends=ends, dtype=np.float64)
    lifted = 0.5 * 0.03 * (1.0 - np.cos(w * ts))
    np.testing.assert_allclose(path.u[:, -1, 1], lifted, atol=1e-5)
    np.testing.assert_array_equal(path.u[:, 0], np.broadcast_to(u[0], (len(ts), 3)))
    with pytest.raises(ShapeError, match=r"ends have shape \(3, 6\)"):
        bar_path(chain, ts, u, ends=ends[:3])
    with pytest.raises(ShapeError, match="at least two that increase"):
        bar_path(chain, ts[::-1], u)
    with pytest.raises(ConfigError, match="substeps is 0"):
        bar_path(chain, ts, u, substeps=0)
    with pytest.raises(ShapeError, match="of at least 3 bars"):
        bar_path(chain, ts, u[:2])
    with pytest.raises(ShapeError, match="finite numbers"):
        bar_path(chain, ts, u, ends=np.where(ends > 0.0, np.nan, ends))
    with pytest.raises(ShapeError, match="of at least 3 bars"):  # not the first number
        bar_rest(chain, u.ravel())


def test_times_far_apart_are_reached_by_the_same_steps():
    law = ElasticBars(jnp.log(jnp.array([65.0, 170.0, 0.08])), 0.0)
    u = np.zeros((BARS, 3))
    u[:, 0] = 0.005 * np.arange(BARS)
    chain, ts = BarChain(law, BarWorld.of()), 0.01 * np.arange(61)
    fine = bar_path(chain, ts, u, dtype=np.float64)
    wide = bar_path(chain, ts[::10], u, dtype=np.float64)
    assert wide.good
    # the steps are 2 ms in both; only their times differ, by rounding
    np.testing.assert_allclose(wide.u, fine.u[::10], atol=1e-9)
