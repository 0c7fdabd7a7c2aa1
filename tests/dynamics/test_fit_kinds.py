"""Kinds of data through one facade: inputs, irregular and missing samples, measured
velocities, channels of first order; networks by Levenberg-Marquardt and by Adam."""

import dataclasses

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula._errors import ConfigError, DataError, ShapeError
from pendula._tree import member
from pendula.data import input_path
from pendula.dynamics import (
    DRIVE,
    KNOTS,
    STARTS,
    Fitted,
    Model,
    continuity,
    fit,
    from_dict,
    load,
)
from pendula.systems import simulate


# -- driven, irregular, with gaps, position and velocity both measured ---------------

DUFFING = {"k": 1.0, "k3": 1.0, "c": 0.2, "b": 1.0}


def push(ts):
    return np.sin(1.3 * ts) + 0.5 * np.cos(2.1 * ts)


def driven_record(seed=0, **options):
    settings = {"noise": 0.01, "irregular": 0.3, "missing": 0.1, **options}
    return simulate(
        "duffing",
        duration=16.0,
        dt=0.1,
        seed=seed,
        y0=[0.5, 0.0],
        params={"alpha": 1.0, "beta": 1.0, "damping": 0.2},
        us=push,
        **settings,
    )


DRIVEN = from_dict(
    {
        "model": {
            "learn": "none",
            "known": [
                {"term": "spring", "free": ["k"]},
                {"term": "cubic_spring", "free": ["k3"]},
                {"term": "viscous", "free": ["c"]},
                {"term": "input", "free": ["b"]},
            ],
        },
        # windows of 8 samples: one stage instead of two
        "train": {"members": 1, "refit": False, "window": 0.8},
    }
)


@pytest.fixture(scope="module")
def driven() -> Fitted:
    return fit(None, driven_record(), DRIVEN, judged=False)


def test_driven_oscillator_with_gaps_and_both_channels(driven):
    data = driven_record()
    assert data.mask.mean() < 0.95
    assert np.ptp(np.diff(data.ts[0])) > 0.02
    assert driven.about["state"] == ["q", "v"]
    assert driven.ensemble.observed == (0, 1)
    for constant in driven.about["constants"]:
        truth = DUFFING[constant["name"]]
        assert_allclose(constant["value"], truth, atol=0.05)
        assert constant["high"] - constant["low"] < 0.2


def test_forecast_under_the_measured_input(driven):
    forecast = driven.forecast(driven_record())
    spread = np.asarray(driven.about["spread"])
    assert forecast.rmse() < 0.05 * spread.min()
    assert forecast.mean.shape == (len(forecast.ts), 2)
    # without the input the same model is lost
    silent = driven_record().replace(us=np.zeros_like(driven_record().us))
    assert driven.forecast(silent).rmse() > 0.3 * spread.min()


def test_right_hand_side_with_an_input(driven):
    q, v, u = 0.4, -0.3, 0.7
    value = {c["name"]: c["value"] for c in driven.about["constants"]}
    force = value["b"] * u - value["k"] * q - value["k3"] * q**3 - value["c"] * v
    assert_allclose(driven.predict([q, v], [u]), [v, force], rtol=1e-9)


def test_free_runs_see_the_input_as_in_training(driven):
    """From the record's own start the free run follows the noise-free record."""
    clean = driven_record(noise=0.0, missing=0.0, irregular=0.0)
    roll = driven.simulate(clean.ys[0, 0], clean.ts[0], clean.us[0])
    assert_allclose(roll.ys[0], clean.ys[0], atol=0.1)
    assert roll.status.tolist() == [0]


