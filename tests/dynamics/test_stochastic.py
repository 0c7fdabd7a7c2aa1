"""Stochastic models: transitions, likelihood, missing data, recovered constants."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.stats import multivariate_normal

from pendula import ConfigError, DataError
from pendula._errors import FitWarning
from pendula._precision import precision
from pendula._tree import split_trainable
from pendula.data import Trajectories, input_path
from pendula.dynamics import (
    AbstractField,
    Noisy,
    Stationary,
    Stochastic,
    StochasticConfig,
    Uncertain,
    filtered,
    fit_stochastic,
    transition,
)


step_of = eqx.filter_jit(transition)


def turning(dim=2, ctrl=0, error=0.3):
    """A stationary model with parameters away from their prior means."""
    rng = np.random.default_rng(3)
    field = Stationary.make(dim, ctrl)
    moved = lambda node: Uncertain(
        node.value + 0.4 * rng.normal(size=node.value.shape), node.prior
    )
    is_raw = lambda node: isinstance(node, Uncertain)
    field = jax.tree.map(moved, field, is_leaf=is_raw)
    observed = tuple(range(min(dim, 2)))
    return Stochastic.make(field, observed, dim, error=error, mean=0.2, sd=1.3)


def one_item(data):
    """The one trajectory of the data as `filtered` takes it."""
    batch = data.full(np.float64)
    return jax.tree.map(lambda x: jnp.asarray(x[0]), batch)


def irregular(dim=2, num=7, seed=0):
    """A few samples at irregular times, some values missing."""
    rng = np.random.default_rng(seed)
    ts = np.cumsum(rng.uniform(0.2, 1.5, num))
    ys = rng.normal(size=(num, dim))
    ys[2, 0] = ys[4] = np.nan
    return Trajectories.from_arrays(ts, ys)


@pytest.fixture(autouse=True)
def _double():
    with precision(np.float64):
        yield


def test_transition_of_a_linear_field_is_exact():
    """Against SciPy: exp(A h), and the covariance by its stationary balance."""
    field = turning(3).field
    a, p = np.asarray(field.matrix()), np.asarray(field.covariance())
    s = np.asarray(field.diffusion(0.0, jnp.zeros(3), None, None))
    assert_allclose(a @ p + p @ a.T + s @ s.T, 0, atol=1e-12)
    step = step_of(field, jnp.ones(3), 0.0, 0.7, None)
    f = expm(a * 0.7)
    assert_allclose(step.f, f, rtol=1e-10, atol=1e-12)
    assert_allclose(step.q, p - f @ p @ f.T, rtol=1e-9, atol=1e-12)
    fixed = np.linalg.solve(a, -np.asarray(field.offset.value))
    assert_allclose(step.g, fixed - f @ fixed, rtol=1e-9, atol=1e-12)
    still = step_of(field, jnp.ones(3), 0.0, 0.0, None)
    assert_allclose(still.f, np.eye(3), atol=1e-14)
    assert_allclose(still.q, 0, atol=1e-14)


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("held", marks=pytest.mark.slow),
        pytest.param("linear", marks=pytest.mark.slow),
        "spline",  # has all the powers of the others
    ],
)
def test_inputs_run_as_the_data_say(kind):
    """The mean against a fine Runge-Kutta solution, in one step and in two."""
    field = turning(2, 1).field
    ts, us = np.arange(5.0), np.array([[0.0], [1.0], [-1.0], [2.0], [0.5]])
    power = {"held": 1, "linear": 2, "spline": 4}[kind]
    path = input_path(ts, us, kind)[2, :power]
    y0 = jnp.array([0.4, -0.3])
    one = step_of(field, y0, 0.0, 1.0, jnp.asarray(path))
    two = step_of(field, y0, 0.0, 1.0, jnp.asarray(path), substeps=2)
    a, b = np.asarray(field.matrix()), np.asarray(field.drive.value)

    def slope(s, y):
        u = sum(row * s**k for k, row in enumerate(path))
        return a @ y + b @ u + np.asarray(field.offset.value)

    y, h = np.asarray(y0), 0.01
    for k in range(100):
        s = k * h
        k1 = slope(s, y)
        k2 = slope(s + h / 2, y + h / 2 * k1)
        k3 = slope(s + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + h, y + h * k3))
    assert_allclose(one.f @ y0 + one.g, y, rtol=1e-8)
    assert_allclose(two.f @ y0 + two.g, y, rtol=1e-8)
    assert_allclose(two.q, one.q, rtol=1e-9)


def dense(model, data):
    """Mean and covariance of all observations in one normal distribution."""
    field, n = model.field, model.dim
    a = np.asarray(field.matrix())
    p = np.asarray(field.covariance())
    rest = np.linalg.solve(a, -np.asarray(field.offset.value))
    ts = data.ts[0]
    start, cov0 = np.asarray(model.start.mean), np.diag(np.asarray(model.start.sd) ** 2)
    mean, cov = [], np.zeros((len(ts) * n, len(ts) * n))
    for i, t in enumerate(ts):
        f = expm(a * (t - ts[0]))
        mean.append(rest + f @ (start - rest))
        now = f @ (cov0 - p) @ f.T + p
        for j in range(i, len(ts)):
            block = expm(a * (ts[j] - t)) @ now
            cov[j * n : j * n + n, i * n : i * n + n] = block
            cov[i * n : i * n + n, j * n : j * n + n] = block.T
    seen = [i * n + k for i in range(len(ts)) for k in model.observed]
    cov = cov[np.ix_(seen, seen)] + 0.3**2 * np.eye(len(seen))
    return np.concatenate(mean)[seen], cov


@pytest.mark.parametrize("dim", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_likelihood_and_forecast_are_those_of_the_dense_normal(dim):
    """Irregular times, missing values, with and without a hidden entry."""
    model, data = turning(dim), irregular()
    mean, cov = dense(model, data)
    there = data.mask[0].ravel()
    ys = data.ys[0].ravel()
    told = eqx.filter_jit(filtered)(model, one_item(data))
    exact = multivariate_normal.logpdf(
        ys[there], mean[there], cov[np.ix_(there, there)]
    )
    assert_allclose(told.log_likelihood, exact, rtol=1e-9)
    # the last sample as the conditional of all others says
    past, last = there.copy(), np.zeros_like(there)
    past[-2:], last[-2:] = False, True
    gain = np.linalg.solve(cov[np.ix_(past, past)], cov[np.ix_(past, last)]).T
    expected = mean[last] + gain @ (ys[past] - mean[past])
    left = cov[np.ix_(last, last)] - gain @ cov[np.ix_(past, last)]
    assert_allclose(told.mean[-1], expected, rtol=1e-8)
    assert_allclose(told.cov[-1], left, rtol=1e-8)


class Cubic(AbstractField):
    """dy/dt = y - y^3 + u."""

    def __call__(self, t, y, u, context):
        return y - y**3 + (0.0 if u is None else u)


@pytest.mark.slow
def test_moments_of_a_nonlinear_field():
    """With small noise the linearised moments are those of many paths (Euler-Maruyama,
    4000 of them: standard errors of 0.2 % and 1.1 %, three of each allowed, and the
    steps' own error)."""
    field = Noisy.make(Cubic(), 1, 0.05)
    step = step_of(field, jnp.array([0.3]), 0.0, 1.0, None, substeps=8)
    mean = float((step.f @ jnp.array([0.3]) + step.g)[0])
    rng, y, h = np.random.default_rng(0), np.full(4000, 0.3), 1e-3
    for _ in range(1000):
        y = y + h * (y - y**3) + 0.05 * np.sqrt(h) * rng.normal(size=y.shape)
    assert_allclose(mean, y.mean(), rtol=0.01)
    assert_allclose(np.sqrt(float(step.q[0, 0])), y.std(), rtol=0.04)


@pytest.mark.slow
def test_gradient_is_finite_and_right():
    """Against a central difference in one direction, missing values and all."""
    model, item = turning(3), one_item(irregular())
    arrays, static = split_trainable(model)

    @jax.jit
    def value(arrays):
        return filtered(eqx.combine(arrays, static), item).log_likelihood

    grads = jax.jit(jax.grad(value))(arrays)
    rng = np.random.default_rng(1)
    way = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), arrays)
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(way), strict=True)
    slope = sum(float(jnp.sum(g * w)) for g, w in pairs)
    moved = lambda h: value(jax.tree.map(lambda a, w: a + h * w, arrays, way))
    assert_allclose((moved(1e-5) - moved(-1e-5)) / 2e-5, slope, rtol=1e-6)


