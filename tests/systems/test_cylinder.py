"""The flow around a cylinder: exact where it can be, forces by two ways, files."""

import json
import math
from unittest.mock import MagicMock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pendula import ConfigError, DivergedError
from pendula._errors import DataError, DataWarning
from pendula.cli import main
from pendula.data import Snapshots, read_snapshots
from pendula.systems import (
    CYLINDER_PRESETS,
    CylinderConfig,
    CylinderFlow,
    CylinderMesh,
    WakeSampler,
    bubble_length,
    cylinder_wake,
    growth_rate,
    simulate_cylinder,
    wake_numbers,
    wake_snapshots,
)
from pendula.systems._cylinder_grid import barycentric, chebyshev, quadrature
from pendula.systems._cylinder_modes import mode_solver
from pendula.systems._cylinder_numbers import angular_tail, warn_coarse
from pendula.systems._kept_wake import settings_key, wake_attrs, warn_unsettled


A = 0.5
SMALL = CylinderMesh(24, 32, 0.02, outer=20.0, sponge_start=12.0)
first_step = eqx.filter_jit(CylinderFlow.first_step)
run_steps = eqx.filter_jit(CylinderFlow.run)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PENDULA_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield


def test_chebyshev_is_exact_on_polynomials():
    x, d = chebyshev(12, 3.0)
    for k in range(13):
        wanted = k * x ** max(k - 1, 0)
        assert_allclose(d @ x**k, wanted, rtol=0, atol=1e-11 * max(wanted.max(), 1.0))
        assert quadrature(12, 3.0) @ x**k == pytest.approx(3.0 ** (k + 1) / (k + 1))
    points = np.array([0.0, 0.1, x[3], 2.9, 3.0])
    assert_allclose(barycentric(x, points) @ x**12, points**12, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    "mesh",
    [
        SMALL,
        CylinderMesh(80, 16, 0.00625),
        pytest.param(CYLINDER_PRESETS["reference"], marks=pytest.mark.slow),
    ],
)
def test_the_mode_solver_gives_manufactured_fields(mesh, wide):
    nu, rate = 0.01, 300.0
    xi, length, r2 = mesh.xi, mesh.length, mesh.radii**2
    n = np.arange(mesh.num_modes)[:, None]
    # psi and its slope vanish at the wall, omega at the edge; derivatives in xi of
    # omega r^2 = -(psi'' - n^2 psi) by the matrix, exact for polynomials
    _, d = chebyshev(mesh.num_radial, length)
    psi = xi**2 * (xi - length) ** 4 / length**6 * np.cos(n)
    second = (
        2 * (xi - length) ** 4
        + 16 * xi * (xi - length) ** 3
        + 12 * xi**2 * (xi - length) ** 2
    )
    second = second / length**6 * np.cos(n)
    omega = -(second - n**2 * psi) / r2
    growth = np.exp(-2 * xi) / A**2
    # derivatives of s = r^2 omega are polynomials; omega = s e^{-2 xi} / a^2
    s = omega * r2
    curved = growth * (s @ (d @ d).T - 4 * s @ d.T + 4 * s)
    f = (rate + mesh.sponge) * omega - nu / r2 * (curved - n**2 * omega)
    solver = mode_solver(mesh, nu, rate)
    rhs = jnp.stack([jnp.asarray(f), jnp.zeros_like(f)])
    stream = jnp.zeros(2)
    # mode 0: the wall's conditions are those of no rotation, met but for omega_0'
    spin = (d @ omega[0])[0] * nu / A**2
    found = np.asarray(solver(rhs, stream, jnp.asarray(0.0), jnp.asarray(spin)))
    size = np.abs(omega).max()
    n0 = mesh.num_radial + 1
    assert_allclose(found[0, :, :n0] / size, omega / size, atol=1e-10)
    assert_allclose(found[0, 1:, n0:], psi[1:], atol=1e-10 * np.abs(psi).max())
    assert np.abs(found[1]).max() == 0.0
    # no slip, and no flow through the wall
    assert np.abs(found[0, 1:, n0:] @ d[0]).max() < 1e-10
    assert np.abs(found[0, 1:, n0]).max() < 1e-12


