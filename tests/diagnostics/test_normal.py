"""Plain probabilistic forecasts: exact small cases."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError
from pendula._errors import ShapeError
from pendula.diagnostics import (
    Autoregression,
    Climatology,
    PhaseMean,
    RandomWalk,
    Repeat,
)


def test_climatology_walk_and_repeat():
    ys = np.array([[0.0], [2.0], [0.0], [2.0], [1.0]])
    mean, sd = Climatology.fit(ys).ahead(ys, 3)
    assert_allclose(mean[:, 0], 1.0)
    assert_allclose(sd[:, 0], np.sqrt(0.8))
    mean, sd = RandomWalk.fit(ys).ahead(ys, 4)
    assert_allclose(mean[:, 0], 1.0)
    assert_allclose(sd[3] / sd[0], 2.0)
    mean, sd = Repeat.fit(ys, 2).ahead(ys, 3)
    assert_allclose(mean[:, 0], [2.0, 1.0, 2.0])
    assert_allclose(sd[:, 0], np.sqrt(1 / 3))


def test_phase_mean_follows_the_input():
    us = np.tile([0.0, 0.0, 1.0], 5)[:, None]
    ys = np.tile([3.0, 4.0, 7.0], 5)[:, None]
    found = PhaseMean.fit(ys[:9], us[:9])
    mean, sd = found.ahead(ys[:9], 6, us)
    assert_allclose(mean, ys[9:])
    assert_allclose(sd, 0.0, atol=1e-12)
    with pytest.raises(ConfigError, match="needs the inputs"):
        found.ahead(ys, 2)
    with pytest.raises(DataError, match="none comes twice"):
        PhaseMean.fit(ys[:3], us[:3])


def test_an_autoregression_with_input_is_recovered_and_forecasts():
    """A VAR(2) without errors is found exactly; with errors the variance of a long
    forecast is the process's own."""
    rng = np.random.default_rng(0)
    lags = np.array([[[0.5, 0.2], [-0.3, 0.4]], [[-0.2, 0.0], [0.1, -0.1]]])
    us = rng.normal(size=(60, 1))
    ys = list(rng.normal(size=(2, 2)))
    for k in range(2, 60):
        inputs = us[k, 0] * np.array([0.7, 0.0]) + us[k - 1, 0] * np.array([0.0, 0.4])
        ys.append(lags[0] @ ys[-1] + lags[1] @ ys[-2] + inputs + 0.3)
    ys = np.array(ys)
    found = Autoregression.fit(ys[:40], 2, us[:40])
    assert_allclose(found.lags, lags, atol=1e-10)
    mean, sd = found.ahead(ys[:40], 20, us)
    assert_allclose(mean, ys[40:], atol=1e-9)
    assert_allclose(sd, 0.0, atol=1e-9)
    noisy = Autoregression(
        lags[:1, :1, :1], np.zeros((2, 1, 0)), np.zeros(1), np.eye(1)
    )
    _, sd = noisy.ahead([[0.0]], 60)
    assert_allclose(sd[-1, 0] ** 2, 1 / (1 - 0.5**2), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Climatology.fit([[1.0]]), "at least 2"),
        (lambda: RandomWalk.fit([[1.0], [np.nan]]), "1 values missing"),
        (lambda: Autoregression.fit(np.zeros((5, 2)), 2), "too few"),
        (lambda: Repeat.fit(np.zeros((4, 1)), 3), "at least 5"),
    ],
)
def test_too_little_data(call, text):
    with pytest.raises(DataError, match=text):
        call()


YS = np.arange(12.0)[:, None] ** 2
US = np.tile([0.0, 0.0, 1.0], 4)[:, None]
GAP = np.where(np.arange(12)[:, None] == 4, np.nan, US)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Autoregression.fit(YS, 0), ConfigError, "order is 0"),
        (lambda: Autoregression.fit(YS, True), ConfigError, "order is True"),
        (lambda: Repeat.fit(YS, -1), ConfigError, "period is -1"),
        (lambda: Repeat.fit(YS, True), ConfigError, "period is True"),
        (lambda: Climatology.fit(YS).ahead(YS, -2), ConfigError, "steps is -2"),
        (lambda: Autoregression.fit(YS, 1).ahead(YS, 0), ConfigError, "steps is 0"),
        (lambda: PhaseMean.fit(GAP, US), DataError, "1 values missing"),
        (lambda: PhaseMean.fit(YS, GAP), DataError, r"input at \(4, 0\)"),
        (lambda: Autoregression.fit(YS, 1, GAP), DataError, r"input at \(4, 0\)"),
        (lambda: PhaseMean.fit(YS, np.c_[US, US]), ShapeError, "there are 2 inputs"),
        (
            lambda: PhaseMean.fit(YS, US).ahead(YS[:9], 3, US[:, 0]),
            ShapeError,
            r"us has shape \(12,\)",
        ),
        (
            lambda: Autoregression.fit(YS, 1).ahead(np.ones((3, 2)), 1),
            ShapeError,
            "ys has 2 channels; the fit had 1",
        ),
        (
            lambda: RandomWalk.fit(YS).ahead(np.ones((3, 2)), 1),
            ShapeError,
            "ys has 2 channels; the fit had 1",
        ),
        (
            lambda: Repeat.fit(YS, 2).ahead(np.ones((3, 2)), 1),
            ShapeError,
            "ys has 2 channels; the fit had 1",
        ),
        (
            lambda: Autoregression.fit(YS, 1, US).ahead(YS[:9], 3, np.c_[US, US]),
            ShapeError,
            "us has 2 channels; the fit had 1",
        ),
    ],
)
def test_what_is_asked_wrongly(call, error, text):
    with pytest.raises(error, match=text):
        call()
