"""From records to a judged fit: a damped pendulum with unknown constants. Fits of
equal shape share their compiled programs, so that many of them cost little."""

import dataclasses
import json
import logging
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DataWarning,
    ShapeError,
)
from pendula._tree import split_trainable
from pendula.cli._words import constant_lines
from pendula.data import Trajectories
from pendula.diagnostics import equilibria, error_growth
from pendula.dynamics import (
    FitConfig,
    Fitted,
    Known,
    _posterior,
    continuity,
    fit,
    from_dict,
    load,
)
from pendula.dynamics._continuity import SHORTEST
from pendula.dynamics._fit import check_arguments
from pendula.dynamics._judge import measured_horizons, quieter
from pendula.dynamics._prepare import (
    observed_spread,
    prepare,
    spread_of,
    without_strays,
)
from pendula.nn import MLP
from pendula.systems import simulate
from pendula.train import save_tree


W2, C = 9.81, 0.15
CONFIG = from_dict(
    {
        "model": {
            "learn": "none",
            "known": [
                {"term": "gravity_pendulum", "free": ["w2"], "constants": {"w2": 5.0}},
                {"term": "viscous", "free": ["c"]},
            ],
        },
        "train": {"members": 1},
    }
)


SECOND = dataclasses.replace(
    CONFIG, model=dataclasses.replace(CONFIG.model, order="second")
)


def record(seed=0, noise=0.02):
    """The angle alone, 20 s of a swing of 0.9 rad."""
    return simulate(
        "pendulum",
        duration=20.0,
        dt=0.1,
        noise=noise,
        observe="theta",
        seed=seed,
        y0=[0.9, 0.0],
        params={"damping": C},
    )


@pytest.fixture(scope="module")
def told():
    """What a fit said while it ran."""
    return []


@pytest.fixture(scope="module")
def swing(told) -> Fitted:
    return fit(None, record(), CONFIG, tell=told.append, command="pendula fit x.csv")


def constants(fitted):
    return {c["name"]: c for c in fitted.about["constants"]}


def test_a_convergence_test_takes_the_steps_of_the_rollouts(swing):
    """Three sampling intervals to a step: that is the step it was trained with."""
    far = dataclasses.replace(swing.ensemble, stride=3)
    fitted = dataclasses.replace(swing, ensemble=far)
    found = continuity(fitted, [[1.0, 0.0]], schemes=("rk4",))
    assert found.h_train == pytest.approx(3 * swing.about["step"])


def test_without_trust_the_test_runs_as_far_as_was_compared(swing, monkeypatch):
    """Not over the fewest samples there may be, where no solver shows."""
    ends = []

    def noted(field, starts, t1, **more):
        ends.append(t1)
        raise ConfigError("seen enough")

    monkeypatch.setattr("pendula.dynamics._continuity.convergence_test", noted)
    none = {**swing.about, "verdict": {"trust_to": None}}
    with pytest.raises(ConfigError, match="seen enough"):
        continuity(dataclasses.replace(swing, about=none), [[1.0, 0.0]])
    step = swing.about["step"]
    assert ends == [pytest.approx(swing.intervals.trusted_to, abs=0.51 * step)]
    assert ends[0] > SHORTEST * step


def test_constants_lie_in_their_own_intervals(swing):
    found = constants(swing)
    for name, truth in (("w2", W2), ("c", C)):
        assert found[name]["low"] < truth < found[name]["high"]
        width = found[name]["high"] - found[name]["low"]
        assert width < 0.15 * truth
        assert found[name]["unit"] in ("1/s2", "1/s")


def test_a_quiet_end_is_said_to_be_no_test_of_a_wide_swing(swing):
    """The last fifth of a swing that dies away against whole records held out."""
    text = swing.about["verdict"]["text"]
    assert "Spread of theta where it was held out over that in training: 0." in text
    assert any(f["id"] == "validation.spread.theta" for f in swing.report["findings"])
    head = swing.report["scores"]["headline"]["text"]
    assert head.endswith("starts in 1 held-out record")
    starts = [[0.9, 0.0], [0.7, 0.5], [-0.8, 0.2]]
    alike = simulate("pendulum", num=3, duration=5.0, observe="theta", y0=starts)
    assert quieter(prepare(alike, CONFIG, "levenberg")) == []


