"""Simulated data: observation, seeds, families, inputs, origin, bad settings."""

import json
import warnings
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula._errors import (
    ConfigError,
    DataError,
    DataWarning,
    DivergedError,
    ShapeError,
)
from pendula._source import Source
from pendula.data import Trajectories
from pendula.systems import (
    AbstractSystem,
    Duffing,
    Kepler,
    Observation,
    Pendulum,
    SpringBodies,
    constant,
    simulate,
)


BASE = {"num": 3, "duration": 2.0, "dt": 0.1, "seed": 5}


@pytest.fixture(scope="module")
def truth() -> Trajectories:
    return simulate("pendulum", **BASE)


@pytest.fixture(scope="module")
def seen() -> Trajectories:
    return simulate(
        "pendulum",
        **BASE,
        observe="theta",
        noise=0.02,
        irregular=0.6,
        missing=0.25,
    )


def test_results_are_float64_outside_any_scope(truth):
    assert not jax.config.jax_enable_x64
    assert truth.ys.dtype == truth.ts.dtype == np.float64
    with jax.enable_x64(True):
        inside = simulate("pendulum", **BASE)
    np.testing.assert_allclose(truth.ys, inside.ys, rtol=0, atol=1e-12)
    p = Pendulum()
    exact = p.exact(truth.ts[0], truth.ys[0, 0])
    np.testing.assert_allclose(truth.ys[0], exact, atol=1e-7)


def test_names_units_angles_and_origin_are_recorded(truth, seen):
    assert truth.names == ("theta", "omega")
    assert truth.units == ("rad", "rad/s")
    assert truth.angle == (True, False)
    assert (seen.names, seen.units, seen.angle) == (("theta",), ("rad",), (True,))
    origin = json.loads(json.dumps(seen.origin))
    assert origin["system"] == "pendulum"
    assert origin["constants"]["gravity"] == 9.81
    assert origin["seed"] == 5
    assert origin["observation"]["noise"] == 0.02
    assert 0 < origin["numerical_error"] <= 1e-8
    assert len(origin["history"]) == 2


def test_equal_seeds_give_equal_data_and_other_seeds_other(truth):
    again = simulate("pendulum", **BASE)
    np.testing.assert_array_equal(again.ys, truth.ys)
    other = simulate("pendulum", **{**BASE, "seed": 6})
    assert np.all(np.abs(other.ys - truth.ys).max(axis=(1, 2)) > 1e-3)


def test_streams_are_separate(seen):
    """Noise, losses and times each leave the others as they were."""
    quiet = simulate("pendulum", **BASE, irregular=0.6, missing=0.25)
    np.testing.assert_array_equal(quiet.ts, seen.ts)
    np.testing.assert_array_equal(quiet.mask[..., 0], seen.mask[..., 0])
    noise = (seen.ys - quiet.ys[..., :1])[seen.mask]
    assert 0.012 < noise.std() < 0.03


def test_noise_has_the_stated_level():
    long = {"num": 4, "duration": 50.0, "dt": 0.1, "seed": 0}
    exact = simulate("pendulum", **long)
    noisy = simulate("pendulum", **long, noise=(0.1, 0.4))
    error = noisy.ys - exact.ys
    # 2004 values: 6 standard errors of a standard deviation are 9.5 %
    np.testing.assert_allclose(error.std(axis=(0, 1)), [0.1, 0.4], rtol=0.095)
    assert np.all(np.abs(error.mean(axis=(0, 1))) < 6 * np.array([0.1, 0.4]) / 44)
    relative = simulate("pendulum", **long, noise=0.05, relative=True)
    share = (relative.ys - exact.ys).std(axis=(0, 1)) / exact.ys.std(axis=(0, 1))
    np.testing.assert_allclose(share, 0.05, rtol=0.095)


def test_irregular_times_keep_order_ends_and_reach(seen):
    grid = 0.1 * np.arange(21)
    shift = seen.ts - grid
    np.testing.assert_array_equal(shift[:, [0, -1]], 0.0)
    assert np.abs(shift).max() <= 0.5 * 0.6 * 0.1 + 1e-15
    assert np.abs(shift).max() > 0.02
    assert np.all(np.diff(seen.ts, axis=1) > 0)
    assert np.abs(seen.ts[0] - seen.ts[1]).max() > 0.01  # rows differ


def test_states_are_those_of_the_irregular_times():
    data = simulate("pendulum", **BASE, irregular=0.9)
    p = Pendulum()
    for ts, ys in zip(data.ts, data.ys, strict=True):
        np.testing.assert_allclose(p.exact(ts, ys[0]), ys, atol=1e-7)


def test_missing_samples_are_masked_and_counted(seen):
    assert seen.mask.sum() == 3 * (21 - round(0.25 * 21))
    np.testing.assert_array_equal(seen.ys[~seen.mask], 0.0)
    heavy = simulate("pendulum", **BASE, missing=0.99)
    np.testing.assert_array_equal(heavy.mask.sum(axis=1), 2)


