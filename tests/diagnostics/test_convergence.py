"""The convergence test: exact fields, the field that Euler learns, faults."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pendula._errors import ConfigError, DataError, FitWarning, ShapeError
from pendula.data import input_path
from pendula.diagnostics import (
    StepGuard,
    convergence_test,
    modified_eigenvalue,
    plot_sweep,
    predicted_continuum_error,
    stability_polynomial,
)
from pendula.diagnostics._convergence_grid import part_truth, pick_schemes
from pendula.diagnostics._convergence_rates import fit_order
from pendula.diagnostics._convergence_sweep import common, ladder, step_counts
from pendula.diagnostics._convergence_verdict import judge
from pendula.solve import Adaptive, ImplicitMidpoint, scheme
from pendula.systems import Harmonic
from pendula.train import StopTraining, TrainState, run


X0, T1 = np.array([0.0, 1.0]), 10.0


class Linear(eqx.Module):
    """y' = A y; the matrix is data, so that all of them share their programs."""

    matrix: np.ndarray

    def __call__(self, t, y, u=None, context=None):
        return jnp.asarray(self.matrix, y.dtype) @ y


class Duffing(eqx.Module):
    """A spring that hardens at the size of its motion."""

    size: np.ndarray

    def __call__(self, t, y, u=None, context=None):
        size = jnp.asarray(self.size, y.dtype)
        return jnp.stack([y[1], -size * (y[0] / size) ** 3])


def learned(dt):
    """What Euler learns of the oscillator from exact samples."""
    turn = np.array([[np.cos(dt), np.sin(dt)], [-np.sin(dt), np.cos(dt)]])
    return Linear((turn - np.eye(2)) / dt)


WORLD = Linear(np.array([[0.0, 1.0], [-1.0, 0.0]]))
exact = lambda t: np.array([np.sin(t), np.cos(t)])
BOTH = {"schemes": ("euler", "rk4")}


def test_orders_and_verdict_of_the_exact_field():
    found = convergence_test(WORLD, X0, T1, dt_train=0.5, true_field=WORLD, **BOTH)
    assert (found.verdict, found.warning) == ("continuous", None)
    assert found.e_0 < 1e-10
    np.testing.assert_allclose(found.row("rk4"), found.row("rk4", "true_mean"))
    fine = (0.5 / 2.0 ** np.arange(11)).tolist()
    found = convergence_test(WORLD, X0, T1, dt_train=0.5, hs=fine, **BOTH)
    assert found.verdict == "consistent_flow"
    assert found.order["rk4"].value == pytest.approx(4.0, abs=0.1)
    assert found.order["euler"].value == pytest.approx(1.0, abs=0.1)
    assert found.order["euler"].points >= 3


@pytest.mark.parametrize("dt", [0.5, 0.25])
def test_the_field_that_euler_learns_is_no_field(dt):
    given = {"dt_train": dt, "scheme_train": "euler", "truth": exact, **BOTH}
    found = convergence_test(learned(dt), X0, T1, **given)
    assert found.verdict == "overfit_to_dt"
    assert found.e_train <= 1e-12
    mu = modified_eigenvalue(1j, dt, "euler")
    away = abs(np.exp(T1 * mu) - np.exp(T1 * 1j))
    assert found.row("rk4", "end")[-1] == pytest.approx(away, abs=1e-6)
    # the rollout at any other step, too
    h, k = found.hs[-3], round(T1 / found.hs[-3])
    off = abs((1 + h * mu) ** k - np.exp(T1 * 1j))
    assert found.row("euler", "end")[-3] == pytest.approx(off, rel=1e-9)
    bare = convergence_test(
        learned(dt), X0, T1, dt_train=dt, scheme_train="euler", **BOTH
    )
    assert bare.verdict == "depends_on_solver"
    assert "own motion within a time of 10;" in bare.text
    assert bare.gap > 0.05


