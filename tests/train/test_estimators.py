"""Gradient estimators on small quadratics against their closed forms, and the contract
that lets any of them stand in any loop."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, ShapeError
from pendula.train import (
    Asam,
    EntropySGD,
    Plain,
    Sam,
    Smoothed,
    TracePenalty,
    TrainState,
    gradient_step,
    plain_gradient,
    ramp,
    robust_transform,
    run,
)


KEY = jax.random.key(3)
H = jnp.asarray([[2.0, 0.5], [0.5, 1.0]])
A = jnp.asarray([1.0, -1.0])
W = jnp.asarray([3.0, 4.0])
STD = jnp.asarray([0.1, 0.3])


def bowl(w, batch, key):
    """1/2 (w - a)^T H (w - a), the minimum at the batch."""
    return 0.5 * (w - batch) @ H @ (w - batch)


def perturb(w, key, level, statistics=None):
    return w + level * STD * jax.random.normal(key, w.shape)


def cut(w, key, level, statistics=None):
    """Errors that are not 0 at level 0: full scale is exceeded."""
    return jnp.clip(perturb(w, key, level), -2.0, 2.0)


def sigma(w, level):
    return level * STD


KINDS = {
    "plain": Plain(),
    "smoothed": Smoothed(perturb, 0.5),
    "several": Smoothed(perturb, ramp(0.5, 0.5, 10), 4, antithetic=True, mix=0.25),
    "sam": Sam(0.1),
    "asam": Asam(0.5),
    "entropy": EntropySGD(3, gamma0=0.1, inner_lr=0.02, eps=0.1),
    "trace": TracePenalty(sigma, 0.5, 2),
}


def gradient(estimator, w=W, key=KEY, **more):
    return estimator.around(lambda w, key: bowl(w, A, key))(w, key, **more)[1]


def started(transform, w=W, members=None):
    make = transform.init if members is None else jax.vmap(transform.init)
    return TrainState.start(w, make(w), jax.random.key(1), members)


def small_net():
    """A model whose leaves are arrays and functions."""
    return eqx.nn.MLP(2, 1, 3, 1, activation=jnp.tanh, key=KEY)


def misfit(net, x, key):
    return jnp.sum((net(x) - 0.3) ** 2)


@pytest.mark.parametrize("kind", ["plain", "sam", "asam", "entropy"])
def test_a_whole_model_is_taken_as_its_arrays_are(kind):
    """The gradient is that of the arrays alone, and None stands for the rest."""
    net = small_net()
    arrays, rest = eqx.partition(net, eqx.is_inexact_array)
    whole = KINDS[kind].around(misfit)
    alone = KINDS[kind].around(lambda a, x, key: misfit(eqx.combine(a, rest), x, key))
    (value, _), found = eqx.filter_jit(whole)(net, KEY, A)
    (same, _), want = eqx.filter_jit(alone)(arrays, KEY, A)
    assert jax.tree.structure(found) == jax.tree.structure(want)
    assert_allclose(value, same, rtol=1e-6)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    base = optax.sgd(1e-2)
    updates, _ = base.update(found, base.init(arrays), arrays)
    assert misfit(eqx.apply_updates(net, updates), A, KEY) < value


def test_numbers_of_python_are_parameters_where_all_are_numbers():
    vg = Plain().around(lambda p, key: p["a"] ** 2 * jnp.sum(p["b"]))
    (_, _), found = vg({"a": 3.0, "b": jnp.ones(2)}, KEY)
    assert float(found["a"]) == 12.0
    with pytest.raises(ConfigError, match="without an array of real numbers"):
        vg({"a": jnp.tanh, "b": 1}, KEY)


# --- closed forms ---------------------------------------------------------------------


def test_smoothed_gradient_is_exact_in_the_mean_and_its_noise_is_h_sigma_h():
    """E g = H (w - a); trace of the covariance Tr(H Sigma H) / L."""
    keys = jax.random.split(KEY, 4000)
    exact = H @ (W - A)
    whole = np.trace(H @ np.diag((0.5 * STD) ** 2) @ H)
    for samples in (1, 4):
        estimator = Smoothed(perturb, 0.5, samples)
        drawn = jax.vmap(lambda key, e=estimator: gradient(e, key=key))(keys)
        off = np.asarray(drawn - exact[None])
        error = off.std(0) / np.sqrt(len(keys))
        assert np.all(np.abs(off.mean(0)) < 4 * error)
        # the sum of two chi-squares: its deviation is at most sqrt(2 / 4000) of it
        assert_allclose((off**2).sum(1).mean(), whole / samples, rtol=0.09)


def test_pairs_of_both_signs_leave_no_noise_on_a_quadratic():
    found = gradient(Smoothed(perturb, 0.5, 2, antithetic=True))
    assert_allclose(found, H @ (W - A), rtol=1e-6)


def test_a_share_of_the_clean_gradient():
    exact, noisy = H @ (W - A), gradient(Smoothed(perturb, 0.5))
    found = gradient(Smoothed(perturb, 0.5, mix=0.25))
    assert_allclose(found, 0.25 * exact + 0.75 * noisy, rtol=1e-6)


def test_sharpness_aware_points():
    g = np.asarray(H @ (W - A), np.float64)
    at = W + 0.1 * g / np.linalg.norm(g)
    assert_allclose(gradient(Sam(0.1)), H @ (at - A), rtol=1e-6)
    size = np.abs(W) + 0.01
    at = W + 0.5 * size**2 * g / np.linalg.norm(size * g)
    assert_allclose(gradient(Asam(0.5, 0.01)), H @ (at - A), rtol=1e-6)
    assert_array_equal(gradient(Sam(0.0)), gradient(Plain()))


def test_at_a_minimum_sharpness_aware_gradients_are_finite():
    for estimator in (Sam(), Asam()):
        assert_array_equal(gradient(estimator, w=A), np.zeros(2))


def test_the_inner_walk_ends_at_the_minimum_of_the_pulled_loss():
    """Without noise mu goes to (H + gamma)^-1 (H a + gamma w)."""
    gamma = 0.7
    estimator = EntropySGD(
        400, gamma0=gamma, scoping=0.0, eps=0.0, inner_lr=0.05, alpha=0.75
    )
    pulled = np.linalg.solve(H + gamma * np.eye(2), H @ A + gamma * W)
    assert_allclose(gradient(estimator), W - pulled, rtol=1e-5)


def test_the_inner_walk_step_by_step():
    """Two inner steps by hand, each on a batch of its own, gamma grown by 3 steps."""
    rate, alpha, gamma = 0.1, 0.6, 0.2 * 1.5**3
    estimator = EntropySGD(2, 0.2, 0.5, 0.0, rate, alpha, apart=True)
    goals = jnp.stack([A, 2.0 * A])
    loss = lambda w, batch, key: (bowl(w, batch, key), jnp.sum(batch))
    (value, aux), found = estimator(loss, W, goals, KEY, 3)
    w, hess = np.asarray(W, np.float64), np.asarray(H)
    x, mu, v = w, w, 0.0
    for goal in np.asarray(goals):
        g = hess @ (x - goal) + gamma * (x - w)
        v = 0.9 * v + g
        x = x - rate * (g + 0.9 * v)
        mu = alpha * mu + (1 - alpha) * x
    assert_allclose(found, w - mu, rtol=1e-5)
    assert_allclose(value, bowl(W, A, None), rtol=1e-6)
    assert_allclose(aux, np.mean(goals.sum(1)), atol=1e-6)


def test_the_noise_of_the_inner_walk():
    """On a flat loss one step is sqrt(2 eta') eps N(0, 1)."""
    estimator = EntropySGD(1, 0.0, 0.0, 0.3, 0.05, 0.0)
    vg = estimator.around(lambda w, key: 0.0 * jnp.sum(w))
    found = np.asarray(vg(jnp.zeros(4000), KEY)[1])
    assert_allclose(found.std(), 0.3 * np.sqrt(0.1), rtol=0.05)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(4000)


# --- level 0, levels, keys ------------------------------------------------------------


def net_loss(params, batch, key):
    """A small network, so that programs are fused as those of real trainings."""
    x, y = batch
    take = jax.random.randint(key, (8,), 0, len(x))
    hidden = jnp.tanh(x[take] @ params["w"] + params["b"][None])
    return jnp.mean((hidden @ params["v"] - y[take]) ** 2)


def shake(params, key, level, statistics=None):
    """Errors that would not vanish at level 0."""
    leaves, structure = jax.tree.flatten(params)
    out = [
        jnp.clip(x + level * jax.random.normal(jax.random.fold_in(key, k), x.shape), 0)
        for k, x in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, out)


def network():
    keys = jax.random.split(KEY, 5)
    draw = lambda k, *shape: jax.random.normal(keys[k], shape)
    params = {"w": draw(0, 5, 7), "b": draw(1, 7), "v": draw(2, 7)}
    return params, (draw(3, 20, 5), draw(4, 20))


@pytest.mark.parametrize(
    "options",
    [{}, {"samples": 3}, {"samples": 2, "antithetic": True}, {"mix": 0.3}],
    ids=["one", "three", "pairs", "mixed"],
)
def test_level_0_is_plain_training_to_the_bit(options):
    params, batch = network()
    transform = optax.sgd(0.1, momentum=0.9)
    plain = gradient_step(net_loss, transform)
    noisy = gradient_step(
        net_loss, transform, estimator=Smoothed(shake, 0.0, **options)
    )
    ends = [
        run(step, started(transform, params), batch, num_steps=12)[0]
        for step in (plain, noisy)
    ]
    for a, b in zip(*(jax.tree.leaves(end.params) for end in ends), strict=True):
        assert_array_equal(a, b)
    # and the same program at another level is another training
    other = noisy.having(Smoothed(shake, 0.1, **options))
    end, _ = run(other, started(transform, params), batch, num_steps=12)
    assert np.any(end.params["w"] != ends[0].params["w"])


def test_another_level_or_radius_does_not_compile_again():
    for make in (lambda v: Smoothed(perturb, v, 2), Sam, lambda v: EntropySGD(2, v)):
        counted = eqx.debug.assert_max_traces(bowl, max_traces=2)
        step = gradient_step(counted, optax.sgd(0.1), estimator=make(0.1))
        seen = set()
        for level in (0.0, 0.1, 0.2):
            state, _ = step.having(make(level))(started(optax.sgd(0.1)), A)
            seen.add(tuple(np.asarray(state.params).tolist()))
        assert len(seen) == 3
        outside = eqx.filter_jit(
            eqx.debug.assert_max_traces(lambda e: gradient(e), max_traces=1)
        )
        found = [outside(make(level)) for level in (0.1, 0.2)]
        assert np.any(found[0] != found[1])


def test_a_step_takes_numbers_only():
    step = gradient_step(bowl, optax.sgd(0.1), estimator=Sam(0.1))
    for other in (Asam(0.1), Plain(), plain_gradient):
        with pytest.raises(ConfigError, match="only its numbers may differ"):
            step.having(other)


def test_levels_follow_the_step():
    rising = ramp(0.4, 0.5, 8)
    assert_allclose([rising(k) for k in range(6)], [0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    transform = optax.sgd(1.0)
    step = gradient_step(bowl, transform, estimator=Smoothed(perturb, rising))
    state = started(transform)
    for k in range(2):
        key = jax.random.fold_in(state.key, k)
        fixed = Smoothed(perturb, rising(k))
        _, g = fixed(lambda w, b, key: (bowl(w, b, key), None), state.params, A, key)
        new, _ = step(state, A)
        assert_allclose(new.params, state.params - g, rtol=1e-6)
        state = new


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"plain", "asam"}))
def test_same_key_same_gradient_and_jit_and_vmap_change_nothing(kind):
    estimator = KINDS[kind]
    one = lambda w, key: gradient(estimator, w, key, step=7)
    once, keys = jax.jit(one), jax.random.split(KEY, 3)
    found = [once(W, key) for key in keys]
    assert_array_equal(found[0], once(W, keys[0]))
    # pairs of both signs leave no noise on a quadratic
    drawn = kind in ("smoothed", "entropy")
    assert drawn == bool(np.any(found[0] != found[1]))
    assert_allclose(one(W, keys[1]), found[1], rtol=1e-5)
    several = jax.vmap(one, (None, 0))(W, keys)
    assert_allclose(several, np.stack(found), rtol=1e-5)


