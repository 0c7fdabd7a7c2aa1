"""Elimination against least squares, held-out errors of the true law, and what a
search finds."""

import itertools

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

from pendula import ConfigError
from pendula._errors import FitWarning
from pendula._precision import precision
from pendula.data import Trajectories
from pendula.diagnostics import StepGuard
from pendula.dynamics import (
    FitConfig,
    Library,
    Model,
    TrainConfig,
    exponents,
    fit_sparse,
    stretch_errors,
)
from pendula.dynamics._eliminate import eliminate, rate_covariance
from pendula.dynamics._sparse import _warn_of_misses
from pendula.systems import simulate
from pendula.train import AbstractCallback


def regression(noise=0.1, seed=0):
    """Six correlated columns, of which two make the target: estimate, covariance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    truth = np.array([0.0, 2.0, 0.0, 0.0, -1.0, 0.0])
    y = x @ truth + noise * rng.normal(size=200)
    covariance = noise**2 * np.linalg.inv(x.T @ x)
    return x, y, np.linalg.lstsq(x, y, None)[0], covariance


def test_elimination_finds_the_support_and_its_least_squares():
    """The rest moves to where least squares on the support is."""
    x, y, found, covariance = regression()
    kept, values = eliminate(found, covariance, np.ones(6, bool), np.ones(6), 4.0)
    assert_array_equal(np.flatnonzero(kept), [1, 4])
    on_support = np.linalg.lstsq(x[:, kept], y, None)[0]
    assert_allclose(values[kept], on_support, rtol=1e-8)
    assert not values[~kept].any()


def test_elimination_is_the_best_of_all_supports():
    """Among all subsets of six terms none is worth more, at any price."""
    _, _, found, covariance = regression(noise=3.0, seed=1)
    inverse = np.linalg.inv(covariance)
    b = inverse @ found

    def worth(support, threshold):
        s = list(support)
        gain = b[s] @ np.linalg.solve(inverse[np.ix_(s, s)], b[s]) if s else 0.0
        return gain - threshold**2 * len(s)

    subsets = [c for n in range(7) for c in itertools.combinations(range(6), n)]
    for threshold in (1.0, 3.0, 10.0):
        kept, _ = eliminate(found, covariance, np.ones(6, bool), np.zeros(6), threshold)
        best = max(worth(s, threshold) for s in subsets)
        assert worth(np.flatnonzero(kept), threshold) == pytest.approx(best)


def test_what_was_dropped_before_stays_out():
    _, _, found, covariance = regression()
    nothing = np.zeros(6, bool)
    kept, values = eliminate(found, covariance, nothing, np.ones(6), 3.0)
    assert not kept.any()
    assert not values.any()
    before = np.array([True, False, True, True, True, True])
    kept, _ = eliminate(found, covariance, before, np.ones(6), 1e-6)
    assert_array_equal(kept, before)


def test_the_covariance_of_the_rates_is_that_of_least_squares():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(300, 1))
    rates = 2.0 * x + 0.1 * rng.normal(size=(300, 1))
    with precision(np.float64):
        library = Library(exponents(1, 1), out=1, precision=1e-9)
        library = library.with_physical(np.array([[1e-9], [2.0]]))
        found = rate_covariance(library, x, rates)
    design = np.hstack([np.ones_like(x), x])
    variance = np.mean((rates - 2.0 * x) ** 2)
    assert_allclose(found, variance * np.linalg.inv(design.T @ design), rtol=1e-4)


def springs(laws):
    """Models q' = v, v' = a q + b q^3, stacked."""
    library = Library(exponents(2, 3), out=2)
    models = []
    for linear, cubic in laws:
        law = np.zeros((len(library.powers), 2))
        law[library.powers.index((0, 1)), 0] = 1.0
        law[library.powers.index((1, 0)), 1] = linear
        law[library.powers.index((3, 0)), 1] = cubic
        models.append(Model(library.with_physical(law), (0, 1), 2))
    return jax.tree.map(lambda *xs: np.stack(xs), *models)


def test_the_true_law_is_held_out_to_the_noise_and_a_wrong_one_is_not():
    t = np.linspace(0.0, 6.0, 121)
    rng = np.random.default_rng(3)
    ys = np.stack([np.cos(t), -np.sin(t)], axis=1) + 0.02 * rng.normal(size=(121, 2))
    data = Trajectories.from_arrays(t, ys, names=("q", "v"))
    laws = springs([(-1.0, 0.0), (-1.3, 0.0)])
    true, wrong = stretch_errors(laws, data, 3.0, np.ones(2))
    assert 0.018 < true < 0.022
    assert wrong > 3 * true


def test_the_true_law_is_held_out_to_the_noise_beside_a_saddle():
    """The noise of its first sample tells on which side of the hill the motion goes
    down: the best start is not the minimum next to it."""
    t = np.linspace(0.0, 6.0, 121)
    rng = np.random.default_rng(2)
    run = solve_ivp(
        lambda t, y: [y[1], 4.0 * (y[0] - y[0] ** 3)],
        (0.0, 6.0),
        [0.05, 0.0],
        t_eval=t,
        rtol=1e-9,
        atol=1e-11,
    )
    ys = run.y.T + 0.1 * rng.normal(size=(121, 2))
    data = Trajectories.from_arrays(t, ys, names=("q", "v"))
    laws = springs([(4.0, -4.0), (5.2, -4.0)])
    true, wrong = stretch_errors(laws, data, 3.0, np.ones(2))
    assert 0.09 < true < 0.11
    assert wrong > 1.5 * true


def test_a_law_far_beyond_the_noise_is_warned_of():
    with pytest.warns(FitWarning, match=r"by 56 % of the spread, their noise is 5 %"):
        _warn_of_misses(0.56, np.array([0.05, np.nan]))
    _warn_of_misses(0.12, np.array([0.05, 0.05]))
    _warn_of_misses(0.04, np.full(2, np.nan))


def test_thresholds_must_increase():
    data = simulate("harmonic", duration=3.0, dt=0.1)
    for thresholds in ((), (5.0, 3.0), (0.0, 1.0)):
        with pytest.raises(ConfigError, match="increase"):
            fit_sparse(data, thresholds=thresholds)


def test_a_guard_of_the_step_is_refused():
    data = simulate("harmonic", duration=3.0, dt=0.1)
    with pytest.raises(ConfigError, match="StepGuard was given to fit_sparse"):
        fit_sparse(data, callbacks=[StepGuard()])


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 1e-4), (0.05, 0.03)])
def test_lotka_and_volterra_are_found_in_noise(noise, tolerance, tmp_path):
    """The support exactly and the coefficients within three spreads of five draws;
    the law is the same once it was saved."""
    from pendula.dynamics import load

    data = simulate("lotka_volterra", num=4, seed=0, noise=noise, relative=True)
    config = FitConfig(train=TrainConfig(window=10.0), every=1)
    fitted = fit_sparse(data, config)
    library = fitted.model().field
    truth = {(1, 0): (1.0, 0.0), (1, 1): (-1.0, 1.0), (0, 1): (0.0, -1.0)}
    expected = [truth.get(power, (0.0, 0.0)) for power in library.powers]
    assert_allclose(library.physical, expected, atol=tolerance)
    assert_array_equal(library.physical != 0, np.array(expected) != 0)
    assert len(fitted.about["equations"]) == 2
    assert fitted.about["path"][0]["threshold"] == 3.0
    again = load(fitted.save(tmp_path / "law.safetensors"))
    at = np.array([1.2, 0.7])
    assert_array_equal(again.predict(at), fitted.predict(at))
    forecast = again.forecast(data, start=5.0)
    assert np.isfinite(forecast.mean).all()


class Seen(AbstractCallback):
    """Counts what it is shown."""

    rows = 0

    def __call__(self, state, row):
        self.rows += 1
        return state


@pytest.mark.slow
def test_shuffled_samples_give_no_law_that_can_be_followed():
    """The control: without motion in time nothing is found, or nothing that follows
    the held-out samples."""
    data = simulate("lotka_volterra", num=4, seed=0, noise=0.05, relative=True)
    rng = np.random.default_rng(0)
    ys = np.stack([rng.permutation(y) for y in data.ys])
    config = FitConfig(train=TrainConfig(window=10.0, steps=10), every=1)
    guess, seen = data.replace(ys=ys), Seen()
    fitted = fit_sparse(guess, config, degree=2, thresholds=(3.0,), callbacks=[seen])
    assert seen.rows > 0
    assert len(fitted.about["equations"]) == 2
    assert fitted.about["path"][0]["error"] > 0.8
