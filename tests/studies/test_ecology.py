"""The ecological parts on data made here: their pieces, and what they must not see."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import DataError
from pendula.data import Trajectories
from pendula.studies._ecology import Task, forecasts, in_logs, mixture, validated
from pendula.studies._ecology_baselines import baseline_scores, lotka_volterra


TASK = Task(29.5, 15, (1, 3), (19.5,))
SMALL = {"hidden": 1, "members": 2, "steps": 25}


def species(num=45, driven=True):
    """Two species that swing with a switched input of period 8, and noise."""
    rng, t = np.random.default_rng(2), np.arange(float(num))
    us = (t // 4 % 2)[:, None]
    phase = 2 * np.pi * t / 8
    logs = np.stack([np.cos(phase), 2 + np.sin(phase)], 1)
    logs = logs + 0.2 * rng.normal(size=logs.shape)
    about = {"input_kind": "held", "names": ("prey", "predator")}
    return Trajectories.from_arrays(t, np.exp(logs), us if driven else None, **about)


@pytest.fixture(scope="module")
def told():
    data = in_logs(species())
    return data, forecasts(data, TASK, SMALL)


@pytest.mark.slow
def test_forecasts_have_their_leads_and_their_truth(told):
    data, found = told
    assert found["mean"].shape == (15, 2)
    assert_allclose(found["truth"], data.ys[0, 30:])
    assert_allclose(found["truth_3"], data.ys[0, 32:])
    assert_allclose(found["mean_1"][0], found["mean"][0])
    assert (found["sd"] > 0).all()


@pytest.mark.slow
def test_the_later_part_is_not_looked_at(told):
    data, found = told
    later = data.ts[..., None] > TASK.until
    again = forecasts(data.replace(ys=np.where(later, 7.0, data.ys)), TASK, SMALL)
    assert_allclose(again["mean"], found["mean"], rtol=1e-12)
    score = validated(data, TASK, SMALL)["score"]
    changed = validated(data.replace(ys=np.where(later, 7.0, data.ys)), TASK, SMALL)
    assert np.isfinite(score)
    assert changed["score"] == score


def test_moments_of_a_mixture():
    """Two forecasts one apart: the mean between them, and half of one more apart."""
    one = {"ts": np.zeros(1)}
    for end in ("", "_1", "_3"):
        one |= {f"mean{end}": np.zeros(1), f"sd{end}": np.ones(1)}
        one[f"truth{end}"] = np.zeros(1)
    other = {**one, "mean": np.ones(1), "sd": np.full(1, 2.0)}
    found = mixture([one, other], TASK)
    assert_allclose(found["mean"], 0.5)
    assert_allclose(found["sd"] ** 2, 2.5 + 0.25)
    assert_allclose(found["sd_1"], 1.0)


@pytest.mark.slow
def test_baselines_know_what_they_should():
    """On this input the phase's mean beats climatology, and a walk loses."""
    found = baseline_scores(in_logs(species()), TASK)
    assert found["phase_mean_crps90"] < 0.3 * found["climatology_crps90"]
    assert found["random_walk_crps90"] > found["climatology_crps90"]
    assert found["varx1_crps1"] < found["random_walk_crps1"]
    assert all(np.isfinite(list(found.values())))


@pytest.mark.slow
def test_lotka_volterra_fits_its_own_cycles():
    """Small cycles are those of a harmonic oscillator of rate sqrt(alpha gamma)."""
    t = np.arange(40.0)
    logs = 0.05 * np.stack([np.cos(t), np.sin(t)], 1) + np.array([1.0, 2.0])
    data = Trajectories.from_arrays(t[:30], logs[:30])
    mean, sd = lotka_volterra(data, t[30:])
    assert_allclose(mean, logs[30:], atol=0.02)
    assert (sd < 0.01).all()


def test_what_has_no_logarithm_is_refused():
    with pytest.raises(DataError, match="zero or negative"):
        in_logs(Trajectories.from_arrays(np.arange(3.0), [1.0, 0.0, 2.0]))