def test_samples_at_once_are_samples_one_by_one(monkeypatch):
    estimator = KINDS["several"]
    slow = gradient(estimator, step=7)
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert_allclose(gradient(estimator, step=7), slow, rtol=1e-6)


def test_levels_side_by_side_and_by_name():
    """Numbers of an estimator may be mapped over; a level may be what perturb takes."""
    made = jax.vmap(lambda level: gradient(Smoothed(perturb, level)))
    found = made(jnp.asarray([0.0, 0.5]))
    assert_allclose(found[0], gradient(Plain()), rtol=1e-6)
    assert_allclose(found[1], gradient(Smoothed(perturb, 0.5)), rtol=1e-6)
    named = lambda w, key, level, _: perturb(w, key, level["weight"])
    assert_allclose(gradient(Smoothed(named, {"weight": 0.5})), found[1], rtol=1e-6)


# --- the contract ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["several", "asam", "entropy", "trace"])
def test_in_the_loop_around_a_loss_and_within_optax_it_is_the_same(kind):
    estimator, base = KINDS[kind], optax.sgd(0.05, momentum=0.9)
    inside = robust_transform(estimator, base)
    ways = [
        (gradient_step(bowl, base, estimator=estimator), base),
        (gradient_step(bowl, inside), inside),
    ]
    ends = [
        run(step, started(transform), A, num_steps=3)[0].params
        for step, transform in ways
    ]
    vg = jax.jit(estimator.around(lambda w, batch, key: bowl(w, batch, key)))
    w, opt = W, base.init(W)
    for k in range(3):
        key = jax.random.fold_in(jax.random.key(1), k)
        (value, aux), g = vg(w, key, A, step=jnp.asarray(k))
        assert aux is None
        assert value.shape == ()
        move, opt = base.update(g, opt, w)
        w = optax.apply_updates(w, move)
    # each pass of the inner walk has a key of its own, which this loss does not use
    for end in ends:
        assert_allclose(end, w, rtol=2e-5)


