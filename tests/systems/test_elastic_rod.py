"""An elastic rod at rest and in motion: closed forms, other codes, invariances."""

import contextlib
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from pendula import ConfigError, DataError, DivergedError
from pendula._errors import DataWarning
from pendula.systems import (
    Boundary,
    ElasticRod,
    Section,
    rest_rod,
    rod_energy,
    rod_forces,
    rod_path,
    simulate_rod,
)
from pendula.systems._rod_solve import Method, Problem, solve


NUMBER = 21  # nodes of every rod here: compiled programs are shared
LINE = np.linspace([0.0, 0, 0], [0.1, 0, 0], NUMBER)
SOFT = Section.circular(1e-3, 1e6, 1000.0)


@pytest.fixture(scope="module")
def rod():
    return ElasticRod.from_points(LINE, SOFT)


@pytest.fixture(scope="module")
def clamp(rod):
    return Boundary.of(rod, nodes=[0, 1], edges=[0])


def fall(rod, clamp, **options):
    settings = {"boundary": clamp, "tolerance": 1e-12, "save_every": 5} | options
    return simulate_rod(rod, 0.05, 1e-3, **settings)


def test_a_rod_through_points_weighs_what_its_section_says(rod):
    wire = SOFT.line_mass * 0.1
    assert_allclose(rod.mass[0].sum(), wire)
    assert_allclose(rod.mass[0, 1:-1], wire / 20)
    assert_allclose(rod.mass[3, :-1], SOFT.line_inertia * 0.005)
    assert_allclose(rod.rest, 0.0, atol=1e-15)
    assert_allclose(rod.voronoi.sum(), 0.1)
    assert rod.start.interleaved.shape == (4 * NUMBER - 1,)
    assert_array_equal(rod.start.nodes, LINE)


def test_the_strip_bends_in_its_soft_direction_first():
    strip = Section.strip(2.5e-3, 0.62e-3, 200e9, 7800.0)
    assert strip.bending_2 / strip.bending_1 == pytest.approx((2.5 / 0.62) ** 2)
    thin = Section.strip(1.0, 1e-4, 1.0, 1.0, 0.0)
    assert thin.twisting == pytest.approx(0.5 * 1e-12 / 3.0, rel=1e-3)


@pytest.mark.slow
def test_a_cantilever_bends_as_beams_do(rod):
    """Little weight: w L^4/(8 EI), the clamp in the middle of the first edge."""
    length = 0.1 / (NUMBER - 1.5)
    x = (np.arange(NUMBER) - 0.5) * length
    beam = ElasticRod.from_points(np.stack([x, 0 * x, 0 * x], 1), SOFT)
    held = Boundary.of(beam, nodes=[0, 1], edges=[0])
    pull = 8.0 * SOFT.bending_1 * 1e-3 / (SOFT.line_mass * 0.1**4)
    rest = rest_rod(
        beam, boundary=held, gravity=(0, 0, -pull), increments=2, tolerance=1e-12
    )
    assert_allclose(rest.nodes[-1, 2], -1e-3, rtol=6e-3)
    assert_allclose(rest.nodes[:, 1], 0.0, atol=1e-12)
    forces = rod_forces(beam, rest)[0]
    weight = beam.mass[0] * pull
    assert_allclose(forces[2, 2:], weight[2:], atol=1e-11)


@pytest.mark.slow
def test_a_rod_that_is_turned_at_an_end_twists_evenly(rod):
    turn = lambda t, z: z.at[3, 19].set(t)
    held = Boundary.of(rod, [0, 1, 19, 20], [0, 19], turn)
    rest = rest_rod(
        rod, boundary=held, gravity=(0, 0, 0), increments=2, tolerance=1e-14
    )
    assert_allclose(np.diff(rest.angles), 1.0 / 19.0, atol=1e-10)
    torque = -rod_forces(rod, rest)[0][3, 19]
    assert_allclose(torque, SOFT.twisting / (19 * 0.005), rtol=1e-9)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_a_column_beyond_its_buckling_load_is_no_calm_rest(rod, clamp, share):
    """Euler's load of one clamped end and one free: P = pi^2 EI / (4 L^2)."""
    force = np.zeros((4, NUMBER))
    force[0, -1] = -share * np.pi**2 * SOFT.bending_1 / (4.0 * 0.0975**2)
    load = {"boundary": clamp, "gravity": (0, 0, 0), "force": force, "increments": 2}
    told = contextlib.nullcontext()
    if share > 1.0:
        told = pytest.warns(DataWarning, match="as a pencil is on its tip")
    with told:
        rest = rest_rod(rod, **load)
    assert np.abs(rest.nodes[:, 2]).max() == 0.0


