"""Residuals as they are written: what they need, fields as functions, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import ConfigError
from pendula._precision import precision
from pendula.solutions._law import Need, record


XT = ("x", "t")
POINTS = np.random.default_rng(0).uniform(0.1, 2.0, (8, 2))


def law_of(function, coords=XT, fields=("u",), points=POINTS, **params):
    with precision(np.float64):
        values = {key: jnp.asarray(value) for key, value in params.items()}
        return record(function, coords, fields, values, points)


def names(function, coords=XT, fields=("u",), points=POINTS, **params):
    return sorted(law_of(function, coords, fields, points, **params).names())


def test_what_is_looked_up_is_needed():
    assert names(lambda u, x, t, p: u.t + u() * u.x - 0.1 * u.xx) == [
        "u",
        "u_t",
        "u_x",
        "u_xx",
    ]
    assert names(lambda u, x, t, p: u.d("xt") + u.xxxx) == ["u_xt", "u_xxxx"]
    assert names(lambda u, x, t, p: u.tx) == ["u_xt"]  # in any order of letters


def test_what_has_no_influence_is_left_out():
    assert names(lambda u, x, t, p: u.t + 0.0 * u.xxxx) == ["u_t"]
    assert names(lambda u, x, t, p: u.t + p.nu * u.xx, nu=0.0) == ["u_t"]
    assert names(lambda u, x, t, p: u.t + u.xx - u.xx) == ["u_t"]
    law = law_of(lambda u, x, t, p: u.t + p.nu * u.xx, nu=0.0)
    with precision(np.float64):
        found = law(jnp.asarray([3.0]), jnp.asarray([1.0, 1.0]), {"nu": 0.0})
    assert found.tolist() == [3.0]  # u_xx stands as 0


def test_what_acts_somewhere_is_needed():
    edge = np.random.default_rng(4).uniform(0.0, 1.0, size=(400, 2))
    inside = lambda x: jnp.where(x < 0.02, 1.0, 0.0)
    assert names(lambda u, x, t, p: u.t - inside(x) * u.xx, points=edge) == [
        "u_t",
        "u_xx",
    ]
    assert names(lambda u, x, t, p: u.t + jnp.maximum(u() - 50.0, 0.0)) == ["u", "u_t"]
    # the polynomial of u(x, t) at rest: nothing but what has an influence
    far = lambda u, x, t, p: jax.grad(u, 1)(x, t) + jnp.exp(u(x, t))
    assert names(far, points=edge) == ["u", "u_t"]


def test_fields_as_functions_and_their_gradients():
    """u(x, t) with jax.grad is the same law as u.x and so on."""

    def by_grad(u, x, t, p):
        u_t = jax.grad(u, 1)(x, t)
        u_x = jax.grad(u)
        u_xx = jax.grad(u_x)(x, t)
        return u_t + u(x, t) * u_x(x, t) - p.nu * u_xx - x * t

    def by_name(u, x, t, p):
        return u.t + u() * u.x - p.nu * u.xx - x * t

    one, two = law_of(by_grad, nu=0.3), law_of(by_name, nu=0.3)
    assert sorted(one.names()) == sorted(two.names())
    drawn = np.random.default_rng(1).normal(size=(len(two.needs), 8))
    values = dict(zip(two.needs, drawn, strict=True))
    with precision(np.float64):
        params = {"nu": jnp.asarray(0.3)}
        found = [
            jax.jit(jax.vmap(law, in_axes=(0, 0, None)))(
                jnp.stack([jnp.asarray(values[n]) for n in law.needs], 1),
                jnp.asarray(POINTS),
                params,
            )
            for law in (one, two)
        ]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


def test_fourth_derivatives_by_grad():
    def beam(u, x, p):
        for _ in range(4):
            u = jax.grad(u)
        return u(x)

    assert names(beam, ("x",), points=POINTS[:, :1]) == ["u_xxxx"]


def test_several_fields_and_equations():
    def waves(u, x, t, p):
        h, q = u["h"], u[1]
        return h.t + q.x, q.t + p.g * h.x + 0.1 * h() ** 2

    law = law_of(waves, fields=("h", "q"), g=9.81)
    assert law.equations == 2
    assert sorted(law.names()) == ["h", "h_t", "h_x", "q_t", "q_x"]
    assert law.order("t") == law.order("t", 1) == law.order("x", 0) == 1
    with precision(np.float64):
        place = {n: float(k + 1) for k, n in enumerate(law.needs)}
        at = lambda field, orders: place[Need(field, orders)]
        values = jnp.asarray([place[n] for n in law.needs])
        found = law(values, jnp.zeros(2), {"g": jnp.asarray(9.81)})
        want = [
            at(0, (0, 1)) + at(1, (1, 0)),
            at(1, (0, 1)) + 9.81 * at(0, (1, 0)) + 0.1 * at(0, (0, 0)) ** 2,
        ]
        np.testing.assert_allclose(found, want, rtol=1e-14)
    # a list of arrays of one element is flattened
    assert law_of(lambda u, x, t, p: [jnp.stack([u.t, u.x]), u()]).equations == 3


def test_orders():
    law = law_of(lambda u, x, t, p: u.tt - u.xx + u())
    assert (law.order("t"), law.order("x")) == (2, 2)
    ode = law_of(lambda u, t, p: u.t + u(), ("t",), points=POINTS[:, 1:])
    assert ode.order("t") == 1


def test_parameters_by_name_and_as_attributes():
    assert names(lambda u, x, t, p: u.t + p["c"] * u.x, c=2.0) == ["u_t", "u_x"]
    vector = law_of(lambda u, x, t, p: u.t + p.c[0] * u.x, c=np.asarray([2.0, 3.0]))
    assert vector.equations == 1


def test_data_of_each_point():
    with precision(np.float64):
        law = record(
            lambda u, x, t, d, p: u() - d[0] * d[1],
            XT,
            ("u",),
            {},
            POINTS,
            data=np.ones((8, 2)),
        )
        found = law(jnp.asarray([5.0]), jnp.zeros(2), {}, jnp.asarray([2.0, 3.0]))
    assert found.tolist() == [-1.0]


@pytest.mark.parametrize(
    ("residual", "words"),
    [
        (lambda u, x, t, p: x + t, "does not depend on u"),
        (lambda u, x, t, p: u() - u(), "does not depend on u"),
        (lambda u, x, t, p: u.y, '"y" is no coordinate'),
        (lambda u, x, t, p: u.xxxxt, "order 5; at most 4"),
        (lambda u, x, t, p: u.t + p.nu * u.xx, '"p.nu", which is not in params'),
        (lambda u, x, t, p: u.t + p["mu"], "params=dict"),
        (lambda u, x, t, p: u(x), "called with 1 coordinates; there are 2: x, t"),
        (lambda u, x, t, p: u.t + u(x + 0.5, t), "away from the collocation point"),
        (lambda u, x, t, p: u.t + u(x, t - 0.01), "away from the collocation point"),
        (lambda u, x, t, p: u["v"].t, "u"),
    ],
)
def test_bad_residuals(residual, words):
    with pytest.raises((ConfigError, TypeError), match=words):
        law_of(residual)


def test_fifth_derivatives_by_grad_are_refused():
    def fifth(u, x, p):
        for _ in range(5):
            u = jax.grad(u)
        return u(x)

    with pytest.raises(ConfigError, match="more than 4 times"):
        law_of(fifth, ("x",), points=POINTS[:, :1])


def test_an_unknown_field_is_refused():
    with pytest.raises(ConfigError, match=r'no field "hh".*Did you mean "h"'):
        law_of(lambda u, x, t, p: u["hh"].t, fields=("h", "q"))
