"""What a law does, as a fit reports it: known fields in the place of fitted ones."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from pendula.data import Trajectories
from pendula.dynamics import FitConfig, Model, ModelConfig
from pendula.dynamics._behaviour import describe, with_behaviour
from pendula.dynamics._fitted import Fitted
from pendula.dynamics._motion import said
from pendula.dynamics._prepare import prepare
from pendula.dynamics._region import Region
from pendula.report._law_words import law_lines
from pendula.systems import Duffing, Lorenz, Pendulum, VanDerPol, simulate


def fit_of(*fields, data, period, config=None):
    """A "fit" whose members have these fields, and its prepared data."""
    config = FitConfig() if config is None else config
    prepared = prepare(data, config, "levenberg")
    plan = prepared.plan
    models = [Model(field, plan.observed, plan.dim) for field in fields]
    stacked = jax.tree.map(lambda *x: np.stack(np.asarray(x, np.float64)), *models)
    about = {
        "members": len(fields),
        "dtype": "float64",
        "names": list(data.names),
        "units": list(data.units),
        "angle": list(data.angle),
        "time_unit": data.time_unit,
        "input_names": list(data.input_names),
        "layout": {
            "positions": list(plan.positions),
            "velocities": list(plan.velocities),
            "first": list(plan.first),
        },
        "step": prepared.sampling * prepared.every,
        "period": period,
        "train_end": 10.0,
    }
    return Fitted(stacked, about, report={"data": {"time_unit": "s"}}, arrays={}), (
        prepared
    )


def test_a_double_well_rests_at_two_centres_and_a_saddle():
    starts = [[s * q, 0.0] for q in (1.2, 1.25, 1.3) for s in (1, -1)]
    data = simulate(Duffing(), num=6, y0=starts, duration=12.0, dt=0.1, observe="q")
    told, arrays = describe(*fit_of(Duffing(), data=data, period=4.8))
    assert [rest["kind"] for rest in told["rests"]] == ["centre", "saddle", "centre"]
    assert [rest["visited"] for rest in told["rests"]] == [True] * 3
    np.testing.assert_allclose(
        [r["y"][0] for r in told["rests"]], [-1, 0, 1], atol=1e-9
    )
    # no sample came near the saddle
    assert told["rests"][1]["nearest"] > 0.1
    assert not told["cycle"]["attracts"]
    assert "one of a family" in " ".join(told["text"])
    assert arrays["behaviour/rests"].shape == (3, 2)
    assert np.isfinite(arrays["behaviour/rates"]).all()


def test_a_motion_that_dies_away_says_where_and_members_are_compared():
    """Three members with damping 0.2, 0.3 and -0.01: the sign of the growth is open."""
    data = simulate(
        Pendulum(damping=0.2), num=3, duration=10.0, dt=0.05, observe="theta"
    )
    fields = [
        eqx.tree_at(lambda p: p.damping, Pendulum(), jnp.asarray(c))
        for c in (0.3, 0.2, -0.01)
    ]
    told, _ = describe(*fit_of(*fields, data=data, period=2.1))
    (rest,) = told["rests"]
    assert (rest["members"], told["searched"], rest["undecided"]) == (3, 3, True)
    assert rest["kind"] == "stable focus"
    np.testing.assert_allclose(rest["eigenvalues"][0][0], -0.1, atol=1e-6)
    np.testing.assert_allclose(rest["growth"], [-0.15, 0.005], atol=1e-6)
    assert rest["usual"] == pytest.approx(-0.1)  # of three the middle one
    assert "dies away towards theta = 0 rad" in told["text"][0]
    assert told["left_out"] == []
    report = {"data": {"time_unit": "s"}, "behaviour": told}
    assert "centre or slow spiral" in law_lines(report)[0]


def test_van_der_pol_runs_into_a_cycle_with_a_multiplier_below_one():
    data = simulate("van_der_pol", num=2, duration=20.0, dt=0.05)
    fields = [VanDerPol(epsilon=mu) for mu in (0.98, 1.0, 1.02)]
    fitted, prepared = fit_of(*fields, data=data, period=6.66)
    told = with_behaviour(fitted, prepared).report["behaviour"]
    cycle = told["cycle"]
    assert cycle["attracts"]
    assert cycle["largest"] == pytest.approx(0.0008597, rel=1e-3)
    assert cycle["period"] == pytest.approx(6.66329, abs=1e-4)
    low, high = cycle["period_range"]
    assert low < cycle["period"] < high
    assert cycle["members"] == 3
    assert told["rests"][0]["kind"] == "unstable focus"


@pytest.mark.slow
def test_lorenz_is_chaotic_and_compared_by_its_statistics():
    with pytest.warns(UserWarning, match="forgets its start"):
        data = simulate("lorenz", num=1, duration=80.0, dt=0.05)
    told, arrays = describe(*fit_of(Lorenz(), data=data, period=0.0))
    exponents = told["exponents"]
    assert exponents["low"] < 0.906 < exponents["high"]
    assert exponents["low"] > 0.5
    assert exponents["dimension"] == pytest.approx(2.06, abs=0.02)
    assert exponents["record"]["value"] == pytest.approx(0.906, rel=0.4)
    assert [rest["kind"] for rest in told["rests"]] == ["saddle"] * 3
    for row in told["statistics"]:
        assert row["overlap"] > 0.75
        assert row["distance"] < 2 * row["distance_halves"] + 1
    assert arrays["behaviour/power"].shape == arrays["behaviour/power_data"].shape
    assert "cycle" not in told


class Clover(eqx.Module):
    """Hénon and Heiles' two oscillators, regular at low energy."""

    coupling: jax.Array

    def __call__(self, t, y, u, context):
        a, b, k = y[0], y[1], self.coupling
        return jnp.stack([y[2], y[3], -a - 2 * k * a * b, -b - k * (a**2 - b**2)])


