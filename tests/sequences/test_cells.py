"""Every cell against a step by hand, its counts, its bounds and its own limit."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm

from pendula import ConfigError, DataError, ShapeError
from pendula._errors import PendulaWarning
from pendula._precision import cast, precision, to_device
from pendula._tree import num_parameters
from pendula.diagnostics import HessianOperator, random_directions
from pendula.sequences import (
    CELLS,
    CoRNNCell,
    LEMCell,
    LinearRecurrentUnit,
    LipschitzCell,
    NoisyCell,
    OrthogonalCell,
    Substeps,
    TwoScaleCell,
    advance,
    recurrent_model,
    run_cell,
    skewed,
    stability_margin,
    with_dt,
)
from pendula.sequences._noisy import Shaken
from pendula.train import load_tree, save_tree


KEY = jax.random.key(3)
QUICK = ("lipschitz", "lem", "lru", "lstm")  # one of each kind; the others are slow
WALK, FEW = (
    [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow)
        for name in CELLS
    ]
    for quick in (QUICK, ("lipschitz", "lem"))
)
STEPPED = ("lipschitz", "antisymmetric", "lem", "two_scale", "cornn", "residual")


def made(name, in_size=2, size=2, **settings):
    return CELLS[name](in_size, size, key=KEY, **settings)


def wide(tree):
    """The same module in float64."""
    return to_device(cast(tree, np.float64))


def numbers(tree):
    """Arrays of a module as NumPy's in float64, by the name of their field."""
    return {
        k: np.asarray(getattr(v, "value", v), np.float64)
        for k, v in vars(tree).items()
        if isinstance(getattr(v, "value", v), jax.Array)
    }


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


def gelu(x):
    return np.array([0.5 * v * (1.0 + math.erf(v / math.sqrt(2.0))) for v in x])


def mix(m, beta, gamma):
    return (1 - beta) * (m + m.T) + beta * (m - m.T) - gamma * np.eye(len(m))


def by_hand(name, cell, s, u):
    """The next state from the formulas of the papers, in NumPy."""
    if name == "noisy":
        return by_hand("lipschitz", cell.cell, s, u)
    p = numbers(cell)
    if name in ("lipschitz", "antisymmetric"):
        w = mix(p["matrix"], p["beta_w"], p["gamma_w"])
        f = np.tanh(w @ s + p["input"] @ u + p["bias"])
        if name == "lipschitz":
            f = f + p["alpha"] * mix(p["linear"], p["beta"], p["gamma"]) @ s
        return s + p["held_dt"] * f
    if name in ("residual", "simple"):
        f = np.tanh(p["matrix"] @ s + p["input"] @ u + p["bias"])
        return f if name == "simple" else s + p["held_dt"] * f
    if name in ("exprnn", "cayley"):
        upper = np.zeros((2, 2))
        upper[0, 1] = p["upper"][0]
        skew, one = upper - upper.T, np.eye(2)
        if name == "cayley":
            q = np.linalg.inv(one + skew) @ (one - skew)
            return np.tanh(q @ s + p["input"] @ u + p["bias"])
        x = expm(skew) @ s + p["input"] @ u
        return np.sign(x) * np.maximum(np.abs(x) + p["bias"], 0.0)
    if name == "lru":
        lam = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
        b = p["input"][0] + 1j * p["input"][1]
        return lam * s[0] + np.exp(p["log_gamma"]) * (b @ u), p["skip"] @ u
    y, z = s
    if name == "lem":
        v = p["input"] @ u + p["bias"] + np.concatenate([p["bias_matrix"], p["bias_y"]])
        w1, w2, wz = np.split(p["matrix"], 3)
        delta = p["held_dt"] * logistic(w1 @ y + v[:2])
        bar = p["held_dt"] * logistic(w2 @ y + v[2:4])
        z = (1 - delta) * z + delta * np.tanh(wz @ y + v[4:6])
        return (1 - bar) * y + bar * np.tanh(p["matrix_y"] @ z + v[6:]), z
    if name == "two_scale":
        v = p["input"] @ u + p["bias"]
        slow, fast = p["held_dt"] / p["tau_z"], p["held_dt"] / p["tau_y"]
        z = (1 - slow) * z + slow * np.tanh(p["matrix_z"] @ y + v[:2])
        return (1 - fast) * y + fast * np.tanh(p["matrix_y"] @ z + v[2:]), z
    if name == "cornn":
        w, of_z = p["matrix"][:, :2], p["matrix"][:, 2:]
        force = np.tanh(w @ y + of_z @ z + p["input"] @ u + p["bias"])
        z = z + p["held_dt"] * (force - p["gamma"] * y - p["epsilon"] * z)
        return y + p["held_dt"] * z, z
    q = numbers(cell.inner)
    g = q["weight_ih"] @ u
    h = q["weight_hh"] @ y if name == "lstm" else q["weight_hh"] @ s
    if name == "lstm":
        i, f, c, o = np.split(g + h + q["bias"], 4)
        memory = logistic(f) * z + logistic(i) * np.tanh(c)
        return logistic(o) * np.tanh(memory), memory
    (ri, zi, ni), (rh, zh, nh) = np.split(g + q["bias"], 3), np.split(h, 3)
    reset, update = logistic(ri + rh), logistic(zi + zh)
    new = np.tanh(ni + reset * (nh + q["bias_n"]))
    return new + update * (s - new)


