"""What a network sees of a point: maps, exact periods, random waves, bad input."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from jax.experimental.jet import jet

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula._tree import reinitialise, split_trainable
from pendula.solutions._embedding import Axis, Embedding, FourierFeatures, Frequencies


run = eqx.filter_jit(lambda see, points: see(points))


def column(*values):
    return jnp.asarray(values)[:, None]


@settings(max_examples=20, deadline=None)
@given(
    lo=st.floats(-1e3, 1e3),
    length=st.floats(1e-3, 1e3),
    share=st.floats(0.0, 1.0),
)
def test_an_interval_is_mapped_to_minus_one_and_one(lo, length, share):
    hi = lo + length
    with precision(np.float64):
        points = column(lo, lo + share * (hi - lo), hi)
        found = run(Embedding((Axis(lo, hi),)), points)
    # the rounding of lo + share (hi - lo), in units of half the length
    tol = 8.0 * np.finfo(float).eps * (1.0 + (abs(lo) + abs(hi)) / length)
    np.testing.assert_allclose(found[:, 0], [-1.0, 2.0 * share - 1.0, 1.0], atol=tol)


def test_the_unit_interval_is_left_as_it_is():
    x = column(-1.0, -0.3, 0.1, 5.0)
    np.testing.assert_array_equal(Embedding((Axis(-1, 1),))(x), x)


def test_columns_in_order_of_the_coordinates():
    axes = (Axis(0.0, 2.0), Axis(1.0, 4.0, periodic=True, harmonics=3), Axis(0.0, 1.0))
    see = Embedding(axes)
    assert (see.coords, see.size) == (3, 8)
    assert see.size == sum(axis.outputs for axis in axes)
    points = np.random.default_rng(0).uniform(1.0, 2.0, (5, 3)).astype(np.float32)
    x, y, z = points.T
    angle = 2.0 * np.pi * np.outer(y, [1, 2, 3]) / 3.0
    want = np.c_[x - 1.0, np.cos(angle), np.sin(angle), 2.0 * z - 1.0]
    # float32: an angle of up to 13 is rounded to 1e-6
    np.testing.assert_allclose(run(see, jnp.asarray(points)), want, atol=4e-6)


def test_all_derivatives_are_periodic():
    """Orders 0 to 4 at both ends of a periodic axis."""
    with precision(np.float64):
        see = Embedding((Axis(-0.7, 1.6, periodic=True, harmonics=4),))
        x = column(-0.7, 1.6)
        series = [jnp.ones_like(x)] + [jnp.zeros_like(x)] * 3
        value, terms = jax.jit(lambda x: jet(see, (x,), (series,)))(x)
        for k, found in enumerate([value, *terms]):
            size = (2.0 * np.pi * 4 / 2.3) ** k
            np.testing.assert_allclose(found[0], found[1], atol=1e-13 * size)
        # the fourth derivative of a wave is the wave itself, times the fourth power
        power = (2.0 * np.pi * np.arange(1, 5) / 2.3) ** 4
        want = np.asarray(value) * np.tile(power, 2)[None, :]
        np.testing.assert_allclose(terms[3], want, rtol=1e-11)


def test_a_trained_period_tells_the_ends_apart_and_is_trained():
    with precision(np.float64):
        axes = (Axis(0.0, 1.0, periodic=True), Axis(0.0, 0.5, trainable_period=True))
        see = Embedding(axes)
        np.testing.assert_allclose(see.periods, [1.0, 1.0])  # the second: 2 (hi - lo)
        ends = np.asarray(run(see, jnp.asarray([[0.2, 0.0], [0.2, 0.5]])))[:, 2:]
        np.testing.assert_allclose(ends, [[1.0, 0.0], [-1.0, 0.0]], atol=1e-15)
        params, rest = split_trainable(see)
        assert [x.shape for x in jax.tree.leaves(params)] == [(1,)]
        t = 0.3
        point = jnp.asarray([[0.2, t]])
        value = lambda p: eqx.combine(p, rest)(point)[0, 2]
        grad = jax.jit(jax.grad(value))(params)
        # d/d log P of cos(2 pi t / P) at P = 1
        want = 2.0 * math.pi * t * math.sin(2.0 * math.pi * t)
        np.testing.assert_allclose(grad.log_period, [want], rtol=1e-13)
        moved = eqx.tree_at(lambda s: s.log_period, see, jnp.log(jnp.asarray([3.0])))
        np.testing.assert_allclose(moved.periods, [1.0, 3.0])
        np.testing.assert_allclose(moved.over(axes).periods, [1.0, 3.0])
        again = reinitialise(moved, jax.random.key(0))
        np.testing.assert_array_equal(again.periods, see.periods)


def test_periods_by_default_and_given():
    assert Axis(1.0, 4.0, periodic=True).start_period == 3.0
    assert Axis(1.0, 4.0, periodic=True, trainable_period=True).start_period == 3.0
    assert Axis(1.0, 4.0, trainable_period=True).start_period == 6.0
    assert Axis(1.0, 4.0, trainable_period=True, period=5.0).start_period == 5.0
    assert Axis(1.0, 4.0, harmonics=7).waves == 0


def test_random_waves(key):
    waves = FourierFeatures(3, 4000, 5.0, key=key)
    z = jax.random.uniform(key, (6, 3), minval=-1.0)
    found = np.asarray(run(waves, z))
    angles = np.asarray(z, np.float64) @ np.asarray(waves.matrix, np.float64).T
    want = np.c_[np.cos(angles), np.sin(angles)]
    np.testing.assert_allclose(found, want, atol=2e-5)  # float32 angles of up to 30
    # 6000 draws: their mean square is s^2 with a relative deviation of sqrt(2 / 6000)
    spread = float(np.mean(np.asarray(waves.matrix) ** 2)) / 25.0 - 1.0
    assert abs(spread) < 4.0 * math.sqrt(2.0 / 6000)
    # their kernel is the Gaussian exp(-s^2 |z - z'|^2 / 2), up to 1 / sqrt(waves)
    near = z.at[:, 0].add(0.2)
    kernel = np.sum(found * np.asarray(run(waves, near)), axis=1) / 2000
    np.testing.assert_allclose(kernel, math.exp(-0.5), atol=4.0 / math.sqrt(2000))


@pytest.mark.parametrize("trained", [False, True])
def test_frequencies_are_trained_only_where_asked(trained, key):
    axes = (Axis(0.0, 1.0), Axis(0.0, 1.0, periodic=True, harmonics=2))
    see = Embedding(axes, fourier=10, fourier_scale=2.0, train_fourier=trained, key=key)
    assert (see.size, see.fourier.matrix.shape) == (10, (5, 5))
    assert isinstance(see.fourier.frequencies, Frequencies) != trained
    shapes = [x.shape for x in jax.tree.leaves(split_trainable(see)[0])]
    assert shapes == ([(5, 5)] if trained else [])
    again = reinitialise(see, jax.random.key(7))
    assert jax.tree.structure(again) == jax.tree.structure(see)
    assert not np.any(again.fourier.matrix == see.fourier.matrix)
    assert float(again.fourier.scale.value) == 2.0


def test_another_box_runs_the_same_program(key):
    box = lambda a, b: (Axis(a, b), Axis(0.0, 2.0, periodic=True))
    see = Embedding(box(0.0, 1.0), fourier=4, key=key)

    @eqx.filter_jit
    @eqx.debug.assert_max_traces(max_traces=1)
    def run(see, points):
        return see(points)

    point = jnp.asarray([[0.25, 0.5]])
    first = run(see, point)
    shift = jnp.asarray([[2.0, 0.0]])
    np.testing.assert_array_equal(run(see.over(box(2.0, 3.0)), point + shift), first)
    assert np.any(run(see.over(box(0.0, 0.5)), point) != first)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_have_the_precision_of_the_scope(dtype, key):
    """Without running anything."""
    axes = (Axis(0, 1), Axis(0.0, 1.0, trainable_period=True))
    with precision(dtype):
        draw = lambda: Embedding(axes, fourier=4, key=key)
        values = lambda: draw()(jnp.zeros((3, 2)))
        arrays = jax.tree.leaves(eqx.filter_eval_shape(lambda: (draw(), values())))
        arrays = [x for x in arrays if hasattr(x, "dtype")]
        assert {x.dtype for x in arrays} == {np.dtype(dtype)}
        assert not any(x.weak_type for x in arrays)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Axis(1.0, 1.0), "lo < hi"),
        (lambda: Axis(0.0, math.inf), "finite"),
        (lambda: Axis(math.nan, 1.0), "finite"),
        (lambda: Axis(0.0, 1.0, periodic=True, harmonics=0), "at least 1"),
        (lambda: Axis(0.0, 1.0, period=2.0), "not periodic"),
        (lambda: Axis(0.0, 1.0, periodic=True, period=-2.0), "positive"),
        (lambda: Embedding(()), "no axes"),
        (lambda: Embedding((Axis(0.0, 1.0),), fourier=4), "need a key"),
        (lambda: FourierFeatures(1, 5, key=jax.random.key(0)), "even"),
        (lambda: FourierFeatures(1, 0, key=jax.random.key(0)), "even"),
        (lambda: FourierFeatures(1, 4, 0.0, key=jax.random.key(0)), "positive"),
        (
            lambda: Embedding((Axis(0.0, 1.0),)).over((Axis(0.0, 1.0, periodic=True),)),
            "another kind",
        ),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
