"""Fits of models with structure: what they find, what they keep, what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula._errors import ConfigError
from pendula.dynamics import Lagrangian, energy, fit, from_dict, load
from pendula.dynamics._body_guess import body_guesses
from pendula.dynamics._config import ModelConfig
from pendula.dynamics._layout import layout
from pendula.systems import NLinkPendulum, simulate, system


TRAIN = {"method": "levenberg", "members": 1, "refit": False}
FREE = ["d2", "u12", "g1", "g2"]
# two equal links of 1 m and 1 kg, d1 = 1
TRUTH = {"d2": 1.0, "u12": 1.0, "g1": 19.62, "g2": 9.81}


def links(**more):
    return {"term": "two_links", "free": FREE, **more}


def config(train=(), **model):
    return from_dict({"model": model, "train": TRAIN | dict(train)})


@pytest.fixture(scope="module")
def swings():
    """Two angles of a double pendulum with friction in the joints."""
    return simulate(
        NLinkPendulum(links=2, damping=0.2), num=2, duration=3.0, dt=0.02, seed=0
    )


def test_constants_of_a_body_start_where_the_accelerations_say(swings):
    plan = layout(("theta1", "theta2"), ("second", "second"))
    model = ModelConfig(
        known=from_dict(
            {
                "model": {
                    "known": [
                        links(),
                        {"term": "viscous", "on": ["theta1"], "free": ["c"]},
                        {"term": "viscous", "on": ["theta2"], "constants": {"c": 0.2}},
                    ]
                }
            }
        ).model.known
    )
    world = NLinkPendulum(links=2, damping=0.2)
    with jax.enable_x64(True):
        rates = jax.jit(jax.vmap(lambda y: world(0.0, y)))(
            jnp.asarray(swings.ys.reshape(-1, 4)[::7])
        )
    found = body_guesses(
        model, plan, swings.ys.reshape(-1, 4)[None, ::7], np.asarray(rates)[None], None
    )
    for name, value in TRUTH.items():
        assert_allclose(found[0][name].start, value, rtol=1e-3)
    assert_allclose(found[1]["c"].start, 0.2, rtol=1e-2)
    assert 2 not in found


@pytest.mark.parametrize(
    ("names", "model", "said"),
    [
        (None, {"known": [links(), links()]}, "a model has one"),
        (["theta1"], {"known": [links()]}, "needs 2 angles"),
        (None, {"known": [links(on=["theta2"])]}, "takes all angles"),
        (None, {"known": [links()], "learn": "energy"}, "beside a body"),
        (None, {"known": [links()], "learn": "hamiltonian"}, "has momenta"),
        (None, {"known": [links(free=["d9"])]}, 'no constant "d9"'),
        (None, {"learn": "force", "priors": ["separable"]}, "says nothing about"),
        (None, {"learn": "energy", "priors": ["convex"]}, "cannot hold for an angle"),
        (None, {"learn": "force", "linear": [1.0]}, "expected 2 x 4"),
        (None, {"learn": "energy", "linear": [1.0]}, "model.linear is part of"),
        (
            ["theta1"],
            {"learn": "force", "priors": ["rotation_equivariant"]},
            "2 or 3 coordinates",
        ),
        (
            ["theta1", "omega1"],
            {"learn": "hamiltonian"},
            "are velocities",
        ),
        (
            ["theta1"],
            {"learn": "hamiltonian", "order": "first"},
            "as many momenta",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(swings, names, model, said):
    data = swings.channels(names or ["theta1", "theta2"])
    given = {"order": "second", **model} if names != ["theta1", "omega1"] else model
    with pytest.raises(ConfigError, match=said):
        fit(None, data, config(**given), judged=False)


@pytest.mark.slow
def test_links_with_friction_are_found_from_angles(swings, tmp_path):
    known = [links()] + [
        {"term": "viscous", "on": [name], "free": ["c"]}
        for name in ("theta1", "theta2")
    ]
    data = swings.channels(["theta1", "theta2"])
    fitted = fit(
        None,
        data,
        config({"window": 0.5}, known=known, learn="none", order="second"),
        judged=False,
    )
    found = [(c["name"], c["value"]) for c in fitted.about["constants"]]
    for name, value in found:
        assert_allclose(value, TRUTH.get(name, 0.2), rtol=1e-3)
    assert isinstance(fitted.model().field.force, Lagrangian)
    fitted.save(tmp_path / "links.safetensors")
    again = load(tmp_path / "links.safetensors")
    one, two = (f.forecast(data, until=2.0).mean for f in (fitted, again))
    assert np.array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learn", "priors"),
    [("hamiltonian", []), ("hamiltonian", ["separable"]), ("lagrangian", [])],
)
def test_a_learned_energy_forecasts_and_keeps(learn, priors):
    """A pendulum from its angle alone: 4 s ahead within 0.05 rad, the model's own
    energy constant to the error of the scheme."""
    data = simulate("pendulum", num=3, duration=6.0, dt=0.05, seed=1)
    data = data.channels(["theta"])
    fitted = fit(
        None,
        data,
        config(
            {"window": 2.0},
            learn=learn,
            priors=priors,
            order="second",
            width=10,
            depth=1,
        ),
        judged=False,
    )
    assert fitted.forecast(data, start=1.5, until=5.5).rmse() < 0.05
    ys = fitted.simulate([1.0, 0.0], np.arange(400) * 0.02).ys[0]
    with jax.enable_x64(True):
        own = eqx.filter_jit(jax.vmap(energy, (None, 0)))(
            fitted.model().field, jnp.asarray(ys)
        )
    # the energy at 1 rad is 0.46 g l; RK4 steps of 0.1 rad
    assert np.ptp(own) < 1e-4 * np.ptp(ys[:, 1]) ** 2


@pytest.mark.slow
def test_measured_momenta_with_losses_and_a_drive():
    """A driven oscillator in (q, p): the port's strength is found."""
    push = lambda ts: np.sin(1.3 * ts) + 0.5 * np.cos(2.1 * ts)
    data = simulate(
        "duffing",
        duration=20.0,
        dt=0.1,
        seed=2,
        y0=[0.5, 0.0],
        params={"alpha": 1.0, "beta": 1.0, "damping": 0.2},
        us=push,
    )
    fitted = fit(
        None,
        data,
        config(
            {"window": 3.0},
            learn="hamiltonian",
            priors=["dissipative"],
            order="first",
            width=8,
            depth=1,
        ),
        judged=False,
    )
    ports = fitted.model().field.ports.value
    assert_allclose(ports, [[1.0]], rtol=0.05)
    assert fitted.forecast(data).rmse() < 0.05


@pytest.mark.slow
def test_a_central_force_from_one_orbit_holds_for_its_mirror_image():
    """Kepler: the equivariant force runs an orbit backwards as well as forwards, which
    a plain network has no reason to."""
    world = system("kepler")
    data = simulate(world, num=1, duration=8.0, dt=0.05, seed=0)
    names = data.names[:2]
    fitted = fit(
        None,
        data.channels(list(names)),
        config(
            {"window": 1.5},
            learn="force",
            priors=["rotation_equivariant"],
            order="second",
            width=10,
            depth=1,
        ),
        judged=False,
    )
    start, ts = data.ys[0, 0], data.ts[0, :60]
    mirror = np.array([1.0, -1.0, 1.0, -1.0])
    ahead = fitted.simulate(start, ts).ys[0]
    assert_allclose(ahead[:, :2], data.ys[0, :60, :2], atol=0.05)
    turned = fitted.simulate(mirror * start, ts).ys[0]
    assert_allclose(turned, mirror * ahead, atol=1e-8)