def some_state(cell, rng):
    """A state that is not zero."""
    draw = lambda x: jnp.asarray(
        rng.normal(size=x.shape)
        + (1j * rng.normal(size=x.shape) if jnp.iscomplexobj(x) else 0),
        x.dtype,
    )
    return jax.tree.map(draw, cell.start())


@pytest.mark.parametrize("name", CELLS)
def test_a_step_is_that_of_the_formula_and_drift_is_its_limit(name):
    with precision(np.float64):
        cell = wide(made(name, **({"alpha": 0.7} if name == "lipschitz" else {})))
        rng = np.random.default_rng(1)
        state, u = some_state(cell, rng), jnp.asarray(rng.normal(size=2))
        found = advance(cell, state, u)
        hand = by_hand(name, cell, jax.tree.map(np.asarray, state), np.asarray(u))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(hand), strict=True):
            assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        slope = cell.drift(state, u)
        if name in STEPPED:  # (step - state) / dt goes to the right-hand side
            fine = advance(with_dt(cell, 1e-6), state, u)
            found = jax.tree.map(lambda a, b: (a - b) / 1e-6, fine, state)
        elif name == "lru":  # exact over a step of 1: x' = r (x + c) by Euler, finely
            one = lambda _, x: x + cell.drift((x, state[1]), u)[0] / 2000
            x = jax.jit(lambda x: jax.lax.fori_loop(0, 2000, one, x))(state[0])
            assert_allclose(x, found[0], rtol=2e-2)
            return
        else:
            dt = float(cell.dt)
            found = jax.tree.map(lambda a, b: (a - b) / dt, found, state)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(slope), strict=True):
            assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_counts_of_parameters_are_the_published_ones():
    count = lambda *a, **k: num_parameters(recurrent_model(*a, key=KEY, **k))
    assert count("lipschitz", 1, 128, 10) == 34314
    assert count("lipschitz", 1, 64, 10) == 8970
    assert count("lem", 2, 128, 1) == 67713
    assert count("lem", 6, 32, 5) == 5285
    assert count("lem", 1, 16, 1) == 1233
    # a skew matrix has the parameters of its triangle
    assert num_parameters(OrthogonalCell(1, 10, key=KEY)) == 45 + 10 + 10


