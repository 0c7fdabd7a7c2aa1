"""Start states, their covariance, and the variance of a forecast, against Monte Carlo
and closed forms; the gradient of the clip loss against differences."""

import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, Status
from pendula._tree import split_trainable
from pendula.data import Trajectories, input_path
from pendula.dynamics import (
    Forecast,
    Free,
    Friction,
    Given,
    Known,
    Learned,
    Model,
    SecondOrder,
    SlotScale,
    Sum,
    weighted_residual,
)
from pendula.dynamics._forecast import ensemble_forecast
from pendula.dynamics._run_size import check_run
from pendula.dynamics._start import refine_start
from pendula.nn import MLP


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def batch(ts, ys, us=None, kind="spline"):
    """One trajectory as the arrays that a loss sees, without the leading axis."""
    data = Trajectories.from_arrays(ts, ys, us, input_kind=kind)
    return jax.tree.map(lambda x: jnp.asarray(x[0]), data.full(np.float64))


def oscillator(k=4.0, c=0.2, **options):
    terms = (Known("spring", k=k, **options), Known("viscous", c=c))
    return Model(SecondOrder(Sum(terms), 1), (0,), 2)


def exact(ts, q0, v0, k=4.0, c=0.2):
    """q'' = -k q - c q' in closed form."""
    rate, damping = np.sqrt(k - c * c / 4), c / 2
    sine = (v0 + damping * q0) / rate
    return np.exp(-damping * ts) * (q0 * np.cos(rate * ts) + sine * np.sin(rate * ts))


TS = np.linspace(0.0, 2.4, 25)
START = np.array([0.8, -0.5])
NOISE = 0.02


def test_prediction_is_the_exact_motion():
    model, item = oscillator(), batch(TS, exact(TS, *START)[:, None])
    path = eqx.filter_jit(model.predict)(jnp.asarray(START), item.t0, item.dts)
    # RK4 at 0.1: phase error (2 * 0.1)^4 / 120 a radian, 4.8 radians
    assert_allclose(path[:, 0], exact(TS, *START), atol=6e-5)


def test_start_state_of_a_noisy_oscillator_and_its_covariance():
    """200 noisy records at once: standardised errors have the size of their claim."""
    rng = np.random.default_rng(0)
    clean = exact(TS, *START)
    ys = clean + rng.normal(scale=NOISE, size=(200, len(TS)))
    ys[:, 7:9] = np.nan
    rows = [batch(TS, y[:, None]) for y in ys]
    items = jax.tree.map(lambda *xs: jnp.stack(xs), *rows)
    model = oscillator()
    guess = jnp.asarray([0.0, 3.0])
    refine = jax.jit(
        jax.vmap(lambda item: refine_start(model, guess, item, jnp.asarray([5.0])))
    )
    found, inverse, mean_square = (np.asarray(x) for x in refine(items))
    assert_allclose(np.mean(mean_square), (5.0 * NOISE) ** 2, rtol=0.1)
    error = found - START
    claimed = mean_square[:, None, None] * inverse
    one = error[0] / np.sqrt(np.diag(claimed[0]))
    assert np.all(np.abs(one) < 3.0)
    # mean of chi^2(2) over 200 draws: 2, standard error 0.14; the noise is estimated
    mahalanobis = np.einsum("ki,kij,kj->k", error, np.linalg.inv(claimed), error)
    assert 1.5 < mahalanobis.mean() < 2.6
    assert_allclose(np.cov(error.T), claimed.mean(0), rtol=0.35, atol=2e-6)
    # the problem is linear in the start state: regression on the exact motion gives
    # the same but for the error of RK4
    design = np.stack([exact(TS, 1.0, 0.0), exact(TS, 0.0, 1.0)], axis=1)
    seen = np.isfinite(ys[0])
    best = np.linalg.lstsq(design[seen], ys[:, seen].T, rcond=None)[0].T
    assert_allclose(found, best, atol=1e-4)


def test_start_states_are_found_in_any_unit_of_time():
    """In seconds a motion of nanoseconds has velocities of 1e9: they moved nothing."""
    unit = 1e-9
    model = oscillator(k=4.0 / unit**2, c=0.2 / unit)
    item = batch(unit * TS, exact(TS, *START)[:, None])
    guess = jnp.asarray([0.0, 3.0 / unit])
    found, inverse, _ = eqx.filter_jit(refine_start)(model, guess, item)
    assert_allclose(found * jnp.asarray([1.0, unit]), START, atol=1e-3)
    _, plain, _ = eqx.filter_jit(refine_start)(
        oscillator(), guess * jnp.asarray([1.0, unit]), batch(TS, item.ys)
    )
    size = jnp.asarray([1.0, unit])
    assert_allclose(inverse * size[:, None] * size[None], plain, rtol=1e-6)