def simulated(num, seed=0, drop=0.0):
    """An Ornstein-Uhlenbeck process dx = -0.5 x dt + 0.8 dW, seen with errors of 0.2 at
    irregular times."""
    rng = np.random.default_rng(seed)
    ts = np.cumsum(rng.uniform(0.3, 1.2, num))
    x, out = 0.0, []
    for h in np.diff(ts, prepend=ts[0] - 0.5):
        f = np.exp(-0.5 * h)
        x = f * x + np.sqrt(0.64 * (1 - f**2)) * rng.normal()
        out.append(x + 0.2 * rng.normal())
    ys = np.array(out)
    ys[rng.uniform(size=num) < drop] = np.nan
    return Trajectories.from_arrays(ts, ys)


@pytest.mark.slow
def test_an_ornstein_uhlenbeck_process_is_recovered():
    """Rate 0.5 and noise 0.8: standard errors of about 13 % and 6 % for 600 samples."""
    wide = StochasticConfig(
        hidden=0, prior=3.0, members=2, anchored=False, steps=150, lr=0.1
    )
    fit = fit_stochastic(simulated(600, drop=0.1), config=wide)
    field = fit.model().field
    rate = -float(np.asarray(field.matrix())[0, 0]) / fit.scales.time
    noise = float(np.asarray(field.diffusion(0.0, jnp.zeros(1), None, None))[0, 0])
    assert_allclose(rate, 0.5, rtol=0.4)
    assert_allclose(noise * fit.scales.scale[0] / fit.scales.time**0.5, 0.8, rtol=0.2)


