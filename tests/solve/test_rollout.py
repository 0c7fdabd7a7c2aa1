"""The rollout: padding, status, checkpointing, gradients, traces, bad input."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError, ShapeError, Status
from pendula.solve import as_field, integrate, linear_path, rollout, rollout_steps


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def pendulum(t, y, u, context):
    """Damped and pushed; `context` holds stiffness and damping."""
    push = 0.0 if u is None else u[0]
    a = -context[0] * jnp.sin(y[0]) - context[1] * y[1] + push
    return jnp.stack([y[1], a])


CONTEXT = np.array([2.0, 0.1])
Y0 = np.array([1.0, -0.3])
TS = np.array([0.0, 0.1, 0.25, 0.3, 0.45, 0.6, 0.7, 0.85])
US = np.sin(3 * TS)[:, None]


def test_zero_steps_are_no_ops_in_value_and_gradient():
    dts = np.diff(TS)
    paths = np.asarray(linear_path(jnp.asarray(US), jnp.asarray(dts)))
    padded = np.concatenate([dts, np.zeros(3)])
    held = np.zeros((3, 4, 1))
    held[:, 0] = US[-1]
    long = np.concatenate([paths, held])

    @jax.jit
    def final(steps, us, y0, context):
        ys = rollout_steps(pendulum, y0, jnp.zeros(()), steps, us, context).ys
        return jnp.sum(ys[-1] * jnp.array([1.0, 2.0])), ys

    both = jax.jit(jax.value_and_grad(final, argnums=(2, 3), has_aux=True))
    (value, ys), grads = both(dts, paths, Y0, CONTEXT)
    (value_padded, ys_padded), grads_padded = both(padded, long, Y0, CONTEXT)
    np.testing.assert_array_equal(ys_padded[: len(TS)], ys)
    np.testing.assert_array_equal(ys_padded[len(TS) :], np.tile(ys[-1], (3, 1)))
    assert value == value_padded
    jax.tree.map(np.testing.assert_array_equal, grads, grads_padded)


@pytest.fixture(scope="module")
def mixed():
    """Six members of one batch, of which only the first is healthy, and the
    healthy one alone. y' = c y^2 blows up at t = 1 / (c y0)."""
    with jax.enable_x64(True):
        ts = np.linspace(0, 2, 41)
        nan = float("nan")
        y0 = jnp.asarray(np.array([[0.5], [0.5], [0.9], [nan], [0.5], [0.5]]))
        c = jnp.asarray(np.array([[-1.0], [1e200], [0.6], [-1.0], [nan], [-1.0]]))
        us = np.zeros((6, 40, 4, 1))
        us[5, 7, 2] = np.inf

        @jax.jit
        @jax.vmap
        def run(y0, c, us):
            return rollout(lambda t, y, u, c: c * y * y + u, y0, ts, us, c, bound=1e3)

        us = jnp.asarray(us)
        return run(y0, c, us), run(y0[:1], c[:1], us[:1]), ts


def test_status_says_what_happened_to_each_member(mixed):
    out, _, _ = mixed
    assert out.status.dtype == jnp.int8
    assert [Status(int(s)) for s in out.status] == [
        Status.ok,
        Status.non_finite_state,
        Status.diverged,
        Status.non_finite_input,
        Status.non_finite_input,
        Status.non_finite_input,
    ]


def test_status_says_when(mixed):
    out, _, ts = mixed
    assert np.isinf(out.t_fail[0])
    np.testing.assert_array_equal(out.t_fail[3:], 0.0)
    # the pole of 0.6 y^2 from 0.9 is at t = 1.85
    assert 1.85 <= float(out.t_fail[2]) <= 1.95
    for ys, t_fail in zip(np.asarray(out.ys), np.asarray(out.t_fail), strict=True):
        failed = ts >= t_fail - 1e-9
        assert np.all(np.isnan(ys[failed]))
        assert np.all(np.isfinite(ys[~failed]))


def test_one_bad_member_leaves_the_others_alone(mixed):
    out, alone, ts = mixed
    np.testing.assert_array_equal(out.ys[0], alone.ys[0])
    np.testing.assert_allclose(out.ys[0, :, 0], 0.5 / (1 + 0.5 * ts), rtol=1e-7)


def test_a_bound_keeps_the_gradient_of_a_masked_loss_finite():
    ts = np.linspace(0, 2, 41)
    y0 = jnp.asarray(np.array([[0.5], [0.9], [np.nan]]))

    @jax.jit
    @jax.grad
    def gradient(c):
        run = jax.vmap(
            lambda y: rollout(lambda t, y, u, c: c * y * y, y, ts, None, c, bound=9.0)
        )
        ys = run(y0).ys
        return jnp.sum(jnp.where(jnp.isnan(ys), 0.0, ys))

    assert np.all(np.isfinite(gradient(jnp.asarray(np.array([0.6])))))