def test_steps_between_far_times_follow_the_input(driven):
    """A straight input of few samples: as if it had been sampled at every step."""
    about = {**driven.about, "input_kind": "linear"}
    model = dataclasses.replace(driven, about=about)
    few, every = np.array([0.0, 4.0, 10.0]), np.linspace(0.0, 10.0, 101)
    us = np.interp(every, few, [0.0, 1.0, -1.0])
    far = model.simulate([0.1, 0.0], few, [0.0, 1.0, -1.0])
    near = model.simulate([0.1, 0.0], every, us)
    assert_allclose(far.ys, near.ys[:, [0, 40, 100]], atol=1e-3)


@pytest.mark.slow
def test_a_convergence_test_is_as_long_as_it_is_told(driven):
    dt = driven.about["step"]
    knots, us = dt * np.arange(301), np.zeros((301, 1))
    given = {"drive": (knots, input_path(knots, us, "held")), "schemes": ("rk4",)}
    # 8 intervals where nothing was judged; never beyond the inputs
    for asked, count in ((2.2 * dt, 2), (270 * dt, 270), (None, 8), (400 * dt, 300)):
        found = continuity(driven, [[1.0, 0.0]], horizon=asked, hs=[dt], **given)
        assert found.t1 == pytest.approx(count * dt)
    for horizon, words in ((np.nan, "horizon is nan"), (0.4 * dt, "one sampling")):
        with pytest.raises(ConfigError, match=words):
            continuity(driven, [[1.0, 0.0]], horizon=horizon, **given)


@pytest.mark.slow
def test_the_convergence_test_runs_under_the_held_out_input():
    """A judged fit keeps a start and what drives it; the test follows both."""
    fitted = fit(None, driven_record(irregular=0.0, missing=0.0), DRIVEN)
    found = continuity(fitted, schemes=("rk4",))
    assert found.verdict == "consistent_flow"
    arrays = fitted.arrays
    knots, drive = arrays[KNOTS], arrays[DRIVE]
    assert drive.shape == (len(knots) - 1, 4, 1)
    assert_allclose(np.diff(knots), 0.1, atol=1e-9)
    # without inputs the same law moves otherwise
    silent = {"drive": (knots, 0.0 * drive), "schemes": ("rk4",)}
    still = continuity(fitted, arrays[STARTS], **silent)
    assert abs(still.scale - found.scale) > 0.01


def test_inputs_are_found_by_their_names(driven):
    data = driven_record()
    more = data.replace(
        us=np.concatenate([np.cos(data.us), data.us], axis=2),
        input_names=("w", "u"),
        input_units=("", *data.input_units),
    )
    assert_array_equal(driven.forecast(more).mean, driven.forecast(data).mean)


