"""Step halving and invariants, on an oscillator whose numerical error is known."""

import numpy as np
import pytest

from pendula._errors import ConfigError, DataError, ShapeError
from pendula.diagnostics import drift, step_halving


def euler(refine, num=200, h=0.01, damping=0.0):
    """Explicit Euler for q'' = -q - damping q', `num` samples of `h`."""
    y, out = np.array([1.0, 0.0]), []
    for _ in range(num):
        out.append(y)
        for _ in range(refine):
            y = y + h / refine * np.array([y[1], -y[0] - damping * y[1]])
    return np.array(out)


T = 0.01 * np.arange(200)


def energy(y):
    return 0.5 * (y**2).sum(axis=1)


def test_halving_measures_half_of_eulers_error():
    truth = np.stack([np.cos(T), -np.sin(T)], axis=1)
    error = np.sqrt(np.mean((euler(1) - truth) ** 2, axis=1))
    out = step_halving(euler, error)
    np.testing.assert_allclose(out.ratio[10:], 0.5, atol=0.02)  # order 1: 1 - 1/2
    assert out.ratio[0] == 0
    finer = step_halving(lambda n: euler(10 * n), 0.1)
    assert finer.change.max() < 0.15 * out.change.max()


def test_halving_in_scaled_channels():
    out = step_halving(lambda n: np.full((1, 2), [1.0 / n, 20.0 / n]), 1.0)
    np.testing.assert_allclose(out.change, np.sqrt((0.25 + 100) / 2))
    out = step_halving(
        lambda n: np.full((1, 2), [1.0 / n, 20.0 / n]), 1.0, scale=[1, 20]
    )
    np.testing.assert_allclose(out.ratio, 0.5)


def test_halving_of_a_failed_rollout_and_without_error():
    out = step_halving(lambda n: [[1.0], [np.nan if n == 2 else 1.0]], [0.0, 1.0])
    np.testing.assert_array_equal(out.ratio, [0, np.inf])
    out = step_halving(lambda n: [[1.0 / n], [1.0]], [0.0, np.nan])
    assert np.isinf(out.ratio[0])
    assert np.isnan(out.ratio[1])
    failed = step_halving(lambda n: [[1.0 / n], [np.inf]], [np.inf, np.inf])
    np.testing.assert_array_equal(failed.ratio, [0, np.inf])
    with pytest.raises(ShapeError, match="along time"):
        step_halving(lambda n: np.ones((n, 1)), 1.0)
    with pytest.raises(ShapeError, match="scale"):
        step_halving(lambda n: np.ones((2, 1)), 1.0, scale=[1.0, 2.0])


def test_drift_of_the_step_and_of_the_model():
    """Euler pumps energy in: E grows by h^2 E a step, half of it with half the
    step. Damping takes energy out, whatever the step."""
    numerical = drift(energy(euler(1)), T, refined=energy(euler(2)))
    assert numerical.largest == pytest.approx(1.0001**199 - 1, rel=1e-6)
    assert numerical.numerical == pytest.approx(0.5, abs=0.01)
    assert numerical.rate == pytest.approx(0.01, rel=0.03)
    model = drift(
        energy(euler(1, damping=1.0)), T, refined=energy(euler(2, damping=1.0))
    )
    assert model.numerical < 0.05
    assert model.rate < -0.3
    said = numerical.finding("a.energy", "the energy", 0.01)
    assert said.verdict == "bad"
    assert "solver's step: shorten" in said.reasons[0]
    assert "the model" in model.finding("a", "the energy", 0.01).reasons[0]
    assert model.finding("a", "the energy", 10.0).verdict == "good"


def test_what_swings_back_is_no_secular_drift():
    t = np.linspace(0, 200 * np.pi, 20001)
    out = drift(1 + 0.1 * np.sin(t), t)
    assert out.largest == pytest.approx(0.1, rel=1e-6)
    assert abs(out.rate) < 1e-4
    assert out.numerical is None
    assert drift(np.ones(5), np.arange(5.0), refined=np.ones(5)).numerical == 0


def test_bad_drift():
    with pytest.raises(DataError, match="not finite at time 1"):
        drift([1.0, np.nan], [0.0, 1.0])
    with pytest.raises(DataError, match="not finite at time 1"):
        drift([1.0, 2.0], [0.0, 1.0], refined=[1.0, np.inf])
    with pytest.raises(ConfigError, match="Give scale"):
        drift([0.0, 1.0], [0.0, 1.0])
    with pytest.raises(ShapeError, match="refined"):
        drift([1.0, 1.0], [0.0, 1.0], refined=[1.0])