def test_theory_s_table():
    """Learned eigenvalues and errors of the oscillator, as derived."""
    table = {
        (0.5, "euler"): (-0.244835, 0.958851, 0.9214),
        (0.5, "midpoint"): (-0.012194, 0.964733, 0.3495),
        (0.5, "rk4"): (0.000211, 1.000476, 0.00521),
        (0.1, "euler"): (-0.049958, 0.998334, 0.3934),
        (0.05, "midpoint"): (-0.000016, 0.999584, 0.0042),
    }
    for (dt, name), (real, imag, error) in table.items():
        mu = modified_eigenvalue(1j, dt, name)
        assert (mu.real, mu.imag) == pytest.approx((real, imag), abs=6e-7)
        off = abs(np.exp(T1 * mu) - np.exp(T1 * 1j))
        assert off == pytest.approx(error, rel=0.01)
    assert modified_eigenvalue(1j, 0.5, "implicit_midpoint").real == pytest.approx(0.0)


def test_the_prediction_is_exact_for_euler_and_leading_order_else():
    for name, rel in (("euler", 1e-6), ("rk4", 0.02)):
        _, end = predicted_continuum_error(WORLD, 0.25, name, T1, X0)
        mu = modified_eigenvalue(1j, 0.25, name)
        off = abs(np.exp(T1 * mu) - np.exp(T1 * 1j))
        assert end == pytest.approx(off, rel=rel)


@pytest.mark.parametrize("name", ["euler", "midpoint", "heun", "rk3", "rk4", "rk4_38"])
def test_stability_polynomials_are_the_exponential_up_to_the_order(name):
    order = scheme(name).order
    expected = 1.0 / np.cumprod([1.0, *range(1, order + 1)])
    np.testing.assert_allclose(stability_polynomial(name)[: order + 1], expected)


def test_a_scheme_without_a_tableau_has_no_polynomial():
    assert isinstance(scheme("implicit_midpoint"), ImplicitMidpoint)
    with pytest.raises(ConfigError, match="no stability polynomial"):
        stability_polynomial("leapfrog")


