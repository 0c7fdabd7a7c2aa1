"""Meta-gradients against closed forms and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from pendula.train import (
    LearnedSteps,
    TrainState,
    first_order,
    gradient_step,
    implicit,
    init_opt,
    inner_descent,
    mean_loss,
    run,
    second_order,
)


N = 3  # instances
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def loss(theta, eta, item):
    """A small nonlinear family: predictions tanh(W x + eta . v(x))."""
    w, v = theta["w"], theta["v"]
    x, y = item
    out = jnp.tanh(x @ w) + (x**2) @ v @ eta
    return jnp.mean((out - y) ** 2)


def problem(seed=0, points=12):
    rng = np.random.default_rng(seed)
    theta = {
        "w": jnp.asarray(rng.normal(size=2)),
        "v": jnp.asarray(rng.normal(size=(2, 2))),
    }
    draw = lambda: (
        jnp.asarray(rng.normal(size=(N, points, 2))),
        jnp.asarray(rng.normal(size=(N, points))),
    )
    return theta, jnp.asarray(rng.normal(size=2)), draw(), draw()


def flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def solve(theta, eta0, item, proximal=0.0):
    """The inner problem is linear in eta: exact normal equations."""
    x, y = item
    design = (x**2) @ theta["v"]
    rest = y - jnp.tanh(x @ theta["w"])
    scale = 2.0 / y.shape[0]
    h = scale * design.T @ design + proximal * jnp.eye(2)
    return jnp.linalg.solve(h, scale * design.T @ rest + proximal * eta0)


def test_first_order_is_exact_where_the_inner_problem_is_solved():
    """Envelope theorem: with query = support and lambda = 0 the gradient of the solved
    problem is the first-order one (claim families.first_order_exact)."""
    theta, eta0, items, _ = problem()
    whole = lambda th: jnp.mean(
        jax.vmap(lambda item: loss(th, solve(th, eta0, item), item))(items)
    )
    exact = jax.grad(whole)(theta)
    estimator = implicit(loss, solve, 0.0)
    _, (through, _) = estimator(mean_loss(loss), (theta, eta0), (items, items), KEY)
    assert_allclose(flat(through), flat(exact), rtol=1e-9, atol=1e-12)
    direct = jax.vmap(
        lambda item: jax.grad(loss)(theta, solve(theta, eta0, item), item)
    )(items)
    mean = jax.tree.map(lambda g: g.mean(0), direct)
    assert_allclose(flat(mean), flat(exact), rtol=1e-6, atol=1e-9)


def test_first_order_of_many_inner_steps_comes_to_the_exact_gradient():
    theta, eta0, items, _ = problem(1)
    whole = lambda th: jnp.mean(
        jax.vmap(lambda item: loss(th, solve(th, eta0, item), item))(items)
    )
    exact = flat(jax.grad(whole)(theta))
    off = []
    for steps in (5, 50, 3000):
        _, (got, _) = first_order(loss, steps, 0.05)(
            mean_loss(loss), (theta, eta0), items, KEY
        )
        off.append(np.abs(flat(got) - exact).max())
    assert off[2] < 1e-6 < off[0]
    assert off[2] < off[1] < off[0]


def test_implicit_gradient_is_that_of_the_solved_problem():
    theta, eta0, support, query = problem(2)
    held = 0.3

    def whole(pair):
        one = lambda s, q: loss(pair[0], solve(pair[0], pair[1], s, held), q)
        return jnp.mean(jax.vmap(one)(support, query))

    exact = jax.grad(whole)((theta, eta0))
    estimator = implicit(loss, lambda *a: solve(*a, held), held)
    (value, _), got = estimator(mean_loss(loss), (theta, eta0), (support, query), KEY)
    assert_allclose(value, whole((theta, eta0)), rtol=1e-12)
    assert_allclose(flat(got), flat(exact), rtol=1e-9, atol=1e-12)


def test_second_order_differentiates_through_the_inner_steps():
    theta, eta0, support, query = problem(3)
    total = second_order(loss, 3, 0.1)
    pair = (theta, eta0)
    got = jax.grad(total)(pair, (support, query), KEY)
    direction = jax.tree.map(lambda x: jnp.ones_like(x), pair)
    at = lambda s: total(
        jax.tree.map(lambda p, d: p + s * d, pair, direction), (support, query), KEY
    )
    central = (at(1e-5) - at(-1e-5)) / 2e-5
    assert_allclose(np.sum(flat(got)), central, rtol=1e-7)


def test_weights_of_a_whole_model_adapt_on_a_quadratic():
    """Eta is a pytree of all weights and its steps are learned: on L = |w - a|^2_M / 2
    the descent, and the meta-gradients of first and of second order, in closed form."""
    rng = np.random.default_rng(6)
    a, b, w = (jnp.asarray(rng.normal(size=3)) for _ in range(3))
    m = jnp.asarray([0.5, 1.0, 2.0])
    quadratic = lambda _, tree, at: 0.5 * jnp.sum(m * (tree["w"] - at) ** 2)
    rate, steps = 0.3, 4
    theta = LearnedSteps.start({"w": w}, rate)
    move = lambda th, g: th(g)
    last, _ = inner_descent(quadratic, theta, {"w": w}, a, steps, move)
    keep = (1.0 - rate * m) ** steps
    assert_allclose(last["w"], a + keep * (w - a), rtol=1e-12)
    pull = m * (last["w"] - b)
    for hold, slope in ((False, keep), (True, jnp.ones(3))):
        total = second_order(quadratic, steps, move, hold=hold)
        got = jax.grad(total)((theta, {"w": w}), (a[None], b[None]), KEY)
        assert_allclose(got[1]["w"], slope * pull, rtol=1e-10)
        moved = keep * steps * rate * m / (1.0 - rate * m) * (a - w)
        if hold:  # slopes are constants: only the sum of the steps depends on r
            moved = last["w"] - w
        assert_allclose(got[0].logs[0], pull * moved, rtol=1e-9)


def test_learned_steps_always_go_downhill():
    rng = np.random.default_rng(7)
    weights = {"w": jnp.zeros((2, 4, 3)), "b": jnp.zeros(4)}
    steps = jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape)),
        LearnedSteps.start(weights, 0.1),
    )
    for _ in range(5):
        g = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), weights)
        assert np.sum(flat(g) * flat(steps(g))) > 0


def test_the_published_variant_sums_at_the_last_but_one_eta():
    theta, eta0, items, _ = problem(4)
    _, got = first_order(loss, 5, 0.1, late=True)(
        mean_loss(loss), (theta, eta0), items, KEY
    )
    total = None
    for i in range(N):
        item = jax.tree.map(lambda x, i=i: x[i], items)
        _, before = inner_descent(loss, theta, eta0, item, 5, 0.1)
        again, _ = inner_descent(loss, theta, eta0, item, 4, 0.1)
        assert_allclose(before, again, rtol=1e-12)
        g = jax.grad(loss, (0, 1))(theta, before, item)
        total = g if total is None else jax.tree.map(jnp.add, total, g)
    assert_allclose(flat(got), flat(total), rtol=1e-10)


def test_every_mode_steps_through_the_one_loop():
    """A joint step and a meta step lower their losses with the same machinery."""
    theta, eta0, items, _ = problem(5)
    adam = optax.adam(3e-2)
    for name, pair, step in (
        ("joint", (theta, jnp.zeros((N, 2))), gradient_step(mean_loss(loss), adam)),
        (
            "first",
            (theta, eta0),
            gradient_step(mean_loss(loss), adam, estimator=first_order(loss, 2, 0.05)),
        ),
    ):
        state = TrainState.start(pair, init_opt(adam, pair), jax.random.key(0))
        losses = []
        for _ in range(2):
            state, info = step(state, items)
            losses.append(float(info["loss"]))
        state, _ = run(step, state, items, num_steps=60)
        _, info = step(state, items)
        assert float(info["loss"]) < losses[0], name
