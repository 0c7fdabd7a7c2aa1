"""Every scheme has its stated order; leapfrog keeps the structure; bad tableaux."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import _registry as registry
from pendula._errors import ConfigError, ShapeError, Status
from pendula.data import input_path
from pendula.solve import LEAPFROG, Tableau, rollout, rollout_steps, scheme


# kvaerno5 adapts its step, so that its error has no order: test_adaptive.py
SCHEMES = [name for name in registry.names("scheme") if name != "kvaerno5"]


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def exact(t):
    """A motion that a driven, damped, hardening oscillator is made to follow."""
    return jnp.stack([jnp.cos(2 * t) + t**2, -2 * jnp.sin(2 * t) + 2 * t])


def driven(t, y, u, context):
    """Second order, nonlinear, damped, time-dependent; solved by `exact`."""
    q, v = y
    qe, ve = exact(t)
    a = -4 * jnp.cos(2 * t) + 2 - (q**3 - qe**3) - 0.7 * (v - ve) + 0.3 * (q - qe) * v
    return jnp.stack([v, a])


def undamped(t, y, u, context):
    """The same without what depends on v."""
    q, v = y
    qe, _ = exact(t)
    return jnp.stack([v, -4 * jnp.cos(2 * t) + 2 - (q**3 - qe**3)])


def slope(errors, ratio=2.0):
    """The order that each halving of the step shows."""
    errors = np.asarray(errors)
    return np.log(errors[:-1] / errors[1:]) / np.log(ratio)


@pytest.mark.parametrize("name", SCHEMES)
def test_order_on_a_time_dependent_field(name):
    method = scheme(name)
    field = undamped if name == "yoshida4" else driven
    # four step sizes, padded with steps of length 0 to one shape: one compile
    counts = np.array([16, 32, 64, 128]) * (4 if method.order == 1 else 1)
    dts = np.zeros((4, counts[-1]))
    for row, count in enumerate(counts):
        dts[row, :count] = 1.0 / count
    run = jax.jit(
        jax.vmap(
            lambda d: rollout_steps(
                field, exact(0.0), jnp.zeros(()), d, scheme=method
            ).ys[-1]
        )
    )
    ends = np.asarray(run(jnp.asarray(dts)))
    errors = np.abs(ends - np.asarray(exact(1.0))).max(axis=1)
    assert np.all(np.abs(slope(errors) - method.order) < 0.2), errors


def forced_exactly(ts, coefficients, y0):
    """y' = -y + u for polynomial u on every interval: particular solution by
    comparing coefficients, the rest decays."""
    out = [y0]
    for h, c in zip(np.diff(ts), coefficients[:, :, 0], strict=True):
        p = np.zeros(5)
        for i in (3, 2, 1, 0):
            p[i] = c[i] - (i + 1) * p[i + 1]
        at_end = np.polyval(p[3::-1], h)
        out.append(at_end + (out[-1] - p[0]) * np.exp(-h))
    return np.array(out)


@pytest.mark.parametrize("name", ["heun", "rk4", "rk4_38"])
def test_order_with_held_linear_and_cubic_inputs(name):
    ts = np.array([0.0, 0.4, 1.1, 1.5, 2.3, 3.0])
    samples = np.array([1.0, -0.5, 0.8, 0.2, -1.0, 0.4])[:, None]
    kinds = ("held", "linear", "spline")
    paths = np.stack([input_path(ts, samples, kind) for kind in kinds])
    want = np.stack([forced_exactly(ts, c, 0.3) for c in paths])
    dts, start = jnp.asarray(np.diff(ts)), jnp.asarray(np.array([0.3]))
    run = jax.jit(
        jax.vmap(
            lambda path, count: rollout_steps(
                lambda t, y, u, c: -y + u,
                start,
                jnp.zeros(()),
                dts,
                path,
                scheme=scheme(name),
                substeps=count,
            ).ys[:, 0],
            in_axes=(0, None),
        )
    )
    got = [run(jnp.asarray(paths), jnp.asarray(count)) for count in (8, 16, 32, 64)]
    errors = [np.abs(ys - want).max(axis=1) for ys in got]
    slopes = slope(errors)
    assert np.all(np.abs(slopes - scheme(name).order) < 0.2), slopes


@pytest.mark.parametrize("name", ["rk4", "rk4_38"])
def test_fourth_order_integrates_cubics_in_time_exactly(name):
    out = rollout(
        lambda t, y, u, c: jnp.reshape(4 * t**3 - t, (1,)),
        jnp.zeros(1),
        np.array([0.5, 2.0]),
        scheme=name,
    )
    assert float(out.ys[-1, 0]) == pytest.approx((16 - 2) - (0.5**4 - 0.125), rel=1e-14)


def quartic(t, y, u, context):
    """A bistable potential: two degrees of freedom, no damping."""
    q, v = y[:2], y[2:]
    return jnp.concatenate([v, q - q**3 - 0.5 * q[::-1]])


@pytest.mark.parametrize("name", ["leapfrog", "yoshida4", "implicit_midpoint"])
def test_geometric_schemes_are_symplectic_and_reversible(name):
    y0 = jnp.array([0.3, -0.8, 0.5, 0.1])
    step = lambda y, h: scheme(name).step(
        quartic, jnp.zeros(()), y, jnp.asarray(h), lambda s: None, None
    )
    jacobian = jax.jacfwd(lambda y: step(y, 0.1))(y0)
    eye, zero = jnp.eye(2), jnp.zeros((2, 2))
    form = jnp.block([[zero, eye], [-eye, zero]])
    np.testing.assert_allclose(jacobian.T @ form @ jacobian, form, atol=1e-14)
    np.testing.assert_allclose(step(step(y0, 0.1), -0.1), y0, atol=1e-15)


def test_leapfrog_bounds_the_energy_error_where_heun_drifts():
    field = lambda t, y, u, c: jnp.stack([y[1], -y[0]])
    ts = np.arange(4001) * 0.1
    energy = {}
    for name in ("leapfrog", "heun"):
        run = jax.jit(lambda y, n=name: rollout(field, y, ts, scheme=n).ys)
        energy[name] = np.sum(np.asarray(run(jnp.array([1.0, 0.0]))) ** 2, axis=1)
    # bound of the oscillation: relative h^2/4, over 60 periods
    assert np.abs(energy["leapfrog"] - 1).max() < 0.1**2 / 4 * 1.01
    assert energy["heun"][-1] > 1.09


def twisted(t, y, u, context):
    """Hamilton's equations of H = (1 + q^2)(1 + p^2) / 2: not separable."""
    q, p = y
    return jnp.stack([(1 + q**2) * p, -(1 + p**2) * q])


