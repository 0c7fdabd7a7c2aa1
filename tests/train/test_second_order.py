"""Curvature in training: the trace penalty, AdaHessian, the scale that errors show,
mean weights; and trainings with them that go on where they were killed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula.train import (
    AbstractCallback,
    Checkpoint,
    EntropySGD,
    Plain,
    Sam,
    Smoothed,
    TracePenalty,
    TrainState,
    adahessian,
    averaged,
    gradient_step,
    ha_precond,
    halvable,
    ramp,
    resume,
    robust_transform,
    run,
    swa,
)


KEY = jax.random.key(5)
D = np.array([2.0, 0.5, 5.0])
W = np.array([1.0, -2.0, 0.5])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def diagonal(w, batch=None, key=None):
    return 0.5 * jnp.sum(jnp.asarray(D) * w**2)


def perturb(w, key, level, statistics=None):
    size = jnp.asarray(level, w.dtype)  # made outside of the scope of 64 bits
    return w + size * jax.random.normal(key, w.shape, w.dtype)


def sigma(w, level):
    return jnp.asarray(level, w.dtype) * jnp.asarray([1.0, 2.0, 3.0])


def penalised(loss, w, samples=1, level=0.1, key=KEY):
    estimator = TracePenalty(sigma, level, samples)
    (value, _), g = estimator.around(loss)(w, key)
    return value, g


def update(transform, w, state=None, key=KEY, loss=diagonal):
    both = jax.value_and_grad(loss)
    state = transform.init(w) if state is None else state
    g = both(w)[1]
    return transform.update(g, state, w, value_and_grad_fn=both, key=key)


# --- trace penalty --------------------------------------------------------------------


def test_trace_penalty_of_a_separate_quartic():
    """J = sum w^4: grad of 1/2 Tr(H Sigma) is 12 sigma^2 w, whatever the signs."""
    w = jnp.asarray(W)
    value, g = penalised(lambda w, key: jnp.sum(w**4), w)
    s = 0.1 * np.array([1.0, 2.0, 3.0])
    assert_allclose(g, 4.0 * W**3 + 12.0 * s**2 * W, rtol=1e-7)
    assert_allclose(value, np.sum(W**4), rtol=1e-12)


def test_trace_penalty_of_a_coupled_quartic_in_the_mean():
    """J = (w1 w2)^2 + w1 w2 w3: off-diagonal parts of H drop out of the mean only."""
    loss = lambda w, key: (w[0] * w[1]) ** 2 + w[0] * w[1] * w[2]
    w, s = jnp.asarray(W), 0.1 * np.array([1.0, 2.0, 3.0])
    keys = jax.random.split(KEY, 2000)
    exact = jax.grad(loss)(w, None)
    exact += 2.0 * np.array([s[1] ** 2 * W[0], s[0] ** 2 * W[1], 0.0])
    for samples in (1, 2):
        each = jax.jit(
            jax.vmap(lambda key, n=samples: penalised(loss, w, n, key=key)[1])
        )
        found = np.asarray(each(keys))
        error = found.std(0) / np.sqrt(len(keys)) + 1e-12
        assert np.all(np.abs(found.mean(0) - exact) < 4.0 * error)
        if samples == 1:
            alone = found.std(0)[0]
    assert_allclose(found.std(0)[0], alone / np.sqrt(2.0), rtol=0.1)


def test_trace_penalty_leaves_a_quadratic_alone_and_level_0_too():
    loss = lambda w, key: diagonal(w)
    assert_allclose(penalised(loss, jnp.asarray(W))[1], D * W, rtol=1e-12)
    quartic = lambda w, key: jnp.sum(w**4)
    _, g = penalised(quartic, jnp.asarray(W), level=0.0)
    assert_allclose(g, 4.0 * W**3, rtol=1e-12)


# --- AdaHessian -----------------------------------------------------------------------


def test_the_diagonal_is_exact_on_a_diagonal_quadratic():
    """One step is Newton's; two by hand, with both moments."""
    w, lr, (a, b) = W, 0.3, (0.8, 0.9)
    transform = adahessian(lr, (a, b), eps=1e-3)
    m = v = np.zeros(3)
    state = None
    for k in (1, 2):
        moves, state = update(transform, jnp.asarray(w), state, jax.random.key(k))
        m, v = a * m + (1 - a) * D * w, b * v + (1 - b) * D**2
        expected = -lr * m / (1 - a**k) / (np.sqrt(v / (1 - b**k)) + 1e-3)
        assert_allclose(moves, expected, rtol=1e-6)
        w = w + np.asarray(moves)


