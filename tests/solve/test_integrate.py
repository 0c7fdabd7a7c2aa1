"""The Diffrax gateway: tolerance, inputs, stiffness, events, status, gradient."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import special

from pendula._errors import ConfigError, ShapeError, Status
from pendula.data import input_path
from pendula.solve import integrate


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def riccati(t, y, u, context):
    """y' = c y^2: y0 / (1 - c y0 t)."""
    return context * y * y


@pytest.fixture(scope="module")
def mixed():
    """One compiled batch: healthy, blowing up, past the bound, three refused."""
    with jax.enable_x64(True):
        ts = 5.0 + np.linspace(0, 2, 21)
        nan, inf = float("nan"), float("inf")
        y0 = jnp.asarray(np.array([[0.5], [1.0], [0.4], [nan], [0.5], [1e200]]))
        c = jnp.asarray(np.array([[-1.0], [1.0], [1.0], [1.0], [inf], [1.0]]))

        @eqx.filter_jit
        @eqx.debug.assert_max_traces(max_traces=1)
        def run(y0, c, tol, bound):
            return jax.vmap(
                lambda y, c: integrate(
                    riccati, y, ts, None, c, rtol=tol, atol=tol, bound=bound
                )
            )(y0, c)

        low, bound = jnp.asarray(1e-9), jnp.asarray(1.5)
        loose = run(y0, c, jnp.asarray(1e-4), jnp.asarray(1e3))
        return loose, run(y0, c, low, jnp.asarray(1e300)), run(y0, c, low, bound), ts


def test_status_says_what_happened_to_each_member(mixed):
    _, out, bounded, _ = mixed
    assert [Status(int(s)).name for s in out.status] == [
        "ok",
        "step_too_small",
        "ok",
        "non_finite_input",
        "non_finite_input",
        "non_finite_state",
    ]
    assert int(bounded.status[2]) == Status.diverged


def test_status_says_when(mixed):
    _, out, bounded, ts = mixed
    np.testing.assert_array_equal(np.isinf(out.t_fail), [1, 0, 1, 0, 0, 0])
    assert float(out.t_fail[1]) == pytest.approx(6.0, abs=1e-6)  # the pole
    np.testing.assert_array_equal(out.t_fail[3:], 5.0)
    # 0.4 / (1 - 0.4 t) passes 1.5 at t = 1.8333; the next sample is 1.9
    assert float(bounded.t_fail[2]) == pytest.approx(6.9)
    for run in (out, bounded):
        for ys, t_fail in zip(np.asarray(run.ys), np.asarray(run.t_fail), strict=True):
            failed = ts >= t_fail
            assert np.all(np.isnan(ys[failed]))
            assert np.all(np.isfinite(ys[~failed]))


def test_error_follows_the_tolerance(mixed):
    loose, tight, _, ts = mixed
    want = 0.5 / (1 + 0.5 * (ts - 5.0))
    errors = [np.abs(np.asarray(r.ys)[0, :, 0] - want).max() for r in (loose, tight)]
    assert errors[0] < 1e-3
    assert errors[1] < 1e-8 < errors[0]
    assert int(loose.steps[0]) < int(tight.steps[0])


def oscillator(t, y, u, context):
    push = 0.0 if u is None else u[0]
    return jnp.stack([y[1], push - context[0] * jnp.sin(y[0]) - context[1] * y[1]])


def linear(t, y, u, context):
    return u - y


@pytest.mark.parametrize("kind", ["held", "spline"])
def test_inputs_are_followed_exactly(kind):
    """y' = u - y with u held or cubic: matching coefficients gives the answer. The
    last time is repeated (padding)."""
    ts = np.array([0.0, 0.7, 1.0, 2.2, 3.0, 3.0])
    samples = np.array([1.0, -2.0, 0.5, 3.0, 0.0, 0.0])[:, None]
    path, want = input_path(ts, samples, kind), [0.2]
    for h, c in zip(np.diff(ts), path[:, :, 0], strict=True):
        p = np.zeros(5)
        for i in (3, 2, 1, 0):
            p[i] = c[i] - (i + 1) * p[i + 1]
        want.append(np.polyval(p[3::-1], h) + (want[-1] - p[0]) * np.exp(-h))
    out = integrate(linear, np.array([0.2]), ts, path, rtol=1e-9, atol=1e-11)
    assert int(out.status) == 0
    np.testing.assert_allclose(out.ys[:, 0], want, rtol=0, atol=2e-8)