@pytest.mark.slow
def test_a_record_that_is_short_beside_its_memory_is_warned_of():
    """A walk that hardly turns: where it comes to nobody saw."""
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(size=60))
    quick = StochasticConfig(hidden=0, members=2, steps=50, lr=0.1)
    with pytest.warns(FitWarning, match=r'channel "y0" has about .* independent'):
        fit_stochastic(Trajectories.from_arrays(np.arange(60.0), walk), config=quick)


@pytest.fixture(scope="module")
def fitted():
    """A quick fit, for what is made of it."""
    data = simulated(150, drop=0.1)
    quick = StochasticConfig(hidden=0, members=2, steps=50, lr=0.1)
    return data, fit_stochastic(data, config=quick)


@pytest.mark.slow
def test_forecasts_know_only_their_past_and_end_in_the_climatology(fitted):
    data, fit = fitted
    end = float(data.ts[0, 100])
    known = fit.forecast(data, start=end)
    changed = data.replace(ys=np.where(data.ts[..., None] > end, 99.0, data.ys))
    again = fit.forecast(changed, start=end)
    assert_allclose(again.mean, known.mean, rtol=1e-12)
    # 150 samples with a memory of 2: the mean is known to about a fifth of the spread
    assert_allclose(known.mean[-1], fit.scales.mean, atol=0.6 * fit.scales.scale[0])
    assert known.sd[0, 0] < 0.9 * known.sd[-1, 0]
    inside = (known.band()[0] < known.truth) & (known.truth < known.band()[1])
    assert inside[~np.isnan(known.truth)].mean() > 0.7
    draws = known.samples(2000)
    assert_allclose(draws[:, -1, 0].std(), known.sd[-1, 0], rtol=0.06)
    beyond = fit.forecast(data, start=float(data.ts[0, -1]), until=data.ts[0, -1] + 9)
    assert len(beyond.ts) > 5
    assert np.isnan(beyond.truth).all()


