"""The parts of measured families on motions made here: arms, builds, chemostats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from pendula.data import Trajectories
from pendula.dynamics import Known as KnownLaw, Model, SecondOrder, Sum, layout
from pendula.studies import _families_dfki as dfki
from pendula.studies._families_arm_laws import (
    GRAVITY,
    HANGS,
    Known,
    learned,
    model_of,
    names,
    unknown,
)
from pendula.studies._families_chemostats import AHEAD, PAST, forecast_error, forecasts
from pendula.systems import DoublePendulum


def test_two_arms_are_a_double_pendulum():
    """Point masses on massless links, in units of the first arm's moment."""
    l1, l2, m1, m2, c = 0.8, 0.5, 1 / 0.8, 0.7, 0.03
    value = {"J1": l1, "c1": c, "f1": 1e-12, "l1": l1, "m2": m2}
    value |= {"J2": m2 * l2**2, "s2": m2 * l2, "c2": c, "f2": 1e-12}
    truth = DoublePendulum(
        length1=l1, length2=l2, mass1=m1, mass2=m2, gravity=GRAVITY, damping=c
    )
    with jax.enable_x64(True):
        eta = jnp.log(jnp.array([value[name] for name in names(2)]))
        y = jnp.array([0.7, -1.1, 1.3, -2.0])
        turned = y + jnp.array([HANGS, HANGS, 0.0, 0.0])
        ours = model_of(eta, 2).field(0.0, turned, None, None)
        assert_allclose(ours, truth(0.0, y), rtol=1e-6)


def test_the_numbers_of_fewer_arms_come_first():
    for arms in (1, 2):
        assert names(arms + 1)[: len(names(arms))] == names(arms)
        assert len(unknown(arms)[0]) == len(unknown(arms)[1]) == len(names(arms))
    more = Known(np.full(3, 0.1), np.full(3, 0.01)).with_more(2)
    assert_allclose(more.mean[:3], 0.1)
    assert_allclose(more.sd[3:], unknown(2)[1][3:])


def test_a_third_arm_that_weighs_nothing_is_not_there():
    with jax.enable_x64(True):
        two = jnp.asarray(unknown(2)[0])
        light = {"m3": 1e-12, "J3": 1e-12, "s3": 1e-12, "c3": 1e-15, "f3": 1e-15}
        added = [light.get(name, 0.3) for name in names(3)[len(two) :]]
        three = jnp.concatenate([two, jnp.log(jnp.array(added))])
        y = jnp.array([2.5, 3.6, 1.0, -0.7])
        tall = jnp.array([2.5, 3.6, 3.0, 1.0, -0.7, 0.2])
        pair = model_of(two, 2).field(0.0, y, None, None)[2:]
        assert_allclose(model_of(three, 3).field(0.0, tall, None, None)[3:5], pair)


@pytest.mark.slow
def test_an_arm_is_read_off_its_swing():
    ts = np.linspace(0.0, 3.0, 151)
    inertia, friction = 0.15, 0.01
    rate = lambda t, y: [
        y[1],
        -(GRAVITY * np.sin(y[0] - HANGS) + friction * y[1]) / inertia,
    ]
    run = solve_ivp(rate, (0.0, 3.0), [HANGS + 1.2, 0.0], t_eval=ts, rtol=1e-10)
    record = Trajectories.from_arrays(ts, run.y[0][:, None], names=("theta1",))
    found = learned(record, Known(*unknown(1)), 1, 0.5, 0.001)
    assert_allclose(np.exp(found.mean[0]), inertia, rtol=2e-3)
    assert_allclose(np.exp(found.mean[1]), friction, rtol=0.1)
    assert found.sd[0] < 0.01 < found.sd[2]  # dry friction: there is none to be seen


def pushed(seconds=4.0):
    """A mass on a spring under a known force, its rate measured, too."""
    ts = np.arange(0.0, seconds, 0.004)
    us = np.sin(3.0 * ts)[:, None]
    run = solve_ivp(
        lambda t, y: [y[1], np.sin(3.0 * t) - 9.0 * y[0]],
        (0.0, ts[-1]),
        [0.3, 0.0],
        t_eval=ts,
        rtol=1e-10,
        atol=1e-10,
    )
    return Trajectories.from_arrays(ts, run.y.T, us=us, names=("q", "dq"))


@pytest.mark.parametrize(("stiffness", "runs_away"), [(9.0, False), (-400.0, True)])
def test_free_runs_of_the_truth_have_no_error(stiffness, runs_away):
    law = Sum((KnownLaw("spring", k=stiffness, free=("k",)), KnownLaw("input", b=1.0)))
    model = Model(SecondOrder(law, 1), (0, 1), 2, substeps=1)
    plan = layout(("q", "dq"), ("second", "velocity"), {1: 0})
    off = dfki.free_run_errors(model, plan, pushed())
    assert len(off) == 6  # one every half second, each with a second to run
    if runs_away:
        assert (off == dfki.WORST).all()
    else:
        assert_allclose(off, 0.0, atol=2e-3)


def test_from_scratch_nothing_is_given_of_what_is_looked_for(monkeypatch):
    seen = {}
    keep = lambda system, data, config, judged: seen.update(config=config)
    monkeypatch.setattr("pendula.dynamics.fit", keep)
    dfki.from_scratch(pushed(), dfki._FULL)
    for law in seen["config"].model.known:
        assert not law.varies
        assert not set(law.free) & set(law.constants)
    free = [name for law in seen["config"].model.known for name in law.free]
    assert sorted(free) == sorted(["d1", "d2", "u12", "g1", "g2", *"ccff"])


def test_forecasts_look_back_and_are_scored_ahead():
    """Exponential decay in steps of a day: the truth is exact, another rate is off by
    what it does in one to four days, whatever stands in the samples before."""
    days = np.arange(70.0)
    ys = np.exp(-0.05 * days)[:, None] * np.array([[1.0, 2.0]])
    ys[50] = np.nan
    record = Trajectories.from_arrays(days, ys, names=("algae", "rotifers"))
    tasks = forecasts(record)
    assert tasks.ys.shape[1] == PAST + AHEAD + 1
    assert tasks.t0.min() == 40.0

    class Decay(SecondOrder):
        def __call__(self, t, y, u, context):
            return -0.05 * y

    decay = Decay(KnownLaw("spring", k=1.0, free=("k",)), 1)
    model = Model(decay, (0, 1), 2, substeps=2)
    assert forecast_error(model, tasks) < 1e-6