def test_variance_of_a_linear_model_is_that_of_monte_carlo():
    """q'' = g with g uncertain and (q0, v0) from a noisy history: all is linear."""
    law = Known("constant", g=2.0, free=("g",))
    model = Model(SecondOrder(law, 1), (0,), 2)
    rng = np.random.default_rng(1)
    history, future = np.linspace(0.0, 1.0, 9), np.linspace(0.0, 3.0, 25)
    noisy = 0.3 + 0.1 * history + history**2 + rng.normal(scale=0.05, size=9)
    weight = np.array([2.0])
    covariance = np.array([[0.04]])  # of raw: g = 2 + 2 raw
    stack = lambda tree: jax.tree.map(lambda x: x[None], tree)
    many = eqx.filter_vmap(lambda k: model, axis_size=1)(jnp.zeros(1))
    out = ensemble_forecast(
        many,
        jnp.asarray(covariance)[None],
        jnp.zeros((1, 1, 2)),
        stack(batch(history, noisy[:, None])),
        stack(batch(future, np.full((25, 1), np.nan))),
        jnp.asarray(weight),
    )
    design = np.stack([np.ones(9), history], axis=1)
    fitted, rss, *_ = np.linalg.lstsq(design, noisy - history**2, rcond=None)
    size = rss[0] / (9 - 2)  # unbiased variance of the history's residuals
    mean = fitted[0] + fitted[1] * future + future**2
    assert_allclose(out.obs[0, 0, :, 0], mean, atol=1e-9)
    assert int(out.status[0, 0]) == Status.ok

    draws = 40_000
    g = 2.0 + 2.0 * rng.normal(scale=0.2, size=draws)
    seen = (
        design @ fitted + history**2 + rng.normal(scale=np.sqrt(size), size=(draws, 9))
    )
    starts = np.linalg.lstsq(
        design, (seen - 0.5 * g[:, None] * history**2).T, rcond=None
    )[0]
    paths = (
        starts[0][:, None] + starts[1][:, None] * future + 0.5 * g[:, None] * future**2
    )
    # 40 000 draws: standard error of a variance 0.7 %
    assert_allclose(out.var[0, 0, :, 0], paths.var(0), rtol=0.03)


def test_inputs_run_between_samples_as_they_are_said_to():
    """q'' = b u with a ramp: the straight path is integrated exactly (q = b t^3 / 6),
    the held one is behind by half a step."""
    law = Known("input", b=3.0)
    model = Model(SecondOrder(law, 1), (0,), 2)
    ts = np.linspace(0.0, 2.0, 9)
    dts = jnp.diff(jnp.asarray(ts))
    predict = jax.jit(
        lambda path: model.predict(jnp.zeros(2), jnp.zeros(()), dts, path)
    )
    for kind in ("linear", "spline"):
        path = jnp.asarray(input_path(ts, ts[:, None], kind))
        assert_allclose(predict(path)[:, 0], 0.5 * ts**3, atol=1e-12)
    held = jnp.asarray(input_path(ts, ts[:, None], "held"))
    # held: v(t_k) = b sum t_j h = b (t_k^2 - h t_k) / 2
    v = 1.5 * (ts**2 - 0.25 * ts)
    q = np.concatenate([[0.0], np.cumsum(0.25 * v[:-1] + 1.5 * 0.25**2 * ts[:-1])])
    assert_allclose(predict(held)[:, 0], q, atol=1e-12)


def everything():
    """Known, learned, friction, inputs: one model with every kind of parameter."""
    net = MLP(3, 1, width=4, depth=1, key=jax.random.key(0))
    ones = jnp.ones(3)
    scale = SlotScale(
        0 * ones,
        ones,
        0 * ones,
        jnp.ones(1),
        -ones,
        ones,
        jnp.asarray(1.0),
        jnp.asarray([0.0, 1.0]),
    )
    slot = Learned(net, scale, (0, 1), inputs=(0,))
    speed = Learned(
        MLP(1, 1, width=3, depth=1, key=jax.random.key(1)), SlotScale.unit(1, 1), (1,)
    )
    parts = [Free.make(v, "positive") for v in (0.1, 0.2, 0.05)]
    terms = (
        Known("gravity_pendulum", w2=4.0, free=("w2", "zero")),
        Friction(*parts, Given(jnp.asarray(0.1)), speed, 1),
        slot,
    )
    return Model(SecondOrder(Sum(terms), 1), (0, 1), 2)


def test_gradient_of_the_clip_loss_against_central_differences():
    rng = np.random.default_rng(2)
    ts = np.cumsum(rng.uniform(0.05, 0.2, size=12))
    ys = rng.normal(size=(12, 2))
    ys[3, 0] = np.nan
    item = batch(ts, ys, np.sin(ts)[:, None])
    params, static = split_trainable(everything())
    start = jnp.asarray([0.4, -0.3])

    @eqx.filter_jit
    def loss(pair):
        model = eqx.combine(pair[0], static)
        r = weighted_residual(model, pair[1], item, jnp.asarray([1.0, 0.5]))
        return jnp.mean(r * r)

    pair = (params, start)
    grads = eqx.filter_jit(jax.grad(loss))(pair)
    slopes = []
    for seed in range(3):
        draw = np.random.default_rng(seed)
        way = jax.tree.map(lambda x, d=draw: d.normal(size=x.shape), pair)
        moved = [
            float(
                loss(jax.tree.map(lambda x, d, h=h: np.asarray(x) + h * d, pair, way))
            )
            for h in (1e-5, -1e-5)
        ]
        along = sum(
            float(np.vdot(g, d))
            for g, d in zip(jax.tree.leaves(grads), jax.tree.leaves(way), strict=True)
        )
        slopes.append((along, (moved[0] - moved[1]) / 2e-5))
    slopes = np.array(slopes)
    assert_allclose(slopes[:, 0], slopes[:, 1], rtol=1e-5)
    assert all(np.any(np.asarray(g) != 0) for g in jax.tree.leaves(grads))


