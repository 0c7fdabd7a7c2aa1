"""Learning the energy of bars from a chain whose law is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pendula import (
    CheckpointError,
    ConfigError,
    DataError,
    DivergedError,
)
from pendula._errors import DataWarning
from pendula.dynamics import (
    BarChain,
    BarsConfig,
    BarWorld,
    ElasticBars,
    bar_model,
    fit_bars,
    load,
)
from pendula.studies._slinky_cases import CASES, FRAME, world as bar_world
from pendula.systems import bar_record, bars_of


BARS, FRAMES = 6, 24
TRUE = (50.0, 120.0, 0.06)
WORLD = BarWorld.of()
SMALL = BarsConfig(
    width=4,
    depth=1,
    natural=0.0,
    start_steps=200,
    steps=4,
    shortest=2,
    longest=6,
    span=0.15,
    drawn=3,
)


def moved(chain, bars=BARS, frames=FRAMES, off=0.0):
    u = np.zeros((bars, 3)) + off
    u[:, 0] += 0.006 * np.arange(bars)
    y0 = jnp.asarray(np.concatenate([u.ravel(), 0 * u.ravel()]), jnp.float32)
    model = bar_model(chain, bars)
    dts = jnp.full(frames - 1, 0.01, jnp.float32)
    ys = np.asarray(model.steps(y0, jnp.zeros((), jnp.float32), dts).ys, float)
    return ys.reshape(frames, 2, bars, 3)


@pytest.fixture(scope="module")
def record():
    law = ElasticBars(jnp.log(jnp.asarray(TRUE, jnp.float32)), 0.0)
    ys = moved(BarChain(law, WORLD, True, False))
    return bar_record(0.01 * np.arange(FRAMES), ys[:, 0], ys[:, 1])


@pytest.fixture(scope="module")
def fitted(record, tmp_path_factory):
    return fit_bars(
        record, WORLD, SMALL, last=False, out=tmp_path_factory.mktemp("bars")
    )


def test_the_classical_law_is_found_again(fitted):
    assert np.allclose(fitted.about["law"], TRUE, rtol=2e-3)
    names = [stage["name"] for stage in fitted.about["stages"]]
    assert names == [
        "law on 16 frames",
        "network onto the law",
        "clips",
    ]


ALONE = dataclasses.replace(SMALL, start_steps=0, steps=0)
NONE = dataclasses.replace(ALONE, start="none")


@pytest.mark.slow
def test_a_long_run_of_another_law_is_not_taken_for_the_best():
    """Bars that swing alone have many laws whose motion is better than that of all
    near them; and of bars a thousand times as light another law is the right one."""
    off = np.random.default_rng(4).normal(size=(BARS, 3)) * [2e-3, 2e-3, 0.1]
    light = BarWorld.of(mass=1e-3 * float(WORLD.mass))
    for world, share in ((WORLD, 1.0), (light, 1e-3)):
        true = share * np.asarray(TRUE)
        law = ElasticBars(jnp.log(jnp.asarray(true, jnp.float32)), 0.0)
        ys = moved(BarChain(law, world, True, False), off=off)
        data = bar_record(0.01 * np.arange(FRAMES), ys[:, 0], ys[:, 1])
        found = fit_bars(data, world, ALONE, last=False).about["law"]
        assert np.allclose(found, true, rtol=2e-3)


@pytest.mark.slow
def test_the_law_of_a_slinky_is_proportional_to_its_stiffness():
    """Short clips of the stiffer one alone end at another law."""
    config, found = dataclasses.replace(ALONE, span=0.7), []
    for stiffer in (60.0 / 65.0, 70.0 / 65.0):
        case = dataclasses.replace(CASES[0], seconds=0.76, at=(), stiffer=stiffer)
        record = case.record(FRAME)
        law = fit_bars(
            record, bar_world(dataclasses.replace(case, stiffer=1.0)), config
        )
        found.append(np.asarray(law.about["law"]) / stiffer)
    assert np.allclose(*found, rtol=0.01)


def test_what_a_record_contradicts_is_said(record):
    """Rates of other units or none, and ends. Nothing is trained here."""
    ts, u, v = bars_of(record)
    for rates in (0.0 * v, 1e3 * v):
        with pytest.warns(DataWarning, match="by their rates the bars go"):
            fit_bars(bar_record(ts, u, rates), WORLD, NONE, last=False)
    with pytest.warns(DataWarning, match=r"last bar .* said to be held.* last=False"):
        fit_bars(record, WORLD, NONE)
    with pytest.warns(DataWarning, match=r"first bar .* said to be free"):
        fit_bars(record, WORLD, NONE, first=False, last=False)


def test_a_record_that_no_law_repeats_is_refused(record):
    """Its times are a thousand times too long."""
    ts, u, v = bars_of(record)
    data = bar_record(1e3 * ts, u, 1e-3 * v)
    config = dataclasses.replace(ALONE, span=1e3)
    with pytest.raises(DivergedError, match="Look at masses, units and times"):
        fit_bars(data, WORLD, config, last=False)


@pytest.mark.slow
def test_a_network_stands_for_any_number_of_bars_and_keeps_its_energy(fitted, record):
    chain = fitted.model().field.force
    ts, u, v = bars_of(record)
    start = np.concatenate([u[0].ravel(), v[0].ravel()])
    roll = fitted.simulate(start, ts)
    assert int(roll.status.max()) == 0
    path = moved(chain, bars=9)
    assert np.isfinite(path).all()
    assert path[-1, 0, -1, 1] < -0.01  # the free end falls
    forecast = fitted.forecast(record)
    assert np.isfinite(forecast.mean).all()


def test_a_saved_one_says_the_same(fitted, tmp_path):
    other = load(fitted.save(tmp_path / "m.safetensors"))
    y = np.asarray(np.random.default_rng(0).normal(0, 0.01, 6 * BARS))
    np.testing.assert_array_equal(other.predict(y), fitted.predict(y))


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bits(record, fitted, tmp_path):
    class Killed(Exception):
        pass

    def stop(row):
        if row["phase"] == "clips" and row["step"] >= 2:
            raise Killed

    with pytest.raises(Killed):
        fit_bars(record, WORLD, SMALL, last=False, out=tmp_path, tell=stop)
    again = fit_bars(record, WORLD, SMALL, last=False, out=tmp_path, resume=True)
    for a, b in zip(
        jax.tree.leaves(again.ensemble), jax.tree.leaves(fitted.ensemble), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(SMALL, steps=5)
    for world, config in ((WORLD, other), (BarWorld.of(mass=2e-3), SMALL)):
        with pytest.raises(CheckpointError, match="other settings or data"):
            fit_bars(record, world, config, last=False, out=tmp_path, resume=True)


def test_a_training_is_not_resumed_with_another_teacher(record, tmp_path):
    """Nothing is trained here: a run is told by what it was begun with."""
    none = dataclasses.replace(SMALL, start_steps=0, steps=0)
    teacher = ElasticBars(jnp.log(jnp.asarray(TRUE)), 0.0)
    other = ElasticBars(teacher.stiffness + 0.1, 0.0)
    given = {"last": False, "out": tmp_path}
    fit_bars(record, WORLD, none, teacher=teacher, **given)
    fit_bars(record, WORLD, none, teacher=teacher, resume=True, **given)
    for another in (other, None):
        with pytest.raises(CheckpointError, match=r"data: .*config\.teacher\."):
            fit_bars(record, WORLD, none, teacher=another, resume=True, **given)


@pytest.mark.slow
def test_a_folder_may_be_used_again(record, tmp_path):
    quick = dataclasses.replace(SMALL, start="none", steps=2)
    for steps in (2, 3):
        config = dataclasses.replace(quick, steps=steps)
        fitted = fit_bars(record, WORLD, config, last=False, out=tmp_path)
        assert fitted.about["stages"][0]["steps"] == steps


@pytest.mark.slow
def test_accelerations_and_the_published_recipe_run_too(record):
    published = BarsConfig.published(
        width=4, depth=1, steps=2, longest=4, span=0.15, drawn=3
    )
    assert published.rule == "middle"
    assert published.seed == 1029
    chain = fit_bars(record, WORLD, published, last=False).model().field.force
    assert chain.rule == "middle"
    config = dataclasses.replace(SMALL, start="accelerations", start_steps=20)
    stages = fit_bars(record, WORLD, config, last=False).about["stages"]
    assert stages[0]["name"] == "accelerations"
    assert np.isfinite(stages[0]["loss"])


def test_bad_settings_and_records_are_named(record):
    with pytest.raises(ConfigError, match='start "lw" is unknown'):
        BarsConfig(start="lw")
    with pytest.raises(ConfigError, match="expected six that are not negative"):
        BarsConfig(weights=(1.0, 2.0))
    with pytest.raises(ConfigError, match="expected six that are not negative"):
        BarsConfig(weights=(np.inf,) * 6)
    for name, value in {"batch": 0, "every": 0, "longest": 1, "substeps": 0}.items():
        with pytest.raises(ConfigError, match=f"{name} is {value}"):
            dataclasses.replace(SMALL, **{name: value})
    with pytest.raises(ConfigError, match=r"span is 0.001 s, of which the records"):
        fit_bars(record, WORLD, dataclasses.replace(SMALL, span=0.001))
    with pytest.raises(DataError, match="expected x0, y0, alpha0"):
        fit_bars(record.channels(["x0", "y0"]), WORLD, SMALL)
