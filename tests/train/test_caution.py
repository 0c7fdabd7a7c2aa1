"""A training that gets worse goes back and takes half the step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.testing import assert_allclose

from pendula.train import (
    Cautious,
    KeepBest,
    TrainState,
    finish,
    gradient_step,
    halvable,
    halvings,
    init_opt,
    run,
)


def descent(loss, rate, steps, start=1.0, rows=None):
    """Gradient descent on a function of one number, looked at after every step."""
    transform = halvable(optax.sgd(rate))
    step = gradient_step(lambda x, batch, key: loss(x), transform)
    x = jnp.asarray(start)
    state = TrainState.start(x, init_opt(transform, x), jax.random.key(0))

    class Look(Cautious):
        def __call__(self, state, row):
            state = super().__call__(state, row)
            if rows is not None:
                rows.append((float(state.params), row["halvings"]))
            return state

    return run(
        step, state, None, [KeepBest(loss), Look()], num_steps=steps, log_every=1
    )


def test_a_rising_loss_brings_the_best_back_and_halves_the_step():
    """x^2 at a rate of 1.2: each step multiplies x by -1.4. After 5 rises x is back
    where it was best, and at 0.6 the factor is -0.2."""
    rows = []
    state, reason = descent(lambda x: x**2, 1.2, 8, rows=rows)
    # the first check is the best there is: it is no rise
    assert [h for _, h in rows] == [0, 0, 0, 0, 0, 1, 1, 1]
    assert_allclose(rows[4][0], (-1.4) ** 5, rtol=1e-5)
    assert_allclose(rows[5][0], -1.4, rtol=1e-5)
    assert_allclose(rows[6][0], 0.28, rtol=1e-5)
    assert reason == "done"
    assert halvings(state) == 1
    assert abs(float(finish(state))) < 0.1


def test_a_loss_that_is_not_finite_is_left_the_same_way():
    """The root of x has no value below 0: too large a step leads there, and back."""
    loss = lambda x: (jnp.sqrt(x) - 0.2) ** 2
    state, reason = descent(loss, 3.0, 40)
    assert reason == "done"
    assert halvings(state) >= 1
    assert np.isfinite(float(finish(state)))
    assert float(loss(finish(state))) < 0.01 < float(loss(jnp.asarray(1.0)))


def test_a_falling_loss_is_left_alone():
    state, _ = descent(lambda x: x**2, 0.1, 20)
    assert halvings(state) == 0
    assert_allclose(float(state.params), 0.8**20, rtol=1e-5)