def test_what_is_missing_counts_for_nothing():
    model = oscillator()
    ys = exact(TS, *START)[:, None] + 0.1
    ys[5:9] = np.nan
    r = eqx.filter_jit(weighted_residual)(
        model, jnp.asarray(START), batch(TS, ys), jnp.asarray([2.0])
    )
    assert_array_equal(r[5:9], 0.0)
    assert_allclose(np.delete(r, np.arange(5, 9)), -0.2, atol=1e-4)


def a_forecast(**changes):
    ts = np.array([1.0, 2.0, 3.0, 4.0])
    column = lambda *values: np.array(values)[:, None]
    parts = {
        "ts": ts,
        "mean": column(0.0, 1.0, 2.0, 3.0),
        "low": column(-1.0, 0.0, 1.0, 2.0),
        "high": column(1.0, 2.0, 3.0, 4.0),
        "sd": np.ones((4, 1)),
        "members": np.zeros((1, 4, 1)),
        "status": np.zeros(1, np.int8),
        "t_fail": np.full(1, np.inf),
        "outside": np.zeros(4),
        "trusted_to": 4.0,
        "start": 0.0,
        "names": ("q",),
        "units": ("m",),
        "truth": column(0.0, 4.0, np.nan, 3.5),
    }
    return Forecast(**{**parts, **changes})


def test_errors_and_coverage_of_a_forecast():
    forecast = a_forecast()
    assert_array_equal(forecast.error()[:, 0], [0.0, -3.0, np.nan, -0.5])
    assert_allclose(forecast.rmse(), np.sqrt((0 + 9 + 0.25) / 3))
    assert_allclose(forecast.rmse(after=2.0), 0.5)
    assert_allclose(forecast.rmse(until=1.0), 0.0)
    assert_allclose(forecast.coverage(), 2 / 3)
    assert forecast.coverage(after=2.0) == 1.0
    assert np.isnan(forecast.rmse(after=4.0))
    assert forecast.rmses(after=2.0) == {"q": 0.5}
    assert np.isnan(forecast.coverage(after=2.0, until=3.0))


def test_without_a_band_there_is_no_coverage():
    none = np.full((4, 1), np.nan)
    assert np.isnan(a_forecast(low=none, high=none).coverage())


def test_a_forecast_that_failed_is_not_scored_as_if_it_had_ended_well():
    """Where every member is gone the mean is NaN: the error is infinite, not absent."""
    gone = np.array([[0.0], [1.0], [2.0], [np.nan]])
    forecast = a_forecast(mean=gone, low=gone - 1, high=gone + 1)
    assert forecast.rmse() == np.inf
    assert forecast.rmse(until=3.0) < np.inf
    assert_allclose(forecast.coverage(), 1 / 3)


def test_a_channel_that_stood_still_may_drift_by_two_per_cent():
    """A range without width would count every rounding as outside."""
    scale = SlotScale.unit(2, 1)
    scale = eqx.tree_at(lambda s: (s.low, s.high), scale, (jnp.array([-1.0, 5.0]),) * 2)
    scale = eqx.tree_at(lambda s: s.low, scale, jnp.array([-2.0, 5.0]))
    slot = Learned(MLP(2, 1, width=2, depth=1, key=jax.random.key(0)), scale, (0, 1))
    for value, far in ((5.001, False), (4.95, False), (5.2, True)):
        assert bool(slot.outside(jnp.array([-1.5, value]), None, None)) is far
    assert bool(slot.outside(jnp.array([-0.9, 5.0]), None, None))


def test_the_cost_of_a_run_is_known_before_it_begins():
    """Whatever takes more, steps or memory, says the longest run, which is possible."""
    for times, more, words in (
        (3.2e7, {"steps": 4}, "1.28e+08 steps"),
        (1e6, {"numbers": 1e15}, "GiB of memory, and there are"),
    ):
        run = {"every": 0.1, "unit": "s"} | more
        with pytest.raises(ConfigError, match=re.escape(words)) as found:
            check_run("a run", times, **run)
        longest = float(str(found.value).split("a run of ")[1].split(" s ")[0])
        check_run("a run", longest / 0.1, **run)
        with pytest.raises(ConfigError):
            check_run("a run", 1.2 * longest / 0.1, **run)
    with pytest.raises(ConfigError, match=r"a run of 1e\+07 is possible"):
        check_run("a run", 1e12, every=1.0, unit="1")  # a time without a unit
