"""A guard of the solver's step within a fit, interrupted and not."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pendula._errors import ConfigError, FitWarning
from pendula.data import Trajectories
from pendula.diagnostics import StepGuard, modified_eigenvalue
from pendula.dynamics import (
    FitConfig,
    KnownConfig,
    Model,
    ModelConfig,
    TrainConfig,
    fit,
)
from pendula.dynamics._halved import solver_gap, with_substeps
from pendula.systems import simulate
from pendula.train import AbstractCallback, TrainState


class Interrupt(AbstractCallback):
    """Ctrl-C at one update, counted over all stages."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, state, row):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return state


CONFIG = FitConfig(
    ModelConfig(learn="field", order="first", scheme="euler", substeps=1, width=8),
    TrainConfig(method="adam", members=1, steps=60, clips=(6,), minutes=10.0),
)


@pytest.mark.slow
def test_a_guard_halves_the_step_and_a_resumed_fit_is_the_same(tmp_path):
    data = simulate("harmonic", num=4, duration=10.0, dt=0.5, seed=0)
    guard = lambda: StepGuard(every=20, tolerance=0.3, most=2)
    given = {"judged": False}
    whole = fit(None, data, CONFIG, out=tmp_path / "whole", callbacks=[guard()])
    rows = json.loads((tmp_path / "whole/resume/substeps.json").read_text())
    assert len(rows) >= 1
    assert whole.ensemble.substeps == 2 ** len(rows)
    told = [phase["reason"] for phase in whole.report["training"]["phases"]]
    assert f"halved at {rows[0][1]}" in told[rows[0][0]]
    plain = fit(None, data, CONFIG, **given)
    assert plain.ensemble.substeps == 1
    # interrupted in the first looks after the step was halved
    stop = [guard(), Interrupt(at=4)]
    with pytest.raises(KeyboardInterrupt):
        fit(None, data, CONFIG, out=tmp_path / "cut", callbacks=stop, **given)
    again = fit(
        None,
        data,
        CONFIG,
        out=tmp_path / "cut",
        resume=True,
        callbacks=[guard()],
        **given,
    )
    assert json.loads((tmp_path / "cut/resume/substeps.json").read_text()) == rows
    same = lambda a, b: assert_array_equal(np.asarray(a), np.asarray(b))
    jax.tree.map(same, again.ensemble, whole.ensemble)
    # without a guard the short step stays, and that is said
    with pytest.warns(FitWarning, match="the resumed one was given none"):
        fit(None, data, CONFIG, out=tmp_path / "cut", resume=True, **given)


@pytest.mark.slow
def test_a_guard_as_it_is_given_keeps_a_law_from_its_solver():
    """Levenberg-Marquardt ends after some ten iterations. In Euler steps a free spring
    is found with the damping of Euler's inverse modified field."""
    laws = ("spring", "k"), ("viscous", "c")
    known = tuple(KnownConfig(term, free=(name,)) for term, name in laws)
    config = FitConfig(
        ModelConfig(learn="none", known=known, scheme="euler", substeps=1),
        TrainConfig(members=1),
    )
    data = simulate("harmonic", num=4, duration=20.0, dt=0.5, seed=0)
    damping = [
        -fit(None, data, config, judged=False, callbacks=given).predict([0.0, 1.0])[1]
        for given in ([], [StepGuard()])
    ]
    euler = -2 * modified_eigenvalue(1j, 0.5, "euler").real
    assert damping[0] == pytest.approx(euler, abs=0.01)
    assert 0.0 < damping[1] < 0.03


@pytest.mark.slow
def test_a_guard_looks_at_the_refit_and_leaves_its_step():
    looks = []

    class Listed(StepGuard):
        def close(self, state, reason):
            looks.append((self.halves, self.gap is not None))
            super().close(state, reason)

    config = FitConfig(
        ModelConfig(learn="none", known=(KnownConfig("spring", free=("k",)),)),
        TrainConfig(members=1),
    )
    data = simulate("harmonic", num=4, duration=20.0, dt=0.5, seed=0)
    found = fit(None, data, config, callbacks=[Listed()])
    assert looks[-1] == (False, True)
    assert all(halves for halves, _ in looks[:-1])
    assert found.report["training"]["phases"][-1]["reason"].startswith("converged")


@pytest.mark.slow
def test_a_guard_that_has_nothing_to_measure_says_so():
    config = FitConfig(
        ModelConfig(learn="none", known=(KnownConfig("spring", free=("k",)),)),
        TrainConfig(members=1, steps=2),
    )
    data = simulate("harmonic", num=1, duration=7.0, dt=0.5, seed=0)
    with pytest.warns(FitWarning, match="fewer than four samples are held out"):
        fit(None, data, config, judged=False, callbacks=[StepGuard()])


def test_a_score_of_longer_steps_is_not_the_one_to_beat():
    model = Model(Relaxing(jnp.ones(2)), (0, 1), 2)
    state = TrainState.start((model, None), None, jax.random.key(0))
    state = eqx.tree_at(lambda s: s.score, state, jnp.asarray(1e-9))
    found = with_substeps(state, 4)
    assert found.params[0].substeps == found.best[0].substeps == 4
    assert np.isinf(found.score)


@pytest.mark.slow
def test_a_guard_leaves_a_good_scheme_alone():
    config = dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, scheme="rk4"),
        train=dataclasses.replace(CONFIG.train, steps=20),
    )
    data = simulate("harmonic", num=4, duration=10.0, dt=0.2, seed=0)
    found = fit(None, data, config, judged=False, callbacks=[StepGuard(every=10)])
    assert found.ensemble.substeps == 1


@pytest.mark.slow
def test_longer_clips_ask_for_finer_steps():
    data = simulate("harmonic", num=4, duration=10.0, dt=0.5, seed=0)
    found = [
        fit(
            None,
            data,
            CONFIG,
            judged=False,
            callbacks=[StepGuard(every=10, tolerance=0.3, samples=samples)],
        ).ensemble.substeps
        for samples in (4, 21)
    ]
    assert found[0] < found[1]


class Relaxing(eqx.Module):
    """Two rates, far apart."""

    rates: jax.Array

    def __call__(self, t, y, u, context):
        return -self.rates * y


@pytest.mark.slow
def test_the_own_motion_of_a_stiff_model_is_not_lost():
    """Steps of 0.1 and a rate of 1000: RK4 leaves the signal, Kvaerno's does not."""
    with jax.enable_x64(True):
        model = Model(Relaxing(jnp.asarray([1.0, 1000.0])), (0, 1), 2, "kvaerno5")
        params, static = eqx.partition(model, eqx.is_inexact_array)
        members = jax.tree.map(lambda x: x[None], params)
        ts = 0.1 * np.arange(6)
        ys = np.exp(-ts[:, None] * np.array([1.0, 1.0]))
        items = Trajectories.from_arrays(ts, ys).full(np.float64)
        gap, rest = (
            solver_gap(members, static, start, items, jnp.ones(2))
            for start in (jnp.ones((1, 2)), jnp.zeros((1, 2)))
        )
        longer = [
            dataclasses.replace(part, scheme="rk4", stride=4)
            for part in (members, static)
        ]
        with pytest.raises(ConfigError, match="one step over 4 of them"):
            solver_gap(*longer, jnp.ones((1, 2)), items, jnp.ones(2))
    assert float(gap[0]) < 1e-3
    assert float(rest[0]) == 0.0  # nothing moves, and nothing is apart