def silenced():
    return driven_record().replace(us=None, input_names=(), input_units=())


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: f.predict([0.0, 0.0]), DataError, "none were given"),
        (lambda f: f.predict([0.0, 0.0], [1.0, 2.0]), ShapeError, "expected (1,): u"),
        (lambda f: f.simulate([0.0, 0.0], [0.0, 1.0]), DataError, "none were given"),
        (
            lambda f: f.simulate([0.0, 0.0], [0.0, 1.0], [1.0, 2.0, 3.0]),
            ShapeError,
            "inputs have shape (3, 1); expected (2, 1)",
        ),
        (
            lambda f: f.forecast(silenced()),
            DataError,
            "was fitted with inputs ['u']; none were given",
        ),
        (
            lambda f: f.forecast(driven_record().replace(input_names=("w",))),
            DataError,
            'the model needs input "u"; the data have w',
        ),
        (
            lambda f: f.forecast(driven_record().replace(input_units=("kN",))),
            DataError,
            "u is in [kN], and the model was fitted in [",
        ),
        (
            lambda f: f.forecast(driven_record(), until=30.0),
            DataError,
            "a forecast until 30 needs them",
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(driven, call, error, words):
    with pytest.raises(error) as found:
        call(driven)
    assert words in str(found.value)


def test_channels_are_found_by_name_in_any_order(driven):
    data = driven_record()
    turned = data.channels(["v", "q"])
    one, two = driven.forecast(data), driven.forecast(turned)
    assert_array_equal(one.mean, two.mean)
    assert one.names == two.names == ("q", "v")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("held", marks=pytest.mark.slow),
        "linear",
        pytest.param("spline", marks=pytest.mark.slow),
    ],
)
def test_a_gap_in_time_does_not_change_how_the_input_runs(driven, kind):
    """Times put into a long gap are stepping stones of the solver: the input between
    its samples stays held, straight or on its spline."""
    about = {**driven.about, "input_kind": kind}
    model = dataclasses.replace(driven, about=about)
    data = driven_record(missing=0.0, irregular=0.0).replace(input_kind=kind)
    keep = np.r_[0:100, 112:161]
    gap = data.gather([keep], "a gap")
    forecast = model.forecast(gap, start=9.0)
    start = int(np.searchsorted(gap.ts[0], forecast.start - 1e-9))
    fine = 8  # the gap is 12 sampling steps: the single step there needs as many
    begin = np.array([forecast.members[0, 0]])
    at = int(np.searchsorted(gap.ts[0], forecast.ts[0] - 1e-9))
    assert at == start + 1
    roll = model.simulate(begin[0], gap.ts[0, at:], gap.us[0, at:], refine=fine)
    # other steps of RK4; the spline's end differs, as it is cut at the start
    tolerance = 2e-3 if kind == "spline" else 5e-5
    reached = np.isin(np.round(gap.ts[0, at:], 9), np.round(forecast.ts, 9))
    assert reached.all()
    assert_allclose(forecast.members[0], roll.ys[0], atol=tolerance)


# -- first order, a network, by Levenberg-Marquardt ----------------------------------

PREY = from_dict(
    {
        "model": {"width": 4, "depth": 1},
        "train": {"members": 2, "refit": False, "window": 1.8, "steps": 15},
    }
)


def prey_record(seed=0):
    return simulate(
        "lotka_volterra", num=3, duration=12.0, dt=0.25, noise=0.01, seed=seed
    )


@pytest.fixture(scope="module")
def prey() -> Fitted:
    return fit(None, prey_record(), PREY, judged=False)


@pytest.mark.slow
def test_populations_of_first_order(prey):
    assert prey.about["method"] == "levenberg"
    assert prey.about["state"] == ["prey", "predator"]
    assert prey.about["parameters"] == (2 + 1) * 4 + (4 + 1) * 2
    assert prey.covariance.shape == (2, 22, 22)
    forecast = prey.forecast(prey_record())
    assert forecast.members.shape == (2, len(forecast.ts), 2)
    assert forecast.rmse() < 0.2 * min(prey.about["spread"])
    assert forecast.status.tolist() == [0, 0]
    assert forecast.outside.max() <= 0.5


def test_members_are_different_networks_that_agree_on_the_data(prey):
    one, two = (member(prey.ensemble, k) for k in (0, 1))
    assert np.any(one.field.net.weight_in != two.field.net.weight_in)
    paths = prey.forecast(prey_record()).members
    assert 0 < np.max(np.abs(paths[0] - paths[1])) < 0.3 * max(prey.about["spread"])
    ratio = one.field.scale.precision / two.field.scale.precision
    assert_allclose(1.0 / ratio, PREY.train.spread, rtol=1e-6)


def test_outside_its_range_a_network_says_so(prey):
    seen = prey_record()
    far = seen.replace(ys=np.where(seen.mask, 5.0 * seen.ys, 0.0))
    forecast = prey.forecast(far, trajectory=1)
    assert forecast.outside.mean() > 0.5


def test_networks_survive_a_file(prey, tmp_path):
    again = load(prey.save(tmp_path / "model.safetensors"))
    assert_array_equal(again.covariance, prey.covariance)
    one, two = prey.forecast(prey_record()), again.forecast(prey_record())
    assert_array_equal(one.mean, two.mean)
    assert_array_equal(one.sd, two.sd)


