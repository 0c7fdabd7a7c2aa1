"""Training regimes over two hyper-parameters."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula import ConfigError
from pendula.diagnostics import regimes


def polynomial(degree, points, seed):
    """A polynomial through noisy points of a sine: errors there and elsewhere."""
    rng = np.random.default_rng(seed)
    f = lambda x: np.sin(6.0 * x)
    x = np.cos(np.pi * (np.arange(int(points)) + 0.5) / int(points))
    y = f(x) + 0.1 * rng.normal(size=x.size)
    fit = np.polynomial.Chebyshev.fit(x, y, int(degree), domain=[-1.0, 1.0])
    other = np.linspace(-1.0, 1.0, 501)
    rms = lambda a: float(np.sqrt(np.mean(a * a)))
    return rms(fit(x) - y), rms(fit(other) - f(other))


def test_polynomials_show_all_three():
    found = regimes(
        polynomial,
        [2, 12, 38],
        [40, 400],
        test_limit=0.08,
        train_limit=0.15,
        names=("degree", "points"),
        seeds=range(5),
    )
    expected = [
        ["under-trained", "under-trained"],
        ["fit", "fit"],
        ["over-trained", "fit"],
    ]
    assert found.regime.tolist() == expected
    assert found.best() == (12.0, 400.0)
    assert sum(found.shares().values()) == pytest.approx(1.0)
    assert found.text.splitlines()[2:] == ["2\tU\tU", "12\tF\tF", "38\tO\tF"]
    assert json.loads(json.dumps(found.to_dict()))["regime"] == expected


@settings(max_examples=50, deadline=None)
@given(
    train=st.floats(0.0, 10.0),
    test=st.floats(0.0, 10.0),
    limits=st.tuples(st.floats(0.01, 5.0), st.floats(0.01, 5.0)),
)
def test_every_pair_has_one_regime(train, test, limits):
    found = regimes(
        lambda a, b, seed: (train, test),
        [1.0],
        [2.0],
        test_limit=limits[0],
        train_limit=limits[1],
    )
    name = found.regime[0, 0]
    assert (name == "fit") == (test <= limits[0])
    if name != "fit":
        assert (name == "under-trained") == (train > limits[1])


def test_what_diverged_is_under_trained_and_medians_count():
    runs = {0: (math.nan, math.nan), 1: (0.0, 0.0), 2: (0.0, 0.0)}
    found = regimes(lambda a, b, seed: runs[seed], [1], [1], test_limit=1.0, seeds=[0])
    assert found.regime.tolist() == [["under-trained"]]
    assert found.to_dict()["test"] == [[None]]
    more = regimes(
        lambda a, b, seed: runs[seed], [1], [1], test_limit=1.0, seeds=[0, 1, 2]
    )
    assert more.regime.tolist() == [["fit"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_limit": 0.0}, "test_limit is 0"),
        ({"train_limit": math.inf}, "train_limit is inf"),
        ({"first": []}, "first is"),
        ({"second": [1.0, 1.0]}, "second has a value twice"),
        ({"second": [math.nan]}, "second is"),
        ({"seeds": []}, "no seeds"),
    ],
)
def test_bad_input(change, message):
    given = {"first": [1.0], "second": [1.0], "test_limit": 1.0, **change}
    with pytest.raises(ConfigError, match=message):
        regimes(lambda a, b, seed: (0.0, 0.0), **given)


def test_errors_below_zero_are_refused():
    with pytest.raises(ConfigError, match="below 0"):
        regimes(lambda a, b, seed: (-1.0, 0.0), [1.0], [1.0], test_limit=1.0)