def test_a_fit_is_the_same_whatever_time_is_counted_in():
    """Nothing in it is absolute: with times of nanoseconds the start speeds are large
    numbers that the data hardly feel."""
    data, clock = record(), 1e-9
    other = data.replace(ts=data.ts * clock, time_unit="Gs")
    gravity, viscous = CONFIG.model.known
    scaled = dataclasses.replace(gravity, constants={"w2": 5.0 / clock**2})
    model = dataclasses.replace(CONFIG.model, known=(scaled, viscous))
    fitted = fit(None, other, dataclasses.replace(CONFIG, model=model), judged=False)
    swing = fit(None, data, CONFIG, judged=False)
    here, there = constants(swing), constants(fitted)
    for name, power, text in (("w2", 2, "2"), ("c", 1, "")):
        assert there[name]["unit"] == f"1/Gs{text}"
        for end in ("value", "low", "high"):
            wanted = here[name][end] / clock**power
            assert there[name][end] == pytest.approx(wanted, rel=1e-4)
    one = swing.forecast(data, start=6.0)
    two = fitted.forecast(other, start=6.0 * clock, until=data.ts[0, -1] * clock)
    assert_array_equal(two.truth, one.truth)
    assert_allclose(two.mean, one.mean, atol=1e-4)


def test_horizons_at_which_nothing_was_measured_end_no_trust():
    """One start, eight horizons, of which a gap takes the first two."""
    error = np.where(np.arange(8) < 2, np.nan, 0.1)[None, :, None]
    horizon = np.arange(1.0, 9.0)[None]
    growth = error_growth(error, measured_horizons(horizon, error))
    assert_allclose(growth.median, 0.1)
    assert growth.until[0] == 3.0


def test_residuals_that_are_no_noise_warn_of_the_constants(swing):
    """The law on its own swing, and on one whose width falls in another way."""
    said = "Samples over which residuals of the fit repeat each other"
    assert said not in swing.about["verdict"]["text"]
    data = record(noise=0.002)
    slower = data.ys * (1.0 - data.ts[..., None] / 25.0)
    other = fit(None, data.replace(ys=slower), CONFIG)
    assert said in other.about["verdict"]["text"]
    assert "need not be the true ones" in other.about["verdict"]["text"]


@pytest.mark.slow
def test_intervals_without_the_error_of_the_step_say_so(swing):
    """Heun at 20 samples to a turn finds another frequency, within an interval that
    knows of noise alone."""
    assert [c["note"] for c in swing.about["constants"]] == ["", ""]
    model = dataclasses.replace(CONFIG.model, scheme="heun", substeps=1)
    coarse = fit(None, record(), dataclasses.replace(CONFIG, model=model))
    assert constants(coarse)["w2"]["high"] < W2
    for told in (coarse.about, coarse.report):
        assert all("error of the solver" in c["note"] for c in told["constants"])
    assert "(the interval leaves out the error of the solver" in coarse.summary()
    assert "leaves out the error" in constant_lines(coarse.report)[0]


def test_a_sample_in_two_windows_is_not_evidence_twice(swing, monkeypatch):
    """120 samples in windows of 94: the second window reaches back over 68 of them."""
    ts = np.arange(120.0)
    windows = Trajectories.from_arrays(ts, np.cos(ts)).clips(94)
    assert _posterior._repeats(windows, 1) == pytest.approx((52 + 2 * 2 * 68) / 188)
    thinned = Trajectories.from_arrays(ts, np.cos(ts)).clips(40, every=2)
    assert _posterior._repeats(thinned, 2) == 1.0  # samples between, not the same
    once = constants(fit(None, record(), CONFIG, judged=False))["c"]
    monkeypatch.setattr(_posterior, "_repeats", lambda windows, every: 1.0)
    twice = constants(fit(None, record(), CONFIG, judged=False))["c"]
    assert twice["value"] == once["value"]
    ratio = np.log(once["high"] / once["low"]) / np.log(twice["high"] / twice["low"])
    assert 1.05 < ratio < np.sqrt(2)


@pytest.mark.slow
def test_intervals_hold_as_often_as_they_say():
    """12 records of other noise, two constants each: 90 % of 24 is 21.6 +- 1.5; fewer
    than 17 would be three standard deviations off."""
    inside = 0
    for seed in range(1, 13):
        found = constants(fit(None, record(seed), CONFIG, judged=False))
        for name, truth in (("w2", W2), ("c", C)):
            inside += found[name]["low"] < truth < found[name]["high"]
    assert inside >= 17