def test_within_optax_the_loss_must_be_there():
    transform = robust_transform(Sam(), optax.sgd(0.1))
    with pytest.raises(ConfigError, match="value_and_grad_fn"):
        transform.update(W, transform.init(W), W)


def test_a_transform_is_given_the_loss_and_what_it_sees_must_be_finite():
    def update(updates, state, params=None, *, value_and_grad_fn, key, **more):
        value, g = value_and_grad_fn(params + 1.0)
        return -g, value

    newer = optax.GradientTransformationExtraArgs(lambda p: jnp.zeros(()), update)
    chained = optax.chain(newer, optax.scale(0.1))
    state, _ = gradient_step(bowl, chained)(started(chained), A)
    assert_allclose(state.params, W - 0.1 * H @ (W + 1.0 - A), rtol=1e-6)
    holed = lambda w, batch, key: jnp.sum(jnp.sqrt(4.5 - w))
    start = started(chained)
    state, _ = gradient_step(holed, chained)(start, A)
    assert int(state.bad) == 1
    assert_array_equal(state.params, W)


def test_members_have_noise_of_their_own():
    transform = optax.sgd(0.1)
    step = gradient_step(bowl, transform, estimator=Smoothed(perturb, 0.5), members=2)
    both = jnp.stack([W, W])
    state, _ = run(step, started(transform, both, 2), A, num_steps=3)
    assert np.all(state.params[0] != state.params[1])