def test_a_family_records_its_parameters():
    lengths = [0.5, 1.0, 0.5]
    data = simulate("pendulum", **BASE, params={"length": lengths, "damping": 0.1})
    np.testing.assert_array_equal(data.env, [0, 1, 0])
    assert data.param_names[:3] == ("length", "gravity", "damping")
    np.testing.assert_array_equal(data.params[:, 0], lengths)
    np.testing.assert_array_equal(data.params[:, 2], 0.1)
    one = simulate(
        Pendulum(length=0.5, damping=0.1), **{**BASE, "num": 1}, y0=data.ys[2, 0]
    )
    np.testing.assert_allclose(data.ys[2], one.ys[0], atol=1e-7)
    by_array = simulate("pendulum", **BASE, params=data.params)
    np.testing.assert_array_equal(by_array.ys, data.ys)


def test_inputs_by_function_and_by_samples_agree(truth):
    push = lambda t: np.sin(2 * t)
    called = simulate("pendulum", **BASE, us=push)
    assert called.us.shape == (3, 21, 1)
    assert called.input_names == ("u",)
    grid = 0.1 * np.arange(21)
    given = simulate("pendulum", **BASE, us=push(grid))
    np.testing.assert_array_equal(given.ys, called.ys)
    assert np.abs(called.ys - truth.ys).max() > 0.1
    held = simulate("pendulum", **BASE, us=push, input_kind="held")
    assert held.input_kind == "held"
    assert np.abs(held.ys - called.ys).max() > 1e-2


class Decay(AbstractSystem):
    """A user's own world, y' = -rate y, that counts how often it is traced."""

    names: ClassVar = ("y",)
    units: ClassVar = ("m",)
    angle: ClassVar = (False,)
    input_names: ClassVar = ()
    input_units: ClassVar = ()
    param_names: ClassVar = ("rate",)
    time_unit: ClassVar = "s"
    good_step: ClassVar = 0.1
    good_duration: ClassVar = 1.0
    second_order: ClassVar = False
    source: ClassVar = Source("none")
    traces: ClassVar[list] = []
    rate: np.ndarray = constant(1.0)

    def __call__(self, t, y, u=None, context=None):
        self.traces.append(y)
        return -self.constants(y, context)[0] * y

    def initial(self, key=None):
        return jnp.ones(1)

    def invariants(self, y, context=None):
        return {}

    def time_scale(self, context=None):
        return 1.0 / self.constants(jnp.zeros(1), context)[0]


def test_other_numbers_of_equal_shape_do_not_trace_again():
    data = simulate(Decay(), num=2, seed=0)
    np.testing.assert_allclose(data.ys[1, :, 0], np.exp(-data.ts[1]), atol=1e-8)
    before = len(Decay.traces)
    assert before > 0
    simulate(Decay(rate=100.0), num=2, seed=7, noise=0.1, missing=0.2)
    assert len(Decay.traces) == before


def test_default_record_uses_the_good_step():
    data = simulate("harmonic")
    assert data.num == 1
    np.testing.assert_allclose(np.diff(data.ts[0]), 0.2)
    assert data.ts[0, -1] == pytest.approx(40.0)
    assert simulate("lotka_volterra", duration=1.0).time_unit == "year"


def test_a_state_that_leaves_the_numbers_is_an_error_with_its_time():
    wild = [[0.5, 0.0], [1e160, 0.0]]
    with pytest.raises(DivergedError, match="trajectory 1: non_finite_state at t = "):
        simulate("duffing", num=2, y0=wild, duration=1.0, dt=0.1)


@pytest.mark.parametrize(
    ("which", "y0", "dt"),
    [("duffing", [100.0, 0.0], 0.1), ("van_der_pol", [50.0, 0.0], 0.05)],
)
def test_a_start_far_out_is_simulated_by_shorter_steps(which, y0, dt):
    """A motion whose first steps overflow has not left the numbers itself."""
    data = simulate(which, y0=y0, duration=1.0, dt=dt)
    assert data.origin["numerical_error"] <= 1e-8
    if which == "duffing":
        exact = Duffing().exact(data.ts[0], 100.0)
        np.testing.assert_allclose(data.ys[0], exact, atol=1e-8 * np.ptp(exact))


def test_an_orbit_that_is_fast_for_once_is_resolved():
    mu = float(Kepler().mu)
    y0 = [0.1, 0.0, 0.0, np.sqrt(mu * 1.9 / 0.1)]  # eccentricity 0.9
    data = simulate("kepler", y0=y0, duration=1.2)
    exact = Kepler().exact(data.ts[0], y0)
    off = (np.abs(data.ys[0] - exact) / np.ptp(exact, axis=0)).max()
    assert off < 1.5 * data.origin["numerical_error"] < 1.5e-8


