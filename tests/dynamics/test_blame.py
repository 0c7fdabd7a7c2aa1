"""A training that stops on NaN names the first sample it comes from, and is not
followed by further phases."""

import jax.numpy as jnp
import numpy as np
import pytest

from pendula.dynamics import Law, fit, from_dict, known_law
from pendula.dynamics._prepare import prepare
from pendula.systems import simulate
from pendula.train import NOT_FINITE


WALL = 0.5
known_law(
    "test_root",  # no number where q < -1/2
    Law(
        lambda q, v, u, c: -c["k"] * jnp.sqrt(q + WALL) * jnp.sign(q),
        {"k": ("positive", "")},
        "-k sqrt(q + 1/2) sign q",
    ),
)
known_law(
    "test_edge",  # a number everywhere, but no slope in c at c = 1
    Law(
        lambda q, v, u, c: -q - jnp.sqrt(jnp.abs(c["c"] - 1.0)) * q,
        {"c": ("any", "")},
        "-q - sqrt|c - 1| q",
    ),
)


def config(law, method, **constants):
    known = {"term": law, "free": list(constants), "constants": constants}
    model = {"known": [known], "learn": "none", "order": "second"}
    train = {"method": method, "members": 1, "clips": [8], "steps": 20}
    if method == "adam":
        model |= {"learn": "force", "width": 4, "depth": 1}
    return from_dict({"model": model, "train": train, "every": 1})


@pytest.fixture(scope="module")
def records():
    """Four oscillations, of which the second goes beyond the wall."""
    y0 = np.array([[0.3, 0.0], [0.9, 0.0], [0.35, 0.0], [0.4, 0.0]])
    return simulate("harmonic", num=4, duration=6.0, dt=0.1, y0=y0, observe="q", seed=0)


def phases(fitted):
    return [(p["name"], p["reason"]) for p in fitted.report["training"]["phases"]]


@pytest.mark.slow
def test_the_first_bad_sample_is_named(records):
    settings = config("test_root", "adam", k=1.0)
    train = prepare(records, settings, "adam").train
    row = train.labels.index("1")  # it is not the one that is held out
    beyond = train.ts[row, np.argmax(train.ys[row, :, 0] < -WALL)]
    fitted = fit(None, records, settings)
    (name, reason), *others = phases(fitted)
    assert name == "rates"
    assert reason.startswith(NOT_FINITE)
    assert "Lower the learning rate" in reason  # the advice
    assert "The first is the loss of trajectory 1 from " in reason
    assert float(reason.split("trajectory 1 from ")[1].split()[0]) == pytest.approx(
        beyond, abs=0.2
    )
    assert [why for _, why in others] == ["skipped: a phase before stopped"]


@pytest.mark.slow
def test_the_operation_is_named_where_asked(records):
    settings = config("test_root", "levenberg", k=1.0)
    fitted = fit(None, records, settings, debug_nans=True)
    (_, reason), *_ = phases(fitted)
    assert "invalid value (nan) encountered in sqrt, at test_blame.py, line" in reason


@pytest.mark.slow
def test_a_slope_that_is_not_finite_is_a_gradient(records):
    settings = config("test_edge", "adam", c=1.0)
    fitted = fit(None, records, settings, debug_nans=True)
    (_, reason), *_ = phases(fitted)
    assert "The first is the gradient of trajectory" in reason
    assert (
        "Infinite is the derivative with respect to .field.force.terms[0].constants"
        in reason
    )