@pytest.mark.parametrize("rotation", [0.0, 1.5])
def test_forces_are_those_of_the_vorticity_s_impulse(rotation, wide):
    """F = -d/dt of the integral of (y, -x) omega, as long as nothing reached the
    sponge: for a rotation that comes up too."""
    mesh = CylinderMesh(40, 48, 0.005, outer=10.0, sponge_start=8.0)
    flow = CylinderFlow(
        mesh, 1 / 20, rotation=rotation, trigger=0.0 if rotation else 0.3
    )
    state, _ = first_step(flow, flow.start())

    def one(state, _):
        after, force = flow.step(state)
        return after, (after.omega[:, 1], force)

    first, forces = jax.jit(lambda s: jax.lax.scan(one, s, None, 200))(state)[1]
    weight = quadrature(mesh.num_radial, mesh.length) * mesh.radii**3
    real, imaginary = np.asarray(first).transpose(1, 0, 2) @ weight
    impulse = 2 * np.pi * np.stack([-imaginary, -real])  # of y omega, -x omega
    found = -2 * (impulse[:, 2:] - impulse[:, :-2]) / (2 * mesh.dt)
    # differences in time: second order; the peak of C_D is 9
    assert_allclose(found[:, 40:].T, np.asarray(forces)[41:-1], atol=0.02)
    if rotation:
        assert forces[-1, 1] < -0.3  # pushed down by a counterclockwise turn


def test_at_first_the_flow_is_irrotational(wide):
    """Just after the start: no lift without a trigger, and outside of a thin layer the
    slip of potential flow."""
    mesh = CylinderMesh(64, 32, 1e-4, outer=20.0, sponge_start=12.0)
    flow = CylinderFlow(mesh, 1e-3, trigger=0.0)
    state, _ = first_step(flow, flow.start())
    state, forces = run_steps(flow, state, 299)
    up = 1 - math.exp(-((0.03 / 0.3) ** 2))
    psi = np.asarray(state.psi)
    assert np.abs(np.asarray(forces)[:, 1]).max() < 1e-12
    slope = psi @ chebyshev(mesh.num_radial, mesh.length)[1].T
    node = int(np.argmin(np.abs(mesh.radii - 0.56)))
    # psi = U (r - a^2/r) sin theta: mode 1 is -i/2, and -psi_xi/r = -U (1 + a^2/r^2)
    r = mesh.radii[node]
    assert slope[1, 1, node] / r == pytest.approx(
        -0.5 * up * (1 + A**2 / r**2), rel=0.02
    )
    assert np.abs(psi[:, 1:] @ chebyshev(64, mesh.length)[1][0]).max() < 1e-10
    # the added mass of the body and of the fluid it displaces, and friction
    assert forces[-1, 0] > 2 * np.pi * A**2 * 2 * 2 * 0.03 / 0.09


def test_gradient_with_respect_to_the_viscosity(wide):
    mesh = CylinderMesh(16, 24, 0.02, outer=15.0, sponge_start=9.0)

    @jax.jit
    def drag(nu):
        flow = CylinderFlow(mesh, nu)
        state, first = flow.first_step(flow.start())
        _, forces = flow.run(state, 49)
        return (first[0] + jnp.sum(forces[:, 0])) / 50

    nu = jnp.asarray(0.02)
    slope, h = jax.grad(drag)(nu), 1e-5
    by_hand = (drag(nu + h) - drag(nu - h)) / (2 * h)
    assert float(slope) == pytest.approx(float(by_hand), rel=1e-5)


def test_steps_are_of_second_order(wide):
    mesh = CylinderMesh(20, 24, 0.02, outer=15.0, sponge_start=9.0)

    def end(steps):
        flow = CylinderFlow(mesh, 1 / 40, dt=1.0 / steps)
        state, _ = first_step(flow, flow.start())
        state, forces = run_steps(flow, state, 49)
        for _ in range(steps // 50 - 1):  # of two lengths: two programs
            state, forces = run_steps(flow, state, 50)
        return np.append(np.asarray(state.omega).ravel(), np.asarray(forces[-1]))

    finest = end(1600)
    errors = [np.abs(end(n) - finest).max() for n in (50, 100, 200)]
    slopes = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(slopes - 2.0) < 0.25), slopes