def test_a_small_motion_is_followed_as_well_as_a_large_one():
    """With 1e-8 for the absolute tolerance one of 1e-9 was off by its whole size."""
    ts, sizes = np.array([0.0, 3.0, 6.0]), jnp.asarray([1e-9, 1.0, 1e3])
    spring = lambda t, y, u, c: jnp.stack([y[1], -4.0 * y[0]])
    run = lambda size: integrate(spring, jnp.asarray([1.0, 0.0]) * size, ts)
    out = jax.vmap(run)(sizes)
    np.testing.assert_array_equal(out.status, 0)
    for ys, size in zip(np.asarray(out.ys), np.asarray(sizes), strict=True):
        np.testing.assert_allclose(ys[:, 0] / size, np.cos(2.0 * ts), atol=2e-5)


def test_stiff_decay_onto_a_slow_curve():
    """y' = -k (y - cos t) - sin t, k = 1e5: y = cos t after a boundary layer. The
    implicit solver walks, the explicit one runs out of steps."""
    field = lambda t, y, u, k: -k * (y - jnp.cos(t)) - jnp.sin(t)
    ts = np.linspace(0, 3, 4)
    settings = {"rtol": 1e-7, "atol": 1e-9, "max_steps": 400}
    args = (field, jnp.array([0.0]), ts, None, jnp.array(1e5))
    stiff = integrate(*args, solver="kvaerno5", **settings)
    assert int(stiff.status) == 0
    np.testing.assert_allclose(stiff.ys[1:, 0], np.cos(ts[1:]), atol=1e-6)
    plain = integrate(*args, solver="tsit5", **settings)
    assert Status(int(plain.status)) == Status.max_steps_reached
    assert np.isnan(plain.ys[-1]).all()
    assert 0 < float(plain.t_fail) < 3


def test_an_event_stops_at_its_time():
    """A pendulum released at rest hangs after a quarter of its period; one that is
    kicked where it hangs comes back there after half of it."""
    quarter = special.ellipk(np.sin(0.5) ** 2) / np.sqrt(2.0)
    starts = jnp.array([[1.0, 0.0], [0.0, np.sqrt(8.0) * np.sin(0.5)]])
    out = jax.vmap(
        lambda start: integrate(
            oscillator,
            start,
            10.0 + np.linspace(0, 3, 13),
            None,
            np.array([2.0, 0.0]),
            rtol=1e-10,
            atol=1e-10,
            event=lambda t, y, context: y[0],
        )
    )(starts)
    assert (out.status == Status.event).all()
    np.testing.assert_allclose(out.t_fail - 10.0, [quarter, 2 * quarter], atol=1e-8)
    assert np.isfinite(out.ys[0, :5]).all()
    assert np.isnan(out.ys[0, 5:]).all()


@pytest.mark.slow
def test_an_event_in_a_batch_and_in_any_unit():
    """One member has none; values and times are far from 1."""

    @jax.jit
    @jax.vmap
    def run(y0, unit):
        return integrate(
            lambda t, y, u, c: -unit * y,
            y0[None],
            jnp.linspace(0.0, 2.0, 5) / unit,
            event=lambda t, y, c: unit * (y[0] - 0.5),
            rtol=1e-9,
            atol=1e-11,
        )

    out = run(jnp.asarray([1.0, 0.4, 1.0]), jnp.asarray([1.0, 1.0, 1e9]))
    event, ok = int(Status.event), int(Status.ok)
    np.testing.assert_array_equal(out.status, [event, ok, event])
    expected = [np.log(2.0), np.inf, 1e-9 * np.log(2.0)]
    np.testing.assert_allclose(out.t_fail, expected, rtol=1e-8)