def test_curvature_is_averaged_over_rows_and_windows():
    rng = np.random.default_rng(0)
    for shape, axes in (((3, 4), (1,)), ((2, 3, 2, 2), (2, 3)), ((5,), ())):
        bend, w = rng.uniform(1.0, 4.0, shape), rng.normal(size=shape)
        loss = lambda w, c=bend: 0.5 * jnp.sum(jnp.asarray(c) * w**2)
        mean = bend.mean(axes, keepdims=True) if axes else bend
        for spatial, size in ((True, mean), (False, bend)):
            transform = adahessian(1.0, eps=0.0, spatial=spatial)
            moves, _ = update(transform, jnp.asarray(w), loss=loss)
            assert_allclose(moves, -bend * w / size, rtol=1e-6)


def test_without_its_power_it_is_descent_with_momentum():
    moves, _ = update(adahessian(0.1, eps=0.0, hessian_power=0.0), jnp.asarray(W))
    assert_allclose(moves, -0.1 * D * W, rtol=1e-6)


def test_without_its_power_a_weight_without_curvature_moves_as_the_others():
    loss = lambda w: jnp.sum(w) + 0.5 * w[0] ** 2
    transform, w = adahessian(0.1, eps=0.0, hessian_power=0.0), jnp.ones(2)
    more = {"value_and_grad_fn": jax.value_and_grad(loss), "key": jax.random.key(0)}
    step, _ = transform.update(jax.grad(loss)(w), transform.init(w), w, **more)
    assert_allclose(step, [-0.2, -0.1], rtol=1e-6)


def test_it_descends_an_ill_conditioned_bowl_in_the_loop():
    bend = jnp.asarray([1.0, 1e4])
    loss = lambda w, batch, key: 0.5 * jnp.sum(bend * w**2)
    ends = {}
    rates = {"adahessian": adahessian(0.3), "sgd": optax.sgd(1e-4)}
    for name, transform in rates.items():
        step = gradient_step(loss, transform)
        w = jnp.ones(2)
        state = TrainState.start(w, transform.init(w), KEY)
        end, _ = run(step, state, None, num_steps=200)
        ends[name] = float(loss(end.params, None, None))
    assert ends["adahessian"] < 1e-3
    assert ends["sgd"] > 0.4


# --- the scale that errors show -------------------------------------------------------


def test_errors_show_the_diagonal_of_a_dense_curvature():
    """D goes to diag H: steps scale with mean(diag) / diag_i."""
    rng = np.random.default_rng(1)
    q = rng.normal(size=(3, 3))
    dense = q @ q.T + 2.0 * np.eye(3)
    loss = lambda w: 0.5 * w @ jnp.asarray(dense) @ w
    transform = ha_precond(perturb, 1e-6, 1.0, (0.0, 0.999), 0.0, 1.0)
    w = jnp.asarray(W)

    def once(state, key):
        moves, state = update(transform, w, state, key, loss)
        return state, moves

    keys = jax.random.split(KEY, 4000)
    _, moves = jax.lax.scan(once, transform.init(w), keys)
    diag = np.diag(dense)
    expected = -(dense @ W) * diag.mean() / diag
    assert_allclose(moves[-1], expected, rtol=0.15)  # 4 / sqrt(2000) of the mix
    assert np.max(np.abs(np.asarray(moves[0]) / expected - 1.0)) > 0.15


def test_products_and_squares_are_averaged_over_rows():
    rng = np.random.default_rng(2)
    bend, w = rng.uniform(1.0, 4.0, (2, 3)), rng.normal(size=(2, 3))
    loss = lambda w: 0.5 * jnp.sum(jnp.asarray(bend) * w**2)
    transform = ha_precond(perturb, 1e-6, 1.0, (0.0, 0.999), 0.0, 1.0)
    moves, _ = update(transform, jnp.asarray(w), loss=loss)
    d = perturb(np.zeros((2, 3)), jax.random.fold_in(KEY, 0x4E05), 1e-6)
    size = (bend * d * d).mean(1) / (d * d).mean(1)
    expected = -bend * w / (size / size.mean())[:, None]
    assert_allclose(moves, expected, rtol=1e-4)


def test_without_power_or_noise_the_scale_is_that_of_descent():
    w = jnp.asarray(W)
    moves, _ = update(ha_precond(perturb, 0.1, 0.2, eps=0.0, power=0.0), w)
    there = perturb(w, jax.random.fold_in(KEY, 0x4E05), 0.1)
    assert_allclose(moves, -0.2 * D * there, rtol=1e-6)
    still, _ = update(ha_precond(perturb, 0.0, 0.2, eps=0.0), w)
    assert_allclose(still, -0.2 * D * W, rtol=1e-6)


