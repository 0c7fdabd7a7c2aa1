"""Learned terms: their priors hold for any weights, forces come from energies."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError
from pendula._tree import num_parameters
from pendula.dynamics import (
    Conservative,
    Dissipative,
    Free,
    Friction,
    Given,
    GivenMatrix,
    Known,
    Learned,
    Model,
    SecondOrder,
    SlotScale,
    Sum,
    energy,
)
from pendula.nn import MLP, ConvexMLP, MonotoneMLP


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


T = np.float64(0.0)
N = 2
HALF_TURN = np.float64(np.pi)


def slot(takes, out, *, angle=(), priors=(), inputs=(), low=-2.0, high=2.0):
    """A slot with scales off the defaults: mean 0.3, scale 1.7, rest 0.2, size 3."""
    number = len(takes) + len(inputs)
    ones = jnp.ones(number)
    scale = SlotScale(
        0.3 * ones,
        1.7 * ones,
        0.2 * ones,
        3.0 * jnp.ones(out),
        low * ones,
        high * ones,
        jnp.asarray(1.0),
        jnp.asarray([-1.5, 4.0]),
    )
    size = Learned.size(takes, inputs, angle)
    net = MLP(size, out, width=6, depth=2, key=jax.random.key(0))
    return Learned(net, scale, takes, inputs, angle, priors)


def drawn(model, seed):
    """The model with random weights of size 1: far off the usual start."""
    rng = np.random.default_rng(seed)
    arrays = eqx.filter(model, eqx.is_inexact_array)
    return jax.tree.map(lambda x: rng.normal(size=x.shape), arrays)


def with_weights(term, path, seed):
    """The term with the network at `path` drawn anew."""
    net = path(term)
    return eqx.tree_at(path, term, eqx.combine(drawn(net, seed), net))


compiled = eqx.filter_jit(lambda term, y: term(T, y, None, None))
seeds = st.integers(0, 2**20)
states = st.lists(st.floats(-3.0, 3.0), min_size=2 * N, max_size=2 * N)


@pytest.fixture(scope="module")
def potential():
    with jax.enable_x64(True):
        # one coordinate is an angle
        return Conservative(slot((0, 1), 1, angle=(True, False)), N)


@given(seed=seeds, y=states)
@settings(max_examples=15, deadline=None)
def test_force_is_the_slope_of_the_energy(potential, seed, y):
    term = with_weights(potential, lambda t: t.potential.net, seed)
    y = np.array(y)
    force = np.asarray(compiled(term, y))
    h = 1e-5
    for i in range(N):
        step = h * np.eye(2 * N)[i]
        rise = float(value(term, y + step)) - float(value(term, y - step))
        # central differences: h^2 V''' / 6 and rounding / h, both about 1e-9 here
        assert_allclose(force[i], -rise / (2 * h), rtol=1e-6, atol=1e-6)


value = eqx.filter_jit(lambda term, y: term.value(y, None))


def test_energy_is_zero_at_rest_and_periodic_in_an_angle(potential):
    rest = jnp.full(2 * N, 0.2)
    assert_allclose(value(potential, rest), 0.0, atol=1e-15)
    y = np.array([0.5, 1.0, 0.3, -0.2])
    turned = y + np.array([2 * HALF_TURN, 0.0, 0.0, 0.0])
    assert_allclose(compiled(potential, y), compiled(potential, turned), rtol=1e-12)
    other = y + np.array([0.0, 2 * HALF_TURN, 0.0, 0.0])
    assert np.all(compiled(potential, y) != compiled(potential, other))


def test_energy_is_conserved_by_any_network(potential):
    """Fine RK4 rollouts of random networks: drift far below the energy exchanged."""
    field = SecondOrder(potential, N)
    model = Model(field, (0, 1), 2 * N, substeps=4)
    dts = jnp.full(60, 0.05)

    @eqx.filter_jit
    def energies(model, y0):
        ys = model.steps(y0, jnp.zeros(()), dts).ys
        return jax.vmap(lambda y: energy(model.field, y))(ys), ys

    for seed in range(3):
        one = with_weights(model, lambda m: m.field.force.potential.net, seed)
        along, ys = energies(one, jnp.array([0.5, -0.3, 0.4, 0.6]))
        kinetic = 0.5 * np.sum(np.asarray(ys)[:, N:] ** 2, axis=1)
        # error of RK4 at 0.0125 per step: (0.0125 * rate)^4, rates up to 10
        assert np.ptp(along) < 2e-4 * np.ptp(kinetic)
        assert np.ptp(kinetic) > 0.01


@given(seed=seeds, y=states)
@settings(max_examples=15, deadline=None)
def test_dissipation_never_gives_energy(drag, seed, y):
    term = with_weights(drag, lambda t: t.factor.net, seed)
    y = np.array(y)
    power = y[N : 2 * N] @ np.asarray(compiled(term, y))[:N]
    assert power <= 1e-12
    still = np.array([*y[:N], 0.0, 0.0])
    assert_array_equal(compiled(term, still), np.zeros(N + 1))


@pytest.fixture(scope="module")
def drag():
    with jax.enable_x64(True):
        return Dissipative(slot(tuple(range(2 * N)), 3), N, extra=1)


@pytest.fixture(scope="module")
def friction():
    with jax.enable_x64(True):
        parts = [Free.make(v, "positive") for v in (0.3, 0.2, 0.1)]
        width = Given(jnp.asarray(0.05))
        return Friction(*parts, width, slot((3,), 1), N, 1)


@given(seed=seeds, y=states)
@settings(max_examples=15, deadline=None)
def test_friction_only_slows_its_own_coordinate(friction, seed, y):
    term = with_weights(friction, lambda t: t.factor.net, seed)
    y = np.array(y)
    force = np.asarray(compiled(term, y))
    assert force[0] == 0.0
    assert force[1] * y[3] <= 0.0
    if abs(y[3]) > 1e-3:
        assert force[1] * y[3] < 0.0
    # the force is odd in v: the network sees |v|
    mirrored = np.asarray(compiled(term, y * np.array([1.0, 1.0, 1.0, -1.0])))
    assert_array_equal(mirrored, -force)


def test_friction_without_a_network_is_the_classical_law(friction):
    bare = eqx.tree_at(lambda t: t.factor, friction, None)
    v = -0.7
    force = bare(T, jnp.asarray([0.0, 0.0, 0.0, v]), None, None)
    exact = 0.3 * np.tanh(v / 0.05) + 0.2 * v + 0.1 * v * abs(v)
    assert_allclose(force, [0.0, -exact], rtol=1e-14)


@pytest.fixture(scope="module")
def plain():
    """One compiled function for all plain priors: value and mirror at once."""
    with jax.enable_x64(True):
        return {
            priors: slot((0, 2), 2, priors=priors)
            for priors in (
                (),
                ("zero_at_rest",),
                ("odd",),
                ("even",),
                ("flat_at_rest",),
                ("positive",),
                ("bounded",),
            )
        }


REST = np.full(4, 0.2)


@given(seed=seeds, y=states)
@settings(max_examples=12, deadline=None)
def test_priors_hold_for_any_weights(plain, seed, y):
    y = np.array(y)
    mirror = 2.0 * REST - y

    def at(priors, y):
        term = with_weights(plain[priors], lambda t: t.net, seed)
        return np.asarray(compiled(term, y))

    assert_array_equal(at(("zero_at_rest",), REST), 0.0)
    assert_array_equal(at(("odd",), REST), 0.0)
    assert_allclose(at(("odd",), mirror), -at(("odd",), y), rtol=1e-12, atol=1e-13)
    assert_allclose(at(("even",), mirror), at(("even",), y), rtol=1e-12, atol=1e-13)
    assert_array_equal(at(("flat_at_rest",), REST), 0.0)
    assert np.all(at(("positive",), y) > 0.0)
    bounded = at(("bounded",), y)
    assert np.all((bounded >= -1.5) & (bounded <= 4.0))
    assert_allclose(at(("zero_at_rest",), y), at((), y) - at((), REST), atol=1e-12)


def test_a_flat_slot_has_no_slope_at_rest(plain):
    slope = jax.jacfwd(lambda y: plain[("flat_at_rest",)](T, y, None, None))
    assert_allclose(slope(jnp.asarray(REST)), 0.0, atol=1e-15)
    assert np.max(np.abs(slope(jnp.asarray(REST) + 0.5))) > 1e-3


def test_odd_is_exact_where_rest_is_zero():
    """The mirrored input is then the negative one, bit by bit."""
    net = MLP(2, 1, width=6, depth=2, key=jax.random.key(1))
    term = Learned(net, SlotScale.unit(2, 1), (0, 1), priors=("odd",))
    for seed in range(5):
        y = jax.random.normal(jax.random.key(seed), (2,))
        assert_array_equal(compiled(term, y), -compiled(term, -y))


def test_an_angle_in_a_slot_is_periodic():
    term = slot((0, 2), 1, angle=(True, False))
    y = np.array([0.4, 0.0, -0.7, 0.0])
    once = np.asarray(compiled(term, y))
    for turns in (-2, 1, 5):
        moved = y + np.array([2 * np.pi * turns, 0.0, 0.0, 0.0])
        assert_allclose(compiled(term, moved), once, rtol=1e-12)
    odd = slot((0, 2), 1, angle=(True, False), priors=("odd",))
    assert_allclose(compiled(odd, 2 * REST - y), -compiled(odd, y), rtol=1e-12)


def test_inputs_and_context_join_the_state():
    net = MLP(4, 1, width=4, depth=1, key=jax.random.key(0))
    term = Learned(net, SlotScale.unit(4, 1), (1,), inputs=(0, 1), uses_context=True)
    y, u, context = jnp.asarray([9.0, 1.0]), jnp.asarray([2.0, 3.0]), jnp.asarray([4.0])
    assert_array_equal(term.features(y, u, context), [1.0, 2.0, 3.0, 4.0])
    expected = net(jnp.asarray([1.0, 2.0, 3.0, 4.0]))
    assert_allclose(term(T, y, u, context), expected, rtol=1e-14)


def test_outside_says_where_the_slot_was_not_trained():
    term = slot((0, 2), 1, angle=(True, False), inputs=(1,), low=-1.0, high=1.0)
    ask = lambda q, v, u: bool(
        term.outside(jnp.asarray([q, 9.0, v, 9.0]), jnp.asarray([9.0, u]), None)
    )
    assert not ask(0.5, 0.5, 0.5)
    assert ask(0.5, 1.1, 0.5)
    assert ask(0.5, -1.1, 0.5)
    assert ask(0.5, 0.5, 1.1)
    assert not ask(50.0, 0.5, 0.5)  # an angle repeats
    assert not ask(0.5, 1.03, 0.5)  # within 2 % of the span
    unit = Learned(
        MLP(1, 1, width=2, depth=1, key=jax.random.key(0)), SlotScale.unit(1, 1), (0,)
    )
    assert not bool(unit.outside(jnp.asarray([1e9]), None, None))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: slot((0,), 1, priors=("ood",)),
            'prior "ood" is unknown. Did you mean',
        ),
        (lambda: slot((0,), 1, priors=("positive", "odd")), "exclude each other"),
        (lambda: slot((0,), 1, priors=("odd", "even")), "exclude each other"),
        (lambda: Conservative(slot((0,), 1), 2), "a potential takes the 2 coordinates"),
        (lambda: Conservative(slot((0,), 1, inputs=(0,)), 1), "and inputs [0]"),
        (
            lambda: Learned(
                MLP(3, 1, 4, 1, key=jax.random.key(0)), SlotScale.unit(2, 1), (0, 1)
            ),
            "has 3 inputs; it takes 2 state entries (0 of them angles",
        ),
        (
            lambda: Learned(
                MLP(2, 1, 4, 1, key=jax.random.key(0)),
                SlotScale.unit(2, 1),
                (0, 1),
                angle=(True,),
            ),
            "angle has 1 flags for 2 entries",
        ),
    ],
)
def test_slots_that_make_no_sense_are_refused(make, words):
    with pytest.raises(ConfigError) as found:
        make()
    assert words in str(found.value)


def test_energy_of_known_laws():
    """(1/2) v^2 + w2 (1 - cos(q - q0)) + k q^2 / 2 + k3 q^4 / 4 - g q."""
    laws = (
        Known("gravity_pendulum", w2=9.0, zero=0.2),
        Known("spring", k=4.0),
        Known("cubic_spring", k3=2.0),
        Known("constant", g=-3.0),
        Known("viscous", c=0.1),
        Known("quadratic_drag", d=0.1),
        Known("coulomb", f=0.1),
    )
    q, v = 0.7, -1.3
    y = jnp.asarray([q, v])
    exact = 0.5 * v**2 + 9.0 * (1 - np.cos(q - 0.2)) + 2.0 * q**2 + 0.5 * q**4 + 3.0 * q
    assert_allclose(energy(SecondOrder(Sum(laws), 1), y), exact, rtol=1e-14)


def test_conserving_laws_give_the_slope_of_their_energy():
    for name, constants in {
        "gravity_pendulum": {"w2": 9.0, "zero": 0.2},
        "spring": {"k": 4.0},
        "cubic_spring": {"k3": 2.0},
        "constant": {"g": -3.0},
    }.items():
        field = SecondOrder(Known(name, **constants), 1)
        y = jnp.asarray([0.7, 0.0])
        slope = jax.grad(lambda y, field=field: energy(field, y))(y)[0]
        assert_allclose(field(T, y, None, None)[1], -slope, rtol=1e-13)


def test_there_is_no_energy_where_a_force_is_learned_or_driven(friction, drag):
    y = jnp.asarray([0.7, -1.3, 0.2, 0.1])
    spring = Known("spring", 2, k=4.0)
    assert energy(SecondOrder(Sum((spring, friction)), 2), y) is not None
    assert energy(SecondOrder(Sum((spring, drag)), 2), y) is not None
    learned = slot((0, 1, 2, 3), 2)
    assert energy(SecondOrder(Sum((spring, learned)), 2), y) is None
    driven = Known("input", 2, b=1.0)
    assert energy(SecondOrder(Sum((spring, driven)), 2), y) is None
    assert energy(spring, y) is None


def shaped_slot(prior, out=2, space=0, linear=None):
    """A slot of two positions and two velocities with a prior of its own network."""
    takes = (0, 1, 2, 3)
    kind = {"convex": ConvexMLP, "increasing": MonotoneMLP, "decreasing": MonotoneMLP}
    size = Learned.size(takes, space=space)
    number = out // space * (4 // space) if prior == "equivariant" else out
    make = kind.get(prior, MLP)
    net = make(size, number, width=6, depth=2, key=jax.random.key(2))
    scale = SlotScale.unit(4, out)
    scale = eqx.tree_at(
        lambda s: (s.mean, s.scale, s.rest),
        scale,
        (0.3 * jnp.ones(4), jnp.asarray([1.0, 2.0, 0.5, 3.0]), 0.2 * jnp.ones(4)),
    )
    priors = (prior,) if prior else ()
    return Learned(net, scale, takes, priors=priors, linear=linear, space=space)


@given(seed=seeds, step=st.lists(st.floats(0.0, 2.0), min_size=4, max_size=4))
@settings(max_examples=15, deadline=None)
def test_increasing_and_decreasing_hold_in_every_input(seed, step):
    for sign, prior in ((1, "increasing"), (-1, "decreasing")):
        term = with_weights(shaped_slot(prior), lambda t: t.net, seed)
        y = np.random.default_rng(seed).normal(size=4)
        rise = compiled(term, y + np.array(step)) - compiled(term, y)
        assert np.all(sign * np.asarray(rise) >= 0)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_a_convex_energy_has_one_valley(seed):
    term = with_weights(shaped_slot("convex", out=1), lambda t: t.net, seed)
    a, b = np.random.default_rng(seed).normal(size=(2, 4))
    middle = compiled(term, 0.5 * (a + b))[0]
    assert middle <= 0.5 * (compiled(term, a) + compiled(term, b))[0] + 1e-9


@given(seed=seeds, angle=st.floats(-3.0, 3.0), mirror=st.booleans())
@settings(max_examples=15, deadline=None)
def test_vectors_turn_and_are_mirrored_together(seed, angle, mirror):
    """About the rest state: the force turns with the state, the energy stays."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, -s], [s, c]]) @ np.diag([1.0, -1.0 if mirror else 1.0])
    y = np.random.default_rng(seed).normal(size=4)
    turned = 0.2 + np.kron(np.eye(2), turn) @ (y - 0.2)
    force = with_weights(shaped_slot("equivariant", space=2), lambda t: t.net, seed)
    assert_allclose(
        compiled(force, turned), turn @ np.asarray(compiled(force, y)), atol=1e-9
    )
    level = with_weights(
        shaped_slot("invariant", out=1, space=2), lambda t: t.net, seed
    )
    assert_allclose(compiled(level, turned), compiled(level, y), atol=1e-9)


