"""The loss of a window: rows, terms, what was there before, unknown numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from pendula._precision import precision
from pendula.solutions._blocks import equation, soft_blocks, with_times
from pendula.solutions._conditions import Dirichlet, Initial, Neumann, Periodic
from pendula.solutions._domain import Interval
from pendula.solutions._embedding import Axis
from pendula.solutions._form import hard_form
from pendula.solutions._networks import build
from pendula.solutions._objective import Trained, objective
from pendula.solutions._parts import Windows
from pendula.solutions._problem import Problem
from pendula.solutions._unknown import Unknown


SPACE = Interval(0, 1).nodes(5)
TIMES = np.asarray([0.25, 0.5])


def make_problem(**more):
    return Problem(
        lambda u, x, t, p: u.t + u() * u.x - p.k * u.xx,
        Interval(0, 1),
        (0.0, 1.0),
        [
            Initial(lambda x: jnp.sin(np.pi * x)),
            Dirichlet(0.0, on="x-"),
            Neumann(lambda x, t: t, on="x+", weight=2.0),
            Periodic("x", weight=0.5),
        ],
        {"k": 0.3, "c": Unknown("c", init=2.0), **more},
    )


def net(seed):
    axes = (Axis(0.0, 1.0), Axis(0.0, 1.0))
    return build("plain", axes, 1, width=4, depth=1, key=jax.random.key(seed))


def window(problem, windows, t0, length, weights=None, seed=0):
    """Blocks in physical times, a network."""
    times = t0 + length * TIMES
    blocks = [equation(problem, with_times(SPACE, times))]
    blocks += soft_blocks(problem, SPACE, times)
    return objective(problem, windows, blocks, net(seed), t0, length, weights)


@functools.cache
def first():
    with precision(np.float64):
        problem = make_problem()
        windows = Windows(hard_form(problem), [], 1.0)
        own, theta = window(problem, windows, 0.0, 0.5, [1.0, 3.0, 0.5])
    return problem, windows, own, theta


def test_the_loss_is_the_sum_of_squares_of_the_rows():
    _, _, own, theta = first()
    with precision(np.float64):
        rows, terms, loss = jax.jit(lambda o, t: (o.rows(t), o.terms(t), o.loss(t)))(
            own, theta
        )
        assert own.names() == ["equation", "neumann x+", "periodic x"]
        assert rows.shape == (10 + 2 + 2,)
        np.testing.assert_allclose(jnp.sum(rows**2), loss, rtol=1e-13)
        np.testing.assert_allclose(
            loss, np.asarray([1.0, 9.0, 0.25]) @ np.asarray(terms), rtol=1e-13
        )
        residuals = own.residuals(theta)
        for term, r in zip(terms, residuals, strict=True):
            np.testing.assert_allclose(term, np.mean(np.asarray(r) ** 2), rtol=1e-13)


def test_the_rows_are_those_of_the_solution():
    """Values and derivatives of closed form and network, put into the equation."""
    _, windows, own, theta = first()
    with precision(np.float64):
        residuals = [np.asarray(r)[:, 0] for r in own.residuals(theta)]
    whole = Windows(windows.form, [own.part(theta)], 1.0)
    points = with_times(SPACE, 0.5 * TIMES)
    v = whole.values(points, [(0, 0), (1, 0), (2, 0), (0, 1)])
    want = v[0, 1] + v[0, 0] * v[1, 0] - 0.3 * v[2, 0]
    np.testing.assert_allclose(residuals[0], want[:, 0], rtol=1e-10, atol=1e-12)
    ends = [with_times(np.asarray([[x]]), 0.5 * TIMES) for x in (0.0, 1.0)]
    slope = whole.values(ends[1], [(1, 0)])[1, 0][:, 0]
    np.testing.assert_allclose(residuals[1], 2.0 * (slope - 0.5 * TIMES), atol=1e-12)
    value = [whole.values(e, [(0, 0)])[0, 0][:, 0] for e in ends]
    np.testing.assert_allclose(residuals[2], 0.5 * (value[0] - value[1]), atol=1e-12)


def test_a_window_continues_the_one_before():
    problem, windows, own, theta = first()
    done = Windows(windows.form, [own.part(theta)], 1.0)
    with precision(np.float64):
        later, phi = window(problem, done, 0.5, 0.5, seed=1)
        residual = np.asarray(later.residuals(phi)[0])[:, 0]
    whole = Windows(windows.form, [own.part(theta), later.part(phi)], 1.0)
    points = with_times(SPACE, 0.5 + 0.5 * TIMES)
    v = whole.values(points, [(0, 0), (1, 0), (2, 0), (0, 1)])
    want = v[0, 1] + v[0, 0] * v[1, 0] - 0.3 * v[2, 0]
    np.testing.assert_allclose(residual, want[:, 0], rtol=1e-10, atol=1e-12)
    # the same shapes: one program for all windows
    assert jax.tree.structure(later) == jax.tree.structure(own)
    shapes = lambda tree: [np.shape(x) for x in jax.tree.leaves(tree)]
    assert shapes(later) == shapes(own)


def test_gradients_against_differences():
    _, _, own, theta = first()
    with precision(np.float64):
        flat, back = ravel_pytree(theta)
        loss = jax.jit(lambda z: own.loss(back(z)))
        slope = jax.jit(jax.grad(lambda z: own.loss(back(z))))(flat)
        assert np.isfinite(slope).all()
        direction = jnp.asarray(np.random.default_rng(0).normal(size=flat.shape))
        h = 1e-5
        up, down = (loss(flat + s * h * direction) for s in (1.0, -1.0))
        np.testing.assert_allclose(slope @ direction, (up - down) / (2 * h), rtol=1e-6)


def test_unknown_numbers_are_trained():
    problem = make_problem(k=Unknown("k", init=0.3, positive=True))
    with precision(np.float64):
        windows = Windows(hard_form(problem), [], 1.0)
        own, theta = window(problem, windows, 0.0, 0.5)
        assert theta.unknown.tolist() == [0.0, 0.0]
        found = own.parameters(jnp.asarray([1.0, -1.0]))
        values = {name: float(v) for name, v in found.items()}
        assert values == pytest.approx({"k": 0.3 * np.e, "c": 1.0})
        slope = jax.grad(lambda t: own.loss(t))(theta)
        assert slope.unknown[0] != 0.0
        assert slope.unknown[1] == 0.0  # c is in no equation
        _, _, known, at = first()
        same = Trained(at.net, theta.unknown)
        np.testing.assert_allclose(own.terms(same), known.terms(at), rtol=1e-12)


def test_everything_is_in_the_precision_of_the_training():
    problem = make_problem()
    with precision(np.float64):
        form = hard_form(problem)
    with precision(np.float32):
        own, theta = window(problem, Windows(form, [], 1.0), 0.0, 0.5)
        leaves = jax.tree.leaves((own, theta))
        assert {x.dtype for x in leaves if hasattr(x, "dtype")} == {
            np.dtype(np.float32)
        }
        assert own.loss(theta).dtype == jnp.float32