def test_a_regular_motion_of_two_frequencies_is_no_chaos_and_no_closed_orbit():
    """Neighbours part in proportion to the time, which gives an exponent above 0 with
    a narrow interval; and a closed orbit is near, on which the motion is not."""
    field, ts = Clover(jnp.asarray(1.0)), 0.2 * np.arange(600)
    rate = jax.jit(lambda y: field(0.0, y, None, None))
    start = [0.12, -0.15, 0.1, 0.05]
    ys = solve_ivp(lambda t, y: rate(y), ts[[0, -1]], start, t_eval=ts, rtol=1e-8).y.T
    data = Trajectories.from_arrays(
        [ts, ts[:300]], [ys, ys[:300]], names=(*"abcd",), origin={"system": "clover"}
    )
    first = FitConfig(ModelConfig(order="first"))
    told, _ = describe(*fit_of(field, data=data, period=6.28, config=first))
    assert 0 < told["exponents"]["low"] < told["exponents"]["even"]
    assert "cycle" not in told
    (text,) = told["text"]
    assert "told from regular" in text
    assert "that part evenly" in text


def test_what_cannot_be_found_out_is_a_sentence_and_loses_no_fit():
    data = simulate("duffing", num=2, duration=12.0, dt=0.1, observe="q")

    def said(field):
        fitted, prepared = fit_of(Duffing(), data=data, period=5.0)
        model = Model(field, prepared.plan.observed, prepared.plan.dim)
        fitted = Fitted(model, fitted.about, report={}, arrays={})  # holds no array
        told = with_behaviour(fitted, prepared).report["behaviour"]
        return " ".join([*told["text"], *told["left_out"]])

    def broken(t, y, u, c):
        raise ValueError("no value here")

    assert "Not found out: what the law does (ValueError: no value here)" in said(
        broken
    )
    driven = lambda t, y, u, c: jnp.stack([y[1], jnp.cos(t) - y[0]])
    assert "the law itself changes with time" in said(driven)
    away = lambda t, y, u, c: jnp.stack([1.0 + 0.0 * y[0], 1.0 + y[1] ** 2])
    told = said(away)
    assert "no rest state in or near the visited range" in told
    assert "leaves the range of the data for good" in told
    nowhere = lambda t, y, u, c: jnp.stack([0.0 * y[0], -y[1]])
    assert "rests at more than 12 states" in said(nowhere)


@pytest.mark.slow
def test_inputs_are_held_at_their_mean_and_the_motion_is_left_out():
    data = simulate(
        Pendulum(),
        num=2,
        duration=10.0,
        dt=0.05,
        observe="theta",
        us=lambda ts: 2.0 + np.sin(ts)[:, None],
    )
    told, _ = describe(*fit_of(Pendulum(), data=data, period=2.0))
    (held,) = told["input"]
    assert held["value"] == pytest.approx(2.0, abs=0.3)
    assert "under the mean input" in " ".join(told["left_out"])
    assert np.sin(told["rests"][0]["y"][0]) == pytest.approx(
        held["value"] / 9.81, abs=1e-9
    )
    assert "cycle" not in told


def test_a_place_without_a_unit_is_a_number():
    axes, ends = (("q", "1"), ("dq/dt", "1/s")), np.ones(2)
    law = Region((), np.zeros((1, 2)), -ends, ends, axes, "s", None, 0.0)
    assert said([-1.0, 0.0], law) == "q = -1, dq/dt = 0 1/s"