@pytest.mark.parametrize("drawn", [True, False])
def test_a_chain_finds_its_rest(rod, drawn):
    """Held at both ends or at one: the catenary, or straight down."""
    ends = Boundary.of(rod, [0, NUMBER - 1] if drawn else [0], [0])
    angle = np.linspace(0.0, np.pi, NUMBER)
    bow = np.stack([-np.cos(angle), 0.0 * angle, -np.sin(angle)], 1)
    links = Section(1e3, 0.0, 0.0, 0.0, 1e-3, 1e-9)
    chain = ElasticRod.from_points(0.05 * bow if drawn else LINE, links)
    rest = rest_rod(chain, boundary=ends, increments=1)
    if not drawn:
        assert_allclose(rest.nodes[-1], [0.0, 0.0, -0.1], atol=1e-6)
        return
    down = np.diff(rest.nodes[: NUMBER // 2 + 1], axis=0)[:, 2]
    over = np.diff(rest.nodes[: NUMBER // 2 + 1], axis=0)[:, 0]
    steep = down / over  # what hangs below an edge over the pull along x
    assert_allclose(np.diff(steep), np.diff(steep).mean(), rtol=1e-5)


def test_a_wire_that_hardly_stretches_bends_as_the_elastica(rod):
    """Mattiasson 1981: P L^2/(EI) = 10 moves the tip by 0.81061 L."""
    step = 1.0 / (NUMBER - 1.5)
    x = (np.arange(NUMBER) - 0.5) * step
    wire = Section(1e8, 1.0, 1.0, 0.8, 1.0, 1e-3)
    beam = ElasticRod.from_points(np.stack([x, 0 * x, 0 * x], 1), wire)
    held = Boundary.of(beam, nodes=[0, 1], edges=[0])
    force = np.zeros((4, NUMBER))
    force[2, -1] = -10.0
    rest = rest_rod(beam, boundary=held, gravity=(0, 0, 0), force=force, increments=1)
    assert_allclose(rest.nodes[-1, 2], -0.81061, rtol=4e-3)


def test_a_rod_that_nothing_holds_has_no_rest(rod):
    with pytest.raises(DivergedError, match="nothing holds the rod"):
        rest_rod(rod, increments=1)


def test_another_tolerance_is_no_other_program(rod, clamp):
    from pendula.systems._rod_rest import _resting

    given = {"boundary": clamp, "increments": 1}
    rest_rod(rod, **given)
    before = _resting._cached._cache_size()
    rest_rod(rod, **given, tolerance=3e-9)
    assert _resting._cached._cache_size() == before


def test_the_whole_stiffness_is_the_slope_of_the_forces(rod):
    moved = 1e-6 * np.random.default_rng(0).normal(size=(2, 4, NUMBER))
    moved[:, 3, -1] = 0.0  # the last theta is no unknown
    near = [eqx.tree_at(lambda s: s.z, rod.start, rod.start.z + d) for d in moved]
    whole = rod_forces(rod, rod.start, dense=True)[1]
    assert whole.shape == (4 * NUMBER - 1,) * 2
    assert_allclose(whole, whole.T, atol=1e-12)
    change = rod_forces(rod, near[1])[0] - rod_forces(rod, near[0])[0]
    wanted = -whole @ (moved[1] - moved[0]).T.ravel()[:-1]
    assert_allclose(change.T.ravel()[:-1], wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.slow
def test_twist_travels_at_its_speed(rod):
    """The first mode between two edges that are held: sqrt(GJ/rhoJ) over twice the
    way between them."""
    held = Boundary.of(rod, range(NUMBER), [0, 19])
    v = np.zeros((4, NUMBER))
    v[3, :20] = np.sin(np.pi * np.arange(20) / 19)
    begin = eqx.tree_at(lambda s: s.v, rod.start, v)
    options = {"integrator": "midpoint", "gravity": (0.0, 0.0, 0.0)}
    way, speed = 19 * 0.005, np.sqrt(SOFT.twisting / SOFT.line_inertia)
    dt = 2.0 * way / speed / 200
    run = simulate_rod(
        rod, 200 * dt, dt, state=begin, boundary=held, tolerance=1e-14, **options
    )
    turn = run.z[:, 3, 10]  # of a whole period
    assert_allclose(turn[100], 0.0, atol=5e-3 * turn.max())
    assert_allclose(turn[50], -turn[150], rtol=1e-2)
    assert turn[50] > 0.99 * turn.max()


@pytest.mark.slow
def test_free_flight_is_exact(rod):
    """Nothing held: the rod falls as a stone does."""
    run = fall(rod, None)
    assert run.good
    assert_allclose(run.nodes[-1, :, 2], -0.5 * 9.81 * 0.05**2, rtol=1e-6)
    assert_allclose(run.v[-1, 2], -9.81 * 0.05, rtol=1e-8)


@pytest.mark.slow
def test_energy_is_kept_by_the_midpoint_and_lost_by_euler(rod, clamp):
    gravity = (0.0, 0.0, -9.81)
    lost = {}
    for integrator in ("midpoint", "backward_euler"):
        run = fall(rod, clamp, integrator=integrator)
        told = rod_energy(rod, run, gravity)
        lost[integrator] = np.diff(told["total"]) / told["kinetic"].max()
    assert np.all(lost["backward_euler"] < 0.0)
    assert abs(lost["midpoint"].sum()) < 2e-3 < -lost["backward_euler"].sum()


@pytest.mark.slow
def test_energy_does_not_hang_on_what_is_saved(rod, clamp):
    """Swinging in space: frames are carried along the way, not between saves."""
    v = np.zeros((4, NUMBER))
    v[1] = 4.0 * np.linspace(0.0, 1.0, NUMBER) ** 2
    moving = eqx.tree_at(lambda s: s.v, rod.start, v)
    totals = [
        rod_energy(rod, fall(rod, clamp, state=moving, save_every=every), (0, 0, -9.81))
        for every in (5, 25)
    ]
    for key, fine in totals[0].items():
        assert_allclose(totals[1][key], fine[::5], rtol=1e-12, atol=1e-18)


@pytest.mark.slow
def test_a_prescribed_motion_goes_on_where_it_was(rod):
    """In one run, or in two of half the length: the second is told where the motion
    began, and is refused where it is not."""
    held = Boundary.of(
        rod, nodes=[0, 1], edges=[0], motion=lambda t, z: z.at[1, :2].add(2.0 * t**2)
    )
    own = held.since(rod.start)

    def run(boundary, every, **options):
        settings = {"integrator": "backward_euler", "tolerance": 1e-12} | options
        end = 2e-3 * every
        return simulate_rod(
            rod, end, 1e-3, boundary=boundary, save_every=every, **settings
        )

    whole, half = run(own, 10), run(own, 5)
    onwards = run(own, 5, state=half.state)
    assert_array_equal(onwards.z[-1], whole.z[-1])
    assert_allclose(whole.z[-1, 1, 0], 2.0 * 0.02**2)
    with pytest.raises(ConfigError, match=r"at 0.01 s, .* 0.0002 m .*boundary.since"):
        run(held, 5, state=half.state)


def test_a_motion_that_is_turned_with_its_world_is_the_same_motion(rod, clamp):
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec([0.5, -0.8, 0.3]).as_matrix()
    here = fall(rod, clamp)
    there = ElasticRod.from_points(LINE @ turn.T + 0.3, SOFT)
    other = fall(there, clamp, gravity=turn @ [0.0, 0.0, -9.81])
    assert_allclose((other.nodes - 0.3) @ turn, here.nodes, atol=1e-10)


@pytest.mark.slow
def test_an_end_that_is_pushed_in_and_twisted(data_dir):
    """Another code's motion of bending and twist, step for step."""
    with np.load(data_dir / "der-reference" / "contortion21.npz") as file:
        z = {key: file[key] for key in file.files}
    section = Section.circular(
        float(z["radius"]), float(z["E"]), float(z["rho"]), float(z["poisson"])
    )
    rod = ElasticRod.from_points(LINE, section)

    def ends(t, at):
        k = jnp.round(t / 0.01)
        at = at.at[0, :3].add(1e-3 * jnp.minimum(k, 15.0))
        return at.at[3, :2].add(0.02 * jnp.maximum(k - 15.0, 0.0))

    held = Boundary.of(rod, z["fixed_nodes"], [0, 1, 18, 19], ends)
    run = simulate_rod(
        rod,
        0.4,
        0.01,
        boundary=held,
        gravity=z["gravity"],
        integrator="backward_euler",
        tolerance=1e-12,
        solver="blocks",
    )
    off = np.abs(run.nodes[1:] - z["nodes"][:40]).max((1, 2))
    assert run.good
    assert run.iterations.max() <= 20
    assert off[:3].max() < 5e-5
    assert off[9:].max() < 2e-7  # the reference stops at a loose tolerance
    assert off[29:].max() < 1e-9
    assert_allclose(run.z[1:, 3, :-1], z["theta"][:40], atol=1e-6)


@pytest.mark.slow
def test_derivatives_go_through_the_solved_steps(rod, clamp):
    """In stiffness and mass, against central differences."""

    def tip(p):
        own = dataclasses.replace(rod, bending=p[0] * rod.bending, mass=p[1] * rod.mass)
        path = rod_path(own, 5, 2e-3, boundary=clamp, tolerance=1e-13)
        return path[-1, 2, -1]

    with jax.enable_x64(True):
        both = jax.jit(jax.value_and_grad(tip))
        at = jnp.asarray([1.0, 1.0])
        slope = both(at)[1]
        for k in range(2):
            way = jnp.zeros(2).at[k].set(1e-5)
            wanted = (both(at + way)[0] - both(at - way)[0]) / 2e-5
            assert_allclose(slope[k], wanted, rtol=1e-5)


@pytest.mark.slow
def test_a_step_that_fails_is_told(rod, clamp):
    """An end that jumps back over the rod turns an edge around."""
    jump = lambda t, z: z.at[0, 20].add(jnp.where(t > 0.02, -0.3, 0.0))
    held = Boundary.of(rod, [0, 1, 20], [0], jump)
    run = fall(rod, held, integrator="bdf2")
    assert not run.good
    assert np.isfinite(run.z).all()
    with pytest.raises(DivergedError, match=r"failed between 0\.02\d* and 0\.02\d* s"):
        fall(rod, held, integrator="bdf2", strict=True)


class Stuck(Problem):
    """One that leaves a move next to no room, as cycles do that nearly touch."""

    def most(self, z, move):
        return jnp.asarray(2e-9, z.dtype)


@pytest.mark.parametrize(("kind", "good"), [(Problem, True), (Stuck, False)])
def test_a_move_that_is_cut_down_to_nothing_has_found_no_minimum(rod, kind, good):
    with jax.enable_x64(True):
        start = jax.tree.map(jnp.asarray, rod.start)
        none, mass = jnp.zeros_like(start.z), jnp.asarray(rod.mass)
        inertia = 1e6 * jnp.where(mass > 0.0, mass, 1e-12)
        force = jnp.zeros_like(none).at[2].set(-9.81 * mass[2])
        given = (inertia, start.z, none, none, force, start.z, 1e-12)
        problem = kind(rod.elastic, start.frames, *given)
        fixed = np.zeros((4, NUMBER), bool)
        fixed[3, -1] = True
        out = solve(problem, start.z, fixed, Method())
    assert bool(out.good) is good
    assert (float(out.residual) <= 1e-12) is good


def test_what_cannot_be_a_rod_is_refused():
    with pytest.raises(DataError, match="at least 3 points"):
        ElasticRod.from_points(LINE[:2], SOFT)
    again = LINE.copy()
    again[4] = again[3]
    with pytest.raises(DataError, match=r"points\[3\] and points\[4\] are the same"):
        ElasticRod.from_points(again, SOFT)
    again[4, 0] = np.nan
    with pytest.raises(DataError, match=r"points\[4\] is not finite"):
        ElasticRod.from_points(again, SOFT)
    back = LINE.copy()
    back[5, 0] = back[3, 0]
    with pytest.raises(DataError, match="turns straight back"):
        ElasticRod.from_points(back[:6], SOFT)
    with pytest.raises(DataError, match="as many nodes at rest"):
        ElasticRod.from_points(LINE, SOFT, rest=LINE[:-1])
    with pytest.raises(DataError, match=r"directors\[0\] lies along its edge"):
        ElasticRod.from_points(LINE, SOFT, directors=np.diff(LINE, axis=0))
    few = Section(np.ones(4), 1.0, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"axial of the section has shape \(4,\)"):
        ElasticRod.from_points(LINE, few)
    with pytest.raises(ConfigError, match="Poisson's ratio is -1; it must be above"):
        Section.circular(1e-3, 1e6, 1000.0, -1.0)
    with pytest.raises(ConfigError, match=r"Poisson's ratio is 0\.9"):
        Section.circular(1e-3, 1e6, 1000.0, np.float32(0.9))
    with pytest.raises(ConfigError, match=r"radius is -0\.001"):
        Section.circular(-1e-3, 1e6, 1000.0)
    with pytest.raises(ConfigError, match=r"width is -2"):
        Section.strip(-2.0, -1.0, 1e6, 1000.0)
    with pytest.raises(ConfigError, match="axial of the section is -1"):
        Section(-1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"line_mass\[1\] of the section is 0"):
        Section(1.0, 1.0, 1.0, 1.0, np.array([1.0, 0.0]), 1.0)


def test_a_strip_that_stands_on_its_edge_is_as_stiff():
    flat, up = (Section.strip(*b, 1e6, 1000.0) for b in ((3.0, 1.0), (1.0, 3.0)))
    turned = up.axial, up.bending_2, up.bending_1, *list(vars(up).values())[3:]
    assert_allclose(list(vars(flat).values()), turned)


def test_lengths_at_the_nodes_are_float64_outside_of_a_scope(rod):
    assert rod.voronoi.dtype == np.float64
    assert rod.voronoi.sum() == pytest.approx(rod.length.sum(), rel=1e-15)


def test_a_motion_ends_within_its_time(rod, clamp):
    """10.8 steps are 10, and so are 10 of which rounding leaves a little less."""
    for t_end in (0.0108, np.nextafter(0.01, 0.0)):
        run = simulate_rod(rod, t_end, 1e-3, boundary=clamp, tolerance=1e-12)
        assert run.ts[-1] == pytest.approx(0.01)


def test_settings_that_do_not_fit_are_refused(rod):
    with pytest.raises(DataError, match=r"angles has shape \(3,\)"):
        rod.placed(LINE, angles=np.zeros(3))
    with pytest.raises(DataError, match=r"directors has shape \(3, 3\)"):
        rod.placed(LINE, directors=np.eye(3))
    with pytest.raises(ConfigError, match="there is no node 21"):
        Boundary.of(rod, nodes=[21])
    with pytest.raises(ConfigError, match="found bool values"):
        Boundary.of(rod, nodes=np.arange(21) < 2)
    with pytest.raises(ConfigError, match="found float64 values"):
        Boundary.of(rod, edges=[0.5])
    with pytest.raises(ConfigError, match='integrator "bdf3" is unknown'):
        simulate_rod(rod, 0.1, 0.01, integrator="bdf3")
    with pytest.raises(ConfigError, match="dt is 0 s"):
        simulate_rod(rod, 0.1, 0.0)
    with pytest.raises(ConfigError, match="t_end inf s"):
        simulate_rod(rod, np.inf, 0.01)
    with pytest.raises(ConfigError, match="save_every is 0"):
        simulate_rod(rod, 0.1, 0.01, save_every=0)
    with pytest.raises(ConfigError, match="save_every is 11, and the motion has 10"):
        simulate_rod(rod, 0.1, 0.01, save_every=11)
    with pytest.raises(ConfigError, match="drag is -1"):
        simulate_rod(rod, 0.1, 0.01, drag=-1.0)
    with pytest.raises(ConfigError, match="tolerance is inf"):
        simulate_rod(rod, 0.1, 0.01, tolerance=np.inf)
    with pytest.raises(ConfigError, match=r"gravity has shape \(2,\)"):
        simulate_rod(rod, 0.1, 0.01, gravity=(0.0, -9.8))
    with pytest.raises(ConfigError, match="increments is 0"):
        rest_rod(rod, increments=0)
    with pytest.raises(ConfigError, match=r"force has shape \(3,\)"):
        rest_rod(rod, force=np.zeros(3))
    shorter = ElasticRod.from_points(LINE[:-1], SOFT)
    with pytest.raises(ConfigError, match="the state is one of 20 nodes"):
        simulate_rod(rod, 0.1, 0.01, state=shorter.start)
    wrong = Boundary(np.zeros((4, 5), bool))
    with pytest.raises(ConfigError, match="the boundary is one of 5 nodes"):
        simulate_rod(rod, 0.1, 0.01, boundary=wrong)


def test_a_motion_or_a_rod_of_another_shape_is_named(rod, clamp):
    move = lambda motion: simulate_rod(
        rod, 1e-3, 1e-3, boundary=Boundary.of(rod, nodes=[0, 1], motion=motion)
    )
    with pytest.raises(
        ConfigError, match=r"gives the shape \(3, 21\); expected all unk"
    ):
        move(lambda t, z0: z0[:3])
    with pytest.raises(ConfigError, match="boundary gives NoneType"):
        move(lambda t, z0: None)
    run = fall(rod, clamp)
    other = ElasticRod.from_points(LINE[:3], SOFT)
    for told in (
        lambda: rod_energy(other, run, (0, 0, -9.81)),
        lambda: rod_forces(other, run.state),
    ):
        with pytest.raises(ConfigError, match="one of 21 nodes, the rod has 3"):
            told()
    with pytest.raises(ConfigError, match=r"gravity has shape \(\)"):
        rod_energy(rod, run, 9.81)
    with pytest.raises(ConfigError, match="the rod has 21"):
        simulate_rod(rod, 1e-3, 1e-3, state=other.start)