# --- running statistics ---------------------------------------------------------------


def counting(pair, batch, key):
    """The statistics are pushed by w itself, so that they tell where a pass was."""
    w, running = pair
    return bowl(w, batch, key), {"mean": 0.9 * running["mean"] + 0.1 * w}


def after_one(estimator, start=None):
    transform = optax.sgd(0.1)
    step = gradient_step(counting, transform, estimator=estimator, statistics=True)
    running = {"mean": jnp.ones(2) if start is None else start}
    state = TrainState.start((W, running), transform.init(W), jax.random.key(1))
    state, _ = step(state, A)
    return state.params[0], state.params[1]["mean"]


def test_statistics_of_sharpness_aware_descent_are_those_of_its_first_pass():
    plain = after_one(Plain())[1]
    assert_allclose(plain, 0.9 + 0.1 * W, rtol=1e-6)
    for estimator in (Sam(1.0), Asam(1.0), TracePenalty(sigma, 1.0)):
        w, found = after_one(estimator)
        assert_array_equal(found, plain)
        if not isinstance(estimator, TracePenalty):  # a quadratic has no third slope
            assert np.any(w != after_one(Plain())[0])


def test_statistics_of_noisy_passes_are_averaged():
    key = jax.random.fold_in(jax.random.key(1), 0)
    seen = []
    for samples in (1, 2, 3):
        _, found = after_one(Smoothed(perturb, 0.5, samples))
        seen.append((np.asarray(found) - 0.9) / 0.1)  # mean of the disturbed w
    own = jax.random.fold_in(key, 0x4E01)
    places = [perturb(W, jax.random.fold_in(own, k), 0.5) for k in range(3)]
    for k, mean in enumerate(seen):
        assert_allclose(mean, np.mean(places[: k + 1], axis=0), rtol=1e-5)


