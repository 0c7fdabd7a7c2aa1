"""Part `statics` of study `slinky`: forces, frames and rest of the elastic rod."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..systems import Boundary, ElasticRod, Section, Slinky, rest_rod, rod_forces
from ._claim import Claim
from ._row import Row
from ._slinky import reference, slinky
from ._study import Run


_M = "dismech, MATLAB reference results"
_SAME = "Closed forms in float64."
_REST = "Newton's method on the banded stiffness."
_ROWS = (
    Row(
        "slinky.rod.1",
        "Stiffness of a stretched and of a bent beam of 51 nodes, and the forces of "
        "the bent one: largest difference from the reference, over its largest entry.",
        target=1e-12,
        source=_M,
        tried=_SAME,
    ),
    Row(
        "slinky.rod.1_stretched",
        "The forces of the stretched one.",
        target=1e-12,
        source=_M,
        tried="The strain is 5e-5, a difference of two lengths: its rounding is 1e-11 "
        "of it, and other orders of the same operations (NumPy's norm, hypot, plain "
        "squares) came to 2.5e-11 to 7e-10. Over EA the difference is 4e-16.",
    ),
    Row(
        "slinky.rod.2",
        "Frames: carried in space, carried in time, reference twist: largest "
        "difference from the reference.",
        target=1e-12,
        source=_M,
        tried=_SAME,
    ),
    Row(
        "slinky.rod.3",
        "Cantilever of 51 nodes under a tenth to all of its weight: height of the tip "
        "at rest, largest difference from the converged one.",
        "m",
        target=1e-9,
        source=_M,
        tried=_REST,
    ),
    Row(
        "slinky.rod.3_matlab",
        "The same, all nodes, from rows that were stopped at a loose tolerance.",
        "m",
        target=4e-4,
        source=_M,
        tried=_REST,
    ),
    Row(
        "slinky.rod.5",
        "Heavy cantilever of 1000 nodes at rest: distance of its tip from the "
        "inextensible solution; its first edge lies behind the clamp, as in the "
        "reference.",
        "m",
        target=1.2e-4,
        tried=_REST,
    ),
    Row(
        "slinky.rod.5_small",
        "Tip of a cantilever that bends by 1 % of its length, under its weight "
        "(w L^4/(8 EI)) and under a force at the tip (P L^3/(3 EI)): the larger "
        "relative error.",
        target=5e-3,
        tried=_REST,
    ),
    Row(
        "slinky.rod.5_order",
        "Order of the heavy cantilever's tip in the length of the edges, from 41, 81 "
        "and 161 nodes, the clamp in the middle of the first edge (at its end the "
        "order is 1).",
        better="higher",
        target=1.9,
        tried=_REST,
    ),
    Row(
        "slinky.rod.6",
        "Helical spring of 76 cycles, axial force over displacement: relative "
        "difference from the closed form of the polygon, k1 (2 pi R/L) / "
        "cos^2(pi/16).",
        target=3e-3,
        tried=_REST,
    ),
    Row(
        "slinky.rod.6_nodes",
        "How much nearer the spring comes to the continuum's k1 with 32 nodes a cycle "
        "in place of 16 (20 cycles).",
        better="within",
        target=(3.6, 4.4),
        tried=_REST,
    ),
    Row(
        "slinky.rod.7",
        "Straight rod, one end turned by 1 rad: largest relative error of the twist of "
        "an element and of the torque at the end.",
        target=1e-8,
        tried=_REST,
    ),
    Row(
        "slinky.rod.7_wave",
        "Free twist between two edges that are held: speed of a wave, from the half "
        "period of the slowest mode, against sqrt(GJ/rhoJ), relative; 39 elements, "
        "midpoint.",
        target=1e-3,
        tried="Elements of finite length alone slow this mode by (pi/78)^2/6.",
    ),
    Row(
        "slinky.rod.7_turns",
        "Ends turned by 4 pi against each other, through buckling, and back: largest "
        "twist of an element that is left (a jump of the reference twist would leave "
        "2 pi).",
        "rad",
        target=1e-6,
        tried=_REST,
    ),
    Row(
        "slinky.rod.7_helix",
        "Rod held at its ends on the exact helix of a terminal moment: largest "
        "distance of a node from it, over the length of an edge, 101 nodes.",
        target=1e-2,
        source="Jawed, Novelia, O'Reilly 2018",
        tried=_REST,
    ),
)
_FULL: dict[str, Any] = {
    "nodes": 1000,
    "order": [41, 81, 161],
    "cycles": 76,
    "doubled": 20,
    "wave": 400,
    "turns": 40,
    "helix": 101,
}
_QUICK = _FULL | {"nodes": 41, "order": [11, 21, 41], "cycles": 3, "doubled": 2}
_QUICK |= {"wave": 20, "turns": 4, "helix": 21}


@slinky.part("statics", _ROWS, full=_FULL, quick=_QUICK)
def statics(run: Run) -> Iterator[Claim]:
    """Line by line."""
    s = run.settings
    beams, stretched = beam_errors()
    yield run.row("slinky.rod.1").measured(beams)
    yield run.row("slinky.rod.1_stretched").measured(stretched)
    yield run.row("slinky.rod.2").measured(frame_errors())
    tip, nodes = ramp_errors()
    yield run.row("slinky.rod.3").measured(tip)
    yield run.row("slinky.rod.3_matlab").measured(nodes)
    exact = np.array([0.0287124, -0.0893379])
    off = lambda n: float(np.linalg.norm(heavy_tip(n) - exact))
    yield run.row("slinky.rod.5").measured(off(s["nodes"]))
    yield run.row("slinky.rod.5_small").measured(max(small_errors(81)))
    tips = [heavy_tip(n, 0.5) for n in s["order"]]
    gaps = [float(np.linalg.norm(a - b)) for a, b in itertools.pairwise(tips)]
    yield run.row("slinky.rod.5_order").measured(float(np.log2(gaps[0] / gaps[1])))
    spring = spring_constant(s["cycles"], 16) / polygon_constant(16) - 1.0
    yield run.row("slinky.rod.6").measured(abs(spring))
    gap = lambda p: spring_constant(s["doubled"], p) / polygon_constant(None) - 1.0
    yield run.row("slinky.rod.6_nodes").measured(gap(16) / gap(32))
    yield run.row("slinky.rod.7").measured(twist_error())
    yield run.row("slinky.rod.7_wave").measured(wave_error(s["wave"]))
    yield run.row("slinky.rod.7_turns").measured(turned_twist(s["turns"]))
    yield run.row("slinky.rod.7_helix").measured(helix_error(s["helix"]))


def beam(z: dict[str, np.ndarray], points: np.ndarray) -> ElasticRod:
    """A straight beam of the reference files."""
    inertia = float(z["rho"] * z["polar"])
    section = Section(
        float(z["EA"]),
        float(z["EI1"]),
        float(z["EI2"]),
        float(z["GJ"]),
        float(z["rho"] * z["area"]),
        inertia,
    )
    return ElasticRod.from_points(points, section)


def beam_errors() -> tuple[float, float]:
    """Of both deformed beams: stiffness and bending forces; stretching forces."""
    straight = reference("beam51_setup")["nodes"]
    apart = lambda a, b: float(np.abs(a - b).max() / np.abs(b).max())
    worst = {1.0: [0.0], 0.0: [0.0]}
    for name, stretches in (("beam51_stretch", 1.0), ("beam51_bend_a", 0.0)):
        z = reference(name)
        rod = beam(z, straight)
        state = rod.placed(z["nodes"], z["theta"], z.get("m1"))
        only = np.array([1.0, 1.0, 0.0]) * (1.0 - stretches)  # no twisting
        rod = dataclasses.replace(
            rod,
            axial=stretches * np.asarray(rod.axial),
            bending=only[:, None] * np.asarray(rod.bending),
        )
        force, stiff = rod_forces(rod, state, dense=True)
        dense = np.zeros((4 * rod.number - 1,) * 2)
        dense[z["jac_row"], z["jac_col"]] = z["jac_val"]
        worst[stretches].append(apart(force.T.ravel()[:-1], z["force"]))
        worst[0.0].append(apart(-np.asarray(stiff), dense))
    return max(worst[0.0]), max(worst[1.0])


def frame_errors() -> float:
    """Frames of the set-up, carried in time, and their twist."""
    import jax.numpy as jnp

    from .._precision import precision
    from ..systems import reference_twist, transport

    z = reference("beam51_setup")
    rod = beam(z, z["nodes"])
    worst = float(np.abs(np.asarray(rod.start.frames.director).T - z["a1"]).max())
    mass = np.asarray(rod.mass)[:3].T
    wanted = np.append(z["mass_diag"], np.nan).reshape(-1, 4)[:, :3]
    worst = max(worst, float(np.abs(mass - wanted).max()))
    z = reference("beam51_time_parallel")
    old, new = (unit_edges(z[k]) for k in ("nodes_old", "nodes_new"))
    with precision(np.float64):
        across = z["a1_old"].T - np.sum(z["a1_old"].T * old, axis=0) * old
        across = across / np.linalg.norm(across, axis=0)
        got = np.asarray(transport(*map(jnp.asarray, (across, old, new))))
        wanted = z["a1_new"].T - np.sum(z["a1_new"].T * new, axis=0) * new
        wanted = wanted / np.linalg.norm(wanted, axis=0)
        worst = max(worst, float(np.abs(got - wanted).max()))
        z = reference("beam51_reference_twist")
        parts = (z["a1"].T, z["tangent"].T, z["twist_old"])
        twist = np.asarray(reference_twist(*map(jnp.asarray, parts)))
    return max(worst, float(np.abs(twist - z["twist_new"]).max()))


def unit_edges(nodes: np.ndarray) -> np.ndarray:
    """Tangents `"3 edge"`."""
    edges = np.diff(nodes, axis=0).T
    return edges / np.linalg.norm(edges, axis=0)


def ramp_errors() -> tuple[float, float]:
    """Cantilever under growing weight: its tip, and all nodes of the loose rows."""
    z = reference("beam51_static_ramp")
    rod = beam(z, reference("beam51_setup")["nodes"])
    held = Boundary.of(rod, nodes=z["fixed_nodes"], edges=range(rod.number - 1))
    state, tip, nodes = rod.start, [], []
    for k, share in enumerate(z["gravity_scale"]):
        state = rest_rod(
            rod,
            state=state,
            boundary=held,
            gravity=share * z["gravity"],
            increments=1,
            tolerance=1e-11,
        )
        tip.append(abs(state.nodes[-1, 2] - z["tip_z_converged"][k]))
        nodes.append(np.abs(state.nodes - z["nodes"][k]).max())
    return float(max(tip)), float(max(nodes))


def cantilever(number: int, behind: float) -> tuple[ElasticRod, Boundary]:
    """The heavy cantilever, 0.1 m free; the share `behind` of its first edge, which is
    held, lies behind the clamp: with all of it the tip is of order 1 in the length of
    the edges, with half of it of order 2."""
    length = 0.1 / (number - 1 - behind)
    x = (np.arange(number) - behind) * length
    points = np.stack([x, 0.0 * x, 0.0 * x], axis=1)
    rod = ElasticRod.from_points(points, Section.circular(1e-3, 1e6, 1000.0, 0.5))
    return rod, Boundary.of(rod, nodes=[0, 1], edges=[0])


def heavy_tip(number: int, behind: float = 1.0) -> np.ndarray:
    """(x, y) of its tip at rest."""
    rod, held = cantilever(number, behind)
    state = rest_rod(
        rod, boundary=held, gravity=(0.0, -9.81, 0.0), increments=20, tolerance=1e-11
    )
    return state.nodes[-1, :2]


def small_errors(number: int) -> tuple[float, float]:
    """Relative errors of the tip under little weight and under a force at the tip."""
    rod, held = cantilever(number, 0.5)
    bending = float(np.asarray(rod.bending)[0, 0])
    line = float(np.asarray(rod.mass)[0].sum() / np.asarray(rod.length).sum())
    pull = 8.0 * bending * 0.001 / (line * 0.1**4)
    rest = lambda **load: rest_rod(
        rod, boundary=held, increments=4, tolerance=1e-13, **load
    ).nodes[-1, 2]
    weight = -rest(gravity=(0.0, 0.0, -pull)) / 0.001 - 1.0
    force = np.zeros((4, number))
    force[2, -1] = -3.0 * bending * 0.001 / 0.1**3
    tip = -rest(gravity=(0.0, 0.0, 0.0), force=force) / 0.001 - 1.0
    return abs(weight), abs(tip)


SPRING = Slinky()  # its measures
R = SPRING.radius


def polygon_constant(around: int | None) -> float:
    """k1 of a cycle [N/m]: of the continuum, or with so many nodes."""
    shear = SPRING.youngs / (2.0 * (1.0 + SPRING.poisson))
    k1 = shear * (2.0 * SPRING.wire) ** 4 / (64.0 * R**3)
    if around is None:
        return k1
    wire = 2.0 * around * R * np.sin(np.pi / around)
    return k1 * (2.0 * np.pi * R / wire) / np.cos(np.pi / around) ** 2


def spring_constant(cycles: int, around: int) -> float:
    """Force over displacement and cycle of a helix between clamped ends."""
    k = np.arange(around * cycles + 1)
    angle = 2.0 * np.pi * k / around
    at = lambda p: np.stack([p * k / around, R * np.cos(angle), R * np.sin(angle)], 1)
    more, pitch = 1e-3, SPRING.pitch
    rod = ElasticRod.from_points(at(pitch + more), SPRING.own_section, rest=at(pitch))
    n = rod.number
    held = Boundary.of(rod, nodes=[0, 1, n - 2, n - 1], edges=[0, n - 2])
    state = rest_rod(
        rod, boundary=held, gravity=(0.0, 0.0, 0.0), increments=1, tolerance=1e-9
    )
    force = rod_forces(rod, state)[0]
    return -float(force[0, -2:].sum()) / more


def twist_error() -> float:
    """Twist and end torque of a straight rod."""
    points = np.linspace([0.0, 0, 0], [0.2, 0, 0], 21)
    section = Section.circular(1e-3, 1e6, 1000.0)
    rod = ElasticRod.from_points(points, section)
    turn = lambda t, z: z.at[3, 19].set(t)
    held = Boundary.of(rod, nodes=[0, 1, 19, 20], edges=[0, 19], motion=turn)
    state = rest_rod(
        rod, boundary=held, gravity=(0.0, 0.0, 0.0), increments=1, tolerance=1e-15
    )
    twist = np.diff(state.angles) + np.asarray(state.frames.twist)
    torque = -float(rod_forces(rod, state)[0][3, 19])
    exact = float(section.twisting) / (19 * 0.01)
    return max(float(np.abs(19.0 * twist - 1.0).max()), abs(torque / exact - 1.0))


def wave_error(steps: int) -> float:
    """Speed of twist: the slowest mode passes through 0 after half a period, in which
    a wave runs once along the way between the two edges."""
    import equinox as eqx

    from ..systems import simulate_rod

    points = np.linspace([0.0, 0, 0], [0.1, 0, 0], 41)
    section = Section.circular(1e-3, 1e6, 1000.0)
    rod = ElasticRod.from_points(points, section)
    held = Boundary.of(rod, range(41), [0, 39])
    v = np.zeros((4, 41))
    v[3, :40] = np.sin(np.pi * np.arange(40) / 39)
    speed = float(np.sqrt(section.twisting / section.line_inertia))
    way = 39 * 0.0025
    dt = 1.2 * way / speed / steps
    run = simulate_rod(
        rod,
        steps * dt,
        dt,
        state=eqx.tree_at(lambda s: s.v, rod.start, v),
        boundary=held,
        integrator="midpoint",
        gravity=(0.0, 0.0, 0.0),
        tolerance=1e-14,
    )
    turn, t = np.asarray(run.z[:, 3, 20]), np.asarray(run.ts)
    k = int(np.flatnonzero(turn[1:] < 0.0)[0]) + 1  # the first behind the passage
    half = t[k] - turn[k] * (t[k] - t[k - 1]) / (turn[k] - turn[k - 1])
    return abs(way / half / speed - 1.0)


def turned_twist(steps: int) -> float:
    """Twist of an element after two turns of an end and back."""
    import jax.numpy as jnp

    from ..systems import simulate_rod

    points = np.linspace([0.0, 0, 0], [0.2, 0, 0], 21)
    points[:, 1] += 1e-6 * np.sin(np.linspace(0.0, np.pi, 21))
    rod = ElasticRod.from_points(points, Section.circular(2e-3, 1e6, 1000.0))
    whole = float(steps)

    def turn(t: Any, z: Any) -> Any:
        way = jnp.minimum(t, 2.0 * whole - t)
        return z.at[3, 19].set(4.0 * jnp.pi * jnp.maximum(way, 0.0) / whole)

    held = Boundary.of(rod, nodes=[0, 1, 19, 20], edges=[0, 19], motion=turn)
    run = simulate_rod(
        rod,
        3.0 * whole,
        1.0,
        boundary=held,
        gravity=(0.0, 0.0, 0.0),
        drag=0.1,
        integrator="backward_euler",
        tolerance=1e-10,
    )
    calm = rest_rod(
        rod,
        state=run.state,
        boundary=dataclasses.replace(held, motion=None),
        gravity=(0.0, 0.0, 0.0),
        increments=1,
        tolerance=1e-12,
    )
    left = float(np.abs(np.diff(calm.angles) + calm.frames.twist).max())
    return left if run.good else np.inf


def helix_error(number: int) -> float:
    """Distance from the helix that a straight rod takes under a terminal moment."""
    z = reference("book_helix_terminal_moment")
    length = float(z["length"])
    nu = np.array([float(z[f"nu{k}"]) for k in (1, 2, 3)])
    arc = np.linspace(0.0, length, number)
    bend, twist = float(np.hypot(nu[0], nu[1])), float(nu[2])
    shear = 1.0 / (1.0 + float(z["poisson"]))  # GJ/EI of a circular section
    # constant moment EI bend (binormal) + GJ twist (tangent): a helix about it
    axial = shear * twist
    whole = float(np.hypot(bend, axial))
    radius, rise = bend / whole**2, axial / whole
    points = np.stack(
        [radius * np.cos(whole * arc), radius * np.sin(whole * arc), rise * arc], 1
    )
    straight = np.stack([arc, 0.0 * arc, 0.0 * arc], axis=1)
    section = Section.circular(
        float(z["radius"]), float(z["E"]), 1000.0, float(z["poisson"])
    )
    rod = ElasticRod.from_points(points, section, rest=straight)
    step, n = length / (number - 1), number
    theta = np.cumsum(twist * step - np.asarray(rod.start.frames.twist))
    start = rod.placed(points, np.concatenate([[0.0], theta]))
    held = Boundary.of(rod, nodes=[0, 1, n - 2, n - 1], edges=[0, n - 2])
    state = rest_rod(
        rod,
        state=start,
        boundary=held,
        gravity=(0.0, 0.0, 0.0),
        increments=1,
        tolerance=1e-9,
    )
    return float(np.linalg.norm(state.nodes - points, axis=1).max() / step)