@pytest.mark.parametrize("name", WALK)
def test_scan_loop_jit_vmap_and_chunks_agree(name):
    cell = made(name, 2, 3)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(2, 11, 2)), jnp.float32)
    state, reads = cell.start(), []
    for u in us[0]:
        state = advance(cell, state, u)
        reads.append(cell.read(state))
    one = lambda cell, us, chunk: run_cell(cell, us, all_states=True, chunk=chunk)
    batch = eqx.filter_jit(
        lambda cell, us, chunk: jax.vmap(lambda u: one(cell, u, chunk))(us)
    )
    for last, seen in (
        one(cell, us[0], None),
        jax.tree.map(lambda v: v[0], batch(cell, us, None)),
        one(cell, us[0], 4),
        one(cell, us[0], 11),
    ):
        assert_allclose(seen, jnp.stack(reads), rtol=1e-5, atol=1e-6)
        for a, b in zip(jax.tree.leaves(last), jax.tree.leaves(state), strict=True):
            assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["lem", "noisy"])
@pytest.mark.parametrize(("unroll", "chunk"), [(3, None), (20, None), (2, 4)])
def test_steps_done_at_a_time_change_nothing(name, unroll, chunk):
    """In whole parts of the sequence, with a rest, and past its end; noise too."""
    cell = made(name, 2, 3)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(11, 2)), jnp.float32)
    one = lambda **how: run_cell(
        cell, us, length=jnp.asarray(9), key=KEY, all_states=True, **how
    )
    plain, ours = one(), one(unroll=unroll, chunk=chunk)
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(ours), strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_model_has_the_steps_at_a_time_it_was_given():
    one, two = (recurrent_model("lem", 2, 3, 1, unroll=n, key=KEY) for n in (None, 2))
    us = jnp.ones((7, 2))
    scans = lambda model: str(jax.make_jaxpr(model)(us)).count("unroll=2")
    assert (scans(one), scans(two)) == (0, 1)
    assert_allclose(one(us), two(us), rtol=1e-5, atol=1e-6)
    with pytest.raises(ConfigError, match="unroll is 0"):
        recurrent_model("lem", 2, 3, 1, unroll=0, key=KEY)(us)


@pytest.mark.parametrize("name", FEW)
def test_gradients_are_those_of_finite_differences(name):
    with precision(np.float64):
        model = wide(recurrent_model(name, 2, 3, 1, key=KEY))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)))
        weights, rest = eqx.partition(model, eqx.is_inexact_array)
        flat, back = jax.flatten_util.ravel_pytree(weights)
        loss = jax.jit(lambda v: jnp.sum(eqx.combine(back(v), rest)(us) ** 2))
        slope = jax.jit(jax.grad(loss))(flat)
        for seed in range(3):
            way = jnp.asarray(np.random.default_rng(seed).normal(size=flat.shape))
            h = 1e-5
            found = (loss(flat + h * way) - loss(flat - h * way)) / (2 * h)
            assert_allclose(found, slope @ way, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FEW)
def test_after_its_length_a_sequence_stands_still(name):
    model = recurrent_model(name, 1, 3, 2, mode="all", key=KEY)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(9, 1)), jnp.float32)
    cut = model(us[:6])
    padded = model(us, jnp.asarray(6))
    other = model(us.at[6:].set(99.0), jnp.asarray(6))
    assert_allclose(padded[:6], cut, rtol=1e-5, atol=1e-6)
    assert_allclose(padded[6:], jnp.broadcast_to(cut[-1], (3, 2)), rtol=1e-5, atol=1e-6)
    assert_array_equal(padded, other)
    # also in the gradient, where nothing times NaN is NaN
    loss = lambda model, us: jnp.sum(model(us, jnp.asarray(6)) ** 2)
    slopes = [
        eqx.filter_grad(loss)(model, us.at[6:].set(behind)) for behind in (0.0, jnp.nan)
    ]
    jax.tree.map(assert_array_equal, *slopes)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0, 1), st.floats(0, 2), st.lists(st.floats(-3, 3), min_size=9, max_size=9)
)
def test_skewed_is_skew_symmetric_or_the_matrix_itself(beta, gamma, entries):
    m = jnp.asarray(entries, jnp.float32).reshape(3, 3)
    found = skewed(m, beta, gamma)
    symmetric = 0.5 * (found + found.T)
    expected = (1 - beta) * (m + m.T) - gamma * jnp.eye(3)
    assert_allclose(symmetric, expected, atol=1e-4)
    assert_allclose(0.5 * (found - found.T), beta * (m - m.T), atol=1e-4)
    assert_allclose(skewed(m, 0.5, gamma), m - gamma * jnp.eye(3), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 1.0), st.integers(0, 1000), st.floats(0.1, 30.0))