@given(st.integers(1, 300), st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_step_counts_hold_the_trained_one_and_all_rounding(samples, substeps):
    train = samples * substeps
    counts = step_counts(train, samples)
    assert train in counts
    assert counts == sorted(set(counts))
    assert all(isinstance(n, int) and n >= 1 for n in counts)
    assert counts[-1] == 64 * train
    near = [n for n in counts if train <= n <= 2 * train]
    assert len(near) >= (4 if train >= 10 else 2)
    assert all(
        counts[k] % train == 0 or train % counts[k] == 0 for k in ladder(counts, train)
    )


@pytest.mark.parametrize("samples", [20, 10, 21])
def test_orders_of_the_default_steps_are_those_of_the_ladder(samples):
    """Whatever the horizon: at t1 alone they swing with the phase of the motion."""
    counts = step_counts(samples, samples)
    kept, every = common(counts, samples, samples)
    assert kept == ladder(counts, samples)[-len(kept) :]
    assert len(kept) >= 7
    assert samples // every >= 5


@pytest.mark.parametrize("n", [49, 98, 103, 107, 196])
def test_a_step_s_number_never_rounds_wrong(n):
    """arange(0, 1, 1/n) has n + 1 entries for these."""
    found = convergence_test(
        WORLD, X0, 1.0, dt_train=1.0 / n, hs=[1.0 / n], schemes=("euler",)
    )
    assert found.hs.tolist() == [1.0 / n]


def test_an_order_needs_three_points_above_rounding():
    h = 0.5 ** np.arange(8)
    d = 1e-2 * h**2
    found = fit_order(h, d, 1e-14)
    assert (found.value, found.points) == (pytest.approx(2.0), 8)
    floor = fit_order(h, np.maximum(d, 1e-3), 1e-14)
    assert np.isnan(floor.value)
    assert floor.note == "no asymptotic range"


def test_a_field_that_explodes_is_unstable_not_an_error():
    law = lambda t, y, u, c: 1.0 + y**2  # reaches infinity at pi / 2
    found = convergence_test(law, [0.0], 2.0, dt_train=0.5, schemes=("euler",))
    assert found.verdict == "unstable"
    assert found.t_fail == pytest.approx(np.pi / 2, abs=0.01)
    assert "before t1" in found.text


BLOWS_UP = lambda t, y, u, c: 100.0 * (1.0 + y**2)  # before the first sample
FAILS = lambda t, y, u, c: jnp.where(t > 0.2, jnp.nan, 1.0) * y


@pytest.mark.parametrize("law", [BLOWS_UP, FAILS])
@pytest.mark.parametrize("truth", [None, lambda t: np.array([np.sin(t)])])
def test_a_field_of_which_nothing_is_left_is_unstable(law, truth):
    given = {"dt_train": 0.5, "schemes": ("rk4",), "truth": truth}
    found = convergence_test(law, [1.0], 2.0, **given)
    assert found.verdict == "unstable"
    assert found.t_fail <= 0.5
    assert "check the field" in found.text
    assert found.to_dict()["scale"] is None or truth is not None


@pytest.mark.slow
def test_the_true_field_is_seen_as_the_model_is():
    """Observed, scaled, from several starts, at a later time: the exact field is
    right, and the field that Euler learns errs as its scheme predicts."""
    given = {
        "x0": [[0.0, 1.0], [2.0, 0.0]],
        "t1": T1 + 3.0,
        "t0": 3.0,
        "dt_train": 0.5,
        "observe": lambda y: 2.0 * y[..., ::-1],
        "scale": [1.0, 3.0],
        **BOTH,
    }
    found = convergence_test(WORLD, truth=WORLD, **given)
    assert (found.verdict, found.mean.shape) == ("continuous", (2, len(found.hs)))
    assert found.e_0 < 1e-10
    found = convergence_test(
        learned(0.5), true_field=WORLD, scheme_train="euler", **given
    )
    assert found.verdict == "overfit_to_dt"
    assert found.predicted == pytest.approx(found.e_0, rel=1e-6)


def test_a_field_right_at_the_samples_alone():
    """Nine tenths of a turn from sample to sample pass for a tenth the other way
    round: between the samples only the true field tells."""
    dt = 0.9 * 2 * np.pi
    other = Linear((1.0 - 2 * np.pi / dt) * WORLD.matrix)
    found = convergence_test(
        other, X0, 20 * dt, dt_train=dt, substeps=4, true_field=WORLD, **BOTH
    )
    assert found.e_0 < 1e-10
    assert found.between == pytest.approx(2.0, abs=0.1)
    assert found.verdict == "overfit_to_dt"
    assert "Midway between the samples" in found.text


def test_only_what_is_observed_of_the_true_field():
    found = convergence_test(
        WORLD,
        X0,
        T1,
        dt_train=0.5,
        true_field=WORLD,
        observe=lambda y: y[..., :1],
        **BOTH,
    )
    assert found.verdict == "continuous"


def test_what_left_the_finite_numbers_is_far_whatever_is_observed():
    given = {"dt_train": 0.5, "scheme_train": "euler", "observe": np.tanh}
    law = lambda t, y, u, c: -(y**3)
    found = convergence_test(law, [10.0], T1, hs=[0.5], schemes=("euler",), **given)
    assert found.gap == np.inf


def test_what_cannot_be_observed_of_a_rollout_is_far():
    """Steps of Euler longer than 1 make y' = -y negative, which has no logarithm."""
    given = {"dt_train": 1.5, "scheme_train": "euler", "observe": np.log}
    law = lambda t, y, u, c: -y
    found = convergence_test(law, [1.0], 6.0, hs=[1.5], schemes=("euler",), **given)
    assert found.gap == np.inf


@pytest.mark.parametrize(
    ("hs", "verdict"),
    [
        ([0.5, 0.3, 0.2, 0.15, 0.1], "inconclusive"),  # Euler is far from its limit
        (np.logspace(0, -3, 13), "continuous"),
    ],
)
def test_steps_of_any_ratio_show_the_order(hs, verdict):
    found = convergence_test(WORLD, X0, T1, dt_train=0.5, true_field=WORLD, hs=hs)
    assert found.order["rk4"].value == pytest.approx(4.0, abs=0.1)
    assert found.order["midpoint"].value == pytest.approx(2.0, abs=0.1)
    assert found.verdict == verdict


def test_truth_in_single_precision_meets_every_sample():
    ts = 3.0 + np.float32(0.1) * np.arange(101, dtype=np.float32)
    field = Linear(np.array([[0.0, 1.0], [-1.0, 0.0]]))
    given = {"dt_train": 0.1, "t0": 3.0, "hs": [0.1], "schemes": ("rk4",)}
    ys = exact(np.asarray(ts, np.float64) - 3.0).T
    found = convergence_test(field, X0, 13.0, truth=(ts, ys), **given)
    assert found.notes == ()
    found = convergence_test(field, X0, 13.0, truth=(ts[::-2], ys[::-2]), **given)
    assert found.notes == ("The truth is known at 51 of 101 samples.",)
    assert found.e_0 < 1e-5


@pytest.mark.parametrize("pad", [np.nan, 10.0])
def test_the_truth_of_a_shorter_record_may_be_padded(pad):
    ts = np.append(0.5 * np.arange(21) - 1e-9, [pad] * 5)
    ys = np.where(np.arange(26)[:, None] < 21, exact(ts).T, np.nan)
    found = convergence_test(WORLD, X0, T1, dt_train=0.5, truth=(ts, ys), **BOTH)
    assert found.notes == ()
    assert found.e_0 < 1e-8


def test_a_trained_step_that_is_not_asked_for_is_added():
    found = convergence_test(WORLD, X0, T1, dt_train=0.5, hs=[0.25], **BOTH)
    assert found.hs.tolist() == [0.5, 0.25]
    assert found.notes == ("The trained step 0.5 was added.",)


def test_verdicts_between_right_and_wrong():
    """The pair of Runge and Kutta at a step that hardly resolves the motion."""
    given = {"dt_train": 0.5, "truth": exact}
    field = Linear(3.0 * WORLD.matrix)
    poor = convergence_test(field, X0, T1, schemes=("rk4",), **given)
    assert poor.verdict == "poor"
    coarse = convergence_test(WORLD, X0, T1, scheme_train="euler", **BOTH, **given)
    assert coarse.verdict == "inconclusive"
    assert "its rollouts are not" in coarse.text
    far = convergence_test(WORLD, X0, T1, hs=[0.5, 0.25], **BOTH, **given)
    assert far.verdict == "inconclusive"
    assert "euler did not reach" in far.text
    turn = modified_eigenvalue(1j, 0.5, "rk4")
    tuned = Linear(np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]))
    mild = convergence_test(tuned, X0, T1, schemes=("rk4",), **given)
    assert (mild.verdict, mild.warning) == ("continuous", "mild_dip")
    assert "tuned to its step" in mild.text


