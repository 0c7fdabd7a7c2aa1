"""Constants of a Slinky from tracked bars."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DataError
from pendula.data import Trajectories, read_csv
from pendula.systems import (
    Boundary,
    ElasticRod,
    Section,
    Slinky,
    bar_names,
    calibrate,
    rod_path,
    slinky_case,
    to_bars,
)
from pendula.systems._calibrate import tracked
from pendula.systems._rod_fit import linearised
from pendula.systems._slinky_constants import SlinkyBars


DT = 1e-3
CASE = slinky_case("case2").smaller(cycles=2, seconds=0.1)
TRUE = {"youngs": 65e9, "density": 6318.3, "pitch": 0.7e-3, "drag": 0.012}
FREE = ("youngs", "density", "pitch")  # drag is known
TS = np.linspace(0.0, 0.1, 6)


def told(u, names=None, **more):
    """Tracks of bars `"time bar 3"`."""
    names = bar_names(u.shape[1]) if names is None else names
    return Trajectories.from_arrays(TS, u.reshape(len(u), -1), names=names, **more)


@pytest.fixture
def line(monkeypatch):
    """Bars that are a straight line in the logarithms: all is known of its fit."""
    rng = np.random.default_rng(3)
    slope = rng.normal(size=(3, 6, 2, 3)) * np.array([0.01, 0.01, 0.3])
    base = rng.normal(size=(6, 2, 3))
    made = {}

    def linear(model, q):
        made["model"] = model
        q = np.asarray(q)
        return base + np.einsum("k,ktbc->tbc", q, slope[: len(q)]), slope[: len(q)]

    monkeypatch.setattr("pendula.systems._calibrate.linearised", linear)
    return base, slope, made


def test_a_line_is_fitted_as_least_squares_does(line):
    """Values, noise and intervals of linear regression, whole turns and gaps apart."""
    base, slope, made = line
    rng = np.random.default_rng(0)
    scale = np.array([1.0, 1.0, 0.033])
    q = np.array([0.2, -0.15, 0.1])
    u = base + np.einsum("k,ktbc->tbc", q, slope)
    u = u + 2e-3 * rng.normal(size=u.shape) / scale
    u[::2, 1] = np.nan
    given = u + np.array([0.0, 0.0, 2.0 * np.pi])
    free = ("youngs", "drag", "pitch")
    found = calibrate(CASE, told(given), free, values={"drag": 0.02}, dt=DT)
    there = np.isfinite(u)
    x = (slope * scale)[:, there].T
    y = ((u - base) * scale)[there]
    best, rss = np.linalg.lstsq(x, y)[:2]
    variance = rss[0] / (len(y) - 3)
    cov = variance * np.linalg.inv(x.T @ x)
    begin = np.array([65e9, 0.02, 0.7e-3])
    assert_allclose(list(found.values.values()), begin * np.exp(best), rtol=1e-8)
    assert_allclose(found.covariance, cov, rtol=1e-9)
    assert_allclose(found.noise, np.sqrt(variance), rtol=1e-9)
    assert_allclose(found.rms, np.sqrt(rss[0] / len(y)), rtol=1e-9)
    assert (found.samples, found.converged) == (there.sum(), True)
    assert found.slinky.youngs == found.values["youngs"]
    assert found.slinky.density == TRUE["density"]
    assert found.drag == found.values["drag"]
    assert len(y) == 27
    half = 2.0639 * np.sqrt(np.diag(cov))  # Student, 24 degrees
    for k, (low, high) in enumerate(found.intervals.values()):
        assert_allclose(np.log(high / low), 2.0 * half[k], rtol=1e-4)
    assert "youngs" in str(found)
    assert "; converged after" in str(found)
    assert made["model"].free == free


def test_what_bars_do_not_feel_is_not_told(line):
    """A column of zeros, or two that cancel."""
    base, slope, _ = line
    slope[1] = -2.0 * slope[0]
    with pytest.raises(DataError, match="not tell youngs, density apart"):
        calibrate(CASE, told(base), ("youngs", "density", "pitch"), dt=DT)
    slope[1] = 0.0
    with pytest.raises(DataError, match="say nothing of drag: the bars stay where"):
        calibrate(CASE, told(base), ("youngs", "drag", "pitch"), dt=DT)


def test_intervals_count_the_length_of_the_steps(line, monkeypatch):
    """Steps that move the bars as 1 % of Young's modulus does, four times as far where
    they are twice as long."""
    base, slope, _ = line
    rng = np.random.default_rng(1)

    def linear(model, q):
        moved = np.append(np.asarray(q), 0.0)[:2]
        moved = moved + np.array([0.01 * float(model.dt / DT) ** 2, 0.0])
        return base + np.einsum("k,ktbc->tbc", moved, slope[:2]), slope[:1]

    monkeypatch.setattr("pendula.systems._calibrate.linearised", linear)
    u = base + 1e-6 * rng.normal(size=base.shape) / np.array([1.0, 1.0, 0.033])
    found = calibrate(CASE, told(u), ("youngs",), dt=DT)
    assert_allclose(np.log(found.values["youngs"] / 65e9), -0.01, atol=1e-3)
    assert_allclose(found.steps["youngs"], 0.03, rtol=1e-9)
    low, high = found.intervals["youngs"]
    assert 0.06 < np.log(high / low) < 0.062
    assert "youngs: twice as long steps move it by 3 %" in str(found)


def test_a_swing_more_or_less_is_no_answer(monkeypatch):
    """Five swings from a start a quarter too slow: all frames at once end elsewhere."""
    ts, rate = np.linspace(0.0, 0.1, 41), 2.0 * np.pi * 50.0

    def swing(model, q):
        phase = (rate * np.exp(float(q[0])) * ts)[:, None, None]
        one = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        return np.sin(phase) * one, (phase * np.cos(phase) * one)[None]

    monkeypatch.setattr("pendula.systems._calibrate.linearised", swing)
    u = swing(None, np.array([0.25]))[0]
    tracks = Trajectories.from_arrays(ts, u.reshape(41, -1), names=bar_names(2))
    found = calibrate(CASE, tracks, ("youngs",), dt=DT)
    assert_allclose(found.values["youngs"], 65e9 * np.exp(0.25), rtol=1e-6)


def test_residuals_that_repeat_are_told(line):
    """As those of a wrong set-up do."""
    base, _, _ = line
    found = calibrate(CASE, told(base + 0.1 * np.ones(3)), ("youngs",), dt=DT)
    assert found.correlation > 0.5
    assert "residuals repeat themselves" in str(found)


@pytest.mark.slow
def test_bars_and_slopes_of_the_rod():
    """Bars are those of the simulated rod; slopes those of differences. Three times as
    stiff, as heavy and as damped moves alike: without drag stiffness and density are
    not told apart."""
    model = SlinkyBars.of(CASE, CASE.slinky, TRUE, FREE, TS, DT, "bdf2")

    def at(values):
        with jax.enable_x64(True):
            known = model.values | {"drag": jnp.asarray(values["drag"], jnp.float64)}
            own = dataclasses.replace(model, values=known)
            q = np.log([values[k] / TRUE[k] for k in FREE])
            return [np.array(x) for x in linearised(own, jnp.asarray(q))]

    bars, slope = at(TRUE)
    run = CASE.run(0.02)
    assert_allclose(run.ts, TS, atol=1e-12)
    true = to_bars(run.nodes)[0]
    assert np.ptp(true[:, -1, 1]) > 5e-4
    assert_allclose(bars, true, atol=1e-7)
    for k, name in enumerate(FREE):
        step = 1e-4
        high, low = (
            at(TRUE | {name: TRUE[name] * np.exp(s)})[0] for s in (step, -step)
        )
        wanted = (high - low) / (2.0 * step)
        assert_allclose(slope[k], wanted, atol=1e-6 * np.abs(wanted).max())
    scaled = {k: v * (1.0 if k == "pitch" else 3.0) for k, v in TRUE.items()}
    assert_allclose(at(scaled)[0], bars, atol=1e-9)
    slope = at(TRUE | {"drag": 0.0})[1]
    assert np.abs(slope[0] + slope[1]).max() < 1e-6 * np.abs(slope).max()
    with pytest.raises(DataError, match="not tell youngs, density apart"):
        calibrate(CASE, told(bars), FREE, values={"drag": 0.0}, dt=DT)


@pytest.mark.slow
def test_constants_come_back():
    """Drawn out between two clamps, half of a bar missing and the tilt by a whole turn
    off: exactly without noise, from 20 % off; with noise its size comes out, and the
    truth is near."""
    case = slinky_case("case1").smaller(cycles=6, seconds=0.4)
    slinky = dataclasses.replace(case.slinky, youngs=55e9, pitch=0.8e-3)
    ts = np.arange(13) / 30.0
    true = {"youngs": 55e9, "pitch": 0.8e-3, "drag": 0.05, "density": 6318.3}
    free = ("youngs", "drag")  # the pitch is known: clamps hide it
    model = SlinkyBars.of(case, slinky, true, free, ts, DT, "bdf2")
    with jax.enable_x64(True):
        u = np.array(linearised(model, jnp.zeros(2))[0])
    names, rng = bar_names(6), np.random.default_rng(0)
    of = lambda u: Trajectories.from_arrays(ts, u.reshape(len(u), -1), names=names)
    begin = {"youngs": 65e9, "drag": 0.04, "pitch": 0.8e-3}
    clean = u.copy()
    clean[::2, 2] = np.nan
    clean[..., 2] -= 2.0 * np.pi
    found = calibrate(case, of(clean), free, values=begin, dt=DT)
    assert found.converged
    for name, value in found.values.items():
        assert_allclose(value, true[name], rtol=1e-4)
    assert found.rms < 1e-7
    assert found.samples == clean.size - 21
    assert (found.slinky.pitch, found.drag) == (0.8e-3, found.values["drag"])
    noise = 1e-6 * rng.normal(size=u.shape) / np.array([1.0, 1.0, 0.033])
    found = calibrate(case, of(u + noise), free, values=begin, dt=DT)
    assert_allclose(found.noise, 1e-6, rtol=0.2)
    assert abs(found.correlation) < 0.3
    for name, (low, high) in found.intervals.items():
        half = 0.5 * np.log(high / low)
        assert abs(np.log(found.values[name] / true[name])) < 2.0 * half
    assert "youngs" in str(found)
    assert "; converged after" in str(found)


def test_tracks_come_from_a_table(tmp_path):
    """Channels by name, in any order; empty cells and rates are left out."""
    file = tmp_path / "tracks.csv"
    file.write_text("t,y0 [m],x0 [m],x1,vx1,alpha1 [rad]\n0,1,2,,9,3\n0.1,4,5,6,9,\n")
    ts, seen = tracked(CASE, read_csv(file))
    assert_allclose(ts, [0.0, 0.1])
    n = np.nan
    assert_allclose(seen[:, 0], [[2, 1, n], [5, 4, n]])
    assert_allclose(seen[:, 1], [[n, n, 3], [6, n, n]])


@pytest.mark.slow
def test_a_hanging_case_begins_where_it_was_drawn_to():
    case = dataclasses.replace(CASE, setup="vertical", span=0.02, last=False)
    model = SlinkyBars.of(case, case.slinky, TRUE, FREE, TS, DT, "bdf2")
    with jax.enable_x64(True):
        state = model.start(model.values)[1]
    assert_allclose(state.z, case.start()[1].z, atol=1e-8)


@pytest.mark.slow
def test_a_flat_wire_begins_as_its_rod_does():
    strip = Section.strip(2.5e-3, 0.62e-3, 200e9, 7800.0)
    slinky = Slinky(2, section=strip)
    model = SlinkyBars.of(CASE, slinky, TRUE, ("drag",), TS, DT, "bdf2")
    with jax.enable_x64(True):
        rod = model.start(model.values)[0]
    assert_allclose(rod.rest, slinky.rod(down=True).rest, atol=1e-12)


def test_what_cannot_be_calibrated_is_refused():
    u = np.zeros((6, 2, 3))
    good = told(u)
    with pytest.raises(ConfigError, match="not found through contact of cycles"):
        calibrate(dataclasses.replace(CASE, touching=True), good)
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        ({"free": ("young",)}, '"young" is no constant.* Did you mean "youngs"'),
        ({"free": ()}, "name at least one of"),
        ({"free": ("drag", "drag")}, "each once"),
        ({"values": {"mass": 1.0}}, '"mass" is no constant'),
        ({"values": {"youngs": -1.0}}, "youngs starts at -1; it must be greater"),
        ({"values": {"drag": 0.0}}, "greater than 0 to be found"),
        ({"dt": 0.0}, "dt is 0 s"),
        ({"slinky": Slinky(3)}, "3 cycles, the case 2"),
        ({"integrator": "rk4"}, 'integrator "rk4" is unknown'),
        (
            {"slinky": Slinky(2, section=Section.circular(1e-3, 1e9, 1e3))},
            "youngs cannot be set",
        ),
    )
    for given, words in refused:
        with pytest.raises(ConfigError, match=words):
            calibrate(CASE, good, **given)
    three = told(np.zeros((6, 3, 3)))
    late = Trajectories.from_arrays(TS + 0.05, u.reshape(6, -1), names=bar_names(2))
    for tracks, words in (
        (three, 'channel "x2" is none of a Slinky of 2 cycles'),
        (told(u[:, :1]), "none of x1, y1, alpha1 is there"),
        (told(u, units=("mm", "m", "rad") * 2), 'channel "x0" is in mm; expected m'),
        (told(u, time_unit="ms"), "times are in ms; expected s"),
        (told(np.full_like(u, np.nan)), "no sample of the tracks is finite"),
        (late, "from 0.05 to 0.15 s, the case from 0 to 0.1 s"),
    ):
        with pytest.raises(DataError, match=words):
            calibrate(CASE, tracks)


@pytest.mark.slow
def test_tangents_are_those_of_going_back():
    """In stiffness, mass, drag and a moved end: forwards as back."""
    line = np.linspace([0.0, 0, 0], [0.1, 0, 0], 9)
    rod = ElasticRod.from_points(line, Section.circular(1e-3, 1e6, 1000.0))
    held = Boundary.of(rod, [0, 1], [0]).fixed

    def path(p, forward):
        own = dataclasses.replace(
            rod,
            bending=p[0] * jnp.asarray(rod.bending),
            mass=p[1] * jnp.asarray(rod.mass),
        )
        up = Boundary(held, lambda t, z: z.at[2, :2].add(p[2] * t * t))
        given = {"boundary": up, "drag": 0.01 * p[3], "integrator": "bdf2"}
        return rod_path(own, 5, 2e-3, tolerance=1e-13, forward=forward, **given)

    with jax.enable_x64(True):
        p = jnp.ones(4)
        jac = jax.jit(jax.jacfwd(lambda p: path(p, True)))(p)
        w = jax.random.normal(jax.random.key(0), jac.shape[:-1])
        pull = jax.jit(jax.grad(lambda p: jnp.sum(w * path(p, False))))(p)
        assert_allclose(pull, jnp.einsum("skn,sknp->p", w, jac), rtol=1e-8)