def test_long_expressive_memory_stays_within_one(dt, seed, scale):
    rng = np.random.default_rng(seed)
    cell = _BOUNDED
    cell = with_dt(cell, dt)
    us = jnp.asarray(scale * rng.normal(size=(40, 1)), jnp.float32)
    last, reads = _bounded(cell, us)
    assert max(float(jnp.abs(v).max()) for v in (*last, reads)) <= 1.0


_BOUNDED = LEMCell(1, 6, key=KEY)
_bounded = eqx.filter_jit(lambda cell, us: run_cell(cell, us, all_states=True))


def test_orthogonal_matrices_are_orthogonal_whatever_is_learned():
    for rotation in ("exponential", "cayley"):
        for angles in ("uniform", "cosine"):
            cell = OrthogonalCell(1, 16, rotation=rotation, angles=angles, key=KEY)
            far = cell.upper + jax.random.normal(KEY, cell.upper.shape)
            for one in (cell, eqx.tree_at(lambda c: c.upper, cell, far)):
                q = one.weights()
                assert float(jnp.abs(q.T @ q - jnp.eye(16)).max()) <= 1e-5


def test_parallel_scan_is_the_recurrence_over_a_long_time():
    cell = LinearRecurrentUnit(2, 8, key=KEY)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(500, 2)), jnp.float32)
    begin = jax.tree.map(lambda v: v + 0.5, cell.start())

    def one(state, u):
        after = advance(cell, state, u)
        return after, after

    wanted = jax.jit(lambda s, us: jax.lax.scan(one, s, us)[1])(begin, us)
    found = eqx.filter_jit(lambda c, us, s: c.states(us, s))(cell, us, begin)
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-5 * float(jnp.abs(b).max()))


def test_random_directions_are_as_long_as_rows_of_real_and_imaginary_parts():
    cell = made("lru", 2, 3)
    op = HessianOperator(lambda cell, _: jnp.sum(cell.gate), cell)
    found = op.tree(random_directions(op, 1, key=KEY)[0])
    for name in ("input", "output", "skip", "gate"):
        length = lambda cell, name=name: np.linalg.norm(getattr(cell, name), axis=-1)
        assert_allclose(length(found), length(cell), rtol=1e-5)


def order_of(errors):
    return np.diff(np.log2(errors))


@pytest.mark.parametrize(
    ("name", "order", "extra"),
    [
        pytest.param(
            "lipschitz", 1, {"scheme": "euler", "init_std": 3.0}, marks=pytest.mark.slow
        ),
        ("lipschitz", 2, {"scheme": "rk2", "init_std": 3.0}),
        pytest.param(
            "cornn", 1, {"gamma": 2.0, "epsilon": 0.5}, marks=pytest.mark.slow
        ),
        ("lem", 1, {}),
    ],
)
def test_states_converge_to_the_differential_equation_as_the_step_shrinks(
    name, order, extra
):
    """For a smooth input u(t), sampled finer as the step gets shorter; for the rule of
    order 2 each step sees the input at its middle."""
    with precision(np.float64):
        cell = wide(made(name, 1, 4, dt=0.1, **extra))
        span, ends = 4.0, []
        run = eqx.filter_jit(lambda c, us: run_cell(c, us)[0])
        for steps in (80, 160, 320, 640, 20480):
            dt = span / steps
            t = (np.arange(steps) + (0.5 if order == 2 else 0.0)) * dt
            us = jnp.asarray(np.sin(2.0 * t)[:, None])
            ends.append(run(with_dt(cell, dt), us))
        exact = jnp.concatenate([v.ravel() for v in jax.tree.leaves(ends[-1])])
        errors = [
            float(
                jnp.linalg.norm(
                    jnp.concatenate([v.ravel() for v in jax.tree.leaves(e)]) - exact
                )
            )
            for e in ends[:-1]
        ]
        assert_allclose(-order_of(errors), order, atol=0.2)