def test_substeps_and_adaptive_trainings_have_steps_of_their_own():
    found = convergence_test(
        WORLD, X0, T1, dt_train=0.5, substeps=4, truth=exact, hs=[0.5], **BOTH
    )
    assert (found.h_train, found.hs.tolist()) == (0.125, [0.5, 0.125])
    found = convergence_test(
        WORLD, X0, T1, dt_train=0.5, scheme_train="adaptive", truth=exact, **BOTH
    )
    assert found.verdict == "continuous"
    assert found.e_train < 1e-3
    assert "adaptive" not in found.order


def test_one_sample_is_enough():
    found = convergence_test(WORLD, X0, 0.5, dt_train=0.5, truth=exact, **BOTH)
    assert found.verdict == "continuous"
    assert found.e_0 < 1e-10


@pytest.mark.slow
def test_fields_of_two_arguments_are_fields():
    found = convergence_test(
        lambda t, y: jnp.asarray(WORLD.matrix, y.dtype) @ y,
        X0,
        T1,
        dt_train=0.5,
        truth=Harmonic(),
        schemes=("rk4",),
    )
    assert found.verdict == "continuous"
    assert part_truth(np.sin, None) == (np.sin, None)
    assert part_truth(WORLD, None) == (None, WORLD)


def test_truth_may_be_samples_and_observed():
    ts = np.linspace(0.0, T1, 11)  # every second one of the training samples
    ys = np.sin(ts)[:, None]
    found = convergence_test(
        WORLD,
        X0,
        T1,
        dt_train=0.5,
        truth=(ts, ys),
        observe=lambda y: y[..., :1],
        scale=[2.0],
        schemes=("euler",),
    )
    assert found.e_0 < 1e-10
    assert found.mean is not None
    assert found.row("rk4")[-1] < 1e-8


