"""Energy along free runs, and what a learned term saw: against closed forms."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula.dynamics import (
    FitConfig,
    Free,
    Friction,
    Given,
    Known,
    KnownConfig,
    Model,
    ModelConfig,
    SecondOrder,
    Sum,
)
from pendula.dynamics._build import build_model
from pendula.dynamics._energy_of import loses_energy
from pendula.dynamics._fitted import Fitted
from pendula.dynamics._panels import (
    energies,
    energy_findings,
    visited,
)
from pendula.dynamics._prepare import prepare
from pendula.systems import simulate


ABOUT = {
    "members": 1,
    "dtype": "float64",
    "names": ["theta"],
    "units": ["rad"],
    "time_unit": "s",
    "layout": {"positions": [0], "velocities": [None], "first": []},
}
TS = np.linspace(0.0, 6.0, 241)
OMEGA = 2.0


def fitted(*terms):
    """A fit of one member whose force is the sum of the terms."""
    with jax.enable_x64(True):
        model = Model(SecondOrder(Sum(tuple(terms)), 1), (0,), 2)
        stacked = jax.tree.map(lambda x: np.asarray(x, np.float64)[None], model)
    return Fitted(stacked, ABOUT)


def spring():
    return Known("spring", k=OMEGA**2)


def trial(ys, refined=None):
    """Free runs `"start time dim"`."""
    ys = np.asarray(ys)[None]
    return SimpleNamespace(
        ts=TS[None], states=ys, refined=ys if refined is None else refined[None]
    )


def swing(loss=0.0):
    """q, v of an oscillator whose energy falls as exp(-2 loss t)."""
    fade = np.exp(-loss * TS)
    q, v = fade * np.cos(OMEGA * TS), -OMEGA * fade * np.sin(OMEGA * TS)
    return np.stack([q, v], axis=1)


def test_energy_of_an_oscillator_is_that_of_the_closed_form():
    values = energies(fitted(spring()), swing(0.1)[None])
    assert values.shape == (1, len(TS))
    assert_allclose(values[0], 0.5 * OMEGA**2 * np.exp(-0.2 * TS), rtol=1e-12)


def test_what_is_kept_must_not_drift():
    keeps = fitted(spring())
    (good,) = energy_findings(keeps, trial(swing()))
    assert (good.id, good.verdict) == ("energy.drift", "good")
    assert good.value < 1e-12
    # kinetic energy at its largest is the scale: the loss over the run, relative
    (bad,) = energy_findings(keeps, trial(swing(0.01), swing(0.01)))
    peak = np.max(0.5 * swing(0.01)[:, 1] ** 2)
    lost = 0.5 * OMEGA**2 * (1 - np.exp(-0.02 * TS[-1]))
    assert bad.verdict == "bad"
    assert_allclose(bad.value, lost / peak, rtol=1e-12)
    assert "the model" in bad.reasons[0]
    (step,) = energy_findings(keeps, trial(swing(0.01), swing(0.0)))
    assert "shorten it" in step.reasons[0]


def test_what_is_damped_must_not_rise():
    damped = fitted(spring(), Known("viscous", c=0.2))
    (falls,) = energy_findings(damped, trial(swing(0.1)))
    assert (falls.id, falls.value, falls.verdict) == ("energy.rise", 0.0, "good")
    (rises,) = energy_findings(damped, trial(swing(-0.05)))
    assert rises.verdict == "bad"


def test_nothing_is_said_without_an_energy_or_a_finite_run():
    driven = fitted(spring(), Known("input", b=1.0))
    assert energies(driven, swing()[None]) is None
    assert energy_findings(driven, trial(swing())) == []
    assert energy_findings(fitted(spring()), trial(np.nan * swing())) == []
    assert energy_findings(fitted(spring()), trial(0.0 * swing())) == []


@pytest.mark.parametrize(
    ("terms", "loses"),
    [
        ((spring(),), False),
        ((spring(), Known("coulomb", f=0.1, width=0.05)), True),
        ((spring(), Known("quadratic_drag", d=0.1)), True),
        (
            (
                spring(),
                Friction(
                    *[Free.make(0.1, "positive") for _ in range(3)],
                    Given(jnp.asarray(0.1)),
                    None,
                    1,
                ),
            ),
            True,
        ),
    ],
)
def test_which_models_lose_energy(terms, loses):
    assert loses_energy(SecondOrder(Sum(terms), 1)) is loses


@pytest.fixture(scope="module")
def prepared():
    data = simulate("harmonic", num=3, duration=6.0, dt=0.1, seed=0, observe="q")
    return prepare(data, FitConfig(), "levenberg")


@pytest.mark.parametrize(
    ("learn", "axes"),
    [
        ("none", []),
        ("friction", [("|dq/dt|", "m/s")]),
        ("force", [("q", "m"), ("dq/dt", "m/s")]),
    ],
)
def test_what_the_learned_term_saw(prepared, learn, axes):
    """Every sample of the training part is counted once, where it is."""
    known = (KnownConfig("spring", free=("k",), constants={"k": 1.0}),)
    config = ModelConfig(known=known, learn=learn, width=4)
    model = build_model(config, prepared.plan, prepared.ranges, 1, jax.random.key(0))
    about = {
        **ABOUT,
        "names": ["q"],
        "units": ["m"],
        "dtype": "float32",
        "input_names": [],
    }
    one = Fitted(jax.tree.map(lambda x: np.asarray(x)[None], model), about)
    found, labels = visited(one, prepared)
    assert labels == axes
    if not axes:
        assert found == {}
        return
    q, v = prepared.states.ys.reshape(-1, 2).T
    columns = [np.abs(v)] if learn == "friction" else [q, v]
    assert found["slot/visited"].sum() == len(q)
    for edges, column in zip(
        (found["slot/x"], found.get("slot/y", found["slot/x"])), columns, strict=False
    ):
        assert_allclose((edges[0], edges[-1]), (column.min(), column.max()))
