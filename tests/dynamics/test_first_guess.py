"""Starts of unknown constants: exact where the states are exact."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose

from pendula._errors import DataError, DataWarning
from pendula.data import Trajectories
from pendula.dynamics import FitConfig, KnownConfig, ModelConfig
from pendula.dynamics._build import build_model
from pendula.dynamics._first_guess import FLOOR, first_guesses
from pendula.dynamics._layout import layout
from pendula.dynamics._prepare import prepare
from pendula.systems import Pendulum, simulate


ONE = layout(("q",), ("second",), {})
TWO = layout(("q", "p"), ("second", "second"), {})
T = np.linspace(0.0, 8.0, 400)


def law(term, *free, on=(), **constants):
    return KnownConfig(term, on=on, free=free, constants=constants)


def guessed(plan, known, q, v, a, us=None):
    """Guesses from states `"time n"` of one trajectory."""
    ys = np.concatenate([q, v], axis=-1)[None]
    rates = np.concatenate([v, a], axis=-1)[None]
    config = ModelConfig(known=tuple(known), learn="none")
    return first_guesses(config, plan, ys, rates, us)


def motion(amplitude=1.2, rate=3.0):
    """A smooth motion that no law need have made, `"time 1"`."""
    q = amplitude * np.sin(rate * T) * np.exp(-0.05 * T)
    v = np.gradient(q, T)
    return q[:, None], v[:, None]


@given(
    w2=st.floats(0.01, 5000.0),
    zero=st.floats(-3.0, 3.0),
    c=st.floats(0.01, 3.0),
)
@settings(max_examples=15, deadline=None)
def test_exact_rates_give_the_constants(w2, zero, c):
    """A place of rest and two positive constants of any size, found together."""
    q, v = motion()
    q = q + zero
    a = -w2 * np.sin(q - zero) - c * w2 * v
    known = [law("gravity_pendulum", "w2", "zero"), law("viscous", "c")]
    found = guessed(ONE, known, q, v, a)
    assert_allclose(found[0]["w2"].start, w2, rtol=1e-4)
    assert_allclose(found[0]["zero"].start, zero, atol=1e-4)
    assert_allclose(found[1]["c"].start, c * w2, rtol=1e-3)


def test_signs_inputs_and_given_values():
    q, v = motion()
    u = np.cos(5.0 * T)[:, None]
    a = 2.0 * q - 0.7 * q**3 - 4.0 * u
    known = [law("spring", "k"), law("cubic_spring", k3=0.7), law("input", "b")]
    found = guessed(ONE, known, q, v, a, u[None])
    assert set(found) == {0, 2}
    assert_allclose((found[0]["k"].start, found[2]["b"].start), (-2.0, -4.0), rtol=1e-6)
    # alone at its natural size the term would be all of the acceleration
    rms = lambda x: np.sqrt(np.mean(x**2))
    assert_allclose(found[2]["b"].scale, rms(a) / rms(u), rtol=1e-6)


def test_a_positive_constant_stays_above_its_floor():
    q, v = motion()
    found = guessed(ONE, [law("viscous", "c")], q, v, +0.5 * v)  # gains energy
    assert_allclose(found[0]["c"].start, FLOOR * found[0]["c"].scale, rtol=0.5)


def test_each_coordinate_has_its_own():
    q, v = motion()
    both = lambda x, y: np.concatenate([x, y], axis=-1)
    known = [law("spring", "k", on=("q",)), law("spring", "k", on=("p",))]
    found = guessed(TWO, known, both(q, 2 * q), both(v, v), both(-3 * q, -8 * q))
    assert_allclose(found[0]["k"].start, 3.0, rtol=1e-6)
    assert_allclose(found[1]["k"].start, 4.0, rtol=1e-6)


def test_poor_estimates_at_the_ends_count_for_little():
    q, v = motion()
    a = -9.0 * np.sin(q)
    a[:4], a[-4:] = 400.0, np.nan
    (found,) = guessed(ONE, [law("gravity_pendulum", "w2", zero=0.0)], q, v, a).values()
    assert_allclose(found["w2"].start, 9.0, rtol=0.15)


@pytest.mark.parametrize(
    "known",
    [
        [law("spring", k=1.0)],  # nothing is unknown
        [law("spring", "k", k=3.0)],  # its start is given
        [law("input", "b")],  # refused later: there is no input
        [law("spring", "k", on=("nobody",))],  # refused later too
        [law("spring", "stiffness")],  # and so is this
    ],
)
def test_nothing_to_guess(known):
    q, v = motion()
    assert guessed(ONE, known, q, v, -q) == {}


def test_a_fit_begins_there_and_says_so():
    """From measured positions alone, noise and all, within a tenth."""
    world = Pendulum(length=0.1, damping=0.1)
    data = simulate(
        world, num=2, duration=5.0, dt=0.01, noise=0.002, seed=1, observe="theta"
    )
    config = FitConfig(
        ModelConfig(known=(law("gravity_pendulum", "w2"),), learn="drag", width=4)
    )
    prepared = prepare(data, config, "levenberg")
    model = build_model(
        config.model,
        prepared.plan,
        prepared.ranges,
        1,
        jax.random.key(0),
        prepared.guesses,
    )
    w2 = model.field.force.terms[0].constants["w2"]
    assert_allclose(float(w2.value), 98.1, rtol=0.1)
    assert float(w2.scale.value) > 10.0
    said = {row["what"]: row for row in prepared.decisions}
    row = said["start of w2 (gravity_pendulum)"]
    assert row["option"] == "--constant w2=VALUE"
    assert_allclose(float(row["choice"]), float(w2.value), rtol=1e-3)


def test_small_units_are_scaled_and_what_stands_still_is_said():
    """Data in a unit far too large (1e-14) are not taken for a constant."""
    t = np.arange(60) * 0.1
    ys = np.stack([1e-14 * np.sin(t), np.full(60, 3.0)], axis=1)
    data = Trajectories.from_arrays(t, ys, names=("q", "c"))
    with pytest.warns(DataWarning, match='channel "c" is constant'):
        prepared = prepare(data, FitConfig(ModelConfig(order="first")), "adam")
    assert_allclose(prepared.ranges.scale, [7e-15, 1.0], rtol=0.1)


def test_values_beyond_single_precision_are_refused():
    t = np.arange(60) * 0.1
    data = Trajectories.from_arrays(t, 1e200 * np.sin(t), names=("q",))
    with pytest.raises(DataError, match=r'channel "q" has values up to 1e\+200'):
        prepare(data, FitConfig(), "levenberg")
