"""Known laws and constants: exact values, and a sentence for every wrong name."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pendula import _registry as registry
from pendula._errors import ConfigError
from pendula._tree import num_parameters
from pendula.dynamics import (
    Free,
    Given,
    Known,
    Law,
    Model,
    SecondOrder,
    Sum,
    constant,
    known_law,
    terms_of,
)
from pendula.dynamics._layout import layout
from pendula.dynamics._posterior import posterior


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


T = np.float64(0.0)
Q, V, U = 0.7, -1.3, 0.4
EXACT = {
    "gravity_pendulum": ({"w2": 9.0, "zero": 0.2}, -9.0 * np.sin(Q - 0.2)),
    "spring": ({"k": 4.0}, -4.0 * Q),
    "cubic_spring": ({"k3": 2.0}, -2.0 * Q**3),
    "viscous": ({"c": 0.3}, -0.3 * V),
    "quadratic_drag": ({"d": 0.5}, 0.5 * V * V),
    "coulomb": ({"f": 0.2, "width": 0.1}, 0.2 * np.tanh(13.0)),
    "input": ({"b": 3.0}, 3.0 * U),
    "constant": ({"g": -9.81}, -9.81),
}


def test_every_built_in_law_is_checked_here():
    assert set(EXACT) <= set(registry.names("known"))
    built_in = [
        name
        for name in registry.names("known")
        if registry.lookup("known", name).value.__module__ == "pendula.dynamics._known"
    ]
    assert set(built_in) == set(EXACT)


@pytest.mark.parametrize("law", EXACT)
def test_value_on_each_coordinate(law):
    """State (q0, q1, v0, v1, z): the law acts on one coordinate and on that only."""
    constants, exact = EXACT[law]
    for on in (0, 1):
        y = np.array([5.0, 5.0, 5.0, 5.0, 5.0])
        y[on], y[2 + on] = Q, V
        term = Known(law, 2, on, extra=1, channel=1, **constants)
        value = term(jnp.asarray(T), jnp.asarray(y), jnp.asarray([9.0, U]), None)
        expected = np.zeros(3)
        expected[on] = exact
        assert_allclose(value, expected, rtol=1e-15)


def test_unknown_names_give_the_nearest():
    with pytest.raises(ConfigError, match='Did you mean "spring"'):
        Known("sprong", k=1.0)
    with pytest.raises(ConfigError, match=r'no constant "W2"\. Did you mean "w2"\?'):
        Known("gravity_pendulum", W2=1.0)
    with pytest.raises(ConfigError, match='law "spring" has no constant "c"') as found:
        Known("spring", free=("c",), k=1.0)
    assert "It has: k." in str(found.value)


@pytest.mark.parametrize(
    ("law", "options", "words"),
    [
        ("spring", {}, 'constant "k" has no value. Give k=NUMBER'),
        ("spring", {"k": 1.0, "on": 2, "n": 2}, "on=2, but there are 2 coordinates"),
        ("viscous", {"c": -0.1}, "c is -0.1; it must be > 0"),
        ("viscous", {"c": 0.0}, "c is 0; it must be > 0"),
        ("coulomb", {"f": 1.0, "width": -1.0}, "width is -1; it must be > 0"),
        ("spring", {"k": float("nan")}, "k is nan; it must be finite"),
        ("viscous", {"c": float("inf"), "free": ("c",)}, "it must be > 0"),
    ],
)
def test_wrong_constants_are_refused_at_construction(law, options, words):
    with pytest.raises(ConfigError) as found:
        Known(law, **options)
    assert words in str(found.value)


def test_free_constants_are_trained_and_given_ones_are_not():
    law = Known("gravity_pendulum", w2=9.0, free=("w2",))
    assert num_parameters(law) == 1
    assert isinstance(law.constants["w2"], Free)
    assert isinstance(law.constants["zero"], Given)
    assert num_parameters(Known("gravity_pendulum", w2=9.0)) == 0
    assert float(law.constants["w2"].value) == 9.0
    start = Known("spring", free=("k",))
    assert float(start.constants["k"].value) == 1.0


def test_a_law_of_ones_own_and_names_that_are_taken():
    def define(factor):
        value = lambda q, v, u, c: -factor * c["a"] * q * v
        return Law(value, {"a": ("any", "1")}, "-a q v")

    own = known_law("tests_known_own", define(1.0))
    assert known_law("tests_known_own", define(1.0)) is own  # said again
    with pytest.raises(ConfigError, match="with another content"):
        known_law("tests_known_own", define(2.0))
    y = jnp.asarray([Q, V])
    assert_allclose(Known("tests_known_own", a=2.0)(T, y, None, None), [-2.0 * Q * V])
    with pytest.raises(ConfigError, match=r"already registered by pendula\.dynamics"):
        known_law("spring", own)
    assert_allclose(Known("spring", k=4.0)(T, y, None, None), [-4.0 * Q])


@given(
    raw=st.floats(-3.0, 3.0),
    start=st.floats(1e-6, 1e6),
    sign=st.sampled_from(["any", "positive"]),
)
@settings(max_examples=20, deadline=None)
def test_derivative_of_a_free_constant(raw, start, sign):
    """d value / d raw against a central difference; the sign holds everywhere."""

    def at(r):
        made = Free.make(start, sign)
        return Free(jnp.asarray(r), made.prior, made.start, made.scale, sign)

    h = 1e-5
    slope = (float(at(raw + h).value) - float(at(raw - h).value)) / (2 * h)
    assert_allclose(at(raw).derivative(), slope, rtol=1e-6)
    if sign == "positive":
        assert float(at(raw).value) > 0
        assert_allclose(at(raw).value, start * np.exp(raw), rtol=1e-12)
    else:
        assert_allclose(at(raw).value, start * (1.0 + raw), rtol=1e-12)
    # compiled code flushes what is below the smallest normal number to zero
    tiny = np.finfo(float).tiny
    assert_allclose(at(raw).prior_residual(), raw / 5.0, rtol=1e-12, atol=tiny)


def test_scales_of_free_constants():
    assert float(Free.make(0.0).scale.value) == 1.0
    assert float(Free.make(-4.0).scale.value) == 4.0
    assert float(Free.make(2.0, scale=10.0).scale.value) == 10.0
    huge = Free.make(1.0, "positive")
    runaway = Free(jnp.asarray(1e9), huge.prior, huge.start, huge.scale, "positive")
    assert np.isfinite(float(runaway.value))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Free.make(0.0, "positive"), "its start must be > 0"),
        (lambda: Free.make(np.nan), "it must be finite"),
        (lambda: Free.make(1.0, sd=0.0), "sd is 0; it must be > 0"),
        (lambda: constant(np.inf, free=False), "it must be finite"),
    ],
)
def test_wrong_starts_are_refused(make, words):
    with pytest.raises(ConfigError) as found:
        make()
    assert words in str(found.value)


def test_sums_and_newtons_form():
    spring, drag = Known("spring", k=4.0), Known("viscous", c=0.5)
    y = jnp.asarray([Q, V])
    total = Sum((spring, drag))
    assert_allclose(total(T, y, None, None), [-4.0 * Q - 0.5 * V], rtol=1e-15)
    field = SecondOrder(Sum((total, spring)), 1)
    assert_array_equal(field(T, y, None, None)[0], V)
    assert terms_of(field) == [spring, drag, spring]
    with pytest.raises(ConfigError, match="at least one term"):
        Sum(())
    with pytest.raises(ConfigError, match="n >= 1 coordinates; n is 0"):
        SecondOrder(spring, 0)


def test_layout_from_channels_to_states_and_back():
    """z, q0, v of q1, q1: the state is (q0, q1, v0, v1, z)."""
    plan = layout(
        ["z", "a", "w", "b"], ["first", "second", "velocity", "second"], {2: 3}
    )
    assert (plan.n, plan.dim) == (2, 5)
    assert plan.positions == (1, 3)
    assert plan.velocities == (None, 2)
    assert plan.state_names == ("a", "b", "da/dt", "w", "z")
    state = np.arange(5)
    assert state[list(plan.observed)].tolist() == [4, 0, 3, 1]
    names = [plan.state_names[i] for i in plan.observed]
    assert names == ["z", "a", "w", "b"]


@pytest.mark.parametrize(
    ("kinds", "pairs", "words"),
    [
        (["second"], {}, "1 kinds for 2 channels"),
        (["second", "velocity"], {}, 'channel "b" is a velocity without its position'),
        (["first", "velocity"], {1: 0}, "channel 0 is no position"),
        (["second", "velocity"], {1: 5}, "channel 5 is no position"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(kinds, pairs, words):
    with pytest.raises(ConfigError, match=words):
        layout(["a", "b"], kinds, pairs)


def test_intervals_of_the_seeds_alone_say_so():
    """Gradient descent knows no covariance: its members differ by their seeds."""
    model = Model(SecondOrder(Known("spring", k=4.0, free=("k",)), 1), (0,), 2)
    many = eqx.filter_vmap(lambda _: model, axis_size=2)(jnp.zeros(2))
    covariance, (told,), _ = posterior(many, "adam", None, None)
    assert covariance is None
    assert told["value"] == told["low"] == told["high"] == 4.0
    assert "not what the noise leaves open" in told["note"]