def test_a_run_and_its_samples():
    told = []
    config = CylinderConfig(
        re=30,
        mesh=SMALL,
        start=2.0,
        num=4,
        channels=("v", "vorticity", "u"),
        coarsen=8,
    )
    run = simulate_cylinder(config, tell=lambda *row: told.append(row))
    assert_allclose(run.ts, [2.0, 2.2, 2.4, 2.6])
    assert len(run.step_ts) == 130
    assert [len(row) for row in told] == [3] * len(told)
    assert told[-1] == (2.6, run.drag[-1], run.lift[-1])
    data = cylinder_wake(config)
    assert data.names == ("v", "vorticity", "u")
    assert data.units == ("U", "U/D", "U")
    assert data.attrs["Re"] == 30.0
    assert data.values.dtype == np.float32
    assert np.all(data.values[:, ~data.mask] == 0.0)
    # the sum of the series at some nodes
    for i, j in ((12, 12), (20, 5), (40, 20)):
        x, y = data.axes["x"][i], data.axes["y"][j]
        xi, angle = math.log(math.hypot(x, y) / A), math.atan2(y, x)
        row = barycentric(SMALL.xi, np.array([xi]))[0]
        n = np.arange(SMALL.num_modes)
        turn = np.where(n == 0, 1.0, 2.0) * np.exp(1j * n * angle)
        omega = (run.omega[-1, 0] + 1j * run.omega[-1, 1]) @ row
        psi = (run.psi[-1, 0] + 1j * run.psi[-1, 1]) @ np.stack(
            [row, row @ chebyshev(24, SMALL.length)[1]], axis=1
        )
        r = math.hypot(x, y)
        out = (turn * 1j * n * psi[:, 0]).sum().real / r
        around = -(turn * psi[:, 1]).sum().real / r
        wanted = [
            out * math.sin(angle) + around * math.cos(angle),
            (turn * omega).sum().real,
            out * math.cos(angle) - around * math.sin(angle),
        ]
        assert_allclose(data.values[-1, i, j], wanted, atol=1e-4)


def test_the_grid_is_that_of_the_papers():
    config = CylinderConfig()
    assert_allclose(config.x, -1 + 0.02 * np.arange(1, 450), atol=1e-14)
    assert_allclose(config.y, -2 + 0.02 * np.arange(1, 200), atol=1e-14)
    assert_allclose(config.times, 90 + 0.2 * np.arange(151), atol=1e-12)
    mask = WakeSampler(config.resolution, config.x, config.y).mask
    assert mask.sum() == pytest.approx(mask.size - np.pi * 25**2, rel=1e-3)


def test_snapshots_are_computed_once(monkeypatch, tmp_path):
    config = CylinderConfig(re=20, mesh=SMALL, start=0.0, num=3, coarsen=20)
    first = cylinder_wake(config)
    assert len(list((tmp_path / "cache" / "cylinder").iterdir())) == 1
    (file,) = (tmp_path / "cache" / "cylinder").iterdir()
    file.write_bytes(file.read_bytes()[:-99])  # damaged: it is made again
    assert np.array_equal(cylinder_wake(config).values, first.values)
    solved = MagicMock(side_effect=RuntimeError("computed"))
    monkeypatch.setattr("pendula.systems._cylinder_wake._simulated", solved)
    again = cylinder_wake(config)
    assert np.array_equal(again.values, first.values)
    assert again.attrs == first.attrs
    with pytest.raises(RuntimeError, match="computed"):
        cylinder_wake(config, again=True)
    keys = {
        CylinderConfig(**given).key()
        for given in ({}, {"re": 99.0}, {"num": 5}, {"preset": "check"}, {"start": 1.0})
    }
    assert len(keys) == 5
    assert CylinderConfig(trigger=0.3).key() == CylinderConfig().key()
    assert CylinderConfig(re=100, spacing=np.float64(0.2)).key() in keys
    assert CylinderConfig(start=90.0, num=151).key() == CylinderConfig().key()
    assert settings_key({"num": np.int64(151)}) == settings_key({"num": 151})


def test_a_growing_swing_and_the_bubble():
    t = np.linspace(0, 30, 3001)
    assert growth_rate(t, np.exp(0.1 * t) * np.sin(t)) == pytest.approx(0.1, rel=2e-2)
    assert math.isnan(growth_rate(t, t))
    config = CylinderConfig(re=20, mesh=SMALL, start=6.0, num=1)
    length = bubble_length(SMALL, simulate_cylinder(config).psi[-1])
    assert 0.3 < length < 1.5


