"""A thousand double pendulums for 100 steps of RK4: the mass matrix by the elimination
written out in `pendula.dynamics._lagrangian`, and by LAPACK (`jnp.linalg.solve`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula.dynamics import Lagrangian, Links, SecondOrder, _lagrangian
from pendula.solve import rollout_steps


NUM, STEPS = 1000, 100
OURS = _lagrangian.solve_positive
WAYS = {"written_out": OURS, "lapack": jnp.linalg.solve}


def program(solve, monkeypatch):
    """The compiled rollouts, called once."""
    monkeypatch.setattr(_lagrangian, "solve_positive", solve)
    field = SecondOrder(Lagrangian(Links(2, g1=19.62, g2=9.81), (), 2), 2)
    dts = jnp.full(STEPS, 0.01)

    @jax.jit
    def run(y0):
        return jax.vmap(lambda y: rollout_steps(field, y, jnp.zeros(()), dts).ys)(y0)

    starts = jnp.asarray(np.random.default_rng(0).normal(size=(NUM, 4)), jnp.float32)
    return lambda: jax.block_until_ready(run(starts))


@pytest.mark.parametrize("way", WAYS)
def test_solving_for_the_accelerations(benchmark, monkeypatch, way):
    run = program(WAYS[way], monkeypatch)
    run()
    found = benchmark(run)
    # float32, two ways to round: 100 steps later still the same motion
    assert_allclose(found, program(OURS, monkeypatch)(), atol=2e-3)