def test_substeps_go_to_the_flow_under_a_held_input():
    with precision(np.float64):
        cell = wide(made("lem", 1, 3, dt=0.5))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(6, 1)))
        ends = [
            run_cell(Substeps(cell, count) if count > 1 else cell, us)[0][0]
            for count in (1, 2, 4, 8, 512)
        ]
        errors = [float(jnp.linalg.norm(e - ends[-1])) for e in ends[:-1]]
        assert_allclose(-order_of(errors), 1.0, atol=0.2)
    with pytest.raises(ConfigError, match="map from step to step"):
        with_dt(made("gru"), 2.0)
    with pytest.raises(ConfigError, match=r"NoisyCell .* or the one that is wrapped"):
        with_dt(made("noisy"), 2.0)
    with pytest.raises(ConfigError, match="Substeps: count is 0"):
        Substeps(cell, 0)


def test_noise_has_the_spread_of_the_ornstein_uhlenbeck_process():
    r"""With W = 0 and A = -gamma I the state is dh = -gamma h dt + eps sigma1 dB (tanh
    of the bias apart): its variance in time goes to (eps sigma1)^2 / (2 gamma)."""
    gamma, sigma, epsilon = 2.0, 0.7, 0.5
    calm = LipschitzCell(1, 64, dt=0.01, beta=1.0, gamma=gamma, key=KEY)
    zero = jnp.zeros_like
    at = lambda c: (c.matrix, c.linear, c.input, c.bias, c.gamma_w.value)
    calm = eqx.tree_at(at, calm, tuple(map(zero, at(calm))))
    cell = NoisyCell(calm, epsilon=epsilon, sigma1=sigma, sigma2=0.0)
    us = jnp.zeros((6000, 1))
    run = lambda key: run_cell(cell, us, key=key, all_states=True)[1][1000:]
    states = jax.jit(jax.vmap(run))(jax.random.split(KEY, 8))
    wanted = (epsilon * sigma) ** 2 / (2 * gamma)
    assert float(jnp.var(states)) == pytest.approx(wanted, rel=0.05)


@pytest.mark.slow
def test_euler_and_maruyama_has_strong_order_one_half():
    """Multiplicative noise on dh = -gamma h dt + eps (sigma1 - sigma2 gamma h) dB,
    with the same path of B at every step length."""
    gamma, s1, s2 = 1.0, 0.5, 2.0
    calm = LipschitzCell(1, 1, dt=0.1, beta=1.0, gamma=gamma, key=KEY)
    at = lambda c: (c.matrix, c.linear, c.input, c.bias, c.gamma_w.value)
    calm = eqx.tree_at(at, calm, tuple(jnp.zeros_like(v) for v in at(calm)))
    paths, finest, span = 2000, 1024, 1.0
    draws = jax.random.normal(KEY, (paths, finest)) * math.sqrt(span / finest)

    @jax.jit
    def end(cell, noise):
        weights, fed = cell.weights(), jnp.zeros(1)
        one = lambda h, xi: (cell.shaken(weights, h, fed, Shaken(xi, xi)), None)
        return jax.lax.scan(one, jnp.ones(1), noise[:, None])[0][0]

    def ends(steps):
        dt = span / steps
        cell = NoisyCell(with_dt(calm, dt), epsilon=1.0, sigma1=s1, sigma2=s2)
        joined = draws.reshape(paths, steps, -1).sum(axis=2) / math.sqrt(dt)
        return jax.vmap(lambda n: end(cell, n))(joined)

    exact = ends(finest)
    strong, weak = [], []
    for steps in (8, 16, 32, 64):
        found = ends(steps)
        strong.append(float(jnp.sqrt(jnp.mean((found - exact) ** 2))))
        weak.append(abs(float(jnp.mean(found)) - math.exp(-gamma * span)))
    assert_allclose(np.mean(-order_of(strong)), 0.5, atol=0.15)
    # the mean obeys Euler's rule for h' = -gamma h exactly: (1 - dt)^n
    means = [(1 - 1 / n) ** n - math.exp(-1.0) for n in (8, 16, 32, 64)]
    assert_allclose(-order_of(np.abs(means)), 1.0, atol=0.1)
    spread = float(jnp.std(ends(8))) / math.sqrt(paths)
    assert abs(weak[0] - abs(means[0])) < 5 * spread