def test_gradient_equals_central_differences():
    ts = np.linspace(0, 2, 6)
    us = jnp.asarray(np.cos(ts)[:, None])

    def loss(y0, context, us):
        run = integrate(oscillator, y0, ts, us, context, rtol=1e-9, atol=1e-9)
        return jnp.sum(run.ys**2)

    args = (jnp.array([1.0, 0.1]), jnp.array([2.0, 0.3]), us)
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    value, (_, grads) = (lambda *a: both(*a)[0]), both(*args)
    for i, (grad, arg) in enumerate(zip(grads, args, strict=True)):
        d = np.cos(np.arange(arg.size)).reshape(arg.shape)
        moved = lambda s, i=i, d=d: value(
            *(a + s * d if j == i else a for j, a in enumerate(args))
        )
        # a wider stencil than for rollout: the steps adapt, which jitters at 1e-9
        numeric = (moved(1e-3) - moved(-1e-3)) / 2e-3
        numeric = (8 * (moved(5e-4) - moved(-5e-4)) / 1e-3 - 2 * numeric) / 6
        assert float(jnp.sum(grad * d)) == pytest.approx(float(numeric), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"solver": "kvarno5"}, ConfigError, 'Did you mean "kvaerno5"'),
        ({"max_steps": 0}, ConfigError, "max_steps is 0"),
        ({"rtol": 0.0}, ConfigError, "rtol is 0"),
        ({"atol": -1.0}, ConfigError, "atol is -1"),
        ({"ts": [0.0]}, ShapeError, "at least two times"),
        ({"ts": [0.0, 1.0, 0.5]}, ConfigError, "ts goes backwards"),
        ({"ts": [1.0, 1.0]}, ConfigError, "no time passes"),
        ({"y0": np.ones((2, 1))}, ShapeError, "Use jax.vmap"),
        ({"us": np.zeros((5, 1))}, ShapeError, r"samples \(2, ctrl\)"),
        ({"event": lambda t, y, c: y[0] < 0.5}, ConfigError, "event gives bool"),
        ({"event": lambda t, y, c: y}, ConfigError, "one real number that crosses"),
    ],
)
def test_bad_input_is_refused_before_any_compile(change, error, text):
    args = {"y0": np.ones(1), "ts": [0.0, 1.0], "us": None, **change}
    with pytest.raises(error, match=text):
        integrate(riccati, context=np.ones(1), **args)


def test_steps_as_long_as_the_gaps_between_samples_reach_them():
    """Where a step of the solver is about a gap, it may miss the sample by rounding;
    the step over the remainder must not end the motion as too small."""

    def bob(t, y, u, c):
        x, z, vx, vz = y
        turn, pull = -9.81 * z, vx**2 + vz**2
        return jnp.stack([vx, vz, -turn * z - pull * x, turn * x - pull * z])

    with jax.enable_x64(True):
        start = jnp.asarray([np.cos(2.4), np.sin(2.4), 0.0, 0.0])
        ts = 0.02 * np.arange(801)
        out = integrate(bob, start, ts, solver="dopri8", rtol=1e-12, atol=1e-12)
    assert int(out.status) == Status.ok
    drift = out.ys[:201, 0] ** 2 + out.ys[:201, 1] ** 2 - 1.0
    assert float(jnp.abs(drift).max()) < 1e-9


@pytest.mark.parametrize("solver", ["kvaerno5", "dopri8"])
def test_one_interval_has_no_samples_to_stop_at(solver):
    with jax.enable_x64(True):
        ts = np.array([0.0, 1.0])
        out = integrate(lambda t, y, u, c: -y, jnp.ones(1), ts, solver=solver)
    assert_allclose(out.ys[-1], np.exp(-1.0), rtol=1e-5)
