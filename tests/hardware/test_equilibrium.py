"""Equilibrium networks: exact gradients, orders, asymmetry, and a small training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError, DataError, FitWarning, ShapeError, Status
from pendula._precision import precision
from pendula.hardware import (
    EquilibriumNet,
    Implicit,
    Nudged,
    Oscillating,
    asymmetry,
    equilibrium_loss,
    fit_equilibrium,
    homeostasis,
)


ORDERS = {1: 1.5e-2, 2: 3.1e-4, 4: 2.2e-7, 6: 2.0e-10, 8: 2.3e-13}


def small(angle=0.0, seed=0):
    """12 and 10 sigmoid units, and one sample."""
    net = EquilibriumNet(
        (8, 12, 10), 4, angle=angle, readout_gain=0.3, key=jax.random.key(seed)
    )
    return net, jax.random.normal(jax.random.key(100), (1, 8)), jnp.zeros(1, int)


def vector(slope):
    """The gradient of all weights of the dynamics."""
    parts = (*slope.forward, *slope.backward, *slope.biases)
    return jnp.concatenate([p.ravel() for p in parts])


@eqx.filter_jit
def gradient(net, xs, labels, rule):
    loss = lambda n: equilibrium_loss(n, xs, labels, rule, key=jax.random.key(0))[0]
    return jax.grad(loss)(net)


@eqx.filter_jit
def both(net, xs, labels, rules, betas):
    """The exact gradient, and those of rules at each beta."""
    exact = gradient(net, xs, labels, Implicit(steps=1000, tol=1e-15))
    at = lambda rule: jax.lax.map(
        lambda b: vector(
            gradient(net, xs, labels, eqx.tree_at(lambda r: r.beta, rule, b))
        ),
        betas,
    )
    return vector(exact), [at(rule) for rule in rules]


@eqx.filter_jit
def settle(rule, net, xs, labels):
    """What a rule finds for the one sample."""
    return rule(net, xs[0], labels[0], key=jax.random.key(5))


def nudged(n):
    return Nudged(0.5, n, steps=1000, nudged_steps=1000, tol=1e-15)


@pytest.mark.slow
def test_error_falls_as_beta_to_the_number_of_points():
    with precision(np.float64):
        net, xs, labels = small()
        betas = jnp.asarray([0.5, 0.25, 1.0])
        exact, found = both(net, xs, labels, [nudged(n) for n in ORDERS], betas)
        size = jnp.linalg.norm(exact)
        errors = {
            n: np.asarray(jnp.linalg.norm(g - exact[None], axis=1) / size)
            for n, g in zip(ORDERS, found, strict=True)
        }
    for n, expected in ORDERS.items():
        assert expected / 5 < errors[n][0] < 5 * expected, (n, errors[n])
    for n in (1, 2, 4):  # higher ones meet the last digits
        slope = np.log2(errors[n][0] / errors[n][1])
        assert abs(slope - n) < 0.2, (n, slope)
    assert abs(np.log2(errors[6][2] / errors[6][0]) - 6) < 0.5


def test_asymmetry_is_not_cured_by_more_points():
    with precision(np.float64):
        for angle, error, cosine in ((30, 0.15, 0.989), (90, 0.36, 0.938)):
            net, xs, labels = small(angle)
            rules = [nudged(2), nudged(4)]
            exact, found = both(net, xs, labels, rules, jnp.asarray([0.5, 0.05]))
            found = jnp.concatenate(found)
            size = jnp.linalg.norm(exact)
            apart = np.asarray(jnp.linalg.norm(found - exact[None], axis=1) / size)
            along = found @ exact / jnp.linalg.norm(found, axis=1) / size
            assert_allclose(apart, apart[0], rtol=0.01)
            assert error / 3 < apart[0] < 3 * error
            assert abs(float(along[0]) - cosine) < 0.1


def test_exact_gradient_is_that_of_differences():
    with precision(np.float64):
        net, xs, labels = small(70.0)
        rule = Implicit(steps=2000, tol=1e-15)
        exact = gradient(net, xs, labels, rule)
        krylov = Implicit(lx.GMRES(rtol=1e-12, atol=1e-12), steps=2000, tol=1e-15)
        lu, other = (settle(r, net, xs, labels).errors for r in (rule, krylov))
        for a, b in zip(lu, other, strict=True):
            assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        direction = jax.tree.map(
            lambda w: jax.random.normal(jax.random.key(3), w.shape), net
        )

        @jax.jit
        def loss(step):
            moved = jax.tree.map(lambda w, d: w + step * d, net, direction)
            found = moved.relax(xs[0], steps=2000, tol=1e-15)
            logits = moved.logits(moved.active(found.states))
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels[0])

        numeric = (loss(1e-5) - loss(-1e-5)) / 2e-5
        along = sum(
            jnp.sum(g * d)
            for g, d in zip(
                jax.tree.leaves(exact), jax.tree.leaves(direction), strict=True
            )
        )
        assert_allclose(along, numeric, rtol=1e-6)


def test_oscillation_gives_the_same_errors_without_a_free_phase():
    with precision(np.float64):
        net, xs, labels = small()
        exact = settle(Implicit(steps=1000, tol=1e-14), net, xs, labels)
        online = settle(Oscillating(0.5, period=8, inner=30), net, xs, labels)
        assert int(online.status) == Status.ok
        for a, b in zip(online.errors, exact.errors, strict=True):
            assert_allclose(a, b, atol=1e-9)
        for a, b in zip(online.active, exact.active, strict=True):
            assert_allclose(a, b, atol=1e-9)
        hasty = Oscillating(0.5, period=8, inner=1, cycles=2, tol=1e-9)
        late = settle(hasty, net, xs, labels).status
        assert int(late) == Status.max_steps_reached


def test_homeostasis_is_the_asymmetry_of_the_jacobian():
    with precision(np.float64):
        matrix = jax.random.normal(jax.random.key(0), (6, 6))
        field = lambda u: jnp.tanh(matrix @ u)
        at = jnp.linspace(-1, 1, 6)
        estimate = homeostasis(field, at, probes=40_000, key=jax.random.key(1))
        assert_allclose(estimate, asymmetry(field, at), rtol=0.02)
        net, xs, _ = small(60.0)
        states = net.active(net.relax(xs[0]).states)
        of_net = lambda a: net.field(a, net.drive(xs[0]))
        apart = jnp.sum((net.backward[0] - net.forward[1].T) ** 2)
        assert_allclose(asymmetry(of_net, states), apart / 22, rtol=1e-12)
        alike = EquilibriumNet((8, 12, 10), 4, key=jax.random.key(0))
        of_alike = lambda a: alike.field(a, alike.drive(xs[0]))
        assert abs(homeostasis(of_alike, states, key=jax.random.key(2))) < 1e-14
    with pytest.raises(ConfigError, match="probes"):
        homeostasis(lambda u: u, jnp.ones(2), probes=0, key=jax.random.key(0))


def test_backward_weights_start_at_their_angle():
    net = EquilibriumNet((3, 20, 15, 9), 2, angle=40.0, key=jax.random.key(0))
    for back, ahead in zip(net.backward, net.forward[1:], strict=True):
        dot = jnp.sum(back * ahead.T) / jnp.sum(ahead**2)
        assert_allclose(dot, np.cos(np.radians(40.0)), rtol=1e-5)
        assert_allclose(jnp.sum(back**2), jnp.sum(ahead**2), rtol=1e-5)
    # one weight has no other direction
    one = EquilibriumNet((3, 1, 1), 2, key=jax.random.key(0))
    assert_allclose(one.backward[0], one.forward[1].T)


def test_a_relaxation_says_where_it_ended():
    net, xs, _ = small()
    relax = eqx.filter_jit(lambda x, n: net.relax(x, steps=n))
    found = relax(xs[0], 200)
    assert int(found.status) == Status.ok
    assert float(found.residual) <= 1e-5
    early = relax(xs[0], 2)
    assert int(early.status) == Status.max_steps_reached
    assert "residual" in early.summary()
    assert "Raise steps" in early.summary()
    lost = relax(jnp.full(8, jnp.nan), 200)
    assert int(lost.status) == Status.non_finite_state
    late = settle(Nudged(steps=2), net, xs, jnp.zeros(1, int))
    assert int(late.status) == Status.max_steps_reached
    assert float(late.residual) > 1e-5


def test_noise_averages_out():
    net, xs, labels = small()
    exact = settle(Nudged(0.5, 2), net, xs, labels)
    rule = Nudged(0.5, 4, noise=0.01, steps=20, nudged_steps=20, average=2000)
    noisy = settle(rule, net, xs, labels)
    assert int(noisy.status) == Status.ok
    for a, b in zip(noisy.errors, exact.errors, strict=True):
        assert_allclose(a, b, atol=5 * 0.01 / np.sqrt(2000))


def test_a_small_training_learns_and_homeostasis_restores_symmetry():
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(200, 6)).astype(np.float32)
    labels = (xs[:, 0] + xs[:, 1] ** 2 > 0.5).astype(int)
    net = EquilibriumNet((6, 16, 8), 2, angle=90.0, key=jax.random.key(1))
    transform = optax.adam(0.02)
    options = {"epochs": 30, "batch": 40, "transform": transform}
    rule = Nudged(0.2, rate=0.7, steps=1000, nudged_steps=1000)
    fit = fit_equilibrium(net, xs, labels, rule, homeostatic=1.0, **options)
    assert fit.score(xs, labels) > 0.9
    assert fit.unsettled == 0.0
    assert "did not settle" in fit.summary()
    with pytest.raises(ShapeError, match="labels"):
        fit.score(xs, np.eye(2)[labels])
    field = lambda a: fit.net.field(a, fit.net.drive(jnp.asarray(xs[0])))
    states = net.active(net.start())
    before = asymmetry(lambda a: net.field(a, net.drive(jnp.asarray(xs[0]))), states)
    assert float(asymmetry(field, states)) < 0.05 * float(before)
    with pytest.warns(FitWarning, match="did not reach"):
        fit.logits(xs, steps=1)


def test_what_cannot_be_used_is_refused():
    key = jax.random.key(0)
    with pytest.raises(ConfigError, match="sizes"):
        EquilibriumNet((3,), 2, key=key)
    with pytest.raises(ConfigError, match="angle"):
        EquilibriumNet((3, 2), 2, angle=91.0, key=key)
    with pytest.raises(ConfigError, match="cannot be turned"):
        EquilibriumNet((3, 1, 1), 2, angle=30.0, key=key)
    with pytest.raises(ConfigError, match="holomorphic"):
        EquilibriumNet((3, 2), 2, activation="relu", key=key)
    with pytest.raises(ConfigError, match="gain"):
        EquilibriumNet((3, 2), 2, gain=0.0, key=key)
    with pytest.raises(ConfigError, match="beta"):
        Nudged(0.0)
    with pytest.raises(ConfigError, match="points"):
        Nudged(0.1, 3)
    with pytest.raises(ConfigError, match="steps"):
        Nudged(steps=0)
    for named in ({"noise": -0.1}, {"rate": 0.0}, {"tol": np.nan}):
        with pytest.raises(ConfigError, match=next(iter(named))):
            Nudged(**named)
    with pytest.raises(ConfigError, match="rate"):
        Implicit(rate=-1.0)
    with pytest.raises(ConfigError, match="inner"):
        Oscillating(cycles=1)
    net = EquilibriumNet((3, 2), 2, key=key)
    with pytest.raises(ShapeError, match="samples"):
        fit_equilibrium(net, np.zeros((5, 2)), np.zeros(5, int))
    with pytest.raises(DataError, match="no samples"):
        fit_equilibrium(net, np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(DataError, match="label is 2"):
        fit_equilibrium(net, np.zeros((5, 3)), np.full(5, 2))
    with pytest.raises(DataError, match="finite numbers"):
        fit_equilibrium(net, np.full((5, 3), np.nan), np.zeros(5, int))
    with pytest.raises(ShapeError, match="labels"):
        fit_equilibrium(net, np.zeros((5, 3)), np.zeros(4, int))
    with pytest.raises(ConfigError, match="batches"):
        fit_equilibrium(net, np.zeros((5, 3)), np.zeros(5, int), batch=6)