def test_held_inputs_are_those_inside_of_each_step():
    """y' = u with u held over each sample: every scheme is exact at h <= dt."""
    dt, n = 0.5, 8
    us = np.random.default_rng(0).normal(size=(n + 1, 1))
    ts = dt * np.arange(n + 1)
    path = input_path(ts, us, "held")
    law = lambda t, y, u, c: u + 0.0 * y
    sums = np.concatenate([[[0.0]], np.cumsum(us[:-1] * dt, axis=0)])
    found = convergence_test(
        law,
        [0.0],
        ts[-1],
        dt_train=dt,
        truth=(ts, sums),
        drive=(ts, path),
        schemes=("euler", "rk4"),
    )
    fine = found.hs <= dt * (1 + 1e-9)
    aligned = fine & np.isclose(dt / found.hs, np.round(dt / found.hs))
    assert np.all(found.row("rk4")[aligned] < 1e-12)
    assert np.all(found.row("euler")[aligned] < 1e-12)
    with pytest.raises(ConfigError, match="no input was measured at 1 after t0"):
        convergence_test(
            law,
            [0.0],
            ts[-1],
            dt_train=dt,
            drive=(np.delete(ts, 2), path[:-1]),
            schemes=("euler",),
        )


def test_the_result_is_told_and_drawn():
    found = convergence_test(
        learned(0.5),
        X0,
        T1,
        dt_train=0.5,
        scheme_train="euler",
        true_field=WORLD,
        **BOTH,
    )
    told = found.to_dict()
    assert told["verdict"] == "overfit_to_dt"
    assert told["predicted"] == pytest.approx(found.e_0, rel=1e-6)
    assert "learned the error of its scheme" in found.text
    assert {f.verdict for f in found.findings()} == {"note", "bad"}
    ax = plot_sweep(told, found.arrays())
    assert len(ax.get_legend().get_texts()) == 2
    assert ax.get_xscale() == "log"
    ax.figure.clear()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"t1": 9.9}, ConfigError, r"9.9 is no multiple of dt_train = 0.5"),
        ({"dt_train": 0.0}, ConfigError, "dt_train is 0"),
        ({"substeps": 0}, ConfigError, "substeps is 0"),
        ({"t1": -1.0}, ConfigError, "horizon"),
        ({"hs": []}, ConfigError, "hs is empty"),
        ({"hs": [11.0]}, ConfigError, "h = 11 does not fit"),
        ({"hs": [1e-9]}, ConfigError, r"1e-09 is 1e\+10 steps over the horizon"),
        ({"substeps": 10**7}, ConfigError, "steps over the horizon"),
        ({"schemes": ("rk5",)}, ConfigError, "Known: .*rk4"),
        ({"tolerance": 0.0}, ConfigError, "tolerance"),
        ({"x0": np.zeros((1, 2, 2))}, ShapeError, "expected .traj, dim."),
        ({"truth": lambda t: np.zeros(3)}, ShapeError, "shape .3,.; expected"),
        ({"truth": ([0.0, 1.0], np.zeros((2, 2)))}, ShapeError, "not known at t1"),
        ({"truth": ([3.1, 10.0], np.eye(2))}, DataError, "known at t1 = 10 alone"),
        ({"truth": lambda t: [t, [1.0, np.inf][t == 1.5]]}, DataError, "at t = 1.5"),
        ({"truth": WORLD, "true_field": WORLD}, ConfigError, "are both fields"),
        ({"scale": [1.0]}, ShapeError, "one size for each"),
        ({"scale": [1.0, 0.0]}, ConfigError, "scale is 0.0; it must be above 0"),
        ({"scale": [np.nan, 1.0]}, ConfigError, "scale is nan"),
        ({"x0": [np.nan, 0.0]}, DataError, "x0 holds NaN"),
        ({"x0": np.eye(2), "truth": exact}, ShapeError, r"\(2,\); expected \(2, 2\)"),
        ({"truth": ([0.0, 10.0], np.zeros((2, 3)))}, ShapeError, "samples have shape"),
        ({"truth": ([], np.zeros((0, 2)))}, ShapeError, "not known at t1"),
        ({"dtype": np.float16}, ConfigError, 'dtype "float16" is unknown'),
        ({"hs": 0.1}, ConfigError, "give a list of steps"),
        ({"observe": lambda y: y[..., 0]}, ShapeError, "expected .traj, time, obs."),
        ({"scheme_train": "adaptiv"}, ConfigError, "Here also: adaptive"),
    ],
)
def test_faults_are_named(change, error, words):
    given = {"x0": X0, "t1": T1, "dt_train": 0.5, "schemes": ("rk4",), **change}
    with pytest.raises(error, match=words):
        convergence_test(WORLD, **given)