def untrained(fitted):
    """The same model with its constants where they started: w2 = 5, c = 1."""
    params, static = split_trainable(fitted.ensemble)
    start = eqx.combine(jax.tree.map(np.zeros_like, params), static)
    return dataclasses.replace(fitted, ensemble=start, intervals=None)


def test_a_fit_forecasts_and_an_untrained_model_does_not(swing):
    truth = record(noise=0.0)
    forecast = swing.forecast(record())
    clean = truth.ys[0, np.searchsorted(truth.ts[0], forecast.ts - 1e-9)]
    error = np.sqrt(np.mean((forecast.mean - clean) ** 2))
    assert error < 0.02  # below the noise of one sample, 14 s ahead
    assert forecast.rmse() < 0.03
    assert 0.75 <= forecast.coverage() <= 1.0
    assert forecast.start == pytest.approx(swing.about["history"])
    assert forecast.ts[-1] == pytest.approx(20.0)
    control = untrained(swing).forecast(record())
    assert control.rmse() > 0.1
    assert control.rmse() > 5 * forecast.rmse()


def test_float64_is_kept_outside_any_scope(swing):
    """NumPy float64 comes out, the same as inside a scope."""
    outside = swing.forecast(record())
    with jax.enable_x64(True):
        inside = swing.forecast(record())
    for name in ("mean", "low", "high", "sd", "members"):
        value = getattr(outside, name)
        assert isinstance(value, np.ndarray)
        assert value.dtype == np.float64
        assert_allclose(value, getattr(inside, name), rtol=1e-12, atol=1e-14)
    rate = swing.predict([0.3, -0.2])
    assert rate.dtype == np.float64
    roll = swing.simulate([0.3, -0.2], np.linspace(0.0, 1.0, 11))
    assert roll.ys.dtype == np.float64
    assert {x.dtype for x in jax.tree.leaves(split_trainable(swing.ensemble)[0])} == {
        np.dtype(np.float64)
    }


def test_its_field_is_looked_at_like_that_of_a_known_system(swing):
    """Hanging is a stable focus with the fitted constants, upright a saddle."""
    hanging, upright = equilibria(swing.model().field, [-1, -1], [4, 1], num=16)
    w2, c = (found["value"] for found in swing.about["constants"])
    assert_allclose(hanging.y, 0.0, atol=1e-9)
    assert_allclose(upright.y, [np.pi, 0.0], atol=1e-9)
    assert (hanging.kind, upright.kind) == ("stable focus", "saddle")
    turn = np.sqrt(w2 - 0.25 * c**2)
    wanted = [-0.5 * c + 1j * turn, -0.5 * c - 1j * turn]
    assert_allclose(hanging.eigenvalues, wanted, rtol=1e-6)
    with pytest.raises(ShapeError, match="there is no member 1"):
        swing.model(1)


def test_right_hand_side_and_free_runs(swing):
    w2, c = (constants(swing)[k]["value"] for k in ("w2", "c"))
    q, v = 0.3, -0.2
    exact = [v, -w2 * np.sin(q) - c * v]
    assert_allclose(swing.predict([q, v]), exact, rtol=1e-9)
    ts = np.array([0.0, 0.05, 0.2, 0.3, 0.5])
    roll = swing.simulate([q, v], ts)
    assert roll.ys.shape == (1, 5, 2)
    assert roll.status.tolist() == [0]
    fine = swing.simulate([q, v], ts, refine=4)
    assert_allclose(roll.ys, fine.ys, atol=1e-5)