# -- second order, a network, by Adam in float32 -------------------------------------

SPRING = from_dict(
    {
        "model": {"width": 8, "depth": 1, "substeps": 1, "order": "second"},
        "train": {
            "method": "adam",
            "members": 2,
            "steps": 200,
            "clips": [8],
            "batch": 16,
            "lr": 1e-2,
        },
    }
)


def spring_record(seed=1, num=4, noise=0.01):
    return simulate(
        "harmonic", num=num, duration=8.0, dt=0.2, noise=noise, observe="q", seed=seed
    )


@pytest.fixture(scope="module")
def told():
    """What the fit by Adam said while it ran."""
    return []


@pytest.fixture(scope="module")
def spring(told) -> Fitted:
    return fit(None, spring_record(), SPRING, judged=False, tell=told.append)


def unseen_errors(fitted):
    """Root mean square errors of the model and of persistence on two new swings."""
    data = spring_record(seed=9, num=2, noise=0.0)
    ours, still = [], []
    for k in range(data.num):
        forecast = fitted.forecast(data, trajectory=k)
        last = data.ys[k, np.searchsorted(data.ts[k], forecast.start + 1e-9) - 1]
        ours.append(forecast.rmse())
        still.append(np.sqrt(np.mean((forecast.truth - last) ** 2)))
    return np.mean(ours), np.mean(still)


@pytest.mark.slow
def test_a_learned_force_beats_standing_still(spring, told):
    assert spring.dtype == np.float32
    assert spring.covariance is None
    ours, still = unseen_errors(spring)
    assert ours < 0.3 * still
    last = {row["phase"]: row for row in told}
    assert list(last) == ["rates", "clips of 8"]
    assert [row["step"] for row in last.values()] == [200, 200]
    assert np.shape(last["clips of 8"]["validation"]) == (2,)


@pytest.mark.slow
def test_shuffled_samples_teach_nothing(spring):
    """The control: the same numbers in another order, the same shapes and steps."""
    data = spring_record()
    rng = np.random.default_rng(0)
    mixed = np.stack([y[rng.permutation(len(y))] for y in data.ys])
    control = fit(None, data.replace(ys=mixed), SPRING, judged=False)
    ours, still = unseen_errors(control)
    assert not ours < 0.6 * still  # infinite when it diverged


def test_float32_stays_float32(spring):
    forecast = spring.forecast(spring_record())
    assert {x.dtype for x in jax.tree.leaves(spring.ensemble)} == {np.dtype("float32")}
    with jax.enable_x64(True):
        inside = spring.forecast(spring_record())
    assert_array_equal(forecast.mean, inside.mean)


@pytest.mark.slow
def test_adam_is_resumed_to_the_same_bits(spring, tmp_path):
    def stop(row):
        if row["index"] == 1 and row["step"] == 100:
            raise KeyboardInterrupt

    whole = fit(None, spring_record(), SPRING, judged=False)
    with pytest.raises(KeyboardInterrupt):
        fit(None, spring_record(), SPRING, out=tmp_path, tell=stop, judged=False)
    done = fit(None, spring_record(), SPRING, out=tmp_path, resume=True, judged=False)
    for fitted in (done, spring):
        for x, y in zip(
            jax.tree.leaves(whole.ensemble),
            jax.tree.leaves(fitted.ensemble),
            strict=True,
        ):
            assert_array_equal(x, y)


@pytest.mark.slow
def test_a_model_of_ones_own_is_fitted_and_described(spring):
    """The networks of a given model are drawn anew for every member."""
    own = jax.tree.map(lambda x: x[0] if hasattr(x, "ndim") else x, spring.ensemble)
    assert isinstance(own, Model)
    fitted = fit(own, spring_record(), SPRING, judged=False)
    assert fitted.about["parameters"] == spring.about["parameters"]
    path = fitted.forecast(spring_record())
    assert path.rmse() < 0.3