def test_a_field_gives_a_slope_for_every_entry():
    with pytest.raises(ShapeError, match=r"gives shape \(1,\) for a state of shape"):
        convergence_test(lambda t, y, u, c: y[:1], X0, T1, dt_train=0.5)
    with pytest.raises(ShapeError, match="gives a list for a state of shape"):
        convergence_test(lambda t, y: [y[1], -y[0]], X0, T1, dt_train=0.5)
    with pytest.raises(ConfigError, match="this one takes neither"):
        convergence_test(lambda t, y, u: y, X0, T1, dt_train=0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dt": 0.0}, "dt is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"t1": 0.0}, "t1"),
        ({"which": "kvaerno5"}, "kvaerno5 has no step of its own"),
        ({"x0": [0.0, 0.0]}, "does not move from these starts"),
    ],
)
def test_predictions_are_asked_for_in_order(change, words):
    given = {"dt": 0.5, "which": "euler", "t1": T1, "x0": X0, **change}
    with pytest.raises(ConfigError, match=words):
        predicted_continuum_error(WORLD, **given)
    with pytest.raises(ConfigError, match="h is 0"):
        modified_eigenvalue(1j, 0.0, "euler")


def test_no_prediction_of_a_motion_that_fails():
    given = {"dt_train": 0.5, "true_field": WORLD, "schemes": ("rk4",)}
    found = convergence_test(WORLD, X0, T1, **given)
    assert "rk4 itself predicts 0.00" in found.text
    lost = judge(dataclasses.replace(found, e_0=0.9, predicted=1e3))
    assert "cannot be compared" in lost.text
    found = judge(dataclasses.replace(found, predicted=np.nan))
    assert found.to_dict()["predicted"] is None
    assert "predicts" not in found.text
    assert [f.comparison for f in found.findings()] == [None, None, None]


def test_steps_that_meet_few_samples_are_judged_by_what_they_add():
    """The own motion errs more at the end than on the way; a step that meets the end
    alone, as most do over a prime number of samples, is no worse than it."""
    field = Linear(np.array([[0.0, 1.0], [-1.0, 0.0]]) * 1.0085)
    given = {"dt_train": 0.5, "truth": exact, "schemes": ("rk4",)}
    found = convergence_test(field, X0, 9.5, **given)
    end = found.row("rk4")[np.isclose(found.hs, 9.5 / 27)]
    assert found.e_0 < found.tolerance < end
    assert found.verdict == "continuous"
    bare = judge(dataclasses.replace(found, own_mean=None))
    assert bare.verdict == "inconclusive"
    assert "h = 0.413, 0.352, 0.297 and 0.176" in bare.text


def test_errors_that_are_the_noise_s_are_not_laid_to_the_step():
    """The field is the true one, and so are its rollouts; the truth is noisy."""
    given = {"dt_train": 0.5, "truth": exact, "schemes": ("rk4",), "hs": [0.5]}
    found = convergence_test(WORLD, X0, T1, **given)
    assert found.gap < 0.01
    near = judge(dataclasses.replace(found, e_train=0.0499, e_0=0.0502))
    assert near.verdict == "inconclusive"
    assert "by chance" in near.text
    poor = judge(dataclasses.replace(found, e_train=0.1, e_0=0.1))
    assert poor.verdict == "poor"
    assert "off alike: the field is wrong, or the truth noisy" in poor.text


def test_states_in_a_large_unit_are_solved_as_well():
    """A tolerance of 1e-13 is no rounding of metres where the motion is of atoms."""
    found = {}
    for size in (1.0, 1e-9, 1e-13):
        field = Duffing(np.asarray(size))
        given = {
            "dt_train": 0.25,
            "schemes": ("rk4",),
            "hs": 0.25 / 2.0 ** np.arange(5),
        }
        found[size] = convergence_test(field, [size, 0.0], 4.0, **given)
        assert found[size].order["rk4"].value == pytest.approx(4.0, abs=0.1)
        near, same = found[size].row("rk4", "own")[-1], found[1.0].row("rk4", "own")[-1]
        assert near == pytest.approx(same, rel=1e-3)


def test_a_rest_is_no_signal():
    """Rounding moves it by some last digits, over which any error is large or none."""
    law = lambda t, y, u, c: jnp.stack([y[1], -jnp.sin(y[0])])
    given = {"dt_train": 0.5, "hs": [0.5], "schemes": ("rk4",)}
    with pytest.raises(ConfigError, match=r"does not move .* spread is .*e-1\d"):
        convergence_test(law, [np.pi, 0.0], T1, **given)
    found = convergence_test(law, [np.pi - 1e-9, 0.0], 2.0, **given)
    assert found.verdict == "consistent_flow"


