"""Jets: all partial derivatives against slopes of slopes, polynomials, compilation."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula.solutions._derivatives import (
    MAX_ORDER,
    along,
    derivatives,
    name_of,
    orders_of,
)


def every(dim, most=MAX_ORDER):
    grid = itertools.product(range(most + 1), repeat=dim)
    return [orders for orders in grid if sum(orders) <= most]


def slopes_of_slopes(function, orders):
    """One point, one number: `jax.grad` again and again."""
    for axis, count in enumerate(orders):
        for _ in range(count):
            function = _slope(function, axis)
    return function


def _slope(function, axis):
    return lambda p: jax.grad(function)(p)[axis]


def rough(p):
    """Primitives of networks and closed forms: where, exp, pow, tanh, division."""
    total = p @ jnp.arange(1.0, p.shape[-1] + 1.0)
    bent = jnp.where(total > 1.5, jnp.exp(-0.3 * total), total**2 - 0.2 * total)
    root = (1.0 + jnp.sum(p * p, axis=-1)) ** 1.5
    return jnp.tanh(bent) * jnp.sin(total) + root / (2.0 + jnp.cos(p[..., 0]))


@pytest.mark.parametrize("dim", [2, 3])
def test_jets_are_slopes_of_slopes(dim):
    plane = [(0, 0), (1, 0), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4)]
    space = [(1, 1, 1), (2, 1, 1), (0, 2, 2), (1, 0, 3), (0, 0, 1)]
    wanted = plane if dim == 2 else space
    points = np.random.default_rng(dim).uniform(0.0, 1.0, (5, dim))
    with precision(np.float64):
        at = jnp.asarray(points)
        found = jax.jit(lambda p: derivatives(rough, p, wanted))(at)
        assert set(found) == set(wanted)
        direct = jax.jit(
            lambda p: {k: jax.vmap(slopes_of_slopes(rough, k))(p) for k in wanted}
        )(at)
        for orders in wanted:
            np.testing.assert_allclose(
                found[orders], direct[orders], rtol=1e-10, atol=1e-10, err_msg=orders
            )


def test_mixed_fourth_orders_in_three_coordinates():
    """Of a product of exponentials all of them are known."""
    rates = np.asarray([0.7, -1.1, 0.4])
    wanted = [k for k in every(3) if sum(k) == 4]
    points = np.random.default_rng(0).normal(size=(4, 3))
    with precision(np.float64):
        f = lambda p: jnp.exp(p @ jnp.asarray(rates))
        found = jax.jit(lambda p: derivatives(f, p, wanted))(jnp.asarray(points))
        for orders in wanted:
            want = np.prod(rates ** np.asarray(orders)) * np.exp(points @ rates)
            np.testing.assert_allclose(found[orders], want, rtol=1e-12)


@functools.cache
def compiled(dim):
    """Derivatives of a polynomial with these powers, one program."""
    powers = np.asarray(every(dim), np.int64)

    def polynomial(c, p):
        terms = jnp.ones((p.shape[0], len(powers)), p.dtype)
        for k in range(dim):
            column = p[:, k : k + 1]
            table = [jnp.ones_like(column)]
            for _ in range(MAX_ORDER):
                table.append(table[-1] * column)
            terms = terms * jnp.concatenate(table, axis=1)[:, powers[:, k]]
        return terms @ c

    run = jax.jit(lambda c, p: derivatives(lambda q: polynomial(c, q), p, every(dim)))
    return powers, run


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(-9, 9), min_size=15, max_size=15),
    st.lists(st.integers(-3, 3), min_size=4, max_size=4),
)
def test_polynomials_are_exact(coefficients, flat):
    with precision(np.float64):
        powers, run = compiled(2)
        points = np.asarray(flat, np.float64).reshape(2, 2)
        found = run(jnp.asarray(coefficients, jnp.float64), jnp.asarray(points))
        for orders, value in found.items():
            want, size = np.zeros(2), 1.0
            for c, power in zip(coefficients, powers, strict=True):
                if (power < orders).any():
                    continue
                pairs = zip(power, orders, strict=True)
                factor = c * math.prod(math.perm(int(n), int(k)) for n, k in pairs)
                term = factor * np.prod(points ** (power - np.asarray(orders)), axis=1)
                want, size = want + term, max(size, float(np.abs(term).max()))
            # Taylor's coefficients are divided by factorials and multiplied again
            np.testing.assert_allclose(value, want, atol=1e-13 * size)


def test_several_outputs_keep_their_shape():
    f = lambda p: jnp.stack([p[:, 0] ** 2 * p[:, 1], p[:, 1] ** 3], axis=1)
    found = derivatives(
        f, jnp.asarray([[2.0, 3.0], [1.0, -1.0]]), [(0, 0), (2, 1), (0, 2)]
    )
    np.testing.assert_allclose(found[2, 1], [[2.0, 0.0], [2.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found[0, 2], [[0.0, 18.0], [0.0, -6.0]], rtol=1e-6)
    assert found[0, 0].shape == (2, 2)


@pytest.mark.parametrize("name", ["erfinv", "clip", "sinc"])
def test_what_has_no_rule_for_jets_falls_back(name):
    """`erfinv` has a slope, but no Taylor rule; those of the others fail."""
    functions = {
        "erfinv": lambda x: jax.scipy.special.erfinv(0.5 * x),
        "clip": lambda x: jnp.clip(x, 0.0, 0.5) ** 2,
        "sinc": jnp.sinc,
    }
    f = lambda p: functions[name](p[:, 0])
    with precision(np.float64):
        points = jnp.asarray([[0.3], [0.8]])
        series = along(f, points, 0, 3)
        direct = [
            jax.vmap(slopes_of_slopes(lambda q: f(q[None])[0], (k,)))(points)
            for k in range(4)
        ]
        for one, other in zip(series, direct, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10)


def test_one_program_for_all_points_of_a_shape():
    traces = []

    @jax.jit
    def run(p):
        traces.append(1)
        return derivatives(rough, p, [(2, 0), (0, 1)])

    first = run(jnp.ones((4, 2)))
    run(jnp.zeros((4, 2)))
    assert len(traces) == 1
    eager = derivatives(rough, jnp.ones((4, 2)), [(2, 0), (0, 1)])
    for orders in eager:
        np.testing.assert_allclose(first[orders], eager[orders], rtol=1e-4)


def test_gradients_pass_through_jets():
    """Training differentiates derivatives: d/da of (sin a x)_xx at x = 1."""
    with precision(np.float64):
        loss = lambda a: derivatives(
            lambda p: jnp.sin(a * p[:, 0]), jnp.ones((1, 1)), [(2,)]
        )[(2,)][0]
        a = 0.7
        want = -2.0 * a * math.sin(a) - a * a * math.cos(a)
        np.testing.assert_allclose(jax.grad(loss)(a), want, rtol=1e-12)


def test_names():
    assert orders_of("xxt", ("x", "t")) == (2, 1)
    assert orders_of("", ("x", "t")) == (0, 0)
    assert name_of((2, 1), ("x", "t")) == "xxt"
    with pytest.raises(ConfigError, match='"z" is no coordinate'):
        orders_of("xz", ("x", "t"))
    with pytest.raises(ConfigError, match="order 5"):
        orders_of("xxxtt", ("x", "t"))
    assert derivatives(rough, jnp.ones((1, 2)), []) == {}