def test_what_needs_the_loss_says_so():
    for transform in (adahessian(), ha_precond(perturb, 0.1)):
        w = jnp.asarray(W)
        with pytest.raises(ConfigError, match="needs the parameters, value_and_grad"):
            transform.update(w, transform.init(w), w)


# --- mean weights ---------------------------------------------------------------------


@pytest.mark.parametrize(("start", "every"), [(0, 1), (3, 1), (2, 3), (50, 1)])
def test_the_mean_of_the_weights(start, every):
    transform = swa(optax.sgd(0.05), start, every)
    step = gradient_step(diagonal, transform)
    w = jnp.asarray(W)
    state = TrainState.start(w, transform.init(w), KEY)
    seen = []
    for _ in range(8):
        state, _ = step(state, None)
        seen.append(np.asarray(state.params))
    taken = seen[start::every] or seen[-1:]
    assert_allclose(averaged(state.opt), np.mean(taken, axis=0), rtol=1e-12)
    alone = W * (1.0 - 0.05 * D) ** 8
    assert_allclose(seen[-1], alone, rtol=1e-12)


def test_the_mean_is_found_within_other_states():
    transform = halvable(swa(adahessian(0.1), 0))
    moves, state = update(transform, jnp.asarray(W))
    assert_allclose(averaged(state), W + np.asarray(moves), rtol=1e-12)
    with pytest.raises(ConfigError, match="Wrap it in swa"):
        averaged(optax.sgd(0.1).init(jnp.asarray(W)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: adahessian(-0.1), "lr is -0.1"),
        (lambda: adahessian(betas=(0.9, 1.0)), "betas"),
        (lambda: adahessian(eps=-1.0), "eps is -1.0"),
        (lambda: adahessian(eps=float("nan")), "eps is nan"),
        (lambda: adahessian(hessian_power=2.0), "hessian_power"),
        (lambda: ha_precond(perturb, -0.1), "level is -0.1"),
        (lambda: ha_precond(perturb, 0.1, betas=(0.9, 1.0)), "below 1"),
        (lambda: ha_precond(perturb, 0.1, -1.0), "lr is -1.0"),
        (lambda: swa(optax.sgd(0.1), -1), "start is -1"),
        (lambda: swa(optax.sgd(0.1), 0, 0), "every"),
    ],
)
def test_bad_options_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


# --- checkpoints ----------------------------------------------------------------------


class Interrupt(AbstractCallback):
    """Ctrl-C at a step."""

    def __call__(self, state, row):
        if row["step"] == 7:
            raise KeyboardInterrupt
        return state


SGD = optax.sgd(0.02, momentum=0.9)
KINDS = {
    "smoothed": (Smoothed(perturb, ramp(0.1, 0.5, 12), 2, mix=0.5), SGD),
    "sam": (Sam(0.1), SGD),
    "entropy": (EntropySGD(2, 0.1, 0.1, 0.1, 0.01), SGD),
    "trace": (TracePenalty(sigma, 0.1), SGD),
    "adahessian": (Plain(), halvable(adahessian(0.1))),
    "precond": (Plain(), ha_precond(perturb, 0.1, 0.02)),
    "swa": (Sam(0.1), swa(SGD, 4, 2)),
    "inside": (Plain(), robust_transform(Smoothed(perturb, 0.1), SGD)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_goes_on_to_the_same_bits(kind, tmp_path):
    estimator, transform = KINDS[kind]
    loss = lambda w, batch, key: jnp.sum(w**4) + diagonal(w)
    step = gradient_step(loss, transform, estimator=estimator)
    w = jnp.asarray(W)
    start = TrainState.start(w, transform.init(w), KEY)

    def go(folder, state, *others):
        calls = [*others, Checkpoint(folder, 0, 0.0)]
        return run(step, state, None, calls, num_steps=12, log_every=1)[0]

    whole = go(tmp_path / "whole", start)
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "cut", start, Interrupt())
    state, ended = resume(tmp_path / "cut", 0, start)
    assert ended is None
    assert int(state.step) == 6
    again = go(tmp_path / "cut", state)
    old, new = (jax.tree.leaves((end.params, end.opt)) for end in (whole, again))
    assert len(old) == len(new)
    for a, b in zip(old, new, strict=True):
        assert_array_equal(a, b)
    assert not np.array_equal(whole.params, W)