def test_a_failure_is_kept_also_when_the_field_recovers():
    field = lambda t, y, u, c: jnp.where((t > 0.35) & (t < 0.5), jnp.nan, -y)
    out = rollout(field, jnp.ones(1), np.linspace(0, 1, 11), scheme="euler")
    assert int(out.status) == Status.non_finite_state
    assert float(out.t_fail) == pytest.approx(0.5)
    assert np.isnan(out.ys[5:]).all()
    assert np.isfinite(out.ys[:5]).all()


def loss(y0, context, us, checkpoint=None, substeps=2):
    ys = rollout(
        pendulum, y0, TS, us, context, checkpoint=checkpoint, substeps=substeps
    ).ys
    return jnp.sum(jnp.sin(ys) ** 2), ys


@pytest.fixture(scope="module")
def plain():
    """Value, states and gradient without recomputation."""
    with jax.enable_x64(True):
        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))
        return run(Y0, CONTEXT, jnp.asarray(US))


@pytest.mark.parametrize("block", [1, 3])
def test_checkpointing_changes_nothing(plain, block):
    run = jax.jit(
        jax.value_and_grad(
            lambda *a: loss(*a, checkpoint=block), argnums=(0, 1, 2), has_aux=True
        )
    )
    (value, ys), grads = run(Y0, CONTEXT, jnp.asarray(US))
    (value_plain, ys_plain), grads_plain = plain
    np.testing.assert_allclose(ys, ys_plain, rtol=1e-14)
    assert float(value) == pytest.approx(float(value_plain), rel=1e-13)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14),
        grads,
        grads_plain,
    )


def test_checkpointing_recomputes_instead_of_storing():
    """What is kept for the backward pass: 3 blocks of 2 samples each hold the 3
    starting states, not the 6 inner ones."""
    pull = lambda block: (
        lambda y: jax.vjp(lambda y: loss(y, CONTEXT, None, block)[0], y)
    )
    residuals = lambda block: sum(
        leaf.size for leaf in jax.tree.leaves(jax.eval_shape(pull(block), Y0))
    )
    assert residuals(2) < 0.5 * residuals(None)


def test_filled_up_blocks_ask_the_field_where_it_has_values():
    field = lambda t, y, u, c: -y / (t * u[0])  # none at time 0, none without inputs

    def end(y0, block):
        us = jnp.full((8, 1), 2.0)
        out = rollout(field, y0, 1.0 + TS, us, checkpoint=block)
        return out.ys[-1, 0], out.status

    both = jax.jit(jax.value_and_grad(end, has_aux=True), static_argnums=1)
    (whole, _), slope = both(jnp.ones(1), None)
    (cut, status), same = both(jnp.ones(1), 5)
    assert status == Status.ok
    np.testing.assert_allclose([cut, same[0]], [whole, slope[0]], rtol=1e-14)


def test_gradient_equals_central_differences(plain):
    _, grads = plain
    value = jax.jit(lambda *a: loss(*a)[0])
    args = (Y0, CONTEXT, jnp.asarray(US))
    for i, (grad, arg) in enumerate(zip(grads, args, strict=True)):
        direction = np.cos(np.arange(arg.size)).reshape(arg.shape)
        moved = lambda s, i=i, d=direction: value(
            *(a + s * d if j == i else a for j, a in enumerate(args))
        )
        numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6
        assert float(jnp.sum(grad * direction)) == pytest.approx(
            float(numeric), rel=1e-5
        )


def test_substeps_equal_a_finer_grid():
    fine = np.interp(np.arange(0, 7.01, 0.25), np.arange(8), TS)
    once = rollout(pendulum, Y0, fine, None, CONTEXT)
    four = rollout(pendulum, Y0, TS, None, CONTEXT, substeps=4)
    np.testing.assert_allclose(four.ys, once.ys[::4], rtol=1e-12)
    assert int(four.steps) == int(once.steps) == 28


def test_a_traced_number_of_substeps_equals_a_static_one():
    y0, dts = jnp.asarray(Y0), jnp.asarray(np.diff(TS))
    run = jax.jit(
        lambda n: rollout_steps(
            pendulum, y0, jnp.zeros(()), dts, None, CONTEXT, substeps=n
        )
    )
    for count in (1, 4):
        traced = run(jnp.asarray(count))
        static = rollout(pendulum, Y0, TS, None, CONTEXT, substeps=count)
        np.testing.assert_allclose(traced.ys, static.ys, rtol=1e-14)
        assert int(traced.steps) == int(static.steps)


def test_other_numbers_of_equal_shape_do_not_trace_again():
    counted = eqx.filter_jit(
        eqx.debug.assert_max_traces(
            lambda y0, ts, us, c, bound: (
                rollout(pendulum, y0, ts, us, c, bound=bound).ys
            ),
            max_traces=1,
        )
    )
    for k in (1.0, 2.0, 3.0):
        ts, us = jnp.asarray(k * TS), jnp.asarray(k * US)
        counted(k * Y0, ts, us, CONTEXT / k, jnp.asarray(10.0 * k))


