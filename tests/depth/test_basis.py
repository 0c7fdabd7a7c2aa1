"""Bases, projections between them, and where stages lie."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError
from pendula._precision import precision
from pendula.depth import (
    DenseUnit,
    Evolved,
    OdeBlock,
    PiecewiseConstant,
    Place,
    interpolate,
    make_basis,
    project,
)
from pendula.depth._block import changed
from pendula.depth._places import halved, knots, lengths, locate, stage_places


SIZES = {
    "piecewise_constant": 5,
    "linear": 4,
    "piecewise_linear": 6,
    "polynomial": 3,
}
FINE = [Place(Fraction(k, 60), False) for k in range(60)]


def test_each_euler_step_finds_its_own_cell():
    """In every M up to 50, also where k (1 / M) M is below k in floats."""
    for number in range(1, 51):
        ends = knots((1,) * number)
        places = stage_places((0.0, 0.5, 1.0), (1,) * number)
        for k, row in enumerate(places):
            assert [locate(p, ends) for p in row] == [
                (k, Fraction(0)),
                (k, Fraction(1, 2)),
                (k, Fraction(1)),
            ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5),
    st.lists(st.integers(1, 4), min_size=5, max_size=5),
)
def test_steps_within_a_cell_stay_in_it(parts, cuts):
    """Whatever rounding sums of their lengths have: some lie a bit before where their
    cell begins, or end a bit after where it ends."""
    total = sum(parts)
    cells = [part / total for part in parts]
    counts = cuts[: len(cells)]
    steps = [v / n for v, n in zip(cells, counts, strict=True) for _ in range(n)]
    wanted = [cell for cell, n in enumerate(counts) for _ in range(n)]
    ends = knots(lengths(cells, "cells"))
    places = stage_places((0.0, 0.5, 1.0), lengths(steps, "n_steps"))
    for j in range(3):
        assert [locate(row[j], ends)[0] for row in places] == wanted


def test_a_length_near_a_simple_fraction_is_not_that_fraction():
    assert lengths([0.5 + 3e-7, 0.5 - 3e-7], "steps") != (1, 1)
    assert lengths([3e-7, 1.0 - 3e-7], "steps")[0] > 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.integers(0, 5),
)
def test_cutting_keeps_the_total(whole, which):
    cut = halved(whole, [which])
    ends = knots(whole)
    assert set(ends) <= set(knots(cut))
    assert len(cut) == len(whole) + (which < len(whole))


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("other", SIZES)
def test_a_projection_is_the_nearest_function(name, other):
    """The rest is orthogonal to the new basis: by a fine sum over depth."""
    with precision(np.float64):
        rng = np.random.default_rng(1)
        old, new = make_basis(name, SIZES[name]), make_basis(other, SIZES[other] - 2)
        before = jnp.asarray(rng.normal(size=SIZES[name]))
        after = project(before, old, new)
        at = [Place(Fraction(2 * k + 1, 4800), False) for k in range(2400)]
        rest = old.matrix(at) @ before - new.matrix(at) @ after
        inner = new.matrix(at).T @ rest / len(at)
    assert_allclose(inner, 0.0, atol=1e-6)


@pytest.mark.parametrize("name", SIZES)
def test_projection_on_the_same_basis_changes_nothing(name):
    basis = make_basis(name, SIZES[name])
    values = jnp.arange(float(SIZES[name])) ** 2
    same = make_basis(name, SIZES[name])
    assert project(values, basis, same) is values
    assert_allclose(interpolate(values, basis, same), values, rtol=1e-5)
    finer, more = basis.refine(values)
    assert_allclose(project(more, finer, basis), values, atol=1e-5)


@pytest.mark.parametrize("name", SIZES)
def test_projection_on_an_equal_basis_changes_nothing(name):
    """In every M up to 50. The lengths of its cells are twice as large, so that it
    counts as another and the integrals are solved."""
    with precision(np.float64):
        for number in range(1, 51):
            if name == "piecewise_linear" and number % 2:
                continue
            basis = make_basis(name, number)
            other = changed(basis, cells=tuple(2 * v for v in basis.cells))
            values = jnp.asarray(np.random.default_rng(number).normal(size=number))
            assert other != basis
            assert_allclose(project(values, basis, other), values, atol=1e-12)


def test_sixteen_constants_become_means_of_pairs():
    with precision(np.float64):
        values = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)))
        old, new = (make_basis("piecewise_constant", n) for n in (16, 8))
        found = np.asarray(project(values, old, new))
        wanted = np.asarray(values).reshape(8, 2, 3).mean(1)
    assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["piecewise_constant", "linear", "piecewise_linear"])
def test_one_cell_is_cut_and_the_function_stays(name):
    with precision(np.float64):
        basis = make_basis(name, SIZES[name])
        values = jnp.arange(float(SIZES[name])) ** 2
        finer, more = basis.cut(values, [1])
        assert len(finer.cells) == len(basis.cells) + 1
        found, wanted = finer.values(more, FINE), basis.values(values, FINE)
    assert_allclose(found, wanted, rtol=1e-14)


def test_constants_are_picked_to_the_bit():
    basis = PiecewiseConstant.of(3)
    values = jnp.asarray([[0.1], [0.7], [1e-30]])
    at = [Place(Fraction(k, 6), False) for k in range(6)]
    assert_array_equal(basis.values(values, at), jnp.repeat(values, 2, 0))


def test_an_evolved_basis_is_the_flow_of_its_equation(key):
    """Linear decay to a drive: in closed form; and a drive of zero stays at rest."""
    with precision(np.float64):
        basis = Evolved.of(2, key=key)
        start = jnp.asarray([[1.0, -2.0], [0.5, 0.25]])
        at = [Place(Fraction(k, 4), False) for k in range(4)]
        found = basis.values(start, at)
        times = jnp.asarray([[0.0], [0.25], [0.5], [0.75]])
        wanted = start[:1] + times * start[1:]
        assert_allclose(found, wanted, rtol=1e-12)
        rate = lambda net: jax.tree.map(jnp.ones_like, net)
        moved = Evolved((1,), rate(basis.net))
        values = moved.values(start, at)
        assert not np.allclose(values, wanted)
        halves = moved.values(start, [Place(Fraction(1, 2), False)])
        assert_allclose(halves[0], values[2], rtol=1e-6)
        # one function, wherever else it is asked for
        thirds = [Place(Fraction(k, 3), False) for k in range(3)]
        some = moved.values(start, [*at, *thirds])
        assert_array_equal(some[:4], values)
        assert_allclose(moved.values(start, thirds[2:])[0], some[-1], rtol=1e-15)


def test_an_evolved_basis_is_drawn_from_the_key_of_its_block(key):
    unit = DenseUnit(1, 1, key=key)
    blocks = [
        OdeBlock(unit, "evolved", 2, key=k)
        for k in (jax.random.key(1), jax.random.key(2), jax.random.key(1))
    ]
    first, second, again = (block.basis.net.weight_in for block in blocks)
    assert not np.allclose(first, second)
    assert_array_equal(first, again)
    own = Evolved.of(2, key=key)
    kept = OdeBlock(unit, own, key=key).basis.net
    assert_array_equal(kept.weight_in, own.net.weight_in)


def test_an_evolved_basis_is_not_refined():
    with pytest.raises(ConfigError, match="cannot be refined"):
        Evolved.of().refine(jnp.ones(2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("linear", 0), "at least 1"),
        (("piecewise_linear", 3), "must be even"),
        (("polynomial", 3, [0.5, 0.5]), "no cells"),
        (("linear", 4, [0.5, 0.5]), "one length a cell"),
        (("piecewise_constant", 2, [0.5, 0.4]), "sum to 1"),
        (("linear",), "n_basis is missing"),
        (("piecewise_constnat", 2), "piecewise_constant"),
        ((PiecewiseConstant.of(2), 3), "has 2 coefficients"),
        ((PiecewiseConstant.of(2), None, [0.5, 0.5]), "cells of its own"),
        (("evolved", 3), "n_basis is 3; it must be 2"),
        (("evolved", 2, [1.0]), "without cells"),
    ],
)
def test_bases_that_cannot_be(settings, words):
    with pytest.raises(ConfigError, match=words):
        make_basis(*settings)


@pytest.mark.parametrize("given", [2.0, jnp.float32(2.0), "2"])
def test_a_number_of_steps_is_whole(given):
    with pytest.raises(ConfigError, match=r"n_steps is .*2.* a whole number"):
        lengths(given, "n_steps")


def test_lengths_of_floats_are_fractions():
    for kind in (np.int64, jnp.asarray):
        assert lengths(kind(2), "steps") == (1, 1)
    for kind in (np.float32, jnp.asarray):
        assert lengths(kind([0.25, 0.75]), "steps") == (1, 3)
    assert lengths([Fraction(1, 3), Fraction(2, 3)], "steps") == (1, 2)
    with pytest.raises(ConfigError, match=r"nan.* must be positive"):
        lengths([0.5, float("nan")], "steps")
    for kind in (list, np.asarray, jnp.asarray):
        assert lengths(kind([0.1, 0.2, 0.7]), "steps") == (1, 2, 7)
        assert lengths(kind([2 / 7, 5 / 7]), "steps") == (2, 5)
    with pytest.raises(ConfigError, match="sum to 1"):
        lengths([0.5, -0.5, 1.0], "steps")