def test_research_noise_is_bounded_and_absent_without_a_key():
    calm = LipschitzCell(1, 5, dt=0.05, key=KEY)
    cell = NoisyCell(calm, sigma1=0.0, sigma2=0.3, noise="research")
    us = jnp.ones((20, 1))
    assert_allclose(run_cell(cell, us)[0], run_cell(calm, us)[0], rtol=1e-5)
    noise = cell.draw(500, KEY)
    assert float(noise.factor.min()) >= 0.7
    assert float(noise.factor.max()) <= 1.0
    one, two = (run_cell(cell, us, key=jax.random.key(k))[0] for k in (0, 1))
    assert not np.allclose(one, two)
    assert cell.steps is not None  # a step of every entry is trained
    assert num_parameters(cell) == num_parameters(calm) + 5


def test_margin_tells_whether_states_approach_each_other():
    calm = LipschitzCell(1, 6, dt=0.01, gamma=2.0, gamma_w=0.0, key=KEY)
    a, w = (np.asarray(v, np.float64) for v in calm.weights())
    by_numpy = -np.linalg.eigvalsh((a + a.T) / 2)[-1] - np.linalg.svd(w)[1][0]
    assert stability_margin(calm) == pytest.approx(by_numpy, rel=1e-5)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(300, 1)), jnp.float32)
    ends = [run_cell(calm, us, state=s * jnp.ones(6))[0] for s in (-1.0, 1.0)]
    assert float(jnp.linalg.norm(ends[0] - ends[1])) < math.sqrt(24) * math.exp(
        -0.9 * stability_margin(calm) * 3.0
    )
    assert stability_margin(LipschitzCell(1, 6, gamma=0.0, key=KEY)) < 0
    with pytest.raises(ConfigError, match="gated"):
        stability_margin(LipschitzCell(1, 6, gated=True, key=KEY))
    with pytest.raises(ConfigError, match="a NoisyCell ask"):
        stability_margin(NoisyCell(calm))
    half = LipschitzCell(1, 6, gamma=2.0, gamma_w=0.0, alpha=0.5, key=KEY)
    top = np.linalg.eigvalsh((a + a.T) / 2)[-1]
    assert stability_margin(half) == pytest.approx(by_numpy + top / 2, rel=1e-5)


def test_the_gate_of_a_lipschitz_cell_multiplies_its_right_hand_side():
    plain = LipschitzCell.antisymmetric(1, 3, key=KEY)
    gated = LipschitzCell.antisymmetric(1, 3, gated=True, key=KEY)
    at = lambda c: (c.matrix, c.input, c.bias)
    rows = lambda v: jnp.concatenate([v, v])
    gated = eqx.tree_at(at, gated, (plain.matrix, rows(plain.input), rows(plain.bias)))
    h, u = jnp.array([0.3, -0.2, 0.1]), jnp.ones(1)
    inner = jnp.arctanh(plain.drift(h, u))
    wanted = plain.drift(h, u) * jax.nn.sigmoid(inner)
    assert_allclose(gated.drift(h, u), wanted, rtol=1e-4)


@pytest.mark.parametrize("name", FEW)
def test_a_model_is_the_same_after_saving(name, tmp_path):
    model = recurrent_model(name, 2, 3, 1, key=KEY)
    save_tree(tmp_path / "m.safetensors", {"model": model}, {})
    tree, _ = load_tree(tmp_path / "m.safetensors")
    back = to_device(tree)
    us = jnp.ones((4, 2))
    assert_array_equal(model(us), back["model"](us))


