"""Controlled equations against closed forms, and what their paths may know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

from pendula import ConfigError, DataError, ShapeError
from pendula._precision import cast, precision, to_device
from pendula.sequences import (
    NeuralCDE,
    control_path,
    gradient_profile,
    neural_cde,
    run_cell,
)


KEY = jax.random.key(5)


def wide(tree):
    return to_device(cast(tree, np.float64))


def wave(t):
    """A smooth path in time and two channels."""
    return np.stack([t, np.sin(3 * t), np.cos(2 * t) * t], axis=-1)


def exact(cell, z0):
    """The state at t = 1 by an adaptive solver along the smooth path."""
    speed = lambda t: np.array(
        [1.0, 3 * np.cos(3 * t), np.cos(2 * t) - 2 * t * np.sin(2 * t)]
    )
    f = jax.jit(lambda z, v: cell.drift(z, v))
    slope = lambda t, z: np.asarray(f(jnp.asarray(z), jnp.asarray(speed(t))))
    return solve_ivp(slope, (0, 1), z0, rtol=1e-9, atol=1e-11).y[:, -1]


def steps_of(count):
    us, _ = control_path(
        np.linspace(0, 1, count + 1)[None],
        wave(np.linspace(0, 1, count + 1))[None, :, 1:],
        kind="filled",
        counters=False,
    )
    return jnp.asarray(us[0, 1:], np.float64)


def test_the_state_goes_to_that_of_the_smooth_path():
    """Straight pieces are a rule of second order for a smooth path."""
    with precision(np.float64):
        cell = wide(NeuralCDE(3, 4, width=8, rule="rk4", key=KEY))
        z0 = np.linspace(-0.5, 0.5, 4)
        run = jax.jit(lambda us: run_cell(cell, us, state=jnp.asarray(z0))[0])
        truth = exact(cell, z0)
        errors = [np.linalg.norm(run(steps_of(n)) - truth) for n in (8, 16, 32)]
        assert_allclose(-np.diff(np.log2(errors)), 2.0, atol=0.2)


@pytest.mark.slow
def test_windows_with_areas_are_better_than_windows_without():
    """Straight lines over windows against lines and the areas swept within."""
    with precision(np.float64):
        plain = wide(NeuralCDE(3, 4, width=8, rule="rk4", key=KEY))
        both = wide(NeuralCDE(3, 4, width=8, rule="rk4", areas=True, key=KEY))
        z0, fine = np.linspace(-0.5, 0.5, 4), 256
        t = np.linspace(0, 1, fine + 1)
        truth = exact(plain, z0)
        errors = {"plain": [], "areas": []}
        for windows in (4, 8, 16):
            us, lengths = control_path(
                t[None],
                wave(t)[None, :, 1:],
                kind="filled",
                counters=False,
                window=fine // windows,
            )
            assert lengths.tolist() == [windows + 1]
            us = jnp.asarray(us[0, 1:], np.float64)
            for name, cell, part in (("plain", plain, us[:, :3]), ("areas", both, us)):
                end = run_cell(cell, part, state=jnp.asarray(z0))[0]
                errors[name].append(float(np.linalg.norm(end - truth)))
        assert_allclose(np.mean(-np.diff(np.log2(errors["plain"]))), 2.0, atol=0.3)
        assert errors["areas"][-1] < 0.5 * errors["plain"][-1]


def test_the_path_by_hand():
    t = [[0.0, 1.0, 2.0, 4.0]]
    x = np.array([[[1.0, np.nan], [np.nan, np.nan], [3.0, 5.0], [np.nan, 6.0]]])
    us, lengths = control_path(t, x, kind="rectilinear")
    # time, two values, two counters of values seen over the number of samples
    begin = [0.0, 1.0, 0.0, 0.25, 0.0]
    assert_allclose(us[0, 0], begin)
    assert_allclose(us[0, 1], [2.0, 0, 0, 0, 0])  # the empty row is left out
    assert_allclose(us[0, 2], [0.0, 2.0, 5.0, 0.25, 0.25])
    assert_allclose(us[0, 3], [2.0, 0, 0, 0, 0])
    assert_allclose(us[0, 4], [0.0, 0.0, 1.0, 0.0, 0.25])
    assert lengths.tolist() == [5]
    straight, _ = control_path(t, x, kind="linear", counters=False)
    assert_allclose(straight[0].sum(axis=0), [4.0, 3.0, 6.0])


@pytest.mark.parametrize(
    ("kind", "causal"), [("rectilinear", True), ("filled", True), ("linear", False)]
)
def test_only_straight_lines_across_gaps_know_the_future(kind, causal):
    """The state at a time is the same whatever comes later."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 1, (1, 20)))
    x = rng.normal(size=(1, 20, 2))
    x[rng.random(x.shape) < 0.5] = np.nan
    x[0, 11] = np.nan  # a gap from the middle on
    x[0, 10, 0] = 0.3
    x[0, 12, :] = 1.0
    other = x.copy()
    other[0, 12:] += 7.0
    model = neural_cde(5, 6, 2, mode="all", key=KEY)
    found = []
    for values in (x, other):
        us, _ = control_path(t, values, kind=kind)
        kept = 1 + np.flatnonzero(~np.isnan(values[0, 1:11]).all(axis=1)).size
        kept = 2 * kept - 1 if kind == "rectilinear" else kept
        found.append(model(us[0])[:kept])
    assert np.array_equal(*found) is causal


