"""Flow past bodies on a periodic box: exact where it can be, order, symmetry, files."""

import dataclasses
from unittest.mock import MagicMock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError, DivergedError
from pendula._errors import DataError
from pendula.data import read_snapshots
from pendula.systems import (
    BodyFlowConfig,
    EllipseBody,
    PenalisedFlow,
    SquareBody,
    StarBody,
    body_wake,
    outline,
    simulate_body_flow,
    smooth_mask,
)
from pendula.systems._penalised_flow import march


# a small box without a fringe: 32 by 24 nodes
BOX = BodyFlowConfig(
    cells=8,
    length=4.0,
    width=3.0,
    upstream=2.0,
    fringe=0.0,
    penalty=0.05,
    dt=0.02,
    spacing=0.2,
    window=(-1.0, 1.0, -1.0, 1.0),
    dtype="float64",
)
BODIES = [
    EllipseBody(),
    EllipseBody(0.5, 20.0),
    SquareBody(0.3, 10.0),
    SquareBody(1.0),
    StarBody(5, 0.2),
    StarBody(3, 0.15, 40.0),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield


def forward(flow, u, steps):
    """Ten steps at a time: one program for all tests of the small box."""
    forces = []
    for _ in range(steps // 10):
        u, force, _ = march(flow, u, 10)
        forces.append(force)
    return u, np.concatenate(forces)


@pytest.mark.parametrize("body", BODIES, ids=lambda b: b.label())
def test_the_mask_is_the_body(body):
    points = outline(body)
    assert np.ptp(points[:, 1]) == pytest.approx(1.0, rel=1e-12)
    x = (np.arange(96) + 0.5) / 32 - 1.5
    mask = smooth_mask(body, x, x, 1 / 32)
    ahead = np.roll(points, -1, axis=0)
    area = 0.5 * np.sum(points[:, 0] * ahead[:, 1] - ahead[:, 0] * points[:, 1])
    # at concave and convex stretches the smooth edge counts to the second order
    assert mask.sum() / 32**2 == pytest.approx(area, rel=4e-3)
    assert mask[48, 48] == pytest.approx(1.0, abs=1e-6)
    assert mask[0, 0] == 0.0
    assert len(np.unique(np.round(mask, 12))) > 20


def test_a_square_of_round_corners_is_a_circle():
    circle, square = outline(EllipseBody()), outline(SquareBody(1.0))
    assert_allclose(square, circle, rtol=0, atol=1e-12)
    assert_allclose(outline(StarBody(4, 0.0)), circle, rtol=0, atol=1e-12)


def test_vortices_without_a_body_only_decay(wide):
    config = dataclasses.replace(BOX, body=None)
    flow = PenalisedFlow(config)
    kx, ky = 2 * np.pi / 4.0, 2 * np.pi / 3.0
    x, y = config.x[:, None], config.y[None]
    psi = np.cos(kx * x) * np.cos(ky * y)
    modes = jnp.fft.rfft2(jnp.asarray(psi))
    u = jnp.stack([flow.slope_y * modes, -flow.slope_x * modes])
    first = np.asarray(flow.vorticity(u))
    assert_allclose(first, (kx**2 + ky**2) * psi, atol=1e-12)
    u, force = forward(flow, u, 20)
    fade = np.exp(-(kx**2 + ky**2) * 20 * config.step / config.re)
    assert_allclose(flow.vorticity(u), fade * first, rtol=0, atol=1e-12)
    assert_array_equal(force, 0.0)


def test_divergence_is_rounding_and_the_force_is_the_lost_momentum(wide):
    flow = PenalisedFlow(BOX)
    u = flow.start(0.3, (0.7, 0.5))
    assert float(jnp.abs(flow.to_nodes(u)[0]).max()) > 1.1
    fine = PenalisedFlow(dataclasses.replace(BOX, dt=0.00025, spacing=0.0025))
    then, force = forward(fine, u, 10)
    assert float(jnp.abs(flow.divergence(then)).max()) < 1e-12
    lost = -np.asarray(then - u)[:, 0, 0].real / BOX.cells**2 / 0.0025
    _, last = flow.rate(then)
    mean = (force.sum(0) - 0.5 * force[0] + 0.5 * np.asarray(last)) / 10
    # the trapezoidal rule over ten steps of 1/200 of the body's time
    assert_allclose(lost, 0.5 * mean, rtol=1e-4, atol=1e-6)


def test_the_order_in_time_is_three(wide):
    def end(dt):
        flow = PenalisedFlow(dataclasses.replace(BOX, dt=dt, spacing=10 * dt))
        u = flow.start(0.3, (0.7, 0.5))
        return np.asarray(flow.to_nodes(forward(flow, u, round(0.8 / dt))[0]))

    sizes = np.array([0.02, 0.01, 0.005, 0.0025])
    found = [end(dt) for dt in (*sizes, 0.000625)]
    errors = [np.abs(f - found[-1]).max() for f in found[:-1]]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize("body", [EllipseBody(), SquareBody(0.3), StarBody(5, 0.15)])
def test_a_symmetric_flow_stays_so(body, wide):
    flow = PenalisedFlow(dataclasses.replace(BOX, body=body))
    u, force = forward(flow, flow.start(), 40)
    w = np.asarray(flow.vorticity(u))
    mirrored = np.roll(w[:, ::-1], 1, axis=1)  # the first row is its own image
    assert np.abs(w).max() > 1.0
    assert_allclose(w, -mirrored, rtol=0, atol=1e-10)
    assert np.abs(force[:, 1]).max() < 1e-10
    assert (force[:, 0] > 0.5).all()


def test_gradients_go_through_the_body(wide):
    flow = PenalisedFlow(BOX)
    u = flow.start(0.3, (0.7, 0.5))

    @jax.jit
    def drag(scale):
        denser = eqx.tree_at(lambda f: f.drag_rate, flow, scale * flow.drag_rate)
        return jnp.mean(denser.run(u, 3)[1][:, 0])

    slope = jax.grad(drag)(1.0)
    by_difference = (drag(1.0 + 1e-5) - drag(1.0 - 1e-5)) / 2e-5
    assert float(slope) == pytest.approx(float(by_difference), rel=1e-6)


COARSE = BodyFlowConfig(cells=6, penalty=0.02, dt=0.05, start=30.0, num=76)


def test_a_circle_sheds_and_its_snapshots_are_kept(tmp_path, monkeypatch):
    data = body_wake(COARSE)
    # 6 cells to a width see a body that is a fifth too wide
    assert 0.13 < data.attrs["St"] < 0.18
    assert data.attrs["period change"] < 0.01
    assert data.attrs["C_L amplitude"] > 0.2
    assert data.values.shape == (76, 49, 25, 1)
    assert data.dt == pytest.approx(0.2)
    assert data.ts[0] == pytest.approx(30.0)
    assert (data.axes["x"][[0, -1]] == [-1.0, 7.0]).all()
    inside = np.hypot(*np.meshgrid(data.axes["x"], data.axes["y"], indexing="ij")) < 0.4
    assert not data.mask[inside].any()
    assert data.mask.sum() > 0.9 * data.mask.size
    kept = list((tmp_path / "cache" / "bodies").glob("*.npz"))
    assert [f.stem for f in kept] == [COARSE.key()]
    solved = MagicMock(side_effect=RuntimeError("computed"))
    monkeypatch.setattr("pendula.systems._body_flow.simulate_body_flow", solved)
    again = body_wake(COARSE)
    assert_array_equal(again.values, data.values)
    assert dict(again.attrs) == dict(data.attrs)
    assert read_snapshots(kept[0]).names == ("vorticity",)
    other = dataclasses.replace(COARSE, body=EllipseBody(1.5))
    assert other.key() != COARSE.key()


def test_equal_settings_have_one_key():
    same = BodyFlowConfig(re=100, penalty=np.float64(0.01), window=(-1, 7, -2, 2))
    assert same.key() == BodyFlowConfig().key()


def test_what_a_run_holds():
    run = simulate_body_flow(dataclasses.replace(COARSE, start=0.4, num=4))
    assert run.vorticity.shape == (4, 49, 25)
    assert run.vorticity.dtype == np.float32
    assert len(run.step_ts) == 5 * 4
    assert np.isnan(run.numbers(0.0, 0.5).strouhal)
    with pytest.raises(DataError, match="fewer than two steps"):
        run.numbers(5.0, 6.0)


def test_a_flow_that_blows_up_is_stopped():
    wild = dataclasses.replace(COARSE, start=0.0, push=40.0)
    with pytest.raises(DivergedError, match="Take half the dt"):
        simulate_body_flow(wild)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: BodyFlowConfig(re=1000.0), "re is 1000"),
        (lambda: BodyFlowConfig(re=-1.0), "re is -1"),
        (lambda: BodyFlowConfig(cells=2), "cells is 2"),
        (lambda: BodyFlowConfig(num=0), "num is 0"),
        (lambda: BodyFlowConfig(dt=0.0), "dt is 0"),
        (lambda: BodyFlowConfig(start=-1.0), "start is -1"),
        (lambda: BodyFlowConfig(dt=0.05), "Take dt = "),
        (lambda: BodyFlowConfig(penalty=0.001), "larger penalty"),
        (lambda: BodyFlowConfig(length=18.03), "even whole number"),
        (lambda: BodyFlowConfig(length=9.0), "longer box"),
        (lambda: BodyFlowConfig(window=(-1.0, 12.0, -2.0, 2.0)), "the fringe"),
        (lambda: BodyFlowConfig(window=(0.0, 0.01, -2.0, 2.0)), "narrower than a cell"),
        (lambda: BodyFlowConfig(dtype="float16"), "float64"),
        (lambda: BodyFlowConfig(push=float("nan")), "push is nan"),
        (lambda: EllipseBody(0.1), "ratio of the body is 0.1"),
        (lambda: SquareBody(0.0), "corner of the body"),
        (lambda: StarBody(1), "points of the body"),
        (lambda: StarBody(5, 0.6), "0 to 0.4"),
        (lambda: EllipseBody(1.0, 400.0), "angle of the body"),
    ],
)
def test_bad_settings_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.slow
def test_the_wake_of_a_circle_at_the_default_resolution():
    """Body-fitted in an unbounded stream: St 0.164, C_D 1.32. A tenth of the stream
    blocked raises both, a wall that is half a cell too far out lowers St and raises
    C_D."""
    run = simulate_body_flow(BodyFlowConfig(start=60.0, num=150))
    found = run.numbers()
    assert found.strouhal == pytest.approx(0.165, abs=0.004)
    assert found.drag == pytest.approx(1.65, abs=0.05)
    assert found.lift_amplitude == pytest.approx(0.51, abs=0.05)
    assert abs(found.lift) < 1e-3
    assert found.period_change < 1e-3


@pytest.mark.slow
def test_a_finer_grid_narrows_the_body():
    drags = []
    for cells in (6, 8, 12):
        config = BodyFlowConfig(cells=cells, start=50.0, num=100)
        drags.append(simulate_body_flow(config).numbers().drag)
    assert drags[0] > drags[1] > drags[2]


@pytest.mark.slow
def test_below_the_onset_nothing_sheds():
    run = simulate_body_flow(BodyFlowConfig(re=25.0, cells=12, start=80.0, num=50))
    assert run.numbers().lift_amplitude < 0.01


@pytest.mark.slow
def test_a_body_that_leans_lifts():
    lift = {}
    for angle in (30.0, -30.0):
        config = BodyFlowConfig(EllipseBody(1.5, angle), cells=8, start=50.0, num=100)
        lift[angle] = simulate_body_flow(config).numbers().lift
    # turned counterclockwise its nose points down: it is pushed down
    assert lift[30.0] < -0.05
    assert lift[-30.0] == pytest.approx(-lift[30.0], rel=0.05)