def test_bad_input_is_refused():
    for bad, words in (
        (dict(beta=1.5), "beta"),
        (dict(gamma=-1.0), "gamma"),
        (dict(alpha=-1.0), "alpha"),
        (dict(dt=0.0), "dt"),
        (dict(scheme="rk3"), 'scheme "rk3"'),
        (dict(size=0), "size"),
    ):
        with pytest.raises(ConfigError, match=words):
            LipschitzCell(**{"in_size": 1, "size": 2, **bad}, key=KEY)
    with pytest.raises(ConfigError, match="gamma"):
        CoRNNCell(1, 2, gamma=-1.0, key=KEY)
    with pytest.raises(ConfigError, match="tau_y"):
        TwoScaleCell(1, 2, tau_y=0.0, key=KEY)
    with pytest.raises(ConfigError, match="radii"):
        LinearRecurrentUnit(1, 2, radii=(0.9, 1.2), key=KEY)
    with pytest.raises(ConfigError, match='rotation "caley"'):
        OrthogonalCell(1, 2, rotation="caley", key=KEY)
    with pytest.raises(ConfigError, match="euler"):
        NoisyCell(LipschitzCell(1, 2, scheme="rk2", key=KEY))
    with pytest.raises(ConfigError, match="sigma1"):
        NoisyCell(LipschitzCell(1, 2, key=KEY), sigma1=-0.1)
    with pytest.raises(ConfigError, match="research noise has none"):
        NoisyCell(LipschitzCell(1, 2, key=KEY), epsilon=0.1, noise="research")
    with pytest.raises(ConfigError, match="at most 1"):
        NoisyCell(LipschitzCell(1, 2, key=KEY), sigma2=1.5, noise="research")
    with pytest.warns(PendulaWarning, match="above 1"):
        LEMCell(1, 2, dt=1.5, key=KEY)
    with pytest.warns(PendulaWarning, match="LEMCell: dt is 1.5; above 1"):
        with_dt(LEMCell(1, 2, key=KEY), 1.5)
    with pytest.warns(PendulaWarning, match="unstable"):
        CoRNNCell(1, 2, dt=1.0, epsilon=4.0, key=KEY)
    with pytest.warns(PendulaWarning, match=r"dt 1 times .* epsilon 4.7 is above 2"):
        with_dt(CoRNNCell(1, 2, key=KEY), 1.0)
    with pytest.raises(
        ConfigError, match=r'cell "lemm" is unknown. Did you mean "lem"'
    ):
        recurrent_model("lemm", 1, 2, 1, key=KEY)
    with pytest.raises(ConfigError, match='lem has no setting "gamma"'):
        recurrent_model("lem", 1, 2, 1, gamma=0.1, key=KEY)
    with pytest.raises(ConfigError, match='mode "first"'):
        recurrent_model("lem", 1, 2, 1, mode="first", key=KEY)
    model = recurrent_model("lem", 2, 2, 1, key=KEY)
    with pytest.raises(ShapeError, match="at least one sample"):
        model(jnp.ones((0, 2)))
    with pytest.raises(ShapeError, match=r"expected \(time, 2\)"):
        model(jnp.ones((5, 3)))
    for length in (6, -1):
        with pytest.raises(DataError, match=f"length {length} of a sequence of 5"):
            model(jnp.ones((5, 2)), jnp.asarray(length))
        with pytest.raises(DataError, match="between 0 and 5"):
            run_cell(model.cell, jnp.ones((5, 2)), length=jnp.asarray(length))


@pytest.mark.slow
def test_long_sequences_keep_few_states():
    """The gradient over 10 000 samples of 50 sequences, N = 128, in less than 4 GB, by
    what the compiler sets aside."""
    model = recurrent_model("lem", 2, 128, 1, key=KEY)
    weights, rest = eqx.partition(model, eqx.is_inexact_array)

    def loss(weights, us):
        return jnp.sum(jax.vmap(eqx.combine(weights, rest))(us) ** 2)

    us = jax.ShapeDtypeStruct((50, 10000, 2), jnp.float32)
    program = jax.jit(jax.grad(loss)).lower(weights, us).compile()
    assert program.memory_analysis().temp_size_in_bytes < 4e9