def test_vmap_equals_loop():
    y0s = jnp.asarray(np.stack([Y0, 2 * Y0, -Y0]))
    run = jax.jit(lambda y: rollout(pendulum, y, TS, None, CONTEXT).ys)
    loop = jnp.stack([run(y) for y in y0s])
    np.testing.assert_allclose(jax.vmap(run)(y0s), loop, rtol=1e-14)


def test_late_times_keep_their_steps_in_single_precision():
    """Host times are differenced in float64: at t = 1e6 s float32 has 0.06 s."""
    ts = 1e6 + np.linspace(0, 1, 11)
    out = rollout(lambda t, y, u, c: -y, jnp.ones(1, jnp.float32), ts)
    assert out.ys.dtype == jnp.float32
    assert float(out.ys[-1, 0]) == pytest.approx(np.exp(-1), rel=1e-6)


def test_samples_of_inputs_run_straight():
    dts = jnp.asarray(np.diff(TS))
    path = linear_path(jnp.asarray(US), dts)
    np.testing.assert_array_equal(path[:, 0], US[:-1])
    ends = path[:, 0] + path[:, 1] * dts[:, None]
    np.testing.assert_allclose(ends, US[1:], atol=1e-15)
    by_samples = rollout(pendulum, Y0, TS, US, CONTEXT)
    by_path = rollout(pendulum, Y0, TS, path, CONTEXT)
    np.testing.assert_array_equal(by_samples.ys, by_path.ys)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"ts": np.array([0.0])}, ShapeError, "at least two times"),
        ({"ts": np.zeros((2, 2))}, ShapeError, r"shape \(2, 2\)"),
        ({"ts": np.array([0.0, 2.0, 1.5])}, ConfigError, r"1.5 after 2 \(entry 2\)"),
        ({"ts": np.array([0.0, np.nan])}, ConfigError, "nan at entry 1"),
        ({"y0": jnp.ones((2, 2))}, ShapeError, "Use jax.vmap"),
        ({"y0": jnp.ones(2, jnp.int32)}, ShapeError, "floating vector"),
        ({"us": np.zeros((3, 1))}, ShapeError, r"samples \(8, ctrl\)"),
        ({"us": np.zeros((8, 4, 1))}, ShapeError, r"coefficients \(7, 4, ctrl\)"),
        ({"substeps": 0}, ConfigError, "substeps is 0"),
        ({"checkpoint": 0}, ConfigError, "checkpoint is 0"),
        ({"scheme": "rk5"}, ConfigError, 'Did you mean "rk4"'),
    ],
)
def test_bad_input_is_refused_before_any_compile(change, error, text):
    args = {"y0": Y0, "ts": TS, "us": None, "context": CONTEXT, **change}
    with pytest.raises(error, match=text):
        rollout(pendulum, **args)


def test_a_field_of_time_and_state_alone_is_one():
    ts = np.linspace(0.0, 1.0, 11)
    y0 = jnp.array([1.0, 0.0])
    turn = lambda t, y, *_: jnp.stack([y[1], -y[0]])
    long, short = (rollout(f, y0, ts) for f in (turn, lambda t, y: turn(t, y)))
    np.testing.assert_array_equal(long.ys, short.ys)


@pytest.mark.parametrize("solve", [rollout, integrate])
@pytest.mark.parametrize(
    ("field", "error", "told"),
    [
        (lambda t, y, u, c: y[0], ShapeError, r"float64\[\] for a state float64\[2\]"),
        (lambda t, y, u, c: y[:1], ShapeError, r"float64\[1\] for a state"),
        (lambda t, y, u, c: [y[1], -y[0]], ShapeError, r"gives list.*jnp\.stack"),
        (lambda t, y, u, c: jax.lax.complex(y, y), ShapeError, "real array"),
        (lambda t, y, u, c: None, ShapeError, "gives NoneType"),
        (lambda y: y, ConfigError, r"function of \(t, y, u, context\)"),
    ],
)
def test_what_is_no_field_is_refused(solve, field, error, told):
    with pytest.raises(error, match=told):
        solve(field, jnp.array([1.0, 0.0]), np.linspace(0.0, 1.0, 11))


def test_what_is_no_function_is_refused_with_what_to_give():
    for wrong in (3, "pendulum", type("Model", (), {})()):
        with pytest.raises(ConfigError, match=r"of the type.*fitted\.model\(\)\.field"):
            as_field(wrong)


@pytest.mark.parametrize("start", ["start", None, [[1.0], [1.0, 2.0]]])
def test_what_is_no_state_is_refused(start):
    with pytest.raises(ShapeError, match=r"y0 is .* expected a floating vector"):
        rollout(lambda t, y: -y, start, np.linspace(0.0, 1.0, 11))
