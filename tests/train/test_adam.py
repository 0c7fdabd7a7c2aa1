"""First-order steps: what is not finite is not applied, members do not mix, scanned
updates are the updates."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula.train import (
    KeepBest,
    TrainState,
    adam_cosine,
    finish,
    gradient_step,
    init_opt,
    run,
)


TARGET = np.array([1.0, -2.0, 0.5], np.float32)
BATCH = jnp.asarray(TARGET)


def loss(params, batch, key):
    """A bowl with a narrow valley; NaN in the batch makes it NaN."""
    away = params["w"] - batch
    return jnp.sum(away**2) + 3.0 * (away[0] + away[1]) ** 2


def begin(transform, members=None, seed=0):
    shape = (3,) if members is None else (members, 3)
    params = {"w": jax.random.normal(jax.random.key(seed), shape)}
    return TrainState.start(
        params, init_opt(transform, params, members), jax.random.key(1), members
    )


@pytest.fixture(scope="module")
def single():
    transform = adam_cosine(0.1, 200)
    return gradient_step(loss, transform), begin(transform)


def test_a_bowl_is_descended_and_an_untrained_control_is_not_at_its_bottom(single):
    step, state = single
    end, reason = run(step, state, BATCH, num_steps=200)
    assert reason == "done"
    assert int(end.step) == 200
    # with the cosine's last rate of 1e-3 Adam comes closer than 1e-2
    assert_allclose(end.params["w"], TARGET, atol=1e-2)
    assert np.max(np.abs(state.params["w"] - TARGET)) > 0.5


def test_first_step_is_that_of_optax(single):
    """Clipped gradient, Adam, cosine from lr to lr/100: against Optax alone."""
    step, state = single
    new, info = step(state, BATCH)
    value, grads = jax.value_and_grad(loss)(state.params, BATCH, None)
    assert_allclose(info["loss"], value, rtol=1e-6)
    norm = np.linalg.norm(grads["w"])
    assert_allclose(info["grad_norm"], norm, rtol=1e-6)
    clipped = grads["w"] / max(1.0, norm)
    # Adam's first step is lr * sign(g), but for eps = 1e-8
    expected = state.params["w"] - 0.1 * clipped / (jnp.abs(clipped) + 1e-8)
    assert_allclose(new.params["w"], expected, rtol=1e-5)


def test_schedule_ends_at_a_hundredth():
    for warmup in (0, 10):
        transform = adam_cosine(0.1, 100, clip=1e9, warmup=warmup)

        def one(state, _, transform=transform):
            update, state = transform.update(jnp.ones(1), state)
            return state, -update[0]

        with jax.numpy_dtype_promotion("standard"):
            first = transform.init(jnp.ones(1))
            sizes = np.asarray(jax.lax.scan(one, first, None, length=101)[1])
        assert_allclose(max(sizes), 0.1, rtol=1e-3)
        assert_allclose(sizes[0], 0.1 if warmup == 0 else 0.01, rtol=1e-3)
        assert_allclose(sizes[-1], 1e-3, rtol=1e-3)


def test_a_loss_that_is_not_finite_is_counted_and_not_applied(single):
    step, state = single
    for bad in (jnp.nan, jnp.inf):
        new, _ = step(state, BATCH.at[1].set(bad))
        assert int(new.bad) == 1
        assert int(new.step) == 1
        assert_array_equal(new.params["w"], state.params["w"])
        for old, now in zip(
            jax.tree.leaves(state.opt), jax.tree.leaves(new.opt), strict=True
        ):
            assert_array_equal(old, now)
    new, _ = step(new, BATCH)
    assert int(new.bad) == 0
    assert np.all(new.params["w"] != state.params["w"])


def test_a_gradient_that_is_not_finite_is_not_applied():
    """sqrt at 0 has a finite value and an infinite slope."""
    transform = optax.sgd(0.1)
    step = gradient_step(lambda p, b, k: jnp.sum(jnp.sqrt(p)), transform)
    params = jnp.zeros(2)
    state = TrainState.start(params, transform.init(params), jax.random.key(0))
    new, info = step(state, None)
    assert float(info["loss"]) == 0.0
    assert int(new.bad) == 1
    assert_array_equal(new.params, params)


def test_nan_stop_keeps_the_best_weights_and_says_why(single):
    """Good batches, then NaN: the weights kept are the best ones of the good part."""
    step, state = single
    score = eqx.filter_jit(lambda params: loss(params, BATCH, None))
    batches = lambda k: BATCH if k < 20 else BATCH * jnp.nan
    end, reason = run(
        step, state, batches, [KeepBest(score)], num_steps=100, log_every=5
    )
    assert reason.startswith("loss or gradient not finite for 3 steps in a row")
    assert "at step 25; the best weights so far are kept." in reason
    good, _ = run(step, state, batches, num_steps=20)
    assert_array_equal(finish(end)["w"], good.params["w"])
    assert float(end.score) == float(score(good.params))


def test_a_nan_stop_without_a_score_claims_no_best_weights():
    """Descent at too large a rate ends far from where it began."""
    transform, x = optax.sgd(3.0), jnp.ones(2)
    step = gradient_step(lambda x, batch, key: jnp.sum(x**2), transform)
    state = TrainState.start(x, init_opt(transform, x), jax.random.key(0))
    state, reason = run(step, state, None, num_steps=60)
    assert "the last finite weights are kept." in reason
    assert np.isfinite(finish(state)).all()
    assert np.abs(finish(state)).max() > 1e18


def test_a_later_and_worse_score_does_not_replace_the_best():
    keep = KeepBest(lambda params: jnp.sum(params**2))
    state = TrainState.start(jnp.asarray([3.0]), None, jax.random.key(0))
    scores = []
    for value in (3.0, 1.0, 2.0, jnp.nan):
        row = {"step": 1}
        state = eqx.tree_at(lambda s: s.params, state, jnp.asarray([value]))
        state = keep(state, row)
        scores.append(float(row["validation"]))
    assert scores[:3] == [9.0, 1.0, 4.0]
    assert_array_equal(finish(state), [1.0])
    assert float(state.score) == 1.0


def test_best_weights_are_kept_for_each_member_apart():
    keep = KeepBest(lambda params: jnp.sum(params["w"] ** 2, axis=1))
    state = TrainState.start(
        {"w": jnp.asarray([[1.0], [5.0], [7.0]])}, None, jax.random.key(0), 3
    )
    state = keep(state, {})
    state = eqx.tree_at(
        lambda s: s.params["w"], state, jnp.asarray([[2.0], [4.0], [jnp.nan]])
    )
    state = keep(state, {})
    assert_array_equal(finish(state)["w"], [[1.0], [4.0], [7.0]])
    assert_array_equal(state.score, [1.0, 16.0, 49.0])


def test_without_a_score_the_last_weights_are_kept():
    state = TrainState.start({"w": jnp.zeros((2, 1))}, None, jax.random.key(0), 2)
    state = eqx.tree_at(lambda s: s.params["w"], state, jnp.ones((2, 1)))
    assert_array_equal(finish(state)["w"], np.ones((2, 1)))


@pytest.fixture(scope="module")
def ensemble():
    transform = adam_cosine(0.1, 60)
    step = gradient_step(loss, transform, members=3)
    state = begin(transform, 3)
    return step, state, transform, run(step, state, BATCH, num_steps=60)[0]


def test_members_trained_together_are_those_trained_alone(ensemble):
    _, state, transform, together = ensemble
    step = gradient_step(loss, transform)
    for k in range(3):
        params = {"w": state.params["w"][k]}
        alone = TrainState.start(params, init_opt(transform, params), state.key)
        alone, _ = run(step, alone, BATCH, num_steps=60)
        # vmap may round differently in the last digit
        assert_allclose(alone.params["w"], together.params["w"][k], rtol=2e-5)


def test_one_bad_member_does_not_stop_the_others(ensemble):
    step, state, _, together = ensemble
    broken = eqx.tree_at(
        lambda s: s.params["w"], state, state.params["w"].at[1].set(jnp.nan)
    )
    end, reason = run(step, broken, BATCH, num_steps=60)
    assert reason == "done"
    assert end.bad.tolist() == [0, 60, 0]
    for k in (0, 2):
        assert_array_equal(end.params["w"][k], together.params["w"][k])
    everyone = eqx.tree_at(lambda s: s.params["w"], state, jnp.full((3, 3), jnp.nan))
    _, reason = run(step, everyone, BATCH, num_steps=60, log_every=1)
    assert "at step 3" in reason


def test_members_draw_different_minibatches_and_steps_too():
    def noisy(params, batch, key):
        return jnp.sum(params) * jax.random.normal(key)

    transform = optax.sgd(1.0)
    step = gradient_step(noisy, transform, members=2)
    params = jnp.zeros((2, 1))
    state = TrainState.start(
        params, jax.vmap(transform.init)(params), jax.random.key(5), 2
    )
    first, _ = step(state, None)
    second, _ = step(first, None)
    moves = np.array([first.params[:, 0], (second.params - first.params)[:, 0]])
    assert len(np.unique(moves)) == 4


def test_scanned_updates_are_single_updates():
    """`inner` updates in one call equal as many calls, to the last bit."""
    transform = adam_cosine(0.05, 40)
    noisy = lambda p, b, key: loss(p, b + 0.1 * jax.random.normal(key, (3,)), key)
    one = gradient_step(noisy, transform, members=2)
    five = gradient_step(noisy, transform, members=2, inner=5)
    state = begin(transform, 2)
    slow, _ = run(one, state, BATCH, num_steps=40)
    fast, _ = run(five, state, BATCH, num_steps=40, inner=5)
    assert int(slow.step) == int(fast.step) == 40
    for a, b in zip(jax.tree.leaves(slow.opt), jax.tree.leaves(fast.opt), strict=True):
        assert_array_equal(a, b)
    assert_array_equal(slow.params["w"], fast.params["w"])


def test_other_values_of_equal_shape_do_not_compile_again():
    transform = adam_cosine(0.1, 10)
    counted = eqx.debug.assert_max_traces(loss, max_traces=1)
    step = gradient_step(counted, transform)
    for seed in range(3):
        run(step, begin(transform, seed=seed), BATCH * (1.0 + seed), num_steps=3)


def test_the_parameters_of_the_lowest_loss_are_kept():
    """A rate that overshoots: the best state is one on the way."""
    transform = optax.sgd(0.3)
    step = gradient_step(loss, transform, lowest=True)
    state, seen = begin(transform), []
    for _ in range(6):
        before = state.params["w"]
        state, info = step(state, BATCH)
        seen.append((float(info["loss"]), before))
    least, best = min(seen, key=lambda pair: pair[0])
    assert_array_equal(finish(state)["w"], best)
    assert float(state.score) == least
