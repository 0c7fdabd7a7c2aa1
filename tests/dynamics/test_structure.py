"""Lagrangian, Hamiltonian and port-Hamiltonian terms against mechanics, and what any
weights of them keep."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose

from pendula._errors import ConfigError
from pendula.dynamics import (
    Dissipative,
    Given,
    GivenMatrix,
    Hamiltonian,
    Known,
    Lagrangian,
    Learned,
    LearnedBody,
    Links,
    PortHamiltonian,
    Ports,
    SecondOrder,
    SlotScale,
    energy,
    kinetic,
)
from pendula.dynamics._lagrangian import solve_positive
from pendula.nn import MLP
from pendula.solve import rollout
from pendula.systems import DoublePendulum, NLinkPendulum


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


T = np.float64(0.0)
N = 2
seeds = st.integers(0, 2**20)
compiled = eqx.filter_jit(lambda field, y, u=None: field(T, y, u, None))
value = eqx.filter_jit(energy)


def slot(takes, out, index=0):
    size = len(takes)
    net = MLP(size, out, width=5, key=jax.random.fold_in(jax.random.key(1), index))
    return Learned(net, SlotScale.unit(size, out, 1.0), takes)


def learned_body():
    return LearnedBody(slot((0, 1), 3, 1), slot((0, 1), 1))


def drag():
    return Dissipative(slot((0, 1, 2, 3), 3, 2), N)


def inner(separable=False):
    if separable:
        return Hamiltonian((slot((0, 1), 1), slot((2, 3), 1, 1)), N)
    return Hamiltonian((slot((0, 1, 2, 3), 1),), N, (Given(jnp.asarray(2.0)),) * N)


KEEPS = {
    "lagrangian": lambda: SecondOrder(Lagrangian(learned_body(), (), N), N),
    "hamiltonian": inner,
    "separable": lambda: inner(True),
}
LOSES = {
    "lagrangian": lambda: SecondOrder(Lagrangian(learned_body(), (drag(),), N), N),
    "links": lambda: SecondOrder(
        Lagrangian(Links(2, g1=20.0, g2=9.0), (drag(),), N), N
    ),
    "port": lambda: PortHamiltonian(inner(), slot((0, 1, 2, 3), 3, 3)),
}


@pytest.fixture(
    scope="module",
    params=[*(("keeps", k) for k in KEEPS), *(("loses", k) for k in LOSES)],
)
def case(request):
    kind, name = request.param
    with jax.enable_x64(True):
        return kind, {"keeps": KEEPS, "loses": LOSES}[kind][name]()


def drawn(field, seed):
    """The field with all networks' weights of size 1."""
    rng = np.random.default_rng(seed)
    is_net = lambda x: isinstance(x, MLP)

    def fresh(node):
        if not is_net(node):
            return node
        return jax.tree.map(
            lambda w: jnp.asarray(rng.normal(size=w.shape)) if eqx.is_array(w) else w,
            node,
        )

    return jax.tree.map(fresh, field, is_leaf=is_net)


@eqx.filter_jit
def rate_of_energy(field, y):
    """dE/dt along the field."""
    return jax.jvp(lambda y: energy(field, y), (y,), (field(T, y, None, None),))[1]


@given(seed=seeds, y=st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4))
@settings(max_examples=20, deadline=None)
def test_energy_stays_or_falls_for_any_weights(case, seed, y):
    kind, field = case
    field, y = drawn(field, seed), np.array(y)
    change = float(rate_of_energy(field, y))
    # sums of terms up to 1e3, in float64
    assert change < 1e-8
    if kind == "keeps":
        assert change > -1e-8


POINT = dict(length1=0.7, length2=1.1, mass1=1.3, mass2=0.4, gravity=9.81)


def links_of(length1, length2, mass1, mass2, gravity, **kind):
    """The constants of point masses on massless links."""
    return Links(
        2,
        d1=mass1 * length1**2,
        d2=mass2 * length2**2,
        u12=length1 / length2,
        g1=gravity * length1 * (mass1 + mass2),
        g2=gravity * length2 * mass2,
        **kind,
    )


def test_links_are_the_double_pendulum():
    world = DoublePendulum(**POINT)
    field = SecondOrder(Lagrangian(links_of(**POINT), (), N), N)
    for y in np.random.default_rng(0).normal(size=(5, 4), scale=2.0):
        assert_allclose(compiled(field, y), compiled(world, y), rtol=1e-12, atol=1e-12)
        exact = world.invariants(jnp.asarray(y))["energy"]
        assert_allclose(value(field, y), exact, rtol=1e-12, atol=1e-12)


def test_three_links_with_friction_and_torques_in_the_joints():
    world = NLinkPendulum(links=3, length=0.5, mass=2.0, damping=0.4)
    m, l, g = 2.0, 0.5, 9.81
    body = Links(
        3,
        **{f"d{k}": m * l**2 for k in (1, 2, 3)},
        **{f"u{p}": 1.0 for p in ("12", "13", "23")},
        **{f"g{k}": g * l * m * (4 - k) for k in (1, 2, 3)},
    )
    forces = [Known("viscous", 3, on=k, c=0.4) for k in range(3)]
    forces += [Known("input", 3, on=k, channel=k, b=1.0) for k in range(3)]
    field = SecondOrder(Lagrangian(body, tuple(forces), 3), 3)
    y, u = np.random.default_rng(1).normal(size=6), np.array([0.3, -0.2, 0.5])
    found, exact = compiled(field, y, u), compiled(world, y, u)
    assert_allclose(found, exact, rtol=1e-12, atol=1e-12)