def test_implicit_midpoint_bounds_an_energy_that_is_not_separable():
    ts = np.arange(2001) * 0.1
    run = jax.jit(lambda y: rollout(twisted, y, ts, scheme="implicit_midpoint").ys)
    q, p = np.asarray(run(jnp.array([0.8, 0.0]))).T
    energy = 0.5 * (1 + q**2) * (1 + p**2)
    drift = np.abs(energy / energy[0] - 1)
    assert drift.max() < 5e-3
    assert drift[-200:].max() < 1.05 * drift[:200].max()


def test_implicit_midpoint_keeps_quadratic_invariants_to_its_tolerance():
    """Euler's equations of a free rigid body: energy and spin are quadratic."""
    inertia = jnp.array([1.0, 2.0, 3.5])
    field = lambda t, y, u, c: jnp.cross(y, y / inertia)
    run = jax.jit(lambda y: rollout(field, y, ts, scheme="implicit_midpoint").ys)
    ts = np.arange(201) * 0.3
    ys = np.asarray(run(jnp.array([0.3, 1.0, 0.4])))
    for weight in (np.ones(3), 1 / np.asarray(inertia)):
        value = ys**2 @ weight
        np.testing.assert_allclose(value, value[0], rtol=1e-12)


def test_implicit_midpoint_is_stable_on_stiff_decay_and_differentiable():
    def end(rate):
        field = lambda t, y, u, c: -rate * y
        return rollout(field, jnp.ones(1), ts, scheme="implicit_midpoint").ys[-1, 0]

    ts = np.array([0.0, 0.1, 0.2])
    value, slope_ = jax.jit(jax.value_and_grad(end))(1e4)
    shrink = (1 - 500.0) / (1 + 500.0)
    assert float(value) == pytest.approx(shrink**2, rel=1e-10)
    assert float(slope_) == pytest.approx(2 * shrink * -0.1 / 501.0**2, rel=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_implicit_midpoint_has_no_unit_of_its_own(dtype):
    """The same steps in units in which the state is tiny, or large."""

    def swing(t, y, u, unit):
        q, v = y / unit
        return unit * jnp.stack([v, -jnp.sin(q) - q**3])

    @jax.jit
    @jax.vmap
    def path(unit):
        y0, ts = unit * jnp.asarray([1.5, 0.0], dtype), np.linspace(0, 10, 41)
        out = rollout(swing, y0, ts, context=unit, scheme="implicit_midpoint")
        return out.ys / unit, out.status

    ys, status = path(jnp.asarray([1.0, 1e-9, 1e-3, 1e3, 1e9], dtype))
    np.testing.assert_array_equal(status, Status.ok)
    off = 1e-4 if dtype == "float32" else 1e-12  # rounding, over 41 steps
    np.testing.assert_allclose(ys, np.broadcast_to(ys[:1], ys.shape), atol=off)


def test_an_implicit_step_without_solution_is_a_status():
    """y' = y + h (1 + m^2) with m the middle has no real solution for large h."""
    field = lambda t, y, u, c: 1 + y**2
    out = rollout(field, jnp.zeros(1), [0.0, 5.0], scheme="implicit_midpoint")
    assert int(out.status) == Status.non_finite_state
    assert np.isnan(out.ys[-1]).all()


def test_yoshida_beats_leapfrog_at_equal_evaluations_below_one_percent():
    """A pendulum swung to 2 rad for 20 s; evaluations in 2 s, six and two a step."""
    field = lambda t, y, u, c: jnp.stack([y[1], -9.81 * jnp.sin(y[0])])

    def error(name, steps):
        ts = 2.0 / steps * np.arange(10 * steps + 1)
        run = jax.jit(lambda y: rollout(field, y, ts, scheme=name).ys)
        q, v = np.asarray(run(jnp.array([2.0, 0.0]))).T
        energy = 0.5 * v**2 - 9.81 * np.cos(q) + 9.81
        return np.abs(energy / energy[0] - 1).max()

    for evaluations, gain in ((120, 2.0), (480, 30.0)):
        ours, rival = evaluations // 6, evaluations // 2
        assert gain * error("yoshida4", ours) < error("leapfrog", rival)
    assert 5e-3 < error("yoshida4", 10) < 2e-2
    assert 5e-3 < error("leapfrog", 30) < 2e-2


def test_yoshida_has_order_three_with_damping():
    errors = []
    for count in (32, 64, 128):
        ts = np.linspace(0.0, 1.0, count + 1)
        out = rollout(driven, exact(0.0), ts, scheme="yoshida4")
        errors.append(np.abs(out.ys[-1] - exact(1.0)).max())
    assert np.all(np.abs(slope(errors) - 3) < 0.3), errors


def test_leapfrog_refuses_states_that_are_no_positions_and_velocities():
    with pytest.raises(ShapeError, match="3 components"):
        rollout(lambda t, y, u, c: y, jnp.ones(3), [0.0, 1.0], scheme="leapfrog")

    class First:
        second_order = False

        def __call__(self, t, y, u, c):
            return -y

    with pytest.raises(ConfigError, match="leapfrog cannot step First"):
        rollout(First(), jnp.ones(2), [0.0, 1.0], scheme="leapfrog")


def test_schemes_by_name():
    assert scheme("rk4").order == 4
    assert scheme(LEAPFROG) is LEAPFROG
    with pytest.raises(ConfigError, match='Did you mean "euler"'):
        scheme("eular")


@pytest.mark.parametrize(
    ("a", "b", "c", "text"),
    [
        (((), (0.5, 0.5)), (0.5, 0.5), (0.0, 1.0), "Row i of a needs i entries"),
        (((), (1.0,)), (0.5,), (0.0, 1.0), "1 weights"),
        (((), (1.0,)), (0.5, 0.6), (0.0, 1.0), "weights b sums to 1.1"),
        (((), (0.5,)), (0.5, 0.5), (0.0, 1.0), "row 1 of a sums to 0.5"),
    ],
)
def test_bad_tableaux_are_refused(a, b, c, text):
    with pytest.raises(ConfigError, match=text):
        Tableau("mine", 2, a, b, c)
