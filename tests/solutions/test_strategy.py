"""The order in which a network meets time and coefficients."""

import jax.numpy as jnp
import pytest

from pendula import ConfigError
from pendula.solutions import (
    Curriculum,
    Gradual,
    Initial,
    Interval,
    InWindows,
    Problem,
    Unknown,
    Whole,
)


WAVE = Problem(
    lambda u, x, t, p: u.t + p.beta * u.x,
    domain=Interval(0.0, 1.0, periodic=True),
    time=(1.0, 2.0),
    conditions=[Initial(lambda x: jnp.sin(2 * jnp.pi * x))],
    params={"beta": 3.0},
)
SOUGHT = WAVE.replace(params={"beta": Unknown("beta")})
STILL = Problem(lambda u, x, p: u.xx, domain=Interval(0.0, 1.0))


def test_whole_is_one_stage():
    (stage,) = Whole().stages(WAVE)
    assert (stage.t0, stage.length, stage.share, stage.is_new) == (1.0, 1.0, 1.0, True)
    (stage,) = Whole().stages(STILL)
    assert stage.length == 1.0


def test_windows_follow_each_other():
    stages = list(InWindows(0.3).stages(WAVE))
    assert len(stages) == 4
    assert stages[0].t0 == 1.0
    assert stages[-1].t0 + stages[-1].length == pytest.approx(2.0)
    edges = InWindows((1.0, 1.1, 2.0)).edges(WAVE)
    assert edges == [1.0, 1.1, 2.0]


def test_a_curriculum_keeps_the_network():
    stages = list(Curriculum("beta", (1.0, 2.0, 3.0)).stages(WAVE))
    assert [s.is_new for s in stages] == [True, False, False]
    assert [s.problem.params["beta"] for s in stages] == [1.0, 2.0, 3.0]


def test_a_horizon_grows():
    stages = list(Gradual(4).stages(WAVE))
    assert [s.share for s in stages] == [0.25, 0.5, 0.75, 1.0]
    assert [s.length for s in stages] == [1.0] * 4


@pytest.mark.parametrize(
    ("strategy", "problem", "words"),
    [
        (InWindows(0.0), WAVE, "dt is 0.0"),
        (InWindows((1.0, 1.5)), WAVE, "edges are"),
        (InWindows(0.1), STILL, "need a time"),
        (Curriculum("gamma", (1.0,)), WAVE, 'no parameter "gamma"'),
        (Curriculum("beta", ()), WAVE, "values are empty"),
        (Curriculum("beta", (1.0, 2.0)), WAVE, "end at 2.0, and the problem has beta"),
        (Curriculum("beta", (3.0,)), SOUGHT, "beta is Unknown"),
        (InWindows(()), WAVE, "edges are"),
        (InWindows((1.0, float("nan"), 2.0)), WAVE, "edges are"),
        (Gradual(0), WAVE, "at least 1"),
        (Gradual(2), STILL, "need a time"),
    ],
)
def test_bad_input(strategy, problem, words):
    with pytest.raises(ConfigError, match=words):
        list(strategy.stages(problem))