def test_the_error_of_a_chaotic_record_counts_rounding():
    """Against steps of the same motion that are rounded otherwise: a comparison with
    half as many steps alone told a fiftieth of it, and no warning."""
    with pytest.warns(DataWarning, match="halving the step did not help"):
        data = simulate("lorenz", duration=16.0, dt=0.05, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        other = simulate("lorenz", ts=data.ts[0, ::4], y0=data.ys[0, 0], rtol=1e-7)
    off = np.abs(other.ys - data.ys[:, ::4]) / np.ptp(data.ys, axis=(0, 1))
    assert off.max() < 4.0 * data.origin["numerical_error"]


def test_a_law_that_jumps_has_the_error_of_its_order():
    """Two bodies on a line that pass through each other, whose spring pushes: the pull
    turns at once."""
    world = SpringBodies(bodies=2, space=1)
    given = {"y0": [-1.0, 1.0, 2.0, -2.0], "duration": 3.0, "dt": 0.1}
    with pytest.warns(DataWarning, match="a law that jumps"):
        data = simulate(world, **given)
    apart = np.abs(np.diff(data.ys[0, :, :2]))[:, 0]
    off = np.abs(apart - _bouncing(data.ts[0], 2.0, -4.0)).max() / 4.0
    assert 1e-8 < off < 3.0 * data.origin["numerical_error"]


def _bouncing(ts, x, v):
    """The distance x'' = -2 (x - 1) of both, thrown back where it is 0, arc by arc."""
    out, w, since = [], np.sqrt(2.0), 0.0
    for t in ts:
        while True:
            far, phase = np.hypot(x - 1.0, v / w), np.arctan2(-v / w, x - 1.0)
            end = since + (np.arccos(-1.0 / far) - phase) % (2.0 * np.pi) / w
            if end >= t:
                break
            x, v, since = 0.0, w * np.sqrt(far**2 - 1.0), end
        out.append(1.0 + far * np.cos(w * (t - since) + phase))
    return np.array(out)


def test_two_times_of_two_inputs_are_no_two_trajectories():
    given = {"ts": [0.0, 0.1], "num": 2}
    us = np.array([[1.0, 2.0], [3.0, 4.0]])
    data = simulate("double_pendulum", us=us, **given)
    assert data.us is not None
    np.testing.assert_array_equal(data.us, [us, us])


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"num": 0}, ConfigError, "num is 0"),
        ({"seed": -1}, ConfigError, "seed is -1"),
        ({"dt": 0.0}, ConfigError, "dt is 0 s"),
        ({"dt": -0.1}, ConfigError, "dt is -0.1 s"),
        ({"duration": 0.05}, ConfigError, "duration is 0.05 s"),
        ({"duration": float("inf")}, ConfigError, "duration is inf s"),
        ({"ts": [0.0, 1.0]}, ConfigError, "either ts, or duration and dt"),
        ({"y0": [1.0]}, ShapeError, r"expected \(2,\) or \(3, 2\)"),
        ({"y0": [np.nan, 0.0]}, ConfigError, "y0 holds NaN"),
        ({"params": {"lenght": 1.0}}, ConfigError, 'Did you mean "length"'),
        ({"params": {"length": [1.0, 2.0]}}, ShapeError, r'"length" has shape \(2,\)'),
        ({"params": {"length": -1.0}}, ConfigError, "length is -1"),
        ({"params": np.ones((3, 2))}, ShapeError, r"expected \(3, 5\)"),
        ({"us": np.ones(7)}, ShapeError, r"expected \(3, 21, 1\)"),
        ({"us": lambda t: t / 0.0}, ConfigError, "us holds NaN"),
        ({"us": np.sin, "input_kind": "cubic"}, ConfigError, "Allowed: held"),
        ({"noise": -0.1}, ConfigError, "noise is -0.1"),
        ({"noise": (0.1, 0.2, 0.3)}, ConfigError, "noise has 3 values"),
        ({"irregular": 1.0}, ConfigError, "irregular is 1"),
        ({"missing": 1.5}, ConfigError, "missing is 1.5"),
        ({"observe": "thet"}, ConfigError, '"thet" is not in the data'),
        ({"rtol": 0.0}, ConfigError, "rtol is 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_bad_settings_are_refused(change, error, text):
    with pytest.raises(error, match=text):
        simulate("pendulum", **{**BASE, **change})


@pytest.mark.parametrize(
    ("ts", "error"),
    [
        ([0.0], ShapeError),
        ([[0.0, 1.0]], ShapeError),
        ([0.0, 0.0], ConfigError),
        ([0.0, np.inf], ConfigError),
    ],
)
def test_bad_times_are_refused(ts, error):
    with pytest.raises(error, match="ts "):
        simulate("pendulum", ts=ts)


def test_an_observation_is_applied_to_any_data():
    data = Trajectories.from_arrays(
        [np.arange(6.0), np.arange(4.0)], [np.ones((6, 2)), np.ones((4, 2))]
    )
    out = Observation(channels=("y1",), noise=0.5)(data, seed=1)
    assert out.ys.shape == (2, 6, 1)
    np.testing.assert_array_equal(out.ys[1, 4:], 0.0)  # padding stays padding
    assert np.all(out.ys[out.mask] != 1.0)
    with pytest.raises((ConfigError, DataError)):
        Observation(channels=("nothing",))(data, seed=1)
