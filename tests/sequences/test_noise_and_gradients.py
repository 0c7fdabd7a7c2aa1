"""Noise on the state as a regulariser, spectra, and gradients through time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, ShapeError
from pendula._precision import cast, precision, to_device
from pendula.sequences import (
    CELLS,
    LipschitzCell,
    advance,
    gradient_profile,
    growth_rate,
    implicit_regulariser,
    input_gradient,
    jacobian,
    recurrent_model,
    run_cell,
    spectra,
    with_dt,
)


KEY = jax.random.key(7)


def wide(tree):
    return to_device(cast(tree, np.float64))


def noisy(size, **settings):
    how = {"dt": 0.1, "init_std": 2.0 * size, "sigma1": 1.0, "sigma2": 0.5, **settings}
    return recurrent_model("noisy", 1, size, 1, key=KEY, **how)


def loss(y):
    return jnp.sum(jnp.cosh(y - 0.3))


@pytest.mark.slow
def test_small_noise_adds_the_regulariser_to_the_mean_loss():
    """Monte Carlo with opposite draws, whose odd orders cancel."""
    with precision(np.float64):
        model = wide(noisy(3))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(6, 1)))
        found = implicit_regulariser(model, us, loss)
        eps, count = 0.05, 40000
        small = eqx.tree_at(lambda m: m.cell.epsilon.value, model, jnp.asarray(eps))
        weights, cell = small.cell.weights(), small.cell

        def end(noise):
            one = lambda h, at: (cell.shaken(weights, h, cell.feed(at[0]), at[1]), None)
            return loss(small.head(jax.lax.scan(one, cell.start(), (us, noise))[0]))

        def pair(key):
            noise = cell.draw(len(us), key)
            turned = jax.tree.map(lambda x: -x, noise)
            return 0.5 * (end(noise) + end(turned))

        values = jax.jit(jax.vmap(pair))(jax.random.split(KEY, count))
        gain = (values - loss(model(us))) / eps**2
        wanted = float(found.q + found.r) / 2
        spread = float(jnp.std(gain)) / np.sqrt(count)
        assert abs(float(jnp.mean(gain)) - wanted) < 5 * spread + 0.01 * abs(wanted)
        assert spread < 0.02 * abs(wanted)
        # both terms are needed
        assert abs(float(found.q)) > 20 * spread
        assert abs(float(found.r)) > 20 * spread


def test_the_moments_are_the_sums_of_the_theorem():
    """R and Q by the sums over pairs of steps, all Jacobians multiplied out."""
    with precision(np.float64):
        model = wide(noisy(3))
        cell, steps = model.cell, 6
        us = jnp.asarray(np.random.default_rng(1).normal(size=(steps, 1)))
        found = implicit_regulariser(model, us, loss)
        weights, dt = cell.weights(), float(cell.dt)
        h, jacs, bends, shakes = [cell.start()], [], [], []
        for u in us:
            fed = cell.feed(u)
            f = lambda h, fed=fed: cell.cell.slope(weights[0], h, fed)
            jacs.append(np.eye(3) + dt * np.asarray(jax.jacobian(f)(h[-1])))
            bends.append(np.asarray(jax.hessian(f)(h[-1])))
            shakes.append(np.diag(np.asarray(1.0 + 0.5 * f(h[-1]))))
            h.append(advance(cell, h[-1], u))
        phi = lambda top, low: np.linalg.multi_dot(
            [np.eye(3), *[jacs[k] for k in range(top, low - 1, -1)], np.eye(3)]
        )
        end = lambda h: loss(model.head(h))
        slope, curve = jax.grad(end)(h[-1]), jax.hessian(end)(h[-1])
        r = q = 0.0
        for m in range(steps):  # the noise of step m goes through steps m + 1 ...
            moved = phi(steps - 1, m + 1) @ shakes[m]
            r += dt * np.trace(moved.T @ curve @ moved)
            for k in range(m + 1, steps):
                inside = phi(k - 1, m + 1) @ shakes[m]
                v = np.array([np.trace(inside.T @ bend @ inside) for bend in bends[k]])
                q += dt * dt * slope @ phi(steps - 1, k + 1) @ v
        assert_allclose([found.q, found.r], [q, r], rtol=1e-9)


def test_at_a_fixed_number_of_steps_the_terms_shrink_with_the_step():
    """|Q| as the square of the step, R as the step itself."""
    with precision(np.float64):
        model = wide(noisy(3))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(6, 1)))
        found = []
        for dt in (4e-4, 2e-4, 1e-4):
            cell = eqx.tree_at(
                lambda c: c.cell, model.cell, with_dt(model.cell.cell, dt)
            )
            one = eqx.tree_at(lambda m: m.cell, model, cell)
            found.append(np.abs(implicit_regulariser(one, us, loss)))
        slopes = -np.diff(np.log2(np.asarray(found, float)), axis=0)
        assert_allclose(slopes, np.broadcast_to([2.0, 1.0], slopes.shape), atol=0.1)
    with pytest.raises(ConfigError, match="NoisyCell"):
        implicit_regulariser(recurrent_model("lem", 1, 2, 1, key=KEY), us, loss)


QUICK = ("lipschitz", "lem")


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CELLS],
)
def test_gradients_through_time_are_those_of_moved_states(name):
    with precision(np.float64):
        model = wide(recurrent_model(name, 1, 3, 2, key=KEY))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(6, 1)))
        found = gradient_profile(model, us, lambda y: jnp.sum(y**2))
        # the last: the loss by the state that the head reads
        state = run_cell(model.cell, us)[0]
        if jax.tree.leaves(state)[0].dtype != jnp.complex128:
            slope = jax.grad(lambda s: jnp.sum(model.head(model.cell.read(s)) ** 2))(
                state
            )
            size = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(slope)))
            assert_allclose(found[-1], size, rtol=1e-10)
            # an earlier one: begun there
            half = run_cell(model.cell, us[:3])[0]
            rest = lambda s: jnp.sum(
                model.head(model.cell.read(run_cell(model.cell, us[3:], state=s)[0]))
                ** 2
            )
            slope = jax.grad(rest)(half)
            size = jnp.sqrt(sum(jnp.sum(x**2) for x in jax.tree.leaves(slope)))
            assert_allclose(found[2], size, rtol=1e-10)
        assert found.shape == (6,)
        assert bool((found > 0).all())
        rate, norm = growth_rate(model.cell, us)
        assert_allclose(jnp.exp(rate * 6 * model.cell.dt), norm, rtol=1e-10)


def test_growth_and_spectra_of_a_linear_cell_are_its_eigenvalues():
    """Without W, dh/dt = A h: all is known."""
    with precision(np.float64):
        model = wide(
            recurrent_model("lipschitz", 1, 4, 1, gamma=0.4, init_std=4.0, key=KEY)
        )
        cell = model.cell
        at = lambda c: (c.matrix, c.gamma_w.value)
        cell = eqx.tree_at(at, cell, tuple(jnp.zeros_like(v) for v in at(cell)))
        a = np.asarray(cell.weights()[0])
        assert_allclose(jacobian(cell, jnp.ones(4), jnp.ones(1)), a, atol=1e-14)
        values = np.linalg.eigvals(a)
        found = spectra(cell, jnp.ones((2, 1)))
        assert_allclose(np.sort(found[1].real), np.sort(values.real), atol=1e-12)
        dt = float(cell.dt)
        logged = [
            float(growth_rate(cell, jnp.zeros((steps, 1)))[0]) * steps * dt
            for steps in (2000, 3000)
        ]
        largest = np.log(np.abs(1 + dt * values)).max() / dt
        assert (logged[1] - logged[0]) / (1000 * dt) == pytest.approx(largest, abs=1e-3)
        end = np.linalg.matrix_power(np.eye(4) + dt * a, 20)
        assert_allclose(
            growth_rate(cell, jnp.zeros((20, 1)))[1], np.linalg.norm(end, 2)
        )


def test_the_input_gradient_is_the_largest_gain():
    model = recurrent_model("lem", 1, 4, 2, key=KEY)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(7, 1)), jnp.float32)
    jac = jax.jacobian(model)(us).reshape(2, -1)
    assert_allclose(input_gradient(model, us), jnp.linalg.norm(jac, 2), rtol=1e-5)


def test_the_gain_of_the_last_state_of_a_linear_cell_is_a_closed_form():
    """h_T = dt sum_k (I + dt A)^(T-k) tanh(U u_k + b) without W: its slopes at once."""
    cell = LipschitzCell(
        2, 3, dt=0.2, gamma=0.4, gamma_w=0.0, init_std=3.0, beta=1.0, key=KEY
    )
    model = recurrent_model("lipschitz", 2, 3, 1, key=KEY)
    cell = eqx.tree_at(lambda c: c.matrix, cell, jnp.zeros((3, 3)))
    model = eqx.tree_at(lambda m: m.cell, model, cell)
    us = jnp.asarray(np.random.default_rng(1).normal(size=(5, 2)), jnp.float32)
    a, w = (np.asarray(m, np.float64) for m in cell.weights())
    assert not w.any()
    slopes = []
    for k, u in enumerate(np.asarray(us, np.float64)):
        fed = np.asarray(cell.feed(jnp.asarray(u, jnp.float32)), np.float64)
        gain = 0.2 * (1 - np.tanh(fed) ** 2)[:, None] * np.asarray(cell.input)
        slopes.append(np.linalg.matrix_power(np.eye(3) + 0.2 * a, 4 - k) @ gain)
    want = np.linalg.norm(np.concatenate(slopes, axis=1), 2)
    assert_allclose(input_gradient(model, us, "state"), want, rtol=1e-5)
    series = eqx.tree_at(lambda m: m.head.weight_out, model, 7 * model.head.weight_out)
    assert input_gradient(series, us, "state") == input_gradient(model, us, "state")
    with pytest.raises(ConfigError, match='of "hidden"'):
        input_gradient(model, us, "hidden")


@pytest.mark.parametrize("name", ["lem", "lru", "lstm"])
def test_the_gain_of_a_state_of_several_parts_counts_all_of_them(name):
    model = recurrent_model(name, 1, 3, 2, key=KEY)
    us = jnp.asarray(np.random.default_rng(0).normal(size=(6, 1)), jnp.float32)
    state = lambda us: jax.tree.leaves(run_cell(model.cell, us)[0])
    parts = jax.tree.leaves(jax.jacfwd(state)(us))
    real = [
        x for p in parts for x in ((p.real, p.imag) if p.dtype.kind == "c" else (p,))
    ]
    jac = jnp.concatenate([p.reshape(3, -1) for p in real])
    found = input_gradient(model, us, "state")
    assert_allclose(found, jnp.linalg.norm(jac, 2), rtol=1e-5)


@pytest.mark.parametrize("shape", [(5, 2), (0, 1)])
def test_inputs_of_another_size_have_no_growth_spectrum_or_regulariser(shape):
    model, us = noisy(3), jnp.ones(shape)
    whole = {
        growth_rate: (model.cell, us),
        spectra: (model.cell, us),
        implicit_regulariser: (model, us, loss),
    }
    for measure, given in whole.items():
        with pytest.raises(ShapeError, match=r"expected \(time, 1\)"):
            measure(*given)
