"""Drift and diffusion learned from data whose process is known."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula import ConfigError, DataError, ShapeError
from pendula.data import Trajectories
from pendula.dynamics import SDEConfig, fit_sde


THETA, MEAN, SIGMA, DT = 1.5, 0.5, 0.6, 0.05


def series(count, samples, seed):
    """Ornstein-Uhlenbeck by its exact transition."""
    rng = np.random.default_rng(seed)
    keep, spread = np.exp(-THETA * DT), SIGMA / np.sqrt(2 * THETA)
    x = [MEAN + spread * rng.normal(size=count)]
    for _ in range(samples):
        noise = spread * np.sqrt(1 - keep**2) * rng.normal(size=count)
        x.append(MEAN + keep * (x[-1] - MEAN) + noise)
    return np.stack(x, axis=1)


def trajectories(xs, us=None):
    times = DT * np.arange(xs.shape[1])
    inputs = None if us is None else list(us)
    return Trajectories.from_arrays([times] * len(xs), list(xs), inputs)


def errors(fitted):
    x = MEAN + np.linspace(-0.7, 0.7, 50)
    drift = fitted.drift(x[:, None])[:, 0] - THETA * (MEAN - x)
    noise = fitted.diffusion(x[:, None])[:, 0] - SIGMA
    size = np.linalg.norm(THETA * (MEAN - x))
    return np.linalg.norm(drift) / size, np.sqrt(np.mean(noise**2)) / SIGMA


def small(**settings):
    return SDEConfig(**{"width": 16, "depth": 1, "steps": 600, **settings})


def test_an_ornstein_uhlenbeck_process_is_found_again():
    data = trajectories(series(16, 1000, 0))
    fitted = fit_sde(data, small())
    drift, noise = errors(fitted)
    assert drift < 0.12
    assert noise < 0.03
    # what it simulates has the stationary moments and the memory of the process
    paths = fitted.simulate([MEAN], np.linspace(0, 8, 81), paths=800)[..., 0]
    assert paths.shape == (800, 81)
    assert paths[:, -1].mean() == pytest.approx(MEAN, abs=0.06)
    assert paths[:, -1].std() == pytest.approx(SIGMA / np.sqrt(2 * THETA), rel=0.1)
    # one sample ahead: about the score of a normal forecast that is right
    right = SIGMA * np.sqrt(DT) / np.sqrt(np.pi)
    other = trajectories(series(2, 300, 1))
    assert fitted.crps(other)[0] == pytest.approx(right, rel=0.1)


@pytest.mark.slow
def test_the_energy_score_finds_the_same():
    fitted = fit_sde(
        trajectories(series(16, 500, 0)),
        small(objective="energy", horizon=4, lr=0.02, batch=128, paths=8, steps=400),
    )
    drift, noise = errors(fitted)
    assert drift < 0.3
    assert noise < 0.08


@pytest.mark.slow
def test_noise_that_grows_with_the_state_and_an_input_that_drives():
    """dx = (u - x) dt + 0.4 sqrt(1 + x^2) dW by fine steps of Euler and Maruyama."""
    rng = np.random.default_rng(0)
    count, samples, fine = 16, 800, 10
    x, xs = np.zeros(count), []
    us = np.repeat(rng.normal(size=(count, samples // 20 + 1)), 20, axis=1)[:, :samples]
    for k in range(samples):
        xs.append(x)
        for _ in range(fine):
            h = DT / fine
            noise = np.sqrt(h) * rng.normal(size=count)
            x = x + h * (us[:, k] - x) + 0.4 * np.sqrt(1 + x * x) * noise
    data = trajectories(np.stack(xs, axis=1), us[..., None])
    fitted = fit_sde(data, small(steps=1000))
    at = np.linspace(-1.0, 1.0, 9)[:, None]
    found = fitted.diffusion(at, np.zeros_like(at))[:, 0]
    assert np.abs(found / (0.4 * np.sqrt(1 + at[:, 0] ** 2)) - 1).max() < 0.12
    push = fitted.drift(np.zeros((2, 1)), [[-1.0], [1.0]])[:, 0]
    assert push[1] - push[0] == pytest.approx(2.0, rel=0.2)


def test_bad_input_is_refused():
    holes = series(1, 20, 0)
    holes[0, ::2] = np.nan
    with pytest.raises(DataError, match="fit_stochastic"):
        fit_sde(trajectories(holes))
    for bad, words in (
        ({"objective": "likely"}, 'objective "likely"'),
        ({"paths": 1}, "paths"),
        ({"lr": 0.0}, "lr"),
    ):
        with pytest.raises(ConfigError, match=words):
            SDEConfig(**bad)
    fitted = fit_sde(trajectories(series(2, 60, 0)), small(steps=1))
    with pytest.raises(ConfigError, match="increasing"):
        fitted.simulate([0.0], [0.0, 0.0])
    with pytest.raises(ShapeError, match=r"expected \(1,\)"):
        fitted.simulate([0.0, 1.0], [0.0, 1.0])


def test_what_does_not_fit_the_channels_and_inputs_is_told_or_put_in_order():
    """In another order they were taken for one another."""
    rng = np.random.default_rng(0)
    xs, us = rng.normal(size=(2, 1, 60, 2)) * [1.0, 5.0]
    data = trajectories(xs, us).replace(names=("a", "b"), input_names=("p", "q"))
    fitted = fit_sde(data, small(steps=1))
    turned = data.channels(["b", "a"])
    turned = turned.replace(us=turned.us[..., ::-1], input_names=("q", "p"))
    put = fitted._match(turned)
    assert_array_equal(put.ys, data.ys)
    assert_array_equal(put.us, data.us)
    with pytest.raises(DataError, match='needs channel "b"'):
        fitted.crps(data.channels(["a"]))
    with pytest.raises(DataError, match="2 inputs; the data have 0"):
        fitted.crps(trajectories(xs).replace(names=("a", "b")))
    with pytest.raises(DataError, match=r"in \[ms\]"):
        fitted.crps(data.replace(time_unit="ms"))
    with pytest.raises(ShapeError, match=r"inputs have the shape None; .* \(1, 2\)"):
        fitted.drift([[0.0, 0.0]])
    with pytest.raises(ShapeError, match=r"states have the shape \(2,\)"):
        fitted.diffusion([0.0, 0.0], [0.0, 0.0])
    with pytest.raises(ShapeError, match=r"shape \(2, 1\); expected \(2, 2\)"):
        fitted.simulate([0.0, 0.0], [0.0, 1.0], [[0.0], [1.0]])