def test_a_perturbation_may_look_at_the_statistics():
    """Batch norms: what is disturbed depends on the running variance."""

    def shifted(w, key, level, statistics):
        return w + level * statistics["mean"]

    start = jnp.asarray([2.0, 3.0])
    w, _ = after_one(Smoothed(shifted, 0.5), start)
    assert_allclose(w, W - 0.1 * H @ (W + 0.5 * start - A), rtol=1e-6)


def test_a_state_of_equinox_may_be_used_by_several_passes():
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(
        2, axis_name="batch", mode="batch"
    )
    params, rest = eqx.partition(norm, eqx.is_inexact_array)

    def loss(pair, batch, key):
        weights, running = pair
        net = eqx.combine(weights, rest)
        call = jax.vmap(net, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        out, running = call(batch, running)
        return jnp.mean((out - 1.0) ** 2), running

    xs = jax.random.normal(KEY, (6, 2))
    transform = optax.sgd(0.1)
    shake_all = lambda p, key, level, _: jax.tree.map(lambda w: w + level, p)
    for estimator in (Sam(), Smoothed(shake_all, 0.1, 2, mix=0.5), EntropySGD(2)):
        step = gradient_step(loss, transform, estimator=estimator, statistics=True)
        start = TrainState.start((params, state), transform.init(params), KEY)
        end, info = step(start, xs)
        assert np.isfinite(info["loss"])
        moved = jax.tree.leaves(end.params[1])
        assert any(
            np.any(a != b) for a, b in zip(moved, jax.tree.leaves(state), strict=True)
        )


# --- what it costs, and bad options ---------------------------------------------------


def test_gradients_a_step():
    counts = {kind: estimator.evaluations for kind, estimator in KINDS.items()}
    assert counts == {
        "plain": 1,
        "smoothed": 1,
        "several": 5,
        "sam": 2,
        "asam": 2,
        "entropy": 3,
        "trace": 5,
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Smoothed(perturb, -0.1), "level is -0.1"),
        (lambda: Smoothed(perturb, float("nan")), "level is nan"),
        (lambda: Smoothed(perturb, {"bias": -1.0}), 'level "bias" is -1.0'),
        (lambda: Smoothed(perturb, jnp.asarray(-0.1)), "level is -0.1"),
        (lambda: Smoothed(perturb, "much"), "expected a number"),
        (lambda: Smoothed(perturb, 0.1, 0), "samples is 0"),
        (lambda: Smoothed(perturb, 0.1, 3, antithetic=True), "even number"),
        (lambda: Smoothed(perturb, 0.1, mix=1.0), "mix is 1.0"),
        (lambda: Sam(-0.1), "Sam: rho is -0.1"),
        (lambda: Asam(0.1, -1.0), "Asam: eta is -1.0"),
        (lambda: EntropySGD(0), "steps is 0"),
        (lambda: EntropySGD(eps=-1.0), "eps is -1.0"),
        (lambda: EntropySGD(alpha=1.0), "alpha is 1.0"),
        (lambda: EntropySGD(inner_lr=0.0), "inner_lr is 0.0"),
        (lambda: TracePenalty(sigma, -1.0), "level is -1.0"),
        (lambda: TracePenalty(sigma, 1.0, 0), "samples is 0"),
        (lambda: ramp(0.1, 0.0, 10), "fraction is 0.0"),
        (lambda: ramp(0.1, 0.5, 0), "num_steps is 0"),
        (lambda: ramp(-0.1, 0.5, 10), "level is -0.1"),
    ],
)
def test_bad_options_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_batches_of_inner_steps_are_counted():
    loss = lambda w, batch, key: (bowl(w, batch[0], key), None)
    estimator = EntropySGD(3, apart=True)
    for batch in (jnp.stack([A, A]), None):
        with pytest.raises(ShapeError, match="expected 3 on the first axis"):
            estimator(loss, W, batch, KEY)