def test_symmetric_is_a_symmetric_matrix():
    matrix = compiled(shaped_slot("symmetric", out=9), np.arange(4.0)).reshape(3, 3)
    assert_array_equal(matrix, matrix.T)
    assert np.all(matrix != 0)


def test_a_linear_part_is_added_from_the_rest_state():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4)))
    without, trained = shaped_slot(""), shaped_slot("", linear=a)
    known = shaped_slot("", linear=GivenMatrix(a))
    y = np.array([1.0, -1.0, 0.5, 2.0])
    more = a @ ((y - 0.2) / np.array([1.0, 2.0, 0.5, 3.0]))
    assert_allclose(compiled(trained, y) - compiled(without, y), more, rtol=1e-12)
    assert_array_equal(compiled(known, y), compiled(trained, y))
    count = lambda t: num_parameters(t)
    assert count(trained) == count(without) + 8
    assert count(known) == count(without)
    # a trained part is under a prior, a known one is not
    assert trained.prior_residual().size == count(trained)
    assert known.prior_residual().size == count(known)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: slot((0,), 1, priors=("convex",)), "holds by a ConvexMLP"),
        (lambda: slot((0,), 1, priors=("increasing",)), "holds by a MonotoneMLP"),
        (lambda: slot((0,), 1, priors=("invariant",)), "dimension of their vectors"),
        (lambda: slot((0,), 1, priors=("positive", "odd")), "exclude each other"),
        (lambda: shaped_slot("invariant", 1, space=3), "whole vectors of 3"),
        (
            lambda: shaped_slot("positive", linear=jnp.zeros((2, 4))),
            "does not go with priors",
        ),
        (
            lambda: Learned(
                ConvexMLP(2, 1, width=3, depth=1, key=jax.random.key(0)),
                SlotScale.unit(1, 1),
                (0,),
                angle=(True,),
                priors=("convex",),
            ),
            "cannot hold for an angle",
        ),
    ],
)
def test_priors_that_cannot_hold_are_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