def test_a_step_that_is_too_long_is_named():
    mesh = CylinderMesh(24, 64, 0.2, outer=20.0, sponge_start=12.0)
    config = CylinderConfig(re=200, mesh=mesh, start=0.0, num=200, spacing=0.2)
    with (
        pytest.warns(DataWarning, match="three-dimensional"),
        pytest.raises(
            DivergedError,
            match=r"dt = 0\.2 is too long.*r dtheta / \|u\|.*Take dt = 0\.\d+;",
        ),
    ):
        simulate_cylinder(config)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"re": 1500}, "re is 1500; it must be above 0 and at most 1000"),
        ({"re": -1}, "re is -1"),
        ({"rotation": math.nan}, "rotation is nan"),
        ({"trigger": math.inf}, "trigger is inf"),
        ({"preset": "quick"}, r'preset "quick" is.*Allowed: fast, check, reference'),
        ({"phase": "period"}, 'Did you mean "periodic"'),
        ({"channels": ("vorticty",)}, 'Did you mean "vorticity"'),
        ({"channels": ()}, "name at least one"),
        ({"spacing": 0.0}, "spacing is 0"),
        ({"num": 0}, "num is 0"),
        ({"coarsen": 0}, "coarsen is 0"),
        ({"start": -1.0}, "start is -1"),
        ({"mesh": CylinderMesh(4, 32, 0.01)}, "num_radial is 4"),
        ({"mesh": CylinderMesh(24, 33, 0.01)}, "an even number of them"),
        ({"mesh": CylinderMesh(24, 32, -0.01)}, "dt is -0.01"),
        ({"mesh": CylinderMesh(24, 32, 0.01, 20.0, 30.0)}, "sponge starts at 30"),
        ({"mesh": CylinderMesh(24, 32, 0.01, sponge_rate=-1.0)}, "sponge_rate is -1"),
        ({"mesh": CylinderMesh(24, 32, 0.01, 8.0, 5.0)}, r"outer edge is 8 D.*8\.63 D"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(ConfigError, match=words):
        CylinderConfig(**given)


def test_a_run_of_the_start_alone():
    config = CylinderConfig(re=20, mesh=SMALL, start=0.0, num=1, coarsen=20)
    run = simulate_cylinder(config)
    assert (run.omega.shape[0], run.drag.shape) == (1, (0,))
    assert "C_D" not in wake_snapshots(run).attrs


def test_a_creeping_flow_is_no_blow_up():
    """At Re = 1 the drag is above 10 (Tritton 1959), and far above it at first."""
    config = CylinderConfig(re=1, mesh=SMALL, start=0.0, num=11, trigger=0.0)
    drag = simulate_cylinder(config).drag
    assert 10.0 < drag[-1] < drag[len(drag) // 2 + 1] < 20.0


@pytest.mark.parametrize(
    ("rate", "words"), [(-0.03, "die out by 38 %"), (0.03, "grow by 27 %")]
)
def test_shedding_that_has_not_settled_is_said(rate, words):
    """As at Re = 40, where the wake comes to rest and its swings still have a
    frequency."""
    t = np.linspace(0.0, 30.0, 3001)
    swing = lambda rate: np.exp(rate * t) * np.sin(0.8 * t)
    found = wake_numbers(t, 1.5 + 0.0 * t, swing(rate))
    between = 2.0 * np.pi / 0.8 * (found.num_periods - 1)
    assert found.lift_change == pytest.approx(np.expm1(rate * between), abs=0.01)
    still = wake_numbers(t, 1.5 + 0.0 * t, swing(0.0))
    assert abs(still.lift_change) < 1e-3
    nothing = np.zeros((2, 2, 2, 1), np.float32)
    nodes = {"x": np.arange(2.0), "y": np.arange(2.0)}

    def snapshots(numbers):
        about = wake_attrs({}, numbers)
        return Snapshots.of(np.arange(2.0), nothing, axes=nodes, attrs=about)

    warn_unsettled(snapshots(still))
    with pytest.warns(DataWarning, match=words):
        warn_unsettled(snapshots(found))


def test_a_mesh_that_does_not_resolve_the_flow_is_said():
    omega = np.zeros((2, 2, 16, 3))
    assert angular_tail(omega) == 0.0  # before the start
    omega[1, 0, 1, 0], omega[0, 1, 14, 2] = 2.0, 0.6
    assert angular_tail(omega) == pytest.approx(0.3)
    warn_coarse(0.09)
    with pytest.warns(DataWarning, match="too coarse for this flow.* hold 30 %"):
        warn_coarse(angular_tail(omega))


def test_numbers_need_a_stretch():
    run = simulate_cylinder(CylinderConfig(re=20, mesh=SMALL, start=0.0, num=2))
    with pytest.raises(DataError, match="fewer than two steps lie from 5 to 6"):
        run.numbers(5.0, 6.0)


def test_from_the_shell(tmp_path, capsys):
    out = tmp_path / "wake.nc"
    command = ["data", "cylinder", "--re", "20", "--radial", "24", "--angular", "32"]
    command += ["--dt", "0.02", "--num", "3", "--start", "1", "--coarsen", "10"]
    assert main([*command, "--channels", "vorticity,u", "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "C_D" in said.err
    assert str(out) in said.out
    data = read_snapshots(out)
    assert data.names == ("vorticity", "u")
    assert data.values.shape == (3, 45, 20, 2)
    assert data.attrs["num_angular"] == 32
    assert main([*command, "--out", str(out)]) == 2
    assert "add --force" in capsys.readouterr().err
    assert main([*command, "--json", "--out", str(out), "--force"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"] == 3
    command[3] = "2000"
    assert main([*command, "--out", str(tmp_path / "b.nc")]) == 2
    assert "at most 1000" in capsys.readouterr().err