def test_a_motion_that_leaves_the_signal_is_unstable_without_a_truth_too():
    """Its own spread grows with it; the sizes of the channels do not."""
    field = Linear(np.array([[0.0, 1.0], [1.0, 0.0]]))
    given = {"dt_train": 0.5, "hs": [0.5], "schemes": ("rk4",)}
    found = convergence_test(field, X0, T1, **given, scale=[1.0, 1.0])
    assert found.verdict == "unstable"
    assert "leaves 100 times the signal's spread" in found.text
    assert convergence_test(field, X0, T1, **given).verdict == "consistent_flow"


def test_rounding_is_neither_a_dip_nor_an_error_that_was_learned():
    given = {"dt_train": 0.5, "true_field": WORLD, "schemes": ("rk4",)}
    found = convergence_test(WORLD, X0, T1, hs=[0.5], **given)
    tiny = {"e_train": 1e-16, "e_0": 1e-14, "predicted": 1e-13}
    told = judge(dataclasses.replace(found, **tiny))
    assert (told.verdict, told.warning) == ("continuous", None)
    assert "predicts" not in told.text
    told = judge(dataclasses.replace(found, **{k: 1e6 * x for k, x in tiny.items()}))
    assert told.warning == "mild_dip"
    assert "predicts" in told.text


def test_a_scheme_stands_once_and_as_it_was_trained():
    loose = Adaptive(rtol=1e-1, atol=1e-1)
    names = ("kvaerno5", "rk4", "rk4")
    found, trained = pick_schemes(names, loose)
    assert found == [loose, scheme("rk4")]
    assert trained is loose
    assert pick_schemes("rk4", "rk4")[0] == [scheme("rk4")]


def test_members_that_diverged_count():
    guard = StepGuard(every=10, gap=lambda params: [np.inf, np.nan, 0.01])
    state = TrainState.start(jnp.zeros(1), None, jax.random.key(0))
    with pytest.raises(StopTraining, match="solver gap inf"):
        guard(state, {"step": 10})


def test_a_guard_halves_while_there_are_updates_left_and_tells_what_is_left():
    """It looks whenever a training is logged, the last time too; there, behind the
    last update, it warns."""
    seen, state = [], TrainState.start(jnp.zeros(1), None, jax.random.key(0))

    def step(state, batch):
        return eqx.tree_at(lambda s: s.step, state, state.step + 1), {"loss": 0.0}

    def gap(params):
        seen.append(params)
        return 0.01 if len(seen) < 3 else 0.2

    told = {"num_steps": 9, "log_every": 2}
    state, reason = run(step, state, None, [guard := StepGuard(gap=gap)], **told)
    assert reason.startswith("the training step is halved at step 6: solver gap 0.2")
    assert len(seen) == 3
    guard.bind(gap, 6, 1)
    guard.most = 1
    words = "step 9 .* solver gap of 0.2, .* after 1 of at most 1 halvings"
    with pytest.warns(FitWarning, match=words):
        assert run(step, state, None, [guard], **told)[1] == "done"
    guard.most = 6
    last = eqx.tree_at(lambda s: s.step, state, jnp.asarray(8))
    with pytest.warns(FitWarning, match="after 1 of at most 6 halvings"):
        assert run(step, last, None, [guard], **told)[1] == "done"


def test_single_precision_is_warned_of():
    with pytest.warns(FitWarning, match="below what float32 resolves"):
        convergence_test(
            WORLD,
            X0,
            T1,
            dt_train=0.5,
            schemes=("rk4",),
            tolerance=1e-6,
            dtype=np.float32,
        )


def test_a_guard_is_checked():
    with pytest.raises(ConfigError, match="every is 0; it must be at least 1"):
        StepGuard(every=0)
    with pytest.raises(ConfigError, match="tolerance is 0; it must be above 0"):
        StepGuard(tolerance=0)
    with pytest.raises(ConfigError, match=r"samples is 0; .* at least 4"):
        StepGuard(samples=0)


def test_the_system_and_its_matrix_agree():
    np.testing.assert_allclose(Harmonic().exact([0.0, 2.0], X0)[1], exact(2.0))