def test_unequal_lengths_are_padding():
    rng = np.random.default_rng(0)
    t, x = np.cumsum(rng.random((2, 9)), axis=1), rng.normal(size=(2, 9, 2))
    model = neural_cde(5, 6, 2, key=KEY)
    us, lengths = control_path(t, x, lengths=[5, 9])
    alone, count = control_path(t[:1, :5], x[:1, :5])
    assert lengths[0] == count[0]
    # counters are shares of the sequence's own length
    assert_array_equal(us[0, : count[0]], alone[0])
    assert_allclose(model(us[0], lengths[0]), model(alone[0]), rtol=1e-5, atol=1e-6)


def test_a_path_of_one_sample_is_the_first_state():
    """The same whether padding follows or not."""
    us = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    model = neural_cde(5, 6, 2, key=KEY)
    wanted = model.head(model.initial(us[0]))
    assert_allclose(model(us[:1]), wanted, rtol=1e-6)
    assert_allclose(model(us, jnp.asarray(1)), wanted, rtol=1e-6)
    every = neural_cde(5, 6, 2, mode="all", key=KEY)
    assert_allclose(every(us[:1]), wanted[None], rtol=1e-6)
    with pytest.raises(ShapeError, match=r"expected \(time, 5\)"):
        model(us[:, :4])


def test_gradients_through_time_begin_at_the_first_state():
    with precision(np.float64):
        model = wide(neural_cde(2, 3, 1, width=4, key=KEY))
        us = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)))
        found = gradient_profile(model, us, lambda y: jnp.sum(y**2))
        end = lambda z, k: jnp.sum(model.head(run_cell(model.cell, k, state=z)[0]) ** 2)
        first = model.initial(us[0])
        slope = jax.grad(end)(first, us[1:])
        assert_allclose(found[0], jnp.linalg.norm(slope), rtol=1e-10)
        slope = jax.grad(end)(run_cell(model.cell, us[1:3], state=first)[0], us[3:])
        assert_allclose(found[2], jnp.linalg.norm(slope), rtol=1e-10)


def test_bad_input_is_refused():
    t, x = np.arange(3.0)[None], np.zeros((1, 3, 1))
    with pytest.raises(DataError, match="sample 2: the time 1 does not increase"):
        control_path([[0.0, 1.0, 1.0]], x)
    for bad in ([np.nan, 1.0, 2.0], [-np.inf, 1.0, 2.0]):
        with pytest.raises(DataError, match="sample 0: the time"):
            control_path([bad], x)
    with pytest.raises(DataError, match="sample 2: the time inf"):
        control_path([[0.0, 1.0, np.inf]], x)
    with pytest.raises(DataError, match="a whole number a sequence"):
        control_path(t, x, lengths=[2.0])
    with pytest.raises(ConfigError, match="window is 0"):
        control_path(t, x, window=0)
    with pytest.raises(DataError, match="infinite"):
        control_path(t, np.array([[[0.0], [np.inf], [0.0]]]))
    with pytest.raises(ShapeError, match="do not fit"):
        control_path(t, np.zeros((1, 4, 1)))
    with pytest.raises(ConfigError, match='kind "line"'):
        control_path(t, x, kind="line")
    with pytest.raises(DataError, match="lengths"):
        control_path(t, x, lengths=[4])
    with pytest.raises(ConfigError, match='rule "rk5"'):
        NeuralCDE(2, 3, rule="rk5", key=KEY)