def test_neither_unit_of_time_nor_order_of_inputs_matters(fitted):
    """Samples 1e-10 apart: those after the start are not known."""
    data, fit = fitted
    end = float(data.ts[0, 100])
    known = fit.forecast(data, start=end)
    scales = dataclasses.replace(fit.scales, time=1e-10 * fit.scales.time)
    short = dataclasses.replace(fit, scales=scales)
    again = short.forecast(data.replace(ts=1e-10 * data.ts), start=1e-10 * end)
    assert_allclose(again.mean, known.mean, rtol=1e-6)
    with pytest.raises(DataError, match=r"in \[ms\]"):
        fit.forecast(data.replace(time_unit="ms"), start=end)
    driven = data.replace(us=np.stack([np.sin(data.ts), data.ts], -1))
    driven = driven.replace(input_names=("p", "q"), input_units=("", ""))
    turned = driven.replace(us=driven.us[..., ::-1], input_names=("q", "p"))
    scales = dataclasses.replace(
        fit.scales, input_mean=np.zeros(2), input_scale=np.ones(2)
    )
    same = dataclasses.replace(fit, scales=scales, input_names=("p", "q"))
    assert_array_equal(same._match(turned).us, driven.us)


def test_scaled_and_unscaled_likelihoods_agree(fitted):
    """The density of the data is that in their own units."""
    data, fit = fitted
    doubled = data.replace(ys=10.0 * data.ys)
    other = fit.log_likelihood(data) - data.mask.sum() * np.log(10.0)
    scales = fit.scales
    ten = type(fit)(
        fit.ensemble,
        type(scales)(
            10 * scales.mean, 10 * scales.scale, scales.time,
            scales.input_mean, scales.input_scale,
        ),
        fit.names, fit.units, fit.objective,
    )  # fmt: skip
    assert_allclose(ten.log_likelihood(doubled), other, rtol=1e-9)


def test_bad_input(fitted):
    data, fit = fitted
    with pytest.raises(ConfigError, match="hidden"):
        StochasticConfig(hidden=-1)
    with pytest.raises(ConfigError, match="lr"):
        StochasticConfig(lr=0.0)
    with pytest.raises(ConfigError, match="observed"):
        Stochastic.make(Stationary.make(1), (1,), 1, error=0.1)
    with pytest.raises(ConfigError, match="must be > 0"):
        Stationary.make(2, noise=0.0)
    few = Trajectories.from_arrays(np.arange(4.0), [1.0, np.nan, np.nan, 2.0])
    with pytest.raises(DataError, match="needs three"):
        fit_stochastic(few)
    two = Trajectories.from_arrays(np.arange(4.0), np.ones((4, 2)).cumsum(0))
    with pytest.raises(ConfigError, match="one for each"):
        fit_stochastic(two, turning(1))
    with pytest.raises(DataError, match="Choose a start"):
        fit.forecast(data, start=1e6)
    with pytest.raises(ConfigError, match=r"until 1e\+09 s takes 2.5e\+09 steps"):
        fit.forecast(data, start=1.0, until=1e9)
    with pytest.raises(DataError, match="Give the same ones"):
        fit.forecast(two.channels("y1"), start=1.0)
    other = dataclasses.replace(fit, units=tuple("m" for _ in fit.units))
    with pytest.raises(DataError, match=r"is in \[mm\], and the model was fitted in"):
        other.forecast(data.replace(units=tuple("mm" for _ in data.units)), start=1.0)