def test_a_free_run_is_as_fine_as_the_training_whatever_the_times(swing):
    """Periods of the swing apart, the states are those of the run between them."""
    every = swing.simulate([1.0, 0.0], np.linspace(0.0, 20.0, 401))
    few = swing.simulate([1.0, 0.0], [0.0, 1.0, 20.0])
    assert few.ys.shape == (1, 3, 2)
    assert few.status.tolist() == [0]
    assert_allclose(few.ys, every.ys[:, [0, 20, 400]], atol=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda f: f.predict([1.0]),
            ShapeError,
            "a state has shape (1,); expected (2,)",
        ),
        (lambda f: f.predict([1.0, 0.0], [1.0]), DataError, "inputs were given"),
        (
            lambda f: f.simulate([1.0, 0.0], [0.0, 1.0], [1.0, 1.0]),
            DataError,
            "fitted with inputs (none)",
        ),
        (
            lambda f: f.simulate([1.0, 0.0], [0.0, 0.0]),
            ShapeError,
            "finite ones that increase",
        ),
        (lambda f: f.simulate([1.0, 0.0], [1.0]), ShapeError, "at least two"),
        (lambda f: f.simulate([1.0, 0.0], [1.0, np.inf]), ShapeError, "finite"),
        (
            lambda f: f.simulate([1.0, 0.0], [0.0, 1e9]),
            ConfigError,
            "a simulation until 1e+09 s takes",
        ),
        (
            lambda f: f.forecast(record().replace(names=("phi",))),
            DataError,
            'the model needs channel "theta"; the data have phi',
        ),
        (
            lambda f: f.forecast(record().replace(units=("deg",))),
            DataError,
            "theta is in [deg], and the model was fitted in [rad]",
        ),
        (
            lambda f: f.forecast(record().replace(time_unit="ms")),
            DataError,
            "the time is in [ms], and the model was fitted in [s]",
        ),
        (
            lambda f: f.forecast(record(), start=-1.0),
            DataError,
            "a forecast from -1 to 20 cannot be made: the data run from 0 to 20",
        ),
        (lambda f: f.forecast(record(), start=25.0), DataError, "cannot be made"),
        (
            lambda f: f.forecast(record(), start=9.0, until=8.0),
            DataError,
            "a forecast from 9 to 8 cannot be made",
        ),
        (
            lambda f: f.forecast(record(), start=0.15),
            DataError,
            "only 2 samples lie in the history",
        ),
        (
            lambda f: f.forecast(record(), refine=0),
            ConfigError,
            "refine is 0; it must be at least 1",
        ),
        (
            lambda f: f.simulate([0.9, 0.0], [0.0, 1.0], refine=0),
            ConfigError,
            "refine is 0; it must be at least 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(swing, call, error, words):
    with pytest.raises(error) as found:
        call(swing)
    assert words in str(found.value)


def test_forecasts_beyond_the_data_and_from_a_chosen_start(swing):
    short = record().between(0.0, 8.0)
    forecast = swing.forecast(short, start=7.0, until=12.0)
    assert forecast.ts[0] == pytest.approx(7.1)
    assert forecast.ts[-1] == pytest.approx(12.0)
    measured = forecast.ts < 8.0 + 1e-9
    assert np.isfinite(forecast.truth[measured]).all()
    assert np.isnan(forecast.truth[~measured]).all()
    assert np.all(np.diff(forecast.ts) > 0)
    width = (forecast.high - forecast.low)[:, 0]
    assert width[-1] > width[0]
    assert np.all((forecast.low < forecast.mean) & (forecast.mean < forecast.high))


@pytest.mark.slow
def test_a_start_that_was_not_found_is_sought_on_less(swing, monkeypatch):
    """The fit of a start on all of a history has many minima; where it ended in a wrong
    one it is made again on a part, and where all do that is said."""
    data, lost, asked = record(5), 1, []
    plain, run = swing.forecast(data, start=9.0), Fitted._run

    def spoiled(self, history, future, refine):
        out = run(self, history, future, refine)
        asked.append(len(history.ts[0]))
        if len(asked) > lost:
            return out
        return eqx.tree_at(lambda o: o.obs, out, out.obs + 2.0)

    monkeypatch.setattr(Fitted, "_run", spoiled)
    found = swing.forecast(data, start=9.0)
    assert asked[0] > asked[1] > asked[2]
    assert_array_equal(found.truth, plain.truth)
    assert found.rmse() < 1.2 * plain.rmse()
    lost = 6
    with pytest.warns(DataWarning, match="does not follow this record, or did not"):
        swing.forecast(data, start=9.0)


def test_a_clock_that_began_long_ago_gives_the_same_forecast(swing):
    """Seconds since 1970: nothing is measured in a gap, or after the end."""
    short = record().between(0.0, 8.0)
    keep = np.r_[0:66, 67:81]
    ys = short.ys[0, keep]
    found = []
    for begin in (0.0, 1.7e9):
        data = Trajectories.from_arrays(begin + short.ts[0, keep], ys, names=("theta",))
        found.append(swing.forecast(data, start=begin + 7.0, until=begin + 12.0))
    here, late = found
    assert_allclose(late.ts - 1.7e9, here.ts, atol=1e-6)
    assert_array_equal(np.isnan(late.truth), np.isnan(here.truth))
    assert_allclose(late.mean, here.mean, atol=1e-5)
    assert_allclose(late.sd, here.sd, rtol=1e-4)


def test_what_was_measured_is_run_over_however_long_it_is(swing):
    """A gap is not: a typing error in a time costs hours."""
    step = swing.about["step"]
    ts = step * np.arange(20_000_000)
    swing._check_cost(ts, ts[-1], 1)
    with pytest.raises(ConfigError, match="End it earlier"):
        swing._check_cost(np.array([0.0, step, ts[-1]]), ts[-1], 1)


def test_missing_samples_in_the_beginning_are_bridged(swing):
    data = record()
    mask = data.mask.copy()
    mask[0, 5:30] = False
    mask[0, 0] = False
    holes = data.replace(mask=mask)
    whole, bridged = swing.forecast(data), swing.forecast(holes)
    assert_allclose(bridged.ts, whole.ts)
    # fewer samples in the history: the start state is less certain, not wrong
    assert np.max(np.abs(bridged.mean - whole.mean)) < 0.05


def test_saved_and_loaded_it_forecasts_the_same_bits(swing, tmp_path):
    path = swing.save(tmp_path / "run" / "model.safetensors")
    again = load(path.parent)
    assert again.about == json.loads(json.dumps(swing.about))
    one, two = swing.forecast(record()), again.forecast(record())
    for field in dataclasses.fields(one):
        assert_array_equal(getattr(one, field.name), getattr(two, field.name))
    assert again.summary() == swing.summary()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load(again.save(tmp_path / "b.safetensors")).about == again.about


def test_what_others_wrote_as_intervals_is_kept(swing, tmp_path):
    """A fit that has none of its own writes over nobody's."""
    others = {**swing.about, "intervals": {"noise": 0.1}}
    bare = dataclasses.replace(swing, intervals=None, about=others)
    again = load(bare.save(tmp_path / "m.safetensors"))
    assert again.about["intervals"] == {"noise": 0.1}
    assert again.intervals is None
    with pytest.raises(ConfigError, match="holds other intervals than its own"):
        dataclasses.replace(swing, about=others).save(tmp_path / "m.safetensors")


def test_members_alone_give_no_band(swing):
    """Their spread, of one alone none, is not how far off they are."""
    one = np.ones((1, 1, 3, 1))
    out = SimpleNamespace(obs=one, var=one, status=np.zeros((1, 1), np.int8))
    known = dataclasses.replace(swing, intervals=None)
    _, low, high, _ = known.combine(out, np.zeros((1, 3)))
    assert_allclose(high - low, 2 * 1.6449)
    _, low, high, sd = dataclasses.replace(known, covariance=None).combine(
        out, np.zeros((1, 3))
    )
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    assert_allclose(sd, 1.0)


def test_other_files_are_no_models(tmp_path):
    save_tree(tmp_path / "net.safetensors", MLP(1, 1, 2, 1, key=jax.random.key(0)), {})
    with pytest.raises(CheckpointError, match="does not hold a fitted model"):
        load(tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="does not exist"):
        load(tmp_path)


def test_summary_and_scores(swing):
    text = swing.summary()
    assert "-w2 sin(q - zero)" in text
    assert "state: theta, dtheta/dt" in text
    assert "w2 = 9." in text
    assert swing.about["verdict"]["text"] in text
    score = swing.score(record(3))
    assert score["rmse"] < 0.04
    (row,) = score["trajectories"]
    assert row["status"] == "ok"
    assert row["until"] == pytest.approx(20.0)
    assert 0.7 <= row["coverage"] <= 1.0


def test_verdict_trusts_a_fit_of_the_true_law(swing):
    verdict = swing.about["verdict"]
    assert verdict["trust"], verdict["text"]
    assert verdict["trust_to"] > 0
    baselines = {
        row["name"]: row["ratio"] for row in swing.report["scores"]["baselines"]
    }
    assert baselines["persistence"] < 0.2
    assert baselines["mean"] < 0.3


def test_report_can_be_written_and_says_what_was_done(swing):
    report = json.loads(json.dumps(swing.report, allow_nan=False))
    assert report["reproduce"]["command"] == "pendula fit x.csv"
    assert from_dict(report["reproduce"]["config"]) == CONFIG
    assert report["model"]["parameters"] == 2
    assert report["training"]["phases"][0]["name"] == "rates"
    assert report["training"]["phases"][-1]["name"] == "refit on all data"
    seconds = report["training"]["seconds"]
    assert seconds["compile"] > 0
    assert seconds["run"] > 0
    cited = " ".join(report["reproduce"]["citations"])
    for work in ("Landau", "Chen", "Hairer", "Triggs", "Immer", "Lee"):
        assert work in cited
    assert "Kingma" not in cited  # Adam was not used
    assert all(isinstance(a, np.ndarray) for a in swing.arrays.values())
    assert {"data/ts", "forecast/mean", "growth/model_median"} <= set(swing.arrays)


def test_progress_names_phases_in_order(swing, told):
    indices = [row["index"] for row in told]
    assert indices == sorted(indices)
    assert told[0]["phase"] == "rates"
    assert {"judging on held-out data", "refit on all data"} <= {
        r["phase"] for r in told
    }
    assert all(np.isfinite(r["loss"]).all() for r in told if "loss" in r)


def weights(fitted):
    return [*jax.tree.leaves(fitted.ensemble), fitted.covariance]


def test_the_same_seed_gives_the_same_bits(tmp_path):
    runs = [
        fit(None, record(), CONFIG, out=tmp_path / name, judged=False)
        for name in ("a", "b")
    ]
    for x, y in zip(*map(weights, runs), strict=True):
        assert_array_equal(x, y)
    logs = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("a", "b")]
    assert logs[0] == logs[1]
    assert len(logs[0].splitlines()) > 10


