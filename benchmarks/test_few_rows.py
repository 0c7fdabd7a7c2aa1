"""A Levenberg-Marquardt step of a family of three short records: a network of 1,200
weights, 306 residuals, free start states. Solved among the residuals
(`pendula.train.Rows`), and by normal equations of all pairs of weights."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula.nn import MLP
from pendula.train import (
    TrainState,
    chained_normal,
    levenberg_state,
    levenberg_step,
    released,
)


SYSTEMS, CLIPS, STEPS, DIM = 3, 17, 2, 2
WAYS = {"rows": True, "normal_equations": False}


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def program(few):
    """The compiled step, called once; it gives what the step comes to."""
    net = MLP(DIM + 1, DIM, width=32, depth=2, key=jax.random.key(0))
    params, static = eqx.partition(net, eqx.is_inexact_array)
    rng = np.random.default_rng(0)
    y0 = jnp.asarray(rng.normal(size=(SYSTEMS, CLIPS, DIM)))
    items = (y0, y0[:, :, None] * jnp.asarray([0.9, 0.8])[None, None, :, None])
    scale = jnp.ones(DIM)

    def move(p, eta, y, *_):
        return y + 0.1 * eqx.combine(p, static)(jnp.concatenate([y, eta]))

    def rows(p, y, item, s, k):
        return y - jnp.where(k < 0, item[0][s], item[1][s, k])

    def residual(p, local, item):
        eta, starts = released(local, item[0], scale)

        def one(y, goal):
            y = move(p, eta, y)
            return y, y - goal

        each = lambda y, goals: jax.lax.scan(one, y, goals)[1]
        off = jnp.ravel(jax.vmap(each)(starts, item[1]))
        return jnp.concatenate([jnp.ravel(starts - item[0]), off])

    step = levenberg_step(
        residual,
        lambda p: jnp.concatenate([jnp.ravel(w) for w in jax.tree.leaves(p)]),
        lambda items: jnp.asarray(items[1].size, jnp.float64),
        linearise=chained_normal(
            move, rows, lambda p, item: (item[0], scale), STEPS, free=True, held=few
        ),
        local_precision=1.0,
        separable_prior=True,
    )
    local = jnp.zeros((SYSTEMS, 1 + CLIPS * DIM))
    opt = levenberg_state(jnp.float64, variance=0.0)
    state = TrainState.start((params, local), opt, jax.random.key(1))

    def run():
        return float(jax.block_until_ready(step(state, items))[1]["objective"])

    return run


@pytest.mark.parametrize("way", WAYS)
def test_a_step_of_few_residuals(benchmark, way):
    run = program(WAYS[way])
    run()
    found = benchmark(run)
    assert_allclose(found, program(not WAYS[way])(), rtol=1e-6)