def test_relative_angles_are_the_same_motion():
    absolute = SecondOrder(
        Lagrangian(links_of(**POINT), (Known("viscous", N, on=1, c=0.3),), N), N
    )
    relative = SecondOrder(
        Lagrangian(
            links_of(**POINT, relative=True), (Known("viscous", N, on=1, c=0.3),), N
        ),
        N,
    )
    turn = np.kron(np.eye(2), np.array([[1.0, 0.0], [-1.0, 1.0]]))
    y = np.random.default_rng(2).normal(size=4)
    assert_allclose(
        turn @ compiled(absolute, y), compiled(relative, turn @ y), rtol=1e-11
    )
    assert_allclose(value(absolute, y), value(relative, turn @ y), rtol=1e-12)


def test_lagrangian_and_hamiltonian_are_one_mechanics():
    """p = M v turns the one motion into the other."""
    body = links_of(**POINT)
    field = SecondOrder(Lagrangian(body, (), N), N)
    y0 = jnp.asarray([1.0, -0.5, 0.3, 0.8])

    def momentum(y):
        return jnp.concatenate([y[:N], body.mass(y[:N]) @ y[N:]])

    def hamiltonian(z):
        q, p = z[:N], z[N:]
        return 0.5 * p @ jnp.linalg.solve(body.mass(q), p) + body.potential(q)

    slope = jax.grad(hamiltonian)(momentum(y0))
    _, moved = jax.jvp(momentum, (y0,), (compiled(field, y0),))
    assert_allclose(moved, jnp.concatenate([slope[N:], -slope[:N]]), rtol=1e-11)


def test_hamiltonian_fields_keep_volume():
    field = drawn(inner(), 5)
    y = jnp.array([0.3, -1.0, 0.5, 0.2])
    jacobian = jax.jacfwd(lambda y: field(T, y, None, None))(y)
    assert_allclose(jnp.trace(jacobian), 0.0, atol=1e-12)


def test_ports_bring_power():
    """dH/dt = p' G u without losses, and no energy is claimed of a driven field."""
    ports = Ports(jnp.ones((N, 1)), GivenMatrix(jnp.asarray([[2.0], [3.0]])))
    field = PortHamiltonian(inner(), None, ports)
    y, u = jnp.array([0.3, -1.0, 0.5, 0.2]), jnp.array([0.7])
    slope = jax.grad(field.hamiltonian.value)(y)
    power = jax.jvp(field.hamiltonian.value, (y,), (compiled(field, y, u),))[1]
    assert_allclose(power, slope[N:] @ (jnp.array([2.0, 3.0]) * 0.7), rtol=1e-12)
    assert energy(field, y) is None
    with pytest.raises(ConfigError, match="needs the input"):
        field(T, y, None, None)


def test_a_network_of_zeros_is_a_unit_mass():
    body = jax.tree.map(
        lambda x: x * 0 if eqx.is_inexact_array(x) else x, learned_body().factor.net
    )
    body = eqx.tree_at(lambda b: b.factor.net, learned_body(), body)
    assert_allclose(body.mass(jnp.ones(N)), np.eye(N), atol=1e-14)


@pytest.mark.slow
def test_energy_is_kept_along_a_rollout():
    """RK4: the drift falls with the fifth power of the step."""
    field = drawn(SecondOrder(Lagrangian(learned_body(), (), N), N), 3)
    y0 = jnp.array([0.4, -0.3, 0.2, 0.1])
    drifts = []
    for steps in (200, 400):
        path = rollout(field, y0, np.linspace(0.0, 4.0, steps + 1), scheme="rk4")
        values = jax.vmap(lambda y: value(field, y))(path.ys)
        drifts.append(float(jnp.max(jnp.abs(values - values[0]))))
    assert drifts[1] < drifts[0] / 10
    assert drifts[1] < 1e-5


@given(seed=seeds, n=st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_elimination_without_pivots(seed, n):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(n, n))) + 2 * np.eye(n)
    right = rng.normal(size=n)
    found = solve_positive(jnp.asarray(lower @ lower.T), jnp.asarray(right))
    assert_allclose(
        found, np.linalg.solve(lower @ lower.T, right), rtol=1e-9, atol=1e-9
    )


def test_kinetic_energies():
    y = jnp.array([0.3, -1.0, 0.5, 0.2])
    field = SecondOrder(Lagrangian(links_of(**POINT), (), N), N)
    mass = links_of(**POINT).mass(y[:N])
    assert_allclose(kinetic(field, y), 0.5 * y[N:] @ mass @ y[N:], rtol=1e-12)
    plain = Hamiltonian((), N, (Given(jnp.asarray(2.0)),) * N)
    assert_allclose(kinetic(plain, y), 0.25 * y[N:] @ y[N:], rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Links(4), "1 to 3 links"),
        (lambda: Links(2, d3=1.0), 'no constant "d3"'),
        (lambda: Links(2, d1=-1.0), "must be > 0"),
        (lambda: Known("two_links", 2), "a body of 2 links"),
        (lambda: Lagrangian(learned_body(), (), 0), "n >= 1"),
        (lambda: LearnedBody(slot((0, 1), 2), slot((0, 1), 1)), "3 entries"),
        (lambda: LearnedBody(slot((0, 1), 3), slot((0, 2), 1)), "nothing else"),
        (lambda: Hamiltonian((slot((0, 1), 2),), 1), "gives 2 of"),
        (lambda: Hamiltonian((), 2, (Given(jnp.asarray(1.0)),)), "1 masses"),
        (lambda: PortHamiltonian(inner(), slot((0, 1), 2)), "3 entries"),
    ],
)
def test_what_cannot_be_is_refused(make, said):
    with pytest.raises(ConfigError, match=said):
        make()