class Stop:
    """Ctrl-C at one step of one phase."""

    def __init__(self, phase, step):
        self.at = (phase, step)

    def __call__(self, row):
        if "loss" in row and (row["index"], row["step"]) == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted fits, unjudged and judged, with their logs."""
    done = {}
    for judged in (False, True):
        folder = tmp_path_factory.mktemp("whole")
        fitted = fit(None, record(), CONFIG, out=folder, judged=judged)
        done[judged] = fitted, (folder / "metrics.jsonl").read_bytes()
    return done


@pytest.mark.parametrize(
    "at",
    [
        pytest.param((0, 3), marks=pytest.mark.slow),
        (1, 5),
        pytest.param((2, 1), marks=pytest.mark.slow),
        (99, 2),
    ],
)
def test_interrupted_and_resumed_is_uninterrupted(whole, tmp_path, at):
    """In each phase, in the refit too: weights, covariance and log to the same bits;
    a finished fit that is resumed is the same once more."""
    judged = at[0] == 99
    fitted, log = whole[judged]
    go = lambda **more: fit(None, record(), CONFIG, out=tmp_path, judged=judged, **more)
    with pytest.raises(KeyboardInterrupt):
        go(tell=Stop(*at))
    for _ in range(2):
        other = go(resume=True)
        for x, y in zip(weights(fitted), weights(other), strict=True):
            assert_array_equal(x, y)
        assert other.about == fitted.about
        assert (tmp_path / "metrics.jsonl").read_bytes() == log
    left = sorted(p.name for p in tmp_path.rglob("*") if p.is_file())
    assert not [name for name in left if name.startswith(".")]


def test_a_run_is_resumed_with_its_own_data_and_settings_only(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(None, record(), CONFIG, out=tmp_path, tell=Stop(0, 3))
    other = dataclasses.replace(CONFIG, seed=1)
    for data, config in ((record(), other), (record(1), CONFIG)):
        with pytest.raises(CheckpointError, match="other settings or data"):
            fit(None, data, config, out=tmp_path, resume=True)
    fresh = fit(None, record(1), CONFIG, out=tmp_path, judged=False)
    alone = fit(None, record(1), CONFIG, judged=False)
    for x, y in zip(weights(fresh), weights(alone), strict=True):
        assert_array_equal(x, y)


def test_a_second_fit_of_equal_shape_traces_nothing(swing, caplog):
    """Other data, other start values: every program is there already."""
    text = {"w2": 7.0}
    known = [
        dataclasses.replace(k, constants=text if k.term == "gravity_pendulum" else {})
        for k in CONFIG.model.known
    ]
    model = dataclasses.replace(CONFIG.model, known=tuple(known))
    other = dataclasses.replace(CONFIG, model=model)
    with jax.log_compiles(True), caplog.at_level(logging.DEBUG, logger="jax"):
        fit(None, record(5), other).forecast(record(5))
    assert "Finished tracing" not in caplog.text
    with jax.log_compiles(True), caplog.at_level(logging.DEBUG, logger="jax"):
        jax.jit(lambda x: x + 1)(jnp.ones(7))
    assert "Finished tracing" in caplog.text  # a trace would have been seen


def test_too_little_data_is_a_sentence():
    for number in (2, 3, 5, 8):
        ts = np.arange(float(number))
        for data in (
            Trajectories.from_arrays(ts, np.sin(ts)),
            Trajectories.from_arrays([ts, ts], [np.sin(ts), np.cos(ts)]),
        ):
            with pytest.raises(DataError, match=r"[Gg]ive|Leave|Use"):
                fit(None, data, SECOND)


@pytest.mark.slow
def test_a_constant_channel_gives_finite_numbers():
    """Nothing moves: nothing can be learned, but nothing breaks either."""
    ts = np.linspace(0.0, 10.0, 101)
    data = Trajectories.from_arrays(ts, np.full((101, 1), 2.0))
    with pytest.warns(DataWarning, match='"y0" is constant'):
        fitted = fit(None, data, SECOND, judged=False)
    assert np.isfinite(fitted.predict([2.0, 0.0])).all()
    assert np.isfinite(fitted.forecast(data).mean).all()


def test_a_channel_that_stands_still_has_no_spread():
    """The rounding of a constant is none: errors in units of it drowned all others."""
    data = simulate("harmonic", num=3, duration=4.0, dt=0.1, noise=0.01, seed=0)
    for value in (0.0, 0.1, 300.15):
        still = np.full((*data.ts.shape, 1), value)
        ys = np.concatenate([data.ys, still], -1)
        more = Trajectories(data.ts, ys, ys < np.inf, origin=data.origin)
        with pytest.warns(DataWarning, match='"y2" is constant'):
            found = prepare(more, CONFIG, "levenberg")
        assert observed_spread(found.train)[2] == 1.0
        k = found.plan.observed[2]
        ranges = found.ranges
        assert ranges.scale[k] == 1.0
        assert ranges.rate[-1] == 1.0
        assert ranges.low[k] == ranges.high[k]
    # of records in a tiny unit all is as tiny
    tiny = prepare(data.replace(ys=1e-15 * data.ys), CONFIG, "levenberg").ranges
    plain = prepare(data, CONFIG, "levenberg").ranges
    assert_allclose(tiny.rate, 1e-15 * plain.rate, rtol=1e-6)


def test_a_wild_sample_makes_no_room_for_errors():
    """The spread that a verdict holds errors against is that of the motion."""
    data = record()
    plain = observed_spread(data)
    assert_array_equal(spread_of(without_strays(data)), plain)
    ys = data.ys.copy()
    ys[0, 77] = 50.0
    wild = data.replace(ys=ys)
    assert observed_spread(wild) > 5 * plain
    assert_allclose(spread_of(without_strays(wild)), plain, rtol=0.01)
    ys[0, 78:81] = 50.0  # a motion that stays there for a while
    assert_array_equal(without_strays(data.replace(ys=ys)), ys)


def test_what_stands_where_something_else_should_is_told():
    data, field = record(), Known("spring", k=1.0)
    with pytest.raises(ConfigError, match="the model is a Known; expected a Model"):
        check_arguments(field, data, FitConfig())
    with pytest.raises(ConfigError, match=r"the model is a Trajectories.*fit\(None"):
        check_arguments(data, None, FitConfig())
    with pytest.raises(DataError, match=r"of type str; .* pendula\.read\(path\)"):
        check_arguments(None, "swing.csv", FitConfig())
    with pytest.raises(ConfigError, match=r"a dict; expected FitConfig.*from_dict"):
        check_arguments(None, data, {"model": {}})
